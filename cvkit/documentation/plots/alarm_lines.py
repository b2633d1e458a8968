"""Alarms on a time line, a row for each source: under one setting beside another."""

from __future__ import annotations

import matplotlib.dates as mdates
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cvkit.documentation.plots import style
from cvkit.documentation.plots.style import Item
from cvkit.tables import Window

MOST_ROWS = 20  # sources
TRIED, TODAY = 0.19, -0.19  # where the bars lie beside the middle of a row
THICK = 0.34
DAYS_WITHOUT_CLOCK = 3.0


def alarm_lines(tried: pd.DataFrame, today: pd.DataFrame, span: Window) -> Figure:
    """Alarms of each source within `span`: as `tried` has them above, as `today` has them below.

    Both have a row for each alarm: `source`, `start`, `end` (NaT while it lasts). Of more than `MOST_ROWS` sources
    those with most alarms are drawn. Without an alarm a figure says so.
    """
    title = "Alarms over time, by source"
    both = pd.concat([tried, today])
    if both.empty:
        return style.no_data(title, "neither setting raises an alarm")
    most = both["source"].value_counts(sort=True).index
    title += f": the {MOST_ROWS} of {len(most)} with most of them" if len(most) > MOST_ROWS else ""
    sources = rows_of(tried, today)
    figure = style.new_figure(title, 0.42 * len(sources) + 1.25)
    axes = style.tidy(figure.subplots())
    _bars(axes, tried, sources, span, TRIED, color=style.BLUE)
    _bars(axes, today, sources, span, TODAY, facecolor=style.PAPER, edgecolor=style.INK, hatch="////", linewidth=0.8)
    axes.set_yticks(range(len(sources)), [style.source_name(source, 18) for source in sources])
    axes.set_ylim(len(sources) - 0.5, -0.5)
    _time(axes, span)
    items: list[Item] = [(Patch(color=style.BLUE), "with the setting of the sliders"),
                         (Patch(facecolor=style.PAPER, edgecolor=style.INK, hatch="////"), "with today's")]  # fmt: skip
    style.legend(figure, items)
    return figure


def rows_of(tried: pd.DataFrame, today: pd.DataFrame) -> list[str]:
    """The sources that `alarm_lines` draws, from above."""
    most = pd.concat([tried, today])["source"].value_counts(sort=True).index[:MOST_ROWS]
    return style.in_order(map(str, most))


def _bars(axes: Axes, alarms: pd.DataFrame, sources: list[str], span: Window, beside: float, **look: object) -> None:
    rows = alarms[alarms["source"].isin(sources)]
    places = [sources.index(source) - beside for source in rows["source"]]
    starts = mdates.date2num(list(rows["start"]))  # type: ignore[no-untyped-call]
    ends = mdates.date2num(list(rows["end"].fillna(pd.Timestamp(span.end))))  # type: ignore[no-untyped-call]
    axes.barh(places, ends - starts, THICK, left=starts, **look)  # type: ignore[arg-type]


def _time(axes: Axes, span: Window) -> None:
    start, end = mdates.date2num([span.start, span.end])  # type: ignore[no-untyped-call]
    axes.set_xlim(start, end)
    axes.xaxis.set_major_locator(mdates.AutoDateLocator(minticks=2, maxticks=6))  # type: ignore[no-untyped-call]
    form = "%d %b" if end - start > DAYS_WITHOUT_CLOCK else "%d %b\n%H:%M"
    axes.xaxis.set_major_formatter(mdates.DateFormatter(form))  # type: ignore[no-untyped-call]
    years = "-".join(map(str, dict.fromkeys([span.start.year, span.end.year])))
    axes.set_xlabel(f"time (UTC), {years}", fontsize=style.FONT - 1, color=style.QUIET)
    axes.grid(axis="x", color=style.EDGE, linewidth=0.8)
