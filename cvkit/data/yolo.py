"""The deployed model, run through Ultralytics: load its weights safely, predict images."""

from __future__ import annotations

import functools
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cvkit.config import Config, ModelSettings
from cvkit.data import cache, checkpoints, pictures
from cvkit.data.checkpoints import CHECKPOINT
from cvkit.data.isolation import Lost
from cvkit.data.records import Records
from cvkit.errors import DataError
from cvkit.storage import memory_error, write_text
from cvkit.tables import BOXES, conform, empty

if TYPE_CHECKING:
    from numpy.typing import NDArray

# An unpickler that reads bytes which are no pickle can stumble over anything.
BROKEN_CHECKPOINT = (
    TypeError, ValueError, LookupError, AttributeError, UnpicklingError, RuntimeError, EOFError, ImportError,
)  # fmt: skip
WAITING = 4  # batches of images of other shapes that may wait to be filled
CORNERS = ["x1", "y1", "x2", "y2"]
SAID = ["class_id", "confidence", *CORNERS]  # of a predicted box
LOST_SINCE = {"lost": ""}  # what earlier versions did not keep of an image, and what it was then


Pixels = Callable[[Sequence[str]], AbstractContextManager[Iterator[pictures.Decoded]]]  # of paths, in their order
Batch = list[tuple[str, "NDArray[np.uint8]"]]  # ids and pictures


def prepare_environment(folder: Path) -> None:
    """Make Ultralytics keep to itself: nothing fetched, installed or sent, its settings in `folder`.

    Works only before ultralytics is first imported; variables the user has set stay as they are.
    """
    quiet = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "ULTRALYTICS_SAFE_LOAD": "1", "YOLO_VERBOSE": "false"}
    for name, value in {**quiet, "YOLO_CONFIG_DIR": str(folder)}.items():
        os.environ.setdefault(name, value)
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)


def load(weights: Path, settings_folder: Path) -> Any:
    """An Ultralytics model from a checkpoint, unpickled against an allow-list of classes only.

    Raises DataError where the file is missing, cut short, no checkpoint, or holds a task other than detection.
    """
    checkpoints.check(weights)
    wrong = {"where": str(weights), "expected": CHECKPOINT}
    try:
        model = _load_safely(weights, settings_folder)
    except BROKEN_CHECKPOINT as error:
        if short := memory_error(error):  # which is no fault of the file
            raise short from error
        raise DataError(
            "the weights cannot be loaded",
            found=" ".join(str(error).split())[:300],
            remedy="copy the file again: it is cut short, no checkpoint, or holds code that the safe loader refuses",
            **wrong,
        ) from error
    if model.task != "detect":
        remedy = "cvkit watches object detectors; segmentation, pose and oriented boxes are not supported"
        raise DataError("the weights are for a task that is not supported", found=model.task, remedy=remedy, **wrong)
    return model


class Deployed(NamedTuple):
    """The deployed model, and what the layer before its head last made of a batch: rows of numbers, one per image."""

    model: Any
    pooled: list[NDArray[np.float32]]


def champion(config: Config, purpose: str) -> Deployed:
    """The deployed model, loaded once for each `purpose`: a model keeps settings of how it was last run."""
    weights = config.resolve(config.model.weights)
    status = weights.stat() if weights.is_file() else None
    changed = (status.st_size, status.st_mtime_ns) if status else (0, 0)
    return _loaded(weights, changed, config.workspace / ".ultralytics", purpose)


@functools.lru_cache(maxsize=4)
def _loaded(weights: Path, changed: tuple[int, int], settings_folder: Path, purpose: str) -> Deployed:
    model = load(weights, settings_folder)
    pooled: list[NDArray[np.float32]] = []

    def keep(layer: Any, inputs: Any, output: Any) -> None:  # a plain function: Ultralytics deep-copies the model
        pooled[:] = output.mean(dim=(2, 3)).float().cpu().numpy()

    model.model.model[-2].register_forward_hook(keep)  # the layer that Ultralytics' `embed` takes
    return Deployed(model, pooled)


