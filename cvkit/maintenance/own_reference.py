"""A version's own reference: the old and new images it was accepted on, as an Ultralytics data set in its folder.

Compared with the first champion's reference only, what a version was trained for would be reported as drift for ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pandas as pd

from cvkit.config import Config, ReferenceSettings, champion
from cvkit.data.sources import exports
from cvkit.errors import DataError
from cvkit.maintenance import test_set
from cvkit.maintenance.test_set import TestSet
from cvkit.storage import NAME_LENGTH, replacing_folder

FOLDER = "reference"
PATTERN = "pattern.json"  # how the paths of its images tell source and time
UNSUITED = ("images", "labels")  # folders that mean something in a data set


def settle(config: Config, folder: Path, current: ReferenceSettings | None) -> ReferenceSettings | None:
    """Settings of the reference in the version's `folder`, written from the frozen test set if it is not there yet.

    Where there is no test set it stays `current`, the champion's; None is that of cvkit.yml. To be called by the holder
    of the champion's lock. What it is compared within, and whether its images are independent, stays as it is.
    """
    place = folder / FOLDER
    for unfinished in folder.glob(f".{FOLDER}.*.part"):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)
    if not place.is_dir():
        try:
            test = test_set.load(config)
        except DataError:
            return current
        write(place, test)
    before = current or config.written.reference
    pattern = json.loads((place / PATTERN).read_text(encoding="utf-8"))
    return ReferenceSettings(
        data=f"{champion.FOLDER}/{folder.name}/{FOLDER}/data.yaml", split=exports.SPLIT, images=pattern,
        match=before.match, independent=before.independent,
    )  # fmt: skip


def write(place: Path, test: TestSet) -> None:
    """Write the images and labels of a test set as a data set to the new folder `place`, whole or not at all."""
    pattern, files = _files(test.images)
    with replacing_folder(place) as part:
        exports.write_yolo(part, test.images.assign(file=files), test.labels[test.labels["aside"] == ""], test.classes)
        (part / PATTERN).write_text(json.dumps(pattern), encoding="utf-8")


def _files(images: pd.DataFrame) -> tuple[str, list[str]]:
    """The pattern that tells sources and times, as far as all images have them, and a path for each image."""
    with_source = bool(images["source"].map(_suited).all()) and bool((images["source"] != "").any())
    with_time = bool(images["time"].notna().all()) and (with_source or bool((images["source"] == "").all()))
    parts = ["{source}"] if with_source else []
    parts += ["{date}", "{time}-*"] if with_time else ["*"] if with_source else []
    files = []
    for image_id, source, time, path in images[["image_id", "source", "time", "path"]].itertuples(index=False):
        name = hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).hexdigest()[:12]
        folders = [source] if with_source else []
        if with_time:
            folders.append(f"{time:%Y-%m-%d}")
            name = f"{time:%H%M%S_%f}Z-{name}"
        files.append("/".join([*folders, f"{name}{os.path.splitext(path)[1].lower()}"]))  # noqa: PTH122  a hot path
    return "/".join(parts), files


def _suited(source: str) -> bool:
    """Whether a source's name can be a folder of a data set as it is."""
    plain = "/" not in source and "\0" not in source and not source.startswith(".")
    return bool(source) and plain and source not in UNSUITED and len(source.encode()) <= NAME_LENGTH
