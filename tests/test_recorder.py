"""The recorder: every frame in whole files, whatever happens to clock, disk and process; the model never notices."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

import cvkit
from cvkit.data import images, recorder_counters, recorder_files, recorder_frames, recorder_given
from cvkit.errors import ConfigError, StorageError
from cvkit.storage import storage_error

BOXES = np.array([[1, 2, 30, 40, 0.9, 0], [5, 6, 20, 22, 0.3, 1]], np.float32)
HOSTILE = ["", "..", ".", "a/../../b", "/etc/passwd", "nul\0nul", "q\"uo'te\n", "☃🙂", "x" * 500, "\udcff\ud800"]


def records(workspace: Path) -> pa.Table:
    """All that readers see; a file that is not whole would be an error here."""
    files = sorted((workspace / "recorded").glob("*/*/*.parquet"))
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files if file.name[0] != "."])


def picture(seed: int = 0, shape: tuple[int, ...] = (96, 128, 3)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[cvkit.Recorder]:
    with cvkit.Recorder(tmp_path, "cam-1", classes=["nut", "bolt"], properties_per_s=math.inf) as made:
        yield made


# -- what is written ------------------------------------------------------------------------------------------------


def test_a_record_is_one_row_with_its_boxes(recorder: cvkit.Recorder, tmp_path: Path) -> None:
    taken = datetime(2026, 11, 21, 6, 7, 8, 9, tzinfo=UTC)
    recorder.record(BOXES, image=picture(), latency_s=0.012, time=taken, image_id=tmp_path / "captures" / "a.jpg")
    recorder.record(time=taken.timestamp(), size=(640, 480))
    assert recorder.flush()
    first, second = records(tmp_path).to_pylist()
    assert (first["image_id"], first["time"], first["source"]) == ("captures/a.jpg", taken, "cam-1")
    assert (first["width"], first["height"], first["latency_s"]) == (128, 96, 0.012)
    said = np.column_stack([first[name] for name in recorder_files.BOX])
    np.testing.assert_array_equal(said.astype(np.float32), BOXES)
    assert (second["class_id"], second["width"], second["version"]) == ([], 640, "external")
    assert second["image_id"].startswith("recorded/source=cam-1/2026-11-21/060708000009-")
    assert math.isnan(second["brightness"])
    assert math.isnan(second["latency_s"])


def test_properties_are_those_of_an_image_file(recorder: cvkit.Recorder, tmp_path: Path) -> None:
    shapes = ((96, 128, 3), (40, 33, 3), (300, 50, 3), (120, 160), (2, 2, 3))
    for number, shape in enumerate(shapes):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number, shape))
        recorder.record(image=picture(number, shape))
    assert recorder.flush()
    for number, row in enumerate(records(tmp_path).to_pylist()):
        known = images.measure(tmp_path / f"{number}.png")
        assert row["dhash"] == known.dhash
        for name in ("brightness", "contrast", "saturation", "colourfulness", "entropy", "sharpness", "noise"):
            assert row[name] == pytest.approx(getattr(known, name), abs=1e-12, nan_ok=True), (shapes[number], name)


def test_colours_are_read_in_the_order_that_was_said(tmp_path: Path) -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[:, :, 0] = 200
    with cvkit.Recorder(tmp_path, channels="rgb", properties_per_s=math.inf) as made:
        made.record(image=red)
    assert records(tmp_path)["brightness"].to_pylist() == [pytest.approx(0.299 * 200, abs=0.6)]


def test_frames_are_looked_at_so_often_only_and_a_frozen_camera_shows(tmp_path: Path) -> None:
    with cvkit.Recorder(tmp_path, properties_per_s=50) as made:
        start = time.monotonic()
        while time.monotonic() - start < 0.5:
            made.record(image=picture())
            time.sleep(0.001)
    contents = records(tmp_path)["content"].to_pylist()
    assert 5 <= sum(map(bool, contents)) <= 27
    assert len({*contents} - {""}) == 1


@pytest.mark.parametrize("source", HOSTILE)
def test_no_source_name_leaves_the_folder_or_loses_its_name(tmp_path: Path, source: str) -> None:
    home = tmp_path / "workspace"
    with cvkit.Recorder(home, source, frames_per_hour=1e9, classes={0: source}) as made:
        for number in range(3):
            made.record(BOXES, image=picture(number))
            time.sleep(0.001)
    assert made.stats().written == 3
    assert made.stats().dropped == 0
    assert {path.name for path in tmp_path.iterdir()} == {"workspace"}
    assert {path.name for path in home.iterdir()} == {"recorded"}
    rows = records(home)
    plain = source.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    assert set(rows["source"].to_pylist()) == {plain}
    for frame in filter(None, rows["frame"].to_pylist()):
        assert (home / frame).resolve().is_relative_to((home / "recorded" / "frames").resolve())


def test_boxes_that_are_no_numbers_are_written_as_they_are(recorder: cvkit.Recorder, tmp_path: Path) -> None:
    recorder.record([[math.nan, 1, math.inf, 3, math.nan, math.nan], [1, 2, 3, 4, 0.5, 1e30]])
    assert recorder.flush()
    (row,) = records(tmp_path).to_pylist()
    assert math.isnan(row["x1"][0])
    assert row["class_id"] == [-1, 2**24]


def test_a_clock_that_goes_back_loses_nothing(
    recorder: cvkit.Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [2_000_000_000_000_000_000]

    def back() -> int:
        now[0] -= 40_000_000_000_000  # eleven hours
        return now[0]

    monkeypatch.setattr(recorder_given.clock, "time_ns", back)
    for _ in range(40):
        recorder.record(BOXES)
    monkeypatch.undo()
    assert recorder.flush()
    rows = records(tmp_path)
    assert len(rows) == 40
    assert len(set(rows["image_id"].to_pylist())) == 40
    for file in (tmp_path / "recorded").glob("*/*/*.parquet"):
        days = {f"{moment:%Y-%m-%d}" for moment in pq.read_table(file, partitioning=None)["time"].to_pylist()}
        assert days == {file.parent.parent.name}


def test_the_version_is_called_as_the_settings_call_it(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"weights")
    (tmp_path / "cvkit.yml").write_text(
        "model: {name: parts, weights: best.pt}\ncaptures: {records: elsewhere}\nreference: {data: d.yaml}\n"
    )
    with cvkit.Recorder(tmp_path) as made:
        made.record()
    (file,) = (tmp_path / "elsewhere").glob("*/*/*.parquet")
    (row,) = pq.read_table(file, partitioning=None).to_pylist()
    assert (row["model"], row["version"]) == ("parts", cvkit.load_config(tmp_path).version)


def test_it_goes_on_without_settings_that_cannot_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cvkit.yml").write_text("model: [")
    with cvkit.Recorder(tmp_path, version="v7") as made:
        made.record()
    assert records(tmp_path)["version"].to_pylist() == ["v7"]
    assert "without cvkit.yml" in caplog.text


# -- many at once ---------------------------------------------------------------------------------------------------


def test_threads_lose_nothing(recorder: cvkit.Recorder, tmp_path: Path) -> None:
    def work() -> None:
        for _ in range(400):
            recorder.record(BOXES, image=small)

    small = picture()
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.flush()
    ids = records(tmp_path)["image_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 2400


def test_two_recorders_of_one_source_and_a_copy_are_three(tmp_path: Path) -> None:
    with (
        cvkit.Recorder(tmp_path, "cam") as first,
        cvkit.Recorder(tmp_path, "cam") as second,
        pickle.loads(pickle.dumps(first)) as third,
    ):
        for _ in range(50):
            for one in (first, second, third):
                one.record(BOXES)
    ids = records(tmp_path)["image_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 150


def _work(folder: Path, number: int) -> None:
    made = cvkit.Recorder(folder, f"cam-{number % 2}")  # not closed: the end of the process does it
    for _ in range(200):
        made.record(BOXES)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_lose_nothing_at_their_end(tmp_path: Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=_work, args=(tmp_path, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(records(tmp_path)) == 600
    assert recorder_counters.losses(tmp_path / "recorded") == []


def test_a_forked_child_records_for_itself(recorder: cvkit.Recorder, tmp_path: Path) -> None:
    for _ in range(10):
        recorder.record(BOXES)
    child = os.fork()
    if not child:  # the parent's ten, not written yet, are the parent's
        try:
            for _ in range(7):
                recorder.record(BOXES)
            recorder.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    recorder.record(BOXES)
    assert recorder.flush()
    ids = records(tmp_path)["image_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 18
    assert recorder_counters.losses(tmp_path / "recorded") == []


def test_the_end_of_the_interpreter_writes_what_is_left(tmp_path: Path) -> None:
    code = (
        "import cvkit, numpy, sys\nr = cvkit.Recorder(sys.argv[1], properties_per_s=1e9)\nr.record()\nr.flush()\n"
        "for _ in range(49): r.record([[1, 2, 3, 4, .5, 0]], image=numpy.zeros((9, 9, 3), 'u1'))\n"
        "heavy = [m for m in ('torch', 'ultralytics', 'pandas', 'matplotlib', 'evidently') if m in sys.modules]\n"
        "print(heavy)\ndel r"  # nobody holds it any more
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
    assert len(records(tmp_path)) == 50


KILLED = """
import os, random, signal, sys, time
import cvkit
folder, kills, Recorder = sys.argv[1], int(sys.argv[2]), cvkit.Recorder  # imported once, for all children
for number in range(kills):
    child = os.fork()
    if not child:
        made = Recorder(folder, f"cam-{number}", flush_s=0.03, file_rows=500)
        truth, taken = os.open(f"{folder}/truth-{number}", os.O_RDWR | os.O_CREAT), 0
        while True:
            made.record([[1, 2, 3, 4, .5, 0]] * 3)
            taken += 1
            os.pwrite(truth, b"%12d" % taken, 0)
            time.sleep(0.0003)
    time.sleep(0.05 + random.Random(number).random() * 0.25)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def test_a_kill_at_any_moment_leaves_whole_files_and_says_what_was_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kills = 16
    told = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, str(kills)], capture_output=True, text=True, check=True
    )
    rows = records(tmp_path)  # every file that a reader sees is whole
    ids = rows["image_id"].to_pylist()
    assert len(ids) == len(set(ids))
    written = {source: rows["source"].to_pylist().count(source) for source in set(rows["source"].to_pylist())}
    known = {loss.source: loss for loss in recorder_counters.losses(tmp_path / "recorded")}
    lost = 0
    for number in range(kills):
        truth, source = int((tmp_path / f"truth-{number}").read_text()), f"cam-{number}"
        loss = known.get(source)
        if loss is None:  # killed when all was written
            assert truth <= written[source] <= truth + 1
            continue
        assert loss.accepted in (truth, truth + 1)  # a kill may come before the child notes its own count
        assert loss.written == written.get(source, 0)
        assert loss.lost == loss.accepted - written.get(source, 0)
        lost += loss.lost
    assert lost > 0
    with cvkit.Recorder(tmp_path, "next") as made:
        made.record()
        made.flush()
        before = made.stats().lost_before  # what the recorders among the killed had not told yet
    heard = [line for line in (told.stderr + caplog.text).splitlines() if "records were lost when the process" in line]
    assert before == sum(known[source].lost for source in known if f"{source}: " in caplog.text)
    heard_of = [line.split(": ")[-2].split()[-1] for line in heard]
    assert len(set(heard_of)) == len(heard_of)  # told once
    untold = set(known) - set(heard_of)  # by the one that was killed between its claim and its word
    assert len(untold) <= 1
    assert not list((tmp_path / "recorded").rglob("*.part"))  # what was half written is cleared away
    assert sum(one.lost for one in recorder_counters.losses(tmp_path / "recorded")) == lost  # readers still see it
    with cvkit.Recorder(tmp_path, "later") as made:
        made.record()
        made.flush()
        assert made.stats().lost_before == 0  # told once


