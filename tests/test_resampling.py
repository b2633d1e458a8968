"""Intervals and the paired test: closed forms for means, laws, and bands of coverage and level over simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cvkit.stats import resampling
from cvkit.stats.correction import holm
from cvkit.stats.quality import boxes, detection
from cvkit.stats.quality.box_matching import match
from cvkit.stats.resampling import Metric


def mean_of(values: np.ndarray) -> Metric:
    """Weighted means of columns (units, k)."""
    table = np.asarray(values, dtype=float).reshape(len(values), -1)
    return lambda weights: weights @ table / weights.sum(axis=1, keepdims=True)


def shares_of(first: np.ndarray, second: np.ndarray) -> Metric:
    return mean_of(np.concatenate([first, second]))


# -- closed forms ---------------------------------------------------------------------------------------------------


def test_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(0).gamma(2, 1, 400)
    result = resampling.interval(mean_of(values), 400, replicates=4000)
    expected = stats.t.interval(0.95, 399, values.mean(), values.std(ddof=1) / 20)
    assert result.estimate.item() == pytest.approx(values.mean(), rel=1e-12)
    assert (result.low.item(), result.high.item()) == pytest.approx(expected, rel=0.01)
    assert result.bias.item() == pytest.approx(0, abs=1e-12)  # a half and its complement cancel
    assert result.n == 400


def test_interval_of_groups_is_that_of_their_means() -> None:
    rng = np.random.default_rng(1)
    means = rng.normal(size=60)
    values, groups = np.repeat(means, 10), np.repeat(np.arange(60), 10)
    order = rng.permutation(600)
    result = resampling.interval(mean_of(values[order]), 600, groups=groups[order], replicates=4000)
    assert result.n == 60
    assert result.error.item() == pytest.approx(means.std(ddof=1) / math.sqrt(60), rel=0.03)
    alone = resampling.interval(mean_of(values[order]), 600, replicates=4000)
    assert alone.error.item() < result.error.item() / 2.5  # ten copies of a frame are not ten frames


def test_bias_of_a_maximum_over_noise_is_taken_off() -> None:
    """The larger of two equal means lies E max = sd / sqrt(pi n) above either: falls with the root of n."""
    rng = np.random.default_rng(2)
    off, corrected = [], []
    for _ in range(300):
        means = mean_of(rng.normal(size=(100, 2)))
        result = resampling.interval(
            lambda weights, f=means: f(weights).max(axis=1, keepdims=True), 100, replicates=100
        )
        off.append(result.estimate.item())
        corrected.append(result.estimate.item() - result.bias.item())
    assert np.mean(off) == pytest.approx(1 / math.sqrt(100 * math.pi), rel=0.25)
    assert abs(np.mean(corrected)) < np.mean(off) / 2


def test_p_value_of_differences_is_that_of_the_sign_test() -> None:
    """Ten units in which the second is better, none in which it is worse: 2 / 2^10 exactly."""
    first, second = np.zeros(40), np.zeros(40)
    second[:10] = 1
    result = resampling.compare(shares_of(first, second), 40, replicates=20_000)
    assert result.difference.item() == pytest.approx(0.25)
    assert result.p_value.item() == pytest.approx(2 / 1024, abs=0.001)


# -- laws -----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_and_the_input_stays() -> None:
    values = np.random.default_rng(3).normal(size=100)
    before = values.copy()
    one, two = (resampling.interval(mean_of(values), 100, seed=5) for _ in range(2))
    assert one.low == two.low
    assert one.high == two.high
    assert resampling.interval(mean_of(values), 100, seed=6).low != one.low
    np.testing.assert_array_equal(values, before)


def test_weights_in_parts_cover_all_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "BLOCK", 100)
    seen: list[np.ndarray] = []

    def metric(weights: np.ndarray) -> np.ndarray:
        seen.append(weights)
        return weights[:, :1]

    resampling.interval(metric, 41, replicates=11, minimum=2)
    rows = np.concatenate(seen[1:])
    assert rows.shape == (11, 41)
    assert set(rows.sum(axis=1)) == {20, 21}
    np.testing.assert_array_equal(rows[0] + rows[1], 1)


def test_ends_stay_within_bounds() -> None:
    values = np.ones(50)
    values[0] = 0
    result = resampling.interval(mean_of(values), 50, bounds=(0, 1))
    assert result.high.item() == 1
    assert resampling.interval(mean_of(values), 50).high.item() > 1


@pytest.mark.parametrize("worst", [0.0, -2.0])
def test_where_nothing_fell_short_it_may_have_all_the_same(worst: float) -> None:
    best = worst + 1
    for units, groups in ((40, None), (400, np.arange(400) // 10), (1000, None)):
        n = units if groups is None else 40
        exact = stats.binomtest(n, n).proportion_ci(0.95, method="exact").low
        flawless, useless = (
            resampling.interval(mean_of(np.full(units, end)), units, groups=groups, bounds=(worst, best))
            for end in (best, worst)
        )
        assert flawless.low.item() == pytest.approx(worst + exact, rel=1e-9, abs=1e-9)
        assert flawless.high.item() == flawless.estimate.item() == best
        assert useless.high.item() == pytest.approx(best - exact, rel=1e-9, abs=1e-9)
        assert useless.low.item() == worst
    free = resampling.interval(mean_of(np.ones(40)), 40)
    inside = resampling.interval(mean_of(np.full(40, 0.5)), 40, bounds=(0, 1))
    few = resampling.interval(mean_of(np.ones(20)), 20, bounds=(0, 1))
    assert (free.low.item(), inside.low.item(), inside.high.item()) == (1.0, 0.5, 0.5)
    assert np.isnan(few.low).all()


def test_samples_without_a_failure_hold_the_rate_of_failures() -> None:
    random, n, rate = np.random.default_rng(3), 60, 0.03
    flawless, held = 0, 0
    for _ in range(400):
        good = (random.random(n) >= rate).astype(float)
        told = resampling.interval(mean_of(good), n, replicates=40, bounds=(0, 1))
        if good.all():
            flawless += 1
            held += told.low.item() <= 1 - rate <= told.high.item()
    assert flawless > 30  # 16 % are: of them an interval of no width would hold none
    assert held == flawless


def test_a_model_is_not_better_than_itself() -> None:
    values = np.random.default_rng(4).normal(size=(50, 3))
    result = resampling.compare(shares_of(values, values), 50)
    assert result.difference.tolist() == [0, 0, 0]
    assert result.p_value.tolist() == [1, 1, 1]


def test_a_model_that_differs_by_rounding_only_is_not_better() -> None:
    """Sums of the same numbers in another order end in another digit."""
    rng = np.random.default_rng(0)
    values, order = np.tile(rng.random(300), 2), rng.permutation(600)
    result = resampling.compare(lambda w: np.cumsum((w * values)[:, order], axis=1)[:, -1:], 300)
    assert result.difference.item() == 0
    assert result.p_value.item() == 1


def test_the_order_of_models_turns_the_difference_round() -> None:
    rng = np.random.default_rng(5)
    one, two = rng.normal(size=60), rng.normal(0.3, 1, 60)
    there, back = (resampling.compare(shares_of(*pair), 60) for pair in ((one, two), (two, one)))
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == back.p_value
    assert there.low == pytest.approx(-back.high)


# -- contract -------------------------------------------------------------------------------------------------------


def test_too_little_is_not_known() -> None:
    values = np.arange(20.0)
    result = resampling.interval(mean_of(values), 20)
    assert result.estimate == 9.5
    assert np.isnan([result.low, result.high, result.error, result.bias]).all()
    assert result.n == 20
    few = resampling.interval(mean_of(np.arange(100.0)), 100, groups=np.arange(100) // 10)
    assert np.isnan(few.low).all()
    assert few.n == 10
    pair = resampling.compare(shares_of(values, values + 1), 20)
    assert pair.difference == pytest.approx(1)
    assert np.isnan([pair.low, pair.high, pair.p_value]).all()


def test_a_metric_that_is_not_known_in_a_half_has_no_interval() -> None:
    def metric(weights: np.ndarray) -> np.ndarray:
        return np.where(weights[:, :1] > 0, 0.5, np.nan)

    result = resampling.interval(metric, 40)
    assert result.estimate == 0.5
    assert np.isnan([result.low, result.high]).all()
    assert np.isnan(resampling.compare(lambda w: metric(w[:, :40]) - 1, 40).p_value).all()


def test_faulty_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="each unit needs its group: 40 units, 3 groups"):
        resampling.interval(mean_of(np.ones(40)), 40, groups=[1, 2, 3])
    with pytest.raises(ValueError, match="each unit needs its weight"):
        resampling.weights_of(3, [1, 2])
    with pytest.raises(ValueError, match="not negative"):
        resampling.weights_of(2, [math.nan, 1])


# -- bands over simulations -----------------------------------------------------------------------------------------


def test_level_of_the_paired_test_is_held() -> None:
    rng = np.random.default_rng(6)
    p_values = []
    for _ in range(400):
        common = rng.normal(size=40)
        one, two = common + rng.standard_t(3, (2, 40))
        p_values.append(resampling.compare(shares_of(one, two), 40, replicates=99).p_value.item())
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.08
    assert stats.kstest(p_values, "uniform").statistic < 0.1


def population(seed: int, images: int, models: int) -> tuple[boxes.Truth, list[boxes.Predictions]]:
    """One category; each image has its own difficulty; the models are equally good and independent given the image."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(size=images)
    image = np.repeat(np.arange(images), rng.integers(1, 7, images))
    corner = rng.uniform(0, 500, (image.size, 2))
    box = np.hstack([corner, corner + rng.uniform(20, 100, (image.size, 2))])
    said = []
    for _ in range(models):
        seen = np.flatnonzero(rng.random(image.size) < 1 / (1 + np.exp(difficulty[image] - 1)))
        near = box[seen] + rng.normal(0, 3, (seen.size, 4))
        false = np.repeat(np.arange(images), rng.poisson(1.5, images))
        corner = rng.uniform(0, 500, (false.size, 2))
        score = np.concatenate([rng.beta(5, 2, seen.size), rng.beta(2, 4, false.size)])
        found = np.concatenate([near, np.hstack([corner, corner + 60])])
        said.append(boxes.predictions(np.concatenate([image[seen], false]), np.zeros(score.size), found, score))
    return boxes.truth(image, np.zeros(image.size), box), said


