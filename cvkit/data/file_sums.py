"""Sums of whole files, kept within them: so that a flipped bit anywhere is told, what a file tells of itself included.

A file's metadata has the sum under `KEY`: 64 characters that nothing else in the file has, and the SHA-256 of the file
with zeros in its place. Page checksums, which others check too, say nothing of names, kinds and numbers of rows.
"""

from __future__ import annotations

import hashlib

KEY = b"cvkit.sum"
LENGTH = 64  # characters of a SHA-256
NOTHING = b"0" * LENGTH


def place(about: bytes) -> bytes:
    """What a file is written with under `KEY`, before `seal`; `about`, with its names, tells it from all others."""
    return _digest(about) + NOTHING


def seal(content: bytes, place: bytes) -> bytes:
    """A file's bytes with their sum."""
    return content.replace(place, place[:LENGTH] + _digest(content))


def is_whole(content: bytes, told: bytes) -> bool:
    """Whether a file's bytes are those that were sealed; `told` is what it has under `KEY`."""
    return len(told) == 2 * LENGTH and _digest(content.replace(told, told[:LENGTH] + NOTHING)) == told[LENGTH:]


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
