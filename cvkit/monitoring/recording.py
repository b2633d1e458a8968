"""Recording: what was measured of windows is weighed in order of time, judged, and put into the history."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import pandas as pd

from cvkit.config import Config
from cvkit.errors import ConfigError, CvkitError, StorageError
from cvkit.monitoring import alarms, measure, rules
from cvkit.monitoring.alarms import Key, Reading
from cvkit.monitoring.entries import State
from cvkit.monitoring.history import History
from cvkit.monitoring.identity import rules_id
from cvkit.monitoring.reference import Reference
from cvkit.tables import MEASUREMENTS, Window

FOREVER = datetime.max.replace(tzinfo=UTC)
TOGETHER = 10  # windows that are written in one piece
PATIENCE_S = 30.0  # after which what waits is written, however little it is


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What is kept of a window until it is weighed; small, so that it may come from another process."""

    window: Window
    measurements: pd.DataFrame  # table MEASUREMENTS
    readings: Mapping[Key, Reading]
    sources: frozenset[str]  # that sent images
    images: int
    bad_images: int
    labels: str  # the label files that were there (`sources.labels_state`)
    started: datetime


@dataclass(slots=True, eq=False)
class Past:
    """What a window is weighed against."""

    streams: dict[Key, State]  # evidence of all windows measured so far
    firsts: dict[str, datetime]  # start of the first window in which each source sent images

    @classmethod
    def read(cls, config: Config, reference: Reference, history: History, since: datetime | None = None) -> Past:
        """What the history knows; what was found after windows before `since` is left out, where it is given."""
        key = config.model.name, config.version
        return cls(history.streams(*key, reference.id, since=since), history.first_images(*key))

    def known(self, window: Window) -> set[str]:
        """The sources that are missed where they send nothing in a window."""
        return {source for source, first in self.firsts.items() if first <= window.start}


