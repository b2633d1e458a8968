"""The worst verdict of each window and source, and other indexes of the tables about runs."""

import sqlalchemy as sa
from alembic import op

from cvkit.monitoring.migrations import text

revision = "7"
down_revision = "6"

FILL = """
INSERT INTO worst (run, source, state, rule, feature)
SELECT run, source, state, rule, feature FROM (
    SELECT run, source, state, rule, feature, row_number() OVER (
        PARTITION BY run, source
        ORDER BY CASE state WHEN 'ok' THEN 0 WHEN 'unknown' THEN 1 WHEN 'warning' THEN 2 WHEN 'critical' THEN 3
            ELSE -1 END DESC, rule DESC, feature
    ) AS place FROM verdicts
) AS ranked WHERE place = 1
"""


def upgrade() -> None:
    """Add the table, fill it, and put new indexes in the place of old ones."""
    for table in ("measurements", "verdicts"):
        for name in (f"ix_{table}_run", f"{table}_by_run", f"{table}_by_feature"):
            op.drop_index(name, table, if_exists=True)
        op.create_index(f"{table}_by_run", table, ["run", "source"])
        op.create_index(f"{table}_by_feature", table, ["feature", "run", "source"])
    op.create_table(
        "worst", sa.Column("run", sa.Integer(), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("source", sa.Text(), primary_key=True),
        *text("state", "rule", "feature"), if_not_exists=True,
    )  # fmt: skip
    op.execute("DELETE FROM worst")
    op.execute(FILL)
