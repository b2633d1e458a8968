"""Rules: measurements in, verdicts with a reason in words out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cvkit.config import RuleSettings
from cvkit.monitoring.alarms import DAYS_A_YEAR, FEWEST, Alarm, Key
from cvkit.monitoring.quality import LEARNT_FINDINGS
from cvkit.tables import FEATURE_UNITS, FINDING_WORDS, OWN, VERDICTS, conform, records, worst, worst_by

DRIFT_TESTS = ("ks", "chi_square", "embedding_shift")  # a feature with one of them has a drift verdict
GRADUAL = 0.8  # probability from which a change is called gradual, and below it sudden


def judge(
    measurements: pd.DataFrame, settings: RuleSettings, alarms: Mapping[Key, Alarm], window_days: float = 1.0
) -> pd.DataFrame:
    """Verdicts (table VERDICTS) on the measurements of one window, and on what all windows up to it say together.

    Drift needs an effect that matters *and* evidence: an alarm of its stream (`cvkit.monitoring.alarms`). Findings
    that chance plays a part in need a p-value, corrected over all of the window's, at most their share of
    `false_alarms_per_year` shared out over the year's windows. Facts such as unreadable files need no p-value. A source
    with too few images, or unknown to the reference, is unknown, never ok.
    """
    budget = settings.false_alarms_per_year * (1 - settings.drift_share)
    alpha = min(1.0, budget * window_days / DAYS_A_YEAR)
    looked_at = measurements[~measurements["feature"].isin([*settings.ignore, OWN])]
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in records(looked_at):
        parts[row["source"]].append(row)
    told: dict[str, dict[str, Alarm]] = defaultdict(dict)
    for (source, feature), alarm in alarms.items():
        told[source][feature] = alarm
    rows = [
        {"source": source, **verdict}
        for source in sorted(parts)
        for verdict in _judge_source(parts[source], settings, told[source], alpha)
    ]
    return conform(pd.DataFrame(rows, columns=list(VERDICTS)), VERDICTS)


def lights(verdicts: pd.DataFrame) -> dict[str, str]:
    """One state per source: the one that asks for most attention."""
    return worst_by(verdicts, "source")


def _judge_source(
    rows: Sequence[dict[str, Any]], settings: RuleSettings, alarms: Mapping[str, Alarm], alpha: float
) -> Iterator[dict[str, str]]:
    means = {row["feature"]: row for row in rows if row["metric"] == "mean"}
    for row in rows:
        feature, metric = row["feature"], row["metric"]
        if (feature, metric) == ("images", "count"):
            yield _judge_amount(row, settings)
        elif feature in LEARNT_FINDINGS and not row["n_reference"]:
            nothing = "the reference has no images of this source: nothing to learn from"
            yield {"rule": "quality", "feature": feature, "state": "unknown", "reason": nothing}
        elif metric == "share":
            yield _judge_share(row, settings, alpha)
        elif metric == "count":
            yield _judge_count(row)
        elif metric in DRIFT_TESTS and not (feature in FEWEST and row["n"] < FEWEST[feature]):
            yield _judge_drift(row, means.get(feature), alarms.get(feature), settings)


def _judge_amount(row: dict[str, Any], settings: RuleSettings) -> dict[str, str]:
    n, expected = int(row["value"]), row["expected"]
    verdict = {"rule": "data", "feature": "images", "state": "unknown"}
    if n == 0:
        return {**verdict, "reason": "no images in this window"}
    if row["n_reference"] == 0:
        return {**verdict, "reason": "the reference has no images of this source: nothing to compare with"}
    if row["n"] < settings.minimum_images:
        few = f"{row['n']} different readable images (of {n}), at least {settings.minimum_images} are needed to judge"
        return {**verdict, "reason": few}
    usual = "" if np.isnan(expected) else f", usually {expected:.0f}"
    return {**verdict, "state": "ok", "reason": f"{n} images{usual}"}


def _judge_share(row: dict[str, Any], settings: RuleSettings, alpha: float) -> dict[str, str]:
    verdict = {"rule": "quality", "feature": row["feature"]}
    if not row["n"]:
        few = "too few images to tell an odd one from a shifted window"
        return {**verdict, "state": "unknown", "reason": few}
    share, usual, excess = row["value"], row["expected"], row["effect"]
    proven = np.isnan(row["p_value"]) or row["p_adjusted"] <= alpha
    state = _grade(excess, settings.quality_warning, settings.quality_critical) if proven else "ok"
    reason = (
        f"{share:.0%} of {row['n']} images: {FINDING_WORDS[row['feature']]}"
        f" (expected {0 if np.isnan(usual) else usual:.0%}){_evidence(row)}"
    )
    return {**verdict, "state": state, "reason": reason}


def _judge_count(row: dict[str, Any]) -> dict[str, str]:
    state = "warning" if row["value"] > 0 else "ok"
    reason = f"{row['value']:.0f} times: {FINDING_WORDS[row['feature']]}"
    return {"rule": "quality", "feature": row["feature"], "state": state, "reason": reason}


def _judge_drift(
    row: dict[str, Any], mean: dict[str, Any] | None, alarm: Alarm | None, settings: RuleSettings
) -> dict[str, str]:
    verdict = {"rule": "drift", "feature": row["feature"]}
    fewest = FEWEST.get(row["feature"], settings.minimum_images)
    if row["n"] < fewest:
        few = f"{row['n']} values, at least {fewest} are needed to judge"
        return {**verdict, "state": "unknown", "reason": few}
    if alarm is None:
        few = "the reference does not tell how much healthy windows vary in this: too few images have it and a time"
        return {**verdict, "state": "unknown", "reason": few}
    state = "ok"
    if alarm.active:
        state = worst(["warning", _grade(alarm.effect, settings.drift_warning, settings.drift_critical)])
    subject = {"class_mix": "shares of the classes ", "embedding": "what the model makes of the images "}
    words = (
        f"{subject.get(row['feature'], _drift_words(mean))}changed by {alarm.effect:.2g} {_unit(row)}{_course(alarm)}"
    )
    proof = f"{_proof(alarm)}, {row['n']} images against {row['n_reference']}"
    return {**verdict, "state": state, "reason": f"{words}; {proof}"}


def _drift_words(mean: dict[str, Any] | None) -> str:
    if mean is None:  # a feature without a mean in one unit
        return ""
    return (
        f"mean {mean['value']:.4g}, expected {mean['expected']:.4g}"
        f" ({mean['expected_low']:.4g} to {mean['expected_high']:.4g}; {FEATURE_UNITS[mean['feature']]}): "
    )


def _unit(row: dict[str, Any]) -> str:
    return "(Cohen's w)" if row["feature"] == "class_mix" else "reference standard deviations"


def _course(alarm: Alarm) -> str:
    """Since when, and whether at once or bit by bit."""
    if not alarm.active:
        return ""
    onset, first, last = (moment[:10] for moment in (alarm.onset, alarm.first, alarm.last))
    way = "" if np.isnan(alarm.gradual) else " gradually" if alarm.gradual > GRADUAL else " suddenly"
    span = "" if first == last else f" (between {first} and {last})"
    return f"{way} since {onset}{span}"


def _proof(alarm: Alarm) -> str:
    found = 10 ** min(alarm.evidence, 6.0)
    times = "over a million" if alarm.evidence > 6 else f"{found:,.0f}" if found >= 10 else f"{found:.2g}"
    lasting = f"alarm since {alarm.raised[:10]}, evidence now" if alarm.active and found < 1 else "evidence"
    return f"{lasting} {times} times what an alarm needs"


def _evidence(row: dict[str, Any]) -> str:
    if np.isnan(row["p_value"]):
        return ""
    return f"; corrected p = {row['p_adjusted']:.2g}, {row['n']} images against {row['n_reference']}"


def _grade(size: float, warning: float, critical: float) -> str:
    return "critical" if size >= critical else "warning" if size >= warning else "ok"
