"""Restore: an archive becomes a workspace, all of it at once, after every byte was held against the manifest."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from cvkit.errors import ConfigError, DataError
from cvkit.monitoring.schema import SCHEMA
from cvkit.storage import replacing_folder, storage_error
from cvkit.upkeep import manifest as manifest_file
from cvkit.upkeep.manifest import FORMAT, INSIDE, MANIFEST, MARK, Manifest, Stored

STEP = 1 << 20  # bytes read at a time
LONGEST = 256 << 20  # bytes of a manifest, of some million files
HEADER = 4 << 20  # bytes that tarfile may ask for at once: it reads headers whole, however long they say they are
LAST = 1 << 20  # bytes behind the last member, of which tar writes some thousand
RIGHTS = 0o755  # that a file may have, whatever the manifest says: nobody but its owner writes it
ABANDONED_S = 24 * 3600.0  # age of an unfinished folder that nobody is at work on


def unpack(archive: Path, folder: Path) -> Manifest:
    """Make `folder` the workspace that `archive` holds, at once: a kill leaves nothing of it, or all.

    Raises ConfigError where there is something in `folder`, DataError where the archive is damaged, is none of cvkit's
    or a newer one's: nothing is put in place then; StorageError where the disk is full or cannot be written.
    """
    folder = folder.absolute()
    if not archive.is_file():  # a pipe would be waited for without end
        kinds = "a folder" if archive.is_dir() else "a pipe or a device" if archive.exists() else "no such file"
        raise DataError(
            "there is no such archive", where=str(archive), expected="a file that `cvkit backup` wrote",
            found=kinds, remedy="name the archive first, then the folder",
        )  # fmt: skip
    _check_folder(folder)
    manifest = read_manifest(archive)
    _check_schema(manifest, archive)
    expected = {file.path: file for file in manifest.files}
    if folder.is_dir():
        folder.rmdir()  # an empty one
    _sweep(folder)
    with replacing_folder(folder) as part, _members(archive) as (tar, members):
        for member in members:
            if member.name.startswith(INSIDE):
                _put(tar, member, expected[member.name.removeprefix(INSIDE)], part, archive)
    return manifest


def read_manifest(archive: Path) -> Manifest:
    """The manifest, after all members' names, kinds and sizes were held against it; nothing is written.

    Raises DataError where they do not agree, StorageError where the archive cannot be read.
    """
    sizes: dict[str, int] = {}
    manifest: Manifest | None = None
    with _members(archive) as (tar, members):
        for number, member in enumerate(members):
            if manifest is not None or (number == 0) != (member.name == MARK):
                raise _strange(archive, f"the member {member.name!r} in this place")
            if member.name == MARK:
                _check_format(tar, member, archive)
            elif member.name == MANIFEST:
                if member.size > LONGEST:
                    raise _strange(archive, f"a manifest of {member.size} bytes")
                manifest = manifest_file.parse(_content(tar, member), str(archive))
            else:
                sizes[_path_of(member, sizes, archive)] = member.size
    if manifest is None:
        raise _strange(archive, "no manifest: it was cut off")
    told = {file.path: file.size for file in manifest.files}
    for path in sorted(told.keys() | sizes.keys(), key=repr):
        if told.get(path) != sizes.get(path):
            words = [
                f"{size} bytes" if size is not None else "not at all" for size in (sizes.get(path), told.get(path))
            ]
            raise _strange(archive, f"{path!r}: {words[0]} in the archive, {words[1]} in its manifest")
    return manifest


def _path_of(member: tarfile.TarInfo, known: dict[str, int], archive: Path) -> str:
    """Where a member goes, below the workspace."""
    path = member.name.removeprefix(INSIDE)
    try:
        if not member.name.startswith(INSIDE):
            raise ValueError(f"the member {member.name!r}")
        manifest_file.check_path(path)
        if path in known:
            raise ValueError(f"{path!r} twice")
    except ValueError as error:
        raise _strange(archive, str(error)) from None
    return path


def _check_format(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> None:
    found = _content(tar, member).strip() if member.size < 100 else b""
    if found != b"%d" % FORMAT:
        raise DataError(
            "the archive is of another cvkit", where=str(archive), expected=f"format {FORMAT}", found=repr(found[:20]),
            remedy="restore it with the cvkit that wrote it, or a newer one",
        )  # fmt: skip


def _check_schema(manifest: Manifest, archive: Path) -> None:
    if manifest.schema > SCHEMA:
        raise DataError(
            "the archive's history was written by another version of cvkit", where=str(archive),
            expected=f"schema {SCHEMA} or an older one", found=f"schema {manifest.schema}, of cvkit {manifest.cvkit}",
            remedy="use the cvkit that wrote it, or a newer one",
        )  # fmt: skip


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, file: Stored, part: Path, archive: Path) -> None:
    """Write one file, of the size and digest that the manifest tells; `part` was empty and is ours: no links in it."""
    target = part / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    content, digest, left = tar.extractfile(member), hashlib.sha256(), file.size
    with target.open("xb") as out:
        while content is not None and left and (step := content.read(min(STEP, left))):
            left -= len(step)
            digest.update(step)
            out.write(step)
    if left or digest.hexdigest() != file.sha256:
        raise _strange(archive, f"{file.path!r} is not what was archived: another digest")
    target.chmod(file.mode & RIGHTS | 0o600)
    os.utime(target, ns=(file.modified_ns, file.modified_ns))


class _Limited:
    """A file for tarfile, which reads headers at once, in as many bytes as these say."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; tarfile.ReadError where it is more than any header has."""
        if size > HEADER:
            raise tarfile.ReadError("a header that is too long")
        return self.file.read(size)

    def seek(self, place: int) -> int:
        """Go to a byte."""
        return self.file.seek(place)

    def tell(self) -> int:
        """The byte that comes next."""
        return self.file.tell()


