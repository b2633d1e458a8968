"""A decoder that crashes takes one image with it, not the run that measures a window."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import image_store
import numpy as np
import pandas as pd
import pytest

from cvkit.config import Config
from cvkit.data import features, measuring
from cvkit.data.records import Records
from cvkit.tables import BOXES, FINDINGS, IMAGES, conform, empty


def crashing(paths: Sequence[str]) -> Iterator[measuring.Facts]:
    """As `measuring.of_files`, with a decoder that dies of some names."""
    for path in paths:
        if "poison" in path:
            os.kill(os.getpid(), signal.SIGSEGV)
        yield from measuring.of_files([path])


def records_of(folder: Path) -> Records:
    paths = sorted(folder.rglob("*.jpg"))
    images = pd.DataFrame(
        {
            "image_id": [str(path.relative_to(folder)) for path in paths],
            "path": [str(path) for path in paths],
            "source": "cam-1",
            "time": pd.Timestamp("2026-11-01", tz="UTC"),
            "bytes": [path.stat().st_size for path in paths],
            "modified_ns": [path.stat().st_mtime_ns for path in paths],
        }
    )
    return Records(conform(images, IMAGES), empty(BOXES), empty(BOXES), empty(FINDINGS), {})


@pytest.mark.parametrize("workers", [1, 3])
def test_an_image_that_crashes_the_decoder_is_one_that_cannot_be_read(
    workers: int, settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_store.fill(tmp_path / "in", ("cam-1",), 1, each=70)
    image_store.write(folder / "cam-1" / "2026-11-01" / "030-poison.jpg", np.random.default_rng(1))
    records = records_of(folder)
    healthy = features.extract(settings, records, tmp_path / "healthy")
    monkeypatch.setattr(measuring, "of_files", crashing)
    told: list[tuple[int, int]] = []
    config = settings.model_copy(update={"workers": workers})
    found = features.extract(config, records, tmp_path / "kept", lambda done, total: told.append((done, total)))
    assert told[-1] == (71, 71)
    poison = found["image_id"].str.contains("poison")
    assert found.loc[poison, ["damage", "damage_detail"]].to_numpy().tolist() == [
        ["unreadable", "a process that decodes it was ended by SIGSEGV"]
    ]
    pd.testing.assert_frame_equal(found[~poison], healthy[~poison])
    again = features.extract(config, records, tmp_path / "kept", lambda done, total: pytest.fail("measured again"))
    pd.testing.assert_frame_equal(again, found)
