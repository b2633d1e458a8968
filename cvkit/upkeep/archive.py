"""Backup: one consistent archive of what cannot be made again, written while others work in the workspace.

The history is read first, in one transaction, then the files: so whatever it names is there already, and what came
later is at worst a file that no row names.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile

import sqlalchemy as sa

from cvkit import __version__
from cvkit.config import Config
from cvkit.errors import ConfigError, DataError, StorageError
from cvkit.monitoring.channels.secrets import Secret
from cvkit.monitoring.database import parsed
from cvkit.monitoring.schema import SCHEMA
from cvkit.storage import replacing, safe_name, storage_error
from cvkit.upkeep import manifest as manifest_file
from cvkit.upkeep.manifest import ENDINGS, INSIDE, MANIFEST, MARK, LeftOut, Manifest, Stored, unread
from cvkit.upkeep.selection import Selection, is_backup

STEP = 1 << 20  # bytes read at a time
IN_MEMORY = 16 << 20  # bytes of a file that are held in memory while it is read
SHORTEST = 8  # letters of a secret that is looked for: shorter ones stand in files by chance
ABANDONED_S = 24 * 3600.0  # age of an unfinished archive that nobody is at work on
LEFT = re.compile(
    rf"\..*({'|'.join(re.escape(one) for one in ENDINGS)})\.[0-9a-f]{{8}}\.(history\.)?part(-journal|-wal|-shm)?"
)


def default_name(config: Config, now: datetime) -> str:
    """The archive's name where nobody gave one: model and time, UTC."""
    return f"cvkit-backup-{safe_name(config.model.name)}-{now:%Y-%m-%dT%H%M%S}.tar.gz"


def write(config: Config, target: Path, now: datetime, *, with_recorded: bool = False) -> Manifest:
    """Write an archive of the workspace to `target`, whole or not at all; only its owner can read it.

    A history that is no SQLite file is not in it: `Manifest.history_file` is empty then. Raises ConfigError where
    `target` is something else's file, DataError where settings or history hold a secret, StorageError where the
    history is damaged or something cannot be read or written.
    """
    target = target.absolute()
    _check_target(target)
    _sweep(target.parent)
    database, shown = history_place(config)
    with replacing(target) as part, part.open("xb") as file:
        part.chmod(0o600)
        with tarfile.open(fileobj=file, mode="w:" if target.suffix == ".tar" else "w:gz") as tar:
            writing = _Writing(tar, _secrets(config), part.parent)
            writing.text(MARK, f"{manifest_file.FORMAT}\n")
            kept_as = writing.history(config, database, part) if database and database.exists() else ""
            selection = Selection(config, history=database, with_recorded=with_recorded)
            for path in selection.files():
                if path != kept_as:
                    writing.add(config.workspace / path, path)
            left_out = (*selection.left_out, *writing.left_out)
            made = Manifest(__version__, SCHEMA, now.isoformat(), config.model.name, shown, kept_as,
                            tuple(writing.files), left_out)  # fmt: skip
            writing.text(MANIFEST, manifest_file.text(made))
    return made


def history_place(config: Config) -> tuple[Path | None, str]:
    """The history's SQLite file, None where it is another database; and its address to show.

    Raises ConfigError where the address is of no use.
    """
    try:
        url = parsed(config.history_url)
    except sa.exc.ArgumentError as error:
        raise ConfigError(
            "the history's address cannot be read", where=f"{config.path}, history",
            expected="an SQLAlchemy URL", found="a value that is not shown", remedy="correct it",
        ) from error  # fmt: skip
    # Only parts that hold no password: a query may hold one too.
    shown = url.set(query={}).render_as_string(hide_password=True)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None, shown
    if url.database.startswith((":memory:", "file:")):
        raise ConfigError(
            "this address of the history cannot be archived", where=f"{config.path}, history",
            expected="sqlite:///FILE", found=shown, remedy="name the file",
        )  # fmt: skip
    return Path(os.path.normpath(Path(url.database).absolute())), shown


@contextmanager
def snapshot(database: Path, copy: Path) -> Iterator[Path]:
    """A copy of a SQLite database at one instant, at `copy` for the block; writers are not held up.

    Raises StorageError where it cannot be read, or is damaged.
    """
    try:
        with closing(sqlite3.connect(copy)) as ours:
            copy.chmod(0o600)
            with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=30)) as theirs:
                theirs.backup(ours, pages=-1)
            ours.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            answer = ours.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise sqlite3.DatabaseError(answer)
        yield copy
    except sqlite3.Error as error:
        raise StorageError(
            "the history cannot be archived", where=str(database), expected="a database that is whole",
            found=str(error)[:300], remedy="`cvkit doctor` says more; earlier archives are still there: keep them",
        ) from error  # fmt: skip
    finally:
        copy.unlink(missing_ok=True)


