"""Histories of earlier cvkits become ones of this: all of it or nothing, once, whoever asks at the same time."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_history import at_once

pytest.importorskip("alembic", reason="Alembic is not installed")

import old_histories
from alembic.script import ScriptDirectory

from cvkit.errors import StorageError
from cvkit.monitoring import migrations, schema
from cvkit.monitoring.history import History

FILES = old_histories.files("sqlite")
OPEN = "import sys; from cvkit.monitoring.history import History; print('ready', flush=True); History.open(sys.argv[1])"


KILLED = """
import os, signal, sys, time
import alembic.autogenerate, alembic.script
from cvkit.monitoring.history import History
for line in sys.stdin:
    child = os.fork()
    if not child:
        History.open(sys.argv[1])
        os._exit(0)
    time.sleep(float(line))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""


def killed(address: str, times: int) -> Iterator[int]:
    """Open a history and kill who does it, at random instants; the schema that is found after each."""
    chance = random.Random(1)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(times):
            process.stdin.write(f"{chance.uniform(0.0, 0.8)}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "killed\n"
            yield old_histories.version(address)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'history.db'}"


def objects(folder: Path) -> set[tuple[str, str]]:
    """Names of tables, indexes and triggers."""
    connection = sqlite3.connect(folder / "history.db")
    found = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
    connection.close()
    return set(found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_earlier_history_becomes_one_of_this(file: Path, tmp_path: Path) -> None:
    old_histories.make(url(tmp_path), file)
    before = old_histories.contents(url(tmp_path))
    with History.open(url(tmp_path)) as history:
        assert len(history.runs()) == 3
        assert len(history.verdicts()) == 24
    old_histories.check(url(tmp_path), before)
    old_histories.check_streams(url(tmp_path), old_histories.number(file))
    (tmp_path / "new").mkdir()
    History.open(url(tmp_path / "new")).close()
    assert objects(tmp_path) == objects(tmp_path / "new")


def test_there_is_a_history_of_every_schema_and_a_script_to_each() -> None:
    assert {old_histories.number(file) for file in FILES} == set(range(schema.OLDEST, schema.SCHEMA + 1))
    scripts = ScriptDirectory(str(migrations.PLACE))
    assert [scripts.get_current_head()] == scripts.get_heads() == [str(schema.SCHEMA)]
    assert [int(one.revision) for one in scripts.walk_revisions()] == list(range(schema.SCHEMA, schema.OLDEST - 1, -1))


def test_a_new_history_is_what_the_tables_say(tmp_path: Path) -> None:
    History.open(url(tmp_path)).close()
    assert old_histories.differences(url(tmp_path)) == []
    connection = sqlite3.connect(tmp_path / "history.db")
    connection.execute("DROP INDEX verdicts_by_run")
    connection.execute("ALTER TABLE slots ADD COLUMN more TEXT")
    connection.close()
    assert {one[0] for one in old_histories.differences(url(tmp_path))} == {"add_index", "remove_column"}


@pytest.mark.parametrize("found", [schema.OLDEST - 1, schema.SCHEMA + 1])
def test_others_are_refused_with_words_and_left_alone(found: int, tmp_path: Path) -> None:
    old_histories.make(url(tmp_path), FILES[0])
    connection = sqlite3.connect(tmp_path / "history.db")
    with connection:
        connection.execute("UPDATE cvkit_schema SET version = ?", (found,))
    connection.close()
    before = objects(tmp_path)
    with pytest.raises(StorageError, match=f"schema {found}") as told:
        History.open(url(tmp_path))
    assert "or a newer one" in told.value.remedy
    assert objects(tmp_path) == before


@pytest.mark.parametrize(("of", "harm"), [
    (8, "UPDATE evidence SET numbers = x'0011' WHERE rowid = 3"), (8, "UPDATE evidence SET features = '{' "),
    (8, "UPDATE evidence SET features = '[]'"), (7, "UPDATE streams SET state = '{\"windows\": 5}'"),
    (6, "UPDATE streams SET state = '{' WHERE rowid = 2"),
])  # fmt: skip
def test_a_damaged_one_is_told_and_left_alone(of: int, harm: str, tmp_path: Path) -> None:
    old_histories.make(url(tmp_path), next(file for file in FILES if old_histories.number(file) == of))
    connection = sqlite3.connect(tmp_path / "history.db")
    with connection:
        connection.execute(harm)
    connection.close()
    before = objects(tmp_path), old_histories.version(url(tmp_path))
    with pytest.raises(StorageError, match="cannot be brought up to date") as told:
        History.open(url(tmp_path))
    assert "restore" in told.value.remedy
    assert (objects(tmp_path), old_histories.version(url(tmp_path))) == before


def test_alembic_is_imported_only_where_there_is_something_to_do(tmp_path: Path) -> None:
    code = f"{OPEN}; History.open(sys.argv[1]).runs(); print('alembic' in sys.modules)"
    old_histories.make(url(tmp_path), FILES[-1])
    (tmp_path / "old").mkdir()
    old_histories.make(url(tmp_path / "old"), FILES[0])
    said = [subprocess.run([sys.executable, "-c", code, url(folder)], capture_output=True, text=True, check=True).stdout
            for folder in (tmp_path, tmp_path / "new", tmp_path / "old")]  # fmt: skip
    assert [text.split()[-1] for text in said] == ["False", "False", "True"]


def test_threads_and_processes_at_once_do_it_once(tmp_path: Path) -> None:
    old_histories.make(url(tmp_path), FILES[0])
    before = old_histories.contents(url(tmp_path))
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, url(tmp_path)], stdout=subprocess.PIPE) for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    assert at_once(lambda: History.open(url(tmp_path)).close(), 4) == []
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    old_histories.check(url(tmp_path), before)


def test_histories_of_several_workspaces_do_not_mix(tmp_path: Path) -> None:
    folders = [tmp_path / str(place) for place in range(6)]
    for folder, file in zip(folders, FILES, strict=False):
        folder.mkdir()
        old_histories.make(url(folder), file)
    left = iter(folders)
    assert at_once(lambda: History.open(url(next(left))).close(), len(folders)) == []
    assert [old_histories.differences(url(folder)) for folder in folders] == [[]] * len(folders)


def test_a_kill_leaves_the_old_history_or_the_new(tmp_path: Path) -> None:
    file = next(file for file in FILES if old_histories.number(file) == 6)
    old_histories.make(url(tmp_path), file, runs=40, verdicts=4000)
    old, left = objects(tmp_path), []
    for found in killed(url(tmp_path), 12):
        left.append(found)
        if found == 6:
            assert objects(tmp_path) == old
    assert left == sorted(left)
    History.open(url(tmp_path)).close()
    assert old_histories.differences(url(tmp_path)) == []
    assert len(old_histories.contents(url(tmp_path))["worst"]) == 80
