"""Work that ends in time, whatever the other side does: it may never answer, or send a letter a second."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
Watch = Callable[[socket.socket], None]


def within(seconds: float, work: Callable[[Watch], T]) -> T:
    """What `work` returns, or its error; TimeoutError when `seconds` are over.

    `work` runs in a thread of its own, as neither the look-up of a name nor a call of a library can be stopped from
    outside, and a socket's own time-out starts anew with every byte. It hands its sockets to the function it is given:
    they are shut at the end, so that the thread does not stay behind, and cannot deliver later what was given up.
    """
    sockets: list[socket.socket] = []
    over = threading.Event()

    def watch(held: socket.socket) -> None:
        sockets.append(held)
        if over.is_set():
            _shut(held)

    pool = ThreadPoolExecutor(1, thread_name_prefix="cvkit-channel")
    try:
        return pool.submit(work, watch).result(timeout=seconds)
    finally:
        over.set()
        pool.shutdown(wait=False)
        for held in sockets:
            _shut(held)


def _shut(held: socket.socket) -> None:
    with suppress(OSError):  # closed already, or taken over by TLS
        socket.socket.shutdown(held, socket.SHUT_RDWR)  # not the TLS socket's own, which is not meant for other threads
