"""Engines: one function over many chunks of items, by processes of this machine or by a Dask cluster.

Where a chunk is worked on, by how many at once and how often it had to be tried says nothing about its result: that is
the same list wherever it comes from. Whoever puts lists together by their chunks' numbers gets the same bytes.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cvkit import __version__
from cvkit.data.isolation import LIMIT_S, Lost, Work, isolated
from cvkit.errors import ConfigError, EngineError, need

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["LOCAL", "Lost", "in_order", "run"]

log = logging.getLogger(__name__)

LOCAL = "local"
AHEAD = 3  # chunks for each that works, at work and waiting
CONNECT_S = 30.0  # seconds for a scheduler to answer, and for a first worker to be there
LOOK_S = 5.0  # between two looks at how many workers a cluster has
TRIES = 10  # of a batch, whose machines are lost
TOGETHER = 16  # chunks a task of Dask's at most: a scheduler handles a few hundred tasks a second, for all machines

ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://([^\s/:@\[\]]+|\[[0-9a-fA-F:.%]+\]):\d{1,5}/?")

Batch = list[tuple[int, Sequence[Any]]]  # chunks with their numbers


def run(
    work: Work, chunks: Iterable[Sequence[Any]], *, engine: str = LOCAL, workers: int = 0, limit_s: float = LIMIT_S
) -> Iterator[tuple[int, list[Any]]]:
    """The results of `work` for each of `chunks`, with the chunk's number, as they become ready, in any order.

    `work` is a function that can be imported, or a `functools.partial` of one. It takes a list of items and gives or
    yields one result for each. Chunks are asked for as they are needed. An item that ends each process which works on
    it, or takes longer than `limit_s` seconds, has `Lost` for a result.

    `engine`: "local", `workers` processes of this machine (0: as many as it has cores), or the address of a Dask
    scheduler, such as tcp://host:8786, whose workers may come and go. Raises what `work` raises, ConfigError where
    Dask is not installed or no scheduler answers, EngineError where processes do not start or a cluster loses its
    workers again and again.
    """
    check_address(engine)
    if engine == LOCAL:
        return _local(work, chunks, workers or cores(), limit_s)
    return _on_cluster(work, chunks, engine, limit_s)


def check_address(engine: str) -> None:
    """Raise ConfigError where `engine` is neither `LOCAL` nor can be a scheduler's address; nobody is asked.

    Dask itself looks a minute for what is none.
    """
    if engine != LOCAL and not ADDRESS.fullmatch(engine):
        raise ConfigError(
            "that is no engine", where=f"--engine {engine}",
            expected="local, or the address of a Dask scheduler: scheme://host:port, such as tcp://host:8786",
            found=engine, remedy="correct it, or leave --engine out",
        )  # fmt: skip


@contextmanager
def in_order(
    work: Work, chunks: Iterable[Sequence[Any]], *, workers: int = 0, limit_s: float = LIMIT_S
) -> Iterator[Iterator[list[Any]]]:
    """The results of `work` for each of `chunks` in their order, by processes of this machine, as in `run`.

    They begin at once, and end with the block. No more than `AHEAD` chunks for each process are at work or wait to be
    taken, so that large results do not pile up where whoever takes them is slow.
    """
    workers, left, stop = workers or cores(), iter(chunks), threading.Event()
    with ThreadPoolExecutor(workers) as pool:

        def submitted() -> Iterator[Future[list[Any]]]:
            for chunk in left:
                yield pool.submit(isolated, work, chunk, limit_s, stop)

        more = submitted()
        waiting = deque(itertools.islice(more, AHEAD * workers))

        def results() -> Iterator[list[Any]]:
            while waiting:
                found = waiting.popleft().result()
                waiting.extend(itertools.islice(more, 1))
                yield found

        try:
            yield results()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def cores() -> int:
    """The cores that this process may use: in a container often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _local(
    work: Work, chunks: Iterable[Sequence[Any]], workers: int, limit_s: float
) -> Iterator[tuple[int, list[Any]]]:  # fmt: skip
    stop = threading.Event()
    waiting: dict[Future[list[Any]], int] = {}
    # A thread for each process: it only waits for what the process says.
    with ThreadPoolExecutor(workers) as pool:
        try:
            for number, chunk in enumerate(chunks):
                waiting[pool.submit(isolated, work, chunk, limit_s, stop)] = number
                if len(waiting) >= AHEAD * workers:
                    yield from _ready(waiting)
            while waiting:
                yield from _ready(waiting)
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _ready(waiting: dict[Future[list[Any]], int]) -> Iterator[tuple[int, list[Any]]]:
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        yield waiting.pop(future), future.result()


def _on_cluster(
    work: Work, chunks: Iterable[Sequence[Any]], address: str, limit_s: float
) -> Iterator[tuple[int, list[Any]]]:
    need("distributed", extra="dask")
    from distributed import as_completed

    with _connected(address) as client:
        tasks: dict[Any, tuple[Batch, int]] = {}
        done, numbered = as_completed([], loop=client.loop), enumerate(chunks)
        size, looked, submitted = 0, -LOOK_S, 0

        def submit(batch: Batch, tries: int) -> None:
            future = client.submit(_task, __version__, work, [chunk for _, chunk in batch], limit_s, pure=False)
            tasks[future] = batch, tries
            done.add(future)

        while True:
            if time.monotonic() - looked >= LOOK_S:
                size, looked = max(1, sum(client.nthreads().values())), time.monotonic()
            # Few chunks a task at first, so that small work is spread, and more as the work goes on.
            while len(tasks) < AHEAD * size:
                if not (batch := list(itertools.islice(numbered, min(TOGETHER, 1 + submitted // (AHEAD * size))))):
                    break
                submit(batch, 1)
                submitted += 1
            if not tasks:
                return
            future = next(done)
            batch, tries = tasks.pop(future)
            if (results := _result(future, tries)) is None:
                submit(batch, tries + 1)
            else:
                yield from zip((number for number, _ in batch), results, strict=True)


def _task(version: str, work: Work, chunks: list[Sequence[Any]], limit_s: float) -> list[list[Any]]:
    """What a cluster's worker runs: the same as this machine would, in a process of its own."""
    if version != __version__:
        raise ConfigError(
            "the cluster's workers have another version of cvkit", expected=version, found=__version__,
            remedy="install the same version on all machines",
        )  # fmt: skip
    return [isolated(work, chunk, limit_s) for chunk in chunks]


def _result(future: Any, tries: int) -> list[list[Any]] | None:
    """The results of a batch; None where the machine was lost and the batch is to be tried again."""
    from concurrent.futures import CancelledError

    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    try:
        results: list[list[Any]] = future.result()
    except (KilledWorker, FutureCancelledError, CancelledError) as error:
        if tries < TRIES:
            log.warning("the cluster lost the machines that worked on a chunk; it is tried again: %s", error)
            return None
        raise EngineError(
            "the cluster lost the machines that worked on a chunk, each time anew", found=f"{TRIES} times: {error}",
            remedy="see the workers' logs: is there memory enough? then run this again: what was finished is kept",
        ) from error  # fmt: skip
    return results


def _connected(address: str) -> Client:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            "no Dask scheduler answers", where=address, expected="an address such as tcp://host:8786",
            found=str(error).splitlines()[0][:200], remedy="start `dask scheduler` there, or leave --engine out",
        ) from error  # fmt: skip
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError:
        client.close()
        raise EngineError(
            "the cluster has no workers",
            where=address,
            remedy=f"start `dask worker {address}` on its machines",
        ) from None
    return client
