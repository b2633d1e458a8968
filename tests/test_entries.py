"""Entries of a stream of evidence: what is put in comes out, one by one and from the store, and takes little room."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from cvkit.monitoring.entries import Entries, packed, unpacked

FINITE = st.floats(allow_nan=False, allow_infinity=False)
UNKNOWN = st.none() | FINITE
MOMENT = st.datetimes().map(lambda moment: moment.isoformat() + "+00:00")


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


def state(entries: Entries) -> dict[str, Any]:
    return {"kind": "values", "weights": [1.0], "spreads": [], "windows": entries, "episodes": [{"raised": "x"}]}


def shown(entries: Entries) -> str:
    return json.dumps(list(entries), sort_keys=True)


@given(windows(), st.data())
def test_what_is_put_in_comes_out(given_: tuple[list[int], list[dict[str, Any]]], data: Any) -> None:
    shape, entries = given_
    made = Entries.of(shape, data.draw(st.permutations(entries)))  # in whatever order they come
    assert shown(made) == json.dumps(entries, sort_keys=True)
    stored = json.loads(json.dumps(packed(state(made))))
    back = unpacked(stored)
    assert back["windows"] == made
    assert shown(back["windows"]) == shown(made)
    assert {**back, "windows": 0} == {**state(made), "windows": 0}
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


def test_a_history_of_before_is_read_and_what_it_lacks_is_not_known() -> None:
    entry = {"start": "2026-01-01", "values": [[1.0, None]], "weights": [[0.5, 0.0]], "p": None, "size": None,
             "log_sum": 2.0, "effect": 1.0, "evidence": 0.5, "onset": "2026-01-01", "first": "2026-01-01",
             "last": "2026-01-01", "at_once": False, "gradual": None, "left_out": []}  # fmt: skip
    spreads = [[[0.0] * 6, [0.0] * 6]]
    (found,) = unpacked({"spreads": spreads, "windows": [entry]})["windows"]
    assert found == entry
    (odd,) = unpacked({"spreads": spreads, "windows": [{"start": "2026-01-01", "values": [[1.0]]}]})["windows"]
    assert odd["values"] == [[None, None]]
    assert odd["weights"] == [[0.0, 0.0]]
    assert odd["log_sum"] != odd["log_sum"]  # NaN


def test_a_year_takes_less_than_half() -> None:
    entry = {
        **dict.fromkeys(("start", "onset", "first", "last"), "2026-01-01T00:00:00+00:00"),
        **dict.fromkeys(("log_sum", "effect", "evidence", "p", "size", "gradual"), math.pi),
        "values": [[math.e, math.pi]] * 2, "weights": [[1 / 3, 1 / 7]] * 2, "at_once": False, "left_out": [],
    }  # fmt: skip
    year = [{**entry, "start": f"2026-{n:05d}T00:00:00+00:00"} for n in range(365)]
    assert len(json.dumps(Entries.of([2, 2], year).to_store())) < 0.5 * len(json.dumps(year))
