"""Drift: how far the current sample of a feature lies from the reference's.

Every statistic is a function `statistic(current, reference) -> Drift` of two samples of numbers. NaN values are dropped
and n says how many are left; without a value on either side the result is NaN with n = 0, never an error and never 0.
Samples may be arrays of any real, integer or boolean type, or prepared once (`prepare`): a prepared
sample is sorted already and may know its chunks of time, and then the p-value comes from their spread.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from cvkit.stats.chunks import Chunks, Floats, chunk_p_value, learn_chunks

BINS = 10  # bins of PSI and Jensen-Shannon: deciles, the convention PSI's rules of thumb were made for
PSEUDO_COUNT = 0.5  # added to every bin of PSI (Jeffreys), so that an empty bin is improbable, not impossible
LARGE = 50_000  # n m / (n + m) above which the p-value's correction for n is Vrbik's: scipy's takes half a second
EXACT_LIMIT = 2000  # the Kolmogorov-Smirnov p-value is exact where neither sample is larger; it costs O(n m)


@dataclass(frozen=True, slots=True)
class Drift:
    """One comparison of two samples."""

    statistic: float
    p_value: float  # NaN where the statistic has none
    effect: float  # size in a unit that rules can hold against a limit
    n: int  # current values used
    n_reference: int  # reference values used


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A sample made ready for many comparisons: made by `prepare`."""

    values: Floats  # ascending, without NaN
    sd: float  # of the finite values, ddof 1; 0 where they are all equal, NaN where there is none
    cuts: Floats  # upper ends of all quantile bins but the last, ascending
    counts: NDArray[np.int64]  # values in each bin
    chunks: Chunks | None  # spread over chunks of time; None where it is not known
    chunked: bool  # whether chunks were given: if so and `chunks` is None, there is no p-value


