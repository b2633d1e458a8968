"""A round of maintenance: from the decision to a new champion, as far as evidence, gate and policy allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from cvkit.config import Config
from cvkit.errors import StorageError
from cvkit.maintenance import dataset, decision, decisions, evidence, gate, test_set, training, versions
from cvkit.maintenance.dataset import Kind, Prepared
from cvkit.maintenance.decision import Decision
from cvkit.maintenance.facts import Evidence
from cvkit.maintenance.gate import Result
from cvkit.maintenance.versions import Version
from cvkit.monitoring.history import History
from cvkit.tables import Window

TRAININGS: Mapping[str, Kind] = {"retrain incrementally": "incremental", "retrain fully": "full"}
# What a person does, where the decision is none for a training.
NEXT = {
    "keep": "nothing is to be done",
    "repair the data": "see `cvkit status` for what is at fault, and mend it where the images are made",
    "label first": "`cvkit labels plan` draws the images to label",
    "recalibrate": "set model.confidence in cvkit.yml to the confidence that is named above",
    "roll back": "`cvkit retrain rollback --why ...` goes back to the champion before",
}

Say = Callable[[str], None]
Progress = Callable[[int, int], None]
Agree = Callable[[Result], bool]
Bar = Callable[[str, str], AbstractContextManager[Progress]]  # of words and a unit, a progress bar


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """What a round came to."""

    prepared: Prepared
    version: Version
    result: Result
    promoted: bool


def decide(config: Config, now: datetime) -> tuple[Evidence, Decision]:
    """What to do now, recorded, and on what evidence. Raises as `evidence.collect`."""
    with History.open(config.history_url) as history:
        found = evidence.collect(config, history, now)
        made = decision.decide(found, config.retraining)
        decisions.record(history, found, made)
    return found, made


def run(
    config: Config,
    windows: Sequence[Window],
    kind: Kind,
    *,
    agree: Agree,
    by: str,
    why: str,
    seed: int = 0,
    say: Say = lambda line: None,
    bar: Bar = lambda words, unit: nullcontext(lambda done, total: None),
) -> Round:
    """Prepare the data of `windows`, train, judge, and promote what passed where `agree` says so.

    What was done before by the same settings is not done again, so that a
    round which was killed goes on. Raises what its steps raise; the champion stays until the last of them.
    """
    with bar("reading windows", "window") as step:
        prepared = dataset.prepare(config, windows, kind=kind, seed=seed, progress=step)
    say(dataset.describe(prepared))
    with bar(f"training on {prepared.id}", "batch") as step:
        version = training.train(config, prepared, kind, seed=seed, progress=step)
    say(f"version {version.name}: {kind}, from {version.parent}")
    with bar("judging", "image") as step:
        result = gate.judge(config, version, test_set.load(config), step)
    say(gate.text(result))
    promoted = result.outcome == "passed" and agree(result)
    if promoted:
        versions.promote(config, version.name, by=by, why=why)
        say(f"{version.name} is the champion")
    return Round(prepared, version, result, promoted)


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The newest version that was trained, with what belongs to it, and what the gate said last."""

    version: Version | None  # None: nothing was trained yet
    prepared: Prepared | None  # None where its data are gone
    curves: pd.DataFrame  # an epoch a row, as Ultralytics writes them; empty where they are not known
    result: Result | None  # of the newest version that was judged, which may be another; None: none was
    damage: str = ""  # what is wrong with the curves, and what to do


def newest(config: Config) -> Trained:
    """The newest version that was trained, and the newest result. Raises StorageError where its data are damaged."""
    trained = [one for one in versions.every(config) if one.kind != "adopted"]
    if not trained:
        return Trained(None, None, pd.DataFrame(), None)
    version = trained[-1]
    file = version.folder / training.CURVES
    curves, damage = pd.DataFrame(), ""
    try:
        curves = training.curves(file) if file.is_file() else curves
    except StorageError as error:
        damage = f"{error.problem}: {error.where}: {error.found}; {error.remedy}"
    known = (config.workspace / dataset.FOLDER / version.data / dataset.FACTS).is_file()
    results = [result for one in trained if (result := gate.load(one))]
    return Trained(
        version, dataset.load(config, version.data) if known else None, curves,
        max(results, key=lambda result: result.made, default=None), damage,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of the model in use at a moment, and what is to be done; nothing is recorded."""

    evidence: Evidence
    decision: Decision
    measurements: pd.DataFrame  # table MEASUREMENTS of all windows up to then, with `window_start` and `window_end`
    verdicts: pd.DataFrame  # table VERDICTS, the same

    def of(self, source: str) -> pd.DataFrame:
        """The measurements of a source; of all where it is empty."""
        return self.measurements[self.measurements["source"] == source] if source else self.measurements


def known(config: Config, now: datetime) -> Known:
    """The evidence at `now`, and the decision on it; without any, where nothing was measured yet."""
    model = config.model.name
    with History.open(config.history_url) as history:
        some = not history.runs(model=model, status="done").empty
        found = evidence.collect(config, history, now) if some else Evidence(model, config.version, now, None, None)
        measured = history.measurements(end=now, model=model, version=found.version)
        verdicts = history.verdicts(end=now, model=model, version=found.version)
    return Known(found, decision.decide(found, config.retraining), measured, verdicts)
