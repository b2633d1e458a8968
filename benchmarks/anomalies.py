"""Anomalies: how well odd images are told from normal ones, against PyOD; the share of false flags; seconds."""

from __future__ import annotations

import importlib
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks import Figure, at_least, at_most, interleaved, not_measured, observed, rate_ratio
from benchmarks._planted import Planted, images, made_up
from cvkit.stats import anomaly
from cvkit.stats.correction import benjamini_hochberg

Floats = NDArray[np.float64]
Scorer = Callable[[Floats], Floats]  # of a window's rows
Learner = Callable[[Planted], Scorer]  # looks at its normal rows only
Areas = dict[str, dict[str, list[float]]]  # by set and scorer, one AUROC a seed

SEEDS = range(5, 15)  # the score was chosen on 0 to 4
PEERS = {
    "knn": ("pyod.models.knn", "KNN"),
    "ecod": ("pyod.models.ecod", "ECOD"),
    "iforest": ("pyod.models.iforest", "IForest"),
}
CHANCE = 0.6  # mean AUROC below which the best peer does not tell the odd images either
TIED = 5e-4  # AUROCs are told to three places
LEVEL = 0.1  # share of false flags asked for
SPEED = (10_000, 512)  # rows of either side, columns
SECONDS: dict[anomaly.Method, float] = {"mahalanobis": 0.06, "neighbours": 1.05}  # CPU seconds


def run() -> Iterator[Figure]:
    sets = [planted for seed in SEEDS for planted in (*images(seed), *made_up(seed))]
    if all(planted.name.startswith("made") for planted in sets):
        yield not_measured("anomalies.auroc_images", "AUROC", "", "the shared images are not there")
    yield from _areas(sets)
    yield from _false_flags(sets)
    yield from _speed()


def _areas(sets: list[Planted]) -> Iterator[Figure]:
    """For each kind of set the mean AUROC of cvkit's score, held against the best of PyOD's."""
    peers = {name: scorer for name, place in PEERS.items() if (scorer := _peer(*place))}
    for name in PEERS.keys() - peers.keys():
        yield not_measured(f"anomalies.auroc_{name}", "AUROC", "", f"PyOD's {name}, which is not installed")
    for name, areas in table(sets, {"cvkit": ours, "neighbours": neighbours, **peers}).items():
        yield _held(f"anomalies.auroc_{name}", areas, tuple(peers))


def _held(figure: str, areas: dict[str, list[float]], peers: tuple[str, ...]) -> Figure:
    """Whether the mean AUROC is at least the best peer's; None where that is chance, or the seeds differ by more."""
    means = {name: statistics.mean(values) for name, values in areas.items()}
    told = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items() if name != "cvkit")
    if not peers:
        return observed(figure, means["cvkit"], "AUROC, mean", told)
    best = max(peers, key=means.__getitem__)
    gaps = [a - b for a, b in zip(areas["cvkit"], areas[best], strict=True)]
    gap, noise = statistics.mean(gaps), statistics.stdev(gaps)
    against = f"{told}; {gap:+.3f} beside {best}, seeds differ by {noise:.3f}"
    if means[best] < CHANCE and gap < -TIED:
        return observed(figure, means["cvkit"], "AUROC, mean", f"{against}; no peer tells these")
    if -noise < gap < -TIED:
        return observed(figure, means["cvkit"], "AUROC, mean", f"{against}; within what seeds differ by")
    return at_least(figure, means["cvkit"], "AUROC, mean", round(means[best] - TIED, 4), against)


def table(sets: list[Planted], learners: dict[str, Learner]) -> Areas:
    """AUROCs by set and scorer; sets with the same normal rows are learnt from once."""
    found: Areas = defaultdict(lambda: defaultdict(list))
    for alike in _alike(sets):
        for name, learn in learners.items():
            score = learn(alike[0])
            for planted in alike:
                found[planted.name][name].append(area(score(planted.window), planted.odd))
    return found


def _alike(sets: list[Planted]) -> Iterator[list[Planted]]:
    """Sets that follow each other and have the same normal rows."""
    return (list(some) for _, some in groupby(sets, key=lambda planted: id(planted.normal)))


def ours(planted: Planted) -> Scorer:
    """The score as cvkit uses it."""
    return partial(anomaly.score, _learnt(planted))


@cache
def _learnt(planted: Planted) -> anomaly.Normal:
    return anomaly.fit(planted.normal)


def neighbours(planted: Planted) -> Scorer:
    """The score that cvkit offers and does not use."""
    return partial(anomaly.score, anomaly.fit(planted.normal, method="neighbours"))


def area(scores: Floats, odd: NDArray[np.bool_]) -> float:
    """Area under the ROC curve."""
    n = int(odd.sum())
    return (float(rankdata(scores)[odd].sum()) - n * (n + 1) / 2) / (n * (odd.size - n))


def _peer(module: str, name: str) -> Learner | None:
    try:
        kind = getattr(importlib.import_module(module), name)
    except ImportError:
        return None
    options = {"random_state": 0} if name == "IForest" else {}
    return lambda planted: kind(**options).fit(planted.normal).decision_function


def _false_flags(sets: list[Planted]) -> Iterator[Figure]:
    """Share of false flags, of the windows with odd images and of the same windows without."""
    mixed, quiet = [], []
    for alike in _alike(sets):
        normal = _learnt(alike[0])
        for planted in alike:
            flagged = _flagged(normal, planted.window)
            mixed.append(float((flagged & ~planted.odd).sum()) / max(1.0, float(flagged.sum())))
            quiet.append(float(_flagged(normal, planted.window[~planted.odd]).any()))
    against = f"the share asked for; mean of {len(mixed)} windows"
    yield at_most("anomalies.false_flags", statistics.mean(mixed), "share of flags", LEVEL, against)
    against = f"the share asked for; the same {len(quiet)} windows without what is odd"
    yield at_most("anomalies.quiet_windows_flagged", statistics.mean(quiet), "share of windows", LEVEL, against)


def _flagged(normal: anomaly.Normal, window: Floats) -> NDArray[np.bool_]:
    return np.asarray(benjamini_hochberg(anomaly.p_values(normal, anomaly.score(normal, window))) <= LEVEL)


def _speed() -> Iterator[Figure]:
    """Only scoring is timed: a reference is learnt from once."""
    rng = np.random.default_rng(0)
    normal, window = rng.normal(size=SPEED), rng.normal(size=SPEED)
    learnt = {name: anomaly.fit(normal, np.arange(len(normal)) % 2, method=name) for name in SECONDS}
    works: dict[str, Callable[[], object]] = {
        name: partial(anomaly.score, model, window) for name, model in learnt.items()
    }
    single, known = window.astype(np.float32), normal.astype(np.float32)
    works["product"] = lambda: single @ known.T
    try:
        peer = importlib.import_module("pyod.models.knn").KNN().fit(normal)
    except ImportError:
        yield not_measured("anomalies.rate_knn", "times as fast", "", "PyOD's KNN")
    else:
        works["knn"] = lambda: peer.decision_function(window)
    seconds = interleaved(works, rounds=3)
    work = "scoring 10,000 rows against 10,000, 512 columns, one thread"
    for name, most in SECONDS.items():
        yield at_most(f"anomalies.{name}", statistics.median(seconds[name]), "CPU s", most, work)
    against = "the product of both sides in single precision and nothing else"
    yield observed("anomalies.product", statistics.median(seconds["product"]), "CPU s", against)
    for name in SECONDS if "knn" in works else ():
        yield observed(f"anomalies.rate_knn_{name}", rate_ratio(seconds, name, "knn"), "times as fast", "PyOD's KNN")
