"""Report pages out of one page that the site tool writes: it stands for all of them, and slots in it are filled.

So the site tool's work does not grow with the number of reports, and no report can show an old theme, navigation or
style: every build fills the slots of a page that was made in the same build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cvkit.monitoring.pages import REPORTS

ADDRESS = f"{REPORTS}/cvkit-window/cvkit-report"  # as deep below the site as every report
TITLE, CONTENT = "cvkit-slot-title", "<h1>cvkit-slot-content</h1>"  # with a heading, so that no theme adds one
ENTRIES = [(f"cvkit-slot-anchor-{n}", f"cvkit-slot-words-{n}") for n in range(3)]  # of the table of contents
SLOTS = re.compile("|".join(map(re.escape, (ADDRESS, TITLE, CONTENT, *ENTRIES[0]))))
ENTRY_SLOTS = re.compile("cvkit-slot-(?:anchor|words)-[0-9]")


@dataclass(frozen=True, slots=True)
class Shell:
    """A page with slots, in the order they come in: literal HTML, the name of a slot, or a table of contents."""

    parts: tuple[str | Contents, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """How the theme writes the entries of a table of contents: all but the last, and the last."""

    entry: str
    last: str


def read(page: str) -> Shell:
    """The slots of a page that the site tool wrote; a theme without table of contents has none."""
    parts: list[str | Contents] = []
    while (second := page.find(ENTRIES[1][0])) >= 0:
        first = page.rfind(ENTRIES[0][0], 0, second)  # the last one: Material's skip link names it too
        third = page.find(ENTRIES[2][0], second)
        next_one = page.find(ENTRIES[1][0], third)
        end = max(page.rfind(slot, third, next_one if next_one >= 0 else None) + len(slot) for slot in ENTRIES[2])
        parts += [*_slots(page[:first]), Contents(page[first:second], page[third:end])]
        page = page[end:]
    return Shell((*parts, *_slots(page)))


def _slots(html: str) -> Iterator[str]:
    place = 0
    for match in SLOTS.finditer(html):
        yield from (html[place : match.start()], match[0])
        place = match.end()
    yield html[place:]


def fill(shell: Shell, address: str, title: str, content: str, headings: Sequence[tuple[str, str]]) -> str:
    """A report's page: its address below the site, title, HTML and at least one heading (anchor, words), as HTML."""
    slots = {ADDRESS: address, TITLE: title, CONTENT: content, **dict(zip(ENTRIES[0], headings[0], strict=True))}
    return "".join(
        slots.get(part, part) if isinstance(part, str) else "".join(_entries(part, headings)) for part in shell.parts
    )


def listed(site_map: str, addresses: Iterable[str]) -> str:
    """A sitemap in which every report stands where the one page stood."""

    def each(match: re.Match[str]) -> str:
        return "".join(match[0].replace(ADDRESS, address) for address in addresses)

    return re.sub(rf"\s*<url>(?:(?!</url>).)*{re.escape(ADDRESS)}.*?</url>", each, site_map, flags=re.DOTALL)


def _entries(contents: Contents, headings: Sequence[tuple[str, str]]) -> Iterator[str]:
    for number, heading in enumerate(headings, start=1):
        html, slots = (contents.last, ENTRIES[2]) if number == len(headings) else (contents.entry, ENTRIES[0])
        values = dict(zip(slots, heading, strict=True))
        yield ENTRY_SLOTS.sub(lambda match, values=values: values[match[0]], html)  # type: ignore[misc]
