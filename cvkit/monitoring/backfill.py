"""Backfill: many windows are measured by several processes; what comes of them is the same, in the same order."""

from __future__ import annotations

import functools
import pickle
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from cvkit.config import Config
from cvkit.data import engine
from cvkit.errors import CvkitError, DataError
from cvkit.monitoring import monitor
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.recording import Past, Told
from cvkit.monitoring.reference import Reference
from cvkit.tables import Window

FIRST = 2  # windows that are measured by this process: the second one tells how long the others will take
WORTH_S = 20.0  # work from which on starting processes, a few seconds each, pays
LIMIT_S = 6 * 3600.0  # for one window, after which its process is taken for dead

Asked = tuple[Window, Collection[str]]  # and the sources that are missed where they send nothing in it
Found = Told | CvkitError


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
    ready: dict[int, Found | engine.Lost] = {}
    place = 0
    for number, (found,) in engine.run(work, asked, workers=config.workers, limit_s=LIMIT_S):
        ready[number] = found
        while place in ready:
            window = windows[place]
            yield window, _checked(config, window, reference, past, ready.pop(place))
            place += 1


def _checked(
    config: Config, window: Window, reference: Reference, past: Past, found: Found | engine.Lost
) -> Found:  # fmt: skip
    if isinstance(found, engine.Lost):
        return DataError(
            "the process that measured a window ended, each time", where=str(window), found=found.reason,
            remedy="is there memory enough? `cvkit doctor` and the lines above may tell which file it was",
        )  # fmt: skip
    if isinstance(found, Told) and not past.known(window) <= set(found.measurements["source"]):
        return _one(config, window, reference, past.known(window))  # a source came up after this was asked for
    return found


def _one(config: Config, window: Window, reference: Reference, known: Collection[str]) -> Found:
    started = datetime.now(UTC)
    try:
        return monitor.told(config, window, monitor.measured(config, window, reference, known), started)
    except CvkitError as error:
        return error


def _some(config: Config, asked: Iterable[Asked]) -> Iterator[Found]:
    """What a worker does; it keeps the reference for the next windows."""
    key = pickle.dumps(config)
    if key not in _references:
        _references.clear()
        _references[key] = reference_step.load(config)
    for window, known in asked:
        yield _one(config, window, _references[key], known)


_references: dict[bytes, Reference] = {}
