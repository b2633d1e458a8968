"""What a gallery shows of images: their pictures, sizes, and the boxes of model and labels by name."""

from __future__ import annotations

import pandas as pd

from cvkit.data.labelled import CORNERS
from cvkit.monitoring.monitor import Observation


def of_window(rows: pd.DataFrame, observation: Observation, confidence: float | None = None) -> pd.DataFrame:
    """`image_id` and `caption` of images of the window, as `Gallery.show` takes them.

    With predictions of at least `confidence`, by default the deployed one.
    """
    records, least = observation.records, observation.confidence if confidence is None else confidence
    said = records.predictions[~(records.predictions["confidence"] < least)]
    boxes = {"said": said, "truth": records.labels}
    return _told(rows, records.images, observation.features, boxes, records.classes)


def of_reference(rows: pd.DataFrame, observation: Observation) -> pd.DataFrame:
    """The same of images of the reference."""
    reference = observation.reference
    boxes = {"said": reference.predictions, "truth": reference.labels}
    return _told(rows, reference.images, reference.features, boxes, reference.classes)


def of_both(rows: pd.DataFrame, observation: Observation) -> pd.DataFrame:
    """The same of images of the window and of the reference, as `exemplars` mixes them: told apart by `path`."""
    current = rows["path"].isin(observation.records.images["path"])
    parts = [of_window(rows[current], observation), of_reference(rows[~current], observation)]
    return pd.concat(parts).loc[rows.index]


def _told(
    rows: pd.DataFrame, images: pd.DataFrame, features: pd.DataFrame, boxes: dict[str, pd.DataFrame],
    classes: dict[int, str],
) -> pd.DataFrame:  # fmt: skip
    """`rows` with path, width and height, and lists of (x1, y1, x2, y2, name) for each of `boxes`; their index kept."""
    ids = rows["image_id"]
    paths = images[images["image_id"].isin(ids)].drop_duplicates("image_id").set_index("image_id")["path"]
    sizes = features[features["image_id"].isin(ids)].drop_duplicates("image_id").set_index("image_id")
    columns = {name: ids.map(sizes[name]) for name in ("width", "height")}
    for name, table in boxes.items():
        found: dict[str, list[tuple[float, float, float, float, str]]] = {}
        here = table[table["image_id"].isin(ids)]
        for image_id, kind, confidence, *corners in here[["image_id", "class_id", "confidence", *CORNERS]].to_numpy():
            words = classes.get(int(kind), f"class {kind}") + (f" {confidence:.2f}" if confidence == confidence else "")
            found.setdefault(image_id, []).append((*map(float, corners), words))  # type: ignore[arg-type]
        columns[name] = pd.Series([found.get(one, []) for one in ids], index=rows.index, dtype=object)
    return rows[["image_id", "caption"]].assign(path=ids.map(paths).fillna(""), **columns)
