"""A history on PostgreSQL: what the tests of SQLite's say of it, and what many do to it at once."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import alert_world
import pytest
import sqlalchemy as sa
import test_history
import test_outbox
from test_alerts import *  # noqa: F403
from test_history import (  # noqa: F401
    at_once,
    put,
    test_a_failure_is_recorded_but_does_not_wipe_what_was_known,
    test_a_report_has_one_row,
    test_a_slot_given_back_was_no_attempt,
    test_a_slot_is_taken_once_and_retried_within_bounds,
    test_a_window_is_replaced_not_doubled,
    test_an_empty_history_has_tables_with_their_columns,
    test_many_may_write_one_window_at_once,
    test_nan_and_infinity_survive_and_times_are_utc,
    test_reports_of_other_models_are_not_given_up,
    test_rows_are_selected_by_time_and_value,
    test_windows_with_unfinished_reports_are_known_until_they_are_done,
    test_words_that_are_no_text_are_kept_readable,
)
from test_outbox import *  # noqa: F403

from cvkit import job as main_job
from cvkit import schedule
from cvkit.config import Config, JobSettings, load_config
from cvkit.errors import BusyError, StorageError
from cvkit.monitoring import locks
from cvkit.monitoring.history import History
from cvkit.tables import Window
from cvkit.upkeep import doctor
from cvkit.upkeep.findings import Finding

psycopg = pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs: on the path, or where Debian has them."""
    found = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    return next((Path(path).parent for path in found if path), None)


def run_as() -> dict[str, Any]:
    """Whom to run the server as: PostgreSQL refuses root."""
    if os.geteuid():
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("root, and there is no user postgres to run PostgreSQL as")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of a PostgreSQL of our own on loopback, or of the one that CVKIT_TEST_POSTGRESQL names."""
    if url := os.environ.get("CVKIT_TEST_POSTGRESQL"):
        yield url
        return
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    who, folder = run_as(), Path(tempfile.mkdtemp(prefix="cvkit-postgresql-"))
    try:
        if who:
            os.chown(folder, who["user"], who["group"])
        made = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **who}
        data = str(folder / "data")
        start = [programs / "initdb", "-D", data, "-A", "trust", "-U", "cvkit", "-E", "UTF8", "--no-locale", "-N"]
        subprocess.run(start, check=True, **made)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["-clisten_addresses=127.0.0.1", f"-cport={port}", "-cunix_socket_directories=", "-cfsync=off"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, *options], **{**made, "stdout": log, "stderr": log}
            )
        try:
            url = f"postgresql+psycopg://cvkit@127.0.0.1:{port}/postgres"
            answers(url, process)
            yield url
        finally:
            process.send_signal(signal.SIGINT)  # ends without waiting for clients
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def answers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server does."""
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url.replace("+psycopg", "")).close()
        except psycopg.OperationalError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
        else:
            return


