"""Cramér-von Mises: the rank form of the distance between two ascending samples, and its p-value."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import special, stats

from cvkit.stats.chunks import Floats

EXACT_LIMIT = 20  # the p-value is exact where neither sample is larger, as in scipy
BLOCK = 1 << 15  # ranks squared at a time, so that no sum outgrows 64 bits


def distance(current: Floats, reference: Floats) -> float:
    """Cramér-von Mises T of two ascending samples, with mid-ranks for ties; NaN where a sample is empty.

    4 U = n sum_x (2 q)^2 + m sum_y (2 p)^2 + ties, q and p the rank of a value in the other sample, is summed in whole
    numbers, so that nothing cancels in T = (3 (4 U) - 2 k (4 k - 1)) / (12 k N), k = n m, N = n + m.
    """
    n, m = current.size, reference.size
    if not n or not m:
        return math.nan
    product = n * m
    four = n * (_squared_ranks(current, reference) + _tied(current))
    four += m * (_squared_ranks(reference, current) + _tied(reference))
    return (3 * four - 2 * product * (4 * product - 1)) / (12 * product * (n + m))


def p_value(statistic: float, current: Floats, reference: Floats) -> float:
    """As `scipy.stats.cramervonmises_2samp`; NaN with fewer than two values on a side."""
    n, m = current.size, reference.size
    if min(n, m) < 2:
        return math.nan
    if max(n, m) <= EXACT_LIMIT:
        return float(stats.cramervonmises_2samp(current, reference, method="exact").pvalue)
    total, product = n + m, n * m
    mean = (1 + 1 / total) / 6
    variance = (total + 1) * (4 * product * total - 3 * (n**2 + m**2) - 2 * product) / (180 * total**2 * product)
    return _tail(1 / 6 + (statistic - mean) / math.sqrt(45 * variance))


def _tail(standardized: float) -> float:
    """Tail of the limit law, whose mean is 1 / 6 and variance 1 / 45: Csörgő and Faraway's series (1.3)."""
    if standardized < 0.003:  # the series begins with exp(-1 / (8 x)): nothing lies below
        return 1.0
    below, term = 0.0, 1.0
    for k in itertools.count():
        if abs(term) < 1e-7:  # the terms fall faster than geometrically
            break
        q = (4 * k + 1) ** 2 / (16 * standardized)
        weight = math.exp(special.gammaln(k + 0.5) - special.gammaln(k + 1)) / (math.pi**1.5 * math.sqrt(standardized))
        term = weight * math.sqrt(4 * k + 1) * math.exp(-q) * float(special.kv(0.25, q))
        below += term
    return min(1.0, max(0.0, 1 - below))


def _squared_ranks(values: Floats, others: Floats) -> int:
    """Sum of (2 q)^2, exactly, q the number of `others` below a value, those equal to it counted half."""
    total = 0
    for start in range(0, values.size, BLOCK):
        part = values[start : start + BLOCK]
        low = int(others.searchsorted(part[0], "left"))
        high = int(others.searchsorted(part[-1], "right"))
        near = others[low:high]
        twice = near.searchsorted(part, "left") + near.searchsorted(part, "right") + 2 * low
        upper, lower = twice >> 20, twice & ((1 << 20) - 1)  # so that no sum of products outgrows 64 bits
        total += (int(upper @ upper) << 40) + (int(upper @ lower) << 21) + int(lower @ lower)
    return total


def _tied(values: Floats) -> int:
    """Sum of (c^3 - c) / 3 over the values that occur c times, exactly."""
    starts = np.flatnonzero(values[1:] != values[:-1]) + 1
    sizes, times = np.unique(np.diff(starts, prepend=0, append=values.size), return_counts=True)
    return sum((c**3 - c) // 3 * t for c, t in zip(sizes.tolist(), times.tolist(), strict=True))
