"""Summaries: what is kept of many numbers so that a year of them can be summed up without reading them again.

Count, mean, sum of squared distances, least and greatest value are exact, to rounding. Of the distribution a few
weighted values are kept, each the middle one of a run of sorted values and standing for all of the run. So the
summary's distribution function F' lies no further than `error` from F anywhere: half a run, a bound that always holds.

Summaries are merged by putting their values together, by which the errors add up in proportion to the counts: a whole
is no less exact than its worst part, however many there are. Merging is commutative and associative, but for the
rounding of mean and squares, until a whole has more than `LIMIT` values and is thinned, which costs about 1 / LIMIT.

Not a sketch such as KLL or t-digest: a part is in memory when it is summed up, so that its values can be sorted. KLL
draws random bits, for which datasketches takes no seed, and its error holds with a probability; t-digest has no bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cvkit.stats.arrays import Floats, floats

Ints = NDArray[np.int64]

POINTS = 128  # values kept of a part: no further than 1 / 256 from its distribution function
LIMIT = 1 << 16  # values kept of a whole
AT_ONCE = 8  # times as many are put together before they are thinned
BINS = 10  # of PSI: deciles of what is compared with
PSEUDO_COUNT = 0.5  # of each bin, as in `change.drift.psi`


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """What is kept of some numbers."""

    count: int  # of finite numbers; all others are missing
    missing: int
    mean: float  # NaN without numbers
    squares: float  # sum of squared distances from the mean
    least: float
    greatest: float
    points: Floats  # (k,) ascending, without ties
    weights: Ints  # (k,) how many numbers each stands for; their sum is `count`
    slack: int  # numbers by which the weights up to any x may be off

    @property
    def error(self) -> float:
        """The most that F' and F can differ anywhere, 0..1; 0 where all distinct values are kept."""
        return self.slack / self.count if self.count else 0.0

    @property
    def sd(self) -> float:
        """Standard deviation, with n - 1; NaN for fewer than two numbers."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else math.nan


@dataclass(frozen=True, slots=True)
class Between:
    """A number that is known to lie between two others."""

    value: float
    low: float
    high: float


EMPTY = Summary(0, 0, math.nan, 0.0, math.nan, math.nan, np.empty(0), np.empty(0, np.int64), 0)


def summarise(values: ArrayLike, points: int = POINTS) -> Summary:
    """The summary of some numbers, in any order; NaN and infinities are missing.

    Integers and the like, of which there are no more than `points` different ones, are counted exactly.
    """
    given = floats(values).ravel()
    known = np.sort(given[np.isfinite(given)])
    if not known.size:
        return replace(EMPTY, missing=given.size)
    distinct, counts = np.unique(known, return_counts=True)
    kept, weights, slack = _thinned(distinct, counts.astype(np.int64), points)
    # Scaled, as squares of large numbers are infinite.
    scale = 2.0 ** math.frexp(max(-known[0], known[-1], 0.0) or 1.0)[1]
    mean = min(max(float((known / scale).mean()) * scale, float(known[0])), float(known[-1]))
    squares = float((((known - mean) / scale) ** 2).sum()) * scale * scale
    return Summary(
        known.size, given.size - known.size, mean, squares, float(known[0]), float(known[-1]), kept, weights, slack
    )  # fmt: skip


def merged(parts: Iterable[Summary], limit: int = LIMIT) -> Summary:
    """The summary of all that `parts` sum up; they are taken one by one, so there may be millions."""
    whole, waiting, held = EMPTY, list[Summary](), 0
    for part in parts:
        waiting.append(part)
        held += part.points.size
        if held > AT_ONCE * limit:
            whole, waiting, held = _together([whole, *waiting], limit), [], 0
    return _together([whole, *waiting], limit)


def quantiles(summary: Summary, shares: Sequence[float]) -> list[Between]:
    """The least value that a share of the numbers does not exceed, for each of `shares`; NaN without numbers.

    The true quantile lies between `low` and `high`.
    """
    if not summary.count:
        return [Between(math.nan, math.nan, math.nan) for _ in shares]
    levels = np.cumsum(summary.weights)
    found = []
    for share in shares:
        rank = max(1, math.ceil(share * summary.count))
        below, above = rank - summary.slack, rank + summary.slack
        low = _at(summary, levels, below) if below > 0 else summary.least
        high = _at(summary, levels, above) if above <= summary.count else summary.greatest
        found.append(Between(_at(summary, levels, rank), low, high))
    return found


def ks(current: Summary, reference: Summary) -> Between:
    """Kolmogorov-Smirnov's largest difference of two distribution functions, 0..1; NaN where one has no numbers.

    That of the numbers themselves lies between `low` and `high`: both errors added up.
    """
    if not current.count or not reference.count:
        return Between(math.nan, math.nan, math.nan)
    at = np.concatenate([current.points, reference.points])
    value = float(np.abs(_share_up_to(current, at) - _share_up_to(reference, at)).max())
    error = current.error + reference.error
    return Between(value, max(0.0, value - error), min(1.0, value + error))


def psi(current: Summary, reference: Summary, edges: ArrayLike | None = None) -> Between:
    """Population stability index over bins (a, b] with open ends; NaN where one has no numbers.

    `edges`, ascending, are the deciles of `reference` where none are given. Shares are (count + .5) / (n + .5 bins),
    as in `change.drift.psi`. That of the numbers themselves, over these edges, lies between `low` and `high`.
    """
    if not current.count or not reference.count:
        return Between(math.nan, math.nan, math.nan)
    cuts = decile_edges(reference) if edges is None else np.unique(floats(edges))
    value, low, high = (0.0, 0.0, 0.0)
    sides = [_bin_shares(summary, cuts) for summary in (current, reference)]
    for (p, p_low, p_high), (q, q_low, q_high) in zip(*(zip(*side, strict=True) for side in sides), strict=True):
        value += _term(p, q)
        high += max(_term(p_low, q_high), _term(p_high, q_low))
        low += _term(p_low, q_high) if p_low > q_high else _term(p_high, q_low) if q_low > p_high else 0.0
    return Between(value, low, high)


def decile_edges(summary: Summary) -> Floats:
    """Where PSI's bins end: the deciles, each once, as the summary has them."""
    return np.unique([found.value for found in quantiles(summary, [n / BINS for n in range(1, BINS)])])


