"""Images that must not be trained on: copies of test images, exact or near, and frames of the same moments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.maintenance.candidates import Candidates, left_out
from cvkit.tables import LEFT_OUT, conform, empty

CORNERS = ["x1", "y1", "x2", "y2"]
OVERLAP = 0.5  # of two boxes that are taken for the same one
AGREE = 0.5  # share of the boxes of two images that have to be the same ones, for the two to be near copies
ROWS = 256  # of a matrix of distances at once: 8 bytes x ROWS x all others


@dataclass(frozen=True, slots=True, eq=False)
class _Boxes:
    """Labelled boxes of images 0..n-1, those of one image side by side."""

    first: NDArray[np.intp]  # (n + 1,) where each image's boxes begin
    kind: NDArray[np.int64]  # (boxes,)
    corners: NDArray[np.float64]  # (boxes, 4), shares of the image's width and height


def against(
    found: Candidates, images: pd.DataFrame, labels: pd.DataFrame, *, near_bits: int, neighbours_s: float
) -> pd.DataFrame:
    """Which candidates leak into other `images` (columns of CANDIDATES; `labels` BOXES), and how: table LEFT_OUT.

    Exact copies have the same `content`. Near copies differ in at most `near_bits` of the 64 bits of their dHash, and
    at least half of their labelled boxes are the same ones (class, and IoU of 0.5): frames of a fixed camera are alike
    in their dHash whatever lies before it. Neighbours are of one source and at most `neighbours_s` seconds apart.
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
    pairs = list(_near_copies(_boxes(mine, found.labels), mine["dhash"], _boxes(images, labels), images["dhash"],
                              near_bits))  # fmt: skip
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
    boxes, hashes = _boxes(mine, found.labels), mine["dhash"].to_numpy(np.uint64)
    first = pd.Series(np.arange(len(mine))).groupby(mine["content"].to_numpy()).transform("first").to_numpy()
    gone, rows = np.zeros(len(mine), bool), []
    for number, close in near(hashes, hashes, near_bits):
        earlier = close[close < number]
        kept = earlier[~gone[earlier]]
        copy = first[number] if first[number] < number else _agreeing(boxes, number, boxes, kept)
        if copy >= 0:
            gone[number] = True
            words = "the same file" if first[number] < number else "a near copy"
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


def _near_copies(
    mine: _Boxes, hashes: pd.Series, others: _Boxes, other_hashes: pd.Series, bits: int
) -> Iterator[tuple[int, int]]:
    for number, close in near(hashes.to_numpy(np.uint64), other_hashes.to_numpy(np.uint64), bits):
        if (copy := _agreeing(mine, number, others, close)) >= 0:
            yield number, copy


def _agreeing(mine: _Boxes, number: int, others: _Boxes, which: NDArray[np.intp]) -> int:
    """The first of the images `which` with mostly the boxes of image `number`; -1 where there is none."""
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
    agree = np.flatnonzero(of_others + of_mine >= AGREE * total)  # two images without any boxes agree
    return int(which[agree[0]]) if len(agree) else -1


def _boxes(images: pd.DataFrame, labels: pd.DataFrame) -> _Boxes:
    rows = images.reset_index(drop=True)
    place = pd.Series(rows.index, index=rows["image_id"])
    inside = labels[labels["image_id"].isin(place.index)]
    image = place.loc[inside["image_id"]].to_numpy(np.intp)
    order = np.argsort(image, kind="stable")
    size = rows[["width", "height", "width", "height"]].to_numpy(float)[image]
    corners = (inside[CORNERS].to_numpy(float) / size)[order]
    first = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=len(rows)))])
    return _Boxes(first, inside["class_id"].to_numpy(np.int64)[order], corners)


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
