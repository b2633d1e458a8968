"""The reference's data set: Ultralytics' data.yaml, COCO, Pascal VOC, or a folder of images per class."""

from __future__ import annotations

import os
from pathlib import Path

from cvkit.config import Config
from cvkit.data.records import Records
from cvkit.data.sources import captures, classes, coco, data_yaml, listing, voc, yolo_txt
from cvkit.data.sources.joins import index_images, which_image
from cvkit.data.sources.patterns import Found
from cvkit.data.sources.said import Said
from cvkit.errors import ConfigError, DataError
from cvkit.tables import Window


def load_reference(config: Config) -> Records:
    """The sample the model was accepted on: the images and labels of `reference.data`, or a stretch of captures.

    Images are named by their path below the data set's folder. Sources and times are '' and NaT, unless
    `reference.images` says how to read them from that path. A tree with a folder per class has no boxes: its images
    count as not labelled. What cannot be used becomes a finding.
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
    return listing.assemble(config, images, (Said(), known), (said, known), problems, names)


def _stretch(config: Config) -> Records:
    """The captures from `reference.start` to `reference.end`."""
    start, end = config.reference.start, config.reference.end
    if start is None or end is None or end <= start:
        raise ConfigError(
            "the reference has no days", where=f"{config.path}, reference", expected="an end after the start",
            found=f"start {start}, end {end}", remedy="end is the first day that is not used any more",
        )  # fmt: skip
    records = captures.load_captures(config, Window.between(start.isoformat(), end.isoformat()))
    if records.images.empty:
        days = captures.capture_days(config)
        raise DataError(
            "the reference has no images", where=f"{config.path}, reference: {start} to {end}",
            expected="captures of these days",
            found=f"captures from {days[0]:%Y-%m-%d} to {days[1]:%Y-%m-%d}" if days else "no captures at all",
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
            said.report("missing_image", name, f"{path.name}: no such file in {len(places)} folders, the first {places[0]}")
            continue
        if _utf8([file], said):
            found[file.path] = file
            covered[key] = listing.image_id(file.path, root)
            said.cover(covered[key], f"{path.name}:image {key}", scored=False)
    coco.read_annotations(said, content, covered, path.name)
    return root, [found[one] for one in sorted(found)]


def _from_voc(config: Config, path: Path, said: Said) -> tuple[Path, list[Found]]:
    image_folder, annotation_folder = voc.folders(path) or (path, path)
    found = _utf8(data_yaml.images_below(image_folder), said)
    index = index_images(listing.image_table(found, _ids(found, path)))
    split = _voc_split(config, path)
    chosen: set[str] = set()
    for name in sorted(split or ()):
        image_id, _ = which_image(index, name, _teller(image_folder))
        chosen.add(image_id)
        if not image_id:
            said.report("missing_image", name, f"ImageSets/Main/{config.reference.split}.txt: no such image")
    for file in sorted(annotation_folder.glob("*.xml")):
        if split is None or file.stem in split:
            shown = listing.image_id(str(file), path)
            annotation = voc.read_voc(str(file))
            image_id, why = which_image(index, file.stem, _teller(image_folder))
            if isinstance(annotation, str):
                said.report("bad_record", image_id or shown, f"{shown}: {annotation}")
                continue
            if not image_id and annotation.filename:
                image_id, why = which_image(index, annotation.filename, _teller(image_folder))
            if image_id:
                voc.add_annotation(said, image_id, annotation, shown)
            else:
                said.report("bad_record" if why else "missing_image", file.stem, f"{shown}: {why or 'no such image'}")
    return path, found if split is None else [
        one for one, image_id in zip(found, _ids(found, path), strict=True) if image_id in chosen
    ]
