"""Observations made up of tables, and a desk over one: what parts of the lab need, without images."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from cvkit.config.sections import RuleSettings
from cvkit.data.records import Records
from cvkit.monitoring import anomalies
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference
from cvkit.tables import (
    ANOMALIES,
    BOXES,
    FEATURES,
    FINDINGS,
    IMAGES,
    MEASUREMENTS,
    NUMBERS,
    VERDICTS,
    Window,
    conform,
    empty,
)

WINDOW = Window.day("2026-10-05")
NOTHING_EMBEDDED = pd.DataFrame(columns=["image_id", "embedding"])


def pictures(n: int, sources: int, start: pd.Timestamp, prefix: str, days: int = 1) -> pd.DataFrame:
    """Table IMAGES: `n` images of some sources by turns, spread over days."""
    frame = pd.DataFrame({"image_id": [f"{prefix}{number:05d}.jpg" for number in range(n)]})
    frame["path"] = "/nowhere/" + frame["image_id"]
    frame["source"] = [f"cam-{number % sources}" for number in range(n)]
    frame["time"] = start + pd.to_timedelta(np.arange(n) * days * 86400 / max(n, 1), unit="s")
    return conform(frame.assign(width=640.0, height=480.0, predicted=True), IMAGES)


def looks(images: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Table FEATURES of `images`: numbers that vary about what is normal."""
    frame = images[["image_id", "source", "time", "width", "height"]].assign(content=images["image_id"], mode="RGB")
    return conform(frame.assign(**{name: random.normal(5, 1, len(frame)) for name in NUMBERS}), FEATURES)


def labels(images: pd.DataFrame, boxes: int, classes: int, random: np.random.Generator) -> pd.DataFrame:
    """Table BOXES of labels: `boxes` of them, anywhere."""
    at = random.uniform(0, 400, (boxes, 2))
    size = random.uniform(15, 80, (boxes, 2))
    columns = dict(zip(("x1", "y1", "x2", "y2"), np.hstack([at, at + size]).T, strict=True))
    ids = images["image_id"].to_numpy()[random.integers(len(images), size=boxes)]
    return conform(pd.DataFrame({"image_id": ids, "class_id": random.integers(classes, size=boxes), **columns}), BOXES)


def said(true: pd.DataFrame, classes: int, random: np.random.Generator) -> pd.DataFrame:
    """Table BOXES of predictions: of the labels some moved, some of another class, some lost, and some of nothing."""
    kept = true[random.random(len(true)) < 0.85]
    moved = kept.assign(**{name: kept[name] + random.normal(0, 4, len(kept)) for name in ("x1", "y1")})
    other = random.random(len(kept)) < 0.15
    moved["class_id"] = np.where(other, random.integers(classes, size=len(kept)), kept["class_id"])
    nothing = true.sample(frac=0.15, random_state=1)
    nothing = nothing.assign(x1=nothing["x1"] + 100, x2=nothing["x2"] + 100)
    both = pd.concat([moved, nothing])
    return conform(both.assign(confidence=random.beta(4, 2, len(both)).round(3)), BOXES)


def observation(
    n: int = 120, boxes: int = 400, classes: int = 3, sources: int = 2, labelled: float = 1.0, odd: int = 3,
    seed: int = 0,
) -> Observation:  # fmt: skip
    """A window of `n` images with labels on a share of them, `odd` of them strange, and a reference of 400 a source."""
    random = np.random.default_rng(seed)
    names = {number: f"class {number} <b>" for number in range(classes)}
    now = pictures(n, sources, pd.Timestamp(WINDOW.start), "now/")
    now["labelled"] = random.random(n) < labelled
    then = pictures(400 * sources, sources, pd.Timestamp(WINDOW.start - timedelta(days=30)), "then/", 20)
    true = labels(now[now["labelled"]], boxes, classes, random) if now["labelled"].any() else empty(BOXES)
    features = looks(now, random)
    features.loc[: odd - 1, list(NUMBERS)] += np.linspace(1, 8, odd)[:, None]
    reference = Reference(
        "id", then, looks(then, random), empty(BOXES), empty(BOXES), empty(FINDINGS), NOTHING_EMBEDDED,
        dict.fromkeys(sorted(set(then["source"]))), names,  # type: ignore[arg-type]
    )  # fmt: skip
    strange = anomalies.find(features, NOTHING_EMBEDDED, reference, 0.1) if n else empty(ANOMALIES)
    tables: dict[str, Any] = {
        "findings": empty(FINDINGS),
        "measurements": empty(MEASUREMENTS),
        "verdicts": empty(VERDICTS),
    }
    records = Records(now, said(true, classes, random), true, empty(FINDINGS), names)
    return Observation(
        WINDOW, reference, records, features, NOTHING_EMBEDDED, strange, streams={}, confidence=0.25, **tables
    )  # fmt: skip


def desk(seen: Observation, source: str = "", **rules: Any) -> Any:
    """What a part asks of a desk."""
    config = SimpleNamespace(
        rules=RuleSettings(**rules),
        model=SimpleNamespace(name="m", confidence=0.25),
        window_length=timedelta(days=1),
        workspace="/nowhere",
    )
    return SimpleNamespace(observation=lambda: seen, source=source, window=seen.window, config=config)
