"""Slices: where a ratio such as recall is worse than elsewhere, of many overlapping parts, with one correction.

What is counted are events, such as boxes that were found, missed or false. A ratio is the sum of `part` over the sum
of `whole` of its events: recall has 1 of 1 for a labelled box that was found and 0 of 1 for one that was missed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from cvkit.stats.arrays import Floats, floats
from cvkit.stats.quality.operation import ratio

MINIMUM = 20  # groups inside, and outside, below which nothing is told
REPLICATES = 2000
CELLS = 1 << 22  # signs drawn at a time: 32 MB


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """A ratio inside and outside of each of S slices, (S,) each; NaN where too little is there."""

    value: Floats  # inside
    low: Floats  # interval of value
    high: Floats
    rest: Floats  # outside
    p_value: Floats  # of the inside being no worse than the outside, corrected over all slices; 0..1
    n: NDArray[np.intp]  # groups with something inside


def compare(
    part: ArrayLike,
    whole: ArrayLike,
    members: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    level: float = 0.95,
    minimum: int = MINIMUM,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Slices:
    """Ratio of sums inside each slice, its interval, and whether it is lower than outside.

    `part`, `whole` (E,) of E events, 0 <= part <= whole; `members` (S, E) booleans, which may overlap; `groups` (E,)
    names events that depend on each other, such as the boxes of an image or of a block of frames. Interval: Wilson's,
    with events worth less by how much more the groups vary than single events would (at least 1), and Student's t.
    Test: T = sum over groups of u / sqrt(sum of u^2), u = residuals of a group inside less the slice's share of all
    its residuals, residual = part - r whole, r the ratio of all events. Its null distribution flips the signs of
    groups at random, of all slices at once, and the smallest T of all still in question counts (step-down): so the
    chance of any false accusation stays at the level, and slices that overlap cost little. Value and rest as they are,
    the others NaN with fewer than `minimum` groups inside or outside. Without events all are NaN. Same seed, same
    result. Raises ValueError on shapes that do not fit and on parts that are not between 0 and whole.

    Source: J. Romano, M. Wolf, Econometrica 73 (2005) 1237-1282 (step-down); V. Chernozhukov, D. Chetverikov,
    K. Kato, Ann. Stat. 41 (2013) 2786-2819 (random signs); E. B. Wilson, JASA 22 (1927) 209-212.
    """
    inside = np.atleast_2d(np.asarray(members, dtype=bool))
    a, b, labels = _checked(part, whole, inside, groups)
    count = int(labels.max(initial=-1)) + 1
    parts, wholes = _sums(a, b, inside, labels, count)
    all_part, all_whole = (np.bincount(labels, values, minlength=count).astype(np.float64) for values in (a, b))
    value = ratio(parts.sum(axis=1), wholes.sum(axis=1))
    rest = ratio(all_part.sum() - parts.sum(axis=1), all_whole.sum() - wholes.sum(axis=1))
    n, others = (np.count_nonzero(one > 0, axis=1) for one in (wholes, all_whole - wholes))
    enough = (n >= minimum) & (others >= minimum)
    low, high = _interval(parts, wholes, n, level)
    scores = _scores(parts, wholes, all_part, all_whole)
    tested = np.flatnonzero(enough & (np.square(scores).sum(axis=1) > 0))
    p_value = np.where(enough, 1.0, np.nan)
    p_value[tested] = _step_down(scores[tested], replicates, np.random.default_rng(seed))
    known = n >= minimum
    return Slices(value, np.where(known, low, np.nan), np.where(known, high, np.nan), rest, p_value, n)


def _checked(
    part: ArrayLike, whole: ArrayLike, inside: NDArray[np.bool_], groups: ArrayLike | None
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    a, b = floats(part).ravel(), floats(whole).ravel()
    names = np.arange(a.size) if groups is None else np.asarray(groups).ravel()
    if not a.size == b.size == names.size == inside.shape[1]:
        raise ValueError(
            f"each event has its part, whole, group and members: {a.size}, {b.size}, {names.size}, {inside.shape[1]}"
        )
    if not np.all((a >= 0) & (a <= b) & np.isfinite(b)):
        raise ValueError("a part lies between 0 and its whole, and both are finite")
    return a, b, np.unique(names, return_inverse=True)[1]


def _sums(
    part: Floats, whole: Floats, inside: NDArray[np.bool_], labels: NDArray[np.intp], count: int
) -> tuple[Floats, Floats]:
    """Sums over the events of each slice and group (S, count)."""
    sums = np.zeros((2, len(inside), count))
    for number, row in enumerate(inside):
        place = np.flatnonzero(row)
        for one, values in zip(sums, (part, whole), strict=True):
            one[number] = np.bincount(labels[place], values[place], minlength=count)
    return sums[0], sums[1]


def _interval(parts: Floats, wholes: Floats, n: NDArray[np.intp], level: float) -> tuple[Floats, Floats]:
    """Wilson's interval of each slice's ratio (S,), NaN where there is nothing."""
    total = wholes.sum(axis=1)
    r = ratio(parts.sum(axis=1), total)
    varied = np.square(parts - r[:, None] * wholes).sum(axis=1) * ratio(n, n - 1)  # of the sum of parts
    worth = total / np.fmax(1.0, ratio(varied, total * r * (1 - r)))
    z = special.stdtrit(np.maximum(n - 1, 1), (1 + level) / 2)
    scale = 1 + z**2 * ratio(1, worth)
    middle = (r + z**2 * ratio(1, 2 * worth)) / scale
    half = z / scale * np.sqrt(np.maximum(0, r * (1 - r) * ratio(1, worth) + z**2 * ratio(1, 4 * worth**2)))
    return np.where(r > 0, middle - half, 0 * r), np.where(r < 1, middle + half, 1 + 0 * r)


def _scores(parts: Floats, wholes: Floats, all_part: Floats, all_whole: Floats) -> Floats:
    """What each group says of each slice being better than all (S, groups)."""
    r = ratio(all_part.sum(), all_whole.sum())
    share = ratio(wholes.sum(axis=1), all_whole.sum())
    return np.asarray(np.nan_to_num((parts - r * wholes) - share[:, None] * (all_part - r * all_whole)))


def _step_down(scores: Floats, replicates: int, random: np.random.Generator) -> Floats:
    """Corrected one-sided p-values (S,) of sums below 0."""
    if not len(scores):
        return np.empty(0)
    unit = scores / np.sqrt(np.square(scores).sum(axis=1, keepdims=True))
    observed = unit.sum(axis=1)
    order = np.argsort(observed, kind="stable")  # the worst first
    limit, lower = observed[order, None] + 1e-12, np.zeros(len(scores))
    step = max(1, CELLS // scores.shape[1])
    for low in range(0, replicates, step):
        signs = random.integers(2, size=(min(step, replicates - low), scores.shape[1])) * 2.0 - 1
        lowest = np.minimum.accumulate((unit[order] @ signs.T)[::-1], axis=0)[::-1]  # over those still in question
        lower += np.count_nonzero(lowest <= limit, axis=1)
    tails = (1 + lower) / (1 + replicates)
    p_value = np.empty(len(scores))
    p_value[order] = np.maximum.accumulate(tails)
    return p_value
