"""Labels that come back from a labelling tool: read from its export, joined to the images of a plan by file name.

Class ids are the tool's own. They are joined to the model's by name, never guessed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cvkit.data.sources import coco, data_yaml
from cvkit.data.sources.patterns import describe
from cvkit.data.sources.said import Said
from cvkit.data.sources.yolo_txt import FEWEST_POLYGON_COLUMNS, LABEL_COLUMNS, SHARE_SLACK
from cvkit.errors import DataError

PLAN_FILE = "plan.csv"
NO_LABELS = ("classes.txt", "train.txt", "val.txt", "test.txt", "readme.txt")
TOOL_PREFIX = re.compile(r"[0-9a-f]{8}-")  # Label Studio puts it before the names of uploaded files
TRACKED = LABEL_COLUMNS + 1  # CVAT adds the number of a track


@dataclass(frozen=True, slots=True)
class Returned:
    """Labels of a plan's images, ready to be written."""

    lines: dict[str, list[str]]  # by image_id: `class cx cy w h`, of the model's class ids; [] says nothing is there
    missing: list[str]  # image_ids of the plan that did not come back


def read_plan(folder: Path) -> pd.DataFrame:
    """The plan in an export: `file`, `image_id`, `width`, `height` and more. Raises DataError where there is none."""
    file = folder / PLAN_FILE
    needed = ["file", "image_id", "width", "height"]
    try:
        plan = pd.read_csv(file, dtype={"file": str, "image_id": str}, keep_default_na=False)
        widths = plan[needed].astype({"width": float, "height": float})
        _check_plan(widths)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            "there is no plan with these labels", where=str(file), expected=f"columns {', '.join(needed)}",
            found=str(error)[:200], remedy=f"copy {PLAN_FILE} from the folder `cvkit labels plan` wrote into this one",
        ) from None  # fmt: skip
    return widths


def _check_plan(plan: pd.DataFrame) -> None:
    """Raise ValueError where an image is named twice, or has no size that its boxes could be shares of."""
    if plan["image_id"].duplicated().any():
        raise ValueError(f"{plan['image_id'][plan['image_id'].duplicated()].iloc[0]!r} stands there twice")
    sizes = plan[["width", "height"]].to_numpy()
    if not ((sizes >= 1) & (sizes < math.inf)).all():  # NaN is not
        raise ValueError("an image without width and height")


def read_returned(folder: Path, classes: Mapping[int, str]) -> Returned:
    """The labels in `folder`: COCO where there is a .json with annotations, else YOLO .txt files.

    `classes` are the model's names by id. Raises DataError where labels, names or the plan are missing, for a file that
    is about no image of the plan, a line that cannot be read, and a box of a class the model does not know.
    """
    if not folder.is_dir():
        raise DataError(
            "there is no folder of labels", where=str(folder), expected="the folder a labelling tool exported",
            found="no folder", remedy="unpack the tool's archive, and name the folder it gives",
        )  # fmt: skip
    plan = read_plan(folder)
    json_files = [*sorted(folder.rglob("instances*.json")), *sorted(folder.glob("result.json"))]
    lines = _from_coco(json_files[0], plan, classes) if json_files else _from_yolo(folder, plan, classes)
    return Returned(lines, sorted(set(plan["image_id"]) - set(lines)))


def _from_coco(file: Path, plan: pd.DataFrame, classes: Mapping[int, str]) -> dict[str, list[str]]:
    content = coco.read_coco(file)
    known = _by_stem(plan)
    ids = {key: _image(name, known, file) for key, name in content.images.items()}
    for what, names in (("image", list(ids.values())), ("category", list(content.categories.values()))):
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise _unreadable(file, f"two entries for {what} {twice[0]!r}", f"one for each {what}")
    said = Said()
    coco.read_annotations(said, content, ids, file.name)
    if said.problems or content.broken:
        words = [*content.broken, *(str(row["detail"]) for row in said.problems)]
        raise _unreadable(file, words[0], "annotations as COCO describes them")
    if not content.annotations:
        raise _unreadable(file, "no annotation at all", "annotations; where there is truly nothing, export as YOLO")
    sizes = plan.set_index("image_id")[["width", "height"]]
    lines: dict[str, list[str]] = {image_id: [] for image_id in ids.values()}
    for image_id, name, _, x1, y1, x2, y2, *_, aside in said.rows:
        if aside:  # a crowd, which YOLO has no way to say
            continue
        width, height = sizes.loc[image_id]
        _check_box((x1, y1, x2, y2), width, height, file)
        shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        kind = _class_id(str(name), classes, file)
        lines[image_id].append(f"{kind} {' '.join(f'{share:.6f}' for share in shares)}")
    return lines


