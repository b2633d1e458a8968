"""A webhook of your own: the message as JSON, by the published schema."""

from __future__ import annotations

import base64
import json
from typing import Any

from cvkit.config.alerts import Channel
from cvkit.monitoring.channels import http
from cvkit.monitoring.channels.secrets import Secret, address, missing, of_one_line, read_secret
from cvkit.monitoring.messages import Message

SCHEMA = 1  # number of the schema; it changes when a field goes or means something else, not when one is added


def deliver(channel: Channel, message: Message) -> None:
    """Post the message; any status of 200 to 299 means that it has arrived."""
    body = json.dumps(payload(message)).encode()
    key = {"Idempotency-Key": idempotency_key(message)}
    reply = http.ask(channel, http.Call(target(channel), body, key, credentials(channel)))
    if not reply.good:
        raise http.refused(channel, reply)


def payload(message: Message) -> dict[str, Any]:
    """What is posted."""
    return {"schema": SCHEMA, **message.model_dump(mode="json")}


def schema() -> dict[str, Any]:
    """The JSON schema of what is posted."""
    made = Message.model_json_schema(mode="serialization")
    number = {"const": SCHEMA, "type": "integer", "description": "Number of this schema."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "A message of cvkit",
        "properties": {"schema": number, **made["properties"]},
        "required": ["schema", *made["required"]],
    }


def idempotency_key(message: Message) -> str:
    """The message's id as a header can carry it."""
    return json.dumps(message.id)[1:-1]


def target(channel: Channel) -> Secret:
    """Where to post to: `url`, or the secret where that is the address itself."""
    return address(channel, Secret(channel.url) if channel.url else read_secret(channel))


def credentials(channel: Channel) -> Secret:
    """The header Authorization: a bearer token, or name and password where the channel names a user."""
    if not (channel.secret and channel.url):
        return Secret("")
    secret = read_secret(channel)
    if channel.user:
        return Secret("Basic " + base64.b64encode(f"{channel.user}:{secret.value}".encode()).decode())
    if not of_one_line(secret):
        raise missing(channel, "put one token there: on one line, without blanks and letters other than ASCII")
    return Secret(f"Bearer {secret.value}")
