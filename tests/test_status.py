"""What `cvkit status` says of a workspace whose reference or weights are damaged: that, and all verdicts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_flow import SETTINGS
from upkeep_world import NOW

from cvkit import cli, errors
from cvkit.demo import CHECKPOINT
from cvkit.upkeep import doctor

TABLES = ("images", "features", "predictions", "labels", "findings")


@pytest.fixture
def folder(upkeep_line: Path, tmp_path: Path) -> Path:
    return shutil.copytree(upkeep_line, tmp_path / "line")


def status(folder: Path) -> None:
    assert cli.main(["status", "--config", str(folder)]) == errors.DONE


def with_weights(folder: Path, content: bytes) -> None:
    (folder / "a.pt").write_bytes(content)
    (folder / "cvkit.yml").write_text(SETTINGS.replace("{name: test", "{name: test, weights: a.pt"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"classes": {}}'])
def test_a_damaged_reference_is_no_other_reference(
    content: str, folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    status(folder)
    sound = capsys.readouterr().out
    assert "nothing stands out" in sound
    assert not caplog.messages
    next(folder.glob("references/*/reference.json")).write_text(content)
    status(folder)
    assert capsys.readouterr().out == sound, "all verdicts, and no word of another reference"
    (told,) = caplog.messages
    assert "the stored reference is damaged" in told
    assert "cvkit reference --rebuild" in told
    assert cli.main(["backtest", "--config", str(folder)]) == errors.StorageError.exit_code
    assert "the stored reference is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "damage"), [
    *((name, damage) for name in (*TABLES, "embeddings") for damage in ("gone", "cut", "empty")),
    *((name, "of other columns") for name in TABLES),
])  # fmt: skip
def test_damaged_tables_of_the_reference_are_told_as_the_doctor_tells_them(
    name: str, damage: str, folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    status(folder)
    sound = capsys.readouterr().out
    (table,) = folder.glob(f"references/*/{name}.parquet")
    if damage == "gone":
        table.unlink()
    elif damage == "of other columns":
        pd.DataFrame({"image_id": ["a"]}).to_parquet(table)
    else:
        table.write_bytes(table.read_bytes()[: 500 if damage == "cut" else 0])
    status(folder)
    assert capsys.readouterr().out == sound, "all verdicts"
    (told,) = caplog.messages
    (found,) = [one for one in doctor.examine(folder, NOW) if one.check == "references"]
    assert all(words in told for words in found.problem.split(": ", 1)), "the same words"
    assert "cvkit reference --rebuild" in told
    assert "cvkit reference --rebuild" in found.remedy


def test_a_reference_that_was_not_measured_yet_is_no_damage(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(folder / "references")
    status(folder)
    assert not caplog.messages


def test_damaged_weights_are_no_champion(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    status(folder)
    sound = capsys.readouterr().out
    with_weights(folder, CHECKPOINT.read_bytes()[:100_000])
    status(folder)
    assert capsys.readouterr().out == sound, "all verdicts of the version measured last"
    (told,) = caplog.messages
    assert "the weights cannot be loaded" in told
    assert "not the archive that PyTorch writes" in told
    assert "what follows is about the version measured last, external" in told


def test_other_weights_that_are_sound_are_the_champion(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with_weights(folder, CHECKPOINT.read_bytes())
    status(folder)
    assert "were measured with version external, not with" in capsys.readouterr().out
    assert not caplog.messages
