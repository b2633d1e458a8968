"""Label plans from a workspace: who is asked, what is exported, and labels that come back."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sources_workspace import picture, settings, write
from test_flow import SETTINGS, take
from test_performance import label

from cvkit import cli
from cvkit.config import Config, load_config
from cvkit.data import label_plans, sources
from cvkit.data.sources import coco, exports, returned
from cvkit.errors import ConfigError, DataError, StorageError
from cvkit.maintenance import label_folder, labelling
from cvkit.monitoring import monitor
from cvkit.tables import BOXES, LABEL_PLAN, Window, conform

DAY = Window.day("2026-10-01")
MADE = datetime(2026, 10, 2, tzinfo=UTC)
WITH_LABELS = SETTINGS.replace("captures:\n", 'captures:\n  labels: "labels/{source}/{date}/*.txt"\n')


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras, six labelled reference days, one day without labels."""
    folder = tmp_path_factory.mktemp("plans")
    for camera in ("cam-1", "cam-2"):
        for day in range(1, 7):
            take(folder, camera, f"2026-09-0{day}", n=8)
            label(folder, camera, f"2026-09-0{day}", missed=0.3)
        take(folder, camera, "2026-10-01", n=40)
    (folder / "cvkit.yml").write_text(WITH_LABELS)
    labelling.plan(load_config(folder), [DAY], 1)  # what is computed from images is kept
    return folder


@pytest.fixture(scope="module")
def sent(built: Path) -> Iterator[Path]:
    """The workspace with a plan of five images, and its folder `out-yolo-5`."""
    folder = built.with_name("sent")
    shutil.copytree(built, folder)
    exported(load_config(folder), 5)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def back(sent: Path, tmp_path: Path) -> tuple[Config, Path]:
    """A copy of that: the settings, and the folder as a labelling tool gives it back."""
    shutil.copytree(sent, tmp_path / "w")
    return load_config(tmp_path / "w"), tmp_path / "w" / "out-yolo-5"


@pytest.fixture
def config(built: Path, tmp_path: Path) -> Config:
    shutil.copytree(built, tmp_path / "w")
    return load_config(tmp_path / "w")


def exported(config: Config, budget: int = 20, kind: Any = "yolo", **more: Any) -> tuple[labelling.Plan, Path]:
    plan = labelling.plan(config, [DAY], budget, **more)
    folder = config.workspace / f"out-{kind}-{budget}"
    label_folder.export(config, plan, folder, kind, MADE)
    return plan, folder


def rows(n: int, seed: int = 0, sources: tuple[str, ...] = ("a", "b")) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(n)], "source": rng.choice(sources, n)})
    return table.assign(
        time=pd.Timestamp("2026-10-01", tz="UTC"), score=rng.random(n), spread=rng.uniform(0.05, 0.4, n), strange=np.nan
    )


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 20, 199, 200, 5000])
@pytest.mark.parametrize("known", [True, False])
def test_any_budget_is_spent_and_weights_stand_for_all(budget: int, known: bool) -> None:
    table = rows(200) if known else rows(200).assign(score=np.nan, spread=np.nan)
    frame = labelling.choose(table, budget, np.random.default_rng(1))
    drawn = frame[frame["drawn"]]
    assert len(drawn) == min(budget, 200)
    assert list(frame.columns) == list(LABEL_PLAN)
    assert frame["probability"].between(0, 1, inclusive="right").all()
    assert drawn["weight"].sum() == pytest.approx(200)
    assert frame.loc[~frame["drawn"], "weight"].isna().all()


def test_chances_are_what_they_say_they_are() -> None:
    table, random = rows(60), np.random.default_rng(2)
    frames = [labelling.choose(table, 15, random) for _ in range(300)]
    assert np.abs(np.mean([one["drawn"] for one in frames], axis=0) - frames[0]["probability"]).max() < 0.12
    values = table["score"].to_numpy() ** 2
    means = [np.nansum(one["weight"] * values) / 60 for one in frames]
    assert np.mean(means) == pytest.approx(values.mean(), abs=0.01)


