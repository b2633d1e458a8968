"""Evidence: the facts that decisions rest on, collected from the history and the log of versions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from cvkit.config import Config
from cvkit.errors import DataError
from cvkit.maintenance import recalibration, updates
from cvkit.maintenance.facts import Change, Evidence, Fault, Number, Restored, Source, plain
from cvkit.monitoring import alarms
from cvkit.monitoring.alarms import Key
from cvkit.monitoring.entries import State
from cvkit.monitoring.history import History
from cvkit.monitoring.schema import DECISIONS
from cvkit.stats import intervals
from cvkit.stats.quality.decay import decay
from cvkit.tables import FINDING_WORDS, Window

__all__ = ["Evidence", "collect", "plain"]

log = logging.getLogger(__name__)

LOOK_BACK = 60  # newest windows whose verdicts are looked at; alarms remember for longer when they began
# Findings that say that what arrives is at fault, not that the scene or the model changed.
SCENE = frozenset({"too_dark", "too_bright", "blurred", "low_information", "noisy", "strange", "unknown_class"})
FAULTS = frozenset(FINDING_WORDS) - SCENE
BAD = ("warning", "critical")
DAY_S = 86400.0


def collect(config: Config, history: History, now: datetime) -> Evidence:
    """What the history and the log of versions say of the model in use.

    Of windows since the last update: what a version would have done before it was in use tells nothing of what it does.
    Raises DataError where nothing of this model was ever measured, StorageError on a log that is damaged.
    """
    model, version = config.model.name, _version(config, history)
    last = updates.updates(config)[-1:]
    update = last[0] if last and last[0].version == version else None
    measured = [one for one in history.measured_windows(model, version) if not update or one.start >= update.at]
    decided, since = _decided(history, model, version)
    known = Evidence(
        model, version, now, measured[-1] if measured else None, measured[0].start if measured else None,
        update=update, attempts=tuple(one for one in updates.attempts(config) if one.parent == version),
        decided=decided, decided_since=since, confidence=config.model.confidence,
    )  # fmt: skip
    if not measured:
        return known
    past = _past(config, history, known, measured)
    newest = past.verdicts["window_start"] == measured[-1].start
    return replace(known, sources=tuple(_source(past, name) for name in sorted(set(past.verdicts[newest]["source"]))))


def _version(config: Config, history: History) -> str:
    if history.runs(model=config.model.name, status="done").empty:
        raise DataError(
            "nothing has been measured yet", where=str(config.path), expected="measured windows of the model",
            found="none", remedy="run `cvkit run` first",
        )  # fmt: skip
    return history.current_version(config)


def _decided(history: History, model: str, version: str) -> tuple[str, datetime | None]:
    """The action decided last about a version, and since when, of an unbroken row of the same."""
    about = DECISIONS.c.model == model, DECISIONS.c.version == version
    query = sa.select(DECISIONS.c.action, DECISIONS.c.made).where(*about).order_by(DECISIONS.c.id.desc())
    with history.reading() as connection:
        rows = connection.execute(query).all()
    action, since = "", None
    for row in rows:
        if action and row.action != action:
            break
        action, since = str(row.action), row.made
    return action, since


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """What the history has of a version since the last update."""

    config: Config
    windows: list[Window]  # oldest first
    measurements: pd.DataFrame  # of performance and estimates; of all other features, in the newest window
    verdicts: pd.DataFrame  # of the newest `LOOK_BACK` windows; those on f1 of all
    states: dict[Key, State]
    before: pd.DataFrame  # f1 of the version before, up to the update

    def start(self, back: int) -> datetime:
        """Start of the newest but `back` - 1 windows."""
        return self.windows[-back:][0].start


def _past(config: Config, history: History, known: Evidence, windows: list[Window]) -> _Past:
    model, version = known.model, known.version
    start, recent, newest = windows[0].start, windows[-LOOK_BACK:][0].start, windows[-1].start
    judged = windows[-config.retraining.recent_windows :][0].start  # of older windows no alarm is asked for
    told = [
        history.measurements(start=first, feature=name, model=model, version=version)
        for name, first in {"performance": start, "estimate": start, "images": newest}.items()
    ]
    old = history.verdicts(start=start, end=recent, feature="f1", model=model, version=version)
    runs = history.runs(status="done", model=model, version=version)
    reference = str(runs.loc[runs["window_start"] == newest, "reference_id"].iloc[-1])
    before = told[0][:0]
    if known.update:
        named = {"model": model, "version": known.update.before, "feature": "performance", "metric": "f1"}
        before = history.measurements(start=None, end=known.update.at, **named)
        before = before[before["window_end"] <= known.update.at]
    return _Past(
        config, windows, pd.concat(told, ignore_index=True),
        pd.concat([old, history.verdicts(start=recent, model=model, version=version)], ignore_index=True),
        history.streams(model, version, reference, since=judged), before,
    )  # fmt: skip


def _source(past: _Past, name: str) -> Source:
    verdicts = past.verdicts[past.verdicts["source"] == name]
    measured = past.measurements[past.measurements["source"] == name]
    newest = verdicts[verdicts["window_start"] == past.windows[-1].start]
    recent = verdicts[verdicts["window_start"] >= past.start(past.config.retraining.recent_windows)]
    drifts = recent[(recent["rule"] == "drift") & (recent["feature"] != "f1")]
    changes = [_change(past, verdicts, row) for row in _newest_judged(drifts) if row["state"] in BAD]
    onset = min((one.onset for one in changes), default=past.windows[0].start)
    worse, mistakes = _worse(past, verdicts, onset)
    changes += mistakes
    first = min((one.onset for one in changes), default=onset)
    f1 = _number(past, measured, "performance", "f1", mistakes[0].onset if mistakes else onset)
    images = measured[(measured["feature"] == "images") & (measured["metric"] == "count")]
    labelled, drawn, keys = _labels(measured, first)
    days, quality = _course(measured, past.windows[0].start)
    return Source(
        name, int(images["value"].sum()), bool((images["n_reference"] > 0).any()),
        drift_judged=bool((drifts["state"] != "unknown").any()), changes=tuple(changes),
        faults=tuple(_faults(newest)), new_class=_new_class(past, verdicts, measured), odd=_odd(recent), worse=worse,
        f1=f1, estimate=_number(past, measured, "estimate", "ap", first),
        before=_number(past, past.before[past.before["source"] == name], "performance", "f1", None),
        labelled=labelled, drawn=drawn, label_keys=keys,
        restored=_restored(past, name, f1) if worse else None, decay=decay(days, quality),
    )  # fmt: skip


def _newest_judged(verdicts: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each feature the newest verdict that is not unknown."""
    judged = verdicts[verdicts["state"] != "unknown"].sort_values("window_start", kind="stable")
    rows: list[dict[str, Any]] = judged.groupby("feature").tail(1).sort_values("feature").to_dict("records")  # type: ignore[assignment]
    return rows


