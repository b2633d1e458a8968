"""Updates: when the model in use was last changed, and which trainings since then were refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from cvkit.config import Config, champion
from cvkit.errors import StorageError

ADOPTED, BACK = "adopted", "rolled back"  # how a version came into use, where it was not promoted
TRAINED = ("incremental", "full")


@dataclass(frozen=True, slots=True)
class Update:
    """One version took another's place."""

    version: str
    before: str  # the version it took the place of
    at: datetime
    back: bool  # to a version that had been in use before


@dataclass(frozen=True, slots=True)
class Attempt:
    """A training whose version the gate refused."""

    version: str
    kind: str  # incremental or full
    parent: str
    made: datetime


def updates(config: Config) -> tuple[Update, ...]:
    """Every update, oldest first; weights that somebody named in cvkit.yml are none. Raises StorageError on damage."""
    found = champion.read(config.workspace)
    log = found.log if found else ()
    return tuple(
        Update(one.version, before.version, one.when, back=one.how == BACK)
        for before, one in pairwise(log)
        if one.version != before.version and one.how != ADOPTED
    )


def attempts(config: Config) -> tuple[Attempt, ...]:
    """Trainings that the gate refused, oldest first, as the folders of their versions tell."""
    found = []
    for file in sorted((config.workspace / champion.FOLDER).glob("*/gate.json")):
        facts = file.with_name(champion.FACTS)
        if not facts.is_file() or _read(file).get("outcome") != "refused":
            continue
        made = _read(facts)
        if made.get("kind") in TRAINED:
            found.append(_attempt(facts, made))
    return tuple(sorted(found, key=lambda one: one.made))


def _attempt(facts: Path, made: dict[str, Any]) -> Attempt:
    try:
        return Attempt(facts.parent.name, str(made["kind"]), str(made["parent"]), champion.moment(made["made"]))
    except (LookupError, TypeError, ValueError) as error:
        raise _damaged(facts, f"a version without {error}") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(file, str(error)) from None
    if not isinstance(found, dict):
        raise _damaged(file, type(found).__name__)
    return found


def _damaged(file: Path, found: str) -> StorageError:
    return StorageError(
        "this cannot be read", where=str(file), expected="what cvkit wrote there", found=found[:200],
        remedy="put it back from a copy",
    )  # fmt: skip
