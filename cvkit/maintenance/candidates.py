"""What could be trained on: labelled images of production, and of the data that the model was trained on before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cvkit.config import Config
from cvkit.config.alerts import matches
from cvkit.data import features as feature_step
from cvkit.data import sources, yolo
from cvkit.data.records import Records
from cvkit.errors import ConfigError, DataError
from cvkit.tables import BOXES, LEFT_OUT, TIME, Window, conform, empty

Progress = Callable[[int, int], None]
PRODUCTION, REPLAY = "production", "replay"

# One row per labelled image. `moment` is its time where a clock told it: of a day alone nobody knows its neighbours.
CANDIDATES: Mapping[str, str] = {
    "image_id": "str", "origin": "str", "source": "str", "time": TIME, "moment": TIME, "path": "str",
    "width": "float64", "height": "float64", "bytes": "int64", "modified_ns": "int64", "content": "str",
    "dhash": "uint64",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Labelled images, and those that cannot be used."""

    images: pd.DataFrame  # table CANDIDATES
    labels: pd.DataFrame  # table BOXES, of these images and maybe of others
    left_out: pd.DataFrame  # table LEFT_OUT


def class_names(config: Config) -> dict[int, str]:
    """The classes of the champion, ids from 0 on.

    Raises ConfigError where there are no weights to train, DataError where the labels are read by another list.
    """
    if not config.model.weights:
        raise ConfigError(
            "there are no weights to train", where=f"{config.path}, model.weights", expected="an Ultralytics .pt file",
            found="nothing", remedy="name the deployed model's weights there",
        )  # fmt: skip
    names = yolo.champion(config, "predict").model.names
    known, read = {int(number): str(name) for number, name in names.items()}, sources.class_names(config)
    if read and read != known:
        raise DataError(
            "the weights and the labels number their classes differently", where=str(config.path),
            expected=f"the classes of the weights: {_listed(known)}", found=_listed(read),
            remedy="correct model.classes, or the names in the reference's data set",
        )  # fmt: skip
    return known


def production(config: Config, windows: Sequence[Window], progress: Progress = lambda done, total: None) -> Candidates:
    """The labelled images of production in `windows`, each content once; `progress` hears windows done and in all.

    Images that are damaged or whose pixels are gone are left out, and those with labels of unknown classes, where
    `retraining.unknown_classes` does not refuse these. Raises DataError where it does.
    """
    parts = []
    for done, window in enumerate(windows):
        records = _chosen(sources.load_captures(config, window), config.retraining.sources)
        cache = config.workspace / "features" / feature_step.VERSION
        parts.append(_of_records(config, records, PRODUCTION, cache, clock=_captures_have_clock(config)))
        progress(done + 1, len(windows))
    if not parts:
        return Candidates(empty(CANDIDATES), empty(BOXES), empty(LEFT_OUT))
    tables = ([getattr(part, name) for part in parts] for name in ("images", "labels", "left_out"))
    images, labels, left_out = (pd.concat(table, ignore_index=True) for table in tables)
    return once(Candidates(images, labels, left_out))


def _chosen(records: Records, patterns: tuple[str, ...]) -> Records:
    """The records of the sources that match one of `patterns`."""
    if not patterns:
        return records
    images = records.images[records.images["source"].map(lambda source: matches(source, patterns)).astype(bool)]
    mine = [table[table["image_id"].isin(images["image_id"])] for table in (records.predictions, records.labels)]
    return replace(records, images=images, predictions=mine[0], labels=mine[1])


def once(found: Candidates) -> Candidates:
    """Each content once: the first image that has it."""
    again = found.images["content"].duplicated()
    first = found.images.drop_duplicates("content").set_index("content")["image_id"]
    copies = found.images[again]
    rows = left_out(copies, "the same file", first.loc[copies["content"]].to_numpy())
    return Candidates(found.images[~again].reset_index(drop=True), found.labels, _joined(found.left_out, rows))


