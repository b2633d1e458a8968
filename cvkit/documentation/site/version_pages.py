"""The page of versions: where each comes from, what the gate said of it, and how it compares with the champion."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd

from cvkit.config.champion import Promotion
from cvkit.documentation.round_words import SHOWN
from cvkit.documentation.site.report_pages import Link
from cvkit.documentation.site.situation import Judged, Situation
from cvkit.documentation.site.trends import light
from cvkit.maintenance.gate_results import Result

COLUMNS = ("Version", "Kind", "From", "Made", "Gate", "Champion")
COMPARED = (("F1, old images", "old", "f1"), ("F1, new images", "new", "f1"), ("AP, old images", "old", "ap"),
            ("AP, new images", "new", "ap"))  # title, part and metric  # fmt: skip


def render(situation: Situation, link: Link) -> str:
    """The page below its title."""
    if not situation.versions:
        return (
            '<p class="cvkit-empty">No version is kept yet. The weights that <code>cvkit.yml</code> names become the '
            "first with <code>cvkit retrain</code>.</p>"
        )
    newest = situation.versions[::-1]
    log = situation.champions.log if situation.champions else ()
    head = "".join(f'<th role="columnheader" scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(_row(one, situation.version, log) for one in newest)
    versions = (
        '<h2 id="all">All versions</h2><table class="cvkit-list" role="table" aria-label="Versions"><thead '
        f'role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>'
    )
    return f"{versions}{_comparison(newest)}{_log(log)}"


def _row(one: Judged, serving: str, log: Sequence[Promotion]) -> str:
    version = one.version
    mark = f' <span class="cvkit-badge cvkit-ok">{light("ok")}champion</span>' if version.name == serving else ""
    never = "by cvkit.yml" if mark else '<span class="cvkit-quiet">never</span>'
    cells = (
        version.kind, f"<code>{escape(version.parent)}</code>" if version.parent else "none",
        f"{version.made:%Y-%m-%d %H:%M}", _gate(one), _reigns(version.name, log) or never,
    )  # fmt: skip
    told = "".join(
        f'<td role="cell" data-label="{label}">{cell}</td>' for label, cell in zip(COLUMNS[1:], cells, strict=True)
    )
    head = f'<th role="rowheader" scope="row" id="{version.name}"><code>{version.name}</code>{mark}</th>'
    return f'<tr role="row" class="cvkit-{"ok" if mark else "unknown"}">{head}{told}</tr>'


def _gate(one: Judged) -> str:
    if one.result is None:
        return f'<span class="cvkit-quiet">{escape(one.flaw) or "not judged"}</span>'
    reasons = "; ".join(one.result.reasons)
    return f'{_badge(one.result)}<span class="cvkit-second cvkit-quiet">{escape(reasons)}</span>'


def _badge(result: Result) -> str:
    state = SHOWN[result.outcome]
    return f'<span class="cvkit-badge cvkit-{state}">{light(state)}{result.outcome}</span>'


def _reigns(name: str, log: Sequence[Promotion]) -> str:
    """When a version was champion, and by whom it was made so."""
    told = []
    for place, one in enumerate(log):
        if one.version == name:
            until = f"{log[place + 1].when:%Y-%m-%d}" if place + 1 < len(log) else "now"
            told.append(
                f'<span class="cvkit-words">{one.how} {one.when:%Y-%m-%d} by {escape(one.by)}, until {until}</span>'
            )
    return "".join(told)


def _comparison(versions: Sequence[Judged]) -> str:
    judged = [one.result for one in versions if one.result is not None]
    title = '<h2 id="comparison">Side by side with the champion</h2>'
    if not judged:
        return f'{title}<p class="cvkit-quiet">The gate has judged none: <code>cvkit retrain gate</code> does.</p>'
    columns = [name for name, *_ in COMPARED] + ["An image takes", "Weights"]
    head = "".join(f'<th role="columnheader" scope="col">{name}</th>' for name in ("Version", *columns))
    rows = "".join(_compared(one, columns) for one in judged)
    words = (
        "On the frozen test images: the champion's number, then the version's own; below, the difference, and where "
        "it lies with 95 % confidence each way. Numbers of other test images do not compare with each other."
    )
    return (
        f'{title}<p class="cvkit-quiet">{words}</p><table class="cvkit-list cvkit-numbers" role="table" '
        f'aria-label="Comparison with the champion"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>'
    )


def _compared(result: Result, columns: Sequence[str]) -> str:
    whole = result.parts[result.parts["by"] == ""]
    cells = [_numbers(whole[(whole["part"] == part) & (whole["metric"] == metric)]) for _, part, metric in COMPARED]
    before, after = result.latency_ms
    small, large = (size / 1e6 for size in result.size)
    cells += [
        f'{before:.1f} to <b>{after:.1f} ms</b><span class="cvkit-second cvkit-quiet">{result.slower:.2f} times</span>',
        f"{small:.1f} to <b>{large:.1f} MB</b>",
    ]
    told = "".join(
        f'<td role="cell" data-label="{label}">{cell}</td>' for label, cell in zip(columns, cells, strict=True)
    )
    beside = f'<span class="cvkit-second cvkit-quiet">beside <code>{escape(result.champion)}</code>, test set '
    beside += f"{escape(result.test)}</span>"
    name = f"<code>{escape(result.challenger)}</code> {_badge(result)}{beside}"
    return (
        f'<tr role="row" class="cvkit-{SHOWN[result.outcome]}"><th role="rowheader" scope="row">{name}</th>{told}</tr>'
    )


def _numbers(rows: pd.DataFrame) -> str:
    if rows.empty:
        return '<span class="cvkit-quiet">not compared</span>'
    row: dict[Any, Any] = rows.iloc[0].to_dict()
    interval = "" if pd.isna(row["low"]) else f" ({row['low']:+.3f} to {row['high']:+.3f})"
    return (
        f"{row['champion']:.3f} to <b>{row['challenger']:.3f}</b>"
        f'<span class="cvkit-second cvkit-quiet">{row["difference"]:+.3f}{interval}</span>'
    )


def _log(log: Sequence[Promotion]) -> str:
    title = '<h2 id="champions">Champions</h2>'
    if not log:
        return f'{title}<p class="cvkit-quiet">Nothing was promoted yet: <code>cvkit.yml</code> names the champion.</p>'
    rows = "".join(
        f"<li>{one.when:%Y-%m-%d %H:%M} <code>{escape(one.version)}</code> {one.how}"
        f"{', although the gate had not passed it,' if one.forced else ''} by {escape(one.by)}: {escape(one.why)}</li>"
        for one in reversed(log)
    )
    return f"{title}<ul>{rows}</ul>"