def _thinned(points: Floats, weights: Ints, most: int) -> tuple[Floats, Ints, int]:
    """At most `most` weighted values for these, which ascend without ties, and how many numbers they may be off."""
    if points.size <= most:
        return points, weights, 0
    levels = np.cumsum(weights)
    total = int(levels[-1])
    # Runs of about the same weight; a value with much weight is a run of its own.
    run = ((levels - (weights + 1) // 2) * most) // total
    starts = np.flatnonzero(np.diff(run, prepend=-1))
    ends = np.append(starts[1:], points.size) - 1
    before = levels[starts] - weights[starts]
    middle = before + (levels[ends] - before + 1) // 2
    chosen = np.clip(np.searchsorted(levels, middle), starts, ends)
    # Numbers of the run that lie below the one that stands for it, and above it.
    below, above = levels[chosen] - weights[chosen] - before, levels[ends] - levels[chosen]
    return points[chosen], levels[ends] - before, int(np.maximum(below, above).max())


def _together(parts: Sequence[Summary], limit: int) -> Summary:
    missing = sum(part.missing for part in parts)
    known = [part for part in parts if part.count]
    if not known:
        return replace(EMPTY, missing=missing)
    count, mean, squares = 0, 0.0, 0.0
    for part in known:  # T. Chan, G. Golub, R. LeVeque, Amer. Statist. 37 (1983) 242-247
        apart, whole = part.mean - mean, count + part.count
        mean += apart * (part.count / whole)
        squares += part.squares + apart * apart * (count * (part.count / whole))
        count = whole
    values, place = np.unique(np.concatenate([part.points for part in known]), return_inverse=True)
    weights = np.zeros(values.size, np.int64)
    np.add.at(weights, place, np.concatenate([part.weights for part in known]))
    points, weights, slack = _thinned(values, weights, limit)
    least, greatest = min(part.least for part in known), max(part.greatest for part in known)
    slack += sum(part.slack for part in known)
    return Summary(count, missing, mean, squares, least, greatest, points, weights, slack)


def _at(summary: Summary, levels: Ints, rank: int) -> float:
    return float(summary.points[min(int(np.searchsorted(levels, rank)), levels.size - 1)])


def _share_up_to(summary: Summary, at: Floats) -> Floats:
    return _count_up_to(summary, at) / summary.count


def _count_up_to(summary: Summary, at: Floats) -> Ints:
    levels = np.concatenate([[0], np.cumsum(summary.weights)])
    found: Ints = levels[np.searchsorted(summary.points, at, side="right")]
    return found


def _bin_shares(summary: Summary, cuts: Floats) -> tuple[Floats, Floats, Floats]:
    """Smoothed share of each bin, and the least and greatest that it can be."""
    inner = _count_up_to(summary, cuts)
    counts = np.diff(np.concatenate([[0], inner, [summary.count]]))
    # An inner bin has two ends that may be off, the outer ones have one.
    off = np.full(counts.size, 2 * summary.slack)
    off[[0, -1]] = summary.slack if counts.size > 1 else 0
    whole = summary.count + PSEUDO_COUNT * counts.size
    low, high = np.maximum(counts - off, 0), np.minimum(counts + off, summary.count)
    value, least, most = ((numbers + PSEUDO_COUNT) / whole for numbers in (counts, low, high))
    return value, least, most


def _term(p: float, q: float) -> float:
    return (p - q) * math.log(p / q)
