"""Arrays as they come in: one place where it is decided what a number is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

EXTREME = 2.0**300  # sizes beyond it, or below its inverse, are brought to 1 before they are squared


def floats(values: ArrayLike) -> Floats:
    """`values` as numbers of double precision: real numbers, integers, yes or no; what a mask hides is NaN.

    Raises ValueError on complex numbers, which have no order, and on what is no number.
    """
    found = np.asanyarray(values)
    if np.iscomplexobj(found) or found.dtype.kind in "mMSU":
        raise ValueError(f"real numbers are needed, not {found.dtype}")
    if isinstance(found, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(found.astype(np.float64), np.nan))
    return np.asarray(found, dtype=np.float64)


def names(groups: ArrayLike, rows: int) -> NDArray[Any]:
    """`groups` (rows,) as they are. Raises ValueError where a row has none: too few or too many, None, NaN, NaT
    or masked.
    """
    found = np.asarray(groups).ravel()
    if found.size != rows:
        raise ValueError(f"each row needs its group: {rows} rows, {found.size} groups")
    missing = np.count_nonzero(found != found)
    missing += np.count_nonzero(groups.mask) if isinstance(groups, np.ma.MaskedArray) else 0
    missing += sum(one is None for one in found) if found.dtype == object else 0
    if missing:
        raise ValueError(f"each row needs its group: {missing} of {rows} have none")
    return found


def unit(values: Floats) -> float:
    """The power of two in which `values` are to be squared: 1 but where the largest is beyond `EXTREME` either way.

    Squares of larger numbers are infinite, of smaller ones 0, and neither can be compared. NaN and infinities do not
    count; 1 where nothing else is left, or all is 0.
    """
    if not values.size:
        return 1.0
    low, high = float(np.min(values)), float(np.max(values))
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = values[np.isfinite(values)]
        return unit(finite)
    return float(_power(np.array(max(-low, high))))


def units(rows: Floats) -> Floats:
    """As `unit`, of each row (n, d) by itself: (n,)."""
    return _power(np.abs(np.where(np.isfinite(rows), rows, 0.0)).max(axis=1, initial=0.0))


def _power(largest: Floats) -> Floats:
    far = (largest > EXTREME) | (largest < 1 / EXTREME) & (largest > 0)
    power = np.floor(np.log2(largest, out=np.zeros(largest.shape), where=far))
    return np.asarray(2.0 ** np.clip(power, -1000, 1000))
