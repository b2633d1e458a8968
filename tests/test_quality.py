"""Data quality: limits learnt from the reference, findings on planted faults only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cvkit.data.records import Records
from cvkit.monitoring import quality
from cvkit.tables import BOXES, FEATURES, FINDINGS, IMAGES, Window, conform, empty

WINDOW = Window.day("2026-10-01")


def features(n: int, seed: int, day: str = "2026-10-01", source: str = "cam") -> pd.DataFrame:
    """`n` healthy images, one every half an hour."""
    rng = np.random.default_rng(seed)
    return conform(
        pd.DataFrame(
            {
                "image_id": [f"{source}/{day}/{i:04d}.jpg" for i in range(n)],
                "source": source,
                "time": pd.date_range(day, periods=n, freq="30min", tz="UTC"),
                "content": [f"{seed}-{i}" for i in range(n)],
                "dhash": rng.integers(0, 2**63, n, dtype=np.uint64),
                "mode": "RGB",
                "file_format": "JPEG",
                "width": 640.0,
                "height": 480.0,
                "brightness": rng.normal(120, 5, n),
                "contrast": rng.normal(40, 2, n),
                "sharpness": rng.normal(2.5, 0.1, n),
                "entropy": rng.normal(7, 0.1, n),
                "noise": rng.normal(3, 0.2, n),
            }
        ),
        FEATURES,
    )


def records(table: pd.DataFrame) -> Records:
    images = conform(table[["image_id", "source", "time", "width", "height"]].assign(predicted=True), IMAGES)
    return Records(images, empty(BOXES), empty(BOXES), empty(FINDINGS), {})


def found(table: pd.DataFrame, limits: quality.Limits, window: Window | None = WINDOW) -> dict[str, list[int]]:
    rows = quality.find(records(table), table, {"cam": limits}, window)
    position = {image: i for i, image in enumerate(table["image_id"])}
    return {f: sorted(position.get(i, -1) for i in part["image_id"]) for f, part in rows.groupby("finding")}


@pytest.fixture(scope="module")
def limits() -> quality.Limits:
    return quality.learn(features(200, seed=1))


def test_limits_are_in_one_order_in_every_process(limits: quality.Limits) -> None:
    """They are written to the reference's file: the same reference is the same file."""
    assert list(limits.ranges) == ["brightness", "sharpness", "entropy", "noise"]


def test_healthy_images_are_left_alone(limits: quality.Limits) -> None:
    flagged = [sum(map(len, found(features(48, seed=s), limits).values())) for s in range(100, 150)]
    assert np.mean(flagged) / 48 < 0.005  # of 2,400 healthy images


@pytest.mark.parametrize(
    ("finding", "column", "value"),
    [
        ("too_dark", "brightness", 10.0),
        ("too_bright", "brightness", 250.0),
        ("blurred", "sharpness", 0.5),
        ("low_information", "entropy", 0.0),
        ("noisy", "noise", 30.0),
        ("wrong_mode", "mode", "L"),
        ("wrong_size", "width", 320.0),
        ("wrong_format", "file_format", "PNG"),
        ("truncated", "damage", "truncated"),
        ("unreadable", "damage", "unreadable"),
        ("exact_duplicate", "content", "2-6"),
    ],
)
def test_a_planted_fault_is_found_and_nothing_else(
    limits: quality.Limits, finding: str, column: str, value: object
) -> None:
    table = features(48, seed=2)
    table.loc[7, column] = value
    assert found(table, limits) == {finding: [7]}


def test_an_image_that_cannot_be_read_is_not_missing_a_prediction_too(limits: quality.Limits) -> None:
    table = features(24, seed=3)
    table.loc[3, ["damage", "content"]] = ["empty_file", ""]
    table.loc[5, "damage"] = "truncated"  # a model may have seen its upper part
    known = records(table)
    known.images.loc[[3, 5, 7], "predicted"] = False
    rows = quality.find(known, table, {"cam": limits}, WINDOW)
    told = {name: set(rows.loc[rows["image_id"] == table["image_id"][name], "finding"]) for name in (3, 5, 7)}
    assert told == {3: {"empty_file"}, 5: {"truncated", "missing_prediction"}, 7: {"missing_prediction"}}


def test_a_frozen_camera_is_a_run_of_unchanging_frames(limits: quality.Limits) -> None:
    table = features(48, seed=3)
    table.loc[10:20, "content"] = "same"
    table.loc[10:20, "dhash"] = table.loc[10, "dhash"]
    result = found(table, limits)
    assert result["frozen"] == list(range(10, 21))
    assert result["exact_duplicate"] == list(range(11, 21))


def test_a_still_scene_is_normal_where_the_reference_is_still() -> None:
    still = features(48, seed=4).assign(dhash=np.uint64(12345))
    learnt = quality.learn(still)
    assert learnt.near_bits == 0
    assert found(features(48, seed=5).assign(dhash=np.uint64(12345)), learnt) == {}


def test_near_duplicates_differ_by_a_few_bits(limits: quality.Limits) -> None:
    table = features(48, seed=6)
    table.loc[30, "dhash"] = np.uint64(int(table.loc[3, "dhash"]) ^ 0b101)
    assert found(table, limits) == {"near_duplicate": [30]}


def test_a_pause_longer_than_the_reference_ever_made_is_a_gap(limits: quality.Limits) -> None:
    table = features(48, seed=7).drop(range(10, 20)).reset_index(drop=True)
    assert found(table, limits) == {"gap": [-1]}
    assert found(table, limits, window=None) == {}


def test_limits_of_a_varied_reference_still_catch_a_black_frame() -> None:
    varied = features(60, seed=8).assign(
        brightness=np.random.default_rng(0).uniform(20, 230, 60), entropy=np.random.default_rng(1).uniform(5, 7.9, 60)
    )
    table = features(48, seed=9)
    table.loc[0, ["brightness", "entropy"]] = 0.0
    assert "low_information" in found(table, quality.learn(varied))


def test_an_empty_window_has_no_findings(limits: quality.Limits) -> None:
    assert found(features(0, seed=0), limits) == {}


def test_limits_of_a_reference_without_readable_images_accuse_nobody() -> None:
    learnt = quality.learn(features(3, seed=0).assign(damage="unreadable", brightness=np.nan, sharpness=np.nan))
    assert learnt.ranges["brightness"] == (float("-inf"), float("inf"))
