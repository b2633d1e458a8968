"""The generated production line as written to disk, and the checkpoint that was trained on it."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cvkit import demo_world as world
from cvkit.data import yolo
from cvkit.data.sources.data_yaml import read_data_yaml

CHECKPOINT = Path(world.__file__).with_name("demo.pt")
FEW = 3  # frames a day: the whole calendar stays, thinned out
FRESH = date(2027, 5, 1)  # no day of the demo, nor of the training set


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All cameras and days, three frames a day."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "FRAMES_A_DAY", FEW)
        folder = tmp_path_factory.mktemp("line")
        world.write_world(folder, seed=4)
        yield folder


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def label_rows(path: Path) -> NDArray[np.float64]:
    """Class, centre and size of every line of a label file; (0, 5) where it is empty."""
    return np.array([line.split() for line in path.read_text().splitlines()], float).reshape(-1, 5)


def of_day(folder: Path, camera: str, day: date, suffix: str = ".jpg") -> list[Path]:
    kind = "captures" if suffix == ".jpg" else "labels"
    return sorted((folder / kind / camera / day.isoformat()).glob(f"*{suffix}"))


# -- what is written --------------------------------------------------------------------------------------------------


def test_the_calendar_is_the_one_the_demo_promises() -> None:
    assert world.DAYS * len(world.CAMERAS) * world.FRAMES_A_DAY == 1512
    last_day = world.FIRST_DAY + timedelta(days=world.DAYS - 1)
    planted = [world.DIRTY_FROM, world.SPRING_FROM, *world.FROZEN_DAYS]
    assert all(world.FIRST_DAY < day <= last_day for day in planted)
    reference_end = world.REFERENCE_FIRST_DAY + timedelta(days=world.REFERENCE_DAYS)
    assert reference_end <= world.FIRST_DAY, "the reference lies before the captures"
    old_end = world.OLD_FIRST_DAY + timedelta(days=world.OLD_DAYS)
    assert old_end <= world.REFERENCE_FIRST_DAY, "what the model was trained on lies before what it was accepted on"
    assert world.END.date() == last_day + timedelta(days=1)


def test_every_camera_has_every_day_and_every_image_its_labels(line: Path) -> None:
    for images, labels, days in (
        (line / "captures", line / "labels", world.DAYS),
        (line / "reference/images/val", line / "reference/labels/val", world.REFERENCE_DAYS),
        (line / "reference/images/train", line / "reference/labels/train", world.OLD_DAYS),
    ):
        shots = sorted(path.relative_to(images).with_suffix("") for path in images.rglob("*.jpg"))
        assert Counter(shot.parts[0] for shot in shots) == dict.fromkeys(world.CAMERAS, days * FEW)
        assert set(Counter(shot.parent for shot in shots).values()) == {FEW}
        assert shots == sorted(path.relative_to(labels).with_suffix("") for path in labels.rglob("*.txt"))


def test_file_names_are_times_spread_over_the_day(line: Path) -> None:
    for path in line.rglob("*.jpg"):
        hours, minutes, seconds = int(path.stem[:2]), int(path.stem[2:4]), int(path.stem[4:])
        assert len(path.stem) == 6
        assert (hours < 24, minutes < 60, seconds < 60) == (True, True, True)
    starts = [int(path.stem[:2]) for path in of_day(line, "cam-3", world.FIRST_DAY)]
    assert starts == [0, 8, 16]


def test_images_are_small_jpegs_of_one_size(line: Path) -> None:
    for path in sorted(line.rglob("*.jpg"))[::20]:
        assert cv2.imread(str(path)).shape == (world.HEIGHT, world.WIDTH, 3)
        assert 2_000 < path.stat().st_size < 10_000


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(
    line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "DAYS", 2)
    monkeypatch.setattr(world, "REFERENCE_DAYS", 1)
    monkeypatch.setattr(world, "OLD_DAYS", 1)
    world.write_world(tmp_path / "again", seed=4)
    world.write_world(tmp_path / "other", seed=5)
    whole, again, other = digests(line), digests(tmp_path / "again"), digests(tmp_path / "other")
    assert again.items() <= whole.items(), "a day's bytes do not depend on how many other days are written"
    assert set(again.values()).isdisjoint(value for name, value in other.items() if not name.endswith(".yaml"))


def test_a_frame_made_alone_is_the_one_on_disk(line: Path) -> None:
    day = world.DIRTY_FROM + timedelta(days=3)
    shown = world.frame(4, world.DIRTY_CAMERA, day, 2, world.condition(world.DIRTY_CAMERA, day))
    assert of_day(line, world.DIRTY_CAMERA, day)[2].read_bytes() == world.encode(shown.picture)
    rows = label_rows(of_day(line, world.DIRTY_CAMERA, day, ".txt")[2])
    size = np.array([world.WIDTH, world.HEIGHT])
    corners = np.hstack([rows[:, 1:3] - rows[:, 3:5] / 2, rows[:, 1:3] + rows[:, 3:5] / 2]) * np.tile(size, 2)
    np.testing.assert_allclose(corners, shown.boxes, atol=1e-3)
    assert tuple(rows[:, 0].astype(int)) == shown.classes


def test_progress_is_told_up_to_the_last_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FRAMES_A_DAY", 1), ("DAYS", 1), ("REFERENCE_DAYS", 1), ("OLD_DAYS", 1)):
        monkeypatch.setattr(world, name, value)
    told: list[tuple[int, int]] = []
    world.write_world(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 9) for done in range(1, 10)]
    assert len(list(tmp_path.rglob("*.jpg"))) == 9


# -- the truth about it -----------------------------------------------------------------------------------------------


def test_labels_lie_inside_the_image(line: Path) -> None:
    rows = np.concatenate([label_rows(path) for path in sorted(line.rglob("*.txt"))])
    assert len(rows) > 500
    centre, size = rows[:, 1:3], rows[:, 3:5]
    assert (size > 0).all()
    assert (centre - size / 2 >= -1e-6).all()
    assert (centre + size / 2 <= 1 + 1e-6).all()
    assert set(rows[:, 0]) == {0.0, 1.0, 2.0, float(world.SPRING)}


def test_each_box_is_the_extent_of_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same frame with one part only, against the bare belt, tells pixel by pixel where that part is.

    A part's bright edge reaches half a pixel beyond its outline and a pixel it touches counts whole: up to 2 pixels.
    """
    draw, state = world._draw, world.Condition(springs=True)
    checked = 0
    for number in range(8):
        monkeypatch.setattr(world, "_draw", lambda canvas, part: None)
        bare = world.frame(8, "cam-2", FRESH, number, state).picture.astype(int)
        monkeypatch.setattr(world, "_draw", draw)
        for box in world.frame(8, "cam-2", FRESH, number, state).boxes:
            monkeypatch.setattr(
                world, "_draw", lambda canvas, part, box=box: part.box == tuple(box) and draw(canvas, part)
            )
            alone = world.frame(8, "cam-2", FRESH, number, state).picture.astype(int)
            rows, columns = np.nonzero((alone - bare).max(axis=2) > 25)  # a shadow is darker, never brighter
            extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(extent, box, atol=2)
            checked += 1
    assert checked > 12


