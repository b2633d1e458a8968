"""Disks that are full or read-only, for root alone: a file system in memory over a workspace while a command runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def can_mount(folder: Path) -> bool:
    """Whether this process may mount file systems."""
    try:
        with small_disk(folder, 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(folder: Path, room: int, *, read_only: bool = False) -> Iterator[None]:
    """`folder` with all that is in it on a disk of its own with so many bytes free, until the block ends.

    What was written there is in `folder` afterwards.
    """
    disk = folder.with_name(f"{folder.name}-disk")
    disk.mkdir()
    folder.mkdir(exist_ok=True)
    try:
        _do("mount", "-t", "tmpfs", "-o", "size=80%", "tmpfs", str(disk))
        try:
            shutil.copytree(folder, disk, symlinks=True, dirs_exist_ok=True)
            used = os.statvfs(disk)
            bytes_used = (used.f_blocks - used.f_bfree) * used.f_frsize
            _do("mount", "-o", f"remount,size={bytes_used + room + used.f_frsize}", str(disk))
            _do("mount", "--bind", str(disk), str(folder))
            try:
                if read_only:
                    _do("mount", "-o", "remount,bind,ro", str(folder))
                yield
            finally:
                _do("umount", "--lazy", str(folder))
            shutil.rmtree(folder)
            shutil.copytree(disk, folder, symlinks=True)
        finally:
            _do("umount", "--lazy", str(disk))
    finally:
        disk.rmdir()


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
