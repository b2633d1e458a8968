"""The champion's file, `versions/champion.json`: every promotion, oldest first; the last one is the champion.

It is read here, with the settings that it takes the place of; `maintenance/versions.py` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cvkit.config.sections import ReferenceSettings
from cvkit.errors import StorageError

FOLDER = "versions"
FILE = "champion.json"
FACTS = "version.json"
WEIGHTS = "weights.pt"
HOWS = ("adopted", "promoted", "rolled back")


@dataclass(frozen=True, slots=True)
class Promotion:
    """How a version became champion."""

    version: str
    how: str  # one of HOWS
    by: str
    why: str
    when: datetime
    forced: bool = False  # although the gate had not passed it
    reference: ReferenceSettings | None = None  # that it was accepted on; None: that of cvkit.yml


@dataclass(frozen=True, slots=True)
class Champions:
    """What `champion.json` holds."""

    weights: str  # `model.weights` of cvkit.yml that the first champion came from
    reference: ReferenceSettings  # and `reference`
    log: tuple[Promotion, ...]  # oldest first, never empty

    @property
    def last(self) -> Promotion:
        """The promotion that made the champion."""
        return self.log[-1]

    def over(self, weights: str, reference: ReferenceSettings) -> bool:
        """Whether cvkit.yml still says what it said when the first champion came from it: who edits it wins."""
        return (self.weights, self.reference) == (weights, reference)


def weights_of(version: str) -> str:
    """Where the weights of a version lie, seen from the workspace.

    >>> weights_of("0123456789ab")
    'versions/0123456789ab/weights.pt'
    """
    return f"{FOLDER}/{version}/{WEIGHTS}"


def read(workspace: Path) -> Champions | None:
    """The champions of a workspace; None before the first promotion. Raises StorageError where the file is damaged."""
    file = workspace / FOLDER / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        over, entries = content["over"], content["log"]
        log = tuple(_promotion(entry) for entry in entries)
        found = Champions(str(over["weights"]), _settings(over["reference"]), log)
        if not log or any(one.how not in HOWS or not one.version for one in log):
            raise ValueError("a log without promotions, or with others than cvkit writes")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (
        OSError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ValidationError,
    ) as error:  # fmt: skip
        raise StorageError(
            "the champion's file is damaged", where=str(file), expected="what cvkit wrote",
            found=f"{type(error).__name__}: {error}"[:200],
            remedy="restore it from a copy; without it, the weights that cvkit.yml names are the champion",
        ) from error  # fmt: skip
    return found


def text(champions: Champions) -> str:
    """The file's text."""
    log = [
        {**asdict(one), "when": one.when.isoformat(), "reference": one.reference and _plain(one.reference)}
        for one in champions.log
    ]
    over = {"weights": champions.weights, "reference": _plain(champions.reference)}
    return json.dumps({"over": over, "log": log}, indent=2, ensure_ascii=False) + "\n"


def moment(text: str) -> datetime:
    """A time as ISO, in UTC; of UTC where it names no zone."""
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _promotion(entry: Mapping[str, Any]) -> Promotion:
    texts = {name: str(entry[name]) for name in ("version", "how", "by", "why")}
    settings = entry["reference"]
    reference = None if settings is None else _settings(settings)
    return Promotion(**texts, when=moment(entry["when"]), forced=bool(entry["forced"]), reference=reference)


def _settings(values: Any) -> ReferenceSettings:
    return ReferenceSettings.model_validate_json(json.dumps(values))


def _plain(settings: ReferenceSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json")
