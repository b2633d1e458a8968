"""Many tests at once: p-values corrected so that the chance of any false alarm stays what was asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cvkit.stats import exact
from cvkit.stats.arrays import floats


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values adjusted by Holm's step-down method: rejecting those at most alpha makes any false rejection at most
    alpha likely, however the tests depend on each other.

    adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)), with p_(1) <= ... <= p_(m). Shape as given; each at
    least its p-value, at most 1; ties get equal values. NaN stays NaN and does not count in m; empty gives empty.
    Raises ValueError on values outside 0..1.

    Source: S. Holm, Scand. J. Stat. 6 (1979) 65-70.

    >>> holm([0.01, float("nan"), 0.04, 0.03]).tolist()
    [0.03, nan, 0.06, 0.06]
    """  # fmt: skip
    p = floats(p_values)
    known = ~np.isnan(p)
    tested = p[known]
    if np.any((tested < 0) | (tested > 1)):
        raise ValueError(f"p-values lie between 0 and 1, not {tested.min()} to {tested.max()}")
    order = np.argsort(tested, kind="stable")
    stepped = np.minimum(1.0, np.maximum.accumulate(tested[order] * np.arange(tested.size, 0, -1)))
    adjusted = np.full(p.shape, np.nan)
    values = np.empty_like(tested)
    values[order] = stepped
    adjusted[known] = values
    return adjusted


def flags_p_value(flagged: int, tests: int, level: float) -> float:
    """Probability that Benjamini and Hochberg flag `flagged` or more of `tests` at `level` where nothing is the matter.

    Exact for independent p-values, even on 0..1: the sum over j >= `flagged` of P(j flags) = C(n, j) (q j / n)^j
    (1 - q) (1 - q j / n)^(n - j - 1), n tests, q the level below 1. 1 without flags, the level for one or more.

    Source: H. Finner, M. Roters, Ann. Stat. 30 (2002) 220-238.

    >>> round(flags_p_value(4, 24, 0.1), 4)
    0.0007
    """
    if not flagged:
        return 1.0
    flags = np.arange(flagged, tests + 1)
    shares = level * flags / tests
    return float(np.sum(exact.binomial(tests, flags, shares) * (1 - level) / (1 - shares)))


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values adjusted by Benjamini and Hochberg's step-up method: of those at most alpha, a share of at most alpha is
    false on average, where the p-values are independent or positively dependent (conformal ones of one sample are).

    adjusted_(i) = min over j >= i of min(1, m p_(j) / j). Shape, ties, NaN and errors as `holm`.

    Source: Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57 (1995) 289-300.

    >>> benjamini_hochberg([0.01, float("nan"), 0.04, 0.03]).tolist()
    [0.03, nan, 0.04, 0.04]
    """  # fmt: skip
    p = floats(p_values)
    known = ~np.isnan(p)
    tested = p[known]
    if np.any((tested < 0) | (tested > 1)):
        raise ValueError(f"p-values lie between 0 and 1, not {tested.min()} to {tested.max()}")
    order = np.argsort(tested, kind="stable")
    stepped = np.minimum.accumulate((tested[order] * tested.size / np.arange(1, tested.size + 1))[::-1])[::-1]
    adjusted = np.full(p.shape, np.nan)
    values = np.empty_like(tested)
    values[order] = np.minimum(1.0, stepped)
    adjusted[known] = values
    return adjusted
