"""What the model says of each class, against the reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cvkit.monitoring import classes
from cvkit.tables import BOXES, conform


def boxes(rows: list[tuple[str, int, float]]) -> pd.DataFrame:
    return conform(pd.DataFrame(rows, columns=["image_id", "class_id", "confidence"]), BOXES)


def by_image(predictions: pd.DataFrame, images: pd.Series) -> classes.ByImage:
    """What `predictions` (table BOXES) say of each of `images` (ids)."""
    at = pd.Index(images).get_indexer(predictions["image_id"])
    mine = at >= 0
    return classes.counted(
        len(images), at[mine], predictions["class_id"].to_numpy()[mine], predictions["confidence"].to_numpy()[mine]
    )


def test_boxes_and_confidence_of_each_class() -> None:
    images = pd.Series(["a", "b", "c", "d"])
    now = by_image(boxes([("a", 0, 0.5), ("a", 0, 0.7), ("b", 0, 0.9), ("a", 1, 0.4), ("x", 1, 0.1)]), images)
    then = by_image(boxes([("a", 0, 0.8), ("b", 0, 0.8), ("c", 2, 0.3)]), images)
    rows = list(classes.measure(now, classes.Usual(then, None), {0: "cat", 1: "dog"}))
    found = {(row["feature"], row["class_name"]): row for row in rows}
    cats, sure = found["class_boxes", "cat"], found["class_confidence", "cat"]
    assert (cats["value"], cats["expected"], cats["n"]) == (3 / 4, 2 / 4, 4)
    assert sure["value"] == pytest.approx((0.6 + 0.9) / 2)
    assert (sure["expected"], sure["n"]) == (pytest.approx(0.8), 2)
    assert found["class_boxes", "dog"]["expected"] == 0.0
    assert np.isnan(found["class_confidence", "dog"]["expected"])
    assert found["class_boxes", "2"]["value"] == 0.0  # a class without a name, of the reference only
    assert np.isnan(found["class_confidence", "2"]["value"])


def test_only_so_many_classes_are_measured_the_most_frequent() -> None:
    many = [("a", number, 0.5) for number in range(50)] + [("b", number, 0.5) for number in range(30, 50)]
    part = by_image(boxes(many), pd.Series(["a", "b"]))
    names = {int(row["class_name"]) for row in classes.measure(part, classes.Usual(part, None), {})}
    assert names == set(range(30, 50))
    assert len(names) == classes.MOST_CLASSES


def test_without_boxes_nothing_is_said() -> None:
    nothing = by_image(boxes([]), pd.Series(["a"]))
    assert list(classes.measure(nothing, classes.Usual(nothing, None), {})) == []
