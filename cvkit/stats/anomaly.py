"""Anomalies: single images unlike any that are normal, told with a stated share of false flags.

Scores are learnt from normal images only, higher = stranger. What a score is worth is told by conformal p-values: how
many normal images, held out of learning by whole chunks of time, are at least as strange. An odd image is not a shifted
stream: every chunk, and every window, is first moved so that its median is the reference's, so that a day that is
darker as a whole is drift and not three hundred anomalies. A window's median is that of its least strange rows, so that
odd images do not move what they are held against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cvkit.stats.arrays import Floats, floats, names, units

Method = Literal["mahalanobis", "neighbours"]
Singles = NDArray[np.float32]
Far = TypeVar("Far", Floats, Singles)

FOLDS = 5  # parts of the normal images, each scored by what the others teach
NEIGHBOURS = 5  # the distance to the fifth is not fooled by a single near copy
FARTHEST = 50.0  # robust standard deviations beyond which a column's distance is told no further
LINEAR = 3.0  # robust standard deviations up to which a distance counts in full; beyond, its logarithm
ALIGN_FROM = 10  # rows of a chunk or window from which its median is worth something
USUAL = 0.75  # share of a window's rows, the least strange, whose median is the window's
SAMPLE = 500  # rows that suffice for a median, evenly spaced
FEWEST = 10  # normal rows below which nothing is learnt
SHRUNK = 0.25  # of the shrinkage that makes the best covariance: the distance needs its inverse, whose best is less
BLOCK = 1024  # rows whose distances are held at once
PANEL = 64  # columns of a triangular matrix that are multiplied at once


class TooFewError(ValueError):
    """Too few normal rows, or chunks of them, to say what is usual."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What some normal images teach."""

    method: Method
    centre: Floats  # (d,) median of each column
    scale: Floats  # (d,) robust standard deviation of each column
    whitening: Floats  # (d, k) from scaled columns to directions of variance 1; nothing above the diagonal
    rows: Singles  # (n, k + 1) whitened normal rows, and their squared lengths; for neighbours


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """What is normal, and how strange normal images are: made by `fit`."""

    model: Model
    calibration: Floats  # ascending scores of normal images under models that did not see their chunk


def fit(normal: ArrayLike, groups: ArrayLike | None = None, *, method: Method = "mahalanobis", seed: int = 0) -> Normal:
    """Learn from normal rows (n, d), of which `groups` (n,) names the chunk of time.

    Columns are centred at their median and scaled by their interquartile range / 1.349, and softened: a distance z
    counts as 3 asinh(z / 3), linear near the centre and a logarithm far out, so that columns with heavy tails do not
    drown the others. A missing value counts as the median, an infinite one as far out. "mahalanobis": the distance from
    the centre under the covariance of the scaled columns, shrunk towards its diagonal by a quarter of what Chen et al.
    2010 do. "neighbours": the distance to the `NEIGHBOURS`-th nearest normal row, after the same whitening. Without
    groups every row is its own. Raises ValueError on an unknown method and groups that do not fit, TooFewError with
    fewer than `FEWEST` rows that have a finite value, or where fewer than that are left without any fifth of the
    chunks.

    Sources: Y. Chen, A. Wiesel, Y. Eldar, A. Hero, IEEE Trans. Signal Process. 58 (2010) 5016-5029 (OAS shrinkage);
    S. Bates et al., Ann. Stat. 51 (2023) 149-178, arXiv 2104.08279 (conformal p-values).
    """
    if method not in get_args(Method):
        raise ValueError(f"method is one of {', '.join(get_args(Method))}, not {method!r}")
    rows = _rows(normal)
    chunks = np.arange(len(rows)) if groups is None else names(groups, len(rows))
    told = np.isfinite(rows).any(axis=1)
    rows, labels = rows[told], np.unique(chunks[told], return_inverse=True)[1]
    if len(rows) < FEWEST:
        raise TooFewError(f"at least {FEWEST} normal rows are needed, not {len(rows)}")
    calibration = np.sort(_held_out(rows, labels, method, seed))
    if not calibration.size:
        raise TooFewError(
            f"nothing says how strange normal rows are: of {len(rows)} rows in {labels.max() + 1} chunks fewer than "
            f"{FEWEST} are left without any fifth of the chunks"
        )
    return Normal(_learn(rows, labels, method), calibration)


def score(normal: Normal, current: ArrayLike, *, align: bool = True) -> Floats:
    """Strangeness (m,) of the rows of one window, higher = stranger; in standard deviations, roughly.

    The window is aligned first (see above) where it has `ALIGN_FROM` rows, unless `align` is False. NaN for rows
    without any finite value. Raises ValueError where the columns are not those of the normal rows.
    """
    rows = _rows(current, normal.model.centre.size)
    middle = _middle(rows, normal.model.centre, normal.model) if align else normal.model.centre
    return _score(normal.model, rows, middle)


