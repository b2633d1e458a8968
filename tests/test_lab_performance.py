"""Performance in the lab: counts by a matcher written out in loops, intervals as the main job gives them."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lab_tables import desk, observation

from cvkit.lab.performance import NOTHING, Performance
from cvkit.monitoring import performance, slices
from cvkit.monitoring.monitor import Observation
from cvkit.tables import MEASUREMENTS, conform

Box = dict[Any, Any]


@pytest.fixture(scope="module")
def seen() -> Observation:
    return observation(n=90, boxes=330, classes=4, sources=2, seed=3)


@pytest.fixture
def part(seen: Observation) -> Performance:
    made = Performance(desk(seen))
    made.refresh()
    assert made.note.value == ""
    return made


def overlap(one: Box, other: Box) -> float:
    wide = min(one["x2"], other["x2"]) - max(one["x1"], other["x1"])
    high = min(one["y2"], other["y2"]) - max(one["y1"], other["y1"])
    both = max(wide, 0.0) * max(high, 0.0)
    sizes = [(box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) for box in (one, other)]
    return float(both / (sum(sizes) - both))


def pairs(seen: Observation, confidence: float, *, within_classes: bool) -> list[tuple[str, int, int]]:
    """(image, labelled class, predicted class) of every box, -1 where there is none: the surest choose first."""
    told = []
    for image in seen.records.images.loc[seen.records.images["labelled"], "image_id"]:
        true, said = (
            table[table["image_id"] == image].to_dict("records")
            for table in (seen.records.labels, seen.records.predictions)
        )
        free = list(range(len(true)))
        for box in sorted(said, key=lambda one: -one["confidence"]):
            if box["confidence"] < confidence:
                continue
            near = [
                (overlap(box, true[place]), place)
                for place in free
                if not within_classes or true[place]["class_id"] == box["class_id"]
            ]
            best, place = max(near, default=(0.0, -1))
            if best >= 0.5:
                free.remove(place)
                told.append((image, int(true[place]["class_id"]), int(box["class_id"])))
            else:
                told.append((image, -1, int(box["class_id"])))
        told += [(image, int(true[place]["class_id"]), -1) for place in free]
    return told


def ratios(seen: Observation, confidence: float) -> tuple[float, float, float]:
    told = pairs(seen, confidence, within_classes=True)
    found = sum(label >= 0 and said >= 0 for _, label, said in told)
    false, missed = sum(label < 0 for _, label, _ in told), sum(said < 0 for *_, said in told)
    return found / (found + false), found / (found + missed), 2 * found / (2 * found + false + missed)


def shown(part: Performance) -> list[float]:
    """Precision, recall and F1 at the slider's confidence: the second cell of each row."""
    cells = re.findall(r"<td>(.*?)</td>", part.numbers.value)
    return [float(text.split()[0]) for text in cells[1::3]]


@pytest.mark.parametrize("confidence", [0.1, 0.25, 0.4, 0.55, 0.7, 0.85])
def test_the_slider_tells_precision_and_recall(part: Performance, seen: Observation, confidence: float) -> None:
    part.confidence.value = confidence
    wanted = ratios(seen, confidence)
    assert f"at {confidence:.2f}</th>" in part.numbers.value
    assert shown(part) == pytest.approx(wanted, abs=0.0051)
    found = [one for one in pairs(seen, confidence, within_classes=True) if one[1] >= 0 and one[2] >= 0]
    assert f"Of 330 labelled boxes on 90 images {len(found)} were found and {330 - len(found)} missed" in (
        part.numbers.value
    )


def test_the_curve_says_the_same_as_the_slider(part: Performance, seen: Observation) -> None:
    curve = part.known.curve
    assert (np.diff(curve.confidence) < 0).all()
    for place in range(0, len(curve.confidence), 25):
        wanted = ratios(seen, curve.confidence[place])
        told = curve.precision[place], curve.recall[place], curve.f1[place]
        assert told == pytest.approx(wanted, abs=1e-12)


