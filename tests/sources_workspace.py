"""Small workspaces on disk, for the tests of `cvkit.data.sources`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from cvkit.config import Config, parse_config

NAMES = ["nut", "bolt", "pin"]


def settings(
    folder: Path, captures: dict[str, Any] | None = None, reference: dict[str, Any] | None = None, classes: Any = NAMES
) -> Config:
    values = {
        "model": {"classes": classes},
        "captures": captures or {},
        "reference": reference or {"start": datetime(2026, 1, 1).date(), "end": datetime(2026, 1, 2).date()},
    }
    return parse_config(yaml.safe_dump(values), folder / "cvkit.yml")


def picture(path: Path, size: tuple[int, int] = (100, 80), exif: dict[int, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = Image.Exif()
    for tag, value in (exif or {}).items():
        data[tag] = value
    Image.new("RGB", size).save(path, format="JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else None, exif=data)
    return path


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def corners(table: Any) -> list[tuple[str, int, float, float, float, float]]:
    return [
        (row["image_id"], row["class_id"], *(round(row[name], 6) for name in ("x1", "y1", "x2", "y2")))
        for row in table.to_dict("records")
    ]


def words(findings: Any) -> list[str]:
    return sorted(findings["finding"])
