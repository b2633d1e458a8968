"""What is kept of measured images by source and day, and the sums of it: a year or a fleet without reading an image.

One small file of Arrow's for each partition, as Parquet takes 20 times as long to open. A row for each feature: what
`stats/summaries.py` keeps of its numbers or, where it has names, such as damage and file format, how often each came.
"""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cvkit.data import partition_files, stores
from cvkit.data.stores import Store
from cvkit.errors import DataError
from cvkit.stats.summaries import Between, Summary, ks, merged, psi, quantiles, summarise
from cvkit.storage import check_memory, safe_name
from cvkit.tables import PROPERTIES

FOLDER, FILE = "summaries", "summary.arrow"
ROWS, ROWS_FILE = "rows", "images.parquet"
UNUSABLE = (stores.UnreadError, pa.ArrowException, OSError, ValueError)  # what reading a damaged file may raise
log = logging.getLogger(__name__)
NUMBERS = (*PROPERTIES, "width", "height", "bytes")
NAMES = ("damage", "mode", "file_format")
SHARES = (0.05, 0.5, 0.95)  # quantiles that people are shown
READERS = 16  # files read at once: a store answers many as quickly as one
AT_ONCE = 2048  # files held, before they are put together

SCHEMA = pa.schema(
    [
        pa.field("feature", pa.string()), pa.field("count", pa.int64()), pa.field("missing", pa.int64()),
        *(pa.field(name, pa.float64()) for name in ("mean", "squares", "least", "greatest")),
        pa.field("slack", pa.int64()), pa.field("points", pa.list_(pa.float64())),
        pa.field("names", pa.list_(pa.string())), pa.field("weights", pa.list_(pa.int64())),
    ]
)  # fmt: skip


@dataclass(slots=True)
class Group:
    """The images of some sources and days, summed up."""

    name: str  # what they have in common, such as a source or a month; "" of all
    images: int = 0
    partitions: int = 0
    numbers: dict[str, Summary] = field(default_factory=dict)  # by feature
    names: dict[str, Counter[str]] = field(default_factory=dict)  # by feature: how often each


@dataclass(frozen=True, slots=True)
class Row:
    """What people are told of a feature of a group."""

    group: str
    feature: str
    summary: Summary
    quantiles: list[Between]  # of SHARES
    ks: Between | None = None  # against what it is held against
    psi: Between | None = None
    change: float = float("nan")  # of the mean, in standard deviations of what it is held against


def of_rows(table: pa.Table) -> pa.Table:
    """What is kept of a partition's rows."""
    rows = []
    for name in NUMBERS:
        kept = summarise(table[name].to_numpy().astype(float))
        rows.append({"feature": name, "names": [], "points": kept.points, "weights": kept.weights,
                     **{key: getattr(kept, key) for key in SCHEMA.names[1:8]}})  # fmt: skip
    for name in NAMES:
        counts = sorted(Counter(table[name].to_pylist()).items())
        rows.append({"feature": name, "count": len(table), "missing": 0, "slack": 0, "points": [],
                     "names": [key for key, _ in counts], "weights": [count for _, count in counts]})  # fmt: skip
    return pa.Table.from_pylist(rows, SCHEMA)


def groups(
    out: Store, by: str = "", start: date | None = None, end: date | None = None, source: str = ""
) -> list[Group]:
    """The sums of all partitions, by "source", "month", "day" or "" for all in one, sorted by their names.

    Of days from `start` on and before `end` only, undated images among them where neither is given; of one `source`
    where it is named. Raises DataError where nothing was measured there, or neither a summary nor its rows are whole.
    """
    found: dict[str, Group] = {}
    folders: dict[str, list[str]] = {}
    for name, day, folder in places(out):
        if wanted(day, start, end) and (source in ("", name) or folder.startswith(f"source={safe_name(source)}/")):
            folders.setdefault({"source": name, "month": day[:7], "day": day}.get(by, ""), []).append(folder)
    for key in sorted(folders):
        found[key] = _group(out, key, folders[key])
    if not found:
        raise DataError(
            "nothing was measured there", where=f"{out.path}/{FOLDER}", expected="summaries of the days asked for",
            found="none", remedy="run `cvkit images measure` first, or name other days",
        )  # fmt: skip
    return list(found.values())


