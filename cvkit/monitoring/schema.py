"""The tables of the history, and how a history of an earlier cvkit becomes one of this."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from cvkit.monitoring.migrations import upgrade
from cvkit.tables import MEASUREMENTS, STATES, VERDICTS

SCHEMA = 9  # raised by every change of the tables below, which has a script in `migrations/versions`
OLDEST = 3  # the schema from which on a history can be brought up to date


class Moment(sa.TypeDecorator[datetime]):
    """A time in UTC: databases without zones give back what was put in."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """What the database gets: UTC, without a zone."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """What comes back: with the zone again."""
        return None if value is None else value.replace(tzinfo=UTC)


def clean(text: str) -> str:
    """Unicode without NUL."""
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()


class Words(sa.TypeDecorator[str]):
    """Text a database can hold: file names that are no Unicode, and NUL, would be refused."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """What the database gets: Unicode without NUL."""
        return None if value is None else clean(value)


TYPES: dict[str, Any] = {"str": Words, "int64": sa.BigInteger, "float64": sa.Double}
metadata = sa.MetaData()
schema_table = sa.Table("cvkit_schema", metadata, sa.Column("version", sa.Integer, primary_key=True))
RUNS = sa.Table(
    "runs", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", Words, nullable=False), sa.Column("version", Words, nullable=False),
    sa.Column("window_start", Moment, nullable=False), sa.Column("window_end", Moment, nullable=False),
    sa.Column("reference_id", Words, nullable=False), sa.Column("rules_id", Words, nullable=False),
    sa.Column("labels", Words, nullable=False),
    sa.Column("status", Words, nullable=False), sa.Column("started", Moment), sa.Column("finished", Moment),
    sa.Column("images", sa.Integer), sa.Column("bad_images", sa.Integer),
    sa.Column("error", Words, nullable=False), sa.Column("cvkit_version", Words, nullable=False),
    sa.UniqueConstraint("model", "version", "window_start", "window_end"),
)  # fmt: skip


def _child(name: str, columns: dict[str, str]) -> sa.Table:
    run: sa.Column[int] = sa.Column("run", sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False)
    made = sa.Table(name, metadata, run, *(sa.Column(key, TYPES[dtype]) for key, dtype in columns.items()))
    sa.Index(f"{name}_by_run", run, made.c.source)  # one source over years, and
    sa.Index(f"{name}_by_feature", made.c.feature, run, made.c.source)  # one feature, without reading all of them
    return made


MEASURED = _child("measurements", dict(MEASUREMENTS))
JUDGED = _child("verdicts", dict(VERDICTS))
WORST = sa.Table(  # of the verdicts on a window and source: a year of them without reading all
    "worst", metadata,
    sa.Column("run", sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("source", Words, primary_key=True),
    *(sa.Column(name, Words, nullable=False) for name in ("state", "rule", "feature")),
)  # fmt: skip
REPORTS = sa.Table(
    "reports", metadata,
    sa.Column("model", Words, primary_key=True), sa.Column("version", Words, primary_key=True),
    sa.Column("notebook", Words, primary_key=True), sa.Column("source", Words, primary_key=True),
    sa.Column("window_start", Moment, primary_key=True), sa.Column("window_end", Moment, primary_key=True),
    sa.Column("status", Words, nullable=False), sa.Column("path", Words, nullable=False),
    sa.Column("started", Moment), sa.Column("finished", Moment), sa.Column("error", Words, nullable=False),
)  # fmt: skip
STREAMS = sa.Table(
    "streams", metadata,
    sa.Column("model", Words, primary_key=True), sa.Column("version", Words, primary_key=True),
    sa.Column("reference_id", Words, primary_key=True), sa.Column("source", Words, primary_key=True),
    sa.Column("feature", Words, primary_key=True), sa.Column("state", sa.JSON, nullable=False),
)  # fmt: skip


def _of_windows(name: str, *more: sa.Column[Any]) -> sa.Table:
    """A row for each window and source, of numbers about its streams."""
    return sa.Table(
        name, metadata,
        sa.Column("model", Words, primary_key=True), sa.Column("version", Words, primary_key=True),
        sa.Column("reference_id", Words, primary_key=True), sa.Column("source", Words, primary_key=True),
        sa.Column("window_start", Moment, primary_key=True),
        sa.Column("features", Words, nullable=False),  # JSON: how many numbers of each stream follow
        # The start in seconds since 1970, then rows of `entries.Entries`, in that order.
        sa.Column("numbers", sa.LargeBinary, nullable=False), *more,
    )  # fmt: skip


TOLD = _of_windows("told")  # what a window tells the streams: all that a day's evidence is worked out from
# What was found after a window: a day reads none of it, and it is half of all.
EVIDENCE = _of_windows("evidence", sa.Column("left_out", sa.JSON(none_as_null=True)))  # by feature, if there was some
EVALUATIONS = sa.Table(  # every one that was ever made: what was believed, and when
    "evaluations", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", Words, nullable=False), sa.Column("version", Words, nullable=False),
    sa.Column("window_start", Moment, nullable=False), sa.Column("window_end", Moment, nullable=False),
    sa.Column("source", Words, nullable=False), sa.Column("made", Moment, nullable=False),
    sa.Column("labelled", sa.Integer, nullable=False), sa.Column("numbers", sa.JSON, nullable=False),
)  # fmt: skip
SLOTS = sa.Table(
    "slots", metadata,
    sa.Column("job", Words, primary_key=True), sa.Column("slot", Moment, primary_key=True),
    sa.Column("status", Words, nullable=False), sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("started", Moment), sa.Column("finished", Moment), sa.Column("error", Words, nullable=False),
)  # fmt: skip
ALERTS = sa.Table(  # one row for each model, source and rule that ever had an alert: how it stands
    "alerts", metadata,
    sa.Column("fingerprint", Words, primary_key=True),
    sa.Column("model", Words, nullable=False), sa.Column("version", Words, nullable=False),
    sa.Column("source", Words, nullable=False), sa.Column("rule", Words, nullable=False),
    sa.Column("severity", Words, nullable=False), sa.Column("state", Words, nullable=False),
    sa.Column("since", Moment, nullable=False), sa.Column("until", Moment),
    sa.Column("seen_start", Moment, nullable=False), sa.Column("seen_end", Moment, nullable=False),
    sa.Column("returns", sa.Integer, nullable=False), sa.Column("changed", Moment, nullable=False),
    sa.Column("author", Words, nullable=False), sa.Column("why", Words, nullable=False),
    sa.Column("hushed", Words, nullable=False), sa.Column("snoozed_until", Moment),
    sa.Column("inhibited", sa.Boolean, nullable=False),
    sa.Column("told_severity", Words, nullable=False), sa.Column("sent", Moment),
    sa.Column("facts", sa.JSON, nullable=False),
)  # fmt: skip
ALERT_LOG = sa.Table(  # every transition; rows are added, never changed
    "alert_log", metadata,
    sa.Column("id", sa.Integer, primary_key=True), sa.Column("time", Moment, nullable=False),
    sa.Column("fingerprint", Words, nullable=False, index=True), sa.Column("model", Words, nullable=False),
    sa.Column("source", Words, nullable=False), sa.Column("rule", Words, nullable=False),
    sa.Column("action", Words, nullable=False), sa.Column("severity", Words, nullable=False),
    sa.Column("author", Words, nullable=False), sa.Column("why", Words, nullable=False), sa.Column("until", Moment),
)  # fmt: skip
DECISIONS = sa.Table(  # what was to be done, and why; rows are added, never changed
    "decisions", metadata,
    sa.Column("id", sa.Integer, primary_key=True), sa.Column("made", Moment, nullable=False),
    sa.Column("model", Words, nullable=False), sa.Column("version", Words, nullable=False),
    sa.Column("window_start", Moment), sa.Column("window_end", Moment),  # the newest that was looked at
    sa.Column("evidence", Words, nullable=False), sa.Column("action", Words, nullable=False),
    sa.Column("policy", Words, nullable=False), sa.Column("source", Words, nullable=False),
    sa.Column("why", Words, nullable=False),
    sa.Column("decision", sa.JSON, nullable=False), sa.Column("facts", sa.JSON, nullable=False),
)  # fmt: skip
for _log, _words in ((ALERT_LOG, "the log of alerts"), (DECISIONS, "the list of decisions")):
    _function = f"{_log.name}_grows"
    _refusals = {
        "sqlite": [
            f"CREATE TRIGGER IF NOT EXISTS {_log.name}_{change.lower()} BEFORE {change} ON {_log.name} "
            f"BEGIN SELECT RAISE(ABORT, '{_words} can only grow'); END" for change in ("UPDATE", "DELETE")
        ],
        "postgresql": [
            f"CREATE OR REPLACE FUNCTION {_function}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_words} can only grow'; END $$",
            f"CREATE TRIGGER {_function} BEFORE UPDATE OR DELETE OR TRUNCATE ON {_log.name} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {_function}()",
        ],
    }  # fmt: skip
    for _dialect, _statements in _refusals.items():
        for _statement in _statements:
            _trigger = sa.DDL(_statement)  # type: ignore[no-untyped-call]
            sa.event.listen(_log, "after_create", _trigger.execute_if(dialect=_dialect))
OVERRIDES = sa.Table(
    "alert_overrides", metadata,
    sa.Column("id", sa.Integer, primary_key=True), sa.Column("made", Moment, nullable=False),
    sa.Column("model", Words, nullable=False), sa.Column("rule", Words, nullable=False),
    sa.Column("changes", sa.JSON, nullable=False), sa.Column("author", Words, nullable=False),
    sa.Column("why", Words, nullable=False), sa.Column("until", Moment, nullable=False),
)  # fmt: skip
OUTBOX = sa.Table(
    "outbox", metadata,
    sa.Column("place", sa.Integer, primary_key=True), sa.Column("id", Words, nullable=False, unique=True),
    sa.Column("model", Words, nullable=False), sa.Column("channel", Words, nullable=False),
    sa.Column("fingerprints", sa.JSON, nullable=False),
    sa.Column("body", sa.JSON, nullable=False), sa.Column("status", Words, nullable=False),
    sa.Column("made", Moment, nullable=False), sa.Column("due", Moment, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False), sa.Column("leased_until", Moment),
    sa.Column("sent", Moment), sa.Column("error", Words, nullable=False),
)  # fmt: skip


def equals(table: sa.Table, values: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    """The conditions that columns of a table have these values."""
    return [table.c[name] == value for name, value in values.items()]


def sum_up(run: int | None = None) -> sa.Insert:
    """What fills WORST from the verdicts on a run, or on all: of equal states the last rule, its first feature."""
    columns = [JUDGED.c[name] for name in ("run", "source", "state", "rule", "feature")]
    rank = sa.case(*((JUDGED.c.state == state, place) for place, state in enumerate(STATES)), else_=-1)
    order = rank.desc(), JUDGED.c.rule.desc(), JUDGED.c.feature
    place = sa.func.row_number().over(partition_by=columns[:2], order_by=order).label("place")
    query = sa.select(*columns, place).where(*([JUDGED.c.run == run] if run is not None else []))
    ranked = query.subquery()
    first = sa.select(*(ranked.c[one.name] for one in columns)).where(ranked.c.place == 1)
    return WORST.insert().from_select([one.name for one in columns], first)


def migrate(connection: sa.Connection) -> int:
    """Bring an older history up to date, in one transaction; another process may have been faster."""
    version = int(connection.execute(sa.select(sa.func.max(schema_table.c.version))).scalar_one())
    if version < SCHEMA:
        upgrade(connection, version, SCHEMA)
        connection.execute(schema_table.update().values(version=SCHEMA))
        return SCHEMA
    return version