def test_springs_come_on_one_camera_from_one_day_on(line: Path) -> None:
    seen = {
        (path.parent.parent.name, path.parent.name)
        for path in line.rglob("*.txt")
        if world.SPRING in label_rows(path)[:, 0]
    }
    assert {camera for camera, _ in seen} == {world.SPRING_CAMERA}
    assert min(day for _, day in seen) == world.SPRING_FROM.isoformat()
    state = world.condition(world.SPRING_CAMERA, world.SPRING_FROM)
    frames = [world.frame(4, world.SPRING_CAMERA, world.SPRING_FROM, number, state).classes for number in range(60)]
    assert 0.4 < np.mean([world.SPRING in kinds for kinds in frames]) < 0.8


def test_the_model_was_not_taught_springs() -> None:
    assert world.SPRING not in range(len(world.CLASSES))
    healthy = [world.frame(6, camera, FRESH, number).classes for camera in world.CAMERAS for number in range(20)]
    assert {kind for kinds in healthy for kind in kinds} == set(range(len(world.CLASSES)))


# -- what is planted --------------------------------------------------------------------------------------------------


def test_only_the_frozen_days_repeat_a_picture(line: Path) -> None:
    names: dict[bytes, list[Path]] = {}
    for path in sorted(line.rglob("*.jpg")):
        names.setdefault(path.read_bytes(), []).append(path)
    repeated = [paths for paths in names.values() if len(paths) > 1]
    frozen = [path for day in world.FROZEN_DAYS for path in of_day(line, world.FROZEN_CAMERA, day)]
    assert len(frozen) == len(world.FROZEN_DAYS) * FEW
    assert repeated == [frozen]
    labels = {path.read_text() for day in world.FROZEN_DAYS for path in of_day(line, world.FROZEN_CAMERA, day, ".txt")}
    assert len(labels) == 1, "the labels are those of the picture that stands still"


def test_dirt_grows_day_by_day_on_one_camera_only() -> None:
    days = [world.FIRST_DAY + timedelta(days=i) for i in range(world.DAYS)]
    dirt = {camera: np.array([world.condition(camera, day).dirt for day in days]) for camera in world.CAMERAS}
    first = days.index(world.DIRTY_FROM)
    assert (dirt[world.DIRTY_CAMERA][:first] == 0).all()
    assert (np.diff(dirt[world.DIRTY_CAMERA][first - 1 :]) > 0).all()
    assert dirt[world.DIRTY_CAMERA][-1] == pytest.approx(1)
    assert not any(dirt[camera].any() for camera in world.CAMERAS if camera != world.DIRTY_CAMERA)


