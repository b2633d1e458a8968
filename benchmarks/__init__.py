"""Benchmarks: how fast cvkit is against a peer or a limit, measured side by side in one run.

`uv run python -m benchmarks [NAME ...]` runs them; a module here with `run() -> Iterator[Figure]` is one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number; `holds` is None where there is nothing to hold it against."""

    figure: str
    value: float | None
    unit: str
    target: str
    holds: bool | None
    against: str


def at_least(figure: str, value: float, unit: str, target: float, against: str) -> Figure:
    return Figure(figure, _rounded(value), unit, f">= {target:g}", value >= target, against)


def at_most(figure: str, value: float, unit: str, target: float, against: str) -> Figure:
    return Figure(figure, _rounded(value), unit, f"<= {target:g}", value <= target, against)


def observed(figure: str, value: float, unit: str, against: str) -> Figure:
    return Figure(figure, _rounded(value), unit, "", None, against)


def not_measured(figure: str, unit: str, target: str, against: str) -> Figure:
    """What could not be measured: a peer that is not installed is not a peer that was beaten."""
    return Figure(figure, None, unit, target, None, f"{against}: not measured")


def peak_mib() -> float:
    """The most memory this process has had. Not `ru_maxrss`, which a child takes over from who started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def interleaved(works: dict[str, Callable[[], object]], rounds: int = 15) -> dict[str, list[float]]:
    """CPU seconds of each work in each of `rounds`, taking turns, so that a busy moment of the machine hits all.

    One unmeasured round comes first. CPU seconds are those of all threads of this process.
    """
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time()
            work()
            seconds[name].append(time.process_time() - start)
    return seconds


def rate_ratio(seconds: dict[str, list[float]], ours: str, theirs: str) -> float:
    """How many times as fast `ours` is as `theirs`: the median of the rounds' ratios."""
    return statistics.median(b / a for a, b in zip(seconds[ours], seconds[theirs], strict=True))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
