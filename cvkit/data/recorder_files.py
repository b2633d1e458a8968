"""What a recorder writes: records as Parquet, one row a frame, in files that appear whole or not at all."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cvkit.data import file_sums
from cvkit.data.images import ImageFacts
from cvkit.storage import replacing, safe_name

FORMAT = "1"  # of the files: raised when a column changes
FRAMES = "frames"  # folder of kept frames, beside those of the dates
MADE = "recorded/"  # what ids of frames begin with that are no files
UNKNOWN_VERSION = "external"  # where neither weights nor anybody says it
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BOX = ("x1", "y1", "x2", "y2", "confidence", "class_id")  # columns of a record's boxes
TEXT = ("content", "mode", "file_format", "damage", "damage_detail")  # facts in words
KNOWN = [name for name in (field.name for field in fields(ImageFacts)) if name not in (*TEXT[1:], "width", "height")]

Boxes = NDArray[np.float32]


@dataclass(eq=False, slots=True)
class Deployed:
    """The model whose records these are; `version` is found out later where it takes reading the weights."""

    model: str
    version: str = ""
    classes: dict[int, str] | None = None
    weights: str = ""


class Record(NamedTuple):
    """One frame, as it was taken."""

    time_us: int  # since 1970, UTC
    number: int  # of this process
    image_id: str  # "" where the frame is no file
    width: int  # pixels, 0 where nobody said
    height: int
    latency_s: float  # NaN where nobody said
    boxes: Boxes  # (n, 6), columns BOX
    deployed: Deployed
    strips: NDArray[np.uint8] | None  # of its pixels, where they are looked at
    picture: NDArray[np.uint8] | None  # all of them, where the frame is kept
    kept: str  # why, "" where it is not


class Looked(NamedTuple):
    """A record without its pixels, and what was found in them."""

    record: Record
    facts: ImageFacts | None
    frame: str  # path of the kept frame below the workspace, "" without


def readable(text: str) -> str:
    """`text` as files and tables can hold it: of Unicode, without NUL."""
    return str(text).encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


@functools.lru_cache(maxsize=64)
def source_folder(source: str) -> str:
    """The folder of a source's files, whatever it is called."""
    return f"source={safe_name(source)}"


def moment(time_us: int) -> datetime:
    """The time of a record."""
    return EPOCH + timedelta(microseconds=time_us)


def frame_name(record: Record, process: str) -> str:
    """What a frame is called that has no file: its time, who took it, and a number."""
    return f"{moment(record.time_us):%H%M%S%f}-{process}-{record.number}"


def made_id(record: Record, source: str, process: str) -> str:
    """The image id of a frame that is no file."""
    return f"{MADE}{source_folder(source)}/{moment(record.time_us):%Y-%m-%d}/{frame_name(record, process)}"


def grouped(looked: Sequence[Looked]) -> dict[tuple[str, int], list[Looked]]:
    """Records by UTC date and model: each group is a file."""
    groups: dict[tuple[str, int], list[Looked]] = {}
    days: dict[int, str] = {}
    for one in looked:
        day = one.record.time_us // 86_400_000_000
        if day not in days:
            days[day] = f"{moment(one.record.time_us):%Y-%m-%d}"
        groups.setdefault((days[day], id(one.record.deployed)), []).append(one)
    return groups


def write(path: Path, looked: Sequence[Looked], source: str, process: str) -> None:
    """Write records of one model to `path`, whole or not at all, with the sum of its bytes. Raises StorageError."""
    table = to_table(looked, source, process)
    about = dict(table.schema.metadata)
    place = file_sums.place(b"\n".join([about[b"cvkit"], *(one.record.image_id.encode() for one in looked)]))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({**about, file_sums.KEY: place}), sink, compression="zstd",
        use_dictionary=["source", "model", "version", "kept"], write_page_checksum=True,
    )  # fmt: skip
    content = file_sums.seal(sink.getvalue().to_pybytes(), place)
    with replacing(path) as part:
        part.write_bytes(content)


def to_table(looked: Sequence[Looked], source: str, process: str) -> pa.Table:
    """Records of one model as columns: one row a frame, its boxes in lists."""
    records = [one.record for one in looked]
    deployed, n = records[0].deployed, len(records)
    columns = {
        "image_id": _words([one.image_id or made_id(one, source, process) for one in records]),
        "time": _numbers([one.time_us for one in records], pa.timestamp("us", tz="UTC")),
        "source": _words([source] * n),
        "model": _words([readable(deployed.model)] * n),
        "version": _words([readable(deployed.version)] * n),
        "width": _numbers([one.width for one in records], pa.int32()),
        "height": _numbers([one.height for one in records], pa.int32()),
        "latency_s": _numbers([one.latency_s for one in records], pa.float64()),
        **_boxes([one.boxes for one in records]),
        **_facts([one.facts for one in looked]),
        "kept": _words([one.record.kept if one.frame else "" for one in looked]),
        "frame": _words([one.frame for one in looked]),
    }
    names = {str(number): readable(name) for number, name in (deployed.classes or {}).items()}
    about = {"format": FORMAT, "source": source, "classes": names}
    return pa.Table.from_arrays([*columns.values()], names=[*columns], metadata={"cvkit": json.dumps(about)})


def _numbers(values: Sequence[float] | NDArray[Any], kind: pa.DataType) -> pa.Array:
    """A column of numbers. From memory as it is: pyarrow's own conversions import pandas, seconds into the run."""
    dtype = np.int64 if pa.types.is_timestamp(kind) else kind.to_pandas_dtype()
    memory = np.ascontiguousarray(values, dtype)
    return pa.Array.from_buffers(kind, len(memory), [None, pa.py_buffer(memory)])


def _words(values: Sequence[str]) -> pa.Array:
    """A column of text."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.Array.from_buffers(pa.string(), len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def _boxes(boxes: Sequence[Boxes]) -> dict[str, pa.Array]:
    ends = np.cumsum([0, *map(len, boxes)]).astype(np.int32)
    rows = np.concatenate(boxes) if boxes else np.empty((0, len(BOX)), np.float32)
    # A class that is no number is -1, which no model knows: the reader says so.
    kinds = np.nan_to_num(rows[:, 5], nan=-1, posinf=-1, neginf=-1).clip(-1, 2**24).astype(np.int32)
    values = [*(_numbers(rows[:, place], pa.float32()) for place in range(5)), _numbers(kinds, pa.int32())]
    offsets = _numbers(ends, pa.int32())
    return {name: pa.ListArray.from_arrays(offsets, column) for name, column in zip(BOX, values, strict=True)}


def _facts(facts: Sequence[ImageFacts | None]) -> dict[str, pa.Array]:
    """What was measured; "" and 0 and NaN of frames that were not looked at."""
    nothing = ImageFacts()
    told = [one or nothing for one in facts]
    return {
        "content": _words([one.content for one in told]),
        "dhash": _numbers(np.array([one.dhash for one in told], np.uint64), pa.uint64()),
        **{
            name: _numbers([getattr(one, name) for one in told], pa.float64())
            for name in KNOWN
            if name not in ("content", "dhash")
        },
    }