def test_likely_mistakes_and_strange_images_are_taken_for_certain() -> None:
    table = rows(100)
    table.loc[[7, 8, 9], "strange"] = [0.003, 0.001, 0.002]
    frame = labelling.choose(table, 40, np.random.default_rng(3))
    certain = frame[frame["reason"].isin([labelling.STRANGE, labelling.MISTAKE])]
    assert len(certain) == 4
    assert certain["weight"].eq(1).all()
    assert set(certain.loc[certain["reason"] == labelling.STRANGE, "image_id"]) == {"8.jpg", "9.jpg"}
    assert set(table["score"].nsmallest(2).index) <= set(certain.index)


def test_a_plan_asks_for_unlabelled_readable_images_only(config: Config) -> None:
    day = config.workspace / "captures" / "cam-1" / "2026-10-01"
    files = sorted(day.iterdir())
    files[0].write_bytes(b"no picture")
    done = config.workspace / "labels" / "cam-1" / "2026-10-01" / f"{files[1].stem}.txt"
    write(done, "")
    plan = labelling.plan(config, [DAY], 1000)
    assert len(plan.frame) == 78
    gone = {f"captures/cam-1/2026-10-01/{file.name}" for file in files[:2]}
    assert not gone & set(plan.frame["image_id"])
    assert any("78 images to ask for" in note for note in plan.notes)


def test_the_same_seed_is_the_same_plan_and_another_another(config: Config) -> None:
    plans = [labelling.plan(config, [DAY], 20, seed=seed).frame["drawn"].to_numpy() for seed in (0, 0, 1)]
    assert np.array_equal(plans[0], plans[1])
    assert not np.array_equal(plans[0], plans[2])


def test_one_source_only(config: Config) -> None:
    assert set(labelling.plan(config, [DAY], 10, source="cam-2").frame["source"]) == {"cam-2"}


def test_what_the_reference_taught_is_used_and_its_lack_is_said(config: Config) -> None:
    plan = labelling.plan(config, [DAY], 30)
    assert not plan.notes
    assert plan.frame["spread"].notna().all()
    assert 0 < plan.half_width <= plan.half_width_random * 1.15
    shutil.rmtree(config.workspace / "labels")
    shutil.rmtree(config.workspace / "references")
    blind = labelling.plan(config, [DAY], 30)
    assert any("in proportion" in note for note in blind.notes)
    assert np.isnan(blind.half_width)
    assert "cannot be told" in label_folder.strata_table(blind)


def test_images_without_predictions_can_be_asked_for(config: Config) -> None:
    for camera in ("cam-1", "cam-2"):
        (config.workspace / "predictions" / camera / "2026-10-01.jsonl").unlink()
    plan = labelling.plan(config, [DAY], 10)
    assert plan.frame["drawn"].sum() == 10
    assert any("80 of 80 images have no predictions" in note for note in plan.notes)
    assert plan.boxes.empty


@pytest.mark.parametrize("budget", [0, -1])
def test_no_budget_is_refused(config: Config, budget: int) -> None:
    with pytest.raises(ConfigError, match="nothing to plan"):
        labelling.plan(config, [DAY], budget)


def test_images_are_never_asked_for_twice(config: Config) -> None:
    first, _ = exported(config, 30)
    second, _ = exported(config, 25)
    ids = [set(plan.frame.loc[plan.frame["drawn"], "image_id"]) for plan in (first, second)]
    assert not ids[0] & ids[1]
    assert any("30 images of earlier plans" in note for note in second.notes)
    shown = [line.split()[-5] for line in label_folder.strata_table(second).splitlines()[1:-1]]
    assert sum(map(int, shown)) == 50
    exported(config, 1000)
    with pytest.raises(DataError, match="no image to ask for"):
        labelling.plan(config, [DAY], 5)


def test_weights_over_two_plans_are_of_the_union(config: Config) -> None:
    first, _ = exported(config, 30)
    second, _ = exported(config, 25)
    one, two = (plan.frame.set_index("image_id") for plan in (first, second))
    drawn = [*one.index[one["drawn"]], *two.index[two["drawn"]]]
    weights = label_plans.sampling_weights(config, drawn)
    assert list(weights.index) == drawn
    chance = 1 - (1 - one["probability"]) * (1 - two["probability"].reindex(one.index).fillna(0))
    assert weights.to_numpy() == pytest.approx(1 / chance[drawn].to_numpy())
    others = one.index.difference(drawn)
    assert label_plans.sampling_weights(config, [*others, "elsewhere.jpg"]).isna().all()


