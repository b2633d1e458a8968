"""Conditions: rules of `cvkit.yml` looked at window by window, and when that makes them fire."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cvkit.config.alerts import GROUPS, SEVERITIES, AlertRule, matches
from cvkit.monitoring.diagnosis import telling
from cvkit.tables import LABEL_FEATURES, LOOKS, OWN, STATES, conform, empty

LONGEST_QUIET = 4  # windows without it that an alert needs at most to be over, however often it came back
KEY = ["source", "window_start", "window_end"]
NUMBERS = ["value", "low", "high", "expected", "expected_low", "expected_high"]


@dataclass(frozen=True, slots=True)
class Past:
    """What rules look at: windows of one version, as the history has them."""

    verdicts: pd.DataFrame  # VERDICTS with model, version, window_start, window_end
    measurements: pd.DataFrame  # MEASUREMENTS likewise
    runs: pd.DataFrame  # window_start, window_end, status, error

    def joined(self, other: Past, sources: Collection[str]) -> Past:
        """With the rows of another in place of its own, of these `sources`."""
        verdicts, measurements = (
            pd.concat([own[~own["source"].isin(sources)], its], ignore_index=True)
            for own, its in ((self.verdicts, other.verdicts), (self.measurements, other.measurements))
        )
        return Past(verdicts, measurements, other.runs)


@dataclass(frozen=True, slots=True)
class Course:
    """What became of one rule on one source over a row of windows; indexes count judged windows."""

    firing: bool
    since: int  # first window of the newest stretch; -1 where it never fired
    until: int  # window that ended it; -1 while it fires
    returns: int  # how often it had come back, within the windows that count, when the stretch began
    stretches: tuple[tuple[int, int], ...]  # first and last window of each, the newest last


def looks(rules: Iterable[AlertRule], past: Past, minimum: int = 0) -> pd.DataFrame:
    """Table LOOKS: what each rule makes of each source and window that it can judge, by rule, source and time.

    Windows that tell nothing, as too few images (below `minimum` for a mean or a share) or late labels, have no row.
    """
    graded = _graded(past.verdicts)
    parts = [conform(_look(rule, past, graded, minimum), LOOKS) for rule in rules]
    return pd.concat([empty(LOOKS), *(part for part in parts if len(part))], ignore_index=True)


def course(breached: Sequence[bool], need: int = 1, flap: int = 7) -> Course:
    """When a row of windows, oldest first, makes a rule fire.

    It fires after `need` windows in a row that meet it and is over after one that does not; where it had been over
    within the last `flap` windows, after 2, then `LONGEST_QUIET` in a row, so that what comes and goes is one alert.

    >>> course([False, True, True, False], need=2)
    Course(firing=False, since=1, until=3, returns=0, stretches=((1, 2),))
    >>> course([True, False, True, False]).firing  # came back, so one quiet window does not end it
    True
    """
    firing, since, until, returns, row, quiet, enough = False, -1, -1, 0, 0, 0, 1
    ends: list[int] = []
    stretches: list[tuple[int, int]] = []
    for index, met in enumerate(breached):
        row = row + 1 if met else 0
        quiet = 0 if met else quiet + 1
        if not firing and row >= need:
            returns = sum(index - end <= flap for end in ends)
            firing, since, until = True, index - need + 1, -1
            enough = min(2**returns, LONGEST_QUIET)
        elif firing and quiet >= enough:
            firing, until = False, index
            stretches.append((since, index - quiet))
            ends.append(index)
    if firing:
        stretches.append((since, len(breached) - 1))
    return Course(firing, since, until, returns, tuple(stretches))


def explain(rule: AlertRule) -> str:
    """The rule as a sentence."""
    where = "any source" if not rule.sources else f"sources like {' or '.join(rule.sources)}"
    classes = f" of classes like {' or '.join(rule.classes)}" if rule.classes else ""
    times = "a window" if rule.for_windows == 1 else f"{rule.for_windows} windows in a row"
    severity = rule.severity or ("that of the verdict" if rule.state else "warning")
    told = [f"severity: {severity}", *([f"for {rule.owner}"] if rule.owner else [])]
    told += ["the source's other alerts are not sent meanwhile"] if rule.inhibits else []
    return f"{rule.name}: fires for {where} when {_condition(rule)}{classes} in {times} ({'; '.join(told)})"


def _condition(rule: AlertRule) -> str:
    if rule.metric == "runs":
        return "the images could not be measured"
    if rule.state:
        subject = "any verdict" if rule.metric == "any" else f"a verdict on {rule.metric.replace('_', ' ')}"
        worse = " or critical" if rule.state == "warning" else ""
        return f"{subject} is {rule.state}{worse}"
    subject = f"{rule.feature}.{rule.statistic}"
    if rule.missing:
        return "no image came" if rule.feature == "images" else f"{subject} has no value though images came"
    if rule.change is not None:
        limit = f"differs by more than {100 * rule.change:.3g} % from the reference"
    else:
        limits = [("above", rule.above), ("below", rule.below)]
        limit = "is " + " or ".join(f"{way} {number:g}" for way, number in limits if number is not None)
    return f"{subject} {limit}{' with all of its interval' if rule.sure else ''}"


def _look(rule: AlertRule, past: Past, graded: pd.DataFrame, minimum: int) -> pd.DataFrame:
    if rule.metric == "runs":
        found = _of_runs(past.runs)
    elif rule.state:
        found = _of_states(rule, graded)
    else:
        found = _of_numbers(rule, past.measurements, minimum)
    if rule.sources and len(found):
        found = found[[matches(source, rule.sources) for source in found["source"]]]
    severity = rule.severity or found.get("severity", "warning")
    return found.assign(rule=rule.name, severity=severity)[
        [name for name in LOOKS if name in {*found, "rule", "severity"}]
    ]


def _of_runs(runs: pd.DataFrame) -> pd.DataFrame:
    done = runs[runs["status"].isin(["done", "failed"])]
    return pd.DataFrame(
        {"source": "", "window_start": done["window_start"], "window_end": done["window_end"], "feature": "runs",
         "breached": done["status"] == "failed", "reason": done["error"]}
    )  # fmt: skip


def _graded(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Verdicts by source and time, the worst and most telling first, with the rank of their state and their group."""
    grade = verdicts["state"].map({state: rank for rank, state in enumerate(STATES)}).astype(int)
    rank = verdicts["feature"].map({feature: telling(feature) for feature in verdicts["feature"].unique()})
    by_labels = verdicts["feature"].isin(list(LABEL_FEATURES))
    table = verdicts.assign(grade=grade, group=verdicts["rule"].mask(by_labels, "performance"))
    source = pd.factorize(table["source"], sort=True)[0]  # numbers are sorted many times as fast as text
    return table.iloc[np.lexsort((rank, -grade, table["window_start"].astype("int64"), source))]


