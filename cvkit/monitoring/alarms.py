"""Alarms: the evidence of each stream (a feature of a source) over the windows, from its first to its last.

What is kept of a stream is plain: how its statistics lie over the reference's chunks, one entry a window, and the
episodes in which an alarm lasted. Everything about a window follows from the entries up to it, so that a window that is
measured again takes its old place, and what follows it is worked out again, in order.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from cvkit.config import RuleSettings
from cvkit.monitoring.entries import Entries, State
from cvkit.stats.arrays import Floats
from cvkit.stats.change import sequential
from cvkit.stats.change.chunks import Signal, Spread
from cvkit.stats.change.sequential import Component, Track
from cvkit.tables import Window

DAYS_A_YEAR = 365.25
MOST_WINDOWS = 400  # entries kept: older ones tell nothing that the reference does not
AT_A_TIME = 128  # streams that are weighed side by side: more of them no longer fit the processor's cache
AT_ONCE = 0.5  # share of a stream's evidence granted to one window's own p-value, where it has one
LARGEST = 1e12  # effect that is kept: of a constant that changed it is infinite, and JSON knows no infinity
FEWEST = {"f1": 5}  # values of a window that suffice for evidence, where they are scarce; else `minimum_images`
HEALTHY_P = 0.05  # an alarm that one window's p-value raised ends where it is above this
SPREAD_EFFECT = math.sqrt(2 / math.pi)  # Wasserstein distance of normals whose sds differ by 1, in sds

# What the signals of a stream are: level and spread of a number, shares of classes, or levels along directions.
VALUES, SHARES, DIRECTIONS = "values", "shares", "directions"

Key = tuple[str, str]  # source and feature
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
    same = {key for key, (_, unchanged) in replaced.items() if unchanged}
    changed = {key: state for key, (state, _) in replaced.items()}
    return {**states} | followed(changed, start, limit, settings.drift_warning, same)


def limits(states: Mapping[Key, State], settings: RuleSettings, window_length: timedelta) -> Limits:
    """The limit at each window: the budget is shared by the streams seen until then, whenever one asks.

    Features that no rule looks at take no share.
    """
    there = [state["windows"] for (_, feature), state in states.items() if feature not in settings.ignore]
    firsts = sorted(windows.starts[0] for windows in there if windows)
    budget = settings.false_alarms_per_year * settings.drift_share
    windows_a_year = timedelta(days=DAYS_A_YEAR) / window_length

    @functools.cache
    def limit(streams: int) -> float:
        return sequential.log_limit(budget, max(1, streams), windows_a_year)

    return lambda moment: limit(bisect.bisect_right(firsts, moment))


def at(state: State, start: datetime) -> Alarm | None:
    """What a stream said after the window that begins at `start`; None where nobody knows."""
    moment = start.isoformat()
    place = state["windows"].find(moment)
    if place is None or not state["windows"].known(place):
        return None
    entry = state["windows"].head(place)
    episode = next((one for one in state["episodes"] if _covers(one, moment)), None)
    told = episode or {"raised": "", **{name: entry[name] for name in ("onset", "first", "last")}}
    return Alarm(
        entry["evidence"], entry["effect"], episode is not None, told["raised"], told["onset"], told["first"],
        told["last"], math.nan if entry["gradual"] is None else entry["gradual"],
    )  # fmt: skip


def kept_since(states: Mapping[Key, State]) -> datetime:
    """Before this, entries may have been given up (`MOST_WINDOWS`), and what was judged then cannot be judged again."""
    full = [state["windows"].starts[0] for state in states.values() if len(state["windows"]) >= MOST_WINDOWS]
    return max(map(datetime.fromisoformat, full), default=datetime.min.replace(tzinfo=UTC))


def _given_up(state: State, start: str) -> bool:
    return len(state["windows"]) >= MOST_WINDOWS and start < state["windows"].starts[0]


def _covers(episode: dict[str, Any], moment: str) -> bool:
    return bool(episode["raised"] <= moment and (episode["ended"] is None or moment < episode["ended"]))


def _fresh(reading: Reading | None) -> State | None:
    if reading is None or not reading.tells:
        return None
    return {
        "kind": reading.kind,
        "weights": [one.weight for one in reading.signals],
        "spreads": [[_packed(spread) for _, spread in one.parts] for one in reading.signals],
        "windows": Entries.of([len(one.parts) for one in reading.signals], []),
        "episodes": [],
    }


def _packed(spread: Spread) -> list[float]:
    return [spread.centre, spread.between, spread.per_image, spread.size, spread.chunks, spread.memory]


def _padded(packed: Sequence[float]) -> Sequence[float]:
    return packed if len(packed) > 5 else [*packed, 0.0]  # states of version 0.1 know nothing of memory


def _spread(packed: Sequence[float]) -> Spread:
    centre, between, per_image, size, chunks, memory = _padded(packed)
    return Spread(centre, between, per_image, size, int(chunks), memory)


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
    start, windows = window.start.isoformat(), state["windows"].copy()
    place = windows.find(start)
    old = None if place is None else windows[place]
    unchanged = entry is None if old is None else entry is not None and all(old[name] == entry[name] for name in entry)
    if entry is None:
        windows.remove(start)
    elif not unchanged:
        windows.put(entry)
    episodes = [
        {**one, "ended": None, "healthy": None} if one["ended"] and one["ended"] >= start else one
        for one in state["episodes"]
        if one["raised"] < start
    ]
    return {**state, "windows": windows.last(MOST_WINDOWS), "episodes": episodes}, unchanged


def followed(
    states: Mapping[Key, State], start: str, limit: Limits, matters: float, same: Collection[Key] = ()
) -> dict[Key, State]:
    """`states` with every entry from `start` on judged, in order; of those `same` the entries are those of before.

    The entries are told in place, so they are nobody else's.

    All streams are weighed together, window by window: one by one it takes ten times as long.
    """
    known = dict(states)
    for moment in sorted({one for state in known.values() for one in _since(state, start)}):
        places = {key: place for key, state in known.items() if (place := state["windows"].find(moment)) is not None}
        until = {key: _until(known[key], place) for key, place in places.items()}
        anew = [
            key for key, place in places.items()
            if key not in same or known[key]["windows"].left_out[place] != _left_out(known[key])
        ]  # fmt: skip
        for key, told in zip(anew, weighed([until[key] for key in anew]), strict=True):
            known[key]["windows"].tell(places[key], told)
        for key, place in places.items():
            windows = known[key]["windows"]
            evidence = max((windows.head(place)["log_sum"] - limit(moment)) / math.log(10), -99.0)
            windows.tell(place, {"evidence": evidence})
            known[key] = {**known[key], "episodes": _episodes(until[key], windows.head(place), matters)}
    return known


def _until(state: State, place: int) -> State:
    """As it was known after a window: the same table, up to there."""
    windows = state["windows"]
    return state if place == len(windows) - 1 else {**state, "windows": windows[: place + 1]}


def _since(state: State, start: str) -> list[str]:
    starts: list[str] = state["windows"].starts
    return starts[bisect.bisect_left(starts, start) :]


def weighed(states: Sequence[State]) -> list[dict[str, Any]]:
    """Evidence, effect and onset of each state after its last entry, whatever the limit is."""
    entries = [counted(state) for state in states]
    alike: dict[tuple[Any, ...], list[int]] = {}
    for number, (state, known) in enumerate(zip(states, entries, strict=True)):
        alike.setdefault((state["kind"], known.shape, len(known)), []).append(number)
    found: dict[int, dict[str, Any]] = {}
    for every in alike.values():
        for first in range(0, len(every), AT_A_TIME):
            numbers = every[first : first + AT_A_TIME]
            told = _weighed_alike([states[one] for one in numbers], [entries[one] for one in numbers])
            found |= dict(zip(numbers, told, strict=True))
    return [found[number] for number in range(len(states))]


def _weighed_alike(states: Sequence[State], entries: Sequence[Entries]) -> Iterator[dict[str, Any]]:
    """The same of states of one kind, shape and number of entries."""
    if not sum(entries[0].shape):
        nothing = sequential.weigh(())
        for state in states:
            yield _told(state, state["windows"], nothing, 0.0, math.nan)
        return
    together, centres = _side_by_side(states, entries)
    steps = sequential.step_factors(*together.tracks)
    found = sequential.weigh_all(together, steps)
    ahead = together.starts
    leading = np.arange(len(states)), ahead[[one.leading for one in found]]
    ramps = sequential.gradual_all(steps[leading], *(every[leading] for every in together.tracks))
    onsets = np.repeat([[one.onset] for one in found], ahead.size, axis=1)
    shifts = sequential.shift_all(
        together.distances[:, ahead], together.weights[:, ahead], together.chunks[:, ahead], onsets
    )
    effects = _effects(shifts, centres[:, ahead], states[0]["kind"])
    yield from map(_told, states, entries, found, effects.tolist(), ramps.tolist())


def _told(
    state: State, entries: Entries, found: sequential.Evidence, effect: float, ramp: float
) -> dict[str, Any]:  # fmt: skip
    newest = state["windows"]
    p_value, size = (newest.head(len(newest) - 1)[name] for name in ("p", "size"))
    gathered, by_itself = evidence(found.log_sum, p_value, alone=found.onset < 0)
    at_once = found.onset < 0 or by_itself > gathered
    places = [found.onset, found.first, found.last]
    moments = [newest.starts[-1]] * 3 if at_once else [entries.starts[place] for place in places]
    return {
        "log_sum": max(gathered, by_itself),
        "effect": (size or 0.0) if at_once else effect,
        **dict(zip(("onset", "first", "last"), moments, strict=True)),
        "at_once": at_once,
        "gradual": None if math.isnan(ramp) else ramp,
        "left_out": _left_out(state),
    }


def _side_by_side(states: Sequence[State], entries: Sequence[Entries]) -> tuple[sequential.Streams, Floats]:
    """What the entries say of all streams, and the centres of their tracks (streams, tracks)."""
    packed = np.array([[_padded(track) for part in state["spreads"] for track in part] for state in states])
    centres, between, chunks, memory = (packed[:, :, place] for place in (0, 1, 4, 5))
    values, weights = (
        np.ascontiguousarray(np.stack([getattr(one, name) for one in entries]).transpose(0, 2, 1))
        for name in ("values", "weights")
    )
    distances = np.where(weights > 0, values - centres[:, :, None], 0.0)
    shares = np.array([state["weights"] for state in states])
    starts = np.cumsum([0, *entries[0].shape[:-1]])
    return sequential.Streams(distances, weights, between, chunks, memory, shares, starts), centres


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
    places = entries.starts
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


def counted(state: State) -> Entries:
    """The entries that speak: not those of past episodes."""
    past, entries = _left_out(state), state["windows"]
    if not past:
        return entries  # type: ignore[no-any-return]
    speaks = [not any(onset <= start < healthy for onset, healthy in past) for start in entries.starts]
    return entries.chosen(np.array(speaks))  # type: ignore[no-any-return]


def components(state: State, entries: Entries) -> list[Component]:
    """What `entries` say, of each way in which a stream may change."""
    found, first = [], 0
    for weight, spreads in zip(state["weights"], state["spreads"], strict=True):
        tracks = (
            Track(_spread(packed), entries.values[:, place], entries.weights[:, place])
            for place, packed in enumerate(spreads, first)
        )
        found.append(Component(weight, tuple(tracks)))
        first += len(spreads)
    return found


def _effects(shifts: Floats, centres: Floats, kind: str) -> Floats:
    """Size of the changes: Cohen's w of shares; else how far values moved, or spread, in sds.

    `shifts`, `centres`: (streams, components), of the first track of each.
    """
    if kind == SHARES:
        before, after = np.sin(centres) ** 2, np.sin(centres + shifts) ** 2
        return np.asarray(np.sqrt(np.nansum((after - before) ** 2 / np.maximum(before, 1e-9), axis=1)))
    sizes = np.abs(shifts)
    if kind == VALUES:  # after the first, cube roots of variances
        grown = np.divide(shifts[:, 1:], centres[:, 1:], out=np.full_like(shifts[:, 1:], np.nan),
                          where=centres[:, 1:] != 0)  # fmt: skip
        sizes[:, 1:] = SPREAD_EFFECT * np.abs(np.maximum(0.0, 1 + grown) ** 1.5 - 1)
    return np.asarray(np.where(np.isnan(sizes), 0.0, sizes).max(axis=1))
