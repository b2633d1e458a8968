"""Rules of the house for every notebook, and that each runs to its end whatever the window holds."""

from __future__ import annotations

import ast
import io
import json
import re
from pathlib import Path
from typing import Any

import cv2
import IPython.display
import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure

from cvkit import job
from cvkit.config import Config, load_config
from cvkit.documentation import notebooks
from cvkit.documentation.site import rendering
from cvkit.monitoring.history import History
from cvkit.monitoring.schema import MEASURED
from cvkit.tables import Window

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMETERS = ["config", "window_start", "window_end", "source"]
MOST_CELLS, MOST_LINES = 15, 12
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
REPORTS = [path for path in NOTEBOOKS if path.stem[:2].isdigit() and path.stem != "00-start-here"]
REPORT = pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
OTHERS = [path for path in NOTEBOOKS if path not in REPORTS]  # tours and recipes: to be worked with, not judged by
OTHER = pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def parameters_cell(path: Path) -> str:
    (cell,) = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    return str(cell.source)


def python(cell: Any) -> ast.Module:
    """A cell's code without lines that only IPython understands."""
    return ast.parse("\n".join(line for line in cell.source.splitlines() if not line.startswith("%")))


def test_there_are_notebooks() -> None:
    assert {path.stem for path in REPORTS} >= {"01-data-quality", "02-drift"}
    tours = {"00-start-here", "explore", "recipe-month"}
    recipes = {"recipe-own-metric", "recipe-own-rule", "recipe-other-model", "recipe-two-cameras"}
    assert {path.stem for path in OTHERS} == tours | recipes


@EVERY
def test_it_is_valid_runs_anywhere_and_is_stored_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(work|home|Users|root|tmp)/", text)
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"  # diffs show changes only


@EVERY
def test_it_begins_with_question_reader_and_decision(path: Path) -> None:
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    for word in ("**Question.**", "**Reader.**", "**Decision.**"):
        assert word in first.source


@EVERY
def test_its_parameters_are_annotated_literals_with_a_comment(path: Path) -> None:
    text = parameters_cell(path)
    statements = ast.parse(text).body
    assert all(isinstance(statement, ast.AnnAssign) for statement in statements)
    assert [statement.target.id for statement in statements] == PARAMETERS  # type: ignore[attr-defined, union-attr]
    for statement, line in zip(statements, text.splitlines(), strict=True):
        assert isinstance(ast.literal_eval(statement.value), str)  # type: ignore[attr-defined, union-attr, arg-type]
        comment = line.partition("  # ")[2]
        assert len(comment.split()) >= 3, line
        if "window" in line:
            assert "ISO" in comment
            assert "UTC" in comment


@EVERY
def test_its_cells_are_few_and_short(path: Path) -> None:
    cells = code_cells(path)
    assert len(cells) <= MOST_CELLS
    for cell in cells:
        assert len(cell.source.splitlines()) <= MOST_LINES, cell.source
        assert max(map(len, cell.source.splitlines())) <= 120
        forbidden = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Try, ast.While)
        assert not [node for node in ast.walk(python(cell)) if isinstance(node, forbidden)], cell.source


@REPORT
def test_it_says_what_a_bad_picture_looks_like(path: Path) -> None:
    words = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    assert sum("**A bad picture:**" in text for text in words) >= 3


@EVERY
def test_it_ends_with_what_to_do(path: Path) -> None:
    last = read(path).cells[-1]
    assert last.cell_type == "markdown"
    assert last.source.startswith("## What to do next")
    assert last.source.count("\n- **") >= 3


# -- every notebook on odd windows ----------------------------------------------------------------------------------

PREDICTED = "predictions/{source}/{date}.jsonl"


