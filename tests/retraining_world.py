"""A small production line to retrain on: three cameras, few frames a day, one lens that gets dirty."""

from __future__ import annotations

import hashlib
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cvkit import demo, demo_world, workspace
from cvkit.config import Config, load_config
from cvkit.tables import Window

SIZES = {"FRAMES_A_DAY": 5, "FIRST_DAY": date(2026, 10, 10), "DAYS": 4, "REFERENCE_DAYS": 3, "OLD_DAYS": 4}
WINDOWS = [Window.day(f"2026-10-{day}") for day in (10, 11, 12, 13)]


def make(folder: Path, **retraining: Any) -> Config:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SIZES.items():
            patch.setattr(demo_world, name, value)
        demo_world.write_world(folder, seed=3)
    return workspace.create(
        folder,
        {
            "model": {
                "name": "parts",
                "weights": str(demo.CHECKPOINT),
                "image_size": 160,
                "estimate_images": 0,
                "embeddings": False,
            },
            "captures": {
                "images": "captures/{source}/{date}/{time}.jpg",
                "labels": "labels/{source}/{date}/{time}.txt",
            },
            "reference": {"data": str(folder / "reference" / "data.yaml"), "images": "{source}/{date}/{time}.jpg"},
            "retraining": {"minimum_labels": 20, "incremental": {"epochs": 1}, **retraining},
        },
    )


def copy(config: Config, folder: Path, **settings: Any) -> Config:
    """The same workspace elsewhere, with other settings of `retraining`."""
    shutil.copytree(config.workspace, folder)
    return changed(folder, **settings)


def changed(folder: Path, **settings: Any) -> Config:
    config = load_config(folder)
    retraining = config.retraining.model_copy(update=settings)
    return config.model_copy(update={"retraining": retraining})


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha(path) for path in files}
