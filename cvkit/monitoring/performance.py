"""Performance: how good the model is on the images that have labels, with how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cvkit.data.labelled import IOU, Labelled, f1_by_image, labelled
from cvkit.data.records import Records
from cvkit.monitoring import labels
from cvkit.monitoring.reference import Reference
from cvkit.stats import dependence, resampling
from cvkit.stats.arrays import Floats
from cvkit.stats.quality import detection, operation
from cvkit.stats.quality.box_matching import Matches
from cvkit.tables import VERDICTS, conform

METRICS = ("ap", "ap50", "precision", "recall", "f1")
REPLICATES = 200  # tells a standard error to 5 %
NOTHING = (np.nan, np.nan, np.nan)


def measure(
    known: Labelled, confidence: float, weights: ArrayLike | None = None
) -> dict[str, tuple[float, float, float]]:
    """Value, low and high of each of `METRICS`, 0..1, higher is better, by name.

    "ap" and "ap50" are COCO's, of the predictions as they were deployed: cut at the deployed confidence they lie below
    those of a model that is asked for everything. "precision", "recall" and "f1" as `at_confidence` tells them.
    `weights` (images,): how many images each speaks for, 1 each where None. Intervals of 95 % over other images like
    these, of the value for very many of them (`cvkit.stats.resampling`); images stand in the order of time, and as many
    neighbours as are alike count as one. NaN where nothing tells, low and high with fewer than 30 images that are
    independent.
    """
    if not len(known.image_ids) or not known.classes:
        return dict.fromkeys(METRICS, NOTHING)
    matches = known.match()
    counts = detection.tally(matches)
    averages = _told(
        lambda rows: detection.summary(detection.accumulate(counts, rows))[:, :2], matches, confidence, weights
    )
    return {**dict(zip(METRICS, averages, strict=False)), **at_confidence(matches, confidence, weights)}


def at_confidence(
    matches: Matches, confidence: float, weights: ArrayLike | None = None
) -> dict[str, tuple[float, float, float]]:
    """Value, low and high of precision, recall and F1 of all classes together, at `confidence` and an IoU of .5.

    `weights`, intervals and NaN as `measure`; quick enough to follow a slider.
    """
    told = operation.per_image(matches, confidence, threshold=IOU)
    counts = np.column_stack([told.found, told.false, told.missed]).astype(float)

    def metric(rows: Floats) -> Floats:
        found, false, missed = (rows @ counts).T
        wholes = (found + false, found + missed, found + (false + missed) / 2)
        return np.column_stack([operation.ratio(found, whole) for whole in wholes])

    return dict(zip(METRICS[2:], _told(metric, matches, confidence, weights), strict=True))


def _told(
    metric: resampling.Metric, matches: Matches, confidence: float, weights: ArrayLike | None
) -> list[tuple[float, float, float]]:
    share = resampling.weights_of(matches.images, weights)
    share = share / share.mean()
    alike = dependence.blocks(f1_by_image(matches, confidence), np.zeros(matches.images))
    told = resampling.interval(
        lambda rows: metric(rows * share), matches.images, groups=alike, replicates=REPLICATES, bounds=(0.0, 1.0)
    )
    return list(zip(told.estimate.tolist(), told.low.tolist(), told.high.tolist(), strict=True))


def verdicts(judged: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    """What labels say of each source, of all verdicts on a window (table VERDICTS); unknown where they say nothing.

    `measurements`: table MEASUREMENTS of the window.
    """
    told = judged[judged["feature"] == "f1"]
    silent = sorted(set(judged["source"]) - set(told["source"]))
    unlike = labels.unlike(measurements).groupby("source")["feature"].agg(lambda names: ", ".join(names.head(3)))
    few = "too few of its images have labels yet"
    rows = [
        {"source": one, "rule": "drift", "feature": "f1", "state": "unknown",
         "reason": f"its labelled images are unlike its others ({unlike[one]})" if one in unlike else few}
        for one in silent
    ]  # fmt: skip
    return conform(pd.concat([told, pd.DataFrame(rows)]), VERDICTS)


def of_source(
    source: str,
    records: Records,
    features: pd.DataFrame,
    reference: Reference,
    confidence: float,
    weights: pd.Series,
) -> Iterator[dict[str, Any]]:
    """Rows of MEASUREMENTS about the labels of a source and what they tell; none where no image has any.

    `weights`: sampling weights by image_id of the images that a plan drew.
    """
    images = records.images[records.images["source"] == source]
    if not images["labelled"].any():
        return
    share = labels.counted(images, weights)
    known = labelled(images[images["image_id"].isin(share.index)], records.predictions, records.labels)
    here = {"source": source, "feature": "performance", "n": len(known.image_ids)}
    if here["n"]:
        usual, here["n_reference"] = _usual(reference, source, confidence)
        told = measure(known, confidence, share.loc[known.image_ids.tolist()])
        for name, (value, low, high) in told.items():
            yield {**here, "metric": name, "value": value, "low": low, "high": high, "expected": usual[name][0]}
    about = labels.rows(images, features[features["source"] == source], weights)
    yield from ({**row, "source": source} for row in about)


def _usual(reference: Reference, source: str, confidence: float) -> tuple[dict[str, tuple[float, float, float]], int]:
    """What the reference's labels tell of a source, and of how many images; worked out once."""
    part = reference.part(source)
    if ("performance", part) not in reference.prepared:
        own = reference.images[reference.images["source"] == part] if part is not None else reference.images[:0]
        then = labelled(own, reference.predictions, reference.labels)
        reference.prepared["performance", part] = measure(then, confidence), len(then.image_ids)
    found: tuple[dict[str, tuple[float, float, float]], int] = reference.prepared["performance", part]
    return found
