"""The images of a workspace summed up, day by day and source by source, out of what is known of them already.

That is what recorders wrote and what runs kept of files: no image is read, listed or asked for, so images that were
deleted since count too. Rows of the days come by and are summed up some at a time, so that a fleet's years never are
in memory.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from cvkit.config import Config
from cvkit.data import features, summed
from cvkit.data.recorder_files import MADE, source_folder
from cvkit.data.sources import captures, listing, parquet_files, recorded
from cvkit.data.sources.times import as_date
from cvkit.data.summed import NAMES, NUMBERS, Group
from cvkit.errors import DataError
from cvkit.stats import summaries
from cvkit.stats.arrays import Floats
from cvkit.stats.summaries import EMPTY, POINTS, merged, summarise
from cvkit.storage import check_memory
from cvkit.tables import Window

log = logging.getLogger(__name__)

HELD = 1 << 17  # rows in memory, before they are summed up
SHARED = 1 << 21  # values kept of a feature, over all groups: 32 MB
UNDATED = "undated"  # the folder of images that no time is known of


@dataclass(slots=True)
class _Sums:
    """The groups so far, and rows that wait to be summed up."""

    groups: dict[str, Group] = field(default_factory=dict)
    waiting: dict[str, list[Floats]] = field(default_factory=dict)  # (n, NUMBERS)
    held: int = 0

    def add(self, key: str, partitions: int, numbers: Floats, names: NDArray[np.object_]) -> None:
        """Rows of a day, (n, NUMBERS) and (n, NAMES), of so many sources."""
        group = self.groups.setdefault(key, Group(key, numbers=dict.fromkeys(NUMBERS, EMPTY)))
        group.images, group.partitions = group.images + len(numbers), group.partitions + partitions
        for name, told in zip(NAMES, names.T, strict=True):
            group.names.setdefault(name, Counter()).update(told.tolist())
        self.waiting.setdefault(key, []).append(numbers)
        self.held += len(numbers)
        if self.held >= HELD:
            self.sum_up()

    def sum_up(self) -> None:
        """Put the rows that wait to those summed up, and thin what has become more than its share."""
        share = max(POINTS, SHARED // max(1, len(self.groups)))
        # Halved only where groups have doubled: each thinning costs some of the exactness.
        most = min(summaries.LIMIT, 1 << share.bit_length() - 1)
        for key, group in self.groups.items():
            new = np.concatenate([np.empty((0, len(NUMBERS))), *self.waiting.pop(key, [])])
            for place, (name, kept) in enumerate(group.numbers.items()):
                if len(new) or kept.points.size > most:
                    group.numbers[name] = merged([kept, summarise(new[:, place], most)], most)
        self.held = 0


def groups(
    config: Config, by: str = "", start: date | None = None, end: date | None = None, source: str = ""
) -> tuple[list[Group], dict[str, str]]:
    """The sums of all that is known of a workspace's images, as `summed.groups` has them, and files left out, with why.

    Days are UTC's, as windows are; images without a time count where neither `start` nor `end` is given. Of an image
    that a recorder and a run tell of, the run's numbers count. Raises DataError where nothing is known.
    """
    sums, wrong = _Sums(), dict[str, str]()
    for day in sorted(_days(config)):
        if not summed.wanted(day, start, end):
            continue
        rows = _known(config, day, source, wrong)
        numbers, words = rows[list(NUMBERS)].to_numpy(float), rows[list(NAMES)].to_numpy(object)
        names, whose = np.unique(rows["source"].to_numpy(object).astype(str), return_inverse=True)
        if by == "source":
            for place, name in enumerate(names.tolist()):
                sums.add(name, 1, numbers[whose == place], words[whose == place])
        elif len(rows):
            sums.add({"month": day[:7], "day": day}.get(by, ""), len(names), numbers, words)
    sums.sum_up()
    if not sums.groups:
        raise DataError(
            "nothing is known of such images", where=str(config.workspace),
            expected="images of the days and source asked for, recorded or measured by `cvkit run`",
            found=f"{len(wrong)} files that cannot be read" if wrong else "none",
            remedy="run `cvkit run` first (after a restore with --from: what is known of images is in no backup), name "
                   "other days or another source, or name --out",
        )  # fmt: skip
    return [sums.groups[key] for key in sorted(sums.groups)], wrong


def _cache(config: Config) -> Path:
    return config.workspace / "features" / features.VERSION


def _days(config: Config) -> set[str]:
    """The UTC days of which anything is known, and UNDATED."""
    place = _cache(config)
    names = [one.name for one in place.iterdir()] if place.is_dir() else []
    kept = {name for name in names if as_date(name) or name == UNDATED}
    return kept | {day.isoformat() for day in recorded.days(config)}


def _known(config: Config, day: str, source: str, wrong: dict[str, str]) -> pd.DataFrame:
    """Rows of a day: `source`, NUMBERS and NAMES."""
    kept = _kept(_cache(config) / day, source, wrong)
    if day == UNDATED:
        return kept
    frames, problems = recorded.measured(config, Window.day(day), source)
    wrong.update((problem["image_id"], problem["detail"]) for problem in problems)
    named = frames["frame"].eq("") & ~frames["image_id"].str.startswith(MADE)
    if named.any():  # frames that are files: a run has measured them in the window of their own time
        root = captures.id_root(config, captures.images_pattern(config))
        ids = frames["image_id"].map(lambda path: listing.image_id(path, root))
        frames = frames[~(named & ids.isin(_measured_about(config, day)))]
    frames = frames.assign(bytes=float("nan"), **dict.fromkeys(NAMES, ""))[kept.columns]
    return pd.concat([one for one in (kept, frames) if len(one)] or [kept], ignore_index=True)


def _kept(place: Path, source: str, wrong: dict[str, str]) -> pd.DataFrame:
    """What runs kept of the files of a day."""
    tables = []
    for file in sorted(place.glob(f"{source_folder(source) if source else 'source=*'}.parquet")):
        try:
            rows = parquet_files.read(file, [*NUMBERS, *NAMES]).to_pandas()
        except (OSError, pa.ArrowException, ValueError) as error:
            check_memory(error)
            wrong[str(file)] = f"{file}: not what a run keeps: {error}"
            continue
        name = unquote(file.stem.removeprefix("source="), errors="surrogateescape")
        tables.append(rows.assign(source=name))
    columns = ["source", *NUMBERS, *NAMES]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _measured_about(config: Config, day: str) -> set[str]:
    """Ids of the files that runs measured on a day and those beside it, where a frame's file may be."""
    found = set[str]()
    for place in _about(config, day):
        for file in place.glob("source=*.parquet"):
            try:
                found.update(parquet_files.read(file, ["image_id"])["image_id"].to_pylist())
            except (OSError, pa.ArrowException, ValueError) as error:
                check_memory(error)
                log.debug("%s cannot be read, which is told where its day is", file)
    return found


def _about(config: Config, day: str) -> Iterator[Path]:
    middle = date.fromisoformat(day)
    for number in (-1, 0, 1):
        yield _cache(config) / date.fromordinal(middle.toordinal() + number).isoformat()
