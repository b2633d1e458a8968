"""Slack and webhooks against servers on this machine: answers, time, TLS, broken connections, and no secret told."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import pytest
import trustme
from channel_servers import Answer, Asked, Web, cut_short, dripping, half_closed, raw, says, silent, web
from made_up_messages import both, channel, message, notice
from test_channels_text import Slack

from cvkit.config.alerts import Channel
from cvkit.errors import DeliveryError
from cvkit.monitoring.channels import http, secrets, send, slack
from cvkit.monitoring.channels.secrets import Secret

TOKEN = "s3cr3t-T0KEN-value"
OK = (200, {}, b"ok")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield
    nothing_stays()


def nothing_stays() -> None:
    """No thread is left that still sends or listens."""
    until = time.monotonic() + 5
    while left := [thread.name for thread in threading.enumerate() if thread.name.startswith("cvkit-channel")]:
        assert time.monotonic() < until, f"threads stay behind: {left}"
        time.sleep(0.01)


@pytest.fixture
def slack_channel(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Channel]:
    def make(address: str, **settings: object) -> Channel:
        monkeypatch.setenv("SLACK_WEBHOOK", address)
        return channel("slack", secret="env:SLACK_WEBHOOK", **settings)

    return make


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Channel]:
    def make(url: str, **settings: object) -> Channel:
        monkeypatch.setenv("HOOK_TOKEN", TOKEN)
        return channel("webhook", url=url, secret="env:HOOK_TOKEN", **settings)

    return make


def always(*answer: object) -> Callable[[Asked], Answer]:
    return lambda _asked: answer  # type: ignore[return-value]


def failed(one: Channel, *secrets_: str) -> DeliveryError:
    """The error of sending to `one`, after a look for `secrets_` in everything that could show them."""
    begun = time.monotonic()
    with pytest.raises(DeliveryError) as told:
        send(one, message())
    assert time.monotonic() - begun < one.timeout_s + 4, "the deadline holds"
    error = told.value
    shown = [str(error), repr(error), repr(error.args), "".join(traceback.format_exception(error))]
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    locals_ = [f"{f.name}: {f.locals}" for f in frames.stack if "/cvkit/" in f.filename]
    for secret in secrets_:
        assert not [text for text in [*shown, *locals_] if secret in text], secret
    assert error.__cause__ is None
    assert error.__context__ is None
    assert one.name in str(error)
    return error


def slack_server(asked: Asked) -> Answer:
    """Enforces Slack's limits."""
    try:
        Slack(asked.json)
    except (AssertionError, KeyError):
        return 400, {}, b"invalid_blocks"
    return (200, {}, b"ok") if asked.path == "/services/T0/B0/x" else (404, {}, b"no_service")


def test_slack_takes_what_is_posted_one_post_a_second(slack_channel: Callable[[str], Channel]) -> None:
    many = message(*(notice(title=f"camera {n}", cause="&" * 3000) for n in range(14)))
    with web(slack_server) as server:
        send(slack_channel(f"{server.url}/services/T0/B0/x"), many)
        times = [asked.at for asked in server.asked]
    assert len(times) == len(slack.payloads(many)) > 1
    assert min(b - a for a, b in pairwise(times)) >= 0.99
    assert [asked.headers["Content-Type"] for asked in server.asked] == ["application/json"] * len(times)


def test_the_server_of_these_tests_can_refuse(slack_channel: Callable[[str], Channel]) -> None:
    with web(slack_server) as server:
        call = http.Call(Secret(f"{server.url}/services/T0/B0/x"), json.dumps({"text": "x", "blocks": []}).encode())
        assert http.ask(slack_channel(server.url), call).status == 400


@pytest.mark.parametrize(
    ("status", "body", "lasting"),
    [
        (403, b"invalid_token", True),
        (404, b"no_service", True),
        (410, b"channel_is_archived", True),
        (400, b"invalid_blocks", True),
        (400, b"something new", True),
        (500, b"rollup_error", False),
        (503, b"", False),
    ],
)
def test_slack_words_are_explained(
    slack_channel: Callable[[str], Channel], status: int, body: bytes, lasting: bool
) -> None:
    with web(always(status, {}, body)) as server:
        error = failed(slack_channel(f"{server.url}/services/T0/B0/{TOKEN}"), TOKEN, "/services", "T0/B0")
    assert error.lasting is lasting
    assert f"status {status}" in error.found
    assert not body or (body.decode() in error.found) is (body.decode() in slack.ANSWERS)
    assert error.remedy


def test_a_page_that_is_not_slack_is_no_delivery(slack_channel: Callable[[str], Channel]) -> None:
    with web(always(200, {}, b"<html>Please log in</html>")) as server:
        assert "something else than Slack" in failed(slack_channel(server.url)).problem


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_handed_on(hook: Callable[..., Channel], status: int) -> None:
    with web(always(status, {"Retry-After": "37"}, b"")) as server:
        error = failed(hook(server.url))
    assert (error.lasting, error.retry_after_s) == (False, 37.0)
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    with web(always(status, {"Retry-After": then}, b"")) as server:
        assert 110 < (failed(hook(server.url)).retry_after_s or 0) <= 120


