"""Facts about a model, written by hand in the words of the grid: what decisions are made on, without a history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cvkit.config.retraining import RetrainingSettings
from cvkit.maintenance.facts import Change, Evidence, Fault, Number, Restored, Source
from cvkit.maintenance.updates import Attempt, Update
from cvkit.tables import Window

NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
ONSET = NOW - timedelta(days=12)
SETTINGS = (
    RetrainingSettings()
)  # margin .02, at least 50 labels, cooldown and trial of 7 days, drastic from .2 and 2 sds


def days(number: float) -> datetime:
    return NOW - timedelta(days=number)


def change(feature: str, gradual: float, effect: float = 1.0, onset: datetime = ONSET) -> Change:
    return Change(feature, "critical", onset, gradual, effect, f"2026-11-20/cam-1/drift:{feature}")


def f1(value: float, low: float, high: float) -> dict[str, Any]:
    return {"f1": Number(value, low, high, 0.9, 7, ("2026-11-20/cam-1/performance.f1",))}


def ap(value: float, low: float, high: float) -> dict[str, Any]:
    return {"estimate": Number(value, low, high, 0.6, 7, ("2026-11-20/cam-1/estimate.ap",))}


STEP, RAMP, UNTOLD = 0.02, 0.98, float("nan")
DRIFT: dict[str, tuple[Change, ...]] = {
    "none": (),
    "look, bit by bit": (change("brightness", RAMP, 5.0),),
    "look, at once": (change("brightness", STEP, 5.0),),
    "view, bit by bit": (change("embedding", RAMP, 3.0), change("contrast", STEP)),
    "view, at once, small": (change("embedding", STEP, 1.0),),
    "view, at once, large": (change("embedding", STEP, 3.0),),
    "view, large, too early": (change("embedding", UNTOLD, 3.0),),
    "mix, bit by bit": (change("class_mix", RAMP, 0.7),),
    "mix, at once": (change("class_mix", STEP, 0.7),),
}
ALARM = {"worse": True}
HARM: dict[str, dict[str, Any]] = {
    "none by labels": {"worse": False, **f1(0.9, 0.89, 0.91)},
    "none by estimate": {**ap(0.6, 0.59, 0.61)},
    "unknown": {},
    "labels undecided": {"worse": False, **f1(0.85, 0.7, 0.95)},
    "likely by labels": {"worse": False, **f1(0.8, 0.75, 0.85)},
    "likely by estimate": {**ap(0.4, 0.3, 0.5)},
    "shown, bit by bit": {**ALARM, **f1(0.6, 0.55, 0.65), "changes": (change("f1", RAMP, 3.0),)},
    "shown, at once, small": {**ALARM, **f1(0.8, 0.77, 0.83), "changes": (change("f1", STEP, 2.0),)},
    "shown, at once, large": {**ALARM, **f1(0.5, 0.45, 0.55), "changes": (change("f1", STEP, 4.0),)},
    "shown, large, too early": {**ALARM, **f1(0.5, 0.45, 0.55), "changes": (change("f1", UNTOLD, 4.0),)},
}
LABELS = {"no": 0, "few": 20, "enough": 200}
BEFORE = {"before": Number(0.9, 0.88, 0.92, 0.9, 7, ("2026-11-01/cam-1/performance.f1",))}


def update(ago: float, back: bool = False) -> dict[str, Any]:
    return {"update": Update("new", "old", days(ago), back)}


def refused(*kinds: str, ago: float = 3) -> dict[str, Any]:
    return {"attempts": tuple(Attempt(f"v-{kind}", kind, "new", days(ago)) for kind in kinds)}


# What happened before, and what else is known: facts about the source, about the model, and other settings.
HISTORY: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "": ({}, {}, {}),
    "updated long ago": ({}, update(60), {}),
    "updated 2 days ago": ({}, update(2), {}),
    "rolled back 2 days ago": ({}, update(2, back=True), {}),
    "worse since the update 13 days ago": (BEFORE, update(13), {}),
    "worse since, before unknown": ({}, update(13), {}),
    "worse since, before as bad": ({"before": Number(0.5, 0.4, 0.6, 0.9, 7)}, update(13), {}),
    "worse since the way back": (BEFORE, update(13, back=True), {}),
    "worse since, and the picture changed": ({**BEFORE, "more": (change("contrast", STEP),)}, update(13), {}),
    "worse long after the update": (BEFORE, update(60), {}),
    "incremental refused": ({}, refused("incremental"), {}),
    "incremental refused before the change": ({}, refused("incremental", ago=30), {}),
    "both refused": ({}, refused("incremental", "full"), {}),
    "calendar, due": ({}, update(100), {"every_days": 90.0}),
    "calendar, not due": ({}, update(60), {"every_days": 90.0}),
    "calendar, due, never updated": ({}, {}, {"every_days": 10.0}),
    "frozen": ({"faults": (Fault("frozen", "critical", "k"),)}, {}, {}),
    "a few damaged": ({"faults": (Fault("truncated", "warning", "k"),)}, {}, {}),
    "silent": ({"images": 0}, {}, {}),
    "new class": ({"new_class": "2026-11-20/cam-1/quality:unknown_class"}, {}, {}),
    "new class, frozen": ({"new_class": "k", "faults": (Fault("frozen", "critical", "k"),)}, {}, {}),
    "odd images": ({"odd": "2026-11-20/cam-1/quality:strange"}, {}, {}),
    "threshold helps": ({"restored": Restored(0.6, 0.9, 0.6, 200)}, {}, {}),
    "threshold helps, updated 2 days ago": ({"restored": Restored(0.6, 0.9, 0.6, 200)}, update(2), {}),
    "threshold helps a little": ({"restored": Restored(0.6, 0.8, 0.6, 200)}, {}, {}),
    "new camera": ({"known": False, "drift_judged": False}, {}, {}),
}


def source(drift: str, harm: str, labels: str, history: str = "", name: str = "cam-1") -> Source:
    facts = dict(HARM[harm])
    extra = dict(HISTORY[history][0])
    changes = (*DRIFT[drift], *facts.pop("changes", ()), *extra.pop("more", ()))
    told = {"images": 24, "labelled": LABELS[labels], "changes": changes, **facts, **extra}
    return Source(name, label_keys=(f"2026-11-20/{name}/performance.coverage",) if LABELS[labels] else (), **told)


def evidence(*sources: Source, history: str = "", now: datetime = NOW, **more: Any) -> Evidence:
    facts = {"window": Window.day("2026-11-20"), "first": days(40), "confidence": 0.25, **HISTORY[history][1], **more}
    return Evidence("m", "new", now, sources=sources, **facts)


def settings(history: str = "", **more: Any) -> RetrainingSettings:
    return RetrainingSettings(**{**HISTORY[history][2], **more})
