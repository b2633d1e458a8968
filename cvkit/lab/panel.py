"""The panel: pickers above, one part at a time below."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from cvkit.documentation import plots
from cvkit.errors import ConfigError, CvkitError
from cvkit.lab import places
from cvkit.lab.alerts import Alerts
from cvkit.lab.anomalies import Anomalies
from cvkit.lab.card import Card
from cvkit.lab.desk import Desk
from cvkit.lab.drift import Drift
from cvkit.lab.images import Images
from cvkit.lab.part import Part, box, later, picture, telling
from cvkit.lab.performance import Performance
from cvkit.lab.thresholds import Thresholds
from cvkit.lab.widgets import HERE, Picture
from cvkit.tables import FEATURE_UNITS, SIGNS, STATES, Window, worst

PARTS: dict[str, type[Part]] = {
    "drift": Drift,
    "images": Images,
    "anomalies": Anomalies,
    "performance": Performance,
    "thresholds": Thresholds,
    "alerts": Alerts,
    "card": Card,
}


def explore(workspace: str | Path = ".", *parts: str, window: Window | str = "", source: str = "") -> Panel | Sentence:
    """Open the panel on a workspace; with names of `parts`, only these: a part alone is smaller.

    The parts are drift, images, anomalies, performance, thresholds, alerts and card.

    `window` and `source` are looked at first, else the newest window and the source that needs it most. The panel's
    `table` is what it shows, as a DataFrame. Where a workspace cannot be looked at, a sentence says why.
    """
    if unknown := [str(one) for one in parts if not isinstance(one, str) or one not in PARTS]:
        raise ConfigError("there is no such part", found=", ".join(unknown), expected=", ".join(PARTS))
    try:
        return Panel(Desk(workspace, window=str(window), source=source), parts or tuple(PARTS))
    except CvkitError as error:
        return Sentence(error)


class Sentence(ipywidgets.HTML):  # type: ignore[misc]
    """Why a workspace cannot be looked at, in place of a panel: its `table` is empty."""

    def __init__(self, error: CvkitError) -> None:
        super().__init__(f"<style>{(HERE / 'lab.css').read_text()}</style>{box(str(error))}")
        self.error, self.table = error, pd.DataFrame()

    def __repr__(self) -> str:
        return f"nothing to look at: {self.error}"

    def _repr_mimebundle_(self, **more: Any) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(**more), "text/html": box(str(self.error))}


class Parts(Mapping[str, Part]):
    """The parts of a panel by name: each is made, and brought up to date, when it is asked for."""

    def __init__(self, panel: Panel, names: tuple[str, ...]) -> None:
        self._panel, self._names = panel, names

    def __getitem__(self, name: str) -> Part:
        return self._panel.part(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Panel(ipywidgets.VBox):  # type: ignore[misc]
    """The panel over a desk. `parts` are its parts by name, `made` those seen yet; `table` is the visible one's."""

    def __init__(self, desk: Desk, names: tuple[str, ...]) -> None:
        super().__init__()
        self.desk = desk
        self.parts, self.made = Parts(self, names), dict[str, Part]()
        self._names = names
        self._stale = set(names)
        self._about: tuple[Any, ...] = ()
        self._drawn: list[Window] = []
        self.note = ipywidgets.HTML()
        self.head = ipywidgets.HTML()
        self.trend = Picture(brush=True)
        self._make_pickers()
        holders = [ipywidgets.VBox() for _ in names]
        self.tabs = ipywidgets.Tab(holders, titles=[PARTS[name].title for name in names])
        style = ipywidgets.HTML(f"<style>{(HERE / 'lab.css').read_text()}</style>")
        below = self.tabs if len(names) > 1 else holders[0]
        self.head.layout = {"flex": "1 1 280px", "min_width": "0"}
        over = ipywidgets.HBox([self.trend, self.head], layout={"flex_flow": "row wrap"})
        self.children = (style, self.pickers, over, self.note, below)
        self.add_class("cvkit-lab")
        self.tabs.observe(lambda _: self._show_part(), "selected_index")
        desk.observe(lambda _: self._changed(), ["window", "source", "feature", "stretch"])
        self._changed()

    @property
    def table(self) -> pd.DataFrame:
        """What the visible part shows."""
        self._show_part()
        return self.parts[self._visible].table

    @property
    def _visible(self) -> str:
        return self._names[self.tabs.selected_index or 0]

    def _make_pickers(self) -> None:
        words = ("Source", "Window", "Feature")
        self.source, self.window, self.feature = (
            ipywidgets.Dropdown(description=one, style={"description_width": "initial"}, layout={"width": "250px"})
            for one in words
        )
        self._name_options()
        self.back = ipywidgets.Button(icon="chevron-left", tooltip="the window before", layout={"width": "40px"})
        self.ahead = ipywidgets.Button(icon="chevron-right", tooltip="the window after", layout={"width": "40px"})
        self.reload = ipywidgets.Button(icon="refresh", tooltip="read the history anew", layout={"width": "40px"})
        for widget, name in ((self.source, "source"), (self.window, "window"), (self.feature, "feature")):
            ipywidgets.link((self.desk, name), (widget, "value"))
        self.back.on_click(lambda _: self._step(-1))
        self.ahead.on_click(lambda _: self._step(1))
        self.reload.on_click(lambda _: self._reload())
        self.trend.observe(self._chose, "chosen")
        self.trend.observe(self._brushed, "brushed")
        self.pickers = ipywidgets.HBox(
            [self.source, self.back, self.window, self.ahead, self.feature, self.reload],
            layout={"flex_flow": "row wrap"},
        )

    def _name_options(self) -> None:
        desk = self.desk
        self.source.options = [("all sources", ""), *((one, one) for one in desk.sources if one)]
        self.window.options = [(one.label, one) for one in reversed(desk.windows)]
        self.feature.options = [(name.replace("_", " "), name) for name in FEATURE_UNITS]

    def _step(self, by: int) -> None:
        place = self.desk.windows.index(self.desk.window) + by
        if 0 <= place < len(self.desk.windows):
            self.desk.window = self.desk.windows[place]

    def _reload(self) -> None:
        """Read settings and history anew, and look at the same window and source as far as they are still there."""
        window, source, before = self.desk.window, self.desk.source, self.desk.read
        with telling(self.note):
            self.desk.reload()
            self._name_options()
            self.desk.window = window if window in self.desk.windows else self.desk.windows[-1]
            self.desk.source = source if source in self.desk.sources else ""
        if self.desk.read > before:
            self._changed()

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
            self.head.value = head(self.desk)
            self._show_trend()
        # The part, which may have images to read, comes a moment later: who steps on waits for the last window only.
        if not later(self.note, self._show_part):
            self._show_part()

    def _show_part(self) -> None:
        self.part(self._visible)

    def part(self, name: str) -> Part:
        """A part of the panel, made where it was not looked at yet, and brought up to date."""
        if name not in self._names:
            raise KeyError(name)
        if name not in self.made:
            self.made[name] = PARTS[name](self.desk)
            self.tabs.children[self._names.index(name)].children = (self.made[name],)
        if name in self._stale:
            self._stale.discard(name)
            self.made[name].refresh()
        return self.made[name]

    def _show_trend(self) -> None:
        """Draw the trend where it is another, and mark the window in it."""
        desk = self.desk
        about = (desk.source, desk.feature, desk.stretch, desk.read)
        if about != self._about:
            figure, self._drawn = trend(desk), desk.shown_windows()
            states = desk.states(desk.source)
            names = [f"{one}: {states[one]}" for one in self._drawn]
            words = f"{desk.feature.replace('_', ' ')} of {desk.source or 'all sources'} over windows"
            self.trend.show(
                figure, f"{words}; choose one, or drag over several",
                lambda: places.of_windows(figure.axes, self._drawn, names),
            )  # fmt: skip
            self._about = about
        self.trend.chosen = self._drawn.index(desk.window) if desk.window in self._drawn else -1

    def _repr_mimebundle_(self, **more: Any) -> dict[str, Any]:
        return dict(super()._repr_mimebundle_(**more) or {}) | self._still()

    def _still(self) -> dict[str, str]:
        """What stands for the panel where no browser runs widgets: the trend, or all that a part alone shows."""
        if len(self._names) == 1:
            with telling(self.note):
                self._show_part()
                if still := self.parts[self._visible].still():
                    return still
        return {"text/html": self.note.value} if self.note.value else picture(self.trend.png)


