"""Statistics of many columns: brute force and closed forms as oracles, laws, one contract, and false-alarm bands."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import roc_auc_score

from cvkit.stats.change import multivariate, projection

NAMES = sorted(multivariate.ROWS)


def two(seed: int, n: int = 80, m: int = 120, d: int = 6, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + shift, rng.normal(size=(m, d))


def brute_mmd(current: np.ndarray, reference: np.ndarray) -> float:
    width = np.median(pdist(np.concatenate([current, reference])))
    first, second, mixed = (
        np.exp(-(cdist(a, b) ** 2) / (2 * width**2))
        for a, b in ((current, current), (reference, reference), (current, reference))
    )
    n, m = len(current), len(reference)
    return float((first.sum() - n) / (n * (n - 1)) + (second.sum() - m) / (m * (m - 1)) - 2 * mixed.mean())


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (80, 120, 6), (600, 300, 20)])  # the last in several blocks
def test_mmd_equals_brute_force(n: int, m: int, d: int) -> None:
    current, reference = two(n, n, m, d, 0.3)
    found = multivariate.mmd(current + 1e3, reference + 1e3, permutations=5)
    assert found.statistic == pytest.approx(brute_mmd(current, reference), abs=1e-11)


def test_mmds_exchanged_samples_are_each_what_brute_force_says() -> None:
    rows = np.concatenate(two(0, 15, 20, 3))
    rows /= np.median(pdist(rows))
    side = np.arange(35) < 15
    sides = multivariate._exchanged(side, np.arange(35), 20, np.random.default_rng(0))
    within, across = multivariate._exact_sums(rows, sides)
    found = multivariate._unbiased(within, sides, across)
    expected = []
    for chosen in sides.T.astype(bool):
        kernel = np.exp(-0.5 * cdist(rows, rows, "sqeuclidean"))
        off = kernel - np.eye(35)
        first, second = off[np.ix_(chosen, chosen)], off[np.ix_(~chosen, ~chosen)]
        n, m = chosen.sum(), (~chosen).sum()
        expected.append(
            first.sum() / n / (n - 1) + second.sum() / m / (m - 1) - 2 * kernel[np.ix_(chosen, ~chosen)].mean()
        )
    assert found == pytest.approx(expected, abs=1e-12)


def test_random_features_come_close_to_the_exact_mmd() -> None:
    for shift in (0.0, 0.2, 1.0):
        current, reference = two(3, 800, 900, 10, shift)
        exact, near = (multivariate.mmd(current, reference, exact=way, permutations=19) for way in (True, False))
        assert near.statistic == pytest.approx(exact.statistic, abs=0.02)
    assert near.p_value == exact.p_value == 0.05
    assert near.effect == pytest.approx(exact.effect, rel=0.1)


def test_large_samples_take_random_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multivariate, "EXACT_ROWS", 100)
    current, reference = two(4, 60, 60)
    assert multivariate.mmd(current, reference) == multivariate.mmd(current, reference, exact=False)


def test_area_equals_sklearns() -> None:
    rng = np.random.default_rng(0)
    scores, sides = rng.integers(0, 9, (60, 4)).astype(float), (rng.random((60, 4)) < 0.3).astype(float)
    expected = [roc_auc_score(side, score) for side, score in zip(sides.T, scores.T, strict=True)]
    assert multivariate._area(scores, sides) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_classifier_finds_the_best_area_of_two_normal_samples(shift: float) -> None:
    current, reference = two(1, 2000, 2000, 4)
    current[:, 0] += shift
    found = multivariate.classifier(current, reference, permutations=19)
    assert found.effect == pytest.approx(shift, abs=0.1)
    assert found.statistic == pytest.approx(0.5 * math.erfc(-shift / 2), abs=0.02)
    assert found.p_value == 0.05


def test_classifier_sees_a_change_of_spread() -> None:
    current, reference = two(2, 500, 500, 4)
    assert multivariate.classifier(current * 1.5, reference).p_value < 0.02


# -- laws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_grows_with_the_shift(name: str) -> None:
    current, reference = two(5)
    found = [multivariate.ROWS[name](current + shift, reference) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert np.all(np.diff([one.statistic for one in found]) > 0)
    assert np.all(np.diff([one.effect for one in found]) > 0)


def test_mmd_is_symmetric_and_unchanged_by_rotation_and_scale() -> None:
    current, reference = two(6, shift=0.3)
    plain = multivariate.mmd(current, reference)
    assert multivariate.mmd(reference, current).statistic == pytest.approx(plain.statistic, rel=1e-9)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    turned = multivariate.mmd(100 * current @ turn, 100 * reference @ turn)
    assert turned.statistic == pytest.approx(plain.statistic, rel=1e-9)
    assert turned.p_value == plain.p_value


@pytest.mark.parametrize("name", NAMES)
def test_false_alarms_keep_to_their_level(name: str) -> None:
    """500 pairs without drift at level .1: within three standard deviations of it."""
    tails = [multivariate.ROWS[name](*two(seed, 30, 40, 3), permutations=39).p_value for seed in range(500)]
    assert 0.06 <= np.mean(np.array(tails) <= 0.1) <= 0.14


@pytest.mark.parametrize("name", NAMES)
def test_days_that_differ_as_wholes_are_no_drift_when_whole_days_are_exchanged(name: str) -> None:
    """Rows within a day are near copies: exchanged one by one they nearly always seem to drift."""
    alone, whole = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        days = np.repeat(np.arange(12), 12)
        rows = rng.normal(size=(12, 3))[days] + 0.3 * rng.normal(size=(144, 3))
        sides = rows[days < 4], rows[days >= 4]
        statistic = multivariate.ROWS[name]
        alone.append(statistic(*sides, permutations=19).p_value)
        whole.append(statistic(*sides, (days[days < 4], days[days >= 4]), permutations=19).p_value)
    assert np.mean(np.array(alone) <= 0.1) > 0.7
    assert np.mean(np.array(whole) <= 0.1) < 0.2


# -- one contract for all -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    statistic = multivariate.ROWS[name]
    current, reference = two(7)
    copies = current.copy(), reference.copy()
    found = statistic(current, reference)
    assert statistic(current, reference) == found  # seeded
    assert np.array_equal(current, copies[0])
    assert np.array_equal(reference, copies[1])
    assert (found.n, found.n_reference) == (80, 120)
    assert 0 < found.p_value <= 1
    assert found.effect >= 0
    for few in (np.empty((0, 6)), current[:1], np.full((9, 6), np.nan)):
        empty = statistic(few, reference)
        assert math.isnan(empty.statistic)
        assert math.isnan(empty.p_value)
        assert math.isnan(empty.effect)
        assert empty.n == (1 if len(few) == 1 else 0)
        assert empty.n_reference == 120
    dirty = current.copy()
    dirty[:3, 0], dirty[3, 1] = np.nan, np.inf
    assert str(statistic(dirty, reference)) == str(statistic(current[4:], reference))
    same = statistic(np.ones((30, 6)), np.ones((40, 6)))
    assert (same.p_value, same.effect) == (1.0, 0.0)
    apart = statistic(np.zeros((30, 6)), np.ones((40, 6)))
    assert apart.p_value == pytest.approx(1 / 101)
    assert apart.effect == math.inf
    assert statistic(current > 0, reference > 0).n == 80  # booleans
    assert statistic(np.round(current).astype(int), np.round(reference).astype(int)).n == 80
    with pytest.raises(ValueError, match="same columns"):
        statistic(current[:, :5], reference)
    with pytest.raises(ValueError, match="same columns"):
        statistic(current[:, 0], reference)
    with pytest.raises(ValueError, match="needs its group"):
        statistic(current, reference, (np.zeros(3), np.zeros(120)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by", [2.0**-660, 2.0**660])
def test_the_unit_changes_nothing(name: str, by: float) -> None:
    current, reference = two(9, shift=0.5)
    plain, found = multivariate.ROWS[name](current, reference), multivariate.ROWS[name](by * current, by * reference)
    assert (found.statistic, found.p_value) == pytest.approx((plain.statistic, plain.p_value), rel=1e-9)
    assert found.effect == pytest.approx(plain.effect, rel=1e-9)


def test_the_classifier_takes_columns_of_any_unit_together() -> None:
    current, reference = two(10, shift=0.5)
    units = np.array([2.0**660, 1.0, 2.0**-660, 1.0, 1.0, 1.0])
    plain, found = (
        multivariate.classifier(current, reference),
        multivariate.classifier(current * units, reference * units),
    )
    assert found.statistic == pytest.approx(plain.statistic, rel=1e-9)


@pytest.mark.parametrize("by", [2.0**-660, 2.0**660])
def test_the_length_of_an_embedding_changes_nothing(by: float) -> None:
    rows = two(12)[1]
    lengths = np.where(np.arange(len(rows)) % 2, by, 1.0)[:, None]
    np.testing.assert_allclose(projection.unit(rows * lengths), projection.unit(rows), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_exchanged_is_refused(name: str) -> None:
    current, reference = two(11)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="at least one permutation"):
            multivariate.ROWS[name](current, reference, permutations=wrong)
        with pytest.raises(ValueError, match="at least one permutation"):
            multivariate.ROWS[name](current[:1], reference, permutations=wrong)
    with pytest.raises(ValueError, match="groups are two"):
        multivariate.ROWS[name](current, reference, (np.zeros(80),))
    nothing = np.array([None] * 80, dtype=object)
    with pytest.raises(ValueError, match="80 of 80 have none"):
        multivariate.ROWS[name](current, reference, (nothing, np.zeros(120)))


@pytest.mark.parametrize("name", NAMES)
def test_one_chunk_a_side_cannot_tell(name: str) -> None:
    current, reference = two(8, shift=3.0)
    assert multivariate.ROWS[name](current, reference, (np.zeros(80), np.zeros(120))).p_value > 0.3
