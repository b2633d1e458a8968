"""The outbox: what is to be told, to whom, and delivering it over failures, restarts and kills.

Messages are written in the transaction that changes the alerts, so none is lost and none is made twice. A message that
was being sent when the process died is sent again under the same id: receivers can tell that it is a copy.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from cvkit.config import Config
from cvkit.config.alerts import SEVERITIES, AlertSettings, Channel
from cvkit.errors import ConfigError
from cvkit.monitoring import alert_store as store
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.channels import DeliveryError, send
from cvkit.monitoring.history import History
from cvkit.monitoring.messages import Event, Message, Notice, test_message
from cvkit.monitoring.notices import Context
from cvkit.monitoring.renewal import renew
from cvkit.monitoring.schema import ALERTS, OUTBOX
from cvkit.storage import together

MOST_NOTICES = 10  # of one message
FIRST_WAIT_S = 30.0  # after a failure; doubled each time
LONGEST_WAIT_S = 3600.0
SPARE_S = 60.0  # beyond a channel's time-out, after which a message that is being sent may be sent by another process
PAUSE_S = 1.0  # between two messages to one channel: Slack allows one a second

WAITS = "waiting for another try"

Told = tuple[Alert, Event]


Waiting = Set[tuple[str, str]]  # channel and fingerprint of what is in the outbox and was not sent yet


def to_tell(
    alerts: Iterable[Alert], settings: AlertSettings, now: datetime, waiting: Waiting = frozenset()
) -> list[Told]:
    """The alerts that somebody has to hear of now, and why; those that no channel wants are left for later.

    No alert is repeated to a channel that has not heard of it yet: after an outage it would be told many times at once.
    """
    found = ((alert, _event(alert, settings.repeat_hours, now)) for alert in alerts)
    return [
        (alert, event)
        for alert, event in found
        if event and any(_takes(channel, alert, event, waiting) for channel in settings.channels)
    ]


def _takes(channel: Channel, alert: Alert, event: Event, waiting: Waiting) -> bool:
    again = event == "repeated" and (channel.name, alert.fingerprint) in waiting
    return not again and channel.wants(alert.source, alert.rule, _loudness(alert))


def waiting(connection: sa.Connection, model: str) -> Waiting:
    """Which channels have not heard yet of what: channel and fingerprint of messages that wait."""
    query = sa.select(OUTBOX.c.channel, OUTBOX.c.fingerprints)
    rows = connection.execute(query.where(OUTBOX.c.model == model, OUTBOX.c.status == "waiting"))
    return {(row.channel, fingerprint) for row in rows for fingerprint in row.fingerprints}


def _event(alert: Alert, repeat_hours: float, now: datetime) -> Event | None:
    if not alert.open:
        return "resolved" if alert.told_severity and alert.state != "disabled" else None
    if alert.state != "firing" or alert.inhibited:
        return None
    if not alert.told_severity:
        return "fired"
    if SEVERITIES.index(alert.severity) > SEVERITIES.index(alert.told_severity):
        return "worsened"
    again = alert.sent is None or now - alert.sent >= timedelta(hours=repeat_hours)
    return "repeated" if again else None


def _loudness(alert: Alert) -> Any:
    """The severity that decides who hears of it: whoever heard that it fired hears that it is over."""
    return max(alert.severity, alert.told_severity or alert.severity, key=SEVERITIES.index)


def marked(alert: Alert, event: Event, now: datetime) -> Alert:
    """An alert once its message is in the outbox."""
    told = "" if event == "resolved" else _loudness(alert)
    return replace(alert, sent=now, told_severity=told)


def messages(
    told: Sequence[Told], context: Context, settings: AlertSettings, now: datetime, waiting: Waiting = frozenset()
) -> list[tuple[str, Message]]:
    """The messages for each channel, by its name: alerts of one group share one, at most `MOST_NOTICES`."""
    notices = [(alert, context.notice(alert, event)) for alert, event in told]
    return [
        (channel.name, Message(id=uuid.uuid4().hex, made=now, notices=tuple(part)))
        for channel in settings.channels
        for group in _groups([pair for pair in notices if _wanted(channel, *pair, waiting)], settings.group_by)
        for part in (group[first : first + MOST_NOTICES] for first in range(0, len(group), MOST_NOTICES))
    ]


def _wanted(channel: Channel, alert: Alert, notice: Notice, waiting: Waiting) -> bool:
    over = notice.event == "resolved"
    return (channel.resolved or not over) and _takes(channel, alert, notice.event, waiting)


def _groups(notices: Iterable[tuple[Alert, Notice]], by: str) -> Iterator[list[Notice]]:
    """Notices of one source or rule together, those that are over apart, the worst first."""
    groups: dict[tuple[str, bool], list[Notice]] = {}
    for _, notice in notices:
        group = "" if by == "all" else notice.source if by == "source" else notice.rule
        groups.setdefault((group, notice.event == "resolved"), []).append(notice)
    for members in groups.values():
        yield sorted(members, key=lambda one: -SEVERITIES.index(one.severity))


def put(connection: sa.Connection, model: str, new: Sequence[tuple[str, Message]], now: datetime) -> None:
    """Write messages into the outbox."""
    rows = [
        {"id": message.id, "model": model, "channel": channel, "body": message.model_dump(mode="json"),
         "fingerprints": [one.fingerprint for one in message.notices],
         "status": "waiting", "made": now, "due": now, "attempts": 0, "error": ""}
        for channel, message in new
    ]  # fmt: skip
    if rows:
        connection.execute(OUTBOX.insert(), rows)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a round of deliveries came to."""

    sent: int = 0
    waiting: int = 0  # to be tried again
    given_up: int = 0
    errors: tuple[str, ...] = ()


