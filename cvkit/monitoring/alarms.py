"""Alarms: the evidence of each stream (a feature of a source) over the windows, from its first to its last.

What is kept of a stream is plain JSON: how its statistics lie over the reference's chunks, one entry a window, and the
episodes in which an alarm lasted. Everything about a window follows from the entries up to it, so that a window that is
measured again takes its old place, and what follows it is worked out again, in order.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from cvkit.config import RuleSettings
from cvkit.stats.change import sequential
from cvkit.stats.change.chunks import Signal, Spread
from cvkit.stats.change.sequential import Component, Track
from cvkit.tables import Window

DAYS_A_YEAR = 365.25
MOST_WINDOWS = 400  # entries kept: older ones tell nothing that the reference does not
AT_ONCE = 0.5  # share of a stream's evidence granted to one window's own p-value, where it has one
LARGEST = 1e12  # effect that is kept: of a constant that changed it is infinite, and JSON knows no infinity
FEWEST = {"f1": 5}  # values of a window that suffice for evidence, where they are scarce; else `minimum_images`
HEALTHY_P = 0.05  # an alarm that one window's p-value raised ends where it is above this
SPREAD_EFFECT = math.sqrt(2 / math.pi)  # Wasserstein distance of normals whose sds differ by 1, in sds

# What the signals of a stream are: level and spread of a number, shares of classes, or levels along directions.
VALUES, SHARES, DIRECTIONS = "values", "shares", "directions"

Key = tuple[str, str]  # source and feature
State = dict[str, Any]  # of one stream, as JSON holds it
Limits = Callable[[str], float]  # log of what an alarm needs at the window that begins then


@dataclass(frozen=True, slots=True)
class Reading:
    """What one window tells a stream."""

    signals: tuple[Signal, ...]
    n: int  # images with this feature
    kind: str = VALUES
    p_value: float = math.nan  # of the window alone, where it sees what the signals cannot, such as a new class
    effect: float = math.nan  # of the window alone

    @property
    def tells(self) -> bool:
        """Whether anything can be learnt from it."""
        return bool(self.signals) or not math.isnan(self.p_value)


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is known of a stream after a window."""

    evidence: float  # log10 of the evidence over its limit: from 0 on it suffices for an alarm
    effect: float  # size of the change since its onset, in reference standard deviations, or Cohen's w of the classes
    active: bool
    raised: str  # start of the window that raised it, ISO; "" where none is active
    onset: str  # when the change most likely began
    first: str  # range of the onset
    last: str
    gradual: float  # probability of a ramp rather than a step, NaN where it is too early to tell


def enter(
    states: Mapping[Key, State],
    window: Window,
    readings: Mapping[Key, Reading],
    settings: RuleSettings,
) -> dict[Key, State]:
    """The states after `window` was measured, or measured again; `states` stay as they are.

    A stream with fewer values than `minimum_images`, or without signals, has no entry: it is unknown there. A window
    that is older than the `MOST_WINDOWS` kept tells nothing any more.
    """
    start, replaced = window.start.isoformat(), {}
    for key in sorted({*states, *readings}):
        reading = readings.get(key)
        fewest = FEWEST.get(key[1], settings.minimum_images)
        usable = reading is not None and reading.tells and reading.n >= fewest
        entry = _entry(window, reading) if reading and usable else None
        old = states.get(key) or _fresh(reading)
        if old is not None and not _given_up(old, start):
            replaced[key] = _replaced(old, window, entry)
    known = {**states} | {key: state for key, (state, _) in replaced.items()}
    limit = limits(known, settings, window.end - window.start)
    return {**states} | {
        key: _followed(state, start, limit, settings.drift_warning, unchanged=unchanged)
        for key, (state, unchanged) in replaced.items()
    }


def limits(states: Mapping[Key, State], settings: RuleSettings, window_length: timedelta) -> Limits:
    """The limit at each window: the budget is shared by the streams seen until then, whenever one asks.

    Features that no rule looks at take no share.
    """
    there = [state["windows"] for (_, feature), state in states.items() if feature not in settings.ignore]
    firsts = sorted(windows[0]["start"] for windows in there if windows)
    budget = settings.false_alarms_per_year * settings.drift_share
    windows_a_year = timedelta(days=DAYS_A_YEAR) / window_length

    @functools.cache
    def limit(streams: int) -> float:
        return sequential.log_limit(budget, max(1, streams), windows_a_year)

    return lambda moment: limit(bisect.bisect_right(firsts, moment))


def at(state: State, start: datetime) -> Alarm | None:
    """What a stream said after the window that begins at `start`; None where it has no entry there."""
    moment = start.isoformat()
    entry = next((one for one in state["windows"] if one["start"] == moment), None)
    if entry is None:
        return None
    episode = next((one for one in state["episodes"] if _covers(one, moment)), None)
    told = episode or {"raised": "", **{name: entry[name] for name in ("onset", "first", "last")}}
    return Alarm(
        entry["evidence"], entry["effect"], episode is not None, told["raised"], told["onset"], told["first"],
        told["last"], math.nan if entry["gradual"] is None else entry["gradual"],
    )  # fmt: skip


