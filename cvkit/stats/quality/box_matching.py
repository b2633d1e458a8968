"""Matching: which predicted box finds which labelled one, worked out once for all thresholds and sizes.

The rule is COCO's. In each image and category the predictions, surest first, each take the free labelled box of the
highest IoU that reaches the threshold; of equal ones the later; one that counts before one to be ignored. Which boxes
count depends on the range of area, so there is one matching for each threshold and range. Everything after it is
counting (`cvkit.stats.quality.detection`, `cvkit.stats.quality.operation`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cvkit.stats.arrays import Floats
from cvkit.stats.change.overlap import iou_of_areas
from cvkit.stats.quality.boxes import Booleans, Integers, Predictions, Truth, box_areas

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # COCO's, with its rounding
AREAS = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))  # COCO's: all, small, medium, large
MOST = 100  # predictions of an image and category that COCO looks at
EXACT = 1 - 1e-10  # COCO's highest threshold: an IoU of 1 may be computed as a little less
PAIRS = 1 << 20  # pairs of boxes whose overlap is computed at a time: about 100 MB


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What became of each prediction and each labelled box: made by `match`.

    Predictions are ordered by category, then surest first, ties by image, then as given; those beyond the `most`
    surest of their image and category are left out. D of them, G labelled boxes, T thresholds, A ranges of area.
    """

    truth: Truth
    predictions: Predictions
    images: int
    categories: int
    thresholds: Floats  # (T,) ascending IoU
    areas: Floats  # (A, 2) square pixels, both ends belong to the range
    order: Integers  # (D,) row of each prediction in `predictions`
    rank: Integers  # (D,) 0.. from the surest of its image and category
    inside: Booleans  # (A, D) area of the prediction in range
    counted: Booleans  # (A, G) labelled box to be found: in range and not ignored
    hit: Booleans  # (A, T, D) found a labelled box that counts
    ignored: Booleans  # (A, T, D) found one to be ignored, or found none and is out of range
    partner: NDArray[np.int32]  # (T, D) row of the labelled box it took, in the first range of area; -1 none


def match(
    truth: Truth,
    predictions: Predictions,
    *,
    images: int,
    categories: int,
    thresholds: Sequence[float] = THRESHOLDS,
    areas: Sequence[tuple[float, float]] = AREAS,
    most: int = MOST,
) -> Matches:
    """Match predictions to labelled boxes by COCO's rule.

    `images` and `categories` are how many there are, with those that have no box. `thresholds` are IoUs in (0, 1],
    `areas` ranges in square pixels (both ends belong to them), `most` the predictions looked at in an image and
    category. Equal to pycocotools, except that `ignore` is honoured, which pycocotools overwrites with `iscrowd`.
    Raises ValueError on images or categories that are out of range and on thresholds outside (0, 1].

    Source: cocoeval.py of pycocotools 2.0.11 (evaluateImg).
    """
    levels, ranges = np.asarray(thresholds, dtype=np.float64), np.asarray(areas, dtype=np.float64).reshape(-1, 2)
    _check(truth, predictions, images, categories, levels)
    order, rank = surest(predictions, images, most)
    sizes = predictions.area[order]
    inside = (sizes >= ranges[:, :1]) & (sizes <= ranges[:, 1:])
    counted = (truth.area >= ranges[:, :1]) & (truth.area <= ranges[:, 1:]) & ~truth.ignore
    shape = (len(ranges), levels.size, order.size)
    hit, found = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    partner = np.full((levels.size, order.size), -1, dtype=np.int32)
    pairs = candidates(truth, predictions, order, images, float(levels.min()))
    for which, best, counts in _rounds(pairs, truth.crowd, counted, np.minimum(levels, EXACT)):
        hit[:, :, which], found[:, :, which] = counts, best >= 0
        partner[:, which] = best[0]
    ignored = np.where(found, ~hit, ~inside[:, None, :])
    return Matches(
        truth, predictions, images, categories, levels, ranges, order, rank, inside, counted, hit, ignored, partner
    )


def _check(truth: Truth, predictions: Predictions, images: int, categories: int, thresholds: Floats) -> None:
    for name, limit in (("image", images), ("category", categories)):
        for what, boxes in (("labelled", truth), ("predicted", predictions)):
            largest = int(getattr(boxes, name).max(initial=-1))
            if largest >= limit:
                raise ValueError(f"{what} boxes are of {name} 0..{limit - 1}, but one is of {name} {largest}")
    if not thresholds.size or not np.all((thresholds > 0) & (thresholds <= 1)):
        raise ValueError(f"thresholds of IoU lie in (0, 1], not {thresholds.tolist()}")


def surest(predictions: Predictions, images: int, most: int) -> tuple[Integers, Integers]:
    """Rows in the order of `Matches`, and the rank of each in its image and category."""
    order = np.lexsort((predictions.image, -predictions.score, predictions.category))
    rank = ranks_within(predictions.category[order] * images + predictions.image[order])
    kept = rank < most
    return order[kept], rank[kept]


