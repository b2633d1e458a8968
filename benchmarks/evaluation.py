"""Detection quality: speed against faster-coco-eval, coverage of intervals of mAP, and a paired test under the null."""

from __future__ import annotations

import contextlib
import io
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks import Figure, at_least, at_most, interleaved, not_measured, observed
from benchmarks._scenes import Scenes, detect, on_images, scenes
from cvkit.stats import resampling
from cvkit.stats.quality import boxes, detection
from cvkit.stats.quality.box_matching import match
from cvkit.stats.quality.boxes import Predictions

PEER = 0.6  # of faster-coco-eval's time
REPLICATES, SECONDS, MEMORY = 1000, 25.0, 2048.0  # CPU seconds, MiB
EQUAL = 1e-9
POPULATION, SETS, SIZES = 20_000, 500, (200, 500)  # images; test sets of so many images drawn from them
COVERED = (0.93, 0.97)
ELSEWHERE = {  # detectors on which no constant of the intervals was chosen: scenes, detector, images of a test set
    "one_category": ((1, 3.0), {"skill": 3.0, "jitter": 0.02, "false": 0.3}, 100),
    "twenty": ((20, 7.0), {"jitter": 0.08, "false": 6.0}, 300),
    "weak": ((3, 2.0), {"skill": 0.0, "jitter": 0.1, "false": 4.0}, 60),
}
PAIRS, LEVEL = 400, 0.05
WORK = "5,000 images, 80 categories, 36,000 labelled and 100,000 predicted boxes, one thread"


def run() -> Iterator[Figure]:
    made = scenes(5000, 80, 7.2, seed=0, crowds=0.01)
    found = detect(made, seed=1, skill=1.3, jitter=0.06, false=11.8)
    yield observed("evaluation.labelled", made.truth.image.size, "boxes", WORK)
    yield observed("evaluation.predicted", found.image.size, "boxes", WORK)
    yield from _speed(made, found)
    yield from _bootstrap(made, found)
    yield from _coverage()
    yield from _elsewhere()
    yield from _paired()
    yield from _ultralytics()


def _ours(made: Scenes, found: Predictions) -> np.ndarray:
    """From plain arrays, checks included, to the twelve numbers."""
    true, said = made.truth, found
    labelled = boxes.truth(true.image, true.category, true.corners, area=true.area, crowd=true.crowd)
    predicted = boxes.predictions(said.image, said.category, said.corners, said.score)
    matches = match(labelled, predicted, images=made.images, categories=made.categories)
    return np.array(list(detection.coco(matches).values()))


def _speed(made: Scenes, found: Predictions) -> Iterator[Figure]:
    work = f"twelve numbers of {WORK}; from arrays"
    try:
        theirs = _peer(made, found)
    except ImportError:
        yield not_measured("evaluation.share_peer", "of the peer's time", f"<= {PEER:g}", "faster-coco-eval")
        seconds = interleaved({"ours": lambda: _ours(made, found)}, rounds=5)
        yield observed("evaluation.coco", statistics.median(seconds["ours"]), "CPU s", work)
        return
    seconds = interleaved({"ours": lambda: _ours(made, found), "theirs": theirs}, rounds=5)
    share = statistics.median(a / b for a, b in zip(seconds["ours"], seconds["theirs"], strict=True))
    against = "faster-coco-eval from dicts in memory: COCO, loadRes, evaluate, accumulate, summarize"
    yield observed("evaluation.coco", statistics.median(seconds["ours"]), "CPU s", work)
    yield observed("evaluation.peer", statistics.median(seconds["theirs"]), "CPU s", against)
    yield at_most("evaluation.share_peer", share, "of the peer's time", PEER, against)
    difference = float(np.max(np.abs(_ours(made, found) - theirs()[:12])))
    yield at_most("evaluation.difference_peer", difference, "of the twelve numbers", EQUAL, "faster-coco-eval")


