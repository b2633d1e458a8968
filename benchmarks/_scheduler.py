"""One scheduler of `benchmarks.schedule`: serves a workspace by a clock that runs fast, and notes what it begins."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cvkit import schedule
from cvkit.config import Config, JobSettings, load_config
from cvkit.tables import Window

BEGAN = "began.txt"  # a line for each piece of work: process, time, job, window


def main(folder: Path, first: datetime, last: datetime, zero: float, speed: float) -> None:
    """Serve until killed; `zero` is the monotonic clock's reading, which processes share, at `first`."""

    def clock() -> datetime:
        return min(first + timedelta(seconds=(time.monotonic() - zero) * speed), last)

    def execute(config: Config, job: JobSettings, window: Window) -> str:
        line = f"{os.getpid()} {time.monotonic():.6f} {job.notebook} {window.start:%Y-%m-%dT%H}\n"
        with (folder / BEGAN).open("a", encoding="utf-8") as file:
            file.write(line)  # one write, at the end of the file
        time.sleep(random.uniform(0.0, 0.3))
        return ""

    schedule.LOOK_AGAIN = timedelta(seconds=60 / speed)
    schedule.serve(load_config(folder), threading.Event(), clock, execute)


if __name__ == "__main__":
    start, end = (datetime.fromisoformat(text).astimezone(UTC) for text in sys.argv[2:4])
    main(Path(sys.argv[1]), start, end, float(sys.argv[4]), float(sys.argv[5]))