def rows_of(part: boxes.Truth | boxes.Predictions, place: np.ndarray) -> dict:
    """What is on chosen images, numbered anew; `place` (images,) is -1 for the others."""
    kept = place[part.image] >= 0
    return {name: getattr(part, name)[kept] for name in part.__slots__} | {"image": place[part.image[kept]]}


def ap_metric(matches) -> Metric:
    counts = detection.tally(matches)
    return lambda weights: detection.accumulate(counts, weights).precision[:, 0, 0].mean(axis=1, keepdims=True)


def test_intervals_of_average_precision_cover_the_population() -> None:
    images, size, sets = 6000, 150, 120
    true, (found,) = population(0, images, 1)
    areas = [(0, 1e10)]
    value = ap_metric(match(true, found, images=images, categories=1, areas=areas))(np.ones((1, images))).item()
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(sets):
        place = np.full(images, -1)
        place[rng.choice(images, size, replace=False)] = np.arange(size)
        part = boxes.Truth(**rows_of(true, place)), boxes.Predictions(**rows_of(found, place))
        metric = ap_metric(match(*part, images=size, categories=1, areas=areas))
        result = resampling.interval(metric, size, replicates=100)
        covered.append(result.low.item() <= value <= result.high.item())
    assert 0.89 <= np.mean(covered) <= 0.99  # 95 %, sd .02


