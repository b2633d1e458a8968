"""What changed: streams ranked by evidence and by the harm to expect, and whether looks or classes changed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cvkit.monitoring import alarms
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference
from cvkit.stats import harm
from cvkit.tables import PROPERTIES

COLUMNS = ("source", "feature", "active", "evidence", "effect", "since", "gradual", "harm", "beyond")
APPEARANCE = frozenset({*PROPERTIES, "embedding"})


def rank(observation: Observation) -> pd.DataFrame:
    """All streams of a window, the ones that ask for attention first: columns `COLUMNS`.

    `evidence`: log10 of how many times what an alarm needs; `effect`: size since `since`, its onset; `gradual`: the
    probability of a ramp; `harm`: the change of quality to expect from this feature alone (see `quality`), negative is
    worse; `beyond`: the share of images outside the reference's range, of which harm says nothing. In order: alarms,
    then by expected loss of quality, then by evidence. NaN where nothing is known.
    """
    good = quality(observation.reference)
    rows = []
    for (source, feature), state in observation.streams.items():
        told = alarms.at(state, observation.window.start)
        if told is None or source not in set(observation.features["source"]):
            continue
        expected = _harm(observation, good, source, feature)
        rows.append([source, feature, told.active, told.evidence, told.effect, told.onset[:10], told.gradual,
                     expected.change, expected.beyond])  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"active": bool, "harm": float})
    loss = (-table["harm"]).fillna(-np.inf)
    return table.assign(loss=loss).sort_values(
        ["active", "loss", "evidence"], ascending=False, kind="stable", ignore_index=True
    )[list(COLUMNS)]  # fmt: skip


def kind(ranked: pd.DataFrame) -> dict[str, str]:
    """What kind of change each source with an alarm has: appearance, class mix, both of them, or predictions only."""
    found = {}
    for source, part in ranked[ranked["active"]].groupby("source"):
        looks, classes = bool(APPEARANCE & set(part["feature"])), "class_mix" in set(part["feature"])
        names = {(True, True): "appearance and class mix", (True, False): "appearance", (False, True): "class mix"}
        found[str(source)] = names.get((looks, classes), "predictions only")
    return found


def quality(reference: Reference) -> pd.Series:
    """How good the model was on each image of the reference: F1 against its labels; by image id.

    Of a reference without labels its mean confidence, which is what the model believes of itself. Empty without
    predictions.
    """
    covered = reference.images[reference.images["labelled"] & reference.images["predicted"]]
    if covered.empty:
        return reference.features.set_index("image_id")["confidence"].dropna()
    surest = reference.predictions.sort_values("confidence", ascending=False, kind="stable")
    said = dict(iter(surest.groupby("image_id")))
    true = dict(iter(reference.labels.groupby("image_id")))
    none = reference.labels.iloc[:0]
    scores = []
    for image_id in covered["image_id"]:
        first, second = said.get(image_id, none), true.get(image_id, none)
        corners = [part[["x1", "y1", "x2", "y2"]].to_numpy(dtype=float) for part in (first, second)]
        scores.append(harm.f1_of_image(corners[0], first["class_id"], corners[1], second["class_id"]))
    return pd.Series(scores, index=pd.Index(covered["image_id"], name="image_id"), dtype=float)


def _harm(observation: Observation, good: pd.Series, source: str, feature: str) -> harm.Harm:
    part = observation.reference.part(source)
    if feature not in observation.features or part is None:
        return harm.Harm(float("nan"), float("nan"), 0, 0)
    known = observation.reference.features
    then = known[known["source"] == part]
    now = observation.features.loc[observation.features["source"] == source, feature]
    return harm.expected_change(now, then[feature], then["image_id"].map(good))
