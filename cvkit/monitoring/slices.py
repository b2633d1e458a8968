"""Slices: where the model is worse than elsewhere, such as on dark images or small objects, and on both together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.data.labelled import IOU, Labelled, labelled
from cvkit.monitoring import labels
from cvkit.monitoring.monitor import Observation
from cvkit.stats import dependence
from cvkit.stats.arrays import Floats
from cvkit.stats.quality import operation, slices
from cvkit.stats.quality.operation import ratio
from cvkit.tables import PROPERTIES, SLICES, conform, empty

SIZES = ((0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, np.inf))  # COCO's, square pixels
SIZE_NAMES = ("small", "medium", "large")
CONDITIONS = ("source", "hours", "size", "mode", "file_format", *PROPERTIES, "objects")
COLUMNS = ("class", *CONDITIONS)  # what boxes are cut by, where nobody says
BINS = 4  # parts of equal size that numbers are cut into, at most
MOST_VALUES = 1000  # of words: more are names, not kinds
WORSE = 0.05  # by which a slice has to be worse to be worth a person's time
SURE = 0.05  # level of the accusation, corrected over all slices
AND = " and "  # between the words of two slices

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the boxes: what it is cut by, in words, and which it holds."""

    by: tuple[str, ...]
    words: str
    inside: Mask  # (boxes,)
    of: tuple[str, ...] = ()  # of a pair, the words of its two


def image_quality(observation: Observation) -> pd.DataFrame:
    """One row per image with labels and predictions: how good the model was on it, beside all that is known of it.

    objects (labelled), found, false, missed boxes; f1, iou of what was found (0..1, higher is better; f1 is 1 where
    there is nothing to find and nothing was said), lrp (0..1, lower is better); weight, how many images it
    speaks for (`labels.counted`; NaN where a plan asked for others); then the columns of FEATURES. Worst first.
    """
    records, settings = observation.records, observation.confidence
    known = labelled(records.images, records.predictions, records.labels)
    told = operation.per_image(known.match(), settings, threshold=IOU) if known.classes else None
    counts = ("found", "false", "missed")
    columns = {name: getattr(told, name) if told else 0 for name in counts}
    columns |= {name: getattr(told, name) if told else np.nan for name in ("iou", "lrp")}
    table = pd.DataFrame({"image_id": known.image_ids, **columns})
    table.insert(1, "objects", table["found"] + table["missed"])
    table = table.merge(observation.features, on="image_id", how="left")
    nothing = table[list(counts)].sum(axis=1) == 0
    table["f1"] = np.where(nothing, 1.0, ratio(2 * table["found"], table["objects"] + table["found"] + table["false"]))
    table["weight"] = table["image_id"].map(_weights(observation))
    return table.sort_values(["f1", "image_id"], ignore_index=True)


def counted(observation: Observation) -> tuple[Labelled, Floats]:
    """The labelled images that may be taken for all of their source's, and how many images each speaks for (n,)."""
    records, weights = observation.records, _weights(observation)
    known = labelled(
        records.images[records.images["image_id"].isin(weights.index)], records.predictions, records.labels
    )
    return known, weights.loc[known.image_ids.tolist()].to_numpy(float)


def _weights(observation: Observation) -> pd.Series:
    """How many images each labelled image that counts speaks for, by image_id."""
    by_source = observation.records.images.groupby("source")
    parts = [labels.counted(part, observation.weights) for _, part in by_source]
    return pd.concat(parts) if parts else pd.Series(dtype=float)


