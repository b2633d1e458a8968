"""Estimation: average precision, precision and recall of a detector on images that nobody has labelled.

Learnt from labelled images that were corrupted on purpose. Each predicted box has a chance to be right, each image
objects that are missed (`cvkit.stats.unlabelled.chances`). Outcomes drawn from these chances give the expectation and
its sampling noise (`cvkit.stats.unlabelled.expectation`), so an estimate follows the very images it is asked about.
What the expectation is off by, over corruptions and densities of objects, is then taken off, and the band is as wide as
it had to be on images and families of corruption that were left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cvkit.stats.arrays import Floats
from cvkit.stats.quality import detection, operation
from cvkit.stats.quality.boxes import Booleans, Truth
from cvkit.stats.resampling import weights_of
from cvkit.stats.unlabelled import chances, familiar
from cvkit.stats.unlabelled.chances import Knowledge, Learnable
from cvkit.stats.unlabelled.expectation import METRICS, simulate
from cvkit.stats.unlabelled.familiar import Conditions
from cvkit.stats.unlabelled.signals import Scene, of_window

MINIMUM = 30  # images below which nothing is told, or learnt
DENSITIES = (0.5, 1.0, 2.0)  # objects an image, in parts of the labelled images', that are learnt from
LEVEL = 0.9  # of the band
MARGIN = 0.25  # of the range of a signal over all that was learnt: how far beyond it an estimate is still given
DRAWS = 200
FIT_DRAWS = 24  # an expectation is then known to a fifth of its sampling noise
LEAST_NOISE = 1e-3  # below it the spread of so few draws is chance
SHRINKAGE = 0.1  # of the correction: ridge penalty an observation, columns in standard deviations
SIGNALS = ("the number of boxes an image", "the confidence of boxes", "the largest confidence of images")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """Labelled images under one corruption; family "" are the images as they were taken."""

    family: str
    scene: Scene
    truth: Truth


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """What was learnt from labelled images: made by `fit`; S signals of a window."""

    knowledge: Knowledge
    correction: Floats  # (3, 1 + 1 + S) of each of METRICS: intercept, expectation, signals
    correction_scale: Floats  # (3, 2, 1 + S) centre and scale of its columns
    width: Floats  # (3,) half the band, in standard deviations of the draws
    lowest: Floats  # (S,) signals over all that was learnt from
    highest: Floats  # (S,)
    conditions: Conditions
    usual: Floats  # (3,) METRICS of the images as they were taken, by their labels
    images: int  # labelled ones


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Estimates of `METRICS`, (3,) each, 0..1, higher is better; NaN where `reason` says why nothing can be told."""

    value: Floats
    low: Floats  # of the band that holds the number that labels would give, with the level it was fitted for
    high: Floats
    noise: Floats  # standard deviation of the draws: the part of the band that is sampling noise
    reason: str  # "" where there is an estimate
    n: int  # images


