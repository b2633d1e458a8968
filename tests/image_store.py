"""Images of some cameras and days in a folder: what a store holds, hostile things among them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cvkit.data import measured
from cvkit.data.objects import Captures

PATTERN = "{source}/{date}/*.jpg"


def fill(
    folder: Path, sources: tuple[str, ...] = ("cam-1", "cam-2"), days: int = 2, each: int = 5, seed: int = 0
) -> Path:
    """`each` JPEGs of 64 x 48 a source and day."""
    random = np.random.default_rng(seed)
    for source in sources:
        for day in range(1, days + 1):
            place = folder / source / f"2026-11-{day:02}"
            place.mkdir(parents=True, exist_ok=True)
            for number in range(each):
                write(place / f"{number:03}.jpg", random)
    return folder


def write(path: Path, random: np.random.Generator) -> None:
    grey = random.integers(20, 235) + random.normal(0, 8, (48, 64, 3))
    path.write_bytes(cv2.imencode(".jpg", grey.clip(0, 255).astype(np.uint8))[1].tobytes())


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder but the lock, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lock"}  # fmt: skip


def measure(images: Path, out: Path, **how: object) -> measured.Outcome:
    return measured.measure(Captures(f"{images}/{PATTERN}"), measured.open_out(str(out)), **how)  # type: ignore[arg-type]
