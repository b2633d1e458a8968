"""Start-up: CPU seconds and modules of `import cvkit`, `cvkit --help` and light commands, each in a new interpreter."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import Figure, at_most, observed

HEAVY = ("torch", "ultralytics", "evidently", "matplotlib", "pandas")  # not wanted until a command needs them
WORKING = ("torch", "ultralytics", "evidently", "matplotlib", "scipy", "sklearn", "cv2", "papermill", "mkdocs")
ROUNDS = 7
BARE = "pass"
NEEDED = "import pandas, sqlalchemy, pydantic"  # what a command that reads the history and the settings stands on
IMPORT = "import cvkit"
HELP = (
    "import sys; sys.argv = ['cvkit', '--help']\n"
    "from cvkit.cli import main\n"
    "try:\n    main()\nexcept SystemExit:\n    pass"
)
SNOOZE = "alerts snooze drift@cam-1 --why seen --for 1d"  # refused, as there is no such alert: the way there is all
COMMANDS = ("alerts list", "alerts log", SNOOZE, "rules check", "metrics textfile cvkit.prom")
SETTINGS = "reference: {data: data.yaml}\nmodel: {name: m, classes: [cat]}\n"


def run() -> Iterator[Figure]:
    for name, code, target in (("import", IMPORT, 0.15), ("help", HELP, 0.5)):
        seconds = statistics.median(_cpu_seconds(code) for _ in range(ROUNDS))
        yield at_most(f"startup.{name}", seconds, "s CPU", target, "the limit set; interpreter included")
        yield _none_of(f"startup.{name}_heavy", code, HEAVY)
    bare = statistics.median(_cpu_seconds(BARE) for _ in range(ROUNDS))
    yield observed("startup.interpreter", bare, "s CPU", "python -c pass, contained in the above")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cvkit.yml").write_text(SETTINGS, encoding="utf-8")
        _cpu_seconds(_command(COMMANDS[0]), folder)  # makes the history
        yield from _commands(folder)


def _commands(folder: str) -> Iterator[Figure]:
    """Commands that only read the history beside the libraries they stand on, measured in turn."""
    codes = {words: _command(words) for words in COMMANDS}
    times: dict[str, list[float]] = {words: [] for words in ("", *COMMANDS)}
    for _ in range(ROUNDS):
        for words, code in {"": NEEDED, **codes}.items():
            times[words].append(_cpu_seconds(code, folder))
    needed = statistics.median(times.pop(""))
    yield observed("startup.needed", needed, "s CPU", f"python -c '{NEEDED}'")
    for words, seconds in times.items():
        name = "_".join(words.split()[:2])
        yield at_most(f"startup.{name}", statistics.median(seconds) / needed, "ratio", 2.0, f"'{NEEDED}' in turn")
        yield _none_of(f"startup.{name}_heavy", codes[words], WORKING, folder)


def _command(words: str) -> str:
    return f"from cvkit.cli import main; main({words.split()!r})"


def _cpu_seconds(code: str, folder: str | None = None) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _none_of(figure: str, code: str, modules: tuple[str, ...], folder: str | None = None) -> Figure:
    loaded = f"\nimport sys; sys.stderr.write('\\n' + ' '.join(name for name in {modules!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code + loaded], check=True, capture_output=True, text=True, cwd=folder
    )  # fmt: skip
    found = done.stderr.rpartition("\n")[2].split()
    against = f"found {', '.join(found)}" if found else f"none of {', '.join(modules)}"
    return at_most(figure, len(found), "modules", 0, against)
