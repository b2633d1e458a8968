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
from cvkit.monitoring.entries import FOUND, Entries, State, moment, width
from cvkit.monitoring.schema import EVIDENCE, JUDGED, RUNS, STREAMS, TOLD, clean, equals
from cvkit.stats.arrays import Floats

Key = tuple[str, str]  # source and feature
Part = tuple[list[int], Floats]  # places of some windows, and the numbers of a stream there
Apart = tuple[list[str], dict[str, list[Part]]]  # starts of windows, and the parts of each stream
KNOWN = ("source", "feature", "state")


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
    changed = "" if since is None else since.isoformat()
    for table, made in ((TOLD, _told(streams, changed)), (EVIDENCE, _found(streams, changed))):
        gone = table.c.window_start < datetime.fromisoformat(min(starts)) if starts else sa.true()
        anew = sa.true() if since is None else table.c.window_start >= since
        connection.execute(table.delete().where(*equals(table, whose), sa.or_(gone, anew)))
        if written := [{**whose, **row} for row in made]:
            connection.execute(table.insert(), written)


def read(
    connection: sa.Connection, whose: Mapping[str, str], source: str | None = None, since: datetime | None = None
) -> dict[Key, State]:  # fmt: skip
    """The streams by source and feature; where one `source` is given, its own.

    What was found after windows before `since` is not known, where it is given. Raises StorageError where a row is not
    what was written.
    """
    try:
        return _read(connection, {**whose} if source is None else {**whose, "source": source}, since)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StorageError(
            "the evidence in the history is damaged", where="tables streams, told and evidence",
            expected="rows as cvkit writes them", found=f"{type(error).__name__}: {error}"[:300],
            remedy=restored(connection),
        ) from error  # fmt: skip


def missing(connection: sa.Connection, whose: Mapping[str, str], most: int) -> list[datetime]:
    """Starts of windows that were judged by evidence of which not all is kept, of the newest `most` of each source."""
    sources = sa.select(STREAMS.c.source).where(*equals(STREAMS, whose))
    known = []
    for table in (TOLD, EVIDENCE):
        rows = sa.select(table.c.source, table.c.window_start).where(*equals(table, whose), table.c.source.in_(sources))
        known.append({(source, start) for source, start in connection.execute(rows)})
    query = sa.select(JUDGED.c.source, RUNS.c.window_start).join_from(JUDGED, RUNS).where(
        *equals(RUNS, {**whose, "status": "done"}), JUDGED.c.rule == "drift", JUDGED.c.state != "unknown",
    )  # fmt: skip
    judged: dict[str, list[datetime]] = {}
    for source, start in connection.execute(query.distinct()):
        judged.setdefault(source, []).append(start)
    kept = {(source, start) for source, starts in judged.items() for start in sorted(starts)[-most:]}
    return sorted({start for _, start in kept - (known[0] & known[1])})


def _read(connection: sa.Connection, given: Mapping[str, str], since: datetime | None) -> dict[Key, State]:
    states: dict[str, dict[str, State]] = {}
    for row in connection.execute(sa.select(*(STREAMS.c[name] for name in KNOWN)).where(*equals(STREAMS, given))):
        states.setdefault(row.source, {})[row.feature] = row.state
    asked = [] if since is None else [EVIDENCE.c.window_start >= since]
    found = {source: list(rows) for source, rows in _by_source(connection, EVIDENCE, given, *asked)}
    whole = {}
    for source, rows in _by_source(connection, TOLD, given):  # one at a time: a year is 40 MB
        for feature, state in _whole(states.pop(source, {}), list(rows), found.pop(source, [])):
            whole[source, feature] = state
    for source, known in states.items():  # that are told nothing
        whole |= {(source, feature): state for feature, state in _whole(known, [], [])}
    return whole


def _by_source(
    connection: sa.Connection, table: sa.Table, given: Mapping[str, str], *more: sa.ColumnElement[bool]
) -> Iterator[tuple[str, Iterator[Any]]]:  # fmt: skip
    """The rows of each source, in order of time."""
    columns = [column for column in table.c if column.name in ("source", "features", "numbers", "left_out")]
    query = sa.select(*columns).where(*equals(table, given), *more).order_by(table.c.source, table.c.window_start)
    return itertools.groupby(connection.execute(query), key=lambda row: row.source)


def _lasting(state: State) -> State:
    """A state with the start of its oldest window for all of them: older ones may be kept for others of its source."""
    windows: Entries = state["windows"]
    return {**state, "windows": windows.starts[0] if len(windows) else None, "shape": list(windows.shape)}


