"""`cvkit images`: measure the images of a store, however many, and sum them up."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvkit import errors
from cvkit.commands.typed import count, day, positive, some, source, stretch

if TYPE_CHECKING:
    from cvkit.data.summed import Group

# Everything heavier is imported by the command that needs it: `cvkit --help` must answer at once.

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command
Say = Callable[..., None]  # of `cvkit.cli`: words, and the stream where it is not standard output
SHOWN = 5  # images or folders named one by one


def add(commands: Any, command: Make, say: Say) -> None:
    """Add this group of commands to those of `cvkit`."""
    words = "Measure the images of a folder or an object store, and sum them up, on this machine or on a cluster."
    group = commands.add_parser("images", help=words, description=words)
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    _measure_arguments(command(actions, "measure", measure), say)
    _summary_arguments(command(actions, "summary", summary), say)


def _measure_arguments(command: argparse.ArgumentParser, say: Say) -> None:
    command.set_defaults(say=say)
    option = command.add_argument
    words = "images: a folder, or a pattern such as 's3://bucket/captures/{source}/{date}/*.jpg'"
    option("--images", type=some, required=True, metavar="URL", help=words)
    option("--out", type=some, required=True, metavar="URL", help="where to: a folder, or s3://bucket/folder")
    option("--workers", type=count, default=0, metavar="N", help="processes of this machine (default: one per core)")
    words = "a Dask scheduler, tcp://host:8786, whose workers do it (default: this machine)"
    option("--engine", default="local", metavar="ADDRESS", help=words)
    words = "seconds that one image may take before it counts as unreadable (default: 120)"
    option("--limit", type=positive, default=120.0, metavar="SECONDS", help=words)
    option("--time-zone", default="UTC", metavar="ZONE", help="of times in paths that name none (default: UTC)")
    words = "also what the deployed model of --config makes of each image; on a GPU where there is one"
    option("--embeddings", action="store_true", help=words)
    words = "with --embeddings: the workspace's settings, or its folder (default: cvkit.yml)"
    option("--config", type=Path, default=Path("cvkit.yml"), metavar="FILE", help=words)


def measure(options: argparse.Namespace) -> int:
    """Measure every image into Parquet files by source and day; what is there and whole is not made again."""
    from cvkit.commands import images_text
    from cvkit.data import measured
    from cvkit.data.objects import Captures
    from cvkit.progress import bar

    captures, out = Captures(options.images, _zone(options.time_zone)), measured.open_out(options.out)
    with bar("measuring", "partition") as progress:
        outcome = measured.measure(
            captures, out, engine_address=options.engine, workers=options.workers, limit_s=options.limit,
            embedder=_embedder(options.config) if options.embeddings else None, progress=progress,
        )  # fmt: skip
    told = images_text.counted(outcome.images, outcome.made)
    options.say(f"{told} measured, {outcome.kept:,} {'was' if outcome.kept == 1 else 'were'} there already")
    for why, number in sorted(outcome.again.items()):
        options.say(f"{number:,} of them made again: {why}")
    if outcome.damaged:
        verb = "is" if outcome.damaged == 1 else "are"
        options.say(f"{outcome.damaged:,} {verb} damaged: column `damage`, and why in `damage_detail`")
    _say_some(options.say, "left out, as their names begin with a dot", sorted(captures.hidden))
    _say_some(options.say, "ended each process that worked on them", outcome.lost)
    _say_some(options.say, "did not come from the store: the same command asks for them again", outcome.ungiven)
    _say_some(options.say, "could not be listed", [f"{path}: {why}" for path, why in outcome.unlisted.items()])
    if not outcome.made and not outcome.kept and not outcome.unlisted:
        raise errors.DataError(
            "no image matches the pattern", where=f"--images {options.images}", found="none",
            remedy="correct the pattern; a * stands for one part of a path, upper and lower case count",
        )  # fmt: skip
    if not outcome.unlisted:  # of what could not be listed nobody knows whether it is there
        words = (
            "of the partitions in --out have none of these images (these were deleted, or are another command's, or "
            "--images was another pattern), and `cvkit images summary` counts them too. "
            "If it was another pattern, name another --out or delete them"
        )
        _say_some(partial(options.say, stream=sys.stderr), words, measured.others(out, outcome.folders))
    return errors.DataError.exit_code if outcome.ungiven or outcome.unlisted else errors.DONE


def summary(options: argparse.Namespace) -> int:
    """Sum up what was measured, of a year or a fleet, without reading an image; and what changed against other days."""
    from cvkit.commands import images_text

    if options.start and options.end and options.start >= options.end:
        raise errors.ConfigError(
            "--to does not lie after --from", expected="a later day", found=str(options.end),
            remedy="--to is the first day that does not count any more",
        )  # fmt: skip
    sums = _sums(options)
    found, wrong = sums(options.by, options.start, options.end)
    against: list[Group] = []
    if options.against:
        # By source each is held against itself before; months and days against all of those days.
        against, more = sums("source" if options.by == "source" else "", *options.against)
        wrong |= more
    show = images_text.as_json if options.json else images_text.text
    options.say(show(found, against))
    _say_some(partial(options.say, stream=sys.stderr), "files could not be read and are left out", [*wrong.values()])
    return errors.DataError.exit_code if wrong else errors.DONE


def _sums(options: argparse.Namespace) -> Callable[..., tuple[list[Group], dict[str, str]]]:
    """What sums up what is asked for: the partitions of an address, or a workspace; and files left out, with why."""
    from cvkit.data import stores, summed

    if options.out:
        out = stores.open_store(options.out, "--out")
        return lambda by, start, end: (summed.groups(out, by, start, end, options.source), {})
    from cvkit.config import load_config
    from cvkit.data import summed_workspace

    config = load_config(options.config)
    return lambda by, start, end: summed_workspace.groups(config, by, start, end, options.source)


def _summary_arguments(command: argparse.ArgumentParser, say: Say) -> None:
    command.set_defaults(say=say)
    option = command.add_argument
    words = "where `cvkit images measure` wrote to (default: what is known of the workspace's images)"
    option("--out", type=some, metavar="URL", help=words)
    words = "without --out: the workspace's settings, or its folder (default: cvkit.yml)"
    option("--config", type=Path, default=Path("cvkit.yml"), metavar="FILE", help=words)
    option("--from", dest="start", type=day, metavar="DAY", help="the first day (default: all)")
    option("--to", dest="end", type=day, metavar="DAY", help="the first day that does not count any more")
    option("--source", type=source, default="", metavar="NAME", help="of one source only")
    option("--by", choices=("source", "month", "day"), default="", help="a table for each (default: one for all)")
    words = "days to hold them against; the last does not count to them, as with --to"
    option("--against", type=stretch, metavar="DAY..DAY", help=words)
    option("--json", action="store_true", help="the same for programs")


def _say_some(say: Say, words: str, found: list[str]) -> None:
    if found:
        more = f", and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
        say(f"{len(found):,} {words}: {', '.join(found[:SHOWN])}{more}")


def _zone(name: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise errors.ConfigError(
            "unknown time zone", where="--time-zone", expected="a name such as Europe/Berlin", found=name
        ) from None
    return name


def _embedder(path: Path) -> Any:
    from cvkit.config import load_config
    from cvkit.data import checkpoints

    config = load_config(path)
    if not config.model.weights:
        raise errors.ConfigError(
            "there is no model that could embed images", where=str(config.path), expected="model.weights", found="none"
        )
    checkpoints.check(config.resolve(config.model.weights))
    return config