def test_weights_of_two_plans_are_unbiased() -> None:
    table, random = rows(80), np.random.default_rng(5)
    values, means = table["score"].to_numpy() ** 2, []
    for _ in range(120):
        first = labelling.choose(table, 16, random, likely_wrong=0.0)
        asked = first["drawn"].to_numpy()
        rest, earlier = (part.reset_index(drop=True) for part in (table[~asked], table[asked]))
        second = labelling.choose(rest, 12, random, likely_wrong=0.0, earlier=earlier).set_index("image_id")
        later = second.loc[table["image_id"]]
        chance = 1 - (1 - first["probability"].to_numpy()) * (1 - later["probability"].to_numpy())
        both = asked | later["drawn"].to_numpy()
        means.append(np.sum(values[both] / chance[both]) / np.sum(1 / chance[both]))
    assert np.mean(means) == pytest.approx(values.mean(), abs=0.025)


def test_without_plans_there_are_no_weights(config: Config) -> None:
    assert label_plans.sampling_weights(config, ["a.jpg"]).isna().all()
    assert label_plans.sampling_weights(config, []).empty


def test_a_damaged_plan_is_said(config: Config) -> None:
    write(config.workspace / label_plans.FOLDER / "2026-10-02-aaaaaaaa.parquet", b"PAR1")
    with pytest.raises(StorageError, match="label plan is damaged"):
        label_plans.sampling_weights(config, ["a.jpg"])


def test_yolo_is_read_back_by_cvkits_own_reader(config: Config) -> None:
    plan, folder = exported(config)
    copy = settings(folder, reference={"data": "data.yaml", "split": "train"}, classes=[])
    records = sources.load_reference(copy)
    assert set(records.images["image_id"]) == {f"train/images/{file}" for file in plan.images["file"]}
    assert records.classes == {0: "nut", 1: "bolt"}
    assert records.findings.empty
    wanted = _by_file(exports.clipped(plan.boxes, plan.images), dict(plan.images[["image_id", "file"]].to_numpy()))
    found = _by_file(records.labels, {f"train/images/{file}": file for file in plan.images["file"]})
    assert found.keys() == wanted.keys()
    assert all(np.allclose(found[file], wanted[file], atol=1e-3) for file in found)
    assert (folder / "train" / "classes.txt").read_text() == "nut\nbolt\n"
    assert yaml.safe_load((folder / "data.yaml").read_text())["train"] == "train/images"
    assert len((folder / "README.txt").read_text().splitlines()) == 3


def test_coco_is_as_its_readers_need_it(config: Config) -> None:
    plan, folder = exported(config, kind="coco")
    content = json.loads((folder / exports.COCO_FILE).read_text())
    assert [one["id"] for one in content["categories"]] == [1, 2]
    assert [one["id"] for one in content["images"]] == list(range(1, 21))
    assert {one["image_id"] for one in content["annotations"]} <= {one["id"] for one in content["images"]}
    assert len({one["id"] for one in content["annotations"]}) == len(content["annotations"]) == len(plan.boxes)
    for one in content["annotations"]:
        assert one["area"] == pytest.approx(one["bbox"][2] * one["bbox"][3], abs=1e-3)
        assert one["iscrowd"] == 0
        assert "segmentation" not in one  # Label Studio's converter fails on an empty one
    copy = settings(folder, reference={"data": str(exports.COCO_FILE)}, classes=[])
    records = sources.load_reference(copy)
    assert len(records.images) == 20
    assert len(records.labels) == len(plan.boxes)
    assert len(coco.read_coco(folder / exports.COCO_FILE).images) == 20


def _by_file(boxes: pd.DataFrame, names: dict[str, str]) -> dict[str, np.ndarray]:
    parts = boxes.groupby("image_id")
    return {names[str(one)]: part[["class_id", "x1", "y1", "x2", "y2"]].to_numpy(float) for one, part in parts}


