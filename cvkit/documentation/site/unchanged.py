"""What needs no reading and no writing, as it has not changed since the last build: notebooks, and reports' pages.

A file is taken for unchanged as long as its length, time of change and inode are: whoever replaces a file gives it
another inode, whoever writes into it another time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvkit.documentation.site import rendering
from cvkit.documentation.site.rendering import Look
from cvkit.storage import write_text

FILES, PAGES = "files.json", "pages.json"  # in the folder of what is kept of reports


def stamp(file: Path) -> list[int]:
    """What tells whether a file was written to or replaced. Raises OSError where there is none."""
    told = file.stat()
    return [told.st_size, told.st_mtime_ns, told.st_ino]


@contextmanager
def looking(kept: Path) -> Iterator[Callable[[Path], Look]]:
    """A `rendering.look` that opens only what has changed; what it learnt is kept when the block ends well."""
    known, seen = load(kept / FILES), dict[str, Any]()

    def look(file: Path) -> Look:
        try:
            now = stamp(file)
        except OSError:
            return Look("missing", "")
        before, content = known.get(str(file), (None, ""))
        if before == now and rendering.place(kept, content).is_file():
            found = Look("", content)
        else:
            found = rendering.look(file, kept)
        if not found.flaw:
            seen[str(file)] = [now, found.content]
        return found

    yield look
    save(kept / FILES, known, seen)


def load(file: Path) -> dict[str, Any]:
    """What was saved; nothing where it cannot be read."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def save(file: Path, known: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
    """Write `seen`, unless it is what is `known` already."""
    if seen != known:
        write_text(file, json.dumps(seen))
