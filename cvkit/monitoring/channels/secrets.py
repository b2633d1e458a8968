"""Secrets: read at the time of sending, from where `cvkit.yml` says they lie, and never shown."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from cvkit.addresses import is_loopback
from cvkit.config.alerts import Channel
from cvkit.errors import DeliveryError
from cvkit.monitoring.channels.text import is_address

LONGEST = 65_536  # bytes of a secret's file


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that no text, log or traceback shows: only `value` holds it."""

    value: str = field(repr=False)
    whence: str = ""


def read_secret(channel: Channel) -> Secret:
    """The channel's secret; an empty one where it has none.

    Raises DeliveryError where it is missing, empty, or holds letters that no header can carry.
    """
    kind, _, name = channel.secret.partition(":")
    if not kind:
        return Secret("")
    value = (os.environ.get(name) if kind == "env" else _read(Path(name).expanduser())) or ""
    if not value.strip():
        raise missing(channel, f"set the variable {name}" if kind == "env" else f"write it into the file {name}")
    return Secret(value.strip(), channel.secret)


def addresses(secret: Secret) -> tuple[Secret, ...]:
    """A secret of several addresses, one a line; lines that begin with # are notes."""
    found = (line.strip() for line in secret.value.splitlines())
    return tuple(Secret(line, secret.whence) for line in found if line and not line.startswith("#"))


def of_one_line(secret: Secret) -> bool:
    """Whether it can stand in a header or an address: of ASCII, without blanks."""
    return secret.value.isascii() and secret.value.isprintable() and " " not in secret.value


def address(channel: Channel, secret: Secret) -> Secret:
    """`secret`, which is the address to send to.

    Raises DeliveryError where it is none, or where a secret one leads over the network in the clear.
    """
    if not (of_one_line(secret) and is_address(secret.value)):
        raise missing(channel, "put the whole address there, on one line, with %-signs for special letters")
    if secret.whence and not secret.value.startswith("https://") and not is_loopback(secret.value):
        raise missing(channel, "put an address there that begins with https://: a secret is not sent in the clear")
    return secret


def missing(channel: Channel, remedy: str) -> DeliveryError:
    """The error of a secret that is not there, or is of no use."""
    kind, place = ("secret", channel.secret) if channel.secret else ("address", "`url`")
    return DeliveryError(
        f"the {kind} of the channel `{channel.name}` is missing or cannot be used",
        lasting=True,
        where=where(channel),
        expected=f"the {kind} in {place}",
        remedy=remedy,
    )


def where(channel: Channel) -> str:
    """Where a channel's settings stand."""
    return f"cvkit.yml, alerts.channels, {channel.name} ({channel.kind})"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
