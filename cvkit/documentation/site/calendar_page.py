"""The calendar: every day of every source by its worst verdict, each leading to the report that tells most of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from typing import Any

import pandas as pd

from cvkit.documentation.site.report_pages import Link, Report, month_id, short, window_of
from cvkit.documentation.site.situation import Situation
from cvkit.monitoring.notices import NOTEBOOKS
from cvkit.tables import STATES

OPEN_MONTHS = 3  # the newest; older ones are a click away
LETTERS = {"ok": "\N{MIDDLE DOT}", "unknown": "?", "warning": "W", "critical": "C", "failed": "\N{MULTIPLICATION SIGN}"}
WORDS = {**{state: state for state in STATES}, "failed": "could not be measured"}
CLASSES = {**{state: state for state in STATES}, "failed": "unknown"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A day of a source."""

    state: str  # a key of LETTERS
    words: str
    report: str  # address of its page below the site; "" where there is none


Month = tuple[int, int]  # year and month
Days = Mapping[tuple[str, date], Cell]


def render(situation: Situation, link: Link) -> str:
    """The page below its title."""
    if situation.past.empty:
        return (
            '<p class="cvkit-empty">No window has been measured yet. <code>cvkit run</code> measures every window that '
            "is due.</p>"
        )
    days = _days(situation.past, situation.reports)
    names = sorted({name for name, _ in days})
    grids = []
    for place, month in enumerate(months(situation)):
        shown = [name for name in names if any((name, day) in days for day in _dates(month))]
        grid = _grid(month, shown, days, link)
        title = f'<h2 id="{month_id(written(month))}">{written(month)}</h2>'
        folded = f'<details class="cvkit-more"><summary>{written(month)}</summary>{grid}</details>'
        grids.append(title + (grid if place < OPEN_MONTHS else folded))
    return _legend() + "".join(grids)


def months(situation: Situation) -> list[Month]:
    """The months that have windows, the newest first."""
    if situation.past.empty:
        return []
    return sorted({(start.year, start.month) for start in situation.past["window_start"]}, reverse=True)


def written(month: Month) -> str:
    """A month in words.

    >>> written((2026, 11))
    'November 2026'
    """
    return f"{date(*month, 1):%B %Y}"


def _days(past: pd.DataFrame, reports: Sequence[Report]) -> dict[tuple[str, date], Cell]:
    """The worst window of each day and source; a day that could not be measured is so of every source."""
    pages: dict[Any, list[Report]] = {}
    for report in reports:
        if report.address:
            pages.setdefault(report.window, []).append(report)
    names = sorted(set(past.loc[past["state"] != "failed", "source"])) or [""]
    rank = {state: place for place, state in enumerate(("failed", *STATES))}
    found: dict[tuple[str, date], list[dict[Any, Any]]] = {}
    for row in past.to_dict("records"):
        for name in names if row["state"] == "failed" else [row["source"]]:
            found.setdefault((str(name), row["window_start"].date()), []).append(row)
    cells = {}
    for (name, day), rows in found.items():
        worst = max(rows, key=lambda row: rank[row["state"]])
        if worst["state"] == "ok" and any(row["state"] == "failed" for row in rows):
            worst = next(row for row in rows if row["state"] == "failed")
        cells[name, day] = _cell(name, rows, worst, pages.get(window_of(worst), []))
    return cells


def _cell(name: str, rows: Sequence[dict[Any, Any]], worst: dict[Any, Any], pages: Sequence[Report]) -> Cell:
    state, window = str(worst["state"]), window_of(worst)
    feature = str(worst["feature"]).replace("_", " ") if state in ("warning", "critical") else ""
    many = f", worst of {len(rows)} windows" if len(rows) > 1 else ""
    words = f"{short(window)}: {WORDS[state]}{f', {feature}' if feature else ''}{many}"
    telling = NOTEBOOKS.get(str(worst["rule"]), "")
    fit = [one for one in pages if one.source in ("", name)]
    best = max(fit, key=lambda one: (one.outcome == "done", one.source != "", one.notebook == telling), default=None)
    return Cell(state, words, best.address if best else "")


def _dates(month: Month) -> Iterator[date]:
    day = date(*month, 1)
    while day.month == month[1]:
        yield day
        day += timedelta(days=1)


def _grid(month: Month, names: Sequence[str], days: Days, link: Link) -> str:
    dates = list(_dates(month))
    head = "".join(f'<th role="columnheader" scope="col">{day.day}</th>' for day in dates)
    rows = []
    for name in names:
        cells = "".join(_td(days.get((name, day)), day, link) for day in dates)
        title = f'<th role="rowheader" scope="row">{escape(name) or "(no source)"}</th>'
        rows.append(f'<tr role="row">{title}{cells}</tr>')
    return (
        f'<table class="cvkit-calendar" role="table" aria-label="Verdicts of {written(month)}"><thead role="rowgroup">'
        f'<tr role="row"><th role="columnheader" scope="col">Source</th>{head}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )


def _td(cell: Cell | None, day: date, link: Link) -> str:
    if cell is None:
        return f'<td role="cell" data-day="{day.day}"></td>'
    about = f'class="cvkit-{CLASSES[cell.state]}" title="{escape(cell.words)}"'
    letter = LETTERS[cell.state]
    mark = f"<span {about}>{letter}</span>"
    if cell.report:
        mark = f'<a {about} aria-label="{escape(cell.words)}" href="{escape(link(cell.report))}">{letter}</a>'
    return f'<td role="cell" data-day="{day.day}">{mark}</td>'


def _legend() -> str:
    told = "".join(
        f'<li><span class="cvkit-cell cvkit-{CLASSES[state]}">{LETTERS[state]}</span> {words}</li>'
        for state, words in WORDS.items()
    )
    words = "A day shows its worst window and leads to its report, where one was written. Days begin at 00:00 UTC."
    return f'<ul class="cvkit-key">{told}</ul><p class="cvkit-quiet">{words}</p>'
