"""Measurements: numbers about one window, each with what was expected, how sure it is, and from how many images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.data.embeddings import matrix
from cvkit.data.records import Records
from cvkit.monitoring import classes, performance
from cvkit.monitoring.alarms import DIRECTIONS, SHARES, Key, Reading
from cvkit.monitoring.classes import ByImage, Usual
from cvkit.monitoring.contexts import Contexts
from cvkit.monitoring.parts import Part, bad_images, distinct_images
from cvkit.monitoring.quality import RANGE_FINDINGS
from cvkit.monitoring.reference import Reference, context, ordinary_reference
from cvkit.stats import correction, intervals
from cvkit.stats.anomaly import ALIGN_FROM
from cvkit.stats.arrays import Floats
from cvkit.stats.change import class_mix, drift, matching, projection
from cvkit.stats.change.chunks import design_effect_counts, shift_p_value, signals
from cvkit.stats.intervals import Healthy
from cvkit.tables import COUNTED_FINDINGS, FINDING_WORDS, LABEL_FEATURES, MEASUREMENTS, WATCHED, bounds_of, conform

# Findings that a healthy source has now and then, so that their share needs evidence; all others are plain facts.
CHANCE_FINDINGS = (*RANGE_FINDINGS, "near_duplicate")

Row = dict[str, Any]  # one row of MEASUREMENTS


def measure(
    parts: Sequence[Part],
    records: Records,
    features: pd.DataFrame,
    findings: pd.DataFrame,
    reference: Reference,
    window_length: timedelta = timedelta(days=1),
    false_flags: float = 0.1,
    confidence: float = 0.0,
    weights: pd.Series | None = None,
) -> pd.DataFrame:
    """The table MEASUREMENTS of one window: amount of data, share of bad images, drift of every feature, per source.

    `parts` are the window's (`parts.apart`). Where the reference has contexts to match, `features` are
    those of ordinary ones (`reference.ordinary`). p-values are corrected together (Holm). Of the odd images, flagged at
    a share `false_flags` of false flags, those that are rare are no part of drift: a few odd images among others are no
    shift. Where images have labels the performance of predictions of at least `confidence` is measured, with their
    sampling `weights` by image_id where a plan drew them.
    """
    rows = [
        row
        for part in parts
        for row in _measure_part(part, records, basis_of(reference, part.source, window_length), false_flags)
    ]
    drawn = pd.Series(dtype=float) if weights is None else weights
    labelled = sorted(set(records.images.loc[records.images["labelled"], "source"]))
    rows += [
        row for one in labelled for row in performance.of_source(one, records, features, reference, confidence, drawn)
    ]  # fmt: skip
    rows += _unplaced(findings, [part.source for part in parts])
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
    usual_count: float  # images in a window
    untimed: bool  # whether it has images without times only: then nothing says how long a pause may be
    distinct: pd.DataFrame  # readable ones, each content once
    chunks: NDArray[np.intp] | None  # of `distinct`
    samples: dict[str, drift.Sample]  # by feature
    means: dict[str, Healthy]  # by feature, of `distinct`
    counts: ByImage  # boxes on those of `distinct` that have predictions
    count_chunks: NDArray[np.intp] | None  # of `counts`
    classes: Usual  # the same
    usual: dict[str, int]  # images with each finding
    directions: projection.Projection | None  # of its embeddings
    along: list[drift.Sample]  # of the embeddings, for each direction
    contexts: Contexts | None  # within which the class mix is compared


def readings(
    parts: Sequence[Part], reference: Reference, window_length: timedelta = timedelta(days=1)
) -> dict[Key, Reading]:
    """What the window tells each stream of evidence, by source and feature: see `cvkit.monitoring.alarms`."""
    found: dict[Key, Reading] = {}
    for part in parts:
        if not part.images:
            continue
        basis = basis_of(reference, part.source, window_length)
        for name, sample in basis.samples.items():
            values = part.values[name]
            found[part.source, name] = _reading(values[~np.isnan(values)], sample, reference.independent)
        if len(part.predicted) and len(basis.counts.boxes):
            found[part.source, "class_mix"] = _class_reading(part, basis, reference.independent)
        if basis.directions is not None:
            found[part.source, "embedding"] = _embedding_reading(_along(part, basis), basis)
    return found


def _reading(values: Floats, sample: drift.Sample, independent: bool) -> Reading:
    """Of a reference without times only the window's own test can be had, and only of images that are independent."""
    if sample.chunks is not None:
        return Reading(signals(values, sample.chunks), values.size)
    if not independent:
        return Reading((), values.size)
    result = drift.ks(values, sample)
    return Reading((), values.size, p_value=result.p_value, effect=result.effect)


