"""A year of a hundred recorded cameras summed up on one core, and how far its quantiles are from those of all rows.

`CVKIT_BENCHMARK_FLEET` names a folder to keep the records in, as for `backfill`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import Figure, at_most
from benchmarks.backfill import DAYS, EACH, SOURCES, workspace


def run() -> Iterator[Figure]:
    """Seconds and memory of `cvkit images summary` on a workspace, and the error of what it says."""
    with workspace() as folder:
        said, took = summed(folder)
        features = ["brightness", "sharpness"]
        files = sorted(folder.glob("recorded/*/*/*.parquet"))
        rows = pa.concat_tables(pq.ParquetFile(file).read(columns=features) for file in files)
    about = f"{said['images']:,} frames, {(DAYS + 1) * SOURCES:,} files of {EACH}, one core, start of Python included"
    yield at_most("summary.year", took["seconds"], "s", 120, about)
    yield at_most("summary.year_cpu", took["cpu"], "s", 120, about)
    yield at_most("summary.memory", took["mib"], "MiB", 1024, "at its peak")
    off = stated = 0.0
    for name in features:
        values, told = np.sort(rows[name].to_numpy()), said["features"][name]
        stated = max(stated, told["error"])
        for share, one in told["quantiles"].items():
            assert one["low"] <= np.quantile(values, float(share), method="inverted_cdf") <= one["high"], (name, share)
            off = max(off, float(abs(np.searchsorted(values, one["value"], side="right") / values.size - float(share))))
    yield at_most("summary.error", off, "of the images", stated + 1 / rows.num_rows, "quantiles, to the stated error")


def summed(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """What the command says of all images, and what it took."""
    command = [sys.executable, "-m", "benchmarks._watched", sys.executable, "-m", "cvkit.cli", "images", "summary",
               "--json", "--config", str(folder)]  # fmt: skip
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})  # which a child takes over
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        os.sched_setaffinity(0, before)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    (said,) = json.loads("\n".join(lines))
    return said, json.loads(last)


if __name__ == "__main__":
    print(*run(), sep="\n")
