"""A round: all steps in a row, and nothing becomes champion that the gate did not pass, or nobody agreed to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from versions_world import judged, noisy

from cvkit import cli
from cvkit.config import Config, load_config
from cvkit.documentation import plots, round_words
from cvkit.maintenance import gate, gate_images, gate_results, rounds, test_set, training, versions
from cvkit.maintenance.dataset import Prepared
from cvkit.maintenance.gate_results import Result
from cvkit.maintenance.versions import Version
from cvkit.upkeep import kept_checks
from tests import retraining_world as world
from tests.retraining_world import WINDOWS

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and Ultralytics


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """A workspace whose trainings take no time: they put noise on the champion's weights."""
    folder = tmp_path_factory.mktemp("rounds")

    def train(config: Config, prepared: Prepared, kind: Any, *, seed: int, progress: Any) -> Version:
        progress(1, 1)
        weights = noisy(folder / "noisy.pt", 0.05)
        return versions.add(
            config, weights, kind=kind, parent=versions.champion(config).name, data=prepared.id, arguments={},
            environment={}, files={},
        )  # fmt: skip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", train)
        yield world.make(folder / "line", unknown_classes="leave out")


def go(config: Config, *, agree: bool, said: list[str] | None = None) -> rounds.Round:
    say = (said if said is not None else []).append
    return rounds.run(config, WINDOWS, "incremental", agree=lambda result: agree, by="ann", why="a trial", say=say)


def test_what_does_not_pass_stays_outside_and_every_step_is_told(line: Config) -> None:
    said: list[str] = []
    done = go(line, agree=True, said=said)
    assert done.result.outcome != "passed"
    assert not done.promoted
    assert versions.champion(line).name == line.version != done.version.name
    words = "\n".join(said)
    assert all(name in words for name in (done.prepared.id, done.version.name, done.result.outcome.upper()))
    again = go(line, agree=True)
    assert (again.prepared.id, again.version, again.result.key) == (done.prepared.id, done.version, done.result.key)


@pytest.mark.parametrize("agree", [False, True])
def test_what_passes_becomes_champion_where_somebody_agrees(
    line: Config, agree: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = world.copy(line, tmp_path / "own")

    def judge(config: Config, version: Version, *_: Any) -> Result:
        judged(version, versions.champion(config).name, test=test_set.load(config).id)
        result = gate_results.read(version.folder)
        assert result is not None
        return result

    monkeypatch.setattr(gate, "judge", judge)
    done = go(own, agree=agree)
    assert done.promoted == agree
    champion = versions.champion(load_config(own.workspace)).name
    assert champion == (done.version.name if agree else own.version)


def test_the_newest_training_is_found_with_what_belongs_to_it(line: Config) -> None:
    done = go(line, agree=False)
    found = rounds.newest(line)
    assert found.version == done.version
    assert found.prepared is not None
    assert found.prepared.id == done.prepared.id
    assert found.result is not None
    shown = gate_images.flipped(line, found.result, "worse", most=2)
    assert len(shown) == 4
    assert [words.split("\n")[1].split(":")[0] for words in shown["caption"]] == ["champion", "challenger"] * 2
    assert all(boxes.shape[1] == 4 for boxes in shown["boxes"])


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"epoch, loss\n", b"epoch, loss\n1, .5\n2", b"epoch, loss\n1, ", b"day,count\n1,2\n", b"\xff\xfe\x00e",
     b"<html>", b"epoch,epoch\n1,2\n", b"epoch,loss\nnan,2\n", b"epoch,loss\n1,\x00\n", b"\x80PK" * 99],
)  # fmt: skip
def test_damaged_curves_are_told_and_hide_nothing_else(line: Config, tmp_path: Path, content: bytes) -> None:
    own = world.copy(line, tmp_path / "own")
    version = go(own, agree=False).version
    file = version.folder / "training.csv"
    file.write_text("epoch, train/box_loss\n1, .5\n2, .4\n")
    found = rounds.newest(own)
    assert (found.damage, list(found.curves["train/box_loss"])) == ("", [0.5, 0.4])
    file.write_bytes(content)
    found = rounds.newest(own)
    assert found.version == version
    assert found.result is not None
    assert found.curves.empty
    assert all(words in found.damage for words in ("damaged", str(file), "restore it from a backup"))
    assert "how it learnt" in round_words.newest_line(found)
    assert plots.training_curves(found.curves).axes
    (told,) = [one for one in kept_checks.versions(own.workspace) if one.where.endswith("training.csv")]
    assert told.severity == "warning"


def test_a_version_that_was_not_judged_does_not_hide_what_was_said_of_others(line: Config, tmp_path: Path) -> None:
    own = world.copy(line, tmp_path / "own")
    done = go(own, agree=False)
    weights = noisy(tmp_path / "other.pt", 0.02)
    other = versions.add(own, weights, kind="full", parent=own.version, data="", arguments={}, environment={}, files={})
    found = rounds.newest(own)
    assert found.version is not None
    assert found.result is not None
    assert (found.version.name, found.result.challenger) == (other.name, done.version.name)
    told = round_words.newest_line(found)
    assert f"`{other.name}`, full" in told
    assert f"not judged after `{done.version.name}`" in told


def test_without_a_training_there_is_nothing_to_show(tmp_path: Path) -> None:
    (tmp_path / "cvkit.yml").write_text("reference: {data: data.yaml}\n")
    config = load_config(tmp_path)
    found = rounds.newest(config)
    assert (found.version, found.result, len(found.curves)) == (None, None, 0)
    assert gate_images.flipped(config, None, "worse").empty
    known = rounds.known(config, datetime(2026, 11, 1, tzinfo=UTC))
    assert known.decision.action == "keep"


def test_the_command_says_what_is_lacking(
    line: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["retrain", "--config", str(line.workspace)]) == 3
    assert "cvkit run" in capsys.readouterr().err
    assert cli.main(["retrain", "--kind", "incremental", "--config", str(line.workspace)]) == 0
    assert "NOT ENOUGH" in (told := capsys.readouterr().out) or "REFUSED" in told
    assert cli.main(["retrain", "--config", str(line.workspace), "status"]) == 0  # the group's option holds
    assert line.version in capsys.readouterr().out
