"""Exemplars: the few images and features of a window that are worth a person's look."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from datetime import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.data.embeddings import matrix
from cvkit.data.features import copies
from cvkit.data.records import of_source
from cvkit.monitoring import anomalies
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import ordinary
from cvkit.monitoring.slices import image_quality
from cvkit.stats.change.projection import unit
from cvkit.tables import FEATURE_UNITS

# Findings that a look at the picture shows or explains, the plainest first.
VISIBLE = (
    "unreadable", "empty_file", "truncated", "frozen", "exact_duplicate", "near_duplicate", "strange", "blurred",
    "too_dark", "too_bright", "noisy", "low_information", "wrong_size", "wrong_mode", "wrong_format", "unknown_class",
    "box_outside", "bad_box",
)  # fmt: skip
REPEATED = ("frozen", "exact_duplicate", "near_duplicate")
NOON = time(12)
COLUMNS = ("image_id", "path", "caption", "boxes")  # boxes: (n, 4), corners of the predicted ones in pixels


def only(observation: Observation, source: str) -> Observation:
    """What `observation` holds about one source; all of it where `source` is "".

    A source of which nothing is known gives empty tables, as one that sent nothing does.
    """
    if not source:
        return observation
    return dataclasses.replace(
        observation,
        records=of_source(observation.records, source),
        features=_of(observation.features, source),
        anomalies=_of(observation.anomalies, source),
        findings=_of(observation.findings, source),
        measurements=_of(observation.measurements, source),
        verdicts=_of(observation.verdicts, source),
    )


def worst_images(observation: Observation, *, most: int = 9, copies: int = 2) -> pd.DataFrame:
    """At most `most` images with findings, of every source and finding by turns.

    Those furthest beyond their limit come first, then the earliest. One row per image, whatever it has of findings;
    of images found for being alike, `copies` of a source.
    """
    findings = observation.findings[observation.findings["finding"].isin(VISIBLE)]
    about = findings.merge(_with_pixels(observation.records.images), on="image_id")
    if about.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    about["rank"] = about["finding"].map(VISIBLE.index)
    about["excess"] = (about["value"] - about["limit"]).abs().fillna(0.0)
    about = about.sort_values(["excess", "time", "image_id"], ascending=[False, True, True])
    about["turn"] = about.groupby(["source", "finding"]).cumcount()
    by_turns = about.sort_values(["turn", "rank", "source"], kind="stable")
    alike = by_turns["finding"].isin(REPEATED) & (by_turns["turn"] >= copies)
    surplus = by_turns.loc[alike, "image_id"]
    chosen = by_turns[~by_turns["image_id"].isin(surplus)].drop_duplicates("image_id").head(most)
    in_order = about[about["image_id"].isin(chosen["image_id"])].sort_values("rank", kind="stable")
    words = {str(key): _finding_words(part) for key, part in in_order.groupby("image_id")}
    captions = [f"{whence(row)}\n{words[str(row.image_id)]}" for row in chosen.itertuples()]
    return _with_boxes(chosen.assign(caption=captions), observation.records.predictions)


def most_moved(
    observation: Observation, features: Collection[str] = tuple(FEATURE_UNITS), *, most: int = 4
) -> list[tuple[str, str]]:
    """Pairs (feature, source) whose values lie furthest from the reference's, in reference standard deviations.

    Those a rule calls warning or critical come first; then every source's furthest feature, before any second one.
    Only features that are numbers of images: the class mix has no distance.
    """
    rows = observation.measurements
    rows = rows[(rows["metric"] == "wasserstein") & rows["feature"].isin(list(features))].dropna(subset="effect")
    verdicts = observation.verdicts
    drift = verdicts[(verdicts["rule"] == "drift") & verdicts["state"].isin(["warning", "critical"])]
    flagged = set(zip(drift["source"], drift["feature"], strict=True))
    pairs = list(zip(rows["source"], rows["feature"], strict=True))
    rows = rows.assign(
        calm=[pair not in flagged for pair in pairs],
        place=rows.groupby("source")["effect"].rank(ascending=False, method="first"),
    ).sort_values(["calm", "place", "effect"], ascending=[True, True, False], kind="stable")
    return list(zip(rows["feature"].head(most), rows["source"].head(most), strict=True))


def samples(observation: Observation, feature: str, source: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values of `feature` of readable images: the reference's and the window's, NaN where there is none.

    Of the embedding each image's distance from the reference's mean, of unit vectors; no values without embeddings.
    """
    expected, current = _reference_part(observation, source), _readable(_of(observation.features, source))
    if feature != "embedding":
        return expected[feature].to_numpy(), current[feature].to_numpy()
    then = unit(matrix(observation.reference.embeddings, expected["image_id"]))
    now = unit(matrix(observation.embeddings, current["image_id"]))
    if not then.size or then.shape[1] != now.shape[1]:
        return np.empty(0), np.empty(0)
    centre = np.nanmean(then, axis=0)
    return np.linalg.norm(then - centre, axis=1), np.linalg.norm(now - centre, axis=1)