def _class_reading(part: Part, basis: Basis, independent: bool) -> Reading:
    now, then = _same_mix(part, basis)
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


def _along(part: Part, basis: Basis) -> Floats:
    """Coordinates of a part's images along the reference's directions (n, directions + 1), NaN without an embedding."""
    if basis.directions is None or not part.embedded.size:
        return np.empty((0, 0))
    return projection.project(basis.directions, part.embedded)


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
    counts = classes.by_image(_boxes_of(reference, part), distinct.loc[predicted, "image_id"])
    count_chunks = None if chunks is None else chunks[predicted]
    return Basis(
        known, _usual_count(known, length), bool(len(known) and known["time"].isna().all()),
        distinct, chunks, {name: one for name, one in samples.items() if one.values.size},
        {name: intervals.healthy(distinct[name].to_numpy(), chunks) for name in WATCHED},
        counts, count_chunks, Usual(counts, count_chunks), bad_images(reference.findings, known["image_id"]),
        directions, [drift.prepare(column, chunks) for column in along.T], context(reference, part or ""),
    )  # fmt: skip


def _boxes_of(reference: Reference, part: str | None) -> pd.DataFrame:
    """What was predicted on the reference's images of a source; all sources' at once, as each looks through all."""
    if "boxes" not in reference.prepared:
        home = pd.Series(reference.images["source"].to_numpy(object), index=reference.images["image_id"])
        told = reference.predictions.groupby(reference.predictions["image_id"].map(home).to_numpy(object))
        reference.prepared["boxes"] = {str(source): rows for source, rows in told}
    found: dict[str, pd.DataFrame] = reference.prepared["boxes"]
    return found.get(str(part), reference.predictions[:0])


def _measure_part(part: Part, records: Records, basis: Basis, false_flags: float) -> Iterator[Row]:
    here = {"source": part.source, "n": len(part.distinct), "n_reference": len(basis.distinct)}
    yield {**here, "feature": "images", "metric": "count", "value": part.images, "expected": basis.usual_count}
    yield from _shares(part, basis)
    if (strange := _strange(part.odd, false_flags)) is not None:
        yield {**here, "feature": "strange", "metric": "share", **strange}
    if len(basis.distinct) and len(part.distinct):
        yield from ({**row, "source": part.source} for row in _moved(part, records, basis))


def _moved(part: Part, records: Records, basis: Basis) -> Iterator[Row]:
    """How far everything that a part's images have lies from the reference."""
    for name in WATCHED:
        values = part.values[name]
        n = int(np.count_nonzero(~np.isnan(values)))
        if name in LABEL_FEATURES and not n:
            continue  # labels come late, or never: nothing is missed yet
        if name in basis.samples:
            yield from _drift(name, values, n, basis)
        elif n:  # measured, but nothing to compare with
            yield {"feature": name, "metric": "ks", "n": n, "n_reference": 0}
    yield from _class_mix(part, basis)
    yield from classes.measure(part.boxes, basis.classes, records.classes)
    yield from _embedding(_along(part, basis), basis)


def _drift(feature: str, now: Floats, n: int, basis: Basis) -> Iterator[Row]:
    """How far one feature lies from the reference: its mean against a healthy window's, and every drift statistic."""
    sample = basis.samples[feature]
    here = {"feature": feature, "n": n, "n_reference": sample.values.size}
    yield {**here, "metric": "mean"} | intervals.compare_means(now, basis.means[feature], bounds_of(feature))
    for metric, result in drift.compare(now, sample).items():
        yield {**here, "metric": metric, "value": result.statistic, "p_value": result.p_value, "effect": result.effect}


