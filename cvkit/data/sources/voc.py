"""Pascal VOC's XML: one file per image."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from cvkit.data.headers import read_file
from cvkit.data.sources.said import Said

EDGES = ("xmin", "ymin", "xmax", "ymax")
# As the encodings write them that the parser knows; all others are like ASCII here.
DOCTYPES = tuple(
    word.encode(code) for word in ("<!DOCTYPE", "<!ENTITY") for code in ("ascii", "utf-16-le", "utf-16-be")
)


@dataclass(frozen=True, slots=True)
class Annotation:
    """One file: the image's name as it stands there, and its objects with their place in the file."""

    filename: str
    # Class, corners (None: a box that cannot be read), place in the file, and whether it is marked as difficult.
    objects: list[tuple[str, tuple[float, float, float, float] | None, int, bool]]


def read_voc(path: str) -> Annotation | str:
    """One annotation file, or in words why it cannot be read.

    Corners are taken as they stand: VOC's own tools count pixels from 1, most tools that write the format from 0,
    and the file does not say which, so a box may be off by one pixel.
    """
    try:
        content = read_file(path)
        if any(word in content for word in DOCTYPES):
            return "has a document type, which annotations do not need and cvkit does not read"
        root = ElementTree.fromstring(content)  # noqa: S314  no DTD, so no entities that grow
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # the last two: unknown encodings
        return f"cannot be read: {error}"
    if root.tag != "annotation":
        return f"has <{root.tag}> where <annotation> is expected"
    objects = [
        ((one.findtext("name") or "").strip(), _corners(one), number, one.findtext("difficult", "").strip() == "1")
        for number, one in enumerate(root.iter("object"), start=1)
    ]
    return Annotation((root.findtext("filename") or "").strip(), objects)


def add_annotation(said: Said, image_id: str, annotation: Annotation, shown: str) -> None:
    """Put the boxes of one file into `said`."""
    if not said.cover(image_id, shown, scored=False):
        return
    for name, corners, number, difficult in annotation.objects:
        if corners is None:
            said.report("bad_record", image_id, f"{shown}:object:{number}: no bndbox with {', '.join(EDGES)}")
        else:
            said.rows.append((image_id, name, None, *corners, f"{shown}:object", number, "ignore" if difficult else ""))


def folders(root: Path) -> tuple[Path, Path] | None:
    """The folders of images and of annotations below `root`; None where this is no VOC data set."""
    inside = {path.name.lower(): path for path in sorted(root.iterdir()) if path.is_dir()}
    annotations = inside.get("annotations", root)
    if not any(annotations.glob("*.xml")):
        return None
    return inside.get("jpegimages") or inside.get("images") or root, annotations


def names(root: Path) -> list[str]:
    """The class names that the annotations below `root` use, sorted."""
    found = folders(root)
    files = sorted(found[1].glob("*.xml")) if found else []
    read = (read_voc(str(path)) for path in files)
    return sorted({name for one in read if isinstance(one, Annotation) for name, *_ in one.objects if name})


def split_names(text: str) -> list[str]:
    """Image names in a file of ImageSets/Main; lists for one class have 1, 0 or -1 behind each."""
    return [name for line in text.splitlines() if (name := re.sub(r"\s+-?[01]$", "", line.strip()))]


def _corners(one: ElementTree.Element) -> tuple[float, float, float, float] | None:
    try:
        left, top, right, bottom = (float(one.findtext(f"bndbox/{edge}", "")) for edge in EDGES)
    except ValueError:
        return None
    return left, top, right, bottom
