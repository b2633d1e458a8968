"""Training: what cannot be is said at once, a kill costs an epoch at most, and the champion stays as it is."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from versions_world import noisy

from cvkit import cli, demo
from cvkit.config import Config, load_config
from cvkit.data import yolo
from cvkit.errors import ConfigError, DataError
from cvkit.maintenance import dataset, training, versions
from cvkit.maintenance.dataset import Prepared
from cvkit.storage import lock
from tests import retraining_world as world
from tests.retraining_world import WINDOWS, sha

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return world.make(tmp_path_factory.mktemp("training") / "l'ine <b>", incremental={"epochs": 1, "batch": 32})


@pytest.fixture(scope="module")
def prepared(line: Config) -> Prepared:
    return dataset.prepare(line, WINDOWS)


def asking(config: Config, kind: str = "incremental", **arguments: Any) -> Config:
    return world.changed(config.workspace, **{kind: arguments})


# -- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epoch": 3}, "no argument `epoch`.*did you mean `epochs`"),
        ({"learning_rate": 0.1}, "no argument `learning_rate`"),
        ({"data": "x.yaml"}, "`data` is set by cvkit"),
        ({"epochs": "many"}, "a whole number, 1 or more"),
        ({"mosaic": 7.0}, "between 0.0 and 1.0"),
        ({"lr0": 0.01, "optimizer": "auto"}, "optimizer `auto` would ignore lr0"),
        ({"amp": True}, "would download"),
        ({"device": "0,1"}, "one device"),
        ({"device": [0, 1]}, "one device"),
        ({"device": "gpu"}, "no such device"),
        ({"device": "7"}, "no such device"),
        ({"freeze": "x"}, "how many of the first layers"),
        ({"freeze": [0, "x"]}, "how many of the first layers"),
        ({"batch": 0}, "images, 1 or more"),
        ({"imgsz": 0}, "32 or more"),
        ({"imgsz": "big"}, "32 or more"),
        ({"optimizer": "Foo"}, "`optimizer` cannot be this"),
        ({"workers": -5}, "processes, 0 or more"),
        ({"warmup_epochs": -1}, "epochs, 0 or more"),
        ({"close_mosaic": -3}, "epochs, 0 or more"),
        ({"classes": [0]}, "`classes` is set by cvkit"),
    ],
)
def test_arguments_that_cannot_be_are_named_before_the_work(
    line: Config, prepared: Prepared, arguments: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_train", lambda *given: pytest.fail("trained"))
    with pytest.raises(ConfigError, match=f"(?s){words}"):
        training.train(asking(line, **arguments), prepared, "incremental")


def test_what_is_not_given_keeps_the_default_and_auto_loses_the_learning_rate(line: Config) -> None:
    given = training.arguments(asking(line, epochs=3), "incremental", 100)
    assert (given["epochs"], given["imgsz"], given["amp"], given["plots"]) == (3, 160, False, False)
    assert given["optimizer"] != "auto"
    assert "lr0" in given
    assert "lr0" not in training.arguments(asking(line, optimizer="auto"), "incremental", 100)


@pytest.mark.parametrize(("images", "epochs"), [(1, 30), (58, 28), (573, 3), (100_000, 3)])
def test_an_incremental_training_makes_about_a_hundred_steps(line: Config, images: int, epochs: int) -> None:
    free = line.retraining.model_copy(update={"incremental": {}})
    bare = line.model_copy(update={"retraining": free})
    assert training.arguments(bare, "incremental", images)["epochs"] == epochs
    assert training.arguments(asking(line, epochs=5), "incremental", images)["epochs"] == 5
    assert training.arguments(bare, "full", images)["epochs"] == 60


def test_the_gpu_is_used_where_there_is_one(line: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for there, device in ((True, "0"), (False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert training.arguments(line, "incremental", 100)["device"] == device


def test_what_decides_the_result_decides_the_run(line: Config, prepared: Prepared) -> None:
    def name(seed: int = 0, kind: Any = "incremental", **arguments: Any) -> str:
        given = training.arguments(asking(line, **arguments), kind, 100)
        return training.run_id(prepared, demo.CHECKPOINT, given, kind, seed)

    names = [name(), name(seed=1), name(lr0=0.002), name(kind="full")]
    assert len(set(names)) == 4
    assert name() == names[0]
    assert name(workers=2) == name(), "where it runs does not matter"


# -- weights that cannot be -------------------------------------------------------------------------------------------


def test_weights_of_other_classes_or_none_are_refused(line: Config, prepared: Prepared, tmp_path: Path) -> None:
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    content = torch_safe_load(str(demo.CHECKPOINT), safe_only=True)[0]
    content["model"].names = {0: "cat", 1: "dog", 2: "bird"}
    other, none = tmp_path / "other.pt", tmp_path / "none.pt"
    torch.save(content, other)
    none.write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="cat, dog, bird"):
        training.check_base(line, other, prepared, "incremental")
    training.check_base(world.changed(line.workspace, start=str(other)), other, prepared, "full")
    for file in (none, tmp_path / "missing.pt"):
        with pytest.raises(DataError, match=r"cannot be"):
            training.check_base(line, file, prepared, "incremental")


def test_full_training_needs_all_old_images(line: Config, prepared: Prepared) -> None:
    with pytest.raises(ConfigError, match="only a sample"):
        training.train(line, prepared, "full")


def test_full_training_begins_with_the_first_champion_or_what_is_named(line: Config) -> None:
    first = versions.champion(line)
    assert training.start(line, "full", first) == first.weights
    named = world.changed(line.workspace, start=str(demo.CHECKPOINT))
    assert training.start(named, "full", first) == demo.CHECKPOINT


# -- training ---------------------------------------------------------------------------------------------------------


def test_a_training_makes_a_challenger_and_only_that(
    line: Config, prepared: Prepared, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before, told = sha(demo.CHECKPOINT), []
    made = training.train(line, prepared, "incremental", progress=lambda done, total: told.append((done, total)))
    assert capfd.readouterr().out == ""
    champion = versions.champion(line)
    assert (made.kind, made.parent, made.data) == ("incremental", champion.name, prepared.id)
    assert made.name != champion.name
    assert made.name == sha(made.weights)[:12]
    assert sha(demo.CHECKPOINT) == sha(champion.weights) == before
    assert told[-1][0] == told[-1][1] == len(told)
    assert made.arguments["seed"] == 0
    assert {"torch", "ultralytics", "python", "device", "seed"} <= set(made.environment)
    model = yolo.load(made.weights, line.workspace / ".ultralytics")
    assert list(model.names.values()) == ["washer", "nut", "bolt"]
    assert not [value for value in model.ckpt["train_args"].values() if "/" in str(value)]
    monkeypatch.setattr(training, "_train", lambda *given: pytest.fail("trained again"))
    assert training.train(line, prepared, "incremental") == made
    left = sorted(path.name for path in (line.workspace / "retraining/runs").glob("*/*"))
    assert left == ["run.json", "training.csv", "weights.pt"]
    assert (made.folder / "training.csv").read_text().count("\n") >= 2  # a head and an epoch


def test_the_test_set_is_guarded_right_before_training(line: Config, prepared: Prepared) -> None:
    sneaked = prepared.folder / "train/images/sneaked.jpg"
    sneaked.write_bytes(next((line.workspace / "retraining/test").glob("*.jpg")).read_bytes())
    try:
        with pytest.raises(DataError, match="touches the test set"):
            training.train(line, prepared, "incremental", seed=9)
    finally:
        sneaked.unlink()


def started(config: Config, *more: str, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cvkit.cli", "retrain", "run", "--config", str(config.path), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before)


def kept(config: Config) -> list[Path]:
    return sorted(config.workspace.glob("retraining/runs/*/states/[!.]*"))


def test_a_killed_training_goes_on_and_ends(line: Config, prepared: Prepared) -> None:
    longer = (
        (line.workspace / "cvkit.yml").read_text().replace('{"epochs": 1,', '{"epochs": 6, "imgsz": 64, "freeze": 22,')
    )
    (line.workspace / "longer.yml").write_text(longer)
    config = load_config(line.workspace / "longer.yml")
    rng, epochs = random.Random(1), []
    for wanted in (1, 3):
        process = started(config)
        while process.poll() is None and not (kept(config) and int(kept(config)[-1].name) >= wanted - 1):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        epochs.append(int(kept(config)[-1].name))
        assert versions.champion(config).weights.read_bytes() == demo.CHECKPOINT.read_bytes()
    assert epochs[0] < epochs[1]
    newest = kept(config)[-1] / "last.pt"
    newest.write_bytes(newest.read_bytes()[:1000])  # even that: a disk may lie
    told: list[int] = []
    made = training.train(config, prepared, "incremental", progress=lambda done, total: told.append(done))
    assert made.name == sha(made.weights)[:12]
    assert told == sorted(told)


def test_a_disk_that_fills_is_told_and_costs_nothing(line: Config, prepared: Prepared) -> None:
    """No file may become longer than 2 MB: the weights do not fit."""

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    before = sorted(path.name for path in (line.workspace / "versions").iterdir())
    process = started(line, "--seed", "5", before=full)
    _, words = process.communicate()
    assert process.returncode == 6, words
    assert "disk is full" in words
    assert sorted(path.name for path in (line.workspace / "versions").iterdir()) == before
    assert os.path.exists(versions.champion(line).weights)  # noqa: PTH110


def archive(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("part", "content")


def state(run: Path, epoch: int = 2) -> Path:
    """A kept epoch, whole, though its weights are none."""
    folder = run / "states" / f"{epoch:06d}"
    folder.mkdir(parents=True)
    for name in ("last.pt", "best.pt"):
        archive(folder / name)
    (folder / "results.csv").write_text("epoch\n1\n")
    (folder / "state.json").write_text(json.dumps({"epoch": epoch, "finished": False}))
    return folder


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state.json", "{"), ("state.json", "[]"), ("state.json", "{}"), ("state.json", None),
        ("last.pt", "no archive"), ("best.pt", None), ("results.csv", None), ("results.csv", ""),
    ],
)  # fmt: skip
def test_a_kept_epoch_that_is_damaged_is_passed_over(tmp_path: Path, name: str, content: str | None) -> None:
    older, newer = state(tmp_path, 1), state(tmp_path, 2)
    whole = training._newest_state(tmp_path)
    assert whole == {"epoch": 2, "finished": False, "folder": str(newer)}
    for folder, expected in ((newer, 1), (older, None)):
        (folder / name).unlink() if content is None else (folder / name).write_text(content)
        found = training._newest_state(tmp_path)
        assert (found and found["epoch"]) == expected


@pytest.mark.parametrize("name", ["run.json", "weights.pt", "training.csv"])
@pytest.mark.parametrize("content", ["", "[]", "\udcff", None])
def test_a_training_whose_result_is_damaged_is_none(tmp_path: Path, name: str, content: str | None) -> None:
    archive(tmp_path / "weights.pt")
    (tmp_path / "training.csv").write_text("epoch\n1\n")
    (tmp_path / "run.json").write_text('{"environment": {"torch": "x"}}')
    assert training._done(tmp_path) == {"environment": {"torch": "x"}}
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert (training._done(tmp_path) is None) == (content is None or name != "training.csv")


@pytest.mark.parametrize("command", ["prepare", "run"])
def test_while_another_prepares_or_trains_the_command_says_so(
    line: Config, prepared: Prepared, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with lock(line.workspace / "locks" / "retraining.lock", "preparing or training"):
        assert cli.main(["retrain", command, "--config", str(line.workspace)]) == 5
    assert "another process is preparing or training" in capsys.readouterr().err


def test_the_command_trains_what_was_prepared_last(
    line: Config, prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["retrain", "run", "--config", str(line.workspace)]) == 0
    assert "It challenges; nothing was promoted" in capsys.readouterr().out
    assert cli.main(["retrain", "run", "--data", "nothing", "--config", str(line.workspace)]) == 3
    assert prepared.id in capsys.readouterr().err
    assert cli.main(["retrain", "run", "--kind", "full", "--config", str(line.workspace)]) == 3
    assert "prepare --kind full" in capsys.readouterr().err


def test_what_is_published_is_the_mean_of_the_champion_and_what_was_trained(tmp_path: Path) -> None:
    """On the shipped checkpoint and one with other weights, layer by layer; what is counted stays as it is."""
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    weights = {}
    noisy(tmp_path / "trained.pt", 0.05)
    for name, share in (("whole", 1.0), ("part", 0.25)):
        training._publish(tmp_path / "trained.pt", demo.CHECKPOINT, share, tmp_path / f"{name}.pt")
        weights[name] = torch_safe_load(str(tmp_path / f"{name}.pt"), safe_only=True)[0]["model"].state_dict()
    before = torch_safe_load(str(demo.CHECKPOINT), safe_only=True)[0]["model"].state_dict()
    apart = 0
    for name, trained in weights["whole"].items():
        if trained.is_floating_point():
            mean = 0.75 * before[name].double() + 0.25 * trained.double()
            torch.testing.assert_close(weights["part"][name].double(), mean, rtol=2e-3, atol=2e-4)
            apart += not torch.equal(trained, before[name])
        else:
            assert torch.equal(weights["part"][name], trained)
    assert apart > 100
