"""Rows of numbers in segments: sums and running sums of each, many rows at a time.

Segment s of (R, n) values is `values[:, ends[s]:ends[s + 1]]`; segments may be empty.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cvkit.stats.arrays import Floats

Integers = NDArray[np.int64]


def filled(ends: Integers) -> Iterator[tuple[int, int]]:
    """First and last of each segment that is not empty."""
    return ((low, high) for low, high in itertools.pairwise(ends.tolist()) if high > low)


def running(values: Floats, ends: Integers) -> Floats:
    """Running sums (R, n), from the start of each segment.

    >>> running(np.array([[1.0, 2, 3, 4]]), np.array([0, 2, 2, 4])).tolist()
    [[1.0, 3.0, 3.0, 7.0]]
    """
    sums = np.empty_like(values)
    for low, high in filled(ends):
        np.add.accumulate(values[:, low:high], axis=1, out=sums[:, low:high])
    return sums


def running_from_zero(values: Floats, ends: Integers) -> Floats:
    """`running` after a zero, (R, 1 + n)."""
    sums = np.zeros((len(values), values.shape[1] + 1))
    for low, high in filled(ends):
        np.add.accumulate(values[:, low:high], axis=1, out=sums[:, low + 1 : high + 1])
    return sums


def highest_from_here(values: Floats, ends: Integers) -> Floats:
    """The largest value from each place to the end of its segment (R, n), in place.

    >>> highest_from_here(np.array([[1.0, 3, 2, 0, 4]]), np.array([0, 3, 5])).tolist()
    [[3.0, 3.0, 2.0, 4.0, 4.0]]
    """
    for low, high in filled(ends):
        backwards = values[:, low:high][:, ::-1]
        np.maximum.accumulate(backwards, axis=1, out=backwards)
    return values


def sums(values: Floats, ends: Integers) -> Floats:
    """Sums (R, segments); 0 of an empty one.

    >>> sums(np.array([[1.0, 2, 3]]), np.array([0, 2, 2, 3])).tolist()
    [[3.0, 0.0, 3.0]]
    """
    totals = np.zeros((len(values), ends.size - 1))
    some = np.flatnonzero(np.diff(ends))
    if some.size:
        totals[:, some] = np.add.reduceat(values, ends[some], axis=1)
    return totals
