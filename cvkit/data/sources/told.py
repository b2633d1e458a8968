"""What came with the images: files of predictions and labels, read for those of a window or of the reference."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Set
from pathlib import Path

import pandas as pd

from cvkit.config import Config
from cvkit.data.sources import coco, listing, predictions, voc, yolo_txt
from cvkit.data.sources.classes import class_names
from cvkit.data.sources.joins import Index, index_images, resolve, which_image
from cvkit.data.sources.patterns import Found, Pattern, any_match, compile_pattern, describe, matching, workspace
from cvkit.data.sources.said import Said, clean
from cvkit.errors import ConfigError, DataError

log = logging.getLogger(__name__)

NO_LABELS = ("classes.txt",)  # labelling tools put the classes' names beside the label files
SUFFIXES = {"predictions": (".parquet", ".jsonl", ".txt"), "labels": (".txt", ".json", ".xml")}


def told_pattern(config: Config, kind: str, section: str = "captures") -> Pattern | None:
    """The pattern of `predictions` or `labels`; None where the settings have none. ConfigError on an unknown suffix."""
    text: str = getattr(getattr(config, section), kind)
    if not text:
        return None
    if not text.endswith(SUFFIXES[kind]):
        raise ConfigError(
            f"the kind of the {kind} files is not known", where=f"{config.path}, {section}.{kind}",
            expected=f"a pattern that ends in {', '.join(SUFFIXES[kind])}", found=text,
            remedy="end the pattern in the files' suffix; all of them are of one kind",
        )  # fmt: skip
    return compile_pattern(text, workspace(config), f"{section}.{kind}")


def read(
    config: Config,
    told: Mapping[str, Pattern | None],
    images: pd.DataFrame,
    inside: Set[str],
    date_wanted: Callable[[str], bool],
    own_date: Callable[[str], bool] = lambda date: True,
) -> dict[str, Said]:
    """What the files that match `told` say about the images `inside` the window, by kind.

    `images` are all that the files may speak of (image_id, path, source, date): what is about images outside the
    window is passed over, what is about no image becomes a finding of the window that the file's {date} is the
    `own_date` of.
    Raises DataError where predictions are asked for, no file has any, and there are no weights to make them.
    """
    said = {kind: Said(relative=bool(one and one.text.endswith(".txt"))) for kind, one in told.items()}
    index = index_images(images) if any(told.values()) else None
    for kind, pattern in told.items():
        if pattern is None or index is None:
            continue
        unlisted: list[tuple[str, str]] = []
        found = matching(pattern, date_wanted, unlisted)
        if not found:
            _nothing_found(config, pattern, kind)
        for folder, why in unlisted:
            said[kind].report("bad_record", folder, why)
        for file in found:
            if Path(file.path).name in NO_LABELS:
                _check_numbers(config, file)
                continue
            before, known = len(said[kind].problems), len(said[kind].covered)
            _read_file(said[kind], file, clean(listing.image_id(file.path, workspace(config))), index, inside, kind)
            said[kind].modified_ns |= dict.fromkeys(list(said[kind].covered)[known:], file.modified_ns)
            if file.date and not own_date(file.date):  # a neighbour's, read for the images near midnight
                told_here = [row for row in said[kind].problems[before:] if row["image_id"] in inside]
                said[kind].problems[before:] = told_here
        outside = index.places.keys() - inside
        said[kind].problems = [row for row in said[kind].problems if row["image_id"] not in outside]
    return said


def _check_numbers(config: Config, file: Found) -> None:
    """Raise ConfigError where a list of class names beside labels numbers them otherwise than the settings do."""
    lines = Path(file.path).read_bytes().decode("utf-8", "replace").splitlines()
    written = [name for line in lines if (name := line.strip())]
    known = dict(enumerate(config.captures.label_classes)) or class_names(config)
    first = next((number for number, name in enumerate(written) if known.get(number, name) != name), None)
    if first is not None:
        raise ConfigError(
            "the labels number their classes otherwise than the model", where=file.path,
            expected=f"class {first} to be {known[first]!r}", found=repr(written[first]),
            remedy=f"set captures.label_classes to what the labels mean: {json.dumps(written, ensure_ascii=False)}",
        )  # fmt: skip


def _read_file(said: Said, file: Found, shown: str, index: Index, inside: Set[str], kind: str) -> None:
    suffix = os.path.splitext(file.path)[1]  # noqa: PTH122  a hot path
    if suffix == ".parquet":
        predictions.read_parquet(said, file, shown, index, inside)
    elif suffix == ".jsonl":
        predictions.read_jsonl(said, file, shown, index, inside)
    elif suffix == ".json":
        _read_coco(said, file, shown, index, inside)
    elif suffix == ".xml":
        _read_voc(said, file, shown, index, inside)
    else:
        image_id = resolve(said, _stem(file), file, shown, index)
        if image_id in inside:
            yolo_txt.read_yolo_file(said, image_id, file.path, shown, scored=kind == "predictions")


def _read_coco(said: Said, file: Found, shown: str, index: Index, inside: Set[str]) -> None:
    """Labels of many images; a file that is no COCO is a finding here, as the next window may have a good one."""
    try:
        content = coco.read_coco(Path(file.path))
    except DataError as error:
        said.report("bad_record", shown, f"{shown}: {error.problem}: {error.found}", file.source)
        return
    for words in content.broken:
        said.report("bad_record", shown, f"{shown}:{words}", file.source)
    ids = {key: resolve(said, name, file, shown, index) for key, name in content.images.items()}
    covered = {key: one for key, one in ids.items() if one in inside and said.cover(one, shown, scored=False)}
    coco.read_annotations(said, content, covered, shown)


def _read_voc(said: Said, file: Found, shown: str, index: Index, inside: Set[str]) -> None:
    """Labels of one image: the one named like the file, else the one that the file names."""
    image_id, _ = which_image(index, _stem(file), file)
    if image_id and image_id not in inside:
        return  # without opening it
    annotation = voc.read_voc(file.path)
    if isinstance(annotation, str):
        said.report("bad_record", image_id or shown, f"{shown}: {annotation}", file.source)
        return
    if not image_id:
        image_id = resolve(said, annotation.filename or _stem(file), file, shown, index)
    if image_id in inside:
        voc.add_annotation(said, image_id, annotation, shown)


def _stem(file: Found) -> str:
    return os.path.splitext(file.deep)[0]  # noqa: PTH122  a hot path


def _nothing_found(config: Config, pattern: Pattern, kind: str) -> None:
    """A window may come without; that no file at all matches is worth a word, and an error where nothing can help."""
    if any_match(pattern):
        return
    there = next(folder for folder in (pattern.folder, *pattern.folder.parents) if folder.is_dir())
    if kind == "predictions" and not config.model.weights:
        raise DataError(
            "no file of predictions matches the pattern", where=f"{config.path}, {pattern.key}: {pattern.text}",
            expected=f"files that match below {pattern.folder}", found=describe(there),
            remedy=f"correct {pattern.key}, or set model.weights so that predictions can be made",
        )  # fmt: skip
    log.warning("no file matches %s: %s (%s)", pattern.key, pattern.text, describe(there))
