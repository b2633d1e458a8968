"""The schedule: what is due runs once, however many processes ask, and is caught up after a sleep."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cvkit import heartbeat
from cvkit import job as main_job
from cvkit.config import Config, JobSettings, with_champion
from cvkit.data import sources
from cvkit.errors import BusyError, CvkitError, DataError, StorageError
from cvkit.monitoring import monitor
from cvkit.monitoring.history import History
from cvkit.slots import job_key, standings, times_back
from cvkit.storage import lock, safe_name
from cvkit.tables import Window

log = logging.getLogger(__name__)

Execute = Callable[[Config, JobSettings, Window], str]  # runs one slot; the error in words, empty where there is none
CATCH_UP = 31  # newest windows of a job that missed or failed slots are made good for; older ones are left out
WAIT_S = 600.0  # how long a job waits for another command in the same workspace
LOOK_AGAIN = timedelta(minutes=1)  # `serve` looks at the clock this often: clocks are set, machines sleep
BEAT_S = 300.0  # `serve` says this often that it lives, where nothing is due


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


def due(config: Config, history: History, now: datetime) -> list[Slot]:
    """Slots up to `now` that have not been done and have tries left, in order of time.

    A job that never ran has its newest slot due. After a sleep the slots missed since the last one are, for the newest
    `CATCH_UP` windows; of several slots about the same window only the newest, which replaces the others' report.
    Slots in the ledger that lie in the future, left by a clock that was wrong, hold nothing up.
    """
    ledger = history.slots()
    found: list[Slot] = []
    for job in config.schedule:
        rows = ledger[ledger["job"] == job_key(config, job)].to_dict("records")
        found += _due_of_job(config, job, {row["slot"].to_pydatetime(): row for row in rows}, now)
    return sorted(found, key=lambda slot: (slot.time, job_key(config, slot.job)))


def run_due(
    config: Config, now: datetime | None = None, execute: Execute | None = None, *, idle_beat: bool = True
) -> list[Outcome]:
    """Run every slot that is due: once, never two of a job at the same time; then tell of alerts. What came of each.

    A slot whose job is at work in another process is `busy`: it and the job's later ones stay due. The switch of
    `heartbeat` is told; where nothing was due, only with `idle_beat`.
    """
    now = now or datetime.now(UTC)
    outcomes: list[Outcome] = []
    try:
        with History.open(config.history_url) as history:
            _make_good(config, history)
            slots = due(config, history, now)
            if slots:
                heartbeat.beat(config, "start", f"{len(slots)} due")
            for slot in slots:
                if not any(outcome.status == "busy" and outcome.slot.job == slot.job for outcome in outcomes):
                    outcomes.append(_run_slot(config, history, slot, now, execute or _measure_and_report))
            for error in _told(config, history):
                log.warning("not delivered, will be tried again: %s", error)
            if outcomes or idle_beat:
                _beat(config, history, now, outcomes)
    except StorageError:
        heartbeat.beat(config, "fail", "the history or the disk cannot be used")
        raise
    return outcomes


def _beat(config: Config, history: History, now: datetime, outcomes: list[Outcome]) -> None:
    """Tell the switch how the jobs stand: done where all are, fail where one has no try left, else nothing yet.

    What is at work or will be tried again is neither: if it lasts, the switch misses its signal.
    """
    stand = standings(config, history.slots().to_dict("records"), now)
    ran = [f"{one.slot.job.notebook} of {one.slot.window}: {one.status}" for one in outcomes]
    if failed := [f"{one.job.notebook} of {one.slot:%Y-%m-%d %H:%M} UTC: failed" for one in stand if one.final]:
        heartbeat.beat(config, "fail", "\n".join(failed))
    elif all(one.status == "done" for one in stand):
        heartbeat.beat(config, "done", "\n".join(ran) or "nothing is due")


def _make_good(config: Config, history: History) -> None:
    """Slots that failed are done where their report was written since, as by `cvkit run --window` once mended."""
    ledger = history.slots()
    failed = ledger[ledger["status"] == "failed"]
    if failed.empty:
        return
    reports = history.reports()
    key = ["model", "notebook", "source", "window_start"]
    written = reports[reports["status"] == "done"].groupby(key)["finished"].max()
    for job in config.schedule:
        for row in failed[failed["job"] == job_key(config, job)].to_dict("records"):
            start = _last_complete(config, row["slot"].to_pydatetime()).start
            finished = written.get((config.model.name, job.notebook, job.source, start))
            if finished is not None and finished > row["finished"]:
                history.finish_slot(row["job"], row["slot"].to_pydatetime(), finished.to_pydatetime())


def _told(config: Config, history: History) -> tuple[str, ...]:
    """Tell what is due: snoozes end, alerts are repeated, and messages that failed are tried again by the clock."""
    try:
        return main_job.tell(config, history)[1]
    except (
        DataError
    ) as error:  # nothing was measured yet, and the weights that name the version are not there: slots say so
        log.debug("%s", error)
        return ()


def serve(
    config: Config,
    stop: threading.Event,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    execute: Execute | None = None,
) -> None:
    """Run what is due, when it is due, until `stop` is set; a job that has begun is finished first.

    A disk that is full, a history that is locked for a while and captures of which there is none are logged, and tried
    again. Raises StorageError where the history cannot be used at the start.
    """
    History.open(config.history_url).close()
    beaten = -BEAT_S
    while not stop.is_set():
        try:
            config = with_champion(config)  # a version may have been promoted meanwhile
            if idle_beat := time.monotonic() - beaten >= BEAT_S:
                beaten = time.monotonic()
            for outcome in run_due(config, clock(), execute, idle_beat=idle_beat):
                level = logging.ERROR if outcome.status == "failed" else logging.INFO
                log.log(level, "%s: %s %s", job_key(config, outcome.slot.job), outcome.status, outcome.error)
            if idle_beat:
                sources.check_any(config)
        except (DataError, StorageError) as error:
            log.error("%s", error)
        stop.wait(LOOK_AGAIN.total_seconds())


def _run_slot(config: Config, history: History, slot: Slot, now: datetime, execute: Execute) -> Outcome:
    key = job_key(config, slot.job)
    try:
        file, doing = config.workspace / "locks" / f"job-{safe_name(key)}.lock", f"running {key}"
        with lock(file, doing), history.alone(key, doing):
            status = history.claim_slot(key, slot.time, now, slot.job.attempts)
            if status != "running":  # another process was faster, or the one that had it died once too often
                return Outcome(slot, status, "no try is left" if status == "failed" else "")
            error = _attempt(config, history, slot, execute)
            history.finish_slot(key, slot.time, datetime.now(UTC), error)
            return Outcome(slot, "failed" if error else "done", error)
    except BusyError as busy:
        return Outcome(slot, "busy", str(busy))


def _attempt(config: Config, history: History, slot: Slot, execute: Execute) -> str:
    """Do the work of a slot; what went wrong in words. Raises BusyError and StorageError, the slot given back."""
    try:
        return execute(config, slot.job, slot.window)
    except (BusyError, StorageError, KeyboardInterrupt):  # another command, a full disk, an order to stop: no tries
        history.release_slot(job_key(config, slot.job), slot.time)
        raise
    except CvkitError as failure:
        return str(failure)


def _measure_and_report(config: Config, job: JobSettings, window: Window) -> str:
    """Measure what is due, then the window itself, and write its report; older windows that fail are not its fault."""
    with History.open(config.history_url) as history:
        older = [due for due in monitor.due(config, history, window.end) if due != window]
    if older:
        for failure in main_job.run(config, older, notebooks=[], wait_s=WAIT_S).failures:
            log.warning("%s", failure)
    outcome = main_job.run(
        config, [window], notebooks=[job.notebook], source=job.source, timeout_s=job.timeout_s, wait_s=WAIT_S
    )
    return "\n".join(outcome.failures)


def _due_of_job(config: Config, job: JobSettings, known: dict[datetime, Any], now: datetime) -> list[Slot]:
    past = sorted((moment for moment in known if moment <= now), reverse=True)
    newest: dict[Window, datetime] = {}  # slot of each window
    for moment in itertools.chain(times_back(job, now, past[0] if past else None), past):
        newest.setdefault(_last_complete(config, moment), moment)
        if len(newest) == CATCH_UP:
            break
    return [
        Slot(job, moment, window)
        for window, moment in newest.items()
        if moment not in known or _may_be_tried(known[moment], job)
    ]


def _may_be_tried(row: dict[str, Any], job: JobSettings) -> bool:
    """Whether a slot in the ledger is open: one that is `running` may have been left by a process that died."""
    return bool(row["status"] == "running" or (row["status"] == "failed" and row["attempts"] < job.attempts))


def _last_complete(config: Config, moment: datetime) -> Window:
    length, moment = config.window_length, sources.clock(config, moment)
    return list(monitor.windows(config, moment - 2 * length, moment))[-1]
