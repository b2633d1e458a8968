"""Jobs of jupyter-scheduler: parameters are typed and checked, and reports land where all reports are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab_world import DAYS, measured
from test_notebooks import PARAMETERS, write

from cvkit.config import Config
from cvkit.errors import ConfigError, ReportError
from cvkit.monitoring.history import History

pytest.importorskip("jupyter_scheduler", reason="jupyter-scheduler is not installed")
from cvkit.lab import jobs

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = measured(tmp_path_factory.mktemp("jobs"), DAYS[:2])
    (config.workspace / "notebooks").mkdir()
    write(config, "mine", "print(window_start, 'of', source or 'all')")
    write(config, "broken", "raise ValueError('no')")
    return config


def test_a_job_is_a_report_like_any_other(workspace: Config) -> None:
    report = jobs.run(workspace, "mine", {"window": "2026-09-08", "source": "'cam-1'"})
    assert report == workspace.workspace / "reports" / "2026-09-08" / "mine--cam-1.ipynb"
    assert "2026-09-08T00:00:00+00:00 of cam-1" in report.read_text()
    again = jobs.run(workspace, "mine", {"window_start": "2026-09-09", "window_end": "2026-09-10"})
    assert "2026-09-09T00:00:00+00:00 of all" in again.read_text()
    with History.open(workspace.history_url) as history:
        known = history.reports()
    assert [(row["notebook"], row["source"], row["status"]) for row in known.to_dict("records")] == [
        ("mine", "cam-1", "done"), ("mine", "", "done"),
    ]  # fmt: skip


def test_without_a_window_the_newest_is_reported(workspace: Config) -> None:
    # The days of the reference are due, as they were never measured: they are measured, but not what is reported.
    assert jobs.run(workspace, "mine", {}).parent.name == DAYS[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"windw": "2026-09-08"}, "windw"),
        ({"window": "yesterday"}, "not a date"),
        ({"window_start": "soon"}, "no window"),
        ({"window_start": "2026-09-09", "window_end": "2026-09-08"}, "no window"),
        ({"window": "2026-09-08", "source": "cam-9"}, "cam-9"),
    ],
)
def test_parameters_that_cannot_be_are_told(workspace: Config, given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        jobs.run(workspace, "mine", given)


def test_a_notebook_that_breaks_fails_its_job(workspace: Config) -> None:
    with pytest.raises(ReportError, match="ValueError: no"):
        jobs.run(workspace, "broken", {"window": "2026-09-08"})


def other(folder: Path, parameters: str) -> Path:
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[tagged])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "other.ipynb")
    return folder / "other.ipynb"


def test_words_become_what_the_notebook_declares(tmp_path: Path) -> None:
    notebook = other(tmp_path, 'n: int = 1\nshare = 0.5\nsure = False\nname = "x"\nfew = [1, 2]\nday: str = ""')
    given = {"n": "007", "share": "1", "sure": "true", "name": "'; import os #", "few": "[3]", "day": "'2026'"}
    expected: dict[str, Any] = {
        "n": 7, "share": 1.0, "sure": True, "name": "'; import os #", "few": [3], "day": "2026",
    }  # fmt: skip
    found = jobs.typed(notebook, given)
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in expected.items()}


@pytest.mark.parametrize(
    ("given", "words"), [({"n": "many"}, "many"), ({"sure": "perhaps"}, "bool"), ({"m": "1"}, "m")]
)
def test_words_that_are_of_another_type_are_told(tmp_path: Path, given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        jobs.typed(other(tmp_path, "n: int = 1\nsure = False"), given)


def test_only_notebooks_about_windows_are_reports(workspace: Config) -> None:
    from cvkit.documentation import notebooks

    assert notebooks.is_about_a_window(workspace, "mine")
    assert notebooks.is_about_a_window(workspace, "02-drift")
    assert not notebooks.is_about_a_window(workspace, "nothing")
    write(workspace, "without", "1", parameters=PARAMETERS.replace("source", "camera"))
    assert not notebooks.is_about_a_window(workspace, "without")
