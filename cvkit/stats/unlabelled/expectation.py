"""Expected quality: average precision, precision and recall where only chances of being right are known.

Outcomes are drawn from the chances, and each draw is counted as labels would be. So small samples flatter the
expectation as they flatter the number itself, classes that may be there count as often as they are, and the spread of
the draws is the noise of a sample of this size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvkit.stats.arrays import Floats
from cvkit.stats.change.segments import highest_from_here, running, sums
from cvkit.stats.quality.boxes import Integers
from cvkit.stats.quality.detection import POINTS

METRICS = ("ap", "precision", "recall")
CELLS = 1 << 20  # outcomes drawn at a time: 8 MB an array


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """Of K predicted boxes and of what they miss, in N images and C classes."""

    image: Integers  # (K,)
    category: Integers  # (K,)
    score: Floats  # (K,)
    right: Floats  # (K, T) chance to be a true positive at each IoU, 0..1, falling along the row
    missed: Floats  # (N, C) mean number of labelled objects not found, of classes with boxes in the image
    unseen: Floats  # (N, C) mean number of further classes with objects (0 or 1 each), that have no box there
    more: float  # mean number of further objects of such a class in the image


def simulate(chances: Chances, weights: Floats, draws: int, seed: int) -> Floats:
    """`METRICS` of each draw (draws, 3), 0..1; NaN where there is nothing to find, or nothing was said.

    `weights` (N,) are whole numbers: an image counted twice has the same outcome twice, as copies have. AP is the mean
    over the classes that are there and over the IoUs of the precision at 101 recalls; precision and recall are of all
    classes together, at the first IoU.
    """
    random = np.random.default_rng(seed)
    order = np.lexsort((-chances.score, chances.category))
    order = np.repeat(order, weights[chances.image[order]].astype(int))
    step = max(1, CELLS // max(chances.right.shape[1] * order.size, 1))
    blocks = [min(step, draws - low) for low in range(0, draws, step)]
    return np.concatenate([_draw(chances, weights, order, block, random) for block in blocks])


def _draw(chances: Chances, weights: Floats, order: Integers, draws: int, random: np.random.Generator) -> Floats:
    """As `simulate`; `order` (n,) lists the boxes by class, surest first, each as often as its image counts."""
    classes, levels = chances.missed.shape[1], chances.right.shape[1]
    category = chances.category[order]
    ends = np.searchsorted(category, np.arange(classes + 1))
    surprise = random.random((draws, chances.score.size))[:, order]
    hit = (surprise[:, None] < chances.right[order].T).reshape(draws * levels, order.size).astype(np.float64)
    found = hit[::levels]
    labelled = sums(found, ends) + _missed(chances, weights, draws, random)
    rank = np.arange(1, order.size + 1) - ends[category]
    whole = np.repeat(np.maximum(labelled, 1)[:, category], levels, axis=0)
    average = _average_precision(hit, rank, whole, ends).reshape(draws, levels, classes).mean(axis=1)
    there = labelled > 0
    hits, objects = found.sum(axis=1), labelled.sum(axis=1)
    columns = [
        _ratio((average * there).sum(axis=1), there.sum(axis=1)),
        _ratio(hits, np.full(draws, order.size)),
        _ratio(hits, objects),
    ]
    return np.column_stack(columns)


def _average_precision(hit: Floats, rank: Integers, labelled: Floats, ends: Integers) -> Floats:
    """Mean of the precision envelope at 101 recalls (R, classes), of boxes (R, n) surest first in their class."""
    found = running(hit, ends)
    envelope = highest_from_here(np.where(hit > 0, found / rank, 0.0), ends)
    points = np.floor(found / labelled * (POINTS - 1) + 1e-9) - np.floor((found - hit) / labelled * (POINTS - 1) + 1e-9)
    return sums(hit * envelope * (points + (found == 1)), ends) / POINTS


def _missed(chances: Chances, weights: Floats, draws: int, random: np.random.Generator) -> Floats:
    """Labelled objects that no box found (draws, classes)."""
    total = np.zeros((draws, chances.missed.shape[1]))
    for times in np.unique(weights[weights > 0]):
        rows = weights == times
        of_seen, of_unseen = (mean[rows].sum(axis=0) for mean in (chances.missed, chances.unseen))
        classes = random.poisson(of_unseen, total.shape)
        total += times * (random.poisson(of_seen, total.shape) + classes + random.poisson(chances.more * classes))
    return total


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))
