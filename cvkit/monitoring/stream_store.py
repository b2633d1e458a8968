"""The streams of evidence in the history: what is lasting of each, and what each window told them, by source.

A day writes what it told, and not the year before it again: with a hundred cameras that would be 80 MB.
"""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from cvkit.errors import StorageError
from cvkit.monitoring.database import restored
from cvkit.monitoring.entries import Entries, State, moment, width
from cvkit.monitoring.schema import EVIDENCE, JUDGED, RUNS, STREAMS, clean, equals
from cvkit.stats.arrays import Floats

Key = tuple[str, str]  # source and feature
Part = tuple[list[int], Floats]  # numbers of some windows, and what these told a stream
KNOWN = ("source", "feature", "state")
TOLD = ("source", "features", "numbers", "left_out")


def replace(
    connection: sa.Connection, whose: Mapping[str, str], streams: Mapping[Key, State], since: datetime | None
) -> None:
    """Put `streams` in the place of what is known of them; windows before `since` are as they were, but for the oldest.

    `whose` are model, version and reference_id.
    """
    connection.execute(STREAMS.delete().where(*equals(STREAMS, whose)))
    if rows := [{**whose, "source": s, "feature": f, "state": _lasting(state)} for (s, f), state in streams.items()]:
        connection.execute(STREAMS.insert(), rows)
    starts = [one.starts[0] for state in streams.values() if len(one := state["windows"])]
    gone = EVIDENCE.c.window_start < datetime.fromisoformat(min(starts)) if starts else sa.true()
    anew = sa.true() if since is None else EVIDENCE.c.window_start >= since
    connection.execute(EVIDENCE.delete().where(*equals(EVIDENCE, whose), sa.or_(gone, anew)))
    told = [{**whose, **row} for row in _told(streams, "" if since is None else since.isoformat())]
    if told:
        connection.execute(EVIDENCE.insert(), told)


def read(connection: sa.Connection, whose: Mapping[str, str], source: str | None = None) -> dict[Key, State]:
    """The streams by source and feature; where one `source` is given, its own.

    Raises StorageError where a row is not what was written.
    """
    try:
        return _read(connection, {**whose} if source is None else {**whose, "source": source})
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StorageError(
            "the evidence in the history is damaged", where="tables streams and evidence",
            expected="rows as cvkit writes them", found=f"{type(error).__name__}: {error}"[:300],
            remedy=restored(connection),
        ) from error  # fmt: skip


def missing(connection: sa.Connection, whose: Mapping[str, str]) -> list[datetime]:
    """Starts of windows that were judged by evidence of which nothing is kept, though older one is, or none at all."""
    sources = sa.select(STREAMS.c.source).where(*equals(STREAMS, whose))
    known = sa.select(EVIDENCE.c.window_start).where(*equals(EVIDENCE, whose), EVIDENCE.c.source.in_(sources))
    oldest = connection.execute(sa.select(sa.func.min(known.subquery().c.window_start))).scalar()
    judged = sa.exists().where(JUDGED.c.run == RUNS.c.id, JUDGED.c.rule == "drift", JUDGED.c.state != "unknown")
    query = sa.select(RUNS.c.window_start).where(
        *equals(RUNS, {**whose, "status": "done"}), judged, RUNS.c.window_start.not_in(known),
        *([RUNS.c.window_start > oldest] if oldest else []),
    )  # fmt: skip
    return [row.window_start for row in connection.execute(query.order_by(RUNS.c.window_start))]


def _read(connection: sa.Connection, given: Mapping[str, str]) -> dict[Key, State]:
    states: dict[str, dict[str, State]] = {}
    for row in connection.execute(sa.select(*(STREAMS.c[name] for name in KNOWN)).where(*equals(STREAMS, given))):
        states.setdefault(row.source, {})[row.feature] = row.state
    query = sa.select(*(EVIDENCE.c[name] for name in TOLD)).where(*equals(EVIDENCE, given))
    found = connection.execute(query.order_by(EVIDENCE.c.source, EVIDENCE.c.window_start))
    whole = {}
    for source, rows in itertools.groupby(found, key=lambda row: row.source):  # one at a time: a year is 80 MB
        for feature, state in _whole(states.pop(source, {}), list(rows)):
            whole[source, feature] = state
    for source, known in states.items():  # that are told nothing
        whole |= {(source, feature): state for feature, state in _whole(known, [])}
    return whole


