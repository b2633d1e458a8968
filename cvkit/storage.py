"""Files: those that come with cvkit, those that appear whole or not at all, and the lock that keeps two runs apart."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cvkit.errors import BusyError, StorageError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = Path(__file__).parent
FULL = "the disk is full"
NO_ROOM = "there is not enough memory"
NAME_LENGTH = 150  # characters of a source or job in a file name; file systems allow 255 bytes for all of it
_homes: set[Path] = set()  # workspaces that this process has opened


def packaged(folder: str) -> Path:
    """A folder of files that travels with cvkit: inside the package when installed, beside it in a checkout."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def safe_name(text: str) -> str:
    """`text` as part of a file name, whatever it holds; one that is too long is cut, and told apart by a digest.

    >>> safe_name("gate 1/é")
    'gate%201%2F%C3%A9'
    """
    quoted = quote(text, safe="", errors="surrogateescape")
    if len(quoted) <= NAME_LENGTH:
        return quoted
    digest = hashlib.sha256(quoted.encode()).hexdigest()[:10]
    return f"{re.sub('%.?$', '', quoted[: NAME_LENGTH - 11])}~{digest}"


def open_home(workspace: Path) -> None:
    """From now on this process makes no folder in the place of `workspace`, should that be moved away meanwhile."""
    _homes.add(workspace)


def check_home(workspace: Path) -> None:
    """Raise StorageError where a workspace is not there any more: its captures were moved with it, and look like none.

    What a moved workspace holds is all there is: a folder made anew in its place would hold results that nobody finds.
    """
    if not workspace.is_dir():
        raise StorageError(
            "the workspace is gone", where=str(workspace), expected="the folder that this command was started with",
            found="no such folder",
            remedy="was it moved or renamed meanwhile? Run the same command again, with --config and its place of now: "
            "nothing was lost",
        )  # fmt: skip


def make_folder(folder: Path) -> None:
    """Make a folder where there is none, and those it lies in, but no workspace. Raises OSError, and as `check_home`.

    One by one: a workspace that is moved at any moment has no folder made in its place.
    """
    if folder.is_dir():
        return
    if folder in _homes:
        check_home(folder)
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; when the block ends well the result takes `path`'s place at once.

    A kill leaves the old file, or none, and at most a hidden `.part` file. Raises StorageError where the disk is
    full or not writable, or a folder stands in the way.
    """
    part = path.with_name(f".{path.name[-100:]}.{uuid.uuid4().hex[:8]}.part")
    try:
        make_folder(path.parent)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` to fill; when the block ends well it becomes `folder`, whole, at once.

    A kill leaves nothing at `folder`, and at most a hidden `.part` folder. Raises StorageError where `folder` is there
    already, and where the disk is full or not writable.
    """
    part = folder.with_name(f".{folder.name[-100:]}.{uuid.uuid4().hex[:8]}.part")
    try:
        if folder.exists():
            raise FileExistsError(errno.EEXIST, "there is something already", str(folder))
        make_folder(part)
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                with file.open("rb+") as content:
                    os.fsync(content.fileno())
        part.rename(folder)
        _sync_folder(folder.parent)
    except OSError as error:
        raise storage_error(error, folder) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def storage_error(error: OSError, path: Path | str = "") -> StorageError:
    """The words for files that cannot be written or read; `path` where the error itself names none."""
    if error.errno == errno.ENOENT:
        for home in _homes.intersection(Path(path or error.filename or "").parents):
            check_home(home)
    if error.errno == errno.ENOMEM and (told := memory_error(MemoryError(error.strerror or ""))):
        return told
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return StorageError(
        FULL if full else "a file cannot be written or read",
        where=str(path or error.filename2 or error.filename or ""),
        found=error.strerror or str(error),
        remedy="free some space, then run the same command again: nothing was lost" if full else
        "mend the permissions, or what stands in the way, then run the same command again: nothing was lost",
    )  # fmt: skip


NO_MEMORY = re.compile(  # what libraries say of it: numpy and torch, OpenCV, the loader, Python, Arrow, oneDNN
    r"alloc|out of memory|insufficient memory|map segment|new thread|worker thread|create a primitive", re.IGNORECASE
)


def memory_error(error: Exception) -> StorageError | None:
    """The words for memory that was refused, which libraries tell in many ways; None where an error is another."""
    if not isinstance(error, MemoryError) and not NO_MEMORY.search(str(error)):
        return None
    return StorageError(
        NO_ROOM, found=" ".join(str(error).split())[:200] or type(error).__name__,
        remedy="end other programs, or run this where there is more, then run the same command again: nothing was lost",
    )  # fmt: skip


