"""Where histories begin that can be brought up to date."""

revision = "3"
down_revision = None


def upgrade() -> None:
    """There is nothing before it."""