def _lasting(state: State) -> State:
    """A state with the start of its oldest window for all of them: older ones may be kept for others of its source."""
    windows: Entries = state["windows"]
    return {**state, "windows": windows.starts[0] if len(windows) else None, "shape": list(windows.shape)}


def _told(streams: Mapping[Key, State], since: str) -> Iterator[dict[str, Any]]:
    """What each window from `since` on told the streams of each source, in one row."""
    sources: dict[str, dict[str, Entries]] = {}
    for (source, feature), state in sorted(streams.items(), key=lambda one: one[0]):
        sources.setdefault(source, {})[clean(feature)] = state["windows"]
    for source, known in sources.items():
        for start in sorted({start for one in known.values() for start in one.starts if start >= since}):
            places = {feature: place for feature, one in known.items() if (place := one.find(start)) is not None}
            numbers = np.concatenate([known[feature].table[place] for feature, place in places.items()])
            left_out = {feature: known[feature].left_out[place] for feature, place in places.items()}
            yield {
                "source": source, "window_start": datetime.fromisoformat(start),
                "features": json.dumps({feature: known[feature].table.shape[1] for feature in places}),
                "numbers": numbers.astype("<f8").tobytes(),
                "left_out": {feature: past for feature, past in left_out.items() if past != []} or None,
            }  # fmt: skip


def _whole(states: Mapping[str, State], rows: Sequence[Any]) -> Iterator[tuple[str, State]]:
    """The streams of a source, with the windows that `rows` tell them, in order of time."""
    starts, parts = _taken_apart(rows)
    odd = [(place, row.left_out) for place, row in enumerate(rows) if row.left_out]
    for feature, state in states.items():
        shape, oldest = state.pop("shape"), state["windows"]
        places, table = _in_order(parts[feature]) if feature in parts else ([], np.empty((0, width(shape))))
        if table.shape[1] != width(shape):
            raise ValueError(f"{feature}: {table.shape[1]} numbers a window where there should be {width(shape)}")
        left_out: list[Any] = [[]] * len(rows)
        for place, told in odd:
            left_out[place] = told.get(feature, [])
        there = starts
        if len(places) < len(rows):
            there, left_out = [starts[place] for place in places], [left_out[place] for place in places]
        windows = Entries(shape, table, left_out, there)
        first = len(windows) if oldest is None else bisect.bisect_left(windows.starts, oldest)
        yield feature, {**state, "windows": windows[first:] if first else windows}


def _taken_apart(rows: Sequence[Any]) -> tuple[list[str], dict[str, list[Part]]]:
    """When the window of each row begins, and what they tell each stream: rows of the same streams at once."""
    alike: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        alike.setdefault(row.features, []).append(place)
    starts, parts = [""] * len(rows), dict[str, list[Part]]()
    for features, places in alike.items():
        told = json.loads(features)
        if wrong := [place for place in places if len(rows[place].numbers) != 8 * sum(told.values())]:
            raise ValueError(f"{len(rows[wrong[0]].numbers)} bytes where there should be {8 * sum(told.values())}")
        table = np.frombuffer(b"".join(rows[place].numbers for place in places), dtype="<f8").reshape(len(places), -1)
        for place, seconds in zip(places, table[:, 0].tolist(), strict=True):
            starts[place] = moment(seconds)
        first = 0
        for feature, columns in told.items():
            parts.setdefault(feature, []).append((places, table[:, first : first + columns]))
            first += columns
    return starts, parts


def _in_order(parts: Sequence[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    places = np.concatenate([places for places, _ in parts])
    order = np.argsort(places)
    return places[order].tolist(), np.concatenate([table for _, table in parts])[order]
