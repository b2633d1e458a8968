"""The site's growth: many executed reports, one new one, and a year of verdicts.

A process of its own builds each time, so that CPU seconds and memory are those of a command, imports included.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import Figure, at_most, observed
from cvkit.config import Config, load_config
from cvkit.documentation import pictures
from cvkit.monitoring import identity
from cvkit.monitoring.history import History
from cvkit.storage import packaged
from cvkit.tables import MEASUREMENTS, VERDICTS, Window, conform

REPORTS = int(os.environ.get("CVKIT_BENCHMARK_REPORTS", "1000"))
SOURCES, DAYS = 15, 365
VARIANTS = 8  # of pictures: drawing them takes longer than all that is measured here
FEATURES = ("brightness", "contrast", "sharpness", "noise", "confidence", "boxes", "entropy", "saturation")
NOTEBOOKS = ("01-data-quality", "02-drift", "03-anomalies", "04-performance")
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
BUILD = """
import json, sys, time
from benchmarks import peak_mib
from cvkit.config import load_config
from cvkit.documentation import site
site.build(load_config(sys.argv[1]))
print(json.dumps([time.process_time(), peak_mib()]))
"""


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        config = _workspace(Path(folder) / "workspace")
        empty, _ = _build(config)
        yield observed("site without reports", empty, "CPU s", "with a year of 15 sources in the history")
        for number in range(REPORTS):
            _report(config, number)
        first, memory = _build(config)
        about = f"{REPORTS} reports, {SOURCES} sources, {DAYS} days"
        yield at_most("first build, each report", (first - empty) / REPORTS, "CPU s", 0.25, about)
        yield at_most("memory of the first build", memory, "MiB", 1024, about)
        _report(config, REPORTS)
        again, memory = _build(config)
        yield at_most("one new report, the whole site", again, "CPU s", 8, about)
        yield at_most("memory of one new report", memory, "MiB", 1024, about)
        site = config.workspace / "site"
        sizes = [file.stat().st_size for file in site.rglob("*") if file.is_file()]
        yield at_most("size of the site", sum(sizes) / 1e6, "MB", 700, about)
        pages = [file.stat().st_size for file in site.glob("reports/*/*/index.html")]
        yield at_most("largest report page", max(pages) / 1e6, "MB", 2, about)
        index = (site / "search" / "search_index.json").stat().st_size
        yield observed("search index", index / 1e6, "MB", about)


def _build(config: Config) -> tuple[float, float]:
    """CPU seconds and MiB of a build in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD, str(config.workspace)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory


def _workspace(folder: Path) -> Config:
    import shutil

    shutil.copytree(packaged("skeleton"), folder)
    (folder / "cvkit.yml").write_text(
        "model: {name: parts}\nreference: {start: 2025-01-01, end: 2025-02-01}\nsite: {keep_days: 0}\n"
    )
    config = load_config(folder)
    rng = np.random.default_rng(0)
    with History.open(config.history_url) as history:
        for day in range(DAYS):
            measured = [
                {"source": f"cam-{source:02d}", "feature": feature, "metric": "mean", "value": rng.normal(), "n": 24,
                 "expected": 0.0, "expected_low": -2.0, "expected_high": 2.0, "n_reference": 300}
                for source in range(SOURCES) for feature in FEATURES
            ]  # fmt: skip
            judged = [
                {"source": row["source"], "rule": "drift", "feature": row["feature"], "reason": "as usual",
                 "state": "warning" if row["source"] == "cam-03" and day > DAYS - 5 else "ok"}
                for row in measured
            ]  # fmt: skip
            window = _window(day)
            history.record(
                model=config.model.name, version=config.version, window=window, **identity.judged_by(config),
                measurements=conform(pd.DataFrame(measured), MEASUREMENTS),
                verdicts=conform(pd.DataFrame(judged), VERDICTS), images=360, bad_images=3, started=window.end,
            )  # fmt: skip
    return config


def _window(day: int) -> Window:
    return Window(FIRST + timedelta(days=day), FIRST + timedelta(days=day + 1))


def _report(config: Config, number: int) -> None:
    """An executed report as `cvkit run` keeps it: drawings, tables, a sheet of photos; no two files alike."""
    name, window = NOTEBOOKS[number % len(NOTEBOOKS)], _window(number // len(NOTEBOOKS))
    notebook = copy.deepcopy(_pattern(name))
    drawn = 0
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = f"window_start = '{window.start.isoformat()}'  # {number}"
        elif cell["cell_type"] == "code":
            drawn += 1
            cell["outputs"] = [_output(number % VARIANTS, drawn)]
    path = Path("reports") / window.label / f"{name}.ipynb"
    (config.workspace / path).parent.mkdir(parents=True, exist_ok=True)
    (config.workspace / path).write_text(json.dumps(notebook, indent=1), encoding="utf-8")
    with History.open(config.history_url) as history:
        history.record_report(
            model=config.model.name, version=config.version, notebook=name, source="", window=window, status="done",
            path=path.as_posix(), started=window.end, finished=window.end + timedelta(seconds=40),
        )  # fmt: skip


def _pattern(name: str) -> dict[str, Any]:
    """The notebook that comes with cvkit: its words and code."""
    notebook: dict[str, Any] = json.loads((packaged("notebooks") / f"{name}.ipynb").read_text(encoding="utf-8"))
    return notebook


@cache
def _output(number: int, place: int) -> dict[str, Any]:
    if place % 3 == 0:
        frame = pd.DataFrame(np.random.default_rng([number, place]).normal(size=(12, 6)).round(4))
        return {"output_type": "display_data", "metadata": {}, "data": {"text/html": frame.to_html()}}
    data = {"image/png": _photos(number) if place == 4 else _drawing(number, place)}
    pictures.make_small(data)  # as it is done when a report is executed
    return {"output_type": "display_data", "metadata": {}, "data": data}


def _drawing(number: int, place: int) -> str:
    from PIL import Image, ImageDraw

    rng = np.random.default_rng([number, place])
    image = Image.new("RGBA", (1580, 1400), "white")
    pen = ImageDraw.Draw(image)
    for row in range(4):
        for colour in ("#0072b2", "#e69f00", "#009e73"):
            line = np.cumsum(rng.normal(0, 12, 60)) + 350 * row + 150
            pen.line([(26 * x, float(y)) for x, y in enumerate(line)], fill=colour, width=4)
        for column in range(40):
            pen.text((39 * column, 350 * row + 330), f"{rng.integers(100)}", fill="#333", font_size=20)
    return _png(image.resize((790, 700)))


def _photos(number: int) -> str:
    from PIL import Image

    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(40, 200, (18, 15, 3), dtype=np.uint8)).resize((608, 736))
    noisy = np.asarray(coarse).astype(float) + rng.normal(0, 4, (736, 608, 3))
    return _png(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)))


def _png(image: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
