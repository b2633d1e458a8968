"""The table at the top of the status page: a row for each model and source, and what the headline says of all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any

import pandas as pd

from cvkit.documentation.site import document_pages
from cvkit.documentation.site.report_pages import Link, Report, short
from cvkit.documentation.site.situation import Situation
from cvkit.documentation.site.sources import Source, sources, written_day
from cvkit.documentation.site.trends import light, tiny
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.notices import NOTEBOOKS
from cvkit.monitoring.pages import page_name
from cvkit.tables import STATES, worst

HEADLINES = {
    "ok": "Nothing stands out",
    "unknown": "Some sources cannot be judged",
    "warning": "Something has changed",
    "critical": "Something needs attention now",
}
NOTHING = '<span class="cvkit-quiet">none</span>'
COLUMNS = ("Source", "Verdict", "Since", "F1", "Trend", "Alerts", "Report")


@dataclass(frozen=True, slots=True)
class Row:
    """A source of a model."""

    name: str
    state: str
    since: datetime | None
    begun: bool  # whether `since` is known; else it is the oldest window that was looked at
    f1: str  # by labels, as HTML; "" without
    estimate: str
    trend: str
    alerts: tuple[Alert, ...]
    report: Report | None
    anchor: str  # of what the page says of it below; "" of other models


@dataclass(frozen=True, slots=True)
class Group:
    """The sources of a model."""

    model: str
    about: str  # its version and card, as HTML
    rows: tuple[Row, ...]


def groups(situation: Situation, found: Sequence[Source], link: Link) -> list[Group]:
    """The model in use, then the others of the history."""
    standing = tuple(one.alert for one in situation.alarms.open)
    mine = _rows(found, situation.verdicts, situation.measurements, standing, situation.reports, own=True)
    made = [Group(situation.model, _about(situation, link), tuple(mine))]
    for one in situation.others:
        seen = sources(one.verdicts, one.measurements)
        rows = _rows(seen, one.verdicts, one.measurements, one.alerts, (), own=False)
        made.append(Group(one.model, _version(one.version, one.since, situation.made), tuple(rows)))
    return made


def headline(found: Sequence[Source], alerts: Sequence[Alert], behind: str = "") -> str:
    """Whether everything is all right, since when not, and who is on it.

    Where the champion is `behind`, what stands of its forerunner's alerts counts too, and nothing is called all right.
    """
    of_alerts = ["critical" if one.severity == "critical" else "warning" for one in alerts]
    state = worst([*(source.state for source in found), *(["unknown", *of_alerts] if behind else [])])
    counts = {name: sum(source.state == name for source in found) for name in reversed(STATES)}
    told = [f"{count} {name}" for name, count in counts.items() if count]
    many = f"{len(found)} source{'s' * (len(found) != 1)}: {', '.join(told)}"
    begun = [source.since for source in found if source.state == state and source.since]
    since = f" since {written_day(min(begun))}" if begun and state != "ok" else ""
    who = f" · {_on_it(alerts)}" if alerts else ""
    return (
        f'<div class="cvkit-headline cvkit-{state}">{light(state)}<div><strong>{HEADLINES[state]}{since}</strong> '
        f"<span>{many}{who}</span></div></div>"
    )


def table(made: Sequence[Group], now: datetime, link: Link) -> str:
    """The table; on a phone each row becomes a card, so its roles are written out."""
    head = "".join(f'<th role="columnheader" scope="col">{name}</th>' for name in COLUMNS)
    bodies = "".join(_body(one, now, link) for one in made)
    return (
        '<table class="cvkit-overview" role="table" aria-label="Models and sources"><thead role="rowgroup">'
        f'<tr role="row">{head}</tr></thead>{bodies}</table>'
    )


def _rows(
    found: Sequence[Source], verdicts: pd.DataFrame, measurements: pd.DataFrame, alerts: Sequence[Alert],
    reports: Sequence[Report], *, own: bool,
) -> Iterator[Row]:  # fmt: skip
    first = verdicts["window_start"].min() if len(verdicts) else None
    for source in found:
        mine = measurements[measurements["source"] == source.name]
        f1, estimate = _newest(mine, "performance", "f1"), _newest(mine, "estimate", "ap")
        yield Row(
            source.name, source.state, source.since, own or source.since != first, f1, estimate,
            _trend(source, mine), tuple(one for one in alerts if one.source == source.name),
            _report(source, verdicts, reports), f"source-{page_name(source.name)}" if own else "",
        )  # fmt: skip
    if whole := tuple(one for one in alerts if one.source not in {source.name for source in found}):
        states = ["critical" if one.severity == "critical" else "warning" for one in whole]
        yield Row("the whole model", worst(states), min(one.since for one in whole), True, "", "", "", whole, None, "")


def _newest(rows: pd.DataFrame, feature: str, metric: str) -> str:
    """A number of the newest window that has it, with its interval; "" without."""
    known = rows[(rows["feature"] == feature) & (rows["metric"] == metric) & rows["value"].notna()]
    if known.empty:
        return ""
    row: dict[Any, Any] = known.sort_values("window_start").iloc[-1].to_dict()
    between = "" if math.isnan(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
    old = row["window_start"] < rows["window_start"].max()
    when = f", {written_day(row['window_start'])}" if old else ""
    return f'<b>{row["value"]:.2f}</b><span class="cvkit-quiet">{between}{when}</span>'


def _trend(source: Source, rows: pd.DataFrame) -> str:
    """F1 by labels over the windows; without labels what stands out most."""
    f1 = rows[(rows["feature"] == "performance") & (rows["metric"] == "f1")].sort_values("window_start")
    if f1["value"].notna().sum() > 1:
        return tiny("F1", list(f1["value"]), source.state)
    return tiny(source.trends[0].name, source.trends[0].values, source.state) if source.trends else ""


def _report(source: Source, verdicts: pd.DataFrame, reports: Sequence[Report]) -> Report | None:
    """The newest report that can be read on it: its own before those on all, of these the one that shows the worst."""
    fit = [one for one in reports if one.address and one.outcome == "done" and one.source in ("", source.name)]
    if not fit:
        return None
    current = verdicts[(verdicts["source"] == source.name) & (verdicts["state"] == source.state)]
    rules = current.loc[current["window_start"] == verdicts["window_start"].max(), "rule"]
    telling = {NOTEBOOKS.get(str(rule), "") for rule in rules}
    return max(fit, key=lambda one: (one.window.start, one.source != "", one.notebook in telling))


def _about(situation: Situation, link: Link) -> str:
    card = situation.card
    if card is None or not card.address:
        words = "no card yet: <code>cvkit card new</code>"
    elif card.checked is None:
        words = f'<a href="{escape(link(card.address))}">card</a> cannot be checked'
    else:
        complete = document_pages.share(card.checked)
        words = f'<a href="{escape(link(card.address))}">card {complete} complete</a>'
        words += ", stale" if card.checked.stale else ""
    return f"{_version(situation.version, situation.since, situation.made)} · {words}"


def _version(version: str, since: datetime | None, now: datetime) -> str:
    age = f" for {length(now - since)}" if since else ""
    return f"champion <code>{escape(version)}</code>{age}"


def length(time: timedelta) -> str:
    """A stretch of time in one unit."""
    hours = max(0, int(time / timedelta(hours=1)))
    if hours < 48:
        return f"{hours} hour{'s' * (hours != 1)}"
    return f"{hours // 24} days"


def _body(group: Group, now: datetime, link: Link) -> str:
    name = f'<b class="cvkit-model">{escape(group.model)}</b> <span class="cvkit-quiet">{group.about}</span>'
    head = f'<tr role="row"><th role="rowheader" scope="rowgroup" colspan="{len(COLUMNS)}">{name}</th></tr>'
    return f'<tbody role="rowgroup">{head}{"".join(_row(row, now, link) for row in group.rows)}</tbody>'


def _row(row: Row, now: datetime, link: Link) -> str:
    name = escape(row.name) or "(no source)"
    name = f'<a href="#{row.anchor}">{name}</a>' if row.anchor else name
    badge = f'<span class="cvkit-badge cvkit-{row.state}">{light(row.state)}{row.state}</span>'
    since = written_day(row.since) if row.since else ""
    since = since if row.begun else f"{since} or before"
    estimate = f'<span class="cvkit-second">estimated AP {row.estimate}</span>' if row.estimate else ""
    f1 = row.f1 or '<span class="cvkit-quiet">no labels</span>'
    report = ""
    if row.report:
        report = f'<a href="{escape(link(row.report.address))}">{short(row.report.window)}</a>'
    cells = (badge, since, f1 + estimate, row.trend, _alarms(row.alerts, now), report)
    told = "".join(
        f'<td role="cell" data-label="{label}">{cell or NOTHING}</td>'
        for label, cell in zip(COLUMNS[1:], cells, strict=True)
    )
    return f'<tr role="row" class="cvkit-{row.state}"><th role="rowheader" scope="row">{name}</th>{told}</tr>'


def _alarms(alerts: Sequence[Alert], now: datetime) -> str:
    if not alerts:
        return ""
    oldest = min(one.since for one in alerts)
    return (
        f'<a href="#alerts"><b>{len(alerts)}</b> open</a> <span class="cvkit-quiet">for {length(now - oldest)}</span>'
        f'<span class="cvkit-second cvkit-quiet">{_on_it(alerts)}</span>'
    )


def _on_it(alerts: Sequence[Alert]) -> str:
    """Who took alerts on, as HTML."""
    taken = [one for one in alerts if one.author and one.state in ("acknowledged", "snoozed")]
    who = ", ".join(dict.fromkeys(escape(one.author) for one in taken))
    if not taken:
        return "nobody is on it yet"
    rest = "" if len(taken) == len(alerts) else f" of {len(alerts)}"
    return f"{who} on {len(taken)}{rest} alert{'s' * (len(alerts) != 1)}"
