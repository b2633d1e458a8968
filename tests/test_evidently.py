"""Evidently: what it is given, that cvkit's own tests run inside it, and a page that asks nobody for anything."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cvkit.config import RuleSettings
from cvkit.data.records import Records
from cvkit.documentation import evidently
from cvkit.errors import DataError, ReportError, StorageError
from cvkit.monitoring import measure, parts, quality
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference
from cvkit.tables import (
    ANOMALIES,
    BOXES,
    FEATURES,
    FINDINGS,
    IMAGES,
    PREDICTION_FEATURES,
    PROPERTIES,
    TIME,
    Window,
    conform,
    empty,
)

NUMBERS = [*PROPERTIES, *PREDICTION_FEATURES]
CAMERAS = ("cam-1", "cam-2")
DAY = Window.day("2026-10-01")
HOSTILE = "</script><script>document.title='taken'</script>"
CHROMIUM = Path("/usr/bin/chromium")


def pictures(days: list[str], seed: int, n: int = 24, shift: float = 0.0) -> pd.DataFrame:
    """Table FEATURES: `n` images per camera and day, alike within a day."""
    rng = np.random.default_rng(seed)
    parts = []
    for camera in CAMERAS:
        for day in days:
            level = rng.normal(100, 3)
            part = pd.DataFrame({name: rng.normal(level, 5, n) for name in NUMBERS})
            part["brightness"] += shift
            part["time"] = pd.date_range(day, periods=n, freq="30min", tz="UTC")
            part["source"], part["mode"], part["file_format"] = camera, "RGB", "JPEG"
            part["image_id"] = [f"{camera}/{day}/{i}.jpg" for i in range(n)]
            parts.append(part)
    features = pd.concat(parts, ignore_index=True)
    return conform(features.assign(content=features["image_id"]), FEATURES)


NOTHING = pd.DataFrame(columns=["image_id", "embedding"])


def observation(features: pd.DataFrame, known: pd.DataFrame | None = None) -> Observation:
    known = pictures([f"2026-09-0{d}" for d in range(1, 9)], 1) if known is None else known
    limits = {str(source): quality.learn(part) for source, part in known.groupby("source")}
    reference = Reference("r", empty(IMAGES), known, empty(BOXES), empty(BOXES), empty(FINDINGS), NOTHING, limits, {})
    records = Records(empty(IMAGES), empty(BOXES), empty(BOXES), empty(FINDINGS), {})
    fields: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(Observation))
    fields |= {"window": DAY, "reference": reference, "records": records, "features": features}
    return Observation(**fields)


@pytest.fixture(scope="module")
def dark() -> Observation:
    """A day on which both cameras are darker, with nothing else wrong."""
    return observation(pictures(["2026-10-01"], 2, shift=-30))


@pytest.fixture(scope="module")
def compared(dark: Observation) -> evidently.Comparison:
    return evidently.compare(dark, "cam-1")


def value(table: pd.DataFrame, feature: str, metric: str) -> float:
    (found,) = table.loc[(table["feature"] == feature) & (table["metric"] == metric), "value"]
    return float(found)


def test_the_datasets_say_what_each_column_is(dark: Observation) -> None:
    current, reference = evidently.datasets(dark)
    definition = current.data_definition
    assert definition.id_column == "image_id"
    assert definition.timestamp == "time"
    assert definition.get_numerical_columns() == NUMBERS
    assert definition.get_categorical_columns() == ["source"]  # mode and format are the same everywhere
    assert len(current.as_dataframe()) == 48
    assert len(reference.as_dataframe()) == 384


def test_the_sample_is_even_over_time_and_always_the_same(dark: Observation) -> None:
    first, again = (evidently.datasets(dark, rows=64)[1].as_dataframe() for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert len(first) == first["image_id"].nunique() == 64
    assert set(first["time"].dt.floor("D").value_counts()) == {8}


def test_copies_and_unreadable_images_are_left_out() -> None:
    features = pictures(["2026-10-01"], 3)
    features.loc[features.index[:10], "content"] = "same"
    features.loc[features.index[10:14], "damage"] = "unreadable"
    current, _ = evidently.datasets(observation(features), "cam-1")
    assert len(current.as_dataframe()) == 24 - 9 - 4


def test_cvkits_tests_give_the_same_numbers_inside_evidently(dark: Observation, compared: evidently.Comparison) -> None:
    apart = parts.apart(
        dark.features, dark.records.predictions, NOTHING, empty(FINDINGS), empty(ANOMALIES), dark.reference.sources
    )
    met = measure.meet(apart, dark.reference)
    own = measure.measure(met, dark.records, dark.features, empty(FINDINGS), dark.reference)
    own = own[own["source"] == "cam-1"].set_index("feature")
    table = evidently.summary(compared).set_index("feature")
    for theirs, ours, column in (("evidently_ks", "ks", "p_value"), ("evidently_psi", "psi", "value")):
        expected = own.loc[own["metric"] == ours, column]
        found = table.loc[table["metric"] == theirs, "value"]
        pd.testing.assert_series_equal(found, expected, check_names=False, rtol=1e-12)
        assert list(found.index) == NUMBERS


def test_the_test_registered_with_evidently_knows_that_images_of_a_day_are_alike() -> None:
    """On healthy days it raises as few false alarms as it says, where Evidently's own test raises many."""
    from evidently.legacy.calculations.stattests.registry import get_registered_stattest
    from evidently.legacy.core import ColumnType

    evidently.register_tests()
    alarms = dict.fromkeys(("ks", "cvkit_ks"), 0)
    times = pd.date_range("2026-09-01", "2026-09-16", freq="1h", tz="UTC", inclusive="left").floor("D")
    for seed in range(100):
        rng = np.random.default_rng(1000 + seed)
        series = pd.Series(np.repeat(rng.normal(100, 3, 15), 24) + rng.normal(0, 5, 360), index=times)
        known, new = series[:"2026-09-14"], series["2026-09-15":]
        for name in alarms:
            alarms[name] += get_registered_stattest(name, ColumnType.Numerical)(known, new, "num", 0.05).drifted
    assert alarms["cvkit_ks"] <= 11  # 5 expected; P(more than 11) < 0.5 %
    assert alarms["ks"] >= 25


