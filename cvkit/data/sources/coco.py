"""COCO's JSON: one file with images, categories and annotations that refer to them by id."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvkit.data.headers import read_file
from cvkit.data.sources.patterns import Found
from cvkit.data.sources.said import Said, as_float, is_number
from cvkit.errors import DataError

Key = int | str
ANNOTATION_FOLDERS = ("annotations", "labels")  # the images then lie beside this folder


@dataclass(frozen=True, slots=True)
class Coco:
    """A file taken apart; entries that cannot be used are left out of it and named in `broken`."""

    images: dict[Key, str]  # file name by id
    categories: dict[Key, str]  # name by id, in the order of the ids
    annotations: list[Any]
    broken: list[str]


def read_coco(path: Path) -> Coco:
    """Read a COCO file. Raises DataError where it is cut short or something else: nothing in it can be trusted."""
    wrong = {"where": str(path), "expected": "COCO JSON with `images`, `annotations` and `categories`"}
    try:
        data = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as error:
        remedy = "copy or export the file again: it is cut short or not JSON"
        raise DataError("the labels cannot be read", found=str(error)[:200], remedy=remedy, **wrong) from None
    keys = ("images", "annotations", "categories")
    if (
        not isinstance(data, dict)
        or not all(isinstance(data.get(key, []), list) for key in keys)
        or "images" not in data
    ):
        found = f"keys {', '.join(list(data)[:6])}" if isinstance(data, dict) else f"a {type(data).__name__}"
        raise DataError("this JSON is not COCO's", found=found, remedy="name the instances file of the set", **wrong)
    broken: list[str] = []
    images = _named(data["images"], "images", "file_name", broken)
    categories = _named(data.get("categories", []), "categories", "name", broken)
    in_order = dict(sorted(categories.items(), key=lambda item: (isinstance(item[0], str), item[0])))
    return Coco(images, in_order, data.get("annotations", []), broken)


def read_annotations(said: Said, coco: Coco, image_ids: Mapping[Key, str], shown: str) -> None:
    """Put the boxes of the images in `image_ids` (id by COCO's) into `said`; those of other images are passed over.

    Crowd regions (`iscrowd`) and what a file tells to `ignore` are set aside: see BOXES.
    """
    for number, entry in enumerate(coco.annotations, start=1):
        key = entry.get("image_id") if isinstance(entry, dict) else None
        if not isinstance(key, (int, str)) or key not in coco.images:
            said.report("bad_record", f"{shown}:annotation:{number}", f"annotation of no image in {shown}: {entry!r}")
            continue
        if key not in image_ids or image_ids[key] in said.doubted:
            continue
        if (corners := _corners(entry.get("bbox"))) is None:
            detail = f"{shown}:annotation:{number}: bbox {entry.get('bbox')!r}; expected [x, y, width, height]"
            said.report("bad_record", image_ids[key], detail)
            continue
        aside = "crowd" if entry.get("iscrowd") else "ignore" if entry.get("ignore") else ""
        category = _category(coco, entry.get("category_id"))
        said.rows.append((image_ids[key], category, None, *corners, f"{shown}:annotation", number, aside))


def image_folders(path: Path) -> list[Path]:
    """Where the images of a COCO file are looked for: beside it, in `images`, or so seen from the folder above.

    Above `annotations` also in the folder of the split: `instances_val2017.json` has its images in `val2017`.
    """
    split = path.stem.rpartition("_")[2]
    above = path.parent.parent
    return [path.parent, path.parent / "images", above / "images", above / split, above / "images" / split, above]


def image_file(folders: list[Path], name: str) -> Found | None:
    """The image called `name` in the first of `folders` that has it."""
    for folder in folders:
        path = os.path.normpath(folder / name)
        try:
            status = os.stat(path)  # noqa: PTH116  a hot path
        except (OSError, ValueError):  # a zero byte in the name is a ValueError
            continue
        if stat.S_ISREG(status.st_mode):
            return Found(path, status.st_size, status.st_mtime_ns, "", "", "", path)
    return None


def _category(coco: Coco, key: Any) -> str:
    """The name of a category: the ids of a file are its own."""
    name = coco.categories.get(key) if isinstance(key, (int, str)) else None
    return f"category_id {key!r}, which no category has" if name is None else name


def _named(entries: list[Any], kind: str, name: str, broken: list[str]) -> dict[Key, str]:
    """The names of entries by their id; the first of two with one id."""
    named: dict[Key, str] = {}
    for number, entry in enumerate(entries, start=1):
        key, text = (entry.get("id"), entry.get(name)) if isinstance(entry, dict) else (None, None)
        if isinstance(key, (int, str)) and isinstance(text, str) and key not in named:
            named[key] = text
        else:
            broken.append(f"{kind}:{number}: {str(entry)[:80]}; expected an `id` of its own and a `{name}`")
    return named


def _corners(bbox: Any) -> tuple[float, float, float, float] | None:
    numbers = isinstance(bbox, list) and len(bbox) == 4 and all(is_number(number) for number in bbox)
    if not numbers:
        return None
    x, y, width, height = (as_float(number) for number in bbox)
    return x, y, x + width, y + height
