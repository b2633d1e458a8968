"""The windows of a stream of evidence: read as entries, kept and stored as one table of numbers.

A year of windows as JSON takes 170 kB a stream, and reading it most of the time of a day with a hundred cameras.
"""

from __future__ import annotations

import base64
import bisect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from cvkit.stats.arrays import Floats

Entry = dict[str, Any]
State = dict[str, Any]  # of one stream, as `cvkit.monitoring.alarms` has it

MOMENTS = ("start", "onset", "first", "last")  # ISO; numbers of `moments` in the table
NUMBERS = ("log_sum", "effect", "evidence")
UNKNOWN = ("p", "size", "gradual")  # numbers that may be None
HEAD = (*MOMENTS, *NUMBERS, *UNKNOWN, "at_once")
PLACE = {name: place for place, name in enumerate(HEAD)}


class Entries(Sequence[Entry]):
    """Entries in the order of their `start`. What is asked of one is a copy; `put` and `tell` change the table."""

    __slots__ = ("_numbers", "left_out", "moments", "shape", "starts", "table")

    def __init__(
        self, shape: Sequence[int], moments: list[str], table: Floats, left_out: list[Any],
        starts: list[str] | None = None,
    ) -> None:  # fmt: skip
        self.shape = tuple(shape)  # values of each signal of a window
        self.moments = moments
        self.table = table  # (windows, HEAD, then the signals' values, then their weights)
        self.left_out = left_out
        self.starts = [moments[int(number)] for number in table[:, 0].tolist()] if starts is None else starts
        self._numbers: dict[str, int] = {}

    @classmethod
    def of(cls, shape: Sequence[int], entries: Sequence[Mapping[str, Any]]) -> Entries:
        """Entries given one by one, in order; what one does not say is not known yet."""
        made = cls(shape, [], np.empty((0, len(HEAD) + 2 * sum(shape))), [])
        for entry in entries:
            made.put(entry)
        return made

    # -- one by one ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entries) and (self.shape, self.starts) == (other.shape, other.starts) and (
            np.array_equal(self.table[:, len(MOMENTS) :], other.table[:, len(MOMENTS) :], equal_nan=True)
            and self.left_out == other.left_out
            and all(self._moments(name) == other._moments(name) for name in MOMENTS[1:])
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> Entries: ...
    def __getitem__(self, place: int | slice) -> Entry | Entries:
        if isinstance(place, slice):
            return Entries(self.shape, self.moments, self.table[place], self.left_out[place], self.starts[place])
        row = self.table[place].tolist()
        told: Entry = {name: _known(row[PLACE[name]]) for name in UNKNOWN}
        told |= {name: row[PLACE[name]] for name in NUMBERS}
        told |= {name: self._moment(row[PLACE[name]]) for name in MOMENTS}
        values, weights = (self._parts(row, first) for first in (len(HEAD), len(HEAD) + sum(self.shape)))
        more = {"values": values, "weights": weights, "at_once": row[PLACE["at_once"]] == 1}
        return {**told, **more, "left_out": self.left_out[place]}

    def __iter__(self) -> Iterator[Entry]:
        return (self[place] for place in range(len(self)))

    def find(self, start: str) -> int | None:
        """The place of the window that begins then, if there is one."""
        place = bisect.bisect_left(self.starts, start)
        return place if place < len(self.starts) and self.starts[place] == start else None

    # -- columns ------------------------------------------------------------------------------------------------------

    def column(self, name: str) -> Floats:
        """A number of all entries (windows,); NaN where it is not known."""
        return self.table[:, PLACE[name]]

    @property
    def values(self) -> Floats:
        """The statistics of all signals (windows, sum of `shape`), NaN where there is none."""
        return self.table[:, len(HEAD) : len(HEAD) + sum(self.shape)]

    @property
    def weights(self) -> Floats:
        """What each of them tells (windows, sum of `shape`)."""
        return self.table[:, len(HEAD) + sum(self.shape) :]

    def chosen(self, which: NDArray[np.bool_]) -> Entries:
        """Those of the entries."""
        return Entries(self.shape, self.moments, self.table[which], list(itertools.compress(self.left_out, which)))

    # -- changes ------------------------------------------------------------------------------------------------------

    def copy(self) -> Entries:
        """One that can be changed while this stays as it is."""
        return Entries(self.shape, list(self.moments), self.table.copy(), list(self.left_out), list(self.starts))

    def put(self, entry: Mapping[str, Any]) -> None:
        """Put an entry into its place, in place of one of the same start; what it does not say is not known yet."""
        row = np.full((1, self.table.shape[1]), math.nan)
        row[0, 0] = self._number(entry["start"])
        row[0, len(HEAD) + sum(self.shape) :] = 0.0  # a value that is not known tells nothing
        for name, first in (("values", len(HEAD)), ("weights", len(HEAD) + sum(self.shape))):
            told = [math.nan if value is None else value for part in entry.get(name, ()) for value in part]
            if len(told) == sum(self.shape):
                row[0, first : first + len(told)] = told
        place = bisect.bisect_left(self.starts, entry["start"])
        if self.find(entry["start"]) is None:
            self.table = np.concatenate([self.table[:place], row, self.table[place:]])
            self.starts.insert(place, entry["start"])
            self.left_out.insert(place, None)
        else:
            self.table[place], self.left_out[place] = row, None
        self.tell(place, {name: value for name, value in entry.items() if name not in ("start", "values", "weights")})

    def remove(self, start: str) -> None:
        """Take out the entry that begins then, if there is one."""
        if (place := self.find(start)) is not None:
            self.table = np.delete(self.table, place, axis=0)
            del self.starts[place], self.left_out[place]

    def tell(self, place: int, told: Mapping[str, Any]) -> None:
        """Say more of an entry, by the names of HEAD, and `left_out`."""
        for name, value in told.items():
            if name == "left_out":
                self.left_out[place] = value
            elif name in MOMENTS:
                self.table[place, PLACE[name]] = self._number(value)
            else:
                self.table[place, PLACE[name]] = math.nan if value is None else value

    def last(self, most: int) -> Entries:
        """The newest `most`, with no moment that none of them names."""
        if len(self) <= most:
            return self
        return Entries.stored(self[-most:].to_store()).copy()

    # -- storing ------------------------------------------------------------------------------------------------------

    def to_store(self) -> dict[str, Any]:
        """As JSON holds it: the table as it is in memory, little-endian, in base64."""
        named = self.table[:, : len(MOMENTS)]
        used = np.unique(named[~np.isnan(named)]).astype(int).tolist()
        moments = sorted(self.moments[number] for number in used)
        table = self.table.astype("<f8")
        if moments != self.moments:
            number = {moment: place for place, moment in enumerate(moments)}
            places = np.array([*(number.get(moment, -1) for moment in self.moments), math.nan])
            table[:, : len(MOMENTS)] = places[np.nan_to_num(named, nan=-1).astype(int)]
        told = {"moments": moments, "shape": list(self.shape), "left_out": _changes(self.left_out)}
        return {**told, "table": base64.b64encode(table.tobytes()).decode()}

    @classmethod
    def stored(cls, known: Mapping[str, Any]) -> Entries:
        """What was stored."""
        columns = len(HEAD) + 2 * sum(known["shape"])
        table: Floats = np.frombuffer(base64.b64decode(known["table"]), dtype="<f8").reshape(-1, columns)
        return cls(known["shape"], list(known["moments"]), table, _spread(known["left_out"], len(table)))

    # -- moments ------------------------------------------------------------------------------------------------------

    def _number(self, moment: str) -> int:
        if len(self._numbers) != len(self.moments):
            self._numbers = {one: number for number, one in enumerate(self.moments)}
        if moment not in self._numbers:
            self._numbers[moment] = len(self.moments)
            self.moments.append(moment)
        return self._numbers[moment]

    def _moment(self, number: float) -> str:
        return "" if math.isnan(number) else self.moments[int(number)]

    def _moments(self, name: str) -> list[str]:
        return [self._moment(number) for number in self.column(name).tolist()]

    def _parts(self, row: list[float], first: int) -> list[list[float | None]]:
        ends = list(itertools.accumulate(self.shape, initial=first))
        return [[_known(value) for value in row[begin:end]] for begin, end in itertools.pairwise(ends)]


def packed(state: State) -> State:
    """A state as it is stored; `unpacked` gives back what is equal to it."""
    return {**state, "windows": state["windows"].to_store()}


def unpacked(stored: State) -> State:
    """The state that was stored; those of before were lists of entries."""
    known = stored["windows"]
    if isinstance(known, list):
        return {**stored, "windows": Entries.of([len(part) for part in stored["spreads"]], known)}
    return {**stored, "windows": Entries.stored(known)}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _changes(values: Sequence[Any]) -> list[tuple[int, Any]]:
    """Each value that is another than the one before it, with its place."""
    return [(place, value) for place, value in enumerate(values) if place == 0 or value != values[place - 1]]


def _spread(changes: Sequence[Sequence[Any]], count: int) -> list[Any]:
    ends = [*(place for place, _ in changes[1:]), count][: len(changes)]
    return [value for (place, value), end in zip(changes, ends, strict=True) for _ in range(place, end)]
