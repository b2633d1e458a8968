"""Pascal VOC's average precision: published worked examples, a slow reading of the devkit, and laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvkit.stats.quality import boxes
from cvkit.stats.quality.pascal import average_precision


def read(folder: Path, names: list[str]) -> tuple[list[int], list[str], np.ndarray]:
    """Image, category and numbers of each line."""
    image, category, numbers = [], [], []
    for i, name in enumerate(names):
        for line in (folder / name).read_text().splitlines():
            if line.strip():
                word, *rest = line.split()
                image.append(i)
                category.append(word)
                numbers.append([float(number) for number in rest])
    return image, category, np.array(numbers)


@pytest.mark.parametrize(("points", "published"), [(None, 24.57), (11, 26.84)])
def test_published_worked_example(shared_data: Path, points: int | None, published: float) -> None:
    folder = shared_data / "metrics" / "odm"
    names = sorted(path.name for path in (folder / "groundtruths").glob("*.txt"))
    image, category, xywh = read(folder / "groundtruths", names)
    true = boxes.truth(image, [0] * len(category), np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]))
    image, category, rows = read(folder / "detections", names)
    score, xywh = rows[:, 0], rows[:, 1:]
    found = boxes.predictions(image, [0] * len(category), np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]), score)
    precision = average_precision(true, found, images=len(names), categories=1, threshold=0.3, points=points)
    assert round(100 * precision.item(), 2) == published


def slow(true: boxes.Truth, found: boxes.Predictions, category: int, threshold: float, points: int | None) -> float:
    """One prediction at a time, as VOCevaldet.m reads."""
    taken: set[int] = set()
    right = []
    labelled = np.count_nonzero((true.category == category) & ~true.ignore)
    for d in sorted(np.flatnonzero(found.category == category), key=lambda d: (-found.score[d], found.image[d], d)):
        best, label = -1.0, -1
        for g in np.flatnonzero((true.category == category) & (true.image == found.image[d])):
            a, b = found.corners[d], true.corners[g]
            w, h = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + 1
            if w > 0 and h > 0:
                overlap = w * h / (np.prod(a[2:] - a[:2] + 1) + np.prod(b[2:] - b[:2] + 1) - w * h)
                if overlap > best:
                    best, label = overlap, int(g)
        if best >= threshold and true.ignore[label]:
            continue
        right.append(best >= threshold and label not in taken)
        if right[-1]:
            taken.add(label)
    if not labelled:
        return float("nan")
    hits = np.cumsum(right)
    recall, precision = hits / labelled, hits / np.arange(1, len(right) + 1)
    if points:
        reached = [precision[recall >= i / 10 - 1e-12] for i in range(11)]
        return float(np.mean([part.max(initial=0) for part in reached]))
    return float(sum(precision[i:].max() / labelled for i in np.flatnonzero(right)))


@pytest.mark.parametrize("points", [None, 11])
def test_equal_to_a_slow_reading_of_the_devkit(points: int | None) -> None:
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n, m = rng.integers(0, 12, 2)
        corner = rng.integers(0, 12, (n, 2))
        true = boxes.truth(
            rng.integers(0, 3, n),
            rng.integers(0, 2, n),
            np.hstack([corner, corner + rng.integers(2, 12, (n, 2))]),
            ignore=rng.random(n) < 0.2,
        )
        corner = rng.integers(0, 12, (m, 2))
        found = boxes.predictions(
            rng.integers(0, 3, m),
            rng.integers(0, 2, m),
            np.hstack([corner, corner + rng.integers(2, 12, (m, 2))]),
            rng.random(m).round(1),
        )
        ours = average_precision(true, found, images=3, categories=2, threshold=0.25, points=points)
        theirs = [slow(true, found, c, 0.25, points) for c in range(2)]
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_real_predictions_and_labels_agree_with_the_slow_reading(shared_data: Path) -> None:
    folder = shared_data / "metrics" / "cartucho"
    names = sorted(path.name for path in (folder / "ground-truth").glob("*.txt"))
    image, words, rows = read(folder / "ground-truth", names)
    kinds = {word: i for i, word in enumerate(sorted(set(words)))}
    true = boxes.truth(image, [kinds[word] for word in words], rows)
    image, words, rows = read(folder / "detection-results", names)
    known = np.array([word in kinds for word in words])
    numbers = [kinds[word] for word in np.array(words)[known]]
    found = boxes.predictions(np.array(image)[known], numbers, rows[known, 1:], rows[known, 0])
    ours = average_precision(true, found, images=len(names), categories=len(kinds))
    np.testing.assert_allclose(ours, [slow(true, found, c, 0.5, None) for c in range(len(kinds))], atol=1e-12)


def test_perfect_empty_and_absent() -> None:
    box = [[0, 0, 9, 9], [20, 0, 29, 9]]
    true = boxes.truth([0, 1], [0, 0], box)
    perfect = average_precision(true, boxes.predictions([0, 1], [0, 0], box, [1, 1]), images=2, categories=2)
    assert perfect[0] == 1
    assert np.isnan(perfect[1])
    nothing = boxes.predictions([], [], [], [])
    assert average_precision(true, nothing, images=2, categories=1, points=11).tolist() == [0]
    with pytest.raises(ValueError, match="two recalls"):
        average_precision(true, nothing, images=2, categories=1, points=1)
