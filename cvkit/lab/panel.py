"""The panel: pickers above, one part at a time below."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd

from cvkit.documentation import plots
from cvkit.errors import ConfigError, CvkitError
from cvkit.lab import places
from cvkit.lab.alerts import Alerts
from cvkit.lab.anomalies import Anomalies
from cvkit.lab.card import Card
from cvkit.lab.desk import Desk
from cvkit.lab.drift import Drift
from cvkit.lab.images import Images
from cvkit.lab.part import Part, box, telling, with_picture
from cvkit.lab.performance import Performance
from cvkit.lab.thresholds import Thresholds
from cvkit.lab.widgets import HERE, Picture
from cvkit.tables import FEATURE_UNITS, SIGNS, Window, worst

PARTS: dict[str, type[Part]] = {
    "drift": Drift,
    "images": Images,
    "anomalies": Anomalies,
    "performance": Performance,
    "thresholds": Thresholds,
    "alerts": Alerts,
    "card": Card,
}


def explore(workspace: str | Path = ".", *parts: str, window: str = "", source: str = "") -> Panel | Sentence:
    """Open the panel on a workspace; with names of `parts`, only these: a part alone is smaller.

    `window` and `source` are looked at first, else the newest window and the source that needs it most. The panel's
    `table` is what it shows, as a DataFrame. Where a workspace cannot be looked at, a sentence says why.
    """
    if unknown := [one for one in parts if one not in PARTS]:
        raise ConfigError("there is no such part", found=", ".join(unknown), expected=", ".join(PARTS))
    try:
        return Panel(Desk(workspace, window=window, source=source), parts or tuple(PARTS))
    except CvkitError as error:
        return Sentence(error)


class Sentence(ipywidgets.HTML):
    """Why a workspace cannot be looked at, in place of a panel: its `table` is empty."""

    def __init__(self, error: CvkitError) -> None:
        super().__init__(f"<style>{(HERE / 'lab.css').read_text()}</style>{box(str(error))}")
        self.error, self.table = error, pd.DataFrame()

    def _repr_mimebundle_(self, **more: Any) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(**more), "text/html": box(str(self.error))}


class Panel(ipywidgets.VBox):
    """The panel over a desk. `parts` are its parts by name; `table` is what the visible one shows."""

    def __init__(self, desk: Desk, names: tuple[str, ...]) -> None:
        super().__init__()
        self.desk = desk
        self.parts: dict[str, Part] = {}
        self._names = names
        self._stale = set(names)
        self.note = ipywidgets.HTML()
        self.head = ipywidgets.HTML()
        self.trend = Picture(brush=True)
        self._make_pickers()
        holders = [ipywidgets.VBox() for _ in names]
        self.tabs = ipywidgets.Tab(holders, titles=[PARTS[name].title for name in names])
        style = ipywidgets.HTML(f"<style>{(HERE / 'lab.css').read_text()}</style>")
        below = self.tabs if len(names) > 1 else holders[0]
        self.children = (style, self.head, self.pickers, self.trend, self.note, below)
        self.add_class("cvkit-lab")
        self.tabs.observe(lambda _: self._show_part(), "selected_index")
        desk.observe(lambda _: self._changed(), ["window", "source", "feature", "stretch"])
        self._changed()

    @property
    def table(self) -> pd.DataFrame:
        """What the visible part shows."""
        return self.parts[self._visible].table

    @property
    def _visible(self) -> str:
        return self._names[self.tabs.selected_index or 0]

    def _make_pickers(self) -> None:
        desk, wide = self.desk, {"style": {"description_width": "initial"}}
        self.source = ipywidgets.Dropdown(
            options=[("all sources", ""), *((one or "(no source)", one) for one in desk.sources if one)],
            description="Source", **wide,
        )  # fmt: skip
        self.window = ipywidgets.Dropdown(
            options=[(_signed(one, state), one) for one, state in reversed(desk.states().items())],
            description="Window", **wide,
        )  # fmt: skip
        self.feature = ipywidgets.Dropdown(
            options=[(name.replace("_", " "), name) for name in FEATURE_UNITS], description="Feature", **wide
        )
        self.back = ipywidgets.Button(icon="chevron-left", tooltip="the window before", layout={"width": "40px"})
        self.ahead = ipywidgets.Button(icon="chevron-right", tooltip="the window after", layout={"width": "40px"})
        self.reload = ipywidgets.Button(icon="refresh", tooltip="read the history anew", layout={"width": "40px"})
        for widget, name in ((self.source, "source"), (self.window, "window"), (self.feature, "feature")):
            setattr(widget, "value", getattr(desk, name))  # noqa: B010
            ipywidgets.link((desk, name), (widget, "value"))
        self.back.on_click(lambda _: self._step(-1))
        self.ahead.on_click(lambda _: self._step(1))
        self.trend.observe(self._chose, "chosen")
        self.trend.observe(self._brushed, "brushed")
        self.pickers = ipywidgets.HBox(
            [self.source, self.back, self.window, self.ahead, self.feature], layout={"flex_flow": "row wrap"}
        )

    def _step(self, by: int) -> None:
        place = self.desk.windows.index(self.desk.window) + by
        if 0 <= place < len(self.desk.windows):
            self.desk.window = self.desk.windows[place]

    def _chose(self, change: Any) -> None:
        if 0 <= change["new"] < len(self._drawn):
            self.desk.window = self._drawn[change["new"]]

    def _brushed(self, _: Any) -> None:
        marked = self.trend.stretch
        inside = [
            window
            for window, place in zip(self._drawn, self.trend.places, strict=True)
            if marked and marked[0] <= place["x"] + place["w"] / 2 <= marked[1]
        ]
        self.trend.stretch = []
        self.desk.stretch = (inside[0], inside[-1]) if len(inside) > 1 else ()

    def _changed(self) -> None:
        with telling(self.note):
            self._stale = set(self._names)
            self._draw_head()
            self._draw_trend()
        self._show_part()

    def _show_part(self) -> None:
        name = self._visible
        if name not in self.parts:
            self.parts[name] = PARTS[name](self.desk)
            holder = self.tabs.children[self._names.index(name)]
            holder.children = (self.parts[name],)
        if name in self._stale:
            self._stale.discard(name)
            self.parts[name].refresh()

    def _draw_head(self) -> None:
        desk = self.desk
        rows = desk.verdicts_of_window()
        state = worst(list(rows["state"]))
        about = f"{desk.source or 'all sources'}, {desk.window}"
        self.head.value = (
            f"<h3>{html.escape(desk.config.model.name)} <small>{html.escape(desk.version)}</small></h3>"
            f"<p>{SIGNS[state]} <b>{state}</b>: {html.escape(about)}</p>"
        )

    def _draw_trend(self) -> None:
        desk, states = self.desk, self.desk.states(self.desk.source)
        equal = {"source": desk.source} if desk.source else {}
        feature = desk.feature
        measured = desk.measurements(feature=feature, **equal)
        figure = plots.trend(measured, feature, verdicts=desk.verdicts(feature=feature, **equal), current=desk.window)
        first, last = desk.stretch or (desk.windows[0], desk.windows[-1])
        self._drawn = [one for one in desk.windows if first <= one <= last]
        names = [f"{one}: {states[one]}" for one in self._drawn]
        chosen = self._drawn.index(desk.window) if desk.window in self._drawn else -1
        about = f"{feature.replace('_', ' ')} of {desk.source or 'all sources'} over windows"
        words = f"{about}; choose one, or drag over several"
        self.trend.show(figure, words, lambda: places.of_windows(figure.axes, self._drawn, names), chosen)
        self.figure = figure

    def _repr_mimebundle_(self, **more: Any) -> dict[str, Any]:
        shown = self.parts[self._visible].figure or self.figure
        return with_picture(super()._repr_mimebundle_(**more), shown)


def _signed(window: Window, state: str) -> str:
    return f"{SIGNS[state]} {window}"
