"""Versions of real checkpoints: what is none is refused, the gate judges them, the shadow and the export show them."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from versions_world import CLASSES, added, frozen_images, noisy, workspace

from cvkit import cli
from cvkit.config import Config, load_config
from cvkit.demo import CHECKPOINT
from cvkit.errors import ConfigError, DataError
from cvkit.maintenance import export, gate, shadow, versions
from cvkit.maintenance import test_set as test_set_step
from cvkit.maintenance.test_set import TestSet
from cvkit.monitoring import monitor
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.history import History
from cvkit.tables import Window

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and Ultralytics
WHO = {"by": "anna", "why": "it gains"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, versions.Version, TestSet]:
    """A champion with noise on its weights, and the demo's checkpoint as its challenger."""
    folder = tmp_path_factory.mktemp("versions")
    config = workspace(folder / "workspace", weights=noisy(folder / "noisy.pt", 0.07), days=2, frames=36)
    challenger = added(config, CHECKPOINT, versions.adopt(config).name)
    return config, challenger, frozen_images(config)


@pytest.fixture(autouse=True)
def frozen(world: tuple[Config, versions.Version, TestSet]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_set_step, "load", lambda config: world[2])
        yield


def test_adopting_and_adding_twice_are_the_same_version(world: tuple[Config, versions.Version, TestSet]) -> None:
    config, challenger, _ = world
    assert versions.adopt(config) == versions.adopt(config) == versions.champion(config)
    assert versions.adopt(config).name == config.version
    assert versions.adopt(config).classes == CLASSES
    again = versions.add(
        config, CHECKPOINT, kind="full", parent="", data="", arguments={}, environment={}, files={}
    )  # fmt: skip
    assert again == challenger
    assert challenger.weights.read_bytes() == CHECKPOINT.read_bytes()
    assert {one.name for one in versions.every(config)} == {config.version, challenger.name}


def test_files_come_along_and_names_of_cvkits_own_are_refused(
    world: tuple[Config, versions.Version, TestSet], tmp_path: Path
) -> None:
    config, *_ = world
    (tmp_path / "results.csv").write_text("epoch\n")
    weights = noisy(tmp_path / "other.pt", 0.01, seed=3)
    parts = {"kind": "full", "parent": "", "data": "d1", "arguments": {"lr0": 0.1}, "environment": {"n": Path("x")}}
    with pytest.raises(ValueError, match=r"keeps for itself: gate\.json"):
        versions.add(config, weights, **parts, files={"gate.json": weights})
    made = versions.add(config, weights, **parts, files={"training/results.csv": tmp_path / "results.csv"})
    assert (made.folder / "training" / "results.csv").read_text() == "epoch\n"
    assert (made.arguments, made.environment, made.data) == ({"lr0": 0.1}, {"n": "x"}, "d1")
    shutil.rmtree(made.folder)


def bad(kind: str, folder: Path) -> Path:
    file = folder / "bad.pt"
    if kind == "text":
        file.write_text("no checkpoint")
    elif kind == "cut short":
        file.write_bytes(CHECKPOINT.read_bytes()[:100_000])
    elif kind == "code":
        import torch

        torch.save({"model": Evil()}, file)
    else:
        import torch
        from versions_world import _blurred_state

        checkpoint = dict(_blurred_state(0.0, len(kind)))  # one of its own: it is changed
        model = checkpoint["model"]
        if kind == "other task":
            checkpoint["train_args"] = {**checkpoint["train_args"], "task": "segment"}
            model.task = "segment"
            model.args = {**(model.args if isinstance(model.args, dict) else vars(model.args)), "task": "segment"}
        else:
            model.names = {0: "washer", 1: "bolt", 2: "nut"}
        torch.save(checkpoint, file)
    return file


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of a checkpoint was run')",)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "cannot be loaded"), ("cut short", "cannot be loaded"), ("code", "cannot be loaded"),
        ("other task", "task that is not supported"), ("other classes", "other classes"),
    ],
)  # fmt: skip
def test_what_is_no_version_is_refused(
    world: tuple[Config, versions.Version, TestSet], kind: str, words: str, tmp_path: Path
) -> None:
    config, *_ = world
    before = sorted((config.workspace / "versions").iterdir())
    with pytest.raises(DataError, match=words):
        added(config, bad(kind, tmp_path))
    assert sorted((config.workspace / "versions").iterdir()) == before


