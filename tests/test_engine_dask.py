"""The same work on a Dask cluster: the same results, whichever workers are lost, added or restarted on the way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import engine_work
import image_store
import numpy as np
import pytest
from dask_cluster import Cluster
from image_store import PATTERN, files, fill

from cvkit import cli
from cvkit.data import engine, measuring
from cvkit.data.engine import Lost
from cvkit.errors import ConfigError, DataError, EngineError

pytest.importorskip("distributed", reason="Dask is an extra")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(engine, "CONNECT_S", 120.0)  # a busy machine is no fault of the code
    (tmp_path / "dask").mkdir()
    made = Cluster(tmp_path / "dask")
    yield made
    made.end()


def results(work: engine.Work, chunks: list[list[object]], **how: object) -> list[object]:
    found = dict(engine.run(work, chunks, **how))  # type: ignore[arg-type]
    return [result for number in sorted(found) for result in found[number]]


def test_a_cluster_gives_the_same_and_isolates_what_kills(cluster: Cluster) -> None:
    cluster.add()
    cluster.add()
    chunks = [[1, 2], [3, "segv", 4], [], [5]]
    found = results(engine_work.streamed, chunks, engine=cluster.address)
    assert found == results(engine_work.streamed, chunks)
    assert isinstance(found[3], Lost)
    with pytest.raises(DataError, match="this cannot be"):
        results(engine_work.refused, [[5]], engine=cluster.address)


def test_workers_lost_and_added_and_restarted_cost_nothing(cluster: Cluster) -> None:
    live, found, lost = [cluster.add(), cluster.add()], dict[int, list[object]](), 0
    chunks = [list(range(start, start + 8)) for start in range(0, 320, 8)]
    for number, got in engine.run(engine_work.slow, chunks, engine=cluster.address):
        found[number] = got
        if len(found) // 10 > lost:  # one is added, and the oldest dies in the middle of its work
            live.append(cluster.add())
            oldest = live.pop(0)
            oldest.send_signal(signal.SIGKILL)
            oldest.wait()
            lost += 1
    assert lost >= 3
    assert [one for number in sorted(found) for one in found[number]] == [2 * n for n in range(320)]


def test_the_same_bytes_as_without_a_cluster(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.add()
    cluster.add()
    fill(tmp_path / "in")
    image_store.write(tmp_path / "in" / "cam-1" / "2026-11-01" / "002-poison.jpg", np.random.default_rng(1))
    monkeypatch.setattr(measuring, "of_objects", engine_work.poisoned)
    for name, address in (("local", engine.LOCAL), ("cluster", cluster.address)):
        line = ["images", "measure", "--images", f"{tmp_path}/in/{PATTERN}", "--out", str(tmp_path / name)]
        assert cli.main([*line, "--engine", address, "--workers", "1"]) == 0
    assert files(tmp_path / "local") == files(tmp_path / "cluster")


def test_no_scheduler_and_no_workers_are_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CONNECT_S", 1.0)
    with pytest.raises(ConfigError, match="no Dask scheduler answers"):
        results(engine_work.doubled, [[1]], engine="tcp://127.0.0.1:9")
    with pytest.raises(ConfigError, match="that is no engine"):
        results(engine_work.doubled, [[1]], engine="nonsense")
    with pytest.raises(EngineError, match="has no workers"):
        results(engine_work.doubled, [[1]], engine=cluster.address)
