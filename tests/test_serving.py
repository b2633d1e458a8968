"""Servers of ours hold out against clients that are slow, many, long-winded or want something else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, make_wsgi_app

from cvkit import serving
from cvkit.data import recorder_metrics
from cvkit.monitoring import exposition

WANTED = {
    "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer",
    "cache-control": "no-store", "cross-origin-resource-policy": "same-origin",
}  # fmt: skip


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


@pytest.fixture(params=["plain", "metrics", "recorder"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server of each kind there is, its metrics empty."""
    scraper = exposition.Scraper("sqlite:////nowhere/history.db", "m")
    if request.param == "recorder":
        taken = recorder_metrics.serve(0, "127.0.0.1")
        yield taken
        recorder_metrics.end_serving(taken, "127.0.0.1")
        return
    made = (
        serving.server(hello, "127.0.0.1", 0)
        if request.param == "plain"
        else exposition.server(scraper, "127.0.0.1", 0)
    )
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made.server_port
    made.shutdown()
    made.server_close()
    thread.join()


def said(port: int, request: bytes, wait_s: float = 10.0) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what is answered; status 0 where nothing is."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as client:
        answer = b""
        try:
            client.sendall(request)
            while part := client.recv(65536):
                answer += part
        except (ConnectionResetError, BrokenPipeError):  # it was closed while there was more to read
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split()[1]) if first.startswith("HTTP/") else 0
    return status, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body


def get(path: str = "/", method: str = "GET", more: str = "", host: str = "localhost") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def test_every_answer_has_its_headers_and_names_no_version(port: int) -> None:
    answers = [
        said(port, get()),
        said(port, get("/metrics")),
        said(port, get("/" + "x" * 9000)),
        said(port, b"GET / HTTP/x.y\r\n\r\n"),
    ]
    assert [status for status, _, _ in answers] == [200, 200, 414, 400]
    for _, headers, body in answers:
        assert {name: headers.get(name) for name in WANTED} == WANTED
        assert headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
        assert headers["server"] == "cvkit"
        assert b"Python" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get"])
def test_only_reading_is_answered(method: str, port: int) -> None:
    status, headers, _ = said(port, get(method=method, more="Content-Length: 0\r\n"))
    assert status == 405
    assert headers["allow"] == "GET, HEAD"
    status, headers, body = said(port, get(method="HEAD"))
    assert (status, body) == (200, b"")


@pytest.mark.parametrize("more", ["X: " + "x" * 40_000 + "\r\n", "".join(f"X{i}: {'y' * 400}\r\n" for i in range(99)),
                                  "".join(f"X{i}: y\r\n" for i in range(300))])  # fmt: skip
def test_long_heads_are_refused(more: str, port: int) -> None:
    assert said(port, get(more=more))[0] in (431, 0)  # 0: closed while it was still being sent
    assert said(port, get())[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:9", 200), ("127.0.0.1", 200), ("[::1]:9", 200), ("127.0.0.2:80", 200),
     ("evil.example", 421), ("evil.example:80", 421), ("127.0.0.1.evil.example", 421), ("[::", 421), ("10.0.0.1", 421)],
)  # fmt: skip
def test_another_s_name_for_this_machine_is_not_answered(port: int, host: str, status: int) -> None:
    """So a web page whose name was made to point here (DNS rebinding) reads nothing."""
    found, headers, body = said(port, get(host=host))
    assert found == status
    assert headers["x-content-type-options"] == "nosniff"
    assert status == 200 or b"evil" not in body


def test_a_client_that_dawdles_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter every tenth of a second, for as long as anybody listens: each is in time, all together are not."""
    monkeypatch.setattr(serving, "SLOWEST_S", 0.5)
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        try:
            while time.monotonic() - start < 8:
                client.sendall(b"G")
                time.sleep(0.1)
        except OSError:  # it was closed
            assert time.monotonic() - start < 5
            return
    pytest.fail("it was listened to for eight seconds")


def test_of_too_many_at_once_the_last_are_told_to_come_again(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(serving.MOST_CONNECTIONS)]
    try:
        deadline = time.monotonic() + 10
        while (status := said(port, get())[0]) == 200 and time.monotonic() < deadline:
            time.sleep(0.05)  # until the last of the idle ones has its thread
        assert status in (503, 0)
    finally:
        for client in idle:
            client.close()
    deadline = time.monotonic() + 10
    while said(port, get())[0] != 200:
        assert time.monotonic() < deadline, "places were not given back"
        time.sleep(0.05)


def test_an_application_that_fails_answers_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    def broken(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise RuntimeError("/secret/path")

    made = serving.server(broken, "127.0.0.1", 0)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    status, _, body = said(made.server_port, get())
    made.shutdown()
    made.server_close()
    assert status == 500
    assert b"secret" not in body


def test_metrics_of_prometheus_pass_through() -> None:
    made = serving.server(make_wsgi_app(CollectorRegistry()), "127.0.0.1", 0)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    status, headers, _ = said(made.server_port, get("/metrics"))
    made.shutdown()
    made.server_close()
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
