"""Quality without labels: the expectation, its regressions, the band, and when nothing is told."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from cvkit.stats.quality import boxes, classification, detection
from cvkit.stats.quality.box_matching import match
from cvkit.stats.unlabelled import accuracy, chances, estimation, familiar, penalised, signals
from cvkit.stats.unlabelled.estimation import Example
from cvkit.stats.unlabelled.expectation import Chances, simulate

CLASSES, SIDE = 4, 400.0


def world(images: int, seed: int, skill: float, family: str = "", objects: float = 3.0, shift: float = 0.0) -> Example:
    """Objects, and a detector that finds each with odds of `skill` less how hard it is, surer of what is easy."""
    random = np.random.default_rng([seed, images])
    image = np.repeat(np.arange(images), random.poisson(objects, images))
    kind = random.choice(CLASSES, image.size, p=[0.4, 0.3, 0.2, 0.1])
    size = random.uniform(20, 120, (image.size, 2))
    corner = random.uniform(0, 1, (image.size, 2)) * (SIDE - size)
    true = np.concatenate([corner, corner + size], axis=1)
    look = np.random.default_rng([seed, images, round(100 * skill) + 1000])
    easy = skill + random.normal(0, 1.2, image.size)
    seen = np.flatnonzero(look.random(image.size) < 1 / (1 + np.exp(-easy)))
    noise = look.normal(0, 0.06 * np.exp(-0.3 * easy[seen]), (4, seen.size)).T * np.tile(size[seen], 2)
    score = np.clip(1 / (1 + np.exp(-easy[seen] - look.normal(0, 0.5, seen.size))), 0.25, 0.99)
    false = np.repeat(np.arange(images), look.poisson(0.6, images))
    where = look.uniform(0, SIDE - 60, (false.size, 2))
    found = boxes.predictions(
        np.concatenate([image[seen], false]),
        np.concatenate([kind[seen], look.integers(0, CLASSES, false.size)]),
        np.concatenate([np.sort((true[seen] + noise).reshape(-1, 2, 2), axis=1).reshape(-1, 4),
                        np.concatenate([where, where + 50], axis=1)]),
        np.concatenate([score, np.clip(look.beta(2, 4, false.size), 0.25, 0.99)]),
    )  # fmt: skip
    vectors = np.array([2.0, 1 - 0.1 * skill, shift, 0, 0, 0]) + random.normal(0, 0.2, (images, 6))
    scene = signals.scene(images, np.full((images, 2), SIDE), found, vectors)
    return Example(family, scene, boxes.truth(image, kind, true))


SKILLS = {"fog": (1.2, 0.3), "blur": (0.8, -0.4), "noise": (1.0, -0.8)}


def examples(images: int = 60, seed: int = 0) -> list[Example]:
    plain = world(images, seed, 1.8)
    return [plain, *(world(images, seed, skill, name) for name, skills in SKILLS.items() for skill in skills)]


@pytest.fixture(scope="module")
def estimator() -> estimation.Estimator:
    return estimation.fit(examples(), CLASSES)


def by_labels(one: Example) -> np.ndarray:
    ready = chances.learnable(one.scene, one.truth, CLASSES)
    return estimation.truth(ready, np.ones((1, one.scene.images)))[0]


# -- the parts ------------------------------------------------------------------------------------------------------


def test_the_regressions_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    columns, weights = random.normal(size=(400, 3)), random.uniform(0.5, 1.5, 400)
    happened = (random.random(400) < 1 / (1 + np.exp(-columns[:, 0] + 0.5))) * 1.0
    counts = random.poisson(np.exp(0.6 * columns[:, 1])).astype(float)
    theirs = LogisticRegression(C=0.1, tol=1e-10, max_iter=2000).fit(columns, happened, sample_weight=weights)
    ours = penalised.logistic(columns, happened, weights, 10.0)
    np.testing.assert_allclose(ours, [*theirs.intercept_, *theirs.coef_[0]], atol=1e-5)
    np.testing.assert_allclose(penalised.chance(columns, ours), theirs.predict_proba(columns)[:, 1], atol=1e-5)
    rates = PoissonRegressor(alpha=0.1, tol=1e-10, max_iter=2000).fit(columns, counts, sample_weight=weights)
    ours = penalised.poisson(columns, counts, weights, 0.1 * weights.sum())
    np.testing.assert_allclose(ours, [rates.intercept_, *rates.coef_], atol=1e-5)
    np.testing.assert_allclose(penalised.rate(columns, ours), rates.predict(columns), atol=1e-4)


def test_what_never_happened_has_a_small_chance_and_no_slope() -> None:
    columns = np.random.default_rng(0).normal(size=(50, 2))
    never = penalised.logistic(columns, np.zeros(50), np.ones(50), 1.0)
    assert 0 < penalised.chance(columns, never).max() < 0.02
    assert never[1:].tolist() == [0, 0]
    assert penalised.rate(columns, penalised.poisson(columns, np.zeros(50), np.ones(50), 1.0)).max() < 0.02


def test_outcomes_that_are_certain_give_the_number_that_labels_give() -> None:
    made = world(40, 3, 8.0)  # nearly everything is found, some boxes are false
    said, truth = made.scene.predictions, made.truth
    matches = match(truth, said, images=40, categories=CLASSES)
    hit = np.zeros((said.score.size, 10))
    hit[matches.order] = np.minimum.accumulate(matches.hit[0].T, axis=1)
    taken = np.bincount(truth.category, minlength=CLASSES) - np.bincount(
        said.category[hit[:, 0] > 0], minlength=CLASSES
    )
    missed = np.zeros((40, CLASSES))
    assert (taken <= 3).all(), "the made-up detector misses too much for this comparison"
    kept = np.flatnonzero(np.isin(np.arange(truth.image.size), matches.partner[0]))
    sound = boxes.truth(truth.image[kept], truth.category[kept], truth.corners[kept])
    known = Chances(said.image, said.category, said.score, hit, missed, missed, 0.0)
    told = simulate(known, np.ones(40), draws=2, seed=0)
    expected = detection.coco(match(sound, said, images=40, categories=CLASSES))["AP"]
    assert told[0, 0] == pytest.approx(expected, abs=0.002)  # rare boxes are right at .6 and not at .5
    assert told[0].tolist() == told[1].tolist()
    assert told[0, 1] == pytest.approx(hit[:, 0].mean())
    assert told[0, 2] == 1


def test_expectations_of_a_single_box() -> None:
    one, right = np.zeros(1, dtype=np.int64), np.tile(0.7, (1, 10))
    alone = Chances(one, one, np.array([0.9]), right, np.full((1, 1), 0.5), np.zeros((1, 1)), 0.0)
    told = simulate(alone, np.ones(1), draws=20_000, seed=1)
    assert told[:, 1].mean() == pytest.approx(0.7, abs=0.01)
    none = 0.3 * np.exp(-0.5)  # neither right nor anything missed: there is nothing to find
    assert np.isnan(told[:, 0]).mean() == pytest.approx(none, abs=0.01)
    shares = np.array([np.exp(-0.5), 0.5 * np.exp(-0.5), 0.125 * np.exp(-0.5)])  # 0, 1, 2 missed
    rest = 1 - shares.sum()
    assert np.nansum(told[:, 2]) / 20_000 == pytest.approx(0.7 * (shares @ [1, 1 / 2, 1 / 3] + rest / 4), abs=0.01)


def test_copies_of_an_image_share_their_outcome() -> None:
    one, right = np.zeros(1, dtype=np.int64), np.tile(0.5, (1, 10))
    alone = Chances(one, one, np.array([0.9]), right, np.zeros((1, 1)), np.zeros((1, 1)), 0.0)
    assert set(np.unique(simulate(alone, np.full(1, 5.0), draws=200, seed=0)[:, 1])) == {0.0, 1.0}


def test_signals_of_boxes_by_hand() -> None:
    corners = [[0, 0, 40, 20], [0, 0, 40, 10], [50, 50, 70, 90]]
    said = boxes.predictions([0, 0, 1], [0, 0, 1], corners, [0.9, 0.5, 0.6])
    rows = signals.of_boxes(signals.scene(2, [[100, 100], [100, 100]], said))
    assert rows[:, 0] == pytest.approx(np.log([9, 1, 1.5]))
    assert rows[:, 1] == pytest.approx(np.log([0.08, 0.04, 0.08]))
    assert rows[:, 3].tolist() == [1, 1, 0]  # cut by the border
    assert rows[:, 4].tolist() == [0, 0.5, 0]  # half of the surer box
    assert rows[:, 6] == pytest.approx(np.log([3, 3, 2]))
    window = signals.of_window(signals.scene(2, [[100, 100]] * 2, said), np.array([1.0, 3.0]), np.zeros(0), 1.0)
    assert window == pytest.approx([np.log(5 / 4 + 0.1), (0.9 + 0.5 + 3 * 0.6) / 5, (0.9 + 3 * 0.6) / 4])


def test_weights_move_the_density_of_objects() -> None:
    made = world(80, 1, 1.0)
    ready, every = chances.learnable(made.scene, made.truth, CLASSES), np.ones(80, dtype=bool)
    objects = ready.labelled.sum(axis=1)
    for times in (0.5, 1.0, 1.5):
        weights = chances.weights_at(ready, every, times)
        assert weights.mean() == pytest.approx(1)
        assert weights @ objects / 80 == pytest.approx(times * objects.mean(), rel=1e-4)


def test_a_condition_far_from_all_learnt_ones_is_not_familiar() -> None:
    means = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [0, 2]], dtype=float)
    rows = np.random.default_rng(0).normal(size=(10_000, 2))
    known = familiar.learn(means, ["", "a", "a", "b", "b"], rows / rows.std(axis=0) / np.sqrt(2), quantile=1.0)
    assert (known.limit, known.directions, known.spread) == pytest.approx((2.0, 2.0, 1.0), abs=1e-3)
    assert not familiar.strange(known, np.array([3.9, 0.0]), 10_000)
    assert familiar.strange(known, np.array([4.1, 0.0]), 10_000)
    assert not familiar.strange(known, np.array([4.1, 0.0]), 5), "so few images lie that far apart by chance"


# -- the whole ------------------------------------------------------------------------------------------------------


def test_estimates_follow_quality_under_a_family_that_was_not_learnt() -> None:
    """On other images; a constant guess errs two and a half times as much, and the band holds."""
    off, span, held = [], [], []
    for left, skills in SKILLS.items():
        learnt = estimation.fit([one for one in examples(80) if one.family != left], CLASSES)
        for skill in (*skills, 1.8):
            for seed in (11, 12):
                asked = world(80, seed, skill, left)
                truth, told = by_labels(asked), estimation.estimate(learnt, asked.scene)
                assert told.reason == ""
                off.append(told.value - truth)
                span.append(truth)
                held.append((told.low <= truth) & (truth <= told.high))
    errors, spread = np.sqrt(np.mean(np.square(off), axis=0)), np.std(span, axis=0)
    assert errors[0] < min(0.07, spread[0] / 2.5)
    assert errors[1] < 0.03
    assert errors[2] < spread[2] / 1.5
    # 18 windows, and three families to learn a band from: recall, whose misses leave no trace here, is held less often.
    assert (np.mean(held, axis=0) >= [0.8, 0.8, 0.5]).all()


def test_the_same_seed_gives_the_same_estimator_and_leaves_its_input_alone(estimator: estimation.Estimator) -> None:
    given = examples()
    before = [one.scene.predictions.corners.copy() for one in given]
    again = estimation.to_arrays(estimation.fit(given, CLASSES))
    assert all(np.array_equal(again[name], value) for name, value in estimation.to_arrays(estimator).items())
    assert all(np.array_equal(one.scene.predictions.corners, b) for one, b in zip(given, before, strict=True))
    asked = world(50, 5, 1.0).scene
    one, other = (estimation.estimate(estimator, asked) for _ in range(2))
    assert one.value.tolist() == other.value.tolist()


def test_an_estimator_can_be_kept_as_arrays(estimator: estimation.Estimator) -> None:
    file = io.BytesIO()
    np.savez(file, **estimation.to_arrays(estimator))
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        again = estimation.from_arrays(arrays)
        broken = {name: arrays[name] for name in arrays if name != "width"}
    asked = world(50, 5, 1.0).scene
    assert estimation.estimate(again, asked).low.tolist() == estimation.estimate(estimator, asked).low.tolist()
    with pytest.raises(KeyError, match="width"):
        estimation.from_arrays(broken)


def test_the_band_is_narrower_with_more_images(estimator: estimation.Estimator) -> None:
    few, many = (estimation.estimate(estimator, world(n, 5, 1.0).scene) for n in (40, 400))
    assert (many.high - many.low < 0.6 * (few.high - few.low)).all()


def test_a_window_drawn_twice_counts_as_its_copies_do(estimator: estimation.Estimator) -> None:
    asked = world(50, 5, 1.0).scene
    once, twice = (estimation.estimate(estimator, asked, np.full(50, times)) for times in (1, 2))
    assert twice.n == once.n == 50
    np.testing.assert_allclose(once.value, twice.value, atol=0.02)
    assert twice.noise[0] > 0.8 * once.noise[0], "copies are no further witnesses"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (world(20, 5, 1.0).scene, "20 images; 30 are needed"),
        (world(50, 5, 1.0, shift=3.0).scene, "look like none of the conditions"),
        (signals.scene(0, np.zeros((0, 2)), boxes.predictions([], [], np.zeros((0, 4)), []), np.zeros((0, 6))), "0 im"),
    ],
    ids=["few", "another world", "nothing"],
)
def test_what_is_outside_is_unknown(estimator: estimation.Estimator, asked: signals.Scene, words: str) -> None:
    told = estimation.estimate(estimator, asked)
    assert words in told.reason
    assert np.isnan(told.value).all()
    assert np.isnan(told.low).all()


def test_images_without_any_box_are_unknown() -> None:
    plain = [
        dataclasses.replace(one, scene=dataclasses.replace(one.scene, embedding=np.zeros((60, 0))))
        for one in examples()
    ]
    learnt = estimation.fit(plain, CLASSES)
    nothing = signals.scene(40, np.full((40, 2), SIDE), boxes.predictions([], [], np.zeros((0, 4)), []))
    assert "boxes an image is outside" in estimation.estimate(learnt, nothing).reason
    assert (
        estimation.estimate(learnt, signals.scene(60, np.full((60, 2), SIDE), examples()[1].scene.predictions)).reason
        == ""
    )


def test_what_cannot_be_is_refused_in_words(estimator: estimation.Estimator) -> None:
    made = world(50, 5, 1.0)
    with pytest.raises(ValueError, match="whole numbers"):
        estimation.estimate(estimator, made.scene, np.full(50, 0.5))
    with pytest.raises(ValueError, match="embeddings of 6 numbers"):
        estimation.estimate(estimator, dataclasses.replace(made.scene, embedding=np.zeros((50, 0))))
    strange = boxes.predictions([0], [CLASSES], [[0, 0, 9, 9]], [0.5])
    with pytest.raises(ValueError, match="a box is of 4"):
        estimation.estimate(estimator, dataclasses.replace(made.scene, predictions=strange))
    with pytest.raises(ValueError, match="width and height"):
        signals.scene(2, [[10, 10], [np.nan, 10]], strange)
    with pytest.raises(ValueError, match="at least 30 labelled images"):
        estimation.fit(examples(20), CLASSES)
    with pytest.raises(ValueError, match="family ''"):
        estimation.fit(examples()[1:], CLASSES)
    with pytest.raises(ValueError, match="two families"):
        estimation.fit(examples()[:2], CLASSES)


# -- classifiers ----------------------------------------------------------------------------------------------------


def said(n: int, seed: int, sharp: float = 1.0, noise: float = 1.0) -> classification.Answers:
    """Answers whose probabilities are right where `sharp` is 1, and too sure above."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5 / noise, (n, 5))
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (random.random((n, 1)) > right.cumsum(axis=1)).sum(axis=1).clip(0, 4)
    told = np.exp(sharp * logits)
    return classification.answers(truth, told / told.sum(axis=1, keepdims=True))


