"""Anomalies: planted ones are found, few flags are false, a shifted day is none, odd input has a stated result."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import oas
from sklearn.metrics import roc_auc_score

from cvkit.stats import anomaly
from cvkit.stats.correction import benjamini_hochberg

METHODS = pytest.mark.parametrize("method", ["mahalanobis", "neighbours"])
SCALES = np.array([1.0, 50.0, 0.01, 1.0, 1.0, 1.0])


def days(seed: int, count: int, each: int = 30, offset: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Days of images with six numbers each; every day differs as a whole."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, each, 6)) + offset * rng.normal(size=(count, 1, 6))
    return (rows * SCALES).reshape(-1, 6), np.repeat(np.arange(count), each)


@METHODS
def test_of_the_flags_at_most_the_stated_share_is_false_and_most_odd_images_are_found(method: anomaly.Method) -> None:
    level, false, found, alarmed = 0.2, [], [], []
    for seed in range(60):
        normal = anomaly.fit(*days(seed, 20), method=method)
        window, _ = days(1000 + seed, 1)
        window[:3, seed % 6] += 8 * SCALES[seed % 6]
        flagged = benjamini_hochberg(anomaly.p_values(normal, anomaly.score(normal, window))) <= level
        false.append(flagged[3:].sum() / max(1, flagged.sum()))
        found.append(flagged[:3].mean())
        quiet = anomaly.p_values(normal, anomaly.score(normal, window[3:]))
        alarmed.append(bool((benjamini_hochberg(quiet) <= level).any()))
    assert np.mean(false) <= level + 0.05
    assert np.mean(found) > 0.9
    assert np.mean(alarmed) <= level + 3 * np.sqrt(level * (1 - level) / 60)


@METHODS
def test_a_day_that_is_shifted_as_a_whole_is_no_anomaly(method: anomaly.Method) -> None:
    normal = anomaly.fit(*days(0, 20), method=method)
    window, _ = days(99, 1)
    plain, moved = (anomaly.score(normal, window + shift * SCALES) for shift in (0.0, 5.0))
    np.testing.assert_allclose(plain, moved, rtol=1e-4)  # single precision


def test_the_mahalanobis_score_is_that_of_scikit_learn() -> None:
    """Of scaled, aligned columns, whose covariance is shrunk: towards its own diagonal, which here is the identity."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4000, 6)) @ np.linalg.cholesky(0.5 * np.eye(6) + 0.5).T
    normal = anomaly.fit(rows)
    scaled = 3 * np.arcsinh((rows - normal.model.centre) / normal.model.scale / 3)
    covariance, _ = oas(scaled - scaled.mean(axis=0), assume_centered=True)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", scaled[:9], np.linalg.inv(covariance), scaled[:9]))
    np.testing.assert_allclose(anomaly.score(normal, rows[:9]), expected, rtol=0.02)


def test_neighbours_are_those_of_brute_force() -> None:
    rows, groups = days(0, 10)
    normal = anomaly.fit(rows, groups, method="neighbours")
    window, _ = days(5, 1, each=8)  # too few to be aligned
    white = 3 * np.arcsinh((window - normal.model.centre) / normal.model.scale / 3) @ normal.model.whitening
    distances = np.linalg.norm(white[:, None] - normal.model.rows[None, :, :-1], axis=2)
    expected = np.sort(distances, axis=1)[:, anomaly.NEIGHBOURS - 1]
    np.testing.assert_allclose(anomaly.score(normal, window), expected, rtol=1e-4)  # single precision


