"""A window, taken apart by source, once for everything that is measured of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cvkit.data.embeddings import matrix
from cvkit.monitoring import anomalies, classes
from cvkit.monitoring.classes import ByImage
from cvkit.stats.arrays import Floats
from cvkit.tables import WATCHED


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one source sent in a window, and what is wrong with it."""

    source: str
    images: int
    findings: dict[str, int]  # rows of each finding
    bad: dict[str, int]  # images with each finding
    odd: tuple[int, int, int]  # rows of ANOMALIES, those of them that could be judged, and those flagged
    distinct: pd.DataFrame  # readable images (table FEATURES), each content once, rare odd ones aside
    values: dict[str, Floats]  # of `distinct`, by feature
    predicted: pd.DataFrame  # those of `distinct` with predictions: an image on which nothing was found has them
    boxes: ByImage  # on `predicted`
    embedded: Floats  # embeddings of `distinct` (n, d), NaN rows without one


def apart(
    features: pd.DataFrame,
    predictions: pd.DataFrame,
    embeddings: pd.DataFrame,
    findings: pd.DataFrame,
    odd: pd.DataFrame,
    sources: Collection[str],
) -> list[Part]:
    """The parts of a window, sorted by source; one without images for each of `sources` that sent none.

    `features`, `findings`, `odd`: tables FEATURES, FINDINGS and ANOMALIES. Copies of one image count once, whatever
    they are called.
    """
    images = {str(source): int(n) for source, n in features["source"].value_counts().to_dict().items()}
    rows, bad = _by_finding(features, findings)
    flags = _flags(odd)
    distinct = distinct_images(features, anomalies.rare(odd)).sort_values("source", kind="stable")
    boxes = dict(_boxes(distinct, predictions))
    places = {str(source): (at[0], at[-1] + 1) for source, at in distinct.groupby("source").indices.items()}
    numbers = distinct[list(WATCHED)].to_numpy(float)
    parts = []
    for source in sorted({*images, *sources}):
        start, end = places.get(source, (0, 0))
        mine, values = distinct.iloc[start:end], numbers[start:end]
        told = mine["boxes"].notna().to_numpy()
        parts.append(Part(
            source, images.get(source, 0), rows.get(source, {}), bad.get(source, {}), flags.get(source, (0, 0, 0)),
            mine, dict(zip(WATCHED, np.ascontiguousarray(values.T), strict=True)), mine[told],
            boxes.get(source, NOTHING), matrix(embeddings, mine["image_id"]),
        ))  # fmt: skip
    return parts


NOTHING = ByImage(np.empty(0, np.int64), np.empty((0, 0)), np.empty((0, 0)))


def distinct_images(features: pd.DataFrame, aside: Collection[str] = ()) -> pd.DataFrame:
    """Readable images but those `aside`, each content of a source once."""
    good = features["damage"].isin(["", "truncated"])
    readable = features[good & ~features["image_id"].isin(list(aside)) if aside else good]
    again = readable.duplicated(["source", "content"]) & (readable["content"] != "")
    return readable[~again]


def _by_finding(
    features: pd.DataFrame, findings: pd.DataFrame
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
    """By source and finding: how many rows there are, and how many of the source's images have it."""
    home = findings["image_id"].map(pd.Series(features["source"].to_numpy(), index=features["image_id"]))
    mine = findings[findings["source"] == home]
    keys = ["source", "finding"]
    return _nested(findings.groupby(keys).size()), _nested(mine.groupby(keys)["image_id"].nunique())


def _nested(counts: pd.Series) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (source, finding), n in zip(counts.index.to_list(), counts.to_list(), strict=True):
        found.setdefault(str(source), {})[str(finding)] = int(n)
    return found


def _flags(odd: pd.DataFrame) -> dict[str, tuple[int, int, int]]:
    judged = odd[["score", "usual"]].notna().all(axis=1)
    table = pd.DataFrame({"source": odd["source"], "n": 1, "judged": judged.astype(int), "flagged": odd["flagged"]})
    sums = table.groupby("source")[["n", "judged", "flagged"]].sum()
    return dict(zip(map(str, sums.index), map(tuple, sums.to_numpy(int).tolist()), strict=True))


def _boxes(distinct: pd.DataFrame, predictions: pd.DataFrame) -> Iterator[tuple[str, ByImage]]:
    """Of each source, the boxes on its images that have predictions; `distinct` is sorted by source."""
    told = distinct[distinct["boxes"].notna()]
    at = pd.Index(told["image_id"]).get_indexer(predictions["image_id"])
    order = np.argsort(at, kind="stable")[np.count_nonzero(at < 0) :]
    at, kinds, sure = at[order], *(predictions[name].to_numpy()[order] for name in ("class_id", "confidence"))
    for source, places in told.groupby("source").indices.items():
        start, end = int(places[0]), int(places[-1]) + 1
        here = slice(*np.searchsorted(at, [start, end]))
        yield str(source), classes.counted(end - start, at[here] - start, kinds[here], sure[here])
