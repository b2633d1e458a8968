"""Quality estimated without labels against what labels say, on real images under corruptions that were not learnt.

`python -m benchmarks.estimation [--keep FOLDER] [--figure FILE] SEED ...` prints the same figures for other halves of
the images than the first; FOLDER keeps what the detector said, FILE shows the estimates against the truth.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks import Figure, at_least, at_most, not_measured, observed
from cvkit.config import ModelSettings
from cvkit.data import corruptions, yolo
from cvkit.data.pictures import decode
from cvkit.documentation.plots.style import BLUE, FONT, GREEN, ORANGE, QUIET, new_figure, tidy
from cvkit.stats.quality import boxes
from cvkit.stats.unlabelled import chances, estimation, signals
from cvkit.stats.unlabelled.estimation import Example
from cvkit.stats.unlabelled.expectation import METRICS

DATA = Path(__file__).parents[2] / "shared" / "data"
WEIGHTS, IMAGES = DATA / "weights" / "yolo26n.pt", DATA / "coco128" / "images"
CELLS = DATA / "bccd"  # images of another world than coco128's
CLASSES = 80
SETTINGS = ModelSettings(weights=str(WEIGHTS), batch=8)
CONDITIONS = (("", 0), *((family, severity) for family in corruptions.FAMILIES for severity in corruptions.SEVERITIES))
SCENES = {"same": (1.0, 1), "half": (0.5, 2), "twice": (2.0, 2)}  # density of objects, windows drawn
RMSE = 3.0  # mAP points
COVERED = 0.9
BASELINES = ("mean_confidence", "highest_confidence", "detections")


@dataclass(frozen=True, slots=True)
class Labels:
    category: np.ndarray  # (n,)
    corners: np.ndarray  # (n, 4) pixels


@dataclass(frozen=True, slots=True)
class Seen:
    """What the detector said of all images under one corruption, and what was there."""

    family: str
    boxes: list[np.ndarray]  # of each image (n, 6)
    embedding: np.ndarray  # (images, e)
    labels: list[Labels]
    sizes: np.ndarray  # (images, 2)


def run(seeds: Sequence[int] = (0,), keep: Path | None = None, figure: Path | None = None) -> Iterator[Figure]:
    if not WEIGHTS.is_file() or not IMAGES.is_dir():
        yield not_measured("estimation", "mAP points", "", "real images and a detector's weights, which are not here")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        files = sorted(IMAGES.glob("*.jpg"))
        seen = [_seen(files, family, severity, folder) for family, severity in CONDITIONS]
        rows = [row for seed in seeds for row in _study(seen, seed)]
        yield from _figures(rows, f"yolo26n, coco128, {len(seeds)} halves, {len(rows)} windows of 64 images")
        if figure:
            draw(rows, figure)
        yield from _elsewhere(seen, files, folder)


# -- what the detector says -----------------------------------------------------------------------------------------


def _seen(files: list[Path], family: str, severity: int, folder: Path) -> Seen:
    kept = folder / f"{family or 'plain'}-{severity}.npz"
    pictures = [decode(str(file)) for file in files]
    if not kept.is_file():
        changed = [
            corruptions.corrupt(one, family, severity, number) if family else one for number, one in enumerate(pictures)
        ]
        said = _say(changed, folder)
        np.savez(
            kept, boxes=np.concatenate([one for one, _ in said]), ends=np.cumsum([len(one) for one, _ in said])[:-1],
            embedding=np.stack([one for _, one in said]),
        )  # fmt: skip
    stored = np.load(kept)
    labels = [_labels(file, one) for file, one in zip(files, pictures, strict=True)]
    if family == "occlusion":
        masks = [corruptions.covered(one.shape, severity, number) for number, one in enumerate(pictures)]
        labels = [_visible(one, mask) for one, mask in zip(labels, masks, strict=True)]
    sizes = np.array([one.shape[1::-1] for one in pictures])
    return Seen(family, np.split(stored["boxes"], stored["ends"]), stored["embedding"], labels, sizes)


def _say(pictures: list[np.ndarray], folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    deployed = yolo._loaded(WEIGHTS, (0, 0), folder / "ultralytics", "benchmark")
    shapes: dict[tuple[int, ...], list[int]] = {}
    for number, one in enumerate(pictures):
        shapes.setdefault(one.shape, []).append(number)
    said = {}
    for numbers in shapes.values():
        for low in range(0, len(numbers), SETTINGS.batch):
            part = numbers[low : low + SETTINGS.batch]
            said.update(zip(part, yolo.look(deployed, [pictures[n] for n in part], SETTINGS), strict=True))
    return [said[number] for number in range(len(pictures))]


def _labels(file: Path, picture: np.ndarray) -> Labels:
    told = file.parents[1] / "labels" / f"{file.stem}.txt"
    text = told.read_text() if told.is_file() else ""
    rows = np.array([line.split() for line in text.splitlines()], dtype=float).reshape(-1, 5)
    centre, size = rows[:, 1:3] * picture.shape[1::-1], rows[:, 3:] * picture.shape[1::-1]
    return Labels(rows[:, 0].astype(int), np.concatenate([centre - size / 2, centre + size / 2], axis=1))


def _visible(labels: Labels, mask: np.ndarray) -> Labels:
    stays = corruptions.visible(labels.corners, mask)
    return Labels(labels.category[stays], labels.corners[stays])


def _example(seen: Seen, images: np.ndarray) -> Example:
    said, told = [seen.boxes[i] for i in images], [seen.labels[i] for i in images]
    rows, numbers = np.concatenate(said), np.arange(len(images))
    found = boxes.predictions(
        np.repeat(numbers, [len(one) for one in said]), rows[:, 5].astype(int), rows[:, :4], rows[:, 4]
    )
    true = boxes.truth(
        np.repeat(numbers, [len(one.category) for one in told]),
        np.concatenate([one.category for one in told]),
        np.concatenate([one.corners for one in told]),
    )
    scene = signals.scene(len(images), seen.sizes[images], found, seen.embedding[images])
    return Example(seen.family, scene, true)


# -- the study ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One window of the half that was not learnt from, under a corruption whose family was not learnt from."""

    seed: int
    family: str
    scenes: str
    truth: np.ndarray  # (3,)
    told: estimation.Estimate
    baselines: np.ndarray  # (3,) AP by BASELINES
    oracle: float  # AP of the other half under the same corruption


