"""Images of a store, measured into partitioned Parquet: a file for each source and day, the same bytes each time.

`rows/source=NAME/date=DAY/images.parquet` has a row for each image, `summaries/source=NAME/date=DAY/summary.arrow`
what `data/summed.py` makes of these rows. A file appears whole or not at all, and names the images that it is about by
a digest, and has a sum of its bytes: one that is there and whole is not made again. What is in it follows from the
images alone, so that it does not matter who made it, how often they were interrupted, and what went wrong on the way.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cvkit.data import engine, images, measuring, partition_files, stores, summed
from cvkit.data.features import VERSION
from cvkit.data.headers import NOT_GIVEN
from cvkit.data.isolation import LIMIT_S, Lost, Work
from cvkit.data.objects import Captures, Listed, Partition
from cvkit.data.sources.said import clean
from cvkit.data.stores import Store
from cvkit.errors import ConfigError
from cvkit.storage import lock, safe_name

if TYPE_CHECKING:
    from cvkit.config import Config

log = logging.getLogger(__name__)

CHUNK = 64  # images that a worker is given at a time; with embeddings part of what is measured, as batches are
DIGEST, DEFINITION = b"cvkit.images", b"cvkit.features"  # in a file's metadata
THREADS = 16  # partitions listed, and written, at once
FACTS = [one.name for one in fields(images.ImageFacts)]
TEXTS = ("content", "mode", "file_format", "damage", "damage_detail")
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()), pa.field("time", pa.timestamp("us", "UTC")), pa.field("bytes", pa.int64()),
        *(pa.field(n, pa.string() if n in TEXTS else pa.uint64() if n == "dhash" else pa.float64()) for n in FACTS),
    ]
)  # fmt: skip


# A partition, its images, and why it is to be made: None where it is there and whole, "" where it is not there.
Looked = tuple[Partition, list[Listed], str | None]
# Of a partition: images, damaged ones, those that ended their processes, those that the store did not give.
_Done = tuple[int, int, list[str], list[str]]


@dataclass(slots=True)
class Outcome:
    """What became of the images."""

    made: int = 0  # partitions
    kept: int = 0  # partitions that were there and whole
    empty: int = 0  # folders of the pattern without an image
    again: Counter[str] = field(default_factory=Counter)  # of those made: that were there and whole, by why
    folders: set[str] = field(default_factory=set)  # of all partitions with images
    images: int = 0  # of those made
    damaged: int = 0  # of those made
    lost: list[str] = field(default_factory=list)  # images that ended each process which worked on them
    ungiven: list[str] = field(default_factory=list)  # images that the store did not give: they are due again
    unlisted: dict[str, str] = field(default_factory=dict)  # folders that could not be listed, and why

    @property
    def partitions(self) -> int:
        """Those that are done with."""
        return self.made + self.kept + self.empty

    def add(self, done: _Done) -> None:
        """Count a partition that was made."""
        images, damaged, lost, ungiven = done
        self.made += 1
        self.images += images
        self.damaged += damaged
        self.lost += lost
        self.ungiven += ungiven


@dataclass(slots=True)
class _Open:
    """A partition at work: its images, and the results that are there, by chunk."""

    partition: Partition
    images: list[Listed]
    results: dict[int, list[Any]] = field(default_factory=dict)

    @property
    def chunks(self) -> int:
        return -(-len(self.images) // CHUNK)


def measure(
    captures: Captures,
    out: Store,
    *,
    engine_address: str = engine.LOCAL,
    workers: int = 0,
    limit_s: float = LIMIT_S,
    embedder: Config | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Measure all images of `captures` into `out`, with the embeddings of `embedder`'s model where it is given.

    `engine_address`, `workers`, `limit_s`: as in `engine.run`. `progress` is told of partitions. Raises DataError
    where there is no folder of images, StorageError where `out` cannot be written, BusyError where another process
    writes it, and what the engine raises.
    """
    engine.check_address(engine_address)
    work: Work = functools.partial(measuring.of_objects, captures.store)
    if embedder is not None:
        work = functools.partial(measuring.embedded, embedder, captures.store)
        limit_s *= CHUNK  # nothing is known of a chunk before all of it is embedded
    outcome, owners = Outcome(unlisted=captures.unlisted), dict[int, tuple[_Open, int]]()
    writing: deque[Future[_Done]] = deque()
    with ExitStack() as held:
        if out.local:
            held.enter_context(lock(Path(out.path) / ".lock", "measuring into this folder"))
        partitions = captures.partitions()
        pool = held.enter_context(ThreadPoolExecutor(THREADS))
        found = _ahead(pool, functools.partial(_look, captures, out, embedder), partitions)
        chunks = _chunks(captures, found, outcome, owners)
        for number, results in engine.run(work, chunks, engine=engine_address, workers=workers, limit_s=limit_s):
            opened, position = owners.pop(number)
            opened.results[position] = results
            if len(opened.results) == opened.chunks:
                writing.append(pool.submit(_finish, captures, out, opened, embedder))
            while len(writing) > THREADS or (writing and writing[0].done()):
                outcome.add(writing.popleft().result())
            progress(outcome.partitions, len(partitions))
        while writing:
            outcome.add(writing.popleft().result())
            progress(outcome.partitions, len(partitions))
    outcome.lost.sort()
    outcome.ungiven.sort()
    return outcome


