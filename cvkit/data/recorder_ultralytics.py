"""What an Ultralytics model tells a recorder: its callbacks, and what is in its results."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cvkit.data.recorder_files import Deployed
from cvkit.errors import ConfigError

BOXED = ("detect", "segment", "pose")  # tasks whose results have boxes
BEGIN, END = "on_predict_batch_start", "on_predict_batch_end"  # latency is known at the end only


class Taker(Protocol):
    """What listens: a recorder."""

    @property
    def guard(self) -> AbstractContextManager[None]:
        """Holds what goes wrong."""

    def take(
        self,
        boxes: Any,
        image: Any,
        latency_s: float,
        time: None,
        image_id: str,
        size: tuple[int, int],
        deployed: Deployed,
    ) -> None:
        """Take a frame."""

    def error(self) -> None:
        """Count an error of the model."""


class Attachment:
    """A model and the recorder that listens to it."""

    def __init__(self, model: Any, recorder: Taker, known: Deployed) -> None:
        if model.task not in BOXED:
            raise ConfigError(
                "the recorder records boxes, and this model has none", expected=", ".join(BOXED), found=str(model.task),
                remedy="record models of other tasks when cvkit watches them",
            )  # fmt: skip
        self._model, self._recorder = model, recorder
        weights = str(getattr(model, "ckpt_path", None) or "")
        here = os.path.abspath(weights) if os.path.isfile(weights) else ""  # noqa: PTH100, PTH113
        self._deployed = Deployed(known.model, known.version, dict(known.classes or {}), here)
        self._begun = False
        model.add_callback(BEGIN, self.on_batch_start)
        model.add_callback(END, self.on_batch_end)

    def end(self) -> None:
        """Listen no more."""
        self._note_error()
        for event, callback in ((BEGIN, self.on_batch_start), (END, self.on_batch_end)):
            calls = self._model.callbacks.get(event, [])
            if callback in calls:
                calls.remove(callback)

    def on_batch_start(self, predictor: Any) -> None:
        """A batch that began and never ended was an error of the model."""
        with self._recorder.guard:
            self._note_error()
            self._begun = not predictor.args.embed  # those batches end without a word

    def on_batch_end(self, predictor: Any) -> None:
        """Record the batch."""
        with self._recorder.guard:
            self._begun = False
            paths = predictor.batch[0]
            for place, result in enumerate(predictor.results):
                self._take(predictor, str(paths[place]), result)

    def _note_error(self) -> None:
        if self._begun:
            self._begun = False
            self._recorder.error()

    def _take(self, predictor: Any, path: str, result: Any) -> None:
        if not self._deployed.classes:
            self._deployed.classes = {int(number): str(name) for number, name in result.names.items()}
        height, width = result.orig_shape
        latency = sum(part or 0.0 for part in result.speed.values()) / 1000
        self._recorder.take(
            _boxes(result), result.orig_img, latency, None, _file(predictor, path), (width, height), self._deployed
        )


def _boxes(result: Any) -> np.ndarray[Any, Any] | None:
    """x1, y1, x2, y2, confidence and class; a tracker puts its number between."""
    if result.boxes is None:
        return None
    rows = result.boxes.data.cpu().numpy()
    return np.asarray(rows if rows.shape[1] == 6 else np.delete(rows, 4, axis=1))


def _file(predictor: Any, path: str) -> str:
    """The image file a result is about, absolute; "" for frames of videos and streams, and images in memory."""
    kind = predictor.source_type
    if kind.stream or kind.screenshot or kind.tensor or getattr(predictor.dataset, "mode", "") != "image":
        return ""
    if kind.from_img and not Path(path).is_file():  # Ultralytics calls images in memory image0.jpg, ...
        return ""
    return os.path.abspath(path)  # noqa: PTH100  links stay as they are
