"""Measurements: numbers about one window, each with what was expected, how sure it is, and from how many images."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.data.embeddings import matrix
from cvkit.data.features import copies
from cvkit.data.records import Records
from cvkit.monitoring import anomalies, classes, performance
from cvkit.monitoring.alarms import DIRECTIONS, SHARES, Key, Reading
from cvkit.monitoring.contexts import Contexts
from cvkit.monitoring.quality import RANGE_FINDINGS
from cvkit.monitoring.reference import Reference, context, ordinary_reference
from cvkit.stats import correction, intervals
from cvkit.stats.anomaly import ALIGN_FROM
from cvkit.stats.arrays import Floats
from cvkit.stats.change import class_mix, drift, matching, projection
from cvkit.stats.change.chunks import design_effect_counts, shift_p_value, signals
from cvkit.tables import (
    ANOMALIES,
    COUNTED_FINDINGS,
    FINDING_WORDS,
    LABEL_FEATURES,
    MEASUREMENTS,
    WATCHED,
    bounds_of,
    conform,
    empty,
)

# Findings that a healthy source has now and then, so that their share needs evidence; all others are plain facts.
CHANCE_FINDINGS = (*RANGE_FINDINGS, "near_duplicate")

Row = dict[str, Any]  # one row of MEASUREMENTS


def measure(
    records: Records,
    features: pd.DataFrame,
    embeddings: pd.DataFrame,
    findings: pd.DataFrame,
    reference: Reference,
    window_length: timedelta = timedelta(days=1),
    known: Collection[str] = (),
    odd: pd.DataFrame | None = None,
    false_flags: float = 0.1,
    confidence: float = 0.0,
    weights: pd.Series | None = None,
) -> pd.DataFrame:
    """The table MEASUREMENTS of one window: amount of data, share of bad images, drift of every feature, per source.

    Sources of the reference, and `known` ones, that sent nothing are measured too, with n = 0. Copies of one image
    count once for drift: a frozen camera sends one observation a day, however many files. Where the reference has
    contexts to match, `features` and `embeddings` are those of ordinary ones (`reference.ordinary`). p-values are
    corrected together (Holm). Of the `odd` images (table ANOMALIES, flagged at a share `false_flags` of false flags)
    those that are rare are left out of drift: a few odd images among others are no shift. Where images have labels the
    performance of predictions of at least `confidence` is measured, with their sampling `weights` by image_id where a
    plan drew them.
    """
    odd = empty(ANOMALIES) if odd is None else odd
    sources = sorted({*features["source"], *known, *(source for source in reference.sources if source)})
    rows = [
        row
        for source in sources
        for row in _measure_source(
            source, records, features, embeddings, findings, reference, window_length, odd, false_flags
        )
    ]  # fmt: skip
    drawn = pd.Series(dtype=float) if weights is None else weights
    rows += [
        row for one in sources for row in performance.of_source(one, records, features, reference, confidence, drawn)
    ]  # fmt: skip
    rows += _unplaced(findings, sources)
    named = [{"class_name": "", **row} for row in rows]
    table = conform(pd.DataFrame(named), MEASUREMENTS)
    together = table["p_value"].mask(table["metric"] == "selection")  # corrected already, and no alarm
    return table.assign(p_adjusted=correction.holm(together.to_numpy()))


def with_silent(measurements: pd.DataFrame, known: Collection[str]) -> pd.DataFrame:
    """`measurements` of a window, and that each source of `known` that it lacks sent no image."""
    silent = sorted(set(known) - set(measurements["source"]))
    rows = [{"source": source, "feature": "images", "metric": "count", "value": 0.0} for source in silent]
    return pd.concat([measurements, conform(pd.DataFrame(rows), MEASUREMENTS)]) if rows else measurements


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What a source is compared with: its part of the reference, made ready once."""

    features: pd.DataFrame  # all images
    distinct: pd.DataFrame  # readable ones, each content once
    chunks: NDArray[np.intp] | None  # of `distinct`
    samples: dict[str, drift.Sample]  # by feature
    counts: pd.DataFrame  # boxes per image and class, of those of `distinct` that have predictions
    count_chunks: NDArray[np.intp] | None  # of `counts`
    classes: classes.ByImage  # boxes and their confidence on these images
    usual: dict[str, int]  # images with each finding
    directions: projection.Projection | None  # of its embeddings
    along: list[drift.Sample]  # of the embeddings, for each direction
    contexts: Contexts | None  # within which the class mix is compared


