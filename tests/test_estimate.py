"""Estimates of a window without labels: learnt once beside the reference, made again when it changes, or left out."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import engine_work
import numpy as np
import pandas as pd
import pytest

from cvkit import demo_world
from cvkit.config import Config, load_config
from cvkit.data import pictures
from cvkit.demo import CHECKPOINT
from cvkit.monitoring import estimate, identity, monitor
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.history import History
from cvkit.stats.unlabelled import estimation
from cvkit.tables import Window

SETTINGS = """
model: {{weights: "{weights}", image_size: 160, device: cpu, estimate_images: 32}}
captures: {{images: "captures/{{source}}/{{date}}/{{time}}.jpg"}}
reference: {{data: reference/data.yaml, images: "{{source}}/{{date}}/{{time}}.jpg"}}
evidently: false
"""
WINDOW = Window.day("2026-10-01")


@pytest.fixture(scope="module", autouse=True)
def few_corruptions() -> Iterator[None]:
    """Three families instead of eight: what is tested here is not how good estimates are."""
    few = tuple(one for one in estimate.CONDITIONS if one[0] in ("", "blur", "noise", "occlusion") and one[1] < 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate, "CONDITIONS", few)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Forty labelled frames of the demo's line, and two cameras' captures of which one sends too few."""
    folder = tmp_path_factory.mktemp("estimate")
    day = demo_world.REFERENCE_FIRST_DAY.isoformat()
    for number in range(40):
        shown = demo_world.frame(5, "cam-1", demo_world.REFERENCE_FIRST_DAY, number)
        text = demo_world.yolo_labels(shown)
        for part, suffix, content in (
            ("images", "jpg", demo_world.encode(shown.picture)),
            ("labels", "txt", text.encode()),
        ):
            file = (
                folder / "reference" / part / "val" / "cam-1" / day / f"{number // 60:02d}{number % 60:02d}00.{suffix}"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(demo_world.CLASSES))
    (folder / "reference" / "data.yaml").write_text(f"train: images/val\nval: images/val\nnames:\n{names}\n")
    for camera, frames in (("cam-1", 36), ("cam-2", 5)):
        for number in range(frames):
            file = folder / "captures" / camera / "2026-10-01" / f"{number // 60:02d}{number % 60:02d}00.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(demo_world.encode(demo_world.frame(6, camera, demo_world.FIRST_DAY, number).picture))
    (folder / "cvkit.yml").write_text(SETTINGS.format(weights=CHECKPOINT))
    return load_config(folder)


@pytest.fixture(scope="module")
def measured(config: Config) -> pd.DataFrame:
    with History.open(config.history_url) as history:
        monitor.run(config, WINDOW, history)
        return history.measurements(feature="estimate")


def test_a_window_gets_estimates_with_bands_beside_the_references_numbers(measured: pd.DataFrame) -> None:
    told = measured[measured["source"] == "cam-1"].set_index("metric")
    assert list(told.index) == ["ap", "precision", "recall"]
    assert ((told["low"] <= told["value"]) & (told["value"] <= told["high"])).all()
    assert (told["expected"] > 0.6).all(), "the demo's model is good on its own frames"
    assert (np.abs(told["value"] - told["expected"]) < 0.2).all(), "and these are no other"
    assert (told["n"] == 36).all()
    assert (told["n_reference"] == 32).all()


def test_a_source_with_too_few_images_is_unknown_not_ok(measured: pd.DataFrame) -> None:
    told = measured[measured["source"] == "cam-2"]
    assert told["value"].isna().all()
    assert (told["n"] == 5).all()


def test_an_estimator_is_learnt_once_and_again_when_it_is_damaged(
    config: Config, measured: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = list(identity.reference_folder(config).glob("estimator-*.npz"))
    assert len(kept) == 1
    calls: list[int] = []
    learn = estimate.learn
    heard: list[tuple[int, int]] = []

    def counted(*arguments: object) -> object:
        calls.append(1)
        return learn(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(estimate, "learn", counted)
    reference = reference_step.load(config)
    first = estimate.load(config, reference)
    assert first is not None
    assert not calls
    content = kept[0].read_bytes()
    kept[0].write_bytes(content[:100])
    again = estimate.load(config, reference_step.load(config), lambda done, total: heard.append((done, total)))
    assert calls == [1]
    assert heard == [(number, 32) for number in range(1, 33)]
    assert again is not None
    assert np.array_equal(again.correction, first.correction)


def test_another_reference_or_way_of_running_the_model_is_another_estimator(config: Config) -> None:
    reference = reference_step.load(config)
    keys = {estimate._key(config, reference), estimate._key(config, replace(reference, id="another"))}
    for update in ({"estimate_images": 30}, {"confidence": 0.3}, {"image_size": 128}):
        other = config.model_copy(update={"model": config.model.model_copy(update=update)})
        keys.add(estimate._key(other, reference))
    assert len(keys) == 5


def test_without_weights_labels_or_leave_there_is_no_estimator(config: Config, measured: pd.DataFrame) -> None:
    reference = reference_step.load(config)
    for update in ({"estimate_images": 0}, {"weights": ""}):
        off = config.model_copy(update={"model": config.model.model_copy(update=update)})
        assert estimate.load(off, reference_step.load(config)) is None
    unlabelled = replace(reference, images=reference.images.assign(labelled=False), prepared={})
    assert estimate.load(config, unlabelled) is None
    moved = replace(reference, images=reference.images.assign(path=str(Path("nowhere.jpg"))), prepared={})
    assert estimate.load(config, moved) is None
    nothing = estimate.measure(None, config, None, pd.DataFrame(), pd.DataFrame())  # type: ignore[arg-type]
    assert nothing.empty


def test_an_image_that_ends_its_decoder_is_not_learnt_from(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reference = reference_step.load(config)
    chosen = estimate._chosen(config, reference)
    poison = str(chosen["path"].iloc[3])

    def learnt() -> dict[str, np.ndarray]:
        found = estimate.learn(config, reference, chosen, lambda done, total: None)
        assert found is not None
        assert found.images == len(chosen) - 1
        return estimation.to_arrays(found)

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "shipped", functools.partial(engine_work.dying, "shipped", poison))
        survived = learnt()
    assert (
        f"{chosen['image_id'].iloc[3]} is not learnt from: a process that decodes it was ended by SIGSEGV"
        in caplog.text
    )
    content = Path(poison).read_bytes()
    try:
        Path(poison).write_bytes(b"no picture")
        without = learnt()
    finally:
        Path(poison).write_bytes(content)
    assert survived.keys() == without.keys()
    assert all(np.array_equal(survived[name], without[name]) for name in survived)
