"""Renderings: every field on every channel, Slack's limits, and no text that does something instead of being seen."""

from __future__ import annotations

import json
import re
import runpy
from datetime import timedelta
from email import message_from_bytes
from email.policy import default as modern
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_messages import both, channel, message, notice

from cvkit.errors import DeliveryError
from cvkit.monitoring.channels import alertmanager, mail, page, slack, text, webhook
from cvkit.monitoring.messages import Message, Notice, test_message

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
MAIL = channel("email", host="mail.example", sender="cvkit <cvkit@plant.example>", to=("ops@plant.example",))
BAD = (
    '<!channel> *bold* _it_ `code` <https://evil.example|here> & "quotes" \' {{x}}\nBcc: a@b.example\r\n'
    "\U0001f4a5 \u202e:smile:"
)


class Slack:
    """Reads a payload as Slack does: its limits, and what people see."""

    def __init__(self, payload: dict[str, Any]) -> None:
        assert set(payload) <= {"text", "blocks", "mrkdwn", "unfurl_links", "unfurl_media"}
        assert 0 < len(payload["text"]) <= 40_000
        assert payload["mrkdwn"] is False
        assert 0 < len(payload["blocks"]) <= 50
        self.seen: list[str] = []
        self.raw = [payload["text"]]
        for block in payload["blocks"]:
            getattr(self, block["type"])(block)
        assert sum(map(len, self.raw[1:])) <= 13_200
        for written in self.raw:
            assert not re.search(r"&(?!amp;|lt;|gt;)", written)

    def header(self, block: dict[str, Any]) -> None:
        self.one(block["text"], 150, ("plain_text",))

    def section(self, block: dict[str, Any]) -> None:
        assert 1 <= len(block["fields"]) <= 10
        for part in block["fields"]:
            self.one(part, 2000, ("plain_text", "mrkdwn"))

    def context(self, block: dict[str, Any]) -> None:
        assert 1 <= len(block["elements"]) <= 10
        for part in block["elements"]:
            self.one(part, 2000, ("plain_text",))

    def divider(self, block: dict[str, Any]) -> None:
        assert block == {"type": "divider"}

    def one(self, part: dict[str, Any], limit: int, kinds: tuple[str, ...]) -> None:
        written = part["text"]
        assert part["type"] in kinds
        assert 1 <= len(written.encode("utf-16-le")) // 2 <= limit
        self.raw.append(written)
        if part["type"] == "plain_text":
            assert "<" not in written
            assert ">" not in written
            self.seen.append(unescaped(written))
            return
        label, link = re.fullmatch(r"\*([A-Z][A-Za-z ]+)\*", written), re.fullmatch(r"<(https?://[^<>|\s]+)>", written)
        assert label or link, "markup is for labels and links only"
        self.seen.append((label or link).group(1))  # type: ignore[union-attr]


def unescaped(written: str) -> str:
    return written.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


