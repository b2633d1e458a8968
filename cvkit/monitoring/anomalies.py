"""Anomalies: single images unlike any that the reference has, with a stated share of false flags and the reason."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.data.embeddings import matrix
from cvkit.monitoring.reference import Reference, ordinary_reference
from cvkit.stats import anomaly
from cvkit.stats.arrays import Floats
from cvkit.stats.change.projection import unit
from cvkit.stats.correction import benjamini_hochberg
from cvkit.tables import ANOMALIES, FINDINGS, NUMBERS, conform

RARE = 0.2  # share of a window's images up to which flagged ones are odd images, and not a changed stream
DAY = timedelta(days=1)
LOOKS, MEANING = "properties", "embedding"  # what a score was made from


def find(
    features: pd.DataFrame, embeddings: pd.DataFrame, reference: Reference, level: float, window_length: timedelta = DAY
) -> pd.DataFrame:
    """Table ANOMALIES of a window: every readable image with its strangeness, p-value, and whether it is flagged.

    Two scores, of the image's properties and predictions and of its embedding, each against the images of the
    reference's own part: the smaller p-value counts, twice (Bonferroni). Flagged as `flag` does. Sources of which the
    window or the reference has too few images have NaN. `features` and `embeddings` as in ordinary contexts
    (`reference.ordinary`).
    """
    images = features[features["damage"].isin(["", "truncated"])].sort_values("source", kind="stable")
    told = {name: np.full(len(images), "", dtype=object) for name in ("told_by", "reason")}
    told |= {name: np.full(len(images), np.nan) for name in ("score", "p_value", "flagged_from")}
    looks = images[list(NUMBERS)].to_numpy(float)
    for source, places in images.groupby("source").indices.items():
        mine = slice(int(places[0]), int(places[-1]) + 1)
        vectors = {LOOKS: looks[mine], MEANING: unit(matrix(embeddings, images["image_id"].iloc[mine]))}
        for name, values in _of_source(vectors, learnt(reference, str(source), window_length)).items():
            told[name][mine] = values
    return flag(
        conform(images[["image_id", "source", "time"]].assign(**told), ANOMALIES), reference, level, window_length
    )


def flag(anomalies: pd.DataFrame, reference: Reference, level: float, window_length: timedelta = DAY) -> pd.DataFrame:
    """Table ANOMALIES with flags at a share `level` of false ones, 0..1; scores, p-values and reasons as they are.

    Flagged are as many images of each source as Benjamini and Hochberg allow. `usual` is NaN, and `unknown` says why,
    where no image of a source could be flagged at this level unless more than `RARE` of them were odd.
    """
    columns = {"usual": np.full(len(anomalies), np.nan), "flagged": np.zeros(len(anomalies), dtype=bool),
               "unknown": np.full(len(anomalies), "", dtype=object)}  # fmt: skip
    told_by, flagged_from = anomalies["told_by"].to_numpy(object), anomalies["flagged_from"].to_numpy()
    for source, rows in anomalies.groupby("source").indices.items():
        normal = learnt(reference, str(source), window_length)
        for name, values in _flags(told_by[rows], flagged_from[rows], normal, level).items():
            columns[name][rows] = values
    return conform(anomalies.assign(**columns), ANOMALIES)


def findings(anomalies: pd.DataFrame) -> pd.DataFrame:
    """The flagged images as findings `strange`."""
    flagged = anomalies[anomalies["flagged"]]
    rows = flagged[["image_id", "source", "time"]].assign(
        finding="strange", value=flagged["score"], limit=flagged["usual"], detail=flagged["reason"]
    )
    return conform(rows, FINDINGS)


def rare(anomalies: pd.DataFrame, most: float = RARE) -> set[str]:
    """Ids of flagged images that are rare in their source's window: at most the share `most` of its images.

    Where more are flagged the stream itself has changed, and none of them is left out of the drift.
    """
    share = anomalies["flagged"].groupby(anomalies["source"]).transform("mean")
    return set(anomalies.loc[anomalies["flagged"] & (share <= most), "image_id"])


def nearest(
    image_ids: pd.Series, source: str, features: pd.DataFrame, embeddings: pd.DataFrame, reference: Reference
) -> pd.Series:
    """For each image of a source the reference image that is most like it, by embedding where there are any."""
    part = _normal_images(reference.features, reference, source)
    if part.empty or not len(image_ids):
        return pd.Series("", index=image_ids.index, dtype="str")
    rows = features.set_index("image_id").reindex(image_ids).reset_index()
    first, second = _vectors(rows, embeddings), _vectors(part, reference.embeddings)
    if first[MEANING].shape[1] and second[MEANING].shape[1]:
        now, then = (np.nan_to_num(side[MEANING]) for side in (first, second))
    else:
        looks = learnt(reference, source).get(LOOKS)
        scale = looks.model.scale if looks else np.ones(len(NUMBERS))
        now, then = (np.nan_to_num(side[LOOKS] / scale) for side in (first, second))
    squares = (now**2).sum(axis=1)[:, None] + (then**2).sum(axis=1) - 2 * now @ then.T
    return pd.Series(part["image_id"].to_numpy()[np.argmin(squares, axis=1)], index=image_ids.index)


def _of_source(vectors: dict[str, Floats], learnt: dict[str, anomaly.Normal]) -> dict[str, Any]:
    """Columns of ANOMALIES of one source's images; none where there are too few to tell."""
    told = {kind: (normal, vectors[kind]) for kind, normal in learnt.items() if vectors[kind].shape[1]}
    n = len(vectors[LOOKS])
    if not told or n < anomaly.ALIGN_FROM:
        return {}
    scores = {kind: anomaly.score(normal, rows) for kind, (normal, rows) in told.items()}
    tails = np.column_stack([anomaly.p_values(told[kind][0], found) for kind, found in scores.items()])
    p_value = np.minimum(1.0, tails.shape[1] * np.nanmin(np.nan_to_num(tails, nan=1.0), axis=1))
    loudest = [list(told)[place] for place in np.argmin(np.nan_to_num(tails, nan=1.0), axis=1)]
    return {
        "told_by": [", ".join(sorted(told, key=lambda one: one != kind)) for kind in loudest],
        "score": [scores[kind][row] for row, kind in enumerate(loudest)],
        "p_value": p_value,
        "flagged_from": np.maximum(benjamini_hochberg(p_value), _judged_from(learnt, list(told), n)),
        "reason": _reasons(loudest, learnt, vectors[LOOKS]),
    }


