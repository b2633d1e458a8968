"""Records: what one stretch of production, or the reference, consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Records:
    """Images and what was said about them, read once and checked once.

    Every row of `images` is usable as a record; what could not be used stands in `findings`, never nowhere.
    """

    images: pd.DataFrame  # tables.IMAGES, sorted by source, time, image_id
    predictions: pd.DataFrame  # tables.BOXES with confidence
    labels: pd.DataFrame  # tables.BOXES, confidence NaN
    findings: pd.DataFrame  # tables.FINDINGS
    classes: dict[int, str]  # names the model knows, by class id; empty where nobody said
    # What is known of images whose pixels are gone, or were measured when they passed: image_id, and as `ImageFacts`.
    known: pd.DataFrame | None = None
    # By id of an image that ends each process which decodes it for the model: how, in words.
    lost: Mapping[str, str] = field(default_factory=dict)


def of_source(records: Records, source: str) -> Records:
    """What `records` holds about one source; empty tables where it sent nothing."""
    images = records.images[records.images["source"] == source]
    predictions, labels = (
        boxes[boxes["image_id"].isin(images["image_id"])] for boxes in (records.predictions, records.labels)
    )
    findings = records.findings[records.findings["source"] == source]
    return replace(records, images=images, predictions=predictions, labels=labels, findings=findings)