def test_the_gate_passes_what_sees_better_and_keeps_what_it_said(
    world: tuple[Config, versions.Version, TestSet],
) -> None:
    config, challenger, test = world
    result = gate.judge(config, challenger, test)
    whole = result.parts[(result.parts["by"] == "") & (result.parts["metric"] == "f1")].set_index("part")
    assert whole.loc["new", "difference"] > 0
    assert (result.champion, result.challenger, result.test) == (config.version, challenger.name, "t0")
    assert 0.5 < result.slower < 2
    assert min(result.latency_ms) > 0
    assert set(result.flipped["change"]) >= {"better"}
    again = gate.judge(config, challenger, test)
    assert again.made == result.made  # not judged anew
    pd.testing.assert_frame_equal(again.parts, result.parts)
    other = config.model_copy(update={"retraining": config.retraining.model_copy(update={"gain": 0.5})})
    assert gate.judge(other, challenger, test).outcome == "refused"
    assert gate.judge(config, challenger, test).outcome == result.outcome


def test_the_champion_itself_and_a_copy_of_it_do_not_pass(
    world: tuple[Config, versions.Version, TestSet], tmp_path: Path
) -> None:
    config, _, test = world
    with pytest.raises(DataError, match="the champion itself"):
        gate.judge(config, versions.champion(config), test)
    import torch

    copy = torch.load(config.resolve(config.model.weights), weights_only=False)
    torch.save({**copy, "date": "another"}, tmp_path / "copy.pt")
    version = added(config, tmp_path / "copy.pt")
    assert version.name != config.version
    result = gate.judge(config, version, test)
    assert result.outcome == "refused"
    assert result.flipped.empty
    shutil.rmtree(version.folder)


def test_images_that_cannot_be_read_are_left_out_and_told(
    world: tuple[Config, versions.Version, TestSet], tmp_path: Path
) -> None:
    config, challenger, test = world
    images = test.images.copy()
    (tmp_path / "broken.jpg").write_bytes(b"")
    images.loc[0, ["path", "bytes"]] = [str(tmp_path / "broken.jpg"), 0]
    result = gate.judge(config, challenger, TestSet("t1", images, test.labels, test.classes))
    assert "1 test images cannot be read and are left out" in result.notes
    assert result.parts.loc[0, "images"] == len(images) - 1


def test_a_promoted_version_is_compared_with_what_it_was_accepted_on(
    world: tuple[Config, versions.Version, TestSet],
) -> None:
    config, challenger, test = world
    versions.promote(config, challenger.name, **WHO, force=True)
    try:
        now = load_config(config.workspace)
        known = reference_step.load(now)
        assert len(known.features) == len(test.images)
        assert known.sources == ["cam-1", "cam-2"]
        assert sorted(known.features["content"].tolist()) == sorted(
            reference_step.load(now).features["content"].tolist()
        )
        assert known.features["time"].notna().all()
        assert len(known.labels) == len(test.labels)
    finally:
        versions.rollback(config, **WHO)
    assert load_config(config.workspace).reference == config.reference


