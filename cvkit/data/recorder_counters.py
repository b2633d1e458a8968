"""Counters of a recording process, in a small file that outlives it: so what a kill took with it can be told.

Records are counted in a file as they are taken, before they are in a file themselves. The living process holds a lock
on the file, which the kernel lets go of when the process dies.
"""

from __future__ import annotations

import glob
import json
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cvkit.moments import plausible
from cvkit.storage import make_folder

if sys.platform != "win32":
    import fcntl

FOLDER = ".counters"
LIVING, TOLD = ".bin", ".told"  # suffixes: of a process that may live, of one whose losses a later recorder has told
FIELDS = ("accepted", "written", "next_file", "next_total", "refused", "given_up", "beat_us")
STATE = struct.Struct(f"<{len(FIELDS)}q")
NUMBER = struct.Struct("<q")
SILENT_S = 60.0  # without a sign of life for so long a process counts as dead, where locks cannot tell


@dataclass(frozen=True, slots=True)
class Loss:
    """What one recording process left behind when it died."""

    source: str
    process: str  # start, process number and a token, as in the names of its files
    last: datetime  # its last sign of life, UTC
    accepted: int  # records taken
    written: int  # of these in whole files
    dropped: int  # records refused or given up while it lived: the store was full or slow

    @property
    def lost(self) -> int:
        """Records that died with the process."""
        return max(self.accepted - self.written, 0)

    @property
    def words(self) -> str:
        """All of it in words."""
        dropped = f"{self.dropped} records were dropped by the process {self.process} while it lived"
        died = f"{self.lost} records were lost when the process {self.process} died"
        return "; ".join(words for words, some in ((died, self.lost), (dropped, self.dropped)) if some)


class Counters:
    """The counters of this process; raises OSError where they cannot be written."""

    def __init__(self, records: Path, process: str, source: str) -> None:
        """Make the file of `process` below the folder `records`, locked before anybody can see it."""
        folder = records / FOLDER
        make_folder(folder)
        self.path = folder / f"{process}{LIVING}"
        part = folder / f".{process}.part"
        self._file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
        try:
            if sys.platform != "win32":
                fcntl.flock(self._file, fcntl.LOCK_EX)
            about = {"source": source, "process": process}
            os.write(self._file, STATE.pack(*[0] * len(FIELDS)) + json.dumps(about).encode())
            part.rename(self.path)
        except OSError:
            self.abandon()
            part.unlink(missing_ok=True)
            raise

    def put(self, field: int, number: int) -> None:
        """Note the number of a field; about a microsecond, as it only reaches the kernel's memory."""
        if sys.platform == "win32":
            os.lseek(self._file, field * NUMBER.size, os.SEEK_SET)
            os.write(self._file, NUMBER.pack(number))
        else:
            os.pwrite(self._file, NUMBER.pack(number), field * NUMBER.size)

    def close(self, remove: bool) -> None:
        """Let go of the file, and `remove` it where it has nothing to tell."""
        if remove:
            self.path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Close the file without a word, as a forked child does with its parent's."""
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
        self._file = -1


ACCEPTED, WRITTEN, NEXT_FILE, NEXT_TOTAL, REFUSED, GIVEN_UP, BEAT = range(len(FIELDS))


def losses(records: Path) -> list[Loss]:
    """What dead processes lost or dropped below the folder `records`, oldest first; nothing of living ones."""
    return [loss for _, loss in _dead(records) if loss.lost or loss.dropped]


def sweep(records: Path) -> Iterator[Loss]:
    """The losses that no recorder has told yet: to be told as they come, as each counts as told from then on.

    Files that have nothing to tell are removed.
    """
    for path, loss in _dead(records):
        if path.suffix == LIVING:
            for part in records.glob(f"*/*/.{glob.escape(loss.process)}-*.part"):  # what it was writing when it died
                part.unlink(missing_ok=True)
            with suppress(OSError):  # another recorder was first
                if loss.lost or loss.dropped:
                    path.rename(path.with_suffix(TOLD))
                    yield loss
                else:
                    path.unlink()


def _dead(records: Path) -> Iterator[tuple[Path, Loss]]:
    folder = records / FOLDER
    names = sorted(os.listdir(folder)) if folder.is_dir() else []  # noqa: PTH208  names only
    for name in names:
        path = folder / name
        if path.suffix in (LIVING, TOLD) and (told := _left_behind(path)) is not None:
            yield path, _loss(records, *told)


def _left_behind(path: Path) -> tuple[dict[str, int], dict[str, Any]] | None:
    """The counters of a dead process and what it said of itself; None of a living one, or what is no such file."""
    try:
        with path.open("rb") as file:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            content = file.read()
        state = dict(zip(FIELDS, STATE.unpack(content[: STATE.size]), strict=True))
        about = json.loads(content[STATE.size :])
        _check(path, state, about)
    except (OSError, ArithmeticError, ValueError, RecursionError, struct.error):
        return None
    silent = datetime.now(UTC).timestamp() - state["beat_us"] / 1e6
    return None if sys.platform == "win32" and silent < SILENT_S else (state, about)


def _check(path: Path, state: dict[str, int], about: Any) -> None:
    """Raise ValueError or ArithmeticError for counters that no recorder wrote: files are deleted by what they name."""
    named = isinstance(about, dict) and about.get("process") == path.stem and isinstance(about.get("source"), str)
    if not named or min(state.values()) < 0 or not plausible(datetime.fromtimestamp(state["beat_us"] / 1e6, UTC)):
        raise ValueError("no counters of a recorder")


def _loss(records: Path, state: dict[str, int], about: dict[str, Any]) -> Loss:
    """A file that was whole when the process died may not have been counted yet: then it is there."""
    process = str(about["process"])
    name = f"{glob.escape(process)}-{state['next_file']}.parquet"
    whole = state["next_total"] != state["written"] and next(records.glob(f"*/*/{name}"), None) is not None
    return Loss(
        source=str(about["source"]),
        process=process,
        last=datetime.fromtimestamp(state["beat_us"] / 1e6, UTC),
        accepted=max(state["accepted"] - state["given_up"], 0),
        written=state["next_total"] if whole else state["written"],
        dropped=state["refused"] + state["given_up"],
    )
