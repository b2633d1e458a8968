"""The same on PostgreSQL: from every earlier history, at once, and killed at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("alembic", reason="Alembic is not installed")
pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")

import old_histories
from test_history import at_once
from test_migrations import killed
from test_postgresql import address, server  # noqa: F401

from cvkit.monitoring.history import History

FILES = old_histories.files("postgresql")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_earlier_history_becomes_one_of_this(
    file: Path, tmp_path: Path, address: Callable[[Path], str]  # noqa: F811
) -> None:  # fmt: skip
    url = address(tmp_path)
    old_histories.make(url, file)
    before = old_histories.contents(url)
    with History.open(url) as history:
        assert len(history.verdicts()) == 24
    old_histories.check(url, before)
    old_histories.check_streams(url, old_histories.number(file))
    assert old_histories.refuses(url, "TRUNCATE alert_log")
    assert old_histories.refuses(url, "TRUNCATE decisions")


def test_a_new_history_is_what_the_tables_say(tmp_path: Path, address: Callable[[Path], str]) -> None:  # noqa: F811
    History.open(address(tmp_path)).close()
    assert old_histories.differences(address(tmp_path)) == []


def test_many_at_once_do_it_once(tmp_path: Path, address: Callable[[Path], str]) -> None:  # noqa: F811
    url = address(tmp_path)
    old_histories.make(url, FILES[0])
    before = old_histories.contents(url)
    assert at_once(lambda: History.open(url).close()) == []
    old_histories.check(url, before)


def test_a_kill_leaves_the_old_history_or_the_new(tmp_path: Path, address: Callable[[Path], str]) -> None:  # noqa: F811
    url, left = address(tmp_path), []
    file = next(file for file in FILES if old_histories.number(file) == 6)
    old_histories.make(url, file, runs=40, verdicts=4000)
    tables = old_histories.tables(url)
    for found in killed(url, 8):
        left.append(found)
        assert old_histories.tables(url) - tables == ({"worst", "evidence"} if found == 8 else set())
    assert left == sorted(left)
    History.open(url).close()
    assert old_histories.differences(url) == []
    assert len(old_histories.contents(url)["worst"]) == 80
