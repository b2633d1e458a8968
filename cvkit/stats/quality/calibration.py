"""Calibration of a detector's confidence: whether boxes of confidence .8 are right in 80 % of cases.

One table of bins serves the reliability diagram and both errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.arrays import Floats
from cvkit.stats.quality.box_matching import Matches
from cvkit.stats.quality.boxes import Integers
from cvkit.stats.quality.operation import outcomes, pairs, ratio
from cvkit.stats.resampling import weights_of

BINS = 25  # as the authors of LaECE


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Predictions by category and bin of confidence, (C, B); NaN in bins without predictions."""

    edges: Floats  # (B + 1,) 0..1; a bin holds its lower edge, the last both
    n: Floats  # predictions that count, weighted
    confidence: Floats  # their mean
    precision: Floats  # share that found something
    iou: Floats  # mean IoU of those that did, NaN where none did
    dece: float  # detection expected calibration error, 0..1, lower is better
    laece: float  # localisation-aware expected calibration error, 0..1, lower is better


def calibration(
    matches: Matches,
    confidence: float = 0.0,
    *,
    bins: int = BINS,
    threshold: float = 0.5,
    weights: ArrayLike | None = None,
) -> Calibration:
    """Confidence against what it should have been, over predictions of at least `confidence`.

    D-ECE = sum over bins of n_b / N |precision_b - confidence_b|, all categories together.
    LaECE = mean over categories of sum over bins of n_cb / N_c |precision_cb x IoU_cb - confidence_cb|: a confidence
    should also say how well the box fits. Categories without predictions are left out; both NaN without any. Equally
    wide bins. What found a crowd or an ignored box does not count. Both errors are biased upward where bins hold few
    predictions: compare samples of like size, or take intervals (`cvkit.stats.resampling`). `weights` (images,).
    Raises ValueError on fewer than one bin and where `threshold` was not matched.

    Source: F. Küppers et al., CVPR Workshops 2020 (D-ECE over confidence); K. Oksuz et al., CVPR 2023,
    arXiv 2307.00934 (LaECE).
    """
    if bins < 1:
        raise ValueError(f"expected at least one bin, got {bins}")
    hit, false = outcomes(matches, confidence, threshold)
    which = np.flatnonzero(hit | false)
    rows = matches.order[which]
    score, category = matches.predictions.score[rows], matches.predictions.category[rows]
    weight = weights_of(matches.images, weights)[0][matches.predictions.image[rows]]
    right, fit = hit[which].astype(np.float64), np.zeros(which.size)
    fit[hit[which]] = pairs(matches, confidence, threshold=threshold).iou
    cell = category * bins + np.minimum((score * bins).astype(np.int64), bins - 1)
    n, surety, found, fitting = (
        _table(cell, weight * value, matches.categories, bins) for value in (1.0, score, right, fit)
    )
    return Calibration(
        np.linspace(0, 1, bins + 1),
        n,
        ratio(surety, n),
        ratio(found, n),
        ratio(fitting, found),
        _error(n.sum(axis=0), found.sum(axis=0), surety.sum(axis=0)),
        _mean_error(n, fitting, surety),
    )


def _table(cell: Integers, values: Floats, categories: int, bins: int) -> Floats:
    sums = np.bincount(cell, values, minlength=categories * bins)
    return np.asarray(sums.reshape(categories, bins), dtype=np.float64)


def _error(n: Floats, right: Floats, surety: Floats) -> float:
    """Sum over bins of n / N |right / n - surety / n|."""
    return float(ratio(np.abs(right - surety).sum(), n.sum()))


def _mean_error(n: Floats, right: Floats, surety: Floats) -> float:
    some = np.flatnonzero(n.sum(axis=1) > 0)
    errors = [_error(n[c], right[c], surety[c]) for c in some]
    return float(np.mean(errors)) if errors else float("nan")
