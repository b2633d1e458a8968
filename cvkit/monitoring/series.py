"""Series: what Prometheus is told of the history, read for it: the newest window, or all of them in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from cvkit.errors import StorageError
from cvkit.monitoring import alerts, outbox
from cvkit.monitoring.database import connect, explained, parsed
from cvkit.monitoring.history import History
from cvkit.monitoring.prometheus import (
    ALERTS,
    DELIVERIES,
    MODEL,
    OF_MEASUREMENTS,
    SLOTS_DONE,
    SOURCE,
    STATE_VALUES,
    Newest,
)
from cvkit.monitoring.prometheus import JUDGED as OF_VERDICT
from cvkit.monitoring.prometheus import MEASURED as OF_MEASUREMENT
from cvkit.monitoring.prometheus import RUNS as RUN_COLUMNS
from cvkit.monitoring.schema import JUDGED, MEASURED, RUNS, SLOTS
from cvkit.tables import MEASUREMENTS, VERDICTS, conform

BUSY_SECONDS = 2.0  # how long a scrape waits for the history: Prometheus itself gives up after 10
AT_ONCE = 5_000  # rows held in memory while years are written

Point = tuple[tuple[str, ...], float, float]  # values of the labels, number, unix time


@dataclass(frozen=True, slots=True)
class Column:
    """A metric of past windows: its labels, where its numbers stand in the history, and how they are made one."""

    name: str
    labels: tuple[str, ...]
    keys: tuple[sa.ColumnElement[Any], ...]
    number: sa.ColumnElement[Any]
    table: sa.Table | None  # beside the runs
    whole: bool = False  # one number for all rows of a window that have the same labels: the greatest


@contextmanager
def opened(url: str) -> Iterator[sa.Engine]:
    """The history, which must be there: looking at it makes none. Raises StorageError where it cannot be read."""
    file = _sqlite_file(url)
    if file is not None and not file.is_file():
        raise StorageError(
            "there is no history yet", where=str(file), expected="a database of cvkit's", found="no such file",
            remedy="run `cvkit run` first",
        )  # fmt: skip
    engine = connect(url, BUSY_SECONDS)
    try:
        with explained(url):
            yield engine
    finally:
        engine.dispose()


def newest(engine: sa.Engine, model: str) -> Newest:
    """What is known of the newest window of a model that was measured, of the version that measured it last."""
    history = History(engine)
    raised, deliveries, slots = _alerts(history, model), _deliveries(history, model), _slots(history, model)
    with engine.begin() as connection:  # one moment of the history
        rows = {status: _newest_run(connection, model, status) for status in ("done", "failed")}
        runs = conform(
            pd.DataFrame([row for row in rows.values() if row]).drop(columns="id", errors="ignore"), RUN_COLUMNS
        )
        if not rows["done"]:
            return Newest(model, runs=runs, alerts=raised, deliveries=deliveries, slots=slots)
        measurements, verdicts = (
            _of_run(connection, table, columns, rows["done"])
            for table, columns in ((MEASURED, MEASUREMENTS), (JUDGED, VERDICTS))
        )
    return Newest(model, runs, measurements, verdicts, raised, deliveries, slots)


def state_of(engine: sa.Engine, model: str) -> tuple[Any, ...]:
    """Something that changes whenever `newest` would, also by Evidently's rows, which come later; cheap to ask for."""
    about = sa.select(sa.func.max(RUNS.c.id), sa.func.count(), sa.func.max(RUNS.c.finished)).where(
        RUNS.c.model == model
    )
    shown = sa.select(RUNS.c.id).where(RUNS.c.model == model, RUNS.c.status == "done")
    shown = shown.order_by(RUNS.c.window_end.desc(), RUNS.c.finished.desc()).limit(1)
    rows = sa.select(sa.func.count()).select_from(MEASURED).where(MEASURED.c.run == shown.scalar_subquery())
    with engine.begin() as connection:
        known = connection.execute(about).one(), connection.execute(rows).scalar_one()
    history = History(engine)
    told = [frame.to_csv() for frame in (look(history, model) for look in (_alerts, _deliveries, _slots))]
    return (*known, *told)


