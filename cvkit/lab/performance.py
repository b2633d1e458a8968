"""Performance: how good the model is on labelled images, at any confidence, what it confuses, and where it is weak."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cvkit.data.labelled import Labelled
from cvkit.documentation import plots, wording
from cvkit.documentation.plots.quality import MOST_SLICES, count, most_confused
from cvkit.lab import places, tiles
from cvkit.lab.part import Part, marked
from cvkit.lab.widgets import MOST_TILES, Gallery, Picture
from cvkit.monitoring import performance, slices
from cvkit.stats.arrays import Floats
from cvkit.stats.quality import operation
from cvkit.stats.quality.box_matching import Matches

LOWEST, HIGHEST, STEP = 0.05, 0.95, 0.01
NOTHING = "nothing"  # the background: what a false prediction found, and what a missed box was taken for
TITLE = "What was taken for what"
NO_LABELS = """<p><b>? unknown:</b> no labelled image of this window can speak for the others, so nothing says how good
the model was. <code>cvkit labels plan --budget 100</code> draws the images whose labels tell most, and
<code>captures.labels</code> says where labels are found when they come.</p>"""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What the labelled images of a window tell, worked out once for all confidences."""

    images: Labelled
    weights: Floats  # (images,) how many each speaks for
    matches: Matches
    curve: operation.Curve
    deployed: dict[str, tuple[float, float, float]]


