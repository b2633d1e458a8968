"""Causes: what told most of an alert, what is likely behind it, and what to do first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd

from cvkit.config.alerts import AlertRule
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.conditions import Past
from cvkit.monitoring.diagnosis import PICTURE, foremost, likely
from cvkit.tables import LABEL_FEATURES

Verdict = Mapping[Any, Any]  # a row of VERDICTS with its window

MISTAKES = "the model makes more mistakes: labels tell"
# What to do first, by likely cause (a name in `diagnosis.CAUSES`), and the part of the runbook that says more.
ADVICE: Mapping[str, tuple[str, str]] = {
    MISTAKES: (
        "look at report 04 for the classes and conditions that got worse; label more images there", "model-worse"),
    "frozen camera: the same frame again and again": ("restart the camera or its stream", "frozen-camera"),
    "new kind of object: labels hold a class the model does not know": (
        "decide whether the model has to know this class", "new-class"),
    "damaged files": ("check disk, network and the program that writes the files", "damaged-files"),
    "camera set-up changed": ("ask who changed resolution or colour mode, and change it back", "camera-set-up"),
    "images missing": ("check that the camera is on and that its images arrive", "images-missing"),
    "records that cannot be used": ("check the program that writes predictions or labels", "bad-records"),
    "predictions or times missing": ("check the program that writes predictions and file names", "bad-records"),
    "light changed": ("look at the newest images: lamp, shutter, sun", "light"),
    "picture less sharp: dirty lens, lost focus or stronger compression": (
        "clean the lens, check focus and compression", "sharpness"),
    "noisier picture": ("check light and gain of the camera", "noise"),
    "look of the scene changed": ("look at the newest images beside the reference's", "scene"),
    "odd images among the others": ("look at the odd images in report 03", "odd-images"),
    "the model sees other objects than before": (
        "look whether other objects come, or the model sees them otherwise; label some", "predictions"),
}  # fmt: skip
NOT_MEASURED = ("the data or settings cannot be used", "run `cvkit run` by hand and read its error", "not-measured")
NOT_JUDGED = ("too little to judge by", "see in the reports what cannot be judged, and why", "not-judged")
OWN_LIMIT = ("a limit of your own is crossed; cvkit's own verdict is not that something is wrong",
             "look at the report; where nothing is wrong, change the rule's limit", "own-limit")  # fmt: skip
# The procedure, step by step, of each part of the runbook: what the parts themselves lead to.
PROCEDURES: Mapping[str, str] = {
    "model-worse": "performance-drop", "frozen-camera": "camera-fault", "new-class": "label-backlog",
    "damaged-files": "data-quality-failure", "camera-set-up": "camera-fault", "images-missing": "camera-fault",
    "bad-records": "data-quality-failure", "light": "camera-fault", "sharpness": "camera-fault",
    "noise": "camera-fault", "scene": "drift-alarm", "odd-images": "anomaly-wave", "predictions": "drift-alarm",
    "not-measured": "missed-run", "not-judged": "missed-run", "own-limit": "alert-configuration",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """Verdicts that are not ok, in the windows that alerts were last seen in."""

    rows: Mapping[tuple[str, Any], Mapping[str, Verdict]]  # by source and start of the window, by feature

    @classmethod
    def of(cls, past: Past, seen: Collection[datetime], reasons: Mapping[tuple[str, Any, str], str]) -> Standing:
        """What is not ok in the windows that start at `seen`; of each verdict too the number of the window
        `since` which it stands out, and whether that is `cut`: the first that was read, and it may have begun before.

        `reasons` of these verdicts by source, start of the window and feature.
        """
        bad = past.verdicts.loc[past.verdicts["state"] != "ok", ["source", "rule", "feature", "state", "window_start"]]
        bad = bad.assign(since=_since(bad, past.runs["window_start"]))
        read = past.verdicts[~past.verdicts["feature"].isin(LABEL_FEATURES)]  # of labels all windows are
        first = _numbers(past.runs["window_start"], read.groupby("source")["window_start"].min())
        bad = bad.assign(cut=bad["since"] == bad["source"].map(first))
        found: dict[tuple[str, Any], dict[str, Verdict]] = {}
        for start in seen:
            here = bad[bad["window_start"] == start].drop(columns="window_start")
            for row in here.to_dict("records"):
                row["reason"] = reasons.get((row["source"], start, row["feature"]), "")
                found.setdefault((row["source"], start), {})[row["feature"]] = row
        return cls(found)

    def at(self, alert: Alert) -> Mapping[str, Verdict]:
        """What is not ok of an alert's source in the window that it was last seen in, by feature."""
        return self.rows.get((alert.source, alert.seen_start), {})


