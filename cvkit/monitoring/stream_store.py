"""How the state of a stream of evidence is stored: its windows as one table of numbers.

A year of windows as JSON takes 170 kB a stream, and most of the time of a day with a hundred cameras; so 70 kB and a
fifth of it. What is no such table, as in histories of before, is stored and read as it is.
"""

from __future__ import annotations

import base64
import gc
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from cvkit.stats.arrays import Floats

State = dict[str, Any]  # of one stream, as `cvkit.monitoring.alarms` has it
MOMENTS = ("start", "onset", "first", "last")
NUMBERS = ("log_sum", "effect", "evidence")
UNKNOWN = ("p", "size", "gradual")  # numbers that may be None
PARTS = ("values", "weights")  # numbers of each signal, which may be None too
KEYS = {*MOMENTS, *NUMBERS, *UNKNOWN, *PARTS, "at_once", "left_out"}


def packed(state: State) -> State:
    """A state as it is stored; `unpacked` gives back what is equal to it."""
    entries = state.get("windows", [])
    shape = [len(part) for part in entries[0].get("values", [])] if entries else []
    if not entries or any(not _fits(entry, shape) for entry in entries):
        return state
    moments = sorted({entry[name] for entry in entries for name in MOMENTS})
    place = {moment: number for number, moment in enumerate(moments)}
    rows = [
        [*(place[entry[name]] for name in MOMENTS), *(entry[name] for name in (*NUMBERS, *UNKNOWN)), entry["at_once"],
         *(value for name in PARTS for part in entry[name] for value in part)] for entry in entries
    ]  # fmt: skip
    table = np.array(rows, dtype="<f8")
    told = {"moments": moments, "shape": shape, "left_out": _changes([entry["left_out"] for entry in entries])}
    return {**state, "windows": {**told, "table": base64.b64encode(table.tobytes()).decode()}}


def unpacked(stored: State) -> State:
    """The state that was stored."""
    known = stored.get("windows", [])
    if isinstance(known, list):
        return stored
    moments, shape = known["moments"], known["shape"]
    columns = len(MOMENTS) + len(NUMBERS) + len(UNKNOWN) + 1 + len(PARTS) * sum(shape)
    table: Floats = np.frombuffer(base64.b64decode(known["table"]), dtype="<f8").reshape(-1, columns)
    left_out = _spread(known["left_out"], len(table))
    missing: Any = np.isnan(table).any(axis=1)
    ends = list(itertools.accumulate([*shape, *shape], initial=columns - len(PARTS) * sum(shape)))
    cuts = list(itertools.pairwise(ends))
    entries = []
    for row, lacks, out in zip(table.tolist(), missing, left_out, strict=True):
        told = [None if value != value else value for value in row] if lacks else row
        start, onset, first, last = (moments[int(number)] for number in row[:4])
        parts = [told[begin:end] for begin, end in cuts]
        entries.append({
            "start": start, "values": parts[: len(shape)], "weights": parts[len(shape) :], "p": told[7],
            "size": told[8], "log_sum": row[4], "effect": row[5], "onset": onset, "first": first, "last": last,
            "at_once": bool(row[10]), "gradual": told[9], "left_out": out, "evidence": row[6],
        })  # fmt: skip
    return {**stored, "windows": entries}


@contextmanager
def many() -> Iterator[None]:
    """While many states are read: their small lists all stay, and the collector would look at them time and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _fits(entry: dict[str, Any], shape: list[int]) -> bool:
    return entry.keys() == KEYS and all([len(part) for part in entry[name]] == shape for name in PARTS)


def _changes(values: Sequence[Any]) -> list[tuple[int, Any]]:
    """Each value that is another than the one before it, with its place."""
    return [(place, value) for place, value in enumerate(values) if place == 0 or value != values[place - 1]]


def _spread(changes: Sequence[Sequence[Any]], count: int) -> list[Any]:
    ends = [*(place for place, _ in changes[1:]), count]
    return [value for (place, value), end in zip(changes, ends, strict=True) for _ in range(place, end)]
