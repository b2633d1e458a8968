"""Reports: parameterized notebooks, executed by papermill for one window and kept, whether they succeed or not."""

from __future__ import annotations

import difflib
import errno
import html
import json
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cvkit.config import Config
from cvkit.documentation import notebook_format, pictures
from cvkit.errors import ConfigError, StorageError
from cvkit.monitoring.history import History
from cvkit.storage import FULL, packaged, safe_name, storage_error, write_text
from cvkit.tables import Window

TIMEOUT_S = 1800  # seconds a notebook may take, where the schedule does not say
START_S = 120  # seconds its kernel may take to start
PARAMETERS = ("config", "window_start", "window_end", "source")  # of every notebook that becomes a report
KERNEL_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # a server's MPLBACKEND=agg would leave no figure
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "TQDM_DISABLE": "1",  # bars would stay in the report
}
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")  # of terminals


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
        remedy=(f"did you mean `{close[0]}`? " if close else "") + "Name one of these, or put the file back",
    )  # fmt: skip


def report_path(config: Config, name: str, window: Window, source: str = "") -> Path:
    """Where the report of a notebook about a window lies."""
    about = f"{name}--{safe_name(source)}" if source else name
    return config.workspace / "reports" / window.label / f"{about}.ipynb"


def interactive_page(report: Path) -> Path:
    """Where Evidently's interactive page about a report lies."""
    return report.with_suffix(".evidently.html")


def execute(config: Config, name: str, window: Window, source: str = "", timeout_s: int = TIMEOUT_S) -> Report:
    """Execute a notebook for a window and keep it, in place of an earlier one; the history knows how it went.

    A notebook that fails is kept as far as it came, with its error; one that is missing, damaged, takes longer than
    `timeout_s` seconds, or does not take the parameters config, window_start, window_end and source, fails too.
    """
    parameters = {
        "config": str(config.path),
        "window_start": window.start.isoformat(),
        "window_end": window.end.isoformat(),
        "source": source,
    }
    path = report_path(config, name, window, source)
    started = datetime.now(UTC)
    about: dict[str, Any] = {
        "model": config.model.name, "version": config.version, "notebook": name, "source": source, "window": window,
        "path": path.relative_to(config.workspace).as_posix(), "started": started,
    }  # fmt: skip
    with History.open(config.history_url) as history:
        history.record_report(**about, status="running")
        error = "it was stopped"
        try:
            error = _run(config, name, path, parameters, timeout_s)
        except ConfigError as unusable:
            error = str(unusable)
        except StorageError as full:
            error = str(full)
            raise
        finally:
            finished = datetime.now(UTC)
            history.record_report(**about, status="failed" if error else "done", finished=finished, error=error)
    seconds = (finished - started).total_seconds()
    return Report(name, window, source, "failed" if error else "done", path, error, seconds)


def is_about_a_window(config: Config, name: str) -> bool:
    """Whether there is such a notebook, and it takes what every report does."""
    try:
        _check_parameters(find_notebook(config, name), set(PARAMETERS))
    except ConfigError:
        return False
    return True


def _check_parameters(notebook: Path, given: set[str]) -> None:
    """Refuse what papermill lets pass, so that a notebook would run on its defaults.

    It only warns of a parameter that the notebook does not know, and a second cell tagged `parameters` undoes what is
    put in after the first.
    """
    tagged = [cell for cell in read(notebook).cells if "parameters" in cell.metadata.get("tags", [])]
    text = "\n".join(cell.source for cell in tagged)
    known = set(re.findall(r"^(\w+)\s*(?::[^=\n]+)?=", text, flags=re.MULTILINE))
    unknown = sorted(given - known)
    if unknown or len(tagged) != 1:
        problem = f"does not know the parameters {', '.join(unknown)}" if unknown else "has its parameters twice"
        raise ConfigError(
            f"the notebook {notebook.name} {problem}", where=str(notebook),
            expected=f"one cell tagged `parameters` that sets {', '.join(sorted(given))}",
            found=f"{len(tagged)} such cells, which set {', '.join(sorted(known)) or 'nothing'}",
            remedy="set each of them in that cell, with a default",
        )  # fmt: skip


def read(notebook: Path) -> Any:
    """A notebook, in format 4. Raises ConfigError where it cannot be read."""
    nbformat = notebook_format.nbformat()

    try:
        content = nbformat.reads(notebook.read_text(encoding="utf-8"), as_version=4)
        nbformat.validate(content)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, nbformat.ValidationError) as error:
        raise ConfigError(
            f"the notebook {notebook.name} cannot be read", where=str(notebook), expected="a Jupyter notebook",
            found=str(error).strip().split("\n")[0][:200], remedy="save it again in JupyterLab, or restore it",
        ) from error  # fmt: skip
    return content


