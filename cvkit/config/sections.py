"""The sections of `cvkit.yml`, alerts apart."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from cvkit.config.values import Cron, Ignored, Matched, Names, Section, Share, TimeZone


class ModelSettings(Section):
    """The deployed model."""

    name: str = Field("model", min_length=1, description="What people call the model.")
    task: Literal["detect"] = Field("detect", description="What it does; object detection so far.")
    weights: str = Field("", description="Ultralytics checkpoint; predicts where captures have no predictions.")
    classes: Names = Field((), description="Class names by id, where there are no weights to read them from.")
    image_size: int = Field(640, ge=32, le=8192, description="Longer side the model is run at, pixels.")
    confidence: Share = Field(0.25, description="Confidence the deployed model cuts at.")
    batch: int = Field(16, ge=1, description="Images predicted at once.")
    embeddings: bool = Field(True, description="Watch the model's embeddings too; needs weights.")
    estimate_images: int = Field(
        100,
        ge=0,
        description="Labelled reference images to learn from how to estimate performance without labels; 0: none.",
    )
    device: str = Field("", description="'cpu', '0', ...; empty: a GPU where there is one.")


class CaptureSettings(Section):
    """What production took: images, and what was said about them."""

    images: str = Field(
        "captures/{source}/{date}/*.jpg",
        min_length=1,
        description="Where images lie; {source}, {date} and {time} are read from the path.",
    )
    time_from: Literal["path", "exif", "file"] = Field("path", description="Where an image's time is taken from.")
    time_zone: TimeZone = Field("UTC", description="Zone of times that name none.")
    predictions: str = Field("", description="Pattern of prediction files (.parquet, .jsonl, .txt); empty: none.")
    labels: str = Field("", description="Pattern of label files (YOLO .txt, COCO .json, VOC .xml); empty: none yet.")
    records: str = Field("recorded", description="Folder of what a cvkit.Recorder recorded; empty: none is read.")
    label_classes: Names = Field(
        (), description="Class names as YOLO labels number them, where that is not as the model does."
    )


class ReferenceSettings(Section):
    """The sample the model was accepted on: a labelled data set, or a stretch of captures."""

    data: str = Field("", description="data.yaml, COCO .json, a VOC folder or a folder per class.")
    split: str = Field("val", description="Split of data.yaml.")
    images: str = Field(
        "", description="Pattern on the images' paths that tells {source}, {date}, {time}; may be empty."
    )
    predictions: str = Field(
        "", description="Pattern of prediction files on `data` (.parquet, .jsonl, .txt); empty: none, or the weights'."
    )
    match: Matched = Field(
        (), description="Compare like with like: hour, weekday, mode, file_format, width, height; empty: all with all."
    )
    independent: bool = Field(
        False, description="Without times: that no two images are neighbours, such as frames of one day."
    )
    start: date | None = Field(None, description="First day of captures to use, where there is no data.")
    end: date | None = Field(None, description="First day not used any more.")

    @model_validator(mode="after")
    def _one_kind(self) -> ReferenceSettings:
        if bool(self.data) == bool(self.start and self.end):
            raise ValueError("give either `data`, or `start` and `end` of a stretch of captures")
        if self.start and self.end and self.end <= self.start:
            raise ValueError("`end` has to lie after `start`")
        if self.predictions and not self.data:
            raise ValueError("a stretch of captures has its predictions from captures.predictions")
        return self


class RuleSettings(Section):
    """When a window is a warning, critical, or unknown."""

    false_alarms_per_year: float = Field(
        1.0, gt=0, description="False alarms a year accepted over all features and sources together."
    )
    drift_share: float = Field(
        0.9, gt=0, lt=1, description="Share of these for drift; the rest is for findings that chance plays a part in."
    )
    false_flags: float = Field(
        0.1, gt=0, lt=1, description="Share of the images flagged as strange that may be false flags."
    )
    minimum_images: int = Field(20, ge=2, description="A source with fewer images in a window is unknown.")
    drift_warning: float = Field(0.3, gt=0, description="Drift that matters, in reference standard deviations.")
    drift_critical: float = Field(0.8, gt=0, description="Drift that is critical, in reference standard deviations.")
    quality_warning: Share = Field(0.05, description="Share of bad images that matters, beyond the reference's.")
    quality_critical: Share = Field(0.25, description="Share of bad images that is critical, beyond the reference's.")
    ignore: Ignored = Field((), description="Features and findings no rule looks at.")

    @model_validator(mode="after")
    def _in_order(self) -> RuleSettings:
        if self.drift_critical < self.drift_warning or self.quality_critical < self.quality_warning:
            raise ValueError("a critical limit must not lie below its warning limit")
        return self


class JobSettings(Section):
    """One notebook run on a schedule."""

    notebook: str = Field(min_length=1, description="Name of a notebook in the workspace's `notebooks/`.")
    cron: Cron = Field("30 6 * * *", description="When: minute, hour, day of month, month, day of week.")
    time_zone: TimeZone = Field("UTC", description="Zone the cron expression is read in.")
    source: str = Field("", description="Only this source; empty: all.")
    attempts: int = Field(3, ge=1, le=10, description="Tries before a slot counts as failed.")
    timeout_s: int = Field(1800, ge=1, description="Seconds one run of the notebook may take.")


class SiteSettings(Section):
    """The site."""

    keep_days: int = Field(
        400,
        ge=0,
        description="Days after which a report leaves the site, but for those that alerts, decisions or pages link to; "
        "0: never. Its file stays.",
    )
