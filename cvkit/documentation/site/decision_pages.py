"""The page of decisions: each with its evidence in words, what was considered and what would change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from cvkit.documentation.site.report_pages import Link
from cvkit.documentation.site.situation import Situation
from cvkit.documentation.site.trends import number

UNFOLDED = 1  # the newest


def render(situation: Situation, link: Link) -> str:
    """The page below its title."""
    if situation.decisions.empty:
        return (
            '<p class="cvkit-empty">Nothing has been decided yet. <code>cvkit retrain decide</code> says what is to be '
            "done about the model, and why.</p>"
        )
    rows = _newest_first(situation)
    many = f"{len(rows)} decision{'s' * (len(rows) != 1)}, the newest first. Times are in UTC."
    told = "".join(_decision(row, place < UNFOLDED) for place, row in enumerate(rows))
    return f'<p class="cvkit-quiet">{many}</p>{told}'


def anchor(row: Mapping[Any, Any]) -> str:
    """Where on the page a decision is."""
    return f"decision-{row['id']}"


def headings(situation: Situation) -> list[tuple[str, str]]:
    """Anchor and words of each decision, the newest first."""
    return [(anchor(row), _title(row)) for row in _newest_first(situation)]


def _newest_first(situation: Situation) -> list[dict[Any, Any]]:
    if situation.decisions.empty:
        return []
    rows: list[dict[Any, Any]] = situation.decisions.sort_values(["made", "id"]).to_dict("records")
    return rows[::-1]


def _title(row: Mapping[Any, Any]) -> str:
    about = f" for {escape(str(row['source']))}" if row["source"] else ""
    return f"{row['made']:%Y-%m-%d}: {escape(str(row['action']))}{about}"


def _decision(row: Mapping[Any, Any], unfolded: bool) -> str:
    decision, facts = row["decision"] or {}, row["facts"] or {}
    also = [
        f"also {one['action']} for {one['source'] or '(no source)'}: {one['why']}" for one in _rows(decision, "also")
    ]
    rejected = [
        f"{one['action']} ({one['policy']}): {'; '.join(one['failed']) or 'a row above it holds'}"
        for one in _rows(decision, "considered")
    ]
    parts = (
        ("Evidence", [*evidence(facts)]), ("Also", also), ("Considered and rejected", rejected),
        ("What would change it", list(decision.get("would_change") or ())),
        ("Rests on", [str(key) for key in decision.get("measurements") or ()]),
    )  # fmt: skip
    told = "".join(_part(title, lines) for title, lines in parts if lines)
    if told:
        told = f"<details{' open' * unfolded}><summary>evidence and alternatives</summary>{told}</details>"
    where = "" if pd.isna(row["window_start"]) else f", up to the window of {row['window_start']:%Y-%m-%d}"
    return (
        f'<section class="cvkit-decision"><h2 id="{anchor(row)}">{_title(row)}</h2>'
        f'<p class="cvkit-cause">{escape(str(row["why"]))}</p><p class="cvkit-quiet">{row["made"]:%Y-%m-%d %H:%M}, '
        f"version <code>{escape(str(row['version']))}</code>{where}, by the policy "
        f"<code>{escape(str(row['policy']))}</code></p>{told}</section>"
    )


def evidence(facts: Mapping[str, Any]) -> Iterator[str]:
    """What was known when it was decided, a line for each matter; `facts` as the record keeps `Evidence`."""
    if update := facts.get("update"):
        way = "rolled back to" if update.get("back") else "updated to"
        yield f"{way} {update['version']} on {str(update['at'])[:10]}"
    for one in _rows(facts, "sources"):
        yield f"{one.get('name') or '(no source)'}: {'; '.join(_known(one))}"


def _known(source: Mapping[str, Any]) -> Iterator[str]:
    yield f"{source.get('images', 0)} images in the newest window, {source.get('labelled', 0)} labelled since"
    for name, words in (("f1", "F1 by labels"), ("estimate", "estimated AP"), ("before", "F1 before the update")):
        if (told := source.get(name) or {}).get("value") is not None:
            yield f"{words} {_interval(told)}"
    for change in _rows(source, "changes"):
        effect = change.get("effect")
        size = "" if effect is None else f", effect {number(effect)}"
        since = str(change.get("onset"))[:10]
        yield f"{str(change['feature']).replace('_', ' ')} {change['state']} since {since}{size}"
    for fault in _rows(source, "faults"):
        yield f"{str(fault['finding']).replace('_', ' ')} {fault['state']}"
    if source.get("new_class"):
        yield "labels hold a class that the model does not know"
    if source.get("odd"):
        yield "more images are strange than may be"


def _interval(told: Mapping[str, Any]) -> str:
    between = "" if told.get("low") is None else f" ({told['low']:.2f} to {told['high']:.2f})"
    expected = "" if told.get("expected") is None else f", reference {told['expected']:.2f}"
    return f"{told['value']:.2f}{between}{expected}"


def _rows(told: Mapping[str, Any], name: str) -> Sequence[Any]:
    return told.get(name) or ()


def _part(title: str, lines: Sequence[str]) -> str:
    return f"<h3>{title}</h3><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
