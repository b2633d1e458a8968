"""Progress of long work: a bar at a terminal, and now and then a line where there is none, as in the log of a night."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]  # done and in all
EVERY_S = 60.0  # between two lines


@contextmanager
def bar(words: str, unit: str, *, every_s: float = EVERY_S) -> Iterator[Progress]:
    """What tells on standard error how far `words` has come; silent where it takes less than `every_s` seconds."""
    if not sys.stderr.isatty():
        yield _lines(words, unit, every_s)
        return
    from tqdm import tqdm

    with tqdm(desc=words, unit=unit, leave=False) as shown:

        def show(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield show


def _lines(words: str, unit: str, every_s: float) -> Progress:
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            sys.stderr.write(f"{words}: {done:,} of {total:,} {unit}s\n")
            sys.stderr.flush()

    return show
