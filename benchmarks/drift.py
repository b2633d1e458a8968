"""Drift: Kolmogorov-Smirnov, PSI, Wasserstein and Jensen-Shannon on large columns, against scipy and mere sorting."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np
from scipy import stats

from benchmarks import Figure, at_most, interleaved, observed, rate_ratio
from cvkit.stats import drift

ROWS, COLUMNS = 1_000_000, 30
MEASURED = 3  # columns really measured a round; the others take as long
FRESH, STORED = 2.0, 0.8  # CPU seconds


def run() -> Iterator[Figure]:
    random = np.random.default_rng(0)
    columns = [(random.normal(0.002, 1, ROWS), random.normal(size=ROWS)) for _ in range(MEASURED)]
    prepared = [(current, drift.prepare(reference)) for current, reference in columns]
    seconds = interleaved(
        {
            "fresh": lambda: [drift.compare(current, reference) for current, reference in columns],
            "stored": lambda: [drift.compare(current, reference) for current, reference in prepared],
            "sort": lambda: [(np.sort(current), np.sort(reference)) for current, reference in columns],
            "scipy": lambda: [_scipy(current, reference) for current, reference in columns],
        },
        rounds=3,
    )
    whole = {name: statistics.median(times) * COLUMNS / MEASURED for name, times in seconds.items()}
    work = f"KS + PSI + Wasserstein + Jensen-Shannon, {COLUMNS} columns of 1M + 1M rows, one thread"
    yield at_most("drift.fresh", whole["fresh"], "CPU s", FRESH, work)
    yield at_most("drift.stored", whole["stored"], "CPU s", STORED, f"{work}, reference prepared")
    yield observed("drift.sort", whole["sort"], "CPU s", "np.sort of the same columns and nothing else")
    yield observed(
        "drift.rate_scipy", rate_ratio(seconds, "fresh", "scipy"), "times as fast", "scipy: KS + Wasserstein"
    )


def _scipy(current: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    ks = stats.ks_2samp(current, reference, method="asymp")
    return float(ks.statistic), float(stats.wasserstein_distance(current, reference))
