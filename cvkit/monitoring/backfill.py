"""Backfill: many windows are measured by several processes; what comes of them is the same, in the same order."""

from __future__ import annotations

import functools
import pickle
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from cvkit.config import Config
from cvkit.data import engine, isolation, worker
from cvkit.errors import CvkitError, DataError
from cvkit.monitoring import monitor
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.alarms import Reading
from cvkit.monitoring.recording import Past, Told
from cvkit.monitoring.reference import Reference
from cvkit.stats.change.chunks import Signal, Spread
from cvkit.storage import check_home, open_home
from cvkit.tables import MEASUREMENTS, Window, conform

FIRST = 2  # windows that are measured by this process: the second one tells how long the others will take
WORTH_S = 20.0  # work from which on starting processes, a few seconds each, pays
LIMIT_S = 6 * 3600.0  # for one window, after which its process is taken for dead

Asked = tuple[Window, Collection[str]]  # and the sources that are missed where they send nothing in it
Found = Told | CvkitError
Plain = tuple[Any, ...]  # the same without objects


def measured(
    config: Config, windows: Sequence[Window], reference: Reference, past: Past
) -> Iterator[tuple[Window, Found]]:
    """What is to be known of each window, in their order, or why it could not be measured.

    `past` may change as it is heard: what one window tells of sources holds for the next. Where predictions are made
    here all windows are measured by this process, as the model uses all cores, or the one device, already.
    """
    took = 0.0
    for place, window in enumerate(windows):
        left = windows[place:]
        if place >= FIRST and not config.model.weights and took * len(left) > WORTH_S:
            yield from _by_processes(config, left, reference, past)
            return
        began = time.perf_counter()
        found = _one(config, window, reference, past.known(window))
        took = time.perf_counter() - began
        yield window, found


def _by_processes(
    config: Config, windows: Sequence[Window], reference: Reference, past: Past
) -> Iterator[tuple[Window, Found]]:  # fmt: skip
    asked = ([(window, past.known(window))] for window in windows)
    work = functools.partial(_some, config.model_copy(update={"workers": 1}))  # each reads its images with one
    ready: dict[int, Plain | engine.Lost] = {}
    place = 0
    for number, (found,) in engine.run(work, asked, workers=config.workers, limit_s=LIMIT_S):
        ready[number] = found
        while place in ready:
            window = windows[place]
            yield window, _checked(config, window, reference, past, ready.pop(place))
            place += 1


def _checked(
    config: Config, window: Window, reference: Reference, past: Past, plain: Plain | engine.Lost
) -> Found:  # fmt: skip
    if isinstance(plain, engine.Lost):
        return DataError(
            "the process that measured a window ended, each time", where=str(window), found=plain.reason,
            remedy="is there memory enough? `cvkit doctor` and the lines above may tell which file it was",
        )  # fmt: skip
    found = _found(plain)
    if isinstance(found, Told) and not past.known(window) <= set(found.measurements["source"]):
        return _one(config, window, reference, past.known(window))  # a source came up after this was asked for
    return found


def _one(config: Config, window: Window, reference: Reference, known: Collection[str]) -> Found:
    started = datetime.now(UTC)
    try:
        try:
            return monitor.told(config, window, monitor.measured(config, window, reference, known), started)
        finally:
            check_home(config.workspace)  # captures that were moved away look like none, or like a mistyped pattern
    except CvkitError as error:
        return error


def _some(config: Config, asked: Iterable[Asked]) -> Iterator[Plain]:
    """What a worker does; it keeps the reference for the next windows."""
    key = pickle.dumps(config)
    if key not in _references:
        open_home(config.workspace)
        _references.clear()
        _references[key] = reference_step.load(config)
    for window, known in asked:
        yield _plain(_one(config, window, _references[key], known))


_references: dict[bytes, Reference] = {}


# -- what travels between processes: numbers, text and bytes, as an engine takes no objects from its workers -----------


def _plain(found: Found) -> Plain:
    if isinstance(found, CvkitError):
        return worker.told(found)
    told, sink = found, pa.BufferOutputStream()
    table = pa.Table.from_pandas(told.measurements, preserve_index=False)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    readings = [
        (*key, one.kind, one.n, one.p_value, one.effect, [
            (signal.weight, signal.size, [(value, astuple(spread)) for value, spread in signal.parts])
            for signal in one.signals
        ]) for key, one in told.readings.items()
    ]  # fmt: skip
    times = told.window.start.isoformat(), told.window.end.isoformat(), told.started.isoformat()
    return "", times, sink.getvalue().to_pybytes(), readings, sorted(told.sources), told.images, told.bad_images, (
        told.labels
    )  # fmt: skip


def _found(plain: Plain) -> Found:
    name, *rest = plain
    if name:
        error = isolation.raised(name, *rest)
        if not isinstance(error, CvkitError):
            raise error
        return error
    (start, end, started), table, readings, sources, images, bad, labels = rest
    told = {
        (source, feature): Reading(tuple(
            Signal(weight, tuple((value, Spread(*spread)) for value, spread in parts), size)
            for weight, size, parts in signals
        ), n, kind, p_value, effect) for source, feature, kind, n, p_value, effect, signals in readings
    }  # fmt: skip
    return Told(
        Window(datetime.fromisoformat(start), datetime.fromisoformat(end)),
        conform(pa.ipc.open_stream(table).read_all().to_pandas(), MEASUREMENTS), told, frozenset(sources), images, bad,
        labels, datetime.fromisoformat(started),
    )  # fmt: skip
