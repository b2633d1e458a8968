"""Times: what the {date} and {time} of a path mean, in UTC."""

from __future__ import annotations

import functools
import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

from cvkit.moments import plausible

TIME = re.compile(
    r"(\d{2})[-:._]?(\d{2})(?:[-:._]?(\d{2}))?(?:[-.,_]?(\d{6}|\d{3}))?(?:(Z)|([+-])(\d{2}):?(\d{2}))?", re.ASCII
)


def moment(day: str, clock: str, zone: tzinfo) -> tuple[datetime | None, str]:
    """The UTC time that a path's {date} and {time} name, and what is wrong with them, in words.

    A time that names no zone is read in `zone`. Without `clock` it is 12:00 UTC of the day: a day is a calendar date
    that names no moment, and belongs to the window of the same date wherever the camera stands. A local time that the
    clocks skip in spring is read with the offset before the change, one that comes twice in autumn as the first.
    None where the date is no date; 00:00 where the time is no time of day.
    """
    if (calendar := as_date(day)) is None:
        return None, f"{day!r} in the path is no date"
    midnight = datetime(calendar.year, calendar.month, calendar.day, tzinfo=zone)
    if not clock:
        return datetime(calendar.year, calendar.month, calendar.day, 12, tzinfo=UTC), ""
    if (local := _local(midnight, clock)) is None:
        return midnight.astimezone(UTC), f"{clock!r} in the path is no time of day; 00:00 is used"
    return local.astimezone(UTC), ""


def day_bounds(day: str, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """Start and end in UTC of a local day, 23 to 25 hours apart; None for what is no date."""
    if (calendar := as_date(day)) is None:
        return None
    start = datetime(calendar.year, calendar.month, calendar.day)
    return start.replace(tzinfo=zone).astimezone(UTC), (start + timedelta(days=1)).replace(tzinfo=zone).astimezone(UTC)


@functools.lru_cache(maxsize=4096)
def as_date(text: str) -> date | None:
    """A date written YYYY-MM-DD or YYYYMMDD; None for any other text, and for years no camera knows."""
    try:
        calendar = date.fromisoformat(text)
    except ValueError:
        return None
    return calendar if plausible(calendar) else None


def _local(midnight: datetime, clock: str) -> datetime | None:
    match = TIME.fullmatch(clock)
    if match is None:
        return None
    hour, minute, second, fraction, utc, sign, hours, minutes = match.groups()
    try:
        local = midnight.replace(
            hour=int(hour),
            minute=int(minute),
            second=int(second or 0),
            microsecond=int((fraction or "0").ljust(6, "0")),
        )
        if utc:
            return local.replace(tzinfo=UTC)
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            return local.replace(tzinfo=timezone(offset if sign == "+" else -offset))
    except ValueError:
        return None
    return local
