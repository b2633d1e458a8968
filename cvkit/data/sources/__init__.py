"""Where images, predictions and labels come from: the only place that knows file formats."""

from cvkit.data.sources.captures import (
    capture_dates,
    check_any,
    clock,
    image_count,
    images_pattern,
    labels_state,
    load_captures,
    source_names,
)
from cvkit.data.sources.classes import class_names, dataset_kind
from cvkit.data.sources.datasets import load_reference

__all__ = [
    "capture_dates",
    "check_any",
    "class_names",
    "clock",
    "dataset_kind",
    "image_count",
    "images_pattern",
    "labels_state",
    "load_captures",
    "load_reference",
    "source_names",
]
