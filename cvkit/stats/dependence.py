"""Dependence over time: how many neighbouring frames have to be taken together to make one independent unit."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cvkit.stats.arrays import Floats, floats

SIGNIFICANT = 2.0  # c of Politis and White: correlations below c sqrt(log10 n / n) count as none
LAGS = 5  # this many in a row
FEWEST_WITH_STEPS = (20, 100)  # values from which on one step of the level, and two, are taken off
SHORTEST = 5  # values between two steps


def block_length(series: Iterable[ArrayLike], *, steps: bool = True) -> int:
    """Length of the blocks in which values in the order of time are resampled; 1 where neighbours are independent.

    b = (2 G^2 / D)^(1/3) n^(1/3), rounded up, with G = sum over k of w(k / M) |k| R(k), D = 4/3 (sum over k of
    w(k / M) R(k))^2, R the autocovariance, w the trapezoid that is 1 up to 1/2, M twice the last lag after which
    `LAGS` correlations are below 2 sqrt(log10 n / n). At most min(3 sqrt(n), n / 3) of the longest series. `series`:
    several of one kind, such as the cameras of a window; of each its level is taken off, which may step once (20 values
    or more) or twice (100), NaN is left out, and their autocovariances are pooled. 1 with fewer than 10 values in all,
    and where values do not vary. Without `steps` the level stays: where a difference in time itself is in question.

    Source: D. N. Politis, H. White, Econometric Reviews 23 (2004) 53-70, with the correction of A. Patton, D. N.
    Politis, H. White, Econometric Reviews 28 (2009) 372-375: circular blocks.

    >>> block_length([[0.0, 1.0] * 20])
    1
    """
    parts = [_without_steps(part, steps) for one in series if (part := _known(one)).size > 1]
    n, longest = sum(part.size for part in parts), max((part.size for part in parts), default=0)
    if n < 10:
        return 1
    most = int(min(3 * math.sqrt(longest), longest / 3))
    covariance = _autocovariance(parts, min(2 * most + LAGS, longest - 1), n)
    if covariance[0] <= 1e-12 * max(float(np.abs(part).max()) for part in parts) ** 2 or most < 2:
        return 1
    last = _last_lag(covariance / covariance[0], most, n)
    if not last:
        return 1
    lags = np.arange(1, min(2 * last, covariance.size - 1) + 1)
    weights = np.clip(2 * (1 - lags / (2 * last)), 0, 1)
    spread = covariance[0] + 2 * float(weights @ covariance[1 : lags.size + 1])
    slope = 2 * float((weights * lags) @ covariance[1 : lags.size + 1])
    if spread <= 0 or slope <= 0:  # neighbours that differ more than strangers: apart they err on the safe side
        return 1
    return int(min(most, math.ceil((1.5 * (slope / spread) ** 2 * n) ** (1 / 3))))


def blocks(values: ArrayLike, series: ArrayLike, *, steps: bool = True) -> NDArray[np.intp]:
    """A number for the block of each value (n,), numbered from 0: `block_length` neighbours of one series (n,).

    Values stand in the order of time within their series. `steps` as `block_length`.
    """
    numbers = floats(values).ravel()
    labels: NDArray[np.intp] = np.unique(np.asarray(series), return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    length = block_length(np.split(numbers[order], ends), steps=steps)
    place = np.empty(labels.size, dtype=np.intp)
    for part in np.split(order, ends):
        place[part] = np.arange(part.size) // length
    number: NDArray[np.intp] = np.unique(labels * (labels.size + 1) + place, return_inverse=True)[1]
    return number


def difference(values: ArrayLike, inside: ArrayLike, groups: ArrayLike) -> tuple[float, float]:
    """Mean of the values inside less that of those outside, in their unit, and the p-value of no difference.

    `values`, `inside` (booleans) and `groups` (n,): values of one group depend on each other, such as those of a block.
    T = sum over groups of u / sqrt(sum of u^2), u = residuals from the mean of all inside, less the share inside of all
    residuals of the group; two-sided by Student's t with one degree of freedom less than there are groups. NaN where
    a side is empty, the p-value also with a single group; 1 where values do not vary.

    >>> round(difference([1, 2, 3, 4], [True, True, False, False], [0, 1, 2, 3])[0], 1)
    -2.0
    """
    numbers, flags = floats(values).ravel(), np.asarray(inside, dtype=bool).ravel()
    labels = np.unique(np.asarray(groups), return_inverse=True)[1]
    if not flags.any() or flags.all():
        return math.nan, math.nan
    gap = float(numbers[flags].mean() - numbers[~flags].mean())
    u = np.bincount(labels, (numbers - numbers.mean()) * (flags - flags.mean()))
    spread = math.sqrt(float(u @ u))
    if u.size < 2 or not spread:
        return gap, math.nan if u.size < 2 else 1.0
    return gap, float(2 * special.stdtr(u.size - 1, -abs(u.sum()) / spread))


def _known(values: ArrayLike) -> Floats:
    numbers = floats(values).ravel()
    return numbers[np.isfinite(numbers)]


def _without_steps(values: Floats, steps: bool) -> Floats:
    """Values less the level they stand on, which may step: once in 20 values or more, twice in 100 or more.

    A fault since noon is a difference to be told, not a dependence of neighbours.
    """
    pieces = [values - values.mean()]
    allowed = np.searchsorted(FEWEST_WITH_STEPS, values.size, side="right") if steps else 0
    for fewest in FEWEST_WITH_STEPS[:allowed]:
        which, cut = max(((k, _best_cut(piece)) for k, piece in enumerate(pieces)), key=lambda one: one[1][1])
        piece, place = pieces[which], cut[0]
        if place and piece.size >= fewest // 4:
            pieces[which : which + 1] = [part - part.mean() for part in (piece[:place], piece[place:])]
    return np.concatenate(pieces)


def _best_cut(piece: Floats) -> tuple[int, float]:
    """Where two levels fit centred values best, 0 nowhere, and by how much the squares fall."""
    places = np.arange(SHORTEST, piece.size - SHORTEST + 1)
    if not places.size:
        return 0, 0.0
    gains = np.cumsum(piece)[places - 1] ** 2 * piece.size / (places * (piece.size - places))
    best = int(np.argmax(gains))
    return int(places[best]), float(gains[best])


def _autocovariance(parts: list[Floats], lags: int, n: int) -> Floats:
    """Sum of products of values `lag` apart over all series, by n: of lag 0, 1, ..."""
    products = [[float(part[: part.size - k] @ part[k:]) for part in parts if part.size > k] for k in range(lags + 1)]
    return np.array([sum(one) / n for one in products])


def _last_lag(correlation: Floats, most: int, n: int) -> int:
    """The lag after which `LAGS` correlations in a row are as those of independent values; 0: all are."""
    small = np.abs(correlation[1:]) < SIGNIFICANT * math.sqrt(math.log10(n) / n)
    for last in range(min(most, small.size)):
        if small[last : last + LAGS].all():
            return last
    return most
