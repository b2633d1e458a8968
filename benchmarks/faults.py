"""Kills: every command killed at random instants and repeated; files, history, alerts, reports and pages as ever.

`python -m benchmarks faults` runs all of it. `python -m benchmarks.faults --root FOLDER [PART ...]` runs parts, one
after the other or on several days, and says of each kill what was not as ever; FOLDER keeps the undisturbed run. With
`--workers N` that many processes share the kills, each in a folder and after an undisturbed run of its own.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import count, groupby
from multiprocessing import get_context
from pathlib import Path

from benchmarks import Figure, at_least, observed
from tests import fault_kills, fault_steps, fault_world
from tests.fault_kills import Killed

PARTS = {
    "measuring": fault_steps.MEASURING, "reading": fault_steps.READING, "alerts": fault_steps.ALERTS,
    "labels": fault_steps.LABELS, "retraining": fault_steps.RETRAINING, "telling": fault_steps.TELLING,
    "staying": fault_steps.STAYING,
}  # fmt: skip


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        found = list(kills(Path(folder), list(PARTS)))
    alike = sum(not one.wrong for one in found)
    against = f"of {len(found)} kills of {len({one.step.name for one in found})} commands"
    yield at_least("faults.identical", alike, "kills", len(found), against)
    yield observed("faults.at_changes", sum(one.instant.change > 0 for one in found), "kills", "before a change")


def kills(root: Path, parts: Sequence[str], seed: int = 0, share: tuple[int, int] = (0, 1)) -> Iterator[Killed]:
    """Kill the commands of some parts as often as their steps say, and what came of each.

    `share` is the number of a worker, from 0, and how many there are: each kill is one worker's.
    """
    wanted = {step.name for part in parts for step in PARTS[part]}
    template, numbers = root / "template", count()
    last = max(place for place, step in enumerate(fault_steps.EVERY) if step.name in wanted)
    root.mkdir(parents=True, exist_ok=True)
    if not template.exists():
        fault_world.write(template)
    with fault_world.line(root, template) as line:
        for as_ever in line.undisturbed(fault_steps.EVERY[: last + 1], root / "kept"):
            if as_ever.step.name in wanted:
                chance = random.Random(f"{seed} {as_ever.step.name}")
                for instant in fault_kills.instants(chance, as_ever.step.kills, as_ever.ended.changes):
                    if next(numbers) % share[1] == share[0]:
                        yield fault_kills.kill(line, as_ever, instant)


def shared(root: Path, parts: Sequence[str], seed: int, workers: int) -> Iterator[Killed]:
    """`kills`, shared by processes: all of them in order of the steps, once the last has ended."""
    if workers == 1:
        yield from kills(root, parts, seed)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        shares = [pool.submit(_share, root / f"worker-{number}", parts, seed, (number, workers))
                  for number in range(workers)]  # fmt: skip
        found = [one for each in shares for one in each.result()]
    places = [step.name for step in fault_steps.EVERY]
    yield from sorted(found, key=lambda one: places.index(one.step.name))


def _share(root: Path, parts: Sequence[str], seed: int, share: tuple[int, int]) -> list[Killed]:
    return list(kills(root, parts, seed, share))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.faults", description="Kill commands, and compare.")
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--root", type=Path, required=True, metavar="FOLDER", help="where workspaces are made and kept")
    parser.add_argument("--seed", type=int, default=0, help="other instants")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that share the kills")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error("--workers takes 1 or more")
    found_by = shared(options.root, options.parts, options.seed, options.workers)
    good = total = 0
    for name, group in groupby(found_by, key=lambda one: one.step.name):
        found = list(group)
        alike = sum(not one.wrong for one in found)
        good, total = good + alike, total + len(found)
        print(f"{name}: {alike} of {len(found)} identical, {good} of {total} so far", flush=True)
        for one in found:
            for line in (f"  killed {one.instant}:", *one.wrong) if one.wrong else ():
                print(line[:600], flush=True)
    return int(good < total)


if __name__ == "__main__":
    sys.exit(main())
