"""Boxes to supervision, Hugging Face datasets and FiftyOne, and back as they were."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cvkit.data import interop
from cvkit.errors import ConfigError, DataError
from cvkit.tables import BOXES, IMAGES, conform, empty

CLASSES = {0: "nut", 1: "<b>bolt</b>", 3: "Schraube ß"}
MISSING = pytest.mark.skipif
supervision = MISSING(importlib.util.find_spec("supervision") is None, reason="pip install 'cvkit[supervision]'")
datasets = MISSING(importlib.util.find_spec("datasets") is None, reason="pip install 'cvkit[datasets]'")


def made(folder: Path, labels: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four images, of which the second has no boxes and the last no file; boxes of odd numbers and classes."""
    rng = np.random.default_rng(3)
    images = conform(
        pd.DataFrame(
            {"image_id": ["b/1.png", "empty.png", "a.png", "gone"], "source": ["cam-2", "cam-1", "cam-1", ""],
             "path": [str(folder / "1.png"), str(folder / "2.png"), str(folder / "3.png"), ""],
             "width": 64.0, "height": 48.0}
        ), IMAGES,
    )  # fmt: skip
    for path in filter(None, images["path"]):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(path)
    first = rng.uniform(0, 30, (5, 2)).astype(np.float32)
    last = first + rng.uniform(1, 17, (5, 2)).astype(np.float32)
    boxes = pd.DataFrame(np.hstack([first, last]), columns=interop.CORNERS).assign(
        image_id=["b/1.png", "b/1.png", "a.png", "a.png", "gone"], class_id=[3, 0, 2, 1, 0],
        confidence=np.nan if labels else rng.uniform(0, 1, 5), aside=["", "crowd", "", "", "ignore"] if labels else "",
    )  # fmt: skip
    return conform(boxes, BOXES), images


@supervision
@pytest.mark.parametrize("labels", [False, True])
def test_supervision_and_back(tmp_path: Path, labels: bool) -> None:
    boxes, images = made(tmp_path, labels)
    found = interop.to_supervision(boxes, images, CLASSES)
    assert list(found) == ["b/1.png", "empty.png", "a.png", "gone"]
    assert [len(one) for one in found.values()] == [2, 0, 2, 1]
    first = found["b/1.png"]
    assert first.data["class_name"].tolist() == ["Schraube ß", "nut"]
    assert first.xyxy.tolist() == boxes.loc[[0, 1], ["x1", "y1", "x2", "y2"]].to_numpy().tolist()
    assert (first.confidence is None) == labels
    assert len(first[first.class_id == 3]) == 1, "it can be cut as supervision's own"
    pd.testing.assert_frame_equal(interop.from_supervision(found), boxes)


@supervision
def test_what_supervision_makes_itself_is_read() -> None:
    from supervision import Detections

    made = Detections(xyxy=np.array([[1, 2, 30, 40]]), class_id=np.array([1]))
    rows = interop.from_supervision({"x": made, "y": Detections.empty()}).to_dict("records")
    assert [(row["image_id"], row["class_id"], row["x2"], row["aside"]) for row in rows] == [("x", 1, 30.0, "")]
    assert np.isnan(rows[0]["confidence"])
    with pytest.raises(DataError, match="without a class"):
        interop.from_supervision({"x": Detections(xyxy=np.array([[1, 2, 30, 40]]))})


@datasets
@pytest.mark.parametrize("labels", [False, True])
def test_datasets_and_back(tmp_path: Path, labels: bool) -> None:
    boxes, images = made(tmp_path, labels)
    found = interop.to_datasets(boxes, images, CLASSES)
    assert found["image_id"][:] == images["image_id"].tolist()
    assert found["source"][:] == images["source"].tolist()
    names = found.features["objects"]["category"].feature
    assert names.names == ["nut", "<b>bolt</b>", "2", "Schraube ß"]
    row = found[0]
    assert row["image"].size == (64, 48)
    assert found[3]["image"] is None
    x1, y1, x2, y2 = boxes.loc[0, ["x1", "y1", "x2", "y2"]]
    assert row["objects"]["bbox"][0] == [x1, y1, x2 - x1, y2 - y1], "as COCO has it"
    assert names.int2str(row["objects"]["category"]) == ["Schraube ß", "nut"]
    assert found[1]["objects"]["bbox"] == []
    pd.testing.assert_frame_equal(interop.from_datasets(found), boxes, check_exact=True)