def old_records(config: Config) -> Records:
    """What the model was trained on: the split `retraining.old_split` of `retraining.old`, or of the reference's data.

    Images without labels have no part in it; sources and times are read as `reference.images` says, where that matches.
    Raises DataError where there is none.
    """
    settings, first = config.retraining, config.written.reference  # not of what a version was accepted on
    if not (settings.old or first.data):
        raise no_old_data(config, "the reference is a stretch of captures")
    known = class_names(config)
    changes = {"data": settings.old or first.data, "split": settings.old_split, "predictions": ""}
    own = {"start": None, "end": None, **changes}
    # The champion's list of classes, whatever order the old data set has: its labels are joined on the names.
    model = config.model.model_copy(update={"classes": tuple(known[one] for one in sorted(known))})
    for pattern in dict.fromkeys([first.images, ""]):
        reference = first.model_copy(update={**own, "images": pattern})
        try:
            return sources.load_reference(config.model_copy(update={"reference": reference, "model": model}))
        except ConfigError:  # the pattern is about the reference's paths: those of other data may tell nothing
            if not (settings.old and pattern):
                raise
        except DataError as error:
            raise no_old_data(config, f"{error.problem}: {error.found}") from error
    raise AssertionError("the empty pattern matches everything")


def old(config: Config, records: Records) -> Candidates:
    """`records` of old data, measured: content and perceptual hash are kept in the workspace's cache."""
    settings, first = config.retraining, config.written.reference
    about = f"{config.resolve(settings.old or first.data)} {settings.old_split}"
    cache = config.workspace / "features" / "old" / hashlib.sha256(about.encode("utf-8", "replace")).hexdigest()[:12]
    clock = "{time}" in first.images
    return _of_records(config, records, REPLAY, cache, clock=clock, refuses=False)


def no_old_data(config: Config, found: str) -> DataError:
    """The words for old data that are asked for and not there."""
    settings = config.retraining
    return DataError(
        "there is no old data to replay", where=f"{config.path}, retraining.old",
        expected=f"the split `{settings.old_split}` of a labelled data set, apart from the test images", found=found,
        remedy="name the data.yaml that the model was trained on as retraining.old and its split as "
        "retraining.old_split; retraining.replay: 0 trains without, and forgets",
    )  # fmt: skip


def left_out(images: pd.DataFrame, reason: str, other: Any = "") -> pd.DataFrame:
    """Rows of LEFT_OUT for `images` (table CANDIDATES)."""
    rows = images[["image_id", "origin", "source"]].assign(reason=reason, other=other)
    return conform(rows, LEFT_OUT)


def _of_records(
    config: Config, records: Records, origin: str, cache: Path, *, clock: bool, refuses: bool = True
) -> Candidates:
    chosen = records.images[records.images["labelled"] & (records.images["path"] != "")]
    unknown = set(records.findings.loc[records.findings["finding"] == "unknown_class", "image_id"])
    strange = chosen["image_id"].isin(unknown)
    if strange.any() and refuses and config.retraining.unknown_classes == "refuse":
        raise _unknown_classes(config, records, int(strange.sum()))
    facts = feature_step.extract(config, replace(records, images=chosen.reset_index(drop=True)), cache)
    measured = facts[["image_id", "width", "height", "content", "dhash", "damage", "damage_detail"]]
    rows = chosen.drop(columns=["width", "height"]).merge(measured, on="image_id")
    rows = rows.assign(origin=origin, moment=rows["time"].where(np.full(len(rows), clock)))
    broken, strange = rows["damage"] != "", rows["image_id"].isin(unknown)
    gone = _joined(
        left_out(rows[broken], "the file is damaged"),
        left_out(rows[strange & ~broken], "labels of a class that the model does not know"),
    )
    good = conform(rows.loc[~broken & ~strange, list(CANDIDATES)], CANDIDATES)
    # A crowd is no object to learn; VOC's difficult ones are.
    return Candidates(good, records.labels[records.labels["aside"] != "crowd"], gone)


def _captures_have_clock(config: Config) -> bool:
    return config.captures.time_from != "path" or "time" in sources.images_pattern(config).fields


def _unknown_classes(config: Config, records: Records, images: int) -> DataError:
    told = records.findings.loc[records.findings["finding"] == "unknown_class", "detail"]
    return DataError(
        "labels name classes that the model does not know", where=f"{config.path}, captures.labels",
        expected=f"the classes of the model: {_listed(records.classes)}",
        found=f"{len(told)} boxes in {images} images, the first: {told.iloc[0]}",
        remedy="correct the labels or captures.label_classes; retraining.unknown_classes: leave out trains without "
        "these images. A new class needs a new model: train it with the new list of classes, and adopt it",
    )  # fmt: skip


def _joined(*tables: pd.DataFrame) -> pd.DataFrame:
    return conform(pd.concat(tables, ignore_index=True), LEFT_OUT)


def _listed(classes: Mapping[int, str], most: int = 10) -> str:
    shown = ", ".join(f"{number} {name}" for number, name in sorted(classes.items())[:most])
    return shown + (f" and {len(classes) - most} more" if len(classes) > most else "")
