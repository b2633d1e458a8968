"""Histories as earlier cvkits made them, by the statements they sent: `tests/old_schemas/SCHEMA-WHICH.DIALECT.sql`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from cvkit.monitoring import schema

FOLDER = Path(__file__).parent / "old_schemas"
STATES = ("ok", "critical", "warning", "unknown")


def files(dialect: str) -> list[Path]:
    return sorted(FOLDER.glob(f"*.{dialect}.sql"))


def number(file: Path) -> int:
    return int(file.name.partition("-")[0])


def make(url: str, file: Path, runs: int = 3, verdicts: int = 8) -> None:
    """An old history with something in each table it had."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in file.read_text().split(";\n\n"):
            connection.exec_driver_sql(statement.strip().removesuffix(";") + (";" if "END" in statement[-6:] else ""))
        connection.execute(sa.text(f"INSERT INTO cvkit_schema (version) VALUES ({number(file)})"))
        tables = sa.MetaData()
        tables.reflect(connection)
        for name in ("runs", "measurements", "verdicts", "slots", "streams", "reports", "alert_log", "decisions"):
            if name in tables.tables:
                rows = [row for run in range(runs) for row in _rows(tables.tables[name], run, verdicts)]
                connection.execute(tables.tables[name].insert(), rows)
        if "worst" in tables.tables:
            connection.execute(schema.sum_up())
    engine.dispose()


def _rows(table: sa.Table, run: int, many: int) -> list[dict[str, Any]]:
    start = datetime(2026, 10, 1) + timedelta(days=run)
    given: dict[str, Any] = {
        "window_start": start,
        "window_end": start + timedelta(days=1),
        "slot": start,
        "run": run + 1,
    }
    row = {column.name: given.get(column.name, _value(column, run)) for column in table.columns}
    if table.name != "verdicts":
        return [row]
    return [{**row, "source": f"cam-{place % 2}", "state": STATES[(place + run) % 4], "rule": "drift",
             "feature": f"feature-{place}"} for place in range(many)]  # fmt: skip


def _value(column: sa.Column[Any], run: int) -> Any:
    kind = str(column.type)
    if "JSON" in kind:
        return {"run": run}
    if "TIME" in kind:
        return datetime(2026, 10, 2)
    if "TEXT" in kind:
        return {"status": "done", "job": "m: n", "source": "cam-1"}.get(column.name, f"{column.name} {run}")
    return run + 1


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, but for the number of the schema."""
    engine, tables = sa.create_engine(url), sa.MetaData()
    with engine.begin() as connection:
        tables.reflect(connection)
        found = {name: sorted(map(_plain, connection.execute(sa.select(table)).mappings()), key=str)
                 for name, table in tables.tables.items() if name != "cvkit_schema"}  # fmt: skip
    engine.dispose()
    return found


def tables(url: str) -> set[str]:
    engine = sa.create_engine(url)
    names = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return names


def _plain(row: Any) -> tuple[Any, ...]:
    return tuple(sorted(((key, str(value)) for key, value in row.items())))


def differences(url: str) -> list[Any]:
    """What Alembic would still change to make the database what `schema.metadata` says."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()
    return list(found)


def version(url: str) -> int:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        (found,) = connection.execute(sa.text("SELECT version FROM cvkit_schema")).scalars().all()
    engine.dispose()
    return int(found)


def refuses(url: str, statement: str) -> bool:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
    except sa.exc.DBAPIError as error:
        return "can only grow" in str(error)
    finally:
        engine.dispose()
    return False


def check(url: str, before: dict[str, list[tuple[Any, ...]]]) -> None:
    """The history is whole, of this schema, and holds what it held."""
    assert version(url) == schema.SCHEMA
    assert differences(url) == []
    after = contents(url)
    for table, rows in before.items():
        kept = [
            tuple((key, value) for key, value in row if key in dict(old))
            for row, old in zip(after[table], rows, strict=True)
        ]
        assert kept == rows, table
    columns = "time, fingerprint, model, source, rule, action, severity, author, why"
    values = "'2026-10-01', '', '', '', '', '', '', '', ''"
    assert not refuses(url, f"INSERT INTO alert_log (id, {columns}) VALUES (99, {values})")
    assert refuses(url, "DELETE FROM alert_log")
    if before.get("decisions"):
        assert refuses(url, "UPDATE decisions SET why = ''")
    worst = {
        (dict(row)["run"], dict(row)["source"]): (dict(row)["state"], dict(row)["feature"]) for row in after["worst"]
    }
    assert worst == _worst(after["verdicts"])


def _worst(verdicts: list[tuple[Any, ...]]) -> dict[tuple[str, str], tuple[str, str]]:
    """The first feature of the worst state of each window and source, row by row."""
    order = ("ok", "unknown", "warning", "critical")
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for row in sorted((dict(one) for one in verdicts), key=lambda row: row["feature"]):
        place = row["run"], row["source"]
        if place not in found or order.index(row["state"]) > order.index(found[place][0]):
            found[place] = row["state"], row["feature"]
    return found
