"""E-mail: SMTP with TLS, text and HTML in one message, the same Message-ID however often it is sent."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from functools import partial
from hashlib import sha256
from typing import Any

from cvkit.config.alerts import Channel
from cvkit.errors import DeliveryError
from cvkit.monitoring.channels.deadline import Watch, within
from cvkit.monitoring.channels.page import html
from cvkit.monitoring.channels.secrets import Secret, missing, read_secret, where
from cvkit.monitoring.channels.text import one_line, plain, shorten, subject
from cvkit.monitoring.channels.trouble import Trouble, trouble
from cvkit.monitoring.messages import Message

PORTS = {"starttls": 587, "tls": 465, "none": 25}
SUBJECT = 200  # characters of a subject
NOWHERE = "cvkit.invalid"  # the domain of Message-IDs where the sender has none that can be written

Refused = Mapping[str, tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the mail server did: the addresses it refused, or the step at which it refused all."""

    step: str = ""
    code: int = 0
    text: bytes = field(default=b"", repr=False)
    refused: Refused | None = field(default=None, repr=False)


def deliver(channel: Channel, message: Message) -> None:
    """Send the mail to all of the channel's addresses."""
    password, letter = _password(channel), compose(channel, message)
    answer = _attempt(channel, letter, password)
    if isinstance(answer, Trouble):
        raise DeliveryError(
            f"the channel `{channel.name}` could not be reached: {answer.words.replace('HTTP', 'SMTP')}",
            lasting=answer.lasting,
            where=where(channel),
            expected=f"that {channel.host} takes the mail within {channel.timeout_s:g} s",
            remedy=answer.remedy.replace("the address and the network", "host, port and the network"),
        )
    if answer.step:
        raise _refusal(channel, answer)
    if answer.refused:
        raise _some_refused(channel, answer.refused)


def compose(channel: Channel, message: Message) -> EmailMessage:
    """The mail. Its date and Message-ID come from the message, so that a copy can be told to be one."""
    letter = EmailMessage(policy=SMTP)
    domain = _domain(channel)
    letter["Subject"] = shorten(subject(message), SUBJECT)
    letter["From"] = _addresses(channel, (channel.sender,))
    letter["To"] = _addresses(channel, channel.to)
    letter["Date"] = message.made.astimezone(UTC)
    letter["Message-ID"] = f"<{_digest(message.id)}@{domain}>"
    letter["References"] = f"<{_digest(message.notices[0].fingerprint)}@{domain}>"  # one thread for each alert
    letter["Auto-Submitted"] = "auto-generated"
    letter["X-Cvkit-Message"] = one_line(message.id).encode("ascii", "backslashreplace").decode()
    letter.set_content(plain(message), cte="quoted-printable")
    letter.add_alternative(html(message), subtype="html", cte="quoted-printable")
    return letter


def _digest(text: str) -> str:
    return f"cvkit.{sha256(text.encode()).hexdigest()[:32]}"


def _domain(channel: Channel) -> str:
    domain = channel.sender.rpartition("@")[2].strip("> ")
    return domain if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", domain) else NOWHERE


def _addresses(channel: Channel, texts: tuple[str, ...]) -> tuple[Address, ...]:
    """Addresses as headers take them, with or without a name before; DeliveryError for what is none."""
    made = []
    for text in texts:
        name, spec = parseaddr(text)
        try:
            made.append(Address(display_name=name, addr_spec=spec))
        except (ValueError, IndexError, MessageError):
            spec = ""
        if "@" not in spec or not text.isprintable():
            raise DeliveryError(
                f"the channel `{channel.name}` names an address that is none",
                lasting=True,
                where=where(channel),
                expected="addresses such as ops@plant.example",
                found=one_line(text),
                remedy="correct `sender` or `to`",
            )
    return tuple(made)


def _password(channel: Channel) -> Secret:
    secret = read_secret(channel) if channel.user else Secret("")
    if not (channel.user.isascii() and secret.value.isascii()):
        raise missing(channel, "choose user and password of ASCII letters: Python's SMTP sends no others")
    return secret


