"""Alarms over time: false alarms a year in quiet streams, windows until a change is found, against peers' rules."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from benchmarks import Figure, at_most, observed
from cvkit.config import RuleSettings
from cvkit.monitoring import alarms
from cvkit.monitoring.alarms import Reading, State
from cvkit.stats.change import chunks, drift
from cvkit.stats.change.sequential import log_limit, step_factors
from cvkit.tables import Window

Floats = NDArray[np.float64]

STREAMS, WINDOWS, FRAMES, CHUNKS = 90, 365, 50, 60  # 3 sources x 30 features, a year of days, a reference of 60 days
YEARS = 1000
BUDGETS = (0.05, 1.0, 12.0)
SERIES = 100  # of the delays
QUIET = 30  # windows before the change
# Mean delay of Page's CUSUM that knows shift, mean and variance, at one false alarm a year over 90 series.
OPTIMAL = {(0.0, 0.5): 1.8, (0.5, 0.5): 4.9, (0.9, 0.5): 25.0, (0.0, 1.0): 1.0, (0.5, 1.0): 1.4, (0.9, 1.0): 7.4}
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def run() -> Iterator[Figure]:
    rng = np.random.default_rng(0)
    for budget, alarmed in zip(BUDGETS, _quiet_years(rng), strict=True):
        against = f"the budget; {YEARS} years of {WINDOWS} windows, {STREAMS} streams, {CHUNKS} reference windows"
        yield at_most(f"alarms.quiet_{budget:g}", alarmed / YEARS, "a year", budget, against)
    for likeness in (0.3, 0.6):
        alarmed = _quiet_years(rng, 100, likeness)[1] / 100
        against = f"a budget of 1; 100 years, neighbouring days alike {likeness:g}, which the reference has to tell"
        yield at_most(f"alarms.quiet_days_alike_{likeness:g}", alarmed, "a year", 1.0, against)
    yield at_most(
        "alarms.quiet_whole_way", _quiet_whole_way(rng), "a year", 12.0, "the budget; frames to alarms, 4 years"
    )
    for (likeness, shift), optimal in OPTIMAL.items():
        delays = [_delay(rng, likeness, lambda day, shift=shift: shift) for _ in range(SERIES)]
        against = f"1.5 x the optimal CUSUM's mean of {optimal}, rounded up"
        name = f"alarms.delay_{shift:g}sd_alike_{likeness:g}"
        yield at_most(name, statistics.median(delays), "windows, median", math.ceil(1.5 * optimal), against)
    ramps = [_delay(rng, 0.5, lambda day: 0.05 * day) for _ in range(SERIES)]
    yield at_most("alarms.ramp", 0.05 * statistics.median(ramps), "sd reached, median", 0.8, "a ramp of 0.05 sd a day")
    for name, rule in PEERS.items():
        yield observed(f"alarms.{name}_quiet", _peer_alarms(rng, rule), "a year", f"{STREAMS} streams, alike 0.9")
        delays = [_peer_delay(rng, rule) for _ in range(SERIES)]
        yield observed(
            f"alarms.{name}_delay_0.5sd_alike_0.5", statistics.median(delays), "windows, median", "same streams"
        )


def _quiet_years(rng: np.random.Generator, years: int = YEARS, likeness: float = 0.0) -> list[float]:
    """Alarms of each budget in quiet years. Statistics of windows are normal, each as alike to the last as said."""
    limits = np.array([log_limit(budget, STREAMS, WINDOWS) for budget in BUDGETS])
    alarmed, block = np.zeros(len(BUDGETS)), 2000
    for _ in range(0, years * STREAMS, block):
        days = lfilter([1.0], [1.0, -likeness], rng.normal(size=(block, 50 + CHUNKS + WINDOWS)), axis=1)[:, 50:]
        reference = days[:, :CHUNKS]
        between, alike, values = reference.var(axis=1, ddof=1), chunks.memory(reference), days[:, CHUNKS:]
        distances, crossed = values - reference.mean(axis=1)[:, None], np.zeros((block, len(BUDGETS)), bool)
        for seen in range(1, WINDOWS + 1):
            logs = step_factors(distances[:, :seen], np.ones(seen), between, CHUNKS, alike)
            crossed |= np.logaddexp.reduce(logs, axis=1)[:, None] >= limits
        alarmed += crossed.sum(axis=0)
    return [float(number) for number in alarmed]


def _quiet_whole_way(rng: np.random.Generator, years: int = 4) -> float:
    """Alarms a year from frames to alarms, through every step that a window takes, at a budget of 12 a year."""
    settings = RuleSettings(false_alarms_per_year=12 / STREAMS, drift_share=0.999999, drift_warning=1e-9)
    raised = 0
    for _ in range(years * STREAMS):
        sample = drift.prepare(_frames(rng, 0.9, CHUNKS), np.repeat(np.arange(CHUNKS), FRAMES))
        state: State = {}
        for day in range(WINDOWS):
            state = _entered(state, sample, _frames(rng, 0.9, 1), day, settings)
        raised += len(state["episodes"])
    return raised / years


def _delay(rng: np.random.Generator, likeness: float, shift: Callable[[int], float], most: int = 150) -> int:
    """Windows until the alarm, from frames, at one false alarm a year over 90 streams."""
    settings = RuleSettings(false_alarms_per_year=1 / STREAMS, drift_share=0.999999, drift_warning=1e-9)
    sample = drift.prepare(_frames(rng, likeness, CHUNKS), np.repeat(np.arange(CHUNKS), FRAMES))
    state: State = {}
    for day in range(QUIET + most):
        moved = shift(day - QUIET + 1) if day >= QUIET else 0.0
        state = _entered(state, sample, _frames(rng, likeness, 1) + moved, day, settings)
        if day >= QUIET and state["windows"][-1]["evidence"] >= 0:
            return day - QUIET + 1
    return most


def _entered(state: State, sample: drift.Sample, frames: Floats, day: int, settings: RuleSettings) -> State:
    assert sample.chunks is not None
    window = Window(DAY + timedelta(days=day), DAY + timedelta(days=day + 1))
    reading = Reading(chunks.signals(frames, sample.chunks), frames.size)
    key = ("cam", "feature")
    return alarms.enter({key: state} if state else {}, window, {key: reading}, settings)[key]


def _frames(rng: np.random.Generator, likeness: float, windows: int) -> Floats:
    """Windows of frames in a row, each frame as alike to the one before as `likeness` says; sd 1."""
    noise = rng.normal(size=(windows, FRAMES)) * math.sqrt(1 - likeness**2)
    noise[:, 0] /= math.sqrt(1 - likeness**2)
    return np.asarray(lfilter([1.0], [1.0, -likeness], noise, axis=1)).ravel()


# -- what peers do by default, on the same streams ------------------------------------------------------------------

Rule = Callable[[Floats, Floats, float], bool]  # frames, reference (windows, frames), highest KS of its own windows


def _usual_distance(reference: Floats) -> float:
    """Mean and three standard deviations of the distance of the reference's own windows from all of it."""
    flat = np.sort(reference.ravel())
    distances = [stats.ks_2samp(part, flat, method="asymp").statistic for part in reference]
    return float(np.mean(distances) + 3 * np.std(distances))


