"""Recalibration: whether another confidence to cut at would make good again what the model does on labelled images."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cvkit.config import Config
from cvkit.data.labelled import labelled
from cvkit.monitoring import monitor
from cvkit.stats.quality.threshold import Choice, choose
from cvkit.tables import Window

HALVES = 2  # parts of a single window that confidences are tried on


def best(config: Config, source: str, windows: Sequence[Window]) -> Choice:
    """The confidence that is best on the labelled images of a source, tried on windows that it was not chosen on.

    Of a single window halves take the windows' place. Raises DataError where captures or weights cannot be used.
    """
    seen = [_of_source(config, window, source) for window in windows]
    images, predictions, labels = (pd.concat(list(tables), ignore_index=True) for tables in zip(*seen, strict=True))
    known = labelled(images, predictions, labels)
    part = images.drop_duplicates("image_id").set_index("image_id")["part"].reindex(known.image_ids).to_numpy()
    if len(windows) == 1:
        part = (pd.RangeIndex(len(part)) * HALVES // max(len(part), 1)).to_numpy()
    return choose(known.match(), part, config.model.confidence)


def _of_source(config: Config, window: Window, source: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Images of a source with labels, in the order of time, and what was said and is true of them."""
    records, _ = monitor.seen(config, window)
    images = records.images[(records.images["source"] == source) & records.images["labelled"]]
    images = images.sort_values(["time", "image_id"]).assign(part=window.start.timestamp())
    told = [table[table["image_id"].isin(images["image_id"])] for table in (records.predictions, records.labels)]
    return images, told[0], told[1]
