"""Drift of many columns at once: how far two samples of rows, such as embeddings, lie apart.

Each statistic takes `current` (n, d) and `reference` (m, d) and gives a `Drift`. Rows with a value that is missing or
infinite are left out, and n says how many are left; with fewer than two on a side everything is NaN, never 0. p-values
come from exchanging rows between the samples, so that nothing is assumed about their shape; the finest is
1 / (permutations + 1). Neighbouring frames are near copies, and rows exchanged one by one then give far too small
p-values: name each row's chunk of time in `groups`, and whole chunks are exchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cvkit.stats.arrays import Floats, floats, names, unit, units
from cvkit.stats.change.drift import Drift

PERMUTATIONS = 100
EXACT_ROWS = 6000  # of both samples together, above which MMD takes random features: pairs cost rows squared
FEATURES = 512  # random directions, a cosine and a sine each; their error falls with the root of it
BANDWIDTH_ROWS = 1000  # rows the kernel's width is taken from
BLOCK = 512  # rows whose kernel is held at once
FOLDS = 5  # parts of the rows, each told apart by what the others teach
ROWS_PER_COLUMN = 10  # that the classifier needs before it looks at products of columns
RIDGE = 0.1  # added to the classifier's covariance, as a share of its mean eigenvalue


def mmd(
    current: ArrayLike, reference: ArrayLike, groups: tuple[ArrayLike, ArrayLike] | None = None, *,
    permutations: int = PERMUTATIONS, exact: bool | None = None, seed: int = 0,
) -> Drift:  # fmt: skip
    """Maximum mean discrepancy, squared and unbiased: mean k(x, x') + mean k(y, y') - 2 mean k(x, y), x' != x, y' != y.

    k(x, y) = exp(-|x - y|^2 / (2 h^2)), h the median distance of two different rows of both samples together (of
    `BANDWIDTH_ROWS` of them). Statistic: at most 2; around 0, and as often below it, without drift; symmetric;
    unchanged by rotation and by one scale for all columns: bring columns to one unit before. p-value: the share of
    exchanged samples at least as far apart. Effect: how far the current rows' mean of the witness function (mean k to
    the current rows less mean k to the reference's) lies above the reference's, in standard deviations of the reference
    rows; 0 at least. Constant rows: 0, and p-value 1. O((n + m)^2 d), in blocks; where `exact` is False, or not said
    and there are more than `EXACT_ROWS` rows, k is replaced by random Fourier features: O((n + m) d), within about
    1 / sqrt(`FEATURES`) of it. Raises ValueError where the shapes do not fit each other, a row has no group, or there
    is no permutation.

    Sources: A. Gretton et al., J. Mach. Learn. Res. 13 (2012) 723-773; A. Rahimi, B. Recht, NIPS (2007); B. Phipson,
    G. Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39 (the 1 added to both counts of a permutation p-value).

    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(200, 8))
    >>> found = mmd(rows[:100] + 0.5, rows[100:])
    >>> round(found.p_value, 3), found.effect > 0.5
    (0.01, True)
    """
    rows, current_side, labels = _joined(current, reference, groups, permutations)
    n, m = int(current_side.sum()), int((~current_side).sum())
    if min(n, m) < 2:
        return Drift(math.nan, math.nan, math.nan, n, m)
    rows = rows / unit(rows)
    rows = rows - rows.mean(axis=0)  # large common values would cost digits
    rng = np.random.default_rng(seed)
    width = _median_distance(rows, rng)
    if not width:
        return Drift(0.0, 1.0, 0.0, n, m)
    rows /= width
    sides = _exchanged(current_side, labels, permutations, rng)
    exact = len(rows) <= EXACT_ROWS if exact is None else exact
    within, across = _exact_sums(rows, sides) if exact else _random_sums(rows, sides, rng)
    found = _unbiased(within, sides, across)
    return Drift(float(found[0]), _p_value(found), _witness_effect(across, current_side), n, m)


def classifier(
    current: ArrayLike, reference: ArrayLike, groups: tuple[ArrayLike, ArrayLike] | None = None, *,
    permutations: int = PERMUTATIONS, seed: int = 0,
) -> Drift:  # fmt: skip
    """Classifier two-sample test: how well a classifier that saw the other rows tells current from reference rows.

    The classifier is Fisher's linear discriminant with a ridge, on each column in standard deviations from its mean
    and, where that leaves `ROWS_PER_COLUMN` rows for each, on their squares and products too. It learns from four
    fifths of each chunk and is asked about the rest; rows of a chunk are to come in the order of time. Statistic: area
    under the ROC curve of its scores on rows it did not see, the mean over folds: 0..1, 0.5 without drift, 1 told apart
    without error. p-value: the share of exchanged samples told apart at least as well. Effect: sqrt(2) times the normal
    quantile of the area, the distance of the samples' means in standard deviations if both scores were normal; 0 at
    least. Unchanged by a scale of any column; a constant column tells nothing; with all columns constant 0.5, and
    p-value 1. Errors as `mmd`.

    Sources: D. Lopez-Paz, M. Oquab, ICLR (2017), arXiv 1610.06545; I. Kim et al., Ann. Stat. 49 (2021) 411-434 (linear
    discriminant and exchanged labels).

    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(400, 4))
    >>> found = classifier(rows[:200] + 1.0, rows[200:])
    >>> found.statistic > 0.85, round(found.p_value, 3)
    (True, 0.01)
    """
    rows, current_side, labels = _joined(current, reference, groups, permutations)
    n, m = int(current_side.sum()), int((~current_side).sum())
    if min(n, m) < 2:
        return Drift(math.nan, math.nan, math.nan, n, m)
    rng = np.random.default_rng(seed)
    sides = _exchanged(current_side, labels, permutations, rng)
    found = _areas(_columns(rows), sides, _folds(labels, rng))
    area = float(found[0])
    effect = max(0.0, math.sqrt(2) * float(special.ndtri(area)))
    return Drift(area, _p_value(found), effect, n, m)


ROWS: Mapping[str, Callable[..., Drift]] = {"mmd": mmd, "classifier": classifier}


def _joined(
    current: ArrayLike, reference: ArrayLike, groups: tuple[ArrayLike, ArrayLike] | None, permutations: int
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.intp]]:
    """Finite rows of both, which of them are current, and the number of each one's chunk."""
    now, then = (floats(part) for part in (current, reference))
    if now.ndim != 2 or then.ndim != 2 or now.shape[1] != then.shape[1]:
        raise ValueError(f"two samples of rows with the same columns are needed, not {now.shape} and {then.shape}")
    if permutations < 1:
        raise ValueError(f"at least one permutation is needed, not {permutations}")
    if groups is None:
        labels = np.arange(len(now) + len(then))
    elif len(groups) != 2:
        raise ValueError(f"groups are two, of the current rows and of the reference's, not {len(groups)}")
    else:
        pairs = zip(groups, (now, then), strict=True)
        first, second = (np.unique(names(part, len(rows)), return_inverse=True)[1] for part, rows in pairs)
        labels = np.concatenate([first, second + first.max(initial=-1) + 1])
    rows = np.concatenate([now, then])
    side = np.arange(len(rows)) < len(now)
    finite = np.isfinite(rows).all(axis=1)
    return rows[finite], side[finite], np.unique(labels[finite], return_inverse=True)[1]


