"""Contexts: the hour, the weekday or another fact of an image within which it is compared with the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pandas as pd

from cvkit.data.embeddings import matrix
from cvkit.data.features import copies
from cvkit.stats.change import matching
from cvkit.stats.change.matching import Matching
from cvkit.stats.change.projection import unit
from cvkit.tables import WATCHED

MINIMUM = 20  # images of the reference that a stretch of hours needs to be told apart from the others
HOURS = (1, 2, 3, 4, 6, 8, 12, 24)  # lengths a stretch may have

Tell = Callable[[pd.DataFrame], list[str]]  # the context of each row of FEATURES


@dataclass(frozen=True, slots=True, eq=False)
class Contexts:
    """How images are told apart, and what is usual in each context: made by `learn`."""

    tell: Tell
    numbers: Matching  # of WATCHED
    embedding: Matching


def learn(reference: pd.DataFrame, embeddings: pd.DataFrame, match: Sequence[str], time_zone: str) -> Contexts | None:
    """What is usual in each context of some reference images (table FEATURES); None where `match` is empty.

    `match`: hour, weekday, or columns of FEATURES. Copies of one image count once, damaged ones not at all.
    """
    if not match:
        return None
    good = reference[reference["damage"].isin(["", "truncated"]) & ~copies(reference)]
    told = teller(good, match, time_zone)
    cells = told(good)
    numbers = matching.learn(good[list(WATCHED)].to_numpy(float), cells)
    return Contexts(told, numbers, matching.learn(unit(matrix(embeddings, good["image_id"])), cells, scaled=False))


def teller(reference: pd.DataFrame, match: Sequence[str], time_zone: str) -> Tell:
    """How images are told apart by `match`.

    Hours, in `time_zone`, are joined to the shortest stretches that all have at least `MINIMUM` images of the
    reference (rows of FEATURES), or none at all: a plant that is dark at night has no night to be compared with.
    """
    zone = ZoneInfo(time_zone)
    length = _hours(reference["time"].dt.tz_convert(zone).dt.hour.dropna())

    def tell(features: pd.DataFrame) -> list[str]:
        local = features["time"].dt.tz_convert(zone)
        known = {"hour": local.dt.hour // length, "weekday": local.dt.dayofweek}
        parts = [known[name] if name in known else features[name] for name in match]
        return ["|".join(map(str, row)) for row in zip(*parts, strict=True)]

    return tell


def ordinary(
    contexts: Contexts, features: pd.DataFrame, embeddings: pd.DataFrame, *, own: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and embeddings of images as they would be in an ordinary context; NaN in one that is not known.

    `own`: they are those of the reference itself (`cvkit.stats.change.matching.adjust`).
    """
    cells = contexts.tell(features)
    numbers = matching.adjust(contexts.numbers, features[list(WATCHED)].to_numpy(float), cells, own=own)
    rows = matching.adjust(contexts.embedding, unit(matrix(embeddings, features["image_id"])), cells, own=own)
    return (
        features.assign(**dict(zip(WATCHED, numbers.T, strict=True))),
        pd.DataFrame({"image_id": features["image_id"], "embedding": list(rows)}),
    )


def _hours(hours: pd.Series) -> int:
    for length in HOURS:
        counts = (hours // length).value_counts()
        if len(counts) and counts.min() >= MINIMUM:
            return length
    return HOURS[-1]
