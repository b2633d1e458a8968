"""What a person does in the panel, timed: run by `benchmarks.lab` in a process of its own."""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import cvkit  # noqa: E402
from benchmarks import peak_mib  # noqa: E402

ROUNDS = 5


def main(workspace: str) -> None:
    panel: Any = cvkit.explore(workspace)
    panel._repr_mimebundle_()
    first = time.perf_counter() - BEGUN
    found = {name: timed(panel, work) for name, work in controls(panel).items()}
    print(json.dumps({"first_paint": first, "controls": found, "memory": peak_mib()}))


def controls(panel: Any) -> dict[str, Callable[[int], None]]:
    """What is done in each round, by name."""
    desk = panel.desk
    said: dict[str, Callable[[int], None]] = {
        "window": lambda n: panel._step(-1),
        "source": lambda n: setattr(desk, "source", desk.sources[n]),
        "feature": lambda n: setattr(desk, "feature", ("sharpness", "noise", "boxes", "contrast", "confidence")[n]),
        "stretch": lambda n: setattr(desk, "stretch", (desk.windows[-40 - n], desk.windows[-1])),
    }
    return said


def timed(panel: Any, work: Callable[[int], None]) -> float:
    """Median milliseconds; what a control says is wrong is raised."""
    seconds = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - start)
        notes = [panel.note.value, *(part.note.value for part in panel.parts.values())]
        assert not any(notes), notes
    return 1000 * statistics.median(seconds)


main(sys.argv[1])
