"""Matching: values as they would be at an ordinary hour, so that night is compared with night."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.chunks import Floats


@dataclass(frozen=True, slots=True)
class Matching:
    """Centre and scale of a feature in each context of the reference: made by `learn`."""

    cells: Mapping[Hashable, tuple[float, float]]  # mean and standard deviation by context
    centre: float  # of all contexts together
    scale: float  # within contexts


def learn(values: ArrayLike, contexts: Sequence[Hashable], minimum: int = 5) -> Matching:
    """Mean and standard deviation of a reference's values in each context (n,), such as an hour of the day.

    Contexts with fewer than `minimum` finite values are not learnt. Where the values of a context do not vary, its
    scale is that of all contexts together; where those of none do, 1.
    """
    numbers = np.asarray(values, dtype=np.float64).ravel()
    groups: dict[Hashable, list[float]] = {}
    for value, context in zip(numbers, contexts, strict=True):
        if np.isfinite(value):
            groups.setdefault(context, []).append(float(value))
    known = {context: np.array(group) for context, group in groups.items() if len(group) >= minimum}
    freedom = sum(group.size - 1 for group in known.values())
    within = sum(float(np.sum((group - group.mean()) ** 2)) for group in known.values())
    scale = float(np.sqrt(within / freedom)) if freedom and within > 0 else 1.0
    everything = np.concatenate(list(known.values())) if known else np.empty(0)
    cells = {one: (float(group.mean()), float(group.std(ddof=1)) or scale) for one, group in known.items()}
    return Matching(cells, float(everything.mean()) if everything.size else float("nan"), scale)


def adjust(matching: Matching, values: ArrayLike, contexts: Sequence[Hashable]) -> Floats:
    """`values` (n,) moved and scaled from their context to all contexts together, in their own unit.

    (value - mean of the context) / sd of the context * sd within contexts + mean of all. NaN for a context that the
    reference does not know: there is nothing to compare such a value with.
    """
    numbers = np.asarray(values, dtype=np.float64).ravel()
    nothing = (float("nan"), 1.0)
    means, sds = np.array([matching.cells.get(context, nothing) for context in contexts]).reshape(-1, 2).T
    return np.asarray((numbers - means) / sds * matching.scale + matching.centre)
