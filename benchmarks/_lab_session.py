"""What a person does in the panel, timed: run by `benchmarks.lab` in a process of its own."""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import asyncio  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import cvkit  # noqa: E402
from benchmarks import peak_mib  # noqa: E402

ROUNDS = 5


async def main(workspace: str) -> None:
    """As in a kernel: what comes a moment after an answer, comes once the loop is free."""
    panel: Any = cvkit.explore(workspace)
    panel._repr_mimebundle_()
    first = time.perf_counter() - BEGUN
    await _free()
    whole = time.perf_counter() - BEGUN
    begun = time.perf_counter()
    _loop()
    loop = time.perf_counter() - begun
    answered, settled, opened = {}, {}, {}
    for name, work in controls(panel).items():
        answered[name], settled[name] = await timed(panel, work)
    for name, moves in slides(panel).items():
        begun = time.perf_counter()
        panel.tabs.selected_index = list(panel._names).index(name)
        opened[name] = 1000 * (time.perf_counter() - begun)
        for what, work in moves(panel.parts[name]).items():
            answered[what], settled[what] = await timed(panel, work)
    figures = {"first_paint": first, "whole": whole, "loop": loop, "memory": peak_mib()}
    print(json.dumps({**figures, "answered": answered, "settled": settled, "opened": opened}))


async def _free() -> None:
    """Wait until what was to come later has come."""
    await asyncio.sleep(0.02)


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
            "anomalies: share": lambda n: setattr(
                part.level, "value", part.level.options[n % len(part.level.options)][1]
            )
        },
        "performance": lambda part: {
            "performance: confidence": lambda n: setattr(part.confidence, "value", 0.3 + 0.1 * n)
        },
        "alerts": lambda part: {"alerts: refresh": lambda n: part.reread.click()},
        "thresholds": lambda part: {
            "thresholds: budget": lambda n: setattr(part.budget, "value", part.budget.options[n % 2][1])
        },
    }


async def timed(panel: Any, work: Callable[[int], None]) -> tuple[float, float]:
    """Median milliseconds until the control answers, and until all is shown; what a control says is wrong is raised."""
    answered, settled = [], []
    for number in range(ROUNDS):
        start = time.perf_counter()
        work(number)
        answered.append(time.perf_counter() - start)
        await _free()
        settled.append(time.perf_counter() - start)
        notes = [panel.note.value, *(part.note.value for part in panel.made.values())]
        assert not any(notes), notes
    return 1000 * statistics.median(answered), 1000 * statistics.median(settled)


asyncio.run(main(sys.argv[1]))
