"""A message as HTML: for mail, where styles stand in the tags, and legible in light and dark, wide and narrow."""

from __future__ import annotations

from html import escape

from cvkit.monitoring.channels.text import Line, footer, headline, is_address, lines, ordered
from cvkit.monitoring.messages import Message, Notice

# White letters on these have a contrast above 4.5; all other letters have the reader's own colour.
COLOURS = {"critical": "#b3261e", "warning": "#9a5b00", "info": "#1f5fa8", "over": "#1e6b3a"}
FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
MONO = "font-family:ui-monospace,Menlo,Consolas,monospace"
WRAP = "overflow-wrap:anywhere;word-break:break-word"
COMMANDS = ("Acknowledge",)  # lines people copy


def html(message: Message) -> str:
    """The message as a page."""
    parts = "\n".join(_notice(notice) for notice in ordered(message))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">
<style>:root {{ color-scheme: light dark; }}</style></head>
<body style="margin:0;padding:12px;{FONT};font-size:15px;line-height:1.45">
<div style="max-width:640px;margin:0 auto">
{parts}
<p style="font-size:12px;opacity:.75;{WRAP}">{escape(footer(message))}</p>
</div></body></html>
"""


def _notice(notice: Notice) -> str:
    colour = COLOURS["over" if notice.event == "resolved" else notice.severity]
    rows = "\n".join(_row(line) for line in lines(notice))
    return f"""<h2 style="margin:16px 0 0;padding:10px 12px;background:{colour};color:#ffffff;font-size:17px;
line-height:1.3;border-radius:6px 6px 0 0;{WRAP}">{escape(headline(notice))}</h2>
<table role="presentation" style="width:100%;border-collapse:collapse;border:1px solid #8888;table-layout:fixed">
{rows}
</table>"""


def _row(line: Line) -> str:
    cell = "padding:6px 12px;border-bottom:1px solid #8884;vertical-align:top"
    look = f"{MONO};font-size:13px;" if line.label in COMMANDS else ""
    return (
        f'<tr><th scope="row" style="{cell};width:30%;text-align:left;font-weight:600">{escape(line.label)}</th>'
        f'<td style="{cell};{look}white-space:pre-wrap;{WRAP}">{_value(line.text)}</td></tr>'
    )


def _value(text: str) -> str:
    shown = escape(text)
    return f'<a href="{shown}">{shown}</a>' if is_address(text) else shown
