"""`cvkit backup`, `cvkit restore` and `cvkit doctor`: keep a workspace over years."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvkit import errors

if TYPE_CHECKING:
    from cvkit.config import Config
    from cvkit.upkeep.manifest import Manifest

# Everything heavier is imported by the command that needs it: `cvkit --help` must answer at once.

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command
Say = Callable[[str], None]


def add(commands: Any, command: Make, workspace_command: Make, say: Say) -> None:
    """Add these commands to those of `cvkit`."""
    made = [workspace_command(commands, "backup", backup), command(commands, "restore", restore)]
    words = "where to, .tar.gz or .tar (default: a name with model and time, in the current folder)"
    made[0].add_argument("file", nargs="?", type=Path, metavar="FILE", help=words)
    made[0].add_argument("--with-recorded", action="store_true", help="also recorded frames and records")
    made[1].add_argument("file", type=Path, metavar="FILE", help="an archive that `cvkit backup` wrote")
    made[1].add_argument("folder", type=Path, metavar="FOLDER", help="what becomes the workspace; not there, or empty")
    made.append(workspace_command(commands, "doctor", doctor))
    made[2].add_argument("--json", action="store_true", help="the same for programs")
    for one in made:
        one.set_defaults(say=say)


def backup(options: argparse.Namespace) -> int:
    """Write what cannot be made again into one archive; others may work meanwhile."""
    from cvkit.config import load_config
    from cvkit.upkeep import archive

    config, now = load_config(options.config), datetime.now(UTC)
    target = options.file or Path(archive.default_name(config, now))
    manifest = archive.write(config, target, now, with_recorded=options.with_recorded)
    options.say(f"{target}: {len(manifest.files)} files, {_size(manifest.size)}")
    for one in manifest.left_out:
        options.say(f"  left out: {one.path} ({one.why})")
    for line in _about_history(config, manifest):
        options.say(line)
    if manifest.unread:
        options.say("Some files could not be read, and are not in it: mend their permissions, then write another one.")
    return errors.StorageError.exit_code if manifest.unread else errors.DONE


def restore(options: argparse.Namespace) -> int:
    """Make FOLDER the workspace that an archive holds, after every byte of it was checked."""
    from cvkit.upkeep import restore

    manifest = restore.unpack(options.file, options.folder)
    options.say(f"{options.folder}: {len(manifest.files)} files of {manifest.model}, as of {manifest.made[:16]} UTC")
    if not manifest.history_file:
        options.say(f"The history is not among them: {manifest.history}")
    elif _address_of(options.folder):
        there = options.folder / manifest.history_file
        options.say(f"`history` in {options.folder / 'cvkit.yml'} names a place: the archive's history is {there}")
    options.say("Captures are not among them: bring them back. Then: cvkit doctor")
    return errors.DONE


def doctor(options: argparse.Namespace) -> int:
    """Look for what is not as it should be, say what it means and what to do; nothing is changed."""
    from cvkit.upkeep import doctor, findings

    now = datetime.now(UTC)
    found = doctor.examine(options.config, now)
    show = findings.as_json(found, str(options.config), now) if options.json else findings.text(found, "the workspace")
    options.say(show)
    return errors.DONE if findings.sound(found) else errors.UNSOUND


def _about_history(config: Config, manifest: Manifest) -> list[str]:
    import sqlalchemy as sa

    url = sa.make_url(config.history_url)
    lines = []
    if url.get_backend_name() != "sqlite":
        lines.append(f"The history is NOT in it: {manifest.history} is backed up by its own tool, "
                     "for PostgreSQL pg_dump.")  # fmt: skip
    elif not manifest.history_file:
        lines.append("There is no history yet.")
    if url.password or "password" in url.query:
        lines.append("cvkit.yml in it holds the history's password: keep the archive as you keep that file.")
    return lines


def _address_of(folder: Path) -> str:
    from cvkit.config import load_config

    try:
        return load_config(folder).history
    except errors.CvkitError:  # what was archived could not be read either
        return ""


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
