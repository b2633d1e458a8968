"""Functions for engines to run, and ways for them to go wrong: what decoders do in bad nights."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cvkit.data import measuring, pictures
from cvkit.data.stores import Item, Store
from cvkit.errors import DataError

of_objects, shipped = measuring.of_objects, pictures.shipped  # as they are: tests put others into their place

POISON = {
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "hang": lambda: time.sleep(3600),
    "memory": lambda: (_ for _ in ()).throw(MemoryError()),
}


def doubled(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def streamed(items: Sequence[object]) -> Iterator[object]:
    """Twice each number, one after the other; a word ends the process in its way."""
    for item in items:
        if isinstance(item, str):
            POISON[item]()
        yield 2 * item  # type: ignore[operator]


def at_once(items: Sequence[object]) -> list[object]:
    """The same, but nothing is known before all of it is."""
    return list(streamed(items))


def once(items: Sequence[Path]) -> Iterator[str]:
    """Dies at each item the first time it sees it."""
    for item in items:
        if not item.exists():
            item.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield item.name


def refused(items: Sequence[int]) -> list[int]:
    raise DataError("this cannot be", found=str(items[0]))


def short(items: Sequence[int]) -> list[int]:
    return [1]


def slow(items: Sequence[int]) -> Iterator[int]:
    for item in items:
        time.sleep(0.05)
        yield 2 * item


def process_id(items: Sequence[int]) -> list[int]:
    return [os.getpid() for _ in items]


def printing(items: Sequence[int]) -> list[int]:
    os.write(1, b"a library's own words")
    return list(items)


class Trap:
    """What a worker that was taken over might answer with."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch TAKEN-OVER",)


def taken_over(items: Sequence[int]) -> Iterator[object]:
    for _ in items:
        yield Trap()


def wrong(items: Sequence[int]) -> list[int]:
    raise ZeroDivisionError("no such thing")


def poisoned(store: Store, items: Sequence[Item]) -> Iterator[measuring.Facts]:
    """As `measuring.of_objects`, with a decoder that dies of some names."""
    for item in items:
        if "poison" in item.path:
            POISON["segv"]()
        yield from of_objects(store, [item])


def decoded(death: str, paths: Sequence[str]) -> Iterator[pictures.Shipped]:
    """As `pictures.shipped`, with a decoder that dies of one name."""
    for path in paths:
        if path.endswith("030000.png"):
            POISON[death]()
        yield from shipped([path])


def dying(work: str, name: str, paths: Sequence[str]) -> Iterator[object]:
    """As a function of `pictures`, with a decoder that dies of files whose names end so."""
    for path in paths:
        if path.endswith(name):
            POISON["segv"]()
        yield from getattr(pictures, work)([path])


def children(parent: int = 0) -> list[int]:
    """Workers of a process, of this one by default, that live."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split() if folder.name.isdecimal() else []
            words = (folder / "cmdline").read_bytes() if stat else b""
        except OSError:
            continue
        if stat and int(stat[1]) == (parent or os.getpid()) and stat[0] != "Z" and b"cvkit.data.worker" in words:
            found.append(int(folder.name))
    return found