def p_values(normal: Normal, scores: ArrayLike) -> Floats:
    """Conformal p-values (m,): (1 + normal scores at least as high) / (1 + normal scores); NaN stays NaN.

    For an image like the normal ones P(p <= x) <= x, but for what the parts of `fit` cost (Vovk 2015: a factor of two
    at worst). At least 1 / (1 + normal images): see `fewest`.
    """
    strange = floats(scores)
    above = normal.calibration.size - np.searchsorted(normal.calibration, strange, side="left")
    return np.asarray(np.where(np.isnan(strange), np.nan, (1 + above) / (1 + normal.calibration.size)))


def fewest(normal: Normal, images: int, level: float) -> int:
    """How many odd images there must be among `images` so that they can be flagged at a share `level` of false flags.

    k flags need p-values of level * k / images, and no p-value is below 1 / (1 + normal images).
    """
    return max(1, math.ceil(images / (level * (1 + normal.calibration.size)) - 1e-9))


def contributions(normal: Normal, current: ArrayLike) -> Floats:
    """How far each value (m, d) lies from the centre, in robust standard deviations, with its sign: the reason."""
    rows = _rows(current, normal.model.centre.size)
    return _deviations(normal.model, rows, _middle(rows, normal.model.centre, normal.model))


def _rows(values: ArrayLike, columns: int | None = None) -> Floats:
    rows = np.atleast_2d(floats(values))
    if rows.ndim != 2 or columns not in (None, rows.shape[1]):
        raise ValueError(f"expected rows of {columns or 'some'} columns, not {rows.shape}")
    return rows


def _learn(rows: Floats, labels: NDArray[np.intp], method: Method) -> Model:
    finite = np.where(np.isfinite(rows), rows, np.nan)
    centre = np.nan_to_num(_quantile(finite, 0.5))
    wide = (_quantile(finite, 0.75) - _quantile(finite, 0.25)) / 1.349
    spread = np.nan_to_num(np.where(wide > 0, wide, np.nan_to_num(_deviation(finite))))
    # A column that never varies is strange as soon as it does: by a thousandth of its size, or of one.
    varies = spread > 1e-9 * np.abs(centre)  # rounding is no variation
    scale = np.where(varies, spread, 1e-3 * np.maximum(1.0, np.abs(centre)))
    scale[np.isnan(finite).all(axis=0)] = np.inf  # what no normal row has tells nothing
    bare = Model(method, centre, scale, np.empty((0, 0)), np.empty((0, 0), np.float32))
    scaled = _softened(_deviations(bare, rows, _middles(rows, labels, centre)))
    whitening = _whitening(scaled)
    white = scaled @ whitening if method == "neighbours" else np.empty((0, whitening.shape[1]))
    known = np.column_stack([white, np.einsum("ij,ij->i", white, white)]).astype(np.float32)
    return Model(method, centre, scale, whitening, known)


def _held_out(rows: Floats, labels: NDArray[np.intp], method: Method, seed: int) -> Floats:
    """Scores of normal rows, each under a model that saw none of its chunk."""
    chunks = int(labels.max()) + 1
    order = np.random.default_rng(seed).permutation(chunks)
    scores = np.full(len(rows), np.nan)
    for fold in range(min(FOLDS, chunks)):
        out = np.isin(labels, order[fold::FOLDS])
        if np.count_nonzero(~out) < FEWEST:
            continue
        model = _learn(rows[~out], labels[~out], method)
        scores[out] = _score(model, rows[out], _middles(rows[out], labels[out], model.centre, model))
    return np.asarray(scores[~np.isnan(scores)])


def _middles(rows: Floats, labels: NDArray[np.intp], centre: Floats, model: Model | None = None) -> Floats:
    """What each row (n, d) is held against: the middle of its chunk."""
    middles = np.broadcast_to(centre, rows.shape).copy()
    for chunk in np.flatnonzero(np.bincount(labels) >= ALIGN_FROM):
        members = labels == chunk
        middles[members] = _middle(rows[members], centre, model)
    return middles


