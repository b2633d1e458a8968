"""The thread that writes what a recorder took, so that the model never waits for a store."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from cvkit.data import recorder_counters, recorder_files, recorder_frames, recorder_metrics
from cvkit.data.images import ImageFacts, measure_strips
from cvkit.data.recorder_counters import Counters, Loss
from cvkit.data.recorder_files import UNKNOWN_VERSION, Deployed, Looked, Record
from cvkit.errors import StorageError

log = logging.getLogger("cvkit.recorder")

TICK_S = 0.5  # between looks into the queue: metrics are as live as that
STALLED_S = 1.0  # a store that keeps a write so long is left alone by the model's thread
ROW_BYTES = 600  # of memory that a record takes beside its boxes and pixels

Done = TypeVar("Done")

_numbers = itertools.count(1)  # of records, over all recorders of a process


@dataclass(frozen=True, slots=True)
class Store:
    """Where and how records are written."""

    workspace: Path
    records: Path  # the folder of the records, in the workspace
    source: str
    flush_s: float
    file_rows: int
    queue_bytes: int
    frames_per_hour: float
    frame_bytes_per_day: int
    channels: str


class Guard(AbstractContextManager[None]):
    """The one place where every exception ends: a recorder that fails must neither stop nor slow its model."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[Exception], None]) -> None:
        self._tell = tell

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self._tell(error)
            return True
        return False


