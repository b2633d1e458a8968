"""`cvkit retrain ...`: from evidence to a new champion, and back."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cvkit import errors
from cvkit.commands.alerts import user

if TYPE_CHECKING:
    from cvkit.config import Config
    from cvkit.maintenance.versions import Version

# Everything heavier is imported by the command that needs it: `cvkit --help` must answer at once.

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command of a workspace
Say = Callable[[str], None]
VERSION = "its name in `cvkit retrain status`, or the first digits of it"


def add(commands: Any, workspace_command: Make, say: Say) -> None:
    """Add the commands of this group to those of `cvkit`."""
    words = "Decide what to do about the model in use, and do it."
    parser = commands.add_parser("retrain", help=words, description=words)
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    made = {
        name: workspace_command(parts, name, function)
        for name, function in {
            "decide": decide, "gate": gate, "promote": promote, "rollback": rollback, "status": status, "shadow": shadow,
            "export": export,
        }.items()
    }  # fmt: skip
    made["decide"].add_argument("--json", action="store_true", help="all of it, with every measurement, as JSON")
    made["gate"].add_argument("version", nargs="?", default="", metavar="VERSION", help=f"{VERSION} (default: newest)")
    for name in ("promote", "shadow", "export"):
        made[name].add_argument("version", metavar="VERSION", help=VERSION)
    for name in ("promote", "rollback"):
        made[name].add_argument("--why", required=True, metavar="WORDS", help="the reason")
        made[name].add_argument("--by", default=user(), metavar="NAME", help="who does it (default: %(default)s)")
    made["promote"].add_argument("--force", action="store_true", help="although the gate has not passed it")
    words = "this earlier champion (default: the one before)"
    made["rollback"].add_argument("--to", default="", metavar="VERSION", help=words)
    when = made["shadow"].add_mutually_exclusive_group()
    when.add_argument("--window", metavar="DAY", help="this window only (default: the newest measured)")
    when.add_argument("--from", dest="start", metavar="DAY", help="all windows from this day on")
    made["shadow"].add_argument("--to", dest="end", metavar="DAY", help="with --from: the first day left out")
    words = "hand it over to MLflow's registry at this address instead"
    made["export"].add_argument("--mlflow", default="", metavar="URI", help=words)
    for command in made.values():
        command.set_defaults(say=say)


def decide(options: argparse.Namespace) -> int:
    """Decide what to do about the model in use, say why, and record it."""
    from cvkit.config import load_config
    from cvkit.maintenance import decision, decisions, evidence
    from cvkit.monitoring.history import History

    config = load_config(options.config)
    with History.open(config.history_url) as history:
        found = evidence.collect(config, history, datetime.now(UTC))
        made = decision.decide(found, config.retraining)
        decisions.record(history, found, made)
    if options.json:
        told = {"decision": evidence.plain(made), "evidence": evidence.plain(found)}
        options.say(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        options.say(decisions.text(found, made, config.retraining))
    return errors.DONE


def gate(options: argparse.Namespace) -> int:
    """Compare a version with the champion on the frozen test set."""
    from cvkit.config import load_config
    from cvkit.maintenance import gate, test_set, versions

    config = load_config(options.config)
    version = versions.load(config, options.version) if options.version else _newest(config)
    options.say(gate.text(gate.judge(config, version, test_set.load(config))))
    return errors.DONE


def promote(options: argparse.Namespace) -> int:
    """Make a version that passed the gate the champion."""
    from cvkit.config import load_config
    from cvkit.maintenance import versions

    config = load_config(options.config)
    version = versions.promote(config, options.version, by=options.by, why=options.why, force=options.force)
    options.say(f"{version.name} is the champion. `cvkit run` measures with it from now on.")
    return errors.DONE


def rollback(options: argparse.Namespace) -> int:
    """Make the champion before champion again."""
    from cvkit.config import load_config
    from cvkit.maintenance import versions

    version = versions.rollback(load_config(options.config), by=options.by, why=options.why, to=options.to)
    options.say(f"{version.name} is the champion again, with the reference and the evidence that belong to it.")
    return errors.DONE


def status(options: argparse.Namespace) -> int:
    """List the versions and what the gate said of them, and who was champion when."""
    from cvkit.config import load_config
    from cvkit.maintenance import version_text

    options.say(version_text.status(load_config(options.config)))
    return errors.DONE


def shadow(options: argparse.Namespace) -> int:
    """Measure windows with a version beside the champion; nobody is alerted of it."""
    from cvkit import asked
    from cvkit.config import load_config
    from cvkit.maintenance import labelling, shadow, versions
    from cvkit.monitoring.history import History

    config = load_config(options.config)
    version = versions.load(config, options.version)
    windows = (
        asked.windows(config, datetime.now(UTC), window=options.window, start=options.start, end=options.end)
        if options.window or options.start or options.end
        else [labelling.newest_window(config)]
    )
    with History.open(config.history_url) as history:
        options.say(shadow.text(shadow.run(config, version, windows, history), version))
    return errors.DONE


def export(options: argparse.Namespace) -> int:
    """Write a version as ONNX, checked to say the same, or hand it over to MLflow."""
    from cvkit.config import load_config
    from cvkit.maintenance import export, test_set, versions

    config = load_config(options.config)
    version = versions.load(config, options.version)
    if options.mlflow:
        options.say(f"{config.model.name} {export.register(config, version, options.mlflow)} is {version.name}")
        return errors.DONE
    told = export.onnx(config, version, test_set.load(config).images)
    words = f"boxes differ by up to {told.pixels:.2f} px, confidences by {told.score:.4f}"
    options.say(f"{told.file}: {told.boxes} boxes on {told.images} images, {words}")
    return errors.DONE


def _newest(config: Config) -> Version:
    """The newest version that is not the champion."""
    from cvkit.maintenance import versions

    champion = versions.champion(config).name
    if others := [one for one in versions.every(config) if one.name != champion]:
        return others[-1]
    raise errors.DataError(
        "there is no version to judge", where=str(config.workspace / "versions"), expected="one beside the champion",
        remedy="train one: `cvkit retrain run`",
    )  # fmt: skip
