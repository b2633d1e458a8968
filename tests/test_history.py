"""The history: whole windows or none, never doubled, and words for a database that cannot be used."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cvkit.errors import ConfigError, StorageError
from cvkit.monitoring import schema, timeline
from cvkit.monitoring.history import History
from cvkit.tables import MEASUREMENTS, STATES, VERDICTS, Window, conform

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
    history.record(model="m", version=version, window=window, reference_id="r", rules_id="s", started=NOW, **values)  # type: ignore[arg-type]


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


def test_a_history_of_no_bytes_is_told_and_not_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    file.touch()
    with pytest.raises(StorageError, match="what was in it is lost") as told:
        History.open(url(tmp_path))
    assert (told.value.where, told.value.found) == (str(file), "0 bytes")
    assert "restore it from a backup" in told.value.remedy
    assert "delete it" in told.value.remedy
    assert file.stat().st_size == 0
    file.unlink()
    History.open(url(tmp_path)).close()
    assert file.stat().st_size


def test_a_kill_while_a_history_is_made_leaves_none_of_no_bytes(tmp_path: Path) -> None:
    for moment in ("link", "unlink"):
        code = (
            "import os\n"
            f"os.{moment} = lambda *a, **k: os.kill(os.getpid(), 9)\n"
            "from cvkit.monitoring.history import History\n"
            f"History.open({url(tmp_path)!r})\n"
        )
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, cwd=tmp_path)
        assert done.returncode == -signal.SIGKILL
        assert not (tmp_path / "history.db").exists() or (tmp_path / "history.db").stat().st_size
    History.open(url(tmp_path)).close()


def test_a_history_is_made_on_disks_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    History.open(url(tmp_path)).close()
    History.open(url(tmp_path)).close()
    assert [file.name for file in tmp_path.iterdir()] == ["history.db"]


def test_a_kill_leaves_whole_windows(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests'); from test_history import *\n"
        f"history = History.open({url(tmp_path)!r})\n"
        "for i in range(10000): put(history, Window(NOW + timedelta(days=i), NOW + timedelta(days=i + 1)), "
        "measurements=measurements(500))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[1])
    deadline = time.monotonic() + 120
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


def at_once(work: Callable[[], object], times: int = 6) -> list[BaseException]:
    """Do `work` in many threads that start together; the errors."""
    together, errors = threading.Barrier(times), []

    def one() -> None:
        together.wait()
        try:
            work()
        except StorageError as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_many_may_open_a_new_history_at_once(tmp_path: Path) -> None:
    for number in range(5):
        address = url(tmp_path / str(number))
        assert at_once(lambda address=address: History.open(address).close()) == []  # type: ignore[misc]
        with sqlite3.connect(tmp_path / str(number) / "history.db") as connection:
            assert connection.execute("select version from cvkit_schema").fetchall() == [(schema.SCHEMA,)]
            assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        connection.close()


def test_many_may_write_one_window_at_once(tmp_path: Path) -> None:
    def write() -> None:
        with History.open(url(tmp_path)) as history:
            for _ in range(5):
                put(history)

    assert at_once(write) == []
    with History.open(url(tmp_path)) as history:
        assert (len(history.runs()), len(history.measurements()), len(history.verdicts())) == (1, 3, 1)


def test_a_newer_history_is_left_as_it_is(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "history.db") as connection:
        connection.execute("create table cvkit_schema (version integer primary key)")
        connection.execute("insert into cvkit_schema values (999)")
    with pytest.raises(StorageError, match="schema 999"):
        History.open(url(tmp_path))
    tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
    connection.close()
    assert tables == [("cvkit_schema",)]


def test_who_has_it_open_does_not_write_into_a_history_that_became_newer(tmp_path: Path) -> None:
    with History.open(url(tmp_path)) as history:
        put(history)
        with sqlite3.connect(tmp_path / "history.db") as other:
            other.execute("update cvkit_schema set version = 999")
        other.close()
        with pytest.raises(StorageError, match="schema 999"):
            put(history, WINDOW, "other")
        assert len(history.runs()) == 1


def test_a_locked_history_is_explained_in_time(tmp_path: Path) -> None:
    with History.open(url(tmp_path), busy_s=0.5) as history:
        put(history)
        other = sqlite3.connect(tmp_path / "history.db")
        other.execute("begin immediate")
        started = time.monotonic()
        with pytest.raises(StorageError, match="locked"):
            put(history)
        assert time.monotonic() - started < 5
        assert len(history.runs()) == 1  # readers are not held up
        other.close()


def test_a_missing_driver_is_explained_and_the_password_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StorageError, match="driver") as raised:
        History.open("postgresql+psycopg://user:secret@db.example/cvkit")
    assert "cvkit[postgresql]" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the size of a process is asked of Linux")
def test_memory_that_sqlite_lacks_is_named(tmp_path: Path) -> None:
    """The heap has room, and nothing can be mapped: SQLite calls that an error of the disk."""
    put(history := History.open(url(tmp_path)), Window(NOW, NOW + timedelta(days=1)))
    history.close()
    code = f"""
