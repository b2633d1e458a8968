"""Verdicts: effect and evidence both, facts without evidence, too little data is unknown, and words for each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cvkit.config import RuleSettings
from cvkit.monitoring import rules
from cvkit.monitoring.diagnosis import diagnose
from cvkit.tables import MEASUREMENTS, conform, worst

SETTINGS = RuleSettings()
ALPHA = 1 / 365.25


def rows(*changes: dict[str, object], n: int = 24) -> pd.DataFrame:
    """Measurements of one source: the amount of images, then one row per change."""
    amount = {"feature": "images", "metric": "count", "value": n, "n": n, "n_reference": 100, "expected": 24}
    drift = {"metric": "ks", "n": n, "n_reference": 100, "p_value": 0.5, "p_adjusted": 1.0, "effect": 0.0}
    table = [{"source": "cam", **amount}, *({"source": "cam", **drift, **change} for change in changes)]
    return conform(pd.DataFrame(table), MEASUREMENTS)


def state(table: pd.DataFrame, rule: str, settings: RuleSettings = SETTINGS) -> str:
    verdicts = rules.judge(table, settings)
    return worst(list(verdicts.loc[verdicts["rule"] == rule, "state"]))


@pytest.mark.parametrize(
    ("effect", "p", "expected"),
    [
        (0.1, 1e-9, "ok"),  # certain, but too small to matter
        (2.0, 0.04, "ok"),  # large, but not certain: p < 0.05 every day cries wolf
        (0.5, ALPHA, "warning"),
        (0.8, ALPHA / 10, "critical"),
        (np.inf, 0.0, "critical"),  # a constant feature that changed
        (0.5, np.nan, "unknown"),
    ],
)
def test_drift_needs_an_effect_and_evidence(effect: float, p: float, expected: str) -> None:
    table = rows({"feature": "brightness", "effect": effect, "p_value": p, "p_adjusted": p})
    assert state(table, "drift") == expected


def test_the_budget_decides_how_much_evidence_is_enough() -> None:
    table = rows({"feature": "brightness", "effect": 0.5, "p_value": 0.01, "p_adjusted": 0.01})
    assert state(table, "drift", RuleSettings(false_alarms_per_year=12)) == "warning"
    assert state(table, "drift", RuleSettings(false_alarms_per_year=1)) == "ok"


@pytest.mark.parametrize(
    ("finding", "share", "usual", "p", "expected"),
    [
        ("unreadable", 1 / 24, 0.0, np.nan, "ok"),
        ("unreadable", 2 / 24, 0.0, np.nan, "warning"),
        ("unknown_class", 0.5, 0.0, np.nan, "critical"),
        ("unreadable", 0.30, 0.28, np.nan, "ok"),  # the reference is like that
        ("blurred", 0.3, 0.0, 0.5, "ok"),
        ("blurred", 0.3, 0.0, 1e-6, "critical"),
    ],
)
def test_quality_counts_what_exceeds_the_reference(
    finding: str, share: float, usual: float, p: float, expected: str
) -> None:
    change = {"feature": finding, "metric": "share", "value": share, "expected": usual, "effect": share - usual}
    assert state(rows({**change, "p_value": p, "p_adjusted": p}), "quality") == expected


@pytest.mark.parametrize("n", [0, 1, 19])
def test_too_few_images_are_unknown_never_ok(n: int) -> None:
    assert state(rows(n=n), "data") == "unknown"
    assert (
        state(rows({"feature": "noise", "effect": 9.0, "p_adjusted": 0.0, "p_value": 0.0}, n=n), "drift") == "unknown"
    )


def test_a_source_unknown_to_the_reference_is_unknown() -> None:
    assert state(rows().assign(n_reference=0), "data") == "unknown"


def test_ignored_features_have_no_verdict() -> None:
    table = rows({"feature": "brightness", "effect": 9.0, "p_value": 0.0, "p_adjusted": 0.0})
    settings = RuleSettings(ignore=("brightness",))
    assert state(table, "drift", settings) == "unknown"  # no drift verdict at all
    assert "brightness" not in set(rules.judge(table, settings)["feature"])


def test_a_reason_says_value_expectation_evidence_and_n() -> None:
    mean = {"feature": "brightness", "metric": "mean", "value": 96, "expected": 121, "expected_low": 117,
            "expected_high": 125}  # fmt: skip
    table = rows(mean, {"feature": "brightness", "effect": 1.4, "p_value": 1e-10, "p_adjusted": 2e-9})
    reason = rules.judge(table, SETTINGS).set_index("rule").loc["drift", "reason"]
    for word in ("96", "121", "117 to 125", "grey level", "1.4 reference standard deviations", "2e-09", "24 images"):
        assert word in reason


def history(*states: str, feature: str = "sharpness", source: str = "cam") -> pd.DataFrame:
    days = pd.date_range("2026-10-01", periods=len(states), tz="UTC")
    return pd.DataFrame(
        {"source": source, "rule": "drift", "feature": feature, "state": states, "reason": "", "window_start": days}
    )


def test_a_diagnosis_says_since_when_and_whether_it_lasts() -> None:
    found = diagnose(history("ok", "warning", "unknown", "critical", "ok", "ok", "warning"))
    assert [f"{row.since:%d}" for row in found.itertuples()] == ["07", "02"]
    assert pd.isna(found["until"][0])
    assert f"{found['until'][1]:%d}" == "04"
    assert list(found["state"]) == ["warning", "critical"]


def test_consequences_are_evidence_of_the_cause_they_come_with() -> None:
    table = pd.concat(
        [
            history("ok", "critical", "critical", feature="unknown_class"),
            history("ok", "ok", "warning", feature="confidence"),
            history("warning", "ok", "ok", feature="brightness"),
            history("ok", "ok", "ok", feature="unknown_class", source="other"),
        ]
    )
    found = diagnose(table)
    assert set(found["source"]) == {"cam"}
    assert list(found["evidence"]) == ["unknown_class, confidence", "brightness"]
    assert "new kind of object" in found["what"][0]


def test_a_source_that_fell_silent_is_said_to_be_unknown() -> None:
    found = diagnose(history("ok", "unknown", "unknown", feature="images").assign(rule="data", reason="no images"))
    assert list(found["state"]) == ["unknown"]
    assert f"{found['since'][0]:%d}" == "02"
    assert found["what"][0] == "cannot be judged: no images"
