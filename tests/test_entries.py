"""Entries of a stream of evidence: what is put in comes out, one by one, and takes little room."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
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
    assert first.column("log_sum").tolist() == [5.0, 0.0]
    assert second.column("log_sum").tolist() == [0.0, 7.0]
    assert (first.left_out, second.left_out) == ([[["a", "b"]], None], [None, None])


def test_a_year_takes_little() -> None:
    year = Entries.of([2, 2], [{"start": (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)).isoformat()}
                               for day in range(365)])  # fmt: skip
    assert year.table.nbytes < 60_000
