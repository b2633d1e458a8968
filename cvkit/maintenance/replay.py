"""Replay: which old images are shown again, so that what they taught is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.config import Config
from cvkit.data import yolo
from cvkit.data.labelled import f1_of_images, labelled
from cvkit.data.records import Records
from cvkit.errors import DataError
from cvkit.maintenance import candidates, leakage
from cvkit.maintenance.candidates import CANDIDATES, Candidates
from cvkit.maintenance.test_set import TestSet
from cvkit.tables import BOXES, FINDINGS, IMAGES, LEFT_OUT, conform, empty

CHOICE = 3  # old images measured and predicted for each that is drawn: difficulty is told among them
STEP = 64  # fewest images measured at once


def draw(config: Config, count: int, test: TestSet, seed: int = 0) -> Candidates:
    """`count` old images, with the column `stratum`, that do not touch the test set; fewer where there are not as many.

    Strata are the rarest class on an image, its source, and how well the champion does on it: all right, or the better
    or the worse half of the others by F1. They take turns, so that rare ones are in as far as there are any. Only some
    images are measured and predicted, drawn by class and source: old data may be large. Raises DataError where there
    are none, or all of them touch the test set.
    """
    records = candidates.old_records(config)
    known = records.images[records.images["labelled"]].reset_index(drop=True)
    if known.empty:
        raise candidates.no_old_data(config, "no labelled image")
    random = np.random.default_rng([seed, 1])
    known = known.assign(kind=_rarest_class(known, records.labels, records.classes))
    order = in_turn(known["kind"] + "\0" + known["source"], random)
    pool = Candidates(empty(CANDIDATES), records.labels, empty(LEFT_OUT))
    for part in _parts(order, max(CHOICE * count, STEP)):
        chosen = replace(records, images=known.loc[known.index[part], list(records.images)])
        found = leakage.apart(config, candidates.old(config, chosen), test)
        pool = Candidates(
            pd.concat([pool.images, found.images], ignore_index=True), records.labels,
            pd.concat([pool.left_out, found.left_out], ignore_index=True),
        )  # fmt: skip
        if len(pool.images) >= CHOICE * count:
            break
    if pool.images.empty:
        raise nothing_left(config, pool.left_out)
    images = pool.images.merge(known[["image_id", "kind"]], on="image_id")
    images = images.assign(
        stratum=images["kind"] + " / " + images["source"] + " / " + _difficulty(config, images, pool)
    )
    taken = in_turn(images["stratum"], random)[:count]
    return Candidates(images.iloc[np.sort(taken)].drop(columns="kind").reset_index(drop=True), pool.labels,
                      pool.left_out)  # fmt: skip


def everything(config: Config, test: TestSet) -> Candidates:
    """All old images that do not touch the test set. Raises DataError as `draw` does."""
    records = candidates.old_records(config)
    if not records.images["labelled"].any():
        raise candidates.no_old_data(config, "no labelled image")
    found = leakage.apart(config, candidates.old(config, records), test)
    if found.images.empty:
        raise nothing_left(config, found.left_out)
    return Candidates(found.images.assign(stratum=""), found.labels, found.left_out)


def in_turn(strata: pd.Series, random: np.random.Generator) -> NDArray[np.intp]:
    """Places in an order in which strata (n,) take turns: one of each, then the next of each that has one, and so on.

    Which comes first is drawn, of strata as of images within them.
    """
    shuffled = random.permutation(len(strata))
    name = strata.to_numpy()[shuffled]
    turn = pd.Series(name).groupby(name).cumcount().to_numpy()
    first = pd.Series(np.arange(len(name))).groupby(name).transform("first").to_numpy()
    return np.asarray(shuffled[np.lexsort([first, turn])])


def nothing_left(config: Config, left_out: pd.DataFrame) -> DataError:
    """The words for old images that all touch the test set."""
    counts = ", ".join(f"{count} {reason}" for reason, count in left_out["reason"].value_counts().items())
    return candidates.no_old_data(config, f"no image that may be trained on: {counts}")


def _rarest_class(images: pd.DataFrame, labels: pd.DataFrame, names: dict[int, str]) -> pd.Series:
    """Of each image the name of the class that the fewest boxes of all have; "nothing" without boxes."""
    counts = labels["class_id"].map(labels["class_id"].value_counts())
    rarest = labels.assign(count=counts).sort_values(["count", "class_id"]).drop_duplicates("image_id")
    kind = rarest.set_index("image_id")["class_id"].map(lambda one: names.get(one, str(one)))
    return images["image_id"].map(kind).fillna("nothing").astype("str")


def _difficulty(config: Config, images: pd.DataFrame, pool: Candidates) -> pd.Series:
    """How well the champion does on each image, in words."""
    asked = conform(images[[name for name in IMAGES if name in images]].assign(labelled=True), IMAGES)
    records = Records(asked, empty(BOXES), pool.labels, empty(FINDINGS), {})
    run_as = f"{config.version}-{config.model.image_size}px-{config.model.confidence:g}"
    cache = config.workspace / "predictions" / "old" / run_as
    predicted, _ = yolo.predict_missing(config, records, cache)
    good = f1_of_images(labelled(predicted.images, predicted.predictions, pool.labels), config.model.confidence)
    f1 = images["image_id"].map(good.set_index("image_id")["f1"]).fillna(0.0)
    middle = f1[f1 < 1].median()
    words = np.where(f1 == 1, "all right", np.where(f1 >= middle, "mostly right", "mostly wrong"))
    return pd.Series(words, index=images.index, dtype="str")


def _parts(order: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
