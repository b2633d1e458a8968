"""Windows over time: one among those before it, and the worst verdict of each."""

from __future__ import annotations

import pandas as pd
import sqlalchemy as sa

from cvkit.config import Config
from cvkit.monitoring.history import History
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.schema import RUNS, WORST
from cvkit.tables import STATES

PAST = ("window_start", "window_end", "source", "version", "state", "rule", "feature")  # columns of `past`
# What of a run says which of its verdicts count.
ABOUT = ("window_start", "window_end", "version", "finished", "status")


def timeline(
    config: Config, observation: Observation, source: str = "", *, windows: int = 30
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measurements and verdicts of the observed window and of those recorded before it, up to `windows` in all.

    Tables MEASUREMENTS and VERDICTS with `window_start` and `window_end`, oldest first. The observed window is as
    observed now, whatever the history has of it. Of `source` only, where it is given.
    """
    window = observation.window
    start, end = window.start - (windows - 1) * config.window_length, window.start
    wanted = {"model": config.model.name, "version": config.version} | ({"source": source} if source else {})
    with History.open(config.history_url) as history:
        measured = history.measurements(start=start, end=end, **wanted)
        judged = history.verdicts(start=start, end=end, **wanted)
    period = {"window_start": pd.Timestamp(window.start), "window_end": pd.Timestamp(window.end)}
    return (
        _joined(measured, observation.measurements.assign(**period)),
        _joined(judged, observation.verdicts.assign(**period)),
    )


def past(history: History, model: str) -> pd.DataFrame:
    """The worst verdict of each window and source, with PAST columns, oldest first.

    Of a window that several versions were measured on, the one measured last. Windows that could not be measured have
    the source "" and the state "failed".
    """
    runs = history.runs(model=model)[["id", *ABOUT]]
    query = sa.select(WORST).join(RUNS).where(RUNS.c.model == model)
    with history.reading() as connection:
        rows = pd.DataFrame(connection.execute(query).all(), columns=[one.name for one in WORST.columns])
    table = runs.astype({"id": "int64"}).merge(rows.astype({"run": "int64"}), how="left", left_on="id", right_on="run")
    failed = table["status"] != "done"
    table.loc[failed, ["source", "state", "rule", "feature"]] = ["", "failed", "", ""]
    table = table[failed | table["state"].notna()]
    newest = table.groupby("window_start")["finished"].transform("max")
    table = table[(table["finished"] == newest) | newest.isna()]
    rank = table["state"].map({"failed": -1, **{state: place for place, state in enumerate(STATES)}})
    ordered = table.assign(rank=rank).sort_values(["window_start", "rank"], kind="stable")
    return ordered.drop_duplicates(["window_start", "source"], keep="last").reset_index(drop=True)[list(PAST)]


def _joined(past: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    parts = [part[list(now.columns)] for part in (past, now) if len(part)]
    return pd.concat(parts, ignore_index=True).sort_values("window_start", kind="stable") if parts else now
