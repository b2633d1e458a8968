"""What is known of each source: its state, since when and why, and how its numbers have moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from cvkit.documentation.site.trends import Trend
from cvkit.monitoring import diagnosis
from cvkit.tables import FEATURE_UNITS, FINDING_WORDS, STATES, worst, worst_by

KEY_FEATURES = ("brightness", "sharpness", "confidence", "boxes")  # shown where nothing else stands out
TREND_METRICS = ("mean", "share", "jensen_shannon", "count")  # what a feature's line shows, the first there is
SHOWN_WINDOWS = 30  # about a month of days: as much as is legible on a phone
SHOWN_TRENDS = 4


@dataclass(frozen=True, slots=True)
class Cause:
    """What is probably the matter with a source."""

    state: str
    words: str
    since: datetime
    features: Sequence[str]  # that show it, the most telling first


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of one source."""

    name: str
    state: str
    since: datetime | None  # start of the first window of this state in a row
    causes: tuple[Cause, ...]
    reasons: tuple[tuple[str, str, str], ...]  # state, feature, reason; the most urgent first
    images: str
    past: tuple[tuple[str, str], ...]  # window, state; oldest first
    trends: tuple[Trend, ...]


def sources(verdicts: pd.DataFrame, measurements: pd.DataFrame) -> list[Source]:
    """What is known of each source, those that ask for most attention first."""
    if verdicts.empty:
        return []
    states = pd.Series(worst_by(verdicts, "source", "window_start"))
    shown = shown_windows(verdicts)
    recent = verdicts[verdicts["window_start"].isin(shown)]
    diagnosed = diagnosis.diagnose(verdicts)
    lasting = diagnosed[diagnosed["until"].isna()]
    measured = dict(iter(measurements.groupby("source")))
    found = []
    for name in sorted(recent["source"].unique()):
        rows = lasting[lasting["source"] == name].itertuples()
        causes = tuple(Cause(str(row.state), str(row.what), row.since, str(row.evidence).split(", ")) for row in rows)
        part, numbers = recent[recent["source"] == name], measured.get(name, measurements.iloc[:0])
        found.append(_source(name, part, states[name], causes, numbers, shown))
    return sorted(found, key=lambda source: (-STATES.index(source.state), source.name))


def shown_windows(verdicts: pd.DataFrame) -> list[pd.Timestamp]:
    """Starts of the windows the page shows, oldest first."""
    return sorted(verdicts["window_start"].unique())[-SHOWN_WINDOWS:]


def _source(
    name: str,
    verdicts: pd.DataFrame,
    states: pd.Series,
    causes: tuple[Cause, ...],
    measurements: pd.DataFrame,
    shown: Sequence[pd.Timestamp],
) -> Source:
    newest = shown[-1]
    current = verdicts[verdicts["window_start"] == newest]
    past = tuple((written_day(start), str(states.get(start, "unknown"))) for start in shown if start >= states.index[0])
    if current.empty:
        words = f"nothing was measured of it since the window of {written_day(states.index[-1])}"
        missing = min(start for start in shown if start > states.index[-1])
        return Source(name, "unknown", missing, (), (("unknown", "images", words),), "", past, ())
    telling = [feature for cause in causes for feature in cause.features]
    rows = sorted(current.to_dict("records"), key=lambda row: _urgency(row, telling))
    reasons = tuple((row["state"], row["feature"], row["reason"]) for row in rows if row["state"] != "ok")
    images = next((row["reason"] for row in rows if (row["rule"], row["state"]) == ("data", "ok")), "")
    state = worst(list(current["state"]))
    begun = [cause.since for cause in causes if state != "unknown"]
    features = list(dict.fromkeys([feature for kind, feature, _ in reasons if kind != "unknown"]))
    seen = [start for start in shown if start >= states.index[0]]
    trends = tuple(_trends(features, measurements, verdicts, seen))
    return Source(name, state, min(begun, default=_since(states)), causes, reasons, images, past, trends)


def _urgency(row: dict[Any, Any], telling: Sequence[str]) -> tuple[int, int]:
    """Where a verdict stands among the reasons: the worst first, of these what a likely cause names first."""
    place = telling.index(row["feature"]) if row["feature"] in telling else len(telling)
    return -STATES.index(row["state"]), place


def _since(states: pd.Series) -> datetime:
    """Start of the first window of the newest stretch of windows in one state."""
    other = states.index[states != states.iloc[-1]]
    start: datetime = states.index[states.index > other[-1]][0] if len(other) else states.index[0]
    return start


def _trends(
    features: list[str], measurements: pd.DataFrame, verdicts: pd.DataFrame, windows: list[pd.Timestamp]
) -> Iterator[Trend]:
    """Trend lines over `windows` of what is not ok, filled up with the key features."""
    lines = {name: part for name, part in measurements.groupby(["feature", "metric"]) if name[1] in TREND_METRICS}
    judged = worst_by(verdicts, "feature", "window_start")
    drawn = 0
    for feature in dict.fromkeys([*features, *KEY_FEATURES]):
        metric = next((name for name in TREND_METRICS if (feature, name) in lines), None)
        if metric is None or drawn == SHOWN_TRENDS:
            continue
        drawn += 1
        rows = lines[feature, metric].drop_duplicates("window_start").set_index("window_start")
        # A window in which the feature was not measured has to be seen as such: it leaves a gap.
        yield _trend(feature, metric, rows.reindex(windows), judged)


def _trend(feature: str, metric: str, rows: pd.DataFrame, judged: dict[tuple[str, datetime], str]) -> Trend:
    unit = FEATURE_UNITS.get(feature, "")
    if metric in ("share", "count"):
        unit = f"{'share of images' if metric == 'share' else 'how often'}: {FINDING_WORDS.get(feature, feature)}"
    elif metric == "jensen_shannon":
        unit = "Jensen-Shannon distance from the reference, 0-1"
    return Trend(
        name=feature.replace("_", " "),
        unit=unit,
        times=[start.to_pydatetime() for start in rows.index],
        values=list(rows["value"]),
        expected=list(rows["expected"]),
        low=list(rows["expected_low"]),
        high=list(rows["expected_high"]),
        states=[str(judged.get((feature, start), "ok")) for start in rows.index],
        percent=metric == "share",
    )


def written_day(moment: datetime | None) -> str:
    """A moment as people write it, without its clock at midnight."""
    if moment is None:
        return "the beginning"
    time = "" if (moment.hour, moment.minute) == (0, 0) else f" {moment:%H:%M}"
    return f"{moment.day} {moment:%b %Y}{time}"