def boxes(observation: Observation, quality: pd.DataFrame) -> pd.DataFrame:
    """One row per box that was found, false or missed on the images of `quality` that have a weight (`image_quality`).

    labelled, predicted: a found box is both; class and size (small, medium, large) as labelled, of a false one as
    predicted; hours of the day, in the cameras' zone; then the columns of `quality`, yours too if you joined some.
    """
    records, quality = observation.records, quality.dropna(subset="weight")
    known = labelled(
        records.images[records.images["image_id"].isin(quality["image_id"])], records.predictions, records.labels
    )
    if not known.classes:
        return pd.DataFrame(columns=["labelled", "predicted", "class", "size", "hours", *quality.columns])
    told = operation.boxes_by_outcome(known.match(), observation.confidence, threshold=IOU)
    names = np.array([records.classes.get(number, str(number)) for number in known.classes], dtype=object)
    edges = [high for _, high in SIZES[:-1]]
    table = pd.DataFrame(
        {
            "image_id": known.image_ids[told.image],
            "labelled": told.labelled,
            "predicted": told.predicted,
            "class": names[told.category],
            "size": np.array(SIZE_NAMES, dtype=object)[np.searchsorted(edges, told.area, side="right")],
        }
    )
    joined = table.merge(quality, on="image_id", how="left")
    return joined.assign(hours=hours(joined["time"], observation.reference.time_zone))


def by(told: pd.DataFrame, columns: Iterable[str] = COLUMNS, *, pairs: bool = False, bins: int = BINS) -> pd.DataFrame:
    """Quality inside each slice beside all others, of boxes as `boxes` gives them (table SLICES); the least f1 first.

    `columns` of words are cut by word, of numbers into `bins` parts of about as many images; `pairs`: every two
    slices of different columns together as well. p_value is corrected over all rows (`cvkit.stats.quality.slices`).
    """
    table = _table(told, _all_parts(told, columns, bins, pairs))
    return table.sort_values(["f1", "slice"], kind="stable", ignore_index=True)


def weakest(
    told: pd.DataFrame, columns: Iterable[str] = COLUMNS, *, most: int = 5, worse: float = WORSE
) -> pd.DataFrame:
    """The slices, and pairs of slices, that are surely worse than all others by at least `worse` (table SLICES).

    Those that cost most boxes come first: (rest - f1) times boxes. A pair is left out where it is not worse than each
    of its two by `worse` as well, and a slice half of whose mistakes are in slices before it.
    """
    parts = _all_parts(told, columns, BINS, pairs=True)
    table = _table(told, parts)
    alone = {part.words: f1 for part, f1 in zip(parts, table["f1"], strict=True) if len(part.by) == 1}
    halves = [min((alone[word] for word in part.of), default=np.inf) for part in parts]
    gap = table["rest"] - table["f1"]
    sure = table[(table["p_value"] <= SURE) & (gap >= worse) & (table["f1"] <= np.subtract(halves, worse))]
    mistaken, explained = ~(told["labelled"] & told["predicted"]).to_numpy(bool), np.zeros(len(told), dtype=bool)
    chosen: list[int] = []
    for row in (gap * table["boxes"])[sure.index].sort_values(ascending=False, kind="stable").index:
        mistakes = parts[row].inside & mistaken
        if len(chosen) < most and 2 * np.count_nonzero(mistakes & explained) < np.count_nonzero(mistakes):
            chosen.append(row)
            explained |= mistakes
    return table.loc[chosen].reset_index(drop=True)


def inside(told: pd.DataFrame, words: str, columns: Iterable[str] = COLUMNS) -> pd.DataFrame:
    """The rows of `told` in a slice, or pair of slices, that `by` or `weakest` names so; none where there is none."""
    alone = {part.words: part.inside for part in _all_parts(told, columns, BINS, pairs=False)}
    if words in alone:
        return told[alone[words]]
    halves = ((one, words.removeprefix(f"{one}{AND}")) for one in alone if words.startswith(f"{one}{AND}"))
    return told[next((alone[one] & alone[two] for one, two in halves if two in alone), np.zeros(len(told), dtype=bool))]


