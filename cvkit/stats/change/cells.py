"""Large samples held against each other without sorting them.

The line is cut into narrow cells. Counts at the cells' ends say how far F and G are apart there, and inside a cell
they cannot move further than its values let them. Where that leaves open whether the largest difference lies inside, or
whether F and G cross, the few values of the cell are sorted. Everywhere else the integral of |F - G| is that of F - G,
for which the sum of the values is enough. So nothing is approximated: the largest difference is exact, the integral
correct to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cvkit.stats.arrays import Floats
from cvkit.stats.change.distance import Distance, Ints, between, integral, walk

CELLS = 1 << 16  # so that a cell's number takes two bytes
PROBE = 4096  # values of each sample that the place of the cells is chosen from; their choice changes only the time
TAIL = 0.002  # share of the probe beyond the cells on either side
BLOCK = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One sample in its cells."""

    values: Floats
    cells: NDArray[np.uint16]  # of each value
    counts: Ints  # values in each cell
    offsets: Floats  # sum of the values' distances from their cell's lower end, in widths


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Two samples in the same cells. Cell k is [(first + k) width, (first + k + 1) width); the outer two are open."""

    first: float
    width: float  # a power of two, so that all ends are exact
    current: Side
    reference: Side


def fill(current: Floats, reference: Floats) -> Cells | None:
    """Two samples without NaN in cells; None where their values do not spread far enough for cells to have a width."""
    probe = np.concatenate([values[:: max(1, values.size // PROBE)] for values in (current, reference)])
    probe = np.sort(probe[np.isfinite(probe)])
    cut = int(TAIL * probe.size)
    with np.errstate(over="ignore"):
        span = float(probe[-1 - cut] - probe[cut]) if probe.size else 0.0
    exponent = math.frexp(span / (CELLS - 4))[1] if span else 0
    if not 0 < span < math.inf or not -900 < exponent < 900:
        return None
    first = math.floor(math.ldexp(float(probe[cut]), -exponent)) - 1.0
    if abs(first) > 2.0**52:
        return None
    return Cells(first, math.ldexp(1.0, exponent), *(_side(v, first, -exponent) for v in (current, reference)))


def _side(values: Floats, first: float, exponent: int) -> Side:
    cells = np.empty(values.size, np.uint16)
    counts, offsets = np.zeros(CELLS, np.int64), np.zeros(CELLS)
    factor = math.ldexp(1.0, exponent)
    for start in range(0, values.size, BLOCK):
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):  # far out, where only the cell counts
            inside = values[start : start + BLOCK] * factor
            number = np.floor(inside)
            inside -= number
        number -= first
        np.clip(number, 0, CELLS - 1, out=number)
        index = number.astype(np.intp)
        cells[start : start + BLOCK] = index
        counts += np.bincount(index, minlength=CELLS)
        offsets += np.bincount(index, inside, minlength=CELLS)
    return Side(values, cells, counts, offsets)


def distance(cells: Cells) -> Distance:
    """As `distance.between` of the sorted samples, but for the squared difference."""
    now, then = cells.current, cells.reference
    n, m = now.values.size, then.values.size
    up, down = m * now.counts, n * then.counts
    ends = np.cumsum(up - down)
    starts = ends - up + down
    highest, lowest = np.minimum(starts + up, ends + down), np.maximum(starts - down, ends - up)
    if cells.width <= 1:  # then no small value has become 0, and cells with offset 0 hold one value, at their lower end
        lumps = (now.offsets == 0) & (then.offsets == 0)
        highest[lumps] = lowest[lumps] = ends[lumps]
    largest = int(np.abs(ends).max())
    unsure = (lowest < 0) & (highest > 0) | (np.maximum(highest, -lowest) > largest)
    unsure[[0, -1]] = True
    if now.counts[unsure].sum() + then.counts[unsure].sum() > (n + m) / 2:
        return between(np.sort(now.values), np.sort(then.values))
    areas = np.abs(starts + m * (now.counts - now.offsets) - n * (then.counts - then.offsets))
    inner, area = _inside(cells, unsure, starts, ends)
    area += float(areas[~unsure].sum()) * cells.width
    return Distance(max(largest, inner) / (n * m), area / (n * m), math.nan)


def _inside(cells: Cells, unsure: NDArray[np.bool_], starts: Ints, ends: Ints) -> tuple[float, float]:
    """Largest and integrated difference, times n m, over the cells that have to be looked into."""
    now, then = (taken(side, unsure) for side in (cells.current, cells.reference))
    n, m = cells.current.values.size, cells.reference.values.size
    numbers = np.flatnonzero(unsure)
    lower = (cells.first + numbers[1:]) * cells.width  # the first cell begins at -inf and the last never ends
    upper = (cells.first + numbers[:-1] + 1) * cells.width
    steps = [np.full(now.size, m), np.full(then.size, -n), starts[numbers[1:]], -ends[numbers[:-1]]]
    points, levels = walk(np.concatenate([now, then, lower, upper]), np.concatenate(steps))
    heights = np.abs(levels[:-1]).astype(np.float64)
    return float(heights.max(initial=0.0)), integral(heights, points)


def taken(side: Side, wanted: NDArray[np.bool_]) -> Floats:
    """The values in the wanted cells, ascending."""
    return np.sort(side.values[wanted[side.cells]])


def order_statistics(side: Side, ranks: NDArray[np.intp]) -> Floats:
    """The values with these numbers, from 0 on, in ascending order."""
    before = np.cumsum(side.counts) - side.counts
    homes = np.searchsorted(before, ranks, "right") - 1  # of cells that begin at one rank, the last: it has the value
    wanted = np.zeros(CELLS, np.bool_)
    wanted[homes] = True
    skipped = before - np.cumsum(np.where(wanted, side.counts, 0)) + np.where(wanted, side.counts, 0)
    found: Floats = taken(side, wanted)[ranks - skipped[homes]]
    return found


def at_most(cells: Cells, side: Side, cuts: Floats) -> Ints:
    """How many of a sample's values lie at or below each of the cuts."""
    with np.errstate(over="ignore"):
        homes = np.clip(np.floor(cuts / cells.width) - cells.first, 0, CELLS - 1).astype(np.intp)
    wanted = np.zeros(CELLS, np.bool_)
    wanted[homes] = True
    outside = np.cumsum(np.where(wanted, 0, side.counts))
    return np.asarray(outside[homes] + taken(side, wanted).searchsorted(cuts, "right"))