def _check_box(corners: tuple[float, float, float, float], width: float, height: float, file: Path) -> None:
    x1, y1, x2, y2 = corners
    slack = 1 + 0.01 * max(width, height)  # tools round, and let a box reach a little out of its image
    inside = -slack <= x1 < x2 <= width + slack and -slack <= y1 < y2 <= height + slack  # NaN is not
    if not inside:
        found = ", ".join(f"{value:g}" for value in corners)
        raise _unreadable(file, f"corners {found}", f"a box inside its image of {width:g}x{height:g} pixels")


def _from_yolo(folder: Path, plan: pd.DataFrame, classes: Mapping[int, str]) -> dict[str, list[str]]:
    files = [file for file in sorted(folder.rglob("*.txt")) if file.name.lower() not in NO_LABELS]
    if not files:
        raise DataError(
            "there are no labels", where=str(folder), expected="YOLO .txt files, or a COCO instances*.json",
            found=describe(folder), remedy="export as YOLO or COCO from the labelling tool",
        )  # fmt: skip
    names, known = _names(folder), _by_stem(plan)
    lines: dict[str, list[str]] = {}
    for file in files:
        image_id = _image(file.name, known, file)
        if image_id in lines:
            raise _unreadable(file, "a second file of labels for this image", "one file for each image")
        lines[image_id] = [_line(text, names, classes, file) for text in _texts(file)]
    return lines


def _names(folder: Path) -> dict[int, str]:
    """The classes' names by the tool's ids. Raises DataError where nothing says them."""
    for file in sorted(folder.rglob("data.y*ml")):
        if names := data_yaml.read_data_yaml(file).names:
            return names
    for file in sorted([*folder.rglob("classes.txt"), *folder.rglob("obj.names")]):
        return dict(enumerate(_text(file).split("\n")))
    raise DataError(
        "nothing says which class the ids in these labels mean", where=str(folder),
        expected="data.yaml or classes.txt", found="neither",
        remedy="copy the file of names from the tool's export; ids are joined by name, never guessed",
    )  # fmt: skip


def _by_stem(plan: pd.DataFrame) -> dict[str, str]:
    return {Path(file).stem: image_id for file, image_id in zip(plan["file"], plan["image_id"], strict=True)}


def _image(name: str, known: Mapping[str, str], file: Path) -> str:
    """The image that a file of labels is about, by its name, with or without what Label Studio put before it."""
    stem = Path(name.replace("\\", "/")).stem
    image_id = known.get(stem) or known.get(TOOL_PREFIX.sub("", stem, count=1), "")
    if not image_id:
        raise DataError(
            "these labels are about no image of the plan", where=str(file), expected=f"a name in {PLAN_FILE}",
            found=name, remedy=f"copy the {PLAN_FILE} of the same plan into the folder, or take the file out",
        )  # fmt: skip
    return image_id


def _texts(file: Path) -> list[str]:
    return [line for line in _text(file).splitlines() if line.strip()]


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, str(error), "a text file") from None


def _line(text: str, names: Mapping[int, str], classes: Mapping[int, str], file: Path) -> str:
    """A line of labels with the model's class id, without the number of a track."""
    kind, *rest = text.split()
    rest = rest[:-1] if len(rest) == TRACKED - 1 else rest
    fits = len(rest) == LABEL_COLUMNS - 1 or (len(rest) >= FEWEST_POLYGON_COLUMNS - 1 and len(rest) % 2 == 0)
    try:
        inside = all(-SHARE_SLACK <= float(share) <= 1 + SHARE_SLACK for share in rest)  # NaN is not
        name = names.get(int(kind), f"class {kind}, which has no name")
    except ValueError:
        inside, name = False, ""
    if not fits or not inside:
        raise _unreadable(file, text[:100], "class cx cy w h, or class and a polygon, in shares from 0 to 1")
    return f"{_class_id(name.strip(), classes, file)} {' '.join(rest)}"


def _class_id(name: str, classes: Mapping[int, str], file: Path) -> int:
    ids = {own: number for number, own in classes.items()}
    if name not in ids:
        raise DataError(
            "a box has a class that the model does not know", where=str(file), expected=", ".join(ids), found=name,
            remedy="rename the class in the labelling tool, or add it at the end of model.classes in cvkit.yml",
        )  # fmt: skip
    return ids[name]


def _unreadable(file: Path, found: str, expected: str) -> DataError:
    return DataError(
        "these labels cannot be read", where=str(file), expected=expected, found=found,
        remedy="export them again, or correct this file",
    )  # fmt: skip
