"""Commands run for real, in a fork of a process that has imported everything, and killed at any instant asked for.

So a kill meets work and not ten seconds of imports. A command runs in its own session, by a clock that stands still.
Instants are counted by what it does to disk and history: a kill may be asked for before the n-th of these, or after
some seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

KILLED = -signal.SIGKILL
CHANGES = {"os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}  # audit events
NOT_LOADED = ("evidently", "lab", "recorder_ultralytics")  # modules of cvkit that no command here needs
LIBRARIES = ("papermill", "mkdocs.commands.build", "mkdocs_jupyter.plugin", "nbclient", "pyarrow.parquet", "filelock",
             "scipy.stats", "sklearn", "tqdm", "pandas", "sqlalchemy.dialects.sqlite", "cv2", "simplejpeg",
             "matplotlib.pyplot")  # fmt: skip
MODEL = ("torchvision", "ultralytics", "ultralytics.models.yolo.detect", "ultralytics.nn.autobackend")


@dataclass(frozen=True)
class Order:
    """A command, and what is to become of it."""

    arguments: list[str]
    folder: str  # where it is started
    now: float  # what the clock says, seconds since 1970
    kill_before: int = 0  # the number of a change, from 1; 0: never
    move_to: str = ""  # where the folder is moved then, in place of a kill
    limits: dict[str, int] = field(default_factory=dict)  # of `resource`, by name; RLIMIT_AS beyond what it has
    busy_s: float | None = None  # how long it waits for a locked history; None: as ever
    patches: dict[str, Any] = field(default_factory=dict)  # "module:name" to values, such as a smaller demo


@dataclass(frozen=True)
class Ended:
    """What came of a command."""

    code: int  # of its exit, or less the signal's number
    seconds: float
    changes: int  # that it made, or was about to make; 0 where it was killed
    peak_mib: float
    words: str  # all that it said


class Commands:
    """A process that runs commands; `root` holds what they say and their temporary files."""

    def __init__(self, root: Path, *, model: bool = False) -> None:
        self.root = root
        (root / "tmp").mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(root / "tmp"),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "JUPYTER_PLATFORM_DIRS": "1", "TQDM_DISABLE": "1",
        }  # fmt: skip
        arguments = [sys.executable, "-W", "ignore", __file__, str(root), "model" if model else ""]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def run(self, order: Order, kill_after_s: float | None = None, *, family: bool = False, stop_after_s: float = 0,
            ) -> Ended:  # fmt: skip
        """Run a command to its end; killed after some seconds, with its children where `family`, or told to stop."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(order)) + "\n")
        self.process.stdin.flush()
        child, begun = int(self._line()), time.monotonic()
        if kill_after_s is not None or stop_after_s:
            time.sleep(kill_after_s if kill_after_s is not None else stop_after_s)
            number = signal.SIGKILL if kill_after_s is not None else signal.SIGTERM
            for process in [child, *(_descendants(child) if family else ())]:
                with suppress(ProcessLookupError):  # it has ended already
                    os.kill(process, number)
        code, peak_kib = json.loads(self._line())
        seconds = time.monotonic() - begun
        counted = (self.root / "changes").read_text() if code >= 0 else ""
        words = (self.root / "words").read_text(errors="replace")
        return Ended(code, seconds, int(counted or 0), peak_kib / 1024, words)

    def _line(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise AssertionError(f"the process that runs commands ended with {self.process.wait()}")
        return line


def _descendants(process: int) -> list[int]:
    """Children of a process, their children and so on, as they are now."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


# -- in the process that runs them ----------------------------------------------------------------------------------


def _serve(root: Path, *, model: bool) -> None:
    _import_everything(root, model=model)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _be_the_command(root, Order(**json.loads(line)))
        print(child, flush=True)
        _, status, used = os.wait4(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_maxrss]), flush=True)


def _import_everything(root: Path, *, model: bool) -> None:
    import cvkit

    for found in pkgutil.walk_packages(cvkit.__path__, "cvkit."):
        if not any(part in NOT_LOADED for part in found.name.split(".")):
            importlib.import_module(found.name)
    if model:
        from cvkit.data import yolo

        yolo.prepare_environment(root / "ultralytics")
    for name in (*LIBRARIES, *(MODEL if model else ())):
        importlib.import_module(name)


def _be_the_command(root: Path, order: Order) -> None:
    """Run a command and end with its exit code. Does not return."""
    os.setsid()
    words = os.open(root / "words", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    for number in (1, 2):
        os.dup2(words, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    (root / "changes").write_text("")
    os.chdir(order.folder)
    code = 1
    try:
        changes = _watch(root, order)
        _patch(order)
        import time_machine

        time_machine.travel(datetime.fromtimestamp(order.now, UTC), tick=False).start()
        for name, limit in order.limits.items():
            has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            limit += has if name == "RLIMIT_AS" else 0
            resource.setrlimit(getattr(resource, name), (limit, limit))
        code = _main(order.arguments)
        changes.another()  # the last instant: all is done, and nobody was told
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        (root / "changes").write_text(str(changes.count))
    os._exit(code)


def _main(arguments: list[str]) -> int:
    from cvkit import cli

    try:
        return cli.main(arguments)
    except SystemExit as ended:  # of argparse
        return int(ended.code or 0)


def _patch(order: Order) -> None:
    if order.busy_s is not None:
        from cvkit.monitoring.history import History

        History.open.__func__.__defaults__ = (order.busy_s,)  # type: ignore[attr-defined]
    for place, value in order.patches.items():
        module, _, name = place.partition(":")
        owner = importlib.import_module(module)
        if isinstance(value, dict):
            getattr(owner, name).update(value)
        else:
            is_date = isinstance(value, str) and value.startswith("date ")
            setattr(owner, name, date.fromisoformat(value[5:]) if is_date else value)


@dataclass
class Changes:
    """What a command does to files and history, counted; it is killed or moved before the change of a number."""

    order: Order
    count: int = 0

    def another(self) -> None:
        self.count += 1
        if self.count == self.order.kill_before:
            if not self.order.move_to:
                os.kill(os.getpid(), signal.SIGKILL)
            Path(self.order.folder).rename(self.order.move_to)


def _watch(root: Path, order: Order) -> Changes:
    import sqlalchemy as sa

    changes, inside, sync = Changes(order), os.fspath(root), os.fsync

    def heard(event: str, given: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or (writes and str(given[0]).startswith(inside)):
            changes.another()

    def synced(handle: Any) -> None:
        changes.another()  # what was written is in the file, and the disk need not have it
        sync(handle)

    def executed(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "BEGIN")):
            changes.another()

    os.fsync = synced
    sa.event.listen(sa.Engine, "before_cursor_execute", executed)
    sa.event.listen(sa.Engine, "commit", lambda connection: changes.another())
    sys.addaudithook(heard)
    return changes


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), model=bool(sys.argv[2]))
