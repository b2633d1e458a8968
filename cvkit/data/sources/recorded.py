"""What a recorder recorded: frames with their boxes and measured properties, beside the captures or instead of them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cvkit.config import Config
from cvkit.data.recorder_counters import losses
from cvkit.data.recorder_files import BOX, KNOWN, MADE, UNKNOWN_VERSION, source_folder
from cvkit.data.records import Records
from cvkit.data.sources import listing, parquet_files
from cvkit.data.sources.classes import by_id_or_name
from cvkit.data.sources.patterns import Found, Pattern, workspace
from cvkit.data.sources.said import CORNERS, RAW, Problem, Said, checked, findings_table, problem
from cvkit.data.sources.times import as_date
from cvkit.storage import check_memory
from cvkit.tables import PROPERTIES, Window

log = logging.getLogger(__name__)

SLACK = timedelta(days=1)  # a file of the captures may be recorded so much earlier or later than it was taken
NAMED = ["image_id", "time", "source"]
SIZE = ["width", "height"]  # pixels; 0 in files where nobody said
FACTS = [*NAMED, "version", *SIZE, *KNOWN, "frame"]
BROKEN = (OSError, pa.ArrowException, AttributeError, LookupError, RecursionError, TypeError, ValueError)  # files
CUT = "~"  # in a folder's name that was cut: then it does not tell the source


@dataclass(frozen=True, slots=True)
class Recorded:
    """The records that speak of a window."""

    images: pd.DataFrame  # frames that are no file of the captures: as `listing.image_table`, with time and size
    known: pd.DataFrame  # of those image_id and what was measured when they passed (columns of ImageFacts)
    boxes: pd.DataFrame  # what was said of these and of files of the captures (RAW, the class as it was written)
    covered: pd.DataFrame  # of those image_id, width and height, whether anything was found on them or not
    classes: dict[int, str]  # the names that models gave their classes
    problems: list[Problem]


def folder(config: Config) -> Path | None:
    """Where records lie; None where none are to be read."""
    return workspace(config) / config.captures.records if config.captures.records else None


def without_kept(config: Config, found: list[Found]) -> list[Found]:
    """Files of the captures but those that a recorder keeps: these come with their records."""
    place = folder(config)
    return found if place is None else [file for file in found if not file.path.startswith(f"{place}{os.sep}")]


def dates(config: Config) -> list[date]:
    """The UTC dates, sorted, of which there are records."""
    return sorted(day for day, place in _days(config).items() if _files(place))


def days(config: Config) -> list[date]:
    """The UTC dates, sorted, of which there may be records: no date's folder is looked into."""
    return sorted(_days(config))


def anything(config: Config) -> bool:
    """Whether there is any record."""
    return any(_files(place) for place in _days(config).values())


def source_names(config: Config) -> set[str]:
    """The sources that were recorded."""
    names = set()
    for place in _days(config).values():
        for below in place.iterdir():
            if below.name.startswith("source=") and (files := sorted(below.glob("*.parquet"))):
                plain = below.name.removeprefix("source=")
                names.add(_source(files[0]) if CUT in plain else unquote(plain))
    return names


def count(config: Config, window: Window, files: pd.DataFrame, pattern: Pattern) -> int:
    """How many frames of `window` were recorded that are none of the captures' `files` (image_id and path)."""
    rows, _, _ = _read(config, window, NAMED, {})
    return int(_own_frames(config, _by_image(rows, files), window, files, pattern).sum())


def measured(config: Config, window: Window, source: str = "") -> tuple[pd.DataFrame, list[Problem]]:
    """What recorders measured of frames of `window`, each once; beside it what is no record.

    Of one `source`, where it is named. Columns NAMED, SIZE and PROPERTIES, NaN where nobody looked, and `frame`.
    """
    table, _, problems = _read(config, window, [*NAMED, *SIZE, *PROPERTIES, "frame"], {}, source)
    rows = table.to_pandas().sort_values("time", kind="stable").drop_duplicates("image_id").sort_index()
    rows[SIZE] = rows[SIZE].where(rows[SIZE] > 0).astype(float)
    return rows[(rows["time"] >= window.start) & (rows["time"] < window.end)], problems


def read(config: Config, window: Window, files: pd.DataFrame, here: Sequence[str], pattern: Pattern) -> Recorded:
    """The records of a window's frames, and those of the captures' files `here` in it.

    `files` are all images of the captures near the window (image_id and path): a frame that is one of them is that
    image, whenever it was recorded. Boxes that another version of the model predicted are left out: they say nothing of
    the deployed one. What is no record becomes a finding; what dead recorders lost is logged.
    """
    paths = dict(zip(files["image_id"], files["path"], strict=True))
    table, classes, problems = _read(config, window, [*FACTS, *BOX], {name: paths[name] for name in here})
    rows = _by_image(table, files)
    rows[SIZE] = rows[SIZE].where(rows[SIZE] > 0).astype(float)
    own = _own_frames(config, rows, window, files, pattern)
    _tell_losses(config, window)
    frames = rows[own]
    told = rows[(own | rows["image_id"].isin(here)) & _of_this_version(config, rows["version"])]
    images = _image_table(config, frames)
    measured = images["image_id"][(images["path"] == "") | frames["frame"].ne("").to_numpy()]
    return Recorded(
        images, _facts(frames[frames["image_id"].isin(measured)]), _boxes(table, told, classes),
        told[["image_id", *SIZE]], {} if not classes else classes[max(classes)], problems,
    )  # fmt: skip


