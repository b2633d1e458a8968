"""What a recorder is given: checked, and copied where it may change afterwards."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cvkit.data.recorder_files import BOX, EPOCH, Boxes
from cvkit.errors import ConfigError

LATEST_US = 253_402_300_800_000_000  # the year 10000


def check(given: Mapping[str, Any]) -> None:
    """Raise ConfigError for settings that cannot be."""
    positive = ("flush_s", "file_rows", "queue_bytes")
    other = ("properties_per_s", "frames_per_hour", "frame_bytes_per_day", "confidence", "close_s")
    for name in (*positive, *other):
        value = given[name]
        good = isinstance(value, int | float) and not math.isnan(value) and value >= 0 and (value or name in other)
        if not good:
            raise ConfigError(
                f"a recorder cannot have `{name}` so", expected="a number above 0" if name in positive else "0 or more",
                found=repr(value), remedy="correct it where the recorder is made",
            )  # fmt: skip
    if given["channels"] not in ("bgr", "rgb"):
        raise ConfigError("a recorder knows no such order of colours", expected="bgr or rgb", found=given["channels"])


def rows(boxes: ArrayLike | None) -> Boxes:
    """A copy of boxes as (n, 6), columns BOX. ValueError on any other shape."""
    if boxes is None:
        return np.empty((0, len(BOX)), np.float32)
    told: Any = boxes
    found = np.array(told.cpu() if hasattr(told, "cpu") else told, np.float32)
    if found.size == 0:
        return np.empty((0, len(BOX)), np.float32)
    if found.ndim != 2 or found.shape[1] != 6:
        raise ValueError(f"boxes have six columns: x1, y1, x2, y2, confidence, class; not {found.shape}")
    return found


def pixels(image: Any) -> NDArray[np.uint8] | None:
    """Pixels that can be looked at: grey or three colours of 8 bits; None for anything else."""
    if image is None:
        return None
    found = image if isinstance(image, np.ndarray) else np.asarray(image)
    if found.dtype != np.uint8 or not found.size or found.ndim not in (2, 3):
        return None
    if found.ndim == 3 and found.shape[2] != 3:
        return found[:, :, 0] if found.shape[2] == 1 else found[:, :, :3] if found.shape[2] == 4 else None
    return found


def time_us(time: datetime | float | None) -> int:
    """A time as microseconds since 1970, now where none is given. ValueError on one before that or after 9999."""
    if time is None:
        return clock.time_ns() // 1000
    if isinstance(time, datetime):
        moment = time if time.tzinfo else time.replace(tzinfo=UTC)
        found = (moment - EPOCH) // timedelta(microseconds=1)
    else:
        found = int(time * 1e6)
    if not 0 <= found < LATEST_US:
        raise ValueError(f"a time between 1970 and 9999, not {time!r}")
    return found