def _table(told: pd.DataFrame, parts: Sequence[Part]) -> pd.DataFrame:
    """Table SLICES in the order of `parts`."""
    if not parts:
        return empty(SLICES)
    members = np.array([part.inside for part in parts])
    true, said = (told[name].to_numpy(bool) for name in ("labelled", "predicted"))
    image = pd.factorize(told["image_id"])[0]
    weight = told["weight"].to_numpy(float)
    f1 = slices.compare(2 * weight * (true & said), weight * (1.0 * true + said), members, _groups(told))
    found, labelled, predicted = (members @ (weight * flags) for flags in (true & said, true, said))
    columns = {
        "by": [", ".join(part.by) for part in parts], "slice": [part.words for part in parts],
        "images": [np.unique(image[row]).size for row in members], "boxes": members.sum(axis=1),
        "recall": ratio(found, labelled), "precision": ratio(found, predicted),
        "f1": f1.value, "low": f1.low, "high": f1.high, "rest": f1.rest, "p_value": f1.p_value,
    }  # fmt: skip
    return conform(pd.DataFrame(columns), SLICES)


def _all_parts(told: pd.DataFrame, columns: Iterable[str], bins: int, pairs: bool) -> list[Part]:
    parts = list(_parts(told, columns, bins))
    return parts + (list(_pairs(parts, told["image_id"])) if pairs else [])


def _groups(told: pd.DataFrame) -> NDArray[np.intp]:
    """A number for the images that count as one, for each box: neighbours of a source that are alike."""
    images = told.drop_duplicates("image_id").sort_values(["source", "time", "image_id"])
    number = dependence.blocks(images["f1"], images["source"])
    return pd.Series(number, index=images["image_id"]).loc[told["image_id"]].to_numpy()


def _parts(told: pd.DataFrame, columns: Iterable[str], bins: int) -> Iterator[Part]:
    for name in columns:
        if name not in told or told[name].isna().all():
            continue
        column = told[name]
        numbers = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        made = _bins(told, name, bins) if numbers else _kinds(column, name)
        yield from made if len(made) > 1 else []


def _kinds(column: pd.Series, name: str) -> list[Part]:
    values = sorted(column.dropna().astype(str).unique())
    words = column.astype(str).to_numpy()
    return [Part((name,), f"{name} {value}", words == value) for value in values] if len(values) <= MOST_VALUES else []


def _bins(told: pd.DataFrame, name: str, bins: int) -> list[Part]:
    """Parts between quantiles over images; fewer where images are few, or many have one value."""
    values = told[name].to_numpy(float)
    images = told.drop_duplicates("image_id")[name].dropna().to_numpy(float)
    bins = min(bins, max(2, images.size // slices.MINIMUM))
    cuts = np.unique(np.quantile(images, np.arange(1, bins) / bins))
    cuts = cuts[(cuts > images.min()) & (cuts <= images.max())]
    place = np.where(np.isnan(values), -1, np.searchsorted(cuts, values, side="right"))
    shown = [f"{cut:.3g}" for cut in cuts]
    words = [f"{name} below {shown[0]}"] if len(cuts) else []
    words += [f"{name} {low} to {high}" for low, high in itertools.pairwise(shown)]
    words += [f"{name} from {shown[-1]}"] if len(cuts) else []
    return [Part((name,), text, place == number) for number, text in enumerate(words)]


def _pairs(parts: Sequence[Part], images: pd.Series) -> Iterator[Part]:
    """Every two parts of different columns that have enough images together."""
    image = pd.factorize(images)[0]
    parts = [part for part in parts if np.unique(image[part.inside]).size >= slices.MINIMUM]
    for one, other in itertools.combinations(parts, 2):
        inside = one.inside & other.inside
        if one.by != other.by and np.unique(image[inside]).size >= slices.MINIMUM:
            yield Part((*one.by, *other.by), f"{one.words}{AND}{other.words}", inside, (one.words, other.words))


def hours(times: pd.Series, time_zone: str, length: int = 6) -> pd.Series:
    """Stretches of the day of each time; NaN where paths tell no more than the day: then all images have one clock."""
    local = times.dt.tz_convert(time_zone)
    if local.dt.time.nunique() < 2:
        return pd.Series(np.nan, index=times.index)
    first = local.dt.hour // length * length
    words = first.map(lambda hour: f"{int(hour):02d}-{int(hour) + length:02d}", na_action="ignore")
    return pd.Series(words, index=times.index, dtype="object")
