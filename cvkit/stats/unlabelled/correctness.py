"""How right a detector probably is about an image that nobody has labelled, from what it said about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.arrays import Floats, floats
from cvkit.stats.quality.boxes import Integers

FEWEST = 30  # labelled images, below which nothing is learnt
BINS = 10
PRIOR = 2.0  # images' worth of the common spread that each bin's own spread is mixed with


@dataclass(frozen=True, slots=True, eq=False)
class Correctness:
    """What labelled images taught: how often boxes are right, and how far images stray from what is expected."""

    confidences: Floats  # (B,) rising, from 0
    right: Floats  # (B,) share of boxes of such a confidence that found something, 0..1, never falling, from 0
    missed: float  # objects per image that no box found
    nothing: float  # mean F1, 0..1, of images without a box
    scores: Floats  # (C - 1,) rising: cuts between bins of expected F1
    spreads: Floats  # (C,) standard deviation of F1 about what is expected, in its bin
    lowest: float  # expected F1, below which there was no labelled image
    coarse: float  # spread over sqrt(s (1 - s)) of all images, with s what is expected: for images below that
    explained: float  # share of the variance of F1 that the expectation explains, at most 1; below 0: worse than none
    n: int  # labelled images


def learn(image: ArrayLike, confidence: ArrayLike, right: ArrayLike, missed: ArrayLike, f1: ArrayLike) -> Correctness:
    """Learn from boxes (n,) on labelled images (m,): the image each is on, 0..m-1, its confidence, whether it is right.

    `missed` (m,) objects that no box found, `f1` (m,) of each image, 0..1. Raises ValueError with fewer than `FEWEST`
    images, and on NaN.
    """
    place, surety, hit = np.asarray(image, dtype=np.int64), floats(confidence), floats(right)
    lost, good = floats(missed), floats(f1)
    if good.size < FEWEST:
        raise ValueError(f"expected at least {FEWEST} labelled images, got {good.size}")
    if np.isnan(surety).any() or np.isnan(hit).any() or np.isnan(good).any():
        raise ValueError("expected numbers, found NaN")
    surely, shares = _calibrated(surety, hit)
    empty = np.bincount(place, minlength=good.size) == 0
    nothing = float(good[empty].mean()) if empty.any() else float(good.mean())
    first = Correctness(surely, shares, float(lost.mean()), nothing, np.empty(0), np.zeros(1), 0, 0, 0, good.size)
    return _with_spreads(first, expected_f1(first, place, surety, good.size), good)


def expected_f1(known: Correctness, image: ArrayLike, confidence: ArrayLike, images: int) -> Floats:
    """F1 to be expected of each image (`images`,), 0..1, higher is better: 2 r / (r + b + r + m).

    r is the sum of the shares right of the image's boxes (n,), b their number, m the objects that are usually missed;
    of an image without a box, what is usual of those.
    """
    place, surety = np.asarray(image, dtype=np.int64), floats(confidence)
    shares = np.interp(surety, known.confidences, known.right)
    right, boxes = np.bincount(place, shares, images), np.bincount(place, minlength=images)
    whole = 2 * right + (boxes - right) + known.missed
    return np.asarray(np.divide(2 * right, whole, out=np.full(images, known.nothing), where=boxes > 0))


def spread(known: Correctness, scores: ArrayLike) -> Floats:
    """How far F1 strays from each expected F1, as its standard deviation; NaN where that is NaN.

    Below the lowest expected F1 that was learnt from, where it is larger, that of a share: in proportion to
    sqrt(s (1 - s)), as far as all of the labelled images stray.
    """
    value = floats(scores)
    found = known.spreads[np.searchsorted(known.scores, np.nan_to_num(value), side="right")]
    coarse = known.coarse * np.sqrt(np.clip(value * (1 - value), 0, None))
    found = np.where(value < known.lowest, np.maximum(found, coarse), found)
    return np.where(np.isnan(value), np.nan, found)


def _with_spreads(known: Correctness, scores: Floats, f1: Floats) -> Correctness:
    edges = _quantiles(scores)
    bins: Integers = np.searchsorted(edges, scores, side="right")
    n = np.bincount(bins, minlength=edges.size + 1)
    off = f1 - (np.bincount(bins, f1, edges.size + 1) / np.maximum(n, 1))[bins]
    common, whole = float(np.mean(off**2)), float(f1.var())
    spreads = np.sqrt((np.bincount(bins, off**2, edges.size + 1) + PRIOR * common) / (n + PRIOR))
    explained = 1 - float(np.mean((f1 - scores) ** 2)) / whole if whole else 0.0
    typical = float(np.mean(scores * (1 - scores)))
    coarse = float(np.sqrt(common / typical)) if typical else 0.0
    return replace(
        known, scores=edges, spreads=spreads, lowest=float(scores.min()), coarse=coarse, explained=explained
    )  # fmt: skip


def _calibrated(confidence: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Confidences, from 0 on, and the share of such boxes that is right: 0 at 0, bins' means above, lines between."""
    edges = _quantiles(confidence)
    bins = np.searchsorted(edges, confidence, side="right")
    n = np.bincount(bins, minlength=edges.size + 1)
    shares = np.maximum.accumulate((np.bincount(bins, right, edges.size + 1) + 0.5) / (n + 1))
    centres = np.bincount(bins, confidence, edges.size + 1) / np.maximum(n, 1)
    return np.append(0.0, centres), np.append(0.0, shares)


def _quantiles(values: Floats) -> Floats:
    """Cuts into bins of one size."""
    if not values.size:
        return np.empty(0)
    ends = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    return np.asarray(ends[ends > values.min()])
