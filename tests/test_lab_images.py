"""The lab's drift and images, driven without a browser: what is chosen, shown, said, and asked for."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_flow import SETTINGS, take
from test_performance import label

from cvkit.config import load_config
from cvkit.data import label_plans
from cvkit.data.label_plans import sampling_weights
from cvkit.lab.desk import Desk
from cvkit.lab.drift import Drift
from cvkit.lab.images import Images
from cvkit.lab.widgets import MOST_TILES, NO_PIXELS, Bars, Gallery
from cvkit.maintenance import labelling
from cvkit.monitoring import browsing, labels, monitor
from cvkit.monitoring.history import History
from cvkit.tables import IMAGES, Window, conform

HOSTILE = "<img src=x onerror=alert(1)>"
DARK, NEXT = "2026-10-01", "2026-10-02"
NUT = "<script>nut</script>"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras, one of a hostile name; a day on which cam-1 is dark and one image broken, and a healthy one."""
    folder = tmp_path_factory.mktemp("lab")
    for camera in ("cam-1", "cam-2"):
        for day in range(1, 7):
            take(folder, camera, f"2026-09-0{day}", n=24)
        take(folder, camera, DARK, n=36, dark=0.6 if camera == "cam-1" else 1.0)
        take(folder, camera, NEXT, n=30)
    label(folder, "cam-1", DARK)
    for file in sorted((folder / "labels" / "cam-1" / DARK).glob("*.txt"))[4:]:
        file.unlink()
    (folder / "captures" / "cam-1" / DARK / "060000.jpg").write_bytes(b"no picture")
    for kind in ("captures", "predictions"):
        (folder / kind / "cam-2").rename(folder / kind / HOSTILE)
    for file in (folder / "predictions" / HOSTILE).iterdir():
        file.write_text(file.read_text().replace("captures/cam-2", f"captures/{HOSTILE}"))
    text = SETTINGS.replace("captures:\n", 'captures:\n  labels: "labels/{source}/{date}/*.txt"\n')
    (folder / "cvkit.yml").write_text(text.replace("[nut, bolt]", f"['{NUT}', bolt]"))
    config = load_config(folder)
    with History.open(config.history_url) as history:
        for day in (DARK, NEXT):
            monitor.run(config, Window.day(day), history)
    return folder


@pytest.fixture
def workspace(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "w"))


def images(folder: Path, source: str = "", window: str = DARK) -> Images:
    desk = Desk(folder, window=window)
    desk.source = source
    part = Images(desk)
    part.refresh()
    assert part.note.value == ""
    return part


def pixels(folder: Path, image_id: str) -> float:
    """How bright a file is, by Pillow."""
    from PIL import Image

    return float(np.asarray(Image.open(folder / image_id).convert("L"), dtype=float).mean())


def test_all_images_of_the_window_are_shown_in_pages(workspace: Path) -> None:
    part = images(workspace)
    files = {file.relative_to(workspace).as_posix() for file in workspace.glob(f"captures/*/{DARK}/*.jpg")}
    assert set(part.table["image_id"]) == files
    assert len(files) == 72
    first = [tile["key"] for tile in part.gallery.tiles]
    assert part.count.value == "1 to 60 of 72"
    assert len(first) == MOST_TILES
    assert part.back.disabled
    part.ahead.click()
    assert part.count.value == "61 to 72 of 72"
    assert part.ahead.disabled
    assert {tile["key"] for tile in part.gallery.tiles} == files - set(first)
    part.gallery.turned -= 1  # what the keys do
    assert part.count.value == "1 to 60 of 72"
    part.gallery.turned -= 1
    assert part.count.value == "1 to 60 of 72"


def test_sorting_and_limits_follow_the_pixels(workspace: Path) -> None:
    part = images(workspace)
    part.by.value, part.order.value = "brightness", True
    ids = part.table["image_id"].tolist()
    assert ids[-1].endswith("/060000.jpg")  # the broken one has no value, and is last
    bright = [pixels(workspace, one) for one in ids[:-1]]
    assert np.corrcoef(bright, np.arange(len(bright)))[0, 1] < -0.9
    assert np.all(np.diff(bright) < 2)
    assert "grey level, 0-255" in part.gallery.tiles[0]["caption"]
    said = float(part.gallery.tiles[0]["caption"].split("brightness ")[1].split(" ")[0])
    assert said == pytest.approx(bright[0], abs=2)
    part.order.value = False
    assert part.table["image_id"].tolist()[:-1] == ids[-2::-1]
    part.high.value = "90"
    assert set(part.table["source"]) == {"cam-1"}
    assert len(part.table) == 35
    assert "(of 72)" in part.count.value
    part.low.value = "bright"
    assert "this is no number" in part.note.value
    assert "bright" in part.note.value
    assert len(part.table) == 35  # nothing is lost
    part.low.value = "250"
    assert part.note.value == ""
    assert part.table.empty
    assert "no image is left" in part.count.value
    part.by.value = "f1"  # limits are of what is sorted by
    assert part.low.value == part.high.value == ""
    assert len(part.table) == 72


