"""Which units to look at where not all can be: strata, their shares of a budget, the draw, and what it tells.

Every unit of the population has a known probability of being drawn, so that the drawn ones, each weighed by its
inverse, speak for all of them, however unevenly they were drawn.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from cvkit.stats.arrays import Floats, floats
from cvkit.stats.quality.boxes import Booleans, Integers

STRATA = 8  # more of them tell next to nothing more (Cochran, section 5A.8) and leave fewer units in each
CAUTION = 0.3  # how far predicted spreads are drawn towards one another; by simulation, see the benchmark `labels`
FEWEST = 2  # drawn units of a stratum, from which a spread can be told


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of a population, from a part of it."""

    mean: float  # in the values' unit
    error: float  # standard error of it; NaN where nothing tells
    freedom: float  # degrees of freedom of the error; infinite where all units were looked at
    low: float  # ends of the interval
    high: float
    n: int  # units looked at


def cuts(scores: ArrayLike, spreads: ArrayLike, most: int = STRATA) -> Floats:
    """Where to cut the scores, so that the spreads add up to the same in each of at most `most` strata.

    Then the allocation that serves a mean best gives each stratum as many units. `scores` (n,) say what is alike,
    `spreads` (n,) >= 0 how uncertain each unit is, in the unit of what is to be estimated; where all are 0 or equal,
    strata are of one size. Rising, fewer than `most`: units of one score are not parted, and no stratum is empty.
    NaN scores have no part in it. Raises ValueError on `most` < 1 and spreads that are negative or NaN.

    >>> cuts([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [3, 3, 2, 2, 1, 1], most=2).tolist()
    [0.3]
    """
    value, spread = floats(scores).ravel(), floats(spreads).ravel()
    if most < 1:
        raise ValueError(f"expected at least one stratum, got {most}")
    if not np.all(spread >= 0):
        raise ValueError("expected spreads of 0 or more")
    known = ~np.isnan(value)
    order = np.argsort(value[known], kind="stable")
    value, spread = value[known][order], spread[known][order]
    if value.size < 2 or most == 1:
        return np.empty(0)
    total = np.cumsum(spread if spread.any() else np.ones(spread.size))
    first = np.searchsorted(total, total[-1] * np.arange(1, most) / most * (1 - 1e-12)) + 1
    ends = np.unique(value[first[first < value.size]])
    return np.asarray(ends[ends > value[0]])


def strata(scores: ArrayLike, edges: ArrayLike) -> Integers:
    """The stratum of each score: how many of `edges` lie at or below it. NaN: a last one of their own."""
    value, known = floats(scores).ravel(), floats(edges).ravel()
    return np.where(np.isnan(value), known.size + 1, np.searchsorted(known, value, side="right"))


def cautious(sizes: ArrayLike, spreads: ArrayLike, caution: float = CAUTION) -> Floats:
    """Predicted spreads of strata (H,), drawn towards their root mean square by the share `caution`, 0..1.

    At 1 the allocation is proportional to size, which is all but never worse than a simple random draw; at 0 it trusts
    the spreads. Unknown (NaN) spreads get the mean of the others, 1 where none is known. Raises ValueError on a share
    outside 0..1.
    """
    if not 0 <= caution <= 1:
        raise ValueError(f"caution lies between 0 and 1, not {caution}")
    size, spread = floats(sizes), floats(spreads)
    known = ~np.isnan(spread) & (size > 0)
    if not known.any():
        return np.ones(size.shape)
    pooled = math.sqrt(float(np.sum(size[known] * spread[known] ** 2) / np.sum(size[known])))
    mixed = caution * pooled + (1 - caution) * np.where(known, spread, pooled)
    return mixed if mixed.any() else np.ones(size.shape)


def allocate(sizes: ArrayLike, spreads: ArrayLike, budget: int, fewest: int = FEWEST) -> Integers:
    """How many units to draw from each stratum (H,) so that the variance of the estimated mean is least.

    Exact for whole numbers, at least `fewest` and at most all of a stratum: one unit after another goes where
    N S / sqrt(n (n + 1)) is largest; without rounding that is Neyman's n = budget N S / sum(N S). `sizes` (H,) are N,
    `spreads` (H,) >= 0 are S. Ties go to the first stratum. The sum is `budget`, or all units where that is more.
    Raises ValueError where `budget` is negative, or smaller than `fewest` of each stratum.

    Source: T. Wright, Surv. Methodol. 43 (2017) 95-108; J. Neyman, J. R. Stat. Soc. 97 (1934) 558-625.

    >>> allocate([100, 100, 3], [0.1, 0.3, 0.2], budget=23).tolist()
    [5, 16, 2]
    """
    size, spread = np.asarray(sizes, dtype=np.int64), floats(spreads)
    counts = np.minimum(size, fewest)
    left = min(budget, int(size.sum())) - int(counts.sum())
    if budget < 0 or left < 0:
        raise ValueError(f"expected a budget of at least {fewest} units of each of {size.size} strata, got {budget}")

    def urgency(h: int) -> float:
        return float(size[h] * spread[h]) / math.sqrt(counts[h] * (counts[h] + 1)) if counts[h] else math.inf

    queue = [(-urgency(h), h) for h in range(size.size) if counts[h] < size[h]]
    heapq.heapify(queue)
    for _ in range(left):
        h = queue[0][1]
        counts[h] += 1
        if counts[h] < size[h]:
            heapq.heapreplace(queue, (-urgency(h), h))
        else:
            heapq.heappop(queue)
    return counts


