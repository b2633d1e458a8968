"""Versions: folders named by the weights they hold, and which of them is the champion.

`versions/<name>/` appears whole and is never changed, but that its gate results and its own reference are put beside
what it holds. `versions/champion.json` is replaced whole, so at any instant there is exactly one champion.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from cvkit.config import Config
from cvkit.config import champion as champion_file
from cvkit.config.champion import FACTS, FILE, FOLDER, WEIGHTS, Champions, Promotion
from cvkit.data import checkpoints, yolo
from cvkit.errors import ConfigError, CvkitError, DataError, StorageError
from cvkit.maintenance import gate_results, own_reference, test_set
from cvkit.storage import lock, replacing_folder, storage_error, write_text

log = logging.getLogger(__name__)

Kind = Literal["adopted", "incremental", "full"]
ABANDONED_S = 3600.0  # age of an unfinished folder that nobody is at work on
SHORTEST = 4  # digits of a name that tell a version
OWN = (WEIGHTS, FACTS, gate_results.FILE, gate_results.FOLDER, own_reference.FOLDER, "card.md")


@dataclass(frozen=True, slots=True)
class Version:
    """A set of weights, and where it comes from."""

    name: str  # first 12 digits of the weights' SHA-256
    folder: Path
    kind: Kind
    parent: str  # the version it was trained from, or beside; "" of an adopted one
    made: datetime
    data: str  # id of its training data, or ""
    arguments: Mapping[str, Any]  # of the training
    environment: Mapping[str, Any]  # that it was trained in
    classes: Mapping[int, str]  # names by id, as the weights carry them

    @property
    def weights(self) -> Path:
        """Its checkpoint."""
        return self.folder / WEIGHTS


def adopt(config: Config) -> Version:
    """The version of the weights that cvkit.yml names; made if there is none.

    Raises ConfigError where it names none, DataError where they are no detection checkpoint.
    """
    weights = config.written.model.weights
    if not weights:
        raise ConfigError(
            "there are no weights to begin with", where=f"{config.path}, model.weights",
            expected="an Ultralytics .pt file", found="nothing",
            remedy="name the deployed weights: without them nothing can be retrained or compared",
        )  # fmt: skip
    return _make(config, config.resolve(weights), "adopted")


def add(
    config: Config, weights: Path, *, kind: Kind, parent: str, data: str,
    arguments: Mapping[str, Any], environment: Mapping[str, Any], files: Mapping[str, Path],
) -> Version:  # fmt: skip
    """Make a version of trained weights and the `files` that tell about it, by their names in its folder.

    The same weights twice are the same version. Raises DataError on weights of another task or with other classes than
    the champion's, and on a checkpoint that is none; ValueError on files with names of cvkit's own.
    """
    if taken := sorted(set(files) & set(OWN)):
        raise ValueError(f"names that a version's folder keeps for itself: {', '.join(taken)}")
    return _make(
        config, weights, kind, parent=parent, data=data, arguments=arguments, environment=environment, files=files
    )


def load(config: Config, name: str) -> Version:
    """The version of a name, or of at least its first four digits. Raises DataError where there is none."""
    folder = _folder(config, name)
    if not (folder / FACTS).is_file():
        raise _missing(config, name, folder)
    return read(folder)


def read(folder: Path) -> Version:
    """The version in a folder. Raises StorageError where what is known of it is damaged or gone."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        classes = {int(number): str(text) for number, text in facts["classes"].items()}
        if facts["kind"] not in get_args(Kind):
            raise ValueError(f"kind {facts['kind']!r}")
        made = datetime.fromisoformat(facts["made"])
        parts = {name: facts[name] for name in ("kind", "parent", "data", "arguments", "environment")}
        return Version(name=folder.name, folder=folder, made=made, classes=classes, **parts)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StorageError(
            "what is known of a version is damaged", where=str(folder / FACTS),
            found=f"{type(error).__name__}: {error}"[:200], remedy="restore the file from a copy, or delete the folder",
        ) from error  # fmt: skip


def every(config: Config) -> list[Version]:
    """All versions, oldest first; damaged ones are warned of and left out."""
    found = []
    for file in sorted((config.workspace / FOLDER).glob(f"*/{FACTS}")):
        if not file.parent.name.startswith("."):
            try:
                found.append(load(config, file.parent.name))
            except CvkitError as error:
                log.warning("%s", error)
    return sorted(found, key=lambda one: (one.made, one.name))


def champion(config: Config) -> Version:
    """The version whose settings these are: the promoted one, or that of the weights which cvkit.yml names."""
    if config.written is config:
        return adopt(config)
    return load(config, config.resolve(config.model.weights).parent.name)