@pytest.mark.parametrize("known", [3, 5, 60, 507, 2003])
def test_the_fast_search_finds_the_fifth_nearest_of_any_number(known: int) -> None:
    rng = np.random.default_rng(known)
    rows, white = rng.normal(size=(known, 7)), rng.normal(size=(40, 7))
    rows[:: 1 + known // 4] = rows[0]  # copies, which are each other's neighbours
    white[:5] = rows[0]
    table = np.column_stack([rows, (rows**2).sum(axis=1)]).astype(np.float32)
    found = anomaly._to_neighbours(table, white.astype(np.float32))
    squares = np.sort(((white[:, None] - rows[None]) ** 2).sum(axis=2), axis=1)
    np.testing.assert_allclose(found, squares[:, min(known, anomaly.NEIGHBOURS) - 1], rtol=1e-4, atol=1e-4)


@METHODS
def test_odd_images_are_told_as_well_as_by_an_oracle_that_knows_the_normal_law(method: anomaly.Method) -> None:
    """Areas under the ROC curve of scikit-learn, over seeds; the oracle knows covariance and centre."""
    ours, oracle = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        mixing = rng.normal(size=(8, 8))
        normal, usual = rng.normal(size=(2, 400, 8)) @ mixing
        window = np.concatenate([usual, rng.normal(size=(60, 8)) * (mixing**2).sum(axis=0) ** 0.5])
        odd = np.arange(len(window)) >= len(usual)
        found = anomaly.score(anomaly.fit(normal, method=method), window)
        ours.append(roc_auc_score(odd, found))
        oracle.append(roc_auc_score(odd, np.linalg.norm(window @ np.linalg.inv(mixing), axis=1)))
    assert np.mean(ours) > np.mean(oracle) - 0.015
    assert np.min(np.subtract(ours, oracle)) > -0.04


def test_odd_images_do_not_move_what_they_are_held_against() -> None:
    rows, groups = days(0, 20)
    normal = anomaly.fit(rows, groups)
    window, _ = days(7, 1, each=400)
    strange = window.copy()
    strange[:80] += 4 * SCALES
    moved = anomaly.contributions(normal, strange)[80:] - anomaly.contributions(normal, window)[80:]
    plain = (np.median(window, axis=0) - np.median(strange, axis=0)) / normal.model.scale
    assert (np.abs(moved).max(axis=0) < 0.5 * np.abs(plain)).all()


@METHODS
def test_odd_input_has_a_stated_result(method: anomaly.Method) -> None:
    rows, groups = days(0, 10)
    rows[:, 3] = 7.0  # never varies
    rows[::4, 4] = np.nan
    rows[:, 5] = np.nan  # missing on this side
    before = rows.copy()
    normal = anomaly.fit(rows, groups, method=method)
    np.testing.assert_array_equal(rows, before)
    window = np.array([[0, 0, 0, 7, 0, 1.0], [0, 0, 0, 7.5, 0, 1], [np.inf, 0, 0, 7, 0, 1], [np.nan] * 6])
    usual, constant_moved, infinite, nothing = anomaly.score(normal, window)
    assert constant_moved > usual
    assert infinite > usual
    assert np.isnan(nothing)
    assert np.isnan(anomaly.p_values(normal, np.array([np.nan])))[0]
    assert anomaly.score(normal, window[:1]).shape == (1,)
    assert anomaly.score(normal, np.empty((0, 6))).shape == (0,)
    with pytest.raises(ValueError, match="at least 10 normal rows"):
        anomaly.fit(rows[:9])
    with pytest.raises(ValueError, match="not 0"):
        anomaly.fit(np.full((20, 2), np.nan))


def test_what_cannot_teach_is_refused() -> None:
    rows, groups = days(0, 10)
    for few in (10, 11):
        with pytest.raises(anomaly.TooFewError, match="nothing says how strange"):
            anomaly.fit(rows[:few])
    with pytest.raises(anomaly.TooFewError, match="of 300 rows in 1 chunks"):
        anomaly.fit(rows, np.zeros(len(rows)))
    with pytest.raises(ValueError, match="expected rows of"):
        anomaly.fit(np.zeros((3, 20, 2)))
    with pytest.raises(ValueError, match=r"expected rows of 6 columns, not \(4, 2\)"):
        anomaly.score(anomaly.fit(rows, groups), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="method is one of mahalanobis, neighbours, not 'knn'"):
        anomaly.fit(rows, groups, method="knn")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="each row needs its group"):
        anomaly.fit(rows, groups[:-1])


@METHODS
def test_the_unit_of_a_column_changes_nothing(method: anomaly.Method) -> None:
    rows, groups = days(0, 10)
    units = np.array([2.0**660, 1.0, 2.0**-660, *[1.0] * (rows.shape[1] - 3)])
    plain, found = (anomaly.fit(rows * scale, groups, method=method) for scale in (1.0, units))
    np.testing.assert_allclose(anomaly.score(found, rows * units), anomaly.score(plain, rows), rtol=1e-4)


def test_how_many_normal_images_a_flag_needs() -> None:
    normal = anomaly.fit(*days(0, 10))
    assert [anomaly.fewest(normal, images, 0.1) for images in (0, 30, 31, 60, 3000)] == [1, 1, 2, 2, 100]
    p_values = anomaly.p_values(normal, np.array([-1.0, 1e9]))
    assert p_values.tolist() == [1.0, 1 / 301]


def test_the_same_data_teach_the_same() -> None:
    first, second = (anomaly.fit(*days(0, 10)) for _ in range(2))
    np.testing.assert_array_equal(first.calibration, second.calibration)


@pytest.mark.parametrize("p_values", [[], [0.5], [0.01, 0.02, 0.03, 0.9], [0.2, 0.2, 0.2], [1.0, 0.0]])
def test_benjamini_hochberg_as_scipy(p_values: list[float]) -> None:
    from scipy.stats import false_discovery_control

    expected = false_discovery_control(p_values) if p_values else np.empty(0)
    np.testing.assert_allclose(benjamini_hochberg(p_values), expected)


@METHODS
def test_a_column_that_no_normal_row_has_tells_nothing(method: anomaly.Method) -> None:
    rows, groups = days(0, 14)
    lacking = np.column_stack([rows, np.full(len(rows), np.nan)])
    window, _ = days(99, 1)
    fuller = np.column_stack([window, np.arange(len(window), dtype=float)])
    with_it = anomaly.score(anomaly.fit(lacking, groups, method=method), fuller)
    np.testing.assert_allclose(with_it, anomaly.score(anomaly.fit(rows, groups, method=method), window), rtol=0.05)


@pytest.mark.parametrize("constant", [0.0651, 0.1, 0.3, 7.0, 100.1])
def test_a_constant_column_is_told_by_thousandths_whatever_its_rounding(constant: float) -> None:
    rows, groups = days(0, 14)
    normal = anomaly.fit(np.column_stack([rows, np.full(len(rows), constant)]), groups)
    assert normal.model.scale[-1] == pytest.approx(1e-3 * max(1.0, constant))
