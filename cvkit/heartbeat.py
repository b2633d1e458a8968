"""The heartbeat: signals to a dead man's switch elsewhere, which tells people when they stay away.

Nothing here ends a run: a signal that is not taken is said in the log, and its staying away is what the switch is for.
"""

from __future__ import annotations

import logging
from typing import Literal

from cvkit.config import Config
from cvkit.config.alerts import Channel
from cvkit.errors import DeliveryError
from cvkit.monitoring.channels.http import Call, ask, refused
from cvkit.monitoring.channels.secrets import Secret, address, read_secret

log = logging.getLogger(__name__)

Signal = Literal["start", "done", "fail"]
PATHS: dict[Signal, str] = {"start": "/start", "done": "", "fail": "/fail"}  # as healthchecks.io has them


def beat(config: Config, signal: Signal, words: str = "") -> bool:
    """Send a signal, if `cvkit.yml` names a switch that knows it; whether it was taken. Raises nothing.

    `words` say what ran, without texts of errors: these may name files, and go to another company's machine.
    """
    settings = config.heartbeat
    if not settings.wanted or (settings.kind == "plain" and signal != "done"):
        return False
    channel = Channel(
        name="heartbeat", kind="webhook", url=settings.url, secret=settings.secret, timeout_s=settings.timeout_s
    )
    try:
        _send(config, channel, signal, words)
    except DeliveryError as error:
        told = " ".join(f"{error.problem} {error.found}; {error.remedy}".split())
        log.warning("the heartbeat was not taken, and whoever waits for it will be told so: %s", told)
        return False
    return True


def _send(config: Config, channel: Channel, signal: Signal, words: str) -> None:
    """Raises DeliveryError where it is not taken."""
    whole = address(channel, read_secret(channel) if channel.secret else Secret(channel.url))
    plain = config.heartbeat.kind == "plain"
    place = Secret(whole.value if plain else whole.value.rstrip("/") + PATHS[signal], whole.whence)
    text = None if plain else words.encode("utf-8", "backslashreplace")
    reply = ask(channel, Call(place, text, {"Content-Type": "text/plain; charset=utf-8"}))
    if not reply.good:
        raise refused(channel, reply)
