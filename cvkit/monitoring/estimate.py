"""Estimates: how good the model is on a window's images before anybody has labelled them.

At reference time some of its labelled images are corrupted on purpose and looked at again by the deployed model; what
that teaches (`cvkit.stats.unlabelled.estimation`) is kept beside the frozen reference. A window then costs next to
nothing: its boxes and embeddings are there already.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.config import Config
from cvkit.data import corruptions, yolo
from cvkit.data.embeddings import matrix
from cvkit.data.features import copies
from cvkit.data.isolation import Lost
from cvkit.data.labelled import CORNERS
from cvkit.data.records import Records
from cvkit.monitoring.identity import reference_folder
from cvkit.monitoring.reference import Reference
from cvkit.stats.arrays import Floats
from cvkit.stats.quality import boxes
from cvkit.stats.quality.boxes import Booleans, Truth
from cvkit.stats.unlabelled import estimation, signals
from cvkit.stats.unlabelled.estimation import Estimate, Estimator, Example
from cvkit.stats.unlabelled.expectation import METRICS
from cvkit.stats.unlabelled.signals import Scene
from cvkit.storage import lock, replacing
from cvkit.tables import MEASUREMENTS, conform, empty

log = logging.getLogger(__name__)

FORMAT = 1  # raised when corruptions, signals or what is kept of an estimator change
MOST = 1000  # images of a window and source that are looked at: more make the sampling noise no smaller than the rest
CONDITIONS = (("", 0), *((family, severity) for family in corruptions.FAMILIES for severity in corruptions.SEVERITIES))

Progress = Callable[[int, int], None]


def load(config: Config, reference: Reference, progress: Progress = lambda done, total: None) -> Estimator | None:
    """The estimator of this reference and these weights; learnt now if this is the first time they are used.

    None without weights, where `model.estimate_images` is 0, and where fewer than 30 images of the reference can be
    read and have labels. `progress` hears images looked at, under all corruptions, and folds fitted.
    """
    if "estimator" not in reference.prepared:
        reference.prepared["estimator"] = _load(config, reference, progress)
    found: Estimator | None = reference.prepared["estimator"]
    return found


def measure(
    estimator: Estimator | None, config: Config, records: Records, features: pd.DataFrame, embeddings: pd.DataFrame
) -> pd.DataFrame:
    """Rows of MEASUREMENTS, feature "estimate": `METRICS` of each source, 0..1, higher is better.

    `low` and `high` are the band that holds in 90 % of windows what labels would tell, `expected` is the reference's by
    its labels. NaN where nothing can be told: `of_source` says why. Empty without an estimator.
    """
    if estimator is None:
        return empty(MEASUREMENTS)
    sources = sorted(set(features["source"]))
    told = {source: of_source(estimator, config, source, records, features, embeddings) for source in sources}
    rows = [row for source, one in told.items() for row in _rows(source, one, estimator)]
    return conform(pd.DataFrame(rows), MEASUREMENTS) if rows else empty(MEASUREMENTS)


def of_source(
    estimator: Estimator,
    config: Config,
    source: str,
    records: Records,
    features: pd.DataFrame,
    embeddings: pd.DataFrame,
) -> Estimate:
    """The estimate of one source's images that can be read and have predictions, each content once.

    Of more than `MOST` a sample, the same each time. Boxes of classes that the reference does not know are left out.
    """
    readable = features["damage"].isin(["", "truncated"]) & features["boxes"].notna()
    images = features[(features["source"] == source) & readable]
    images = images[~copies(images)]
    vectors, width = matrix(embeddings, images["image_id"]), estimator.knowledge.centre.size
    if width:
        vectors = vectors if vectors.size else np.full((len(images), width), np.nan)
        known = np.flatnonzero(~np.isnan(vectors).any(axis=1))
        images, vectors = images.take(known), vectors[known]
    chosen = _some(len(images), MOST)
    said = records.predictions[records.predictions["confidence"] >= config.model.confidence]
    said = said[said["class_id"].between(0, estimator.knowledge.familiar.size - 1)]
    return estimation.estimate(estimator, _scene(images.take(chosen), vectors[chosen] if width else None, said))


def _scene(images: pd.DataFrame, vectors: Floats | None, said: pd.DataFrame) -> Scene:
    place = pd.Series(np.arange(len(images)), index=images["image_id"].to_numpy())
    said = said[said["image_id"].isin(place.index)]
    found = boxes.predictions(
        place.loc[said["image_id"]].to_numpy(), said["class_id"].to_numpy(), said[CORNERS].to_numpy(float),
        said["confidence"].to_numpy(float),
    )  # fmt: skip
    return signals.scene(len(images), images[["width", "height"]].to_numpy(float), found, vectors)


def _rows(source: str, told: Estimate, estimator: Estimator) -> Iterator[dict[str, Any]]:
    if told.reason:
        log.info("%s: no estimate without labels: %s", source or "all images", told.reason)
    columns = (told.value, told.low, told.high, estimator.usual)
    for name, value, low, high, usual in zip(METRICS, *(column.tolist() for column in columns), strict=True):
        yield {
            "source": source, "feature": "estimate", "metric": name, "value": value, "low": low, "high": high,
            "expected": usual, "n": told.n, "n_reference": estimator.images,
        }  # fmt: skip


# -- learning -------------------------------------------------------------------------------------------------------


def _load(config: Config, reference: Reference, progress: Progress) -> Estimator | None:
    chosen = _chosen(config, reference)
    if len(chosen) < estimation.MINIMUM:
        return None
    path = reference_folder(config) / f"estimator-{_key(config, reference)}.npz"
    if (kept := _read(path)) is not None:
        return kept
    with lock(config.workspace / "locks" / "estimator.lock", "learning to estimate without labels", wait_s=3600):
        if (kept := _read(path)) is None:
            kept = learn(config, reference, chosen, progress)
            _write(kept, path)
    return kept


def _write(estimator: Estimator | None, path: Path) -> None:
    if estimator is not None:
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **estimation.to_arrays(estimator))  # type: ignore[arg-type, unused-ignore]


def _read(path: Path) -> Estimator | None:
    """A kept estimator; None where there is none, or a damaged one, which is learnt again."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # a damaged one is closed, too
            return estimation.from_arrays(arrays)
    except (OSError, ValueError, LookupError, EOFError, BadZipFile):
        return None


