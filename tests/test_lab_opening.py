"""What the panel opens on, and what it says where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_workspace import MadeUp, fresh, make

import cvkit
from cvkit.lab.desk import Desk


@pytest.mark.parametrize(("window", "feature"), [("2026-11-08", "sharpness"), ("2026-11-02", "brightness")])
def test_it_opens_on_what_is_the_matter(tmp_path: Path, window: str, feature: str) -> None:
    make(tmp_path / "w", MadeUp())
    desk = Desk(tmp_path / "w", window=window)
    assert desk.source == "cam-north"
    assert desk.feature == feature


def test_without_a_measured_window_a_sentence_stands_in_its_place(tmp_path: Path) -> None:
    fresh(tmp_path / "w")
    shown = cvkit.explore(tmp_path / "w", "drift")
    assert shown.table.empty
    bundle = shown._repr_mimebundle_()
    assert "no window has been measured yet" in bundle["text/html"]
    assert "style" not in bundle["text/html"]
