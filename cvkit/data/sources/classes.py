"""Classes: the names the model knows, and which of its ids a data set's own ids and names mean."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cvkit.config import Config
from cvkit.data.sources import coco, data_yaml, patterns, voc
from cvkit.data.sources.said import Classes
from cvkit.errors import DataError

Kind = Literal["data.yaml", "coco", "voc", "folders"]


def class_names(config: Config) -> dict[int, str]:
    """Names of the model's classes, by id: `model.classes`, else those of the reference's data set, else the weights'.

    The weights are asked where the reference is of captures and cvkit runs them. data.yaml says its ids itself. COCO's
    categories are numbered from 0 in the order of their ids, VOC's names and folders' names in alphabetical order.
    Empty where nobody says.
    """
    if config.model.classes:
        return dict(enumerate(config.model.classes))
    if not config.reference.data:
        if not config.model.weights or (config.captures.predictions and not config.model.embeddings):
            return {}
        from cvkit.data import yolo  # heavy, and needed here only

        return yolo.class_names(config)
    kind, path = dataset_kind(config)
    names = written_names(kind, path, config.reference.split)
    return (
        {int(number): name for number, name in names.items()}
        if kind == "data.yaml"
        else dict(enumerate(names.values()))
    )


def by_id_or_name(classes: Mapping[int, str]) -> Classes:
    """What files about captures may write: a class id of the model, or its name. None where no names are known."""
    return {**{number: number for number in classes}, **{name: number for number, name in classes.items()}} or None


def by_labels(label_classes: Sequence[str], classes: Mapping[int, str]) -> Classes:
    """What label files about captures may write: names of the model's classes, and ids.

    These are the model's, unless `label_classes` says which name each id has: then names are what joins them, and an id
    whose name the model does not know is none of its classes.
    """
    if not label_classes or not classes:
        return by_id_or_name(classes)
    return by_data_set({**dict(enumerate(label_classes)), **{name: name for name in classes.values()}}, classes)


def by_data_set(written: Mapping[Any, str], classes: Mapping[int, str]) -> Classes:
    """What a data set writes, by the model's class ids: joined on the names. None where it names no classes."""
    ids = {name: number for number, name in classes.items()}
    if not written:
        return {number: number for number in classes} or None
    return {key: ids[name] for key, name in written.items() if name in ids}


def dataset_kind(config: Config) -> tuple[Kind, Path]:
    """What `reference.data` is, and the file or folder to read. Raises DataError where it is none of the known."""
    path = config.resolve(config.reference.data)
    if path.is_file() and (
        kind := {".yaml": "data.yaml", ".yml": "data.yaml", ".json": "coco"}.get(path.suffix.lower())
    ):
        return kind, path  # type: ignore[return-value]
    if path.is_dir():
        if description := next((path / name for name in data_yaml.FILES if (path / name).is_file()), None):
            return "data.yaml", description
        if voc.folders(path):
            return "voc", path
        if class_folders(path, config.reference.split) and not (path / "labels").is_dir():
            return "folders", path
    raise _unknown_kind(config, path)


def class_folders(root: Path, split: str) -> dict[str, Path]:
    """The folders of a tree with a folder per class, by name; below a folder named like the split if there is one."""
    top = (
        root / split if (root / split).is_dir() and any(child.is_dir() for child in (root / split).iterdir()) else root
    )
    inside = (path for path in sorted(top.iterdir()) if path.is_dir() and not path.name.startswith("."))
    return {path.name: path for path in inside if any(patterns.is_image(file.name) for file in path.rglob("*"))}


def written_names(kind: Kind, path: Path, split: str) -> dict[Any, str]:
    """The class names of a data set by what its labels write."""
    stamp = path.stat().st_mtime_ns
    return dict(_written_names(kind, path, stamp, split))


@functools.lru_cache(maxsize=8)  # a COCO file may be large, and every window asks
def _written_names(kind: Kind, path: Path, stamp: int, split: str) -> Mapping[Any, str]:
    if kind == "data.yaml":
        return data_yaml.read_data_yaml(path).names
    if kind == "coco":
        names = list(coco.read_coco(path).categories.values())  # in the order of the ids
    else:
        names = voc.names(path) if kind == "voc" else sorted(class_folders(path, split))
    return {name: name for name in names}


def _unknown_kind(config: Config, path: Path) -> DataError:
    there = "a file of another kind" if path.exists() else "nothing there"
    looks = "images and labels: a YOLO data set; its data.yaml is asked for" if (path / "labels").is_dir() else ""
    return DataError(
        "the reference's data set cannot be used" if path.exists() else "the reference's data set is missing",
        where=f"{config.path}, reference.data: {config.reference.data}",
        expected="a data.yaml, a COCO .json, a Pascal VOC folder, or a folder with one folder of images per class",
        found=looks or (patterns.describe(path) if path.is_dir() else f"{path}: {there}"),
        remedy="correct reference.data, or give `start` and `end` of a stretch of captures instead",
    )  # fmt: skip
