"""Captures: the images production took, with the predictions and labels that came with them."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from cvkit.config import Config
from cvkit.data.headers import Header
from cvkit.data.records import Records, of_source
from cvkit.data.sources import listing, patterns, recorded, times
from cvkit.data.sources import told as told_by
from cvkit.data.sources.classes import by_id_or_name, by_labels, class_names
from cvkit.data.sources.patterns import Pattern, compile_pattern, workspace
from cvkit.data.sources.said import Problem, clean, problem
from cvkit.errors import ConfigError, DataError
from cvkit.moments import plausible
from cvkit.tables import TIME, Window

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A clock or a file's time may differ this much from the day in the path, for night shifts and wrong zones; images
# further off could not be found without opening every image there is, so the path counts for them.
DAY_SLACK = timedelta(days=1)

Wanted = Callable[[str], bool]


def load_captures(config: Config, window: Window, source: str | None = None) -> Records:
    """Images taken in `window`, recorded frames among them, and the predictions and labels that came with them.

    Of one `source` only, where it is given: what was said is still matched to all images, so that it means the same.

    Sources and times are read as `captures` in cvkit.yml says; a window without images gives empty tables. What
    cannot be used becomes a finding. An image whose time nothing tells is in no window, and in the findings of all.
    Sizes are known for images with boxes only.
    Raises ConfigError for a pattern that cannot be, DataError where no image at all matches it.
    """
    pattern = images_pattern(config)
    told = {kind: told_by.told_pattern(config, kind) for kind in told_by.SUFFIXES}
    wanted = _dates_around(window, config, pattern)
    undated = any(one is not None and "date" not in one.fields for one in told.values())  # may speak of any image
    problems: list[Problem] = []
    images = _list_images(config, pattern, (lambda date: True) if undated else wanted, problems)
    if images.empty:
        check_any(config)
    near = images[images["date"].map(wanted).astype(bool)]
    near = near.assign(time=_image_times(near, config, problems))
    here = near[(near["time"] >= window.start) & (near["time"] < window.end)]
    here = (here if source is None else here[here["source"] == source]).reset_index(drop=True)
    frames = recorded.read(config, window, images, here["image_id"].tolist(), pattern)
    elsewhere = set(images["image_id"]) - set(here["image_id"]) - set(near.loc[near["time"].isna(), "image_id"])
    if len(frames.images):
        here, images = (pd.concat([one, frames.images], ignore_index=True) for one in (here, images))
    said = told_by.read(config, told, images, frozenset(here["image_id"]), wanted, _middle_in(window, config, pattern))
    classes = class_names(config)
    records = listing.assemble(
        config, here, (said["predictions"], by_id_or_name(classes)),
        (said["labels"], by_labels(config.captures.label_classes, classes)),
        [row for row in problems if row["image_id"] not in elsewhere], classes,
    )  # fmt: skip
    log.debug("%s: %d images of %d listed", window, len(here), len(images))
    records = recorded.add(records, frames)
    return records if source is None else of_source(records, source)


def check_any(config: Config, within_s: float = math.inf) -> None:
    """Raise DataError where no image at all matches the pattern, and nothing was recorded; stops at the first image.

    Raises TimeoutError where that takes longer to tell.
    """
    pattern = images_pattern(config)
    if not patterns.any_match(pattern, within_s) and not recorded.anything(config):
        raise _no_images(config, pattern)


def image_count(config: Config, window: Window) -> int:
    """How many images lie there for `window`, or were recorded; nothing that was said about them is read."""
    pattern = images_pattern(config)
    images = _list_images(config, pattern, _dates_around(window, config, pattern), [])
    moments = _image_times(images, config, [])
    lying = int(((moments >= window.start) & (moments < window.end)).sum())
    return lying + recorded.count(config, window, images, pattern)


def labels_state(config: Config, window: Window) -> str:
    """A name for the label files that may speak of a window, as they are now; "" where there are none.

    The same in a workspace that was moved, or copied with the times of its files.
    """
    told = told_by.told_pattern(config, "labels")
    if told is None:
        return ""
    found = patterns.matching(told, _dates_around(window, config, images_pattern(config)), [])
    own = _middle_in(window, config, images_pattern(config))
    mine = [file for file in found if not file.date or own(file.date)]
    parts = [f"{os.path.relpath(file.path, config.workspace)} {file.bytes} {file.modified_ns}" for file in mine]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:12] if parts else ""


def capture_dates(config: Config) -> list[date]:
    """The UTC dates, sorted, on which there may be captures; none where there are none.

    From the dates of the paths where these have one, and then it is cheap; else from the images' own times.
    """
    pattern = images_pattern(config)
    zone = _zone(config, pattern)
    written = patterns.dates(pattern) if "date" in pattern.fields else []
    known = {day: bounds for day in written if (bounds := times.day_bounds(day, zone))}
    if strange := sorted(set(written) - set(known)):
        log.warning("no dates, so that their images are in no window: %s", ", ".join(strange[:5]))
    found = {moment.date() for start, end in known.values() for moment in (start, end - timedelta(microseconds=1))}
    if not found or config.captures.time_from != "path":
        # Of dated folders only the first and the last can hold images from outside of all the folders' days.
        edges = {min(known, key=lambda day: known[day]), max(known, key=lambda day: known[day])} if known else set()
        images = _list_images(config, pattern, lambda day: not edges or day in edges, [])
        found |= {moment.date() for moment in _image_times(images, config, []).dropna()}
    return sorted(found | set(recorded.dates(config)))


def source_names(config: Config) -> set[str]:
    """The sources that the captures' paths name, {""} where the pattern names none; and those that were recorded."""
    pattern, names = images_pattern(config), recorded.source_names(config)
    if "source" not in pattern.fields:
        return {"", *names}
    return names | set(_list_images(config, pattern, lambda date: True, [])["source"])


