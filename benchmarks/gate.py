"""The gate: how often what is the same, or forgets, passes, how often what gains does, and how long it takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import numpy as np

from benchmarks import Figure, at_least, at_most, observed
from cvkit.stats.quality.noninferiority import f1_gain

MARGIN = 0.02
SETS = 400


def run() -> Iterator[Figure]:
    for old, new in ((60, 40), (300, 150)):
        told = _outcomes((0.9, 0.9), (0.8, 0.8), old, new)
        about = f"{SETS} pairs of models alike, {old} old and {new} new images"
        yield at_most(f"gate.noise_{old}", told["passed"] / SETS, "share passed", 0.05, about)
    told = _outcomes((0.95, 0.85), (0.6, 0.9), 300, 150)
    yield at_most("gate.forgets", told["passed"] / SETS, "share passed", 0.0, "300 old images, recall lower by .1")
    for old, new in ((300, 150), (1000, 300)):
        told = _outcomes((0.95, 0.95), (0.6, 0.8), old, new)
        about = f"{old} old and {new} new images, recall on new higher by .2"
        share = told["passed"] / SETS
        yield (
            at_least(f"gate.gains_{old}", share, "share passed", 0.9, about)
            if old > 500
            else observed(f"gate.gains_{old}", share, "share passed", about)
        )
    start = time.process_time()
    _judged((0.95, 0.95), (0.6, 0.8), 1000, 300, 0)
    yield observed("gate.seconds", time.process_time() - start, "CPU s", "5 parts of 1,300 images")


def _outcomes(old: tuple[float, float], new: tuple[float, float], olds: int, news: int) -> Counter[str]:
    return Counter("passed" if _judged(old, new, olds, news, seed) else "not passed" for seed in range(SETS))


def _judged(old: tuple[float, float], new: tuple[float, float], olds: int, news: int, seed: int) -> bool:
    """Whether a gain on the new images is shown, and the old ones and each of three classes on them hold."""
    random = np.random.default_rng(seed)
    found, whole = _counts(random, new, news)
    if f1_gain(found.sum(axis=0), whole.sum(axis=0)).low <= 0:
        return False
    found, whole = _counts(random, old, olds)
    parts = [(found.sum(axis=0), whole.sum(axis=0)), *zip(found, whole, strict=True)]
    gains = []
    for one, all_of in parts:
        inside = all_of.sum(axis=0) > 0
        gains.append(f1_gain(one[:, inside], all_of[:, inside]))
    return all(gain.low > -MARGIN or np.isnan(gain.low) for gain in gains)


def _counts(random: np.random.Generator, chances: tuple[float, float], images: int) -> tuple[np.ndarray, np.ndarray]:
    """Found and whole (3 classes, 2 models, images): nine of ten boxes are found by both or by none."""
    boxes = random.poisson(0.85, (3, images))
    of = np.repeat(np.arange(3 * images), boxes.ravel())
    shared, own, alike = random.random(of.size), random.random((2, of.size)), random.random(of.size) < 0.9
    hit = [np.where(alike, shared, one) < chance for one, chance in zip(own, chances, strict=True)]
    found = np.stack([np.bincount(of, one, 3 * images).reshape(3, images) for one in hit], axis=1)
    return found, found + (boxes[:, None] - found) / 2
