"""Reports: parameterized notebooks, executed by papermill for one window and kept, whether they succeed or not."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cvkit.config import Config
from cvkit.errors import ConfigError
from cvkit.monitoring.history import History
from cvkit.storage import packaged, write_text
from cvkit.tables import Window

TIMEOUT_S = 1800  # seconds a cell may take, where the schedule does not say
KERNEL_SETTINGS = {"DO_NOT_TRACK": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


@dataclass(frozen=True, slots=True)
class Report:
    """An executed notebook."""

    notebook: str
    window: Window
    source: str
    status: str  # done or failed, as its execution went: never read from the notebook
    path: Path
    error: str
    seconds: float


def find_notebook(config: Config, name: str) -> Path:
    """The notebook called `name`: the workspace's own, else the one that comes with cvkit."""
    folders = [config.workspace / "notebooks", packaged("notebooks")]
    for folder in folders:
        if (file := folder / f"{name}.ipynb").is_file():
            return file
    known = sorted({file.stem for folder in folders for file in folder.glob("*.ipynb")})
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    raise ConfigError(
        f"there is no notebook `{name}`", where=str(folders[0]), expected=", ".join(known), found=name,
        remedy=f"did you mean `{close[0]}`?" if close else "name one of these",
    )  # fmt: skip


def report_path(config: Config, name: str, window: Window, source: str = "") -> Path:
    """Where the report of a notebook about a window lies."""
    about = f"{name}--{quote(source, safe='')[:150]}" if source else name
    return config.workspace / "reports" / window.label / f"{about}.ipynb"


def execute(config: Config, name: str, window: Window, source: str = "", timeout_s: int = TIMEOUT_S) -> Report:
    """Execute a notebook for a window and keep it, in place of an earlier one; the history knows how it went.

    A notebook that fails is kept as far as it came, with its error. Raises ConfigError where there is no such notebook
    or it does not take the parameters config, window_start, window_end and source.
    """
    notebook = find_notebook(config, name)
    parameters = {
        "config": str(config.path),
        "window_start": window.start.isoformat(),
        "window_end": window.end.isoformat(),
        "source": source,
    }
    _check_parameters(notebook, set(parameters))
    path = report_path(config, name, window, source)
    started = datetime.now(UTC)
    about: dict[str, Any] = {
        "model": config.model.name, "version": config.version, "notebook": name, "source": source, "window": window,
        "path": path.relative_to(config.workspace).as_posix(), "started": started,
    }  # fmt: skip
    with History.open(config.history_url) as history:
        history.record_report(**about, status="running")
        error = _run(notebook, path, parameters, config.workspace, timeout_s)
        finished = datetime.now(UTC)
        history.record_report(**about, status="failed" if error else "done", finished=finished, error=error)
    seconds = (finished - started).total_seconds()
    return Report(name, window, source, "failed" if error else "done", path, error, seconds)


def _check_parameters(notebook: Path, given: set[str]) -> None:
    """Refuse what papermill only warns of: a parameter the notebook does not know, so that it runs on its defaults."""
    cells = json.loads(notebook.read_text(encoding="utf-8")).get("cells", [])
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    text = "".join("".join(cell["source"]) for cell in tagged)
    known = set(re.findall(r"^(\w+)\s*(?::[^=\n]+)?=", text, flags=re.MULTILINE))
    if unknown := sorted(given - known):
        raise ConfigError(
            f"the notebook {notebook.name} does not know the parameters {', '.join(unknown)}", where=str(notebook),
            expected=f"one cell tagged `parameters` that sets {', '.join(sorted(given))}",
            found=f"{len(tagged)} such cells, which set {', '.join(sorted(known)) or 'nothing'}",
            remedy="add them to that cell, with a default each",
        )  # fmt: skip


def _run(notebook: Path, path: Path, parameters: dict[str, str], folder: Path, timeout_s: int) -> str:
    """Execute and keep the outcome; the error in words, empty where there was none."""
    import nbformat
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillException

    error = ""
    with tempfile.TemporaryDirectory() as temporary, _own_kernel(Path(temporary)):
        output = Path(temporary) / "report.ipynb"
        try:
            papermill.execute_notebook(
                str(notebook), str(output), parameters, kernel_name="python3", language="python", cwd=str(folder),
                progress_bar=False, execution_timeout=timeout_s, start_timeout=120,
            )  # fmt: skip
        except (PapermillException, CellTimeoutError, DeadKernelError, NoSuchKernel, RuntimeError) as failure:
            error = _words(failure)
        kept = nbformat.read(output if output.is_file() else notebook, as_version=4)
    _tidy(kept, parameters, folder)
    write_text(path, nbformat.writes(kept))
    return error


@contextmanager
def _own_kernel(folder: Path) -> Iterator[None]:
    """Make `python3` mean this very Python, whatever kernels the machine has installed."""
    spec = folder / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "--log-level=CRITICAL",
            "-f", "{connection_file}"]  # fmt: skip
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    search = os.pathsep.join(filter(None, [str(folder), os.environ.get("JUPYTER_PATH", "")]))
    settings = {**KERNEL_SETTINGS, "JUPYTER_PATH": search}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _words(failure: Exception) -> str:
    """An error in a line or two, without terminal colours."""
    name, value = getattr(failure, "ename", type(failure).__name__), getattr(failure, "evalue", str(failure))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", f"{name}: {value}")
    return "\n".join(line.rstrip() for line in plain.strip().splitlines()[:8])[:1500]


def _tidy(notebook: Any, parameters: dict[str, str], folder: Path) -> None:
    """Leave out what only this machine means: absolute paths and papermill's own records."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["cvkit"] = {name: value for name, value in parameters.items() if name != "config"}
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace(str(folder) + os.sep, "")