def test_findings_and_slices_that_occur_can_be_chosen(workspace: Path) -> None:
    part = images(workspace)
    part.finding.value = "too_dark"
    assert set(part.table["source"]) == {"cam-1"}
    part.finding.value = "unreadable"
    assert [one.split("/")[-1] for one in part.table["image_id"]] == ["060000.jpg"]
    part.finding.value = ""
    part.cut.value = "source"
    part.value.value = HOSTILE
    assert set(part.table["source"]) == {HOSTILE}
    assert len(part.table) == 36
    said = [
        json.loads(line) for line in (workspace / "predictions" / "cam-1" / f"{DARK}.jsonl").read_text().split("\n")
    ]
    said += [
        json.loads(line) for line in (workspace / "predictions" / HOSTILE / f"{DARK}.jsonl").read_text().split("\n")
    ]
    part.cut.value, part.value.value = "class predicted", "bolt"
    bolts = {one["image"] for one in said if any(box["class_id"] == 1 for box in one["boxes"])}
    assert set(part.table["image_id"]) == bolts
    part.cut.value, part.value.value = "labels", "labelled"
    assert len(part.table) == 3  # of the broken one nobody knows where its boxes lie
    part.cut.value, part.value.value = "hours", "18-24"
    assert {one.split("/")[-1][:2] for one in part.table["image_id"]} <= {"18", "19", "20", "21", "22", "23"}
    part.desk.window = Window.day(NEXT)
    part.refresh()
    assert part.note.value == ""
    assert part.cut.value == "hours"
    assert set(part.table["time"].dt.day) == {2}


def test_boxes_have_names_and_captions_are_text(workspace: Path) -> None:
    part = images(workspace, HOSTILE)
    tile = part.gallery.tiles[0]
    assert tile["caption"].startswith(f"{HOSTILE}, 01 Oct 06:00")  # text, which the page puts into text nodes
    row = json.loads((workspace / "predictions" / HOSTILE / f"{DARK}.jsonl").read_text().split("\n")[0])
    assert [box[:4] for box in tile["said"]] == [pytest.approx(box["xyxy"]) for box in row["boxes"]]
    assert {box[4].rsplit(" ", 1)[0] for one in part.gallery.tiles for box in one["said"]} == {NUT, "bolt"}
    script = Path(labelling.__file__).parents[1] / "lab"
    for file in script.glob("*.js"):
        assert "innerHTML" not in file.read_text()
        assert "insertAdjacentHTML" not in file.read_text()
    part.said.value = False
    assert part.gallery.said is False
    assert part.gallery.truth is True


