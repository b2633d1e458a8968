"""Numbers of people's own: one per image, compared with the reference as cvkit's are, for the history and its rules."""

from __future__ import annotations

import math

import pandas as pd

from cvkit.config.alerts import OWN_NAME
from cvkit.errors import ConfigError
from cvkit.monitoring.basis import distinct_reference
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.parts import distinct_images
from cvkit.stats import correction, intervals
from cvkit.stats.change import drift
from cvkit.tables import MEASUREMENTS, OWN, conform


def measure(
    observation: Observation,
    name: str,
    now: pd.Series,
    then: pd.Series,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> pd.DataFrame:
    """Table MEASUREMENTS of a number of one's own, a row per source: its mean beside what is normal, and its drift.

    `now`, `then`: the number by image_id, of the window's images and of the reference's; NaN or missing where there is
    none. `bounds`: least and greatest value there can be. The rows have the feature `own` and the metric `name`: so
    `History.add_measurements` keeps them, `plots.trend` draws them, and the rule metric `own.NAME` watches them.
    `effect` and `p_value` as of `drift.ks`, `p_adjusted` over sources. Copies of one image count once. Contexts of
    `reference.match` are not matched. Raises ConfigError on a name that no rule could say.
    """
    if not OWN_NAME.fullmatch(name):
        raise ConfigError(
            "a number of your own needs another name", found=name,
            expected="lower case letters, digits and _, a letter first, at most 40",
        )  # fmt: skip
    length = observation.window.end - observation.window.start
    rows = []
    for source, images in observation.features.groupby("source"):
        image_ids, chunks = distinct_reference(observation.reference, str(source), length)
        mine = distinct_images(images)["image_id"].map(now).to_numpy(float)
        usual = image_ids.map(then).to_numpy(float)
        moved = drift.ks(mine, drift.prepare(usual, chunks))
        row = {"source": str(source), "feature": OWN, "metric": name, "n": moved.n, "n_reference": moved.n_reference}
        told = {"effect": moved.effect, "p_value": moved.p_value}
        rows.append(row | intervals.compare_means(mine, intervals.healthy(usual, chunks), bounds) | told)
    table = conform(pd.DataFrame(rows), MEASUREMENTS)
    return table.assign(p_adjusted=correction.holm(table["p_value"].to_numpy()))
