"""The frozen test set: what no training may see, old images that the model was accepted on and new ones."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cvkit.config import Config
from cvkit.errors import DataError, StorageError
from cvkit.maintenance import candidates
from cvkit.maintenance.candidates import CANDIDATES, Candidates, Progress
from cvkit.monitoring import reference as reference_step
from cvkit.storage import lock, replacing, write_text
from cvkit.tables import BOXES, IMAGES, TIME, Window, conform, empty

FILE, FOLDER = "retraining/test.json", "retraining/test"
OLD, NEW = "old", "new"  # parts of it
TEST, TRAINING = "test", "training"  # sides that stretches of production are on
FORMAT = 1
BOX = ("class_id", "x1", "y1", "x2", "y2", "aside")  # of a labelled box
TEST_IMAGES: Mapping[str, str] = {**IMAGES, "moment": TIME, "content": "str", "dhash": "uint64", "part": "str"}
KEPT = ("image_id", "part", "source", "path", "content", "dhash", "width", "height", "time", "moment")  # of an image
Stretches = dict[str, dict[str, Any]]  # by source and day: {"side": TEST or TRAINING, "images": how many}


@dataclass(frozen=True, slots=True, eq=False)
class TestSet:
    """Held-out images with their labels."""

    __test__ = False  # for pytest: it is no test

    id: str  # of its images and labels
    images: pd.DataFrame  # table IMAGES with moment, content, dhash and part: old or new
    labels: pd.DataFrame  # table BOXES
    classes: dict[int, str]
    stretches: Stretches = field(default_factory=dict)  # of production: on which side each is, for ever


def load(config: Config, *, verify: bool = True) -> TestSet:
    """The frozen test set. `verify` reads every image to see that it is still the one that was frozen.

    Raises DataError where there is none yet, and where images are gone or are other ones now; StorageError where its
    file is damaged.
    """
    found = _read(config)
    if found is None:
        raise DataError(
            "there is no test set yet", where=str(config.workspace / FILE), expected="a frozen test set",
            found="no such file", remedy="`cvkit retrain prepare` freezes one",
        )  # fmt: skip
    if verify:
        _verify(config, found)
    return _divided(config, found)


def check(config: Config) -> None:
    """What `load` raises of a test set that is there: reads every image, and measures nothing."""
    if (found := _read(config)) is not None:
        _verify(config, found)


def _verify(config: Config, found: TestSet) -> None:
    if wrong := _wrong(found):
        raise DataError(
            "images of the frozen test set are not what they were", where=str(config.workspace / FILE),
            expected="the files whose hashes stand there", found=f"{len(wrong)} of {len(found.images)}: "
            + "; ".join(wrong[:5]),
            remedy=f"put them back. Without {FILE} a new test set is frozen, and nothing that was said on the old one "
            "compares with it",
        )  # fmt: skip


def freeze(config: Config, windows: Sequence[Window], progress: Progress = lambda done, total: None) -> TestSet:
    """The test set with what belongs to it of the labelled production images in `windows`; see `grow`."""
    return grow(config, candidates.production(config, windows, progress))


def grow(config: Config, produced: Candidates) -> TestSet:
    """The test set with the images of `reference` and its share of `produced`: frozen now where they are not yet.

    Whole stretches (source and day) of production go to one side and stay there. Within each source they are taken in
    the order of a hash of their names, as long as that brings the share of test images nearer to
    `retraining.test_share`; at least one goes to each side where there are two. An image once in never leaves; its
    labels follow what is read now, and it is old from when a champion was accepted on it. Files of new images are
    copied to `retraining/test/`.
    """
    with lock(config.workspace / "locks" / "test-set.lock", "freezing the test set", wait_s=60):
        before = _read(config)
        images, labels = (before.images, before.labels) if before else (empty(TEST_IMAGES), empty(BOXES))
        accepted, truth = _accepted(config)
        images, labels = _joined(images, labels, accepted, truth)
        stretches = assign(before.stretches if before else {}, produced.images, config.retraining.test_share)
        mine = np.array([stretches[name]["side"] == TEST for name in stretch_names(produced.images)], bool)
        new = produced.images[mine & ~produced.images["content"].isin(images.loc[images["part"] == OLD, "content"])]
        images, labels = _joined(images, labels, _copied(config, new).assign(part=NEW), produced.labels)
        _write(config, images, labels, candidates.class_names(config), stretches)
    return load(config, verify=False)


def stretch_names(images: pd.DataFrame) -> list[str]:
    """The stretch of each image: its source and UTC day."""
    days = images["time"].dt.strftime("%Y-%m-%d").fillna("undated")
    return [f"{source} {day}" for source, day in zip(images["source"], days, strict=True)]


def assign(known: Stretches, images: pd.DataFrame, share: float) -> Stretches:
    """Which side each stretch of `images` (table CANDIDATES) is on; those in `known` stay where they are.

    >>> times = pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"], utc=True)
    >>> sorted(one["side"] for one in assign({}, pd.DataFrame({"source": "a", "time": times}), 0.3).values())
    ['test', 'training', 'training']
    """
    sizes = {str(name): int(size) for name, size in pd.Series(stretch_names(images)).value_counts().items()}
    sides = {name: {**one, "images": max(sizes.get(name, 0), one["images"])} for name, one in known.items()}
    new = sorted(set(sizes) - set(known), key=order)
    for source in sorted({_source(name) for name in new}):
        waiting = {name: sizes[name] for name in new if _source(name) == source}
        own = [one for name, one in sides.items() if _source(name) == source]
        sides |= {name: {"side": side, "images": sizes[name]} for name, side in divide(own, waiting, share).items()}
    if len(sides) > 1 and new and all(one["side"] == TRAINING for one in sides.values()):
        sides[new[0]]["side"] = TEST  # of sources with one stretch each
    return dict(sorted(sides.items()))


def divide(own: list[dict[str, Any]], waiting: Mapping[str, int], share: float) -> dict[str, str]:
    """The sides of the stretches `waiting` (images by name), in their order, beside `own` ones that have a side.

    >>> divide([], {"a": 10, "b": 10, "c": 10, "d": 10}, 0.3)
    {'a': 'test', 'b': 'training', 'c': 'training', 'd': 'training'}
    """
    total = sum(waiting.values()) + sum(one["images"] for one in own)
    have = sum(one["images"] for one in own if one["side"] == TEST)
    sides = {}
    for name, size in waiting.items():
        sides[name] = TEST if have + size / 2 <= share * total else TRAINING
        have += size if sides[name] == TEST else 0
    taken = {*sides.values(), *(one["side"] for one in own)}
    if len(taken) == 1 and len(waiting) + len(own) > 1:
        sides[next(iter(waiting))] = TRAINING if TEST in taken else TEST
    return sides


def _source(name: str) -> str:
    return name.rpartition(" ")[0]


def order(name: str) -> str:
    """What stretches are sorted by: as good as drawn, and the same every time."""
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()


def _accepted(config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The labelled images of the reference and their labels."""
    reference = reference_step.load(config)
    facts = reference.features[["image_id", "content", "dhash", "damage", "width", "height"]]
    images = reference.images.drop(columns=["width", "height"]).merge(facts, on="image_id")
    images = images[images["labelled"] & images["damage"].eq("") & images["path"].ne("")]
    clock = "{time}" in config.reference.images if config.reference.data else "{time}" in config.captures.images
    moment = images["time"].where(np.full(len(images), clock))
    return images.assign(part=OLD, moment=moment).drop(columns="damage"), reference.labels