def promote(config: Config, name: str, *, by: str, why: str, force: bool = False) -> Version:
    """Make a version the champion, in one step, with a reference of its own; nothing where it is that already.

    Only what passed the gate beside the present champion, unless `force`, which is logged. Raises BusyError while
    another process promotes, DataError where the version did not pass, is damaged or has other classes, ConfigError
    without a reason.
    """
    _check_reason(why)
    with _alone(config):
        state = _state(config, adopting=True)
        version = load(config, name)
        if state.last.version == version.name:
            return version
        _check_weights(version)
        _check_classes(version.classes, load(config, state.last.version).classes, str(version.weights))
        if not force:
            _check_gate(config, version, state.last.version)
        reference = own_reference.settle(config, version.folder, state.last.reference)
        made = Promotion(version.name, "promoted", by, why, datetime.now(UTC), force, reference)
        _write(config, replace(state, log=(*state.log, made)))
    log.info("%s is champion in place of %s, by %s: %s", version.name, state.last.version, by, why)
    return version


def rollback(config: Config, *, by: str, why: str, to: str = "") -> Version:
    """Make the champion before the present one champion again, or the earlier champion `to`, with what belonged to it.

    The newest earlier one that is still whole. The same word of the same person again, without `to`, does nothing more:
    it is of a command that was killed, and repeated. Raises BusyError while another process promotes, DataError where
    there is none, ConfigError without a reason, or where cvkit.yml was changed and so names the champion itself.
    """
    _check_reason(why)
    with _alone(config):
        state = _state(config, adopting=False)
        if not to and _said_before(state.last, by, why):
            return load(config, state.last.version)
        version = _earlier(config, state, to)
        if state.last.version == version.name:
            return version
        reference = next(one.reference for one in reversed(state.log) if one.version == version.name)
        made = Promotion(version.name, "rolled back", by, why, datetime.now(UTC), reference=reference)
        _write(config, replace(state, log=(*state.log, made)))
    log.info("%s is champion again in place of %s, by %s: %s", version.name, state.last.version, by, why)
    return version


def earlier(champions: Champions) -> list[str]:
    """The champions before the present one, the one that a rollback goes to first; those of other settings are out."""
    stack: list[str] = []
    for one in champions.log:
        if one.how == "adopted":
            stack = []
        elif one.how == "rolled back":
            stack = stack[: stack.index(one.version)] if one.version in stack else stack
        stack.append(one.version)
    names = list(dict.fromkeys(reversed(stack[:-1])))
    return [name for name in names if name != champions.last.version]


# -- making ---------------------------------------------------------------------------------------------------------


