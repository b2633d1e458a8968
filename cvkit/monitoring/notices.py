"""Notices: the words of an alert, from the measurements and verdicts it rests on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import sqlalchemy as sa

from cvkit.config import Config
from cvkit.config.alerts import STATISTICS, AlertRule, default_statistic
from cvkit.monitoring import alert_store as store
from cvkit.monitoring import pages
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.causes import MISTAKES, PROCEDURES, Standing, advice, of_rule
from cvkit.monitoring.conditions import NUMBERS, explain
from cvkit.monitoring.messages import Event, Notice
from cvkit.monitoring.schema import REPORTS
from cvkit.tables import COUNTED_FINDINGS, FEATURE_UNITS, FINDING_WORDS, LABEL_FEATURES, STATES, Window

MOST_DETAILS = 8  # lines of further evidence in one notice
NOTEBOOKS = {"data": "01-data-quality", "quality": "01-data-quality", "drift": "02-drift",
             "performance": "04-performance"}  # by group of verdicts  # fmt: skip


@dataclass(frozen=True, slots=True)
class Context:
    """What notices are written from, read once for all that are told together."""

    config: Config
    rules: Mapping[str, AlertRule]
    standing: Standing
    numbers: Mapping[tuple[str, Any, str, str], dict[str, Any]] = field(default_factory=dict)
    reports: Mapping[tuple[Any, str, str], str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, config: Config, connection: sa.Connection, standing: Standing, rules: Sequence[AlertRule],
        told: Sequence[tuple[Alert, Event]],
    ) -> Context:  # fmt: skip
        """What notices of the alerts that are `told` need to know."""
        by_name = {rule.name: rule for rule in rules}
        if not told:
            return cls(config, by_name, standing)
        starts = {alert.seen_start for alert, _ in told}
        runs = store.runs(connection, config.model.name, told[0][0].version, min(starts))
        wanted = {(str(alert.facts.get("feature")), _statistic(str(alert.facts.get("feature")))) for alert, _ in told}
        rows = store.measurements(connection, runs[runs["window_start"].isin(starts)], wanted).to_dict("records")
        numbers: Any = {(row["source"], row["window_start"], row["feature"], row["metric"]): row for row in rows}
        return cls(config, by_name, standing, numbers, _reports(connection, config, starts))

    def notice(self, alert: Alert, event: Event) -> Notice:
        """The words of one alert."""
        rule, facts = self.rules.get(alert.rule), self._facts(alert)
        cause = str(facts["cause"])
        todo, part = advice(cause)
        reason = f"{str(facts['feature']).replace('_', ' ')}: {facts['reason']}" if facts.get("reason") else ""
        what = (rule.message if rule and rule.message else "") or reason or self._condition(rule, facts)
        if event == "resolved":
            what, todo = f"Over. When it was last so: {what}", "nothing: it is over"
        return Notice(
            fingerprint=alert.fingerprint, event=event, model=alert.model, version=alert.version, source=alert.source,
            rule=alert.rule, severity=alert.severity, what=what,
            title=_title(alert, rule),
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

    def _details(self, alert: Alert, rule: AlertRule | None) -> tuple[str, ...]:
        """The other verdicts that an alert rests on, the worst first."""
        rows = [row for row in self.standing.at(alert).values() if rule and of_rule(row, rule)]
        rows = sorted(rows, key=lambda row: -STATES.index(row["state"]))
        lines = [f"{row['state']}, {row['feature'].replace('_', ' ')}: {row['reason']}" for row in rows
                 if row["feature"] != alert.facts.get("feature")]  # fmt: skip
        left_out = [f"and {len(lines) - MOST_DETAILS} more"] if len(lines) > MOST_DETAILS else []
        return (*lines[:MOST_DETAILS], *left_out)

    def _condition(self, rule: AlertRule | None, facts: Mapping[str, Any]) -> str:
        if rule and rule.missing and rule.feature == "images":
            return "no image came from this source in the window"
        words = explain(rule).partition(" when ")[2].rpartition(" (")[0] if rule else "the rule is gone"
        value = "" if facts.get("value") is None else f" (measured: {facts['value']:.4g})"
        return f"{words}{value}"

    def _runbook(self, rule: AlertRule | None, part: str) -> str:
        return pages.runbook(self.config, rule.runbook if rule and rule.runbook else f"runbook.md#{part}")

    def _report(self, alert: Alert, rule: AlertRule | None) -> str:
        """Address of the report that shows it; of the site's first page where there is none, of the file without."""
        notebook, window = notebook_of(alert, rule), Window(alert.seen_start, alert.seen_end)
        for about in (alert.source, ""):
            path = self.reports.get((alert.seen_start, notebook, about))
            if path and self.config.alerts.site:
                return f"{self.config.alerts.site.rstrip('/')}/{pages.report_page(window, notebook, about)}/"
            if path:
                return str(self.config.workspace / path)
        return self.config.alerts.site or f"`cvkit site serve --config {_shown(self.config)}`"


