"""What `cvkit deploy` writes: from cvkit.yml and nothing else, right by the tools that read it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import made_up_metrics as made_up
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cvkit import cli, deployment
from cvkit.config import Config
from cvkit.deployment import names
from cvkit.deployment.alerting import duration
from cvkit.deployment.promql import conditions, matcher, pattern, quoted
from cvkit.monitoring.prometheus import METRICS

ROOT = Path(__file__).parents[1]
DEFAULT_URL = "http://localhost:3000"
LIVE = {value for name, value in vars(names).items() if isinstance(value, str) and value.startswith("cvkit_")}
OWN = """
model: {name: "parts {{odd}} \\"x\\" $y"}
alerts:
  site: https://example.org/line
  repeat_hours: 12
  rules:
    - {name: dark, metric: brightness, below: 40, sources: ["cam-[0-9]*"], for: 3, owner: "line $7", runbook: lamps.md}
    - {name: bright, metric: brightness, above: 200, sure: false, severity: critical, runbook: "https://example.org/x"}
    - {name: outside, metric: sharpness, above: 4, below: 1}
    - {name: moved, metric: confidence, change: 0.2, message: "sell {{all}}"}
    - {name: few-scratches, metric: class_boxes, below: 0.1, classes: [scratch]}
    - {name: no-f1, metric: f1, missing: true}
    - {name: anything, metric: any, state: unknown}
    - {name: light, metric: brightness, state: critical}
    - {name: door, metric: images, missing: true, inhibits: true}
    - {name: bad-images, metric: quality, state: warning, enabled: false}
"""


@pytest.fixture
def plain(tmp_path: Path) -> Config:
    return made_up.workspace(tmp_path / "plain")


@pytest.fixture
def own(tmp_path: Path) -> Config:
    return made_up.workspace(tmp_path / "own", OWN)


def tool(*command: str, folder: Path) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts(config: Config) -> dict[str, list[dict[str, Any]]]:
    """The alerting rules of a configuration by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for group in yaml.safe_load(deployment.files(config, DEFAULT_URL)["cvkit-rules.yml"])["groups"]:
        for rule in group["rules"]:
            found.setdefault(rule["alert"], []).append(rule)
    return found


# -- the folder -------------------------------------------------------------------------------------------------------


def test_the_repository_holds_what_the_default_settings_give(plain: Config) -> None:
    made = deployment.files(plain, DEFAULT_URL)
    there = {path.relative_to(ROOT / "deploy").as_posix() for path in (ROOT / "deploy").rglob("*") if path.is_file()}
    assert there == set(made)
    for path, text in made.items():
        assert (ROOT / "deploy" / path).read_text(encoding="utf-8") == text, f"run `cvkit deploy deploy` again: {path}"


