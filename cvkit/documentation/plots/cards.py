"""A model card: how much of it is there, how sure its numbers are, and how old its facts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cvkit.documentation.facts.table import Fact
from cvkit.documentation.plots import style

MOST = 20  # rows of a figure


def known_facts(facts: Mapping[str, Fact], title: str = "How much is known") -> Figure:
    """Fields of each matter that are known, beside those that are not."""
    if not facts:
        return style.no_data(title, "the card has no facts")
    figure, axes = _rows(title, list(facts))
    places, done = np.arange(len(facts)), np.array([fact.known for fact in facts.values()])
    lacking = np.array([len(fact.missing) for fact in facts.values()])
    axes.barh(places, done, color=style.BLUE, edgecolor=style.INK, linewidth=0.6)
    axes.barh(places, lacking, left=done, color=style.PAPER, edgecolor=style.VERMILLION, linewidth=1, hatch="////")
    axes.set_xlabel("fields", fontsize=style.FONT, color=style.INK)
    missing = Patch(facecolor=style.PAPER, edgecolor=style.VERMILLION, hatch="////")
    style.legend(figure, [(Patch(facecolor=style.BLUE, edgecolor=style.INK), "known"), (missing, "not known")])
    return figure


def reference_quality(quality: pd.DataFrame, title: str = "F1 on the reference, with 95 % intervals") -> Figure:
    """F1 of the whole reference and of each part (table QUALITY)."""
    rows = quality[(quality["metric"] == "f1") & quality["value"].notna()].head(MOST)
    if rows.empty:
        return style.no_data(title, "the reference has no labels")
    names = [f"{row['part'] or 'all images'} ({row['n']:,})" for row in rows.to_dict("records")]
    figure, axes = _rows(title, names)
    places, values = np.arange(len(rows)), rows["value"].to_numpy()
    low, high = (rows[name].fillna(rows["value"]).to_numpy() for name in ("low", "high"))
    ends = np.clip([values - low, high - values], 0, None)
    axes.errorbar(values, places, xerr=ends, fmt="o", color=style.BLUE, ecolor=style.BLUE, markersize=6, elinewidth=1.6)
    whole = rows["part"].to_numpy() == ""
    if whole.any():
        axes.axvline(values[whole][0], color=style.QUIET, linewidth=1, linestyle="--")
        style.legend(figure, [(Line2D([], [], color=style.QUIET, linestyle="--"), "all images")])
    axes.set_xlabel("F1, 0 to 1, higher is better", fontsize=style.FONT, color=style.INK)
    axes.set_ylabel("part (images)", fontsize=style.FONT, color=style.INK)
    return figure


def ages(facts: Mapping[str, Fact], title: str = "How old the facts are") -> Figure:
    """Days from what each fact is of to the newest of them; facts that hold at any time have none."""
    dates = {name: fact.date for name, fact in facts.items() if fact.date}
    if not dates:
        return style.no_data(title, "no fact has a date: nothing was measured yet")
    figure, axes = _rows(title, list(dates))
    newest = max(dates.values())
    days = [(newest - when).total_seconds() / 86400 for when in dates.values()]
    axes.barh(np.arange(len(days)), days, color=style.SKY, edgecolor=style.INK, linewidth=0.6)
    for place, value in enumerate(days):
        axes.annotate(f"{value:.0f}", (value, place), (4, 0), textcoords="offset points", va="center",
                      fontsize=style.FONT - 1, color=style.INK)  # fmt: skip
    axes.set_xlim(0, max(1.0, 1.08 * max(days)))
    axes.set_xlabel(f"days before the newest of them, {newest:%Y-%m-%d}", fontsize=style.FONT, color=style.INK)
    return figure


def _rows(title: str, names: list[str]) -> tuple[Figure, Axes]:
    """A figure with a row for each name, the first at the top."""
    figure = style.new_figure(title, 0.28 * len(names) + 1.2)
    axes = style.tidy(figure.subplots())
    axes.grid(axis="x", color=style.EDGE, linewidth=0.8)
    axes.set_yticks(np.arange(len(names)), [style.plain(style.shorten(name, 40)) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    return figure, axes
