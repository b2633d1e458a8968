"""Images of a store, measured into partitioned Parquet: a file for each source and day, the same bytes each time.

`rows/source=NAME/date=DAY/images.parquet` has a row for each image, `summaries/source=NAME/date=DAY/summary.arrow`
what `data/summed.py` makes of these rows. A file appears whole or not at all, and names the images that it is about by
a digest: one that is there and whole is not made again. What is in it follows from the
images alone, so that it does not matter who made it, how often they were interrupted, and what went wrong on the way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cvkit.data import engine, images, measuring, partition_files, stores, summed
from cvkit.data.features import VERSION
from cvkit.data.isolation import LIMIT_S, Lost, Work
from cvkit.data.objects import Captures, Listed, Partition
from cvkit.data.stores import Store
from cvkit.errors import ConfigError
from cvkit.storage import lock, safe_name

if TYPE_CHECKING:
    from cvkit.config import Config

CHUNK = 64  # images that a worker is given at a time; with embeddings part of what is measured, as batches are
DIGEST, DEFINITION = b"cvkit.images", b"cvkit.features"  # in a file's metadata
FACTS = [one.name for one in fields(images.ImageFacts)]
TEXTS = ("content", "mode", "file_format", "damage", "damage_detail")
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()), pa.field("time", pa.timestamp("us", "UTC")), pa.field("bytes", pa.int64()),
        *(pa.field(n, pa.string() if n in TEXTS else pa.uint64() if n == "dhash" else pa.float64()) for n in FACTS),
    ]
)  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What became of the images."""

    made: int = 0  # partitions
    kept: int = 0  # partitions that were there and whole
    empty: int = 0  # folders of the pattern without an image
    images: int = 0  # of those made
    damaged: int = 0  # of those made
    lost: list[str] = field(default_factory=list)  # images that ended each process which worked on them
    unlisted: dict[str, str] = field(default_factory=dict)  # folders that could not be listed, and why


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
    work: Work = functools.partial(measuring.of_objects, captures.store)
    if embedder is not None:
        work = functools.partial(measuring.embedded, embedder, captures.store)
        limit_s *= CHUNK  # nothing is known of a chunk before all of it is embedded
    outcome, owners = Outcome(unlisted=captures.unlisted), dict[int, tuple[_Open, int]]()
    with ExitStack() as held:
        if out.local:
            held.enter_context(lock(Path(out.path) / ".lock", "measuring into this folder"))
        partitions = captures.partitions()
        chunks = _chunks(captures, out, partitions, embedder, outcome, owners)
        for number, results in engine.run(work, chunks, engine=engine_address, workers=workers, limit_s=limit_s):
            opened, position = owners.pop(number)
            opened.results[position] = results
            if len(opened.results) == opened.chunks:
                _finish(captures, out, opened, embedder, outcome)
            progress(outcome.made + outcome.kept + outcome.empty, len(partitions))
        progress(outcome.made + outcome.kept + outcome.empty, len(partitions))
    return outcome


def _chunks(
    captures: Captures, out: Store, partitions: list[Partition], embedder: Config | None, outcome: Outcome,
    owners: dict[int, tuple[_Open, int]],
) -> Iterator[Sequence[stores.Item]]:  # fmt: skip
    """The chunks of all partitions that have to be made; `owners` is told whose each is."""
    number = 0
    for partition in partitions:
        found = captures.images(partition)
        if not found:
            outcome.empty += 1
            continue
        named = _named(captures, found, embedder)
        if _whole(out, rows_path(partition), named):
            if not _whole(out, summary_path(partition), named):
                _sum_up(out, partition, _read(out, rows_path(partition)), named)
            outcome.kept += 1
            continue
        opened = _Open(partition, found)
        for position in range(opened.chunks):
            owners[number] = opened, position
            number += 1
            yield [captures.item(one) for one in found[position * CHUNK : (position + 1) * CHUNK]]


def _finish(captures: Captures, out: Store, opened: _Open, embedder: Config | None, outcome: Outcome) -> None:
    table = _table(captures, opened, embedder is not None, outcome)
    named = _named(captures, opened.images, embedder)
    partition_files.write(out, rows_path(opened.partition), table.replace_schema_metadata(named))
    _sum_up(out, opened.partition, table, named)
    outcome.made += 1
    outcome.images += len(table)
    outcome.damaged += len(table) - table["damage"].to_pylist().count("")


def _sum_up(out: Store, partition: Partition, table: pa.Table, named: dict[bytes, bytes]) -> None:
    partition_files.write(out, summary_path(partition), summed.of_rows(table).replace_schema_metadata(named))


def _read(out: Store, name: str) -> pa.Table:
    with out.fs.open(f"{out.path}/{name}", "rb") as file:
        return pq.read_table(file, columns=[*SCHEMA.names])


def rows_path(partition: Partition) -> str:
    """Where a partition's rows lie, below the folder of all."""
    return f"rows/{folder_of(partition)}/images.parquet"


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


def _table(captures: Captures, opened: _Open, embeds: bool, outcome: Outcome) -> pa.Table:
    """The rows of a partition, in the order of its images' paths."""
    facts, vectors = [], []
    results = (one for position in range(opened.chunks) for one in opened.results[position])
    for listed, result in zip(opened.images, results, strict=True):
        if isinstance(result, Lost):
            outcome.lost.append(captures.image_id(listed.path))
            fact, vector = measuring.lost(result), None
        else:
            fact, vector = result if embeds else (result, None)
        facts.append(fact)
        vectors.append(None if vector is None else np.frombuffer(vector, np.float32))
    columns = dict(zip(FACTS, zip(*facts, strict=True), strict=True))
    columns["image_id"] = tuple(captures.image_id(one.path) for one in opened.images)
    columns["time"] = tuple(captures.moment(opened.partition.date, one.clock) for one in opened.images)
    columns["bytes"] = tuple(one.size or 0 for one in opened.images)
    table = pa.table({name: pa.array(columns[name], SCHEMA.field(name).type) for name in SCHEMA.names}, SCHEMA)
    return table.append_column("embedding", pa.array(vectors, pa.list_(pa.float32()))) if embeds else table


def _whole(out: Store, name: str, named: dict[bytes, bytes]) -> bool:
    """Whether a file is there, can be read to its end and is about the very images."""
    metadata = partition_files.described(out, name)
    return metadata is not None and {key: metadata.get(key) for key in named} == named


def open_out(url: str) -> Store:
    """The store to write to. Raises ConfigError for one that is not known, or where nothing can be written."""
    store = stores.open_store(url, "--out")
    if store.protocol in ("http", "https", "data", "github"):
        raise ConfigError("nothing can be written there", where=f"--out {url}", remedy="name a folder or a bucket")
    return store
