"""A new workspace: a commented `cvkit.yml`, the notebooks and the site's skeleton."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cvkit.config import Config, JobSettings, load_config, parse_config, schema
from cvkit.errors import ConfigError, DataError
from cvkit.storage import open_home, packaged, replacing, write_text

SCHEDULE = (
    {"notebook": "01-data-quality", "cron": "30 5 * * *", "time_zone": "UTC"},
    {"notebook": "02-drift", "cron": "40 5 * * *", "time_zone": "UTC"},
    {"notebook": "03-anomalies", "cron": "50 5 * * *", "time_zone": "UTC"},
    {"notebook": "04-performance", "cron": "0 6 * * *", "time_zone": "UTC"},
    {"notebook": "05-retraining", "cron": "10 6 * * 1", "time_zone": "UTC"},
    {"notebook": "06-model-card", "cron": "20 6 * * 1", "time_zone": "UTC"},
)


def create(folder: Path, settings: dict[str, Any]) -> Config:
    """Make `folder` a workspace with `settings` (values of `cvkit.yml`, by section where they have one).

    Paths in `settings` are as the user typed them, seen from the current folder. Raises ConfigError where the folder
    already is a workspace, DataError where a file they name does not exist.
    """
    folder = plain(folder)
    if (folder / "cvkit.yml").exists():
        raise ConfigError(
            "there is a workspace already", where=str(folder / "cvkit.yml"),
            remedy="edit that file, or name another folder",
        )  # fmt: skip
    settled = {
        name: _seen_from(folder, values) if isinstance(values, dict) else values for name, values in settings.items()
    }
    _check(parse_config(commented(settled), folder / "cvkit.yml"))
    folder.mkdir(parents=True, exist_ok=True)
    open_home(folder)
    copy_missing(packaged("skeleton"), folder)
    copy_missing(packaged("notebooks"), folder / "notebooks")
    write_text(folder / "cvkit.schema.json", json.dumps(schema(), indent=2) + "\n")
    write_text(folder / "cvkit.yml", commented(settled))  # last: its presence makes the folder a workspace
    return load_config(folder)


def _check(config: Config) -> None:
    """Raise now what the first run would: weights that are none, a data set that is none, a pattern that cannot be."""
    from cvkit.data import checkpoints, sources

    if config.model.weights:
        checkpoints.check(config.resolve(config.model.weights))
    if config.reference.data:
        sources.dataset_kind(config)
    sources.images_pattern(config)


def copy_missing(origin: Path, folder: Path) -> None:
    """Copy the tree `origin` into `folder`, leaving alone what is there."""
    for file in sorted(origin.rglob("*")):
        target = folder / file.relative_to(origin)
        if file.is_file() and not target.exists() and "__pycache__" not in file.parts:
            with replacing(target) as part:
                shutil.copyfile(file, part)


def commented(settings: dict[str, Any]) -> str:
    """The text of a `cvkit.yml` that shows every setting, with what it means."""
    lines = [
        "# yaml-language-server: $schema=cvkit.schema.json",
        "# Paths are seen from this folder. Every setting is shown; what you leave out keeps its default.",
    ]
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            lines += ["", f"{name}:  # {(section.__doc__ or '').strip()}"]
            lines += [f"  {line}" for line in _settings(section, settings.get(name, {}))]
        elif name != "schedule":
            lines += ["", *_setting(name, field, settings.get(name, field.default))]
    lines += ["", f"schedule:  # {Config.model_fields['schedule'].description}"]
    return "\n".join([*lines, *_schedule(), ""])


def _settings(section: type[BaseModel], values: dict[str, Any]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield from _setting(name, field, values.get(name, field.default))


def _setting(name: str, field: FieldInfo, value: Any) -> list[str]:
    plain = list(value) if isinstance(value, tuple) else value
    if value is None:
        return [f"# {field.description}", f"# {name}:"]
    if plain and isinstance(plain, list) and isinstance(plain[0], BaseModel):  # a table: a row a line
        rows = [item.model_dump(mode="json", by_alias=True, exclude_defaults=True) for item in plain]
        lines = [f"{name}:", *(f"  - {json.dumps(row, ensure_ascii=False)}" for row in rows)]
    else:
        text = plain.isoformat() if isinstance(plain, date) else json.dumps(plain, ensure_ascii=False)  # JSON is YAML
        lines = [f"{name}: {text}"]
    return [f"# {field.description}", *_keys_of_items(field), *lines]


def _keys_of_items(field: FieldInfo) -> Iterator[str]:
    """The keys that each item of a list of sections may have."""
    item = next(iter(get_args(field.annotation)), None)
    if isinstance(item, type) and issubclass(item, BaseModel):
        for name, key in item.model_fields.items():
            yield f"#   {key.alias or name}: {key.description or ' or '.join(get_args(key.annotation))}"


def _schedule() -> Iterator[str]:
    for job in SCHEDULE:
        values = {**{name: field.default for name, field in JobSettings.model_fields.items()}, **job}
        first, *others = (f"{name}: {json.dumps(value)}" for name, value in values.items())
        yield f"  - {first}"
        yield from (f"    {line}" for line in others)


def _seen_from(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    """`values` with the files they name as seen from `folder`: relative inside it, absolute elsewhere.

    A pattern of captures counts from the current folder where its first part is there, else from `folder`; one that is
    absolute is seen from `folder` where it lies in it.
    """
    files = {"weights", "data"}
    seen = {
        name: _relative(Path(value), folder) if name in files and value else value for name, value in values.items()
    }
    images = seen.get("images", "")
    if images and Path(Path(images).parts[0]).exists():  # of an absolute one that is the root
        full = Path(os.path.normpath(Path.cwd() / images))  # as patterns are read
        seen["images"] = full.relative_to(folder).as_posix() if full.is_relative_to(folder) else str(full)
    return seen


def plain(path: Path) -> Path:
    """A path from the root on, without `..`; links stay as they are where it has none."""
    return path.resolve() if ".." in path.parts else path.absolute()


def _relative(path: Path, folder: Path) -> str:
    full = plain(path.expanduser())
    if not full.exists():
        raise DataError("this file or folder does not exist", where=str(path), remedy="correct the path you typed")
    return full.relative_to(folder).as_posix() if full.is_relative_to(folder) else str(full)
