"""The manifest of an archive: what is in it, what is not and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from cvkit.errors import DataError

MARK = "cvkit-backup"  # first member: tells cvkit's archives from others
MANIFEST = "manifest.json"  # last member, as digests are known then
INSIDE = "workspace/"  # what the names of all other members begin with
FORMAT = 1  # of the archive: raised when its layout changes
UNREAD = "it could not be read"  # begins why a file is left out that nobody meant to leave out
WORDS = ("cvkit", "made", "model", "history", "history_file")
ENDINGS = (".tar.gz", ".tgz", ".tar")


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of the archive."""

    path: str  # below the workspace
    size: int  # bytes
    sha256: str
    modified_ns: int  # time of its last change, ns since 1970: caches and labels go by it
    mode: int  # permissions


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder of the workspace that is not in the archive."""

    path: str  # below the workspace; of images a pattern
    why: str


def unread(path: str, error: OSError) -> LeftOut:
    """What was to be in the archive, and could not be read; or is gone, as what others delete meanwhile is."""
    gone = isinstance(error, (FileNotFoundError, NotADirectoryError))
    return LeftOut(path, "it was gone when it was read" if gone else f"{UNREAD}: {error.strerror}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds."""

    cvkit: str  # version that wrote it
    schema: int  # of the history
    made: str  # ISO, UTC
    model: str
    history: str  # its address, without a password
    history_file: str  # its path in the archive; "" where it is not in it
    files: tuple[Stored, ...]
    left_out: tuple[LeftOut, ...]
    format: int = FORMAT

    @property
    def unread(self) -> list[LeftOut]:
        """What should be in it, and could not be read."""
        return [one for one in self.left_out if one.why.startswith(UNREAD)]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def text(manifest: Manifest) -> str:
    """The manifest as JSON; names that are no Unicode are written as escapes."""
    return json.dumps(asdict(manifest), indent=1) + "\n"


def parse(content: bytes, where: str) -> Manifest:
    """The manifest of an archive. Raises DataError where it is damaged, or has names that lead out of a folder."""
    try:
        values = json.loads(content)
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r}, not {FORMAT}")
        files = tuple(_stored(one) for one in values["files"])
        left_out = tuple(LeftOut(str(one["path"]), str(one["why"])) for one in values["left_out"])
        version, made, model, history, kept_as = (str(values[name]) for name in WORDS)
        datetime.fromisoformat(made)
        if len({file.path for file in files}) != len(files):
            raise ValueError("a file twice")
        return Manifest(version, int(values["schema"]), made, model, history, kept_as, files, left_out)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(
            "the archive's manifest is damaged", where=where, expected="what `cvkit backup` wrote",
            found=f"{type(error).__name__}: {error}"[:200], remedy="take another archive",
        ) from error  # fmt: skip


def check_path(path: str) -> None:
    """Raise ValueError unless `path` is a plain relative one that stays within its folder."""
    parts = PurePosixPath(path).parts
    if not parts or path != "/".join(parts) or "\0" in path or ".." in parts or path.startswith("/"):
        raise ValueError(f"the path {path!r}")


def _stored(values: Mapping[str, Any]) -> Stored:
    file = Stored(
        str(values["path"]), int(values["size"]), str(values["sha256"]), int(values["modified_ns"]), int(values["mode"])
    )
    check_path(file.path)
    if file.size < 0 or not 0 <= file.modified_ns < 2**63:
        raise ValueError(f"size or time of {file.path!r}")
    return file
