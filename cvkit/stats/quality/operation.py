"""The detector as deployed, at one confidence: what it finds, what it confuses, where its boxes lie, image by image.

All numbers come from `Matches` (one matching serves every confidence, as surer predictions choose first) and take
weights of the images, (images,) or R rows of them, as `cvkit.stats.quality.detection.accumulate` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.arrays import Floats
from cvkit.stats.change.overlap import iou
from cvkit.stats.change.segments import sums
from cvkit.stats.quality.box_matching import Matches, match
from cvkit.stats.quality.boxes import Booleans, Integers, Predictions, Truth
from cvkit.stats.resampling import weights_of

EVERY_SIZE = ((0.0, float("inf")),)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """Counts (R, C) by category, and their ratios, 0..1, higher is better; NaN where there is nothing to divide by."""

    found: Floats  # true positives
    false: Floats  # predictions that found nothing
    missed: Floats  # labelled boxes not found
    precision: Floats  # found / (found + false); NaN without predictions
    recall: Floats  # found / (found + missed); NaN without labelled boxes
    f1: Floats  # 2 found / (2 found + false + missed); NaN without either


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Predictions that found a labelled box, n of them, surest first within a category."""

    image: Integers  # (n,)
    category: Integers  # (n,)
    score: Floats  # (n,) 0..1
    iou: Floats  # (n,) threshold..1, higher is better
    shift: Floats  # (n, 2) from the labelled centre to the predicted, in labelled widths and heights; right, down
    stretch: Floats  # (n, 2) predicted width and height over labelled ones; 1 equal


@dataclass(frozen=True, slots=True, eq=False)
class Localisation:
    """How well found boxes lie, (R,) each; NaN where nothing was found."""

    iou: Floats  # mean IoU, threshold..1, higher is better
    error: Floats  # 1 - iou, lower is better
    offset: Floats  # mean length of the shift, lower is better
    shift: Floats  # (R, 2) mean shift, signed: far from 0 where the camera or the labels moved
    stretch: Floats  # (R, 2) geometric mean
    n: Floats  # pairs, weighted


