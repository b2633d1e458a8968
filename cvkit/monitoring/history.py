"""History: what was measured and judged, and what was run, in one SQL database.

A window is written in one transaction that replaces what stood there: a kill leaves all of it or nothing, a rerun
never doubles it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import pandas as pd
import sqlalchemy as sa

from cvkit import __version__
from cvkit.config import Config
from cvkit.data import checkpoints
from cvkit.errors import DataError
from cvkit.monitoring import locks, stream_store
from cvkit.monitoring.database import BUSY_SECONDS, WRITING, check_schema, connect, explained, insert_rows
from cvkit.monitoring.entries import State
from cvkit.monitoring.schema import (
    EVALUATIONS,
    JUDGED,
    MEASURED,
    REPORTS,
    RUNS,
    SLOTS,
    WORST,
    Moment,
    equals,
    sum_up,
)
from cvkit.tables import MEASUREMENTS, OWN, VERDICTS, Window, conform

log = logging.getLogger(__name__)

Wanted = str | Set[str]


class History:
    """An open history; close it, or use it as a context manager."""

    def __init__(self, engine: sa.Engine) -> None:
        self._open: sa.Connection | None = None  # that all writing goes through
        self._engine = engine

    @classmethod
    def open(cls, url: str, busy_s: float = BUSY_SECONDS) -> History:
        """Open the history at a SQLAlchemy URL, making its tables where there are none; writers wait `busy_s` seconds.

        Raises StorageError where it cannot be opened, is no database, or was written by a newer cvkit.
        """
        return cls(connect(url, busy_s))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def alone(self, name: str, doing: str, wait_s: float = 0) -> AbstractContextManager[None]:
        """Hold a lock for all who share the database (`locks.alone`)."""
        return locks.alone(self._engine, name, doing, wait_s)

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- windows ----------------------------------------------------------------------------------------------------

    def record(
        self, *, model: str, version: str, window: Window, reference_id: str, rules_id: str, measurements: pd.DataFrame,
        verdicts: pd.DataFrame, images: int, bad_images: int, started: datetime,
        labels: str = "", streams: Mapping[tuple[str, str], State] | None = None, since: datetime | None = None,
        later: Mapping[Window, tuple[pd.DataFrame, pd.DataFrame]] | None = None,
    ) -> None:  # fmt: skip
        """Write everything about a window in one transaction, in place of what was known about it.

        `labels` names the label files that were there (`sources.labels_state`). The performance, where it is another
        than what was last believed of a source in this window, is put beside that, not in its place: see `evaluations`.
        `streams` are the states of evidence by source and feature, in place of those there were; what windows before
        `since` told them is as it was. `later` are the verdicts on later windows that change with it, and measurements
        that come to theirs.
        """
        row = {"status": "done", "reference_id": reference_id, "rules_id": rules_id, "labels": labels,
               "started": started, "images": images, "bad_images": bad_images, "error": ""}  # fmt: skip
        with self.writing() as connection:
            run = _replace_run(connection, model, version, window, row)
            for table, frame in ((MEASURED, measurements), (JUDGED, verdicts)):
                insert_rows(connection, table, run, frame)
            connection.execute(sum_up(run))
            for other, (changed, more) in (later or {}).items():
                if (known := _run_id(connection, model, version, other, status="done")) is not None:
                    _replace_verdicts(connection, known, changed)
                    insert_rows(connection, MEASURED, known, more)
            _log_evaluations(connection, model, version, window, measurements)
            if streams is not None:
                whose = {"model": model, "version": version, "reference_id": reference_id}
                stream_store.replace(connection, whose, streams, since)

    def add_measurements(
        self, *, model: str, version: str, window: Window, measurements: pd.DataFrame, prefix: str = ""
    ) -> None:
        """Add rows to a window that was measured, in place of its rows of the same sources and a metric so begun.

        Without `prefix`, in place of those of the same sources, features and metrics. Nothing where the window was not
        measured. Rows of the feature `own` stay where it is measured again.
        """
        with self.writing() as connection:
            if (run := _run_id(connection, model, version, window, status="done")) is None:
                return
            given = ("source",) if prefix else ("source", "feature", "metric")
            known: list[sa.ColumnElement[bool]]
            known = [MEASURED.c[name].in_(sorted(set(measurements[name]))) for name in given]
            known += [MEASURED.c.metric.startswith(prefix, autoescape=True)] if prefix else []
            connection.execute(MEASURED.delete().where(MEASURED.c.run == run, *known))
            insert_rows(connection, MEASURED, run, measurements)

    def streams(
        self, model: str, version: str, reference_id: str, *, source: str | None = None, since: datetime | None = None
    ) -> dict[tuple[str, str], State]:
        """The states of evidence against a reference, by source and feature, as `stream_store.read` has them."""
        whose = {"model": model, "version": version, "reference_id": reference_id}
        with self.reading() as connection:
            return stream_store.read(connection, whose, source, since)

    def record_failure(self, model: str, version: str, window: Window, started: datetime, error: str) -> None:
        """Record that a window could not be measured; what was known about it before stays."""
        with self.writing() as connection:
            if _run_id(connection, model, version, window, status="done") is None:
                nothing = dict.fromkeys(("reference_id", "rules_id", "labels"), "")
                row = {"status": "failed", **nothing, "started": started, "error": error}
                _replace_run(connection, model, version, window, row)

    def runs(self, **equal: str) -> pd.DataFrame:
        """One row per window that was measured or failed; `equal` are values of columns, such as model."""
        return self._frame(sa.select(RUNS).where(*equals(RUNS, equal)).order_by(RUNS.c.window_start))

    def current_version(self, config: Config) -> str:
        """The deployed version; where its weights are gone or damaged the one measured last: what is known stays known.

        Raises DataError where nothing was measured either.
        """
        newest = sa.select(RUNS.c.version).where(RUNS.c.model == config.model.name).order_by(RUNS.c.finished.desc())
        with self.reading() as connection:
            known = connection.execute(newest.limit(1)).scalar_one_or_none()
        try:
            if known not in (None, config.version) and config.model.weights:
                checkpoints.check(config.resolve(config.model.weights))
            return config.version
        except DataError as error:
            if known is None:
                raise
            log.warning("%s; what follows is about the version measured last, %s", error, known)
            return str(known)

    def measurements(
        self, *, start: datetime | None = None, end: datetime | None = None, **equal: Wanted
    ) -> pd.DataFrame:
        """Table MEASUREMENTS with model, version, window_start and window_end.

        `start`, `end` bound the windows' starts (half-open); `equal` are values of columns, such as feature="noise", or
        sets of those that are wanted.
        """
        return self._of_windows(MEASURED, MEASUREMENTS, start, end, equal)

    def verdicts(self, *, start: datetime | None = None, end: datetime | None = None, **equal: Wanted) -> pd.DataFrame:
        """Table VERDICTS with model, version, window_start and window_end; arguments as for `measurements`."""
        return self._of_windows(JUDGED, VERDICTS, start, end, equal)

    def measured_windows(self, model: str, version: str, **equal: str) -> list[Window]:
        """The windows that were measured well, oldest first; `equal` are values of other columns of the runs."""
        key = {"model": model, "version": version, "status": "done", **equal}
        query = sa.select(RUNS.c.window_start, RUNS.c.window_end).where(*equals(RUNS, key))
        with self.reading() as connection:
            return sorted(Window(start, end) for start, end in connection.execute(query))

    def first_images(self, model: str, version: str) -> dict[str, datetime]:
        """Start of the first window in which each source had images: from then on it is missed where it has none."""
        seen = sa.select(MEASURED.c.source).where(MEASURED.c.feature == "images").distinct().subquery()
        sent = sa.exists().where(
            MEASURED.c.run == RUNS.c.id, MEASURED.c.source == seen.c.source,
            MEASURED.c.feature == "images", MEASURED.c.metric == "count", MEASURED.c.value > 0,
        ).correlate(RUNS, seen)  # fmt: skip
        done = equals(RUNS, {"model": model, "version": version, "status": "done"})
        # Of each source from the first window on: a minimum over the windows of a year takes ten times as long.
        first = sa.select(RUNS.c.window_start).where(*done, sent).order_by(RUNS.c.window_start).limit(1)
        with self.reading() as connection:
            found = connection.execute(sa.select(seen.c.source, first.scalar_subquery())).all()
        return {source: start for source, start in found if start is not None}

    def evaluations(self, **equal: str) -> pd.DataFrame:
        """What was believed of the performance, and when (`made`): one row per window, source and change of mind.

        `labelled` images, `numbers` by metric: value, low and high; `equal` are values of columns, such as source.
        """
        return self._frame(sa.select(EVALUATIONS).where(*equals(EVALUATIONS, equal)).order_by(EVALUATIONS.c.id))

    def unfinished_reports(
        self, model: str, version: str, notebooks: Sequence[str], source: str = ""
    ) -> list[Window]:  # fmt: skip
        """The windows with a report of `notebooks`, on `source` or all, that failed or was left `running`: to retry."""
        query = sa.select(REPORTS.c.window_start, REPORTS.c.window_end).where(
            REPORTS.c.model == model, REPORTS.c.version == version, REPORTS.c.status != "done",
            REPORTS.c.source == source, REPORTS.c.notebook.in_(notebooks),
        )  # fmt: skip
        with self.reading() as connection:
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
        with self.writing() as connection:
            connection.execute(REPORTS.delete().where(*equals(REPORTS, key)))
            connection.execute(REPORTS.insert(), {**key, **row})

    def reports(self) -> pd.DataFrame:
        """One row per report: notebook, source, window, status, path, times and error."""
        return self._frame(sa.select(REPORTS).order_by(REPORTS.c.window_start, REPORTS.c.notebook))

    def close_reports(self, error: str, model: str | None = None) -> None:
        """Give up reports that are still `running`: to be called where nobody else can be writing any.

        Those of `model` only, where it is given: in a team's database other workspaces may be at work.
        """
        given_up = {"status": "failed", "finished": datetime.now(UTC), "error": error}
        key = {"status": "running"} | ({"model": model} if model is not None else {})
        with self.writing() as connection:
            connection.execute(REPORTS.update().where(*equals(REPORTS, key)).values(given_up))

    # -- the schedule's ledger --------------------------------------------------------------------------------------

    def claim_slot(self, job: str, slot: datetime, now: datetime, attempts: int) -> str:
        """Take the slot of a job and answer `running`, if it is open: new, failed with attempts left, or left behind.

        Else the answer is what has become of it, done or failed. To be called by the holder of the job's lock only:
        then a slot that is `running` was left behind by a process that died.
        """
        key = {"job": job, "slot": slot}
        query = sa.select(SLOTS.c.status, SLOTS.c.attempts).where(*equals(SLOTS, key))
        with self.writing() as connection:
            known = connection.execute(query).one_or_none()
            if known is None:
                row = {**key, "status": "running", "attempts": 1, "started": now, "error": ""}
                connection.execute(SLOTS.insert(), row)
                return "running"
            if known.status == "done" or (known.status == "failed" and known.attempts >= attempts):
                return str(known.status)
            update = {"status": "running", "attempts": known.attempts + 1, "started": now, "finished": None}
            if known.attempts >= attempts:
                update = {"status": "failed", "finished": now, "error": "the process that ran it died"}
            connection.execute(SLOTS.update().where(*equals(SLOTS, key)).values(update))
            return str(update["status"])

    def finish_slot(self, job: str, slot: datetime, now: datetime, error: str = "") -> None:
        """Close a slot: done, or failed with a reason."""
        done = {"status": "failed" if error else "done", "finished": now, "error": error}
        with self.writing() as connection:
            connection.execute(SLOTS.update().where(*equals(SLOTS, {"job": job, "slot": slot})).values(done))

    def release_slot(self, job: str, slot: datetime) -> None:
        """Give a slot back that was taken but could not be begun: that was no attempt."""
        key = {"job": job, "slot": slot}
        with self.writing() as connection:
            connection.execute(SLOTS.delete().where(*equals(SLOTS, {**key, "attempts": 1})))
            back = {"status": "failed", "attempts": SLOTS.c.attempts - 1}
            connection.execute(SLOTS.update().where(*equals(SLOTS, key)).values(back))

    def slots(self) -> pd.DataFrame:
        """The ledger: one row per job and slot."""
        return self._frame(sa.select(SLOTS).order_by(SLOTS.c.slot, SLOTS.c.job))

    # -- inside -----------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read from; errors of the database are StorageError."""
        with explained(self._engine.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection whose transaction holds back other writers, and is kept whole or not at all."""
        if self._open is not None:
            yield self._open
            return
        with explained(self._engine.url), self._engine.execution_options(**WRITING).begin() as connection:
            check_schema(connection)
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written within is kept as one, or nothing of it; by this thread."""
        with self.writing() as connection:
            self._open = connection
            try:
                yield
            finally:
                self._open = None

    def _of_windows(
        self, table: sa.Table, columns: Any, start: datetime | None, end: datetime | None, equal: dict[str, Wanted]
    ) -> pd.DataFrame:
        about = [RUNS.c.model, RUNS.c.version, RUNS.c.window_start, RUNS.c.window_end]
        known = {**{column.name: column for column in about}, **{name: table.c[name] for name in columns}}
        query = sa.select(table.c.run, *(table.c[name] for name in columns)).join_from(table, RUNS).where(
            RUNS.c.status == "done", *(_among(known[name], value) for name, value in equal.items())
        )  # fmt: skip
        query = query.where(RUNS.c.window_start >= start) if start else query
        query = query.where(RUNS.c.window_start < end) if end else query
        with self.reading() as connection:
            rows = _frame(connection, query.order_by(RUNS.c.window_start))
            runs = _frame(connection, sa.select(RUNS.c.id, *about))  # once each, not once for each of its rows
        told = runs.take(pd.Index(runs["id"]).get_indexer(rows["run"])).reset_index(drop=True)
        return told.drop(columns="id").join(conform(rows[list(columns)], columns))

    def _frame(self, query: sa.Select[Any]) -> pd.DataFrame:
        with self.reading() as connection:
            return _frame(connection, query)


def _among(column: Any, wanted: Wanted) -> sa.ColumnElement[bool]:
    found: sa.ColumnElement[bool] = column.in_(sorted(wanted)) if isinstance(wanted, Set) else column == wanted
    return found


def _frame(connection: sa.Connection, query: sa.Select[Any]) -> pd.DataFrame:
    result = connection.execute(query)
    frame = pd.DataFrame(result.all(), columns=list(result.keys()))
    for column in query.selected_columns:
        if isinstance(column.type, Moment):
            frame[column.name] = pd.to_datetime(frame[column.name], utc=True).astype("datetime64[us, UTC]")
    return frame


def _replace_run(
    connection: sa.Connection, model: str, version: str, window: Window, row: dict[str, Any]
) -> int:  # fmt: skip
    kept: list[dict[str, Any]] = []
    if (old := _run_id(connection, model, version, window)) is not None:
        own = sa.select(*(MEASURED.c[name] for name in MEASUREMENTS)).where(
            MEASURED.c.run == old, MEASURED.c.feature == OWN
        )
        kept = [dict(one) for one in connection.execute(own).mappings()]
        for table in (MEASURED, JUDGED, WORST):
            connection.execute(table.delete().where(table.c.run == old))
        connection.execute(RUNS.delete().where(RUNS.c.id == old))
    key = {"model": model, "version": version, "window_start": window.start, "window_end": window.end}
    values = {**key, **row, "finished": datetime.now(UTC), "cvkit_version": __version__}
    run = int(connection.execute(RUNS.insert().values(values).returning(RUNS.c.id)).scalar_one())
    if kept:
        connection.execute(MEASURED.insert(), [{**one, "run": run} for one in kept])
    return run


def _log_evaluations(
    connection: sa.Connection, model: str, version: str, window: Window, measurements: pd.DataFrame
) -> None:
    told = measurements[measurements["feature"] == "performance"]
    for source, part in told.groupby("source"):
        key = {"model": model, "version": version, "window_start": window.start, "window_end": window.end,
               "source": str(source)}  # fmt: skip
        numbers = {row["metric"]: [_known(row[name]) for name in ("value", "low", "high")]
                   for row in part.to_dict("records")}  # fmt: skip
        last = sa.select(EVALUATIONS.c.numbers).where(*equals(EVALUATIONS, key)).order_by(EVALUATIONS.c.id.desc())
        if connection.execute(last.limit(1)).scalar_one_or_none() != numbers:
            row = {**key, "made": datetime.now(UTC), "labelled": int(part["n"].max()), "numbers": numbers}
            connection.execute(EVALUATIONS.insert(), row)


def _known(value: float) -> float | None:
    return None if value != value else value


def _replace_verdicts(connection: sa.Connection, run: int, verdicts: pd.DataFrame) -> None:
    for table in (JUDGED, WORST):
        connection.execute(table.delete().where(table.c.run == run))
    if len(verdicts):
        insert_rows(connection, JUDGED, run, verdicts)
        connection.execute(sum_up(run))


def _run_id(connection: sa.Connection, model: str, version: str, window: Window, **equal: str) -> int | None:
    key = {"model": model, "version": version, "window_start": window.start, "window_end": window.end, **equal}
    return connection.execute(sa.select(RUNS.c.id).where(*equals(RUNS, key))).scalar_one_or_none()
