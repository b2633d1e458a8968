"""Measurements: numbers about one window, each with what was expected, how sure it is, and from how many images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from cvkit.data.records import Records
from cvkit.monitoring import classes, performance
from cvkit.monitoring.alarms import DIRECTIONS, SHARES, Key, Reading
from cvkit.monitoring.basis import Basis, basis_of
from cvkit.monitoring.contexts import Contexts
from cvkit.monitoring.parts import Part, apart
from cvkit.monitoring.quality import RANGE_FINDINGS
from cvkit.monitoring.reference import Reference, context
from cvkit.stats import correction, exact, intervals
from cvkit.stats.anomaly import ALIGN_FROM
from cvkit.stats.arrays import Floats
from cvkit.stats.change import class_mix, drift, matching, projection
from cvkit.stats.change.chunks import Signal, design_effect_counts, shift_p_value, signals
from cvkit.tables import (
    ANOMALIES,
    COUNTED_FINDINGS,
    FEATURES,
    FINDING_WORDS,
    FINDINGS,
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
    met: Sequence[Met],
    records: Records,
    features: pd.DataFrame,
    findings: pd.DataFrame,
    reference: Reference,
    false_flags: float = 0.1,
    confidence: float = 0.0,
    weights: pd.Series | None = None,
) -> pd.DataFrame:
    """The table MEASUREMENTS of one window: amount of data, share of bad images, drift of every feature, per source.

    `met`: the window's parts beside what they are compared with (`meet`). Where the reference has contexts to match,
    `features` are those of ordinary ones (`reference.ordinary`). p-values are corrected together (Holm). Of the odd
    images, flagged at a share `false_flags` of false flags, those that are rare are no part of drift: a few odd images
    among others are no shift. Where images have labels the performance of predictions of at least `confidence` is
    measured, with their sampling `weights` by image_id where a plan drew them.
    """
    rows = [row for one in met for row in _measure_part(one, records, false_flags)]
    drawn = pd.Series(dtype=float) if weights is None else weights
    labelled = sorted(set(records.images.loc[records.images["labelled"], "source"]))
    rows += [
        row for one in labelled for row in performance.of_source(one, records, features, reference, confidence, drawn)
    ]  # fmt: skip
    rows += _unplaced(findings, [one.part.source for one in met])
    named = [{"class_name": "", **row} for row in rows]
    table = conform(pd.DataFrame(named), MEASUREMENTS)
    together = table["p_value"].mask(table["metric"] == "selection")  # corrected already, and no alarm
    return table.assign(p_adjusted=correction.holm(together.to_numpy()))


def of_silent(sources: Collection[str], reference: Reference, window_length: timedelta) -> pd.DataFrame:
    """Table MEASUREMENTS of sources in a window in which they sent no image, as `measure` has it."""
    boxes = pd.DataFrame(columns=["image_id", "class_id", "confidence"])
    nothing = apart(empty(FEATURES), boxes, pd.DataFrame(), empty(FINDINGS), empty(ANOMALIES), sources)
    rows = [
        {"class_name": "", **row} for part in nothing
        for row in _amount(part, basis_of(reference, part.source, window_length))
    ]  # fmt: skip
    return conform(pd.DataFrame(rows), MEASUREMENTS)


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """A part of a window beside what it is compared with, and what both its measurements and its readings tell."""

    part: Part
    basis: Basis
    told: dict[str, tuple[Signal, ...]]  # by feature, where the reference has chunks
    drifts: dict[str, dict[str, drift.Drift]]  # by feature and statistic
    mix: drift.Drift | None  # of the classes; None without a class on either side
    mixed: tuple[Floats, Floats]  # boxes per image and class, now and then, as in ordinary contexts
    along: Floats  # coordinates of images along the directions of embeddings (n, directions + 1), NaN without one


def meet(parts: Sequence[Part], reference: Reference, window_length: timedelta = timedelta(days=1)) -> list[Met]:
    """The parts of a window (`parts.apart`), each compared with its part of the reference."""
    return [_met(part, basis_of(reference, part.source, window_length), reference) for part in parts]


def _met(part: Part, basis: Basis, reference: Reference) -> Met:
    told, drifts = {}, {}
    for name, sample in basis.samples.items() if part.images else ():
        now = drift.ascending(part.values[name])
        if sample.chunks is not None:
            told[name] = signals(now, sample.chunks)
        if now.size or name not in LABEL_FEATURES:
            drifts[name] = drift.compare(now, sample, told=told.get(name))
    mixed = _same_mix(part, basis, context(reference, part.source))
    along = np.empty((0, 0))
    if basis.directions is not None and part.embedded.size:
        along = projection.project(basis.directions, part.embedded)
    return Met(part, basis, told, drifts, _chi_square(*mixed, basis) if mixed[0].shape[1] else None, mixed, along)


def readings(met: Sequence[Met], independent: bool) -> dict[Key, Reading]:
    """What the window tells each stream of evidence, by source and feature: see `cvkit.monitoring.alarms`.

    `independent`: whether images of the reference without times are (`Reference.independent`).
    """
    found: dict[Key, Reading] = {}
    for one in met:
        source, basis = one.part.source, one.basis
        if not one.part.images:
            continue
        for name, sample in basis.samples.items():
            found[source, name] = _reading(name, one, sample, independent)
        if len(one.part.predicted) and len(basis.classes.by_image.boxes):
            found[source, "class_mix"] = _class_reading(one, independent)
        if basis.directions is not None:
            found[source, "embedding"] = _embedding_reading(one)
    return found


def _reading(name: str, met: Met, sample: drift.Sample, independent: bool) -> Reading:
    """Of a reference without times only the window's own test can be had, and only of images that are independent."""
    n = int(np.count_nonzero(~np.isnan(met.part.values[name])))
    if sample.chunks is not None:
        return Reading(met.told[name], n)
    if not independent or name not in met.drifts:
        return Reading((), n)
    result = met.drifts[name]["ks"]
    return Reading((), n, p_value=result.p_value, effect=result.effect)


