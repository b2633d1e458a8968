"""Jobs of jupyter-scheduler: the notebooks of a workspace, run as `cvkit run` and the schedule run them.

`cvkit lab` sets `Scheduler.execution_manager_class` to `WorkspaceJobs`. A notebook about a window is executed in the
workspace, by cvkit's own runner, so that its result is in the history and on the site like any other. Other notebooks
are executed as the scheduler would, but with parameters of the types that they declare: it knows words only, and puts
them into the code unquoted.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_scheduler.executors import DefaultExecutionManager

from cvkit import asked, job
from cvkit.config import Config, load_config
from cvkit.documentation import notebooks
from cvkit.errors import ConfigError, ReportError
from cvkit.monitoring.history import History
from cvkit.tables import Window

PARAMETERS = ("window", "window_start", "window_end", "source")  # of a job about a window
KINDS = {"int": int, "float": float, "str": str}
TRUTHS = {"true": True, "false": False}


class WorkspaceJobs(DefaultExecutionManager):  # type: ignore[misc]
    """How jobs are executed: see the module."""

    def execute(self) -> None:
        """Execute the job's notebook. What is wrong is raised, and shown beside the job."""
        given = dict(self.model.parameters or {})
        name = Path(self.model.input_filename).stem
        if (Path(self.root_dir) / "cvkit.yml").is_file():
            config = load_config(Path(self.root_dir))
            if notebooks.is_about_a_window(config, name):
                report = run(config, name, given)
                self.create_output_files(self.model, nbformat.read(report, as_version=4))
                return
        self.model.parameters = {key: repr(value) for key, value in typed(self.staging_paths["input"], given).items()}
        super().execute()


def run(config: Config, name: str, given: Mapping[str, str]) -> Path:
    """Execute a notebook about a window, as `cvkit run --notebook` does; where its report lies.

    `given` may name a `window` (2026-11-21), or `window_start` and `window_end`, and a `source`. Without a window,
    those that are due are measured, and the newest is reported. Raises ConfigError for parameters that cannot be,
    ReportError where the notebook broke off.
    """
    if unknown := sorted(set(given) - set(PARAMETERS)):
        raise ConfigError(
            f"the job has parameters that {name} does not take",
            found=", ".join(unknown),
            expected=", ".join(PARAMETERS),
        )
    source = unquoted(given.get("source", ""))
    asked.check_names(config, name, source)
    windows = _windows(config, {key: unquoted(value) for key, value in given.items()})
    outcome = job.run(config, windows, notebooks=[name], source=source)
    if outcome.failures:
        raise ReportError("the job did not come through", where=name, found="\n".join(outcome.failures))
    return notebooks.report_path(config, name, max(windows), source)


def _windows(config: Config, given: Mapping[str, str]) -> list[Window]:
    """What the job asks for; else what is due, and the newest that was measured: a due one may be long past."""
    now = datetime.now(UTC)
    if given.get("window_start"):
        try:
            return [Window.between(given["window_start"], given.get("window_end", ""), config.window_hours)]
        except ValueError as error:
            raise ConfigError("this is no window", found=str(dict(given)), expected=f"ISO times ({error})") from None
    if given.get("window"):
        return asked.windows(config, now, window=given["window"])
    with History.open(config.history_url) as history:
        measured = history.measured_windows(config.model.name, config.version)
    return sorted({*asked.windows(config, now), *measured[-1:]})


def unquoted(text: str) -> str:
    """A word as a person may type it into the scheduler's form, with the quotes that it asks for or without.

    >>> unquoted("'cam-1'"), unquoted("cam-1")
    ('cam-1', 'cam-1')
    """
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def typed(notebook: str | Path, given: Mapping[str, str]) -> dict[str, Any]:
    """The job's parameters, words all of them, as the types that the notebook's own parameters have.

    Raises ConfigError for a parameter that the notebook does not have, or a word that is not of its type.
    """
    known = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(given) - set(known)):
        raise ConfigError(
            "the notebook does not take these parameters", found=", ".join(unknown), expected=", ".join(known) or "none"
        )
    return {name: _typed(name, unquoted(text), known[name]) for name, text in given.items()}


def _typed(name: str, text: str, declared: Mapping[str, str]) -> Any:
    kind = declared["inferred_type_name"]
    if kind not in (*KINDS, "bool"):
        kind = type(_literal(declared["default"])).__name__
    try:
        if kind == "bool":
            return TRUTHS[text.lower()]
        return KINDS[kind](text) if kind in KINDS else ast.literal_eval(text)
    except (ValueError, KeyError, SyntaxError):
        raise ConfigError(f"the parameter {name} cannot be this", found=text, expected=kind) from None


def _literal(code: str) -> Any:
    try:
        return ast.literal_eval(code)
    except (ValueError, SyntaxError):
        return ""  # an expression: taken as a word