@contextmanager
def _members(archive: Path) -> Iterator[tuple[tarfile.TarFile, Iterator[tarfile.TarInfo]]]:
    """The archive, and its members as they come: files only. What is wrong with it is a DataError."""
    try:
        with archive.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            opened = cast("BinaryIO", gzip.GzipFile(fileobj=file) if packed else file)
            with tarfile.open(fileobj=cast("BinaryIO", _Limited(opened)), mode="r:") as tar:
                yield tar, _only_files(tar, opened, archive)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError, OverflowError) as error:
        raise _strange(archive, f"{type(error).__name__}: {error}") from error
    except OSError as error:
        raise storage_error(error, archive if error.filename is None else "") from error


def _only_files(tar: tarfile.TarFile, file: BinaryIO, archive: Path) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
            raise _strange(archive, f"{member.name!r} is no file: a link, a folder or a device")
        yield member
    if len(file.read(LAST)) == LAST:  # to its end, where gzip checks all of it
        raise _strange(archive, "more behind its end")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content, parts = tar.extractfile(member), []
    while content is not None and (step := content.read(STEP)):
        parts.append(step)
    return b"".join(parts)


def _strange(archive: Path, found: str) -> DataError:
    return DataError(
        "the archive is damaged, or was not written by `cvkit backup`: nothing was put in place", where=str(archive),
        expected="whole files below the workspace, as its manifest tells", found=found[:300],
        remedy="take another archive; copy it again, where it came over a network",
    )  # fmt: skip


def _check_folder(folder: Path) -> None:
    if (folder / "cvkit.yml").exists():
        raise ConfigError(
            "there is a workspace already", where=str(folder), remedy="name another folder, and swap them afterwards"
        )
    if os.path.lexists(folder) and (not folder.is_dir() or folder.is_symlink() or any(folder.iterdir())):
        raise ConfigError(
            "there is something already", where=str(folder), expected="no such folder, or an empty one",
            remedy="name another folder",
        )  # fmt: skip


def _sweep(folder: Path) -> None:
    """Remove what killed processes left beside `folder`."""
    left_by = re.compile(rf"\.{re.escape(folder.name[-100:])}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        for left in folder.parent.iterdir():
            if left_by.fullmatch(left.name) and time.time() - left.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)
