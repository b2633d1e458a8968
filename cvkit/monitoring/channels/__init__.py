"""Channels: a message reaches a person, or an error says why not.

`send` is all that others need. Each kind of channel has a room of its own; `text` holds what a notice says, line by
line, for all of them, `http` the one way to ask a server, `secrets` what must not be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cvkit.config.alerts import Channel
from cvkit.errors import DeliveryError
from cvkit.monitoring.channels import alertmanager, apprise, mail, slack, webhook
from cvkit.monitoring.messages import Message

__all__ = ["DeliveryError", "send"]

KINDS: Mapping[str, Callable[[Channel, Message], None]] = {
    "slack": slack.deliver,
    "email": mail.deliver,
    "webhook": webhook.deliver,
    "alertmanager": alertmanager.deliver,
    "apprise": apprise.deliver,
}


def send(channel: Channel, message: Message) -> None:
    """Deliver `message` to `channel`, once.

    Every attempt at a post ends within `channel.timeout_s`, whatever the other side does. Nothing is tried again in
    here; sent again, a message carries the same id, so that a receiver can drop the copy.

    Raises
    ------
    DeliveryError
        What went wrong, whether a person must mend it (`lasting`), and how long the other side asks to be left alone
        (`retry_after_s`). No secret and no part of a secret address is in its words, nor in an error it came from.

    """
    KINDS[channel.kind](channel, message)
