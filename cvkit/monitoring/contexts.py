"""Contexts: the hour, the weekday or another fact of an image within which it is compared with the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import pandas as pd

MINIMUM = 20  # images of the reference that a stretch of hours needs to be told apart from the others
HOURS = (1, 2, 3, 4, 6, 8, 12, 24)  # lengths a stretch may have

Contexts = Callable[[pd.DataFrame], list[str]]  # the context of each row of FEATURES


def learn(reference: pd.DataFrame, match: Sequence[str], time_zone: str) -> Contexts | None:
    """How images are told apart by `match`: hour, weekday, or columns of FEATURES; None where `match` is empty.

    Hours, in `time_zone`, are joined to the shortest stretches that all have at least `MINIMUM` images of the
    reference (rows of FEATURES), or none at all: a plant that is dark at night has no night to be compared with.
    """
    if not match:
        return None
    zone = ZoneInfo(time_zone)
    length = _hours(reference["time"].dt.tz_convert(zone).dt.hour.dropna())

    def tell(features: pd.DataFrame) -> list[str]:
        local = features["time"].dt.tz_convert(zone)
        known = {"hour": local.dt.hour // length, "weekday": local.dt.dayofweek}
        parts = [known[name] if name in known else features[name] for name in match]
        return ["|".join(map(str, row)) for row in zip(*parts, strict=True)]

    return tell


def _hours(hours: pd.Series) -> int:
    for length in HOURS:
        counts = (hours // length).value_counts()
        if len(counts) and counts.min() >= MINIMUM:
            return length
    return HOURS[-1]
