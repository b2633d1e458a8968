"""Where alerts are kept: their rows, the log of what became of them, and overrides, on a connection to the history."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import sqlalchemy as sa
from pydantic import ValidationError

from cvkit import markup
from cvkit.config.alerts import AlertRule, Severity
from cvkit.errors import StorageError
from cvkit.monitoring.database import restored
from cvkit.monitoring.schema import ALERT_LOG, ALERTS, JUDGED, MEASURED, OVERRIDES, RUNS, schema_table
from cvkit.tables import LABEL_FEATURES, MEASUREMENTS, TIME, conform

_logger = logging.getLogger(__name__)

State = Literal["firing", "acknowledged", "snoozed", "disabled", "resolved"]
Action = Literal[
    "fired", "worsened", "eased", "resolved", "acknowledged", "snoozed", "snooze ended", "disabled", "enabled",
    "overridden", "override ended", "told",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alert:
    """How an alert stands: one for each model, source and rule."""

    fingerprint: str
    model: str
    version: str
    source: str
    rule: str
    severity: Severity
    state: State
    since: datetime  # start of the first window it was seen in
    seen_start: datetime  # the newest window it was seen in
    seen_end: datetime
    changed: datetime  # when its state became what it is
    until: datetime | None = None  # start of the window in which it was over
    returns: int = 0
    author: str = ""  # who acknowledged, snoozed or disabled it
    why: str = ""
    hushed: str = ""  # severity that was acknowledged or snoozed; worse ends it
    snoozed_until: datetime | None = None
    inhibited: bool = False
    told_severity: str = ""  # worst severity that was told of while it lasts; "" where nobody was told
    sent: datetime | None = None  # when it was last told
    facts: Mapping[str, Any] = field(default_factory=dict)  # the look (table LOOKS) it rests on

    @property
    def open(self) -> bool:
        """Whether its condition holds."""
        return self.until is None and self.state != "resolved"

    def _repr_html_(self) -> str:
        name = markup.text(f"{self.rule}@{self.source}" if self.source else self.rule)
        why = markup.text(self.facts.get("cause") or self.facts.get("reason") or "")
        return f"<p>{markup.signed(self.severity)}, {self.state}: {name} since {self.since:%Y-%m-%d}. {why}</p>"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log."""

    time: datetime
    fingerprint: str
    model: str
    source: str
    rule: str
    action: Action
    severity: str
    author: str
    why: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """A rule changed for a while, without the file."""

    rule: str
    changes: Mapping[str, Any]  # by name of the rule's setting
    author: str
    why: str
    made: datetime
    until: datetime


NAMES = [one.name for one in fields(Alert)]


def queue_up(connection: sa.Connection) -> None:
    """Wait until no other process works on alerts; the transaction's end lets go.

    Writers of SQLite and PostgreSQL queue anyway.
    """
    if connection.dialect.name not in ("sqlite", "postgresql"):
        connection.execute(sa.select(schema_table.c.version).with_for_update())


def alerts(connection: sa.Connection, model: str) -> dict[str, Alert]:
    """Every alert of a model, by fingerprint. Raises StorageError where a row is not what was written."""
    query = sa.select(*(ALERTS.c[name] for name in NAMES)).where(ALERTS.c.model == model)
    try:
        found = {row.fingerprint: Alert(*row) for row in connection.execute(query)}
        if wrong := next((one.fingerprint for one in found.values() if not isinstance(one.facts, dict)), ""):
            raise TypeError(f"the facts of {wrong} are no object")
    except (ValueError, TypeError) as error:
        raise StorageError(
            "the alerts in the history are damaged", where="table alerts", expected="rows as cvkit writes them",
            found=f"{type(error).__name__}: {error}"[:300], remedy=restored(connection),
        ) from error  # fmt: skip
    return found


