"""What files say about images: boxes as they were read, checked here, and findings about what cannot be used."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cvkit.tables import BOXES, FINDINGS, conform, empty

CORNERS = ["x1", "y1", "x2", "y2"]
# `cls`: id or name, as the file writes it; `aside`: as in BOXES
RAW = ["image_id", "cls", "confidence", *CORNERS, "file", "line", "aside"]
OUTSIDE_PX = 1.0  # rounding may push a corner this far out of an image
LONGEST_DETAIL = 300  # characters

Problem = dict[str, Any]  # a row of FINDINGS without its time
Classes = Mapping[Any, int] | None  # class id by what a file writes; None: every id counts, no name is known


@dataclass(slots=True)
class Said:
    """What was read from some files. `relative`: corners are shares of the image's width and height, not pixels."""

    relative: bool = False
    covered: dict[str, str] = field(default_factory=dict)  # image_id -> the file that speaks of it
    modified_ns: dict[str, int] = field(default_factory=dict)  # image_id -> when that file was last changed
    rows: list[tuple[Any, ...]] = field(default_factory=list)  # of RAW
    frames: list[pd.DataFrame] = field(default_factory=list)  # of RAW, from formats that come as tables
    problems: list[Problem] = field(default_factory=list)
    doubted: set[str] = field(default_factory=set)  # images whose labels stand in two files

    def report(self, finding: str, image_id: str, detail: str, source: str = "", value: float = math.nan) -> None:
        """Note something wrong; see `problem`."""
        self.problems.append(problem(finding, image_id, detail, source, value))

    def cover(self, image_id: str, file: str, scored: bool) -> bool:
        """Note that `file` speaks of an image; False where another did before, and this one is not to be used.

        Of predictions the first are kept, as a recorder may repeat itself; of labels that stand in two files none.
        """
        first = self.covered.setdefault(image_id, "")
        if not first:
            self.covered[image_id] = file
            return True
        if scored:
            self.report("bad_record", image_id, f"{file}: {first} has predictions for this image; these are left out")
        else:
            self.doubted.add(image_id)
            self.report("conflicting_labels", image_id, f"{first} and {file}: neither is used")
        return False


def problem(
    finding: str, image_id: str, detail: str, source: str = "", value: float = math.nan, limit: float = math.nan
) -> Problem:
    """A row of FINDINGS. Text that UTF-8 cannot write is written with `?`, overlong detail is cut."""
    return {
        "image_id": clean(image_id), "source": clean(source), "finding": finding, "value": value, "limit": limit,
        "detail": clean(detail)[:LONGEST_DETAIL],
    }  # fmt: skip


def clean(text: str) -> str:
    r"""`text` as UTF-8 can write it: names on a disk and escapes in JSON need not be.

    What cannot be written is quoted, so that two names stay two.

    >>> print(clean("cam\udcff"))
    cam\udcff
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number; true and false are none."""
    return type(value) in (int, float)


def as_float(value: float) -> float:
    """A number of JSON as a float; infinite where it is too large, which no check lets through."""
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def raw_boxes(said: Said) -> pd.DataFrame:
    """All boxes of `said` as one frame of RAW, in the order they were read."""
    parts = [pd.DataFrame.from_records(said.rows, columns=RAW)] if said.rows else []
    parts += said.frames
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=RAW)
    return table[~table["image_id"].isin(said.doubted)] if said.doubted else table


def checked(
    said: Said, raw: pd.DataFrame, sizes: pd.DataFrame, classes: Classes, scored: bool
) -> tuple[pd.DataFrame, list[Problem], set[str]]:
    """Boxes in pixels that can be used (table BOXES), what is wrong with others, and images none of which could be.

    `raw` are the boxes of `said`; `sizes` has width and height by image_id, NaN where not known. `scored` boxes need
    a confidence of 0 to 1. A box that reaches out of its image is kept as it is, and reported. Boxes relative to an
    image of unknown size cannot be placed: such images come back as the third value.
    """
    if raw.empty:
        return empty(BOXES), [], set()
    table = raw.assign(**{name: pd.to_numeric(raw[name], errors="coerce").astype(float) for name in CORNERS})
    table["confidence"] = pd.to_numeric(raw["confidence"], errors="coerce").astype(float)
    table["class_id"] = _class_ids(raw["cls"], classes)
    table[["width", "height"]] = sizes.reindex(raw["image_id"])[["width", "height"]].to_numpy()
    lost: set[str] = set()
    if said.relative:
        unknown = table["width"].isna()
        lost = set(table.loc[unknown, "image_id"])
        table = table[~unknown]
        sides = zip(CORNERS, ("width", "height") * 2, strict=True)
        table = table.assign(**{name: table[name] * table[side] for name, side in sides})
    wrong, out = _verdicts(table, scored)
    good = table[wrong == ""]
    boxes = good if scored else good.assign(confidence=math.nan)
    problems = [
        *_sizeless(said, lost),
        *_explained(table[wrong != ""], wrong[wrong != ""], classes),
        *_outside(table[(wrong == "") & (out > OUTSIDE_PX)], out),
    ]
    return conform(boxes[list(BOXES)], BOXES), problems, lost


