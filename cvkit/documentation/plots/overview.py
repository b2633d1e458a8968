"""One window at a glance: all features of all sources, and all findings."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from cvkit.documentation.plots import style
from cvkit.documentation.plots.style import Item
from cvkit.tables import FEATURE_UNITS, STATES, worst_by

COLOURS = "YlOrBr"  # one hue from light to dark: order survives every kind of colour vision, and grey print
UPRIGHT = 6  # with more sources they are rows, so that the figure grows downwards
MOST_SOURCES = 40
NO_VALUE = "#eef1f3"
MOST_BARS = 15

States = dict[tuple[str, str], str]


def heat_map(measurements: pd.DataFrame, verdicts: pd.DataFrame, *, cap: float = 2.0) -> Figure:
    """Features by sources: how far each lies from the reference, and what the rules say to it.

    A cell's number is the effect (Wasserstein distance in reference standard deviations; Cohen's w for the class mix),
    its arrow whether the mean went up or down, its colour the effect up to `cap`, its mark the verdict.
    Tables MEASUREMENTS and VERDICTS of one window.
    """
    title = "How far each feature lies from the reference in this window"
    moved = effects(measurements)
    states = _drift_states(verdicts)
    table = moved.pivot_table("effect", "feature", "source", "max", dropna=False)
    for feature, source in states:
        if feature not in table.index or source not in table.columns:
            table.loc[feature, source] = np.nan
    if table.empty:
        return style.no_data(title, "no feature could be compared with the reference in this window")
    order = [feature for feature in FEATURE_UNITS if feature in table.index]
    sources = table.max().sort_values(ascending=False, kind="stable").index[:MOST_SOURCES]
    if len(table.columns) > MOST_SOURCES:
        title += f": the {MOST_SOURCES} of {len(table.columns)} sources that moved most"
    table = table.loc[order, style.in_order(sources)]
    wide = len(table.columns) <= UPRIGHT
    return _draw_heat_map(table if wide else table.T, moved, states, title, cap)


def quality_bars(measurements: pd.DataFrame, verdicts: pd.DataFrame | None = None) -> Figure:
    """Share of images with each finding, against the share the reference has; the largest excess first.

    Table MEASUREMENTS (and VERDICTS) of one window. Findings that no image has are left out.
    """
    title = "Images with a finding, this window against the reference"
    shares = measurements[measurements["metric"] == "share"]
    if shares.empty:
        return style.no_data(title, "there are no images in this window")
    rows = shares[shares["value"] > 0].sort_values(["effect", "value"], ascending=False, kind="stable")
    if rows.empty:
        n = int(shares.groupby("source")["n"].max().sum())
        return style.no_data("Images with a finding: none", f"none of the window's {n:,} images has a finding")
    if len(rows) > MOST_BARS:
        title += f": the {MOST_BARS} largest of {len(rows)}"
    shown = rows.head(MOST_BARS).iloc[::-1]
    figure = style.new_figure(title, 0.34 * len(shown) + 1.25)
    _draw_bars(style.tidy(figure.subplots()), shown, verdicts)
    items: list[Item] = [
        (Patch(color=style.SKY), "this window"),
        (Line2D([], [], color=style.BLUE), "95 % interval"),
        (Line2D([], [], color=style.INK, marker="|", markersize=12, markeredgewidth=2.5, linewidth=0), "reference"),
    ]
    style.legend(figure, items)
    return figure


def _draw_bars(axes: Axes, shown: pd.DataFrame, verdicts: pd.DataFrame | None) -> None:
    places = np.arange(len(shown))
    values = shown["value"].to_numpy()
    axes.barh(places, values, 0.68, color=style.SKY)
    below, above = values - shown["low"].fillna(shown["value"]), shown["high"].fillna(shown["value"]) - values
    axes.errorbar(values, places, xerr=np.clip([below, above], 0, None), fmt="none", ecolor=style.BLUE, elinewidth=1.4)
    axes.scatter(
        shown["expected"].fillna(0), places, 180, style.INK, marker="|", linewidths=2.5, zorder=4, clip_on=False
    )
    states = _finding_states(verdicts)
    pairs = list(zip(shown["source"], shown["feature"], strict=True))
    for place, pair, value, high in zip(places, pairs, values, shown["high"].fillna(shown["value"]), strict=True):
        state = states.get(pair, "")
        words = f"{value:.0%}" + (f" {style.SIGNS[state]} {state}" if state not in ("", "ok") else "")
        axes.text(max(value, high) + 0.015, float(place), words, va="center", fontsize=style.FONT - 1, color=style.INK)
    axes.set_yticks(places, [f"{style.source_name(source, 16)} · {style.name(finding)}" for source, finding in pairs])
    axes.set_xlim(0, 1.22)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("share of the source's images", fontsize=style.FONT, color=style.INK)
    axes.set_ylabel("source · finding", fontsize=style.FONT, color=style.INK)


def effects(measurements: pd.DataFrame) -> pd.DataFrame:
    """Feature, source, `effect` and `direction` (1 up, -1 down, 0 neither) of everything that was compared."""
    numbers = measurements["metric"].isin(["wasserstein", "embedding_shift"])
    mix = (measurements["metric"] == "chi_square") & (measurements["feature"] == "class_mix")
    rows = measurements.loc[(numbers | mix) & measurements["feature"].isin(list(FEATURE_UNITS))]
    means = measurements[measurements["metric"] == "mean"].drop_duplicates(["feature", "source"])
    moved = means.assign(direction=np.sign((means["value"] - means["expected"]).fillna(0)))
    return rows[["feature", "source", "effect"]].merge(
        moved[["feature", "source", "direction"]], on=["feature", "source"], how="left"
    )


def _drift_states(verdicts: pd.DataFrame) -> States:
    return worst_by(verdicts[verdicts["rule"] == "drift"], "feature", "source")


def _finding_states(verdicts: pd.DataFrame | None) -> States:
    if verdicts is None:
        return {}
    part = verdicts[verdicts["rule"] == "quality"]
    return dict(zip(zip(part["source"], part["feature"], strict=True), part["state"], strict=True))


def _draw_heat_map(table: pd.DataFrame, effects: pd.DataFrame, states: States, title: str, cap: float) -> Figure:
    wide = table.index[0] in FEATURE_UNITS
    figure = style.new_figure(title, 0.33 * len(table) + (2.0 if wide else 2.6))
    axes = style.tidy(figure.subplots())
    colours = mpl.colormaps[COLOURS].with_extremes(bad=NO_VALUE)
    picture = axes.imshow(table.clip(upper=cap).to_numpy(dtype=float), colours, Normalize(0, cap), aspect="auto")
    directions = effects.set_index(["feature", "source"])["direction"].to_dict()
    for (down, across), effect in np.ndenumerate(table.to_numpy(dtype=float)):
        row, column = str(table.index[down]), str(table.columns[across])
        pair = (row, column) if wide else (column, row)
        words = _cell_words(effect, directions.get(pair, 0), states.get(pair, ""), wide)
        colour = style.PAPER if effect > 0.55 * cap else style.INK
        axes.text(across, down, words, ha="center", va="center", fontsize=style.FONT - 1, color=colour)
    _mark_cells(axes, table, states, wide)
    _name_cells(axes, table, wide)
    bar = figure.colorbar(picture, ax=axes, location="bottom", shrink=0.7, aspect=30, pad=0.02)
    bar.ax.tick_params(labelsize=style.FONT - 1, colors=style.INK)
    mixed = "class mix: Cohen's w; " if "class_mix" in (*table.index, *table.columns) else ""
    words = f"size of the change in this window, reference standard deviations\n({mixed}{cap:g} and more: darkest)"
    bar.set_label(words, fontsize=style.FONT - 1, color=style.INK)
    style.legend(figure, _heat_map_legend(set(states.values()), bool(table.isna().any(axis=None)), wide))
    return figure


def _cell_words(effect: float, direction: float, state: str, wide: bool) -> str:
    if np.isnan(effect):
        return "?" if state == "unknown" else "-"
    arrow = {1.0: "↑", -1.0: "↓"}.get(direction, "") if wide else ""
    digits = 2 if wide and effect < 1 else 1 if effect < 10 else 0
    size = "∞" if np.isinf(effect) else f"{effect:.{digits}f}"
    return f"{arrow}{size}{' ?' if state == 'unknown' else ''}"


def _mark_cells(axes: Axes, table: pd.DataFrame, states: States, wide: bool) -> None:
    """The verdicts' marks, in the corner of narrow cells and beside the number in wide ones."""
    across, down = (0.36, 0.0) if wide else (0.31, -0.27)
    for state in ("warning", "critical"):
        places = [
            (x + across, y + down)
            for y, row in enumerate(table.index)
            for x, column in enumerate(table.columns)
            if states.get((row, column) if wide else (column, row)) == state
        ]
        marker, _ = style.MARKS[state]
        x, y = zip(*places, strict=True) if places else ((), ())
        axes.scatter(
            x, y, 55 if wide else 26, style.INK, marker=marker, edgecolors=style.PAPER, linewidths=0.9, zorder=4
        )


