"""The gate: champion against challenger on the same frozen images. Nothing becomes champion but through here.

A challenger passes when a gain is shown on the new images, and everything protected is shown to be no worse than the
margin: the old images as a whole, each of their classes, each of their sources. Each part has to hold by itself (an
intersection-union test), so nothing is corrected for their number. Other parts refuse it only where they are shown to
be worse. What the images at hand cannot tell is `not enough`, with the number that would do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from cvkit.config import Config
from cvkit.config.retraining import RetrainingSettings
from cvkit.data import features, pictures, yolo
from cvkit.data.records import Records
from cvkit.errors import DataError
from cvkit.maintenance import comparison, gate_results, versions
from cvkit.maintenance.gate_results import Outcome, Result, text
from cvkit.maintenance.test_set import TestSet
from cvkit.maintenance.versions import Version
from cvkit.storage import lock
from cvkit.tables import BOXES, FINDINGS, IMAGES, PROPERTIES, conform, empty

__all__ = ["Result", "conclude", "judge", "load", "text"]

DECIDING = {"f1": "F1", "recall": "recall", "ap": "AP"}  # metrics that a part is judged by, and their names
TIMED = 32  # images that the time is taken on
WARM = 3  # images before that

Row = dict[Any, Any]  # of PARTS
Progress = Callable[[int, int], None]


def judge(config: Config, challenger: Version, test: TestSet, progress: Progress = lambda done, total: None) -> Result:
    """Compare a version with the champion on the test set, and keep the result in the version's folder.

    The same versions, images and settings give the result that is kept. Raises DataError where the champion itself is
    to be judged, the class lists differ, or no test image can be read; BusyError while another process judges.
    """
    with lock(config.workspace / "locks" / "gate.lock", "judging a version"):
        return _judge(config, challenger, test, progress)


def _judge(config: Config, challenger: Version, test: TestSet, progress: Progress) -> Result:
    champion = versions.champion(config)
    _check(champion, challenger, test)
    key = gate_results.key_of(config, champion.name, challenger.name, test.id)
    known = load(challenger)
    if known is not None and known.key == key:
        return known
    images, said = _predicted(config, (champion, challenger), test, progress)
    compared = comparison.compare(images, test.labels, said[0], said[1], test.classes, config.model.confidence)
    parts, notes = comparison.parts(compared, config.retraining)
    latency, slower = _latency(config, champion, challenger, images)
    outcome, reasons = conclude(parts, slower, config.retraining)
    lost = len(test.images) - len(images)
    result = Result(
        outcome, reasons, parts, comparison.flipped(compared), latency, slower,
        (champion.weights.stat().st_size, challenger.weights.stat().st_size),
        (*notes, *([f"{lost} test images cannot be read and are left out"] if lost else [])),
        champion.name, challenger.name, test.id, key, datetime.now(UTC),
    )  # fmt: skip
    gate_results.write(challenger.folder, result)
    return result


def load(version: Version) -> Result | None:
    """The newest result of a version; None where it was not judged."""
    return gate_results.read(version.folder)


def conclude(parts: pd.DataFrame, slower: float, settings: RetrainingSettings) -> tuple[Outcome, tuple[str, ...]]:
    """What the compared parts (table PARTS) come to, and why; `slower` is NaN where no time was taken."""
    told = parts[parts["metric"].isin(DECIDING)].to_dict("records")
    refused = [_worse(row) for row in told if row["verdict"] == "worse"]
    refused += [f"no {_gain(row)}: {_numbers(row)}" for row in told if row["verdict"] == "no gain"]
    if slower > settings.slower:
        refused.append(f"an image takes {slower:.2f} times as long; up to {settings.slower:g} times is accepted")
    lacking = [_lacking(row) for row in told if row["verdict"] == "not enough"]
    whole = parts.loc[(parts["by"] == "") & (parts["metric"] == "f1"), "part"]
    lacking += [f"there are no {part} images in the test set" for part in ("old", "new") if part not in set(whole)]
    if refused:
        return "refused", tuple(refused)
    if lacking:
        return "not enough", tuple(lacking)
    gained = next(row for row in told if row["verdict"] == "gained")
    held = sum(row["protected"] for row in told)
    words = f"{held} protected part{'s are' if held != 1 else ' is'} no worse by more than {settings.margin:g}"
    return "passed", (f"a {_gain(gained)}: {_numbers(gained)}", words)


# -- words ----------------------------------------------------------------------------------------------------------


def _numbers(row: Row) -> str:
    few = f"({row['independent']} images, too few for an interval)"
    interval = few if row["low"] != row["low"] else f"({row['low']:+.3f} to {row['high']:+.3f})"
    numbers = f"{row['champion']:.3f} to {row['challenger']:.3f}, {row['difference']:+.3f}"
    return f"{DECIDING[row['metric']]} {numbers} {interval}"


def _named(row: Row) -> str:
    return gate_results.named(row["part"], row["by"], row["value"])


def _gain(row: Row) -> str:
    return f"gain on the new images of more than {row['limit']:g}"


def _worse(row: Row) -> str:
    return f"worse on {_named(row)} by more than {-row['limit']:g}: {_numbers(row)}"


def _lacking(row: Row) -> str:
    about = f"whether more than {row['limit']:g} is gained" if row["part"] == "new" else "whether anything is lost"
    if row["part"] != "new" and row["high"] < 0:
        about = f"whether more than {-row['limit']:g} is lost; something is"
    do = f"about {row['needed']} would" if row["needed"] < 1e9 else "no number would, as it stands"
    numbers = "" if row["low"] != row["low"] else f" ({_numbers(row)})"
    return f"{_named(row)}: {row['images']} do not tell {about}, {do}{numbers}"


# -- what is compared -----------------------------------------------------------------------------------------------


def _check(champion: Version, challenger: Version, test: TestSet) -> None:
    if champion.name == challenger.name:
        raise DataError(
            "this is the champion itself", found=champion.name, expected="another version",
            remedy="`cvkit retrain status` lists the versions",
        )  # fmt: skip
    if dict(challenger.classes) != dict(champion.classes):
        raise DataError(
            "the weights know other classes than the champion", where=str(challenger.weights),
            expected=", ".join(champion.classes.values()), found=", ".join(challenger.classes.values()),
            remedy="train with the champion's classes",
        )  # fmt: skip
    if test.images.empty:
        raise DataError("the test set is empty", expected="labelled images", found="none", where=f"test set {test.id}")


def _predicted(
    config: Config, both: tuple[Version, Version], test: TestSet, progress: Progress
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The test images that both models could read, with what is known of their pixels, and the boxes of each model."""
    records = _records(test.images, test)
    bare = records.images
    said, readable = [], pd.Series(True, index=bare.index)
    for place, version in enumerate(both):
        predicted = _as_seen_by(config, version, records, _step(progress, place * len(bare), 2 * len(bare)))
        said.append(predicted.predictions)
        readable &= predicted.images["predicted"]
    images = test.images.reset_index(drop=True)[readable.to_numpy()]
    if images.empty:
        raise DataError(
            "no test image can be read", found=f"{len(bare)} files, none of them a readable image",
            where=str(bare["path"].iloc[0]), remedy="restore the images of the test set",
        )  # fmt: skip
    told = features.extract(config, records, config.workspace / "features" / f"gate-{features.VERSION}")
    images = images.merge(told[["image_id", *PROPERTIES]], on="image_id", how="left")
    return images, [boxes[boxes["image_id"].isin(images["image_id"])] for boxes in said]