def test_the_command_writes_the_same_again_and_leaves_other_files(own: Config, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "slack-url").write_text("secret")
    for _ in range(2):
        assert cli.main(["deploy", str(folder), "--config", str(own.path)]) == 0
        for path, text in deployment.files(own, DEFAULT_URL).items():
            assert (folder / path).read_text(encoding="utf-8") == text
    assert (folder / "slack-url").read_text() == "secret"
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize("which", ["plain", "own"])
def test_the_tools_take_what_is_written(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    deployment.write(request.getfixturevalue(which), tmp_path / "out", DEFAULT_URL)
    tool("promtool", "check", "rules", "cvkit-rules.yml", "cvkit-recording.yml", folder=tmp_path / "out")
    tool("promtool", "check", "config", "prometheus.yml", folder=tmp_path / "out")
    tool("amtool", "check-config", "alertmanager.yml", folder=tmp_path / "out")


# -- rules ------------------------------------------------------------------------------------------------------------


def test_every_rule_that_holds_has_its_alert_and_no_other_has(own: Config) -> None:
    names_of_rules = {rule.name for rule in own.alerts.all_rules}
    found = {rule["labels"]["rule"] for rules in alerts(own).values() for rule in rules if "rule" in rule["labels"]}
    assert found == names_of_rules
    assert "bad-images" not in found
    assert all(re.fullmatch(r"Cvkit([A-Z0-9][a-z0-9]*)+", name) for name in alerts(own))


def test_alerts_have_what_people_need(own: Config) -> None:
    for rules in alerts(own).values():
        for rule in rules:
            assert rule["labels"]["severity"] in ("info", "warning", "critical")
            assert {"summary", "description", "runbook_url", "dashboard_url"} <= set(rule["annotations"])
            assert rule["annotations"]["runbook_url"].startswith("https://example.org/")
    (dark,) = alerts(own)["CvkitDark"]
    assert dark["labels"]["owner"] == "line $7"
    assert dark["annotations"]["runbook_url"] == "https://example.org/line/lamps/"
    assert dark["for"] == "2d1h", "three windows: two days between the first and the third, and a little"
    (bright,) = alerts(own)["CvkitBright"]
    assert (bright["labels"]["severity"], bright["annotations"]["runbook_url"]) == ("critical", "https://example.org/x")


def test_an_alert_is_as_severe_as_its_verdict_where_the_rule_says_nothing(own: Config) -> None:
    assert [rule["labels"]["severity"] for rule in alerts(own)["CvkitAnything"]] == ["info"]
    assert [rule["labels"]["severity"] for rule in alerts(own)["CvkitDrift"]] == ["warning", "critical"]
    assert [rule["labels"]["severity"] for rule in alerts(own)["CvkitLight"]] == ["critical"]
    assert [rule["expr"][-5:] for rule in alerts(own)["CvkitDrift"]] == [" >= 2", " >= 3"]


def test_conditions_speak_of_metrics_that_are_told(own: Config) -> None:
    for text in deployment.files(own, DEFAULT_URL).values():
        for name in re.findall(r"\bcvkit_[a-z0-9_]+", text):
            stem = re.sub(r"_(bucket|sum|count)$", "", name)
            recorded = re.search(rf"[a-z]:{name}", text)
            assert name in METRICS or name in LIVE or stem in LIVE or recorded, name


HEALTHY = {"images": 24, "f1": 0.9, "brightness": 118, "sharpness": 2.6, "confidence": 0.8, "class_boxes": 1}


def rule_tests(own: Config, folder: Path, changed: dict[str, dict[str, float | None]], firing: set[str]) -> None:
    """Let promtool say which alerts fire of a source whose metrics are as usual but for `changed`, by metric."""
    deployment.write(own, folder, DEFAULT_URL)
    told: list[dict[str, str]] = []
    for metric in ("cvkit_measurement", *(f"cvkit_measurement_{end}" for end in ("low", "high", "expected", "values"))):
        width = {"cvkit_measurement_low": 0.99, "cvkit_measurement_high": 1.01}.get(metric, 1.0)
        for feature, usual in HEALTHY.items():
            usual_here = 500 if metric == "cvkit_measurement_values" else usual * width
            value = changed.get(metric, {}).get(feature, usual_here)
            statistic = "count" if feature == "images" else "mean"
            labels = {"feature": feature, "metric": statistic}
            if feature == "class_boxes":
                labels["class"] = "scratch"
            if value is not None and not (feature == "images" and metric != "cvkit_measurement"):
                told.append(series(own, metric, value, **labels))
    states = {"images": ("data", 0.0), "sharpness": ("drift", 0.0), "f1": ("drift", 0.0), "brightness": ("drift", 0.0)}
    for feature, (rule, state) in states.items():
        value = changed.get("cvkit_verdict_state", {}).get(feature, state)
        told.append(series(own, "cvkit_verdict_state", value or 0.0, feature=feature, rule=rule))
    told.append(series(own, "cvkit_window_end_timestamp_seconds", 3600 * 24 * 9, source=""))
    told.append(series(own, "cvkit_up", 1, source="", version=""))
    every = sorted(alerts(own))
    checks = [{"expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0 or vector(0)',
               "eval_time": "9d6h", "exp_samples": [{"labels": "{}", "value": int(name in firing)}]}
              for name in every]  # fmt: skip
    tests = {"rule_files": ["cvkit-rules.yml"], "evaluation_interval": "1h",
             "tests": [{"interval": "1h", "input_series": told, "promql_expr_test": checks}]}  # fmt: skip
    (folder / "tests.yml").write_text(yaml.safe_dump(tests, allow_unicode=True))
    tool("promtool", "test", "rules", "tests.yml", folder=folder)


def series(config: Config, name: str, value: float, /, **labels: str) -> dict[str, str]:
    about = {"model": config.model.name, "version": "v1", "source": "cam-7", **labels}
    inside = ",".join(f"{label}={quoted(text)}" for label, text in about.items() if text)
    return {"series": f"{name}{{{inside}}}", "values": f"{value}+0x300"}


@pytest.mark.parametrize(
    ("changed", "firing"),
    [
        ({}, set()),
        ({"cvkit_measurement": {"brightness": 39}, "cvkit_measurement_high": {"brightness": 41}}, set()),
        ({"cvkit_measurement": {"brightness": 30}, "cvkit_measurement_high": {"brightness": 39}}, {"CvkitDark"}),
        ({"cvkit_measurement": {"brightness": 30}, "cvkit_measurement_high": {"brightness": None}}, {"CvkitDark"}),
        ({"cvkit_measurement": {"brightness": 201}}, {"CvkitBright"}),
        ({"cvkit_measurement_low": {"sharpness": 4.1}}, {"CvkitOutside"}),
        ({"cvkit_measurement_high": {"sharpness": 0.9}}, {"CvkitOutside"}),
        ({"cvkit_measurement_low": {"confidence": 0.97}}, {"CvkitMoved"}),
        ({"cvkit_measurement_high": {"confidence": 0.63}}, {"CvkitMoved"}),
        ({"cvkit_measurement_high": {"confidence": 0.65}, "cvkit_measurement_low": {"confidence": 0.5}}, set()),
        ({"cvkit_measurement_high": {"class_boxes": 0.05}}, {"CvkitFewScratches"}),
        ({"cvkit_measurement": {"f1": None}}, {"CvkitNoF1"}),
        ({"cvkit_measurement": {"f1": None, "images": 0}}, {"CvkitNoImages", "CvkitDoor"}),
        ({"cvkit_measurement": {"images": 0}}, {"CvkitNoImages", "CvkitDoor"}),
        ({"cvkit_measurement": {"brightness": 30}, "cvkit_measurement_high": {"brightness": 39},
          "cvkit_measurement_values": {"brightness": 19}}, set()),
        ({"cvkit_measurement_expected": {"confidence": 0}}, {"CvkitMoved"}),  # from nought all is a change
        ({"cvkit_verdict_state": {"images": 1}}, {"CvkitAnything", "CvkitNotJudged"}),
        ({"cvkit_verdict_state": {"sharpness": 2}}, {"CvkitDrift"}),
        ({"cvkit_verdict_state": {"f1": 3}}, {"CvkitModelWorse"}),
        ({"cvkit_verdict_state": {"brightness": 3}}, {"CvkitDrift", "CvkitLight"}),
    ],
)  # fmt: skip
def test_what_fires_is_what_the_rules_say(
    changed: dict[str, dict[str, float | None]], firing: set[str], own: Config, tmp_path: Path
) -> None:
    rule_tests(own, tmp_path / "out", changed, firing)


def test_a_missed_run_and_metrics_that_are_gone_fire_in_time(plain: Config, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    deployment.write(plain, folder, DEFAULT_URL)
    end = "cvkit_window_end_timestamp_seconds"
    shown = [{"series": f'{end}{{model="model",version="v1"}}', "values": f"{86400}x720 _x240"},
             {"series": 'cvkit_up{model="model"}', "values": "1x720 _x240"}]  # fmt: skip

    def fires(name: str, hour: int, yes: bool) -> dict[str, Any]:
        firing = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0 or vector(0)'
        return {"expr": firing, "eval_time": f"{hour}h", "exp_samples": [{"labels": "{}", "value": int(yes)}]}

    checks = [
        fires("CvkitNotMeasured", 48, False), fires("CvkitRunMissed", 59, False),
        fires("CvkitMetricsGone", 59, False), fires("CvkitMetricsGone", 62, True),
    ]  # fmt: skip
    late = [{"series": f'{end}{{model="model",version="v1"}}', "values": "0+0x720"},
            {"series": 'cvkit_up{model="model"}', "values": "1x720"}]  # fmt: skip
    failed = [*shown, {"series": 'cvkit_failed_window_end_timestamp_seconds{model="model",version="v2"}',
                       "values": "_x360 172800x360"}]  # fmt: skip
    tests = {"rule_files": ["cvkit-rules.yml"], "evaluation_interval": "10m", "tests": [
        {"interval": "5m", "input_series": shown, "promql_expr_test": checks},
        {"interval": "5m", "input_series": late, "promql_expr_test": [
            fires("CvkitRunMissed", 47, False), fires("CvkitRunMissed", 49, True)]},
        {"interval": "5m", "input_series": failed, "promql_expr_test": [
            fires("CvkitNotMeasured", 29, False), fires("CvkitNotMeasured", 40, True)]},
    ]}  # fmt: skip
    (folder / "tests.yml").write_text(yaml.safe_dump(tests))
    tool("promtool", "test", "rules", "tests.yml", folder=folder)


def test_templates_show_texts_of_people_as_they_are(own: Config, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    deployment.write(own, folder, DEFAULT_URL)
    told = [series(own, "cvkit_measurement", 0.8, feature="confidence", metric="mean"),
            series(own, "cvkit_measurement_values", 500, feature="confidence", metric="mean"),
            series(own, "cvkit_measurement_low", 0.97, feature="confidence", metric="mean"),
            series(own, "cvkit_measurement_expected", 0.8, feature="confidence", metric="mean")]  # fmt: skip
    (rule,) = alerts(own)["CvkitMoved"]
    shown = {
        "summary": f"cam-7 ({own.model.name}): sell {{{{all}}}}",
        "description": "confidence.mean is changed by more than 20 % of the reference's: 212.5m."
        " `cvkit status` says more, with evidence and likely cause.",
        "runbook_url": "https://example.org/line/runbook/",
        "dashboard_url": "http://localhost:3000/d/cvkit-model?var-model=parts+%7B%7Bodd%7D%7D+%22x%22+%24y&var-source=cam-7",
    }
    expected = {"exp_labels": {**rule["labels"], "model": own.model.name, "version": "v1", "source": "cam-7"},
                "exp_annotations": shown}  # fmt: skip
    tests = {"rule_files": ["cvkit-rules.yml"], "evaluation_interval": "1m", "tests": [
        {"interval": "1m", "input_series": told,
         "alert_rule_test": [{"eval_time": "5m", "alertname": "CvkitMoved", "exp_alerts": [expected]}]},
    ]}  # fmt: skip
    (folder / "tests.yml").write_text(yaml.safe_dump(tests))
    tool("promtool", "test", "rules", "tests.yml", folder=folder)


# -- words of PromQL --------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(text=st.text("ab-.[]!*?^+|(", max_size=8), name=st.text("ab-.[]!*?^+|(", max_size=6))
def test_a_pattern_matches_what_fnmatch_matches(text: str, name: str) -> None:
    """Python reads what we use of RE2 alike, but for code points in braces."""
    pythonic = re.sub(r"\\x\{([0-9A-F]+)\}", lambda found: f"\\U{int(found[1], 16):08x}", pattern(text))
    assert bool(re.fullmatch(pythonic, name)) == fnmatchcase(name, text)


def test_one_plain_name_is_compared_and_not_matched() -> None:
    assert matcher("source", ("a.b",)) == 'source="a.b"'
    assert matcher("source", ()) == ""
    assert matcher("source", ("a", "b*")) == 'source=~"a|b(?s:.*)"'


@pytest.mark.parametrize(("hours", "text"), [(0, "0s"), (1, "1h"), (24, "1d"), (49, "2d1h"), (0.5, "30m")])
def test_lengths_of_time(hours: float, text: str) -> None:
    assert duration(timedelta(hours=hours)) == text


def test_windows_in_a_row_are_counted_in_windows(tmp_path: Path) -> None:
    config = made_up.workspace(tmp_path / "w", "window_hours: 4\n")
    lasting = {condition.name: condition.lasting for condition in conditions(config)}
    assert lasting["CvkitNoImages"] == timedelta()
    assert lasting["CvkitNotJudged"] == timedelta(hours=8, minutes=10)


# -- Alertmanager -----------------------------------------------------------------------------------------------------


def test_secrets_stay_in_files_and_inhibition_is_that_of_the_rules(own: Config) -> None:
    made = deployment.files(own, DEFAULT_URL)
    assert "hooks.slack.com" not in "".join(made.values())
    alertmanager = yaml.safe_load(made["alertmanager.yml"])
    assert alertmanager["route"]["group_by"] == ["alertname", "model", "source"]
    assert alertmanager["route"]["repeat_interval"] == "12h"
    assert alertmanager["receivers"][0]["slack_configs"][0]["api_url_file"] == names.SECRET
    quieting = [one for one in alertmanager["inhibit_rules"] if "alertname" in one["source_matchers"][0]]
    assert {one["source_matchers"][0] for one in quieting} == {'alertname="CvkitNoImages"', 'alertname="CvkitDoor"'}
    assert all(one["equal"] == ["model", "source"] for one in quieting)


# -- Grafana ----------------------------------------------------------------------------------------------------------


def boards(config: Config) -> list[dict[str, Any]]:
    return [json.loads(text) for path, text in deployment.files(config, DEFAULT_URL).items() if path.endswith(".json")]


def test_dashboards_keep_the_conventions(plain: Config) -> None:
    fleet, model = boards(plain)
    assert [(board["uid"], board["id"]) for board in (fleet, model)] == [("cvkit-fleet", None), ("cvkit-model", None)]
    assert [one["name"] for one in model["templating"]["list"]] == ["model", "source", "feature"]
    for board in (fleet, model):
        panels = [panel for panel in board["panels"] if panel["type"] != "row"]
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in panels:
            assert panel["title"]
            assert panel["description"]
            assert panel["targets"]
            assert panel["datasource"]["uid"] == names.DATASOURCE
            assert (
                panel["type"] in ("heatmap", "table")
                or panel["fieldConfig"]["defaults"].get("unit")
                or (panel["type"] == "state-timeline")
            )
        for one, other in ((a, b) for a in board["panels"] for b in board["panels"] if a is not b):
            assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    kinds = {panel["type"] for panel in model["panels"]}
    assert {"timeseries", "heatmap", "histogram", "bargauge", "state-timeline", "stat", "table"} <= kinds


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
            and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"])  # fmt: skip


def test_states_are_told_apart_by_word_and_colour(plain: Config) -> None:
    _, model = boards(plain)
    timeline = next(panel for panel in model["panels"] if panel["type"] == "state-timeline")
    said = timeline["fieldConfig"]["defaults"]["mappings"][0]["options"]
    assert [said[str(place)]["text"] for place in range(4)] == ["ok", "unknown", "warning", "critical"]
    assert len({one["color"] for one in said.values()}) == 4


def test_grafana_has_the_same_rules_and_reads_no_variable_where_none_is_meant(own: Config) -> None:
    made = deployment.files(own, DEFAULT_URL)
    (group,) = yaml.safe_load(made["grafana/provisioning/alerting/rules.yml"])["groups"]
    by_rule: dict[str, list[Any]] = {}
    for rule in group["rules"]:
        by_rule.setdefault(rule["labels"].get("rule", ""), []).append(rule)
        assert len(rule["uid"]) <= 40
        assert rule["condition"] in {one["refId"] for one in rule["data"]}
        for text in (rule["title"], group["name"], *rule["labels"].values()):
            assert "$" not in text.replace("$$", ""), "Grafana puts the environment in here"
    assert len({rule["uid"] for rule in group["rules"]}) == len(group["rules"])
    assert set(by_rule) == {rule.name for rule in own.alerts.all_rules} | {""}
    prometheus = alerts(own)
    for name, rules in prometheus.items():
        if "rule" in rules[0]["labels"]:
            grafana = by_rule[rules[0]["labels"]["rule"]]
            assert [one["for"] for one in grafana] == [one.get("for", "0s") for one in rules], name
            assert [one["labels"]["severity"] for one in grafana] == [one["labels"]["severity"] for one in rules]
            for ours, theirs in zip(grafana, rules, strict=True):
                asked = [one["model"]["expr"] for one in ours["data"] if one["refId"] != "Z"]
                assert all(expression in theirs["expr"] for expression in asked)
    (point,) = yaml.safe_load(made["grafana/provisioning/alerting/contact-points.yml"])["contactPoints"]
    assert point["receivers"][0]["settings"]["url"] == f"$__file{{{names.SECRET}}}"


# -- containers -------------------------------------------------------------------------------------------------------


def test_compose_mounts_what_is_written_and_opens_nothing_to_others(plain: Config) -> None:
    made = deployment.files(plain, DEFAULT_URL)
    compose = yaml.safe_load(made["docker-compose.yml"])
    for service in compose["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
        for volume in service.get("volumes", []):
            source = volume.rsplit(":", 2 if volume.endswith(":ro") else 1)[0]
            if source.startswith("./"):
                assert any(path.startswith(source[2:]) for path in made), source
            elif not source.startswith("${"):
                assert source in compose["volumes"]
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
    targets = yaml.safe_load(made["prometheus.yml"])["scrape_configs"]
    hosts = {target.split(":")[0] for scrape in targets for target in scrape["static_configs"][0]["targets"]}
    assert hosts <= set(compose["services"])
    assert "recorder:9101" in {target for scrape in targets for target in scrape["static_configs"][0]["targets"]}
    recorder = compose["services"]["recorder"]
    assert recorder["profiles"] == ["recorder"], "the image is the users' own: without it all others start"
    assert recorder["ports"] == ["127.0.0.1:9101:9101"]


def test_kubernetes_resources_find_each_other(plain: Config, tmp_path: Path) -> None:
    made = deployment.files(plain, DEFAULT_URL)
    resources = {
        one["kind"]: one for path, text in made.items() if path.startswith("kubernetes/")
        for one in yaml.safe_load_all(text)
    }  # fmt: skip
    pod = resources["Deployment"]["spec"]["template"]
    selected = resources["Deployment"]["spec"]["selector"]["matchLabels"]
    assert selected.items() <= pod["metadata"]["labels"].items()
    assert resources["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    monitor = resources["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= resources["Service"]["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in resources["Service"]["spec"]["ports"]}
    recorders = resources["PodMonitor"]["spec"]
    assert not recorders["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert recorders["podMetricsEndpoints"][0]["relabelings"][0]["replacement"] in made["prometheus.yml"]
    job = resources["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]
    assert not resources["Service"]["spec"]["selector"].items() <= job["metadata"]["labels"].items()
    for template in (pod, job):
        claim = template["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
        assert claim == resources["PersistentVolumeClaim"]["metadata"]["name"]
    groups = resources["PrometheusRule"]["spec"]["groups"]
    assert [group["name"] for group in groups] == ["cvkit-recording", "cvkit-recorder", "cvkit-alerts", "cvkit-itself"]
    deployment.write(plain, tmp_path, DEFAULT_URL)
    assert tool("kubectl", "kustomize", "kubernetes", folder=tmp_path).count("\nkind: ") == 7


def test_the_commands_in_containers_are_commands(plain: Config) -> None:
    made = deployment.files(plain, DEFAULT_URL)
    compose = yaml.safe_load(made["docker-compose.yml"])["services"]
    resources = [
        one for path, text in made.items() if path.startswith("kubernetes/") for one in yaml.safe_load_all(text)
    ]
    pods = [one["spec"]["template"]["spec"] for one in resources if one["kind"] == "Deployment"]
    pods += [one["spec"]["jobTemplate"]["spec"]["template"]["spec"] for one in resources if one["kind"] == "CronJob"]
    commands = [compose[name]["command"] for name in ("cvkit", "cvkit-schedule")]
    commands += [container["args"] for pod in pods for container in pod["containers"]]
    assert len(commands) == 4
    for command in commands:
        assert cli._parser().parse_args(command).command
