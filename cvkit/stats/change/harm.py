"""Harm: how much a change of a feature would move the model's quality, if quality went with it as in the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.arrays import floats

BINS = 10
FEWEST = 20  # reference images with a value and a quality, below which nothing is told


@dataclass(frozen=True, slots=True)
class Harm:
    """What a feature's change says about quality."""

    change: float  # expected quality now less that of the reference; negative is worse
    beyond: float  # share 0..1 of current values outside the reference's range: there it says nothing
    n: int
    n_reference: int


def expected_change(current: ArrayLike, reference: ArrayLike, quality: ArrayLike, bins: int = BINS) -> Harm:
    """Change of mean quality that the change of one feature leads to expect: sum of (p - q) * quality over bins.

    Bins are quantiles of the reference's values (n,), q their shares there, p those of `current`; `quality` (n,) of
    the reference's images in any unit, larger is better. Values beyond the reference's range count in its outermost
    bins, so that the change is a lower bound of their harm: `beyond` says how many there are. NaN drop out. NaN with
    fewer than `FEWEST` usable reference images or without a current value. 0 where the feature does not change, or
    quality does not depend on it; dependence is no proof of a cause.
    """
    now, then, good = (floats(numbers).ravel() for numbers in (current, reference, quality))
    now, usable = now[~np.isnan(now)], ~(np.isnan(then) | np.isnan(good))
    then, good = then[usable], good[usable]
    if then.size < FEWEST or not now.size:
        return Harm(math.nan, math.nan, now.size, then.size)
    cuts = np.unique(np.quantile(then, np.arange(1, bins) / bins))
    place = np.searchsorted(cuts, then, side="right")
    counts = np.bincount(place, minlength=cuts.size + 1)
    sums = np.bincount(place, good, minlength=cuts.size + 1)
    means = np.divide(sums, counts, out=np.full(counts.size, good.mean()), where=counts > 0)
    shares = np.bincount(np.searchsorted(cuts, now, side="right"), minlength=cuts.size + 1) / now.size
    beyond = float(np.mean((now < then.min()) | (now > then.max())))
    return Harm(float(shares @ means - good.mean()), beyond, now.size, then.size)
