"""The reference against the window: how values, and classes, are spread."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from cvkit.documentation.plots import style
from cvkit.documentation.plots.style import Item

Floats = NDArray[np.float64]
FEW = 20  # with fewer images, each is drawn: the bars of a histogram would be chance
MOST_BINS = 30
MOST_ROWS = 20  # sources whose images are drawn one by one
CLASSES = 12  # drawn; of more, those whose shares differ most


def distributions(reference_values: ArrayLike, current_values: ArrayLike, feature: str, source: str) -> Figure:
    """One feature of one source: the reference's histogram, and over it the window's on the same bins.

    NaN values are left out and counted in the legend. Fewer than `FEW` values are drawn one by one.
    """
    then, now = _finite(reference_values), _finite(current_values)
    title = f"{style.name(feature).capitalize()} of {source or 'all images'}: this window against the reference"
    if not then.size and not now.size:
        return style.no_data(title, "neither the reference nor the window has a value")
    figure = style.new_figure(title, 2.9)
    axes = style.tidy(figure.subplots())
    bins = _common_bins(then, now)
    items: list[Item] = []
    _draw_sample(axes, then, bins, current=False)
    _draw_sample(axes, now, bins, current=True)
    for values, given, current in ((then, reference_values, False), (now, current_values, True)):
        items.append((_swatch(current, single=values.size < FEW), _count_words(values.size, given, current)))
        if values.size:
            axes.axvline(values.mean(), color=style.BLUE if current else style.QUIET,
                         linestyle="-" if current else "--", linewidth=1.6, zorder=3)  # fmt: skip
    items.append((Line2D([], [], color=style.INK, linestyle="--"), "means"))
    axes.set_xlabel(style.with_unit(feature), fontsize=style.FONT, color=style.INK)
    axes.set_ylabel("share of images", fontsize=style.FONT, color=style.INK)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    style.legend(figure, items)
    return figure


def class_mix(
    reference_predictions: pd.DataFrame, current_predictions: pd.DataFrame, classes: Mapping[int, str], source: str = ""
) -> Figure:
    """Share of the predicted boxes by class, reference against window; both are tables BOXES."""
    title = f"Class mix of {source or 'all images'}: this window against the reference"
    then, now = (_shares(table) for table in (reference_predictions, current_predictions))
    if then.empty and now.empty:
        return style.no_data(title, "no boxes were predicted")
    table = pd.DataFrame({"then": then, "now": now}).fillna(0.0)
    table["change"] = (table["now"] - table["then"]).abs()
    shown = table.sort_values("change", ascending=False, kind="stable").head(CLASSES).sort_values("then")
    if len(table) > CLASSES:
        title += f", the {CLASSES} of {len(table)} classes that changed most"
    figure = style.new_figure(title, 0.42 * len(shown) + 1.2)
    axes = style.tidy(figure.subplots())
    places = np.arange(len(shown))
    axes.barh(places + 0.2, shown["then"], 0.38, color=style.REFERENCE)
    axes.barh(places - 0.2, shown["now"], 0.38, color=style.SKY, edgecolor=style.BLUE, linewidth=1.2)
    names = [style.plain(style.shorten(classes.get(int(number), f"class {number}"), 24)) for number in shown.index]
    axes.set_yticks(places, names)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("share of the predicted boxes", fontsize=style.FONT, color=style.INK)
    axes.set_ylabel("class", fontsize=style.FONT, color=style.INK)
    counts = (len(reference_predictions), len(current_predictions))
    items: list[Item] = [
        (_swatch(current, single=False), f"{'this window' if current else 'reference'} ({counts[current]:,} boxes)")
        for current in (False, True)
    ]
    style.legend(figure, items)
    return figure


def _draw_sample(axes: Axes, values: Floats, bins: Floats, *, current: bool) -> None:
    if not values.size:
        return
    if values.size < FEW:
        height = 0.03 if current else 0.07
        marker, colour = ("d", style.BLUE) if current else ("|", style.QUIET)
        places = axes.get_xaxis_transform()
        axes.scatter(values, np.full(values.size, height), 40, colour, marker=marker, transform=places,
                     clip_on=False, zorder=4)  # fmt: skip
        return
    shares = np.histogram(values, bins)[0] / values.size
    if current:
        axes.stairs(shares, bins, color=style.BLUE, linewidth=2, zorder=2)
        axes.stairs(shares, bins, color=style.SKY, alpha=0.3, fill=True, zorder=1.5)
    else:
        axes.stairs(shares, bins, color=style.REFERENCE, fill=True, zorder=1)


def _common_bins(then: Floats, now: Floats) -> Floats:
    """Bins as wide as suits the reference (Freedman and Diaconis), over the range of both samples."""
    both = np.concatenate([then, now])
    low, high = float(both.min()), float(both.max())
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
        slack = 0.5 * max(abs(low), 1.0)
        return np.linspace(low - slack, high + slack, 12)
    sample = then if then.size >= FEW else both
    quarters = np.quantile(sample, [0.25, 0.75])
    width = 2 * (quarters[1] - quarters[0]) / np.cbrt(min(sample.size, 1000))
    many = int(np.ceil((high - low) / width)) if width > 0 else MOST_BINS
    readable = 2 * int(np.sqrt(min(size for size in (then.size, now.size) if size)))  # or bars are single images
    return np.linspace(low, high, int(np.clip(many, 8, np.clip(readable, 8, MOST_BINS))) + 1)


def _count_words(n: int, given: ArrayLike, current: bool) -> str:
    missing = np.asarray(given, dtype=float).size - n
    words = f"{'this window' if current else 'reference'} (n = {n:,}"
    return f"{words}; {missing:,} without a value)" if missing else f"{words})"


def _swatch(current: bool, *, single: bool) -> Line2D | Patch:
    if single:
        marker, colour = ("d", style.BLUE) if current else ("|", style.QUIET)
        return Line2D([], [], linewidth=0, marker=marker, color=colour, markersize=7)
    if current:
        return Patch(facecolor=style.SKY, edgecolor=style.BLUE, linewidth=1.6)
    return Patch(color=style.REFERENCE)


def _finite(values: ArrayLike) -> Floats:
    numbers: Floats = np.asarray(values, dtype=np.float64).ravel()
    return numbers[np.isfinite(numbers)]


def _shares(predictions: pd.DataFrame) -> pd.Series:
    return predictions["class_id"].value_counts(normalize=True)


def strangeness(anomalies: pd.DataFrame) -> Figure:
    """How strange every image of a window is, a row per source; few images of the reference lie beyond 1.

    `anomalies`: table ANOMALIES. Flagged images are squares, and a line in the row says where they begin. From top to
    bottom of a row time goes by.
    """
    title = "How strange the images are"
    judged = anomalies.dropna(subset=["score", "usual"])
    if judged.empty:
        return style.no_data(title, "no image could be compared with the reference")
    known = style.in_order(judged["source"])
    sources = known[:MOST_ROWS]
    title += f": the first {MOST_ROWS} of {len(known)} sources" if len(known) > MOST_ROWS else ""
    figure = style.new_figure(title, 0.7 * len(sources) + 1.3)
    axes = style.tidy(figure.subplots())
    judged = judged[judged["source"].isin(sources)].sort_values(["source", "time", "image_id"])
    place = judged["source"].map({source: row for row, source in enumerate(sources)})
    by = place.groupby(place)
    heights = place - 0.3 + 0.6 * by.cumcount() / (by.transform("size") - 1).clip(lower=1)
    times, flagged = (judged["score"] / judged["usual"]).clip(lower=1e-2), judged["flagged"]
    axes.plot(times[~flagged], heights[~flagged], "o", color=style.BLUE, markersize=4, alpha=0.6)
    axes.plot(times[flagged], heights[flagged], "s", color=style.VERMILLION, markersize=7)
    begin = times[flagged].groupby(place[flagged]).min()
    axes.vlines(begin, begin.index - 0.42, begin.index + 0.42, color=style.INK, linewidth=1.6)
    axes.axvline(1.0, color=style.QUIET, linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(sources)), [style.source_name(source, 16) for source in sources])
    axes.set_ylim(len(sources) - 0.5, -0.5)
    axes.set_xlabel("strangeness, times what few images of the reference exceed", fontsize=style.FONT, color=style.INK)
    style.legend(figure, [
        (Line2D([], [], marker="o", linestyle="", color=style.BLUE, alpha=0.6), "image"),
        (Line2D([], [], marker="s", linestyle="", color=style.VERMILLION), "flagged image"),
        (Line2D([], [], color=style.INK, linewidth=1.6), "flags begin"),
        (Line2D([], [], linestyle="--", color=style.QUIET), "few images of the reference lie beyond"),
    ])  # fmt: skip
    return figure
