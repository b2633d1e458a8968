"""A made-up workspace in which every metric of `cvkit metrics` has something to tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from cvkit.config import Config, parse_config
from cvkit.monitoring.history import History
from cvkit.monitoring.prometheus import ALERTS, DELIVERIES
from cvkit.tables import MEASUREMENTS, VERDICTS, Window, conform

HEALTHY, SICK = "cam-1", "cam-2"
HOSTILE = 'tor 3 "\\n\n\\" {a="b"} ☃ é\t🎥'
SOURCES = (HEALTHY, SICK, HOSTILE)
MEANS = {"brightness": 118.0, "sharpness": 2.6, "confidence": 0.82, "boxes": 4.2, "f1": 0.9}
VERSION = "v1"


def workspace(folder: Path, settings: str = "") -> Config:
    """Settings only; the history is made by the first window."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cvkit.yml").write_text(f"reference: {{data: data.yaml}}\n{settings}")
    return parse_config((folder / "cvkit.yml").read_text(), folder / "cvkit.yml")


def today(days_ago: int = 0) -> Window:
    """A day that is complete."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(midnight - timedelta(days=days_ago + 1), midnight - timedelta(days=days_ago))


def record(config: Config, window: Window, *, sick: bool = True, sources: Sequence[str] = SOURCES) -> None:
    """A window; where `sick` the second source has no images and has drifted."""
    rows = [row for source in sources for row in measured(source, ill=sick and source == SICK)]
    verdicts = [row for source in sources for row in judged(source, ill=sick and source == SICK)]
    with History.open(config.history_url) as history:
        history.record(
            model=config.model.name, version=VERSION, window=window, reference_id="r", rules_id="r",
            measurements=conform(pd.DataFrame(rows), MEASUREMENTS), verdicts=conform(pd.DataFrame(verdicts), VERDICTS),
            images=72, bad_images=5, started=window.end,
        )  # fmt: skip


def measured(source: str, *, ill: bool = False) -> list[dict[str, Any]]:
    here = {"source": source, "n": 60, "n_reference": 300}
    band = [{**here, "feature": name, "metric": "mean", "value": usual, "low": 0.99 * usual, "high": 1.01 * usual,
             "expected": usual, "expected_low": 0.9 * usual, "expected_high": 1.1 * usual}
            for name, usual in MEANS.items()]  # fmt: skip
    tests = [{**here, "feature": name, "metric": "ks", "value": 0.1, "p_value": 0.3, "effect": 0.2} for name in MEANS]
    good = [{**here, "feature": feature, "metric": name, "value": 0.8, "low": 0.7, "high": 0.9, "expected": 0.85}
            for feature in ("performance", "estimate") for name in ("ap", "precision", "recall", "f1")]  # fmt: skip
    more = [
        {**here, "feature": "images", "metric": "count", "value": 0 if ill else 24, "expected": 24},
        {**here, "feature": "performance", "metric": "coverage", "value": 0.5},
        {**here, "feature": "blurred", "metric": "share", "value": 0.04, "expected": 0.02, "effect": 0.02},
        {**here, "feature": "class_boxes", "metric": "mean", "class_name": 'a "b"', "value": 1.5},
    ]
    return [*band, *tests, *good, *more]


def judged(source: str, *, ill: bool = False) -> list[dict[str, Any]]:
    bad = "critical" if ill else "ok"
    here = {"source": source, "reason": "as usual"}
    return [
        {**here, "rule": "data", "feature": "images", "state": "unknown" if ill else "ok"},
        {**here, "rule": "drift", "feature": "sharpness", "state": bad},
        {**here, "rule": "drift", "feature": "f1", "state": "ok"},
        {**here, "rule": "quality", "feature": "blurred", "state": "warning" if ill else "ok"},
    ]


def alerts(config: Config) -> pd.DataFrame:
    """An alert that fires, one that somebody has seen, and one that is over."""
    row = {"model": config.model.name, "version": VERSION, "source": SICK, "severity": "critical",
           "since": datetime(2026, 11, 1, tzinfo=UTC), "inhibited": False}  # fmt: skip
    states = (("no-images", "firing"), ("drift", "acknowledged"), ("bad-images", "resolved"))
    rows = [{**row, "fingerprint": rule, "rule": rule, "state": state} for rule, state in states]
    return conform(pd.DataFrame(rows), ALERTS)


def deliveries() -> pd.DataFrame:
    made = datetime(2026, 11, 2, tzinfo=UTC)
    rows = [
        {"channel": "slack", "status": "waiting", "n": 2, "oldest": made},
        {"channel": "slack", "status": "sent", "n": 7},
    ]
    return conform(pd.DataFrame(rows), DELIVERIES)


JOB, DONE = "02-drift all sources 30 6 * * * UTC", datetime(2026, 11, 2, 6, 30, tzinfo=UTC)


def slots(config: Config) -> None:
    """A job that was done at DONE, failed since, and left a slot in the future; and one of another model."""
    with History.open(config.history_url) as history:
        for model, slot, error in (
            (config.model.name, DONE - timedelta(days=1), ""), (config.model.name, DONE, ""),
            (config.model.name, DONE + timedelta(days=1), "boom"),
            (config.model.name, DONE.replace(year=2999), ""), (config.model.name.upper(), DONE, ""),
        ):  # fmt: skip
            history.claim_slot(f"{model}: {JOB}", slot, slot, 1)
            history.finish_slot(f"{model}: {JOB}", slot, slot, error)