@pytest.mark.parametrize("kind", ["yolo", "coco"])
def test_labels_come_back_and_are_measured(config: Config, kind: Any) -> None:
    plan, folder = exported(config, 40, kind)
    back = label_folder.import_labels(config, folder)
    assert (back.labelled, back.boxes, back.missing) == (40, len(plan.boxes), 0)
    seen = monitor.observe(config, DAY)
    known = seen.features.dropna(subset="f1")
    assert set(known["image_id"]) == set(plan.images["image_id"])
    assert known["f1"].eq(1).all()
    weights = label_plans.sampling_weights(config, known["image_id"])
    assert weights.sum() == pytest.approx(80)


def test_labels_come_back_in_the_numbers_that_label_files_are_read_by(config: Config) -> None:
    text = (config.workspace / "cvkit.yml").read_text()
    (config.workspace / "cvkit.yml").write_text(
        text.replace("captures:\n", "captures:\n  label_classes: [bolt, nut]\n", 1)
    )
    turned = load_config(config.workspace)
    assert turned.captures.label_classes == ("bolt", "nut")
    plan, folder = exported(turned)
    label_folder.import_labels(turned, folder)
    known = monitor.observe(turned, DAY).features.dropna(subset="f1")
    assert set(known["image_id"]) == set(plan.images["image_id"])
    assert known["f1"].eq(1).all()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: c["annotations"][0].update(bbox=[float("nan"), 1, 5, 5]), "inside its image"),
        (lambda c: c["annotations"][0].update(bbox=[1, 1, -5, 5]), "inside its image"),
        (lambda c: c["annotations"][0].update(bbox=[1000, 1, 5, 5]), "inside its image"),
        (lambda c: c.pop("annotations"), "no annotation at all"),
        (lambda c: c["categories"][1].update(name=c["categories"][0]["name"]), "two entries for category"),
        (lambda c: c["images"][1].update(file_name=c["images"][0]["file_name"]), "two entries for image"),
    ],
)
def test_coco_that_says_what_cannot_be_is_refused_whole(config: Config, spoil: Any, words: str) -> None:
    _, folder = exported(config, kind="coco")
    content = json.loads((folder / exports.COCO_FILE).read_text())
    spoil(content)
    (folder / exports.COCO_FILE).write_text(json.dumps(content))
    with pytest.raises(DataError, match=words):
        label_folder.import_labels(config, folder)
    assert not (config.workspace / "labels" / "cam-1" / "2026-10-01").exists()


def test_copies_are_asked_for_once_and_an_interval_wider_than_it_can_be_is_not_told(config: Config) -> None:
    images = sorted((config.workspace / "captures" / "cam-1" / "2026-10-01").iterdir())
    for file in images[1:]:
        file.write_bytes(images[0].read_bytes())
    plan = labelling.plan(config, [DAY], 60)
    assert plan.images["image_id"].str.contains("cam-1").sum() <= 1
    assert np.isnan(labelling.plan(config, [DAY], 2).half_width)


def test_classes_are_joined_by_name(config: Config) -> None:
    plan, folder = exported(config, 5)
    file = next(iter(sorted((folder / "train" / "labels").iterdir())))
    image_id = plan.images.set_index(plan.images["file"].str.removesuffix(".jpg")).loc[file.stem, "image_id"]
    file.write_text("0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2 7\n")  # the 7 is CVAT's number of a track
    (folder / "data.yaml").write_text("names: {0: bolt, 1: nut}")
    found = returned.read_returned(folder, {0: "nut", 1: "bolt"})
    assert found.lines[image_id] == ["1 0.5 0.5 0.2 0.2", "0 0.5 0.5 0.2 0.2"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "data.yaml").write_text("names: [screw, washer]"), "class that the model does not know"),
        (lambda f: [one.unlink() for one in (f / "data.yaml", f / "train" / "classes.txt")], "nothing says which"),
        (lambda f: (f / "plan.csv").unlink(), "no plan with these labels"),
        (lambda f: write(f / "train" / "labels" / "foreign.txt", ""), "no image of the plan"),
        (lambda f: shutil.rmtree(f / "train" / "labels"), "no labels"),
        (lambda f: [write(one, "0 0.5 0.5\n") for one in (f / "train" / "labels").iterdir()], "cannot be read"),
        (lambda f: [write(one, "0 a b c d\n") for one in (f / "train" / "labels").iterdir()], "cannot be read"),
        (lambda f: [write(one, "0 nan .5 .5 .5\n") for one in (f / "train" / "labels").iterdir()], "cannot be read"),
        (shutil.rmtree, "no folder of labels"),
    ],
)
def test_what_cannot_be_taken_in_is_said_and_nothing_is_written(
    back: tuple[Config, Path], spoil: Any, words: str
) -> None:
    config, folder = back
    spoil(folder)
    with pytest.raises(DataError, match=words) as caught:
        label_folder.import_labels(config, folder)
    assert "what to do" in str(caught.value)
    assert not (config.workspace / "labels" / "cam-1" / "2026-10-01").exists()


