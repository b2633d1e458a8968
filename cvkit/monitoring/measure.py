"""Measurements: numbers about one window, each with what was expected, how sure it is, and from how many images."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import hypergeom

from cvkit.data.records import Records
from cvkit.monitoring.quality import RANGE_FINDINGS
from cvkit.monitoring.reference import Reference
from cvkit.stats import class_mix, correction, drift, intervals
from cvkit.stats.chunks import design_effect_counts
from cvkit.tables import FINDING_WORDS, MEASUREMENTS, PREDICTION_FEATURES, PROPERTIES, conform

# Findings that a healthy source has now and then, so that their share needs evidence; all others are plain facts.
CHANCE_FINDINGS = (*RANGE_FINDINGS, "near_duplicate")
# Findings that are not about an image of the window: counted, as they are no share of its images.
COUNTED_FINDINGS = ("gap", "missing_image", "bad_record")

Row = dict[str, Any]  # one row of MEASUREMENTS


def measure(
    records: Records,
    features: pd.DataFrame,
    findings: pd.DataFrame,
    reference: Reference,
    window_length: timedelta = timedelta(days=1),
) -> pd.DataFrame:
    """The table MEASUREMENTS of one window: amount of data, share of bad images, drift of every feature, per source.

    Sources of the reference that sent nothing are measured too, with n = 0. Copies of one image count once for drift:
    a frozen camera sends one observation a day, however many files. p-values are corrected together (Holm).
    """
    sources = sorted({*features["source"], *(source for source in reference.sources if source)}) or [""]
    rows = [
        row
        for source in sources
        for row in _measure_source(source, records, features, findings, reference, window_length)
    ]  # fmt: skip
    rows += _unplaced(findings, sources)
    table = conform(pd.DataFrame(rows), MEASUREMENTS)
    return table.assign(p_adjusted=correction.holm(table["p_value"].to_numpy()))


def _measure_source(
    source: str,
    records: Records,
    features: pd.DataFrame,
    findings: pd.DataFrame,
    reference: Reference,
    length: timedelta,
) -> Iterator[Row]:
    current = features[features["source"] == source]
    part = reference.part(source)
    known = reference.features[reference.features["source"] == part] if part is not None else reference.features[:0]
    distinct, expected = _distinct(current), _distinct(known)
    chunks = _chunks(expected["time"], length)
    here = {"source": source, "n": len(distinct), "n_reference": len(expected)}
    usual_count = _usual_count(known, length)
    yield {**here, "feature": "images", "metric": "count", "value": len(current), "expected": usual_count}
    usual = reference.findings[reference.findings["image_id"].isin(known["image_id"])]
    yield from _shares(source, current, findings[findings["source"] == source], usual, len(known))
    if len(expected) and len(distinct):
        for name in (*PROPERTIES, *PREDICTION_FEATURES):
            yield from ({**row, "source": source} for row in _drift(name, distinct[name], expected[name], chunks))
        mix = _boxes_by_class(records.predictions, distinct), _boxes_by_class(reference.predictions, expected)
        yield from ({**row, "source": source} for row in _class_mix(*mix, chunks))


def _drift(feature: str, current: pd.Series, expected: pd.Series, chunks: NDArray[np.intp] | None) -> Iterator[Row]:
    """How far one feature lies from the reference: its mean against a healthy window's, and every drift statistic."""
    now, then = current.to_numpy(), expected.to_numpy()
    if np.isnan(then).all():
        return
    sample = drift.prepare(then, chunks)
    mean, low, high = intervals.mean_interval(now)
    usual, usual_low, usual_high = intervals.normal_range(then, chunks, int(np.isfinite(now).sum()))
    here = {"feature": feature, "n": int(np.isfinite(now).sum()), "n_reference": sample.values.size}
    yield {**here, "metric": "mean", "value": mean, "low": low, "high": high,
           "expected": usual, "expected_low": usual_low, "expected_high": usual_high}  # fmt: skip
    for metric, result in drift.compare(now, sample).items():
        yield {**here, "metric": metric, "value": result.statistic, "p_value": result.p_value, "effect": result.effect}