def ranks_within(groups: Integers) -> Integers:
    """How many of the same group come before each row (n,).

    >>> ranks_within(np.array([7, 2, 7, 7, 2])).tolist()
    [0, 0, 1, 2, 1]
    """
    together = np.argsort(groups, kind="stable")
    ordered = groups[together]
    first = np.searchsorted(ordered, ordered)
    ranks = np.empty(groups.size, dtype=np.int64)
    ranks[together] = np.arange(groups.size) - first
    return ranks


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """A prediction and a labelled box of its image and category that overlap enough at the lowest threshold."""

    which: Integers  # (P,) place of the prediction in the order
    label: Integers  # (P,) row of the labelled box
    overlap: Floats  # (P,)
    cell: Integers  # (P,) image and category


def candidates(truth: Truth, predictions: Predictions, order: Integers, images: int, lowest: float) -> Candidates:
    """All pairs of one image and category whose IoU is at least `lowest`; predictions numbered by their `order`."""
    cells = truth.category * images + truth.image
    by_cell = np.argsort(cells, kind="stable")
    ordered = cells[by_cell]
    wanted = predictions.category[order] * images + predictions.image[order]
    first, last = np.searchsorted(ordered, wanted), np.searchsorted(ordered, wanted, side="right")
    corners, areas, boxes, box_area = predictions.corners, predictions.area, truth.corners, box_areas(truth.corners)
    parts = []
    for which, place in _ragged(first, last):
        label, row = by_cell[place], order[which]
        overlap = iou_of_areas(corners[row], areas[row], boxes[label], box_area[label], truth.crowd[label])
        near = np.flatnonzero(overlap >= min(lowest, EXACT))
        parts.append(Candidates(which[near], label[near], overlap[near], wanted[which[near]]))
    columns = [[getattr(part, name) for part in parts] for name in ("which", "label", "overlap", "cell")]
    return Candidates(*(np.concatenate(column) for column in columns))


def _ragged(first: Integers, last: Integers) -> Iterator[tuple[Integers, Integers]]:
    """All (i, j) with first[i] <= j < last[i], in order, at most about `PAIRS` at a time; at least one part."""
    ends = np.cumsum(last - first)
    total = int(ends[-1]) if ends.size else 0
    cuts = np.searchsorted(ends, np.arange(PAIRS, total, PAIRS), side="right")
    bounds = np.unique(np.concatenate([[0], cuts, [ends.size]]))
    for low, high in itertools.pairwise(bounds) if ends.size else [(0, 0)]:
        many = (last - first)[low:high]
        i = np.repeat(np.arange(low, high), many)
        starts = np.repeat(first[low:high] - (np.cumsum(many) - many), many)
        yield i, starts + np.arange(i.size)


def _rounds(
    pairs: Candidates, crowd: Booleans, counted: Booleans, thresholds: Floats
) -> Iterator[tuple[Integers, Integers, Booleans]]:
    """Choices of all cells at once, the surest prediction of each first, then the second, ...

    Predictions of different cells share no labelled box, so a round needs no order within. Yields the predictions of a
    round (n,), the rows of the labelled boxes they take (A, T, n), -1 none, and whether these count.
    """
    alone = np.unique(pairs.which, return_index=True)[1]
    turn = ranks_within(pairs.cell[alone])[np.searchsorted(pairs.which[alone], pairs.which)]
    order = np.lexsort((pairs.label, pairs.overlap, pairs.which, turn))
    which, label, overlap = pairs.which[order], pairs.label[order], pairs.overlap[order]
    bounds = np.searchsorted(turn[order], np.arange(turn.max(initial=-1) + 2))
    reach = overlap >= thresholds[:, None]  # (T, P)
    taken = np.zeros((len(counted), thresholds.size, crowd.size), dtype=bool)
    for low, high in itertools.pairwise(bounds):
        mine, them = which[low:high], label[low:high]
        starts = np.flatnonzero(np.diff(mine, prepend=-1))
        best, counts = _choose(reach[:, low:high] & ~taken[:, :, them], counted[:, them], starts)
        chosen = np.where(best >= 0, them[best], -1)
        area, level, place = np.nonzero((best >= 0) & ~crowd[chosen])
        taken[area, level, chosen[area, level, place]] = True
        yield mine[starts], chosen, counts


def _choose(free: Booleans, counted: Booleans, starts: Integers) -> tuple[Integers, Booleans]:
    """Of each prediction's candidates, worst overlap first, the last that is free, those that count before others.

    `free` (A, T, P), `counted` (A, P), `starts` (n,) the first candidate of each prediction. Returns the candidate's
    place (A, T, n), -1 none, and whether it counts.
    """
    size = free.shape[-1]
    worth = np.arange(size) + size * counted + 1  # 1..size to be ignored, above size counts
    best = np.maximum.reduceat(np.where(free, worth[:, None, :], 0), starts, axis=-1) - 1
    return np.where(best >= size, best - size, best), best >= size
