"""A small made-up workspace with a history and executed reports, for looking at its site."""

from __future__ import annotations

import base64
import io
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import nbformat
import numpy as np
import pandas as pd
from nbformat import v4

from cvkit.config import Config, load_config
from cvkit.monitoring import identity
from cvkit.monitoring.history import History
from cvkit.tables import MEASUREMENTS, VERDICTS, Window, conform
from cvkit.workspace import packaged

HOSTILE = "tor 3 #|\"<script>alert('x')</script>& ☃ 'y'"
FIRST = datetime(2026, 11, 1, tzinfo=UTC)
USUAL = {"brightness": (118.0, 6.0), "sharpness": (2.6, 0.12), "confidence": (0.82, 0.02), "boxes": (4.2, 0.4)}


@dataclass
class MadeUp:
    """What to put into the workspace."""

    sources: tuple[str, ...] = ("cam-north", "cam-south", HOSTILE)
    days: int = 8
    blurred_from: int = 4  # on the first source
    reports: tuple[tuple[int, str, str, str], ...] = ()  # day, notebook, source, status
    extra: dict[str, str] = field(default_factory=dict)  # files by path


def day(number: int) -> Window:
    return Window(FIRST + timedelta(days=number), FIRST + timedelta(days=number + 1))


def fresh(folder: Path) -> Config:
    """A workspace as `cvkit init` leaves it."""
    shutil.copytree(packaged("skeleton"), folder)
    (folder / "cvkit.yml").write_text(
        "model: {name: parts <inspection>}\nreference: {start: 2026-01-01, end: 2026-02-01}\n"
    )
    return load_config(folder)


def make(folder: Path, made_up: MadeUp) -> Config:
    config = fresh(folder)
    with History.open(config.history_url) as history:
        for number in range(made_up.days):
            measurements, verdicts = numbers(made_up, number)
            history.record(
                model=config.model.name, version=config.version, window=day(number), **identity.judged_by(config),
                measurements=measurements, verdicts=verdicts, images=72, bad_images=5, started=day(number).end,
            )  # fmt: skip
        for number, notebook, source, status in made_up.reports:
            report(config, history, number, notebook, source, status)
    for path, text in made_up.extra.items():
        (folder / path).write_text(text)
    return config


def numbers(made_up: MadeUp, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(number)
    measurements, verdicts = [], []
    for source in made_up.sources:
        verdicts.append({"source": source, "rule": "data", "feature": "images", "state": "ok", "reason": "24 images"})
        for feature, (usual, spread) in USUAL.items():
            moved = feature == "sharpness" and source == made_up.sources[0] and number >= made_up.blurred_from
            value = usual + rng.normal() * spread / 3 - 6 * spread * moved
            measurements.append(
                {"source": source, "feature": feature, "metric": "mean", "value": value, "expected": usual,
                 "expected_low": usual - spread, "expected_high": usual + spread, "n": 24, "n_reference": 300}
            )  # fmt: skip
            state, reason = ("critical", f"mean {value:.3g}, <i>expected</i> {usual}") if moved else ("ok", "as usual")
            verdicts.append(
                {"source": source, "rule": "drift", "feature": feature, "state": state, "reason": reason}
            )  # fmt: skip
    return conform(pd.DataFrame(measurements), MEASUREMENTS), conform(pd.DataFrame(verdicts), VERDICTS)


def report(config: Config, history: History, number: int, notebook: str, source: str, status: str) -> Path:
    """A report in the history, and its executed notebook unless `status` is "missing"."""
    window = day(number)
    name = f"{notebook}--{quote(source, safe='')}" if source else notebook
    path = Path("reports") / window.label / f"{name}.ipynb"
    file = config.workspace / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if status == "damaged":
        file.write_text('{"cells": [')
    elif status != "missing":
        nbformat.write(executed(notebook, window, source, failed=status == "failed"), file)
    history.record_report(
        model=config.model.name, version=config.version, notebook=notebook, source=source, window=window,
        status={"missing": "done", "damaged": "done"}.get(status, status), path=path.as_posix(), started=window.end,
        finished=None if status == "running" else window.end + timedelta(seconds=9),
        error="ValueError: <b>no</b> images # at all" if status == "failed" else "",
    )  # fmt: skip
    return file


def executed(notebook: str, window: Window, source: str, *, failed: bool) -> nbformat.NotebookNode:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(3, 12)).round(3), index=["a", "<b>b</b>", "c"])
    about = f"Zebrafish {window.label} {notebook}".replace("<", "&lt;")
    cells = [
        v4.new_markdown_cell(f"# Report about {notebook}\n\n{about}"),
        v4.new_code_cell(f"window_start = '{window.label}'", metadata={"tags": ["parameters"]}),
        v4.new_markdown_cell("## Trend"),
        v4.new_code_cell("draw()", outputs=[v4.new_output("display_data", {"image/png": picture(window.label)})]),
        v4.new_markdown_cell("## Numbers"),
        v4.new_code_cell("table", outputs=[v4.new_output("display_data", {"text/html": table.to_html()})]),
    ]
    if failed:
        error = v4.new_output("error", ename="ValueError", evalue="no images", traceback=["\x1b[31mValueError\x1b[39m"])
        cells.append(v4.new_code_cell("stop()", outputs=[error]))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell{number}"
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def picture(seed: str) -> str:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (900, 300), "white")
    line = np.cumsum(np.random.default_rng(list(seed.encode())).normal(0, 8, 90)) + 150
    ImageDraw.Draw(image).line([(10 * x, float(y)) for x, y in enumerate(line)], fill=(20, 90, 110), width=3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
