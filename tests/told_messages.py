"""The messages that the docs show: what cvkit writes of a history, word for word."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from alert_world import Receiver, config, measured, number, verdict
from made_up_messages import MADE

from cvkit.monitoring import alerts, outbox
from cvkit.monitoring.history import History
from cvkit.monitoring.messages import Message, Notice

FOLDER = "/srv/gates"  # where readers shall imagine the workspace
SITE = "https://cvkit.plant.example"
SHARP = (
    "mean 1.907, expected 2.783 (2.702 to 2.863; log10 variance of the Laplacian): changed by 4.5 reference standard "
    "deviations suddenly since 2026-11-02; evidence over a million times what an alarm needs, 1440 images against 336"
)
PALE = (
    "mean 15.54, expected 26.4 (24.09 to 28.7; grey levels, standard deviation): changed by 1.7 reference standard "
    "deviations gradually since 2026-11-02; evidence 5,892 times what an alarm needs, 1440 images against 336"
)


def told(folder: Path) -> Message:
    """One alert that is new and one that is over, of a workspace that is made in `folder`."""
    channel = "{name: ops, kind: webhook, url: 'http://127.0.0.1:9/hook'}"
    settings, receiver = config(folder, f"site: {SITE}\n  channels: [{channel}]"), Receiver()
    history = History.open(settings.history_url)
    measured(history, 0, images={"gate-1": 1440, "gate-2": 0})
    alerts.update(settings, history, MADE)
    sharpness = number("gate-1", "sharpness", 1.9066, low=1.896, high=1.9172, n=1440, expected=2.783,
                       expected_low=2.702, expected_high=2.863)  # fmt: skip
    found = [("sharpness", SHARP), ("contrast", PALE)]
    seen = [verdict("gate-1", feature, "critical", reason=reason) for feature, reason in found]
    measured(history, 1, seen, [sharpness], images={"gate-1": 1440, "gate-2": 1440})
    alerts.update(settings, history, MADE + timedelta(days=1))
    outbox.deliver(settings, history, receiver, clock=lambda: MADE + timedelta(days=1), pause_s=0)
    notices = [_elsewhere(one, folder) for message in receiver.messages[1:] for one in message.notices]
    return Message(id="8a6c31d2c34f4a1f9a3b7a1f1f6f6b0e", made=MADE + timedelta(days=1), notices=tuple(notices))


def _elsewhere(notice: Notice, folder: Path) -> Notice:
    return Notice.model_validate_json(notice.model_dump_json().replace(str(folder), FOLDER))
