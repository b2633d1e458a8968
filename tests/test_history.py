"""The history: whole windows or none, never doubled, and words for a database that cannot be used."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cvkit.errors import StorageError
from cvkit.monitoring.history import History
from cvkit.tables import MEASUREMENTS, VERDICTS, Window, conform

NOW = datetime(2026, 10, 1, tzinfo=UTC)
WINDOW = Window.day("2026-10-01")


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'history.db'}"


def measurements(n: int = 3, value: float = 1.0) -> pd.DataFrame:
    rows = {"source": "cam", "feature": [f"f{i}" for i in range(n)], "metric": "ks", "value": value}
    return conform(pd.DataFrame(rows), MEASUREMENTS)


def verdicts(state: str = "ok") -> pd.DataFrame:
    row = {"source": "cam", "rule": "drift", "feature": "f0", "state": state, "reason": "because"}
    return conform(pd.DataFrame([row]), VERDICTS)


def put(history: History, window: Window = WINDOW, version: str = "v", **changes: object) -> None:
    values = {"measurements": measurements(), "verdicts": verdicts(), "images": 24, "bad_images": 1, **changes}
    history.record(model="m", version=version, window=window, reference_id="r", started=NOW, **values)  # type: ignore[arg-type]


def test_a_window_is_replaced_not_doubled(tmp_path: Path) -> None:
    with History.open(url(tmp_path)) as history:
        put(history)
        put(history, measurements=measurements(5, value=2.0))
        put(history, version="other")
        assert len(history.runs()) == 2
        assert list(history.measurements(version="v")["value"]) == [2.0] * 5
        assert len(history.verdicts(version="v")) == 1
        assert history.measured_windows("m", "v") == [WINDOW]


def test_nan_and_infinity_survive_and_times_are_utc(tmp_path: Path) -> None:
    frame = measurements(3)
    frame["value"] = [np.nan, np.inf, -np.inf]
    with History.open(url(tmp_path)) as history:
        put(history, measurements=frame)
        read = history.measurements()
        np.testing.assert_array_equal(read["value"], frame["value"])
        assert str(read["window_start"].dtype) == "datetime64[us, UTC]"
        assert read["window_start"][0] == WINDOW.start
        assert list(read.columns[4:]) == list(MEASUREMENTS)


def test_an_empty_history_has_tables_with_their_columns(tmp_path: Path) -> None:
    with History.open(url(tmp_path)) as history:
        assert set(VERDICTS) <= set(history.verdicts().columns)
        assert history.runs().empty
        assert history.reports().empty


def test_rows_are_selected_by_time_and_value(tmp_path: Path) -> None:
    with History.open(url(tmp_path)) as history:
        for day in range(1, 6):
            put(history, window=Window.day(f"2026-10-0{day}"))
        start = datetime(2026, 10, 2, tzinfo=UTC)
        chosen = history.measurements(start=start, end=start + timedelta(days=2), feature="f1")
        assert [f"{moment:%d}" for moment in chosen["window_start"]] == ["02", "03"]


def test_a_failure_is_recorded_but_does_not_wipe_what_was_known(tmp_path: Path) -> None:
    with History.open(url(tmp_path)) as history:
        history.record_failure("m", "v", WINDOW, NOW, "no disk")
        assert list(history.runs()["status"]) == ["failed"]
        assert history.measured_windows("m", "v") == []
        put(history)
        history.record_failure("m", "v", WINDOW, NOW, "no disk")
        assert list(history.runs()["status"]) == ["done"]


def test_a_report_has_one_row(tmp_path: Path) -> None:
    about = {
        "model": "m",
        "version": "v",
        "notebook": "02-drift",
        "source": "",
        "window": WINDOW,
        "path": "p",
        "started": NOW,
    }
    with History.open(url(tmp_path)) as history:
        history.record_report(**about, status="running")  # type: ignore[arg-type]
        history.record_report(**about, status="failed", finished=NOW, error="boom")  # type: ignore[arg-type]
        assert history.reports()[["status", "error"]].to_numpy().tolist() == [["failed", "boom"]]


def test_a_slot_is_taken_once_and_retried_within_bounds(tmp_path: Path) -> None:
    with History.open(url(tmp_path)) as history:
        assert history.claim_slot("job", NOW, NOW, attempts=2) == "running"
        history.finish_slot("job", NOW, NOW)
        assert history.claim_slot("job", NOW, NOW, attempts=2) == "done"
        later = NOW + timedelta(days=1)
        assert history.claim_slot("job", later, later, attempts=2) == "running"  # and the process dies here
        assert history.claim_slot("job", later, later, attempts=2) == "running"
        history.finish_slot("job", later, later, error="boom")
        assert history.claim_slot("job", later, later, attempts=2) == "failed"
        assert list(history.slots()["status"]) == ["done", "failed"]


@pytest.mark.parametrize("damage", ["no database", "newer", "folder", "address"])
def test_a_history_that_cannot_be_used_is_explained(tmp_path: Path, damage: str) -> None:
    file, address = tmp_path / "history.db", url(tmp_path)
    if damage == "no database":
        file.write_bytes(b"this is no database at all" * 100)
    elif damage == "newer":
        History.open(address).close()
        with sqlite3.connect(file) as connection:
            connection.execute("update cvkit_schema set version = 999")
        connection.close()
    elif damage == "folder":
        file.mkdir()
    else:
        address = "nothing://x"
    with pytest.raises(StorageError):
        History.open(address)


def test_a_kill_leaves_whole_windows(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests'); from test_history import *\n"
        f"history = History.open({url(tmp_path)!r})\n"
        "for i in range(10000): put(history, Window(NOW + timedelta(days=i), NOW + timedelta(days=i + 1)), "
        "measurements=measurements(500))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[1])
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _count(tmp_path) < 5:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with History.open(url(tmp_path)) as history:
        sizes = history.measurements().groupby("window_start").size()
        assert len(sizes) >= 5
        assert set(sizes) == {500}
        assert len(history.runs()) == len(sizes) == len(history.verdicts())


def _count(folder: Path) -> int:
    if not (folder / "history.db").exists():
        return 0
    connection = sqlite3.connect(folder / "history.db", timeout=10)
    try:
        return int(connection.execute("select count(*) from runs").fetchone()[0])
    except sqlite3.OperationalError:  # the tables are not there yet
        return 0
    finally:
        connection.close()