@pytest.fixture(autouse=True)
def address(server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """URL of the history of a folder, a schema of its own; here the tests of SQLite's get it too."""

    def url(folder: Path) -> str:
        name = "t" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        engine = sa.create_engine(server)
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")  # two at once fail, whatever IF NOT EXISTS
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {name}")
        engine.dispose()
        return f"{server}?options=-csearch_path%3D{name}"

    monkeypatch.setattr(alert_world, "history_url", url)
    monkeypatch.setattr(test_history, "url", url)
    monkeypatch.setattr(test_outbox, "KILLS", 8)
    return url


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    return alert_world.config(tmp_path)


@pytest.fixture
def history(settings: Config) -> Iterator[History]:
    with History.open(settings.history_url) as opened:
        yield opened


def test_many_may_open_a_new_history_at_once(address: Callable[[Path], str], tmp_path: Path) -> None:
    for number in range(5):
        url = address(tmp_path / str(number))
        assert at_once(lambda url=url: History.open(url).close()) == []  # type: ignore[misc]
        with History.open(url) as history:
            put(history)
            assert len(history.runs()) == 1


def test_a_locked_history_is_explained(address: Callable[[Path], str], tmp_path: Path) -> None:
    with History.open(address(tmp_path), busy_s=0.3) as history:
        put(history)
        with history.writing(), pytest.raises(StorageError, match="lock timeout"):
            put(history)
        with history.writing():
            assert len(history.runs()) == 1  # readers are not held up
        put(history)


def test_copies_of_a_workspace_that_share_it_run_a_slot_once(
    settings: Config, history: History, tmp_path: Path
) -> None:
    """Each has locks of its own on its disk; what both see is the database."""
    settings.path.write_text(settings.path.read_text() + '\nschedule:\n  - {notebook: n, cron: "0 * * * *"}\n')
    first = load_config(settings.path)
    (tmp_path / "copy").mkdir()
    shutil.copy(settings.path, tmp_path / "copy")
    second, now, found = load_config(tmp_path / "copy" / settings.path.name), datetime(2026, 10, 5, 5, tzinfo=UTC), []
    assert first.workspace != second.workspace

    def at_work(config: Config, job: JobSettings, window: Window) -> str:
        found.extend(one.status for one in schedule.run_due(second, now, lambda *_: "must not run"))
        problems = [one.check for one in doctor.examine(second.workspace, now + timedelta(days=1))]
        assert "left running" not in problems
        with pytest.raises(BusyError, match="another machine"), history.alone(f"run {first.model.name}", "x", 0.1):
            main_job.run(second, [], notebooks=[])
        return ""

    assert [one.status for one in schedule.run_due(first, now, at_work)] == ["done"]
    assert found == ["busy"]
    assert schedule.run_due(second, now, lambda *_: "must not run") == []
    assert [one.check for one in doctor.examine(second.workspace, now)].count("left running") == 0


def test_a_lock_in_it_goes_with_the_connection(history: History, server: str) -> None:
    with history.alone("x", "at work"):
        with pytest.raises(BusyError), history.alone("x", "at work"):
            pass
        with history.alone("y", "at work"):
            pass
        with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        with history.alone("x", "at work", wait_s=10):
            pass
    with history.alone("x", "at work"):
        pass


def test_each_lock_that_is_held_is_known_by_its_number(history: History) -> None:
    names = [f"job {number}" for number in range(16)]
    assert {locks.number(name) > 0 for name in names} == {True, False}
    for name in names:
        with history.alone(name, "at work"), history.reading() as connection:
            assert locks.held(connection) == {locks.number(name)}
    with history.reading() as connection:
        assert locks.held(connection) == frozenset()


def test_a_lock_is_let_go_of_before_its_connection_closes(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:  # the server notices a closed connection in its own time: who asks right after would find it held
    held: list[frozenset[int]] = []
    close = sa.Connection.close
    with history.reading() as reading:

        def closing(connection: sa.Connection) -> None:
            held.append(locks.held(reading))
            close(connection)

        with monkeypatch.context() as patched, history.alone("x", "at work"):
            assert locks.held(reading) == {locks.number("x")}
            patched.setattr(sa.Connection, "close", closing)
    assert held[0] == frozenset()


def test_the_doctor_looks_into_it_and_makes_no_tables(settings: Config, history: History, tmp_path: Path) -> None:
    def checks(found: list[Finding]) -> list[tuple[str, str]]:
        return [
            (one.severity, one.check)
            for one in found
            if one.check not in ("room", "secrets", "permissions", "captures")
        ]

    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert checks(doctor.examine(tmp_path, now)) == []
    history.claim_slot(f"{settings.model.name}: 02-drift", now - timedelta(days=1), now - timedelta(days=1), 1)
    assert checks(doctor.examine(tmp_path, now)) == [("warning", "left running")]
    engine = sa.create_engine(settings.history_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE cvkit_schema")
    rows = [one for one in doctor.examine(tmp_path, now) if one.check == "history"]
    assert ["no tables" in one.problem for one in rows] == [True]
    assert not sa.inspect(engine).has_table("cvkit_schema")
    engine.dispose()


def test_a_server_that_is_down_or_cuts_the_connection(history: History, server: str) -> None:
    url = sa.make_url(server)
    for away in (url.set(port=1), url.set(host="no.such.invalid"), url.set(database="no_such_database")):
        with pytest.raises(StorageError, match="does not answer") as told:
            History.open(away.render_as_string(hide_password=False))
        assert "whether it runs" in told.value.remedy
        assert not [words for words in ("history.db", "damaged", "with room") if words in str(told.value)]

    def cut(connection: sa.Connection) -> None:
        mine = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with psycopg.connect(server.replace("+psycopg", "")) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [mine])
        time.sleep(0.2)
        connection.exec_driver_sql("SELECT 1")

    for look in (history.reading, history.writing):
        with pytest.raises(StorageError, match="does not answer"), look() as connection:
            cut(connection)
    with pytest.raises(StorageError, match="cannot be read or written") as told, history.reading() as connection:
        connection.exec_driver_sql("SELECT 1/0")
    assert "pg_dump" in told.value.remedy
    assert history.runs().empty, "the next one is connected anew"


def test_the_doctor_finds_damaged_rows(settings: Config, history: History, tmp_path: Path) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    history.claim_slot(f"{settings.model.name}: 02-drift", now, now, 1)
    put(history)
    test_outbox.drift(history, "w")
    test_outbox.alerts.update(settings, history, test_outbox.NOW)
    assert not [one for one in doctor.examine(tmp_path, now) if "damaged row" in one.problem]
    engine = sa.create_engine(settings.history_url)
    with engine.begin() as connection:
        for damage in ("alerts SET facts = '[1]'", "slots SET status = 'banana'", "verdicts SET state = 'fine'"):
            connection.exec_driver_sql(f"UPDATE {damage}")
    engine.dispose()
    told = [one.problem for one in doctor.examine(tmp_path, now) if one.check == "history"]
    assert sorted(one.split(":")[0] for one in told) == ["alerts.facts", "slots.status", "verdicts.state"]
    assert any("1 damaged row, the first at ctid (0," in one for one in told)


def test_what_was_being_sent_at_a_kill_is_sent_by_the_next_command(settings: Config, history: History) -> None:
    """In place of that of SQLite's: others may be at work on the same history, so it waits until the lease is over."""
    test_outbox.drift(history, "w")
    test_outbox.alerts.update(settings, history, test_outbox.NOW)
    with pytest.raises(test_outbox.Killed):
        test_outbox.outbox.deliver(settings, history, test_outbox.die, clock=lambda: test_outbox.NOW, pause_s=0)
    receiver = test_outbox.Receiver()
    assert test_outbox.round_of(settings, history, receiver, test_outbox.NOW).sent == 0
    assert test_outbox.round_of(settings, history, receiver, test_outbox.NOW + timedelta(minutes=5)).sent == 1
