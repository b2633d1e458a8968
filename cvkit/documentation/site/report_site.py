"""The reports' pages, written into a site that the site tool has made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mkdocs.utils import get_relative_url

from cvkit.documentation.site import rendering, report_pages, shell
from cvkit.documentation.site.rendering import Fragment
from cvkit.documentation.site.report_pages import OUTCOMES, Report
from cvkit.documentation.site.shell import ADDRESS, Shell
from cvkit.storage import storage_error

GONE = Fragment("", (), "", '<p class="cvkit-cut">The notebook was deleted while this site was being made.</p>')


@dataclass(frozen=True, slots=True)
class Place:
    """Where pages go, as the site tool has it for the page that stands for all reports."""

    site: Path
    file: str  # below the site
    url: str
    offered: bool  # whether the executed notebooks lie beside their pages

    def url_of(self, address: str) -> str:
        """Address below the site of a report's page, as a browser asks for it."""
        return self.url.replace(ADDRESS, address)


def write(page: Shell, reports: Sequence[Report], place: Place, kept: Path) -> list[dict[str, str]]:
    """Write a page for each report, and its notebook beside it; returns what a search is to know of them.

    `kept` is the folder of rendered notebooks; what nobody needs any more is deleted there. Raises StorageError.
    """
    beside = report_pages.neighbours(reports)
    try:
        found = [_write(page, report, beside[report.address], place, kept) for report in reports]
        rendering.forget(kept, {report.content for report in reports})
    except OSError as error:
        raise storage_error(error) from error
    return found


def _write(
    page: Shell, report: Report, beside: tuple[Report | None, Report | None], place: Place, kept: Path
) -> dict[str, str]:
    url = place.url_of(report.address)
    file = place.site / place.file.replace(ADDRESS, report.address)
    file.parent.mkdir(parents=True, exist_ok=True)

    def link(address: str) -> str:
        return get_relative_url(place.url_of(address), url)

    fragment = _fragment(report, kept)
    href = quote(report.file.name) if place.offered and _offer(report.file, file.parent) else ""
    content = report_pages.full_page(report, fragment, beside, link, href)
    headings = [(report_pages.TOP, fragment.title or report.title), *fragment.headings]
    html = shell.fill(page, report.address, report.title, content, headings)
    file.write_bytes(html.encode("utf-8", "xmlcharrefreplace"))
    about = " ".join(_about(report))
    return {"location": url, "title": report.title, "text": f"{escape(about, quote=False)} {fragment.text}"}


def _about(report: Report) -> Iterator[str]:
    yield from (report.notebook, str(report.window), report.source, report.version, OUTCOMES[report.outcome][0])


def _fragment(report: Report, kept: Path) -> Fragment:
    """What was rendered; another build of the site may have deleted it in the meantime."""
    found = rendering.read(kept, report.content)
    if found is None:
        found = rendering.read(kept, rendering.look(report.file, kept).content)
    return found or GONE


def _offer(notebook: Path, folder: Path) -> bool:
    """Put the notebook beside its page, where the disk can do that as a second name of the same file."""
    offered = folder / notebook.name
    with suppress(FileNotFoundError):
        try:
            os.link(notebook.resolve(), offered)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(notebook, offered)
        return True
    return False


def tell_search(index: Any, entries: Sequence[dict[str, str]]) -> None:
    """Give the search plugin's index, MkDocs' or Material's, what it is to know of reports; None: there is none."""
    known = getattr(index, "entries", getattr(index, "_entries", None))
    if isinstance(known, list):
        known[:] = [*(entry for entry in known if ADDRESS not in entry["location"]), *entries]
