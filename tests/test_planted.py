"""Secrets are planted, everything is run and fails where it can: then they are searched for, and who was asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from test_flow import CAMERAS, SETTINGS, take
from test_security import holders

from cvkit.storage import packaged

SECRETS = {
    "PLANTED_HOOK": "http://127.0.0.1:9/hook/pl4nted-hook-0a", "PLANTED_TOKEN": "pl4nted-token-0b",
    "PLANTED_PULSE": "http://127.0.0.1:9/ping/pl4nted-pulse-0c", "PLANTED_UNUSED": "pl4nted-unused-0d",
}  # fmt: skip
IN_A_FILE = "pl4nted-file-0e"
MARK = "pl4nted"
MORE = """
alerts:
  channels:
    - {{name: hook, kind: webhook, secret: "env:PLANTED_HOOK", timeout_s: 2}}
    - {{name: token, kind: webhook, url: "http://127.0.0.1:9/x", secret: "env:PLANTED_TOKEN", timeout_s: 2}}
    - {{name: file, kind: slack, secret: "file:{file}", timeout_s: 2}}
heartbeat: {{secret: "env:PLANTED_PULSE", timeout_s: 2}}
schedule:
  - {{notebook: 02-drift, attempts: 1}}
  - {{notebook: fails, attempts: 1}}
"""
RECORDER = """
import os, socket
def note(address):
    host = address[0] if isinstance(address, tuple) else ""
    if host and not str(host).startswith(("127.", "::1", "localhost")):
        with open(os.environ["CVKIT_TEST_ASKED"], "a") as file:
            file.write(f"{os.getpid()} {host}\\n")
for name in ("connect", "connect_ex"):
    def patched(self, address, _old=getattr(socket.socket, name)):
        note(address)
        return _old(self, address)
    setattr(socket.socket, name, patched)
def looked_up(host, *more, _old=socket.getaddrinfo, **named):
    note((host.decode() if isinstance(host, bytes) else host or "127.0.0.1",))
    return _old(host, *more, **named)
socket.getaddrinfo = looked_up
"""
ROUND = """
import sys
from datetime import UTC, datetime
from cvkit import cli, schedule
from cvkit.config import load_config
import logging
logging.basicConfig(level=logging.DEBUG)
workspace = sys.argv[1]
for outcome in schedule.run_due(load_config(workspace), datetime(2026, 9, 9, 7, tzinfo=UTC)):
    print("OUTCOME", outcome.slot.job.notebook, outcome.status)
for words in (
    "status", "status --overdue", "doctor", "doctor --json", "alerts list", "alerts test", "alerts log",
    "alerts deliver", "rules check", f"metrics textfile {workspace}/cvkit.prom", "site build",
    f"deploy {workspace}/deploy", "retrain decide", f"backup {workspace}/archive.tar.gz", "card new", "reference",
):
    print("CODE", words, cli.main([*words.split(), "--config", workspace]), flush=True)
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[str]]:
    """A workspace after a night of failures, all that was said, and who outside of this machine was asked."""
    folder = tmp_path_factory.mktemp("planted")
    workspace, outside = folder / "workspace", folder / "outside"
    outside.mkdir()
    (outside / "secret").write_text(f"https://127.0.0.1:9/{IN_A_FILE}\n")
    (outside / "secret").chmod(0o600)
    (outside / "sitecustomize.py").write_text(RECORDER)
    shutil.copytree(packaged("skeleton"), workspace)
    (workspace / "cvkit.yml").write_text(SETTINGS + MORE.format(file=outside / "secret"))
    for day in (*(f"2026-09-{day:02d}" for day in range(1, 7)), "2026-09-08"):
        for camera in CAMERAS:
            take(workspace, camera, day, dark=0.3 if day == "2026-09-08" else 1.0)
    _notebooks(workspace)
    environment = {**os.environ, **SECRETS, "CVKIT_TEST_ASKED": str(outside / "asked")}
    environment["PYTHONPATH"] = os.pathsep.join([str(outside), os.environ.get("PYTHONPATH", "")])
    environment.pop("DO_NOT_TRACK", None)
    done = subprocess.run(
        [sys.executable, "-c", ROUND, str(workspace)], capture_output=True, text=True, check=False, env=environment,
        timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    asked = (outside / "asked").read_text().splitlines() if (outside / "asked").exists() else []
    return workspace, done.stdout + done.stderr, asked


def _notebooks(workspace: Path) -> None:
    """The packaged one, and one that fails with words of its own."""
    (workspace / "notebooks").mkdir(exist_ok=True)
    shutil.copyfile(packaged("notebooks") / "02-drift.ipynb", workspace / "notebooks" / "02-drift.ipynb")
    book = json.loads((workspace / "notebooks" / "02-drift.ipynb").read_text())
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    code[-1]["source"] = "raise RuntimeError('this one fails')"
    (workspace / "notebooks" / "fails.ipynb").write_text(json.dumps(book))


def test_the_night_went_as_planned(planted: tuple[Path, str, list[str]]) -> None:
    """Otherwise the search below would find nothing for want of anything."""
    workspace, said, _ = planted
    assert "OUTCOME 02-drift done" in said
    assert "OUTCOME fails failed" in said
    assert "the heartbeat was not taken" in said
    assert "CODE alerts test 7" in said
    assert "CODE site build 0" in said
    assert "not delivered" in said or "could not be reached" in said
    assert (workspace / "archive.tar.gz").is_file()
    assert list((workspace / "site").rglob("*.html"))
    assert list((workspace / "reports").rglob("*.ipynb"))


def test_no_secret_is_anywhere_in_the_workspace_or_in_what_was_said(planted: tuple[Path, str, list[str]]) -> None:
    workspace, said, _ = planted
    assert holders(workspace, MARK) == []
    assert MARK not in said


def test_no_secret_is_in_the_archive(planted: tuple[Path, str, list[str]], tmp_path: Path) -> None:
    with tarfile.open(planted[0] / "archive.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    assert holders(tmp_path, MARK) == []


def test_nobody_outside_of_this_machine_was_asked(planted: tuple[Path, str, list[str]]) -> None:
    """Evidently's page was written, in a kernel of its own: its telemetry is off. Our own would show here too."""
    workspace, _, asked = planted
    assert list((workspace / "reports").rglob("*.evidently.html"))
    assert asked == []


def test_the_recorder_of_connections_sees_one(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    code = "import socket\ntry: socket.create_connection(('192.0.2.1', 9), timeout=0.1)\nexcept OSError: pass"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "CVKIT_TEST_ASKED": str(tmp_path / "asked")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert "192.0.2.1" in (tmp_path / "asked").read_text()


def test_ultralytics_asks_nobody_while_it_predicts(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    (picture,) = take(tmp_path, CAMERAS[0], "2026-09-01", n=1)
    code = (
        f"import pathlib\nfrom cvkit.data import yolo\nyolo.prepare_environment(pathlib.Path({str(tmp_path)!r}))\n"
        "from cvkit.storage import PACKAGE\nfrom ultralytics import YOLO\n"
        f"YOLO(PACKAGE / 'demo.pt').predict({str(picture)!r}, device='cpu', verbose=False)\nprint('predicted')"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "ULTRALYTICS_"))}
    environment = {**kept, "CVKIT_TEST_ASKED": str(tmp_path / "asked")}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split()[-1:] == ["predicted"], done.stderr[-2000:]
    assert not (tmp_path / "asked").exists(), (tmp_path / "asked").read_text()
