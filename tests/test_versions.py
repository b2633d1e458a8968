"""Versions: one champion at any instant, whoever promotes, kills or deletes; its settings, and the way back."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from made_up_workspace import MadeUp, day, numbers
from PIL import Image
from versions_world import CLASSES, bare, judged, made_up

from cvkit import cli
from cvkit.config import Config, champion, load_config, parse_config, with_champion
from cvkit.errors import BusyError, ConfigError, CvkitError, DataError, StorageError
from cvkit.maintenance import gate_results, own_reference, test_set, version_text, versions
from cvkit.maintenance.test_set import TestSet
from cvkit.monitoring import identity
from cvkit.monitoring.entries import Entries
from cvkit.monitoring.history import History
from cvkit.storage import lock
from cvkit.tables import BOXES, IMAGES, conform

WHO = {"by": "anna", "why": "it gains"}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A workspace whose weights are an adopted version already, as nothing here looks into them."""
    return bare(tmp_path)


@pytest.fixture(autouse=True)
def nothing_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(config: Config, **verify: bool) -> TestSet:
        raise DataError("no test set")

    monkeypatch.setattr(test_set, "load", none)


def passed(config: Config, name: str) -> versions.Version:
    """Another version, which passed beside the champion of now."""
    made = made_up(config, name)
    judged(made, with_champion(config).version)
    return made


def log(config: Config) -> list[tuple[str, str]]:
    found = champion.read(config.workspace)
    return [(one.version, one.how) for one in found.log] if found else []


# -- promoting and going back -----------------------------------------------------------------------------------------


def test_a_promoted_version_takes_the_place_of_what_the_file_names(config: Config) -> None:
    first, second = versions.champion(config), passed(config, "second")
    assert versions.promote(config, second.name[:5], **WHO) == second
    now = load_config(config.workspace)
    assert (now.version, now.model.weights) == (second.name, f"versions/{second.name}/weights.pt")
    assert versions.champion(now) == second
    assert now.written.model.weights == "best.pt"
    assert log(config) == [(first.name, "adopted"), (second.name, "promoted")]
    entry = champion.read(config.workspace)
    assert entry is not None
    assert (entry.last.by, entry.last.why, entry.last.forced) == ("anna", "it gains", False)


def test_promoting_the_champion_again_changes_nothing(config: Config) -> None:
    second = passed(config, "second")
    versions.promote(config, second.name, **WHO)
    before = (config.workspace / "versions" / "champion.json").read_bytes()
    assert versions.promote(config, second.name, **WHO) == second  # the settings of before the promotion
    assert versions.promote(load_config(config.workspace), second.name, **WHO) == second
    assert (config.workspace / "versions" / "champion.json").read_bytes() == before


