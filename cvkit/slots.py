"""Slots: the times at which jobs are to run, and how each job stands; read by those who ask whether one was missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from cvkit.config import Config, JobSettings

CLOCK_CHANGE = timedelta(hours=2)  # cronsim goes back by the local clock, which repeats an hour in autumn
GRACE = timedelta(hours=1)  # a slot that is not done so long after it, and after its time-out, is overdue
LOOKED_AT, MOST_LOOKED_AT = timedelta(days=400), 100_000  # how far ahead, and how many slots, pauses are looked for

Row = Mapping[Any, Any]  # by column, of the ledger, times with zones


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands: its newest slot, what has become of that, and whether somebody should look."""

    job: JobSettings
    slot: datetime  # UTC
    status: str  # done, running, failed, or open where it was not begun
    final: bool  # no try is left
    overdue: bool
    ran: bool  # whether the job ever had a slot in the ledger

    @property
    def line(self) -> str:
        """It in one line."""
        words = {"open": "nothing has run it", "running": "begun and not ended", "failed": "failed"}[self.status]
        words += " at every try" if self.final else ""
        return f"{self.job.notebook} of {self.slot:%Y-%m-%d %H:%M} UTC is overdue: {words}"


def job_key(config: Config, job: JobSettings) -> str:
    """Name of a job in the ledger, which several workspaces may share: for what model, what it does and when."""
    return f"{config.model.name}: {schedule_name(job)}"


def schedule_name(job: JobSettings) -> str:
    """Name of a job within its model."""
    return f"{job.notebook} {job.source or 'all sources'} {job.cron} {job.time_zone}"


def times_back(job: JobSettings, now: datetime, last: datetime | None) -> Iterator[datetime]:
    """The times of a job after `last` up to `now`, newest first, in UTC; only the newest where there is no last one."""
    start = (now + CLOCK_CHANGE).astimezone(ZoneInfo(job.time_zone))
    for moment in CronSim(job.cron, start, reverse=True):
        time = moment.astimezone(UTC)
        if time > now:
            continue
        if last is not None and time <= last:
            return
        yield time
        if last is None:
            return


def late_after(job: JobSettings) -> timedelta:
    """How long after its slot a job that is not done is overdue."""
    return GRACE + timedelta(seconds=job.timeout_s)


def longest_pause(job: JobSettings) -> timedelta | None:
    """The longest time between two of a job's slots, over a year or more; None where it has fewer than two."""
    first = datetime(2026, 1, 1, tzinfo=ZoneInfo(job.time_zone))
    before, longest = None, timedelta(0)
    for number, moment in enumerate(CronSim(job.cron, first)):
        time = moment.astimezone(UTC)
        longest = max(longest, time - before if before else longest)
        before = time
        if number >= MOST_LOOKED_AT or (number >= 2 and time - first > LOOKED_AT):
            break
    return longest or None


def standings(config: Config, ledger: Sequence[Row], now: datetime) -> list[Standing]:
    """How each job of the settings stands by the rows of the ledger.

    A job that never ran is overdue from the time the settings were last written on: it may be new.
    """
    found = []
    for job in config.schedule:
        key = job_key(config, job)
        known = {row["slot"]: row for row in ledger if row["job"] == key}
        for slot in times_back(job, now, None):
            row = known.get(slot)
            status = row["status"] if row else "open"
            final = bool(row and status == "failed" and row["attempts"] >= job.attempts)
            since = slot if known else max(slot, _written(config) or slot)
            late = status != "done" and (final or now - since > late_after(job))
            found.append(Standing(job, slot, status, final, late, bool(known)))
    return found


def _written(config: Config) -> datetime | None:
    with suppress(OSError):  # settings that have no file
        return datetime.fromtimestamp(config.path.stat().st_mtime, UTC)
    return None