Send = Callable[[Channel, Message], None]
Clock = Callable[[], datetime]


def deliver(
    config: Config,
    history: History,
    send: Send = send,
    clock: Clock = lambda: datetime.now(UTC),
    pause_s: float = PAUSE_S,
) -> Delivered:
    """Send what is due, oldest first. Several processes may do so at once: each message is one process's at a time.

    Where a channel cannot be reached the others go on, and its messages wait for their next try. An Alertmanager then
    hears of all that stands, told before or not. What a process was sending when it died is due at once where the
    history is the workspace's own file, else when its lease has ended.
    """
    mine = Path(sa.make_url(config.history_url).database or "").parent == config.workspace
    lock = config.workspace / "locks" / "outbox.lock"
    with together(lock) if mine and config.alerts.channels else nullcontext(False) as alone:
        if alone:
            _free(config, history)
        return _deliver(config, history, send, clock, pause_s)


def _deliver(config: Config, history: History, send: Send, clock: Clock, pause_s: float) -> Delivered:
    by_name = {channel.name: channel for channel in config.alerts.channels}
    done, down, last = Delivered(), set[str](), dict[str, float]()
    while (row := _claim(config, history, by_name, down, clock())) is not None:
        channel = by_name[row.channel]
        time.sleep(max(0.0, last.get(channel.name, 0.0) + pause_s - time.monotonic()))
        try:
            send(channel, Message.model_validate_json(json.dumps(row.body)))
        except DeliveryError as error:
            kept = _failed(config, history, row, error, clock())
            done = replace(done, given_up=done.given_up + (not kept), errors=(*done.errors, str(error)))
            down.add(channel.name)
        else:
            _sent(history, row, clock())
            done = replace(done, sent=done.sent + 1)
        last[channel.name] = time.monotonic()
    done = replace(done, errors=(*done.errors, *_renewed(config, history, down, clock())))
    if done.errors:
        done = replace(done, waiting=sum(n for _, status, n, _ in unsent(config, history) if status == WAITS))
    return done


def _free(config: Config, history: History) -> None:
    """Make due what was being sent by processes that are no more."""
    left = OUTBOX.c.model == config.model.name, OUTBOX.c.status == "waiting", OUTBOX.c.leased_until.is_not(None)
    with history.reading() as connection:
        some = connection.execute(sa.select(OUTBOX.c.place).where(*left).limit(1)).first()
    if some:
        with history.writing() as connection:
            connection.execute(OUTBOX.update().where(*left).values(leased_until=None))


def _renewed(config: Config, history: History, down: set[str], now: datetime) -> Iterator[str]:
    """Bring every Alertmanager that can be reached up to date; what went wrong."""
    for channel in config.alerts.channels:
        if channel.kind == "alertmanager" and channel.name not in down:
            try:
                renew(channel, history, config.model.name, now)
            except DeliveryError as error:
                yield str(error)


def _claim(config: Config, history: History, channels: dict[str, Channel], down: set[str], now: datetime) -> Any:
    """The oldest message that is due, leased to this process; None where there is none."""
    with history.writing() as connection:
        store.queue_up(connection)
        place = _next(connection, config.model.name, set(channels) - down, now)
        if place is None:
            return None
        row = connection.execute(sa.select(OUTBOX).where(OUTBOX.c.place == place)).one()
        posts = len(row.fingerprints)  # at most: a channel may have to part a message
        lease = now + timedelta(seconds=posts * (channels[row.channel].timeout_s + PAUSE_S) + SPARE_S)
        taken = {"leased_until": lease, "attempts": row.attempts + 1}
        connection.execute(OUTBOX.update().where(OUTBOX.c.place == place).values(taken))
    return row


def _next(connection: sa.Connection, model: str, channels: set[str], now: datetime) -> int | None:
    """Place of the oldest message that is due, of which no earlier one to its channel about the same alert waits.

    So that nobody hears of an end before the beginning, or of a beginning after the end.
    """
    names = ("place", "channel", "fingerprints", "due", "leased_until")
    query = sa.select(*(OUTBOX.c[name] for name in names)).where(OUTBOX.c.model == model, OUTBOX.c.status == "waiting")
    waits: set[tuple[str, str]] = set()
    for row in connection.execute(query.order_by(OUTBOX.c.place)):
        about = {(row.channel, fingerprint) for fingerprint in row.fingerprints}
        free = row.leased_until is None or row.leased_until <= now
        if row.channel in channels and row.due <= now and free and not about & waits:
            return int(row.place)
        waits |= about
    return None


