"""Training through Ultralytics: from the champion with old images beside, or from pretrained weights on everything."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import platform
import shutil
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cvkit import __version__
from cvkit.config import Config
from cvkit.data import checkpoints, yolo
from cvkit.errors import ConfigError, DataError, StorageError
from cvkit.maintenance import candidates, dataset, test_set, versions
from cvkit.maintenance.dataset import Kind, Prepared
from cvkit.maintenance.training_arguments import arguments
from cvkit.maintenance.versions import Version
from cvkit.storage import lock, make_folder, remove_tree, replacing, replacing_folder, storage_error, write_text

Progress = Callable[[int, int], None]
FOLDER = "retraining/runs"
RESULT, STATES, FACTS, SCRATCH = "weights.pt", "states", "run.json", "ultralytics"
CURVES, RESULTS = "training.csv", "results.csv"  # losses and mAP by epoch: ours, and as Ultralytics names them
FROM = "from.pt"  # the checkpoint that a training goes on from


def curves(file: Path) -> pd.DataFrame:
    """Losses and mAP of a training, an epoch a row; all numbers. Raises StorageError where they cannot be read.

    A cut leaves a row without its last columns.
    """
    try:
        head, *rows = csv.reader(file.read_text(encoding="utf-8").splitlines())
        names, numbers = [name.strip() for name in head], [[float(value) for value in row] for row in rows]
        if short := next((row for row in numbers if len(row) != len(names)), None):
            raise ValueError(f"a row of {len(short)} numbers, not {len(names)}")
        if "epoch" not in names or len(set(names)) < len(names):
            raise ValueError(f"no column `epoch`, or one twice: {', '.join(names)}")
        table = pd.DataFrame(numbers, columns=names)
        if table.empty or not np.isfinite(table["epoch"]).all():
            raise ValueError("no rows, or an epoch without a number")
    except (OSError, ValueError, csv.Error) as error:
        raise StorageError(
            "what is known of this version's training is damaged", where=str(file), found=str(error)[:200],
            remedy="restore it from a backup: reports about the training lack it",
        ) from error  # fmt: skip
    return table


def train(
    config: Config,
    prepared: Prepared,
    kind: Kind,
    *,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Version:
    """A new version, trained on `prepared`: the epoch that did best on its `val`. It challenges; the champion stays.

    `incremental` goes on from the champion, `full` begins with `retraining.start` or the first champion. A training
    that was killed goes on after its last whole epoch; one that is finished is not done again. `progress` hears batches
    done and in all. Raises ConfigError for arguments that Ultralytics does not know, DataError for weights and data
    that do not fit or touch the test set, StorageError where the disk fills.
    """
    if prepared.kind != kind and kind == "full":
        raise ConfigError(
            "this data set holds only a sample of the old images", where=str(prepared.folder),
            expected="one for full training", found="one for incremental training",
            remedy="run `cvkit retrain prepare --kind full`",
        )  # fmt: skip
    given = arguments(config, kind, int((prepared.manifest["split"] == "train").sum()))
    with lock(config.workspace / "locks" / "retraining.lock", "preparing or training"):
        settings = config.retraining
        dataset.check(
            prepared, test_set.load(config, verify=False), near_bits=settings.near_bits,
            neighbours_s=settings.neighbours_s,
        )  # fmt: skip
        champion = versions.champion(config)
        base = start(config, kind, champion)
        check_base(config, base, prepared, kind)
        share = settings.blend if kind == "incremental" else 1.0
        told = {**given, "blend": share}
        run = config.workspace / FOLDER / run_id(prepared, base, told, kind, seed)
        if (done := _done(run)) is None:
            facts = {"kind": kind, "data": prepared.id, "base": _hash(base), "arguments": told, "seed": seed}
            _run(config, run, base, prepared, {**given, "seed": seed}, share, facts, progress)
            done = _facts(run)
        for left in (STATES, SCRATCH):  # also those of a run that was killed at its end
            remove_tree(run / left)
        return versions.add(
            config, run / RESULT, kind=kind, parent=champion.name, data=prepared.id,
            arguments={**told, "seed": seed}, environment=done["environment"],
            files={"manifest.parquet": prepared.folder / "manifest.parquet", CURVES: run / CURVES},
        )  # fmt: skip


def start(config: Config, kind: Kind, champion: Version) -> Path:
    """The weights that a training begins with."""
    if kind == "incremental":
        return champion.weights
    if config.retraining.start:
        return config.resolve(config.retraining.start)
    first = [version for version in versions.every(config) if version.kind == "adopted"]
    return (min(first, key=lambda version: version.made) if first else champion).weights


def check_base(config: Config, base: Path, prepared: Prepared, kind: Kind) -> None:
    """Raise DataError where `base` is no detector, or of other classes than the data.

    Weights named as `retraining.start` may be of other classes: pretrained ones are, and get a new head.
    """
    names = yolo.load(base, config.workspace / ".ultralytics").names
    known = {int(number): str(name) for number, name in names.items()}
    wanted = candidates.class_names(config)
    if known != wanted and not (kind == "full" and config.retraining.start):
        raise DataError(
            "the weights are of other classes than the data", where=str(base),
            expected=", ".join(wanted.values()), found=", ".join(known.values()),
            remedy="train with weights of the same list of classes",
        )  # fmt: skip


def run_id(prepared: Prepared, base: Path, given: Mapping[str, Any], kind: Kind, seed: int) -> str:
    """Name of a training: of all that decides what comes out of it, but the machine."""
    free = {name: value for name, value in given.items() if name not in ("device", "workers", "cache")}
    told = json.dumps([prepared.id, _hash(base), free, kind, seed], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _run(
    config: Config,
    run: Path,
    base: Path,
    prepared: Prepared,
    given: dict[str, Any],
    share: float,
    facts: dict[str, Any],
    progress: Progress,
) -> None:
    """Train until `run` holds its result."""
    state = _newest_state(run) if _facts(run) else None
    if state is None or not state["finished"]:
        scratch = run / SCRATCH
        remove_tree(scratch)  # what a kill left half-written
        try:
            make_folder(scratch)
            environment = {**_environment(given), "resumed_after_epoch": state["epoch"] if state else -1}
            write_text(run / FACTS, json.dumps({**facts, "environment": environment}, indent=2, default=str))
            _train(config, run, base, prepared, given, state, progress)
        except OSError as error:
            raise storage_error(error, run) from error
        except (RuntimeError, ValueError, TypeError, ArithmeticError, AssertionError) as error:
            raise _failed(error, run) from error
        state = _newest_state(run)
    if state is None:
        raise DataError("the training kept no epoch", where=str(run), remedy="run it again; it begins anew")
    with replacing(run / CURVES) as part:
        shutil.copyfile(Path(state["folder"]) / RESULTS, part)
    _publish(Path(state["folder"]) / "best.pt", base, share, run / RESULT)


def _train(
    config: Config,
    run: Path,
    base: Path,
    prepared: Prepared,
    given: dict[str, Any],
    state: dict[str, Any] | None,
    progress: Progress,
) -> None:
    begin = base if state is None else Path(state["folder"]) / "last.pt"
    model = yolo.load(begin, config.workspace / ".ultralytics")

    def on_batch(trainer: Any) -> None:
        batches = len(trainer.train_loader)
        batch = trainer.__dict__["cvkit_batch"] = trainer.__dict__.get("cvkit_batch", 0) + 1
        progress(trainer.start_epoch * batches + batch, trainer.epochs * batches)

    model.add_callback("on_train_batch_end", on_batch)
    model.add_callback("on_model_save", lambda trainer: _keep(run / STATES, trainer))
    if state is not None:
        _lay_out(Path(state["folder"]), run / SCRATCH)
    with yolo.without_quotes(run) as here, yolo.without_quotes(prepared.folder) as data, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scratch = str(here / SCRATCH)
        more = {"data": str(data / prepared.data.name), "save_dir": scratch, "project": scratch, "name": "run"}
        resumed = {} if state is None else {"resume": f"{scratch}/{FROM}"}
        model.train(trainer=_trainer(here / SCRATCH), **{**given, **more, **resumed, "exist_ok": True})


def _trainer(scratch: Path) -> Any:
    from ultralytics.models.yolo.detect import DetectionTrainer

    class Trainer(DetectionTrainer):  # type: ignore[misc]
        """Without the last validation, which repeats one that was, and writes over checkpoints."""

        def final_eval(self) -> None:
            """What is loaded at the end, by a path that Ultralytics can open (`yolo.without_quotes`)."""
            self.best, self.last = (scratch / "weights" / name for name in ("best.pt", "last.pt"))

    return Trainer


def _lay_out(state: Path, scratch: Path) -> None:
    """Put a kept epoch where Ultralytics goes on from it."""
    shutil.copyfile(state / "last.pt", scratch / FROM)
    (scratch / "weights").mkdir()
    shutil.copyfile(state / "best.pt", scratch / "weights" / "best.pt")
    shutil.copyfile(state / RESULTS, scratch / RESULTS)  # the next epochs are added to it


def _keep(states: Path, trainer: Any) -> None:
    """Keep an epoch as a folder that appears whole: Ultralytics writes its files in place, and a kill may cut them."""
    folder = states / f"{trainer.epoch:06d}"
    remove_tree(folder)
    with replacing_folder(folder) as part:
        shutil.copyfile(trainer.last, part / "last.pt")
        shutil.copyfile(trainer.best if trainer.best.is_file() else trainer.last, part / "best.pt")  # none did well
        shutil.copyfile(trainer.csv, part / RESULTS)
        told = {"epoch": trainer.epoch, "finished": bool(trainer.stop)}
        (part / "state.json").write_text(json.dumps(told), encoding="utf-8")
    for other in states.iterdir():
        if other != folder:
            remove_tree(other)


def _newest_state(run: Path) -> dict[str, Any] | None:
    """The newest epoch that was kept; None where there is none that is whole."""
    for folder in sorted((run / STATES).glob("[!.]*"), reverse=True):
        with suppress(OSError, ValueError, LookupError, TypeError, DataError):
            told = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            for name in ("last.pt", "best.pt"):
                checkpoints.check(folder / name)
            if (folder / RESULTS).read_text(encoding="utf-8").strip():
                return {"epoch": int(told["epoch"]), "finished": bool(told["finished"]), "folder": str(folder)}
    return None


def _facts(run: Path) -> dict[str, Any]:
    """What was written about a training when it began; empty where that is missing or damaged."""
    with suppress(FileNotFoundError, ValueError, LookupError, TypeError):
        told = json.loads((run / FACTS).read_text(encoding="utf-8"))
        return {**told, "environment": dict(told["environment"])}
    return {}


def _done(run: Path) -> dict[str, Any] | None:
    """What is known of a training that has ended; None where it has not, or what it left is damaged: then it begins."""
    try:
        checkpoints.check(run / RESULT)
    except DataError:
        return None
    return _facts(run) if _facts(run) and (run / CURVES).is_file() else None


def _publish(checkpoint: Path, base: Path, share: float, out: Path) -> None:
    """Write the weights alone: without the optimizer, paths, dates and the repository of the machine.

    They are `share` of the trained ones and the rest of `base`'s, which a training began with.
    """
    import torch

    content, before = yolo.checkpoint(checkpoint), yolo.checkpoint(base)
    model = content["ema"] or content["model"]
    if share < 1:
        blend(model, before["ema"] or before["model"], share)
    model.args = {name: value for name, value in dict(model.args).items() if name in ("imgsz", "task")}
    for parameter in model.parameters():
        parameter.requires_grad = False
    kept = {
        "model": model, "ema": None, "optimizer": None, "epoch": -1, "version": content["version"],
        "train_args": dict(model.args), "license": content["license"],
    }  # fmt: skip
    buffer = io.BytesIO()  # torch tells a full disk otherwise than the system does
    torch.save(kept, buffer)
    with replacing(out) as part:
        part.write_bytes(buffer.getvalue())


def blend(trained: Any, before: Any, share: float) -> None:
    """Make the weights of `trained` the mean of its own, by `share`, and of `before`'s, a model of the same layers.

    Between a model and what a short training makes of it lies one that forgets less, and often does better on both old
    and new images. M. Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022.
    """
    import torch

    old = before.state_dict()
    with torch.no_grad():
        for name, weights in trained.state_dict().items():
            if weights.is_floating_point():
                weights.copy_(torch.lerp(old[name].float(), weights.float(), share))


def _environment(given: Mapping[str, Any]) -> dict[str, Any]:
    import torch
    import ultralytics

    device = str(given["device"])
    name = platform.processor() or platform.machine()
    if device != "cpu" and torch.cuda.is_available():
        name = torch.cuda.get_device_name(int(device) if device.isdecimal() else 0)
    return {
        "cvkit": __version__, "ultralytics": ultralytics.__version__, "torch": torch.__version__,
        "python": platform.python_version(), "device": device, "device_name": name, "seed": given["seed"],
        "deterministic": given["deterministic"],
    }  # fmt: skip


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(error: Exception, run: Path) -> DataError | StorageError:
    words = " ".join(str(error).split())[:300]
    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError):
        return storage_error(cause, run)
    memory = "memory" in words.lower()
    return DataError(
        "the training failed", where=str(run), found=f"{type(error).__name__}: {words}",
        remedy="set a smaller batch or imgsz in cvkit.yml, or device: cpu" if memory else
        "correct the arguments in cvkit.yml, then run the same command again; the champion is untouched",
    )  # fmt: skip
