"""Reports: executed for a window, kept whether they succeed or not, judged by their own execution."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from cvkit.config import Config, load_config
from cvkit.documentation import notebooks
from cvkit.errors import ConfigError, StorageError
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


def test_a_report_has_its_parameters_and_runs_on_this_python(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    foreign.parent.mkdir(parents=True)
    foreign.write_text(json.dumps({"argv": ["/nowhere/python"], "display_name": "theirs", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    before = dict(os.environ)
    draw = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
    write(config, "mine", "import sys; print(sys.executable, window_start, source, 'it is me')", draw)
    report = notebooks.execute(config, "mine", WINDOW, "cam #1/a")
    assert dict(os.environ) == before
    assert (report.status, report.error) == ("done", "")
    assert report.path == config.workspace / "reports" / "2026-10-01" / "mine--cam%20%231%2Fa.ipynb"
    text = report.path.read_text()
    assert sys.executable in text
    assert '"image/png"' in text
    assert not list((tmp_path / "home").glob(".i*")), "nothing of Jupyter's or IPython's in the home folder"
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


def test_a_killed_kernel_is_a_failure_whatever_the_notebook_says(
    config: Config, capfd: pytest.CaptureFixture[str]
) -> None:
    write(config, "mine", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    report = notebooks.execute(config, "mine", WINDOW)
    assert report.status == "failed"
    assert "died" in report.error.lower()
    assert "was not finished" in nbformat.read(report.path, as_version=4).cells[0].source
    assert ledger(config) == [("mine", "failed")]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_cells_that_together_take_too_long_are_a_failure(config: Config) -> None:
    write(config, "mine", *["import time; time.sleep(1.5)"] * 40)
    report = notebooks.execute(config, "mine", WINDOW, timeout_s=2)
    assert (report.status, report.error) == (
        "failed",
        "TimeoutError: the notebook took longer than the 2 s it may take",
    )
    assert report.seconds < 30


def test_an_unknown_parameter_is_an_error_not_a_warning(config: Config) -> None:
    write(config, "mine", "1", parameters="config = 'x'")
    report = notebooks.execute(config, "mine", WINDOW)
    assert report.status == "failed"
    assert "source, window_end, window_start" in report.error
    assert ledger(config) == [("mine", "failed")]


def test_a_missing_notebook_is_named_with_the_nearest(config: Config) -> None:
    write(config, "01-data-quality", "1")
    with pytest.raises(ConfigError, match="did you mean `01-data-quality`"):
        notebooks.find_notebook(config, "01-data-qualty")


def test_parameters_twice_are_an_error_as_the_second_would_undo_what_was_given(config: Config) -> None:
    write(config, "mine", "1")
    file = config.workspace / "notebooks" / "mine.ipynb"
    content = json.loads(file.read_text())
    content["cells"].append({**content["cells"][0], "id": "again"})
    file.write_text(json.dumps(content))
    assert "parameters twice" in notebooks.execute(config, "mine", WINDOW).error


@pytest.mark.parametrize("content", ["", '{"cells": [', "[]", "{}", '{"nbformat": 4, "cells": 3}', "\xff"])
def test_a_notebook_that_cannot_be_read_is_explained(config: Config, content: str) -> None:
    (config.workspace / "notebooks" / "mine.ipynb").write_bytes(content.encode("latin-1"))
    report = notebooks.execute(config, "mine", WINDOW)
    assert report.status == "failed"
    assert "mine.ipynb" in report.error


def test_a_full_disk_is_explained(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write(config, "mine", "1")
    monkeypatch.setattr("papermill.execute_notebook", full)
    with pytest.raises(StorageError, match="No space left"):
        notebooks.execute(config, "mine", WINDOW)
    assert ledger(config) == [("mine", "failed")]


@pytest.mark.parametrize("code", [
    "raise OSError(28, 'No space left on device')",
    "from cvkit import storage\nraise storage.storage_error(OSError(28, 'No space left on device'), 'x')",
])  # fmt: skip
def test_a_disk_that_is_full_within_a_notebook_is_no_failure_of_the_notebook(config: Config, code: str) -> None:
    write(config, "mine", code)
    with pytest.raises(StorageError, match="the disk is full"):
        notebooks.execute(config, "mine", WINDOW)
    assert ledger(config) == [("mine", "failed")]
    assert notebooks.report_path(config, "mine", WINDOW).is_file()


def test_no_room_for_temporary_files_is_explained(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write(config, "mine", "1")
    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(StorageError, match="the disk is full"):
        notebooks.execute(config, "mine", WINDOW)


def test_sources_have_a_file_each_however_long_their_names(config: Config) -> None:
    long = [
        "Производственная линия номер 7, камера 1",
        "Производственная линия номер 7, камера 2",
        "x" * 400,
        "a/b",
        "a_b",
    ]
    paths = [notebooks.report_path(config, "02-drift", WINDOW, source) for source in long]
    assert len(set(paths)) == len(long)
    assert max(len(path.name.encode()) for path in paths) < 200


def test_an_error_is_told_without_the_terminal_s_signs() -> None:
    colours = ValueError("\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 \x1b[2Kgone\0")
    assert notebooks._words(colours) == "ValueError: red link gone"