def test_intervals_are_those_of_the_main_job(part: Performance, seen: Observation) -> None:
    known, weights = slices.counted(seen)
    main = performance.measure(known, 0.25, weights)
    assert part.known.deployed == {name: main[name] for name in ("precision", "recall", "f1")}
    quick = performance.at_confidence(known.match(), 0.6, weights)
    for low, high in (one[1:] for one in quick.values()):
        assert 0 <= low < high <= 1


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Images drawn from many more: how often the interval of recall holds what the many give."""
    many = observation(n=2000, boxes=6000, classes=2, sources=1, seed=9)
    known, _ = slices.counted(many)
    truth = performance.at_confidence(known.match(), 0.5)["recall"][0]
    inside = 0
    for seed in range(40):
        ids = np.random.default_rng(seed).choice(many.records.images["image_id"].to_numpy(), 100, replace=False)
        images = many.records.images[many.records.images["image_id"].isin(ids)]
        some = dataclasses.replace(many, records=dataclasses.replace(many.records, images=images))
        _, low, high = performance.at_confidence(slices.counted(some)[0].match(), 0.5)["recall"]
        inside += low <= truth <= high
    assert inside >= 33  # of 40 at 95 %: fewer would be a chance of 1 in 5000


@pytest.mark.parametrize("confidence", [0.2, 0.5, 0.8])
def test_the_confusion_matrix_counts_what_a_slow_matcher_counts(
    part: Performance, seen: Observation, confidence: float
) -> None:
    part.confidence.value = confidence
    names = {**{number: f"class {number} <b>" for number in range(4)}, -1: NOTHING}
    told = pairs(seen, confidence, within_classes=False)
    wanted = Counter((names[label], names[said]) for _, label, said in told)
    counts = {(row["labelled"], row["predicted"]): row["boxes"] for row in part.table.to_dict("records")}
    assert counts == wanted
    images = {pair: len({image for image, *rest in told if tuple(rest) == pair}) for pair in {one[1:] for one in told}}
    for row in part.table.to_dict("records"):
        pair = tuple(
            next(key for key, name in names.items() if name == row[side]) for side in ("labelled", "predicted")
        )
        assert row["images"] == images[pair]  # type: ignore[index]


def test_a_cell_opens_its_images(part: Performance, seen: Observation) -> None:
    told = pairs(seen, 0.25, within_classes=False)
    cell = Counter(one[1:] for one in told if one[1] != one[2] and -1 not in one).most_common(1)[0][0]
    part.picture.chosen = part.cells.index(cell)
    assert {tile["key"] for tile in part.images.tiles} == {image for image, *rest in told if tuple(rest) == cell}
    assert f"labelled class {cell[0]} <b>, predicted class {cell[1]} <b>" in part.images.tiles[0]["caption"]
    assert part.picture.places[part.picture.chosen]["name"] in part.images.tiles[0]["caption"]
    for tile in part.images.tiles:
        labels = seen.records.labels[seen.records.labels["image_id"] == tile["key"]]
        assert sorted(box[0] for box in tile["truth"]) == sorted(labels["x1"])
        assert all(float(box[4].split()[-1]) >= 0.25 for box in tile["said"])
    part.confidence.value = 0.5
    assert part.images.tiles == []  # what was chosen is of another confidence


def test_a_click_on_the_curve_moves_the_slider_and_the_line(part: Performance) -> None:
    part.curve.chosen = 30
    assert part.confidence.value == pytest.approx(0.35)
    assert part.drawn.axes[0].lines[-1].get_xdata() == [0.35, 0.35]
    part.confidence.value = 0.6
    assert part.curve.chosen == 55
    words = part.curve.places[55]["name"]
    for number in shown(part):
        assert f"{number:.2f}" in words


def test_slices_show_their_table_and_open_their_images(part: Performance, seen: Observation) -> None:
    part.view.value = "slices"
    boxes = slices.boxes(seen, slices.image_quality(seen))
    pd.testing.assert_frame_equal(part.table, slices.by(boxes))
    row = part.rows.index("source cam-1")
    part.picture.chosen = row
    assert {tile["key"] for tile in part.images.tiles} <= set(
        seen.records.images["image_id"][seen.records.images["source"] == "cam-1"]
    )
    assert len(part.images.tiles) == min(60, boxes["image_id"][boxes["source"] == "cam-1"].nunique())
    place = part.picture.places[row]
    assert place["name"] == "source cam-1"
    assert 0 < place["y"] < 1
    part.pairs.click()
    pd.testing.assert_frame_equal(part.table, slices.weakest(boxes))


def test_a_pair_of_slices_is_found_by_its_words(seen: Observation) -> None:
    boxes = slices.boxes(seen, slices.image_quality(seen))
    inside = slices.inside(boxes, "class class 1 <b> and source cam-0")
    expected = boxes[(boxes["class"] == "class 1 <b>") & (boxes["source"] == "cam-0")]
    pd.testing.assert_frame_equal(inside, expected)
    assert slices.inside(boxes, "no such slice").empty


def test_eighty_classes_show_those_most_mistaken() -> None:
    seen = observation(n=200, boxes=900, classes=80, sources=2, seed=5)
    part = Performance(desk(seen))
    part.refresh()
    assert part.note.value == ""
    assert part.figure is not None
    assert "10 of 80 classes" in part.figure.get_suptitle()
    assert len(part.cells) == 11 * 11 == len(part.picture.places)
    cells = part.cells
    part.confidence.value = 0.7
    assert part.cells == cells  # the rows stay where they are
    assert part.table["boxes"].sum() == len(pairs(seen, 0.7, within_classes=False))  # and the table has all classes


def test_without_labels_it_says_how_to_get_some() -> None:
    seen = observation(n=30, boxes=60, labelled=0.0)
    rows = [{"source": "cam-0", "feature": "estimate", "metric": name, "value": 0.8, "low": 0.7, "high": 0.9,
             "expected": 0.85} for name in ("precision", "recall")]  # fmt: skip
    estimated = dataclasses.replace(seen, measurements=conform(pd.DataFrame(rows), MEASUREMENTS))
    part = Performance(desk(estimated))
    part.refresh()
    assert part.note.value == ""
    assert "cvkit labels plan --budget" in part.words.value
    assert "recall 0.80 (0.70 to 0.90; reference 0.85)" in part.words.value
    assert part.told.layout.display == "none"
    assert part.table.empty
    part.confidence.value = 0.7  # nobody sees it, and nothing breaks
    assert part.note.value == ""


def test_labels_come_and_go_with_the_window(seen: Observation) -> None:
    place = desk(seen)
    part = Performance(place)
    part.refresh()
    place.observation = lambda: observation(n=30, boxes=60, labelled=0.0)
    part.refresh()
    assert part.told.layout.display == "none"
    part.confidence.value = 0.7  # nobody sees it, and nothing breaks
    place.observation = lambda: seen
    part.refresh()
    assert part.told.layout.display == ""
    assert part.note.value == ""
    assert "at 0.70" in part.numbers.value
    assert len(part.table)


def test_labelled_images_without_predictions_are_all_missed(seen: Observation) -> None:
    silent = dataclasses.replace(
        seen, records=dataclasses.replace(seen.records, predictions=seen.records.predictions[:0])
    )
    part = Performance(desk(silent))
    part.refresh()
    assert part.note.value == ""
    assert "330 missed; 0 predictions found nothing" in part.numbers.value
    assert set(part.table["predicted"]) == {NOTHING}
    part.confidence.value = 0.5
    part.view.value = "slices"
    assert part.note.value == ""


def test_few_images_have_no_interval_and_it_says_so() -> None:
    part = Performance(desk(observation(n=20, boxes=60)))
    part.refresh()
    assert "No interval: that takes 30 images" in part.numbers.value


def test_predictions_that_were_not_kept_are_said(seen: Observation) -> None:
    said = seen.records.predictions
    cut = dataclasses.replace(
        seen, records=dataclasses.replace(seen.records, predictions=said[said["confidence"] >= 0.3])
    )
    part = Performance(desk(cut))
    part.refresh()
    assert "was kept" not in part.numbers.value
    part.confidence.value = 0.25 - 1e-12  # as browsers step
    assert "was kept" not in part.numbers.value
    part.confidence.value = 0.1
    assert "No prediction below 0.3" in part.numbers.value
