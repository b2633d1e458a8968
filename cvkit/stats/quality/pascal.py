"""Average precision as Pascal VOC defines it: one IoU threshold, all points or eleven.

It differs from COCO's in the matching, too: a prediction goes to the labelled box it overlaps most, and is false where
that one is taken already, even if another would do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from cvkit.stats.arrays import Floats
from cvkit.stats.quality.box_matching import candidates, surest
from cvkit.stats.quality.boxes import Booleans, Integers, Predictions, Truth, box_areas

Boxes = TypeVar("Boxes", Truth, Predictions)


def average_precision(
    truth: Truth,
    predictions: Predictions,
    *,
    images: int,
    categories: int,
    threshold: float = 0.5,
    points: int | None = None,
    pixel: float = 1.0,
) -> Floats:
    """Average precision of each category, (categories,), 0..1, higher is better; NaN where nothing was to be found.

    The area under the precision envelope over recall (VOC 2010 on); with `points` = 11 the mean of the envelope at the
    recalls 0, .1, ..., 1 (VOC 2007). Labelled boxes to `ignore` are VOC's `difficult`: neither they nor what found them
    count. `pixel` is added to the widths and heights, as VOC's corners are those of the last pixel inside; 0 for
    corners that are edges. Ties of score are taken in the order of images, then as given; of equal overlaps
    the first labelled box counts. Raises ValueError on fewer than two points.

    Source: M. Everingham et al., Int. J. Comput. Vis. 88 (2010) 303-338; VOCdevkit (VOCevaldet.m).

    >>> from cvkit.stats.quality import boxes
    >>> true = boxes.truth([0, 1], [0, 0], [[0, 0, 9, 9], [0, 0, 9, 9]])
    >>> found = boxes.predictions([0, 1], [0, 0], [[0, 0, 9, 9], [50, 0, 59, 9]], [0.9, 0.8])
    >>> average_precision(true, found, images=2, categories=1).tolist()
    [0.5]
    """
    if points is not None and points < 2:
        raise ValueError(f"the envelope is read at two recalls or more, not at {points}")
    order = surest(predictions, images, most=max(predictions.score.size, 1))[0]
    label = _claims(_grown(truth, pixel), _grown(predictions, pixel), order, images, threshold)
    hit, ignored = _first_claims(label, truth.ignore)
    ends = np.searchsorted(predictions.category[order], np.arange(categories + 1))
    labelled = np.bincount(truth.category[~truth.ignore], minlength=categories)
    parts = (slice(*ends[c : c + 2]) for c in range(categories))
    return np.array([_area(hit[p][~ignored[p]], n, points) for p, n in zip(parts, labelled.tolist(), strict=True)])


def _grown(boxes: Boxes, pixel: float) -> Boxes:
    corners = boxes.corners + np.array([0, 0, pixel, pixel])
    return replace(boxes, corners=corners, area=box_areas(corners))


def _claims(truth: Truth, predictions: Predictions, order: Integers, images: int, threshold: float) -> Integers:
    """Row of the labelled box that each prediction overlaps most (D,), -1 where none reaches the threshold."""
    near = candidates(truth, predictions, order, images, threshold)
    best = np.lexsort((near.label, -near.overlap, near.which))
    which, first = np.unique(near.which[best], return_index=True)
    label = np.full(order.size, -1)
    label[which] = near.label[best][first]
    return label


def _first_claims(label: Integers, ignore: Booleans) -> tuple[Booleans, Booleans]:
    """Predictions that are first to claim a labelled box that counts, and those that claim one that does not (D,)."""
    claiming = np.flatnonzero(label >= 0)
    first = claiming[np.unique(label[claiming], return_index=True)[1]]
    hit, ignored = np.zeros(label.size, dtype=bool), np.zeros(label.size, dtype=bool)
    hit[first] = True
    ignored[claiming] = ignore[label[claiming]]
    return hit & ~ignored, ignored


def _area(hit: Booleans, labelled: int, points: int | None) -> float:
    """Under the precision envelope of one category."""
    if not labelled:
        return float("nan")
    found = np.flatnonzero(hit)
    ranks = np.arange(1, found.size + 1)
    envelope = np.maximum.accumulate((ranks / (found + 1))[::-1])[::-1]
    if points is None:
        return float(envelope.sum() / labelled)
    # Recall j / (points - 1) is reached by the k-th hit of n where k (points - 1) >= j n: no rounding.
    needed = np.maximum(-(-np.arange(points) * labelled // (points - 1)), 1)
    return float(np.sum(envelope[needed[needed <= found.size] - 1]) / points)
