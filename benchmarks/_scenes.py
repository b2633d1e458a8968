"""Made-up scenes and detectors: labelled boxes, and what a detector of a given skill says about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvkit.stats.quality import boxes
from cvkit.stats.quality.box_matching import Matches, match
from cvkit.stats.quality.boxes import Predictions, Truth

PICTURE = 640  # pixels a side


@dataclass(frozen=True, slots=True)
class Scenes:
    """Labelled boxes of many images, and how hard each image is."""

    images: int
    categories: int
    truth: Truth
    difficulty: np.ndarray  # (images,) standard normal
    common: np.ndarray  # (categories,) shares


def scenes(images: int, categories: int, per_image: float, seed: int, crowds: float = 0.0) -> Scenes:
    """Boxes as COCO's: few categories are common, few images hold many, sizes span two decades."""
    random = np.random.default_rng(seed)
    common = 1 / np.arange(1, categories + 1)
    common /= common.sum()
    image = np.repeat(np.arange(images), random.poisson(random.gamma(1.5, per_image / 1.5, images)))
    favourites = random.choice(categories, (images, 3), p=common)
    category = favourites[image, random.integers(3, size=image.size)]
    corners = _boxes(random, image.size)
    area = np.prod(corners[:, 2:] - corners[:, :2], axis=1) * random.uniform(0.5, 1, image.size)
    true = boxes.truth(image, category, corners, area=area, crowd=random.random(image.size) < crowds)
    return Scenes(images, categories, true, random.normal(size=images), common)


def detect(made: Scenes, seed: int, skill: float = 1.3, jitter: float = 0.04, false: float = 2.0) -> Predictions:
    """Find boxes with odds exp(skill - difficulty), shift their sides by `jitter`, add `false` an image."""
    random = np.random.default_rng(seed)
    truth, hard = made.truth, made.difficulty[made.truth.image]
    seen = np.flatnonzero(random.random(hard.size) < 1 / (1 + np.exp(hard - skill)))
    twice = np.concatenate([seen, seen[random.random(seen.size) < 0.2]])
    corners = truth.corners[twice]
    size = np.tile(corners[:, 2:] - corners[:, :2], 2)
    corners = corners + size * random.normal(0, 1, size.shape) * (jitter * np.exp(0.3 * hard[twice]))[:, None]
    corners[:, :2] = np.minimum(corners[:, :2], corners[:, 2:] - 1)
    confused = random.random(twice.size) < 0.07
    kinds = np.where(confused, random.choice(made.categories, twice.size, p=made.common), truth.category[twice])
    wrong = np.repeat(np.arange(made.images), random.poisson(false * np.exp(0.5 * made.difficulty)))
    return boxes.predictions(
        np.concatenate([truth.image[twice], wrong]),
        np.concatenate([kinds, random.choice(made.categories, wrong.size, p=made.common)]),
        np.concatenate([corners, _boxes(random, wrong.size)]),
        np.concatenate([random.beta(5, 2, twice.size), random.beta(1.5, 4, wrong.size)]),
    )


def on_images(made: Scenes, models: list[Predictions], chosen: np.ndarray) -> Matches:
    """Matches of models on some images: the second model's as if on further images, after all of the first's."""
    place = np.full(made.images, -1)
    place[chosen] = np.arange(chosen.size)
    true, copies = made.truth, len(models)
    here = np.flatnonzero(place[true.image] >= 0)
    labelled = boxes.truth(
        np.concatenate([place[true.image[here]] + copy * chosen.size for copy in range(copies)]),
        np.tile(true.category[here], copies),
        np.tile(true.corners[here], (copies, 1)),
        area=np.tile(true.area[here], copies),
        crowd=np.tile(true.crowd[here], copies),
    )
    parts = []
    for copy, model in enumerate(models):
        said = np.flatnonzero(place[model.image] >= 0)
        image = place[model.image[said]] + copy * chosen.size
        parts.append((image, model.category[said], model.corners[said], model.score[said]))
    found = boxes.predictions(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return match(labelled, found, images=copies * chosen.size, categories=made.categories)


def _boxes(random: np.random.Generator, count: int) -> np.ndarray:
    size = np.exp(random.normal(4, 0.9, (count, 1))) * np.exp(random.normal(0, 0.3, (count, 2)))
    size = np.clip(size, 6, 400)
    corner = random.uniform(0, 1, (count, 2)) * (PICTURE - size)
    return np.concatenate([corner, corner + size], axis=1)
