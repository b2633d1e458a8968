"""A store that times out, or gives half a file: what it did not give is told, not kept, and asked for again."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from image_store import PATTERN, files, fill
from test_flow import CAMERAS, SETTINGS, take

from cvkit import cli
from cvkit.config import Config, load_config
from cvkit.data import engine, partition_files, stores
from cvkit.data.headers import NOT_GIVEN, read_file
from cvkit.errors import DataError, StorageError
from cvkit.monitoring import monitor, reference
from cvkit.monitoring.history import History
from cvkit.tables import Window

DAY = "2026-09-08"
NOW = datetime(2026, 9, 9, 12, tzinfo=UTC)
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="which file is read is asked of the kernel")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are measured here, where the store is broken, and not by processes of their own."""

    def run(work: Any, chunks: Any, **_: Any) -> Any:
        return ((number, list(work(chunk))) for number, chunk in enumerate(chunks))

    monkeypatch.setattr(engine, "run", run)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    labels = "captures:\n  labels: 'labels/{source}/{date}/{time}.txt'"
    (tmp_path / "cvkit.yml").write_text(SETTINGS.replace("captures:", labels))
    for day in [f"2026-09-0{day}" for day in range(1, 7)] + [DAY]:
        for camera in CAMERAS:
            for image in take(tmp_path, camera, day):
                path = tmp_path / "labels" / camera / day / f"{image.stem}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.2 0.2\n")
    return load_config(tmp_path)


def _timed_out(content: bytes) -> bytes:
    raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def _denied(content: bytes) -> bytes:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "times out": _timed_out, "denied": _denied, "half a file": _half, "nothing": lambda _: b"",
}  # fmt: skip


def break_store(patch: pytest.MonkeyPatch, ending: str, fault: Callable[[bytes], bytes], share: float = 0.2) -> None:
    """From now on some of the files with this ending are not given as they are."""
    read, given = os.read, dict[str, bytes]()

    def faulty(descriptor: int, size: int) -> bytes:
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
        if not path.endswith(ending) or random.Random(path).random() > share:
            return read(descriptor, size)
        if path in given:
            return b""
        given[path] = fault(read(descriptor, size))
        return given[path]

    patch.setattr(os, "read", faulty)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("ending", [f"{DAY}/{name}" for name in ("*.jpg", "*.txt", "*.jsonl")])
def test_a_window_is_measured_again_once_the_store_gives_its_files(
    config: Config, ending: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, window = reference.load(config), Window.day(DAY)
    share, ending = (1.0 if "jsonl" in ending else 0.2), ending.rpartition("*")[2]
    with History.open(config.history_url) as history:
        with monkeypatch.context() as patch:
            break_store(patch, ending, FAULTS[fault], share)
            seen = monitor.run(config, window, history, known)
        told = seen.findings[seen.findings["detail"].str.contains(NOT_GIVEN)]
        assert len(told) >= 2
        assert monitor.due(config, history, NOW)[-1:] == [window]
        again = monitor.run(config, window, history, known)
        assert window not in monitor.due(config, history, NOW)
        assert not again.findings["detail"].str.contains(NOT_GIVEN).any()
        disturbed = history.verdicts(), history.measurements()
    (tmp_path / "history.db").unlink()
    for file in (tmp_path / "features").rglob(f"{DAY}/*.parquet"):
        file.unlink()
    with History.open(config.history_url) as history:
        monitor.run(config, window, history, known)
        for one, other in zip((history.verdicts(), history.measurements()), disturbed, strict=True):
            pd.testing.assert_frame_equal(one, other)


def test_a_reference_is_not_frozen_without_what_the_store_did_not_give(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        break_store(patch, ".jpg", _timed_out)
        with pytest.raises(StorageError, match="not all of the reference"):
            reference.load(config)
    whole = reference.load(config)
    assert not whole.findings["detail"].str.contains(NOT_GIVEN).any()
    assert (whole.features["damage"] == "").all()


def test_half_a_file_is_an_error_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x" * 1000)
    assert read_file(tmp_path / "a.jpg") == b"x" * 1000
    break_store(monkeypatch, ".jpg", _half, 1.0)
    with pytest.raises(OSError, match=f"{NOT_GIVEN}: only 500 of 1,000 bytes came"):
        read_file(tmp_path / "a.jpg")


def test_a_file_that_comes_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(bytes(range(100)))
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 7)))
    assert read_file(tmp_path / "a.jpg") == bytes(range(100))


@pytest.mark.parametrize("fault", FAULTS)
def test_partitions_that_the_store_did_not_give_are_measured_again(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "in", days=3)
    measure = ["images", "measure", "--images", f"{tmp_path}/in/{PATTERN}", "--out"]
    assert cli.main([*measure, str(tmp_path / "whole")]) == 0
    monkeypatch.setattr(stores, "PAUSE_S", 0.001)
    with monkeypatch.context() as patch:
        break_store(patch, "2026-11-02/003.jpg", FAULTS[fault], 1.0)
        assert cli.main([*measure, str(tmp_path / "out")]) == DataError.exit_code
    told = pd.read_parquet(tmp_path / "out" / "rows")
    ungiven = told.loc[told["damage_detail"].str.startswith(NOT_GIVEN), "image_id"]
    due = ungiven.str.rpartition("/")[0].nunique()
    assert (len(ungiven), due) == (2, 2)
    assert f"{len(ungiven)} did not come from the store" in capsys.readouterr().out
    assert cli.main([*measure, str(tmp_path / "out")]) == 0
    assert f"of {due} source" in capsys.readouterr().out
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_rows_that_are_damaged_in_the_middle_are_made_again(tmp_path: Path) -> None:
    fill(tmp_path / "in", days=1)
    measured = ["images", "measure", "--images", f"{tmp_path}/in/{PATTERN}", "--out", str(tmp_path / "out")]
    assert cli.main(measured) == 0
    whole = files(tmp_path / "out")
    place = tmp_path / "out/rows/source=cam-1/date=2026-11-01/images.parquet"
    content = bytearray(place.read_bytes())
    content[10:200] = bytes(190)
    place.write_bytes(content)
    (tmp_path / "out/summaries/source=cam-1/date=2026-11-01/summary.arrow").unlink()
    assert cli.main(measured) == 0
    assert files(tmp_path / "out") == whole


@pytest.mark.parametrize("error", [RuntimeError("cannot connect to the endpoint"), ConnectionResetError(104, "reset")])
def test_a_store_that_does_not_give_what_is_there_ends_the_command_in_words(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Silent:
        def cat_file(self, path: str) -> bytes:
            asked.append(path)
            raise error

    monkeypatch.setattr(stores, "PAUSE_S", 0.001)
    with pytest.raises(StorageError, match="does not give what was written"):
        partition_files.kept(stores.Store(Silent(), "s3", "bucket"), "rows/images.parquet", {})
    assert asked == ["bucket/rows/images.parquet"] * stores.TRIES
