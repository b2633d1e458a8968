"""The spread of a healthy source, learnt from the reference's own chunks of time.

Neighbouring frames are near copies and days differ as wholes, so a window of n images tells less than n independent
ones. A *chunk* is a stretch of the reference as long as a window; a healthy window is one more chunk. What is asked of
a window is therefore: does it lie further from the reference's chunks than they lie from each other?
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cvkit.stats.arrays import EXTREME, Floats, floats, names, unit

# Share of the error allowed that goes to a change of spread; a change of level is what most often harms, and is what
# few chunks can prove, so it gets the rest (weighted Bonferroni).
SPREAD_SHARE = 0.1
# Fewest values whose variance is worth comparing: below, it is mostly noise.
SPREAD_MINIMUM = 4
# Points kept of the map to normal scores: enough for any shape, and small however large the reference.
KNOTS = 512
# Where the straight continuation of the map takes its slope from: the outermost tenth on either side.
TAIL = 0.1
# Fewest chunks that tell whether neighbours are alike, and the most alike that they are taken to be.
MEMORY_CHUNKS, MOST_MEMORY = 8, 0.95
# From this share of values at one end of the range on, a feature counts as bounded there (numbers of boxes, shares).
LUMP = 0.05


@dataclass(frozen=True, slots=True)
class Spread:
    """How one statistic lies over the reference's chunks."""

    centre: float  # mean over chunks, each counting once
    between: float  # variance over chunks, ddof 1; includes what sampling alone makes of a chunk
    per_image: float  # variance that one image's worth of sampling adds
    size: float  # harmonic mean of the chunks' sizes
    chunks: int
    memory: float = 0.0  # autocorrelation of neighbouring chunks, 0..MOST_MEMORY: see `memory`


@dataclass(frozen=True, slots=True)
class Root:
    """Spread of the root of the chunk means' distance from an end where many values lie."""

    end: float
    side: int  # 1 where values lie above the end, -1 where below
    level: Spread


@dataclass(frozen=True, slots=True)
class Chunks:
    """What `chunk_p_value` needs to know of a reference: made by `learn_chunks`."""

    knots: Floats  # values, ascending
    scores: Floats  # their normal scores
    slopes: tuple[float, float]  # unit of value per score, below the first and above the last knot
    level: Spread  # of chunk means
    score_level: Spread  # of chunk means of normal scores
    roots: tuple[Root, ...]  # for each end of the range where many values lie
    # of chunk variances of normal scores, cube root and logarithm; none where chunks are too small or values lumped
    score_spreads: tuple[Spread, ...]
    unit: float  # of values, in the feature's: 1 but for numbers so large or small that their squares are none


@dataclass(frozen=True, slots=True)
class Signal:
    """One way in which a window may differ from the reference, told by one statistic or by several in other units."""

    weight: float  # share of the error allowed, or of the evidence, that is granted to it
    parts: tuple[tuple[float, Spread], ...]  # the window's statistic, and how it lies over the reference's chunks
    size: int  # images, or boxes, the statistic was computed from


def learn_chunks(values: ArrayLike, groups: ArrayLike) -> Chunks | None:
    """What the chunks of a reference say about a healthy window.

    `groups` (n,) names the chunk of each value; NaN values are dropped. An infinity counts as one range of the finite
    values beyond their end. None where fewer than two chunks or no finite value are left: then nothing is known about
    how far one window lies from another.
    """
    values, labels = _grouped(values, groups)
    finite = values[np.isfinite(values)]
    count = int(labels.max(initial=-1)) + 1
    if count < 2 or not finite.size:
        return None
    scale = unit(finite)
    values, finite = values / scale, finite / scale
    knots, scores = _normal_scores(finite)
    slopes = _tail_slopes(knots, scores, float(np.std(finite)))
    values = _bounded(values, knots)
    rank = _score(values, knots, scores, slopes)
    roots = _roots(values, labels)
    inside = np.clip(rank, scores[0], scores[-1])
    return Chunks(
        knots, scores, slopes, _spread_of_means(values, labels), _spread_of_means(rank, labels), roots,
        () if roots else _spreads_of_variances(inside, labels), scale,
    )  # fmt: skip