def test_the_change_is_found_and_nothing_else(compared: evidently.Comparison) -> None:
    table = evidently.summary(compared)
    assert value(table, "brightness", "evidently_ks") <= compared.alpha
    assert value(table, "brightness", "evidently_psi") > 1
    assert value(table, "brightness", "evidently_out_of_range") > 0.05
    assert value(table, "all_features", "evidently_drift_share") == pytest.approx(1 / len(NUMBERS))


def test_rules_are_tested_beside_drift(dark: Observation) -> None:
    strict = RuleSettings(minimum_images=30, ignore=("confidence",))
    compared = evidently.compare(dark, "cam-1", strict)
    outcome = {test.name: test.status.name for test in compared.snapshot.tests_results}
    (amount,) = (status for name, status in outcome.items() if "ow" in name and "30" in name)
    assert amount == "FAIL"  # 24 images
    (dim,) = (status for name, status in outcome.items() if "'brightness' values out of range" in name)
    assert dim == "FAIL"
    assert compared.sides.left_out["confidence"] == "the rules ignore it"


def test_a_sample_is_not_taken_for_too_few_images(dark: Observation) -> None:
    compared = evidently.compare(dark, rows=10)
    assert not [t for t in compared.snapshot.tests_results if "ow" in t.name and "20" in t.name]


def test_the_page_says_what_it_is_and_is_small(compared: evidently.Comparison, tmp_path: Path) -> None:
    path = evidently.write_report(compared, tmp_path / "deep" / "02-drift.evidently.html")
    page = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 5_000_000
    assert "<title>Evidently: 2026-10-01, cam-1</title>" in page
    assert "24 images of the window and 192 images of the reference" in page
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert not [file for file in path.parent.iterdir() if file != path]


def test_the_page_says_that_it_is_a_sample(dark: Observation, tmp_path: Path) -> None:
    page = evidently.write_report(evidently.compare(dark, rows=40), tmp_path / "x.html").read_text(encoding="utf-8")
    assert "40 of 48 images, drawn evenly over time, of the window" in page
    assert "40 of 384 images" in page


