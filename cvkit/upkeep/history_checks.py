"""Checks of the history: read without a change to it, so not through `History`, which makes and migrates tables."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from cvkit.errors import StorageError
from cvkit.monitoring import alarms, locks, stream_store
from cvkit.monitoring.database import WAIT, explained, is_passing
from cvkit.monitoring.schema import OLDEST, OUTBOX, REPORTS, RUNS, SCHEMA, SLOTS, schema_table
from cvkit.slots import Standing
from cvkit.storage import FULL, memory_error
from cvkit.upkeep import file_checks, row_checks
from cvkit.upkeep.findings import Finding, examples

LARGE_LOG = 256 << 20  # bytes of SQLite's log, which is some MB where it is cut off in time
WAITS = timedelta(days=1)  # a message that was not sent for so long
LEFT_BEHIND = timedelta(hours=1)  # nothing that is at work is taken for left behind by a glance at the wrong instant
SLACK = timedelta(minutes=5)  # clocks of several machines differ
ANSWERS_S = 10  # a server of databases that has not answered by then does not
NO_MEMORY = ("error code=7", "error code=3082")  # SQLITE_NOMEM and SQLITE_IOERR_NOMEM, as its quick check tells them
RESTORE = "Restore it from a backup: `cvkit restore FILE FOLDER`"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What a history says, as far as it is looked at: rows by column."""

    runs: Sequence[Row]
    reports: Sequence[Row]
    slots: Sequence[Row]
    messages: Sequence[Row]  # model, channel, status, n, oldest
    locks: frozenset[int]  # numbers of those that are held in a server's database


def read(address: str, file: Path | None) -> tuple[Told | None, list[Finding]]:
    """What the history says, None where it cannot be read, and what is wrong with it. `file`: of SQLite."""
    found = list(_file(file)) if file is not None else []
    if any(one.severity == "error" for one in found):
        return None, found
    url = sa.make_url(address)
    if file is not None:
        url = sa.make_url(f"sqlite:///file:{quote(str(file))}?{_flags(file)}&uri=true")
    where = str(file or url.set(query={}).render_as_string(hide_password=True))
    try:
        with explained(url):
            limited = {"connect_timeout": ANSWERS_S} if url.get_backend_name() == "postgresql" else {}
            engine = sa.create_engine(url, connect_args=limited)
            try:
                with engine.connect() as connection:
                    if wrong := [*schema(_schema(connection), where)] or [*row_checks.rows(connection, where)]:
                        return None, found + wrong
                    return _rows(connection), [*found, *evidence(connection, where)]
            finally:
                engine.dispose()
    except StorageError as error:
        if file is not None and is_passing(error.found):
            return None, [*found, _not_now(where, error.found)]
        told, remedy = "it cannot be read", RESTORE
        if file is None:  # it may be down, or want a driver, and then no backup helps
            told, remedy = error.problem, f"{error.remedy[0].upper()}{error.remedy[1:]}"
        return None, [*found, Finding("error", "history", where, f"{told}: {error.found}", remedy)]


def _rows(connection: sa.Connection) -> Told:
    def rows(*columns: Any) -> list[Row]:
        return [dict(one) for one in connection.execute(sa.select(*columns)).mappings()]

    about = OUTBOX.c.model, OUTBOX.c.channel, OUTBOX.c.status
    query = sa.select(*about, sa.func.count().label("n"), sa.func.min(OUTBOX.c.made).label("oldest")).group_by(*about)
    return Told(
        rows(RUNS.c.model, RUNS.c.version, RUNS.c.window_start, RUNS.c.window_end, RUNS.c.reference_id, RUNS.c.status),
        rows(REPORTS.c.model, REPORTS.c.path, REPORTS.c.status, REPORTS.c.window_end, REPORTS.c.started),
        rows(SLOTS.c.job, SLOTS.c.slot, SLOTS.c.status, SLOTS.c.attempts, SLOTS.c.started, SLOTS.c.error),
        [dict(one) for one in connection.execute(query).mappings()],
        locks.held(connection),
    )


def _schema(connection: sa.Connection) -> int | None:
    if not sa.inspect(connection).has_table(schema_table.name):
        return None
    return connection.execute(sa.select(sa.func.max(schema_table.c.version))).scalar()


def _flags(file: Path) -> str:
    """How SQLite opens a file without leaving one beside it: of one that has no log nobody is at work."""
    return "mode=ro" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"


def _file(file: Path) -> Iterator[Finding]:
    """What is wrong with a SQLite file."""
    if not file.exists():
        return
    log = Path(f"{file}-wal")
    size = log.stat().st_size if log.exists() else 0
    yield from file_state(str(file), size=file.stat().st_size, readable=os.access(file, os.R_OK), log_size=size,
                          writable=os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))  # fmt: skip
    if file.stat().st_size and os.access(file, os.R_OK):
        yield from damage(str(file), lambda: _quick_check(file))


