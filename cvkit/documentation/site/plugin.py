"""The MkDocs plugin that adds a workspace's status page and reports to a site, in any build or `mkdocs serve`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.config import config_options
from mkdocs.config.base import Config as MkDocsOptions
from mkdocs.exceptions import PluginError
from mkdocs.plugins import BasePlugin, event_priority
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.toc import get_toc
from mkdocs.utils import get_relative_url

from cvkit.config import load_config
from cvkit.documentation.site import feed, handbook, report_pages, report_site, safe_words, shell, status
from cvkit.documentation.site.pages import PAGES
from cvkit.documentation.site.report_pages import Report
from cvkit.documentation.site.situation import Situation
from cvkit.documentation.site.survey import kept, survey
from cvkit.errors import CvkitError
from cvkit.monitoring.pages import REPORTS
from cvkit.storage import packaged

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.livereload import LiveReloadServer
    from mkdocs.structure.nav import Navigation
    from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.plugins.cvkit")  # whose warnings MkDocs counts, for --strict

DAMAGED = "%s is no notebook that can be shown: `cvkit run --window DAY` writes it again, or restore it from a backup"
STYLE = "assets/cvkit.css"
GUIDES = ("runbook.md", "procedures/*.md")  # pages that alerts lead to: cvkit's own where the workspace has none
EXTENSIONS = ("admonition", "pymdownx.superfences")  # procedures have commands within numbered steps
SEARCH = 'data-md-component="search" role="dialog"'  # the theme's, which gives it no name for screen readers
# The promise that looking at the site asks no other host for anything, kept by the reader's browser itself.
POLICY = (
    '<meta http-equiv="Content-Security-Policy"'
    " content=\"default-src 'self' data: blob: 'unsafe-inline'; object-src 'none'; base-uri 'self'\">"
)


class Options(MkDocsOptions):  # type: ignore[no-untyped-call]
    """The plugin's settings in mkdocs.yml."""

    workspace = config_options.Type(str, default=".")  # folder of cvkit.yml, seen from mkdocs.yml
    outside_requests = config_options.Type(bool, default=False)  # whether pages may load from other hosts


class ReportFile(File):
    """A report's page, for links to it: it is written by `on_post_build`, and nothing is copied."""

    def copy_file(self, dirty: bool = False) -> None:
        """Leave the file to `on_post_build`."""


