"""One HTTP client: no redirects, no logs, one deadline for everything, and errors in words of its own.

The libraries at hand write addresses into their logs (httpx at INFO, urllib3 at DEBUG) and into their errors, and an
address may be a secret. So this stands on `urllib.request`, which logs nothing and knows proxies, and no text of an
error is passed on.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPErrorProcessor, HTTPHandler, HTTPSHandler, Request, build_opener

from cvkit import __version__
from cvkit.config.alerts import Channel
from cvkit.errors import DeliveryError
from cvkit.monitoring.channels.deadline import Watch, within
from cvkit.monitoring.channels.secrets import Secret, where
from cvkit.monitoring.channels.text import one_line, shorten
from cvkit.monitoring.channels.trouble import Trouble, trouble

TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})
LONGEST_ANSWER = 4_000_000  # bytes that are read of an answer
WHO_ASKS = "its address says who asks, which is sent in a header"
LONGEST_PAUSE_S = 86_400.0  # no answer makes cvkit wait longer than a day


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked; neither address nor authorization is ever shown."""

    address: Secret
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: Secret = field(default_factory=lambda: Secret(""))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    body: bytes = field(repr=False)
    retry_after_s: float | None = None

    @property
    def good(self) -> bool:
        """Whether what was asked is done."""
        return 200 <= self.status < 300


def ask(channel: Channel, call: Call, *, seconds: float | None = None) -> Reply:
    """The answer to `call`, whatever its status.

    `seconds`: all the time there is, the channel's `timeout_s` if not given. Raises DeliveryError where there is no
    answer.
    """
    answer = _attempt(call, channel.timeout_s if seconds is None else seconds)
    if isinstance(answer, Reply):
        return answer
    raise DeliveryError(
        f"the channel `{channel.name}` could not be reached: {answer.words}",
        lasting=answer.lasting,
        where=where(channel),
        expected=f"an answer within {channel.timeout_s:g} s",
        remedy=answer.remedy,
    )


def refused(channel: Channel, reply: Reply, *, words: str = "", expected: str = "", remedy: str = "") -> DeliveryError:
    """The error of an answer that is none of success.

    `words`: what the other side says, if that is known to hold no secret. Its own text is shown only where the
    channel has no secret, as some servers send back what they were sent.
    """
    said = words or ("" if channel.secret else shorten(one_line(reply.body[:2000].decode("utf-8", "replace")), 200))
    lasting = reply.status not in TEMPORARY and reply.status < 500
    return DeliveryError(
        f"the channel `{channel.name}` refused the message",
        lasting=lasting,
        retry_after_s=reply.retry_after_s,
        where=where(channel),
        expected=expected or "a status of 200 to 299",
        found=f"status {reply.status}" + (f", {said}" if said else ""),
        remedy=remedy or _remedy(reply.status),
    )


def _remedy(status: int) -> str:
    if 300 <= status < 400:
        return "name the address it redirects to: secrets are not sent after a redirect"
    known = {
        401: "check the secret: it is wrong or has run out",
        403: "check the secret: it is wrong, has run out, or is not for this",
        404: "check the address: there is nothing behind it",
        410: "check the address: it has been given up",
        413: "let the receiver take larger messages, or set alerts.group_by to source",
        429: "nothing: it is tried again when the receiver allows it",
    }
    return known.get(status, "nothing: it is tried again" if status >= 500 else "see the receiver's log")


def _attempt(call: Call, seconds: float) -> Reply | Trouble:
    """The answer, or what kept it away: a value, so that no error with an address in it is carried along."""
    try:
        if urlsplit(call.address.value).username is not None:
            return Trouble(WHO_ASKS, True, "leave out what is before the @, and name it as `user` and `secret`")
        return within(seconds, partial(_exchange, call, seconds))
    except (OSError, HTTPException, ValueError) as error:
        return trouble(error)


def _exchange(call: Call, seconds: float, watch: Watch) -> Reply:
    opener = build_opener(_AnyStatus, _Plain(watch), _Tls(watch))
    headers = {"User-Agent": f"cvkit/{__version__}", "Content-Type": "application/json", **call.headers}
    if call.authorization.value:
        headers["Authorization"] = call.authorization.value
    request = Request(call.address.value, data=call.body, headers=headers)  # noqa: S310  # http or https: checked
    with opener.open(request, timeout=seconds) as response:
        body = response.read(LONGEST_ANSWER)
        return Reply(response.status, body, retry_after(response.headers.get("Retry-After")))


def retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a header Retry-After names, as a number or as a date; None where it is missing or makes no sense.

    >>> retry_after("30"), retry_after("soon"), retry_after(None), retry_after("-5"), retry_after("1e99")
    (30.0, None, None, None, None)
    >>> retry_after("Fri, 20 Nov 2026 10:00:30 GMT", datetime(2026, 11, 20, 10, tzinfo=UTC))
    30.0
    """
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(min(int(text.strip()[:12]), LONGEST_PAUSE_S))
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return min(max((then - (now or datetime.now(UTC))).total_seconds(), 0.0), LONGEST_PAUSE_S)


class _AnyStatus(HTTPErrorProcessor):
    """Every status is an answer: no redirect is followed, and no error made that holds the address."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        return response

    https_response = http_response


class _Plain(HTTPHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_PlainConnection, watch=self.watch), req)


class _Tls(HTTPSHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def https_open(self, req: Request) -> HTTPResponse:
        context = ssl.create_default_context()  # certificates are checked; SSL_CERT_FILE names more of them
        return self.do_open(partial(_TlsConnection, watch=self.watch), req, context=context)


class _PlainConnection(HTTPConnection):
    def __init__(self, *args: Any, watch: Watch, **named: Any) -> None:
        super().__init__(*args, **named)
        self.watch = watch

    def connect(self) -> None:
        super().connect()
        self.watch(self.sock)


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, watch: Watch, **named: Any) -> None:
        super().__init__(*args, **named)
        self.watch = watch

    def connect(self) -> None:
        super().connect()
        self.watch(self.sock)
