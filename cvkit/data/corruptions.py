"""Corruptions: what happens to cameras, done to pictures on purpose, in families of three severities.

Lengths are shares of a picture's longer side, so that a corruption looks alike at every size. Each is a function of
the picture, the severity and a seed: the same three give the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Picture = NDArray[np.uint8]  # (rows, columns, 3)
Mask = NDArray[np.bool_]  # (rows, columns)

SEVERITIES = (1, 2, 3)
HIDDEN = 0.5  # share of a labelled box that is covered from which nobody would label it any more
GREY = 114  # of what covers: what detectors pad pictures with


def corrupt(picture: Picture, family: str, severity: int, seed: int = 0) -> Picture:
    """The picture (rows, columns, 3) uint8, corrupted by one of `FAMILIES`; a new array of the same shape.

    - `blur`: Gaussian, standard deviation .002, .004, .008 of the longer side.
    - `noise`: Gaussian, independent over pixels and channels, standard deviation 15, 30, 60 grey levels.
    - `darkness`: times .5, .25, .1. `brightness`: .4, .65, .85 of the way to white.
    - `fog`: .4, .6, .8 of the way to light grey, a fifth more or less in clouds a quarter of the picture wide.
    - `compression`: JPEG of quality 25, 12, 5. `contrast`: .5, .25, .12 of the distance from the mean.
    - `occlusion`: grey rectangles over about .1, .25, .45 of the picture; `covered` says where.

    Raises ValueError on a family or severity that there is not.
    """
    if family not in FAMILIES or severity not in SEVERITIES:
        raise ValueError(f"families are {list(FAMILIES)}, severities {list(SEVERITIES)}, not {family!r}, {severity!r}")
    random = np.random.default_rng([seed, list(FAMILIES).index(family), severity])
    return FAMILIES[family](picture, severity - 1, random)


def covered(shape: tuple[int, ...], severity: int, seed: int = 0) -> Mask:
    """What `occlusion` covers of a picture of this shape (rows, columns, ...)."""
    return _covered(shape, severity - 1, np.random.default_rng([seed, list(FAMILIES).index("occlusion"), severity]))


def visible(corners: ArrayLike, mask: Mask, hidden: float = HIDDEN) -> NDArray[np.bool_]:
    """Which labelled boxes (n, 4: x1, y1, x2, y2 in pixels) stay: less than `hidden` of their pixels are covered.

    A box that holds no whole pixel stays.
    """
    places = np.asarray(corners, dtype=float).reshape(-1, 4)
    total = np.pad(np.cumsum(np.cumsum(mask, axis=0), axis=1), ((1, 0), (1, 0)))
    rows, columns = mask.shape
    x1, x2 = (np.clip(np.rint(places[:, end]), 0, columns).astype(int) for end in (0, 2))
    y1, y2 = (np.clip(np.rint(places[:, end]), 0, rows).astype(int) for end in (1, 3))
    count = total[y2, x2] - total[y1, x2] - total[y2, x1] + total[y1, x1]
    return np.asarray(count < hidden * np.maximum((x2 - x1) * (y2 - y1), 1))


def _blur(picture: Picture, level: int, random: np.random.Generator) -> Picture:
    sigma = (0.002, 0.004, 0.008)[level] * max(picture.shape[:2])
    return _bytes(cv2.GaussianBlur(picture, (0, 0), sigma))


def _noise(picture: Picture, level: int, random: np.random.Generator) -> Picture:
    return _bytes(picture + random.standard_normal(picture.shape, dtype=np.float32) * (15, 30, 60)[level])


def _darkness(picture: Picture, level: int, random: np.random.Generator) -> Picture:
    return _bytes(picture * np.float32((0.5, 0.25, 0.1)[level]))


def _brightness(picture: Picture, level: int, random: np.random.Generator) -> Picture:
    return _towards(picture, 255, np.float32((0.4, 0.65, 0.85)[level]))


def _fog(picture: Picture, level: int, random: np.random.Generator) -> Picture:
    clouds = cv2.resize(random.random((4, 4), dtype=np.float32), picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    share = (0.4, 0.6, 0.8)[level] * (0.8 + 0.4 * np.clip(clouds, 0, 1))
    return _towards(picture, 220, np.minimum(share, 1)[..., np.newaxis])


def _compression(picture: Picture, level: int, random: np.random.Generator) -> Picture:
    written = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, (25, 12, 5)[level]])[1]
    return np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR), dtype=np.uint8)


def _contrast(picture: Picture, level: int, random: np.random.Generator) -> Picture:
    return _towards(picture, picture.mean(axis=(0, 1), dtype=np.float32), np.float32(1 - (0.5, 0.25, 0.12)[level]))


def _occlusion(picture: Picture, level: int, random: np.random.Generator) -> Picture:
    hidden = picture.copy()
    hidden[_covered(picture.shape, level, random)] = GREY
    return hidden


def _covered(shape: tuple[int, ...], level: int, random: np.random.Generator) -> Mask:
    rows, columns = shape[:2]
    mask = np.zeros((rows, columns), dtype=bool)
    while mask.mean() < (0.1, 0.25, 0.45)[level]:
        down, across = (random.uniform(0.08, 0.25, 2) * (rows, columns)).astype(int) + 1
        top, left = int(random.uniform(0, rows - down)), int(random.uniform(0, columns - across))
        mask[top : top + down, left : left + across] = True
    return mask


def _towards(picture: Picture, colour: ArrayLike, share: ArrayLike) -> Picture:
    """`share` of the way from the picture to a colour."""
    return _bytes(picture + (np.asarray(colour, np.float32) - picture) * np.asarray(share, np.float32))


def _bytes(values: ArrayLike) -> Picture:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


FAMILIES: Mapping[str, Callable[[Picture, int, np.random.Generator], Picture]] = {
    "blur": _blur, "noise": _noise, "darkness": _darkness, "brightness": _brightness, "fog": _fog,
    "compression": _compression, "contrast": _contrast, "occlusion": _occlusion,
}  # fmt: skip