def _sent(history: History, row: Any, now: datetime) -> None:
    """Note that a message was sent; its alerts are repeated so long after it as if they had been told now."""
    values = {"status": "sent", "sent": now, "leased_until": None, "error": ""}
    about = ALERTS.c.fingerprint.in_(row.fingerprints) & (ALERTS.c.sent < now)
    with history.writing() as connection:
        connection.execute(OUTBOX.update().where(OUTBOX.c.place == row.place).values(values))
        connection.execute(ALERTS.update().where(about).values(sent=now))


def _failed(config: Config, history: History, row: Any, error: DeliveryError, now: datetime) -> bool:
    """Note a failure and when to try again; whether it will be."""
    kept = bool(now - row.made < timedelta(hours=config.alerts.keep_trying_hours))
    wait = wait_s(row.attempts, error.retry_after_s, random.random())  # noqa: S311  it only spreads retries
    values = {"status": "waiting" if kept else "failed", "due": now + timedelta(seconds=wait), "leased_until": None,
              "error": str(error)}  # fmt: skip
    with history.writing() as connection:
        connection.execute(OUTBOX.update().where(OUTBOX.c.place == row.place).values(values))
    return kept


def unsent(config: Config, history: History) -> list[tuple[str, str, int, str]]:
    """Messages to channels that failed: channel, in words how they stand, how many wait or were given up, newest error.

    Messages to a channel that nobody has tried yet are on their way, and not told.
    """
    words = {"waiting": WAITS, "failed": "given up"}
    about = OUTBOX.c.channel, OUTBOX.c.status, OUTBOX.c.error
    query = sa.select(*about).where(OUTBOX.c.model == config.model.name, OUTBOX.c.status != "sent")
    with history.reading() as connection:
        rows = list(connection.execute(query.order_by(OUTBOX.c.place)))
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row.channel, words[row.status]), []).append(row.error)
    return [
        (channel, status, len(errors), next(filter(None, reversed(errors))))
        for (channel, status), errors in groups.items()
        if any(errors)
    ]


def counts(history: History, model: str) -> pd.DataFrame:
    """Messages by channel and status: how many (`n`), and when the oldest of them was made (`oldest`)."""
    oldest = sa.func.min(OUTBOX.c.made, type_=OUTBOX.c.made.type)
    query = sa.select(OUTBOX.c.channel, OUTBOX.c.status, sa.func.count(), oldest).where(OUTBOX.c.model == model)
    with history.reading() as connection:
        rows = connection.execute(query.group_by(OUTBOX.c.channel, OUTBOX.c.status)).all()
    return pd.DataFrame(rows, columns=["channel", "status", "n", "oldest"])


def try_out(config: Config, name: str = "", send: Send = send) -> dict[str, str]:
    """Send a test message to each channel, or to the one of this `name`: what went wrong, "" where nothing did."""
    channels = [one for one in config.alerts.channels if name in ("", one.name)]
    if not channels:
        known = ", ".join(one.name for one in config.alerts.channels)
        raise ConfigError(
            f"there is no channel `{name}`" if name else "there is no channel", where=f"{config.path}, alerts.channels",
            expected=known or "a channel",
            remedy="add one to `alerts.channels`, e.g. {name: ops, kind: slack, secret: env:SLACK_WEBHOOK}",
        )  # fmt: skip
    found = {}
    for channel in channels:
        try:
            send(channel, test_message(channel.name, config.model.name, config.version))
            found[channel.name] = ""
        except DeliveryError as error:
            found[channel.name] = str(error)
    return found


def wait_s(attempts: int, retry_after_s: float | None, spread: float) -> float:
    """Seconds to the next try after `attempts` earlier ones failed, `spread` 0..1 of it at random; what the receiver
    asks for at least.

    >>> wait_s(0, None, 0.0), wait_s(3, None, 1.0), wait_s(20, 5.0, 0.0), wait_s(0, 90.0, 0.0)
    (30.0, 300.0, 3600.0, 90.0)
    """
    grown = min(FIRST_WAIT_S * 2.0 ** min(attempts, 20), LONGEST_WAIT_S)
    return max(grown * (1 + spread / 4), retry_after_s or 0.0)


def again(config: Config, history: History, now: datetime) -> int:
    """Make everything due that waits or was given up, as after a token was mended; how many.

    What another process is sending stays its own.
    """
    values = {"status": "waiting", "due": now, "leased_until": None}
    with history.writing() as connection:
        free = OUTBOX.c.leased_until.is_(None) | (OUTBOX.c.leased_until <= now)
        unsent = OUTBOX.c.model == config.model.name, OUTBOX.c.status.in_(["waiting", "failed"]), free
        return connection.execute(OUTBOX.update().where(*unsent).values(values)).rowcount
