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
    begun = time.perf_counter()
    _loop()
    loop = time.perf_counter() - begun
    found = {name: timed(panel, work) for name, work in controls(panel).items()}
    opened = {}
    for name, moves in slides(panel).items():
        begun = time.perf_counter()
        panel.tabs.selected_index = list(panel._names).index(name)
        opened[f"open {name}"] = 1000 * (time.perf_counter() - begun)
        found |= {what: timed(panel, work) for what, work in moves(panel.parts[name]).items()}
    print(json.dumps({"first_paint": first, "loop": loop, "controls": found, "opened": opened, "memory": peak_mib()}))


def _loop() -> None:
    """Ten million additions: how fast this machine's Python is today."""
    total = 0
    for number in range(10**7):
        total += number


def controls(panel: Any) -> dict[str, Callable[[int], None]]:
    """What is done in each round above the parts, with the first of them open: by name."""
    desk = panel.desk
    return {
        "window": lambda n: panel._step(-1),
        "source": lambda n: setattr(desk, "source", desk.sources[n]),
        "feature": lambda n: setattr(desk, "feature", ("sharpness", "noise", "boxes", "contrast", "confidence")[n]),
        "stretch": lambda n: setattr(desk, "stretch", (desk.windows[-40 - n], desk.windows[-1])),
    }


def slides(panel: Any) -> dict[str, Callable[[Any], dict[str, Callable[[int], None]]]]:
    """The same within each part."""
    return {
        "images": lambda part: {
            "images: sort": lambda n: setattr(part.by, "value", ("brightness", "noise", "boxes", "time", "contrast")[n])
        },
        "anomalies": lambda part: {
            "anomalies: share": lambda n: setattr(part.level, "value", part.level.options[n % len(part.level.options)][1])
        },
        "performance": lambda part: {
            "performance: confidence": lambda n: setattr(part.confidence, "value", 0.3 + 0.1 * n)
        },
        "alerts": lambda part: {"alerts: refresh": lambda n: part.reread.click()},
        "thresholds": lambda part: {
            "thresholds: budget": lambda n: setattr(part.budget, "value", part.budget.options[n % 2][1])
        },
    }


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