class Performance(Part):
    """Quality at the confidence of a slider, and below it one of two views.

    `table` is what the view shows: of "confusion" the counts at that confidence (labelled, predicted, boxes, images; of
    all classes), of "slices" table SLICES at the deployed confidence, or only its weakest.
    """

    title = "Performance"

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """Words, a slider with its numbers and curve, a view, images."""
        wide: dict[str, Any] = {"style": {"description_width": "initial"}}
        deployed = self.desk.config.model.confidence
        self.confidence = ipywidgets.FloatSlider(
            deployed, min=min(LOWEST, deployed), max=max(HIGHEST, deployed), step=STEP, description="Confidence",
            layout={"width": "520px"}, **wide,
        )  # fmt: skip
        self.view = ipywidgets.ToggleButtons(
            options=[(TITLE, "confusion"), ("Slices", "slices")], style={"button_width": "190px"}
        )
        self.pairs = ipywidgets.Button(
            description="Only the weakest, pairs too", layout={"width": "220px"},
            tooltip="slices, and pairs of them, that are surely worse; may take seconds",
        )  # fmt: skip
        self.words, self.numbers, self.about, self.listing = (ipywidgets.HTML() for _ in range(4))
        self.words.add_class("cvkit-tall")
        self.listing.add_class("cvkit-tall")
        self.curve, self.picture, self.images = Picture(), Picture(), Gallery()
        self.told = ipywidgets.VBox(
            [self.confidence, self.numbers, self.curve, ipywidgets.HBox([self.view, self.pairs]), self.picture,
             self.about, self.images, self.listing]
        )  # fmt: skip
        self.on(self.confidence, self._cut)
        self.on(self.curve, self._point, "chosen")
        self.on(self.view, self._look)
        self.on(self.pairs, self._weakest)
        self.on(self.picture, self._open, "chosen")
        return self.words, self.told

    def renew(self) -> None:
        """Show the window's labelled images, or what is known without any."""
        observation = self.desk.observation()
        measured = observation.measurements
        images, weights = slices.counted(observation)
        self.told.layout.display = "" if images.classes else "none"
        words = [wording.label_lines(measured), wording.estimate_lines(measured)]
        self.words.value = ("" if images.classes else NO_LABELS) + marked("\n\n".join(filter(None, words)))
        self.table, self.figure = pd.DataFrame(), None
        if images.classes:
            matches = images.match()
            deployed = performance.at_confidence(matches, observation.confidence, weights)
            self.known = Known(images, weights, matches, operation.curve(matches, weights=weights), deployed)
            self._draw_curve()
            self._number()
            self._look()

    @property
    def _at(self) -> float:
        return float(round(self.confidence.value, 4))  # browsers step to .24999999

    def _draw_curve(self) -> None:
        """The curve once; where the slider stands is told by a place of it, which needs no new picture."""
        known, at = self.known, self._at
        low, high = self.confidence.min, self.confidence.max
        self._values: list[float] = np.arange(low, high + STEP / 2, STEP).round(4).tolist()
        self.drawn = plots.by_confidence(known.curve, self.desk.observation().confidence, at)
        axes = self.drawn.axes[0]
        for line in axes.lines[-1:]:
            line.set_visible(False)
        self.curve.show(
            self.drawn, "precision, recall and F1 by confidence; choose one",
            lambda: places.of_values(axes, self._values, _named(known.curve, self._values)) if axes.lines else [],
            self._place(),
        )  # fmt: skip
        for line in axes.lines[-1:]:
            line.set_visible(True)

    def _place(self) -> int:
        return int(np.argmin(np.abs(np.array(self._values) - self._at)))

    def _point(self) -> None:
        if self.curve.chosen >= 0:
            self.confidence.value = self._values[self.curve.chosen]

    def _cut(self) -> None:
        """Follow the slider."""
        if self.told.layout.display:  # there are no labels: nobody sees it
            return
        self.curve.chosen = self._place()
        for line in self.drawn.axes[0].lines[-1:]:
            line.set_xdata([self._at] * 2)
        self._number()
        if self.view.value == "confusion":
            self._recount()

    def _number(self) -> None:
        known, at = self.known, self._at
        now = performance.at_confidence(known.matches, at, known.weights)
        counts = operation.operation(known.matches, at)
        found, false, missed = (int(part.sum()) for part in (counts.found, counts.false, counts.missed))
        said = [
            f"Of {found + missed} labelled boxes on {known.matches.images} images {found} were found and {missed} "
            f"missed; {false} predictions found nothing."
        ]
        deployed = self.desk.observation().confidence
        least = known.images.predictions.score.min(initial=1.0)
        if at < min(least, deployed):
            said.append(f"No prediction below {least:.2f} was kept: what is missing there is not known.")
        if np.ptp(known.weights):
            said.append("Images that a plan drew count by their weights in the shares, not in these numbers.")
        if np.isnan(now["f1"][1]):
            said.append("No interval: that takes 30 images that have little to do with each other.")
        self.numbers.value = f"{_numbers(now, at, known.deployed, deployed)}<p>{' '.join(said)}</p>"

    def _look(self) -> None:
        """Draw the view that is chosen."""
        slicing = self.view.value == "slices"
        self.pairs.layout.display = "" if slicing else "none"
        if slicing:
            observation = self.desk.observation()
            self.boxes = slices.boxes(observation, slices.image_quality(observation))
            self._draw_slices(slices.by(self.boxes), "F1 by slice")
        else:
            self._draw_confusion()

    def _draw_confusion(self) -> None:
        """Count anew; the classes shown stay those with most mistakes when the view was opened."""
        table = self._confuse()
        size, names = len(table) - 1, self._class_names()
        kept = [*most_confused(table), -1]
        title = TITLE if len(kept) > size else f"The {len(kept) - 1} of {size} classes with most mistakes"
        self.kept = np.ix_(kept, kept)
        self.cells = [(row, column) for row in kept for column in kept]
        figure = plots.confusion(table[self.kept], [names[one] for one in kept[:-1]], title)
        self._show(figure, self._cell_places, TITLE, "Choose a cell to see its images.")
        figure.set_layout_engine("none")  # names stay, so all stays where it is

    def _recount(self) -> None:
        table, figure = self._confuse()[self.kept], self.figure
        if figure is None or not figure.axes[0].images:  # nothing was counted before
            self._draw_confusion()
            return
        count(figure.axes[0], table)
        self.picture.show(figure, TITLE, lambda: self._cell_places(figure))
        self._tile()

    def _confuse(self) -> Floats:
        """Count what was taken for what; `table` tells it of all classes."""
        known = self.known.images
        self.confused = operation.confused(known.truth, known.predictions, self._at, images=len(known.image_ids))
        size = len(known.classes)
        rows = pd.DataFrame({"row": self.confused.labelled, "column": self.confused.predicted,
                             "image": self.confused.image})  # fmt: skip
        counts = rows.groupby(["row", "column"])["image"].agg(["size", "nunique"]).reset_index()
        table = np.zeros((size + 1, size + 1))
        table[counts["row"], counts["column"]] = counts["size"]  # the background is -1, the last
        names = self._class_names()
        self.table = pd.DataFrame(
            {"labelled": [names[row] for row in counts["row"]], "predicted": [names[one] for one in counts["column"]],
             "boxes": counts["size"], "images": counts["nunique"]}
        ).sort_values("boxes", ascending=False, ignore_index=True)  # fmt: skip
        return table

    def _class_names(self) -> list[str]:
        """By number; the last, which -1 is, the background."""
        classes = self.desk.observation().records.classes
        return [*(str(classes.get(one, one)) for one in self.known.images.classes), NOTHING]

    def _cell_places(self, figure: Figure) -> list[places.Place]:
        names = self._class_names()
        said = [f"labelled {names[row]}, predicted {names[column]}" for row, column in self.cells]
        across = int(np.sqrt(len(said)))
        return places.of_cells(figure.axes[0], [said[low : low + across] for low in range(0, len(said), across)])

    def _weakest(self) -> None:
        self._draw_slices(slices.weakest(self.boxes), "Slices and pairs that are surely worse than the others")

    def _draw_slices(self, table: pd.DataFrame, title: str) -> None:
        self.table = table
        self.rows = list(table.dropna(subset="f1")["slice"].head(MOST_SLICES))[::-1]
        sentence = "" if len(table) else wording.slice_lines(table) + " "
        self._show(plots.slice_bars(table, title), lambda figure: places.of_rows(figure.axes[0], self.rows) if self.rows
                   else [], "F1 by slice", f"{sentence}At the deployed confidence. Choose a slice to see its images.",
                   marked(wording.slice_table(table)))  # fmt: skip

    def _show(self, figure: Figure, where: Any, words: str, hint: str, more: str = "") -> None:
        self.figure = figure
        self.picture.show(figure, words, lambda: where(figure))
        self.about.value, self.listing.value = html.escape(hint), more
        self._tile()

    def _open(self) -> None:
        """Show the images of the cell or slice that was chosen, those with most of it first."""
        chosen = self.picture.chosen
        if chosen < 0:
            return
        if self.view.value == "slices":
            inside = slices.inside(self.boxes, self.rows[chosen])
            wrong = (~(inside["labelled"] & inside["predicted"])).groupby(inside["image_id"]).sum()
            self._tile(wrong.index, wrong, "missed or false", self.desk.observation().confidence)
        else:
            row, column = self.cells[chosen]
            names, ids = self._class_names(), self.known.images.image_ids
            mine = (self.confused.labelled == row) & (self.confused.predicted == column)
            image, count = np.unique(self.confused.image[mine], return_counts=True)
            words = f"labelled {names[row]}, predicted {names[column]}"
            self._tile(ids[image], count, words, self._at)

    def _tile(self, ids: Any = (), counts: Any = (), words: str = "", confidence: float = 0.0) -> None:
        if not len(ids) and not self.images.tiles:
            return
        observation, ids, counts = self.desk.observation(), np.asarray(ids, str), np.asarray(counts, int)
        order = np.lexsort((ids, -counts))[:MOST_TILES]
        chosen = pd.DataFrame({"image_id": ids[order]}).merge(
            observation.records.images[["image_id", "path"]], on="image_id"
        )
        chosen["caption"] = [f"{name}\n{count} {words}" for name, count in zip(ids[order], counts[order], strict=True)]
        self.images.show(tiles.of_window(chosen, observation, confidence))


def _named(curve: operation.Curve, values: list[float]) -> list[str]:
    """Words for each confidence: what the curve is there."""
    place = np.searchsorted(-curve.confidence, -np.array(values), side="right") - 1  # the last that is still counted
    told = [
        ", ".join(f"{name} {getattr(curve, name.lower())[at]:.2f}" for name in ("precision", "recall", "F1"))
        if at >= 0 else "no prediction is as sure"
        for at in place
    ]  # fmt: skip
    return [f"confidence {value:.2f}: {words}" for value, words in zip(values, told, strict=True)]


def _numbers(
    now: dict[str, tuple[float, float, float]], at: float, then: dict[str, tuple[float, float, float]], deployed: float
) -> str:
    """Precision, recall and F1 with their intervals at two confidences, as HTML."""
    frame = pd.DataFrame(
        {"0-1, higher is better": list(now), f"at {at:.2f}": [_interval(*now[name]) for name in now],
         f"deployed, at {deployed:g}": [_interval(*then[name]) for name in now]}
    ).replace("f1", "F1")  # fmt: skip
    return frame.to_html(index=False, border=0, escape=True)


def _interval(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "not known"
    return f"{value:.2f}" + ("" if np.isnan(low) else f" ({low:.2f} to {high:.2f})")