def test_label_studios_prefix_is_passed_over(back: tuple[Config, Path]) -> None:
    config, folder = back
    for file in (folder / "train" / "labels").iterdir():
        file.rename(file.with_name(f"0a1b2c3d-{file.name}"))
    assert label_folder.import_labels(config, folder).labelled == 5


@pytest.mark.parametrize(
    "pattern", ["", "labels/{source}.json", "labels/*/*.txt", "labels/all.txt", "labels/{source}/{date}/x{time}.txt"]
)
def test_labels_go_only_where_they_will_be_found(back: tuple[Config, Path], pattern: str) -> None:
    config, folder = back
    text = WITH_LABELS.replace("labels/{source}/{date}/*.txt", pattern)
    (config.workspace / "cvkit.yml").write_text(text)
    with pytest.raises(ConfigError, match="cannot be put"):
        label_folder.import_labels(load_config(config.workspace), folder)


def test_two_images_that_would_share_a_label_file_are_refused(back: tuple[Config, Path]) -> None:
    config, folder = back
    text = WITH_LABELS.replace("labels/{source}/{date}/*.txt", "labels/{date}/*.txt")
    (config.workspace / "cvkit.yml").write_text(text)
    with pytest.raises(ConfigError, match="one label file"):
        label_folder.import_labels(load_config(config.workspace), folder)


def test_names_are_safe_and_each_their_own() -> None:
    hostile = ["a/0001.jpg", "b/0001.jpg", "b/0001.PNG", "c/-rf.jpg", "c/x y#é\n'.jpg", "c/..jpg", "d/" + "n" * 250]
    hostile += ["e/CON-1.jpg", "e/con-1.jpg", "f/{source}*.jpg", "f/ok_1.JPEG"]
    names = exports.file_names(hostile)
    stems = [Path(name).stem.lower() for name in names]
    assert len(set(stems)) == len(hostile)
    assert all(exports.PLAIN.fullmatch(Path(name).stem) and len(name) < 90 for name in names)
    assert names[-1] == "ok_1.jpeg"
    taken = exports.file_names([*hostile, f"g/{Path(names[0]).stem}.jpg"])
    assert len({Path(name).stem.lower() for name in taken}) == len(taken)


