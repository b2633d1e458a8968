"""Moments: days and times as people write them, and which of them can be."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from cvkit.errors import ConfigError

YEARS = (1900, 2200)  # the years a date may lie in
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


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


def length(text: str) -> timedelta:
    """The length of time that a person names. Raises ConfigError where it is none.

    >>> length("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    number = text[:-1].lstrip("0")
    if not number.isdecimal() or len(number) > 4 or text[-1] not in UNITS:
        raise ConfigError("this is not a length of time", expected="a length such as 8h, 3d or 2w", found=text)
    return int(number) * UNITS[text[-1]]


def end(text: str, now: datetime) -> datetime:
    """The end that a person names: a time, or how long from now. Raises ConfigError where it is neither.

    >>> end("2d", datetime(2026, 11, 21, tzinfo=UTC)).isoformat()
    '2026-11-23T00:00:00+00:00'
    """
    text = text.strip()
    if not text:
        raise ConfigError("this needs an end", expected="a length such as 8h, 3d or 2w, or a time", found="nothing")
    if text[-1] in UNITS:
        return now + length(text)
    if text.isdecimal():
        raise ConfigError("this end has no unit", expected=f"{text}h, {text}d or {text}w, or a time", found=text)
    return asked(text)
