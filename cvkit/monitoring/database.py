"""The history's database: how it is opened, and what its errors mean.

SQLite in WAL mode by default, any other database SQLAlchemy speaks by URL.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
import sqlite3
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, OperationalError

from cvkit.addresses import plain
from cvkit.errors import ConfigError, StorageError
from cvkit.monitoring.schema import OLDEST, SCHEMA, clean, metadata, migrate, schema_table
from cvkit.storage import make_folder, memory_error

log = logging.getLogger(__name__)
RESTORED = (
    "restore it from a backup: `cvkit restore FILE FOLDER`. Without one, move it away: `cvkit run --from DAY` measures "
    "again, but what people did about alerts, decisions and overrides are in it alone"
)
PASSING = ("full", "disk I/O", "readonly", "locked", "lock timeout", "unable to open")  # in what a database says
WAIT = "free some space, mend the permissions or wait, then run the same command again: nothing was lost"
RESTORED_BY_SERVER = "restore the database from its own backup, such as one of pg_dump's"
BUSY_SECONDS = 30  # a writer waits for another; SQLite adds up the naps it asked for: longer where these last longer
DRIVERS = {"psycopg": "'cvkit[postgresql]'"}  # what to install where this module is missing
QUEUE = 0x63766B6974  # PostgreSQL's number of the lock that writers queue for: "cvkit"
WRITING = {"cvkit_writes": True}  # option of a connection that will write: it queues for the lock before it reads


def connect(url: str, busy_s: float = BUSY_SECONDS) -> sa.Engine:
    """An engine for the history at a SQLAlchemy URL, its tables made where there are none.

    A writer waits `busy_s` seconds for other processes. Raises ConfigError where the address cannot be read,
    StorageError where it cannot be opened, is no database, or was written by another version of cvkit.
    """
    with explained(url):
        address = _one_host(parsed(url))
        if address.get_backend_name() == "sqlite" and (address.password or "password" in address.query):
            raise ConfigError(
                "SQLite knows no passwords", where=_shown(url), expected="history: sqlite:///FILE",
                found="an address with a password", remedy="leave it out: who may read the file may read the history",
            )  # fmt: skip
        if address.database and address.get_backend_name() == "sqlite":
            _make_file(Path(address.database))
            address = _to_read_only(address)
        engine = sa.create_engine(address)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", lambda made, record: _prepare_sqlite(made, busy_s))
            sa.event.listen(engine, "begin", _begin_sqlite)
        elif engine.dialect.name == "postgresql":
            sa.event.listen(engine, "begin", lambda connection: _begin_postgresql(connection, busy_s))
        try:
            _check_schema(engine)
        except BaseException:
            engine.dispose()
            raise
    return engine


def parsed(url: sa.URL | str) -> sa.URL:
    """The address of a history. Raises ConfigError where its port is no number, ArgumentError on what is no address."""
    try:
        return sa.make_url(url)
    except ValueError:  # its words hold that port, which may be a part of the password
        raise ConfigError(
            "the history's address cannot be read", where=f"history in cvkit.yml{_without_port(str(url))}",
            expected="a number for a port, as in postgresql://USER:PASSWORD@HOST:5432/NAME",
            found="a port that is no number",
            remedy="correct it; write an @ or / within a password as %40 or %2F",
        ) from None  # fmt: skip


def _without_port(url: str) -> str:
    """An address whose port is no number, to show; "" where that port may be a part of the password."""
    found = re.fullmatch(r"([\w+]+)://[^@/?]*@([^@:/?]*):[^@/?]*(/[^@?]*)?(\?.*)?", url)
    return f": {found[1]}://{found[2]}:***{found[3] or ''}" if found else ""


def _one_host(address: sa.URL) -> sa.URL:
    """The address, whose host is one: drivers tell of hosts by name. Raises StorageError on the end of a password."""
    if "@" in (address.host or ""):
        raise StorageError(
            "the history's address cannot be read", where=_shown(address), expected="one @, before the host",
            remedy="write an @ within a password as %40",
        )  # fmt: skip
    return address


def _make_file(file: Path) -> None:
    """An empty database where there is no file, whole at once: so one of no bytes has lost what was in it.

    SQLite itself would leave a file of no bytes where it is killed before it first writes. Raises StorageError on one.
    """
    if str(file).startswith((":memory:", "file:")):
        return
    make_folder(file.parent)
    if not file.exists():
        part = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with closing(sqlite3.connect(part)) as blank:
                blank.execute("VACUUM")  # writes its first page
            os.link(part, file)
        except FileExistsError:
            pass  # another process made it at the same moment
        except OSError:
            log.debug("%s cannot be linked: SQLite makes it", file)  # of disks without links
        finally:
            part.unlink(missing_ok=True)
    deadline = time.monotonic() + 1  # where SQLite makes it, it has no bytes for a moment
    while file.exists() and not file.stat().st_size:
        if time.monotonic() < deadline:
            time.sleep(0.02)
            continue
        raise StorageError(
            "the history is an empty file: what was in it is lost", where=str(file),
            expected="a database of cvkit's", found="0 bytes",
            remedy="restore it from a backup: `cvkit restore FILE FOLDER`. Without one, or where nothing was measured "
            "yet, delete it and run the same command again: `cvkit run --from DAY` measures again, but what people did "
            "about alerts, decisions and overrides was in it alone",
        )  # fmt: skip


def _to_read_only(address: sa.URL) -> sa.URL:
    """The address of a SQLite file on a disk that cannot be written: nobody can change it, and it can be looked at."""
    file = Path(address.database or "")
    if not file.is_file() or os.access(file.parent, os.W_OK):
        return address
    read_only = f"file:{quote(str(file.absolute()))}?mode=ro&immutable=1"
    return address.set(database=read_only, query={**address.query, "uri": "true"})


def _check_schema(engine: sa.Engine) -> None:
    found = _found_schema(engine)
    if found is None:
        try:
            with engine.execution_options(**WRITING).begin() as connection:
                metadata.create_all(connection)
                if connection.execute(sa.select(schema_table.c.version)).first() is None:
                    connection.execute(schema_table.insert(), {"version": SCHEMA})
        except DBAPIError:
            if _found_schema(engine) is None:  # else another process made the tables at the same moment
                raise
        found = _found_schema(engine)
    if found is not None and OLDEST <= found < SCHEMA:
        with engine.execution_options(**WRITING).begin() as connection:
            found = _migrated(connection, found)
    _expect_schema(found, engine.url)


def _migrated(connection: sa.Connection, found: int) -> int:
    try:
        return migrate(connection)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StorageError(
            "the history is damaged: it cannot be brought up to date, and stays as it is",
            where=_shown(connection.engine.url), expected=f"rows as cvkit writes them, of schema {found}",
            found=f"{type(error).__name__}: {error}"[:300], remedy=restored(connection),
        ) from error  # fmt: skip


def check_schema(connection: sa.Connection) -> None:
    """Raise StorageError where a newer cvkit has changed the database since it was opened, so that nobody writes."""
    _expect_schema(connection.execute(sa.select(sa.func.max(schema_table.c.version))).scalar(), connection.engine.url)


def _expect_schema(found: int | None, url: sa.URL) -> None:
    if found != SCHEMA:
        raise StorageError(
            "the history was written by another version of cvkit", where=_shown(url),
            expected=f"schema {SCHEMA}", found=f"schema {found}",
            remedy="use the cvkit that wrote it, or a newer one",
        )  # fmt: skip


def _found_schema(engine: sa.Engine) -> int | None:
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table(schema_table.name):
            return None
        return connection.execute(sa.select(sa.func.max(schema_table.c.version))).scalar()


def _prepare_sqlite(connection: sqlite3.Connection, busy_s: float) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, not where sqlite3 guesses
    for pragma in (f"busy_timeout={int(busy_s * 1000)}", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    deadline = time.monotonic() + busy_s
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            break  # where the file system cannot do WAL, SQLite stays with what it can
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # SQLite does not wait by itself for another process that is switching


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgresql(connection: sa.Connection, busy_s: float) -> None:
    """Writers queue as SQLite's do: what one reads before it writes no other changes meanwhile. Readers do not wait."""
    if _writes(connection):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(busy_s * 1000)}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({QUEUE})")


