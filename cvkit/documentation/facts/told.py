"""Each matter that documents tell facts of, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pandas as pd

from cvkit.documentation import round_words
from cvkit.documentation.facts.asked import (
    classes,
    newest,
    of_file,
    reference_date,
    settings_date,
    time,
    weights_date,
    window,
)
from cvkit.documentation.facts.known import Known
from cvkit.documentation.facts.production import labels, performance
from cvkit.documentation.facts.table import Fact, listed
from cvkit.documentation.facts.trained import data, test_set, training
from cvkit.documentation.facts.use import deployment, versions
from cvkit.documentation.wording import escape
from cvkit.monitoring import diagnosis
from cvkit.tables import worst

RECENT = timedelta(days=30)
MOST = 10  # rows of a list
METRICS = ("f1", "precision", "recall", "ap", "ap50")


def told(known: Known) -> dict[str, Fact]:
    """All facts by name."""
    return {name: tell(known) for name, tell in FACTS.items()}


def overview(known: Known) -> Fact:
    """Which model this is, and since when it is in use."""
    config, network = known.config, known.network
    since = [one for one in known.champions.log if one.version == known.version] if known.champions else []
    first = time(known.runs["window_start"].min()) if len(known.runs) else None
    weights = config.resolve(config.model.weights) if config.model.weights else None
    size = f"{weights.stat().st_size / 1e6:.1f} MB" if weights and weights.is_file() else ""
    fields = (
        ("model", config.model.name),
        ("task", {"detect": "object detection"}.get(config.model.task, "")),
        ("classes", listed([str(name) for name in classes(known).values()])),
        ("champion version", known.version),
        (
            "in use since",
            f"{since[-1].when:%Y-%m-%d}" if since else f"{first:%Y-%m-%d}, the first window measured" if first else "",
        ),
        ("weights", size and f"{size}, SHA-256 begins with {known.version}"),
        ("network", str(network.get("file") or network.get("kind", ""))),
    )
    return Fact(fields, "cvkit.yml, the weights and the log of champions", newest(known), filed=settings_date(known))


def architecture(known: Known) -> Fact:
    """The network and how it is run."""
    network, config = known.network, known.config
    weights = config.resolve(config.model.weights) if config.model.weights else None
    fields = (
        ("kind", str(network.get("kind", ""))),
        ("layers", _number(network.get("layers"))),
        ("parameters", _number(network.get("parameters"))),
        (
            "GFLOPs an image",
            f"{network['gflops']:.1f} at {config.model.image_size} px" if network.get("gflops") else "",
        ),
        ("input", f"{config.model.image_size} px, longer side" if network else ""),
        ("stride", str(network.get("stride", ""))),
        ("output", f"boxes of {len(classes(known))} classes, with confidences" if classes(known) else ""),
    )
    return Fact(fields, "the champion's weights", weights_date(known), filed=of_file(weights))


def evaluation(known: Known) -> Fact:
    """How good the model was on the reference, and what the gate said of it."""
    whole = {str(row["metric"]): row for row in known.quality[known.quality["by"] == ""].to_dict("records")}
    fields = [(f"{name} on the reference", _interval(whole.get(name, {}))) for name in METRICS]
    fields.append(("cut at confidence", f"{known.config.model.confidence:g}"))
    parts, result, measured = [_class_table(known)], known.result, reference_date(known)
    if result is None:
        first = known.champion is None or known.champion.kind == "adopted"
        fields.append(("gate", "none: these weights were in use before there was one to compare with" if first else ""))
        return Fact(tuple(fields), "the reference's labels", None, "\n\n".join(filter(None, parts)), measured)
    parts += [round_words.gate_lines(result, known.config.retraining), round_words.part_table(result.parts)]
    fields.append(("gate", result.outcome))
    return Fact(tuple(fields), "the reference's labels and the gate", result.made, "\n\n".join(filter(None, parts)))


def slices(known: Known) -> Fact:
    """How good the champion is on parts of the reference, and of the test images where the gate compared it."""
    own = known.quality[~known.quality["by"].isin(["", "class"])].sort_values(["by", "part"])
    fields = [(f"F1 of {row['part']}", _interval(row)) for row in own.to_dict("records")]
    if known.result is None:
        return Fact(
            tuple(fields) or (("F1 by source", ""),), "the reference's labels", None, filed=reference_date(known)
        )
    parts = known.result.parts
    rows = parts[(parts["by"] != "") & parts["metric"].isin(["f1", "recall"]) & (parts["part"] != "all")]
    fields += [
        (
            f"{row['metric']} of {row['part']} images, {row['by']} {row['value']}",
            f"{row['challenger']:.3f}, {row['images']} images",
        )
        for row in rows.to_dict("records")
    ]
    return Fact(tuple(fields), "the reference's labels and the gate", known.result.made)


def drift(known: Known) -> Fact:
    """The verdict on each source in the newest window, and what is probably the matter."""
    if known.verdicts.empty:
        return Fact((("verdict", ""),), "the verdicts on windows", None)
    now = known.verdicts[known.verdicts["window_start"] == known.verdicts["window_start"].max()]
    found = diagnosis.diagnose(known.verdicts)
    lasting = found[found["until"].isna()]
    fields = [("window", window(now))]
    for source, part in now.groupby("source"):
        causes = [
            f"{row['what']}, since {row['since']:%Y-%m-%d}"
            for row in lasting[lasting["source"] == source].to_dict("records")
        ]
        fields.append(
            (f"{source or 'all'}", f"{worst(list(part['state']))}{': ' if causes else ''}{'; '.join(causes)}")
        )
    return Fact(tuple(fields), "the verdicts on windows", time(now["window_end"].max()))


def alerts(known: Known) -> Fact:
    """Alerts that are open, each with the rule that raised it, and how many ended in the last 30 days."""
    table, since = known.alerts, pd.Timestamp(known.now - RECENT)
    still = table[table["until"].isna()] if len(table) else table
    ended = table[table["until"] >= since] if len(table) else table
    fields = (("open", str(len(still))), ("ended in the last 30 days", str(len(ended))))
    rows = still.sort_values(["since", "source", "rule"]).to_dict("records") if len(still) else []
    lines = [
        f"| {row['severity']} | {escape(str(row['source']) or 'all')} | {escape(str(row['what']))} | "
        f"{escape(str(row['rule']))} | {row['since']:%Y-%m-%d} | {row['state']} |"
        for row in rows[:MOST]
    ]
    head = ["| severity | source | likely cause | rule | since | state |", "|---|---|---|---|---|---|"]
    rest = [f"\nand {len(rows) - MOST} more"] if len(rows) > MOST else []
    return Fact(fields, "the log of alerts", newest(known), "\n".join([*head, *lines, *rest]) if rows else "")


def decisions(known: Known) -> Fact:
    """What was decided about retraining, the newest first."""
    rows = known.decisions.iloc[::-1].to_dict("records")
    last = f"{rows[0]['made']:%Y-%m-%d}: {rows[0]['action']}: {rows[0]['why']}" if rows else "none yet"
    fields = (("decisions so far", str(len(rows))), ("the last", last))
    lines = [
        f"- {row['made']:%Y-%m-%d}: {escape(str(row['action']))} ({escape(str(row['why']))})" for row in rows[1:MOST]
    ]
    more = "\n".join(["Before it:", "", *lines]) if lines else ""
    return Fact(fields, "the log of decisions", time(rows[0]["made"]) if rows else newest(known), more)


def sources(known: Known) -> Fact:
    """The sources, with the images of the newest windows."""
    counted = known.measurements[
        (known.measurements["feature"] == "images") & (known.measurements["metric"] == "count")
    ]
    fields = tuple(
        (
            str(source) or "all",
            f"{part['value'].median():.0f} images a window, {len(part)} windows up to "
            f"{part['window_start'].max():%Y-%m-%d}",
        )
        for source, part in counted.groupby("source")
    )
    return Fact(fields or (("sources", ""),), "measured windows", newest(known))


def monitoring(known: Known) -> Fact:
    """What is watched, how often, and who is told."""
    config = known.config
    rules, jobs = config.rules, [f"{job.notebook} ({job.cron} {job.time_zone})" for job in config.schedule]
    fields = (
        ("window", f"{config.window_hours} hours"),
        ("schedule", "; ".join(jobs)),
        ("false alarms accepted", f"{rules.false_alarms_per_year:g} a year"),
        ("drift warns from", f"{rules.drift_warning:g} deviations, critical from {rules.drift_critical:g}"),
        ("bad images warn from", f"{rules.quality_warning:.0%}, critical from {rules.quality_critical:.0%}"),
        ("alert rules", listed([rule.name for rule in config.alerts.all_rules])),
        ("people are told by", listed([channel.name for channel in config.alerts.channels]) or "the site alone"),
    )
    return Fact(fields, "cvkit.yml", None, filed=settings_date(known))


FACTS: Mapping[str, Callable[[Known], Fact]] = {
    "overview": overview,
    "architecture": architecture,
    "data": data,
    "training": training,
    "evaluation": evaluation,
    "slices": slices,
    "performance": performance,
    "drift": drift,
    "alerts": alerts,
    "decisions": decisions,
    "versions": versions,
    "deployment": deployment,
    "sources": sources,
    "monitoring": monitoring,
    "labels": labels,
    "test-set": test_set,
}


def _class_table(known: Known) -> str:
    of_class = known.quality[known.quality["by"] == "class"].sort_values("part").to_dict("records")
    rows = [f"| {escape(row['part'].removeprefix('class '))} | {escape(_interval(row))} |" for row in of_class]
    return "\n".join(["| class | F1 on the reference |", "|---|---|", *rows]) if rows else ""


def _interval(row: Mapping[Any, Any]) -> str:
    """A row of table QUALITY in words: value, 95 % interval and images."""
    if not row or pd.isna(row["value"]):
        return ""
    sure = "interval not known" if pd.isna(row["low"]) else f"{row['low']:.3f} to {row['high']:.3f}"
    return f"{row['value']:.3f} ({sure}), {row['n']:,} images"


def _number(number: Any) -> str:
    return f"{number:,}" if number else ""
