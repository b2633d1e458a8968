"""Histories as earlier cvkits made them, by the statements they sent: `tests/old_schemas/SCHEMA-WHICH.DIALECT.sql`."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from cvkit.monitoring import schema
from cvkit.monitoring.history import History

FOLDER = Path(__file__).parent / "old_schemas"
STATES = ("ok", "critical", "warning", "unknown")
LOOKED_INTO = {"streams": ["state"], "evidence": ["features", "numbers"]}  # what `check_streams` reads


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
        for name in (
            "runs",
            "measurements",
            "verdicts",
            "slots",
            "streams",
            "told",
            "evidence",
            "reports",
            "alert_log",
            "decisions",
        ):
            if name in tables.tables:
                rows = [row for run in range(runs) for row in _rows(tables.tables[name], run, verdicts)]
                if name == "streams":
                    rows = [{**row, "state": old_state(number(file), run)} for run, row in enumerate(rows)]
                if name == "evidence" and number(file) == 8:
                    rows = [one for run, row in enumerate(rows) for one in old_evidence(run, row)]
                elif name in ("told", "evidence"):
                    rows = [one for run, row in enumerate(rows) for one in windows_rows(name, run, row)]
                connection.execute(tables.tables[name].insert(), rows)
        if "worst" in tables.tables:
            connection.execute(schema.sum_up())
    engine.dispose()


def entries(run: int) -> list[dict[str, Any]]:
    """What two windows told a stream of two tracks."""
    first, second = (f"2026-10-0{day}T00:00:00+00:00" for day in (1, 3))
    return [
        {"start": first, "onset": first, "first": first, "last": first, "log_sum": run + 0.5, "effect": 0.1,
         "evidence": -2.0, "p": None, "size": None, "gradual": None, "at_once": False, "left_out": [],
         "values": [[1.25, None]], "weights": [[0.5, 0.0]]},
        {"start": second, "onset": first, "first": first, "last": second, "log_sum": 9.0, "effect": 3.0,
         "evidence": 1.5, "p": 0.001, "size": 4.0, "gradual": 0.25, "at_once": True, "left_out": [["a", "b"]],
         "values": [[2.5, -1e300]], "weights": [[1.0, 0.75]]},
    ]  # fmt: skip


def old_state(schema: int, run: int) -> dict[str, Any]:
    """A stream as a schema kept it: windows were entries, then a table in base64, then rows of their own, then two."""
    state = {"kind": "values", "weights": [1.0], "spreads": [[[0.0] * 6] * 2], "episodes": [{"run": run}]}
    if schema < 7:
        return {**state, "windows": entries(run)}
    if schema > 7:
        return {**state, "windows": entries(run)[0]["start"], "shape": [2]}
    moments = sorted({one["start"] for one in entries(run)})
    table = base64.b64encode(b"".join(_row(entry, moments.index) for entry in entries(run))).decode()
    left_out = [[0, []], [1, [["a", "b"]]]]
    return {**state, "windows": {"moments": moments, "shape": [2], "left_out": left_out, "table": table}}


def old_evidence(run: int, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a stream's windows as they were at first."""
    for entry in entries(run):
        moment = datetime.fromisoformat(entry["start"])
        numbers = _row(entry, lambda text: datetime.fromisoformat(text).timestamp())
        left_out = {f"feature {run}": entry["left_out"]} if entry["left_out"] else None
        told = {"features": json.dumps({f"feature {run}": 15}), "numbers": numbers, "left_out": left_out}
        yield {**row, "window_start": moment.replace(tzinfo=None), **told}


def windows_rows(table: str, run: int, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a stream's windows, of what they told or of what was found."""
    for entry in entries(run):
        moment = datetime.fromisoformat(entry["start"])
        told = [entry["p"], entry["size"], *entry["values"][0], *entry["weights"][0]]
        found = [datetime.fromisoformat(entry[name]).timestamp() for name in ("onset", "first", "last")]
        found += [entry[name] for name in ("log_sum", "effect", "evidence", "gradual", "at_once")]
        numbers = told if table == "told" else found
        packed = struct.pack(
            f"<{1 + len(numbers)}d", moment.timestamp(), *(math.nan if one is None else one for one in numbers)
        )
        left_out = {"left_out": {f"feature {run}": entry["left_out"]} if entry["left_out"] else None}
        kept = {"features": json.dumps({f"feature {run}": len(numbers)}), "numbers": packed}
        yield {**row, "window_start": moment.replace(tzinfo=None), **kept, **(left_out if table == "evidence" else {})}


def _row(entry: dict[str, Any], number: Callable[[str], float]) -> bytes:
    told = [number(entry[name]) for name in ("start", "onset", "first", "last")]
    told += [entry[name] for name in ("log_sum", "effect", "evidence", "p", "size", "gradual", "at_once")]
    told += [*entry["values"][0], *entry["weights"][0]]
    return struct.pack("<15d", *(math.nan if one is None else one for one in told))


def check_streams(url: str, schema_before: int) -> None:
    """What the windows told the streams is as it was."""
    with History.open(url) as history:
        for run in range(3):
            found = history.streams(f"model {run}", f"version {run}", f"reference_id {run}")
            ((key, state),) = found.items()
            assert key == ("cam-1", f"feature {run}")
            assert [*state.pop("windows")] == entries(run)
            assert state == {name: old_state(schema_before, run)[name] for name in state}


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
    if kind in ("BLOB", "BYTEA"):
        return b""
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
            tuple((key, value) for key, value in row if key in dict(old) and key not in LOOKED_INTO.get(table, ()))
            for row, old in zip(after[table], rows, strict=True)
        ]
        assert kept == [
            tuple((key, value) for key, value in row if key not in LOOKED_INTO.get(table, ())) for row in rows
        ], table
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
