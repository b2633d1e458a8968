"""What a training is told: defaults, what cvkit.yml says over them, and what cannot be, named before the work."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cvkit.config import Config
from cvkit.config.retraining import FULL, INCREMENTAL
from cvkit.config.values import nearest
from cvkit.data import yolo
from cvkit.errors import ConfigError
from cvkit.maintenance.dataset import Kind

# What cvkit decides itself: where things are, and that nothing is downloaded, drawn or asked.
OWN = ("task", "mode", "model", "data", "project", "name", "exist_ok", "resume", "save_dir", "seed", "cfg", "save",
       "pretrained", "plots", "verbose", "val", "split", "profile", "distill_model", "single_cls",
       "fraction", "classes")  # fmt: skip
QUIET = {"plots": False, "verbose": False, "amp": False, "deterministic": True}
GPU_WORKERS = 4  # processes that read images, where a GPU would wait for them
OPTIMIZERS = ("auto", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSProp", "SGD", "MuSGD")
SMALLEST_SIDE = 32  # pixels: the stride of YOLO's coarsest output
STEPS = 100  # of the optimizer, about, in an incremental training: enough to follow a change, too few to forget much
EPOCHS = (3, 30)  # the fewest and the most that this makes


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _number(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


def _layers(value: Any) -> bool:
    each = value if isinstance(value, list) else [value]
    return value is None or all(type(one) is int and one >= 0 for one in each)


# What Ultralytics itself does not look at, and trains with all the same, or breaks on in the middle.
LIMITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "batch": (_whole(1), "images, 1 or more"), "imgsz": (_whole(SMALLEST_SIDE), f"pixels, {SMALLEST_SIDE} or more"),
    "epochs": (_whole(1), "a whole number, 1 or more"), "workers": (_whole(0), "processes, 0 or more"),
    "close_mosaic": (_whole(0), "epochs, 0 or more"), "warmup_epochs": (_number, "epochs, 0 or more"),
    "nbs": (_whole(1), "images, 1 or more"), "patience": (_whole(0), "epochs, 0 or more"),
    "freeze": (_layers, "how many of the first layers, or a list of their numbers"),
    "optimizer": (lambda value: str(value).lower() in {one.lower() for one in OPTIMIZERS}, ", ".join(OPTIMIZERS)),
}  # fmt: skip


def arguments(config: Config, kind: Kind, images: int) -> dict[str, Any]:
    """What Ultralytics' train is given: cvkit's defaults, and over them what `retraining` in cvkit.yml says.

    An incremental training of `images` has as many epochs as make about 100 steps, 3 to 30 of them.
    Raises ConfigError for a name that Ultralytics does not know, with the nearest, or that is cvkit's to set; for
    values that cannot be; and for a learning rate beside optimizer `auto`, which would not heed it.
    """
    own: dict[str, Any] = getattr(config.retraining, kind)
    where = f"{config.path}, retraining.{kind}"
    yolo.prepare_environment(config.workspace / ".ultralytics")
    from ultralytics.cfg import get_cfg
    from ultralytics.utils import DEFAULT_CFG_DICT

    _check_names(own, DEFAULT_CFG_DICT, where)
    merged = {**QUIET, "imgsz": config.model.image_size, **{"incremental": INCREMENTAL, "full": FULL}[kind], **own}
    if str(merged.get("optimizer", "auto")).lower() == "auto":
        ignored = [name for name in ("lr0", "momentum") if name in own]
        if ignored:
            raise ConfigError(
                f"optimizer `auto` would ignore {' and '.join(ignored)}", where=where,
                expected="an optimizer, e.g. AdamW or SGD", found=f"{ignored[0]}: {own[ignored[0]]}",
                remedy="name the optimizer, or leave both to Ultralytics",
            )  # fmt: skip
        merged = {name: value for name, value in merged.items() if name not in ("lr0", "momentum")}
    if merged["amp"] not in (False, "fp32", "bf16"):
        raise ConfigError(
            "Ultralytics would download a model to try this precision", where=where, expected="amp: false, or bf16",
            found=f"amp: {merged['amp']}", remedy="use one of these",
        )  # fmt: skip
    merged["device"] = _device(config, merged, where)
    merged.setdefault("workers", 0 if merged["device"] == "cpu" else min(GPU_WORKERS, os.cpu_count() or 1))
    _check_limits(merged, where)
    if kind == "incremental":
        fewest, most = EPOCHS
        merged.setdefault("epochs", min(most, max(fewest, math.ceil(STEPS * merged.get("batch", 16) / max(images, 1)))))
    try:
        get_cfg(overrides=merged)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "Ultralytics cannot use an argument of train", where=where, found=" ".join(str(error).split())[:300],
            remedy="correct it",
        ) from None  # fmt: skip
    return merged


def _check_names(own: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    free = sorted(set(known) - set(OWN))
    for name in own:
        if name in OWN:
            raise ConfigError(f"`{name}` is set by cvkit", where=where, found=name, remedy="remove it")
        if name not in free:
            raise ConfigError(
                f"Ultralytics' train has no argument `{name}`", where=where, found=name,
                expected="an argument of Ultralytics 8.4", remedy=f"remove it{nearest(name, free)}",
            )  # fmt: skip


def _check_limits(given: Mapping[str, Any], where: str) -> None:
    for name, (holds, expected) in LIMITS.items():
        if name in given and not holds(given[name]):
            raise ConfigError(
                f"`{name}` cannot be this", where=where, expected=expected, found=f"{name}: {given[name]!r}",
                remedy="correct it",
            )  # fmt: skip


def _device(config: Config, given: Mapping[str, Any], where: str) -> str:
    """The one device to train on: as the settings say, else a GPU where there is one."""
    import torch

    asked = given.get("device", config.model.device)
    text = ",".join(map(str, asked)) if isinstance(asked, list) else str(asked).strip()
    if "," in text:
        raise ConfigError(
            "cvkit trains on one device", where=where, expected="e.g. '0' or cpu", found=text,
            remedy="name one: several start processes of their own, which cannot be resumed",
        )  # fmt: skip
    known = ("", "cpu", *(str(number) for number in range(torch.cuda.device_count())))
    if text not in known and not (text == "mps" and torch.backends.mps.is_available()):
        raise ConfigError(
            "there is no such device here", where=where, expected=" or ".join(one or "(empty)" for one in known),
            found=text, remedy="name one of these; empty: a GPU where there is one",
        )  # fmt: skip
    return text or ("0" if torch.cuda.is_available() else "cpu")