@dataclass(frozen=True, slots=True, eq=False)
class PerImage:
    """Quality of each image, (images,) each: to join with whatever else is known about an image."""

    found: Integers
    false: Integers
    missed: Integers
    f1: Floats  # 0..1, higher is better; NaN where there is neither a labelled nor a predicted box
    iou: Floats  # mean of the found boxes; NaN where there is none
    lrp: Floats  # 0..1, lower is better; NaN as f1


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What became of each box that counts, (n,) each: to be cut into slices (`cvkit.stats.quality.slices`)."""

    image: Integers
    category: Integers
    area: Floats  # square pixels: the labelled box's, of a false one the predicted
    labelled: Booleans  # there is a labelled box: found or missed
    predicted: Booleans  # there is a prediction: found, where labelled too, or false


@dataclass(frozen=True, slots=True, eq=False)
class Confused:
    """Boxes that count, (n,) each: labelled and predicted category, -1 where there is none."""

    image: Integers
    labelled: Integers
    predicted: Integers


def operation(
    matches: Matches, confidence: float, *, threshold: float = 0.5, weights: ArrayLike | None = None
) -> Operation:
    """Precision, recall and F1 of each category, counting the predictions of at least `confidence`.

    Crowds and ignored boxes, and what found them, do not count. Raises ValueError where `threshold` was not matched.

    >>> from cvkit.stats.quality import boxes
    >>> true = boxes.truth([0, 0], [0, 0], [[0, 0, 9, 9], [20, 0, 29, 9]])
    >>> found = boxes.predictions([0, 0], [0, 0], [[0, 0, 9, 8], [50, 0, 59, 9]], [0.9, 0.8])
    >>> result = operation(match(true, found, images=1, categories=1), confidence=0.5)
    >>> result.found.item(), result.false.item(), result.missed.item(), result.f1.item()
    (1.0, 1.0, 1.0, 0.5)
    """
    rows = weights_of(matches.images, weights)
    image, category = _columns(matches)
    hit, false = outcomes(matches, confidence, threshold)
    counted = matches.counted[0]
    found, wrong, labelled = (
        _by_category(rows, images, categories, matches.categories)
        for images, categories in (
            (image[hit], category[hit]),
            (image[false], category[false]),
            (matches.truth.image[counted], matches.truth.category[counted]),
        )
    )
    missed = labelled - found
    ratios = ratio(found, found + wrong), ratio(found, labelled), ratio(2 * found, 2 * found + wrong + missed)
    return Operation(found, wrong, missed, *ratios)


def boxes_by_outcome(matches: Matches, confidence: float, *, threshold: float = 0.5) -> Outcomes:
    """Each box found, false or missed, once, counting predictions of at least `confidence`; errors as `operation`."""
    image, category = _columns(matches)
    hit, false = outcomes(matches, confidence, threshold)
    truth = matches.truth
    taken = np.zeros(truth.image.size, dtype=bool)
    taken[matches.partner[_level(matches, threshold), hit]] = True
    true = np.flatnonzero(matches.counted[0])
    return Outcomes(
        np.concatenate([truth.image[true], image[false]]),
        np.concatenate([truth.category[true], category[false]]),
        np.concatenate([truth.area[true], matches.predictions.area[matches.order[false]]]),
        np.arange(true.size + np.count_nonzero(false)) < true.size,
        np.concatenate([taken[true], np.ones(np.count_nonzero(false), dtype=bool)]),
    )


def pairs(matches: Matches, confidence: float = 0.0, *, threshold: float = 0.5) -> Pairs:
    """Predictions of at least `confidence` and the labelled boxes they found; errors as `operation`."""
    image, category = _columns(matches)
    hit = np.flatnonzero(outcomes(matches, confidence, threshold)[0])
    rows = matches.order[hit]
    one = matches.predictions.corners[rows]
    other = matches.truth.corners[matches.partner[_level(matches, threshold), hit]]
    sizes, wanted = one[:, 2:] - one[:, :2], other[:, 2:] - other[:, :2]
    shift = ((one[:, :2] + one[:, 2:]) - (other[:, :2] + other[:, 2:])) / 2 / wanted
    return Pairs(image[hit], category[hit], matches.predictions.score[rows], iou(one, other), shift, sizes / wanted)


def localisation(
    matches: Matches, confidence: float = 0.0, *, threshold: float = 0.5, weights: ArrayLike | None = None
) -> Localisation:
    """Mean overlap and offset of what was found; errors as `operation`. Without weights, one row."""
    found = pairs(matches, confidence, threshold=threshold)
    share = weights_of(matches.images, weights)[:, found.image]
    n = share.sum(axis=1)
    values = np.column_stack([found.iou, np.hypot(*found.shift.T), found.shift, np.log(found.stretch)])
    means = ratio(share @ values, n[:, None])
    overlap, offset = means[:, 0], means[:, 1]
    return Localisation(overlap, 1 - overlap, offset, means[:, 2:4], np.exp(means[:, 4:]), n)


def per_image(matches: Matches, confidence: float, *, threshold: float = 0.5) -> PerImage:
    """Counts, F1, mean IoU and localisation-recall-precision error of each image over all its categories.

    lrp = (sum over found (1 - IoU) / (1 - threshold) + false + missed) / (found + false + missed): 0 all found exactly,
    1 nothing found; it falls with every box found, every false one left out and every better fit. Errors as
    `operation`; ValueError on a threshold of 1, where every box found fits exactly.

    Source: K. Oksuz, B. C. Cam, E. Akbas, S. Kalkan, ECCV 2018 (LRP), eq. 3.
    """
    if not threshold < 1:
        raise ValueError(
            f"the error of a found box is relative to 1 - threshold: expected less than 1, got {threshold}"
        )
    image = _columns(matches)[0]
    hit, false = outcomes(matches, confidence, threshold)
    pair = pairs(matches, confidence, threshold=threshold)
    labelled = np.bincount(matches.truth.image[matches.counted[0]], minlength=matches.images)
    found, wrong = (np.bincount(image[which], minlength=matches.images) for which in (hit, false))
    overlap = np.bincount(pair.image, pair.iou, minlength=matches.images)
    missed = labelled - found
    boxes = found + wrong + missed
    lrp = ratio((found - overlap) / (1 - threshold) + wrong + missed, boxes)
    return PerImage(found, wrong, missed, ratio(2 * found, boxes + found), ratio(overlap, found), lrp)


def confusion(
    truth: Truth,
    predictions: Predictions,
    confidence: float,
    *,
    images: int,
    categories: int,
    threshold: float = 0.5,
    weights: ArrayLike | None = None,
) -> Floats:
    """Confusion matrix (C + 1, C + 1): rows the labelled category, columns the predicted, last the background.

    Sums of `weights` (images,) over what `confused` tells; [C, C] is 0. Raises as `match`.
    """
    told = confused(truth, predictions, confidence, images=images, threshold=threshold)
    row, column = (np.where(numbers < 0, categories, numbers) for numbers in (told.labelled, told.predicted))
    weight = weights_of(images, weights)[0][told.image]
    table = np.bincount(row * (categories + 1) + column, weight, minlength=(categories + 1) ** 2)
    return np.asarray(table.reshape(categories + 1, categories + 1), dtype=np.float64)


def confused(
    truth: Truth, predictions: Predictions, confidence: float, *, images: int, threshold: float = 0.5
) -> Confused:
    """What each labelled box was taken for, and what each prediction was about, whatever the categories.

    Predictions of at least `confidence`, surest first, each take the free labelled box of the highest IoU that reaches
    the threshold, whatever its category. Crowds, ignored boxes and what found them do not count. Raises as `match`.
    """
    matches = match(
        replace(truth, category=np.zeros_like(truth.category)),
        replace(predictions, category=np.zeros_like(predictions.category)),
        images=images,
        categories=1,
        thresholds=(threshold,),
        areas=EVERY_SIZE,
        most=predictions.score.size,
    )
    hit, false = outcomes(matches, confidence, threshold)
    said, label = predictions.category[matches.order], matches.partner[0]
    taken = np.zeros(truth.image.size, dtype=bool)
    taken[label[hit]] = True
    lost = matches.counted[0] & ~taken
    image = predictions.image[matches.order]
    nothing = [np.full(np.count_nonzero(which), -1) for which in (false, lost)]
    return Confused(
        np.concatenate([image[hit], image[false], truth.image[lost]]),
        np.concatenate([truth.category[label[hit]], nothing[0], truth.category[lost]]),
        np.concatenate([said[hit], said[false], nothing[1]]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Ratios of all categories together by confidence, (n,) each, from the surest prediction on; as `Operation`."""

    confidence: Floats  # falling: each that a prediction has
    precision: Floats
    recall: Floats
    f1: Floats


