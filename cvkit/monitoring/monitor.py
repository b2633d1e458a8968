"""The flow of one window, on one screen: records, features, findings, measurements, verdicts, history."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from cvkit import markup
from cvkit.config import Config
from cvkit.data import embeddings, headers, sources, yolo
from cvkit.data import features as feature_step
from cvkit.data.label_plans import sampling_weights
from cvkit.data.records import Records
from cvkit.errors import CvkitError, DataError
from cvkit.monitoring import alarms, anomalies, basis, estimate, labels, measure, parts, quality
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.alarms import Key, Reading
from cvkit.monitoring.entries import State
from cvkit.monitoring.history import History
from cvkit.monitoring.recording import Past, Recording, Told, judge
from cvkit.monitoring.reference import Reference
from cvkit.tables import FINDINGS, MEASUREMENTS, VERDICTS, Window, conform, empty

log = logging.getLogger(__name__)
EMPTY_DAYS = 31  # windows without captures are measured this long after the last with some
LATE_LABELS = 60  # newest measured windows that are looked at for labels that came late
UNGIVEN = " not all given"  # behind the name of label files, where the store did not give some file
LATE_WINDOWS = 7  # newest measured windows that are looked at for images that came late

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything known about one window."""

    window: Window
    reference: Reference
    records: Records
    features: pd.DataFrame  # table FEATURES
    embeddings: pd.DataFrame  # image_id and embedding; empty without weights
    anomalies: pd.DataFrame  # table ANOMALIES
    findings: pd.DataFrame  # table FINDINGS
    measurements: pd.DataFrame  # table MEASUREMENTS
    streams: dict[Key, State]  # evidence over all windows, this one included
    verdicts: pd.DataFrame  # table VERDICTS
    confidence: float = 0.0  # that the deployed model cuts at
    weights: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))  # of images that a plan asked for

    def _repr_html_(self) -> str:
        return markup.window(self.window.label, self.verdicts, self.features, self.findings)


def observe(
    config: Config,
    window: Window,
    reference: Reference | None = None,
    history: History | None = None,
    progress: Progress = lambda done, total: None,
) -> Observation:
    """Measure and judge one window, in the light of the windows before it, without writing to the history.

    `progress` hears images done and in all.
    """
    reference = reference or reference_step.load(config)
    if history is None:
        with History.open(config.history_url) as opened:
            past = Past.read(config, reference, opened)
    else:
        past = Past.read(config, reference, history)
    looked = measured(config, window, reference, past.known(window), progress)
    streams = alarms.enter(past.streams, window, looked.readings, config.rules)
    return _observation(config, window, reference, looked, streams, judge(config, window, looked.measurements, streams))


def measured(
    config: Config, window: Window, reference: Reference, known: Collection[str] = (),
    progress: Progress = lambda done, total: None,
) -> Looked:  # fmt: skip
    """What a window is by itself, whatever was before it; sources `known` are missed where they sent nothing."""
    basis.ready(config, reference)
    records, new = seen(config, window, progress)
    looked = _look(config, window, reference, records, new, progress)
    apart = parts.apart(
        looked.usual, records.predictions, looked.vectors, looked.findings, looked.anomalies,
        {*known, *(one for one in reference.sources if one)},
    )  # fmt: skip
    met = measure.meet(apart, reference, config.window_length)
    found = measure.measure(
        met, records, looked.usual, looked.findings, reference, config.rules.false_flags, config.model.confidence,
        looked.weights,
    )  # fmt: skip
    predictor = estimate.load(config, reference, progress)
    estimates = estimate.measure(predictor, config, records, looked.features, looked.embeddings)
    readings = measure.readings(met, reference.independent)
    return looked._replace(measurements=conform(pd.concat([found, estimates]), MEASUREMENTS), readings=readings)


