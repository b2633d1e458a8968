"""Signals: what predicted boxes tell without labels, of a box, of an image and of a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.arrays import Floats, floats
from cvkit.stats.change.overlap import iou
from cvkit.stats.quality.boxes import Predictions

LEAST = 1e-4  # confidences are kept this far from 0 and 1
BORDER = 2.0  # pixels: a box this near to the border is cut by it
NOTHING = 0.2  # mean confidence of an image without boxes: below any that is deployed


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What a detector said of some images, cut at the confidence it is deployed with: made by `scene`."""

    images: int
    sizes: Floats  # (images, 2) width and height, pixels
    predictions: Predictions
    embedding: Floats  # (images, e) of unit length; e = 0 where there is none


def scene(images: int, sizes: ArrayLike, predictions: Predictions, embedding: ArrayLike | None = None) -> Scene:
    """A scene, checked. Raises ValueError on sizes that are not positive, and on rows that are not one an image."""
    places = floats(sizes).reshape(-1, 2)
    rows = np.zeros((images, 0)) if embedding is None else floats(embedding)
    if len(places) != images or not np.all(places > 0) or not np.all(np.isfinite(places)):
        raise ValueError(f"expected width and height, above 0 pixels, of each of {images} images")
    if rows.ndim != 2 or len(rows) != images:
        raise ValueError(f"expected an embedding of each of {images} images, or none, not {rows.shape}")
    if predictions.image.max(initial=-1) >= images:
        raise ValueError(f"predicted boxes are of image 0..{images - 1}, but one is of {predictions.image.max()}")
    if rows.shape[1]:
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return Scene(images, places, predictions, rows)


def of_boxes(seen: Scene) -> Floats:
    """Thirteen numbers of each box (n, 13).

    Log odds of its confidence; log share of the image; |log aspect|; whether the border cuts it; its largest IoU with
    a surer box of its class, and of another; log (1 + boxes of the image); mean log odds of the image's other boxes,
    the largest; log (1 + boxes of its class in the image); squares and product of the first two.
    """
    said = seen.predictions
    odds = log_odds(said.score)
    sides = np.maximum(said.corners[:, 2:] - said.corners[:, :2], 1e-3)
    size = seen.sizes[said.image]
    share = np.log(sides.prod(axis=1) / size.prod(axis=1))
    cut = (said.corners[:, :2] < BORDER).any(axis=1) | (said.corners[:, 2:] > size - BORDER).any(axis=1)
    same, other, alike = _company(said)
    count = np.bincount(said.image, minlength=seen.images)[said.image]
    total = np.bincount(said.image, odds, minlength=seen.images)[said.image]
    mean = np.where(count > 1, (total - odds) / np.maximum(count - 1, 1), 0.0)
    best = np.full(seen.images, log_odds(np.zeros(1))[0])
    np.maximum.at(best, said.image, odds)
    columns = [
        odds, share, np.abs(np.log(sides[:, 0] / sides[:, 1])), cut, same, other, np.log1p(count), mean,
        best[said.image], np.log1p(alike), odds**2, share**2, odds * share,
    ]  # fmt: skip
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def of_images(seen: Scene) -> Floats:
    """Log (1 + boxes), largest confidence (0 without boxes), mean confidence of each image: (images, 3)."""
    said = seen.predictions
    count = np.bincount(said.image, minlength=seen.images)
    total = np.bincount(said.image, said.score, minlength=seen.images)
    best = np.zeros(seen.images)
    np.maximum.at(best, said.image, said.score)
    mean = np.where(count > 0, total / np.maximum(count, 1), NOTHING)
    return np.column_stack([np.log1p(count), best, mean])


def of_window(seen: Scene, weights: Floats, centre: Floats, spread: float) -> Floats:
    """Three or four numbers of all images, each counted as often as `weights` (images,) says.

    Log of boxes an image; mean confidence of the boxes; mean of the images' largest; where `centre` (e,) is known, log
    of the distance of the mean embedding from it, in units of `spread`.
    """
    said = seen.predictions
    times = weights[said.image]
    boxes, images = float(times.sum()), float(weights.sum())
    mean = float(times @ said.score) / boxes if boxes else 0.0
    told = [np.log(boxes / images + 0.1), mean, float(weights @ of_images(seen)[:, 1]) / images]
    if centre.size:
        told.append(np.log(np.linalg.norm(weights @ seen.embedding / images - centre) / spread + 0.05))
    return np.array(told)


def log_odds(confidence: Floats) -> Floats:
    """Log (p / (1 - p)) of confidences (n,), kept `LEAST` from 0 and 1."""
    kept = np.clip(confidence, LEAST, 1 - LEAST)
    return np.asarray(np.log(kept / (1 - kept)))


def _company(said: Predictions) -> tuple[Floats, Floats, Floats]:
    """Largest IoU with a surer box of the same class, of another class, and boxes of the class in the image: (n,)."""
    same, other, alike = (np.zeros(said.image.size) for _ in range(3))
    order = np.argsort(said.image, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(said.image[order])) + 1):
        one, two = np.repeat(rows, rows.size), np.tile(rows, rows.size)
        shape = rows.size, rows.size
        kin = (said.category[one] == said.category[two]).reshape(shape)
        common = iou(said.corners[one], said.corners[two]).reshape(shape)
        common *= (said.score[two] > said.score[one]).reshape(shape)
        same[rows] = (common * kin).max(axis=1, initial=0.0)
        other[rows] = (common * ~kin).max(axis=1, initial=0.0)
        alike[rows] = kin.sum(axis=1)
    return same, other, alike
