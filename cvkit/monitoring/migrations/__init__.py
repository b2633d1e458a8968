"""Migrations: how a history of an earlier cvkit becomes one of this, by Alembic's scripts, one for each schema.

`cvkit_schema` holds the number of the schema, and is all the book-keeping there is: Alembic's own table of versions
would say the same a second time, and earlier cvkits look at the number alone, and refuse what is newer than they are.
Scripts say what was true when they were written: they import nothing that may change, such as `schema`.
"""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

PLACE = Path(__file__).parent
_one = threading.Lock()  # `alembic.op`, by which scripts speak to the database, is one for all threads


def upgrade(connection: sa.Connection, found: int, wanted: int) -> None:
    """Run the scripts after schema `found` up to `wanted`, in the transaction of the connection.

    Whoever calls it holds back other writers, and has read `found` after that.
    """
    from alembic.operations import Operations  # takes its time, and nearly no process needs it
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = list(ScriptDirectory(str(PLACE)).iterate_revisions(str(wanted), str(found)))
    with _one, Operations.context(MigrationContext.configure(connection)):
        for script in reversed(scripts):
            script.module.upgrade()


def only_grows(connection: sa.Connection, table: str, words: str) -> None:
    """Let the database refuse that rows of a table are changed or deleted."""
    if connection.dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER IF NOT EXISTS {table}_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{words} can only grow'); END"
            )
    elif connection.dialect.name == "postgresql":
        name = f"{table}_grows"
        for statement in (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{words} can only grow'; END $$",
            f"DROP TRIGGER IF EXISTS {name} ON {table}",
            f"CREATE TRIGGER {name} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
        ):
            connection.exec_driver_sql(statement)


def text(*names: str) -> list[sa.Column[str]]:
    """Columns of text that is always there."""
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def moments(*names: str, nullable: bool = False) -> list[sa.Column[datetime]]:
    """Columns of times."""
    return [sa.Column(name, sa.DateTime(), nullable=nullable) for name in names]


def numbers(*names: str) -> list[sa.Column[int]]:
    """Columns of whole numbers."""
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def things(*names: str) -> list[sa.Column[Any]]:
    """Columns of JSON."""
    return [sa.Column(name, sa.JSON(), nullable=False) for name in names]


def key(name: str = "id") -> sa.Column[int]:
    """The column of a number that rows are known by."""
    return sa.Column(name, sa.Integer(), primary_key=True)
