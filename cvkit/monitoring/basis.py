"""The basis: what windows are compared with, by source, worked out of the frozen reference once and kept beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.config import Config
from cvkit.monitoring import anomalies, classes, contexts, identity, kept, parts, reference
from cvkit.monitoring.classes import ByImage, Usual
from cvkit.monitoring.parts import Part, distinct_images
from cvkit.monitoring.reference import Reference, ordinary_reference
from cvkit.stats import anomaly, arrays, intervals
from cvkit.stats.change import chunks, distance, drift, matching, projection
from cvkit.stats.intervals import Healthy
from cvkit.tables import ANOMALIES, WATCHED, empty

# What a file holds, and the code that its numbers follow from: other code works them out again.
HELD = (drift.Sample, chunks.Chunks, chunks.Spread, chunks.Root, Healthy, ByImage, Usual, projection.Projection,
        anomaly.Normal, anomaly.Model)  # fmt: skip
MADE_BY = (kept, parts, classes, contexts, anomalies, reference, anomaly, arrays, intervals, chunks, distance, drift,
           matching, projection)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What a source is compared with: its part of the reference, made ready once."""

    images: int  # of the reference, of this source
    distinct: int  # readable ones, each content once
    usual_count: float  # images in a window
    untimed: bool  # whether it has images without times only: then nothing says how long a pause may be
    samples: dict[str, drift.Sample]  # by feature, of the distinct images
    means: dict[str, Healthy]  # by feature
    classes: Usual  # boxes on those of the distinct images that have predictions
    cells: list[str] | None  # contexts of these, where there are any
    usual: dict[str, int]  # images with each finding
    directions: projection.Projection | None  # of its embeddings
    along: list[drift.Sample]  # of the embeddings, for each direction


def basis_of(known: Reference, source: str, length: timedelta) -> Basis:
    """What a source is compared with, in windows of this `length`; worked out once."""
    part = known.part(source)
    if (part, length) not in known.prepared:
        known.prepared[part, length] = _prepared(known, part, length)
    basis: Basis = known.prepared[part, length]
    return basis


def ready(config: Config, known: Reference) -> None:
    """Have what all sources are compared with: from its file, which is written where there is none.

    Raises StorageError where it cannot be written.
    """
    length = config.window_length
    if ("ready", length) in known.prepared:
        return
    path = identity.reference_folder(config) / f"basis-{_key(known, length)}.npz"
    held = kept.read(path, {one.__name__: one for one in (Basis, *HELD)})
    if not isinstance(held, dict) or list(held) != known.sources:
        held = {one: (basis_of(known, one, length), anomalies.learnt(known, one, length)) for one in known.sources}
        kept.write(path, held)
        for other in set(path.parent.glob("basis-*.npz")) - {path}:
            other.unlink(missing_ok=True)  # of other windows, or of other code
    for source, (basis, normal) in held.items():
        known.prepared[source, length], known.prepared["anomaly", source, length] = basis, normal
    known.prepared["ready", length] = True


def _key(known: Reference, length: timedelta) -> str:
    digest = hashlib.sha256(f"{known.id} {length}".encode())
    for module in (*MADE_BY, None):
        digest.update(Path(__file__ if module is None else str(module.__file__)).read_bytes())
    return digest.hexdigest()[:12]


def distinct_reference(known: Reference, source: str, length: timedelta) -> tuple[pd.Series, NDArray[np.intp] | None]:
    """Ids of the distinct readable images that a source is compared with, and their chunks of time, if any."""
    features, _ = ordinary_reference(known)
    distinct = distinct_images(features[features["source"] == known.part(source)])
    return distinct["image_id"], _chunks(distinct["time"], length)


def _prepared(known: Reference, part: str | None, length: timedelta) -> Basis:
    seen = _taken_apart(known).get(part or "") if part is not None else None
    times = _times(known).get(part or "", pd.Series(dtype="datetime64[us, UTC]"))
    if seen is None:
        seen = parts.apart(
            known.features[:0], known.predictions[:0], known.embeddings[:0], known.findings[:0], empty(ANOMALIES), [""]
        )[0]  # fmt: skip
        times = times[:0]
    chunked, predicted = _chunks(seen.distinct["time"], length), seen.distinct["boxes"].notna().to_numpy()
    samples = {name: drift.prepare(seen.values[name], chunked) for name in WATCHED}
    directions = projection.fit(seen.embedded) if seen.embedded.size and chunked is not None else None
    along = projection.project(directions, seen.embedded) if directions is not None else np.empty((0, 0))
    told = reference.context(known, part or "")
    return Basis(
        seen.images, len(seen.distinct), _usual_count(times, length), bool(len(times) and times.isna().all()),
        {name: one for name, one in samples.items() if one.values.size},
        {name: intervals.healthy(values, chunked) for name, values in seen.values.items()},
        classes.usual(seen.boxes, None if chunked is None else chunked[predicted]),
        None if told is None else told.tell(seen.predicted), seen.bad,
        directions, [drift.prepare(column, chunked) for column in along.T],
    )  # fmt: skip


def _taken_apart(known: Reference) -> dict[str, Part]:
    """The reference as a window is taken apart, all sources at once."""
    if "parts" not in known.prepared:
        features, embeddings = ordinary_reference(known)
        found = parts.apart(features, known.predictions, embeddings, known.findings, empty(ANOMALIES), ())
        known.prepared["parts"] = {one.source: one for one in found}
    taken: dict[str, Part] = known.prepared["parts"]
    return taken


def _times(known: Reference) -> dict[str, pd.Series]:
    if "times" not in known.prepared:
        known.prepared["times"] = {str(source): times for source, times in known.features.groupby("source")["time"]}
    times: dict[str, pd.Series] = known.prepared["times"]
    return times


def _chunks(times: pd.Series, length: timedelta) -> NDArray[np.intp] | None:
    """The reference's own windows, numbered: images of one are alike; None where nothing tells them apart."""
    return None if times.isna().any() or times.empty else pd.factorize(times.dt.floor(length))[0]


def _usual_count(times: pd.Series, length: timedelta) -> float:
    timed = times.dropna()
    return float(timed.dt.floor(length).value_counts().median()) if len(timed) else float("nan")
