"""`cvkit demo`: the whole main job on a generated production line, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from datetime import time as clock
from pathlib import Path

from cvkit import demo_world, job, workspace
from cvkit.config import Config
from cvkit.documentation import site
from cvkit.errors import ConfigError
from cvkit.maintenance import rounds
from cvkit.monitoring import alert_text, alerts, monitor
from cvkit.monitoring.history import History
from cvkit.progress import bar
from cvkit.storage import lock, write_text

CHECKPOINT = Path(__file__).with_name("demo.pt")
MARK = ".cvkit-demo"  # a folder with this file was made by the demo and may be made anew
UNFINISHED = "this demo is being made, or was cut off"  # what is in it until then
LOCKS = "locks"


def run(
    folder: Path, seed: int = 0, reported_days: int = 1, say: Callable[[str], None] = lambda line: None,
    *, anew: bool = False,
) -> job.Outcome:  # fmt: skip
    """Make a workspace at `folder`, measure its 21 days, decide, train, write the last day's reports, build the site.

    `say` hears what it does. The version that is trained challenges only: promoting it is left to whoever looks on. The
    same seed gives the same result. Raises ConfigError where `folder` holds anything: an earlier demo goes only where
    one is to be made `anew`, or where it was cut off before it was whole. BusyError while another process makes it.
    """
    started = time.perf_counter()
    _check(folder, anew)
    write_text(folder / MARK, UNFINISHED)
    with lock(folder / LOCKS / "demo.lock", "making this demo"):
        outcome, done = _make(folder, seed, reported_days, say)
        write_text(folder / MARK, "")
    say(f"\nDone in {time.perf_counter() - started:.0f} s. Look at it:\n  {_command()} site serve --config {folder}")
    say(f"Say that somebody is on it:\n  {_command()} alerts ack drift@cam-1 --why 'lens is cleaned' --config {folder}")
    if done.result.outcome == "passed":
        why = "--why 'sees through the dirt' --config"
        say(f"Let the new version in:\n  {_command()} retrain promote {done.version.name} {why} {folder}")
    else:
        say(f"The version in use stays, for the reasons above:\n  {_command()} retrain status --config {folder}")
    return outcome


def _make(
    folder: Path, seed: int, reported_days: int, say: Callable[[str], None]
) -> tuple[job.Outcome, rounds.Round]:  # fmt: skip
    say(f"A generated production line, three cameras, {demo_world.DAYS} days, in {folder}")
    say("It is measured, a version is trained and judged, reports and site are written: some minutes.")
    config = prepare(folder, seed, anew=True)
    with History.open(config.history_url) as history:
        windows = monitor.due(config, history, demo_world.END)
    outcome = job.run(config, windows, reports=0)
    say(f"\n{outcome.summary}")
    with History.open(config.history_url) as history:
        raised = alerts.table(history, config.model.name)
    say(f"\nAlerts, which go to the channels that you name in cvkit.yml:\n{alert_text.table(raised)}")
    done = _retrain(config, say)
    reported = job.run(config, windows[-reported_days:], reports=reported_days)
    site.build(config)
    for failure in (*outcome.failures, *reported.failures):
        say(f"failed: {failure}")
    return replace(outcome, failures=(*outcome.failures, *reported.failures)), done


def _retrain(config: Config, say: Callable[[str], None]) -> rounds.Round:
    """Say what is to be done, and train on what the dirty camera has seen since it is dirty."""
    made = rounds.decide(config, demo_world.END)[1]
    about = f"{made.action} for {made.source}, by the policy {made.policy}"
    say(f"\nWhat is to be done: {about}; `cvkit retrain decide` says why.")
    say("So the model is trained on the labelled images of that camera since then, with old images beside:\n")
    first = datetime.combine(demo_world.DIRTY_FROM, clock(), UTC)
    windows = list(monitor.windows(config, first, demo_world.END))
    return rounds.run(config, windows, "incremental", agree=lambda result: False, by="demo", why=made.action, say=say)


def prepare(folder: Path, seed: int = 0, *, anew: bool = False) -> Config:
    """The demo's workspace, before anything was measured."""
    _check(folder, anew)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    _clear(folder)
    with bar("generating images", "image") as step:
        demo_world.write_world(folder, seed, progress=step)
    (folder / "models").mkdir()
    shutil.copyfile(CHECKPOINT, folder / "models" / "demo.pt")
    return workspace.create(
        folder,
        {
            "model": {
                "name": "parts-inspection",
                "weights": str(folder / "models" / "demo.pt"),
                "image_size": demo_world.IMAGE_SIZE,
                "estimate_images": 0,  # learning takes half a minute, and the demo shall be over in two minutes
            },
            "captures": {
                "images": str(
                    folder.absolute() / "captures/{source}/{date}/{time}.jpg"
                ),  # else another's, if we are there
                "labels": "labels/{source}/{date}/{time}.txt",
            },
            "retraining": {"sources": [demo_world.DIRTY_CAMERA]},
            "evidently": False,  # it takes ten seconds to import, and the demo shall be over in two minutes
            "reference": {"data": str(folder / "reference" / "data.yaml"), "images": "{source}/{date}/{time}.jpg"},
        },
    )


def _check(folder: Path, anew: bool) -> None:
    """Raise ConfigError where `folder` holds what may not go: one that was cut off while it was made may."""
    if not folder.exists() or not _inside(folder):
        return
    if not (folder / MARK).exists():
        raise ConfigError(
            "this folder holds something else", where=str(folder), expected="a folder that the demo may write anew",
            remedy="name another: cvkit demo FOLDER",
        )  # fmt: skip
    if not anew and (folder / MARK).read_text(encoding="utf-8") != UNFINISHED:
        raise ConfigError(
            "there is a demo already, and what people did in it", where=str(folder), expected="an empty folder",
            remedy="name another: cvkit demo FOLDER; with --anew it is made anew, and all that is in it goes",
        )  # fmt: skip


def _inside(folder: Path) -> list[Path]:
    """What is in a demo, but what says that it is one and being made."""
    return [one for one in folder.iterdir() if one.name not in (MARK, LOCKS) and not one.name.startswith(f".{MARK}.")]


def _clear(folder: Path) -> None:
    for one in _inside(folder):
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()


def _command() -> str:
    """How the user calls cvkit: through uv, where that is how this process was started."""
    return "uv run cvkit" if "UV_RUN_RECURSION_DEPTH" in os.environ else "cvkit"
