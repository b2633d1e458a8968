"""Matching: what differs between contexts is no drift, what differs within one is; unknown contexts tell nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cvkit.monitoring import contexts
from cvkit.stats.change import matching

HOURS = np.tile(np.arange(24), 30)


def sun(hours: np.ndarray, seed: int, shift: float = 0.0) -> np.ndarray:
    """Brightness over the day, brighter and more varied at noon."""
    light = np.sin(np.pi * hours / 24)
    return 50 + 80 * light + shift + (2 + 6 * light) * np.random.default_rng(seed).normal(size=hours.size)


def test_night_is_compared_with_night() -> None:
    learnt = matching.learn(sun(HOURS, 0), HOURS.tolist())
    everything = matching.adjust(learnt, sun(HOURS, 0), HOURS.tolist())
    night = np.tile(np.arange(5), 40)
    quiet = matching.adjust(learnt, sun(night, 1), night.tolist())
    moved = matching.adjust(learnt, sun(night, 2, shift=6.0), night.tolist())
    assert everything.mean() == pytest.approx(sun(HOURS, 0).mean())
    assert abs(quiet.mean() - everything.mean()) < 0.3 * everything.std()
    assert moved.mean() - quiet.mean() > everything.std()  # 6 grey levels are much at night
    np.testing.assert_allclose(everything.std(), learnt.scale, rtol=0.05)
    both = matching.learn(np.column_stack([sun(HOURS, 0), -sun(HOURS, 0)]), HOURS.tolist())
    two = matching.adjust(both, np.column_stack([sun(night, 1), -sun(night, 1)]), night.tolist())
    np.testing.assert_allclose(two, np.column_stack([quiet, -quiet]), rtol=1e-9)


@pytest.mark.parametrize("by", [2.0**-660, 2.0**660])
def test_the_unit_of_a_column_changes_nothing(by: float) -> None:
    rows, cells, units = np.random.default_rng(3).normal(size=(60, 2)), ["day", "night"] * 30, np.array([by, 1.0])
    plain, found = (matching.learn(rows * scale, cells) for scale in (np.ones(2), units))
    expected = matching.adjust(plain, rows, cells)
    np.testing.assert_allclose(matching.adjust(found, rows * units, cells) / units, expected, rtol=1e-9)


def test_unknown_and_rare_contexts_and_constants() -> None:
    learnt = matching.learn([1.0] * 5 + [7.0] * 4 + [np.nan] * 9, ["a"] * 5 + ["b"] * 4 + ["c"] * 9)
    found = matching.adjust(learnt, [1.0, 3.0, 7.0, 1.0], ["a", "a", "b", "c"])
    assert found[:2].tolist() == [1.0, 3.0]
    assert np.isnan(found[2:]).all()
    nothing = matching.learn([], [])
    assert np.isnan(nothing.centre).all()
    assert np.isnan(matching.adjust(nothing, [1.0], ["a"])).all()
    assert matching.adjust(nothing, [], []).size == 0


def frame(days: int, each: int) -> pd.DataFrame:
    times = pd.date_range("2026-06-01", periods=days * 24 * each, freq=pd.Timedelta(hours=1) / each, tz="UTC")
    return pd.DataFrame({"time": times, "mode": ["RGB", "L"] * (len(times) // 2)})


def test_hours_are_joined_until_each_stretch_has_enough_images() -> None:
    for days, each, stretches in ((30, 1, 24), (6, 1, 6), (2, 1, 2), (1, 1, 1)):
        table = frame(days, each)
        tell = contexts.teller(table, ("hour",), "UTC")
        assert len(set(tell(table))) == stretches


def test_contexts_are_told_in_local_time_and_joined() -> None:
    table = frame(30, 1)
    tell = contexts.teller(table, ("hour", "weekday", "mode"), "Asia/Tokyo")
    assert tell(table)[0] == "9|0|RGB"  # 00:00 UTC of Monday, 1 June
    assert contexts.learn(table, table, (), "UTC") is None


def test_a_mix_of_classes_is_compared_with_that_of_its_hour() -> None:
    """Nuts by day and bolts by night: a window of nights has the reference's mix, one with bolts by day has not."""
    rng = np.random.default_rng(0)
    by_day = rng.poisson([3.0, 0.5], (400, 2))
    by_night = rng.poisson([0.5, 3.0], (400, 2))
    counts, cells = np.vstack([by_day, by_night]), ["day"] * 400 + ["night"] * 400
    learnt = matching.shares(counts, cells)
    everything = matching.weigh(learnt, counts, cells).sum(axis=0)
    np.testing.assert_allclose(everything / everything.sum(), counts.sum(axis=0) / counts.sum(), atol=0.01)
    quiet = matching.weigh(learnt, rng.poisson([0.5, 3.0], (200, 2)), ["night"] * 200).mean(axis=0)
    np.testing.assert_allclose(quiet, everything / 800, rtol=0.2)
    moved = matching.weigh(learnt, rng.poisson([0.5, 3.0], (200, 2)), ["day"] * 200).mean(axis=0)
    assert moved[1] > 5 * moved[0]
    assert np.isnan(matching.weigh(learnt, [[1, 2]], ["dusk"])).all()
    assert matching.shares(np.empty((0, 2)), []) == {}
    with pytest.raises(ValueError, match="context for each of 1 rows"):
        matching.learn([1.0], [])


def test_the_references_own_rows_lie_no_nearer_than_others() -> None:
    """Contexts of 20 rows and 200 columns: around means that they have moved, own rows would lie 5 % nearer."""
    rng = np.random.default_rng(1)
    cells = [number % 10 for number in range(200)]
    own, others = rng.normal(size=(2, 200, 200))
    learnt = matching.learn(own, cells, scaled=False)
    lengths = [
        float((matching.adjust(learnt, rows, cells, own=side) ** 2).sum(axis=1).mean())
        for rows, side in ((own, True), (own, False), (others, False))
    ]
    assert lengths[0] == pytest.approx(lengths[2], rel=0.01)
    assert lengths[1] < 0.93 * lengths[2]


def test_the_references_own_mix_is_weighed_by_other_days() -> None:
    """Rare classes in small contexts: weighed by their own shares all days would have the mix of all exactly."""
    rng = np.random.default_rng(2)
    chunks, cells = np.repeat(np.arange(12), 10), [number % 10 for number in range(120)]
    counts = rng.poisson([2.0, 0.2], (120, 2))
    weighed = matching.weigh_own(counts, cells, chunks)
    fresh = [
        matching.weigh(matching.shares(counts, cells), rng.poisson([2.0, 0.2], (10, 2)), list(range(10)))
        for _ in range(400)
    ]
    expected = np.mean(fresh, axis=(0, 1))
    np.testing.assert_allclose(weighed.mean(axis=0), expected, rtol=0.25)