def _divided(config: Config, found: TestSet) -> TestSet:
    """Into old and new: what the champion was accepted on is old, other images of production are new.

    So with a promotion the images that were new to it become old, and with a rollback new again.
    """
    accepted = reference_step.load(config).features["content"]
    produced = found.images["path"].map(lambda path: Path(path).is_relative_to(config.workspace / FOLDER)).astype(bool)
    part = found.images["part"].mask(produced, NEW).mask(found.images["content"].isin(accepted), OLD)
    if part.equals(found.images["part"]):
        return found
    images = found.images.assign(part=part)
    return replace(found, images=images, id=_identity(images, found.labels))


def _identity(images: pd.DataFrame, labels: pd.DataFrame) -> str:
    """Name of a test set: of the content of its images, their parts and labels."""
    boxes: dict[str, list[tuple[Any, ...]]] = {}
    for image_id, *box in labels[["image_id", *BOX]].itertuples(index=False):
        boxes.setdefault(str(image_id), []).append(tuple(box))
    told = [
        [content, part, sorted(boxes.get(str(image_id), []))]
        for image_id, content, part in images[["image_id", "content", "part"]].itertuples(index=False)
    ]
    return hashlib.sha256(json.dumps(sorted(told)).encode()).hexdigest()[:12]


def _copied(config: Config, images: pd.DataFrame) -> pd.DataFrame:
    """`images` with the paths of their copies, which are made where they are not there yet."""
    paths = []
    for path, content in zip(images["path"], images["content"], strict=True):
        copy = config.workspace / FOLDER / f"{content}{Path(path).suffix.lower()}"
        if not copy.is_file():
            with replacing(copy) as part:
                shutil.copyfile(path, part)
        paths.append(str(copy))
    return images.assign(path=paths)