class Writer:
    """Takes records from any thread of one process and writes them from its own."""

    def __init__(
        self, store: Store, version_of: Callable[[Deployed], str], on_start: Callable[[], None] = lambda: None
    ) -> None:
        self.store, self._version_of, self._on_start = store, version_of, on_start
        self.counts = recorder_metrics.Counts()
        self.metrics = recorder_metrics.Metrics(store.source, self.counts, self.waiting)
        self.found: list[Loss] = []  # what dead processes before this one lost
        self.lock = threading.RLock()
        self._process = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{secrets.token_hex(3)}"
        self._queue: deque[tuple[Record, int]] = deque()
        self._looked: deque[tuple[Looked, int]] = deque()
        self._held = 0  # bytes
        self._files = 0
        self._told: set[str] = set()  # what was logged already
        self._counters: Counters | None = None
        self._thread: threading.Thread | None = None
        self._wake, self._ended = threading.Event(), threading.Event()
        self._closing = False
        self._tickets: deque[threading.Event] = deque()
        self._busy_since = np.inf
        self._writer_guard = Guard(self._writer_failed)

    # -- called by the model's threads --------------------------------------------------------------------------

    def put(self, record: Record) -> None:
        """Take a record, or refuse it where those that wait hold too much memory already. Called with the lock."""
        pixels = _size(record.strips) + _size(record.picture)
        size = ROW_BYTES + record.boxes.nbytes + pixels
        if self._closing or self._held + size > self.store.queue_bytes:
            self.counts.refused += 1
            self.tell_once("full", "records are dropped: the store is slower than the model, full, or closed")
            return
        if self._thread is None:
            self._start()
        self._held += size
        self.counts.accepted += 1
        self._queue.append((record, size))
        self._note(recorder_counters.ACCEPTED, self.counts.accepted)
        if len(self._queue) >= self.store.file_rows and not self._wake.is_set():
            self._wake.set()

    def number(self) -> int:
        """A number for a record that no other of this process has."""
        return next(_numbers)

    def waiting(self) -> int:
        """Records taken that are in no file yet."""
        return self.counts.accepted - self.counts.written - self.counts.given_up

    def flush(self, timeout_s: float) -> bool:
        """Write what was taken so far; whether that was done within the time."""
        if self._thread is not None:
            ticket = threading.Event()
            self._tickets.append(ticket)
            self._wake.set()
            if not self._ended.is_set():
                ticket.wait(timeout_s)
        return self.waiting() == 0

    def close(self, timeout_s: float) -> None:
        """Write what is left, for as long as that may take; what is not written then is dropped and counted."""
        with self.lock:
            self._closing = True
        self._wake.set()
        if self._thread is not None and not self._ended.wait(timeout_s):
            self.tell_once("late", f"{self.waiting()} records were not written within {timeout_s:g} s and are lost")
        self.metrics.close()

    def abandon(self) -> None:
        """In a forked child: leave files and counters to the parent, whose they are."""
        if self._counters is not None:
            self._counters.abandon()

    def tell_once(self, kind: str, words: str, error: Exception | None = None) -> None:
        """Log something the first time it happens; afterwards it is only counted."""
        if kind not in self._told:
            self._told.add(kind)
            said = f"{error.problem}: {error.found}" if isinstance(error, StorageError) else error
            cause = f" ({type(error).__name__}: {said})" if error else ""
            log.warning("%s: %s%s", ascii(self.store.source or "recorder")[1:-1], words, cause)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="cvkit-recorder", daemon=True)
        self._thread.start()
        self._on_start()

    def _note(self, field: int, number: int) -> None:
        """Put a count where a kill cannot take it; not while the store keeps a write for long."""
        if self._counters is not None and time.monotonic() - self._busy_since < STALLED_S:
            with suppress(OSError):
                self._counters.put(field, number)

    # -- the writer's own thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        due = time.monotonic() + self.store.flush_s
        while not self._ended.is_set():
            with self._writer_guard:
                self._begin()
            self._wake.wait(min(TICK_S, self.store.flush_s))
            self._wake.clear()
            closing, tickets = self._closing, [self._tickets.popleft() for _ in range(len(self._tickets))]
            with self._writer_guard:
                self._look()
            if closing or tickets or time.monotonic() >= due or len(self._looked) >= self.store.file_rows:
                with self._writer_guard:
                    self._write(last=closing)
                due = time.monotonic() + self.store.flush_s
            for ticket in tickets:
                ticket.set()
            if closing:
                self._end()

    def _begin(self) -> None:
        """Open the counters, and tell what was lost before; again and again where the store is not there yet."""
        if self._counters is None:
            records, source = self.store.records, self.store.source
            self._counters = self._timed(lambda: Counters(records, self._process, source))
            self._note(recorder_counters.ACCEPTED, self.counts.accepted)
            self._timed(lambda: self._tell_losses(records))
        self._note_losses()

    def _tell_losses(self, records: Path) -> None:
        for loss in recorder_counters.sweep(records):
            self.found.append(loss)
            log.warning("%s: %s", ascii(loss.source or "recorder")[1:-1], loss.words)

    def _note_losses(self) -> None:
        self._note(recorder_counters.REFUSED, self.counts.refused + self.counts.failed)
        self._note(recorder_counters.GIVEN_UP, self.counts.given_up)
        self._note(recorder_counters.BEAT, time.time_ns() // 1000)

    def _look(self) -> None:
        """Look at the pixels of what was taken, keep frames, count for the metrics; pixels are let go of."""
        done: list[Looked] = []
        for _ in range(len(self._queue)):
            record, size = self._queue.popleft()
            pixels = _size(record.strips) + _size(record.picture)
            if not record.deployed.version:
                self._name_version(record.deployed)
            one = self._look_at(record) if pixels else Looked(record, None, "")
            self._looked.append((one, size - pixels))
            if pixels:
                self._let_go(pixels)
            done.append(one)
        if done:
            self.metrics.add(done)

    def _look_at(self, record: Record) -> Looked:
        facts, frame = None, ""
        with self._writer_guard:
            facts = self._facts(record)
        with self._writer_guard:
            frame = self._keep(record)
        return Looked(record._replace(strips=None, picture=None), facts, frame)

    def _facts(self, record: Record) -> ImageFacts | None:
        if record.strips is None:
            return None
        swap = record.strips.ndim == 3 and self.store.channels == "bgr"
        return measure_strips(record.strips[:, :, ::-1] if swap else record.strips, record.height)

    def _keep(self, record: Record) -> str:
        """Write a chosen frame; its path below the workspace, "" where it was not chosen, or the budget is spent."""
        if record.picture is None:
            return ""
        picture = record.picture
        if picture.ndim == 3 and self.store.channels == "rgb":
            picture = picture[:, :, ::-1]
        day = f"{recorder_files.moment(record.time_us):%Y-%m-%d}"
        folder = self.store.records / recorder_files.FRAMES / day / recorder_files.source_folder(self.store.source)
        path = folder / f"{recorder_files.frame_name(record, self._process)}.jpg"
        content = recorder_frames.encode(picture)
        store = self.store
        if not self._timed(
            lambda: recorder_frames.write(path, content, store.frames_per_hour, store.frame_bytes_per_day)
        ):
            return ""
        self.counts.kept += 1
        return path.relative_to(self.store.workspace).as_posix()

    def _write(self, *, last: bool) -> None:
        """Write what was looked at, a file for each date and model; what cannot be written waits, if it may."""
        taken = list(self._looked)
        sizes = {id(one): size for one, size in taken}
        for (day, _), group in recorder_files.grouped([one for one, _ in taken]).items():
            try:
                self._write_file(day, group)
            except StorageError as error:
                self.tell_once("store", "records wait in memory: they cannot be written", error)
                if not last:
                    continue
                self._give_up(group)
            except (ValueError, TypeError, ArithmeticError) as error:  # a record that no file can hold
                self.tell_once("unfit", f"{len(group)} records are dropped: no file can hold them", error)
                self._give_up(group)
            self._drop_from_queue(group, sizes)

    def _write_file(self, day: str, group: Sequence[Looked]) -> None:
        self._files += 1
        folder = self.store.records / day / recorder_files.source_folder(self.store.source)
        path = folder / f"{self._process}-{self._files}.parquet"
        self._note(recorder_counters.NEXT_FILE, self._files)  # before the total: see `recorder_counters`
        self._note(recorder_counters.NEXT_TOTAL, self.counts.written + len(group))
        self._timed(lambda: recorder_files.write(path, group, self.store.source, self._process))
        self.counts.written += len(group)
        self._note(recorder_counters.WRITTEN, self.counts.written)

    def _give_up(self, group: Sequence[Looked]) -> None:
        self.counts.given_up += len(group)

    def _drop_from_queue(self, group: Sequence[Looked], sizes: dict[int, int]) -> None:
        gone = set(map(id, group))
        self._looked = deque(pair for pair in self._looked if id(pair[0]) not in gone)
        self._let_go(sum(sizes[one] for one in gone))

    def _let_go(self, size: int) -> None:
        with self.lock:
            self._held -= size

    def _name_version(self, deployed: Deployed) -> None:
        deployed.version = UNKNOWN_VERSION
        with self._writer_guard:
            deployed.version = self._timed(lambda: self._version_of(deployed))

    def _timed(self, work: Callable[[], Done]) -> Done:
        """Do something with the store, and let the model's threads see since when."""
        self._busy_since = time.monotonic()
        try:
            return work()
        finally:
            self._busy_since = np.inf

    def _end(self) -> None:
        if self._counters is not None:
            with suppress(OSError):
                self._note_losses()
                counts = self.counts
                clean = not (self.waiting() or counts.refused or counts.given_up or counts.failed)
                self._counters.close(remove=clean)
        self._ended.set()
        while self._tickets:
            self._tickets.popleft().set()

    def _writer_failed(self, error: Exception) -> None:
        self.tell_once(f"writer {type(error).__name__}", "the recorder could not do part of its work", error)


def weights_version(weights: Path) -> str:
    """The version that weights are called by, as `Config.version` does."""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _size(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None) -> int:
    return 0 if pixels is None else pixels.nbytes