def put(connection: sa.Connection, changed: Sequence[Alert], known: Iterable[str]) -> None:
    """Write alerts in place of those of the same fingerprint; `known` are there already."""
    there = set(known)
    rows = [{name: getattr(alert, name) for name in NAMES} for alert in changed]
    if old := [{**row, "key": row["fingerprint"]} for row in rows if row["fingerprint"] in there]:
        names: dict[str, Any] = {name: sa.bindparam(name) for name in NAMES if name != "fingerprint"}
        stripped = [{name: value for name, value in row.items() if name != "fingerprint"} for row in old]
        connection.execute(ALERTS.update().where(ALERTS.c.fingerprint == sa.bindparam("key")).values(names), stripped)
    if new := [row for row in rows if row["fingerprint"] not in there]:
        connection.execute(ALERTS.insert(), new)


def log(connection: sa.Connection, entries: Iterable[Entry]) -> None:
    """Add lines to the log."""
    if rows := [asdict(entry) for entry in entries]:
        connection.execute(ALERT_LOG.insert(), rows)


def overrides(connection: sa.Connection, model: str, now: datetime) -> list[Override]:
    """The overrides that hold now, oldest first."""
    names = [one.name for one in fields(Override)]
    query = sa.select(*(OVERRIDES.c[name] for name in names)).where(OVERRIDES.c.model == model, OVERRIDES.c.until > now)
    return [Override(*row) for row in connection.execute(query.order_by(OVERRIDES.c.id))]


def windows(connection: sa.Connection, model: str, version: str, most: int) -> list[datetime]:
    """Starts of the newest windows that were measured, or could not be, oldest first."""
    query = sa.select(RUNS.c.window_start).where(RUNS.c.model == model, RUNS.c.version == version)
    rows = connection.execute(query.order_by(RUNS.c.window_start.desc()).limit(most))
    return sorted(row.window_start for row in rows)


def runs(connection: sa.Connection, model: str, version: str, start: datetime) -> pd.DataFrame:
    """Windows from `start` on: id, window_start, window_end, status, error."""
    names = ("id", "window_start", "window_end", "status", "error")
    query = sa.select(*(RUNS.c[name] for name in names)).where(
        RUNS.c.model == model, RUNS.c.version == version, RUNS.c.window_start >= start
    )
    table = pd.DataFrame(connection.execute(query.order_by(RUNS.c.window_start)).all(), columns=list(names))
    return conform(table, {"id": "int64", **dict.fromkeys(names[1:3], TIME), **dict.fromkeys(names[3:], "str")})