def _middle(rows: Floats, centre: Floats, model: Model | None = None) -> Floats:
    """Median (d,) of a chunk or window, with a model that of its least strange rows; `centre` where rows are few."""
    if len(rows) < ALIGN_FROM:
        return centre
    some = rows[:: max(1, len(rows) // SAMPLE)]
    some = np.where(np.isfinite(some), some, np.nan)
    middle = _quantile(some, 0.5)
    middle = np.where(np.isnan(middle), centre, middle)
    if model is None:
        return middle
    scaled = _softened(_deviations(model, some, middle).astype(np.float32))
    strange = _squares(scaled, model.whitening.astype(np.float32))
    usual = _quantile(some[strange <= np.quantile(strange, USUAL)], 0.5)
    return np.where(np.isnan(usual), middle, usual)


def _deviations(model: Model, rows: Floats, middle: Floats) -> Floats:
    """Robust standard deviations from the middle: 0 for a missing value, at most `FARTHEST` either way."""
    far = np.clip((rows - middle) / model.scale, -FARTHEST, FARTHEST)
    far[np.isnan(far)] = 0.0
    return np.asarray(far)


def _softened(far: Far) -> Far:
    """Heavy tails of one column must not drown what the others say."""
    softened: Far = LINEAR * np.arcsinh(far / LINEAR)
    return softened


def _score(model: Model, rows: Floats, middle: Floats) -> Floats:
    """In single precision: half the work, and far below what frames differ by."""
    middles = np.broadcast_to(middle, rows.shape)
    whitening = model.whitening.astype(np.float32)
    found = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        scaled = _softened(_deviations(model, rows[part], middles[part]).astype(np.float32))
        if model.method == "mahalanobis":
            found[part] = _squares(scaled, whitening)
        else:
            found[part] = _to_neighbours(model.rows, scaled @ whitening)
    return np.where(np.isfinite(rows).any(axis=1), np.sqrt(np.maximum(found, 0.0)), np.nan)


def _squares(scaled: Singles, whitening: Singles) -> Singles:
    """Squared lengths of whitened rows; what is above the diagonal is nothing and is left out."""
    lengths = np.zeros(len(scaled), np.float32)
    for start in range(0, whitening.shape[1], PANEL):
        white = scaled[:, start:] @ whitening[start:, start : start + PANEL]
        lengths += np.einsum("ij,ij->i", white, white)
    return lengths


def _to_neighbours(known: Singles, white: Singles) -> Singles:
    """Squared distances to the `NEIGHBOURS`-th nearest of the known rows, of which the last column is their lengths.

    Known rows are looked through in groups: the nearest are all in the groups whose nearest rows are nearest.
    """
    nearest = min(NEIGHBOURS, len(known)) - 1
    ones = np.ones((len(white), 1), np.float32)
    squares = np.hstack([-2 * white, ones]) @ known.T
    size = math.isqrt(len(known) // NEIGHBOURS)  # rows in a group
    groups = len(known) // max(1, size)
    if groups > 2 * NEIGHBOURS:
        grouped = squares[:, : size * groups].reshape(len(white), size, groups)
        close = np.argpartition(grouped.min(axis=1), nearest, axis=1)[:, None, : nearest + 1]
        within = np.take_along_axis(grouped, close, axis=2).reshape(len(white), -1)
        squares = np.hstack([within, squares[:, size * groups :]])
    squares.partition(nearest, axis=1)
    return np.asarray(squares[:, nearest] + np.einsum("ij,ij->i", white, white))


def _whitening(scaled: Floats) -> Floats:
    """From scaled columns to directions of variance 1, under the covariance shrunk towards its diagonal."""
    n, d = scaled.shape
    bounded = np.clip(scaled, -8.0, 8.0)  # a few normal images that are odd must not teach that odd is normal
    around = bounded - bounded.mean(axis=0)
    covariance = around.T @ around / max(1, n - 1)
    still = np.diag(covariance) < 1e-12  # columns that never vary: one step of their scale counts as one deviation
    covariance[still, still] = 1.0
    diagonal = np.diag(np.maximum(np.diag(covariance), 1e-12))
    trace, squares = float(np.trace(covariance)), float(np.sum(covariance**2))
    below = (n + 1 - 2 / d) * (squares - trace**2 / d)
    shrinkage = SHRUNK * (1.0 if below <= 0 else min(1.0, ((1 - 2 / d) * squares + trace**2) / below))
    values, vectors = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * diagonal)
    kept = values > 1e-9 * max(values[-1], 1e-12)
    return np.asarray(np.linalg.qr((vectors[:, kept] / np.sqrt(values[kept])).T).R.T)  # turned: lengths stay


def _quantile(rows: Floats, share: float) -> Floats:
    """Quantile of each column without its NaN; NaN where nothing is left."""
    missing = np.isnan(rows)
    if not missing.any():
        return np.asarray(np.quantile(rows, share, axis=0))
    counts = np.count_nonzero(~missing, axis=0)
    ordered = np.sort(rows, axis=0)  # NaN last; np.nanquantile goes column by column, a hundred times as slow
    place = share * np.maximum(counts - 1, 0)
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, np.maximum(counts - 1, 0))
    columns = np.arange(rows.shape[1])
    first, second = ordered[low, columns], ordered[high, columns]
    return np.asarray(first + (second - first) * (place - low))


def _deviation(rows: Floats) -> Floats:
    """Standard deviation of each column without its NaN; NaN where fewer than two are left."""
    scale = units(rows.T)
    rows = rows / scale
    counts = np.count_nonzero(~np.isnan(rows), axis=0)
    means = np.divide(np.nansum(rows, axis=0), counts, out=np.zeros(rows.shape[1]), where=counts > 0)
    squares = np.nansum((rows - means) ** 2, axis=0)
    found = np.sqrt(np.divide(squares, counts - 1, out=np.full(rows.shape[1], math.nan), where=counts > 1))
    return np.asarray(found * scale)