def test_healthy_days_of_reference_and_captures_are_exchangeable() -> None:
    """Daily means over seeds and cameras: Kolmogorov-Smirnov joined by Fisher's method, a t-test of differences.

    The daily means are independent, so the p-values are (conservatively) uniform where nothing differs.
    """
    differences: dict[str, list[float]] = {"brightness": [], "contrast": [], "parts": []}
    p_values: dict[str, list[float]] = {"brightness": [], "contrast": [], "parts": []}
    for seed in range(20, 24):
        for camera in world.CAMERAS:
            before = daily(seed, camera, world.REFERENCE_FIRST_DAY, world.REFERENCE_DAYS)
            now = daily(seed, camera, world.FIRST_DAY, world.DAYS)
            for column, values in enumerate(p_values.values()):
                values.append(float(stats.ks_2samp(before[:, column], now[:, column]).pvalue))
            for column, values in enumerate(differences.values()):
                values.append(float(now[:, column].mean() - before[:, column].mean()))
    for name, values in p_values.items():
        assert stats.combine_pvalues(values).pvalue > 0.005, name
        assert stats.ttest_1samp(differences[name], 0).pvalue > 0.005, name


def daily(seed: int, camera: str, first: date, days: int) -> NDArray[np.float64]:
    """Daily mean brightness, contrast and number of parts of a camera without faults, from two frames a day."""
    rows = []
    for day in (first + timedelta(days=i) for i in range(days)):
        shots = [world.frame(seed, camera, day, number) for number in (3, 15)]
        pictures = np.stack([shot.picture for shot in shots]).astype(float)
        rows.append([pictures.mean(), pictures.std(axis=(1, 2)).mean(), np.mean([len(shot.classes) for shot in shots])])
    return np.array(rows)


# -- the reference as a data set --------------------------------------------------------------------------------------


def test_the_reference_is_a_data_set_that_names_the_models_classes(line: Path) -> None:
    data = read_data_yaml(line / "reference" / "data.yaml")
    assert data.folder == line / "reference"
    assert tuple(data.names[number] for number in range(len(data.names))) == world.CLASSES


def test_ultralytics_finds_the_reference_from_any_folder(
    line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yolo.prepare_environment(tmp_path / "settings")
    from ultralytics.data.utils import check_det_dataset

    monkeypatch.chdir(tmp_path)
    found = check_det_dataset(str(line / "reference" / "data.yaml"), autodownload=False)
    assert Path(found["val"]) == line / "reference" / "images" / "val"
    assert Path(found["train"]) == line / "reference" / "images" / "train"


# -- the shipped checkpoint -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return yolo.load(CHECKPOINT, tmp_path_factory.mktemp("settings"))


def recall(model: Any, frames: list[world.Frame], confidence: float = 0.25) -> float:
    """Share of the known parts found with the right class at IoU 0.5, each prediction used once."""
    pictures = [cv2.imdecode(np.frombuffer(world.encode(shot.picture), np.uint8), cv2.IMREAD_COLOR) for shot in frames]
    results = model.predict(pictures, imgsz=world.IMAGE_SIZE, conf=confidence, device="cpu", verbose=False)
    found = parts = 0
    for shot, result in zip(frames, results, strict=True):
        left = [(int(row[5]), row[:4]) for row in result.boxes.data.numpy().astype(float)]
        for kind, truth in zip(shot.classes, shot.boxes, strict=True):
            hits = [item for item in left if item[0] == kind and overlap(item[1], truth) >= 0.5]
            parts += 1
            if hits:
                found += 1
                best = max(hits, key=lambda item: overlap(item[1], truth))
                left = [item for item in left if item is not best]
    return found / parts


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes given by their corners."""
    sides = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None)
    union = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - np.prod(sides)
    return float(np.prod(sides) / union)


def fresh(state: world.Condition, cameras: tuple[str, ...], count: int) -> list[world.Frame]:
    return [
        world.frame(31, cameras[i % len(cameras)], FRESH + timedelta(days=i), i % world.FRAMES_A_DAY, state)
        for i in range(count)
    ]


def test_the_checkpoint_finds_the_parts_and_less_through_dirt(model: Any) -> None:
    healthy = recall(model, fresh(world.Condition(), world.CAMERAS, 42))
    dirty = recall(model, fresh(world.Condition(dirt=1.0), (world.DIRTY_CAMERA,), 24))
    assert healthy >= 0.9
    assert dirty <= healthy - 0.25


def test_the_checkpoint_knows_its_classes_and_is_small(model: Any) -> None:
    assert tuple(model.names[number] for number in sorted(model.names)) == world.CLASSES
    assert CHECKPOINT.stat().st_size < 6_000_000


def test_the_checkpoint_tells_nothing_of_the_machine_it_was_made_on(model: Any) -> None:
    assert set(model.ckpt) == {"model", "ema", "optimizer", "epoch", "version", "train_args", "license"}
    assert model.ckpt["optimizer"] is None
    assert not [value for value in model.ckpt["train_args"].values() if "/" in str(value) or "\\" in str(value)]
    with zipfile.ZipFile(CHECKPOINT) as archive:
        pickled = next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
        stored = sum(item.file_size for item in archive.infolist() if "/data/" in item.filename)
    assert not [word for word in (b"/home", b"/root", b"/tmp", b"/work", b"git", b"best.pt") if word in pickled]
    parameters = sum(parameter.numel() for parameter in model.model.parameters())
    assert stored < 2.2 * parameters, "two bytes a number, and no optimizer state"
