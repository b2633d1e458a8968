"""Quality of a classifier: how often it is right, on which classes, how it ranks, and whether it knows.

Every number is a function of weights of the images, as in `cvkit.stats.quality.detection`: all ones is the plain
number, R rows at once are what `cvkit.stats.resampling` asks for. An image has one true class, and one the classifier
said: the most probable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.arrays import Floats, floats
from cvkit.stats.change.segments import sums
from cvkit.stats.quality.boxes import Integers
from cvkit.stats.quality.operation import ratio
from cvkit.stats.resampling import weights_of

MINIMUM = 2  # images
TOLERANCE = 1e-3  # by how much probabilities may miss a sum of 1: half precision over many classes
BINS = 15  # of equal width, as the authors of ECE for networks
CELLS = 1 << 17  # weights worked on at a time: their arrays stay in the processor's cache
SUMMARY = ("accuracy", "balanced_accuracy", "precision", "f1", "auroc", "ece")


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What is true of n images and what was said: made by `answers` or `labels`."""

    truth: Integers  # (n,) 0..C - 1
    said: Integers  # (n,) 0..C - 1; of equally probable classes the first
    classes: int  # C
    probabilities: Floats | None  # (n, C), 0..1, rows sum to 1 within the tolerance; None where only classes were said


@dataclass(frozen=True, slots=True, eq=False)
class PerClass:
    """Quality by class, (R, C) each, 0..1, higher is better; NaN of classes without truth.

    Their means over classes, without NaN, are the macro averages; that of recall is the balanced accuracy.
    """

    n: Floats  # images of the class, weighted
    precision: Floats  # right / said; NaN, too, of classes that were never said
    recall: Floats  # right / n
    f1: Floats  # 2 right / (said + n); 0 of classes with truth that were never said


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Images by bin of the confidence in what was said, (R, B) each; NaN in bins without images."""

    edges: Floats  # (B + 1,) 0..1; a bin holds its lower edge, the last both
    n: Floats  # images, weighted
    confidence: Floats  # mean probability of what was said
    accuracy: Floats  # share that was right
    ece: Floats  # (R,) expected calibration error, 0..1, lower is better; NaN without images


# -- what comes in --------------------------------------------------------------------------------------------------


def answers(truth: ArrayLike, probabilities: ArrayLike, *, tolerance: float = TOLERANCE) -> Answers:
    """Answers of a classifier that gives probabilities: `truth` (n,) numbers of classes, `probabilities` (n, C).

    Numbers are kept as they are: rows are not made to sum to 1. Raises ValueError on fewer than two images or two
    classes, on classes that are not 0..C - 1, on probabilities that are NaN, outside 0..1, of another number of images,
    or whose sum misses 1 by more than `tolerance`.
    """
    said = floats(probabilities)
    if said.ndim != 2 or said.shape[1] < 2:
        raise ValueError(f"probabilities are a row an image, a column a class, two at least: found {said.shape}")
    true = _classes(truth, said.shape[1], "truth")
    if len(said) != true.size:
        raise ValueError(f"each image needs its probabilities: {true.size} images, {len(said)} rows")
    _refuse(~np.all((said >= 0) & (said <= 1), axis=1), "probabilities outside 0..1, or NaN")
    _refuse(np.abs(said.sum(axis=1) - 1) > tolerance, f"probabilities whose sum is not 1 within {tolerance:g}")
    return Answers(true, np.argmax(said, axis=1), said.shape[1], said)


def labels(truth: ArrayLike, said: ArrayLike, classes: int) -> Answers:
    """Answers of a classifier that gives classes only, (n,) numbers each; no AUROC and no ECE follow from them.

    Raises ValueError on fewer than two images, on columns of unequal length and on classes that are not
    0..`classes` - 1.
    """
    true, found = _classes(truth, classes, "truth"), _classes(said, classes, "what was said")
    if true.size != found.size:
        raise ValueError(f"each image needs its answer: {true.size} images, {found.size} answers")
    return Answers(true, found, classes, None)


def side_by_side(first: Answers, second: Answers) -> Answers:
    """What two models say about the same images, the second model's after the first's, the truth twice.

    This is what `cvkit.stats.resampling.compare` asks for. Raises ValueError where the two are not of the same truth
    and classes, and where only one has probabilities.
    """
    if first.classes != second.classes or not np.array_equal(first.truth, second.truth):
        raise ValueError("two models are compared on the same images: their truth or their classes differ")
    if (first.probabilities is None) != (second.probabilities is None):
        raise ValueError("two models are compared on the same numbers: only one of them has probabilities")
    tables = [one.probabilities for one in (first, second) if one.probabilities is not None]
    truth, said = (np.concatenate([getattr(one, name) for one in (first, second)]) for name in ("truth", "said"))
    return Answers(truth, said, first.classes, np.concatenate(tables) if tables else None)


def _classes(values: ArrayLike, classes: int, name: str) -> Integers:
    numbers = floats(values)
    if numbers.ndim != 1 or numbers.size < MINIMUM:
        raise ValueError(f"{name}: a class for each of at least {MINIMUM} images is needed, not {numbers.shape}")
    whole = np.where(np.isfinite(numbers), numbers, -1).astype(np.int64)
    _refuse((whole != numbers) | (whole < 0) | (whole >= classes), f"{name} that is no class of 0..{classes - 1}")
    return whole


def _refuse(faulty: ArrayLike, what: str) -> None:
    rows = np.asarray(faulty)
    if rows.any():
        raise ValueError(
            f"{np.count_nonzero(rows)} of {rows.size} images have {what}; the first is row {rows.argmax()}"
        )


# -- right and wrong ------------------------------------------------------------------------------------------------


def accuracy(given: Answers, weights: ArrayLike | None = None) -> Floats:
    """Share of the images whose class was said (R,), 0..1, higher is better; NaN where all weights are 0.

    `weights` (n,) or (R, n), as everywhere here: finite, not negative, one an image; a weight of k is k copies.
    Raises ValueError on others.
    """
    rows = weights_of(given.truth.size, weights)
    return ratio(rows @ (given.said == given.truth).astype(np.float64), rows.sum(axis=1))


def per_class(given: Answers, weights: ArrayLike | None = None) -> PerClass:
    """Precision, recall and F1 of each class, (R, C); `weights` as in `accuracy`.

    >>> result = per_class(labels([0, 0, 1], [0, 1, 1], classes=3))
    >>> result.precision.tolist(), result.recall.tolist()
    ([[1.0, 0.5, nan]], [[0.5, 1.0, nan]])
    """
    rows = weights_of(given.truth.size, weights)
    right = np.flatnonzero(given.said == given.truth)
    n, said = (_by_class(rows, column, given.classes) for column in (given.truth, given.said))
    found = _by_class(rows[:, right], given.truth[right], given.classes)
    known = np.where(n > 0, n, np.nan)
    return PerClass(n, ratio(found, said) + 0 * known, found / known, 2 * found / (said + known))


def confusion(given: Answers, weights: ArrayLike | None = None) -> Floats:
    """Confusion matrix (C, C): rows the true class, columns the one said; sums of `weights` (n,), as scikit-learn's."""
    from sklearn.metrics import confusion_matrix  # half a second, and nothing else here needs it

    row = weights_of(given.truth.size, weights)
    if len(row) != 1:
        raise ValueError(f"one row of weights gives one matrix, not {len(row)} rows")
    table = confusion_matrix(given.truth, given.said, labels=np.arange(given.classes), sample_weight=row[0])
    return np.asarray(table, dtype=np.float64)