def _make(
    config: Config, weights: Path, kind: Kind, *, parent: str = "", data: str = "",
    arguments: Mapping[str, Any] | None = None, environment: Mapping[str, Any] | None = None,
    files: Mapping[str, Path] | None = None,
) -> Version:  # fmt: skip
    checkpoints.check(weights)
    name = _digest(weights)
    folder = config.workspace / FOLDER / name
    if (folder / FACTS).is_file():
        return load(config, name)
    classes = _class_names(config, weights)
    if kind != "adopted":
        _check_classes(classes, champion(config).classes, str(weights))
    facts = {
        "name": name, "kind": kind, "parent": parent, "made": datetime.now(UTC).isoformat(), "data": data,
        "arguments": dict(arguments or {}), "environment": dict(environment or {}), "classes": classes,
    }  # fmt: skip
    try:
        with replacing_folder(folder) as part:
            shutil.copyfile(weights, part / WEIGHTS)
            for target, source in (files or {}).items():
                (part / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, part / target)
            (part / FACTS).write_text(json.dumps(facts, indent=2, default=str, ensure_ascii=False), encoding="utf-8")
            if _digest(part / WEIGHTS) != name:
                raise DataError("the weights changed while they were read", where=str(weights), remedy="run this again")
    except StorageError:
        if not (folder / FACTS).is_file():  # else another process has made the same version meanwhile
            raise
    _sweep(folder.parent)
    return load(config, name)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left: no process takes this long to make a version."""
    for left in folder.glob(".*.part"):
        with suppress(FileNotFoundError):  # of another process that has just ended
            if time.time() - left.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)


def _class_names(config: Config, weights: Path) -> dict[int, str]:
    model = yolo.load(weights, config.workspace / ".ultralytics")
    return {int(number): str(name) for number, name in model.names.items()}


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()[:12]
    except OSError as error:
        raise storage_error(error, file) from error


def _folder(config: Config, name: str) -> Path:
    """The folder of a version by the first digits of its name, and of a whole name whether it is there or not."""
    place = config.workspace / FOLDER
    if len(name) < 12 and name.isalnum() and len(name) >= SHORTEST:
        found = [file.parent for file in place.glob(f"{name}*/{FACTS}")]
        if len(found) > 1:
            raise DataError(
                "more than one version begins so", found=", ".join(sorted(one.name for one in found)), expected=name,
                remedy="give more digits",
            )  # fmt: skip
        return found[0] if found else place / name
    return place / Path(name).name


def _missing(config: Config, name: str, folder: Path) -> DataError:
    champions = champion_file.read(config.workspace)
    serving = champions is not None and champions.last.version == folder.name
    words = "`cvkit retrain rollback` goes back to the champion before, or restore the folder"
    return DataError(
        "the champion's folder is gone" if serving else "there is no such version", where=str(folder.parent),
        expected="a whole folder of this name", found=name,
        remedy=words if serving else "`cvkit retrain status` lists the versions",
    )  # fmt: skip


# -- the champion ---------------------------------------------------------------------------------------------------


def _alone(config: Config) -> Any:
    return lock(config.workspace / "locks" / "champion.lock", "promoting a version or rolling one back")


def _state(config: Config, *, adopting: bool) -> Champions:
    """Who is champion under the lock; where cvkit.yml names the champion itself, a log that goes on with that one."""
    found, file = champion_file.read(config.workspace), config.written
    if found is not None and found.over(file.model.weights, file.reference):
        return found
    if not adopting:
        raise _nothing_promoted(config) if found is None else ConfigError(
            "cvkit.yml was changed since the last promotion, so it names the champion itself",
            where=str(config.path), expected=f"model.weights: {found.weights}, and `reference` as it was",
            found=f"model.weights: {file.model.weights}", remedy="put these settings back, then roll back",
        )  # fmt: skip
    first = adopt(config)
    begun = Promotion(first.name, "adopted", "cvkit.yml", "its weights are named there", datetime.now(UTC))
    return Champions(file.model.weights, file.reference, (*(found.log if found else ()), begun))


def _write(config: Config, champions: Champions) -> None:
    write_text(config.workspace / FOLDER / FILE, champion_file.text(champions))


def _earlier(config: Config, state: Champions, to: str) -> Version:
    names = earlier(state)
    if to:
        version = load(config, to)
        if version.name not in {one.version for one in state.log}:
            raise DataError(
                "this version never was champion", found=version.name, expected=", ".join(names) or "an earlier one",
                remedy="`cvkit retrain promote` makes a version champion that passed the gate",
            )  # fmt: skip
        _check_weights(version)
        return version
    problems = []
    for name in names:
        try:
            version = load(config, name)
            _check_weights(version)
        except CvkitError as error:
            problems.append(f"{name}: {error.problem}")
            continue
        return version
    if not names:
        raise _nothing_promoted(config)
    raise DataError(
        "no earlier champion is whole any more", where=str(config.workspace / FOLDER), found="; ".join(problems),
        remedy=f"restore one of them, or delete {FILE} there: then the weights that cvkit.yml names are the champion",
    )  # fmt: skip


def _said_before(last: Promotion, by: str, why: str) -> bool:
    """Whether the last change was a rollback by this very word."""
    if said := (last.how, last.by, last.why) == ("rolled back", by, why):
        log.warning(
            "rolled back to %s already, at %s and for this reason: `--to` goes further back, or another reason",
            last.version, f"{last.when:%Y-%m-%d %H:%M}",
        )  # fmt: skip
    return said


def _nothing_promoted(config: Config) -> DataError:
    return DataError(
        "there is no earlier champion to go back to", where=str(config.workspace / FOLDER),
        remedy="`cvkit retrain status` tells who was champion when",
    )  # fmt: skip


# -- what may become champion -------------------------------------------------------------------------------------


def _check_reason(why: str) -> None:
    if not why.strip():
        raise ConfigError(
            "this needs a reason", expected="--why WORDS", found="nothing", remedy="say why: it is logged"
        )


def _check_weights(version: Version) -> None:
    """Raise DataError where the weights are gone, or not those that the name stands for."""
    checkpoints.check(version.weights)
    if (found := _digest(version.weights)) != version.name:
        raise DataError(
            "a version's weights are not those that it was made of", where=str(version.weights), expected=version.name,
            found=found, remedy="restore the file from a copy, or delete the folder",
        )  # fmt: skip


def _check_classes(found: Mapping[int, str], expected: Mapping[int, str], where: str) -> None:
    if dict(found) == dict(expected):
        return
    shown = [", ".join(f"{number} {name}" for number, name in sorted(one.items())[:20]) for one in (found, expected)]
    raise DataError(
        "the weights know other classes than the champion", where=where, expected=shown[1], found=shown[0],
        remedy="train with the champion's classes; for others name the weights in model.weights, with a reference",
    )  # fmt: skip


def _check_gate(config: Config, version: Version, champion_name: str) -> None:
    """Raise DataError unless the gate passed the version beside this champion, on this test set, by these settings."""
    result = gate_results.read(version.folder)
    if result is None:
        found = "no result"
    elif result.champion != champion_name:
        found = f"a result beside another champion, {result.champion}"
    elif result.key != gate_results.key_of(config, champion_name, version.name, _test_set(config) or result.test):
        found = "a result on another test set, or by other settings of the gate or the model"
    elif result.outcome == "passed":
        return
    else:
        found = f"{result.outcome}: {'; '.join(result.reasons)}"[:300]
    raise DataError(
        "the gate has not passed this version", where=str(version.folder), expected=f"passed beside {champion_name}",
        found=found, remedy="`cvkit retrain gate` judges it; `--force` promotes it all the same, with your reason in "
        "the log",
    )  # fmt: skip


def _test_set(config: Config) -> str:
    try:
        return test_set.load(config, verify=False).id
    except DataError:  # there is none any more
        return ""