@dataclass(slots=True, eq=False)
class Recording:
    """A history into which windows are put, several at a time where they are new; used as a context.

    A window takes the place of what stood there about it; later ones that it throws another light on are judged again.
    What is lost where the process is killed is as if it had never been measured.
    """

    config: Config
    reference: Reference
    history: History
    past: Past = field(init=False)
    _all: set[Window] = field(init=False)  # that were measured
    _done: set[Window] = field(init=False)  # against this reference, and judged by these rules
    _waiting: list[dict[str, Any]] = field(default_factory=list)
    _since: float = field(default_factory=time.monotonic)
    _whole: bool = False  # whether `past` holds what was found after each window, and not only what it told

    def __post_init__(self) -> None:
        self.past = Past.read(self.config, self.reference, self.history, since=FOREVER)  # a new window needs no more
        # What was judged against another reference or by other rules is left as it is: these have no say in it.
        judged = {"reference_id": self.reference.id, "rules_id": rules_id(self.config)}
        self._done = set(self.history.measured_windows(*self._whose, **judged))
        self._all = set(self.history.measured_windows(*self._whose))
        self._check_length()

    def _check_length(self) -> None:
        """Raise ConfigError where windows were measured that are of another length: evidence of both tells nothing."""
        length = self.config.window_length
        if other := next((one for one in self._all if one.end - one.start != length), None):
            hours = (other.end - other.start) / timedelta(hours=1)
            raise ConfigError(
                "windows of another length were measured before", where="window_hours in cvkit.yml",
                expected=f"{hours:g}, as the history has it", found=f"{length / timedelta(hours=1):g}",
                remedy="set it back, or begin another history: name one as `history`, then `cvkit run --from DAY`",
            )  # fmt: skip

    @property
    def _whose(self) -> tuple[str, str]:
        return self.config.model.name, self.config.version

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, StorageError):  # whatever else went wrong, what was measured is kept
            self.write()

    def put(self, told: Told) -> pd.DataFrame:
        """Weigh and judge a window, and record it, at the latest when the context ends. Its verdicts."""
        window, again = told.window, told.window in self._all
        later = [one for one in self._done if one.start > window.start]
        if any(one.start >= window.start for one in self._all):
            self._go_back()
        before = self.past.streams
        self.past.streams = alarms.enter(before, window, told.readings, self.config.rules)
        verdicts = judge(self.config, window, told.measurements, self.past.streams)
        self._waiting.append({
            "window": window, "measurements": told.measurements, "verdicts": verdicts, "images": told.images,
            "bad_images": told.bad_images, "started": told.started, "labels": told.labels,
            "later": self._judged_later(told, later, before),
        })  # fmt: skip
        self._all.add(window)
        self._done.add(window)
        for source in told.sources:
            self.past.firsts[source] = min(self.past.firsts.get(source, FOREVER), window.start)
        if later or again or len(self._waiting) >= TOGETHER or time.monotonic() - self._since > PATIENCE_S:
            self.write()
        if again:  # a source may have sent something then, and nothing now
            self.past.firsts = self.history.first_images(*self._whose)
        return verdicts

    def failed(self, window: Window, error: CvkitError) -> None:
        """Record that a window could not be measured: it must not look as if it was never due."""
        self.history.record_failure(*self._whose, window, datetime.now(UTC), str(error))

    def write(self) -> None:
        """Write all that waits, in one transaction."""
        model, version = self._whose
        if self._waiting:
            since = min(row["window"].start for row in self._waiting)  # windows before it told what they had told
            with self.history.together():
                for place, row in enumerate(self._waiting, 1):
                    self.history.record(
                        model=model, version=version, reference_id=self.reference.id, rules_id=rules_id(self.config),
                        streams=self.past.streams if place == len(self._waiting) else None, since=since, **row,
                    )  # fmt: skip
        self._waiting, self._since = [], time.monotonic()

    def _go_back(self) -> None:
        """Make ready for a window that is not the newest: what was found after later ones is read, and judged again."""
        self.write()
        if not self._whole:
            self.past.streams = self.history.streams(*self._whose, self.reference.id)
            self._whole = True

    def _judged_later(
        self, told: Told, later: list[Window], before: dict[Key, State]
    ) -> dict[Window, tuple[pd.DataFrame, pd.DataFrame]]:  # fmt: skip
        """Verdicts on the windows measured before this one though they are later, where it tells something new.

        And the measurements that come to theirs: of sources that are now known to have been silent there.
        """
        start, firsts = told.window.start, self.past.firsts
        new = {source: start for source in told.sources if firsts.get(source, FOREVER) > start}
        since = max(start, alarms.kept_since(self.past.streams))
        later = sorted(one for one in later if one.start > since)
        if not later or (not new and self.past.streams == before):
            return {}
        model, version = self._whose
        measured = self.history.measurements(start=later[0].start, model=model, version=version)
        verdicts = {}
        for one in later:
            known = {source for source, first in {**firsts, **new}.items() if first <= one.start}
            rows = measured.loc[measured["window_start"] == one.start, list(MEASUREMENTS)]
            silent = measure.of_silent(known - set(rows["source"]), self.reference, self.config.window_length)
            whole = pd.concat([rows, silent]) if len(silent) else rows
            verdicts[one] = judge(self.config, one, whole, self.past.streams), silent
        return verdicts


def judge(config: Config, window: Window, measurements: pd.DataFrame, streams: dict[Key, State]) -> pd.DataFrame:
    """Table VERDICTS on a window, by what was measured and by the evidence of all windows."""
    told = {key: alarm for key, state in streams.items() if (alarm := alarms.at(state, window.start))}
    verdicts = rules.judge(measurements, config.rules, told, config.window_hours / 24)
    if window.start < alarms.kept_since(streams):
        lost = (verdicts["rule"] == "drift") & (verdicts["state"] == "unknown")
        verdicts.loc[lost, "reason"] = f"older than the {alarms.MOST_WINDOWS} windows of which evidence is kept"
    return verdicts
