"""Made-up detections of two models on labelled images, with the truth known: for tests of the gate without training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cvkit.tables import BOXES, IMAGES, conform

CLASSES = {0: "washer", 1: "nut", 2: "bolt"}
CORNERS = ("x1", "y1", "x2", "y2")


@dataclass
class World:
    """How many images there are, and the chance of each model to find a box, by part; `same`: of what both share."""

    old: int = 300
    new: int = 150
    first: dict[str, float] = field(default_factory=lambda: {"old": 0.95, "new": 0.7})
    second: dict[str, float] = field(default_factory=lambda: {"old": 0.95, "new": 0.85})
    same: float = 0.9  # share of the boxes of which both models say the same where their chances are alike
    false: float = 0.1  # false boxes an image, of each model by itself
    cameras: int = 2
    kinds: int = 3  # classes there are


def make(world: World, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Images (with `part`), labels, and what each model says."""
    random = np.random.default_rng(seed)
    n = world.old + world.new
    part = np.where(np.arange(n) < world.old, "old", "new")
    ids = [f"{one}/{number:05d}.jpg" for number, one in enumerate(part)]
    times = pd.to_datetime("2026-10-01", utc=True) + pd.to_timedelta(np.arange(n), unit="h")
    sources = [f"cam-{k % world.cameras}" for k in range(n)]
    table = {"image_id": ids, "path": ids, "source": sources, "time": times, "width": 160.0, "height": 128.0}
    images = conform(pd.DataFrame(table), IMAGES).assign(part=part)
    count = random.integers(1, 5, n)
    of = np.repeat(np.arange(n), count)
    kind = random.integers(0, world.kinds, of.size)
    labels = boxes(of, kind, np.concatenate([np.arange(k) for k in count]), ids, np.nan)
    shared, own = random.random(of.size), random.random((2, of.size))
    alike = random.random(of.size) < world.same
    said = []
    for number, chances in enumerate((world.first, world.second)):
        chance = np.array([chances["old"], chances["new"]])[(part[of] == "new").astype(int)]
        found = np.where(alike, shared, own[number]) < chance
        wrong = np.repeat(np.arange(n), random.poisson(world.false, n))
        kinds = random.integers(0, world.kinds, wrong.size)
        extra = boxes(wrong, kinds, np.full(wrong.size, 6), ids, 0.6)
        said.append(pd.concat([labels[found].assign(confidence=0.9), extra], ignore_index=True))
    return images, labels, said[0], said[1]


def boxes(of: np.ndarray, kind: np.ndarray, place: np.ndarray, ids: list[str], confidence: float) -> pd.DataFrame:
    left = 4.0 + 22 * place
    table = {"image_id": np.array(ids, dtype=object)[of], "class_id": kind, "confidence": confidence,
             "x1": left, "y1": 20.0, "x2": left + 18, "y2": 40.0, "aside": ""}  # fmt: skip
    return conform(pd.DataFrame(table), BOXES)