def add(records: Records, recorded: Recorded) -> Records:
    """`records`, whose images include the recorded frames, with what was recorded of them.

    Predictions count for images that came with none.
    """
    if recorded.covered.empty and recorded.images.empty and not recorded.problems:
        return records
    images = records.images
    open_ids = set(images.loc[~images["predicted"], "image_id"])
    covered = recorded.covered[recorded.covered["image_id"].isin(open_ids)].set_index("image_id")
    sizes = covered[SIZE].reindex(images["image_id"]).reset_index(drop=True)
    images = images.assign(
        width=images["width"].fillna(sizes["width"]), height=images["height"].fillna(sizes["height"]),
        predicted=images["predicted"] | images["image_id"].isin(covered.index),
    )  # fmt: skip
    classes = records.classes or recorded.classes
    raw = recorded.boxes[recorded.boxes["image_id"].isin(open_ids)]
    by_id = images.set_index("image_id")[SIZE]
    boxes, wrong, _ = checked(Said(), raw, by_id, by_id_or_name(classes), scored=True)
    problems = findings_table([*recorded.problems, *wrong], images)
    return replace(
        records, images=images, predictions=listing.in_order(_joined(records.predictions, boxes), images),
        findings=_joined(records.findings, problems), classes=classes, known=recorded.known,
    )  # fmt: skip


def _joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    filled = [one for one in (first, second) if len(one)]
    return pd.concat(filled, ignore_index=True) if filled else first


# -- files ----------------------------------------------------------------------------------------------------------


def _days(config: Config) -> dict[date, Path]:
    """The folders of dates."""
    place = folder(config)
    if place is None or not place.is_dir():
        return {}
    return {day: below for below in place.iterdir() if (day := as_date(below.name)) and below.is_dir()}


def _files(place: Path, below: str = "source=*") -> list[Path]:
    return [file for file in sorted(place.glob(f"{below}/*.parquet")) if not file.name.startswith(".")]


def _read(
    config: Config, window: Window, columns: list[str], wanted: Mapping[str, str], source: str = ""
) -> tuple[pa.Table, dict[str, dict[int, str]], list[Problem]]:
    """Records of the window's days, and of the files `wanted` (path by image id) of the days about them.

    Of one `source`, where it is named, with `file` and `line`; the names of classes by file; and what could not be
    read.
    """
    first, last = window.start.date(), (window.end - timedelta(microseconds=1)).date()
    names = pa.array([*wanted, *wanted.values()], pa.string())
    tables, classes, problems = [], {}, []
    for day, place in sorted(_days(config).items()):
        inside = first <= day <= last
        if not inside and not (wanted and first - SLACK <= day <= last + SLACK):
            continue
        for file in _files(place, source_folder(source) if source else "source=*"):
            shown = listing.image_id(str(file), workspace(config))
            try:
                found = parquet_files.read(file, columns)
                table = found.cast(_schema(columns))
                classes[shown] = {int(key): str(name) for key, name in _about(found.schema)["classes"].items()}
            except BROKEN as error:
                check_memory(error)
                problems += [problem("bad_record", shown, f"{shown}: no file of a recorder: {error}")] if inside else []
                continue
            table = table.append_column("file", pa.repeat(shown, len(table)))
            table = table.append_column("line", pa.array(range(1, len(table) + 1), pa.int64()))
            tables.append(table if inside else table.filter(pc.is_in(table["image_id"], names)))
    place_of = pa.schema([("file", pa.string()), ("line", pa.int64())])
    nothing = pa.schema([*_schema(columns), *place_of]).empty_table()
    return pa.concat_tables([nothing, *tables]).combine_chunks(), classes, problems


def _schema(columns: list[str]) -> pa.Schema:
    """The types of a recorder's columns."""
    texts = {"image_id", "source", "version", "content", "frame"}
    others = {"time": pa.timestamp("us", tz="UTC"), "dhash": pa.uint64(), "width": pa.int32(), "height": pa.int32()}
    boxes = {name: pa.list_(pa.int32() if name == "class_id" else pa.float32()) for name in BOX}
    types = {**dict.fromkeys(texts, pa.string()), **others, **boxes}
    return pa.schema([(name, types.get(name, pa.float64())) for name in columns])


