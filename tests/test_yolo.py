"""The deployed model: loaded safely or refused in words, predictions made once and kept."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from cvkit import demo_world
from cvkit.config import Config, load_config
from cvkit.data import pictures, sources, yolo
from cvkit.demo import CHECKPOINT
from cvkit.errors import DataError
from cvkit.tables import Window

WINDOW = Window.day("2026-10-01")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Six healthy frames, one broken file, and the demo's weights."""
    folder = tmp_path / "captures" / "cam-1" / "2026-10-01"
    folder.mkdir(parents=True)
    for number in range(6):
        shown = demo_world.frame(5, "cam-1", demo_world.FIRST_DAY, number)
        (folder / f"{number:02d}0000.jpg").write_bytes(demo_world.encode(shown.picture))
    (folder / "120000.jpg").write_bytes(b"broken")
    (tmp_path / "cvkit.yml").write_text(
        "captures: {images: 'captures/{source}/{date}/{time}.jpg'}\nreference: {start: 2026-10-01, end: 2026-10-02}\n"
        f"model: {{weights: '{CHECKPOINT}', image_size: 160, device: cpu, batch: 4}}\n"
    )
    return load_config(tmp_path)


def test_the_shipped_model_finds_nearly_all_parts_and_survives_broken_files(config: Config, tmp_path: Path) -> None:
    records, _ = yolo.predict_missing(config, sources.load_captures(config, WINDOW), tmp_path / "cache")
    assert records.images["predicted"].tolist() == [True] * 6 + [False]
    found = missed = 0
    for number in range(6):
        shown = demo_world.frame(5, "cam-1", demo_world.FIRST_DAY, number)
        boxes = records.predictions[records.predictions["image_id"].str.endswith(f"/{number:02d}0000.jpg")]
        for kind, truth in zip(shown.classes, shown.boxes, strict=True):
            same = boxes[boxes["class_id"] == kind][yolo.CORNERS].to_numpy(float)
            hit = any(np.abs(box - truth).max() < 5 for box in same)  # pixels
            found, missed = found + hit, missed + (not hit)
    assert found >= 9 * missed


def test_predictions_are_made_once(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = yolo.predict_missing(config, sources.load_captures(config, WINDOW), tmp_path / "cache")
    (config.workspace / "captures" / "cam-1" / "2026-10-01" / "120000.jpg").unlink()
    monkeypatch.setattr(yolo, "load", lambda *_: pytest.fail("the model was loaded again"))
    again, _ = yolo.predict_missing(config, sources.load_captures(config, WINDOW), tmp_path / "cache")
    assert first.predictions.equals(again.predictions)


def test_classes_have_the_names_of_the_weights_which_are_read_once(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sources.load_captures(config, WINDOW).classes == dict(enumerate(demo_world.CLASSES))
    kept = config.workspace / "predictions" / f"classes-{config.version}.json"
    yolo._loaded.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(yolo, "load", lambda *_: pytest.fail("the model was loaded again"))
        assert sources.load_reference(config).classes[1] == "nut"
    kept.write_text("[")
    assert sources.load_captures(config, WINDOW).classes[2] == "bolt"
    assert kept.read_text() != "["


def listed(paths: list[Path], source: str = "cam-1") -> pd.DataFrame:
    about = {"image_id": [path.name for path in paths], "path": [str(path) for path in paths]}
    return pd.DataFrame(about).assign(source=source, time=pd.Timestamp("2026-10-01", tz="UTC"))


def batched(table: pd.DataFrame, size: int) -> list[list[str]]:
    with yolo._batches(table, size, functools.partial(pictures.decoding, workers=2)) as batches:
        return [[name for name, _ in batch] for batch in batches]


def test_a_batch_is_of_one_source_so_that_a_kill_between_two_changes_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(10)]
    for path in paths:
        cv2.imwrite(str(path), np.zeros((10, 20, 3), np.uint8))
    both = pd.concat([listed(paths[:5]), listed(paths[5:], "cam-2")])
    names = batched(both, 4)
    assert names == [*batched(both[:5], 4), *batched(both[5:], 4)]
    assert [len(batch) for batch in names] == [4, 1, 4, 1]


def test_what_the_model_says_of_an_image_does_not_depend_on_its_neighbours(tmp_path: Path, config: Config) -> None:
    """Ultralytics pads a batch of mixed shapes to squares; the deployed model sees one image at a time."""
    rng = np.random.default_rng(0)
    shapes = [(120, 160), (160, 120), (160, 160), (90, 160)]
    paths = [tmp_path / f"{number}.png" for number in range(24)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), rng.integers(0, 255, (*shapes[number % 4], 3), dtype=np.uint8))
    table = listed(paths)
    together = yolo.predict(table, config).set_index("image_id")
    assert set(together.index) == set(table["image_id"])
    for start in range(0, 24, 7):
        alone = yolo.predict(table[start : start + 1], config).set_index("image_id")
        name = alone.index[0]
        np.testing.assert_allclose(together.loc[name, "embedding"], alone.loc[name, "embedding"], atol=1e-4)
        assert len(together.loc[name, "class_id"]) == len(alone.loc[name, "class_id"])


def test_images_of_many_shapes_do_not_pile_up(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(40)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.zeros((10 + number, 20, 3), np.uint8))
    table = listed(paths)
    batches = batched(table, 2)
    assert sorted(name for batch in batches for name in batch) == sorted(table["image_id"])
    assert len(batches) == 40


def test_a_changed_image_is_predicted_again(config: Config, tmp_path: Path) -> None:
    yolo.predict_missing(config, sources.load_captures(config, WINDOW), tmp_path / "cache")
    path = config.workspace / "captures" / "cam-1" / "2026-10-01" / "000000.jpg"
    cv2.imwrite(str(path), np.zeros((128, 160, 3), np.uint8))
    again, _ = yolo.predict_missing(config, sources.load_captures(config, WINDOW), tmp_path / "cache")
    assert not again.predictions["image_id"].str.endswith("/000000.jpg").any()
    assert again.images["predicted"].iloc[0]


class Bomb:
    """A pickle that would leave a file behind, were it executed."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path(self.path),))  # type: ignore[return-value]


@pytest.mark.parametrize("damage", ["missing", "cut short", "one byte", "text", "pickle", "bomb", "wrong suffix"])
def test_weights_that_cannot_be_trusted_are_refused_in_words(tmp_path: Path, damage: str) -> None:
    path = tmp_path / ("best.onnx" if damage == "wrong suffix" else "best.pt")
    mark = tmp_path / "executed"
    if damage == "cut short":
        path.write_bytes(CHECKPOINT.read_bytes()[:2_600_000])
    elif damage == "one byte":
        content = bytearray(CHECKPOINT.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "text":
        path.write_text("these are no weights")
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(Bomb(str(mark))))
    elif damage == "bomb":
        import torch  # here, so that the import of this file stays light

        torch.save({"model": Bomb(str(mark))}, path)
    elif damage == "wrong suffix":
        path.write_bytes(b"onnx")
    with pytest.raises(DataError, match=r"best\.") as caught:
        yolo.load(path, tmp_path / "settings")
    assert "what to do" in str(caught.value)
    assert not mark.exists()


def test_broken_images_keep_their_words_after_ultralytics_was_imported(tmp_path: Path) -> None:
    """Ultralytics replaces Pillow's `Image.open` by one that asks for another package."""
    from cvkit.data import images

    yolo.load(CHECKPOINT, tmp_path / "settings")
    (tmp_path / "a.png").write_bytes(b"no picture at all")
    assert images.measure(tmp_path / "a.png").damage_detail == "not an image of a known format"
