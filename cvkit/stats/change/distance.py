"""How far two distribution functions lie apart: F of the current sample, G of the reference, both ascending.

Differences are counted in whole numbers, n m (F - G), so that equal functions differ by exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cvkit.stats.arrays import Floats

Ints = NDArray[np.int64]

BLOCK = 1 << 16  # values of a sample merged at a time: what fits the processor's cache


@dataclass(frozen=True, slots=True)
class Distance:
    """Largest and integrated differences of two distribution functions; NaN where a sample is empty."""

    largest: float  # sup |F - G|, 0..1
    area: float  # integral of |F - G|, in the values' unit
    squared: float  # integral of (F - G)^2, in the values' unit; NaN where it was not asked for


def between(current: Floats, reference: Floats) -> Distance:
    """Of two ascending samples without NaN, which may hold infinities. O(n + m), in blocks."""
    if not current.size or not reference.size:
        return Distance(math.nan, math.nan, math.nan)
    scale = current.size * reference.size
    largest, area, squared = 0.0, 0.0, 0.0
    for points, levels in _blocks(current, reference):
        heights = np.abs(levels).astype(np.float64)
        largest = max(largest, float(heights.max(initial=0.0)))
        area += integral(heights, points)
        heights /= scale
        squared += integral(heights * heights, points)
    return Distance(largest / scale, area / scale, squared)


def walk(values: Floats, weights: Ints, level: int = 0) -> tuple[Floats, Ints]:
    """Distinct values, ascending, and the sum of all weights up to each of them, from `level` on."""
    order = np.argsort(values, kind="stable")  # a few ascending runs: one merge
    values, levels = values[order], np.cumsum(weights[order])
    levels += level
    last = values[1:] != values[:-1]  # within a tie, one function has stepped and the other has not yet
    if last.all():
        return values, levels
    last = np.append(last, True)
    return values[last], levels[last]


def integral(heights: Floats, points: Floats) -> float:
    """Of a step function with `heights[i]` from `points[i]` on; where it is 0 it adds nothing, however wide the gap."""
    if points.size < 2:
        return 0.0
    if np.isfinite(points[0]) and np.isfinite(points[-1]):
        return float(heights @ np.diff(points))
    apart = heights > 0
    return float(heights[apart] @ np.diff(points)[apart])


def _blocks(current: Floats, reference: Floats) -> Iterator[tuple[Floats, Ints]]:
    """Points where F or G steps, with the value of n m (F - G) from each on to the next."""
    n, m = current.size, reference.size
    cuts = np.unique(np.concatenate([current[BLOCK::BLOCK], reference[BLOCK::BLOCK]]))
    ends = zip(
        current.searchsorted(cuts, "right").tolist(), reference.searchsorted(cuts, "right").tolist(), strict=True
    )
    i = j = 0
    for end, other in [*ends, (n, m)]:
        now, then = current[i:end], reference[j:other]
        if not now.size and not then.size:
            continue
        weights = np.repeat(np.array([m, -n]), [now.size, then.size])
        points, levels = walk(np.concatenate([now, then]), weights, m * i - n * j)
        i, j = end, other
        following = min([*current[i : i + 1], *reference[j : j + 1]], default=None)
        yield (points, levels[:-1]) if following is None else (np.append(points, following), levels)