def _run(config: Config, name: str, path: Path, parameters: dict[str, str], timeout_s: int) -> str:
    """Execute and keep the outcome; the error in words, empty where there was none.

    Raises ConfigError where the notebook cannot be run at all, StorageError where the outcome cannot be kept.
    """
    nbformat = notebook_format.nbformat()  # before papermill, which would load it
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillException

    notebook, folder, error, full = find_notebook(config, name), config.workspace, "", False
    _check_parameters(notebook, set(parameters))
    with _room_for(path), tempfile.TemporaryDirectory() as temporary, _own_kernel(Path(temporary)), _quietly():
        output = Path(temporary) / "report.ipynb"
        try:
            papermill.execute_notebook(
                str(notebook), str(output), parameters, kernel_name="python3", language="python", cwd=str(folder),
                progress_bar=False, start_timeout=START_S, timeout_func=_time_left(timeout_s),
            )  # fmt: skip
        except CellTimeoutError:
            error = f"TimeoutError: the notebook took longer than the {timeout_s} s it may take"
        except (PapermillException, DeadKernelError, NoSuchKernel, RuntimeError) as failure:
            error, full = _words(failure), _is_full(failure)
        kept = nbformat.read(output if output.is_file() else notebook, as_version=4)
    _tidy(kept, parameters, folder)
    if error:
        _mark_unfinished(kept, error)
    write_text(path, nbformat.writes(kept))
    if full:  # no fault of the notebook: it is as if this process had met it
        raise storage_error(OSError(errno.ENOSPC, error), path)
    return error


def _is_full(failure: Exception) -> bool:
    """Whether a cell ended because a disk is full."""
    name, value = getattr(failure, "ename", ""), str(getattr(failure, "evalue", ""))
    return (name == "StorageError" and value.startswith(FULL)) or (
        name == "OSError" and value.startswith((f"[Errno {errno.ENOSPC}]", f"[Errno {errno.EDQUOT}]"))
    )


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """Raise StorageError, about the report at `path`, where a file beside it or a temporary one cannot be written."""
    try:
        yield
    except OSError as failure:
        raise storage_error(failure, path) from failure


def _time_left(seconds: float) -> Callable[[Any], float]:
    """How long the next cell may take, so that all together take `seconds`: nbclient's own limit is for each cell."""
    end = time.monotonic() + seconds
    return lambda cell: max(end - time.monotonic(), 0.01)  # 0 would mean no limit


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep papermill from writing what we tell in our own words; a handler the caller has set up still hears it."""
    logger, handler = logging.getLogger("papermill"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def _own_kernel(folder: Path) -> Iterator[None]:
    """Make `python3` mean this very Python, whatever kernels the machine has; nothing is written to the home folder."""
    spec = folder / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "--log-level=CRITICAL",
            "-f", "{connection_file}"]  # fmt: skip
    kernel = {"argv": argv, "display_name": "Python 3", "language": "python", "env": KERNEL_SETTINGS}
    spec.write_text(json.dumps(kernel))
    search = os.pathsep.join(filter(None, [str(folder), os.environ.get("JUPYTER_PATH", "")]))
    folders = {"JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "IPYTHONDIR": str(folder / "ipython")}
    settings = {"JUPYTER_PATH": search, **folders}
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
    plain = ESCAPES.sub("", f"{name}: {value}")
    return "\n".join(line.rstrip() for line in plain.strip().splitlines()[:8])[:1500]


def _tidy(notebook: Any, parameters: dict[str, str], folder: Path) -> None:
    """Leave out what only this machine means, absolute paths and papermill's own records; make pictures small."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)  # nothing runs them: their pictures stand for them
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["cvkit"] = {name: value for name, value in parameters.items() if name != "config"}
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            pictures.keep_still(output.get("data", {}))
            pictures.make_small(output.get("data", {}))
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace(str(folder) + os.sep, "")
            if "id" in cell:
                cell["id"] = "cvkit-parameters"  # papermill draws one: the same report is the same file


def _mark_unfinished(notebook: Any, error: str) -> None:
    """Say at the top that a notebook broke off where papermill does not: after a killed kernel its cells look done."""
    nbformat = notebook_format.nbformat()

    if any("papermill-error-cell-tag" in cell.metadata.get("tags", []) for cell in notebook.cells):
        return
    text = f"**This report was not finished.** What follows ends where it broke off.\n\n<pre>{html.escape(error)}</pre>"
    cell = nbformat.v4.new_markdown_cell(text, id="cvkit-unfinished")
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        del cell["id"]
    notebook.cells.insert(0, cell)
