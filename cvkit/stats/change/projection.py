"""Embeddings as a few numbers: where an image lies along the directions in which the reference varies most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.arrays import Floats, floats, units

COMPONENTS = 8  # directions kept; what lies outside all of them is one more number
MOST_ROWS = 5000  # rows the directions are learnt from: more change nothing


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Directions of a reference's embeddings: made by `fit`."""

    mean: Floats  # (d,)
    axes: Floats  # (k, d) orthonormal, by falling variance


def fit(embeddings: ArrayLike, components: int = COMPONENTS, seed: int = 0) -> Projection | None:
    """The `components` first principal directions of embeddings (n, d), each brought to length 1 first.

    Rows with NaN or infinite values, or of zeros, drop out; of more than `MOST_ROWS` a seeded sample is used. None
    with fewer than three rows. Fewer directions where the rows do not span so many.
    """
    rows = unit(embeddings)
    rows = rows[~np.isnan(rows).any(axis=1)]
    if len(rows) < 3:
        return None
    if len(rows) > MOST_ROWS:
        rows = rows[np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False)]
    mean = rows.mean(axis=0)
    _, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
    kept = int(np.count_nonzero(sizes[:components] > 1e-6 * max(sizes[0], 1e-12)))
    return Projection(mean, axes[:kept])


def project(projection: Projection, embeddings: ArrayLike) -> Floats:
    """Coordinates (n, k + 1) along the k directions and, last, the distance from the plane they span; NaN rows stay."""
    rows = unit(embeddings) - projection.mean
    along = rows @ projection.axes.T
    apart = np.sqrt(np.maximum(np.sum(rows**2, axis=1) - np.sum(along**2, axis=1), 0.0))
    return np.column_stack([along, apart])


def unit(embeddings: ArrayLike) -> Floats:
    """Rows of length 1: their direction tells what is seen, their length mostly contrast; NaN where there is none."""
    rows = np.atleast_2d(floats(embeddings))
    rows = rows / units(rows)[:, None]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    usable = np.isfinite(lengths) & (lengths > 0)
    return np.asarray(np.divide(rows, lengths, out=np.full_like(rows, np.nan), where=usable))
