"""Alerts: raised, worsened, ended, and told once, from what the history knows.

An alert is what a rule makes of a source over time; nothing here looks at single windows. `update` may be called at any
time, by any number of processes, any number of times: it compares what holds now with what was known, in one
transaction with the messages that tell of it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from cvkit.config import Config
from cvkit.config.alerts import SEVERITIES, AlertRule
from cvkit.monitoring import alert_store as store
from cvkit.monitoring import conditions, outbox
from cvkit.monitoring.alert_store import Action, Alert, Entry, Override
from cvkit.monitoring.causes import Standing, led
from cvkit.monitoring.conditions import Past
from cvkit.monitoring.history import History
from cvkit.monitoring.messages import Event, Notice
from cvkit.monitoring.notices import Context, matter
from cvkit.tables import MEASUREMENTS, empty

LATE = 60  # newest windows in which labels may still come
EVERYTHING = 10_000  # windows, as many as a rule is replayed on
LONG_AGO = datetime.min.replace(tzinfo=UTC)
AUTHOR = "cvkit"  # of what happens by itself
FACTS = ("feature", "class_name", "reason", "n", *conditions.NUMBERS)  # what an alert keeps of the look it rests on
# What an alert keeps of what it was: always, and while it has not been over.
TOLD = ("sent", "told_severity", "inhibited")
DONE = ("state", "changed", "author", "why", "hushed", "snoozed_until")


@dataclass(frozen=True, slots=True)
class Judged:
    """What `update` came to."""

    alerts: tuple[Alert, ...]  # all that are open, the worst first
    entries: tuple[Entry, ...]  # what happened
    queued: int  # messages


def update(config: Config, history: History, now: datetime | None = None) -> Judged:
    """Raise, worsen and end alerts by what was measured, and queue the messages that tell of it."""
    now, model = now or datetime.now(UTC), config.model.name
    version = history.current_version(config)
    with history.writing() as connection:
        store.queue_up(connection)
        rules = store.overridden(config.alerts.all_rules, store.overrides(connection, model, now))
        known = store.alerts(connection, model)
        past, found, entries = _look(connection, config, version, rules, known, now)
        by_name = {rule.name: rule for rule in rules}
        standing = _standing(connection, model, version, past, found.values())
        found = inhibit({
            name: one if known.get(name) is one else led(one, by_name.get(one.rule), standing, _said(known.get(name)))
            for name, one in found.items()
        }, rules)  # fmt: skip
        unheard = outbox.waiting(connection, model)
        told = outbox.to_tell(found.values(), config.alerts, now, unheard)
        found |= {one.fingerprint: outbox.marked(one, event, now) for one, event in told}
        context = Context.of(config, connection, standing, rules, told)
        messages = outbox.messages(told, context, config.alerts, now, unheard)
        changed = [alert for alert in found.values() if known.get(alert.fingerprint) != alert]
        store.put(connection, changed, known)
        store.log(connection, [*entries, *_told_entries(told, now)])
        outbox.put(connection, model, messages, now)
    return Judged(tuple(sorted(filter(_is_open, found.values()), key=_urgency)), tuple(entries), len(messages))


def _look(
    connection: sa.Connection, config: Config, version: str, rules: Sequence[AlertRule], known: Mapping[str, Alert],
    now: datetime,
) -> tuple[Past, dict[str, Alert], list[Entry]]:  # fmt: skip
    """The newest windows, and what they make of alerts; all windows of sources where it may have begun before these."""
    model, flap = config.model.name, config.alerts.flap_windows

    def judged(past: Past, whole: Collection[str]) -> tuple[dict[str, Alert], list[Entry]]:
        looks = conditions.looks(rules, past, config.rules.minimum_images)
        return judge(rules, looks, known, now, model, version, flap, whole)

    past = read_past(connection, model, version, rules, flap)
    found, entries = judged(past, ())
    fired, edge = (found[one.fingerprint] for one in entries if one.action == "fired"), past.runs["window_start"].min()
    whole = {alert.source for alert in fired if alert.since <= edge}
    whole |= _unsure(known.values(), version, store.runs(connection, model, version, LONG_AGO))
    if whole:
        past = past.joined(read_past(connection, model, version, rules, EVERYTHING, EVERYTHING, whole), whole)
        found, entries = judged(past, whole)
    return past, found, entries


def _unsure(known: Iterable[Alert], version: str, runs: pd.DataFrame) -> set[str]:
    """Sources with an open alert that windows were put before, or into, after later ones had been measured."""
    early = runs.loc[runs["id"] < runs["id"].cummax(), "window_start"].max()  # before an older one was
    return {alert.source for alert in known if alert.open and alert.version == version and alert.since <= early}


@dataclass(frozen=True, slots=True)
class Replayed:
    """A rule, and when it would have fired."""

    rule: str
    sentence: str
    stretches: Mapping[str, tuple[tuple[datetime, datetime, bool], ...]]  # by source: first, last window, lasts


def replay(config: Config, history: History) -> list[Replayed]:
    """Every rule on all windows of the version that is deployed: when it would have fired, whatever was done about it.

    Overrides that hold now count.
    """
    version, model, settings = history.current_version(config), config.model.name, config.alerts
    with history.reading() as connection:
        holding = store.overrides(connection, model, datetime.now(UTC))
        rules = store.overridden(settings.all_rules, holding)
        past = read_past(connection, model, version, rules, flap=EVERYTHING, most=EVERYTHING)
    looks = conditions.looks(rules, past, config.rules.minimum_images)
    by_name = {rule.name: rule for rule in rules}
    found: dict[str, dict[str, tuple[tuple[datetime, datetime, bool], ...]]] = {rule.name: {} for rule in rules}
    for name, source, looked in _by_rule_and_source(looks):
        breached = looked["breached"].tolist()
        course = conditions.course(breached, by_name[name].for_windows, settings.flap_windows)
        starts = [_time(start) for start in looked["window_start"]]
        if course.stretches:
            found[name][source] = tuple(
                (starts[first], starts[last], course.firing and place == len(course.stretches) - 1)
                for place, (first, last) in enumerate(course.stretches)
            )
    return [Replayed(rule.name, _sentence(rule, holding), found[rule.name]) for rule in rules]


def tried(config: Config, history: History, rule: AlertRule) -> pd.DataFrame:
    """When `rule` alone would have fired, whether it is in the settings or not: a row for each stretch of a source.

    source, first_window and last_window (their starts), and whether it is `lasting`.
    """
    only = config.alerts.model_copy(update={"rules": (rule,), "defaults": False})
    found = replay(config.model_copy(update={"alerts": only}), history)
    rows = [(source, *stretch) for one in found for source, part in one.stretches.items() for stretch in part]
    return pd.DataFrame(rows, columns=["source", "first_window", "last_window", "lasting"])


def _sentence(rule: AlertRule, overrides: Iterable[Override]) -> str:
    words = [f"; overridden until {one.until:%Y-%m-%d %H:%M} UTC by {one.author}: {one.why}"
             for one in overrides if one.rule == rule.name]  # fmt: skip
    return conditions.explain(rule) + "".join(words)


def notice(config: Config, history: History, alert: Alert) -> Notice:
    """What a message about an alert would say now."""
    event: Event = "fired" if alert.open else "resolved"
    with history.reading() as connection:
        rules = store.overridden(config.alerts.all_rules, store.overrides(connection, alert.model, datetime.now(UTC)))
        version = alert.version or history.current_version(config)
        runs = store.runs(connection, alert.model, version, alert.seen_start)
        seen = runs[(runs["window_start"] == alert.seen_start) & (runs["status"] == "done")]
        past = Past(store.verdicts(connection, seen, alert.seen_start, ()), empty(MEASUREMENTS), seen)
        return Context.of(
            config, connection, _standing(connection, alert.model, version, past, [alert]), rules, [(alert, event)]
        ).notice(alert, event)


def standing(history: History, model: str) -> list[Alert]:
    """The alerts of a model that are open, the most urgent first."""
    with history.reading() as connection:
        return sorted(filter(_is_open, store.alerts(connection, model).values()), key=_urgency)


def table(history: History, model: str) -> pd.DataFrame:
    """Every alert of a model: the fields of `Alert`, and `what` is the likely cause."""
    with history.reading() as connection:
        found = list(store.alerts(connection, model).values())
    rows = [{**{name: getattr(one, name) for name in store.NAMES}, "what": matter(one)} for one in found]
    return pd.DataFrame(rows, columns=[*store.NAMES, "what"])


def _standing(connection: sa.Connection, model: str, version: str, past: Past, about: Iterable[Alert]) -> Standing:
    seen = {alert.seen_start for alert in about}
    return Standing.of(past, seen, store.reasons(connection, model, version, seen))


def read_past(
    connection: sa.Connection, model: str, version: str, rules: Sequence[AlertRule], flap: int, most: int = LATE,
    sources: Collection[str] | None = None,
) -> Past:  # fmt: skip
    """What decides rules now: the newest windows, as many as flapping and rules look back, and late labels'.

    Of some `sources` alone, where they are given.
    """
    back = flap + conditions.LONGEST_QUIET + max((rule.for_windows for rule in rules), default=1)
    starts = store.windows(connection, model, version, max(back, most))
    runs = store.runs(connection, model, version, starts[0] if starts else LONG_AGO)
    recent = starts[-back:][0] if starts else LONG_AGO
    features = {rule.feature for rule in rules if rule.state}
    wanted = {(rule.feature, rule.statistic) for rule in rules if not rule.state}
    done = runs[runs["status"] == "done"]
    by_number = done if any(feature == "performance" for feature, _ in wanted) else done[done["window_start"] >= recent]
    return Past(
        store.verdicts(connection, done, recent, features, sources),
        store.measurements(connection, by_number, wanted, sources),
        runs[runs["window_start"] >= recent],
    )


def judge(
    rules: Sequence[AlertRule], looks: pd.DataFrame, known: Mapping[str, Alert], now: datetime, model: str,
    version: str, flap: int = 7, whole: Collection[str] = (),
) -> tuple[dict[str, Alert], list[Entry]]:  # fmt: skip
    """What `looks` (table LOOKS) make of the alerts that are `known`, by fingerprint, and what happened on the way.

    Of the sources `whole` they begin with the first window of this version.
    """
    found, entries = dict(known), []
    by_name = {rule.name: rule for rule in rules}
    for name, source, mine in _by_rule_and_source(looks):
        fingerprint = fingerprint_of(model, source, name)
        if _is_ahead(known.get(fingerprint), version, mine):
            continue
        course = conditions.course(mine["breached"].tolist(), by_name[name].for_windows, flap)
        identity = fingerprint, model, version, source, name
        after, happened = _after(known.get(fingerprint), identity, course, mine, now, source in whole)
        if after is None:
            continue
        found[fingerprint] = after
        entries += [_entry(after, action, now, why=why) for action, why in happened]
    for fingerprint, alert in known.items():
        gone, why = _without_rule(alert, by_name, now)
        if gone:
            found[fingerprint] = gone
            entries.append(_entry(gone, "resolved", now, why=why))
    return found, entries


def _is_ahead(alert: Alert | None, version: str, looked: Looked) -> bool:
    """Whether an open alert is about a newer window than any that this version, another than its own, has measured.

    A new champion that has measured old windows only says nothing of what its forerunner saw in newer ones.
    """
    if alert is None or not alert.open or alert.version == version:
        return False
    return _time(looked["window_start"][-1]) < alert.seen_start


def _by_rule_and_source(looks: pd.DataFrame) -> Iterator[tuple[str, str, Looked]]:
    """The looks of each rule at each source, oldest first, as columns: ten thousand frames would take minutes."""
    columns = {str(name): _column(looks[name]) for name in looks}
    changes = (looks[["rule", "source"]] != looks[["rule", "source"]].shift()).any(axis=1).to_numpy()
    starts = [*np.flatnonzero(changes).tolist(), len(looks)]
    for first, last in itertools.pairwise(starts):
        part = {name: values[first:last] for name, values in columns.items()}
        yield str(part["rule"][0]), str(part["source"][0]), part


def _column(values: pd.Series) -> NDArray[Any]:
    """Values as JSON can hold them; times as numpy has them, in UTC: objects are slow to make, and few are needed."""
    timed = isinstance(values.dtype, pd.DatetimeTZDtype)
    plain = values.dt.tz_localize(None).to_numpy() if timed else np.array(values, dtype=object)
    if not timed:
        plain[values.isna().to_numpy()] = None
    return plain


Looked = Mapping[str, NDArray[Any]]  # columns of LOOKS
Happened = list[tuple[Action, str]]


def _after(
    before: Alert | None,
    identity: tuple[str, str, str, str, str],
    course: conditions.Course,
    looked: Looked,
    now: datetime,
    whole: bool,
) -> tuple[Alert | None, Happened]:
    """An alert after a look at the row of windows, the `whole` or its end, and what happened to it."""
    if not course.firing:
        return _ended(before, course, looked, now)
    newest = int(looked["breached"].nonzero()[0][-1])
    since = _time(looked["window_start"][course.since])
    if before is not None and before.open and not (whole and before.version == identity[2]):
        since = min(since, before.since)  # it may have begun before the windows that are looked back on
    settled = before is not None and before.state != "resolved"
    kept = (*(TOLD if before else ()), *(DONE if settled else ()))
    after = Alert(
        *identity, severity=looked["severity"][newest], since=since, returns=course.returns,
        seen_start=_time(looked["window_start"][newest]), seen_end=_time(looked["window_end"][newest]),
        facts={name: looked[name][newest] for name in FACTS},
        **{"state": "firing", "changed": now, **{name: getattr(before, name) for name in kept}},
    )  # fmt: skip
    if before is None or not settled:
        return after, [("fired", "")]
    return (after, []) if before.state == "disabled" else _louder(before, after, now)


def _louder(before: Alert, after: Alert, now: datetime) -> tuple[Alert, Happened]:
    """What a change of severity, or time, does to one that goes on."""
    happened: Happened = []
    if (change := _rank(after.severity) - _rank(before.severity)) != 0:
        happened.append(("worsened" if change > 0 else "eased", f"{before.severity}, now {after.severity}"))
    worse = bool(after.hushed) and _rank(after.severity) > _rank(after.hushed)
    over = after.state == "snoozed" and after.snoozed_until is not None and after.snoozed_until <= now
    if after.state in ("acknowledged", "snoozed") and (worse or over):
        if after.state == "snoozed":
            happened.append(("snooze ended", "it got worse" if worse else "its time is over"))
        after = replace(after, state="firing", changed=now, hushed="", snoozed_until=None, author="", why="",
                        sent=None)  # told again at once  # fmt: skip
    return after, happened


def _ended(
    before: Alert | None, course: conditions.Course, looked: Looked, now: datetime
) -> tuple[Alert | None, Happened]:
    if before is None or not before.open:
        return None, []
    until = _time(looked["window_start"][course.until])
    if before.state == "disabled":
        return replace(before, until=until), []
    return replace(before, state="resolved", until=until, changed=now, hushed="", snoozed_until=None), [
        ("resolved", f"not so any more since {until:%Y-%m-%d %H:%M} UTC")
    ]


def _without_rule(alert: Alert, rules: Mapping[str, AlertRule], now: datetime) -> tuple[Alert | None, str]:
    """An alert whose rule is gone, or is about other sources now, is over."""
    rule = rules.get(alert.rule)
    if (rule and rule.of_source(alert.source)) or not alert.open:
        return None, ""
    why = "the rule is gone" if rule is None else "the rule is about other sources now"
    return replace(alert, state="resolved", until=now, changed=now, hushed="", snoozed_until=None), why


def inhibit(found: Mapping[str, Alert], rules: Iterable[AlertRule]) -> dict[str, Alert]:
    """Alerts with word on which are not told as another alert of their source, an outage, says more."""
    stronger = {rule.name for rule in rules if rule.inhibits}
    out = {alert.source for alert in found.values() if alert.rule in stronger and alert.open
           and alert.state != "disabled"}  # fmt: skip
    return {
        fingerprint: alert
        if alert.inhibited == (hidden := alert.source in out and alert.rule not in stronger)
        else replace(alert, inhibited=hidden)
        for fingerprint, alert in found.items()
    }


def fingerprint_of(model: str, source: str, rule: str) -> str:
    """The name of an alert: the same for one model, source and rule, for ever."""
    return hashlib.sha256("\0".join((model, source, rule)).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _told_entries(told: Iterable[tuple[Alert, Event]], now: datetime) -> Iterator[Entry]:
    return (_entry(alert, "told", now, why=event) for alert, event in told)


def _entry(
    alert: Alert, action: Action, now: datetime, author: str = AUTHOR, why: str = "", until: datetime | None = None
) -> Entry:
    about = alert.fingerprint, alert.model, alert.source, alert.rule
    return Entry(now, *about, action, alert.severity, author, why, until)


def _said(before: Alert | None) -> str:
    """The cause that was told of an alert which was open."""
    return str(before.facts.get("cause", "")) if before is not None and before.open else ""


def _is_open(alert: Alert) -> bool:
    return alert.open


def _urgency(alert: Alert) -> tuple[bool, int, str, str]:
    return alert.state != "firing" or alert.inhibited, -_rank(alert.severity), alert.source, alert.rule


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity)


@functools.lru_cache(maxsize=1024)
def _time(moment: Any) -> datetime:
    return pd.Timestamp(moment, tz="UTC").to_pydatetime()
