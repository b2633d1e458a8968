"""The page of alerts: every one that ever was, how it stands or ended, and who did what about it."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any

import pandas as pd

from cvkit.documentation.site import alert_cards
from cvkit.documentation.site.overview import length
from cvkit.documentation.site.report_pages import Link
from cvkit.documentation.site.situation import Situation
from cvkit.documentation.site.sources import written_day
from cvkit.documentation.site.trends import light
from cvkit.monitoring import notices
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.messages import again

COLUMNS = ("Alert", "Severity", "From", "Until", "Lasted", "How it stands", "Came back")
Happened = dict[str, list[dict[Any, Any]]]  # what was logged of an alert, by its fingerprint
SHOWN_LINES = 30  # of what happened to one alert, the newest


def render(situation: Situation, link: Link) -> str:
    """The page below its title."""
    if not situation.alerts:
        return (
            '<p class="cvkit-empty">There was no alert yet. <code>cvkit rules check</code> says which rules there are, '
            "and when they would have fired.</p>"
        )
    ordered = sorted(situation.alerts, key=lambda one: one.since, reverse=True)
    parts = (("open", "Open", [one for one in ordered if one.open]),
             ("over", "Over", [one for one in ordered if not one.open]))  # fmt: skip
    happened: Happened = {}
    for row in situation.log.to_dict("records"):
        happened.setdefault(str(row["fingerprint"]), []).append(row)
    todo = {one.alert.fingerprint: alert_cards.what_to_do(one, link) for one in situation.alarms.open}
    made = "".join(
        f'<h2 id="{id_}">{title}</h2>{_table(title, part, happened, situation.made, todo)}'
        for id_, title, part in parts
    )
    words = "What is open now, with the command that does something about it, is on the"
    return f'<p class="cvkit-quiet">{words} <a href="{escape(link(""))}#alerts">status page</a>.</p>{made}'


def _table(title: str, alerts: list[Alert], happened: Happened, now: datetime, todo: dict[str, str]) -> str:
    if not alerts:
        return '<p class="cvkit-quiet">None.</p>'
    head = "".join(f'<th role="columnheader" scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(_row(one, happened.get(one.fingerprint, []), now, todo.get(one.fingerprint, "")) for one in alerts)
    return (
        f'<table class="cvkit-list" role="table" aria-label="{title} alerts"><thead role="rowgroup">'
        f'<tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>'
    )


def _row(one: Alert, happened: list[dict[Any, Any]], now: datetime, todo: str) -> str:
    what = escape(notices.matter(one) or str(one.facts.get("reason") or ""))
    name = (
        f'<b>{escape(one.source) or "(the model)"}</b> <span class="cvkit-second">{what}</span>'
        f'<span class="cvkit-second cvkit-quiet">{" · ".join(filter(None, (f"rule {escape(one.rule)}", todo)))}</span>'
        f"{_happened(happened)}"
    )
    badge = f'<span class="cvkit-badge cvkit-{one.severity}">{light(one.severity)}{one.severity}</span>'
    until = written_day(one.until) if one.until else "open"
    lasted = length((one.until or now) - one.since)
    cells = (badge, written_day(one.since), until, lasted, _stands(one), again(one.returns))
    told = "".join(
        f'<td role="cell" data-label="{label}">{cell}</td>' for label, cell in zip(COLUMNS[1:], cells, strict=True)
    )
    head = f'<th role="rowheader" scope="row" id="{one.fingerprint}">{name}</th>'
    return f'<tr role="row" class="cvkit-{one.severity if one.open else "unknown"}">{head}{told}</tr>'


def _stands(one: Alert) -> str:
    by = f" by {escape(one.author)}" if one.author else ""
    why = f'<span class="cvkit-second cvkit-quiet">{escape(one.why)}</span>' if one.why else ""
    return f'<span class="cvkit-words">{one.state}{by}</span>{why}'


def _happened(rows: list[dict[Any, Any]]) -> str:
    if not rows:
        return ""
    shown = "".join(_line(row) for row in reversed(rows[-SHOWN_LINES:]))
    earlier = f"<li>and {len(rows) - SHOWN_LINES} earlier</li>" if len(rows) > SHOWN_LINES else ""
    return f"<details><summary>what happened</summary><ul>{shown}{earlier}</ul></details>"


def _line(row: dict[Any, Any]) -> str:
    until = "" if pd.isna(row["until"]) else f" until {row['until']:%Y-%m-%d %H:%M}"
    by = f" by {escape(str(row['author']))}" if row["author"] else ""
    why = f": {escape(str(row['why']))}" if row["why"] else ""
    return f"<li>{row['time']:%Y-%m-%d %H:%M} {escape(str(row['action']))}{until}{by}{why}</li>"