def _class_reading(met: Met, independent: bool) -> Reading:
    now, then = met.mixed
    chunks = met.basis.classes.chunks
    if met.mix is None or (chunks is None and not independent):
        return Reading((), len(now), kind=SHARES)
    found = () if chunks is None else class_mix.share_signals(now, class_mix.prepare_classes(then, chunks))
    return Reading(found, len(now), kind=SHARES, p_value=met.mix.p_value, effect=met.mix.effect)


def _embedding_reading(met: Met) -> Reading:
    """Levels along the directions of the reference's embeddings; each has the same share of the evidence."""
    told = met.along[~np.isnan(met.along).any(axis=1)]
    if not told.size:
        return Reading((), 0, kind=DIRECTIONS)
    columns = zip(told.T, met.basis.along, strict=True)
    levels = [signals(column, one.chunks)[0] for column, one in columns if one.chunks]
    return Reading(tuple(replace(one, weight=1 / len(levels)) for one in levels), len(told), kind=DIRECTIONS)


def _chi_square(now: Floats, then: Floats, basis: Basis) -> drift.Drift:
    chunks = basis.classes.chunks
    sample = then if chunks is None else class_mix.prepare_classes(then, chunks)
    deff = design_effect_counts(then) if chunks is None else 1.0  # boxes of one image are alike
    return class_mix.chi_square(now, sample, deff=deff)


def _amount(part: Part, basis: Basis) -> Iterator[Row]:
    """How many images there are, and with which findings."""
    here = {"source": part.source, "n": len(part.distinct), "n_reference": basis.distinct}
    yield {**here, "feature": "images", "metric": "count", "value": part.images, "expected": basis.usual_count}
    yield from _shares(part, basis)


def _measure_part(met: Met, records: Records, false_flags: float) -> Iterator[Row]:
    part, basis = met.part, met.basis
    here = {"source": part.source, "n": len(part.distinct), "n_reference": basis.distinct}
    yield from _amount(part, basis)
    if (strange := _strange(part.odd, false_flags)) is not None:
        yield {**here, "feature": "strange", "metric": "share", **strange}
    if basis.distinct and len(part.distinct):
        yield from ({**row, "source": part.source} for row in _moved(met, records))


