"""Versions of the model. STAND-IN of the branch t6: the merger replaces this file by that of the branch g6."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cvkit.config import Config
from cvkit.storage import replacing_folder


@dataclass(frozen=True, slots=True)
class Version:
    """A set of weights, and where it came from."""

    name: str
    folder: Path
    kind: str  # adopted, incremental, full
    parent: str
    made: datetime
    data: str
    arguments: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        """The checkpoint."""
        return self.folder / "weights.pt"


def adopt(config: Config) -> Version:
    """The weights named in cvkit.yml as a version."""
    weights = config.resolve(config.model.weights)
    return add(config, weights, kind="adopted", parent="", data="", arguments={}, environment={}, files={})


def champion(config: Config) -> Version:
    """The version that serves."""
    return adopt(config)


def every(config: Config) -> list[Version]:
    """All versions."""
    return [load(config, folder.name) for folder in sorted((config.workspace / "versions").glob("[!.]*"))]


def add(
    config: Config,
    weights: Path,
    *,
    kind: str,
    parent: str,
    data: str,
    arguments: Mapping[str, Any],
    environment: Mapping[str, Any],
    files: Mapping[str, Path],
) -> Version:
    """A version of these weights; the same content twice is the same version."""
    with weights.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    folder = config.workspace / "versions" / name
    if not folder.exists():
        facts = {
            "kind": kind, "parent": parent, "made": datetime.now(UTC).isoformat(), "data": data,
            "arguments": dict(arguments), "environment": dict(environment),
        }  # fmt: skip
        with replacing_folder(folder) as part:
            shutil.copyfile(weights, part / "weights.pt")
            for kept, origin in files.items():
                shutil.copyfile(origin, part / kept)
            (part / "version.json").write_text(json.dumps(facts), encoding="utf-8")
    return load(config, name)


def load(config: Config, name: str) -> Version:
    """A version by its name."""
    folder = config.workspace / "versions" / name
    facts = json.loads((folder / "version.json").read_text(encoding="utf-8"))
    return Version(name, folder, **{**facts, "made": datetime.fromisoformat(facts["made"])})
