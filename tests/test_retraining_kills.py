"""Prepare, train and judge, killed at any instant: one champion, nothing half-made, and the same again finishes.

Takes about ten seconds a point on an idle machine: CVKIT_KILLS=30 spends 30 on each command, in place of one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cvkit.maintenance import versions
from tests import retraining_kills as kills
from tests import retraining_world as world

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of torch and Ultralytics
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
]
POINTS = int(os.environ.get("CVKIT_KILLS", "1"))
TRAINING = {"epochs": 2, "batch": 32, "imgsz": 64, "freeze": 22}


def test_killed_at_any_instant_and_repeated(tmp_path: Path) -> None:
    workspace = tmp_path / "line"
    config = world.make(workspace, incremental=TRAINING)
    config.path.write_text(config.path.read_text().replace("image_size: 160", "image_size: 96"))
    champion = versions.champion(config).name
    with kills.Server(tmp_path) as server:
        for command in ("prepare", "run", "gate"):
            before, after = tmp_path / f"before {command}", tmp_path / f"after {command}"
            kills.fresh(workspace, before)
            code, usual = server.run(command, workspace)
            assert code == 0, server.told.read_text()
            kills.fresh(workspace, after)
            wanted = kills.result(workspace)
            for moment in kills.points(7, POINTS, usual):
                kills.fresh(before, workspace)
                assert server.run(command, workspace, moment)[0] in (kills.KILLED, 0)
                kills.check(workspace, champion)
                assert server.run(command, workspace)[0] == 0, server.told.read_text()
                kills.check(workspace, champion)
                found = kills.result(workspace)
                # A training that goes on from a kept epoch, in half precision, comes to other weights.
                assert (found.data, found.test) == (wanted.data, wanted.test)
                assert len(found.versions) == len(wanted.versions)
                assert len(found.judged) == len(wanted.judged)
            kills.fresh(after, workspace)
