"""Slack: an incoming webhook, Block Kit, Slack's limits.

What comes from the data stands in `plain_text`, where no markup is read, with `& < >` escaped: no name of a camera can
ping anybody or look like something else. Only labels and links are `mrkdwn`.

Limits: https://docs.slack.dev/reference/block-kit/blocks; escaping: https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from cvkit.config.alerts import Channel
from cvkit.errors import DeliveryError
from cvkit.monitoring.channels import http
from cvkit.monitoring.channels.secrets import address, read_secret, where
from cvkit.monitoring.channels.text import Line, footer, headline, is_address, lines, ordered, plain, shorten, subject
from cvkit.monitoring.messages import Message, Notice

BLOCKS = 50  # in one post
HEADER = 150  # characters of a header
FIELDS = 10  # in one section
FIELD = 2000  # characters of a field
TEXT = 39_000  # characters of the text beside the blocks; Slack cuts at 40,000
POST = 12_000  # characters of all blocks of a post; Slack refuses somewhere above 13,000
VALUES = (FIELD - 100, 350)  # characters a value may take: the second where a notice would not fit into one post
PAUSE_S = 1.0  # between two posts: Slack takes one a second

Block = dict[str, Any]
SIGNS = {"critical": "\U0001f534", "warning": "\U0001f7e0", "info": "\U0001f535"}  # the word stands beside it

ANSWERS: Mapping[str, tuple[bool, str]] = {  # what Slack says: whether it lasts, and what to do
    "invalid_payload": (True, "report this: Slack did not understand what cvkit wrote"),
    "invalid_blocks": (True, "report this: Slack did not understand what cvkit wrote"),
    "no_text": (True, "report this: Slack found no text in what cvkit wrote"),
    "channel_not_found": (True, "make a new webhook: its Slack channel is gone"),
    "channel_is_archived": (True, "unarchive the Slack channel, or make a webhook for another one"),
    "action_prohibited": (True, "ask the workspace's administrator: posting is restricted"),
    "posting_to_general_channel_denied": (True, "make a webhook for another Slack channel"),
    "user_not_found": (True, "make a new webhook: the person it belongs to is gone"),
    "invalid_token": (True, "make a new webhook: the address in the secret is wrong or was revoked"),
    "no_service": (True, "make a new webhook: this one is switched off or removed"),
    "no_service_id": (True, "check the secret: the address is not whole"),
    "no_team": (True, "check the secret: its Slack workspace does not exist"),
    "team_disabled": (True, "the Slack workspace is switched off: choose another"),
    "no_active_hooks": (True, "make a new webhook: this one is switched off"),
    "rollup_error": (False, "nothing: Slack failed, it is tried again"),
}


def deliver(channel: Channel, message: Message) -> None:
    """Post the message; in several posts, one a second, where it has more notices than fit into one."""
    target = address(channel, read_secret(channel))
    posts = payloads(message)
    for number, payload in enumerate(posts):
        if number:
            time.sleep(PAUSE_S)
        reply = http.ask(channel, http.Call(target, json.dumps(payload).encode()))
        _check(channel, reply, f"; {number} of its {len(posts)} posts had arrived" if number else "")


def payloads(message: Message) -> list[dict[str, Any]]:
    """What is posted: whole notices, as many to a post as fit."""
    groups = list(_groups(ordered(message)))
    return [_payload(message, group, f"post {i} of {len(groups)}") for i, group in enumerate(groups, start=1)]


def _groups(notices: Sequence[Notice]) -> Iterator[list[Notice]]:
    group: list[Notice] = []
    blocks: list[Block] = []
    for notice in notices:
        more = _blocks(notice)
        if group and (len(blocks) + len(more) > BLOCKS - 1 or size(blocks) + size(more) > POST):
            yield group
            group, blocks = [], []
        group, blocks = [*group, notice], [*blocks, *more]
    yield group


def _payload(message: Message, notices: list[Notice], place: str) -> dict[str, Any]:
    part = message.model_copy(update={"notices": tuple(notices)})
    note = _literal(shorten(f"{footer(message)}, {place}", 300, _length))
    text = shorten(f"{subject(part)}\n\n{plain(part)}", TEXT, _length)
    return {
        "text": escape(text),
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            *(block for notice in notices for block in _blocks(notice)),
            {"type": "context", "elements": [note]},
        ],
    }


def _blocks(notice: Notice) -> list[Block]:
    """A header, then the lines as two columns: label, value."""
    for limit in VALUES:
        pairs = [part for line in lines(notice) for part in (_label(line), _value(line, limit))]
        sections: list[Block] = [
            {"type": "section", "fields": pairs[at : at + FIELDS]} for at in range(0, len(pairs), FIELDS)
        ]
        if size(sections) <= POST - 1000:
            break
    sign = {"resolved": "\u2705", "test": "\U0001f9ea"}.get(notice.event, SIGNS[notice.severity])
    title = shorten(f"{sign} {headline(notice)}", HEADER, _length)
    return [{"type": "header", "text": _literal(title)}, *sections, {"type": "divider"}]


def _label(line: Line) -> Block:
    return {"type": "mrkdwn", "text": f"*{line.label}*"}


def _value(line: Line, limit: int) -> Block:
    link = quote(line.text, safe="/:?#[]@!$&'()*+,;=%~.-_") if is_address(line.text) else ""
    if link and _length(f"<{link}>") <= limit:
        return {"type": "mrkdwn", "text": f"<{escape(link)}>", "verbatim": True}
    return _literal(shorten(line.text, limit, _length))


def _literal(text: str) -> Block:
    return {"type": "plain_text", "text": escape(text), "emoji": False}


def escape(text: str) -> str:
    """`text` with the three letters written out that Slack reads as markup.

    >>> escape("<!channel> a & b")
    '&lt;!channel&gt; a &amp; b'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def size(blocks: list[Block]) -> int:
    """Characters of all texts in `blocks`, as Slack counts them."""
    texts = [part for block in blocks for part in (*block.get("fields", ()), block.get("text", {}))]
    return sum(len(part.get("text", "").encode("utf-16-le")) // 2 for part in texts)


def _length(text: str) -> int:
    """Characters as the strictest count has them: escaped, and in units of UTF-16."""
    return len(escape(text).encode("utf-16-le")) // 2


def _check(channel: Channel, reply: http.Reply, so_far: str) -> None:
    word = _word(reply)
    lasting, remedy = ANSWERS.get(word, (False, ""))
    if not reply.good:
        error = http.refused(channel, reply, words=f"{word}{so_far}".removeprefix("; "), remedy=remedy)
        error.lasting = lasting if remedy else error.lasting
        raise error
    if word != "ok":
        raise DeliveryError(
            f"the channel `{channel.name}` was answered by something else than Slack",
            lasting=True,
            where=where(channel),
            expected="the answer `ok`",
            found=f"a status of {reply.status} without it{so_far}",
            remedy="check the secret's address, and whether a proxy stands in the way",
        )


def _word(reply: http.Reply) -> str:
    """What Slack says, if it is one of its own words: another text may hold what was sent."""
    said = reply.body[:100].decode("utf-8", "replace").strip()
    return said if said in ANSWERS or said == "ok" else ""
