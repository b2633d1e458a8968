"""Browsing: all that is known of each image of a window in one table, to be sorted, cut and limited."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.slices import hours
from cvkit.tables import FEATURE_UNITS, WATCHED

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# What images can be sorted and limited by, and in which unit it is.
SORTS: Mapping[str, str] = {
    "time": "UTC",
    **{name: FEATURE_UNITS[name] for name in WATCHED},
    "strangeness": "times what few images of the reference exceed",
}


def images(observation: Observation) -> pd.DataFrame:
    """One row per image of a window, in the order of its records, whether it can be read or not.

    image_id, path ("" of a recorded frame without pixels), source, time, width, height, damage, mode, file_format,
    predicted, labelled, asked (for a label, by a plan or by hand), the columns WATCHED and `strangeness` (the anomaly
    score over what few normal images exceed; NaN where nothing tells), flagged, and `findings`: names joined by ", ".
    """
    records = observation.records.images
    table = records[["image_id", "path", "source", "time", "predicted", "labelled"]]
    facts = ["image_id", "width", "height", "damage", "mode", "file_format", *WATCHED]
    table = table.merge(observation.features[facts], on="image_id", how="left")
    odd = observation.anomalies.set_index("image_id")
    found = observation.findings.drop_duplicates(["image_id", "finding"]).groupby("image_id")["finding"].agg(", ".join)
    return table.assign(
        asked=observation.weights.reindex(table["image_id"]).notna().to_numpy(),
        strangeness=table["image_id"].map(odd["score"] / odd["usual"]).astype(float),
        flagged=table["image_id"].isin(odd.index[odd["flagged"]]),
        findings=table["image_id"].map(dict(found)).astype("str").fillna(""),
    )


def cuts(observation: Observation, table: pd.DataFrame) -> dict[str, pd.Series]:
    """What `table` (of `images`) can be cut by: by name a value for each image_id, or several; none has one value only.

    source, class as predicted and as labelled, hours and weekday in the cameras' zone, mode, file format, size in
    pixels, and whether an image has labels.
    """
    records = observation.records
    local = table["time"].dt.tz_convert(observation.reference.time_zone)
    sizes = [f"{w:.0f} x {h:.0f}" if w == w else None for w, h in zip(table["width"], table["height"], strict=True)]
    columns = {
        "source": table["source"].where(table["source"] != "", "(no source)"),
        "hours": hours(table["time"], observation.reference.time_zone),
        "weekday": local.dt.dayofweek.map(dict(enumerate(DAYS))),
        "mode": table["mode"],
        "file format": table["file_format"],
        "size": pd.Series(sizes, table.index, dtype=object),
        "labels": pd.Series(np.where(table["labelled"], "labelled", "not labelled"), table.index),
    }
    found = {name: column.set_axis(table["image_id"]) for name, column in columns.items()}
    for name, boxes in (("class predicted", records.predictions), ("class labelled", records.labels)):
        if name == "class predicted":
            boxes = boxes[~(boxes["confidence"] < observation.confidence)]
        names = {kind: records.classes.get(int(kind), f"class {kind}") for kind in boxes["class_id"].unique()}
        found[name] = boxes["class_id"].map(names).set_axis(boxes["image_id"])
    told = {name: values[values.notna() & (values != "")].astype(str) for name, values in found.items()}
    classes = ("class predicted", "class labelled")
    return {name: values for name, values in told.items() if values.nunique() > (0 if name in classes else 1)}


def chosen(
    table: pd.DataFrame, *, by: str = "time", descending: bool = False, low: float = -np.inf, high: float = np.inf,
    finding: str = "", inside: pd.Index | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The rows of `table` (of `images`) with a finding, and ids `inside`, sorted; without a value they come last.

    `low` and `high` limit the column `by`, both included; where either is given, images without a value are left out.
    Images of equal value stay in the table's order.
    """
    rows = table if inside is None else table[table["image_id"].isin(inside)]
    if finding:
        rows = rows[[finding in names.split(", ") for names in rows["findings"]]]
    if np.isfinite(low) or np.isfinite(high):
        rows = rows[rows[by].between(low, high)]
    return rows.sort_values(by, ascending=not descending, kind="stable", na_position="last", ignore_index=True)
