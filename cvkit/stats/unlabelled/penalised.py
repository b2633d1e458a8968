"""Logistic and Poisson regression with a ridge penalty, by Newton's method: small, the same result every time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cvkit.stats.arrays import Floats

STEPS = 30  # of Newton's method; it ends earlier where nothing moves any more
STILL = 1e-8  # largest move of a coefficient that is none
FARTHEST = 30.0  # linear predictors beyond it are held: their chances are 0 or 1, their rates without bound


def logistic(columns: Floats, happened: Floats, weights: Floats, penalty: float) -> Floats:
    """Coefficients (1 + d,), the intercept first, of P(happened) = 1 / (1 + exp(-(b0 + columns b))).

    Minimises -sum w log P + penalty / 2 |b|^2, b0 free. `columns` (n, d) in like units, `happened` (n,) 0 or 1,
    `weights` (n,) at least 0. An event that never or always happened has the intercept of half an event, and no slopes.
    """
    share = float(weights @ happened + 0.5) / float(weights.sum() + 1.0)
    start = np.log(share / (1 - share))
    if not columns.size or happened.min() == happened.max():
        return np.concatenate([[start], np.zeros(columns.shape[1])])
    return _newton(columns, happened, weights, penalty, start, _chance)


def poisson(columns: Floats, counts: Floats, weights: Floats, penalty: float) -> Floats:
    """Coefficients (1 + d,), the intercept first, of the mean of `counts` = exp(b0 + columns b); else as `logistic`."""
    start = np.log(float(weights @ counts + 0.5) / float(weights.sum() + 1.0))
    if not columns.size or counts.max() == 0:
        return np.concatenate([[start], np.zeros(columns.shape[1])])
    return _newton(columns, counts, weights, penalty, start, _rate)


def chance(columns: Floats, coefficients: Floats) -> Floats:
    """What `logistic` says of rows (n, d): (n,), 0..1."""
    return _chance(coefficients[0] + columns @ coefficients[1:])[0]


def rate(columns: Floats, coefficients: Floats) -> Floats:
    """What `poisson` says of rows (n, d): (n,), above 0."""
    return _rate(coefficients[0] + columns @ coefficients[1:])[0]


def _chance(linear: Floats) -> tuple[Floats, Floats]:
    mean = 1 / (1 + np.exp(-np.clip(linear, -FARTHEST, FARTHEST)))
    return mean, mean * (1 - mean)


def _rate(linear: Floats) -> tuple[Floats, Floats]:
    mean = np.exp(np.clip(linear, -FARTHEST, FARTHEST))
    return mean, mean


def _newton(
    columns: Floats,
    told: Floats,
    weights: Floats,
    penalty: float,
    start: float,
    link: Callable[[Floats], tuple[Floats, Floats]],
) -> Floats:
    """Steps to the minimum; one that raises what is minimised too far is kept short by its largest move."""
    rows = np.column_stack([np.ones(len(columns)), columns])
    ridge = np.full(rows.shape[1], penalty)
    ridge[0] = 1e-9
    found = np.zeros(rows.shape[1])
    found[0] = start
    for _ in range(STEPS):
        mean, slope = link(rows @ found)
        gradient = rows.T @ (weights * (mean - told)) + ridge * found
        step = np.linalg.solve((rows * (weights * slope)[:, None]).T @ rows + np.diag(ridge), gradient)
        largest = float(np.abs(step).max())
        found -= step / max(1.0, largest)
        if largest < STILL:
            break
    return found
