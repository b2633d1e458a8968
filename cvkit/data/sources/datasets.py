"""The reference's data set: Ultralytics' data.yaml, COCO, Pascal VOC, or a folder of images per class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from cvkit.config import Config
from cvkit.data.records import Records
from cvkit.data.sources import captures, classes, coco, data_yaml, listing, patterns, times, told, voc, yolo_txt
from cvkit.data.sources.joins import index_images, resolve, which_image
from cvkit.data.sources.patterns import Found
from cvkit.data.sources.said import Problem, Said, clean, problem
from cvkit.errors import ConfigError, DataError
from cvkit.tables import TIME, Window


def load_reference(config: Config) -> Records:
    """The sample the model was accepted on: the images and labels of `reference.data`, or a stretch of captures.

    Images are named by their path below the data set's folder. Sources and times are '' and NaT, unless
    `reference.images` says how to read them from that path. A tree with a folder per class has no boxes: its images
    count as not labelled. `reference.predictions` says where predictions on them are. What cannot be used becomes a
    finding.
    Raises DataError or ConfigError where the data set, its split or all of its images are missing.
    """
    if not config.reference.data:
        return _stretch(config)
    kind, path = classes.dataset_kind(config)
    said = Said(relative=kind == "data.yaml")
    read = {"data.yaml": _from_data_yaml, "coco": _from_coco, "voc": _from_voc, "folders": _from_folders}[kind]
    root, found = read(config, path, said)
    if not found:
        raise _no_images(config, root)
    images, problems = _placed(config, listing.image_table(found, _ids(found, root)))
    names = classes.class_names(config)
    known = classes.by_data_set(classes.written_names(kind, path, config.reference.split), names)
    predictions = (_predictions(config, images), classes.by_id_or_name(names))
    return listing.assemble(config, images, predictions, (said, known), problems, names)


def _predictions(config: Config, images: pd.DataFrame) -> Said:
    pattern = told.told_pattern(config, "predictions", "reference")
    inside = frozenset(images["image_id"])
    return told.read(config, {"predictions": pattern}, images, inside, lambda date: True)["predictions"]


def _stretch(config: Config) -> Records:
    """The captures from `reference.start` to `reference.end`."""
    start, end = config.reference.start, config.reference.end
    assert start is not None  # the settings are read so: `data`, or both of these
    assert end is not None
    records = captures.load_captures(config, Window.between(start.isoformat(), end.isoformat()))
    if records.images.empty:
        days = captures.capture_dates(config)
        raise DataError(
            "the reference has no images", where=f"{config.path}, reference: {start} to {end}",
            expected="captures of these days",
            found=f"captures from {days[0]} to {days[-1]}" if days else "no captures at all",
            remedy="correct reference.start and reference.end",
        )  # fmt: skip
    return records


def _from_data_yaml(config: Config, path: Path, said: Said) -> tuple[Path, list[Found]]:
    data = data_yaml.read_data_yaml(path)
    found = _utf8(data_yaml.split_images(data, config.reference.split, said), said)
    root = data.folder if data.folder.is_dir() else path.parent
    for file, image_id in zip(found, _ids(found, root), strict=True):
        labels = data_yaml.label_path(file.path)
        if os.path.exists(labels):  # noqa: PTH110  a hot path
            yolo_txt.read_yolo_file(said, image_id, labels, listing.image_id(labels, root), scored=False)
    for labels in data_yaml.stray_labels(found):
        shown = listing.image_id(labels, root)
        said.report("missing_image", shown, f"{shown}: there is no such image")
    return root, found


def _from_coco(config: Config, path: Path, said: Said) -> tuple[Path, list[Found]]:
    """COCO's images lie beside the file, or in folders that are usual; the first where a file is counts."""
    content = coco.read_coco(path)
    for words in content.broken:
        said.report("bad_record", path.name, f"{path.name}:{words}")
    places = coco.image_folders(path)
    root = path.parent.parent if path.parent.name.lower() in coco.ANNOTATION_FOLDERS else path.parent
    found: dict[str, Found] = {}
    covered: dict[coco.Key, str] = {}
    for key, name in content.images.items():
        file = coco.image_file(places, name)
        if file is None:
            said.report("missing_image", name, f"{path.name}: no such file where images are looked for")
            continue
        if _utf8([file], said):
            found[file.path] = file
            covered[key] = listing.image_id(file.path, root)
            said.cover(covered[key], f"{path.name}:image {key}", scored=False)
    coco.read_annotations(said, content, covered, path.name)
    return root, [found[one] for one in sorted(found)]


