"""Entries of a stream of evidence: what is put in comes out, one by one, and takes little room."""

from __future__ import annotations

import bisect
import itertools
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from cvkit.monitoring.entries import Entries

FINITE = st.floats(allow_nan=False, allow_infinity=False)
UNKNOWN = st.none() | FINITE
MOMENT = st.datetimes(datetime(1900, 1, 1), datetime(2242, 1, 1)).map(lambda moment: moment.isoformat() + "+00:00")


@st.composite
def windows(draw: Any) -> tuple[list[int], list[dict[str, Any]]]:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))

    def entry(start: str) -> dict[str, Any]:
        def parts() -> list[list[float | None]]:
            return [[draw(UNKNOWN) for _ in range(length)] for length in shape]

        return {
            "start": start, **{name: draw(MOMENT) for name in ("onset", "first", "last")},
            **{name: draw(FINITE) for name in ("log_sum", "effect", "evidence")},
            **{name: draw(UNKNOWN) for name in ("p", "size", "gradual")},
            "values": parts(), "weights": parts(), "at_once": draw(st.booleans()),
            "left_out": draw(st.sampled_from(([], [["a", "b"]], [["a", "b"], ["c", "d"]]))),
        }  # fmt: skip

    return shape, [entry(start) for start in sorted(draw(st.sets(MOMENT, max_size=5)))]


def shown(entries: Entries) -> str:
    return json.dumps(list(entries), sort_keys=True)


@given(windows(), st.data())
def test_what_is_put_in_comes_out(given_: tuple[list[int], list[dict[str, Any]]], data: Any) -> None:
    shape, entries = given_
    made = Entries.of(shape, data.draw(st.permutations(entries)))  # in whatever order they come
    assert shown(made) == json.dumps(entries, sort_keys=True)
    for place, entry in enumerate(entries):
        assert made.find(entry["start"]) == place
    for count in range(len(entries)):
        assert shown(made[: count + 1]) == json.dumps(entries[: count + 1], sort_keys=True)
        assert shown(made.last(count + 1)) == json.dumps(entries[-count - 1 :], sort_keys=True)


def forgotten(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of which nobody knows what was found."""
    numbers = dict.fromkeys(("log_sum", "effect", "evidence"), math.nan)
    moments = dict.fromkeys(("onset", "first", "last"), "")
    return {**entry, **numbers, **moments, "gradual": None, "at_once": False, "left_out": None}


def without(made: Entries, count: int) -> Entries:
    """Entries of the oldest of which it is not known what was found."""
    left_out = [None] * count + made.left_out[count:]
    return Entries(made.shape, made.table, made.found[count:], left_out, made.starts)


@given(windows(), st.data())
def test_what_was_found_may_not_be_known_of_the_older_ones(
    given_: tuple[list[int], list[dict[str, Any]]], data: Any
) -> None:
    shape, entries = given_
    whole, count = Entries.of(shape, entries), data.draw(st.integers(0, len(entries)))
    before = list(whole)
    made = without(whole, count)
    expected = [forgotten(entry) for entry in entries[:count]] + entries[count:]
    assert [made.known(place) for place in range(len(made))] == [place >= count for place in range(len(made))]
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.sampled_from([*(entry["start"] for entry in entries), "2000-01-01T00:00:00+00:00"]))
        place, change = bisect.bisect_left([one["start"] for one in expected], start), data.draw(st.integers(0, 4))
        there = place < len(expected) and expected[place]["start"] == start
        if change == 0:
            made.remove(start)
            expected[place : place + there] = []
        elif change == 1:
            parts = {name: [[0.5] * length for length in shape] for name in ("values", "weights")}
            made.put({"start": start, "p": 0.25, "size": None, **parts})
            expected[place : place + there] = [forgotten({"start": start, "p": 0.25, "size": None, **parts})]
        elif change == 2 and there:
            made.tell(place, {"log_sum": 7.0, "left_out": []})
            expected[place] = {**expected[place], "log_sum": 7.0, "left_out": []}
        elif change == 3:
            first, end = sorted((data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))))
            made, expected = made[first:end], expected[first:end]
        else:
            which = [data.draw(st.booleans()) for _ in expected]
            made, expected = made.chosen(np.array(which, dtype=bool)), list(itertools.compress(expected, which))
        assert shown(made) == json.dumps(expected, sort_keys=True)
        assert json.dumps(made.log_sums.tolist()) == json.dumps([one["log_sum"] for one in expected])
    assert json.dumps(list(whole)) == json.dumps(before)  # what it was made of is as it was


@given(windows())
def test_a_copy_is_changed_alone_and_its_entries_taken_back(given_: tuple[list[int], list[dict[str, Any]]]) -> None:
    shape, entries = given_
    made = Entries.of(shape, entries)
    other = made.copy()
    for entry in entries:
        other.remove(entry["start"])
    assert len(other) == 0
    assert shown(made) == json.dumps(entries, sort_keys=True)
    if entries:
        changed = made.copy()
        changed.tell(0, {"log_sum": 1e300, "left_out": [["x", "y"]]})
        assert changed != made
        changed.put(entries[0])
        assert changed == made


def test_what_an_entry_lacks_is_not_known() -> None:
    (odd,) = Entries.of([2], [{"start": "2026-01-01", "values": [[1.0]]}])  # of another shape
    assert odd["values"] == [[None, None]]
    assert odd["weights"] == [[0.0, 0.0]]
    assert odd["log_sum"] != odd["log_sum"]  # NaN
    assert odd["onset"] == ""


def test_a_copy_and_what_it_was_made_of_do_not_know_of_each_other() -> None:
    first = Entries.of([1], [{"start": f"2026-01-0{day}", "values": [[1.0]], "log_sum": 0.0} for day in (1, 2)])
    second = first.copy()
    first.tell(0, {"log_sum": 5.0, "left_out": [["a", "b"]]})
    second.tell(1, {"log_sum": 7.0})
    assert first.log_sums.tolist() == [5.0, 0.0]
    assert second.log_sums.tolist() == [0.0, 7.0]
    assert (first.left_out, second.left_out) == ([[["a", "b"]], None], [None, None])


def test_a_year_takes_little() -> None:
    year = Entries.of([2, 2], [{"start": (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)).isoformat()}
                               for day in range(365)])  # fmt: skip
    assert year.table.nbytes < 60_000