def test_a_shadow_is_measured_and_nobody_hears_of_it(world: tuple[Config, versions.Version, TestSet]) -> None:
    from cvkit.monitoring import alerts, exposition

    config, challenger, _ = world
    window = Window.day("2026-09-16")
    with History.open(config.history_url) as history:
        monitor.run(config, window, history)
        alerts.update(config, history)
        known = history.runs(model="parts"), history.verdicts(model="parts"), alerts.table(history, "parts")
        metrics = exposition.once(config)
        told = shadow.run(config, challenger, [window], history)
        alerts.update(config, history)
        for before, after in zip(
            known, (history.runs(model="parts"), history.verdicts(model="parts"), alerts.table(history, "parts")),
            strict=True,
        ):  # fmt: skip
            pd.testing.assert_frame_equal(before, after)
        assert exposition.once(config) == metrics
        assert history.current_version(config) == config.version
        (config.workspace / "models" / "demo.pt").rename(config.workspace / "gone.pt")
        try:
            assert history.current_version(load_config(config.workspace)) == config.version
        finally:
            (config.workspace / "gone.pt").rename(config.workspace / "models" / "demo.pt")
        runs = history.runs(model="parts (shadow)")
        assert runs["version"].tolist() == [challenger.name]
    rows = told.set_index(["source", "what"])
    first, second = rows.loc[("cam-1", "F1 by labels"), ["champion", "challenger"]]
    assert second > first
    assert rows.loc[("cam-2", "images"), "champion"] == 36
    assert "F1 by labels" in shadow.text(told, challenger)
    with pytest.raises(DataError, match="no window could be measured"), History.open(config.history_url) as history:
        shadow.run(config, challenger, [], history)
    with pytest.raises(DataError, match="there are no captures"), History.open(config.history_url) as history:
        shadow.run(config, challenger, [Window.day("2020-01-01")], history)
    with History.open(config.history_url) as history:
        assert not history.runs()["window_start"].dt.year.eq(2020).any()


def test_export_says_what_is_missing(
    world: tuple[Config, versions.Version, TestSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, challenger, test = world
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed: onnx, onnxruntime"):
        export.onnx(config, challenger, test.images)
    with pytest.raises(ConfigError, match=r"cvkit\[mlflow\]"):
        export.register(config, challenger, "sqlite:///nowhere.db")


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")),
    reason="onnx and onnxruntime are not installed (pip install 'cvkit[onnx]')",
)
def test_what_is_exported_says_the_same_or_is_not_kept(
    world: tuple[Config, versions.Version, TestSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, challenger, test = world
    told = export.onnx(config, challenger, test.images)
    assert told.file == challenger.folder / "weights.onnx"
    assert told.file.is_file()
    assert (told.alone, told.images) == (0, 64)
    assert told.boxes > 64
    assert told.pixels < 0.1
    assert told.score < 0.001
    told.file.unlink()
    other = versions.champion(config)
    made = export._exported
    monkeypatch.setattr(export, "_exported", lambda config, version, folder: made(config, other, folder))
    with pytest.raises(DataError, match="does not say what its weights say"):
        export.onnx(config, challenger, test.images)
    assert not told.file.exists()


@pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed (pip install 'cvkit[mlflow]')"
)
def test_a_version_is_handed_over_to_mlflow_once(
    world: tuple[Config, versions.Version, TestSet], tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    config, challenger, _ = world
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    first = export.register(config, challenger, uri)
    assert export.register(config, challenger, uri) == first
    export.register(config, versions.champion(config), uri)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    assert client.get_model_version_by_alias("parts", "challenger").tags["cvkit"] == challenger.name
    assert client.get_model_version_by_alias("parts", "champion").tags["cvkit"] == config.version


def test_commands_do_it_all(
    world: tuple[Config, versions.Version, TestSet], capsys: pytest.CaptureFixture[str]
) -> None:
    config, challenger, _ = world
    run = ["--config", str(config.path)]
    assert cli.main(["retrain", "gate", *run]) == 0
    assert f"{challenger.name} beside the champion {config.version}" in capsys.readouterr().out
    assert cli.main(["retrain", "shadow", challenger.name[:6], "--window", "2026-09-16", *run]) == 0
    assert "mean confidence" in capsys.readouterr().out
    assert cli.main(["retrain", "export", "ffff", *run]) == 3