def clock(config: Config, now: datetime) -> datetime:
    """`now` as it compares with windows: where paths tell days only, these are the days of the cameras' calendar."""
    if "time" in images_pattern(config).fields or config.captures.time_from != "path":
        return now
    return now.astimezone(ZoneInfo(config.captures.time_zone)).replace(tzinfo=UTC)


def images_pattern(config: Config) -> Pattern:
    """`captures.images`, taken apart. Raises ConfigError where times shall come from paths that have no {date}."""
    pattern = compile_pattern(config.captures.images, workspace(config), "captures.images")
    if config.captures.time_from == "path" and "date" not in pattern.fields:
        raise ConfigError(
            "the images' times cannot be read from their paths", where=f"{config.path}, captures",
            expected="{date} in captures.images", found=config.captures.images,
            remedy="put {date} where the paths have it, or set captures.time_from to exif or file",
        )  # fmt: skip
    return pattern


def _dates_around(window: Window, config: Config, pattern: Pattern) -> Wanted:
    """Whether images of a path's {date} may lie in `window`; text that is no date, or none, may."""
    zone = _zone(config, pattern)
    slack = timedelta() if config.captures.time_from == "path" else DAY_SLACK
    first, last = window.start - slack, window.end + slack
    # A {time} that names its own zone shifts an image by up to 14 hours from the local day, west or east.
    if "time" in pattern.fields:
        first, last = first - timedelta(days=1), last + timedelta(days=1)
    known: dict[str, bool] = {}

    def wanted(day: str) -> bool:
        if day not in known:
            bounds = times.day_bounds(day, zone) if day else None
            known[day] = bounds is None or (bounds[0] < last and bounds[1] > first)
        return known[day]

    return wanted


def _middle_in(window: Window, config: Config, pattern: Pattern) -> Wanted:
    """Whether the middle of a path's {date} lies in `window`: so every day belongs to one window only."""
    zone = _zone(config, pattern)

    def own(day: str) -> bool:
        bounds = times.day_bounds(day, zone)
        return bounds is None or window.start <= bounds[0] + (bounds[1] - bounds[0]) / 2 < window.end

    return own


def _zone(config: Config, pattern: Pattern) -> tzinfo:
    """The zone of the paths' dates; UTC where no clock says which part of a day is meant (see `times.moment`)."""
    return ZoneInfo(config.captures.time_zone) if "time" in pattern.fields else UTC


