"""Slices: how often one is accused that is not worse, how often one that is worse is found, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from benchmarks import Figure, at_least, at_most, observed
from cvkit.stats import resampling
from cvkit.stats.dependence import blocks
from cvkit.stats.quality import slices

SETS, WORSE_SETS, SERIES_SETS = 400, 100, 200


def run() -> Iterator[Figure]:
    rng = np.random.default_rng(0)
    accused = [np.nanmin(_compare(rng, 200, 0.0).p_value) <= 0.05 for _ in range(SETS)]
    yield at_most("slices.accused", float(np.mean(accused)), "share of sets", 0.072, f"level .05, {SETS} sets, sd .011")
    found = [_compare(rng, 300, 0.25).p_value[0] <= 0.05 for _ in range(WORSE_SETS)]
    yield at_least("slices.found", float(np.mean(found)), "share of sets", 0.9, "recall lower by .25")
    for alike in (0.6, 0.9):
        yield from _series(alike)
    yield from _speed()


def _compare(rng: np.random.Generator, images: int, gap: float) -> slices.Slices:
    image = np.repeat(np.arange(images), rng.poisson(4, images))
    quarter = np.searchsorted([0.25, 0.5, 0.75], rng.random((10, images)))
    members = np.concatenate([row[image] == np.arange(4)[:, None] for row in quarter])
    chance = np.clip(0.8 + 0.1 * rng.standard_normal(images), 0, 1)[image] - gap * members[0]
    return slices.compare(rng.random(image.size) < chance, np.ones(image.size), members, image, replicates=500)


def _series(alike: float, n: int = 1440, cameras: int = 3) -> Iterator[Figure]:
    rng = np.random.default_rng(1)
    held: dict[str, list[bool]] = {"blocks": [], "frames": []}
    for _ in range(SERIES_SETS):
        right = np.concatenate([_frames(rng, n, alike) for _ in range(cameras)])
        by_block = blocks(right, np.repeat(np.arange(cameras), n))
        for name, groups in (("blocks", by_block), ("frames", None)):
            told = resampling.interval(
                lambda w, v=right: (w @ v / w.sum(axis=1))[:, None], right.size, groups=groups, replicates=100
            )
            held[name].append(bool(told.low[0] <= 0.8413 <= told.high[0]))
    against = f"95 % asked for, {SERIES_SETS} sets, autocorrelation {alike}"
    yield at_least(f"slices.covered_{alike}_by_blocks", float(np.mean(held["blocks"])), "share", 0.9, against)
    yield observed(f"slices.covered_{alike}_by_frames", float(np.mean(held["frames"])), "share", against)


def _frames(rng: np.random.Generator, n: int, alike: float) -> np.ndarray:
    noise = rng.standard_normal(n) * np.sqrt(1 - alike**2)
    score = np.empty(n)
    score[0] = rng.standard_normal()
    for k in range(1, n):
        score[k] = alike * score[k - 1] + noise[k]
    return (score < 1).astype(float)


def _speed(events: int = 100_000, many: int = 1700) -> Iterator[Figure]:
    rng = np.random.default_rng(2)
    members, image = rng.random((many, events)) < 0.1, np.sort(rng.integers(0, 5000, events))
    part = rng.random(events) < 0.8
    start = time.process_time()
    slices.compare(part, np.ones(events), members, image)
    against = f"{many} slices of {events} boxes of 5,000 images"
    yield observed("slices.seconds", time.process_time() - start, "CPU s", against)