@pytest.mark.parametrize(
    ("status", "lasting"), [(400, True), (401, True), (403, True), (404, True), (408, False), (413, True), (502, False)]
)
def test_a_status_says_whether_a_person_must_act(hook: Callable[..., Channel], status: int, lasting: bool) -> None:
    with web(lambda asked: (status, {}, f"you sent {asked.headers['Authorization']}".encode())) as server:
        error = failed(hook(server.url), TOKEN)
    assert error.lasting is lasting
    assert error.retry_after_s is None


def test_what_a_server_says_is_shown_where_there_is_no_secret() -> None:
    with web(always(400, {}, b"label \x1b[31mname\n is wrong")) as server:
        error = failed(channel("webhook", url=server.url))
    assert error.found == "status 400, label \\x1b[31mname is wrong"


def test_a_webhook_gets_schema_key_and_token(hook: Callable[..., Channel]) -> None:
    with web(always(204, {}, b"")) as server:
        send(hook(f"{server.url}/in?a=b"), both())
        send(hook(f"{server.url}/in?a=b"), both())
    first, again = server.asked
    assert first.json["schema"] == 1
    assert first.json["notices"][1]["event"] == "resolved"
    assert first.headers["Authorization"] == f"Bearer {TOKEN}"
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"] == both().id
    assert (first.method, first.path) == ("POST", "/in?a=b")


def test_a_user_makes_it_name_and_password(hook: Callable[..., Channel]) -> None:
    with web(always(*OK)) as server:
        send(hook(server.url, user="cvkit"), message())
    assert server.asked[0].headers["Authorization"] == "Basic Y3ZraXQ6czNjcjN0LVQwS0VOLXZhbHVl"


def test_a_webhook_address_may_be_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with web(lambda asked: (200 if asked.path == f"/{TOKEN}" else 404, {}, asked.path.encode())) as server:
        monkeypatch.setenv("HOOK", f"{server.url}/{TOKEN}")
        send(channel("webhook", secret="env:HOOK"), message())
        assert "Authorization" not in server.asked[0].headers
        monkeypatch.setenv("HOOK", f"{server.url}/gone/{TOKEN}")
        assert failed(channel("webhook", secret="env:HOOK"), TOKEN, server.url).lasting


def test_redirects_are_not_followed(hook: Callable[..., Channel], slack_channel: Callable[[str], Channel]) -> None:
    with web(always(*OK)) as other, web(always(307, {"Location": f"{other.url}/{TOKEN}"}, b"")) as server:
        for one in (hook(server.url), slack_channel(f"{server.url}/{TOKEN}")):
            error = failed(one, TOKEN, other.url)
            assert error.lasting
            assert "redirect" in error.remedy
    assert other.asked == []


@pytest.mark.parametrize(
    "behave",
    [
        silent,
        dripping(b"HTTP/1.1 200 OK\r\nX: "),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", every_s=0.005),
        dripping(b"y"),
    ],
    ids=["silent", "drips headers", "drips the body", "drips no line"],
)
def test_one_deadline_holds_for_everything(slack_channel: Callable[..., Channel], behave: Callable[..., None]) -> None:
    with raw(behave) as port:
        error = failed(slack_channel(f"http://127.0.0.1:{port}/{TOKEN}", timeout_s=0.6), TOKEN, str(port))
        nothing_stays()  # though the server goes on
    assert not error.lasting
    assert "time was up" in error.problem


@pytest.mark.parametrize(
    ("behave", "words", "lasting"),
    [
        (half_closed, "closed the connection", False),
        (lambda c, _e: c.close(), "closed the connection", False),
        (cut_short, "something else than Slack", True),
        (says(b"220 mail.example ESMTP\r\n"), "does not speak HTTP", True),
        (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), "does not speak HTTP", True),
        (says(b"HTTP/1.1 200 OK\r\nX: " + TOKEN.encode() * 9000), "does not speak HTTP", True),
    ],
    ids=["half-closed", "closed", "cut short", "no HTTP", "too many headers", "a line too long"],
)
def test_broken_connections(
    slack_channel: Callable[[str], Channel], behave: Callable[..., None], words: str, lasting: bool
) -> None:
    with raw(behave) as port:
        error = failed(slack_channel(f"http://127.0.0.1:{port}/{TOKEN}"), TOKEN, str(port))
    assert words in error.problem
    assert error.lasting is lasting


def test_who_asks_is_no_part_of_an_address(slack_channel: Callable[[str], Channel]) -> None:
    error = failed(slack_channel(f"https://user:{TOKEN}@hooks.invalid/services/{TOKEN}"), TOKEN, "user:")
    assert "says who asks" in error.problem
    assert error.lasting
    assert "`secret`" in error.remedy


