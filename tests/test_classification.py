"""Quality of a classifier: equal to scikit-learn under weights, laws, refusals, and intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from cvkit.stats import resampling
from cvkit.stats.quality import classification
from cvkit.stats.quality.classification import Answers

CLASSES = 4
EXACT = {"rtol": 0, "atol": 1e-12}


def made(seed: int, images: int, classes: int = CLASSES, skill: float = 1.5, decimals: int = 16) -> Answers:
    """A classifier that is too sure of itself; the classes are unequally frequent, few decimals make ties."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    truth = rng.choice(classes, images, p=share)
    logits = rng.normal(size=(images, classes)) + skill * np.eye(classes)[truth]
    table = np.exp(1.5 * logits)
    table = (table / table.sum(axis=1, keepdims=True)).round(decimals)
    return classification.answers(truth, table / table.sum(axis=1, keepdims=True))


def rows_of_weights(seed: int, images: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([np.ones(images), rng.random(images), rng.integers(0, 3, images), rng.random(images) < 0.5])


# -- oracles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_scikit_learn_under_weights(seed: int) -> None:
    """Also where classes are absent, or never said, and where probabilities tie."""
    images = (12, 60, 300)[seed % 3]
    one = made(seed, images, decimals=(16, 1)[seed % 2])
    weights = rows_of_weights(seed, images)
    result, areas = classification.per_class(one, weights), classification.auroc(one, weights)
    shares = classification.accuracy(one, weights)
    for row, weight in enumerate(weights):
        true = np.bincount(one.truth, weight, minlength=CLASSES) > 0
        options = {"labels": np.flatnonzero(true), "average": None, "zero_division": np.nan, "sample_weight": weight}
        expected = metrics.precision_recall_fscore_support(one.truth, one.said, **options)
        for ours, theirs in zip((result.precision, result.recall, result.f1), expected, strict=False):
            np.testing.assert_allclose(ours[row, true], theirs, **EXACT)
            assert np.isnan(ours[row, ~true]).all()
        assert shares[row] == pytest.approx(
            metrics.accuracy_score(one.truth, one.said, sample_weight=weight), abs=1e-12
        )
        for number in np.flatnonzero(true):
            area = metrics.roc_auc_score(one.truth == number, one.probabilities[:, number], sample_weight=weight)
            assert areas[row, number] == pytest.approx(area, abs=1e-12)


def test_macro_averages_are_scikit_learns() -> None:
    one = made(0, 400)
    numbers = classification.summary(one)
    expected = [
        metrics.accuracy_score(one.truth, one.said),
        metrics.balanced_accuracy_score(one.truth, one.said),
        metrics.precision_score(one.truth, one.said, average="macro"),
        metrics.f1_score(one.truth, one.said, average="macro"),
        metrics.roc_auc_score(one.truth, one.probabilities, multi_class="ovr"),
    ]
    assert list(numbers) == list(classification.SUMMARY)
    np.testing.assert_allclose(list(numbers.values())[:-1], expected, **EXACT)
    weight = rows_of_weights(1, 400)[1]
    recall = metrics.balanced_accuracy_score(one.truth, one.said, sample_weight=weight)
    assert classification.summary(one, weight)["balanced_accuracy"] == pytest.approx(recall, abs=1e-12)
    table = metrics.confusion_matrix(one.truth, one.said, sample_weight=weight)
    np.testing.assert_allclose(classification.confusion(one, weight), table, **EXACT)


def test_reliability_is_scikit_learns_curve() -> None:
    one = made(2, 500)
    surety = one.probabilities.max(axis=1)
    result = classification.reliability(one, bins=10)
    right, sure = calibration_curve(one.said == one.truth, surety, n_bins=10, strategy="uniform")
    some = result.n[0] > 0
    np.testing.assert_allclose(result.accuracy[0, some], right, **EXACT)
    np.testing.assert_allclose(result.confidence[0, some], sure, **EXACT)
    gaps = np.abs(right - sure)
    assert result.ece.item() == pytest.approx((result.n[0, some] / 500 * gaps).sum(), abs=1e-12)


def test_error_of_calibration_by_hand() -> None:
    table = [[0.9, 0.1], [0.95, 0.05], [0.6, 0.4], [0.5, 0.5]]
    one = classification.answers([0, 1, 0, 0], table)
    result = classification.reliability(one, bins=10)
    assert result.n[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 2]
    assert result.ece.item() == pytest.approx((2 * abs(0.5 - 0.925) + 0.4 + 0.5) / 4)
    assert classification.reliability(one, bins=1).ece.item() == pytest.approx(0.75 - 0.7375)


# -- laws -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_weights_are_copies_of_images(seed: int) -> None:
    one = made(seed, 30, decimals=2)
    times = np.random.default_rng(seed).integers(0, 4, 30)
    if times.sum() < 2:
        return
    copies = classification.answers(np.repeat(one.truth, times), np.repeat(one.probabilities, times, axis=0))
    weighted, copied = (list(classification.summary(*call).values()) for call in ((one, times), (copies,)))
    np.testing.assert_allclose(weighted, copied, **EXACT)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_images_and_the_scale_of_weights_do_not_matter(seed: int) -> None:
    one, weight = made(seed, 40, decimals=2), np.random.default_rng(seed).random(40)
    order = np.random.default_rng(seed + 1).permutation(40)
    turned = classification.answers(one.truth[order], one.probabilities[order])
    here, there = classification.summary(one, weight), classification.summary(turned, 8 * weight[order])
    np.testing.assert_allclose(list(here.values()), list(there.values()), **EXACT)


def test_perfect_opposite_and_chance() -> None:
    truth = np.arange(40) % 2
    perfect, wrong = (classification.answers(truth, np.eye(2)[side]) for side in (truth, 1 - truth))
    assert list(classification.summary(perfect).values()) == [1, 1, 1, 1, 1, 0]
    assert list(classification.summary(wrong).values()) == [0, 0, 0, 0, 0, 1]
    undecided = classification.summary(classification.answers(truth, np.full((40, 2), 0.5)))
    assert undecided["auroc"] == undecided["accuracy"] == 0.5
    assert undecided["ece"] == 0


def test_many_rows_of_weights_are_one_row_many_times(monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(3, 50)
    rows = np.random.default_rng(3).random((7, 50))
    metric = classification.summary_metric(one)
    alone = np.concatenate([metric(row[None]) for row in rows])
    monkeypatch.setattr(classification, "CELLS", 100)
    np.testing.assert_allclose(metric(rows), alone, **EXACT)


def test_the_input_stays_as_it_is() -> None:
    one = made(4, 50)
    before, weights = one.probabilities.copy(), np.ones((2, 50))
    classification.summary_metric(one)(weights)
    np.testing.assert_array_equal(one.probabilities, before)
    np.testing.assert_array_equal(weights, 1)


# -- what is not known ----------------------------------------------------------------------------------------------


def test_classes_without_truth_are_not_known() -> None:
    one = classification.answers([0, 0, 1, 1], [[0.8, 0.1, 0.1], [0.2, 0.1, 0.7], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1]])
    result = classification.per_class(one)
    for values in (result.precision, result.recall, result.f1, classification.auroc(one)):
        assert np.isnan(values[0]).tolist() == [False, False, True]
    assert classification.summary(one)["balanced_accuracy"] == 0.75
    assert classification.confusion(one).tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]
    taken_out = classification.per_class(one, [1, 1, 0, 0])
    assert np.isnan(taken_out.recall[0]).tolist() == [False, True, True]


