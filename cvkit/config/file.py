"""The file itself: read, checked, and what is wrong with it in words."""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator

from cvkit import yaml_files
from cvkit.config import champion
from cvkit.config.alerts import AlertSettings
from cvkit.config.heartbeat import HeartbeatSettings
from cvkit.config.retraining import RetrainingSettings
from cvkit.config.sections import (
    CaptureSettings,
    JobSettings,
    ModelSettings,
    ReferenceSettings,
    RuleSettings,
    SiteSettings,
)
from cvkit.config.values import Section, UnfitError, nearest
from cvkit.errors import ConfigError, DataError
from cvkit.storage import open_home
from cvkit.tables import Window

# What pydantic calls a "valid tuple", in the words of somebody who writes YAML; by pydantic's type of error.
KINDS = {
    "missing": "a value", "string_type": "text", "tuple_type": "a list, e.g. [a, b]", "bool_type": "true or false",
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "finite_number": "a finite number", "date_type": "a day, e.g. 2026-11-21",
    "model_type": "keys and values",
}  # fmt: skip


class Config(Section):
    """A workspace's settings, and where its files lie."""

    model: ModelSettings = ModelSettings()
    captures: CaptureSettings = CaptureSettings()
    reference: ReferenceSettings
    window_hours: Literal[1, 2, 3, 4, 6, 8, 12, 24] = Field(
        24,
        description="Length of a window, hours, from 00:00 UTC; a history has windows of one length for each version.",
    )
    rules: RuleSettings = RuleSettings()
    alerts: AlertSettings = AlertSettings()
    retraining: RetrainingSettings = RetrainingSettings()
    site: SiteSettings = SiteSettings()
    schedule: Annotated[tuple[JobSettings, ...], Field(strict=False)] = Field(
        (), description="Notebooks run by `cvkit run --due`."
    )
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    evidently: bool = Field(True, description="Write Evidently's interactive page beside each report 02-drift.")
    workers: int = Field(
        0, ge=0, le=256, description="Processes that measure images, and threads that read headers; 0: one per core."
    )
    history: str = Field(
        "",
        description="SQLAlchemy URL of the history; empty: history.db here. PostgreSQL needs cvkit[postgresql].",
    )

    @model_validator(mode="after")
    def _evidently_is_run(self) -> Config:
        asking = [rule.name for rule in self.alerts.rules if rule.statistic.startswith("evidently_")]
        if asking and not self.evidently:
            raise ValueError(f"`evidently: true`, whose numbers the rule `{asking[0]}` looks at")
        return self

    _path: Path = PrivateAttr(default=Path("cvkit.yml"))
    _written: Config | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path:
        """The file these settings came from."""
        return self._path

    @property
    def written(self) -> Config:
        """The settings as the file says them: these, but for what belongs to the champion (`with_weights`)."""
        return self._written or self

    @property
    def workspace(self) -> Path:
        """The folder that holds everything: the one `cvkit.yml` lies in."""
        return self._path.parent

    def resolve(self, path: str) -> Path:
        """`path` as seen from the workspace."""
        return (self.workspace / Path(path).expanduser()).absolute()

    @property
    def history_url(self) -> str:
        """SQLAlchemy URL of the history."""
        return self.history or f"sqlite:///{self.workspace / 'history.db'}"

    @property
    def predicts(self) -> bool:
        """Whether there are predictions to be expected: they come with the captures, or weights make them."""
        return bool(self.model.weights or self.captures.predictions)

    @property
    def reference_predicts(self) -> bool:
        """The same of the reference."""
        return bool(self.model.weights or self.reference.predictions or (self.reference.start and self.predicts))

    @property
    def window_length(self) -> timedelta:
        """Length of a window."""
        return timedelta(hours=self.window_hours)

    @functools.cached_property
    def version(self) -> str:
        """Name of the deployed version: the first 12 digits of its weights' SHA-256; 'external' without weights."""
        if not self.model.weights:
            return "external"
        weights = self.resolve(self.model.weights)
        if not weights.is_file():
            raise DataError(
                "the model's weights are missing",
                where=str(weights.parent) if self._written else f"{self.path}, model.weights",
                expected="an Ultralytics .pt file",
                found=f"no file {weights}",
                remedy="`cvkit retrain rollback` goes back to the champion before, or restore the folder"
                if self._written
                else "correct model.weights, or leave it empty if predictions come with the captures",
            )
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]

    def with_weights(self, weights: str, reference: ReferenceSettings | None = None) -> Config:
        """These settings with other weights, and another reference where one is given."""
        model = self.model.model_copy(update={"weights": weights})
        made = self.model_copy(update={"model": model, "reference": reference or self.reference})
        made.__dict__.pop("version", None)  # known of the weights before
        made._written = self.written
        return made

    def window(self, start: str) -> Window:
        """The window that begins at `start` (ISO)."""
        return Window.between(start, hours=self.window_hours)


