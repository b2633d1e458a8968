"""COCO's numbers: published results, pycocotools side by side, stored numbers of it, and laws."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvkit.stats.change import overlap
from cvkit.stats.quality import boxes, detection
from cvkit.stats.quality.box_matching import Matches, match, ranks_within

PUBLISHED = (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564)


def corners(xywh: Any) -> np.ndarray:
    box = np.asarray(xywh, dtype=float).reshape(-1, 4)
    return np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)


def from_coco(truth: dict, results: list[dict]) -> Matches:
    """As a reader of COCO's files would number them."""
    images = {image["id"]: i for i, image in enumerate(sorted(truth["images"], key=lambda image: image["id"]))}
    categories = {c["id"]: i for i, c in enumerate(sorted(truth["categories"], key=lambda c: c["id"]))}
    labels = truth["annotations"]
    found = boxes.predictions(
        [images[r["image_id"]] for r in results],
        [categories[r["category_id"]] for r in results],
        corners([r["bbox"] for r in results]),
        [r["score"] for r in results],
    )
    true = boxes.truth(
        [images[a["image_id"]] for a in labels],
        [categories[a["category_id"]] for a in labels],
        corners([a["bbox"] for a in labels]),
        area=[a["area"] for a in labels],
        crowd=[a["iscrowd"] for a in labels],
        ignore=[a.get("ignore", 0) for a in labels],
    )
    return match(true, found, images=len(images), categories=len(categories))


