"""Images that must not be trained on: copies of test images, exact or near, and frames of the same moments."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.config import Config
from cvkit.data import pictures
from cvkit.data.isolation import Lost
from cvkit.maintenance.candidates import Candidates, left_out
from cvkit.maintenance.test_set import TestSet, as_candidates
from cvkit.tables import LEFT_OUT, conform, empty

log = logging.getLogger(__name__)

CORNERS = ["x1", "y1", "x2", "y2"]
OVERLAP = 0.5  # of two boxes that are taken for the same one
AGREE = 0.5  # share of the boxes of two images that have to be the same ones, for the two to be near copies
ROWS = 256  # of a matrix of distances at once: 8 bytes x ROWS x all others
# Saved anew or made smaller (smoothly), pictures of demo, BCCD, raccoon and coco128 keep a correlation of .974 or more;
# among 400 other frames of one of the demo's cameras it reached .92. The dHash of copies moves by up to 23 bits.
FAR_BITS, ALIKE = 24, 0.97


@dataclass(slots=True, eq=False)
class _Pictures:
    """Images 0..n-1 with their labelled boxes, those of one image side by side."""

    dhash: NDArray[np.uint64]  # (n,)
    path: NDArray[np.object_]  # (n,)
    classes: NDArray[np.uint64]  # (n,) one number for the classes of its boxes, however often each; 0 without boxes
    first: NDArray[np.intp]  # (n + 1,) where each image's boxes begin
    kind: NDArray[np.int64]  # (boxes,)
    corners: NDArray[np.float64]  # (boxes, 4), shares of the image's width and height
    small: dict[int, NDArray[np.float64] | None] = field(default_factory=dict)  # what was read of their pixels

    def alike(self, number: int, others: _Pictures, which: NDArray[np.intp]) -> NDArray[np.intp]:
        """Those of the images `which` whose pixels are those of image `number`, but for how it was saved."""
        if not len(which):
            return which
        (mine,), theirs = self._pixels([number]), others._pixels(which.tolist())
        same = [mine is not None and one is not None and float(mine @ one) >= ALIKE for one in theirs]
        return np.asarray(which[np.array(same, bool)])

    def _pixels(self, numbers: list[int]) -> list[NDArray[np.float64] | None]:
        """Their thumbnails, of mean 0 and length 1; None of one that cannot be read, or is of one grey."""
        new = [number for number in numbers if number not in self.small]
        for number, found in zip(new, pictures.thumbnails([str(self.path[one]) for one in new]), strict=True):
            if isinstance(found, Lost):
                log.warning("%s: a process that decodes it to look for copies %s", self.path[number], found.reason)
            self.small[number] = None if found is None or isinstance(found, Lost) else _unit(found)
        return [self.small[number] for number in numbers]


def apart(config: Config, found: Candidates, test: TestSet) -> Candidates:
    """Candidates without what leaks into the test set."""
    held, settings = as_candidates(test), config.retraining
    leaks = against(found, held.images, held.labels, near_bits=settings.near_bits, neighbours_s=settings.neighbours_s)
    return without(found, leaks)


def against(
    found: Candidates, images: pd.DataFrame, labels: pd.DataFrame, *, near_bits: int, neighbours_s: float
) -> pd.DataFrame:
    """Which candidates leak into other `images` (columns of CANDIDATES; `labels` BOXES), and how: table LEFT_OUT.

    Exact copies have the same `content`. Near copies differ in at most `near_bits` of the 64 bits of their dHash, or
    have the same number of boxes of each class and the same pixels but for how they were saved (a correlation of 0.97
    at 32 x 32); and at least half of their labelled boxes are the same ones (class, and IoU of 0.5): frames of a fixed
    camera are alike whatever lies before it. Neighbours are of one source and at most `neighbours_s` seconds apart.
    An image has the first of these reasons that holds. Numbers of images times numbers of others in steps.
    """
    mine = found.images
    other = np.full(len(mine), -1)
    reason = np.full(len(mine), "", dtype=object)

    def note(places: NDArray[np.intp], which: NDArray[np.intp], words: str) -> None:
        free = other[places] < 0
        other[places[free]], reason[places[free]] = which[free], words

    place = pd.Series(np.arange(len(images)), index=images["content"]).groupby(level=0).first()
    same = mine["content"].map(place).fillna(-1).to_numpy(np.intp)
    note(np.flatnonzero(same >= 0), same[same >= 0], "the same file as a test image")
    pairs = list(_near_copies(_pictures(mine, found.labels), _pictures(images, labels), near_bits))
    if pairs:
        places, which = np.array(pairs, np.intp).T
        note(places, which, "a near copy of a test image")
    note(*_neighbours(mine, images, neighbours_s), f"within {neighbours_s:g} s of a test image of its source")
    leak = np.flatnonzero(other >= 0)
    if not len(leak):
        return empty(LEFT_OUT)
    return left_out(mine.iloc[leak], "", images["image_id"].to_numpy()[other[leak]]).assign(reason=reason[leak])


def within(found: Candidates, *, near_bits: int) -> pd.DataFrame:
    """Which candidates are exact or near copies of an earlier one that stays: table LEFT_OUT."""
    mine = found.images
    seen = _pictures(mine, found.labels)
    first = pd.Series(np.arange(len(mine))).groupby(mine["content"].to_numpy()).transform("first").to_numpy()
    gone, rows = np.zeros(len(mine), bool), []
    for number, close in near(seen.dhash, seen.dhash, max(near_bits, FAR_BITS)):
        earlier = close[close < number]
        kept = earlier[~gone[earlier]]
        exact = first[number] < number
        copy = first[number] if exact else _copy(seen, number, seen, kept, near_bits)
        if copy >= 0:
            gone[number] = True
            words = "the same file" if exact else "a near copy"
            rows.append(left_out(mine.iloc[[number]], words, mine["image_id"].iloc[copy]))
    return conform(pd.concat(rows), LEFT_OUT) if rows else empty(LEFT_OUT)


def without(found: Candidates, gone: pd.DataFrame) -> Candidates:
    """The candidates that are not in `gone` (table LEFT_OUT), which is added to those left out."""
    pairs = pd.MultiIndex.from_frame(found.images[["origin", "image_id"]])
    stay = ~pairs.isin(pd.MultiIndex.from_frame(gone[["origin", "image_id"]]))
    told = conform(pd.concat([found.left_out, gone], ignore_index=True), LEFT_OUT)
    return Candidates(found.images[stay].reset_index(drop=True), found.labels, told)


def near(hashes: NDArray[np.uint64], others: NDArray[np.uint64], bits: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """The places in `others` (m,) whose hashes differ in at most `bits` bits, for each of `hashes` (n,) with some.

    >>> [(i, j.tolist()) for i, j in near(np.array([0b0, 0b111], np.uint64), np.array([0b1, 0b11], np.uint64), 1)]
    [(0, [0]), (1, [1])]
    """
    for start in range(0, len(hashes), ROWS):
        close = np.bitwise_count(hashes[start : start + ROWS, np.newaxis] ^ others) <= bits
        for row in np.flatnonzero(close.any(axis=1)):
            yield start + int(row), np.flatnonzero(close[row])


def _near_copies(mine: _Pictures, others: _Pictures, bits: int) -> Iterator[tuple[int, int]]:
    for number, close in near(mine.dhash, others.dhash, max(bits, FAR_BITS)):
        if (copy := _copy(mine, number, others, close, bits)) >= 0:
            yield number, copy


def _copy(mine: _Pictures, number: int, others: _Pictures, which: NDArray[np.intp], bits: int) -> int:
    """The first of the images `which` that image `number` is a near copy of; -1 where there is none."""
    close = np.bitwise_count(mine.dhash[number] ^ others.dhash[which]) <= bits
    same = (others.classes[which] == mine.classes[number]) & (mine.classes[number] != 0)
    agree = _agreeing(mine, number, others, which[close | same])
    near_ones = agree[np.isin(agree, which[close])]
    found = near_ones if len(near_ones) else mine.alike(number, others, agree)
    return int(found[0]) if len(found) else -1


def _agreeing(mine: _Pictures, number: int, others: _Pictures, which: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of the images `which` with mostly the boxes of image `number`."""
    own = slice(mine.first[number], mine.first[number + 1])
    sizes = others.first[which + 1] - others.first[which]
    image = np.repeat(np.arange(len(which)), sizes)
    box = np.repeat(others.first[which] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    same = mine.kind[own, np.newaxis] == others.kind[box]
    row, column = np.nonzero(same & (_iou(mine.corners[own], others.corners[box]) >= OVERLAP))
    of_others = np.bincount(image[np.unique(column)], minlength=len(which))
    of_mine = np.bincount(np.unique(row * max(len(which), 1) + image[column]) % max(len(which), 1),
                          minlength=len(which))  # fmt: skip
    total = sizes + (own.stop - own.start)
    return np.asarray(which[of_others + of_mine >= AGREE * total])  # two images without any boxes agree


def _unit(small: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    centred = small.astype(np.float64).ravel() - small.mean()
    length = float(np.linalg.norm(centred))
    return centred / length if length else None


def _pictures(images: pd.DataFrame, labels: pd.DataFrame) -> _Pictures:
    rows = images.reset_index(drop=True)
    place = pd.Series(rows.index, index=rows["image_id"])
    inside = labels[labels["image_id"].isin(place.index)]
    image = place.loc[inside["image_id"]].to_numpy(np.intp)
    order = np.argsort(image, kind="stable")
    size = rows[["width", "height", "width", "height"]].to_numpy(float)[image]
    corners = (inside[CORNERS].to_numpy(float) / size)[order]
    first = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=len(rows)))])
    kind = inside["class_id"].to_numpy(np.int64)[order]
    classes = np.zeros(len(rows), np.uint64)
    np.add.at(classes, image[order], pd.util.hash_array(kind + 1))  # the hash of 0 is 0
    hashes = rows["dhash"].to_numpy(np.uint64)
    return _Pictures(hashes, rows["path"].to_numpy(object), classes, first, kind, corners)


