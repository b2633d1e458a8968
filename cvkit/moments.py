"""Moments: days and times as people write them, and which of them can be."""

from __future__ import annotations

from datetime import UTC, date, datetime

from cvkit.errors import ConfigError

YEARS = (1900, 2200)  # the years a date may lie in


def plausible(moment: datetime | date) -> bool:
    """Whether a camera can have said so: not the year 1 or 9999 of a clock that was never set."""
    return YEARS[0] <= moment.year < YEARS[1]


def asked(text: str) -> datetime:
    """The day or time that a person names, ISO, UTC where it names no zone. Raises ConfigError where it is none.

    >>> asked("2026-11-21").isoformat()
    '2026-11-21T00:00:00+00:00'
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("this is not a date", expected="2026-11-21 or 2026-11-21T06:00", found=text) from None
    if not plausible(found):
        raise ConfigError("no camera took images then", expected="a year of our time", found=text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
