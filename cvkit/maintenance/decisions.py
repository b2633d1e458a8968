"""Decisions: the record of what was decided, and the words for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pandas as pd
import sqlalchemy as sa

from cvkit.config.retraining import RetrainingSettings
from cvkit.maintenance.decision import CONDITIONS, Decision, Rhythm, spoken
from cvkit.maintenance.facts import Evidence, plain
from cvkit.maintenance.situation import Situation, situations
from cvkit.monitoring.history import History
from cvkit.monitoring.schema import DECISIONS

MOST_KEYS = 6  # measurements that are named in a terminal


def record(history: History, evidence: Evidence, decision: Decision) -> bool:
    """Put a decision into the history, and say whether it is new.

    The same decision on the same evidence, of the same window and version, as the last one is none.
    """
    window = evidence.window
    row = {
        "model": evidence.model, "version": evidence.version, "window_start": window.start if window else None,
        "window_end": window.end if window else None, "evidence": decision.evidence, "action": decision.action,
        "policy": decision.policy, "source": decision.source,
    }  # fmt: skip
    told = {"made": evidence.now, "why": decision.why, "decision": plain(decision), "facts": plain(evidence)}
    newest = sa.select(*(DECISIONS.c[name] for name in row)).where(DECISIONS.c.model == evidence.model)
    with history.writing() as connection:
        last = connection.execute(newest.order_by(DECISIONS.c.id.desc()).limit(1)).mappings().one_or_none()
        if last is not None and dict(last) == row:
            return False
        connection.execute(DECISIONS.insert(), {**row, **told})
    return True


def decisions(history: History, model: str) -> pd.DataFrame:
    """Every decision about a model, oldest first: made, version, window, action, policy, source, why, and all of it."""
    query = sa.select(DECISIONS).where(DECISIONS.c.model == model).order_by(DECISIONS.c.id)
    with history.reading() as connection:
        result = connection.execute(query)
        return pd.DataFrame(result.all(), columns=list(result.keys()))


def text(evidence: Evidence, decision: Decision, settings: RetrainingSettings) -> str:
    """A decision with its evidence, for a terminal."""
    about = f" for {decision.source}" if decision.source else ""
    lines = [f"{decision.action}{about} (policy {decision.policy})", f"  {decision.why}"]
    lines += [f"also: {step.action} for {step.source} ({step.policy})\n  {step.why}" for step in decision.also]
    lines += ["", f"what is known{_when(evidence)}"]
    for source, situation in situations(evidence, settings).items():
        lines += [f"  {source or '(no source)'}", *(f"    {line}" for line in aspects(situation))]
    lines += ["", "rests on", *(f"  {line}" for line in _keys(decision.measurements))]
    rows = [(one.policy, one.action, " | ".join(one.failed) or "a row above it holds") for one in decision.considered]
    lines += ["", "considered and rejected", *_table(rows)] if rows else []
    lines += ["", "what would change it", *(f"  {line}" for line in decision.would_change or ("nothing by itself",))]
    return "\n".join([*lines, "", *_rhythm(decision.rhythm, settings)])


def _when(evidence: Evidence) -> str:
    window = f", up to the window of {evidence.window}" if evidence.window else ""
    update = f"; last update {evidence.update.at.astimezone(UTC):%Y-%m-%d}" if evidence.update else "; no update yet"
    return f" of version {evidence.version}{window}{update}"


def aspects(situation: Situation) -> Iterator[str]:
    """Its conditions; of those that are so or not only what is so."""
    for name in CONDITIONS:
        if situation[name].value is not False:
            yield spoken(name, situation)


def _keys(keys: tuple[str, ...]) -> Iterator[str]:
    yield from keys[:MOST_KEYS] or ("no measurement",)
    if len(keys) > MOST_KEYS:
        yield f"and {len(keys) - MOST_KEYS} more (--json names them)"


def _table(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for row in rows:
        yield "  " + "  ".join([*(row[column].ljust(widths[column]) for column in range(2)), row[2]])


def _rhythm(rhythm: Rhythm, settings: RetrainingSettings) -> Iterator[str]:
    if math.isnan(rhythm.retrain_days):
        yield "how often to retrain is not known: no fall of F1 over the windows is shown"
        return
    often = max(rhythm.retrain_days, rhythm.evaluate_days)
    yield (
        f"as F1 of {rhythm.source or 'all images'} fell so far, it falls by {settings.margin:g} in"
        f" {rhythm.retrain_days:.2g} days ({rhythm.soonest:.2g} to {rhythm.latest:.2g}):"
        f" label and evaluate every {rhythm.evaluate_days:.2g} days, retrain every {often:.2g}"
    )