def workspace(folder: Path, days: dict[str, dict[str, int]], predicted: bool = True, layout: str = "{source}/") -> Path:
    """A workspace with so many images by day and source; 2026-09-01 and 02 are the reference."""
    rng = np.random.default_rng(5)
    for day, sources in days.items():
        for source, n in sources.items():
            lines = []
            for number in range(n):
                place = layout.replace("{source}", source)
                file = folder / "captures" / place / day / f"{number // 60:02d}{number % 60:02d}00.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(file), rng.normal(100, 20, (24, 32, 3)).clip(0, 255).astype(np.uint8))
                box = {"class_id": int(rng.integers(2)), "confidence": 0.8, "xyxy": [2, 2, 20, 20]}
                lines.append(json.dumps({"image": file.relative_to(folder).as_posix(), "boxes": [box]}))
            if predicted:
                said = folder / "predictions" / source / f"{day}.jsonl"
                said.parent.mkdir(parents=True, exist_ok=True)
                said.write_text("\n".join(lines))
    said_where = f'predictions: "{PREDICTED}"' if predicted else ""
    (folder / "cvkit.yml").write_text(
        "model: {name: test $x$, classes: [nut, bolt]}\n"
        f'captures:\n  images: "captures/{layout}{{date}}/{{time}}.jpg"\n  {said_where}\n'
        "reference: {start: 2026-09-01, end: 2026-09-03}\n"
    )
    return folder


def run(path: Path, monkeypatch: pytest.MonkeyPatch, **parameters: str) -> list[Any]:
    """What the notebook displays; papermill does the same in a process of its own."""
    shown: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda *things: shown.extend(things))
    names: dict[str, Any] = {}
    for cell in code_cells(path):
        tree = python(cell)
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body[-1] = ast.copy_location(ast.Assign([ast.Name("_shown", ast.Store())], last.value), last)
        exec(compile(ast.fix_missing_locations(tree), path.name, "exec"), names)
        if isinstance(last, ast.Expr) and names["_shown"] is not None:
            shown.append(names["_shown"])
        if "parameters" in cell.metadata.get("tags", []):
            names.update(parameters)
    return shown


def of_day(day: str, source: str = "") -> dict[str, str]:
    return {"window_start": day, "window_end": f"{day[:-1]}{int(day[-1]) + 1}", "source": source}


def told(shown: list[Any]) -> str:
    """All words of the Markdown that was displayed."""
    return " ".join(str(thing.data) for thing in shown if isinstance(thing, IPython.display.Markdown))


DAYS = {"2026-09-01": {"cam-1": 15}, "2026-09-02": {"cam-1": 15}}
CASES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "a day like any": ({"days": {**DAYS, "2026-09-05": {"cam-1": 24}}}, of_day("2026-09-05")),
    "no images": ({"days": DAYS}, of_day("2026-09-05")),
    "one image": ({"days": {**DAYS, "2026-09-05": {"cam-1": 1}}}, of_day("2026-09-05", "cam-1")),
    "a source the reference does not know": (
        {"days": {**DAYS, "2026-09-05": {"cam-1": 3, "cam $2$": 24}}}, of_day("2026-09-05", "cam $2$")
    ),
    "a source that is not there": ({"days": {**DAYS, "2026-09-05": {"cam-1": 24}}}, of_day("2026-09-05", "cam-9")),
    "no predictions": ({"days": {**DAYS, "2026-09-05": {"cam-1": 24}}, "predicted": False}, of_day("2026-09-05")),
    "thirty sources": (
        {"days": {day: {f"cam-{i}": 4 for i in range(30)} for day in ("2026-09-01", "2026-09-02", "2026-09-05")}},
        of_day("2026-09-05"),
    ),
}  # fmt: skip