def test_two_equally_good_detectors_are_told_apart_as_rarely_as_said() -> None:
    images, size, sets = 8000, 60, 130
    true, (first, second) = population(2, images, 2)
    p_values = []
    for block in range(sets):
        place = np.full(images, -1)
        place[block * size : (block + 1) * size] = np.arange(size)
        part = boxes.Truth(**rows_of(true, place))
        models = (boxes.Predictions(**rows_of(model, place)) for model in (first, second))
        both = boxes.side_by_side(part, *models, images=size)
        metric = ap_metric(match(*both, images=2 * size, categories=1, areas=[(0, 1e10)]))
        p_values.append(resampling.compare(metric, size, replicates=39).p_value.item())
    assert np.mean(np.array(p_values) <= 0.05) <= 0.1  # 5 %, sd .02
    assert 0.4 <= np.mean(p_values) <= 0.6


def test_two_models_compared_by_class_and_corrected_name_the_class_that_changed() -> None:
    """Five classes, the second model worse on the last alone: each number is a column, Holm corrects them."""
    rng = np.random.default_rng(7)
    shares = [0.8] * 4 + [0.45]
    first, second = rng.random((300, 5)) < 0.8, rng.random((300, 5)) < shares
    told = resampling.compare(shares_of(first * 1.0, second * 1.0), 300)
    adjusted = holm(told.p_value)
    assert (adjusted < 0.05).tolist() == [False] * 4 + [True]
    assert told.high[4] < 0
