"""Joins: which image a name in a prediction or label file means."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from cvkit.data.sources.patterns import Found
from cvkit.data.sources.said import Said


@dataclass(frozen=True, slots=True)
class Index:
    """Images by every name they are known under."""

    places: Mapping[str, tuple[str, str]]  # image_id -> source and date, as its path says
    by_path: Mapping[str, str]
    by_name: Mapping[str, list[str]]
    by_stem: Mapping[str, list[str]]


def index_images(images: pd.DataFrame) -> Index:
    """The index of a table with image_id, path, source and date."""
    by_name, by_stem = defaultdict(list), defaultdict(list)
    places: dict[str, tuple[str, str]] = {}
    columns = (images[name].tolist() for name in ("image_id", "source", "date"))  # lists iterate faster than series
    for image_id, source, date in zip(*columns, strict=True):
        places[image_id] = (source, date.replace("-", ""))
        name = posixpath.basename(image_id)
        by_name[name].append(image_id)
        by_stem[posixpath.splitext(name)[0]].append(image_id)
    return Index(places, dict(zip(images["path"].tolist(), images["image_id"].tolist(), strict=True)), by_name, by_stem)


def which_image(index: Index, name: str, teller: Found) -> tuple[str, str]:
    """The image that the file `teller` means by `name`: its id and "", or "" and why it cannot be told.

    Tried in this order: the image id; the path, absolute or seen from the teller's folder; then the images whose id
    ends in `name`, with or without their suffix (or whose id `name` ends in: a path on another machine), of the
    teller's {source} and {date} where both patterns have them. The reason is "" too where there is no such image.
    """
    name = name.replace("\\", "/").removeprefix("./")
    if name in index.places:
        return name, ""
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(teller.path), name))
    if beside in index.by_path:
        return index.by_path[beside], ""
    last = posixpath.basename(name)
    found = [one for one in index.by_name.get(last, []) if _same_tail(one, name)]
    found = found or [one for one in index.by_stem.get(last, []) if _same_tail(posixpath.splitext(one)[0], name)]
    found = [one for one in found if _agree(index.places[one], teller)]
    if len(found) > 1:
        return "", f"{name!r} may be {len(found)} images, such as {sorted(found)[0]!r} and {sorted(found)[1]!r}"
    return (found[0], "") if found else ("", "")


def resolve(said: Said, name: str, file: Found, where: str, index: Index) -> str:
    """The image that `name` in `file` means; "" and a finding that says `where`, if there is none or several."""
    image_id, why = which_image(index, name, file)
    if not image_id:
        detail = f"{where}: {why or 'there is no such image'}"
        said.report("bad_record" if why else "missing_image", name, detail, file.source)
    return image_id


def _same_tail(image_id: str, name: str) -> bool:
    return f"/{image_id}".endswith(f"/{name}") or name.endswith(f"/{image_id}")


def _agree(place: tuple[str, str], teller: Found) -> bool:
    mine = (teller.source, teller.date.replace("-", ""))
    return all(not here or not there or here == there for here, there in zip(place, mine, strict=True))