def _name_cells(axes: Axes, table: pd.DataFrame, wide: bool) -> None:
    rows = [style.name(row) if wide else style.source_name(row, 18) for row in table.index]
    columns = [style.source_name(column, 14) if wide else style.name(column) for column in table.columns]
    crowded = not wide or max(map(len, columns)) * len(columns) > 40
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(columns)), columns)
    if crowded:
        for label in axes.get_xticklabels():
            label.set(rotation=55, ha="left", va="bottom", rotation_mode="anchor")
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("feature" if wide else "source", fontsize=style.FONT, color=style.INK)
    axes.set_xlabel("source" if wide else "feature", fontsize=style.FONT, color=style.INK)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=style.PAPER, linewidth=1.5)
    axes.tick_params(which="both", length=0)


def _heat_map_legend(states: set[str], gaps: bool, wide: bool) -> list[Item]:
    items: list[Item] = [
        (Line2D([], [], linewidth=0, marker=style.MARKS[state][0], color=style.INK), state)
        for state in STATES[2:]
        if state in states
    ]
    signs = [("?", "too few images to judge")] if "unknown" in states else []
    signs += [("-", "no values")] if gaps else []
    signs += [("↑↓", "mean went up, down")] if wide else []
    items += [(Line2D([], [], linewidth=0), f"{sign}  {words}") for sign, words in signs]
    return items
