"""Images of an observation as the gallery shows them: with their boxes, and the names of what these are of."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cvkit.data.labelled import CORNERS
from cvkit.data.records import Records
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference


def tiles(observation: Observation, chosen: pd.DataFrame, confidence: float = 0.0) -> pd.DataFrame:
    """`chosen` (image_id, path, caption) with width, height, said and truth, as `Gallery.show` asks for, in its order.

    Images of the window or of its reference, told apart by their paths; predictions of at least `confidence` only.
    """
    parts = [_of(known, chosen, confidence) for known in (observation.records, observation.reference)]
    found = pd.concat([part for part in parts if len(part)] or parts[:1])
    return found[~found.index.duplicated()].sort_index().reset_index(drop=True)


def _of(known: Records | Reference, chosen: pd.DataFrame, confidence: float) -> pd.DataFrame:
    keys = chosen[["image_id", "path", "caption"]].reset_index(names="row")
    found = keys.merge(known.images[["image_id", "path", "width", "height"]], on=["image_id", "path"]).set_index("row")
    sides = {"said": known.predictions[~(known.predictions["confidence"] < confidence)], "truth": known.labels}
    for side, boxes in sides.items():
        by = _named(boxes[boxes["image_id"].isin(found["image_id"])], known.classes)
        found[side] = pd.Series(
            [by.get(image_id, []) for image_id in found["image_id"]], index=found.index, dtype=object
        )
    return found


def _named(boxes: pd.DataFrame, classes: dict[int, str]) -> dict[str, list[tuple[Any, ...]]]:
    """Corners and name of the boxes of each image; the confidence of predictions stands behind the name."""
    by: dict[str, list[tuple[Any, ...]]] = {}
    for row in boxes.to_dict("records"):
        name = classes.get(row["class_id"], str(row["class_id"]))
        words = name if pd.isna(row["confidence"]) else f"{name} {row['confidence']:.2f}"
        by.setdefault(row["image_id"], []).append((*(row[one] for one in CORNERS), words))
    return by
