"""Performance: how good the model is on the images that have labels, with how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cvkit.data.labelled import Labelled
from cvkit.stats import detection, operation, resampling
from cvkit.stats.arrays import Floats
from cvkit.tables import VERDICTS, conform

METRICS = ("ap", "ap50", "precision", "recall", "f1")
REPLICATES = 200  # tells a standard error to 5 %


def measure(known: Labelled, confidence: float) -> dict[str, tuple[float, float, float]]:
    """Value, low and high of each of `METRICS`, 0..1, higher is better, by name.

    "ap" and "ap50" are COCO's, of the predictions as they were deployed: cut at the deployed confidence they lie below
    those of a model that is asked for everything. "precision", "recall" and "f1" of all classes together, at
    `confidence` and an IoU of .5. Intervals of 95 % over other images like these, of the value for very many of them
    (`cvkit.stats.resampling`); images count as independent. NaN where nothing tells, low and high with fewer than 30
    images.
    """
    images = len(known.image_ids)
    if not images or not known.classes:
        return dict.fromkeys(METRICS, (np.nan, np.nan, np.nan))
    matches = known.match()
    counts = detection.tally(matches)

    def metric(weights: Floats) -> Floats:
        average = detection.summary(detection.accumulate(counts, weights))[:, :2]
        at = operation.operation(matches, confidence, weights=weights)
        found, false, missed = (part.sum(axis=1) for part in (at.found, at.false, at.missed))
        wholes = (found + false, found + missed, found + (false + missed) / 2)
        return np.column_stack([average, *(operation.ratio(found, whole) for whole in wholes)])

    told = resampling.interval(metric, images, replicates=REPLICATES, bounds=(0.0, 1.0))
    rows = zip(told.estimate.tolist(), told.low.tolist(), told.high.tolist(), strict=True)
    return dict(zip(METRICS, rows, strict=True))


def verdicts(judged: pd.DataFrame) -> pd.DataFrame:
    """What labels say of each source, of all verdicts on a window (table VERDICTS); unknown where they say nothing."""
    told = judged[judged["feature"] == "f1"]
    silent = sorted(set(judged["source"]) - set(told["source"]))
    unknown = {"rule": "drift", "feature": "f1", "state": "unknown", "reason": "too few of its images have labels yet"}
    return conform(pd.concat([told, pd.DataFrame([{"source": one, **unknown} for one in silent])]), VERDICTS)


def rows(
    known: Labelled, confidence: float, images: int, usual: Mapping[str, tuple[float, float, float]], n_reference: int
) -> Iterator[dict[str, Any]]:
    """Rows of MEASUREMENTS: the metrics beside the reference's, and the share of a source's `images` with labels."""
    n = len(known.image_ids)
    here = {"feature": "performance", "n": n, "n_reference": n_reference}
    if not n:
        return
    for name, (value, low, high) in measure(known, confidence).items():
        yield {**here, "metric": name, "value": value, "low": low, "high": high, "expected": usual[name][0]}
    yield {**here, "metric": "coverage", "value": n / images}