def _moved(met: Met, records: Records) -> Iterator[Row]:
    """How far everything that a part's images have lies from the reference."""
    for name in WATCHED:
        n = int(np.count_nonzero(~np.isnan(met.part.values[name])))
        if name in LABEL_FEATURES and not n:
            continue  # labels come late, or never: nothing is missed yet
        if name in met.drifts:
            yield from _drift(name, n, met)
        elif n:  # measured, but nothing to compare with
            yield {"feature": name, "metric": "ks", "n": n, "n_reference": 0}
    if met.mix is not None:
        now, then = met.mixed
        yield {"feature": "class_mix", "metric": "chi_square", "value": met.mix.statistic, "p_value": met.mix.p_value,
               "effect": met.mix.effect, "n": len(now), "n_reference": len(then)}  # fmt: skip
    yield from classes.measure(met.part.boxes, met.basis.classes, records.classes)
    yield from _embedding(met)


def _drift(feature: str, n: int, met: Met) -> Iterator[Row]:
    """How far one feature lies from the reference: its mean against a healthy window's, and every drift statistic."""
    now, usual = met.part.values[feature], met.basis.means[feature]
    here = {"feature": feature, "n": n, "n_reference": met.basis.samples[feature].values.size}
    yield {**here, "metric": "mean"} | intervals.compare_means(now, usual, bounds_of(feature))
    for metric, result in met.drifts[feature].items():
        yield {**here, "metric": metric, "value": result.statistic, "p_value": result.p_value, "effect": result.effect}


def _embedding(met: Met) -> Iterator[Row]:
    """How far the mean of the unit embeddings lies from the reference's, 0..2; effect along what moved most."""
    reading = _embedding_reading(met)
    if not reading.signals:
        return
    distance = float(np.linalg.norm(np.nanmean(met.along[:, :-1], axis=0)))
    shifts = [abs(one.parts[0][0] - one.parts[0][1].centre) for one in reading.signals]
    tails = [float(shift_p_value(one.parts[0][0], one.size, one.parts[0][1])) for one in reading.signals]
    yield {"feature": "embedding", "metric": "embedding_shift", "value": distance, "expected": 0.0,
           "p_value": min(1.0, len(tails) * min(tails)), "effect": max(shifts),
           "n": reading.n, "n_reference": met.basis.distinct}  # fmt: skip


def _same_mix(part: Part, basis: Basis, known: Contexts | None) -> tuple[Floats, Floats]:
    """Boxes per image and class of a window and the reference, with the classes of either, as in ordinary contexts."""
    counts, chunks = basis.classes.by_image, basis.classes.chunks
    either = np.union1d(part.boxes.kinds, counts.kinds)
    now, then = (side.counts(either) for side in (part.boxes, counts))
    if known is None or basis.cells is None:
        return now, then
    now = matching.weigh(matching.shares(then, basis.cells), now, known.tell(part.predicted))
    then = matching.weigh_own(then, basis.cells, chunks) if chunks is not None else then
    return now[~np.isnan(now).any(axis=1)], then


def _shares(part: Part, basis: Basis) -> Iterator[Row]:
    """Share of the source's images with each finding; what is no share of its images is counted."""
    n, n_reference = part.images, basis.images
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
        row["p_value"] = exact.at_least(bad, n + n_usual, bad + bad_usual, n)
    return row


def _unplaced(findings: pd.DataFrame, sources: list[str]) -> Iterator[Row]:
    """Findings that belong to none of the window's sources, such as predictions for images that do not exist."""
    # An image whose time nothing tells is in the findings of every window, and counts in none.
    stray = findings[~findings["source"].isin(sources) & (findings["finding"] != "no_time")]
    for (source, finding), rows in stray.groupby(["source", "finding"]):
        here = {"source": source, "n": 0, "n_reference": 0}
        yield {**here, "feature": finding, "metric": "count", "value": len(rows), "expected": 0.0}