def _load_safely(weights: Path, settings_folder: Path) -> Any:
    prepare_environment(settings_folder)
    from ultralytics import YOLO, settings
    from ultralytics.utils import LOGGER

    LOGGER.setLevel(logging.ERROR)
    if settings["sync"]:
        settings.update({"sync": False})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch guesses at what is wrong with a file; our error says it
        checkpoint(weights)
        with without_quotes(weights) as path:
            return YOLO(str(path))


def checkpoint(weights: Path) -> dict[str, Any]:
    """What a checkpoint holds, read by the loader that runs no code."""
    from ultralytics.nn.tasks import torch_safe_load

    with without_quotes(weights) as path:
        content: dict[str, Any] = torch_safe_load(str(path), safe_only=True)[0]
    return content


@contextmanager
def without_quotes(path: Path) -> Iterator[Path]:
    """`path`, or another way to it: Ultralytics takes each ' out of the name of a file before it opens it."""
    if "'" not in str(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        alias = Path(folder) / ("way" + path.suffix)
        alias.symlink_to(path.absolute())
        yield alias


def predict(images: pd.DataFrame, config: Config, progress: Callable[[int], None] = lambda n: None) -> pd.DataFrame:
    """Predict every image that can be decoded: a row for each, boxes as lists (columns of SAID), and its embedding.

    The embedding is what `embed` gives, without a second pass; None where `model.embeddings` is off. Images that cannot
    be decoded have no row; one that ends each worker which decodes it has a row without lists, and why in `lost`, which
    is "" of others. `progress` is told how many images were done.
    """
    settings = config.model
    rows, lost = [], dict[str, str]()
    with _batches(images, settings.batch, by_workers(config), lost) as batches:
        deployed = champion(config, "predict")
        for batch in batches:
            seen = look(deployed, [picture for _, picture in batch], settings)
            for (image_id, _), (boxes, embedding) in zip(batch, seen, strict=True):
                columns = {name: boxes[:, position].tolist() for position, name in enumerate([*CORNERS, "confidence"])}
                classes = boxes[:, 5].astype(int).tolist()
                rows.append({"image_id": image_id, "class_id": classes, **columns, "embedding": embedding, "lost": ""})
            progress(len(batch))
    rows += _of_lost(lost)
    return pd.DataFrame(rows, columns=["image_id", *SAID, "embedding", "lost"])


def _of_lost(lost: dict[str, str]) -> list[dict[str, Any]]:
    return [{"image_id": image_id, "lost": why} for image_id, why in lost.items()]


def look(
    deployed: Deployed, pictures: list[NDArray[np.uint8]], settings: ModelSettings
) -> list[tuple[NDArray[np.float64], NDArray[np.float32] | None]]:
    """What the model says of pictures (rows, columns, 3) of one shape, BGR: boxes, and the embedding of each.

    Boxes (n, 6): x1, y1, x2, y2 in pixels, confidence, class. The embedding is None where `embeddings` is off.
    """
    results = deployed.model.predict(
        pictures, imgsz=settings.image_size, conf=settings.confidence, save=False, device=settings.device or None,
        verbose=False, batch=len(pictures),
    )  # fmt: skip
    pooled = [row.copy() for row in deployed.pooled] if settings.embeddings else [None] * len(pictures)
    boxes = [result.boxes.data.cpu().numpy().astype(float) for result in results]
    return list(zip(boxes, pooled, strict=True))


def embed(
    images: pd.DataFrame, config: Config, progress: Callable[[int], None] = lambda n: None,
    pixels: Pixels | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The model's embedding of every image that can be decoded: `image_id`, `embedding`, an array of float32, `lost`.

    One that ends each worker which decodes it has None, and the reason in `lost`. `pixels` gives the pictures of paths
    where they do not lie in files.
    """
    settings = config.model
    rows, lost = [], dict[str, str]()
    with _batches(images, settings.batch, pixels or by_workers(config), lost) as batches:
        deployed = champion(config, "embed")
        for batch in batches:
            found = deployed.model.embed(
                [picture for _, picture in batch], imgsz=settings.image_size, device=settings.device or None,
                verbose=False, batch=len(batch), save=False,
            )  # fmt: skip
            for (image_id, _), one in zip(batch, found, strict=True):
                rows.append({"image_id": image_id, "embedding": one.cpu().numpy(), "lost": ""})
            progress(len(batch))
    rows += _of_lost(lost)
    return pd.DataFrame(rows, columns=["image_id", "embedding", "lost"])


def predict_missing(
    config: Config,
    records: Records,
    cache_folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Records, pd.DataFrame]:
    """`records` with predictions by the champion's weights for the images that came without; kept for the next time.

    Beside them the embeddings that the same pass gave: `image_id` and `embedding`. Without weights nothing is
    predicted. The model is loaded only when an image is not in the cache.
    """
    images = records.images[~records.images["predicted"] & (records.images["path"] != "")]
    if images.empty or not config.model.weights:
        return records, pd.DataFrame(columns=["image_id", "embedding"])

    def compute(new: pd.DataFrame) -> pd.DataFrame:
        done = 0

        def step(count: int) -> None:
            nonlocal done
            done += count
            progress(done, len(new))

        return predict(new, config, step)

    rows = cache.by_image(cache_folder, images, compute, [*SAID, "embedding", "lost"], since=LOST_SINCE)
    boxes = rows[["image_id", *SAID]].explode(SAID).dropna(subset=["class_id"])
    made = conform(boxes, BOXES) if len(boxes) else empty(BOXES)
    good = rows.loc[rows["lost"] == "", "image_id"]
    covered = records.images["predicted"] | records.images["image_id"].isin(good)
    predictions = pd.concat([records.predictions, made], ignore_index=True)
    told = with_lost(records, rows)
    told = replace(told, images=records.images.assign(predicted=covered), predictions=predictions)
    return told, rows[["image_id", "embedding"]].dropna(ignore_index=True)


def with_lost(records: Records, rows: pd.DataFrame) -> Records:
    """`records` with what is told of images that ended the workers which decoded them, by rows with `lost`."""
    told = rows[rows["lost"] != ""]
    return replace(records, lost={**records.lost, **dict(zip(told["image_id"], told["lost"], strict=True))})


def class_names(config: Config) -> dict[int, str]:
    """The class names the weights carry, by id; kept beside predictions, so that the model is loaded once for them."""
    kept = config.workspace / "predictions" / f"classes-{config.version}.json"
    try:
        said = json.loads(kept.read_text(encoding="utf-8"))
        return {int(number): str(name) for number, name in said.items()}
    except (OSError, ValueError, AttributeError):  # none yet, or damaged: they can be read again
        names = {int(number): str(name) for number, name in champion(config, "predict").model.names.items()}
    write_text(kept, json.dumps(names, ensure_ascii=False))
    return names


def by_workers(config: Config) -> Pixels:
    """Pictures of files, decoded by this machine's workers."""
    return functools.partial(pictures.decoding, workers=config.workers)


@contextmanager
def _batches(
    images: pd.DataFrame, size: int, pixels: Pixels, lost: dict[str, str] | None = None
) -> Iterator[Iterator[Batch]]:
    """Images of one shape, date and source: what a model says depends on what else is in the batch.

    On the padding, as Ultralytics pads a mixed batch to squares, and in the last digits on the number of its images. So
    what is said of an image does not hang on which other sources were known already, as after a kill. `lost` is told
    which images end their workers, and how.
    """
    days = images["time"].dt.strftime("%Y-%m-%d").fillna("") if "time" in images else [""] * len(images)
    groups = [part for _, part in images.groupby([days, images.get("source", days)], sort=False)]
    with pixels([path for part in groups for path in part["path"]]) as found:
        yield (
            batch
            for part in groups
            for batch in _of_one_shape(part["image_id"].tolist(), found, size, {} if lost is None else lost)
        )


def _of_one_shape(
    image_ids: list[str], found: Iterator[pictures.Decoded], size: int, lost: dict[str, str]
) -> Iterator[Batch]:
    waiting: dict[tuple[int, ...], Batch] = {}
    for image_id, picture in zip(image_ids, found, strict=False):  # `found` goes on with the next group
        if isinstance(picture, Lost):
            lost[image_id] = f"a process that decodes it for the model {picture.reason}"
        if picture is None or isinstance(picture, Lost):
            continue
        batch = waiting.setdefault(picture.shape, [])
        batch.append((image_id, picture))
        crowded = sum(map(len, waiting.values())) >= WAITING * size
        if len(batch) == size or crowded:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()
