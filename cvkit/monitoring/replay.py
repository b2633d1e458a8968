"""Replay: the alarms that the measured windows would have raised under other settings.

What a stream's windows say does not depend on the settings until an alarm ends, as the windows of past alarms are left
out of what follows. So everything is kept by what is left out, and worked out anew only where nobody asked before.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from cvkit.config import RuleSettings
from cvkit.monitoring import alarms
from cvkit.monitoring.alarms import Key
from cvkit.monitoring.entries import Entries, State
from cvkit.stats.arrays import Floats
from cvkit.stats.change import sequential
from cvkit.stats.change.sequential import Component

LeftOut = tuple[tuple[str, str], ...]  # onset of past episodes, and since when they were over
Episodes = list[dict[str, Any]]


class Replay:
    """Streams and what was found out about them so far; for any number of settings."""

    def __init__(self, states: Mapping[Key, State], window_length: timedelta) -> None:
        self._states, self._length = states, window_length
        self._starts = sorted({start for state in states.values() for start in state["windows"].starts})
        self._places = {start: number for number, start in enumerate(self._starts)}
        self._streams: dict[Key, _Stream] = {}

    @property
    def months(self) -> float:
        """How much time was measured."""
        return len(self._starts) * (self._length / timedelta(days=alarms.DAYS_A_YEAR / 12))

    def run(self, settings: RuleSettings) -> dict[Key, State]:
        """The `episodes` of each stream, had `settings` held from the first window on; without features they ignore."""
        steps = self.steps(settings)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]

    def steps(self, settings: RuleSettings) -> Generator[float, None, dict[Key, State]]:
        """As `run`, in steps of some milliseconds, so that it can be laid aside; each says the share that is done."""
        limit = alarms.limits(self._states, settings, self._length)
        limits = np.array([limit(start) for start in self._starts])
        found: dict[Key, State] = {}
        for number, (key, state) in enumerate(self._states.items()):
            if key[1] in settings.ignore:
                continue
            if key not in self._streams:
                self._streams[key] = _Stream(state, self._places)
                yield number / len(self._states)
            stream = self._streams[key]
            episodes = stream.episodes(limits[stream.places], settings.drift_warning)
            while True:
                try:
                    next(episodes)
                except StopIteration as done:
                    found[key] = {"episodes": done.value}
                    break
                yield number / len(self._states)
        return found


class _Stream:
    def __init__(self, state: State, place: Mapping[str, int]) -> None:
        self._state = state
        self._windows: Entries = state["windows"]
        self.places = np.array([place[start] for start in self._windows.starts], dtype=np.int64)
        self._sums: dict[LeftOut, Floats] = {}  # log of the evidence after each window; NaN where nobody asked yet
        self._parts: dict[LeftOut, tuple[dict[str, int], list[Component]]] = {}
        self._told: dict[tuple[LeftOut, int], dict[str, Any]] = {}
        self._ends: dict[tuple[LeftOut, int], tuple[int, str] | None] = {}
        sums = self._windows.log_sums
        for number, left_out in enumerate(self._windows.left_out):  # what was measured is a replay too
            self._sums_of(_key(left_out))[number] = sums[number]

    def episodes(self, limits: Floats, matters: float) -> Generator[None, None, Episodes]:
        """The alarms of the stream, with the limit of each window; yields whenever it has worked a while."""
        left_out: LeftOut = ()
        found: Episodes = []
        place: int | None = 0
        while place is not None:
            raised = yield from self._raised(left_out, place, limits, matters)
            if raised is None:
                break
            told = self._at(left_out, raised)
            episode = {name: told[name] for name in ("onset", "first", "last", "at_once")}
            end = self._end(left_out, raised, episode)
            ended, healthy = (None, None) if end is None else (self._windows.starts[end[0]], end[1])
            found.append({"raised": self._windows.starts[raised], "ended": ended, "healthy": healthy, **episode})
            if end is not None:
                left_out = (*left_out, (episode["onset"], end[1]))
            place = None if end is None else end[0] + 1
        return found

    def _sums_of(self, left_out: LeftOut) -> Floats:
        if left_out not in self._sums:
            self._sums[left_out] = np.full(len(self._windows), np.nan)
        return self._sums[left_out]

    def _raised(
        self, left_out: LeftOut, place: int, limits: Floats, matters: float
    ) -> Generator[None, None, int | None]:
        """The first window from `place` on that raises an alarm; None where none does."""
        sums = self._sums_of(left_out)
        while place < len(self._windows):
            unknown = np.flatnonzero(np.isnan(sums[place:]))
            end = place + int(unknown[0]) if unknown.size else len(self._windows)
            above = place + np.flatnonzero(sums[place:end] >= limits[place:end])
            for one in above.tolist():
                if self._at(left_out, one)["effect"] >= matters:
                    return int(one)
            if end < len(self._windows):
                sums[end] = self._weighed(left_out, end)
                yield
            place = end
        return None

    def _weighed(self, left_out: LeftOut, place: int) -> float:
        """Log of the evidence after a window."""
        if left_out not in self._parts:
            entries = alarms.counted(self._known(left_out, len(self._windows)))
            number = {start: count for count, start in enumerate(entries.starts, 1)}
            self._parts[left_out] = number, alarms.components(self._state, entries)
        (number, known), entry = self._parts[left_out], self._windows[place]
        log_sum = sequential.weigh([alarms.cut(part, number[entry["start"]]) for part in known]).log_sum
        return max(alarms.evidence(log_sum, entry["p"], alone=not known))

    def _at(self, left_out: LeftOut, place: int) -> dict[str, Any]:
        """Effect and onset after a window."""
        if self._windows.known(place) and _key(self._windows.left_out[place]) == left_out:
            return self._windows[place]
        if (left_out, place) not in self._told:
            self._told[left_out, place] = alarms.weighed([self._known(left_out, place + 1)])[0]
        return self._told[left_out, place]

    def _end(self, left_out: LeftOut, raised: int, episode: Mapping[str, Any]) -> tuple[int, str] | None:
        """The window that ended an alarm, and since when all was well; None where it lasts."""
        if (left_out, raised) not in self._ends:
            self._ends[left_out, raised] = self._ended(left_out, raised, episode)
        return self._ends[left_out, raised]

    def _ended(self, left_out: LeftOut, raised: int, episode: Mapping[str, Any]) -> tuple[int, str] | None:
        later = range(raised + 1, len(self._windows))
        if episode["at_once"]:
            well = (one for one in later if alarms.recovered_at_once(self._windows[one]["p"]))
            end = next(well, None)
            return None if end is None else (end, self._windows.starts[end])
        known = self._known(left_out, len(self._windows))
        told = alarms.recovery(known, {**episode, "raised": self._windows.starts[raised]})
        if told is None:
            return None
        return next(one for one in later if self._windows.starts[one] == told[1]), told[0]

    def _known(self, left_out: LeftOut, count: int) -> State:
        past = [{"onset": onset, "healthy": healthy, "ended": healthy} for onset, healthy in left_out]
        return {**self._state, "windows": self._windows[:count], "episodes": past}


def _key(left_out: list[list[str]]) -> LeftOut:
    return tuple((onset, healthy) for onset, healthy in left_out) if left_out else ()
