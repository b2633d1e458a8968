"""Causes: what told most of an alert, what is likely behind it, and what to do first."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from cvkit.config.alerts import AlertRule
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.conditions import Past
from cvkit.monitoring.diagnosis import foremost, likely
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
NOT_JUDGED = ("too little data to judge by", "find out why so few images come, or lengthen the window", "not-judged")


@dataclass(frozen=True, slots=True)
class Standing:
    """Verdicts that are not ok."""

    rows: Mapping[str, Mapping[str, Mapping[Any, Verdict]]]  # by source, feature and start of the window
    windows: Sequence[Any]  # starts of all windows, oldest first

    @classmethod
    def of(cls, past: Past) -> Standing:
        """What is not ok in the past."""
        found: dict[str, dict[str, dict[Any, Verdict]]] = {}
        for row in past.verdicts[past.verdicts["state"] != "ok"].to_dict("records"):
            found.setdefault(row["source"], {}).setdefault(row["feature"], {})[row["window_start"]] = row
        return cls(found, sorted(past.runs["window_start"]))

    def at(self, source: str, seen: Any) -> dict[str, Verdict]:
        """What is not ok of a source in the window that starts at `seen`, by feature."""
        start = pd.Timestamp(seen)
        return {feature: rows[start] for feature, rows in self.rows.get(source, {}).items() if start in rows}

    def since(self, source: str, features: Mapping[str, Verdict], seen: Any) -> dict[str, Any]:
        """Start of the unbroken row of windows, up to the one at `seen`, in which each feature stood out."""
        start = pd.Timestamp(seen)
        back = [one for one in reversed(self.windows) if one <= start]
        bad = {feature: self.rows[source][feature] for feature, row in features.items() if row["state"] != "unknown"}
        return {
            feature: list(itertools.takewhile(lambda one: one in rows and rows[one]["state"] != "unknown", back))[-1]  # noqa: B023
            for feature, rows in bad.items()
        }


def led(alert: Alert, rule: AlertRule | None, standing: Standing) -> Alert:
    """An alert whose facts name the feature that told most of it, and the likely cause.

    Of mistakes of the model the cause is what else stands out at that source; where nothing does, the mistakes.
    """
    here = standing.at(alert.source, alert.seen_start)
    mine = {feature: row for feature, row in here.items() if rule and of_rule(row, rule)}
    facts = dict(alert.facts)
    if rule and rule.metric == "runs":
        return replace(alert, facts=facts | {"cause": NOT_MEASURED[0]})
    if rule and rule.state == "unknown":
        return replace(alert, facts=facts | {"cause": NOT_JUDGED[0]})
    since = standing.since(alert.source, here, alert.seen_start)
    if own := {feature: since[feature] for feature in mine if feature in since}:
        first = foremost(own)
        facts |= {"feature": first, "reason": mine[first]["reason"]}
    others = {feature: start for feature, start in since.items() if feature not in LABEL_FEATURES}
    facts["cause"] = likely(others or since or {str(facts.get("feature")): alert.since})
    return replace(alert, facts=facts)


def of_rule(row: Verdict, rule: AlertRule) -> bool:
    """Whether a verdict that is not ok is one that the rule looks at."""
    group = "performance" if row["feature"] in LABEL_FEATURES else row["rule"]
    of_kind = bool(rule.state) and (rule.metric == "any" or rule.metric in (group, row["feature"]))
    return of_kind and (row["state"] == "unknown") == (rule.state == "unknown")


def advice(cause: str) -> tuple[str, str]:
    """What to do first about a likely cause, and the part of the runbook that says more."""
    known = {NOT_MEASURED[0]: NOT_MEASURED[1:], NOT_JUDGED[0]: NOT_JUDGED[1:], **ADVICE}
    return known[cause]
