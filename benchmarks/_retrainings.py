"""Workspaces to retrain in: a detector, old images it is good at, and new ones under a condition it has not met.

One is the demo's production line, whose lens gets dirty; the others hold real images, old ones as they are and new
ones corrupted. Everything follows from a seed. A workspace is made once and kept, with all that cvkit keeps in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from cvkit import demo, demo_world, workspace
from cvkit.config import Config, load_config
from cvkit.data import corruptions, yolo
from cvkit.maintenance import test_set
from cvkit.tables import Window

SHARED = Path(__file__).parents[2] / "shared" / "data"
WEIGHTS = SHARED / "weights" / "yolo26n.pt"
PARTS, CELLS, RACCOONS, THINGS = "demo", "bccd", "raccoon", "coco128"
LINE: Mapping[str, Any] = {
    "FIRST_DAY": demo_world.DIRTY_FROM,
    "DAYS": 8,
    "REFERENCE_DAYS": 8,
}  # the lens gets dirty in eight days
CAMERA, DAYS = "cam", ("2026-11-02", "2026-11-03")
MINUTES = 5  # between two frames, so that none is a neighbour of another

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Set:
    """A set of real images, and how a detector gets to know it."""

    size: int  # pixels of the longer side
    tested: float  # share of the images that are held out
    changes: Sequence[tuple[str, int]]  # families and severities of corruption, by seed
    epochs: int = 0  # that the champion is trained for; 0: the pretrained detector is the champion
    most: int = 120  # images of either half that are used, for the time it takes


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture and what is labelled on it."""

    picture: Picture
    classes: tuple[int, ...]
    corners: NDArray[np.float64]  # (n, 4) x1, y1, x2, y2, shares of width and height


# Changes under which each champion does clearly worse.
SETS: Mapping[str, Set] = {
    CELLS: Set(
        192, 0.5, (("contrast", 3), ("noise", 2), ("brightness", 3), ("compression", 3), ("darkness", 2)), epochs=12
    ),
    RACCOONS: Set(
        192, 0.6, (("contrast", 3), ("noise", 2), ("brightness", 2), ("compression", 3), ("fog", 3)), epochs=100
    ),
    THINGS: Set(256, 0.5, (("contrast", 3), ("noise", 3), ("fog", 3), ("blur", 3), ("darkness", 3))),
}


def available() -> list[str]:
    """The sets that can be made here: the demo's, and the real ones where they lie beside the checkout."""
    real = [name for name in SETS if WEIGHTS.is_file() and (SHARED / name).is_dir()]
    return [PARTS, *real]


def make(name: str, seed: int, keep: Path) -> tuple[Config, list[Window]]:
    """The workspace of a set with a seed, and the windows of its new images; made unless it is in `keep`."""
    folder = keep / f"{name}-{seed}"
    if name == PARTS:
        with patch.multiple(demo_world, **LINE):
            config = load_config(folder) if (folder / "cvkit.yml").is_file() else demo.prepare(folder, seed)
        first = demo_world.DIRTY_FROM.toordinal()
        return config, [Window.day(date.fromordinal(first + day).isoformat()) for day in range(LINE["DAYS"])]
    if not (folder / "cvkit.yml").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        _write(name, seed, folder, keep)
    return load_config(folder), [Window.day(day) for day in DAYS]


# -- real images ----------------------------------------------------------------------------------------------------


