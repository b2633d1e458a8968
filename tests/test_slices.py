"""Slices: the level of the accusation and the coverage of the intervals, by simulation; laws; words a person reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cvkit.documentation import wording
from cvkit.monitoring import slices as table
from cvkit.stats.quality import slices
from cvkit.tables import SLICES


def scene(
    rng: np.random.Generator, images: int, recall: float = 0.8, gap: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Found or not of the boxes of some images, their image, and 40 slices of ten properties; the first is worse."""
    image = np.repeat(np.arange(images), rng.poisson(4, images))
    properties = rng.random((10, images))
    quarter = np.searchsorted([0.25, 0.5, 0.75], properties)
    members = np.concatenate([row[image] == np.arange(4)[:, None] for row in quarter])
    chance = np.clip(recall + 0.1 * rng.standard_normal(images), 0, 1)[image] - gap * members[0]
    return (rng.random(image.size) < chance).astype(float), image, members


def test_a_slice_is_rarely_accused_where_none_is_worse() -> None:
    rng, accused = np.random.default_rng(0), 0
    for seed in range(300):
        found, image, members = scene(rng, 200)
        told = slices.compare(found, np.ones(found.size), members, image, replicates=300, seed=seed)
        accused += np.nanmin(told.p_value) <= 0.05
    assert 3 <= accused <= 28  # 15 expected, sd 3.8


def test_a_slice_that_is_worse_is_found_and_its_interval_holds_the_truth() -> None:
    rng, found_it, others, held = np.random.default_rng(1), 0, 0, 0
    for seed in range(100):
        found, image, members = scene(rng, 300, gap=0.25)
        told = slices.compare(found, np.ones(found.size), members, image, replicates=300, seed=seed)
        found_it += told.p_value[0] <= 0.05
        others += np.nanmin(told.p_value[4:]) <= 0.05  # of other properties
        held += told.low[0] <= 0.8 - 0.25 <= told.high[0]
    assert found_it >= 95
    assert others <= 12
    assert held >= 89


def test_without_correction_it_is_the_normal_test_of_two_shares() -> None:
    rng = np.random.default_rng(2)
    found, inside = (rng.random(4000) < 0.6).astype(float), rng.random(4000) < 0.3
    told = slices.compare(found, np.ones(4000), inside, replicates=20000)
    a, b = found[inside], found[~inside]
    pooled = found.mean() * (1 - found.mean())
    z = (a.mean() - b.mean()) / np.sqrt(pooled * (1 / a.size + 1 / b.size))
    assert told.p_value[0] == pytest.approx(stats.norm.cdf(z), abs=0.02)
    assert told.value[0] == a.mean()
    assert told.rest[0] == pytest.approx(b.mean())


def test_boxes_that_depend_on_each_other_are_worth_less() -> None:
    found = np.repeat((np.arange(80) % 4 > 0).astype(float), 10)
    image, everything = np.repeat(np.arange(80), 10), np.ones((1, 800), dtype=bool)
    alone, together = (slices.compare(found, np.ones(800), everything, groups) for groups in (None, image))
    assert together.high[0] - together.low[0] == pytest.approx((alone.high[0] - alone.low[0]) * 10**0.5, rel=0.1)
    assert np.isnan(together.p_value[0])  # there is nothing outside


def test_what_is_too_little_is_unknown_and_what_cannot_be_is_refused() -> None:
    found, members = np.tile([1.0, 0.0], 50), np.array([np.arange(100) < 19, np.arange(100) < 20, np.zeros(100, bool)])
    told = slices.compare(found, np.ones(100), members)
    assert told.n.tolist() == [19, 20, 0]
    assert np.isnan([told.low[0], told.p_value[0], told.value[2], told.low[2]]).all()
    assert np.isfinite([told.value[0], told.low[1], told.p_value[1]]).all()
    assert slices.compare([], [], np.empty((2, 0), bool)).n.tolist() == [0, 0]
    perfect = slices.compare(np.ones(100), np.ones(100), members)
    assert (perfect.low[1] < 1, perfect.high[1], perfect.p_value[1]) == (True, 1.0, 1.0)
    again = slices.compare(found, np.ones(100), members)
    assert np.array_equal(again.p_value, told.p_value, equal_nan=True)
    for bad in (([2.0], [1.0], [[True]]), ([1.0], [1.0], [[True, False]]), ([np.nan], [1.0], [[True]])):
        with pytest.raises(ValueError, match="part"):
            slices.compare(*bad)


