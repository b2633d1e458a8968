"""Boxes as arrays: what was labelled and what was predicted, checked once.

A box is four corners x1, y1, x2, y2 in pixels, float64, the same pixels for truth and predictions. Images and
categories are numbered from 0. The room above sets faulty rows aside and counts them; what comes here is sound, and
where it is not, a ValueError says how many rows are at fault and which is the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cvkit.stats.arrays import Floats

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Labelled boxes: made by `truth`."""

    image: Integers  # (n,) 0..
    category: Integers  # (n,) 0..
    corners: Floats  # (n, 4) x1, y1, x2, y2, pixels
    area: Floats  # (n,) square pixels
    crowd: Booleans  # (n,) a crowd takes any number of predictions, and none of them counts
    ignore: Booleans  # (n,) neither finding nor missing it counts; true for every crowd


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predicted boxes: made by `predictions`."""

    image: Integers  # (n,) 0..
    category: Integers  # (n,) 0..
    corners: Floats  # (n, 4) x1, y1, x2, y2, pixels
    area: Floats  # (n,) square pixels, of the box
    score: Floats  # (n,) 0..1, higher is surer


def truth(
    image: ArrayLike,
    category: ArrayLike,
    corners: ArrayLike,
    *,
    area: ArrayLike | None = None,
    crowd: ArrayLike | None = None,
    ignore: ArrayLike | None = None,
) -> Truth:
    """Labelled boxes, one a row; empty arrays are no boxes.

    `area` in square pixels decides whether a box is small, medium or large; COCO gives the area of the object's
    outline; the box's own where it is None. `crowd` and `ignore` are False where they are None. Boxes of no width or
    height are sound (they overlap nothing). Raises ValueError on NaN or infinite corners or areas, on x2 < x1 or
    y2 < y1, on negative numbers of images or categories and on columns of unequal length.
    """
    places = _corners(corners)
    size = len(places)
    areas = box_areas(places) if area is None else _column(area, size, "area")
    _refuse(~np.isfinite(areas) | (areas < 0), "an area that is not a finite number of square pixels")
    crowds = _flags(crowd, size, "crowd")
    ignored = crowds | _flags(ignore, size, "ignore")
    return Truth(_numbers(image, size, "image"), _numbers(category, size, "category"), places, areas, crowds, ignored)


def predictions(image: ArrayLike, category: ArrayLike, corners: ArrayLike, score: ArrayLike) -> Predictions:
    """Predicted boxes, one a row; empty arrays are no boxes. Raises as `truth`, and on scores that are not 0..1."""
    places = _corners(corners)
    size = len(places)
    scores = _column(score, size, "score")
    _refuse(~((scores >= 0) & (scores <= 1)), "a score outside 0..1")
    images, categories = _numbers(image, size, "image"), _numbers(category, size, "category")
    return Predictions(images, categories, places, box_areas(places), scores)


def side_by_side(truth: Truth, first: Predictions, second: Predictions, images: int) -> tuple[Truth, Predictions]:
    """What two models say about the same images, as if of 2 `images` images: the second model's after the first's.

    The labelled boxes are there twice. Matched together, this is what `cvkit.stats.resampling.compare` asks for.
    """
    labels = {name: np.concatenate([getattr(truth, name)] * 2) for name in Truth.__slots__}
    said = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in Predictions.__slots__}
    labels["image"] = np.concatenate([truth.image, truth.image + images])
    said["image"] = np.concatenate([first.image, second.image + images])
    return Truth(**labels), Predictions(**said)


def sides(corners: Floats, places: int = 9) -> Floats:
    """Width and height (n, 2) of boxes, pixels, as they were before someone added them to the upper left corner.

    x2 - x1 gives back a width w only up to the rounding of x2 = x1 + w, which decides ties: an IoU of exactly .5, an
    area of exactly 32^2. Where a decimal number of at most `places` places lies within that rounding (2 units in the
    last place of x2), it is taken for w. Differences of float32 numbers are exact and stay as they are.

    >>> sides(np.array([[0.1, 0.0, 0.1 + 0.2, 2.0]])).tolist(), (0.1 + 0.2) - 0.1
    ([[0.2, 2.0]], 0.20000000000000004)
    """
    plain = corners[:, 2:] - corners[:, :2]
    decimal = np.round(plain, places)
    return np.where(np.abs(plain - decimal) <= 2 * np.spacing(np.abs(corners[:, 2:])), decimal, plain)


def box_areas(corners: Floats) -> Floats:
    """Area of boxes (n, 4), square pixels, as width times height of `sides`."""
    lengths = sides(corners)
    return np.asarray(lengths[:, 0] * lengths[:, 1])


def _corners(corners: ArrayLike) -> Floats:
    places = np.asarray(corners, dtype=np.float64)
    if not places.size:
        return np.empty((0, 4))
    if places.ndim != 2 or places.shape[1] != 4:
        raise ValueError(f"corners are x1, y1, x2, y2, a row a box: expected (n, 4), found {places.shape}")
    _refuse(np.any(~np.isfinite(places), axis=1), "corners that are not finite")
    _refuse(np.any(places[:, 2:] < places[:, :2], axis=1), "corners in the wrong order (x2 < x1 or y2 < y1)")
    return places


def _numbers(values: ArrayLike, size: int, name: str) -> Integers:
    numbers = _column(values, size, name)
    whole = np.where(np.isfinite(numbers), numbers, -1).astype(np.int64)
    _refuse((whole != numbers) | (whole < 0), f"a number of {name} that is not 0, 1, 2, ...")
    return whole


def _column(values: ArrayLike, size: int, name: str) -> Floats:
    column = np.asarray(values, dtype=np.float64).ravel()
    if column.size != size:
        raise ValueError(f"each box needs its {name}: {size} boxes, {column.size} values of {name}")
    return column


def _flags(values: ArrayLike | None, size: int, name: str) -> Booleans:
    return np.zeros(size, dtype=bool) if values is None else _column(values, size, name).astype(bool)


def _refuse(faulty: ArrayLike, what: str) -> None:
    rows = np.asarray(faulty)
    if rows.any():
        raise ValueError(f"{np.count_nonzero(rows)} of {rows.size} boxes have {what}; the first is row {rows.argmax()}")
