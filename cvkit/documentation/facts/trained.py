"""Facts about what the model was trained, accepted and is judged on, and how it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cvkit.documentation import round_words
from cvkit.documentation.facts.asked import balance, classes, of_file, reference_date, weights_date
from cvkit.documentation.facts.known import Known
from cvkit.documentation.facts.table import Fact, listed
from cvkit.documentation.wording import escape
from cvkit.maintenance import test_set as frozen

ARGUMENTS = ("epochs", "batch", "imgsz", "optimizer", "lr0", "freeze", "seed")  # of a training, that are always told


def data(known: Known) -> Fact:
    """What the model was accepted on and trained on."""
    fields, tables = _reference(known)
    own, more = _training(known)
    made = known.champion.made if known.prepared and known.champion else None
    source = "the frozen reference and the manifest of the training" if known.prepared else (
        "the frozen reference, and the training data as the checkpoint and cvkit.yml name them"
    )  # fmt: skip
    return Fact((*fields, *own), source, made, "\n\n".join([*tables, *more]), reference_date(known))


def training(known: Known) -> Fact:
    """How the champion was trained."""
    version, network = known.champion, known.network
    trained = version is not None and version.kind != "adopted"
    given: Mapping[str, Any] = version.arguments if version and trained else network.get("arguments", {})
    made: Mapping[str, Any] = version.environment if version and trained else network
    when = weights_date(known)
    fields = [
        ("kind", f"{version.kind}, from version {version.parent}" if version and trained else "trained before cvkit"),
        *((name, _value(given, name)) for name in ARGUMENTS),
        ("Ultralytics", str(made.get("ultralytics", ""))),
        ("device it was trained on", str(made.get("device_name", "") if trained else given.get("device") or "")),
        ("day it was finished", f"{when:%Y-%m-%d}" if when else ""),
    ]
    untold = {*ARGUMENTS, *(() if trained else ("device", *network.get("usual", ())))}
    others = [f"{name} {value}" for name, value in given.items() if name not in untold]
    more = f"Other arguments, where not Ultralytics' own: {escape(', '.join(others))}." if others else ""
    config = known.config
    weights = config.resolve(config.model.weights) if config.model.weights else None
    source = "the record of the training" if trained else "the arguments in the checkpoint"
    return Fact(tuple(fields), source, when, more, of_file(weights))


def test_set(known: Known) -> Fact:
    """The frozen test set that versions are judged on."""
    test, filed = known.test, of_file(known.config.workspace / frozen.FILE)
    if test is None:
        none = "none is frozen yet: the first `cvkit retrain prepare` freezes one"
        return Fact((("test set", none),), frozen.FILE, None)
    counts = test.images["part"].value_counts()
    fields = (
        ("id", test.id),
        *((f"{part} images", f"{counts.get(part, 0):,}") for part in ("old", "new")),
        ("boxes", f"{len(test.labels):,}"),
    )
    return Fact(fields, frozen.FILE, None, filed=filed)


def _reference(known: Known) -> tuple[list[tuple[str, str]], list[str]]:
    reference = known.reference
    if reference is None:
        names = ("reference images", "reference boxes", "reference sources", "reference taken")
        return [(name, "") for name in names], []
    boxes, times = reference.labels, reference.images["time"].dropna()
    labelled = int(reference.images["labelled"].sum())
    fields = [
        ("reference images", f"{len(reference.images):,}, {labelled:,} labelled"),
        ("reference boxes", f"{len(boxes):,}"),
        ("reference sources", listed([one or "(none)" for one in reference.sources])),
        ("reference taken", f"{times.min():%Y-%m-%d} to {times.max():%Y-%m-%d}" if len(times) else ""),
    ]
    counts = {int(str(number)): int(count) for number, count in boxes["class_id"].value_counts().items()}
    return fields, [balance(counts, classes(known), "in the reference")]


def _training(known: Known) -> tuple[list[tuple[str, str]], list[str]]:
    """What it was trained on: by the manifest, else what could be counted of the data it is said to be from."""
    prepared, counted = known.prepared, known.counted
    if prepared is not None:
        training = prepared.manifest[prepared.manifest["split"] == "train"]
        boxes = prepared.labels[prepared.labels["image_id"].isin(training["image_id"])]
        counts = {int(str(number)): int(count) for number, count in boxes["class_id"].value_counts().items()}
        fields = [
            ("training images", f"{len(training):,}, data set {prepared.id}"),
            ("training boxes", f"{len(boxes):,}"),
        ]
        return fields, [balance(counts, classes(known), "in training"), round_words.data_table(prepared)]
    named = str(known.network.get("arguments", {}).get("data") or "")
    if counted is None:
        words = f"The checkpoint names {escape(named)}, which was not found here" if named else "No record names it"
        remedy = "`retraining.old` in cvkit.yml can say where the data lies."
        return [("training images", ""), ("training boxes", "")], [
            f"What the model was trained on is not known. {words}: {remedy}"
        ]
    fields = [
        ("training images", f"{counted.images:,}, {counted.where}"),
        ("training boxes", f"{sum(counted.boxes.values()):,}"),
    ]
    return fields, [balance(counted.boxes, classes(known), "in training"), escape(counted.why)]


def _value(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    return "none" if value is None else str(value)
