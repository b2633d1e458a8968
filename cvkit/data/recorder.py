"""The recorder: two lines beside a model that write down what it sees and says, and never stand in its way."""

from __future__ import annotations

import functools
import math
import multiprocessing.util
import os
import time as clock
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cvkit.data import recorder_given as given_as
from cvkit.data import recorder_metrics
from cvkit.data.images import take_strips
from cvkit.data.recorder_files import UNKNOWN_VERSION, Boxes, Deployed, Record, readable
from cvkit.data.recorder_frames import Chooser
from cvkit.data.recorder_ultralytics import Attachment
from cvkit.data.recorder_writer import Guard, Store, Writer, log, weights_version
from cvkit.errors import CvkitError

if TYPE_CHECKING:
    from cvkit.config import Config

FOLDER = "recorded"


@dataclass(frozen=True, slots=True)
class Stats:
    """What a recorder did so far, in this process."""

    accepted: int  # records taken
    written: int  # of these in whole files
    waiting: int  # of these not in a file yet
    dropped: int  # records refused or given up: the store was full or slow, or the record could not be used
    errors: int  # of the model
    kept: int  # frames kept as pictures
    lost_before: int  # records that died with processes before this one


@dataclass(slots=True)
class Seen:
    """What the model says of a frame; filled in by whoever runs it."""

    boxes: ArrayLike | None = None
    image_id: str = ""
    time: datetime | float | None = None


