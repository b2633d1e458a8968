"""What the model says of each class: boxes per image, and how sure it is of them, against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.stats import intervals
from cvkit.tables import bounds_of

Row = dict[str, Any]  # one row of MEASUREMENTS
MOST_CLASSES = 20  # that are measured each for itself: those with most boxes in the reference, then in the window


ByImage = tuple[pd.DataFrame, pd.DataFrame]  # boxes, and their mean confidence: a row an image, a column a class


def measure(now: ByImage, then: ByImage, chunks: NDArray[np.intp] | None, names: Mapping[int, str]) -> Iterator[Row]:
    """Rows of MEASUREMENTS, class_boxes and class_confidence, of one source.

    `now`, `then`: see `by_image`, of the window and of the reference, whose images `chunks` says which of its windows
    they are from. Boxes are counted on all images, 0 where there are none; confidence is that of images with some.
    """
    totals = pd.DataFrame({"then": then[0].sum(), "now": now[0].sum()}).fillna(0)
    ordered = totals.sort_values(["then", "now"], ascending=False, kind="stable")
    for class_id in ordered.index[:MOST_CLASSES]:
        about = {"class_name": names.get(int(class_id), str(class_id)), "metric": "mean"}
        for place, (feature, nothing) in enumerate((("class_boxes", 0.0), ("class_confidence", np.nan))):
            values, usual = (_column(part[place], class_id, nothing) for part in (now, then))
            n, n_reference = (int(np.count_nonzero(~np.isnan(numbers))) for numbers in (values, usual))
            told = intervals.compare_means(values, usual, chunks, bounds_of(feature))
            yield {**about, "feature": feature, "n": n, "n_reference": n_reference} | told


def by_image(predictions: pd.DataFrame, images: pd.Series) -> ByImage:
    """Of each of `images` (ids) and each class the number of boxes, and their mean confidence."""
    mine = predictions[predictions["image_id"].isin(images)]
    grouped = mine.groupby(["image_id", "class_id"])["confidence"]
    boxes, confidence = grouped.size().unstack(fill_value=0), grouped.mean().unstack()
    return boxes.reindex(images, fill_value=0), confidence.reindex(images)


def _column(part: pd.DataFrame, class_id: Any, nothing: float) -> NDArray[np.float64]:
    return np.asarray(part[class_id] if class_id in part else np.full(len(part), nothing), float)