def _ahead(pool: Executor, work: Callable[[Partition], Looked], partitions: list[Partition]) -> Iterator[Looked]:
    """What `work` says of each partition, in their order, asked a few partitions ahead: stores take their time."""
    waiting: deque[Future[Looked]] = deque()
    for partition in partitions:
        waiting.append(pool.submit(work, partition))
        if len(waiting) >= THREADS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _look(captures: Captures, out: Store, embedder: Config | None, partition: Partition) -> Looked:
    """The images of a partition, and why it is to be made; a summary alone is made again here."""
    found = captures.images(partition)
    if not found:
        return partition, found, ""
    if quoted := sum(clean(one.path) != one.path for one in found):
        log.warning(
            "%s, %s: paths of %d of %d images are not UTF-8; what is not is quoted, as \\udcff of the byte ff",
            partition.source, partition.date, quoted, len(found),
        )  # fmt: skip
    named = _named(captures, found, embedder)
    if (there := partition_files.whole(out, rows_path(partition))) is None:
        return partition, found, ""
    rows, about = there
    model = b"" if embedder else about.get(DEFINITION, b"").partition(b" ")[2]
    if model:
        named[DEFINITION] += b" " + model  # its column is kept: nobody asked for it to go
    if why := _changed(captures, partition, found, there, named):
        return partition, found, f"{why}, without the embeddings they had (no --embeddings)" if model else why
    summary = partition_files.kept(out, summary_path(partition), named)
    if not (summary and summed.is_summary(summary)):
        _sum_up(out, partition, pq.read_table(pa.BufferReader(rows), columns=[*SCHEMA.names]), named)
    return partition, found, None


def _changed(
    captures: Captures, partition: Partition, found: list[Listed], there: tuple[bytes, dict[bytes, bytes]],
    named: dict[bytes, bytes],
) -> str:  # fmt: skip
    """What has changed since a partition's rows were written, in words; "" where nothing has.

    No digest has the zone of the times: a zone that gives the same times is no change, and another one is found in
    files of every age.
    """
    rows, about = there
    if about.get(DIGEST) != named[DIGEST]:
        return "their images have changed, or did not come from the store before"
    if about.get(DEFINITION) != named[DEFINITION]:
        return "what is measured, or the model of the embeddings, has changed"
    if any(one.clock for one in found):
        times = pq.read_table(pa.BufferReader(rows), columns=["time"])["time"]
        if not times.combine_chunks().equals(_times(captures, partition, found)):
            return "--time-zone gives their images other times"
    return ""


def _times(captures: Captures, partition: Partition, found: list[Listed]) -> pa.Array:
    return pa.array((captures.moment(partition.date, one.clock) for one in found), SCHEMA.field("time").type)