def chunk_p_value(values: ArrayLike, chunks: Chunks) -> float:
    """Probability that a healthy window lies as far from the reference's chunks as this one, in level or in spread.

    Level: t = (m - centre) / sqrt(v + between / k), v the variance of a healthy window's mean, on Student's t with
    k - 1 degrees of freedom (k chunks), on the values, on their normal scores under the reference, and, where many
    values lie at an end of the range, on the root of the mean's distance from it; the largest p-value counts, so that
    neither skew nor lumpy chunks alone can raise an alarm. Spread: the same with the variance of normal scores, clipped
    to the reference's range, as its cube root and as its logarithm; left out where many values lie at an end of the
    range, as spread then follows level. Both are joined by weighted Bonferroni.

    0..1, small means different. The false-alarm rate is held at any level for normal chunk means, and in simulations
    for skewed values and counts; not where few chunks differ greatly and lopsidedly as wholes (intraclass correlation
    0.5 of lognormal values), and not where chunks that follow each other are alike, as in a slow season. NaN dropped,
    infinities counted as `signals` says; NaN where nothing is left.
    """
    return joint_p_value(signals(values, chunks))


def joint_p_value(found: Sequence[Signal]) -> float:
    """The same of `signals`; NaN where there are none."""
    if not found:
        return math.nan
    told = [one for one in found if not math.isnan(one.parts[0][0])]
    tails = (max(float(shift_p_value(x, one.size, spread)) for x, spread in one.parts) / one.weight for one in told)
    return min(1.0, *tails)


def signals(values: ArrayLike, chunks: Chunks) -> tuple[Signal, ...]:
    """The level and, where it can be told, the spread of a window's values, as `chunk_p_value` describes them.

    NaN values are dropped; nothing where none is left. An infinity counts as a value one range of the reference beyond
    its end, or at the window's own end where that is further out; so does what lies `EXTREME` times as far out.
    """
    values = floats(values).ravel()
    values = _bounded(values[~np.isnan(values)] / chunks.unit, chunks.knots)
    n = values.size
    if not n:
        return ()
    mean, rank = float(values.mean()), _score(values, chunks.knots, chunks.scores, chunks.slopes)
    roots = ((float(_root(mean, root.end, root.side)), root.level) for root in chunks.roots)
    levels = ((float(rank.mean()), chunks.score_level), (mean, chunks.level), *roots)
    if not chunks.score_spreads:
        return (Signal(1 - SPREAD_SHARE, levels, n),)
    inside = np.clip(rank, chunks.scores[0], chunks.scores[-1])
    widths = _widths(float(np.var(inside, ddof=1))) if n >= SPREAD_MINIMUM else (math.nan, math.nan)
    spread = Signal(SPREAD_SHARE, tuple(zip(map(float, widths), chunks.score_spreads, strict=True)), n)
    return Signal(1 - SPREAD_SHARE, levels, n), spread


def shift_p_value(statistic: ArrayLike, n: int, spread: Spread) -> Any:
    """Two-sided p-value of a healthy window's statistic lying this far out: Student's t with k - 1 degrees of freedom.

    Works on arrays of `statistic`. 1 where it equals the centre, 0 where chunks do not vary at all and it differs, NaN
    where it is NaN.
    """
    distance = np.abs(floats(statistic) - spread.centre)
    error = math.sqrt(window_variance(spread, n) + spread.between / spread.chunks)
    t = np.divide(distance, error, out=np.where(distance > 0, np.inf, 0.0), where=error > 0)
    return 2 * special.stdtr(spread.chunks - 1, -t)


def window_variance(spread: Spread, n: int) -> float:
    """Variance of the statistic over healthy windows of n images.

    A window with fewer images than a chunk varies more, by sampling; one with more is not trusted to vary less.
    """
    return spread.between + spread.per_image * max(0.0, 1 / n - 1 / spread.size)


def detectable_shift(chunks: Chunks, n: int, alpha: float) -> float:
    """Shift of the mean that a window of n images proves at level `alpha` in about half of all windows.

    In the feature's unit. Says what a reference is good for: with 6 chunks the t quantile at 5e-5 is 12.5, with 20 it
    is 5.1. inf at n = 0.
    """
    if n < 1:
        return math.inf
    quantile = -special.stdtrit(chunks.level.chunks - 1, alpha * (1 - SPREAD_SHARE) / 2)
    variance = window_variance(chunks.level, n) + chunks.level.between / chunks.level.chunks
    return float(quantile * math.sqrt(variance)) * chunks.unit


