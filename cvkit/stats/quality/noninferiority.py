"""Whether one detector is no worse than another, or better, on the same images: paired, in F1, with what is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from cvkit.stats import resampling
from cvkit.stats.arrays import Floats, floats
from cvkit.stats.quality.operation import ratio

LEVEL = 0.95  # that the truth lies above low, and the same that it lies below high
POWER = 0.8  # that as many images as are asked for will do
REPLICATES = 200  # tells a standard error to 5 %
MINIMUM = 30  # images, or groups, below which nothing is told


@dataclass(frozen=True, slots=True)
class Gain:
    """F1 of two models on the same images, and their difference, second less first; NaN where it cannot be told."""

    first: float  # 0..1, higher is better
    second: float
    difference: float
    low: float  # one-sided: the truth lies above it with `level`
    high: float  # and below this
    error: float  # standard error of the difference
    p_value: float  # two-sided, of the models being interchangeable; 0..1
    n: int  # images, or groups where there are groups


def f1_gain(
    found: ArrayLike,
    whole: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    level: float = LEVEL,
    minimum: int = MINIMUM,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Gain:
    """Compare F1 = sum of `found` / sum of `whole` of two models on the same n images.

    `found`, `whole` (2, n): of each model the boxes found on each image, and found + (false + missed) / 2; `groups`
    (n,) names images that depend on each other. Error and p-value as `cvkit.stats.resampling.compare` tells them, the
    error widened as if one box more had been lost, and one more won: error^2 = s^2 + 2 ((1 - F1 / 2) / sum of whole)^2.
    Otherwise forty images on which two models say the same would show that they always do. Interval: difference -/+
    t error, with Student's t at `level`, each end by itself. NaN with fewer than `minimum` images (groups), and where a
    model has neither a box to find nor one said. Same seed, same result. Raises ValueError on shapes that do not fit.

    Source: A. Agresti, Y. Min, Stat. Med. 24 (2005) 729-740 (pseudo-observations of paired differences).

    >>> gain = f1_gain(np.ones((2, 40)), np.ones((2, 40)))
    >>> gain.difference, gain.p_value, round(gain.low, 3)
    (0.0, 1.0, -0.03)
    """
    parts, wholes = (np.atleast_2d(floats(one)) for one in (found, whole))
    if parts.shape != wholes.shape or len(parts) != 2:
        raise ValueError(f"two models on the same images: expected (2, n), found {parts.shape} and {wholes.shape}")

    def metric(weights: Floats) -> Floats:
        return ratio(weights @ parts.ravel(), weights @ wholes.ravel())[:, None]

    value = ratio(parts.sum(axis=1), wholes.sum(axis=1)).tolist()
    n = parts.shape[1]
    told = resampling.compare(
        metric, n, groups=groups, replicates=replicates, level=2 * level - 1, minimum=minimum, seed=seed
    )
    t = _quantile(level, told.n)
    sampled = float(told.high[0] - told.low[0]) / 2 / t
    one = (1 - np.mean(value) / 2) * ratio(2, wholes.sum())
    error = math.hypot(sampled, math.sqrt(2) * float(one))
    gap = float(told.difference[0])
    return Gain(value[0], value[1], gap, gap - t * error, gap + t * error, error, float(told.p_value[0]), told.n)


def needed(gain: Gain, limit: float, *, level: float = LEVEL, power: float = POWER) -> float:
    """How many times as many images would tell on which side of `limit` the difference lies, if it stays as it is.

    ((t + z) error / |difference - limit|)^2, t the quantile at `level` and z that at `power`: with the plain
    (t error / distance)^2 half of all such trials would not do. At least 1; infinite where the difference is the limit;
    NaN where nothing is known.
    """
    distance = abs(gain.difference - limit)
    if math.isnan(distance) or math.isnan(gain.error):
        return math.nan
    reach = (_quantile(level, gain.n) + float(special.ndtri(power))) * gain.error
    return math.inf if not distance else max(1.0, (reach / distance) ** 2)


def sign_test(differences: ArrayLike) -> float:
    """The chance, 0..1, of so many losses or more among `differences` (n,), were a loss as likely as a win.

    One-sided and exact, whatever n is: for parts too small for an interval. Ties and NaN do not count; 1 if none lost.

    Source: W. J. Dixon, A. M. Mood, J. Am. Stat. Assoc. 41 (1946) 557-566.

    >>> sign_test([-1, -1, -1, -1, -1, 0]), sign_test([1, -1])
    (0.03125, 0.75)
    """
    gaps = floats(differences)
    lost, won = int((gaps < 0).sum()), int((gaps > 0).sum())
    return float(special.bdtrc(lost - 1, lost + won, 0.5)) if lost else 1.0


def _quantile(level: float, n: int) -> float:
    return float(special.stdtrit(max(n - 1, 1), level))
