"""The words: windows, and the columns of every table that travels through cvkit.

A table is a pandas DataFrame with exactly the columns named here. `conform` puts a frame into that shape and is
called where tables are made, so that everything downstream can rely on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TIME = "datetime64[us, UTC]"

# --8<-- [start:tables]
# One row per image the model saw. `image_id` is the path below the workspace (or the reference's folder), with `/`.
# `time` is NaT and `width`, `height` are NaN where the file does not tell. `predicted`, `labelled`: whether
# predictions and labels cover this image; an image without boxes can be covered.
IMAGES: Mapping[str, str] = {
    "image_id": "str",
    "path": "str",
    "source": "str",
    "time": TIME,
    "width": "float64",  # pixels, after EXIF rotation
    "height": "float64",  # pixels
    "bytes": "int64",
    "modified_ns": "int64",
    "predicted": "bool",
    "labelled": "bool",
    "label_time": TIME,  # when the file with its labels was last changed; NaT without, and in data sets
}

# One row per box, predicted or labelled. Corners in pixels, x to the right, y down, of the image after EXIF rotation.
BOXES: Mapping[str, str] = {
    "image_id": "str",
    "class_id": "int64",
    "confidence": "float64",  # 0..1; NaN for labels
    "x1": "float64",
    "y1": "float64",
    "x2": "float64",
    "y2": "float64",
    # Of labels: "crowd" (COCO's iscrowd) or "ignore" (VOC's difficult): neither finding nor missing it counts.
    "aside": "str",
}

# One row per thing that is wrong with an image or with what was written about it.
FINDINGS: Mapping[str, str] = {
    "image_id": "str",  # or the file or line that is wrong, where no image is known
    "source": "str",
    "time": TIME,
    "finding": "str",  # a key of FINDING_WORDS
    "value": "float64",  # what was measured, NaN where there is no number
    "limit": "float64",  # what it was held against
    "detail": "str",  # words for a person: what was expected, what was found
}

FINDING_WORDS: Mapping[str, str] = {
    "unreadable": "the file cannot be decoded as an image",
    "empty_file": "the file has no bytes",
    "truncated": "part of the picture is missing or damaged",
    "wrong_format": "the content is not what the file name says",
    "wrong_mode": "the colour mode differs from the reference's",
    "wrong_size": "the width and height differ from the reference's",
    "too_dark": "darker than the reference's images",
    "too_bright": "brighter than the reference's images",
    "blurred": "less sharp than the reference's images",
    "low_information": "less detail than the reference's images",
    "noisy": "noisier than the reference's images",
    "exact_duplicate": "the same bytes as an earlier image of the window",
    "strange": "unlike any image of the reference",
    "near_duplicate": "looks the same as an earlier image of the window",
    "frozen": "part of a run of unchanging frames",
    "gap": "no image for longer than the reference's longest pause",
    "no_time": "no usable time for this image",
    "missing_prediction": "no prediction for this image",
    "missing_image": "a prediction or label for an image that does not exist",
    "bad_record": "a line or entry that cannot be read",
    "bad_box": "a box with NaN, no area, or corners the wrong way round",
    "box_outside": "a box that reaches out of its image",
    "bad_confidence": "a confidence that is missing or not between 0 and 1",
    "unknown_class": "a class the model does not know",
    "conflicting_labels": "two label files for one image",
}

# Per-image numbers from pixels, with the unit each is in.
PROPERTIES: Mapping[str, str] = {
    "brightness": "grey level, 0-255",
    "contrast": "grey levels, standard deviation",
    "saturation": "0-1",
    "colourfulness": "Hasler-Suesstrunk M3",
    "entropy": "bits per pixel",
    "sharpness": "log10 variance of the Laplacian",
    "noise": "grey levels, standard deviation",
}

# Per-image numbers from predictions.
PREDICTION_FEATURES: Mapping[str, str] = {
    "boxes": "boxes per image",
    "confidence": "mean confidence, 0-1",
    "box_area": "mean share of the image, 0-1",
    "box_aspect": "mean log2 of width over height",
    "box_x": "mean centre, 0 left - 1 right",
    "box_y": "mean centre, 0 top - 1 bottom",
}

# Per-image numbers from labels.
LABEL_FEATURES: Mapping[str, str] = {"f1": "F1 against labels, mean of images, 0-1"}

OWN = "own"  # the feature under which numbers of people's own stand in the history

NUMBERS = (*PROPERTIES, *PREDICTION_FEATURES)  # what every image has
WATCHED = (*NUMBERS, *LABEL_FEATURES)

# Findings that are not about an image of the window: counted, as they are no share of its images.
COUNTED_FINDINGS = ("gap", "missing_image", "bad_record")

FEATURE_UNITS: Mapping[str, str] = {
    **PROPERTIES,
    **PREDICTION_FEATURES,
    **LABEL_FEATURES,
    "class_mix": "share of boxes by class",
    "embedding": "distance from the reference's mean, unit embeddings",
}

# Least and greatest value there can be.
SHARES = frozenset({"saturation", "confidence", "box_area", "box_x", "box_y", "f1", "class_confidence"})
UNBOUNDED = frozenset({"sharpness", "box_aspect"})  # logarithms


def bounds_of(feature: str) -> tuple[float, float]:
    """The least and greatest value of a feature of one image.

    >>> bounds_of("brightness"), bounds_of("boxes"), bounds_of("f1"), bounds_of("sharpness")
    ((0.0, 255.0), (0.0, inf), (0.0, 1.0), (-inf, inf))
    """
    greatest = 1.0 if feature in SHARES else 255.0 if feature == "brightness" else math.inf
    return (-math.inf if feature in UNBOUNDED else 0.0), greatest


# One row per image: what `data.features` adds to the image record.
FEATURES: Mapping[str, str] = {
    "image_id": "str",
    "source": "str",
    "time": TIME,
    "content": "str",  # hash of the file's bytes
    "dhash": "uint64",  # perceptual hash of 64 bits
    "mode": "str",  # L, RGB, RGBA, ...: what the file holds
    "file_format": "str",  # JPEG, PNG, ...: what the file is, whatever its name says
    "damage": "str",  # "", or the finding that kept the pixels from being read
    "damage_detail": "str",
    "width": "float64",
    "height": "float64",
    **dict.fromkeys(PROPERTIES, "float64"),
    **dict.fromkeys(PREDICTION_FEATURES, "float64"),
    **dict.fromkeys(LABEL_FEATURES, "float64"),
}

# One row per readable image: how strange it is beside the reference's. Higher scores are stranger.
ANOMALIES: Mapping[str, str] = {
    "image_id": "str",
    "source": "str",
    "time": TIME,
    "told_by": "str",  # what the score was made from: properties, embedding; what is strangest first
    "score": "float64",  # standard deviations, roughly; NaN where window or reference have too few images
    "usual": "float64",  # score that few normal images exceed; no image below it is flagged; NaN where none can be
    "p_value": "float64",  # conformal
    "flagged_from": "float64",  # least share of false flags at which it is flagged; above 1 never
    "flagged": "bool",
    "unknown": "str",  # why no image of its source can be flagged, "" where they can
    "reason": "str",
}

# One row per number about one window. `effect` is the size that rules look at, in the unit the metric names.
MEASUREMENTS: Mapping[str, str] = {
    "source": "str",
    # A feature, a finding, "images" for the amount of data, "performance" by labels, "estimate", of one class
    # class_boxes (boxes per image) and class_confidence, or "own" for a number of yours, whose name is the metric.
    "feature": "str",
    # mean, ks, psi, wasserstein, jensen_shannon, chi_square, embedding_shift; share, count; of the performance ap,
    # ap50, precision, recall, f1, and about labels coverage (share of images that have them), lag (median hours, low
    # and high the shortest and longest), weighted (share of them that a plan drew), returned
    # (share of the images that plans asked for which have labels now); selection: whether images with
    # labels are like the others (mean rank, .5 alike). Of the estimate without labels ap, precision and recall: low and
    # high are a 90 % band there, and NaN is unknown
    "metric": "str",
    "class_name": "str",  # of class_boxes and class_confidence, "" else
    "value": "float64",
    "low": "float64",  # 95 % interval of value, NaN where there is none
    "high": "float64",
    "expected": "float64",  # the reference's value
    "expected_low": "float64",  # where value falls in 95 % of healthy windows of this size
    "expected_high": "float64",
    "effect": "float64",
    "p_value": "float64",
    "p_adjusted": "float64",  # Holm over features x sources of the window
    "n": "int64",
    "n_reference": "int64",
}

# One row per rule, feature and source of a window.
VERDICTS: Mapping[str, str] = {
    "source": "str",
    "rule": "str",  # drift, quality, data
    "feature": "str",
    "state": "str",
    "reason": "str",
}

# One row per alert rule, source and window that it can judge.
LOOKS: Mapping[str, str] = {
    "rule": "str",
    "source": "str",
    "window_start": TIME,
    "window_end": TIME,
    "breached": "bool",  # whether the condition was met
    "severity": "str",  # info, warning, critical: of an alert, if one comes of it
    "feature": "str",  # what told most
    "class_name": "str",
    "value": "float64",  # these as in MEASUREMENTS
    "low": "float64",
    "high": "float64",
    "expected": "float64",
    "expected_low": "float64",
    "expected_high": "float64",
    "n": "int64",
    "reason": "str",  # of the verdict; "" of a number
}

# One row per part of the labelled and predicted boxes of some images: how good the model is there.
SLICES: Mapping[str, str] = {
    "by": "str",  # what it is cut by: a column, or two
    "slice": "str",  # in words
    "images": "int64",
    "boxes": "int64",  # found, false and missed ones
    "recall": "float64",  # 0..1, higher is better, at the deployed confidence
    "precision": "float64",
    "f1": "float64",
    "low": "float64",  # 95 % interval of f1; NaN with fewer than 20 images that are independent
    "high": "float64",
    "rest": "float64",  # f1 of all other boxes
    "p_value": "float64",  # of being no worse than these, corrected over all rows; NaN as low
}

# One row per image that a label plan could have asked for, asked for or not.
LABEL_PLAN: Mapping[str, str] = {
    "image_id": "str",
    "source": "str",
    "time": TIME,
    "stratum": "int64",  # images alike in what is expected of them; no two sources share one, but in small budgets
    "score": "float64",  # F1 that its predictions lead to expect, 0..1; NaN where nothing tells
    "spread": "float64",  # standard deviation of F1 about it; NaN where the reference has no labels to learn it from
    "probability": "float64",  # of being asked for, 0..1; NaN of images picked by hand
    "drawn": "bool",  # asked for
    "weight": "float64",  # 1 / probability of those that are: the images it speaks for; NaN of all others
    "reason": "str",  # words for a person
    "file": "str",  # name in the exported folder, "" of those not asked for
}

# One row per image of a data set for training: what is in it, and where it came from.
MANIFEST: Mapping[str, str] = {
    "file": "str",  # below the data set's folder
    "image_id": "str",
    "origin": "str",  # production, or replay: of what the model was trained on before
    "source": "str",
    "time": TIME,  # NaT where nothing tells it
    "moment": TIME,  # the same, NaT too where only the day is known
    "width": "float64",  # pixels
    "height": "float64",
    "content": "str",  # as in FEATURES
    "dhash": "uint64",
    "split": "str",  # train, val
    "stratum": "str",  # of replayed images: class / source / difficulty that they were drawn for
    "boxes": "int64",
}

# One row per labelled image that training does without.
LEFT_OUT: Mapping[str, str] = {
    "image_id": "str",
    "origin": "str",  # as in MANIFEST
    "source": "str",
    "reason": "str",
    "other": "str",  # the image it is a copy or neighbour of, "" where that is not the reason
}

# --8<-- [end:tables]

STATES = ("ok", "unknown", "warning", "critical")  # in rising order of attention
SIGNS: Mapping[str, str] = {"ok": "●", "unknown": "?", "warning": "▲", "critical": "■"}  # so that no colour is needed


def worst(states: list[str]) -> str:
    """The state of a whole made of parts: the one that asks for most attention; unknown where there is no part.

    >>> worst(["ok", "critical", "unknown"]), worst([])
    ('critical', 'unknown')
    """
    return max(states, key=STATES.index, default="unknown")


def worst_by(verdicts: pd.DataFrame, *columns: str) -> dict[Any, str]:
    """The worst state of the verdicts that have the same values in `columns`, by value or tuple of values, in order."""
    ranks = verdicts["state"].map(STATES.index).groupby([verdicts[name] for name in columns]).max()
    return {values: STATES[rank] for values, rank in ranks.items()}


def conform(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """`frame` with exactly `columns`, in order and of their types; columns it lacks are filled with the type's nothing.

    Raises KeyError on a column that `columns` does not name: a misspelt name must not vanish silently.
    """
    import pandas as pd

    if unknown := [name for name in frame.columns if name not in columns]:
        raise KeyError(f"columns {unknown} are not in the table; it has {list(columns)}")
    nothing = {"str": "", "bool": False, "int64": 0, "uint64": 0, "float64": float("nan"), TIME: pd.NaT}
    series = {}
    for name, dtype in columns.items():
        column = frame[name] if name in frame else pd.Series(nothing[dtype], index=frame.index)
        if column.dtype != dtype:
            column = (pd.to_datetime(column, utc=True) if dtype == TIME else column).astype(dtype)  # type: ignore[call-overload]
        series[name] = column
    return pd.DataFrame(series, index=frame.index).reset_index(drop=True)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """As `frame.to_dict("records")`, in a fraction of its time.

    >>> import pandas as pd
    >>> records(pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}))
    [{'a': 'x', 'b': 1}, {'a': 'y', 'b': 2}]
    """
    names = [str(name) for name in frame.columns]
    columns = (frame[name].to_numpy(object) if frame[name].dtype == "str" else frame[name] for name in frame.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)]


def empty(columns: Mapping[str, str]) -> pd.DataFrame:
    """A table without rows."""
    import pandas as pd

    return conform(pd.DataFrame(), columns)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open interval of time `[start, end)` in UTC.

    >>> Window.day("2026-11-21").label
    '2026-11-21'
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs times with a zone")
        if self.end <= self.start:
            raise ValueError(f"a window needs an end after its start, not {self.start} to {self.end}")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))

    @classmethod
    def day(cls, text: str) -> Window:
        """The day `text` (ISO, e.g. 2026-11-21) in UTC."""
        return cls.between(text, hours=24)

    @classmethod
    def between(cls, start: str, end: str = "", hours: float = 24) -> Window:
        """From `start` to `end`, both ISO; UTC where they name no zone. Without `end`, `hours` long."""
        first = _utc(start)
        return cls(first, _utc(end) if end else first + timedelta(hours=hours))

    @property
    def label(self) -> str:
        """A short name, safe in file names and addresses: the day, or start and length where it is not one."""
        if self.start.time() == datetime.min.time() and self.end - self.start == timedelta(days=1):
            return f"{self.start:%Y-%m-%d}"
        hours = (self.end - self.start).total_seconds() / 3600
        return f"{self.start:%Y-%m-%dT%H%M}-{hours:g}h"

    def __str__(self) -> str:
        return self.label


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
