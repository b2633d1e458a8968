"""`cvkit lab` on a workspace, as a server that tests ask."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cvkit.config import Config

TOKEN = "of-this-test"
PATIENCE = 180_000  # milliseconds: a busy machine is no fault of the panel


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
