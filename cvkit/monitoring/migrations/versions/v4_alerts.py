"""Numbers of classes, labels a run was judged by, what was believed and when, and alerts.

Histories of schema 3 and 4 were written by cvkits that were being made, so some have more of this than others.
"""

import sqlalchemy as sa
from alembic import op

from cvkit.monitoring.migrations import key, moments, numbers, only_grows, text, things

revision = "4"
down_revision = "3"


def upgrade() -> None:
    """Add what is not there."""
    connection = op.get_bind()
    for table, column, nullable in (("runs", "labels", False), ("measurements", "class_name", True)):
        if column not in {one["name"] for one in sa.inspect(connection).get_columns(table)}:
            op.add_column(table, sa.Column(column, sa.Text(), nullable=nullable, server_default=""))
    op.create_table(
        "evaluations", key(), *text("model", "version"), *moments("window_start", "window_end"), *text("source"),
        *moments("made"), *numbers("labelled"), *things("numbers"), if_not_exists=True,
    )  # fmt: skip
    add_alerts()


def add_alerts() -> None:
    """The tables of alerts, where they are not there."""
    op.create_table(
        "alerts", sa.Column("fingerprint", sa.Text(), primary_key=True),
        *text("model", "version", "source", "rule", "severity", "state"),
        *moments("since"), *moments("until", nullable=True), *moments("seen_start", "seen_end"), *numbers("returns"),
        *moments("changed"), *text("author", "why", "hushed"), *moments("snoozed_until", nullable=True),
        sa.Column("inhibited", sa.Boolean(), nullable=False), *text("told_severity"), *moments("sent", nullable=True),
        *things("facts"), if_not_exists=True,
    )  # fmt: skip
    op.create_table(
        "alert_log", key(), *moments("time"),
        *text("fingerprint", "model", "source", "rule", "action", "severity", "author", "why"),
        *moments("until", nullable=True), if_not_exists=True,
    )  # fmt: skip
    op.create_index("ix_alert_log_fingerprint", "alert_log", ["fingerprint"], if_not_exists=True)
    only_grows(op.get_bind(), "alert_log", "the log of alerts")
    op.create_table(
        "alert_overrides", key(), *moments("made"), *text("model", "rule"), *things("changes"), *text("author", "why"),
        *moments("until"), if_not_exists=True,
    )  # fmt: skip
    op.create_table(
        "outbox", key("place"), sa.Column("id", sa.Text(), nullable=False, unique=True), *text("model", "channel"),
        *things("fingerprints", "body"), *text("status"), *moments("made", "due"), *numbers("attempts"),
        *moments("leased_until", "sent", nullable=True), *text("error"), if_not_exists=True,
    )  # fmt: skip
