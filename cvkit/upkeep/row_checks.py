"""Checks of single rows of the history: the database itself is asked for what cvkit would not have written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import sqlalchemy as sa

from cvkit.config.alerts import SEVERITIES
from cvkit.monitoring.alert_store import State
from cvkit.monitoring.database import restored
from cvkit.monitoring.schema import ALERTS, JUDGED, OUTBOX, REPORTS, RUNS, SLOTS, WORST, Moment, metadata
from cvkit.tables import STATES
from cvkit.upkeep.findings import Finding

AT_WORK = ("running", "done", "failed")
WORDS: Mapping[sa.Column[Any], Sequence[str]] = {
    RUNS.c.status: ("done", "failed"), REPORTS.c.status: AT_WORK, SLOTS.c.status: AT_WORK,
    OUTBOX.c.status: ("waiting", "sent", "failed"), ALERTS.c.severity: SEVERITIES, ALERTS.c.state: get_args(State),
    JUDGED.c.state: STATES, WORST.c.state: STATES,
}  # fmt: skip
LISTS = (OUTBOX.c.fingerprints,)  # JSON that is a list; all other is an object
DIGIT = "[0-9]"
MOMENT = "-".join([DIGIT * 4, DIGIT * 2, DIGIT * 2]) + " " + ":".join([DIGIT * 2] * 3) + "." + DIGIT * 6
# By what SQLAlchemy calls a type: how SQLite holds its values, and the words for them.
HELD: Mapping[type, tuple[str, str]] = {
    sa.Boolean: ("'integer'", "true or false"), sa.Integer: ("'integer'", "a whole number"),
    sa.Float: ("'real', 'integer'", "a number"), sa.LargeBinary: ("'blob'", "bytes"), sa.Text: ("'text'", "text"),
}  # fmt: skip


def rows(connection: sa.Connection, where: str) -> Iterator[Finding]:
    """A finding for each table and column with rows that cvkit would not have written: how many, and the first."""
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite and connection.dialect.name != "postgresql":
        return
    place, remedy = "rowid" if sqlite else "ctid", restored(connection)
    for table in metadata.sorted_tables:
        wrong = {column: told for column in table.c if (told := _wrong(connection, column, sqlite=sqlite))}
        # All columns at once, and on by column only where something is wrong: one reading of a table that is sound.
        if not wrong or not _first(connection, table, place, " OR ".join(f"({told[0]})" for told in wrong.values())):
            continue
        for column, (condition, expected) in wrong.items():
            if (first := _first(connection, table, place, condition)) is not None:
                count = connection.exec_driver_sql(f"SELECT count(*) FROM {table.name} WHERE {condition}").scalar_one()  # noqa: S608
                what = f"{table.name}.{column.name}"
                yield _finding(where, what, int(count), f"{place} {first}", f"not {expected}", remedy)
    if sqlite:
        broken = 'SELECT "table", parent, count(*), min(rowid) FROM pragma_foreign_key_check GROUP BY 1, 2'
        for name, parent, count, first in connection.exec_driver_sql(broken):
            yield _finding(where, name, count, f"rowid {first}", f"of a row in {parent} that is not there", remedy)


def _finding(where: str, place: str, count: int, first: str, what: str, remedy: str) -> Finding:
    problem = f"{place}: {count} damaged row{'s' * (count != 1)}, the first at {first}: {what}"
    return Finding("error", "history", where, problem, f"{remedy[0].upper()}{remedy[1:]}")


def _first(connection: sa.Connection, table: sa.Table, place: str, condition: str) -> str | None:
    # Names and words are ours: of tables, of their columns, and what their columns may hold.
    found = connection.exec_driver_sql(f"SELECT {place} FROM {table.name} WHERE {condition} LIMIT 1").scalar()  # noqa: S608
    return None if found is None else str(found)


def _wrong(connection: sa.Connection, column: sa.Column[Any], *, sqlite: bool) -> tuple[str, str] | None:
    """A condition in SQL that damaged values of a column fulfil, and the words for what belongs there."""
    name = connection.dialect.identifier_preparer.quote(column.name)
    if column in WORDS:
        words = ", ".join(f"'{word}'" for word in WORDS[column])
        return f"{name} IS NULL OR {name} NOT IN ({words})", f"one of {', '.join(WORDS[column])}"
    if isinstance(column.type, sa.JSON):
        kind, begins = ("array", "[") if column in LISTS else ("object", "{")
        expected, null = f"a JSON {kind}", ", 'null'" if column.nullable else ""  # which migrations write
        if not sqlite:
            return f"{name} IS NOT NULL AND json_typeof({name}) NOT IN ('{kind}'{null})", expected
        # Python writes NaN and Infinity, which are no numbers to SQLite.
        plain = f"replace(replace({name}, 'NaN', '0'), 'Infinity', '0')"
        damaged = f"typeof({name}) <> 'text' OR substr({name}, 1, 1) <> '{begins}' OR NOT json_valid({plain})"
        return _held(column, name, f"{name} <> 'null' AND ({damaged})" if null else damaged), expected
    if not sqlite:
        return None  # it holds to the types of columns by itself
    if isinstance(column.type, Moment):
        day = f"substr({name}, 1, 10)"  # with a modifier, SQLite says which day a 30th of February would be
        damaged = f"{name} NOT GLOB '{MOMENT}' OR date({day}, '+0 days') IS NOT {day} OR datetime({name}) IS NULL"
        return _held(column, name, damaged), "a time"
    plain_type = column.type.impl_instance if isinstance(column.type, sa.types.TypeDecorator) else column.type
    kind, expected = next(told for made, told in HELD.items() if isinstance(plain_type, made))
    return _held(column, name, f"typeof({name}) NOT IN ({kind})"), expected


def _held(column: sa.Column[Any], name: str, condition: str) -> str:
    """The condition on a value, or that there is none where one belongs."""
    return f"{name} IS NOT NULL AND ({condition})" if column.nullable else f"{name} IS NULL OR {condition}"