def _joined(
    known: pd.DataFrame, told: pd.DataFrame, images: pd.DataFrame, labels: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images and labels of the test set with those of `images` that it has not got; labels are the newest."""
    images, labels = _renamed(images.drop_duplicates("content"), labels, known)
    told = told[~told["image_id"].isin(images["image_id"])]
    boxes = conform(pd.concat([told, labels], ignore_index=True), BOXES)
    fresh = images[~images["content"].isin(known["content"])]
    fresh = conform(fresh[[name for name in TEST_IMAGES if name in fresh]], TEST_IMAGES)
    return pd.concat([_moved(known, images), fresh], ignore_index=True), boxes


def _renamed(images: pd.DataFrame, labels: pd.DataFrame, known: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`images` and their labels under the names that the known ones of their content have; no two share a name."""
    by_content = dict(zip(known["content"], known["image_id"], strict=True))
    taken = set(known["image_id"])
    names = {
        image_id: by_content.get(content, image_id if image_id not in taken else f"{image_id}#{content[:8]}")
        for image_id, content in zip(images["image_id"], images["content"], strict=True)
    }
    mine = labels[labels["image_id"].isin(names)]
    return images.assign(image_id=images["image_id"].map(names)), mine.assign(image_id=mine["image_id"].map(names))


def _moved(known: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """`known` with the places where files of their content are now."""
    found = images.drop_duplicates("content").set_index("content")["path"]
    there = known["content"].map(found)
    gone = ~known["path"].map(os.path.isfile).astype(bool) & there.notna()
    return known.assign(path=known["path"].mask(gone, there))


def _write(
    config: Config, images: pd.DataFrame, labels: pd.DataFrame, classes: Mapping[int, str], stretches: Stretches
) -> None:
    boxes: dict[str, list[list[Any]]] = {}
    for box in labels.to_dict("records"):
        boxes.setdefault(str(box["image_id"]), []).append([box[name] for name in BOX])
    rows = []
    for one in images[list(KEPT)].sort_values(["part", "image_id"]).to_dict("records"):
        row = {name: one[name] for name in KEPT}
        path = Path(row["path"])
        inside = path.is_relative_to(config.workspace)
        times = {name: "" if pd.isna(row[name]) else row[name].isoformat() for name in ("time", "moment")}
        shown = path.relative_to(config.workspace).as_posix() if inside else str(path)
        rows.append(
            {**row, **times, "path": shown, "dhash": f"{row['dhash']:016x}", "boxes": boxes.get(row["image_id"], [])}
        )
    facts = {
        "format": FORMAT, "classes": {str(number): name for number, name in classes.items()}, "stretches": stretches,
        "images": rows,
    }  # fmt: skip
    write_text(config.workspace / FILE, json.dumps(facts, ensure_ascii=False, indent=0))


def _read(config: Config) -> TestSet | None:
    file = config.workspace / FILE
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    try:
        facts = json.loads(content.decode("utf-8"))
        rows = facts["images"]
        images = [
            {**{name: row[name] for name in KEPT}, "path": str(config.workspace / row["path"]),
             "dhash": int(row["dhash"], 16), "time": row["time"] or None, "moment": row["moment"] or None,
             "labelled": True}
            for row in rows
        ]  # fmt: skip
        boxes = [(row["image_id"], *box) for row in rows for box in row["boxes"]]
        labels = pd.DataFrame(boxes, columns=["image_id", *BOX])
        table = pd.DataFrame(images, columns=[*KEPT, "labelled"]).astype({"dhash": "uint64"})
        times = {name: pd.to_datetime(table[name], utc=True, format="ISO8601") for name in ("time", "moment")}
        classes = {int(number): str(name) for number, name in facts["classes"].items()}
        kept = conform(table.assign(**times, **_on_disk(table["path"])), TEST_IMAGES)
        boxes_of = conform(labels, BOXES)
        return TestSet(_identity(kept, boxes_of), kept, boxes_of, classes, dict(facts["stretches"]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # whatever shape the file has
        raise StorageError(
            "the frozen test set is damaged", where=str(file), found=f"{type(error).__name__}: {error}"[:200],
            remedy="put the file back from a copy: only it knows what no training may see. Without a copy delete it: "
            "`cvkit retrain prepare` freezes a new test set, which may hold images that were trained on",
        ) from error  # fmt: skip


def _on_disk(paths: pd.Series) -> dict[str, list[int]]:
    """Length and time of change of files; 0 of those that are gone."""
    found = [os.stat(path) if os.path.isfile(path) else None for path in paths]  # noqa: PTH113, PTH116
    return {
        "bytes": [one.st_size if one else 0 for one in found],
        "modified_ns": [one.st_mtime_ns if one else 0 for one in found],
    }


def _wrong(found: TestSet) -> list[str]:
    """What is wrong with the files of a test set, in words."""
    wrong = []
    for path, content in zip(found.images["path"], found.images["content"], strict=True):
        try:
            with Path(path).open("rb") as file:
                now = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        except OSError as error:
            wrong.append(f"{path} ({error.strerror})")
            continue
        if now != content:
            wrong.append(f"{path} is another image now")
    return wrong


def as_candidates(found: TestSet) -> Candidates:
    """The test set's images in the columns of candidates."""
    images = found.images.assign(origin=found.images["part"])
    return Candidates(conform(images[list(CANDIDATES)], CANDIDATES), found.labels, pd.DataFrame())