def _exchanged(
    side: NDArray[np.bool_], labels: NDArray[np.intp], permutations: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(rows, 1 + permutations): 1 for current rows, first as they are, then with whole chunks exchanged."""
    of_chunk = np.zeros(labels.max() + 1)
    of_chunk[labels] = side
    drawn = [of_chunk, *(rng.permutation(of_chunk) for _ in range(permutations))]
    return np.asarray(np.stack(drawn, axis=1)[labels])


def _p_value(found: Floats) -> float:
    """The first is the one observed; ties count against it, also those that rounding has parted, and unknown ones."""
    observed, others = found[0], found[1:]
    return (1 + int(np.count_nonzero(~(others < observed - 1e-9 * abs(observed))))) / (1 + others.size)


# -- maximum mean discrepancy ---------------------------------------------------------------------------------------


def _median_distance(rows: Floats, rng: np.random.Generator) -> float:
    some = rows[rng.permutation(len(rows))[:BANDWIDTH_ROWS]]
    squares = _squared_distances(some, some)[np.triu_indices(len(some), 1)]
    apart = squares[squares > 0]
    return float(np.median(np.sqrt(apart))) if apart.size else 0.0


def _squared_distances(first: Floats, second: Floats) -> Floats:
    squares = first @ second.T
    squares *= -2
    squares += np.einsum("ij,ij->i", first, first)[:, None]
    squares += np.einsum("ij,ij->i", second, second)
    return np.asarray(np.maximum(squares, 0, out=squares))


def _exact_sums(rows: Floats, sides: Floats) -> tuple[Floats, Floats]:
    """Sum of k over all pairs of current rows, for each column of `sides`; and (rows, 2) sums of k to each row, from
    the rows that really are current and from all.

    k is symmetric: only its upper half is computed, and what lies right of the diagonal counts twice.
    """
    real = np.stack([sides[:, 0], np.ones(len(rows))], axis=1)
    within, across = np.zeros(sides.shape[1]), np.zeros((len(rows), 2))
    for start in range(0, len(rows), BLOCK):
        stop = min(start + BLOCK, len(rows))
        kernel = _squared_distances(rows[start:stop], rows[start:])
        kernel *= -0.5
        np.exp(kernel, out=kernel)
        kernel[np.arange(stop - start), np.arange(stop - start)] = 1.0  # rounding leaves a distance to itself
        across[start:stop] += kernel @ real[start:]
        across[stop:] += kernel[:, stop - start :].T @ real[start:stop]
        kernel[:, stop - start :] *= 2
        within += np.einsum("ij,ij->j", sides[start:stop], kernel @ sides[start:])
    return within, across


def _random_sums(rows: Floats, sides: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """As `_exact_sums`, with k(x, y) = z(x) z(y), z the cosines and sines of random projections."""
    directions = rng.normal(size=(rows.shape[1], FEATURES))
    weights = np.column_stack([sides, np.ones(len(rows))])
    totals = np.zeros((2 * FEATURES, weights.shape[1]))
    for start in range(0, len(rows), BLOCK):
        totals += _random_features(rows[start : start + BLOCK], directions).T @ weights[start : start + BLOCK]
    real = totals[:, [0, -1]]
    across = [_random_features(rows[i : i + BLOCK], directions) @ real for i in range(0, len(rows), BLOCK)]
    return np.einsum("ij,ij->j", totals[:, :-1], totals[:, :-1]), np.concatenate(across)


def _random_features(rows: Floats, directions: Floats) -> Floats:
    angles = rows @ directions
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / math.sqrt(directions.shape[1])


def _unbiased(within: Floats, sides: Floats, across: Floats) -> Floats:
    """MMD^2 for each column of `sides`, without the pairs of a row and itself, for which k is 1."""
    everything = float(across[:, 1].sum())
    n = sides.sum(axis=0)
    m = len(sides) - n
    n, m = (np.where(size > 1, size, np.nan) for size in (n, m))  # chunks of one row may leave a side with one
    mixed = across[:, 1] @ sides - within  # current with reference rows
    rest = everything - within - 2 * mixed
    return np.asarray((within - n) / (n * (n - 1)) + (rest - m) / (m * (m - 1)) - 2 * mixed / (n * m))


def _witness_effect(across: Floats, current: NDArray[np.bool_]) -> float:
    n, m = np.count_nonzero(current), np.count_nonzero(~current)
    to_current, to_reference = across[:, 0], across[:, 1] - across[:, 0]
    witness = np.where(
        current, (to_current - 1) / (n - 1) - to_reference / m, to_current / n - (to_reference - 1) / (m - 1)
    )
    apart, spread = float(witness[current].mean() - witness[~current].mean()), float(witness[~current].std(ddof=1))
    varies = spread > 1e-12 * float(np.abs(witness).max())  # else rounding, which differs between processors
    return max(0.0, apart) / spread if varies else math.inf if apart > 0 else 0.0


# -- classifier -----------------------------------------------------------------------------------------------------


def _columns(rows: Floats) -> Floats:
    """Columns in standard deviations, and their products where there are rows enough to learn from them."""
    rows = rows / units(rows.T)
    scale = rows.std(axis=0)
    varying = scale > 1e-12 * np.abs(rows).max(axis=0, initial=0.0)
    columns = (rows[:, varying] - rows[:, varying].mean(axis=0)) / scale[varying]
    d = columns.shape[1]
    if len(rows) < ROWS_PER_COLUMN * d * (d + 3) / 2:
        return np.asarray(columns)
    first, second = np.triu_indices(d)
    products = columns[:, first] * columns[:, second]
    return np.concatenate([columns, products - products.mean(axis=0)], axis=1)


def _folds(labels: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """The fold of each row: a stretch of its chunk, so that every fold leaves some of each chunk to learn from."""
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    place = np.empty(len(labels), np.intp)
    place[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = rng.permutation(np.arange(len(sizes)) % FOLDS)
    return np.asarray((place * FOLDS // sizes[labels] + first[labels]) % FOLDS)


def _areas(columns: Floats, sides: Floats, folds: NDArray[np.intp]) -> Floats:
    """Mean area under the ROC curve over folds, for each column of `sides`: all labellings in one product a fold."""
    total, counted = np.zeros(sides.shape[1]), np.zeros(sides.shape[1])
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        seen, labels = columns[~out], sides[~out]
        gram = seen.T @ seen
        ridge = RIDGE * max(float(np.trace(gram)) / max(1, len(gram)), 1e-300)
        weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), seen.T @ (labels - labels.mean(axis=0)))
        area = _area(columns[out] @ weights, sides[out])
        known = ~np.isnan(area)
        total[known] += area[known]
        counted[known] += 1
    return np.asarray(np.divide(total, counted, out=np.full(total.size, 0.5), where=counted > 0))


def _area(scores: Floats, sides: Floats) -> Floats:
    """Area under the ROC curve of each column, ties counting half; NaN where a side has no row."""
    n = sides.sum(axis=0)
    m = len(sides) - n
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(((ranks * sides).sum(axis=0) - n * (n + 1) / 2) / np.where(n * m > 0, n * m, np.nan))
