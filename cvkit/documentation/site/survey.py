"""What the site tells, read from a workspace's records once for all its pages."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path

import pandas as pd

from cvkit.config import Config
from cvkit.documentation.site import alert_cards, rendering, report_pages, retention, status
from cvkit.monitoring import identity
from cvkit.monitoring.history import History
from cvkit.monitoring.pages import REPORTS


def survey(config: Config, now: datetime) -> status.Situation:
    """What the history and the reports folder say about the deployed version."""
    model = config.model.name
    with History.open(config.history_url) as history:
        version = history.current_version(config)
        verdicts = history.verdicts(model=model, version=version)
        shown, retired = retention.divide(config, history, now)
        look = partial(rendering.look, kept=kept(config.workspace))
        reports = report_pages.read(shown, config.workspace, look, history.runs())
        return status.Situation(
            model=model,
            version=version,
            made=now,
            window_length=config.window_length,
            runs=history.runs(model=model, version=version),
            verdicts=verdicts,
            measurements=_measurements(history, verdicts, model, version),
            reports=reports,
            strangers=_strangers(config.workspace, set(shown["path"]) | set(retired["path"])),
            retired=len(retired),
            settings=identity.judged_by(config),
            alarms=alert_cards.read(config, history, reports),
        )


def kept(workspace: Path) -> Path:
    """Folder of what was rendered of reports."""
    return workspace / ".cache" / REPORTS


def _strangers(workspace: Path, known: set[str]) -> tuple[str, ...]:
    """Notebooks among the reports of which the history knows nothing; `known` are paths as it has them."""
    folder = workspace / REPORTS
    found = (file.relative_to(folder).as_posix() for file in sorted(folder.glob("*/*.ipynb"), reverse=True))
    return tuple(name for name in found if f"{REPORTS}/{name}" not in known)


def _measurements(history: History, verdicts: pd.DataFrame, model: str, version: str) -> pd.DataFrame:
    """The measurements the status page draws: of what is not ok in the newest window, and of the key features."""
    newest = verdicts[verdicts["window_start"] == verdicts["window_start"].max()]
    wanted = {*status.KEY_FEATURES, *newest.loc[newest["state"].isin(["warning", "critical"]), "feature"]}
    start = min(status.shown_windows(verdicts), default=None)
    parts = [
        history.measurements(start=start, model=model, version=version, feature=feature) for feature in sorted(wanted)
    ]
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