def file_state(where: str, *, size: int, readable: bool, writable: bool, log_size: int) -> Iterator[Finding]:
    """A database's file, and the size of its log."""
    if not readable:
        yield Finding(
            "error", "history", where, "this user cannot read it", "Mend the permissions with chown and chmod"
        )
        return
    if not size:
        yield Finding("error", "history", where, "it is an empty file: what was in it is lost", RESTORE)
    if not writable:
        yield Finding("error", "history", where, "this user cannot write it or its folder: no window can be recorded",
                      "Mend the permissions with chown and chmod")  # fmt: skip
    if log_size > LARGE_LOG:
        yield Finding("warning", "history", f"{where}-wal", f"SQLite's log has grown to {log_size >> 20} MiB: a "
                      "program reads the history without end, so that it cannot be cut off",
                      f"End that program (`fuser {where}`); the next run cuts it off")  # fmt: skip


def damage(where: str, look: Callable[[], str]) -> Iterator[Finding]:
    """What SQLite's own quick check says, unless it says ok. Raises StorageError where it lacked memory to look."""
    try:
        answer = look()
    except sqlite3.Error as error:
        if is_passing(str(error)):
            yield _not_now(where, str(error))
            return
        answer = str(error)
    if answer.endswith(NO_MEMORY) and (short := memory_error(MemoryError(answer))):
        raise short
    if answer != "ok":
        yield Finding("error", "history", where, f"the database is damaged: {answer[:200]}", RESTORE)


def _not_now(where: str, cause: str) -> Finding:
    """A database that nothing is known to be wrong with."""
    why = FULL if "full" in cause or ("disk I/O" in cause and _is_full(Path(where))) else cause
    return Finding("error", "history", where, f"the database cannot be looked through now: {why}",
                   f"{WAIT[0].upper()}{WAIT[1:]}")  # fmt: skip


def _is_full(file: Path) -> bool:
    return any(one.severity == "error" for one in file_checks.room("", *file_checks.room_at(file.parent)))


def _quick_check(file: Path) -> str:
    """The first thing that is damaged, or ok; looked at twice where somebody began to write meanwhile."""
    answer = ""
    for _ in range(2):
        flags = _flags(file)
        with closing(sqlite3.connect(f"{file.as_uri()}?{flags}", uri=True, timeout=30)) as connection:
            answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if answer == "ok" or flags == _flags(file):
            break
    return answer


def schema(found: int | None, where: str) -> Iterator[Finding]:
    """The version of its tables."""
    if found is None:
        yield Finding(
            "error", "history", where, "it holds no tables of cvkit's, or they do not say of which cvkit", RESTORE
        )
    elif OLDEST <= found < SCHEMA:
        yield Finding("note", "history", where, f"it is of an older cvkit (schema {found}), and not looked into",
                      "Any command that opens it brings it up to date; make a backup before")  # fmt: skip
    elif found != SCHEMA:
        yield Finding("error", "history", where, f"it is of another cvkit (schema {found}, not {SCHEMA})",
                      "Use the cvkit that wrote it, or a newer one")  # fmt: skip


def evidence(connection: sa.Connection, where: str) -> Iterator[Finding]:
    """What windows told the streams: whether it can be read, and whether it is there."""
    names = ("model", "version", "reference_id")
    query = sa.select(*(RUNS.c[name] for name in names)).where(RUNS.c.status == "done").distinct()
    for row in connection.execute(query).all():
        whose = dict(zip(names, row, strict=True))
        try:
            stream_store.read(connection, whose)
        except StorageError as error:
            yield Finding("error", "history", where, f"{error.problem}: {error.found}", RESTORE)
            continue
        if gone := stream_store.missing(connection, whose, alarms.MOST_WINDOWS):
            stretch = f"--from {gone[0]:%Y-%m-%d} --to {gone[-1] + timedelta(days=1):%Y-%m-%d}"
            many = f"{len(gone)} windows" if len(gone) > 1 else "a window"
            yield Finding("error", "history", where, f"what {many} told of drift is gone, or a part, so that "
                          f"later ones are judged without it", f"Measure again: `cvkit run {stretch}`")  # fmt: skip


def reports(rows: Sequence[Row], files: Collection[str], kept_from: datetime | None, model: str) -> Iterator[Finding]:
    """Rows of reports against the files in `reports/`; those that ended before `kept_from` may have been deleted."""
    gone = sorted(
        {row["path"] for row in rows if row["model"] == model and row["status"] == "done" and row["path"] not in files
         and not (kept_from and row["window_end"] < kept_from)}
    )  # fmt: skip
    if gone:
        yield Finding("warning", "reports", examples(gone), "the history names this report, and its file is gone",
                      "`cvkit run --window DAY` writes it again, or restore it from a backup")  # fmt: skip
    named = {row["path"] for row in rows}
    if unnamed := sorted(path for path in files if path not in named):
        yield Finding("note", "reports", examples(unnamed), "no row of the history names this file: no page shows it",
                      "Delete it, or write the report anew with `cvkit run --window DAY`")  # fmt: skip


