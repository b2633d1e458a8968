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
        about = images.header(path)
        unfit = about.damage or about.width * about.height > images.PIXEL_LIMIT  # bombs have a damage already
        picture = None if unfit else decode(path)
        if picture is None or picture.nbytes > LARGE:
            yield None if picture is None else HARMLESS
        else:
            yield picture.shape[0], picture.shape[1], picture.tobytes()


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
