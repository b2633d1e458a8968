"""Live metrics of the recorders of this process, as Prometheus scrapes them.

One registry for the process: several recorders are several sources in it. Labels are bounded: a recorder's own source,
its models and versions, and the first `MOST_CLASSES` classes that were seen; what comes later is `other`.
"""

from __future__ import annotations

import copy
import functools
import os
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cvkit import serving
from cvkit.data.recorder_files import Looked, readable

MOST_CLASSES = 100
OTHER = "other"
LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
LABELS = ("source", "model", "version")

Key = tuple[str, ...]


@dataclass(slots=True)
class Counts:
    """What one recorder counts itself; plain numbers that are read at any time."""

    accepted: int = 0
    written: int = 0
    refused: int = 0  # records not taken: the queue was full, or the recorder closed
    given_up: int = 0  # records taken that could never be written
    failed: int = 0  # records lost to mistakes of the recorder's own, or to what it was given
    errors: int = 0  # of the model
    kept: int = 0  # frames


@dataclass(slots=True)
class Spread:
    """A histogram: counts between `edges`, and the sum of what was counted."""

    edges: tuple[float, ...]
    counts: NDArray[np.int64]
    total: float = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Count values; NaN is none."""
        finite = values[np.isfinite(values)]
        places = np.searchsorted(self.edges, finite, side="left")  # a bucket holds what is at most its edge
        self.counts += np.bincount(places, minlength=len(self.edges) + 1)
        self.total += float(finite.sum())

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper edge, as Prometheus has them."""
        names = [*(f"{edge:g}" if edge % 1 else f"{edge:.1f}" for edge in self.edges), "+Inf"]
        return list(zip(names, np.cumsum(self.counts).astype(float).tolist(), strict=True))


def spread(edges: tuple[float, ...]) -> Spread:
    """An empty histogram."""
    return Spread(edges, np.zeros(len(edges) + 1, np.int64))


@dataclass(slots=True)
class Tally:
    """What was counted of one model and version."""

    frames: int = 0
    latency: Spread = field(default_factory=lambda: spread(LATENCY_S))
    confidence: Spread = field(default_factory=lambda: spread(CONFIDENCE))
    detections: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    brightness: float = np.nan


class Metrics:
    """The metrics of one recorder; `add` is called by its writer only."""

    def __init__(self, source: str, counts: Counts, waiting: Callable[[], int]) -> None:
        self.source, self.counts, self.waiting = source, counts, waiting
        self.tallies: dict[Key, Tally] = {}
        self.lock = threading.Lock()
        with _lock:
            _living.add(self)

    def add(self, looked: Sequence[Looked]) -> None:
        """Count some records."""
        groups: dict[int, list[Looked]] = {}
        for one in looked:
            groups.setdefault(id(one.record.deployed), []).append(one)
        for group in groups.values():
            deployed = group[0].record.deployed
            key = (self.source, readable(deployed.model), readable(deployed.version))
            with self.lock:
                self._count(self.tallies.setdefault(key, Tally()), group, deployed.classes or {})

    def _count(self, tally: Tally, group: Sequence[Looked], classes: dict[int, str]) -> None:
        tally.frames += len(group)
        tally.latency.add(np.array([one.record.latency_s for one in group], np.float64))
        boxes = np.concatenate([one.record.boxes for one in group])
        tally.confidence.add(boxes[:, 4])
        kinds, counts = np.unique(boxes[:, 5], return_counts=True, equal_nan=True)
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            tally.detections[_class_label(kind, classes, tally.detections)] += count
        for one in reversed(group):
            if one.facts is not None and np.isfinite(one.facts.brightness):
                tally.brightness = one.facts.brightness
                break

    def close(self) -> None:
        """Show no more of this recorder."""
        with _lock:
            _living.discard(self)


def _class_label(kind: float, classes: dict[int, str], seen: dict[str, int]) -> str:
    number = int(kind) if np.isfinite(kind) else -1
    name = readable(classes.get(number, str(number)))
    return name if name in seen or len(seen) < MOST_CLASSES else OTHER


class _AllRecorders(Collector):
    """What all living recorders of the process have counted; those of one source and model are summed."""

    def collect(self) -> Iterator[Metric]:
        """The metric families at this moment."""
        with _lock:
            recorders = sorted(_living, key=lambda one: one.source)
        yield from _own_counts(recorders)
        tallies: dict[Key, list[Tally]] = defaultdict(list)
        for one in recorders:
            with one.lock:
                for key, tally in one.tallies.items():
                    tallies[key].append(copy.deepcopy(tally))
        yield from _of_models(tallies)


