"""Folders that labelling tools import: Ultralytics' YOLO or COCO, with the model's boxes to correct.

Images lie flat and labels beside them, in one split, so that the same folder serves CVAT ("Ultralytics YOLO Detection
1.0", "COCO 1.0"), Label Studio's converter and Ultralytics itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml

from cvkit.data.sources.said import CORNERS

Format = Literal["yolo", "coco"]
SPLIT = "train"  # the one subset name that every tool knows
TRAINING = ("train", "val")  # the splits of a data set to train on
COCO_FILE = Path("annotations") / "instances_default.json"
LONGEST = 60  # characters of an image's own name in the exported one
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def file_names(image_ids: Sequence[str]) -> list[str]:
    """A file name for each image: of plain letters, digits, `-` and `_`, each its own, whatever the case counts.

    An image's own name where that is plain and no other image's; else with a digest of its id.

    >>> file_names(["cam-1/0607.JPG", "a/x.jpg", "b/X.png", "é#.jpg"])
    ['0607.jpg', 'x-7ec9164c.jpg', 'X-c4514f35.png', 'image-4d899f34.jpg']
    """
    stems = [os.path.splitext(os.path.basename(one))[0] for one in image_ids]  # noqa: PTH119, PTH122
    counts = pd.Series([stem.lower() for stem in stems], dtype="str").value_counts()
    named = [_name(image_id, stem, counts[stem.lower()] > 1) for image_id, stem in zip(image_ids, stems, strict=True)]
    if len({os.path.splitext(name)[0].lower() for name in named}) == len(named):  # noqa: PTH122
        return named
    # An image's own name is what another was given: then no image keeps its own.
    return [_name(image_id, stem, True) for image_id, stem in zip(image_ids, stems, strict=True)]


def write_yolo(folder: Path, images: pd.DataFrame, boxes: pd.DataFrame, classes: Mapping[int, str]) -> None:
    """Write images and labels in Ultralytics' layout: data.yaml, and in `train/` images, labels and classes.txt.

    `images`: `file`, `path`, `image_id`, `width`, `height`; `boxes`: table BOXES, in pixels of the upright image, cut
    off at its edges. An image without boxes has an empty label file.
    """
    (folder / "data.yaml").write_text(_description(classes, [SPLIT, SPLIT]), encoding="utf-8")
    _write_split(folder / SPLIT, images, boxes)
    listed = (" ".join(name.split()) for name in _listed(classes))  # a name that breaks its line would shift all others
    (folder / SPLIT / "classes.txt").write_text("".join(f"{name}\n" for name in listed), encoding="utf-8")


def write_dataset(folder: Path, images: pd.DataFrame, boxes: pd.DataFrame, classes: Mapping[int, str]) -> None:
    """Write images and labels to train on: as `write_yolo`, but in `train/` and `val/`, as the column `split` says."""
    (folder / "data.yaml").write_text(_description(classes, TRAINING), encoding="utf-8")
    for split in TRAINING:
        _write_split(folder / split, images[images["split"] == split], boxes)


def _write_split(place: Path, images: pd.DataFrame, boxes: pd.DataFrame) -> None:
    (place / "images").mkdir(parents=True)
    (place / "labels").mkdir()
    by_image = dict(list(clipped(boxes, images).groupby("image_id")))
    for row in images.to_dict("records"):
        image, labels = place / "images" / row["file"], (place / "labels" / row["file"]).with_suffix(".txt")
        for file in (image, labels):
            file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(row["path"], image)
        found = by_image.get(row["image_id"])
        lines = [] if found is None else _yolo_lines(found, row["width"], row["height"])
        labels.write_text("".join(f"{line}\n" for line in lines))


def _description(classes: Mapping[int, str], splits: Sequence[str]) -> str:
    """The text of a data.yaml with the splits for train and val."""
    train, val = splits
    names = dict(enumerate(_listed(classes)))
    # no `path`: Ultralytics and CVAT then look beside this file
    data = {"train": f"{train}/images", "val": f"{val}/images", "names": names}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def write_coco(folder: Path, images: pd.DataFrame, boxes: pd.DataFrame, classes: Mapping[int, str]) -> None:
    """The same as COCO: `images/` and `annotations/instances_default.json`, ids from 1.

    There is no `segmentation`: CVAT then makes rectangles, and Label Studio's converter fails on empty ones.
    """
    (folder / "images").mkdir(parents=True)
    (folder / COCO_FILE).parent.mkdir()
    for path, file in zip(images["path"], images["file"], strict=True):
        shutil.copyfile(path, folder / "images" / file)
    number = {image_id: place for place, image_id in enumerate(images["image_id"], start=1)}
    category = {class_id: place for place, class_id in enumerate(sorted(classes), start=1)}
    found = clipped(boxes, images)
    content = {
        "info": {"description": "label plan"},
        "licenses": [],
        "images": [
            {"id": number[row["image_id"]], "file_name": row["file"], "width": int(row["width"]),
             "height": int(row["height"])}
            for row in images.to_dict("records")
        ],
        "categories": [{"id": category[one], "name": classes[one], "supercategory": ""} for one in sorted(classes)],
        "annotations": [
            _annotation(place, number[row["image_id"]], category[row["class_id"]], [row[name] for name in CORNERS])
            for place, row in enumerate(found.to_dict("records"), start=1)
        ],
    }  # fmt: skip
    (folder / COCO_FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def clipped(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The boxes of `images`, cut off at the images' edges; what lies outside is left out."""
    sizes = images.set_index("image_id")[["width", "height"]]
    mine = boxes[boxes["image_id"].isin(sizes.index)]
    width, height = (sizes.loc[mine["image_id"], side].to_numpy() for side in ("width", "height"))
    ends = {name: np.clip(mine[name], 0, side) for name, side in zip(CORNERS, (width, height) * 2, strict=True)}
    inside = mine.assign(**ends)
    return inside[(inside["x2"] > inside["x1"]) & (inside["y2"] > inside["y1"])]


def _name(image_id: str, stem: str, shared: bool) -> str:
    suffix = os.path.splitext(image_id)[1].lower()  # noqa: PTH122
    suffix = suffix if re.fullmatch(r"\.[a-z0-9]+", suffix) else ""
    if PLAIN.fullmatch(stem) and not shared and len(stem) <= LONGEST:
        return f"{stem}{suffix}"
    digest = hashlib.sha256(image_id.encode()).hexdigest()[:8]
    plain = re.sub("[^A-Za-z0-9_-]+", "-", stem)[:LONGEST].strip("-_")
    return f"{plain or 'image'}-{digest}{suffix}"


def _listed(classes: Mapping[int, str]) -> list[str]:
    """Names by id from 0 on without gaps, as classes.txt needs them."""
    return [classes.get(number, f"class_{number}") for number in range(max(classes) + 1)]


def _yolo_lines(boxes: pd.DataFrame, width: float, height: float) -> list[str]:
    kind, (x1, y1, x2, y2) = boxes["class_id"], (boxes[name] for name in CORNERS)
    shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return [f"{one} {x:.6f} {y:.6f} {w:.6f} {h:.6f}" for one, x, y, w, h in zip(kind, *shares, strict=True)]


def _annotation(number: int, image: int, category: int, corners: list[float]) -> dict[str, Any]:
    x1, y1, x2, y2 = corners
    wide, high = round(x2 - x1, 3), round(y2 - y1, 3)
    bbox = [round(x1, 3), round(y1, 3), wide, high]
    return {
        "id": number, "image_id": image, "category_id": category, "bbox": bbox, "area": round(wide * high, 3),
        "iscrowd": 0,
    }  # fmt: skip