def _list_images(config: Config, pattern: Pattern, wanted: Wanted, problems: list[Problem]) -> pd.DataFrame:
    """Images that match, with what their paths say."""
    unlisted: list[tuple[str, str]] = []
    found = patterns.matching(pattern, wanted, unlisted)
    if not Path(pattern.text).suffix or pattern.text.endswith("*"):  # then the pattern does not say what is an image
        found = [file for file in found if patterns.is_image(file.path)]
    found = recorded.without_kept(config, found)
    root = id_root(config, pattern)
    good = [file for file in found if clean(file.path) == file.path]
    problems += [
        problem("bad_record", listing.image_id(file.path, root), "the file's name is not UTF-8; rename it", file.source)
        for file in found
        if clean(file.path) != file.path
    ]
    problems += [problem("bad_record", folder, why) for folder, why in unlisted]
    return listing.image_table(good, (listing.image_id(file.path, root) for file in good))


def id_root(config: Config, pattern: Pattern) -> Path:
    """What image ids are seen from: the workspace, or the pattern's fixed folder where that lies elsewhere."""
    home = workspace(config)
    return home if pattern.folder.is_relative_to(home) else pattern.folder


def _image_times(images: pd.DataFrame, config: Config, problems: list[Problem]) -> pd.Series:
    """The UTC time of each image, NaT where nothing tells it; every doubt becomes a finding."""
    zone, kind = ZoneInfo(config.captures.time_zone), config.captures.time_from
    heads: list[Header] = listing.headers(images["path"].tolist(), config) if kind == "exif" else []
    moments = []
    for number, (image_id, source, day, clock, modified) in enumerate(
        zip(*(images[name].tolist() for name in ("image_id", "source", "date", "clock", "modified_ns")), strict=True)
    ):
        moment, why = times.moment(day, clock, zone) if day else (None, "")
        if kind == "exif":
            moment, why = _settled(_exif_moment(heads[number], zone), "EXIF", moment, day, zone)
        elif kind == "file":
            moment, why = _settled(EPOCH + timedelta(microseconds=modified // 1000), "file", moment, day, zone)
        moments.append(moment)
        if why:
            left_out = "" if moment else "; the image is in no window"
            problems.append(problem("no_time", image_id, why + left_out, source))
    return pd.Series(moments, index=images.index, dtype=TIME)


def _settled(
    own: datetime | None, name: str, by_path: datetime | None, day: str, zone: ZoneInfo
) -> tuple[datetime | None, str]:
    """The time to use of a file's own and its path's, and what is wrong with the file's."""
    if own is None:
        return by_path, f"no {name} time" + ("; the path's is used" if by_path else "")
    if not plausible(own):
        return by_path, f"the {name} time {own:%Y-%m-%d %H:%M} cannot be" + ("; the path's is used" if by_path else "")
    bounds = times.day_bounds(day, zone) if day else None
    if bounds and not bounds[0] - DAY_SLACK <= own < bounds[1] + DAY_SLACK:
        return (
            by_path,
            f"the {name} time {own:%Y-%m-%d %H:%M} UTC is more than a day off the path's {day}; the path's is used",
        )
    return own, ""


def _exif_moment(head: Header, zone: ZoneInfo) -> datetime | None:
    if head.exif_time is None or not plausible(head.exif_time):
        return None
    if head.exif_offset is not None:
        return (head.exif_time - head.exif_offset).replace(tzinfo=UTC)
    return head.exif_time.replace(tzinfo=zone).astimezone(UTC)


def _no_images(config: Config, pattern: Pattern) -> DataError:
    # The deepest folder of the fixed part that exists says most about what is wrong.
    there = next(folder for folder in (pattern.folder, *pattern.folder.parents) if folder.is_dir())
    return DataError(
        "no image matches the pattern", where=f"{config.path}, captures.images: {pattern.text}",
        expected=f"files that match below {pattern.folder}", found=patterns.describe(there),
        remedy="correct captures.images; a * stands for one part of a path, upper and lower case count; or bring the "
        "captures back where they were taken away",
    )  # fmt: skip
