"""What was recorded is measured: instead of image files, beside them, and never twice."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pyarrow.lib import ArrowException
from test_notebook_rules import NOTEBOOKS, REPORTS, of_day, run

import cvkit
from cvkit import demo_world
from cvkit.config import Config, load_config
from cvkit.data import features as feature_step
from cvkit.data import recorder_frames, recorder_given, sources, yolo
from cvkit.data.sources import parquet_files, recorded
from cvkit.demo import CHECKPOINT
from cvkit.errors import DataError, StorageError
from cvkit.maintenance import labelling
from cvkit.monitoring import exemplars, monitor, quality
from cvkit.monitoring.history import History
from cvkit.tables import PROPERTIES, Window

DAY = "2026-10-01"
WINDOW = Window.day(DAY)
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
BOXES = [[2, 3, 20, 24, 0.8, 0], [10, 12, 30, 32, 0.6, 1]]
SETTINGS = """
model: {name: test, classes: [nut, bolt]}
captures: {images: "captures/{source}/{date}/{time}.jpg"}
reference: {start: 2026-09-01, end: 2026-09-05}
"""


def settings(folder: Path, text: str = SETTINGS) -> Config:
    (folder / "cvkit.yml").write_text(text)
    return load_config(folder)


def recorder(folder: Path, source: str = "cam-1", **given: Any) -> cvkit.Recorder:
    return cvkit.Recorder(folder, source, properties_per_s=math.inf, **{"frames_per_hour": 0, **given})


def belt(seed: int, level: float = 110) -> np.ndarray[Any, Any]:
    """A noisy picture with a part, as a camera over a belt has it."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(level, 6, (96, 128, 3)) + rng.normal(0, 3)
    x, y = rng.integers(10, 80), rng.integers(10, 60)
    cv2.rectangle(picture, (int(x), int(y)), (int(x + 20), int(y + 20)), (190, 190, 200), -1)
    return np.asarray(picture.clip(0, 255), np.uint8)


