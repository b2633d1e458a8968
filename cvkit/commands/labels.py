"""`cvkit labels ...`: ask for labels where they tell most, and take them in."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cvkit import errors
from cvkit.commands.typed import count, source

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command of a workspace
Say = Callable[[str], None]


def add(commands: Any, workspace_command: Make, say: Say) -> None:
    """Add the commands of this group to those of `cvkit`."""
    words = "Ask for labels where they tell most, and take them in."
    parser = commands.add_parser("labels", help=words, description=words)
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = workspace_command(parts, "plan", plan)
    command.set_defaults(say=say)
    more = command.add_argument
    more("--budget", type=count, required=True, metavar="N", help="how many images may be asked for")
    when = command.add_mutually_exclusive_group()
    when.add_argument("--window", metavar="DAY", help="images of this window (default: the newest measured)")
    when.add_argument("--from", dest="start", metavar="DAY", help="images from this day on")
    more("--to", dest="end", metavar="DAY", help="with --from: the first day not asked about any more")
    more("--source", type=source, default="", help="images of this source only")
    more("--format", choices=("yolo", "coco"), default="yolo", help="of the folder (default: %(default)s)")
    more("--out", type=Path, metavar="FOLDER", help="a new folder (default: one in the workspace)")
    more("--seed", type=count, default=0, metavar="N", help="another seed, another draw (default: 0)")
    command = workspace_command(parts, "import", take_in)
    command.set_defaults(say=say)
    words = "what the labelling tool exported as YOLO or COCO, with the plan.csv of the plan"
    command.add_argument("folder", type=Path, metavar="FOLDER", help=words)


def plan(options: argparse.Namespace) -> int:
    """Choose the images to label next, and write them as a folder for labelling tools."""
    from cvkit import asked
    from cvkit.config import load_config
    from cvkit.maintenance import label_folder, labelling

    config, now = load_config(options.config), datetime.now(UTC)
    asked.check_names(config, None, options.source)
    windows = (
        asked.windows(config, now, window=options.window, start=options.start, end=options.end)
        if options.window or options.start or options.end
        else [labelling.newest_window(config)]
    )
    drawn = labelling.plan(config, windows, options.budget, source=options.source, seed=options.seed)
    folder = options.out or config.workspace / f"labels-to-make-{now:%Y-%m-%dT%H%M%S}"
    name = label_folder.export(config, drawn, folder, options.format, now)
    options.say("\n".join([label_folder.strata_table(drawn), *drawn.notes]))
    options.say(f"Plan {name} is written to {folder}; its README.txt says how to go on.")
    return errors.DONE


def take_in(options: argparse.Namespace) -> int:
    """Put the labels that a labelling tool gave back where captures.labels reads them."""
    from cvkit.config import load_config
    from cvkit.maintenance import label_folder

    config = load_config(options.config)
    back = label_folder.import_labels(config, options.folder)
    told = f"{back.labelled} images got labels, {back.boxes} boxes"
    options.say(f"{told}; {back.missing} images of the plan did not come back")
    options.say(f"Then: cvkit run --config {shlex.quote(str(config.path))}")
    return errors.DONE
