"""Weights as files: whether one can be a checkpoint, told without loading it, and without torch."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from cvkit.errors import DataError

CHECKPOINT = "a detection checkpoint saved by Ultralytics (.pt)"


def check(weights: Path) -> None:
    """Raise DataError where a file cannot be a checkpoint, without loading it: its name, and its check sums."""
    wrong = {"where": str(weights), "expected": CHECKPOINT}
    if not weights.is_file() or weights.suffix != ".pt":
        found = f"a {weights.suffix or 'suffix-less'} file" if weights.is_file() else "no such file"
        raise DataError("the weights cannot be used", found=found, remedy="correct model.weights in cvkit.yml", **wrong)
    if damage := _damage(weights):
        remedy = "copy the file again: it is cut short, damaged, or no checkpoint"
        raise DataError("the weights cannot be loaded", found=damage, remedy=remedy, **wrong)


def _damage(weights: Path) -> str:
    """What is wrong with a checkpoint as a file, in words: it is a zip archive, whose parts have check sums."""
    try:
        with zipfile.ZipFile(weights) as archive:
            part = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        return f"not the archive that PyTorch writes ({error})"
    return f"its part {part} is damaged" if part else ""
