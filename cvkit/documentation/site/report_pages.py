"""The site's pages about executed reports: the index of all, and the head of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from cvkit.documentation.notebooks import interactive_page
from cvkit.documentation.site.rendering import Fragment, Look
from cvkit.documentation.site.trends import light
from cvkit.errors import ReportError
from cvkit.monitoring.pages import report_page
from cvkit.tables import Window

Link = Callable[[str], str]  # address of a page -> how the page being written links to it

# What became of a report: the word a reader sees, and the light it is shown with.
OUTCOMES = {
    "done": ("done", "ok"),
    "failed": ("failed", "critical"),
    "running": ("not finished", "warning"),
    "missing": ("file missing", "warning"),
    "damaged": ("file damaged", "critical"),
}

TITLE_BRACKETS = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    }
)
# Where the notebook begins and ends in what mkdocs-jupyter makes of it, and what it adds to every cell.
NOTEBOOK_START, NOTEBOOK_END = '<div class="jupyter-wrapper">', "<!-- jupyter-wrapper -->"
TOP = "top"  # anchor of a report's title
CODE = 'class="jp-CodeMirrorEditor'
COPY_BUTTON = re.compile(
    r'<div class="zeroclipboard-container">.*?</clipboard-copy>\s*</div>'
    r'|<div [^>]*class="clipboard-copy-txt"[^>]*>.*?</div>',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Report:
    """One report of the history, and where its page is."""

    notebook: str
    version: str  # of the model it is about
    source: str  # "" for all
    window: Window
    outcome: str  # a key of OUTCOMES
    file: Path
    interactive: Path | None  # Evidently's page about it
    address: str  # of the page below the site, without suffix; "" where there is nothing to show
    started: datetime | None
    finished: datetime | None
    error: str
    content: str = ""  # hash of the file; "" where there is nothing to show
    data: str = ""  # what identifies what the window was measured with, as the history knows it

    @property
    def title(self) -> str:
        """Name of the report, as HTML that stays harmless where a theme takes the escapes back, as in a <title>."""
        words = " · ".join(part for part in (self.notebook, str(self.window), self.source) if part)
        return escape(words.translate(TITLE_BRACKETS))


def read(
    table: pd.DataFrame, workspace: Path, look: Callable[[Path], Look], runs: pd.DataFrame | None = None
) -> tuple[Report, ...]:
    """The reports of the history, newest window first; of two with one page, the one started last.

    `look` tells what is known of a file; `runs` are those of the history, for what their windows were measured with.
    """
    measured = {} if runs is None else {_key(row): _data(row) for row in runs.to_dict("records")}
    rows: list[dict[str, Any]] = table.sort_values("started", kind="stable").to_dict("records")  # type: ignore[assignment]
    found = (_report(row, workspace, look, measured.get(_key(row), "")) for row in rows)
    reports = {report.address or str(report.file): report for report in found}
    in_order = sorted(reports.values(), key=lambda report: (report.notebook, report.source))
    return tuple(sorted(in_order, key=lambda report: report.window, reverse=True))


def _key(row: dict[Any, Any]) -> tuple[Any, ...]:
    return row["model"], row["version"], row["window_start"], row["window_end"]


def _data(row: dict[Any, Any]) -> str:
    """The part of a run that tells data apart: reference, labels, number of images."""
    images = row["images"]
    parts = [f"{int(images)} images" if pd.notna(images) else "", f"reference {row['reference_id']}"]
    parts += [f"labels {row['labels'][:12]}"] if row["labels"] else []
    return ", ".join(part for part in parts if part)


def _report(row: dict[str, Any], workspace: Path, look: Callable[[Path], Look], data: str) -> Report:
    window = window_of(row)
    file = workspace / str(row["path"])
    seen = look(file)
    status = str(row["status"])
    return Report(
        notebook=str(row["notebook"]),
        version=str(row["version"]),
        source=str(row["source"]),
        window=window,
        outcome=seen.flaw if seen.flaw and status == "done" else status,
        file=file,
        interactive=page if (page := interactive_page(file)).is_file() else None,
        address="" if seen.flaw else report_page(window, str(row["notebook"]), str(row["source"])),
        started=_moment(row["started"]),
        finished=_moment(row["finished"]),
        error=str(row["error"] or ""),
        content=seen.content,
        data=data,
    )


def window_of(row: dict[Any, Any]) -> Window:
    """The window of a row of the history."""
    return Window(row["window_start"].to_pydatetime(), row["window_end"].to_pydatetime())


def _moment(value: Any) -> datetime | None:
    return None if pd.isna(value) else pd.Timestamp(value).to_pydatetime()


def outcome_badge(report: Report) -> str:
    """The sign and word of what became of a report."""
    word, state = OUTCOMES[report.outcome]
    return f'<span class="cvkit-badge cvkit-{state}">{light(state)}{word}</span>'


def short(window: Window) -> str:
    """A window as people write it."""
    start = window.start
    day = f"{start.day} {start:%b %Y}"
    if window.label == f"{start:%Y-%m-%d}":
        return day
    end = window.end if window.end.date() != start.date() else None
    until = f"{end.day} {end:%b} {end:%H:%M}" if end else f"{window.end:%H:%M}"
    return f"{day} {start:%H:%M} to {until}"


def items(reports: Iterable[Report], link: Link, *, dated: bool = False) -> str:
    """A list of reports, each with a link where there is a page, and its outcome."""
    return f'<ul class="cvkit-reports">{"".join(_item(report, link, dated) for report in reports)}</ul>'


def _item(report: Report, link: Link, dated: bool) -> str:
    name = escape(report.notebook)
    if report.address:
        name = f'<a href="{escape(link(report.address))}">{name}</a>'
    about = [escape(report.source)] if report.source else []
    about += [f"window {short(report.window)}"] if dated else []
    words = f'<span class="cvkit-quiet">{" · ".join(about)}</span>' if about else ""
    error = f'<span class="cvkit-why">{escape(_first_line(report.error))}</span>' if report.error else ""
    return f"<li>{outcome_badge(report)}<span>{name} {words}{error}</span></li>"


def _first_line(text: str, most: int = 160) -> str:
    """The line of an error that says most: the last of a traceback, the first of anything else."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()] or [""]
    line = lines[-1] if "Traceback" in text else lines[0]
    return line if len(line) <= most else line[: most - 1] + "…"


