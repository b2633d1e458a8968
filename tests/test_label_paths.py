"""Labels that came back, written by whoever had them: whatever they name, nothing is written but label files."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path

import pytest
from test_labelling import back, built, config, exported, sent  # noqa: F401

from cvkit.config import Config
from cvkit.data.sources import exports
from cvkit.errors import CvkitError
from cvkit.maintenance import label_folder

HOSTILE = [
    "../../evil.jpg", "../../../../../../evil.jpg", "/evil.jpg", "{outside}/evil.jpg", "captures/../../evil.jpg",
    "..\\\\..\\\\evil.jpg", "~/evil.jpg", "cam-1/2026-10-01/../../../../evil.jpg", "a\x00b.jpg", "", ".", "..",
]  # fmt: skip


def files(folder: Path) -> dict[str, str]:
    """Every file below, and its digest."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def changed(folder: Path, before: dict[str, str]) -> set[str]:
    after = files(folder)
    return {path for path in {**before, **after} if before.get(path) != after.get(path)}


def taken_in(config: Config, folder: Path, outside: Path) -> set[str]:  # noqa: F811
    """What an import changes anywhere beside label files in the workspace's folder of labels."""
    before = files(outside)
    try:
        label_folder.import_labels(config, folder)
    except CvkitError as error:
        assert error.remedy  # noqa: PT017  refused with words is as good
    labels = str(config.workspace / "labels") + os.sep
    return {path for path in changed(outside, before) if not (path.startswith(labels) and path.endswith(".txt"))}


@pytest.mark.parametrize("column", ["image_id", "file"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_plan_that_names_other_places(
    column: str, name: str, back: tuple[Config, Path], tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    config, folder = back  # noqa: F811
    name = name.replace("{outside}", str(tmp_path))
    table = folder / "plan.csv"
    rows = list(csv.DictReader(table.read_text().splitlines()))
    rows[0][column] = name.replace("\0", "")
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    label = folder / "train" / "labels" / f"{Path(rows[0]['file']).stem or 'x'}.txt"
    if tmp_path in label.resolve().parents:
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.5 0.5 0.1 0.1\n")
    assert taken_in(config, folder, tmp_path) == set()


@pytest.mark.parametrize("name", HOSTILE)
def test_coco_that_names_other_places(name: str, config: Config, tmp_path: Path) -> None:  # noqa: F811
    _, folder = exported(config, kind="coco")
    content = json.loads((folder / exports.COCO_FILE).read_text())
    content["images"][0]["file_name"] = name.replace("{outside}", str(tmp_path))
    (folder / exports.COCO_FILE).write_text(json.dumps(content))
    assert taken_in(config, folder, tmp_path) == set()
    assert not list(tmp_path.rglob("evil*"))


def test_a_link_in_the_place_of_a_label_file_is_not_written_through(
    back: tuple[Config, Path], tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    config, folder = back  # noqa: F811
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    label_folder.import_labels(config, folder)
    for file in (config.workspace / "labels").rglob("*.txt"):
        file.unlink()
        file.symlink_to(victim)
    assert taken_in(config, folder, tmp_path) == set()
    assert victim.read_text() == "mine"
