"""`cvkit alerts ...`: see alerts and do something about them, and `cvkit rules`: what raises them."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cvkit import errors, moments
from cvkit.commands import typed

if TYPE_CHECKING:
    from cvkit.config import Config
    from cvkit.monitoring.alert_store import Alert
    from cvkit.monitoring.history import History

# Everything heavier is imported by the command that needs it: `cvkit --help` must answer at once.

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command of a workspace
Say = Callable[[str], None]
ALERT = "its name in `cvkit alerts list`, the first digits of it, or RULE@SOURCE"


def add(commands: Any, workspace_command: Make, say: Say) -> None:
    """Add the commands of this group to those of `cvkit`."""
    words = "See alerts, and acknowledge, snooze, disable or deliver them."
    parser = commands.add_parser("alerts", help=words, description=words)
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    made = {
        name: workspace_command(parts, name, function)
        for name, function in {
            "list": list_alerts, "show": show, "ack": ack, "snooze": snooze, "disable": disable, "enable": enable,
            "override": override, "log": log, "deliver": deliver, "test": test,
        }.items()
    }  # fmt: skip
    made["list"].add_argument("--all", action="store_true", help="also those that are over")
    for name in ("show", "ack", "snooze", "disable", "enable"):
        made[name].add_argument("alert", metavar="ALERT", help=ALERT)
    made["log"].add_argument("alert", nargs="?", default="", metavar="ALERT", help=f"only of one: {ALERT}")
    for name in ("ack", "snooze", "disable", "enable", "override"):
        required = name not in ("enable", "override")
        made[name].add_argument("--why", required=required, default="", metavar="WORDS", help="the reason")
        made[name].add_argument("--by", default=user(), metavar="NAME", help="who does it (default: %(default)s)")
    _end(made["snooze"], required=True)
    _override_arguments(made["override"])
    words = "also try again what was given up, and what waits for its next try"
    made["deliver"].add_argument("--again", action="store_true", help=words)
    made["test"].add_argument("--channel", default="", metavar="NAME", help="only this channel (default: all)")
    rules = commands.add_parser("rules", help=words_of_rules(), description=words_of_rules())
    parts = rules.add_subparsers(title="commands", required=True, metavar="COMMAND")
    made["rules"] = workspace_command(parts, "check", check)
    for command in made.values():
        command.set_defaults(say=say)


def words_of_rules() -> str:
    """What `cvkit rules` is for."""
    return "What raises alerts, and when it would have."


def list_alerts(options: argparse.Namespace) -> int:
    """List the alerts that are open, the worst first."""
    from cvkit.monitoring import alert_text, alerts, outbox

    with _opened(options) as (config, history):
        options.say(alert_text.table(alerts.table(history, config.model.name), everything=options.all))
        if lacking := outbox.unsent(config, history):
            options.say(alert_text.unsent(lacking))
    return errors.DONE


def show(options: argparse.Namespace) -> int:
    """Show all that is known of one alert, as its message would say it."""
    from cvkit.monitoring import alert_actions, alert_text, alerts

    with _opened(options) as (config, history):
        alert = alert_actions.find(config, history, options.alert)
        options.say(alert_text.full(alert, alerts.notice(config, history, alert)))
    return errors.DONE


def ack(options: argparse.Namespace) -> int:
    """Take an alert on: it is not told again, unless it gets worse."""
    from cvkit.monitoring import alert_actions

    with _opened(options) as (config, history):
        alert = alert_actions.acknowledge(config, history, options.alert, author=options.by, why=options.why)
    options.say(f"{_named(alert)} is acknowledged by {alert.author}")
    return errors.DONE


def snooze(options: argparse.Namespace) -> int:
    """Say nothing of an alert until a time, or until it gets worse."""
    from cvkit.monitoring import alert_actions

    until = _until(options)
    with _opened(options) as (config, history):
        alert = alert_actions.snooze(config, history, options.alert, author=options.by, why=options.why, until=until)
    options.say(f"{_named(alert)} is snoozed until {until:%Y-%m-%d %H:%M} UTC, or until it gets worse")
    return errors.DONE


def disable(options: argparse.Namespace) -> int:
    """Say nothing of a rule at a source until it is enabled again."""
    from cvkit.monitoring import alert_actions

    with _opened(options) as (config, history):
        alert = alert_actions.disable(config, history, options.alert, author=options.by, why=options.why)
    options.say(f"{_named(alert)} is disabled until `cvkit alerts enable {alert.fingerprint}`")
    return errors.DONE


def enable(options: argparse.Namespace) -> int:
    """Undo ack, snooze or disable."""
    from cvkit.monitoring import alert_actions

    with _opened(options) as (config, history):
        alert = alert_actions.enable(config, history, options.alert, author=options.by, why=options.why)
    options.say(f"{_named(alert)} is {'firing, and told again' if alert.open else 'enabled, and does not fire'}")
    return errors.DONE


def override(options: argparse.Namespace) -> int:
    """Change a threshold of a rule for a while, without the file."""
    from cvkit.monitoring import alert_actions, alert_text

    with _opened(options) as (config, history):
        if options.end and (options.set or options.length or options.until):
            raise errors.ConfigError("--end stands alone: it ends what was changed", found="--set, --for or --until")
        if options.end:
            ended = alert_actions.end_overrides(config, history, options.rule, author=options.by)
            options.say(f"{alert_text.count(ended, 'override')} of {options.rule} ended")
            return errors.DONE
        changes = dict(options.set)
        if not changes:
            raise errors.ConfigError("what shall be changed?", expected="--set NAME=VALUE, or --end", found="neither")
        made = alert_actions.override(
            config, history, options.rule, changes, author=options.by, why=options.why, until=_until(options)
        )
    options.say(f"{made.rule}: {alert_actions.written(changes)} until {made.until:%Y-%m-%d %H:%M} UTC")
    return errors.DONE


def log(options: argparse.Namespace) -> int:
    """Show everything that happened to alerts, oldest first: when, what, by whom and why."""
    from cvkit.monitoring import alert_actions, alert_text

    with _opened(options) as (config, history):
        options.say(alert_text.log(alert_actions.log(config, history, options.alert)))
    return errors.DONE


def deliver(options: argparse.Namespace) -> int:
    """Look at what was measured, and send the messages that are due."""
    from cvkit.monitoring import alert_text, alerts, outbox

    with _opened(options) as (config, history):
        alerts.update(config, history)
        if options.again:
            outbox.again(config, history, datetime.now(UTC))
        done = outbox.deliver(config, history)
    options.say(alert_text.delivered(done))
    return errors.DeliveryError.exit_code if done.errors else errors.DONE


def test(options: argparse.Namespace) -> int:
    """Send a test message to every channel."""
    from cvkit.config import load_config
    from cvkit.monitoring import outbox

    config = load_config(options.config)
    found = outbox.try_out(config, options.channel)
    for name, error in found.items():
        options.say(f"{name}: {error or 'accepted the test message'}")
    return errors.DeliveryError.exit_code if any(found.values()) else errors.DONE


def check(options: argparse.Namespace) -> int:
    """Explain every rule, and on which past windows it would have fired."""
    from cvkit.monitoring import alert_text, alerts

    with _opened(options) as (config, history):
        options.say(alert_text.rules(alerts.replay(config, history)))
    return errors.DONE


def _named(alert: Alert) -> str:
    from cvkit.monitoring import alert_text

    return alert_text.named(alert.rule, alert.source)


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator[tuple[Config, History]]:
    from cvkit.config import load_config
    from cvkit.monitoring.history import History

    config = load_config(options.config)
    with History.open(config.history_url) as history:
        yield config, history


def _end(command: argparse.ArgumentParser, *, required: bool) -> None:
    end = command.add_mutually_exclusive_group(required=required)
    end.add_argument("--until", metavar="TIME", help="the end, e.g. 2026-12-01 or 2026-12-01T06:00, UTC")
    end.add_argument(
        "--for", dest="length", type=typed.asked(moments.length), metavar="LENGTH", help="how long, e.g. 8h, 3d, 2w"
    )


def _override_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("rule", metavar="RULE", help="its name in `cvkit rules check`")
    words = "above, below, change, state, severity, for or sure, e.g. --set below=40; may be repeated"
    command.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", help=words)
    command.add_argument("--end", action="store_true", help="end the rule's overrides now")
    _end(command, required=False)


def _until(options: argparse.Namespace) -> datetime:
    if options.length:
        return datetime.now(UTC) + options.length  # type: ignore[no-any-return]
    if not options.until:
        raise errors.ConfigError("this needs an end", expected="--until TIME or --for LENGTH", found="neither")
    return moments.asked(options.until)


def _setting(text: str) -> tuple[str, Any]:
    from cvkit.monitoring import alert_actions

    return typed.asked(alert_actions.setting)(text)


def user() -> str:
    """Who works here, for logs."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a name for its user
        return f"user {os.getuid()}"
