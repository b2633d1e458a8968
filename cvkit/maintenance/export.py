"""A version for other places: as ONNX, checked to say the same; and in MLflow's registry."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cvkit.config import Config
from cvkit.config.champion import WEIGHTS
from cvkit.data import checkpoints, pictures, yolo
from cvkit.errors import ConfigError, DataError, StorageError, need
from cvkit.maintenance import versions
from cvkit.maintenance.versions import Version
from cvkit.stats.change.overlap import iou
from cvkit.storage import replacing

FILE = "weights.onnx"
PIXELS, SCORE = 1.0, 0.01  # by which boxes and scores may differ
CHECKED = 64  # images the two are compared on
NEAR = 0.9  # overlap from which two boxes are the same one


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far an exported model says the same as its weights."""

    file: Path
    images: int
    boxes: int
    pixels: float  # largest difference of a corner
    score: float  # largest difference of a confidence
    alone: int  # boxes that only one of the two has, but for those at the edge of the confidence


def onnx(config: Config, version: Version, images: pd.DataFrame) -> Agreement:
    """Write a version as `weights.onnx` into its folder, once it says the same on `images` (table IMAGES).

    Boxes within `PIXELS` pixels, scores within `SCORE`. Raises ConfigError where onnx or onnxruntime is not installed,
    DataError where the two do not agree; then nothing is written.
    """
    need("onnx", "onnxruntime", extra="onnx")
    checkpoints.check(version.weights)
    with tempfile.TemporaryDirectory(prefix="cvkit-export-") as folder:
        made = _exported(config, version, Path(folder))
        agreement = _compared(config, version, made, images)
        if agreement.alone or agreement.pixels > PIXELS or agreement.score > SCORE:
            raise DataError(
                "the exported model does not say what its weights say", where=str(version.weights),
                expected=f"boxes within {PIXELS:g} px, confidences within {SCORE:g}",
                found=f"up to {agreement.pixels:.2f} px and {agreement.score:.3f}, {agreement.alone} boxes of one only",
                remedy="keep the .pt file in use, and try other versions of onnx and onnxruntime",
            )  # fmt: skip
        with replacing(agreement.file) as part:
            shutil.copyfile(made, part)
    return agreement


def register(config: Config, version: Version, uri: str) -> str:
    """Hand a version over to MLflow's registry at `uri`, as `champion` or `challenger`; the number it has there.

    The alias `champion` is of cvkit's champion, or of none where that was not handed over. Raises ConfigError where
    mlflow, or what it needs for this registry, is not installed; StorageError where the registry does not take it.
    """
    need("mlflow", extra="mlflow")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    name, champion = config.model.name, versions.champion(config).name
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        if not client.search_registered_models(filter_string=f"name = '{name}'"):
            client.create_registered_model(name)
        known = {
            one.tags["cvkit"]: str(one.version)
            for one in client.search_model_versions(f"name = '{name}'")
            if "cvkit" in one.tags
        }
        if version.name not in known:
            tags = {"cvkit": version.name, "kind": version.kind, "parent": version.parent, "data": version.data}
            known[version.name] = str(client.create_model_version(name, version.folder.as_uri(), tags=tags).version)
        _alias(client, name, known[version.name], known.get(champion, ""))
    except ImportError as error:
        raise ConfigError(
            "MLflow lacks a package for this registry", where=uri, found=str(error),
            remedy="pip install 'cvkit[mlflow]', and the driver of the database where it is one",
        ) from error  # fmt: skip
    except (MlflowException, OSError, ValueError) as error:
        raise StorageError(
            "MLflow's registry did not take the version", where=uri, found=" ".join(str(error).split())[:300],
            remedy="check the address, and what the registry says",
        ) from error  # fmt: skip
    return known[version.name]


def _alias(client: Any, name: str, number: str, champion: str) -> None:
    """Make the aliases those of now: after a promotion or a rollback the old ones would be wrong."""
    aliases = {alias: str(one) for alias, one in client.get_registered_model(name).aliases.items()}
    wanted = {"champion": champion, "challenger": aliases.get("challenger", "") if number == champion else number}
    if wanted["challenger"] == champion:
        wanted["challenger"] = ""
    for alias, one in wanted.items():
        if one and aliases.get(alias) != one:
            client.set_registered_model_alias(name, alias, one)
        elif not one and alias in aliases:
            client.delete_registered_model_alias(name, alias)


def _exported(config: Config, version: Version, folder: Path) -> Path:
    """The ONNX file, made in `folder`: Ultralytics writes beside the weights."""
    weights = folder / WEIGHTS
    shutil.copyfile(version.weights, weights)
    model = yolo.load(weights, config.workspace / ".ultralytics")
    # dynamic: so that images keep their shape, as they do with the weights, and are not padded to squares
    model.export(
        format="onnx", imgsz=config.model.image_size, dynamic=True, simplify=False, device="cpu", verbose=False
    )
    return weights.with_suffix(".onnx")


def _compared(config: Config, version: Version, file: Path, images: pd.DataFrame) -> Agreement:
    from ultralytics import YOLO

    chosen = np.unique(np.linspace(0, len(images) - 1, min(CHECKED, len(images))).astype(int))
    shown = [one for path in images["path"].iloc[chosen] if (one := pictures.decode(path)) is not None]
    if not shown:
        raise DataError("no image to compare the export on", expected="readable test images", found=f"{len(images)}")
    ours = yolo.load(version.weights, config.workspace / ".ultralytics")
    pixels, scores, alone, count = [0.0], [0.0], 0, 0
    floor = max(config.model.confidence - SCORE, 0.001)
    for picture in shown:
        one, other = (_said(model, picture, config, floor) for model in (ours, YOLO(str(file), task="detect")))
        pairs, lonely = _paired(one, other, config.model.confidence + SCORE)
        alone, count = alone + lonely, count + len(one)
        pixels += [float(np.abs(one[i, :4] - other[j, :4]).max()) for i, j in pairs]
        scores += [abs(float(one[i, 4] - other[j, 4])) for i, j in pairs]
    return Agreement(version.folder / FILE, len(shown), count, max(pixels), max(scores), alone)


def _said(model: Any, picture: Any, config: Config, floor: float) -> Any:
    """Boxes (n, 6): corners, confidence, class."""
    results = model.predict(
        picture, imgsz=config.model.image_size, conf=floor, device="cpu", save=False, verbose=False
    )  # fmt: skip
    return results[0].boxes.data.cpu().numpy().astype(float)


def _paired(one: Any, other: Any, sure: float) -> tuple[list[tuple[int, int]], int]:
    """Boxes of the same class at the same place, and how many sure ones of either have no other."""
    pairs: list[tuple[int, int]] = []
    for i in range(len(one)):
        free = [j for j in range(len(other)) if other[j, 5] == one[i, 5] and j not in {b for _, b in pairs}]
        if free:
            overlap = iou(np.repeat(one[i : i + 1, :4], len(free), axis=0), other[free][:, :4])
            if overlap.max() >= NEAR:
                pairs.append((i, free[int(overlap.argmax())]))
    matched = [{pair[side] for pair in pairs} for side in (0, 1)]
    lonely = sum(
        boxes[k, 4] >= sure and k not in known for boxes, known in zip((one, other), matched, strict=True)
        for k in range(len(boxes))
    )  # fmt: skip
    return pairs, int(lonely)
