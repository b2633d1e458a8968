"""Two models on the same labelled images: part by part which is better, how sure that is, and which images flipped."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.config.retraining import RetrainingSettings
from cvkit.data.labelled import IOU, labelled
from cvkit.maintenance.gate_results import FLIPPED, PARTS
from cvkit.monitoring.slices import SIZE_NAMES, SIZES
from cvkit.stats import dependence, resampling
from cvkit.stats.arrays import Floats
from cvkit.stats.quality import detection, noninferiority, operation
from cvkit.stats.quality.box_matching import Matches, match
from cvkit.stats.quality.noninferiority import Gain
from cvkit.tables import conform, empty

BRIGHTNESS = ("brightness", "sharpness")  # properties whose lower and upper thirds are slices
SHOWN = ("ap", "ap50")
RECALL_BY = "size"  # cut by what the labels tell alone: a false box has the size that the model gives it
REPLICATES = 100  # for what is only shown


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What two models say of n images: each model's boxes, and what they come to by image."""

    images: pd.DataFrame  # image_id, path, part, source and properties, in the order of source and time
    boxes: pd.DataFrame  # image (0..n-1), model (0 first, 1 second), class, size, outcome; F1 = sum of found / of whole
    counts: NDArray[np.int64]  # (3, 2, n) found, false and missed boxes of each model and image
    blocks: NDArray[np.intp]  # (n,) number of the images that count as one
    matches: Matches  # of 2n images, the second model's after the first's


@dataclass(frozen=True, slots=True)
class _Part:
    part: str
    by: str
    value: str
    protected: bool
    images: NDArray[np.bool_]  # (n,) that it is about
    boxes: NDArray[np.bool_]  # which rows of `Compared.boxes`


def compare(
    images: pd.DataFrame, labels: pd.DataFrame, first: pd.DataFrame, second: pd.DataFrame, classes: dict[int, str],
    confidence: float,
) -> Compared:  # fmt: skip
    """Match what two models say (tables BOXES) with the labels of `images` (table IMAGES, `part`, maybe properties)."""
    images = images.sort_values(["source", "time", "image_id"], ignore_index=True)
    twice = pd.concat([_of_model(images, number) for number in (0, 1)], ignore_index=True)
    said = pd.concat([_of_model(boxes, number) for number, boxes in enumerate((first, second))], ignore_index=True)
    true = pd.concat([_of_model(labels, number) for number in (0, 1)], ignore_index=True)
    known = labelled(twice.assign(predicted=True, labelled=True), said, true)
    matches, n = known.match(), len(images)
    told = operation.per_image(matches, confidence, threshold=IOU)
    counts = np.stack([told.found, told.false, told.missed]).reshape(3, 2, n)
    f1 = np.where(np.isnan(told.f1), 1.0, told.f1).reshape(2, n)
    series = images["part"] + "/" + images["source"]  # old and new images of a source lie weeks apart
    return Compared(
        images, _boxes(matches, confidence, n, known.classes, classes), counts,
        dependence.blocks(f1[1] - f1[0], series), matches,
    )  # fmt: skip


