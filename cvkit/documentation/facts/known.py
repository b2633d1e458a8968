"""What a workspace's records hold about its model, read once for all documents."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from cvkit.config import Config
from cvkit.config import champion as champion_file
from cvkit.config.champion import Champions
from cvkit.documentation.facts import network, quality, training_data
from cvkit.documentation.facts.training_data import Counted
from cvkit.errors import CvkitError, DataError
from cvkit.maintenance import dataset, decisions, gate_results, test_set, versions
from cvkit.maintenance.dataset import Prepared
from cvkit.maintenance.gate_results import Result
from cvkit.maintenance.test_set import TestSet
from cvkit.maintenance.versions import Version
from cvkit.monitoring import alerts
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.history import History
from cvkit.monitoring.reference import Reference
from cvkit.tables import empty

log = logging.getLogger(__name__)
Found = TypeVar("Found")
WINDOWS = 30  # newest windows that are told of


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What the records hold; None or empty where they hold nothing."""

    config: Config
    now: datetime
    version: str  # of the champion; "" where its weights are gone and nothing was measured
    champion: Version | None
    champions: Champions | None
    versions: tuple[Version, ...]
    result: Result | None  # of the gate, about the champion
    prepared: Prepared | None  # what the champion was trained on
    counted: Counted | None  # the same of one that was trained before cvkit
    reference: Reference | None
    quality: pd.DataFrame  # table QUALITY: how good the champion is on the reference
    test: TestSet | None
    network: Mapping[str, Any]  # layers, parameters, gflops, kind, and what the checkpoint tells of its training
    runs: pd.DataFrame
    measurements: pd.DataFrame  # of the newest windows
    verdicts: pd.DataFrame
    decisions: pd.DataFrame
    alerts: pd.DataFrame
    outcomes: Mapping[str, str]  # of the gate, by version
    latency_ms: float | None = None  # an image takes, where the gate compared the version last, on either side


def know(config: Config, now: datetime) -> Known:
    """Read the records. What is missing or damaged is left out, and warned of."""
    with History.open(config.history_url) as history:
        version = _or(lambda: history.current_version(config), "")
        runs = history.runs(model=config.model.name, version=version, status="done")
        starts = sorted(runs["window_start"].unique())[-WINDOWS:]
        first = starts[0].to_pydatetime() if starts else now
        about: dict[str, Any] = {"start": first, "model": config.model.name, "version": version}
        measured, judged = history.measurements(**about), history.verdicts(**about)
        decided, alarms = decisions.decisions(history, config.model.name), alerts.table(history, config.model.name)
    known, reference = tuple(versions.every(config)), _or(lambda: reference_step.load(config), None)
    champion = next((one for one in known if one.name == version), None)
    results = {one.name: _or(partial(gate_results.read, one.folder), None) for one in known}
    prepared = _or(lambda: _trained_on(config, champion), None)
    warned = bool(version) and version != _or(lambda: config.version, "")  # of the weights, by `current_version`
    weights = None if warned else _weights(config)
    built: Mapping[str, Any] = _or(lambda: network.network(config), dict[str, Any](), weights)
    adopted = champion is None or champion.kind == "adopted"
    return Known(
        config, now, version, champion, champion_file.read(config.workspace), known,
        results.get(version),
        prepared, _or(lambda: training_data.count(config, built.get("arguments", {})), None) if adopted else None,
        reference,
        quality.on_reference(config, reference) if reference else empty(quality.QUALITY),
        _or(lambda: test_set.load(config, verify=False), None),
        built, runs, measured, judged, decided, alarms, {name: one.outcome for name, one in results.items() if one},
        _latency([one for one in results.values() if one], version),
    )  # fmt: skip


def _latency(results: Sequence[Result], version: str) -> float | None:
    """What an image takes with the version, by the newest gate that compared it with another."""
    both = [(one, (one.champion, one.challenger)) for one in results]
    told = [(one.made, one.latency_ms[sides.index(version)]) for one, sides in both if version in sides]
    return max(told)[1] if told else None


def _or(read: Callable[[], Found], nothing: Found, file: Path | None = None) -> Found:
    """What `read` gives, or `nothing` where it is not there or damaged; damage, also of `file`, is warned of."""
    try:
        return read()
    except DataError as error:
        log.log(logging.WARNING if file and file.is_file() else logging.INFO, "%s", error)
    except CvkitError as error:
        log.warning("%s", error)
    return nothing


def _weights(config: Config) -> Path | None:
    return config.resolve(config.model.weights) if config.model.weights else None


def _trained_on(config: Config, champion: Version | None) -> Prepared | None:
    if champion is None or not (config.workspace / dataset.FOLDER / champion.data / dataset.FACTS).is_file():
        return None
    return dataset.load(config, champion.data)
