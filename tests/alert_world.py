"""A history written by hand: what rules and alerts look at, without images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from cvkit.config import Config, parse_config
from cvkit.monitoring.channels import DeliveryError
from cvkit.monitoring.history import History
from cvkit.monitoring.messages import Message
from cvkit.tables import MEASUREMENTS, VERDICTS, Window, conform

START = datetime(2026, 11, 1, tzinfo=UTC)
CHANNEL = "{name: ops, kind: webhook, url: 'http://127.0.0.1:9/hook'}"


history_url: Callable[[Path], str] | None = None  # where a folder's history is; None: in the folder, on SQLite


def config(folder: Path, alerts: str = f"channels: [{CHANNEL}]", more: str = "") -> Config:
    more = f"history: '{history_url(folder)}'\n{more}" if history_url else more
    text = f"reference: {{data: data.yaml}}\nmodel: {{name: m, classes: [cat]}}\n{more}\nalerts:\n  {alerts}\n"
    (folder / "cvkit.yml").write_text(text)
    return parse_config(text, folder / "cvkit.yml")


def day(number: int) -> Window:
    start = START + timedelta(days=number)
    return Window(start, start + timedelta(days=1))


def verdict(source: str, feature: str, state: str, rule: str = "drift", reason: str = "words") -> dict[str, str]:
    return {"source": source, "rule": rule, "feature": feature, "state": state, "reason": reason}


def number(source: str, feature: str, value: float, metric: str = "mean", **more: Any) -> dict[str, Any]:
    return {"source": source, "feature": feature, "metric": metric, "value": value, "n": 50, **more}


def measured(
    history: History,
    window: int,
    verdicts: Iterable[dict[str, str]] = (),
    numbers: Iterable[dict[str, Any]] = (),
    images: dict[str, int] | None = None,
    version: str = "external",
) -> None:
    """Put one day into the history; `images` by source, of which each that is not named in it sent 50."""
    told, verdicts, numbers = dict(images or {}), list(verdicts), list(numbers)
    for row in [*verdicts, *numbers]:
        told.setdefault(row["source"], 50)
    counts = [number(source, "images", n, "count", n=n) for source, n in told.items()]
    history.record(
        model="m", version=version, window=day(window), reference_id="r", rules_id="r",
        measurements=conform(pd.DataFrame([*numbers, *counts]), MEASUREMENTS),
        verdicts=conform(pd.DataFrame(verdicts, columns=list(VERDICTS)), VERDICTS), images=sum(told.values()),
        bad_images=0, started=START,
    )  # fmt: skip


def drift(history: History, states: str, source: str = "cam-1", feature: str = "brightness", first: int = 0) -> None:
    """One day a letter: o(k), w(arning), c(ritical), u(nknown)."""
    words = {"o": "ok", "w": "warning", "c": "critical", "u": "unknown"}
    for place, letter in enumerate(states):
        measured(history, first + place, [verdict(source, feature, words[letter])])


class Receiver:
    """A receiver that keeps what it was sent, and fails as often as it is told to."""

    def __init__(self, failures: Sequence[DeliveryError] = ()) -> None:
        self.messages: list[Message] = []
        self.failures = list(failures)

    def __call__(self, channel: Any, message: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.messages.append(message)

    @property
    def heard(self) -> list[tuple[str, str, str]]:
        return [(one.source, one.rule, one.event) for message in self.messages for one in message.notices]
