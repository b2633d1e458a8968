"""Addresses of the site's pages, of reports and of the runbook: for the site and for messages that link to it."""

from __future__ import annotations

import hashlib
import re

from cvkit.config import Config
from cvkit.storage import packaged
from cvkit.tables import Window

REPORTS = "reports"  # folder of executed notebooks, and address of their pages


def page_name(text: str) -> str:
    """`text` as part of an address: a-z, 0-9, - and _ only; what had to change gets a hash, so that no two meet.

    >>> page_name("02-drift"), page_name("Tor 3/#?")
    ('02-drift', 'tor-3-2b4efacf')
    """
    slug = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-")[:60]
    if slug == text:
        return slug
    return f"{slug}-{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}".lstrip("-")


def report_page(window: Window, notebook: str, source: str) -> str:
    """Address of a report's page below the site, without suffix; `source` is "" where it is about all.

    >>> report_page(Window.day("2026-11-21"), "02-drift", "Tor 3/#?")
    'reports/2026-11-21/02-drift--tor-3-2b4efacf'
    """
    return f"{REPORTS}/{window.label}/{'--'.join(page_name(part) for part in (notebook, source) if part)}"


def runbook(config: Config, page: str) -> str:
    """Where a reader finds a page of the runbook: on the site where `alerts.site` names it, else in the workspace.

    `page` is an address, or a page of the site as a rule names it: `lens.md#clean`, `docs/lens.md#clean` and
    `lens/#clean` are the same one. A workspace without a `runbook.md`, or a procedure, has cvkit's own.
    """
    if page.startswith(("http://", "https://")):
        return page
    name, anchor = named(page)
    if config.alerts.site:
        return f"{config.alerts.site.rstrip('/')}/{name}/{anchor}"
    folders = (config.workspace / "docs", packaged("skeleton") / "docs")  # the site shows cvkit's own too
    docs = next((folder for folder in folders if (folder / f"{name}.md").is_file()), folders[0])
    return f"{docs / name}.md{anchor}"


def named(page: str) -> tuple[str, str]:
    """Name below the site, and `#anchor` or "", of a page as a rule names it.

    >>> named("docs/lens.md#clean"), named("lens/")
    (('lens', '#clean'), ('lens', ''))
    """
    path, mark, anchor = page.partition("#")
    return path.removeprefix("docs/").removesuffix(".md").strip("/"), mark + anchor