def findings_table(problems: Iterable[Problem], images: pd.DataFrame) -> pd.DataFrame:
    """Table FINDINGS of `problems`, sorted; source and time are those of the image where it is one of `images`."""
    rows = list(problems)
    if not rows:
        return empty(FINDINGS)
    table = conform(pd.DataFrame(rows), FINDINGS)
    known = images.set_index("image_id")[["source", "time"]].reindex(table["image_id"])
    table["source"] = np.where(known["source"].isna(), table["source"], known["source"])
    table["time"] = known["time"].to_numpy()
    table = conform(table.assign(time=pd.to_datetime(table["time"], utc=True)), FINDINGS)
    return table.sort_values(["source", "time", "image_id", "finding", "detail"], kind="stable", ignore_index=True)


def _class_ids(written: pd.Series, classes: Classes) -> pd.Series:
    """The class id of each box; -1 where what is written names no class."""
    ids = {name: _class_id(name, classes) for name in written.unique()}
    return written.map(ids).fillna(-1).astype("int64")


def _class_id(name: Any, classes: Classes) -> int:
    if classes is not None:
        return classes.get(name, -1)
    whole = isinstance(name, (int, float, np.integer)) and 0 <= name < 2**31 and float(name).is_integer()  # NaN is not
    return int(name) if whole else -1


def _verdicts(table: pd.DataFrame, scored: bool) -> tuple[pd.Series, pd.Series]:
    """The finding that keeps each box out, "" where none does, and how far it reaches out of its image in pixels."""
    x1, y1, x2, y2 = (table[name].to_numpy(float) for name in CORNERS)
    wide, high = table["width"].to_numpy(float), table["height"].to_numpy(float)
    score = table["confidence"].to_numpy(float)
    finite = np.isfinite(x1) & np.isfinite(y1) & np.isfinite(x2) & np.isfinite(y2)
    wrong = np.full(len(table), "", dtype=object)  # from the least to the most telling; a box has one finding
    if scored:
        wrong[~((score >= 0) & (score <= 1))] = "bad_confidence"
    wrong[~(finite & (x2 > x1) & (y2 > y1))] = "bad_box"
    # Labels may name what the model has never learnt; a model cannot: then the record is wrong.
    wrong[table["class_id"].to_numpy() < 0] = "bad_record" if scored else "unknown_class"
    beyond = np.fmax.reduce([-x1, -y1, x2 - wide, y2 - high])  # ignores what an unknown size makes NaN
    return pd.Series(wrong, index=table.index), pd.Series(beyond, index=table.index)


def _explained(bad: pd.DataFrame, wrong: pd.Series, classes: Classes) -> Iterator[Problem]:
    known = "class ids only, as no names are known" if classes is None else _listed(classes)
    for row, finding in zip(bad.to_dict("records"), wrong, strict=True):
        where, value = f"{row['file']}:{row['line']}", math.nan
        if finding in ("unknown_class", "bad_record"):
            detail = f"{where}: class {row['cls']!r}; expected {known}"
        elif finding == "bad_box":
            detail = f"{where}: corners {_corners(row)}; expected x1 < x2 and y1 < y2"
        else:
            detail, value = f"{where}: confidence {row['confidence']:g}; expected 0 to 1", row["confidence"]
        yield problem(finding, row["image_id"], detail, value=value)


def _outside(rows: pd.DataFrame, out: pd.Series) -> Iterator[Problem]:
    for row, pixels in zip(rows.to_dict("records"), out.loc[rows.index], strict=True):
        where, size = f"{row['file']}:{row['line']}", f"{row['width']:.0f}x{row['height']:.0f}"
        detail = f"{where}: corners {_corners(row)} in {size} pixels; kept as it is"
        yield problem("box_outside", row["image_id"], detail, value=pixels, limit=OUTSIDE_PX)


def _corners(row: Mapping[Hashable, Any]) -> str:
    return ", ".join(f"{row[name]:g}" for name in CORNERS)


def _sizeless(said: Said, lost: set[str]) -> Iterator[Problem]:
    for image_id in sorted(lost):
        detail = f"{said.covered.get(image_id, '')}: boxes are shares of the image's size, which cannot be read"
        yield problem("bad_record", image_id, detail)


def _listed(classes: Mapping[Any, int], most: int = 8) -> str:
    names = [str(name) for name in classes]
    return (
        ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "no class at all"
    )