def _write(name: str, seed: int, folder: Path, keep: Path) -> None:
    """Old images and new ones of a set: those held out in both, clean and corrupted; the others half and half.

    All images that are tested on are held out from the champion's training too.
    """
    this, (scenes, names) = SETS[name], _scenes(name)
    taught, held = (half[: this.most] for half in _halves(name, len(scenes), this.tested))
    family, severity = this.changes[seed % len(this.changes)]
    order = np.random.default_rng([seed, 1]).permutation(taught)
    old, new = order[: order.size // 2], order[order.size // 2 :]
    for split, numbers in (("val", held), ("train", old)):
        places = (folder / "reference" / kind / split for kind in ("images", "labels"))
        _write_scenes(*places, {f"{number:04d}": scenes[number] for number in numbers})
    _describe(folder / "reference", {"train": "images/train", "val": "images/val"}, names)
    tested, trained = sorted(DAYS, key=lambda day: test_set.order(f"{CAMERA} {day}"))  # the first is tested on
    for day, numbers in ((tested, held), (trained, new)):
        changed = {}
        for place, number in enumerate(np.random.default_rng([seed, 2]).permutation(numbers)):
            one = scenes[number]
            picture = corruptions.corrupt(one.picture, family, severity, 1000 * seed + int(number))
            minutes = MINUTES * place
            changed[f"{minutes // 60:02d}{minutes % 60:02d}00"] = Scene(picture, one.classes, one.corners)
        _write_scenes(folder / "captures" / CAMERA / day, folder / "labels" / CAMERA / day, changed)
    weights = _champion(name, keep) if this.epochs else WEIGHTS
    workspace.create(folder, _settings(name, weights, folder, held.size / (held.size + new.size)))


def _settings(name: str, weights: Path, folder: Path, share: float) -> dict[str, Any]:
    frame = "{source}/{date}/{time}"
    return {
        "model": {
            "name": name,
            "weights": str(weights),
            "image_size": SETS[name].size,
            "estimate_images": 0,
            "embeddings": False,
        },
        "captures": {"images": f"captures/{frame}.jpg", "labels": f"labels/{frame}.txt"},
        "reference": {"data": str(folder / "reference" / "data.yaml"), "independent": True},
        "retraining": {"minimum_labels": 10, "test_share": share},
    }


def _halves(name: str, count: int, tested: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of the images to be trained on, and of those held out: the same for all seeds, as one champion is."""
    order = np.random.default_rng(len(name)).permutation(count)
    return order[round(tested * count) :], order[: round(tested * count)]


def _champion(name: str, keep: Path) -> Path:
    """A detector of a set's classes, trained once on the half that is not held out."""
    folder, this = keep / f"champion-{name}", SETS[name]
    weights = folder / "run" / "weights" / "best.pt"
    if not weights.is_file():
        scenes, names = _scenes(name)
        taught, _ = _halves(name, len(scenes), this.tested)
        shown = {f"{number:04d}": scenes[number] for number in taught}
        _write_scenes(folder / "images", folder / "labels", shown)
        _describe(folder, {"train": "images", "val": "images"}, names)
        model = yolo.load(WEIGHTS, keep / ".ultralytics")
        model.train(
            data=str(folder / "data.yaml"), epochs=this.epochs, imgsz=this.size, save_dir=str(folder / "run"),
            device="cpu", workers=0, amp=False, plots=False, verbose=False, val=False, batch=8, optimizer="AdamW",
            lr0=0.001, warmup_epochs=1.0, close_mosaic=this.epochs // 2, exist_ok=True,
        )  # fmt: skip
    return weights


def _write_scenes(images: Path, labels: Path, scenes: Mapping[str, Scene]) -> None:
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for name, one in scenes.items():
        written = cv2.imencode(".jpg", one.picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        (images / f"{name}.jpg").write_bytes(written.tobytes())
        centre, size = (one.corners[:, :2] + one.corners[:, 2:]) / 2, one.corners[:, 2:] - one.corners[:, :2]
        rows = np.concatenate([centre, size], axis=1)
        lines = [" ".join([str(kind), *(f"{x:.6f}" for x in row)]) for kind, row in zip(one.classes, rows, strict=True)]
        (labels / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


def _describe(folder: Path, splits: Mapping[str, str], names: Mapping[int, str]) -> None:
    (folder / "data.yaml").write_text(yaml.safe_dump({**splits, "names": dict(names)}))


def _scenes(name: str) -> tuple[list[Scene], dict[int, str]]:
    """All images of a set, scaled to its size, with the names of its classes."""
    size, folder = SETS[name].size, SHARED / name
    if name == THINGS:
        known = yolo.load(WEIGHTS, Path()).names
        return [_of_yolo(file, size) for file in sorted((folder / "images").glob("*.jpg"))], dict(known)
    files = sorted(folder.rglob("*.xml"))
    found = {file: [one.findtext("name", "") for one in ElementTree.parse(file).iter("object")] for file in files}
    kinds = sorted({kind for told in found.values() for kind in told})
    return [_of_voc(file, size, kinds) for file in files], dict(enumerate(kinds))


def _of_yolo(file: Path, size: int) -> Scene:
    told = file.parents[1] / "labels" / f"{file.stem}.txt"
    text = told.read_text() if told.is_file() else ""
    rows = np.array([line.split() for line in text.splitlines()], dtype=float).reshape(-1, 5)
    half = rows[:, 3:] / 2
    corners = np.concatenate([rows[:, 1:3] - half, rows[:, 1:3] + half], axis=1)
    return Scene(_picture(file, size), tuple(rows[:, 0].astype(int).tolist()), np.clip(corners, 0, 1))


def _of_voc(file: Path, size: int, kinds: list[str]) -> Scene:
    """A Pascal VOC file and its picture; boxes without an area are left out."""
    root = ElementTree.parse(file).getroot()
    picture = next(found for folder in (file.parents[1] / "JPEGImages", file.parents[1] / "images")
                   if (found := folder / f"{file.stem}.jpg").is_file())  # fmt: skip
    rows, height, width = [], *cv2.imread(str(picture)).shape[:2]
    for one in root.iter("object"):
        corners = [float(one.findtext(f"bndbox/{name}", "0")) for name in ("xmin", "ymin", "xmax", "ymax")]
        shares = np.clip(np.array(corners) / (width, height, width, height), 0, 1)
        if (shares[2:] > shares[:2]).all():
            rows.append((kinds.index(one.findtext("name", "")), shares))
    corners_of = np.array([shares for _, shares in rows]).reshape(-1, 4)
    return Scene(_picture(picture, size), tuple(kind for kind, _ in rows), corners_of)


def _picture(file: Path, size: int) -> Picture:
    picture = cv2.imread(str(file))
    scale = size / max(picture.shape[:2])
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
