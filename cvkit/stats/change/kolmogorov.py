"""p-values of Kolmogorov and Smirnov's distance between two samples of one distribution."""

from __future__ import annotations

import math
import warnings

from scipy import special

from cvkit.stats import exact
from cvkit.stats.arrays import Floats

LARGE = 50_000  # n m / (n + m) above which the p-value's correction for n is Vrbik's: scipy's takes half a second
MOST_KNOWN = 100_000  # exact p-values that are remembered
SMALL = 40_000  # n m up to which counting the paths within takes less time than scipy
DIGITS_FROM = 1e-6  # p-values below it are scipy's, which counts the paths without: see `exact.ks_tail`

_known: dict[tuple[int, int, int], float] = {}


def exact_p_value(now: Floats, then: Floats, largest: float, floor: float = 0.0) -> float:
    """The exact p-value of two samples `largest` apart, as scipy's, or about it where it is far below `floor`.

    Remembered, as it follows from the sizes and the distance, which is one of few.
    """
    n, m = now.size, then.size
    key = n, m, round(largest * math.lcm(n, m))
    if (known := _known.get(key)) is None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        known = exact.ks_tail(*key) if n * m <= SMALL else 0.0
        if known <= DIGITS_FROM:
            if n * m <= SMALL and floor > DIGITS_FROM:
                return max(known, 0.0)  # its digits are asked for by nobody
            known = _by_scipy(now, then)
        _known[key] = known
    return known


def _by_scipy(now: Floats, then: Floats) -> float:
    from scipy.stats import ks_2samp

    with warnings.catch_warnings():  # scipy warns where rounding lifts a p-value of 1 above 1, and gives 1
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(ks_2samp(now, then, method="exact").pvalue)


def asymptotic(largest: float, size: float) -> float:
    """Tail of the one-sample statistic; J. Vrbik, Pioneer J. Theor. Appl. Stat. 15 (2018) 31-48, for large samples."""
    if size <= LARGE:
        from scipy.stats import kstwo

        return float(kstwo.sf(largest, size))
    root = math.sqrt(size)
    return float(special.kolmogorov(largest * root + 1 / (6 * root) + (largest * root - 1) / (4 * size)))
