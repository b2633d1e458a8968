"""`cvkit site serve`: within the limits and with the headers of our servers, and built anew when a page changes."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import NO_BROWSER, chromium, visiting
from made_up_workspace import MadeUp, make
from mkdocs.livereload import LiveReloadServer
from test_serving import get, said

from cvkit import serving
from cvkit.config import Config
from cvkit.documentation.site.live import LiveServer

WANTED = {
    "x-content-type-options": "nosniff", "x-frame-options": "SAMEORIGIN", "referrer-policy": "no-referrer",
    "cache-control": "no-store", "cross-origin-resource-policy": "same-origin", "server": "cvkit",
}  # fmt: skip


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Config, int]]:
    """A workspace and the port at which the command serves it."""
    config, port = make(tmp_path_factory.mktemp("live") / "workspace", MadeUp()), free()
    (config.workspace / "docs" / "mine.md").write_text("# Mine\n\nthe first words\n")
    command = [sys.executable, "-m", "cvkit.cli", "site", "serve", "--config", str(config.workspace)]
    process = subprocess.Popen([*command, "--address", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not reached(port):
        assert process.poll() is None, "it ended"
        assert time.monotonic() < deadline, "nobody answers"
        time.sleep(0.2)
    yield config, port
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def reached(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_every_answer_has_its_headers(site: tuple[Config, int]) -> None:
    _, port = site
    answers = [said(port, get(path)) for path in ("/", "/assets/cvkit.css", "/gone/", "/mine", "/" + "x" * 9000)]
    assert [status for status, _, _ in answers] == [200, 200, 404, 302, 414]
    for status, headers, _ in answers[:-1]:
        assert {name: headers.get(name) for name in WANTED} == WANTED, status
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert answers[1][1]["content-type"] == "text/css"


def test_only_pages_are_answered_and_only_to_who_reads(site: tuple[Config, int]) -> None:
    _, port = site
    assert said(port, get(method="POST", more="Content-Length: 0\r\n"))[0] == 405
    status, _, body = said(port, get("/mine/", method="HEAD"))
    assert (status, body) == (200, b"")
    for path in ("/../cvkit.yml", "/%2e%2e/cvkit.yml", "/..%2f..%2f..%2f..%2fetc%2fpasswd", "//etc/passwd"):
        assert said(port, get(path))[0] == 404


def test_a_page_that_changes_is_built_anew_and_browsers_are_told(site: tuple[Config, int]) -> None:
    config, port = site
    _, _, page = said(port, get("/mine/"))
    assert b"the first words" in page
    (told,) = re.findall(rb"livereload\((\d+), (\d+)\);", page)
    (config.workspace / "docs" / "mine.md").write_text("# Mine\n\nother words\n")
    status, _, epoch = said(port, get(f"/livereload/{told[0].decode()}/{told[1].decode()}"), 60)
    assert status == 200
    assert int(epoch) > int(told[0])
    assert b"other words" in said(port, get("/mine/"))[2]


@NO_BROWSER
def test_a_browser_has_nothing_to_complain_of(site: tuple[Config, int]) -> None:
    with chromium() as browser, visiting(browser, f"http://127.0.0.1:{site[1]}/") as seen:
        seen.open("")
        seen.page.wait_for_timeout(500)
        assert not seen.complaints


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[int]:
    """The port of such a server of one page."""
    (tmp_path / "index.html").write_text("hello")
    made = LiveServer(LiveReloadServer(lambda: None, "127.0.0.1", 0, str(tmp_path)))
    made.server_bind()
    made.server_activate()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made.server_port
    super(LiveReloadServer, made).shutdown()  # its own waits for a loop that builds
    made.server_close()
    thread.join()


def test_a_client_that_dawdles_is_cut_off(bare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SLOWEST_S", 0.5)
    assert said(bare, get())[2] == b"hello"
    with socket.create_connection(("127.0.0.1", bare), timeout=10) as client:
        try:
            for _ in range(80):
                client.sendall(b"G")
                time.sleep(0.1)
        except OSError:  # it was closed
            return
    pytest.fail("it was listened to for eight seconds")


def test_of_too_many_at_once_the_last_are_told_to_come_again(bare: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", bare)) for _ in range(serving.MOST_CONNECTIONS)]
    deadline = time.monotonic() + 10
    while (status := said(bare, get())[0]) == 200 and time.monotonic() < deadline:
        time.sleep(0.05)  # until the last of the idle ones has its thread
    for client in idle:
        client.close()
    assert status in (503, 0)
