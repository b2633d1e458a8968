"""Alerts in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.alerts import Replayed
from cvkit.monitoring.messages import Notice, again, moment
from cvkit.monitoring.outbox import Delivered

RANK = {"critical": 0, "warning": 1, "info": 2}
MOST_STRETCHES = 6  # past stretches shown of one rule at one source


def table(alerts: pd.DataFrame, *, everything: bool = False) -> str:
    """The alerts (as `alerts.table` gives them), the worst first."""
    rows = alerts if everything else alerts[alerts["until"].isna()]
    if rows.empty:
        return "no alert is open" if not everything else "there was no alert yet"
    ordered = rows.assign(rank=rows["severity"].map(RANK)).sort_values(["rank", "since", "source"])
    lines = [("alert", "severity", "state", "source", "rule", "since", "what"), *map(_line, ordered.to_dict("records"))]
    return columns(lines)


def _line(row: dict[Any, Any]) -> tuple[str, ...]:
    source = str(row["source"]) or "(model)"
    return (row["fingerprint"], row["severity"], _state(row), source, row["rule"], f"{row['since']:%Y-%m-%d}",
            row["what"])  # fmt: skip


def _state(row: dict[Any, Any]) -> str:
    state = str(row["state"])
    if state == "snoozed":
        return f"snoozed until {row['snoozed_until']:%Y-%m-%d %H:%M}"
    if state == "acknowledged":
        return f"acknowledged by {row['author']}"
    return f"{state} (held back: its source's outage)" if row["inhibited"] and state == "firing" else state


def known(alert: Alert, notice: Notice) -> list[tuple[str, str]]:
    """All that is known of an alert, each thing with its name."""
    interval = "" if notice.low is None else f" ({notice.low:g} to {notice.high:g})"
    value = "none" if notice.value is None else f"{notice.value:g}{interval} {notice.unit}"
    return [
        ("what", notice.what), ("value", f"{notice.metric}: {value}"), ("expected", notice.expected),
        ("window", f"{moment(notice.window_start)} to {moment(notice.window_end)}, {notice.n} images"),
        ("source", notice.source or "(the model as a whole)"), ("since", moment(notice.since)),
        ("over", "no" if notice.until is None else moment(notice.until)),
        ("state", f"{alert.state}{f' by {alert.author}: {alert.why}' if alert.author else ''}"),
        ("came back", again(notice.returns)), ("likely cause", notice.cause),
        *(("also", detail) for detail in notice.details), ("what to do", notice.todo), ("runbook", notice.runbook),
        ("report", notice.report), ("owner", notice.owner or "nobody named"), ("acknowledge", notice.acknowledge),
    ]  # fmt: skip


def full(alert: Alert, notice: Notice) -> str:
    """All that is known of an alert."""
    return f"{notice.severity}: {shown(notice.title)}  [{alert.fingerprint}]\n" + columns(known(alert, notice))


def log(entries: pd.DataFrame) -> str:
    """The log of alerts, oldest first."""
    if entries.empty:
        return "nothing has happened yet"
    lines = [("time", "alert", "source", "rule", "action", "by", "why")]
    for row in entries.to_dict("records"):
        until = "" if pd.isna(row["until"]) else f"until {row['until']:%Y-%m-%d %H:%M}; "
        about = (f"{row['severity']} " if row["severity"] else "") + str(row["action"])
        lines.append((f"{row['time']:%Y-%m-%d %H:%M:%S}", str(row["fingerprint"]), str(row["source"]), str(row["rule"]),
                      about, str(row["author"]), until + str(row["why"])))  # fmt: skip
    return columns(lines)


def delivered(done: Delivered) -> str:
    """What a round of deliveries came to."""
    waiting = f"{done.waiting} wait{'s' * (done.waiting == 1)} for another try"
    return "\n".join([f"{count(done.sent, 'message')} sent, {waiting}, {done.given_up} given up", *done.errors])


def unsent(rows: Sequence[tuple[str, str, int, str]]) -> str:
    """What could not be sent: channel, status, number and the newest error of each."""
    return "\n".join(f"{count(n, 'message')} to {channel} {status}: {error}" for channel, status, n, error in rows)


def rules(found: Iterable[Replayed]) -> str:
    """Every rule as a sentence, and when it would have fired."""
    parts = []
    for one in found:
        lines = [one.sentence]
        for source, stretches in one.stretches.items():
            spans = [_span(*stretch) for stretch in stretches[-MOST_STRETCHES:]]
            left_out = f"{len(stretches) - MOST_STRETCHES} earlier, " if len(stretches) > MOST_STRETCHES else ""
            lines.append(f"    {shown(source) or '(model)'}: {left_out}{', '.join(spans)}")
        parts.append("\n".join(lines if one.stretches else [*lines, "    never so far"]))
    return "\n".join(parts)


def _span(first: datetime, last: datetime, lasts: bool) -> str:
    if lasts:
        return f"{first:%Y-%m-%d} and still"
    return f"{first:%Y-%m-%d}" if first == last else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"


def count(n: int, thing: str) -> str:
    """A number of things.

    >>> count(1, "message"), count(0, "message")
    ('1 message', '0 messages')
    """
    return f"{n} {thing}{'s' * (n != 1)}"


def shown(text: str) -> str:
    r"""A name on one line: what would steer a terminal, or begin a line of its own, as a code.

    >>> print(shown("cam\n-1\x1b[2J"))
    cam\n-1\x1b[2J
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def named(rule: str, source: str) -> str:
    """An alert as people name it: RULE@SOURCE."""
    return f"{rule}@{shown(source)}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a table; the last column as it is."""
    lines = [[*map(shown, row)] for row in rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )
