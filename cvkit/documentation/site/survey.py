"""What the site tells, read from a workspace's records once for all its pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from cvkit.config import Config
from cvkit.documentation.site import alert_cards, report_pages, status
from cvkit.documentation.site.report_pages import Report
from cvkit.monitoring import identity
from cvkit.monitoring.history import History
from cvkit.monitoring.pages import REPORTS


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
            strangers=_strangers(config.workspace / REPORTS, reports),
            settings=identity.judged_by(config),
            alarms=alert_cards.read(config, history, reports),
        )


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


def _strangers(folder: Path, reports: Sequence[Report]) -> tuple[str, ...]:
    """Notebooks among the reports of which the history knows nothing."""
    known = {report.file for report in reports}
    found = sorted(folder.glob("*/*.ipynb"), reverse=True)
    return tuple(str(file.relative_to(folder)) for file in found if file not in known)


def _measurements(history: History, verdicts: pd.DataFrame, model: str, version: str) -> pd.DataFrame:
    """The measurements the status page draws: of what is not ok in the newest window, and of the key features."""
    newest = verdicts[verdicts["window_start"] == verdicts["window_start"].max()]
    wanted = {*status.KEY_FEATURES, *newest.loc[newest["state"].isin(["warning", "critical"]), "feature"]}
    start = min(status.shown_windows(verdicts), default=None)
    parts = [
        history.measurements(start=start, model=model, version=version, feature=feature) for feature in sorted(wanted)
    ]
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
