"""Where the labels of an image belong: the one file that `captures.labels` would read for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from cvkit.config import Config
from cvkit.data.sources import captures, listing, patterns, told
from cvkit.data.sources.patterns import TOKEN, Found, workspace
from cvkit.errors import ConfigError, DataError


def label_files(config: Config, image_ids: Iterable[str]) -> dict[str, Path]:
    """The YOLO label file of each image: `captures.labels` with the image's {source}, {date} and {time}, and its name.

    Raises ConfigError where the pattern is none of one .txt file per image, DataError for images that are not there,
    or that share the file with another image.
    """
    pattern = told.told_pattern(config, "labels")
    if pattern is None or not pattern.text.endswith(".txt"):
        raise _not_yolo(config, pattern.text if pattern else "nothing")
    images = captures.images_pattern(config)
    root = captures.id_root(config, images)
    found = patterns.matching(images, lambda date: True, [])
    places = {listing.image_id(file.path, root): _place(config, pattern.text, file) for file in found}
    wanted = list(image_ids)
    if gone := [one for one in wanted if one not in places]:
        raise DataError(
            "an image of the plan is not there any more", where=f"{config.path}, captures.images",
            expected=gone[0], found=f"{len(gone)} of {len(wanted)} images are missing",
            remedy="put the images back, or take their labels out of the folder",
        )  # fmt: skip
    counts = Counter(places.values())
    if shared := [one for one in wanted if counts[places[one]] > 1]:
        others = [one for one, place in places.items() if place == places[shared[0]]]
        raise ConfigError(
            "two images would have one label file", where=f"{config.path}, captures.labels: {pattern.text}",
            expected="a file of its own for each image", found=f"{others[0]} and {others[1]}: {places[shared[0]]}",
            remedy="put {source} and {date} into captures.labels, or name the images apart",
        )  # fmt: skip
    return {one: places[one] for one in wanted}


def _place(config: Config, text: str, image: Found) -> Path:
    """`captures.labels` filled in for an image; a `*` before the suffix is the image's name."""
    stem = PurePosixPath(image.path).stem
    fields = {"{source}": image.source, "{date}": image.date, "{time}": image.time}
    *above, last = PurePosixPath(Path(text).expanduser().as_posix()).parts
    own = [] if last == "*.txt" else [last]
    if not all(fields.get(token) for part in [*above, *own] for token in TOKEN.findall(part)):
        raise _not_yolo(config, text)
    filled = [TOKEN.sub(lambda token: fields[token.group()], part) for part in [*above, *own]]
    if own and filled.pop() != f"{stem}.txt":  # labels are found by their image's name
        raise _not_yolo(config, text)
    return workspace(config) / Path(*filled, f"{stem}.txt")


def _not_yolo(config: Config, found: str) -> ConfigError:
    return ConfigError(
        "labels cannot be put where captures.labels says", where=f"{config.path}, captures.labels",
        expected="a pattern of one YOLO .txt per image, e.g. labels/{source}/{date}/*.txt, with fields that "
        "captures.images has", found=found,
        remedy="set captures.labels so, or put the labels where it says yourself: see Data formats",
    )  # fmt: skip
