"""The site: a MkDocs plugin that adds a workspace's status page and reports, and the commands that build and serve it.

The plugin works in any `mkdocs build` or `mkdocs serve`; `build` and `serve` here are what `cvkit site` calls.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd
from mkdocs.config import config_options
from mkdocs.config.base import Config as MkDocsOptions
from mkdocs.exceptions import Abort, ConfigurationError, PluginError
from mkdocs.plugins import BasePlugin, event_priority
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.toc import get_toc
from mkdocs.utils import get_relative_url

from cvkit.config import Config, load_config
from cvkit.documentation import alert_cards, report_pages, status
from cvkit.documentation.report_pages import Report
from cvkit.errors import ConfigError, CvkitError, ReportError
from cvkit.monitoring import identity
from cvkit.monitoring.history import History
from cvkit.storage import lock, packaged, remove_tree, storage_error
from cvkit.tables import worst

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.livereload import LiveReloadServer
    from mkdocs.structure.nav import Navigation
    from mkdocs.structure.pages import Page

STYLE = "assets/cvkit.css"
REPORTS = "reports"
GUIDES = ("runbook.md", "procedures/*.md")  # pages that alerts lead to: cvkit's own where the workspace has none
FENCES = "pymdownx.superfences"  # procedures have commands within numbered steps
# The promise that looking at the site asks no other host for anything, kept by the reader's browser itself.
POLICY = (
    '<meta http-equiv="Content-Security-Policy"'
    " content=\"default-src 'self' data: blob: 'unsafe-inline'; object-src 'none'\">"
)


class Options(MkDocsOptions):  # type: ignore[no-untyped-call]
    """The plugin's settings in mkdocs.yml."""

    workspace = config_options.Type(str, default=".")  # folder of cvkit.yml, seen from mkdocs.yml
    outside_requests = config_options.Type(bool, default=False)  # whether pages may load from other hosts


class NotebookFile(File):
    """An executed notebook that lies in the workspace and becomes a page under another, safe name."""

    def is_documentation_page(self) -> bool:
        """Whether this becomes a page, which MkDocs believes of Markdown only."""
        return True


class CvkitPlugin(BasePlugin[Options]):  # type: ignore[no-untyped-call]
    """Adds the status page, the index of reports and a page per report to a site."""

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Find the workspace and bring the style sheet along."""
        home = Path(config.config_file_path).parent
        folder = (home / self.config.workspace).absolute()
        self.workspace = folder if (folder / "cvkit.yml").is_file() else None
        self.situation: status.Situation | None = None
        self.by_page: dict[str, Report] = {}
        config.extra_css.append(STYLE)
        if FENCES not in config.markdown_extensions:
            config.markdown_extensions.append(FENCES)
        if jupyter := config.plugins.get("mkdocs-jupyter"):  # its cache would lie wherever the command was called
            jupyter.config["cache_dir"] = str(home / jupyter.config["cache_dir"])
        return config

    @event_priority(-100)
    def on_files(self, files: Files, config: MkDocsConfig) -> Files:
        """Add the pages, after mkdocs-jupyter has picked its own: the status first, then the reports."""
        self.status_page = "status.md" if files.get_file_from_path("index.md") else "index.md"
        style = Path(__file__).with_name("site.css").read_text(encoding="utf-8")
        added = [File.generated(config, STYLE, content=style), _page(config, self.status_page, "Status")]
        if self.workspace is not None:
            with _told_to_mkdocs():
                self.situation = survey(load_config(self.workspace), datetime.now(UTC))
            added.append(_page(config, f"{REPORTS}.md", "Reports"))
            added += _guides(config, files)
        for file in added[1:]:
            if file.src_uri in files.src_uris:
                raise PluginError(
                    f"cvkit makes the page {file.src_uri}: give the one in {config.docs_dir} another name"
                )
        self.by_page = {f"{r.address}.ipynb": r for r in self.situation.reports if r.address} if self.situation else {}
        notebooks = [
            NotebookFile.generated(config, page, abs_src_path=str(report.file), inclusion=InclusionLevel.NOT_IN_NAV)
            for page, report in self.by_page.items()
        ]
        interactive = [
            File.generated(config, f"{report.address}/evidently.html", abs_src_path=str(report.interactive))
            for report in self.by_page.values()
            if report.interactive
        ]
        return Files([*added, *files, *notebooks, *interactive])

    def on_nav(self, nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
        """Put the reports after the status, where mkdocs.yml leaves the order to MkDocs."""
        reports = files.get_file_from_path(f"{REPORTS}.md")
        if config.nav is None and self.workspace and reports and reports.page in nav.items:
            nav.items.remove(reports.page)
            nav.items.insert(1, reports.page)
        return nav

    @event_priority(-100)
    def on_page_content(self, html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
        """Fill the plugin's own pages, and put the head above each report."""
        here = page.file.src_uri
        report = self.by_page.get(here)

        def link(address: str) -> str:
            file = files.get_file_from_path(f"{address}.ipynb") or files.get_file_from_path(f"{address}.md")
            return get_relative_url(file.url if file else address, page.url)

        if report is not None:
            page.title = report.title
            return self._head(report, config, link) + self._tidy(html)
        if here == self.status_page:
            return html + (status.render(self.situation, link) if self.situation else NO_WORKSPACE)
        if here == f"{REPORTS}.md" and self.situation and self.workspace:
            page.toc = get_toc(
                [
                    {"level": 2, "id": report_pages.month_id(name), "name": name, "children": []}
                    for name, _ in report_pages.months(self.situation.reports)
                ]
            )
            return html + report_index(self.situation, self.workspace, link)
        return self._tidy(html)

    def on_post_page(self, output: str, page: Page, config: MkDocsConfig) -> str:
        """Forbid the page to ask other hosts for anything."""
        return self._sealed(output)

    def on_post_template(self, output_content: str, template_name: str, config: MkDocsConfig) -> str:
        """The same for pages such as 404.html."""
        return self._sealed(output_content) if template_name.endswith(".html") else output_content

    def on_serve(self, server: LiveReloadServer, config: MkDocsConfig, builder: Any) -> LiveReloadServer:
        """Build anew when the settings change, a window is measured or a report written."""
        if self.workspace is not None:
            for path in (self.workspace / name for name in ("cvkit.yml", "history.db", REPORTS)):
                if path.exists():
                    server.watch(str(path))
        return server

    def _head(self, report: Report, config: MkDocsConfig, link: report_pages.Link) -> str:
        jupyter = config.plugins.get("mkdocs-jupyter")
        kept = jupyter is not None and jupyter.config["include_source"]
        reports = self.situation.reports if self.situation else ()
        return report_pages.head(report, reports, link, quote(report.file.name) if kept else "")

    def _tidy(self, html: str) -> str:
        if report_pages.NOTEBOOK_START not in html:
            return html
        with _told_to_mkdocs():
            return report_pages.tidy(html)

    def _sealed(self, output: str) -> str:
        if self.workspace is None or self.config.outside_requests:
            return output
        return output.replace("<head>", f"<head>{POLICY}", 1)


