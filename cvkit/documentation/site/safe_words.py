"""Pages of documents: the marks of a document become words, and people's words appear as text, of which nothing runs.

Raw HTML and attribute lists are no part of Markdown here, and what Markdown makes of the rest is held to a list.
"""

from __future__ import annotations

import re
from html import escape, unescape
from textwrap import indent

import nh3
from markdown import Markdown, markdown
from markdown.extensions import Extension

from cvkit.documentation import front_matter, marked
from cvkit.documentation.marked import Part
from cvkit.documentation.site.cleaning import elsewhere
from cvkit.documentation.site.report_pages import TITLE_BRACKETS
from cvkit.errors import DataError

PAGES = re.compile(r"model-card\.md|(documents|versions)/.*\.md")  # below docs/
TAGS = {
    "a", "abbr", "blockquote", "br", "code", "dd", "del", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6",
    "hr", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "table", "tbody",
    "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "*": {"class", "id", "title"},
    "a": {"href", "name"},
    "img": {"alt", "src"},
    "ol": {"start"},
    **{cell: {"style"} for cell in ("td", "th")},
}
SCHEMES = {"http", "https", "mailto"}
COMMENT = re.compile(r"<!-- guide: (.*?) -->", re.DOTALL)
EDITED = "Changed by hand: `cvkit card fill` writes what the records say, and keeps this aside."
KEPT = "These facts were changed by hand, and are kept aside: move them into words of yours, or delete them."


class PlainWords(Extension):
    """Markdown without raw HTML and attribute lists, while `on`."""

    on = False

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name is Markdown's
        """Take both out of what Markdown does."""
        if self.on:
            md.preprocessors.deregister("html_block", strict=False)
            md.inlinePatterns.deregister("html", strict=False)
            md.treeprocessors.deregister("attr_list", strict=False)


def shown(text: str, where: str) -> str:
    """A document as Markdown for readers: without marks; what is to do, changed by hand or kept aside is said so."""
    try:
        parts = marked.parse(text, where)
    except DataError as damage:
        return f"{_box('danger', 'The marks of this document are damaged', str(damage))}\n{text}"
    return "".join(map(_shown, parts))


def rendered(text: str, where: str) -> str:
    """A document as the site shows it, as HTML whose headings begin at the third level."""
    plain = PlainWords()
    plain.on = True
    body = shown(front_matter.split(text, where)[1], where)
    lower = {"toc": {"baselevel": 3}}
    return cleaned(
        markdown(body, extensions=["admonition", "fenced_code", "tables", "toc", plain], extension_configs=lower)
    )


def cleaned(html: str) -> str:
    """What is on the lists above of the HTML of a page; nothing else."""
    return nh3.clean(
        html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel=None, strip_comments=True,
        filter_style_properties={"text-align"}, attribute_filter=_attribute,
    )  # fmt: skip


def harmless(title: str) -> str:
    """A title as HTML that stays harmless where a theme takes the escapes back."""
    return escape(unescape(title).translate(TITLE_BRACKETS))


def _attribute(tag: str, name: str, value: str) -> str | None:
    if (name == "src" and elsewhere(value)) or value.startswith("//"):
        return None  # pictures of other hosts are not asked for
    if name in ("id", "name") and value.startswith("__"):
        return None  # names that the theme's own parts have
    return value


def _shown(part: Part) -> str:
    if part.kind == "facts":
        told = part.body.strip() or "To be filled in: `cvkit card fill`."
        return f"\n{_box('warning', part.name, EDITED) if part.edited else ''}\n{told}\n\n"
    if part.kind == "people" and part.name.startswith("kept-"):
        return "\n" + _box("warning", part.name, f"{KEPT}\n\n{part.body.strip()}")
    if part.kind == "people" and not part.answered:
        guide = COMMENT.search(part.guide)
        return "\n" + _box("note", marked.TODO, guide[1] if guide else "")
    return f"\n{part.body}\n"


def _box(kind: str, title: str, words: str) -> str:
    return f'!!! {kind} "{title}"\n\n{indent(words, "    ")}\n\n'
