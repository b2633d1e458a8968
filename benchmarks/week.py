"""A week of operation, compressed, with faults and without: the same history, files, alerts and pages; nothing grows.

Each day captures arrive, labels come one and three days late, the schedule runs by a clock of its own, people handle
alerts, once the model is retrained, and the site is built. In one of two workspaces commands are killed, meet a full
disk, or a history that another process holds, and are then repeated.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from benchmarks import Figure, at_least, at_most, observed
from tests import fault_steps, fault_world
from tests.fault_world import Line, Step
from tests.forked_commands import KILLED, Ended

FIRST, DAYS = date(2026, 10, 8), 7
LATE = {"cam-1": 1, "cam-2": 3}  # days that labels come late
FAULTS = ("kill", "kill", "full disk", "locked history", "")
LARGEST = 150_000  # bytes of a file on the full disk
HELD_S = 1.5  # the history is locked so long


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template"
        with patch.dict(fault_world.SIZES, FIRST_DAY=FIRST, DAYS=max(DAYS, 5)):
            fault_world.write(template)
        clean, faulty = (_week(Path(folder) / name, template, seed) for name, seed in (("clean", None), ("faulty", 0)))
    wrong = [f"day {number}: {line}" for number, (one, other) in enumerate(zip(clean.days, faulty.days, strict=True))
             for line in fault_world.differences(one, other)]  # fmt: skip
    for line in wrong[:20]:
        print(line[:400])
    faults = ", ".join(f"{count} {name}" for name, count in sorted(faulty.faults.items()))
    same = sum(one == other for one, other in zip(clean.days, faulty.days, strict=True))
    yield at_least("week.same_days", same, "days", DAYS, f"the faultless twin; faults: {faults}")
    size = faulty.sizes[-1] / clean.sizes[-1]
    yield at_most("week.size", size, "ratio", 1.02, "the faultless twin's, all files at the end")
    yield from _flat(faulty)


def _flat(week: Week) -> Iterator[Figure]:
    """Memory and disk by day: of the second day, on which all that happens daily has happened, and the last.

    Days with a retraining or a backup keep what these made; the last day is one without.
    """
    peaks = [max(ended.peak_mib for ended in day) for day in week.ended]
    yield at_most("week.memory", peaks[-1] / peaks[1], "ratio", 1.05, "peak of a command, last day over second")
    yield observed("week.peak", max(peaks), "MiB", "of any command; it begins with all of cvkit imported")
    grown = [after - before for before, after in zip(week.kept, week.kept[1:], strict=False)]
    against = f"bytes a day beyond captures and labels, the last over the median; days: {grown}"
    yield at_most("week.growth", grown[-1] / statistics.median(grown), "ratio", 1.5, against)


@dataclass
class Week:
    """What a week came to, by day."""

    days: list[dict[str, str]] = field(default_factory=list)  # `Line.contents` at the end
    sizes: list[int] = field(default_factory=list)  # bytes of all files
    kept: list[int] = field(default_factory=list)  # of those beyond captures and labels
    ended: list[list[Ended]] = field(default_factory=list)  # commands that came to their end
    faults: Counter[str] = field(default_factory=Counter)


def _week(root: Path, template: Path, seed: int | None) -> Week:
    """A week in a folder of its name, so that what is told of paths is the same; with faults where there is a seed."""
    week = Week()
    place = root.parent / "root"
    with fault_world.line(place, template) as line:
        for name in ("captures", "labels"):
            shutil.rmtree(line.folder / name)
        (line.folder / "captures").mkdir()
        made = line.commands.run(fault_steps.MEASURING[0].order(line.folder))
        assert made.code == 0, made.words
        fault_steps.settle(line.folder)
        for number in range(DAYS):
            chance = random.Random(f"{seed} {number}") if seed is not None else None
            _arrive(line.folder, template, number)
            week.ended.append([_command(line, step, chance, week.faults) for step in _day(number)])
            week.days.append(line.contents())
            files = [file for file in line.folder.rglob("*") if file.is_file()]
            week.sizes.append(sum(file.stat().st_size for file in files))
            given = tuple(line.folder / name for name in ("captures", "labels", "reference", "models"))
            week.kept.append(sum(file.stat().st_size for file in files if not file.is_relative_to(given[0])
                                 and not any(file.is_relative_to(one) for one in given[1:])))  # fmt: skip
    shutil.rmtree(place)
    return week


def _arrive(folder: Path, template: Path, number: int) -> None:
    """The captures of a day, and labels of earlier ones."""
    for camera, late in LATE.items():
        for name, day in (("captures", number), ("labels", number - late)):
            part = Path(name) / camera / (FIRST + timedelta(days=day)).isoformat()
            if day >= 0:
                shutil.copytree(template / part, folder / part)


def _day(number: int) -> Sequence[Step]:
    """The commands of a day, which begins when its captures are all there."""
    now = datetime.combine(FIRST + timedelta(days=number + 1), datetime.min.time(), UTC) + timedelta(hours=6)
    by_hand = {
        1: ["alerts ack few@cam-1 --why seen --by ann"],
        2: [f"alerts snooze few@cam-2 --why later --by ann --until {FIRST + timedelta(days=5)}"],
        3: ["labels plan --budget 4 --out asked",
            "alerts override few --set above=9 --until 2026-11-01 --why try --by ann"],
        4: ["retrain --kind incremental --yes --by ann"],
        5: ["alerts override few --end --by ann", "alerts disable drift@cam-2 --why known --by ann",
            "backup out/backup.tar.gz"],
    }  # fmt: skip
    words = ["run --due", "run --reports 0", *by_hand.get(number, []), "alerts deliver", "site"]
    return [Step(one, one, now=now + timedelta(minutes=5 * place)) for place, one in enumerate(words)]


def _command(line: Line, step: Step, chance: random.Random | None, faults: Counter[str]) -> Ended:
    """Run a command, after a fault where there is a `chance`; how it ended when it came to its end."""
    if chance is not None and (fault := chance.choice(FAULTS)):
        faults[fault] += 1
        if fault == "kill":
            order = step.order(line.folder, kill_before=chance.randint(1, 40))
            ended = line.commands.run(order, chance.uniform(0.1, 8))
            faults["kill"] -= ended.code != KILLED
        elif fault == "full disk":
            line.commands.run(step.order(line.folder, limits={"RLIMIT_FSIZE": chance.randrange(LARGEST)}))
        elif (line.folder / "history.db").exists():
            _hold(line.folder / "history.db")
    ended = line.commands.run(step.order(line.folder))
    if ended.code and not (step.name.startswith("labels plan") and ended.code == 2):  # its folder is there already
        raise AssertionError(f"{step.name} ended with {ended.code}: {ended.words}")
    return ended


def _hold(database: Path) -> None:
    """Lock the history for a while, from another process's point of view, as a long backup might."""
    held = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            held.set()
            time.sleep(HELD_S)

    threading.Thread(target=hold).start()
    held.wait()