def prepare(values: ArrayLike, groups: ArrayLike | None = None) -> Sample:
    """Sort a sample once. `groups` (n,) names each value's chunk of time, as long as the windows to be judged."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    missing = np.isnan(numbers)
    ordered = np.sort(numbers[~missing] if missing.any() else numbers)
    chunks = None if groups is None else learn_chunks(numbers, groups)
    cuts = _quantile_cuts(ordered)
    return Sample(ordered, _sd(ordered), cuts, _histogram(ordered, cuts), chunks, groups is not None)


def compare(current: ArrayLike | Sample, reference: ArrayLike | Sample) -> dict[str, Drift]:
    """All statistics of `NUMERIC` by name, each sample sorted and merged only once."""
    now, then = _sample(current), _sample(reference)
    merged = _merge(now.values, then.values)
    return {name: statistic(now, then, merged) for name, statistic in _STATISTICS.items()}


def ks(current: ArrayLike | Sample, reference: ArrayLike | Sample, *, deff: float = 1.0) -> Drift:
    """Kolmogorov-Smirnov: the largest distance between the two distribution functions, D = sup |F - G|.

    Range 0..1, 0 equal, 1 without overlap; symmetric; unchanged by monotone maps of the values. p-value of a reference
    without chunks: as `scipy.stats.ks_2samp`, exact where neither sample has more than `EXACT_LIMIT` values, else
    asymptotic (within 1 % of scipy's where n m / (n + m) > `LARGE`); with a design effect `deff` > 1 asymptotic, of
    n m / (n + m) / deff values. It is too small where neighbouring frames are alike. With chunks: the larger of it and
    `chunk_p_value`, the honest one; NaN where there are fewer than two chunks. Effect: Wasserstein distance in
    reference standard deviations. Ties are counted exactly (the p-value is then conservative), infinities are ordered
    as such. Raises ValueError on deff < 1.

    Source: J. L. Hodges, Ark. Mat. 3 (1958) 469-486; scipy.stats.ks_2samp.

    >>> round(ks([1, 2, 3], [3, 4, 5]).statistic, 3)
    0.667
    """
    if not deff >= 1:
        raise ValueError(f"a design effect is at least 1, not {deff}")
    now, then = _sample(current), _sample(reference)
    return _ks(now, then, _merge(now.values, then.values), deff)


def psi(current: ArrayLike | Sample, reference: ArrayLike | Sample) -> Drift:
    """Population stability index over bins of the reference's deciles: sum (p - q) ln(p / q).

    Bins are (a, b] with open ends; equal deciles collapse, and a value that fills several deciles is a bin of its own,
    so that values on either side of a constant reference are told from it. Shares are (count + 0.5) / (n + 0.5 bins),
    so an empty bin gives no infinity. 0 equal, without upper limit; symmetric but for the choice of bins. No p-value:
    without drift its mean is about `psi_expected(n, m, bins)`, not 0, more where frames are alike. Effect as `ks`.

    Source: N. Siddiqi, Credit Risk Scorecards (2006); B. Yurdakul, Western Michigan University (2018).
    """
    now, then = _sample(current), _sample(reference)
    return _psi(now, then, _merge(now.values, then.values))


def psi_expected(n: int, n_reference: int, bins: int = BINS) -> float:
    """Mean of PSI between two samples of one distribution, (bins - 1) (1/n + 1/m): what is noise, not drift.

    >>> round(psi_expected(24, 144), 2), psi_expected(0, 10)
    (0.44, nan)
    """
    return (bins - 1) * (1 / n + 1 / n_reference) if n and n_reference else math.nan


def wasserstein(current: ArrayLike | Sample, reference: ArrayLike | Sample) -> Drift:
    """Wasserstein-1 (earth mover's) distance: integral of |F - G|, how far an average value has to be moved.

    In the feature's unit; 0 equal, without upper limit; symmetric; a shift of the whole sample by c gives |c|. inf
    where the samples have different shares of values at an infinity. No p-value. Effect: divided by the reference's
    standard deviation; where all reference values are equal, 0 if all current ones equal them too, else inf.
    Equal to `scipy.stats.wasserstein_distance` on finite values.

    >>> wasserstein([2, 3, 4], [0, 1, 2]).statistic
    2.0
    """
    now, then = _sample(current), _sample(reference)
    return _wasserstein(now, then, _merge(now.values, then.values))


def jensen_shannon(current: ArrayLike | Sample, reference: ArrayLike | Sample) -> Drift:
    """Jensen-Shannon distance over the bins of `psi`: sqrt((KL(p, m) + KL(q, m)) / 2), m = (p + q) / 2, logs to base 2.

    Range 0..1, 0 equal shares of all bins, 1 no bin in common; symmetric but for the choice of bins; shares are not
    smoothed. No p-value; without drift it falls only with the root of n. Effect as `ks`. Equal to
    `scipy.spatial.distance.jensenshannon` of the shares.

    Source: J. Lin, IEEE Trans. Inf. Theory 37 (1991) 145-151.
    """
    now, then = _sample(current), _sample(reference)
    return _jensen_shannon(now, then, _merge(now.values, then.values))


NUMERIC: Mapping[str, Callable[..., Drift]] = {
    "ks": ks,
    "psi": psi,
    "wasserstein": wasserstein,
    "jensen_shannon": jensen_shannon,
}


# -- what the statistics are made of --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Merged:
    """Largest and integrated distance between two distribution functions."""

    largest: float
    area: float


def _sample(values: ArrayLike | Sample) -> Sample:
    return values if isinstance(values, Sample) else prepare(values)


def _merge(current: Floats, reference: Floats) -> _Merged:
    if not current.size or not reference.size:
        return _Merged(math.nan, math.nan)
    n, m = current.size, reference.size
    both = np.concatenate([current, reference])
    order = np.argsort(both, kind="stable")  # two ascending runs: one merge
    values = both[order]
    ahead = np.cumsum(np.where(order < n, m, -n))[:-1]  # whole numbers, so that equal functions differ by 0
    difference = np.abs(ahead, out=ahead).astype(np.float64)
    stepped = values[1:] != values[:-1]  # within a tie, one function has stepped and the other has not yet
    if not stepped.all():
        difference, values = difference[stepped], np.append(values[:-1][stepped], values[-1])
    return _Merged(float(difference.max(initial=0.0)) / (n * m), _area(difference, values) / (n * m))


def _area(difference: Floats, values: Floats) -> float:
    """Integral of the distance; nothing lies between equal functions, however wide the gap."""
    if np.isfinite(values[0]) and np.isfinite(values[-1]):
        return float(difference @ np.diff(values))
    apart = difference > 0
    return float(difference[apart] @ np.diff(values)[apart])


def _effect(now: Sample, then: Sample, area: float) -> float:
    if then.sd > 0:
        return area / then.sd
    return math.nan if math.isnan(area) else 0.0 if area == 0 else math.inf


def _drift(statistic: float, p_value: float, now: Sample, then: Sample, merged: _Merged) -> Drift:
    return Drift(statistic, p_value, _effect(now, then, merged.area), now.values.size, then.values.size)


def _ks(now: Sample, then: Sample, merged: _Merged, deff: float = 1.0) -> Drift:
    p_value = _ks_p_value(now, then, merged.largest, deff)
    return _drift(merged.largest, p_value, now, then, merged)


def _ks_p_value(now: Sample, then: Sample, distance: float, deff: float) -> float:
    n, m = now.values.size, then.values.size
    if not n or not m or (then.chunked and then.chunks is None):
        return math.nan
    if deff == 1 and max(n, m) <= EXACT_LIMIT:
        with warnings.catch_warnings():  # scipy warns where rounding lifts a p-value of 1 above 1, and gives 1
            warnings.simplefilter("ignore", RuntimeWarning)
            plain = float(stats.ks_2samp(now.values, then.values, method="exact").pvalue)
    else:
        plain = _ks_tail(distance, max(1.0, float(np.round(n * m / (n + m) / deff))))
    return plain if then.chunks is None else max(plain, chunk_p_value(now.values, then.chunks))


def _ks_tail(distance: float, size: float) -> float:
    """Tail of the one-sample statistic; J. Vrbik, Pioneer J. Theor. Appl. Stat. 15 (2018) 31-48, for large samples."""
    if size <= LARGE:
        return float(stats.kstwo.sf(distance, size))
    root = math.sqrt(size)
    return float(special.kolmogorov(distance * root + 1 / (6 * root) + (distance * root - 1) / (4 * size)))


def _psi(now: Sample, then: Sample, merged: _Merged) -> Drift:
    value = math.nan
    if now.values.size and then.values.size:
        p, q = (_smoothed(counts) for counts in (_histogram(now.values, then.cuts), then.counts))
        value = float(np.sum((p - q) * np.log(p / q)))
    return _drift(value, math.nan, now, then, merged)


def _wasserstein(now: Sample, then: Sample, merged: _Merged) -> Drift:
    return _drift(merged.area, math.nan, now, then, merged)


def _jensen_shannon(now: Sample, then: Sample, merged: _Merged) -> Drift:
    value = math.nan
    if now.values.size and then.values.size:
        p, q = _histogram(now.values, then.cuts) / now.values.size, then.counts / then.values.size
        bits = float(np.sum(special.rel_entr(p, (p + q) / 2) + special.rel_entr(q, (p + q) / 2))) / math.log(2)
        value = math.sqrt(min(1.0, max(0.0, bits / 2)))  # rounding may step over the ends
    return _drift(value, math.nan, now, then, merged)


_STATISTICS: Mapping[str, Callable[[Sample, Sample, _Merged], Drift]] = {
    "ks": _ks,
    "psi": _psi,
    "wasserstein": _wasserstein,
    "jensen_shannon": _jensen_shannon,
}


def _sd(ordered: Floats) -> float:
    finite = ordered[np.isfinite(ordered)]
    if not finite.size:
        return math.nan
    return float(finite.std(ddof=1)) if finite[0] < finite[-1] else 0.0


def _quantile_cuts(ordered: Floats) -> Floats:
    """Upper ends of the bins: the deciles that occur in the sample; a value that fills several has its own bin."""
    if not ordered.size:
        return np.empty(0)
    ranks = np.ceil(np.arange(1, BINS) / BINS * ordered.size).astype(int) - 1
    deciles, times = np.unique(ordered[ranks], return_counts=True)
    lumps = deciles[times > 1]
    return np.unique(np.concatenate([deciles, np.nextafter(lumps, -np.inf)]))


def _histogram(ordered: Floats, cuts: Floats) -> NDArray[np.int64]:
    ends = np.searchsorted(ordered, cuts, side="right")
    return np.diff(ends, prepend=0, append=ordered.size)


def _smoothed(counts: NDArray[np.int64]) -> Floats:
    return np.asarray((counts + PSEUDO_COUNT) / (counts.sum() + PSEUDO_COUNT * counts.size))
