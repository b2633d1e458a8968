"""Each matter that documents tell facts of, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pandas as pd

from cvkit.documentation import round_words, wording
from cvkit.documentation.facts.known import Known
from cvkit.documentation.facts.table import Fact, listed
from cvkit.documentation.facts.use import deployment, versions
from cvkit.documentation.wording import escape
from cvkit.monitoring import diagnosis
from cvkit.tables import Window, worst

RECENT = timedelta(days=30)
MOST = 10  # rows of a list
METRICS = ("f1", "precision", "recall", "ap", "ap50")
ARGUMENTS = ("epochs", "batch", "imgsz", "optimizer", "lr0", "freeze", "seed")  # of a training, that are always told


def told(known: Known) -> dict[str, Fact]:
    """All facts by name."""
    return {name: tell(known) for name, tell in FACTS.items()}


def overview(known: Known) -> Fact:
    """Which model this is, and since when it is in use."""
    config, network = known.config, known.network
    since = [one for one in known.champions.log if one.version == known.version] if known.champions else []
    first = _moment(known.runs["window_start"].min()) if len(known.runs) else ""
    weights = config.resolve(config.model.weights) if config.model.weights else None
    size = f"{weights.stat().st_size / 1e6:.1f} MB" if weights and weights.is_file() else ""
    fields = (
        ("model", config.model.name),
        ("task", {"detect": "object detection"}.get(config.model.task, "")),
        ("classes", listed([str(name) for name in _classes(known).values()])),
        ("champion version", known.version),
        ("in use since", f"{since[-1].when:%Y-%m-%d}" if since else first and f"{first}, the first window measured"),
        ("weights", size and f"{size}, SHA-256 begins with {known.version}"),
        ("network", str(network.get("file") or network.get("kind", ""))),
    )
    return Fact(fields, "cvkit.yml, the weights and the log of champions", _newest(known))


def architecture(known: Known) -> Fact:
    """The network and how it is run."""
    network, config = known.network, known.config
    fields = (
        ("kind", str(network.get("kind", ""))),
        ("layers", _count(network.get("layers"))),
        ("parameters", _count(network.get("parameters"))),
        (
            "GFLOPs an image",
            f"{network['gflops']:.1f} at {config.model.image_size} px" if network.get("gflops") else "",
        ),
        ("input", f"{config.model.image_size} px, longer side" if network else ""),
        ("stride", str(network.get("stride", ""))),
        ("output", f"boxes of {len(_classes(known))} classes, with confidences" if _classes(known) else ""),
    )
    return Fact(fields, "the champion's weights", None)


def data(known: Known) -> Fact:
    """What the model was accepted on and trained on."""
    reference, prepared = known.reference, known.prepared
    fields: list[tuple[str, str]] = [("reference images", ""), ("reference boxes", ""), ("reference sources", "")]
    more = []
    if reference is not None:
        boxes = reference.labels
        fields = [
            ("reference images", f"{len(reference.images):,}, {int(reference.images['labelled'].sum()):,} labelled"),
            ("reference boxes", f"{len(boxes):,}"),
            ("reference sources", listed([s or "(none)" for s in reference.sources])),
        ]
        more.append(_balance(boxes, _classes(known)))
    taken = _span(reference.images["time"]) if reference is not None else ""
    fields += [("reference taken", taken), ("training images", "")]
    if prepared is not None:
        fields[-1] = ("training images", f"{len(prepared.manifest):,}, data set {prepared.id}")
        more.append(round_words.data_table(prepared))
    elif known.config.written.reference.data:
        old = known.config.retraining.old or known.config.written.reference.data
        fields[-1] = ("training images", f"split {known.config.retraining.old_split} of {old}")
    return Fact(tuple(fields), "the frozen reference and the manifest of the training", None, "\n\n".join(more))


def training(known: Known) -> Fact:
    """How the champion was trained."""
    version, network = known.champion, known.network
    trained = version is not None and version.kind != "adopted"
    given: Mapping[str, Any] = version.arguments if version and trained else network.get("arguments", {})
    made: Mapping[str, Any] = version.environment if version and trained else network
    fields = [
        ("kind", f"{version.kind}, from version {version.parent}" if version and trained else "before cvkit"),
        *((name, str(given.get(name, ""))) for name in ARGUMENTS),
        ("Ultralytics", str(made.get("ultralytics", ""))),
        ("trained on", str(made.get("device_name", "")) if trained else ""),
        ("finished", f"{version.made:%Y-%m-%d}" if version and trained else str(network.get("date", ""))[:10]),
    ]
    untold = {*ARGUMENTS, *(() if trained else network.get("usual", ()))}
    others = [f"{name} {value}" for name, value in given.items() if name not in untold]
    more = f"Other arguments, where not Ultralytics' own: {escape(', '.join(others))}." if others else ""
    return Fact(tuple(fields), "the record of the training" if trained else "the checkpoint", None, more)


def evaluation(known: Known) -> Fact:
    """How good the model was on the reference, and what the gate said of it."""
    whole = {str(row["metric"]): row for row in known.quality[known.quality["by"] == ""].to_dict("records")}
    fields = [(f"{name} on the reference", _interval(whole.get(name, {}))) for name in METRICS]
    fields.append(("cut at confidence", f"{known.config.model.confidence:g}"))
    parts, result = [_class_table(known)], known.result
    if result is None:
        first = known.champion is None or known.champion.kind == "adopted"
        fields.append(("gate", "none: these weights were in use before there was one to compare with" if first else ""))
        return Fact(tuple(fields), "the reference's labels", None, "\n\n".join(filter(None, parts)))
    parts += [round_words.gate_lines(result, known.config.retraining), round_words.part_table(result.parts)]
    fields.append(("gate", result.outcome))
    return Fact(tuple(fields), "the reference's labels and the gate", result.made, "\n\n".join(filter(None, parts)))


def performance(known: Known) -> Fact:
    """How good it is now: by labels, and by estimates where there are none."""
    newest = _of_newest(known, "performance")
    estimates = _of_newest(known, "estimate")
    fields = (("window of the newest labels", _window(newest)), ("window of the newest estimate", _window(estimates)))
    more = [wording.performance_table(newest)] if len(newest) else []
    more += [wording.estimate_lines(estimates)] if len(estimates) else []
    return Fact(fields[: 1 + bool(len(estimates))], "measured windows", _newest(known), "\n\n".join(more))


def slices(known: Known) -> Fact:
    """How good the champion is on parts of the reference, and of the test images where the gate compared it."""
    own = known.quality[~known.quality["by"].isin(["", "class"])].sort_values(["by", "part"])
    fields = [(f"F1 of {row['part']}", _interval(row)) for row in own.to_dict("records")]
    if known.result is None:
        return Fact(tuple(fields) or (("F1 by source", ""),), "the reference's labels", None)
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
        return Fact((("verdict", ""),), "verdicts", None)
    newest = known.verdicts[known.verdicts["window_start"] == known.verdicts["window_start"].max()]
    found = diagnosis.diagnose(known.verdicts)
    lasting = found[found["until"].isna()]
    fields = []
    for source, part in newest.groupby("source"):
        causes = [
            f"{row['what']} since {row['since']:%Y-%m-%d}"
            for row in lasting[lasting["source"] == source].to_dict("records")
        ]
        fields.append(
            (f"{source or 'all'}", f"{worst(list(part['state']))}{': ' if causes else ''}{'; '.join(causes)}")
        )
    return Fact(tuple(fields), f"verdicts on the window {_window(newest)}", _newest(known))


def alerts(known: Known) -> Fact:
    """Alerts that are open, and those that ended in the last 30 days."""
    table, since = known.alerts, pd.Timestamp(known.now - RECENT)
    still = table[table["until"].isna()] if len(table) else table
    ended = table[table["until"] >= since] if len(table) else table
    fields = (("open", str(len(still))), ("ended in the last 30 days", str(len(ended))))
    rows = still.to_dict("records")[:MOST]
    lines = [
        f"- {row['severity']}, {escape(str(row['source']) or 'all')}: {escape(str(row['what']))}, since"
        f" {row['since']:%Y-%m-%d}, {row['state']}"
        for row in rows
    ]
    return Fact(fields, "the log of alerts", _newest(known), "\n".join(lines))


def decisions(known: Known) -> Fact:
    """What was decided about retraining, the newest first."""
    rows = known.decisions.iloc[::-1].to_dict("records")
    last = rows[0] if rows else {}
    fields = (
        ("decisions so far", str(len(rows))),
        ("the last", f"{last['action']}: {last['why']}" if rows else "none yet"),
    )
    lines = [
        f"- {row['made']:%Y-%m-%d}: {escape(str(row['action']))} ({escape(str(row['why']))})" for row in rows[:MOST]
    ]
    return Fact(fields, "the log of decisions", _time(last.get("made")), "\n".join(lines))


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
    return Fact(fields or (("sources", ""),), "measured windows", _newest(known))


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
    return Fact(fields, "cvkit.yml", None)


def labels(known: Known) -> Fact:
    """How many images have labels, and how soon they came."""
    newest = _of_newest(known, "performance")
    covered = newest[newest["metric"] == "coverage"]
    fields = tuple(
        (f"labelled of {row['source'] or 'all'}", f"{row['value']:.0%}, {row['n']} images")
        for row in covered.to_dict("records")
    )
    more = wording.label_lines(newest) if len(newest) else ""
    return Fact(
        fields or (("labelled", ""),), f"the window {_window(newest)}" if len(newest) else "", _newest(known), more
    )


def test_set(known: Known) -> Fact:
    """The frozen test set that versions are judged on."""
    test = known.test
    if test is None:
        return Fact(
            (("test set", "none is frozen yet: the first `cvkit retrain prepare` freezes one"),),
            "retraining/test.json",
            None,
        )
    counts = test.images["part"].value_counts()
    fields = (
        ("id", test.id),
        *((f"{part} images", f"{counts.get(part, 0):,}") for part in ("old", "new")),
        ("boxes", f"{len(test.labels):,}"),
    )
    return Fact(fields, "retraining/test.json", None)


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


def _classes(known: Known) -> dict[int, Any]:
    if known.network:
        return dict(known.network["classes"])
    return dict(known.reference.classes) if known.reference else dict(enumerate(known.config.model.classes))


def _balance(boxes: pd.DataFrame, classes: Mapping[int, Any]) -> str:
    counts = boxes["class_id"].value_counts().sort_index()
    rows = [
        f"| {escape(str(classes.get(int(str(number)), number)))} | {count:,} | {count / len(boxes):.0%} |"
        for number, count in counts.items()
    ]
    return "\n".join(["| class | boxes | share |", "|---|---|---|", *rows])


def _of_newest(known: Known, feature: str) -> pd.DataFrame:
    """Measurements of a feature in the newest window that has some."""
    rows = known.measurements[known.measurements["feature"] == feature]
    newest: pd.DataFrame = rows[rows["window_start"] == rows["window_start"].max()]
    return newest


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


def _window(rows: pd.DataFrame) -> str:
    if rows.empty:
        return ""
    return str(Window(rows["window_start"].iloc[0].to_pydatetime(), rows["window_end"].iloc[0].to_pydatetime()))


def _newest(known: Known) -> Any:
    """End of the newest window that was measured."""
    return known.runs["window_end"].max().to_pydatetime() if len(known.runs) else None


def _span(times: pd.Series) -> str:
    seen = times.dropna()
    return f"{seen.min():%Y-%m-%d} to {seen.max():%Y-%m-%d}" if len(seen) else ""


def _count(number: Any) -> str:
    return f"{number:,}" if number else ""


def _moment(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:%Y-%m-%d}"


def _time(value: Any) -> Any:
    return None if value is None or pd.isna(value) else pd.Timestamp(value).to_pydatetime()
