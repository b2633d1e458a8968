"""Commands that meet a fault and are repeated come to what undisturbed ones do: a sample of `benchmarks faults`."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests import fault_disks, fault_kills, fault_steps, fault_world
from tests.fault_kills import Instant
from tests.fault_world import Line, Step, Undisturbed
from tests.forked_commands import Ended

pytest.importorskip("time_machine")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and asks Linux for processes")

FEW = [
    *fault_steps.MEASURING[:3], fault_steps.ALERTS[0], fault_steps.ALERTS[4], fault_steps.LABELS[0],
    fault_steps.TELLING[0], *(one for one in fault_steps.TELLING if one.name in ("site", "backup", "restore")),
]  # fmt: skip
NAMES = [step.name for step in FEW]
TOLD = "what to do: "  # in the words of each error of cvkit's


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Line, dict[str, Undisturbed]]]:
    """A workspace, and how each of the steps goes where nothing happens."""
    root = tmp_path_factory.mktemp("faults")
    with fault_world.line(root) as line:
        yield line, {one.step.name: one for one in line.undisturbed(FEW, root / "kept")}


@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_a_random_instant(done: tuple[Line, dict[str, Undisturbed]], name: str) -> None:
    line, known = done
    instant = next(fault_kills.instants(random.Random(name), 1, known[name].ended.changes))
    assert fault_kills.kill(line, known[name], instant).wrong == []


def test_a_kill_once_all_is_done_and_before_anybody_is_told(done: tuple[Line, dict[str, Undisturbed]]) -> None:
    line, known = done
    for name in ("alerts ack", "alerts override", "labels plan"):
        assert fault_kills.kill(line, known[name], Instant(change=known[name].ended.changes)).wrong == []


def meets(line: Line, as_ever: Undisturbed, fault: Callable[[Step], Ended]) -> Ended:
    """How a command ended that met a fault; asserts that it said why, and that repeating it does as ever."""
    ended, wrong = line.disturbed(as_ever, fault)
    assert wrong == []
    assert "Traceback" not in ended.words
    assert ended.code == as_ever.step.code or TOLD in ended.words
    return ended


@pytest.mark.parametrize(
    ("name", "room"), [("run", 200_000), ("alerts ack", 4096), ("labels plan", 20_000), ("site", 200_000)]
)
def test_a_full_disk(done: tuple[Line, dict[str, Undisturbed]], name: str, room: int, tmp_path: Path) -> None:
    line, known = done
    if not fault_disks.can_mount(tmp_path / "disk"):
        pytest.skip("only root may mount a small disk")

    def full(step: Step) -> Ended:
        with fault_disks.small_disk(line.folder, room):
            return line.commands.run(step.order(line.folder))

    assert meets(line, known[name], full).code == 6


@pytest.mark.parametrize("name", ["run", "alerts ack", "labels plan", "site"])
def test_files_that_may_not_grow(done: tuple[Line, dict[str, Undisturbed]], name: str) -> None:
    """As on a full disk, for everybody: the kernel refuses what goes beyond a limit."""
    line, known = done
    ended = meets(line, known[name], lambda step: line.commands.run(
        step.order(line.folder, limits={"RLIMIT_FSIZE": 2000})))  # fmt: skip
    assert ended.code == 6


@pytest.mark.parametrize("name", ["run", "alerts ack", "card new", "site"])
def test_a_disk_that_cannot_be_written(done: tuple[Line, dict[str, Undisturbed]], name: str, tmp_path: Path) -> None:
    line, known = done
    if not fault_disks.can_mount(tmp_path / "disk"):
        pytest.skip("only root may mount a disk")

    def read_only(step: Step) -> Ended:
        with fault_disks.small_disk(line.folder, 1 << 24, read_only=True):
            looked = line.commands.run(replace(step, words="alerts list").order(line.folder))
            assert looked.code == (6 if name == "run" else 0), looked.words  # before the first run there is no history
            return line.commands.run(step.order(line.folder))

    assert meets(line, known[name], read_only).code == 6


@pytest.mark.parametrize("name", ["run", "alerts ack"])
def test_a_history_that_another_process_holds(done: tuple[Line, dict[str, Undisturbed]], name: str) -> None:
    """For a while it is waited for; for longer than cvkit waits, it is told."""
    line, known = done
    place = line.folder / "history.db"

    def held(seconds: float, busy_s: float | None, step: Step) -> Ended:
        if not place.exists():
            line.commands.run(replace(step, words="alerts list").order(line.folder))
        begun = threading.Event()
        holder = threading.Thread(target=_hold, args=(place, seconds, begun))
        holder.start()
        begun.wait()
        try:
            return line.commands.run(step.order(line.folder, busy_s=busy_s))
        finally:
            holder.join()

    assert meets(line, known[name], lambda step: held(1.5, None, step)).code == 0
    ended = meets(line, known[name], lambda step: held(8, 0.3, step))
    assert (ended.code, "locked" in ended.words) == (6, True)


def _hold(database: Path, seconds: float, begun: threading.Event) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        begun.set()
        time.sleep(seconds)


@pytest.mark.parametrize("mebibytes", [1, 4, 6, 20, 60])  # with 4, Arrow's threads would be waited for forever
def test_too_little_memory(done: tuple[Line, dict[str, Undisturbed]], mebibytes: int) -> None:
    """What Python or SQLite asks for is told; where a library of C or the kernel ends the process, it is a kill."""
    line, known = done
    ended, wrong = line.disturbed(known["run"], lambda step: line.commands.run(
        step.order(line.folder, limits={"RLIMIT_AS": mebibytes << 20})))  # fmt: skip
    assert wrong == []
    by_c = ended.code < 0 or (ended.code == 127 and "cannot allocate memory for thread-local data" in ended.words)
    assert by_c or (ended.code == 6 and "not enough memory" in ended.words), ended.words


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_workspace_that_is_moved(done: tuple[Line, dict[str, Undisturbed]], share: float) -> None:
    """Nothing is written in the old place; at the new one the command comes to what it would have come to there."""
    line, known = done
    as_ever, moved = known["run"], line.folder.with_name("moved")

    def at_the_new_place() -> dict[str, str]:
        assert line.commands.run(as_ever.step.order(moved, repeated=True)).code == 0
        moved.rename(line.folder)  # messages name the place they were made at
        return {name: value for name, value in line.contents().items() if " outbox " not in name}

    line.hook.asked.clear()
    shutil.rmtree(line.folder)
    fault_world.fresh(as_ever.before, moved)
    wanted = at_the_new_place()
    line.hook.asked.clear()
    fault_world.fresh(as_ever.before, line.folder)
    change = 1 + int(share * as_ever.ended.changes)
    ended = line.commands.run(as_ever.step.order(line.folder, kill_before=change, move_to=str(moved)))
    assert not line.folder.exists()
    assert (ended.code, "the workspace is gone" in ended.words, TOLD in ended.words) == (6, True, True), ended.words
    assert fault_world.differences(wanted, at_the_new_place()) == []


def test_a_clock_that_steps_back(done: tuple[Line, dict[str, Undisturbed]]) -> None:
    """A run a day before the last one, and the same again: nothing is lost, doubled or told twice."""
    line, known = done
    as_ever = known["alerts ack"]
    earlier = replace(as_ever.step, words="run", now=as_ever.step.now - timedelta(days=1))
    meets(line, as_ever, lambda step: line.commands.run(earlier.order(line.folder)))
