"""Labels: how many images of a window have them, how soon they came, and whether they speak for the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from cvkit.data.records import Records
from cvkit.stats import correction, dependence
from cvkit.tables import NUMBERS

FEWEST = 10  # labelled images, and others, below which nothing says whether the ones are like the others
UNLIKE = 0.1  # effect from which labelled images are called unlike the others
SURE = 0.01  # level at which labelled images are called unlike the others, corrected over features
WHOLE = 0.99  # share of labelled images from which on nothing was drawn


def rows(images: pd.DataFrame, features: pd.DataFrame, weights: pd.Series) -> Iterator[dict[str, Any]]:
    """Rows of MEASUREMENTS about the labels of one source's `images` (table IMAGES); none without labels.

    coverage: share of the images with labels. lag: median hours from an image to its labels, as the label file's time
    tells. weighted: share of the labelled images with known sampling weights; returned: share of the
    images that plans asked for which have labels now. selection: of each feature, by how much
    labelled images lie above the others.
    """
    known = images["labelled"]
    n = int(known.sum())
    if not n:
        return
    here = {"feature": "performance", "n": n, "n_reference": 0}
    yield {**here, "metric": "coverage", "value": n / len(images)}
    lags = (images["label_time"] - images["time"])[known].dropna().dt.total_seconds() / 3600
    if len(lags):
        yield {**here, "metric": "lag", "value": lags.median(), "low": lags.min(), "high": lags.max(), "n": len(lags)}
    asked = weights.reindex(images["image_id"]).gt(0).to_numpy()
    if (asked & known).any() and n < WHOLE * len(images):
        yield {**here, "metric": "weighted", "value": (asked & known).sum() / n}
        yield {**here, "metric": "returned", "value": (asked & known).sum() / asked.sum(), "n": int(asked.sum())}
    yield from selection(features, images.loc[known, "image_id"])


def selection(features: pd.DataFrame, labelled: pd.Series) -> list[dict[str, Any]]:
    """Of each feature, whether labelled images are like the others of one source: rows of MEASUREMENTS.

    effect: probability that a labelled image lies above another, less .5, so -.5 to .5, 0 alike; value: mean rank of
    the labelled, 0 to 1; n_reference: the others. p_value, corrected over features (Holm), of no difference, where
    neighbouring images count as alike as they are. None with fewer than `FEWEST` images on either side.
    """
    inside = features["image_id"].isin(labelled).to_numpy()
    if min(inside.sum(), (~inside).sum()) < FEWEST:
        return []
    table = []
    for name in NUMBERS:
        known = features[name].notna().to_numpy()
        here = inside[known]
        if min(here.sum(), (~here).sum()) < FEWEST:
            continue
        ranks = (features.loc[known, name].rank().to_numpy() - 0.5) / here.size
        groups = dependence.blocks(ranks, np.zeros(here.size), steps=False)
        effect, p_value = dependence.difference(ranks, here, groups)
        row = {"feature": name, "metric": "selection", "value": ranks[here].mean(), "expected": 0.5}
        counts = {"n": int(here.sum()), "n_reference": int((~here).sum())}
        table.append({**row, **counts, "effect": effect, "p_value": p_value})
    adjusted = correction.holm([row["p_value"] for row in table])
    return [{**row, "p_value": p} for row, p in zip(table, adjusted, strict=True)]


def unlike(measurements: pd.DataFrame) -> pd.DataFrame:
    """The rows of `selection` that say that labelled images are unlike the others, the furthest first.

    `measurements`: table MEASUREMENTS of one window.
    """
    told = measurements[measurements["metric"] == "selection"]
    told = told[(told["p_value"] <= SURE) & (told["effect"].abs() >= UNLIKE)]
    return told.sort_values("effect", key=np.abs, ascending=False)


def only_speaking(records: Records, features: pd.DataFrame, weights: pd.Series) -> pd.DataFrame:
    """`features` (table FEATURES) without what labels say of images that do not speak for their source."""
    kept: set[str] = set()
    labelled = set(records.images.loc[records.images["labelled"], "source"])
    for source, images in records.images[records.images["source"].isin(labelled)].groupby("source"):
        kept |= speaking(images, features[features["source"] == source], weights)
    return features.assign(f1=features["f1"].where(features["image_id"].isin(kept)))


def speaking(images: pd.DataFrame, features: pd.DataFrame, weights: pd.Series) -> set[str]:
    """Labelled images of one source that may be taken for all of its images of the window.

    Of those that a plan drew a sample as if all had been drawn alike; none, where labelled images are unlike the others
    and no plan tells how they were drawn.
    """
    share = counted(images, weights)
    if (share != 1).any():
        return evenly(share)
    told = pd.DataFrame(selection(features, share.index.to_series()), columns=["metric", "effect", "p_value"])
    return set() if len(unlike(told)) else set(share.index)


def counted(images: pd.DataFrame, weights: pd.Series) -> pd.Series:
    """Weight of each labelled image of one source, by image_id: how many of the source's images it speaks for.

    The sampling weights, where the images were drawn by a plan: then labelled images that no plan drew are left out,
    as somebody chose them for a reason. Those picked by hand (weight 0) always are, but where (nearly) all images have
    labels: then each has 1, as where nothing was drawn.
    """
    ids = images.loc[images["labelled"], "image_id"]
    if len(ids) >= WHOLE * len(images):
        return pd.Series(1.0, index=ids)
    drawn = weights.reindex(ids)
    drawn = drawn[~drawn.eq(0)]
    return pd.Series(1.0, index=drawn.index) if drawn.isna().all() else drawn.dropna()


def evenly(weights: pd.Series) -> set[str]:
    """Images, of those with `weights` by image_id, that make a sample as if all had been drawn alike.

    Each is kept with a probability in proportion to its weight, always the same ones: a number made from its name
    decides. Evidence over windows takes values one by one, and knows no weights.
    """
    if weights.empty:
        return set()
    shares = weights / weights.max()
    return {name for name, share in zip(map(str, shares.index), shares, strict=True) if _number(name) < share}


def _number(name: str) -> float:
    """A number from 0 to 1 that looks random and always is the same."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:6], "big") / 2**48