def _own_counts(recorders: Sequence[Metrics]) -> Iterator[Metric]:
    kinds: dict[str, tuple[str, Callable[[Counts], int]]] = {
        "cvkit_records_accepted": ("Records taken.", lambda one: one.accepted),
        "cvkit_records_written": ("Records in whole files.", lambda one: one.written),
        "cvkit_records_dropped": (
            "Records refused or given up: the store was full or slow, or the record could not be used.",
            lambda one: one.refused + one.given_up + one.failed,
        ),
        "cvkit_inference_errors": ("Errors of the model.", lambda one: one.errors),
        "cvkit_frames_kept": ("Frames kept as pictures.", lambda one: one.kept),
    }
    for name, (words, number) in kinds.items():
        sums: dict[str, int] = defaultdict(int)
        for one in recorders:
            sums[one.source] += number(one.counts)
        family = CounterMetricFamily(name, words, labels=["source"])
        for source, value in sums.items():
            family.add_metric([source], value)
        yield family
    queued: dict[str, int] = defaultdict(int)
    for one in recorders:
        queued[one.source] += one.waiting()
    waiting = GaugeMetricFamily("cvkit_records_waiting", "Records not in a file yet.", labels=["source"])
    for source, value in queued.items():
        waiting.add_metric([source], value)
    yield waiting


def _of_models(tallies: dict[Key, list[Tally]]) -> Iterator[Metric]:
    frames = CounterMetricFamily("cvkit_frames", "Frames the model saw.", labels=LABELS)
    detections = CounterMetricFamily("cvkit_detections", "Boxes predicted, by class.", labels=(*LABELS, "class"))
    latency = HistogramMetricFamily("cvkit_inference_latency_seconds", "Time a frame took the model.", labels=LABELS)
    sure = HistogramMetricFamily("cvkit_detection_confidence", "Confidence of predicted boxes.", labels=LABELS)
    light = GaugeMetricFamily(
        "cvkit_image_brightness", "Mean grey level (0-255) of the last frame that was looked at.", labels=LABELS
    )
    for key, parts in tallies.items():
        frames.add_metric(key, sum(one.frames for one in parts))
        for name in sorted({name for one in parts for name in one.detections}):
            detections.add_metric((*key, name), sum(one.detections.get(name, 0) for one in parts))
        _add_spread(latency, key, [one.latency for one in parts])
        _add_spread(sure, key, [one.confidence for one in parts])
        if known := [one.brightness for one in parts if np.isfinite(one.brightness)]:
            light.add_metric(key, known[-1])
    yield from (frames, detections, latency, sure, light)


def _add_spread(family: HistogramMetricFamily, key: Key, parts: Sequence[Spread]) -> None:
    counts = np.sum([one.counts for one in parts], axis=0)
    whole = Spread(parts[0].edges, counts, sum(one.total for one in parts))
    family.add_metric(key, whole.buckets(), whole.total)


# -- the process's registry and servers -----------------------------------------------------------------------------

_living: weakref.WeakSet[Metrics] = weakref.WeakSet()
_servers: dict[tuple[str, int], tuple[Any, threading.Thread, int]] = {}
_lock, _server_lock = threading.Lock(), threading.Lock()


@functools.cache
def registry() -> CollectorRegistry:
    """The registry of all recorders of this process and of its own resources, for an endpoint that is there already."""
    made = CollectorRegistry()
    made.register(_AllRecorders())
    ProcessCollector(registry=made)
    return made


def serve(port: int, address: str) -> int:
    """Serve the metrics at /metrics, once for all recorders that ask for this port; 0 is any that is free.

    The port. Raises OSError where another process has it.
    """
    with _server_lock:
        if port and (address, port) in _servers:
            server, thread, users = _servers[address, port]
            _servers[address, port] = server, thread, users + 1
            return port
        server = serving.server(make_wsgi_app(registry()), address, port)
        thread = threading.Thread(target=server.serve_forever, name="recorder-metrics", daemon=True)
        thread.start()
        taken = int(server.server_port)
        _servers[address, taken] = server, thread, 1
        return taken


def end_serving(port: int, address: str) -> None:
    """Stop serving once no recorder asks for the port any more."""
    with _server_lock:
        if (address, port) not in _servers:
            return
        server, thread, users = _servers[address, port]
        if users > 1:
            _servers[address, port] = server, thread, users - 1
            return
        del _servers[address, port]
    server.shutdown()
    server.server_close()
    thread.join(timeout=1)


def _forget_parent() -> None:
    """In a forked child: the parent's servers and recorders are not its own."""
    global _lock, _server_lock
    _lock, _server_lock = threading.Lock(), threading.Lock()
    for server, _, _ in _servers.values():
        server.socket.close()
    _servers.clear()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
