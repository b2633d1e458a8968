"""The past under other settings is what measuring it anew under them gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from cvkit.config import RuleSettings
from cvkit.monitoring import alarms
from cvkit.monitoring.alarms import Key, Reading, State
from cvkit.monitoring.replay import Replay
from cvkit.stats.change import drift
from cvkit.stats.change.chunks import signals
from cvkit.tables import Window

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
USUAL = RuleSettings(drift_critical=9)
SETTINGS = [USUAL.model_copy(update={"false_alarms_per_year": budget, "drift_warning": size})
            for budget in (0.01, 52.0, 3000.0) for size in (0.1, 0.8)]  # fmt: skip


def measured(settings: RuleSettings) -> dict[Key, State]:
    """Two cameras, one that changes twice and recovers, and a stream that is judged window by window."""
    rng = np.random.default_rng(3)
    learnt = drift.prepare(rng.normal(size=400), np.repeat(np.arange(20), 20)).chunks
    assert learnt is not None
    states: dict[Key, State] = {}
    for day in range(48):
        moved = 1.3 * (8 <= day < 16 or 28 <= day < 36)
        told = {("cam-1", "noise"): Reading(signals(rng.normal(size=20) + moved, learnt), 20),
                ("cam-2", "noise"): Reading(signals(rng.normal(size=20) + 0.7 * (day >= 40), learnt), 20)}  # fmt: skip
        if day >= 5:
            p_value = 1e-7 if day in (20, 21, 41) else float(rng.uniform())
            told["cam-2", "class_mix"] = Reading((), 20, p_value=p_value, effect=0.5)
        states = alarms.enter(states, Window(START + day * DAY, START + (day + 1) * DAY), told, settings)
    return states


@pytest.fixture(scope="module")
def past() -> dict[Key, State]:
    return measured(USUAL)


def test_a_replay_is_what_measuring_anew_gives(past: dict[Key, State]) -> None:
    replay, ended = Replay(past, DAY), 0
    anew = [{key: state["episodes"] for key, state in measured(settings).items()} for settings in SETTINGS]
    pairs = list(zip(SETTINGS, anew, strict=True))
    for settings, expected in [*pairs, *reversed(pairs)]:  # whatever was asked before
        replayed = replay.run(settings)
        assert {key: one["episodes"] for key, one in replayed.items()} == expected
        ended += sum(episode["ended"] is not None for one in replayed.values() for episode in one["episodes"])
    assert ended > 20


def test_steps_tell_how_far_they_are_and_come_to_the_same(past: dict[Key, State]) -> None:
    replay, found = Replay(past, DAY), []

    def run() -> Iterator[float]:
        found.append((yield from replay.steps(SETTINGS[-1])))

    shares = list(run())
    assert found == [Replay(past, DAY).run(SETTINGS[-1])]
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    assert list(run()) == []  # what was worked out once takes no step
