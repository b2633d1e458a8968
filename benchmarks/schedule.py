"""Schedule: two schedulers on one workspace by a fast clock, killed again and again: slots done twice, and never."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from benchmarks import Figure, at_most, observed
from benchmarks._scheduler import BEGAN
from cvkit.config import Config, load_config
from cvkit.monitoring.history import History
from cvkit.schedule import run_due
from cvkit.slots import job_key

WALL_S = float(os.environ.get("CVKIT_SCHEDULE_S", "60"))  # how long; 3600 for an hour
SPEED = 3600.0  # an hour of the schedule in a second
FIRST = datetime(2026, 10, 24, tzinfo=UTC)  # the night after, clocks go back in Berlin
KILLED_EVERY_S = 5.0  # on average
SETTLED_S = 60.0  # given at the end to do what is left
MINUTES = {"one": 0, "two": 7, "three": 31}  # of each job, every hour
ZONES = {"one": "UTC", "two": "Europe/Berlin", "three": "America/New_York"}


@dataclass(frozen=True)
class Began:
    """A piece of work that a process began."""

    process: int
    time: float
    slot: tuple[str, str]  # job and window


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        config = _workspace(Path(name))
        last = FIRST + timedelta(seconds=WALL_S * SPEED)
        killed = _operate(config, last)
        lost = _lost(config, last)
        began = [_read(line) for line in (config.workspace / BEGAN).read_text().splitlines()]
    slots = {one.slot for one in began}
    yield observed("schedule.slots", len(slots), "slots", f"{WALL_S:g} s at {SPEED:g} times the speed")
    yield observed(
        "schedule.kills", len(killed), "kills", f"of which {len(began) - len(slots)} cut off a piece of work"
    )
    yield at_most("schedule.twice", len(doubled(began, killed)), "slots", 0, "begun anew, nobody killed at it")
    yield at_most("schedule.lost", len(lost), "slots", 0, "never done")


def doubled(began: Sequence[Began], killed: dict[int, float]) -> list[Began]:
    """Work begun anew though the process that had begun it before was not killed at it, or not yet."""
    newest = {one.process: one for one in began}  # what each process began last
    before: dict[tuple[str, str], Began] = {}
    found = []
    for one in sorted(began, key=lambda one: one.time):
        earlier = before.get(one.slot)
        if earlier is not None:
            cut_off = newest[earlier.process] is earlier and killed.get(earlier.process, float("inf")) <= one.time
            found += [] if cut_off else [one]
        before[one.slot] = one
    return found


def _workspace(folder: Path) -> Config:
    jobs = [
        f'  - {{notebook: {name}, cron: "{minute} * * * *", time_zone: {ZONES[name]}, attempts: 10}}'
        for name, minute in MINUTES.items()
    ]
    text = "reference: {data: data.yaml}\nwindow_hours: 1\nschedule:\n"
    image = folder / "captures" / "cam" / "2026-01-01" / "06-00.jpg"  # of none at all every round would complain
    image.parent.mkdir(parents=True)
    image.touch()
    (folder / "cvkit.yml").write_text(text + "\n".join(jobs))
    return load_config(folder)


def _operate(config: Config, last: datetime) -> dict[int, float]:
    """Let two schedulers run to `last`, one of the two killed now and then; the killed, and when."""
    chance, killed, zero = random.Random(0), dict[int, float](), time.monotonic()
    run_due(config, FIRST, lambda *given: "")  # a job that never ran has one slot due, so that all after it count
    running = [_start(config, last, zero) for _ in range(2)]
    while time.monotonic() - zero < WALL_S:
        time.sleep(chance.expovariate(1 / KILLED_EVERY_S))
        place = chance.randrange(2)
        _kill(running[place], killed)
        running[place] = _start(config, last, zero)
    deadline = time.monotonic() + SETTLED_S
    while _lost(config, last) and time.monotonic() < deadline:
        time.sleep(1)
    for process in running:
        process.kill()
        process.wait()
    return killed


def _start(config: Config, last: datetime, zero: float) -> subprocess.Popen[bytes]:
    given = [str(config.workspace), FIRST.isoformat(), last.isoformat(), str(zero), str(SPEED)]
    return subprocess.Popen([sys.executable, "-m", "benchmarks._scheduler", *given])


def _kill(process: subprocess.Popen[bytes], killed: dict[int, float]) -> None:
    if process.poll() is not None:
        raise RuntimeError(f"a scheduler ended by itself with {process.returncode}")
    process.kill()
    process.wait()
    killed[process.pid] = time.monotonic()


def _lost(config: Config, last: datetime) -> list[tuple[str, datetime]]:
    """Slots after FIRST up to `last` that are not done, counted hour by hour with a wall of each zone."""
    with History.open(config.history_url) as history:
        ledger = history.slots()
    done = ledger[ledger["status"] == "done"]
    missing = []
    for job in config.schedule:
        mine = {slot.to_pydatetime() for slot in done.loc[done["job"] == job_key(config, job), "slot"]}
        time, zone = FIRST + timedelta(minutes=1), ZoneInfo(job.time_zone)
        while time <= last:
            if time.astimezone(zone).minute == MINUTES[job.notebook] and time not in mine:
                missing.append((job.notebook, time))
            time += timedelta(minutes=1)
    return missing


def _read(line: str) -> Began:
    process, moment, notebook, window = line.split()
    return Began(int(process), float(moment), (notebook, window))
