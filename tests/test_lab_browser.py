"""The panel in a real JupyterLab, in a real browser: every kind of control, and what it leaves behind."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsing import NO_BROWSER, chromium
from lab_world import DAYS, measured

from cvkit import cli, job
from cvkit.config import Config
from cvkit.monitoring.history import History
from cvkit.storage import packaged
from cvkit.workspace import copy_missing

pytestmark = NO_BROWSER
TOKEN = "of-this-test"
PATIENCE = 300_000  # milliseconds: a busy machine is no fault of the panel


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = measured(tmp_path_factory.mktemp("lab") / "plant")
    with History.open(config.history_url) as history:
        job.tell(config, history)
    copy_missing(packaged("notebooks"), config.workspace / "notebooks")
    assert cli.main(["card", "new", "--config", str(config.path)]) == 0
    return config


@contextmanager
def serving(config: Config, home: Path) -> Iterator[str]:
    """The address of `cvkit lab` on a workspace; Jupyter's own files are kept in `home`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: str(home / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "HOME")}
    (home / "HOME").mkdir(parents=True)
    command = [sys.executable, "-m", "cvkit.cli", "lab", "--no-browser", "--allow-root", "--port", str(port)]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--config", str(config.path)], stdout=log, stderr=log,
            env={**os.environ, **kept, "JUPYTER_TOKEN": TOKEN},
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, home / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(60)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.5)
    raise AssertionError(log.read_text())


class Lab:
    """One open notebook."""

    def __init__(self, browser: Any, address: str) -> None:
        self.address, self.complaints, self.outside = address, [], []
        self.page = browser.new_page(viewport={"width": 1280, "height": 1400})
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.address, self.address.replace("http", "ws"), "data:", "blob:")):
            self.outside.append(request.url)

    def run(self, notebook: str) -> None:
        """Open a notebook and run all of it, until no cell is busy."""
        self.page.goto(f"{self.address}/lab/tree/{notebook}?token={TOKEN}&reset")
        self.page.locator(".jp-Notebook .jp-Cell").first.click()
        self.page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']")
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
        self.page.wait_for_function(
            """() => { const p = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.textContent);
                       return p.length && p.every(text => /\\[\\d+\\]/.test(text)); }"""
        )
        errors = self.page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']")
        assert errors.count() == 0, errors.all_inner_texts()


@pytest.fixture(scope="module")
def lab(workspace: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with serving(workspace, tmp_path_factory.mktemp("jupyter")) as address, chromium() as browser:
        yield Lab(browser, address)


def test_the_panel_answers_every_kind_of_control(lab: Lab, workspace: Config) -> None:
    lab.run("notebooks/explore.ipynb")
    page = lab.page
    said = page.locator(".cvkit-said").first
    page.wait_for_function("() => document.querySelector('.cvkit-picture img')?.naturalWidth > 300")
    before = said.inner_text()
    assert DAYS[-1] in before
    first = page.locator(".cvkit-picture").first
    first.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("text => document.querySelector('.cvkit-said').innerText !== text", arg=before)
    assert DAYS[-2] in said.inner_text()


def test_nothing_is_complained_of_and_nobody_outside_is_asked(lab: Lab) -> None:
    assert [text for text in lab.complaints if "favicon" not in text] == []
    assert lab.outside == []
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", lab.address)
