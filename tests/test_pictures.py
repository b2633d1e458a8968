"""What the model looks at is decoded by workers: a poison image takes none but itself along."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import engine_work
import numpy as np
import pandas as pd
import pytest

from cvkit.config import Config, load_config
from cvkit.data import embeddings, features, pictures, sources, yolo
from cvkit.data.records import Records
from cvkit.demo import CHECKPOINT
from cvkit.monitoring import quality
from cvkit.tables import Window

WINDOW = Window.day("2026-10-01")
POISON = "captures/cam-1/2026-10-01/030000.png"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Eleven pictures of a camera, which the demo's weights look at."""
    folder = (tmp_path / POISON).parent
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for hour in range(11):
        cv2.imwrite(str(folder / f"{hour:02d}0000.png"), rng.integers(0, 255, (90, 120, 3), dtype=np.uint8))
    (tmp_path / "cvkit.yml").write_text(
        "captures: {images: 'captures/{source}/{date}/{time}.png'}\nreference: {start: 2026-10-01, end: 2026-10-02}\n"
        f"model: {{weights: '{CHECKPOINT}', image_size: 160, device: cpu, batch: 4}}\n"
    )
    return load_config(tmp_path)


def predicted(config: Config, cache: Path) -> tuple[Records, pd.DataFrame]:
    return yolo.predict_missing(config, sources.load_captures(config, WINDOW), cache)


def embedded(config: Config, cache: Path) -> tuple[Records, pd.DataFrame]:
    nothing = pd.DataFrame(columns=["image_id", "embedding"])
    return embeddings.extract(config, sources.load_captures(config, WINDOW), nothing, cache)


@pytest.mark.parametrize("step", [predicted, embedded])
@pytest.mark.parametrize(
    ("decoder", "words"),
    [("segv", "SIGSEGV"), ("hang", "gave no result for 3 s"), ("memory", "ended itself")],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_poison_image_is_isolated_told_and_remembered(
    workers: int, decoder: str, words: str, config: Config, tmp_path: Path,
    step: Callable[[Config, Path], tuple[Records, pd.DataFrame]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    _, healthy = step(config, tmp_path / "healthy")
    config = config.model_copy(update={"workers": workers})
    monkeypatch.setattr(pictures, "shipped", functools.partial(engine_work.decoded, decoder))
    monkeypatch.setattr(yolo, "by_workers", lambda config: lambda paths: pictures.decoding(paths, workers, 3.0))
    records, found = step(config, tmp_path / "cache")
    assert list(records.lost) == [POISON]
    assert words in records.lost[POISON]
    assert set(healthy["image_id"]) - set(found["image_id"]) == {POISON}
    merged = healthy.merge(found, on="image_id")
    for before, now in zip(merged["embedding_x"], merged["embedding_y"], strict=True):
        np.testing.assert_allclose(now, before, rtol=1e-3, atol=1e-4)
    seen = features.extract(config, records, tmp_path / "features")
    findings = quality.find(records, seen, {}, WINDOW, predicts=step is predicted)
    assert findings[["image_id", "finding", "detail"]].to_numpy().tolist() == [
        [POISON, "unreadable", records.lost[POISON]]
    ]
    monkeypatch.setattr(yolo, "by_workers", lambda config: pytest.fail("decoded again"))
    again, same = step(config, tmp_path / "cache")
    assert (again.lost, same["image_id"].tolist()) == (records.lost, found["image_id"].tolist())


def test_what_is_said_does_not_depend_on_workers(config: Config, tmp_path: Path) -> None:
    said = []
    for workers in (1, 2, 5):
        records, found = predicted(config.model_copy(update={"workers": workers}), tmp_path / str(workers))
        said.append((records.predictions.to_numpy().tolist(), [one.tobytes() for one in found["embedding"]]))
    assert said[0] == said[1] == said[2]


def test_pixels_are_those_that_opencv_decodes_large_ones_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(9)]
    for number, path in enumerate(paths):
        cv2.imwrite(path, np.random.default_rng(number).integers(0, 255, (50 + number, 70, 3), dtype=np.uint8))
    Path(paths[4]).write_bytes(b"no picture")
    large = str(tmp_path / "large.png")
    cv2.imwrite(large, np.zeros((4000, 3000, 3), np.uint8))
    with pictures.decoding([*paths, large, str(tmp_path / "none.png")], 2) as found:
        got = list(found)
    for path, one in zip([*paths, large], got[:-1], strict=True):
        own = cv2.imread(path)
        assert one is None if own is None else np.array_equal(one, own)  # type: ignore[arg-type]
    assert got[4] is None
    assert got[-1] is None


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    """A file of a few kB, whose picture would take 1.2 GB."""
    side = 20_000

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = zlib.compress(b"\0" * (1 + side // 8) * side)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", lines) + part(b"IEND", b""))
    assert bomb.stat().st_size < 100_000
    assert list(pictures.shipped([str(bomb)])) == [None]


def test_an_earlier_versions_cache_is_read(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = predicted(config, tmp_path / "cache")
    for path in (tmp_path / "cache").rglob("*.parquet"):
        pd.read_parquet(path).drop(columns="lost").to_parquet(path)
    monkeypatch.setattr(yolo, "predict", lambda *_: pytest.fail("predicted again"))
    assert predicted(config, tmp_path / "cache")[1]["image_id"].tolist() == found["image_id"].tolist()