def boxes(images: int = 240, seed: int = 0) -> pd.DataFrame:
    """Boxes as `monitoring.slices.boxes` gives them: small ones on dark images are missed, and nothing else differs."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), 6)
    brightness = rng.uniform(20, 200, images)[image]
    size = rng.choice(["small", "medium"], image.size)
    lost = rng.random(image.size) < np.where((brightness < 65) & (size == "small"), 0.7, 0.1)
    start = datetime(2026, 11, 21, tzinfo=UTC)
    told = pd.DataFrame(
        {
            "image_id": image.astype(str), "labelled": True, "predicted": ~lost, "size": size, "brightness": brightness,
            "class": rng.choice(["nut", "bolt"], image.size), "source": "cam-1",
            "time": [start + timedelta(minutes=int(one)) for one in image], "contrast": 1.0, "noise": np.nan,
            "weight": 1.0,
        }
    )  # fmt: skip
    return told.assign(f1=told.groupby("image_id")["predicted"].transform("mean"))


def test_bad_when_dark_and_small_is_one_line_in_a_report() -> None:
    told = boxes()
    weak = table.weakest(told)
    assert list(weak.columns) == list(SLICES)
    assert weak["by"].tolist() == ["size, brightness"]
    first = weak["slice"].item()
    assert first.startswith("size small and brightness below 6")
    line = wording.slice_lines(weak)
    assert line.count("\n") == 0
    assert "where all others have 0.9" in line
    assert weak["images"].item() == pytest.approx(60, abs=3)


def test_slices_without_a_difference_are_not_named_and_a_column_of_yours_is_cut_like_any_other() -> None:
    rng = np.random.default_rng(3)
    told = boxes().assign(predicted=rng.random(1440) < 0.9)
    assert table.weakest(told).empty
    assert "No slice is surely worse" in wording.slice_lines(table.weakest(told))
    shift = told["image_id"].astype(int) % 3
    mine = told.assign(shift=shift.map({0: "early", 1: "late", 2: "night"}), predicted=told["predicted"] & (shift != 2))
    assert table.weakest(mine, ["shift", *table.COLUMNS])["slice"].tolist() == ["shift night"]
    by_shift = table.by(mine, ["shift"])
    assert by_shift["slice"].tolist()[0] == "shift night"
    assert by_shift["boxes"].sum() == 1440
    assert table.by(mine, ["contrast", "noise", "no such"]).empty  # nothing to cut


def test_a_night_in_one_piece_is_found_and_weights_of_a_plan_count() -> None:
    told = boxes(400)
    night = told["image_id"].astype(int).between(150, 280)
    rng = np.random.default_rng(4)
    dark = told.assign(brightness=np.where(night, 30.0, 150.0) + rng.normal(0, 5, len(told)), size="medium",
                       predicted=rng.random(len(told)) < np.where(night, 0.5, 0.92))  # fmt: skip
    dark = dark.assign(brightness=dark.groupby("image_id")["brightness"].transform("first"),
                       f1=dark.groupby("image_id")["predicted"].transform("mean"))  # fmt: skip
    assert table.weakest(dark)["slice"].iloc[0].startswith("brightness below")
    rare = dark.assign(weight=np.where(night, 1.0, 9.0), half=np.where(told["class"] == "nut", "a", "b"))
    plain, weighted = (table.by(one, ["half"])["recall"].mean() for one in (rare.assign(weight=1.0), rare))
    share = night.sum() / (night.sum() + 9 * (~night).sum())
    assert weighted == pytest.approx(share * 0.5 + (1 - share) * 0.92, abs=0.03)
    assert plain < weighted


def test_no_boxes_make_empty_tables() -> None:
    nothing = boxes().iloc[:0]
    assert table.by(nothing).empty
    assert table.weakest(nothing).empty
    assert "No labelled image" in wording.slice_table(table.by(nothing))


def test_a_slice_is_shown_with_its_interval_and_hostile_names_as_text() -> None:
    told = boxes().assign(source=lambda rows: np.where(rows["brightness"] > 100, "<b>|x", "cam-1"))
    words = wording.slice_table(table.by(told, ["source"]))
    assert "<b>" not in words
    assert words.count("|") == 8 * 4
    assert " to " in words
