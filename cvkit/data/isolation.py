"""Isolation: a function over items in a process of its own, that may die of one of them without harm to the others.

The process streams its results, so at its death it is known which items are done. The rest is tried again, then
halved, until the item that kills it is alone: in its place stands `Lost`, with the reason.
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from cvkit import errors
from cvkit.data import worker
from cvkit.errors import EngineError

log = logging.getLogger(__name__)

Work = Callable[[Sequence[Any]], Iterable[Any]]  # one result for each item, in their order

WORKER = "cvkit.data.worker"  # by its name: within a worker the module calls itself otherwise
LIMIT_S = 120.0  # seconds without a result, after which a worker is taken for dead
ALONE = 3  # processes that one item ends, after which it is lost: they may have been killed for another reason
START_S = 120.0  # seconds that a worker has for its imports
PIPE_BYTES = 2**20  # a kernel's own are 2**16
LOOK_S = 0.5  # between two looks at the clock


@dataclass(frozen=True, slots=True)
class Lost:
    """What stands in the place of an item's result, where the item ends each process that works on it."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some items that are left, from `start` on; `tries` that came to nothing; whether their first one is cleared."""

    start: int
    items: Sequence[Any]
    tries: int = 0
    cleared: bool = False


class Stopped(Exception):  # noqa: N818  no error: somebody asked for it
    """Nobody wants the result any more."""


def isolated(
    work: Work, items: Sequence[Any], limit_s: float = LIMIT_S, stop: threading.Event | None = None
) -> list[Any]:
    """The results of `work(items)`, one for each item, computed in a process of its own; `Lost` in the place of some.

    Raises what `work` raises, EngineError where no process starts, Stopped soon after `stop` is set. Thread-safe.
    """
    results: list[Any] = [None] * len(items)
    left = [_Piece(0, items)] if len(items) else []
    while left:
        piece = left.pop()
        got, death = _attempt(work, piece.items, limit_s, stop)
        results[piece.start : piece.start + len(got)] = got
        rest = piece.items[len(got) :]
        if not rest:
            continue
        here = _Piece(piece.start + len(got), rest) if got else piece
        log.warning("a worker %s; %d of its items are left", death, len(rest))
        if len(rest) == 1 and here.tries >= ALONE:
            results[here.start] = Lost(death)
        elif len(rest) == 1:
            left.append(_Piece(here.start, rest, here.tries + 1))
        else:
            left += reversed(_smaller(here))
    return results


def _smaller(piece: _Piece) -> list[_Piece]:
    """What a piece becomes that came to nothing: itself once more, then its first item and the rest, then halves.

    Results are streamed, so the first one without a result is the likeliest, unless the function works on several at
    a time.
    """
    start, items = piece.start, piece.items
    if not piece.tries:
        return [_Piece(start, items, 1, piece.cleared)]
    cut = len(items) // 2 if piece.cleared else 1
    return [_Piece(start, items[:cut], 1, piece.cleared), _Piece(start + cut, items[cut:], 1, cleared=True)]


def _attempt(
    work: Work, items: Sequence[Any], limit_s: float, stop: threading.Event | None
) -> tuple[list[Any], str]:  # fmt: skip
    """Results up to the end, or to the death of the process, and how it died, in words."""
    process = _take(stop)
    try:
        got, death, error = process.ask(work, items, limit_s, stop)
    except BaseException:
        process.end()
        raise
    if stop is not None and stop.is_set():
        process.end()
        raise Stopped
    if death:
        process.end()
        return got, death
    _put_back(process)
    if error is not None:
        raise error
    if len(got) != len(items):
        raise ValueError(f"{work} gave {len(got)} results for {len(items)} items")
    return got, ""