def readings(
    records: Records,
    features: pd.DataFrame,
    embeddings: pd.DataFrame,
    reference: Reference,
    window_length: timedelta = timedelta(days=1),
    odd: pd.DataFrame | None = None,
) -> dict[Key, Reading]:
    """What the window tells each stream of evidence, by source and feature: see `cvkit.monitoring.alarms`.

    Rare `odd` images are left out, as in `measure`.
    """
    aside = anomalies.rare(empty(ANOMALIES) if odd is None else odd)
    found: dict[Key, Reading] = {}
    for source, current in features.groupby("source"):
        basis = basis_of(reference, str(source), window_length)
        distinct = distinct_images(current, aside)
        for name, sample in basis.samples.items():
            found[str(source), name] = _reading(distinct[name].dropna().to_numpy(), sample, reference.independent)
        if len(predicted := _predicted(distinct)) and len(basis.counts):
            found[str(source), "class_mix"] = _class_reading(
                records.predictions, predicted, basis, reference.independent
            )
        if basis.directions is not None:
            found[str(source), "embedding"] = _embedding_reading(_along(distinct, embeddings, basis), basis)
    return found


def _reading(values: Floats, sample: drift.Sample, independent: bool) -> Reading:
    """Of a reference without times only the window's own test can be had, and only of images that are independent."""
    if sample.chunks is not None:
        return Reading(signals(values, sample.chunks), values.size)
    if not independent:
        return Reading((), values.size)
    result = drift.ks(values, sample)
    return Reading((), values.size, p_value=result.p_value, effect=result.effect)


def _class_reading(predictions: pd.DataFrame, predicted: pd.DataFrame, basis: Basis, independent: bool) -> Reading:
    now, then = _same_mix(predictions, predicted, basis)
    result = _chi_square(now, then, basis)
    chunks = basis.count_chunks
    if chunks is None and not independent:
        return Reading((), len(now), kind=SHARES)
    found = () if chunks is None else class_mix.share_signals(now, class_mix.prepare_classes(then, chunks))
    return Reading(found, len(now), kind=SHARES, p_value=result.p_value, effect=result.effect)


def _embedding_reading(along: Floats, basis: Basis) -> Reading:
    """Levels along the directions of the reference's embeddings; each has the same share of the evidence."""
    told = along[~np.isnan(along).any(axis=1)]
    if not told.size:
        return Reading((), 0, kind=DIRECTIONS)
    levels = [signals(column, one.chunks)[0] for column, one in zip(told.T, basis.along, strict=True) if one.chunks]
    return Reading(tuple(replace(one, weight=1 / len(levels)) for one in levels), len(told), kind=DIRECTIONS)


def _along(images: pd.DataFrame, embeddings: pd.DataFrame, basis: Basis) -> Floats:
    """Coordinates of images along the reference's directions (n, directions + 1), NaN rows without an embedding."""
    embedded = matrix(embeddings, images["image_id"])
    if basis.directions is None or not embedded.size:
        return np.empty((0, 0))
    return projection.project(basis.directions, embedded)


def _chi_square(now: Floats, then: Floats, basis: Basis) -> drift.Drift:
    chunks = basis.count_chunks
    sample = then if chunks is None else class_mix.prepare_classes(then, chunks)
    deff = design_effect_counts(then) if chunks is None else 1.0  # boxes of one image are alike
    return class_mix.chi_square(now, sample, deff=deff)


def basis_of(reference: Reference, source: str, length: timedelta) -> Basis:
    """What a source is compared with, in windows of this `length`; prepared once."""
    part = reference.part(source)
    if (part, length) not in reference.prepared:
        reference.prepared[part, length] = _prepared(reference, part, length)
    basis: Basis = reference.prepared[part, length]
    return basis


def _prepared(reference: Reference, part: str | None, length: timedelta) -> Basis:
    features, embeddings = ordinary_reference(reference)
    known = features[features["source"] == part] if part is not None else features[:0]
    distinct = distinct_images(known)
    chunks, predicted = _chunks(distinct["time"], length), distinct["boxes"].notna().to_numpy()
    samples = {name: drift.prepare(distinct[name].to_numpy(), chunks) for name in WATCHED}
    embedded = matrix(embeddings, distinct["image_id"])
    directions = projection.fit(embedded) if embedded.size and chunks is not None else None
    along = projection.project(directions, embedded) if directions is not None else np.empty((0, 0))
    return Basis(
        known, distinct, chunks, {name: one for name, one in samples.items() if one.values.size},
        _boxes_by_class(reference.predictions, distinct[predicted]), None if chunks is None else chunks[predicted],
        classes.by_image(reference.predictions, distinct.loc[predicted, "image_id"]),
        _images_by_finding(reference.findings, known),
        directions, [drift.prepare(column, chunks) for column in along.T], context(reference, part or ""),
    )  # fmt: skip


