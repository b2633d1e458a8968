"""`cvkit.yml`: every setting a user can make, read and checked in one place.

The models below are the one description of the file: the checks, the published JSON schema and the reference page
come from them.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import available_timezones

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from cvkit import yaml_files
from cvkit.errors import ConfigError, DataError
from cvkit.tables import FEATURE_UNITS, FINDING_WORDS, Window


def _time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"unknown time zone{_nearest(name, sorted(available_timezones()))}")
    return name


def _cron(expression: str) -> str:
    from datetime import datetime

    from cronsim import CronSim, CronSimError

    try:
        if len(expression.split()) != 5:
            raise CronSimError("not five fields")
        CronSim(expression, datetime(2026, 1, 1))
    except CronSimError as error:
        raise ValueError(
            f"not a cron expression ({error}); five fields, e.g. '30 6 * * *' for 06:30 every day"
        ) from None
    return expression


def _plain(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that can be written into any file: of Unicode, on one line."""
    for name in names:
        if any(letter in name for letter in "\r\n\0") or name.encode("utf-8", "replace").decode() != name:
            raise ValueError(f"names of one line in Unicode, but not {name!r}")
    return names


def _once(names: tuple[Any, ...]) -> tuple[Any, ...]:
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"each name once, but `{repeated[0]}` comes {names.count(repeated[0])} times")
    return names


def _measured(names: tuple[str, ...]) -> tuple[str, ...]:
    known = [*FEATURE_UNITS, *FINDING_WORDS, "images"]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"names of features or findings; there is no `{unknown[0]}`{_nearest(unknown[0], known)}")
    return names


# What pydantic calls a "valid tuple", in the words of somebody who writes YAML; by pydantic's type of error.
KINDS = {
    "missing": "a value", "string_type": "text", "tuple_type": "a list, e.g. [a, b]", "bool_type": "true or false",
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "finite_number": "a finite number", "date_type": "a day, e.g. 2026-11-21",
    "model_type": "keys and values",
}  # fmt: skip

TimeZone = Annotated[str, AfterValidator(_time_zone)]
Cron = Annotated[str, AfterValidator(_cron)]
Names = Annotated[
    tuple[str, ...], Field(strict=False), AfterValidator(_plain), AfterValidator(_once)
]  # YAML has lists only
Ignored = Annotated[Names, AfterValidator(_measured)]
Matched = Annotated[
    tuple[Literal["hour", "weekday", "mode", "file_format", "width", "height"], ...],
    Field(strict=False),
    AfterValidator(_once),
]
Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelSettings(_Section):
    """The deployed model."""

    name: str = Field("model", min_length=1, description="What people call the model.")
    task: Literal["detect"] = Field("detect", description="What it does; object detection so far.")
    weights: str = Field("", description="Ultralytics checkpoint; predicts where captures have no predictions.")
    classes: Names = Field((), description="Class names by id, where there are no weights to read them from.")
    image_size: int = Field(640, ge=32, le=8192, description="Longer side the model is run at, pixels.")
    confidence: Share = Field(0.25, description="Confidence the deployed model cuts at.")
    batch: int = Field(16, ge=1, description="Images predicted at once.")
    embeddings: bool = Field(True, description="Watch the model's embeddings too; needs weights.")
    estimate_images: int = Field(
        100,
        ge=0,
        description="Labelled reference images to learn from how to estimate performance without labels; 0: none.",
    )
    device: str = Field("", description="'cpu', '0', ...; empty: a GPU where there is one.")


class CaptureSettings(_Section):
    """What production took: images, and what was said about them."""

    images: str = Field(
        "captures/{source}/{date}/*.jpg",
        min_length=1,
        description="Where images lie; {source}, {date} and {time} are read from the path.",
    )
    time_from: Literal["path", "exif", "file"] = Field("path", description="Where an image's time is taken from.")
    time_zone: TimeZone = Field("UTC", description="Zone of times that name none.")
    predictions: str = Field("", description="Pattern of prediction files (.parquet, .jsonl, .txt); empty: none.")
    labels: str = Field("", description="Pattern of label files (YOLO .txt, COCO .json, VOC .xml); empty: none yet.")
    records: str = Field("recorded", description="Folder of what a cvkit.Recorder recorded; empty: none is read.")
    label_classes: Names = Field(
        (), description="Class names as YOLO labels number them, where that is not as the model does."
    )


class ReferenceSettings(_Section):
    """The sample the model was accepted on: a labelled data set, or a stretch of captures."""

    data: str = Field("", description="data.yaml, COCO .json, a VOC folder or a folder per class.")
    split: str = Field("val", description="Split of data.yaml.")
    images: str = Field(
        "", description="Pattern on the images' paths that tells {source}, {date}, {time}; may be empty."
    )
    predictions: str = Field(
        "", description="Pattern of prediction files on `data` (.parquet, .jsonl, .txt); empty: none, or the weights'."
    )
    match: Matched = Field(
        (), description="Compare like with like: hour, weekday, mode, file_format, width, height; empty: all with all."
    )
    independent: bool = Field(
        False, description="Without times: that no two images are neighbours, such as frames of one day."
    )
    start: date | None = Field(None, description="First day of captures to use, where there is no data.")
    end: date | None = Field(None, description="First day not used any more.")

    @model_validator(mode="after")
    def _one_kind(self) -> ReferenceSettings:
        if bool(self.data) == bool(self.start and self.end):
            raise ValueError("give either `data`, or `start` and `end` of a stretch of captures")
        if self.predictions and not self.data:
            raise ValueError("a stretch of captures has its predictions from captures.predictions")
        return self