class _Process:
    """A worker, and the pipes to it; used by one thread at a time."""

    def __init__(self) -> None:
        # Not by multiprocessing: its children run the user's own script once more, and a notebook has none.
        path = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109  as Python itself reads an empty entry
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )  # fmt: skip
        _widened(self.process.stdout)
        self.late = ""

    def started(self, stop: threading.Event | None) -> None:
        """Wait until it is ready. Raises EngineError."""
        with self._clock(START_S, stop) as heard:
            message = self._next(heard)
        if message is None:
            death = self._death()
            self.end()
            if stop is not None and stop.is_set():
                raise Stopped
            raise EngineError(
                "a worker does not start", found=death, where=sys.executable,
                remedy="see the lines above; is there memory for --workers so many? try fewer",
            )  # fmt: skip

    def ask(
        self, work: Work, items: Sequence[Any], limit_s: float, stop: threading.Event | None
    ) -> tuple[list[Any], str, Exception | None]:
        """Results, how the process died ("" where it did not), and what the function raised."""
        got: list[Any] = []
        with self._clock(limit_s, stop) as heard:
            try:
                assert self.process.stdin is not None
                self.process.stdin.write(pickle.dumps((work, items)))
                self.process.stdin.flush()
            except OSError:
                return got, self._death(), None
            while (message := self._next(heard)) is not None:
                kind, content = message
                if kind == worker.RESULT:
                    got.append(content)
                else:
                    return got, "", raised(*content) if content else None
        return got, self._death(), None

    def end(self) -> None:
        """Make an end of it, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _next(self, heard: _Clock) -> tuple[str, Any] | None:
        try:
            assert self.process.stdout is not None
            message: tuple[str, Any] = _Answers(self.process.stdout).load()
        except (EOFError, OSError):  # dead, maybe in the middle of a message
            return None
        except pickle.UnpicklingError as error:
            self.late = self.late or f"gave an answer that cannot be read: {error}"
            return None
        heard.last = time.monotonic()
        return message

    def _clock(self, limit_s: float, stop: threading.Event | None) -> _Clock:
        return _Clock(self, limit_s, stop)

    def _death(self) -> str:
        if self.late:
            return self.late
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        code = self.process.returncode
        if code is None:
            return "does not answer"
        if code < 0:
            with suppress(ValueError):
                return f"was ended by {signal.Signals(-code).name}"
        return f"ended itself with code {code}"


def _widened(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold `PIPE_BYTES` where the kernel allows it: pixels pass in fewer, larger parts."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)  # type: ignore[arg-type]


class _Clock:
    """Ends a process that has not been heard of for `limit_s` seconds, or when `stop` is set."""

    def __init__(self, process: _Process, limit_s: float, stop: threading.Event | None) -> None:
        self.last, self.process, self.limit_s, self.stop = time.monotonic(), process, limit_s, stop
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Clock:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(min(LOOK_S, self.limit_s / 4)):
            if time.monotonic() - self.last > self.limit_s:
                self.process.late = f"gave no result for {self.limit_s:g} s"
            elif self.stop is None or not self.stop.is_set():
                continue
            self.process.process.kill()
            return


class _Answers(pickle.Unpickler):
    """Reads numbers, text, bytes and tuples of them, and no object of a class: none of its code runs."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Refuse it: see `worker`."""
        raise pickle.UnpicklingError(f"an answer holds a {module_name}.{global_name}")


def raised(name: str, *words: str) -> Exception:
    """The exception that a worker tells of."""
    kind = getattr(errors, name, None) if name else None
    if not (isinstance(kind, type) and issubclass(kind, errors.CvkitError)) or kind is errors.DeliveryError:
        return RuntimeError(": ".join(filter(None, words)))
    problem, expected, found, where, remedy = words
    return kind(problem, expected=expected, found=found, where=where, remedy=remedy)


_idle: list[_Process] = []  # started before, and waiting for work: a start costs half a second
_lock = threading.Lock()


def _take(stop: threading.Event | None) -> _Process:
    with _lock:
        while _idle:
            found = _idle.pop()
            if found.process.poll() is None:
                return found
            found.end()
    made = _Process()
    made.started(stop)
    return made


def _put_back(process: _Process) -> None:
    with _lock:
        _idle.append(process)


@atexit.register
def end_idle() -> None:
    """End the processes that wait for work."""
    with _lock:
        while _idle:
            _idle.pop().end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # the pipes are the parent's
