"""Paired comparison in F1: its level where nothing differs, its coverage, and the number of images that it asks for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cvkit.stats.quality.noninferiority import Gain, f1_gain, needed


def counts(chances: tuple[float, float], images: int, seed: int, same: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """What two models find of 1 to 4 boxes an image; of a share `same` of the boxes both say the same."""
    random = np.random.default_rng(seed)
    boxes = random.integers(1, 5, images)
    of = np.repeat(np.arange(images), boxes)
    shared, own, alike = random.random(of.size), random.random((2, of.size)), random.random(of.size) < same
    hit = [np.where(alike, shared, one) < chance for one, chance in zip(own, chances, strict=True)]
    found = np.array([np.bincount(of, one, images) for one in hit])
    return found, found + (boxes - found) / 2


def f1_of(chance: float) -> float:
    """The F1 of a model that finds each box with a chance and says nothing false."""
    return 2 * chance / (1 + chance)


def test_the_numbers_are_those_of_the_definition() -> None:
    found, whole = np.array([[1, 2], [1, 1]] * 20).T.astype(float), np.full((2, 40), 2.0)
    gain = f1_gain(found, whole)
    assert gain.first == found[0].sum() / 80
    assert gain.second == found[1].sum() / 80
    assert math.isclose(gain.difference, gain.second - gain.first)
    assert gain.n == 40


@pytest.mark.parametrize("images", [40, 120])
def test_no_gain_is_shown_of_models_alike_in_at_most_one_case_of_twenty(images: int) -> None:
    told = [f1_gain(*counts((0.85, 0.85), images, seed)) for seed in range(400)]
    assert sum(gain.low > 0 for gain in told) <= 400 * 0.05 + 2 * math.sqrt(400 * 0.05 * 0.95)
    assert sum(gain.high < 0 for gain in told) <= 400 * 0.05 + 2 * math.sqrt(400 * 0.05 * 0.95)


def test_a_loss_of_the_margin_is_hardly_ever_taken_for_less() -> None:
    margin = f1_of(0.9) - f1_of(0.85)
    told = [f1_gain(*counts((0.9, 0.85), 150, seed)) for seed in range(400)]
    assert sum(gain.low > -margin for gain in told) <= 400 * 0.05 + 2 * math.sqrt(400 * 0.05 * 0.95)


def test_the_interval_covers_the_truth_and_is_not_much_too_wide() -> None:
    truth = f1_of(0.95) - f1_of(0.8)
    told = [f1_gain(*counts((0.8, 0.95), 150, seed)) for seed in range(300)]
    inside = sum(gain.low <= truth <= gain.high for gain in told) / 300
    assert 0.87 <= inside <= 0.96  # two ends of 95 % each
    spread = np.std([gain.difference for gain in told])
    assert 1.0 <= np.mean([gain.error for gain in told]) / spread <= 1.25


@pytest.mark.parametrize(("images", "shown"), [(40, False), (80, True)])
def test_saying_the_same_on_few_images_shows_little(images: int, shown: bool) -> None:
    """By the rule of three, none of n boxes lost leaves up to 3 / n: a loss of F1 of half as much."""
    gain = f1_gain(np.ones((2, images)), np.ones((2, images)))
    assert (gain.low > -0.02) is shown
    assert gain.low <= -0.5 * 1.6 / images
    assert gain.low >= -0.5 * 3 / images


def test_as_many_images_as_are_asked_for_mostly_do() -> None:
    pilots, enough = 0, 0
    for seed in range(120):
        pilot = f1_gain(*counts((0.8, 0.83), 60, seed))
        if not pilot.low > 0 and pilot.difference > 0:
            pilots += 1
            wanted = math.ceil(60 * min(needed(pilot, 0.0), 40))
            enough += f1_gain(*counts((0.8, 0.83), wanted, 10_000 + seed)).low > 0
    assert pilots > 40
    assert enough / pilots > 0.7


def test_the_number_that_would_do_follows_the_square_of_the_distance() -> None:
    gain = Gain(0.8, 0.84, 0.04, -0.01, 0.09, 0.03, 0.2, 10_000)
    assert math.isclose(needed(gain, 0.0), ((1.6450 + 0.8416) * 0.03 / 0.04) ** 2, rel_tol=1e-3)
    assert math.isclose(needed(gain, 0.02) / needed(gain, 0.0), 4.0)
    assert needed(gain, 0.04) == math.inf
    assert needed(gain, -9.0) == 1.0
    assert math.isnan(needed(Gain(1, 1, 0, math.nan, math.nan, math.nan, math.nan, 3), 0.0))


def test_copies_of_an_image_tell_no_more_than_the_image() -> None:
    found, whole = counts((0.8, 0.9), 60, 1)
    copies, groups = np.repeat(np.arange(60), 5), np.repeat(np.arange(60), 5)
    once = f1_gain(found, whole)
    many = f1_gain(found[:, copies], whole[:, copies], groups)
    assert many.n == once.n == 60
    assert math.isclose(many.difference, once.difference)
    assert 0.9 <= many.error / once.error <= 1.02  # less only by the one box that may have been lost
    alone = f1_gain(found[:, copies], whole[:, copies])
    assert alone.error < 0.6 * once.error


def test_swapped_models_give_the_mirror_image_and_the_same_seed_the_same() -> None:
    found, whole = counts((0.8, 0.9), 80, 3)
    there, back = f1_gain(found, whole), f1_gain(found[::-1], whole[::-1])
    assert math.isclose(there.low, -back.high)
    assert math.isclose(there.high, -back.low)
    assert f1_gain(found, whole) == there


def test_too_few_images_and_nothing_to_find_tell_nothing() -> None:
    few = f1_gain(*counts((0.8, 0.9), 29, 0))
    assert math.isnan(few.low)
    assert not math.isnan(few.difference)
    none = f1_gain(np.zeros((2, 40)), np.zeros((2, 40)))
    assert math.isnan(none.difference)
    assert math.isnan(none.low)
    assert math.isnan(f1_gain(np.zeros((2, 0)), np.zeros((2, 0))).low)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(2, n\)"):
        f1_gain(np.ones((3, 40)), np.ones((3, 40)))
    with pytest.raises(ValueError, match=r"expected \(2, n\)"):
        f1_gain(np.ones((2, 40)), np.ones((2, 41)))
    with pytest.raises(ValueError, match="each unit needs its group"):
        f1_gain(np.ones((2, 40)), np.ones((2, 40)), np.zeros(3))