def left_running(told: Told, model: str, now: datetime, *, run_held: bool | None,
                 job_held: Callable[[str], bool | None]) -> Iterator[Finding]:  # fmt: skip
    """Reports and slots that are `running`, and no process holds the lock of those who run them."""
    before = now - LEFT_BEHIND
    rows = [row for row in told.reports if row["model"] == model and _left(row, before)]
    if rows and run_held is False:
        yield Finding("warning", "left running", examples(sorted(row["path"] for row in rows)),
                      "it is said to be running, and no process is at it: it was killed",
                      "The next `cvkit run` writes it; if this comes back, see whether memory runs out")  # fmt: skip
    taken = [row for row in told.slots if row["job"].startswith(f"{model}: ") and _left(row, before)]
    slots = [f"{row['job']} at {row['slot']:%Y-%m-%d %H:%M}" for row in taken if job_held(row["job"]) is False]
    if slots:
        yield Finding("warning", "left running", examples(slots),
                      "the schedule's slot is taken, and nobody holds its lock",
                      "`cvkit run --due` takes it up again; see whether cron or `cvkit schedule` runs")  # fmt: skip


def overdue(jobs: Sequence[Standing]) -> Iterator[Finding]:
    """Jobs of the schedule that did not run when they should have; those that never ran may be run by hand."""
    for one in jobs:
        if one.overdue and one.ran:
            yield Finding("warning", "schedule", "schedule", one.line, _to_do(one))


def _to_do(one: Standing) -> str:
    if one.final:
        return (
            f"Mend that, then `cvkit run --window DAY --notebook {one.job.notebook}`: once its report is written, "
            "`cvkit run --due` takes it for done"
        )
    return "`cvkit run --due` says why; see whether cron, a timer or `cvkit schedule` runs"


def _left(row: Row, before: datetime) -> bool:
    return row["status"] == "running" and (row["started"] is None or row["started"] < before)


def messages(rows: Sequence[Row], model: str, now: datetime) -> Iterator[Finding]:
    """Messages of a model that wait for days, or were given up."""
    for row in (row for row in rows if row["model"] == model):
        many = f"{row['n']} message{'s' * (row['n'] != 1)}"
        if row["status"] == "waiting" and row["oldest"] < now - WAITS:
            problem = f"{many}, the oldest for {(now - row['oldest']).days} days, could not be sent: nobody was told"
            yield Finding("warning", "messages", f"channel {row['channel']}", problem,
                          "`cvkit alerts test` says why; then `cvkit alerts deliver`")  # fmt: skip
        elif row["status"] == "failed":
            yield Finding("warning", "messages", f"channel {row['channel']}", f"{many} given up: nobody was told",
                          "`cvkit alerts test` says why; then `cvkit alerts deliver --again`")  # fmt: skip


def clock(runs: Sequence[Row], slots: Sequence[Row], model: str, now: datetime) -> Iterator[Finding]:
    """Windows and slots that lie in the future."""
    ends = [row["window_end"] for row in runs if row["model"] == model]
    times = [row["slot"] for row in slots if row["job"].startswith(f"{model}: ")]
    for what, moments in (("the newest window ends", ends), ("the newest slot is", times)):
        if moments and max(moments) > now + SLACK:
            problem = f"{what} at {max(moments):%Y-%m-%d %H:%M} UTC, in the future: it is {now:%Y-%m-%d %H:%M} here"
            yield Finding("warning", "clock", "history", problem,
                          "Set the clock; where it was wrong before, see whose windows these are")  # fmt: skip


def references(runs: Sequence[Row], known: Collection[str], model: str) -> Iterator[Finding]:
    """References that runs name, by the folder they would lie in, against those there are."""
    rows = sorted((row for row in runs if row["model"] == model and row["status"] == "done" and row["reference_id"]),
                  key=lambda row: row["window_start"])  # fmt: skip
    missing = {name: row for row in rows if (name := row["reference_id"].partition("-")[0]) not in known}
    newest = rows[-1]["reference_id"].partition("-")[0] if rows else ""
    for name, row in missing.items():
        yield Finding(
            "warning" if name == newest else "note", "references", f"references/{name}",
            f"windows up to {row['window_end']:%Y-%m-%d} were judged by this reference, and it is gone",
            "`cvkit reference` measures it again from its files" if name == newest else
            "Restore it from a backup, where somebody may ask what these windows were held against",
        )  # fmt: skip