def _of_states(rule: AlertRule, graded: pd.DataFrame) -> pd.DataFrame:
    """One row per source and window with a verdict of the rule's kind: the worst, the most telling first."""
    if rule.metric in GROUPS:
        rows = graded if rule.metric == "any" else graded[graded["group"] == rule.metric]
    else:
        rows = graded[graded["feature"] == rule.metric]
    if rule.state == "unknown":  # no verdict of the kind that is better known stands beside it
        rows = rows.assign(known=rows["state"] != "unknown").sort_values([*KEY, "known"], kind="stable")
        met = ~rows["known"]
    else:
        rows = rows[rows["state"] != "unknown"]
        met = rows["grade"] >= STATES.index(rule.state)
    worst = rows.assign(breached=met).drop_duplicates(KEY)
    return worst.assign(severity=worst["state"].where(worst["state"].isin(SEVERITIES), "info"))


def _of_numbers(rule: AlertRule, measurements: pd.DataFrame, minimum: int) -> pd.DataFrame:
    """One row per source, class and window with a number: whether it meets the condition."""
    rows = measurements[(measurements["feature"] == rule.feature) & (measurements["metric"] == rule.statistic)]
    if rule.classes:
        rows = rows.loc[[matches(name, rule.classes) for name in rows["class_name"]]]
    if rule.missing:
        return _of_missing(rule, rows, measurements)
    of_images = rule.statistic in ("mean", "share") or rule.feature == OWN
    few = rows["n"] < minimum if of_images else pd.Series(False, index=rows.index)
    rows = rows[rows["value"].notna() & ~few]
    met, known = beyond(rule, rows)
    rows = rows.assign(breached=met, over=~met)[known].sort_values([*KEY, "over"], kind="stable")
    return rows.drop_duplicates(KEY).assign(reason="")


def beyond(rule: AlertRule, rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Whether values lie beyond the rule's limit, and whether that can be told, for rows of MEASUREMENTS."""
    value, expected = rows["value"], rows["expected"]
    low, high = (rows[end].fillna(value) if rule.sure else value for end in ("low", "high"))
    if rule.change is not None:
        span = rule.change * expected.abs()
        return (low > expected + span) | (high < expected - span), expected.notna()
    never = pd.Series(False, index=rows.index)
    above = low > rule.above if rule.above is not None else never
    below = high < rule.below if rule.below is not None else never
    return above | below, ~never


def _of_missing(rule: AlertRule, rows: pd.DataFrame, measurements: pd.DataFrame) -> pd.DataFrame:
    """Sources without images, or with images and without the number."""
    images = measurements[(measurements["feature"] == "images") & (measurements["metric"] == "count")]
    if rule.feature == "images":
        return images.assign(breached=images["value"] == 0, reason="").sort_values(KEY, kind="stable")
    there = images.loc[images["value"] > 0, [*KEY, "n"]]
    has = rows.dropna(subset=["value"])[KEY].drop_duplicates().assign(has=True)
    told = there.merge(has, on=KEY, how="left").sort_values(KEY, kind="stable")
    return told.assign(feature=rule.feature, breached=told["has"].isna(), value=np.nan, reason="")