def draw(stratum: ArrayLike, counts: ArrayLike, random: np.random.Generator) -> Booleans:
    """Which units (n,) are drawn: of each stratum h, `counts`[h] of its units without replacement, all alike likely.

    Each unit's probability is counts / size of its stratum. Raises ValueError where a stratum has too few units.
    """
    place, count = np.asarray(stratum, dtype=np.int64), np.asarray(counts, dtype=np.int64)
    if np.any(np.bincount(place, minlength=count.size) < count):
        raise ValueError("a stratum has fewer units than are to be drawn from it")
    order = np.lexsort((random.random(place.size), place))
    start = np.searchsorted(place[order], np.arange(count.size))
    chosen = np.zeros(place.size, dtype=bool)
    chosen[order] = np.arange(place.size) - start[place[order]] < count[place[order]]
    return chosen


def expected_error(sizes: ArrayLike, spreads: ArrayLike, counts: ArrayLike) -> float:
    """Standard error that a stratified draw leads to expect: sqrt(sum of (N / sum N)^2 (1 - n / N) S^2 / n).

    `sizes` (H,) are N, `spreads` (H,) S, `counts` (H,) n. NaN where a stratum with units is not drawn from.
    """
    size, spread, count = floats(sizes), floats(spreads), floats(counts)
    size, spread, count = size[size > 0], spread[size > 0], count[size > 0]
    if not size.size or np.any(count == 0):
        return math.nan
    return float(np.sqrt(np.sum((size / size.sum()) ** 2 * (1 - count / size) * spread**2 / count)))


def half_width(error: float, freedom: float, level: float = 0.95) -> float:
    """Half the width of an interval: the quantile of Student's t times the standard error."""
    return 0.0 if error == 0 else float(special.stdtrit(freedom, (1 + level) / 2)) * error


def estimate(values: ArrayLike, stratum: ArrayLike, sizes: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of a population from values (n,) of units drawn at random within strata, and its interval.

    mean = sum of W m, error^2 = sum of W^2 (1 - n / N) s^2 / n, with W = N / sum N, m and s^2 of the drawn values of a
    stratum; the interval is mean -/+ t error, with Satterthwaite's degrees of freedom. `stratum` (n,) says 0..H-1,
    `sizes` (H,) N. A stratum that was looked at wholly adds no error. One with fewer than two values of several units
    is joined to its neighbour, which does not bias the mean where its units are missing by chance, and widens the
    interval. NaN values are left out. All NaN without values, the error with one of several.
    Raises ValueError where a stratum has more values than units. Values that are all alike have error 0, whatever the
    units not looked at are: small samples of a share near 0 or 1 say too much.

    Source: W. G. Cochran, Sampling Techniques (1977), eq. 5.6, 5.9, 5.16 and section 5A.12.

    >>> told = estimate([1, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1], [30, 60])
    >>> round(told.mean, 3), round(told.error, 3), round(told.freedom, 1)
    (0.444, 0.241, 2.9)
    """
    value, place, size = floats(values).ravel(), np.asarray(stratum, dtype=np.int64), floats(sizes)
    known = ~np.isnan(value)
    value, place = value[known], place[known]
    count = np.bincount(place, minlength=size.size)
    if np.any(count > size):
        raise ValueError("a stratum has more values than units")
    if not value.size:
        return Estimate(math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    joined = _joined(count, size)
    place, size = joined[place], np.asarray(np.bincount(joined, size), dtype=np.float64)
    n = np.bincount(place, minlength=size.size)
    weight = size / size.sum()
    means = np.bincount(place, value, size.size) / n
    squares = np.bincount(place, (value - means[place]) ** 2, size.size)
    mean = float(weight @ means)
    error, freedom = _error(weight, size, n, np.asarray(squares, dtype=np.float64))
    half = half_width(error, freedom, level)
    return Estimate(mean, error, freedom, mean - half, mean + half, value.size)


def _joined(count: Integers, size: Floats) -> Integers:
    """The stratum that each stratum goes into, 0..: those that tell no spread go to the one before, or behind."""
    into = np.arange(size.size)
    while True:
        n, whole = np.bincount(into, count), np.bincount(into, size)
        poor = np.flatnonzero((n < FEWEST) & (n < whole) | (whole == 0))
        if n.size == 1 or not poor.size:
            return into
        h = int(poor[0])
        other = h - 1 if h else 1
        into = np.where(into == h, other, into)
        into = np.unique(into, return_inverse=True)[1]


def _error(weight: Floats, size: Floats, count: Integers, squares: Floats) -> tuple[float, float]:
    """Standard error and its degrees of freedom."""
    part = count < size
    if np.any(count[part] < FEWEST):
        return math.nan, math.nan
    freedom = count[part] - 1
    terms = weight[part] ** 2 * (1 - count[part] / size[part]) * squares[part] / freedom / count[part]
    total = float(terms.sum())
    if not total:
        return 0.0, float(freedom.sum()) if part.any() else math.inf
    return math.sqrt(total), total**2 / float(np.sum(terms**2 / freedom))