def test_a_page_that_would_be_too_large_is_not_written(
    compared: evidently.Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidently, "MOST_BYTES", 1_000_000)
    with pytest.raises(ReportError, match="at most 1 MB"):
        evidently.write_report(compared, tmp_path / "x.html")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_is_told(compared: evidently.Comparison, tmp_path: Path) -> None:
    (tmp_path / "x.html").mkdir()
    with pytest.raises(StorageError):
        evidently.write_report(compared, tmp_path / "x.html")
    assert [file.name for file in tmp_path.iterdir()] == ["x.html"]


@pytest.mark.parametrize("source", ["", "cam-1", "cam-9"])
def test_no_image_is_told(source: str) -> None:
    with pytest.raises(DataError, match="window has no readable image"):
        evidently.compare(observation(pictures(["2026-10-01"], 2)[:0]), source)


def test_a_source_the_reference_does_not_know_is_told() -> None:
    features = pictures(["2026-10-01"], 2)
    features["source"] = "cam-9"
    with pytest.raises(DataError, match="reference has no readable image"):
        evidently.compare(observation(features), "cam-9")


def test_nothing_to_compare_is_told() -> None:
    features = pictures(["2026-10-01"], 2)
    features[NUMBERS] = np.nan
    with pytest.raises(DataError, match="no feature can be compared"):
        evidently.compare(observation(features), "cam-1")


def odd(kind: str) -> Observation:
    features, known = pictures(["2026-10-01"], 2), None
    if kind == "one image":
        features = features[:1]
    elif kind == "constant":
        features[NUMBERS] = 7.0
    elif kind == "rounding":
        features["noise"] = 0.1
        features.loc[3, "noise"] = np.nextafter(0.1, 1)
    elif kind == "infinite":
        features.loc[::2, "noise"], features["sharpness"] = np.inf, -np.inf
    elif kind == "no times":
        features["time"] = pd.Series(pd.NaT, index=features.index, dtype=TIME)
    elif kind == "one day":
        known = pictures(["2026-09-01"], 1)
    elif kind == "no sources":
        known = pictures([f"2026-09-0{d}" for d in range(1, 5)], 1).assign(source="")
    return observation(features, known)


KINDS = ["one image", "constant", "rounding", "infinite", "no times", "one day", "no sources"]


@pytest.mark.parametrize("kind", KINDS)
def test_odd_data_gives_a_page_and_numbers(kind: str, tmp_path: Path) -> None:
    compared = evidently.compare(odd(kind))
    assert evidently.write_report(compared, tmp_path / "x.html").stat().st_size < 5_000_000
    table = evidently.summary(compared)
    assert not table.duplicated(["source", "feature", "metric"]).any()
    assert not np.isinf(table["value"]).any()
    assert table.loc[table["metric"] == "evidently_ks", "value"].isna().all() == (kind == "one day")
    left_out = {"infinite": "sharpness", "rounding": "noise", "no sources": "source"}.get(kind)
    assert left_out is None or left_out in compared.sides.left_out


def test_the_window_is_not_changed(dark: Observation) -> None:
    before = dark.features.copy(), dark.reference.features.copy()
    evidently.datasets(dark, rows=5)
    pd.testing.assert_frame_equal(before[0], dark.features)
    pd.testing.assert_frame_equal(before[1], dark.reference.features)


def test_importing_the_module_loads_no_evidently_and_tracking_is_off_in_time() -> None:
    code = (
        "import os, sys, cvkit.documentation.evidently as e; assert 'evidently' not in sys.modules\n"
        "os.environ.pop('DO_NOT_TRACK', None); e.register_tests(); assert 'evidently' in sys.modules\n"
        "print(os.environ['DO_NOT_TRACK'])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium at /usr/bin/chromium")
def test_the_page_works_in_a_browser_and_asks_nobody(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    features = pictures(["2026-10-01"], 2)
    features["source"] = features["source"].replace("cam-2", HOSTILE)
    path = evidently.write_report(evidently.compare(observation(features)), tmp_path / "x.html")
    requests, complaints = [], []
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        page.get_by_text("Data Drift Summary").wait_for(timeout=20_000)
        page.get_by_text("cvkit KS p-value").first.wait_for()
        assert page.title() == "Evidently: 2026-10-01"
        browser.close()
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
    assert not complaints
