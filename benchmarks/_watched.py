"""Run a command; last line: wall seconds, CPU seconds and the most memory that it and its children had together."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


def main(command: list[str]) -> int:
    start, most = time.perf_counter(), 0.0
    process = subprocess.Popen(command)
    while process.poll() is None:
        most = max(most, resident(process.pid))
        time.sleep(0.05)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = {"seconds": time.perf_counter() - start, "cpu": used.ru_utime + used.ru_stime, "mib": most}
    print(json.dumps(took))
    return process.returncode


def resident(process: int) -> float:
    """MiB in memory of a process and all below it; what they share counts once for each."""
    try:
        own = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_MIB
        below = [
            int(child)
            for task in Path(f"/proc/{process}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (OSError, IndexError):  # it has ended meanwhile
        return 0.0
    return own + sum(map(resident, below))


sys.exit(main(sys.argv[1:]))
