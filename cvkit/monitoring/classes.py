"""What the model says of each class: boxes per image, and how sure it is of them, against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvkit.stats import intervals
from cvkit.stats.arrays import Floats
from cvkit.stats.intervals import Healthy
from cvkit.tables import bounds_of

Row = dict[str, Any]  # one row of MEASUREMENTS
MOST_CLASSES = 20  # that are measured each for itself: those with most boxes in the reference, then in the window
FEATURES = ("class_boxes", "class_confidence")


@dataclass(frozen=True, slots=True, eq=False)
class ByImage:
    """Boxes on some images: a row an image, a column a class that occurs."""

    kinds: NDArray[np.int64]  # the classes' ids (k,), ascending
    boxes: Floats  # (n, k)
    confidence: Floats  # mean of them (n, k), NaN where there are none

    def columns(self, kind: int) -> tuple[Floats, Floats]:
        """Boxes of one class on each image (n,), 0 where there are none, and their mean confidence."""
        place = int(np.searchsorted(self.kinds, kind))
        if place < self.kinds.size and self.kinds[place] == kind:
            return self.boxes[:, place], self.confidence[:, place]
        return np.zeros(len(self.boxes)), np.full(len(self.boxes), np.nan)

    def counts(self, kinds: NDArray[np.int64]) -> Floats:
        """Boxes on each image (n, len(kinds)) of the classes `kinds`, ascending, among which are all that occur."""
        found = np.zeros((len(self.boxes), kinds.size))
        found[:, np.searchsorted(kinds, self.kinds)] = self.boxes
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """The same of a reference, whose images `chunks` says which of its windows they are from."""

    by_image: ByImage
    chunks: NDArray[np.intp] | None
    known: dict[tuple[str, int], Healthy] = field(default_factory=dict)  # worked out as it is asked for

    def healthy(self, feature: str, kind: int) -> Healthy:
        """What is usual of one of FEATURES of a class."""
        if (feature, kind) not in self.known:
            values = self.by_image.columns(kind)[FEATURES.index(feature)]
            self.known[feature, kind] = intervals.healthy(values, self.chunks)
        return self.known[feature, kind]


def usual(by_image: ByImage, chunks: NDArray[np.intp] | None) -> Usual:
    """What is usual of the classes that a reference has; of those that are measured it is worked out at once."""
    found = Usual(by_image, chunks)
    for kind in _most(by_image.kinds, by_image.boxes.sum(axis=0)):
        for feature in FEATURES:
            found.healthy(feature, kind)
    return found


def _most(kinds: NDArray[np.int64], *totals: Floats) -> list[int]:
    """The classes (k,) with most boxes, by the first of `totals` (k,), then by the next."""
    chosen: list[int] = kinds[np.lexsort((kinds, *(-one for one in reversed(totals))))][:MOST_CLASSES].tolist()
    return chosen


def measure(now: ByImage, usual: Usual, names: Mapping[int, str]) -> Iterator[Row]:
    """Rows of MEASUREMENTS, class_boxes and class_confidence, of one source in a window, against the reference.

    Boxes are counted on all images, 0 where there are none; confidence is that of images with some.
    """
    kinds = np.union1d(now.kinds, usual.by_image.kinds)
    totals = [side.counts(kinds).sum(axis=0) for side in (now, usual.by_image)]
    for kind in _most(kinds, totals[1], totals[0]):
        about = {"class_name": names.get(kind, str(kind)), "metric": "mean"}
        for feature, values in zip(FEATURES, now.columns(kind), strict=True):
            then = usual.healthy(feature, kind)
            told = intervals.compare_means(values, then, bounds_of(feature))
            n = int(np.count_nonzero(~np.isnan(values)))
            yield {**about, "feature": feature, "n": n, "n_reference": then.size} | told


def counted(images: int, at: NDArray[np.intp], kind: NDArray[np.int64], confidence: Floats) -> ByImage:
    """Of boxes that lie on the image `at` (0 to `images` - 1), of a class and a confidence; NaN of these do not count.

    All are (boxes,).
    """
    kinds, place = np.unique(kind, return_inverse=True)
    cell, cells, known = at * kinds.size + place, images * kinds.size, ~np.isnan(confidence)
    boxes, sure = (np.bincount(one, minlength=cells).astype(float) for one in (cell, cell[known]))
    total = np.bincount(cell[known], confidence[known], minlength=cells)
    mean = np.divide(total, sure, out=np.full(cells, np.nan), where=sure > 0)
    shape = images, kinds.size
    return ByImage(kinds.astype(np.int64), boxes.reshape(shape), mean.reshape(shape))
