"""Captures: the images production took, with the predictions and labels that came with them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from cvkit.config import Config
from cvkit.data.headers import Header
from cvkit.data.records import Records
from cvkit.data.sources import listing, patterns, times
from cvkit.data.sources import told as told_by
from cvkit.data.sources.classes import by_id_or_name, class_names
from cvkit.data.sources.patterns import Pattern, compile_pattern
from cvkit.data.sources.said import clean, problem
from cvkit.errors import ConfigError, DataError
from cvkit.tables import TIME, Window

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A clock or a file's time may differ this much from the day in the path, for night shifts and wrong zones; images
# further off could not be found without opening every image there is, so the path counts for them.
DAY_SLACK = timedelta(days=1)

Problem = dict[str, Any]
Wanted = Callable[[str], bool]


def load_captures(config: Config, window: Window) -> Records:
    """Images taken in `window`, and the predictions and labels that came with them.

    Sources and times are read as `captures` in cvkit.yml says; a window without images gives empty tables. What
    cannot be used becomes a finding. An image whose time nothing tells is in no window, and in the findings of all.
    Sizes are known for images with boxes only.
    Raises ConfigError for a pattern that cannot be, DataError where no image at all matches it.
    """
    pattern = images_pattern(config)
    told = {kind: told_by.told_pattern(config, kind) for kind in told_by.SUFFIXES}
    wanted = _dates_around(window, config)
    undated = any(one is not None and "date" not in one.fields for one in told.values())  # may speak of any image
    problems: list[Problem] = []
    images = _list_images(config, pattern, (lambda date: True) if undated else wanted, problems)
    if images.empty and not patterns.any_match(pattern):
        raise _no_images(config, pattern)
    near = images[images["date"].map(wanted).astype(bool)]
    near = near.assign(time=_image_times(near, config, problems))
    here = near[(near["time"] >= window.start) & (near["time"] < window.end)].reset_index(drop=True)
    said = told_by.read(config, told, images, frozenset(here["image_id"]), wanted)
    classes = class_names(config)
    known = by_id_or_name(classes)
    elsewhere = set(images["image_id"]) - set(here["image_id"]) - set(near.loc[near["time"].isna(), "image_id"])
    records = listing.assemble(
        config, here, (said["predictions"], known), (said["labels"], known),
        [row for row in problems if row["image_id"] not in elsewhere], classes,
    )  # fmt: skip
    log.debug("%s: %d images of %d listed", window, len(here), len(images))
    return records


def capture_days(config: Config) -> tuple[datetime, datetime] | None:
    """First and last time, in UTC, between which there may be captures; None where there are none.

    From the dates of the paths where these have one, and then it is cheap; else from the images' own times.
    """
    pattern = images_pattern(config)
    days: list[str] = []
    if "date" in pattern.fields:
        days = [day for day in patterns.dates(pattern) if times.as_date(day)]
        bounds = [bound for day in days if (bound := times.day_bounds(day, ZoneInfo(config.captures.time_zone)))]
        if config.captures.time_from == "path" or not bounds:
            return (min(start for start, _ in bounds), max(end for _, end in bounds)) if bounds else None
        in_order = sorted(days, key=lambda day: day.replace("-", ""))
        days = [in_order[0], in_order[-1]]  # the only ones whose images may lie outside of the others' days
    images = _list_images(config, pattern, lambda date: not days or date in days, [])
    known = _image_times(images, config, []).dropna()
    if known.empty:
        return None
    first, last = known.min().to_pydatetime(), known.max().to_pydatetime() + timedelta(microseconds=1)
    if days:
        first, last = min(first, *(start for start, _ in bounds)), max(last, *(end for _, end in bounds))
    return first, last


def images_pattern(config: Config) -> Pattern:
    """`captures.images`, taken apart. Raises ConfigError where times shall come from paths that have no {date}."""
    pattern = compile_pattern(config.captures.images, config.workspace, "captures.images")
    if config.captures.time_from == "path" and "date" not in pattern.fields:
        raise ConfigError(
            "the images' times cannot be read from their paths", where=f"{config.path}, captures",
            expected="{date} in captures.images", found=config.captures.images,
            remedy="put {date} where the paths have it, or set captures.time_from to exif or file",
        )  # fmt: skip
    return pattern


def _dates_around(window: Window, config: Config) -> Wanted:
    """Whether images of a path's {date} may lie in `window`; text that is no date, or none, may."""
    zone = ZoneInfo(config.captures.time_zone)
    slack = timedelta() if config.captures.time_from == "path" else DAY_SLACK
    first, last = window.start - slack, window.end + slack
    # A {time} that names its own zone shifts an image by up to 14 hours from the local day, west or east.
    if "{time}" in config.captures.images:
        first, last = first - timedelta(days=1), last + timedelta(days=1)
    known: dict[str, bool] = {}

    def wanted(day: str) -> bool:
        if day not in known:
            bounds = times.day_bounds(day, zone) if day else None
            known[day] = bounds is None or (bounds[0] < last and bounds[1] > first)
        return known[day]

    return wanted


