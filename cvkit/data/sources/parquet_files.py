"""Parquet as strangers may write it: read within bounds, and with text that is text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cvkit.data import file_sums

MOST_BYTES = 2**32  # that a file may become in memory; a file of a few bytes can say one value a billion times
ROWS_AT_ONCE = 2**16


def read(path: str | os.PathLike[str], columns: Sequence[str]) -> pa.Table:
    """The columns of a file, in the order they are asked for, with what the file says about itself.

    Raises OSError or pa.ArrowException where it cannot be read, lacks a column, becomes larger than `MOST_BYTES`, has
    pages with sums that are not theirs, or text that is no UTF-8, which nobody finds before Python makes words of it;
    UnicodeDecodeError for such names. What is no more than a lack of memory `check_memory` tells.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        # What the file tells of single columns is not asked for: of broken files pyarrow ends the process there.
        known = file.schema_arrow
        if lacking := [name for name in columns if name not in known.names]:
            raise pa.ArrowInvalid(f"no column {lacking[0]}")
        batches, size = [], 0
        # Threads gain nothing, and where memory ends in one Arrow waits for ever (see `storage.read_parquet`).
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(columns), use_threads=False):
            batches.append(batch)
            size += batch.nbytes
            if size > MOST_BYTES:
                raise pa.ArrowInvalid(f"more than {MOST_BYTES:,} bytes in memory")
        wanted = pa.schema([known.field(name) for name in columns], known.metadata)
        table = pa.Table.from_batches(batches).select(list(columns)) if batches else wanted.empty_table()
        sealed = (file.metadata.metadata or {}).get(file_sums.KEY)
    if sealed is not None and not file_sums.is_whole(Path(path).read_bytes(), sealed):
        raise pa.ArrowInvalid("its bytes have another sum than when they were written")
    table.validate(full=True)
    return table