def _from_voc(config: Config, path: Path, said: Said) -> tuple[Path, list[Found]]:
    """VOC's images and annotations have one name; where they do not, the name inside the annotation counts."""
    image_folder, annotation_folder = voc.folders(path) or (path, path)
    found = _utf8(data_yaml.images_below(image_folder), said)
    index = index_images(listing.image_table(found, _ids(found, path)))
    split = _voc_split(config, path)
    files = sorted(annotation_folder.glob("*.xml"))
    if split is not None:
        files = [file for file in files if file.stem in split]
    unlabelled = sorted((split or set()) - {file.stem for file in files})
    list_name = f"ImageSets/Main/{config.reference.split}.txt"
    chosen = {resolve(said, name, patterns.NOBODY, list_name, index) for name in unlabelled}
    for file in files:
        shown = listing.image_id(str(file), path)
        annotation, namesake = voc.read_voc(str(file)), which_image(index, file.stem, patterns.NOBODY)[0]
        if isinstance(annotation, str):
            said.report("bad_record", namesake or shown, f"{shown}: {annotation}")
            continue
        inside = not namesake and annotation.filename
        if image_id := resolve(said, inside or file.stem, patterns.NOBODY, shown, index):
            voc.add_annotation(said, image_id, annotation, shown)
            chosen.add(image_id)
    if split is None:
        return path, found
    return path, [one for one, image_id in zip(found, _ids(found, path), strict=True) if image_id in chosen]


def _voc_split(config: Config, path: Path) -> set[str] | None:
    """The image names of the split; None where the data set is not split. DataError where it has other splits only."""
    folder = path / "ImageSets" / "Main"
    lists = sorted(file.stem for file in folder.glob("*.txt")) if folder.is_dir() else []
    if not lists:
        return None
    if config.reference.split not in lists:
        raise DataError(
            f"there is no split `{config.reference.split}`", where=str(folder),
            expected=f"{config.reference.split}.txt", found=f"splits: {', '.join(lists)}",
            remedy="set reference.split to one of them",
        )  # fmt: skip
    text = (folder / f"{config.reference.split}.txt").read_text(encoding="utf-8", errors="replace")
    return set(voc.split_names(text))


def _from_folders(config: Config, path: Path, said: Said) -> tuple[Path, list[Found]]:
    """Only the images: a class says nothing about where in the image a thing is."""
    folders = classes.class_folders(path, config.reference.split)
    return path, [one for folder in folders.values() for one in _utf8(data_yaml.images_below(folder), said)]


def _placed(config: Config, images: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """`images` with the sources and times that `reference.images` reads from their paths."""
    if not config.reference.images:
        return images.assign(time=pd.Series(pd.NaT, index=images.index, dtype=TIME)), []
    expression = patterns.matcher(config.reference.images, "reference.images")
    zone = ZoneInfo(config.captures.time_zone)
    sources, days, moments, problems = [], [], [], []
    matches = [expression.fullmatch(image_id) for image_id in images["image_id"]]
    if not any(matches):
        raise ConfigError(
            "no image of the reference matches the pattern", where=f"{config.path}, reference.images",
            expected=config.reference.images, found=f"{len(images)} images such as {images['image_id'].iloc[0]!r}",
            remedy="correct the pattern, or leave it empty where the paths tell neither source nor time",
        )  # fmt: skip
    for image_id, match in zip(images["image_id"], matches, strict=True):
        fields = match.groupdict() if match else {}
        moment, why = times.moment(fields["date"], fields.get("time") or "", zone) if fields.get("date") else (None, "")
        why = why if match else f"the path does not match reference.images: {config.reference.images}"
        sources.append(fields.get("source") or "")
        days.append(fields.get("date") or "")
        moments.append(moment)
        if why:
            problems.append(problem("no_time", image_id, why, sources[-1]))
    return images.assign(source=sources, date=days, time=pd.Series(moments, index=images.index, dtype=TIME)), problems


def _ids(found: Iterable[Found], root: Path) -> list[str]:
    return [listing.image_id(file.path, root) for file in found]


def _utf8(found: list[Found], said: Said) -> list[Found]:
    """The files whose names a table can hold; the others become findings."""
    for file in found:
        if clean(file.path) != file.path:
            said.report("bad_record", file.path, "the file's name is not UTF-8; rename it")
    return [file for file in found if clean(file.path) == file.path]


def _no_images(config: Config, root: Path) -> DataError:
    return DataError(
        "the reference has no images", where=f"{config.path}, reference.data: {config.reference.data}",
        expected="images of the data set", found=patterns.describe(root),
        remedy="copy the images to where the data set's files name them",
    )  # fmt: skip
