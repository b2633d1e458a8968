"""The schedule: what is due runs once, however many processes ask, and is caught up after a sleep."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from cronsim import CronSim

from cvkit import job as main_job
from cvkit.config import Config, JobSettings
from cvkit.errors import BusyError, CvkitError
from cvkit.monitoring import monitor
from cvkit.monitoring.history import History
from cvkit.storage import lock
from cvkit.tables import Window

log = logging.getLogger(__name__)

Execute = Callable[[Config, JobSettings, Window], str]  # runs one slot; the error in words, empty where there is none
CATCH_UP = 31  # most missed slots of a job that are made good after a long sleep; older ones are left out
WAIT_S = 600.0  # how long a job waits for another command in the same workspace
LOOK_AGAIN = timedelta(minutes=1)  # `serve` looks at the clock this often: clocks are set, machines sleep


@dataclass(frozen=True, slots=True)
class Slot:
    """One time at which a job is to run."""

    job: JobSettings
    time: datetime  # UTC
    window: Window  # what its report is about: the last window that was complete at that time


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a slot: done, failed, or busy where another process runs that job."""

    slot: Slot
    status: str
    error: str = ""


def job_key(job: JobSettings) -> str:
    """Name of a job in the ledger: what it does and when."""
    return f"{job.notebook} {job.source or 'all sources'} {job.cron} {job.time_zone}"


def due(config: Config, history: History, now: datetime) -> list[Slot]:
    """Slots up to `now` that have not been done and have tries left, in order of time.

    A job that never ran has its newest slot due; after a sleep all missed ones are, `CATCH_UP` at most.
    """
    ledger = history.slots()
    found: list[Slot] = []
    for job in config.schedule:
        rows: list[dict[str, Any]] = ledger[ledger["job"] == job_key(job)].to_dict("records")  # type: ignore[assignment]
        known = {row["slot"]: row for row in rows}
        times = _times_back(job, now)
        wanted = [time for time in times if time >= min(known)] if known else times[:1]
        open_times = [time for time in wanted if time not in known or _may_be_tried(known[time], job)]
        found += [Slot(job, time, _last_complete(config, time)) for time in open_times]
    return sorted(found, key=lambda slot: (slot.time, job_key(slot.job)))


def run_due(config: Config, now: datetime | None = None, execute: Execute | None = None) -> list[Outcome]:
    """Run every slot that is due: once, never two of a job at the same time. Returns what came of each."""
    now = now or datetime.now(UTC)
    with History.open(config.history_url) as history:
        return [
            _run_slot(config, history, slot, now, execute or _measure_and_report) for slot in due(config, history, now)
        ]


def serve(
    config: Config,
    stop: threading.Event,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    execute: Execute | None = None,
) -> None:
    """Run what is due, when it is due, until `stop` is set; a job that has begun is finished first."""
    while not stop.is_set():
        for outcome in run_due(config, clock(), execute):
            level = logging.ERROR if outcome.error else logging.INFO
            log.log(level, "%s: %s %s", job_key(outcome.slot.job), outcome.status, outcome.error)
        stop.wait(LOOK_AGAIN.total_seconds())


def _run_slot(config: Config, history: History, slot: Slot, now: datetime, execute: Execute) -> Outcome:
    key = job_key(slot.job)
    try:
        with lock(config.workspace / "locks" / f"job-{quote(key, safe='')[:200]}.lock", f"running {key}"):
            if (status := history.claim_slot(key, slot.time, now, slot.job.attempts)) != "running":
                return Outcome(slot, status)  # another process was faster, or the one that had it died once too often
            try:
                error = execute(config, slot.job, slot.window)
            except CvkitError as failure:
                error = str(failure)
            history.finish_slot(key, slot.time, datetime.now(UTC), error)
            return Outcome(slot, "failed" if error else "done", error)
    except BusyError as busy:
        return Outcome(slot, "busy", str(busy))


def _measure_and_report(config: Config, job: JobSettings, window: Window) -> str:
    """Measure what is due, and the window itself; then write its report."""
    with History.open(config.history_url) as history:
        windows = [*(w for w in monitor.due(config, history, window.end) if w != window), window]
    outcome = main_job.run(
        config, windows, notebooks=[job.notebook], source=job.source, timeout_s=job.timeout_s, wait_s=WAIT_S
    )
    return "\n".join(outcome.failures)


def _times_back(job: JobSettings, now: datetime) -> list[datetime]:
    """The newest `CATCH_UP` times of a job up to `now`, newest first, in UTC."""
    local = now.astimezone(ZoneInfo(job.time_zone)) + timedelta(seconds=1)  # the iterator begins before its start
    times = CronSim(job.cron, local, reverse=True)
    return [moment.astimezone(UTC) for moment, _ in zip(times, range(CATCH_UP), strict=False)]


def _may_be_tried(row: dict[str, Any], job: JobSettings) -> bool:
    """Whether a slot in the ledger is open: one that is `running` may have been left by a process that died."""
    return bool(row["status"] == "running" or (row["status"] == "failed" and row["attempts"] < job.attempts))


def _last_complete(config: Config, moment: datetime) -> Window:
    length = config.window_length
    return list(monitor.windows(config, moment - 2 * length, moment))[-1]
