"""Front matter of a card, as the Hugging Face Hub reads it: keys of ours are written anew, those of people stay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from cvkit import yaml_files
from cvkit.errors import DataError
from cvkit.maintenance.gate_results import Result

EDGE = "---\n"
KIND = "object-detection"
OWN = ("library_name", "pipeline_tag", "model-index")  # keys that cvkit writes
PEOPLES = {"tags": ["cvkit"]}  # keys that are begun with, and are people's from then on
UNSAID = (None, "", "other", "unknown")  # as a licence: none that one may go by


def of_result(name: str, result: Result) -> dict[str, Any]:
    """Keys of ours, with what the gate said of the version `name` on old and on new images."""
    whole = result.parts[(result.parts["by"] == "") & result.parts["part"].isin(["old", "new"])]
    told = []
    for part, rows in whole.groupby("part", sort=False):
        metrics = {str(row["metric"]): float(row["challenger"]) for row in rows.to_dict("records")}
        told.append((f"test set {result.test}, {part} images", str(part), metrics))
    return of_metrics(name, told)


def of_metrics(
    name: str, told: Sequence[tuple[str, str, Mapping[str, float]]], library: str = "ultralytics"
) -> dict[str, Any]:
    """Keys of ours, with metrics by name on each of some data sets: its name, its split, and what it told.

    `library` that reads the weights; "" where that is not known.

    The Hub takes results for one where type and split of their data sets are the same, whatever their names.
    """
    results = []
    for dataset, split, metrics in told:
        known = [{"type": one, "value": round(value, 6)} for one, value in metrics.items() if not pd.isna(value)]
        if known:
            about = {"name": dataset, "type": "held-out", "split": split}
            results.append({"task": {"type": KIND}, "dataset": about, "metrics": known})
    index = {"model-index": [{"name": name, "results": results}]} if results else {}
    return {**({"library_name": library} if library else {}), "pipeline_tag": KIND, **index}


def own(keys: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `keys` that cvkit writes; the library of a model that cvkit does not run is people's."""
    return {name: keys[name] for name in OWN if name in keys and (name in ours or name != "library_name")}


def digest_of(keys: Mapping[str, Any]) -> str:
    """What tells keys of ours as they were written from edited ones."""
    return hashlib.sha256(json.dumps(_named(keys), sort_keys=True, default=str).encode()).hexdigest()[:8]


def _named(value: Any) -> Any:
    """`value` with texts as keys: others cannot be sorted among each other."""
    if isinstance(value, Mapping):
        return {str(key): _named(one) for key, one in value.items()}
    return [_named(one) for one in value] if isinstance(value, list) else value


def licensed(keys: Mapping[str, Any]) -> bool:
    """Whether somebody said under which licence the model is: `other` says so with a name or a link."""
    named = keys.get("license_name") or keys.get("license_link")
    return bool(named) or keys.get("license") not in UNSAID


def split(text: str, where: str) -> tuple[dict[str, Any], str]:
    """Front matter and the text below it. Raises DataError where it is no YAML with keys."""
    if not text.startswith(EDGE):
        return {}, text
    front, edge, rest = text[len(EDGE) :].partition(f"\n{EDGE}")
    try:
        keys = yaml_files.read(front)[0] if edge else None
    except yaml.YAMLError as error:
        keys, front = None, " ".join(str(error).split())
    if not isinstance(keys, dict):
        raise DataError(
            "the front matter cannot be read", where=where, expected="YAML with keys between two lines of ---",
            found=front[:200], remedy="correct it: everything else of the card stays as it is",
        )  # fmt: skip
    return keys, rest


def joined(keys: Mapping[str, Any], text: str) -> str:
    """A card of front matter and the text below it, in the form that the Hub's own library writes."""
    told = yaml.safe_dump(dict(keys), sort_keys=False, allow_unicode=True, width=float("inf"))
    return f"{EDGE}{told}{EDGE}{text}"


def renewed(keys: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of people as they are, and ours as they are now."""
    mine = own(keys, ours)
    kept = {name: value for name, value in keys.items() if name not in mine}
    return {**({} if kept else PEOPLES), **kept, **ours}
