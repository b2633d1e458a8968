"""Files of partitions: tables as Parquet or Arrow, whole or not at all, in bytes that follow from the tables alone."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cvkit.data import file_sums, stores
from cvkit.data.stores import Store
from cvkit.errors import StorageError
from cvkit.storage import check_memory, replacing

log = logging.getLogger(__name__)

ROW_GROUP = 65_536  # rows
NAME = b"cvkit.file"  # in a file's metadata: which it is, below the folder of all


def write(out: Store, name: str, table: pa.Table) -> None:
    """Write a table, whole or not at all, in bytes that follow from it alone, with their sum. Raises StorageError.

    Its metadata tells it from all others, the names in it included.
    """
    about = {**(table.schema.metadata or {}), NAME: name.encode()}
    place = file_sums.place(b"\n".join(b"%s=%s" % one for one in sorted(about.items())))
    table = table.replace_schema_metadata({**about, file_sums.KEY: place})
    content = file_sums.seal(_parquet(table) if name.endswith(".parquet") else _arrow(table), place)
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
        write_page_checksum=True,
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


def kept(out: Store, name: str, named: dict[bytes, bytes]) -> bytes | None:
    """The bytes of a file that is there, as it was written there, and about what `named` says (metadata).

    None where it is not: then it can be made again. Raises StorageError where the store does not give it.
    """
    there = whole(out, name)
    return there[0] if there and {key: there[1].get(key) for key in named} == named else None


def whole(out: Store, name: str) -> tuple[bytes, dict[bytes, bytes]] | None:
    """The bytes and metadata of a file that is there, as it was written there; None where it is not.

    Damage is logged. Raises StorageError where the store does not give it.
    """
    there = f"{out.path}/{name}"
    try:
        content: bytes = stores.patient(lambda: out.fs.cat_file(there))
    except stores.UnreadError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise StorageError(
            "the store does not give what was written there before", where=there, found=str(error),
            remedy="see to the address and the rights there, then run the same command again: what is finished is kept",
        ) from error  # fmt: skip
    try:
        metadata = about(content, name)
    except (pa.ArrowException, OSError, ValueError) as error:
        check_memory(error)
        log.warning("%s is damaged (%s) and is made again", name, error)
        return None
    return (content, metadata) if metadata.get(NAME) == name.encode() else None


def about(content: bytes, name: str) -> dict[bytes, bytes]:
    """The metadata of a file's bytes. Raises pa.ArrowInvalid, or what Arrow does, where they are not as written."""
    with pa.BufferReader(content) as file:
        parquet = name.endswith(".parquet")
        metadata = dict((pq.read_metadata(file) if parquet else pa.ipc.open_file(file).schema).metadata or {})
    if not file_sums.is_whole(content, metadata.get(file_sums.KEY, b"")):
        raise pa.ArrowInvalid("its bytes have another sum than when they were written")
    return metadata
