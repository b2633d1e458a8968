"""How good the model is: by slice, by confidence, and as it was estimated before labels came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from cvkit.documentation.plots import style
from cvkit.documentation.plots.over_time import PANELS, label_windows, middles
from cvkit.documentation.plots.style import Item
from cvkit.stats.arrays import Floats
from cvkit.stats.intervals import wilson
from cvkit.stats.quality.calibration import Calibration
from cvkit.stats.quality.operation import Curve, ratio
from cvkit.tables import Window

MOST_SLICES = 20
MOST_CLASSES = 10  # of a confusion matrix: more have no room for their numbers
SURE = 0.05  # p-value from which a slice is marked as worse than the others
FEW = 5  # predictions of a bin below which it is drawn hollow
CURVES = (("precision", style.BLUE, "-"), ("recall", style.VERMILLION, (0, (5, 2))), ("F1", style.GREEN, (0, (1, 1.2))))
SHARES = LinearSegmentedColormap.from_list("shares", [style.PAPER, style.SKY, style.BLUE])


def slice_bars(table: pd.DataFrame, title: str = "F1 by slice") -> Figure:
    """F1 of each slice with its interval, beside F1 of all other boxes (table SLICES), in the order given."""
    rows = table.dropna(subset="f1")
    if rows.empty:
        return style.no_data(title, "no labelled image has boxes")
    if len(rows) > MOST_SLICES:
        title += f": the first {MOST_SLICES} of {len(rows)}"
    shown = rows.head(MOST_SLICES).iloc[::-1]
    figure = style.new_figure(title, 0.3 * len(shown) + 1.25)
    axes = style.tidy(figure.subplots())
    places, values = np.arange(len(shown)), shown["f1"].to_numpy()
    sure = (shown["p_value"] <= SURE).to_numpy()
    axes.axvspan(0, 1, color=style.PAPER, zorder=0)
    axes.grid(axis="x", color=style.EDGE, linewidth=0.8)
    axes.scatter(shown["rest"], places, 150, style.QUIET, marker="|", linewidths=2, zorder=2)
    low, high = (shown[name].fillna(shown["f1"]).to_numpy() for name in ("low", "high"))
    ends = np.clip([values - low, high - values], 0, None)
    axes.errorbar(values, places, xerr=ends, fmt="none", ecolor=style.BLUE, elinewidth=1.6, zorder=3)
    for mark, which in (("ok", ~sure), ("critical", sure)):
        marker, colour = ("o", style.SKY) if mark == "ok" else style.MARKS[mark]
        axes.scatter(values[which], places[which], 42, colour, marker=marker, edgecolors=style.INK, linewidths=0.7,
                     zorder=4)  # fmt: skip
    labels = zip(shown["slice"], shown["images"], strict=True)
    names = [f"{style.plain(style.shorten(words, 44))} ({images})" for words, images in labels]
    axes.set_yticks(places, names)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("F1 at the deployed confidence, 0-1, higher is better", fontsize=style.FONT, color=style.INK)
    axes.set_ylabel("slice (images)", fontsize=style.FONT, color=style.INK)
    dot = Line2D([], [], color=style.BLUE, marker="o", markerfacecolor=style.SKY, markeredgecolor=style.INK)
    others = Line2D([], [], color=style.QUIET, marker="|", markersize=11, markeredgewidth=2, linewidth=0)
    items: list[Item] = [(dot, "F1, 95 % interval"), (others, "all other boxes")]
    style.legend(figure, items + ([(style.state_marker("critical"), "surely worse")] if sure.any() else []))
    return figure


def by_confidence(curve: Curve, deployed: float, confidence: float, title: str = "Quality by confidence") -> Figure:
    """Precision, recall and F1 of all classes together by the confidence that is cut at.

    Lines stand at the `deployed` confidence and at `confidence`, which is the last line of the axes: so that it can be
    moved without drawing all anew.
    """
    if not curve.confidence.size or np.isnan(curve.f1).all():
        return style.no_data(title, "no image with labels has both labelled boxes and predictions")
    figure = style.new_figure(title, 2.9)
    axes = style.tidy(figure.subplots())
    axes.grid(axis="y", color=style.EDGE, linewidth=0.8)
    items: list[Item] = []
    for name, colour, dashes in CURVES:
        drawn: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 1.8}
        axes.plot(curve.confidence, getattr(curve, name.lower()), drawstyle="steps-pre", **drawn)
        items.append((Line2D([], [], **drawn), name))
    axes.axvline(deployed, color=style.QUIET, linestyle=(0, (4, 3)), linewidth=1.4)
    axes.axvline(confidence, color=style.INK, linewidth=2.4)
    axes.set(xlim=(0, 1), ylim=(-0.03, 1.03))
    axes.set_xlabel("confidence that is cut at, 0-1", fontsize=style.FONT, color=style.INK)
    axes.set_ylabel("0-1, higher is better", fontsize=style.FONT, color=style.INK)
    items.append((Line2D([], [], color=style.QUIET, linestyle=(0, (4, 3))), f"deployed: {deployed:g}"))
    items.append((Line2D([], [], color=style.INK, linewidth=2.4), "looked at"))
    style.legend(figure, items)
    return figure


def most_confused(table: Floats, most: int = MOST_CLASSES) -> NDArray[np.intp]:
    """Numbers of the classes with most mistakes, ascending, at most `most`; `table` as `operation.confusion` gives it.

    >>> most_confused(np.array([[5.0, 0, 0, 0], [0, 2, 3, 0], [0, 0, 4, 0], [0, 0, 0, 0]]), most=2).tolist()
    [1, 2]
    """
    classes = len(table) - 1
    mistakes = (table.sum(axis=0) + table.sum(axis=1) - 2 * table.diagonal())[:classes]
    return np.sort(np.argsort(-mistakes, kind="stable")[:most])


def confusion(table: Floats, names: Sequence[str], title: str = "What was taken for what") -> Figure:
    """How many labelled boxes of each class (rows) were predicted as which (columns), the background last.

    `table` as `operation.confusion` gives it, of the classes `names`. Colours tell the share of the row. `count` puts
    other numbers in.
    """
    if not table.sum():
        return style.no_data(title, "no labelled image has boxes")
    shown = [style.plain(style.shorten(name, 14)) for name in names]
    size = len(table)
    figure = style.new_figure(title, 0.36 * size + 1.5)
    axes = figure.subplots()
    axes.imshow(np.zeros((size, size)), cmap=SHARES, vmin=0, vmax=1, aspect="auto")
    count(axes, table)
    turned: dict[str, Any] = {"rotation": 40, "ha": "right"} if size > 5 else {}
    axes.set_xticks(range(size), [*shown, "nothing"], **turned)
    axes.set_yticks(range(size), [*shown, "nothing"])
    axes.tick_params(labelsize=style.FONT - 1, colors=style.INK, length=0)
    axes.spines[:].set_visible(False)
    for edge in np.arange(size - 1) + 0.5:
        axes.axhline(edge, color=style.EDGE, linewidth=1)
        axes.axvline(edge, color=style.EDGE, linewidth=1)
    axes.set_xlabel("predicted as (boxes; darker: more of the row)", fontsize=style.FONT, color=style.INK)
    axes.set_ylabel("labelled as", fontsize=style.FONT, color=style.INK)
    return figure


def count(axes: Axes, table: Floats) -> None:
    """Put the counts of `table` into the axes of `confusion`, in place of those that stand there."""
    for text in list(axes.texts):
        text.remove()
    share = ratio(table, table.sum(axis=1, keepdims=True))
    axes.images[0].set_data(np.nan_to_num(share))
    for row, column in zip(*np.nonzero(table), strict=True):
        colour = style.PAPER if share[row, column] > 0.7 else style.INK
        axes.text(column, row, f"{table[row, column]:g}", ha="center", va="center", fontsize=style.FONT - 1,
                  color=colour, fontweight="bold" if row == column else "normal")  # fmt: skip


def reliability(calibration: Calibration, title: str = "Is the confidence right?") -> Figure:
    """Share of predictions that are right by confidence, all classes together, above how many there are."""
    n = calibration.n.sum(axis=0)
    if not n.sum():
        return style.no_data(title, "no prediction on an image with labels")
    figure = style.new_figure(title, 3.9)
    above, below = (style.tidy(axes) for axes in figure.subplots(2, 1, height_ratios=(3, 1), sharex=True))
    _draw_reliability(above, calibration, n)
    below.bar(
        calibration.edges[:-1], n, np.diff(calibration.edges), align="edge", color=style.SKY, edgecolor=style.PAPER
    )
    below.set_ylabel("predictions", fontsize=style.FONT, color=style.INK)
    below.set_xlabel("confidence, 0-1", fontsize=style.FONT, color=style.INK)
    errors = f"D-ECE {calibration.dece:.3f}, LaECE {calibration.laece:.3f} (0 is best)"
    above.set_title(errors, loc="left", fontsize=style.FONT, color=style.INK)
    items: list[Item] = [
        (Line2D([], [], color=style.QUIET, linestyle=(0, (4, 3))), "as it should be"),
        (Line2D([], [], color=style.BLUE, marker="o"), "share right, 95 % interval"),
        (Line2D([], [], color=style.BLUE, marker="o", markerfacecolor=style.PAPER, linewidth=0), f"fewer than {FEW}"),
    ]
    style.legend(figure, items)
    return figure


def _draw_reliability(axes: Axes, calibration: Calibration, n: np.ndarray) -> None:
    some = n > 0
    right, sure = (np.nansum(one * calibration.n, axis=0) for one in (calibration.precision, calibration.confidence))
    x, y = ratio(sure, n)[some], ratio(right, n)[some]
    ends = np.array([wilson(min(k, m), m) for k, m in zip(right[some], n[some], strict=True)])
    axes.plot([0, 1], [0, 1], color=style.QUIET, linestyle=(0, (4, 3)), linewidth=1.2)
    axes.errorbar(x, y, yerr=np.clip([y - ends[:, 0], ends[:, 1] - y], 0, None), color=style.BLUE, elinewidth=1.2)
    few = n[some] < FEW
    for which, fill in ((~few, style.BLUE), (few, style.PAPER)):
        axes.scatter(x[which], y[which], 30, fill, edgecolors=style.BLUE, zorder=4)
    axes.set(xlim=(0, 1), ylim=(-0.03, 1.03))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("share that found an object", fontsize=style.FONT, color=style.INK)


def believed(measurements: pd.DataFrame, metric: str = "ap", *, current: Window | None = None) -> Figure:
    """What was estimated without labels, with its band, and what labels told when they came, a panel per source.

    Table MEASUREMENTS of several windows, with `window_start` and `window_end`.
    """
    without = ((measurements["feature"] == "estimate") & measurements["value"].notna()).any()
    told = "estimated without labels, and what labels told" if without else "as labels told it"
    title = f"{style.name(metric).upper()} {told}"
    rows = measurements[measurements["feature"].isin(["estimate", "performance"]) & (measurements["metric"] == metric)]
    rows = rows.dropna(subset="value").sort_values("window_start")
    if rows.empty:
        return style.no_data(title, "no window has labels, and none an estimate")
    sources = style.in_order(rows["source"])
    if len(sources) > PANELS:
        title += f": the first {PANELS} of {len(sources)} sources"
    figure, panels = style.panels(title, len(sources[:PANELS]))
    for axes, source in zip(panels, sources, strict=False):
        part = rows[rows["source"] == source]
        _draw_believed(axes, part)
        axes.set_title(style.source_name(source), loc="left", fontsize=style.FONT, color=style.INK)
        axes.set_ylim(-0.03, 1.03)
    label_windows(figure, panels, f"{style.name(metric)}, 0-1, higher is better", rows, current)
    items: list[Item] = [
        (Line2D([], [], color=style.BLUE, marker="o", markeredgecolor=style.INK, linewidth=0), "labels, 95 % interval"),
        (Line2D([], [], color=style.QUIET, linestyle=(0, (4, 3))), "reference"),
    ]
    estimated: list[Item] = [(Patch(color=style.ORANGE, alpha=0.35), "estimate, 90 % band")]
    style.legend(figure, (estimated if (rows["feature"] == "estimate").any() else []) + items)
    return figure


def _draw_believed(axes: Axes, rows: pd.DataFrame) -> None:
    estimate, realised = (rows[rows["feature"] == name] for name in ("estimate", "performance"))
    if len(estimate):
        times = middles(estimate)
        axes.fill_between(times, estimate["low"], estimate["high"], color=style.ORANGE, alpha=0.35, linewidth=0)
        ends = [estimate["value"] - estimate["low"], estimate["high"] - estimate["value"]]
        axes.errorbar(times, estimate["value"], ends, color=style.ORANGE, elinewidth=4, alpha=0.6, linewidth=1.4)
    if len(realised):
        times, values = middles(realised), realised["value"].to_numpy()
        low, high = (realised[name].fillna(realised["value"]).to_numpy() for name in ("low", "high"))
        axes.errorbar(times, values, np.clip([values - low, high - values], 0, None), fmt="none", ecolor=style.BLUE)
        axes.scatter(times, values, 26, style.BLUE, edgecolors=style.INK, linewidths=0.6, zorder=4)
    expected = rows["expected"].dropna()
    if len(expected):
        axes.axhline(float(expected.iloc[-1]), color=style.QUIET, linestyle=(0, (4, 3)), linewidth=1)