def said_by(config: Config, version: Version, images: pd.DataFrame, test: TestSet) -> pd.DataFrame:
    """What a version says of some images of a test set (table BOXES); from what is kept of the comparison."""
    return _as_seen_by(config, version, _records(images, test), lambda done, total: None).predictions


def _records(images: pd.DataFrame, test: TestSet) -> Records:
    bare = conform(images[list(IMAGES)].assign(predicted=False), IMAGES)
    return Records(bare, empty(BOXES), test.labels, empty(FINDINGS), test.classes)


def _as_seen_by(config: Config, version: Version, records: Records, progress: Progress) -> Records:
    folder = config.workspace / "predictions" / f"gate-{version.name}-{_run_as(config)}"
    return yolo.predict_missing(config.with_weights(str(version.weights)), records, folder, progress)[0]


def _step(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, of: progress(before + done, total)


def _run_as(config: Config) -> str:
    return f"{config.model.image_size}px-{config.model.confidence:g}"


def _latency(
    config: Config, champion: Version, challenger: Version, images: pd.DataFrame
) -> tuple[tuple[float, float], float]:
    """Median milliseconds of an image, champion's and challenger's, and the median of the images' ratios.

    Both models look at the same image one after the other, in turns, so that what else the machine does slows both.
    """
    both = [yolo.champion(config.with_weights(str(version.weights)), "latency") for version in (champion, challenger)]
    chosen = np.unique(np.linspace(0, len(images) - 1, TIMED + WARM).astype(int))
    decoded = [one for path in images["path"].iloc[chosen] if (one := pictures.decode(path)) is not None]
    shown = [decoded[number % len(decoded)] for number in range(TIMED + WARM)]
    taken: list[tuple[float, float]] = []
    for number, picture in enumerate(shown):
        times = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            begun = time.perf_counter()
            yolo.look(both[which], [picture], config.model)
            times[which] = 1000 * (time.perf_counter() - begun)
        taken.append((times[0], times[1]))
    timed = taken[WARM:]
    medians = [statistics.median(pair[which] for pair in timed) for which in (0, 1)]
    return (medians[0], medians[1]), statistics.median(second / first for first, second in timed)
