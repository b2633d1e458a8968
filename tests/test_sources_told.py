"""Predictions and labels that come with captures: every format, and everything that can be wrong with them."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sources_workspace import corners, picture, settings, words, write

from cvkit.data import sources
from cvkit.data.records import Records
from cvkit.errors import ConfigError, DataError
from cvkit.tables import FINDING_WORDS, Window

DAY = Window.day("2026-11-21")
FOLDER = "captures/cam/2026-11-21"
A, B = f"{FOLDER}/a.jpg", f"{FOLDER}/b.jpg"
IMAGES = "captures/{source}/{date}/*.jpg"
BOX = {"class_id": 1, "confidence": 0.9, "xyxy": [10, 20, 30, 40]}


def load(folder: Path, classes: Any = ("nut", "bolt", "pin"), **captures: Any) -> Records:
    """The window of two images of 100x80 pixels, a.jpg and b.jpg."""
    for name in (A, B):
        picture(folder / name)
    return sources.load_captures(settings(folder, {"images": IMAGES, **captures}, classes=list(classes)), DAY)


def covered(records: Records, column: str = "predicted") -> list[str]:
    return records.images.loc[records.images[column], "image_id"].tolist()


def rows(*entries: dict[str, Any]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_three_formats_say_the_same(tmp_path: Path) -> None:
    """Boxes of one image in each format, an image with none, and one nobody spoke of."""
    picture(tmp_path / f"{FOLDER}/c.jpg")
    write(tmp_path / "said/cam/2026-11-21.jsonl", rows({"image": "a.jpg", "boxes": [BOX]}, {"image": B, "boxes": []}))
    parquet(
        tmp_path / "said/cam/2026-11-21.parquet", image=["a.jpg", "b"], class_id=[1, None], confidence=[0.9, None],
        x1=[10.0, None], y1=[20.0, None], x2=[30.0, None], y2=[40.0, None],
    )  # fmt: skip
    write(tmp_path / f"said/{FOLDER}/a.txt", "1 0.2 0.375 0.2 0.25 0.9\n")
    write(tmp_path / f"said/{FOLDER}/b.txt", "")
    for pattern in (
        "said/{source}/{date}.jsonl",
        "said/{source}/{date}.parquet",
        "said/captures/{source}/{date}/*.txt",
    ):
        records = load(tmp_path, predictions=pattern)
        assert corners(records.predictions) == [(A, 1, 10, 20, 30, 40)], pattern
        assert records.predictions["confidence"].tolist() == [0.9]
        assert covered(records) == [A, B]
        assert records.findings.empty
        assert records.labels.empty


def test_three_label_formats_say_the_same(tmp_path: Path) -> None:
    write(tmp_path / "labels/cam/2026-11-21/a.txt", "1 0.2 0.375 0.2 0.25\n")
    write(tmp_path / "labels/cam/2026-11-21/b.txt", "\n")
    box = {"id": 1, "image_id": 7, "category_id": 18, "bbox": [10, 20, 20, 20]}
    crowd = {**box, "id": 2, "iscrowd": 1}
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}]
    content = {"images": images, "categories": [{"id": 18, "name": "bolt"}], "annotations": [box, crowd]}
    write(tmp_path / "labels/cam/2026-11-21.json", json.dumps(content))
    write(tmp_path / "voc/cam/2026-11-21/a.xml", xml("bolt", 10, 20, 30, 40))
    write(tmp_path / "voc/cam/2026-11-21/other.xml", "<annotation><filename>b.jpg</filename></annotation>")
    for pattern in ("labels/{source}/{date}/*.txt", "labels/{source}/{date}.json", "voc/{source}/{date}/*.xml"):
        records = load(tmp_path, labels=pattern)
        assert corners(records.labels[records.labels["aside"] == ""]) == [(A, 1, 10, 20, 30, 40)], pattern
        assert records.labels["confidence"].isna().all()
        assert covered(records, "labelled") == [A, B]
        assert not covered(records)
        assert records.findings.empty


def xml(name: str, *edges: Any) -> str:
    box = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
    return f"<annotation><filename>x</filename><object><name>{name}</name><bndbox>{box}</bndbox></object></annotation>"


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("1 0.2 0.375 0.2", "bad_record"),
        ("1 0.2 0.375 0.2 0.25 0.9", "bad_record"),
        ("one two three four five", "bad_record"),
        ("1 nan 0.375 0.2 0.25", "bad_box"),
        ("1 inf 0.375 0.2 0.25", "bad_box"),
        ("1 -0.2 0.375 0.2 0.25", "bad_box"),
        ("1 0.2 0.375 0.2 -0.25", "bad_box"),
        ("1 0.2 0.375 0 0.25", "bad_box"),
        ("1 20 30 20 20", "bad_box"),
        ("7 0.2 0.375 0.2 0.25", "unknown_class"),
        ("-1 0.2 0.375 0.2 0.25", "unknown_class"),
        ("1.5 0.2 0.375 0.2 0.25", "unknown_class"),
        ("screw 0.2 0.375 0.2 0.25", "unknown_class"),
        ("nan 0.2 0.375 0.2 0.25", "unknown_class"),
    ],
)
def test_bad_label_lines_are_counted_and_the_others_kept(tmp_path: Path, line: str, finding: str) -> None:
    write(tmp_path / "labels/a.txt", f"0 .5 .5 .1 .1\n{line}\n2 .5 .5 .1 .1\n")
    records = load(tmp_path, labels="labels/*.txt")
    assert words(records.findings) == [finding]
    assert records.findings.loc[0, ["image_id", "source"]].tolist() == [A, "cam"]
    assert records.findings["time"][0] == pd.Timestamp("2026-11-21 12:00", tz="UTC")
    assert records.findings["detail"][0].startswith("labels/a.txt:2: ")
    assert records.labels["class_id"].tolist() == [0, 2]
    whole = finding == "unknown_class"  # else an object may be missing, which would be held against the model
    assert covered(records, "labelled") == ([A] if whole else [])


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("1 0.2 0.375 0.2 0.25", "bad_confidence"),
        ("1 0.2 0.375 0.2 0.25 nan", "bad_confidence"),
        ("1 0.2 0.375 0.2 0.25 1.2", "bad_confidence"),
        ("1 0.2 0.375 0.2 0.25 -0.1", "bad_confidence"),
        ("1 0.2 0.375", "bad_record"),
        ("7 0.2 0.375 0.2 0.25 0.9", "bad_record"),
        ("1 0.2 0.375 nan 0.25 0.9", "bad_box"),
    ],
)
def test_bad_prediction_lines(tmp_path: Path, line: str, finding: str) -> None:
    write(tmp_path / "said/a.txt", f"{line}\n0 .5 .5 .1 .1 .8 17\n")  # 17: a track's number
    records = load(tmp_path, predictions="said/*.txt")
    assert words(records.findings) == [finding]
    assert records.predictions[["class_id", "confidence"]].to_numpy().tolist() == [[0, 0.8]]
    assert covered(records) == [A]


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        ('{"image": "a.jpg", "boxes": [', "bad_record"),
        ("[1, 2]", "bad_record"),
        ("7", "bad_record"),
        ('{"boxes": []}', "bad_record"),
        ('{"image": 7, "boxes": []}', "bad_record"),
        ('{"image": "a.jpg"}', "bad_record"),
        ('{"image": "a.jpg", "boxes": {"x": 1}}', "bad_record"),
        ('{"image": "a.jpg", "boxes": [7]}', "bad_record"),
        ('{"image": "a.jpg", "boxes": [{"class_id": 1, "confidence": 0.9}]}', "bad_record"),
        ('{"image": "a.jpg", "boxes": [{"class_id": 1, "confidence": 0.9, "xyxy": [1, 2, 3]}]}', "bad_record"),
        ('{"image": "a.jpg", "boxes": [{"class_id": 1, "confidence": 0.9, "xyxy": [1, 2, 3, null]}]}', "bad_record"),
        ('{"image": "a.jpg", "boxes": [{"class_id": 1, "confidence": 0.9, "xyxy": [30, 20, 10, 40]}]}', "bad_box"),
        ('{"image": "a.jpg", "boxes": [{"class_id": 1, "confidence": 0.9, "xyxy": [1, 2, NaN, 4]}]}', "bad_box"),
        ('{"image": "a.jpg", "boxes": [{"class_id": 1, "confidence": 0.9, "xyxy": [1, 2, 1e999, 4]}]}', "bad_box"),
        (f'{{"image": "a", "boxes": [{{"class_id": 1, "confidence": 1, "xyxy": [1, 2, {10**400}, 4]}}]}}', "bad_box"),
        ('{"image": "a.jpg", "boxes": [{"class_id": 1, "xyxy": [1, 2, 3, 4]}]}', "bad_confidence"),
        ('{"image": "a.jpg", "boxes": [{"class_id": 1, "confidence": "x", "xyxy": [1, 2, 3, 4]}]}', "bad_confidence"),
        ('{"image": "a.jpg", "boxes": [{"class_id": true, "confidence": 0.9, "xyxy": [1, 2, 3, 4]}]}', "bad_record"),
        ('{"image": "a.jpg", "boxes": [{"confidence": 0.9, "xyxy": [1, 2, 3, 4]}]}', "bad_record"),
        ('{"image": "a.jpg", "boxes": [{"class": "screw", "confidence": 0.9, "xyxy": [1, 2, 3, 4]}]}', "bad_record"),
        ('{"image": "a.jpg", "boxes": [{"class": ["x"], "confidence": 0.9, "xyxy": [1, 2, 3, 4]}]}', "bad_record"),
        ('{"image": "\\ud800.jpg", "boxes": []}', "missing_image"),
        ('{"image": "z.jpg", "boxes": []}', "missing_image"),
        ('{"image": "../cam/z.jpg", "boxes": []}', "missing_image"),
        ("[" * 100_000, "bad_record"),
    ],
)  # fmt: skip
def test_bad_jsonl_lines(tmp_path: Path, entry: str, finding: str) -> None:
    write(tmp_path / "said.jsonl", f"\n{entry}\n{rows({'image': B, 'boxes': [BOX]})}")
    records = load(tmp_path, predictions="said.jsonl")
    assert words(records.findings) == [finding]
    assert "said.jsonl:2" in records.findings["detail"][0]
    assert corners(records.predictions) == [(B, 1, 10, 20, 30, 40)]


def test_class_names_in_predictions(tmp_path: Path) -> None:
    write(tmp_path / "said.jsonl", rows({"image": "a.jpg", "boxes": [{**BOX, "class_id": None, "class": "pin"}]}))
    assert load(tmp_path, predictions="said.jsonl").predictions["class_id"].tolist() == [2]
    nameless = load(tmp_path, classes=(), predictions="said.jsonl")
    assert words(nameless.findings) == ["bad_record"]
    assert "no names are known" in nameless.findings["detail"][0]
    assert nameless.classes == {}


@pytest.mark.parametrize(
    "name",
    [
        A,
        "a.jpg",
        "a",
        "cam/2026-11-21/a.jpg",
        "./a.jpg",
        f"/mnt/elsewhere/{A}",
        "2026-11-21\\a.jpg",
        f"../{FOLDER}/a.jpg",
    ],
)
def test_names_of_an_image(tmp_path: Path, name: str) -> None:
    write(tmp_path / "said/p.jsonl", rows({"image": name, "boxes": [BOX]}))
    assert covered(load(tmp_path, predictions="said/p.jsonl")) == [A]


@pytest.mark.parametrize("name", ["jpg", "A.jpg", "xa.jpg", "other/a.jpg", "", f"x{A}", "/a.jpg/"])
def test_names_of_no_image(tmp_path: Path, name: str) -> None:
    write(tmp_path / "said/p.jsonl", rows({"image": name, "boxes": [BOX]}))
    records = load(tmp_path, predictions="said/p.jsonl")
    assert not covered(records)
    assert len(records.findings) == 1


def test_one_name_for_two_images_is_not_guessed(tmp_path: Path) -> None:
    picture(tmp_path / "captures/cam2/2026-11-21/a.jpg")
    write(tmp_path / "said/all.jsonl", rows({"image": "a.jpg", "boxes": [BOX]}))
    write(tmp_path / "said/cam2.jsonl", rows({"image": "a.jpg", "boxes": [BOX]}))
    vague = load(tmp_path, predictions="said/all.jsonl")
    assert not covered(vague)
    assert words(vague.findings) == ["bad_record"]
    assert "may be 2 images" in vague.findings["detail"][0]
    assert covered(load(tmp_path, predictions="said/{source}2.jsonl")) == [A]
    (tmp_path / "said/all.jsonl").unlink()
    assert covered(load(tmp_path, predictions="said/{source}.jsonl")) == ["captures/cam2/2026-11-21/a.jpg"]


def test_folders_below_two_stars_are_part_of_the_name(tmp_path: Path) -> None:
    picture(tmp_path / "captures/cam2/2026-11-21/a.jpg")
    write(tmp_path / "labels/cam2/2026-11-21/a.txt", "0 .5 .5 .1 .1\n")
    write(tmp_path / "labels/cam3/2026-11-21/b.txt", "0 .5 .5 .1 .1\n")
    records = load(tmp_path, labels="labels/**/*.txt")
    assert covered(records, "labelled") == ["captures/cam2/2026-11-21/a.jpg"]
    assert words(records.findings) == ["missing_image"]


def test_predictions_for_images_of_other_windows_are_no_findings(tmp_path: Path) -> None:
    other = "captures/cam/2026-11-25/z.jpg"
    picture(tmp_path / other)
    write(tmp_path / "said.jsonl", rows({"image": "a.jpg", "boxes": [BOX]}, {"image": other, "boxes": [7, BOX]}))
    records = load(tmp_path, predictions="said.jsonl")
    assert len(records.predictions) == 1
    assert records.findings.empty


def test_a_box_out_of_its_image_is_kept_and_counted(tmp_path: Path) -> None:
    boxes = [{**BOX, "xyxy": xyxy} for xyxy in ([-0.9, 0, 100.9, 80], [-1.5, 0, 50, 80], [10, 10, 50, 99])]
    write(tmp_path / "said.jsonl", rows({"image": "a.jpg", "boxes": boxes}))
    records = load(tmp_path, predictions="said.jsonl")
    assert len(records.predictions) == 3
    assert words(records.findings) == ["box_outside"] * 2
    assert sorted(records.findings["value"]) == [1.5, 19]
    assert records.findings["limit"].tolist() == [1, 1]


def test_sizes_follow_exif_rotation(tmp_path: Path) -> None:
    picture(tmp_path / f"{FOLDER}/turned.jpg", exif={274: 6})
    write(tmp_path / "labels/turned.txt", "0 .5 .5 1 1\n")
    assert corners(load(tmp_path, labels="labels/*.txt").labels) == [(f"{FOLDER}/turned.jpg", 0, 0, 0, 80, 100)]


def test_shares_of_an_image_without_size_cannot_be_placed(tmp_path: Path) -> None:
    write(tmp_path / f"{FOLDER}/broken.jpg", "no image")
    write(tmp_path / "said/broken.txt", "0 .5 .5 1 1 .9\n")
    records = load(tmp_path, predictions="said/*.txt")
    assert words(records.findings) == ["bad_record"]
    assert not covered(records)
    broken = records.images[records.images["image_id"].str.endswith("broken.jpg")]
    assert len(broken) == 1
    assert broken["width"].isna().all()


def test_an_image_the_text_files_leave_out_is_not_predicted(tmp_path: Path) -> None:
    write(tmp_path / "said/a.txt", "")
    assert covered(load(tmp_path, predictions="said/*.txt")) == [A]


def test_labels_that_stand_in_two_files_are_not_used(tmp_path: Path) -> None:
    write(tmp_path / "labels/x/a.txt", "0 .5 .5 .1 .1\n")
    write(tmp_path / "labels/y/a.txt", "1 .5 .5 .1 .1\n")
    write(tmp_path / "labels/y/b.txt", "1 .5 .5 .1 .1\n")
    records = load(tmp_path, labels="labels/*/*.txt")
    assert words(records.findings) == ["conflicting_labels"]
    assert "labels/x/a.txt and labels/y/a.txt" in records.findings["detail"][0]
    assert covered(records, "labelled") == [B]
    assert records.labels["image_id"].tolist() == [B]


def test_of_predictions_that_stand_twice_the_first_are_used(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", rows({"image": "a.jpg", "boxes": [BOX]}, {"image": "a.jpg", "boxes": [BOX, BOX]}))
    records = load(tmp_path, predictions="*.jsonl")
    assert len(records.predictions) == 1
    assert words(records.findings) == ["bad_record"]


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet", b"\xff\xfe" * 50])
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_file_that_is_something_else_is_a_finding(tmp_path: Path, content: bytes, suffix: str) -> None:
    write(tmp_path / f"said.{suffix}", content)
    records = load(tmp_path, predictions=f"said.{suffix}")
    assert set(words(records.findings)) == ({"bad_record"} if content or suffix == "parquet" else set())
    assert len(records.images) == 2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": ["a"]}, "no columns class_id, confidence, x1, y1, x2, y2"),
        ({"image": ["a"], "class_id": [1], "confidence": [[0.9]], "x1": [1.0], "y1": [1.0], "x2": [2.0], "y2": [2.0]},
         "confidence is list"),
    ],
)  # fmt: skip
def test_parquet_with_other_columns(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    parquet(tmp_path / "said.parquet", **columns)
    records = load(tmp_path, predictions="said.parquet")
    assert words(records.findings) == ["bad_record"]
    assert message in records.findings["detail"][0]


def test_bad_rows_of_parquet(tmp_path: Path) -> None:
    parquet(
        tmp_path / "said.parquet",
        image_id=["a", None, "z", "a", "a", "a", "b"],
        **{"class": ["nut", "nut", "nut", "screw", "bolt", None, "pin"]},
        confidence=[0.9, 0.9, 0.9, 0.9, math.nan, 0.9, 0.5],
        x1=[1.0] * 7, y1=[1.0] * 7, x2=[9.0] * 6 + [None], y2=[9.0] * 7,
    )  # fmt: skip
    records = load(tmp_path, predictions="said.parquet")
    assert corners(records.predictions) == [(A, 0, 1, 1, 9, 9)]
    found = records.findings.set_index("finding")["detail"].to_dict()
    assert words(records.findings) == [
        "bad_box", "bad_confidence", "bad_record", "bad_record", "bad_record", "missing_image"
    ]  # fmt: skip
    unusable = sorted(records.findings.loc[records.findings["finding"] == "bad_record", "detail"])
    assert [text.split(": ")[0] for text in unusable] == ["said.parquet:2", "said.parquet:4", "said.parquet:6"]
    assert found["missing_image"].startswith("said.parquet:3")
    assert found["bad_confidence"].startswith("said.parquet:5")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("<annotation><object>", "bad_record"),
        ("", "bad_record"),
        ("<html/>", "bad_record"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation/>', "bad_record"),
        ("<annotation><object><name>nut</name></object></annotation>", "bad_record"),
        (xml("nut", "x", 1, 2, 3), "bad_record"),
        (xml("nut", "nan", 1, 2, 3), "bad_box"),
        (xml("nut", 5, 5, 5, 5), "bad_box"),
        (xml("screw", 1, 1, 5, 5), "unknown_class"),
        (xml("", 1, 1, 5, 5), "unknown_class"),
    ],
)
def test_bad_voc_files(tmp_path: Path, content: str, found: str) -> None:
    write(tmp_path / "voc/a.xml", content)
    records = load(tmp_path, labels="voc/*.xml")
    assert words(records.findings) == [found]
    assert records.labels.empty


def test_bad_coco_entries(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "z.jpg"}, 7]
    boxes = [
        {"image_id": 1, "category_id": 5, "bbox": [1, 1, 5, 5]},
        {"image_id": 1, "category_id": 9, "bbox": [1, 1, 5, 5]},
        {"image_id": 1, "category_id": 5, "bbox": [1, 1, 5]},
        {"image_id": 1, "category_id": 5, "bbox": [1, 1, -5, 5]},
        {"image_id": 99, "category_id": 5, "bbox": [1, 1, 5, 5]},
        {"image_id": [1], "category_id": 5, "bbox": [1, 1, 5, 5]},
        None,
    ]
    content = {"images": images, "categories": [{"id": 5, "name": "pin"}], "annotations": boxes}
    write(tmp_path / "labels.json", json.dumps(content))
    records = load(tmp_path, labels="labels.json")
    assert corners(records.labels) == [(A, 2, 1, 1, 6, 6)]
    assert words(records.findings) == ["bad_box", *["bad_record"] * 6, "missing_image", "unknown_class"]


def test_a_coco_file_cut_in_half_is_a_finding_and_the_run_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "labels.json", '{"images": [{"id": 1, "file_')
    records = load(tmp_path, labels="labels.json")
    assert words(records.findings) == ["bad_record"]
    assert len(records.images) == 2


def test_predictions_asked_for_and_nowhere(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file of predictions matches"):
        load(tmp_path, predictions="said/{date}/*.jsonl")
    assert load(tmp_path, labels="labels/{date}/*.txt").findings.empty  # labels may come late


LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.lists(st.one_of(st.floats().map(repr), st.integers(-3, 3).map(str)), min_size=4, max_size=9).map(" ".join),
    ),
    max_size=5,
)


@given(lines=LINES)
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_text_file_is_a_box_or_a_finding(tmp_path: Path, lines: list[str]) -> None:
    text = "\n".join(lines)
    write(tmp_path / "said/a.txt", text.encode("utf-8", "surrogatepass"))
    records = load(tmp_path, predictions="said/*.txt", labels="said/*.txt")
    filled = sum(bool(line.split()) for line in text.splitlines())
    unread = "cannot be read" in " ".join(records.findings["detail"])
    for boxes in (records.predictions, records.labels):
        assert (boxes["x2"] > boxes["x1"]).all()
        assert boxes["class_id"].between(0, 2).all()
    assert records.predictions["confidence"].between(0, 1).all()
    assert set(records.findings["finding"]) <= set(FINDING_WORDS)
    kept_out = (~records.findings["finding"].isin(["box_outside"])).sum()
    assert unread or len(records.predictions) + len(records.labels) + kept_out == 2 * filled


def test_the_class_list_of_a_labelling_tool_is_no_label_file(tmp_path: Path) -> None:
    write(tmp_path / "labels/a.txt", "0 .5 .5 .1 .1\n")
    write(tmp_path / "labels/classes.txt", "nut\nbolt\n")
    records = load(tmp_path, labels="labels/*.txt")
    assert records.findings.empty
    assert covered(records, "labelled") == [A]


def test_labels_that_number_their_classes_otherwise_are_joined_by_name_when_told_and_refused_until_then(
    tmp_path: Path,
) -> None:
    write(tmp_path / "labels/a.txt", "0 .5 .5 .1 .1\n1 .2 .2 .1 .1\n2 .3 .3 .1 .1\n")
    write(tmp_path / "labels/classes.txt", "bolt\nscrew\nnut\n")
    with pytest.raises(ConfigError, match="number their classes otherwise") as error:
        load(tmp_path, labels="labels/*.txt")
    assert 'captures.label_classes to what the labels mean: ["bolt", "screw", "nut"]' in str(error.value)
    records = load(tmp_path, labels="labels/*.txt", label_classes=["bolt", "screw", "nut"])
    assert records.labels["class_id"].tolist() == [1, 0]
    assert records.findings["finding"].tolist() == ["unknown_class"]  # there is no screw among the model's classes


def test_label_files_are_known_again_in_a_workspace_that_was_moved_or_copied(tmp_path: Path) -> None:
    def state(folder: Path) -> str:
        given = {"images": IMAGES, "labels": "labels/{source}/{date}.json"}
        return sources.labels_state(settings(folder, given, classes=["nut", "bolt", "pin"]), DAY)

    home = tmp_path / "line"
    picture(home / A)
    assert state(home) == ""
    label = home / "labels/cam/2026-11-21.json"
    write(label, "{}")
    first = state(home)
    shutil.copytree(home, tmp_path / "copy")
    assert state(tmp_path / "copy") == first != ""
    assert state(home.rename(tmp_path / "moved")) == first
    os.utime(tmp_path / "moved/labels/cam/2026-11-21.json", (1, 1))
    assert state(tmp_path / "moved") not in ("", first)
