"""Familiar: whether images look like any of the conditions that were learnt from, by the mean of their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvkit.stats.arrays import Floats

QUANTILE = 0.9
CHANCE = 3.0  # standard deviations that a distance is given for what a sample lies off by chance


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """Conditions that were learnt from, and how far from all of them is too far: made by `learn`."""

    means: Floats  # (M, e) mean embedding of each; e = 0 where there are no embeddings
    spread: float  # of single embeddings about their mean: the unit of distances
    directions: float  # in which they spread, counted by their share of it
    images: int  # behind each mean
    limit: float  # in spreads


def learn(means: Floats, families: Sequence[str], rows: Floats, quantile: float = QUANTILE) -> Conditions:
    """Conditions by their mean embeddings (M, e) and their families; `rows` (images, e) are those of the first.

    The limit is the distance that a share `quantile` of the conditions keeps from the nearest one of another family:
    about as many would be refused had their family not been learnt.
    """
    names = np.asarray(families)
    scatter = np.atleast_2d(np.cov(rows.T, bias=True)) if rows.shape[1] else np.zeros((1, 1))
    total = float(np.trace(scatter))
    spread = float(np.sqrt(total)) or 1.0
    apart = np.linalg.norm(means[:, None] - means[None], axis=2) / spread
    apart[names[:, None] == names[None]] = np.inf
    nearest = apart[names != ""].min(axis=1)
    directions = total**2 / float((scatter**2).sum()) if total else 1.0
    return Conditions(means, spread, directions, len(rows), float(np.quantile(nearest, quantile)))


def strange(known: Conditions, mean: Floats, n: int) -> bool:
    """Whether the mean embedding (e,) of `n` images lies beyond the limit from every condition; no without embeddings.

    Two samples of one population lie apart by chance: D^2 is 1 / n + 1 / images on average, in spreads, with a standard
    deviation of sqrt(2 / directions) of that. So D^2 has to exceed limit^2 by the average and `CHANCE` of these.
    """
    if not mean.size:
        return False
    apart = float(np.linalg.norm(known.means - mean, axis=1).min()) / known.spread
    by_chance = (1 / n + 1 / known.images) * (1 + CHANCE * np.sqrt(2 / known.directions))
    return bool(apart**2 > known.limit**2 + by_chance)