NO_WORKSPACE = (
    '<div class="cvkit-empty"><p><strong>There is no workspace here yet.</strong></p><p><code>cvkit demo</code> makes '
    "one to look at, <code>cvkit init</code> one for your own model; this page then shows its state.</p></div>"
)


def build(config: Config, strict: bool = True) -> Path:
    """Build the workspace's site and return its folder, which changes only once the whole site is there.

    Raises ConfigError where mkdocs.yml cannot be used, ReportError where a page cannot be built or, with `strict`,
    where MkDocs warns of something, BusyError where another process is building it.
    """
    from mkdocs.commands.build import build as build_site

    with lock(config.workspace / "locks" / "site.lock", "building this site"), _listening() as told:
        settings = _mkdocs_settings(config, strict, told)
        _drop_damaged(config.workspace / ".cache")
        site = Path(settings.site_dir)
        part, old = (site.with_name(f".{site.name}.{name}") for name in ("part", "old"))
        remove_tree(part)
        settings.site_dir = str(part)
        settings.plugins.on_startup(command="build", dirty=False)
        try:
            build_site(settings)
        except (Abort, PluginError) as error:
            raise _explain(error, told) from error
        except OSError as error:
            raise storage_error(error) from error
        finally:
            settings.plugins.on_shutdown()
        _swap(part, site, old)
    return site


def serve(config: Config, address: str = "127.0.0.1:8000") -> None:
    """Serve the site at `address` (host:port) until interrupted, building it anew when something changes.

    Raises ConfigError where mkdocs.yml or the address cannot be used.
    """
    from mkdocs.commands.serve import serve as serve_site

    with _listening() as told:
        _mkdocs_settings(config, False, told, dev_addr=address)
    log = logging.getLogger("mkdocs")
    handler, level = logging.StreamHandler(), log.level
    handler.addFilter(lambda record: "jupyter" not in record.name or record.levelno > logging.INFO)  # a line a report
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        serve_site(str(config.workspace / "mkdocs.yml"), dev_addr=address)
    except OSError as error:
        raise ConfigError(
            "the address cannot be served", found=f"{address}: {error.strerror or error}", remedy="choose another port"
        ) from error
    except (Abort, PluginError) as error:
        raise _explain(error, []) from error
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def survey(config: Config, now: datetime) -> status.Situation:
    """What the history and the reports folder say about the deployed version."""
    model = config.model.name
    with History.open(config.history_url) as history:
        version = history.current_version(config)
        verdicts = history.verdicts(model=model, version=version)
        reports = report_pages.read(history.reports(), config.workspace, flaw)
        return status.Situation(
            model=model,
            version=version,
            made=now,
            window_length=config.window_length,
            runs=history.runs(model=model, version=version),
            verdicts=verdicts,
            measurements=_measurements(history, verdicts, model, version),
            reports=reports,
            settings=identity.judged_by(config),
            alarms=alert_cards.read(config, history, reports),
        )


