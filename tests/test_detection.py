"""COCO's numbers: published results, pycocotools side by side, stored numbers of it, and laws."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvkit.stats import boxes, detection
from cvkit.stats.box_matching import Matches, match

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
