"""A round of maintenance in Markdown: the decision, the data, what the gate said."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cvkit.config.retraining import RESERVED, RetrainingSettings
from cvkit.documentation.wording import escape
from cvkit.maintenance import decisions
from cvkit.maintenance.dataset import Prepared
from cvkit.maintenance.decision import Decision
from cvkit.maintenance.gate import Result
from cvkit.maintenance.gate_results import named
from cvkit.maintenance.rounds import Trained
from cvkit.maintenance.situation import Situation
from cvkit.tables import SIGNS

SHOWN = {"passed": "ok", "refused": "critical", "not enough": "unknown"}  # the sign of what the gate said


def decision_lines(decision: Decision) -> str:
    """What is to be done and why, and about the other sources."""
    about = f" for {escape(decision.source)}" if decision.source else ""
    row = "" if decision.policy in RESERVED else f", by the row `{decision.policy}`"
    lines = [f"**{escape(decision.action)}**{about}{row}: {escape(decision.why)}."]
    lines += [f"- also **{step.action}** for {escape(step.source)}, by `{step.policy}`: {escape(step.why)}"
              for step in decision.also]  # fmt: skip
    return "\n".join([lines[0], "", *lines[1:]])


def situation_table(situations: Mapping[str, Situation]) -> str:
    """What is known of each source, in the words of the table of policies."""
    lines = [
        f"- **{escape(source) or 'images without a source'}**: " + escape("; ".join(decisions.aspects(situation)))
        for source, situation in situations.items()
    ]
    return "\n".join(lines) or "No source has been measured since the last update."


def rejected_table(decision: Decision) -> str:
    """The rows of the table that did not decide, and why not."""
    if not decision.considered:
        return "Nothing: there is no source to ask the table about."
    rows = [
        f"| {one.policy} | {one.action} | {escape('; '.join(one.failed)) or 'a row above it holds'} |"
        for one in decision.considered
    ]
    return "\n".join(["| row | would have been | why not |", "|---|---|---|", *rows])


def change_lines(decision: Decision) -> str:
    """What would change the decision."""
    return "\n".join(f"- {escape(one)}" for one in decision.would_change) or "Nothing by itself."


def newest_line(trained: Trained) -> str:
    """The newest version that was trained, and whether what the gate said is about another."""
    version, result = trained.version, trained.result
    if version is None:
        return "No version was trained yet."
    line = (
        f"The newest version is `{version.name}`, {version.kind}, made on {version.made:%Y-%m-%d %H:%M} UTC"
        + f" from `{version.parent}`." * bool(version.parent)
    )
    if trained.damage:
        line += f" It is not shown how it learnt: {escape(trained.damage)}."
    if result is None or result.challenger == version.name:
        return line
    return f"{line} It was not judged after `{result.challenger}`, which is what the gate says below."


def data_table(prepared: Prepared | None) -> str:
    """Where the images of a training came from, and what was left out."""
    if prepared is None:
        return "Nothing was prepared yet: `cvkit retrain prepare`."
    lines = [f"Data set `{prepared.id}`, {len(prepared.manifest)} images.", "",
             "| from | split | source | images | boxes |", "|---|---|---|---|---|"]  # fmt: skip
    for (origin, split, source), part in prepared.manifest.groupby(["origin", "split", "source"]):
        lines.append(f"| {origin} | {split} | {escape(str(source)) or '-'} | {len(part)} | {part['boxes'].sum()} |")
    left_out = []
    for (origin, reason), part in prepared.left_out.groupby(["origin", "reason"]):
        left_out.append(f"- left out: {len(part)} of {origin}: {escape(str(reason))}")
    return "\n".join([*lines, "", *left_out])


def gate_lines(result: Result | None, settings: RetrainingSettings) -> str:
    """What the gate said, why, and on how many images."""
    if result is None:
        return f"**{SIGNS['unknown']} unknown:** no version was judged yet: `cvkit retrain gate`."
    sign = SIGNS[SHOWN[result.outcome]]
    head = f"**{sign} {result.outcome}:** `{result.challenger}` beside the champion `{result.champion}`."
    speed = (
        f"An image takes {result.latency_ms[1]:.1f} ms, the champion's {result.latency_ms[0]:.1f} ms;"
        f" up to {settings.slower:g} times is accepted."
    )
    notes = [f"- {escape(note)}" for note in result.notes]
    return "\n".join([head, "", *(f"- {escape(reason)}" for reason in result.reasons), *notes, f"- {speed}"])


def part_table(parts: pd.DataFrame) -> str:
    """Both models on each part that is protected, or did not hold, with all metrics of the whole."""
    if parts.empty:
        return ""
    rows = parts[(parts["by"] == "") | parts["protected"] | parts["verdict"].isin(["worse", "not enough"])]
    lines = ["| part | images | metric | champion | challenger | difference | it is |", "|---|---|---|---|---|---|---|"]
    for row in rows.to_dict("records"):
        interval = "" if pd.isna(row["low"]) else f" ({row['low']:+.3f} to {row['high']:+.3f})"
        name = escape(named(row["part"], row["by"], row["value"]))
        numbers = f"{row['champion']:.3f} | {row['challenger']:.3f} | {row['difference']:+.3f}{interval}"
        lines.append(f"| {name} | {row['images']} | {row['metric']} | {numbers} | {row['verdict']} |")
    return "\n".join(lines)