def _key(config: Config, reference: Reference) -> str:
    """Name of all that an estimator depends on."""
    run_as = config.model.model_dump(mode="json", include={"image_size", "confidence", "embeddings", "estimate_images"})
    deciding = {"format": FORMAT, "reference": reference.id, "version": config.version, "model": run_as}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]


def _chosen(config: Config, reference: Reference) -> pd.DataFrame:
    """The images to learn from: labelled, whole, still there, each content once; at most `estimate_images` of them."""
    if not config.model.weights or not config.model.estimate_images:
        return reference.images[:0]
    whole = reference.features[(reference.features["damage"] == "") & ~copies(reference.features)]
    images = reference.images[reference.images["labelled"] & reference.images["image_id"].isin(whole["image_id"])]
    images = images[images["path"].map(lambda path: Path(path).is_file()).astype(bool)]
    return images.iloc[_some(len(images), config.model.estimate_images)]


def _some(n: int, most: int) -> NDArray[np.intp]:
    """Places of at most `most` of n, in order; the same each time."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """What the model says of one image under one corruption, and which of its labels can still be seen."""

    boxes: NDArray[np.float64]  # (n, 6)
    embedding: NDArray[np.float32] | None
    visible: Booleans  # (labels,)


def learn(config: Config, reference: Reference, images: pd.DataFrame, progress: Progress) -> Estimator | None:
    """An estimator from labelled images of the reference, which are looked at under all corruptions.

    None where fewer than 30 of them can be decoded. One that ends each worker which decodes it is left out.
    """
    told = reference.labels[reference.labels["image_id"].isin(images["image_id"])]
    by_image = {str(name): part for name, part in told.groupby("image_id")}
    looks, sizes, labelled = [], [], []
    with yolo.by_workers(config)(images["path"].tolist()) as found:
        deployed = yolo.champion(config, "estimate")
        for number, (image_id, picture) in enumerate(zip(images["image_id"], found, strict=True)):
            if isinstance(picture, Lost):
                log.warning("%s is not learnt from: a process that decodes it %s", image_id, picture.reason)
            elif picture is not None:
                labelled.append(by_image.get(image_id, told[:0]))
                looks.append(_look(deployed, config, picture, labelled[-1][CORNERS].to_numpy(float), number))
                sizes.append(picture.shape[1::-1])
            progress(number + 1, len(images))
    if len(looks) < estimation.MINIMUM:
        return None
    classes = 1 + int(max([*reference.classes, *told["class_id"], *_largest(looks)], default=0))
    examples = [
        _example(family, [one[place] for one in looks], labelled, np.array(sizes, dtype=float))
        for place, (family, _) in enumerate(CONDITIONS)
    ]
    return estimation.fit(examples, classes)


def _look(
    deployed: yolo.Deployed, config: Config, picture: NDArray[np.uint8], corners: Floats, seed: int
) -> list[_Look]:
    """One picture under each of `CONDITIONS`, in batches."""
    shown = [corruptions.corrupt(picture, *one, seed) if one[0] else picture for one in CONDITIONS]
    size = config.model.batch
    parts = [yolo.look(deployed, shown[low : low + size], config.model) for low in range(0, len(shown), size)]
    stays = [
        corruptions.visible(corners, corruptions.covered(picture.shape, severity, seed))
        if family == "occlusion"
        else np.ones(len(corners), dtype=bool)
        for family, severity in CONDITIONS
    ]
    said = [one for part in parts for one in part]
    return [_Look(*one, visible) for one, visible in zip(said, stays, strict=True)]


def _largest(looks: list[list[_Look]]) -> Iterator[int]:
    return (int(one.boxes[:, 5].max()) for image in looks for one in image if len(one.boxes))


def _example(family: str, looks: list[_Look], labelled: list[pd.DataFrame], sizes: Floats) -> Example:
    rows = np.concatenate([one.boxes for one in looks])
    image = np.repeat(np.arange(len(looks)), [len(one.boxes) for one in looks])
    found = boxes.predictions(image, rows[:, 5].astype(int), rows[:, :4], rows[:, 4])
    vectors = [one.embedding for one in looks if one.embedding is not None]
    scene = signals.scene(len(looks), sizes, found, np.stack(vectors) if vectors else None)
    return Example(family, scene, _truth([told[one.visible] for one, told in zip(looks, labelled, strict=True)]))


def _truth(labelled: list[pd.DataFrame]) -> Truth:
    table = pd.concat(labelled)
    aside = table["aside"].to_numpy(dtype=str)
    image = np.repeat(np.arange(len(labelled)), [len(one) for one in labelled])
    return boxes.truth(
        image, table["class_id"].to_numpy(), table[CORNERS].to_numpy(float), crowd=aside == "crowd", ignore=aside != ""
    )
