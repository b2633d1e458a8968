"""Where things lie in a figure that was drawn, so that a click on its picture can find them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import date2num

from cvkit.tables import Window

Place = dict[str, Any]  # x, y, w, h: shares of the picture's width and height, from the upper left; name


def of_windows(axes: Sequence[Axes], windows: Sequence[Window], names: Iterable[str]) -> list[Place]:
    """A column for each window, over the first of `axes`, whose x axis is in time."""
    left, right = axes[0].get_xlim()
    starts, ends = (
        (date2num(np.array([moment.replace(tzinfo=None) for moment in some], "datetime64[us]")) - left) / (right - left)  # type: ignore[no-untyped-call]
        for some in ([one.start for one in windows], [one.end for one in windows])
    )  # as arrays: one by one they take longer than the figure
    return [
        _place(axes[0], start, 0.0, end - start, 1.0, name)
        for start, end, name in zip(starts.tolist(), ends.tolist(), names, strict=True)
    ]


def of_cells(axes: Axes, names: Sequence[Sequence[str]]) -> list[Place]:
    """A cell for each name of rows from above, where cells lie at whole numbers of both axes (`imshow`)."""
    down, across = len(names), max(map(len, names), default=0)
    return [
        _place(axes, column / across, row / down, 1 / across, 1 / down, name)
        for row, line in enumerate(names)
        for column, name in enumerate(line)
    ]


def of_spans(axes: Axes, down: int, spans: Iterable[tuple[int, Any, Any, str]], whole: Window) -> list[Place]:
    """A place for each span of time (row from above of `down`, start, end or NaT, name), over an x axis in time."""
    left, right = axes.get_xlim()
    found = []
    for row, start, end, name in spans:
        ends = [start, whole.end if end != end else end]  # NaT differs from itself
        first, last = (float(min(max((date2num(one) - left) / (right - left), 0.0), 1.0)) for one in ends)  # type: ignore[no-untyped-call]
        found.append(_place(axes, first, row / down, last - first, 1 / down, name))
    return found


def of_rows(axes: Axes, names: Sequence[str]) -> list[Place]:
    """A row over the picture's width for each name, the lowest first, where rows lie at 0, 1, ... of the y axis."""
    low, high = axes.get_ylim()
    tall = 1 / (high - low)
    found = [_place(axes, 0, (high - row - 0.5) * tall, 1, tall, name) for row, name in enumerate(names)]
    return [{**place, "x": 0.0, "w": 1.0} for place in found]


def of_values(axes: Axes, values: Sequence[float], names: Sequence[str]) -> list[Place]:
    """A thin column for each value of the x axis."""
    low, high = axes.get_xlim()
    return [
        _place(axes, (value - low) / (high - low), 0.0, 0.0, 1.0, name)
        for value, name in zip(values, names, strict=True)
    ]


def _place(axes: Axes, x: float, y: float, width: float, height: float, name: str) -> Place:
    box = axes.get_position()
    return {
        "x": box.x0 + x * box.width, "y": 1 - box.y1 + y * box.height, "w": width * box.width,
        "h": height * box.height, "name": name,
    }  # fmt: skip
