"""Files: those that come with cvkit, those that appear whole or not at all, and the lock that keeps two runs apart."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cvkit.errors import BusyError, StorageError

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = Path(__file__).parent
NAME_LENGTH = 150  # characters of a source or job in a file name; file systems allow 255 bytes for all of it


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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; when the block ends well the result takes `path`'s place at once.

    A kill leaves the old file, or none, and at most a hidden `.part` file. Raises StorageError where the disk is
    full or not writable.
    """
    part = path.with_name(f".{path.name[-100:]}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            raise storage_error(error, path) from error
        raise
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def storage_error(error: OSError, path: Path) -> StorageError:
    """The words for a disk that cannot be written."""
    return StorageError(
        "the disk cannot be written",
        where=str(path),
        found=error.strerror or str(error),
        remedy="free some space or mend the permissions, then run the same command again: nothing was lost",
    )


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table to `path`, whole or not at all."""
    with replacing(path) as part:
        frame.to_parquet(part, index=False)


@contextmanager
def lock(path: Path, doing: str, wait_s: float = 0) -> Iterator[None]:
    """Hold the lock file `path` for the block; the kernel lets go of it when the process dies.

    Raises BusyError where another process holds it and keeps it for `wait_s` seconds.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path, timeout=wait_s):
            yield
    except Timeout:
        raise BusyError(
            f"another process is {doing}", where=str(path), remedy="wait until it has ended, then run this again"
        ) from None


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; folders cannot be synced on every system, and then nothing can be done."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
