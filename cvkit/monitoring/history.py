"""History: what was measured and judged, and what was run, in one SQL database.

SQLite in WAL mode by default, any other database SQLAlchemy speaks by URL. A window is written in one transaction that
replaces what stood there: a kill leaves all of it or nothing, a rerun never doubles it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from cvkit import __version__
from cvkit.errors import StorageError
from cvkit.tables import MEASUREMENTS, VERDICTS, Window, conform

SCHEMA = 1  # raised by every change of the tables below
BUSY_SECONDS = 30  # how long a writer waits for another
WRITING = {"cvkit_writes": True}  # option of a connection that will write: it queues for the lock before it reads


class _Moment(sa.TypeDecorator[datetime]):
    """A time in UTC: databases without zones give back what was put in."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class _Words(sa.TypeDecorator[str]):
    """Text a database can hold: file names that are no Unicode, and NUL, would be refused."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else value.replace("\0", "").encode("utf-8", "backslashreplace").decode()


_TYPES: dict[str, Any] = {"str": _Words, "int64": sa.BigInteger, "float64": sa.Double}
_metadata = sa.MetaData()
_schema = sa.Table("cvkit_schema", _metadata, sa.Column("version", sa.Integer, primary_key=True))
_runs = sa.Table(
    "runs", _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", _Words, nullable=False), sa.Column("version", _Words, nullable=False),
    sa.Column("window_start", _Moment, nullable=False), sa.Column("window_end", _Moment, nullable=False),
    sa.Column("reference_id", _Words, nullable=False), sa.Column("status", _Words, nullable=False),
    sa.Column("started", _Moment), sa.Column("finished", _Moment),
    sa.Column("images", sa.Integer), sa.Column("bad_images", sa.Integer),
    sa.Column("error", _Words, nullable=False), sa.Column("cvkit_version", _Words, nullable=False),
    sa.UniqueConstraint("model", "version", "window_start", "window_end"),
)  # fmt: skip


def _child(name: str, columns: dict[str, str]) -> sa.Table:
    run: sa.Column[int] = sa.Column("run", sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True)
    return sa.Table(name, _metadata, run, *(sa.Column(key, _TYPES[dtype]) for key, dtype in columns.items()))


_measurements = _child("measurements", dict(MEASUREMENTS))
_verdicts = _child("verdicts", dict(VERDICTS))
_reports = sa.Table(
    "reports", _metadata,
    sa.Column("model", _Words, primary_key=True), sa.Column("version", _Words, primary_key=True),
    sa.Column("notebook", _Words, primary_key=True), sa.Column("source", _Words, primary_key=True),
    sa.Column("window_start", _Moment, primary_key=True), sa.Column("window_end", _Moment, primary_key=True),
    sa.Column("status", _Words, nullable=False), sa.Column("path", _Words, nullable=False),
    sa.Column("started", _Moment), sa.Column("finished", _Moment), sa.Column("error", _Words, nullable=False),
)  # fmt: skip
_slots = sa.Table(
    "slots", _metadata,
    sa.Column("job", _Words, primary_key=True), sa.Column("slot", _Moment, primary_key=True),
    sa.Column("status", _Words, nullable=False), sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("started", _Moment), sa.Column("finished", _Moment), sa.Column("error", _Words, nullable=False),
)  # fmt: skip


class History:
    """An open history; close it, or use it as a context manager."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> History:
        """Open the history at a SQLAlchemy URL, making its tables where there are none.

        Raises StorageError where it cannot be opened, is no database, or was written by a newer cvkit.
        """
        with _explained(url):
            address = sa.make_url(url)
            if address.database and address.get_backend_name() == "sqlite":
                Path(address.database).parent.mkdir(parents=True, exist_ok=True)
            engine = sa.create_engine(address)
            if engine.dialect.name == "sqlite":
                sa.event.listen(engine, "connect", _prepare_sqlite)
                sa.event.listen(engine, "begin", _begin_sqlite)
            history = cls(engine)
            try:
                history._check_schema()
            except BaseException:
                engine.dispose()
                raise
        return history

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- windows ----------------------------------------------------------------------------------------------------

    def record(
        self, *, model: str, version: str, window: Window, reference_id: str, measurements: pd.DataFrame,
        verdicts: pd.DataFrame, images: int, bad_images: int, started: datetime,
    ) -> None:  # fmt: skip
        """Write everything about a window in one transaction, in place of what was known about it."""
        row = {"status": "done", "reference_id": reference_id, "started": started, "images": images,
               "bad_images": bad_images, "error": ""}  # fmt: skip
        with self._writing() as connection:
            run = _replace_run(connection, model, version, window, row)
            for table, frame in ((_measurements, measurements), (_verdicts, verdicts)):
                if rows := [{**_plain(record), "run": run} for record in frame.to_dict("records")]:
                    connection.execute(table.insert(), rows)

    def record_failure(self, model: str, version: str, window: Window, started: datetime, error: str) -> None:
        """Record that a window could not be measured; what was known about it before stays."""
        with self._writing() as connection:
            if _run_id(connection, model, version, window, status="done") is None:
                row = {"status": "failed", "reference_id": "", "started": started, "error": error}
                _replace_run(connection, model, version, window, row)

    def runs(self) -> pd.DataFrame:
        """One row per window that was measured or failed."""
        return self._frame(sa.select(_runs).order_by(_runs.c.window_start))

    def measurements(self, *, start: datetime | None = None, end: datetime | None = None, **equal: str) -> pd.DataFrame:
        """Table MEASUREMENTS with model, version, window_start and window_end.

        `start`, `end` bound the windows' starts (half-open); `equal` are values of columns, such as feature="noise".
        """
        return self._of_windows(_measurements, MEASUREMENTS, start, end, equal)

    def verdicts(self, *, start: datetime | None = None, end: datetime | None = None, **equal: str) -> pd.DataFrame:
        """Table VERDICTS with model, version, window_start and window_end; arguments as for `measurements`."""
        return self._of_windows(_verdicts, VERDICTS, start, end, equal)

    def measured_windows(self, model: str, version: str) -> list[Window]:
        """The windows that were measured well, oldest first."""
        query = sa.select(_runs.c.window_start, _runs.c.window_end).where(
            _runs.c.model == model, _runs.c.version == version, _runs.c.status == "done"
        )
        with self._reading() as connection:
            return sorted(Window(start, end) for start, end in connection.execute(query))

    def unfinished_reports(self, model: str, version: str, notebooks: Sequence[str]) -> list[Window]:
        """The windows with a report of `notebooks`, on all sources, that failed or was left `running`: to retry."""
        query = sa.select(_reports.c.window_start, _reports.c.window_end).where(
            _reports.c.model == model, _reports.c.version == version, _reports.c.status != "done",
            _reports.c.source == "", _reports.c.notebook.in_(notebooks),
        )  # fmt: skip
        with self._reading() as connection:
            return sorted({Window(start, end) for start, end in connection.execute(query)})

    # -- reports ----------------------------------------------------------------------------------------------------

    def record_report(
        self, *, model: str, version: str, notebook: str, source: str, window: Window, status: str, path: str,
        started: datetime, finished: datetime | None = None, error: str = "",
    ) -> None:  # fmt: skip
        """Write the state of one report: running, done or failed."""
        key = {"model": model, "version": version, "notebook": notebook, "source": source,
               "window_start": window.start, "window_end": window.end}  # fmt: skip
        row = {"status": status, "path": path, "started": started, "finished": finished, "error": error}
        with self._writing() as connection:
            connection.execute(_reports.delete().where(*_equal(_reports, key)))
            connection.execute(_reports.insert(), {**key, **row})

    def reports(self) -> pd.DataFrame:
        """One row per report: notebook, source, window, status, path, times and error."""
        return self._frame(sa.select(_reports).order_by(_reports.c.window_start, _reports.c.notebook))

    def close_reports(self, error: str, model: str | None = None) -> None:
        """Give up reports that are still `running`: to be called where nobody else can be writing any.

        Those of `model` only, where it is given: in a team's database other workspaces may be at work.
        """
        given_up = {"status": "failed", "finished": datetime.now(UTC), "error": error}
        key = {"status": "running"} | ({"model": model} if model is not None else {})
        with self._writing() as connection:
            connection.execute(_reports.update().where(*_equal(_reports, key)).values(given_up))

    # -- the schedule's ledger --------------------------------------------------------------------------------------

    def claim_slot(self, job: str, slot: datetime, now: datetime, attempts: int) -> str:
        """Take the slot of a job and answer `running`, if it is open: new, failed with attempts left, or left behind.

        Else the answer is what has become of it, done or failed. To be called by the holder of the job's lock only:
        then a slot that is `running` was left behind by a process that died.
        """
        key = {"job": job, "slot": slot}
        query = sa.select(_slots.c.status, _slots.c.attempts).where(*_equal(_slots, key))
        with self._writing() as connection:
            known = connection.execute(query).one_or_none()
            if known is None:
                row = {**key, "status": "running", "attempts": 1, "started": now, "error": ""}
                connection.execute(_slots.insert(), row)
                return "running"
            if known.status == "done" or (known.status == "failed" and known.attempts >= attempts):
                return str(known.status)
            update = {"status": "running", "attempts": known.attempts + 1, "started": now, "finished": None}
            if known.attempts >= attempts:
                update = {"status": "failed", "finished": now, "error": "the process that ran it died"}
            connection.execute(_slots.update().where(*_equal(_slots, key)).values(update))
            return str(update["status"])

    def finish_slot(self, job: str, slot: datetime, now: datetime, error: str = "") -> None:
        """Close a slot: done, or failed with a reason."""
        done = {"status": "failed" if error else "done", "finished": now, "error": error}
        with self._writing() as connection:
            connection.execute(_slots.update().where(*_equal(_slots, {"job": job, "slot": slot})).values(done))

    def release_slot(self, job: str, slot: datetime) -> None:
        """Give a slot back that was taken but could not be begun: that was no attempt."""
        key = {"job": job, "slot": slot}
        with self._writing() as connection:
            connection.execute(_slots.delete().where(*_equal(_slots, {**key, "attempts": 1})))
            back = {"status": "failed", "attempts": _slots.c.attempts - 1}
            connection.execute(_slots.update().where(*_equal(_slots, key)).values(back))

    def slots(self) -> pd.DataFrame:
        """The ledger: one row per job and slot."""
        return self._frame(sa.select(_slots).order_by(_slots.c.slot, _slots.c.job))

    # -- inside -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _explained(self._engine.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with _explained(self._engine.url), self._engine.execution_options(**WRITING).begin() as connection:
            yield connection

    def _check_schema(self) -> None:
        found = self._found_schema()
        if found is None:
            try:
                with self._engine.execution_options(**WRITING).begin() as connection:
                    _metadata.create_all(connection)
                    if connection.execute(sa.select(_schema.c.version)).first() is None:
                        connection.execute(_schema.insert(), {"version": SCHEMA})
            except DBAPIError:
                if self._found_schema() is None:  # else another process made the tables at the same moment
                    raise
            found = self._found_schema()
        if found != SCHEMA:
            raise StorageError(
                "the history was written by another version of cvkit", where=_shown(self._engine.url),
                expected=f"schema {SCHEMA}", found=f"schema {found}",
                remedy="use the cvkit that wrote it, or a newer one",
            )  # fmt: skip

    def _found_schema(self) -> int | None:
        with self._engine.begin() as connection:
            if not sa.inspect(connection).has_table(_schema.name):
                return None
            return connection.execute(sa.select(sa.func.max(_schema.c.version))).scalar()

    def _of_windows(
        self, table: sa.Table, columns: Any, start: datetime | None, end: datetime | None, equal: dict[str, str]
    ) -> pd.DataFrame:
        about = [_runs.c.model, _runs.c.version, _runs.c.window_start, _runs.c.window_end]
        known = {**{column.name: column for column in about}, **{name: table.c[name] for name in columns}}
        query = sa.select(*known.values()).join_from(table, _runs).where(
            _runs.c.status == "done", *(known[name] == value for name, value in equal.items())
        )  # fmt: skip
        query = query.where(_runs.c.window_start >= start) if start else query
        query = query.where(_runs.c.window_start < end) if end else query
        rows = self._frame(query.order_by(_runs.c.window_start))
        return rows[[column.name for column in about]].join(conform(rows[list(columns)], columns))

    def _frame(self, query: sa.Select[Any]) -> pd.DataFrame:
        with self._reading() as connection:
            result = connection.execute(query)
            frame = pd.DataFrame(result.all(), columns=list(result.keys()))
        for column in query.selected_columns:
            if isinstance(column.type, _Moment):
                frame[column.name] = pd.to_datetime(frame[column.name], utc=True).astype("datetime64[us, UTC]")
        return frame


