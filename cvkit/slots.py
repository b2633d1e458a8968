"""Slots: the times at which jobs are to run, and how each job stands; read by those who ask whether one was missed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from cvkit.config import Config, JobSettings

CLOCK_CHANGE = timedelta(hours=3)  # a wall clock is set back by less: what it will show again may have been already
GRACE = timedelta(hours=1)  # a slot that is not done so long after it, and after its time-out, is overdue
LOOKED_FROM, EVER = datetime(2030, 1, 1, tzinfo=UTC), datetime(1971, 1, 1, tzinfo=UTC)  # where pauses are looked for
LOOKED_AT, MOST_LOOKED_AT = timedelta(days=400), 100_000  # over how long, and how many slots

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
    error: str = ""  # of the last try

    @property
    def line(self) -> str:
        """It in one line."""
        words = {"open": "nothing has run it", "running": "begun and not ended", "failed": "failed"}[self.status]
        reason, _, _ = self.error.partition("\n")
        words += f" at every try, the last time with: {reason[:200]}" if self.final else ""
        return f"{self.job.notebook} of {self.slot:%Y-%m-%d %H:%M} UTC is overdue: {words}"


def job_key(config: Config, job: JobSettings) -> str:
    """Name of a job in the ledger, which several workspaces may share: for what model, what it does and when."""
    return f"{config.model.name}: {schedule_name(job)}"


def schedule_name(job: JobSettings) -> str:
    """Name of a job within its model."""
    return f"{job.notebook} {job.source or 'all sources'} {job.cron} {job.time_zone}"


def times_back(job: JobSettings, now: datetime, last: datetime | None) -> Iterator[datetime]:
    """The times of a job after `last` up to `now`, newest first, in UTC; only the newest where there is no last one."""
    for time in _all_back(job, now):
        if time > now:
            continue
        if last is not None and time <= last:
            return
        yield time
        if last is None:
            return


def _all_back(job: JobSettings, now: datetime) -> Iterator[datetime]:
    """The times of a job, newest first, from some hours after `now`.

    cronsim is asked for times on the wall, which know no zone. Given a zone it loses times where clocks change by less
    than an hour, or at half past, and may never come back from a day that a zone left out.
    """
    zone, fixed = ZoneInfo(job.time_zone), not any(text.startswith("*") for text in job.cron.split()[:2])
    wall = (now.astimezone(zone) + CLOCK_CHANGE).replace(tzinfo=None)
    waiting: list[float] = []  # a heap of what later times on the wall, of an hour that comes twice, may still precede
    for clock in CronSim(job.cron, wall, reverse=True):
        found, bound = _moments(clock, zone, fixed)
        while waiting and -waiting[0] > bound:
            yield _next(waiting)
        for moment in found:
            if -moment not in waiting:
                heapq.heappush(waiting, -moment)
    while waiting:
        yield _next(waiting)


def _next(waiting: list[float]) -> datetime:
    return datetime.fromtimestamp(-heapq.heappop(waiting), UTC)


def _moments(clock: datetime, zone: ZoneInfo, fixed: bool) -> tuple[list[float], float]:
    """When a zone's wall shows `clock`, Unix time, and a moment that no earlier clock is shown after.

    As Debian's cron has it: a job at `fixed` hours runs at the first of two, and after a gap at its end; others run
    whenever the wall shows their time.
    """
    first, second = (clock.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first <= second:
        return [first] if fixed or first == second else [first, second], second
    end = clock  # in a gap: zoneinfo counts on by the clock of before
    while end.replace(tzinfo=zone).timestamp() > end.replace(tzinfo=zone, fold=1).timestamp():
        end += timedelta(minutes=1)
    return [end.replace(tzinfo=zone).timestamp()] if fixed else [], first


def late_after(job: JobSettings) -> timedelta:
    """How long after its slot a job that is not done is overdue."""
    return GRACE + timedelta(seconds=job.timeout_s)


def longest_pause(job: JobSettings) -> timedelta | None:
    """The longest time between two of a job's slots, over a year or more; None where it has fewer than two."""
    longest = timedelta(0)
    for number, (later, time) in enumerate(pairwise(times_back(job, LOOKED_FROM, EVER))):
        longest = max(longest, later - time)
        if number >= MOST_LOOKED_AT or (number >= 2 and LOOKED_FROM - time > LOOKED_AT):
            break
    return longest or None


def standings(config: Config, ledger: Sequence[Row], now: datetime) -> list[Standing]:
    """How each job of the settings stands by the rows of the ledger.

    That of its newest slot, or of the newest one that was missed (`_missed`). A job that never ran is overdue from the
    time the settings were last written on: it may be new.
    """
    found = []
    for job in config.schedule:
        key = job_key(config, job)
        known = {row["slot"]: row for row in ledger if row["job"] == key}
        for slot in times_back(job, now, None):
            missed = _missed(job, known, now, slot)
            slot = slot if missed is None else missed
            row = known.get(slot)
            status = row["status"] if row else "open"
            final = bool(row and status == "failed" and row["attempts"] >= job.attempts)
            since = slot if known else max(slot, _written(config) or slot)
            late = status != "done" and (final or now - since > late_after(job))
            found.append(Standing(job, slot, status, final, late, bool(known), row["error"] if row else ""))
    return found


def _missed(job: JobSettings, known: Mapping[datetime, Row], now: datetime, newest: datetime) -> datetime | None:
    """The newest slot whose grace is over, where neither it nor a later one was begun in time; else None.

    Of a job that comes round more often than its grace lasts the newest slot itself is never late.
    """
    if newest in known:
        return None
    for slot in times_back(job, now - late_after(job), None):
        done = any(row["status"] == "done" and moment >= slot for moment, row in known.items())
        return None if done or slot == newest else slot
    return None


def _written(config: Config) -> datetime | None:
    with suppress(OSError):  # settings that have no file
        return datetime.fromtimestamp(config.path.stat().st_mtime, UTC)
    return None
