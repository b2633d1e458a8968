"""Alerts: how fast a fleet's are judged."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from benchmarks import Figure, at_most, observed
from cvkit.config import Config, parse_config
from cvkit.monitoring import alerts
from cvkit.monitoring.history import History
from cvkit.tables import MEASUREMENTS, VERDICTS, WATCHED, Window, conform

SOURCES, WINDOWS, ACTIVE = 1_000, 14, 10_000
START = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES = list(WATCHED)[:10]


def run() -> Iterator[Figure]:
    """Seconds that an update takes with 10,000 alerts that fire already, and with as many new ones."""
    with tempfile.TemporaryDirectory() as folder:
        config = _settings(Path(folder))
        with History.open(config.history_url) as history:
            _fill(history)
            raised, first = _timed(config, history)
            assert raised == ACTIVE, raised
            again, second = _timed(config, history)
            assert again == ACTIVE, again
    against = f"{ACTIVE:,} alerts on {SOURCES:,} sources, the newest of {WINDOWS} windows looked at"
    yield at_most("alerts.judged_again", second, "CPU s", 5.0, against)
    yield observed("alerts.raised_and_queued", first, "CPU s", f"all of them new: {against}")


def _settings(folder: Path) -> Config:
    rules = "\n".join(f"    - {{name: r-{n}, metric: {name}, state: warning}}" for n, name in enumerate(FEATURES))
    channel = "channels: [{name: ops, kind: webhook, url: 'http://127.0.0.1:9'}]"
    head = "reference: {data: x}\nmodel: {name: fleet, classes: [a]}\nalerts:\n  defaults: false"
    text = f"{head}\n  {channel}\n  rules:\n{rules}\n"
    return parse_config(text, folder / "cvkit.yml")


def _fill(history: History) -> None:
    names = [f"cam-{n:04}" for n in range(SOURCES)]
    verdicts = pd.DataFrame(
        [{"source": source, "rule": "drift", "feature": feature, "state": "warning" if feature in FEATURES else "ok",
          "reason": "mean 107.1, expected 88.4: changed by 4.1 reference standard deviations"}
         for source in names for feature in [*WATCHED, "class_mix", "embedding"]]
    )  # fmt: skip
    images = {"feature": "images", "metric": "count", "value": 50.0}
    counts = pd.DataFrame([{"source": source, **images} for source in names])
    for number in range(WINDOWS):
        start = START + timedelta(days=number)
        history.record(
            model="fleet", version="external", window=Window(start, start + timedelta(days=1)), reference_id="r",
            rules_id="r", measurements=conform(counts, MEASUREMENTS), verdicts=conform(verdicts, VERDICTS),
            images=50 * SOURCES, bad_images=0, started=start,
        )  # fmt: skip


def _timed(config: Config, history: History) -> tuple[int, float]:
    started = time.process_time()
    found = alerts.update(config, history)
    return len(found.alerts), time.process_time() - started
