"""When and how to retrain: the section `retraining`."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field

from cvkit.config.values import Section

Action = Literal[
    "keep", "repair the data", "label first", "recalibrate", "retrain incrementally", "retrain fully", "roll back"
]
Harm = Literal["none", "unknown", "likely", "shown"]
DriftKind = Literal["none", "gradual", "drastic"]
ACTIONS: tuple[Action, ...] = get_args(Action)


# Without warm-up, which begins with a tenth as the biases' learning rate and would undo what the champion knows.
INCREMENTAL: dict[str, Any] = {
    "epochs": 8, "freeze": 10, "lr0": 0.001, "optimizer": "AdamW", "warmup_epochs": 0.0, "mosaic": 0.0,
}  # fmt: skip
FULL: dict[str, Any] = {"epochs": 60, "lr0": 0.01, "optimizer": "SGD"}


class RetrainingSettings(Section):
    """Keeping the model up to date."""

    old: str = Field("", description="data.yaml with what the model was trained on; empty: that of `reference`.")
    old_split: str = Field("train", description="Its split.")
    test_share: float = Field(
        0.3, gt=0, lt=1, description="Share of the labelled production images that only test, by source and day."
    )
    neighbours_s: float = Field(
        60.0, ge=0, description="Seconds within which frames of one source count as copies of a test image."
    )
    near_bits: int = Field(4, ge=0, le=16, description="Bits of the 64-bit dHash that near copies may differ in.")
    replay: float = Field(1.0, ge=0, le=20, description="Old images for each new one in incremental training.")
    unknown_classes: Literal["refuse", "leave out"] = Field(
        "refuse", description="What to do about production images with labels of classes the model does not know."
    )
    minimum_labels: int = Field(50, ge=2, description="Labelled images of production that a training needs.")
    cooldown_days: float = Field(7.0, ge=0, description="Days after an update in which no other is decided.")
    every_days: float = Field(0.0, ge=0, description="Full training at least this often; 0: only when it is due.")
    margin: float = Field(0.02, gt=0, lt=1, description="How much worse a protected part may be, in F1.")
    gain: float = Field(0.0, ge=0, lt=1, description="What has to be gained on new images, in F1.")
    slower: float = Field(1.25, ge=1, description="Times the champion's latency that a challenger may take.")
    promote: Literal["ask", "yes", "no"] = Field("ask", description="What `cvkit retrain` does with one that passed.")
    start: str = Field("", description="Weights that full training begins with; empty: the first champion's.")
    incremental: dict[str, Any] = Field(
        INCREMENTAL, description="Arguments of Ultralytics' train; these hold where others are given."
    )
    full: dict[str, Any] = Field(FULL, description="The same for training on everything.")
