"""A small workspace with a week that was measured, for the tests of the panel: cam-2 gets dark on the last days."""

from __future__ import annotations

from pathlib import Path

from test_flow import CAMERAS, SETTINGS, take

from cvkit.config import Config, load_config
from cvkit.monitoring import monitor, reference
from cvkit.monitoring.history import History
from cvkit.tables import Window

DAYS = [f"2026-09-{day:02d}" for day in range(8, 14)]


def measured(folder: Path, days: list[str] = DAYS) -> Config:
    """The workspace, its days measured."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cvkit.yml").write_text(SETTINGS)
    for day in [f"2026-09-{day:02d}" for day in range(1, 7)] + days:
        for camera in CAMERAS:
            take(folder, camera, day, dark=0.6 if camera == "cam-2" and day >= DAYS[3] else 1.0)
    config = load_config(folder)
    known = reference.load(config)
    with History.open(config.history_url) as history:
        for day in days:
            monitor.run(config, Window.day(day), history, known)
    return config
