"""What people do about alerts: acknowledge, snooze, disable, enable, change a threshold for a while."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa
from pydantic import ValidationError

from cvkit.config import Config
from cvkit.config.alerts import AlertRule
from cvkit.errors import ConfigError, DataError
from cvkit.monitoring import alert_store as store
from cvkit.monitoring.alert_store import Action, Alert, Entry, Override, State
from cvkit.monitoring.alerts import fingerprint_of
from cvkit.monitoring.history import History
from cvkit.monitoring.schema import ALERT_LOG, MEASURED, OVERRIDES, RUNS

CHANGEABLE = ("above", "below", "change", "state", "severity", "for_windows", "sure")  # of a rule, for a while
TYPED = {"above": float, "below": float, "change": float, "state": str, "severity": str, "for": int,
         "sure": {"true": True, "false": False}.__getitem__}  # the same as people write them  # fmt: skip
SHORTEST = 4  # characters of a fingerprint that name an alert


def acknowledge(config: Config, history: History, alert: str, *, author: str, why: str) -> Alert:
    """Take an alert on: nobody is told again while it lasts, unless it gets worse.

    `alert`: its fingerprint, or the first digits of it, or RULE@SOURCE. Raises DataError where there is no such alert,
    or it is over; ConfigError without a reason.
    """
    return _hushed(config, history, alert, "acknowledged", author, why, None)


def snooze(config: Config, history: History, alert: str, *, author: str, why: str, until: datetime) -> Alert:
    """Say nothing of an alert until a time; it ends by itself, and at once where the alert gets worse.

    Raises as `acknowledge`, and ConfigError for an end that has passed.
    """
    _ahead(until)
    return _hushed(config, history, alert, "snoozed", author, why, until)


def disable(config: Config, history: History, alert: str, *, author: str, why: str) -> Alert:
    """Say nothing of a rule at a source until it is enabled.

    RULE@SOURCE may be one that never fired. Raises DataError for a source that nobody knows.
    """
    _said(why, author)
    with history.writing() as connection:
        store.queue_up(connection)
        known = store.alerts(connection, config.model.name)
        now = datetime.now(UTC)
        found = _find(known, alert, missing=lambda: _unfired(config, connection, alert, now))
        after = replace(found, state="disabled", author=author, why=why, changed=now, hushed="", snoozed_until=None)
        return _put(connection, known, after, "disabled", author, why, None)


def enable(config: Config, history: History, alert: str, *, author: str, why: str = "") -> Alert:
    """Undo `disable`, `snooze` or `acknowledge`: what fires is told again."""
    _named_author(author)
    with history.writing() as connection:
        store.queue_up(connection)
        known = store.alerts(connection, config.model.name)
        found = _find(known, alert)
        if found.state in ("firing", "resolved"):
            raise DataError(
                "this alert is not held back", where=_named(found), expected="one that is acknowledged, snoozed or "
                "disabled", found=found.state, remedy="`cvkit alerts list --all` shows how alerts stand",
            )  # fmt: skip
        state: State = "firing" if found.until is None else "resolved"
        after = replace(found, state=state, author="", why="", hushed="", snoozed_until=None, sent=None,
                        changed=datetime.now(UTC))  # fmt: skip
        return _put(connection, known, after, "enabled", author, why, None)


def override(
    config: Config, history: History, rule: str, changes: Mapping[str, Any], *, author: str, why: str, until: datetime
) -> Override:
    """Change settings of a rule (`CHANGEABLE`) until a time, without the file.

    Raises ConfigError for a rule that there is not, values that cannot be, an end that has passed, or no reason.
    """
    _said(why, author)
    _ahead(until)
    found = known_rule(config, rule)
    try:
        store.changed(found, changes)
    except ValidationError as error:
        words = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(
            "the rule cannot be changed so", where=rule, expected=words, found=str(dict(changes))
        ) from None
    now = datetime.now(UTC)
    made = Override(rule, changes, author, why, now, until)
    with history.writing() as connection:
        for one in store.overrides(connection, config.model.name, now):
            if replace(one, made=now) == made:  # by a command that was killed, and is repeated
                return one
        row = {"rule": rule, "changes": dict(changes), "author": author, "why": why, "made": now, "until": until,
               "model": config.model.name}  # fmt: skip
        connection.execute(OVERRIDES.insert(), row)
        words = written(changes)
        _log_override(connection, config, rule, "overridden", author, f"{words}: {why}", until)
    return made


def written(changes: Mapping[str, Any]) -> str:
    """Changed settings as the command line takes them.

    >>> written({"for_windows": 2, "below": 40.0, "sure": False})
    'for=2, below=40, sure=false'
    """
    words = {True: "true", False: "false"}
    shown = {name: words[value] if isinstance(value, bool) else value for name, value in changes.items()}
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in shown.items()}
    return ", ".join(f"{'for' if name == 'for_windows' else name}={value}" for name, value in shown.items())


def setting(text: str) -> tuple[str, Any]:
    """A setting of a rule and its value, of NAME=VALUE as people write it. Raises ConfigError where it is not that.

    >>> setting("for=2"), setting("below=40")
    (('for_windows', 2), ('below', 40.0))
    """
    name, given, value = text.partition("=")
    if not given or name not in TYPED:
        raise ConfigError("this cannot be set", expected=f"NAME=VALUE with a name of {', '.join(TYPED)}", found=text)
    try:
        return ("for_windows" if name == "for" else name), TYPED[name](value)  # type: ignore[operator]
    except (KeyError, ValueError):
        value_of = {"for": "a whole number", "sure": "true or false"}.get(name, "a number")
        raise ConfigError(f"{name} cannot be this", expected=value_of, found=value or "nothing") from None


def end_overrides(config: Config, history: History, rule: str, *, author: str) -> int:
    """End the overrides of a rule now; how many there were."""
    _named_author(author)
    known_rule(config, rule)
    now = datetime.now(UTC)
    mine = OVERRIDES.c.model == config.model.name, OVERRIDES.c.rule == rule, OVERRIDES.c.until > now
    with history.writing() as connection:
        ended = connection.execute(OVERRIDES.update().where(*mine).values(until=now)).rowcount
        if ended:
            _log_override(connection, config, rule, "override ended", author, "", None)
    return ended


def log(config: Config, history: History, alert: str = "") -> pd.DataFrame:
    """Everything that happened to alerts, oldest first; of one alert where it is named."""
    query = sa.select(ALERT_LOG).where(ALERT_LOG.c.model == config.model.name)
    with history.reading() as connection:
        if alert:
            found = _find(store.alerts(connection, config.model.name), alert)
            query = query.where(ALERT_LOG.c.fingerprint == found.fingerprint)
        result = connection.execute(query.order_by(ALERT_LOG.c.id))
        return pd.DataFrame(result.all(), columns=list(result.keys()))


def overrides(config: Config, history: History, rule: str) -> list[Override]:
    """The changes of a rule that hold now, oldest first."""
    with history.reading() as connection:
        return [one for one in store.overrides(connection, config.model.name, datetime.now(UTC)) if one.rule == rule]


def find(config: Config, history: History, alert: str) -> Alert:
    """The alert of a fingerprint, its first digits, or RULE@SOURCE. Raises DataError where it is not one."""
    with history.reading() as connection:
        return _find(store.alerts(connection, config.model.name), alert)


def known_rule(config: Config, name: str) -> AlertRule:
    """The rule of this name. Raises ConfigError, with the nearest name, where there is none."""
    if rule := config.alerts.rule(name):
        return rule
    names = [rule.name for rule in config.alerts.all_rules]
    close = difflib.get_close_matches(name, names, n=1)
    raise ConfigError(
        f"there is no alert rule `{name}`", where=str(config.path), expected=", ".join(names), found=name,
        remedy=f"did you mean `{close[0]}`?" if close else "name one of these",
    )  # fmt: skip


def _hushed(
    config: Config, history: History, alert: str, state: Any, author: str, why: str, until: datetime | None
) -> Alert:
    _said(why, author)
    with history.writing() as connection:
        store.queue_up(connection)
        known = store.alerts(connection, config.model.name)
        found = _find(known, alert)
        if not found.open or found.state == "disabled":
            raise DataError(
                "there is nothing to hold back", where=_named(found), expected="an alert that fires",
                found="one that is over" if not found.open else "one that is disabled",
                remedy="`cvkit alerts list` shows those that fire",
            )  # fmt: skip
        after = replace(found, state=state, author=author, why=why, changed=datetime.now(UTC), snoozed_until=until,
                        hushed=found.severity)  # fmt: skip
        return _put(connection, known, after, state, author, why, until)


def _put(
    connection: sa.Connection, known: Mapping[str, Alert], alert: Alert, action: Action, author: str, why: str,
    until: datetime | None,
) -> Alert:  # fmt: skip
    """Write and log what was done, and return the alert; nothing where it stands so by the very same word already.

    So who repeats a command that was killed does not say it twice.
    """
    before = known.get(alert.fingerprint)
    if before is not None and before == replace(alert, changed=before.changed):
        return before
    store.put(connection, [alert], known)
    about = alert.fingerprint, alert.model, alert.source, alert.rule
    store.log(connection, [Entry(datetime.now(UTC), *about, action, alert.severity, author, why, until)])
    return alert


def _log_override(
    connection: sa.Connection, config: Config, rule: str, action: Action, author: str, why: str, until: datetime | None
) -> None:
    store.log(connection, [Entry(datetime.now(UTC), "", config.model.name, "", rule, action, "", author, why, until)])


def _find(known: Mapping[str, Alert], text: str, missing: Any = None) -> Alert:
    rule, at, source = text.partition("@")
    if at:
        found = [alert for alert in known.values() if (alert.rule, alert.source) == (rule, source)]
    else:
        found = [alert for alert in known.values() if len(text) >= SHORTEST and alert.fingerprint.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found and missing is not None and at:
        made: Alert = missing()
        return made
    close = [one.fingerprint for one in found[:3]] or _meant(known, text)
    raise DataError(
        f"{'several alerts have' if found else 'no alert has'} this name", expected="a fingerprint or RULE@SOURCE",
        found=text, remedy=f"did you mean {' or '.join(close)}?" if close else "`cvkit alerts list --all` shows them",
    )  # fmt: skip


def _meant(known: Mapping[str, Alert], text: str) -> list[str]:
    """Names of alerts that may have been meant, three at most: of that rule, of that source, or written much alike.

    Of a fingerprint nothing but its beginning is remembered.
    """
    rule, at, source = text.partition("@")
    names = sorted({_named(alert) for alert in known.values()})
    if not at:
        exact = [name for name in names if text in name.split("@", 1)]
        begun = [one for one in sorted(known) if len(text) >= SHORTEST and one.startswith(text[:SHORTEST])]
        return (exact or begun or difflib.get_close_matches(text, names, n=3, cutoff=0.6))[:3]
    of_rule = [name for name in names if name.startswith(f"{rule}@")]
    of_source = [name for name in names if name.endswith(f"@{source}")]
    return difflib.get_close_matches(text, of_rule or of_source or names, n=3, cutoff=0.6)


def _unfired(config: Config, connection: sa.Connection, text: str, now: datetime) -> Alert:
    """The alert of a rule and a source that never fired."""
    rule, _, source = text.partition("@")
    if known_rule(config, rule).metric != "runs" or source:
        _known_source(config, connection, source)
    model = config.model.name
    return Alert(fingerprint_of(model, source, rule), model, "", source, rule, "info", "resolved", now, now, now, now,
                 until=now)  # fmt: skip


def _known_source(config: Config, connection: sa.Connection, source: str) -> None:
    """Raise DataError where a source was never measured, no rule names it and there are no captures of it."""
    from cvkit.data import sources  # heavy, and needed here only

    query = sa.select(MEASURED.c.source).join_from(MEASURED, RUNS).where(RUNS.c.model == config.model.name).distinct()
    named = (name for rule in config.alerts.all_rules for name in rule.sources)
    known = {*connection.execute(query).scalars(), *(name for name in named if not set(name) & set("*?["))}
    if source in known or source in (known := known | sources.source_names(config)):
        return
    names = sorted(known - {""})
    close = difflib.get_close_matches(source, names, n=3, cutoff=0.5)
    raise DataError(
        "no source has this name", where=str(config.path), found=source or "none",
        expected="one that was measured, has captures, or is named by a rule",
        remedy=f"did you mean {' or '.join(close)}?" if close else f"name one of {', '.join(names[:9]) or 'none yet'}",
    )  # fmt: skip


def _named(alert: Alert) -> str:
    return f"{alert.rule}@{alert.source}"


def _said(why: str, author: str) -> None:
    if not why.strip():
        raise ConfigError("say why", expected="a reason that colleagues will understand", found="none")
    _named_author(author)


def _named_author(author: str) -> None:
    if not author.strip():
        raise ConfigError("say who does it", expected="a name", found="none")


def _ahead(until: Any) -> None:
    if not isinstance(until, datetime) or until.tzinfo is None:
        raise ConfigError("say until when", expected="a time with its zone, such as UTC", found=repr(until))
    if until <= datetime.now(UTC):
        raise ConfigError("this end has passed", expected="a time ahead", found=f"{until:%Y-%m-%d %H:%M} UTC")
