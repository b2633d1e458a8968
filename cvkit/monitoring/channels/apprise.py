"""Apprise: all other channels, as an optional extra.

https://appriseit.com
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

from cvkit.config.alerts import Channel
from cvkit.errors import DeliveryError
from cvkit.monitoring.channels.deadline import Watch, within
from cvkit.monitoring.channels.secrets import Secret, addresses, missing, read_secret, where
from cvkit.monitoring.channels.text import plain, subject
from cvkit.monitoring.messages import Message

LOGGERS = ("apprise", "urllib3", "urllib3.connectionpool", "urllib3.util.retry", "requests")  # they write addresses
UNREADABLE = -1  # one of the addresses is none that Apprise knows


def deliver(channel: Channel, message: Message) -> None:
    """Hand the message, as plain text, to all of Apprise's addresses in the channel's secret, one after another.

    Apprise cannot be stopped: what it has begun when time is up goes on until its own time-outs.
    """
    if find_spec("apprise") is None:
        raise DeliveryError(
            f"the channel `{channel.name}` needs Apprise, which is not installed",
            lasting=True,
            where=where(channel),
            remedy="install cvkit with it: pip install 'cvkit[apprise]'",
        )
    targets = addresses(read_secret(channel))
    try:
        failed = within(channel.timeout_s, partial(_notify, message, _services(targets, channel.timeout_s)))
    except TimeoutError:
        failed = None
    if failed is None:
        raise _error(channel, f"time was up after {channel.timeout_s:g} s", "raise timeout_s; it is tried again")
    if failed == UNREADABLE:
        raise missing(channel, "put Apprise's addresses there, one a line, such as ntfys://ntfy.example/topic")
    if failed:
        told = f"{failed} of {len(targets)} addresses failed, and Apprise does not say why"
        raise _error(channel, told, "try them with the command `apprise`; all are tried again")


def _error(channel: Channel, found: str, remedy: str) -> DeliveryError:
    return DeliveryError(
        f"the channel `{channel.name}` was not reached by Apprise",
        lasting=False,
        where=where(channel),
        expected="that Apprise delivers to every address",
        found=found,
        remedy=remedy,
    )


def _services(targets: tuple[Secret, ...], seconds: float) -> list[Any]:
    """What Apprise makes of the addresses, None for one that it does not know; this may take seconds the first time."""
    with _silent():
        from apprise import Apprise, AppriseAsset

        asset = AppriseAsset(secure_logging=True, storage_mode="memory", async_mode=False)
        services = [Apprise.instantiate(target.value, asset=asset, suppress_exceptions=True) for target in targets]
    for service in filter(None, services):
        service.socket_connect_timeout = service.socket_read_timeout = seconds
        service.redirects = False
    return services


def _notify(message: Message, services: list[Any], _watch: Watch) -> int:
    """How many addresses failed; UNREADABLE where one is none, and then nothing is sent."""
    if not services or None in services:
        return UNREADABLE
    with _silent():
        return sum(not _one(service, subject(message), plain(message)) for service in services)


def _one(service: Any, title: str, body: str) -> bool:
    from apprise import Apprise, NotifyFormat

    sender = Apprise()
    sender.add(service)
    return bool(sender.notify(body=body, title=title, notify_type="info", body_format=NotifyFormat.TEXT))


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the loggers quiet that write addresses with their tokens."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    nothing = _Nothing()  # one for each call, as several may be under way
    for logger in loggers:
        logger.addFilter(nothing)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(nothing)


class _Nothing(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return False