def test_counters_of_a_living_process_are_no_loss(recorder: cvkit.Recorder, tmp_path: Path) -> None:
    recorder.record(BOXES)
    for _ in range(100):
        if list((tmp_path / "recorded" / ".counters").glob("*.bin")):
            break
        time.sleep(0.02)
    assert recorder_counters.losses(tmp_path / "recorded") == []
    recorder.close()
    assert not list((tmp_path / "recorded" / ".counters").iterdir())  # a clean end leaves nothing to tell


# -- a store that is full, slow or gone ---------------------------------------------------------------------------


def test_records_wait_for_a_full_disk_and_the_first_is_logged(
    recorder: cvkit.Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise storage_error(OSError(28, "No space left on device"))

    write = recorder_files.write
    monkeypatch.setattr(recorder_files, "write", full)
    for _ in range(3):
        recorder.record(BOXES)
        assert not recorder.flush()
    assert recorder.stats().waiting == 3
    assert caplog.text.count("the disk is full") == 1
    monkeypatch.setattr(recorder_files, "write", write)
    assert recorder.flush()
    assert len(records(tmp_path)) == 3
    assert recorder.stats().dropped == 0


def test_memory_is_bounded_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(recorder_files, "write", full)
    made = cvkit.Recorder(tmp_path, queue_bytes=100_000, flush_s=0.05)
    for _ in range(1000):
        made.record(BOXES)
    made.close()
    stats = made.stats()
    assert stats.accepted < 200
    assert stats.written == stats.waiting == 0
    assert stats.dropped == 1000
    assert caplog.text.count("records are dropped") == 1
    (left,) = recorder_counters.losses(tmp_path / "recorded")
    assert (left.lost, left.dropped) == (0, 1000)


def test_a_disk_that_takes_no_more_does_not_stop_the_model(tmp_path: Path) -> None:
    """A limit on the size of files is as a full disk is: the kernel itself refuses."""
    code = (
        "import cvkit, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
        "r = cvkit.Recorder(sys.argv[1], flush_s=.02, queue_bytes=50_000)\n"
        "for _ in range(2000): r.record([[1, 2, 3, 4, .5, 0]])\n"
        "r.close(); s = r.stats(); print(s.accepted + s.dropped >= 2000, s.written, s.waiting)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "0", "0"]
    assert done.stderr.count("\n") <= 4  # each kind of trouble once
    assert not list((tmp_path / "recorded").rglob("*.parquet"))


def test_a_store_that_hangs_neither_slows_the_model_nor_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    write = recorder_files.write
    monkeypatch.setattr(recorder_files, "write", lambda *given: (free.wait(20), write(*given)))
    made = cvkit.Recorder(tmp_path, flush_s=0.02, queue_bytes=400_000, close_s=0.3)
    took = []
    for _ in range(3000):
        start = time.perf_counter()
        made.record(BOXES)
        took.append(time.perf_counter() - start)
    start = time.monotonic()
    made.close()
    assert time.monotonic() - start < 2
    assert np.median(took) < 0.001
    assert sum(took) < 3
    stats = made.stats()
    assert stats.dropped + stats.accepted == 3000
    assert stats.dropped > 0
    free.set()
    for _ in range(100):  # what was taken is written once the store is back, if the process still lives
        if made.stats().waiting == 0:
            break
        time.sleep(0.05)
    assert made.stats().written == stats.accepted == len(records(tmp_path))


def test_a_workspace_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    with cvkit.Recorder(tmp_path / "file" / "below", flush_s=0.02) as made:
        for _ in range(5):
            made.record(BOXES, image=picture())
            time.sleep(0.03)
    assert made.stats().dropped == 5
    assert len(caplog.records) <= 3


# -- nothing reaches the model ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"boxes": "no boxes"}, {"boxes": [[1, 2, 3]]}, {"boxes": [[1, 2, 3, 4, 5, 6, 7]]}, {"boxes": object()},
        {"time": math.nan}, {"time": -1.0}, {"time": 1e30}, {"time": "yesterday"}, {"size": "wide"}, {"size": (1,)},
        {"latency_s": "long"}, {"image_id": 7},
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_is_dropped_and_logged_once(
    recorder: cvkit.Recorder, given: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        recorder.record(**given)
    recorder.record(BOXES)
    assert recorder.flush()
    assert recorder.stats().dropped == 3
    assert recorder.stats().written == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize("image", ["text", 7, np.zeros((3, 3)), np.zeros((0, 5, 3), np.uint8), np.zeros(7, np.uint8)])
def test_pixels_that_cannot_be_looked_at_are_left_out(recorder: cvkit.Recorder, image: Any, tmp_path: Path) -> None:
    recorder.record(BOXES, image=image)
    assert recorder.flush()
    assert records(tmp_path)["content"].to_pylist() == [""]


def test_mistakes_of_the_recorder_itself_stay_inside(
    recorder: cvkit.Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(recorder_frames.Chooser, "choose", broken)
    recorder.record(BOXES, image=picture())
    monkeypatch.undo()
    monkeypatch.setattr("cvkit.data.recorder_writer.measure_strips", broken)
    recorder.record(BOXES, image=picture())
    assert recorder.flush()
    assert recorder.stats().dropped == 1
    assert records(tmp_path)["content"].to_pylist() == [""]
    assert caplog.text.count("a mistake") == 2


def test_a_closed_recorder_drops(recorder: cvkit.Recorder) -> None:
    recorder.close()
    recorder.close()
    recorder.record(BOXES)
    assert recorder.flush()
    assert recorder.stats().dropped == 1


def test_a_frame_is_timed_and_its_error_counted_and_raised(recorder: cvkit.Recorder, tmp_path: Path) -> None:
    with recorder.frame(picture(), image_id="captures/x.jpg") as seen:
        time.sleep(0.02)
        seen.boxes = BOXES
    with pytest.raises(ZeroDivisionError), recorder.frame(picture()):
        _ = 1 / 0
    assert recorder.flush()
    (row,) = records(tmp_path).to_pylist()
    assert 0.02 <= row["latency_s"] < 1
    assert (row["image_id"], row["confidence"]) == ("captures/x.jpg", pytest.approx([0.9, 0.3]))
    assert recorder.stats().errors == 1


@pytest.mark.parametrize(
    "given", [{"flush_s": 0}, {"queue_bytes": -1}, {"confidence": math.nan}, {"channels": "cmyk"}, {"file_rows": "9"}]
)
def test_settings_that_cannot_be_are_refused_at_once(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        cvkit.Recorder(tmp_path, **given)


# -- frames that are kept -----------------------------------------------------------------------------------------


def test_frames_are_kept_within_the_budget_of_their_source(tmp_path: Path) -> None:
    with cvkit.Recorder(tmp_path, "a/b", frames_per_hour=36_000) as made:
        start, number = time.monotonic(), 0
        while time.monotonic() - start < 1.2:
            made.record(BOXES, image=picture(number % 7), time=datetime(2026, 11, 21, 6, 0, 0, number, tzinfo=UTC))
            number += 1
            time.sleep(0.002)
    rows = [row for row in records(tmp_path).to_pylist() if row["frame"]]
    assert {row["kept"] for row in rows} >= {"uniform", "uncertain"}
    assert 3 <= len(rows) <= 13  # a slot of 0.3 s has at most one of each kind
    for row in rows:
        kept = images.measure(tmp_path / row["frame"])
        assert (kept.width, kept.height, kept.damage) == (128, 96, "")
        assert kept.brightness == pytest.approx(row["brightness"], abs=1.5)  # JPEG


def test_the_budget_is_one_for_all_processes(tmp_path: Path) -> None:
    names = [f"06{minute:02d}00000000-{process}-1.jpg" for minute in range(10) for process in "ab"]
    assert [recorder_frames.write(tmp_path / "f" / name, b"x" * 10, 5, 1000) for name in names] == [True] * 5 + [
        False
    ] * 15
    assert recorder_frames.write(tmp_path / "f" / "070000000000-a-1.jpg", b"x" * 10, 5, 1000)
    assert not recorder_frames.write(tmp_path / "f" / "070000000000-b-1.jpg", b"x" * 950, 5, 1000)


def test_uniform_frames_are_a_fair_sample_of_time() -> None:
    places = []
    for seed in range(300):
        chooser = recorder_frames.Chooser(3, 0.25, seed)  # a slot is an hour
        places += [second for second in range(3600) if chooser.choose(second, np.empty(0, np.float32), None)]
    assert len(places) == 300
    assert abs(np.mean(places) - 1800) < 4 * 3600 / math.sqrt(12 * 300)
    assert np.histogram(places, bins=3, range=(0, 3600))[0].min() > 60


def test_the_least_sure_frame_of_an_hour_is_kept() -> None:
    rng, kept = np.random.default_rng(0), []
    chooser = recorder_frames.Chooser(3, 0.25, seed=1)
    for hour in range(40):
        for frame in range(100):
            score = np.float32([rng.uniform(0.3, 0.95)])
            if chooser.choose(hour * 3600.0 + frame * 36, score, None) == "uncertain":
                kept.append(float(score[0]))
    assert 12 <= len(kept) <= 39  # none in the first, at most one in each other
    assert max(kept) < 0.34  # of frames spread over .3 to .95


def test_an_odd_frame_is_kept_and_a_usual_one_not() -> None:
    rng = np.random.default_rng(0)
    chooser = recorder_frames.Chooser(3, 0.25, seed=1)
    nothing = np.empty(0, np.float32)
    chosen = []
    for number in range(300):
        level = 30 if number == 200 else 120
        strips = rng.normal(level, 6, (51, 128, 3)).clip(0, 255).astype(np.uint8)
        chosen.append(chooser.choose(number * 5.0, nothing, strips))
    assert chosen[200] == "odd"
    assert chosen.count("odd") == 1


# -- live metrics -------------------------------------------------------------------------------------------------


def scraped(port: int) -> tuple[str, dict[str, dict[tuple[tuple[str, str], ...], float]]]:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), f"{sample.name} {labels} comes twice"
            found[sample.name][labels] = sample.value
    return text, found


def test_metrics_are_live_bounded_and_in_prometheus_own_words(tmp_path: Path) -> None:
    name = 'c"l\\as\ns 🙂'
    source = 'gate "1"\n'
    with (
        cvkit.Recorder(
            tmp_path, source, metrics_port=0, classes={0: name}, model="m", version="v", flush_s=600
        ) as made,
        cvkit.Recorder(tmp_path, source, metrics_port=made.metrics_port, model="m", version="v", flush_s=600) as other,
    ):
        assert made.metrics_port
        for number in range(150):
            made.record([[0, 0, 1, 1, 0.55, number]], image=np.full((64, 64, 3), 77, np.uint8), latency_s=0.02)
        made.record([[0, 0, 1, 1, math.nan, math.nan]], latency_s=3.0)
        other.record(BOXES, latency_s=math.nan)
        made.record("rubbish")
        made.error()
        time.sleep(1.2)  # metrics are half a second behind, without a file
        text, found = scraped(made.metrics_port)
        assert not list((tmp_path / "recorded").rglob("*.parquet"))
    mine = (("source", source),)
    of_model = (("model", "m"), *mine, ("version", "v"))
    assert found["cvkit_records_accepted_total"][mine] == 152
    assert found["cvkit_records_dropped_total"][mine] == 1
    assert found["cvkit_inference_errors_total"][mine] == 1
    assert found["cvkit_frames_total"][of_model] == 152
    assert found["cvkit_inference_latency_seconds_count"][of_model] == 151
    assert found["cvkit_inference_latency_seconds_sum"][of_model] == pytest.approx(6.0)
    buckets = found["cvkit_inference_latency_seconds_bucket"]
    assert {dict(key)["le"]: value for key, value in buckets.items()}["0.025"] == 150
    assert {dict(key)["le"]: value for key, value in buckets.items()}["5.0"] == 151
    assert found["cvkit_detection_confidence_count"][of_model] == 152
    assert found["cvkit_image_brightness"][of_model] == pytest.approx(77)
    classes = {dict(key)["class"]: value for key, value in found["cvkit_detections_total"].items()}
    assert classes[name] == 1
    assert classes["other"] > 0
    assert len(classes) <= 103
    assert sum(classes.values()) == 153
    assert any(name.startswith("process_") for name in found)
    check_with_promtool(text)


def check_with_promtool(text: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: everything but its own check passed")
    ours = "".join(line for line in text.splitlines(keepends=True) if "process_" not in line)
    done = subprocess.run(["promtool", "check", "metrics"], input=ours, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_port_that_is_taken_is_told_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with cvkit.Recorder(tmp_path, metrics_port=taken.getsockname()[1]) as made:
            made.record(BOXES)
            assert made.metrics_port is None
    assert made.stats().written == 1
    assert caplog.text.count("no metrics at port") == 1


def test_the_port_is_free_again_after_the_last_recorder(tmp_path: Path) -> None:
    first = cvkit.Recorder(tmp_path, "a", metrics_port=0)
    port = first.metrics_port
    assert port
    second = cvkit.Recorder(tmp_path, "b", metrics_port=port)
    first.close()
    assert scraped(port)[1]["cvkit_records_accepted_total"] == {(("source", "b"),): 0}
    second.close()
    with cvkit.Recorder(tmp_path, "c", metrics_port=port) as third:
        assert third.metrics_port == port


def test_logging_is_all_there_is_to_hear(recorder: cvkit.Recorder, capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("cvkit.recorder").debug("x")
    for _ in range(10):
        recorder.record(BOXES, image=picture())
    recorder.close()
    assert capfd.readouterr() == ("", "")