def _iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes (n, 4) and (m, 4): (n, m)."""
    a, b = one[:, np.newaxis], other[np.newaxis]
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared = sides.prod(axis=2)
    union = (a[..., 2:] - a[..., :2]).prod(axis=2) + (b[..., 2:] - b[..., :2]).prod(axis=2) - shared
    return np.asarray(shared / np.where(union > 0, union, 1.0))


def _neighbours(mine: pd.DataFrame, images: pd.DataFrame, seconds: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of images with one of `images` of their source at most `seconds` away, and which; none at 0 seconds."""
    places, which = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    timed = images.assign(place=np.arange(len(images))).dropna(subset=["moment"])
    own = mine.assign(place=np.arange(len(mine))).dropna(subset=["moment"])
    for source, group in timed.groupby("source"):
        here = own[own["source"] == source]
        if here.empty or seconds <= 0:
            continue
        group = group.sort_values("moment")
        known, moments = (table["moment"].astype("int64").to_numpy() / 1e6 for table in (group, here))
        after = np.clip(np.searchsorted(known, moments), 1, max(len(known) - 1, 1))
        nearer = np.where(
            np.abs(known[np.minimum(after, len(known) - 1)] - moments) < np.abs(known[after - 1] - moments),
            np.minimum(after, len(known) - 1), after - 1,
        )  # fmt: skip
        close = np.abs(known[nearer] - moments) <= seconds
        places.append(here["place"].to_numpy(np.intp)[close])
        which.append(group["place"].to_numpy(np.intp)[nearer[close]])
    return np.concatenate(places), np.concatenate(which)
