"""What the site tells, read from a workspace's records once for all its pages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pandas as pd

from cvkit.config import Config
from cvkit.config import champion as champion_file
from cvkit.config.champion import Champions
from cvkit.documentation.site import alert_cards, document_pages, report_pages, retention, sources, unchanged
from cvkit.documentation.site.situation import Judged, Other, Situation
from cvkit.errors import CvkitError
from cvkit.maintenance import decisions, gate_results, versions
from cvkit.maintenance.shadow import SHADOW
from cvkit.monitoring import alert_actions, alert_store, alerts, diagnosis, identity, timeline
from cvkit.monitoring.history import History
from cvkit.monitoring.pages import REPORTS

log = logging.getLogger(__name__)

QUALITY = ("performance", "estimate")  # features whose numbers the overview shows


def survey(config: Config, now: datetime) -> Situation:
    """What the history and the reports folder say about the model in use, and about others with the same history."""
    model = config.model.name
    with History.open(config.history_url) as history:
        version = history.current_version(config)
        verdicts = history.verdicts(model=model, version=version)
        runs = history.runs(model=model, version=version)
        shown, retired = retention.divide(config, history, now)
        with unchanged.looking(kept(config.workspace)) as look:
            reports = report_pages.read(shown, config.workspace, look, history.runs())
        champions, known = _champions(config), [_judged(one) for one in versions.every(config)]
        happened, decided = alert_actions.log(config, history), decisions.decisions(history, model)
        records = [len(happened), len(decided), len(runs), str(runs["finished"].max()), str(champions), str(known)]
        return Situation(
            model=model,
            version=version,
            made=now,
            window_length=config.window_length,
            runs=runs,
            verdicts=verdicts,
            measurements=_measurements(history, verdicts, model, version),
            reports=reports,
            strangers=_strangers(config.workspace, set(shown["path"]) | set(retired["path"])),
            retired=len(retired),
            settings=identity.judged_by(config, version),
            alarms=alert_cards.read(config, history, reports),
            since=_since(champions, version, runs),
            others=tuple(_others(history, model)),
            past=timeline.past(history, model),
            alerts=_alerts(history, model),
            log=happened,
            decisions=decided,
            versions=tuple(known),
            champions=champions,
            documents=document_pages.read(config, repr(records), now),
            behind=diagnosis.behind(history.runs(model=model), version),
        )


def kept(workspace: Path) -> Path:
    """Folder of what was rendered of reports."""
    return workspace / ".cache" / REPORTS


def _strangers(workspace: Path, known: set[str]) -> tuple[str, ...]:
    """Notebooks among the reports of which the history knows nothing; `known` are paths as it has them."""
    folder = workspace / REPORTS
    found = (file.relative_to(folder).as_posix() for file in sorted(folder.glob("*/*.ipynb"), reverse=True))
    return tuple(name for name in found if f"{REPORTS}/{name}" not in known)


def _alerts(history: History, model: str) -> tuple[alert_store.Alert, ...]:
    with history.reading() as connection:
        return tuple(alert_store.alerts(connection, model).values())


def _champions(config: Config) -> Champions | None:
    """Who was champion when; None before the first promotion and where the file is damaged, which is warned of."""
    try:
        return champion_file.read(config.workspace)
    except CvkitError as error:
        log.warning("%s", error)
        return None


def _judged(version: versions.Version) -> Judged:
    try:
        return Judged(version, gate_results.read(version.folder))
    except CvkitError as error:
        return Judged(version, None, str(error))


def _since(champions: Champions | None, version: str, runs: pd.DataFrame) -> datetime | None:
    if champions is not None and champions.last.version == version:
        return champions.last.when
    return None if runs.empty else runs["window_start"].min().to_pydatetime()


def _others(history: History, model: str) -> Iterator[Other]:
    """The other models of the history, by name; what is measured of challengers beside a champion is none."""
    runs = history.runs(status="done")
    runs = runs[(runs["model"] != model) & ~runs["model"].str.endswith(SHADOW)]
    for name, mine in runs.groupby("model"):
        version = str(mine.sort_values(["window_start", "finished"])["version"].iloc[-1])
        of_version = mine[mine["version"] == version]
        starts = sorted(of_version["window_start"].unique())
        verdicts = history.verdicts(start=starts[-sources.SHOWN_WINDOWS :][0], model=str(name), version=version)
        yield Other(
            str(name), version, starts[0], verdicts, _measurements(history, verdicts, str(name), version),
            tuple(alerts.standing(history, str(name))),
        )  # fmt: skip


def _measurements(history: History, verdicts: pd.DataFrame, model: str, version: str) -> pd.DataFrame:
    """The measurements the status page draws: of what is not ok in the newest window, and of the key features."""
    newest = verdicts[verdicts["window_start"] == verdicts["window_start"].max()]
    wanted = {*sources.KEY_FEATURES, *QUALITY, *newest.loc[newest["state"].isin(["warning", "critical"]), "feature"]}
    start = min(sources.shown_windows(verdicts), default=None)
    parts = [
        history.measurements(start=start, model=model, version=version, feature=feature) for feature in sorted(wanted)
    ]
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
