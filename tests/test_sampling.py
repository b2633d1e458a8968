"""Sampling for labels: allocation against brute force, estimates against closed forms, intervals that cover."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvkit.stats.intervals import mean_interval
from cvkit.stats.unlabelled import correctness, sampling


def test_allocation_is_the_best_of_all() -> None:
    sizes, spreads, budget = np.array([9, 6, 14]), np.array([0.3, 0.1, 0.25]), 11
    possible = [
        counts
        for counts in itertools.product(*(range(2, size + 1) for size in sizes))
        if sum(counts) == budget
    ]  # fmt: skip
    best = min(possible, key=lambda counts: sampling.expected_error(sizes, spreads, counts))
    found = sampling.allocate(sizes, spreads, budget)
    assert sampling.expected_error(sizes, spreads, found) == pytest.approx(
        sampling.expected_error(sizes, spreads, best), rel=1e-12
    )


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 5)), min_size=1, max_size=9), st.integers(0, 200))
def test_allocation_keeps_its_bounds(strata: list[tuple[int, float]], more: int) -> None:
    sizes, spreads = (np.array(side) for side in zip(*strata, strict=True))
    least = np.minimum(sizes, 2)
    budget = int(least.sum()) + more
    counts = sampling.allocate(sizes, spreads, budget)
    assert counts.sum() == min(budget, sizes.sum())
    assert np.all((counts >= least) & (counts <= sizes))


@pytest.mark.parametrize("budget", [-1, 3])
def test_a_budget_that_cannot_serve_every_stratum_is_refused(budget: int) -> None:
    with pytest.raises(ValueError, match="budget"):
        sampling.allocate([10, 10], [1, 1], budget)


def test_equal_spreads_are_allocated_in_proportion() -> None:
    assert sampling.allocate([100, 200, 700], [0.2, 0.2, 0.2], 100).tolist() == [10, 20, 70]
    full = sampling.cautious([100, 200, 700], [0.1, 0.5, 0.9], caution=1.0)
    assert np.ptp(full) == pytest.approx(0)


def test_unknown_spreads_are_taken_for_those_of_the_others() -> None:
    assert sampling.cautious([5, 5], [0.4, math.nan], caution=0.0).tolist() == pytest.approx([0.4, 0.4])
    assert sampling.cautious([5, 5], [math.nan, math.nan]).tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="between 0 and 1"):
        sampling.cautious([5], [1], caution=1.5)


def test_strata_share_the_spread_and_never_part_ties() -> None:
    rng = np.random.default_rng(0)
    scores, spreads = rng.random(1000).round(2), rng.random(1000)
    place = sampling.strata(scores, sampling.cuts(scores, spreads, most=5))
    sums = np.bincount(place, spreads)
    assert sums.size == 5
    assert np.all(np.abs(sums / spreads.sum() - 0.2) < 0.02)
    assert all(len(set(place[scores == one])) == 1 for one in np.unique(scores))
    assert np.all(np.diff(place[np.argsort(scores)]) >= 0)


@pytest.mark.parametrize("scores", [[], [0.5], [0.5] * 9, [math.nan, 0.5, 0.5]])
def test_nothing_to_cut_is_one_stratum(scores: list[float]) -> None:
    assert sampling.cuts(scores, np.ones(len(scores))).size == 0


def test_missing_scores_are_a_stratum_of_their_own() -> None:
    edges = sampling.cuts([0.1, math.nan, 0.9], [1, 1, 1], most=2)
    assert sampling.strata([0.1, math.nan, 0.9], edges).tolist() == [0, 2, 1]


def test_every_unit_of_a_stratum_is_as_likely_as_said() -> None:
    place, counts = np.repeat([0, 1, 2], [4, 10, 3]), np.array([1, 5, 3])
    random = np.random.default_rng(1)
    drawn = np.mean([sampling.draw(place, counts, random) for _ in range(4000)], axis=0)
    assert np.abs(drawn - (counts / [4, 10, 3])[place]).max() < 0.03
    assert np.array_equal(np.bincount(place[sampling.draw(place, counts, random)]), counts)
    with pytest.raises(ValueError, match="fewer units"):
        sampling.draw(place, [5, 5, 3], random)


def test_one_stratum_of_many_units_is_the_usual_interval_of_a_mean() -> None:
    values = np.random.default_rng(2).normal(size=40)
    told = sampling.estimate(values, np.zeros(40, int), [10**9])
    assert (told.mean, told.low, told.high) == pytest.approx(mean_interval(values), abs=1e-6)
    assert told.freedom == pytest.approx(39)


def test_the_error_is_cochrans() -> None:
    """Against the sampling variance over all possible samples of a small population (exact, no formula shared)."""
    population = [np.array([0.1, 0.4, 0.9, 1.0]), np.array([0.5, 0.7, 0.2, 0.0, 0.3])]
    sizes, place = [4, 5], np.repeat([0, 1], [2, 3])
    told = [
        sampling.estimate(np.array([*one, *other]), place, sizes)
        for one in itertools.combinations(population[0], 2)
        for other in itertools.combinations(population[1], 3)
    ]
    means = np.array([one.mean for one in told])
    assert means.mean() == pytest.approx(np.concatenate(population).mean(), abs=1e-12)
    assert np.mean([one.error**2 for one in told]) == pytest.approx(means.var(), rel=1e-9)


def test_what_was_looked_at_wholly_is_known() -> None:
    told = sampling.estimate([0.0, 1.0, 0.5], [0, 0, 0], [3])
    assert (told.mean, told.error, told.low, told.high) == (0.5, 0.0, 0.5, 0.5)


def test_poor_strata_are_joined_and_missing_values_left_out() -> None:
    joined = sampling.estimate([1.0, 0.0, 0.5, math.nan], [0, 0, 1, 2], [10, 10, 10])
    same = sampling.estimate([1.0, 0.0, 0.5], [0, 0, 0], [30])
    assert joined == same
    assert math.isnan(sampling.estimate([0.5], [0], [10]).error)
    assert math.isnan(sampling.estimate([], [], [10, 3]).mean)
    with pytest.raises(ValueError, match="more values"):
        sampling.estimate([1, 1, 1], [0, 0, 0], [2])


def test_intervals_of_uneven_draws_cover() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(400):
        scores = rng.random(600)
        f1 = np.clip(scores + rng.normal(0, 0.3 * (1 - scores)), 0, 1)
        place = sampling.strata(scores, sampling.cuts(scores, 1.05 - scores, most=6))
        sizes = np.bincount(place)
        spreads = [f1[place == h].std() for h in range(6)]
        counts = sampling.allocate(sizes, sampling.cautious(sizes, spreads), 80)
        drawn = sampling.draw(place, counts, rng)
        told = sampling.estimate(f1[drawn], place[drawn], sizes)
        covered.append(told.low <= f1.mean() <= told.high)
    assert 0.92 <= np.mean(covered) <= 0.98


def taught(n: int = 400, seed: int = 4) -> tuple[correctness.Correctness, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(n), 3)
    sure = rng.uniform(0.25, 1, image.size)
    right = rng.random(image.size) < sure
    found = np.bincount(image, right, n)
    known = {"image": image, "confidence": sure, "right": right, "missed": np.zeros(n), "f1": 2 * found / (3 + found)}
    return correctness.learn(**known), known


def test_expected_correctness_is_what_comes() -> None:
    known, _ = taught()
    _, later = taught(seed=5)
    expected = correctness.expected_f1(known, later["image"], later["confidence"], 400)
    assert expected.mean() == pytest.approx(later["f1"].mean(), abs=0.04)
    assert np.corrcoef(expected, later["f1"])[0, 1] > 0.4
    off = (later["f1"] - expected) / correctness.spread(known, expected)
    assert 0.9 < off.std() < 1.1


def test_surer_boxes_are_never_expected_to_be_worse() -> None:
    known, _ = taught()
    scores = correctness.expected_f1(known, np.arange(101), np.linspace(0, 1, 101), 101)
    assert np.all(np.diff(scores) >= 0)
    assert scores[0] == 0


def test_far_below_what_was_learnt_an_image_is_most_uncertain() -> None:
    image = np.arange(100)
    right = ~np.isin(image, [0, 2, 4])
    known = correctness.learn(image, np.where(image < 9, 0.9, 0.95), right, np.zeros(100), right.astype(float))
    low = correctness.expected_f1(known, [0], [0.4], 1)
    assert correctness.spread(known, low)[0] > correctness.spread(known, [1.0])[0]
    assert np.isnan(correctness.spread(known, [math.nan])).all()


def test_too_few_labels_teach_nothing() -> None:
    with pytest.raises(ValueError, match="30 labelled"):
        correctness.learn([0], [0.5], [True], [0.0], [1.0])


def test_images_without_any_box_teach_what_those_are_worth() -> None:
    known = correctness.learn([], [], [], np.zeros(40), np.r_[np.ones(30), np.zeros(10)])
    assert correctness.expected_f1(known, [], [], 2).tolist() == [0.75, 0.75]
