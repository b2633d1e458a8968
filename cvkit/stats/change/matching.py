"""Matching: values as they would be at an ordinary hour, so that night is compared with night."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.arrays import Floats, floats, units


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """Centre and scale of each column in each context of the reference: made by `learn`."""

    cells: Mapping[Hashable, tuple[Floats, Floats, Floats]]  # means, standard deviations and counts (d,) by context
    centre: Floats  # (d,) of all contexts together
    scale: Floats  # (d,) within contexts


def learn(values: ArrayLike, contexts: Sequence[Hashable], minimum: int = 5, *, scaled: bool = True) -> Matching:
    """Mean and standard deviation of a reference's values (n,) or (n, d) in each context (n,), such as an hour.

    A column is not learnt in contexts with fewer than `minimum` finite values of it: NaN. Where its values do not vary
    in a context, its scale there is that of all contexts together; where they vary in none, 1. Not `scaled`, every
    context has the scale of all: of hundreds of columns the scales of small contexts are mostly noise.
    """
    rows = _columns(values)
    members = _members(contexts, len(rows))
    scales = units(rows.T)
    rows = np.where(np.isfinite(rows), rows, np.nan) / scales
    known = np.full(rows.shape, np.nan)
    within, freedom = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    cells: dict[Hashable, tuple[Floats, Floats, Floats]] = {}
    for context, places in members.items():
        part = rows[places]
        part = np.where(np.count_nonzero(~np.isnan(part), axis=0) >= minimum, part, np.nan)
        known[places] = part
        counts, means = _mean(part)
        squares = np.nansum((part - means) ** 2, axis=0)
        within, freedom = within + squares, freedom + np.maximum(counts - 1, 0)
        sds = np.sqrt(np.divide(squares, counts - 1, out=np.zeros_like(means), where=counts > 1))
        cells[context] = means, sds, counts
    scale = np.sqrt(np.divide(within, freedom, out=np.zeros_like(within), where=freedom > 0)) * scales
    scale[scale == 0] = 1.0
    cells = {
        one: (means * scales, np.where((sds > 0) & scaled, sds * scales, scale), counts)
        for one, (means, sds, counts) in cells.items()
    }
    return Matching(cells, _mean(known)[1] * scales, scale)


def adjust(matching: Matching, values: ArrayLike, contexts: Sequence[Hashable], *, own: bool = False) -> Floats:
    """`values` (n,) or (n, d) moved and scaled from their context to all contexts together, in their own unit.

    (value - mean of the context) / sd of the context * sd within contexts + mean of all. NaN for a context that the
    reference does not know: there is nothing to compare such a value with. The reference's `own` values, which have
    moved the mean of their context, are held against its mean without them: else they would lie nearer to it than any
    others.
    """
    rows = _columns(values)
    adjusted = np.full(rows.shape, np.nan)
    for context, places in _members(contexts, len(rows)).items():
        if context in matching.cells:
            means, sds, counts = matching.cells[context]
            left_out = np.divide(counts, counts - 1, out=np.ones_like(counts), where=counts > 1) if own else 1.0
            adjusted[places] = (rows[places] - means) * left_out / sds * matching.scale + matching.centre
    return adjusted.reshape(np.shape(values))


def shares(counts: ArrayLike, contexts: Sequence[Hashable], prior: float = 20.0) -> dict[Hashable, Floats]:
    """What a box of each class counts in each context, so that all contexts of a reference have one mix of classes.

    Boxes an image over all contexts / boxes an image in this one, of each class; `counts` (images, classes). A
    context's rate is drawn towards that of all by `prior` images, so that a class that a context does not know does not
    count without bound. 1 where no image has the class.
    """
    table = floats(counts)
    overall = table.mean(axis=0) if len(table) else np.zeros(table.shape[1])
    found = {}
    for context, places in _members(contexts, len(table)).items():
        rates = (table[places].sum(axis=0) + prior * overall) / (len(places) + prior)
        found[context] = np.divide(overall, rates, out=np.ones_like(rates), where=rates > 0)
    return found


def weigh(shares: Mapping[Hashable, Floats], counts: ArrayLike, contexts: Sequence[Hashable]) -> Floats:
    """`counts` (images, classes) with every box counted as `shares` says; NaN rows in contexts it does not know."""
    table = floats(counts)
    weighed = np.full(table.shape, np.nan)
    for context, places in _members(contexts, len(table)).items():
        if context in shares:
            weighed[places] = table[places] * shares[context]
    return weighed


def weigh_own(counts: ArrayLike, contexts: Sequence[Hashable], chunks: ArrayLike) -> Floats:
    """The reference's own `counts` (images, classes), each chunk's weighed by the `shares` of all other chunks.

    By their own shares they would have the mix of all exactly, which no window has.
    """
    table, labels = floats(counts), np.asarray(chunks)
    weighed = np.full(table.shape, np.nan)
    for chunk in np.unique(labels):
        inside = labels == chunk
        others, here = ([one for one, i in zip(contexts, inside, strict=True) if i == side] for side in (False, True))
        weighed[inside] = weigh(shares(table[~inside], others), table[inside], here)
    return weighed


def _columns(values: ArrayLike) -> Floats:
    rows = floats(values)
    return rows[:, None] if rows.ndim == 1 else rows


def _members(contexts: Sequence[Hashable], n: int) -> dict[Hashable, list[int]]:
    if len(contexts) != n:
        raise ValueError(f"expected a context for each of {n} rows, not {len(contexts)}")
    found: dict[Hashable, list[int]] = {}
    for place, context in enumerate(contexts):
        found.setdefault(context, []).append(place)
    return found


def _mean(rows: Floats) -> tuple[Floats, Floats]:
    """How many values each column has, and their mean; NaN without any."""
    counts = np.count_nonzero(~np.isnan(rows), axis=0).astype(float)
    nothing = np.full(rows.shape[1], np.nan)
    return counts, np.divide(np.nansum(rows, axis=0), counts, out=nothing, where=counts > 0)
