"""Identity: the names of what judges, a reference and rules."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from cvkit.config import Config
from cvkit.errors import DataError, StorageError
from cvkit.storage import read_end
from cvkit.tables import BOXES, FEATURES, FINDINGS, IMAGES

log = logging.getLogger(__name__)

FACTS = "reference.json"
TABLES = {"images": IMAGES, "features": FEATURES, "predictions": BOXES, "labels": BOXES, "findings": FINDINGS}
EMBEDDINGS = "embeddings"  # a table beside them, whose columns are the embedder's
FORMAT = 9  # raised when what is stored of a reference, or how features are defined, changes


def reference_folder(config: Config) -> Path:
    """Where the reference of these settings is kept: any setting that changes its numbers changes the folder."""
    return config.workspace / "references" / settings_id(config)


def reference_id(config: Config) -> str:
    """Name of the reference that is kept for these settings; of the settings where it was not measured yet.

    Measured again from other files, it has another name: evidence gathered against the one says nothing about the
    other. Raises StorageError where it is damaged.
    """
    folder = reference_folder(config)
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return str(facts["id"])
    except FileNotFoundError:  # none yet
        return settings_id(config)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise damaged(folder, error) from error


def check(folder: Path) -> None:
    """Raise StorageError where a table of a reference that was measured is gone, cut or another one.

    Only the ends of files are read, in some 2 ms: `reference.read` reads all, and `cvkit doctor` by it.
    """
    if not (folder / FACTS).is_file():
        return
    try:
        for name, columns in TABLES.items():
            path = folder / f"{name}.parquet"
            check_columns(path, read_end(path), columns)
        read_end(folder / f"{EMBEDDINGS}.parquet")
    except (OSError, ValueError) as error:
        raise damaged(folder, error) from error


def check_columns(path: Path, found: list[str], columns: Mapping[str, str]) -> None:
    """Raise ValueError where a table of a reference has other columns than it should."""
    if found != list(columns):
        raise ValueError(f"{path.name} has the columns {found}")


def damaged(folder: Path, error: Exception) -> StorageError:
    """The words for a stored reference that cannot be read."""
    return StorageError(
        "the stored reference is damaged", where=str(folder), found=f"{type(error).__name__}: {error}"[:200],
        remedy="`cvkit reference --rebuild` measures it again from its files",
    )  # fmt: skip


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


def judged_by(config: Config, version: str = "") -> dict[str, str]:
    """Both names, by column of the history's runs of `version`, "" the deployed one.

    The reference's is left out where it cannot be told: where it is damaged, which is warned of, and where the weights
    are gone or damaged, so that `version` is the one measured last (`History.current_version`).
    """
    rules = {"rules_id": rules_id(config)}
    try:
        if version not in ("", config.version):
            return rules
        check(reference_folder(config))
        return {"reference_id": reference_id(config), **rules}
    except DataError:  # the weights are gone
        return rules
    except StorageError as error:
        log.warning("%s", error)
        return rules


def _digest(deciding: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]
