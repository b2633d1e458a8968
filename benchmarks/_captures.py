"""Captures that two cameras might have taken: real images, drawn anew each day under that day's weather.

Everything follows from a seed, day by day, so that a scenario that changes some days leaves all others as they were.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SHARED = Path(__file__).parents[2] / "shared" / "data"
WEIGHTS = SHARED / "weights" / "yolo26n.pt"
CAMERAS = ("microscope", "street")  # bccd, which is like a fixed camera, and coco128, which is not
FIRST_DAY, REFERENCE_DAYS, WATCHED_DAYS = date(2026, 10, 1), 20, 30
REFERENCE_FIRST_DAY = FIRST_DAY - timedelta(days=REFERENCE_DAYS)
FRAMES_A_DAY = 24  # one an hour
WIDTH = 320  # pixels
NIGHT = (*range(6), *range(18, 24))  # hours
PERSON, CAR = 0, 2  # classes of coco128
LIKE_YESTERDAY = 0.6  # lag-1 autocorrelation of the weather

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Look:
    """What is the matter with a camera on a day; by default nothing."""

    light: float = 1.0  # brightness is multiplied by it
    blur: float = 0.0  # sd of a Gaussian, pixels
    quality: int = 0  # of the JPEG; 0: what the camera usually has, 90 to 95
    people: float = 1.0  # how much more often images with people are drawn
    cars: float = 1.0
    night: float = 1.0  # light between 18 and 6 o'clock
    frozen: bool = False  # the same frame all day, and on every frozen day


AS_EVER = Look()


@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """What a camera may see."""

    pictures: tuple[Picture, ...]
    people: NDArray[np.bool_]
    cars: NDArray[np.bool_]


def available() -> bool:
    return WEIGHTS.is_file() and (SHARED / "bccd").is_dir() and (SHARED / "coco128").is_dir()


def scenes(camera: str) -> Scenes:
    folder = SHARED / "bccd" / "BCCD" / "JPEGImages" if camera == CAMERAS[0] else SHARED / "coco128" / "images"
    files = sorted(folder.glob("*.jpg"))
    classes = [_classes(file) for file in files]
    return Scenes(
        tuple(_small(file) for file in files),
        np.array([PERSON in found for found in classes]),
        np.array([CAR in found for found in classes]),
    )


def write_days(folder: Path, seed: int, camera: str, known: Scenes, looks: Iterable[tuple[date, Look]]) -> None:
    """Write `camera`'s frames of some days below `folder`/captures, in place of those that are there."""
    for day, look in looks:
        target = folder / "captures" / camera / day.isoformat()
        shutil.rmtree(target, ignore_errors=True)  # its files may be links to another workspace's
        target.mkdir(parents=True)
        for name, content in _frames(seed, camera, known, day, look):
            (target / name).write_bytes(content)


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=i) for i in range(count)]


def _frames(seed: int, camera: str, known: Scenes, day: date, look: Look) -> list[tuple[str, bytes]]:
    rng = np.random.default_rng([seed, CAMERAS.index(camera), day.toordinal()])
    wanted = np.where(known.people, look.people, 1.0) * np.where(known.cars, look.cars, 1.0)
    drawn = rng.choice(len(known.pictures), FRAMES_A_DAY, replace=False, p=wanted / wanted.sum())
    weather = _weather(seed, camera, day)
    frames = []
    for hour, scene in enumerate(drawn):
        minute = int(rng.integers(0, 60))
        night = look.night if hour in NIGHT else 1.0
        picture = _taken(rng, known.pictures[scene], weather, look, look.light * night)
        quality = int(rng.integers(90, 96))
        frames.append((f"{hour:02d}{minute:02d}00.jpg", _encode(picture, look.quality or quality)))
    if look.frozen:
        still = _encode(known.pictures[0], 92)
        frames = [(name, still) for name, _ in frames]
    return frames


def _weather(seed: int, camera: str, day: date) -> NDArray[np.float64]:
    """Light and contrast of a day, standard normal each, and like the day before."""
    rng = np.random.default_rng([seed, 7, CAMERAS.index(camera)])
    noise = rng.normal(size=(REFERENCE_DAYS + WATCHED_DAYS, 2))
    weather = noise[0]
    for one in noise[1 : (day - REFERENCE_FIRST_DAY).days + 1]:
        weather = LIKE_YESTERDAY * weather + np.sqrt(1 - LIKE_YESTERDAY**2) * one
    return np.asarray(weather)


def _taken(rng: np.random.Generator, scene: Picture, weather: NDArray[Any], look: Look, light: float) -> Picture:
    """A scene as the camera took it: never twice the same crop and light."""
    height, width = scene.shape[:2]
    left, right = (rng.uniform(0, 0.04, 2) * width).astype(int)
    top, bottom = (rng.uniform(0, 0.04, 2) * height).astype(int)
    picture = cv2.resize(scene[top : height - bottom, left : width - right], (width, height)).astype(np.float32)
    middle = picture.mean()
    contrast = np.exp(0.02 * weather[1] + rng.normal(0, 0.02))
    picture = (picture - middle) * contrast + middle
    if look.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), look.blur)
    picture *= light * np.exp(0.03 * weather[0] + rng.normal(0, 0.03))
    picture += rng.normal(0, 1.5, picture.shape)  # the sensor's noise
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _encode(picture: Picture, quality: int) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def _small(file: Path) -> Picture:
    picture = cv2.imread(str(file))
    assert picture is not None, file
    height = round(picture.shape[0] * WIDTH / picture.shape[1])
    return np.asarray(cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def _classes(file: Path) -> set[int]:
    labels = file.parents[1] / "labels" / f"{file.stem}.txt"
    lines = labels.read_text(encoding="utf-8").splitlines() if labels.is_file() else []
    return {int(line.split()[0]) for line in lines}