def report_index(situation: status.Situation, workspace: Path, link: report_pages.Link) -> str:
    """The page of all reports of a workspace."""
    lights = {
        report_pages.window_of(part.iloc[0].to_dict()): worst(list(part["state"]))
        for _, part in situation.verdicts.groupby("window_start")
    }
    known = {report.file for report in situation.reports}
    found = sorted((workspace / REPORTS).glob("*/*.ipynb"), reverse=True)
    strangers = [str(file.relative_to(workspace / REPORTS)) for file in found if file not in known]
    return report_pages.index(situation.reports, lights, strangers, link)


def flaw(file: Path) -> str:
    """What keeps an executed notebook from being shown: "" (nothing), "missing" or "damaged"."""
    import nbformat

    try:
        nbformat.validate(json.loads(file.read_text(encoding="utf-8")), version=4)
    except OSError:
        return "missing"
    except (ValueError, nbformat.ValidationError):  # a file that was cut or is no notebook
        return "damaged"
    return ""


def _measurements(history: History, verdicts: pd.DataFrame, model: str, version: str) -> pd.DataFrame:
    """The measurements the status page draws: of what is not ok in the newest window, and of the key features."""
    newest = verdicts[verdicts["window_start"] == verdicts["window_start"].max()]
    wanted = {*status.KEY_FEATURES, *newest.loc[newest["state"].isin(["warning", "critical"]), "feature"]}
    start = min(status.shown_windows(verdicts), default=None)
    parts = [
        history.measurements(start=start, model=model, version=version, feature=feature) for feature in sorted(wanted)
    ]
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def _page(config: MkDocsConfig, uri: str, title: str) -> File:
    text = f"---\ntitle: {title}\nhide: [toc]\n---\n\n# {title}\n" if title == "Status" else f"# {title}\n"
    return File.generated(config, uri, content=text)


def _guides(config: MkDocsConfig, files: Files) -> list[File]:
    """What a workspace lacks that was made before there was such a page: alerts and the runbook lead there."""
    own = packaged("skeleton") / "docs"
    pages = {page.relative_to(own).as_posix(): page for pattern in GUIDES for page in sorted(own.glob(pattern))}
    listed = InclusionLevel.UNDEFINED if config.nav is None else InclusionLevel.NOT_IN_NAV
    return [
        File.generated(config, uri, abs_src_path=str(page), inclusion=listed)
        for uri, page in pages.items()
        if uri not in files.src_uris
    ]


@contextmanager
def _told_to_mkdocs() -> Iterator[None]:
    """Errors of ours as MkDocs shows them: words, no traceback."""
    try:
        yield
    except CvkitError as error:
        raise PluginError(str(error)) from error


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect what MkDocs warns of, instead of letting it write to the terminal."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    log, listener = logging.getLogger("mkdocs"), Listener(logging.WARNING)
    propagated, log.propagate = log.propagate, False
    log.addHandler(listener)
    try:
        yield told
    finally:
        log.removeHandler(listener)
        log.propagate = propagated


def _mkdocs_settings(config: Config, strict: bool, told: list[str], **others: Any) -> MkDocsConfig:
    from mkdocs.config import load_config as load_mkdocs

    file = config.workspace / "mkdocs.yml"
    try:
        return load_mkdocs(str(file), strict=strict, **others)
    except (Abort, ConfigurationError) as error:
        raise ConfigError(
            "the site's settings cannot be used", where=str(file), found="; ".join(told) or str(error),
            remedy="correct that file; `cvkit init` writes one that works",
        ) from error  # fmt: skip


def _explain(error: BaseException, told: list[str]) -> CvkitError:
    """Our own error behind one of MkDocs, or a new one with everything MkDocs said."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CvkitError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return ReportError(
        "the site could not be built", found="; ".join(told) or str(error),
        remedy="correct the page it names; the site that was there is untouched",
    )  # fmt: skip


def _drop_damaged(cache: Path) -> None:
    """Delete what mkdocs-jupyter's cache holds of a build that a full disk or a kill cut off: it would break the next.

    Such files end before their JSON does.
    """
    for file in cache.rglob("*.json"):
        with file.open("rb") as content:
            content.seek(max(0, file.stat().st_size - 1))
            if content.read() != b"}":
                file.unlink()


def _swap(new: Path, site: Path, old: Path) -> None:
    """Put the folder `new` in the place of `site`."""
    shutil.rmtree(old, ignore_errors=True)
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)
