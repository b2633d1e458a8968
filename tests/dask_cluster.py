"""A Dask cluster of a test: a scheduler and workers in processes of their own, as on machines of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


class Cluster:
    """Started with the scheduler alone, in the environment there is then."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, list[subprocess.Popen[bytes]]()
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--no-jupyter",
                                     "--scheduler-file", str(folder / "scheduler.json"))  # fmt: skip
        deadline = time.monotonic() + 60
        while not (folder / "scheduler.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.2)
        self.address: str = json.loads((folder / "scheduler.json").read_text())["address"]

    def add(self) -> subprocess.Popen[bytes]:
        return self._start("worker", self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny")

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{len(self.processes)}.log").open("wb")
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-m", "dask", *words], stdout=log, stderr=log,
                                   env=self.environment, cwd=self.folder)  # fmt: skip
        log.close()
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
