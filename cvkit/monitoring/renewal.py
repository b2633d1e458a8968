"""What stands is posted again: an Alertmanager keeps alerts in memory, and ends those of which it hears no more.

The outbox tells of what changes, once. An Alertmanager has to hear of what lasts too, or it knows nothing after it was
restarted and takes an alert that somebody acknowledged for over. So each round of deliveries brings it up to date.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa

from cvkit.config.alerts import Channel
from cvkit.monitoring import alert_store as store
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.channels import alertmanager
from cvkit.monitoring.history import History
from cvkit.monitoring.messages import Message, Notice
from cvkit.monitoring.schema import OUTBOX


def renew(channel: Channel, history: History, model: str, now: datetime) -> None:
    """Post what stands to an Alertmanager again, and end there what is over or disabled. Raises DeliveryError."""
    with history.reading() as connection:
        alerts = store.alerts(connection, model).values()
        standing = {alert.fingerprint for alert in alerts if _stands(alert)}
        notices = _told(connection, model, channel.name, standing)
    recent = now - timedelta(hours=channel.lasts_hours)  # what was over before has ended there by itself
    over = [alert.fingerprint for alert in alerts if not _stands(alert) and alert.changed >= recent]
    alertmanager.renew(channel, notices, over, now)


def _stands(alert: Alert) -> bool:
    return alert.open and alert.state != "disabled" and bool(alert.told_severity)


def _told(connection: sa.Connection, model: str, channel: str, fingerprints: Collection[str]) -> list[Notice]:
    """What the channel was last told of each alert; nothing of one that it has not been told of."""
    of_channel = OUTBOX.c.model == model, OUTBOX.c.channel == channel, OUTBOX.c.status == "sent"
    query = sa.select(OUTBOX.c.body, OUTBOX.c.fingerprints).where(*of_channel).order_by(OUTBOX.c.place.desc())
    found: list[Notice] = []
    sought = set(fingerprints)
    for row in connection.execute(query) if sought else ():
        if sought.isdisjoint(row.fingerprints):
            continue
        told = Message.model_validate_json(json.dumps(row.body)).notices
        found += [notice for notice in told if notice.fingerprint in sought]
        sought -= {notice.fingerprint for notice in told}
        if not sought:
            break
    return [notice for notice in found if notice.event != "resolved"]