def _class_mix(part: Part, basis: Basis) -> Iterator[Row]:
    """How far the shares of the predicted classes lie from the reference's."""
    now, then = _same_mix(part, basis)
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


def _same_mix(part: Part, basis: Basis) -> tuple[Floats, Floats]:
    """Boxes per image and class of a window and the reference, with the classes of either, as in ordinary contexts."""
    either = np.union1d(part.boxes.kinds, basis.counts.kinds)
    now, then = (side.counts(either) for side in (part.boxes, basis.counts))
    if basis.contexts is None:
        return now, then
    cells = basis.contexts.tell(basis.distinct[basis.distinct["boxes"].notna()])
    now = matching.weigh(matching.shares(then, cells), now, basis.contexts.tell(part.predicted))
    then = matching.weigh_own(then, cells, basis.count_chunks) if basis.count_chunks is not None else then
    return now[~np.isnan(now).any(axis=1)], then


def _chunks(times: pd.Series, length: timedelta) -> NDArray[np.intp] | None:
    """The reference's own windows, numbered: images of one are alike; None where nothing tells them apart."""
    return None if times.isna().any() or times.empty else pd.factorize(times.dt.floor(length))[0]


def _usual_count(known: pd.DataFrame, length: timedelta) -> float:
    times = known["time"].dropna()
    return float(times.dt.floor(length).value_counts().median()) if len(times) else float("nan")


def _shares(part: Part, basis: Basis) -> Iterator[Row]:
    """Share of the source's images with each finding; what is no share of its images is counted."""
    n, n_reference = part.images, len(basis.features)
    for finding in FINDING_WORDS:
        here = {"source": part.source, "feature": finding, "n": n, "n_reference": n_reference}
        if finding == "strange" or (finding == "gap" and basis.untimed):
            continue
        if finding in COUNTED_FINDINGS:
            yield {**here, "metric": "count", "value": part.findings.get(finding, 0), "expected": 0.0}
        elif n:
            both = part.bad.get(finding, 0), n, basis.usual.get(finding, 0), n_reference
            yield {**here, "metric": "share", **_share(*both, finding in CHANCE_FINDINGS)}


def _strange(odd: tuple[int, int, int], false_flags: float) -> dict[str, float] | None:
    """Share of flagged images among those that could be judged; flags have a null of their own, no reference's.

    Nothing of a source of which the reference has too few images for its model to be learnt: it is not watched.
    """
    images, n, flagged = odd
    if not n:
        return {"n": 0} if 0 < images < ALIGN_FROM else None
    p_value = correction.flags_p_value(flagged, n, false_flags)
    return {**_share(flagged, n, 0, 0, by_chance=False), "n": n, "expected": 0.0, "p_value": p_value}


def _share(bad: int, n: int, bad_usual: int, n_usual: int, by_chance: bool) -> dict[str, float]:
    """A share with its Wilson interval against the reference's; one-sided Fisher test where chance plays a part."""
    low, high = intervals.wilson(bad, n)
    expected = bad_usual / n_usual if n_usual else float("nan")
    row = {"value": bad / n, "low": low, "high": high, "expected": expected}
    row["effect"] = bad / n - (expected if n_usual else 0.0)
    if by_chance and n_usual:
        row["p_value"] = _at_least(bad, n + n_usual, bad + bad_usual, n) if bad else 1.0
    return row


def _at_least(bad: int, images: int, bad_images: int, drawn: int) -> float:
    """Probability of so many bad ones among those drawn from all images (Fisher's exact test, one-sided)."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(bad - 1, images, bad_images, drawn))


def _unplaced(findings: pd.DataFrame, sources: list[str]) -> Iterator[Row]:
    """Findings that belong to none of the window's sources, such as predictions for images that do not exist."""
    # An image whose time nothing tells is in the findings of every window, and counts in none.
    stray = findings[~findings["source"].isin(sources) & (findings["finding"] != "no_time")]
    for (source, finding), rows in stray.groupby(["source", "finding"]):
        here = {"source": source, "n": 0, "n_reference": 0}
        yield {**here, "feature": finding, "metric": "count", "value": len(rows), "expected": 0.0}
