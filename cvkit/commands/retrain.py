"""`cvkit retrain ...`: keep the model up to date, step by step."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cvkit import errors

if TYPE_CHECKING:
    from cvkit.config import Config
    from cvkit.tables import Window

# Everything heavier is imported by the command that needs it: `cvkit --help` must answer at once.

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command of a workspace
Say = Callable[[str], None]
KINDS = ("incremental", "full")


def add(commands: Any, workspace_command: Make, say: Say) -> None:
    """Add the commands of this group to those of `cvkit`."""
    words = "Retrain the model when that is due, and let nothing worse in."
    parser = commands.add_parser("retrain", help=words, description=words)
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    made = {
        name: workspace_command(parts, name, function) for name, function in {"prepare": prepare, "run": run}.items()
    }
    _prepare_arguments(made["prepare"])
    _run_arguments(made["run"])
    for command in made.values():
        command.set_defaults(say=say)


def prepare(options: argparse.Namespace) -> int:
    """Freeze the test set, and write the data set for a training."""
    from cvkit.config import load_config
    from cvkit.maintenance import dataset

    config = load_config(options.config)
    windows = _windows(config, options)
    with _bar("reading windows", "window") as step:
        made = dataset.prepare(config, windows, kind=options.kind, seed=options.seed, progress=step)
    options.say(dataset.describe(made))
    where = shlex.quote(str(config.path))
    options.say(f"Written to {made.folder}. Then: cvkit retrain run --data {made.id} --kind {made.kind} "
                f"--config {where}")  # fmt: skip
    return errors.DONE


def run(options: argparse.Namespace) -> int:
    """Train a challenger on a prepared data set; goes on where a kill stopped it."""
    from cvkit.config import load_config
    from cvkit.maintenance import dataset, training

    config = load_config(options.config)
    data = dataset.load(config, options.data) if options.data else dataset.newest(config, options.kind)
    with _bar(f"training on {data.id}", "batch") as step:
        version = training.train(config, data, options.kind, seed=options.seed, progress=step)
    options.say(f"Version {version.name}: {version.kind}, from {version.parent}, on data {version.data}, "
                f"on {version.environment['device']}. It challenges; nothing was promoted.")  # fmt: skip
    return errors.DONE


def _prepare_arguments(command: argparse.ArgumentParser) -> None:
    when = command.add_mutually_exclusive_group()
    when.add_argument("--window", metavar="DAY", help="labelled images of this window (default: all that have labels)")
    when.add_argument("--from", dest="start", metavar="DAY", help="labelled images from this day on")
    command.add_argument("--to", dest="end", metavar="DAY", help="with --from: the first day not used any more")
    _kind(command)
    command.add_argument("--seed", type=_count, default=0, metavar="N", help="another seed, other old images")


def _run_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", default="", metavar="ID", help="the data set (default: the one prepared last)")
    _kind(command)
    command.add_argument("--seed", type=_count, default=0, metavar="N", help="of the training (default: %(default)s)")


def _kind(command: argparse.ArgumentParser) -> None:
    words = "from the champion on new and some old images, or anew on all (default: %(default)s)"
    command.add_argument("--kind", choices=KINDS, default=KINDS[0], help=words)


def _windows(config: Config, options: argparse.Namespace) -> list[Window]:
    """The windows asked for; without any, all that have labels."""
    from datetime import timedelta

    from cvkit import asked
    from cvkit.data import sources
    from cvkit.monitoring import monitor

    now = datetime.now(UTC)
    if options.window or options.start or options.end:
        return asked.windows(config, now, window=options.window, start=options.start, end=options.end)
    days = [day for day in sources.capture_dates(config) if day <= sources.clock(config, now).date()]
    if not days:
        return asked.windows(config, now)  # raises: there are no captures
    first, last = (datetime.combine(day, datetime.min.time(), UTC) for day in (days[0], days[-1]))
    every = monitor.windows(config, first, last + timedelta(days=1))
    return [window for window in every if sources.labels_state(config, window)]


@contextmanager
def _bar(words: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    from tqdm import tqdm

    with tqdm(desc=words, unit=unit, disable=None) as bar:

        def step(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield step


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)
