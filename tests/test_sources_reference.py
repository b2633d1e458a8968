"""The reference's data set, in every layout people have; real data sets where they lie beside the checkout."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sources_workspace import corners, picture, settings, words, write

from cvkit.config import Config
from cvkit.data import sources
from cvkit.data.records import Records
from cvkit.errors import ConfigError, DataError

VOC = "<annotation><filename>{}.jpg</filename>{}</annotation>"
OBJECT = "<object><name>{}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"


def reference(folder: Path, data: str, classes: Any = (), **more: Any) -> Config:
    return settings(folder, {"time_zone": "Europe/Berlin"}, {"data": data, **more}, list(classes))


def load(folder: Path, data: str, classes: Any = (), **more: Any) -> Records:
    return sources.load_reference(reference(folder, data, classes, **more))


def yolo(folder: Path, **content: Any) -> None:
    for name in ("a", "b", "c"):
        picture(folder / f"set/images/val/{name}.jpg")
    write(folder / "set/labels/val/a.txt", "1 0.2 0.375 0.2 0.25\n0 0.1 0.1 0.3 0.1 0.3 0.5\n")
    write(folder / "set/labels/val/b.txt", "")
    write(folder / "set/data.yaml", yaml.safe_dump({"names": ["nut", "bolt"], "val": "images/val", **content}))


BOXES_OF_A = [("images/val/a.jpg", 1, 10, 20, 30, 40), ("images/val/a.jpg", 0, 10, 8, 30, 40)]  # the second a polygon


def test_predictions_on_a_data_set(tmp_path: Path) -> None:
    """A model that runs elsewhere says what it made of the images it was accepted on."""
    yolo(tmp_path)
    box = {"class": "bolt", "confidence": 0.9, "xyxy": [1, 2, 30, 40]}
    lines = [
        {"image": "images/val/a.jpg", "boxes": [box]},
        {"image": "b.jpg", "boxes": []},
        {"image": "z.jpg", "boxes": []},
    ]
    write(tmp_path / "said/all.jsonl", "\n".join(map(json.dumps, lines)))
    records = load(tmp_path, "set", predictions="said/*.jsonl")
    assert corners(records.predictions) == [("images/val/a.jpg", 1, 1, 2, 30, 40)]
    assert records.images["predicted"].tolist() == [True, True, False]
    assert corners(records.labels) == BOXES_OF_A
    assert words(records.findings) == ["missing_image"]
    for day in ("2026-05-01", "2026-05-08"):
        picture(tmp_path / f"days/nut/{day}/080002.jpg")
        write(tmp_path / f"said/{day}.jsonl", json.dumps({"image": "080002.jpg", "boxes": [box]}))
    dated = load(tmp_path, "days", ["bolt"], predictions="said/{date}.jsonl", images="{date}/{time}.jpg")
    assert dated.images["predicted"].all()  # a name that two days have is told by the file's day
    with pytest.raises(DataError, match=r"reference\.predictions"):
        load(tmp_path, "set", predictions="nowhere/*.jsonl")
    with pytest.raises(ConfigError, match=r"reference\.predictions"):
        load(tmp_path, "set", predictions="said/*.csv")
    with pytest.raises(ConfigError, match=r"captures\.predictions"):
        settings(tmp_path, reference={"start": date(2026, 1, 1), "end": date(2026, 1, 2), "predictions": "a.jsonl"})


@pytest.mark.parametrize(
    ("content", "data"),
    [
        ({}, "set/data.yaml"),
        ({}, "set"),
        ({"path": "."}, "set/data.yaml"),
        ({"path": "../set", "val": ["images/val"]}, "set/data.yaml"),
        ({"val": "../images/val"}, "set/data.yaml"),  # as some exports write it
        ({"val": "val.txt"}, "set/data.yaml"),
        ({"names": {0: "nut", "1": "bolt"}}, "set/data.yaml"),
    ],
)
def test_data_yaml_as_people_write_it(tmp_path: Path, content: dict[str, Any], data: str) -> None:
    yolo(tmp_path, **content)
    write(tmp_path / "set/val.txt", "./images/val/a.jpg\nimages/val/b.jpg\n\nimages/val/c.jpg\n")
    records = load(tmp_path, data)
    assert records.images["image_id"].tolist() == [f"images/val/{name}.jpg" for name in "abc"]
    assert records.images["labelled"].tolist() == [True, True, False]  # an empty file says "nothing there"
    assert not records.images["predicted"].any()
    assert records.images["time"].isna().all()
    assert corners(records.labels) == BOXES_OF_A
    assert records.findings.empty
    assert records.classes == {0: "nut", 1: "bolt"}


def test_absolute_path_in_data_yaml(tmp_path: Path) -> None:
    yolo(tmp_path, path=str(tmp_path / "set"))
    write(tmp_path / "elsewhere/data.yaml", (tmp_path / "set/data.yaml").read_bytes())
    assert corners(load(tmp_path, "elsewhere/data.yaml").labels) == BOXES_OF_A


def test_splits_missing_from_data_yaml(tmp_path: Path) -> None:
    yolo(tmp_path, train="images/train")
    with pytest.raises(DataError, match="there is no split `test`") as error:
        load(tmp_path, "set/data.yaml", split="test")
    assert "train, val" in error.value.found
    with pytest.raises(DataError, match="the split `train` has no images") as error:
        load(tmp_path, "set/data.yaml", split="train")
    assert "has 1 entries, such as 'val'" in error.value.found


def test_strays_in_a_yolo_set(tmp_path: Path) -> None:
    yolo(tmp_path, val="val.txt")
    write(tmp_path / "set/val.txt", "images/val/a.jpg\nimages/val/gone.jpg\n")
    write(tmp_path / "set/labels/val/stray.txt", "0 .5 .5 .1 .1\n")
    records = load(tmp_path, "set/data.yaml")
    assert len(records.images) == 1
    assert records.findings[["image_id", "finding"]].to_numpy().tolist() == [
        ["images/val/gone.jpg", "missing_image"],
        ["labels/val/stray.txt", "missing_image"],
    ]


def test_ids_are_joined_to_the_models_classes_by_name(tmp_path: Path) -> None:
    yolo(tmp_path)
    swapped = load(tmp_path, "set/data.yaml", ["bolt", "nut"])
    assert swapped.labels["class_id"].tolist() == [0, 1]
    assert swapped.classes == {0: "bolt", 1: "nut"}
    partly = load(tmp_path, "set/data.yaml", ["bolt"])
    assert partly.labels["class_id"].tolist() == [0]
    assert words(partly.findings) == ["unknown_class"]


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "names: 7\nval: x", "names: {a: b}\nval: x", "\x00"])
def test_data_yaml_that_is_none(tmp_path: Path, text: str) -> None:
    write(tmp_path / "data.yaml", text)
    with pytest.raises(DataError, match="description cannot be used"):
        load(tmp_path, "data.yaml")


def coco(folder: Path, path: str = "set/annotations/instances_val.json", **content: Any) -> None:
    images = [{"id": 3, "file_name": "a.jpg"}, {"id": 4, "file_name": "b.jpg"}]
    categories = [{"id": 90, "name": "bolt"}, {"id": 7, "name": "nut"}]
    boxes = [
        {"id": 1, "image_id": 3, "category_id": 90, "bbox": [10, 20, 20, 20]},
        {"id": 2, "image_id": 3, "category_id": 7, "bbox": [10, 20, 20, 20], "iscrowd": 1},
    ]
    write(folder / path, json.dumps({"images": images, "categories": categories, "annotations": boxes, **content}))


@pytest.mark.parametrize(
    "place", ["set/annotations", "set/annotations/images", "set/images", "set/val", "set/images/val"]
)
def test_coco_finds_its_images(tmp_path: Path, place: str) -> None:
    coco(tmp_path)
    for name in ("a", "b", "other"):
        picture(tmp_path / place / f"{name}.jpg")
    records = load(tmp_path, "set/annotations/instances_val.json")
    below = Path(place).relative_to("set").as_posix()
    assert records.images["image_id"].tolist() == [f"{below}/a.jpg", f"{below}/b.jpg"]
    assert records.images["labelled"].all()
    assert corners(records.labels) == [(f"{below}/a.jpg", kind, 10, 20, 30, 40) for kind in (1, 0)]  # by the ids' order
    assert records.labels["aside"].tolist() == ["", "crowd"]
    assert records.classes == {0: "nut", 1: "bolt"}
    assert records.findings.empty


def test_coco_categories_are_joined_by_name(tmp_path: Path) -> None:
    coco(tmp_path, "i.json")
    picture(tmp_path / "a.jpg")
    records = load(tmp_path, "i.json", ["bolt", "screw"])
    assert records.labels["class_id"].tolist() == [0]
    assert words(records.findings) == ["missing_image", "unknown_class"]


def test_coco_that_cannot_be_trusted(tmp_path: Path) -> None:
    coco(tmp_path, "i.json")
    picture(tmp_path / "a.jpg")
    whole = (tmp_path / "i.json").read_text()
    for text in (whole[: len(whole) // 2], "", "[]", '{"images": 7}', '{"a": 1}', "[" * 100_000):
        write(tmp_path / "cut.json", text)
        with pytest.raises(DataError) as error:
            load(tmp_path, "cut.json")
        assert str(tmp_path / "cut.json") in str(error.value)


@pytest.mark.parametrize(
    ("images", "annotations"), [("JPEGImages", "Annotations"), ("images", "annotations"), ("", "")]
)
def test_voc_folders(tmp_path: Path, images: str, annotations: str) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / "set" / images / f"{name}.jpg")
    write(tmp_path / "set" / annotations / "a.xml", VOC.format("wrong", OBJECT.format("nut") + OBJECT.format("bolt")))
    write(tmp_path / "set" / annotations / "renamed.xml", VOC.format("b", ""))
    write(tmp_path / "set" / annotations / "stray.xml", VOC.format("z", OBJECT.format("nut")))
    records = load(tmp_path, "set")
    prefix = f"{images}/" if images else ""
    assert corners(records.labels) == [(f"{prefix}a.jpg", 1, 1, 2, 30, 40), (f"{prefix}a.jpg", 0, 1, 2, 30, 40)]
    assert records.images["labelled"].tolist() == [True, True, False]
    assert words(records.findings) == ["missing_image"]
    assert records.classes == {0: "bolt", 1: "nut"}


def test_voc_splits(tmp_path: Path) -> None:
    for name in ("a", "b", "c d"):
        picture(tmp_path / f"set/JPEGImages/{name}.jpg")
        write(tmp_path / f"set/Annotations/{name}.xml", VOC.format(name, OBJECT.format("nut")))
    write(tmp_path / "set/ImageSets/Main/val.txt", "a\nc d -1\nz\n")
    records = load(tmp_path, "set")
    assert records.images["image_id"].tolist() == ["JPEGImages/a.jpg", "JPEGImages/c d.jpg"]
    assert words(records.findings) == ["missing_image"]
    with pytest.raises(DataError, match="there is no split `test`"):
        load(tmp_path, "set", split="test")


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name in ("nut/a.jpg", "nut/deep/b.png", "bolt/a.jpg"):
        picture(tmp_path / "set" / name)
    write(tmp_path / "set/notes/readme.txt", "x")
    records = load(tmp_path, "set")
    assert records.images["image_id"].tolist() == ["bolt/a.jpg", "nut/a.jpg", "nut/deep/b.png"]
    assert records.classes == {0: "bolt", 1: "nut"}
    assert not records.images["labelled"].any()
    assert records.labels.empty
    picture(tmp_path / "set/val/pin/a.jpg")
    split = load(tmp_path, "set")
    assert split.images["image_id"].tolist() == ["val/pin/a.jpg"]
    assert split.classes == {0: "pin"}


@pytest.mark.parametrize("data", ["nothing", "empty", "yolo", "notes.md"])
def test_data_sets_of_no_known_kind(tmp_path: Path, data: str) -> None:
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "yolo/images/a.jpg")
    write(tmp_path / "yolo/labels/a.txt", "")
    write(tmp_path / "notes.md", "x")
    with pytest.raises(DataError, match="data set") as error:
        load(tmp_path, data)
    assert error.value.remedy
    if data == "yolo":
        assert "data.yaml is asked for" in error.value.found


def test_sources_and_times_of_the_reference(tmp_path: Path) -> None:
    for name in ("train/cam1/2026-07-01/a.jpg", "train/cam2/2026-07-02/b.jpg", "train/odd.jpg"):
        picture(tmp_path / "set/images" / name)
    write(tmp_path / "set/data.yaml", "val: images\nnames: [nut]\n")
    records = load(tmp_path, "set", images="{source}/{date}/*.jpg")
    assert records.images["source"].tolist() == ["", "cam1", "cam2"]
    assert records.images["time"].tolist()[1:] == [
        pd.Timestamp("2026-07-01T12:00", tz="UTC"), pd.Timestamp("2026-07-02T12:00", tz="UTC")
    ]  # fmt: skip
    assert records.findings[["image_id", "finding"]].to_numpy().tolist() == [["images/train/odd.jpg", "no_time"]]
    with pytest.raises(ConfigError, match="no image of the reference matches the pattern"):
        load(tmp_path, "set", images="{source}/{date}/{time}.jpg")


def test_a_stretch_of_captures(tmp_path: Path) -> None:
    for day in range(1, 6):
        picture(tmp_path / f"captures/cam/2026-11-{day:02d}/x.jpg")

    def stretch(start: int, end: int) -> Records:
        days = {"start": date(2026, 11, start), "end": date(2026, 11, end)}
        return sources.load_reference(settings(tmp_path, None, days))

    assert stretch(2, 4).images["time"].dt.day.tolist() == [2, 3]
    with pytest.raises(DataError, match="the reference has no images") as error:
        stretch(10, 12)
    assert "2026-11-01 to 2026-11-05" in error.value.found
    with pytest.raises(ConfigError, match="has to lie after"):
        stretch(4, 4)


def test_coco128_in_two_formats(tmp_path: Path, shared_data: Path) -> None:
    """The YOLO labels and COCO's instances tell the same boxes, to the precision of six decimals in the text files."""
    write(tmp_path / "data.yaml", yaml.safe_dump({"path": str(shared_data / "coco128"), "val": "images"}))
    by_yolo = load(tmp_path, "data.yaml")
    by_coco = load(tmp_path, str(shared_data / "coco128/instances.json"))
    crowds = by_coco.labels["aside"] == "crowd"
    assert len(by_yolo.labels) == (~crowds).sum() == 929
    assert crowds.sum() == 10
    edges = ["x1", "y1", "x2", "y2"]
    theirs = dict(iter(by_coco.labels[~crowds].groupby(["image_id", "class_id"])))
    for key, mine in by_yolo.labels.groupby(["image_id", "class_id"]):
        apart = np.abs(mine[edges].to_numpy()[:, None] - theirs.pop(key)[edges].to_numpy()[None]).max(axis=2)
        assert apart.shape[0] == apart.shape[1]
        assert max(apart.min(axis=0).max(), apart.min(axis=1).max()) < 0.01
    assert not theirs
    assert words(by_yolo.findings) == ["missing_image"] * 2  # labels of two images that are not there
    assert by_coco.classes[45] == "bowl"
    assert len(by_coco.classes) == 80