def test_rolling_back_goes_down_the_stack_and_a_named_one_may_be_any_earlier(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    first = versions.champion(config)
    second = passed(config, "second")
    versions.promote(config, second.name, **WHO)
    third = passed(config, "third")
    versions.promote(config, third.name, **WHO)
    assert versions.rollback(config, **WHO) == second
    assert versions.rollback(config, **WHO) == second  # as of a command that was killed, and is repeated
    assert "rolled back to" in caplog.text
    assert versions.rollback(config, by="anna", why="worse still") == first
    with pytest.raises(DataError, match="no earlier champion"):
        versions.rollback(config, by="anna", why="even now")
    assert versions.rollback(config, **WHO, to=third.name) == third  # it was champion once
    assert load_config(config.workspace).version == third.name
    with pytest.raises(DataError, match="never was champion"):
        versions.rollback(config, **WHO, to=made_up(config, "fourth").name)
    assert [how for _, how in log(config)] == ["adopted", "promoted", "promoted", *["rolled back"] * 3]


def test_weights_that_are_none_are_named(config: Config) -> None:
    (config.workspace / "other.pt").write_text("no checkpoint")
    config.path.write_text(config.path.read_text().replace("best.pt", "other.pt"))
    told = version_text.status(load_config(config.workspace))
    assert "cvkit.yml names weights that cannot be used: " in told
    assert "other.pt: not the archive that PyTorch writes" in told


def test_who_edits_the_file_wins_and_may_promote_from_there(config: Config) -> None:
    second = passed(config, "second")
    versions.promote(config, second.name, **WHO)
    other = made_up(config, "by hand", kind="adopted")
    shutil.copyfile(other.weights, config.workspace / "other.pt")
    text = config.path.read_text()
    config.path.write_text(text.replace("best.pt", "other.pt"))
    edited = load_config(config.workspace)
    assert edited.version == other.name
    assert "names the champion itself" in version_text.status(edited)
    with pytest.raises(ConfigError, match="was changed"):
        versions.rollback(edited, **WHO)
    third = passed(edited, "third")
    versions.promote(edited, third.name, **WHO)
    assert load_config(config.workspace).version == third.name
    assert versions.rollback(edited, **WHO) == other
    with pytest.raises(DataError, match="no earlier champion"):  # those of other settings are out
        versions.rollback(edited, by="anna", why="no gain")
    config.path.write_text(text)  # put back: the file says again what no champion came from
    assert load_config(config.workspace).version == versions.adopt(load_config(config.workspace)).name


def test_another_setting_of_the_file_leaves_the_champion(config: Config) -> None:
    second = passed(config, "second")
    versions.promote(config, second.name, **WHO)
    config.path.write_text(config.path.read_text().replace("name: parts", "name: parts, confidence: 0.4"))
    now = load_config(config.workspace)
    assert (now.version, now.model.confidence) == (second.name, 0.4)
    assert parse_config(config.path.read_text(), config.path).model.weights == "best.pt"  # pure


def test_a_long_lived_process_learns_of_a_promotion(config: Config) -> None:
    assert with_champion(config) is config
    second = passed(config, "second")
    versions.promote(config, second.name, **WHO)
    now = with_champion(config)
    assert now.version == second.name
    assert with_champion(now) is now
    versions.rollback(config, **WHO)
    assert with_champion(now).version == config.version


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["refused", "not enough", "none", "of another champion"])
def test_only_what_the_gate_passed_beside_this_champion(config: Config, outcome: str) -> None:
    second = made_up(config, "second")
    if outcome == "of another champion":
        judged(second, "0123456789ab")
    elif outcome != "none":
        judged(second, config.version, outcome)
    with pytest.raises(DataError, match="has not passed"):
        versions.promote(config, second.name, **WHO)
    assert not log(config)
    versions.promote(config, second.name, by="anna", why="the camera is new", force=True)
    found = champion.read(config.workspace)
    assert found is not None
    assert (found.last.forced, found.last.why) == (True, "the camera is new")
    assert "although the gate had not passed it" in version_text.status(config)


