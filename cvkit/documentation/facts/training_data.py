"""What the champion was trained on before cvkit, counted where it lies: once, then kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cvkit.config import Config
from cvkit.maintenance import candidates
from cvkit.storage import write_text

FORM = 1  # of what is kept: another where it holds something else


@dataclass(frozen=True, slots=True)
class Counted:
    """Images and boxes of training data that cvkit did not prepare."""

    images: int  # that have labels
    boxes: Mapping[int, int]  # by class id
    where: str  # split and data set
    why: str  # why this is taken for what it was trained on, in a sentence


def count(config: Config, arguments: Mapping[str, Any]) -> Counted | None:
    """Count `retraining.old`, else the data that the checkpoint's `arguments` name, else the reference's data set.

    None where there is nothing to count. Raises DataError or ConfigError where it cannot be read.
    """
    settings, data = config.retraining, config.written.reference.data
    if not config.model.weights:
        return None  # cvkit does not know its classes by number
    named = str(arguments.get("data") or "")
    if settings.old:
        why = "Trained on: as `retraining.old` in cvkit.yml says."
    elif os.path.isabs(named) and Path(named).is_file():  # noqa: PTH117  of unknown origin: any text
        settings, why = settings.model_copy(update={"old": named}), "Trained on: as the checkpoint says."
    elif data:
        told = f"the checkpoint names {named}, which was not found here" if named else "the checkpoint names none"
        why = f"Trained on: taken to be the data set of the reference, as no other is known ({told})."
    else:
        return None
    if not settings.old and settings.old_split == config.written.reference.split:
        return None  # those images were held out
    place = config.resolve(settings.old or data)
    about = f"{config.version} {place} {settings.old_split} {place.stat().st_mtime_ns if place.exists() else 0}"
    name = f"training-{FORM}-{hashlib.sha256(about.encode('utf-8', 'replace')).hexdigest()[:12]}.json"
    kept = config.workspace / "predictions" / name
    try:
        told = json.loads(kept.read_text(encoding="utf-8"))
        return Counted(told["images"], {int(one): n for one, n in told["boxes"].items()}, told["where"], why)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):  # none yet, or damaged: it can be counted again
        records = candidates.old_records(config.model_copy(update={"retraining": settings}))
    boxes = {int(str(one)): int(n) for one, n in records.labels["class_id"].value_counts().items()}
    where = f"split {settings.old_split} of {settings.old or data}"
    found = Counted(int(records.images["labelled"].sum()), boxes, where, why)
    write_text(kept, json.dumps(asdict(found)))
    return found
