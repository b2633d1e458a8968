"""Which frames a recorder keeps: some of every hour, the least sure ones and the odd ones, within a budget.

A frame is chosen or not at the moment it passes, as its pixels are gone afterwards. Time is cut into slots, one frame
each for a third of the hour's budget. `uniform` is the first frame after a random moment of its slot: a fair sample of
time. `uncertain` and `odd` are the first frame of their slot that is at least as extreme as the most extreme frame of a
usual slot, the median of the last ones.
"""

from __future__ import annotations

import math
import os
import random
import statistics
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cvkit.storage import replacing

KINDS = ("uniform", "uncertain", "odd")
REMEMBERED = 5  # slots, whose most extreme frames say what is usual
LEARNT_FROM = 20  # looks before any can be odd
FORGETTING = 0.02  # weight of a new look in the running mean
ODD_FROM = 4.0  # standard deviations
EVERY = 8  # of the pixels on a row: the score needs no more
JPEG_QUALITY = 90

Picture = NDArray[np.uint8]


@dataclass(slots=True)
class _Slots:
    """One kind's slots of time: whether this one has its frame, and how extreme the last ones became."""

    ends: float = 0.0
    open: bool = False
    most: float = -math.inf
    past: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    limit: float = math.inf

    def turn(self, now: float, length: float) -> None:
        """Begin a new slot."""
        if math.isfinite(self.most):
            self.past.append(self.most)
            self.limit = statistics.median(self.past)
        self.ends, self.open, self.most = now + length, True, -math.inf

    def take(self, score: float, fewest: float = -math.inf) -> bool:
        """Whether a frame of this score is the slot's."""
        if score > self.most:
            self.most = score
        if self.open and score >= self.limit and score >= fewest:
            self.open = False
            return True
        return False


class Chooser:
    """Chooses frames of one source, `per_hour` an hour at most; `cut` is the confidence the model cuts at."""

    def __init__(self, per_hour: float, cut: float, seed: int | None = None) -> None:
        self._length = 3600 * len(KINDS) / per_hour if per_hour > 0 else math.inf
        self._chooses = per_hour > 0
        self._cut = cut
        self._random = random.Random(seed)  # noqa: S311  a sample, no secret
        self._uniform, self._uncertain, self._odd = _Slots(), _Slots(), _Slots()
        self._moment = 0.0
        self._seen = 0
        self._mean, self._variance = np.zeros(0), np.zeros(0)

    def choose(self, now: float, confidence: NDArray[np.float32], strips: Picture | None) -> str:
        """Why to keep the frame that passes at `now` (seconds of a steady clock): one of KINDS, or "" for not at all.

        `confidence` (n,) of its boxes; `strips` of its pixels where they were looked at: without, it is never odd.
        """
        if not self._chooses:
            return ""
        if now >= self._uniform.ends:
            self._turn(now)
        odd = strips is not None and self._odd.take(self._oddness(strips), ODD_FROM)
        unsure = len(confidence) > 0 and self._uncertain.take(self._doubt(confidence))
        if self._uniform.open and now >= self._moment:
            self._uniform.open = False
            return "uniform"
        return "odd" if odd else "uncertain" if unsure else ""

    def _turn(self, now: float) -> None:
        self._moment = now + self._random.random() * self._length
        for slots in (self._uniform, self._uncertain, self._odd):
            slots.turn(now, self._length)
        if not self._odd.past:
            self._odd.limit = ODD_FROM  # what is odd at all is known before a slot has passed

    def _doubt(self, confidence: NDArray[np.float32]) -> float:
        """0 for a sure frame, 1 for one with a box right at the cut: the least sure box counts."""
        nearest = float(np.fmin.reduce(np.abs(confidence - self._cut)))
        return 1 - nearest / max(self._cut, 1 - self._cut) if math.isfinite(nearest) else -math.inf

    def _oddness(self, strips: Picture) -> float:
        """Standard deviations of the strips' level and contrast from their running mean, the largest of them."""
        look = np.concatenate(cv2.meanStdDev(np.ascontiguousarray(strips[1::3, ::EVERY]))).ravel()
        if self._seen and look.shape == self._mean.shape:
            away = look - self._mean
            score = float(np.max(np.abs(away) / np.sqrt(self._variance + 1)))  # a grey level at least is no oddity
            weight = max(FORGETTING, 1 / (self._seen + 1))
            self._mean += weight * away
            self._variance += weight * (away**2 - self._variance)
            self._seen += 1
            return score if self._seen > LEARNT_FROM else -math.inf
        self._seen, self._mean, self._variance = 1, look, np.zeros_like(look)
        return -math.inf


def encode(picture: Picture) -> bytes:
    """A picture (rows, columns[, 3]) as JPEG: grey, or BGR."""
    grey = picture.ndim == 2
    pixels = np.ascontiguousarray(picture[:, :, np.newaxis] if grey else picture)
    colours = {"colorspace": "GRAY", "colorsubsampling": "Gray"} if grey else {"colorspace": "BGR"}
    return bytes(simplejpeg.encode_jpeg(pixels, quality=JPEG_QUALITY, **colours))


def write(path: Path, content: bytes, per_hour: float, bytes_a_day: int) -> bool:
    """Write a kept frame, unless the budget of its source is spent; whether it was written.

    Files are named by their time and lie in a folder of one source and day, whatever process wrote them: so the budget
    is that of the source, but for frames that two processes write at the same moment. Raises StorageError.
    """
    hour, in_hour, size = path.name[:2], 0, 0
    if path.parent.is_dir():
        with os.scandir(path.parent) as entries:
            for entry in entries:
                in_hour += entry.name.startswith(hour)
                size += entry.stat().st_size
    if in_hour >= per_hour or size + len(content) > bytes_a_day:
        return False
    with replacing(path) as part:
        part.write_bytes(content)
    return True