def _index_scope(pattern: Pattern, told: dict[str, Pattern | None], wanted: Wanted) -> Wanted:
    """Which dates to list images of: all where a file without {date} may speak of any image."""
    undated = any(one is not None and "date" not in one.fields for one in told.values())
    return (lambda date: True) if undated else wanted


def _list_images(config: Config, pattern: Pattern, wanted: Wanted, problems: list[Problem]) -> pd.DataFrame:
    """Images that match, with what their paths say."""
    unlisted: list[tuple[str, str]] = []
    found = patterns.matching(pattern, wanted, unlisted)
    if not Path(pattern.text).suffix or pattern.text.endswith("*"):  # then the pattern does not say what is an image
        found = [file for file in found if patterns.is_image(file.path)]
    root = id_root(config, pattern)
    good = [file for file in found if clean(file.path) == file.path]
    problems += [
        problem("bad_record", listing.image_id(file.path, root), "the file's name is not UTF-8; rename it", file.source)
        for file in found
        if clean(file.path) != file.path
    ]
    problems += [problem("bad_record", folder, f"the folder cannot be listed: {why}") for folder, why in unlisted]
    return listing.image_table(good, (listing.image_id(file.path, root) for file in good))


def id_root(config: Config, pattern: Pattern) -> Path:
    """What image ids are seen from: the workspace, or the pattern's fixed folder where that lies elsewhere."""
    return config.workspace if pattern.folder.is_relative_to(config.workspace) else pattern.folder


def _image_times(images: pd.DataFrame, config: Config, problems: list[Problem]) -> pd.Series:
    """The UTC time of each image, NaT where nothing tells it; every doubt becomes a finding."""
    zone, kind = ZoneInfo(config.captures.time_zone), config.captures.time_from
    heads: list[Header] = listing.headers(images["path"].tolist(), config) if kind == "exif" else []
    moments = []
    for number, (image_id, source, date, clock, modified) in enumerate(
        zip(*(images[name] for name in ("image_id", "source", "date", "clock", "modified_ns")), strict=True)
    ):
        moment, why = times.moment(date, clock, zone) if date else (None, "")
        if kind == "exif":
            moment, why = _settled(_exif_moment(heads[number], zone), "EXIF", moment, date, zone)
        elif kind == "file":
            moment, why = _settled(EPOCH + timedelta(microseconds=modified // 1000), "file", moment, date, zone)
        moments.append(moment)
        if why:
            left_out = "" if moment else "; the image is in no window"
            problems.append(problem("no_time", image_id, why + left_out, source))
    return pd.Series(moments, index=images.index, dtype=TIME)


def _settled(
    own: datetime | None, name: str, by_path: datetime | None, date: str, zone: ZoneInfo
) -> tuple[datetime | None, str]:
    """The time to use of a file's own and its path's, and what is wrong with the file's."""
    if own is None:
        return by_path, f"no {name} time" + ("; the path's is used" if by_path else "")
    bounds = times.day_bounds(date, zone) if date else None
    if bounds and not bounds[0] - DAY_SLACK <= own < bounds[1] + DAY_SLACK:
        return by_path, f"the {name} time {own:%Y-%m-%d %H:%M} UTC is more than a day off the path's {date}; the path's is used"
    return own, ""


def _exif_moment(head: Header, zone: ZoneInfo) -> datetime | None:
    if head.exif_time is None:
        return None
    if head.exif_offset is not None:
        return times.to_utc((head.exif_time - head.exif_offset).replace(tzinfo=UTC))
    return times.to_utc(head.exif_time.replace(tzinfo=zone))


def _no_images(config: Config, pattern: Pattern) -> DataError:
    # The deepest folder of the fixed part that exists says most about what is wrong.
    there = next(folder for folder in (pattern.folder, *pattern.folder.parents) if folder.is_dir())
    return DataError(
        "no image matches the pattern", where=f"{config.path}, captures.images: {pattern.text}",
        expected=f"files that match below {pattern.folder}", found=patterns.describe(there),
        remedy="correct captures.images; a * stands for one part of a path, upper and lower case count",
    )  # fmt: skip