def _meant(folder: Path) -> str:
    """A word where a folder beside `folder` has settings, and nearly its name."""
    try:
        beside = os.listdir(folder.parent)  # noqa: PTH208  names only
    except OSError:  # this is a word beside an error, and must not take its place
        return ""
    names = [one for one in beside if os.path.isfile(folder.parent / one / "cvkit.yml")]  # noqa: PTH113  False if secret
    close = difflib.get_close_matches(folder.name, names, n=1)
    return f"did you mean {close[0]}? else " if close and close[0] != folder.name else ""


def load_config(path: str | Path) -> Config:
    """Read `cvkit.yml`, or the one in the folder `path`; what belongs to the champion takes the place of what it says.

    That is `model.weights`, and `reference` where the champion was accepted on another sample, as long as the file
    says of both what it said when the first champion came from it. Raises ConfigError with the line, what was
    expected and the nearest valid key, StorageError where `versions/champion.json` is damaged.
    """
    file = Path(path).expanduser().absolute()
    file = file / "cvkit.yml" if file.is_dir() else file
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "no settings to read",
            where=str(file),
            expected="a cvkit.yml",
            found="there is none" if isinstance(error, FileNotFoundError) else str(error),
            remedy=f"{_meant(file.parent)}run `cvkit init FOLDER`, or name the file with --config",
        ) from None
    config = parse_config(text, file)
    open_home(config.workspace)
    return with_champion(config)


def with_champion(config: Config) -> Config:
    """These settings with what belongs to the champion of now: for a process that outlives a promotion.

    Raises StorageError where `versions/champion.json` is damaged.
    """
    written = config.written
    champions = champion.read(config.workspace)
    if champions is None or not champions.over(written.model.weights, written.reference):
        return written
    weights, reference = champion.weights_of(champions.last.version), champions.last.reference or written.reference
    same = config is not written and (config.model.weights, config.reference) == (weights, reference)
    return config if same else written.with_weights(weights, reference)


def parse_config(text: str, file: Path) -> Config:
    """Settings from the text of a `cvkit.yml`; `file` is where it lies."""
    try:
        values, node = yaml_files.read(text)
    except yaml.YAMLError as error:
        line, problem = yaml_files.explain(error)
        raise ConfigError(
            "this cannot be read as YAML",
            where=f"{file}:{line}" if line else str(file),
            found=problem,
            remedy="check indentation, quotes, colons and dates there",
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(
            "the settings are empty or not a mapping",
            where=str(file),
            expected="keys such as `model:`",
            remedy="start from the file `cvkit init` writes",
        )
    if repeated := yaml_files.repeated_key(node):
        raise ConfigError(
            f"`{repeated.value}` stands there twice",
            where=f"{file}:{repeated.start_mark.line + 1}",
            remedy="keep one of them",
        )
    try:
        config = Config.model_validate(_filled(values))
    except ValidationError as error:
        raise _explain(error, node, file) from None
    config._path = file
    return config


def schema() -> dict[str, Any]:
    """The JSON schema of `cvkit.yml`, for editors that complete and check it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cvkit.yml",
        **Config.model_json_schema(),
    }


def _explain(error: ValidationError, node: yaml.Node | None, file: Path) -> ConfigError:
    first = error.errors()[0]
    keys = [str(part) for part in first["loc"]]
    line = yaml_files.line_of(node, first["loc"])
    known = _fields(first["loc"][:-1])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return ConfigError(
            f"unknown key `{'.'.join(keys)}`{more}",
            where=f"{file}:{line}",
            expected=", ".join(known),
            found=keys[-1],
            remedy=f"remove it{nearest(keys[-1], known)}",
        )
    secret = any(
        name in keys for name in ("channels", "history", "heartbeat")
    )  # may hold an address with a token, or a password
    given = (
        "a value that is not shown"
        if secret
        else first["input"].isoformat()
        if isinstance(first["input"], date)
        else repr(first["input"])
    )
    found = "nothing" if first["type"] == "missing" else given[:200]
    unfit = first.get("ctx", {}).get("error")
    return ConfigError(
        f"`{'.'.join(keys) or 'settings'}` cannot be used{more}",
        where=f"{file}:{line}",
        expected=KINDS.get(first["type"], first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")),
        found=f"{found}: {unfit.found}" if isinstance(unfit, UnfitError) else found,
        remedy="correct this line",
    )


def _filled(values: Any) -> Any:
    """`values` without the keys that were left empty: those keep their defaults, as if they were not there."""
    if isinstance(values, dict):
        return {key: _filled(value) for key, value in values.items() if value is not None}
    return [_filled(value) for value in values] if isinstance(values, list) else values


def _fields(location: tuple[int | str, ...]) -> list[str]:
    section: type[BaseModel] = Config
    for part in location:
        if isinstance(part, str) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            inner = next(
                (a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)), annotation
            )
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                section = inner
    return [field.alias or name for name, field in section.model_fields.items()]
