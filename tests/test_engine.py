"""The local engine: each result is there, whatever becomes of the processes that worked on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import engine_work
import pytest
from engine_work import children

from cvkit.data import engine, isolation
from cvkit.data.engine import Lost
from cvkit.errors import ConfigError, DataError, EngineError


def results(work: engine.Work, chunks: list[list[object]], **how: object) -> list[object]:
    found = dict(engine.run(work, chunks, **how))  # type: ignore[arg-type]
    assert sorted(found) == list(range(len(chunks)))
    return [result for number in sorted(found) for result in found[number]]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_do_not_depend_on_the_number_of_workers(workers: int) -> None:
    chunks = [list(range(start, start + 7)) for start in range(0, 70, 7)]
    assert results(engine_work.doubled, chunks, workers=workers) == [2 * n for n in range(70)]


def test_no_chunks_and_empty_chunks_are_no_work() -> None:
    assert results(engine_work.doubled, []) == []
    assert results(engine_work.doubled, [[], [1], []]) == [2]


@pytest.mark.parametrize("kind", ["segv", "killed", "exit", "memory"])
@pytest.mark.parametrize("work", [engine_work.streamed, engine_work.at_once])
def test_an_item_that_kills_is_named_and_costs_no_other(work: engine.Work, kind: str) -> None:
    chunks = [[1, 2, 3], [4, kind, 5, 6, 7], [8]]
    found = results(work, chunks, workers=2)
    words = {"segv": "SIGSEGV", "killed": "SIGKILL", "exit": "code 3", "memory": "code 1"}[kind]
    assert isinstance(found[4], Lost)
    assert words in found[4].reason
    assert [one for one in found if not isinstance(one, Lost)] == [2, 4, 6, 8, 10, 12, 14, 16]


def test_several_that_kill_are_each_found() -> None:
    found = results(engine_work.streamed, [["exit", 1, "segv", "exit"], ["exit"]], workers=1)
    assert [isinstance(one, Lost) for one in found] == [True, False, True, True, True]


def test_an_item_that_never_ends_is_given_up() -> None:
    found = results(engine_work.streamed, [[1, "hang", 2]], workers=1, limit_s=1.0)
    assert found == [2, Lost("gave no result for 1 s"), 4]


def test_a_death_that_does_not_come_again_loses_nothing(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}" for n in range(4)]
    assert results(engine_work.once, [files], workers=1) == [file.name for file in files]


def test_workers_killed_from_outside_lose_nothing() -> None:
    chunks = [list(range(start, start + 5)) for start in range(0, 60, 5)]
    stop, killed = threading.Event(), []

    def kill() -> None:
        for _ in range(isolation.ALONE):  # an item that ends one more process than so many is lost, and rightly so
            if stop.wait(0.4):
                return
            killed.extend(children())
            for pid in children():
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = results(engine_work.slow, chunks, workers=2)
    finally:
        stop.set()
        killer.join()
    assert killed
    assert found == [2 * n for n in range(60)]


def test_what_the_function_raises_is_raised() -> None:
    with pytest.raises(DataError, match="this cannot be") as raised:
        results(engine_work.refused, [[5]])
    assert raised.value.found == "5"


def test_what_others_raise_is_told_in_words() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: no such thing"):
        results(engine_work.wrong, [[5]])


def test_answers_with_objects_in_them_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (found,) = results(engine_work.taken_over, [[5]])
    assert isinstance(found, Lost)
    assert not list(tmp_path.iterdir())


def test_a_function_with_too_few_results_is_no_function() -> None:
    with pytest.raises(ValueError, match="1 results for 2"):
        results(engine_work.short, [[1, 2]])


def test_what_libraries_print_is_no_answer() -> None:
    assert results(engine_work.printing, [[1, 2]]) == [1, 2]


def test_processes_wait_for_more_work_and_end_with_the_program() -> None:
    first, second = (set(results(engine_work.process_id, [[1]], workers=1)) for _ in range(2))
    assert first == second
    isolation.end_idle()
    assert not first & set(children())


def test_a_process_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    isolation.end_idle()
    monkeypatch.setattr(isolation, "WORKER", "cvkit.no_such_module")
    with pytest.raises(EngineError, match="does not start"):
        results(engine_work.doubled, [[1]])


def test_an_abandoned_run_leaves_no_process_at_work() -> None:
    isolation.end_idle()
    for _ in engine.run(engine_work.slow, ([n] * 100 for n in range(100)), workers=2):
        break
    deadline = time.monotonic() + 5
    while (left := set(children()) - {one.process.pid for one in isolation._idle}) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def test_workers_end_when_their_program_is_killed() -> None:
    code = (
        "import engine_work, os, sys\nfrom cvkit.data import engine\n"
        "for number, pids in engine.run(engine_work.process_id, [[1]], workers=1):\n"
        "    print(pids[0], flush=True)\nos.kill(os.getpid(), 9)"
    )
    paths = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": paths})  # fmt: skip
    pid = int(done.stdout)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    "address", ["nonsense", "foo://x:1", "tcp://host", "tcp://host:port", "host:8786", "tcp://:8786", "", "Local"]
)
def test_what_is_no_address_is_refused_at_once(address: str) -> None:
    start = time.monotonic()
    with pytest.raises(ConfigError, match="scheme://host:port"):
        engine.run(engine_work.doubled, [[1]], engine=address)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("address", ["local", "tcp://host:8786", "tls://10.0.0.1:8786", "tcp://[::1]:8786"])
def test_addresses_of_schedulers_are_let_pass(address: str) -> None:
    engine.check_address(address)