def _writes(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().keys() & WRITING.keys())


def _shown(url: sa.URL | str) -> str:
    """An address to show: without the password."""
    try:
        made = sa.make_url(url)
        # What follows ? may hold a password, and @ in one makes a host of its end.
        shown = made.set(query={}).render_as_string(hide_password=True)
        return plain(shown) if "@" in (made.host or "") else shown
    except (sa.exc.ArgumentError, ValueError):
        return "history in cvkit.yml"


@contextmanager
def explained(url: sa.URL | str) -> Iterator[None]:
    """Errors of the database inside the block as StorageError, in words."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StorageError(
            "the history's database needs a driver that is not installed", where=_shown(url), found=str(error),
            remedy=f"install it, e.g. `pip install {DRIVERS.get(str(error.name), error.name)}`",
        ) from error  # fmt: skip
    except (DBAPIError, sqlite3.Error, NoSuchModuleError, sa.exc.ArgumentError, OSError, ValueError) as error:
        if isinstance(error, ValueError) and not _of_sqlalchemy(error):
            raise  # a mistake of ours inside the block is not the database's
        if short := _of_memory(error):
            raise short from error
        cause = str(getattr(error, "orig", error))
        if _is_away(error):
            raise StorageError(
                "the history's database does not answer", where=_shown(url), found=" ".join(cause.split())[:300],
                expected="a server that runs, can be reached from here and lets this user in",
                remedy="see whether it runs, and whether it can be reached by the host, port, user and database that "
                "`history` in cvkit.yml names, then run the same command again: nothing was lost",
            ) from error  # fmt: skip
        on_server = isinstance(error, DBAPIError) and not isinstance(error.orig, sqlite3.Error)
        raise StorageError(
            "the history cannot be read or written", where=_shown(url),
            expected="a database of cvkit's that nobody else locks, on a disk with room", found=cause[:300],
            remedy=_remedy(cause, on_server=on_server),
        ) from error  # fmt: skip


def _is_away(error: Exception) -> bool:
    """Whether a server does not answer or cut the connection; a database in a file always answers.

    PostgreSQL has a number for whatever it says itself. Its driver speaks without one where nobody was reached.
    """
    if not isinstance(error, DBAPIError):
        return False
    number = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or "08"
    unreached = isinstance(error, OperationalError) and type(error.orig).__module__.startswith("psycopg")
    return error.connection_invalidated or (unreached and number.startswith(("08", "57P")))


def _of_memory(error: Exception) -> StorageError | None:
    """The words for memory that SQLite or the system refused; None where an error is another.

    SQLite calls most of it SQLITE_NOMEM, which Python raises as MemoryError. What is left are errors of the disk in
    name: the memory that its processes share could not be mapped.
    """
    cause = getattr(error, "orig", error)
    name = getattr(cause, "sqlite_errorname", "")
    if name in ("SQLITE_NOMEM", "SQLITE_IOERR_NOMEM", "SQLITE_IOERR_SHMMAP"):
        return memory_error(MemoryError(f"{cause}: {name}"))
    return memory_error(MemoryError(str(error))) if getattr(error, "errno", None) == errno.ENOMEM else None


def _of_sqlalchemy(error: ValueError) -> bool:
    """Whether SQLAlchemy raised an error, as it does of a time in the database that is none."""
    last = list(traceback.walk_tb(error.__traceback__))[-1][0].f_code.co_filename
    return "sqlalchemy" in Path(last).parts


def restored(connection: sa.Connection) -> str:
    """What to do about a history that is damaged."""
    return RESTORED if connection.dialect.name == "sqlite" else RESTORED_BY_SERVER


def is_passing(cause: str) -> bool:
    """Whether a database says that it cannot be read or written now, which is no damage of it."""
    return any(words in cause for words in PASSING)


def _remedy(cause: str, *, on_server: bool) -> str:
    if is_passing(cause):
        return WAIT
    if on_server:
        return f"run the same command again; where the database is damaged, {RESTORED_BY_SERVER}"
    return f"run the same command again; where history.db is damaged, {RESTORED}"


def insert_rows(connection: sa.Connection, table: sa.Table, run: int, rows: pd.DataFrame) -> None:
    """Rows of a run; by the driver itself, as the other way takes most of the time of a fleet's window."""
    if rows.empty:
        return
    quoted = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quoted, ["run", *rows.columns]))
    marks = ", ".join(["?" if connection.dialect.paramstyle == "qmark" else "%s"] * (1 + len(rows.columns)))
    values = zip(itertools.repeat(run, len(rows)), *(_plain(rows[name]) for name in rows.columns), strict=True)
    # All names are ours: of tables and of their columns.
    connection.exec_driver_sql(f"INSERT INTO {quoted(table.name)} ({names}) VALUES ({marks})", list(values))  # noqa: S608


def _plain(column: pd.Series) -> list[Any]:
    """NaN as NULL: databases know no NaN. Infinities are kept."""
    if column.dtype != "str":
        return [None if value != value else value for value in column.tolist()]
    codes, texts = pd.factorize(column)
    known = [clean(str(text)) for text in texts]
    return [known[code] for code in codes.tolist()]
