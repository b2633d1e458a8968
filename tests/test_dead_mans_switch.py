"""A run that stays away is told of from outside: by a switch that misses its signal, by Prometheus, and by asking."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import made_up_metrics as made_up
import pytest
import yaml

from cvkit import cli, deployment, errors, heartbeat, schedule, slots
from cvkit.config import Config, JobSettings, load_config, parse_config
from cvkit.errors import ConfigError, StorageError
from cvkit.monitoring.history import History
from cvkit.tables import Window
from cvkit.upkeep import doctor

NIGHT = datetime(2026, 10, 5, 5, tzinfo=UTC)
JOBS = """
schedule:
  - {notebook: 02-drift, cron: "30 6 * * *", time_zone: Europe/Berlin, attempts: 2, timeout_s: 1800}
"""
Signals = list[tuple[str, str, str]]  # method, path, body


class Switch(HTTPServer):
    """A dead man's switch that keeps what it is told, and answers as told."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.signals: Signals = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/ping/0f3c"


class _Handler(BaseHTTPRequestHandler):
    server: Switch

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.signals.append((self.command, self.path.removeprefix("/ping/0f3c"), body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *arguments: Any) -> None: ...


@pytest.fixture
def switch() -> Iterator[Switch]:
    server = Switch()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def workspace(folder: Path, settings: str = "") -> Config:
    folder.mkdir(exist_ok=True)
    (folder / "cvkit.yml").write_text(f"reference: {{data: data.yaml}}\n{JOBS}{settings}")
    long_ago = NIGHT.timestamp() - 1e7
    os.utime(folder / "cvkit.yml", (long_ago, long_ago))
    return load_config(folder)


def answers(*errors: str) -> schedule.Execute:
    left = list(errors)

    def execute(config: Config, job: JobSettings, window: Window) -> str:
        return left.pop(0) if left else ""

    return execute


# -- the heartbeat ----------------------------------------------------------------------------------------------------


def test_a_round_says_that_it_starts_and_that_all_is_done(tmp_path: Path, switch: Switch) -> None:
    config = workspace(tmp_path, f"heartbeat: {{url: {switch.url}}}")
    schedule.run_due(config, NIGHT, answers())
    assert switch.signals == [("POST", "/start", "1 due"), ("POST", "", "02-drift of 2026-10-04: done")]
    schedule.run_due(config, NIGHT + timedelta(minutes=10), answers())
    assert switch.signals[2:] == [("POST", "", "nothing is due")]


def test_a_failure_is_told_once_no_try_is_left_and_until_it_is_done(tmp_path: Path, switch: Switch) -> None:
    config = workspace(tmp_path, f"heartbeat: {{url: {switch.url}/}}")
    schedule.run_due(config, NIGHT, answers("secret words of an error"))
    assert [path for _, path, _ in switch.signals] == ["/start"]  # it will be tried again: neither done nor failed
    schedule.run_due(config, NIGHT + timedelta(minutes=10), answers("boom"))
    schedule.run_due(config, NIGHT + timedelta(minutes=20), answers())
    assert [path for _, path, _ in switch.signals] == ["/start", "/start", "/fail", "/fail"]
    assert switch.signals[-1][2] == "02-drift of 2026-10-05 04:30 UTC: failed"
    assert "secret words" not in str(switch.signals)
    schedule.run_due(config, NIGHT + timedelta(days=1), answers())
    assert [path for _, path, _ in switch.signals[4:]] == ["/start", ""]


def test_what_is_at_work_elsewhere_is_not_done(tmp_path: Path, switch: Switch) -> None:
    config = workspace(tmp_path, f"heartbeat: {{url: {switch.url}}}")

    def meanwhile(config: Config, job: JobSettings, window: Window) -> str:
        schedule.run_due(config, NIGHT, answers())
        return ""

    schedule.run_due(config, NIGHT, meanwhile)
    assert [path for _, path, _ in switch.signals] == ["/start", "/start", ""]


def test_a_history_that_cannot_be_used_is_a_failure(tmp_path: Path, switch: Switch) -> None:
    config = workspace(tmp_path, f"heartbeat: {{url: {switch.url}}}")
    (tmp_path / "history.db").write_bytes(b"no database" * 500)
    with pytest.raises(StorageError):
        schedule.run_due(config, NIGHT, answers())
    assert switch.signals == [("POST", "/fail", "the history or the disk cannot be used")]


def test_a_plain_switch_hears_of_what_is_done_only(tmp_path: Path, switch: Switch) -> None:
    config = workspace(tmp_path, f"heartbeat: {{url: {switch.url}, kind: plain}}")
    schedule.run_due(config, NIGHT, answers("boom", "boom"))
    schedule.run_due(config, NIGHT, answers("boom"))
    assert switch.signals == []
    schedule.run_due(config, NIGHT + timedelta(days=1), answers())
    assert switch.signals == [("GET", "", "")]


@pytest.mark.parametrize("trouble", ["refuses", "nobody", "silent", "redirects", "no secret"])
def test_a_switch_that_fails_breaks_no_run(
    trouble: str, tmp_path: Path, switch: Switch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = {"nobody": "http://127.0.0.1:9/x", "silent": f"http://127.0.0.1:{mute.getsockname()[1]}/hidden"}.get(
            trouble, switch.url
        )
        switch.status = {"refuses": 500, "redirects": 302}.get(trouble, 200)
        if trouble != "no secret":
            monkeypatch.setenv("PULSE", url)
        config = workspace(tmp_path, "heartbeat: {secret: 'env:PULSE', timeout_s: 0.3}")
        (outcome,) = schedule.run_due(config, NIGHT, answers())
    assert outcome.status == "done"
    words = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING and "heartbeat" in one.name]
    assert len(words) == 2
    assert "the heartbeat was not taken" in words[0]
    assert url.rpartition("/")[2] not in caplog.text
    assert all(path in ("/start", "") for _, path, _ in switch.signals)  # nothing follows a redirect


def test_serving_says_that_it_lives_but_not_at_every_look(
    tmp_path: Path, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "LOOK_AGAIN", timedelta(0))
    config, stop, looks = workspace(tmp_path, f"heartbeat: {{url: {switch.url}}}"), threading.Event(), []

    def clock() -> datetime:
        looks.append(1)
        if len(looks) == 20:
            stop.set()
        return NIGHT

    schedule.serve(config, stop, clock, answers())
    assert [path for _, path, _ in switch.signals] == ["/start", ""]


@pytest.mark.parametrize("settings", [
    "{url: 'http://hc.example/ping/x'}", "{url: 'https://hc.example/x', secret: 'env:X'}", "{secret: plain-words}",
    "{url: 'https://hc.example/x?y=1'}", "{url: 'https://me:pw@hc.example/x'}", "{kind: other}",
])  # fmt: skip
def test_a_heartbeat_that_cannot_be_is_refused_without_its_address(settings: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        parse_config(f"reference: {{data: d}}\nheartbeat: {settings}", tmp_path / "cvkit.yml")
    assert "hc.example" not in str(told.value)


def test_without_an_address_nothing_is_sent(tmp_path: Path) -> None:
    assert not heartbeat.beat(workspace(tmp_path), "done")


# -- asking -----------------------------------------------------------------------------------------------------------


def asked(config: Config, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    code = cli.main(["status", "--config", str(config.path), *more])
    return code, capsys.readouterr().out


def test_a_slot_that_nobody_ran_ends_status_with_eleven(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = workspace(tmp_path)
    assert asked(config, capsys, "--overdue")[0] == errors.OVERDUE == 12  # the settings are months old: it never ran
    code, said = asked(config, capsys)
    assert code == 0
    assert "overdue" not in said  # somebody may run cvkit by hand
    schedule.run_due(config, execute=answers())
    assert asked(config, capsys, "--overdue") == (0, asked(config, capsys)[1])
    assert not [one for one in doctor.examine(config.path, datetime.now(UTC)) if one.check == "schedule"]
    later = datetime.now(UTC) + timedelta(days=2)
    (found,) = [one for one in doctor.examine(config.path, later) if one.check == "schedule"]
    assert found.severity == "warning"
    assert "nothing has run it" in found.problem


def stands(config: Config, now: datetime) -> tuple[str, bool, bool]:
    with History.open(config.history_url) as history:
        (one,) = slots.standings(config, history.slots().to_dict("records"), now)
    return one.status, one.final, one.overdue


def test_overdue_is_what_is_not_done_an_hour_after_its_time_out(tmp_path: Path) -> None:
    config = workspace(tmp_path)
    schedule.run_due(config, NIGHT, answers())
    slot = datetime(2026, 10, 6, 4, 30, tzinfo=UTC)
    assert stands(config, slot - timedelta(seconds=1)) == ("done", False, False)
    assert stands(config, slot) == ("open", False, False)
    assert stands(config, slot + timedelta(hours=1.5)) == ("open", False, False)
    assert stands(config, slot + timedelta(hours=1.5, seconds=1)) == ("open", False, True)
    schedule.run_due(config, slot + timedelta(hours=2), answers("boom"))
    assert stands(config, slot) == ("failed", False, False)
    schedule.run_due(config, slot, answers("boom"))
    assert stands(config, slot) == ("failed", True, True)  # nobody will try again: no grace


def test_a_job_that_is_new_has_the_grace_from_when_it_was_written(tmp_path: Path) -> None:
    config = workspace(tmp_path)
    os.utime(config.path, (NIGHT.timestamp(), NIGHT.timestamp()))
    assert not stands(config, NIGHT + timedelta(hours=1))[2]
    assert stands(config, NIGHT + timedelta(hours=2))[2]


@pytest.mark.parametrize("cron", ["*/10 * * * *", "0 * * * *"])
@pytest.mark.parametrize("ran", [True, False])
def test_a_job_that_comes_round_within_its_grace_is_missed_too(tmp_path: Path, cron: str, ran: bool) -> None:
    config = workspace(tmp_path)
    often = config.schedule[0].model_copy(update={"cron": cron, "timeout_s": 60})
    config = config.model_copy(update={"schedule": [often]})
    os.utime(config.path, (NIGHT.timestamp(), NIGHT.timestamp()))
    if ran:
        schedule.run_due(config, NIGHT, answers())
    assert not stands(config, NIGHT + timedelta(minutes=59))[2]
    assert stands(config, NIGHT + timedelta(hours=3))[2]
    assert stands(config, NIGHT + timedelta(days=9))[2]
    schedule.run_due(config, NIGHT + timedelta(days=9), answers())
    assert not stands(config, NIGHT + timedelta(days=9, minutes=11))[2]


# -- Prometheus -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cron", "zone", "hours"), [
    ("30 6 * * *", "UTC", 24), ("30 6 * * *", "Europe/Berlin", 25), ("0 6 * * 1-5", "UTC", 72),
    ("*/5 * * * *", "UTC", 1 / 12),
    ("0 3 29 2 *", "UTC", 24 * 1461), ("0 0 1 * *", "UTC", 24 * 31),
])  # fmt: skip
def test_the_longest_pause_of_a_job(cron: str, zone: str, hours: float) -> None:
    job = JobSettings(notebook="n", cron=cron, time_zone=zone)
    assert slots.longest_pause(job) == timedelta(hours=hours)


def test_prometheus_says_which_job_stays_away(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed here")
    config = workspace(tmp_path, 'model: {name: "parts {{x}}"}')
    folder = tmp_path / "out"
    deployment.write(config, folder, "http://localhost:3000")
    labels = f'{{model="{config.model.name}",schedule="{slots.schedule_name(config.schedule[0])}"}}'
    pause = 25 + 1 + 0.5  # the autumn's day, the grace, the time-out

    def checks(*expected: tuple[float, bool]) -> list[dict[str, Any]]:
        firing = 'count(ALERTS{alertname="CvkitSlotMissed1",alertstate="firing"}) > bool 0 or vector(0)'
        return [
            {"expr": firing, "eval_time": f"{hour * 60:.0f}m", "exp_samples": [{"labels": "{}", "value": int(yes)}]}
            for hour, yes in expected
        ]

    name = f"cvkit_slot_done_timestamp_seconds{labels}"
    tests = [
        {"interval": "1m", "input_series": [{"series": name, "values": "0x3000"}],
         "promql_expr_test": checks((pause, False), (pause + 0.2, False), (pause + 0.3, True))},
        {"interval": "1m", "input_series": [{"series": name, "values": "0x60 _x200"}],
         "promql_expr_test": checks((1, False), (1.6, True))},
        {"interval": "1m", "input_series": [], "promql_expr_test": checks((0.2, False), (0.3, True))},
    ]  # fmt: skip
    given = {"rule_files": ["cvkit-rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "tests.yml").write_text(yaml.safe_dump(given))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_metric_is_of_the_newest_slot_done_and_of_none_in_the_future(tmp_path: Path) -> None:
    from cvkit.monitoring import exposition

    config = made_up.workspace(tmp_path / "w")
    made_up.record(config, made_up.today())
    made_up.slots(config)
    labels = f'model="{config.model.name}",schedule="{made_up.JOB}"'
    line = f"cvkit_slot_done_timestamp_seconds{{{labels}}} {made_up.DONE.timestamp()}\n"
    assert exposition.once(config).decode().count("cvkit_slot_done_timestamp_seconds{") == 1
    assert line in exposition.once(config).decode()
