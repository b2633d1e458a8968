"""Decision: what to do about a model in use. Pure: the same evidence and settings give the same decision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_args

from cvkit import markup
from cvkit.config.retraining import ACTIONS, Policy, RetrainingSettings
from cvkit.maintenance.facts import Evidence
from cvkit.maintenance.situation import Aspect, Situation, situations
from cvkit.stats.quality.decay import days_until

CONDITIONS = tuple(name for name in Policy.model_fields if name not in ("name", "action", "why"))
UPDATES = ("recalibrate", "retrain incrementally", "retrain fully", "roll back")  # what changes the model in use
UNMEASURED = "not-measured"  # in place of a policy's name: there is nothing to ask the table about
STANDING = "stands"  # in place of a policy's name: what was decided before still does
# What a condition would be that is so, or not so, in words.
SO = {
    "new_class": ("labels held a class that the model does not know", "no label held an unknown class"),
    "odd_images": ("more images were strange than may be", "no more images were strange than may be"),
    "threshold": ("another confidence restored F1", "no other confidence restored F1"),
    "after_update": ("it had got worse with the last update", "it had not got worse with the last update"),
    "due": ("the calendar asked for it", "the calendar did not ask for it"),
    "cooldown": ("an update had just been made", "the cooldown were over"),
}
BEING = {"labels": "labels are", "data": "the data are", "tried": "what was tried is", "changed": "what changed is"}
OTHERWISE = Policy(name="no-policy", action="keep", why="no policy of the table holds")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row of the table that did not decide."""

    policy: str
    action: str
    failed: tuple[str, ...]  # the conditions that do not hold, and how it is; none: a row above it held too


@dataclass(frozen=True, slots=True)
class Step:
    """What the table says of one source."""

    source: str
    action: str
    policy: str
    why: str
    measurements: tuple[str, ...]  # keys of what its conditions rest on
    considered: tuple[Rejected, ...]
    would_change: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often to evaluate and retrain, as performance has fallen so far; NaN where no fall is shown."""

    source: str  # the one that falls fastest
    retrain_days: float  # until F1 has fallen by the margin
    soonest: float
    latest: float
    evaluate_days: float  # half of the soonest, but no less than a window: so that it is seen before it is twice that


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why, on which numbers, what else was considered, and what would change it."""

    action: str
    policy: str
    source: str  # the one that asks for it; "" where nothing was measured
    why: str
    measurements: tuple[str, ...]
    considered: tuple[Rejected, ...]
    would_change: tuple[str, ...]
    also: tuple[Step, ...]  # what to do about the other sources
    rhythm: Rhythm
    evidence: str  # `Evidence.id`

    def _repr_html_(self) -> str:
        about = f" for {markup.text(self.source)}" if self.source else ""
        also = [f"{one.action} for {one.source} ({one.policy}): {one.why}" for one in self.also]
        parts = (("Also", markup.items(also)), ("What would change it", markup.items(self.would_change)))
        more = "".join(f"<p>{words}:</p>{listed}" for words, listed in parts if listed)
        policy, why = markup.text(self.policy), markup.text(self.why)
        return f"<p><b>{markup.text(self.action)}</b>{about} (policy {policy})</p><p>{why}</p>{more}"


def decide(evidence: Evidence, settings: RetrainingSettings) -> Decision:
    """The decision on the evidence, by the table `settings.policies`.

    Of each source the first row whose conditions all hold; of all sources the action that goes furthest, in the order
    of `ACTIONS`: one camera that is broken does not keep the others from a training. No training and no other
    confidence is decided within the cooldown after an update. What was decided stands for as long, unless it was done
    or the trouble is over: only a way back, or a full training in place of an incremental one, takes its place.
    """
    rhythm = recommended(evidence, settings)
    now = situations(evidence, settings)
    if not now:
        return _unmeasured(evidence, rhythm)
    steps = [judge(name, situation, settings.policies) for name, situation in now.items()]
    rows = [policy.name for policy in (*settings.policies, OTHERWISE)]
    steps.sort(key=lambda one: (-ACTIONS.index(one.action), rows.index(one.policy), one.source))
    first, *others = steps
    also = tuple(one for one in others if one.action != "keep")
    action, policy, why, change = first.action, first.policy, first.why, first.would_change
    if _stands(evidence, settings, first, now):
        until = _stands_until(evidence, settings)
        action, policy = evidence.decided, STANDING
        why = f"decided on {evidence.decided_since:%Y-%m-%d}, not done yet, and the trouble is not over"
        change = (f"{first.action} ({first.policy}) from {until} on: {first.why}",)
    return Decision(
        action, policy, first.source, why, first.measurements, first.considered, change, also, rhythm, evidence.id
    )


def _unmeasured(evidence: Evidence, rhythm: Rhythm) -> Decision:
    """The decision where the version in use has measured no window since it came into use."""
    update = evidence.update
    since = f" since it {'came back' if update.back else 'came'} into use on {update.at:%Y-%m-%d}" if update else ""
    why = f"version {evidence.version} has measured no window{since}"
    change = ("anything, once `cvkit run` has measured windows with this version",)
    return Decision("keep", UNMEASURED, "", why, (), (), change, (), rhythm, evidence.id)


