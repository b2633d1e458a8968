"""Checks of a workspace's files: permissions, what was left half-written, tables that cannot be read, room."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cvkit.storage import DamagedError, read_end, read_parquet
from cvkit.upkeep.findings import Finding, examples

HALF_WRITTEN = (".part", ".part-journal", ".part-wal", ".part-shm", ".cvkit-old")
OLD_S = 3600.0  # age of half-written things that nobody is at work on
OWN = (  # what cvkit writes and reads; captures are others'
    "cvkit.yml", "history.db", "history.db-wal", "history.db-shm", "reports", "versions", "references", "docs",
    "notebooks", "features", "embeddings", "predictions", "recorded", "label-plans", "retraining", "locks", "site",
    ".cache",
)  # fmt: skip
CACHE_REMEDY = "Nothing has to be done; if it comes back, look at the disk"
TABLES = {  # folders of Parquet files: what one that cannot be read means, and what to do
    "features": ("warning", "its images are measured again", CACHE_REMEDY),
    "embeddings": ("warning", "its images are looked at again", CACHE_REMEDY),
    "predictions": ("warning", "the model looks at its images again",
                    "Nothing has to be done where cvkit wrote it; else bring it back from where it came"),
    "references": ("error", "no window can be judged by this reference", "Run `cvkit reference --rebuild`"),
    "label-plans": ("error", "labels of this plan have no weights any more", "Restore it from a backup"),
    "recorded": ("error", "these records are lost", "Restore it from a backup, or move it away and look at the disk"),
}  # fmt: skip
WHOLE = ("references", "label-plans")  # small, and nothing is as bad as another number there
WORKED_OUT = ("quality-",)  # kept beside a reference, and made again where it is damaged
LITTLE, NONE_LEFT = 0.05, 0.01  # share of a disk that is free
LITTLE_BYTES, NONE_LEFT_BYTES = 5 << 30, 200 << 20  # on a large disk a small share is much


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder of the workspace."""

    path: str  # below the workspace
    folder: bool
    mode: int  # permissions
    age_s: float  # since its last change
    readable: bool  # by us; of folders, whether they can be entered too
    writable: bool


def walk(root: Path, skipped: Iterable[Path], now_s: float) -> Iterator[Entry]:
    """All files and folders below `root` but links, and what is in `skipped` folders; vanished ones are passed over."""
    left_alone = {str(one) for one in skipped} - {str(root)}
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda one: one.name)
        except OSError:  # told of when it was listed itself
            continue
        for entry in listed:
            if entry.is_symlink() or entry.path in left_alone:
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            is_folder = stat.S_ISDIR(about.st_mode)
            readable = os.access(entry.path, os.R_OK | (os.X_OK if is_folder else 0))
            yield Entry(os.path.relpath(entry.path, root), is_folder, stat.S_IMODE(about.st_mode),
                        now_s - about.st_mtime, readable, os.access(entry.path, os.W_OK))  # fmt: skip
            if is_folder and entry.name not in (".git", "node_modules"):
                waiting.append(entry.path)


def half_written(entries: Iterable[Entry]) -> Iterator[Finding]:
    """What killed processes left."""
    found = [one.path for one in entries if one.path.endswith(HALF_WRITTEN) and one.age_s > OLD_S]
    outer = [path for path in found if not any(path.startswith(f"{other}/") for other in found)]
    if outer:
        yield Finding(
            "note", "half-written", examples(outer), "a process was killed while it wrote here",
            "Delete them: whatever was to be written was written again, or is missing anyway",
        )  # fmt: skip


def permissions(entries: Iterable[Entry]) -> Iterator[Finding]:
    """What cvkit cannot read or write, and what everybody can write."""
    own = [one for one in entries if PurePosixPath(one.path).parts[0] in OWN]
    if unread := [one.path for one in own if not one.readable]:
        yield Finding("error", "permissions", examples(unread), "cannot be read by this user",
                      "Run cvkit as the user that owns it, or mend the permissions with chown and chmod")  # fmt: skip
    if unwritten := [one.path for one in own if one.readable and not one.writable and one.folder]:
        yield Finding("error", "permissions", examples(unwritten), "nothing can be written there by this user",
                      "Run cvkit as the user that owns it, or mend the permissions with chown and chmod")  # fmt: skip
    if open_to_all := [one.path for one in own if one.mode & 0o002 and not one.mode & stat.S_ISVTX]:
        yield Finding("warning", "permissions", examples(open_to_all),
                      "everybody on this machine can change it, and notebooks are programs that cvkit runs",
                      "Take the right away: chmod -R o-w")  # fmt: skip