def columns() -> list[Column]:
    """The metrics of past windows."""
    of_run = [RUNS.c[name] for name in MODEL]
    in_measured = [MEASURED.c[{"class": "class_name"}.get(name, name)] for name in OF_MEASUREMENT[2:]]
    in_judged = [JUDGED.c[name] for name in OF_VERDICT[2:]]
    state = sa.case(*((JUDGED.c.state == name, number) for name, number in STATE_VALUES.items()))
    return [
        Column("cvkit_window_images", MODEL, tuple(of_run), RUNS.c.images, None),
        Column("cvkit_window_bad_images", MODEL, tuple(of_run), RUNS.c.bad_images, None),
        Column("cvkit_source_state", SOURCE, (*of_run, JUDGED.c.source), state, JUDGED, whole=True),
        Column("cvkit_verdict_state", OF_VERDICT, (*of_run, *in_judged), state, JUDGED),
        *(
            Column(name, OF_MEASUREMENT, (*of_run, *in_measured), MEASURED.c[column], MEASURED)
            for name, (column, _) in OF_MEASUREMENTS.items()
        ),
    ]


def points(
    engine: sa.Engine, column: Column, model: str, start: datetime | None = None, end: datetime | None = None
) -> Iterator[Point]:
    """The numbers of a metric over windows that begin in `[start, end)`, each series whole and in order of time.

    The time is the window's end. Of two windows that end at the same moment the longer one counts. A few thousand rows
    are held at a time; the database sorts.
    """
    when = (RUNS.c.window_end, RUNS.c.window_start)
    number = sa.func.max(column.number) if column.whole else column.number
    query = sa.select(*column.keys, number.label("number"), *when).where(
        RUNS.c.model == model, RUNS.c.status == "done", column.number.is_not(None)
    )
    query = query.join_from(column.table, RUNS) if column.table is not None else query
    query = query.group_by(*column.keys, *when) if column.whole else query
    query = query.where(RUNS.c.window_start >= start) if start else query
    query = query.where(RUNS.c.window_start < end) if end else query
    before: tuple[Any, ...] = ()
    with engine.connect() as connection:
        rows = connection.execution_options(yield_per=AT_ONCE).execute(query.order_by(*column.keys, *when))
        for *labels, value, window_end, _ in rows:
            if (here := (*labels, window_end)) != before:
                yield tuple(labels), float(value), window_end.timestamp()
            before = here


def _newest_run(connection: sa.Connection, model: str, status: str) -> dict[str, Any]:
    """The newest window that ended so; of several versions that measured it, the one that did so last."""
    same = RUNS.c.model == model, RUNS.c.status == status
    about = [RUNS.c.id, *(RUNS.c[name] for name in RUN_COLUMNS if name in RUNS.c)]
    query = sa.select(*about).where(*same).order_by(RUNS.c.window_end.desc(), RUNS.c.finished.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    last = connection.execute(sa.select(sa.func.max(RUNS.c.finished)).where(*same)).scalar()
    return {**row, "last": last} if row is not None else {}


def _of_run(
    connection: sa.Connection, table: sa.Table, columns: Mapping[str, str], run: dict[str, Any]
) -> pd.DataFrame:
    query = sa.select(*(table.c[name] for name in columns)).where(table.c.run == run["id"])
    by_column = zip(*connection.execute(query).all(), strict=True)  # faster made a frame than row by row
    frame = conform(pd.DataFrame(dict(zip(columns, by_column, strict=False)), columns=list(columns)), columns)
    return frame.assign(**{name: run[name] for name in MODEL})


def _sqlite_file(url: str) -> Path | None:
    with explained(url):
        address = parsed(url)
        named = address.get_backend_name() == "sqlite" and address.database not in (None, "", ":memory:")
        return Path(str(address.database)) if named else None


def _alerts(history: History, model: str) -> pd.DataFrame:
    return conform(alerts.table(history, model)[list(ALERTS)], ALERTS)


def _deliveries(history: History, model: str) -> pd.DataFrame:
    return conform(outbox.counts(history, model), DELIVERIES)


def _slots(history: History, model: str) -> pd.DataFrame:
    """The newest slot of each of the model's jobs that was done; those a wrong clock left in the future hide none."""
    begins = f"{model}: "
    done = SLOTS.c.status == "done", SLOTS.c.slot <= datetime.now(UTC)
    query = sa.select(SLOTS.c.job, sa.func.max(SLOTS.c.slot)).where(*done).group_by(SLOTS.c.job)
    with history.reading() as connection:
        rows = connection.execute(query.where(SLOTS.c.job.startswith(begins, autoescape=True))).all()
    rows = [row for row in rows if row[0].startswith(begins)]  # SQLite compares without case
    found = [{"model": model, "schedule": job.removeprefix(begins), "done": slot} for job, slot in rows]
    return conform(pd.DataFrame(found, columns=list(SLOTS_DONE)), SLOTS_DONE)
