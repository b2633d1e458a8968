"""The reports' pages, written into a site that the site tool has made."""

from __future__ import annotations

import hashlib
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

from cvkit.documentation.site import rendering, report_pages, shell, unchanged
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
    earlier: Path | None = None  # the site that this one will replace

    def url_of(self, address: str) -> str:
        """Address below the site of a report's page, as a browser asks for it."""
        return self.url.replace(ADDRESS, address)

    def file_of(self, address: str) -> Path:
        """Where a report's page is written."""
        return self.site / self.file.replace(ADDRESS, address)


def write(page: Shell, reports: Sequence[Report], place: Place, kept: Path) -> list[dict[str, str]]:
    """Write a page for each report, and its notebook beside it; returns what a search is to know of them.

    `kept` is the folder of rendered notebooks; what nobody needs any more is deleted there. Raises StorageError.
    """
    beside = report_pages.neighbours(reports)
    known, seen = unchanged.load(kept / unchanged.PAGES), dict[str, Any]()
    try:
        found = []
        for report in reports:
            made = _make(page, report, beside[report.address], place, kept)
            seen[report.address] = _write(page, made, place, kept, known.get(report.address, (None, None)))
            about = f"{escape(' '.join(_about(report)), quote=False)} {made.fragment.text}"
            found.append({"location": place.url_of(report.address), "title": report.title, "text": about})
        rendering.forget(kept, {report.content for report in reports})
        unchanged.save(kept / unchanged.PAGES, known, seen)
    except OSError as error:
        raise storage_error(error) from error
    return found


@dataclass(frozen=True, slots=True)
class _Page:
    """A report's page without the notebook's HTML."""

    report: Report
    fragment: Fragment  # without its HTML
    head: str  # HTML above the notebook

    def filled(self, page: Shell, html: str) -> bytes:
        """The file, with the notebook's HTML."""
        headings = [(report_pages.TOP, self.fragment.title or self.report.title), *self.fragment.headings]
        text = shell.fill(page, self.report.address, self.report.title, f"{self.head}{html}", headings)
        return text.encode("utf-8", "xmlcharrefreplace")


def _make(page: Shell, report: Report, beside: tuple[Report | None, Report | None], place: Place, kept: Path) -> _Page:
    """What a report's page holds; its folder is made, with the notebook in it."""
    url = place.url_of(report.address)
    file = place.file_of(report.address)
    file.parent.mkdir(parents=True, exist_ok=True)

    def link(address: str) -> str:
        return get_relative_url(place.url_of(address), url)

    fragment = rendering.head(kept, report.content) or _fragment(report, kept)
    href = quote(report.file.name) if place.offered and offer(report.file, file.parent / report.file.name) else ""
    return _Page(report, fragment, report_pages.head(report, fragment, beside, link, href))


def _write(page: Shell, made: _Page, place: Place, kept: Path, known: tuple[Any, Any]) -> list[Any]:
    """Write a page, unless the site that was there has the same one; returns what to know it by next time.

    All that a page holds is in its name, so that nothing can be forgotten: what stands around the notebook, and the
    notebook's own name.
    """
    around, rendered = made.filled(page, ""), rendering.place(kept, made.report.content).name
    name = hashlib.sha256(rendered.encode() + b"\0" + around).hexdigest()
    file = place.file_of(made.report.address)
    if known[0] == name and place.earlier:
        before = place.earlier / file.relative_to(place.site)
        with suppress(OSError):
            if unchanged.stamp(before) == known[1]:
                os.link(before, file)
                return list(known)
    file.write_bytes(made.filled(page, _fragment(made.report, kept).html))
    return [name, unchanged.stamp(file)]


def _about(report: Report) -> Iterator[str]:
    yield from (report.notebook, str(report.window), report.source, report.version, OUTCOMES[report.outcome][0])


def _fragment(report: Report, kept: Path) -> Fragment:
    """What was rendered; another build of the site may have deleted it in the meantime."""
    found = rendering.read(kept, report.content)
    if found is None:
        found = rendering.read(kept, rendering.look(report.file, kept).content)
    return found or GONE


def offer(file: Path, offered: Path) -> bool:
    """Put a file on the site, where the disk can do that as a second name of the same file; False if it is gone."""
    with suppress(FileNotFoundError):
        try:
            os.link(file.resolve(), offered)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(file, offered)
        return True
    return False


def tell_search(index: Any, entries: Sequence[dict[str, str]]) -> None:
    """Give the search plugin's index, MkDocs' or Material's, what it is to know of reports; None: there is none."""
    known = getattr(index, "entries", getattr(index, "_entries", None))
    if isinstance(known, list):
        known[:] = [*(entry for entry in known if ADDRESS not in entry["location"]), *entries]
