"""Detection quality: COCO's average precision and recall, and the same under any weights of the images.

`match` boxes once, `tally` once, then `accumulate` as often as wanted: a weight for each image says how many times it
counts. All ones is the plain number, 0 and 1 pick the images of a camera or an hour, and whole numbers drawn at random
are a bootstrap (`cvkit.stats.resampling`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cvkit.stats.arrays import Floats
from cvkit.stats.change.segments import filled, highest_from_here, running, running_from_zero, sums
from cvkit.stats.quality.box_matching import Matches
from cvkit.stats.quality.boxes import Booleans, Integers
from cvkit.stats.resampling import weights_of

RECALL_STEP, POINTS = 0.01, 101  # COCO reads precision at the recalls 0, .01, ..., 1
FEW = (1, 10)  # COCO's recall with fewer predictions than all
CELLS = 1 << 17  # weights worked on at a time: their arrays stay in the processor's cache
SUMMARY = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Accumulated:
    """Quality by replicate, category, range of area and threshold of IoU; NaN where nothing was to be found.

    R rows of weights, C categories, A ranges of area, T thresholds; all numbers 0..1, higher is better. COCO's AP of
    each category is `precision[:, :, 0].mean(axis=-1)`.
    """

    thresholds: Floats  # (T,)
    precision: Floats  # (R, C, A, T) average precision: mean of the precision envelope at 101 recalls
    recall: Floats  # (R, C, A, T) share of the labelled boxes found
    recall_few: Floats  # (R, C, 2, T) found by the 1 and the 10 surest predictions of each image; first range of area


def coco(matches: Matches, weights: ArrayLike | None = None) -> dict[str, float]:
    """COCO's twelve numbers by the names of `SUMMARY`, each 0..1, NaN where nothing was to be found.

    AP is the mean over categories, and over the IoU thresholds .50, .55, ..., .95 where none is named, of the precision
    at 101 recalls; AR the mean of the largest recall with 1, 10 or 100 predictions an image and category. Small,
    medium and large are below 32^2, between and above 96^2 square pixels of labelled area. `weights` (images,) as in
    `accumulate`. Equal to pycocotools, whose -1 is NaN here; `matches` must be COCO's (the defaults of `match`), other
    thresholds and areas give NaN or a KeyError. For more than a few weights, `tally` once and use `summary`.
    """
    return dict(zip(SUMMARY, summary(accumulate(tally(matches), weights))[0].tolist(), strict=True))


def coco_metric(matches: Matches) -> Callable[[Floats], Floats]:
    """The twelve numbers as a function of weights, (R, images) -> (R, 12): what `cvkit.stats.resampling` asks for."""
    counts = tally(matches)
    return lambda weights: summary(accumulate(counts, weights))


def summary(accumulated: Accumulated) -> Floats:
    """COCO's twelve numbers (R, 12) in the order of `SUMMARY`; raises ValueError unless there are four ranges of area.

    AP50 and AP75 are NaN where these thresholds were not matched.
    """
    precision, recall = accumulated.precision, accumulated.recall
    if precision.shape[2] != 4:
        raise ValueError(f"COCO has the areas all, small, medium and large, not {precision.shape[2]} of them")
    at = [np.flatnonzero(np.isclose(accumulated.thresholds, level)) for level in (0.5, 0.75)]
    columns = [
        _mean(precision[:, :, 0]),
        *(_mean(precision[:, :, 0, which]) for which in at),
        *(_mean(precision[:, :, area]) for area in (1, 2, 3)),
        *(_mean(accumulated.recall_few[:, :, few]) for few in (0, 1)),
        *(_mean(recall[:, :, area]) for area in (0, 1, 2, 3)),
    ]
    return np.stack(columns, axis=1)


def _mean(values: Floats) -> Floats:
    """Over categories and thresholds, without NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    count = known.sum(axis=(1, 2))
    total = np.where(known, values, 0).sum(axis=(1, 2))
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))


