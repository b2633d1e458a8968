"""A generated production line seen by three cameras: healthy days, and three weeks with planted faults.

Everything follows from a seed, frame by frame, so that the same seed gives the same bytes in any order.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CAMERAS = ("cam-1", "cam-2", "cam-3")
CLASSES = ("washer", "nut", "bolt")  # what the model was taught; a spring is class 3
SPRING = len(CLASSES)
FIRST_DAY, DAYS = date(2026, 10, 1), 21
REFERENCE_FIRST_DAY, REFERENCE_DAYS = date(2026, 9, 16), 14
OLD_FIRST_DAY, OLD_DAYS = date(2026, 9, 8), 5  # of the kind that the model was trained on
FRAMES_A_DAY = 24
LABELS_AFTER = timedelta(days=1, hours=17)  # from a day's beginning until people have labelled it
END = datetime.combine(FIRST_DAY + timedelta(days=DAYS), time(), UTC)
DIRTY_CAMERA, DIRTY_FROM = "cam-1", date(2026, 10, 10)
FROZEN_CAMERA, FROZEN_DAYS = "cam-2", (date(2026, 10, 13), date(2026, 10, 14))
SPRING_CAMERA, SPRING_FROM = "cam-2", date(2026, 10, 16)

WIDTH, HEIGHT = 160, 128  # pixels
IMAGE_SIZE = 160  # what the model is run at
JPEG_QUALITY = 90
OVERSAMPLING = 3  # shapes are drawn larger and scaled down, for smooth edges

Picture = NDArray[np.uint8]  # (HEIGHT, WIDTH, 3), BGR
Step = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Condition:
    """What is the matter with a frame."""

    dirt: float = 0.0  # of the lens, 0 clean - 1 hardly anything to see
    springs: bool = False  # whether springs are among the parts


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture and the truth about it."""

    picture: Picture
    classes: tuple[int, ...]
    boxes: NDArray[np.float64]  # (parts, 4): x1, y1, x2, y2 in pixels


def condition(camera: str, day: date) -> Condition:
    """What was planted on `camera` on `day`: dirt that grows over the days, springs from a day on."""
    dirt = 0.0
    if camera == DIRTY_CAMERA and day >= DIRTY_FROM:
        last = FIRST_DAY + timedelta(days=DAYS - 1)
        dirt = 0.35 + 0.65 * (day - DIRTY_FROM).days / (last - DIRTY_FROM).days
    return Condition(dirt, springs=camera == SPRING_CAMERA and day >= SPRING_FROM)


def frame(seed: int, camera: str, day: date, number: int, state: Condition = Condition()) -> Frame:
    """Frame `number` of a day. Light varies a little from day to day and over the day, as on any healthy line."""
    place = CAMERAS.index(camera)
    of_day = np.random.default_rng([seed, place, day.toordinal()])
    of_frame = np.random.default_rng([seed, place, day.toordinal(), number + 1])
    light = of_day.normal(0, 2.0) + 2.0 * math.sin(2 * math.pi * number / FRAMES_A_DAY)
    canvas = _belt(of_frame, place)
    parts = list(_place_parts(of_frame, state.springs))
    for part in parts:
        _draw(canvas, part)
    picture = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    picture = _see_through(picture, state.dirt, seed, place)
    picture += light + of_frame.normal(0, 3.0, (HEIGHT, WIDTH, 1)) + _tint(place)
    boxes = np.array([part.box for part in parts]).reshape(-1, 4)
    return Frame(np.clip(picture, 0, 255).astype(np.uint8), tuple(part.kind for part in parts), boxes)


