"""The windows of a stream of evidence: read as entries, kept and stored as rows of numbers.

As JSON a year of windows takes 170 kB a stream, and reading it most of the time of a day with a hundred cameras.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from cvkit.stats.arrays import Floats

Entry = dict[str, Any]
State = dict[str, Any]  # of one stream, as `cvkit.monitoring.alarms` has it

TOLD = ("p", "size")  # what a window tells beside its signals; None where it does not
MOMENTS = ("onset", "first", "last")  # ISO; seconds since 1970 in the table, exact until 2242
NUMBERS = ("log_sum", "effect", "evidence")
FOUND = (*MOMENTS, *NUMBERS, "gradual", "at_once")  # after a window, in the light of those before it
PLACE = {name: place for place, name in enumerate(FOUND)}


class Entries(Sequence[Entry]):
    """Entries in the order of their `start`. What is asked of one is a copy; `put` and `tell` change the tables.

    What a window told is one thing; what was found after it another, and may not be known of the older ones. A slice
    shows the numbers of the tables it was cut from, also those told later.
    """

    __slots__ = ("_shared", "found", "left_out", "shape", "starts", "table")

    def __init__(
        self, shape: Sequence[int], table: Floats, found: Floats, left_out: list[Any], starts: list[str]
    ) -> None:  # fmt: skip
        self.shape = tuple(shape)  # values of each signal of a window
        self.table = table  # (windows, TOLD, then the signals' values, then their weights)
        self.found = found  # (newest windows, FOUND), NaN where it is not known
        self.left_out = left_out  # of each window the episodes that were left out when this was found; None: not known
        self.starts = starts
        self._shared = True  # whether others may look at the same tables and lists

    @classmethod
    def of(cls, shape: Sequence[int], entries: Sequence[Mapping[str, Any]]) -> Entries:
        """Entries given one by one, in order; what one does not say is not known yet."""
        made = cls(shape, np.empty((0, width(shape))), np.empty((0, len(FOUND))), [], [])
        for entry in entries:
            made.put(entry)
        return made

    # -- one by one ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entries) and (self.shape, self.starts) == (other.shape, other.starts) and (
            np.array_equal(self.table, other.table, equal_nan=True) and self.left_out == other.left_out
            and np.array_equal(self.found, other.found, equal_nan=True)
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> Entries: ...
    def __getitem__(self, place: int | slice) -> Entry | Entries:
        if isinstance(place, slice):
            first, end, _ = place.indices(len(self))
            found = self.found[max(0, first - self._unknown) : max(0, end - self._unknown)]
            return Entries(self.shape, self.table[place], found, self.left_out[place], self.starts[place])
        place = range(len(self))[place]
        row = self.table[place].tolist()
        values, weights = (self._parts(row, first) for first in (len(TOLD), len(TOLD) + sum(self.shape)))
        return {**self.head(place), "values": values, "weights": weights, "left_out": self.left_out[place]}

    def head(self, place: int) -> Entry:
        """An entry without the values, their weights and what was left out, which take longest."""
        row = self.found[place - self._unknown].tolist() if place >= self._unknown else [math.nan] * len(FOUND)
        told: Entry = {name: _known(value) for name, value in zip(TOLD, self.table[place].tolist(), strict=False)}
        told |= {name: moment(row[PLACE[name]]) for name in MOMENTS} | {name: row[PLACE[name]] for name in NUMBERS}
        known = {"gradual": _known(row[PLACE["gradual"]]), "at_once": row[PLACE["at_once"]] == 1}
        return {"start": self.starts[place], **told, **known}

    def __iter__(self) -> Iterator[Entry]:
        return (self[place] for place in range(len(self)))

    def find(self, start: str) -> int | None:
        """The place of the window that begins then, if there is one."""
        place = bisect.bisect_left(self.starts, start)
        return place if place < len(self.starts) and self.starts[place] == start else None

    def known(self, place: int) -> bool:
        """Whether it is known what was found after a window."""
        return place >= self._unknown and not math.isnan(self.found[place - self._unknown, PLACE["evidence"]])

    # -- columns ------------------------------------------------------------------------------------------------------

    @property
    def log_sums(self) -> Floats:
        """The evidence after each window (windows,); NaN where it is not known."""
        return np.concatenate([np.full(self._unknown, math.nan), self.found[:, PLACE["log_sum"]]])

    @property
    def values(self) -> Floats:
        """The statistics of all signals (windows, sum of `shape`), NaN where there is none."""
        return self.table[:, len(TOLD) : len(TOLD) + sum(self.shape)]

    @property
    def weights(self) -> Floats:
        """What each of them tells (windows, sum of `shape`)."""
        return self.table[:, len(TOLD) + sum(self.shape) :]

    def chosen(self, which: NDArray[np.bool_]) -> Entries:
        """Those of the entries."""
        left_out, starts = (list(itertools.compress(every, which)) for every in (self.left_out, self.starts))
        return Entries(self.shape, self.table[which], self.found[which[self._unknown :]], left_out, starts)

    # -- changes ------------------------------------------------------------------------------------------------------

    def copy(self) -> Entries:
        """One that can be changed while this stays as it is, and the other way round; nothing is copied before that."""
        self._shared = True
        return Entries(self.shape, self.table, self.found, self.left_out, self.starts)

    def put(self, entry: Mapping[str, Any]) -> None:
        """Put an entry into its place, in place of one of the same start; what it does not say is not known yet."""
        row = np.full((1, self.table.shape[1]), math.nan)
        row[0, : len(TOLD)] = [math.nan if entry.get(name) is None else entry[name] for name in TOLD]
        row[0, len(TOLD) + sum(self.shape) :] = 0.0  # a value that is not known tells nothing
        for name, first in (("values", len(TOLD)), ("weights", len(TOLD) + sum(self.shape))):
            told = [math.nan if value is None else value for part in entry.get(name, ()) for value in part]
            if len(told) == sum(self.shape):
                row[0, first : first + len(told)] = told
        place = bisect.bisect_left(self.starts, entry["start"])
        after = place if self.find(entry["start"]) is None else place + 1
        self._replace(place, after, row, [entry["start"]])
        self.tell(place, {name: entry[name] for name in (*FOUND, "left_out") if name in entry})

    def remove(self, start: str) -> None:
        """Take out the entry that begins then, if there is one."""
        if (place := self.find(start)) is not None:
            self._replace(place, place + 1, self.table[:0], [])

    def _replace(self, first: int, end: int, rows: Floats, starts: list[str]) -> None:
        after, later = (max(0, place - self._unknown) for place in (first, end))
        nothing = np.full((len(starts) if first >= self._unknown else 0, len(FOUND)), math.nan)
        self.found = np.concatenate([self.found[:after], nothing, self.found[later:]])
        self.table = np.concatenate([self.table[:first], rows, self.table[end:]])
        self.starts = [*self.starts[:first], *starts, *self.starts[end:]]
        self.left_out = [*self.left_out[:first], *([None] * len(starts)), *self.left_out[end:]]
        self._shared = False

    def tell(self, place: int, told: Mapping[str, Any]) -> None:
        """Say what was found after a window, or more of it, by the names of FOUND, and `left_out`."""
        if self._shared or place < self._unknown:
            nothing = np.full((max(0, self._unknown - place), len(FOUND)), math.nan)
            self.found, self.left_out, self._shared = np.concatenate([nothing, self.found]), [*self.left_out], False
        row = self.found[place - self._unknown]
        for name, value in told.items():
            if name == "left_out":
                self.left_out[place] = value
            elif name in MOMENTS:
                row[PLACE[name]] = _seconds(value)
            else:
                row[PLACE[name]] = math.nan if value is None else value

    def last(self, most: int) -> Entries:
        """The newest `most`."""
        return self if len(self) <= most else self[-most:]

    @property
    def _unknown(self) -> int:
        """How many windows there are before the first of which it may be known what was found."""
        return len(self.starts) - len(self.found)

    def _parts(self, row: list[float], first: int) -> list[list[float | None]]:
        ends = list(itertools.accumulate(self.shape, initial=first))
        return [[_known(value) for value in row[begin:end]] for begin, end in itertools.pairwise(ends)]


def width(shape: Sequence[int]) -> int:
    """Numbers that a window tells."""
    return len(TOLD) + 2 * sum(shape)


@functools.lru_cache(100_000)
def moment(seconds: float) -> str:
    """A time in seconds since 1970 as ISO has it, in UTC; "" of NaN."""
    return "" if math.isnan(seconds) else datetime.fromtimestamp(seconds, UTC).isoformat()


@functools.lru_cache(100_000)
def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
