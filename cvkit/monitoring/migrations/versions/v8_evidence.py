"""What windows told the streams of evidence: rows of their own, that a day does not write all of them again."""

import base64
import itertools
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import op

from cvkit.monitoring.migrations import moments, text, things

revision = "8"
down_revision = "7"

KEY = ("model", "version", "reference_id", "source")
MOMENTS = ("start", "onset", "first", "last")
NUMBERS = ("log_sum", "effect", "evidence", "p", "size", "gradual", "at_once")
LEFT_OUT: sa.Column[object] = sa.Column("left_out", sa.JSON(none_as_null=True))


def upgrade() -> None:
    """Add the table, and move into it what the states of the streams held."""
    op.create_table(
        "evidence", *(sa.Column(name, sa.Text(), primary_key=True) for name in KEY),
        sa.Column("window_start", sa.DateTime(), primary_key=True),
        *text("features"), sa.Column("numbers", sa.LargeBinary(), nullable=False), LEFT_OUT, if_not_exists=True,
    )  # fmt: skip
    streams = sa.table("streams", *text(*KEY, "feature"), *things("state"))
    evidence = sa.table("evidence", *text(*KEY, "features"), *moments("window_start"),
                        sa.column("numbers", sa.LargeBinary()), sa.column("left_out", LEFT_OUT.type))  # fmt: skip
    connection = op.get_bind()
    connection.execute(evidence.delete())
    for key in connection.execute(sa.select(*(streams.c[name] for name in KEY)).distinct()).all():
        of_source = [streams.c[name] == value for name, value in zip(KEY, key, strict=True)]
        query = sa.select(streams.c.feature, streams.c.state).where(*of_source).order_by(streams.c.feature)
        told: dict[float, dict[str, tuple[Any, list[float]]]] = {}
        for feature, state in connection.execute(query).all():
            shape = [len(part) for part in state.get("spreads", [])]
            windows = state.get("windows", [])
            rows = list(_listed(windows, shape) if isinstance(windows, list) else _packed(windows))
            for past, row in rows:
                told.setdefault(row[0], {})[feature] = past, row
            oldest = _time(rows[0][1][0]).isoformat() if rows else None
            changed = {**state, "windows": oldest, "shape": shape}
            connection.execute(streams.update().where(*of_source, streams.c.feature == feature).values(state=changed))
        for seconds, found in sorted(told.items()):
            numbers = np.array(list(itertools.chain.from_iterable(row for _, row in found.values())), dtype="<f8")
            connection.execute(evidence.insert().values(
                **dict(zip(KEY, key, strict=True)), window_start=_time(seconds).replace(tzinfo=None),
                features=json.dumps({feature: len(row) for feature, (_, row) in found.items()}),
                numbers=numbers.tobytes(),
                left_out={feature: past for feature, (past, _) in found.items() if past != []} or None,
            ))  # fmt: skip


def _listed(entries: list[dict[str, Any]], shape: list[int]) -> Iterator[tuple[Any, list[float]]]:
    """Of each window what was left out, and its numbers; they were objects at first."""
    for entry in entries:
        values, weights = ([_number(one) for part in entry.get(name, []) for one in part]
                           for name in ("values", "weights"))  # fmt: skip
        row = [_seconds(entry.get(name, "")) for name in MOMENTS] + [_number(entry.get(name)) for name in NUMBERS]
        row += values if len(values) == sum(shape) else [math.nan] * sum(shape)
        row += weights if len(weights) == sum(shape) else [0.0] * sum(shape)
        yield entry.get("left_out"), row


def _packed(windows: dict[str, Any]) -> Iterator[tuple[Any, list[float]]]:
    """The same of windows that were a table in base64, with the places of moments in a list."""
    columns = len(MOMENTS) + len(NUMBERS) + 2 * sum(windows["shape"])
    table = np.frombuffer(base64.b64decode(windows["table"]), dtype="<f8").reshape(-1, columns)
    changes, past = dict(windows["left_out"]), None
    for place, row in enumerate(table.tolist()):
        past = changes.get(place, past)
        seconds = [math.nan if math.isnan(one) else _seconds(windows["moments"][int(one)]) for one in row[:4]]
        yield past, seconds + row[4:]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else math.nan


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