def test_a_class_that_is_never_said_has_no_precision_and_no_f1_to_speak_of() -> None:
    result = classification.per_class(classification.labels([0, 1], [0, 0], classes=2))
    assert result.f1[0].tolist() == [pytest.approx(2 / 3), 0]
    assert result.precision[0, 0] == 0.5
    assert math.isnan(result.precision[0, 1])


def test_one_class_alone_has_no_area_and_no_weight_no_number() -> None:
    one = classification.answers([0, 0], [[0.8, 0.2], [0.6, 0.4]])
    assert np.isnan(classification.auroc(one)).all()
    assert np.isnan(list(classification.summary(one, [0, 0]).values())).all()


def test_classes_alone_have_no_area_and_no_calibration() -> None:
    one = classification.labels([0, 1, 1], [0, 1, 0], classes=2)
    numbers = classification.summary(one)
    assert numbers["accuracy"] == pytest.approx(2 / 3)
    assert math.isnan(numbers["auroc"])
    assert math.isnan(numbers["ece"])
    for function in (classification.auroc, classification.reliability):
        with pytest.raises(ValueError, match="need probabilities"):
            function(one)


# -- refusals -------------------------------------------------------------------------------------------------------

HALF = [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("truth", "probabilities", "message"),
    [
        ([0, 1, 2], HALF, r"1 of 3 images have truth that is no class of 0..1; the first is row 2"),
        ([0, -1, 1], HALF, "the first is row 1"),
        ([0, 0.5, 1], HALF, "no class of"),
        ([0, math.nan, 1], HALF, "no class of"),
        (np.ma.array([0, 1, 1], mask=[0, 0, 1]), HALF, "the first is row 2"),
        (
            [0, 1, 1],
            [[0.5, 0.5], [0.5, 0.6], [1, 0]],
            "1 of 3 images have probabilities whose sum is not 1 within 0.001",
        ),
        ([0, 1, 1], [[0.5, 0.5], [math.nan, 0.6], [1, 0]], "outside 0..1, or NaN; the first is row 1"),
        ([0, 1, 1], [[0.5, 0.5], [0, 1], [-0.2, 1.2]], "outside 0..1, or NaN; the first is row 2"),
        ([0, 1], HALF, "2 images, 3 rows"),
        ([0], HALF[:1], "at least 2 images"),
        ([], [], "a row an image"),
        ([0, 0], [[1], [1]], "a column a class, two at least"),
        ([[0, 1, 1]], HALF, r"not \(1, 3\)"),
        (["a", "b", "b"], HALF, "real numbers are needed"),
    ],
)
def test_faulty_answers_are_refused(truth: object, probabilities: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification.answers(truth, probabilities)


def test_faulty_calls_are_refused() -> None:
    one, other = made(0, 20), made(1, 20)
    for call, message in (
        (lambda: classification.labels([0, 1], [0, 2], 2), "what was said that is no class of 0..1"),
        (lambda: classification.labels([0, 1], [0, 1, 1], 2), "2 images, 3 answers"),
        (lambda: classification.reliability(one, bins=0), "at least one bin"),
        (lambda: classification.accuracy(one, np.ones(19)), "each unit needs its weight"),
        (lambda: classification.accuracy(one, -np.ones(20)), "not negative"),
        (lambda: classification.summary(one, np.ones((2, 20))), "one row of weights"),
        (lambda: classification.confusion(one, np.ones((2, 20))), "one row of weights"),
        (lambda: classification.side_by_side(one, other), "truth or their classes differ"),
        (
            lambda: classification.side_by_side(one, classification.labels(one.truth, one.said, CLASSES)),
            "only one of them has probabilities",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_half_precision_is_near_enough() -> None:
    one = made(5, 100, classes=50)
    half = classification.answers(one.truth, one.probabilities.astype(np.float16))
    assert classification.summary(half)["auroc"] == pytest.approx(classification.summary(one)["auroc"], abs=1e-3)


# -- intervals and the paired test ----------------------------------------------------------------------------------


def part_of(whole: Answers, chosen: np.ndarray) -> Answers:
    return classification.answers(whole.truth[chosen], whole.probabilities[chosen])


def coverage(images: int, sets: int) -> np.ndarray:
    """Share of test sets whose 95 % interval holds the population's value, for each number of the summary."""
    whole, rng = made(6, 50_000), np.random.default_rng(7)
    value = np.array(list(classification.summary(whole).values()))
    covered = []
    for _ in range(sets):
        metric = classification.summary_metric(part_of(whole, rng.choice(50_000, images, replace=False)))
        result = resampling.interval(metric, images, replicates=100, bounds=(0, 1))
        covered.append((result.low <= value) & (value <= result.high))
    return np.mean(covered, axis=0)


def test_intervals_cover_the_population() -> None:
    covered = coverage(images=200, sets=200)  # 95 %, sd .015
    assert (covered >= 0.9).all(), dict(zip(classification.SUMMARY, covered, strict=True))
    assert (covered <= 0.99).all(), dict(zip(classification.SUMMARY, covered, strict=True))


def test_a_better_classifier_is_told_from_an_equal_one() -> None:
    first = made(8, 300)
    assert (resampling.compare(_metric(first, first), 300, replicates=50).p_value == 1).all()
    better = first.probabilities * 0.7 + 0.3 * np.eye(CLASSES)[first.truth]
    result = resampling.compare(_metric(first, classification.answers(first.truth, better)), 300, replicates=200)
    assert (result.p_value[:5] < 0.02).all()
    assert (result.low[:5] > 0).all()


def _metric(first: Answers, second: Answers) -> resampling.Metric:
    return classification.summary_metric(classification.side_by_side(first, second))