def verdicts(
    connection: sa.Connection, found: pd.DataFrame, since: datetime, features: Iterable[str],
    sources: Collection[str] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Verdicts of the windows `found` that decide rules, with their windows.

    Of windows from `since` on: all that are not ok, those on `features`, and of the others that are ok one for each
    source, rule and window, which says enough. Of all windows those on labels, which come late. Without their reasons:
    see `reasons`. Of some `sources` alone, where they are given.
    """
    own = sorted({*LABEL_FEATURES, *features})
    recent = [int(run) for run in found.loc[found["window_start"] >= since, "id"]]
    all_of_them = [int(run) for run in found["id"]]
    late = sa.and_(JUDGED.c.run.in_(all_of_them), JUDGED.c.feature.in_(sorted(LABEL_FEATURES)))
    new = sa.and_(JUDGED.c.run.in_(recent), sa.or_(JUDGED.c.state != "ok", JUDGED.c.feature.in_(own)))
    of = _of(JUDGED, sources)
    # What is so for many windows is read once: a tenth of the rows.
    rows = _by_run(connection, sa.and_(of, sa.or_(late, new)))
    healthy = sa.select(JUDGED.c.run, JUDGED.c.source, JUDGED.c.rule, sa.func.min(JUDGED.c.feature)).where(
        of, JUDGED.c.run.in_(recent), JUDGED.c.state == "ok", JUDGED.c.feature.not_in(own)
    )
    healthy = healthy.group_by(JUDGED.c.run, JUDGED.c.source, JUDGED.c.rule)
    well = pd.DataFrame(connection.execute(healthy).all(), columns=["run", "source", "rule", "feature"])
    rows = pd.concat([rows, well.assign(state="ok")], ignore_index=True).assign(reason="")
    return rows.drop(columns="run").join(_spans(found, rows["run"]))


def reasons(
    connection: sa.Connection, model: str, version: str, starts: Collection[datetime]
) -> dict[tuple[str, datetime, str], str]:
    """The reasons of the verdicts that are not ok in the windows that begin at `starts`, by source, start, feature."""
    query = sa.select(JUDGED.c.source, RUNS.c.window_start, JUDGED.c.feature, JUDGED.c.reason).join_from(JUDGED, RUNS)
    query = query.where(
        RUNS.c.model == model,
        RUNS.c.version == version,
        RUNS.c.window_start.in_(sorted(starts)),
        JUDGED.c.state != "ok",
    )
    return {(source, start, feature): reason for source, start, feature, reason in connection.execute(query)}


def _of(table: sa.Table, sources: Collection[str] | None) -> sa.ColumnElement[bool]:
    return sa.true() if sources is None else table.c.source.in_(sorted(sources))


def measurements(
    connection: sa.Connection, found: pd.DataFrame, wanted: Iterable[tuple[str, str]],
    sources: Collection[str] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Measurements of pairs of feature and metric in the windows `found`, with their windows; of some `sources`."""
    pairs = sorted({*wanted, ("images", "count")})
    columns = [MEASURED.c[name] for name in MEASUREMENTS]
    query = sa.select(MEASURED.c.run, *columns).where(
        _of(MEASURED, sources),
        MEASURED.c.run.in_([int(run) for run in found["id"]]),
        sa.or_(*(sa.and_(MEASURED.c.feature == feature, MEASURED.c.metric == metric) for feature, metric in pairs)),
    )
    rows = pd.DataFrame(connection.execute(query).all(), columns=["run", *MEASUREMENTS])
    return conform(rows[list(MEASUREMENTS)], MEASUREMENTS).join(_spans(found, rows["run"]))


def _by_run(connection: sa.Connection, which: sa.ColumnElement[bool]) -> pd.DataFrame:
    """run, source, rule, feature and state of verdicts."""
    columns = [JUDGED.c[name] for name in ("source", "rule", "feature", "state")]
    runs = sa.func.aggregate_strings(sa.cast(JUDGED.c.run, sa.Text), ",")
    rows = connection.execute(sa.select(*columns, runs).where(which).group_by(*columns)).all()
    table = pd.DataFrame([row[:-1] for row in rows], columns=[column.name for column in columns])
    numbers = [row[-1].split(",") for row in rows]
    table = table.loc[np.repeat(table.index, [len(some) for some in numbers])].reset_index(drop=True)
    return table.assign(run=np.array([*itertools.chain.from_iterable(numbers)], dtype="int64"))


def _spans(found: pd.DataFrame, runs: pd.Series) -> pd.DataFrame:
    """window_start and window_end of each of `runs`."""
    return found.set_index("id")[["window_start", "window_end"]].loc[runs].reset_index(drop=True)


def overridden(rules: Sequence[AlertRule], changes: Sequence[Override]) -> tuple[AlertRule, ...]:
    """The rules as overrides make them, newer ones last.

    One that does not fit its rule any more, since cvkit.yml was changed, is left out with a warning: all else is told.
    """
    found = {rule.name: rule for rule in rules}
    for override in changes:
        if override.rule in found:
            try:
                found[override.rule] = changed(found[override.rule], override.changes)
            except ValidationError:
                words = "an override of the rule %s does not fit it any more, and is left out: end it with %s"
                _logger.warning(words, override.rule, f"`cvkit alerts override {override.rule} --end`")
    return tuple(found.values())


def changed(rule: AlertRule, changes: Mapping[str, Any]) -> AlertRule:
    """A rule with other values for some settings, checked as in the file. Raises pydantic's ValidationError."""
    return AlertRule.model_validate({**rule.model_dump(), **changes})
