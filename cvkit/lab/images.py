"""Images: the window's images, sorted and filtered by whatever is known of them, and a batch of them to be labelled."""

from __future__ import annotations

import html
import math
from datetime import UTC, datetime
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from cvkit.errors import ConfigError
from cvkit.lab import tiles
from cvkit.lab.part import Part
from cvkit.lab.widgets import MOST_TILES, Gallery
from cvkit.maintenance import label_folder, labelling
from cvkit.monitoring import browsing, exemplars, monitor
from cvkit.tables import Window

ALL = ""  # of findings and cuts: no limit
WIDE: dict[str, Any] = {"style": {"description_width": "initial"}}


class Images(Part):
    """The images of the window that is looked at. `table` is the filtered and sorted frame (`browsing.images`).

    `gallery.picked` are the ids of the images picked for a label batch, of whatever windows and filters.
    """

    title = "Images"

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """Controls, a gallery, a label batch."""
        self._shown: Any = None  # the observation that `_all` is about
        self._all = pd.DataFrame()
        self._cuts: dict[str, pd.Series] = {}
        self._windows: dict[str, Window] = {}  # of what is picked
        self._asked: set[str] = set()  # for labels, since observations were read
        self._page = 0
        self._setting = False
        self.gallery = Gallery()
        self._make_filters()
        self._make_pager()
        self._make_batch()
        self.on(self.by, self._unlimited)  # first: limits are about what was sorted by before
        for widget in (self.by, self.order, self.low, self.high, self.finding, self.cut, self.value):
            self.on(widget, self._filter)
        self.on(self.gallery, self._picked, "picked")
        self.gallery.observe(lambda change: self._turn(change["new"] - change["old"]), "turned")
        flow = {"flex_flow": "row wrap"}
        return (
            ipywidgets.HBox([self.by, self.order, self.low, self.high, self.unit], layout=flow),
            ipywidgets.HBox([self.finding, self.cut, self.value], layout=flow),
            ipywidgets.HBox([self.back, self.count, self.ahead, self.said, self.truth], layout=flow),
            self.gallery,
            ipywidgets.HBox([self.batch, self.kind, self.clear, self.batch_said], layout=flow),
        )

    def renew(self) -> None:
        """Read the window's images, and show those that the filters leave."""
        observation = self.desk.observation()
        if observation is not self._shown:
            self._shown = observation
            self._all = browsing.images(observation)
            self._all["asked"] |= self._all["image_id"].isin(self._asked)
            self._cuts = browsing.cuts(observation, self._all)
            self._offer()
        self._filter()

    def _make_filters(self) -> None:
        names = [(name.replace("_", " "), name) for name in browsing.SORTS]
        self.by = ipywidgets.Dropdown(options=names, description="Sort by", **WIDE)
        self.order = ipywidgets.ToggleButtons(
            options=[("↑ ascending", False), ("↓ descending", True)], style={"button_width": "110px"}
        )
        field = {"placeholder": "any", "continuous_update": False, "layout": {"width": "170px"}, **WIDE}
        self.low = ipywidgets.Text(description="at least", **field)
        self.high = ipywidgets.Text(description="at most", **field)
        self.unit = ipywidgets.HTML()
        self.finding = ipywidgets.Dropdown(description="Finding", **WIDE)
        self.cut = ipywidgets.Dropdown(description="Slice", **WIDE)
        self.value = ipywidgets.Dropdown(description="is", **WIDE)

    def _make_pager(self) -> None:
        narrow = {"width": "40px"}
        self.back = ipywidgets.Button(icon="chevron-left", tooltip="the images before", layout=narrow)
        self.ahead = ipywidgets.Button(icon="chevron-right", tooltip="the images after", layout=narrow)
        self.count = ipywidgets.HTML()
        self.count.add_class("cvkit-count")
        self.said = ipywidgets.ToggleButton(value=True, description="▭ boxes of the model", layout={"width": "auto"})
        self.truth = ipywidgets.ToggleButton(value=True, description="┄ boxes of labels", layout={"width": "auto"})
        self.on(self.back, lambda: self._turn(-1))
        self.on(self.ahead, lambda: self._turn(1))
        ipywidgets.link((self.said, "value"), (self.gallery, "said"))
        ipywidgets.link((self.truth, "value"), (self.gallery, "truth"))

    def _make_batch(self) -> None:
        self.batch = ipywidgets.Button(
            description="Write label batch", icon="tags", disabled=True, layout={"width": "auto"}
        )
        self.kind = ipywidgets.Dropdown(options=[("YOLO", "yolo"), ("COCO", "coco")], layout={"width": "90px"})
        self.clear = ipywidgets.Button(description="Pick none", disabled=True)
        self.batch_said = ipywidgets.HTML()
        self.on(self.batch, self._write)
        self.on(self.clear, self._pick_none)

    def _offer(self) -> None:
        """Offer the findings and slices that occur; what was chosen stays chosen where it still occurs."""
        self._setting = True
        counts = self._all["findings"].str.split(", ").explode().value_counts().drop("", errors="ignore")
        findings = [(f"{str(name).replace('_', ' ')} ({count})", str(name)) for name, count in counts.items()]
        _offered(self.finding, [("any or none", ALL), *findings])
        _offered(self.cut, [("all images", ALL), *((name, name) for name in self._cuts)])
        self._setting = False

    def _offer_values(self) -> None:
        self._setting = True
        values = self._cuts.get(self.cut.value, pd.Series(dtype="str"))
        names = sorted(set(values))
        _offered(self.value, [(f"{name} ({_images_with(values, name)})", name) for name in names])
        self.value.layout.display = "" if names else "none"
        self._setting = False

    def _filter(self) -> None:
        """Sort and filter anew, and show the first images."""
        if self._setting or self._shown is None:
            return
        self._offer_values()
        by = self.by.value
        limited = by != "time"  # which the window's picker limits
        self.low.layout.display = self.high.layout.display = "" if limited else "none"
        limits, wrong = [-math.inf, math.inf], None
        for place, field in enumerate((self.low, self.high) if limited else ()):
            try:
                limits[place] = _limit(field, by, limits[place])
            except ConfigError as error:  # told once the window's images are shown: those before would be another's
                wrong = error
        low, high = limits
        inside = None
        if self.cut.value and self.value.value is not None:
            values = self._cuts[self.cut.value]
            inside = values.index[values == self.value.value]
        rows = self._all
        self.table = browsing.chosen(
            rows, by=by, descending=self.order.value, low=low, high=high, finding=self.finding.value, inside=inside
        )
        known = rows[by].dropna()
        span = "" if by == "time" or known.empty else f"; in this window {known.min():.3g} to {known.max():.3g}"
        self.unit.value = html.escape(f"{browsing.SORTS[by]}{span}" if len(known) else "no image has a value")
        self._page = 0
        self._show()
        if wrong is not None:
            raise wrong

    def _unlimited(self) -> None:
        self._setting = True
        self.low.value = self.high.value = ""
        self._setting = False

    def _turn(self, by: int) -> None:
        page = self._page + by
        if 0 <= page * MOST_TILES < len(self.table):
            self._page = page
            self._show()

    def _show(self) -> None:
        first = self._page * MOST_TILES
        rows = self.table.iloc[first : first + MOST_TILES]
        captions = [self._caption(row) for row in rows.itertuples()]
        self.gallery.show(tiles.of_window(rows.assign(caption=captions), self._shown))
        whole = f"{len(self.table):,}" + (f" (of {len(self._all):,})" if len(self.table) < len(self._all) else "")
        words = f"{first + 1:,} to {first + len(rows):,} of {whole}" if len(rows) else self._nothing()
        self.count.value = html.escape(words)
        self.back.disabled, self.ahead.disabled = not self._page, first + MOST_TILES >= len(self.table)
        self._say_picked()

    def _nothing(self) -> str:
        if len(self._all):
            return "no image is left by these filters"
        counts = self._shown.measurements.query("feature == 'images' and metric == 'count'")
        came = int(counts["value"].sum())
        return (
            f"{came:,} images were measured, but their files are not there now"
            if came
            else "no image came in this window"
        )

    def _caption(self, row: Any) -> str:
        by, lines = self.by.value, [exemplars.whence(row)]
        if by != "time":
            value = getattr(row, by)
            lines.append(f"{by.replace('_', ' ')} {'not known' if pd.isna(value) else f'{value:.3g}'}")
            lines[-1] += "" if pd.isna(value) else f" ({browsing.SORTS[by]})"
        lines += [row.findings.replace("_", " ")] if row.findings else []
        lines += ["has labels"] if row.labelled else ["asked for a label"] if row.asked else []
        return "\n".join(lines)

    def _picked(self) -> None:
        for image_id in self.gallery.picked:
            self._windows.setdefault(image_id, self.desk.window)
        self._say_picked()

    def _say_picked(self) -> None:
        picked = self.gallery.picked
        self.batch.disabled = self.clear.disabled = not picked
        known = self._all[self._all["image_id"].isin(picked)] if len(self._all) else self._all
        words = [f"{len(picked)} picked" if picked else "Pick images with their box, or with the space bar."]
        if len(known) < len(picked):
            words.append(f"{len(picked) - len(known)} of them of other windows or sources")
        if len(known) and (labelled := int(known["labelled"].sum())):
            words.append(f"{labelled} have labels already")
        if len(known) and (asked := int((known["asked"] & ~known["labelled"]).sum())):
            words.append(f"{asked} were asked for already")
        self.batch_said.value = html.escape("; ".join(words))

    def _pick_none(self) -> None:
        self._windows.clear()
        self.gallery.picked = []

    def _write(self) -> None:
        """Write the picked images as a folder for labelling tools, and remember that they were asked for."""
        desk, picked = self.desk, list(self.gallery.picked)
        windows = sorted({self._windows[image_id] for image_id in picked})
        seen = [monitor.recall(desk.config, window, desk.history, desk.reference) for window in windows]
        plan = labelling.by_hand(desk.config, seen, picked)
        made = datetime.now(UTC)
        folder = desk.config.workspace / f"labels-to-make-{made:%Y-%m-%dT%H%M%S}"
        name = label_folder.export(desk.config, plan, folder, self.kind.value, made)
        self._asked |= set(plan.images["image_id"])
        self._all["asked"] |= self._all["image_id"].isin(self._asked)
        self.table["asked"] |= self.table["image_id"].isin(self._asked)
        self._pick_none()
        self._show()
        lines = [
            f"{len(plan.images)} images are in {folder}: its README.txt says how to go on. Plan {name}.",
            *plan.notes,
        ]
        self.batch_said.value = html.escape(" ".join(lines))


def _offered(picker: ipywidgets.Dropdown, options: list[tuple[str, str]]) -> None:
    """Give a picker options; what was chosen stays chosen where it still is one, else the first is."""
    before, values = picker.value, [value for _, value in options]
    if list(picker.options) != options:
        picker.options = options
        picker.value = before if before in values else values[0] if values else None


def _images_with(values: pd.Series, name: str) -> int:
    return values.index[values == name].nunique()


def _limit(field: ipywidgets.Text, by: str, nothing: float) -> float:
    """The number in a field; `nothing` where it is empty. Raises ConfigError where it is no number."""
    try:  # a comma is a decimal one to some and divides thousands to others: neither is guessed
        number = float(field.value.strip() or nothing)
    except ValueError:
        number = np.nan
    if np.isnan(number):
        raise ConfigError("this is no number", where=f"{field.description}, {by}", found=field.value[:40],
                          expected="a number such as 0.25, or an empty field")  # fmt: skip
    return number