def _study(seen: list[Seen], seed: int) -> Iterator[Row]:
    """Fit on one half of the images, test on the other, each family of corruption left out in turn."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(seen[0].boxes))
    fitted, tested = np.sort(order[: order.size // 2]), np.sort(order[order.size // 2 :])
    learnt = [_example(one, fitted) for one in seen]
    asked = [_example(one, tested) for one in seen]
    drawn = list(_drawn(chances.learnable(asked[0].scene, asked[0].truth, CLASSES), random))
    for family in corruptions.FAMILIES:
        kept = [one for one in learnt if one.family != family]
        estimator = estimation.fit(kept, CLASSES, seed=seed)
        lines = [_baseline(kept, signal) for signal in _SIGNALS]
        for own, other in zip(learnt, asked, strict=True):
            if other.family == family:
                ready = chances.learnable(other.scene, other.truth, CLASSES)
                oracle = _ap(own, np.ones(fitted.size))
                for scenes, weights in drawn:
                    truth = estimation.truth(ready, weights[None])[0]
                    told = estimation.estimate(estimator, other.scene, weights)
                    guesses = np.array([line(other.scene, weights) for line in lines])
                    yield Row(seed, family, scenes, truth, told, guesses, oracle)


def _drawn(ready: chances.Learnable, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    everything = np.ones(ready.scene.images, dtype=bool)
    for scenes, (density, windows) in SCENES.items():
        weights = chances.weights_at(ready, everything, density)
        for _ in range(windows):
            yield scenes, weights if density == 1 else random.multinomial(weights.size, weights / weights.sum()) * 1.0


def _ap(example: Example, weights: np.ndarray) -> float:
    return float(estimation.truth(chances.learnable(example.scene, example.truth, CLASSES), weights[None])[0, 0])


def _mean_confidence(scene: signals.Scene, weights: np.ndarray) -> float:
    return float(signals.of_window(scene, weights, np.zeros(0), 1.0)[1])


def _highest_confidence(scene: signals.Scene, weights: np.ndarray) -> float:
    return float(signals.of_window(scene, weights, np.zeros(0), 1.0)[2])


def _detections(scene: signals.Scene, weights: np.ndarray) -> float:
    return float(np.exp(signals.of_window(scene, weights, np.zeros(0), 1.0)[0]))


_SIGNALS = (_mean_confidence, _highest_confidence, _detections)


def _baseline(kept: list[Example], signal: Callable[[signals.Scene, np.ndarray], float]) -> Callable[..., float]:
    """A straight line from one signal to AP, through the corruptions that were learnt from."""
    every = np.ones(kept[0].scene.images)
    slope, start = np.polyfit([signal(one.scene, every) for one in kept], [_ap(one, every) for one in kept], 1)
    return lambda scene, weights: float(start + slope * signal(scene, weights))


# -- figures --------------------------------------------------------------------------------------------------------


def _figures(rows: list[Row], against: str) -> Iterator[Figure]:
    for scenes in (*SCENES, "all"):
        part = [row for row in rows if scenes in (row.scenes, "all") and not row.told.reason]
        truth, value, low, high, noise = (
            np.array([getattr(row.told, name) if name != "truth" else row.truth for row in part])
            for name in ("truth", "value", "low", "high", "noise")
        )
        off, held = 100 * (value - truth), (low <= truth) & (truth <= high)
        words = f"{against}, family left out, {scenes} density of objects"
        yield at_most(f"estimation.ap_{scenes}", _rms(off[:, 0]), "mAP points, rmse", RMSE, words)
        yield observed(f"estimation.ap_{scenes}_bias", float(off[:, 0].mean()), "mAP points", words)
        yield observed(
            f"estimation.ap_{scenes}_noise", float(100 * noise[:, 0].mean()), "mAP points", f"sampling, {words}"
        )
        for place, name in enumerate(METRICS):
            if place:
                yield observed(f"estimation.{name}_{scenes}", _rms(off[:, place]), "points, rmse", words)
            yield at_least(
                f"estimation.{name}_{scenes}_held", float(held[:, place].mean()), "of bands of 90 %", COVERED, words
            )
            width = float(100 * (high - low)[:, place].mean())
            yield observed(f"estimation.{name}_{scenes}_band", width, "points wide", words)
        others = {name: [row.baselines[place] for row in part] for place, name in enumerate(BASELINES)}
        for name, guesses in {**others, "oracle": [row.oracle for row in part]}.items():
            yield observed(
                f"estimation.{name}_{scenes}", _rms(100 * (guesses - truth[:, 0])), "mAP points, rmse", words
            )
    unknown = float(np.mean([bool(row.told.reason) for row in rows]))
    yield observed("estimation.unknown", unknown, "of windows under a family left out", against)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _elsewhere(seen: list[Seen], files: list[Path], folder: Path) -> Iterator[Figure]:
    """Windows that an estimator of coco128 knows nothing about: 64 images each, said to be unknown or not."""
    numbers = np.arange(0, len(files), 2)
    estimator = estimation.fit([_example(one, numbers) for one in seen], CLASSES)
    random = np.random.default_rng(0)
    cells = [cv2.imread(str(file)) for file in sorted(CELLS.rglob("*.jpg"))[:64]]
    worlds = {
        "black": [np.zeros((480, 640, 3), np.uint8)] * 64,
        "noise": [random.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(64)],
        "cells": cells,
        "half_cells": cells[:32] + [decode(str(file)) for file in files[1:64:2]],
    }
    for name, pictures in worlds.items():
        said = _say(pictures, folder)
        sizes = np.array([one.shape[1::-1] for one in pictures])
        nothing = [Labels(np.zeros(0, int), np.zeros((0, 4)))] * len(pictures)
        strange = Seen("", [one for one, _ in said], np.stack([one for _, one in said]), nothing, sizes)
        told = estimation.estimate(estimator, _example(strange, np.arange(len(pictures))).scene)
        yield at_least(
            f"estimation.unknown_{name}", float(bool(told.reason)), "unknown", 1.0, told.reason or "estimated"
        )


def draw(rows: list[Row], file: Path) -> None:
    """Estimated against true AP of every window that is not unknown, by density of objects."""
    shown = new_figure("AP estimated without labels against AP by labels, corruption not learnt from", 4.2)
    axes = tidy(shown.subplots())
    for (scenes, colour), marker in zip({"same": BLUE, "half": ORANGE, "twice": GREEN}.items(), "os^", strict=True):
        part = [row for row in rows if row.scenes == scenes and not row.told.reason]
        truth, value, low, high = (
            np.array([row.truth[0] if name == "truth" else getattr(row.told, name)[0] for row in part])
            for name in ("truth", "value", "low", "high")
        )
        words = f"{scenes} density of objects, error {_rms(100 * (value - truth)):.1f} points"
        axes.vlines(truth, low, high, color=colour, alpha=0.12)
        axes.plot(truth, value, marker, color=colour, markersize=4, label=words, alpha=0.8)
    axes.axline((0, 0), slope=1, color=QUIET, linewidth=1)
    axes.set(xlabel="AP by labels (0-1, higher is better)", ylabel="AP estimated (0-1), with its 90 % band")
    axes.legend(frameon=False, fontsize=FONT - 2, loc="upper left")
    shown.savefig(file, dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--figure", type=Path)
    asked_for = parser.parse_args()
    if asked_for.keep:
        asked_for.keep.mkdir(parents=True, exist_ok=True)
    for one in run(asked_for.seeds, asked_for.keep, asked_for.figure):
        sys.stdout.write(json.dumps(asdict(one)) + "\n")
