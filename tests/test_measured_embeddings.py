"""Embeddings by an engine: what the deployed model says, in the same bytes however many workers there are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_store import files, measure

from cvkit import cli
from cvkit.config import Config, load_config
from cvkit.data import yolo


@pytest.fixture(scope="module")
def workspace(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings with real weights, and captures: real images of several shapes, one of them cut, one no image."""
    folder = tmp_path_factory.mktemp("workspace")
    place = folder / "in" / "cam-1" / "2026-11-01"
    place.mkdir(parents=True)
    for path in sorted((shared_data / "coco128" / "images").glob("*.jpg"))[:70]:
        shutil.copy(path, place)
    (place / "cut.jpg").write_bytes(min(place.glob("*.jpg")).read_bytes()[:9000])
    (place / "words.jpg").write_text("no image")
    weights = shared_data / "weights" / "yolo26n.pt"
    (folder / "cvkit.yml").write_text(
        f"model: {{weights: {weights}, image_size: 160, device: cpu}}\nreference: {{data: data.yaml}}\n"
    )
    return load_config(folder)


def test_embeddings_are_the_models_and_do_not_depend_on_workers(workspace: Config, tmp_path: Path) -> None:
    images = workspace.workspace / "in"
    for workers in (1, 2):
        measure(images, tmp_path / str(workers), workers=workers, embedder=workspace)
    assert files(tmp_path / "1") == files(tmp_path / "2")
    table = pd.read_parquet(tmp_path / "1" / "rows").set_index("image_id")
    assert len(table) == 72
    assert table["embedding"].isna().sum() == 2, "what the model cannot decode has none"
    listed = table.index[table["damage"] == ""][:9]
    own = yolo.embed(
        pd.DataFrame({"image_id": listed, "path": [str(images / name) for name in listed]}),
        workspace,
    ).set_index("image_id")["embedding"]
    for name in listed:
        np.testing.assert_allclose(table.loc[name, "embedding"], own[name], rtol=1e-3, atol=1e-4)
    again = measure(images, tmp_path / "1", embedder=workspace)
    assert (again.made, again.kept) == (0, 1)


def test_rows_without_embeddings_are_made_again_with_them(workspace: Config, tmp_path: Path) -> None:
    images = workspace.workspace / "in"
    measure(images, tmp_path)
    assert measure(images, tmp_path, embedder=workspace).made == 1


def test_embeddings_stay_until_their_images_change(workspace: Config, tmp_path: Path) -> None:
    images = tmp_path / "in" / "cam-1" / "2026-11-01"
    images.mkdir(parents=True)
    for path in sorted((workspace.workspace / "in" / "cam-1" / "2026-11-01").glob("0*.jpg"))[:3]:
        shutil.copy(path, images)
    out = tmp_path / "out"
    measure(tmp_path / "in", out, workers=1, embedder=workspace)
    whole = files(out)
    summary = next((out / "summaries").rglob("*.arrow"))
    summary.unlink()
    again = measure(tmp_path / "in", out, workers=1)
    assert (again.made, again.kept) == (0, 1)
    assert files(out) == whole, "the column is kept, and the summary made again as it was"
    next(images.glob("*.jpg")).unlink()
    again = measure(tmp_path / "in", out, workers=1)
    assert [(why.endswith("without the embeddings they had (no --embeddings)"), number)
            for why, number in again.again.items()] == [(True, 1)]  # fmt: skip
    assert "embedding" not in pd.read_parquet(out / "rows").columns


def test_a_model_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cvkit.yml").write_text("reference: {data: data.yaml}\n")
    line = ["images", "measure", "--images", str(tmp_path), "--out", str(tmp_path / "out"), "--embeddings"]
    assert cli.main([*line, "--config", str(tmp_path)]) == 2
    assert "there is no model" in capsys.readouterr().err
