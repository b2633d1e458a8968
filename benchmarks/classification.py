"""Quality of classifiers: coverage of intervals, level of the paired test, speed against scikit-learn."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator

import numpy as np

from benchmarks import Figure, at_least, at_most, interleaved, observed
from cvkit.stats import resampling
from cvkit.stats.quality import classification
from cvkit.stats.quality.classification import Answers

POPULATION, SETS, REPLICATES = 50_000, 500, 200  # images; test sets drawn from them; halves of each
COVERED = 0.93
CASES = {  # classes, skill, images of a test set
    "60": (4, 1.5, 60),
    "200": (4, 1.5, 200),
    "500": (4, 1.5, 500),
    "two": (2, 1.5, 200),
    "twenty": (20, 2.5, 200),
    "nearly_perfect": (4, 4.0, 200),
}
PAIRS, LEVEL = 400, 0.05
WORK, WORK_CLASSES, ROWS = 10_000, 20, 500  # images, classes, rows of weights


def run() -> Iterator[Figure]:
    for name, case in CASES.items():
        yield from _coverage(name, *case)
    yield from _paired()
    yield from _speed()


def answered(seed: int, images: int, classes: int, skill: float, models: int = 1) -> list[Answers]:
    """Classifiers that are equally good, independent given the image; classes are unequally frequent."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    truth = rng.choice(classes, images, p=share)
    common = rng.normal(size=(images, classes))
    found = []
    for _ in range(models):
        noise = (common + rng.normal(size=(images, classes))) / math.sqrt(2)
        logits = noise + skill * np.eye(classes)[truth]
        table = np.exp(1.5 * logits)
        found.append(classification.answers(truth, table / table.sum(axis=1, keepdims=True)))
    return found


def part(whole: Answers, chosen: np.ndarray) -> Answers:
    return classification.answers(whole.truth[chosen], whole.probabilities[chosen])


def _coverage(name: str, classes: int, skill: float, size: int) -> Iterator[Figure]:
    whole = answered(6, POPULATION, classes, skill)[0]
    value = np.array(list(classification.summary(whole).values()))
    random = np.random.default_rng(7)
    mine, drawn, off = [], [], []
    for _ in range(SETS):
        metric = classification.summary_metric(part(whole, random.choice(POPULATION, size, replace=False)))
        found = resampling.interval(metric, size, replicates=REPLICATES, bounds=(0, 1))
        low, high = np.quantile(metric(_multinomial(random, size)), [0.025, 0.975], axis=0)
        mine.append((found.low <= value) & (value <= found.high))
        drawn.append((low <= value) & (value <= high))
        off.append(found.estimate - value)
    against = f"95 % intervals, {classes} classes, {SETS} test sets of {size} images; sd of a share .01"
    for number, true, ours, theirs, bias in zip(
        classification.SUMMARY, value, *(np.mean(one, axis=0).tolist() for one in (mine, drawn, off)), strict=True
    ):
        said = f"{number} of {true:.4f}, {against}"
        if name in ("200", "500"):
            yield at_least(f"classification.{number}_{name}", ours, "of sets", COVERED, said)
        else:
            yield observed(f"classification.{number}_{name}", ours, "of sets", said)
        yield observed(f"classification.{number}_{name}_percentile", theirs, "of sets", "percentile bootstrap")
        yield observed(f"classification.{number}_{name}_bias", bias, "above the population's", "mean of the sets")


def _multinomial(random: np.random.Generator, units: int) -> np.ndarray:
    return random.multinomial(units, np.full(units, 1 / units), size=REPLICATES).astype(np.float64)


def _paired() -> Iterator[Figure]:
    one, two = answered(8, POPULATION, 4, 1.5, models=2)
    random = np.random.default_rng(9)
    false = []
    for _ in range(PAIRS):
        chosen = random.choice(POPULATION, 200, replace=False)
        both = classification.side_by_side(part(one, chosen), part(two, chosen))
        result = resampling.compare(classification.summary_metric(both), 200, replicates=99)
        false.append(result.p_value <= LEVEL)
    most = LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / PAIRS)
    against = f"equally good models, {PAIRS} test sets of 200 images, level {LEVEL}"
    for number, share in zip(classification.SUMMARY, np.mean(false, axis=0).tolist(), strict=True):
        yield at_most(f"classification.paired_{number}", share, "of sets", most, against)


def _speed() -> Iterator[Figure]:
    one = answered(1, WORK, WORK_CLASSES, 2.0)[0]
    weights = np.random.default_rng(0).random((ROWS, WORK))
    metric = classification.summary_metric(one)
    metric(weights[:2])
    start = time.process_time()
    metric(weights)
    ours = (time.process_time() - start) / ROWS
    theirs = statistics.median(interleaved({"theirs": lambda: _scikit_learn(one, weights[0])}, rounds=5)["theirs"])
    work = f"six numbers of {WORK:,} images and {WORK_CLASSES} classes under one row of weights, {ROWS} rows at once"
    yield observed("classification.row", ours, "CPU s", work)
    yield observed("classification.peer", theirs, "CPU s", "scikit-learn, five of the six numbers (it has no ECE)")
    yield observed("classification.times", theirs / ours, "times as fast", "scikit-learn")


def _scikit_learn(one: Answers, weight: np.ndarray) -> None:
    from sklearn import metrics

    metrics.accuracy_score(one.truth, one.said, sample_weight=weight)
    metrics.balanced_accuracy_score(one.truth, one.said, sample_weight=weight)
    metrics.precision_recall_fscore_support(one.truth, one.said, sample_weight=weight, zero_division=np.nan)
    metrics.roc_auc_score(one.truth, one.probabilities, sample_weight=weight, multi_class="ovr")