def _numbers(windows: pd.Series, starts: pd.Series) -> pd.Series:
    """Numbers of the windows that begin at `starts`, among all."""
    return starts.map({start: number for number, start in enumerate(sorted(set(windows)))})


def _since(bad: pd.DataFrame, windows: pd.Series) -> pd.Series:
    """Number of the window that begins the unbroken row, up to each verdict's own, in which its feature stood out."""
    ordered = bad.assign(place=_numbers(windows, bad["window_start"])).sort_values(
        ["source", "feature", "place"], kind="stable"
    )
    key = ["source", "feature"]
    goes_on = (ordered[key] == ordered[key].shift()).all(axis=1) & (ordered["place"] == ordered["place"].shift() + 1)
    certain = ordered["state"] != "unknown"
    row = (~(goes_on & certain & certain.shift(fill_value=False))).cumsum()
    return ordered.groupby(row)["place"].transform("first")


def led(alert: Alert, rule: AlertRule | None, standing: Standing, said: str = "") -> Alert:
    """An alert whose facts name the feature that told most of it, and the likely cause.

    Of mistakes of the model the cause is what else stands out at that source; where nothing does, the mistakes. Of a
    number that cvkit's own verdict finds nothing wrong with, it is only the rule's limit. What was `said` of an alert
    that goes on holds where it is no longer seen what began first.
    """
    here = standing.at(alert)
    facts = dict(alert.facts)
    if not here and said and not alert.open:  # it was last seen in a window that is no longer looked at
        return replace(alert, facts=facts | {"cause": said})
    if rule and rule.metric == "runs":
        return replace(alert, facts=facts | {"cause": NOT_MEASURED[0]})
    if rule and rule.state == "unknown":
        return replace(alert, facts=facts | {"cause": NOT_JUDGED[0]})
    since = {feature: row["since"] for feature, row in here.items() if row["state"] != "unknown"}
    if own := {feature: start for feature, start in since.items() if rule and of_rule(here[feature], rule)}:
        worst = {feature: start for feature, start in own.items() if here[feature]["state"] == alert.severity}
        first = foremost(worst or own)
        facts |= {"feature": first, "reason": here[first]["reason"]}
    others = {feature: start for feature, start in since.items() if feature not in LABEL_FEATURES}
    feature = str(facts.get("feature"))
    if rule and not rule.state:
        bad = feature in since or (rule.missing and feature == "images")
        facts["cause"] = likely({feature: 0}) if bad else OWN_LIMIT[0]
    else:
        facts["cause"] = likely(others or since or {feature: 0})
        cut = {likely({one: 0}) for one in others if here[one]["cut"]}
        if others and here[foremost(others)]["cut"] and said in cut and {said, facts["cause"]} <= set(PICTURE):
            facts["cause"] = said
    return replace(alert, facts=facts)


def of_rule(row: Verdict, rule: AlertRule) -> bool:
    """Whether a verdict that is not ok is one that the rule looks at."""
    group = "performance" if row["feature"] in LABEL_FEATURES else row["rule"]
    of_kind = bool(rule.state) and (rule.metric == "any" or rule.metric in (group, row["feature"]))
    return of_kind and (row["state"] == "unknown") == (rule.state == "unknown")


def advice(cause: str) -> tuple[str, str]:
    """What to do first about a likely cause, and the part of the runbook that says more."""
    known = {NOT_MEASURED[0]: NOT_MEASURED[1:], NOT_JUDGED[0]: NOT_JUDGED[1:], OWN_LIMIT[0]: OWN_LIMIT[1:],
             **ADVICE}  # fmt: skip
    return known[cause]
