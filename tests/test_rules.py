"""Verdicts: effect and evidence both, facts without evidence, too little data is unknown, and words for each."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cvkit.config import RuleSettings
from cvkit.monitoring import rules
from cvkit.monitoring.alarms import Alarm
from cvkit.monitoring.diagnosis import behind, diagnose, text
from cvkit.tables import MEASUREMENTS, conform, worst

SETTINGS = RuleSettings()


def rows(*changes: dict[str, object], n: int = 24) -> pd.DataFrame:
    """Measurements of one source: the amount of images, then one row per change."""
    amount = {"feature": "images", "metric": "count", "value": n, "n": n, "n_reference": 100, "expected": 24}
    drift = {"metric": "ks", "n": n, "n_reference": 100, "p_value": 0.5, "p_adjusted": 1.0, "effect": 0.0}
    table = [{"source": "cam", **amount}, *({"source": "cam", **drift, **change} for change in changes)]
    return conform(pd.DataFrame(table), MEASUREMENTS)


def alarm(effect: float = 0.0, evidence: float = -1.0, *, active: bool = False, gradual: float = np.nan) -> Alarm:
    days = [f"2026-10-{day:02d}T00:00:00+00:00" for day in (12, 9, 8, 10)]
    return Alarm(evidence, effect, active, *days, gradual)


def state(
    table: pd.DataFrame,
    rule: str,
    settings: RuleSettings = SETTINGS,
    alarms: dict[tuple[str, str], Alarm] | None = None,
) -> str:
    verdicts = rules.judge(table, settings, alarms or {})
    return worst(list(verdicts.loc[verdicts["rule"] == rule, "state"]))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (alarm(2.0, -0.5), "ok"),  # large, but not certain
        (alarm(0.1, 5.0), "ok"),  # certain, but too small to matter: no alarm was raised
        (alarm(0.5, 0.1, active=True), "warning"),
        (alarm(0.9, 0.1, active=True), "critical"),
        (alarm(np.inf, 9.0, active=True), "critical"),  # a constant feature that changed
        (alarm(0.1, -1.0, active=True), "warning"),  # an alarm lasts until the stream is healthy again
        (None, "unknown"),
    ],
)
def test_drift_is_what_the_alarm_of_its_stream_says(told: Alarm | None, expected: str) -> None:
    table = rows({"feature": "brightness"})
    assert state(table, "drift", alarms={("cam", "brightness"): told} if told else None) == expected
    assert state(table, "drift", alarms={("other", "brightness"): alarm(9.0, 9.0, active=True)}) == "unknown"


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
    table = rows({"feature": "brightness"})
    loud = {("cam", "brightness"): alarm(9.0, 9.0, active=True)}
    settings = RuleSettings(ignore=("brightness",))
    assert state(table, "drift", settings, loud) == "unknown"  # no drift verdict at all
    assert "brightness" not in set(rules.judge(table, settings, loud)["feature"])


def test_a_reason_says_value_expectation_evidence_and_n() -> None:
    mean = {"feature": "brightness", "metric": "mean", "value": 96, "expected": 121, "expected_low": 117,
            "expected_high": 125}  # fmt: skip
    table = rows(mean, {"feature": "brightness"})
    loud = {("cam", "brightness"): alarm(1.4, 2.0, active=True, gradual=0.97)}
    reason = rules.judge(table, SETTINGS, loud).set_index("rule").loc["drift", "reason"]
    for word in ("96", "121", "117 to 125", "grey level", "1.4 reference standard deviations", "24 images",
                 "gradually since 2026-10-09", "between 2026-10-08 and 2026-10-10", "100 times"):  # fmt: skip
        assert word in reason


def test_an_alarm_that_lasts_on_less_evidence_says_since_when() -> None:
    weak = dataclasses.replace(alarm(1.4, -1.0, active=True, gradual=0.97), raised="2026-10-08T00:00:00+00:00")
    table = rows(
        {"feature": "brightness", "metric": "mean", "value": 96.0, "expected": 121.0}, {"feature": "brightness"}
    )
    reason = rules.judge(table, SETTINGS, {("cam", "brightness"): weak}).set_index("rule").loc["drift", "reason"]
    assert "alarm since 2026-10-08, evidence now 0.1 times what an alarm needs" in reason


def history(*states: str, feature: str = "sharpness", source: str = "cam") -> pd.DataFrame:
    days = pd.date_range("2026-10-01", periods=len(states), tz="UTC")
    return pd.DataFrame(
        {"source": source, "rule": "drift", "feature": feature, "state": states, "reason": "", "window_start": days,
         "window_end": days + pd.Timedelta(days=1)}
    )  # fmt: skip


def test_a_champion_that_has_not_measured_the_newest_windows_is_told_of() -> None:
    days = pd.date_range("2026-10-01", periods=4, tz="UTC")
    old = pd.DataFrame({"version": "old", "window_start": days, "status": "done", "finished": days})
    runs = pd.concat([old, old.iloc[1:2].assign(version="new"), old.iloc[3:].assign(version="new", status="failed")])
    runs["window_end"] = runs["window_start"] + pd.Timedelta(days=1)
    assert behind(runs, "old") == behind(runs.iloc[:0], "old") == ""
    words = behind(runs, "new")
    assert "up to 2026-10-04 were measured with version old, not with new" in words
    assert "`cvkit run --from 2026-10-01 --to 2026-10-05`" in words
    assert behind(runs.assign(status="done"), "new") == ""
    assert text(history("ok").iloc[:0], runs, {}, words) == words


def test_windows_without_images_are_not_told_as_if_nothing_had_been_measured() -> None:
    runs = pd.DataFrame({"status": ["failed", "done"]})
    nothing = history("ok").iloc[:0]
    assert text(nothing, runs, {}) == "no images were there in any window that was measured"
    for none in (runs.iloc[:0], runs.iloc[:1]):
        assert text(nothing, none, {}) == "nothing has been measured yet: run `cvkit run`"


def test_what_cannot_be_judged_is_told_since_its_own_reason() -> None:
    """Else a camera that sent too few images for days, and then none, would have sent none for days."""
    few, none = (history(*["unknown"] * 4).assign(reason=reason) for reason in ("too few images", "no images"))
    told = pd.concat([few.iloc[:3], none.iloc[3:]])
    found = diagnose(told).iloc[0]
    assert (found["what"], found["since"]) == ("cannot be judged: no images", told["window_start"].max())


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


def test_of_what_the_whole_picture_shows_the_first_to_stand_out_names_the_cause() -> None:
    dark = pd.concat([history("critical", "critical", feature="brightness"), history("ok", "critical")])
    assert diagnose(dark)["what"].to_list() == ["light changed"]
    assert diagnose(dark)["evidence"].to_list() == ["brightness, sharpness"]
    both = pd.concat([history("critical", "critical", feature="brightness"), history("critical", "critical")])
    assert diagnose(both)["what"].to_list() == ["light changed"]  # darkness takes sharpness with it
    blurred = pd.concat([history("ok", "critical", feature="brightness"), history("critical", "critical")])
    assert "less sharp" in diagnose(blurred)["what"][0]


def days(feature: str, first: int, last: int, of: int = 30) -> pd.DataFrame:
    return history(*("critical" if first <= day <= last else "ok" for day in range(1, of + 1)), feature=feature)


def test_a_broken_line_hides_no_alarm() -> None:
    found = diagnose(pd.concat([days("class_mix", 15, 30), days("bad_record", 25, 25)])).set_index("evidence")
    assert pd.isna(found.loc["class_mix", "until"])
    assert f"{found.loc['class_mix', 'since']:%d}" == "15"
    assert f"{found.loc['bad_record', 'until']:%d}" == "25"


def test_what_outlasts_or_comes_before_a_cause_is_no_consequence_of_it() -> None:
    lasting = diagnose(pd.concat([days("frozen", 5, 6), days("confidence", 6, 30)]))
    assert set(lasting["evidence"]) == {"frozen", "confidence"}
    assert pd.isna(lasting.set_index("evidence").loc["confidence", "until"])
    after = diagnose(pd.concat([days("frozen", 5, 5), days("boxes", 6, 6)]))
    assert set(after["evidence"]) == {"frozen", "boxes"}
    over = diagnose(pd.concat([days("wrong_size", 5, 10), days("sharpness", 6, 12)]))
    assert list(over["evidence"]) == ["wrong_size, sharpness"]


def test_what_could_not_be_judged_is_told_beside_what_could() -> None:
    unknown = history(*["unknown"] * 3, feature="boxes").assign(reason="no predictions")
    also = history("ok", "unknown", "unknown", feature="confidence").assign(reason="no predictions")
    table = pd.concat([history("ok", "ok", "ok"), unknown, also])
    found = diagnose(table)
    assert found["what"].to_list() == ["cannot be judged: no predictions"]
    assert found["evidence"].to_list() == ["boxes, confidence"]
    runs = pd.DataFrame({"status": [], "window_start": []})
    assert "cannot be judged: no predictions (boxes, confidence)" in text(table, runs, {})


def test_a_source_that_fell_silent_is_said_to_be_unknown() -> None:
    found = diagnose(history("ok", "unknown", "unknown", feature="images").assign(rule="data", reason="no images"))
    assert list(found["state"]) == ["unknown"]
    assert f"{found['since'][0]:%d}" == "02"
    assert found["what"][0] == "cannot be judged: no images"


def test_how_few_images_there_are_is_no_reason_of_its_own() -> None:
    counts = [f"{n} images, fewer than 20" for n in (13, 11, 13)]
    few = history(*["unknown"] * 3).assign(reason=counts)
    assert diagnose(few).iloc[0]["since"] == few["window_start"].min()
