"""Detectors by scikit-learn's contract: its own checks, and the same numbers as the functions underneath."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from cvkit.stats import anomaly
from cvkit.stats.detectors import AnomalyDetector, DriftDetector

TOGETHER = "rows of a window are judged together"
FEW = "ten rows leave fewer than ten to learn from in each part"
NEAR = "rows that it learnt from are their own neighbours, so none of them is odd"
CASES: list[tuple[Any, dict[str, str]]] = [
    (AnomalyDetector(), {"check_fit2d_1feature": FEW}),
    (AnomalyDetector(align=True), {"check_fit2d_1feature": FEW, "check_methods_subset_invariance": TOGETHER}),
    (AnomalyDetector("neighbours"),
     {"check_fit2d_1feature": FEW, "check_outliers_fit_predict": NEAR, "check_outliers_train": NEAR}),
    (DriftDetector(), {"check_methods_subset_invariance": TOGETHER}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(("detector", "otherwise"), CASES, ids=str)
def test_scikit_learns_own_checks(detector: Any, otherwise: dict[str, str]) -> None:
    done = check_estimator(detector, expected_failed_checks=otherwise, on_fail="raise")
    assert sum(one["status"] == "passed" for one in done) > 35
    assert {one["check_name"] for one in done if one["status"] == "xfail"} == set(otherwise), "a reason that is over"


def test_anomalies_are_found_at_the_stated_share() -> None:
    rng = np.random.default_rng(1)
    normal, fresh = rng.normal(size=(3000, 4)), rng.normal(size=(4000, 4))
    detector = AnomalyDetector(level=0.05).fit(normal)
    assert np.mean(detector.predict(fresh) == -1) == pytest.approx(0.05, abs=0.015)
    odd = np.full((3, 4), 6.0)
    assert (detector.predict(odd) == -1).all()
    assert detector.score_samples(odd).max() < detector.score_samples(fresh).min(), "higher is more normal"
    assert (detector.p_values(odd) < 0.001).all()
    told = detector.score_samples([[np.nan] * 4, [0, np.nan, 0, 0]])
    assert np.isnan(told[0])
    assert detector.predict([[np.nan] * 4]).tolist() == [1], "what cannot be told is not called odd"
    assert np.isfinite(told[1])


def test_aligned_it_is_cvkits_score_of_a_window() -> None:
    rng = np.random.default_rng(2)
    normal, darker = rng.normal(size=(400, 3)), rng.normal(size=(60, 3)) - 5
    groups = np.repeat(np.arange(10), 40)
    aligned = AnomalyDetector(align=True, seed=4).fit(normal, groups=groups)
    under = anomaly.fit(normal, groups, seed=4)
    assert aligned.score_samples(darker).tolist() == (-anomaly.score(under, darker)).tolist()
    assert np.mean(aligned.predict(darker) == 1) > 0.9, "a day that is darker as a whole is no sixty anomalies"
    assert np.mean(AnomalyDetector().fit(normal).predict(darker) == -1) > 0.9


def test_a_shifted_window_is_found_and_each_group_is_a_window() -> None:
    rng = np.random.default_rng(3)
    reference, now = rng.normal(size=(500, 2)), rng.normal(size=(200, 2))
    now[100:, 1] += 1.5
    groups = np.repeat(["a", "b"], 100)
    detector = DriftDetector().fit(reference)
    assert set(detector.predict(now, groups)[:100]) == {1}
    assert set(detector.predict(now, groups)[100:]) == {-1}
    smallest = min(stats.ks_2samp(now[100:, place], reference[:, place]).pvalue for place in (0, 1))
    assert detector.p_values(now, groups)[150] == pytest.approx(2 * smallest, rel=0.02), "two columns, Holm"
    far = stats.wasserstein_distance(now[100:, 1], reference[:, 1]) / reference[:, 1].std(ddof=1)
    assert detector.score_samples(now, groups)[150] == pytest.approx(-far, rel=0.02)
    assert detector.score_samples(now, groups)[0] > detector.score_samples(now, groups)[150]


def test_they_are_cloned_and_stand_in_pipelines() -> None:
    normal = np.random.default_rng(5).normal(size=(200, 3))
    assert clone(AnomalyDetector("neighbours", level=0.2)).get_params()["level"] == 0.2
    piped = make_pipeline(StandardScaler(), AnomalyDetector()).fit(normal)
    assert piped.predict([[0, 0, 0], [50, 0, 0]]).tolist() == [1, -1]
    told = cross_val_score(AnomalyDetector(), normal, scoring=lambda one, rows, _=None: one.score_samples(rows).mean())
    assert np.isfinite(told).all()
    for wrong in (DriftDetector("kolmogorov"), AnomalyDetector("guess")):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="is one of"):
            wrong.fit(normal)
