"""The deployed detector: counts worked by hand, a slow reading of the rules, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cvkit.stats.quality import boxes
from cvkit.stats.quality.box_matching import Matches, match
from cvkit.stats.quality.calibration import calibration
from cvkit.stats.quality.operation import confused, confusion, curve, localisation, operation, pairs, per_image

TRUE = boxes.truth(
    [0, 0, 0, 1, 1, 2],
    [0, 0, 1, 0, 1, 1],
    [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [0, 0, 10, 10], [20, 0, 40, 10], [0, 0, 50, 50]],
    crowd=[0, 0, 0, 0, 0, 1],
)
FOUND = boxes.predictions(
    [0, 0, 0, 0, 1, 2, 0],
    [0, 0, 0, 1, 1, 1, 0],
    [
        [0, 0, 10, 8],  # finds the first, IoU .8
        [0, 0, 10, 10],  # again: false
        [40, 0, 50, 10],  # on the third, which is of the other category
        [40, 0, 50, 10],  # finds the third, IoU 1
        [22, 0, 42, 10],  # finds the fifth, IoU 18 / 22
        [0, 0, 5, 5],  # in the crowd: does not count
        [20, 0, 30, 10],  # would find the second, but is not sure enough
    ],
    [0.9, 0.8, 0.7, 0.6, 0.6, 0.9, 0.2],
)
BOTH = {"images": 4, "categories": 2}
MATCHES = match(TRUE, FOUND, **BOTH)


def test_precision_recall_and_f1_by_hand() -> None:
    result = operation(MATCHES, 0.5)
    assert result.found.tolist() == [[1, 2]]
    assert result.false.tolist() == [[2, 0]]
    assert result.missed.tolist() == [[2, 0]]
    assert result.precision[0].tolist() == pytest.approx([1 / 3, 1])
    assert result.recall[0].tolist() == pytest.approx([1 / 3, 1])
    assert result.f1[0].tolist() == pytest.approx([1 / 3, 1])
    assert operation(MATCHES, 0.1).found.tolist() == [[2, 2]]
    assert operation(MATCHES, 0.5, threshold=0.85).found.tolist() == [[1, 1]]  # the second box fits better


def test_weights_pick_images() -> None:
    rows = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [2, 1, 5, 5], [0, 0, 0, 1]])
    result = operation(MATCHES, 0.5, weights=rows)
    assert result.found.tolist() == [[1, 1], [0, 1], [2, 3], [0, 0]]
    assert result.missed.tolist() == [[1, 0], [1, 0], [3, 0], [0, 0]]
    assert math.isnan(result.precision[1, 0])
    assert result.recall[1, 0] == 0
    assert np.isnan(result.f1[3]).all()


def test_confusion_by_hand() -> None:
    table = confusion(TRUE, FOUND, 0.5, **BOTH)
    # the sure box of the wrong category takes the third label; the right one then finds nothing
    assert table.tolist() == [[1, 0, 2], [1, 1, 0], [1, 1, 0]]
    assert confusion(TRUE, FOUND, 0.5, **BOTH, weights=[0, 3, 1, 1]).tolist() == [[0, 0, 3], [0, 3, 0], [0, 0, 0]]
    assert confusion(TRUE, FOUND, 1.0, **BOTH).tolist() == [[0, 0, 3], [0, 0, 2], [0, 0, 0]]


def test_what_each_box_was_taken_for_by_hand() -> None:
    told = confused(TRUE, FOUND, 0.5, images=4)
    rows = sorted(zip(told.image.tolist(), told.labelled.tolist(), told.predicted.tolist(), strict=True))
    assert rows == [(0, -1, 0), (0, -1, 1), (0, 0, -1), (0, 0, 0), (0, 1, 0), (1, 0, -1), (1, 1, 1)]


def test_localisation_by_hand() -> None:
    found = pairs(MATCHES, 0.5)
    assert found.image.tolist() == [0, 0, 1]
    assert found.iou.tolist() == pytest.approx([0.8, 1, 18 / 22])
    assert found.shift.ravel().tolist() == pytest.approx([0, -0.1, 0, 0, 0.1, 0])
    result = localisation(MATCHES, 0.5, weights=[[1, 1, 1, 1], [0, 2, 0, 0], [0, 0, 1, 1]])
    assert result.n.tolist() == [3, 2, 0]
    assert result.iou.tolist() == pytest.approx([(1.8 + 18 / 22) / 3, 18 / 22, math.nan], nan_ok=True)
    assert result.error.tolist() == pytest.approx((1 - result.iou).tolist(), nan_ok=True)
    assert result.offset.tolist() == pytest.approx([0.2 / 3, 0.1, math.nan], nan_ok=True)
    assert result.shift[1].tolist() == pytest.approx([0.1, 0])
    assert result.stretch[1].tolist() == pytest.approx([1, 1])


def test_images_by_hand() -> None:
    result = per_image(MATCHES, 0.5)
    assert result.found.tolist() == [2, 1, 0, 0]
    assert result.false.tolist() == [2, 0, 0, 0]
    assert result.missed.tolist() == [1, 1, 0, 0]
    assert result.f1.tolist() == pytest.approx([4 / 7, 2 / 3, math.nan, math.nan], nan_ok=True)
    assert result.iou[:2].tolist() == pytest.approx([0.9, 18 / 22])
    assert result.lrp[0] == pytest.approx((0.2 / 0.5 + 0 + 2 + 1) / 5)
    assert math.isnan(result.lrp[3])
    with pytest.raises(ValueError, match="expected less than 1"):
        per_image(MATCHES, 0.5, threshold=1.0)


def test_calibration_by_hand() -> None:
    result = calibration(MATCHES, 0.5, bins=2)
    assert result.edges.tolist() == [0, 0.5, 1]
    assert result.n.tolist() == [[0, 3], [0, 2]]
    assert result.confidence[:, 1].tolist() == pytest.approx([0.8, 0.6])
    assert result.precision[:, 1].tolist() == pytest.approx([1 / 3, 1])
    assert result.iou[:, 1].tolist() == pytest.approx([0.8, (1 + 18 / 22) / 2])
    assert np.isnan(result.confidence[:, 0]).all()
    assert result.dece == pytest.approx(abs(3 / 5 - 3.6 / 5))
    assert result.laece == pytest.approx((abs(0.8 / 3 - 0.8) + abs((1 + 18 / 22) / 2 - 0.6)) / 2)


def test_calibration_of_a_detector_that_is_right_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    count = 40_000
    score = rng.random(count)
    right = rng.random(count) < score
    corner = np.column_stack([np.zeros(count), np.zeros(count)])
    found = boxes.predictions(np.arange(count), np.zeros(count), np.hstack([corner, corner + 10]), score)
    true = boxes.truth(np.flatnonzero(right), np.zeros(right.sum()), np.hstack([corner, corner + 10])[right])
    matches = match(true, found, images=count, categories=1, areas=[(0, 1e10)])
    result = calibration(matches)
    assert result.dece < 0.015
    assert result.laece == pytest.approx(result.dece)  # every box fits exactly
    sure = boxes.predictions(found.image, found.category, found.corners, np.ones(count))
    overconfident = calibration(match(true, sure, images=count, categories=1, areas=[(0, 1e10)]))
    assert overconfident.dece == pytest.approx(1 - right.mean())


def made_up(seed: int) -> tuple[boxes.Truth, boxes.Predictions, Matches]:
    rng = np.random.default_rng(seed)
    n, m = 50, 80
    corner, size = rng.uniform(0, 60, (n, 2)), rng.uniform(10, 60, (n, 2))
    crowd = rng.random(n) < 0.1
    true = boxes.truth(
        rng.integers(5, size=n), rng.integers(3, size=n), np.hstack([corner, corner + size]), crowd=crowd
    )
    near = rng.integers(n, size=m)
    moved = true.corners[near] + rng.normal(0, 4, (m, 4))
    kinds = np.where(rng.random(m) < 0.8, true.category[near], rng.integers(3, size=m))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
    found = boxes.predictions(true.image[near], kinds, moved, rng.permutation(m) / m)
    return true, found, match(true, found, images=5, categories=3)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("confidence", [0.0, 0.4, 0.9, 1.0])
def test_counts_add_up(seed: int, confidence: float) -> None:
    true, found, matches = made_up(seed)
    result, image = operation(matches, confidence), per_image(matches, confidence)
    labelled = np.bincount(true.category[~true.crowd], minlength=3)
    np.testing.assert_array_equal((result.found + result.missed)[0], labelled)
    for name in ("found", "false", "missed"):
        assert getattr(image, name).sum() == getattr(result, name).sum()
    table = confusion(true, found, confidence, images=5, categories=3)
    np.testing.assert_array_equal(table[:3].sum(axis=1), labelled)
    sure = found.score >= confidence
    assert np.all(table[:, :3].sum(axis=0) <= np.bincount(found.category[sure], minlength=3))
    assert calibration(matches, confidence).n.sum() == result.found.sum() + result.false.sum()


@pytest.mark.parametrize("seed", range(10))
def test_less_sure_predictions_do_not_change_the_matches_of_surer_ones(seed: int) -> None:
    true, found, matches = made_up(seed)
    sure = found.score >= 0.5
    fewer = boxes.Predictions(*(getattr(found, name)[sure] for name in found.__slots__))
    alone = operation(match(true, fewer, images=5, categories=3), 0.0)
    whole = operation(matches, 0.5)
    for name in ("found", "false", "missed"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name))


@pytest.mark.parametrize("seed", range(10))
def test_the_curve_is_what_each_confidence_gives(seed: int) -> None:
    _, found, matches = made_up(seed)
    weights = np.random.default_rng(seed).uniform(0.5, 2, matches.images)
    told = curve(matches, weights=weights)
    assert set(told.confidence) <= set(found.score)
    for place, confidence in enumerate(told.confidence):
        at = operation(matches, confidence, weights=weights)
        found_, false, missed = (part.sum() for part in (at.found, at.false, at.missed))
        wanted = [found_ / (found_ + false), found_ / (found_ + missed), 2 * found_ / (2 * found_ + false + missed)]
        assert [told.precision[place], told.recall[place], told.f1[place]] == pytest.approx(wanted)


def test_nothing_at_all() -> None:
    nobody, nothing = boxes.truth([], [], []), boxes.predictions([], [], [], [])
    matches = match(nobody, nothing, images=3, categories=2)
    assert np.isnan(operation(matches, 0.5).f1).all()
    assert per_image(matches, 0.5).found.tolist() == [0, 0, 0]
    assert confusion(nobody, nothing, 0.5, images=3, categories=2).tolist() == [[0] * 3] * 3
    assert math.isnan(calibration(matches).dece)
    assert math.isnan(calibration(matches).laece)
    assert np.isnan(localisation(matches).iou).all()
    with pytest.raises(ValueError, match=r"IoU 0.3 was not matched"):
        operation(matches, 0.5, threshold=0.3)
    with pytest.raises(ValueError, match="at least one bin"):
        calibration(matches, bins=0)
