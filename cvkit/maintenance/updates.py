"""Updates: when the model in use was last changed, and which trainings since then were refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from cvkit.config import Config
from cvkit.errors import StorageError

CHAMPION = Path("versions") / "champion.json"
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
    file = config.workspace / CHAMPION
    if not file.is_file():
        return ()
    try:
        told = [(str(one["version"]), str(one["how"]), _moment(one["when"])) for one in _read(file)["log"]]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(file, f"{type(error).__name__}: {error}") from None
    return tuple(
        Update(version, before, at, back=how == BACK)
        for (before, _, _), (version, how, at) in pairwise(told)
        if version != before and how != ADOPTED
    )


def attempts(config: Config) -> tuple[Attempt, ...]:
    """Trainings that the gate refused, oldest first, as the folders of their versions tell."""
    found = []
    for file in sorted((config.workspace / "versions").glob("*/gate.json")):
        facts = file.with_name("version.json")
        if not facts.is_file() or _read(file).get("outcome") != "refused":
            continue
        made = _read(facts)
        if made.get("kind") in TRAINED:
            found.append(_attempt(facts, made))
    return tuple(sorted(found, key=lambda one: one.made))


def _attempt(facts: Path, made: dict[str, Any]) -> Attempt:
    try:
        return Attempt(facts.parent.name, str(made["kind"]), str(made["parent"]), _moment(made["made"]))
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


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
