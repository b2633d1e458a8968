"""Pages that a workspace's site has under *Help*: cvkit's own documentation, as far as people on duty need it.

There is one source, `docs/` of the repository, which travels with the package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cvkit.documentation.site import python_words
from cvkit.storage import PACKAGE, packaged

FOLDER = "help"  # below the site
PAGES = (  # in the order in which they are read
    "tutorial.md", "how-to/read-a-verdict.md", "how-to/alerts.md", "how-to/labels.md", "how-to/label-next.md",
    "how-to/decide.md", "how-to/versions.md", "how-to/documents.md", "reference/commands.md", "reference/tables.md",
    "reference/glossary.md", "reference/python.md", "community.md",
)  # fmt: skip
LINK = re.compile(r"\[([^\]]+)\]\(([^():\s]+\.md)(#[^)\s]*)?\)")
MODULE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
SNIPPET = re.compile(r'^--8<-- "docs/([^"]+)"$', re.MULTILINE)


def pages() -> Iterator[tuple[str, str]]:
    """Address below the site, such as `help/glossary.md`, and Markdown of each page."""
    docs = packaged("docs")
    for name in PAGES:
        yield address(name), _here((docs / name).read_text(encoding="utf-8"), docs)


def address(name: str) -> str:
    """Where a page of the documentation is on the site.

    >>> address("reference/glossary.md")
    'help/glossary.md'
    """
    return f"{FOLDER}/{PurePosixPath(name).name}"


def _here(text: str, docs: Path) -> str:
    """A page whose links lead to the pages beside it; of what the site does not have, the words remain."""
    beside = {PurePosixPath(name).name for name in PAGES}

    def link(match: re.Match[str]) -> str:
        words, name, anchor = match[1], PurePosixPath(match[2]).name, match[3] or ""
        return f"[{words}]({name}{anchor})" if name in beside else words

    text = SNIPPET.sub(lambda match: (docs / match[1]).read_text(encoding="utf-8").rstrip("\n"), text)
    return MODULE.sub(lambda match: python_words.module(match[1], PACKAGE), LINK.sub(link, text))