def notebook_of(alert: Alert, rule: AlertRule | None) -> str:
    """The notebook whose report shows what an alert is about."""
    return NOTEBOOKS[rule.metric if rule and rule.metric in NOTEBOOKS else _group(alert)]


def procedure(alert: Alert, rule: AlertRule | None) -> str:
    """What to do, step by step: the page that the rule names, else cvkit's own for what is the matter."""
    if rule and rule.runbook:
        return rule.runbook
    what = matter(alert)
    return f"procedures/{PROCEDURES[advice(what)[1]] if what else 'index'}.md"


def matter(alert: Alert) -> str:
    """What is the matter, in a few words, without the rule: the cause, or that the model is worse."""
    return MISTAKES if alert.facts.get("feature") in LABEL_FEATURES else str(alert.facts.get("cause", ""))


def _title(alert: Alert, rule: AlertRule | None) -> str:
    """The source and what is the matter; of a rule on a number its name says it."""
    what = matter(alert)
    if rule and not rule.state and not rule.missing:
        what = f"{rule.name.replace('-', ' ')} ({str(alert.facts.get('feature')).replace('_', ' ')})"
    return f"{alert.source or alert.model}: {what}"


def command(config: Config, fingerprint: str, action: str = "ack") -> str:
    """The command that acknowledges an alert, or does another thing to it."""
    return f'cvkit alerts {action} {fingerprint} --why "..." --config {_shown(config)}'


def _shown(config: Config) -> str:
    return shlex.quote(str(config.workspace))


def _reports(connection: sa.Connection, config: Config, starts: set[Any]) -> dict[tuple[Any, str, str], str]:
    about = REPORTS.c.window_start, REPORTS.c.notebook, REPORTS.c.source
    query = sa.select(*about, REPORTS.c.path).where(
        REPORTS.c.model == config.model.name, REPORTS.c.status == "done", REPORTS.c.window_start.in_(sorted(starts))
    )
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def _group(alert: Alert) -> str:
    feature = str(alert.facts.get("feature"))
    if feature in (*LABEL_FEATURES, "performance", "estimate"):
        return "performance"
    return "quality" if feature in FINDING_WORDS or feature == "images" else "drift"


def _statistic(feature: str) -> str:
    return default_statistic(feature) if feature in STATISTICS else ""


def _metric(facts: Mapping[str, Any], rule: AlertRule | None) -> str:
    feature = str(facts.get("feature") or (rule.feature if rule else ""))
    statistic = rule.statistic if rule and not rule.state and rule.metric != "runs" else _statistic(feature)
    of_class = f" of {facts['class_name']}" if facts.get("class_name") else ""
    return f"{feature}.{statistic}{of_class}"


def _unit(facts: Mapping[str, Any], rule: AlertRule | None) -> str:
    feature = str(facts.get("feature") or "")
    if feature in FINDING_WORDS:
        return "times" if feature in COUNTED_FINDINGS else "share of the images"
    if rule and not rule.state and rule.statistic not in ("mean", "count"):
        return ""  # distances between distributions, and shares, have none
    return {"images": "images", "runs": ""}.get(feature) or FEATURE_UNITS.get(feature, "")


def _expected(facts: Mapping[str, Any], rule: AlertRule | None) -> str:
    """What was expected: the reference's value with its range, and the rule's limit."""
    parts = []
    if rule and not rule.state and not rule.missing:
        limits = [("at most", rule.above), ("at least", rule.below)]
        parts += [f"{way} {limit:g}" for way, limit in limits if limit is not None]
        parts += [f"within {100 * rule.change:.3g} % of the reference"] if rule.change is not None else []
    expected, low, high = (facts.get(name) for name in ("expected", "expected_low", "expected_high"))
    if expected is not None:
        span = "" if low is None or high is None else f" ({low:.4g} to {high:.4g} in healthy windows)"
        parts.append(f"{'in the reference ' if parts else ''}{expected:.4g}{span}")
    if rule and rule.missing:
        parts.append({"images": "images", "runs": "windows measured without an error"}.get(rule.feature, "a value"))
    return "; ".join(parts) or "no verdict but ok"


def _rounded(value: Any) -> float | None:
    return None if value is None else float(f"{value:.6g}")