def judge(name: str, situation: Situation, policies: Sequence[Policy]) -> Step:
    """What the table says of one source."""
    failed = {policy.name: tuple(_failed(policy, situation)) for policy in policies}
    held = next((policy for policy in policies if not failed[policy.name]), OTHERWISE)
    above = policies[: policies.index(held)] if held in policies else policies
    near = [one for one in above if len(failed[one.name]) == 1 and one.action != held.action]
    asked = [condition for condition in CONDITIONS if _asks(held, condition)]
    words = "; ".join(spoken(condition, situation) for condition in asked)
    return Step(
        name, held.action, held.name, f"{held.why}: {words}" if words else held.why,
        tuple(dict.fromkeys(key for condition in asked or situation for key in situation[condition].keys)),
        tuple(Rejected(one.name, one.action, failed[one.name]) for one in policies if one is not held),
        (*(f"{one.action} ({one.name}), if {failed[one.name][0]}" for one in near), *_other(held, situation, policies)),
    )  # fmt: skip


def recommended(evidence: Evidence, settings: RetrainingSettings) -> Rhythm:
    """How often to evaluate and retrain: of the source whose F1 is shown to fall by the margin soonest.

    A fall at once tells nothing of the next one: sources with sudden or drastic drift have no part in it.
    """
    now = situations(evidence, settings)
    steady = [source for source in evidence.sources if now[source.name]["drift"].value not in ("sudden", "drastic")]
    falls = {source.name: days_until(source.decay, settings.margin) for source in steady}
    shown = {name: fall for name, fall in falls.items() if not math.isnan(fall[0])}
    if not shown or evidence.window is None:
        return Rhythm("", math.nan, math.nan, math.nan, math.nan)
    name = min(shown, key=lambda one: (shown[one][0], one))
    days, soonest, latest = shown[name]
    window = (evidence.window.end - evidence.window.start) / timedelta(days=1)
    return Rhythm(name, days, soonest, latest, max(soonest / 2, window))


def _asks(policy: Policy, condition: str) -> bool:
    return getattr(policy, condition) not in ((), None)


def _holds(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, bool):
        return bool(wanted == value)
    if isinstance(value, frozenset):
        return bool(value) and value <= set(wanted)
    return value in wanted


def _failing(policy: Policy, situation: Situation) -> Iterator[str]:
    """The conditions of a row that do not hold; no table makes updates follow each other at once."""
    for name in CONDITIONS:
        if _asks(policy, name) and not _holds(getattr(policy, name), situation[name].value):
            yield name
    waits = policy.action in UPDATES and policy.action != "roll back" and policy.cooldown is None
    if waits and situation["cooldown"].value:
        yield "cooldown"


def _failed(policy: Policy, situation: Situation) -> Iterator[str]:
    """The conditions of a row that do not hold, and how it is."""
    for name in _failing(policy, situation):
        yield f"{_wanted(policy, name)}; now {situation[name].words}"


def _wanted(policy: Policy, condition: str) -> str:
    wanted = getattr(policy, condition)
    return _were(condition, " or ".join(wanted) if isinstance(wanted, tuple) else bool(wanted))


def _were(condition: str, value: Any) -> str:
    return SO[condition][not value] if condition in SO else f"{BEING.get(condition, f'{condition} is')} {value}"


def spoken(condition: str, situation: Situation) -> str:
    """A condition as it is."""
    return situation[condition].words if condition in SO else f"{condition} {situation[condition].words}"


def _other(held: Policy, situation: Situation, policies: Sequence[Policy]) -> Iterator[str]:
    """What would be decided, were a condition of the row that decided otherwise."""
    for name in CONDITIONS:
        if not _asks(held, name) or isinstance(situation[name].value, frozenset):
            continue
        found: dict[tuple[str, str], list[Any]] = {}
        for value in _vocabulary(name):
            if not _holds(getattr(held, name), value):
                changed = {**situation, name: Aspect(value, str(value))}
                other = next((one for one in policies if not any(_failing(one, changed))), OTHERWISE)
                found.setdefault((other.action, other.name), []).append(value)
        for (action, policy), values in found.items():
            if action != held.action:
                were = _were(name, values[0] if name in SO else " or ".join(values))
                yield f"{action} ({policy}), if {were}; now {situation[name].words}"


def _vocabulary(condition: str) -> Sequence[Any]:
    """All that a condition may be."""
    kind = get_args(Policy.model_fields[condition].annotation)[0]
    return (True, False) if kind is bool else get_args(kind)


def _stands(evidence: Evidence, settings: RetrainingSettings, first: Step, now: dict[str, Situation]) -> bool:
    """Whether what was decided before keeps its place against what the table says now."""
    since, decided = evidence.decided_since, evidence.decided
    if since is None or decided not in UPDATES or first.action in (decided, "roll back"):
        return False
    over = all(one["harm"].value == "none" or one["drift"].value == "none" for one in now.values())
    done = any(attempt.made >= since for attempt in evidence.attempts)
    more = decided == "retrain incrementally" and first.action == "retrain fully"
    return not (over or done or more) and evidence.now < since + timedelta(days=settings.cooldown_days)


def _stands_until(evidence: Evidence, settings: RetrainingSettings) -> str:
    assert evidence.decided_since is not None  # _stands said so
    return f"{evidence.decided_since + timedelta(days=settings.cooldown_days):%Y-%m-%d}"