def record_days(folder: Path, days: list[str], n: int = 24, *, look: Callable[[int], bool] = lambda i: True) -> None:
    with recorder(folder) as made:
        for number, day in enumerate(days):
            rng = np.random.default_rng(number)
            for i in range(n):
                moment = datetime.fromisoformat(day).replace(hour=6 + i // 2, minute=i % 2 * 30, tzinfo=UTC)
                corner = rng.uniform(5, 60, 2)
                said = [[*corner, *(corner + 20), rng.uniform(0.6, 0.95), int(rng.random() < 0.3)]]
                made.record(said, image=belt(100 * number + i) if look(i) else None, size=(128, 96), time=moment)


REFERENCE_DAYS = [f"2026-09-0{day}" for day in range(1, 5)]


# -- instead of files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded_only(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Four reference days and one more, of which every third frame was not looked at."""
    folder = tmp_path_factory.mktemp("recorded")
    config = settings(folder)
    record_days(folder, [*REFERENCE_DAYS, DAY], look=lambda i: i % 3 != 0)
    return config


def test_a_workspace_without_a_single_file_is_measured(recorded_only: Config) -> None:
    assert sources.capture_dates(recorded_only) == [date.fromisoformat(day) for day in (*REFERENCE_DAYS, DAY)]
    assert sources.source_names(recorded_only) == {"cam-1"}
    assert sources.image_count(recorded_only, WINDOW) == 24
    with History.open(recorded_only.history_url) as history:
        assert [str(one) for one in monitor.due(recorded_only, history, NOON + timedelta(days=1))][-1] == DAY
        seen = monitor.run(recorded_only, WINDOW, history)
        assert WINDOW not in monitor.due(recorded_only, history, NOON + timedelta(days=1))
    assert not set(seen.verdicts["state"]) & {"critical"}
    means = seen.measurements[seen.measurements["metric"] == "mean"].set_index("feature")
    assert means.loc["brightness", "n"] == 16
    assert means.loc["boxes", "n"] == 24
    assert len(seen.records.predictions) == 24


def test_what_was_not_looked_at_is_no_damage_and_no_finding(recorded_only: Config) -> None:
    seen = monitor.observe(recorded_only, WINDOW)
    features = seen.features
    assert features["brightness"].isna().sum() == 8
    assert (features["damage"] == "").all()
    unseen = features.loc[features["brightness"].isna(), "image_id"]
    assert not seen.findings["image_id"].isin(unseen).any()
    assert (seen.records.images["path"] == "").all()


def test_pictures_that_are_not_there_are_not_shown_nor_asked_for(recorded_only: Config) -> None:
    seen = monitor.observe(recorded_only, WINDOW)
    pairs = exemplars.most_moved(seen)
    assert pairs
    for shown in (
        exemplars.worst_images(seen), exemplars.strangest(seen), exemplars.gallery(seen, pairs),
        exemplars.moved_beside_nearest(seen, pairs), exemplars.most_mistaken(seen),
    ):  # fmt: skip
        assert shown.empty
    with pytest.raises(DataError, match="no image to ask for"):
        labelling.plan(recorded_only, [WINDOW], 5)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_without_a_single_picture(
    recorded_only: Config, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = run(path, monkeypatch, config=str(recorded_only.path), **of_day(DAY))
    if path in REPORTS:  # tours and recipes show other things, or nothing but words where there is no history
        assert sum(isinstance(thing, Figure) for thing in shown) >= 3


def test_a_dark_recorded_camera_is_found(recorded_only: Config, tmp_path: Path) -> None:
    record_days(tmp_path, REFERENCE_DAYS)
    config = settings(tmp_path)
    with recorder(tmp_path) as made:
        for i in range(24):
            made.record(BOXES, image=belt(i, level=40), time=NOON + timedelta(minutes=10 * i))
    verdicts = monitor.observe(config, WINDOW).verdicts
    dark = verdicts[verdicts["feature"] == "too_dark"]
    assert dark["state"].tolist() == ["critical"]


def test_a_frozen_recorded_camera_is_found(tmp_path: Path) -> None:
    record_days(tmp_path, REFERENCE_DAYS)
    config = settings(tmp_path)
    with recorder(tmp_path) as made:
        for i in range(24):
            made.record(BOXES, image=belt(7), time=NOON + timedelta(minutes=10 * i))
    found = monitor.observe(config, WINDOW).findings["finding"].value_counts()
    assert found["frozen"] == 24
    assert found["exact_duplicate"] == 23


# -- beside files ---------------------------------------------------------------------------------------------------


def capture(folder: Path, names: list[str], day: str = DAY) -> list[Path]:
    paths = [folder / "captures" / "cam-1" / day / f"{name}.jpg" for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), belt(number))
    return paths


def test_an_image_that_is_file_and_record_counts_once_with_the_recorded_boxes(tmp_path: Path) -> None:
    config = settings(tmp_path)
    first, _ = capture(tmp_path, ["060000", "070000"])
    with recorder(tmp_path, "a name of its own") as made:
        for _ in range(2):  # predicted twice: the first counts
            made.record(BOXES, image=belt(5), image_id=first, time=NOON)
        made.record(image=belt(6), time=NOON)
    records = sources.load_captures(config, WINDOW)
    assert sources.image_count(config, WINDOW) == len(records.images) == 3
    images = records.images.set_index("image_id")
    mine = images.loc["captures/cam-1/2026-10-01/060000.jpg"]
    assert (mine["source"], mine["path"], mine["predicted"]) == ("cam-1", str(first), True)
    assert (mine["width"], mine["height"], mine["time"].hour) == (128, 96, 6)
    assert not images.loc["captures/cam-1/2026-10-01/070000.jpg", "predicted"]
    assert records.predictions["image_id"].tolist() == [mine.name] * 2
    assert records.known is not None
    assert not records.known["image_id"].str.startswith("captures/").any()  # a file is measured from its pixels
    assert records.findings.empty


def test_predictions_in_files_come_before_recorded_ones(tmp_path: Path) -> None:
    text = SETTINGS.replace("captures: {", 'captures: {predictions: "said.jsonl", ')
    (path,) = capture(tmp_path, ["060000"])
    box = {"class_id": 1, "confidence": 0.5, "xyxy": [1, 1, 9, 9]}
    (tmp_path / "said.jsonl").write_text(json.dumps({"image": path.relative_to(tmp_path).as_posix(), "boxes": [box]}))
    with recorder(tmp_path) as made:
        made.record(BOXES, image_id=path, time=NOON)
        made.record(BOXES, time=NOON)
    records = sources.load_captures(settings(tmp_path, text), WINDOW)
    assert len(records.images) == 2
    assert sorted(records.predictions["confidence"].round(2)) == [0.5, 0.6, 0.8]


@pytest.mark.parametrize("late", [timedelta(hours=-13), timedelta(hours=13)])
def test_a_file_recorded_on_the_day_beside_its_own_is_found(tmp_path: Path, late: timedelta) -> None:
    config = settings(tmp_path)
    (path,) = capture(tmp_path, ["120000"])
    with recorder(tmp_path) as made:
        made.record(BOXES, image_id=path, time=NOON + late)
    records = sources.load_captures(config, WINDOW)
    assert records.images["predicted"].tolist() == [True]
    other = Window.day(f"{NOON + late:%Y-%m-%d}")
    assert sources.load_captures(config, other).images.empty
    assert sources.image_count(config, other) == 0


def test_a_recorded_file_that_is_gone_is_still_an_image(tmp_path: Path) -> None:
    config = settings(tmp_path)
    (path,) = capture(tmp_path, ["060000"])
    with recorder(tmp_path) as made:
        made.record(BOXES, image=belt(0), image_id=path, time=NOON)
    path.unlink()
    records = sources.load_captures(config, WINDOW)
    assert records.images["path"].tolist() == [""]
    table = feature_step.extract(config, records, tmp_path / "cache")
    assert table["damage"].tolist() == [""]
    assert 90 < table["brightness"].iloc[0] < 130
    limits = {"cam-1": quality.learn(table)}
    assert quality.find(records, table, limits, WINDOW).query("finding != 'gap'").empty


def test_a_recorded_file_outside_the_captures_is_read_from_where_it_is(tmp_path: Path) -> None:
    config = settings(tmp_path)
    cv2.imwrite(str(tmp_path / "elsewhere.png"), belt(3))
    with cvkit.Recorder(tmp_path, "cam-1", properties_per_s=0) as made:
        made.record(BOXES, image_id=tmp_path / "elsewhere.png", time=NOON)
    records = sources.load_captures(config, WINDOW)
    assert records.images["path"].tolist() == [str(tmp_path / "elsewhere.png")]
    table = feature_step.extract(config, records, tmp_path / "cache")
    assert table["file_format"].tolist() == ["PNG"]
    assert table["brightness"].notna().all()


def test_kept_frames_have_pictures_but_are_measured_as_they_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_frames.Chooser, "choose", lambda *_: "uniform")
    text = SETTINGS.replace("captures/{source}/{date}/{time}.jpg", "**/*.jpg").replace(
        "captures: {", "captures: {time_from: file, "
    )
    config = settings(tmp_path, text)  # a pattern that the kept frames match as well
    with recorder(tmp_path, frames_per_hour=60) as made:
        made.record(BOXES, image=belt(3), time=NOON)
    records = sources.load_captures(config, WINDOW)
    (path,) = records.images["path"]
    assert Path(path).is_file()
    assert Path(path).is_relative_to(tmp_path / "recorded" / "frames" / DAY)
    table = feature_step.extract(config, records, tmp_path / "cache")
    grey = cv2.cvtColor(belt(3), cv2.COLOR_BGR2GRAY)
    assert table["brightness"].iloc[0] == pytest.approx(grey.mean(), rel=0.05)
    assert (table["file_format"] == "").all()
    assert not (tmp_path / "cache").exists()


