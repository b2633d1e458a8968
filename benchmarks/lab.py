"""The panel for JupyterLab on a year of 50 cameras: 1,000,000 image records, 365 windows; times are of the kernel.

`CVKIT_BENCHMARK_LAB` names a folder to keep the workspace in: making it takes minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks import Figure, at_most, observed
from benchmarks.flow import facts
from cvkit.config import Config, load_config
from cvkit.data import cache, features, sources
from cvkit.monitoring import alarms, identity, measure, monitor, parts, reference
from cvkit.monitoring.history import History
from cvkit.tables import Window

SOURCES, DAYS, EACH = 50, 365, 55  # 1,003,750 images
REFERENCE_DAYS, KNOWN_DAYS = 14, 12  # at the start; newest, whose images are looked at
FIRST = datetime(2025, 11, 1, tzinfo=UTC)
LABELLED = 0.3
SETTINGS = """
model: {name: plant, classes: [bolt, nut, washer]}
captures:
  images: "captures/{source}/{date}/{time}.jpg"
  predictions: "predictions/{date}.parquet"
  labels: "labels/{date}.json"
reference: {start: 2025-11-01, end: 2025-11-15}
"""


def run() -> Iterator[Figure]:
    """First paint, each control, and memory, of a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.environ.get("CVKIT_BENCHMARK_LAB", temporary)) / "plant"
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            (folder / "made").touch()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks._lab_session", str(folder)], check=True, capture_output=True, text=True
        )
    found = json.loads(done.stdout.splitlines()[-1])
    about = f"{SOURCES * DAYS * EACH:,} images, {SOURCES} sources, {DAYS} windows"
    yield at_most("lab.first_paint", found["first_paint"], "s", 3, f"{about}, imports included")
    yield observed("lab.python", found["loop"], "s", "ten million additions: how fast this machine is today")
    yield observed("lab.first_part", found["whole"], "s", "until the first part is there too")
    for name, milliseconds in found["answered"].items():
        yield at_most(f"lab.{name}", milliseconds, "ms", 300, "median of five")
        yield observed(f"lab.{name}, whole", found["settled"][name], "ms", "until the part is there too")
    for name, milliseconds in found["opened"].items():
        yield observed(f"lab.open {name}", milliseconds, "ms", "once")
    yield at_most("lab.memory", found["memory"], "MiB", 2048, "of that process")


