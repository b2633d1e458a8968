"""E-mail into a real SMTP server on this machine, with and without TLS, log-in, refusals and bad days."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default as modern
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from channel_servers import dripping, raw, says, silent
from made_up_messages import both, channel, message, notice
from test_channels_http import TOKEN, _no_proxy, failed, nothing_stays  # noqa: F401  # the fixture looks for threads left behind

from cvkit.config.alerts import Channel
from cvkit.monitoring.channels import send


class Post:
    """A mail server's mind: what it took, and whom it refuses."""

    def __init__(self, refuses: dict[str, str] | None = None, data: str = "250 OK") -> None:
        self.taken: list[Envelope] = []
        self.refuses, self.data = refuses or {}, data

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, to: str, options: Any) -> str:
        if to in self.refuses:
            return self.refuses[to]
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data.startswith("250"):
            self.taken.append(envelope)
        return self.data


@contextmanager
def server(post: Post, ssl_context: ssl.SSLContext | None = None, **settings: Any) -> Iterator[int]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncio.Server:
        made = partial(SMTP, post, hostname="mail.example", loop=loop, **settings)
        return await loop.create_server(made, "127.0.0.1", 0, ssl=ssl_context)

    async def stop(listening: asyncio.Server) -> None:
        listening.close()
        ours = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)

    listening = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(listening), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def mail_channel(port: int, **settings: Any) -> Channel:
    base = {"host": "127.0.0.1", "port": port, "sender": "cvkit@plant.example", "to": ("ops@plant.example",)}
    return channel("email", **{**base, "security": "none", **settings})


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("MAIL_PASSWORD", TOKEN)
    return {"user": "cvkit", "secret": "env:MAIL_PASSWORD"}


def login(secret: str) -> dict[str, Any]:
    def ask(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: LoginPassword) -> AuthResult:
        return AuthResult(success=given.password == secret.encode() and given.login == b"cvkit", handled=False)

    return {"authenticator": ask}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_mail_arrives_whole() -> None:
    post = Post()
    with server(post) as port:
        send(mail_channel(port, to=("ops@plant.example", "Night Shift <night@plant.example>")), both())
        send(mail_channel(port), message(notice(title="caméra \U0001f4a5\r\nBcc: evil@x.example")))
    first, second = (message_from_bytes(envelope.content or b"", policy=modern) for envelope in post.taken)
    assert post.taken[0].rcpt_tos == ["ops@plant.example", "night@plant.example"]
    assert post.taken[0].mail_from == "cvkit@plant.example"
    assert first["Subject"] == "[critical, new] gate-1: images are darker (and 1 more)"
    assert first.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in first.iter_parts()] == ["text/plain", "text/html"]
    assert "Measured: 78.4 grey levels" in first.get_body(("plain",)).get_content()
    assert second["Subject"] == "[critical, new] caméra \U0001f4a5 Bcc: evil@x.example"
    assert second["Bcc"] is None
    assert post.taken[1].rcpt_tos == ["ops@plant.example"]
    assert max(len(line) for line in (post.taken[1].content or b"").splitlines()) <= 998, "RFC 5322"


def test_starttls_with_a_log_in(tls: ssl.SSLContext, password: dict[str, Any]) -> None:
    post = Post()
    with server(post, tls_context=tls, require_starttls=True, auth_required=True, **login(TOKEN)) as port:
        send(mail_channel(port, security="starttls", **password), message())
    assert len(post.taken) == 1