def test_pictures_that_cannot_be_shown_say_so(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = images(workspace, "cam-1")
    sent: list[tuple[Any, Any]] = []
    monkeypatch.setattr(Gallery, "send", lambda self, content, buffers=None: sent.append((content, buffers)))
    (workspace / part.table["image_id"][1]).unlink()
    part.gallery._paths[2] = ""
    part.gallery._asked(None, {"kind": "want", "round": part.gallery.round, "places": [0, 1, 2, 3, 99, -1]}, [])
    part.gallery._asked(None, {"kind": "want", "round": part.gallery.round - 1, "places": [3]}, [])
    assert [content["place"] for content, _ in sent] == [0, 1, 2, 3]
    assert sent[0][0]["broken"]
    assert "No such file" in sent[1][0]["broken"]
    assert sent[2][0]["broken"] == NO_PIXELS
    assert sent[3][1][0][:2] == b"\xff\xd8"


def test_a_batch_is_asked_for_once_and_has_no_weights(workspace: Path) -> None:
    part = images(workspace)
    labelled, broken = (
        part.table.loc[part.table["labelled"], "image_id"].iloc[-1],
        "captures/cam-1/2026-10-01/060000.jpg",
    )
    dark = part.table.loc[(part.table["source"] == "cam-1") & ~part.table["labelled"], "image_id"].tolist()[1:4]
    part.gallery.picked = [*dark, labelled, broken]
    part.ahead.click()
    part.by.value = "sharpness"
    assert part.gallery.picked == [*dark, labelled, broken]
    part.desk.window = Window.day(NEXT)
    part.refresh()
    assert "5 of them of other windows" in part.batch_said.value
    later = part.table["image_id"][0]
    part.gallery.picked = [*part.gallery.picked, later]
    part.batch.click()
    assert part.note.value == ""
    assert part.gallery.picked == []
    assert part.batch.disabled
    assert "4 images are in" in part.batch_said.value
    assert "have labels already" in part.batch_said.value
    (folder,) = workspace.glob("labels-to-make-*")
    plan = pd.read_csv(folder / "plan.csv")
    assert set(plan["image_id"]) == {*dark, later}
    assert plan["weight"].isna().all()
    assert {file.stem for file in (folder / "train" / "images").iterdir()} == {Path(file).stem for file in plan["file"]}
    config = load_config(workspace)
    weights = sampling_weights(config, [*dark, labelled, later])
    assert weights.tolist()[:3] == [0, 0, 0]
    assert np.isnan(weights.iloc[3])
    assert weights.iloc[4] == 0
    part.by.value = "time"
    (tile,) = [one for one in part.gallery.tiles if one["key"] == later]
    assert "asked for a label" in tile["caption"]
    part.gallery.picked = [later]
    assert "asked for already" in part.batch_said.value
    part.batch.click()
    assert "there is no image to ask for" in part.note.value
    assert len(list(workspace.glob("labels-to-make-*"))) == 1
    again = labelling.plan(config, [Window.day(DARK)], 10)
    assert not set(again.images["image_id"]) & set(dark)
    assert len(label_plans.load(config)) == 1


def test_labels_picked_by_hand_speak_for_nobody_else() -> None:
    ids = [f"{i}.jpg" for i in range(20)]
    frame = conform(pd.DataFrame({"image_id": ids, "labelled": [True] * 6 + [False] * 14}), IMAGES)
    picked = pd.Series([0.0] * 4 + [np.nan] * 16, index=ids)
    assert labels.counted(frame, picked).to_dict() == {"4.jpg": 1.0, "5.jpg": 1.0}
    drawn = picked.where(picked.index != "5.jpg", 8.0)
    assert labels.counted(frame, drawn).to_dict() == {"5.jpg": 8.0}
    assert labels.counted(frame, pd.Series(0.0, index=ids)).empty
    everything = frame.assign(labelled=True)
    assert labels.counted(everything, picked).eq(1).all()
    assert len(labels.counted(everything, picked)) == 20


@pytest.mark.parametrize("empty", [True, False])
def test_a_window_without_images_or_findings(workspace: Path, empty: bool) -> None:
    desk = Desk(workspace, window=DARK, source="cam-1")
    seen = desk.observation()
    parts = {
        name: getattr(seen, name)[:0] for name in (("features", "anomalies", "findings") if empty else ["findings"])
    }
    records = seen.records
    if empty:
        tables = {name: getattr(records, name)[:0] for name in ("images", "predictions", "labels")}
        records = dataclasses.replace(records, **tables)
    desk._kept[desk.window, "cam-1"] = dataclasses.replace(seen, records=records, **parts)
    part = Images(desk)
    part.refresh()
    assert part.note.value == ""
    gone = "36 images were measured, but their files are not there now"
    assert part.count.value == (gone if empty else "1 to 36 of 36")
    assert len(part.finding.options) == 1
    part.by.value = "strangeness"
    assert part.note.value == ""
    moved = Drift(desk)
    moved.refresh()
    assert moved.note.value == ""


def test_thousands_of_images_answer_at_once(workspace: Path) -> None:
    part = images(workspace)
    rng, many = np.random.default_rng(0), 2740
    table = part._all.sample(many, replace=True, random_state=0, ignore_index=True)
    table["image_id"] = [f"{number}.jpg" for number in range(many)]
    table["brightness"] = rng.normal(100, 20, many)
    part._all, part._cuts = table, browsing.cuts(part._shown, table)
    part._offer()
    spent = []
    for do in (("by", "brightness"), ("order", True), ("low", "90"), ("finding", "too_dark"), ("cut", "source")):
        start = time.process_time()
        getattr(part, do[0]).value = do[1]
        spent.append(time.process_time() - start)
        assert part.note.value == ""
    assert np.median(spent) < 0.6  # 0.3 on a quiet machine
    right = table[(table["brightness"] >= 90) & table["findings"].str.contains("too_dark")]
    right = right[right["source"] == part.value.value]
    assert part.table["image_id"].tolist() == right.sort_values("brightness", ascending=False)["image_id"].tolist()


def drift(folder: Path, source: str = "cam-1", feature: str = "brightness") -> Drift:
    desk = Desk(folder, window=DARK, source=source)
    desk.feature = feature
    part = Drift(desk)
    desk.observe(lambda _: part.refresh(), ["source", "feature"])
    part.refresh()
    assert part.note.value == ""
    return part


def row(bars: Bars, name: str) -> dict[str, Any]:
    (found,) = [one for one in bars.rows if one["name"] == name]
    return found


def test_features_stand_worst_first_and_can_be_chosen(workspace: Path) -> None:
    part = drift(workspace)
    measured = [one["words"] != "not measured" for one in part.features.rows]
    assert measured == sorted(measured, reverse=True)
    assert not all(measured)
    states = [one["state"] for one in part.features.rows][: sum(measured)]
    order = ["critical", "warning", "unknown", "ok"]
    assert [order.index(one) for one in states] == sorted(order.index(one) for one in states)
    assert row(part.features, "brightness")["state"] == "critical"
    assert part.features.rows[0]["sign"] == "■"
    assert part.features.chosen == "brightness"
    before = part.spread.png
    part.features.chosen = "confidence"
    assert part.desk.feature == "confidence"
    assert part.spread.png != before
    assert set(part.table["feature"]) == {"confidence"}
    assert set(part.table["source"]) == {"cam-1"}


def test_numbers_are_said_and_explained(workspace: Path) -> None:
    part = drift(workspace)
    ids = sorted((workspace / "captures" / "cam-1" / DARK).glob("*.jpg"))[1:]
    mean = np.mean([pixels(workspace, file.relative_to(workspace).as_posix()) for file in ids])
    value = part.table.loc[part.table["metric"] == "mean", "value"].item()
    assert value == pytest.approx(mean, abs=0.6)
    text = part.lines.value + part.numbers.value
    assert f"<td>{value:.3g}</td>" in text
    assert "standard deviations" in text
    assert "times what an alarm needs" in text
    assert "largest gap between the running totals" in text
    assert "adjusted" in text
    for name in ("Mean", "Wasserstein", "Kolmogorov-Smirnov", "PSI", "Jensen-Shannon"):
        assert f"<td>{name}</td>" in text


def test_moved_images_stand_before_the_nearest_of_the_reference(workspace: Path) -> None:
    part = drift(workspace)
    captions = [tile["caption"] for tile in part.images.tiles]
    assert len(captions) == 8
    assert ["reference" in one for one in captions] == [False, True] * 4
    assert not part.images.pickable
    assert all(tile["width"] == 128 and tile["said"] for tile in part.images.tiles)


def test_a_source_is_chosen_among_all(workspace: Path) -> None:
    part = drift(workspace)
    assert [one["name"] for one in part.sources.rows] == ["cam-1", HOSTILE]
    assert part.sources.chosen == "cam-1"
    assert row(part.sources, "cam-1")["words"].startswith("↓")
    part.sources.chosen = HOSTILE
    assert part.desk.source == HOSTILE
    assert set(part.table["source"]) == {HOSTILE}
    assert HOSTILE not in part.numbers.value
    assert HOSTILE not in part.sources_said.value
    part.desk.source = ""
    assert part.desk.source == ""
    assert part.sources.chosen is None
    assert set(part.table["source"]) == {"cam-1"}
    assert "the furthest" in part.sources_said.value


@pytest.mark.parametrize(
    ("feature", "words"), [("class_mix", "no single image"), ("embedding", "strangest"), ("f1", "")]
)
def test_features_that_lack_something_say_so(workspace: Path, feature: str, words: str) -> None:
    part = drift(workspace, feature=feature)
    assert words in part.images_said.value
    assert part.figure is not None
    if feature != "class_mix":
        assert row(part.features, feature)["words"] == "not measured"
        assert "No verdict: too little is known" in part.lines.value


def test_a_limit_that_is_no_number_is_told_beside_the_images_of_the_window(workspace: Path) -> None:
    part = Images(Desk(workspace, window=DARK, source="cam-1"))
    part.refresh()
    part.by.value = "brightness"
    for text in ("abc", "1,000"):
        part.low.value = text
        assert "no number" in part.note.value
        assert part.low.value == text
    other = next(one for one in part.desk.windows if one.label != DARK)
    part.desk.window = other
    part.refresh()
    assert "no number" in part.note.value
    ids = set(part.desk.observation().records.images["image_id"])
    assert {tile["key"] for tile in part.gallery.tiles} <= ids
    assert len(part.table) == len(ids)