def _source(file: Path) -> str:
    """The source of a file; what its folder says where the file is broken."""
    try:
        return str(_about(pq.read_schema(file))["source"])
    except BROKEN as error:
        check_memory(error)
        return unquote(file.parent.name.removeprefix("source="))


def _about(schema: pa.Schema) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((schema.metadata or {})[b"cvkit"])
    return about


# -- which frames ---------------------------------------------------------------------------------------------------


def _by_image(table: pa.Table, files: pd.DataFrame) -> pd.DataFrame:
    """All but the boxes, by row of `table`: each image once, as it was first recorded, by the captures' name for it."""
    rows: pd.DataFrame = table.drop_columns([name for name in BOX if name in table.schema.names]).to_pandas()
    by_path = dict(zip(files["path"], files["image_id"], strict=True))
    rows["image_id"] = [by_path.get(name, name) for name in rows["image_id"]]
    return rows.sort_values("time", kind="stable").drop_duplicates("image_id").sort_index()


def _own_frames(config: Config, rows: pd.DataFrame, window: Window, files: pd.DataFrame, pattern: Pattern) -> pd.Series:
    """Which records are images of the window of their own.

    Not those that are files of the captures: a file has its own time, and is in the window of that.
    """
    inside = (rows["time"] >= window.start) & (rows["time"] < window.end) & ~rows["image_id"].isin(files["image_id"])
    home = workspace(config)
    named = [name for name in rows.loc[inside, "image_id"] if not name.startswith(MADE)]
    elsewhere = {name for name in named if (home / name).is_relative_to(pattern.folder) and (home / name).exists()}
    return inside & ~rows["image_id"].isin(elsewhere)


def _of_this_version(config: Config, versions: pd.Series) -> pd.Series:
    """Which records are of the deployed version; all where there are no weights to tell it by."""
    if not config.model.weights:
        return pd.Series(True, index=versions.index)
    this = versions.isin([config.version, UNKNOWN_VERSION])
    if not this.all():
        other = ", ".join(sorted(set(versions[~this]))[:3])
        log.warning("%d records are of another version (%s) than the deployed one", int((~this).sum()), other)
    return this


def _image_table(config: Config, frames: pd.DataFrame) -> pd.DataFrame:
    """Frames as images: a kept frame's file, or the file that was recorded; path "" where there are no pixels."""
    home = workspace(config)
    paths, sizes, changed = [], [], []
    for image_id, frame in zip(frames["image_id"], frames["frame"], strict=True):
        path = home / frame if frame else None if image_id.startswith(MADE) else home / image_id
        status = _status(path)
        paths.append(str(path) if status else "")
        sizes.append(status.st_size if status else 0)
        changed.append(status.st_mtime_ns if status else 0)
    dates = frames["time"].dt.strftime("%Y-%m-%d")
    table = frames[["image_id", "source", "time", *SIZE]].assign(
        path=paths, bytes=sizes, modified_ns=changed, date=dates, clock="",
    )  # fmt: skip
    return table.astype({"bytes": "int64", "modified_ns": "int64"}).reset_index(drop=True)


def _status(path: Path | None) -> os.stat_result | None:
    try:
        return path.stat() if path is not None and path.is_file() else None
    except (OSError, ValueError):
        return None


# -- what was measured and said -------------------------------------------------------------------------------------


def _facts(frames: pd.DataFrame) -> pd.DataFrame:
    """What was measured of frames when they passed; NaN where they were not looked at, which is no damage."""
    words = dict.fromkeys(("mode", "file_format", "damage", "damage_detail"), "")
    return frames[["image_id", *SIZE, *KNOWN]].assign(**words).reset_index(drop=True)


def _boxes(table: pa.Table, rows: pd.DataFrame, classes: Mapping[str, dict[int, str]]) -> pd.DataFrame:
    """The boxes of `rows` (row numbers of `table`) as `said` has them; classes by name where there are names."""
    if rows.empty:
        return pd.DataFrame(columns=RAW)
    taken = table.select(BOX).take(pa.array(rows.index, pa.int64())).combine_chunks()
    place = pc.list_parent_indices(taken["class_id"].combine_chunks()).to_numpy()
    here = rows.iloc[place]
    columns = {name: pc.list_flatten(taken[name]).to_numpy() for name in BOX}
    names = [
        classes[file].get(kind, kind) for file, kind in zip(here["file"], columns["class_id"].tolist(), strict=True)
    ]
    boxes = pd.DataFrame({name: columns[name].astype(float) for name in ("confidence", *CORNERS)})
    told = {name: here[name].to_numpy() for name in ("image_id", "file", "line")}
    return boxes.assign(**told, cls=pd.Series(names, dtype=object), aside="")[RAW]


def _tell_losses(config: Config, window: Window) -> None:
    place = folder(config)
    for loss in losses(place) if place else []:
        if window.start <= loss.last < window.end:
            log.warning("%s: %s", loss.source or "recorder", loss.words)
