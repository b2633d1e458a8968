"""A version's card: what is known of it, as Markdown with the front matter of the Hugging Face Hub, in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cvkit.config import Config
from cvkit.config import champion as champion_file
from cvkit.documentation import front_matter
from cvkit.documentation.round_words import data_table, gate_lines, part_table
from cvkit.documentation.wording import escape
from cvkit.maintenance import dataset, gate_results
from cvkit.maintenance.versions import Version
from cvkit.storage import write_text

FILE = "card.md"
KINDS = {
    "adopted": "the weights that cvkit.yml named",
    "incremental": "trained from the champion on new images and a sample of old ones",
    "full": "trained anew on old and new images",
}


def write(config: Config, version: Version) -> None:
    """Write `card.md` into the version's folder, in place of the one that was there.

    Raises StorageError where the disk is full or its gate's result is damaged.
    """
    write_text(version.folder / FILE, card(config, version))


def card(config: Config, version: Version) -> str:
    """The card: weights, training data, training, evaluation by the gate, and when it was champion."""
    result = gate_results.read(version.folder)
    known = (config.workspace / dataset.FOLDER / version.data / dataset.FACTS).is_file() if version.data else False
    prepared = dataset.load(config, version.data) if known else None
    name = f"{config.model.name} {version.name}"
    ours = front_matter.of_result(name, result) if result else front_matter.of_metrics(name, [])
    parts = [
        f"# {escape(config.model.name)}, version {version.name}",
        f"{version.kind}: {KINDS[version.kind]}. Made on {version.made:%Y-%m-%d %H:%M} UTC"
        + (f" from version `{version.parent}`." if version.parent else "."),
        "## Classes",
        ", ".join(f"{number} {escape(name)}" for number, name in sorted(version.classes.items())),
    ]
    if version.data:
        parts += ["## Training data", data_table(prepared) if prepared else f"Data set `{version.data}`, gone since."]
    if version.arguments:
        parts += ["## Training", _listed(version.arguments), "It was trained in:", _listed(version.environment)]
    alone = result is None and version.kind == "adopted"
    told = "Nothing was in its place before." if alone else gate_lines(result, config.retraining)
    parts += ["## Evaluation", told]
    if result is not None:
        parts += [f"Test set `{result.test}`, on {result.made:%Y-%m-%d}.", part_table(result.parts)]
    parts += ["## In use", "\n".join(_in_use(config, version)) or "It never was champion."]
    return front_matter.joined(front_matter.renewed({}, ours), "\n" + "\n\n".join(parts) + "\n")


def _listed(facts: Mapping[str, Any]) -> str:
    rows = [f"| {escape(str(name))} | {escape(str(value))} |" for name, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _in_use(config: Config, version: Version) -> Iterator[str]:
    champions = champion_file.read(config.workspace)
    for one in champions.log if champions else ():
        if one.version == version.name:
            forced = ", although the gate had not passed it" if one.forced else ""
            yield f"- {one.when:%Y-%m-%d %H:%M} UTC: {one.how}{forced}, by {escape(one.by)}: {escape(one.why)}"