def curve(matches: Matches, *, threshold: float = 0.5, weights: ArrayLike | None = None) -> Curve:
    """Precision, recall and F1 at every confidence that a prediction has, counted as `operation` does.

    Empty without predictions that count; recall and F1 are NaN without labelled boxes. Errors as `operation`.
    """
    share = weights_of(matches.images, weights)[0]
    hit, false = outcomes(matches, -np.inf, threshold)
    which = np.flatnonzero(hit | false)
    row = matches.order[which]
    order = np.argsort(-matches.predictions.score[row], kind="stable")
    score, weight = matches.predictions.score[row[order]], share[matches.predictions.image[row[order]]]
    last = np.append(score[1:] != score[:-1], np.ones(min(score.size, 1), dtype=bool))  # equal ones are cut together
    found, said = (np.cumsum(part)[last] for part in (weight * hit[which][order], weight))
    labelled = share[matches.truth.image[matches.counted[0]]].sum()
    return Curve(score[last], ratio(found, said), ratio(found, labelled), ratio(2 * found, said + labelled))


def _columns(matches: Matches) -> tuple[Integers, Integers]:
    """Image and category of the predictions, in the order of the matches."""
    return matches.predictions.image[matches.order], matches.predictions.category[matches.order]


def _level(matches: Matches, threshold: float) -> int:
    near = np.flatnonzero(np.isclose(matches.thresholds, threshold))
    if not near.size:
        raise ValueError(f"IoU {threshold} was not matched; there are {matches.thresholds.round(4).tolist()}")
    return int(near[0])


def outcomes(matches: Matches, confidence: float, threshold: float) -> tuple[Booleans, Booleans]:
    """Which predictions (D,) of at least the confidence found something, and which count as false; errors as above."""
    level = _level(matches, threshold)
    sure = matches.predictions.score[matches.order] >= confidence
    hit, ignored = matches.hit[0, level], matches.ignored[0, level]
    return sure & hit, sure & ~hit & ~ignored


def _by_category(weights: Floats, image: Integers, category: Integers, categories: int) -> Floats:
    """Sums of weights (R, C)."""
    order = np.argsort(category, kind="stable")
    return sums(weights[:, image[order]], np.searchsorted(category[order], np.arange(categories + 1)))


def ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """Quotient, NaN where there is nothing to divide by."""
    above, below = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))