def _evidently(frames: Floats, reference: Floats, usual: float) -> bool:
    return bool(stats.ks_2samp(frames, reference.ravel()[:1000], method="asymp").pvalue < 0.05)


def _alibi_detect(frames: Floats, reference: Floats, usual: float) -> bool:
    return bool(stats.ks_2samp(frames, reference.ravel(), method="asymp").pvalue < 0.05 / 30)


def _nannyml(frames: Floats, reference: Floats, usual: float) -> bool:
    return bool(stats.ks_2samp(frames, reference.ravel(), method="asymp").statistic > usual)


# The rules as the packages set them by default, computed with the scipy function that all of them call.
PEERS: dict[str, Rule] = {
    "rule_of_evidently_ks_p_0.05": _evidently,
    "rule_of_alibi_detect_ks_bonferroni": _alibi_detect,
    "rule_of_nannyml_3_sd_of_chunks": _nannyml,
}


def _peer_alarms(rng: np.random.Generator, rule: Rule, streams: int = 20) -> float:
    """Alarms a year over all streams, from some of them: windows flagged after one that was not."""
    raised = 0
    for _ in range(streams):
        reference = _frames(rng, 0.9, CHUNKS).reshape(CHUNKS, FRAMES)
        usual = _usual_distance(reference)
        flags = np.array([rule(_frames(rng, 0.9, 1), reference, usual) for _ in range(WINDOWS)])
        raised += int(flags[0]) + int(np.count_nonzero(flags[1:] & ~flags[:-1]))
    return raised / streams * STREAMS


def _peer_delay(rng: np.random.Generator, rule: Rule) -> int:
    reference = _frames(rng, 0.5, CHUNKS).reshape(CHUNKS, FRAMES)
    usual = _usual_distance(reference)
    return next(day for day in count(1) if day > 150 or rule(_frames(rng, 0.5, 1) + 0.5, reference, usual))
