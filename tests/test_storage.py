"""Files appear whole or not at all; a full disk is said in words; the cache keeps what it knows."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyarrow.lib import ArrowException, ArrowInvalid, ArrowMemoryError

from cvkit import storage
from cvkit.data import cache
from cvkit.errors import StorageError
from cvkit.storage import lock, replacing, write_text
from cvkit.tables import IMAGES, Window, conform, worst


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("half" * (1 // 0))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_full_disk_is_said_in_words_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        write_text(path, "new")
    assert "what to do" in str(caught.value)
    assert path.read_text() == "old"


@pytest.mark.parametrize("there", [["features"], ["features", "features/cam-1"]])
def test_a_workspace_that_was_moved_is_told_and_not_made_anew(tmp_path: Path, there: list[str]) -> None:
    home, moved = tmp_path / "line", tmp_path / "moved"
    for folder in ("", *there):
        (home / folder).mkdir()
    storage.open_home(home)
    path = home / "features" / "cam-1" / "day.txt"

    def write_and_move() -> None:
        with replacing(path) as part:
            part.write_text("new")
            home.rename(moved)

    for write in (write_and_move, lambda: write_text(path, "new"), lambda: lock(path, "writing").__enter__()):
        with pytest.raises(StorageError, match="the workspace is gone") as caught:
            write()
        assert (caught.value.where, home.exists()) == (str(home), False)
    home.mkdir()  # brought back
    write_text(path, "new")
    assert path.read_text() == "new"


def images(n: int, source: str = "a=b#c/d") -> pd.DataFrame:
    rows = {"image_id": [f"{i}.jpg" for i in range(n)], "source": source, "bytes": 10, "modified_ns": 1}
    return conform(pd.DataFrame(rows).assign(time=pd.Timestamp("2026-10-01", tz="UTC")), IMAGES)


def test_the_cache_computes_once_and_again_only_what_changed(tmp_path: Path) -> None:
    asked: list[str] = []

    def compute(new: pd.DataFrame) -> pd.DataFrame:
        asked.extend(new["image_id"])
        return new[["image_id"]].assign(value=new["bytes"] * 2.0)

    table = images(5)
    assert cache.by_image(tmp_path, table, compute, ["value"], chunk=2)["value"].tolist() == [20.0] * 5
    table.loc[3, "bytes"] = 11
    again = cache.by_image(tmp_path, table, compute, ["value"])
    assert asked == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg", "3.jpg"]
    assert again["value"].tolist() == [20.0, 20.0, 20.0, 22.0, 20.0]
    assert again["image_id"].tolist() == table["image_id"].tolist()


def test_what_a_kill_left_is_computed_in_the_same_parts(tmp_path: Path) -> None:
    parts: list[list[str]] = []

    def compute(new: pd.DataFrame) -> pd.DataFrame:
        parts.append(list(new["image_id"]))
        return new[["image_id"]].assign(value=1.0)

    table = pd.concat([images(n, source).assign(image_id=lambda t, s=source: s + t["image_id"])
                       for source, n in (("a", 2), ("b", 7), ("c", 1), ("d", 2))])  # fmt: skip
    cache.by_image(tmp_path / "whole", table, compute, ["value"], chunk=3)
    assert [len(part) for part in parts] == [2, 3, 3, 1, 3]
    whole, parts[:] = list(parts), []
    cache.by_image(tmp_path / "killed", table[:2], compute, ["value"], chunk=3)
    cache.by_image(tmp_path / "killed", table, compute, ["value"], chunk=3)
    assert parts == whole


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    def compute(new: pd.DataFrame) -> pd.DataFrame:
        return new[["image_id"]].assign(value=1.0)

    cache.by_image(tmp_path, images(3), compute, ["value"])
    (file,) = tmp_path.rglob("*.parquet")
    file.write_bytes(b"damaged")
    assert len(cache.by_image(tmp_path, images(3), compute, ["value"])) == 3


@pytest.mark.parametrize("columns", [["image_id"], ["image_id", "bytes", "modified_ns", "value", "more"]])
def test_a_cache_with_other_columns_is_made_again(tmp_path: Path, columns: list[str]) -> None:
    def compute(new: pd.DataFrame) -> pd.DataFrame:
        return new[["image_id"]].assign(value=1.0)

    cache.by_image(tmp_path, images(3), compute, ["value"])
    (file,) = tmp_path.rglob("*.parquet")
    pd.DataFrame({name: ["x"] for name in columns}).to_parquet(file)
    assert cache.by_image(tmp_path, images(3), compute, ["value"])["value"].tolist() == [1.0] * 3


def test_a_folder_in_a_files_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file.txt").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        write_text(tmp_path / "file.txt", "new")


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("no folder")
    with pytest.raises(StorageError, match="locks"), lock(tmp_path / "locks" / "run.lock", "running"):
        pass


def test_no_images_give_an_empty_table_with_its_columns(tmp_path: Path) -> None:
    made = cache.by_image(tmp_path, images(0), lambda new: new, ["value"])
    assert list(made.columns) == ["image_id", "value"]


def test_conform_names_a_misspelt_column() -> None:
    with pytest.raises(KeyError, match="imageid"):
        conform(pd.DataFrame({"imageid": ["a"]}), IMAGES)


@pytest.mark.parametrize(("start", "end"), [("2026-10-02", "2026-10-01"), ("2026-10-01", "2026-10-01")])
def test_a_window_needs_an_end_after_its_start(start: str, end: str) -> None:
    with pytest.raises(ValueError, match="end after its start"):
        Window.between(start, end)


def test_windows_are_utc_and_have_names() -> None:
    assert Window.between("2026-10-01T02:00+02:00") == Window.day("2026-10-01")
    assert Window.between("2026-10-01T06:00", hours=6).label == "2026-10-01T0600-6h"
    assert worst(["ok", "unknown"]) == "unknown"


def test_a_flipped_bit_is_never_another_number(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"image_id": [f"a/{n}.jpg" for n in range(500)], "brightness": rng.normal(120, 9, 500)})
    storage.write_parquet(table, tmp_path / "table.parquet")
    whole = (tmp_path / "table.parquet").read_bytes()
    damaged = 0
    for place in rng.integers(0, len(whole), 300).tolist():
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "broken.parquet").write_bytes(broken)
        try:
            found = storage.read_parquet(tmp_path / "broken.parquet")
        except storage.DamagedError:
            damaged += 1
            continue
        # Only what the file tells of itself has no sum: names, and statistics, which nobody reads here.
        assert np.array_equal(found.to_numpy(), table.to_numpy()) or len(found.columns) != 2
    assert damaged > 200


@pytest.mark.parametrize("error", [
    ArrowMemoryError("malloc of size 64 failed"), OSError(errno.EAGAIN, "Resource temporarily unavailable"),
    MemoryError(),
    ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
])  # fmt: skip
def test_a_lack_of_memory_is_no_damage(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*arguments: object, **more: object) -> None:
        raise error

    storage.write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "table.parquet")
    monkeypatch.setattr(pq, "ParquetFile", short)
    with pytest.raises(StorageError, match="not enough memory"):
        storage.read_parquet(tmp_path / "table.parquet")


@pytest.mark.parametrize("error", [
    ArrowInvalid("'/data/allocation/a.parquet' is no Parquet file"), ValueError("alloc"), OSError("Unexpected end"),
    FileNotFoundError(errno.ENOENT, "No such file", "/data/malloc"),
])  # fmt: skip
def test_a_name_is_no_lack_of_memory(error: Exception) -> None:
    storage.check_memory(error)


LITTLE = """
import resource, sys
import pandas, pyarrow.dataset, pyarrow.parquet
from cvkit import storage
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]),) * 2)
try:
    storage.read_parquet(sys.argv[1])
except Exception as error:
    print(type(error).__name__, str(error).splitlines()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux has them")
@pytest.mark.parametrize("room", [4 << 20, 6 << 20, 8 << 20])  # threads are refused there, and with more pages
def test_little_memory_is_told_and_nothing_hangs(room: int, tmp_path: Path) -> None:
    storage.write_parquet(pd.DataFrame({"a": np.random.default_rng(0).random(300_000)}), tmp_path / "table.parquet")
    command = [sys.executable, "-c", LITTLE, str(tmp_path / "table.parquet"), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "StorageError there is not enough memory\n", done.stderr
