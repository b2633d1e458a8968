"""The feed of the site: alerts raised and ended, and reports written, as RSS 2.0."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape

from cvkit.documentation.site.report_pages import Report, short
from cvkit.documentation.site.situation import Situation
from cvkit.monitoring import notices

FILE = "feed.xml"
MOST = 60  # items, the newest
NOWHERE = "about:blank"  # RSS asks for a link of the feed, with a scheme
RAISED = {"fired": "raised", "resolved": "over"}  # actions of the log that are told
# What XML 1.0 has no way to write, not even as a reference.
UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(situation: Situation, url: Callable[[str], str], base: str) -> str:
    """The feed; `url` gives where a page is below `base`, which is "" where nobody said where the site is.

    Without `base` there are no links, for readers would not know from where a relative one is seen.
    """
    items = sorted([*_alerts(situation), *_reports(situation)], reverse=True)[:MOST]
    told = "".join(_item(*item, url=url, base=base) for item in items)
    home = _text(base or NOWHERE)
    own = f'<atom:link href="{_text(base + FILE)}" rel="self" type="application/rss+xml"/>' if base else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel>'
        f"<title>{_text(situation.model)}</title><link>{home}</link>{own}"
        f"<description>Alerts and reports about {_text(situation.model)}</description>"
        f"<lastBuildDate>{format_datetime(situation.made.astimezone(UTC), usegmt=True)}</lastBuildDate>"
        f"{told}</channel></rss>\n"
    )


def head_link(href: str) -> str:
    """What names the feed in the head of a page."""
    return f'<link rel="alternate" type="application/rss+xml" title="Alerts and reports" href="{_text(href)}">'


Item = tuple[datetime, str, str, str, str]  # when, name that never changes, title, words, address of the page


def _alerts(situation: Situation) -> Iterator[Item]:
    causes = {one.fingerprint: notices.matter(one) for one in situation.alerts}
    for row in situation.log.to_dict("records"):
        if (word := RAISED.get(str(row["action"]))) is None:
            continue
        about = str(row["source"]) or situation.model
        title = f"{row['severity']} alert {word}: {about}, {row['rule']}"
        words = str(row["why"]) or causes.get(str(row["fingerprint"]), "")
        yield _utc(row["time"]), f"alert-{row['id']}", title, words, f"alerts#{row['fingerprint']}"


def _reports(situation: Situation) -> Iterator[Item]:
    for one in situation.reports:
        when = one.finished or one.started
        if when is not None and one.address:
            yield _utc(when), f"report-{one.address}-{when:%Y%m%dT%H%M%S}", _title(one), one.error, one.address


def _title(one: Report) -> str:
    about = f", {one.source}" if one.source else ""
    return f"report {'written' if one.outcome == 'done' else one.outcome}: {one.notebook}{about}, {short(one.window)}"


def _item(
    when: datetime, name: str, title: str, words: str, address: str, *, url: Callable[[str], str], base: str
) -> str:
    page, mark, anchor = address.partition("#")
    link = f"<link>{_text(base + url(page) + mark + anchor)}</link>" if base else ""
    return (
        f"<item><title>{_text(title)}</title>{link}"
        f"<description>{_text(words)}</description>"
        f'<guid isPermaLink="false">{_text(name)}</guid><pubDate>{format_datetime(when, usegmt=True)}</pubDate></item>'
    )


def _utc(moment: datetime) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _text(words: str) -> str:
    return escape(UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", words))
