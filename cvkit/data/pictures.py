"""Pictures: pixels as the deployed model gets them, decoded by workers, so that no image can kill or hang a command.

A worker gives an image's pixels, and dies alone of one that kills its decoder. The model looks at them in the command's
own process: a network is the same work for every picture, and there is one of it, on a GPU where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from cvkit.data import engine, images
from cvkit.data.headers import read_file
from cvkit.data.isolation import LIMIT_S, Lost

CHUNK = 4  # images that a worker is given at a time
SMALL, SIDE = 16, 32  # thumbnails a worker is given at a time, and the pixels of their sides
MOST = 8  # workers that decode at once: one of them is as quick as a network that finds objects, or nearly
LARGE = 2**25  # bytes of pixels that a worker does not send: it says that they do no harm, and they are decoded here

Shipped = tuple[int, int, bytes] | str | None  # rows, columns, their pixels; HARMLESS; None where there are none
HARMLESS = "harmless"
Decoded = NDArray[np.uint8] | Lost | None


def decode(path: str) -> NDArray[np.uint8] | None:
    """Pixels as the deployed model gets them: BGR, EXIF rotation applied; None where they cannot be decoded."""
    try:
        content = np.frombuffer(read_file(path), np.uint8)
    except OSError:
        return None
    return decode_bytes(content)


def decode_bytes(content: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The same, of what a file holds, as an array (n,)."""
    if not content.size:
        return None
    try:
        return cv2.imdecode(content, cv2.IMREAD_COLOR)  # type: ignore[no-any-return, unused-ignore]
    except cv2.error:  # e.g. more pixels than OpenCV accepts
        return None


def shipped(paths: Sequence[str]) -> Iterator[Shipped]:
    """The pixels of each file of this machine, as a worker may answer; none where `images.measure` decodes none."""
    for path in paths:
        picture = _fit(path)
        if picture is None or picture.nbytes > LARGE:
            yield None if picture is None else HARMLESS
        else:
            yield picture.shape[0], picture.shape[1], picture.tobytes()


def shrunk(paths: Sequence[str]) -> Iterator[bytes | None]:
    """A grey picture of SIDE x SIDE pixels of each file, as a worker may answer; none where `shipped` has none."""
    for path in paths:
        if (picture := _fit(path)) is None:
            yield None
        else:
            grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            yield cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).tobytes()


def _fit(path: str) -> NDArray[np.uint8] | None:
    about = images.header(path)
    unfit = about.damage or about.width * about.height > images.PIXEL_LIMIT  # bombs have a damage already
    return None if unfit else decode(path)


def thumbnails(paths: Sequence[str], workers: int = 0, limit_s: float = LIMIT_S) -> list[Decoded]:
    """Grey pictures (SIDE, SIDE) of image files in their order, made by workers, as in `decoding`."""
    chunks = [paths[start : start + SMALL] for start in range(0, len(paths), SMALL)]
    with engine.in_order(shrunk, chunks, workers=min(workers or engine.cores(), MOST), limit_s=limit_s) as answers:
        found = list(chain.from_iterable(answers))
    return [np.frombuffer(one, np.uint8).reshape(SIDE, SIDE) if isinstance(one, bytes) else one for one in found]


@contextmanager
def decoding(paths: Sequence[str], workers: int, limit_s: float = LIMIT_S) -> Iterator[Iterator[Decoded]]:
    """The pictures (rows, columns, 3) of image files in their order, None for each that cannot be decoded.

    Workers begin at once, and end with the block. `workers`, `limit_s`: as in `engine.run`.
    """
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with engine.in_order(shipped, chunks, workers=min(workers or engine.cores(), MOST), limit_s=limit_s) as answers:
        yield map(_unpacked, paths, chain.from_iterable(answers))


def _unpacked(path: str, answer: Shipped | Lost) -> Decoded:
    if answer is None or isinstance(answer, Lost):
        return answer
    if isinstance(answer, str):
        return decode(path)
    rows, columns, pixels = answer
    return np.frombuffer(pixels, np.uint8).reshape(rows, columns, 3)
