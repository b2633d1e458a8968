"""Debian's Prometheus, Alertmanager and Pushgateway on loopback, set up by what `cvkit deploy` writes."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import made_up_metrics as made_up
import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from cvkit import cli, deployment
from cvkit.config import Config
from cvkit.deployment import names
from cvkit.monitoring import exposition, series

PROGRAMS = ("prometheus", "promtool", "amtool", "prometheus-alertmanager", "prometheus-pushgateway")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed here: {', '.join(MISSING)}")

WITHIN_S = 40.0  # for anything that has to come about; it does in a few
FILLED = {"$__rate_interval": "30s", "$__range": "1m", "$model": "parts", "$source": ".*", "$feature": "brightness"}
OWN_RULES = """
model: {name: parts}
alerts:
  rules:
    - {name: too-dark, metric: brightness, below: 40}
    - {name: odd-names, metric: brightness, above: 1, sources: ['tor ? "*'], severity: info}
    - {name: changed, metric: confidence, change: 0.2}
    - {name: no-f1, metric: f1, missing: true}
"""


@dataclass
class Heard:
    """What Alertmanager sent, as (status, alert, source)."""

    told: list[tuple[str, str, str]] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def run(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Start a program on a port of its own, and stop it at the end."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> int:
        port = free_port()
        log = (tmp_path / f"{name}.log").open("wb")
        command = [name, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", *arguments]
        processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path))
        log.close()
        eventually(lambda: get(port, "/-/ready") is not None, f"{name} is ready")
        return port

    yield start
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        process.wait(timeout=20)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    config = made_up.workspace(tmp_path / "w", OWN_RULES)
    monkeypatch.setattr(series, "_alerts", lambda history, model: made_up.alerts(config))
    monkeypatch.setattr(series, "_deliveries", lambda history, model: made_up.deliveries())
    made_up.record(config, made_up.today())
    return config


@pytest.fixture
def served(config: Config) -> Iterator[int]:
    server = exposition.server(exposition.Scraper(config.history_url, config.model.name), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def recorder() -> Iterator[int]:
    """The live metrics of a recorder, made up and moving."""
    registry, labels = CollectorRegistry(), ("source", "model", "version")
    frames = Counter(names.FRAMES.removesuffix("_total"), "-", labels, registry=registry)
    boxes = Counter(names.DETECTIONS.removesuffix("_total"), "-", (*labels, "class"), registry=registry)
    latency = Histogram(names.LATENCY, "-", labels, registry=registry)
    sure = Histogram(names.CONFIDENCE, "-", labels, buckets=(0.2, 0.4, 0.6, 0.8, 1.0), registry=registry)
    light = Gauge(names.BRIGHTNESS, "-", labels, registry=registry)
    waiting = Gauge(names.WAITING, "-", ["source"], registry=registry)
    counted = [Counter(name.removesuffix("_total"), "-", ["source"], registry=registry)
               for name in (names.ERRORS, names.ACCEPTED, names.DROPPED)]  # fmt: skip
    ProcessCollector(registry=registry)
    stop = threading.Event()

    def live() -> None:
        here = (made_up.HEALTHY, "parts", made_up.VERSION)
        while not stop.wait(0.1):
            frames.labels(*here).inc()
            boxes.labels(*here, "scratch").inc(2)
            latency.labels(*here).observe(0.02)
            sure.labels(*here).observe(0.9)
            light.labels(*here).set(120)
            waiting.labels(here[0]).set(1)
            for one in counted:
                one.labels(here[0]).inc()

    server, _ = start_http_server(0, "127.0.0.1", registry)
    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    yield server.server_port
    stop.set()
    thread.join()
    server.shutdown()
    server.server_close()


@pytest.fixture
def heard() -> Iterator[tuple[int, Heard]]:
    """A webhook that writes down what it is told."""
    notes = Heard()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            notes.told += [(one["status"], one["labels"]["alertname"], one["labels"].get("source", ""))
                           for one in body["alerts"]]  # fmt: skip
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, notes
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Stack:
    config: Config
    folder: Path  # what `cvkit deploy` wrote
    prometheus: int
    alertmanager: int
    heard: Heard


@pytest.fixture
def stack(
    config: Config, served: int, recorder: int, heard: tuple[int, Heard], started: Callable[..., int], tmp_path: Path
) -> Stack:
    """Everything at work, by the deployed files; only addresses and waiting times are other ones."""
    folder = tmp_path / "deploy"
    deployment.write(config, folder, "http://grafana.test")
    alertmanager = started("prometheus-alertmanager", f"--config.file={_webhook(folder, heard[0])}",
                           f"--storage.path={tmp_path / 'am'}", "--cluster.listen-address=")  # fmt: skip
    targets = {names.JOB: served, names.RECORDER_JOB: recorder}
    prometheus = started("prometheus", f"--config.file={_quick(folder, targets, alertmanager)}",
                         f"--storage.tsdb.path={tmp_path / 'tsdb'}", "--storage.tsdb.retention.time=10y")  # fmt: skip
    return Stack(config, folder, prometheus, alertmanager, heard[1])


def _webhook(folder: Path, port: int) -> Path:
    settings = yaml.safe_load((folder / "alertmanager.yml").read_text())
    settings["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    hook = {"url": f"http://127.0.0.1:{port}/", "send_resolved": True}
    settings["receivers"] = [{"name": names.CONTACT, "webhook_configs": [hook]}]
    file = folder / "alertmanager-quick.yml"
    file.write_text(yaml.safe_dump(settings))
    return file


def _quick(folder: Path, targets: dict[str, int], alertmanager: int) -> Path:
    settings = yaml.safe_load((folder / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]}
    settings["scrape_configs"] = [
        {**scrape, "static_configs": [{"targets": [f"127.0.0.1:{targets[scrape['job_name']]}"]}]}
        for scrape in settings["scrape_configs"] if scrape["job_name"] in targets
    ]  # fmt: skip
    file = folder / "prometheus-quick.yml"
    file.write_text(yaml.safe_dump(settings))
    return file


def get(port: int, path: str, **asked: str) -> Any:
    address = f"http://127.0.0.1:{port}{path}" + (f"?{urllib.parse.urlencode(asked)}" if asked else "")
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            body = answer.read().decode()
    except OSError:
        return None
    return json.loads(body) if body.startswith(("{", "[")) else body


def query(port: int, expression: str, **asked: str) -> list[Any]:
    answer = get(port, "/api/v1/query", query=expression, **asked)
    assert answer is not None, f"Prometheus refuses {expression}"
    return list(answer["data"]["result"])


def eventually(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.2)


def expressions(folder: Path) -> dict[str, str]:
    """Every query of every dashboard and of every alert rule of Grafana's, with its variables filled in."""
    found = {}
    for file in sorted((folder / "grafana" / "dashboards").glob("*.json")):
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                found[f"{file.stem}: {panel['title']} {target['refId']}"] = target["expr"]
        for variable in board["templating"].get("list", []):
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert asked is not None
            found[f"{file.stem}: variable {variable['name']}"] = f"count by ({asked[2]}) ({asked[1]})"
    provisioned = folder / "grafana" / "provisioning" / "alerting" / "rules.yml"
    for rule in yaml.safe_load(provisioned.read_text())["groups"][0]["rules"]:
        for asked_for in rule["data"]:
            if asked_for["datasourceUid"] == names.DATASOURCE:
                found[f"rule: {rule['title']} {asked_for['refId']}"] = asked_for["model"]["expr"]
    for name, text in FILLED.items():
        found = {where: expression.replace(name, text) for where, expression in found.items()}
    return found


