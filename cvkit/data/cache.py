"""What was computed from an image is kept until the image changes: Parquet by date and source."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from cvkit.storage import DamagedError, read_parquet, safe_name, write_parquet

log = logging.getLogger(__name__)

KEY = ["image_id", "bytes", "modified_ns"]  # another file under the same name is another image


def by_image(
    folder: Path,
    images: pd.DataFrame,
    compute: Callable[[pd.DataFrame], pd.DataFrame],
    columns: Sequence[str],
    chunk: int = 2000,
    lasts: Callable[[pd.DataFrame], pd.Series] = lambda rows: pd.Series(True, index=rows.index),
    since: Mapping[str, Any] = MappingProxyType({}),
) -> pd.DataFrame:
    """Rows for `images` (table IMAGES): from the cache in `folder`, else from `compute` and kept.

    `compute` gets some rows of `images` and gives at most one row per image, `image_id` and `columns`. It is called
    with at most `chunk` images at a time and each answer is written before the next call: a kill loses one chunk. All
    of a date and source is in one call, or in calls of its own where it has more: what a kill leaves is parted alike.
    Rows that do not last, as of a store that could not be read, are answered and not kept. The answer has the rows of
    `images` that have one, in the order of `images`, without duplicates. `since` are columns that earlier versions did
    not write, with what they are of their rows.
    """
    wanted = {*KEY, *columns}
    known = [
        group[KEY].merge(old, on=KEY)
        for path, group in _parts(folder, images)
        if len(old := _read(path, wanted, since))
    ]
    found = pd.concat(known, ignore_index=True) if known else pd.DataFrame(columns=KEY)
    missing = images[~images["image_id"].isin(found["image_id"])]
    for part in _chunks(folder, missing, chunk):
        made = part[KEY].merge(compute(part), on="image_id")
        if made.empty:
            continue
        for path, group in _parts(folder, part):
            rows = made[made["image_id"].isin(group["image_id"]) & lasts(made)]
            if rows.empty:
                continue
            old = _read(path, wanted, since)
            kept = old[~old["image_id"].isin(rows["image_id"])] if len(old) else old
            write_parquet(pd.concat([kept, rows], ignore_index=True) if len(kept) else rows, path)
        found = pd.concat([found, made], ignore_index=True) if len(found) else made
    return images[["image_id"]].merge(found.reindex(columns=["image_id", *columns]), on="image_id")


def _chunks(folder: Path, images: pd.DataFrame, size: int) -> Iterator[pd.DataFrame]:
    """`images` in parts of at most `size`: some dates and sources as a whole, or a part of one."""
    waiting: list[pd.DataFrame] = []
    for _, group in _parts(folder, images):
        if sum(map(len, waiting)) + len(group) > size and waiting:
            yield pd.concat(waiting)
            waiting = []
        if len(group) > size:
            yield from (group.iloc[start : start + size] for start in range(0, len(group), size))
        else:
            waiting.append(group)
    if waiting:
        yield pd.concat(waiting)


def _parts(folder: Path, images: pd.DataFrame) -> Iterator[tuple[Path, pd.DataFrame]]:
    """The cache file of each date and source, with the images it is about."""
    dates = images["time"].dt.strftime("%Y-%m-%d").fillna("undated")
    for (date, source), group in images.groupby([dates, images["source"]], sort=True):
        yield folder / str(date) / f"source={safe_name(str(source))}.parquet", group


def _read(path: Path, columns: Set[str], since: Mapping[str, Any]) -> pd.DataFrame:
    """One cache file; nothing where there is none, or where it is damaged or another's: a cache can be made again."""
    if not path.exists():
        return pd.DataFrame(columns=KEY)
    try:
        table = read_parquet(path)
    except DamagedError as error:
        log.warning("%s is damaged (%s) and is made again", path, error)
        return pd.DataFrame(columns=KEY)
    table = table.assign(**{name: value for name, value in since.items() if name not in table})
    if set(table.columns) != columns:
        log.warning("%s has other columns than cvkit writes and is made again", path)
        return pd.DataFrame(columns=KEY)
    return table