def _attempt(channel: Channel, letter: EmailMessage, password: Secret) -> Answer | Trouble:
    """What the server did, or what kept it away: a value, so that no error that holds a secret is carried along."""
    try:
        return within(channel.timeout_s, partial(_transmit, channel, letter, password))
    except smtplib.SMTPServerDisconnected:
        return Trouble("it closed the connection before it had taken the mail")
    except smtplib.SMTPNotSupportedError:
        return Trouble(
            "it does not offer what is needed",
            lasting=True,
            remedy="see whether it offers STARTTLS, a log-in, and SMTPUTF8 for addresses with other than ASCII letters;"
            " check port and security",
        )
    except smtplib.SMTPRecipientsRefused as error:
        return Answer("the recipients", *_worst(error.recipients))
    except smtplib.SMTPResponseException as error:
        return Answer(_step(error), error.smtp_code, _bytes(error.smtp_error))
    except (OSError, ValueError) as error:  # smtplib's other errors are OSErrors
        return trouble(error)


def _transmit(channel: Channel, letter: EmailMessage, password: Secret, watch: Watch) -> Answer:
    context = ssl.create_default_context()  # certificates are checked; SSL_CERT_FILE names more of them
    port = channel.port or PORTS[channel.security]
    with _connected(channel, port, context, watch) as server:
        if channel.security == "starttls":
            server.starttls(context=context)
            watch(server.sock)  # type: ignore[arg-type]  # connected
        if channel.user:
            _log_in(server, channel.user, password)
        return Answer(refused=server.send_message(letter))


def _log_in(server: smtplib.SMTP, user: str, password: Secret) -> None:
    """Log in by one way that is offered. `smtplib`'s own `login` tries all, and servers let a wrong password wait."""
    server.ehlo_or_helo_if_needed()
    offered = server.esmtp_features.get("auth", "").upper().split()
    way = next((way for way in ("PLAIN", "LOGIN", "CRAM-MD5") if way in offered), "")
    if not way:
        raise smtplib.SMTPNotSupportedError
    server.user, server.password = user, password.value
    server.auth(way, getattr(server, f"auth_{way.lower().replace('-', '_')}"))


def _connected(channel: Channel, port: int, context: ssl.SSLContext, watch: Watch) -> smtplib.SMTP:
    if channel.security == "tls":
        return _Tls(watch, channel.host, port, timeout=channel.timeout_s, context=context)
    return _Plain(watch, channel.host, port, timeout=channel.timeout_s)


class _Plain(smtplib.SMTP):
    """Tells of its socket before the greeting is read, so that a server that greets for hours can be left."""

    def __init__(self, watch: Watch, *args: Any, **named: Any) -> None:
        self._watch = watch
        super().__init__(*args, **named)

    def _get_socket(self, *args: Any) -> socket.socket:
        held: socket.socket = super()._get_socket(*args)  # type: ignore[misc]
        self._watch(held)
        return held


class _Tls(_Plain, smtplib.SMTP_SSL):
    pass


def _step(error: smtplib.SMTPResponseException) -> str:
    steps = {
        smtplib.SMTPAuthenticationError: "the log-in",
        smtplib.SMTPSenderRefused: "the sender",
        smtplib.SMTPDataError: "the mail",
    }
    return steps.get(type(error), "the greeting")


def _worst(refused: Refused) -> tuple[int, bytes]:
    return max(refused.values(), key=lambda answer: answer[0])


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")


def _refusal(channel: Channel, answer: Answer) -> DeliveryError:
    return DeliveryError(
        f"the channel `{channel.name}` refused {answer.step}",
        lasting=answer.code >= 500,
        where=where(channel),
        expected=f"that {channel.host} takes it",
        found=f"code {answer.code}{_said(channel, answer.text)}",
        remedy={
            "the log-in": "check user and secret: the password is wrong, has run out, or is not for programs",
            "the sender": "check sender: the server does not let this user send as it",
            "the recipients": "check the addresses in `to`",
        }.get(answer.step, "see the mail server's log"),
    )


def _some_refused(channel: Channel, refused: Refused) -> DeliveryError:
    code, text = _worst(refused)
    return DeliveryError(
        f"the channel `{channel.name}` reached {len(channel.to) - len(refused)} of {len(channel.to)} addresses",
        lasting=code >= 500,
        where=where(channel),
        expected="that all addresses are taken",
        found=f"{len(refused)} refused, code {code}{_said(channel, text)}: {one_line(', '.join(sorted(refused)))}",
        remedy="correct or remove these in `to`; the others have the mail, and a copy carries the same Message-ID",
    )


def _said(channel: Channel, text: bytes) -> str:
    """What the server says; of a channel with a secret the numbers only, as some servers send back what they got."""
    words = one_line(text.decode("utf-8", "replace"))
    if channel.secret:
        words = "".join(re.findall(r"^[245]\.\d{1,3}\.\d{1,3}\b", words))
    return f", {shorten(words, 200)}" if words else ""
