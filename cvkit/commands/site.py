"""`cvkit site`: the site, built, served and published, and files of reports that have left it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cvkit import errors

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command of a workspace
Say = Callable[..., None]  # of `cvkit.cli`: words, and the stream where it is not standard output
ADDRESS = "127.0.0.1:8000"


def add(commands: Any, workspace_command: Make, say: Say) -> None:
    """Add the commands of this group to those of `cvkit`."""
    group = workspace_command(commands, "site", build)
    told = {"warn": partial(say, stream=sys.stderr), "hint": partial(say, stream=sys.stderr)}
    group.set_defaults(say=say, told=told, strict=False)
    parts = group.add_subparsers(title="commands", metavar="COMMAND")
    command = workspace_command(parts, "build", build, inherits=True)
    command.add_argument(
        "--strict",
        action="store_true",
        default=argparse.SUPPRESS,
        help="refuse, and keep the old site, where MkDocs warns",
    )
    command = workspace_command(parts, "serve", serve, inherits=True)
    command.add_argument("--address", default=ADDRESS, help="host:port (default: %(default)s)")
    command = workspace_command(parts, "publish", publish, inherits=True)
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", type=Path, metavar="FOLDER", help="into this folder, of a web server for instance")
    where.add_argument("--github", action="store_true", help="to the branch gh-pages of the workspace's git repository")
    command.add_argument("--remote", default="origin", metavar="NAME", help="with --github (default: %(default)s)")
    command = workspace_command(parts, "prune", prune, inherits=True)
    command.add_argument("--delete", action="store_true", help="delete them; without, they are only named")


def build(options: argparse.Namespace) -> int:
    """Build the site (default), serve it on this machine, or publish it."""
    from cvkit.config import load_config
    from cvkit.documentation import site

    options.say(str(site.build(load_config(options.config), options.strict, **options.told)))
    return errors.DONE


def serve(options: argparse.Namespace) -> int:
    """Serve the site on this machine, and build it anew when something changes."""
    from cvkit.config import load_config
    from cvkit.documentation import site

    site.serve(load_config(options.config), options.address)
    return errors.DONE


def publish(options: argparse.Namespace) -> int:
    """Build the site, and put it where others can see it."""
    from cvkit.config import load_config
    from cvkit.documentation import site

    config = load_config(options.config)
    if options.github:
        options.say(site.publish_github(config, options.remote, **options.told))
    else:
        options.say(str(site.publish(config, options.to, **options.told)))
    return errors.DONE


def prune(options: argparse.Namespace) -> int:
    """Name, or delete, the files of reports that have left the site for their age."""
    from cvkit.config import load_config
    from cvkit.documentation.site import retention
    from cvkit.monitoring.history import History

    config = load_config(options.config)
    with History.open(config.history_url) as history:
        files = retention.files(config, history, datetime.now(UTC))
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    for file in files:
        options.say(str(file))
        if options.delete:
            file.unlink(missing_ok=True)
            with suppress(OSError):  # something else is left in it
                file.parent.rmdir()
    done = "deleted" if options.delete else "that `cvkit site prune --delete` would delete"
    options.say(f"{len(files)} files of {megabytes:.1f} MB {done}")
    return errors.DONE