def check_memory(error: Exception) -> None:
    """Raise StorageError where a file could not be read for lack of memory or threads, which is no damage of it.

    What says that a file is invalid, and what the system has a number for, may have any words in it, such as names.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOMEM, errno.EAGAIN):
        error = MemoryError(str(error))
    elif number or isinstance(error, ValueError | LookupError | TypeError | AttributeError):
        return
    if short := memory_error(error):
        raise short from error


def remove_tree(folder: Path) -> None:
    """Delete a folder with everything in it, if it is there. Raises StorageError where that cannot be done."""
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
    except OSError as error:
        raise storage_error(error, folder) from error


def swap_in(new: Path, folder: Path) -> None:
    """Put the folder `new` in the place of `folder`; for a moment there is none.

    One caller at a time. What a kill in that moment leaves `swap_back` mends. Raises StorageError, with `folder` as it
    was.
    """
    old = _set_aside(folder)
    try:
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        swap_back(folder)
        raise storage_error(error, folder) from error
    shutil.rmtree(old, ignore_errors=True)


def swap_back(folder: Path) -> None:
    """Where `swap_in` was cut off between the old folder and the new one, the old one is there again.

    Raises StorageError.
    """
    try:
        if not folder.exists() and (old := _set_aside(folder)).exists():
            old.rename(folder)
    except OSError as error:
        raise storage_error(error, folder) from error


def _set_aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.cvkit-old")


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table to `path`, whole or not at all."""
    with replacing(path) as part:
        frame.to_parquet(part, index=False, write_page_checksum=True)


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The table that `write_parquet` wrote, all of it or some columns.

    Sums over its pages are checked, so that a flipped bit is no other number. Without threads and Arrow's datasets: for
    tables of this size they cost more than they save, and where memory ends in one of their threads Arrow hangs, or
    ends the process. Raises FileNotFoundError, DamagedError where the file is another now, and StorageError where
    memory is short.
    """
    import pyarrow.parquet as pq

    with _as_damage(), pq.ParquetFile(path, page_checksum_verification=True) as file:
        if lacking := set(columns or ()) - set(file.schema_arrow.names):
            raise LookupError(f"no column {min(lacking)}")
        frame: pd.DataFrame = file.read(columns, use_threads=False).to_pandas(use_threads=False)
    return frame


def read_end(path: Path) -> list[str]:
    """The columns of a Parquet file, from its end alone: that tells one that was cut, but no flipped bit in its rows.

    Raises as `read_parquet`.
    """
    import pyarrow.parquet as pq

    with _as_damage(), pq.ParquetFile(path) as file:
        return list(file.schema_arrow.names)


@contextmanager
def _as_damage() -> Iterator[None]:
    from pyarrow.lib import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise
    except (MemoryError, ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        check_memory(error)
        raise DamagedError(f"{type(error).__name__}: {error}"[:200]) from error


class DamagedError(ValueError):
    """A file of ours is not what was written."""


@contextmanager
def lock(path: Path, doing: str, wait_s: float = 0) -> Iterator[None]:
    """Hold the lock file `path` for the block; the kernel lets go of it when the process dies.

    Raises BusyError where another process holds it and keeps it for `wait_s` seconds, StorageError where the file
    cannot be made.
    """
    from filelock import FileLock, Timeout

    held = FileLock(path)
    try:
        make_folder(path.parent)
        held.acquire(timeout=wait_s)
    except Timeout:
        raise BusyError(
            f"another process is {doing}", where=str(path), remedy="wait until it has ended, then run this again"
        ) from None
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        yield
    finally:
        held.release()


@contextmanager
def together(path: Path) -> Iterator[bool]:
    """Hold the file `path` along with others who do the same; whether nobody else did when the block began.

    Then nobody is at work who left something there: the kernel lets go of a process that dies. Always False where the
    system knows no such locks. Raises StorageError where the file cannot be made.
    """
    try:
        make_folder(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        yield _join(handle)
    finally:
        os.close(handle)


def _join(handle: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        alone = False
    except OSError:  # a file system without locks
        return False
    else:
        alone = True
    fcntl.flock(handle, fcntl.LOCK_SH)
    return alone


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; folders cannot be synced on every system, and then nothing can be done."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
