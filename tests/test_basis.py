"""What windows are compared with: kept beside the reference, and the same whether it was kept or worked out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_flow import CAMERAS, SETTINGS, take

from cvkit.config import Config, load_config
from cvkit.monitoring import basis, kept, monitor, reference
from cvkit.monitoring.alarms import Key, Reading
from cvkit.monitoring.identity import reference_folder
from cvkit.stats import anomaly
from cvkit.tables import Window


@dataclass(frozen=True)
class Thing:
    name: str
    values: np.ndarray
    more: tuple[object, ...]


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    inner = Thing("", np.empty((0, 3), np.float32), ())
    tree = [
        Thing("ü", np.array([[1.5, np.nan], [np.inf, -0.0]]), (1, None, True, float("-inf"), inner)),
        {("class", 3): np.arange(4), "x": [np.array([True, False])]},
    ]
    kept.write(tmp_path / "tree.npz", tree)
    back = kept.read(tmp_path / "tree.npz", {"Thing": Thing})
    first, second = back
    assert (first.name, first.more[:4]) == ("ü", (1, None, True, float("-inf")))
    assert np.array_equal(first.values, tree[0].values, equal_nan=True)
    assert (first.more[4].values.shape, first.more[4].values.dtype) == ((0, 3), np.float32)
    assert second["class", 3].tolist() == [0, 1, 2, 3]
    assert second["x"][0].tolist() == [True, False]


def test_what_is_no_plain_object_is_not_kept(tmp_path: Path) -> None:
    for odd in (object(), {1j: 2}, np.array(["text"]), np.array([object()])):
        with pytest.raises(TypeError):
            kept.write(tmp_path / "tree.npz", odd)
    assert not list(tmp_path.iterdir())


def test_objects_of_other_classes_are_not_made(tmp_path: Path) -> None:
    kept.write(tmp_path / "tree.npz", Thing("a", np.zeros(1), ()))
    assert kept.read(tmp_path / "tree.npz", {"Other": Thing}) is None
    assert kept.read(tmp_path / "missing.npz", {"Thing": Thing}) is None


@pytest.fixture
def workspace(tmp_path: Path) -> Config:
    """Six days of two cameras as the reference, and one more."""
    (tmp_path / "cvkit.yml").write_text(SETTINGS)
    for day in [f"2026-09-{day:02d}" for day in range(1, 8)]:
        for camera in CAMERAS:
            take(tmp_path, camera, day, n=12)
    return load_config(tmp_path)


WINDOW = Window.day("2026-09-07")


def measured(config: Config) -> tuple[pd.DataFrame, pd.DataFrame, dict[Key, Reading]]:
    """What a process that begins now tells of the window."""
    looked = monitor.measured(config, WINDOW, reference.load(config))
    return looked.measurements.reset_index(drop=True), looked.anomalies.reset_index(drop=True), dict(looked.readings)


def kept_file(config: Config) -> Path:
    (file,) = reference_folder(config).glob("basis-*.npz")
    return file


def test_kept_or_worked_out_makes_no_difference(workspace: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measured(workspace)
    stamp = kept_file(workspace).stat().st_mtime_ns
    monkeypatch.setattr(basis, "_prepared", None)  # whoever works it out again fails
    monkeypatch.setattr(anomaly, "fit", None)
    again = measured(workspace)
    for one, other in zip(first[:2], again[:2], strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert first[2] == again[2]
    assert kept_file(workspace).stat().st_mtime_ns == stamp


@pytest.mark.parametrize("damage", ["cut", "empty", "garbled", "other"])
def test_a_damaged_file_is_made_again(workspace: Config, damage: str) -> None:
    first = measured(workspace)
    file = kept_file(workspace)
    whole = file.read_bytes()
    if damage == "other":
        kept.write(file, {"something": "else"})
    else:
        file.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "garbled": whole[::-1]}[damage])
    pd.testing.assert_frame_equal(measured(workspace)[0], first[0], check_exact=True)
    assert kept.read(file, {one.__name__: one for one in (basis.Basis, *basis.HELD)}) is not None


def test_other_windows_and_other_code_have_a_file_of_their_own(
    workspace: Config, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    names = []
    for config in (workspace, workspace.model_copy(update={"window_hours": 12})):
        basis.ready(config, reference.load(config))
        names.append(kept_file(config).name)
    monkeypatch.setattr(basis, "MADE_BY", basis.MADE_BY[:-1])
    basis.ready(workspace, reference.load(workspace))
    assert len({*names, kept_file(workspace).name}) == 3  # and only the last is there


def test_all_code_that_the_numbers_follow_from_is_in_the_name() -> None:
    made_by = {module.__name__ for module in basis.MADE_BY}
    held = {one.__module__ for one in basis.HELD} | {basis.parts.__name__, basis.contexts.__name__}
    assert held <= made_by
