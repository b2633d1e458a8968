"""What all pages of the site are made of, read from a workspace's records once (`survey`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pandas as pd

from cvkit.config.champion import Champions
from cvkit.documentation.documents import Checked
from cvkit.documentation.site.alert_cards import Alarms
from cvkit.documentation.site.report_pages import Report
from cvkit.maintenance.gate_results import Result
from cvkit.maintenance.versions import Version
from cvkit.monitoring.alert_store import Alert


@dataclass(frozen=True, slots=True)
class Judged:
    """A version, and what the gate said of it."""

    version: Version
    result: Result | None  # None: it was not judged, or `flaw` says why its result cannot be read
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A document of the workspace, or one that could be started from its template."""

    name: str  # its own: the template's, or that and a label
    title: str
    address: str  # of its page below the site; "" where it was not started
    checked: Checked | None = None  # None where it was not started, or `flaw` says why it cannot be read
    flaw: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """Another model whose workspace has the same history: its newest windows, of the version measured last."""

    model: str
    version: str
    since: datetime  # start of the first window measured of this version
    verdicts: pd.DataFrame
    measurements: pd.DataFrame
    alerts: tuple[Alert, ...]  # that are open


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What the pages are made of; tables as the history gives them, of the model in use unless said otherwise."""

    model: str
    version: str
    made: datetime
    window_length: timedelta
    runs: pd.DataFrame
    verdicts: pd.DataFrame
    measurements: pd.DataFrame
    reports: tuple[Report, ...]
    settings: Mapping[str, str]  # `reference_id` and `rules_id` that hold now
    alarms: Alarms = field(default_factory=Alarms)
    strangers: tuple[str, ...] = ()  # executed notebooks that the history does not know
    retired: int = 0  # reports that have left the site for their age
    since: datetime | None = None  # when the version became champion, or was first measured
    others: tuple[Other, ...] = ()
    past: pd.DataFrame = field(default_factory=pd.DataFrame)  # worst verdict of each window and source: `timeline.past`
    alerts: tuple[Alert, ...] = ()  # all that ever were
    log: pd.DataFrame = field(default_factory=pd.DataFrame)  # of alerts
    decisions: pd.DataFrame = field(default_factory=pd.DataFrame)  # oldest first
    versions: tuple[Judged, ...] = ()  # oldest first
    champions: Champions | None = None  # None before the first promotion
    documents: tuple[Document, ...] = ()  # the card first
    behind: str = ""  # words where the champion has not measured the newest windows: `diagnosis.behind`

    @property
    def card(self) -> Document | None:
        """The model card; None where the documents were not looked at."""
        return self.documents[0] if self.documents else None