class _Writing:
    """An archive while it is written."""

    def __init__(self, tar: tarfile.TarFile, secrets: list[Secret], folder: Path) -> None:
        self.tar, self.secrets, self.folder = tar, secrets, folder
        self.files: list[Stored] = []
        self.left_out: list[LeftOut] = []

    def text(self, name: str, text: str) -> None:
        """Add a member of cvkit's own."""
        content = text.encode()
        about = tarfile.TarInfo(name)
        about.size, about.mode, about.mtime = len(content), 0o600, int(time.time())
        self.tar.addfile(about, io.BytesIO(content))

    def history(self, config: Config, database: Path, part: Path) -> str:
        """Add a snapshot of the history; its path in the archive."""
        inside = database.is_relative_to(config.workspace)
        path = os.path.relpath(database, config.workspace) if inside else "history.db"
        with snapshot(database, part.with_name(part.name.removesuffix(".part") + ".history.part")) as copy:
            self.add(copy, path, needed=True)
        return path

    def add(self, file: Path, path: str, *, needed: bool = False) -> None:
        """Add a file, with the digest of what was read; one that is gone, locked or holds a secret is left out.

        What is `needed`, and the settings, must be read and hold none: DataError, StorageError.
        """
        needed = needed or path == "cvkit.yml"
        with SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(self.folder)) as copy:
            try:
                digest, about, held = self._read(file, copy)
            except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
                if needed:
                    raise storage_error(error, file) from error
                self.left_out.append(unread(path, error))
                return
            if held and needed:
                raise DataError(
                    "a secret stands in a file that would be archived", where=path, expected="no value of a secret",
                    found=f"that of {held}", remedy=f"take it out there; cvkit reads it from {held} itself",
                )  # fmt: skip
            if held:
                self.left_out.append(LeftOut(path, f"it holds the secret of {held}"))
                return
            size = copy.tell()
            copy.seek(0)
            member = tarfile.TarInfo(INSIDE + path)
            member.size, member.mode, member.mtime = size, about.st_mode & 0o777, int(about.st_mtime)
            self.tar.addfile(member, copy)
        self.files.append(Stored(path, size, digest, max(about.st_mtime_ns, 0), about.st_mode & 0o777))

    def _read(self, file: Path, copy: SpooledTemporaryFile[bytes]) -> tuple[str, os.stat_result, str]:
        """Copy a file as it is now: others may write it longer meanwhile. Its digest, and whose secret it holds."""
        digest, held, tail = hashlib.sha256(), "", b""
        values = [(one.value.encode(), one.whence) for one in self.secrets]
        longest = max((len(value) for value, _ in values), default=1) - 1
        with file.open("rb") as content:
            about = os.fstat(content.fileno())
            while step := content.read(STEP):
                digest.update(step)
                copy.write(step)
                looked = tail + step
                held = held or next((whence for value, whence in values if value in looked), "")
                tail = looked[-longest:] if longest else b""
        return digest.hexdigest(), about, held


def _secrets(config: Config) -> list[Secret]:
    """The values of the secrets that the settings name, as far as they are there: no file may hold one."""
    found = []
    for channel in config.alerts.channels:
        kind, _, name = channel.secret.partition(":")
        value = ""
        if kind == "env":
            value = os.environ.get(name, "")
        elif kind == "file":
            with suppress(OSError, UnicodeDecodeError):
                value = Path(name).expanduser().read_text(encoding="utf-8")
        lines = [line.strip() for line in value.splitlines()]
        found += [Secret(line, channel.secret) for line in lines if len(line) >= SHORTEST and line[0] != "#"]
    return found


def _check_target(target: Path) -> None:
    if not target.name.endswith(ENDINGS):
        raise ConfigError(
            "an archive has another ending", where=str(target), expected=", ".join(ENDINGS), found=target.name,
            remedy="name it so",
        )  # fmt: skip
    if target.exists() and not is_backup(target):
        raise ConfigError(
            "there is a file already, and it is no archive of cvkit's", where=str(target), remedy="name another one"
        )


def _sweep(folder: Path) -> None:
    """Remove what killed processes left: no process takes this long to write an archive."""
    with suppress(OSError):
        for left in folder.iterdir():
            if LEFT.fullmatch(left.name) and time.time() - left.stat().st_mtime > ABANDONED_S:
                left.unlink(missing_ok=True)
