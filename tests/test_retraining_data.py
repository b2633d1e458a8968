"""Data for training: nothing of the test set gets in, everything else does, and a manifest says where it came from."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from cvkit import cli, demo_world
from cvkit.config import Config, load_config
from cvkit.data import images
from cvkit.errors import ConfigError, DataError, StorageError
from cvkit.maintenance import candidates, dataset, leakage, replay, test_set, versions
from cvkit.maintenance.candidates import CANDIDATES, Candidates
from cvkit.maintenance.dataset import Prepared
from cvkit.tables import BOXES, LEFT_OUT, conform, empty
from tests import retraining_world as world
from tests import versions_world
from tests.retraining_world import WINDOWS, hashes, sha

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return world.make(tmp_path_factory.mktemp("retraining") / "line")


@pytest.fixture(scope="module")
def prepared(line: Config) -> Prepared:
    return dataset.prepare(line, WINDOWS)


@pytest.fixture
def own(line: Config, prepared: Prepared, tmp_path: Path) -> Config:
    """A copy of the workspace to spoil."""
    return world.copy(line, tmp_path / "own")


def stretch(path: str) -> tuple[str, str]:
    """Camera and day of a path that ends in CAMERA/DATE/TIME.jpg."""
    return tuple(path.split("/")[-3:-1])  # type: ignore[return-value]


# -- what is in it ----------------------------------------------------------------------------------------------------


def test_no_file_of_the_test_set_is_in_the_training_data(line: Config, prepared: Prepared) -> None:
    held = {*hashes(line.workspace / "retraining/test").values()}
    held |= {one for name, one in hashes(line.workspace / "reference/images/val").items()}
    trained = {one for name, one in hashes(prepared.folder).items() if name.endswith(".jpg")}
    assert len(held) > 50
    assert len(trained) == len(prepared.manifest) > 50
    assert not held & trained


def test_every_labelled_image_is_trained_on_held_out_or_named_with_the_reason(line: Config, prepared: Prepared) -> None:
    captured = {f"captures/{name}" for name in hashes(line.workspace / "captures")}
    production = set(prepared.manifest.loc[prepared.manifest["origin"] == "production", "image_id"])
    gone = set(prepared.left_out.loc[prepared.left_out["origin"] == "production", "image_id"])
    assert not production & gone
    assert production | gone == captured


def test_stretches_stay_whole_and_each_camera_tests_and_trains(line: Config, prepared: Prepared) -> None:
    facts = json.loads((line.workspace / "retraining/test.json").read_text())
    tested = {stretch(row["image_id"]) for row in facts["images"] if row["part"] == "new"}
    trained = {stretch(one) for one in prepared.manifest.loc[prepared.manifest["origin"] == "production", "image_id"]}
    assert not tested & trained
    assert {camera for camera, _ in tested} == {camera for camera, _ in trained} == set(demo_world.CAMERAS)


def test_the_manifest_tells_the_truth_about_files_and_labels(line: Config, prepared: Prepared) -> None:
    roots = {"production": line.workspace, "replay": line.workspace / "reference"}
    for row in prepared.manifest.itertuples():
        origin = roots[row.origin] / row.image_id
        file = prepared.folder / row.file
        assert file.read_bytes() == origin.read_bytes()
        assert sha(file)[:32] == row.content
        told = Path(str(origin).replace("/captures/", "/labels/").replace("/images/", "/labels/")).with_suffix(".txt")
        wanted = np.array([line.split() for line in told.read_text().splitlines()], float).reshape(-1, 5)
        written = Path(str(file).replace("/images/", "/labels/")).with_suffix(".txt").read_text()
        got = np.array([line.split() for line in written.splitlines()], float).reshape(-1, 5)
        np.testing.assert_allclose(got, wanted, atol=2e-6)
        assert row.boxes == len(wanted)
        assert row.file.startswith(f"{row.split}/images/")


def test_old_images_come_from_the_old_split_one_for_each_new_one(line: Config, prepared: Prepared) -> None:
    counts = prepared.manifest["origin"].value_counts()
    old = prepared.manifest[prepared.manifest["origin"] == "replay"]
    assert all(one.startswith("images/train/") for one in old["image_id"])
    assert counts["replay"] <= counts["production"]
    assert counts["replay"] > 0.9 * min(counts["production"], 60)
    assert set(old["source"]) == set(demo_world.CAMERAS)
    kinds = {stratum.split(" / ")[0] for stratum in old["stratum"]}
    assert kinds == set(demo_world.CLASSES)


def test_ultralytics_reads_it(prepared: Prepared) -> None:
    from ultralytics.data.utils import check_det_dataset

    found = check_det_dataset(str(prepared.data), autodownload=False)
    assert Path(found["train"]) == prepared.folder / "train/images"
    assert Path(found["val"]) == prepared.folder / "val/images"
    assert found["names"] == dict(enumerate(demo_world.CLASSES))
    shares = prepared.manifest["split"].value_counts(normalize=True)
    assert 0.05 < shares["val"] < 0.4


def test_the_same_again_is_the_same(line: Config, prepared: Prepared) -> None:
    before = hashes(line.workspace / "retraining")
    again = dataset.prepare(line, WINDOWS)
    assert again.id == prepared.id
    assert hashes(line.workspace / "retraining") == before
    assert dataset.newest(line, "incremental").id == dataset.newest(line).id == prepared.id
    other = dataset.load(line, prepared.id)
    pd.testing.assert_frame_equal(other.manifest, prepared.manifest)


def test_a_full_training_gets_all_old_images(line: Config) -> None:
    everything = dataset.prepare(line, WINDOWS, kind="full")
    old = everything.manifest[everything.manifest["origin"] == "replay"]
    assert len(old) == len(hashes(line.workspace / "reference/images/train"))


# -- the test set -----------------------------------------------------------------------------------------------------


def test_an_image_once_in_never_leaves(own: Config) -> None:
    before = test_set.load(own)
    for camera in demo_world.CAMERAS:
        shutil.rmtree(own.workspace / "captures" / camera / "2026-10-11")
    dataset.prepare(own, WINDOWS[:3])
    after = test_set.load(own)
    assert set(before.images["content"]) == set(after.images["content"])
    assert before.stretches == after.stretches
    assert before.id == after.id


def test_more_days_move_no_stretch(own: Config, tmp_path: Path) -> None:
    shutil.rmtree(own.workspace / "retraining")
    first = test_set.freeze(own, WINDOWS[:2])
    second = test_set.freeze(own, WINDOWS)
    assert len(first.stretches) < len(second.stretches) == 12
    assert {name: one["side"] for name, one in first.stretches.items()}.items() <= {
        name: one["side"] for name, one in second.stretches.items()
    }.items()
    assert set(first.images["content"]) <= set(second.images["content"])


def test_with_a_promotion_new_images_become_old_and_with_a_rollback_new_again(own: Config, tmp_path: Path) -> None:
    before = test_set.load(own)
    made = versions_world.added(own, versions_world.noisy(tmp_path / "other.pt", 0.01))
    versions.promote(own, made.name, by="me", why="to see", force=True)
    own = load_config(own.workspace)
    config = own.model_copy(update={"retraining": own.retraining.model_copy(update={"minimum_labels": 20})})
    after = dataset.prepare(config, WINDOWS)
    known = test_set.load(config)
    assert set(known.images["content"]) == set(before.images["content"])
    assert set(known.images["part"]) == {"old"}
    replayed = after.manifest[after.manifest["origin"] == "replay"]
    assert len(replayed)
    assert replayed["image_id"].str.startswith("images/train/").all(), "what the first champion was trained on"
    versions.rollback(config, by="me", why="back")
    dataset.prepare(load_config(own.workspace), WINDOWS)
    assert test_set.load(load_config(own.workspace)).id == before.id


def test_missing_and_changed_files_are_told(own: Config) -> None:
    held = test_set.load(own).images
    new, old = (Path(held.loc[held["part"] == part, "path"].iloc[0]) for part in ("new", "old"))
    assert own.workspace in new.parents
    new.unlink()
    with pytest.raises(DataError, match=new.name):
        test_set.load(own)
    dataset.prepare(own, WINDOWS)  # copies it again
    test_set.load(own)
    old.write_bytes(old.read_bytes() + b"\0")
    with pytest.raises(DataError, match="another image"):
        test_set.load(own)


def test_corrected_labels_reach_the_test_set(own: Config) -> None:
    before = test_set.load(own)
    image = before.images.loc[before.images["part"] == "new", "image_id"].iloc[0]
    (own.workspace / image.replace("captures", "labels")).with_suffix(".txt").write_text("2 0.5 0.5 0.1 0.1\n")
    dataset.prepare(own, WINDOWS)
    after = test_set.load(own)
    assert after.id != before.id
    boxes = after.labels[after.labels["image_id"] == image]
    assert boxes[["class_id", "x1", "y1", "x2", "y2"]].to_numpy().tolist() == [[2, 72.0, 57.6, 88.0, 70.4]]


def test_without_a_test_set_nothing_is_assumed(line: Config, tmp_path: Path) -> None:
    config = world.copy(line, tmp_path / "none")
    shutil.rmtree(config.workspace / "retraining", ignore_errors=True)
    with pytest.raises(DataError, match="no test set yet"):
        test_set.load(config)
    (config.workspace / "retraining").mkdir()
    for content in (b'{"images": [1', b"", b'{"classes": {"0": "\xc3'):  # the last is cut within a letter
        (config.workspace / "retraining/test.json").write_bytes(content)
        with pytest.raises(StorageError, match=r"(?s)damaged.*delete it"):
            test_set.load(config)


@pytest.mark.parametrize("seed", range(30))
def test_each_source_with_two_stretches_has_both_sides_and_about_its_share(seed: int) -> None:
    rng = random.Random(seed)
    rows = []
    for camera in range(rng.randint(1, 4)):
        for day in range(rng.randint(1, 30)):
            rows += [(f"cam {camera}", f"2026-01-{day + 1:02d}")] * rng.randint(1, 40)
    frame = pd.DataFrame(rows, columns=["source", "day"])
    frame["time"] = pd.to_datetime(frame["day"], utc=True)
    sides: dict[str, dict[str, object]] = {}
    for days in (rng.sample(sorted(set(frame["day"])), 1), sorted(set(frame["day"]))):
        before = {name: one["side"] for name, one in sides.items()}
        sides = test_set.assign(sides, frame[frame["day"].isin(days)], 0.3)
        assert before.items() <= {name: one["side"] for name, one in sides.items()}.items()
    for camera, group in frame.groupby("source"):
        mine = [sides[f"{camera} {day}"]["side"] for day in sorted(set(group["day"]))]
        assert len(mine) < 2 or set(mine) == {"test", "training"}
        tested = sum(sides[f"{camera} {day}"]["side"] == "test" for day in group["day"])
        most = group["day"].value_counts().max()
        assert abs(tested - 0.3 * len(group)) <= most * 1.5
    assert len(sides) == 1 or "test" in {one["side"] for one in sides.values()}


# -- leakage ----------------------------------------------------------------------------------------------------------


def table(rows: list[dict[str, object]]) -> pd.DataFrame:
    plain = {"origin": "production", "source": "cam", "width": 100.0, "height": 100.0}
    return conform(pd.DataFrame([{**plain, **row} for row in rows]), CANDIDATES)


def labels(boxes: dict[str, list[tuple[int, float, float, float, float]]]) -> pd.DataFrame:
    rows = [(name, *box) for name, found in boxes.items() for box in found]
    return conform(pd.DataFrame(rows, columns=["image_id", "class_id", "x1", "y1", "x2", "y2"]), BOXES)


def test_copies_and_neighbours_are_found_as_one_by_one() -> None:
    """Against loops over all pairs, bit by bit."""
    rng = np.random.default_rng(5)
    seeds = rng.integers(0, 2**63, 12, dtype=np.uint64)

    def images(count: int, name: str) -> list[dict[str, object]]:
        return [
            {"image_id": f"{name}{i}", "content": f"c{rng.integers(400)}", "source": f"cam-{rng.integers(2)}",
             "dhash": int(rng.choice(seeds)) ^ sum(1 << int(b) for b in set(rng.integers(0, 64, rng.integers(0, 9)))),
             "moment": pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=int(rng.integers(0, 90_000)))}
            for i in range(count)
        ]  # fmt: skip

    mine, test = images(150, "m"), images(40, "t")
    found = leakage.against(
        Candidates(table(mine), empty(BOXES), empty(LEFT_OUT)), table(test), empty(BOXES), near_bits=4,
        neighbours_s=60,
    )  # fmt: skip
    told = dict(zip(found["image_id"], found["reason"], strict=True))
    reasons = set()
    for one in mine:
        words = ""
        if any(one["content"] == other["content"] for other in test):
            words = "the same file"
        elif any(bin(int(one["dhash"]) ^ int(other["dhash"])).count("1") <= 4 for other in test):  # type: ignore[call-overload]
            words = "a near copy"
        elif any(
            one["source"] == other["source"] and abs((one["moment"] - other["moment"]).total_seconds()) <= 60  # type: ignore[operator]
            for other in test
        ):
            words = "within 60 s"
        assert told.get(str(one["image_id"]), "").startswith(words)
        assert bool(words) == (one["image_id"] in told)
        reasons.add(words)
    assert len(reasons) == 4, "each kind comes up"


def test_alike_frames_with_other_objects_are_no_copies() -> None:
    box = (0, 10.0, 10.0, 30.0, 30.0)
    test = table([{"image_id": "t", "content": "t", "dhash": 7}])
    mine = table([{"image_id": name, "content": name, "dhash": 6} for name in ("same", "moved", "class", "half", "no")])
    boxes = {
        "same": [(0, 11.0, 10.0, 31.0, 30.0)],
        "moved": [(0, 50.0, 50.0, 70.0, 70.0)],
        "class": [(1, 10.0, 10.0, 30.0, 30.0)],
        "half": [box, (1, 70.0, 70.0, 80.0, 80.0)],
        "no": [],
    }
    found = leakage.against(
        Candidates(mine, labels(boxes), empty(LEFT_OUT)), test, labels({"t": [box]}), near_bits=4, neighbours_s=0
    )
    assert list(found["image_id"]) == ["same", "half"]
    assert set(found["other"]) == {"t"}


def test_a_picture_saved_again_or_smaller_is_a_near_copy(own: Config) -> None:
    held = test_set.load(own).images
    row = held[(held["part"] == "new") & (held["source"] == "cam-1")].iloc[0]
    trained = dataset.newest(own, "incremental").manifest
    day = stretch(trained.loc[trained["source"] == "cam-1", "image_id"].iloc[0])[1]
    picture = cv2.imread(row["path"])
    smaller = cv2.resize(picture, (120, 96))
    kinds = [(picture, 80), (picture, 40), (smaller, 90), (smaller, 60)]
    for number, (changed, quality) in enumerate(kinds):
        path = own.workspace / f"captures/cam-1/{day}/00000{number}.jpg"
        cv2.imwrite(str(path), changed, [cv2.IMWRITE_JPEG_QUALITY, quality])
        place = own.workspace / row["image_id"].replace("captures", "labels")
        shutil.copyfile(place.with_suffix(".txt"), own.workspace / f"labels/cam-1/{day}/00000{number}.txt")
    left = dataset.prepare(own, WINDOWS).left_out.set_index("image_id")
    for number in range(len(kinds)):
        told = left.loc[f"captures/cam-1/{day}/00000{number}.jpg"]
        assert (told["reason"], told["other"]) == ("a near copy of a test image", row["image_id"])


@pytest.mark.parametrize("name", ["bccd", "coco128"])
def test_real_pictures_are_copies_of_themselves_alone(name: str, shared_data: Path, tmp_path: Path) -> None:
    """Each saved anew by another size and quality, and one box in all, so that pixels and dHash decide."""
    files = sorted((shared_data / name).rglob("*.jpg"))[:30]  # BCCD holds pictures of one field twice
    rows, copies = [], []
    for number, file in enumerate(files):
        picture = cv2.imread(str(file))
        scale = (1.0, 0.75, 0.5, 0.35)[number % 4]
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        path = tmp_path / f"{number}.jpg"
        cv2.imwrite(str(path), cv2.resize(picture, size), [cv2.IMWRITE_JPEG_QUALITY, (80, 50, 30)[number % 3]])
        rows.append(fact(f"t{number}", file))
        copies.append(fact(f"c{number}", path))
    everywhere = {f"{kind}{number}": [(0, 10.0, 10.0, 90.0, 90.0)] for number in range(len(files)) for kind in "tc"}
    boxes = labels(everywhere)
    found = leakage.against(
        Candidates(table(copies), boxes, empty(LEFT_OUT)), table(rows), boxes, near_bits=4, neighbours_s=0
    )
    told = dict(zip(found["image_id"], found["other"], strict=True))
    assert told == {f"c{number}": f"t{number}" for number in range(len(files))}
    assert leakage.within(Candidates(table(rows), boxes, empty(LEFT_OUT)), near_bits=4).empty


def fact(name: str, file: Path) -> dict[str, object]:
    return {"image_id": name, "content": name, "path": str(file), "dhash": images.measure(file).dhash}


def test_duplicates_within_are_in_once() -> None:
    rows = [{"image_id": name, "content": name[0], "dhash": bits} for name, bits in
            (("a1", 0), ("a2", 0), ("b", 1), ("c", 255), ("d", 254))]  # fmt: skip
    found = Candidates(table(rows), empty(BOXES), empty(LEFT_OUT))
    gone = leakage.within(found, near_bits=2)
    assert list(zip(gone["image_id"], gone["reason"], gone["other"], strict=True)) == [
        ("a2", "the same file", "a1"), ("b", "a near copy", "a1"), ("d", "a near copy", "c"),
    ]  # fmt: skip
    assert list(leakage.without(found, gone).images["image_id"]) == ["a1", "c"]


def test_forty_million_pairs_take_seconds() -> None:
    rng = np.random.default_rng(0)
    mine, test = (rng.integers(0, 2**63, n, dtype=np.uint64) for n in (20_000, 2_000))
    mine[17_000] = test[5] ^ np.uint64(0b1011)
    started = time.process_time()
    found = list(leakage.near(mine, test, 4))
    assert time.process_time() - started < 5
    assert [(number, close.tolist()) for number, close in found] == [(17_000, [5])]


def test_of_a_day_alone_nobody_knows_the_neighbours(own: Config) -> None:
    """With {date} and no {time}, all images of a day have one time: that makes them no neighbours."""
    dated = own.reference.model_copy(update={"images": "{source}/{date}/*.jpg"})
    config = own.model_copy(update={"reference": dated})
    found = candidates.old(config, candidates.old_records(config))
    assert found.images["time"].notna().all()
    assert found.images["moment"].isna().all()


# -- replay -----------------------------------------------------------------------------------------------------------


def test_strata_take_turns_so_that_rare_ones_are_in() -> None:
    strata = pd.Series(["a"] * 80 + ["b"] * 15 + ["c"] * 5)
    order = replay.in_turn(strata, np.random.default_rng(0))
    assert sorted(order) == list(range(100))
    assert strata[order[:15]].value_counts().to_dict() == {"a": 5, "b": 5, "c": 5}
    assert strata[order[:35]].value_counts().to_dict() == {"a": 15, "b": 15, "c": 5}
    other = replay.in_turn(strata, np.random.default_rng(1))
    assert order.tolist() != other.tolist()


def test_old_data_may_number_its_classes_otherwise(own: Config) -> None:
    """Labels are joined on the names of the classes, and written in the champion's numbers."""
    turned = own.workspace / "turned"
    shutil.copytree(own.workspace / "reference", turned)
    for file in (turned / "labels/train").rglob("*.txt"):
        lines = [line.split(" ", 1) for line in file.read_text().splitlines()]
        file.write_text("".join(f"{2 - int(kind)} {rest}\n" for kind, rest in lines))
    names = "".join(f"  {2 - number}: {name}\n" for number, name in enumerate(demo_world.CLASSES))
    (turned / "data.yaml").write_text(f"train: images/train\nnames:\n{names}")
    plain = dataset.prepare(own, WINDOWS)
    other = dataset.prepare(world.changed(own.workspace, old=str(turned / "data.yaml")), WINDOWS)
    assert other.id == plain.id


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_labels_of_unknown_classes_are_refused_or_left_out(own: Config, prepared: Prepared) -> None:
    image = prepared.manifest.loc[prepared.manifest["origin"] == "production", "image_id"].iloc[0]
    label = (own.workspace / image.replace("captures", "labels")).with_suffix(".txt")
    label.write_text(label.read_text() + "7 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match="class 7") as told:
        dataset.prepare(own, WINDOWS)
    assert "washer" in str(told.value)
    made = dataset.prepare(world.changed(own.workspace, unknown_classes="leave out"), WINDOWS)
    assert image not in set(made.manifest["image_id"])
    reason = made.left_out.set_index("image_id").loc[image, "reason"]
    assert reason == "labels of a class that the model does not know"


@pytest.mark.parametrize(
    ("spoil", "settings", "words"),
    [
        ("one image", {}, "too few labelled images"),
        ("no labels", {}, "too few labelled images"),
        ("", {"old_split": "test"}, "no old data"),
        ("", {"old_split": "val"}, "no image that may be trained on: .* the same file as a test image"),
        ("", {"old": "nowhere.yaml"}, "no old data"),
        ("no old labels", {}, "no old data"),
    ],
)
def test_too_little_is_an_error_with_words(own: Config, spoil: str, settings: dict[str, str], words: str) -> None:
    if spoil == "one image":
        for file in sorted((own.workspace / "labels").rglob("*.txt"))[1:]:
            file.unlink()
    if spoil == "no labels":
        shutil.rmtree(own.workspace / "labels")
    if spoil == "no old labels":
        shutil.rmtree(own.workspace / "reference/labels/train")
    with pytest.raises(DataError, match=words):
        dataset.prepare(world.changed(own.workspace, **settings), WINDOWS)


def test_replay_0_trains_without_old_data_and_says_so(own: Config) -> None:
    made = dataset.prepare(world.changed(own.workspace, replay=0.0, old="nowhere.yaml"), WINDOWS)
    assert set(made.manifest["origin"]) == {"production"}
    assert "forgotten" in dataset.describe(made)


def test_without_weights_there_is_nothing_to_train(own: Config) -> None:
    config = own.model_copy(update={"model": own.model.model_copy(update={"weights": ""})})
    with pytest.raises(ConfigError, match="no weights to train"):
        dataset.prepare(config, WINDOWS)


def test_other_classes_than_the_weights_are_refused(own: Config) -> None:
    model = own.model.model_copy(update={"classes": ("nut", "washer", "bolt")})
    with pytest.raises(DataError, match="0 washer, 1 nut"):
        dataset.prepare(own.model_copy(update={"model": model}), WINDOWS)


# -- the check before training ----------------------------------------------------------------------------------------


def test_a_data_set_that_touches_the_test_set_is_refused_with_the_list(own: Config) -> None:
    made, held = dataset.newest(own, "incremental"), test_set.load(own)
    dataset.check(made, held)
    rows = held.images[held.images["part"] == "new"].head(2)
    for number, path in enumerate(rows["path"]):
        shutil.copyfile(path, made.folder / f"train/images/sneaked-{number}.jpg")
    with pytest.raises(DataError, match="touches the test set") as told:
        dataset.check(made, held)
    assert all(image in str(told.value) for image in rows["image_id"])
    assert "2: " in told.value.found


def test_a_test_set_that_grew_is_heeded(own: Config) -> None:
    """A data set prepared before an image was frozen is refused after it."""
    made, held = dataset.newest(own, "incremental"), test_set.load(own)
    row = made.manifest.iloc[[0]].assign(image_id="frozen later", part="new")
    added = conform(row[[name for name in test_set.TEST_IMAGES if name in row]], test_set.TEST_IMAGES)
    images = pd.concat([held.images, added], ignore_index=True)
    grown = test_set.TestSet("x", images, held.labels, held.classes, held.stretches)
    with pytest.raises(DataError, match="frozen later"):
        dataset.check(made, grown)


def test_a_data_set_that_was_changed_is_refused(own: Config) -> None:
    made, held = dataset.newest(own, "incremental"), test_set.load(own)
    file = made.folder / made.manifest["file"].iloc[3]
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(DataError, match="not what was prepared") as told:
        dataset.check(made, held)
    assert made.manifest["file"].iloc[3] in str(told.value)


# -- commands and kills -----------------------------------------------------------------------------------------------


def test_the_command_prepares_and_says_what_was_left_out(own: Config, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(own.workspace / "retraining")
    assert cli.main(["retrain", "prepare", "--config", str(own.workspace)]) == 0
    said = capsys.readouterr().out
    assert "cvkit retrain run --data" in said
    assert "the same file as a test image" in said
    assert cli.main(["retrain", "prepare", "--window", "2026-10-11", "--config", str(own.workspace)]) == 3
    assert "too few labelled images" in capsys.readouterr().err


def test_a_killed_prepare_leaves_nothing_half_done(own: Config, prepared: Prepared) -> None:
    shutil.rmtree(own.workspace / "retraining")
    command = [sys.executable, "-m", "cvkit.cli", "retrain", "prepare", "--config", str(own.workspace)]
    rng = random.Random(2)
    for folder in ("retraining/test", "retraining/data"):  # as soon as there is something in them
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not any((own.workspace / folder).glob("*")):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
    made = dataset.prepare(own, WINDOWS)
    assert made.id == prepared.id
    names = [path.name for path in (own.workspace / "retraining/data").iterdir()]
    assert names == [made.id], "nor what the kill left"
    dataset.check(made, test_set.load(own))
