"""Decay: how fast quality falls from window to window, and when it will have fallen by a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from cvkit.stats.arrays import floats

FEWEST = 6  # windows below which no trend is told


@dataclass(frozen=True, slots=True)
class Decay:
    """A straight line through quality over time."""

    slope: float  # change of quality a day; negative is worse
    low: float  # interval of it
    high: float
    n: int  # windows


def decay(days: ArrayLike, quality: ArrayLike, level: float = 0.95) -> Decay:
    """Change of quality a day, by least squares, with its interval.

    `days` (n,) of the windows, in any order, `quality` (n,) in any unit, larger is better. Windows one after the other
    are alike: with r the residuals' correlation with their predecessors (at least 0) the squared error counts
    (1 + r) / (1 - r) times. Student's t with n - 2 degrees of freedom. NaN drop out. NaN with fewer than `FEWEST`
    windows, and where all are of one day.

    >>> fit = decay(range(10), [0.9, 0.89, 0.88, 0.87, 0.86, 0.85, 0.84, 0.83, 0.82, 0.81])
    >>> round(fit.slope, 3)
    -0.01
    """
    when, good = floats(days).ravel(), floats(quality).ravel()
    known = np.isfinite(when) & np.isfinite(good)
    order = np.argsort(when[known], kind="stable")
    when, good = when[known][order], good[known][order]
    good = good - good[:1]  # a constant is one, whatever is rounded
    if when.size < FEWEST or when[0] == when[-1]:
        return Decay(math.nan, math.nan, math.nan, when.size)
    centred = when - when.mean()
    squares = float(centred @ centred)
    slope = float(centred @ good) / squares
    residual = good - good.mean() - slope * centred
    sum_of_squares = float(residual @ residual)
    alike = float(residual[1:] @ residual[:-1]) / sum_of_squares if sum_of_squares else 0.0
    worth = (1 + max(alike, 0.0)) / (1 - max(alike, 0.0))
    error = math.sqrt(sum_of_squares / (when.size - 2) / squares * worth)
    half = float(special.stdtrit(when.size - 2, (1 + level) / 2)) * error
    return Decay(slope, slope - half, slope + half, when.size)


def days_until(fit: Decay, margin: float) -> tuple[float, float, float]:
    """Days in which quality falls by `margin` (above 0): (expected, soonest, latest), as the interval of its slope has.

    NaN where the interval does not show that it falls. Raises ValueError on a margin that is not above 0.

    >>> days_until(Decay(-0.01, -0.02, -0.005, 9), margin=0.02)
    (2.0, 1.0, 4.0)
    """
    if not margin > 0:
        raise ValueError(f"a margin is above 0, not {margin}")
    if not fit.high < 0:
        return math.nan, math.nan, math.nan
    return margin / -fit.slope, margin / -fit.low, margin / -fit.high
