"""What windows told the streams of evidence apart from what was found after them: a day needs the one alone."""

import itertools
import json

import numpy as np
import sqlalchemy as sa
from alembic import op

from cvkit.monitoring.migrations import moments, text

revision = "9"
down_revision = "8"

KEY = ("model", "version", "reference_id", "source")
OLD = ("start", "onset", "first", "last", "log_sum", "effect", "evidence", "p", "size", "gradual", "at_once")
TOLD = ("p", "size")  # of these numbers, before values and weights of the signals
FOUND = ("onset", "first", "last", "log_sum", "effect", "evidence", "gradual", "at_once")


def upgrade() -> None:
    """Add the table, and move into it what the rows of evidence held of what was told."""
    op.create_table(
        "told", *(sa.Column(name, sa.Text(), primary_key=True) for name in KEY),
        sa.Column("window_start", sa.DateTime(), primary_key=True),
        *text("features"), sa.Column("numbers", sa.LargeBinary(), nullable=False), if_not_exists=True,
    )  # fmt: skip
    told, evidence = (
        sa.table(name, *text(*KEY, "features"), *moments("window_start"), sa.column("numbers", sa.LargeBinary()))
        for name in ("told", "evidence")
    )
    connection = op.get_bind()
    connection.execute(told.delete())
    for key in connection.execute(sa.select(*(evidence.c[name] for name in KEY)).distinct()).all():
        of_source = [evidence.c[name] == value for name, value in zip(KEY, key, strict=True)]
        rows = connection.execute(
            sa.select(evidence.c.window_start, evidence.c.features, evidence.c.numbers).where(*of_source)
        ).all()
        for row in rows:
            here = {"window_start": row.window_start}
            values, found = _apart(row.features, row.numbers)
            connection.execute(told.insert().values(**dict(zip(KEY, key, strict=True)), **here, **values))
            same = [*of_source, evidence.c.window_start == row.window_start]
            connection.execute(evidence.update().where(*same).values(**found))


def _apart(features: str, numbers: bytes) -> tuple[dict[str, object], dict[str, object]]:
    """What a row holds of what was told, and of what was found."""
    widths = json.loads(features)
    row = np.frombuffer(numbers, dtype="<f8")
    ends = itertools.accumulate(widths.values(), initial=0)
    parts = {feature: row[first:end] for feature, (first, end) in zip(widths, itertools.pairwise(ends), strict=True)}
    ahead, after = ([OLD.index(name) for name in names] for names in (TOLD, FOUND))
    return (
        _row(row[:1], {feature: np.concatenate([part[ahead], part[len(OLD) :]]) for feature, part in parts.items()}),
        _row(row[:1], {feature: part[after] for feature, part in parts.items()}),
    )


def _row(start: object, parts: dict[str, np.ndarray]) -> dict[str, object]:
    features = json.dumps({feature: len(part) for feature, part in parts.items()})
    return {"features": features, "numbers": np.concatenate([start, *parts.values()]).tobytes()}
