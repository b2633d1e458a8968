"""What changed: streams ranked by evidence and by the harm to expect, and whether looks or classes changed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cvkit.data.embeddings import matrix
from cvkit.data.features import copies
from cvkit.monitoring import alarms
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference, ordinary, ordinary_reference
from cvkit.stats.arrays import Floats
from cvkit.stats.change import harm, multivariate
from cvkit.stats.change.projection import unit
from cvkit.tables import PREDICTION_FEATURES, PROPERTIES

TOLD = ("source", "feature", "active", "evidence", "effect", "since", "gradual", "raised")
COLUMNS = (*TOLD[:-1], "harm", "beyond")
APPEARANCE = frozenset({*PROPERTIES, "embedding"})
TOGETHER = ("source", "columns", "statistic", "value", "effect", "p_value", "n", "n_reference")
MOST_ROWS = 1000  # of a source's reference that many columns are compared with at once


def told(observation: Observation) -> pd.DataFrame:
    """What the evidence says of each stream of a window that has images: columns `TOLD`, in no order.

    `evidence`: log10 of how many times what an alarm needs; `effect`: size since `since`, its onset; `gradual`: the
    probability of a ramp; `raised`: the window that raised the alarm, "" without one. NaN where nothing is known.
    """
    rows, sources = [], set(observation.features["source"])
    for (source, feature), state in observation.streams.items():
        if source not in sources or (alarm := alarms.at(state, observation.window.start)) is None:
            continue
        rows.append([source, feature, alarm.active, alarm.evidence, alarm.effect, alarm.onset[:10], alarm.gradual,
                     alarm.raised])  # fmt: skip
    return pd.DataFrame(rows, columns=list(TOLD)).astype({"active": bool})


def rank(observation: Observation) -> pd.DataFrame:
    """All streams of a window, the ones that ask for attention first: columns `COLUMNS`.

    As `told`, and `harm`: the change of quality to expect from this feature alone (see `quality`), negative is worse;
    `beyond`: the share of images outside the reference's range, of which harm says nothing. In order: alarms, then by
    expected loss of quality, then by evidence. NaN where nothing is known.
    """
    table, good = told(observation), quality(observation.reference)
    harms = [
        expected_harm(observation, good, source, feature)
        for source, feature in zip(table["source"], table["feature"], strict=True)
    ]
    table = table.assign(harm=[one.change for one in harms], beyond=[one.beyond for one in harms])
    table = table.astype({"harm": float})
    loss = (-table["harm"]).fillna(-np.inf)
    return table.assign(loss=loss).sort_values(
        ["active", "loss", "evidence"], ascending=False, kind="stable", ignore_index=True
    )[list(COLUMNS)]  # fmt: skip


def kind(ranked: pd.DataFrame) -> dict[str, str]:
    """What kind of change each source with an alarm has: of appearance, of class mix, of predictions, or of several."""
    found = {}
    for source, part in ranked[ranked["active"]].groupby("source"):
        moved = set(part["feature"])
        kinds = {"appearance": APPEARANCE, "class mix": {"class_mix"}, "predictions": set(PREDICTION_FEATURES)}
        names = [name for name, features in kinds.items() if features & moved]
        several = " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
        found[str(source)] = several if names != ["predictions"] else "predictions only"
    return found


def together(observation: Observation, *, most: int = MOST_ROWS, seed: int = 0) -> pd.DataFrame:
    """How far each source's images lie from the reference's in all columns at once: columns `TOGETHER`.

    `columns` "embedding" or "properties"; `statistic` "mmd" or "classifier" (`cvkit.stats.change.multivariate`), whose
    p-values exchange stretches as long as the window, where all images have a time, so that with k of them in the
    reference none is below about 1 / (k + 1). Of more than `most` images on a side, as many drawn with `seed`.
    """
    rows, length = [], observation.window.end - observation.window.start
    usual, vectors = ordinary(observation.reference, observation.features, observation.embeddings)
    known, known_vectors = ordinary_reference(observation.reference)
    for source, part in usual.groupby("source"):
        then = known[(known["source"] == observation.reference.part(str(source))) & (known["damage"] == "")]
        now, then = (_drawn(side, most, seed) for side in (part[part["damage"] == ""], then))
        timed = now["time"].notna().all() and then["time"].notna().all()
        days = (now["time"].dt.floor(length), then["time"].dt.floor(length)) if timed else None
        for columns, (first, second) in _all_columns(now, vectors, then, known_vectors).items():
            for name, statistic in multivariate.ROWS.items():
                found = statistic(first, second, days, seed=seed)
                rows.append([source, columns, name, found.statistic, found.effect, found.p_value, found.n,
                             found.n_reference])  # fmt: skip
    return pd.DataFrame(rows, columns=list(TOGETHER))


def _drawn(features: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    distinct = features[~copies(features)]
    return distinct.sample(min(most, len(distinct)), random_state=seed).sort_values(["time", "image_id"])


def _all_columns(
    now: pd.DataFrame, vectors: pd.DataFrame, then: pd.DataFrame, known_vectors: pd.DataFrame
) -> dict[str, tuple[Floats, Floats]]:
    """Rows of the window and the reference: the embedding, and the properties in the reference's deviations."""
    names = list(PROPERTIES)
    scale = then[names].std().replace(0.0, 1.0)
    looks = [(side[names] / scale).to_numpy(float) for side in (now, then)]
    first = unit(matrix(vectors, now["image_id"]))
    second = unit(matrix(known_vectors, then["image_id"]))
    found = {"properties": (looks[0], looks[1])}
    return found | {"embedding": (first, second)} if first.shape[1] and first.shape[1] == second.shape[1] else found


def quality(reference: Reference) -> pd.Series:
    """How good the model was on each image of the reference: F1 against its labels; by image id.

    Of a reference without labels its mean confidence, which is what the model believes of itself. Empty without
    predictions.
    """
    known = reference.features.set_index("image_id")
    labelled = known["f1"].dropna()
    return labelled if len(labelled) else known["confidence"].dropna()


def expected_harm(observation: Observation, good: pd.Series, source: str, feature: str) -> harm.Harm:
    """The change of quality to expect of one feature of a source; `good` as `quality` gives it; NaN: not known."""
    part = observation.reference.part(source)
    if feature not in observation.features or part is None:
        return harm.Harm(float("nan"), float("nan"), 0, 0)
    known = observation.reference.features
    then = known[known["source"] == part]
    now = observation.features.loc[observation.features["source"] == source, feature]
    return harm.expected_change(now, then[feature], then["image_id"].map(good))
