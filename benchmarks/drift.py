"""Drift statistics of large columns and of many columns at once: seconds and memory, against scipy and mere sorting."""

from __future__ import annotations

import statistics
import tracemalloc
from collections.abc import Iterator

import numpy as np
from scipy import stats

from benchmarks import Figure, at_most, interleaved, observed, rate_ratio
from cvkit.stats.change import drift, multivariate

ROWS, COLUMNS = 1_000_000, 30
MEASURED = 3  # columns really measured a round; the others take as long
FRESH, STORED = 2.0, 0.8  # CPU seconds
MEMORY = 2.0  # times the input, the input counted
EMBEDDINGS = (2000, 512)  # rows of each sample, columns
MMD = 0.4  # CPU seconds, with 100 permutations


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

    yield at_most("drift.memory", _memory(*columns[0]), "times the input", MEMORY, "peak while one column is compared")
    yield from _rows(random)


def _rows(random: np.random.Generator) -> Iterator[Figure]:
    current, reference = (random.normal(size=EMBEDDINGS) for _ in range(2))
    seconds = interleaved(
        {name: lambda test=test: test(current, reference) for name, test in multivariate.ROWS.items()}, rounds=3
    )
    work = "2,000 + 2,000 rows of 512 columns, 100 permutations, one thread"
    yield at_most("drift.mmd", statistics.median(seconds["mmd"]), "CPU s", MMD, work)
    yield observed("drift.classifier", statistics.median(seconds["classifier"]), "CPU s", work)


def _memory(current: np.ndarray, reference: np.ndarray) -> float:
    tracemalloc.start()
    drift.compare(current, reference)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return 1 + peak / (current.nbytes + reference.nbytes)


def _scipy(current: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    ks = stats.ks_2samp(current, reference, method="asymp")
    return float(ks.statistic), float(stats.wasserstein_distance(current, reference))