def _judged_from(learnt: dict[str, anomaly.Normal], told: list[str], n: int) -> float:
    """The least share of false flags at which flags can be told while at most `RARE` of n images are odd."""
    normal = max(learnt[kind].calibration.size for kind in told)
    return n * len(told) / (int(RARE * n) * (1 + normal))


def _flags(
    told_by: NDArray[np.object_], flagged_from: Floats, learnt: dict[str, anomaly.Normal], level: float
) -> dict[str, Any]:
    """What `level` decides of one source's rows of ANOMALIES: usual, flagged and unknown."""
    n = len(told_by)
    told = {words: [learnt[kind] for kind in words.split(", ")] for words in dict.fromkeys(told_by) if words}
    scores = len(next(iter(told.values()), ()))
    needed = min((anomaly.fewest(one, n, level / scores) for some in told.values() for one in some), default=n)
    few = ""
    if n < anomaly.ALIGN_FROM:
        few = f"{n} images, at least {anomaly.ALIGN_FROM} are needed to tell an odd image from a shifted window"
    elif needed > RARE * n:
        few = f"the reference has too few images of this source to tell fewer than {needed} odd ones of {n}"
    if few:
        return {"usual": np.nan, "flagged": False, "unknown": few}
    # No image at or below this is ever flagged: Benjamini and Hochberg need p-values of at most `level`.
    usual = {words: float(np.quantile(first.calibration, 1 - level / scores)) for words, (first, *_) in told.items()}
    return {"usual": [usual[words] for words in told_by], "flagged": flagged_from <= level, "unknown": ""}


def learnt(reference: Reference, source: str, length: timedelta = DAY) -> dict[str, anomaly.Normal]:
    """What is normal for a source, by what it is told from; nothing where the reference has too few images of it."""
    key = ("anomaly", reference.part(source), length)
    if key not in reference.prepared:
        usual, embedded = ordinary_reference(reference)
        part = _normal_images(usual, reference, source)
        chunks = part["time"].dt.floor(length)
        groups: NDArray[np.intp] | None = None if chunks.isna().any() else pd.factorize(chunks)[0]
        found = {}
        for kind, rows in _vectors(part, embedded).items():
            if rows.shape[1]:
                with suppress(anomaly.TooFewError):  # the source is unknown then
                    found[kind] = anomaly.fit(rows, groups)
        reference.prepared[key] = found
    normal: dict[str, anomaly.Normal] = reference.prepared[key]
    return normal


def _normal_images(known: pd.DataFrame, reference: Reference, source: str) -> pd.DataFrame:
    part = reference.part(source)
    return known[(known["source"] == part) & (known["damage"] == "")] if part is not None else known.iloc[:0]


def _vectors(images: pd.DataFrame, embeddings: pd.DataFrame) -> dict[str, Floats]:
    return {LOOKS: images[list(NUMBERS)].to_numpy(float), MEANING: unit(matrix(embeddings, images["image_id"]))}


def _reasons(loudest: list[str], learnt: dict[str, anomaly.Normal], looks: Floats, most: int = 2) -> list[str]:
    """Which properties are far out, in words; that the model makes something else of it, where that tells more."""
    if LOOKS not in learnt:
        return ["the model makes something of it that it made of no image of the reference"] * len(loudest)
    far = anomaly.contributions(learnt[LOOKS], looks)
    words = []
    for row, kind in zip(far, loudest, strict=True):
        order = np.argsort(-np.abs(row))[:most]
        named = ", ".join(f"{NUMBERS[i].replace('_', ' ')} {_sds(row[i])}" for i in order)
        words.append(named if kind == LOOKS else f"what the model makes of it is new; {named}")
    return words


def _sds(distance: float) -> str:
    if abs(distance) < anomaly.FARTHEST:
        return f"{distance:+.1f} sd"
    return f"{'above' if distance > 0 else 'below'} all by over {anomaly.FARTHEST:.0f} sd"
