"""The images on which champion and challenger differ, to be looked at side by side."""

from __future__ import annotations

import pandas as pd

from cvkit.config import Config
from cvkit.data.labelled import CORNERS
from cvkit.maintenance import gate, gate_results, test_set, versions
from cvkit.maintenance.gate_results import Result
from cvkit.tables import empty

COLUMNS = ("path", "caption", "boxes", "names", "truth")  # what `plots.thumbnails` is given


def tables(result: Result | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The compared parts and the flipped images of a result; empty where nothing was judged yet."""
    if result is None:
        return empty(gate_results.PARTS), empty(gate_results.FLIPPED)
    return result.parts, result.flipped


def flipped(config: Config, result: Result | None, change: str, *, most: int = 4) -> pd.DataFrame:
    """The images that changed most for `better` or `worse`: each twice, as the champion and the challenger saw it.

    Columns path, caption, boxes with corners (n, 4) in pixels, their names and confidences, and truth, corners (m, 4)
    of the labels; no rows where nothing flipped, or was judged.
    """
    chosen = tables(result)[1]
    chosen = chosen[chosen["change"] == change].head(most)
    if result is None or chosen.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    test = test_set.load(config, verify=False)
    images = test.images[test.images["image_id"].isin(chosen["image_id"])]
    roles = {"champion": result.champion, "challenger": result.challenger}
    said = {role: gate.said_by(config, versions.load(config, name), images, test) for role, name in roles.items()}
    chosen = chosen.assign(told_champion="", told_challenger="; " + chosen["what"])
    rows = []
    for row in chosen.to_dict("records"):
        true = test.labels.loc[test.labels["image_id"] == row["image_id"], CORNERS].to_numpy(float)
        for role, table in said.items():
            caption = f"{row['image_id']}\n{role}: F1 {row[f'f1_{role}']:.2f}{row[f'told_{role}']}"
            boxes = table[table["image_id"] == row["image_id"]]
            names = [
                f"{test.classes.get(kind, kind)} {sure:.2f}"
                for kind, sure in zip(boxes["class_id"], boxes["confidence"], strict=True)
            ]
            rows.append((row["path"], caption, boxes[CORNERS].to_numpy(float), names, true))
    return pd.DataFrame(rows, columns=list(COLUMNS))
