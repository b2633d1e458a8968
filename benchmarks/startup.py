"""Start-up: CPU seconds and modules of `import cvkit` and `cvkit --help`, each in a fresh interpreter."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks import Figure, at_most, observed

HEAVY = ("torch", "ultralytics", "evidently", "matplotlib", "pandas")  # not wanted until a command needs them
ROUNDS = 7
BARE = "pass"
IMPORT = "import cvkit"
HELP = (
    "import sys; sys.argv = ['cvkit', '--help']\n"
    "from cvkit.cli import main\n"
    "try:\n    main()\nexcept SystemExit:\n    pass"
)
LOADED = f"\nimport sys; sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))"


def run() -> Iterator[Figure]:
    for name, code, target in (("import", IMPORT, 0.15), ("help", HELP, 0.5)):
        seconds = statistics.median(_cpu_seconds(code) for _ in range(ROUNDS))
        yield at_most(f"startup.{name}", seconds, "s CPU", target, "the limit set; interpreter included")
        heavy = _heavy_modules(code)
        against = f"found {', '.join(heavy)}" if heavy else f"none of {', '.join(HEAVY)}"
        yield at_most(f"startup.{name}_heavy", len(heavy), "modules", 0, against)
    bare = statistics.median(_cpu_seconds(BARE) for _ in range(ROUNDS))
    yield observed("startup.interpreter", bare, "s CPU", "python -c pass, contained in the above")


def _cpu_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _heavy_modules(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code + LOADED], check=True, capture_output=True, text=True)
    return done.stderr.split()
