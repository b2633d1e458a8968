"""A job that a person starts in JupyterLab, through jupyter-scheduler's own server."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from lab_server import PATIENCE, TOKEN, serving
from lab_world import DAYS, measured

from cvkit.monitoring.history import History
from cvkit.storage import packaged
from cvkit.workspace import copy_missing

pytest.importorskip("jupyter_scheduler", reason="jupyter-scheduler is not installed")
OVER = ("COMPLETED", "FAILED")  # before it begins, a job's status is "STOPPED"


def asked(address: str, body: object = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    heads = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(address, data, heads), timeout=60) as answer:
        return json.loads(answer.read())


def test_a_job_of_the_scheduler_s_server_is_a_report_like_any_other(tmp_path: Path) -> None:
    config = measured(tmp_path / "plant", DAYS[:2])
    copy_missing(packaged("notebooks"), config.workspace / "notebooks")
    jobs = [("02-drift", {"window": DAYS[0], "source": "cam-1"}), ("02-drift", {"window": DAYS[0], "source": "cam-9"})]
    with serving(config, tmp_path / "jupyter") as address:
        made = [
            asked(f"{address}/scheduler/jobs", {
                "name": name, "input_uri": f"notebooks/{name}.ipynb", "runtime_environment_name": "python3",
                "parameters": given, "output_formats": ["ipynb"],
            })["job_id"] for name, given in jobs
        ]  # fmt: skip
        found, deadline = [], time.monotonic() + PATIENCE / 1000
        for one in made:
            while (job := asked(f"{address}/scheduler/jobs/{one}"))["status"] not in OVER:
                assert time.monotonic() < deadline, job
                time.sleep(0.5)
            found.append(job)
    assert [job["status"] for job in found] == ["COMPLETED", "FAILED"]
    assert "cam-9" in found[1]["status_message"]
    assert (config.workspace / "reports" / DAYS[0] / "02-drift--cam-1.ipynb").is_file()
    with History.open(config.history_url) as history:
        reports = history.reports()
    assert reports[["notebook", "source", "status"]].to_numpy().tolist() == [["02-drift", "cam-1", "done"]]
