"""The doctor on what commands read whole: it says what these would end with, and nothing of what they make anew."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lab_world import DAYS
from test_flow import SETTINGS
from upkeep_world import NOTEBOOK, NOW, contents

import cvkit
from cvkit import cli, errors
from cvkit.config import load_config
from cvkit.demo import CHECKPOINT
from cvkit.documentation.facts import quality
from cvkit.maintenance import gate_results
from cvkit.maintenance.gate_results import FLIPPED, PARTS, Result
from cvkit.monitoring import reference
from cvkit.tables import empty
from cvkit.upkeep import doctor, file_checks, history_checks, kept_checks
from cvkit.upkeep.findings import Finding

GIB = 1 << 30
TABLES = ("images", "features", "labels", "predictions", "embeddings", "findings")
Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def world(upkeep_line: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(upkeep_line, tmp_path_factory.mktemp("kept") / "line")
    cli.main(["run", "--window", DAYS[1], "--reports", "0", "--config", str(folder)])  # the reference's caches
    version = next((folder / "versions").glob("[!.]*/"))
    judged = Result(
        "refused",
        ("worse",),
        empty(PARTS),
        empty(FLIPPED),
        (1.0, 1.0),
        1.0,
        (1, 1),
        (),
        "a",
        version.name,
        "t",
        "k",
        NOW,
    )
    gate_results.write(version, judged)
    empty(PARTS).to_parquet(version / "manifest.parquet")
    (version / "training.csv").write_text("epoch, loss\n1, .5\n2, .4\n")
    (folder / "mkdocs.yml").write_text("site_name: ours\n")
    _frozen(folder)
    return folder


def _frozen(folder: Path) -> None:
    image = folder / "retraining" / "test" / "a.jpg"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"picture")
    row = {"image_id": "a", "part": "new", "source": "", "path": "retraining/test/a.jpg", "dhash": "0f", "width": 1,
           "content": hashlib.sha256(b"picture").hexdigest()[:32], "height": 1, "time": "", "moment": "",
           "boxes": []}  # fmt: skip
    test = {"format": 1, "classes": {"0": "nut"}, "stretches": {}, "images": [row]}
    (folder / "retraining" / "test.json").write_text(json.dumps(test))


@pytest.fixture
def folder(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(file_checks, "room_at", lambda place: (100 * GIB, 50 * GIB, 1000, 900))
    shutil.copytree(world, tmp_path / "line")
    return tmp_path / "line"


def found(folder: Path) -> list[Finding]:
    return doctor.examine(folder, NOW)


def run(folder: Path) -> int:
    return cli.main(["run", "--window", DAYS[1], "--reports", "0", "--config", str(folder)])


def cut(pattern: str) -> Damage:
    """A file keeps its first half."""

    def damage(folder: Path) -> None:
        file = next(folder.glob(pattern))
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return damage


def written(pattern: str, text: str) -> Damage:
    return lambda folder: next(folder.glob(pattern)).write_text(text)


def gone(pattern: str) -> Damage:
    return lambda folder: next(folder.glob(pattern)).unlink()


def with_weights(content: bytes) -> Damage:
    def damage(folder: Path) -> None:
        (folder / "a.pt").write_bytes(content)
        (folder / "cvkit.yml").write_text(SETTINGS.replace("{name: test", "{name: test, weights: a.pt"))

    return damage


def flipped() -> bytes:
    content = bytearray(CHECKPOINT.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


REFERENCE: dict[str, Damage] = {
    "facts cut": cut("references/*/reference.json"),
    "facts empty": written("references/*/reference.json", ""),
    "facts of another kind": written("references/*/reference.json", '{"id": 1, "limits": {"a": 3}, "classes": {}}'),
    **{f"{name} gone": gone(f"references/*/{name}.parquet") for name in TABLES},
    **{f"{name} cut": cut(f"references/*/{name}.parquet") for name in TABLES},
}


@pytest.mark.parametrize("kind", REFERENCE)
def test_a_damaged_reference_is_told_as_run_tells_it(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found(folder) == []
    REFERENCE[kind](folder)
    before = contents(folder)
    (row,) = found(folder)
    assert contents(folder) == before
    assert (row.severity, row.check, row.where.split("/")[0]) == ("error", "references", "references")
    assert "cvkit reference --rebuild" in row.remedy
    capsys.readouterr()
    assert run(folder) == errors.StorageError.exit_code
    told = capsys.readouterr().err
    assert all(part in told for part in row.problem.split(": ", 1)), "the same words"
    assert cli.main(["reference", "--rebuild", "--config", str(folder)]) == errors.DONE
    assert found(folder) == [], "the remedy mends it"


@pytest.mark.parametrize("pattern", ["basis-*.npz"])
def test_what_is_made_anew_by_itself_is_not_told(pattern: str, folder: Path) -> None:
    cut(f"references/*/{pattern}")(folder)
    (file,) = folder.glob(f"references/*/{pattern}")
    damaged = file.stat().st_size
    assert found(folder) == []
    assert run(folder) == errors.DONE
    assert file.stat().st_size > damaged


def test_a_damaged_reference_that_is_not_in_use_is_no_error(folder: Path) -> None:
    (used,) = (folder / "references").iterdir()
    shutil.copytree(used, folder / "references" / "0123456789ab")
    assert found(folder) == []
    (folder / "references" / "0123456789ab" / "reference.json").write_text("{")
    (row,) = found(folder)
    assert (row.severity, row.check, row.where) == ("warning", "references", "references/0123456789ab/reference.json")
    assert run(folder) == errors.DONE


KEPT: dict[str, tuple[Damage, str, str, str, str]] = {  # made by, severity, check, words of it, and of the remedy
    "weights cut": (
        with_weights(CHECKPOINT.read_bytes()[:100_000]), "error", "weights", "not the archive that PyTorch writes",
        "Copy the file again",
    ),
    "weights flipped": (with_weights(flipped()), "error", "weights", "is damaged", "Copy the file again"),
    "test set cut": (cut("retraining/test.json"), "error", "test set", "test set is damaged", "Put the file back"),
    "test set empty": (
        written("retraining/test.json", ""), "error", "test set", "test set is damaged", "Put the file back",
    ),
    "test image": (written("retraining/test/a.jpg", "x"), "error", "test set", "is another image now", "Put them back"),
    "test image gone": (gone("retraining/test/a.jpg"), "error", "test set", "No such file", "Put them back"),
    "gate cut": (cut("versions/*/gate.json"), "error", "versions", "gate's result is damaged", "Delete gate.json"),
    "gate's table cut": (
        cut("versions/*/gate/*/parts.parquet"), "error", "versions", "gate's result is damaged", "Delete gate.json",
    ),
    "gate's table gone": (
        gone("versions/*/gate/*/flipped.parquet"), "error", "versions", "table of a gate's result is gone", "Delete",
    ),
    "facts of another kind": (
        written("versions/*/version.json", '{"kind": "adopted"}'), "warning", "versions", "missing or damaged",
        "Restore the folder",
    ),
    "manifest cut": (cut("versions/*/manifest.parquet"), "warning", "versions", "training is damaged", "Restore it"),
    "curves cut": (
        written("versions/*/training.csv", "epoch, loss\n1, .5\n2"), "warning", "versions", "a row of 1 numbers, not 2",
        "Restore it",
    ),
    "curves empty": (written("versions/*/training.csv", ""), "warning", "versions", "training is damaged", "Restore"),
    "curves without rows": (
        written("versions/*/training.csv", "epoch, loss\n"), "warning", "versions", "no rows", "Restore",
    ),
    "notebook cut": (cut("notebooks/own.ipynb"), "error", "notebooks", "own.ipynb cannot be read", "Save it again"),
    "notebook empty": (written("notebooks/own.ipynb", ""), "error", "notebooks", "cannot be read", "Save it again"),
    "no notebook": (written("notebooks/own.ipynb", "{}"), "error", "notebooks", "cannot be read", "Save it again"),
    "report cut": (cut("reports/*/02-drift.ipynb"), "warning", "reports", "no notebook", "cvkit run --window DAY"),
    "report of no cells": (
        written("reports/*/02-drift.ipynb", "[]"), "warning", "reports", "no notebook", "cvkit run --window DAY",
    ),
    "report of no form": (
        written("reports/*/02-drift.ipynb", '{"cells": []}'), "warning", "reports", "no notebook", "cvkit run --window",
    ),
    "site's settings empty": (written("mkdocs.yml", ""), "error", "site", "settings cannot be used", "cvkit init"),
    "site's settings cut": (written("mkdocs.yml", "plugins: ["), "error", "site", "cannot be used", "cvkit init"),
    "site's settings a list": (written("mkdocs.yml", "- a"), "error", "site", "cannot be used", "cvkit init"),
    "site's settings a number": (written("mkdocs.yml", "42"), "error", "site", "cannot be used", "cvkit init"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEPT)
def test_damage_of_what_is_kept_is_found_and_explained(kind: str, folder: Path) -> None:
    damage, severity, check, words, remedy = KEPT[kind]
    damage(folder)
    before = contents(folder)
    rows = [one for one in found(folder) if one.check != "history"]
    assert contents(folder) == before, "it changes nothing"
    (row,) = [one for one in rows if one.check == check]
    assert (row.severity, words in row.problem, row.remedy.startswith(remedy) or remedy in row.remedy) == (
        severity, True, True,
    ), row  # fmt: skip
    assert cli.main(["doctor", "--config", str(folder)]) == errors.UNSOUND


@pytest.mark.parametrize("kind", ["site's settings empty", "site's settings a list", "site's settings a number"])
def test_the_site_says_the_same_of_its_settings(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    KEPT[kind][0](folder)
    assert cli.main(["site", "build", "--config", str(folder)]) == errors.ConfigError.exit_code
    assert "the site's settings cannot be used" in capsys.readouterr().err


def test_weights_that_may_not_be_read_are_told_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything: so opening them fails as it does for others."""
    with_weights(CHECKPOINT.read_bytes())(folder)
    opened = io.open

    def denied(file: Any, *given: Any, **more: Any) -> Any:
        if str(file) == str(folder / "a.pt"):
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return opened(file, *given, **more)

    monkeypatch.setattr(io, "open", denied)
    (one,) = (one for one in found(folder) if one.check == "weights")
    assert (one.severity, one.problem) == ("error", "the weights cannot be read: Permission denied")


