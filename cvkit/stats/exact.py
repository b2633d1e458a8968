"""Exact chances of counts and ranks, from scipy's special functions.

`scipy.stats` has them too; importing it takes half a second and each call up to a millisecond, which would be most of
what a small window costs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from cvkit.stats.arrays import Floats


def ks_tail(n: int, m: int, steps: int) -> float:
    """Chance that samples of n and m values of one distribution lie at least steps / lcm(n, m) apart.

    Kolmogorov and Smirnov's distance, without ties; n, m >= 1. A share of all lattice paths from (0, 0) to (n, m): 1
    less those within the band |i / n - j / m| < steps / lcm(n, m), so that of small chances no digits are left: below
    1e-6 they are wrong by up to a millionth of themselves. O(n m).

    Source: J. L. Hodges, Ark. Mat. 3 (1958) 469-486.

    >>> [round(ks_tail(3, 3, steps), 3) for steps in (1, 2, 3)]
    [1.0, 0.6, 0.1]
    """
    n, m = min(n, m), max(n, m)
    across, along = math.lcm(n, m) // n, math.lcm(n, m) // m
    inside = np.zeros(m + 1)  # paths to (i, j), over all paths to (i, m)
    inside[: (steps - 1) // along + 1] = 1.0
    low = 0
    for i in range(1, n + 1):
        before, low = low, max(0, (i * across - steps) // along + 1)
        inside[before:low] = 0.0
        band = inside[low : (i * across + steps - 1) // along + 1]
        band *= i / (i + m)
        np.cumsum(band, out=band)
    return 1.0 - float(inside[m])


def at_least(held: int, images: int, holding: int, drawn: int) -> float:
    """Chance that of `drawn` images out of `images`, of which `holding` are of a kind, `held` or more are (Fisher).

    The upper tail of the hypergeometric distribution, as `scipy.stats.hypergeom.sf(held - 1, ...)`.

    >>> round(at_least(2, 4, 2, 2), 3)
    0.167
    """
    if held <= max(drawn + holding - images, 0):
        return 1.0
    counts = np.arange(held, min(holding, drawn) + 1)
    log = _log_choose(holding, counts) + _log_choose(images - holding, drawn - counts) - _log_choose(images, drawn)
    return min(1.0, float(np.exp(log).sum()))


def binomial(n: int, counts: ArrayLike, chance: ArrayLike) -> Floats:
    """Chance of exactly `counts` of n, each with `chance`: arrays of one shape; as `scipy.stats.binom.pmf`."""
    k, p = np.asarray(counts), np.asarray(chance)
    return np.asarray(np.exp(_log_choose(n, k) + special.xlogy(k, p) + special.xlog1py(n - k, -p)))


def _log_choose(n: ArrayLike, k: ArrayLike) -> Floats:
    n, k = np.asarray(n), np.asarray(k)
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))