def test_bccd(tmp_path: Path, shared_data: Path) -> None:
    """All splits together find the two boxes without area, and nothing else."""
    found, boxes = [], 0
    for split in ("trainval", "test"):
        records = load(tmp_path, str(shared_data / "bccd/BCCD"), split=split)
        found.append(records.findings)
        boxes += len(records.labels)
    findings = pd.concat(found)
    assert findings["finding"].tolist() == ["bad_box", "bad_box"]
    assert sorted(Path(name).stem for name in findings["image_id"]) == ["BloodImage_00338", "BloodImage_00343"]
    files = (shared_data / "bccd/BCCD/Annotations").glob("*.xml")
    assert boxes == sum(file.read_text().count("<object>") for file in files) - 2
    assert records.classes == {0: "Platelets", 1: "RBC", 2: "WBC"}


def test_raccoon_and_cifar10(tmp_path: Path, shared_data: Path) -> None:
    raccoon = load(tmp_path, str(shared_data / "raccoon"))
    assert len(raccoon.images) == 60
    assert raccoon.images["labelled"].all()
    assert raccoon.classes == {0: "raccoon"}
    assert raccoon.findings.empty
    cifar = load(tmp_path, str(shared_data / "cifar10"))
    assert len(cifar.images) == 1000
    assert list(cifar.classes.values())[:3] == ["airplane", "automobile", "bird"]
