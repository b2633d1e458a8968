"""Checks of what commands read whole, by their own reading: references, test set, gate's results, notebooks, site."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cvkit.config import Config
from cvkit.config.champion import FOLDER as VERSIONS
from cvkit.data import sources
from cvkit.data.sources import patterns
from cvkit.data.sources import told as told_by
from cvkit.documentation import notebooks
from cvkit.documentation.site import building
from cvkit.errors import ConfigError, CvkitError, DataError, StorageError
from cvkit.maintenance import gate_results, test_set, training
from cvkit.monitoring import identity, reference
from cvkit.storage import NO_ROOM, DamagedError, read_parquet
from cvkit.upkeep.findings import Finding, Severity, examples

MANIFEST = "manifest.parquet"  # of a version's training
LOOK_S = 5.0  # for a file that matches a pattern: in an archive of millions the first lies near
AGAIN = "`cvkit run --window DAY` writes it again, or restore it from a backup"


def in_use(config: Config) -> Path | None:
    """Where the reference of these settings is kept; None where the weights that name it cannot be read."""
    try:
        return identity.reference_folder(config)
    except (DataError, OSError):
        return None


def references(root: Path, used: Path | None) -> Iterator[Finding]:
    """The reference in use, as `cvkit run` reads it; of others, which may be of an older cvkit, only their facts."""
    for facts in sorted((root / "references").glob(f"*/{identity.FACTS}")):
        if facts.parent == used:
            yield from _of(root, "error", "references", reference.read, used)
        elif not _is_json(facts, "id"):
            yield Finding(
                "warning", "references", str(facts.relative_to(root)), "a reference that is not in use is damaged",
                "Restore it from a backup; or delete its folder: a champion who comes back has it measured again",
            )  # fmt: skip


def captures(config: Config) -> Iterator[Finding]:
    """Patterns that no file matches now: no fault where captures were not brought back after `cvkit restore`.

    Nothing is said where that takes longer than `LOOK_S` seconds to tell.
    """
    with suppress(TimeoutError):
        missing = list(_of(config.workspace, "note", "captures", lambda own: sources.check_any(own, LOOK_S), config))
        yield from missing
        for kind in () if missing else told_by.SUFFIXES:
            wrong = list(_of(config.workspace, "error", "captures", lambda of: told_by.told_pattern(config, of), kind))
            yield from wrong
            pattern = None if wrong else told_by.told_pattern(config, kind)
            if pattern is not None and not patterns.any_match(pattern, LOOK_S):
                yield Finding("note", "captures", f"{pattern.key} in cvkit.yml", f"no file matches {pattern.text} now",
                              "Nothing has to be done where there are none yet; else correct the pattern")  # fmt: skip


def frozen(config: Config) -> Iterator[Finding]:
    """The frozen test set and its images."""
    yield from _of(config.workspace, "error", "test set", test_set.check, config)


def versions(root: Path) -> Iterator[Finding]:
    """What the gate said of versions, and what is known of their training."""
    for folder in sorted((root / VERSIONS).glob("[!.]*/")):
        yield from _of(root, "error", "versions", gate_results.read, folder)
        judged = folder / gate_results.FILE
        if gone := [table for table in _tables(judged) if not table.is_file()]:
            yield Finding("error", "versions", str(gone[0].relative_to(root)), "a table of a gate's result is gone",
                          f"Delete {judged.relative_to(root)}: `cvkit retrain gate` judges anew")  # fmt: skip
        if (folder / MANIFEST).is_file() and (told := _read_whole(folder / MANIFEST)):
            yield Finding("warning", "versions", str((folder / MANIFEST).relative_to(root)),
                          f"what is known of this version's training is damaged: {told}",
                          "Restore it from a backup: reports about the training lack it")  # fmt: skip
        if (folder / training.CURVES).is_file():
            yield from _of(root, "warning", "versions", training.curves, folder / training.CURVES)


def site(config: Config) -> Iterator[Finding]:
    """The site's settings, where there are any."""
    if (config.workspace / "mkdocs.yml").is_file():
        yield from _of(config.workspace, "error", "site", building.check, config)


def own_notebooks(root: Path) -> Iterator[Finding]:
    """The workspace's own notebooks, which become reports."""
    for file in sorted((root / "notebooks").glob("*.ipynb")):
        yield from _of(root, "error", "notebooks", notebooks.read, file)


def executed(root: Path, paths: Iterable[str]) -> Iterator[Finding]:
    """Reports, as paths below the workspace, that are no notebooks."""
    if damaged := sorted(path for path in paths if not _is_json(root / path, "cells", "nbformat")):
        yield Finding("warning", "reports", examples(damaged), "it is no notebook that can be read: the site cannot "
                      "show it", AGAIN)  # fmt: skip


def _of(root: Path, severity: Severity, check: str, look: Callable[[Any], object], about: Any) -> Iterator[Finding]:
    """What the reading `look` says of damage. Raises StorageError where memory was short."""
    try:
        look(about)
    except (ConfigError, DataError, StorageError) as error:
        if error.problem == NO_ROOM:
            raise
        yield Finding(severity, check, _below(root, error), f"{error.problem}: {error.found.rstrip('.')}",
                      f"{error.remedy[:1].upper()}{error.remedy[1:]}")  # fmt: skip


def _below(root: Path, error: CvkitError) -> str:
    return error.where.removeprefix(f"{root}/")


def _is_json(file: Path, *keys: str) -> bool:
    """Whether a file is a JSON object with these keys; one that vanished meanwhile is another check's."""
    try:
        return set(keys) <= set(dict(json.loads(file.read_bytes())))
    except FileNotFoundError:
        return True
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _tables(judged: Path) -> list[Path]:
    """Where a readable result of the gate says that its tables are; none where there is none."""
    try:
        place = judged.parent / gate_results.FOLDER / str(json.loads(judged.read_bytes())["key"])
    except (OSError, ValueError, LookupError, TypeError):  # there is none, or its damage was told
        return []
    return [place / f"{name}.parquet" for name in ("parts", "flipped")]


def _read_whole(file: Path) -> str:
    """What is wrong with a Parquet file; "" where nothing is. Raises StorageError where memory was short."""
    try:
        read_parquet(file)
    except DamagedError as error:
        return str(error)
    return ""
