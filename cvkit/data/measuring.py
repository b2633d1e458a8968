"""What workers do with images: the numbers of each, and what the deployed model makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from cvkit.data import images, stores
from cvkit.data.headers import NOT_GIVEN
from cvkit.data.isolation import Lost
from cvkit.data.stores import Item, Store

if TYPE_CHECKING:
    from cvkit.config import Config

LOST = "unreadable"  # the damage of an image that ends each process which decodes it
PATIENCE = 3  # images in a row that a store is asked for several times though it gives none
KEPT_BYTES = 2**28  # of images that a worker keeps between measuring and embedding them

Facts = tuple[Any, ...]  # the fields of `images.ImageFacts`


def of_files(paths: Sequence[str]) -> Iterator[Facts]:
    """What is known of each image file of this machine."""
    for path in paths:
        yield astuple(images.measure(path))


def of_objects(store: Store, items: Sequence[Item]) -> Iterator[Facts]:
    """What is known of each image of a store."""
    for fact, _ in _measured(store, items):
        yield astuple(fact)


def embedded(config: Config, store: Store, items: Sequence[Item]) -> list[tuple[Facts, bytes | None]]:
    """The same with the embedding of each image, as the bytes of float32, None where it cannot be decoded.

    All at once: what a model says of an image may depend on the batch in its last digits, so that part of a chunk is
    not begun anew with other batches.
    """
    import numpy as np
    import pandas as pd
    import torch

    from cvkit.data import pictures, yolo

    torch.set_num_threads(1)  # each core has a worker of its own, and sums come in one order
    facts, kept, room = [], dict[str, bytes](), KEPT_BYTES
    for item, (fact, content) in zip(items, _measured(store, items), strict=True):
        facts.append(fact)
        if fact.damage in ("", "truncated") and len(content) <= room:
            kept[item.path] = content
            room -= len(content)

    def picture(path: str) -> pictures.Decoded:
        content = kept.pop(path, None) or stores.read(store, by_path[path])
        return pictures.decode_bytes(np.frombuffer(content, np.uint8))

    def pixels(paths: Sequence[str]) -> AbstractContextManager[Iterator[pictures.Decoded]]:
        return nullcontext(map(picture, paths))  # as this is a worker itself

    by_path = {item.path: item for item, fact in zip(items, facts, strict=True) if fact.damage in ("", "truncated")}
    table = pd.DataFrame({"image_id": list(by_path), "path": list(by_path)})
    made = yolo.embed(table, config, pixels=pixels) if by_path else table.iloc[:0]
    rows = zip(made["image_id"], made.get("embedding", ()), strict=True)
    known = {path: vector.astype(np.float32).tobytes() for path, vector in rows}
    return [(astuple(fact), known.get(item.path)) for item, fact in zip(items, facts, strict=True)]


def lost(why: Lost) -> Facts:
    """What is known of an image that ended its worker."""
    return astuple(images.ImageFacts(damage=LOST, damage_detail=f"a process that decodes it {why.reason}"))


def _measured(store: Store, items: Sequence[Item]) -> Iterator[tuple[images.ImageFacts, bytes]]:
    """Each image and its bytes. A store that was away a few times in a row is asked once for each further image."""
    away = 0
    for item in items:
        fact, content = _one(store, item, stores.TRIES if away < PATIENCE else 1)
        away = away + 1 if fact.damage_detail.startswith(NOT_GIVEN) else 0
        yield fact, content


def _one(store: Store, item: Item, tries: int) -> tuple[images.ImageFacts, bytes]:
    try:
        content = stores.read(store, item, tries)
    except stores.NotGivenError as error:
        return images.ImageFacts(damage="unreadable", damage_detail=f"{NOT_GIVEN}: {error}"), b""
    except stores.UnreadError as error:
        return images.ImageFacts(damage="unreadable", damage_detail=str(error)), b""
    return images.measure_bytes(content), content