def recall(
    config: Config, window: Window, history: History, reference: Reference | None = None, source: str = "",
    streams: dict[Key, State] | None = None,
) -> Observation:  # fmt: skip
    """A measured window as the history has it, with its images at hand; of one `source` only, where it is given.

    Measurements, verdicts and evidence are as they were recorded, and nothing is measured but images that the caches do
    not know: so this takes a fraction of `observe`. `streams` are the history's, where they were read before, as they
    are the same for all windows. Raises DataError where the window was not measured.
    """
    reference = reference or reference_step.load(config)
    whose, of = {"model": config.model.name, "version": config.version}, {"source": source} if source else {}
    start, end = window.start, window.start + timedelta(microseconds=1)
    known, judged = (read(start=start, end=end, **whose, **of) for read in (history.measurements, history.verdicts))
    if known.empty:
        raise DataError(
            "there is nothing in the history", where=f"window {window}" + (f", source {source}" if source else ""),
            expected="a window that was measured",
            remedy=f"run `cvkit run --window {window.start:%Y-%m-%d}`, or choose another",
        )  # fmt: skip
    records, new = seen(config, window, source=source or None)
    looked = _look(config, window, reference, records, new)
    looked = looked._replace(measurements=conform(known[list(MEASUREMENTS)], MEASUREMENTS))
    if streams is None:
        about = config.model.name, config.version, reference.id
        streams = history.streams(*about, source=source or None, since=window.start)
    verdicts = conform(judged[list(VERDICTS)], VERDICTS)
    return _observation(config, window, reference, looked, streams, verdicts)


class Looked(NamedTuple):
    """What a window's images show by themselves, before they are weighed against other windows."""

    records: Records
    features: pd.DataFrame
    embeddings: pd.DataFrame
    usual: pd.DataFrame  # features as in ordinary contexts
    vectors: pd.DataFrame  # embeddings as in ordinary contexts
    anomalies: pd.DataFrame
    findings: pd.DataFrame
    weights: pd.Series
    measurements: pd.DataFrame = empty(MEASUREMENTS)
    readings: Mapping[Key, Reading] = MappingProxyType({})  # what each stream of evidence is told


def _look(
    config: Config, window: Window, reference: Reference, records: Records, new: pd.DataFrame,
    progress: Progress = lambda done, total: None,
) -> Looked:  # fmt: skip
    features = feature_step.extract(config, records, config.workspace / "features" / feature_step.VERSION, progress)
    place = config.workspace / "embeddings" / _embedder(config)
    records, embedded = embeddings.extract(config, records, new, place, progress)
    weights = sampling_weights(config, records.images["image_id"])
    usual, vectors = reference_step.ordinary(reference, labels.only_speaking(records, features, weights), embedded)
    findings = quality.find(records, usual, reference.limits, window, predicts=config.predicts)
    odd = anomalies.find(usual, vectors, reference, config.rules.false_flags, config.window_length)
    findings = conform(pd.concat([findings, anomalies.findings(odd)]), FINDINGS)
    return Looked(records, features, embedded, usual, vectors, odd, findings, weights)


def _observation(
    config: Config, window: Window, reference: Reference, looked: Looked, streams: dict[Key, State],
    verdicts: pd.DataFrame,
) -> Observation:  # fmt: skip
    return Observation(
        window, reference, looked.records, looked.features, looked.embeddings, looked.anomalies, looked.findings,
        looked.measurements, streams, verdicts, config.model.confidence, looked.weights,
    )  # fmt: skip


def seen(
    config: Config, window: Window, progress: Progress = lambda done, total: None, source: str | None = None
) -> tuple[Records, pd.DataFrame]:
    """What the model saw and said in a window, of one `source` where it is given, and new embeddings."""
    found = sources.load_captures(config, window, source)
    return yolo.predict_missing(config, found, config.workspace / "predictions" / _predictor(config), progress)


def run(config: Config, window: Window, history: History, reference: Reference | None = None) -> Observation:
    """Observe a window and put it into the history, in place of what stood there about it; see `recording`."""
    reference = reference or reference_step.load(config)
    with Recording(config, reference, history) as recording:
        started = datetime.now(UTC)
        try:
            looked = measured(config, window, reference, recording.past.known(window))
        except CvkitError as error:
            recording.failed(window, error)
            raise
        verdicts = recording.put(told(config, window, looked, started))
    return _observation(config, window, reference, looked, recording.past.streams, verdicts)


