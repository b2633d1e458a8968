"""The champion's network, and what its checkpoint tells of its training; read once for each file of weights."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from cvkit.config import Config
from cvkit.data import yolo
from cvkit.storage import write_text

FORM = 1  # of what is kept: another where it holds something else


def network(config: Config) -> dict[str, Any]:
    """Kind, layers, parameters, gflops at the deployed size, stride, classes by id; from the checkpoint `arguments`,
    `usual` (names of those that are Ultralytics' own), `date`, `ultralytics`. Empty where cvkit.yml names no weights.

    Raises ConfigError or DataError where they cannot be used.
    """
    if not config.model.weights:
        return {}
    kept = config.workspace / "predictions" / f"network-{FORM}-{config.version}-{config.model.image_size}px.json"
    try:
        told = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or damaged: it can be read again
        text = json.dumps(_read(config), default=str)
        write_text(kept, text)
        told = json.loads(text)
    return {**told, "classes": {int(number): name for number, name in told["classes"].items()}}


def _read(config: Config) -> dict[str, Any]:
    model = yolo.load(config.resolve(config.model.weights), config.workspace / ".ultralytics")
    from ultralytics.utils import DEFAULT_CFG_DICT
    from ultralytics.utils.torch_utils import get_flops

    network, checkpoint = model.model, model.ckpt or {}
    told = {
        "kind": type(network).__name__, "layers": len(list(network.modules())),
        "parameters": sum(one.numel() for one in network.parameters()),
        "gflops": float(get_flops(network, config.model.image_size)),
        "file": str(getattr(network, "yaml", {}).get("yaml_file", "")).rsplit("/", 1)[-1],
        "stride": int(max(network.stride)), "classes": dict(model.names),
    }  # fmt: skip
    with suppress(AttributeError, TypeError):
        given = dict(checkpoint.get("train_args") or {})
        usual = [name for name, value in given.items() if value == DEFAULT_CFG_DICT.get(name, ...)]
        told |= {"arguments": given, "usual": usual, "date": str(checkpoint.get("date") or ""),
                 "ultralytics": str(checkpoint.get("version") or "")}  # fmt: skip
    return told
