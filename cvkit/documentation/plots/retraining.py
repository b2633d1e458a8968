"""A retraining: how it learnt, and what the gate compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cvkit.documentation.plots import style
from cvkit.documentation.plots.style import Item

MOST_PARTS = 16
# A verdict of the gate: marker, colour, and words for the legend. No verdict is told by colour alone.
VERDICTS: Mapping[str, tuple[str, str, str]] = {
    "gained": ("D", style.GREEN, "gained"),
    "held": ("o", style.GREEN, "held"),
    "not enough": ("^", style.ORANGE, "too few images to tell"),
    "no gain": ("s", style.VERMILLION, "no gain"),
    "worse": ("s", style.VERMILLION, "worse"),
}
OTHER = ("o", style.PAPER, "not protected, not surely worse")
LOSSES: Mapping[str, tuple[str, Literal["-", "--", ":"]]] = {
    "box_loss": ("boxes", "-"),
    "cls_loss": ("classes", "--"),
    "dfl_loss": ("edges", ":"),
}


def gate_parts(parts: pd.DataFrame, title: str = "Challenger less champion, on the same images") -> Figure:
    """F1 of each part of the test images: difference with its interval, and where it has to lie (table PARTS).

    The whole test set and its old and new part first, then what is protected, then what is worse, then the rest.
    """
    rows = parts[parts["metric"].isin(["f1", "recall"]) & parts["difference"].notna()]
    if rows.empty:
        return style.no_data(title, "no part of the test images could be compared")
    order = np.lexsort((np.arange(len(rows)), rows["verdict"] != "worse", ~rows["protected"], rows["by"] != ""))
    rows, all_of_them = rows.iloc[order[:MOST_PARTS]].iloc[::-1], len(rows)
    title += f": the first {MOST_PARTS} of {all_of_them}" if all_of_them > MOST_PARTS else ""
    figure = style.new_figure(title, 0.3 * len(rows) + 1.35)
    axes = style.tidy(figure.subplots())
    used = _draw_parts(axes, rows)
    names = [f"{style.plain(style.shorten(_name(row), 40))} ({row['images']})" for row in rows.to_dict("records")]
    axes.set_yticks(np.arange(len(rows)), names)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("difference of F1, right of 0 the challenger is better", fontsize=style.FONT, color=style.INK)
    axes.set_ylabel("part (images)", fontsize=style.FONT, color=style.INK)
    items: list[Item] = [(Line2D([], [], color=style.VERMILLION, marker="|", markersize=11, markeredgewidth=2,
                                 linewidth=0), "the interval has to lie right of it")]  # fmt: skip
    items += [(Line2D([], [], color=style.QUIET, marker=marker, markerfacecolor=colour, markeredgecolor=style.INK),
               words) for marker, colour, words in used]  # fmt: skip
    style.legend(figure, items)
    return figure


def _draw_parts(axes: Axes, rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Draw the rows from below; the marks that were used."""
    places, values = np.arange(len(rows)), rows["difference"].to_numpy()
    low, high = (rows[name].fillna(rows["difference"]).to_numpy() for name in ("low", "high"))
    axes.grid(axis="x", color=style.EDGE, linewidth=0.8)
    axes.axvline(0, color=style.QUIET, linewidth=1)
    ends = np.clip([values - low, high - values], 0, None)
    axes.errorbar(values, places, xerr=ends, fmt="none", ecolor=style.BLUE, elinewidth=1.6, zorder=3)
    axes.scatter(rows["limit"], places, 150, style.VERMILLION, marker="|", linewidths=2, zorder=2)
    marks = [VERDICTS.get(verdict, OTHER) for verdict in rows["verdict"]]
    for mark in dict.fromkeys(marks):
        which = np.array([one == mark for one in marks])
        axes.scatter(values[which], places[which], 42, mark[1], marker=mark[0], edgecolors=style.INK, linewidths=0.7,
                     zorder=4)  # fmt: skip
    return list(dict.fromkeys(marks))


def _name(row: Mapping[Any, Any]) -> str:
    """A part in words: old, class nut."""
    return f"{row['part']}, {row['by']} {row['value']}" if row["by"] else f"{row['part']} images"


def training_curves(curves: pd.DataFrame, title: str = "How the training went") -> Figure:
    """Losses and mAP by epoch, from Ultralytics' results.csv (`epoch`, `train/...`, `val/...`, `metrics/...`)."""
    if curves.empty:
        return style.no_data(title, "nothing is known of its epochs")
    figure = style.new_figure(title, 4.2)
    above, below = (style.tidy(axes) for axes in figure.subplots(2, 1, sharex=True))
    items: list[Item] = []
    point: dict[str, Any] = {"marker": "s", "markersize": 4} if len(curves) == 1 else {}  # one epoch is no line
    for part, colour in (("train", style.BLUE), ("val", style.ORANGE)):
        for loss, (words, line) in LOSSES.items():
            if (name := f"{part}/{loss}") in curves and curves[name].notna().any():
                above.plot(curves["epoch"], curves[name], color=colour, linestyle=line, linewidth=1.6, **point)
                items.append((Line2D([], [], color=colour, linestyle=line), f"loss of {words}, {part}"))
    for name, colour, words in (("metrics/mAP50(B)", style.SKY, "mAP50"), ("metrics/mAP50-95(B)", style.GREEN, "mAP")):
        if name in curves:
            below.plot(curves["epoch"], curves[name], color=colour, marker="o", markersize=4, linewidth=1.6)
            items.append((Line2D([], [], color=colour, marker="o"), f"{words}, val"))
    above.set_ylabel("loss", fontsize=style.FONT, color=style.INK)
    above.set_ylim(bottom=0)
    below.set_ylabel("mAP by Ultralytics", fontsize=style.FONT, color=style.INK)
    below.set_ylim(-0.03, 1.03)
    below.set_xlabel("epoch", fontsize=style.FONT, color=style.INK)
    below.set_xlim(curves["epoch"].min() - 0.5, curves["epoch"].max() + 0.5)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend(figure, items)
    return figure
