"""Cramér-von Mises: the distance between two ascending samples, and its p-value."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import special

from cvkit.stats.arrays import Floats

EXACT_LIMIT = 20  # the p-value is exact where neither sample is larger, as in scipy


def distance(current: Floats, reference: Floats) -> float:
    """Cramér-von Mises T of two ascending samples; NaN where a sample is empty.

    n m / (n + m)^2 times the sum of (F - G)^2 over all values of both, each as often as it occurs. Ties so count as
    what they are: scipy's form by mid-ranks, which is the same without ties, is far from 0 for equal constants.
    """
    n, m = current.size, reference.size
    if not n or not m:
        return math.nan
    total = 0.0
    for values in (current, reference):
        apart = current.searchsorted(values, "right") / n - reference.searchsorted(values, "right") / m
        total += float(apart @ apart)
    return n * m / (n + m) ** 2 * total


def p_value(statistic: float, current: Floats, reference: Floats) -> float:
    """As `scipy.stats.cramervonmises_2samp`; with ties asymptotic; NaN with fewer than two values on a side."""
    n, m = current.size, reference.size
    if min(n, m) < 2:
        return math.nan
    if max(n, m) <= EXACT_LIMIT and not _tied(current, reference):
        from scipy.stats import cramervonmises_2samp

        return float(cramervonmises_2samp(current, reference, method="exact").pvalue)
    total, product = n + m, n * m
    mean = (1 + 1 / total) / 6
    variance = (total + 1) * (4 * product * total - 3 * (n**2 + m**2) - 2 * product) / (180 * total**2 * product)
    return _tail(1 / 6 + (statistic - mean) / math.sqrt(45 * variance))


def _tied(current: Floats, reference: Floats) -> bool:
    both = np.sort(np.concatenate([current, reference]))
    return bool((both[1:] == both[:-1]).any())


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