def _change(past: _Past, verdicts: pd.DataFrame, row: dict[str, Any]) -> Change:
    """What is known of a feature that stands out; without its stream the unbroken row of verdicts says since when."""
    feature, at = str(row["feature"]), row["window_start"]
    state = past.states.get((str(row["source"]), feature))
    alarm = alarms.at(state, at.to_pydatetime()) if state else None
    if alarm is not None and alarm.active:
        onset, told = datetime.fromisoformat(alarm.onset), (alarm.gradual, alarm.effect)
        return Change(feature, str(row["state"]), onset, *told, _verdict_key(row))
    judged = verdicts[(verdicts["feature"] == feature) & (verdicts["state"] != "unknown")]
    good = judged.loc[~judged["state"].isin(BAD) & (judged["window_start"] < at), "window_start"].max()
    onset = judged.loc[~(judged["window_start"] <= good), "window_start"].min()
    return Change(feature, str(row["state"]), onset.to_pydatetime(), float("nan"), float("nan"), _verdict_key(row))


def _worse(past: _Past, verdicts: pd.DataFrame, onset: datetime) -> tuple[bool | None, list[Change]]:
    """What the newest verdict on F1 says; that it was well before `onset` says nothing of the change since."""
    rows = _newest_judged(verdicts[verdicts["feature"] == "f1"])
    if not rows or (rows[0]["state"] not in BAD and rows[0]["window_start"] < onset):
        return None, []
    if rows[0]["state"] not in BAD:
        return False, []
    return True, [_change(past, verdicts, rows[0])]