def test_boxes_are_cut_off_at_the_edges() -> None:
    images = pd.DataFrame({"image_id": ["a"], "width": [100.0], "height": [50.0]})
    corners = [[-5, 10, 20, 70], [120, 10, 130, 20]]
    boxes = conform(pd.DataFrame(corners, columns=["x1", "y1", "x2", "y2"]).assign(image_id="a", class_id=0), BOXES)
    assert exports.clipped(boxes, images)[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == [[0, 10, 20, 50]]


def test_a_folder_that_is_there_is_left_alone(config: Config) -> None:
    plan = labelling.plan(config, [DAY], 5)
    there = config.workspace / "there"
    write(there / "mine.txt", "mine")
    with pytest.raises(ConfigError, match="already"):
        label_folder.export(config, plan, there, "yolo", MADE)
    assert [one.name for one in there.iterdir()] == ["mine.txt"]
    assert not label_plans.load(config)


@pytest.mark.parametrize("failing", ["shutil.copyfile", "os.fsync", "pathlib.Path.rename"])
def test_a_full_disk_leaves_neither_folder_nor_plan(
    config: Config, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = labelling.plan(config, [DAY], 5)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(failing, full)
        with pytest.raises(StorageError, match="full"):
            label_folder.export(config, plan, config.workspace / "out" / "plan", "yolo", MADE)
    assert not list((config.workspace / "out").iterdir())
    assert not label_plans.load(config)
    label_folder.export(config, plan, config.workspace / "out" / "plan", "yolo", MADE)
    assert len(label_plans.load(config)) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_beside_the_folder_s_coming_leaves_both_or_neither(
    config: Config, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder = labelling.plan(config, [DAY], 5), config.workspace / "out" / "plan"

    class Killed(BaseException):
        pass

    def die(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(*{"before": ("pathlib.Path.rename", die), "after": (label_plans, "finish", die)}[moment])
        with pytest.raises(Killed):
            label_folder.export(config, plan, folder, "yolo", MADE)
    assert folder.exists() == (moment == "after")
    assert len(label_plans.load(config)) == (moment == "after")
    again = labelling.plan(config, [DAY], 5)
    asked = [set(one.frame.loc[one.frame["drawn"], "image_id"]) for one in (plan, again)]
    assert (asked[0] == asked[1]) == (moment == "before"), "the same images once, and not again"
    label_folder.export(config, again, config.workspace / "out" / "again", "yolo", MADE)
    shutil.rmtree(config.workspace / "out")  # given to the tool, and gone
    assert len(label_plans.load(config)) == 1 + (moment == "after")
    assert not list((config.workspace / label_plans.FOLDER / label_plans.BEGUN).iterdir())


def test_classes_without_names_are_refused(tmp_path: Path) -> None:
    for camera in ("cam-1",):
        take(tmp_path, camera, "2026-09-01")
        take(tmp_path, camera, "2026-10-01")
    text = SETTINGS.replace(", classes: [nut, bolt]", "").replace("2026-09-07", "2026-09-02")
    (tmp_path / "cvkit.yml").write_text(text)
    with pytest.raises(ConfigError, match="have no names"):
        labelling.plan(load_config(tmp_path), [DAY], 5)


def test_the_command_line_plans_and_imports(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--config", str(config.path)]
    out = config.workspace / "asked"
    assert cli.main(["labels", "plan", "--budget", "20", *at]) == 3  # nothing was measured, so there is no newest day
    assert cli.main(["labels", "plan", "--budget", "20", "--window", "2026-10-01", "--out", str(out), *at]) == 0
    said = capsys.readouterr()
    assert "cam-1" in said.out
    assert "drawn at random" in said.out
    assert "cvkit run" in said.err
    assert cli.main(["labels", "import", str(out), *at]) == 0
    assert "20 images got labels" in capsys.readouterr().out
    assert cli.main(["labels", "plan", "--budget", "0", "--window", "2026-10-01", *at]) == 2


def test_images_of_one_name_in_two_folders_map_back(tmp_path: Path) -> None:
    for camera in ("a", "b"):
        picture(tmp_path / "captures" / camera / "2026-10-01" / "0001.jpg")
    names = exports.file_names(["captures/a/2026-10-01/0001.jpg", "captures/b/2026-10-01/0001.jpg"])
    plan = pd.DataFrame(
        {"file": names, "image_id": ["captures/a/2026-10-01/0001.jpg", "captures/b/2026-10-01/0001.jpg"]}
    )
    folder = tmp_path / "back"
    folder.mkdir()
    plan.assign(width=100.0, height=80.0).to_csv(folder / "plan.csv", index=False)
    for number, name in enumerate(names):
        write(folder / "labels" / f"{Path(name).stem}.txt", f"{number} .5 .5 .1 .1\n")
    write(folder / "classes.txt", "nut\nbolt\n")
    config = settings(tmp_path, captures={"labels": "labels/{source}/{date}/*.txt"})
    assert label_folder.import_labels(config, folder).labelled == 2
    records = sources.load_captures(config, DAY)
    assert records.labels.set_index("image_id")["class_id"].to_dict() == {
        "captures/a/2026-10-01/0001.jpg": 0, "captures/b/2026-10-01/0001.jpg": 1
    }  # fmt: skip
