"""Rules: which windows meet them, when they fire, and the sentence that says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alert_world import config, day, drift, measured, number, verdict
from hypothesis import given
from hypothesis import strategies as st

from cvkit.config.alerts import AlertRule
from cvkit.errors import ConfigError
from cvkit.monitoring import alerts, conditions
from cvkit.monitoring.history import History


def looks(history: History, *rules: AlertRule, minimum: int = 20) -> dict[tuple[str, str], str]:
    """By rule and source one letter a judged window: x where it meets the rule, . where not."""
    with history.reading() as connection:
        past = alerts.read_past(connection, "m", "external", rules, 14)
    table = conditions.looks(rules, past, minimum)
    return {
        (str(rule), str(source)): "".join("x" if met else "." for met in part["breached"])
        for (rule, source), part in table.groupby(["rule", "source"])
    }


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History.open(f"sqlite:///{tmp_path / 'h.db'}")


def test_a_verdict_of_its_group_meets_a_rule(history: History) -> None:
    for place, (quality, mistakes) in enumerate([("ok", "ok"), ("warning", "ok"), ("ok", "critical")]):
        rows = [verdict("a", "blurred", quality, "quality"), verdict("a", "f1", mistakes), verdict("a", "noise", "ok")]
        measured(history, place, rows)
    rules = [
        AlertRule(name=group, metric=group, state="warning") for group in ("quality", "performance", "drift", "any")
    ]
    critical = AlertRule(name="only-critical", metric="any", state="critical")
    one = AlertRule(name="one", metric="blurred", state="warning")
    assert looks(history, *rules, critical, one) == {
        ("quality", "a"): ".x.", ("performance", "a"): "..x", ("drift", "a"): "...", ("any", "a"): ".xx",
        ("only-critical", "a"): "..x", ("one", "a"): ".x.",
    }  # fmt: skip


def test_unknown_neither_meets_nor_ends_a_rule(history: History) -> None:
    drift(history, "wuo")
    rules = [
        AlertRule(name="drift", metric="drift", state="warning"),
        AlertRule(name="dark", metric="drift", state="unknown"),
    ]
    assert looks(history, *rules) == {("drift", "cam-1"): "x.", ("dark", "cam-1"): ".x."}


def test_late_labels_are_looked_for_far_back(history: History) -> None:
    measured(history, 0, [verdict("a", "f1", "critical")])
    for place in range(1, 50):
        measured(history, place, [verdict("a", "noise", "ok")])
    assert looks(history, AlertRule(name="worse", metric="performance", state="warning")) == {("worse", "a"): "x"}


LIMITS = [
    ({"above": 10.0}, [(9, 9, 9), (12, 8, 16), (12, 11, 13)], "..x"),
    ({"above": 10.0, "sure": False}, [(9, 9, 9), (12, 8, 16), (12, 11, 13)], ".xx"),
    ({"below": 10.0}, [(9, 8, 11), (8, 7, 9), (8, np.nan, np.nan)], ".xx"),
    ({"above": 20.0, "below": 10.0}, [(9, 9, 9), (15, 15, 15), (21, 21, 21)], "x.x"),
    ({"change": 0.2}, [(110, 105, 115), (130, 121, 139), (75, 70, 79)], ".xx"),
]


@pytest.mark.parametrize(("condition", "values", "met"), LIMITS)
def test_numbers_meet_a_limit_with_all_of_their_interval(history: History, condition, values, met) -> None:
    for place, (value, low, high) in enumerate(values):
        measured(history, place, numbers=[number("a", "brightness", value, low=low, high=high, expected=100.0)])
    assert looks(history, AlertRule(name="n", metric="brightness", **condition)) == {("n", "a"): met}


def test_a_number_from_too_few_images_or_without_value_tells_nothing(history: History) -> None:
    measured(history, 0, numbers=[number("a", "brightness", 5.0, n=19)])
    measured(history, 1, numbers=[number("a", "brightness", np.nan)])
    measured(history, 2, numbers=[number("a", "brightness", 5.0, n=20)])
    assert looks(history, AlertRule(name="n", metric="brightness", below=10.0)) == {("n", "a"): "x"}


def test_a_change_needs_something_to_differ_from(history: History) -> None:
    measured(history, 0, numbers=[number("a", "brightness", 5.0)])
    assert looks(history, AlertRule(name="n", metric="brightness", change=0.1)) == {}
    measured(history, 1, numbers=[number("a", "brightness", 0.0, expected=0.0)])
    measured(history, 2, numbers=[number("a", "brightness", 5.0, expected=0.0)])  # from nought all is a change
    assert looks(history, AlertRule(name="n", metric="brightness", change=0.1)) == {("n", "a"): ".x"}


def test_missing_images_and_missing_numbers_are_told_apart(history: History) -> None:
    measured(history, 0, numbers=[number("a", "brightness", 5.0)])
    measured(history, 1, images={"a": 50})
    measured(history, 2, images={"a": 0})
    silent = AlertRule(name="silent", metric="images", missing=True)
    blind = AlertRule(name="blind", metric="brightness", missing=True)
    assert looks(history, silent, blind) == {("silent", "a"): "..x", ("blind", "a"): ".x"}


def test_a_window_that_could_not_be_measured_is_the_models_matter(history: History) -> None:
    measured(history, 0, images={"a": 50})
    history.record_failure("m", "external", day(1), day(1).start, "no weights")
    assert looks(history, AlertRule(name="runs", metric="runs", missing=True)) == {("runs", ""): ".x"}


def test_sources_and_classes_are_chosen_by_patterns(history: History) -> None:
    rows = [
        number(source, "class_boxes", 9.0, class_name=name) for source in ("cam-1", "gate") for name in ("cat", "dog")
    ]
    measured(history, 0, numbers=rows)
    measured(history, 1, numbers=[{**row, "value": 0.0 if row["class_name"] == "dog" else 9.0} for row in rows])
    cats = AlertRule(name="cats", metric="class_boxes", below=1.0, classes=("c*",), sources=("cam-*",))
    dogs = AlertRule(name="dogs", metric="class_boxes", below=1.0, classes=("dog",))
    assert looks(history, cats, dogs) == {("cats", "cam-1"): "..", ("dogs", "cam-1"): ".x", ("dogs", "gate"): ".x"}


def test_it_fires_after_enough_windows_and_is_over_after_one() -> None:
    assert conditions.course([True, True, False, True, True, True], need=3).since == 3
    one = conditions.course([True, True, False])
    assert (one.firing, one.since, one.until, one.stretches) == (False, 0, 2, ((0, 1),))


def test_what_comes_and_goes_becomes_one_alert() -> None:
    flapping = [True, False] * 12
    assert len(conditions.course(flapping, flap=14).stretches) == 2  # the second lasts: one quiet window ends none
    assert len(conditions.course([True, *[False] * 15] * 6, flap=14).stretches) == 6  # far apart each is its own


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5), st.integers(1, 20))
def test_courses_are_lawful(met: list[bool], need: int, flap: int) -> None:
    course = conditions.course(met, need, flap)
    again = conditions.course([*met, *[False] * conditions.LONGEST_QUIET], need, flap)
    assert not again.firing  # whatever was, enough quiet windows end it
    for first, last in course.stretches:
        assert all(met[first : first + need])
        assert met[last] or course.firing
    assert course.firing == bool(course.stretches and course.until == -1)
    fired = max((len(run) for run in "".join("x" if one else " " for one in met).split()), default=0) >= need
    assert fired == bool(course.stretches)


def test_every_rule_is_a_sentence(tmp_path: Path) -> None:
    sentences = [conditions.explain(rule) for rule in config(tmp_path).alerts.all_rules]
    assert sentences[0].startswith("no-images: fires for any source when no image came in a window (severity: critical")
    rule = AlertRule(
        name="dark", metric="brightness", below=40, above=200, sources=("cam-*",), for_windows=2, owner="ops"
    )
    assert conditions.explain(rule) == (
        "dark: fires for sources like cam-* when brightness.mean is above 200 or below 40 with all of its interval in "
        "2 windows in a row (severity: warning; for ops)"
    )


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("{name: a, metric: brightnes, below: 1}", "did you mean `brightness`"),
        ("{name: a, metric: drif, state: warning}", "did you mean `drift`"),
        ("{name: a, metric: brightness.men, below: 1}", "did you mean `mean`"),
        ("{name: a, metric: brightness.f1, below: 1}", "there is no `f1`"),
        ("{name: a, metric: embedding.mean, above: 1}", "embedding_shift"),
        ("{name: a, metric: images.mean, above: 1}", "count"),
        ("{name: a, metric: brightness}", "one condition"),
        ("{name: a, metric: brightness, above: 1, missing: true}", "one condition"),
        ("{name: a, metric: brightness, above: 1, below: 2}", "fires outside"),
        ("{name: a, metric: drift, above: 1}", "for numbers"),
        ("{name: a, metric: runs, above: 1}", "missing: true"),
        ("{name: a, metric: runs, missing: true, sources: [cam-1]}", "of no source"),
        ("{name: a, metric: brightness, above: 1, classes: [cat]}", "`classes` only for"),
        ("{name: a, metric: brightness.ks, change: 0.1}", "`above` or `below` for ks"),
        ("{name: a, metric: class_mix, change: 0.1}", "`above` or `below` for chi_square"),
        ("{name: a, metric: brightness.evidently_nonsense, above: 1}", "there is no `evidently_nonsense`"),
        ("{name: A b, metric: drift, state: warning}", "pattern"),
        ("{name: a, metric: drift, state: warning, for: 0}", "greater than"),
    ],
)
def test_a_rule_that_cannot_be_is_named_at_load(tmp_path: Path, rule: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"alerts\.rules\.0") as error:
        config(tmp_path, f"rules: [{rule}]")
    assert words in str(error.value)
    assert "cvkit.yml:5" in str(error.value)


def test_a_rule_of_a_default_name_takes_its_place(tmp_path: Path) -> None:
    names = [
        rule.name
        for rule in config(tmp_path, "rules: [{name: drift, metric: drift, state: critical}]").alerts.all_rules
    ]
    assert names.count("drift") == 1
    assert [rule.name for rule in config(tmp_path, "defaults: false").alerts.all_rules] == []
    off = config(tmp_path, "rules: [{name: drift, metric: drift, state: critical, enabled: false}]")
    assert "drift" not in [rule.name for rule in off.alerts.all_rules]


def test_nought_is_a_limit(history: History, tmp_path: Path) -> None:
    rules = config(tmp_path, "rules: [{name: new, metric: unknown_class, above: 0, sure: false}]").alerts.rules
    for place, share in enumerate((0.0, 0.02)):
        measured(history, place, numbers=[number("a", "unknown_class", share, "share")])
    assert looks(history, *rules) == {("new", "a"): ".x"}


def test_looks_do_not_change_what_they_look_at(history: History) -> None:
    drift(history, "wo")
    with history.reading() as connection:
        past = alerts.read_past(connection, "m", "external", [AlertRule(name="d", metric="drift", state="warning")], 14)
    before = past.verdicts.copy()
    conditions.looks([AlertRule(name="d", metric="drift", state="warning")], past)
    pd.testing.assert_frame_equal(past.verdicts, before)