def predictions(observation: Observation, source: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The predicted boxes (table BOXES) of one source: the reference's and the window's."""
    expected, current = _reference_part(observation, source), _of(observation.features, source)
    then, now = observation.reference.predictions, observation.records.predictions
    return then[then["image_id"].isin(expected["image_id"])], now[now["image_id"].isin(current["image_id"])]


def moved_images(observation: Observation, feature: str, source: str, *, most: int = 3) -> pd.DataFrame:
    """The window's images that lie furthest from the reference's mean of `feature`, on the side it moved to.

    Each as it would be in an ordinary context, where there are contexts to match. Copies of one image are shown once,
    damaged ones not at all. No rows where window or reference have no values.
    """
    usual, _ = ordinary(observation.reference, observation.features, observation.embeddings)
    expected = _reference_part(observation, source)[feature].mean()
    current = _of(observation.features, source).assign(usual=usual[feature])
    current = current[(current["damage"] == "") & ~copies(current)].dropna(subset="usual")
    side = np.sign(current["usual"].mean() - expected) or 1.0
    far = current.assign(distance=side * (current["usual"] - expected)).dropna(subset="distance")
    shown = far.merge(_with_pixels(observation.records.images), on="image_id")
    chosen = shown.sort_values(["distance", "image_id"], ascending=[False, True]).head(most)
    numbers = chosen[feature]
    captions = [
        f"{whence(row)}\n{_name(feature)} {value:.3g}" for row, value in zip(chosen.itertuples(), numbers, strict=True)
    ]
    return _with_boxes(chosen.assign(caption=captions), observation.records.predictions)


def typical_image(observation: Observation, feature: str, source: str) -> pd.DataFrame:
    """The reference image whose `feature` is nearest the median: what is normal to look at.

    No row where the reference has no values, or its file is gone since it was measured.
    """
    expected = _reference_part(observation, source).dropna(subset=feature)
    far = (expected[feature] - expected[feature].median()).abs()
    nearest = expected.assign(far=far).sort_values(["far", "image_id"]).head(1)
    captions = [f"reference, typical\n{_name(feature)} {value:.3g}" for value in nearest[feature]]
    found = nearest.assign(caption=captions).merge(observation.reference.images[["image_id", "path"]], on="image_id")
    there = [Path(path).is_file() for path in found["path"]]
    return _with_boxes(found[there], observation.reference.predictions)


def strangest(observation: Observation, *, most: int = 6) -> pd.DataFrame:
    """The window's strangest images, each followed by the reference image that is most like it, where it is there."""
    judged = observation.anomalies.dropna(subset=["score", "usual"])
    judged = judged[judged["image_id"].isin(_with_pixels(observation.records.images)["image_id"])]
    judged = judged.assign(times=judged["score"] / judged["usual"])
    chosen = judged.sort_values(["p_value", "times", "image_id"], ascending=[True, False, True]).head(most)
    captions = [
        f"{row['image_id']}\nflagged from {row['flagged_from']:.1%} on, {row['times']:.1f} times the usual"
        f"\n{row['reason']}"
        for row in chosen.to_dict("records")
    ]
    chosen = chosen.assign(caption=captions)
    return _joined([_with_nearest(observation, str(name), part) for name, part in chosen.groupby("source", sort=False)])


def most_mistaken(observation: Observation, *, most: int = 4, best: bool = False) -> pd.DataFrame:
    """The window's images of the lowest F1 against their labels, each with what was said, then with what is true.

    Of equal ones those with most boxes wrong; `best`: of the highest F1, those with most objects. No rows where no
    image has both labels and predictions.
    """
    records, quality = observation.records, image_quality(observation)
    quality = quality.assign(wrong=quality["false"] + quality["missed"])
    ties = "objects" if best else "wrong"
    quality = quality.sort_values(["f1", ties, "image_id"], ascending=[not best, False, True])
    chosen = quality.merge(_with_pixels(records.images), on="image_id").head(most)
    told = [("said", records.predictions), ("true", records.labels[records.labels["aside"] == ""])]
    parts = []
    for row in chosen.to_dict("records"):
        one = chosen[chosen["image_id"] == row["image_id"]]
        for word, boxes in told:
            counts = boxes.loc[boxes["image_id"] == row["image_id"], "class_id"].value_counts(sort=False).sort_index()
            kinds = [f"{count} {records.classes.get(int(kind), kind)}" for kind, count in counts.items()]
            caption = f"{row['image_id']}\n{word}: {', '.join(kinds) or 'nothing'}; F1 {row['f1']:.2f}"
            parts.append(_with_boxes(one.assign(caption=caption), boxes))
    return _joined(parts)


def moved_beside_nearest(observation: Observation, pairs: list[tuple[str, str]], *, each: int = 2) -> pd.DataFrame:
    """For each pair (feature, source) the `each` images that moved most, each beside the reference image most like it.

    That is what the same scene looked like when the model was accepted.
    """
    return _joined(
        [
            _with_nearest(observation, source, moved_images(observation, feature, source, most=each))
            for feature, source in pairs
        ]
    )


def _with_nearest(observation: Observation, source: str, shown: pd.DataFrame) -> pd.DataFrame:
    """Images of a source (`image_id`, `caption`), each followed by the reference image most like it."""
    records, reference = observation.records, observation.reference
    like = anomalies.nearest(shown["image_id"], source, observation.features, observation.embeddings, reference)
    now = shown[["image_id", "caption"]].assign(place=np.arange(len(shown)))
    then = now.assign(image_id=like, caption="reference, nearest", place=now["place"] + 0.5)
    sides = [(now, records.images, records.predictions), (then, reference.images, reference.predictions)]
    rows = [
        _with_boxes(wanted.merge(_with_pixels(images), on="image_id"), predicted, "place")
        for wanted, images, predicted in sides
    ]
    return _joined(rows).sort_values("place", ignore_index=True)[list(COLUMNS)] if any(map(len, rows)) else _joined([])


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(COLUMNS))