def test_accuracy_is_the_mean_calibrated_confidence() -> None:
    learnt = accuracy.fit_accuracy([said(4000, 0, sharp=2.0), said(4000, 1, sharp=2.0, noise=1.5)])
    assert learnt.temperature == pytest.approx(2.0, abs=0.1)
    held = []
    for seed in range(100, 200):
        asked = said(200, seed, sharp=2.0, noise=1.2)
        told = accuracy.estimate_accuracy(learnt, asked.probabilities)
        held.append(told.low <= np.mean(asked.said == asked.truth) <= told.high)
    assert 0.82 <= np.mean(held) <= 1.0


def test_a_shift_that_breaks_calibration_widens_the_interval() -> None:
    steady = accuracy.fit_accuracy([said(2000, 0), said(2000, 1)])
    shaken = accuracy.fit_accuracy([said(2000, 0), said(2000, 1, sharp=2.5)])
    widths = [
        one.high - one.low
        for one in (accuracy.estimate_accuracy(e, said(500, 9).probabilities) for e in (steady, shaken))
    ]
    assert widths[1] > 1.5 * widths[0]


def test_accuracy_is_unknown_or_refused_where_nothing_tells() -> None:
    learnt = accuracy.fit_accuracy([said(500, 0)])
    assert "30 are needed" in accuracy.estimate_accuracy(learnt, said(10, 1).probabilities).reason
    assert "outside" in accuracy.estimate_accuracy(learnt, np.full((100, 5), 0.2)).reason
    with pytest.raises(ValueError, match="NaN"):
        accuracy.estimate_accuracy(learnt, np.full((100, 5), np.nan))
    with pytest.raises(ValueError, match="at least 30 images"):
        accuracy.fit_accuracy([])