def rows(found: Sequence[Group], against: Sequence[Group] = ()) -> list[Row]:
    """What people are told of each group and feature; held against the group of `against` with its name, or all."""
    others = {one.name: one for one in against}
    told = []
    for group in found:
        other = others.get(group.name) or others.get("")
        for feature, summary in group.numbers.items():
            row = Row(group.name, feature, summary, quantiles(summary, SHARES))
            if other is not None:
                then = other.numbers[feature]
                with np.errstate(divide="ignore", invalid="ignore"):
                    change = float(np.divide(summary.mean - then.mean, then.sd))
                row = Row(group.name, feature, summary, row.quantiles, ks(summary, then), psi(summary, then), change)
            told.append(row)
    return told


def wanted(day: str, start: date | None, end: date | None) -> bool:
    """Whether a day (ISO, or another word where there is no day) is one of those asked for."""
    if start is None and end is None:
        return True
    return day[:1].isdigit() and (start is None or day >= start.isoformat()) and (end is None or day < end.isoformat())


def places(out: Store) -> Iterator[tuple[str, str, str]]:
    """Source, day and folder of each partition that has rows or a summary, by folder; from their names alone."""
    found = {
        "/".join(day.rstrip("/").split("/")[-2:])
        for kind in (FOLDER, ROWS)
        for source in _below(out, f"{out.path}/{kind}", "source=")
        for day in _below(out, source, "date=")
    }
    for folder in sorted(found):
        source, day = map(_value, folder.split("/"))
        yield unquote(source, errors="surrogateescape"), day, folder


def _value(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2].partition("=")[2]


def _below(out: Store, path: str, prefix: str) -> list[str]:
    try:
        found = stores.patient(lambda: out.fs.ls(path, detail=False))
    except stores.UnreadError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return []
        raise DataError(
            "the summaries cannot be listed", where=path, found=str(error),
            remedy="is --out what `cvkit images measure` wrote to? see to the rights there",
        ) from error  # fmt: skip
    return sorted(one for one in map(str, found) if one.rstrip("/").rpartition("/")[2].startswith(prefix))


def _group(out: Store, key: str, paths: list[str]) -> Group:
    group = Group(key, partitions=len(paths))
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(paths), AT_ONCE):  # so that a fleet's are not all in memory
            tables = pool.map(lambda path: _read(out, path), paths[start : start + AT_ONCE])
            _add(group, [row for table in tables for row in table])
    return group


def _add(group: Group, kept: list[dict[str, Any]]) -> None:
    for feature in NUMBERS:
        parts = [_summary(row) for row in kept if row["feature"] == feature]
        group.numbers[feature] = merged([*([group.numbers[feature]] if feature in group.numbers else []), *parts])
    for row in kept:
        if row["feature"] in NAMES:
            counts = group.names.setdefault(row["feature"], Counter())
            counts.update(dict(zip(row["names"], row["weights"].tolist(), strict=True)))
    group.images = group.names[NAMES[0]].total()


def _summary(row: dict[str, Any]) -> Summary:
    return Summary(**{key: row[key] for key in SCHEMA.names[1:8]}, points=row["points"], weights=row["weights"])


def checked(table: pa.Table) -> pa.Table:
    """A summary that was read, as `of_rows` makes it. Raises ArrowInvalid where it is none."""
    table.validate(full=True)
    if table.schema.remove_metadata() != SCHEMA or table["feature"].to_pylist() != [*NUMBERS, *NAMES]:
        raise pa.ArrowInvalid("other columns or features than cvkit writes")
    lists = {name: table[name].combine_chunks() for name in ("points", "names", "weights")}
    numbers = table.slice(0, len(NUMBERS))  # names have no mean
    given = [*(numbers[name] for name in SCHEMA.names), *(table[name] for name in ("count", "missing", *lists))]
    if any(one.null_count for one in [*given, *(one.values for one in lists.values())]):
        raise pa.ArrowInvalid("values are missing")
    if not (_of_lists(lists, table["count"].to_numpy()) and _of_numbers(numbers)):
        raise pa.ArrowInvalid("numbers that do not go together")
    return table


