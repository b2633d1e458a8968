"""A window among the windows before it."""

from __future__ import annotations

import pandas as pd

from cvkit.config import Config
from cvkit.monitoring.history import History
from cvkit.monitoring.monitor import Observation


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


def _joined(past: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    parts = [part[list(now.columns)] for part in (past, now) if len(part)]
    return pd.concat(parts, ignore_index=True).sort_values("window_start", kind="stable") if parts else now