def _measure_source(
    source: str,
    records: Records,
    features: pd.DataFrame,
    embeddings: pd.DataFrame,
    findings: pd.DataFrame,
    reference: Reference,
    length: timedelta,
    odd: pd.DataFrame,
    false_flags: float,
) -> Iterator[Row]:
    current, basis = features[features["source"] == source], basis_of(reference, source, length)
    distinct = distinct_images(current, anomalies.rare(odd))
    here = {"source": source, "n": len(distinct), "n_reference": len(basis.distinct)}
    usual_count = _usual_count(basis.features, length)
    yield {**here, "feature": "images", "metric": "count", "value": len(current), "expected": usual_count}
    yield from _shares(source, current, findings[findings["source"] == source], basis)
    if (strange := _strange(odd[odd["source"] == source], false_flags)) is not None:
        yield {**here, "feature": "strange", "metric": "share", **strange}
    if len(basis.distinct) and len(distinct):
        for name in WATCHED:
            if name in LABEL_FEATURES and distinct[name].isna().all():
                continue  # labels come late, or never: nothing is missed yet
            if name in basis.samples:
                drifts = _drift(name, distinct[name], basis, basis.samples[name])
                yield from ({**row, "source": source} for row in drifts)
            elif n := int(distinct[name].notna().sum()):  # measured, but nothing to compare with
                yield {"source": source, "feature": name, "metric": "ks", "n": n, "n_reference": 0}
        mix = _class_mix(records.predictions, _predicted(distinct), basis)
        yield from ({**row, "source": source} for row in mix)
        each = classes.by_image(records.predictions, _predicted(distinct)["image_id"])
        found = classes.measure(each, basis.classes, basis.count_chunks, records.classes)
        yield from ({**row, "source": source} for row in found)
        seen = _embedding(_along(distinct, embeddings, basis), basis)
        yield from ({**row, "source": source} for row in seen)


def _drift(feature: str, current: pd.Series, basis: Basis, sample: drift.Sample) -> Iterator[Row]:
    """How far one feature lies from the reference: its mean against a healthy window's, and every drift statistic."""
    now = current.to_numpy()
    n = int(np.count_nonzero(~np.isnan(now)))
    here = {"feature": feature, "n": n, "n_reference": sample.values.size}
    then = basis.distinct[feature].to_numpy()
    yield {**here, "metric": "mean"} | intervals.compare_means(now, then, basis.chunks, bounds_of(feature))
    for metric, result in drift.compare(now, sample).items():
        yield {**here, "metric": metric, "value": result.statistic, "p_value": result.p_value, "effect": result.effect}


def _class_mix(predictions: pd.DataFrame, predicted: pd.DataFrame, basis: Basis) -> Iterator[Row]:
    """How far the shares of the predicted classes lie from the reference's."""
    now, then = _same_mix(predictions, predicted, basis)
    if not now.shape[1]:
        return
    result = _chi_square(now, then, basis)
    yield {"feature": "class_mix", "metric": "chi_square", "value": result.statistic, "p_value": result.p_value,
           "effect": result.effect, "n": len(now), "n_reference": len(then)}  # fmt: skip


def _embedding(along: Floats, basis: Basis) -> Iterator[Row]:
    """How far the mean of the unit embeddings lies from the reference's, 0..2; effect along what moved most."""
    reading = _embedding_reading(along, basis)
    if not reading.signals:
        return
    distance = float(np.linalg.norm(np.nanmean(along[:, :-1], axis=0)))
    shifts = [abs(one.parts[0][0] - one.parts[0][1].centre) for one in reading.signals]
    tails = [float(shift_p_value(one.parts[0][0], one.size, one.parts[0][1])) for one in reading.signals]
    yield {"feature": "embedding", "metric": "embedding_shift", "value": distance, "expected": 0.0,
           "p_value": min(1.0, len(tails) * min(tails)), "effect": max(shifts),
           "n": reading.n, "n_reference": len(basis.distinct)}  # fmt: skip


def _same_mix(predictions: pd.DataFrame, predicted: pd.DataFrame, basis: Basis) -> tuple[Floats, Floats]:
    """Boxes per image and class of a window and the reference, with the classes of either, as in ordinary contexts."""
    current = _boxes_by_class(predictions, predicted)
    either = sorted({*current.columns, *basis.counts.columns})
    now, then = (table.reindex(columns=either, fill_value=0).to_numpy(float) for table in (current, basis.counts))
    if basis.contexts is None:
        return now, then
    cells = basis.contexts.tell(basis.distinct[basis.distinct["boxes"].notna()])
    now = matching.weigh(matching.shares(then, cells), now, basis.contexts.tell(predicted))
    then = matching.weigh_own(then, cells, basis.count_chunks) if basis.count_chunks is not None else then
    return now[~np.isnan(now).any(axis=1)], then


