"""A shadow run: a challenger looks at the windows of production beside the champion, and nobody acts on it.

It is kept in the history under a model name of its own, so that neither alerts, metrics, the status page nor the
champion's evidence hear of it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from cvkit.config import Config
from cvkit.data import sources
from cvkit.errors import DataError
from cvkit.maintenance.versions import Version
from cvkit.monitoring import monitor
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.history import History
from cvkit.tables import Window, worst_by

log = logging.getLogger(__name__)

SHADOW = " (shadow)"  # what the model's name ends in there
# What is shown of a window, by feature and metric, in words.
SHOWN = {
    ("images", "count"): "images",
    ("performance", "f1"): "F1 by labels",
    ("performance", "ap50"): "AP50 by labels",
    ("estimate", "ap"): "AP, estimated",
    ("boxes", "mean"): "boxes an image",
    ("confidence", "mean"): "mean confidence",
}


def run(config: Config, challenger: Version, windows: Sequence[Window], history: History) -> pd.DataFrame:
    """Measure windows with a version beside the champion; both side by side (`table`).

    Windows that the champion has not measured yet it measures now. The shadow is compared with the champion's
    reference. Predictions that came with the captures are the champion's, so the challenger predicts by itself. Raises
    DataError where no window could be measured.
    """
    beside = settings(config, challenger)
    done = set(history.measured_windows(config.model.name, config.version))
    dates = sources.capture_dates(config)
    own, its = reference_step.load(config), reference_step.load(beside)
    failures = []
    for window in windows:
        try:
            if window not in done and not any(_on(day, window) for day in dates):
                raise DataError("there are no captures", where=str(window), remedy="name other windows")
            if window not in done:
                monitor.run(config, window, history, own)
            monitor.run(beside, window, history, its)
        except DataError as error:
            log.warning("%s: %s", window, error)
            failures.append(f"{window}: {error.problem}")
    if len(failures) == len(windows):
        raise DataError(
            "no window could be measured", expected="captures", found="; ".join(failures)[:300] or "no windows",
            remedy="name windows with captures: --window DAY, or --from DAY --to DAY",
        )  # fmt: skip
    return table(config, challenger, windows, history)


def _on(day: date, window: Window) -> bool:
    """Whether a window has a part of a day of UTC."""
    start = datetime.combine(day, datetime.min.time(), UTC)
    return start < window.end and window.start < start + timedelta(days=1)


def settings(config: Config, challenger: Version) -> Config:
    """The settings that a shadow run is measured with."""
    beside = config.with_weights(str(challenger.weights))
    model = beside.model.model_copy(update={"name": config.model.name + SHADOW})
    captures = beside.captures.model_copy(update={"predictions": ""})
    return beside.model_copy(update={"model": model, "captures": captures})


def table(config: Config, challenger: Version, windows: Sequence[Window], history: History) -> pd.DataFrame:
    """One row per source and number: `source`, `what`, `champion`, `challenger`, `difference` and `windows`.

    Means over the windows that both measured, each weighed by its images; `state` is the worst verdict, a word.
    """
    keys = ((config.model.name, config.version), (config.model.name + SHADOW, challenger.name))
    both = set(history.measured_windows(*keys[0])) & set(history.measured_windows(*keys[1]))
    starts = [window.start for window in windows if window in both]
    measured = [_numbers(history, model, version, starts) for model, version in keys]
    joined = measured[0].merge(measured[1], on=["source", "what", "window_start"], suffixes=("_champion", "_other"))
    rows = []
    for (source, what), part in joined.groupby(["source", "what"], sort=False):
        weights = part["n_champion"].clip(lower=1)
        first, second = ((part[f"value_{one}"] * weights).sum() / weights.sum() for one in ("champion", "other"))
        rows.append({"source": source, "what": what, "champion": first, "challenger": second,
                     "difference": second - first, "windows": len(part)})  # fmt: skip
    states = [_states(history, model, version, starts) for model, version in keys]
    rows += [
        {"source": source, "what": "state", "champion": states[0][source], "challenger": states[1][source],
         "difference": "", "windows": len(starts)}
        for source in sorted(set(states[0]) & set(states[1]))
    ]  # fmt: skip
    columns = ["source", "what", "champion", "challenger", "difference", "windows"]
    return pd.DataFrame(rows, columns=columns).sort_values("source", kind="stable", ignore_index=True)


def text(told: pd.DataFrame, challenger: Version) -> str:
    """The table for a terminal."""
    lines = [f"{'source':14} {'':16} {'champion':>10} {challenger.name:>12} {'difference':>11} {'windows':>8}"]
    for row in told.to_dict("records"):
        first, second, gap = (
            f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name])
            for name in ("champion", "challenger", "difference")
        )
        lines.append(f"{row['source'][:14]:14} {row['what']:16} {first:>10} {second:>12} {gap:>11} {row['windows']:8}")
    return "\n".join(lines)


def _numbers(history: History, model: str, version: str, starts: Sequence[datetime]) -> pd.DataFrame:
    measured = history.measurements(model=model, version=version)
    keys = zip(measured["feature"], measured["metric"], strict=True)
    told = measured.assign(what=np.array([SHOWN.get(key) for key in keys], dtype=object))
    told = told[told["what"].notna() & told["window_start"].isin(starts)]
    return told.dropna(subset="value")[["source", "what", "window_start", "value", "n"]]


def _states(history: History, model: str, version: str, starts: Sequence[datetime]) -> dict[str, str]:
    verdicts = history.verdicts(model=model, version=version)
    told = verdicts[verdicts["window_start"].isin(starts)]
    return worst_by(told, "source")
