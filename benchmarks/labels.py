"""Label plans against as many images drawn at random: width of the interval of mean F1, and whether it covers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import Figure, at_least, at_most, not_measured, observed
from benchmarks._captures import SHARED, WEIGHTS
from cvkit.maintenance import labelling
from cvkit.stats.unlabelled import correctness, sampling

IMAGES, LABELLED, REPETITIONS = 1000, 500, 200  # candidates, images of the reference, plans
NO_WIDER, COVERED = 0.95, (0.93, 0.97)
DEPLOYED = 0.25  # confidence


@dataclass(frozen=True)
class Case:
    """What a figure is of."""

    budget: int = 100
    extra: float = labelling.LIKELY_WRONG  # share of the budget for the likeliest mistakes
    learnt: bool = True  # whether the reference has labels
    here: dict[str, float] = field(default_factory=dict)  # of the world, where it differs from `world`'s defaults
    reference: dict[str, float] = field(default_factory=dict)  # of the reference's, where that differs from here
    held: bool = True  # whether it is held against the target


CASES = {
    "100": Case(),
    "200": Case(budget=200),
    "50": Case(budget=50, held=False),
    "100_no_extra": Case(extra=0.0),
    "100_extra_20": Case(extra=0.2, held=False),
    "200_extra_20": Case(budget=200, extra=0.2),
    "200_drifted": Case(budget=200, reference={"ease": 2.5, "alike": 0.6}),
    "200_overconfident": Case(budget=200, here={"honesty": 0.5}, reference={"honesty": 1.0}),
    "200_hardly_any_mistake": Case(budget=200, here={"ease": 3.0, "lost": 0.05}, held=False),
    "200_no_labels": Case(budget=200, learnt=False, held=False),
}


def run() -> Iterator[Figure]:
    covered = []
    for name, case in CASES.items():
        told = _repeated(case)
        covered.append(told[:, 3])
        yield from _figures(name, case, told)
    low, high = COVERED
    share, against = (
        float(np.mean(covered)),
        f"95 % intervals of all {len(CASES)} cases, {REPETITIONS} repetitions each",
    )
    yield Figure("labels.covered", round(share, 4), "of repetitions", f"{low} to {high}", low <= share <= high, against)
    yield from _real()


def world(
    random: np.random.Generator, images: int, *, ease: float = 1.5, alike: float = 1.0, lost: float = 0.15,
    honesty: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """Images with what a detector says about them, and how right that is.

    Boxes have a log odds that is common to their image and one of their own; they are right as often as `honesty` times
    it says, shown from the deployed confidence on, and objects are missed more often on hard images.
    """
    hard = random.normal(0, alike, images)
    image = np.repeat(np.arange(images), random.poisson(4.0, images))
    odds = ease + hard[image] + random.normal(0, 1.2, image.size)
    confidence = 1 / (1 + np.exp(-odds))
    real = random.random(image.size) < 1 / (1 + np.exp(-honesty * odds))
    shown = confidence >= DEPLOYED
    missed = np.bincount(image, real & ~shown, images) + random.poisson(lost * np.exp(-0.7 * hard))
    found = np.bincount(image, real & shown, images)
    boxes = 2 * found + np.bincount(image, ~real & shown, images) + missed
    f1 = np.where(boxes > 0, 2 * found / np.maximum(boxes, 1), 1.0)
    return {
        "image": image[shown], "confidence": confidence[shown], "right": real[shown], "missed": missed, "f1": f1
    }  # fmt: skip


def planned(
    random: np.random.Generator, now: dict[str, Any], known: correctness.Correctness | None, case: Case
) -> tuple[sampling.Estimate, sampling.Estimate, sampling.Estimate]:
    """Mean F1 by a plan, by a random draw with the same random numbers, and by one with others."""
    f1 = now["f1"]
    scores = labelling.expected(known, now["image"], now["confidence"], f1.size)
    spreads = np.full(f1.size, np.nan) if known is None else correctness.spread(known, scores)
    rows = pd.DataFrame({"image_id": np.arange(f1.size).astype(str), "source": "", "score": scores, "spread": spreads})
    rows = rows.assign(time=pd.Timestamp("2026-10-01", tz="UTC"), strange=np.nan)
    seed = int(random.integers(2**32))
    frame = labelling.choose(rows, case.budget, np.random.default_rng(seed), likely_wrong=case.extra)
    drawn = frame["drawn"].to_numpy()
    plan = sampling.estimate(f1[drawn], frame["stratum"][drawn], np.bincount(frame["stratum"]))
    same = np.argsort(np.random.default_rng(seed).random(f1.size))[: case.budget]
    other = random.choice(f1.size, case.budget, replace=False)
    return plan, *(sampling.estimate(f1[one], np.zeros(case.budget, int), [f1.size]) for one in (same, other))


def _repeated(case: Case) -> np.ndarray:
    """For each repetition: half widths of plan, random draw, another random draw; whether plan and draw cover; R^2."""
    random = np.random.default_rng(11)
    told = []
    for _ in range(REPETITIONS):
        past = world(random, LABELLED, **{**case.here, **case.reference})
        now = world(random, IMAGES, **case.here)
        known = correctness.learn(**past) if case.learnt else None
        told.append(_row(now["f1"], planned(random, now, known, case)))
    return np.array(told)


def _row(f1: np.ndarray, estimates: tuple[sampling.Estimate, ...]) -> list[float]:
    halves = [(one.high - one.low) / 2 for one in estimates]
    return [*halves, *(float(one.low <= f1.mean() <= one.high) for one in estimates[:2])]


def _figures(name: str, case: Case, told: np.ndarray) -> Iterator[Figure]:
    plan, same, other, covered, random_covered = told.T
    against = f"{case.budget} random images of {IMAGES}, {len(told)} repetitions"
    no_wider = float(np.mean(plan <= same))
    words = f"{against}, drawn with the same random numbers"
    if case.held:
        yield at_least(f"labels.no_wider_{name}", no_wider, "of repetitions", NO_WIDER, words)
    else:
        yield observed(f"labels.no_wider_{name}", no_wider, "of repetitions", words)
    yield observed(f"labels.no_wider_{name}_other", float(np.mean(plan <= other)), "of repetitions", against)
    yield at_most(f"labels.width_{name}", float(np.median(plan / same)), "of random's, median", 1.0, words)
    yield observed(f"labels.covered_{name}", float(covered.mean()), "of repetitions", against)
    yield observed(f"labels.covered_{name}_random", float(random_covered.mean()), "of repetitions", against)


def _real() -> Iterator[Figure]:
    """Images of coco128 with what yolo26n says: half teach, a thousand drawn anew from the other half are planned."""
    if not WEIGHTS.is_file() or not (SHARED / "coco128").is_dir():
        yield not_measured("labels.no_wider_coco128", "of repetitions", f">= {NO_WIDER}", "the shared images")
        return
    whole = _coco128()
    random, told, case = np.random.default_rng(12), [], Case(budget=200)
    for _ in range(REPETITIONS):
        order = random.permutation(whole["f1"].size)
        past, rest = order[: order.size // 2], order[order.size // 2 :]
        now = _part(whole, random.choice(rest, IMAGES))
        told.append(_row(now["f1"], planned(random, now, correctness.learn(**_part(whole, past)), case)))
    yield from _figures("200_coco128", case, np.array(told))


def _part(whole: dict[str, Any], chosen: np.ndarray) -> dict[str, Any]:
    boxes = [np.flatnonzero(whole["image"] == one) for one in chosen]
    rows = np.concatenate(boxes)
    image = np.repeat(np.arange(chosen.size), [one.size for one in boxes])
    return {
        "image": image, "confidence": whole["confidence"][rows], "right": whole["right"][rows],
        "missed": whole["missed"][chosen], "f1": whole["f1"][chosen],
    }  # fmt: skip


def _coco128() -> dict[str, Any]:
    from cvkit.config import load_config
    from cvkit.data.labelled import IOU, f1_of_images, labelled
    from cvkit.monitoring import reference
    from cvkit.stats.quality import operation

    with tempfile.TemporaryDirectory() as folder:
        text = (
            f"model: {{weights: {WEIGHTS}, embeddings: false}}\nreference: {{data: {SHARED}/coco128/instances.json}}\n"
        )
        Path(folder, "cvkit.yml").write_text(text)
        sample = reference.load(load_config(folder))
    known = labelled(sample.images, sample.predictions, sample.labels)
    matches = known.match()
    hit, false = operation.outcomes(matches, DEPLOYED, IOU)
    which = np.flatnonzero(hit | false)
    rows = matches.order[which]
    return {
        "image": matches.predictions.image[rows], "confidence": matches.predictions.score[rows], "right": hit[which],
        "missed": operation.per_image(matches, DEPLOYED).missed,
        "f1": f1_of_images(known, DEPLOYED)["f1"].to_numpy(),
    }  # fmt: skip
