"""Every command of cvkit in a sequence that makes sense, with what people and cameras do in between."""

from __future__ import annotations

import importlib.util
import shutil
from datetime import timedelta
from pathlib import Path

from tests.fault_world import NOW, Step

LAST = "2026-10-12"  # whose labels come late
DEMO = {  # patches that make the demo small
    "cvkit.demo_world:FIRST_DAY": "date 2026-10-18", "cvkit.demo_world:DAYS": 4, "cvkit.demo_world:CAMERAS": ["cam-1"],
    "cvkit.demo_world:REFERENCE_DAYS": 2, "cvkit.demo_world:OLD_DAYS": 1,
    "cvkit.config.retraining:INCREMENTAL": {"epochs": 1, "imgsz": 64, "freeze": 22},
    "cvkit.workspace:SCHEDULE": [{"notebook": "01-data-quality", "cron": "30 5 * * *", "time_zone": "UTC"}],
}  # fmt: skip
YEARS = NOW + timedelta(days=500)


def settle(folder: Path) -> None:
    """Somebody writes the settings, and labels of the last day are not there yet."""
    shutil.copyfile(folder.parent / "settings.yml", folder / "cvkit.yml")
    for day in folder.glob(f"labels/*/{LAST}"):
        shutil.rmtree(day)


def label(folder: Path) -> None:
    """Somebody labels the images of the plan, and agrees with the model."""
    shutil.copytree(folder / "asked", folder / "returned")


MEASURING = (
    Step("init", "init . --data reference/data.yaml --weights models/demo.pt "
         "--captures captures/{source}/{date}/{time}.jpg", again=(2,), kills=4),
    Step("reference", "reference", settle, kills=6),
    Step("run", f"run --from 2026-10-08 --to {LAST} --reports 0", kills=16),
    Step("run of what is due", "run --notebook 02-drift", kills=6),
    Step("run --due", "run --due", kills=6),
    Step("run again", f"run --window {LAST} --reports 0", kills=5),
    Step("reference --rebuild", "reference --rebuild", kills=4),
)  # fmt: skip
READING = tuple(
    Step(words, words, kills=1, code=code)
    for words, code in (
        ("status", 0), ("backtest", 0), ("rules check", 0), ("alerts list", 0), ("alerts show few@cam-1", 0),
        ("alerts log", 0), ("retrain status", 0), ("template list", 0), ("template example data-sheet", 0),
        ("doctor", 0), ("schema", 0),
    )
)  # fmt: skip
ALERTS = (
    Step("alerts ack", "alerts ack few@cam-1 --why seen --by ann", kills=4),
    Step("alerts snooze", "alerts snooze few@cam-2 --why later --by ann --until 2026-10-20", kills=4),
    Step("alerts disable", "alerts disable drift@cam-2 --why known --by ann", kills=3),
    Step("alerts enable", "alerts enable few@cam-1 --by ann", again=(3,), kills=3),
    Step("alerts override", "alerts override few --set above=0.2 --until 2026-10-20 --why try --by ann", kills=3),
    Step("alerts override --end", "alerts override few --end --by ann", kills=3),
    Step("alerts deliver", "alerts deliver", kills=4),
    Step("alerts test", "alerts test", kills=1),
)
LABELS = (
    Step("labels plan", f"labels plan --budget 6 --window {LAST} --out asked", again=(2,), kills=8),
    Step("labels import", "labels import returned", label, kills=4),
    Step("run with late labels", "run --reports 0", kills=6),
)
RETRAINING = (
    Step("retrain decide", "retrain decide", kills=3),
    Step("retrain prepare", "retrain prepare", kills=8),
    Step("retrain run", "retrain run", kills=8),
    Step("retrain gate", "retrain gate", kills=6),
    Step("retrain shadow", f"retrain shadow {{challenger}} --window {LAST}", kills=3),
    *([Step("retrain export", "retrain export {challenger}", kills=3)] if importlib.util.find_spec("onnx") else []),
    Step("retrain promote", "retrain promote {challenger} --why better --by ann --force", kills=6),
    Step("run of the new champion", f"run --from 2026-10-10 --to {LAST} --reports 0", kills=4),
    Step("retrain rollback", "retrain rollback --why worse --by ann", kills=6),
    Step("retrain", "retrain --kind incremental --seed 1 --yes --by ann", kills=6),
)
TELLING = (
    Step("card new", "card new", again=(2,), kills=3),
    Step("card fill", "card fill", kills=2),
    Step("card check", "card check", code=9, kills=1),
    Step("card diff", "card diff", kills=1),
    Step("template new", "template new data-sheet", again=(2,), kills=2),
    Step("site", "site", kills=8),
    Step("site publish", "site publish --to out/public", kills=6),
    Step("site prune", "site prune --delete", kills=2, now=YEARS),
    Step("metrics textfile", "metrics textfile out/cvkit.prom", kills=2),
    Step("metrics backfill", "metrics backfill out/cvkit.om", kills=2),
    Step("deploy", "deploy out/deployed", kills=3),
    Step("backup", "backup out/backup.tar.gz", kills=5),
    Step("restore", "restore out/backup.tar.gz out/back", again=(2,), kills=5),
)
STAYING = (
    Step("schedule", "schedule", repeat="run --due", now=NOW + timedelta(days=1), kills=4),
    Step("demo", "demo out/demo", patches=DEMO, kills=3),
)
EVERY = (*MEASURING, *READING, *ALERTS, *LABELS, *RETRAINING, *TELLING, *STAYING)
