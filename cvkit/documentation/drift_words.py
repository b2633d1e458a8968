"""What the numbers of drift mean, each in a sentence: plain text, to be escaped for where it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cvkit.stats.change.drift import psi_expected
from cvkit.stats.change.harm import Harm
from cvkit.tables import FEATURE_UNITS

COLUMNS = ("number", "value", "meaning")
COHEN = "by custom 0.1 is small, 0.3 medium, 0.5 large"
EFFECTS = {"class_mix": "Cohen's w"}  # units of effects that are not reference standard deviations
Row = Mapping[Any, Any]  # of MEASUREMENTS


def effect_words(feature: str, effect: float) -> str:
    """A size of change and its unit.

    >>> effect_words("brightness", 1.234), effect_words("class_mix", 0.5), effect_words("f1", float("nan"))
    ('1.2 reference sd', "0.5 Cohen's w", 'not known')
    """
    return "not known" if np.isnan(effect) else f"{effect:.2g} {EFFECTS.get(feature, 'reference sd')}"


def times(evidence: float) -> str:
    """How many times what an alarm needs, of its log10.

    >>> times(9.0), times(3.5), times(-0.5), times(-7.0)
    ('over a million', '3,162', '0.32', 'less than 0.01')
    """
    if evidence >= 6:
        return "over a million"
    many = 10.0**evidence
    return f"{many:,.0f}" if many >= 10 else f"{many:.2g}" if many >= 0.01 else "less than 0.01"


def numbers(measurements: pd.DataFrame) -> pd.DataFrame:
    """What each number about one feature of one source is and means: columns `COLUMNS`.

    `measurements`: table MEASUREMENTS; metrics that nobody explains here are left out.
    """
    rows = [row for row in measurements.to_dict("records") if row["metric"] in MEANINGS]
    rows.sort(key=lambda row: list(MEANINGS).index(row["metric"]))
    found = []
    for row in rows:
        name, meaning = MEANINGS[row["metric"]]
        if np.isnan(row["value"]):
            found.append([name, "not known", f"too few values: {row['n']} against {row['n_reference']}"])
        else:
            found.append([name, f"{row['value']:.3g}", meaning(row)])
    return pd.DataFrame(found, columns=list(COLUMNS))


def alarm(told: Row) -> str:
    """Whether there is an alarm, and since when (a row of `changes.told`); how sure it is, the verdict says."""
    if not told["active"]:
        return f"No alarm: the evidence over all windows is {times(told['evidence'])} times what one needs."
    way: str = "" if pd.isna(told["gradual"]) else ", bit by bit" if told["gradual"] > 0.8 else ", at once"
    since = f"The change most likely began on {told['since']}{way}"
    return f"The alarm lasts since the window of {told['raised'][:10]}. {since}."


def harm(expected: Harm) -> str:
    """What a change of one feature is expected to do to the quality of what the model says."""
    if np.isnan(expected.change):
        return "What harm to expect of it is not known: the reference does not tell how quality hangs on this feature."
    change = round(expected.change, 3) + 0
    way = "no change of F1" if not change else f"F1 {abs(change):.3g} {'lower' if change < 0 else 'higher'}"
    beyond = f"; of the {expected.beyond:.0%} of its images beyond the reference's range nobody can tell"
    return f"To expect of this feature alone: {way}{beyond if expected.beyond > 0 else ''}."


def _mean(row: Row) -> str:
    where = "" if np.isnan(row["low"]) else f"95 % interval {row['low']:.3g} to {row['high']:.3g}. "
    if np.isnan(row["expected"]):
        return f"mean of the window's images. {where}The reference has no value"
    usual = f"; in 95 % of healthy windows it lies from {row['expected_low']:.3g} to {row['expected_high']:.3g}"
    usual = "" if np.isnan(row["expected_low"]) else usual
    return f"mean of the window's images. {where}The reference's is {row['expected']:.3g}{usual}"


def _ks(row: Row) -> str:
    gap = f"at the value where both differ most, {row['value']:.0%} more of the one's images lie below it"
    return (
        f"largest gap between the running totals of window and reference: {gap} (0 alike, 1 no overlap). {_chance(row)}"
    )


def _psi(row: Row) -> str:
    noise = psi_expected(int(row["n"]), int(row["n_reference"]))
    noisy = "" if np.isnan(noise) else f"; from so few images about {noise:.2g} comes by chance"
    return (
        f"how far the shares of the reference's ten equal parts have shifted: below 0.1 little, above 0.25 much{noisy}"
    )


def _wasserstein(row: Row) -> str:
    unit = FEATURE_UNITS.get(row["feature"], "")
    size = effect_words(row["feature"], row["effect"])
    return f"how far an average value has to be moved to turn the reference into the window ({unit}): {size}"


def _jensen_shannon(_: Row) -> str:
    return "distance of the shares of the same ten parts: 0 equal shares, 1 no part in common"


def _chi_square(row: Row) -> str:
    size = f"the size of the change is {effect_words('class_mix', row['effect'])}, {COHEN}"
    return f"how far boxes by class are from the reference's shares: {size}. {_chance(row)}"


def _embedding(row: Row) -> str:
    far = (
        f"how far the mean of what the model makes of the images has moved: {effect_words('embedding', row['effect'])}"
    )
    return f"{far}. {_chance(row)}"


def _chance(row: Row) -> str:
    if np.isnan(row["p_value"]):
        return "How often chance does as much cannot be told"
    alone = f"Chance alone does as much with probability p = {row['p_value']:.2g}"
    if np.isnan(row["p_adjusted"]):
        return alone
    return f"{alone}; adjusted, as many features and sources are looked at, p = {row['p_adjusted']:.2g}"


MEANINGS: Mapping[str, tuple[str, Callable[[Row], str]]] = {
    "mean": ("Mean", _mean),
    "wasserstein": ("Wasserstein", _wasserstein),
    "ks": ("Kolmogorov-Smirnov", _ks),
    "psi": ("PSI", _psi),
    "jensen_shannon": ("Jensen-Shannon", _jensen_shannon),
    "chi_square": ("Chi-square", _chi_square),
    "embedding_shift": ("Embedding shift", _embedding),
}
