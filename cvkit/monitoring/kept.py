"""What was worked out, of arrays and plain objects, kept in one file and read back at once: no pickle, no code.

Arrays of a kind lie one behind the other; the objects are JSON that points into them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import prod
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from cvkit.storage import replacing

KINDS = {"float64": np.float64, "float32": np.float32, "int64": np.int64, "bool": np.bool_}  # of arrays


def write(path: Path, tree: Any) -> None:
    """Keep a tree of dataclasses, dicts, lists, tuples, arrays, numbers and text in a file.

    Raises StorageError where it cannot be written, and TypeError on what is none of these.
    """
    laid = _Laid({kind: [] for kind in KINDS}, dict.fromkeys(KINDS, 0))
    told = json.dumps(_plain(tree, laid), separators=(",", ":")).encode()
    held = {kind: np.concatenate([np.empty(0, KINDS[kind]), *parts]) for kind, parts in laid.arrays.items()}
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, told=np.frombuffer(told, np.uint8), **held)  # type: ignore[arg-type, unused-ignore]


def read(path: Path, classes: Mapping[str, type]) -> Any:
    """What was kept there, its objects of `classes`, by name; None where there is nothing, or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:  # a damaged one is closed, too
            return _tree(json.loads(held["told"].tobytes()), {kind: held[kind] for kind in KINDS}, classes)
    except (OSError, ValueError, LookupError, TypeError, EOFError, BadZipFile):
        return None


class _Laid:
    """Arrays in the order in which they will lie in the file."""

    def __init__(self, arrays: dict[str, list[NDArray[Any]]], sizes: dict[str, int]) -> None:
        self.arrays, self.sizes = arrays, sizes

    def add(self, array: NDArray[Any]) -> list[Any]:
        """Where it lies: kind, start and shape."""
        kind = array.dtype.name
        if kind not in KINDS:
            raise TypeError(f"arrays of {kind} are not kept")
        start = self.sizes[kind]
        self.arrays[kind].append(array.ravel())
        self.sizes[kind] += array.size
        return [kind, start, *array.shape]


def _plain(value: Any, laid: _Laid) -> Any:
    """JSON of a tree: what is no number or text is a list that begins with what it is."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return ["array", *laid.add(value)]
    if isinstance(value, tuple | list):
        return [type(value).__name__, *(_plain(one, laid) for one in value)]
    if isinstance(value, dict):
        return ["dict", *(_plain(one, laid) for pair in value.items() for one in pair)]
    if is_dataclass(value):
        return [type(value).__name__, *(_plain(getattr(value, one.name), laid) for one in fields(value))]
    raise TypeError(f"{type(value).__name__} is not kept")


def _tree(told: Any, arrays: Mapping[str, NDArray[Any]], classes: Mapping[str, type]) -> Any:
    if not isinstance(told, list):
        return told
    what, *rest = told
    if what == "array":
        kind, start, *shape = rest
        return arrays[kind][start : start + prod(shape)].reshape(shape)
    parts = [_tree(one, arrays, classes) if isinstance(one, list) else one for one in rest]
    if what == "list":
        return parts
    if what == "tuple":
        return tuple(parts)
    if what == "dict":
        return dict(zip(parts[::2], parts[1::2], strict=True))
    return classes[what](*parts)
