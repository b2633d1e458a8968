"""Progress of long work: a bar at a terminal and in a notebook; elsewhere a line now and then, as in a night's log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]  # done and in all
EVERY_S = 60.0  # between two lines
QUIET = "TQDM_DISABLE"  # a variable of tqdm's own: no bars


@contextmanager
def bar(words: str, unit: str, *, every_s: float = EVERY_S) -> Iterator[Progress]:
    """What tells how far `words` has come; where nobody looks on, silent for the first `every_s` seconds.

    >>> with bar("measuring", "image") as progress:
    ...     progress(3, 10)
    """
    if not (sys.stderr.isatty() or _in_notebook()):
        yield from _lines(words, unit, every_s)
        return
    from tqdm.auto import tqdm

    with tqdm(desc=words, unit=unit, leave=False) as shown:

        def show(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield show


def _in_notebook() -> bool:
    """Whether a person's notebook runs this: not one that becomes a report, in which a bar would stay."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None and not os.environ.get(QUIET)


def _lines(words: str, unit: str, every_s: float) -> Iterator[Progress]:
    """A line now and then; where there was one, a last one too, or it would look as if the rest had failed."""
    last, told, newest = time.monotonic(), (0, 0), (0, 0)

    def say() -> None:
        nonlocal last, told
        last, told = time.monotonic(), newest
        sys.stderr.write(f"{words}: {told[0]:,} of {told[1]:,} {unit}s\n")
        sys.stderr.flush()

    def show(done: int, total: int) -> None:
        nonlocal newest
        newest = done, total
        if time.monotonic() - last >= every_s:
            say()

    yield show
    if told != newest and told[1]:
        say()