def _peer(made: Scenes, found: Predictions) -> Callable[[], np.ndarray]:
    """The same by faster-coco-eval; its dicts are made beforehand."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth, results = _dicts(made, found)

    def evaluate() -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):
            there = COCO({**truth, "annotations": [dict(label) for label in truth["annotations"]]})
            evaluation = COCOeval_faster(there, there.loadRes([dict(result) for result in results]), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return np.asarray(evaluation.stats)

    return evaluate


def _dicts(made: Scenes, found: Predictions) -> tuple[dict, list[dict]]:
    true = made.truth
    columns = (true.image, true.category, _xywh(true.corners), true.area, true.crowd.astype(int))
    names = ("image_id", "category_id", "bbox", "area", "iscrowd")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    labels = [{"id": i + 1, **dict(zip(names, row, strict=True))} for i, row in enumerate(rows)]
    rows = zip(*(c.tolist() for c in (found.image, found.category, _xywh(found.corners), found.score)), strict=True)
    results = [dict(zip(("image_id", "category_id", "bbox", "score"), row, strict=True)) for row in rows]
    size = {"width": 640, "height": 640}
    images = [{"id": i, "file_name": f"{i}.jpg", **size} for i in range(made.images)]
    return {
        "images": images,
        "categories": [{"id": c, "name": str(c)} for c in range(made.categories)],
        "annotations": labels,
    }, results


def _xywh(corners: np.ndarray) -> np.ndarray:
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


# -- many weights ---------------------------------------------------------------------------------------------------


def _bootstrap(made: Scenes, found: Predictions) -> Iterator[Figure]:
    matches = match(made.truth, found, images=made.images, categories=made.categories)
    seconds = interleaved({"tally": lambda: detection.tally(matches)}, rounds=5)
    yield observed("evaluation.tally", statistics.median(seconds["tally"]), "CPU s", "once per matching")
    metric = detection.coco_metric(matches)
    weights = _multinomial(np.random.default_rng(2), made.images, REPLICATES)
    seconds = interleaved({"one": lambda: metric(weights[:1])}, rounds=15)
    yield observed("evaluation.reweighting", statistics.median(seconds["one"]), "CPU s", f"twelve numbers of {WORK}")
    start = time.process_time()
    metric(weights)
    spent = time.process_time() - start
    yield at_most(
        "evaluation.bootstrap", spent, "CPU s", SECONDS, f"{REPLICATES} replicates of twelve numbers of {WORK}"
    )
    tracemalloc.start()
    metric(weights)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    yield at_most("evaluation.bootstrap_memory", peak, "MiB", MEMORY, "peak of the same, beside weights and matches")


def _multinomial(random: np.random.Generator, units: int, replicates: int) -> np.ndarray:
    return random.multinomial(units, np.full(units, 1 / units), size=replicates).astype(np.float64)


# -- intervals ------------------------------------------------------------------------------------------------------


def _coverage() -> Iterator[Figure]:
    made = scenes(POPULATION, 5, 4.0, seed=1)
    found = detect(made, seed=2)
    everything = _metric(made, [found], np.arange(POPULATION))
    value = everything(np.ones((1, POPULATION)))[0]
    random = np.random.default_rng(3)
    for size in SIZES:
        covered, percentile, flattery = [], [], []
        for _ in range(SETS):
            metric = _metric(made, [found], random.choice(POPULATION, size, replace=False))
            mine = resampling.interval(metric, size, replicates=200)
            covered.append((mine.low <= value) & (value <= mine.high))
            drawn = metric(_multinomial(random, size, 200))
            low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
            percentile.append((low <= value) & (value <= high))
            flattery.append(mine.estimate - value)
        yield from _figures_of_coverage(size, *map(np.array, (covered, percentile, flattery)))


def _figures_of_coverage(size: int, covered: np.ndarray, percentile: np.ndarray, off: np.ndarray) -> Iterator[Figure]:
    against = f"95 % intervals from {SETS} test sets of {size} images; sd of a share .01"
    share = covered.mean(axis=0).tolist()
    yield at_least(f"evaluation.coverage_{size}", share[0], "of sets, mAP", COVERED[0], against)
    yield at_most(f"evaluation.coverage_{size}_most", share[0], "of sets, mAP", COVERED[1], against)
    yield observed(f"evaluation.coverage_{size}_lowest", min(share), "of sets, worst of the twelve numbers", against)
    yield observed(f"evaluation.percentile_{size}", percentile.mean(axis=0)[0], "of sets, mAP", "percentile bootstrap")
    yield observed(f"evaluation.flattery_{size}", off[:, 0].mean(), "mAP above the population's", "mean of the sets")
    yield observed(f"evaluation.spread_{size}", off[:, 0].std(), "mAP", "standard deviation of the sets")


def _elsewhere() -> Iterator[Figure]:
    sets = 300
    for name, (kind, detector, size) in ELSEWHERE.items():
        made = scenes(POPULATION, *kind, seed=101)
        found = detect(made, seed=102, **detector)
        value = float(_metric(made, [found], np.arange(POPULATION))(np.ones((1, POPULATION)))[0, 0])
        random = np.random.default_rng(103)
        covered = []
        for _ in range(sets):
            metric = _metric(made, [found], random.choice(POPULATION, size, replace=False))
            mine = resampling.interval(metric, size, replicates=150)
            covered.append(mine.low[0] <= value <= mine.high[0])
        against = f"mAP {value:.2f}, {kind[0]} categories, {sets} test sets of {size} images; sd of a share .013"
        yield observed(f"evaluation.coverage_{name}", float(np.mean(covered)), "of sets, mAP", against)


def _paired() -> Iterator[Figure]:
    made = scenes(POPULATION, 5, 4.0, seed=4)
    alike = [detect(made, seed=5), detect(made, seed=6)]
    better = [alike[0], detect(made, seed=7, skill=1.8)]
    everything = resampling.compare(_metric(made, better, np.arange(POPULATION)), POPULATION, replicates=2)
    gain = float(everything.difference[0])
    random = np.random.default_rng(8)
    false, found, covered = [], [], []
    for _ in range(PAIRS):
        chosen = random.choice(POPULATION, SIZES[0], replace=False)
        metrics = [_metric(made, models, chosen) for models in (alike, better)]
        null, real = (resampling.compare(metric, chosen.size, replicates=99) for metric in metrics)
        false.append(null.p_value[0] <= LEVEL)
        found.append(real.p_value[0] <= LEVEL)
        covered.append(real.low[0] <= gain <= real.high[0])
    itself = resampling.compare(_metric(made, [alike[0]] * 2, chosen), chosen.size, replicates=99)
    against = f"{PAIRS} test sets of {SIZES[0]} images, level {LEVEL}"
    most = LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / PAIRS)
    yield at_most("evaluation.paired_false", float(np.mean(false)), "of sets", most, f"equally good models, {against}")
    yield observed("evaluation.paired_gain", gain, "mAP", "second model less first, whole population")
    yield observed("evaluation.paired_found", float(np.mean(found)), "of sets", f"that better model, {against}")
    yield at_least("evaluation.paired_covered", float(np.mean(covered)), "of sets", COVERED[0], f"that gain, {against}")
    yield at_least("evaluation.paired_itself", float(itself.p_value[0]), "p-value", 1.0, "a model against itself")


def _ultralytics() -> Iterator[Figure]:
    """COCO's AP against the area that Ultralytics takes under the same matches: what the curve alone does."""
    from ultralytics.utils.metrics import ap_per_class

    random = np.random.default_rng(0)
    apart = []
    for categories in (5, 20):
        made = scenes(4000, categories, 4.0, seed=1)
        found = detect(made, seed=2)
        for _ in range(20):
            matches = on_images(made, [found], random.choice(4000, SIZES[0], replace=False))
            said, rows = matches.predictions, matches.order
            right, labelled = matches.hit[0].T.astype(float), matches.truth.category[matches.counted[0]]
            theirs = ap_per_class(right, said.score[rows], said.category[rows], labelled)[5]
            ours = detection.coco(matches)
            apart.append((theirs.mean() - ours["AP"], theirs[:, 0].mean() - ours["AP50"]))
    against = f"Ultralytics' area less COCO's, same matches, 40 sets of {SIZES[0]} images of 5 and 20 categories"
    for name, column in zip(("AP", "AP50"), np.transpose(apart).tolist(), strict=True):
        yield observed(f"evaluation.ultralytics_{name}_least", min(column), name, against)
        yield observed(f"evaluation.ultralytics_{name}_most", max(column), name, against)


def _metric(made: Scenes, models: list[Predictions], chosen: np.ndarray) -> resampling.Metric:
    return detection.coco_metric(on_images(made, models, chosen))
