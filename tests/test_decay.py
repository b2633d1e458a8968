"""How fast quality falls, and the best confidence: scipy and brute force as oracles, and bands of false trends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cvkit.stats.quality import boxes, operation
from cvkit.stats.quality.box_matching import Matches, match
from cvkit.stats.quality.decay import Decay, days_until, decay
from cvkit.stats.quality.threshold import choose


def test_the_slope_is_that_of_least_squares_and_its_interval_too_where_windows_are_independent() -> None:
    days, quality = np.array([0, 1, 3, 4, 6, 9, 12.0]), np.array([0.9, 0.8, 0.88, 0.77, 0.86, 0.7, 0.79])
    line = stats.linregress(days, quality)
    residual = quality - line.intercept - line.slope * days
    assert residual[1:] @ residual[:-1] < 0  # no correlation to allow for
    fit = decay(days, quality)
    half = stats.t.ppf(0.975, 5) * line.stderr
    assert (fit.slope, fit.low, fit.high, fit.n) == pytest.approx((line.slope, line.slope - half, line.slope + half, 7))
    turned = decay(days[::-1], quality[::-1])
    assert (turned.slope, turned.low) == pytest.approx((fit.slope, fit.low))


def test_windows_that_are_alike_count_for_less() -> None:
    days = np.arange(40.0)
    slow = 0.9 + 0.05 * np.sin(days / 6)
    fit, line = decay(days, slow), stats.linregress(days, slow)
    assert fit.high - fit.low > 2 * 2 * stats.t.ppf(0.975, 38) * line.stderr


@pytest.mark.parametrize("nothing", [[], [0.9] * 5, [math.nan] * 9, [0.9, math.nan] * 4])
def test_too_few_windows_tell_no_trend(nothing: list[float]) -> None:
    fit = decay(range(len(nothing)), nothing)
    assert math.isnan(fit.slope)
    assert math.isnan(days_until(fit, 0.02)[0])


def test_windows_of_one_day_tell_no_trend() -> None:
    assert math.isnan(decay([3.0] * 9, np.linspace(0.5, 0.9, 9)).slope)


def test_a_constant_does_not_fall() -> None:
    assert decay(range(9), [0.9] * 9) == Decay(0.0, 0.0, 0.0, 9)
    assert math.isnan(days_until(Decay(0.0, 0.0, 0.0, 9), 0.02)[0])


def test_days_until_are_the_margin_over_the_slope() -> None:
    assert days_until(Decay(-0.004, -0.008, -0.002, 9), 0.02) == pytest.approx((5.0, 2.5, 10.0))
    assert math.isnan(days_until(Decay(-0.004, -0.01, 0.002, 9), 0.02)[0])
    for margin in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="margin"):
            days_until(Decay(-0.004, -0.008, -0.002, 9), margin)


@pytest.mark.parametrize(("memory", "most"), [(0.0, 0.045), (0.3, 0.08)])
def test_a_fall_is_seldom_shown_where_there_is_none(memory: float, most: float) -> None:
    """One end of a 95 % interval: 2.5 % of healthy series, a little more where windows are alike."""
    rng, shown, runs = np.random.default_rng(3), 0, 1000
    for _ in range(runs):
        noise = rng.normal(size=41)
        for place in range(1, 41):
            noise[place] += memory * noise[place - 1]
        shown += decay(range(21), noise[20:]).high < 0
    assert shown / runs <= most


def test_a_fall_is_shown_where_there_is_one() -> None:
    rng = np.random.default_rng(5)
    fits = [decay(range(21), 0.9 - 0.004 * np.arange(21) + rng.normal(0, 0.02, 21)) for _ in range(200)]
    assert np.mean([fit.high < 0 for fit in fits]) > 0.9
    assert np.mean([fit.low <= -0.004 <= fit.high for fit in fits]) > 0.85


# -- the best confidence --------------------------------------------------------------------------------------------


def scene(images: int, false_mean: float, seed: int = 0, categories: int = 2) -> Matches:
    """Two labelled boxes an image, found at high confidences, and false boxes at others."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0, 20, 20], [40, 0, 60, 20], [0, 40, 20, 60]], dtype=float)
    image = np.repeat(np.arange(images), 2)
    kind = rng.integers(0, categories, image.size)
    truth = boxes.truth(image, kind, np.tile(corners[:2], (images, 1)))
    false = np.arange(images)
    score = np.concatenate([rng.beta(8, 3, image.size), np.clip(rng.normal(false_mean, 0.1, images), 0.01, 0.99)])
    said = boxes.predictions(
        np.concatenate([image, false]), np.concatenate([kind, rng.integers(0, categories, images)]),
        np.concatenate([np.tile(corners[:2], (images, 1)), np.tile(corners[2], (images, 1))]), score,
    )  # fmt: skip
    return match(truth, said, images=images, categories=categories)


def f1_at(matches: Matches, confidence: float, which: np.ndarray | None = None) -> float:
    weights = None if which is None else which.astype(float)
    found = operation.operation(matches, confidence, weights=weights)
    hit, wrong, missed = (float(part.sum()) for part in (found.found, found.false, found.missed))
    return 2 * hit / (2 * hit + wrong + missed)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_confidence_is_the_one_that_brute_force_finds(seed: int) -> None:
    matches = scene(30, 0.4, seed)
    made = choose(matches, np.arange(30) % 3, 0.25)
    every = [f1_at(matches, score) for score in matches.predictions.score]
    assert f1_at(matches, made.confidence) == pytest.approx(max(every))
    assert made.now == pytest.approx(f1_at(matches, 0.25))


def test_quality_is_told_of_images_that_it_was_not_chosen_on() -> None:
    matches, folds = scene(30, 0.4), np.arange(30) % 3
    hit = wrong = missed = 0.0
    for fold in range(3):
        inside, outside = folds == fold, folds != fold
        scores = np.unique(matches.predictions.score[outside[matches.predictions.image]])
        best = max(scores, key=lambda score: (round(f1_at(matches, score, outside), 12), -abs(score - 0.25)))
        counts = operation.operation(matches, best, weights=inside.astype(float))
        hit, wrong = hit + float(counts.found.sum()), wrong + float(counts.false.sum())
        missed += float(counts.missed.sum())
    assert choose(matches, folds, 0.25).f1 == pytest.approx(2 * hit / (2 * hit + wrong + missed))


def test_what_was_missed_no_confidence_brings_back() -> None:
    truth = boxes.truth(range(10), [0] * 10, np.tile([0.0, 0.0, 20.0, 20.0], (10, 1)))
    said = boxes.predictions(range(5), [0] * 5, np.tile([0.0, 0.0, 20.0, 20.0], (5, 1)), np.linspace(0.3, 0.9, 5))
    made = choose(match(truth, said, images=10, categories=1), np.arange(10) % 2, 0.25)
    assert (made.f1, made.now) == (pytest.approx(8 / 14), pytest.approx(10 / 15))
    assert made.confidence == 0.3


def test_nothing_said_or_a_single_part_is_unknown() -> None:
    truth = boxes.truth([0], [0], [[0, 0, 9, 9]])
    nothing = boxes.predictions([], [], np.empty((0, 4)), [])
    made = choose(match(truth, nothing, images=1, categories=1), [0], 0.25)
    assert math.isnan(made.confidence)
    assert math.isnan(made.f1)
    assert made.now == 0.0
    assert math.isnan(choose(scene(10, 0.4), np.zeros(10), 0.25).f1)
