"""Labels: how soon they came, whether they speak for the others, and what a plan's weights do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cvkit.data.records import Records
from cvkit.documentation import wording
from cvkit.monitoring import labels
from cvkit.tables import BOXES, FEATURES, FINDINGS, IMAGES, MEASUREMENTS, conform, empty

NONE = pd.Series(dtype=float)


def window(n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images of one camera, a minute apart, none of them labelled, and their features."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2026-11-21", periods=n, freq="min", tz="UTC")
    ids = [f"{number:03d}.jpg" for number in range(n)]
    images = conform(pd.DataFrame({"image_id": ids, "source": "cam-1", "time": times, "predicted": True}), IMAGES)
    numbers = {name: rng.normal(100, 10, n) for name in ("brightness", "contrast", "sharpness", "confidence")}
    features = pd.DataFrame({"image_id": ids, "source": "cam-1", "time": times, "f1": 0.9, **numbers})
    return images, conform(features, FEATURES)


def label(images: pd.DataFrame, which: np.ndarray, after_h: float = 30.0) -> pd.DataFrame:
    moments = images["time"] + pd.Timedelta(hours=after_h)
    return images.assign(labelled=which, label_time=moments.where(which))


def told(images: pd.DataFrame, features: pd.DataFrame, weights: pd.Series = NONE) -> pd.DataFrame:
    return conform(pd.DataFrame(list(labels.rows(images, features, weights))).assign(source="cam-1"), MEASUREMENTS)


def test_coverage_and_lag_are_measured() -> None:
    images, features = window()
    assert list(labels.rows(images, features, NONE)) == []
    late = label(images, np.arange(120) < 30)
    late.loc[:9, "label_time"] += pd.Timedelta(days=5)
    rows = told(late, features).set_index("metric")
    assert rows.loc["coverage", "value"] == 0.25
    assert rows.loc["lag", ["value", "low", "high"]].tolist() == [30, 30, 150]
    assert rows.loc["lag", "n"] == 30


def test_labels_of_alarmed_images_only_are_told_and_do_not_speak_for_the_others() -> None:
    images, features = window()
    unsure = (features["confidence"] < features["confidence"].quantile(0.25)).to_numpy()
    chosen = label(images, unsure)
    flagged = labels.unlike(told(chosen, features))
    assert flagged["feature"].tolist() == ["confidence"]
    assert flagged["effect"].item() < -0.4
    assert labels.speaking(chosen, features, NONE) == set()


def test_labels_of_images_drawn_at_random_are_rarely_doubted() -> None:
    doubted = 0
    for seed in range(200):
        images, features = window(seed=seed)
        drawn = label(images, np.random.default_rng(seed).random(120) < 0.3)
        doubted += len(labels.unlike(told(drawn, features))) > 0
        if seed < 3:
            assert labels.speaking(drawn, features, NONE) == set(drawn.loc[drawn["labelled"], "image_id"])
    assert doubted <= 8  # at most 2 expected


def test_neighbours_that_are_alike_do_not_make_a_labelled_stretch_unlike() -> None:
    """The first hour is labelled so far; brightness wanders slowly, as daylight does: that alone proves little."""
    doubted = 0
    for seed in range(100):
        images, features = window(240, seed)
        steps = np.random.default_rng(seed).standard_normal(240)
        light = np.convolve(steps, np.ones(30) / 30, "same") * 50
        features = features.assign(brightness=100 + light)
        doubted += "brightness" in set(labels.unlike(told(label(images, np.arange(240) < 80), features))["feature"])
    assert doubted <= 15


def test_a_plans_weights_count_and_what_it_did_not_draw_is_left_out() -> None:
    images, features = window(20)
    some = label(images, np.arange(20) < 6)
    weights = pd.Series({"000.jpg": 1.0, "001.jpg": 4.0, "002.jpg": 4.0, "003.jpg": 4.0, "019.jpg": 4.0})
    counted = labels.counted(some, weights)
    assert counted.to_dict() == {"000.jpg": 1.0, "001.jpg": 4.0, "002.jpg": 4.0, "003.jpg": 4.0}
    assert labels.counted(label(images, np.ones(20, bool)), weights).tolist() == [1.0] * 20  # all are there
    assert told(some, features, weights).set_index("metric").loc["weighted", "value"] == pytest.approx(4 / 6)
    assert {"001.jpg", "002.jpg", "003.jpg"} <= labels.speaking(some, features, weights)


def test_thinned_by_weight_a_sample_is_as_if_all_had_been_drawn_alike() -> None:
    rng = np.random.default_rng(0)
    hard = np.repeat([True, False], [1000, 4000])
    drawn = np.where(hard, 0.8, 0.2) > rng.random(5000)
    weights = pd.Series(np.where(hard, 1.25, 5.0), index=[f"image {number}" for number in range(5000)])[drawn]
    kept = labels.evenly(weights)
    of_hard = np.mean([int(name.split()[1]) < 1000 for name in kept])
    assert of_hard == pytest.approx(0.2, abs=0.04)
    assert kept == labels.evenly(weights)
    assert labels.evenly(NONE) == set()


def test_f1_of_images_that_do_not_speak_is_no_evidence() -> None:
    images, features = window()
    unsure = (features["confidence"] < features["confidence"].quantile(0.25)).to_numpy()
    for which, left in ((unsure, 0), (np.arange(120) % 4 == 0, 30)):
        records = Records(label(images, which), empty(BOXES), empty(BOXES), empty(FINDINGS), {})
        known = features.assign(f1=features["f1"].where(which))
        assert labels.only_speaking(records, known, NONE)["f1"].notna().sum() == left


def test_a_report_says_how_labels_came_whom_they_speak_for_and_what_was_estimated() -> None:
    images, features = window()
    unsure = (features["confidence"] < features["confidence"].quantile(0.25)).to_numpy()
    rows = told(label(images, unsure, 80), features)
    said = wording.label_lines(rows)
    assert "30 images have labels, 25%; they came 3 days after the images" in said
    assert "**they are unlike the others: confidence (lower)" in said
    numbers = {"source": "<b>", "feature": "estimate", "value": 0.5, "low": 0.4, "high": 0.6, "expected": 0.7}
    estimates = [{**numbers, "metric": "ap"}, {"source": "cam-2", "feature": "estimate", "metric": "ap"}]
    told_without = wording.estimate_lines(conform(pd.DataFrame(estimates).fillna({"n": 0}), MEASUREMENTS))
    assert "ap 0.50 (0.40 to 0.60; reference 0.70)" in told_without
    assert "<b>" not in told_without
    assert "cam-2**: ? unknown" in told_without
    assert wording.estimate_lines(rows) == ""
