"""Threshold: the confidence to cut at, and what F1 it gives on images that it was not chosen on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cvkit.stats.arrays import Floats
from cvkit.stats.quality.box_matching import Matches
from cvkit.stats.quality.operation import outcomes


@dataclass(frozen=True, slots=True)
class Choice:
    """The best confidence, and F1 of all categories together, 0..1, higher is better."""

    confidence: float  # best on all images; NaN without predictions
    f1: float  # of each fold at the confidence that was best on the others; NaN without labels or predictions
    now: float  # at the confidence that holds now
    images: int


def choose(matches: Matches, folds: ArrayLike, confidence: float, *, threshold: float = 0.5) -> Choice:
    """The confidence of the highest F1, and how good it is on images it was not chosen on.

    `folds` (images,): numbers of parts that have as little to do with each other as can be had, such as days; with a
    single one nothing can be told (f1 NaN). Confidences are those of predictions: of predictions that were cut, none
    lower than the cut is known. Of several that are as good the one nearest to `confidence`, which holds now. Crowds
    and ignored boxes do not count. Raises ValueError where `threshold` was not matched.
    """
    fold = np.asarray(folds, dtype=np.int64).ravel()
    image = matches.predictions.image[matches.order]
    score = matches.predictions.score[matches.order]
    hit, false = outcomes(matches, -math.inf, threshold)
    labelled = matches.truth.image[matches.counted[0]]
    counted = hit | false

    def best(which: NDArray[np.bool_]) -> float:
        here = which[image] & counted
        return _best(score[here], hit[here], int(np.count_nonzero(which[labelled])), confidence)

    def counts(which: NDArray[np.bool_], cut: float) -> Floats:
        here = which[image] & (score >= cut)
        found, wrong = np.count_nonzero(here & hit), np.count_nonzero(here & false)
        return np.array([2 * found, found + wrong + np.count_nonzero(which[labelled])], dtype=np.float64)

    everything = np.ones(fold.size, dtype=bool)
    parts = np.unique(fold)
    cuts = [best(fold != part) for part in parts]
    told = sum((counts(fold == part, cut) for part, cut in zip(parts, cuts, strict=True)), np.zeros(2))
    crossed = told[0] / told[1] if parts.size > 1 and not np.isnan(cuts).any() and told[1] else math.nan
    found, boxes = counts(everything, confidence)
    return Choice(best(everything), float(crossed), float(found / boxes) if boxes else math.nan, fold.size)


def _best(score: Floats, hit: NDArray[np.bool_], labelled: int, confidence: float) -> float:
    """The score at which 2 found / (found + false + labelled) is highest; NaN without any."""
    if not score.size or not labelled:
        return math.nan
    order = np.argsort(-score, kind="stable")
    score = score[order]
    f1 = 2 * np.cumsum(hit[order]) / (np.arange(1, score.size + 1) + labelled)
    last = np.append(score[1:] != score[:-1], True)  # equal scores are cut together
    score, f1 = score[last], f1[last]
    as_good = score[f1 >= f1.max() - 1e-12]
    return float(as_good[np.argmin(np.abs(as_good - confidence))])