def fit(
    examples: Sequence[Example],
    classes: int,
    *,
    densities: Sequence[float] = DENSITIES,
    level: float = LEVEL,
    minimum: int = MINIMUM,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Estimator:
    """Learn from the same labelled images under each of several corruptions, the first example as they were taken.

    The band is `width` standard deviations of the draws to either side; `width` is the conformal quantile, at `level`,
    of |truth - estimate| over them in windows of images and of families of corruption that were left out of the fit:
    half of the images in turn, one family in turn. Windows of one fold share their images, so the level is approximate:
    benchmark `estimation` measures it.

    Raises ValueError on fewer than `minimum` images, without an example as taken first, with fewer than two families,
    and where examples differ in how many images or numbers of the embedding they have. The same seed, the same result.

    Source: J. Lei et al., J. Am. Stat. Assoc. 113 (2018) 1094 (locally weighted conformal bands).
    """
    _check(examples, minimum)
    plain = examples[0].scene
    ready = [chances.learnable(one.scene, one.truth, classes) for one in examples]
    names = [one.family for one in examples]
    half = _half(plain.images, seed)
    sides = [_windows(ready, names, inside, densities, seed) for inside in (half, ~half)]
    folds = [(family, turn) for family in sorted({*names} - {""}) for turn in (0, 1)]
    scores = []
    for done, (family, turn) in enumerate(folds):
        kept = [one for one, name in zip(ready, names, strict=True) if name != family]
        inside = ~half if turn else half
        scores.append(_scores(kept, sides[turn], sides[1 - turn], plain, inside, densities, family))
        progress(done + 1, len(folds) + 1)
    everything = np.ones(plain.images, dtype=bool)
    windows = _windows(ready, names, everything, densities, seed)
    knowledge, correction, scale, seen = _learn(ready, windows, plain, everything, densities)
    width = np.array([_conformal(column, level) for column in np.abs(np.concatenate(scores)).T])
    progress(len(folds) + 1, len(folds) + 1)
    return Estimator(
        knowledge, correction, scale, width, seen.signals.min(axis=0), seen.signals.max(axis=0),
        _conditions(examples), truth(ready[0], np.ones((1, plain.images)))[0], plain.images,
    )  # fmt: skip


def estimate(
    estimator: Estimator,
    scene: Scene,
    weights: ArrayLike | None = None,
    *,
    minimum: int = MINIMUM,
    margin: float = MARGIN,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """Estimate AP, precision and recall of a scene, cut at the confidence that the examples were cut at.

    AP is COCO's, of the boxes as they are: the mean over the classes that have objects. `weights` (images,), whole
    numbers, say how often each image counts. The band holds for windows that are as unlike the fitted ones as a family
    left out is from the others.

    Nothing is told of fewer than `minimum` images, where the mean embedding is too far from that of any condition that
    was learnt from (`cvkit.stats.unlabelled.familiar`), and where a signal of the window lies further than `margin` of
    its range outside all of them, as without any box. Without embeddings another world may go unnoticed. Raises
    ValueError on weights that are not whole, on a class that was not learnt, and where embeddings are missing that were
    learnt from.
    """
    known = estimator.knowledge
    rows = weights_of(scene.images, weights)[0]
    _check_asked(known, scene, rows)
    n = int(np.count_nonzero(rows))
    if n < minimum:
        return _unknown(f"{n} images; {minimum} are needed", n)
    signals = of_window(scene, rows, known.centre, known.spread)
    if familiar.strange(estimator.conditions, rows @ scene.embedding / rows.sum(), n):
        return _unknown("the images look like none of the conditions that were learnt from", n)
    if reason := _outside(estimator, signals, margin):
        return _unknown(reason, n)
    drawn = simulate(chances.tell(known, scene, rows), rows, draws, seed)
    expected, noise = np.nanmean(drawn, axis=0), np.nanstd(drawn, axis=0)
    value = np.clip(_corrected(estimator.correction, estimator.correction_scale, expected, signals), 0, 1)
    half = estimator.width * noise
    return Estimate(value, np.clip(value - half, 0, 1), np.clip(value + half, 0, 1), noise, "", n)


def to_arrays(estimator: Estimator) -> dict[str, NDArray[np.float64]]:
    """The estimator as plain arrays by name, to be kept."""
    parts: dict[str, Any] = {"": estimator, "knowledge.": estimator.knowledge, "conditions.": estimator.conditions}
    return {
        prefix + one.name: np.asarray(getattr(part, one.name), dtype=np.float64)
        for prefix, part in parts.items()
        for one in fields(part)
        if one.name not in ("knowledge", "conditions")
    }


def from_arrays(arrays: Mapping[str, ArrayLike]) -> Estimator:
    """The estimator that `to_arrays` told; raises KeyError where an array is missing."""
    parts: dict[str, dict[str, Any]] = {"": {}, "knowledge": {}, "conditions": {}}
    for name in arrays:
        part, _, field = name.rpartition(".")
        found = np.asarray(arrays[name], dtype=np.float64)
        parts[part][field] = found if found.ndim else int(found) if field == "images" else float(found)
    missing = {one.name for one in fields(Estimator)} - {*parts[""], "knowledge", "conditions"}
    if missing:
        raise KeyError(f"arrays {sorted(missing)} are missing")
    knowledge, conditions = Knowledge(**parts["knowledge"]), Conditions(**parts["conditions"])
    return Estimator(knowledge=knowledge, conditions=conditions, **parts[""])


# -- learning -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Windows of labelled images, (W, 3) or (W, S) each."""

    expected: Floats
    noise: Floats
    truth: Floats
    signals: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """Labelled images, each counted as often as its weight, and `METRICS` by their labels."""

    family: str
    example: Learnable
    weights: Floats  # (N,)
    truth: Floats  # (3,)


def _learn(
    ready: Sequence[Learnable],
    windows: Sequence[_Window],
    plain: Scene,
    inside: Booleans,
    densities: Sequence[float],
) -> tuple[Knowledge, Floats, Floats, _Seen]:
    """Knowledge from the images `inside`, and the correction of what it expects of their `windows`."""
    knowledge = chances.learn(ready, plain, inside, densities)
    seen = _look(knowledge, windows)
    fitted = [_correction(seen, metric) for metric in range(len(METRICS))]
    return knowledge, np.stack([one for one, _ in fitted]), np.stack([scale for _, scale in fitted]), seen


def _scores(
    kept: Sequence[Learnable],
    own: Sequence[_Window],
    others: Sequence[_Window],
    plain: Scene,
    inside: Booleans,
    densities: Sequence[float],
    family: str,
) -> Floats:
    """(truth - estimate) / noise (W, 3) of the `others`, windows of other images, under the family left out."""
    within = [one for one in own if one.family != family]
    knowledge, correction, scale, _ = _learn(kept, within, plain, inside, densities)
    seen = _look(knowledge, [one for one in others if one.family == family])
    pairs = zip(seen.expected, seen.signals, strict=True)
    value = np.array([_corrected(correction, scale, *row) for row in pairs]).reshape(-1, len(METRICS))
    return np.asarray((seen.truth - np.clip(value, 0, 1)) / np.maximum(seen.noise, LEAST_NOISE))


def _look(knowledge: Knowledge, windows: Sequence[_Window]) -> _Seen:
    rows = []
    for number, one in enumerate(windows):
        told = chances.tell(knowledge, one.example.scene, one.weights, one.example.columns)
        drawn = simulate(told, one.weights, FIT_DRAWS, number)
        signals = of_window(one.example.scene, one.weights, knowledge.centre, knowledge.spread)
        rows.append((np.nanmean(drawn, axis=0), np.nanstd(drawn, axis=0), one.truth, signals))
    size = len(SIGNALS) + bool(knowledge.centre.size)
    widths = len(METRICS), len(METRICS), len(METRICS), size
    return _Seen(*(np.asarray([row[k] for row in rows]).reshape(-1, width) for k, width in enumerate(widths)))


def _windows(
    ready: Sequence[Learnable], names: Sequence[str], inside: Booleans, densities: Sequence[float], seed: int
) -> list[_Window]:
    """The images `inside` as they are, and drawn again so that they hold more or fewer objects.

    Those in which there is nothing to find, or nothing said, are left out.
    """
    random = np.random.default_rng(seed)
    size, found = int(np.count_nonzero(inside)), []
    for one, family in zip(ready, names, strict=True):
        wanted = [chances.weights_at(one, inside, times) for times in densities]
        drawn = [row if np.ptp(row[inside]) == 0 else random.multinomial(size, row / row.sum()) for row in wanted]
        rows = np.array(drawn, dtype=np.float64)
        found += [_Window(family, one, *pair) for pair in zip(rows, truth(one, rows), strict=True)]
    return [one for one in found if not np.isnan(one.truth).any()]


def truth(one: Learnable, weights: Floats) -> Floats:
    """`METRICS` by the labels (R, 3) under rows of weights (R, images); NaN as in `expectation.simulate`."""
    precision = detection.accumulate(one.tally, weights).precision[:, :, 0]
    at = operation.operation(one.matches, 0.0, weights=weights)
    found, false, missed = (part.sum(axis=1) for part in (at.found, at.false, at.missed))
    known = ~np.isnan(precision)
    average = operation.ratio(np.where(known, precision, 0).sum(axis=(1, 2)), known.sum(axis=(1, 2)))
    return np.column_stack([average, operation.ratio(found, found + false), operation.ratio(found, found + missed)])


def _correction(seen: _Seen, metric: int) -> tuple[Floats, Floats]:
    """Ridge regression of what the expectation is off by on the expectation and the signals."""
    columns = np.column_stack([seen.expected[:, metric], seen.signals])
    scale = np.stack([columns.mean(axis=0), np.maximum(columns.std(axis=0), 1e-9)])
    rows, off = (columns - scale[0]) / scale[1], seen.truth[:, metric] - seen.expected[:, metric]
    ridge = SHRINKAGE * len(rows) * np.eye(rows.shape[1])
    return np.concatenate([[off.mean()], np.linalg.solve(rows.T @ rows + ridge, rows.T @ (off - off.mean()))]), scale


def _corrected(correction: Floats, scale: Floats, expected: Floats, signals: Floats) -> Floats:
    columns = np.column_stack([expected, np.tile(signals, (len(METRICS), 1))])
    return np.asarray(
        expected + correction[:, 0] + ((columns - scale[:, 0]) / scale[:, 1] * correction[:, 1:]).sum(axis=1)
    )


def _conditions(examples: Sequence[Example]) -> Conditions:
    means = np.array([one.scene.embedding.mean(axis=0) for one in examples])
    return familiar.learn(means, [one.family for one in examples], examples[0].scene.embedding)


def _conformal(scores: Floats, level: float) -> float:
    """The score that `level` of new ones do not exceed: the ceil((n + 1) level)-th smallest, or the largest."""
    ordered = np.sort(scores[~np.isnan(scores)])
    return float(ordered[min(int(np.ceil((ordered.size + 1) * level)), ordered.size) - 1])


def _half(images: int, seed: int) -> Booleans:
    half = np.zeros(images, dtype=bool)
    half[np.random.default_rng(seed).permutation(images)[: images // 2]] = True
    return half


# -- what is refused ------------------------------------------------------------------------------------------------


def _check(examples: Sequence[Example], minimum: int) -> None:
    if not examples or examples[0].family:
        raise ValueError("expected the images as they were taken, family '', as the first example")
    if len({one.family for one in examples}) < 3:
        raise ValueError(f"expected at least two families of corruption, got {len(examples) - 1} corrupted examples")
    plain = examples[0].scene
    if plain.images < minimum:
        raise ValueError(f"expected at least {minimum} labelled images, got {plain.images}")
    if any(one.scene.embedding.shape != plain.embedding.shape for one in examples):
        raise ValueError("expected the same images in every example, each with an embedding or none with one")


def _check_asked(known: Knowledge, scene: Scene, weights: Floats) -> None:
    largest = int(scene.predictions.category.max(initial=-1))
    if largest >= known.familiar.size:
        raise ValueError(f"categories 0..{known.familiar.size - 1} were learnt, but a box is of {largest}")
    if scene.embedding.shape[1] != known.centre.size:
        raise ValueError(f"embeddings of {known.centre.size} numbers were learnt from, not {scene.embedding.shape[1]}")
    if np.any(weights != np.floor(weights)):
        raise ValueError("weights say how often an image counts: whole numbers")


def _outside(estimator: Estimator, signals: Floats, margin: float) -> str:
    """Which signal lies outside all that was learnt, in words; "" where none does."""
    reach = margin * (estimator.highest - estimator.lowest)
    for name, one, low, high in zip(
        SIGNALS, signals, estimator.lowest - reach, estimator.highest + reach, strict=False
    ):
        if not low <= one <= high:
            return f"{name} is outside what was learnt: {'below' if one < low else 'above'} all of it"
    return ""


def _unknown(reason: str, n: int) -> Estimate:
    nothing = np.full(len(METRICS), np.nan)
    return Estimate(nothing, nothing, nothing, nothing, reason, n)
