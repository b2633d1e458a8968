"""Recorder: what it adds to a model's own time, and how many frames a second it takes without losing one."""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import Figure, at_least, at_most, interleaved, observed
from cvkit import demo_world
from cvkit.data.recorder import Recorder
from cvkit.data.recorder_counters import losses
from cvkit.data.recorder_files import Deployed
from cvkit.data.recorder_ultralytics import Attachment

ROUNDS = 41  # pairs of a predict with and one without
WORKERS, RATE, SECONDS = 4, 2500, 8  # processes, frames a second of each, and for how long
CALLS = 200  # of the callback alone
FRAMES = 1000  # of 128 px
BOXES = np.array([[10 * i, 20, 10 * i + 40, 60, 0.3 + 0.1 * i, i % 3] for i in range(5)], np.float32)


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        yield from _beside_predict(Path(folder) / "predict")
        yield from _alone(Path(folder) / "alone")
        yield from _many(Path(folder) / "paced", RATE)
        yield from _many(Path(folder) / "unpaced", 0)


def _beside_predict(folder: Path) -> Iterator[Figure]:
    """The demo's nano model on one picture of 640 px, with the recorder attached and without, by turns."""
    from cvkit.data import yolo
    from cvkit.demo import CHECKPOINT

    model = yolo.load(CHECKPOINT, folder / "ultralytics")
    frame = demo_world.frame(5, "cam-1", demo_world.FIRST_DAY, 0).picture
    picture = cv2.resize(frame, (640, 512), interpolation=cv2.INTER_CUBIC)
    asked: dict[str, Any] = {"imgsz": 640, "device": "cpu", "verbose": False, "save": False}
    recorder = Recorder(folder, "bench")
    walls: dict[str, list[float]] = {"with": [], "without": []}

    def look(name: str) -> None:
        start = time.perf_counter()
        model.predict(picture, **asked)
        walls[name].append(time.perf_counter() - start)

    def recorded() -> None:
        recorder.attach(model)
        look("with")
        recorder.detach()

    seconds = interleaved({"without": lambda: look("without"), "with": recorded}, ROUNDS)
    attachment = Attachment(model, recorder, Deployed("bench", "v"))
    callback = _callback_ms(lambda: attachment.on_batch_end(model.predictor))
    attachment.end()
    recorder.close()
    fastest = 1000 * min(walls["without"])
    against = f"the callback alone, median wall, of the fastest predict at 640 px, {fastest:.0f} ms"
    yield at_most("recorder.callback_of_predict", 100 * callback / fastest, "%", 2, against)
    yield observed("recorder.callback_640px", callback, "ms a frame", "the callback alone, median wall")
    for name, table in (("CPU", seconds), ("wall", {key: one[1:] for key, one in walls.items()})):
        added = statistics.median(a / b for a, b in zip(table["with"], table["without"], strict=True)) - 1
        base = 1000 * statistics.median(table["without"])
        noise = _spread(table["without"])
        against = (
            f"{name}, predict at 640 px, {base:.0f} ms a frame, {ROUNDS} pairs, its own quartiles {noise:.0%} apart"
        )
        yield at_most(f"recorder.added_to_predict_{name.lower()}", 100 * added, "%", 2, against)
    assert recorder.stats().written == recorder.stats().accepted == ROUNDS + 1 + CALLS


def _callback_ms(callback: Callable[[], None]) -> float:
    taken = []
    for _ in range(CALLS):
        start = time.perf_counter()
        callback()
        taken.append(time.perf_counter() - start)
        time.sleep(0.002)
    return 1000 * statistics.median(taken)


def _spread(values: list[float]) -> float:
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / statistics.median(values)


def _alone(folder: Path) -> Iterator[Figure]:
    """CPU of everything a frame of 128 px costs, its writing included."""
    picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    for name, looks in (("usual", 1.0), ("every_frame_looked_at", float("inf"))):
        start = time.process_time()
        with Recorder(folder, name, properties_per_s=looks) as recorder:
            taken = []
            for _ in range(FRAMES):
                before = time.perf_counter()
                recorder.record(BOXES, image=picture, latency_s=0.01)
                taken.append(time.perf_counter() - before)
                time.sleep(0.001)
        milliseconds = 1000 * (time.process_time() - start) / FRAMES
        against = "CPU of all threads, 128 px, five boxes, 1,000 frames"
        figure = f"recorder.frame_128px_{name}"
        yield (
            at_most(figure, milliseconds, "ms a frame", 0.3, against)
            if name == "usual"
            else observed(figure, milliseconds, "ms a frame", against)
        )
        yield observed(f"{figure}_call", 1000 * statistics.median(taken), "ms a frame", "the call alone, wall, median")


def _many(folder: Path, rate: int) -> Iterator[Figure]:
    """Four processes at once; those without a pace take what they can, and have memory to let it wait."""
    frames = (rate or 2 * RATE) * SECONDS
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_record, args=(folder, number, frames, rate)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    told = [json.loads((folder / f"{number}.json").read_text()) for number in range(WORKERS)]
    written = sum(one["written"] for one in told)
    total = WORKERS * frames
    lost = total - written + sum(one.lost for one in losses(folder / "recorded"))
    taken = total / max(one["recorded_s" if rate else "closed_s"] for one in told)
    cpu = 1e6 * sum(one["cpu_s"] for one in told) / total
    if rate:
        against = f"4 processes for {SECONDS} s on {os.cpu_count()} cores, five boxes, records alone"
        yield at_least("recorder.frames_a_second", taken, "frames/s", 0.99 * WORKERS * RATE, against)
        yield at_most("recorder.records_lost", lost, "records", 0, against)
        yield at_most("recorder.cpu_of_a_frame", cpu, "us", 200, "CPU of all threads and processes, same run")
    else:
        against = f"4 processes as fast as they can, until all is in files; CPU of a frame {cpu:.0f} us"
        yield observed("recorder.frames_a_second_unpaced", taken, "frames/s", against)
        yield at_most("recorder.records_lost_unpaced", lost, "records", 0, against)


def _record(folder: Path, number: int, frames: int, rate: int) -> None:
    memory: dict[str, Any] = {} if rate else {"queue_bytes": 2**28, "close_s": 120.0}
    recorder = Recorder(folder, f"cam-{number}", **memory)
    start, cpu = time.perf_counter(), time.process_time()
    for frame in range(frames):
        recorder.record(BOXES, latency_s=0.01, size=(128, 128))
        if rate and (ahead := start + (frame + 1) / rate - time.perf_counter()) > 0.002:
            time.sleep(ahead)
    took = time.perf_counter() - start
    recorder.close()
    closed = time.perf_counter() - start
    told = {
        "written": recorder.stats().written, "recorded_s": took, "closed_s": closed,
        "cpu_s": time.process_time() - cpu,
    }  # fmt: skip
    (folder / f"{number}.json").write_text(json.dumps(told))
