"""How numbers move from window to window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from cvkit.documentation.plots import style
from cvkit.documentation.plots.style import Item
from cvkit.tables import FINDING_WORDS, OWN, STATES, Window, worst_by

PANELS = 12  # sources drawn one by one; of more, those that stand out most
DAYS_WITHOUT_CLOCK = 3.0  # from this many days on, ticks name days only
DASHES = (0, (4, 3))
FINDING_LINES = tuple(zip((style.BLUE, style.ORANGE, style.PURPLE, style.GREEN), "osD^", strict=True))

Floats = NDArray[np.float64]
States = Mapping[tuple[str, pd.Timestamp], str]  # by source and start of the window


def trend(
    measurements: pd.DataFrame,
    feature: str,
    *,
    metric: str = "mean",
    verdicts: pd.DataFrame | None = None,
    current: Window | None = None,
) -> Figure:
    """One number over windows, a panel per source: value, 95 % interval, and the band of healthy windows.

    `measurements` and `verdicts`: tables MEASUREMENTS and VERDICTS of several windows, with `window_start` and
    `window_end`. Verdicts decide the markers' shapes; the window `current` is marked.
    """
    rows = measurements[(measurements["feature"] == feature) & (measurements["metric"] == metric)]
    rows = rows.sort_values("window_start")
    subject = style.name(metric if feature == OWN else feature)
    title = f"{subject.capitalize()}, window by window"
    if rows["value"].isna().all():
        return style.no_data(title, f"no window has a value of {subject}")
    states = _states(verdicts, feature)
    keys = zip(rows["source"], rows["window_start"], strict=True)
    unjudged = bool(states) and any(key not in states for key in keys)
    sources, title = _stand_out(rows, states, title)
    figure, panels = style.panels(title, len(sources))
    for axes, source in zip(panels, sources, strict=True):
        part = rows[rows["source"] == source]
        marks = [states.get((source, start), "") for start in part["window_start"]]
        _draw_trend(axes, part, marks, current)
        verdict = f": {style.SIGNS[marks[-1]]} {marks[-1]}" if marks[-1] else ""
        _name_panel(axes, f"{style.source_name(source)}{verdict}", share=metric == "share")
        if metric == "count":
            axes.set_ylim(bottom=0)
    label_windows(figure, panels, _axis_words(feature, metric), rows, current)
    style.legend(figure, _trend_legend(rows, {*states.values(), *(("",) if unjudged else ())}, current))
    return figure


def findings_over_time(measurements: pd.DataFrame, *, current: Window | None = None) -> Figure:
    """Share of images with each finding over windows, a panel per source.

    Lines show the findings that lie furthest above their share in the reference.
    `measurements`: table MEASUREMENTS of several windows, with `window_start` and `window_end`.
    """
    title = "Images with a finding, window by window"
    rows = measurements[measurements["metric"] == "share"].sort_values("window_start")
    if rows.empty:
        return style.no_data(title, "no images have been measured")
    there = rows[rows["value"] > 0]
    peaks = there["effect"].groupby(there["feature"]).sum().sort_values(ascending=False, kind="stable")
    if peaks.empty:
        return style.no_data(title, "no image of these windows had a finding")
    lines = list(zip(peaks.index, FINDING_LINES, strict=False))
    drawn = rows[rows["feature"].isin([finding for finding, _ in lines]) & (rows["value"] > 0)]
    part_of_all = rows[rows["source"].isin(drawn["source"])]
    left_out = rows["source"].nunique() - part_of_all["source"].nunique()
    if left_out:
        title += f" ({left_out} other source{'s have' if left_out > 1 else ' has'} none)"
    sources, title = _stand_out(part_of_all, {}, title)
    figure, panels = style.panels(title, len(sources), height=1.5)
    for axes, source in zip(panels, sources, strict=True):
        part = rows[rows["source"] == source]
        for finding, (colour, marker) in lines:
            line = part[part["feature"] == finding]
            if (line["value"] > 0).any():
                axes.plot(middles(line), line["value"], color=colour, marker=marker, markersize=4, linewidth=1.4)
        _mark_current(axes, part, current)
        _name_panel(axes, style.source_name(source), share=True)
        axes.set_ylim(-0.04, 1.04)
    label_windows(figure, panels, "share of the window's images", rows, current)
    items: list[Item] = [
        (Line2D([], [], color=colour, marker=marker, markersize=4), style.name(finding))
        for finding, (colour, marker) in lines
    ]
    rarer = len(peaks) - len(lines)
    items += [(Line2D([], [], linewidth=0), f"and {rarer} rarer finding{'s' * (rarer > 1)}")] if rarer else []
    style.legend(figure, items + _current_legend(current))
    return figure


def _draw_trend(axes: Axes, rows: pd.DataFrame, marks: Sequence[str], current: Window | None) -> None:
    times, values = middles(rows), rows["value"].to_numpy()
    starts, ends = _edges(rows)
    low, high = rows["expected_low"].to_numpy(), rows["expected_high"].to_numpy()
    band = np.isfinite(low) & np.isfinite(high)
    # A box per window and not one area: gaps between windows stay gaps, and a single window has a band too.
    left, right, bottom, top = (edge[band] for edge in (starts, ends, low, high))
    corners = np.stack([np.stack(side, axis=1) for side in ((left, left, right, right), (bottom, top, top, bottom))], 2)
    axes.add_collection(
        PolyCollection(list(corners), facecolors=style.BAND, linewidths=0, antialiased=False, zorder=0), autolim=True
    )
    axes.hlines(rows["expected"], starts, ends, colors=style.QUIET, linestyles=DASHES, linewidth=1, zorder=1)
    below, above = values - rows["low"].to_numpy(), rows["high"].to_numpy() - values
    known = np.isfinite(below) & np.isfinite(above)
    errors = np.clip([below[known], above[known]], 0, None)
    axes.errorbar(
        times[known], values[known], errors, fmt="none", ecolor=style.BLUE, elinewidth=1, alpha=0.55, zorder=2
    )
    axes.plot(times, values, color=style.BLUE, linewidth=1.3, zorder=3)
    for state in ("", *STATES):
        here = np.array([mark == state for mark in marks], dtype=bool)
        marker, colour = style.MARKS.get(state, ("o", style.BLUE))
        axes.scatter(
            times[here], values[here], 26, colour, marker=marker, edgecolors=style.INK, linewidths=0.6, zorder=4
        )
    _mark_current(axes, rows, current)


def _trend_legend(rows: pd.DataFrame, states: set[str], current: Window | None) -> list[Item]:
    items: list[Item] = []
    if rows["low"].notna().any():
        items.append((Line2D([], [], color=style.BLUE, marker="|", markersize=9), "value, 95 % interval"))
    if rows["expected_low"].notna().any():
        items.append((Patch(color=style.BAND), "95 % of healthy windows"))
    if rows["expected"].notna().any():
        items.append((Line2D([], [], color=style.QUIET, linestyle=DASHES, linewidth=1), "reference"))
    items += [(style.state_marker(state), state) for state in STATES if state in states]
    if "" in states:
        items.append(
            (Line2D([], [], linewidth=0, marker="o", color=style.BLUE, markeredgecolor=style.INK), "not judged")
        )
    return items + _current_legend(current)


def _current_legend(current: Window | None) -> list[Item]:
    return [(Patch(color=style.INK, alpha=0.12), "this report's window")] if current else []


def _stand_out(rows: pd.DataFrame, states: States, title: str) -> tuple[list[str], str]:
    """The sources to draw, and the title, which says if they are not all."""
    sources = style.in_order(rows["source"])
    if len(sources) <= PANELS:
        return sources, title
    newest = rows.groupby(["source", "feature"]).tail(1)
    band = (newest["expected_high"] - newest["expected_low"]).fillna(0) + 1e-12  # shares have none: then they are alike
    off = ((newest["value"] - newest["expected"].fillna(0)).abs() / band).groupby(newest["source"]).max()
    last = {source: STATES.index(state) for (source, _), state in sorted(states.items())}
    urgent = sorted(sources, key=lambda source: (-last.get(source, 0), -off.get(source, 0.0), source))[:PANELS]
    return style.in_order(urgent), f"{title}: the {PANELS} of {len(sources)} sources that stand out most"


def _states(verdicts: pd.DataFrame | None, feature: str) -> States:
    if verdicts is None or verdicts.empty:
        return {}
    return worst_by(verdicts[verdicts["feature"] == feature], "source", "window_start")


def _axis_words(feature: str, metric: str) -> str:
    if metric == "share":
        return f"share of images: {FINDING_WORDS.get(feature, style.name(feature))}"
    if feature in ("images", OWN):
        return "images in the window" if feature == "images" else f"{style.name(metric)}, a number of your own"
    return style.with_unit(feature) if metric == "mean" else f"{style.name(feature)}: {style.name(metric)}"


def _name_panel(axes: Axes, title: str, *, share: bool) -> None:
    axes.set_title(title, loc="left", fontsize=style.FONT, color=style.INK)
    if share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def label_windows(
    figure: Figure, panels: Sequence[Axes], words: str, rows: pd.DataFrame, current: Window | None
) -> None:
    """The axes' names, and one range of dates for all panels, few and readable."""
    edges = np.concatenate([*_edges(rows), _days([current.start, current.end] if current else [])])
    start, end = edges.min(), edges.max()
    slack = 0.02 * (end - start) if rows["window_start"].nunique() > 1 else end - start
    locator = mdates.AutoDateLocator(minticks=2, maxticks=5 if len(panels) <= 3 else 4)  # type: ignore[no-untyped-call]
    form = mdates.DateFormatter("%d %b" if end - start > DAYS_WITHOUT_CLOCK else "%d %b\n%H:%M")  # type: ignore[no-untyped-call]
    years = [pd.Timestamp(rows[column].iloc[place]).year for column, place in (("window_start", 0), ("window_end", -1))]
    for axes in panels:
        axes.set_xlim(start - slack, end + slack)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(form)
    for axes in panels[-1:] if len(panels) <= 3 else panels[-2:]:
        label = f"time (UTC), {'-'.join(map(str, dict.fromkeys(years)))}"
        axes.set_xlabel(label, fontsize=style.FONT - 1, color=style.QUIET)
    figure.supylabel(style.wrap(words, 26 if len(panels) == 1 else 48), fontsize=style.FONT, color=style.INK)


def _mark_current(axes: Axes, rows: pd.DataFrame, current: Window | None) -> None:
    if current is not None and rows["window_start"].nunique() > 1:
        start, end = _days([current.start, current.end])
        axes.axvspan(start, end, color=style.INK, alpha=0.12, linewidth=0, zorder=0.5)


def _edges(rows: pd.DataFrame) -> tuple[Floats, Floats]:
    """Starts and ends of the windows, as matplotlib counts days."""
    naive = (rows[name].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy() for name in ("window_start", "window_end"))
    return _days(next(naive)), _days(next(naive))


def _days(times: Sequence[datetime] | NDArray[np.datetime64]) -> Floats:
    numbers: Floats = np.asarray(mdates.date2num(times), dtype=np.float64)  # type: ignore[no-untyped-call]
    return numbers


def middles(rows: pd.DataFrame) -> Floats:
    """Middles of the windows, as matplotlib counts days."""
    starts, ends = _edges(rows)
    return (starts + ends) / 2