class LargeFile(File):
    """A file of megabytes, which is on the site as a second name of itself."""

    def copy_file(self, dirty: bool = False) -> None:
        """Link it, or copy it where that cannot be done."""
        target = Path(self.abs_dest_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        report_site.offer(Path(str(self.abs_src_path)), target)


class CvkitPlugin(BasePlugin[Options]):  # type: ignore[no-untyped-call]
    """Adds the status page, the index of reports and a page per report to a site."""

    earlier: Path | None = None  # the site that the one being built will replace

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Find the workspace and bring the style sheet along."""
        home = Path(config.config_file_path).parent
        folder = (home / self.config.workspace).absolute()
        self.workspace = folder if (folder / "cvkit.yml").is_file() else None
        self.situation: Situation | None = None
        self.reports: dict[str, Report] = {}
        self.shell: shell.Shell | None = None
        self.own = {f"{page.address}.md": page for page in PAGES}
        config.extra_css.append(STYLE)
        config.markdown_extensions += [one for one in EXTENSIONS if one not in config.markdown_extensions]
        self.words = safe_words.PlainWords()
        config.markdown_extensions.append(self.words)  # type: ignore[arg-type]
        if jupyter := config.plugins.get("mkdocs-jupyter"):  # its cache would lie wherever the command was called
            jupyter.config["cache_dir"] = str(home / jupyter.config["cache_dir"])
        return config

    @event_priority(-100)
    def on_files(self, files: Files, config: MkDocsConfig) -> Files:
        """Add the pages, after mkdocs-jupyter has picked its own: the status first, then the reports."""
        self.status_page = "status.md" if files.get_file_from_path("index.md") else "index.md"
        style = Path(__file__).with_name("site.css").read_text(encoding="utf-8")
        added = [File.generated(config, STYLE, content=style), _page(config, self.status_page, "Status", wide=True)]
        if self.workspace is not None:
            with _told_to_mkdocs():
                settings = load_config(self.workspace)
                self.situation = survey(settings, datetime.now(UTC))
            added += [
                _page(config, uri, page.title, wide=page.wide, searched=page.searched) for uri, page in self.own.items()
            ]
            added += _guides(config, files)
        for file in added[1:]:
            if file.src_uri in files.src_uris:
                raise PluginError(
                    f"cvkit makes the page {file.src_uri}: give the one in {config.docs_dir} another name"
                )
        for report in self.situation.reports if self.situation else ():
            if not report.content and report.file.is_file():
                log.warning(DAMAGED, report.file)
        self.reports = {r.address: r for r in self.situation.reports if r.address} if self.situation else {}
        made = Files([*added, *files, *self._report_files(config)])
        if self.situation:
            base = config.site_url or settings.alerts.site
            text = feed.render(self.situation, lambda address: _url(made, address), base and f"{base.rstrip('/')}/")
            made.append(File.generated(config, feed.FILE, content=text))
        return made

    def _report_files(self, config: MkDocsConfig) -> Iterator[File]:
        """One page that stands for all reports, what links to them can be checked against, and their files."""
        if not self.reports:
            return
        unlisted = InclusionLevel.NOT_IN_NAV
        self.stand_in = File.generated(config, f"{shell.ADDRESS}.md", content=f"# {shell.TITLE}\n", inclusion=unlisted)
        yield self.stand_in
        for address, report in self.reports.items():
            file = ReportFile.generated(config, f"{address}.ipynb", content="", inclusion=unlisted)
            file.dest_uri = self.stand_in.dest_uri.replace(shell.ADDRESS, address)
            file.url = self.stand_in.url.replace(shell.ADDRESS, address)
            yield file
            if report.interactive:
                yield LargeFile.generated(config, f"{address}/evidently.html", abs_src_path=str(report.interactive))

    def on_nav(self, nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
        """Put the plugin's pages after the status, where mkdocs.yml leaves the order to MkDocs; no name comes twice."""
        made = [file.page for uri in self.own if (file := files.get_file_from_path(uri)) and file.page in nav.items]
        if config.nav is None and self.workspace:
            nav.items[1:] = [*made, *(item for item in nav.items[1:] if item not in made)]
            taken = {page.title for page in PAGES}
            for section in (item for item in nav.items if item.is_section and item.title in taken):
                section.title = f"{section.title}, one by one"  # a folder such as docs/documents
            order = {handbook.address(name): place for place, name in enumerate(handbook.PAGES)}
            for section in (item for item in nav.items if item.is_section and item.title == "Help"):
                section.children.sort(key=lambda one: order.get(one.file.src_uri, 99) if one.is_page else 99)
        return nav

    @event_priority(-100)
    def on_page_markdown(self, markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
        """Take the marks out of documents; their front matter is for the Hub, not for this site's theme."""
        self.words.on = safe_words.PAGES.fullmatch(page.file.src_uri) is not None
        if not self.words.on:
            return markdown
        page.meta = {}
        return safe_words.shown(markdown, page.file.src_uri)

    @event_priority(-100)
    def on_page_content(self, html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
        """Fill the plugin's own pages, and put the head above each report."""
        here = page.file.src_uri
        if safe_words.PAGES.fullmatch(here):
            page.title = safe_words.harmless(str(page.title))
            return _reached(safe_words.cleaned(html))

        def link(address: str) -> str:
            return get_relative_url(_url(files, address or self.status_page.removesuffix(".md")), page.url)

        if self.reports and page.file is self.stand_in:
            page.title = shell.TITLE
            entries: list[Any] = [{"level": 2, "id": id_, "name": name, "children": []} for id_, name in shell.ENTRIES]
            page.toc = get_toc(entries)
            return shell.CONTENT
        if here == self.status_page:
            return html + (status.render(self.situation, link) if self.situation else NO_WORKSPACE)
        if here in self.own and self.situation:
            headings = self.own[here].headings(self.situation)
            page.toc = get_toc([{"level": 2, "id": id_, "name": name, "children": []} for id_, name in headings])
            return html + self.own[here].render(self.situation, link)
        return _reached(self._tidy(html))

    @event_priority(-100)
    def on_post_page(self, output: str, page: Page, config: MkDocsConfig) -> str:
        """Name the feed and the search, forbid to ask other hosts; keep the page that stands for all reports."""
        if self.situation:
            named = feed.head_link(get_relative_url(feed.FILE, page.url))
            output = output.replace("</head>", f"{named}</head>", 1)
        output = self._sealed(output)
        if self.reports and page.file is self.stand_in:
            self.shell = shell.read(output)
            return ""
        return output

    @event_priority(-100)
    def on_post_template(self, output_content: str, template_name: str, config: MkDocsConfig) -> str:
        """The same for pages such as 404.html; the reports in the map of the site."""
        if template_name == "sitemap.xml" and self.reports:
            return shell.listed(output_content, self.reports)
        return self._sealed(output_content) if template_name.endswith(".html") else output_content

    @event_priority(100)
    def on_post_build(self, config: MkDocsConfig) -> None:
        """Write the reports' pages, before the search writes what it knows."""
        if self.shell is None or self.workspace is None:
            return
        jupyter = config.plugins.get("mkdocs-jupyter")
        offered = jupyter is None or bool(jupyter.config["include_source"])
        place = report_site.Place(
            Path(config.site_dir), self.stand_in.dest_uri, self.stand_in.url, offered, self.earlier
        )
        with _told_to_mkdocs():
            found = report_site.write(self.shell, list(self.reports.values()), place, kept(self.workspace))
        search = config.plugins.get("material/search") or config.plugins.get("search")
        report_site.tell_search(getattr(search, "search_index", None), found)

    def on_serve(self, server: LiveReloadServer, config: MkDocsConfig, builder: Any) -> LiveReloadServer:
        """Build anew when the settings change, a window is measured or a report written; serve within limits."""
        from cvkit.documentation.site.live import LiveServer

        server = LiveServer(server)
        if self.workspace is not None:
            for path in (self.workspace / name for name in ("cvkit.yml", "history.db", REPORTS)):
                if path.exists():
                    server.watch(str(path))
        return server

    def _tidy(self, html: str) -> str:
        if report_pages.NOTEBOOK_START not in html:
            return html
        with _told_to_mkdocs():
            return report_pages.tidy(html)

    def _sealed(self, output: str) -> str:
        output = output.replace(SEARCH, f'{SEARCH} aria-label="Search"', 1)
        if self.workspace is None or self.config.outside_requests:
            return output
        return output.replace("<head>", f"<head>{POLICY}", 1)


NO_WORKSPACE = (
    '<div class="cvkit-empty"><p><strong>There is no workspace here yet.</strong></p><p><code>cvkit demo</code> makes '
    "one to look at, <code>cvkit init</code> one for your own model; this page then shows its state.</p></div>"
)


def _reached(html: str) -> str:
    """Tables that the keyboard reaches: wide ones scroll."""
    return html.replace("<table>", '<table tabindex="0">')


def _url(files: Files, address: str) -> str:
    """Where a page is below the site."""
    file = files.get_file_from_path(f"{address}.ipynb") or files.get_file_from_path(f"{address}.md")
    return file.url if file else address


def _page(config: MkDocsConfig, uri: str, title: str, *, wide: bool = False, searched: bool = True) -> File:
    hidden = "hide: [toc]\n" if wide else ""
    unknown = "search: {exclude: true}\n" if not searched else ""
    return File.generated(config, uri, content=f"---\ntitle: {title}\n{hidden}{unknown}---\n\n# {title}\n")


def _guides(config: MkDocsConfig, files: Files) -> list[File]:
    """Help about cvkit, and what a workspace lacks that was made before there was such a page: alerts lead there."""
    own = packaged("skeleton") / "docs"
    pages = {page.relative_to(own).as_posix(): page for pattern in GUIDES for page in sorted(own.glob(pattern))}
    listed = InclusionLevel.UNDEFINED if config.nav is None else InclusionLevel.NOT_IN_NAV
    told = {uri: page.read_text(encoding="utf-8") for uri, page in pages.items()} | dict(handbook.pages())
    return [
        File.generated(config, uri, content=text, inclusion=listed)
        for uri, text in told.items()
        if uri not in files.src_uris
    ]


@contextmanager
def _told_to_mkdocs() -> Iterator[None]:
    """Errors of ours as MkDocs shows them: words, no traceback."""
    try:
        yield
    except CvkitError as error:
        raise PluginError(str(error)) from error
