"""Reports: executed for a window, kept whether they succeed or not, judged by their own execution."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from cvkit.config import Config, load_config
from cvkit.documentation import notebooks
from cvkit.errors import ConfigError
from cvkit.monitoring.history import History
from cvkit.tables import Window

WINDOW = Window.day("2026-10-01")
PARAMETERS = 'config: str = "cvkit.yml"\nwindow_start: str = ""\nwindow_end: str = ""\nsource: str = ""'
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "cvkit.yml").write_text("reference: {data: data.yaml}\n")
    (tmp_path / "notebooks").mkdir()
    return load_config(tmp_path)


def write(config: Config, name: str, *cells: str, parameters: str = PARAMETERS) -> None:
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[tagged, *(nbformat.v4.new_code_cell(cell) for cell in cells)])
    nbformat.write(notebook, config.workspace / "notebooks" / f"{name}.ipynb")


def ledger(config: Config) -> list[tuple[str, str]]:
    with History.open(config.history_url) as history:
        table = history.reports()
    return list(zip(table["notebook"], table["status"], strict=True))


def test_a_report_has_its_parameters_and_runs_on_this_python(config: Config) -> None:
    write(config, "mine", "import sys; print(sys.executable, window_start, source, 'it is me')")
    report = notebooks.execute(config, "mine", WINDOW, "cam #1/a")
    assert (report.status, report.error) == ("done", "")
    assert report.path == config.workspace / "reports" / "2026-10-01" / "mine--cam%20%231%2Fa.ipynb"
    text = report.path.read_text()
    import sys

    assert sys.executable in text
    assert "2026-10-01T00:00:00+00:00 cam #1/a it is me" in text
    assert f'config = "{config.workspace}' not in text
    assert ledger(config) == [("mine", "done")]


def test_a_failed_notebook_is_kept_and_recorded_as_failed_then_replaced(config: Config) -> None:
    write(config, "mine", "print('so far')", "raise ValueError('the disk <b>is</b> gone')", "print('never')")
    report = notebooks.execute(config, "mine", WINDOW)
    assert report.status == "failed"
    assert report.error == "ValueError: the disk <b>is</b> gone"
    assert "so far" in report.path.read_text()
    assert ledger(config) == [("mine", "failed")]
    write(config, "mine", "print('well')")
    assert notebooks.execute(config, "mine", WINDOW).status == "done"
    assert ledger(config) == [("mine", "done")]


def test_a_killed_kernel_is_a_failure_whatever_the_notebook_says(config: Config) -> None:
    write(config, "mine", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    report = notebooks.execute(config, "mine", WINDOW)
    assert report.status == "failed"
    assert "died" in report.error.lower()
    assert report.path.is_file()


def test_a_cell_that_takes_too_long_is_a_failure(config: Config) -> None:
    write(config, "mine", "import time; time.sleep(60)")
    report = notebooks.execute(config, "mine", WINDOW, timeout_s=1)
    assert report.status == "failed"
    assert "timed out" in report.error.lower() or "timeout" in report.error.lower()


def test_an_unknown_parameter_is_an_error_not_a_warning(config: Config) -> None:
    write(config, "mine", "1", parameters="config = 'x'")
    with pytest.raises(ConfigError, match="source, window_end, window_start"):
        notebooks.execute(config, "mine", WINDOW)


def test_a_missing_notebook_is_named_with_the_nearest(config: Config) -> None:
    write(config, "01-data-quality", "1")
    with pytest.raises(ConfigError, match="did you mean `01-data-quality`"):
        notebooks.find_notebook(config, "01-data-qualty")
