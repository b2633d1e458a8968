"""How good the champion is on its reference, whole and in parts, with intervals; kept beside the reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cvkit.config import Config
from cvkit.data.labelled import labelled
from cvkit.data.records import Records
from cvkit.monitoring import performance, slices
from cvkit.monitoring.identity import reference_folder
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference
from cvkit.storage import read_parquet, write_parquet
from cvkit.tables import ANOMALIES, MEASUREMENTS, VERDICTS, Window, conform, empty

FORM = 2  # of the kept table: another where what it holds changes
CUT_BY = ("class", "source", "size", "hours")
QUALITY: Mapping[str, str] = {
    "by": "str",  # "" for the whole, else one of CUT_BY
    "part": "str",  # in words; "" for the whole
    "metric": "str",  # of the whole those of `performance.METRICS`, of a part f1
    "value": "float64",  # 0..1, higher is better
    "low": "float64",  # 95 % interval; NaN where too few images are independent
    "high": "float64",
    "n": "int64",  # images
}


def on_reference(config: Config, reference: Reference) -> pd.DataFrame:
    """Table QUALITY of the reference's labelled images; empty without labels. Worked out once and kept."""
    kept = reference_folder(config) / f"quality-{FORM}-{config.model.confidence:g}.parquet"
    if kept.is_file() and (table := _read(kept)) is not None:
        return table
    table = measure(reference, config.model.confidence)
    if kept.parent.is_dir():
        write_parquet(table, kept)
    return table


def measure(reference: Reference, confidence: float) -> pd.DataFrame:
    """Table QUALITY of a reference, counting boxes of at least `confidence`."""
    known = labelled(reference.images, reference.predictions, reference.labels)
    n = len(known.image_ids)
    if not n or not known.classes:
        return empty(QUALITY)
    whole = [
        {"by": "", "part": "", "metric": name, "value": value, "low": low, "high": high, "n": n}
        for name, (value, low, high) in performance.measure(known, confidence).items()
    ]
    told = slices.by(_boxes(reference, confidence), CUT_BY).rename(
        columns={"slice": "part", "f1": "value", "images": "n"}
    )
    parts = told.assign(metric="f1")[list(QUALITY)]
    return conform(pd.concat([pd.DataFrame(whole), parts], ignore_index=True), QUALITY)


def _boxes(reference: Reference, confidence: float) -> pd.DataFrame:
    """Every box of the reference, found, false or missed, with what is known of its image."""
    records = Records(reference.images, reference.predictions, reference.labels, reference.findings, reference.classes)
    times = reference.images["time"].dropna()
    start = times.min() if len(times) else pd.Timestamp(0, tz="UTC")
    window = Window(start.to_pydatetime(), start.to_pydatetime() + pd.Timedelta(days=1).to_pytimedelta())
    seen = Observation(
        window, reference, records, reference.features, reference.embeddings, empty(ANOMALIES), reference.findings,
        empty(MEASUREMENTS), {}, empty(VERDICTS), confidence,
    )  # fmt: skip
    return slices.boxes(seen, slices.image_quality(seen))


def _read(path: Path) -> pd.DataFrame | None:
    """The kept table; None where it is damaged, as it can be worked out again."""
    try:
        table = read_parquet(path)
    except (OSError, ValueError):
        return None
    return conform(table, QUALITY) if list(table.columns) == list(QUALITY) else None
