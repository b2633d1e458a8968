"""Predictions that come with the captures: Parquet, JSONL, or YOLO text files with confidence."""

from __future__ import annotations

import json
import math
from collections.abc import Set
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cvkit.data.sources.joins import Index, which_image
from cvkit.data.sources.patterns import Found
from cvkit.data.sources.said import CORNERS, RAW, Said, as_float, is_number

IMAGE = ("image_id", "image")  # the columns or keys that may name the image, the first found counts
CLASS = ("class_id", "class")


def read_parquet(said: Said, file: Found, shown: str, index: Index, wanted: Set[str]) -> None:
    """Put the boxes of a Parquet file into `said`, as far as they are about the images in `wanted`.

    Columns `image` or `image_id`, `class_id` or `class` (a name), `confidence`, `x1`, `y1`, `x2`, `y2` in pixels.
    A row with neither class nor corners says that the image was seen and nothing was found on it.
    """
    try:
        table = _read_columns(file.path)
    except (OSError, pa.ArrowException) as error:
        said.report("bad_record", shown, f"{shown}: cannot be read as Parquet: {error}", file.source)
        return
    image = next((name for name in IMAGE if name in table), "")
    lacking = [] if image else ["image"]
    lacking += [] if set(CLASS) & set(table) else ["class_id"]
    lacking += [name for name in ("confidence", *CORNERS) if name not in table]
    if lacking:
        said.report("bad_record", shown, f"{shown}: no columns {', '.join(lacking)}", file.source)
        return
    table = table.assign(line=range(1, len(table) + 1), file=shown, cls=_class_column(table))
    lost = table[image].isna()
    for line in table.loc[lost, "line"]:
        said.report("bad_record", f"{shown}:{line}", f"{shown}:{line}: no image is named", file.source)
    table = table[~lost]
    table["image_id"] = table[image].map(_resolved(said, table[image], file, shown, index, wanted))
    covered = [name for name in table["image_id"].dropna().unique() if said.cover(name, shown, scored=True)]
    seen = table["cls"].isna() & table[CORNERS].isna().all(axis=1)
    said.frames.append(table.loc[table["image_id"].isin(covered) & ~seen, RAW])


def read_jsonl(said: Said, file: Found, shown: str, index: Index, wanted: Set[str]) -> None:
    """Put the boxes of a JSONL file into `said`, as far as they are about the images in `wanted`; a line per image."""
    try:
        content = Path(file.path).read_bytes()
    except OSError as error:
        said.report("bad_record", shown, f"{shown}: cannot be read: {error}", file.source)
        return
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            image, boxes = _parsed(line)
        except (ValueError, RecursionError) as error:
            said.report("bad_record", f"{shown}:{number}", f"{shown}:{number}: {error}", file.source)
            continue
        image_id = resolve(said, image, file, shown, number, index)
        if image_id in wanted and said.cover(image_id, f"{shown}:{number}", scored=True):
            for place, box in enumerate(boxes, start=1):
                _add_box(said, image_id, box, shown, number, place)


def resolve(said: Said, name: str, file: Found, shown: str, line: int, index: Index) -> str:
    """The image that `name` in `file` means; "" and a finding where there is none, or more than one."""
    image_id, why = which_image(index, name, file)
    if not image_id:
        place = f"{shown}:{line}" if line else shown
        detail = why or "there is no such image"
        said.report("bad_record" if why else "missing_image", name, f"{place}: {detail}", file.source)
    return image_id


def _resolved(said: Said, names: pd.Series, file: Found, shown: str, index: Index, wanted: Set[str]) -> dict[Any, Any]:
    """The image of each name, as far as it is in `wanted`; every name is looked up, and reported, once."""
    first = names.drop_duplicates()
    ids = {name: resolve(said, str(name), file, shown, int(row) + 1, index) for row, name in first.items()}
    return {name: image_id for name, image_id in ids.items() if image_id in wanted}


def _read_columns(path: str) -> pd.DataFrame:
    known = {*IMAGE, *CLASS, "confidence", *CORNERS}
    with pq.ParquetFile(path) as file:
        table = file.read([name for name in file.schema_arrow.names if name in known])
    return table.to_pandas()  # type: ignore[no-any-return]


def _class_column(table: pd.DataFrame) -> pd.Series:
    """The class of each row: its id, or its name where it has no id."""
    ids, names = (table.get(name, pd.Series(None, index=table.index, dtype=object)).astype(object) for name in CLASS)
    written = ids.where(ids.notna(), names)
    return written.map(lambda value: repr(value) if isinstance(value, (bool, list, dict)) else value)


def _parsed(line: bytes) -> tuple[str, list[Any]]:
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise ValueError('not an object; expected {"image": ..., "boxes": [...]}')
    image = next((entry[name] for name in IMAGE if name in entry), None)
    if not isinstance(image, str) or not image:
        raise ValueError("no `image`, or not a text")
    if not isinstance(entry.get("boxes"), list):
        raise ValueError("no `boxes`, or not a list; an image without boxes has []")
    return image, entry["boxes"]


def _add_box(said: Said, image_id: str, box: Any, shown: str, line: int, place: int) -> None:
    where = f"{shown}:{line}: box {place}"
    if not isinstance(box, dict):
        said.report("bad_record", image_id, f"{where} is no object: {box!r}")
        return
    corners, category = box.get("xyxy"), next((box[name] for name in CLASS if box.get(name) is not None), None)
    if not isinstance(corners, list) or len(corners) != 4 or not all(is_number(number) for number in corners):
        said.report("bad_record", image_id, f"{where} has xyxy {corners!r}; expected [x1, y1, x2, y2]")
        return
    if isinstance(category, bool) or not isinstance(category, (int, float, str)):
        category = repr(category)
    confidence = box.get("confidence")
    said.rows.append(
        (image_id, category, as_float(confidence) if is_number(confidence) else math.nan,
         *(as_float(number) for number in corners), shown, line)
    )  # fmt: skip

