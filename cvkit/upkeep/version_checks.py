"""Checks of versions: the weights that each is named by, and who is champion."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cvkit.config import champion as champion_file
from cvkit.config.champion import FACTS, FOLDER, WEIGHTS, Champions
from cvkit.data import checkpoints
from cvkit.errors import DataError, StorageError
from cvkit.maintenance import versions as versions_step
from cvkit.upkeep.findings import Finding, examples

DIGITS = 12  # of the weights' SHA-256 that make a version's name
MISSING, DAMAGED = "missing", "damaged"


def look(workspace: Path) -> dict[str, tuple[str, bool]]:
    """Of each version: the first digits of its weights' digest, or MISSING; and whether its facts can be read."""
    found: dict[str, tuple[str, bool]] = {}
    try:
        places = sorted((workspace / FOLDER).iterdir())
    except OSError:  # there is none; or it cannot be read, which another check tells
        return found
    for place in places:
        if place.is_dir() and not place.name.startswith("."):
            found[place.name] = _digest(place / WEIGHTS), _readable(place)
    return found


def champions(workspace: Path) -> tuple[Champions | None, list[Finding]]:
    """Who is champion, and what is wrong with the file that says so."""
    try:
        return champion_file.read(workspace), []
    except StorageError as error:
        return None, [Finding("error", "versions", error.where, f"the champion's file is damaged: {error.found}",
                              "Restore it from a backup: without it nobody knows who is champion")]  # fmt: skip


def versions(known: Mapping[str, tuple[str, bool]], log: Champions | None) -> Iterator[Finding]:
    """Versions (see `look`) against their names, and the champions that the log names against versions."""
    serving = log.last.version if log else ""
    for name, (digest, facts) in known.items():
        where, bad = f"{FOLDER}/{name}", "the champion" if name == serving else "a version"
        if digest == MISSING:
            yield Finding("error" if name == serving else "warning", "versions", f"{where}/{WEIGHTS}",
                          f"the weights of {bad} are missing", _remedy(name == serving))  # fmt: skip
        elif digest != name:
            yield Finding("error", "versions", f"{where}/{WEIGHTS}",
                          f"the weights of {bad} are not those it was made of: their digest is {digest}",
                          _remedy(name == serving))  # fmt: skip
        if not facts:
            yield Finding("error" if name == serving else "warning", "versions", f"{where}/{FACTS}",
                          f"what is known of {bad} is missing or damaged", _remedy(name == serving))  # fmt: skip
    if serving and serving not in known:
        yield Finding("error", "versions", f"{FOLDER}/{serving}", "the champion's folder is gone", _remedy(True))
    gone = _gone(log, known, serving)
    if gone:
        yield Finding("warning", "versions", examples(f"{FOLDER}/{name}" for name in gone),
                      "it was champion, and its folder is gone: nobody can go back to it", _remedy(False))  # fmt: skip


def deployed(weights: Path | None) -> Iterator[Finding]:
    """The weights that the settings name; None where they name none, or a version's."""
    if weights is None:
        return
    if not weights.is_file():
        yield Finding("error", "weights", str(weights), "the model's weights are missing: nothing can be predicted",
                      "Bring them back, or correct model.weights in cvkit.yml")  # fmt: skip
        return
    try:
        checkpoints.check(weights)
    except OSError as error:
        yield Finding("error", "weights", str(weights), f"the weights cannot be read: {error.strerror or error}",
                      "Let this user read them")  # fmt: skip
    except DataError as error:
        yield Finding("error", "weights", str(weights), f"{error.problem}: {error.found}",
                      f"{error.remedy[:1].upper()}{error.remedy[1:]}")  # fmt: skip


def _gone(log: Champions | None, known: Collection[str], serving: str) -> list[str]:
    return sorted({one.version for one in log.log} - set(known) - {serving}) if log else []


def _remedy(champion: bool) -> str:
    back = (
        ", or `cvkit retrain rollback` to the champion before"
        if champion
        else ", or delete the folder if it never was champion"
    )
    return f"Restore the folder from a backup{back}"


def _digest(weights: Path) -> str:
    try:
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except FileNotFoundError:
        return MISSING
    except OSError:
        return DAMAGED


def _readable(place: Path) -> bool:
    try:
        versions_step.read(place)
    except StorageError:
        return False
    return True
