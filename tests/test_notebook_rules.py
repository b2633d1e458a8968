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

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMETERS = ["config", "window_start", "window_end", "source"]
MOST_CELLS, MOST_LINES = 15, 12
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


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
    assert {"01-data-quality", "02-drift"} <= {path.stem for path in NOTEBOOKS}


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


@EVERY
def test_it_says_what_a_bad_picture_looks_like_and_what_to_do(path: Path) -> None:
    words = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    assert sum("**A bad picture:**" in text for text in words) >= 3
    assert words[-1].startswith("## What to do next")


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


@EVERY
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


@EVERY
def test_it_runs_on_images_that_name_no_source(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = {**DAYS, "2026-09-05": {"x": 24}}
    folder = workspace(tmp_path, days, predicted=False, layout="")
    broken = next((folder / "captures" / "2026-09-05").iterdir())
    broken.write_bytes(b"broken")
    shown = run(path, monkeypatch, config=str(folder / "cvkit.yml"), **of_day("2026-09-05"))
    reading = {"05-retraining": "has measured no window", "06-model-card": "the card was not started"}
    assert reading.get(path.stem, "images without a source") in told(shown)
