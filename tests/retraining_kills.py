"""Commands that are killed: run by a process that has imported everything, so that a kill meets work, not imports."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cvkit.config import Config, load_config
from cvkit.config import champion as champion_file
from cvkit.data import yolo
from cvkit.errors import DataError
from cvkit.maintenance import dataset, gate, test_set, versions

# Waits for a line, forks a child that runs the command, and says its number, then what it ended with.
SERVER = """
import json, os, sys
from pathlib import Path
import cvkit.config.champion, cvkit.monitoring.history, filelock, pyarrow.parquet, scipy.stats, sklearn, tqdm
from cvkit import asked, cli
from cvkit.data import features, yolo
from cvkit.maintenance import dataset, gate, rounds, test_set, training, versions
yolo.prepare_environment(Path(sys.argv[1]))
import torchvision, ultralytics, ultralytics.models.yolo.detect, ultralytics.nn.autobackend
for line in sys.stdin:
    child = os.fork()
    if not child:
        out = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = cli.main(json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
KILLED = -signal.SIGKILL


class Server:
    """Runs commands, and kills them when asked to."""

    def __init__(self, folder: Path) -> None:
        self.told = folder / "told.txt"  # what the last command said
        arguments = [sys.executable, "-W", "ignore", "-c", SERVER, str(folder / "ultralytics"), str(self.told)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def run(self, command: str, workspace: Path, after_s: float | None = None) -> tuple[int, float]:
        """Run `cvkit retrain COMMAND`; killed after some seconds. What it ended with, and the seconds it took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(["retrain", command, "--config", str(workspace)]) + "\n")
        self.process.stdin.flush()
        child, begun = int(self.process.stdout.readline()), time.monotonic()
        if after_s is not None:
            time.sleep(after_s)
            with suppress(ProcessLookupError):  # it has ended already
                os.kill(child, signal.SIGKILL)
        return int(self.process.stdout.readline()), time.monotonic() - begun


@dataclass(frozen=True)
class Result:
    """What a workspace holds when a command has ended."""

    data: str
    test: str
    versions: tuple[str, ...]
    judged: tuple[str, ...]


def result(workspace: Path) -> Result:
    config = load_config(workspace)
    data = dataset.newest(config, "incremental").id
    champion = versions.champion(config)
    known = [one for one in versions.every(config) if one.name != champion.name]
    told = [gate.load(one) for one in known]
    judged = tuple(one.key for one in told if one)  # the outcome hangs on the time that an image took
    return Result(data, test_set.load(config).id, tuple(one.name for one in known), judged)


def check(workspace: Path, champion: str) -> None:
    """What has to hold at any instant: one champion that predicts, versions that are whole, an unbroken test set."""
    config = load_config(workspace)
    assert champion_file.read(workspace) is None
    serving = versions.champion(config)
    assert serving.name == champion
    for one in versions.every(config):
        assert versions._digest(one.weights) == one.name
        _check_predicts(config, one)
    try:
        test = test_set.load(config, verify=True)
    except DataError as error:
        assert "no test set yet" in error.problem  # noqa: PT017
    else:
        for folder in (workspace / dataset.FOLDER).glob("[!.]*"):
            dataset.check(dataset.load(config, folder.name), test)


def _check_predicts(config: Config, version: versions.Version) -> None:
    model = yolo.load(version.weights, config.workspace / ".ultralytics")
    image = next((config.workspace / "captures").rglob("*.jpg"))
    assert len(model.predict(str(image), imgsz=160, verbose=False, save=False)[0].boxes)


def left(workspace: Path) -> list[str]:
    """What a kill left half-written."""
    return sorted(path.relative_to(workspace).as_posix() for path in workspace.rglob(".*.part"))


def fresh(template: Path, workspace: Path) -> Path:
    shutil.rmtree(workspace, ignore_errors=True)
    shutil.copytree(template, workspace)
    return workspace


def points(seed: int, count: int, usual: float) -> list[float]:
    """Moments of a command that usually takes so long: one drawn in each of `count` stretches of it."""
    chance = random.Random(seed)
    return [usual * 1.05 * (number + chance.random()) / count for number in range(count)]
