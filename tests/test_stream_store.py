"""Streams in the history: what is put in comes out, and a day writes its own windows alone."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis import given
from stored_streams import WHOSE, store, through
from test_entries import windows

from cvkit.errors import StorageError
from cvkit.monitoring import stream_store
from cvkit.monitoring.entries import Entries
from cvkit.monitoring.schema import EVIDENCE

FIRST = datetime(2026, 10, 1, tzinfo=UTC)


def start(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def entry(number: int, value: float, left_out: Any = ()) -> dict[str, Any]:
    return {
        **dict.fromkeys(("start", "onset", "first", "last"), start(number)),
        **dict.fromkeys(("log_sum", "effect", "evidence"), value), **dict.fromkeys(("p", "size", "gradual"), None),
        "values": [[value, None]], "weights": [[1.0, 0.0]], "at_once": False, "left_out": list(left_out),
    }  # fmt: skip


def stream(numbers: Any, value: float = 1.0) -> dict[str, Any]:
    made = Entries.of([2], [entry(number, value + number) for number in numbers])
    return {"kind": "values", "weights": [1.0], "spreads": [[[0.0] * 6] * 2], "windows": made, "episodes": []}


def rows(connection: sa.Connection) -> dict[str, Any]:
    """Of each window the number under which the database keeps it."""
    found = connection.execute(sa.select(EVIDENCE.c.window_start, sa.text("rowid"))).all()
    return {moment.isoformat(): place for moment, place in found}


@given(st.lists(windows(), max_size=4))
def test_what_is_put_in_comes_out(given_: list[tuple[list[int], list[dict[str, Any]]]]) -> None:
    streams = {}
    for number, (shape, entries) in enumerate(given_):
        state = {"kind": "values", "weights": [], "spreads": [], "episodes": [{"raised": "x"}]}
        streams[f"cam-{number % 2}", f"feature {number}"] = {**state, "windows": Entries.of(shape, entries)}
    with store() as connection:
        assert through(connection, streams) == streams
        alone = stream_store.read(connection, WHOSE, source="cam-1")
    assert alone == {key: state for key, state in streams.items() if key[0] == "cam-1"}


@given(st.data())
def test_windows_from_some_day_on_are_written_and_it_is_as_if_all_were(data: Any) -> None:
    days = st.sets(st.integers(0, 9), min_size=1)
    streams = {(f"cam-{number // 2}", f"feature-{number}"): stream(data.draw(days)) for number in range(4)}
    since = data.draw(st.integers(0, 9))
    with store() as connection:
        through(connection, streams)
        changed = copy.deepcopy(streams)
        for state in changed.values():
            for number in range(since, 10):
                state["windows"].remove(start(number))
                if data.draw(st.booleans()):
                    past = data.draw(st.sampled_from([[], [["a", "b"]]]))
                    state["windows"].put(entry(number, data.draw(st.floats(-9, 9)), past))
            state["windows"] = state["windows"].last(data.draw(st.integers(1, 9)))
        changed["cam-1", "new"] = stream([since])
        assert through(connection, changed, FIRST + timedelta(days=since)) == changed
        assert through(connection, changed) == changed


def test_what_was_found_is_read_of_the_newest_windows_alone_where_no_more_is_asked_for() -> None:
    streams = {("cam", "noise"): stream(range(9)), ("cam", "f1"): stream([1, 4, 7])}
    streams["cam", "noise"]["windows"].tell(7, {"left_out": [["a", "b"]]})
    with store() as connection:
        through(connection, streams)
        for since, known in ((0, 9), (6, 3), (9, 0)):
            found = stream_store.read(connection, WHOSE, since=FIRST + timedelta(days=since))
            windows = found["cam", "noise"]["windows"]
            assert [windows.known(place) for place in range(9)] == [place >= 9 - known for place in range(9)]
            assert [windows.known(place) for place in range(9)] == [past is not None for past in windows.left_out]
            assert [windows[place] for place in range(9 - known, 9)] == list(
                streams["cam", "noise"]["windows"][9 - known :]
            )
            told = [[{name: one[name] for name in ("start", "p", "size", "values", "weights")} for one in entries]
                    for entries in (windows, streams["cam", "noise"]["windows"])]  # fmt: skip
            assert told[0] == told[1]
            assert [found["cam", "f1"]["windows"].known(place) for place in range(3)] == [
                number >= since for number in (1, 4, 7)
            ]


def test_what_was_found_before_a_row_that_is_gone_is_as_if_nobody_knew() -> None:
    with store() as connection:
        through(connection, {("cam", "noise"): stream(range(5)), ("cam", "f1"): stream([0, 1, 4])})
        connection.execute(EVIDENCE.delete().where(EVIDENCE.c.window_start == FIRST + timedelta(days=2)))
        found = stream_store.read(connection, WHOSE)
    noise, f1 = (found["cam", feature]["windows"] for feature in ("noise", "f1"))
    assert [noise.known(place) for place in range(5)] == [False, False, False, True, True]
    assert noise.left_out == [None, None, None, [], []]
    assert [f1.known(place) for place in range(3)] == [True, True, True]
    assert len(noise) == 5


def test_a_day_writes_its_own_window_alone() -> None:
    with store() as connection:
        through(connection, {("cam", "noise"): stream(range(30)), ("cam", "f1"): stream(range(5, 30))})
        before = rows(connection)
        through(connection, {("cam", "noise"): stream(range(2, 31)), ("cam", "f1"): stream(range(5, 31))},
                FIRST + timedelta(days=30))  # fmt: skip
        after = rows(connection)
    assert set(after) == {start(number) for number in range(2, 31)}  # and what no stream keeps is gone
    assert all(after[moment] == before[moment] for moment in set(after) & set(before))


def test_other_references_and_versions_are_left_alone() -> None:
    with store() as connection:
        other = {**WHOSE, "reference_id": "another"}
        stream_store.replace(connection, other, {("cam", "noise"): stream([1])}, None)
        through(connection, {("cam", "noise"): stream([2])})
        through(connection, {})
        assert stream_store.read(connection, WHOSE) == {}
        assert stream_store.read(connection, other) == {("cam", "noise"): stream([1])}


@pytest.mark.parametrize("name", ["caf\udce9", "a\0b", "%", "naïve 🎥"])
def test_names_that_no_database_holds(name: str) -> None:
    with store() as connection:
        found = through(connection, {(name, name): stream([1, 2])})
    assert list(found.values()) == [stream([1, 2])]


@pytest.mark.parametrize("harm", [
    "UPDATE told SET numbers = x'0011223344'", "UPDATE told SET features = '{\"bri'", "UPDATE told SET features = '7'",
    """UPDATE told SET features = '{"noise": 3, "f1": 9}' WHERE window_start < '2026-10-03'""",
    "UPDATE evidence SET numbers = x'0011223344'", "UPDATE evidence SET numbers = 'hello'",
    "UPDATE evidence SET left_out = 'zzz'", "UPDATE evidence SET features = '{\"bri'",
    "UPDATE evidence SET features = '7'",
    """UPDATE evidence SET features = '{"noise": 99999999}'""", """UPDATE evidence SET features = '{"noise": 1}'""",
    """UPDATE streams SET state = '{"kind": 5}'""", "UPDATE streams SET state = '[]'",
])  # fmt: skip
def test_a_damaged_row_is_told(harm: str) -> None:
    with store() as connection:
        through(connection, {("cam", "noise"): stream(range(3)), ("cam", "f1"): stream(range(2))})
        connection.exec_driver_sql(harm)
        with pytest.raises(StorageError, match="evidence in the history is damaged"):
            stream_store.read(connection, WHOSE)