# -- what is counted ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Category:
    """Images of whatever is counted in one category, in segments; a segment is a range of area and a threshold.

    Precision changes its envelope at true positives only, so those alone are followed. How many predictions count up
    to one of them hardly depends on the threshold: those in range of area, shared by all thresholds, but for a few
    exceptions: true positives out of range count as well, predictions in range that took an ignored box do not.
    """

    labels: Integers  # images of the labelled boxes, ranges of area one after another
    label_ends: Integers  # (A + 1,)
    listed: Integers  # images of the predictions in range, surest first, ranges one after another
    listed_ends: Integers  # (A + 1,)
    hits: Integers  # (K,) images of true positives, segments one after another
    hit_ends: Integers  # (A T + 1,)
    hit_listed: Integers  # (K,) place + 1 of the last listed at or before it; 0 none
    rank: Integers  # (K,)
    except_images: Integers  # (E,) exceptions
    except_signs: Floats  # (E,) 1 counts although out of range, -1 in range but does not count
    except_ends: Integers  # (A T + 1,)
    hit_except: Integers  # (K,) place + 1 of the last exception at or before it; 0 none


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Matches made ready to be accumulated under many weights: made by `tally`."""

    images: int
    thresholds: Floats
    areas: int
    categories: tuple[_Category, ...]


def tally(matches: Matches) -> Tally:
    """List, for each category, what counts: once, before any number of calls of `accumulate`."""
    columns = np.searchsorted(matches.predictions.category[matches.order], np.arange(matches.categories + 1))
    by_category = np.argsort(matches.truth.category, kind="stable")
    rows = np.searchsorted(matches.truth.category[by_category], np.arange(matches.categories + 1))
    made = (
        _category(matches, slice(*columns[c : c + 2]), by_category[rows[c] : rows[c + 1]])
        for c in range(matches.categories)
    )
    return Tally(matches.images, matches.thresholds, len(matches.areas), tuple(made))


def _category(matches: Matches, columns: slice, labels: Integers) -> _Category:
    image, rank = matches.predictions.image[matches.order[columns]], matches.rank[columns]
    inside, hit, ignored = matches.inside[:, columns], matches.hit[:, :, columns], matches.ignored[:, :, columns]
    area, label = np.nonzero(matches.counted[:, labels])
    listed_area, listed = np.nonzero(inside)
    listed_ends = np.searchsorted(listed_area, np.arange(len(inside) + 1))
    segment, place = _segments(hit)
    outside = ~inside[:, None, :]
    except_segment, except_place = _segments((hit & outside) | (ignored & ~outside))
    size, levels = max(image.size, 1), hit.shape[1]
    hit_listed = np.searchsorted(listed_area * size + listed, segment // levels * size + place, side="right")
    hit_except = np.searchsorted(except_segment * size + except_place, segment * size + place, side="right")
    ends = np.arange(hit.shape[0] * levels + 1)
    except_ends = np.searchsorted(except_segment, ends)
    return _Category(
        matches.truth.image[labels][label],
        np.searchsorted(area, np.arange(len(inside) + 1)),
        image[listed],
        listed_ends,
        image[place],
        np.searchsorted(segment, ends),
        np.where(hit_listed > listed_ends[segment // levels], hit_listed, 0),
        rank[place],
        image[except_place],
        np.where(inside[except_segment // levels, except_place], -1.0, 1.0),
        except_ends,
        np.where(hit_except > except_ends[segment], hit_except, 0),
    )


def _segments(flags: Booleans) -> tuple[Integers, Integers]:
    """Segment and place of what is set in (A, T, D)."""
    area, level, place = np.nonzero(flags)
    return area * flags.shape[1] + level, place


# -- counting -------------------------------------------------------------------------------------------------------


def accumulate(counts: Tally, weights: ArrayLike | None = None) -> Accumulated:
    """Average precision and recall under weights of the images, (images,) or (R, images); each image once if None.

    A weight of k counts an image, with all its boxes, k times: the same number as k copies of it give where no two
    scores are equal. Weights are finite and not negative; fractions that are not exact in binary may move a recall over
    one of the 101 points. Raises ValueError on other weights. Time grows with the true positives over all
    thresholds and areas, not with the predictions times thresholds.

    Source: cocoeval.py of pycocotools 2.0.11 (accumulate).
    """
    rows = weights_of(counts.images, weights)
    shape = (len(rows), len(counts.categories), counts.areas, counts.thresholds.size)
    precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    few = np.full((*shape[:2], len(FEW), shape[3]), np.nan)
    for number, category in enumerate(counts.categories):
        if category.labels.size:
            step = max(1, CELLS // max(category.hits.size, category.listed.size, 1))
            for low in range(0, len(rows), step):
                part = slice(low, low + step)
                precision[part, number], recall[part, number], few[part, number] = _count(category, rows[part], shape)
    return Accumulated(counts.thresholds, precision, recall, few)


def _count(category: _Category, weights: Floats, shape: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    """Average precision and recall (R, A, T), and recall with few predictions (R, 2, T)."""
    areas, levels = shape[2:]
    ends = category.hit_ends
    labels = sums(np.take(weights, category.labels, axis=1), category.label_ends)
    labels[labels == 0] = np.nan  # and so is everything of them
    hits = np.take(weights, category.hits, axis=1)
    found = running(hits, ends)
    envelope = highest_from_here(found / (_predicted(category, weights) + np.spacing(1)), ends)
    precision = sums(envelope * _points(_over_labels(found, labels, ends[::levels]), ends), ends) / POINTS
    recall = sums(hits, ends).reshape(-1, areas, levels) / labels[:, :, None]
    first, surer = ends[: levels + 1], category.rank[: ends[levels]]
    few = [sums(hits[:, : surer.size] * (surer < most), first) / labels[:, :1] for most in FEW]
    return precision.reshape(-1, areas, levels) + 0 * recall, recall, np.stack(few, axis=1)


def _predicted(category: _Category, weights: Floats) -> Floats:
    """Predictions that count, from the surest to each true positive (R, K)."""
    listed = running_from_zero(np.take(weights, category.listed, axis=1), category.listed_ends)
    predicted = np.take(listed, category.hit_listed, axis=1)
    if category.except_images.size:
        signed = np.take(weights, category.except_images, axis=1) * category.except_signs
        predicted += np.take(running_from_zero(signed, category.except_ends), category.hit_except, axis=1)
    return predicted


def _points(reached: Floats, ends: Integers) -> Floats:
    """How many of the recalls 0, .01, ..., 1 each true positive is the first to reach (R, K)."""
    passed = np.floor(reached * (1 / RECALL_STEP + 1e-9))  # never too few: .29 * 100 is less than 29
    passed += passed * RECALL_STEP <= reached  # COCO's recalls are multiples of .01 in floating point, so are these
    points = np.diff(passed, axis=1, prepend=0)
    starts = np.array([low for low, _ in filled(ends)], dtype=np.int64)
    points[:, starts] = passed[:, starts]
    return points


def _over_labels(found: Floats, labels: Floats, ends: Integers) -> Floats:
    reached = np.empty_like(found)
    for area, (low, high) in enumerate(itertools.pairwise(ends)):
        np.divide(found[:, low:high], labels[:, area : area + 1], out=reached[:, low:high])
    return reached