# -- what is wrong, and whose it is ---------------------------------------------------------------------------------


def test_boxes_that_cannot_be_are_findings_and_their_image_stays(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with recorder(tmp_path) as made:
        made.record([[math.nan, 1, 2, 3, 0.5, 0], [1, 1, 9, 9, 7.0, 0], [1, 1, 9, 9, 0.5, 9], *BOXES], time=NOON)
    records = sources.load_captures(config, WINDOW)
    assert sorted(records.findings["finding"]) == ["bad_box", "bad_confidence", "bad_record"]
    assert set(records.findings["image_id"]) == set(records.images["image_id"])
    assert records.images["predicted"].all()
    assert len(records.predictions) == 2


def test_classes_are_joined_by_name_where_both_know_names(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with recorder(tmp_path, classes=["bolt", "nut"]) as made:
        made.record([[1, 1, 9, 9, 0.5, 0]], time=NOON)
    assert sources.load_captures(config, WINDOW).predictions["class_id"].tolist() == [1]
    nameless = settings(tmp_path, SETTINGS.replace(", classes: [nut, bolt]", ""))
    records = sources.load_captures(nameless, WINDOW)
    assert records.predictions["class_id"].tolist() == [0]
    assert records.classes == {0: "bolt", 1: "nut"}


def test_what_another_version_said_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "best.pt").write_bytes(b"weights")
    config = settings(tmp_path, SETTINGS.replace("name: test,", "name: test, weights: best.pt,"))
    for version in (config.version, "0ld0ld0ld0ld", ""):
        with cvkit.Recorder(tmp_path, version, version=version) as made:
            made.record(BOXES, time=NOON)
    records = sources.load_captures(config, WINDOW)
    assert dict(zip(records.images["source"], records.images["predicted"], strict=True)) == {
        config.version: True, "0ld0ld0ld0ld": False, "": True,
    }  # fmt: skip
    assert len(records.predictions) == 4
    assert "another version (0ld0ld0ld0ld)" in caplog.text


def test_files_that_are_no_records_are_findings_and_half_written_ones_are_not_seen(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with recorder(tmp_path) as made:
        made.record(BOXES, time=NOON)
    (good,) = (tmp_path / "recorded").glob("*/*/*.parquet")
    (good.parent / "cut.parquet").write_bytes(good.read_bytes()[:-40])
    pd.DataFrame({"a": [1]}).to_parquet(good.parent / "foreign.parquet")
    (good.parent / ".x.parquet.12345678.part").write_bytes(b"half")
    (good.parent / ".hidden.parquet").write_bytes(b"half")
    records = sources.load_captures(config, WINDOW)
    assert len(records.images) == 1
    assert records.findings["finding"].tolist() == ["bad_record"] * 2
    assert sources.image_count(config, WINDOW) == 1


def test_a_flipped_bit_is_a_finding_and_never_another_record(tmp_path: Path) -> None:
    with recorder(tmp_path, classes={0: "nut", 1: "bolt"}) as made:
        for number in range(3):
            made.record(BOXES, image=belt(number), time=NOON + timedelta(minutes=number))
    (file,) = (tmp_path / "recorded").glob("*/*/*.parquet")
    whole, columns = file.read_bytes(), [*recorded.FACTS, *recorded.BOX]
    then, rng = parquet_files.read(file, columns), np.random.default_rng(4)
    told = 0
    for place in rng.integers(0, len(whole), 200).tolist():
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(broken)
        try:
            now = parquet_files.read(file, columns)
        except recorded.BROKEN:
            told += 1
        else:  # where the place of the sum itself was hit, nothing else was
            assert now.equals(then)
            assert now.schema.metadata[b"cvkit"] == then.schema.metadata[b"cvkit"]
    assert told >= 195
    file.write_bytes(whole.replace(b"bolt", b"colt"))
    records = sources.load_captures(settings(tmp_path), WINDOW)
    assert records.findings["finding"].tolist() == ["bad_record"]


def test_a_lack_of_memory_is_no_bad_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*given: object, **more: object) -> None:
        raise ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable")

    with recorder(tmp_path) as made:
        made.record(BOXES, time=NOON)
    monkeypatch.setattr(parquet_files, "read", short)
    with pytest.raises(StorageError, match="not enough memory"):
        sources.load_captures(settings(tmp_path), WINDOW)


def test_records_can_be_left_alone(tmp_path: Path) -> None:
    with recorder(tmp_path) as made:
        made.record(BOXES, time=NOON)
    config = settings(tmp_path, SETTINGS.replace("captures: {", 'captures: {records: "", '))
    assert sources.capture_dates(config) == []
    with pytest.raises(DataError, match="no image matches"):
        sources.load_captures(config, WINDOW)


@pytest.mark.parametrize("source", ["a/b", "..", "x" * 400, 'q"\n☃'])
def test_sources_keep_their_true_names(tmp_path: Path, source: str) -> None:
    config = settings(tmp_path)
    with recorder(tmp_path, source) as made:
        made.record(BOXES, image=belt(0), time=NOON)
    assert sources.source_names(config) == {source}
    records = sources.load_captures(config, WINDOW)
    assert records.images["source"].tolist() == [source]
    assert not feature_step.extract(config, records, tmp_path / "cache")["brightness"].isna().any()


def test_what_a_dead_recorder_lost_is_said_when_its_window_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from cvkit.data import recorder_counters

    config = settings(tmp_path)
    with recorder(tmp_path) as made:
        made.record(BOXES, time=NOON)
    left = recorder_counters.Counters(tmp_path / "recorded", "20261001T120000-1-abcdef", "cam-1")
    left.put(recorder_counters.ACCEPTED, 9)
    left.put(recorder_counters.BEAT, int(NOON.timestamp() * 1e6))
    left.close(remove=False)  # as a kill does
    with caplog.at_level(logging.WARNING):
        sources.load_captures(config, Window.day("2026-10-02"))
        assert not caplog.text
        sources.load_captures(config, WINDOW)
    assert "cam-1: 9 records were lost when the process 20261001T120000-1-abcdef died" in caplog.text


# -- end to end -----------------------------------------------------------------------------------------------------


def test_a_recorded_day_measures_as_its_files_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's model looks at a camera's days: once as files that cvkit predicts, once through the recorder alone.

    The recorder sees the pixels that the model sees, decoded by OpenCV: colours of a JPEG differ by a percent or two.
    """
    days = [demo_world.FIRST_DAY + timedelta(days=number) for number in range(4)]
    text = (
        f"model: {{name: demo, weights: '{CHECKPOINT}', image_size: 160, device: cpu, embeddings: false}}\n"
        "captures: {images: 'captures/{source}/{date}/{time}.jpg'}\n"
        f"reference: {{start: {days[0]}, end: {days[3]}}}\n"
    )
    homes = {name: tmp_path / name for name in ("files", "records")}
    for home in homes.values():
        home.mkdir()
    model = yolo.load(CHECKPOINT, tmp_path / "ultralytics")
    now = [0]
    monkeypatch.setattr(recorder_given.clock, "time_ns", lambda: now[0])
    for camera in ("cam-1",):
        with cvkit.Recorder(homes["records"], camera, properties_per_s=math.inf).attach(model) as made:
            for day in days:
                for number in range(24):
                    moment = datetime(day.year, day.month, day.day, number, 7, tzinfo=UTC)
                    path = homes["files"] / "captures" / camera / f"{day}" / f"{moment:%H%M%S}.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(demo_world.encode(demo_world.frame(5, camera, day, number).picture))
                    now[0] = int(moment.timestamp() * 1e9)
                    picture = cv2.imread(str(path))
                    model.predict(picture, imgsz=160, conf=0.25, device="cpu", verbose=False, save=False)
        assert made.stats().written == 96
    window, seen = Window.day(f"{days[3]}"), {}
    for name, home in homes.items():
        config = settings(home, text)
        with History.open(config.history_url) as history:
            seen[name] = monitor.run(config, window, history)
    key = ["source", "class_name", "feature", "metric"]
    files, recorded = (seen[name].measurements.set_index(key).sort_index() for name in homes)
    assert set(files.index.get_level_values("class_name")) == {"", *model.names.values()}
    assert set(files.index) == set(recorded.index)
    assert (files["n"] == recorded["n"]).all()
    for place, row in files[files.index.get_level_values("metric") == "mean"].iterrows():
        other, feature = recorded.loc[place], place[2]
        scale = seen["files"].reference.features[feature].std() if feature in PROPERTIES else 0.05
        assert other["value"] == pytest.approx(row["value"], rel=0.03, abs=0.1 * scale), place
    states = [seen[name].verdicts.set_index(["source", "rule", "feature"])["state"] for name in homes]
    assert states[0].equals(states[1])
    assert (seen["records"].records.images["path"] == "").mean() > 0.9
