"""The main job on one large window: 100,000 image records measured and judged, once features exist."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import Figure, at_most
from cvkit.config import load_config
from cvkit.data import cache, features, sources
from cvkit.monitoring import identity
from cvkit.tables import PROPERTIES, Window

IMAGES = 100_000
SOURCES = 10
DAY, REFERENCE_DAYS = "2026-10-01", 7
SETTINGS = """
model: {name: large, classes: [a, b, c]}
captures: {images: "captures/{source}/{date}/{time}.jpg", predictions: "predictions/{source}/{date}.parquet"}
reference: {start: 2026-09-01, end: 2026-09-08}
"""
CHILD = """
import sys, time
from benchmarks import peak_mib
from cvkit.config import load_config
from cvkit.monitoring import monitor, reference
from cvkit.tables import Window
config = load_config(sys.argv[1])
known = reference.load(config)
if sys.argv[2] == "measure":
    before = time.process_time()
    seen = monitor.observe(config, Window.day("2026-10-01"), known)
    assert len(seen.features) == int(sys.argv[3]), len(seen.features)
    print(time.process_time() - before, peak_mib() / 1024)
"""


def run() -> Iterator[Figure]:
    """CPU seconds and peak memory of `monitor.observe` on the window."""
    with tempfile.TemporaryDirectory() as temporary:
        _workspace(Path(temporary))
        child = [sys.executable, "-c", CHILD, temporary]
        subprocess.run([*child, "reference"], check=True)
        done = subprocess.run([*child, "measure", str(IMAGES)], check=True, capture_output=True, text=True)
    seconds, peak = (float(number) for number in done.stdout.split())
    yield at_most("flow.window_of_100k_images", seconds, "s CPU", 60, "measured and judged, features known")
    yield at_most("flow.peak_memory", peak, "GiB", 1, "of that process")


def _workspace(folder: Path) -> None:
    """Files one byte long, predictions, and a feature cache that knows them."""
    (folder / "cvkit.yml").write_text(SETTINGS)
    config = load_config(folder)
    rng = np.random.default_rng(0)
    days = {DAY: IMAGES // SOURCES} | {f"2026-09-{day:02d}": 200 for day in range(1, REFERENCE_DAYS + 1)}
    for source in (f"cam-{i}" for i in range(SOURCES)):
        for day, count in days.items():
            _capture(folder, source, day, count, rng)
    for day in days:
        window = Window.day(day)
        images = sources.load_captures(config, window).images
        known = features.VERSION if day == DAY else f"reference/{identity.settings_id(config)}"
        cache.by_image(folder / "features" / known, images, lambda new: facts(new, rng), features.FACTS, chunk=10**9)


def _capture(folder: Path, source: str, day: str, count: int, rng: np.random.Generator) -> None:
    target = folder / "captures" / source / day
    target.mkdir(parents=True)
    seconds = np.arange(count) * 86_400 // count
    names = [f"{s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d}" for s in seconds]
    for name in names:
        (target / f"{name}.jpg").write_bytes(b"x")
    boxes = np.repeat(names, 3)
    corner = rng.uniform(0, 500, (len(boxes), 2))
    table = pd.DataFrame(
        {
            "image": [f"captures/{source}/{day}/{name}.jpg" for name in boxes],
            "class_id": rng.integers(0, 3, len(boxes)),
            "confidence": rng.uniform(0.3, 1, len(boxes)),
            "x1": corner[:, 0], "y1": corner[:, 1], "x2": corner[:, 0] + 40, "y2": corner[:, 1] + 30,
        }
    )  # fmt: skip
    file = folder / "predictions" / source / f"{day}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(file)


def facts(images: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """What reading `images` would have told, made up: rows of the cache of features."""
    n = len(images)
    numbers = {name: rng.normal(10, 1, n) for name in PROPERTIES}
    return pd.DataFrame(
        {
            "image_id": images["image_id"], "content": [f"{value:032x}" for value in rng.integers(0, 2**62, n)],
            "dhash": rng.integers(0, 2**63, n, dtype=np.uint64), "mode": "RGB", "file_format": "JPEG", "damage": "",
            "damage_detail": "", "width": 640.0, "height": 480.0, **numbers,
        }
    )  # fmt: skip
