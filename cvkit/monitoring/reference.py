"""The reference: the sample the model was accepted on, measured once and then frozen."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cvkit.config import Config
from cvkit.data import embeddings, sources, yolo
from cvkit.data import features as feature_step
from cvkit.data.headers import NOT_GIVEN
from cvkit.data.sources import listing
from cvkit.errors import DataError, StorageError
from cvkit.monitoring import contexts, quality
from cvkit.monitoring.contexts import Contexts
from cvkit.monitoring.identity import FACTS, TABLES, check_columns, damaged, reference_folder, settings_id
from cvkit.storage import lock, read_parquet, remove_tree, write_parquet, write_text
from cvkit.tables import conform

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Reference:
    """What is normal: the reference's images as numbers, and the limits learnt from them."""

    id: str  # of all settings it depends on, and of what was measured
    images: pd.DataFrame  # table IMAGES: where the files lay when they were measured
    features: pd.DataFrame  # table FEATURES
    predictions: pd.DataFrame  # table BOXES
    labels: pd.DataFrame  # table BOXES; of the images that are labelled
    findings: pd.DataFrame  # table FINDINGS: what is wrong with the reference itself
    embeddings: pd.DataFrame  # image_id and embedding; empty where there are none
    limits: dict[str, quality.Limits]  # by source; {"": ...} where the reference names no sources
    classes: dict[int, str]
    match: tuple[str, ...] = ()  # contexts within which images are compared, such as the hour
    independent: bool = False  # whether images without times tell how much healthy ones vary
    time_zone: str = "UTC"  # in which hours and weekdays are told
    prepared: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)  # what `measure` keeps of it

    @property
    def sources(self) -> list[str]:
        """The sources it knows; [""] where its images carry none, and then it holds for every source."""
        return sorted(self.limits)

    def part(self, source: str) -> str | None:
        """Which of its sources `source` is compared with; None where there is none to compare with."""
        return source if source in self.limits else "" if self.sources == [""] else None


def load(config: Config, progress: Progress = lambda done, total: None) -> Reference:
    """Load the frozen reference of these settings; measured now if this is the first time they are used.

    A reference does not change when the files it was made from change: `build` makes it anew.
    """
    folder = reference_folder(config)
    if not (folder / FACTS).is_file():
        with lock(config.workspace / "locks" / "reference.lock", "measuring the reference"):
            if not (folder / FACTS).is_file():
                _save(build(config, progress), folder)
    return read(folder)


def build(config: Config, progress: Progress = lambda done, total: None) -> Reference:
    """Measure the reference from its files. Raises DataError where no image of it can be read."""
    own, named = config.workspace, f"reference/{settings_id(config)}"
    found = sources.load_reference(config)
    records, seen = yolo.predict_missing(config, found, own / "predictions" / named, progress)
    features = feature_step.extract(config, records, own / "features" / named, progress)
    records, embedded = embeddings.extract(config, records, seen, own / "embeddings" / named, progress)
    if not (features["damage"] == "").any():
        raise DataError(
            "no image of the reference can be read",
            where=config.reference.data or "captures",
            found=f"{len(features)} files, none of them a readable image",
            remedy="correct `reference` in cvkit.yml",
        )
    learnt = {
        str(source): contexts.learn(group, embedded, config.reference.match, config.captures.time_zone)
        for source, group in features.groupby("source")
    }
    usual, _ = _ordinary(features, embedded, learnt.__getitem__, own=True)
    limits = {str(source): quality.learn(group) for source, group in usual.groupby("source")}
    findings = quality.find(records, usual, limits, window=None, predicts=config.reference_predicts)
    _check_given(findings)
    content = _digest(features, records.predictions, records.labels, embedded)
    return Reference(
        f"{settings_id(config)}-{content}", records.images, features, records.predictions, records.labels, findings,
        embedded, limits, records.classes, tuple(config.reference.match), config.reference.independent,
        config.captures.time_zone,
    )  # fmt: skip


def _check_given(findings: pd.DataFrame) -> None:
    """Raise StorageError where the store did not give a file: what is frozen is to be the whole reference."""
    lacking = findings[findings["detail"].str.contains(NOT_GIVEN, regex=False)]
    if len(lacking):
        first = lacking.iloc[0]
        raise StorageError(
            "not all of the reference can be read", where=str(first["image_id"]), expected="every file of it",
            found=f"{len(lacking)} that it did not; {first['detail']}"[:300],
            remedy="see to the store, then run the same command again: what was measured is kept",
        )  # fmt: skip


def _digest(features: pd.DataFrame, *tables: pd.DataFrame) -> str:
    """A name for what the reference holds, wherever its files lie."""
    digest = hashlib.sha256()
    for table in (features, *tables):
        for name in table.columns:
            column = table[name].map(lambda one: np.asarray(one).tobytes()) if name == "embedding" else table[name]
            digest.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:6]


