"""HTML out of notebooks, of which nothing runs, nothing asks another host, and nothing poses as a part of the page."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nh3

TAGS = {
    "a", "abbr", "b", "big", "blockquote", "br", "caption", "center", "cite", "code", "col", "colgroup", "dd", "del",
    "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "i", "img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp", "small", "span", "strike", "strong",
    "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var",
}  # fmt: skip
CELL = {"align", "colspan", "headers", "rowspan", "scope", "valign"}
ATTRIBUTES = {
    "*": {"dir", "id", "lang", "style", "title"},
    "a": {"href", "name"},
    "col": {"span", "width"},
    "details": {"open"},
    "font": {"color"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"start"},
    "table": {"border"},
    **dict.fromkeys(("td", "th"), CELL),
}
CLASSES = {"table": {"dataframe"}}  # no others: the theme's scripts and styles go by them
SILENT = {"math", "noscript", "script", "style", "svg", "template", "textarea", "title", "xmp"}  # content goes too
STYLES = {
    "background-color", "border", "border-bottom", "border-collapse", "border-left", "border-right", "border-top",
    "color", "font-family", "font-size", "font-style", "font-weight", "height", "max-height", "max-width", "min-width",
    "overflow", "padding", "text-align", "text-decoration", "vertical-align", "white-space", "width",
}  # fmt: skip
SCHEMES = {"attachment", "data", "http", "https", "mailto"}
PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*", re.IGNORECASE)
UNSEEN = re.compile(r"[\x00-\x20]")  # what browsers leave out of addresses


def cleaned(html: str) -> str:
    """What is on the lists above of the HTML of a cell or output; nothing else."""
    return _cleaner().clean(html)


def elsewhere(address: str) -> bool:
    """Whether a browser could take an address for one of another host, or of another scheme."""
    bare = UNSEEN.sub("", address).replace("\\", "/")
    return ":" in bare or bare.startswith("//")


@cache
def _cleaner() -> nh3.Cleaner:
    import nh3

    return nh3.Cleaner(
        tags=TAGS, attributes=ATTRIBUTES, allowed_classes=CLASSES, clean_content_tags=SILENT,
        url_schemes=SCHEMES, link_rel=None, strip_comments=True, filter_style_properties=STYLES,
        attribute_filter=_attribute,
    )  # fmt: skip


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "src" and elsewhere(value) and not (PICTURE.fullmatch(value) or value.startswith("attachment:")):
        return None
    if name == "href" and UNSEEN.sub("", value).lower().startswith(("data:", "attachment:")):
        return None
    if name in ("id", "name") and value.startswith("__"):
        return None  # names that the theme's own parts have
    return value
