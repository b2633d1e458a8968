"""Backtest: the past under other rules, so that thresholds are chosen by looking and not by guessing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from statistics import median

import pandas as pd

from cvkit.config import RuleSettings
from cvkit.monitoring.alarms import Key
from cvkit.monitoring.entries import State
from cvkit.monitoring.replay import Replay

COLUMNS = ("budget", "drift_warning", "alarms", "a_month", "found", "missed", "delay_days", "unexplained")


@dataclass(frozen=True, slots=True)
class Event:
    """A change that is known to have happened: an alarm its source raised while it lasted is right, none a miss."""

    source: str
    start: datetime
    end: datetime  # the first moment after it


@dataclass(frozen=True, slots=True)
class Stretch:
    """An alarm as people see it: of a source, for as long as any of its features raises one."""

    source: str
    start: datetime  # of the window that raised it
    end: datetime | None  # of the window that ended it; None while it lasts
    features: tuple[str, ...]
    raised: tuple[datetime, ...]  # windows that raised an alarm of any feature


def backtest(
    states: Mapping[Key, State],
    settings: RuleSettings,
    window_length: timedelta,
    *,
    budgets: Sequence[float],
    sizes: Sequence[float],
    events: Sequence[Event] = (),
) -> pd.DataFrame:
    """What the measured windows would have raised under each budget and each size of drift that matters.

    One row for each pair, columns `COLUMNS`: alarms (see `stretches`) in all and a month, known `events` found and
    missed, the median delay in days from an event's start to the end of the window that raised its alarm, and alarms
    that no event explains. Without events the last four are NaN: nothing then tells a false alarm from a true one.
    """
    replay, rows = Replay(states, window_length), []
    for budget, size in product(budgets, sizes):
        found = stretches(replay.run(changed(settings, budget, size)))
        a_month = len(found) / replay.months if replay.months else math.nan
        rows.append([budget, size, len(found), a_month, *_held_against(found, events, window_length)])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def changed(settings: RuleSettings, budget: float, size: float) -> RuleSettings:
    """The settings with another budget and another size of drift that matters."""
    return settings.model_copy(update={"false_alarms_per_year": budget, "drift_warning": size})


def text(table: pd.DataFrame) -> str:
    """The table of `backtest` for a terminal."""
    heads = [
        "budget a year",
        "size that matters",
        "alarms",
        "a month",
        "found",
        "missed",
        "delay, days",
        "unexplained",
    ]
    shown = table if table["found"].notna().any() else table[list(COLUMNS[:4])]
    rows = [heads[: shown.shape[1]]]
    rows += [["-" if math.isnan(value) else f"{value:.3g}" for value in row] for row in shown.to_numpy(float)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def stretches(states: Mapping[Key, State]) -> list[Stretch]:
    """The alarms of each source, those of several features that overlap as one; by source and time."""
    spans = sorted(
        (source, episode["raised"], episode["ended"] or "~", feature)
        for (source, feature), state in states.items()
        for episode in state["episodes"]
    )  # `~` sorts after every date
    merged: list[tuple[str, str, list[str], list[str]]] = []  # source, end, features, starts
    for source, start, end, feature in spans:
        if merged and merged[-1][0] == source and start < merged[-1][1]:
            _, last, features, starts = merged[-1]
            merged[-1] = (source, max(last, end), [*features, feature], [*starts, start])
        else:
            merged.append((source, end, [feature], [start]))
    return [
        Stretch(source, datetime.fromisoformat(starts[0]), None if end == "~" else datetime.fromisoformat(end),
                tuple(dict.fromkeys(features)), tuple(map(datetime.fromisoformat, starts)))
        for source, end, features, starts in merged
    ]  # fmt: skip


def alarm_table(found: Sequence[Stretch]) -> pd.DataFrame:
    """Alarms as a table: `source`, `start` and `end` (NaT while it lasts) in UTC, and `features`, joined by commas."""
    rows = [[one.source, one.start, one.end, ", ".join(one.features)] for one in found]
    table = pd.DataFrame(rows, columns=["source", "start", "end", "features"])
    return table.assign(**{name: pd.to_datetime(table[name], utc=True) for name in ("start", "end")})


def _held_against(
    found: Sequence[Stretch], events: Sequence[Event], window_length: timedelta
) -> tuple[float, float, float, float]:
    """Events found and missed, median delay in days, alarms without an event."""
    if not events:
        return math.nan, math.nan, math.nan, math.nan
    delays, explained = [], set()
    for event in events:
        hits = [
            (moment, one)
            for one in found
            for moment in one.raised
            if one.source == event.source and event.start < moment + window_length and moment < event.end
        ]
        explained |= {one for _, one in hits}
        if hits:
            first = min(moment for moment, _ in hits)
            delays.append((first + window_length - event.start) / timedelta(days=1))
    unexplained = len(set(found) - explained)
    return len(delays), len(events) - len(delays), median(delays) if delays else math.nan, unexplained
