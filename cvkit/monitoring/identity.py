"""Identity: the names of what judges, a reference and rules."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cvkit.config import Config
from cvkit.errors import DataError

FACTS = "reference.json"
FORMAT = 9  # raised when what is stored of a reference, or how features are defined, changes


def reference_folder(config: Config) -> Path:
    """Where the reference of these settings is kept: any setting that changes its numbers changes the folder."""
    return config.workspace / "references" / settings_id(config)


def reference_id(config: Config) -> str:
    """Name of the reference that is kept for these settings; of the settings where it was not measured yet.

    Measured again from other files, it has another name: evidence gathered against the one says nothing about the
    other.
    """
    try:
        facts = json.loads((reference_folder(config) / FACTS).read_text(encoding="utf-8"))
        return str(facts["id"])
    except (OSError, ValueError, LookupError, TypeError):  # none yet, or damaged: who needs it itself is told so
        return settings_id(config)


def settings_id(config: Config) -> str:
    """Name of the settings that a reference depends on."""
    return _digest(
        {
            "format": FORMAT,
            "reference": config.reference.model_dump(mode="json"),
            "captures": config.captures.model_dump(mode="json") if config.reference.start else None,
            "model": config.model.model_dump(
                mode="json", include={"image_size", "confidence", "classes", "embeddings"}
            ),
            "version": config.version,
            "time_zone": config.captures.time_zone if config.reference.match else None,
        }
    )


def rules_id(config: Config) -> str:
    """Name of the rules: anything that changes a verdict changes it."""
    return _digest(config.rules.model_dump(mode="json"))


def judged_by(config: Config) -> dict[str, str]:
    """Both names, by column of the history's runs; without the reference's where it cannot be told."""
    try:
        return {"reference_id": reference_id(config), "rules_id": rules_id(config)}
    except DataError:  # the weights are gone, and with them what the reference depends on
        return {"rules_id": rules_id(config)}


def _digest(deciding: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]
