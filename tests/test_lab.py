"""The desk and the panel over it, in the kernel: what pickers do, and what is said where something is wrong."""

from __future__ import annotations

import base64
import io
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd
import pytest
from lab_world import DAYS, measured
from PIL import Image
from test_flow import take

import cvkit
from cvkit.config import Config
from cvkit.documentation import plots
from cvkit.errors import ConfigError, DataError
from cvkit.lab import places
from cvkit.lab.desk import Desk
from cvkit.lab.part import Part
from cvkit.lab.widgets import png
from cvkit.monitoring import exemplars, monitor, reference
from cvkit.monitoring.history import History
from cvkit.tables import Window


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return measured(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def panel(workspace: Config) -> Iterator[Any]:
    opened = cvkit.explore(workspace.path, "drift")
    yield opened
    opened.desk.history.close()


# -- windows recalled -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["", "cam-2"])
def test_a_recalled_window_is_the_one_that_was_measured(workspace: Config, source: str) -> None:
    window = Window.day(DAYS[-1])
    measured_now = exemplars.only(monitor.observe(workspace, window), source)
    with History.open(workspace.history_url) as history:
        recalled = monitor.recall(workspace, window, history, source=source)
    for name in ("features", "anomalies", "findings", "measurements", "verdicts"):
        one, other = (getattr(seen, name).reset_index(drop=True) for seen in (measured_now, recalled))
        pd.testing.assert_frame_equal(one, other, obj=name)
    assert recalled.records.images["image_id"].tolist() == measured_now.records.images["image_id"].tolist()
    assert {key for key in recalled.streams if key[0] == "cam-2"} == {
        key for key in measured_now.streams if key[0] == "cam-2"
    }


def test_a_window_that_was_not_measured_cannot_be_recalled(workspace: Config) -> None:
    with History.open(workspace.history_url) as history, pytest.raises(DataError, match="2026-09-20"):
        monitor.recall(workspace, Window.day("2026-09-20"), history)


# -- pickers --------------------------------------------------------------------------------------------------------


def test_it_opens_on_the_newest_window_and_the_source_that_needs_it(panel: Any) -> None:
    assert panel.desk.window == Window.day(DAYS[-1])
    assert panel.desk.source == "cam-2"
    assert "critical</b>: cam-2" in panel.head.value
    assert "light changed" in panel.head.value
    assert "since 2026-09-" in panel.head.value
    assert set(panel.table["source"]) == {"cam-2"}
    assert panel.note.value == panel.parts["drift"].note.value == ""


def test_pickers_and_desk_follow_each_other(panel: Any) -> None:
    panel.back.click()
    assert panel.desk.window == panel.window.value == Window.day(DAYS[-2])
    panel.window.value = Window.day(DAYS[0])
    assert panel.desk.window == Window.day(DAYS[0])
    panel.back.click()  # there is none before
    assert panel.desk.window == Window.day(DAYS[0])
    panel.desk.source = "cam-1"
    assert panel.source.value == "cam-1"
    assert set(panel.table["source"]) == {"cam-1"}
    before = panel.trend.png
    panel.feature.value = "sharpness"
    assert panel.desk.feature == "sharpness"
    assert panel.trend.png != before
    assert set(panel.table["feature"]) == {"sharpness"}


def test_a_click_on_the_trend_chooses_the_window_that_is_drawn_there(panel: Any) -> None:
    assert [place["name"].split(":")[0] for place in panel.trend.places] == DAYS
    panel.trend.chosen = 1
    assert panel.desk.window == Window.day(DAYS[1])
    lefts = [place["x"] for place in panel.trend.places]
    assert lefts == sorted(lefts)
    # Its place is where the report's figure marks that window: darker than the ground of another one.
    desk, place = panel.desk, panel.trend.places[1]
    about = {"feature": desk.feature, "source": desk.source}
    marked = plots.trend(desk.measurements(**about), desk.feature, verdicts=desk.verdicts(**about), current=desk.window)
    image = Image.open(io.BytesIO(png(marked))).convert("L")
    x, y = ((place[a] + place[b] * share) for a, b, share in (("x", "w", 0.5), ("y", "h", 0.02)))
    other = panel.trend.places[0]
    here = image.getpixel((int(x * image.width), int(y * image.height)))
    there = image.getpixel((int((other["x"] + other["w"] / 2) * image.width), int(y * image.height)))
    assert here < there  # type: ignore[operator]


def test_a_stretch_that_is_marked_is_what_figures_show_then(panel: Any) -> None:
    found = panel.trend.places
    panel.trend.stretch = [found[1]["x"], found[3]["x"] + found[3]["w"]]
    panel.trend.brushed += 1
    assert panel.desk.stretch == (Window.day(DAYS[1]), Window.day(DAYS[3]))
    assert [place["name"].split(":")[0] for place in panel.trend.places] == DAYS[1:4]
    assert panel.trend.stretch == []
    panel.trend.brushed += 1  # without a stretch: all again
    assert panel.desk.stretch == ()
    assert len(panel.trend.places) == len(DAYS)


def test_all_sources_are_shown_together(panel: Any) -> None:
    panel.source.value = ""
    assert panel.note.value == ""
    assert len(panel.trend.places) == len(DAYS)
    assert "critical: cam-2" in panel.head.value
    assert "2 sources" in panel.head.value


def test_a_part_alone_has_no_tabs(workspace: Config) -> None:
    with_all, alone = cvkit.explore(workspace.path), cvkit.explore(workspace.path, "drift")
    assert any(isinstance(child, ipywidgets.Tab) for child in with_all.children)
    assert not any(isinstance(child, ipywidgets.Tab) for child in alone.children)
    assert list(with_all.made) == ["drift"], "parts are made when they are first seen"


def test_every_part_can_be_shown(workspace: Config) -> None:
    panel: Any = cvkit.explore(workspace.path)
    for number, name in enumerate(panel._names):
        panel.tabs.selected_index = number
        assert "fault of cvkit" not in panel.parts[name].note.value, panel.parts[name].note.value
        assert isinstance(panel.table, pd.DataFrame)


def test_what_others_measured_meanwhile_is_there_after_a_reload(tmp_path: Path) -> None:
    config = measured(tmp_path, DAYS[:2])
    panel: Any = cvkit.explore(config.path, "drift", window=DAYS[0], source="cam-1")
    panel.feature.value = "noise"
    take(tmp_path, "cam-1", DAYS[2])
    with History.open(config.history_url) as history:
        monitor.run(config, Window.day(DAYS[2]), history)
    panel.reload.click()
    assert [one.label for one in panel.desk.windows] == DAYS[:3]
    assert [label for label, _ in panel.window.options] == DAYS[2::-1]
    assert (panel.desk.window.label, panel.desk.source, panel.desk.feature) == (DAYS[0], "cam-1", "noise")
    assert len(panel.trend.places) == 3


def test_a_reload_that_fails_says_why_and_changes_nothing(tmp_path: Path) -> None:
    config = measured(tmp_path, DAYS[:2])
    panel: Any = cvkit.explore(config.path, "drift")
    before = (panel.desk.windows, panel.desk.window, panel.trend.png)
    text = config.path.read_text()
    config.path.write_text(text + "\nrules: {false_alarms_per_year: 12}\n")
    panel.reload.click()
    assert (panel.note.value, panel.desk.config.rules.false_alarms_per_year) == ("", 12)
    config.path.write_text("rules: [\n")
    panel.reload.click()
    assert "cvkit.yml" in panel.note.value
    config.path.write_text(text)
    with sqlite3.connect(tmp_path / "history.db") as connection:
        connection.execute("update cvkit_schema set version = 999")
    connection.close()
    panel.reload.click()
    assert "schema 999" in panel.note.value
    assert (panel.desk.windows, panel.desk.window, panel.trend.png) == before


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A workspace whose newest windows hold nothing, or next to nothing, and whose images have vanished since."""
    config = measured(tmp_path_factory.mktemp("poor"), DAYS[:1])
    take(config.workspace, "cam-1", DAYS[1], n=1)
    known = reference.load(config)
    with History.open(config.history_url) as history:
        for day in DAYS[1:3]:
            monitor.run(config, Window.day(day), history, known)
    for file in (config.workspace / "captures" / "cam-2" / DAYS[0]).glob("*.jpg"):
        file.unlink()
    return config


@pytest.mark.parametrize("source", ["", "cam-1", "cam-2"])
def test_windows_that_hold_little_or_nothing_can_be_looked_at(poor: Config, source: str) -> None:
    panel: Any = cvkit.explore(poor.path, source=source) if source else cvkit.explore(poor.path)
    panel.source.value = source
    for window in panel.desk.windows:
        panel.window.value = window
        for number, name in enumerate(panel._names):
            panel.tabs.selected_index = number
            assert "fault of cvkit" not in panel.note.value + panel.parts[name].note.value
            assert isinstance(panel.table, pd.DataFrame)


# -- without a browser ----------------------------------------------------------------------------------------------


def test_without_a_browser_a_picture_stands_for_the_panel(panel: Any) -> None:
    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).width > 400


def test_without_a_browser_a_part_s_table_stands_for_it_where_it_has_no_figure(workspace: Config) -> None:
    bundle = cvkit.explore(workspace.path, "alerts")._repr_mimebundle_()
    assert "image/png" in bundle, "there is no alert yet: the trend"
    part = cvkit.explore(workspace.path, "drift").parts["drift"]  # type: ignore[union-attr]
    part.figure, part.table = None, pd.DataFrame({"a": ["<b>"] * 99})
    assert part._repr_mimebundle_()["text/html"].count("&lt;b&gt;") == 30


# -- what is wrong is said ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"window": "2026-01-01"}, "2026-09-08"),
        ({"window": "soon"}, "2026-09-08"),
        ({"source": "<img src=x onerror=alert(1)>"}, "&lt;img"),
    ],
)
def test_what_cannot_be_looked_at_is_said(workspace: Config, arguments: dict[str, str], words: str) -> None:
    shown = cvkit.explore(workspace.path, **arguments)
    assert isinstance(shown, ipywidgets.HTML)
    assert words in shown.value
    assert "<img" not in shown.value


def test_an_unknown_part_is_named(workspace: Config) -> None:
    with pytest.raises(ConfigError, match=r"drift, images(.|\n)*drfit"):
        cvkit.explore(workspace.path, "drfit")
    with pytest.raises(ConfigError, match=r"found: \['drift'\]"):
        cvkit.explore(workspace.path, ["drift"])  # type: ignore[arg-type]


def test_a_workspace_without_measured_windows_is_said(tmp_path: Path) -> None:
    assert "no settings" in cvkit.explore(tmp_path).value  # type: ignore[union-attr]
    (tmp_path / "cvkit.yml").write_text("reference: {data: data.yaml}\nmodel: {classes: [a]}\n")
    shown = cvkit.explore(tmp_path).value  # type: ignore[union-attr]
    assert "no window has been measured" in shown or "weights" in shown
    assert "cvkit run" in shown


@pytest.mark.parametrize(
    ("damage", "words"), [("newer", "schema 999"), ("nonsense", "cannot be read"), ("empty", "0 bytes")]
)
def test_a_history_that_cannot_be_read_is_said(tmp_path: Path, damage: str, words: str) -> None:
    config = measured(tmp_path, DAYS[:1])
    file = tmp_path / "history.db"
    if damage == "newer":
        with sqlite3.connect(file) as connection:
            connection.execute("update cvkit_schema set version = 999")
        connection.close()
    else:
        file.write_bytes(b"no database" * 500 if damage == "nonsense" else b"")
        for rest in ("history.db-wal", "history.db-shm"):
            (tmp_path / rest).unlink(missing_ok=True)
    shown = cvkit.explore(config.path)
    assert words in shown.value  # type: ignore[union-attr]
    assert shown.table.empty


def test_a_fault_of_our_own_is_said_and_raised(workspace: Config) -> None:
    class Broken(Part):
        def build(self) -> tuple[ipywidgets.Widget, ...]:
            return ()

        def renew(self) -> None:
            raise ZeroDivisionError

    part = Broken(Desk(workspace.path))
    with pytest.raises(ZeroDivisionError):
        part.refresh()
    assert "ZeroDivisionError" in part.note.value


def test_nothing_of_the_lab_is_loaded_with_cvkit() -> None:
    code = (
        "import cvkit, sys; print([n for n in ('ipywidgets', 'anywidget', 'matplotlib', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_cells_lie_where_a_matrix_is_drawn() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_axes((0.25, 0.25, 0.5, 0.5))
    found = places.of_cells(axes, [["a", "b"], ["c", "d"]])
    assert [(place["name"], place["x"], place["y"], place["w"], place["h"]) for place in found] == [
        ("a", 0.25, 0.25, 0.25, 0.25), ("b", 0.5, 0.25, 0.25, 0.25), ("c", 0.25, 0.5, 0.25, 0.25),
        ("d", 0.5, 0.5, 0.25, 0.25),
    ]  # fmt: skip
