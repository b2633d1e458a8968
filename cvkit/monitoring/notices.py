"""Notices: the words of an alert, from the measurements and verdicts it rests on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import sqlalchemy as sa

from cvkit.config import Config
from cvkit.config.alerts import AlertRule, default_statistic
from cvkit.monitoring import alert_store as store
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.conditions import NUMBERS, Past, explain
from cvkit.monitoring.database import REPORTS
from cvkit.monitoring.diagnosis import CAUSES, telling
from cvkit.monitoring.messages import Event, Notice
from cvkit.tables import FEATURE_UNITS, FINDING_WORDS, LABEL_FEATURES

MOST_DETAILS = 8  # lines of further evidence in one notice
WITHOUT_MEAN = {"class_mix": "chi_square", "embedding": "embedding_shift"}
NOTEBOOKS = {"data": "01-data-quality", "quality": "01-data-quality", "drift": "02-drift",
             "performance": "04-performance"}  # by group of verdicts  # fmt: skip
# What to do first, by likely cause (a name in `diagnosis.CAUSES`), and the part of the runbook that says more.
ADVICE: Mapping[str, tuple[str, str]] = {
    "the model makes more mistakes: labels tell": (
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
class Context:
    """What notices are written from, read once for all that are told together."""

    config: Config
    rules: Mapping[str, AlertRule]
    verdicts: Mapping[tuple[str, Any], list[dict[str, Any]]] = field(default_factory=dict)  # not ok
    numbers: Mapping[tuple[str, Any, str, str], dict[str, Any]] = field(default_factory=dict)
    reports: Mapping[tuple[Any, str, str], str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, config: Config, connection: sa.Connection, past: Past, rules: Sequence[AlertRule],
        told: Sequence[tuple[Alert, Event]],
    ) -> Context:  # fmt: skip
        """What notices of the alerts that are `told` need to know."""
        by_name = {rule.name: rule for rule in rules}
        if not told:
            return cls(config, by_name)
        starts = {alert.seen_start for alert, _ in told}
        about = past.verdicts[past.verdicts["window_start"].isin(starts) & (past.verdicts["state"] != "ok")]
        verdicts: Any = {
            key: rows.to_dict("records") for key, rows in about.sort_values("state").groupby(["source", "window_start"])
        }
        runs = store.runs(connection, config.model.name, told[0][0].version, min(starts))
        wanted = {(str(alert.facts.get("feature")), _statistic(str(alert.facts.get("feature")))) for alert, _ in told}
        rows = store.measurements(connection, runs[runs["window_start"].isin(starts)], wanted).to_dict("records")
        numbers: Any = {(row["source"], row["window_start"], row["feature"], row["metric"]): row for row in rows}
        return cls(config, by_name, verdicts, numbers, _reports(connection, config, starts))

    def notice(self, alert: Alert, event: Event) -> Notice:
        """The words of one alert."""
        rule, facts = self.rules.get(alert.rule), self._facts(alert)
        cause, todo, part = self._advice(alert, rule)
        reason = str(facts.get("reason") or "")
        what = (rule.message if rule and rule.message else "") or reason or self._condition(rule, facts)
        if event == "resolved":
            what = f"over: {what}"
        return Notice(
            fingerprint=alert.fingerprint, event=event, model=alert.model, version=alert.version, source=alert.source,
            rule=alert.rule, severity=alert.severity, title=f"{alert.source or alert.model}: {cause}", what=what,
            metric=_metric(facts, rule), value=_rounded(facts["value"]), low=_rounded(facts["low"]),
            high=_rounded(facts["high"]), unit=_unit(facts, rule), expected=_expected(facts, rule),
            window_start=alert.seen_start, window_end=alert.seen_end, n=int(facts.get("n") or 0), since=alert.since,
            until=alert.until, returns=alert.returns, cause=cause, details=self._details(alert, rule), todo=todo,
            runbook=self._runbook(rule, part), report=self._report(alert, rule), owner=rule.owner if rule else "",
            acknowledge=command(self.config, alert.fingerprint),
        )  # fmt: skip

    def _facts(self, alert: Alert) -> dict[str, Any]:
        """The look an alert rests on; where it is a verdict, with the number that the verdict is about."""
        facts = dict(alert.facts)
        feature = str(facts.get("feature"))
        row = self.numbers.get((alert.source, pd.Timestamp(alert.seen_start), feature, _statistic(feature)))
        if row is not None and facts.get("value") is None:
            facts |= {name: None if row[name] != row[name] else row[name] for name in NUMBERS} | {"n": row["n"]}
        return facts

    def _advice(self, alert: Alert, rule: AlertRule | None) -> tuple[str, str, str]:
        if rule and rule.metric == "runs":
            return NOT_MEASURED
        if rule and rule.state == "unknown":
            return NOT_JUDGED
        rank = min((telling(str(row["feature"])) for row in self._rows(alert, rule)), default=telling(
            str(alert.facts.get("feature"))))  # fmt: skip
        cause = CAUSES[rank][0]
        return cause, *ADVICE[cause]

    def _rows(self, alert: Alert, rule: AlertRule | None) -> list[dict[str, Any]]:
        """The verdicts that an alert rests on, the worst first."""
        rows = self.verdicts.get((alert.source, pd.Timestamp(alert.seen_start)), [])
        if rule is None or not rule.state:
            return []
        return [row for row in rows if _of_rule(row, rule)]

    def _details(self, alert: Alert, rule: AlertRule | None) -> tuple[str, ...]:
        rows = [row for row in self._rows(alert, rule) if row["reason"] != alert.facts.get("reason")]
        lines = [f"{row['state']}, {str(row['feature']).replace('_', ' ')}: {row['reason']}" for row in rows]
        left_out = [f"and {len(lines) - MOST_DETAILS} more"] if len(lines) > MOST_DETAILS else []
        return (*lines[:MOST_DETAILS], *left_out)

    def _condition(self, rule: AlertRule | None, facts: Mapping[str, Any]) -> str:
        if rule and rule.missing and rule.feature == "images":
            return "no image came from this source in the window"
        words = explain(rule).partition(" when ")[2].rpartition(" (")[0] if rule else "the rule is gone"
        value = "" if facts.get("value") is None else f" (measured: {facts['value']:.4g})"
        return f"{words}{value}"

    def _runbook(self, rule: AlertRule | None, part: str) -> str:
        page = rule.runbook if rule and rule.runbook else f"runbook/#{part}"
        if page.startswith(("http://", "https://")) or not self.config.alerts.site:
            return page if rule and rule.runbook else f"docs/runbook.md#{part}"
        return f"{self.config.alerts.site.rstrip('/')}/{page}"

    def _report(self, alert: Alert, rule: AlertRule | None) -> str:
        """Address of the report that shows it; of the site's first page where there is none, of the file without."""
        group = rule.metric if rule and rule.metric in NOTEBOOKS else _group(alert)
        for about in (alert.source, ""):
            path = self.reports.get((alert.seen_start, NOTEBOOKS.get(group, "02-drift"), about))
            if path:
                return _address(self.config, path)
        return self.config.alerts.site or f"`cvkit site --serve --config {_shown(self.config)}`"


