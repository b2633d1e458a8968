"""Situation: what the facts about one source come to, in the words of the table of policies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cvkit.config.retraining import RetrainingSettings
from cvkit.maintenance.facts import Change, Evidence, Number, Source
from cvkit.monitoring.rules import GRADUAL
from cvkit.tables import FINDING_WORDS, PROPERTIES

HARMED = ("shown", "likely")
# Whose course counts, where several features changed: what labels tell first, then what the model makes of the images.
LEADING = ("f1", "embedding", "confidence", "class_mix")


@dataclass(frozen=True, slots=True)
class Aspect:
    """One condition of the table as it is now."""

    value: str | bool | frozenset[str]
    words: str  # with the numbers behind it
    keys: tuple[str, ...] = ()


Situation = Mapping[str, Aspect]  # by condition


def situations(evidence: Evidence, settings: RetrainingSettings) -> dict[str, Situation]:
    """The situation of each source, by its name."""
    harms = {source.name: _harm(source, settings) for source in evidence.sources}
    # Labels of a class that the model does not know are of no use to a training as it is.
    harmed = [one for one in evidence.sources if harms[one.name].value in HARMED and not one.new_class]
    return {
        source.name: {
            "data": _data(source),
            "harm": harms[source.name],
            "drift": _drift(source, settings),
            "changed": _changed(source),
            "labels": _labels(_together(source, harmed, evidence.sources), settings),
            "tried": _tried(evidence, source),
            "new_class": Aspect(bool(source.new_class), _yes(source.new_class, "labels hold a class that the model does"
                                " not know", "no label holds an unknown class"), _some(source.new_class)),
            "odd_images": Aspect(bool(source.odd), _yes(source.odd, "more images are strange than may be",
                                 "no more images are strange than may be"), _some(source.odd)),
            "threshold": _threshold(evidence, source, settings),
            "after_update": _after_update(evidence, source, settings),
            "due": _due(evidence, settings),
            "cooldown": _cooldown(evidence, settings),
        }
        for source in evidence.sources
    }  # fmt: skip


def cooled_at(evidence: Evidence, settings: RetrainingSettings) -> datetime | None:
    """When the next update may be decided; None where it may now."""
    if evidence.update is None:
        return None
    end = evidence.update.at + timedelta(days=settings.cooldown_days)
    return end if evidence.now < end else None


def _data(source: Source) -> Aspect:
    if not source.images:
        return Aspect("broken", "broken: no images in the newest window")
    if not source.faults:
        return Aspect("sound", "sound")
    value = "broken" if any(fault.state == "critical" for fault in source.faults) else "flawed"
    found = ", ".join(f"{FINDING_WORDS[fault.finding]} ({fault.state})" for fault in source.faults)
    return Aspect(value, f"{value}: {found}", tuple(fault.key for fault in source.faults))


def _harm(source: Source, settings: RetrainingSettings) -> Aspect:
    """By labels, else by estimates. Only an alarm, which false alarms are budgeted for, shows harm."""
    f1, limit = source.f1, source.f1.expected - settings.margin
    verdict = tuple(change.key for change in source.changes if change.feature == "f1")
    if source.worse:
        return Aspect("shown", f"shown: an alarm on F1 by labels; {_told(f1, 'F1')}", (*verdict, *f1.keys))
    if f1.high < limit:
        return Aspect("likely", f"likely: no alarm yet, but {_told(f1, 'F1')}", f1.keys)
    if f1.low > limit:
        return Aspect("none", f"none: {_told(f1, 'F1')}, by labels", f1.keys)
    guess, limit = source.estimate, source.estimate.expected - settings.margin
    if guess.high < limit:
        return Aspect("likely", f"likely: {_told(guess, 'AP')}, estimated without labels", guess.keys)
    if source.worse is False and (f1.value > f1.expected - settings.margin or guess.low > limit):
        return Aspect("none", f"none: no alarm on F1 by labels; {_told(f1, 'F1')}", f1.keys)
    if not f1.n and guess.low > limit:
        return Aspect("none", f"none: {_told(guess, 'AP')}, estimated without labels", guess.keys)
    why = f"labels do not tell yet; {_told(f1, 'F1')}" if f1.n else "no labels since the change, and no estimate tells"
    return Aspect("unknown", f"unknown: {why}", (*f1.keys, *guess.keys))


def _drift(source: Source, settings: RetrainingSettings) -> Aspect:
    if not source.changes:
        if not source.drift_judged:
            why = "too few images" if source.known else "the reference has no images of this source"
            return Aspect("unknown", f"unknown: {why}")
        return Aspect("none", "none")
    ordered = sorted(source.changes, key=_telling)
    told = [one for one in ordered if not math.isnan(one.gradual) and not 1 - GRADUAL < one.gradual < GRADUAL]
    large, size = _size(source, ordered[0], settings)
    # No full training before it is sure that the change came at once.
    at_once = "drastic" if told and large else "sudden"
    value = "gradual" if told and told[0].gradual >= GRADUAL else at_once
    course = f"as {told[0].feature} says" if told else "too early to tell from gradual"
    others = f" and {len(ordered) - 1} more" if len(ordered) > 1 else ""
    words = f"{value}, {course}: {ordered[0].feature}{others} since {ordered[0].onset:%Y-%m-%d}{size}"
    return Aspect(value, words, tuple(change.key for change in source.changes))


def _telling(change: Change) -> tuple[int, bool, float, str]:
    """Order of changes: what tells most of what became of the model's world first; of pictures the largest."""
    place = LEADING.index(change.feature) if change.feature in LEADING else len(LEADING)
    return place, change.part == "appearance", -_known(change.effect), change.feature


