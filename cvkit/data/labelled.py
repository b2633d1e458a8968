"""Labelled images: what was predicted beside what is true, as the statistics of detection want it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.stats.arrays import Floats
from cvkit.stats.quality import boxes, operation
from cvkit.stats.quality.box_matching import Matches, match
from cvkit.stats.quality.boxes import Predictions, Truth

CORNERS = ["x1", "y1", "x2", "y2"]
IOU = 0.5  # overlap from which a predicted box has found a labelled one


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Images that have both labels and predictions, numbered; classes numbered in the order of `classes`."""

    image_ids: NDArray[np.str_]  # (n,)
    truth: Truth
    predictions: Predictions
    classes: tuple[int, ...]  # ids, ascending

    def match(self) -> Matches:
        """Matched as COCO does it."""
        return match(self.truth, self.predictions, images=len(self.image_ids), categories=len(self.classes))


def labelled(images: pd.DataFrame, predictions: pd.DataFrame, labels: pd.DataFrame) -> Labelled:
    """Of `images` (table IMAGES) those with labels and predictions, and their boxes (tables BOXES)."""
    covered = images.loc[images["predicted"] & images["labelled"], "image_id"]
    said, true = (table[table["image_id"].isin(covered)] for table in (predictions, labels))
    classes = sorted({*said["class_id"], *true["class_id"]})
    place = pd.Series(np.arange(len(covered)), index=covered.to_numpy())
    said_at, true_at = (
        (place.loc[table["image_id"]].to_numpy(), np.searchsorted(classes, table["class_id"])) for table in (said, true)
    )
    aside = true["aside"].to_numpy(dtype=str)
    return Labelled(
        covered.to_numpy(dtype=str),
        boxes.truth(*true_at, true[CORNERS].to_numpy(float), crowd=aside == "crowd", ignore=aside != ""),
        boxes.predictions(*said_at, said[CORNERS].to_numpy(float), said["confidence"].to_numpy(float)),
        tuple(map(int, classes)),
    )


def f1_of_images(known: Labelled, confidence: float) -> pd.DataFrame:
    """F1 of each image's boxes of at least `confidence` against its labels: columns image_id and f1.

    2 found / (2 found + false + missed), 0..1, higher is better; 1 where there is nothing to find and nothing was said.
    """
    if not len(known.image_ids):
        return pd.DataFrame({"image_id": pd.Series(dtype="str"), "f1": pd.Series(dtype=float)})
    f1 = f1_by_image(known.match(), confidence) if known.classes else np.ones(len(known.image_ids))
    return pd.DataFrame({"image_id": known.image_ids, "f1": f1})


def f1_by_image(matches: Matches, confidence: float) -> Floats:
    """F1 (images,) as in `f1_of_images`."""
    f1 = operation.per_image(matches, confidence, threshold=IOU).f1
    return np.where(np.isnan(f1), 1.0, f1)
