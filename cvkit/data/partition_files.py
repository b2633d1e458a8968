"""Files of partitions: tables as Parquet or Arrow, whole or not at all, in bytes that follow from the tables alone."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from cvkit.data import stores, summed
from cvkit.data.stores import Store
from cvkit.errors import StorageError
from cvkit.storage import replacing

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

ROW_GROUP = 65_536  # rows


def write(out: Store, name: str, table: pa.Table) -> None:
    """Write a table, whole or not at all, in bytes that follow from it alone. Raises StorageError."""
    content = _parquet(table) if name.endswith(".parquet") else _arrow(table)
    if out.local:
        path = Path(out.path) / name
        for left in path.parent.glob(".*.part"):  # of a run that was killed; the lock says that no other is writing
            left.unlink(missing_ok=True)
        with replacing(path) as part:
            part.write_bytes(content)
        return
    there = f"{out.path}/{name}"
    try:
        stores.patient(lambda: _put(out, there, content))
    except stores.UnreadError as error:
        raise StorageError(
            "the store does not take what is written", where=there, found=str(error),
            remedy="see to the rights and the room there, then run the same command again: what is finished is kept",
        ) from error  # fmt: skip


def _parquet(table: pa.Table) -> bytes:
    content = io.BytesIO()
    pq.write_table(
        table, content, row_group_size=ROW_GROUP, compression="zstd", compression_level=3,
        data_page_version="1.0", version="2.6", write_statistics=True, use_dictionary=True,
    )  # fmt: skip
    return content.getvalue()


def _arrow(table: pa.Table) -> bytes:
    content = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 3), use_threads=False)
    with pa.ipc.new_file(content, table.schema, options=options) as file:
        file.write_table(table, max_chunksize=ROW_GROUP)
    return content.getvalue()


def _put(out: Store, there: str, content: bytes) -> None:
    """Write one object. Stores show it when all of it has come, or not at all."""
    if out.protocol in ("memory", "sftp", "ssh", "smb"):
        out.fs.makedirs(there.rpartition("/")[0], exist_ok=True)
    out.fs.pipe_file(there, content)
    out.fs.invalidate_cache()
    if (size := out.fs.info(there).get("size")) not in (None, len(content)):
        raise OSError(f"the store lists {size:,} bytes of an object written with {len(content):,}")


def described(out: Store, name: str) -> dict[bytes, bytes] | None:
    """The metadata of such a file; None where there is none, or it is damaged: it can be made again.

    Raises StorageError where the store does not give it.
    """

    def metadata(file: Any) -> dict[bytes, bytes]:
        rows = name.endswith(".parquet")
        schema = pq.read_schema(file) if rows else summed.checked(pa.ipc.open_file(file).read_all()).schema
        return dict(schema.metadata or {})

    return _asked(out, name, metadata)


def read(out: Store, name: str, columns: list[str]) -> pa.Table | None:
    """Columns of such a file of Parquet; as `described` where there is none, or the store does not give it."""
    return _asked(out, name, lambda file: pq.read_table(file, columns=columns))


def _asked(out: Store, name: str, ask: Callable[[Any], Answer]) -> Answer | None:
    there = f"{out.path}/{name}"

    def once() -> Answer | None:
        try:
            with out.fs.open(there, "rb") as file:
                return ask(file)
        except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
                raise  # the store's: Arrow's own has no number
            log.warning("%s is damaged (%s) and is made again", name, error)
            return None

    try:
        return stores.patient(once)
    except stores.UnreadError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise StorageError(
            "the store does not give what was written there before", where=there, found=str(error),
            remedy="see to the address and the rights there, then run the same command again: what is finished is kept",
        ) from error  # fmt: skip