def test_every_query_returns_data_and_alerts_go_their_way(stack: Stack) -> None:
    """One run of the whole stack, as starting it costs most."""
    asked = expressions(stack.folder)
    assert len(asked) > 80
    assert not [where for where, expression in asked.items() if "$" in expression]
    without: list[str] = []

    def answered() -> bool:
        without[:] = [where for where in without or asked if not query(stack.prometheus, asked[where])]
        return not without

    try:
        eventually(answered, "every query returns data")
    except AssertionError:
        raise AssertionError(f"no data: {without}") from None
    _rules_are_healthy(stack)
    _alerts_reach_the_webhook(stack)
    _resolved_clears(stack)


def _rules_are_healthy(stack: Stack) -> None:
    groups = get(stack.prometheus, "/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert not [rule["name"] for rule in rules if rule["health"] != "ok"]
    raised = get(stack.prometheus, "/api/v1/alerts")["data"]["alerts"]
    firing = {
        (one["labels"]["alertname"], one["labels"].get("source", "")) for one in raised if one["state"] == "firing"
    }
    sick = {("CvkitNoImages", "cam-2"), ("CvkitDrift", "cam-2"), ("CvkitBadImages", "cam-2")}
    assert firing == sick | {("CvkitOddNames", made_up.HOSTILE)}
    slow = {"CvkitNotJudged", "CvkitInferenceErrors", "CvkitRecordsDropped"}  # their time is not over
    eventually(lambda: {one["labels"]["alertname"] for one in get(stack.prometheus, "/api/v1/alerts")["data"]["alerts"]
                        if one["state"] == "pending"} == slow, "only slow alerts wait")  # fmt: skip


def _alerts_reach_the_webhook(stack: Stack) -> None:
    told = stack.heard.told
    eventually(lambda: ("firing", "CvkitNoImages", "cam-2") in told, "the webhook hears of no images")
    eventually(lambda: ("firing", "CvkitOddNames", made_up.HOSTILE) in told, "a hostile name arrives as it is")
    time.sleep(3)
    assert not [one for one in told if one[1] in ("CvkitDrift", "CvkitBadImages")], "no images inhibits the others"
    states = {(one["labels"]["alertname"], one["labels"]["severity"]): one["status"]["state"]
              for one in get(stack.alertmanager, "/api/v2/alerts")}  # fmt: skip
    assert states["CvkitDrift", "critical"] == states["CvkitBadImages", "warning"] == "suppressed"
    assert states["CvkitNoImages", "critical"] == "active"


def _resolved_clears(stack: Stack) -> None:
    made_up.record(stack.config, made_up.today(), sick=False)
    eventually(lambda: ("resolved", "CvkitNoImages", "cam-2") in stack.heard.told, "the webhook hears that it is over")
    assert not query(stack.prometheus, 'ALERTS{alertname="CvkitNoImages",alertstate="firing"}')


def test_a_history_that_goes_away_is_seen(
    config: Config, served: int, started: Callable[..., int], tmp_path: Path
) -> None:
    folder = tmp_path / "deploy"
    deployment.write(config, folder, "http://grafana.test")
    settings = _quick(folder, {names.JOB: served}, free_port())
    port = started("prometheus", f"--config.file={settings}", f"--storage.tsdb.path={tmp_path / 'tsdb'}")
    eventually(lambda: bool(query(port, "cvkit_measurement")), "scraped")
    (config.workspace / "history.db").unlink()
    eventually(lambda: not query(port, "cvkit_measurement"), "what was known before is stale")
    (row,) = query(port, "cvkit_up")
    assert row["value"][1] == "0"
    pending = get(port, "/api/v1/alerts")["data"]["alerts"]
    eventually(lambda: "CvkitHistoryUnreadable" in {
        one["labels"]["alertname"] for one in get(port, "/api/v1/alerts")["data"]["alerts"]
    }, f"an alert says so; there are {pending}")  # fmt: skip


def test_pushed_metrics_replace_those_pushed_before(config: Config, started: Callable[..., int]) -> None:
    port = started("prometheus-pushgateway")
    asked = ["metrics", "push", "--gateway", f"http://127.0.0.1:{port}", "--config", str(config.path)]
    assert cli.main(asked) == 0
    before = get(port, "/metrics")
    assert 'cvkit_source_state{instance="",job="cvkit",model="parts",source="cam-2",version="v1"} 3' in before
    made_up.record(config, made_up.today(), sick=False, sources=[made_up.SICK])
    assert cli.main(asked) == 0
    after = get(port, "/metrics")
    assert 'cvkit_source_state{instance="",job="cvkit",model="parts",source="cam-2",version="v1"} 0' in after
    assert 'source="cam-1"' not in after
    ours = "\n".join(line for line in after.splitlines() if "cvkit_" in line) + "\n"
    run("promtool", "check", "metrics", given=ours)


def test_a_scrape_and_a_textfile_pass_promtool(config: Config, served: int, tmp_path: Path) -> None:
    run("promtool", "check", "metrics", given=get(served, "/metrics"))
    exposition.textfile(config, tmp_path / "cvkit.prom")
    run("promtool", "check", "metrics", given=(tmp_path / "cvkit.prom").read_text())


def test_backfilled_history_is_there_to_be_asked(config: Config, started: Callable[..., int], tmp_path: Path) -> None:
    for days in range(1, 30):
        made_up.record(config, made_up.today(days), sick=days > 20)
    file, data = tmp_path / "history.om", tmp_path / "tsdb"
    assert cli.main(["metrics", "backfill", str(file), "--config", str(config.path), "--label", "job=cvkit"]) == 0
    run("promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(data), "--max-block-duration=24h")
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 1m}\n")
    port = started("prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={data}",
                   "--storage.tsdb.retention.time=10y")  # fmt: skip
    for days, state in ((25, "3"), (10, "0")):
        (row,) = query(
            port, 'cvkit_source_state{source="cam-2",job="cvkit"}', time=str(made_up.today(days).end.timestamp())
        )
        assert row["value"][1] == state
    (row,) = query(port, 'count_over_time(cvkit_source_state{source="cam-2"}[40d])')
    assert row["value"][1] == "30"
    assert {row["metric"]["source"] for row in query(port, "last_over_time(cvkit_source_state[40d])")} == set(
        made_up.SOURCES
    )


@pytest.mark.parametrize("source", ["tür [1]", "a.b", "a+b", "x|y", "^x$", "(a)", "a\\b", "x\ny", "ab"])
def test_patterns_of_sources_mean_in_prometheus_what_they_mean_in_cvkit(source: str, tmp_path: Path) -> None:
    """Prometheus's own engine for regular expressions, through promtool's unit tests."""
    from cvkit.config.alerts import matches
    from cvkit.deployment.promql import matcher, selector

    patterns = [
        "t?r*",
        "t?r [[]1]",
        "a.b",
        "a[+.]b",
        "?|?",
        "^*",
        "([a-c])",
        "a[\\\\]b",
        "*",
        "[!a]*",
        "a[z-a]b",
        "x[!z]y",
        "ab",
        "[",
    ]
    rules = [{"record": f"found:{place}", "expr": selector("up", matcher("source", (one,)))}
             for place, one in enumerate(patterns)]  # fmt: skip
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    shown = f"{{source={json.dumps(source, ensure_ascii=False)}}}"
    checks = [{"expr": f"count(found:{place}) or vector(0)", "eval_time": "1m",
               "exp_samples": [{"labels": "{}", "value": int(matches(source, (one,)))}]}
              for place, one in enumerate(patterns)]  # fmt: skip
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [
        {"interval": "1m", "input_series": [{"series": f"up{shown}", "values": "1 1 1"}], "promql_expr_test": checks}
    ]}  # fmt: skip
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests, allow_unicode=True))
    run("promtool", "test", "rules", str(tmp_path / "tests.yml"))
