"""What changed: harm from quality bins, directions of embeddings, and the past under other rules."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cvkit import asked, demo_world
from cvkit.config import RuleSettings, load_config
from cvkit.data import embeddings, pictures, sources, yolo
from cvkit.data.labelled import f1_of_images, labelled
from cvkit.data.records import Records
from cvkit.demo import CHECKPOINT
from cvkit.documentation import wording
from cvkit.errors import ConfigError
from cvkit.monitoring import alarms, backtest, changes
from cvkit.monitoring.alarms import Reading, State
from cvkit.monitoring.backtest import Event
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference
from cvkit.monitoring.replay import Replay
from cvkit.stats.change import drift, harm, projection
from cvkit.stats.change.chunks import signals
from cvkit.tables import (
    ANOMALIES,
    BOXES,
    FEATURES,
    FINDINGS,
    IMAGES,
    MEASUREMENTS,
    PROPERTIES,
    VERDICTS,
    Window,
    conform,
    empty,
)

DAY = timedelta(days=1)


def test_a_feature_on_which_quality_depends_harms_when_it_moves() -> None:
    rng = np.random.default_rng(0)
    light = rng.normal(100, 10, 2000)
    quality = np.clip(0.8 + 0.01 * (light - 100), 0, 1)
    darker = harm.expected_change(rng.normal(90, 10, 500), light, quality)
    assert darker.change == pytest.approx(-0.1, abs=0.02)
    assert darker.beyond < 0.05
    assert harm.expected_change(light, light, quality).change == pytest.approx(0.0, abs=1e-12)
    assert abs(harm.expected_change(rng.normal(90, 10, 500), light, rng.permutation(quality)).change) < 0.02
    assert harm.expected_change(np.full(9, 500.0), light, quality).beyond == 1.0


@pytest.mark.parametrize(("now", "then"), [([], [1.0] * 30), ([1.0], [1.0] * 5), ([np.nan], [1.0] * 30)])
def test_harm_is_not_told_from_nothing(now: list[float], then: list[float]) -> None:
    assert math.isnan(harm.expected_change(now, then, [0.5] * len(then)).change)


def test_f1_of_an_image() -> None:
    first, second = [0, 0, 10, 10], [20, 20, 30, 30]

    def f1(predicted: list[tuple[int, list[int]]], true: list[tuple[int, list[int]]], confidence: float = 0.9) -> float:
        image = conform(pd.DataFrame({"image_id": ["a"], "predicted": [True], "labelled": [True]}), IMAGES)
        tables = [
            conform(
                pd.DataFrame([("a", kind, confidence, *corners, "") for kind, corners in boxes], columns=list(BOXES)),
                BOXES,
            )
            for boxes in (predicted, true)
        ]
        return float(f1_of_images(labelled(image, *tables), 0.5)["f1"].item())

    true = [(0, first), (7, second)]
    assert f1(true, true) == 1.0
    assert f1([(0, first), (0, second)], true) == 0.5  # a wrong class is no match
    assert f1([(0, first), (0, first)], true) == 0.5  # a second box on one object is none
    assert f1([(0, [8, 8, 18, 18]), (7, [28, 28, 38, 38])], true) == 0.0
    assert f1(true, true, confidence=0.4) == 0.0  # below what is deployed
    assert f1([], []) == 1.0
    assert f1([], true) == 0.0


def test_directions_hold_what_varies_and_the_rest_is_a_distance() -> None:
    rng = np.random.default_rng(0)
    rows = 5 + rng.normal(size=(300, 3)) @ rng.normal(size=(3, 40))
    found = projection.fit(rows, components=2)
    assert found is not None
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(2), atol=1e-9)
    along = projection.project(found, rows)
    np.testing.assert_allclose(along[:, :2].mean(axis=0), 0, atol=1e-9)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True) - found.mean
    np.testing.assert_allclose((along**2).sum(axis=1), (unit**2).sum(axis=1))  # nothing is lost
    np.testing.assert_allclose(projection.project(found, 7 * rows), along)
    odd = projection.project(found, np.vstack([np.full(40, np.nan), np.zeros(40), rows[0]]))
    assert np.isnan(odd[:2]).all()
    assert np.isfinite(odd[2]).all()
    assert projection.fit(np.full((2, 4), 1.0)) is None
    assert projection.fit(np.full((9, 4), np.nan)) is None


def test_embeddings_are_those_of_ultralytics_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo_world.write_world(tmp_path, 0, progress=lambda done, total: None)
    (tmp_path / "cvkit.yml").write_text(
        f"model: {{weights: {CHECKPOINT}, image_size: 160}}\nreference: {{data: reference/data.yaml}}\n"
        "captures: {images: 'captures/{source}/{date}/{time}.jpg'}\n"
    )
    config = load_config(tmp_path)
    records = sources.load_captures(config, Window.day("2026-10-01"))
    nothing = pd.DataFrame(columns=["image_id", "embedding"])
    _, found = embeddings.extract(config, records, nothing, tmp_path / "cache")
    assert found["image_id"].tolist() == records.images["image_id"].tolist()
    model = yolo.load(CHECKPOINT, tmp_path / "settings")
    picture = pictures.decode(records.images["path"][5])
    (single,) = model.embed([picture], imgsz=160, verbose=False, save=False)
    rows = embeddings.matrix(found, records.images["image_id"])
    np.testing.assert_allclose(rows[5], single.cpu().numpy(), atol=1e-4)
    _, seen = yolo.predict_missing(config, records, tmp_path / "predictions")  # the same, from the same pass
    np.testing.assert_allclose(embeddings.matrix(seen, records.images["image_id"]), rows, atol=1e-4)
    assert embeddings.extract(config, records, seen, tmp_path / "never")[1] is seen
    monkeypatch.setattr(yolo, "load", lambda *arguments: pytest.fail("the cache was not used"))
    _, again = embeddings.extract(config, records, seen[:0], tmp_path / "cache")
    np.testing.assert_array_equal(embeddings.matrix(again, records.images["image_id"]), rows)
    assert np.isnan(embeddings.matrix(found, pd.Series(["gone.jpg"]))).all()
    off = config.model_copy(update={"model": config.model.model_copy(update={"embeddings": False})})
    assert embeddings.extract(off, records, nothing, tmp_path / "cache")[1].empty
    assert yolo.predict_missing(off, records, tmp_path / "without")[1].empty
    _, half = embeddings.extract(config, records, seen[:5], tmp_path / "half")  # the others in a pass of their own
    np.testing.assert_allclose(embeddings.matrix(half, records.images["image_id"]), rows, atol=1e-4)


@pytest.fixture(scope="module")
def states() -> dict[tuple[str, str], State]:
    """A camera whose noise moves from day 20 to 29, and one that is healthy; 40 days."""
    rng = np.random.default_rng(0)
    learnt = drift.prepare(rng.normal(size=1800), np.repeat(np.arange(60), 30)).chunks
    assert learnt is not None
    found: dict[tuple[str, str], State] = {}
    for day in range(40):
        start = datetime(2026, 1, 1, tzinfo=UTC) + day * DAY
        moved = 1.0 * (20 <= day < 30)
        readings = {
            (camera, "noise"): Reading(signals(rng.normal(size=30) + moved * (camera == "cam-1"), learnt), 30)
            for camera in ("cam-1", "cam-2")
        }
        found = alarms.enter(found, Window(start, start + DAY), readings, RuleSettings())
    return found


def test_a_backtest_looks_at_no_feature_that_is_ignored(states: dict[tuple[str, str], State]) -> None:
    """And it takes no share of the budget from the others."""
    both = {**states, **{(source, "contrast"): state for (source, _), state in states.items()}}
    twice, once = Replay(both, DAY), Replay(states, DAY)
    budgets = [RuleSettings(false_alarms_per_year=budget) for budget in np.geomspace(1e-9, 1, 60)]
    for usual in budgets:
        assert twice.run(usual.model_copy(update={"ignore": ("contrast",)})) == once.run(usual)
    assert any(twice.run(usual)["cam-1", "noise"] != once.run(usual)["cam-1", "noise"] for usual in budgets)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cam-1=", "names no source and day"),
        ("cam-1", "names no source and day"),
        ("cam-1=2026-01-10..", "names no source and day"),
        ("other=2026-01-10", "no window told anything"),
        ("cam-1=2026-01-10..2026-01-09", "ends before it begins"),
        ("cam-1=2020-01-01..2020-02-01", "nothing was measured"),
        ("cam-1=2030-01-01", "nothing was measured"),
        ("cam-1=tomorrow", "not a date"),
    ],
)
def test_an_event_that_cannot_be(text: str, words: str, states: dict[tuple[str, str], State]) -> None:
    with pytest.raises(ConfigError, match=words):
        asked.events([text], states)


def test_an_event_named_twice_is_one(states: dict[tuple[str, str], State]) -> None:
    assert len(asked.events(["cam-1=2026-01-21..2026-01-30"] * 2, states)) == 1


def test_a_backtest_says_what_was_found_and_missed(states: dict[tuple[str, str], State]) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    events = [Event("cam-1", first + 20 * DAY, first + 30 * DAY), Event("cam-2", first + 5 * DAY, first + 9 * DAY)]
    table = backtest.backtest(states, RuleSettings(), DAY, budgets=[0.1, 1, 5000], sizes=[0.3, 3.0], events=events)
    usual = table[(table["budget"] == 1) & (table["drift_warning"] == 0.3)].iloc[0]
    assert (usual["alarms"], usual["found"], usual["missed"], usual["unexplained"]) == (1, 1, 1, 0)
    assert usual["delay_days"] in (1.0, 2.0)
    assert (table.loc[table["drift_warning"] == 3.0, "found"] == 0).all()
    assert table["alarms"].iloc[4] >= table["alarms"].iloc[0]  # a larger budget never has fewer
    assert "unexplained" in backtest.text(table)
    plain = backtest.backtest(states, RuleSettings(), DAY, budgets=[1.0], sizes=[0.3])
    assert plain[["found", "missed", "delay_days", "unexplained"]].isna().all(axis=None)
    assert "missed" not in backtest.text(plain)
    assert backtest.backtest({}, RuleSettings(), DAY, budgets=[1.0], sizes=[0.3])["alarms"].item() == 0


def test_a_replay_under_the_same_rules_is_what_was(states: dict[tuple[str, str], State]) -> None:
    assert Replay(states, DAY).run(RuleSettings()) == {
        key: {"episodes": one["episodes"]} for key, one in states.items()
    }


def test_alarms_of_features_that_overlap_are_one(states: dict[tuple[str, str], State]) -> None:
    doubled = {**states, ("cam-1", "sharpness"): states["cam-1", "noise"]}
    (stretch,) = backtest.stretches(doubled)
    assert stretch.features == ("noise", "sharpness")
    assert set(stretch.raised) == {stretch.start}


def test_an_alarm_of_before_finds_no_event(states: dict[tuple[str, str], State]) -> None:
    """It lasts from day 20 or so to 30; what happened on day 26 raised nothing."""
    late = Event("cam-1", datetime(2026, 1, 27, tzinfo=UTC), datetime(2026, 1, 29, tzinfo=UTC))
    (row,) = backtest.backtest(states, RuleSettings(), DAY, budgets=[1.0], sizes=[0.3], events=[late]).itertuples()
    assert (row.found, row.missed, row.unexplained) == (0, 1, 1)


def test_the_kind_of_a_change_is_told() -> None:
    rows = [("a", "noise", True), ("a", "boxes", True), ("b", "class_mix", True), ("c", "embedding", True),
            ("c", "class_mix", True), ("d", "boxes", True), ("e", "noise", False),
            ("f", "noise", True), ("f", "class_mix", True), ("f", "boxes", True)]  # fmt: skip
    found = changes.kind(pd.DataFrame(rows, columns=["source", "feature", "active"]))
    assert found == {
        "a": "appearance and predictions", "b": "class mix", "c": "appearance and class mix", "d": "predictions only",
        "f": "appearance, class mix and predictions",
    }  # fmt: skip


def test_all_columns_at_once_tell_a_change_of_how_two_go_together() -> None:
    """Brightness and contrast each keep their distribution, but now they move against each other."""
    rng = np.random.default_rng(0)
    now, then = rng.normal(size=(2, 480))
    expected = made_up_features(then, then + 0.3 * rng.normal(size=480), "then", days=20)
    current = made_up_features(now, -now + 0.3 * rng.normal(size=480), "now", days=1)
    found = changes.together(observation_of(current, expected))
    assert list(found["statistic"]) == ["mmd", "classifier"]
    assert set(found["columns"]) == {"properties"}
    assert (found["p_value"] < 0.12).all()  # 20 days and the window's own: 1 / 21 at best, by 100 exchanges
    assert (found["effect"] > 0.3).all()
    same = changes.together(observation_of(expected.assign(image_id=lambda t: "x" + t["image_id"]), expected))
    assert (same["effect"] < 0.3).all()
    assert "| **a** | properties |" in wording.together_lines(found)
    assert "480 against 480" in wording.together_lines(found)
    few = changes.together(observation_of(current[:1], expected))
    assert few["value"].isna().all()
    assert "not known" in wording.together_lines(few)
    assert "No image" in wording.together_lines(changes.together(observation_of(current[:0], expected)))


def made_up_features(brightness: np.ndarray, contrast: np.ndarray, name: str, days: int) -> pd.DataFrame:
    size = len(brightness)
    start = pd.Timestamp("2026-09-01" if days > 1 else "2026-10-05", tz="UTC")
    times = start + pd.to_timedelta(np.arange(size) * days * 24 / size, unit="h")
    rows = pd.DataFrame({
        "image_id": [f"{name}{number}" for number in range(size)], "source": "a", "time": times,
        "content": [f"{name}{number}" for number in range(size)], "brightness": brightness, "contrast": contrast,
    })  # fmt: skip
    return conform(rows, FEATURES).fillna(dict.fromkeys(set(PROPERTIES) - {"brightness", "contrast"}, 0.0))


def observation_of(current: pd.DataFrame, expected: pd.DataFrame) -> Observation:
    none = pd.DataFrame(columns=["image_id", "embedding"])
    tables = [empty(columns) for columns in (IMAGES, FEATURES, BOXES, BOXES, FINDINGS)]
    tables[1] = expected
    reference = Reference("id", *tables, none, {"a": None}, {})  # type: ignore[dict-item]
    records = Records(empty(IMAGES), empty(BOXES), empty(BOXES), empty(FINDINGS), {})
    rest = [empty(columns) for columns in (ANOMALIES, FINDINGS, MEASUREMENTS)]
    return Observation(Window.day("2026-10-05"), reference, records, current, none, *rest, {}, empty(VERDICTS))
