"""States of evidence: what is stored is what there was."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from cvkit.monitoring.stream_store import packed, unpacked

FINITE = st.floats(allow_nan=False, allow_infinity=False)
UNKNOWN = st.none() | FINITE
MOMENT = st.datetimes().map(lambda moment: moment.isoformat() + "+00:00")


@st.composite
def states(draw: Any) -> dict[str, Any]:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))

    def entry() -> dict[str, Any]:
        def parts() -> list[list[float | None]]:
            return [[draw(UNKNOWN) for _ in range(length)] for length in shape]

        return {
            **{name: draw(MOMENT) for name in ("start", "onset", "first", "last")},
            **{name: draw(FINITE) for name in ("log_sum", "effect", "evidence")},
            **{name: draw(UNKNOWN) for name in ("p", "size", "gradual")},
            "values": parts(), "weights": parts(), "at_once": draw(st.booleans()),
            "left_out": draw(st.sampled_from(([], [["a", "b"]], [["a", "b"], ["c", "d"]]))),
        }  # fmt: skip

    windows = [entry() for _ in range(draw(st.integers(0, 5)))]
    return {"kind": "values", "weights": [1.0], "spreads": [], "windows": windows, "episodes": [{"raised": "x"}]}


@given(states())
def test_a_state_comes_back_as_it_was(state: dict[str, Any]) -> None:
    stored = json.loads(json.dumps(packed(state)))
    assert json.dumps(unpacked(stored), sort_keys=True) == json.dumps(state, sort_keys=True)
    assert isinstance(stored["windows"], dict) == bool(state["windows"])


@pytest.mark.parametrize("change", [{"more": 1}, {"values": [[1.0, 2.0]]}, {"p": "drop"}])
def test_what_is_no_table_is_stored_as_it_is(change: dict[str, Any]) -> None:
    entry = {
        **dict.fromkeys(("start", "onset", "first", "last"), "2026-01-01"),
        **dict.fromkeys(("log_sum", "effect", "evidence", "p", "size", "gradual"), 1.0),
        "values": [[1.0]], "weights": [[1.0]], "at_once": False, "left_out": [],
    }  # fmt: skip
    other = {name: value for name, value in (entry | change).items() if value != "drop"}
    state = {"windows": [entry, other]}
    assert packed(state) is state
    assert unpacked(state) is state


def test_a_year_takes_less_than_half() -> None:
    entry = {
        **dict.fromkeys(("start", "onset", "first", "last"), "2026-01-01T00:00:00+00:00"),
        **dict.fromkeys(("log_sum", "effect", "evidence", "p", "size", "gradual"), math.pi),
        "values": [[math.e, math.pi]] * 2, "weights": [[1 / 3, 1 / 7]] * 2, "at_once": False, "left_out": [],
    }  # fmt: skip
    windows = [{**entry, "start": f"2026-{n:05d}T00:00:00+00:00"} for n in range(365)]
    assert len(json.dumps(packed({"windows": windows}))) < 0.5 * len(json.dumps({"windows": windows}))