def _replace_run(
    connection: sa.Connection, model: str, version: str, window: Window, row: dict[str, Any]
) -> int:  # fmt: skip
    if (old := _run_id(connection, model, version, window)) is not None:
        for table in (_measurements, _verdicts):
            connection.execute(table.delete().where(table.c.run == old))
        connection.execute(_runs.delete().where(_runs.c.id == old))
    key = {"model": model, "version": version, "window_start": window.start, "window_end": window.end}
    values = {**key, **row, "finished": datetime.now(UTC), "cvkit_version": __version__}
    return int(connection.execute(_runs.insert().values(values).returning(_runs.c.id)).scalar_one())


def _run_id(connection: sa.Connection, model: str, version: str, window: Window, **equal: str) -> int | None:
    key = {"model": model, "version": version, "window_start": window.start, "window_end": window.end, **equal}
    return connection.execute(sa.select(_runs.c.id).where(*_equal(_runs, key))).scalar_one_or_none()


def _equal(table: sa.Table, values: dict[str, Any]) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in values.items()]


def _plain(record: dict[Any, Any]) -> dict[str, Any]:
    """NaN as NULL: databases know no NaN. Infinities are kept."""
    return {str(name): None if value != value else value for name, value in record.items()}


def _prepare_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, not where sqlite3 guesses
    for pragma in (f"busy_timeout={int(BUSY_SECONDS * 1000)}", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break  # where the file system cannot do WAL, SQLite stays with what it can
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # SQLite does not wait by itself for another process that is switching


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().keys() & WRITING.keys()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _shown(url: sa.URL | str) -> str:
    """An address to show: without the password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "history in cvkit.yml"


@contextmanager
def _explained(url: sa.URL | str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise StorageError(
            "the history's database needs a driver that is not installed", where=_shown(url), found=str(error),
            remedy=f"install it, e.g. `pip install {error.name}`",
        ) from error  # fmt: skip
    except (DBAPIError, NoSuchModuleError, sa.exc.ArgumentError, OSError) as error:
        cause = str(getattr(error, "orig", error))
        raise StorageError(
            "the history cannot be read or written", where=_shown(url),
            expected="a database of cvkit's that nobody else locks, on a disk with room", found=cause[:300],
            remedy="mend that and run the same command again; a damaged history.db can be moved away and made anew by "
                   "`cvkit run --from DAY`",
        ) from error  # fmt: skip
