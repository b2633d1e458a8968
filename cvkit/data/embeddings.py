"""Embeddings: what the deployed model makes of an image before it decides what it sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.config import Config
from cvkit.data import cache, yolo
from cvkit.data.records import Records

COLUMNS = ("image_id", "embedding")


def extract(
    config: Config,
    records: Records,
    known: pd.DataFrame,
    cache_folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Records, pd.DataFrame]:
    """The embedding (an array of float32) of every image that can be decoded, by `image_id`; kept for the next time.

    `known` ones, which came with the predictions, are not computed again. Empty without weights, or where
    `model.embeddings` is off. Beside it `records`, told of images that end each worker which decodes them.
    """
    if not config.model.weights or not config.model.embeddings:
        return records, pd.DataFrame(columns=list(COLUMNS))
    have = {*known["image_id"], *records.lost}
    images = records.images[~records.images["image_id"].isin(have) & (records.images["path"] != "")]
    if images.empty:
        return records, known

    def compute(new: pd.DataFrame) -> pd.DataFrame:
        done = 0

        def step(count: int) -> None:
            nonlocal done
            done += count
            progress(done, len(new))

        return yolo.embed(new, config, step)

    rows = cache.by_image(cache_folder, images, compute, ["embedding", "lost"], since=yolo.LOST_SINCE)
    made = rows.loc[rows["lost"] == "", list(COLUMNS)].reset_index(drop=True)
    return yolo.with_lost(records, rows), pd.concat([known, made], ignore_index=True) if len(known) else made


def matrix(embeddings: pd.DataFrame, image_ids: pd.Series) -> NDArray[np.float64]:
    """The embeddings of `image_ids` as rows (n, d), NaN where there is none; (n, 0) where there is none at all."""
    known = embeddings.set_index("image_id")["embedding"] if len(embeddings) else pd.Series(dtype=object)
    width = len(known.iloc[0]) if len(known) else 0
    rows = np.full((len(image_ids), width), np.nan)
    found = image_ids.isin(known.index).to_numpy()
    if found.any():
        rows[found] = np.stack(known.loc[image_ids[found]].to_list())
    return rows