def test_nobody_listens_and_nobody_knows(slack_channel: Callable[[str], Channel]) -> None:
    with raw(silent) as port:
        pass
    assert "nothing listens" in failed(slack_channel(f"http://127.0.0.1:{port}/{TOKEN}"), TOKEN, str(port)).problem
    error = failed(slack_channel(f"https://hooks-{TOKEN}.invalid/services/{TOKEN}"), TOKEN, "hooks-")
    assert "DNS" in error.problem
    assert not error.lasting


def test_a_slow_look_up_of_a_name_ends_too(
    slack_channel: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_n: free.wait(20))
    try:
        assert "time was up" in failed(slack_channel(f"https://slow.invalid/{TOKEN}", timeout_s=0.3), TOKEN).problem
    finally:
        free.set()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def secure(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_tls_is_checked(
    authority: trustme.CA, hook: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with web(always(*OK), secure(authority, "127.0.0.1")) as server:
        error = failed(hook(server.url), TOKEN)
        assert "authority that is not known" in error.problem
        assert error.lasting
        assert server.asked == []
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        send(hook(server.url), message())
        assert len(server.asked) == 1
    with web(always(*OK), secure(authority, "hooks.slack.com")) as server:
        assert "for another" in failed(hook(server.url), TOKEN, "hooks.slack.com").problem
        assert server.asked == []


def test_tls_and_plain_do_not_mix(hook: Callable[..., Channel]) -> None:
    with raw(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        error = failed(hook(f"https://127.0.0.1:{port}"), TOKEN)
    assert "no TLS could be agreed on" in error.problem
    assert error.lasting
    with raw(silent) as port:
        assert "time was up" in failed(hook(f"https://127.0.0.1:{port}", timeout_s=0.4), TOKEN).problem


@pytest.mark.parametrize(
    "bad",
    [
        f"hooks.slack.com/services/{TOKEN}",
        f"ftp://hooks.slack.com/{TOKEN}",
        f"http://hooks.slack.com/services/{TOKEN}",
        f"https://hooks.slack.com/a b/{TOKEN}",
        f"https://hooks.slack.com/\nX: {TOKEN}",
        f"https://[::1/{TOKEN}",
        f"https:///{TOKEN}",
        f"https://hooks.slack.com:99999/{TOKEN}",
        f"https://{'a' * 80}.example/{TOKEN}",
        f"https://hooks.slack.com/\u00e9/{TOKEN}",
        " \n ",
    ],
)
def test_a_secret_that_cannot_be_used(slack_channel: Callable[[str], Channel], bad: str) -> None:
    error = failed(slack_channel(bad), TOKEN, "hooks.slack", "aaaa")
    assert error.lasting
    assert "cannot be used" in error.problem


@pytest.mark.parametrize("bad", [f"two words {TOKEN}", f"line\nline {TOKEN}", f"\u00fc{TOKEN}"])
def test_a_token_that_no_header_can_carry(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setenv("HOOK_TOKEN", bad)
    assert failed(channel("webhook", url="https://a.invalid", secret="env:HOOK_TOKEN"), TOKEN).lasting


def test_secrets_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    one = channel("webhook", url="https://a.invalid", secret=f"file:{file}")
    for content in (None, b"", b"\xff\xfe\xff"):
        if content is not None:
            file.write_bytes(content)
        error = failed(one)
        assert error.lasting
        assert str(file) in str(error)
    file.write_text(f"{TOKEN}\n")
    secret = secrets.read_secret(one)
    assert secret.value == TOKEN
    assert TOKEN not in f"{secret} {secret!r} {secret!s:.99}"
    monkeypatch.delenv("NOT_THERE", raising=False)
    assert "NOT_THERE" in str(failed(channel("slack", secret="env:NOT_THERE")))


def test_no_log_holds_the_secret(
    slack_channel: Callable[[str], Channel], hook: Callable[..., Channel], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with web(always(*OK)) as server:
        send(slack_channel(f"{server.url}/services/{TOKEN}"), message())
        send(hook(server.url), message())
    assert TOKEN not in caplog.text


def test_an_enormous_answer_is_not_kept(hook: Callable[..., Channel]) -> None:
    def behave(asked: Asked) -> Answer:
        return 200, {}, b"x" * (http.LONGEST_ANSWER + 1000)

    with web(behave) as server:
        send(hook(server.url), message())
        assert len(http.ask(hook(server.url), http.Call(Secret(server.url), b"{}")).body) == http.LONGEST_ANSWER


def test_a_proxy_is_used_where_the_environment_names_one(
    slack_channel: Callable[[str], Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    with web(always(*OK)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        one = channel("webhook", url="http://receiver.invalid/in")
        send(one, message())
    assert isinstance(proxy, Web)
    assert proxy.asked[0].path == "http://receiver.invalid/in"