def pycocotools(truth: dict, results: list[dict]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The twelve numbers, precision (T, R, C, A) and recall (T, C, A) of the original; `ignore` honoured."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    cocoeval = pytest.importorskip("pycocotools.cocoeval", reason="pycocotools is not installed")

    class Evaluation(cocoeval.COCOeval):  # type: ignore[misc]
        def _prepare(self) -> None:
            super()._prepare()  # which overwrites `ignore` with `iscrowd`
            for labels in self._gts.values():
                for label in labels:
                    label["ignore"] = bool(label["iscrowd"] or label.get("spare", 0))

    with contextlib.redirect_stdout(io.StringIO()):
        there = coco.COCO()
        there.dataset = json.loads(json.dumps(truth))
        for label in there.dataset["annotations"]:
            label["spare"] = label.get("ignore", 0)
        there.createIndex()
        found = there.loadRes(json.loads(json.dumps(results))) if results else coco.COCO()
        evaluation = Evaluation(there, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats, evaluation.eval["precision"][..., -1], evaluation.eval["recall"][..., -1]


def assert_equal_to_pycocotools(truth: dict, results: list[dict]) -> None:
    stats, precision, recall = pycocotools(truth, results)
    ours = detection.accumulate(detection.tally(from_coco(truth, results)))
    theirs = np.where(precision[:, 0] < 0, np.nan, precision.mean(axis=1))
    np.testing.assert_allclose(ours.precision[0], theirs.transpose(1, 2, 0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(ours.recall[0], np.where(recall < 0, np.nan, recall).transpose(1, 2, 0), atol=1e-9)
    np.testing.assert_allclose(detection.summary(ours)[0], np.where(stats < 0, np.nan, stats), rtol=0, atol=1e-9)


def made_up(seed: int) -> tuple[dict, list[dict]]:
    """A small set with everything that is awkward: ties, crowds, duplicates, empty images, sizes at the limits."""
    rng = np.random.default_rng(seed)
    images, categories = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    grid = rng.choice([0, 1, 2, 7])  # decimals of the coordinates; 0 makes exact ties of IoU likely
    labels = []
    for i in range(int(rng.integers(0, 14))):
        side = rng.choice([8, 20, 32, 60, 96, 120], 2) * (1 if grid < 2 else rng.uniform(0.9, 1.1, 2))
        box = np.round([*rng.uniform(0, 40, 2), *side], grid).tolist()
        if labels and rng.random() < 0.15:
            box = labels[-1]["bbox"]
        if rng.random() < 0.05:
            box[2] = 0.0
        area = box[2] * box[3] * (1 if rng.random() < 0.6 else rng.uniform(0.4, 1))
        labels.append(
            {
                "id": i + 1,
                "image_id": int(rng.integers(images)) + 1,
                "category_id": int(rng.integers(categories)) + 1,
                "bbox": box,
                "area": area,
                "iscrowd": int(rng.random() < 0.12),
                "ignore": int(rng.random() < 0.1),
            }
        )
    results = []
    for label in labels:
        for _ in range(int(rng.integers(0, 4))):
            wide = rng.choice([0, 0.05, 0.2]) * 20
            box = np.round(np.array(label["bbox"]) + rng.uniform(-wide, wide, 4), grid)
            box[2:] = np.maximum(box[2:], 0)
            category = label["category_id"] if rng.random() < 0.85 else int(rng.integers(categories)) + 1
            score = float(np.round(rng.random(), rng.choice([1, 3])))
            results.append(
                {"image_id": label["image_id"], "category_id": category, "bbox": box.tolist(), "score": score}
            )
    if seed % 10 == 0 and labels:  # more than 100 in one image and category
        many = [{**results[i % len(results)], "score": float(rng.random())} for i in range(130)] if results else []
        results += [{**r, "image_id": 1, "category_id": 1} for r in many]
    truth = {
        "images": [{"id": i + 1} for i in range(images)],
        "categories": [{"id": c + 1} for c in range(categories)],
        "annotations": labels,
    }
    return truth, [results[i] for i in rng.permutation(len(results))]


# -- oracles --------------------------------------------------------------------------------------------------------


def test_published_results_of_coco(shared_data: Path) -> None:
    folder = shared_data / "metrics" / "cocoapi_results"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    numbers = detection.coco(from_coco(truth, results))
    assert [round(value, 3) for value in numbers.values()] == pytest.approx(PUBLISHED, abs=1e-12)
    assert_equal_to_pycocotools(truth, results)


@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_equal_to_pycocotools_on_awkward_cases(first: int) -> None:
    for seed in range(first, first + 100):
        truth, results = made_up(seed)
        if results:
            assert_equal_to_pycocotools(truth, results)


def test_ties_of_decimals_are_decided_as_by_pycocotools() -> None:
    """IoU of .5 to .95 and areas of 32^2 and 96^2 exactly, but for the rounding of corners."""
    rng = np.random.default_rng(0)
    labels, results = [], []
    for i in range(600):
        x, y = rng.uniform(0, 500, 2).round(2)
        wide = round(20 * int(rng.integers(1, 300)) / 100, 2)
        high = round(float(rng.choice([1024, 9216])) / wide, 2) if i % 2 else round(rng.uniform(5, 90), 2)
        share = 0.5 + 0.05 * int(rng.integers(10))
        common = {"image_id": i % 40 + 1, "category_id": i // 40 + 1}
        area = wide * high
        labels.append({"id": i + 1, "bbox": [x, y, wide, high], "area": area, "iscrowd": i % 7 == 0, **common})
        box = [x, y, round(wide * share, 2), high] if i % 3 else [x, y, wide, high]
        results.append({"bbox": box, "score": round(rng.random(), 3), **common})
    truth = {"images": [{"id": i + 1} for i in range(40)], "categories": [{"id": c + 1} for c in range(15)]}
    assert_equal_to_pycocotools({**truth, "annotations": labels}, results)


STORED = json.loads((Path(__file__).parent / "pycocotools_cases.json").read_text())


@pytest.mark.parametrize("case", range(len(STORED["cases"])))
def test_stored_numbers_of_pycocotools(case: int) -> None:
    stored = STORED["cases"][case]
    expected = [math.nan if value is None else value for value in stored["numbers"]]
    numbers = list(detection.coco(from_coco(stored["truth"], stored["results"])).values())
    np.testing.assert_allclose(numbers, expected, rtol=0, atol=1e-9)


def test_sides_are_read_back_exactly() -> None:
    """Sums of decimals are rounded; the widths COCO's files hold are found again, so that ties stay ties."""
    rng = np.random.default_rng(0)
    xywh = np.concatenate([rng.uniform(0, 4000, (20_000, 2)), rng.uniform(0, 900, (20_000, 2))], axis=1)
    for box in (xywh.round(2), xywh.round(4), xywh.astype(np.float32).astype(float)):
        np.testing.assert_array_equal(boxes.sides(corners(box)), box[:, 2:])


def test_iou_of_pairs_worked_by_hand() -> None:
    one = np.array([[0, 0, 10, 10.0]] * 5)
    other = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 2, 8], [0, 0, 100, 100.0]])
    assert overlap.iou(one, other).tolist() == pytest.approx([1, 1 / 3, 0, 0, 0.01], rel=1e-15)
    crowd = np.ones(5, dtype=bool)
    assert overlap.iou(one, other, crowd).tolist() == [1, 0.5, 0, 0, 1]
    nothing = np.array([[3.0, 3, 3, 3]])
    assert overlap.iou(nothing, nothing).tolist() == [0]


# -- laws -----------------------------------------------------------------------------------------------------------


def scene(
    seed: int, images: int = 6, categories: int = 3, labels: int = 40, predicted: int = 60
) -> tuple[boxes.Truth, boxes.Predictions]:
    """Boxes without ties of score; about half of the predictions lie near a labelled box."""
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 200, (labels, 2)), rng.uniform(5, 150, (labels, 2))
    box = np.hstack([corner, corner + size])
    true = boxes.truth(rng.integers(images, size=labels), rng.integers(categories, size=labels), box)
    near = rng.integers(labels, size=predicted)
    moved = box[near] + rng.normal(0, 0.06, (predicted, 4)) * np.tile(size[near], 2)
    image = np.where(rng.random(predicted) < 0.8, true.image[near], rng.integers(images, size=predicted))
    found = boxes.predictions(image, true.category[near], moved, rng.permutation(predicted) / predicted)
    return true, found


def matched(seed: int, images: int = 6, categories: int = 3) -> Matches:
    return match(*scene(seed, images, categories), images=images, categories=categories)


def copied(part: Any, times: np.ndarray) -> Any:
    """Boxes of each image as often as said, each time as a further image."""
    rows = np.repeat(np.arange(part.image.size), times[part.image])
    copy = ranks_within(rows)
    values = {name: getattr(part, name)[rows] for name in type(part).__slots__}
    values["image"] = part.image[rows] + copy * times.size
    return type(part)(**values)


@pytest.mark.parametrize("seed", range(20))
def test_weights_are_copies_of_images(seed: int) -> None:
    true, found = scene(seed)
    times = np.random.default_rng(seed).integers(0, 4, 6)
    weighted = detection.accumulate(detection.tally(match(true, found, images=6, categories=3)), times)
    many = match(copied(true, times), copied(found, times), images=24, categories=3)
    plain = detection.accumulate(detection.tally(many))
    for name in ("precision", "recall", "recall_few"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(plain, name), rtol=0, atol=1e-12)


def test_weights_of_one_or_two_or_of_a_part() -> None:
    matches = matched(1)
    counts = detection.tally(matches)
    plain = detection.summary(detection.accumulate(counts))
    rows = np.vstack([np.ones(6), np.full(6, 2), np.full(6, 0.5)])
    several = detection.summary(detection.accumulate(counts, rows))
    np.testing.assert_allclose(several, np.repeat(plain, 3, axis=0), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(several[:2], np.repeat(plain, 2, axis=0))
    assert list(detection.coco(matches).values()) == plain[0].tolist()
    part = np.array([1, 0, 1, 0, 0, 1])
    true, found = scene(1)
    alone = match(copied(true, part), copied(found, part), images=6, categories=3)
    np.testing.assert_array_equal(list(detection.coco(matches, part).values()), list(detection.coco(alone).values()))


def test_weights_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = detection.tally(matched(2))
    weights = np.random.default_rng(0).integers(0, 3, (50, 6))
    whole = detection.summary(detection.accumulate(counts, weights))
    monkeypatch.setattr(detection, "CELLS", 100)
    np.testing.assert_array_equal(detection.summary(detection.accumulate(counts, weights)), whole)


def test_pairs_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = matched(3)
    monkeypatch.setattr("cvkit.stats.quality.box_matching.PAIRS", 10)
    parts = matched(3)
    for name in ("hit", "ignored", "partner"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_perfect_predictions_score_one_and_none_zero() -> None:
    true, _ = scene(4)
    perfect = boxes.predictions(true.image, true.category, true.corners, np.linspace(0.1, 1, true.image.size))
    numbers = detection.coco(match(true, perfect, images=6, categories=3))
    assert {name: value for name, value in numbers.items() if value != pytest.approx(1, abs=1e-12)}.keys() == {"AR_1"}
    nothing = boxes.predictions([], [], [], [])
    assert set(detection.coco(match(true, nothing, images=6, categories=3)).values()) == {0}


def test_nothing_to_find_is_not_known() -> None:
    _, found = scene(5)
    nobody = boxes.truth([], [], [])
    assert all(math.isnan(value) for value in detection.coco(match(nobody, found, images=6, categories=3)).values())
    nothing = boxes.predictions([], [], [], [])
    assert math.isnan(detection.coco(match(nobody, nothing, images=0, categories=0))["AP"])
    counts = detection.tally(matched(5))
    assert np.isnan(detection.summary(detection.accumulate(counts, np.zeros(6)))).all()
    assert detection.summary(detection.accumulate(counts, np.empty((0, 6)))).shape == (0, 12)


@pytest.mark.parametrize("seed", range(10))
def test_without_a_false_positive_precision_does_not_fall(seed: int) -> None:
    true, found = scene(seed, labels=15, predicted=40)
    before = match(true, found, images=6, categories=3)
    false = before.order[~before.hit.any(axis=(0, 1)) & ~before.ignored.any(axis=(0, 1))]
    for row in false[:5]:
        fewer = boxes.Predictions(*(np.delete(getattr(found, name), row, axis=0) for name in found.__slots__))
        one, other = (
            detection.accumulate(detection.tally(m)) for m in (before, match(true, fewer, images=6, categories=3))
        )
        known = ~np.isnan(one.precision[:, :, 0])
        assert np.all(other.precision[:, :, 0][known] >= one.precision[:, :, 0][known])


def test_the_order_of_rows_and_the_input_do_not_matter() -> None:
    true, found = scene(6)
    before = [getattr(found, name).copy() for name in found.__slots__]
    numbers = detection.coco(match(true, found, images=6, categories=3))
    order = np.random.default_rng(0).permutation(found.image.size)
    shuffled = boxes.Predictions(*(getattr(found, name)[order] for name in found.__slots__))
    assert detection.coco(match(true, shuffled, images=6, categories=3)) == numbers
    for name, value in zip(found.__slots__, before, strict=True):
        np.testing.assert_array_equal(getattr(found, name), value)


# -- contract -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corners": [[0, 0, 5, 5], [0, 0, math.nan, 5]]}, r"1 of 2 boxes have corners that are not finite.*row 1"),
        ({"corners": [[9, 0, 5, 5], [0, 9, 5, 5]]}, r"2 of 2 boxes have corners in the wrong order.*row 0"),
        ({"corners": [[0, 0, 5], [0, 0, 5]]}, r"expected \(n, 4\), found \(2, 3\)"),
        ({"score": [0.5, 1.5]}, r"1 of 2 boxes have a score outside 0..1; the first is row 1"),
        ({"score": [math.nan, 0.5]}, "the first is row 0"),
        ({"score": [0.5]}, "2 boxes, 1 values of score"),
        ({"image": [0, -1]}, "number of image"),
        ({"category": [0.5, math.nan]}, "2 of 2 boxes have a number of category"),
    ],
)
def test_faulty_predictions_are_refused(changes: dict, message: str) -> None:
    sound = {"image": [0, 0], "category": [0, 0], "corners": [[0, 0, 5, 5], [0, 0, 5, 5]], "score": [0.5, 0.5]}
    with pytest.raises(ValueError, match=message):
        boxes.predictions(**{**sound, **changes})


def test_faulty_truth_and_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 1 boxes have an area"):
        boxes.truth([0], [0], [[0, 0, 5, 5]], area=[math.nan])
    true, found = scene(7)
    with pytest.raises(ValueError, match=r"image 0\.\.1, but one is of image 5"):
        match(true, found, images=2, categories=3)
    with pytest.raises(ValueError, match=r"thresholds of IoU lie in \(0, 1\]"):
        match(true, found, images=6, categories=3, thresholds=[0.0])
    matches = match(true, found, images=6, categories=3, areas=[(0, 100)])
    with pytest.raises(ValueError, match="all, small, medium"):
        detection.coco(matches)
    with pytest.raises(ValueError, match="6 units"):
        detection.accumulate(detection.tally(matches), np.ones(5))
    with pytest.raises(ValueError, match="not negative"):
        detection.accumulate(detection.tally(matches), -np.ones(6))