def _by_class(weights: Floats, classes: Integers, count: int) -> Floats:
    """Sums of weights (R, C)."""
    order = np.argsort(classes, kind="stable")
    return sums(weights[:, order], np.searchsorted(classes[order], np.arange(count + 1)))


# -- how it ranks, and whether it knows -----------------------------------------------------------------------------


def auroc(given: Answers, weights: ArrayLike | None = None) -> Floats:
    """Area under the ROC curve of each class against all others, (R, C), 0..1, higher is better, .5 is chance.

    The probability that an image of the class is given a higher probability of it than one of another class, ties
    counting half. NaN of classes without truth, or with nothing else. The macro average is the mean over classes
    without NaN. Time grows with images times classes. `weights` as in `accuracy`; ValueError, too, on answers without
    probabilities.
    """
    rows, table = weights_of(given.truth.size, weights), _probabilities(given)
    areas = np.full((len(rows), given.classes), np.nan)
    step = max(1, CELLS // given.truth.size)
    for number in np.unique(given.truth):
        places = _places(table[:, number], given.truth == number)
        for low in range(0, len(rows), step):
            areas[low : low + step, number] = _area(rows[low : low + step], *places)
    return areas


def _places(scores: Floats, positive: ArrayLike) -> tuple[Integers, Integers, Integers, Integers]:
    """Images by rising score; those of the class; and how many lie below each of these, and not above it."""
    order = np.argsort(scores, kind="stable")
    ordered, inside = scores[order], np.flatnonzero(np.asarray(positive))
    own = scores[inside]
    return order, inside, np.searchsorted(ordered, own), np.searchsorted(ordered, own, side="right")


def _area(rows: Floats, order: Integers, inside: Integers, below: Integers, upto: Integers) -> Floats:
    """Pairs with any image, ties half, less those within the class: of these each wins a half, all in all."""
    weight = np.zeros((len(rows), order.size + 1))
    np.cumsum(rows[:, order], axis=1, out=weight[:, 1:])
    own = rows[:, inside]
    positive = own.sum(axis=1)
    pairs = (own * (weight[:, below] + weight[:, upto])).sum(axis=1) / 2 - positive**2 / 2
    return ratio(pairs, positive * (weight[:, -1] - positive))


def reliability(given: Answers, weights: ArrayLike | None = None, *, bins: int = BINS) -> Reliability:
    """Confidence in what was said against how often it was right: the table of a reliability diagram, and its error.

    ECE = sum over bins of n_b / n |accuracy_b - confidence_b|, with bins of equal width of the probability of the class
    that was said. Biased upward where bins hold few images: compare samples of like size, or take intervals. `weights`
    as in `accuracy`; ValueError, too, on fewer than one bin and on answers without probabilities.

    Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, ICML 2017, arXiv 1706.04599, eq. 3.
    """
    if bins < 1:
        raise ValueError(f"expected at least one bin, got {bins}")
    rows = weights_of(given.truth.size, weights)
    surety = _probabilities(given)[np.arange(given.said.size), given.said]
    which = np.minimum((surety * bins).astype(np.int64), bins - 1)
    right = (given.said == given.truth).astype(np.float64)
    n, sure, found = (_by_class(rows * value, which, bins) for value in (np.ones(right.size), surety, right))
    error = ratio(np.abs(found - sure).sum(axis=1), n.sum(axis=1))
    return Reliability(np.linspace(0, 1, bins + 1), n, ratio(sure, n), ratio(found, n), error)


def _probabilities(given: Answers) -> Floats:
    if given.probabilities is None:
        raise ValueError("AUROC and calibration need probabilities, and these answers are classes only")
    return given.probabilities


# -- all at once ----------------------------------------------------------------------------------------------------


def summary(given: Answers, weights: ArrayLike | None = None, *, bins: int = BINS) -> dict[str, float]:
    """The numbers of `SUMMARY` by name, under one row of weights: as `summary_metric`."""
    row = weights_of(given.truth.size, weights)
    if len(row) != 1:
        raise ValueError(f"one row of weights gives one summary, not {len(row)} rows; see summary_metric")
    return dict(zip(SUMMARY, summary_metric(given, bins=bins)(row)[0].tolist(), strict=True))


def summary_metric(given: Answers, *, bins: int = BINS) -> Callable[[Floats], Floats]:
    """The numbers of `SUMMARY` as a function of weights, (R, n) -> (R, 6): what `cvkit.stats.resampling` asks for.

    All 0..1; higher is better but for `ece`. Precision, F1 and AUROC are macro averages: means over classes, without
    NaN. Balanced accuracy is that of recall. AUROC and ECE are NaN of answers without probabilities.
    """
    return lambda weights: _summary(given, weights, bins)


def _summary(given: Answers, weights: Floats, bins: int) -> Floats:
    by_class = per_class(given, weights)
    nothing = np.full(len(weights), np.nan)
    scored = given.probabilities is not None
    columns = [
        accuracy(given, weights),
        *(_macro(values) for values in (by_class.recall, by_class.precision, by_class.f1)),
        _macro(auroc(given, weights)) if scored else nothing,
        reliability(given, weights, bins=bins).ece if scored else nothing,
    ]
    return np.stack(columns, axis=1)


def _macro(values: Floats) -> Floats:
    """Mean over classes (R,), without NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1))
