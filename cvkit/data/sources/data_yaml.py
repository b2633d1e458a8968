"""Ultralytics' `data.yaml`: folders or lists of images by split, class names, labels in a mirrored folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cvkit import yaml_files
from cvkit.data.sources.patterns import Found, compile_pattern, describe, is_image, matching
from cvkit.data.sources.said import Said
from cvkit.errors import DataError

SPLITS = ("train", "val", "test", "minival")
MOST_CLASSES = 1_000_000  # that `nc` may count
FILES = ("data.yaml", "data.yml", "dataset.yaml")


@dataclass(frozen=True, slots=True)
class DataYaml:
    """A `data.yaml`, read."""

    path: Path
    folder: Path  # what its splits are seen from
    splits: dict[str, list[str]]
    names: dict[int, str]


def read_data_yaml(path: Path) -> DataYaml:
    """Read a `data.yaml`. Raises DataError where it is no YAML mapping, or its names are no list or mapping by id."""
    try:
        data, _ = yaml_files.read(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        line, problem = yaml_files.explain(error)
        raise _unusable(path, "YAML", f"line {line}: {problem}" if line else problem) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, "a text file", str(error)) from None
    if not isinstance(data, dict):
        raise _unusable(path, "keys `path`, `train`, `val`, `names`", f"a {type(data).__name__}")
    splits = {name: _texts(data[name]) for name in SPLITS if data.get(name)}
    folder = path.parent / str(data.get("path") or "")
    return DataYaml(path, Path(os.path.normpath(folder)), splits, _names(data, path))


def split_images(data: DataYaml, split: str, said: Said) -> list[Found]:
    """The images of a split, sorted by path. Listed images that do not exist become findings.

    Raises DataError where the split or its folder is missing, or has no images.
    """
    if split not in data.splits:
        known = ", ".join(data.splits) or "none at all"
        remedy = "set reference.split to one of them, or add the split to the file"
        raise DataError(
            f"there is no split `{split}`",
            where=str(data.path),
            expected=split,
            found=f"splits: {known}",
            remedy=remedy,
        )
    files: dict[str, Found] = {}
    for entry in data.splits[split]:
        place = _place(data, entry)
        found = _listed(place, said) if os.path.isfile(place) else images_below(place)  # noqa: PTH113  of any name
        files.update((file.path, file) for file in found)
    if not files:
        raise _without_images(data, split)
    return [files[path] for path in sorted(files)]


def label_path(image: str) -> str:
    """Where the labels of an image stand: the last folder `images` of its path becomes `labels`, the suffix `.txt`."""
    mark = f"{os.sep}images{os.sep}"
    above, found, below = image.rpartition(mark)
    mirrored = f"{above}{os.sep}labels{os.sep}{below}" if found else image
    return f"{os.path.splitext(mirrored)[0]}.txt"  # noqa: PTH122  a hot path


def stray_labels(images: list[Found]) -> list[str]:
    """Label files, in the folders that mirror those of `images`, with no image of their name; sorted."""
    stems: dict[str, set[str]] = {}
    for folder in {os.path.dirname(file.path) for file in images}:  # noqa: PTH120
        mirrored = os.path.dirname(label_path(os.path.join(folder, "any.jpg")))  # noqa: PTH118, PTH120
        stems.setdefault(mirrored, set()).update(Path(name).stem for name in os.listdir(folder) if is_image(name))  # noqa: PTH208
    strays = [
        str(file)
        for folder, known in stems.items()
        if folder not in {os.path.dirname(image.path) for image in images} and Path(folder).is_dir()  # noqa: PTH120
        for file in Path(folder).glob("*.txt")
        if file.stem not in known
    ]
    return sorted(strays)


def found_file(path: str) -> Found:
    """A file at a known place. Raises OSError where there is none."""
    status = os.stat(path)  # noqa: PTH116
    return Found(path, status.st_size, status.st_mtime_ns, "", "", "", path)


def images_below(folder: Path) -> list[Found]:
    """All image files in a folder and the folders below it, sorted by path."""
    return [file for file in matching(compile_pattern("**", folder, ""), lambda date: True, []) if is_image(file.path)]


def _listed(file: Path, said: Said) -> list[Found]:
    """Images that a text file names, one a line, seen from the folder it lies in."""
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not (name := line.strip()):
            continue
        path = os.path.normpath(file.parent / name)
        try:
            found.append(found_file(path))
        except (OSError, ValueError) as error:  # a zero byte in the name is a ValueError
            said.report("missing_image", name, f"{file.name}:{number}: {getattr(error, 'strerror', None) or error}")
    return found


def _place(data: DataYaml, entry: str) -> Path:
    """Where an entry of a split lies. Some exports say `../train/images` and mean `train/images`: both are tried."""
    for name in (entry, entry.removeprefix("../")):
        if os.path.exists(path := os.path.normpath(data.folder / name)):  # noqa: PTH110  False for what is no name
            return Path(path)
    return Path(os.path.normpath(data.folder / entry))


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _names(data: dict[Any, Any], path: Path) -> dict[int, str]:
    names = data.get("names")
    if isinstance(names, list):
        return {number: str(name) for number, name in enumerate(names)}
    if isinstance(names, dict):
        try:
            by_id = {_id(number): str(name) for number, name in names.items()}
        except (TypeError, ValueError):
            by_id = {}
        if len(by_id) < len(names):
            raise _unusable(path, "names by whole number, each once", f"names: {str(names)[:100]}")
        return dict(sorted(by_id.items()))
    if names is None:
        count = data.get("nc")
        if isinstance(count, int) and count > MOST_CLASSES:
            raise _unusable(path, f"`nc` of at most {MOST_CLASSES:,}", f"nc: {count}")
        return {number: f"class_{number}" for number in range(count)} if isinstance(count, int) else {}
    raise _unusable(path, "`names` as a list, or a mapping by id", f"names: {str(names)[:100]}")


def _id(number: Any) -> int:
    """A class id. Raises ValueError or TypeError where it is none: 1.5 would become 1, and true as well."""
    if isinstance(number, bool | float):
        raise TypeError("no whole number")
    return int(number)


def _unusable(path: Path, expected: str, found: str) -> DataError:
    remedy = "correct the file; Ultralytics' documentation describes it"
    return DataError(
        "the data set's description cannot be used", where=str(path), expected=expected, found=found, remedy=remedy
    )


def _without_images(data: DataYaml, split: str) -> DataError:
    places = [_place(data, entry) for entry in data.splits[split]]
    there = os.path.isdir(places[0])  # noqa: PTH112  of any name
    return DataError(
        f"the split `{split}` has no images", where=str(data.path), expected=f"images at {places[0]}",
        found=describe(places[0] if there else places[0].parent),
        remedy="correct `path` or the split in that file",
    )  # fmt: skip