def kept_since(states: Mapping[Key, State]) -> datetime:
    """Before this, entries may have been given up (`MOST_WINDOWS`), and what was judged then cannot be judged again."""
    full = [state["windows"][0]["start"] for state in states.values() if len(state["windows"]) >= MOST_WINDOWS]
    return max(map(datetime.fromisoformat, full), default=datetime.min.replace(tzinfo=UTC))


def _given_up(state: State, start: str) -> bool:
    return len(state["windows"]) >= MOST_WINDOWS and start < state["windows"][0]["start"]


def _covers(episode: dict[str, Any], moment: str) -> bool:
    return bool(episode["raised"] <= moment and (episode["ended"] is None or moment < episode["ended"]))


def _fresh(reading: Reading | None) -> State | None:
    if reading is None or not reading.tells:
        return None
    return {
        "kind": reading.kind,
        "weights": [one.weight for one in reading.signals],
        "spreads": [[_packed(spread) for _, spread in one.parts] for one in reading.signals],
        "windows": [],
        "episodes": [],
    }


def _packed(spread: Spread) -> list[float]:
    return [spread.centre, spread.between, spread.per_image, spread.size, spread.chunks, spread.memory]


def _spread(packed: Sequence[float]) -> Spread:
    alike = packed[5] if len(packed) > 5 else 0.0  # states of version 0.1 know nothing of it
    return Spread(packed[0], packed[1], packed[2], packed[3], int(packed[4]), alike)


def _entry(window: Window, reading: Reading) -> dict[str, Any]:
    values = [[value for value, _ in one.parts] for one in reading.signals]
    weights = [[sequential.window_weight(s, value, one.size) for value, s in one.parts] for one in reading.signals]
    return {
        "start": window.start.isoformat(),
        "values": [[None if math.isnan(value) else value for value in part] for part in values],
        "weights": weights,
        "p": None if math.isnan(reading.p_value) else reading.p_value,
        "size": None if math.isnan(reading.effect) else min(reading.effect, LARGEST),
    }


def _replaced(state: State, window: Window, entry: dict[str, Any] | None) -> tuple[State, bool]:
    """`state` with `entry` in the window's place, or without one, and whether that is what was there already."""
    start = window.start.isoformat()
    windows = [one for one in state["windows"] if one["start"] != start]
    old = next((one for one in state["windows"] if one["start"] == start), None)
    unchanged = entry is None if old is None else entry is not None and all(old[name] == entry[name] for name in entry)
    if entry is not None:
        bisect.insort(windows, old if old is not None and unchanged else entry, key=lambda one: one["start"])
    episodes = [
        {**one, "ended": None, "healthy": None} if one["ended"] and one["ended"] >= start else one
        for one in state["episodes"]
        if one["raised"] < start
    ]
    return {**state, "windows": windows[-MOST_WINDOWS:], "episodes": episodes}, unchanged


def _followed(state: State, start: str, limit: Limits, matters: float, *, unchanged: bool = False) -> State:
    """`state` with every entry from `start` on judged, in order; `unchanged` where the entries are those of before."""
    windows, episodes = list(state["windows"]), list(state["episodes"])
    for place in range(bisect.bisect_left(windows, start, key=lambda one: one["start"]), len(windows)):
        known = {**state, "windows": windows[: place + 1], "episodes": episodes}
        entry = windows[place]
        if not unchanged or entry["left_out"] != _left_out(known):
            entry = {**entry, **weighed(known)}
        windows[place] = {**entry, "evidence": max((entry["log_sum"] - limit(entry["start"])) / math.log(10), -99.0)}
        episodes = _episodes({**known, "windows": windows[: place + 1]}, windows[place], matters)
    return {**state, "windows": windows, "episodes": episodes}


def weighed(state: State) -> dict[str, Any]:
    """Evidence, effect and onset after the last entry of `state`, whatever the limit is."""
    entries, entry = counted(state), state["windows"][-1]
    known = components(state, entries)
    found = sequential.weigh(known)
    gathered, by_itself = evidence(found.log_sum, entry["p"], alone=not known)
    at_once = not known or by_itself > gathered
    if at_once:
        moments, effect = [entry["start"]] * 3, entry["size"] or 0.0
    else:
        moments = [entries[place]["start"] for place in (found.onset, found.first, found.last)]
        effect = _effect(known, found.onset, kind=state["kind"])
    ramp = sequential.gradual(known[found.leading].tracks[0]) if known else math.nan
    return {
        "log_sum": max(gathered, by_itself),
        "effect": effect,
        **dict(zip(("onset", "first", "last"), moments, strict=True)),
        "at_once": at_once,
        "gradual": None if math.isnan(ramp) else ramp,
        "left_out": _left_out(state),
    }