def trend(desk: Desk) -> Figure:
    """The feature over the windows of the stretch, of the source that is chosen or of those that stand out most."""
    equal = {"feature": desk.feature} | ({"source": desk.source} if desk.source else {})
    return plots.trend(desk.measurements(metric="mean", **equal), desk.feature, verdicts=desk.verdicts(**equal))


def head(desk: Desk) -> str:
    """What the panel looks at and how it stands, as HTML: of a source what is probably the matter, and since when."""
    rows = desk.window_states()
    title = f"{html.escape(desk.config.model.name)} <small>version {html.escape(desk.version)}</small>"
    if desk.source:
        state = rows.get(desk.source, "unknown")
        about, lines = f"{desk.source} on {desk.window}", [_told(row) for row in desk.stood_out()]
    else:
        state = worst(list(rows.values()))
        about, by = f"{len(rows)} sources on {desk.window}", pd.Series(rows, dtype=str)
        lines = [
            f"{SIGNS[one]} {one}: {_named(list(by.index[by == one]))}" for one in reversed(STATES) if (by == one).any()
        ]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    words = f"<p><b>{title}</b></p><p>{SIGNS[state]} <b>{state}</b>: {html.escape(about)}</p><ul>{items}</ul>"
    return f'<div class="cvkit-lines">{words}</div>'


def _told(row: dict[Any, Any]) -> str:
    until = "lasting" if pd.isna(row["until"]) else f"until {row['until']:%Y-%m-%d}"
    return f"{row['what']}: since {row['since']:%Y-%m-%d}, {until}"


def _named(sources: list[str], most: int = 6) -> str:
    names = [one or "(no source)" for one in sources]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