def _size(source: Source, leading: Change, settings: RetrainingSettings) -> tuple[bool, str]:
    """Whether a change is large: by labels where they tell; what changed in the picture alone is not."""
    lost = source.f1.expected - source.f1.value
    if not math.isnan(lost) and (source.worse or source.f1.high < source.f1.expected - settings.margin):
        return lost >= settings.drastic_loss, f", F1 lower by {lost:.2f} (drastic from {settings.drastic_loss:g})"
    if math.isnan(leading.effect):
        return False, ""
    size = f", {leading.effect:.2g} deviations"
    if leading.feature in PROPERTIES:
        return False, f"{size}, and the model says no other than before"
    return leading.effect >= settings.drastic_effect, f"{size} (drastic from {settings.drastic_effect:g})"


def _changed(source: Source) -> Aspect:
    parts = frozenset(change.part for change in source.changes) - {"performance"}
    keys = tuple(change.key for change in source.changes if change.part != "performance")
    return Aspect(parts, ", ".join(sorted(parts)) or "nothing", keys)


def _together(source: Source, harmed: Sequence[Source], sources: Sequence[Source]) -> Sequence[Source]:
    """The sources whose labels count for one: all harmed ones, as one training learns from them; all, if it is well."""
    return (source,) if source.new_class else harmed if source in harmed else sources


def _labels(sources: Sequence[Source], settings: RetrainingSettings) -> Aspect:
    n, need = sum(source.labelled for source in sources), settings.minimum_labels
    drawn = [source.drawn * source.labelled for source in sources if source.labelled and not math.isnan(source.drawn)]
    kind = f", {sum(drawn) / n:.0%} drawn by a plan" if n and sum(drawn) > 0 else ""
    value = "none" if not n else "few" if n < need else "enough"
    more = f", {need - n} more are needed" if n < need else ""
    since = [source.since for source in sources if source.since]
    when = f" since {min(since):%Y-%m-%d}" if since else ""
    keys = tuple(key for source in sources for key in source.label_keys)
    return Aspect(value, f"{value}: {n} labelled images{when}{kind}, a training takes {need}{more}", keys)


def _tried(evidence: Evidence, source: Source) -> Aspect:
    since = source.since or evidence.first or evidence.now
    kinds = [one for one in evidence.attempts if one.made >= since]
    if not kinds:
        return Aspect("none", "none")
    last = kinds[-1]
    return Aspect(last.kind, f"{last.kind}: {last.version} of {last.made:%Y-%m-%d} was refused")


def _threshold(evidence: Evidence, source: Source, settings: RetrainingSettings) -> Aspect:
    found = source.restored
    if found is None or math.isnan(found.f1):
        return Aspect(False, "whether another confidence would help is not known")
    helps = found.now < source.f1.expected - settings.margin <= found.f1
    words = (
        f"a confidence of {found.confidence:.2f} instead of {evidence.confidence:.2f} gives F1 {found.f1:.2f}"
        f" instead of {found.now:.2f}, expected {source.f1.expected:.2f}"
    )
    return Aspect(helps, words, source.f1.keys)


def _after_update(evidence: Evidence, source: Source, settings: RetrainingSettings) -> Aspect:
    """Worse than the version before, since shortly after it was replaced, and nothing changed in the picture."""
    update = evidence.update
    if update is None or update.back:
        return Aspect(False, "no new version was put in use" if update is None else "the last update was a way back")
    mistakes = next((change for change in source.changes if change.feature == "f1"), None)
    before = _told(source.before, "F1", expected=False)
    words = (
        f"{evidence.version} in use since {update.at:%Y-%m-%d}; {_told(source.f1, 'F1')}; {update.before} had {before}"
    )
    if mistakes is None or not source.before.n:
        return Aspect(False, words)
    soon = timedelta(0) <= mistakes.onset - update.at <= timedelta(days=settings.trial_days)
    end = source.f1.value + settings.margin if math.isnan(source.f1.high) else source.f1.high
    picture = any(one.feature in PROPERTIES and one.onset >= update.at for one in source.changes)
    seen = "; the picture changed too" if picture else ""
    keys = (mistakes.key, *source.f1.keys, *source.before.keys)
    return Aspect(bool(soon and end < source.before.value and not picture), words + seen, keys)


def _due(evidence: Evidence, settings: RetrainingSettings) -> Aspect:
    last = evidence.update.at if evidence.update else evidence.first
    if not settings.every_days or last is None:
        return Aspect(False, "the calendar asks for nothing (every_days: 0)")
    days = (evidence.now - last) / timedelta(days=1)
    what = "the last update" if evidence.update else "the first window"
    return Aspect(days >= settings.every_days, f"{days:.0f} days since {what}, every {settings.every_days:g} asked for")


def _cooldown(evidence: Evidence, settings: RetrainingSettings) -> Aspect:
    until, update = cooled_at(evidence, settings), evidence.update
    if until is None:
        return Aspect(False, f"the last update was on {update.at:%Y-%m-%d}" if update else "no update yet")
    return Aspect(True, f"an update was made on {update.at:%Y-%m-%d}; until {until:%Y-%m-%d %H:%M} UTC no other")  # type: ignore[union-attr]


def _told(number: Number, name: str, *, expected: bool = True) -> str:
    if not number.n:
        return f"no {name}"
    band = "" if math.isnan(number.low) else f" ({number.low:.2f} to {number.high:.2f})"
    usual = "" if math.isnan(number.expected) or not expected else f", expected {number.expected:.2f}"
    return f"{name} {number.value:.2f}{band}{usual}, over {number.n} window{'s' if number.n > 1 else ''}"


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _yes(found: str, yes: str, no: str) -> str:
    return yes if found else no


def _some(key: str) -> tuple[str, ...]:
    return (key,) if key else ()
