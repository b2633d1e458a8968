"""Which reports are on the site: those of `site.keep_days`, and older ones that something links to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from cvkit.config import Config
from cvkit.documentation.notebooks import interactive_page
from cvkit.documentation.site.report_pages import window_of
from cvkit.maintenance import decisions
from cvkit.monitoring import alert_store
from cvkit.monitoring.history import History
from cvkit.monitoring.pages import REPORTS, report_page

WRITTEN = re.compile(rf"{REPORTS}/([^/\s\"'()<>#]+/[^/\s\"'()<>#.]+)")  # a report's address in people's words
WRITINGS = ("docs/**/*.md", "versions/**/*.md")  # pages and cards


def divide(config: Config, history: History, now: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The history's reports: those that are on the site, and those that have left it."""
    table = history.reports()
    table = table[table["model"] == config.model.name]  # other workspaces may have the same history
    if not config.site.keep_days:
        return table, table.iloc[:0]
    old = table["window_end"] < now - timedelta(days=config.site.keep_days)
    if old.any():
        starts, addresses = _linked_windows(config, history), _linked_addresses(config.workspace)
        rows = table[old].to_dict("records")
        wanted = [row["path"] for row in rows if row["window_start"] in starts or _address(row) in addresses]
        old &= ~table["path"].isin(wanted)
    return table[~old], table[old]


def _address(row: dict[Any, Any]) -> str:
    return report_page(window_of(row), row["notebook"], row["source"])


def _linked_windows(config: Config, history: History) -> set[pd.Timestamp]:
    """Starts of the windows that alerts and decisions of the model are about."""
    with history.reading() as connection:
        alerts = alert_store.alerts(connection, config.model.name).values()
    moments = [moment for alert in alerts for moment in (alert.since, alert.seen_start)]
    decided = decisions.decisions(history, config.model.name)["window_start"]
    return {pd.Timestamp(moment) for moment in [*moments, *decided.dropna()]}


def _linked_addresses(workspace: Path) -> set[str]:
    """Addresses of reports that pages and cards name."""
    files = (file for pattern in WRITINGS for file in workspace.glob(pattern))
    return {f"{REPORTS}/{name}" for file in files for name in WRITTEN.findall(file.read_text("utf-8", "replace"))}


def files(config: Config, history: History, now: datetime) -> list[Path]:
    """Files of the reports that have left the site, as far as they are there."""
    _, retired = divide(config, history, now)
    found = (file for path in retired["path"] for file in _with_page(config.workspace / str(path)))
    return [file for file in found if file.is_file()]


def _with_page(notebook: Path) -> Iterator[Path]:
    yield from (notebook, interactive_page(notebook))
