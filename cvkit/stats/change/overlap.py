"""Overlap: how much two boxes have in common."""

from __future__ import annotations

import numpy as np

from cvkit.stats.arrays import Floats
from cvkit.stats.quality.boxes import Booleans, box_areas


def iou(one: Floats, other: Floats, crowd: Booleans | None = None) -> Floats:
    """Intersection over union of each pair of boxes, row by row.

    i / (a + b - i), with i the area in common; against a crowd i / a: the share of the box that lies in it. `one` and
    `other` (n, 4) corners x1, y1, x2, y2 in pixels, `crowd` (n,) whether `other` is one. Returns (n,) from 0 (nothing
    in common, or no area) to 1 (equal); symmetric where there is no crowd. NaN corners give 0. Equal to pycocotools.

    Source: maskApi.c of pycocotools (bbIou).

    >>> iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2]])).round(3).tolist()
    [0.333]
    """
    return iou_of_areas(one, box_areas(one), other, box_areas(other), crowd)


def iou_of_areas(one: Floats, area: Floats, other: Floats, other_area: Floats, crowd: Booleans | None = None) -> Floats:
    """`iou` where the boxes' areas (n,) are known already."""
    width = np.minimum(one[:, 2], other[:, 2]) - np.maximum(one[:, 0], other[:, 0])
    height = np.minimum(one[:, 3], other[:, 3]) - np.maximum(one[:, 1], other[:, 1])
    common = width * height
    union = area + other_area - common
    if crowd is not None:
        union = np.where(crowd, area, union)
    real = (width > 0) & (height > 0) & (union > 0)
    return np.asarray(np.divide(common, union, out=np.zeros(common.shape), where=real))
