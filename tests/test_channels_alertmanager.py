"""Alertmanager: a real one on this machine, where it is installed; and what is sent to any."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_world import config, drift, measured, verdict
from channel_servers import Answer, Asked, web
from made_up_messages import channel, message, notice
from pydantic import ValidationError
from test_channels_http import TOKEN, _no_proxy, failed  # noqa: F401  # the fixture looks for threads left behind

from cvkit.config import Config
from cvkit.config.alerts import AlertSettings
from cvkit.monitoring import alert_actions, alerts, outbox
from cvkit.monitoring.channels import alertmanager, send
from cvkit.monitoring.history import History

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
RECENT = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Alertmanager."""
    with running(tmp_path_factory.mktemp("alertmanager")) as url:
        yield url


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A real Alertmanager with an empty memory, without a cluster and without receivers."""
    if PROGRAM is None:
        pytest.skip("no Alertmanager here: apt-get install prometheus-alertmanager")
    folder.mkdir(exist_ok=True)
    (folder / "config.yml").write_text("route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        PROGRAM,
        f"--config.file={folder}/config.yml",
        f"--storage.path={folder}/data",
        "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(lambda: _get(f"{url}/-/ready") is not None, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _get(url: str) -> bytes | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as reply:
            return bytes(reply.read())
    except OSError:
        return None


def _wait(done: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + 30
    while not done():
        assert time.monotonic() < until, log.read_text()[-2000:]
        time.sleep(0.05)


def firing(url: str, fingerprint: str) -> list[dict[str, Any]]:
    """What a real Alertmanager holds as active under a fingerprint."""
    found = json.loads(_get(f"{url}/api/v2/alerts?active=true") or b"")
    return [one for one in found if one["labels"]["fingerprint"] == fingerprint]


def eventually(url: str, fingerprint: str, severities: list[str]) -> list[dict[str, Any]]:
    """The active alerts, once these severities fire."""
    until = time.monotonic() + 20
    found = firing(url, fingerprint)
    while sorted(one["labels"]["severity"] for one in found) != severities:
        assert time.monotonic() < until, found
        time.sleep(0.05)
        found = firing(url, fingerprint)
    return found


def test_an_alert_fires_is_repeated_and_clears(real: str) -> None:
    one = notice(fingerprint="a" * 16, since=RECENT)
    send(channel("alertmanager", url=real), message(one))
    (held,) = eventually(real, "a" * 16, ["critical"])
    assert held["labels"]["alertname"] == "Drift"
    assert held["annotations"]["runbook_url"] == one.runbook
    assert held["annotations"]["dashboard_url"] == held["generatorURL"] == one.report
    assert datetime.fromisoformat(held["startsAt"]) == RECENT
    assert datetime.fromisoformat(held["endsAt"]) > datetime.now(UTC) + timedelta(hours=71)
    send(channel("alertmanager", url=f"{real}/"), message(one.model_copy(update={"event": "repeated"})))
    eventually(real, "a" * 16, ["critical"])
    over = one.model_copy(update={"event": "resolved", "until": datetime.now(UTC)})
    send(channel("alertmanager", url=real), message(over))
    eventually(real, "a" * 16, [])


def test_what_worsens_does_not_stand_there_twice(real: str) -> None:
    one = notice(fingerprint="b" * 16, since=RECENT, severity="warning")
    send(channel("alertmanager", url=real), message(one))
    eventually(real, "b" * 16, ["warning"])
    send(
        channel("alertmanager", url=real),
        message(one.model_copy(update={"event": "worsened", "severity": "critical"})),
    )
    eventually(real, "b" * 16, ["critical"])
    solved = one.model_copy(update={"event": "resolved", "severity": "info", "version": "next", "until": RECENT})
    send(channel("alertmanager", url=real), message(solved))
    eventually(real, "b" * 16, [])


def _round(settings: Config, history: History, url: str) -> list[tuple[str, str]]:
    """Judge and deliver; source and end of what fires there afterwards."""
    alerts.update(settings, history)
    assert outbox.deliver(settings, history, pause_s=0).errors == ()
    found = json.loads(_get(f"{url}/api/v2/alerts?active=true") or b"")
    return sorted((one["labels"]["source"], one["endsAt"]) for one in found)


def test_what_stands_is_there_after_a_restart_and_what_was_disabled_is_not(tmp_path: Path) -> None:
    def settings(url: str) -> Config:
        return config(tmp_path, f"channels: [{{name: am, kind: alertmanager, url: '{url}'}}]")

    with running(tmp_path) as url:
        history = History.open(settings(url).history_url)
        measured(history, 0, [verdict(source, "brightness", "warning") for source in ("cam-1", "cam-2", "cam-3")])
        told = _round(settings(url), history, url)
        assert [source for source, _ in told] == ["cam-1", "cam-2", "cam-3"]
        alert_actions.acknowledge(settings(url), history, "drift@cam-1", author="ann", why="on it")
        alert_actions.disable(settings(url), history, "drift@cam-2", author="ann", why="known")
        later = _round(settings(url), history, url)
        assert [source for source, _ in later] == ["cam-1", "cam-3"]
        assert later[0][1] > told[0][1]  # an acknowledged one is not repeated, and does not run out
    with running(tmp_path / "again") as url:
        assert [source for source, _ in _round(settings(url), history, url)] == ["cam-1", "cam-3"]
        measured(history, 1, [verdict("cam-1", "brightness", "ok"), verdict("cam-3", "brightness", "warning")])
        assert [source for source, _ in _round(settings(url), history, url)] == ["cam-3"]


def test_one_that_cannot_be_reached_is_told_once_and_the_others_hear(tmp_path: Path) -> None:
    with web(lambda _asked: (200, {}, b"[]")) as server:
        hook = f"{{name: hook, kind: webhook, url: '{server.url}'}}"
        settings = config(tmp_path, f"channels: [{{name: am, kind: alertmanager, url: 'http://127.0.0.1:9'}}, {hook}]")
        history = History.open(settings.history_url)
        drift(history, "w")
        alerts.update(settings, history)
        done = outbox.deliver(settings, history, pause_s=0)
    assert (done.sent, len(done.errors)) == (1, 1)


def test_names_that_hold_anything(real: str) -> None:
    bad = 'cam "1"\n<b>{{ .x }} \U0001f4a5'
    send(channel("alertmanager", url=real), message(notice(fingerprint="c" * 16, source=bad, since=RECENT)))
    (held,) = eventually(real, "c" * 16, ["critical"])
    assert held["labels"]["source"] == bad


def test_a_model_as_a_whole_has_no_source(real: str) -> None:
    send(channel("alertmanager", url=real), message(notice(fingerprint="d" * 16, source="", since=RECENT)))
    (held,) = eventually(real, "d" * 16, ["critical"])
    assert "source" not in held["labels"]


def test_a_refusal_is_told(real: str) -> None:
    error = failed(channel("alertmanager", url=f"{real}/nowhere"))
    assert error.lasting
    assert "status 404" in error.found


def test_labels_are_bounded_and_annotations_hold_the_rest() -> None:
    made = alertmanager.alert(notice(report="/srv/reports/x.html"), RECENT, timedelta(hours=30))
    assert set(made["labels"]) == {"alertname", "model", "source", "severity", "rule", "version", "fingerprint"}
    assert {"summary", "description", "runbook_url", "dashboard_url"} <= set(made["annotations"])
    assert "generatorURL" not in made
    assert made["endsAt"] == (RECENT + timedelta(hours=30)).isoformat()


def test_an_alert_outlives_its_repetition() -> None:
    one = {"name": "am", "kind": "alertmanager", "url": "http://am.example", "lasts_hours": 24.0}
    with pytest.raises(ValidationError, match="lasts_hours"):
        AlertSettings.model_validate({"channels": [one], "repeat_hours": 24.0})
    AlertSettings.model_validate({"channels": [one], "repeat_hours": 23.0})


def test_a_token_goes_with_both_requests_and_into_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.headers["Authorization"] != f"Bearer {TOKEN}":
            return 401, {}, b""
        return (200, {}, b"[]") if asked.method == "GET" else (500, {}, asked.headers["Authorization"].encode())

    monkeypatch.setenv("AM", TOKEN)
    with web(answer) as server:
        one = channel("alertmanager", url=server.url, secret="env:AM")
        assert not failed(one, TOKEN).lasting
        assert [asked.method for asked in server.asked] == ["POST"]
    with web(answer) as server, pytest.raises(Exception, match="status 500") as told:
        send(channel("alertmanager", url=server.url, secret="env:AM"), message(notice(event="repeated")))
    assert TOKEN not in str(told.value)
    assert [asked.method for asked in server.asked] == ["GET", "POST"]


def test_something_else_than_alertmanager_is_told() -> None:
    for body in (b"<html>", b"{}", b'["x"]'):
        with web(lambda _asked, body=body: (200, {}, body)) as server, pytest.raises(Exception, match="Alertmanager"):
            send(channel("alertmanager", url=server.url), message(notice(event="resolved")))
