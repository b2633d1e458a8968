"""Decisions: what was to be done about a model, and why; and alerts, which the first histories of schema 4 have not."""

from alembic import op

from cvkit.monitoring.migrations import key, moments, only_grows, text, things
from cvkit.monitoring.migrations.versions.v4_alerts import add_alerts

revision = "5"
down_revision = "4"


def upgrade() -> None:
    """Add what is not there."""
    add_alerts()
    op.create_table(
        "decisions", key(), *moments("made"), *text("model", "version"),
        *moments("window_start", "window_end", nullable=True),
        *text("evidence", "action", "policy", "source", "why"), *things("decision", "facts"), if_not_exists=True,
    )  # fmt: skip
    only_grows(op.get_bind(), "decisions", "the list of decisions")