def _boxes_by_class(predictions: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Boxes per image (rows, in the order of `images`) and class (columns)."""
    boxes = predictions[predictions["image_id"].isin(images["image_id"])]
    counts = boxes.groupby(["image_id", "class_id"]).size().unstack(fill_value=0)  # a crosstab takes 20 times as long
    return counts.reindex(images["image_id"], fill_value=0)


def _predicted(images: pd.DataFrame) -> pd.DataFrame:
    """Those with predictions: an image on which nothing was found has them, one that nobody looked at has not."""
    return images[images["boxes"].notna()]


def distinct_images(features: pd.DataFrame, aside: Collection[str] = ()) -> pd.DataFrame:
    """Readable images but those `aside`, each content once."""
    readable = features[features["damage"].isin(["", "truncated"]) & ~features["image_id"].isin(list(aside))]
    return readable[~copies(readable)]


def _chunks(times: pd.Series, length: timedelta) -> NDArray[np.intp] | None:
    """The reference's own windows, numbered: images of one are alike; None where nothing tells them apart."""
    return None if times.isna().any() or times.empty else pd.factorize(times.dt.floor(length))[0]


def _usual_count(known: pd.DataFrame, length: timedelta) -> float:
    times = known["time"].dropna()
    return float(times.dt.floor(length).value_counts().median()) if len(times) else float("nan")


def _shares(source: str, current: pd.DataFrame, findings: pd.DataFrame, basis: Basis) -> Iterator[Row]:
    """Share of the source's images with each finding; what is no share of its images is counted."""
    n, n_reference = len(current), len(basis.features)
    untimed = n_reference and basis.features["time"].isna().all()  # then nothing says how long a pause may be
    counts, bad = findings["finding"].value_counts(), _images_by_finding(findings, current)
    for finding in FINDING_WORDS:
        here = {"source": source, "feature": finding, "n": n, "n_reference": n_reference}
        if finding == "strange" or (finding == "gap" and untimed):
            continue
        if finding in COUNTED_FINDINGS:
            yield {**here, "metric": "count", "value": int(counts.get(finding, 0)), "expected": 0.0}
        elif n:
            both = bad.get(finding, 0), n, basis.usual.get(finding, 0), n_reference
            yield {**here, "metric": "share", **_share(*both, finding in CHANCE_FINDINGS)}


def _images_by_finding(findings: pd.DataFrame, images: pd.DataFrame) -> dict[str, int]:
    """How many of the images have each finding."""
    here = findings[findings["image_id"].isin(images["image_id"])]
    return {str(name): int(n) for name, n in here.groupby("finding")["image_id"].nunique().items()}


def _strange(odd: pd.DataFrame, false_flags: float) -> dict[str, float] | None:
    """Share of flagged images among those that could be judged; flags have a null of their own, no reference's.

    Nothing of a source of which the reference has too few images for its model to be learnt: it is not watched.
    """
    n, flagged = int(odd[["score", "usual"]].notna().all(axis=1).sum()), int(odd["flagged"].sum())
    if not n:
        return {"n": 0} if 0 < len(odd) < ALIGN_FROM else None
    p_value = correction.flags_p_value(flagged, n, false_flags)
    return {**_share(flagged, n, 0, 0, by_chance=False), "n": n, "expected": 0.0, "p_value": p_value}


def _share(bad: int, n: int, bad_usual: int, n_usual: int, by_chance: bool) -> dict[str, float]:
    """A share with its Wilson interval against the reference's; one-sided Fisher test where chance plays a part."""
    low, high = intervals.wilson(bad, n)
    expected = bad_usual / n_usual if n_usual else float("nan")
    row = {"value": bad / n, "low": low, "high": high, "expected": expected}
    row["effect"] = bad / n - (expected if n_usual else 0.0)
    if by_chance and n_usual:
        from scipy.stats import hypergeom

        row["p_value"] = float(hypergeom.sf(bad - 1, n + n_usual, bad + bad_usual, n))
    return row


def _unplaced(findings: pd.DataFrame, sources: list[str]) -> Iterator[Row]:
    """Findings that belong to none of the window's sources, such as predictions for images that do not exist."""
    # An image whose time nothing tells is in the findings of every window, and counts in none.
    stray = findings[~findings["source"].isin(sources) & (findings["finding"] != "no_time")]
    for (source, finding), rows in stray.groupby(["source", "finding"]):
        here = {"source": source, "n": 0, "n_reference": 0}
        yield {**here, "feature": finding, "metric": "count", "value": len(rows), "expected": 0.0}