def _told(streams: Mapping[Key, State], since: str) -> Iterator[dict[str, Any]]:
    """What each window from `since` on told the streams of each source, in one row."""
    for about, windows in _by_window(streams, since):
        yield about | _numbers(about, {feature: one.table[place] for feature, (one, place) in windows.items()})


def _found(streams: Mapping[Key, State], since: str) -> Iterator[dict[str, Any]]:
    """What was found after each of these, where it is known."""
    for about, windows in _by_window(streams, since):
        known = {feature: (one, place) for feature, (one, place) in windows.items() if one.known(place)}
        left_out = {feature: past for feature, (one, place) in known.items() if (past := one.left_out[place])}
        if rows := {feature: one.found[place - len(one)] for feature, (one, place) in known.items()}:
            yield about | _numbers(about, rows) | {"left_out": left_out or None}


def _by_window(
    streams: Mapping[Key, State], since: str
) -> Iterator[tuple[dict[str, Any], dict[str, tuple[Entries, int]]]]:  # fmt: skip
    """For each source and window from `since` on where its streams have it."""
    sources: dict[str, dict[str, Entries]] = {}
    for (source, feature), state in sorted(streams.items(), key=lambda one: one[0]):
        sources.setdefault(source, {})[clean(feature)] = state["windows"]
    for source, known in sources.items():
        for start in sorted({start for one in known.values() for start in one.starts if start >= since}):
            there = {f: (one, place) for f, one in known.items() if (place := one.find(start)) is not None}
            yield {"source": source, "window_start": datetime.fromisoformat(start)}, there


def _numbers(about: Mapping[str, Any], rows: Mapping[str, Floats]) -> dict[str, Any]:
    """The numbers of a window's streams as they are kept."""
    numbers = np.concatenate([[about["window_start"].timestamp()], *rows.values()])
    features = json.dumps({feature: len(row) for feature, row in rows.items()})
    return {"features": features, "numbers": numbers.astype("<f8").tobytes()}


def _whole(states: Mapping[str, State], rows: Sequence[Any], later: Sequence[Any]) -> Iterator[tuple[str, State]]:
    """The streams of a source, with what the windows of `rows` told them, and what was found after those of `later`."""
    told, found = _taken_apart(rows), _taken_apart(later)
    odd = [(start, row.left_out) for start, row in zip(found[0], later, strict=True) if row.left_out]
    for feature, state in states.items():
        shape, oldest = state.pop("shape"), state["windows"]
        starts, table = _of_feature(feature, told, width(shape))
        known, after = _of_feature(feature, found, len(FOUND))
        count = _alike_at_the_end(starts, known)  # what was found before a row that is missing is as if nobody knew
        left_out: list[Any] = [None] * (len(starts) - count) + [[]] * count
        for start, past in odd:
            if start in known[len(known) - count :]:
                left_out[bisect.bisect_left(starts, start)] = past.get(feature, [])
        windows = Entries(shape, table, after[len(known) - count :], left_out, starts)
        first = len(windows) if oldest is None else bisect.bisect_left(windows.starts, oldest)
        yield feature, {**state, "windows": windows[first:] if first else windows}


def _of_feature(feature: str, apart: Apart, columns: int) -> tuple[list[str], Floats]:
    """Starts of the windows with numbers of a stream, and these."""
    starts, parts = apart
    if feature not in parts:
        return [], np.empty((0, columns))
    places, table = _in_order(parts[feature])
    if table.shape[1] != columns:
        raise ValueError(f"{feature}: {table.shape[1]} numbers a window where there should be {columns}")
    return (starts if len(places) == len(starts) else [starts[place] for place in places]), table


def _alike_at_the_end(first: list[str], second: list[str]) -> int:
    if first == second:
        return len(first)
    pairs = zip(reversed(first), reversed(second), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _taken_apart(rows: Sequence[Any]) -> Apart:
    """When the window of each row begins, and its numbers of each stream: rows of the same streams at once."""
    alike: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        alike.setdefault(row.features, []).append(place)
    starts, parts = [""] * len(rows), dict[str, list[Part]]()
    for features, places in alike.items():
        told = json.loads(features)
        size = 8 * (1 + sum(told.values()))
        if wrong := [place for place in places if len(rows[place].numbers) != size]:
            raise ValueError(f"{len(rows[wrong[0]].numbers)} bytes where there should be {size}")
        table = np.frombuffer(b"".join(rows[place].numbers for place in places), dtype="<f8").reshape(len(places), -1)
        for place, seconds in zip(places, table[:, 0].tolist(), strict=True):
            starts[place] = moment(seconds)
        first = 1
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
