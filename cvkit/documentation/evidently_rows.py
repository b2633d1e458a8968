"""The rows that Evidently gets: distinct readable images of a window and of its reference, sampled evenly over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from cvkit.errors import DataError
from cvkit.monitoring.monitor import Observation
from cvkit.tables import PREDICTION_FEATURES, PROPERTIES

ROWS = 10_000  # most rows of either side: Evidently's time grows with them, its page hardly does
CATEGORIES = ("source", "mode", "file_format")
NAME_LENGTH = 60  # characters of a category's value that are shown


@dataclass(frozen=True, slots=True)
class Sides:
    """The rows Evidently gets: those of the window and those of the reference, with the same columns."""

    current: pd.DataFrame  # indexed by time, where known
    reference: pd.DataFrame  # indexed by the start of each image's chunk of time, where known
    numeric: tuple[str, ...]
    categories: tuple[str, ...]
    left_out: dict[str, str]  # column -> why it is not compared
    n: int  # distinct readable images of the window, of which `current` holds a sample
    n_reference: int


def sides(observation: Observation, source: str, rows: int, ignore: Sequence[str] = ()) -> Sides:
    """Both sides with the columns that can be compared; see `cvkit.documentation.evidently.datasets`."""
    if rows < 1:
        raise ValueError(f"a sample has at least one row, not {rows}")
    current, reference = _images(observation.features, source), _known(observation, source)
    _check_images(current, reference, observation, source)
    now, then = (_numbers(_evenly(side, rows)) for side in (current, reference))
    left_out = {name: "the rules ignore it" for name in ignore if name in (*PROPERTIES, *PREDICTION_FEATURES)}
    for name in (*PROPERTIES, *PREDICTION_FEATURES):
        for side, words in ((now, "window"), (then, "reference")):
            if side[name].isna().all():
                left_out.setdefault(name, f"no value in the {words}")
            elif not _has_bins(side[name]):
                left_out.setdefault(name, f"values too close or too far apart for a histogram in the {words}")
    for name in CATEGORIES:
        if {"", *now[name]} == {"", *then[name]} and now[name].nunique() == 1:
            left_out[name] = "the same on both sides"
        elif (now[name] == "").all() or (then[name] == "").all():
            left_out[name] = "one side does not tell"
    numeric = tuple(name for name in (*PROPERTIES, *PREDICTION_FEATURES) if name not in left_out)
    categories = tuple(name for name in CATEGORIES if name not in left_out)
    if not numeric and not categories:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise _nothing("no feature can be compared with the reference", observation, source, reasons)
    timed = ("time",) if now["time"].notna().all() and then["time"].notna().all() else ()
    columns = ["image_id", *timed, *numeric, *categories]
    length = observation.window.end - observation.window.start
    return Sides(
        now.set_index(_index(now["time"]))[columns], then.set_index(_index(then["time"], length))[columns],
        numeric, categories, left_out, len(current), len(reference),
    )  # fmt: skip


def _check_images(current: pd.DataFrame, reference: pd.DataFrame, observation: Observation, source: str) -> None:
    for side, words in ((current, "window"), (reference, "reference")):
        if side.empty:
            raise _nothing(f"the {words} has no readable image to compare", observation, source, "0 images")


def _nothing(problem: str, observation: Observation, source: str, found: str) -> DataError:
    return DataError(
        f"{problem}, so Evidently's report was not written",
        where=place(observation, source), found=found,
        remedy="look at the window's findings and verdicts: they say what is missing",
    )  # fmt: skip


def place(observation: Observation, source: str) -> str:
    """Which window, for an error."""
    return f"window {observation.window}" + (f", source {source}" if source else "")


def _images(features: pd.DataFrame, source: str) -> pd.DataFrame:
    """Readable images, each content once a source: what cvkit measures drift on."""
    mine = features[features["source"] == source] if source else features
    readable = mine[mine["damage"].isin(["", "truncated"])]
    return readable[~(readable.duplicated(["source", "content"]) & (readable["content"] != ""))]


def _known(observation: Observation, source: str) -> pd.DataFrame:
    """The reference's images that `source` is compared with."""
    reference = observation.reference
    part = reference.part(source) if source else ""
    return reference.features[:0] if part is None else _images(reference.features, part)


def _evenly(frame: pd.DataFrame, rows: int, seed: int = 0) -> pd.DataFrame:
    """At most `rows` rows in order of time: one drawn from each of as many stretches of equal size."""
    ordered = frame.sort_values(["time", "image_id"])
    if len(ordered) <= rows:
        return ordered
    ends = np.linspace(0, len(ordered), rows + 1).astype(int)
    return ordered.iloc[np.random.default_rng(seed).integers(ends[:-1], ends[1:])]


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns as Evidently takes them: no infinities, times without zone, no `<` that could end its page's script."""
    features = [*PROPERTIES, *PREDICTION_FEATURES]
    plain = frame[["image_id", "time", *features, *CATEGORIES]].reset_index(drop=True)
    plain[features] = plain[features].replace([np.inf, -np.inf], np.nan)
    plain["time"] = plain["time"].dt.tz_convert("UTC").dt.tz_localize(None)
    for name in ("image_id", *CATEGORIES):
        plain[name] = plain[name].astype(object).str.replace("<", "\u2039")
    for name in CATEGORIES:
        plain[name] = plain[name].str.slice(0, NAME_LENGTH)
    return plain


def _has_bins(values: pd.Series) -> bool:
    """Whether there can be a histogram, which Evidently needs: not of values that differ by a rounding error."""
    try:
        np.histogram(values.dropna().to_numpy())
    except ValueError:
        return False
    return True


def _index(times: pd.Series, chunk: timedelta | None = None) -> pd.Index:
    """Times, rounded down to the start of their chunk; numbers where a time is missing."""
    if times.isna().any():
        return pd.RangeIndex(len(times))
    return pd.DatetimeIndex(times if chunk is None else times.dt.floor(chunk), name="time of image")
