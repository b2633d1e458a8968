"""Evidence: what is collected from a history written by hand, the record of decisions, and the command."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from alert_world import START, config, day, measured, number, verdict
from scipy import stats

from cvkit import cli
from cvkit.config import Config, ReferenceSettings, parse_config
from cvkit.config.champion import Champions, Promotion, text
from cvkit.data.records import Records
from cvkit.errors import ConfigError, DataError, StorageError
from cvkit.maintenance import recalibration
from cvkit.maintenance.decision import decide
from cvkit.maintenance.decisions import decisions, record
from cvkit.maintenance.evidence import collect
from cvkit.maintenance.facts import Evidence, Source, plain
from cvkit.maintenance.updates import attempts, updates
from cvkit.monitoring import schema
from cvkit.monitoring.entries import Entries
from cvkit.monitoring.history import History
from cvkit.tables import BOXES, FINDINGS, IMAGES, MEASUREMENTS, VERDICTS, Window, conform, empty

NOW = START + timedelta(days=20)
FALLING = [0.9, 0.91, 0.89, 0.9, 0.9, 0.8, 0.7, 0.72, 0.65, 0.6]  # the change is on day 5


@pytest.fixture
def world(tmp_path: Path) -> Any:
    settings = config(tmp_path)
    with History.open(settings.history_url) as history:
        yield settings, history


def labelled(source: str, f1: float, n: int = 12, **more: Any) -> list[dict[str, Any]]:
    rows = [
        number(source, "performance", f1, "f1", expected=0.9, **more),
        number(source, "performance", 1.0, "coverage"),
    ]
    return [{**row, "n": n} for row in rows]


def course(history: History, values: list[float], source: str = "cam-1", bad_from: int = 5, **more: Any) -> None:
    for place, value in enumerate(values):
        state = "critical" if place >= bad_from else "ok"
        measured(history, place, [verdict(source, "f1", state)], labelled(source, value, **more))


def only(settings: Config, history: History, now: datetime = NOW) -> Source:
    found = collect(settings, history, now)
    assert len(found.sources) == 1
    return found.sources[0]


def promoted(folder: Path, *entries: tuple[str, str, int]) -> None:
    (folder / "versions").mkdir(exist_ok=True)
    log = tuple(Promotion(version, how, "ann", "x", day(at).start) for version, how, at in entries)
    (folder / "versions" / "champion.json").write_text(text(Champions("", ReferenceSettings(data="data.yaml"), log)))


# -- numbers --------------------------------------------------------------------------------------------------------


def test_performance_since_the_change_with_its_interval_and_keys(world: Any) -> None:
    settings, history = world
    course(history, FALLING)
    found = only(settings, history)
    since = FALLING[5:]
    low, high = stats.t.interval(0.95, len(since) - 1, np.mean(since), stats.sem(since))
    assert (found.f1.value, found.f1.low, found.f1.high) == pytest.approx((np.mean(since), low, high))
    assert (found.f1.n, found.f1.expected) == (5, 0.9)
    assert found.f1.keys == tuple(f"{day(place).label}/cam-1/performance.f1" for place in range(5, 10))
    assert found.worse is True
    assert (found.since, found.changes[0].key) == (day(5).start, f"{day(9).label}/cam-1/drift:f1")
    assert found.labelled == 5 * 12
    assert found.decay.n == 10
    assert found.decay.slope == pytest.approx(stats.linregress(range(10), FALLING).slope)


def test_only_the_newest_windows_tell_how_it_is_now(world: Any) -> None:
    settings, history = world
    course(history, [0.5] * 5 + [0.9] * 7, bad_from=99)
    found = only(settings, history)
    assert (found.f1.value, found.f1.n, found.worse) == (pytest.approx(0.9), 7, False)
    assert found.labelled == 12 * 12  # nothing changed: all since the first


def test_one_window_brings_its_own_interval(world: Any) -> None:
    settings, history = world
    course(history, [0.8], low=0.7, high=0.85)
    assert (only(settings, history).f1.low, only(settings, history).f1.high) == (0.7, 0.85)
    measured(history, 0, [verdict("cam-1", "f1", "ok")], labelled("cam-1", 0.8))
    assert np.isnan(only(settings, history).f1.low)


def test_labels_from_before_a_change_say_nothing_of_it(world: Any) -> None:
    """Labels come late: F1 was well, then the picture changed, and nobody has labelled since."""
    settings, history = world
    for place in range(12):
        rows = [verdict("cam-1", "brightness", "ok" if place < 5 else "warning")]
        if place < 5:
            measured(history, place, [*rows, verdict("cam-1", "f1", "ok")], labelled("cam-1", 0.9))
        else:
            measured(history, place, [*rows, verdict("cam-1", "f1", "unknown")])
    found = only(settings, history)
    assert (found.worse, found.f1.n, found.labelled) == (None, 0, 0)
    assert [(one.feature, one.part, one.onset) for one in found.changes] == [("brightness", "appearance", day(5).start)]
    assert decide(collect(settings, history, NOW), settings.retraining).policy == "harm-unknown"


def test_mistakes_are_not_forgotten_when_labels_stop(world: Any) -> None:
    settings, history = world
    course(history, FALLING)
    for place in range(10, 18):
        measured(history, place, [verdict("cam-1", "f1", "unknown"), verdict("cam-1", "noise", "warning")])
    found = only(settings, history)
    assert found.worse is True
    assert {one.feature for one in found.changes} == {"noise", "f1"}


def test_estimates_bring_their_band(world: Any) -> None:
    settings, history = world
    for place in range(10):
        told = number("cam-1", "estimate", 0.4 + place / 100, "ap", low=0.3, high=0.5 + place / 100, expected=0.6)
        measured(history, place, [verdict("cam-1", "brightness", "ok")], [told])
    found = only(settings, history).estimate
    assert (found.value, found.low, found.high, found.expected, found.n) == pytest.approx((0.46, 0.3, 0.56, 0.6, 7))


def test_the_stream_says_since_when_how_and_how_much(world: Any) -> None:
    settings, history = world
    onset, raised = day(2).start.isoformat(), day(4).start.isoformat()
    entry = {"start": day(5).start.isoformat(), "evidence": 1.0, "effect": 2.5, "onset": onset, "first": onset,
             "last": onset, "gradual": 0.97}  # fmt: skip
    episode = {"raised": raised, "ended": None, "onset": onset, "first": onset, "last": onset}
    state = {"windows": Entries.of([], [entry]), "episodes": [episode]}
    rows = conform(pd.DataFrame([verdict("cam-1", "embedding", "critical")]), VERDICTS)
    history.record(
        model="m", version="external", window=day(5), reference_id="r", rules_id="r", verdicts=rows, images=9,
        measurements=conform(pd.DataFrame([number("cam-1", "images", 9, "count", n_reference=5)]), MEASUREMENTS),
        bad_images=0, started=START, streams={("cam-1", "embedding"): state},
    )  # fmt: skip
    (found,) = only(settings, history).changes
    assert (found.onset, found.gradual, found.effect) == (day(2).start, 0.97, 2.5)
    assert only(settings, history).known


def test_faults_odd_images_and_unknown_classes_are_told_apart(world: Any) -> None:
    settings, history = world
    for place in range(3):
        rows = [verdict("cam-1", feature, "critical", "quality") for feature in ("blurred", "strange", "unknown_class")]
        rows += [verdict("cam-1", "truncated", "warning", "quality"), verdict("cam-1", "frozen", "ok", "quality")]
        measured(history, place, rows, labelled("cam-1", 0.9))
    found = only(settings, history)
    assert [(one.finding, one.state) for one in found.faults] == [("truncated", "warning")]
    assert found.new_class == f"{day(2).label}/cam-1/quality:unknown_class"
    assert found.odd == f"{day(2).label}/cam-1/quality:strange"
    measured(history, 3, [verdict("cam-1", "truncated", "ok", "quality")], labelled("cam-1", 0.9))
    assert only(settings, history).faults == ()  # of the newest window


def test_a_source_that_falls_silent_is_told(world: Any) -> None:
    settings, history = world
    measured(history, 0, [verdict("cam-1", "images", "unknown", "data")], images={"cam-1": 0})
    made = decide(collect(settings, history, NOW), settings.retraining)
    assert (made.action, made.policy) == ("repair the data", "broken-data")


# -- updates --------------------------------------------------------------------------------------------------------


def test_only_windows_since_the_update_count_and_the_version_before_is_known(world: Any, tmp_path: Path) -> None:
    settings, history = world
    for place in range(4):
        history.record(
            model="m", version="old", window=day(place), reference_id="r", rules_id="r", images=9, bad_images=0,
            measurements=conform(pd.DataFrame(labelled("cam-1", 0.9)), MEASUREMENTS), started=START,
            verdicts=conform(pd.DataFrame([verdict("cam-1", "f1", "ok")]), VERDICTS),
        )  # fmt: skip
    course(history, [0.9] * 4 + [0.5] * 6, bad_from=4)
    promoted(tmp_path, ("old", "adopted", 0), ("external", "promoted", 4))
    found = collect(settings, history, NOW)
    assert found.update is not None
    assert (found.update.before, found.update.at, found.first) == ("old", day(4).start, day(4).start)
    (source,) = found.sources
    assert (source.labelled, source.f1.value, source.before.value, source.before.n) == (
        72, pytest.approx(0.5), pytest.approx(0.9), 4,
    )  # fmt: skip
    made = decide(found, settings.retraining)
    assert (made.action, made.policy) == ("roll back", "bad-update")


def test_right_after_an_update_nothing_is_known_yet(world: Any, tmp_path: Path) -> None:
    settings, history = world
    course(history, FALLING)
    promoted(tmp_path, ("old", "adopted", 0), ("external", "promoted", 15))
    found = collect(settings, history, NOW)
    assert (found.sources, found.window) == ((), None)
    assert decide(found, settings.retraining).action == "keep"


def test_who_names_other_weights_is_not_held_to_the_log(world: Any, tmp_path: Path) -> None:
    settings, history = world
    course(history, FALLING)
    promoted(tmp_path, ("external", "adopted", 3), ("another", "promoted", 15))
    assert collect(settings, history, NOW).update is None


def test_a_way_back_is_known_as_one_and_what_is_named_in_the_file_is_no_update(world: Any, tmp_path: Path) -> None:
    settings, _ = world
    assert updates(settings) == ()
    promoted(tmp_path, ("a", "adopted", 0))
    assert updates(settings) == ()
    promoted(tmp_path, ("a", "adopted", 0), ("b", "promoted", 1), ("a", "rolled back", 2), ("c", "adopted", 3),
             ("d", "promoted", 4), ("d", "promoted", 5))  # fmt: skip
    told = [(one.version, one.before, one.at, one.back) for one in updates(settings)]
    assert told == [("b", "a", day(1).start, False), ("a", "b", day(2).start, True), ("d", "c", day(4).start, False)]


@pytest.mark.parametrize("content", ["{", "[]", '{"log": [{"version": "a", "how": "adopted"}]}', '{"log": 3}',
                                  '{"log": [{"version": "a", "how": "adopted", "when": "soon"}]}'])  # fmt: skip
def test_a_damaged_log_is_named(world: Any, tmp_path: Path, content: str) -> None:
    settings, history = world
    course(history, FALLING)
    promoted(tmp_path)
    (tmp_path / "versions" / "champion.json").write_text(content)
    with pytest.raises(StorageError, match=r"champion\.json"):
        collect(settings, history, NOW)


def test_only_trainings_that_were_refused_are_attempts(world: Any, tmp_path: Path) -> None:
    settings, history = world
    course(history, FALLING)
    for name, kind, outcome in (("a", "incremental", "refused"), ("b", "full", "passed"), ("c", "adopted", "refused")):
        (tmp_path / "versions" / name).mkdir(parents=True)
        facts = {"kind": kind, "parent": "external", "made": day(12).start.isoformat()}
        (tmp_path / "versions" / name / "version.json").write_text(json.dumps(facts))
        (tmp_path / "versions" / name / "gate.json").write_text(json.dumps({"outcome": outcome}))
    (found,) = attempts(settings)
    assert (found.version, found.kind, found.made) == ("a", "incremental", day(12).start)
    assert decide(collect(settings, history, NOW), settings.retraining).policy == "second-try"
    (tmp_path / "versions" / "a" / "version.json").write_text('{"kind": "full"}')
    with pytest.raises(StorageError, match=r"version\.json"):
        attempts(settings)


def test_nothing_measured_is_said(world: Any) -> None:
    settings, history = world
    with pytest.raises(DataError, match="cvkit run"):
        collect(settings, history, NOW)


# -- another confidence ---------------------------------------------------------------------------------------------


def seen(false_score: float, window: Window, images: int = 20) -> Records:
    """Images with one box each that is found surely, and one false box of a lower confidence on most."""
    ids = [f"captures/cam-1/{window}/{number}.jpg" for number in range(images)]
    times = [window.start + timedelta(minutes=number) for number in range(images)]
    table = pd.DataFrame({"image_id": ids, "path": ids, "source": "cam-1", "time": times})
    true = {"class_id": 0, "x1": 0.0, "y1": 0.0, "x2": 20.0, "y2": 20.0}
    wrong = {**true, "x1": 50.0, "x2": 70.0, "confidence": false_score}
    said = [{"image_id": one, **true, "confidence": 0.9} for one in ids] + [
        {"image_id": one, **wrong} for one in ids[3:]
    ]
    return Records(
        conform(table.assign(predicted=True, labelled=True), IMAGES), conform(pd.DataFrame(said), BOXES),
        conform(pd.DataFrame([{"image_id": one, **true} for one in ids]), BOXES), empty(FINDINGS), {0: "cat"},
    )  # fmt: skip


@pytest.mark.parametrize(("false_score", "action"), [(0.4, "recalibrate"), (0.9, "retrain incrementally")])
def test_false_boxes_that_are_less_sure_ask_for_another_confidence(
    world: Any, monkeypatch: pytest.MonkeyPatch, false_score: float, action: str
) -> None:
    settings, history = world
    course(history, FALLING)
    monkeypatch.setattr(recalibration.monitor, "seen", lambda config, window: (seen(false_score, window), None))
    found = only(settings, history).restored
    assert found is not None
    assert found.now == pytest.approx(2 * 20 / (2 * 20 + 17))
    assert (found.f1 > 0.99) == (action == "recalibrate")
    assert decide(collect(settings, history, NOW), settings.retraining).action == action


def test_images_that_are_gone_leave_it_unknown(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*asked: object) -> None:
        raise DataError("the captures are gone")

    settings, history = world
    course(history, FALLING)
    monkeypatch.setattr(recalibration.monitor, "seen", gone)
    assert only(settings, history).restored is None


# -- the record -----------------------------------------------------------------------------------------------------


def facts(world: Any) -> Evidence:
    settings, history = world
    course(history, FALLING)
    return collect(settings, history, NOW)


def test_the_same_decision_on_the_same_evidence_is_recorded_once(world: Any) -> None:
    settings, history = world
    found = facts(world)
    made = decide(found, settings.retraining)
    assert record(history, found, made)
    later = collect(settings, history, NOW + timedelta(hours=3))
    assert (later.decided, later.decided_since) == (made.action, NOW)
    assert not record(history, later, decide(later, settings.retraining))
    measured(history, 10, [verdict("cam-1", "f1", "critical")], labelled("cam-1", 0.5))
    newer = collect(settings, history, NOW + timedelta(days=1))
    assert record(history, newer, decide(newer, settings.retraining))
    told = decisions(history, "m")
    assert list(told["action"]) == [made.action] * 2
    assert collect(settings, history, NOW + timedelta(days=2)).decided_since == NOW
    assert told["decision"].iloc[0] == json.loads(json.dumps(plain(made)))
    assert told["facts"].iloc[0]["sources"][0]["f1"]["n"] == 5


def test_decisions_can_only_be_added(world: Any, tmp_path: Path) -> None:
    settings, history = world
    found = facts(world)
    record(history, found, decide(found, settings.retraining))
    history.close()
    with sqlite3.connect(tmp_path / "history.db") as connection:
        for change in ("UPDATE decisions SET action = 'keep'", "DELETE FROM decisions"):
            with pytest.raises(sqlite3.IntegrityError, match="can only grow"):
                connection.execute(change)
    connection.close()


def test_an_older_history_learns_to_hold_decisions(world: Any, tmp_path: Path) -> None:
    settings, history = world
    found = facts(world)
    history.close()
    with sqlite3.connect(tmp_path / "history.db") as connection:
        connection.execute("DROP TABLE decisions")
        connection.execute("UPDATE cvkit_schema SET version = 4")
    connection.close()
    with History.open(settings.history_url) as opened:
        assert len(opened.runs()) == 10
        assert record(opened, found, decide(found, settings.retraining))
    with sqlite3.connect(tmp_path / "history.db") as connection:
        assert connection.execute("SELECT version FROM cvkit_schema").fetchall() == [(schema.SCHEMA,)]
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("DELETE FROM decisions")
    connection.close()


# -- the command ----------------------------------------------------------------------------------------------------


def test_the_command_says_why_and_records(world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts(world)
    assert cli.main(["retrain", "decide", "--config", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("retrain incrementally for cam-1 (policy drift)")
    for words in ("F1 0.69 (0.60 to 0.79), expected 0.90", "60 labelled images since 2026-11-06",
                  "considered and rejected",
                  "label first (no-labels), if labels are none or few", f"{day(9).label}/cam-1/drift:f1"):  # fmt: skip
        assert words in said
    assert cli.main(["retrain", "decide", "--json", "--config", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decision"]["action"] == "retrain incrementally"
    assert told["evidence"]["sources"][0]["labelled"] == 60
    assert len(decisions(world[1], "m")) == 1


def test_the_command_on_an_empty_workspace(world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["retrain", "decide", "--config", str(tmp_path)]) == DataError.exit_code
    assert "cvkit run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("policies", "words"),
    [
        ("[{name: a, action: panic}]", "roll back"),
        ("[{name: a, action: keep, harm: [some]}]", "shown"),
        ("[{name: a, action: keep, mood: [bad]}]", "odd_images"),
        ("[{name: a, action: keep}, {name: a, action: keep}]", "each name once"),
        ("[{name: a, action: keep, drift: [none, none]}]", "each name once"),
        ("[{action: keep}]", "a value"),
        ("[{name: a, action: keep, due: sometimes}]", "true or false"),
    ],
)
def test_a_mistake_in_the_table_is_explained(tmp_path: Path, policies: str, words: str) -> None:
    text = f"reference: {{data: data.yaml}}\nretraining:\n  policies: {policies}\n"
    with pytest.raises(ConfigError, match=words) as raised:
        parse_config(text, tmp_path / "cvkit.yml")
    assert "cvkit.yml:3" in raised.value.where


def test_times_without_a_zone_are_utc(world: Any, tmp_path: Path) -> None:
    settings, _ = world
    promoted(tmp_path, ("a", "promoted", 0), ("b", "promoted", 1))
    file = tmp_path / "versions" / "champion.json"
    file.write_text(file.read_text().replace("+00:00", ""))
    assert updates(settings)[0].at == datetime(2026, 11, 2, tzinfo=UTC)