def test_a_result_by_other_settings_or_on_another_test_set_is_none(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = passed(config, "second")
    strict = config.model_copy(update={"retraining": config.retraining.model_copy(update={"gain": 0.9})})
    with pytest.raises(DataError, match="other settings of the gate"):
        versions.promote(strict, second.name, **WHO)
    monkeypatch.setattr(test_set, "load", lambda config, verify=True: replace(frozen(tmp_path / "frames"), id="t1"))
    with pytest.raises(DataError, match="another test set"):
        versions.promote(config, second.name, **WHO)
    assert log(config) == []


@pytest.mark.parametrize("force", [True, False])
def test_weights_that_are_not_what_the_name_says_are_refused(config: Config, force: bool) -> None:
    second = passed(config, "second")
    shutil.copyfile(versions.champion(config).weights, second.weights)
    with pytest.raises(DataError, match="not those that it was made of"):
        versions.promote(config, second.name, **WHO, force=force)
    second.weights.write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be loaded"):
        versions.promote(config, second.name, **WHO, force=force)
    second.weights.unlink()
    with pytest.raises(DataError, match="cannot be used"):
        versions.promote(config, second.name, **WHO, force=force)
    assert load_config(config.workspace).version == config.version


def test_other_classes_a_version_that_is_none_and_no_reason(config: Config) -> None:
    second = made_up(config, "second", classes={**CLASSES, 3: "spring"})
    judged(second, config.version)
    with pytest.raises(DataError, match="other classes"):
        versions.promote(config, second.name, **WHO, force=True)
    with pytest.raises(DataError, match="no such version"):
        versions.promote(config, "ffffffffffff", **WHO)
    with pytest.raises(DataError, match="no such version"):
        versions.load(config, "../../etc")
    with pytest.raises(ConfigError, match="reason"):
        versions.promote(config, second.name, by="anna", why=" ")


def test_a_promoted_version_deleted_by_hand(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = versions.champion(config), passed(config, "second")
    versions.promote(config, second.name, **WHO)
    shutil.rmtree(second.folder)
    gone = load_config(config.workspace)
    for attempt in (lambda: gone.version, lambda: versions.champion(gone)):
        with pytest.raises(DataError, match="cvkit retrain rollback"):
            attempt()
    assert "is gone" in version_text.status(gone)
    assert cli.main(["retrain", "rollback", "--why", "deleted", "--config", str(config.path)]) == 0
    assert first.name in capsys.readouterr().out
    assert load_config(config.workspace).version == first.name


def test_a_rollback_passes_over_what_is_gone_and_says_what_is_left_where_all_is(config: Config) -> None:
    first, second = versions.champion(config), passed(config, "second")
    versions.promote(config, second.name, **WHO)
    third = passed(config, "third")
    versions.promote(config, third.name, **WHO)
    shutil.rmtree(second.folder)
    shutil.rmtree(third.folder)
    assert versions.rollback(config, **WHO) == first
    versions.promote(config, passed(config, "fifth").name, **WHO)
    shutil.rmtree(first.folder)
    with pytest.raises(DataError, match=r"delete champion\.json"):
        versions.rollback(config, **WHO)


@pytest.mark.parametrize("text", ["{", "[]", '{"over": {}, "log": []}', '{"over": null}', "null"])
def test_a_damaged_champions_file_is_told(config: Config, text: str) -> None:
    (config.workspace / "versions" / "champion.json").write_text(text)
    with pytest.raises(StorageError, match=r"champion's file is damaged"):
        load_config(config.workspace)


@pytest.mark.parametrize("text", ["{", "[]", '{"kind": "stolen", "classes": {}}'])
def test_a_damaged_version_is_told_and_does_not_hide_the_others(config: Config, text: str) -> None:
    second = made_up(config, "second")
    (second.folder / "version.json").write_text(text)
    with pytest.raises(StorageError, match="damaged"):
        versions.load(config, second.name)
    assert [one.name for one in versions.every(config)] == [config.version]


def test_a_damaged_result_of_the_gate_is_told(config: Config) -> None:
    second = passed(config, "second")
    (second.folder / "gate.json").write_text('{"key": "k", "outcome": "passed"}')
    with pytest.raises(StorageError, match="gate's result is damaged"):
        versions.promote(config, second.name, **WHO)
    assert "damaged" in version_text.status(config)


def test_a_result_is_read_back_as_it_was_written(config: Config) -> None:
    second = passed(config, "second")
    result = gate_results.read(second.folder)
    assert result is not None
    again = replace(result, reasons=("é", "b"), latency_ms=(1.5, 2.5), size=(3, 4), notes=("n",))
    gate_results.write(second.folder, again)
    back = gate_results.read(second.folder)
    assert back is not None
    for name in gate_results.Result.__slots__:
        one, other = getattr(again, name), getattr(back, name)
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, other)
        else:
            assert one == other, name


# -- two at once, and kills -------------------------------------------------------------------------------------------


def test_while_another_promotes_there_is_a_busy_error(config: Config) -> None:
    second = passed(config, "second")
    with lock(config.workspace / "locks" / "champion.lock", "promoting"), pytest.raises(BusyError):
        versions.promote(config, second.name, **WHO)
    assert not log(config)


def test_of_many_promotions_at_once_every_one_is_in_the_log_or_told(config: Config) -> None:
    made = [passed(config, f"version {number}") for number in range(6)]
    ended: list[str] = []
    gate = threading.Barrier(len(made))

    def one(name: str) -> None:
        gate.wait()
        try:
            versions.promote(config, name, **WHO)
            ended.append("promoted")
        except BusyError:
            ended.append("busy")
        except DataError as error:  # the other is champion by now, beside which the gate said nothing
            ended.append(error.problem)

    threads = [threading.Thread(target=one, args=(version.name,)) for version in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ended) <= {"promoted", "busy", "the gate has not passed this version"}
    assert len(ended) == len(made)
    assert ended.count("promoted") == 1 == len(log(config)) - 1
    assert load_config(config.workspace).version in {version.name for version in made}


# Waits for a line, forks a child that promotes, and says its number.
SERVER = """
import os, sys
from pathlib import Path
import pandas as pd
from cvkit.config import load_config
from cvkit.maintenance import test_set, versions
from cvkit.maintenance.test_set import TestSet
config = load_config(sys.argv[1])
images, labels = pd.read_pickle(sys.argv[2])
test_set.load = lambda config, verify=True: TestSet("t0", images, labels, {0: "washer", 1: "nut", 2: "bolt"})
for line in sys.stdin:
    child = os.fork()
    if not child:
        versions.promote(load_config(sys.argv[1]), line.strip(), by="anna", why="it gains")
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


def frozen(folder: Path, count: int = 12) -> TestSet:
    """A test set of grey pictures, a minute apart over midnight."""
    folder.mkdir()
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("L", (100, 50), 3 * number).save(path)
    times = pd.to_datetime("2026-10-01T23:59:00", utc=True) + pd.to_timedelta(range(count), unit="min")
    table = {"image_id": [path.name for path in paths], "path": [str(path) for path in paths], "source": "cam-1",
             "time": times, "width": 100.0, "height": 50.0}  # fmt: skip
    images = conform(pd.DataFrame(table), IMAGES)
    labels = pd.DataFrame({"image_id": images["image_id"], "class_id": 1, "x1": 10.0, "y1": 5.0, "x2": 30.0, "y2": 25.0,
                           "aside": ["", *["crowd"] * (count - 1)]})  # fmt: skip
    part = ["old"] * (count // 2) + ["new"] * (count - count // 2)
    return TestSet("t0", images.assign(content="", part=part), conform(labels, BOXES), CLASSES)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_killed_at_any_instant_there_is_one_champion_and_repeating_finishes(config: Config, tmp_path: Path) -> None:
    first, second = versions.champion(config), passed(config, "second")
    test = frozen(tmp_path / "frames", 6)
    pd.to_pickle((test.images, test.labels), tmp_path / "test.pkl")
    arguments = [sys.executable, "-W", "ignore", "-c", SERVER, str(config.path), str(tmp_path / "test.pkl")]
    server = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None

    def go(after: float | None) -> float:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{second.name}\n")
        server.stdin.flush()
        child, begun = int(server.stdout.readline()), time.monotonic()
        if after is not None:
            time.sleep(after)
            os.kill(child, signal.SIGKILL)  # a zombie at most: nobody else has waited for it
        assert server.stdout.readline() == "ended\n"
        return time.monotonic() - begun

    try:
        usual = go(None)
        chance, champions = random.Random(0), []
        for _ in range(20):
            champion.read(config.workspace)
            versions.rollback(config, **WHO, to=first.name)
            shutil.rmtree(second.folder / "reference", ignore_errors=True)
            try:
                go(chance.uniform(0, 1.5 * usual))
            except ProcessLookupError:
                assert server.stdout.readline() == "ended\n"
            now = load_config(config.workspace)
            champions.append(now.version)
            assert now.version in (first.name, second.name)
            assert versions.champion(now).weights.is_file()
            if now.version == second.name:
                check_reference(config, second, 6)
            usual = go(None)  # a busy machine slows down and recovers
            assert load_config(config.workspace).version == second.name
            check_reference(config, second, 6)
            assert [file.name for file in second.folder.glob(".*")] == []
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()
    assert {*champions} == {first.name, second.name}, "the kills came all too early, or all too late"


def check_reference(config: Config, version: versions.Version, count: int) -> None:
    settings = load_config(config.workspace).reference
    assert settings.data == f"versions/{version.name}/reference/data.yaml"
    folder = config.resolve(settings.data).parent
    assert len(list(folder.rglob("*.jpg"))) == len(list(folder.rglob("labels/**/*.txt"))) == count


# -- what belongs to a version ----------------------------------------------------------------------------------------


def test_the_reference_of_its_own_tells_sources_and_times(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cvkit.data import sources

    test = frozen(tmp_path / "frames")
    monkeypatch.setattr(test_set, "load", lambda config, verify=True: test)
    second = passed(config, "second")
    versions.promote(config, second.name, **WHO)
    found = sources.load_reference(load_config(config.workspace))
    assert found.findings.empty
    assert found.classes == CLASSES
    wanted = test.images.sort_values("time")
    assert found.images["time"].tolist() == wanted["time"].tolist()
    assert set(found.images["source"]) == {"cam-1"}
    contents = [Path(path).read_bytes() for path in found.images["path"]]
    assert contents == [Path(path).read_bytes() for path in wanted["path"]]
    assert found.images["labelled"].all()


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({}, "{source}/{date}/{time}-*"),
        ({"source": ""}, "{date}/{time}-*"),
        ({"time": pd.NaT}, "{source}/*"),
        ({"time": pd.NaT, "source": ""}, ""),
        ({"source": "../up"}, ""),
        ({"source": "images"}, ""),
        ({"source": ".hidden"}, ""),
    ],
)
def test_the_reference_tells_what_all_its_images_have(tmp_path: Path, change: dict[str, object], pattern: str) -> None:
    test = frozen(tmp_path / "frames")
    images = test.images.copy()
    for name, value in change.items():
        images.loc[3, name] = value
        if value == "":
            images[name] = value
    own_reference.write(tmp_path / "reference", replace(test, images=images))
    assert json.loads((tmp_path / "reference" / "pattern.json").read_text()) == pattern
    assert len(list((tmp_path / "reference").rglob("*.jpg"))) == len(images)


def test_images_of_one_moment_have_files_of_their_own(tmp_path: Path) -> None:
    test = frozen(tmp_path / "frames")
    noon = test.images.assign(time=test.images["time"].iloc[0])
    own_reference.write(tmp_path / "reference", replace(test, images=noon))
    assert len(list((tmp_path / "reference").rglob("*.jpg"))) == len(noon)


def test_after_a_rollback_what_was_known_is_as_it_was(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdicts and the evidence of detectors are of a version: another champion neither reads nor changes them."""
    (config.workspace / "data.yaml").write_text("val: images\nnames: [washer, nut, bolt]\n")

    def measure(settings: Config, seed: int) -> None:
        with History.open(settings.history_url) as history:
            for number in range(4):
                measured, verdicts = numbers(MadeUp(sources=("cam-1",), blurred_from=seed), number)
                state = {"evidence": seed, "windows": Entries.of([], [])}
                history.record(
                    model="parts", version=settings.version, window=day(number), **identity.judged_by(settings),
                    measurements=measured, verdicts=verdicts, images=9, bad_images=0,
                    started=day(number).end + timedelta(hours=1), streams={("cam-1", "noise"): state},
                )  # fmt: skip

    def told() -> tuple[str, object]:
        now = load_config(config.workspace)
        cli.main(["status", "--config", str(config.path)])
        with History.open(now.history_url) as history:
            return capsys.readouterr().out, history.streams("parts", now.version, identity.reference_id(now))

    measure(config, 2)
    before = told()
    assert "sharpness" in before[0]
    versions.promote(config, passed(config, "second").name, **WHO)
    assert told() != before
    measure(load_config(config.workspace), 9)
    assert "sharpness" not in told()[0]
    versions.rollback(config, **WHO)
    assert told() == before


def test_without_weights_there_is_nothing_to_retrain(tmp_path: Path) -> None:
    (tmp_path / "cvkit.yml").write_text("reference: {data: data.yaml}\n")
    with pytest.raises(ConfigError, match="no weights to begin with"):
        versions.adopt(load_config(tmp_path))


def test_commands_answer_in_words(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    second = passed(config, "second")
    run = ["--config", str(config.path)]
    assert cli.main(["retrain", "promote", second.name, "--why", "it gains", "--by", "anna", *run]) == 0
    assert cli.main(["retrain", "status", *run]) == 0
    out = capsys.readouterr().out
    assert f"*{second.name}" in out
    assert "promoted, by anna: it gains" in out
    assert cli.main(["retrain", "promote", "ffff", "--why", "x", *run]) == 3
    assert cli.main(["retrain", "gate", second.name, *run]) == 3
    assert issubclass(CvkitError, Exception)
