"""Drift: how far the current sample of a feature lies from the reference's.

Every statistic is a function `statistic(current, reference) -> Drift` of two samples of numbers. NaN values are dropped
and n says how many are left; without a value on either side the result is NaN with n = 0, never an error and never 0.
Infinities are values: they count, in their place in the order. The unit changes nothing between 1e-200 and 1e200.
Samples may be arrays of any real, integer or boolean type, or prepared once (`prepare`): a prepared
sample is sorted already and may know its chunks of time, and then the p-value comes from their spread. Large samples
that are not prepared are not sorted at all where the statistics asked for can do without (`cells`); the order of their
values may then change the last digit of the Wasserstein distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cvkit.stats.arrays import Floats, floats, unit
from cvkit.stats.change import cells, distance, kolmogorov, ranks
from cvkit.stats.change.chunks import Chunks, Signal, joint_p_value, learn_chunks, signals

BINS = 10  # bins of PSI, Jensen-Shannon and Hellinger: deciles, the convention PSI's rules of thumb were made for
PSEUDO_COUNT = 0.5  # added to every bin of PSI (Jeffreys), so that an empty bin is improbable, not impossible
UNSORTED = 200_000  # values from which on not sorting them pays
WINDOW = ("ks", "psi", "wasserstein", "jensen_shannon")  # what a window's measurements hold; the others cost more
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
    ordered = np.sort(_numbers(values))
    chunks = None if groups is None else learn_chunks(values, groups)
    cuts = _quantile_cuts(ordered)
    return Sample(ordered, _sd(ordered), cuts, _histogram(ordered, cuts), chunks, groups is not None)


def compare(
    current: ArrayLike | Sample, reference: ArrayLike | Sample, names: Collection[str] = WINDOW,
    told: Sequence[Signal] | None = None,
) -> dict[str, Drift]:  # fmt: skip
    """Statistics of `NUMERIC` by name, each sample sorted and merged at most once. Raises KeyError on other names.

    `told`: `chunks.signals` of the current sample, where they are known already.
    """
    pair = _pair(current, reference, names, told)
    return {name: _STATISTICS[name](pair) for name in names}


def ks(current: ArrayLike | Sample, reference: ArrayLike | Sample, *, deff: float = 1.0) -> Drift:
    """Kolmogorov-Smirnov: the largest distance between the two distribution functions, D = sup |F - G|.

    Range 0..1, 0 equal, 1 without overlap; symmetric; unchanged by monotone maps of the values. p-value of a reference
    without chunks: as `scipy.stats.ks_2samp`, exact where neither sample has more than `EXACT_LIMIT` values, else
    asymptotic (within 1 % of scipy's where n m / (n + m) > 50,000); with a design effect `deff` > 1 asymptotic, of
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
    return _ks(_pair(current, reference, ["ks"]), deff)


def psi(current: ArrayLike | Sample, reference: ArrayLike | Sample) -> Drift:
    """Population stability index over bins of the reference's deciles: sum (p - q) ln(p / q).

    Bins are (a, b] with open ends; equal deciles collapse, and a value that fills several deciles is a bin of its own,
    so that values on either side of a constant reference are told from it. Shares are (count + 0.5) / (n + 0.5 bins),
    so an empty bin gives no infinity. 0 equal, without upper limit; symmetric but for the choice of bins. No p-value:
    without drift its mean is about `psi_expected(n, m, bins)`, not 0, more where frames are alike. Effect as `ks`.

    Source: N. Siddiqi, Credit Risk Scorecards (2006); B. Yurdakul, Western Michigan University (2018).
    """
    return compare(current, reference, ["psi"])["psi"]


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
    return compare(current, reference, ["wasserstein"])["wasserstein"]


def jensen_shannon(current: ArrayLike | Sample, reference: ArrayLike | Sample) -> Drift:
    """Jensen-Shannon distance over the bins of `psi`: sqrt((KL(p, m) + KL(q, m)) / 2), m = (p + q) / 2, logs to base 2.

    Range 0..1, 0 equal shares of all bins, 1 no bin in common; symmetric but for the choice of bins; shares are not
    smoothed. No p-value; without drift it falls only with the root of n. Effect as `ks`. Equal to
    `scipy.spatial.distance.jensenshannon` of the shares.

    Source: J. Lin, IEEE Trans. Inf. Theory 37 (1991) 145-151.
    """
    return compare(current, reference, ["jensen_shannon"])["jensen_shannon"]


def hellinger(current: ArrayLike | Sample, reference: ArrayLike | Sample) -> Drift:
    """Hellinger distance over the bins of `psi`: sqrt(sum (sqrt p - sqrt q)^2 / 2) of the shares, not smoothed.

    Range 0..1, 0 equal shares of all bins, 1 no bin in common; symmetric but for the choice of bins; unchanged by
    increasing maps. No p-value; without drift it falls only with the root of n. Effect as `ks`.

    Source: E. Hellinger, J. reine angew. Math. 136 (1909) 210-271.

    >>> round(hellinger([1, 1, 1, 2], [1, 2, 2, 2]).statistic, 3)
    0.366
    """
    return compare(current, reference, ["hellinger"])["hellinger"]


def cramer_von_mises(current: ArrayLike | Sample, reference: ArrayLike | Sample) -> Drift:
    """Cramér-von Mises: T = n m / (n + m)^2 times the sum of (F - G)^2 over all values of both samples.

    0 upwards, 0 equal; symmetric; unchanged by increasing maps. p-value of a reference without chunks: as
    `scipy.stats.cramervonmises_2samp`, exact where neither sample has more than 20 values and none is tied, else
    asymptotic, no finer than 1e-15; NaN with fewer than two values on a side; too small where neighbouring frames are
    alike. With chunks as `ks`. Effect as `ks`. Ties are counted as such: equal constants lie at 0, where scipy says
    1.25 or more; the p-value of counts and yes-or-no values is rough (measured: 0 to 9 % of healthy pairs below .05).
    Infinities are ordered.

    Source: T. W. Anderson, Ann. Math. Stat. 33 (1962) 1148-1159; S. Csörgő, J. J. Faraway, J. R. Stat. Soc. B 58
    (1996) 221-234; scipy.stats.cramervonmises_2samp.

    >>> round(cramer_von_mises([1, 2, 3], [3, 4, 5]).statistic, 3)
    0.389
    """
    return compare(current, reference, ["cramer_von_mises"])["cramer_von_mises"]


def energy(current: ArrayLike | Sample, reference: ArrayLike | Sample) -> Drift:
    """Energy distance: sqrt(2 integral of (F - G)^2) = sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|).

    In the root of the feature's unit; 0 equal, without upper limit; symmetric; a scale c of both gives sqrt(c). inf
    where the samples have different shares of values at an infinity. No p-value. Effect as `ks`. Equal to
    `scipy.stats.energy_distance` on finite values.

    Source: G. J. Székely, M. L. Rizzo, J. Stat. Plan. Inference 143 (2013) 1249-1272.

    >>> energy([1, 1], [3, 3]).statistic
    2.0
    """
    return compare(current, reference, ["energy"])["energy"]


NUMERIC: Mapping[str, Callable[..., Drift]] = {
    "ks": ks,
    "psi": psi,
    "wasserstein": wasserstein,
    "jensen_shannon": jensen_shannon,
    "hellinger": hellinger,
    "cramer_von_mises": cramer_von_mises,
    "energy": energy,
}


# -- what the statistics are made of --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Two samples and what all statistics are made of."""

    current: Floats  # without NaN; ascending unless there are many
    then: Sample  # the reference; a large one that was not prepared is not ascending either
    counts: NDArray[np.int64]  # current values in the reference's bins
    apart: distance.Distance
    told: Sequence[Signal] | None = None  # what the reference's chunks tell of the current values, where it is known


def ascending(values: ArrayLike) -> Floats:
    """Sorted, without NaN: what sorts in no time when it is compared."""
    return np.sort(_numbers(values))


def _pair(
    current: ArrayLike | Sample, reference: ArrayLike | Sample, names: Collection[str],
    told: Sequence[Signal] | None = None,
) -> _Pair:  # fmt: skip
    loose = sum(np.size(sample) for sample in (current, reference) if not isinstance(sample, Sample))
    if loose >= UNSORTED and set(names).isdisjoint(("cramer_von_mises", "energy")):
        sides = [s.values if isinstance(s, Sample) else _numbers(s) for s in (current, reference)]
        filled = cells.fill(*sides) if all(side.size for side in sides) else None
        if filled is not None:
            return _unsorted_pair(filled, reference)
    now = current.values if isinstance(current, Sample) else np.sort(_numbers(current))
    then = reference if isinstance(reference, Sample) else prepare(reference)
    return _Pair(now, then, _histogram(now, then.cuts), distance.between(now, then.values), told)


def _unsorted_pair(filled: cells.Cells, reference: ArrayLike | Sample) -> _Pair:
    then = reference if isinstance(reference, Sample) else _unsorted_sample(filled)
    counts = _between_cuts(filled, filled.current, then.cuts)
    return _Pair(filled.current.values, then, counts, cells.distance(filled))


def _unsorted_sample(filled: cells.Cells) -> Sample:
    values = filled.reference.values
    cuts = _cuts_at(cells.order_statistics(filled.reference, _decile_ranks(values.size)))
    return Sample(values, _sd(values), cuts, _between_cuts(filled, filled.reference, cuts), None, False)


def _between_cuts(filled: cells.Cells, side: cells.Side, cuts: Floats) -> NDArray[np.int64]:
    return np.diff(cells.at_most(filled, side, cuts), prepend=0, append=side.values.size)


def _numbers(values: ArrayLike) -> Floats:
    """Without NaN."""
    numbers = floats(values).ravel()
    missing = np.isnan(numbers)
    return numbers[~missing] if missing.any() else numbers


def _effect(pair: _Pair) -> float:
    area = pair.apart.area
    if pair.then.sd > 0:
        return area / pair.then.sd
    return math.nan if math.isnan(area) else 0.0 if area == 0 else math.inf


def _drift(statistic: float, p_value: float, pair: _Pair) -> Drift:
    return Drift(statistic, p_value, _effect(pair), pair.current.size, pair.then.values.size)


def _with_chunks(plain: float, pair: _Pair) -> float:
    """The larger of a textbook p-value and that of the reference's chunks; NaN where these are too few to tell."""
    floor = _floor(pair)
    return math.nan if math.isnan(floor) else max(plain, floor)


def _floor(pair: _Pair) -> float:
    """What no p-value goes below, by the reference's chunks; 0 where there are none, NaN where they are too few."""
    if pair.then.chunks is None:
        return math.nan if pair.then.chunked else 0.0
    return joint_p_value(signals(pair.current, pair.then.chunks) if pair.told is None else pair.told)


def _ks(pair: _Pair, deff: float = 1.0) -> Drift:
    floor = _floor(pair)
    plain = _ks_p_value(pair, deff, floor)
    return _drift(pair.apart.largest, math.nan if math.isnan(floor) else max(plain, floor), pair)


def _ks_p_value(pair: _Pair, deff: float, floor: float) -> float:
    now, then = pair.current, pair.then.values
    n, m = now.size, then.size
    if not n or not m:
        return math.nan
    if deff == 1 and max(n, m) <= EXACT_LIMIT:
        return kolmogorov.exact_p_value(now, then, pair.apart.largest, floor)
    return kolmogorov.asymptotic(pair.apart.largest, max(1.0, float(np.round(n * m / (n + m) / deff))))


def _psi(pair: _Pair) -> Drift:
    value = math.nan
    if pair.current.size and pair.then.values.size:
        p, q = _smoothed(pair.counts), _smoothed(pair.then.counts)
        value = float(np.sum((p - q) * np.log(p / q)))
    return _drift(value, math.nan, pair)


def _wasserstein(pair: _Pair) -> Drift:
    return _drift(pair.apart.area, math.nan, pair)


def _jensen_shannon(pair: _Pair) -> Drift:
    value = math.nan
    if pair.current.size and pair.then.values.size:
        p, q = _shares(pair)
        bits = float(np.sum(special.rel_entr(p, (p + q) / 2) + special.rel_entr(q, (p + q) / 2))) / math.log(2)
        value = math.sqrt(min(1.0, max(0.0, bits / 2)))  # rounding may step over the ends
    return _drift(value, math.nan, pair)


def _hellinger(pair: _Pair) -> Drift:
    value = math.nan
    if pair.current.size and pair.then.values.size:
        p, q = _shares(pair)
        value = min(1.0, float(np.linalg.norm(np.sqrt(p) - np.sqrt(q))) / math.sqrt(2))
    return _drift(value, math.nan, pair)


def _cramer_von_mises(pair: _Pair) -> Drift:
    statistic = ranks.distance(pair.current, pair.then.values)
    return _drift(statistic, _with_chunks(ranks.p_value(statistic, pair.current, pair.then.values), pair), pair)


def _energy(pair: _Pair) -> Drift:
    return _drift(math.sqrt(2 * pair.apart.squared), math.nan, pair)


_STATISTICS: Mapping[str, Callable[[_Pair], Drift]] = {
    "ks": _ks,
    "psi": _psi,
    "wasserstein": _wasserstein,
    "jensen_shannon": _jensen_shannon,
    "hellinger": _hellinger,
    "cramer_von_mises": _cramer_von_mises,
    "energy": _energy,
}


def _shares(pair: _Pair) -> tuple[Floats, Floats]:
    return pair.counts / pair.current.size, pair.then.counts / pair.then.values.size


def _sd(values: Floats) -> float:
    inside = np.isfinite(values)
    finite = values if inside.all() else values[inside]
    if not finite.size:
        return math.nan
    scale = unit(finite)
    finite = finite if scale == 1 else finite / scale
    return float(finite.std(ddof=1)) * scale if finite.min() < finite.max() else 0.0


def _decile_ranks(size: int) -> NDArray[np.intp]:
    return np.ceil(np.arange(1, BINS) / BINS * size).astype(np.intp) - 1


def _quantile_cuts(ordered: Floats) -> Floats:
    return _cuts_at(ordered[_decile_ranks(ordered.size)]) if ordered.size else np.empty(0)


def _cuts_at(deciles: Floats) -> Floats:
    """Upper ends of the bins: the deciles that occur in the sample; a value that fills several has its own bin."""
    distinct, times = np.unique(deciles, return_counts=True)
    return np.unique(np.concatenate([distinct, np.nextafter(distinct[times > 1], -np.inf)]))


def _histogram(ordered: Floats, cuts: Floats) -> NDArray[np.int64]:
    ends = np.searchsorted(ordered, cuts, side="right")
    return np.diff(ends, prepend=0, append=ordered.size)


def _smoothed(counts: NDArray[np.int64]) -> Floats:
    return np.asarray((counts + PSEUDO_COUNT) / (counts.sum() + PSEUDO_COUNT * counts.size))
