"""Dependence: blocks as long as neighbours are alike, and what they do to intervals, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cvkit.stats import resampling
from cvkit.stats.dependence import block_length, blocks, difference


def frames(rng: np.random.Generator, n: int, alike: float) -> np.ndarray:
    """Yes or no of neighbouring frames, whose scores have a lag-1 autocorrelation."""
    noise = rng.standard_normal(n) * np.sqrt(1 - alike**2)
    score = np.empty(n)
    score[0] = rng.standard_normal()
    for k in range(1, n):
        score[k] = alike * score[k - 1] + noise[k]
    return (score < 1).astype(float)  # true of .8413


@pytest.mark.parametrize(("alike", "shortest", "longest"), [(0.0, 1, 1.2), (0.6, 5, 11), (0.9, 14, 28)])
def test_blocks_are_as_long_as_frames_are_alike(alike: float, shortest: float, longest: float) -> None:
    rng = np.random.default_rng(0)
    lengths = [block_length([frames(rng, 300, alike) for _ in range(3)]) for _ in range(60)]
    assert shortest <= np.mean(lengths) <= longest


def coverage(alike: float, blocked: bool) -> float:
    rng, held = np.random.default_rng(1), []
    for _ in range(150):
        values = np.concatenate([frames(rng, 600, alike) for _ in range(2)])
        groups = blocks(values, np.repeat([0, 1], 600)) if blocked else None
        told = resampling.interval(lambda w, v=values: (w @ v / w.sum(axis=1))[:, None], 1200, groups=groups,
                                   replicates=100)  # fmt: skip
        held.append(told.low[0] <= 0.8413 <= told.high[0])
    return float(np.mean(held))


def test_intervals_of_blocks_hold_where_those_of_frames_do_not() -> None:
    assert coverage(0.6, blocked=True) >= 0.87  # .935 of 600 series; sd .02
    assert coverage(0.6, blocked=False) <= 0.82
    assert coverage(0.0, blocked=True) >= 0.90


def test_blocks_keep_to_their_series_and_to_the_order_of_time() -> None:
    values = frames(np.random.default_rng(2), 200, 0.9)
    series = np.tile([0, 1], 100)  # two cameras that take turns
    number = blocks(values, series)
    assert all(len(set(series[number == one])) == 1 for one in set(number))
    assert sorted(set(number)) == list(range(number.max() + 1))
    for camera in (0, 1):
        assert (np.diff(number[series == camera]) >= 0).all()


def test_a_fault_since_noon_is_no_dependence_and_short_series_stand_beside_long_ones() -> None:
    rng = np.random.default_rng(5)
    for n in (40, 200, 1000):
        noon, night = np.arange(n) > 0.6 * n, abs(np.arange(n) - n / 2) > 0.2 * n
        found = [
            (rng.random(n) < np.where(worse, 0.4, 0.9)).astype(float) for worse in (noon, night) for _ in range(10)
        ]
        assert np.mean([block_length([one]) for one in found]) < 1.5
    for sizes in ((40, 15), (100, 60), (400, 100), (30, 1), (300, 5, 2)):
        assert block_length([rng.random(size) for size in sizes]) >= 1


def test_what_tells_nothing_has_blocks_of_one() -> None:
    assert block_length([]) == block_length([[]]) == block_length([[1.0] * 50]) == 1
    assert block_length([[1.0, 2.0] * 4]) == 1  # too few
    assert block_length([[np.nan] * 30]) == 1
    assert blocks([], []).tolist() == []
    one_each = blocks(np.arange(5.0), list("abcde"))
    assert one_each.tolist() == [0, 1, 2, 3, 4]


def test_missing_values_do_not_change_what_is_there() -> None:
    values = frames(np.random.default_rng(3), 400, 0.9)
    with_gaps = values.copy()
    with_gaps[::50] = np.nan
    assert abs(block_length([values]) - block_length([with_gaps])) <= 8


def test_a_difference_of_independent_values_is_students_and_of_alike_ones_is_not() -> None:
    rng = np.random.default_rng(4)
    inside = np.arange(400) % 4 == 0
    values = rng.standard_normal(400) + 0.3 * inside
    gap, p_value = difference(values, inside, np.arange(400))
    known = stats.ttest_ind(values[inside], values[~inside])
    assert gap == pytest.approx(values[inside].mean() - values[~inside].mean())
    assert stats.norm.isf(p_value / 2) == pytest.approx(
        stats.norm.isf(known.pvalue / 2), abs=0.25
    )  # score against Wald
    tails = []
    for _ in range(300):  # a labelled half of a series whose frames are alike
        series = frames(rng, 600, 0.9)
        tails.append(difference(series, np.arange(600) < 300, blocks(series, np.zeros(600), steps=False))[1])
    assert np.mean(np.array(tails) < 0.05) < 0.12
    assert np.isnan(difference([1.0, 2.0], [True, True], [0, 1])).all()
    assert difference([1.0, 1.0], [True, False], [0, 1]) == (0.0, 1.0)
