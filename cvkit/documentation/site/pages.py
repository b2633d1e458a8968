"""The pages that the plugin makes beside the status page, in the order of the navigation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cvkit.documentation.site import report_pages
from cvkit.documentation.site.report_pages import Link
from cvkit.documentation.site.status import Situation
from cvkit.tables import worst

Headings = Sequence[tuple[str, str]]  # anchor and words, for the table of contents


@dataclass(frozen=True, slots=True)
class OwnPage:
    """A page of the plugin's own."""

    address: str  # below the site
    title: str
    render: Callable[[Situation, Link], str]  # what stands below the title, as HTML
    headings: Callable[[Situation], Headings] = lambda situation: ()


def _reports(situation: Situation, link: Link) -> str:
    lights = {
        report_pages.window_of(part.iloc[0].to_dict()): worst(list(part["state"]))
        for _, part in situation.verdicts.groupby("window_start")
    }
    return report_pages.index(situation.reports, lights, situation.strangers, link, situation.retired)


def _months(situation: Situation) -> Headings:
    return [(report_pages.month_id(name), name) for name, _ in report_pages.months(situation.reports)]


PAGES = (OwnPage("reports", "Reports", _reports, _months),)
