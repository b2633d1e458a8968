"""Windows over time: one among those before it, and the worst verdict of each."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import sqlalchemy as sa

from cvkit.config import Config
from cvkit.monitoring.diagnosis import BAD, diagnose
from cvkit.monitoring.history import History
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.schema import JUDGED, RUNS, WORST
from cvkit.tables import STATES

FOREVER = datetime.max.replace(tzinfo=UTC)
LATELY = 31  # windows whose troubles are told after each run
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


def lately(history: History, model: str, version: str, most: int = LATELY) -> pd.DataFrame:
    """Verdicts (as the history gives them) that tell what stood out in the newest `most` windows as all would.

    All verdicts on the newest window, and of each feature and source that stood out since then, or could not be judged
    in the newest, those on all windows: so that it is known since when. Of years of healthy windows nothing is read.
    """
    starts = [one.start for one in history.measured_windows(model, version)]
    since = starts[-most:][0] if starts else FOREVER
    while True:  # what lasts began earlier, and what else stood out then may belong to it
        told = _standing_out(history, model, version, since, starts[-1] if starts else since)
        found = diagnose(told)
        until = pd.to_datetime(found["until"], utc=True)  # where all last it has no zone of its own
        begun = found.loc[until.isna() | (until >= since), "since"].min()
        if pd.isna(begun) or begun >= since:
            return told
        since = begun.to_pydatetime()


def _standing_out(history: History, model: str, version: str, since: datetime, newest: datetime) -> pd.DataFrame:
    """Verdicts on the newest window; and all of what stood out since then, or cannot be judged now."""
    bad = sa.select(JUDGED.c.source, JUDGED.c.feature).join_from(WORST, RUNS).join(
        JUDGED, (JUDGED.c.run == WORST.c.run) & (JUDGED.c.source == WORST.c.source)
    ).where(
        RUNS.c.model == model, RUNS.c.version == version, RUNS.c.status == "done", RUNS.c.window_start >= since,
        WORST.c.state.in_(BAD), JUDGED.c.state.in_(BAD),
    ).distinct()  # fmt: skip
    with history.reading() as connection:
        odd = {(source, feature) for source, feature in connection.execute(bad)}
    now = history.verdicts(start=newest, model=model, version=version)
    unknown = now[now["state"] == "unknown"]
    odd |= set(zip(unknown["source"], unknown["feature"], strict=True))
    sources: dict[str, set[str]] = {}
    for source, feature in odd:
        sources.setdefault(feature, set()).add(source)
    told = [
        history.verdicts(end=newest, model=model, version=version, feature=feature, source=sources[feature])
        for feature in sorted(sources)
    ]
    return pd.concat([*(part for part in told if len(part)), now]).sort_values("window_start", kind="stable")


def _joined(past: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    parts = [part[list(now.columns)] for part in (past, now) if len(part)]
    return pd.concat(parts, ignore_index=True).sort_values("window_start", kind="stable") if parts else now
