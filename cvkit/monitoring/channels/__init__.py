"""Channels (being merged)."""

from cvkit.config.alerts import Channel
from cvkit.errors import CvkitError
from cvkit.monitoring.messages import Message


class DeliveryError(CvkitError):
    """A message could not be delivered."""

    lasting = False
    retry_after_s: float | None = None


def send(channel: Channel, message: Message) -> None:
    """Deliver or raise DeliveryError."""
    raise DeliveryError("not there yet")