def evidence(log_sum: float, p_value: float | None, *, alone: bool) -> tuple[float, float]:
    """Logs of what the windows together say, and of what the newest says by itself; `alone`: there is nothing else."""
    if p_value is None:
        return log_sum, -math.inf
    return log_sum + math.log(1 - AT_ONCE), math.log((1.0 if alone else AT_ONCE) / max(p_value, 1e-300))


def _episodes(state: State, entry: dict[str, Any], matters: float) -> list[dict[str, Any]]:
    """The episodes after the last entry: one more where an alarm is raised, one ended where the stream is healthy."""
    episodes = list(state["episodes"])
    lasting = episodes[-1] if episodes and episodes[-1]["ended"] is None else None
    if lasting is not None:
        healthy = _healthy_since(state, lasting, entry)
        if healthy is not None:
            episodes[-1] = {**lasting, "ended": entry["start"], "healthy": healthy}
    elif entry["evidence"] >= 0 and entry["effect"] >= matters:
        told = {name: entry[name] for name in ("onset", "first", "last", "at_once")}
        episodes.append({"raised": entry["start"], "ended": None, "healthy": None, **told})
    return episodes


def _healthy_since(state: State, episode: dict[str, Any], entry: dict[str, Any]) -> str | None:
    if episode["at_once"]:
        return str(entry["start"]) if recovered_at_once(entry["p"]) else None
    told = recovery(state, episode)
    return None if told is None else told[0]


def recovered_at_once(p_value: float | None) -> bool:
    """Whether an alarm that one window's p-value raised ends with a window of this one."""
    return p_value is None or p_value > HEALTHY_P


def recovery(state: State, episode: dict[str, Any]) -> tuple[str, str] | None:
    """Start of the window since which a stream is healthy after an episode, and of the one that tells so; else None."""
    entries = counted(state)
    places = [one["start"] for one in entries]
    onset, raised = (bisect.bisect_left(places, episode[name]) for name in ("onset", "raised"))
    known = components(state, entries)
    until = sequential.weigh([cut(one, raised + 1) for one in known])
    told = sequential.recovery(known[until.leading].tracks[0], onset, raised)
    return None if told is None else (str(places[told[0]]), str(places[told[1]]))


def cut(component: Component, count: int) -> Component:
    """A component's first `count` windows."""
    tracks = (Track(track.spread, track.values[:count], track.weights[:count]) for track in component.tracks)
    return Component(component.weight, tuple(tracks))


def _left_out(state: State) -> list[list[str]]:
    """Onset and end of past episodes: their windows say nothing of what is healthy, nor of the next change."""
    return [[one["onset"], one["healthy"]] for one in state["episodes"] if one["ended"] is not None]


def counted(state: State) -> list[dict[str, Any]]:
    """The entries that speak: not those of past episodes."""
    past = _left_out(state)
    return [
        entry
        for entry in state["windows"]
        if not any(onset <= entry["start"] < healthy for onset, healthy in past)
    ]  # fmt: skip


def components(state: State, entries: Sequence[dict[str, Any]]) -> list[Component]:
    """What `entries` say, of each way in which a stream may change."""
    found = []
    for part, (weight, spreads) in enumerate(zip(state["weights"], state["spreads"], strict=True)):
        tracks = []
        for unit, packed in enumerate(spreads):
            values = np.array([entry["values"][part][unit] for entry in entries], dtype=float)
            weights = np.array([entry["weights"][part][unit] for entry in entries], dtype=float)
            tracks.append(Track(_spread(packed), values, weights))
        found.append(Component(weight, tuple(tracks)))
    return found


def _effect(known: Sequence[Component], onset: int, *, kind: str) -> float:
    """Size of the change since `onset`: Cohen's w of shares; else how far values moved, or spread, in sds."""
    tracks = [one.tracks[0] for one in known]
    shifts = [sequential.shift(track, onset) for track in tracks]
    if kind == SHARES:
        before = np.sin([track.spread.centre for track in tracks]) ** 2
        after = np.sin([track.spread.centre + shift for track, shift in zip(tracks, shifts, strict=True)]) ** 2
        return float(np.sqrt(np.nansum((after - before) ** 2 / np.maximum(before, 1e-9))))
    if kind == DIRECTIONS:
        return float(np.nanmax(np.abs(shifts))) if not np.isnan(shifts).all() else 0.0
    sizes = [abs(shifts[0])]
    for track, shift in zip(tracks[1:], shifts[1:], strict=True):  # cube root of a variance
        ratio = max(0.0, 1 + shift / track.spread.centre) if track.spread.centre else math.nan
        sizes.append(SPREAD_EFFECT * abs(ratio**1.5 - 1))
    return float(np.nanmax(sizes)) if not np.isnan(sizes).all() else 0.0
