"""Engine: processes against threads, Dask over 1 to 8 workers, and the rates that a cluster's size follows from."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import Figure, at_least, at_most, not_measured, observed, peak_mib
from benchmarks.images import generate
from cvkit.data import engine, images, isolation, measured, measuring, objects, partition_files, stores, summed
from cvkit.stats import summaries

CORES = os.cpu_count() or 1
ROUNDS = 7
PATHS = 960  # images measured at a time, 40 times the same 24: they are in memory, so that no disk is measured
SMALL = 24  # images of a small window
WORKERS = (1, 2, 4, 8)
TASKS = 3000  # that do nothing, to see what a scheduler can do
LISTED = 20_000  # files
PARTITIONS = 400  # of 288 images each: a camera's day, one image every five minutes
A_DAY = 288
COMMANDED = 20 * A_DAY
SERIES = 2000  # summaries merged


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "images").mkdir()
        paths = [str(path) for path in generate(place / "images")] * (PATHS // 24)
        yield from _against_threads(paths)
        yield from _on_dask(paths)
        yield from _command(place)
        yield from _files(place)
        yield from _summaries()


def _against_threads(paths: list[str]) -> Iterator[Figure]:
    works: dict[str, Callable[[], object]] = {
        "threads": lambda: _threads(paths), "processes": lambda: _engine(paths),
        "small threads": lambda: _threads(paths[:SMALL]), "small processes": lambda: _engine(paths[:SMALL]),
    }  # fmt: skip
    cpu: dict[str, list[float]] = {name: [] for name in works}
    wall: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(ROUNDS + 1):  # the first one is not counted: imports, and files that are read for once
        for name, work in works.items():
            before, start = _cpu_seconds(), time.perf_counter()
            work()
            if round_:
                wall[name].append(time.perf_counter() - start)
                cpu[name].append(_cpu_seconds() - before)
    against = f"the same in {CORES} threads, {PATHS} JPEGs of 640x480, median of {ROUNDS} turns"
    ratio = [
        statistics.median(b / a for a, b in zip(of["threads"], of["processes"], strict=True)) for of in (cpu, wall)
    ]
    yield at_most("engine.processes_cpu", ratio[0], "of the CPU time", 1.15, against)
    yield observed("engine.processes_wall", ratio[1], "of the time", against)
    ratios = [b / a for a, b in zip(wall["small threads"], wall["small processes"], strict=True)]
    yield observed("engine.small_window", statistics.median(ratios), "of the time", f"the same, {SMALL} JPEGs")
    yield observed(
        "engine.rate_local", PATHS / min(wall["processes"]), "images/s", f"{CORES} processes on {CORES} cores"
    )
    starts = []
    for _ in range(ROUNDS):
        isolation.end_idle()
        start = time.perf_counter()
        _engine(paths[:1], workers=1)
        starts.append(time.perf_counter() - start)
    yield observed("engine.start", statistics.median(starts), "s", "a first image, with the start of a process")


def _threads(paths: Sequence[str]) -> None:
    with ThreadPoolExecutor(CORES) as pool:
        for _ in pool.map(images.measure, paths):
            pass


def _engine(paths: Sequence[str], address: str = engine.LOCAL, workers: int = CORES, chunk: int = 32) -> None:
    chunks = [paths[start : start + chunk] for start in range(0, len(paths), chunk)]
    for _ in engine.run(measuring.of_files, chunks, engine=address, workers=workers):
        pass


def _cpu_seconds() -> float:
    """CPU time of this process and of its workers that live."""
    ticks = 0
    for process in isolation._idle:
        fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _on_dask(paths: list[str]) -> Iterator[Figure]:
    if importlib.util.find_spec("distributed") is None:
        yield not_measured("engine.dask_rate_1", "images/s", "", "Dask")
        return
    from distributed import LocalCluster

    first = (0.0, 0.0)
    for workers in WORKERS:
        with LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as cluster:
            address = cluster.scheduler_address
            _engine(paths[: 64 * workers], address, chunk=8)  # each worker starts its process
            seconds, cpu = [], []
            for _ in range(3):
                start, before = time.perf_counter(), _tree_seconds()
                _engine(paths, address)
                seconds.append(time.perf_counter() - start)
                cpu.append((_tree_seconds() - before) / PATHS)
            first = first if first[0] else (min(seconds), min(cpu))
            where = f"{workers} workers on one machine of {CORES} cores"
            yield observed(f"engine.dask_rate_{workers}", PATHS / min(seconds), "images/s", where)
            share = first[0] / min(seconds) / min(workers, CORES)
            yield observed(f"engine.dask_efficiency_{workers}", share, "of the rate of 1 a core", where)
            # What others do on the machine does not count here.
            yield observed(f"engine.dask_cpu_{workers}", min(cpu) / first[1], "of the CPU time with 1", where)
            if workers == 1:
                yield observed("engine.dask_cpu", 1000 * first[1], "ms an image", "scheduler and client included")
                yield from _task_rate(cluster)


def _tree_seconds() -> float:
    """CPU time of this process and all below it."""
    import psutil

    total, own = 0.0, psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _task_rate(cluster: object) -> Iterator[Figure]:
    from distributed import Client

    with Client(cluster) as client:
        client.gather(client.map(_nothing, range(100)))
        start, before = time.perf_counter(), time.process_time()
        client.gather(client.map(_nothing, range(100, TASKS + 100)))
        seconds, cpu = time.perf_counter() - start, time.process_time() - before
    yield observed("engine.tasks", TASKS / seconds, "tasks/s", "scheduler and client on one core, one worker")
    yield observed("engine.task_cpu", 1000 * cpu / TASKS, "ms a task", "CPU of scheduler and client")


def _nothing(number: int) -> int:
    return number


def _command(place: Path) -> Iterator[Figure]:
    """What the command itself does for an image, while others measure it: it lists, hands out, collects and writes."""
    picture = min((place / "images").iterdir()).read_bytes()
    for number in range(COMMANDED):
        path = place / "in" / f"cam-{number // A_DAY}" / "2026-11-01" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    captures = objects.Captures(f"{place}/in/{{source}}/{{date}}/*.jpg")
    start, before = time.perf_counter(), time.process_time()
    outcome = measured.measure(captures, measured.open_out(str(place / "measured")))
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    assert outcome.images == COMMANDED
    yield observed("engine.command_rate", COMMANDED / seconds, "images/s", f"measured and written, {CORES} processes")
    yield observed(
        "engine.command_cpu", 1000 * cpu / COMMANDED, "ms an image", "CPU of the command without its workers"
    )
    start = time.perf_counter()
    again = measured.measure(captures, measured.open_out(str(place / "measured")))
    assert again.kept == COMMANDED // A_DAY
    seconds = time.perf_counter() - start
    yield observed("engine.resume", again.kept / seconds, "partitions/s", f"found whole, {A_DAY} images each")


def _files(place: Path) -> Iterator[Figure]:
    for number in range(LISTED):
        path = place / "listed" / f"cam-{number % 10}" / f"2026-11-{number % 20 + 1:02}" / f"{number:06}.jpg"
        if number < 200:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    captures = objects.Captures(f"{place}/listed/{{source}}/{{date}}/*.jpg")
    start = time.perf_counter()
    found = sum(len(captures.images(partition)) for partition in captures.partitions())
    assert found == LISTED
    yield observed("engine.listing", LISTED / (time.perf_counter() - start), "files/s", "a folder of this machine")
    table = _day(np.random.default_rng(0))
    out = measured.open_out(str(place / "out"))
    start = time.perf_counter()
    for number in range(PARTITIONS):
        named = {measured.DIGEST: b"x", measured.DEFINITION: b"1"}
        partition_files.write(out, f"rows/source=a/date={number}/images.parquet", table.replace_schema_metadata(named))
        kept = summed.of_rows(table).replace_schema_metadata(named)
        partition_files.write(out, f"summaries/source=a/date={number}/summary.arrow", kept)
    rate = PARTITIONS / (time.perf_counter() - start)
    yield observed("engine.partitions", rate, "partitions/s", f"{A_DAY} rows and their summary, written and synced")
    start = time.perf_counter()
    (group,) = summed.groups(stores.open_store(out.path, "--out"))
    rate = PARTITIONS / (time.perf_counter() - start)
    assert group.images == PARTITIONS * A_DAY
    yield observed(
        "engine.summaries", rate, "partitions/s", f"summaries of {len(summed.NUMBERS)} features read, merged"
    )
    size = sum(path.stat().st_size for path in (place / "out" / "summaries").rglob("*.arrow")) / PARTITIONS
    yield observed("engine.summary_size", size / 1000, "kB", "a partition's summary")
    size = sum(path.stat().st_size for path in (place / "out" / "rows").rglob("*.parquet")) / PARTITIONS / A_DAY
    yield observed("engine.row_size", size, "bytes", "a row")


def _day(random: np.random.Generator) -> pa.Table:
    columns: dict[str, object] = {
        name: random.normal(100, 20, A_DAY) for name in measured.FACTS if name not in (*measured.TEXTS, "dhash")
    }
    columns |= {name: [f"{number:032x}" if name == "content" else "" for number in random.integers(0, 2**62, A_DAY)]
                for name in measured.TEXTS}  # fmt: skip
    columns |= {
        "image_id": [f"cam-1/2026-11-01/{n:06}.jpg" for n in range(A_DAY)], "time": [None] * A_DAY,
        "dhash": random.integers(0, 2**62, A_DAY, dtype=np.uint64), "bytes": random.integers(1, 9**6, A_DAY),
    }  # fmt: skip
    return pa.table({n: pa.array(columns[n], measured.SCHEMA.field(n).type) for n in measured.SCHEMA.names})


def _summaries() -> Iterator[Figure]:
    random = np.random.default_rng(0)
    values = random.gamma(2.0, 30.0, (SERIES, A_DAY))
    parts = [summaries.summarise(row) for row in values]
    start = time.perf_counter()
    whole = summaries.merged(parts)
    seconds = time.perf_counter() - start
    ordered = np.sort(values.ravel())
    at = np.union1d(whole.points, ordered[::7])
    levels = np.concatenate([[0], np.cumsum(whole.weights)])
    told = levels[np.searchsorted(whole.points, at, side="right")] / whole.count
    error = float(np.abs(told - np.searchsorted(ordered, at, side="right") / ordered.size).max())
    yield observed("engine.merge", SERIES / seconds, "summaries/s", "one feature, in memory")
    yield at_most("engine.summary_error", error, "of the images", whole.error, f"stated for {SERIES * A_DAY:,} values")
    yield at_least("engine.summary_exact", float(abs(whole.mean / values.mean() - 1) < 1e-12), "", 1, "mean by numpy")
    if importlib.util.find_spec("datasketches") is None:
        yield not_measured("engine.kll_error", "of the images", "", "datasketches")
    else:
        yield from _against_kll(values, ordered)
    yield observed("engine.peak", peak_mib(), "MiB", "all of this")


def _against_kll(values: np.ndarray[tuple[int, int], np.dtype[np.float64]], ordered: np.ndarray) -> Iterator[Figure]:  # type: ignore[type-arg]
    from datasketches import kll_doubles_sketch

    whole = kll_doubles_sketch(200)
    for row in values:
        sketch = kll_doubles_sketch(200)
        sketch.update(row)
        whole.merge(sketch)
    at = ordered[:: len(ordered) // 2000]
    true = np.searchsorted(ordered, at, side="right") / ordered.size
    error = max(abs(whole.get_rank(float(x), True) - share) for x, share in zip(at, true, strict=True))
    against = f"datasketches' KLL, k 200: {whole.normalized_rank_error(False):.4f} with 99 %"
    yield observed("engine.kll_error", error, "of the images", against)


if __name__ == "__main__":
    for figure in run():
        print(figure)
