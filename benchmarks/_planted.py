"""Real images with planted faults, or with images of another domain among them, as numbers; and made-up sets."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cvkit.data.images import measure
from cvkit.tables import PROPERTIES

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]

SHARED = Path(__file__).parents[2] / "shared" / "data"
DOMAINS = {"coco128": (128, 320), "bccd": (200, 320), "cifar10": (300, 64)}  # images taken; pixels the model sees
OTHERS = {"coco128": "bccd", "bccd": "coco128", "cifar10": "bccd"}  # whose images are strangers there
ODD = 0.15  # share of a window's images that are odd


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """Normal rows to learn from, and a window whose last rows are odd."""

    name: str
    normal: Floats
    window: Floats
    odd: NDArray[np.bool_]


def _jpeg(picture: Picture, quality: int) -> Picture:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def _noisy(picture: Picture) -> Picture:
    noise = np.random.default_rng(0).normal(0, 25, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def _cropped(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    centre = picture[3 * height // 8 : 5 * height // 8, 3 * width // 8 : 5 * width // 8]
    return cv2.resize(centre, (width, height), interpolation=cv2.INTER_LINEAR)


FAULTS: dict[str, Callable[[Picture], Picture]] = {
    "blur": lambda picture: cv2.GaussianBlur(picture, (0, 0), max(1.0, picture.shape[1] / 160)),
    "dark": lambda picture: (picture * 0.3).astype(np.uint8),
    "jpeg": lambda picture: _jpeg(picture, 6),
    "noise": _noisy,
    "crop": _cropped,
    "inverted": lambda picture: 255 - picture,
}


def images(seed: int, embed: bool = True) -> Iterator[Planted]:
    """One set for each domain, fault and kind of numbers; none where the shared images are not there.

    Sets of one domain and kind follow each other and have the very same normal rows.
    """
    if not (SHARED / "coco128").is_dir():
        return
    numbers = {name: _numbers(name, embed) for name in DOMAINS}
    rng = np.random.default_rng(seed)
    for name, kinds in numbers.items():
        count = DOMAINS[name][0]
        order = rng.permutation(count)
        fitted, plain = order[: count // 2], order[count // 2 :]
        odd = plain[: max(6, round(ODD * len(plain)))]
        for kind, rows in kinds.items():
            strange = {fault: rows[fault][odd] for fault in FAULTS}
            strange["other"] = numbers[OTHERS[name]][kind]["clean"][: len(odd)]
            normal, usual = rows["clean"][fitted], rows["clean"][plain[len(odd) :]]
            for fault, odd_rows in strange.items():
                yield _set(f"{name}_{kind}_{fault}", normal, usual, odd_rows)


def made_up(seed: int, n: int = 600, d: int = 12) -> Iterator[Planted]:
    """Sets drawn from known laws: alike columns, heavy tails, skew, clusters, a hidden plane, many columns."""
    rng = np.random.default_rng(seed)
    few = round(ODD * n / 2)
    mixing = rng.normal(size=(d, d))
    mixed = rng.normal(size=(2 * n, d)) @ mixing
    apart = rng.normal(size=(few, d)) * mixed.std(axis=0)
    yield _set("made_broken_correlation", mixed[:n], mixed[n:], apart)
    heavy = rng.standard_t(3, size=(2 * n, d))
    yield _set("made_heavy_tails", heavy[:n], heavy[n:], rng.standard_t(3, size=(few, d)) + 2.0)
    skewed = rng.lognormal(size=(2 * n, d)) * 10.0 ** rng.integers(-3, 4, d)
    raised = skewed[n : n + few] * np.where(rng.random((few, d)) < 0.3, 8, 1)
    yield _set("made_lognormal", skewed[:n], skewed[n:], raised)
    centres = rng.normal(size=(4, d)) * 4
    clusters = centres[rng.integers(0, 4, 2 * n)] + rng.normal(size=(2 * n, d))
    yield _set("made_clusters", clusters[:n], clusters[n:], rng.normal(size=(few, d)) * clusters.std(axis=0))
    plane = rng.normal(size=(2 * n, 3)) @ rng.normal(size=(3, 4 * d)) + 0.1 * rng.normal(size=(2 * n, 4 * d))
    off = plane[:few] + 0.3 * rng.normal(size=(few, 4 * d))
    yield _set("made_plane", plane[n:], plane[:n], off)
    single = rng.normal(size=(2 * n, d))
    one = rng.normal(size=(few, d))
    one[np.arange(few), rng.integers(0, d, few)] += 5
    yield _set("made_one_column", single[:n], single[n:], one)
    many = rng.normal(size=(2 * n, 256)) * np.geomspace(1, 0.05, 256)
    yield _set("made_many_columns", many[:n], many[n:], many[:few] + 0.3 * rng.normal(size=(few, 256)))


def _set(name: str, normal: Floats, usual: Floats, odd: Floats) -> Planted:
    return Planted(name, normal, np.concatenate([usual, odd]), np.arange(len(usual) + len(odd)) >= len(usual))


_kept: dict[tuple[str, bool], dict[str, dict[str, Floats]]] = {}


def _numbers(domain: str, embed: bool) -> dict[str, dict[str, Floats]]:
    """Rows of every image, by kind of numbers and fault."""
    if (domain, embed) not in _kept:
        count, size = DOMAINS[domain]
        paths = sorted((SHARED / domain).rglob("*.jpg"))
        chosen = np.random.default_rng(0).permutation(len(paths))[:count]
        pictures = [cv2.imread(str(paths[i])) for i in chosen]
        versions = {"clean": pictures} | {fault: [make(p) for p in pictures] for fault, make in FAULTS.items()}
        kinds = {"properties": {fault: _properties(made) for fault, made in versions.items()}}
        if embed:
            model = _model()
            kinds["embedding"] = {fault: _embedded(model, made, size) for fault, made in versions.items()}
        _kept[domain, embed] = kinds
    return _kept[domain, embed]


def _properties(pictures: list[Picture]) -> Floats:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "picture.jpg")
        rows = []
        for picture in pictures:
            cv2.imwrite(path, picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
            facts = measure(path)
            rows.append([getattr(facts, name) for name in PROPERTIES])
    return np.array(rows, dtype=np.float64)


def _model() -> Any:
    from cvkit.data.yolo import prepare_environment

    prepare_environment(Path(tempfile.mkdtemp()))
    from ultralytics import YOLO

    return YOLO(str(SHARED / "weights" / "yolo26n.pt"))


def _embedded(model: Any, pictures: list[Picture], size: int) -> Floats:
    """Embeddings at length 1, as cvkit gives them to its scores."""
    found = [
        row.cpu().numpy()
        for start in range(0, len(pictures), 16)
        for row in model.embed(pictures[start : start + 16], imgsz=size, verbose=False)
    ]
    rows = np.array(found, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
