"""The doctor: looks at a workspace, changes nothing, and says what is not as it should be."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cvkit.config import Config, load_config
from cvkit.data import sources
from cvkit.errors import ConfigError, CvkitError
from cvkit.monitoring import locks
from cvkit.monitoring.database import parsed
from cvkit.monitoring.identity import FACTS as REFERENCE
from cvkit.slots import standings
from cvkit.storage import safe_name
from cvkit.upkeep import file_checks, history_checks, kept_checks, version_checks
from cvkit.upkeep.archive import history_place
from cvkit.upkeep.findings import Finding

if TYPE_CHECKING:
    from cvkit.upkeep.file_checks import Entry
    from cvkit.upkeep.history_checks import Told

PAGE = ".evidently.html"  # ending of the page that lies beside a report


def examine(path: Path, now: datetime) -> list[Finding]:
    """Everything that is wrong in the workspace of the settings at `path`, a `cvkit.yml` or its folder.

    Settings that cannot be read are a finding too, and what can be looked at without them is. Raises ConfigError where
    there is no such folder.
    """
    path = path.expanduser().absolute()
    root = path if path.is_dir() else path.parent
    if not root.is_dir():
        raise ConfigError("there is no such folder", where=str(root), remedy="name the workspace with --config")
    champions, found = version_checks.champions(root)
    found += version_checks.versions(version_checks.look(root), champions)
    config: Config | None = None
    try:
        config = load_config(path)
        captures = sources.images_pattern(config).folder
    except CvkitError as error:
        captures = root / "captures"
        if not found or isinstance(error, ConfigError):
            found.append(_of_settings(error, path))
    entries = list(file_checks.walk(root, [captures], now.timestamp()))
    used = kept_checks.in_use(config) if config is not None else None
    found += [*_of_files(root, entries, used), *kept_checks.references(root, used), *kept_checks.versions(root)]
    found += kept_checks.own_notebooks(root)
    return found + (_of_config(config, entries, now) if config is not None else [])


def _of_settings(error: CvkitError, path: Path) -> Finding:
    told = f"the settings cannot be used: {error.problem}"
    told += f" (expected: {error.expected}; found: {error.found})" if error.expected or error.found else ""
    remedy = error.remedy[:1].upper() + error.remedy[1:]
    return Finding("error", "settings", error.where or str(path), told, remedy or "Correct them")


def _of_files(root: Path, entries: list[Entry], reference: Path | None) -> list[Finding]:
    known = file_checks.holders()
    locks = [(one.path, file_checks.is_held(root / one.path, known), one.age_s)
             for one in entries if one.path.startswith("locks/") and not one.folder]  # fmt: skip
    tables = [one for one in entries if (root / one.path).parent != reference]  # which is read as a whole
    return [
        *file_checks.half_written(entries), *file_checks.permissions(entries), *file_checks.tables(root, tables),
        *file_checks.held_long(locks), *file_checks.room(str(root), *file_checks.room_at(root)),
    ]  # fmt: skip


def _of_config(config: Config, entries: list[Entry], now: datetime) -> list[Finding]:
    weights = config.model.weights
    named = config.resolve(weights) if weights and config.written is config else None
    found = [*version_checks.deployed(named), *file_checks.secrets(_secret_files(config))]
    found += [*kept_checks.captures(config), *kept_checks.frozen(config), *kept_checks.site(config)]
    try:
        file, _ = history_place(config)
    except ConfigError as error:
        return [*found, _of_settings(error, config.path)]
    reports = {one.path for one in entries if one.path.startswith("reports/") and not one.folder}
    if file is not None and not file.exists():
        return [*found, *_lost(file, reports)]
    told, wrong = history_checks.read(config.history_url, file)
    found += wrong
    return found + (list(_of_history(config, told, reports, now)) if told is not None else [])


def _of_history(config: Config, told: Told, files: set[str], now: datetime) -> Iterator[Finding]:
    model, keep = config.model.name, config.site.keep_days
    notebooks = {one for one in files if one.endswith(".ipynb")}
    named = notebooks | {page for page in files if page.endswith(PAGE) and _notebook(page) not in notebooks}
    yield from history_checks.reports(told.reports, named, now - timedelta(days=keep) if keep else None, model)
    yield from kept_checks.executed(config.workspace, notebooks & {one["path"] for one in told.reports})
    known = file_checks.holders()

    def held(file: str, name: str) -> bool | None:
        if locks.number(name) in told.locks:
            return True
        return file_checks.is_held(config.workspace / "locks" / f"{file}.lock", known)

    yield from history_checks.left_running(
        told, model, now, run_held=held("run", f"run {model}"),
        job_held=lambda key: held(f"job-{safe_name(key)}", key),
    )  # fmt: skip
    yield from history_checks.overdue(standings(config, told.slots, now))
    yield from history_checks.messages(told.messages, model, now)
    yield from history_checks.clock(told.runs, told.slots, model, now)
    references = {file.parent.name for file in (config.workspace / "references").glob(f"*/{REFERENCE}")}
    yield from history_checks.references(told.runs, references, model)


def _notebook(page: str) -> str:
    return f"{page.removesuffix(PAGE)}.ipynb"


def _lost(file: Path, reports: set[str]) -> Iterator[Finding]:
    """A history that is not there, of a workspace that has measured already."""
    if reports:
        yield Finding(
            "error", "history", str(file), "it is gone, and there are reports: what was measured, and what people did "
            "about alerts, was in it", history_checks.RESTORE,
        )  # fmt: skip


def _secret_files(config: Config) -> Iterator[tuple[str, int]]:
    """Files that hold secrets, and their permissions."""
    secrets = [*(one.secret for one in config.alerts.channels), config.heartbeat.secret]
    places = [Path(one.removeprefix("file:")).expanduser() for one in secrets if one.startswith("file:")]
    places += [config.path] if _has_password(config) else []
    places += sorted(config.workspace.glob(".env*"))
    for place in dict.fromkeys(places):
        with suppress(OSError):  # where this user cannot look, others cannot either
            if stat.S_ISREG(place.stat().st_mode):
                yield str(place), stat.S_IMODE(place.stat().st_mode)


def _has_password(config: Config) -> bool:
    try:
        url = parsed(config.history_url)
    except (ConfigError, sa.exc.ArgumentError):
        return False
    return bool(url.password or "password" in url.query)
