"""How far a number would move on other test images: intervals, and a paired test of two models.

A metric is a function of weights, `metric(weights)`: (R, units) in, (R, k) out, each row of weights saying how often
each unit counts. Units are images, or whatever else is independent. Any metric that can be accumulated under weights
will do, of detection (`cvkit.stats.quality.detection.coco_metric`) or of classification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cvkit.stats import intervals
from cvkit.stats.arrays import Floats

Metric = Callable[[Floats], Floats]

REPLICATES = 500  # tells a standard error to 3 %
MINIMUM = 30  # units (or groups) below which nothing is told
BIAS_RATE = 0.5  # the bias of a maximum over noise falls with n as the noise does, as n^-1/2
BIAS_ERROR = 0.5  # standard error of a bias told from halves, in parts of it: .5 to .7 in simulations of mAP
ROUNDING = 1e-12  # of a metric's size: differences below it are rounding
BLOCK = 1 << 22  # weights drawn at a time: 32 MB


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """Numbers of a metric with their intervals, (k,) each; NaN where they cannot be told."""

    estimate: Floats  # on the units as they are
    low: Floats
    high: Floats
    error: Floats  # standard error
    bias: Floats  # by how much the estimate is expected to lie above what very many units would give
    n: int  # units, or groups where there are groups


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Second model less first on the same units, (k,) each; NaN where it cannot be told."""

    difference: Floats
    low: Floats
    high: Floats
    p_value: Floats  # two-sided, of the models being interchangeable; 0..1
    n: int  # units, or groups where there are groups


def interval(
    metric: Metric,
    units: int,
    *,
    groups: ArrayLike | None = None,
    replicates: int = REPLICATES,
    level: float = 0.95,
    bias_rate: float = BIAS_RATE,
    bias_error: float = BIAS_ERROR,
    minimum: int = MINIMUM,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    seed: int = 0,
) -> Interval:
    """Interval of a metric over other samples of units, corrected for what small samples flatter.

    Random halves of the units (weights 0 and 1) are measured, each with its complement: (estimate - bias) -/+ t SE,
    t the quantile of Student's t with n - 1 degrees of freedom. bias = (mean of the halves - estimate) /
    (2^`bias_rate` - 1), from a bias proportional to n^-`bias_rate`. SE^2 = s^2 + (`bias_error` bias)^2, s the standard
    deviation of the halves about their mean (delete-half jackknife: a half without replacement varies about the whole
    as the whole does about the population). mAP needs the correction: its precision envelope is a maximum over noise,
    so 200 images flatter by half a standard error. A bootstrap shows a third of that, and its percentile interval leans
    the wrong way (coverage: benchmark `evaluation`). Numbers without bias, such as recall and accuracy, are left where
    they are. The interval is of the value for very many units; the estimate need not lie in its middle.

    Where every half says exactly what one of finite `bounds` is, such as a recall of 1, halves tell nothing: of n units
    none fell short, and the share that does is at most 1 - ((1 - level) / 2)^(1/n), about 3.7 / n at .95
    (`intervals.unseen`). The interval reaches from the bound as far as if those units fell short wholly.

    `groups` (units,) names units that depend on each other, such as frames of one source and hour: whole groups are
    taken. Ends are clipped to `bounds`. NaN with fewer than `minimum` units or groups, and where the metric is NaN in
    any half (a category too rare to be in both). The same seed gives the same result. Raises ValueError on groups that
    are not one a unit.

    Source: J. Shao, C. F. J. Wu, Ann. Stat. 17 (1989) 1176-1197; C. J. Clopper, E. S. Pearson, Biometrika 26 (1934)
    404-413.
    """
    labels, count = _groups(units, groups)
    estimate = metric(np.ones((1, units)))[0]
    if count < minimum:
        nothing = np.full(estimate.shape, np.nan)
        return Interval(estimate, nothing, nothing, nothing, nothing, count)
    halves = _values(metric, _halves(count, replicates, np.random.default_rng(seed)), labels)
    bias = (halves.mean(axis=0) - estimate) / (2.0**bias_rate - 1)
    error = np.hypot(halves.std(axis=0), bias_error * bias)
    low, high = _around(estimate - bias, error, count, level)
    low, high = _at_bounds(
        halves, np.clip(low, *bounds), np.clip(high, *bounds), bounds, intervals.unseen(count, level)
    )
    return Interval(estimate, low, high, error, bias, count)