class Page(HTMLParser):
    """The text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("h2", "th", "td", "p"):
            self.cells.append("")
        assert tag in ("html", "head", "meta", "style", "body", "div", "h2", "table", "tr", "th", "td", "p", "a")
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "href":
                assert (value or "").startswith(("http://", "https://"))

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def renderings(one: Message) -> dict[str, str]:
    """What a reader can find of a message on each channel, as one text each."""
    letter = mail.compose(MAIL, one)
    alerts = [alertmanager.alert(n, n.window_end, timedelta(hours=72)) for n in one.notices]
    return {
        "slack": "\n".join(seen for payload in slack.payloads(one) for seen in Slack(payload).seen),
        "slack's text": "\n".join(unescaped(payload["text"]) for payload in slack.payloads(one)),
        "mail, text": letter.get_body(("plain",)).get_content(),  # type: ignore[union-attr]
        "mail, HTML": "\n".join(Page(letter.get_body(("html",)).get_content()).cells),  # type: ignore[union-attr]
        "alertmanager": "\n".join(v for a in alerts for v in (*a["labels"].values(), *a["annotations"].values())),
    }


def marked() -> tuple[Notice, dict[str, str]]:
    """A notice whose every text field holds a word of its own, and these words and numbers by field."""
    words = {
        name: f"mark-{name.replace('_', '-')}"
        for name, field in Notice.model_fields.items()
        if field.annotation is str and name != "event"
    }
    numbers = {"value": 31.25, "low": 30.5, "high": 32.75, "n": 4321, "returns": 7}
    one = notice(**words, **numbers, details=("mark-detail-1", "mark-detail-2"))
    return one, {**words, "details 1": "mark-detail-1", "details 2": "mark-detail-2"}


@pytest.mark.parametrize("event", ["fired", "worsened", "repeated", "resolved", "test"])
def test_every_field_reaches_every_channel(event: str) -> None:
    one, words = marked()
    over = one.window_end + timedelta(hours=5, minutes=7)
    one = one.model_copy(update={"event": event, "until": over})
    words |= {"value": "31.25", "low": "30.5", "high": "32.75", "n": "4,321", "returns": "7 times"}
    words |= {"start": "2026-11-20 00:00 UTC", "end": "2026-11-21 00:00 UTC", "since": "2026-11-18 00:00 UTC"}
    words |= {"until": "2026-11-21 05:07 UTC", "severity": one.severity, "event": text.EVENTS[one.event]}
    tested = {name for name in Notice.model_fields if name in words} | {"details", "window_start", "window_end"}
    assert tested == set(Notice.model_fields), "a field that is not looked for here"
    for where, shown in renderings(message(one)).items():
        assert not [name for name, word in words.items() if word not in shown], where


def test_the_webhook_carries_the_schema_itself() -> None:
    sent = webhook.payload(both())
    assert sent.pop("schema") == 1
    assert Message.model_validate_json(json.dumps(sent)) == both()


def test_what_the_docs_show_is_what_is_sent() -> None:
    tool = REFERENCE.parents[1] / "tools" / "draw_channels.py"
    for file, content in runpy.run_path(str(tool))["texts"]().items():
        assert file.read_text(encoding="utf-8") == content, f"{file.name}: run tools/draw_channels.py"


def test_the_published_schema_holds_messages_and_asks_for_every_field() -> None:
    published = json.loads((REFERENCE / "message.schema.json").read_text())
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(published)
    checks = jsonschema.Draft202012Validator(published)
    checks.validate(webhook.payload(both()))
    for field in Notice.model_fields:
        lacking = webhook.payload(both())
        del lacking["notices"][0][field]
        assert not checks.is_valid(lacking), f"the schema does not ask for {field}"


anything = st.text(max_size=60) | st.sampled_from(
    [BAD, "", "a" * 4000, "&" * 900, "\U0001f4a5" * 1500, "https://a.example/<x>|y"]
)
names = [name for name, field in Notice.model_fields.items() if field.annotation is str and name != "event"]
notices = st.builds(
    lambda texts, details, event, severity: notice(**texts, details=details, event=event, severity=severity),
    st.fixed_dictionaries(dict.fromkeys(names, anything)),
    st.lists(anything, max_size=3).map(tuple),
    st.sampled_from(list(text.EVENTS)),
    st.sampled_from(["info", "warning", "critical"]),
)


@settings(max_examples=30)
@given(st.lists(notices, min_size=1, max_size=4), st.text(min_size=1, max_size=30))
def test_whatever_the_fields_hold(given_notices: list[Notice], name: str) -> None:
    one = message(*given_notices, name=name)
    shown = [Slack(payload) for payload in slack.payloads(one)]
    labels = [line.label for line in text.lines(one.notices[0])]
    for label in labels:
        assert sum(seen.seen.count(label) for seen in shown) >= len(given_notices), "no line is dropped"
    for seen in shown:
        assert not [part for part in seen.raw if re.search(r"<[!@#]", part)], "nobody is pinged"

    letter = message_from_bytes(mail.compose(MAIL, one).as_bytes(), policy=modern)
    assert letter.keys() == mail_headers(), "no header more, none twice"
    assert letter["To"] == "ops@plant.example"
    assert not letter.defects
    cells = Page(letter.get_body(("html",)).get_content()).cells  # type: ignore[union-attr]
    expected = [
        part
        for n in text.ordered(one)
        for part in (text.headline(n), *(word for line in text.lines(n) for word in (line.label, line.text)))
    ]
    assert [cell.replace("\r\n", "\n").strip() for cell in cells] == [
        part.strip() for part in [*expected, text.footer(one)]
    ]

    for n in one.notices:
        json.dumps(alertmanager.alert(n, n.window_end, timedelta(hours=1)))
    assert webhook.idempotency_key(one).isprintable()
    assert webhook.idempotency_key(one).isascii()


def mail_headers() -> list[str]:
    return list(message_from_bytes(mail.compose(MAIL, message()).as_bytes(), policy=modern).keys())


@settings(max_examples=100)
@given(st.text(max_size=300), st.integers(45, 200))
def test_what_is_shortened_says_so_and_fits(given_text: str, limit: int) -> None:
    short = text.shorten(given_text, limit, slack._length)
    assert slack._length(short) <= limit
    assert short == given_text or "characters left out]" in short


def test_nothing_is_done_instead_of_being_seen() -> None:
    for where, shown in renderings(message(notice(source=BAD, title=BAD))).items():
        assert "\u202e" not in shown or where == "alertmanager", where
        assert "<https://evil.example|here>" in shown, where  # seen, not followed
    assert "\n" not in text.headline(notice(title=BAD))
    letter = mail.compose(MAIL, message(notice(title=BAD)))
    assert letter["Bcc"] is None
    assert "Bcc: a@b.example" in letter["Subject"]


def test_more_notices_than_fit_make_more_posts_and_none_is_lost() -> None:
    many = message(*(notice(title=f"camera {number}", source=f"cam-{number}") for number in range(60)))
    posts = [Slack(payload) for payload in slack.payloads(many)]
    assert len(posts) > 1
    for number in range(60):
        assert sum(f"cam-{number}" in post.seen for post in posts) == 1
    for at, post in enumerate(posts, start=1):
        assert post.seen[-1].endswith(f"message m-20261121-gate-1, post {at} of {len(posts)}")


def test_too_long_a_text_is_cut_but_its_line_stays() -> None:
    (payload,) = slack.payloads(message(notice(cause="x" * 9000, what="y" * 9000)))
    seen = Slack(payload).seen
    assert "characters left out]" in seen[seen.index("Likely cause") + 1]
    assert "x" * 9000 in unescaped(payload["text"]), "the text beside the blocks has it whole"


def test_the_worst_that_lasts_comes_first() -> None:
    mixed = message(
        notice(title="a", severity="critical", event="resolved"),
        notice(title="b", severity="info"),
        notice(title="c", severity="critical"),
    )
    assert [n.title for n in text.ordered(mixed)] == ["c", "b", "a"]
    assert text.subject(mixed) == "[critical, new] c (and 2 more)"


def test_a_mail_keeps_its_name_and_date_over_retries() -> None:
    first, again = (mail.compose(MAIL, both()) for _ in range(2))
    assert first["Message-ID"] == again["Message-ID"]
    assert first["Date"] == again["Date"]
    assert first["Message-ID"] != mail.compose(MAIL, message(name="other"))["Message-ID"]
    assert re.fullmatch(r"<cvkit\.[0-9a-f]{32}@plant\.example>", first["Message-ID"])
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["References"] == mail.compose(MAIL, message(name="other"))["References"], "one alert, one thread"


@pytest.mark.parametrize("bad", ["no address", "a@b\r\nBcc: c@d.example", "", "@", "a@"])
def test_an_address_that_is_none_is_told(bad: str) -> None:
    wrong = channel("email", host="h", sender="a@b.example", to=("ok@b.example",)).model_copy(update={"to": (bad,)})
    with pytest.raises(DeliveryError, match="an address that is none") as told:
        mail.compose(wrong, message())
    assert told.value.lasting


def test_a_test_message_says_that_it_is_one() -> None:
    one = test_message("ops-mail", "bottle-caps", "8c1f0a94be27")
    assert one.id != test_message("other", "bottle-caps", "8c1f0a94be27", one.made).id
    for shown in renderings(one).values():
        assert "Test of the channel ops-mail" in shown


def test_names_of_files_that_are_not_unicode_are_spelled_out() -> None:
    one = message(notice(source="cam-\udcff", details=("\ud800",)), name="\udcff")
    assert (one.id, one.notices[0].source, one.notices[0].details) == ("\\udcff", "cam-\\udcff", ("\\ud800",))
    for shown in renderings(one).values():
        shown.encode()


def test_pages_keep_their_colours_legible() -> None:
    def light(colour: str) -> float:
        parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in page.COLOURS.values():
        assert 1.05 / (light(colour) + 0.05) >= 4.5, "WCAG AA for white letters"
