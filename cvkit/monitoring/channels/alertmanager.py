"""Alertmanager: its v2 API.

https://prometheus.io/docs/alerting/latest/alerts_api
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from urllib.parse import urlencode

from cvkit.config.alerts import Channel
from cvkit.monitoring.channels import http
from cvkit.monitoring.channels.secrets import Secret
from cvkit.monitoring.channels.text import headline, is_address, lines, ordered
from cvkit.monitoring.channels.webhook import credentials, target
from cvkit.monitoring.messages import Message, Notice

TEST_LASTS = timedelta(minutes=5)
AT_ONCE = 100  # alerts in one request: an answer must not grow without end
FIXED = ("alertname", "model", "source", "rule", "fingerprint")

Alert = dict[str, Any]


def deliver(channel: Channel, message: Message) -> None:
    """Post the alerts, and end those that the same notices had under another severity or version.

    Alertmanager tells alerts apart by their labels, and severity and version are labels: what has worsened would stand
    there twice, and what was solved in another version would never end.
    """
    start, base = monotonic(), target(channel).value.rstrip("/")
    entry = credentials(channel)
    now = datetime.now(UTC)
    alerts = [alert(notice, now, timedelta(hours=channel.lasts_hours)) for notice in ordered(message)]
    earlier = {one.fingerprint for one in message.notices if one.event in ("worsened", "repeated", "resolved")}
    known = _known(channel, base, entry, earlier)
    left = max(channel.timeout_s - (monotonic() - start), 0.001)
    _post(channel, base, entry, [*alerts, *ended(known, alerts, now)], left)


def renew(channel: Channel, standing: Sequence[Notice], over: Sequence[str], now: datetime) -> None:
    """Post alerts that last again, and end those that are `over`, by fingerprint, where Alertmanager still has them."""
    base, entry = target(channel).value.rstrip("/"), credentials(channel)
    lasts = timedelta(hours=channel.lasts_hours)
    for first in range(0, len(standing), AT_ONCE):
        _post(channel, base, entry, [alert(notice, now, lasts) for notice in standing[first : first + AT_ONCE]])
    for first in range(0, len(over), AT_ONCE):
        if known := _known(channel, base, entry, over[first : first + AT_ONCE]):
            _post(channel, base, entry, [_ends(one, now) for one in known])


def _post(channel: Channel, base: str, entry: Secret, alerts: list[Alert], seconds: float | None = None) -> None:
    call = http.Call(Secret(f"{base}/api/v2/alerts"), json.dumps(alerts).encode(), authorization=entry)
    reply = http.ask(channel, call, seconds=seconds)
    if not reply.good:
        raise http.refused(channel, reply)


def alert(notice: Notice, now: datetime, lasts: timedelta) -> Alert:
    """One alert as the API has it."""
    made: Alert = {
        "labels": labels(notice),
        "annotations": described(notice),
        "startsAt": notice.since.astimezone(UTC).isoformat(),
        "endsAt": _end(notice, now, lasts).isoformat(),
    }
    if is_address(notice.report):
        made["generatorURL"] = notice.report
    return made


def labels(notice: Notice) -> dict[str, str]:
    """What tells alerts apart; Alertmanager knows no empty ones."""
    named = {
        "alertname": alert_name(notice.rule),
        "model": notice.model,
        "source": notice.source,
        "severity": notice.severity,
        "rule": notice.rule,
        "version": notice.version,
        "fingerprint": notice.fingerprint,
    }
    return {name: value for name, value in named.items() if value}


def described(notice: Notice) -> dict[str, str]:
    """Everything else: what people read, and each field by its own name."""
    said = "\n".join(f"{line.label}: {line.text}" for line in lines(notice))
    fields = notice.model_dump(mode="json", exclude={*labels(notice), "runbook", "details"})
    texts = {name: "" if value is None else str(value) for name, value in fields.items()}
    conventional = {
        "summary": headline(notice),
        "description": said,
        "runbook_url": notice.runbook,
        "dashboard_url": notice.report,
        "details": "\n".join(notice.details),
    }
    return {name: text for name, text in {**texts, **conventional}.items() if text}


def alert_name(rule: str) -> str:
    """A rule's name as Prometheus writes names of alerts.

    >>> alert_name("no-images"), alert_name("drift")
    ('NoImages', 'Drift')
    """
    return "".join(word[:1].upper() + word[1:] for word in rule.replace("_", "-").split("-")) or "Alert"


def ended(known: Iterable[Alert], alerts: Iterable[Alert], now: datetime) -> list[Alert]:
    """Those of `known` that are the same alert as one of `alerts` but with other labels, with an end: now."""
    current = {_identity(one): one["labels"] for one in alerts}
    return [_ends(one, now) for one in known if _identity(one) in current and one["labels"] != current[_identity(one)]]


def _ends(one: Alert, now: datetime) -> Alert:
    return {key: one[key] for key in ("labels", "annotations", "startsAt") if key in one} | {"endsAt": now.isoformat()}


def _identity(one: Alert) -> tuple[str, ...]:
    return tuple(one["labels"].get(name, "") for name in FIXED)


def _end(notice: Notice, now: datetime, lasts: timedelta) -> datetime:
    """The end of what is over; else when it would end if nothing more were heard of it."""
    if notice.event == "resolved":
        return max(min((notice.until or now).astimezone(UTC), now), notice.since.astimezone(UTC))
    return now + (TEST_LASTS if notice.event == "test" else lasts)


def _known(channel: Channel, base: str, entry: Secret, fingerprints: Collection[str]) -> list[Alert]:
    """The alerts Alertmanager holds under these fingerprints."""
    if not fingerprints:
        return []
    matcher = f'fingerprint=~"{"|".join(sorted(fingerprints))}"'
    call = http.Call(Secret(f"{base}/api/v2/alerts?{urlencode({'filter': matcher})}"), None, authorization=entry)
    reply = http.ask(channel, call)
    if not reply.good:
        raise http.refused(channel, reply)
    found = _alerts(reply.body)
    if found is None:
        raise http.refused(
            channel, reply, expected="Alertmanager's JSON", words="with something else", remedy="check the address"
        )
    return found


def _alerts(body: bytes) -> list[Alert] | None:
    """The alerts in an answer; None where it is none of Alertmanager's."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    whole = isinstance(found, list) and all(
        isinstance(one, dict) and isinstance(one.get("labels"), dict) for one in found
    )
    return found if whole else None
