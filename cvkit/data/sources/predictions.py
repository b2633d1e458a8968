"""Predictions that come with the captures: Parquet, JSONL, or YOLO text files with confidence."""

from __future__ import annotations

import json
import math
from collections.abc import Set
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cvkit.data.headers import read_file
from cvkit.data.sources import parquet_files
from cvkit.data.sources.joins import Index, resolve
from cvkit.data.sources.patterns import Found
from cvkit.data.sources.said import CORNERS, RAW, Said, as_float, is_number
from cvkit.storage import check_memory

IMAGE = ("image_id", "image")  # the columns or keys that may name the image, the first found counts
CLASS = ("class_id", "class")


def read_parquet(said: Said, file: Found, shown: str, index: Index, wanted: Set[str]) -> None:
    """Put the boxes of a Parquet file into `said`, as far as they are about the images in `wanted`.

    Columns `image` or `image_id`, `class_id` or `class` (a name), `confidence`, `x1`, `y1`, `x2`, `y2` in pixels.
    A row with neither class nor corners says that the image was seen and nothing was found on it.
    """
    try:
        table, unfit = _read_columns(file.path)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        check_memory(error)
        table, unfit = pd.DataFrame(), f"cannot be read as Parquet: {error}"
    if unfit:
        said.report("bad_record", shown, f"{shown}: {unfit}", file.source)
        return
    image = next(name for name in IMAGE if name in table)
    table = table.assign(line=range(1, len(table) + 1), file=shown, cls=_class_column(table), aside="")
    for line in table.loc[table[image].isna(), "line"]:
        said.report("bad_record", f"{shown}:{line}", f"{shown}:{line}: no image is named", file.source)
    table = table[table[image].notna()]
    names = table[image].astype(str)
    table = table.assign(image_id=names.map(_resolved(said, names, table["line"], file, shown, index, wanted)))
    covered = [name for name in table["image_id"].dropna().unique() if said.cover(name, shown, scored=True)]
    seen = table["cls"].isna() & table[CORNERS].isna().all(axis=1)
    said.frames.append(table.loc[table["image_id"].isin(covered) & ~seen, RAW])


def read_jsonl(said: Said, file: Found, shown: str, index: Index, wanted: Set[str]) -> None:
    """Put the boxes of a JSONL file into `said`, as far as they are about the images in `wanted`; a line per image."""
    try:
        content = read_file(file.path)
    except OSError as error:
        check_memory(error)
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
        image_id = resolve(said, image, file, f"{shown}:{number}", index)
        if image_id in wanted and said.cover(image_id, f"{shown}:{number}", scored=True):
            for place, box in enumerate(boxes, start=1):
                _add_box(said, image_id, box, shown, number, place)


def _resolved(
    said: Said, names: pd.Series, lines: pd.Series, file: Found, shown: str, index: Index, wanted: Set[str]
) -> dict[str, str]:
    """The image of each name, as far as it is in `wanted`; every name is looked up, and reported, once."""
    first = dict(zip(reversed(names.tolist()), reversed(lines.tolist()), strict=True))
    ids = {name: resolve(said, name, file, f"{shown}:{line}", index) for name, line in reversed(first.items())}
    return {name: image_id for name, image_id in ids.items() if image_id in wanted}


def _read_columns(path: str) -> tuple[pd.DataFrame, str]:
    """The columns that count, or in words what is wrong with them."""
    with pq.ParquetFile(path) as file:
        types = dict(zip(file.schema_arrow.names, file.schema_arrow.types, strict=True))
        numbers = ("confidence", *CORNERS)
        lacking = [] if set(IMAGE) & set(types) else ["image"]
        lacking += [] if set(CLASS) & set(types) else ["class_id"]
        lacking += [name for name in numbers if name not in types]
        if lacking:
            return pd.DataFrame(), f"no columns {', '.join(lacking)}"
        wrong = [f"{name} is {types[name]}" for name in numbers if not _is_numeric(types[name])]
        if wrong or len(types) < len(file.schema_arrow.names):
            return pd.DataFrame(), "; ".join(wrong) + ", not numbers" if wrong else "two columns of one name"
    return parquet_files.read(path, [name for name in types if name in {*IMAGE, *CLASS, *numbers}]).to_pandas(), ""


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _class_column(table: pd.DataFrame) -> pd.Series:
    """The class of each row: its id, or its name where it has no id."""
    ids, names = (table.get(name, pd.Series(None, index=table.index, dtype=object)).astype(object) for name in CLASS)
    written = ids.where(ids.notna(), names)
    return written.map(
        lambda value: repr(value) if not isinstance(value, (int, float, str)) or isinstance(value, bool) else value
    )


def _parsed(line: bytes) -> tuple[str, list[Any]]:
    entry = json.loads(line.decode("utf-8"))  # json itself would guess at other encodings
    if not isinstance(entry, dict):
        raise ValueError('not an object; expected {"image": ..., "boxes": [...]}')
    image = next((entry[name] for name in IMAGE if name in entry), None)
    if not isinstance(image, str) or not image:
        raise ValueError("no `image`, or not a text")
    if not isinstance(entry.get("boxes"), list):
        raise ValueError("no `boxes`, or not a list; an image without boxes has []")
    return image, entry["boxes"]


def _add_box(said: Said, image_id: str, box: Any, shown: str, line: int, place: int) -> None:
    if not isinstance(box, dict):
        said.report("bad_record", image_id, f"{shown}:{line}: box {place} is no object: {box!r}")
        return
    corners, category = box.get("xyxy"), box.get("class_id")
    if not isinstance(corners, list) or len(corners) != 4 or not all(map(is_number, corners)):
        detail = f"{shown}:{line}: box {place} has xyxy {corners!r}; expected [x1, y1, x2, y2]"
        said.report("bad_record", image_id, detail)
        return
    category = box.get("class") if category is None else category
    if type(category) not in (int, float, str) or (isinstance(category, int) and category.bit_length() > 63):
        category = repr(category)
    confidence: Any = box.get("confidence")
    score = as_float(confidence) if is_number(confidence) else math.nan
    said.rows.append((image_id, category, score, *map(as_float, corners), shown, line, ""))