def write_world(folder: Path, seed: int = 0, progress: Step = lambda done, total: None) -> None:
    """Write captures with their true labels, and the labelled reference the model was accepted on, below `folder`.

    `captures/CAMERA/DATE/TIME.jpg` and `labels/CAMERA/DATE/TIME.txt` for 21 days, `reference/` as an Ultralytics data
    set of earlier, healthy days: 14 as `val`, and as `train` 5 that stand for what the model was trained on.
    """
    jobs = [*_days(FIRST_DAY, DAYS, folder / "captures", folder / "labels")]
    reference = folder / "reference"
    for split, first, days in (("val", REFERENCE_FIRST_DAY, REFERENCE_DAYS), ("train", OLD_FIRST_DAY, OLD_DAYS)):
        jobs += _days(first, days, reference / "images" / split, reference / "labels" / split)
    for done, (camera, day, images, labels) in enumerate(jobs):
        _write_day(seed, camera, day, images, labels)
        progress((done + 1) * FRAMES_A_DAY, len(jobs) * FRAMES_A_DAY)
    # no `path`: Ultralytics then looks beside this file, and would read `path: .` from the folder it was started in
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(CLASSES))
    (reference / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames:\n{names}\n")


def _days(first: date, days: int, images: Path, labels: Path) -> Iterator[tuple[str, date, Path, Path]]:
    for camera in CAMERAS:
        for day in (first + timedelta(days=i) for i in range(days)):
            yield camera, day, images / camera / day.isoformat(), labels / camera / day.isoformat()


def _write_day(seed: int, camera: str, day: date, images: Path, labels: Path) -> None:
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    state = condition(camera, day)
    clock = np.random.default_rng([seed, 99, CAMERAS.index(camera), day.toordinal()])
    frozen = camera == FROZEN_CAMERA and day in FROZEN_DAYS
    came = (datetime.combine(day, time(), UTC) + LABELS_AFTER).timestamp()
    for number in range(FRAMES_A_DAY):
        minutes = number * 24 * 60 / FRAMES_A_DAY + clock.uniform(0, 20)
        name = f"{int(minutes // 60):02d}{int(minutes % 60):02d}{int(minutes * 60 % 60):02d}"
        shown = frame(seed, camera, FROZEN_DAYS[0], 0) if frozen else frame(seed, camera, day, number, state)
        (images / f"{name}.jpg").write_bytes(encode(shown.picture))
        (labels / f"{name}.txt").write_text(yolo_labels(shown))
        os.utime(labels / f"{name}.txt", (came, came))


def encode(picture: Picture) -> bytes:
    """A picture as the bytes of a JPEG file."""
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def yolo_labels(shown: Frame) -> str:
    """The truth about a frame as YOLO label lines: class, centre and size as shares of the picture."""
    lines = []
    for kind, (x1, y1, x2, y2) in zip(shown.classes, shown.boxes, strict=True):
        centre = (x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT
        lines.append(f"{kind} {centre[0]:.6f} {centre[1]:.6f} {(x2 - x1) / WIDTH:.6f} {(y2 - y1) / HEIGHT:.6f}\n")
    return "".join(lines)


# -- parts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    kind: int
    outlines: tuple[NDArray[np.float64], ...]  # pixels; the first is filled, the others are holes or lines
    grey: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        points = self.outlines[0]
        (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
        return max(x1, 0.0), max(y1, 0.0), min(x2, float(WIDTH)), min(y2, float(HEIGHT))


def _place_parts(rng: np.random.Generator, springs: bool) -> Iterator[_Part]:
    """Up to four parts that do not touch: on a belt they lie side by side."""
    taken: list[tuple[float, float, float]] = []
    kinds = list(rng.integers(0, len(CLASSES), rng.integers(1, 5)))
    if springs and rng.random() < 0.6:
        kinds[0] = SPRING
    for kind in kinds:
        radius = rng.uniform(11, 17)
        for _ in range(20):
            x, y = rng.uniform(radius, WIDTH - radius), rng.uniform(22 + radius, HEIGHT - 22 - radius)
            if all(math.hypot(x - a, y - b) > radius + r + 2 for a, b, r in taken):
                taken.append((x, y, radius))
                yield _part(rng, int(kind), x, y, radius)
                break


def _part(rng: np.random.Generator, kind: int, x: float, y: float, radius: float) -> _Part:
    turn = rng.uniform(0, 2 * math.pi)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    outlines = tuple(shape @ rotation.T * radius + (x, y) for shape in _SHAPES[kind])
    return _Part(kind, outlines, rng.uniform(165, 205))


def _ring(radius: float, corners: int) -> NDArray[np.float64]:
    angles = np.arange(corners) * 2 * math.pi / corners
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _spring() -> NDArray[np.float64]:
    """A zigzag band, as a closed outline."""
    along = np.linspace(-0.95, 0.95, 11)
    across = np.where(np.arange(11) % 2 == 0, -0.3, 0.3)
    upper = np.stack([along, across + 0.12], axis=1)
    lower = np.stack([along, across - 0.12], axis=1)
    return np.concatenate([upper, lower[::-1]])


_BOLT = np.array([[-1, -0.38], [-0.45, -0.38], [-0.45, -0.17], [1, -0.17], [1, 0.17], [-0.45, 0.17], [-0.45, 0.38],
                  [-1, 0.38]])  # fmt: skip
_SHAPES = {
    0: (_ring(0.9, 40), _ring(0.45, 40)),
    1: (_ring(1.0, 6), _ring(0.4, 24)),
    2: (_BOLT,),
    SPRING: (_spring(),),
}


def _draw(canvas: Picture, part: _Part) -> None:
    """A part with its shadow and a lighter edge where the lamp is."""
    fixed = [np.round(outline * OVERSAMPLING * 16).astype(np.int32) for outline in part.outlines]
    offset = 16 * OVERSAMPLING
    cv2.fillPoly(canvas, [points + 2 * offset for points in fixed], (48, 50, 52), cv2.LINE_AA, 4)
    grey = part.grey
    cv2.fillPoly(canvas, fixed, (grey, grey - 4, grey - 8), cv2.LINE_AA, 4)
    cv2.polylines(canvas, fixed, True, (grey + 40, grey + 40, grey + 38), OVERSAMPLING, cv2.LINE_AA, 4)


# -- belt, light and lens -------------------------------------------------------------------------------------------


def _belt(rng: np.random.Generator, place: int) -> Picture:
    """The empty belt between its rails, large; ribs stand wherever the belt has moved to."""
    height, width = HEIGHT * OVERSAMPLING, WIDTH * OVERSAMPLING
    canvas = np.full((height, width, 3), (74, 80, 78), np.uint8)
    moved, rib = int(rng.integers(0, 20 * OVERSAMPLING)), 20 * OVERSAMPLING
    for x in range(moved - rib, width, rib):
        cv2.line(canvas, (x, 0), (x, height), (64, 69, 68), 2 * OVERSAMPLING)
    rail = (14 + 2 * place) * OVERSAMPLING
    for top, colour in ((0, (120, 110, 96)), (height - rail, (108, 100, 88))):
        cv2.rectangle(canvas, (0, top), (width, top + rail), colour, -1)
        for x in range(rail // 2 + 6 * place, width, 4 * rail):
            cv2.circle(canvas, (x, top + rail // 2), 3 * OVERSAMPLING, (60, 56, 50), -1)
    return canvas


def _tint(place: int) -> NDArray[np.float32]:
    """Each camera's own colour and brightness."""
    colour = np.array([(0, 0, 0), (11, 7, 2), (-8, -3, 2)], np.float32)
    return np.asarray(colour[place], np.float32)


def _see_through(picture: NDArray[np.float32], dirt: float, seed: int, place: int) -> NDArray[np.float32]:
    """The picture through a lens with dirt: milky blots that take contrast, and loss of focus."""
    if dirt <= 0:
        return picture
    rng = np.random.default_rng([seed, 7, place])
    blots = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(14):
        spot = (int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT)))
        cv2.circle(blots, spot, int(rng.integers(8, 26)), float(rng.uniform(0.4, 1.0)), -1)
    blots = 0.25 + 0.75 * cv2.GaussianBlur(blots, (0, 0), 6)
    veil = (0.75 * dirt * np.clip(blots, 0, 1))[..., None]
    soft = cv2.GaussianBlur(picture, (0, 0), 0.4 + 2.2 * dirt)
    return np.asarray(soft * (1 - veil) + np.array([128, 138, 142], np.float32) * veil, np.float32)
