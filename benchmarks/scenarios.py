"""Thirty days of real images: what is found of faults on one of two cameras, how late, and what is alarmed falsely.

`python -m benchmarks.scenarios [--keep FOLDER] SEED ...` prints what was found as JSON, a line for each scenario.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path

import pandas as pd

from benchmarks import Figure, at_most, not_measured
from benchmarks._captures import (
    AS_EVER,
    CAMERAS,
    FIRST_DAY,
    REFERENCE_DAYS,
    REFERENCE_FIRST_DAY,
    WATCHED_DAYS,
    WEIGHTS,
    WIDTH,
    Look,
    Scenes,
    available,
    days,
    scenes,
    write_days,
)
from cvkit import job
from cvkit.config import Config, load_config
from cvkit.monitoring import alarms, changes, diagnosis, monitor
from cvkit.monitoring.history import History
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.rules import GRADUAL
from cvkit.tables import Window

MICROSCOPE, STREET = CAMERAS
ONSET = 11  # day on which a change begins; the first day watched is day 1
NIGHT_LIGHT = 0.35
SETTINGS = """
model: {{name: cells-and-streets, weights: "{weights}", image_size: {size}}}
captures: {{images: "captures/{{source}}/{{date}}/{{time}}.jpg"}}
reference: {{start: {start}, end: {end}, match: [{match}]}}
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to `camera`, by day, 1 the first day watched; the reference is looked at by `usual`."""

    name: str
    camera: str
    look: Callable[[int], Look] | None  # from the onset on; None where nothing changes
    most: int = 0  # days after the onset by which it has to be found
    usual: Look = AS_EVER

    @property
    def alternates(self) -> bool:
        return self.usual.night != 1.0


NIGHTS = Look(night=NIGHT_LIGHT)
SCENARIOS = (
    Scenario("clean", MICROSCOPE, None),
    Scenario("darker by 2 % a day", MICROSCOPE, lambda day: Look(light=1 - 0.02 * (day - ONSET + 1)), 7),
    Scenario("blur grows by 0.1 px a day", MICROSCOPE, lambda day: Look(blur=0.1 * (day - ONSET + 1)), 7),
    Scenario("JPEG quality 15", MICROSCOPE, lambda day: Look(quality=15), 1),
    Scenario("fewer people, more cars", STREET, lambda day: Look(people=0.1, cars=4.0), 7),
    Scenario("frozen for 3 days", MICROSCOPE, lambda day: Look(frozen=day < ONSET + 3), 0),
    Scenario("day and night", MICROSCOPE, None, usual=NIGHTS),
    Scenario("nights darker by 30 %", MICROSCOPE, lambda day: Look(night=0.7 * NIGHT_LIGHT), 7, usual=NIGHTS),
)


@dataclass(slots=True)
class Found:
    """What cvkit said in a scenario. Days count from 1; 0 where there is none."""

    seed: int
    scenario: str
    camera: str
    first_alarm: int = 0  # day
    features: str = ""  # that were alarmed first, the strongest evidence first
    onset: int = 0  # estimated by the strongest of them
    earliest: int = 0
    latest: int = 0
    way: str = ""  # gradually or suddenly, by the strongest stream of the last day
    kind: str = ""  # of change, on the day of the first alarm
    kind_last: str = ""  # on the last day
    what: str = ""  # the likely cause in words
    false: list[str] = field(default_factory=list)  # alarms before the onset or on the other camera

    @property
    def delay(self) -> int | None:
        return self.first_alarm - ONSET if self.first_alarm else None


def run() -> Iterator[Figure]:
    if not available():
        yield not_measured("scenarios", "days", "", "real images and a detector's weights, which are not here")
        return
    with tempfile.TemporaryDirectory() as temporary:
        for scenario, found in zip(SCENARIOS, play(Path(temporary), 0), strict=True):
            name = f"scenarios.{re.sub('[^a-z0-9]+', '_', scenario.name.lower()).strip('_')}"
            said = f"{found.kind_last} {found.way}: {found.what}"
            if scenario.look is not None and found.delay is None:
                yield Figure(f"{name}.delay", None, "days", f"<= {scenario.most}", False, "not found in 20 days")
            elif scenario.look is not None and found.delay is not None:
                yield at_most(f"{name}.delay", found.delay, "days", scenario.most, said)
            yield at_most(f"{name}.false", len(found.false), "alarms", 0, "; ".join(found.false) or "none in 30 days")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.scenarios")
    parser.add_argument("seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--keep", type=Path, help="an empty folder for the workspaces, to look at them")
    options = parser.parse_args()
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.keep.absolute() / str(seed) if options.keep else Path(temporary)
            for found in play(folder, seed):
                print(json.dumps({**asdict(found), "delay": found.delay}), flush=True)


def play(folder: Path, seed: int) -> Iterator[Found]:
    """Every scenario in a workspace of its own; images and what was measured of them are shared where they are alike.

    The first scenario is the one that the others are changed from.
    """
    known = {camera: scenes(camera) for camera in CAMERAS}
    for number, scenario in enumerate(SCENARIOS):
        place = folder / f"{number}"
        config = _prepare(place, folder / "0", seed, scenario, known)
        windows = [Window.day(day.isoformat()) for day in days(FIRST_DAY, WATCHED_DAYS)]
        outcome = job.run(config, windows, reports=0)
        assert not outcome.failures, outcome.failures
        yield _read(config, scenario, seed)


def _prepare(place: Path, clean: Path, seed: int, scenario: Scenario, known: dict[str, Scenes]) -> Config:
    """The scenario's workspace, before anything was judged."""
    reference, watched = days(REFERENCE_FIRST_DAY, REFERENCE_DAYS), days(FIRST_DAY, WATCHED_DAYS)
    if place == clean:
        for camera in CAMERAS:
            write_days(place, seed, camera, known[camera], [(day, AS_EVER) for day in (*reference, *watched)])
    else:
        ignored = shutil.ignore_patterns("history.db*", "locks")
        shutil.copytree(clean, place, copy_function=os.link, ignore=ignored)
        (place / "cvkit.yml").unlink()
    usual = [(day, scenario.usual) for day in (*reference, *watched)] if scenario.alternates else []
    write_days(place, seed, scenario.camera, known[scenario.camera], usual)
    if scenario.look is not None:
        late = [(day, scenario.look(number)) for number, day in enumerate(watched, 1) if number >= ONSET]
        write_days(place, seed, scenario.camera, known[scenario.camera], late)
    text = SETTINGS.format(
        weights=WEIGHTS.resolve(), size=WIDTH, start=REFERENCE_FIRST_DAY, end=FIRST_DAY,
        match="hour" if scenario.alternates else "",
    )  # fmt: skip
    (place / "cvkit.yml").write_text(text)
    return load_config(place)