class Recorder:
    """Records every frame of one source in Parquet files of a workspace, and keeps a few frames as pictures.

    Safe to use from many threads; a forked child and each other process records for itself. Nothing that goes wrong in
    it reaches the model: records are dropped, counted (`stats`) and the first of a kind is logged.

    Parameters
    ----------
    workspace
        Folder of the workspace; need not be there yet.
    source
        Name of the camera, site or device, whatever it holds.
    model, version, classes
        What is recorded of the model: its name, version, and class names by id. Else those of cvkit.yml or of the
        attached model's weights; version "external" where nothing says it.
    properties_per_s
        Frames a second whose pixels are looked at for brightness, sharpness and the like; `math.inf` for all, 0 none.
    frames_per_hour, frame_bytes_per_day
        Budget of kept frames of this source: a third at random moments, a third least sure, a third odd.
    confidence
        What the model cuts at: frames with boxes near it are the least sure.
    channels
        Order of the colours in images that are given: "bgr" as OpenCV and Ultralytics have it, or "rgb".
    flush_s, file_rows
        A file is written at least so often, and after so many records.
    queue_bytes
        Memory that waiting records may take; more are dropped.
    close_s
        Seconds that `close` and the end of the program wait for the store.
    metrics_port, metrics_address
        Serve live metrics there for Prometheus; None does not.

    Raises
    ------
    ConfigError
        For settings that cannot be, here and nowhere else.

    """

    def __init__(
        self,
        workspace: str | os.PathLike[str],
        source: str = "",
        *,
        model: str = "",
        version: str = "",
        classes: Mapping[int, str] | Sequence[str] = (),
        properties_per_s: float = 1.0,
        frames_per_hour: float = 60,
        frame_bytes_per_day: int = 200_000_000,
        confidence: float = 0.25,
        channels: str = "bgr",
        flush_s: float = 5.0,
        file_rows: int = 20_000,
        queue_bytes: int = 2**26,
        close_s: float = 10.0,
        metrics_port: int | None = None,
        metrics_address: str = "127.0.0.1",
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "workspace", "source")}
        self._given = (functools.partial(Recorder, **given), (workspace, source))  # as another process makes its own
        given_as.check(given)
        place = Path(os.path.abspath(workspace))  # noqa: PTH100  links stay as they are
        self._config = _config(place)
        names = dict(classes) if isinstance(classes, Mapping) else dict(enumerate(classes))
        self._deployed = Deployed(model or (self._config.model.name if self._config else "model"), version, names)
        records = place / ((self._config.captures.records if self._config else "") or FOLDER)
        self._store = Store(
            place, records, readable(source), flush_s, file_rows, queue_bytes, frames_per_hour, frame_bytes_per_day,
            channels,
        )  # fmt: skip
        self._look_every_s = 1 / properties_per_s if properties_per_s else math.inf
        self._confidence, self._close_s, self._address = confidence, close_s, metrics_address
        self._attached: list[Attachment] = []
        self.metrics_port = self._serve(metrics_port)
        self._begin()
        _living.add(self)

    def _begin(self) -> None:
        self.guard = Guard(self._failed)
        self._writer = Writer(self._store, self._version_of, self._started)
        self._chooser = Chooser(self._store.frames_per_hour, self._confidence)
        self._next_look = -math.inf

    # -- recording ----------------------------------------------------------------------------------------------

    def attach(self, model: Any) -> Recorder:
        """Record everything that an Ultralytics model predicts from now on, with `predict`, `track` or a stream.

        An image that is a file is called by its path, seen from the workspace; others get a name of their own. An error
        of the model is counted when the next batch begins, or with `detach`. Raises ConfigError for a task without
        boxes, such as classification.
        """
        attachment = Attachment(model, self, self._deployed)
        self._attached.append(attachment)
        return self

    def detach(self) -> None:
        """Record no more of the models that were attached."""
        while self._attached:
            with self.guard:
                self._attached.pop().end()

    def record(
        self,
        boxes: ArrayLike | None = None,
        *,
        image: Any = None,
        latency_s: float = math.nan,
        time: datetime | float | None = None,
        image_id: str | os.PathLike[str] = "",
        size: tuple[int, int] | None = None,
    ) -> None:
        """Record one frame.

        Parameters
        ----------
        boxes
            (n, 6): x1, y1, x2, y2 in pixels, confidence 0-1, class id; none where nothing was found.
        image
            Its pixels (rows, columns[, 3]) uint8, where frames are to be looked at and kept.
        latency_s
            Seconds the model took.
        time
            When it was taken: with a zone, in UTC without, or seconds since 1970; now where it is not given.
        image_id
            The image's file; without, the frame gets a name of its own.
        size
            Width and height in pixels, where `image` does not tell.

        """
        with self.guard:
            self.take(boxes, image, latency_s, time, image_id, size, self._deployed)

    @contextmanager
    def frame(self, image: Any = None, **known: Any) -> Iterator[Seen]:
        """Record the frame that the block looks at, with the time the block takes; its error is counted and goes on.

        `known` as for `record`. Put what the model says into `boxes` of what the block gets.
        """
        seen, start = Seen(), clock.perf_counter()
        try:
            yield seen
        except BaseException:
            self.error()
            raise
        known.setdefault("latency_s", clock.perf_counter() - start)
        own = {name: value for name in ("image_id", "time") if (value := getattr(seen, name))}
        self.record(seen.boxes, image=image, **{**known, **own})

    def error(self) -> None:
        """Count an error of the model."""
        with self.guard, self._writer.lock:
            self._writer.counts.errors += 1

    def take(
        self,
        boxes: ArrayLike | None,
        image: Any,
        latency_s: float,
        time: datetime | float | None,
        image_id: str | os.PathLike[str],
        size: tuple[int, int] | None,
        deployed: Deployed,
    ) -> None:
        """As `record`, of a model of its own; raises whatever the arguments are good for."""
        rows, pixels = given_as.rows(boxes), given_as.pixels(image)
        latency_s = float(latency_s)
        moment, name = given_as.time_us(time), self._image_name(image_id) if image_id else ""
        width, height = (pixels.shape[1], pixels.shape[0]) if pixels is not None else size or (0, 0)
        writer = self._writer
        with writer.lock:
            strips, picture, kept = self._chosen(pixels, rows)
            writer.put(
                Record(
                    moment,
                    writer.number(),
                    name,
                    int(width),
                    int(height),
                    latency_s if latency_s >= 0 else math.nan,  # a clock that was set back tells nothing
                    rows,
                    deployed,
                    strips,
                    picture,
                    kept,
                )
            )

    def _chosen(
        self, pixels: NDArray[np.uint8] | None, rows: Boxes
    ) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None, str]:
        """Copies of what is looked at of a frame's pixels, of all of them where it is kept, and why it is."""
        if pixels is None:
            return None, None, ""
        now = clock.monotonic()
        strips = None
        if now >= self._next_look:
            strips = take_strips(pixels)
            self._next_look = now + self._look_every_s
        kept = self._chooser.choose(now, rows[:, 4], strips)
        if not kept:
            return strips, None, ""
        return take_strips(pixels) if strips is None else strips, pixels.copy(), kept

    def _image_name(self, image_id: str | os.PathLike[str]) -> str:
        """A file's path as seen from the workspace, with `/`; all of it where it lies elsewhere."""
        path, home = os.fspath(image_id), f"{self._store.workspace}{os.sep}"
        return readable((path[len(home) :] if path.startswith(home) else path).replace(os.sep, "/"))

    # -- its end, and what it did -------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Write what was taken so far; whether everything is in files within that time."""
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Detach, write what is left and end; records that come later are dropped."""
        _living.discard(self)
        _open.discard(self)
        self.detach()
        self._writer.close(self._close_s)
        if self.metrics_port is not None:
            with self.guard:
                recorder_metrics.end_serving(self.metrics_port, self._address)
            self.metrics_port = None

    def stats(self) -> Stats:
        """What was recorded so far."""
        writer = self._writer
        counts = writer.counts
        dropped = counts.refused + counts.given_up + counts.failed
        lost = sum(loss.lost for loss in writer.found)
        return Stats(
            counts.accepted, counts.written, writer.waiting(), dropped, counts.errors, counts.kept, lost
        )  # fmt: skip

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return self._given  # in another process, or where a model is copied with its callbacks, a recorder of its own

    def _serve(self, port: int | None) -> int | None:
        if port is None:
            return None
        try:
            return recorder_metrics.serve(port, self._address)
        except OSError as error:
            log.warning("%s: no metrics at port %d: %s", ascii(self._store.source or "recorder")[1:-1], port, error)
            return None

    def _failed(self, error: Exception) -> None:
        """Something went wrong in taking a record: it is dropped."""
        self._writer.counts.failed += 1
        self._writer.tell_once(f"record {type(error).__name__}", "records are dropped: they cannot be used", error)

    def _started(self) -> None:
        """With the first record of a process: what is not closed is kept until the process ends."""
        _open.add(self)
        _end_with_process()

    def _version_of(self, deployed: Deployed) -> str:
        if deployed.weights:
            return weights_version(Path(deployed.weights))
        return self._config.version if self._config else UNKNOWN_VERSION

    def after_fork(self) -> None:
        """In a forked child: what the parent took is the parent's."""
        self._writer.abandon()
        self.metrics_port = None
        self._begin()


def _config(workspace: Path) -> Config | None:
    """The workspace's settings; None where there are none, or none that can be used: the model runs all the same."""
    if not (workspace / "cvkit.yml").is_file():
        return None
    from cvkit.config import load_config  # takes a while, which a workspace without settings need not wait for

    try:
        return load_config(workspace)
    except CvkitError as error:
        log.warning("the recorder goes on without cvkit.yml: %s", error)
        return None


# -- the process ----------------------------------------------------------------------------------------------------

_living: weakref.WeakSet[Recorder] = weakref.WeakSet()
_open: set[Recorder] = set()  # those that have recorded something
_promised = {"pid": 0}


def _end_with_process() -> None:
    """Close what is open when the process ends, one of multiprocessing's too: those run no `atexit`.

    Called with the first record of a process: multiprocessing forgets what was asked of it before a child begins.
    """
    if _promised["pid"] != os.getpid():
        _promised["pid"] = os.getpid()
        multiprocessing.util.Finalize(None, _close_all, exitpriority=100)


def _close_all() -> None:
    for recorder in list(_open):
        recorder.close()


def _forget_parent() -> None:
    _promised["pid"] = 0
    _open.clear()
    for recorder in list(_living):
        recorder.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
