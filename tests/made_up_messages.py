"""Messages for tests and for the pictures in the docs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cvkit.config.alerts import Channel
from cvkit.monitoring.messages import Message, Notice

MADE = datetime(2026, 11, 21, 6, 31, tzinfo=UTC)


def notice(**changes: Any) -> Notice:
    """An alert as it might be, with `changes`."""
    values = {
        "fingerprint": "3f9a52c07be1d846",
        "event": "fired",
        "model": "bottle-caps",
        "version": "8c1f0a94be27",
        "source": "gate-1",
        "rule": "drift",
        "severity": "critical",
        "title": "gate-1: images are darker",
        "what": "The brightness of gate-1 left the range it had in the reference, for 3 windows now.",
        "metric": "brightness.mean",
        "value": 78.4,
        "low": 77.1,
        "high": 79.8,
        "unit": "grey levels",
        "expected": "112 (108 to 116), as in the reference",
        "window_start": datetime(2026, 11, 20, tzinfo=UTC),
        "window_end": datetime(2026, 11, 21, tzinfo=UTC),
        "n": 1440,
        "since": datetime(2026, 11, 18, tzinfo=UTC),
        "until": None,
        "returns": 0,
        "cause": "A lamp that failed, or a dirty lens: sharpness and contrast fell on the same day.",
        "details": ("contrast.mean 21.3, expected 30.2", "sharpness.mean 88, expected 141"),
        "todo": "Look at the newest images of gate-1 beside those of the reference, then clean the lens.",
        "runbook": "https://docs.plant.example/runbooks/dark-images",
        "report": "https://cvkit.plant.example/reports/02-drift/2026-11-20/",
        "acknowledge": "cvkit alerts ack 3f9a52c07be1d846 --by NAME --why REASON",
        "owner": "line 3 maintenance",
    }
    return Notice.model_validate({**values, **changes})


def message(*notices: Notice, name: str = "m-20261121-gate-1") -> Message:
    """A message of `notices`, or of the usual one."""
    return Message(id=name, made=MADE, notices=notices or (notice(),))


def channel(kind: str, **settings: Any) -> Channel:
    """A channel of this kind that is quick to give up."""
    return Channel.model_validate({"name": "ops", "kind": kind, "timeout_s": 20.0, **settings})


def both() -> Message:
    """One alert that is new, and one that is over."""
    over = notice(
        fingerprint="91b07d3c5a2e6f08",
        event="resolved",
        rule="no-images",
        severity="critical",
        source="gate-2",
        title="gate-2: no images",
        what="gate-2 sends images again.",
        metric="images",
        value=1439.0,
        low=None,
        high=None,
        unit="images",
        expected="at least 1 image in a window",
        n=1439,
        until=datetime(2026, 11, 20, tzinfo=UTC),
        cause="The camera had no power from 19 November.",
        details=(),
        todo="Nothing: it is over.",
        runbook="",
        acknowledge="cvkit alerts ack 91b07d3c5a2e6f08 --by NAME --why REASON",
    )
    return message(notice(), over)
