"""Retraining: whether the gate lets in what gains, and keeps out what forgets, what is noise and what is the same.

`python -m benchmarks.retraining [--keep FOLDER] [--sets NAME ...] SEED ...` prints the figures for other seeds than the
first; FOLDER keeps the workspaces with all that was trained and judged, so that the same again takes no time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import Figure, at_least, at_most, not_measured, observed
from benchmarks._retrainings import PARTS, SETS, available, make
from cvkit.config import Config
from cvkit.errors import DataError
from cvkit.maintenance import dataset, gate, test_set, training, versions
from cvkit.maintenance.test_set import TestSet
from cvkit.maintenance.versions import Version
from cvkit.tables import Window

# No old image, every layer, and the optimizer and learning rate of a training from the beginning.
NAIVE: dict[str, Any] = {"epochs": 6, "freeze": 0, "optimizer": "SGD", "lr0": 0.01, "batch": 8, "nbs": 8}
NOISES = (0.003, 0.01, 0.03)  # standard deviations of a layer's own weights
KEPT_OUT = 0.95  # share of the noisy ones
POWER = 0.8  # share of the trainings with replay that pass where there are images enough: the demo


@dataclass(frozen=True, slots=True)
class Judged:
    """A challenger, and what the gate said of it."""

    name: str  # of the set
    seed: int
    case: str  # naive, replay, noise, same
    size: float  # of the noise, else 0
    outcome: str
    reasons: tuple[str, ...]
    old: tuple[float, float]  # F1 of champion and challenger
    new: tuple[float, float]
    promoted: bool = False

    @property
    def forgot(self) -> bool:
        """Whether it was refused for old images, a class or a source of them that it does worse on."""
        protected = ("worse on old images by", "worse on old images, class", "worse on old images, source")
        return any(reason.startswith(protected) for reason in self.reasons)


def run(seeds: Sequence[int] = (0,), keep: Path | None = None, sets: Sequence[str] = ()) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as temporary:
        rows: list[Judged] = []
        for name in sets or (PARTS, *SETS):
            if name not in available():
                yield not_measured(f"retraining.{name}", "share", "", "real images and a detector, which are not here")
                continue
            own = [row for seed in seeds for row in judged(name, seed, keep or Path(temporary))]
            yield from _figures(name, own, len(seeds))
            rows += own
        noisy = [row for row in rows if row.case == "noise"]
        about = f"{len(noisy)} champions with noise of {', '.join(map(str, NOISES))} sd, {len(seeds)} seeds, all sets"
        if noisy:
            yield at_least(
                "retraining.noise", _share(noisy, "refused", "not enough"), "share kept out", KEPT_OUT, about
            )


def rows_of(seeds: Sequence[int], keep: Path, sets: Sequence[str] = ()) -> Iterator[Judged]:
    for name in sets or available():
        for seed in seeds:
            yield from judged(name, seed, keep)


def judged(name: str, seed: int, keep: Path) -> Iterator[Judged]:
    """What the gate says of every challenger of a set with a seed."""
    config, windows = make(name, seed, keep)
    for case, settings in (("naive", _naive(config)), ("replay", config)):
        version, test = _trained(settings, windows, seed)
        yield _judge(config, version, test, name, seed, case)
    for number, size in enumerate(NOISES):
        version = _changed(config, size, [seed, number])
        yield _judge(config, version, test, name, seed, "noise", size)
    again = _changed(config, 0.0, [seed])
    yield _judge(config, again, test, name, seed, "same", promote=True)
    _same(config, test)


# -- challengers ----------------------------------------------------------------------------------------------------


def _naive(config: Config) -> Config:
    changed = config.retraining.model_copy(update={"replay": 0.0, "incremental": NAIVE, "blend": 1.0})
    return config.model_copy(update={"retraining": changed})


def _trained(config: Config, windows: Sequence[Window], seed: int) -> tuple[Version, TestSet]:
    prepared = dataset.prepare(config, windows, seed=seed)
    return training.train(config, prepared, "incremental", seed=seed), test_set.load(config)


def _changed(config: Config, size: float, seed: Sequence[int]) -> Version:
    """The champion with Gaussian noise on all its weights; of size 0 the same model in another file."""
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    champion, random = versions.champion(config), np.random.default_rng(seed)
    content = torch_safe_load(str(champion.weights), safe_only=True)[0]
    with torch.no_grad():
        for weights in (content["ema"] or content["model"]).parameters():
            if size and weights.numel() > 1:
                noise = torch.from_numpy(random.standard_normal(tuple(weights.shape), dtype=np.float32))
                weights += (size * weights.float().std() * noise).to(weights.dtype)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "changed.pt"
        torch.save({**content, "date": f"noise {size:g}"}, file)
        return versions.add(
            config, file, kind="incremental", parent=champion.name, data="", arguments={"noise": size}, environment={},
            files={},
        )  # fmt: skip


def _judge(
    config: Config, version: Version, test: TestSet, name: str, seed: int, case: str, size: float = 0.0,
    *, promote: bool = False,
) -> Judged:  # fmt: skip
    result = gate.judge(config, version, test)
    whole = result.parts[(result.parts["by"] == "") & (result.parts["metric"] == "f1")].set_index("part")
    old, new = ((float(whole.loc[part, "champion"]), float(whole.loc[part, "challenger"])) for part in ("old", "new"))
    if promote:
        with suppress(DataError):
            versions.promote(config, version.name, by="benchmark", why="to see whether it is let in")
    promoted = (config.workspace / "versions" / "champion.json").is_file()
    return Judged(name, seed, case, size, result.outcome, result.reasons, old, new, promoted)


def _same(config: Config, test: TestSet) -> None:
    """The champion's own weights are its own version, which is not judged beside itself."""
    champion = versions.champion(config)
    again = versions.add(
        config, champion.weights, kind="incremental", parent=champion.name, data="", arguments={}, environment={},
        files={},
    )  # fmt: skip
    with suppress(DataError):
        gate.judge(config, again, test)
        raise AssertionError("the champion was judged beside itself")


