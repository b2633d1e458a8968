"""Locks in a database that several machines share: a lock in a workspace's folder tells its copies nothing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from cvkit.errors import BusyError
from cvkit.monitoring.database import explained

ASK_AGAIN_S = 0.5  # how often who waits asks again


@contextmanager
def alone(engine: sa.Engine, name: str, doing: str, wait_s: float = 0) -> Iterator[None]:
    """Hold the lock `name` of a server's database for the block; where a file is the history, there is nothing to hold.

    The server lets go of it where the process, its machine or the connection dies. Raises BusyError where another
    process holds it and keeps it for `wait_s` seconds.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    with explained(engine.url):
        connection = _taken(engine, name, doing, time.monotonic() + wait_s)
    try:
        yield
    finally:
        with suppress(sa.exc.DBAPIError):  # a connection that was cut has taken its lock with it
            connection.execute(sa.select(sa.func.pg_advisory_unlock(number(name))))  # a close alone is noticed later
        connection.close()


def number(name: str) -> int:
    """PostgreSQL's number of a lock."""
    return int.from_bytes(hashlib.sha256(f"cvkit: {name}".encode()).digest()[:8], signed=True)


def held(connection: sa.Connection) -> frozenset[int]:
    """The numbers of all locks that are held in a database now."""
    if connection.dialect.name != "postgresql":
        return frozenset()
    query = (
        "SELECT ((classid::bigint << 32) | objid::bigint) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
        "WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND datname = current_database()"
    )
    return frozenset(connection.exec_driver_sql(query).scalars())


def _taken(engine: sa.Engine, name: str, doing: str, until: float) -> sa.Connection:
    """A connection that holds the lock for as long as it is open."""
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.detach()  # closed, and not kept for the next who wants one: so its end is the lock's
    while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(number(name)))).scalar_one():
        if time.monotonic() >= until:
            connection.close()
            raise BusyError(
                f"another process is {doing}, maybe on another machine", where="the history's database",
                remedy="wait until it has ended, then run this again",
            )  # fmt: skip
        time.sleep(ASK_AGAIN_S)
    return connection
