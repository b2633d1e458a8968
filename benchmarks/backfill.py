"""A year of a hundred cameras measured at once: 1,000,000 image records, 365 windows; and then day by day.

The reference are the two weeks before: a window of its own has no evidence to be weighed, so it costs less.
`CVKIT_BENCHMARK_FLEET` names a folder to keep the records in: making them takes a minute or two.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import Figure, at_most, observed
from cvkit.data.recorder_files import BOX, MADE, source_folder
from cvkit.tables import PROPERTIES

SOURCES, DAYS, EACH = 100, 365, 28  # 1,022,000 frames
EARLY = 10  # windows after which days are timed, beside those after the year
REFERENCE = 14  # days before the first window
ALONE = 5  # pairs of such days, by turns: one alone differs by a half on a shared machine
FIRST = datetime(2025, 11, 1, tzinfo=UTC)
SETTINGS = """
model: {name: fleet, classes: [bolt, nut, washer]}
captures: {images: "captures/{source}/{date}/{time}.jpg"}
reference: {start: 2025-10-18, end: 2025-11-01}
"""
USUAL = {"brightness": (120, 9), "contrast": (50, 4), "saturation": (0.4, 0.05), "colourfulness": (40, 5),
         "entropy": (6.5, 0.3), "sharpness": (2.5, 0.2), "noise": (2, 0.3)}  # fmt: skip


def run() -> Iterator[Figure]:
    """Seconds and memory of `cvkit run` on all windows, and on single ones after ten and after a year."""
    with workspace() as folder:
        begun, _ = measured(folder, 0, EARLY)
        young = shutil.copytree(folder, folder.with_name("young"), symlinks=True)
        rest, memory = measured(folder, EARLY, DAYS - EARLY)
        pairs = [(measured(young, EARLY + more, 1), measured(folder, DAYS + more, 1)) for more in range(ALONE)]
    early, late = ([days[place][0] for days in pairs] for place in (0, 1))
    about = f"{SOURCES * DAYS * EACH:,} frames, {SOURCES} sources, {DAYS} windows, {os.cpu_count()} cores"
    alone = f"median of {ALONE} windows one by one, start of Python included:"
    growth = statistics.median(last / first for first, last in zip(early, late, strict=True))
    by_turns = f"a day after the year over one after {EARLY} windows, by turns: median of {ALONE} pairs"
    yield at_most("backfill.year", begun + rest, "s", 600, f"{about}; the reference measured too")
    yield at_most("backfill.memory", memory, "MiB", 2048, "all processes of the largest run together, at its peak")
    yield observed("backfill.early_day", statistics.median(early), "s", f"{alone} {_seconds(early)}")
    yield at_most("backfill.one_more_day", statistics.median(late), "s", 5, f"after the year; {alone} {_seconds(late)}")
    yield at_most("backfill.growth", growth, "times", 1.2, by_turns)
    yield observed("backfill.one_more_day_memory", max(days[1][1] for days in pairs), "MiB", "of the largest of those")


def _seconds(days: Sequence[float]) -> str:
    return ", ".join(f"{day:.1f}" for day in days)


@contextmanager
def workspace() -> Iterator[Path]:
    """A workspace of the fleet, for as long as it is needed; the records are made where they are not kept."""
    with tempfile.TemporaryDirectory() as temporary:
        kept = Path(os.environ.get("CVKIT_BENCHMARK_FLEET", temporary)) / "fleet"
        made = kept / f"made-{SOURCES}-{DAYS + ALONE}"
        if not made.exists():
            shutil.rmtree(kept, ignore_errors=True)
            make(kept)
            made.touch()
        folder = Path(temporary) / "workspace"
        folder.mkdir()
        (folder / "cvkit.yml").write_text(SETTINGS)
        (folder / "recorded").symlink_to(kept / "recorded")
        yield folder


def measured(folder: Path, first: int, count: int) -> tuple[float, float]:
    """Wall seconds and peak MiB of the command line over a stretch of days."""
    ends = [f"{FIRST + timedelta(days=day):%Y-%m-%d}" for day in (first, first + count)]
    command = [sys.executable, "-m", "benchmarks._watched", sys.executable, "-m", "cvkit.cli", "run",
               "--from", ends[0], "--to", ends[1], "--reports", "0", "--config", str(folder)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    return float(told["seconds"]), float(told["mib"])


def make(folder: Path) -> None:
    """What recorders of all sources would have written: healthy cameras, each with days that differ a little."""
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, (SOURCES, len(PROPERTIES)))  # what is usual for each camera
    for day in range(-REFERENCE, DAYS + ALONE):
        for source in range(SOURCES):
            table = _frames(f"cam-{source:03d}", day, base[source] + rng.normal(0, 0.3, len(PROPERTIES)), rng)
            date = f"{FIRST + timedelta(days=day):%Y-%m-%d}"
            place = folder / "recorded" / date / source_folder(f"cam-{source:03d}")
            place.mkdir(parents=True)
            pq.write_table(table, place / "recorder-0.parquet", compression="zstd")


def _frames(source: str, day: int, lies: np.ndarray, rng: np.random.Generator) -> pa.Table:
    start = FIRST + timedelta(days=day)
    seconds = (np.arange(EACH) * 86_400 // EACH).tolist()
    moments = [start + timedelta(seconds=second) for second in seconds]
    numbers = {
        name: np.maximum(mean + sd * (shift + rng.normal(0, 1, EACH)), 0)
        for shift, (name, (mean, sd)) in zip(lies, USUAL.items(), strict=True)
    }
    counts = rng.poisson(3, EACH)
    corner = rng.uniform(0, 500, (int(counts.sum()), 2))
    boxes = np.column_stack([corner, corner + rng.uniform(40, 120, corner.shape), rng.beta(5, 2, len(corner))])
    kinds = rng.integers(0, 3, len(corner)).astype(np.int32)
    ends = pa.array(np.cumsum([0, *counts]).astype(np.int32))
    values = [*(pa.array(boxes[:, place].astype(np.float32)) for place in range(5)), pa.array(kinds)]
    columns = {
        "image_id": [f"{MADE}{source_folder(source)}/{start:%Y-%m-%d}/{second:05d}" for second in seconds],
        "time": pa.array(moments, pa.timestamp("us", tz="UTC")),
        "source": [source] * EACH, "model": ["fleet"] * EACH, "version": ["1"] * EACH,
        "width": pa.array([640] * EACH, pa.int32()), "height": pa.array([640] * EACH, pa.int32()),
        "latency_s": pa.array([0.02] * EACH),
        **{name: pa.ListArray.from_arrays(ends, one) for name, one in zip(BOX, values, strict=True)},
        "content": [f"{value:032x}" for value in rng.integers(0, 2**62, EACH)],
        "dhash": rng.integers(0, 2**63, EACH, dtype=np.uint64),
        **numbers,
        "kept": [""] * EACH, "frame": [""] * EACH,
    }  # fmt: skip
    about = {"format": "1", "source": source, "classes": {"0": "bolt", "1": "nut", "2": "washer"}}
    return pa.table(columns).replace_schema_metadata({"cvkit": json.dumps(about)})