# -- figures --------------------------------------------------------------------------------------------------------


def _figures(name: str, rows: list[Judged], seeds: int) -> Iterator[Figure]:
    cases = {case: [row for row in rows if row.case == case] for case in ("naive", "replay", "noise", "same")}
    naive, replay, head = cases["naive"], cases["replay"], f"retraining.{name}"
    about = f"{seeds} trainings on new images alone, every layer, lr0 {NAIVE['lr0']:g}"
    yield at_least(f"{head}.naive", _share(naive, "refused", "not enough"), "share kept out", 1.0, about)
    yield observed(f"{head}.naive_forgets", float(np.mean([one.forgot for one in naive])), "share refused for", about)
    yield from _quality(f"{head}.naive", naive, about)
    about = f"{seeds} trainings with replay, as cvkit sets them up"
    passed = _share(replay, "passed")
    if name == PARTS:
        yield at_least(f"{head}.replay", passed, "share passed", POWER, about)
    else:
        yield observed(f"{head}.replay", passed, "share passed", about)
    for outcome in ("not enough", "refused"):
        yield observed(f"{head}.replay_{outcome.replace(' ', '_')}", _share(replay, outcome), f"share {outcome}", about)
    yield from _quality(f"{head}.replay", replay, about)
    for size in NOISES:
        part = [row for row in cases["noise"] if row.size == size]
        about = f"{seeds} champions with noise of {size:g} sd"
        yield observed(f"{head}.noise_{size:g}", _share(part, "refused", "not enough"), "share kept out", about)
        yield from _quality(f"{head}.noise_{size:g}", part, about)
    promoted = float(np.mean([row.promoted or row.outcome == "passed" for row in cases["same"]]))
    yield at_most(f"{head}.same", promoted, "share let in", 0.0, f"{seeds} champions in another file, and in their own")


def _quality(head: str, rows: list[Judged], about: str) -> Iterator[Figure]:
    for part in ("old", "new"):
        for place, when in enumerate(("before", "after")):
            value = float(np.mean([getattr(row, part)[place] for row in rows]))
            yield observed(f"{head}_{part}_{when}", value, "F1, mean", about)


def _share(rows: list[Judged], *outcomes: str) -> float:
    return float(np.mean([row.outcome in outcomes for row in rows]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--sets", nargs="+", default=[])
    parser.add_argument("--rows", action="store_true", help="every challenger instead of the figures")
    asked_for = parser.parse_args()
    if asked_for.rows and not asked_for.keep:
        parser.error("--rows needs --keep")
    told = rows_of if asked_for.rows else run
    for one in told(asked_for.seeds, asked_for.keep, asked_for.sets):
        sys.stdout.write(json.dumps(asdict(one)) + "\n")
        sys.stdout.flush()
