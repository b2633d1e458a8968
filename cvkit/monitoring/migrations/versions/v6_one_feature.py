"""An index for one feature over a year; on PostgreSQL logs that only grow, which those of schema 5 did not at first."""

from alembic import op

from cvkit.monitoring.migrations import only_grows

revision = "6"
down_revision = "5"


def upgrade() -> None:
    """Add it."""
    op.create_index("measurements_by_feature", "measurements", ["feature", "source"], if_not_exists=True)
    only_grows(op.get_bind(), "alert_log", "the log of alerts")
    only_grows(op.get_bind(), "decisions", "the list of decisions")
