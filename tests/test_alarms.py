"""Alarms: raised once, ended when healthy, the same whatever the order in which windows arrive; plain JSON."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from stored_streams import store, through

from cvkit.config import RuleSettings
from cvkit.monitoring import alarms
from cvkit.monitoring.alarms import Key, Reading, State
from cvkit.monitoring.replay import Replay
from cvkit.stats.change import class_mix, drift
from cvkit.stats.change.chunks import signals
from cvkit.tables import Window

SETTINGS = RuleSettings()
RNG = np.random.default_rng
KEY = ("cam", "brightness")


def day(number: int) -> Window:
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
    return Window(start, start + timedelta(days=1))


def sample(chunks: int = 30, seed: int = 0) -> drift.Sample:
    rng = RNG([seed, 99])
    values = rng.normal(size=(chunks, 30)) + rng.normal(0, 0.2, size=(chunks, 1))
    return drift.prepare(values.ravel(), np.repeat(np.arange(chunks), 30))


def reading(learnt: drift.Sample, number: int, shift: float = 0.0, n: int = 30, widen: float = 1.0) -> Reading:
    rng = RNG([7, number])
    values = widen * rng.normal(size=n) + rng.normal(0, 0.2) + shift
    assert learnt.chunks is not None
    return Reading(signals(values, learnt.chunks), n)


def play(readings: dict[int, Reading], settings: RuleSettings = SETTINGS) -> dict[Key, State]:
    states: dict[Key, State] = {}
    with store() as connection:
        for number, one in readings.items():
            states = alarms.enter(states, day(number), {KEY: one}, settings)
            states = through(connection, states, day(number).start)  # as the history gives it back
    return states


def shifted(learnt: drift.Sample, start: int = 20, end: int = 30, windows: int = 45) -> dict[int, Reading]:
    return {i: reading(learnt, i, 1.5 if start <= i < end else 0.0) for i in range(windows)}


def test_an_alarm_is_raised_once_and_ends_when_the_stream_is_healthy_again() -> None:
    state = play(shifted(sample()))[KEY]
    (episode,) = state["episodes"]
    assert episode["raised"] in [day(i).start.isoformat() for i in (20, 21)]
    assert episode["onset"] == day(20).start.isoformat()
    assert episode["healthy"] in [day(i).start.isoformat() for i in (30, 31)]
    active = [(told := alarms.at(state, day(i).start)) is not None and told.active for i in range(45)]
    assert not any(active[:20])
    assert all(active[21:30])
    assert not any(active[34:])


def test_the_order_of_arrival_and_repeats_change_nothing() -> None:
    readings = shifted(sample())
    straight = play(readings)
    order = [int(i) for i in RNG(3).permutation(45)]
    assert play({i: readings[i] for i in order}) == straight
    again = alarms.enter(straight, day(10), {KEY: readings[10]}, SETTINGS)
    assert again == straight


def test_a_rerun_with_other_images_takes_back_what_followed_from_them() -> None:
    learnt = sample()
    states = play(shifted(learnt))
    for number in range(20, 30):
        states = alarms.enter(states, day(number), {KEY: reading(learnt, number)}, SETTINGS)
    assert states[KEY]["episodes"] == []
    assert states == play({i: reading(learnt, i) for i in range(45)})


def test_windows_that_fell_out_are_unknown_and_nothing_else_changes() -> None:
    learnt = sample()
    states = play({i: reading(learnt, i) for i in range(10)})
    few = alarms.enter(states, day(10), {KEY: reading(learnt, 10, n=5)}, SETTINGS)
    assert few == states
    assert alarms.at(few[KEY], day(10).start) is None
    emptied = alarms.enter(states, day(9), {}, SETTINGS)  # measured again, and its images are gone
    assert len(emptied[KEY]["windows"]) == 9


def test_a_real_but_small_change_raises_no_alarm() -> None:
    learnt = sample(200)
    state = play({i: reading(learnt, i, 0.15 if i >= 20 else 0.0, n=400) for i in range(120)})[KEY]
    assert max(entry["evidence"] for entry in state["windows"]) > 0
    assert state["episodes"] == []


def test_a_change_of_spread_alone_is_found() -> None:
    learnt = sample(60)
    state = play({i: reading(learnt, i, widen=2.0 if i >= 10 else 1.0) for i in range(25)})[KEY]
    assert len(state["episodes"]) == 1
    assert state["windows"][-1]["effect"] > 0.3


def test_a_new_class_is_found_at_once_and_ends_when_it_is_gone() -> None:
    rng = RNG(0)
    before = np.column_stack([rng.multinomial(3, [0.6, 0.4], size=600), np.zeros(600)])
    learnt = class_mix.prepare_classes(before, np.repeat(np.arange(20), 30))
    states: dict[Key, State] = {}
    for number in range(12):
        now = np.column_stack([rng.multinomial(3, [0.6, 0.4], size=30), np.full(30, float(5 <= number < 8))])
        told = class_mix.chi_square(now, learnt)
        one = Reading(class_mix.share_signals(now, learnt), 30, alarms.SHARES, told.p_value, told.effect)
        states = alarms.enter(states, day(number), {("cam", "class_mix"): one}, SETTINGS)
    (episode,) = states["cam", "class_mix"]["episodes"]
    assert episode["raised"] == day(5).start.isoformat()
    assert episode["ended"] is not None


def test_quiet_streams_stay_quiet() -> None:
    raised = 0
    for seed in range(60):
        learnt = sample(10, seed)
        state = play({i: reading(learnt, 1000 * seed + i) for i in range(40)}, RuleSettings(drift_warning=1e-9))[KEY]
        raised += len(state["episodes"])
    assert raised <= 12  # 60 streams x 40 windows at one alarm a year each: 6 expected at most


@pytest.mark.parametrize("values", [np.full(30, 3.0), np.full(30, np.inf), np.array([0, 1] * 15), np.full(30, np.nan)])
def test_odd_values_never_break_it(values: np.ndarray) -> None:
    for reference in (np.full(90, 3.0), np.tile([0.0, 1.0], 45), RNG(0).normal(size=90)):
        learnt = drift.prepare(reference, np.repeat([0, 1, 2], 30)).chunks
        assert learnt is not None
        found = signals(values, learnt)
        n = int(np.count_nonzero(~np.isnan(values)))
        states: dict[Key, State] = {}
        for number in range(3):
            states = alarms.enter(states, day(number), {KEY: Reading(found, n)}, SETTINGS)
        told = [one["evidence"] for state in states.values() for one in state["windows"]]
        assert all(math.isfinite(one) for one in told)
        with store() as connection:
            assert through(connection, states) == states


def test_only_the_newest_windows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "MOST_WINDOWS", 12)
    learnt = sample()
    states = play({i: reading(learnt, i, 3.0 * (i < 25)) for i in range(30)})
    assert len(states[KEY]["windows"]) == 12
    assert alarms.enter(states, day(3), {KEY: reading(learnt, 3)}, SETTINGS) == states  # measured again, and too late
    assert alarms.kept_since(states) == day(18).start


def test_a_stream_that_comes_later_changes_nothing_of_before() -> None:
    """The budget is shared by the streams seen so far; a window measured again is judged as it was."""
    early = [("cam", "feature"), ("new", "feature")]
    sample = drift.prepare(np.random.default_rng(0).normal(size=300), np.repeat(np.arange(15), 20))
    told = np.random.default_rng(1).normal(0.9, 1, (6, 20))

    def reading(number: int) -> Reading:
        assert sample.chunks is not None
        return Reading(signals(told[number], sample.chunks), 20)

    def days(number: int) -> Window:
        return Window.day(f"2026-10-{number + 1:02d}")

    states: dict[alarms.Key, alarms.State] = {}
    for number in range(6):
        keys = early[:1] if number < 4 else early
        states = alarms.enter(states, days(number), dict.fromkeys(keys, reading(number)), RuleSettings())
    again = alarms.enter(states, days(0), {early[0]: reading(0)}, RuleSettings())
    assert again == states
    replayed = Replay(states, days(0).end - days(0).start).run(RuleSettings())
    assert replayed == {key: {"episodes": state["episodes"]} for key, state in states.items()}


def test_a_constant_that_changed_is_kept_as_a_number() -> None:
    """A reference without times judges a window by itself, and the effect on what never varied is infinite."""
    reading = Reading((), 30, p_value=1e-9, effect=math.inf)
    (state,) = alarms.enter({}, Window.day("2026-10-01"), {("cam", "noise"): reading}, RuleSettings()).values()
    assert all(math.isfinite(one["effect"]) for one in state["windows"])
    told = alarms.at(state, Window.day("2026-10-01").start)
    assert told is not None
    assert told.active
    assert told.effect > 1e6