def told(config: Config, window: Window, looked: Looked, started: datetime) -> Told:
    """What the history is to know of a window that was measured, and what later windows are weighed against.

    Images that the store did not give are none that were there, so that the window is due again.
    """
    images, findings = looked.records.images["image_id"], looked.findings
    bad = int(images.isin(findings["image_id"]).sum())
    ungiven = findings["detail"].str.contains(headers.NOT_GIVEN, regex=False)
    given = len(images) - int(images.isin(findings.loc[ungiven, "image_id"]).sum())
    log.info("%s: %d images, %d with findings", window, len(images), bad)
    return Told(
        window, looked.measurements, looked.readings, frozenset(map(str, looked.features["source"].unique())),
        given, bad, sources.labels_state(config, window) + UNGIVEN * bool(ungiven.any()), started,
    )  # fmt: skip


def due(config: Config, history: History, now: datetime, most: int = 400) -> list[Window]:
    """Complete windows that may hold captures and have not been measured, oldest first.

    A window without captures is due for `EMPTY_DAYS` after the last one that may hold some, so that a camera that falls
    silent is told; not where all captures are older than that, which are a thing of the past. One folder with a wrong
    date does not make a century due. Of the newest `most` windows only. A window that was measured is due again where
    more images lie there now than it had: the newest `LATE_WINDOWS`, and any that had none; and where its labels are
    others than they were: the newest `LATE_LABELS`.
    """
    dates, today = sources.capture_dates(config), sources.clock(config, max(now, datetime.now(UTC))).date()
    now = sources.clock(config, now)  # of what is caught up with: what came since lies in nobody's future
    if ahead := [str(day) for day in dates if day > today + timedelta(days=1)]:
        log.warning("captures that lie in the future are left alone: %s", ", ".join(ahead[:5]))
    past = [day for day in dates if day <= now.date()]
    if not past:
        return []
    done = _complete(config, history, set(past))
    near = {day + timedelta(days=more) for day in past for more in range(EMPTY_DAYS + 1)}
    first, last = (datetime.combine(day, datetime.min.time(), UTC) for day in (past[0], past[-1]))
    silent = now - last <= timedelta(days=EMPTY_DAYS)
    end = now if silent else last + timedelta(days=1)
    start = max(first, end - most * config.window_length)
    return [window for window in windows(config, start, end) if window.start.date() in near and window not in done]


def _complete(config: Config, history: History, days: set[date]) -> set[Window]:
    """The windows measured with all images that there are; `days` may have some."""
    runs = history.runs(model=config.model.name, version=config.version, status="done").sort_values("window_start")
    columns = (runs[name] for name in ("window_start", "window_end", "images", "labels"))
    measured = {
        Window(start.to_pydatetime(), end.to_pydatetime()): (int(images), str(labels))
        for start, end, images, labels in zip(*columns, strict=True)
    }
    asked = [*list(measured)[-LATE_WINDOWS:], *(one for one, (images, _) in measured.items() if not images)]
    late = {
        window
        for window in asked
        if window.start.date() in days and sources.image_count(config, window) > measured[window][0]
    }
    labelled = list(measured)[-LATE_LABELS:] if config.captures.labels else []
    late |= {window for window in labelled if sources.labels_state(config, window) not in ("", measured[window][1])}
    return set(measured) - late


def windows(config: Config, start: datetime, end: datetime) -> Iterator[Window]:
    """The windows that lie wholly between `start`, rounded down to a window's start, and `end`."""
    length = config.window_length
    midnight = datetime.combine(start.astimezone(UTC).date(), datetime.min.time(), UTC)
    first = midnight + (start - midnight) // length * length
    while first + length <= end:
        yield Window(first, first + length)
        first += length


def _predictor(config: Config) -> str:
    """Folder for what the weights predict: other weights or another way of running them predict anew."""
    return f"{_embedder(config)}-{config.model.confidence:g}"


def _embedder(config: Config) -> str:
    return f"{config.version}-{config.model.image_size}px"