def test_tls_from_the_first_byte(tls: ssl.SSLContext, password: dict[str, Any]) -> None:
    post = Post()
    with server(post, ssl_context=tls, auth_require_tls=False, **login(TOKEN)) as port:
        send(mail_channel(port, security="tls", **password), message())
    assert len(post.taken) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_is_checked(
    authority: trustme.CA, password: dict[str, Any], security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    post = Post()
    kind = {"tls_context": context} if security == "starttls" else {"ssl_context": context}
    with server(post, **kind) as port:
        error = failed(mail_channel(port, security=security, **password), TOKEN)
    assert "authority that is not known" in error.problem
    assert error.lasting
    assert post.taken == []


def test_starttls_that_is_not_offered_is_not_done_without(password: dict[str, Any]) -> None:
    post = Post()
    with server(post, auth_require_tls=False, **login(TOKEN)) as port:
        error = failed(mail_channel(port, security="starttls", **password), TOKEN)
    assert error.lasting
    assert "STARTTLS" in error.remedy
    assert post.taken == []


def test_a_wrong_password(password: dict[str, Any]) -> None:
    with server(Post(), auth_require_tls=False, **login("another")) as port:
        error = failed(mail_channel(port, **password), TOKEN)
    assert error.lasting
    assert "the log-in" in error.problem
    assert error.found == "code 535, 5.7.8"


def test_some_recipients_are_refused() -> None:
    to = ("a@x.example", "b@x.example", "c@x.example")
    post = Post(refuses={"b@x.example": "550 5.1.1 nobody of this name"})
    with server(post) as port:
        error = failed(mail_channel(port, to=to))
    assert "reached 2 of 3" in error.problem
    assert error.found == "1 refused, code 550, 5.1.1 nobody of this name: b@x.example"
    assert error.lasting
    assert post.taken[0].rcpt_tos == ["a@x.example", "c@x.example"]


@pytest.mark.parametrize(("answer", "lasting"), [("450 4.2.0 greylisted", False), ("550 5.1.1 nobody", True)])
def test_all_recipients_are_refused(answer: str, lasting: bool) -> None:
    with server(Post(refuses={"ops@plant.example": answer})) as port:
        error = failed(mail_channel(port))
    assert "refused the recipients" in error.problem
    assert error.lasting is lasting


@pytest.mark.parametrize(("answer", "lasting"), [("452 4.3.1 full", False), ("552 5.3.4 too big", True)])
def test_the_mail_itself_is_refused(answer: str, lasting: bool, password: dict[str, Any]) -> None:
    with server(Post(data=f"{answer} {TOKEN}"), auth_require_tls=False, **login(TOKEN)) as port:
        error = failed(mail_channel(port, **password), TOKEN)
    assert "refused the mail" in error.problem
    assert error.lasting is lasting
    assert answer[:9] == error.found.removeprefix("code ").replace(",", "")


def test_a_letter_outside_ascii_in_a_password_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", f"\u00fc{TOKEN}")
    error = failed(mail_channel(1, user="cvkit", secret="env:MAIL_PASSWORD"), TOKEN, "\u00fc")
    assert error.lasting
    assert "ASCII" in error.remedy


@pytest.mark.parametrize(
    ("behave", "security"),
    [(silent, "none"), (silent, "tls"), (dripping(b"220-"), "none"), (dripping(b"220 hello\r\n250-"), "starttls")],
    ids=["silent", "silent, tls", "drips a greeting", "drips an answer"],
)
def test_one_deadline_holds_for_everything(behave: Callable[..., None], security: str) -> None:
    with raw(behave) as port:
        error = failed(mail_channel(port, security=security, timeout_s=0.6))
        nothing_stays()  # though the server goes on
    assert "time was up" in error.problem
    assert not error.lasting


@pytest.mark.parametrize(
    ("behave", "words", "lasting"),
    [
        (lambda c, _e: c.close(), "closed the connection", False),
        (says(b"220 hello\r\n"), "closed the connection", False),
        (lambda c, _e: c.sendall(b"554 5.7.1 go away\r\n"), "refused the greeting", True),
        (lambda c, _e: c.sendall(b"421 4.3.2 later\r\n"), "refused the greeting", False),
        (lambda c, _e: c.sendall(b"HTTP/1.1 400 Bad Request\r\n"), "", True),
    ],
    ids=["closed", "closed after the greeting", "unwelcome", "busy", "no SMTP"],
)
def test_broken_connections(behave: Callable[..., None], words: str, lasting: bool) -> None:
    with raw(behave) as port:
        begun = time.monotonic()
        error = failed(mail_channel(port))
    assert words in error.problem
    assert error.lasting is lasting or not words
    assert time.monotonic() - begun < 10


def test_nobody_listens_and_nobody_knows() -> None:
    with raw(silent) as port:
        pass
    assert "nothing listens" in failed(mail_channel(port)).problem
    assert "DNS" in failed(mail_channel(0, host="mail.invalid")).problem
