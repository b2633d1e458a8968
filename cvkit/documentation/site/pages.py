"""The pages that the plugin makes beside the status page, in the order of the navigation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cvkit.documentation.site import (
    alert_history,
    calendar_page,
    decision_pages,
    document_pages,
    report_pages,
    version_pages,
)
from cvkit.documentation.site.report_pages import Link
from cvkit.documentation.site.situation import Situation
from cvkit.tables import Window, worst_by

Headings = Sequence[tuple[str, str]]  # anchor and words, for the table of contents


@dataclass(frozen=True, slots=True)
class OwnPage:
    """A page of the plugin's own."""

    address: str  # below the site
    title: str
    render: Callable[[Situation, Link], str]  # what stands below the title, as HTML
    headings: Callable[[Situation], Headings] = lambda situation: ()
    wide: bool = False  # without a table of contents beside it
    searched: bool = True  # known to the search


def _reports(situation: Situation, link: Link) -> str:
    states = worst_by(situation.verdicts, "window_start", "window_end")
    lights = {Window(start.to_pydatetime(), end.to_pydatetime()): state for (start, end), state in states.items()}
    return report_pages.index(situation.reports, lights, situation.strangers, link, situation.retired)


def _months(situation: Situation) -> Headings:
    return [(report_pages.month_id(name), name) for name, _ in report_pages.months(situation.reports)]


PAGES = (
    OwnPage("calendar", "Calendar", calendar_page.render, wide=True, searched=False),
    OwnPage("alerts", "Alerts", alert_history.render, wide=True),
    OwnPage("reports", "Reports", _reports, _months),
    OwnPage("decisions", "Decisions", decision_pages.render, decision_pages.headings),
    OwnPage("versions", "Versions", version_pages.render, wide=True),
    OwnPage("documents", "Documents", document_pages.render),
)