def make(folder: Path) -> None:
    """The workspace: pictures are hard links to a few, features of the images that are looked at are known."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    (folder / "cvkit.yml").write_text(SETTINGS)
    config = load_config(folder)
    pictures = _pictures(folder, rng)
    for day in range(DAYS):
        _capture(folder, day, pictures, rng)
    for day in [*range(REFERENCE_DAYS), *range(DAYS - KNOWN_DAYS, DAYS)]:
        images = sources.load_captures(config, _window(day)).images
        known = f"reference/{identity.settings_id(config)}" if day < REFERENCE_DAYS else features.VERSION
        cache.by_image(folder / "features" / known, images, lambda new: facts(new, rng), features.FACTS, chunk=10**9)
    _record(config, rng)


def _window(day: int) -> Window:
    return Window(FIRST + timedelta(days=day), FIRST + timedelta(days=day + 1))


def _pictures(folder: Path, rng: np.random.Generator) -> list[Path]:
    """Small photographs: as many as links to one file are allowed to be few."""
    (folder / "pictures").mkdir()
    made = []
    for number in range(64):
        coarse = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        path = folder / "pictures" / f"{number}.jpg"
        Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=80)
        made.append(path)
    return made


def _capture(folder: Path, day: int, pictures: list[Path], rng: np.random.Generator) -> None:
    label = _window(day).label
    names = [f"{hour:02d}{minute:02d}00" for hour, minute in (divmod(n * 1440 // EACH, 60) for n in range(EACH))]
    ids = [f"captures/cam-{source:02d}/{label}/{name}.jpg" for source in range(SOURCES) for name in names]
    for source in range(SOURCES):
        (folder / "captures" / f"cam-{source:02d}" / label).mkdir(parents=True)
    for image_id, picture in zip(ids, rng.integers(0, len(pictures), len(ids)), strict=True):
        os.link(pictures[picture], folder / image_id)
    boxes = pd.DataFrame({"image": np.repeat(ids, 3)})
    corner = rng.uniform(0, 500, (len(boxes), 2))
    boxes = boxes.assign(
        class_id=rng.integers(0, 3, len(boxes)), confidence=rng.uniform(0.1, 1, len(boxes)), x1=corner[:, 0],
        y1=corner[:, 1] * 0.8, x2=corner[:, 0] + 60, y2=corner[:, 1] * 0.8 + 50,
    )  # fmt: skip
    (folder / "predictions").mkdir(exist_ok=True)
    boxes.to_parquet(folder / "predictions" / f"{label}.parquet")
    if day < REFERENCE_DAYS or day >= DAYS - KNOWN_DAYS:
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"{label}.json").write_text(json.dumps(_coco(ids, boxes, rng)))


def _coco(ids: list[str], boxes: pd.DataFrame, rng: np.random.Generator) -> dict[str, object]:
    """Labels of some images: most of the predicted boxes, moved a little."""
    chosen = {one: number for number, one in enumerate(ids) if rng.random() < LABELLED}
    true = boxes[boxes["image"].isin(list(chosen)) & (rng.random(len(boxes)) < 0.8)]
    moved = rng.normal(0, 4, (len(true), 2))
    corners = zip(true["image"], true["class_id"], true["x1"] + moved[:, 0], true["y1"] + moved[:, 1], strict=True)
    return {
        "images": [{"id": n, "file_name": one, "width": 640, "height": 480} for one, n in chosen.items()],
        "annotations": [
            {"id": n, "image_id": chosen[one], "category_id": int(kind), "bbox": [max(x, 0), max(y, 0), 60, 50],
             "area": 3000, "iscrowd": 0} for n, (one, kind, x, y) in enumerate(corners)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(("bolt", "nut", "washer"))],
    }  # fmt: skip


def _record(config: Config, rng: np.random.Generator) -> None:
    """What every window measured, after the newest one: its numbers, moved a little; evidence from such windows."""
    known = reference.load(config)
    newest = monitor.observe(config, _window(DAYS - 1), known)
    apart = parts.apart(
        newest.features, newest.records.predictions, newest.embeddings, newest.findings, newest.anomalies, ()
    )
    readings = measure.readings(measure.meet(apart, known), known.independent)
    states = {key: alarms._fresh(reading) for key, reading in readings.items()}
    with History.open(config.history_url) as history:
        for day in range(DAYS):
            window = _window(day)
            for key, reading in readings.items():
                entry = alarms._entry(window, reading)
                entry["values"] = [[_moved(value, rng) for value in part] for part in entry["values"]]
                states[key]["windows"].put(entry)
            measured = newest.measurements.assign(value=newest.measurements["value"] * rng.normal(1, 0.02))
            verdicts = newest.verdicts.copy()
            odd = (verdicts["source"] == f"cam-{day % SOURCES:02d}") & (verdicts["rule"] == "drift")
            verdicts.loc[odd, "state"] = "warning"
            done = states if day == DAYS - 1 else None
            if done is not None:
                done = alarms.followed(states, "", lambda moment: 8.0, 0.5)
            history.record(
                model=config.model.name, version=config.version, window=window, **identity.judged_by(config),
                measurements=measured, verdicts=verdicts, images=SOURCES * EACH, bad_images=3, started=window.end,
                streams=done,
            )  # fmt: skip


def _moved(value: float | None, rng: np.random.Generator) -> float | None:
    return None if value is None else float(value + rng.normal(0, 0.02 * abs(value) + 1e-6))