def index(
    reports: Sequence[Report], lights: dict[Window, str], strangers: Sequence[str], link: Link, retired: int = 0
) -> str:
    """The page of all reports: by month and window, newest first.

    `lights` is the state of each window; `strangers` are files among the reports of which the history knows nothing;
    `retired` counts the reports that have left the site.
    """
    if not reports and not retired:
        words = (
            '<p class="cvkit-empty">No report has been written yet. <code>cvkit run</code> measures the windows that'
        )
        return f"{words} are due and writes their reports; then build the site again.</p>{_strangers(strangers)}"
    failed = sum(report.outcome != "done" for report in reports)
    total = f"{len(reports)} report{'s' * (len(reports) != 1)}"
    trouble = f", {failed} of them not as {'it' if failed == 1 else 'they'} should be" if failed else ""
    parts = [f'<p class="cvkit-quiet">{total}{trouble}. Times are in UTC.</p>']
    for name, part in months(reports):
        parts.append(f'<h2 id="{month_id(name)}">{name}</h2>')
        for window, members in groupby(part, key=lambda report: report.window):
            parts.append(_window_row(window, lights.get(window), list(members), link))
    return "".join(parts) + _retired(retired) + _strangers(strangers)


def _retired(many: int) -> str:
    if not many:
        return ""
    words = f"{many} older report{'s have' if many > 1 else ' has'} left the site, as <code>site.keep_days</code> asks."
    return f'<p class="cvkit-quiet">{words} The notebooks stay in the folder <code>reports</code>.</p>'


def months(reports: Sequence[Report]) -> Iterator[tuple[str, list[Report]]]:
    """Reports by month, in their order."""
    for name, part in groupby(reports, key=lambda report: f"{report.window.start:%B %Y}"):
        yield name, list(part)


def month_id(name: str) -> str:
    """Anchor of a month."""
    return name.lower().replace(" ", "-")


def _window_row(window: Window, state: str | None, reports: list[Report], link: Link) -> str:
    verdict = f'<span class="cvkit-badge cvkit-{state}">{light(state)}{state}</span>' if state else ""
    day = f'<div class="cvkit-day"><strong>{short(window)}</strong>{verdict}</div>'
    return f'<section class="cvkit-window">{day}{items(reports, link)}</section>'


def _strangers(files: Sequence[str], most: int = 10) -> str:
    if not files:
        return ""
    names = ", ".join(f"<code>{escape(name)}</code>" for name in files[:most])
    more = f" and {len(files) - most} more" if len(files) > most else ""
    words = "Not shown, because the history does not know how they were made:"
    return f'<p class="cvkit-quiet">{words} {names}{more}.</p>'


