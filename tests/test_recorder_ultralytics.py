"""The recorder beside an Ultralytics model: what was predicted is what is recorded, however it was asked for."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cvkit
from cvkit import demo_world
from cvkit.data import recorder_ultralytics, yolo
from cvkit.data.recorder_files import BOX
from cvkit.demo import CHECKPOINT
from cvkit.errors import ConfigError

VERSION = hashlib.sha256(CHECKPOINT.read_bytes()).hexdigest()[:12]
ASKED: dict[str, Any] = {"imgsz": 160, "device": "cpu", "verbose": False, "save": False}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return yolo.load(CHECKPOINT, tmp_path_factory.mktemp("ultralytics"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with four frames."""
    place = tmp_path / "captures" / "cam-1" / "2026-10-01"
    place.mkdir(parents=True)
    for number in range(4):
        shown = demo_world.frame(5, "cam-1", demo_world.FIRST_DAY + timedelta(days=1), number)
        (place / f"{number:02d}0000.jpg").write_bytes(demo_world.encode(shown.picture))
    return tmp_path


def rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "recorded").glob("*/*/*.parquet"))
    return list(pa.concat_tables([pq.read_table(file, partitioning=None) for file in files]).to_pylist())


def check(recorded: list[dict[str, Any]], results: list[Any]) -> None:
    assert len(recorded) == len(results) > 0
    for row, result in zip(recorded, results, strict=True):
        said = np.column_stack([row[name] for name in BOX]).reshape(-1, 6)
        np.testing.assert_allclose(said, result.boxes.data.numpy(), rtol=1e-6)
        assert (row["height"], row["width"]) == result.orig_shape
        assert row["latency_s"] == pytest.approx(sum(result.speed.values()) / 1000)
        assert 0 < row["latency_s"] < 60
        assert row["version"] == VERSION


@pytest.mark.parametrize("stream", [False, True])
def test_files_are_recorded_under_their_path_in_the_workspace(model: Any, folder: Path, stream: bool) -> None:
    with cvkit.Recorder(folder, "cam-1").attach(model) as recorder:
        results = list(model.predict(str(folder / "captures" / "**" / "*.jpg"), stream=stream, batch=3, **ASKED))
        recorder.flush()
        check(rows(folder), results)
    assert [row["image_id"] for row in rows(folder)] == [
        f"captures/cam-1/2026-10-01/{number:02d}0000.jpg" for number in range(4)
    ]
    (file, *_) = (folder / "recorded").glob("*/*/*.parquet")
    assert b"washer" in pq.read_schema(file).metadata[b"cvkit"]


def test_a_list_of_paths_names_files_and_pictures_in_memory_have_names_of_their_own(model: Any, folder: Path) -> None:
    paths = sorted((folder / "captures").rglob("*.jpg"))[:2]
    pictures = [cv2.imread(str(path)) for path in paths]
    with cvkit.Recorder(folder, "cam-1").attach(model):
        listed = model.predict([str(path) for path in paths], **ASKED)
        in_memory = model.predict(pictures, **ASKED)
    found = rows(folder)
    check(found, [*listed, *in_memory])
    assert [row["image_id"] for row in found[:2]] == [path.relative_to(folder).as_posix() for path in paths]
    assert all(row["image_id"].startswith("recorded/source=cam-1/") for row in found[2:])
    assert len({row["image_id"] for row in found}) == 4


def test_the_number_of_a_track_is_no_part_of_a_box() -> None:
    import torch

    data = torch.tensor([[1.0, 2.0, 3.0, 4.0, 77.0, 0.5, 2.0]])
    boxes = recorder_ultralytics._boxes(SimpleNamespace(boxes=SimpleNamespace(data=data)))
    assert boxes is not None
    assert boxes.tolist() == [[1, 2, 3, 4, 0.5, 2]]


