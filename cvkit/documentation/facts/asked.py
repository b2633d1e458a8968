"""What several facts ask of the records: names of classes, the newest window, and when something was written down."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from cvkit.documentation.facts.known import Known
from cvkit.documentation.wording import escape
from cvkit.monitoring.identity import reference_folder
from cvkit.tables import Window


def classes(known: Known) -> dict[int, Any]:
    """Names by id: the weights', else the reference's, else those that cvkit.yml says."""
    if known.network:
        return dict(known.network["classes"])
    return dict(known.reference.classes) if known.reference else dict(enumerate(known.config.model.classes))


def balance(counts: Mapping[int, int], names: Mapping[int, Any], of: str) -> str:
    """Boxes by class as a Markdown table; "" where there are none. `of`: which boxes, as the head says it."""
    total = sum(counts.values())
    rows = [
        f"| {escape(str(names.get(number, number)))} | {count:,} | {count / total:.0%} |"
        for number, count in sorted(counts.items())
    ]
    return "\n".join([f"| class | boxes {of} | share |", "|---|---|---|", *rows]) if rows else ""


def of_newest(known: Known, feature: str) -> pd.DataFrame:
    """Measurements of a feature in the newest window that has some."""
    rows = known.measurements[known.measurements["feature"] == feature]
    newest: pd.DataFrame = rows[rows["window_start"] == rows["window_start"].max()]
    return newest


def window(rows: pd.DataFrame) -> str:
    """The window of rows; "" where there are none."""
    if rows.empty:
        return ""
    return str(Window(rows["window_start"].iloc[0].to_pydatetime(), rows["window_end"].iloc[0].to_pydatetime()))


def newest(known: Known) -> datetime | None:
    """End of the newest window that was measured."""
    return known.runs["window_end"].max().to_pydatetime() if len(known.runs) else None


def settings_date(known: Known) -> datetime | None:
    """When cvkit.yml was last changed."""
    return of_file(known.config.path)


def weights_date(known: Known) -> datetime | None:
    """When the champion was made: by cvkit, else as its checkpoint says; None where neither tells."""
    if known.champion is not None and known.champion.kind != "adopted":
        return known.champion.made
    return time(pd.to_datetime(str(known.network.get("date", "")), errors="coerce", utc=True))


def reference_date(known: Known) -> datetime | None:
    """When the reference was measured and frozen."""
    return of_file(reference_folder(known.config) / "reference.json") if known.reference else None


def of_file(path: Path | None) -> datetime | None:
    """When a file was last changed; None where it is not there."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path else None
    except OSError:
        return None


def time(value: Any) -> datetime | None:
    """A time of a table; None where it is not known."""
    return None if value is None or pd.isna(value) else pd.Timestamp(value).to_pydatetime()
