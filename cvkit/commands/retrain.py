"""`cvkit retrain ...`: from evidence to a new champion."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cvkit import errors

# Everything heavier is imported by the command that needs it: `cvkit --help` must answer at once.

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command of a workspace
Say = Callable[[str], None]


def add(commands: Any, workspace_command: Make, say: Say) -> None:
    """Add the commands of this group to those of `cvkit`."""
    words = "Decide what to do about the model in use, and do it."
    parser = commands.add_parser("retrain", help=words, description=words)
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    made = {"decide": workspace_command(parts, "decide", decide)}
    made["decide"].add_argument("--json", action="store_true", help="all of it, with every measurement, as JSON")
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
