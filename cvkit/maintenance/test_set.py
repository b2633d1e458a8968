"""The test set. FOR THE MERGER: replaced by the branch that freezes it; only its shape is used here."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cvkit.config import Config
from cvkit.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class TestSet:
    """The images that both models are judged on, frozen."""

    __test__ = False  # no tests in it, whatever pytest thinks of its name

    id: str
    images: pd.DataFrame  # table IMAGES, `content` (hash of the file's bytes) and `part` ("old" or "new")
    labels: pd.DataFrame  # table BOXES
    classes: dict[int, str]


def load(config: Config) -> TestSet:
    """The frozen test set. Raises DataError where there is none yet."""
    raise DataError(
        "there is no test set yet", where=str(config.workspace / "retraining" / "test.json"),
        remedy="run `cvkit retrain prepare` first",
    )  # fmt: skip
