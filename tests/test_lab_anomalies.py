"""Anomalies in the lab: flags at any share of false ones, as a hand-written step-up procedure has them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from lab_tables import NOTHING_EMBEDDED, desk, observation

from cvkit.lab.anomalies import LEVELS, Anomalies
from cvkit.monitoring import anomalies
from cvkit.monitoring.monitor import Observation
from cvkit.tables import ANOMALIES


@pytest.fixture(scope="module")
def seen() -> Observation:
    return observation(n=120, sources=2, odd=10)


def by_hand(p_values: list[float], level: float) -> set[int]:
    """Benjamini and Hochberg, as their paper says it: the largest k with p(k) <= k / m level, and all before it."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    last = 0
    for k, place in enumerate(order, start=1):
        if p_values[place] <= k * level / len(p_values):
            last = k
    return set(order[:last])


@pytest.mark.parametrize("level", [0.05, 0.1, 0.2, 0.35, 0.5])
def test_flags_are_those_of_the_step_up_procedure(seen: Observation, level: float) -> None:
    flagged = anomalies.flag(seen.anomalies, seen.reference, level)
    for _, part in flagged.groupby("source"):
        assert set(np.flatnonzero(part["flagged"])) == by_hand(part["p_value"].tolist(), level)
    assert flagged["flagged"].any()
    assert (flagged["unknown"] == "").all()
    assert (flagged.loc[flagged["flagged"], "score"] >= flagged.loc[flagged["flagged"], "usual"]).all()
    scores = ["image_id", "score", "p_value", "reason", "told_by", "flagged_from"]
    assert flagged[scores].equals(seen.anomalies[scores])  # nothing is scored anew


@pytest.mark.parametrize("level", [0.001, 0.01, 0.1, 0.5])
def test_flags_tried_out_are_those_that_the_settings_would_give(seen: Observation, level: float) -> None:
    anew = anomalies.find(seen.features, NOTHING_EMBEDDED, seen.reference, level)
    tried = anomalies.flag(anomalies.flag(seen.anomalies, seen.reference, 0.003), seen.reference, level)
    assert tried.equals(anew)
    assert list(tried) == list(ANOMALIES)


def test_a_level_that_the_reference_is_too_small_for_is_unknown(seen: Observation) -> None:
    flagged = anomalies.flag(seen.anomalies, seen.reference, 0.001)  # 60 / (.001 * 401) = 150 odd ones of 60
    assert set(flagged["unknown"]) == {
        "the reference has too few images of this source to tell fewer than 150 odd ones of 60"
    }
    assert flagged["usual"].isna().all()
    assert not flagged["flagged"].any()


def test_an_image_is_flagged_from_where_it_says(seen: Observation) -> None:
    first = seen.anomalies["flagged_from"].min()
    assert not anomalies.flag(seen.anomalies, seen.reference, first * 0.999)["flagged"].any()
    here = anomalies.flag(seen.anomalies, seen.reference, first)
    assert set(here["image_id"][here["flagged"]]) == set(
        seen.anomalies["image_id"][seen.anomalies["flagged_from"] == first]
    )


def test_the_slider_flags_and_says_how_many(seen: Observation) -> None:
    part = Anomalies(desk(seen))
    part.refresh()
    assert part.level.value == 0.1
    assert {value for _, value in part.level.options} == set(LEVELS)
    assert "rules.false_flags" not in part.words.value
    before, points = part.spread.png, len(part.images.tiles)
    assert points
    for level in (0.05, 0.2, 0.5):
        part.level.value = level
        expected = sum(len(by_hand(rows["p_value"].tolist(), level)) for _, rows in seen.anomalies.groupby("source"))
        assert len(part.table) == expected
        assert part.table["flagged"].all()
        assert part.table["p_value"].is_monotonic_increasing
        for source, rows in part.table.groupby("source"):
            assert f"{len(rows)} of 60</strong> images of {source}" in part.words.value
            assert f"about {level * len(rows):.2g} ({100 * level:g} %) may be false" in part.words.value
    assert "is 10 %: reports use that" in part.words.value
    assert part.spread.png != before
    assert part.note.value == ""


def test_the_strangest_are_shown_and_their_reasons(seen: Observation) -> None:
    part = Anomalies(desk(seen))
    part.refresh()
    first = part.images.tiles[0]
    judged = seen.anomalies.sort_values("p_value")
    assert first["key"] in set(judged["image_id"].head(10))
    assert judged.set_index("image_id").loc[first["key"], "reason"] in first["caption"]
    assert part.images.tiles[1]["caption"] == "reference, nearest"
    assert part.images.tiles[1]["key"].startswith("then/")
    assert any(box[4].startswith("class") for tile in part.images.tiles for box in tile["said"] + tile["truth"])


def test_a_level_of_your_own_is_on_the_slider(seen: Observation) -> None:
    part = Anomalies(desk(seen, false_flags=0.03))
    assert part.level.value == 0.03
    assert ("3 %", 0.03) in part.level.options


def test_few_images_or_none_are_said(seen: Observation) -> None:
    few = observation(n=8, boxes=10, sources=1, odd=1)
    part = Anomalies(desk(few))
    part.refresh()
    assert "8 images, at least 10 are needed" in part.words.value
    assert part.table.empty
    assert part.images.tiles == []
    none = dataclasses.replace(few, anomalies=few.anomalies[:0], features=few.features[:0])
    part = Anomalies(desk(none))
    part.refresh()
    assert "no image of this window can be read" in part.words.value
    assert part.note.value == ""


def test_names_that_others_chose_are_shown_as_they_are() -> None:
    hostile = "cam <script>alert(1)</script>"
    plain = observation(n=60, sources=1)
    strange = plain.anomalies.assign(source=hostile)
    reference = dataclasses.replace(plain.reference, limits={hostile: None}, prepared={})  # type: ignore[dict-item]
    reference = dataclasses.replace(
        reference, features=reference.features.assign(source=hostile), images=reference.images.assign(source=hostile)
    )
    part = Anomalies(
        desk(dataclasses.replace(
            plain, anomalies=strange, reference=reference, features=plain.features.assign(source=hostile)
        ))
    )  # fmt: skip
    part.refresh()
    assert part.note.value == ""
    assert "<script" not in part.words.value
    assert "alert(1)" in part.words.value
