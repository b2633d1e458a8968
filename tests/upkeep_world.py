"""A workspace with a bit of everything that cvkit keeps, for the tests of backup, restore and doctor."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lab_world import DAYS, measured
from test_flow import SETTINGS

from cvkit.config import Config, load_config
from cvkit.monitoring.history import History
from cvkit.tables import Window

NOW = datetime(2026, 9, 20, 12, tzinfo=UTC)
NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
TEST_SET = '{"format": 1, "classes": {}, "stretches": {}, "images": []}'
CHANNEL = "alerts: {channels: [{name: ops, kind: webhook, secret: 'env:CVKIT_TEST_HOOK'}]}\n"


def line(folder: Path) -> Config:
    """Two measured days with a report each, a version, a label plan's neighbour, words, and recorded frames."""
    config = measured(folder, DAYS[:2])
    with History.open(config.history_url) as history:
        for day in DAYS[:2]:
            report(config, history, day)
    for path, content in {
        "docs/index.md": "# Ours\n", "notebooks/own.ipynb": NOTEBOOK,
        "labels/cam-1/2026-09-08/060000.txt": "0 .5 .5 .1 .1",
        "label-plans/notes.txt": "why", ".cache/cvkit/drafts/ann.json": "{}", ".cache/other/big": "x" * 999,
        "recorded/frames/a.jpg": "picture", "site/index.html": "<p>", ".env": "TOKEN=hush",
        "retraining/test.json": TEST_SET, "retraining/runs/a/log.txt": "epoch 1",
    }.items():  # fmt: skip
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    (folder / ".env").chmod(0o600)
    version(folder, b"weights of the first")
    return config


def report(config: Config, history: History, day: str, *, status: str = "done", written: bool = True) -> Path:
    """A row about a report, and its file."""
    path = Path("reports") / day / "02-drift.ipynb"
    if written:
        (config.workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (config.workspace / path).write_text(NOTEBOOK)
    window = Window.day(day)
    history.record_report(
        model=config.model.name, version=config.version, notebook="02-drift", source="", window=window, status=status,
        path=path.as_posix(), started=window.end + timedelta(hours=5), finished=None,
    )  # fmt: skip
    return config.workspace / path


def version(folder: Path, weights: bytes) -> str:
    """A version of made-up weights; its name."""
    name = hashlib.sha256(weights).hexdigest()[:12]
    place = folder / "versions" / name
    place.mkdir(parents=True)
    (place / "weights.pt").write_bytes(weights)
    facts = {"kind": "adopted", "parent": "", "made": NOW.isoformat(), "data": "", "arguments": {}, "environment": {}}
    (place / "version.json").write_text(json.dumps({"name": name, "classes": {}, **facts}))
    return name


def with_settings(folder: Path, more: str) -> Config:
    """The workspace with more settings."""
    (folder / "cvkit.yml").write_text(SETTINGS + more)
    return load_config(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """What all files hold, by path."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