def design_effect(values: ArrayLike, groups: ArrayLike) -> float:
    """How many images of a reference tell as much as one independent image (Kish's design effect).

    1 + (m - 1) * icc, with the intraclass correlation icc = (B - W) / (B + (m0 - 1) W) from the mean squares between
    and within chunks (one-way analysis of variance; m mean chunk size, m0 its correction for unequal sizes).
    At least 1. NaN and infinite values are dropped; 1 where fewer than two chunks, or no chunk with two values, are
    left, or all values are equal. With few chunks the estimate is noisy (relative error sqrt(2 / (chunks - 1))):
    a p-value that divides n by it does not hold its level; `chunk_p_value` does.

    Source: L. Kish, Survey Sampling (1965); A. Donner, Int. Stat. Review 54 (1986) 67-82.

    >>> design_effect([1, 1, 1, 5, 5, 5], [0, 0, 0, 1, 1, 1])
    3.0
    """
    values, labels = _grouped(values, groups)
    values, labels = _grouped(values[np.isfinite(values)], labels[np.isfinite(values)])
    values = values / unit(values)
    sizes = np.bincount(labels)
    count, total = sizes.size, values.size
    if count < 2 or total == count or np.ptp(values) == 0:
        return 1.0
    means = np.bincount(labels, values) / sizes
    between = float(sizes @ (means - values.mean()) ** 2) / (count - 1)
    within = float(np.sum((values - means[labels]) ** 2)) / (total - count)
    size = (total - float(sizes @ sizes) / total) / (count - 1)
    icc = (between - within) / (between + (size - 1) * within)
    return max(1.0, 1.0 + (total / count - 1) * icc)


def design_effect_counts(counts: ArrayLike) -> float:
    """How many boxes tell as much about the class mix as one independent box (mean generalised design effect).

    `counts` (clusters, classes): boxes per image and class, or per chunk and class. With p the pooled mix, N boxes,
    k clusters and r_ic = n_ic - p_c n_i: deff = mean over classes of k / (k - 1) sum_i r_ic^2 / (N p_c (1 - p_c)),
    weighted by 1 - p_c, so that its product with the degrees of freedom is the chi-square's null mean. At least 1.
    Clusters with NaN or without boxes, and classes without boxes, are dropped; 1 where fewer than two of either are
    left.

    Source: J. N. K. Rao, A. J. Scott, J. Am. Stat. Assoc. 76 (1981) 221-230.

    >>> design_effect_counts([[2, 0], [0, 2], [2, 0], [0, 2]]), design_effect_counts([[1, 0]])
    (2.6666666666666665, 1.0)
    """
    table = np.atleast_2d(floats(counts))
    table = table[~np.isnan(table).any(axis=1)]
    table = table[table.sum(axis=1) > 0]
    table = table[:, table.sum(axis=0) > 0]
    clusters, classes = table.shape
    if clusters < 2 or classes < 2:
        return 1.0
    total = table.sum()
    mix = table.sum(axis=0) / total
    residual = table - np.outer(table.sum(axis=1), mix)
    effects = clusters / (clusters - 1) * np.sum(residual**2, axis=0) / (total * mix)  # times (1 - p_c) already
    return max(1.0, float(effects.sum() / (classes - 1)))


def spread_of_means(values: ArrayLike, groups: ArrayLike) -> Spread | None:
    """How the means of the chunks lie; non-finite values dropped; None where fewer than two chunks are left."""
    values, labels = _grouped(values, groups)
    finite = np.isfinite(values)
    values, labels = _grouped(values[finite], labels[finite])
    return _spread_of_means(values, labels) if labels.max(initial=0) > 0 else None


def _grouped(values: ArrayLike, groups: ArrayLike) -> tuple[Floats, NDArray[np.intp]]:
    """Values that are not NaN, with the number of their chunk, 0.. without gaps."""
    numbers = floats(values).ravel()
    known = ~np.isnan(numbers)
    labels = np.unique(names(groups, numbers.size)[known], return_inverse=True)[1]
    return numbers[known], labels


def _spread_of_means(values: Floats, labels: NDArray[np.intp]) -> Spread:
    sizes = np.bincount(labels)
    means = np.bincount(labels, values) / sizes
    freedom = values.size - sizes.size
    within = float(np.sum((values - means[labels]) ** 2)) / freedom if freedom else 0.0
    return _spread(means, sizes, within)


def _roots(values: Floats, labels: NDArray[np.intp]) -> tuple[Root, ...]:
    """The root makes the means of counts close to normal; without a lump at either end there is nothing to mend."""
    sizes = np.bincount(labels)
    means = np.bincount(labels, values) / sizes
    per_image = _spread_of_means(values, labels).per_image
    roots = []
    for end, side in ((float(values.min()), 1), (float(values.max()), -1)):
        distance = abs(float(means.mean()) - end)
        if distance > 0 and np.mean(values == end) >= LUMP:
            spread = _spread(_root(means, end, side), sizes, per_image / (4 * distance))  # delta method
            roots.append(Root(end, side, spread))
    return tuple(roots)


def _root(mean: ArrayLike, end: float, side: int) -> Floats:
    return np.sqrt(np.maximum(side * (np.asarray(mean) - end), 0))