@pytest.mark.parametrize("tracker", ["bytetrack.yaml", "botsort.yaml"])
def test_tracked_frames_are_recorded_once_without_their_numbers(folder: Path, tmp_path: Path, tracker: str) -> None:
    pytest.importorskip("lap", reason="Ultralytics tracks with the package lap, which is not installed")
    model = yolo.load(CHECKPOINT, tmp_path / "ultralytics")  # its own: a tracker stays with its model
    pictures = [cv2.imread(str(path)) for path in sorted(folder.rglob("*.jpg"))]
    with cvkit.Recorder(folder, "cam-1").attach(model) as recorder:
        results = []
        for picture in [pictures[0], pictures[0], np.zeros_like(pictures[0]), pictures[1]]:
            results += model.track(picture, persist=True, tracker=tracker, **ASKED)
        recorder.flush()
    assert results[1].boxes.is_track
    assert set(results[0].boxes.id.tolist()) == set(results[1].boxes.id.tolist()), "the same parts"
    recorded = rows(folder)
    assert len({row["image_id"] for row in recorded}) == len(recorded) == 4
    for row, result in zip(recorded, results, strict=True):
        said = np.column_stack([row[name] for name in BOX]).reshape(-1, 6)
        boxes = result.boxes
        np.testing.assert_allclose(said[:, :4], boxes.xyxy.numpy(), rtol=1e-6)
        np.testing.assert_allclose(said[:, 4:], np.column_stack([boxes.conf, boxes.cls]), rtol=1e-6)
    assert recorder.stats().dropped == 0


def test_frames_of_a_video_are_recorded(model: Any, folder: Path) -> None:
    video = folder / "video.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 5, (demo_world.WIDTH, demo_world.HEIGHT))
    for number in range(3):
        writer.write(demo_world.frame(5, "cam-1", demo_world.FIRST_DAY, number).picture)
    writer.release()
    with cvkit.Recorder(folder, "cam-1").attach(model):
        results = list(model.predict(str(video), stream=True, **ASKED))
    check(rows(folder), results)
    assert all(row["image_id"].startswith("recorded/") for row in rows(folder))


def test_an_error_of_the_model_is_counted_and_an_embedding_is_none(model: Any, folder: Path) -> None:
    picture = demo_world.frame(5, "cam-1", demo_world.FIRST_DAY, 0).picture
    recorder = cvkit.Recorder(folder, "cam-1").attach(model)

    def fail(*_: Any) -> None:
        raise RuntimeError("the model fails")

    model.predict(picture, **ASKED)
    layer = model.predictor.model.model.model[0]
    handle = layer.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="the model fails"):
        model.predict(picture, **ASKED)
    handle.remove()
    model.embed(picture, **{name: value for name, value in ASKED.items() if name != "save"})
    model.predict(picture, **ASKED)
    recorder.close()
    assert (recorder.stats().errors, recorder.stats().written) == (1, 2)


def test_after_detaching_nothing_is_recorded_and_the_model_is_as_before(model: Any, folder: Path) -> None:
    before = {event: list(calls) for event, calls in model.callbacks.items()}
    picture = demo_world.frame(5, "cam-1", demo_world.FIRST_DAY, 0).picture
    recorder = cvkit.Recorder(folder, "cam-1").attach(model)
    recorder.detach()
    model.predict(picture, **ASKED)
    assert recorder.stats().accepted == 0
    assert {event: list(calls) for event, calls in model.callbacks.items()} == before
    recorder.close()


def test_a_mistake_in_the_recorder_does_not_reach_predict(
    model: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a mistake")

    with cvkit.Recorder(folder, "cam-1").attach(model) as recorder:
        monkeypatch.setattr("cvkit.data.recorder_ultralytics._boxes", broken)
        assert len(model.predict(demo_world.frame(5, "cam-1", demo_world.FIRST_DAY, 0).picture, **ASKED)) == 1
    assert recorder.stats().dropped == 1


def test_a_model_without_boxes_is_refused(folder: Path) -> None:
    class Classifier:
        task = "classify"

    with cvkit.Recorder(folder) as recorder, pytest.raises(ConfigError, match="classify"):
        recorder.attach(Classifier())
