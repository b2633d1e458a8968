"""Chances: how likely each predicted box is right, and how many objects are missed, learnt from labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvkit.stats.arrays import Floats
from cvkit.stats.quality import detection
from cvkit.stats.quality.box_matching import THRESHOLDS, Matches, match
from cvkit.stats.quality.boxes import Booleans, Integers, Truth
from cvkit.stats.quality.detection import Tally
from cvkit.stats.quality.operation import EVERY_SIZE
from cvkit.stats.unlabelled import penalised
from cvkit.stats.unlabelled.expectation import Chances
from cvkit.stats.unlabelled.signals import Scene, of_boxes, of_images, of_window

RARITY = 0.5  # a box of a class with n boxes counts n^-.5: AP is a mean over classes, and most boxes are of few
BOX_PENALTY = 10.0  # ridge of the chances to be right: boxes of average weight
MISS_PENALTY = 0.01  # ridge of the means missed, in parts of all weight
CAUTION = 0.3  # signals of windows count as so many standard deviations: there are few windows to learn from
FARTHEST = 4.0  # standard deviations: signals beyond are taken for that
MOST_MISSED = 3.0  # missed objects of a class in an image, in boxes of it + 1


@dataclass(frozen=True, slots=True, eq=False)
class Learnable:
    """Labelled images under one corruption, matched once: made by `learnable`."""

    scene: Scene
    matches: Matches
    tally: Tally
    columns: Floats  # (K, 13) of the boxes
    passed: Integers  # (K,) how many IoUs, from the first, a box is right at
    labelled: Floats  # (N, C) objects
    missed: Floats  # (N, C) those that no box found


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """Coefficients, the intercept first, and centre and scale of their columns: made by `learn`."""

    right: Floats  # (T, 1 + 13)
    right_scale: Floats  # (2, 13)
    missed: Floats  # (1 + m,)
    missed_scale: Floats  # (2, m)
    unseen: Floats  # (1 + u,)
    unseen_scale: Floats  # (2, u)
    familiar: Floats  # (C,) log share of the images that hold a class
    share: Floats  # (C,) of the classes among those that are there without a box; sums to 1
    more: float  # further objects of such a class in the image
    centre: Floats  # (e,) mean embedding of the images as they are
    spread: float  # of embeddings about it


def learnable(scene: Scene, truth: Truth, classes: int) -> Learnable:
    """Match a scene with its labels; raises ValueError as `match`."""
    matches = match(truth, scene.predictions, images=scene.images, categories=classes, areas=EVERY_SIZE)
    passed = np.zeros(scene.predictions.score.size, dtype=np.int64)
    passed[matches.order] = matches.hit[0].sum(axis=0)
    counts = matches.counted[0]
    labelled = _table(scene.images, classes, truth.image[counts], truth.category[counts])
    hits = passed > 0
    found = _table(scene.images, classes, scene.predictions.image[hits], scene.predictions.category[hits])
    return Learnable(
        scene, matches, detection.tally(matches), of_boxes(scene), passed, labelled, np.maximum(labelled - found, 0)
    )


def learn(examples: Sequence[Learnable], plain: Scene, chosen: Booleans, densities: Sequence[float]) -> Knowledge:
    """Knowledge from the `chosen` images (N,) of examples of the same images, `plain` as they were taken.

    Every example is learnt from at several `densities`: its images weighted so that they hold so many times the
    objects.
    """
    rows = plain.embedding[chosen]
    centre, spread = rows.mean(axis=0), float(np.sqrt(rows.var(axis=0).sum())) or 1.0
    holds = np.mean([(one.labelled[chosen] > 0).sum(axis=0) for one in examples], axis=0)
    familiar = np.log((holds + 0.3) / np.count_nonzero(chosen))
    weighted = [(one, weights_at(one, chosen, times)) for one in examples for times in densities]
    told = [of_window(one.scene, weights, centre, spread) for one, weights in weighted]
    missed, missed_scale = _learn_missed(weighted, told, familiar)
    unseen, unseen_scale = _learn_unseen(weighted, told)
    right, right_scale = _learn_right(examples, chosen)
    count, share, more = _classes_unseen(examples, chosen)
    prior = np.exp(familiar) / np.exp(familiar).sum()
    return Knowledge(
        right, right_scale, missed, missed_scale, unseen, unseen_scale, familiar,
        (share / max(count, 1e-9) + prior) / (2.0 if count else 1.0), more, centre, spread,
    )  # fmt: skip


def tell(known: Knowledge, scene: Scene, weights: Floats, columns: Floats | None = None) -> Chances:
    """The chances of a scene, of which a window counts each image as often as `weights` (N,) says."""
    said = scene.predictions
    columns = of_boxes(scene) if columns is None else columns
    scaled = _scaled(columns, known.right_scale)
    right = np.column_stack([penalised.chance(scaled, one) for one in known.right])
    window = of_window(scene, weights, known.centre, known.spread)
    boxes = _table(scene.images, known.familiar.size, said.image, said.category)
    missed = np.zeros_like(boxes)
    where = np.nonzero(boxes)
    pairs = _scaled(_pairs(scene, columns, boxes, known.familiar, window), known.missed_scale)
    missed[where] = np.minimum(penalised.rate(pairs, known.missed), MOST_MISSED * (boxes[where] + 1))
    classes = penalised.rate(_scaled(_images(scene, window), known.unseen_scale), known.unseen)
    unseen = (boxes == 0) * known.share
    unseen *= (classes / np.maximum(unseen.sum(axis=1), 1e-9))[:, None]
    return Chances(
        said.image, said.category, said.score, np.minimum.accumulate(right, axis=1), missed, np.minimum(unseen, 1.0),
        known.more,
    )  # fmt: skip


def weights_at(example: Learnable, chosen: Booleans, times: float) -> Floats:
    """Weights (N,) of the `chosen` images, 1 on average, so that their mean number of objects is `times` what it is.

    Proportional to exp(t objects); as near to it as the images allow.
    """
    objects = example.labelled.sum(axis=1)[chosen]
    weights = np.zeros(chosen.size)
    weights[chosen] = 1.0
    if times == 1 or objects.min() == objects.max():
        return weights
    standard = (objects - objects.mean()) / objects.std()
    low, high = -3.0, 3.0
    for _ in range(40):
        tilt = (low + high) / 2
        shares = np.exp(tilt * standard)
        shares /= shares.sum()
        low, high = (tilt, high) if shares @ objects < times * objects.mean() else (low, tilt)
    weights[chosen] = shares * objects.size
    return weights


def _learn_right(examples: Sequence[Learnable], chosen: Booleans) -> tuple[Floats, Floats]:
    inside = [chosen[one.scene.predictions.image] for one in examples]
    columns = np.concatenate([one.columns[rows] for one, rows in zip(examples, inside, strict=True)])
    passed = np.concatenate([one.passed[rows] for one, rows in zip(examples, inside, strict=True)])
    category = np.concatenate(
        [one.scene.predictions.category[rows] for one, rows in zip(examples, inside, strict=True)]
    )
    rare = (np.bincount(category)[category] / len(examples) + 1) ** -RARITY if category.size else np.zeros(0)
    weights = rare / max(float(rare.mean()) if rare.size else 1.0, 1e-9)
    scale = _scale(columns)
    scaled = _scaled(columns, scale)
    levels = range(1, len(THRESHOLDS) + 1)
    return np.stack(
        [
            penalised.logistic(scaled, np.asarray(passed >= level, dtype=np.float64), weights, BOX_PENALTY)
            for level in levels
        ]
    ), scale


def _learn_missed(
    weighted: Sequence[tuple[Learnable, Floats]], told: Sequence[Floats], familiar: Floats
) -> tuple[Floats, Floats]:
    """Of classes with boxes in an image. What it misses varies with its boxes, so it counts less the more it has."""
    columns, counts, weights = [], [], []
    for (one, weight), window in zip(weighted, told, strict=True):
        said = one.scene.predictions
        boxes = _table(one.scene.images, familiar.size, said.image, said.category)
        image, category = np.nonzero(boxes)
        rows = weight[image] > 0
        columns.append(_pairs(one.scene, one.columns, boxes, familiar, window)[rows])
        counts.append(one.missed[image, category][rows])
        weights.append((weight[image] / (1 + boxes[image, category]))[rows])
    return _rates(columns, counts, weights, told[0].size)


def _learn_unseen(weighted: Sequence[tuple[Learnable, Floats]], told: Sequence[Floats]) -> tuple[Floats, Floats]:
    columns, counts, weights = [], [], []
    for (one, weight), window in zip(weighted, told, strict=True):
        rows = weight > 0
        columns.append(_images(one.scene, window)[rows])
        counts.append(_without_box(one).sum(axis=1)[rows].astype(np.float64))
        weights.append(weight[rows])
    return _rates(columns, counts, weights, told[0].size)


def _rates(
    columns: list[Floats], counts: list[Floats], weights: list[Floats], of_windows: int
) -> tuple[Floats, Floats]:
    rows, numbers, weight = (np.concatenate(parts) for parts in (columns, counts, weights))
    scale = _scale(rows)
    scale[1, -of_windows:] /= CAUTION
    if not numbers.size:
        return np.concatenate([[-np.inf], np.zeros(rows.shape[1])]), scale
    return penalised.poisson(_scaled(rows, scale), numbers, weight, MISS_PENALTY * float(weight.sum())), scale


def _classes_unseen(examples: Sequence[Learnable], chosen: Booleans) -> tuple[float, Floats, float]:
    """How many classes had no box in an image that holds them, by class, and their further objects on average."""
    without = [_without_box(one)[chosen] for one in examples]
    share = np.sum([one.sum(axis=0) for one in without], axis=0).astype(np.float64)
    objects = sum(float(one.labelled[chosen][lost].sum()) for one, lost in zip(examples, without, strict=True))
    count = float(share.sum())
    return count, share, objects / count - 1 if count else 0.0


def _without_box(one: Learnable) -> Booleans:
    said = one.scene.predictions
    boxes = _table(one.scene.images, one.labelled.shape[1], said.image, said.category)
    return np.asarray((one.labelled > 0) & (boxes == 0))


def _pairs(scene: Scene, columns: Floats, boxes: Floats, familiar: Floats, window: Floats) -> Floats:
    """Numbers of each class with boxes in an image (pairs, 9 + w): of those boxes, of the image, of the window."""
    said = scene.predictions
    image, category = np.nonzero(boxes)
    count = boxes[image, category]
    confidence, share = (
        _table(scene.images, familiar.size, said.image, said.category, values)[image, category] / count
        for values in (said.score, columns[:, 1])
    )
    here = of_images(scene)[image]
    own = [np.log(count), confidence, familiar[category], share, np.log(boxes.sum(axis=1)[image])]
    return np.column_stack([*own, here, np.tile(window, (image.size, 1))])


def _images(scene: Scene, window: Floats) -> Floats:
    return np.column_stack([of_images(scene), np.tile(window, (scene.images, 1))])


def _table(images: int, classes: int, image: Integers, category: Integers, values: Floats | None = None) -> Floats:
    """Counts, or sums of values, by image and class (images, classes)."""
    sums = np.bincount(image * classes + category, values, minlength=images * classes)
    return np.asarray(sums.reshape(images, classes), dtype=np.float64)


def _scale(columns: Floats) -> Floats:
    """Centre and standard deviation of columns (2, d); a constant column, and one without rows, is left in its unit."""
    if not len(columns):
        return np.stack([np.zeros(columns.shape[1]), np.ones(columns.shape[1])])
    sd = columns.std(axis=0)
    return np.stack([columns.mean(axis=0), np.where(sd > 1e-9, sd, 1.0)])


def _scaled(columns: Floats, scale: Floats) -> Floats:
    return np.asarray(np.clip((columns - scale[0]) / scale[1], -FARTHEST, FARTHEST))