def gallery(observation: Observation, pairs: list[tuple[str, str]], *, columns: int = 3) -> pd.DataFrame:
    """For each pair (feature, source) a row of `columns` images: a typical one of the reference, then the furthest."""
    parts = []
    for feature, source in pairs:
        normal = typical_image(observation, feature, source)
        parts += [normal, moved_images(observation, feature, source, most=columns - len(normal))]
    return _joined(parts)


def most_mixed(observation: Observation) -> str:
    """The source whose predicted classes differ most from the reference's (total variation); "" without boxes."""
    distances = {}
    for source in sorted(set(observation.features["source"])):
        then, now = (part["class_id"].value_counts(normalize=True) for part in predictions(observation, source))
        if len(then) and len(now):
            distances[source] = float(then.sub(now, fill_value=0.0).abs().sum()) / 2
    return max(distances, key=lambda source: distances[source], default="")


def _with_pixels(images: pd.DataFrame) -> pd.DataFrame:
    """Images of which there is a file to look at: recorded frames need not be kept."""
    return images.loc[images["path"] != "", ["image_id", "path"]]


def _of(table: pd.DataFrame, source: str) -> pd.DataFrame:
    return table[table["source"] == source]


def _with_boxes(chosen: pd.DataFrame, predicted: pd.DataFrame, *more: str) -> pd.DataFrame:
    """`chosen` with the corners of its boxes: columns COLUMNS, and `more` of its own."""
    here = predicted[predicted["image_id"].isin(chosen["image_id"])]
    corners = here[["x1", "y1", "x2", "y2"]].to_numpy(float)
    rows = here.groupby("image_id").indices
    found = [corners[rows.get(image_id, [])] for image_id in chosen["image_id"]]
    boxes = pd.Series(found, index=chosen.index, dtype=object)
    return chosen.assign(boxes=boxes)[[*COLUMNS, *more]].reset_index(drop=True)


def _readable(features: pd.DataFrame) -> pd.DataFrame:
    return features[features["damage"].isin(["", "truncated"])]


def _reference_part(observation: Observation, source: str) -> pd.DataFrame:
    part = observation.reference.part(source)
    known = observation.reference.features
    return _readable(_of(known, part)) if part is not None else known.iloc[:0]


def whence(row: Any) -> str:
    """Where an image comes from, of a row with `source` and `time`: its source and moment, in words."""
    source, moment = getattr(row, "source", ""), getattr(row, "time", pd.NaT)
    if pd.isna(moment):
        return f"{source or '(no source)'}, no time"
    known = "%d %b" if moment.time() == NOON else "%d %b %H:%M"  # where a path tells no more than the day
    return f"{source or '(no source)'}, {moment:{known}}"


def _finding_words(findings: pd.DataFrame, most: int = 2) -> str:
    rows = findings.drop_duplicates("finding")
    words = [
        _name(finding) + (f" {value:.3g}, limit {limit:.3g}" if np.isfinite([value, limit]).all() else "")
        for finding, value, limit in zip(rows["finding"], rows["value"], rows["limit"], strict=True)
    ]
    return "\n".join(words[:most]) + (f"\nand {len(words) - most} more" if len(words) > most else "")


def _name(word: str) -> str:
    return word.replace("_", " ")
