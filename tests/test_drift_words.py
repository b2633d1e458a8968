"""What is said of the numbers of drift."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cvkit.documentation import drift_words
from cvkit.stats.change import drift
from cvkit.stats.change.harm import Harm
from cvkit.tables import MEASUREMENTS, conform


def test_each_number_has_its_meaning() -> None:
    rng = np.random.default_rng(0)
    then, now = rng.normal(100, 10, 500), rng.normal(120, 10, 60)
    found = drift.compare(now, then)
    rows = [
        {"feature": "brightness", "metric": name, "value": one.statistic, "effect": one.effect, "p_value": one.p_value,
         "p_adjusted": one.p_value, "n": one.n, "n_reference": one.n_reference}
        for name, one in found.items()
    ]  # fmt: skip
    rows.insert(0, {"feature": "brightness", "metric": "mean", "value": now.mean(), "low": 117.0, "high": 123.0,
                    "expected": 100.0, "expected_low": 97.0, "expected_high": 103.0, "n": 60,
                    "n_reference": 500})  # fmt: skip
    rows.append({"feature": "brightness", "metric": "selection", "value": 0.5, "n": 9, "n_reference": 9})
    told = drift_words.numbers(conform(pd.DataFrame(rows), MEASUREMENTS)).set_index("number")
    assert list(told.index) == ["Mean", "Wasserstein", "Kolmogorov-Smirnov", "PSI", "Jensen-Shannon"]
    assert told.loc["Mean", "meaning"].endswith(
        "The reference's is 100; in 95 % of healthy windows it lies from 97 to 103"
    )
    gap = max(abs((now <= cut).mean() - (then <= cut).mean()) for cut in np.concatenate([now, then]))
    assert f"{gap:.0%} more" in told.loc["Kolmogorov-Smirnov", "meaning"]
    moved = np.mean(np.quantile(now, np.linspace(0, 1, 4001)) - np.quantile(then, np.linspace(0, 1, 4001)))
    assert float(told.loc["Wasserstein", "value"]) == pytest.approx(moved, rel=0.02)
    assert told.loc["Wasserstein", "meaning"].endswith(f"{moved / then.std(ddof=1):.2g} reference sd")
    assert f"about {9 * (1 / 60 + 1 / 500):.2g} comes by chance" in told.loc["PSI", "meaning"]


def test_what_is_not_known_is_said() -> None:
    rows = conform(pd.DataFrame([{"feature": "f1", "metric": "ks", "n": 3, "n_reference": 40}]), MEASUREMENTS)
    assert drift_words.numbers(rows).to_numpy().tolist() == [
        ["Kolmogorov-Smirnov", "not known", "too few values: 3 against 40"]
    ]
    assert "not known" in drift_words.harm(Harm(np.nan, np.nan, 0, 0))
    assert drift_words.numbers(rows[:0]).empty


def test_alarms_and_harm() -> None:
    told = {"feature": "noise", "active": True, "evidence": 2.0, "effect": 1.5, "since": "2026-10-07",
            "raised": "2026-10-09T00:00:00+00:00", "gradual": 0.9}  # fmt: skip
    assert drift_words.alarm(told) == (
        "The alarm lasts since the window of 2026-10-09. The change most likely began on 2026-10-07, bit by bit."
    )
    assert "at once" in drift_words.alarm({**told, "gradual": 0.1})
    assert drift_words.alarm({**told, "gradual": np.nan}).endswith("2026-10-07.")
    assert "No alarm" in drift_words.alarm({**told, "active": False, "evidence": -1.0})
    assert "0.1 times" in drift_words.alarm({**told, "active": False, "evidence": -1.0})
    assert drift_words.harm(Harm(-0.146, 0.71, 30, 30)) == (
        "To expect of this feature alone: F1 0.146 lower; of the 71% of its images beyond the reference's range nobody "
        "can tell."
    )
    assert drift_words.harm(Harm(-0.0001, 0.0, 30, 30)) == "To expect of this feature alone: no change of F1."
