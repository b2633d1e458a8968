"""Accuracy of a classifier on images that nobody has labelled: the mean of its calibrated confidence.

Confidence is calibrated by one temperature on labelled images; how far its mean is off under corruptions widens the
interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, ndtri

from cvkit.stats.arrays import Floats
from cvkit.stats.quality.boxes import Integers
from cvkit.stats.quality.classification import Answers, answers

MINIMUM = 30  # images below which nothing is told, or learnt
LEVEL = 0.9  # of the interval
MARGIN = 0.25  # of the range of mean confidence over all that was learnt: how far beyond it accuracy is still told
LEAST = 1e-12  # probabilities are kept above it
TEMPERATURES = (0.05, 20.0)  # searched


@dataclass(frozen=True, slots=True)
class AccuracyEstimator:
    """What was learnt from labelled images: made by `fit_accuracy`."""

    temperature: float  # above 0; 1 leaves confidence as it is, more lowers it
    error: float  # standard deviation of what the mean confidence is off by, beyond sampling
    lowest: float  # mean calibrated confidence over all that was learnt from
    highest: float


@dataclass(frozen=True, slots=True)
class AccuracyEstimate:
    """Accuracy, 0..1, higher is better; NaN where `reason` says why it cannot be told."""

    value: float
    low: float
    high: float
    reason: str
    n: int


def fit_accuracy(examples: Sequence[Answers], minimum: int = MINIMUM) -> AccuracyEstimator:
    """Learn from answers to labelled images, each example under another corruption, or one as they were taken.

    The temperature T minimises the negative log likelihood of softmax(log p / T) over all examples together. `error` is
    what the examples' accuracies differ from their mean confidences by, beyond what samples of their size do: from a
    single example nothing is known of it but its own difference. Raises ValueError without an example, where one has
    fewer than `minimum` images, and where one has classes only.

    Source: C. Guo et al., ICML 2017, arXiv 1706.04599 (temperature); D. Hendrycks, K. Gimpel, ICLR 2017,
    arXiv 1610.02136 (mean confidence); S. Garg et al., ICLR 2022, arXiv 2201.04234 (where it is off).
    """
    if not examples or any(one.truth.size < minimum for one in examples):
        raise ValueError(f"expected examples of at least {minimum} images, got {[one.truth.size for one in examples]}")
    tables = [_logs(one.probabilities) for one in examples]
    logs, truth = np.concatenate(tables), np.concatenate([one.truth for one in examples])
    temperature = _temperature(logs, truth)
    told = [_confidence(table, temperature) for table in tables]
    off = np.array([np.mean(one.said == one.truth) - mean for one, (mean, _) in zip(examples, told, strict=True)])
    beyond = np.mean(off**2 - np.array([variance for _, variance in told]))
    means = [mean for mean, _ in told]
    return AccuracyEstimator(temperature, float(np.sqrt(max(beyond, 0.0))), min(means), max(means))


def estimate_accuracy(
    estimator: AccuracyEstimator,
    probabilities: ArrayLike,
    *,
    level: float = LEVEL,
    margin: float = MARGIN,
    minimum: int = MINIMUM,
) -> AccuracyEstimate:
    """Expected accuracy of answers (n, C) without labels: the mean calibrated confidence, with an interval.

    value -/+ z sqrt(sum p (1 - p) / n^2 + error^2), p the calibrated confidence of what was said. Nothing is told of
    fewer than `minimum` images, and where the mean lies further than `margin` of its range outside all that was learnt
    from. Raises ValueError on probabilities as `classification.answers` does.
    """
    table = np.asarray(probabilities, dtype=np.float64)
    n = len(table)
    if n < minimum:
        return AccuracyEstimate(np.nan, np.nan, np.nan, f"{n} images; {minimum} are needed", n)
    logs = _logs(answers(np.zeros(n, dtype=np.int64), table).probabilities)
    value, variance = _confidence(logs, estimator.temperature)
    reach = margin * (estimator.highest - estimator.lowest) + 2 * float(np.sqrt(variance))
    if not estimator.lowest - reach <= value <= estimator.highest + reach:
        return AccuracyEstimate(np.nan, np.nan, np.nan, "confidence is outside all that was learnt", n)
    half = float(ndtri((1 + level) / 2)) * float(np.sqrt(variance + estimator.error**2))
    return AccuracyEstimate(value, max(value - half, 0.0), min(value + half, 1.0), "", n)


def _logs(probabilities: Floats | None) -> Floats:
    if probabilities is None:
        raise ValueError("expected probabilities of the classes: classes alone tell nothing of how sure they are")
    return np.asarray(np.log(np.maximum(probabilities, LEAST)))


def _temperature(logs: Floats, truth: Integers) -> float:
    rows = np.arange(truth.size)

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logs / np.exp(log_temperature), axis=1)[rows, truth].mean())

    low, high = np.log(TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def _confidence(logs: Floats, temperature: float) -> tuple[float, float]:
    """Mean calibrated confidence, and the variance of the accuracy of so many images about it."""
    sure = np.exp(log_softmax(logs / temperature, axis=1).max(axis=1))
    return float(sure.mean()), float((sure * (1 - sure)).sum() / sure.size**2)