def cause(alert: Alert) -> str:
    """The likely cause by what told most alone."""
    feature = str(alert.facts.get("feature") or "")
    return NOT_MEASURED[0] if feature == "runs" else CAUSES[telling(feature)][0]


def command(config: Config, fingerprint: str) -> str:
    """The command that acknowledges an alert."""
    return f'cvkit alerts ack {fingerprint} --why "..." --config {_shown(config)}'


def _shown(config: Config) -> str:
    return shlex.quote(str(config.workspace))


def _address(config: Config, path: str) -> str:
    if not config.alerts.site:
        return str(config.workspace / path)
    return f"{config.alerts.site.rstrip('/')}/{quote(Path(path).with_suffix('').as_posix())}/"


def _reports(connection: sa.Connection, config: Config, starts: set[Any]) -> dict[tuple[Any, str, str], str]:
    about = REPORTS.c.window_start, REPORTS.c.notebook, REPORTS.c.source
    query = sa.select(*about, REPORTS.c.path).where(
        REPORTS.c.model == config.model.name, REPORTS.c.status == "done", REPORTS.c.window_start.in_(sorted(starts))
    )
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def _of_rule(row: Mapping[str, Any], rule: AlertRule) -> bool:
    group = "performance" if row["feature"] in LABEL_FEATURES else row["rule"]
    of_kind = rule.metric == "any" or rule.metric in (group, row["feature"])
    return of_kind and (row["state"] == "unknown") == (rule.state == "unknown")


def _group(alert: Alert) -> str:
    feature = str(alert.facts.get("feature"))
    if feature in (*LABEL_FEATURES, "performance", "estimate"):
        return "performance"
    return "quality" if feature in FINDING_WORDS or feature == "images" else "drift"


def _statistic(feature: str) -> str:
    return WITHOUT_MEAN.get(feature) or ("count" if feature == "gap" else default_statistic(feature))


def _metric(facts: Mapping[str, Any], rule: AlertRule | None) -> str:
    feature = str(facts.get("feature") or (rule.feature if rule else ""))
    statistic = rule.statistic if rule and not rule.state and rule.metric != "runs" else _statistic(feature)
    of_class = f" of {facts['class_name']}" if facts.get("class_name") else ""
    return f"{feature}.{statistic}{of_class}"


def _unit(facts: Mapping[str, Any], rule: AlertRule | None) -> str:
    feature = str(facts.get("feature") or "")
    if feature in FINDING_WORDS:
        return "share of the images"
    return {"images": "images", "runs": ""}.get(feature) or FEATURE_UNITS.get(feature, "")


def _expected(facts: Mapping[str, Any], rule: AlertRule | None) -> str:
    """What was expected: the reference's value with its range, and the rule's limit."""
    parts = []
    if rule and not rule.state and not rule.missing:
        limits = [("at most", rule.above), ("at least", rule.below)]
        parts += [f"{way} {limit:g}" for way, limit in limits if limit is not None]
        parts += [f"within {rule.change:.0%} of the reference"] if rule.change is not None else []
    expected, low, high = (facts.get(name) for name in ("expected", "expected_low", "expected_high"))
    if expected is not None:
        span = "" if low is None or high is None else f" ({low:.4g} to {high:.4g} in healthy windows)"
        parts.append(f"{expected:.4g}{span}")
    if rule and rule.missing:
        parts.append("a value" if rule.feature not in ("images", "runs") else "images, measured without an error")
    return "; ".join(parts) or "no verdict but ok"


def _rounded(value: Any) -> float | None:
    return None if value is None else float(f"{value:.6g}")
