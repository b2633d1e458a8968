"""How numbers move from window to window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from cvkit.documentation.plots import style
from cvkit.documentation.plots.style import Item
from cvkit.tables import FINDING_WORDS, STATES, Window, worst

PANELS = 12  # sources drawn one by one; of more, those that stand out most
DASHES = (0, (4, 3))
FINDING_LINES = tuple(zip((style.BLUE, style.ORANGE, style.PURPLE, style.GREEN), "osD^", strict=True))

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
    title = f"{style.name(feature).capitalize()}, window by window"
    if rows["value"].isna().all():
        return style.no_data(title, f"no window has a value of {style.name(feature)}")
    states = _states(verdicts, feature)
    sources, title = _stand_out(rows, states, title)
    figure, panels = style.panels(title, len(sources))
    for axes, source in zip(panels, sources, strict=True):
        part = rows[rows["source"] == source]
        marks = [states.get((source, start), "") for start in part["window_start"]]
        _draw_trend(axes, part, marks, current)
        verdict = f": {style.SIGNS[marks[-1]]} {marks[-1]}" if marks[-1] else ""
        _name_panel(axes, f"{style.source_name(source)}{verdict}", share=metric == "share")
    _label(figure, _axis_words(feature, metric), len(sources))
    style.legend(figure, _trend_legend(rows, set(states.values()), current))
    return figure


def findings_over_time(measurements: pd.DataFrame, *, current: Window | None = None) -> Figure:
    """Share of images with each finding over windows, a panel per source; the most frequent findings have lines.

    `measurements`: table MEASUREMENTS of several windows, with `window_start` and `window_end`.
    """
    title = "Images with a finding, window by window"
    rows = measurements[measurements["metric"] == "share"].sort_values("window_start")
    if rows.empty:
        return style.no_data(title, "no images have been measured")
    peaks = rows[rows["value"] > 0].groupby("feature")["value"].sum().sort_values(ascending=False, kind="stable")
    lines = list(zip(peaks.index, FINDING_LINES, strict=False))
    sources, title = _stand_out(rows, {}, title)
    figure, panels = style.panels(title, len(sources), height=1.5)
    for axes, source in zip(panels, sources, strict=True):
        part = rows[rows["source"] == source]
        for finding, (colour, marker) in lines:
            line = part[part["feature"] == finding]
            axes.plot(_middles(line), line["value"], color=colour, marker=marker, markersize=4, linewidth=1.4)
        _dates(axes, part, current)
        _name_panel(axes, style.source_name(source), share=True)
        axes.set_ylim(-0.04, 1.04)
    _label(figure, "share of the window's images", len(sources))
    items: list[Item] = [
        (Line2D([], [], color=colour, marker=marker, markersize=4), style.name(finding))
        for finding, (colour, marker) in lines
    ]
    rarer = f"{len(peaks) - len(lines)} rarer findings not drawn" if len(peaks) > len(lines) else ""
    words = rarer if lines else "no image had a finding"
    items += [(Line2D([], [], linewidth=0), words)] if words else []
    style.legend(figure, items + _current_legend(current))
    return figure


def _draw_trend(axes: Axes, rows: pd.DataFrame, marks: Sequence[str], current: Window | None) -> None:
    times, values = _middles(rows), rows["value"].to_numpy()
    starts, ends = _edges(rows)
    low, high = rows["expected_low"].to_numpy(), rows["expected_high"].to_numpy()
    band = np.isfinite(low) & np.isfinite(high)
    # A bar per window and not one area: gaps between windows stay gaps, and a single window has a band too.
    axes.bar(starts[band], (high - low)[band], (ends - starts)[band], low[band], align="edge", color=style.BAND,
             linewidth=0, antialiased=False, zorder=0)  # fmt: skip
    axes.hlines(rows["expected"], starts, ends, colors=style.QUIET, linestyles=[DASHES], linewidth=1, zorder=1)
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
        axes.scatter(times[here], values[here], 26, colour, marker, edgecolors=style.INK, linewidths=0.6, zorder=4)
    _dates(axes, rows, current)


def _trend_legend(rows: pd.DataFrame, states: set[str], current: Window | None) -> list[Item]:
    items: list[Item] = []
    if rows["low"].notna().any():
        items.append((Line2D([], [], color=style.BLUE, marker="|", markersize=9), "value, 95 % interval"))
    if rows["expected_low"].notna().any():
        items.append((Patch(color=style.BAND), "95 % of healthy windows"))
    if rows["expected"].notna().any():
        items.append((Line2D([], [], color=style.QUIET, linestyle=DASHES, linewidth=1), "reference"))
    items += [(style.state_marker(state), state) for state in STATES if state in states]
    return items + _current_legend(current)


def _current_legend(current: Window | None) -> list[Item]:
    return [(Patch(color=style.INK, alpha=0.12), "this report's window")] if current else []


def _stand_out(rows: pd.DataFrame, states: States, title: str) -> tuple[list[str], str]:
    """The sources to draw, and the title, which says if they are not all."""
    sources = sorted(set(rows["source"]))
    if len(sources) <= PANELS:
        return sources, title
    newest = rows.groupby(["source", "feature"]).tail(1)
    band = (newest["expected_high"] - newest["expected_low"]).fillna(0) + 1e-12  # shares have none: then they are alike
    off = ((newest["value"] - newest["expected"].fillna(0)).abs() / band).groupby(newest["source"]).max()
    last = {source: STATES.index(state) for (source, _), state in sorted(states.items())}
    urgent = sorted(sources, key=lambda source: (-last.get(source, 0), -off.get(source, 0.0), source))[:PANELS]
    return sorted(urgent), f"{title}: the {PANELS} of {len(sources)} sources that stand out most"


def _states(verdicts: pd.DataFrame | None, feature: str) -> States:
    if verdicts is None or verdicts.empty:
        return {}
    part = verdicts[verdicts["feature"] == feature]
    found = part.groupby(["source", "window_start"])["state"].agg(lambda states: worst(list(states)))
    return {(str(source), start): str(state) for (source, start), state in found.items()}


def _axis_words(feature: str, metric: str) -> str:
    if metric == "share":
        return f"share of images: {FINDING_WORDS.get(feature, style.name(feature))}"
    if feature == "images":
        return "images in the window"
    return style.with_unit(feature) if metric == "mean" else f"{style.name(feature)}: {style.name(metric)}"


def _name_panel(axes: Axes, title: str, *, share: bool) -> None:
    axes.set_title(title, loc="left", fontsize=style.FONT, color=style.INK)
    if share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _label(figure: Figure, words: str, n_panels: int) -> None:
    figure.supylabel(style.wrap(words, 26 if n_panels == 1 else 48), fontsize=style.FONT, color=style.INK)
    figure.supxlabel("time (UTC)", fontsize=style.FONT, color=style.INK)


def _edges(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Starts and ends of the windows, as matplotlib counts days."""
    return _days(rows["window_start"]), _days(rows["window_end"])


def _days(times: Sequence[object] | pd.Series) -> NDArray[np.float64]:
    return np.asarray(mdates.date2num([pd.Timestamp(time).to_pydatetime() for time in times]), dtype=float)  # type: ignore[arg-type]


def _middles(rows: pd.DataFrame) -> NDArray[np.float64]:
    starts, ends = _edges(rows)
    return (starts + ends) / 2


def _dates(axes: Axes, rows: pd.DataFrame, current: Window | None) -> None:
    """Few readable dates, and the window the report is about."""
    edges = [*_edges(rows)[0], *_edges(rows)[1]]
    if current is not None:
        start, end = _days([current.start, current.end])
        axes.axvspan(start, end, color=style.INK, alpha=0.12, linewidth=0, zorder=0.5)
        edges += [start, end]
    slack = 0.02 * (max(edges) - min(edges))
    axes.set_xlim(min(edges) - slack, max(edges) + slack)
    locator = mdates.AutoDateLocator(minticks=2, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set_fontsize(style.FONT - 1)