def ordinary(
    reference: Reference, features: pd.DataFrame, embeddings: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and embeddings of images as they would be in an ordinary context of their part of the reference.

    As they are, where the reference has no contexts to match, or no images of the source.
    """
    if not reference.match:
        return features, embeddings
    return _ordinary(features, embeddings, lambda source: context(reference, source), own=False)


def ordinary_reference(reference: Reference) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same of the reference's own images."""
    if "ordinary" not in reference.prepared:
        reference.prepared["ordinary"] = _ordinary(
            reference.features, reference.embeddings, lambda source: context(reference, source), own=True
        )
    own: tuple[pd.DataFrame, pd.DataFrame] = reference.prepared["ordinary"]
    return own


def context(reference: Reference, source: str) -> Contexts | None:
    """The contexts within which images of a source are compared; None where there are none."""
    part = reference.part(source)
    if part is None or not reference.match:
        return None
    if ("contexts", part) not in reference.prepared:
        known = reference.features[reference.features["source"] == part]
        learnt = contexts.learn(known, reference.embeddings, reference.match, reference.time_zone)
        reference.prepared["contexts", part] = learnt
    found: Contexts | None = reference.prepared["contexts", part]
    return found


def _ordinary(
    features: pd.DataFrame, embeddings: pd.DataFrame, contexts_of: Callable[[str], Contexts | None], *, own: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    parts = []
    for source, part in features.groupby("source"):
        vectors = embeddings[embeddings["image_id"].isin(part["image_id"])]
        known = contexts_of(str(source))
        parts.append((part, vectors) if known is None else contexts.ordinary(known, part, vectors, own=own))
    if not parts:
        return features, embeddings
    tables, seen = (list(side) for side in zip(*parts, strict=True))
    return pd.concat(tables).loc[features.index], pd.concat(seen, ignore_index=True)


def _save(reference: Reference, folder: Path) -> None:
    # Paths below the workspace are kept as seen from there: it may be moved, or restored elsewhere.
    paths = [listing.image_id(path, _workspace(folder)) for path in reference.images["path"]]
    for name in TABLES:
        table: pd.DataFrame = getattr(reference, name)
        write_parquet(table.assign(path=paths) if name == "images" else table, folder / f"{name}.parquet")
    write_parquet(reference.embeddings, folder / "embeddings.parquet")
    facts = {
        "id": reference.id,
        "classes": reference.classes,
        "match": reference.match,
        "independent": reference.independent,
        "time_zone": reference.time_zone,
        "limits": {source: asdict(limits) for source, limits in reference.limits.items()},
    }
    write_text(folder / FACTS, json.dumps(facts, indent=2))  # last: its presence says all is there


def read(folder: Path) -> Reference:
    """The reference that is kept in a folder. Raises StorageError where it is damaged, or not all of it is there."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        images, features, predictions, labels, findings = (
            _table(folder / f"{name}.parquet", columns) for name, columns in TABLES.items()
        )
        root = _workspace(folder)
        images = images.assign(path=[str(root / path) if path else "" for path in images["path"]])
        limits = {source: _limits(stored) for source, stored in facts["limits"].items()}
        classes = {int(number): name for number, name in facts["classes"].items()}
        embedded = read_parquet(folder / "embeddings.parquet", list(embeddings.COLUMNS))
        matched = tuple(facts["match"]), bool(facts["independent"]), str(facts["time_zone"])
        return Reference(
            facts["id"], images, features, predictions, labels, findings, embedded, limits, classes, *matched
        )  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:  # whatever shape the files have
        raise damaged(folder, error) from error


def _workspace(folder: Path) -> Path:
    """The workspace of a stored reference, as the sources have it."""
    return Path(os.path.abspath(folder.parents[1]))  # noqa: PTH100  links stay as they are


def _table(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    table = read_parquet(path)
    check_columns(path, list(table.columns), columns)
    return conform(table, columns)


def _limits(stored: dict[str, Any]) -> quality.Limits:
    """Limits as JSON gives them back: lists where there were tuples."""
    return quality.Limits(
        **{
            **stored,
            "ranges": {name: tuple(ends) for name, ends in stored["ranges"].items()},
            "modes": tuple(stored["modes"]),
            "sizes": tuple(tuple(size) for size in stored["sizes"]),
        }
    )


def discard(config: Config) -> None:
    """Forget the frozen reference of these settings, so that the next use measures it again from its files."""
    for folder in ("references", "features/reference", "predictions/reference", "embeddings/reference"):
        remove_tree(config.workspace / folder / settings_id(config))


def describe(reference: Reference) -> str:
    """What the reference consists of, as a table for a terminal."""
    lines = [
        f"reference {reference.id}: {len(reference.features)} images, {len(reference.predictions)} predicted boxes"
    ]
    for source in reference.sources:
        part = reference.features[reference.features["source"] == source]
        times = part["time"].dropna()
        days = f", {times.min():%Y-%m-%d} to {times.max():%Y-%m-%d}" if len(times) else ", no times"
        bad = reference.findings.loc[reference.findings["source"] == source, "image_id"].nunique()
        lines.append(f"  {source or '(no source)'}: {len(part)} images{days}, {bad} with findings")
    return "\n".join(lines)