def _number(past: _Past, measured: pd.DataFrame, feature: str, metric: str, since: datetime | None) -> Number:
    """The newest windows' mean of a metric, with an interval from how much they differ; of estimates the mean band."""
    rows = measured[(measured["feature"] == feature) & (measured["metric"] == metric)].dropna(subset=["value"])
    rows = (rows if since is None else rows[rows["window_start"] >= since]).sort_values("window_start")
    rows = rows.tail(past.config.retraining.recent_windows)
    if rows.empty:
        return Number()
    value, low, high = intervals.mean_interval(rows["value"].to_numpy())
    if feature == "estimate" or len(rows) == 1:
        low, high = float(rows["low"].mean()), float(rows["high"].mean())
    low, high = max(low, 0.0) if low == low else low, min(high, 1.0) if high == high else high
    return Number(value, low, high, float(rows["expected"].iloc[-1]), len(rows), tuple(_keys(rows)))


def _labels(measured: pd.DataFrame, since: datetime) -> tuple[int, float, tuple[str, ...]]:
    """Labelled images since a change, the share that plans drew, and the keys of both."""
    rows = measured[(measured["feature"] == "performance") & (measured["window_start"] >= since)]
    counts = rows[rows["metric"] == "coverage"]
    weighted = rows[rows["metric"] == "weighted"]
    n = int(counts["n"].sum())
    return n, float((weighted["value"] * weighted["n"]).sum() / n) if n else float("nan"), tuple(_keys(counts))


def _course(measured: pd.DataFrame, first: datetime) -> tuple[list[float], list[float]]:
    """Days since the first window, and F1, of each window with labels."""
    rows = measured[(measured["feature"] == "performance") & (measured["metric"] == "f1")]
    days = (rows["window_start"] - pd.Timestamp(first)).dt.total_seconds() / DAY_S
    return days.to_list(), rows["value"].to_list()


def _faults(newest: pd.DataFrame) -> Iterator[Fault]:
    rows = newest[newest["feature"].isin(FAULTS) & newest["state"].isin(BAD)].sort_values("feature")
    for row in rows.to_dict("records"):
        yield Fault(str(row["feature"]), str(row["state"]), _verdict_key(row))


def _new_class(past: _Past, verdicts: pd.DataFrame, measured: pd.DataFrame) -> str:
    """The newest verdict, of the newest labelled windows, that labels hold a class the model does not know."""
    labelled = measured[(measured["feature"] == "performance") & (measured["metric"] == "coverage")]
    starts = sorted(set(labelled["window_start"]))[-past.config.retraining.recent_windows :]
    found = verdicts[(verdicts["feature"] == "unknown_class") & verdicts["state"].isin(BAD)]
    return _newest_key(found[found["window_start"].isin(starts)])


def _odd(recent: pd.DataFrame) -> str:
    return _newest_key(recent[(recent["feature"] == "strange") & recent["state"].isin(BAD)])


def _newest_key(verdicts: pd.DataFrame) -> str:
    rows = verdicts.sort_values("window_start").tail(1).to_dict("records")
    return _verdict_key(rows[0]) if rows else ""


def _restored(past: _Past, name: str, f1: Number) -> Restored | None:
    """What another confidence would do; None where the images or what was said of them are not there any more."""
    labels = {key.partition("/")[0] for key in f1.keys}
    windows = [window for window in past.windows if window.label in labels]
    if not windows:
        return None
    try:
        found = recalibration.best(past.config, name, windows)
    except DataError as error:
        log.warning("%s: whether another confidence would help is not known: %s", name, error.problem)
        return None
    return Restored(found.confidence, found.f1, found.now, found.images)


def _keys(rows: pd.DataFrame) -> Iterator[str]:
    for start, end, source, feature, metric in zip(
        *(rows[name] for name in ("window_start", "window_end", "source", "feature", "metric")), strict=True
    ):
        yield f"{Window(start.to_pydatetime(), end.to_pydatetime()).label}/{source}/{feature}.{metric}"


def _verdict_key(row: Any) -> str:
    window = Window(row["window_start"].to_pydatetime(), row["window_end"].to_pydatetime())
    return f"{window.label}/{row['source']}/{row['rule']}:{row['feature']}"