@datasets
def test_boxes_of_another_data_set_are_read_or_refused() -> None:
    import datasets

    told = {"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [1]}
    boxes = interop.from_datasets(datasets.Dataset.from_dict({"image_id": ["a"], "objects": [told]}))
    assert boxes[["image_id", "class_id", "x1", "y1", "x2", "y2"]].to_numpy().tolist() == [["a", 1, 1.0, 2.0, 4.0, 6.0]]
    assert boxes["confidence"].isna().all()
    with pytest.raises(DataError, match="no data set of boxes"):
        interop.from_datasets(datasets.Dataset.from_dict({"picture": ["a"]}))


@pytest.mark.parametrize(
    "kind", [pytest.param("supervision", marks=supervision), pytest.param("datasets", marks=datasets)]
)
def test_without_a_box_nothing_breaks(kind: str, tmp_path: Path) -> None:
    _, images = made(tmp_path)
    for shown in (images, images.iloc[:0]):
        found = getattr(interop, f"to_{kind}")(empty(BOXES), shown, {})
        assert len(found) == len(shown)
        pd.testing.assert_frame_equal(getattr(interop, f"from_{kind}")(found), empty(BOXES))


@pytest.mark.parametrize("kind", ["supervision", "datasets", "fiftyone"])
def test_what_is_not_installed_is_said(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"pip install 'cvkit\[{kind}\]'"):
        getattr(interop, f"to_{kind}")(*made(tmp_path), CLASSES)


def test_fiftyone_and_back(tmp_path: Path) -> None:
    fiftyone = pytest.importorskip("fiftyone", reason="FiftyOne is not installed")
    boxes, images = made(tmp_path)
    samples = interop.to_fiftyone(boxes, images, CLASSES)
    assert all(isinstance(one, fiftyone.Sample) for one in samples)
    assert [type(one.predictions) for one in samples] == [fiftyone.Detections] * 3
    back = interop.from_fiftyone(samples, CLASSES)
    pd.testing.assert_frame_equal(back, boxes.iloc[:4], check_exact=False, rtol=0, atol=1e-9)


# -- FiftyOne brings a database of its own, and is seldom installed: with stand-ins for its classes -------------------


class Standin(SimpleNamespace):
    """Fields by name and by item, `field_names`: what FiftyOne's samples and labels document."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(vars(self))


def test_arithmetic_of_fiftyones_relative_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("fiftyone")
    for name in ("Sample", "Detections", "Detection", "ImageMetadata"):
        setattr(module, name, Standin)
    monkeypatch.setitem(sys.modules, "fiftyone", module)
    monkeypatch.setattr(interop, "need", lambda *names, extra: None)
    boxes, images = made(tmp_path)
    samples = interop.to_fiftyone(boxes, images, CLASSES)
    assert [one.image_id for one in samples] == ["b/1.png", "empty.png", "a.png"], "without a file there is no sample"
    first = samples[0].predictions.detections[0]
    assert (first.label, first.class_id) == ("Schraube ß", 3)
    assert first.bounding_box[0] == pytest.approx(boxes["x1"][0] / 64)
    assert first.bounding_box[3] == pytest.approx((boxes["y2"][0] - boxes["y1"][0]) / 48)
    back = interop.from_fiftyone(samples, CLASSES)
    pd.testing.assert_frame_equal(back, boxes.iloc[:4], check_exact=False, rtol=0, atol=1e-9)
    foreign = Standin(filepath="x.jpg", metadata=None, ground_truth=Standin(detections=[Standin(
        label="nut", bounding_box=[0.5, 0.5, 0.25, 0.25], confidence=None)]))  # fmt: skip
    with pytest.raises(DataError, match="compute_metadata"):
        interop.from_fiftyone([foreign], CLASSES, "ground_truth")
    foreign.metadata = Standin(width=100, height=200)
    told = interop.from_fiftyone([foreign], CLASSES, "ground_truth").to_dict("records")
    assert [told[0][name] for name in ("image_id", "class_id", "x1", "y1", "x2", "y2")] == [
        "x.jpg",
        0,
        50,
        100,
        75,
        150,
    ]
    foreign.ground_truth.detections[0].label = "washer"
    with pytest.raises(DataError, match="no class"):
        interop.from_fiftyone([foreign], CLASSES, "ground_truth")
