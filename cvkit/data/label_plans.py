"""Label plans, kept in the workspace: which images were asked for, out of which, and how likely each was to be.

A plan keeps its whole frame, asked for or not: only so the chance of an image over several plans can be told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from cvkit.config import Config
from cvkit.errors import StorageError
from cvkit.storage import read_parquet, storage_error, write_parquet, write_text
from cvkit.tables import LABEL_PLAN, conform

FOLDER = "label-plans"
BEGUN = ".begun"  # below it: plans whose folder for the labelling tool may not be there yet, and a file that names it


def store(config: Config, frame: pd.DataFrame, made: datetime) -> str:
    """Keep a plan (table LABEL_PLAN) in the workspace; its name: the day it was made and a digest of what it holds."""
    table = conform(frame, LABEL_PLAN)
    name = _name(table, made)
    write_parquet(table, _file(config, name))
    return name


def begin(config: Config, frame: pd.DataFrame, made: datetime, folder: Path) -> str:
    """Keep a plan that counts from the moment on that `folder` is there; its name. Then call `finish`."""
    table = conform(frame, LABEL_PLAN)
    name = _name(table, made)
    write_text(_begun(config, name).with_suffix(".txt"), str(folder.absolute()))  # first: a plan without it is none
    write_parquet(table, _begun(config, name))
    return name


def finish(config: Config, name: str) -> None:
    """Put a begun plan among the others; its folder may go from now on."""
    try:
        _begun(config, name).replace(_file(config, name))
        _begun(config, name).with_suffix(".txt").unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, _file(config, name)) from error


def settle(config: Config) -> None:
    """Finish or forget what killed processes have begun. Only while no other process makes a plan."""
    for file in sorted((config.workspace / FOLDER / BEGUN).glob("[!.]*.txt")):
        begun = file.with_suffix(".parquet")
        if begun.is_file() and _counts(begun):
            finish(config, begun.stem)
        begun.unlink(missing_ok=True)
        file.unlink(missing_ok=True)


def load(config: Config) -> dict[str, pd.DataFrame]:
    """All plans by name, oldest first. Raises StorageError where one is damaged: weights without it would be wrong."""
    folder = config.workspace / FOLDER
    files = [*folder.glob("[!.]*.parquet"), *filter(_counts, (folder / BEGUN).glob("[!.]*.parquet"))]
    return {file.stem: _read(file) for file in sorted(files, key=lambda file: (file.stem[:10], _age(file)))}


def sampling_weights(config: Config, image_ids: Iterable[str]) -> pd.Series:
    """How many images each labelled image speaks for: 1 over its chance of having been asked for by any plan.

    At least 1, by image_id, in the order of `image_ids`. NaN of images that no plan asked for: they were labelled for
    some other reason, such as an alarm, and speak for nobody but themselves; 0 of images that were picked by hand, of
    which that is known (their plan has no probability for them). Several plans: the chance is
    1 - product of (1 - p) over all plans whose frame has the image, whichever of them asked for it; plans draw
    independently of each other. Weights are to be normalised (a Hajek mean: sum of w y / sum of w), as some of the
    asked images may not have come back. Raises StorageError where a plan is damaged.
    """
    ids = pd.Index(list(image_ids), name="image_id", dtype="str")
    missed, drawn, picked = np.ones(len(ids)), np.zeros(len(ids), dtype=bool), np.zeros(len(ids), dtype=bool)
    for frame in load(config).values():
        mine = frame.set_index("image_id")
        missed *= 1 - mine["probability"].reindex(ids).fillna(0.0).to_numpy()
        by_hand = mine["drawn"] & mine["probability"].isna()
        drawn |= ids.isin(mine.index[mine["drawn"] & ~by_hand])
        picked |= ids.isin(mine.index[by_hand])
    chance = np.where(drawn, 1 - missed, np.nan)
    return pd.Series(np.where(picked, 0.0, 1 / chance), index=ids, name="weight")


def _name(table: pd.DataFrame, made: datetime) -> str:
    digest = hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()[:8]
    return f"{made:%Y-%m-%d}-{digest}"


def _file(config: Config, name: str) -> Path:
    return config.workspace / FOLDER / f"{name}.parquet"


def _begun(config: Config, name: str) -> Path:
    return config.workspace / FOLDER / BEGUN / f"{name}.parquet"


def _counts(begun: Path) -> bool:
    """Whether the folder of a begun plan is there: somebody may be labelling its images."""
    try:
        return Path(begun.with_suffix(".txt").read_text(encoding="utf-8")).is_dir()
    except OSError:
        return False


def _age(file: Path) -> int:
    return file.stat().st_mtime_ns


def _read(file: Path) -> pd.DataFrame:
    try:
        return conform(read_parquet(file), LABEL_PLAN)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise StorageError(
            "a label plan is damaged", where=str(file), found=f"{type(error).__name__}: {error}"[:200],
            remedy="restore it from a copy; deleted, its images have no weights and may be asked for again",
        ) from error  # fmt: skip