def secrets(files: Iterable[tuple[str, int]]) -> Iterator[Finding]:
    """Files that hold secrets, by path and mode, and that everybody can read."""
    for path, mode in files:
        if mode & 0o004:
            yield Finding("warning", "secrets", path, "it holds a secret, and everybody on this machine can read it",
                          "Take the right away: chmod o-rwx")  # fmt: skip


def tables(root: Path, entries: Iterable[Entry]) -> Iterator[Finding]:
    """Parquet files that are not what was written, those that cannot be made again read whole; of others the end alone.

    Raises StorageError where there is not enough memory to look.
    """
    damaged: dict[str, list[str]] = {}
    for one in entries:
        kind = PurePosixPath(one.path).parts[0]
        name = PurePosixPath(one.path).name
        if kind in TABLES and not one.folder and one.readable and name.endswith(".parquet") and name[0] != ".":
            if name.startswith(WORKED_OUT):
                continue
            try:
                (read_parquet if kind in WHOLE else read_end)(root / one.path)
            except FileNotFoundError:  # replaced meanwhile
                continue
            except DamagedError:
                damaged.setdefault(kind, []).append(one.path)
    for kind, paths in damaged.items():
        severity, means, remedy = TABLES[kind]
        yield Finding("error" if severity == "error" else "warning", "tables", examples(paths),
                      f"not what was written: {means}", remedy)  # fmt: skip


def room(where: str, total: int, free: int, nodes: int, free_nodes: int) -> Iterator[Finding]:
    """Bytes of a disk, and how many files it can still hold; 0 nodes where it has no such limit."""
    told = f"{free / 2**30:.1f} of {total / 2**30:.0f} GiB are free"
    if free < min(NONE_LEFT * total, NONE_LEFT_BYTES):
        yield Finding("error", "room", where, f"the disk is full: {told}", "Free some space before the next run")
    elif free < min(LITTLE * total, LITTLE_BYTES):
        yield Finding("warning", "room", where, f"the disk is nearly full: {told}",
                      "Free some space; `cvkit site prune` names old reports")  # fmt: skip
    if nodes and free_nodes < NONE_LEFT * nodes:
        yield Finding("warning", "room", where, f"the disk can hold only {free_nodes} more files",
                      "Delete what is not needed: many small files use it up")  # fmt: skip


def room_at(folder: Path) -> tuple[int, int, int, int]:
    """What `room` is to be told of the disk that `folder` lies on."""
    usage = shutil.disk_usage(folder)
    about = os.statvfs(folder) if hasattr(os, "statvfs") else None
    return usage.total, usage.free, about.f_files if about else 0, about.f_favail if about else 0


def held_long(locks: Sequence[tuple[str, bool | None, float]]) -> Iterator[Finding]:
    """Locks (path, whether a process holds it, seconds since it was taken) that are held for more than a day."""
    for path, held, age_s in locks:
        if held and age_s > 24 * 3600:
            yield Finding("warning", "locks", path, f"a process has held it for {age_s / 86400:.0f} days, and may hang",
                          f"See who it is (`fuser {path}`), and end it where it does nothing")  # fmt: skip


def holders() -> set[int] | None:
    """Numbers (inodes) of the files that some process holds a lock on; None where it cannot be told.

    From the kernel's list: to try a lock would hold it for an instant, and turn somebody away. Without device, which
    some file systems tell otherwise there: so a lock may be taken for held that is not, never the other way round.
    """
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return {int(line.split()[5].rpartition(":")[2]) for line in lines if "->" not in line}  # those wait for another


def is_held(file: Path, known: set[int] | None) -> bool | None:
    """Whether some process of this machine holds a lock on `file`; None where it cannot be told."""
    try:
        number = file.stat().st_ino
    except OSError:
        return False
    return None if known is None else number in known