def _spreads_of_variances(scores: Floats, labels: NDArray[np.intp]) -> tuple[Spread, ...]:
    """Of the chunks' variances in both units of `_widths`."""
    sizes = np.bincount(labels)
    means = np.bincount(labels, scores) / sizes
    large = sizes >= SPREAD_MINIMUM
    if np.count_nonzero(large) < 2:
        return ()
    squares = np.bincount(labels, (scores - means[labels]) ** 2)[large]
    roots, logs = _widths(squares / (sizes[large] - 1))
    # By the delta method, for values that are close to normal: variance 2 / n of the log, 2 / 9 n of the root.
    return (
        _spread(roots, sizes[large], 2 / 9 * float(np.mean(roots)) ** 2),
        _spread(logs, sizes[large], 2.0),
    )  # fmt: skip


def _widths(variance: ArrayLike) -> tuple[Floats, Floats]:
    """A variance in two units: its cube root (Wilson and Hilferty 1931) and its logarithm.

    For independent values the first is close to normal. Of frames that are near copies few are worth something, the
    root has a heavy upper tail and the logarithm a heavy lower one; both have to agree that a variance is unusual.
    """
    tiny = np.maximum(np.asarray(variance, dtype=np.float64), np.finfo(float).tiny)
    return np.cbrt(tiny), np.log(tiny)


def _spread(statistics: Floats, sizes: NDArray[np.intp], per_image: float) -> Spread:
    harmonic = sizes.size / float(np.sum(1 / sizes))
    between = float(statistics.var(ddof=1))
    return Spread(float(statistics.mean()), between, per_image, harmonic, sizes.size, float(memory(statistics)))


def memory(statistics: Floats) -> Floats:
    """How alike neighbouring chunks are: lag-1 autocorrelation of `statistics` (..., chunks) in order of time.

    Corrected for its bias (Kendall 1954); 0..`MOST_MEMORY`; 0 with fewer than `MEMORY_CHUNKS` chunks, too few to tell,
    or where nothing varies. A week of rain makes seven days alike, and then seven windows are not seven witnesses.
    """
    chunks = statistics.shape[-1]
    around = statistics - statistics.mean(axis=-1, keepdims=True)
    squares = np.sum(around**2, axis=-1)
    if chunks < MEMORY_CHUNKS:
        return np.zeros(squares.shape)
    products = np.sum(around[..., 1:] * around[..., :-1], axis=-1)
    plain = np.divide(products, squares, out=np.full(squares.shape, -1.0), where=squares > 0)
    return np.asarray(np.clip(plain + (1 + 3 * plain) / chunks, 0.0, MOST_MEMORY))


def _normal_scores(finite: Floats) -> tuple[Floats, Floats]:
    """Distinct values and the normal quantile of their mid-rank; thinned evenly in rank to `KNOTS`."""
    knots, counts = np.unique(finite, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / finite.size
    if knots.size > KNOTS:
        kept = np.unique(np.searchsorted(middle, np.linspace(middle[0], middle[-1], KNOTS)))
        knots, middle = knots[kept], middle[kept]
    return knots, special.ndtri(middle)


def _tail_slopes(knots: Floats, scores: Floats, sd: float) -> tuple[float, float]:
    """Slope of the normal quantile plot in the outermost tenths, at least the sd: a lump at the end must not make
    what lies just beyond it look far away.
    """  # fmt: skip
    last = knots.size - 1
    low = min(int(np.searchsorted(scores, special.ndtri(TAIL))), last)
    high = max(int(np.searchsorted(scores, special.ndtri(1 - TAIL))) - 1, 0)
    floor = sd or 1.0
    below = (knots[low] - knots[0]) / (scores[low] - scores[0]) if low > 0 else 0.0
    above = (knots[last] - knots[high]) / (scores[last] - scores[high]) if high < last else 0.0
    return max(float(below), floor), max(float(above), floor)


def _score(values: Floats, knots: Floats, scores: Floats, slopes: tuple[float, float]) -> Floats:
    """Normal score of each value under the reference, continued straight beyond the reference's ends."""
    inside = np.interp(values, knots, scores)
    beyond = np.maximum(values - knots[-1], 0) / slopes[1] - np.maximum(knots[0] - values, 0) / slopes[0]
    return np.asarray(inside + beyond)


def _bounded(values: Floats, knots: Floats) -> Floats:
    """Infinities drawn in to one range beyond the reference's ends, or to the sample's own end where that is out.

    So is what lies `EXTREME` times as far out as the reference.
    """
    inside = np.abs(values) <= EXTREME
    if inside.all():
        return values
    width = (knots[-1] - knots[0]) or 1.0
    finite = values[inside]
    low = min(knots[0] - width, finite.min(initial=np.inf))
    high = max(knots[-1] + width, finite.max(initial=-np.inf))
    return np.clip(values, low, high)
