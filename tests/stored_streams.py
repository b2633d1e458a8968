"""Streams of evidence as the history keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cvkit.monitoring import schema, stream_store

WHOSE = {"model": "parts", "version": "1", "reference_id": "r"}


@contextmanager
def store() -> Iterator[sa.Connection]:
    """An empty history in memory."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        yield connection
    engine.dispose()


def through(connection: sa.Connection, streams: Mapping[Any, Any], since: datetime | None = None) -> dict[Any, Any]:
    """What comes back of streams that were put into the history."""
    stream_store.replace(connection, WHOSE, streams, since)
    return stream_store.read(connection, WHOSE)
