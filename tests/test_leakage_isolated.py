"""Copies are looked for in thumbnails that workers make: a poison image takes none but itself along."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import engine_work
import numpy as np
import pandas as pd
import pytest

from cvkit.data import pictures
from cvkit.maintenance import leakage
from cvkit.maintenance.candidates import Candidates
from cvkit.tables import BOXES, LEFT_OUT, conform, empty

CASES = 20  # more than a worker is given at a time


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Test images, candidates that are the same saved smaller, and a box in each; hashes that do not tell."""
    rng = np.random.default_rng(3)
    rows: dict[str, list[dict[str, object]]] = {"test": [], "mine": []}
    for number in range(CASES):
        coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC)
        for name, shown in (("test", picture), ("mine", cv2.resize(picture, (80, 60), interpolation=cv2.INTER_AREA))):
            path = tmp_path / f"{name}-{number:02}.png"
            cv2.imwrite(str(path), shown)
            rows[name].append({
                "image_id": path.stem, "content": path.stem, "source": "cam-1", "origin": "new",
                "dhash": 0xFF00 if name == "test" else 0, "moment": pd.NaT, "path": str(path),
                "width": shown.shape[1],
                "height": shown.shape[0],
            })  # fmt: skip
    test, mine = (pd.DataFrame(rows[name]).astype({"dhash": "uint64"}) for name in ("test", "mine"))
    boxes = [(row["image_id"], 0, 0.1 * row["width"], 0.1 * row["height"], 0.9 * row["width"], 0.9 * row["height"])
             for row in rows["test"] + rows["mine"]]  # fmt: skip
    return test, mine, conform(pd.DataFrame(boxes, columns=["image_id", "class_id", "x1", "y1", "x2", "y2"]), BOXES)


def copies(test: pd.DataFrame, mine: pd.DataFrame, boxes: pd.DataFrame) -> dict[str, str]:
    found = leakage.against(
        Candidates(mine, boxes, empty(LEFT_OUT)), test, boxes, near_bits=4, neighbours_s=0
    )  # fmt: skip
    return dict(zip(found["image_id"], found["other"], strict=True))


def test_a_picture_that_ends_its_decoder_is_no_copy_of_any_and_all_others_are_found(
    pairs: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = {f"mine-{number:02}": f"test-{number:02}" for number in range(CASES)}
    assert copies(*pairs) == whole
    monkeypatch.setattr(pictures, "shrunk", functools.partial(engine_work.dying, "shrunk", "test-07.png"))
    assert copies(*pairs) == {name: other for name, other in whole.items() if other != "test-07"}
    assert caplog.text.count("a process that decodes it to look for copies was ended by SIGSEGV") == 1
    monkeypatch.setattr(pictures, "shrunk", functools.partial(engine_work.dying, "shrunk", "mine-11.png"))
    assert copies(*pairs) == {name: other for name, other in whole.items() if name != "mine-11"}


def test_thumbnails_are_those_that_opencv_makes(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(35)]
    for number, path in enumerate(paths):
        cv2.imwrite(path, np.random.default_rng(number).integers(0, 255, (50 + number, 70, 3), dtype=np.uint8))
    Path(paths[4]).write_bytes(b"no picture")
    for path, one in zip(paths, pictures.thumbnails(paths, 2), strict=True):
        own = cv2.imread(path)
        if own is None:
            assert one is None
        else:
            grey = cv2.cvtColor(own, cv2.COLOR_BGR2GRAY)
            assert np.array_equal(one, cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]
