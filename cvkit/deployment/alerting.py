"""Alerting: Prometheus's scrapes and rules, and Alertmanager's routes, from the settings of cvkit's own alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

from cvkit.config import Config
from cvkit.deployment import names
from cvkit.deployment.promql import Condition, conditions, missed, quoted, selector, slots_missed
from cvkit.monitoring import pages
from cvkit.monitoring.messages import clean

Settings = dict[str, Any]

SCRAPE = "30s"
EVALUATE = "1m"
LIVE = "5m"  # over which live rates are taken
GONE = timedelta(minutes=15)  # how long cvkit's metrics may be away before somebody is told
VALUE = "{{ $value | humanize }}"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def prometheus() -> Settings:
    """prometheus.yml: whom to scrape, which rules to look at, whom to tell."""
    return {
        "global": {"scrape_interval": SCRAPE, "evaluation_interval": EVALUATE},
        "rule_files": ["cvkit-recording.yml", "cvkit-rules*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]},
        "scrape_configs": [
            {"job_name": names.JOB, "static_configs": [{"targets": ["cvkit:9108"]}]},
            {"job_name": names.RECORDER_JOB, "static_configs": [{"targets": ["recorder:9101"]}]},
            {"job_name": "pushgateway", "honor_labels": True, "static_configs": [{"targets": ["pushgateway:9091"]}]},
        ],
    }


def rules(config: Config, grafana: str) -> Settings:
    """cvkit-rules.yml: an alert for each rule of this model, and about what is told of it."""
    alerts = [_alert(condition, config, grafana) for condition in conditions(config)]
    return {
        "groups": [
            {"name": "cvkit-alerts", "rules": alerts},
            {"name": "cvkit-itself", "rules": _itself(config, grafana)},
        ]
    }


def shared_rules(config: Config, grafana: str) -> Settings:
    """cvkit-recording.yml: what is the same for all models: recording rules for the dashboards, and the recorders."""
    return {
        "groups": [
            {"name": "cvkit-recording", "rules": recordings()},
            {"name": "cvkit-recorder", "rules": _recorder(config, grafana)},
        ]
    }


def recordings() -> list[Settings]:
    """Recording rules: level, metric, operation."""
    by = "model, version, source"
    states = "cvkit_source_state"
    recorded = {
        "model:cvkit_source_state:max": f"max by (model, version) ({states})",
        "model_source:cvkit_frames:rate5m": f"sum by ({by}) (rate({names.FRAMES}[{LIVE}]))",
        **{
            f"model_source:cvkit_inference_latency_seconds:{name}": (
                f"histogram_quantile({share}, sum by ({by}, le) (rate({names.LATENCY}_bucket[{LIVE}])))"
            )
            for name, share in QUANTILES.items()
        },
        "source:cvkit_inference_errors:rate5m": f"sum by (source) (rate({names.ERRORS}[{LIVE}]))",
        "source:cvkit_records_dropped:rate5m": f"sum by (source) (rate({names.DROPPED}[{LIVE}]))",
    }
    return [{"record": name, "expr": expression} for name, expression in recorded.items()]


def alertmanager(config: Config) -> Settings:
    """alertmanager.yml: where alerts go, and which keep others quiet."""
    quieting = sorted({one.name for one in conditions(config) if one.rule.inhibits})
    others = f"alertname!~{quoted('|'.join(quieting))}"
    inhibits = [
        {"source_matchers": [f"alertname={quoted(name)}"], "target_matchers": [others, 'source!=""'],
         "equal": ["model", "source"]}
        for name in quieting
    ]  # fmt: skip
    for worse, lesser in (("critical", "warning|info"), ("warning", "info")):
        inhibits.append(
            {"source_matchers": [f'severity="{worse}"'], "target_matchers": [f'severity=~"{lesser}"'],
             "equal": ["alertname", "model", "source"]}
        )  # fmt: skip
    return {
        "route": {
            "receiver": names.CONTACT, "group_by": ["alertname", "model", "source"], "group_wait": "30s",
            "group_interval": "5m", "repeat_interval": duration(timedelta(hours=config.alerts.repeat_hours)),
        },
        "inhibit_rules": inhibits,
        "receivers": [{"name": names.CONTACT, "slack_configs": [_slack()]}],
    }  # fmt: skip


def labels(condition: Condition) -> dict[str, str]:
    """Labels of an alert beside those of its series."""
    owner = {"owner": condition.rule.owner} if condition.rule.owner else {}
    return {"severity": condition.severity, "rule": condition.rule.name, **owner}


def said_by(condition: Condition, config: Config, grafana: str, value: str = VALUE) -> dict[str, str]:
    """What an alert says; `value` is how its template names the number."""
    rule = condition.rule
    of_model = rule.metric == "runs"
    where = "{{ $labels.model }}" if of_model else "{{ $labels.source }} ({{ $labels.model }})"
    summary = _plain(rule.message) or rule.name.replace("-", " ").capitalize()
    return {
        "summary": f"{where}: {summary}",
        "description": f"{_meaning(condition, value)} `cvkit status` says more, with evidence and likely cause.",
        "runbook_url": _runbook(rule.runbook, config),
        "dashboard_url": _dashboard(grafana, with_source=not of_model),
    }


def duration(length: timedelta) -> str:
    """A length of time as Prometheus writes it.

    >>> duration(timedelta(hours=49)), duration(timedelta())
    ('2d1h', '0s')
    """
    left, text = round(length.total_seconds()), ""
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, seconds)
        text += f"{number}{unit}" if number else ""
    return text or "0s"


def _alert(condition: Condition, config: Config, grafana: str) -> Settings:
    lasting = {"for": duration(condition.lasting)} if condition.lasting else {}
    return {
        "alert": condition.name, "expr": condition.query, **lasting, "labels": labels(condition),
        "annotations": said_by(condition, config, grafana),
    }  # fmt: skip


def _alerts_about(told: dict[str, tuple[str, str, str]], config: Config, grafana: str) -> list[Settings]:
    page = {"runbook_url": _runbook("", config), "dashboard_url": f"{grafana.rstrip('/')}/d/{names.FLEET}"}
    return [
        {"alert": name, "expr": query, "for": duration(GONE), "labels": {"severity": severity},
         "annotations": {"summary": words, "description": f"{words}. It has lasted for {duration(GONE)}.", **page}}
        for name, (query, severity, words) in told.items()
    ]  # fmt: skip


def _itself(config: Config, grafana: str) -> list[Settings]:
    """Alerts about cvkit itself: what is not told is no good news."""
    model = f"model={quoted(config.model.name)}"
    up, left_out = selector("cvkit_up", model), selector("cvkit_series_left_out", model)
    told = {
        "CvkitMetricsGone": (f"absent({up})", "critical", "{{ $labels.model }}: cvkit's metrics do not come in"),
        "CvkitRunMissed": (
            str(missed(config)),
            "critical",
            "{{ $labels.model }}: no window was measured when one was due",
        ),
        "CvkitHistoryUnreadable": (f"{up} == 0", "critical", "{{ $labels.model }}: the history cannot be read"),
        "CvkitSeriesLeftOut": (f"{left_out} > 0", "warning", "{{ $labels.model }}: too many series for one scrape"),
    }
    told |= {f"CvkitSlotMissed{place}": (query, "critical", "{{ $labels.model }}: {{ $labels.schedule }} was not run")
             for place, query in enumerate(slots_missed(config), start=1)}  # fmt: skip
    return _alerts_about(told, config, grafana)


def _recorder(config: Config, grafana: str) -> list[Settings]:
    told = {
        "CvkitInferenceErrors": ("source:cvkit_inference_errors:rate5m > 0", "warning",
                                 "{{ $labels.source }}: the model fails on some frames"),
        "CvkitRecordsDropped": ("source:cvkit_records_dropped:rate5m > 0", "warning",
                                "{{ $labels.source }}: the recorder loses records"),
    }  # fmt: skip
    return _alerts_about(told, config, grafana)


def _meaning(condition: Condition, value: str) -> str:
    rule = condition.rule
    lasting = f", {rule.for_windows} windows in a row" if rule.for_windows > 1 else ""
    if rule.metric == "runs":
        return "The newest window could not be measured."
    if rule.missing:
        return f"The newest window has no {rule.feature} of it{lasting}."
    if rule.state:
        worse = " or critical" if condition.state == "warning" else ""
        return f"A verdict of {_plain(rule.metric)} is {condition.state}{worse}{lasting}."
    limits = [
        f"{word} {limit:g}" for word, limit in (("above", rule.above), ("below", rule.below)) if limit is not None
    ]
    limit = " or ".join(limits) or f"changed by more than {100 * (rule.change or 0.0):.3g} % of the reference's"
    return f"{rule.feature}.{rule.statistic} is {limit}{lasting}: {value}."


def _runbook(page: str, config: Config) -> str:
    """An address as it is; a page as one of the site. Without one the page that has a section for each likely cause."""
    site = config.alerts.site or "http://localhost:8000"
    published = config.model_copy(update={"alerts": config.alerts.model_copy(update={"site": site})})
    return _plain(pages.runbook(published, page or "runbook.md"))


def _dashboard(grafana: str, with_source: bool) -> str:
    source = "&var-source={{ $labels.source | urlquery }}" if with_source else ""
    page = f"{grafana.rstrip('/')}/d/{quote(names.MODEL_PAGE)}"
    return f"{page}?var-model={{{{ $labels.model | urlquery }}}}{source}"


def _slack() -> Settings:
    lines = "\n".join((
        "{{ range .Alerts }}*{{ .Labels.severity }}* {{ .Annotations.summary }}", "{{ .Annotations.description }}",
        "<{{ .Annotations.dashboard_url }}|dashboard> <{{ .Annotations.runbook_url }}|what to do>", "{{ end }}",
    ))  # fmt: skip
    return {
        "api_url_file": names.SECRET, "send_resolved": True,
        "title": "[{{ .Status | toUpper }}] {{ .CommonLabels.alertname }} {{ .CommonLabels.source }}",
        "text": lines,
    }  # fmt: skip


def _plain(text: str) -> str:
    """Text that a template shows as it is."""
    return clean(text).replace("{{", '{{"{{"}}')
