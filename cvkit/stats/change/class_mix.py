"""Drift of the class mix: whether boxes are shared out over the classes as in the reference.

Boxes come in clusters: an image holds several, often of one class, and days differ as wholes. A chi-square test that
takes every box for an independent one raises false alarms; here the reference's own images and chunks of time say how
much a healthy mix varies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cvkit.stats import exact
from cvkit.stats.arrays import Floats, floats, names
from cvkit.stats.change.chunks import Signal, Spread, design_effect_counts, memory, shift_p_value, spread_of_means
from cvkit.stats.change.drift import Drift

# Cochran's rule: below this many expected boxes the chi-square tail is not the table's. Such classes are tested
# together, by the number of images that hold any of them.
EXPECTED_MINIMUM = 5.0
PSEUDO_COUNT = 0.5  # added to every class of the reference in the effect, so that a new class has a finite size


@dataclass(frozen=True, slots=True, eq=False)
class ClassSample:
    """Boxes per image and class of a reference: made by `prepare_classes`."""

    counts: Floats  # (images, classes)
    labels: NDArray[np.intp]  # chunk of each image, 0.. without gaps


def prepare_classes(counts: ArrayLike, groups: ArrayLike) -> ClassSample:
    """A reference with its images and chunks. `counts` (images, classes), `groups` (images,); rows with NaN drop out.

    Images without boxes belong in it: they say how often a class is seen at all.
    """
    table = floats(counts)
    if table.ndim != 2:
        raise ValueError(f"expected boxes of (images, classes), not {table.shape}")
    known = ~np.isnan(table).any(axis=1)
    return ClassSample(table[known], np.unique(names(groups, len(table))[known], return_inverse=True)[1])


def chi_square(current: ArrayLike, reference: ArrayLike | ClassSample, *, deff: float = 1.0) -> Drift:
    """Pearson's chi-square of homogeneity: sum (observed - expected)^2 / expected over both samples' classes.

    `current` and `reference`: boxes per class (classes,), or per image and class (images, classes), with the same
    classes in the same order; n counts boxes. 0 equal mix, without upper limit, grows with n. Classes that neither
    sample has are left out. Effect: Cohen's w = sqrt(sum (p - q)^2 / q) of the shares against the reference's, 0 equal,
    0.1 small, 0.3 medium, 0.5 large. NaN counts as 0 boxes; NaN statistic without boxes on either side; 0 and p = 1
    with one class. Raises ValueError on negative counts, different numbers of classes and deff < 1.

    p-value of a reference without chunks: as `scipy.stats.chi2_contingency` without Yates' correction, of the statistic
    divided by the design effect `deff` (Rao and Scott's first order). Of a prepared one: `class_mix_p_value`, the
    honest one, which needs `current` per image; NaN where there are fewer than two chunks.

    >>> round(chi_square([30, 10], [20, 20]).statistic, 3)
    5.333
    """
    if not deff >= 1:
        raise ValueError(f"a design effect is at least 1, not {deff}")
    now = _table(current)
    then = reference.counts if isinstance(reference, ClassSample) else _table(reference)
    if now.shape[1] != then.shape[1]:
        raise ValueError(f"both samples need the same classes, not {now.shape[1]} and {then.shape[1]}")
    observed = np.stack([now.sum(axis=0), then.sum(axis=0)])
    n, m = (int(total) for total in observed.sum(axis=1))
    if not n or not m:
        return Drift(math.nan, math.nan, math.nan, n, m)
    statistic, freedom = _pearson(observed)
    if isinstance(reference, ClassSample):
        p_value = class_mix_p_value(now, reference)
    else:
        p_value = float(special.chdtrc(freedom, statistic / deff)) if freedom else 1.0
    return Drift(statistic, p_value, _cohens_w(*observed), n, m)


def class_mix_p_value(current: ArrayLike, reference: ClassSample) -> float:
    """Probability that the mix of a healthy window lies as far from the reference's, judged by the reference's chunks.

    Classes of which the window should hold at least `EXPECTED_MINIMUM` boxes: F = (chi-square / freedom) / phi on
    Fisher's F with the degrees of freedom d and d (k - 1), phi the chunks' own chi-square per degree of freedom
    (brought to the window's number of boxes), d at most classes - 1 and fewer where the chunks vary in one direction
    only (Satterthwaite). All rarer classes together: the hypergeometric chance of so many images that hold one, and
    not less than the chance against the chunks' shares of such images. New classes together: the same against the
    reference's images with a class that no other chunk has, as these would have been new in their day. The parts
    that apply are joined by Bonferroni. `current` (images, classes). NaN with fewer than two chunks or no boxes.

    Source: D. R. Thomas, J. N. K. Rao, J. Am. Stat. Assoc. 82 (1987) 630-636.
    """
    now, then = _table(current), reference.counts
    chunks = int(reference.labels.max(initial=-1)) + 1
    n = now.sum()
    if chunks < 2 or not n or not then.sum():
        return math.nan
    rare = n * then.sum(axis=0) / then.sum() < EXPECTED_MINIMUM
    parts = [_common_p_value(_merged(now, rare), _merged(then, rare), reference.labels)]
    seen_in = np.stack([np.bincount(reference.labels, column > 0) > 0 for column in then.T]).sum(axis=1)
    for tried, before in (((seen_in > 0) & rare, (seen_in > 0) & rare), (seen_in == 0, seen_in == 1)):
        if np.any(now[:, tried]):
            parts.append(_images_p_value(_holding(now, tried), _holding(then, before), reference.labels))
    return min(1.0, len(parts) * min(parts))


def share_signals(current: ArrayLike, reference: ClassSample) -> tuple[Signal, ...]:
    """The share of each common class among a window's boxes, as arcsin(sqrt(share)), beside the reference's chunks.

    Common are classes with at least `EXPECTED_MINIMUM` boxes in a chunk on average. `current` (images, classes).
    Nothing with fewer than two chunks with boxes, without a common class, or without boxes in the window.
    """
    now = _table(current).sum(axis=0)
    if not now.size:
        return ()
    by_chunk = _by_chunk(reference.counts, reference.labels)
    by_chunk = by_chunk[by_chunk.sum(axis=1) > 0]
    common = np.flatnonzero(by_chunk.sum(axis=0) >= EXPECTED_MINIMUM * len(by_chunk))
    if not now.sum() or len(by_chunk) < 2 or not len(common):
        return ()
    sizes = by_chunk.sum(axis=1)
    per_box = design_effect_counts(reference.counts) / 4  # variance of arcsin(sqrt(share)) of one box: 1 / 4
    found = []
    for one in common:
        angles = np.arcsin(np.sqrt(by_chunk[:, one] / sizes))
        between, alike = float(angles.var(ddof=1)), float(memory(angles))
        spread = Spread(float(angles.mean()), between, per_box, _harmonic(sizes), len(sizes), alike)
        angle = math.asin(math.sqrt(now[one] / now.sum()))
        found.append(Signal(1 / len(common), ((angle, spread),), int(now.sum())))
    return tuple(found)


def _by_chunk(counts: Floats, labels: NDArray[np.intp]) -> Floats:
    return np.stack([np.bincount(labels, column) for column in counts.T], axis=1)


def _harmonic(sizes: Floats) -> float:
    return sizes.size / float(np.sum(1 / sizes))


def _merged(table: Floats, rare: NDArray[np.bool_]) -> Floats:
    """Rare classes as one column at the end."""
    return np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)]) if rare.any() else table


def _common_p_value(now: Floats, then: Floats, labels: NDArray[np.intp]) -> float:
    n = now.sum()
    enough = n * then.sum(axis=0) / then.sum() >= EXPECTED_MINIMUM
    now, then = now[:, enough], then[:, enough]
    by_chunk = _by_chunk(then, labels) if enough.any() else then
    by_chunk = by_chunk[by_chunk.sum(axis=1) > 0]
    n, m, k = now.sum(), then.sum(), len(by_chunk)
    if now.shape[1] < 2 or not n or k < 2:
        return 1.0
    statistic, freedom = _pearson(np.stack([now.sum(axis=0), then.sum(axis=0)]))
    spread, directions = _overdispersion(by_chunk)
    within = design_effect_counts(then)
    size = k / float(np.sum(1 / by_chunk.sum(axis=1)))
    window = spread / size + within * max(0.0, 1 / n - 1 / size)  # variance of a mix, in units of p (1 - p)
    inflation = (window + spread / (size * k)) / (1 / n + 1 / m)
    plain = float(special.chdtrc(freedom, statistic / within))
    ratio = statistic / freedom / inflation if inflation else math.inf if statistic else 0.0
    return max(plain, float(special.fdtrc(directions, directions * (k - 1), ratio)))


def _overdispersion(by_chunk: Floats) -> tuple[float, float]:
    """Chi-square between chunks per degree of freedom, and in how many directions they vary (Satterthwaite)."""
    sizes = by_chunk.sum(axis=1)
    mix = by_chunk.sum(axis=0) / by_chunk.sum()
    residual = (by_chunk / sizes[:, None] - mix) * np.sqrt(sizes[:, None] / mix)
    free = (len(by_chunk) - 1) * (mix.size - 1)
    variances = np.linalg.svd(residual, compute_uv=False) ** 2
    total = float(variances.sum())
    return total / free, total**2 / float(np.sum(variances**2)) if total else 1.0


def _images_p_value(now: NDArray[np.bool_], then: NDArray[np.bool_], labels: NDArray[np.intp]) -> float:
    held, held_before = int(now.sum()), int(then.sum())
    chance = exact.at_least(held, now.size + then.size, held + held_before, now.size)
    spread = spread_of_means(then, labels)
    return chance if spread is None else max(chance, float(shift_p_value(now.mean(), now.size, spread)))


def _holding(table: Floats, classes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which images hold any of the classes."""
    return np.asarray(table[:, classes].sum(axis=1) > 0)


def _pearson(observed: Floats) -> tuple[float, int]:
    observed = observed[:, observed.sum(axis=0) > 0]
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.sum()
    return float(np.sum((observed - expected) ** 2 / expected)), observed.shape[1] - 1


def _cohens_w(now: Floats, then: Floats) -> float:
    used = now + then > 0
    now, then = now[used], then[used]
    if (now > 0)[then == 0].any():
        then = then + PSEUDO_COUNT
    p, q = now / now.sum(), then / then.sum()
    return math.sqrt(float(np.sum((p - q) ** 2 / q)))


def _table(counts: ArrayLike) -> Floats:
    table = np.nan_to_num(np.atleast_2d(floats(counts)), nan=0.0)
    if (table < 0).any() or not np.isfinite(table).all():
        raise ValueError("numbers of boxes are finite and not negative")
    return table