def _class_mix(current: pd.DataFrame, expected: pd.DataFrame, chunks: NDArray[np.intp] | None) -> Iterator[Row]:
    """How far the shares of the predicted classes lie from the reference's."""
    classes = sorted({*current.columns, *expected.columns})
    if not classes:
        return
    now, then = (table.reindex(columns=classes, fill_value=0).to_numpy(float) for table in (current, expected))
    sample = then if chunks is None else class_mix.prepare_classes(then, chunks)
    deff = design_effect_counts(then) if chunks is None else 1.0  # boxes of one image are alike
    result = class_mix.chi_square(now, sample, deff=deff)
    yield {"feature": "class_mix", "metric": "chi_square", "value": result.statistic, "p_value": result.p_value,
           "effect": result.effect, "n": len(now), "n_reference": len(then)}  # fmt: skip


def _boxes_by_class(predictions: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Boxes per image (rows, in the order of `images`) and class (columns)."""
    boxes = predictions[predictions["image_id"].isin(images["image_id"])]
    counts = pd.crosstab(boxes["image_id"], boxes["class_id"])
    return counts.reindex(images["image_id"], fill_value=0)


def _distinct(features: pd.DataFrame) -> pd.DataFrame:
    """Readable images, each content once."""
    readable = features[features["damage"].isin(["", "truncated"])]
    return readable[~readable["content"].duplicated()]


def _chunks(times: pd.Series, length: timedelta) -> NDArray[np.intp] | None:
    """The reference's own windows, numbered: images of one are alike; None where nothing tells them apart."""
    return None if times.isna().any() or times.empty else pd.factorize(times.dt.floor(length))[0]


def _usual_count(known: pd.DataFrame, length: timedelta) -> float:
    times = known["time"].dropna()
    return float(times.dt.floor(length).value_counts().median()) if len(times) else float("nan")


def _shares(
    source: str, current: pd.DataFrame, findings: pd.DataFrame, usual: pd.DataFrame, n_reference: int
) -> Iterator[Row]:
    """Share of the source's images with each finding; what is no share of its images is counted."""
    n = len(current)
    for finding in FINDING_WORDS:
        rows = findings[findings["finding"] == finding]
        here = {"source": source, "feature": finding, "n": n, "n_reference": n_reference}
        if finding in COUNTED_FINDINGS:
            yield {**here, "metric": "count", "value": len(rows), "expected": 0.0}
        elif n:
            bad = int(current["image_id"].isin(rows["image_id"]).sum())
            bad_usual = usual.loc[usual["finding"] == finding, "image_id"].nunique()
            yield {**here, "metric": "share", **_share(bad, n, bad_usual, n_reference, finding in CHANCE_FINDINGS)}


def _share(bad: int, n: int, bad_usual: int, n_usual: int, by_chance: bool) -> dict[str, float]:
    """A share with its Wilson interval against the reference's; one-sided Fisher test where chance plays a part."""
    low, high = intervals.wilson(bad, n)
    expected = bad_usual / n_usual if n_usual else float("nan")
    row = {"value": bad / n, "low": low, "high": high, "expected": expected}
    row["effect"] = bad / n - (expected if n_usual else 0.0)
    if by_chance and n_usual:
        row["p_value"] = float(hypergeom.sf(bad - 1, n + n_usual, bad + bad_usual, n))
    return row


def _unplaced(findings: pd.DataFrame, sources: list[str]) -> Iterator[Row]:
    """Findings that belong to none of the window's sources, such as predictions for images that do not exist."""
    stray = findings[~findings["source"].isin(sources)]
    for (source, finding), rows in stray.groupby(["source", "finding"]):
        here = {"source": source, "n": 0, "n_reference": 0}
        yield {**here, "feature": finding, "metric": "count", "value": len(rows), "expected": 0.0}
