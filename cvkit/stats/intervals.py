"""Where a number may lie: intervals of means and shares, and the range of a healthy window."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from cvkit.stats.arrays import Floats, floats, names, unit
from cvkit.stats.change.chunks import Spread, spread_of_means, window_variance


@dataclass(frozen=True, slots=True)
class Healthy:
    """What is to be known of a reference's values to say where the mean of a healthy window falls: see `healthy`."""

    scale: float  # of what follows, in the values' unit
    mean: float  # of all values, NaN where there is none
    sd: float  # ddof 1, NaN where there are fewer than two
    size: int
    chunked: bool  # whether each value's chunk is known; if so and `spread` is None, there are too few
    spread: Spread | None  # of the chunks' means


def healthy(values: ArrayLike, groups: ArrayLike | None) -> Healthy:
    """A reference made ready once: `groups` as in `normal_range`; non-finite values are dropped."""
    numbers = floats(values).ravel()
    finite, scale = np.isfinite(numbers), unit(numbers)
    known = numbers[finite] / scale
    spread = None if groups is None else spread_of_means(known, names(groups, numbers.size)[finite])
    sd = float(known.std(ddof=1)) if known.size > 1 else math.nan
    return Healthy(scale, float(known.mean()) if known.size else math.nan, sd, known.size, groups is not None, spread)


def normal_range(
    values: ArrayLike, groups: ArrayLike | None, n: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Where the mean of a healthy window of n images falls in the share `level` of windows: (expected, low, high).

    With `groups` (the chunk of each reference value): the mean of chunk means, -/+ t sqrt(v + B / k), with B the
    variance of the k chunk means, v that of a window of n images (at least B) and t the quantile of Student's t with
    k - 1 degrees of freedom: a prediction interval. Without: the same with every value its own chunk, which is too
    narrow where neighbouring frames are alike. In the values' unit. Non-finite values are dropped; `low` and `high`
    are NaN where fewer than two chunks are left or n is 0, `expected` where no value is left.

    >>> [round(end, 2) for end in normal_range([1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 2], n=2)]
    [3.5, -6.44, 13.44]
    """
    return _range(healthy(values, groups), n, level)


def compare_means(now: Floats, usual: Healthy, bounds: tuple[float, float] = (-math.inf, math.inf)) -> dict[str, float]:
    """The mean of a window beside what is normal: `value` in `low`..`high`, `expected` in its range, all by name.

    `now`: the window's values, NaN are dropped; `usual`: the reference's. `bounds`: least and greatest value there can
    be; no end of an interval or range lies beyond.

    >>> compare_means(np.array([0.9, 1.0]), healthy([0.8, 1.0, 1.0], None), (0.0, 1.0))["high"]
    1.0
    """
    mean, low, high = mean_interval(now)
    expected, expected_low, expected_high = _range(usual, int(np.count_nonzero(np.isfinite(now))))
    ends = {"low": low, "high": high, "expected_low": expected_low, "expected_high": expected_high}
    least, most = bounds
    # min and max, in this order, leave NaN as it is.
    return {"value": mean, "expected": expected} | {name: min(max(end, least), most) for name, end in ends.items()}


def _range(usual: Healthy, n: int, level: float = 0.95) -> tuple[float, float, float]:
    spread, size = usual.spread, usual.size
    if n < 1 or (spread is None if usual.chunked else size < 2):
        return usual.mean * usual.scale, math.nan, math.nan
    if spread is None:
        centre, freedom, error = usual.mean, size - 1, usual.sd * math.sqrt(1 / n + 1 / size)
    else:
        centre, freedom = spread.centre, spread.chunks - 1
        error = math.sqrt(window_variance(spread, n) + spread.between / spread.chunks)
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    return centre * usual.scale, (centre - half) * usual.scale, (centre + half) * usual.scale


def mean_interval(values: ArrayLike, deff: float = 1.0, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and its interval, (mean, low, high): mean -/+ t s sqrt(deff / n), t with n / deff - 1 degrees of freedom.

    Non-finite values are dropped. `low` and `high` are NaN where less than two values' worth is left (n / deff < 2),
    all are NaN where no value is left. Raises ValueError on deff < 1.

    >>> [round(end, 3) for end in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    _check_deff(deff)
    numbers = floats(values).ravel()
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return math.nan, math.nan, math.nan
    mean, worth = float(numbers.mean()), numbers.size / deff
    if worth < 2:
        return mean, math.nan, math.nan
    scale = unit(numbers)
    sd = float((numbers / scale).std(ddof=1)) * scale
    half = float(special.stdtrit(worth - 1, (1 + level) / 2)) * sd / math.sqrt(worth)
    return mean, mean - half, mean + half


def wilson(count: float, n: float, deff: float = 1.0, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share, (low, high), within 0..1 (Wilson 1927): count and n are divided by `deff`.

    NaN at n = 0. Raises ValueError on deff < 1 and where count is not between 0 and n.

    >>> [round(end, 3) for end in wilson(0, 10)]
    [0.0, 0.278]
    """
    _check_deff(deff)
    if not 0 <= count <= n:
        raise ValueError(f"count must lie between 0 and n, not {count} of {n}")
    if not n:
        return math.nan, math.nan
    share, worth, z = count / n, n / deff, float(special.ndtri((1 + level) / 2))
    middle = share + z * z / (2 * worth)
    half = z * math.sqrt(share * (1 - share) / worth + z * z / (4 * worth * worth))
    scale = 1 + z * z / worth
    return (middle - half) / scale if count else 0.0, (middle + half) / scale if count < n else 1.0


def unseen(n: int, level: float = 0.95) -> float:
    """Share that may be of a kind although none of n was: the upper end for 0 of n of Clopper and Pearson (1934).

    >>> round(unseen(100), 4)
    0.0362
    """
    return float(1 - ((1 - level) / 2) ** (1 / n))


def _check_deff(deff: float) -> None:
    if not deff >= 1:
        raise ValueError(f"a design effect is at least 1, not {deff}")