@REPORT
@pytest.mark.parametrize("case", CASES)
def test_it_runs_to_its_end(path: Path, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = CASES[case]
    folder = workspace(tmp_path, **made)
    shown = run(path, monkeypatch, config=str(folder / "cvkit.yml"), **asked)
    figures = [thing for thing in shown if isinstance(thing, Figure)]
    assert len(figures) >= 3
    # Single odd images cannot be told with a reference as small as this one, nor performance without labels.
    # Nothing has been measured, let alone trained, and no card was started.
    unjudged = ("03-anomalies", "04-performance", "05-retraining", "06-model-card")
    judged = case in ("a day like any", "no predictions") and path.stem not in unjudged
    for figure in figures if case != "thirty sources" else []:  # test_plots draws that many; it takes seconds
        figure.savefig(io.BytesIO(), dpi=30)
    words = told(shown)
    assert ("**● ok:**" in words) == (judged)
    assert ("**? unknown:**" in words) == (not judged)
    assert "$" not in words


@REPORT
def test_it_runs_on_images_that_name_no_source(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = {**DAYS, "2026-09-05": {"x": 24}}
    folder = workspace(tmp_path, days, predicted=False, layout="")
    broken = next((folder / "captures" / "2026-09-05").iterdir())
    broken.write_bytes(b"broken")
    shown = run(path, monkeypatch, config=str(folder / "cvkit.yml"), **of_day("2026-09-05"))
    reading = {"05-retraining": "has measured no window", "06-model-card": "the card was not started"}
    assert reading.get(path.stem, "images without a source") in told(shown)


# -- tours and recipes ----------------------------------------------------------------------------------------------


@OTHER
@pytest.mark.parametrize("case", CASES)
def test_tours_and_recipes_say_what_is_missing(
    path: Path, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, asked = CASES[case]
    shown = run(path, monkeypatch, config=str(workspace(tmp_path, **made) / "cvkit.yml"), **asked)
    assert "$" not in told(shown)
    for thing in shown:
        if isinstance(thing, Figure):
            thing.savefig(io.BytesIO(), dpi=30)
    if path.stem in ("00-start-here", "explore"):
        sentence = next(thing for thing in shown if hasattr(thing, "error"))
        assert "no window has been measured yet" in sentence._repr_mimebundle_()["text/html"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two cameras and two measured days, of which one camera is dark on the second; all images have labels."""
    folder = tmp_path_factory.mktemp("measured")
    day = {"cam-1": 24, "cam $2$": 24}
    workspace(folder, dict.fromkeys(("2026-09-01", "2026-09-02", "2026-09-04", "2026-09-05"), day))
    for place, file in enumerate(sorted((folder / "captures").glob("*/*/*.jpg"))):
        label = folder / "labels" / file.relative_to(folder / "captures").with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"{place % 2} 0.4 0.45 0.5 0.7\n")
        if file.parent.name == "2026-09-05" and file.parent.parent.name == "cam-1":
            cv2.imwrite(str(file), cv2.imread(str(file)) // 3)
    labels, settings = '  labels: "labels/{source}/{date}/{time}.txt"\n', folder / "cvkit.yml"
    settings.write_text(settings.read_text().replace("  predictions:", f"{labels}  predictions:"))
    config = load_config(folder)
    assert not job.run(config, [Window.day("2026-09-04"), Window.day("2026-09-05")], notebooks=[]).failures
    return config


def contents(config: Config) -> dict[str, bytes]:
    """Every file of a workspace but what may be made again, and the history."""
    passed = ("features", "predictions/network", "embeddings", "references", "reports", "locks", "history.db", ".cvkit")
    files = (file for file in config.workspace.rglob("*") if file.is_file())
    names = {file.relative_to(config.workspace).as_posix(): file for file in files}
    return {name: file.read_bytes() for name, file in names.items() if not name.startswith(passed)}


@OTHER
def test_tours_and_recipes_are_executed_by_papermill_and_stand_still_on_the_site(path: Path, measured: Config) -> None:
    before = contents(measured)
    with History.open(measured.history_url) as history:
        known = len(history.measurements()), len(history.verdicts())
    report = notebooks.execute(measured, path.stem, Window.day("2026-09-05"))
    assert (report.status, report.error) == ("done", "")
    assert contents(measured) == before, "nothing is written into the workspace"
    with History.open(measured.history_url) as history:
        own = history.measurements(feature="own")
        assert (len(history.measurements()) - len(own), len(history.verdicts())) == known
    assert len(own) == (2 if path.stem == "recipe-own-metric" else 0), "what it says that it writes"
    if len(own):
        with History.open(measured.history_url) as history, history.writing() as connection:
            connection.execute(MEASURED.delete().where(MEASURED.c.feature == "own"))
    executed = json.loads(report.path.read_text(encoding="utf-8"))
    assert "widget-view" not in json.dumps(executed)
    page = rendering.render(executed)
    words = re.sub(r"<[^>]*>", " ", page.html)
    assert "widget" not in words.lower()
    assert "VBox(" not in words
    assert "Panel(" not in words
    if path.stem in ("00-start-here", "explore"):
        assert 'data-mime-type="image/png"' in page.html
        assert "Jupyter" in words


def test_the_tour_names_the_camera_and_why(measured: Config) -> None:
    tour = next(path for path in OTHERS if path.stem == "00-start-here")
    text = notebooks.execute(measured, tour.stem, Window.day("2026-09-05")).path.read_text(encoding="utf-8")
    assert "**■ critical:** cam-1" in text or "**▲ warning:** cam-1" in text
    assert "light changed" in text
    assert "2026-09-05" in text
