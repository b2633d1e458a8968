"""Facts: what is known of a model in use and its sources, as plain numbers, each with the keys of what it came from.

A key names a measurement, `2026-10-21/cam-1/performance.f1`, or a verdict, `2026-10-21/cam-1/drift:brightness`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from cvkit.maintenance.updates import Attempt, Update
from cvkit.stats.quality.decay import Decay
from cvkit.tables import PREDICTION_FEATURES, Window


@dataclass(frozen=True, slots=True)
class Number:
    """A number over several windows."""

    value: float = math.nan
    low: float = math.nan  # 95 % interval; of estimates the mean band
    high: float = math.nan
    expected: float = math.nan  # the reference's
    n: int = 0  # windows
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A feature whose verdict is not ok, in the newest window that could judge it."""

    feature: str
    state: str
    onset: datetime
    gradual: float  # probability that it came bit by bit; NaN where nothing tells
    effect: float  # reference standard deviations; Cohen's w of the class mix; NaN where nothing tells
    key: str

    @property
    def part(self) -> str:
        """What of the model's world it is about: performance, appearance, class mix or predictions."""
        named = {"f1": "performance", "class_mix": "class mix", **dict.fromkeys(PREDICTION_FEATURES, "predictions")}
        return named.get(self.feature, "appearance")


@dataclass(frozen=True, slots=True)
class Fault:
    """A finding about the data themselves whose verdict is not ok in the newest window."""

    finding: str
    state: str
    key: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What another confidence would do for F1."""

    confidence: float
    f1: float  # on images that it was not chosen on
    now: float  # at the confidence that holds now
    images: int


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of one source since the last update."""

    name: str
    images: int = 0  # in the newest window
    known: bool = True  # the reference has images of it
    drift_judged: bool = True  # some verdict on drift is not unknown
    changes: tuple[Change, ...] = ()
    faults: tuple[Fault, ...] = ()
    new_class: str = ""  # key of the verdict that labels hold an unknown class
    odd: str = ""  # key of the newest verdict that too many images are strange
    worse: bool | None = None  # the newest verdict on F1 by labels since the change; None: there is none
    f1: Number = field(default_factory=Number)  # by labels
    estimate: Number = field(default_factory=Number)  # AP without labels
    before: Number = field(default_factory=Number)  # F1 of the version before the last update, in its last windows
    labelled: int = 0  # images since the change, or since the last update
    drawn: float = math.nan  # share of them that a label plan drew
    label_keys: tuple[str, ...] = ()
    restored: Restored | None = None
    decay: Decay = field(default_factory=lambda: Decay(math.nan, math.nan, math.nan, 0))  # of F1

    @property
    def since(self) -> datetime | None:
        """When the first change that lasts began."""
        return min((change.onset for change in self.changes), default=None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a decision rests on."""

    model: str
    version: str
    now: datetime
    window: Window | None  # the newest that was measured since the last update
    first: datetime | None  # start of the first window measured of this version
    sources: tuple[Source, ...] = ()
    update: Update | None = None  # the last one, where it made this version the one in use
    attempts: tuple[Attempt, ...] = ()  # trainings from this version that the gate refused
    decided: str = ""  # action of the last decision about this version
    decided_since: datetime | None = None  # when it was first decided, of an unbroken row of the same
    confidence: float = math.nan  # that the model cuts at

    @property
    def id(self) -> str:
        """Name of these facts: whatever the hour, and whatever was decided on them."""
        told = {name: value for name, value in plain(self).items() if name not in ("now", "decided", "decided_since")}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def plain(value: Any) -> Any:
    """Values as JSON has them: NaN is nothing, moments are ISO."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, str | int) else plain(asdict(value))