def compare(
    metric: Metric,
    units: int,
    *,
    groups: ArrayLike | None = None,
    replicates: int = REPLICATES,
    level: float = 0.95,
    minimum: int = MINIMUM,
    seed: int = 0,
) -> Comparison:
    """Difference of two models on the same units, second less first, with its interval and a test.

    `metric` takes weights of 2 `units` units: the first model's outputs on all units, then the second model's on the
    same units again, as if they were others (boxes: `cvkit.stats.quality.boxes.side_by_side`). Interval: as `interval`,
    both models on the same halves, without taking off a bias, as small samples flatter both. Test: the models' outputs
    are swapped on each unit (group) with probability a half; p = (1 + swaps with a difference at least as large, either
    way) / (1 + `replicates`). Exact, whatever the metric: of two interchangeable models a share of at most p gets p or
    less, and a model against itself gets 1. It asks for more than equal metrics, so near the edge the interval may
    disagree.

    `groups`, NaN, seed and errors as `interval`.

    Source: R. A. Fisher, The Design of Experiments (1935), ch. 3 (randomisation); B. Phipson, G. Smyth, Stat. Appl.
    Genet. Mol. Biol. 9 (2010) 39 (the + 1).
    """
    labels, count = _groups(units, groups)
    difference = _gain(metric, np.zeros((1, units)), np.ones((1, units)))[0]
    if count < minimum:
        nothing = np.full(difference.shape, np.nan)
        return Comparison(difference, nothing, nothing, nothing, count)
    random = np.random.default_rng(seed)
    halves = _values(lambda rows: _gain(metric, 0 * rows, rows), _halves(count, replicates, random), labels)
    swapped = _values(lambda rows: _gain(metric, rows, 1 - rows), _swaps(count, replicates, random), labels)
    low, high = _around(difference, halves.std(axis=0), count, level)
    return Comparison(difference, low, high, _share_as_large(swapped, difference), count)


def weights_of(units: int, weights: ArrayLike | None) -> Floats:
    """Weights as rows (R, units); one row of ones where they are None.

    Raises ValueError on weights of another number of units, negative or not finite ones.
    """
    rows = np.atleast_2d(np.ones(units) if weights is None else np.asarray(weights, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != units:
        raise ValueError(f"each unit needs its weight: {units} units, weights of shape {rows.shape}")
    if rows.size and not (rows.min() >= 0 and np.isfinite(rows.max())):
        raise ValueError(f"weights are finite and not negative, not {rows.min()} to {rows.max()}")
    return rows


# -- taking units ---------------------------------------------------------------------------------------------------


def _groups(units: int, groups: ArrayLike | None) -> tuple[NDArray[np.intp], int]:
    """Number of the group of each unit, and how many groups there are."""
    if groups is None:
        return np.arange(units), units
    names = np.asarray(groups).ravel()
    if names.size != units:
        raise ValueError(f"each unit needs its group: {units} units, {names.size} groups")
    distinct, labels = np.unique(names, return_inverse=True)
    return labels, distinct.size


def _parts(count: int, replicates: int) -> Iterator[int]:
    """Replicates in parts of at most `BLOCK` weights, at least two at a time."""
    step = max(2, BLOCK // max(count, 1) // 2 * 2)
    return (min(step, replicates - low) for low in range(0, replicates, step))


def _halves(count: int, replicates: int, random: np.random.Generator) -> Iterator[Floats]:
    """1 on random halves of `count`, and on what they leave."""
    for rows in _parts(count, replicates):
        order = random.permuted(np.tile(np.arange(count), ((rows + 1) // 2, 1)), axis=1)
        first = (order < count // 2).astype(np.float64)
        yield np.concatenate([first, 1 - first])[:rows]


def _swaps(count: int, replicates: int, random: np.random.Generator) -> Iterator[Floats]:
    """1 with probability a half, else 0."""
    for rows in _parts(count, replicates):
        yield random.integers(2, size=(rows, count)).astype(np.float64)


# -- measuring ------------------------------------------------------------------------------------------------------


def _values(metric: Metric, weights: Iterator[Floats], labels: NDArray[np.intp]) -> Floats:
    """Metric (R, k) under weights of groups."""
    return np.concatenate([metric(rows[:, labels]) for rows in weights])


def _gain(metric: Metric, first: Floats, second: Floats) -> Floats:
    """Metric (R, k) with weights `first` of the first model and `second` of the second, less the other way round.

    0 where only rounding tells the two apart: the same images in another order sum up to another last digit.
    """
    one, other = (metric(np.concatenate(pair, axis=1)) for pair in ((first, second), (second, first)))
    gain = one - other
    return np.where(np.abs(gain) <= ROUNDING * (np.abs(one) + np.abs(other)), 0.0, gain)


def _around(centre: Floats, error: Floats, count: int, level: float) -> tuple[Floats, Floats]:
    half = special.stdtrit(count - 1, (1 + level) / 2) * error
    return centre - half, centre + half


def _at_bounds(
    halves: Floats, low: Floats, high: Floats, bounds: tuple[float, float], unseen: float
) -> tuple[Floats, Floats]:
    """Ends of intervals, moved away from a bound that all halves lie at by the share `unseen` of what is possible."""
    least, most = bounds
    room = most - least
    if not np.isfinite(room):
        return low, high
    at_least, at_most = ((np.abs(halves - end) <= ROUNDING * room).all(axis=0) for end in bounds)
    return np.where(at_most, most - unseen * room, low), np.where(at_least, least + unseen * room, high)


def _share_as_large(swapped: Floats, observed: Floats) -> Floats:
    """p-value of each number; NaN where a difference is not known."""
    edge = np.abs(observed) * (1 - 1e-9)  # a swap of everything is the mirror image but for rounding
    share = (1 + np.count_nonzero(np.abs(swapped) >= edge, axis=0)) / (1 + len(swapped))
    known = ~np.isnan(observed) & ~np.isnan(swapped).any(axis=0)
    return np.where(known, share, np.nan)