class RuleSettings(_Section):
    """When a window is a warning, critical, or unknown."""

    false_alarms_per_year: float = Field(
        1.0, gt=0, description="False alarms a year accepted over all features and sources together."
    )
    drift_share: float = Field(
        0.9, gt=0, lt=1, description="Share of these for drift; the rest is for findings that chance plays a part in."
    )
    false_flags: float = Field(
        0.1, gt=0, lt=1, description="Share of the images flagged as strange that may be false flags."
    )
    minimum_images: int = Field(20, ge=2, description="A source with fewer images in a window is unknown.")
    drift_warning: float = Field(0.3, gt=0, description="Drift that matters, in reference standard deviations.")
    drift_critical: float = Field(0.8, gt=0, description="Drift that is critical, in reference standard deviations.")
    quality_warning: Share = Field(0.05, description="Share of bad images that matters, beyond the reference's.")
    quality_critical: Share = Field(0.25, description="Share of bad images that is critical, beyond the reference's.")
    ignore: Annotated[Names, AfterValidator(_measured)] = Field(
        (), description="Features and findings no rule looks at."
    )

    @model_validator(mode="after")
    def _in_order(self) -> RuleSettings:
        if self.drift_critical < self.drift_warning or self.quality_critical < self.quality_warning:
            raise ValueError("a critical limit must not lie below its warning limit")
        return self


class JobSettings(_Section):
    """One notebook run on a schedule."""

    notebook: str = Field(min_length=1, description="Name of a notebook in the workspace's `notebooks/`.")
    cron: Cron = Field("30 6 * * *", description="When: minute, hour, day of month, month, day of week.")
    time_zone: TimeZone = Field("UTC", description="Zone the cron expression is read in.")
    source: str = Field("", description="Only this source; empty: all.")
    attempts: int = Field(3, ge=1, le=10, description="Tries before a slot counts as failed.")
    timeout_s: int = Field(1800, ge=1, description="Seconds one run of the notebook may take.")


class Config(_Section):
    """A workspace's settings, and where its files lie."""

    model: ModelSettings = ModelSettings()
    captures: CaptureSettings = CaptureSettings()
    reference: ReferenceSettings
    window_hours: Literal[1, 2, 3, 4, 6, 8, 12, 24] = Field(
        24, description="Length of a window, hours, from 00:00 UTC."
    )
    rules: RuleSettings = RuleSettings()
    schedule: Annotated[tuple[JobSettings, ...], Field(strict=False)] = Field(
        (), description="Notebooks run by `cvkit run --due`."
    )
    evidently: bool = Field(True, description="Write Evidently's interactive page beside each report 02-drift.")
    workers: int = Field(0, ge=0, le=256, description="Threads that read images; 0: one per core.")
    history: str = Field("", description="SQLAlchemy URL of the history; empty: history.db in the workspace.")

    _path: Path = PrivateAttr(default=Path("cvkit.yml"))

    @property
    def path(self) -> Path:
        """The file these settings came from."""
        return self._path

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
                where=f"{self.path}, model.weights",
                expected="an Ultralytics .pt file",
                found=f"no file {weights}",
                remedy="correct model.weights, or leave it empty if predictions come with the captures",
            )
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]

    def window(self, start: str) -> Window:
        """The window that begins at `start` (ISO)."""
        return Window.between(start, hours=self.window_hours)


def load_config(path: str | Path) -> Config:
    """Read `cvkit.yml`, or the one in the folder `path`.

    Raises ConfigError with the line, what was expected and the nearest valid key.
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
            found=str(error),
            remedy="run `cvkit init DIR`, or name the file with --config",
        ) from None
    return parse_config(text, file)


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
            remedy=f"remove it{_nearest(keys[-1], known)}",
        )
    given = first["input"].isoformat() if isinstance(first["input"], date) else repr(first["input"])
    found = "nothing" if first["type"] == "missing" else given
    return ConfigError(
        f"`{'.'.join(keys) or 'settings'}` cannot be used{more}",
        where=f"{file}:{line}",
        expected=KINDS.get(first["type"], first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")),
        found=found[:200],
        remedy="correct this line",
    )


def _filled(values: Any) -> Any:
    """`values` without the keys that were left empty: those keep their defaults, as if they were not there."""
    if isinstance(values, dict):
        return {key: _filled(value) for key, value in values.items() if value is not None}
    return [_filled(value) for value in values] if isinstance(values, list) else values


def _nearest(word: str, words: list[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else ""


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
    return list(section.model_fields)