def parts(
    compared: Compared, settings: RetrainingSettings, *, averages: bool = True
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Every part compared (table PARTS), and what is not protected although one would expect it, in words.

    `averages`: whether AP and AP50 are among them, which take longest.
    """
    made = [_row(compared, part, settings) for part in _parts(compared)]
    rows = [row for row, _ in made]
    notes = tuple(note for _, note in made if note)
    shown = _averages(compared, settings.margin_ap) if averages else ()
    return (conform(pd.DataFrame([*rows, *shown]), PARTS) if rows else empty(PARTS)), notes


def flipped(compared: Compared) -> pd.DataFrame:
    """The images of which the two do not say the same (table FLIPPED), the largest changes first."""
    found, false, missed = compared.counts
    f1 = np.nan_to_num(operation.ratio(2 * found, 2 * found + false + missed), nan=1.0)
    table = compared.images[["image_id", "path", "part", "source"]].assign(
        f1_champion=f1[0], f1_challenger=f1[1], what=_words(compared)
    )
    gap = (table["f1_challenger"] - table["f1_champion"]).to_numpy()
    table["change"] = np.select([gap > 0, gap < 0], ["better", "worse"], "other")
    order = np.argsort(-np.abs(gap), kind="stable")
    table = table.iloc[order]
    return conform(table[table["what"] != ""], FLIPPED)


# -- boxes ----------------------------------------------------------------------------------------------------------


def _of_model(table: pd.DataFrame, number: int) -> pd.DataFrame:
    return table.assign(image_id=f"{number}/" + table["image_id"].astype(str))


def _boxes(matches: Matches, confidence: float, n: int, ids: tuple[int, ...], classes: dict[int, str]) -> pd.DataFrame:
    told = operation.boxes_by_outcome(matches, confidence, threshold=IOU)
    names = np.array([classes.get(number, str(number)) for number in ids], dtype=object)
    edges = [high for _, high in SIZES[:-1]]
    found = told.labelled & told.predicted
    return pd.DataFrame(
        {
            "image": told.image % n if n else told.image,
            "model": told.image // n if n else told.image,
            "class": names[told.category],
            "size": np.array(SIZE_NAMES, dtype=object)[np.searchsorted(edges, told.area, side="right")],
            "found": found.astype(float),
            "whole": np.where(found, 1.0, 0.5),
            "outcome": np.select([found, told.labelled], ["found", "missed"], "false"),
        }
    )


def _words(compared: Compared) -> list[str]:
    """What became another by image: "nut 1 more found, bolt 2 fewer false"; "" where both say the same."""
    sums = compared.boxes.groupby(["image", "class", "outcome", "model"]).size().unstack("model", fill_value=0)
    gap = sums.reindex(columns=[1], fill_value=0)[1] - sums.reindex(columns=[0], fill_value=0)[0]
    told: dict[int, list[str]] = {}
    rows = gap[gap != 0].rename("more").reset_index()
    columns = (rows[name].tolist() for name in ("image", "class", "outcome", "more"))
    for image, name, outcome, more in zip(*columns, strict=True):
        if outcome != "found" or more > 0:  # what is found no more is missed
            words = "fewer" if more < 0 else "more"
            if outcome != "missed" or more > 0:  # and the other way round
                told.setdefault(image, []).append(f"{name} {abs(more)} {words} {outcome}")
    return [", ".join(told.get(number, [])) for number in range(len(compared.images))]


# -- parts ----------------------------------------------------------------------------------------------------------


def _parts(compared: Compared) -> Iterator[_Part]:
    """All, old and new; of the old images each class and source, protected; of all and the new ones slices."""
    images, boxes = compared.images, compared.boxes
    of_box = boxes["image"].to_numpy()
    for part in ("all", "old", "new"):
        inside = np.ones(len(images), dtype=bool) if part == "all" else (images["part"] == part).to_numpy()
        if not inside.any():
            continue
        yield _Part(part, "", "", part == "old", inside, inside[of_box])
        for by, value, which in _cuts(compared, inside):
            about = np.zeros(len(images), dtype=bool)
            about[of_box[which & inside[of_box]]] = True
            yield _Part(part, by, value, part == "old" and by in ("class", "source"), about, which & inside[of_box])


def _cuts(compared: Compared, inside: NDArray[np.bool_]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """What the boxes of images inside are cut by: column, value, and which boxes of all."""
    images, boxes = compared.images, compared.boxes
    of_box = boxes["image"].to_numpy()
    true = (boxes["outcome"] != "false").to_numpy()
    for by, column in (("class", boxes["class"]), ("size", boxes["size"]), ("source", images["source"].iloc[of_box])):
        words = column.to_numpy(dtype=object)
        counted = true if by == RECALL_BY else np.ones(len(boxes), dtype=bool)
        values = sorted(set(words[inside[of_box] & counted]))
        yield from ((by, str(value), (words == value) & counted) for value in (values if len(values) > 1 else []))
    for by in [name for name in BRIGHTNESS if name in images]:
        numbers = images[by].to_numpy(float)
        known = numbers[inside & ~np.isnan(numbers)]
        low, high = np.quantile(known, [1 / 3, 2 / 3]) if known.size else (math.nan, math.nan)
        if low < high:
            yield by, f"below {low:.3g}", (numbers < low)[of_box]
            yield by, f"from {high:.3g}", (numbers >= high)[of_box]


def _row(compared: Compared, part: _Part, settings: RetrainingSettings) -> tuple[dict[str, object], str]:
    """One row of PARTS, and a note where a part that would be protected is not."""
    place = np.flatnonzero(part.images)
    rows = compared.boxes[part.boxes]
    sums = np.zeros((2, 2, len(part.images)))
    whole_of = np.ones(len(rows)) if part.by == RECALL_BY else rows["whole"].to_numpy()
    for one, numbers in zip(sums, (rows["found"].to_numpy(), whole_of), strict=True):
        np.add.at(one, (rows["model"].to_numpy(), rows["image"].to_numpy()), numbers)
    found, whole = sums[:, :, place]
    gain = noninferiority.f1_gain(found, whole, compared.blocks[place])
    few = math.isnan(gain.low)
    nothing = bool(part.by) and gain.first == 0  # found by the champion, so that nothing of it can be lost
    protected = part.protected and (not part.by or not (few or nothing))
    gaining = part.part == "new" and not part.by
    limit = settings.gain if gaining else -settings.margin
    verdict = _verdict(gain, limit, few=few, gaining=gaining, protected=protected)
    if few and part.protected and gain.difference < limit and _surely_lost(found, whole, compared.blocks[place]):
        verdict = "worse"
    times = noninferiority.needed(gain, limit) if not few else noninferiority.MINIMUM / max(gain.n, 1)
    row: dict[str, object] = {
        "part": part.part, "by": part.by, "value": part.value,
        "metric": "recall" if part.by == RECALL_BY else "f1", "protected": protected,
        "images": place.size, "independent": gain.n, "champion": gain.first, "challenger": gain.second,
        "difference": gain.difference, "low": gain.low, "high": gain.high, "p_value": gain.p_value, "limit": limit,
        "verdict": verdict, "needed": _whole(times * place.size) if verdict == "not enough" else 0,
    }  # fmt: skip
    why = f"has too few old images to be protected: {gain.n} of {noninferiority.MINIMUM}"
    if nothing:
        why = "is not protected: the champion finds nothing of it on the old images"
    return row, f"{part.by} {part.value} {why}" if part.protected and not protected else ""


def _verdict(gain: Gain, limit: float, *, few: bool, gaining: bool, protected: bool) -> str:
    if few:
        return "not enough" if gaining or protected else "not protected"
    if gaining:
        return "gained" if gain.low > limit else "no gain" if gain.difference <= limit else "not enough"
    if gain.low > limit:
        return "held"
    return "worse" if gain.high < limit else "not enough" if protected else "not protected"


def _surely_lost(found: Floats, whole: Floats, blocks: NDArray[np.intp]) -> bool:
    """Whether more of few images got worse than chance would make, those of a block counted as one."""
    gaps = operation.ratio(found[1], whole[1]) - operation.ratio(found[0], whole[0])
    sums = np.bincount(np.unique(blocks, return_inverse=True)[1], weights=np.nan_to_num(gaps))
    return noninferiority.sign_test(sums) < 1 - noninferiority.LEVEL


def _whole(images: float) -> int:
    """Images rounded up; a billion for what no number would tell."""
    return math.ceil(min(images, 1e9)) if not math.isnan(images) else 0


def _averages(compared: Compared, margin: float) -> Iterator[dict[str, object]]:
    """AP and AP50 of the old and of the new images: shown, but for AP of the old ones.

    It tells boxes that lie worse: F1 counts one as found from an IoU of 0.5 on, however far off it is otherwise.
    """
    n, matches = len(compared.images), compared.matches
    every = match(
        matches.truth, matches.predictions, images=2 * n, categories=matches.categories, areas=operation.EVERY_SIZE
    )
    tally = detection.tally(every)
    for part in ("old", "new"):
        place = np.flatnonzero(compared.images["part"] == part)
        if not place.size:
            continue

        def metric(weights: Floats, place: NDArray[np.intp] = place) -> Floats:
            rows = np.zeros((len(weights), 2 * n))
            rows[:, np.concatenate([place, place + n])] = weights
            precision = detection.accumulate(tally, rows).precision[:, :, 0]  # (R, classes, thresholds)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # nothing to be found: NaN
                return np.column_stack([np.nanmean(precision, axis=(1, 2)), np.nanmean(precision[:, :, 0], axis=1)])

        for row in _shown(metric, place, part, compared):
            if (part, row["metric"]) != ("old", "ap"):
                yield row
                continue
            worse = bool(row["high"] < -margin)  # type: ignore[operator]
            yield {**row, "limit": -margin, "verdict": "worse" if worse else "shown"}


def _shown(
    metric: resampling.Metric, place: NDArray[np.intp], part: str, compared: Compared
) -> Iterator[dict[str, object]]:
    told = resampling.compare(
        metric, place.size, groups=compared.blocks[place], replicates=REPLICATES, level=2 * noninferiority.LEVEL - 1
    )
    ones, none = np.ones((1, place.size)), np.zeros((1, place.size))
    first, second = (metric(np.concatenate(pair, axis=1))[0] for pair in ((ones, none), (none, ones)))
    for k, name in enumerate(SHOWN):
        yield {
            "part": part, "by": "", "value": "", "metric": name, "protected": False, "images": place.size,
            "independent": told.n, "champion": first[k], "challenger": second[k],
            "difference": told.difference[k], "low": told.low[k], "high": told.high[k], "p_value": told.p_value[k],
            "limit": math.nan, "verdict": "shown", "needed": 0,
        }  # fmt: skip
