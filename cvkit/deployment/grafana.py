"""Grafana: data source, dashboards, alert rules and a contact point, as files that it reads when it starts."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from grafana_foundation_sdk.builders import alerting as build
from grafana_foundation_sdk.builders.expr import TypeMath
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.alerting import RelativeTimeRange

from cvkit.config import Config
from cvkit.deployment import names
from cvkit.deployment.alerting import EVALUATE, GONE, Settings, duration, labels, said_by
from cvkit.deployment.promql import Comparison, Condition, conditions, missed, quoted, selector

EXPRESSIONS = "__expr__"  # Grafana's own name for the source of expressions
LOOK_BACK = RelativeTimeRange(from_val=600, to=0)
GROUPED = ["grafana_folder", "alertname", "model", "source"]  # Grafana wants the first two
VALUE = "{{ humanize $values.A.Value }}"
DASHBOARDS = "/etc/grafana/dashboards"


def datasources() -> Settings:
    """Where Grafana asks; a fixed uid, which the dashboards name."""
    one = {
        "name": "Prometheus (cvkit)", "uid": names.DATASOURCE, "type": "prometheus", "access": "proxy",
        "url": "http://prometheus:9090", "jsonData": {"httpMethod": "POST", "timeInterval": "30s"},
    }  # fmt: skip
    return {"apiVersion": 1, "datasources": [one]}


def providers() -> Settings:
    """Where Grafana finds the dashboards."""
    one = {
        "name": "cvkit", "folder": names.FOLDER, "type": "file", "allowUiUpdates": False,
        "options": {"path": DASHBOARDS},
    }  # fmt: skip
    return {"apiVersion": 1, "providers": [one]}


def contact_points() -> Settings:
    """Slack. The address of the webhook is read from a file when Grafana starts."""
    made = build.ContactPoint().uid(names.CONTACT).type("slack")
    made = made.settings({"url": f"$__file{{{names.SECRET}}}"})
    return {
        "apiVersion": 1,
        "contactPoints": [{"orgId": 1, "name": names.CONTACT, "receivers": [_plain(made.build())]}],
    }


def alert_rules(config: Config, grafana: str) -> Settings:
    """Grafana's own alert rules: the same conditions, so that a value is seen also where nothing fires."""
    rules = [_rule(condition, config, grafana) for condition in conditions(config)]
    return {
        "apiVersion": 1,
        "groups": [
            {"orgId": 1, "name": f"cvkit {_raw(config.model.name)}", "folder": names.FOLDER, "interval": EVALUATE,
             "rules": [*rules, *_itself(config)]}
        ],
    }  # fmt: skip


def _rule(condition: Condition, config: Config, grafana: str) -> Settings:
    """No data is ok here: that cvkit's metrics are gone has an alert of its own."""
    title = f"{condition.rule.name} ({condition.severity}) {config.model.name}"
    made = _asked(title, condition.comparisons).no_data_state("OK").for_val(duration(condition.lasting))
    made = made.labels({name: _raw(text) for name, text in labels(condition).items()})
    return _plain(made.annotations(said_by(condition, config, grafana, VALUE)).build())


def _itself(config: Config) -> list[Settings]:
    """What is not told is no good news: here no data is an alert."""
    up = Comparison(f"min by (model) ({selector('cvkit_up', f'model={quoted(config.model.name)}')})", "<", 1)
    told = {
        "metrics gone": (up, "cvkit's metrics do not come in, or its history cannot be read"),
        "run missed": (missed(config), "no window was measured when one was due"),
    }
    return [
        _plain(
            _asked(f"{title} {config.model.name}", (one,)).no_data_state("Alerting").for_val(duration(GONE))
            .labels({"severity": "critical"}).annotations({"summary": words}).build()
        )
        for title, (one, words) in told.items()
    ]  # fmt: skip


def _asked(title: str, comparisons: tuple[Comparison, ...]) -> build.Rule:
    """A rule that asks for each value, and compares them in an expression."""
    letters = [chr(ord("A") + place) for place in range(len(comparisons))]
    pairs = list(zip(letters, comparisons, strict=True))
    said = " || ".join(f"${letter} {one.sign} {one.limit:.12g}" for letter, one in pairs)
    rule = build.Rule(_raw(title)).uid(f"cvkit-{hashlib.sha256(title.encode()).hexdigest()[:16]}").condition("Z")
    for letter, one in pairs:
        model = Dataquery().expr(one.expression).ref_id(letter).instant()
        rule = rule.with_query(_query(letter, names.DATASOURCE).model(model))
    rule = rule.with_query(_query("Z", EXPRESSIONS).model(TypeMath().expression(said).ref_id("Z")))
    settings = build.NotificationSettings().receiver(names.CONTACT).group_by(GROUPED)
    return rule.exec_err_state("Error").notification_settings(settings)


def _query(letter: str, uid: str) -> build.Query:
    return build.Query(letter).datasource_uid(uid).relative_time_range(LOOK_BACK)


def _raw(text: str) -> str:
    """Text in which Grafana puts no variable of the environment."""
    return text.replace("$", "$$")


def _plain(built: Any) -> Settings:
    """What a file holds of a rule or a receiver: its folder and group are said around it."""
    around = ("folderUID", "orgID", "ruleGroup", "provenance")
    made: Settings = json.loads(json.dumps(built, cls=JSONEncoder))
    return {name: value for name, value in made.items() if name not in around}
