"""Features: numbers per image, from its pixels and from what the model predicted on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from cvkit.config import Config
from cvkit.data import cache, engine, images, measuring
from cvkit.data.headers import NOT_GIVEN
from cvkit.data.labelled import f1_of_images, labelled
from cvkit.data.records import Records
from cvkit.tables import FEATURES, PREDICTION_FEATURES, conform

FACTS = [field.name for field in fields(images.ImageFacts)]
CHUNK = 32  # images that a worker is given at a time
VERSION = "1"  # of the definitions of PROPERTIES: raised when a value changes, so that caches are made anew


def extract(
    config: Config,
    records: Records,
    cache_folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """The table FEATURES of `records`: one row per image, in the order of `records.images`.

    What comes from pixels is computed once per image file and kept in `cache_folder`, but for images of which it is
    known already (`records.known`); what comes from predictions is
    computed each time, which is cheap, and so is what comes from labels. Features of pixels that cannot be read are
    NaN, as are those of images without predictions, or labels; an image on which the model found nothing has 0 boxes
    and NaN for the boxes' properties.
    """
    done = 0

    def compute(new: pd.DataFrame) -> pd.DataFrame:
        nonlocal done
        paths = new["path"].tolist()
        chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
        found = dict[int, list[measuring.Facts]]()
        for number, results in engine.run(measuring.of_files, chunks, workers=config.workers):
            found[number] = [measuring.lost(one) if isinstance(one, engine.Lost) else one for one in results]
            done += len(results)
            progress(done, len(records.images))
        rows = [facts for number in range(len(chunks)) for facts in found[number]]
        table = pd.DataFrame(rows, columns=FACTS).astype({"dhash": "uint64"})
        return table.assign(image_id=new["image_id"].to_numpy())

    known = records.known
    files = records.images if known is None else records.images[~records.images["image_id"].isin(known["image_id"])]
    facts = cache.by_image(cache_folder, files, compute, FACTS, lasts=_given)
    if known is not None and len(known):
        facts = pd.concat([facts, known], ignore_index=True) if len(facts) else known
    wide = records.images[["image_id", "source", "time"]].merge(facts, on="image_id", how="left")
    sized = records.images.assign(
        width=records.images["width"].fillna(wide["width"]), height=records.images["height"].fillna(wide["height"])
    )
    good = f1_of_images(labelled(records.images, records.predictions, records.labels), config.model.confidence)
    told = from_boxes(sized, records.predictions).merge(good, on="image_id", how="left")
    return conform(wide.merge(told, on="image_id", how="left"), FEATURES)


def _given(facts: pd.DataFrame) -> pd.Series:
    """Which files the store gave; the others are tried again the next time."""
    return ~facts["damage_detail"].str.startswith(NOT_GIVEN)


def copies(features: pd.DataFrame) -> pd.Series:
    """Whether each image has the content of an earlier one; of unknown content it is like no other."""
    return features["content"].duplicated() & (features["content"] != "")


def from_boxes(records: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """PREDICTION_FEATURES of each image in `records` (table IMAGES) that has predictions, by `image_id`.

    `box_area` is the mean of w*h / (W*H), `box_aspect` the mean of log2(w / h), `box_x` and `box_y` the mean centre
    over W and H: a box is one observation of its image, not one of its own, as boxes of one image are alike.
    """
    covered = records.loc[records["predicted"], ["image_id", "width", "height"]]
    boxes = predictions.merge(covered, on="image_id")
    across, down = boxes["x2"] - boxes["x1"], boxes["y2"] - boxes["y1"]
    with np.errstate(divide="ignore", invalid="ignore"):
        numbers = pd.DataFrame(
            {
                "image_id": boxes["image_id"],
                "confidence": boxes["confidence"],
                "box_area": across * down / (boxes["width"] * boxes["height"]),
                "box_aspect": np.log2(across / down),
                "box_x": (boxes["x1"] + boxes["x2"]) / 2 / boxes["width"],
                "box_y": (boxes["y1"] + boxes["y2"]) / 2 / boxes["height"],
            }
        ).replace([np.inf, -np.inf], np.nan)
    grouped = numbers.groupby("image_id", sort=False)
    table = covered[["image_id"]].merge(grouped.mean(), on="image_id", how="left")
    counts = table["image_id"].map(grouped.size()).fillna(0.0).astype(float)
    return table.assign(boxes=counts)[["image_id", *PREDICTION_FEATURES]]