def _of_lists(lists: dict[str, Any], counts: NDArray[np.int64]) -> bool:
    """Whether there is a point or a name for each weight, points ascend, and weights add up to what was counted."""
    ends = {name: one.offsets.to_numpy().astype(int) for name, one in lists.items()}
    points, weights = (lists[name].values.to_numpy(zero_copy_only=False) for name in ("points", "weights"))
    sizes = {name: np.diff(one) for name, one in ends.items()}
    sums = np.diff(np.concatenate([[0], np.cumsum(weights)])[ends["weights"]])
    first = np.zeros(len(points) + 1, bool)
    first[ends["points"]] = True
    ascending = (np.diff(points) > 0) | first[1:-1]
    paired = np.array_equal(sizes["points"] + sizes["names"], sizes["weights"])
    return bool(paired and np.array_equal(sums, counts) and np.all(weights > 0) and np.all(ascending)
                and np.isfinite(points).all())  # fmt: skip


def _of_numbers(numbers: pa.Table) -> bool:
    """Whether counts, squares and extremes can be those of some numbers."""
    told = {name: numbers[name].to_numpy() for name in SCHEMA.names[1:8]}
    some, counts = told["count"] > 0, told["count"]
    finite = all(np.isfinite(told[name][some]).all() for name in ("mean", "squares", "least", "greatest"))
    bounded = np.all(told["least"][some] <= told["greatest"][some]) and np.all(told["slack"] <= counts)
    return bool(finite and bounded and all(np.all(told[name] >= 0) for name in ("missing", "squares", "slack")))


def _unpacked(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a summary, lists of numbers as arrays: of a fleet there are millions."""
    plain: list[dict[str, Any]] = table.drop_columns(["points", "weights"]).to_pylist()
    for name in ("points", "weights"):
        column = table[name].combine_chunks()
        values, ends = column.values.to_numpy(zero_copy_only=False), column.offsets.to_numpy()
        for number, row in enumerate(plain):
            row[name] = values[ends[number] : ends[number + 1]]
    return plain


def _parsed(content: bytes) -> pa.Table:
    alone = pa.ipc.IpcReadOptions(use_threads=False)
    return checked(pa.ipc.open_file(pa.BufferReader(content), options=alone).read_all())


def is_summary(content: bytes) -> bool:
    """Whether bytes are a summary as `of_rows` makes it."""
    try:
        _parsed(content)
    except UNUSABLE as error:
        _no_lack_of_memory(error)
        return False
    return True


def _read(out: Store, folder: str) -> list[dict[str, Any]]:
    """What is kept of a partition: its summary, or where that is gone or damaged its rows, summed up once more."""
    try:
        return _unpacked(_whole(out, f"{FOLDER}/{folder}/{FILE}", _parsed))
    except UNUSABLE as error:
        _no_lack_of_memory(error)
        found = str(error)[:200]
    try:
        kept = _unpacked(_whole(out, f"{ROWS}/{folder}/{ROWS_FILE}", _summed_up))
    except UNUSABLE as error:
        _no_lack_of_memory(error)
        raise DataError(
            "a summary cannot be read", where=f"{out.path}/{FOLDER}/{folder}/{FILE}", found=found,
            remedy="run `cvkit images measure` once more: what is missing or damaged is made again of its images. "
                   "Where they are gone, delete this folder, and that of its rows",
        ) from error  # fmt: skip
    log.warning("%s: the summary cannot be read (%s); its rows are summed up once more", folder, found)
    return kept


def _no_lack_of_memory(error: Exception) -> None:
    if not isinstance(error, MemoryError):  # a few kB that ask for more than there is are no summary
        check_memory(error)


def _whole(out: Store, name: str, read: Callable[[bytes], pa.Table]) -> pa.Table:
    content: bytes = stores.patient(lambda: out.fs.cat_file(f"{out.path}/{name}"))
    written = partition_files.about(content, name).get(partition_files.NAME)
    table = read(content)
    if written != name.encode():
        raise pa.ArrowInvalid("it was written to another place")
    return table


def _summed_up(content: bytes) -> pa.Table:
    import pyarrow.parquet as pq

    return of_rows(pq.ParquetFile(io.BytesIO(content)).read([*NUMBERS, *NAMES], use_threads=False))