def _chunks(
    captures: Captures, looked: Iterator[Looked], outcome: Outcome, owners: dict[int, tuple[_Open, int]]
) -> Iterator[Sequence[stores.Item]]:
    """The chunks of all partitions that have to be made; `owners` is told whose each is."""
    number = 0
    for partition, found, why in looked:
        if not found:
            outcome.empty += 1
            continue
        outcome.folders.add(folder_of(partition))
        if why is None:
            outcome.kept += 1
            continue
        outcome.again.update([why] if why else [])
        opened = _Open(partition, found)
        for position in range(opened.chunks):
            owners[number] = opened, position
            number += 1
            yield [captures.item(one) for one in found[position * CHUNK : (position + 1) * CHUNK]]


def _finish(captures: Captures, out: Store, opened: _Open, embedder: Config | None) -> _Done:
    lost: list[str] = []
    table = _table(captures, opened, embedder is not None, lost)
    named = _named(captures, opened.images, embedder)
    told = zip(table["image_id"].to_pylist(), table["damage_detail"].to_pylist(), strict=True)
    if ungiven := [image_id for image_id, detail in told if detail.startswith(NOT_GIVEN)]:
        named[DIGEST] = b""  # about none of the images for good: the partition is made again
    partition_files.write(out, rows_path(opened.partition), table.replace_schema_metadata(named))
    _sum_up(out, opened.partition, table, named)
    return len(table), len(table) - table["damage"].to_pylist().count(""), lost, ungiven


def _sum_up(out: Store, partition: Partition, table: pa.Table, named: dict[bytes, bytes]) -> None:
    partition_files.write(out, summary_path(partition), summed.of_rows(table).replace_schema_metadata(named))


def rows_path(partition: Partition) -> str:
    """Where a partition's rows lie, below the folder of all."""
    return f"{summed.ROWS}/{folder_of(partition)}/{summed.ROWS_FILE}"


def summary_path(partition: Partition) -> str:
    """Where what is kept of a partition's numbers lies."""
    return f"{summed.FOLDER}/{folder_of(partition)}/{summed.FILE}"


def folder_of(partition: Partition) -> str:
    """The part of a path that names a partition, as Hive, Spark, DuckDB and pyarrow read it."""
    return f"source={safe_name(partition.source)}/date={partition.date}"


def _named(captures: Captures, found: list[Listed], embedder: Config | None) -> dict[bytes, bytes]:
    """What a partition's file is made from: the images, the definition of the features, the model."""
    definition = VERSION if embedder is None else f"{VERSION} {embedder.version} {embedder.model.image_size}"
    return {DIGEST: captures.digest(found).encode(), DEFINITION: definition.encode()}


def _table(captures: Captures, opened: _Open, embeds: bool, lost: list[str]) -> pa.Table:
    """The rows of a partition, in the order of its images' paths."""
    facts, vectors = [], []
    results = (one for position in range(opened.chunks) for one in opened.results[position])
    for listed, result in zip(opened.images, results, strict=True):
        if isinstance(result, Lost):
            lost.append(captures.image_id(listed.path))
            fact, vector = measuring.lost(result), None
        else:
            fact, vector = result if embeds else (result, None)
        facts.append(fact)
        vectors.append(None if vector is None else np.frombuffer(vector, np.float32))
    columns = dict(zip(FACTS, zip(*facts, strict=True), strict=True))
    columns["image_id"] = tuple(captures.image_id(one.path) for one in opened.images)
    columns["time"] = _times(captures, opened.partition, opened.images)
    columns["bytes"] = tuple(one.size or 0 for one in opened.images)
    table = pa.table({name: pa.array(columns[name], SCHEMA.field(name).type) for name in SCHEMA.names}, SCHEMA)
    return table.append_column("embedding", pa.array(vectors, pa.list_(pa.float32()))) if embeds else table


def others(out: Store, folders: set[str]) -> list[str]:
    """The partitions in `out` that are none of `folders`, sorted. Raises DataError where they cannot be listed.

    Days are listed by source, and no file: a request or two a source.
    """
    return [folder for _, _, folder in summed.places(out) if folder not in folders]


def open_out(url: str) -> Store:
    """The store to write to. Raises ConfigError for one that is not known, or where nothing can be written."""
    store = stores.open_store(url, "--out")
    if store.protocol in ("http", "https", "data", "github"):
        raise ConfigError("nothing can be written there", where=f"--out {url}", remedy="name a folder or a bucket")
    return store