import resource, sqlite3
from cvkit.errors import StorageError
from cvkit.monitoring.database import explained
blocks = [bytes(1000) for _ in range(9000)]
del blocks[:-1]
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size, size))
try:
    with explained("sqlite://"):
        sqlite3.connect({str(tmp_path / "history.db")!r}).execute("SELECT * FROM runs")
except StorageError as error:
    print(error)
"""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "there is not enough memory" in done.stdout, done.stdout
    assert "SQLITE_IOERR_SHMMAP" in done.stdout


def test_a_full_disk_is_explained_and_leaves_whole_windows(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests'); from test_history import *\n"
        f"history = History.open({url(tmp_path)!r}); put(history)\n"
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "try:\n"
        "    for i in range(1, 100): put(history, Window(NOW + timedelta(days=i), NOW + timedelta(days=i + 1)),\n"
        "                                measurements=measurements(200))\n"
        "except StorageError: print('explained')"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "explained"
    with History.open(url(tmp_path)) as history:
        sizes = history.measurements().groupby("window_start").size()
        assert set(sizes) == {3, 200}
        assert len(history.runs()) == len(sizes)


def test_words_that_are_no_text_are_kept_readable(tmp_path: Path) -> None:
    with History.open(url(tmp_path)) as history:
        history.record_failure("m", "v", WINDOW, NOW, "cannot read cam\udcff/a\0.jpg")
        assert list(history.runs()["error"]) == [r"cannot read cam\udcff/a.jpg"]


def test_reports_of_other_models_are_not_given_up(tmp_path: Path) -> None:
    with History.open(url(tmp_path)) as history:
        for model in ("mine", "theirs"):
            history.record_report(
                model=model, version="v", notebook="n", source="", window=WINDOW, path="p", started=NOW,
                status="running",
            )  # fmt: skip
        history.close_reports("killed", model="mine")
        assert sorted(zip(history.reports()["model"], history.reports()["status"], strict=True)) == [
            ("mine", "failed"),
            ("theirs", "running"),
        ]


def test_a_slot_given_back_was_no_attempt(tmp_path: Path) -> None:
    with History.open(url(tmp_path)) as history:
        history.claim_slot("job", NOW, NOW, attempts=2)
        history.release_slot("job", NOW)
        assert history.slots().empty
        history.claim_slot("job", NOW, NOW, attempts=2)
        history.finish_slot("job", NOW, NOW, error="boom")
        for _ in range(3):
            assert history.claim_slot("job", NOW, NOW, attempts=2) == "running"
            history.release_slot("job", NOW)
        assert history.slots()[["status", "attempts"]].to_numpy().tolist() == [["failed", 1]]


def test_windows_with_unfinished_reports_are_known_until_they_are_done(tmp_path: Path) -> None:
    about = {"model": "m", "version": "v", "notebook": "n", "source": "", "window": WINDOW, "path": "p", "started": NOW}
    with History.open(url(tmp_path)) as history:
        for status, expected in (("running", [WINDOW]), ("failed", [WINDOW]), ("done", [])):
            history.record_report(**about, status=status)  # type: ignore[arg-type]
            assert history.unfinished_reports("m", "v", ["n"]) == expected
            assert history.unfinished_reports("m", "other", ["n"]) == []
            assert history.unfinished_reports("m", "v", ["other"]) == []
            assert history.unfinished_reports("m", "v", ["n"], "cam-1") == []
        history.record_report(**{**about, "source": "cam-1"}, status="running")  # type: ignore[arg-type]
        assert history.unfinished_reports("m", "v", ["n"], "cam-1") == [WINDOW]
        assert history.unfinished_reports("m", "v", ["n"]) == []


@pytest.mark.parametrize("version", [5, 6])
def test_an_older_history_gets_its_indexes_and_worst_verdicts(tmp_path: Path, version: int) -> None:
    with History.open(url(tmp_path)) as history:
        put(history)
        put(history, Window(WINDOW.end, WINDOW.end + timedelta(days=1)))
        known = timeline.past(history, "m")
    indexes = "select name, sql from sqlite_master where type = 'index' and name like '%_by_%' order by name"
    with sqlite3.connect(tmp_path / "history.db") as connection:
        made = connection.execute(indexes).fetchall()
        for name, _ in made:
            connection.execute(f"drop index {name}")
        for table in ("measurements", "verdicts"):
            connection.execute(f"create index ix_{table}_run on {table} (run)")
            connection.execute(f"create index {table}_by_feature on {table} (feature, source)")
        connection.execute("drop table worst")
        connection.execute(f"update cvkit_schema set version = {version}")
    with History.open(url(tmp_path)) as history:
        pd.testing.assert_frame_equal(timeline.past(history, "m"), known)
    assert len(made) == 4
    assert connection.execute(indexes).fetchall() == made
    for wanted in ("feature = 'f' and run = 3", "run = 3 and source = 's'"):
        plan = connection.execute(f"explain query plan select * from measurements where {wanted}").fetchall()
        assert "USING INDEX measurements_by_" in str(plan)
    connection.close()


def test_the_worst_verdict_of_a_window_and_source_is_kept_up(tmp_path: Path) -> None:
    """Against the verdicts themselves, as windows are measured, judged anew and fail."""
    rng = np.random.default_rng(0)
    windows = [Window(WINDOW.start + timedelta(days=n), WINDOW.end + timedelta(days=n)) for n in range(4)]

    def judged() -> pd.DataFrame:
        rows = [
            {"source": f"cam-{rng.integers(2)}", "rule": f"rule-{rng.integers(3)}", "feature": f"f{rng.integers(3)}",
             "state": str(rng.choice(STATES)), "reason": "r"} for _ in range(rng.integers(8))
        ]  # fmt: skip
        return conform(pd.DataFrame(rows, columns=list(VERDICTS)), VERDICTS)

    with History.open(url(tmp_path)) as history:
        for number in range(40):
            window = windows[rng.integers(4)]
            later = {windows[rng.integers(4)]: (judged(), conform(pd.DataFrame(), MEASUREMENTS))} if number % 3 else {}
            put(history, window, verdicts=judged(), later=later)
            expected = history.verdicts(model="m")
            rank = expected["state"].map(STATES.index)
            order = expected.assign(rank=rank).sort_values(
                ["window_start", "source", "rank", "rule", "feature"], ascending=[True, True, True, True, False]
            )
            last = order.drop_duplicates(["window_start", "source"], keep="last")[list(timeline.PAST)]
            found = timeline.past(history, "m").sort_values(["window_start", "source"])
            assert found.astype(str).values.tolist() == last.astype(str).values.tolist()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("address", ["sqlite:///{}?password=SECRET", "sqlite://u:SECRET@/{}"])
def test_a_password_for_sqlite_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SQLite knows no passwords") as told:
        History.open(address.format(tmp_path / "history.db"))
    assert "SECRET" not in str(told.value)
    assert not (tmp_path / "history.db").exists()