def _read(config: Config, scenario: Scenario, seed: int) -> Found:
    with History.open(config.history_url) as history:
        verdicts = history.verdicts(model=config.model.name, version=config.version)
    found = Found(seed, scenario.name, scenario.camera)
    raised = list(_raised(verdicts))
    changed = [one for one in raised if one.day >= ONSET and one.source == scenario.camera and scenario.look]
    found.false = [f"{one.source} {one.feature} on day {one.day}" for one in raised if one not in changed]
    if not changed:
        return found
    found.first_alarm = min(one.day for one in changed)
    first = monitor.observe(config, _window(found.first_alarm))
    last = monitor.observe(config, _window(WATCHED_DAYS))
    at_first = {one.feature for one in changed if one.day == found.first_alarm}
    _tell_onset(found, first, at_first)
    found.kind, found.kind_last = (changes.kind(changes.rank(one)).get(scenario.camera, "") for one in (first, last))
    found.way = _way(last, scenario.camera)
    rows = diagnosis.diagnose(verdicts)
    found.what = "; ".join(rows.loc[rows["source"] == scenario.camera, "what"])
    return found


@dataclass(frozen=True, slots=True)
class _Raised:
    source: str
    feature: str
    day: int


def _raised(verdicts: pd.DataFrame) -> Iterator[_Raised]:
    """Every feature of every camera that became a warning or worse, on the day when it did."""
    for (source, feature), part in verdicts[verdicts["state"] != "unknown"].groupby(["source", "feature"]):
        ordered = part.sort_values("window_start")
        bad = ordered["state"].isin(["warning", "critical"])
        began = bad & ~bad.shift(fill_value=False)
        for start in ordered.loc[began, "window_start"]:
            yield _Raised(str(source), str(feature), _day(start.date()))


def _tell_onset(found: Found, observation: Observation, at_first: set[str]) -> None:
    """Since when the strongest of the first alarms says that it changed; findings tell no onset."""
    told = {
        feature: alarm
        for (source, feature), state in observation.streams.items()
        if source == found.camera and feature in at_first
        if (alarm := alarms.at(state, observation.window.start)) is not None and alarm.active
    }
    strongest = sorted(told, key=lambda feature: -told[feature].evidence)
    found.features = ", ".join([*strongest, *sorted(at_first - set(strongest))])
    if strongest:
        alarm = told[strongest[0]]
        moments = (alarm.onset, alarm.first, alarm.last)
        found.onset, found.earliest, found.latest = (_day(datetime.fromisoformat(one).date()) for one in moments)


def _way(observation: Observation, camera: str) -> str:
    told = [
        alarm
        for (source, _), state in observation.streams.items()
        if source == camera and (alarm := alarms.at(state, observation.window.start)) is not None and alarm.active
    ]
    known = [one for one in told if one.gradual == one.gradual]
    if not known:
        return ""
    return "gradually" if max(known, key=lambda one: one.evidence).gradual > GRADUAL else "suddenly"


def _window(day: int) -> Window:
    return Window.day(days(FIRST_DAY, WATCHED_DAYS)[day - 1].isoformat())


def _day(moment: date) -> int:
    return (moment - FIRST_DAY).days + 1


if __name__ == "__main__":
    main()