def test_sound_weights_are_not_told_of(folder: Path) -> None:
    with_weights(CHECKPOINT.read_bytes())(folder)
    assert "weights" not in {one.check for one in found(folder)}


def test_a_lack_of_memory_is_no_damage_of_what_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(place: Path) -> None:
        raise errors.StorageError(kept_checks.NO_ROOM)

    monkeypatch.setattr(kept_checks.reference, "read", short)
    with pytest.raises(errors.StorageError, match="not enough memory"):
        found(folder)


def test_a_notebook_of_an_older_form_is_one(folder: Path) -> None:
    (folder / "notebooks" / "own.ipynb").write_text(NOTEBOOK.replace('"nbformat_minor": 5', '"nbformat_minor": 2'))
    assert found(folder) == []


def test_the_quality_table_is_worked_out_again(folder: Path) -> None:
    config = load_config(folder)
    known = reference.load(config)
    whole = quality.on_reference(config, known)
    (file,) = folder.glob("references/*/quality-*.parquet")
    file.write_bytes(b"PAR1 and no end")
    assert found(folder) == []
    pd.testing.assert_frame_equal(quality.on_reference(config, known), whole)
    assert len(file.read_bytes()) > 20, "written anew"


def _in_use(folder: Path) -> None:
    """A history whose log a process left that was killed."""
    script = (
        "import os, sqlite3, sys\n"
        "made = sqlite3.connect(sys.argv[1])\n"
        "made.execute('PRAGMA journal_mode=WAL')\n"
        "made.execute(\"UPDATE runs SET error = ''\")\n"
        "made.commit()\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder / "history.db")], check=True, timeout=60)
    (folder / "history.db-shm").unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_history_that_cannot_be_looked_through_for_want_of_room_is_not_damaged(folder: Path) -> None:
    _in_use(folder)
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); from cvkit import cli; "
    command = [sys.executable, "-c", f"{limited}sys.exit(cli.main(sys.argv[1:]))", "doctor", "--config", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == errors.UNSOUND
    assert "cannot be looked through now: disk I/O error. Free some space" in ended.stdout
    assert "restore" not in ended.stdout.lower()
    assert found(folder) == [], "nothing was lost"


@pytest.mark.parametrize(("free", "cause", "why"), [
    (0, "disk I/O error", "the disk is full"), (0, "database or disk is full", "the disk is full"),
    (50 * GIB, "disk I/O error", "disk I/O error"), (50 * GIB, "database is locked", "database is locked"),
    (50 * GIB, "attempt to write a readonly database", "attempt to write a readonly database"),
    (50 * GIB, "unable to open database file", "unable to open database file"),
])  # fmt: skip
def test_why_a_history_cannot_be_looked_through(
    free: int, cause: str, why: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> str:
        raise sqlite3.OperationalError(cause)

    monkeypatch.setattr(file_checks, "room_at", lambda place: (100 * GIB, free, 1000, 900))
    (row,) = history_checks.damage(str(folder / "history.db"), look)
    assert row.problem == f"the database cannot be looked through now: {why}"
    assert "nothing was lost" in row.remedy
    assert "backup" not in row.line
    monkeypatch.setattr(history_checks, "_quick_check", lambda file: "ok")
    monkeypatch.setattr(history_checks, "_schema", lambda connection: look())
    rows = [one for one in found(folder) if one.check == "history"]
    assert [one.problem for one in rows] == [row.problem], "and so where it is read afterwards"


CAPTURES: dict[str, tuple[str, str, str, str, str]] = {  # replaced by what; severity, words of it, of the remedy
    "images": ("{time}.jpg", "{time}.jpeg", "note", "no image matches the pattern", "bring the captures back"),
    "folder": ('images: "captures/', 'images: "caps/', "note", "no image matches", "correct captures.images"),
    "predictions": ("{date}.jsonl", "{date}/x.jsonl", "note", "no file matches predictions/", "correct the pattern"),
    "kind": ("{date}.jsonl", "{date}.csv", "error", "kind of the predictions files is not known", "end the pattern"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CAPTURES)
def test_patterns_that_match_nothing_are_told(kind: str, folder: Path) -> None:
    old, new, severity, words, remedy = CAPTURES[kind]
    assert found(folder) == []
    (folder / "cvkit.yml").write_text(SETTINGS.replace(old, new))
    (row,) = [one for one in found(folder) if one.check == "captures"]
    assert (row.severity, words in row.problem, remedy in row.remedy.lower()) == (severity, True, True), row
    sound = [one for one in found(folder) if one.severity != "note" and one.check != "references"] == []
    assert sound == (severity == "note")


def test_captures_that_were_not_brought_back_are_noted_and_records_do_without(folder: Path) -> None:
    shutil.rmtree(folder / "captures")
    (row,) = found(folder)
    assert (row.severity, row.check) == ("note", "captures")
    with cvkit.Recorder(folder, "cam-1", properties_per_s=0) as recorder:
        recorder.record(time=datetime(2026, 9, 8, 6, tzinfo=UTC), size=(128, 96))
    assert list((folder / "recorded").rglob("*.parquet"))
    assert [one for one in found(folder) if one.check == "captures"] == []


def test_what_takes_too_long_to_tell_is_not_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder / "captures")
    monkeypatch.setattr(kept_checks, "LOOK_S", -1.0)
    assert found(folder) == []
