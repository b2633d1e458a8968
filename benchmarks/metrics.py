"""Metrics: a scrape of 100 sources x 40 features over HTTP, after a new window and without one; series; backfill."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import Figure, at_most, observed, peak_mib
from cvkit.config import Config, parse_config
from cvkit.monitoring import exposition
from cvkit.monitoring.history import History
from cvkit.monitoring.prometheus import MOST_SERIES
from cvkit.tables import FEATURE_UNITS, FINDING_WORDS, MEASUREMENTS, VERDICTS, Window, conform

SOURCES, FEATURES, DAYS, ROUNDS = 100, 40, 10, 9
START = datetime(2026, 11, 1, tzinfo=UTC)
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0", "Accept-Encoding": "gzip"}  # as Prometheus asks
NUMBERS = (*FEATURE_UNITS, *FINDING_WORDS)[:FEATURES]


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        config = parse_config("reference: {data: data.yaml}", Path(folder) / "cvkit.yml")
        for day in range(DAYS):
            _record(config, day)
        scraper = exposition.Scraper(config.history_url, config.model.name)
        server = exposition.server(scraper, "127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/metrics"
        _get(address)
        fresh, known = [], []
        for day in range(DAYS, DAYS + ROUNDS):
            _record(config, day)
            fresh.append(_get(address)[0])
            known.append(_get(address)[0])
        body = _get(address, {})[1]
        server.shutdown()
        server.server_close()
        yield from _figures(config, fresh, known, body)


def _figures(
    config: Config, fresh: list[tuple[float, float]], known: list[tuple[float, float]], body: bytes
) -> Iterator[Figure]:
    what = f"{SOURCES} sources x {FEATURES} features, over HTTP, median of {ROUNDS}"
    (news_cpu, news), (known_cpu, again) = (
        map(statistics.median, zip(*times, strict=True)) for times in (fresh, known)
    )
    yield at_most("metrics.scrape", known_cpu, "s CPU", 0.5, f"the limit set; {what}; client and server")
    yield observed("metrics.scrape_wall", again, "s", "the same by the clock")
    yield at_most("metrics.scrape_news", news_cpu, "s CPU", 0.5, "the limit set; the first after a new window")
    yield observed("metrics.scrape_news_wall", news, "s", "the same by the clock")
    lines = [line for line in body.splitlines() if not line.startswith(b"#")]
    yield at_most("metrics.series", len(lines), "series", MOST_SERIES, "the bound of one scrape")
    yield observed("metrics.size", len(body) / 2**20, "MiB", "as text, not compressed")
    start, before = time.process_time(), peak_mib()
    file = config.workspace / "history.om"
    written = exposition.backfill(config, file)
    yield observed(
        "metrics.backfill", 1e6 * (time.process_time() - start) / written, "us CPU", "each number of the past"
    )
    yield observed("metrics.backfill_numbers", written, "numbers", f"of {DAYS + ROUNDS} windows")
    yield observed("metrics.backfill_memory", peak_mib() - before, "MiB", f"more at its peak, of {_size(file):.0f} MiB")


def _get(address: str, headers: dict[str, str] | None = None) -> tuple[tuple[float, float], bytes]:
    """Seconds of the processor and by the clock, and what was answered."""
    cpu, start = time.process_time(), time.perf_counter()
    request = urllib.request.Request(address, headers=OPENMETRICS if headers is None else headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
    return (time.process_time() - cpu, time.perf_counter() - start), body


def _record(config: Config, day: int) -> None:
    """A window of every source, with what cvkit measures of a feature (mean and distances) or a finding (share)."""
    rng = np.random.default_rng(day)
    kinds = [(name, metric) for name in NUMBERS
             for metric in (("share",) if name in FINDING_WORDS else ("mean", "ks", "psi", "wasserstein"))]  # fmt: skip
    rows = pd.DataFrame(
        [(f"cam-{source:03}", *kind) for source in range(SOURCES) for kind in (*kinds, ("images", "count"))],
        columns=["source", "feature", "metric"],
    )
    mean = rows["metric"] == "mean"
    for name in ("value", "expected", "effect", "p_value"):
        rows[name] = rng.random(len(rows))
    for name in ("low", "high", "expected_low", "expected_high"):
        rows[name] = np.where(mean, rng.random(len(rows)), np.nan)
    judged = rows[mean | rows["metric"].isin(["share", "count"])][["source", "feature"]]
    verdicts = judged.assign(rule="drift", state="ok", reason="as usual")
    window = Window(START + timedelta(days=day), START + timedelta(days=day + 1))
    with History.open(config.history_url) as history:
        history.record(
            model=config.model.name, version="v1", window=window, reference_id="r", rules_id="r",
            measurements=conform(rows.assign(n=500, n_reference=10_000), MEASUREMENTS),
            verdicts=conform(verdicts, VERDICTS), images=50_000, bad_images=0, started=window.end,
        )  # fmt: skip


def _size(file: Path) -> float:
    return file.stat().st_size / 2**20