def neighbours(reports: Sequence[Report]) -> dict[str, tuple[Report | None, Report | None]]:
    """By address: the older and the newer report of the same notebook and source. `reports` come newest first."""
    rows: dict[tuple[str, str], list[Report]] = {}
    for report in reports:
        if report.address:
            rows.setdefault((report.notebook, report.source), []).append(report)
    found: dict[str, tuple[Report | None, Report | None]] = {}
    for row in rows.values():
        for newer, report, older in zip([None, *row], row, [*row[1:], None], strict=False):
            found[report.address] = older, newer
    return found


def head(
    report: Report, fragment: Fragment, beside: tuple[Report | None, Report | None], link: Link, notebook_href: str
) -> str:
    """What stands above a report's notebook: where it belongs, whether to trust it, its title, what it is about.

    `beside` are the older and the newer report; `notebook_href` is "" where the notebook file is not offered.
    """
    older, newer = beside
    steps = [f'<a href="{escape(link("reports"))}">All reports</a>']
    steps += [f'<a href="{escape(link(older.address))}">← {short(older.window)}</a>'] if older else []
    steps += [f'<a href="{escape(link(newer.address))}">{short(newer.window)} →</a>'] if newer else []
    steps += [f'<a href="{escape(notebook_href)}" download>Notebook file</a>'] if notebook_href else []
    if report.interactive:
        steps.append('<a href="evidently.html" target="_blank">Interactive page (Evidently, 5 MB)</a>')
    checked = "" if report.outcome == "done" else " checked"
    return (
        f'<nav data-search-exclude class="cvkit-steps" aria-label="Reports">{"".join(steps)}</nav>{_banner(report)}'
        f'<h1 id="{TOP}">{fragment.title or report.title}</h1>{_facts(report)}'
        f'<input type="checkbox" id="cvkit-code" class="cvkit-code"{checked}>'
        f'<label data-search-exclude for="cvkit-code">Show code</label>'
    )


def _facts(report: Report) -> str:
    facts = {
        "Window": f"{short(report.window)}",
        "Source": escape(report.source) or "all",
        "Notebook": escape(report.notebook),
        "Model version": f"<code>{escape(report.version)}</code>",
        "Status": outcome_badge(report),
        "Executed": _executed(report),
        "Data": escape(report.data) or "not in the history",
        "Content": f'<code title="SHA-256 of the executed notebook">{report.content[:12]}</code>',
    }
    listed = "".join(f"<div><dt>{name}</dt> <dd>{value}</dd> </div>" for name, value in facts.items())
    return f'<dl class="cvkit-facts">{listed}</dl>'


def _executed(report: Report) -> str:
    if report.finished is None:
        return "no end recorded" if report.started is None else f"begun {report.started:%Y-%m-%d %H:%M} UTC"
    took = f", took {(report.finished - report.started).total_seconds():.0f} s" if report.started else ""
    return f"{report.finished:%Y-%m-%d %H:%M} UTC{took}"


def _banner(report: Report) -> str:
    if report.outcome == "done":
        return ""
    word, state = OUTCOMES[report.outcome]
    title, words = {
        "failed": ("This report failed", "What follows ends where it broke: do not read a verdict from it."),
        "running": ("This report was not finished", "It is still being executed, or was killed. Run it again."),
    }.get(report.outcome, (f"This report: {word}", ""))
    error = f'<pre tabindex="0">{escape(report.error.strip())}</pre>' if report.error.strip() else ""
    text = f"<strong>{title}</strong><p>{words}</p>{error}"
    return f'<div class="cvkit-banner cvkit-{state}" role="alert">{light(state)}<div>{text}</div></div>'


def tidy(content: str) -> str:
    """The notebook alone, out of what mkdocs-jupyter writes.

    It wraps every page in 600 kB of style sheets, in scripts from other hosts (MathJax, Mermaid, widgets) and in copy
    buttons with each cell's text a second time; the site brings its own small style sheet instead. Raises ReportError
    where the page does not have the parts that are known here.
    """
    start, end = content.find(NOTEBOOK_START), content.rfind(NOTEBOOK_END)
    if start < 0 or end < start:
        raise ReportError(
            "mkdocs-jupyter writes its pages in another form than cvkit knows",
            expected=f"{NOTEBOOK_START} ... {NOTEBOOK_END}",
            remedy="install the version of mkdocs-jupyter that constraints.txt names",
        )
    notebook = COPY_BUTTON.sub("", content[start:end])
    notebook = notebook.replace(f"<div {CODE}", f"<div data-search-exclude {CODE}")
    notebook = notebook.replace("<table ", '<table tabindex="0" ')  # wide ones scroll: the keyboard has to reach them
    return notebook.replace("highlight-ipynb", "highlight")  # the name under which the theme colours code
