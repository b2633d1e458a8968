"""`cvkit retrain ...`: from evidence to a new champion, and back."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cvkit import errors
from cvkit.commands.alerts import user
from cvkit.commands.typed import count
from cvkit.progress import bar

if TYPE_CHECKING:
    from cvkit.config import Config
    from cvkit.maintenance.dataset import Kind
    from cvkit.maintenance.versions import Version
    from cvkit.tables import Window

# Everything heavier is imported by the command that needs it: `cvkit --help` must answer at once.

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command of a workspace
Say = Callable[[str], None]
KINDS: tuple[Kind, ...] = ("incremental", "full")
VERSION = "its name in `cvkit retrain status`, or the first digits of it"


def add(commands: Any, workspace_command: Make, say: Say) -> None:
    """Add the commands of this group to those of `cvkit`."""
    parser = workspace_command(commands, "retrain", retrain)
    parts = parser.add_subparsers(title="single steps", metavar="COMMAND")
    functions = (decide, prepare, run, gate, promote, rollback, status, shadow, export)
    made = {one.__name__: workspace_command(parts, one.__name__, one, inherits=True) for one in functions}
    made["decide"].add_argument("--json", action="store_true", help="all of it, with every measurement, as JSON")
    _round_arguments(parser)
    _data_arguments(made["prepare"], "incremental", inherits=True)
    _training_arguments(made["run"], "what the data set is for", inherits=True)
    made["run"].add_argument("--data", default="", metavar="ID", help="the data set (default: the one prepared last)")
    _version_arguments(made)
    for command in (parser, *made.values()):
        command.set_defaults(say=say)


def retrain(options: argparse.Namespace) -> int:
    """Decide what to do about the model in use, and go as far as that allows: train, judge, ask, promote."""
    from cvkit.config import load_config
    from cvkit.maintenance import decisions, rounds

    config = load_config(options.config)
    kind, why = options.kind, "asked for by hand"
    if not kind:
        found, made = rounds.decide(config, datetime.now(UTC))
        options.say(decisions.text(found, made, config.retraining))
        kind, why = rounds.TRAININGS.get(made.action), f"{made.action}: {made.policy}"
        options.say(f"\nNext: {rounds.NEXT.get(made.action, f'{kind} training')}.\n")
        if kind is None:
            return errors.DONE
    done = rounds.run(
        config, _windows(config, options), kind, seed=options.seed, by=options.by, why=why, say=options.say, bar=bar,
        agree=lambda result: _agreed(config.retraining.promote, options),
    )  # fmt: skip
    _card(config, done.version)
    if done.promoted:
        _keep(config, options)
        _tell(options)
    if not done.promoted and done.result.outcome == "passed":
        where = shlex.quote(str(options.config))
        options.say(f"Not promoted. Then: cvkit retrain promote {done.version.name} --why ... --config {where}")
    return errors.DONE


def _tell(options: argparse.Namespace) -> None:
    """Bring alerts to what the windows of the new champion say, and say which windows it has not measured."""
    from cvkit import job
    from cvkit.config import load_config
    from cvkit.monitoring import diagnosis
    from cvkit.monitoring.history import History

    config = load_config(options.config)
    with History.open(config.history_url) as history:
        for error in job.tell(config, history)[1]:
            options.say(f"not delivered, will be tried again: {error}")
        if behind := diagnosis.behind(history.runs(model=config.model.name), config.version):
            options.say(f"{behind}. Until then alerts stay as they are.")


def _agreed(policy: str, options: argparse.Namespace) -> bool:
    """Whether what passed becomes champion: as `--yes` or the settings say, else as somebody at the terminal does."""
    if options.yes or policy == "yes":
        return True
    if policy == "no" or not sys.stdin.isatty():
        return False
    return input("It passed. Make it the champion? [y/N] ").strip().lower() in ("y", "yes")


def decide(options: argparse.Namespace) -> int:
    """Decide what to do about the model in use, say why, and record it."""
    from cvkit.config import load_config
    from cvkit.maintenance import decisions, rounds
    from cvkit.maintenance.facts import plain

    config = load_config(options.config)
    found, made = rounds.decide(config, datetime.now(UTC))
    if options.json:
        told = {"decision": plain(made), "evidence": plain(found)}
        options.say(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        options.say(decisions.text(found, made, config.retraining))
    return errors.DONE


def prepare(options: argparse.Namespace) -> int:
    """Freeze the test set, and write the data set for a training."""
    from cvkit.config import load_config
    from cvkit.maintenance import dataset

    config = load_config(options.config)
    windows = _windows(config, options)
    with bar("reading windows", "window") as step:
        made = dataset.prepare(config, windows, kind=options.kind or KINDS[0], seed=options.seed, progress=step)
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
    data = dataset.load(config, options.data) if options.data else dataset.newest(config, options.kind or None)
    with bar(f"training on {data.id}", "batch") as step:
        version = training.train(config, data, options.kind or data.kind, seed=options.seed, progress=step)
    _card(config, version)
    options.say(f"Version {version.name}: {version.kind}, from {version.parent}, on data {version.data}, "
                f"on {version.environment['device']}. It challenges; nothing was promoted.")  # fmt: skip
    return errors.DONE


def gate(options: argparse.Namespace) -> int:
    """Compare a version with the champion on the frozen test set."""
    from cvkit.config import load_config
    from cvkit.maintenance import gate, test_set, versions

    config = load_config(options.config)
    version = versions.load(config, options.version) if options.version else _newest(config)
    result = gate.judge(config, version, test_set.load(config))
    _card(config, version)
    options.say(gate.text(result))
    return errors.DONE


def promote(options: argparse.Namespace) -> int:
    """Make a version that passed the gate the champion."""
    from cvkit.config import load_config
    from cvkit.maintenance import versions

    config = load_config(options.config)
    version = versions.promote(config, options.version, by=options.by, why=options.why, force=options.force)
    _card(config, version)
    options.say(f"{version.name} is the champion. `cvkit run` measures with it from now on.")
    _keep(config, options)
    _tell(options)
    return errors.DONE


def rollback(options: argparse.Namespace) -> int:
    """Make the champion before champion again."""
    from cvkit.config import load_config
    from cvkit.maintenance import versions

    config = load_config(options.config)
    version = versions.rollback(config, by=options.by, why=options.why, to=options.to)
    _card(config, version)
    options.say(f"{version.name} is the champion again, with the reference and the evidence that belong to it.")
    _keep(config, options)
    _tell(options)
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
    if options.mlflow is not None:
        if not options.mlflow.strip():  # as of a variable that is not set
            raise errors.ConfigError("no registry is named", expected="--mlflow URI", found="nothing", remedy="name it")
        options.say(f"{config.model.name} {export.register(config, version, options.mlflow)} is {version.name}")
        return errors.DONE
    told = export.onnx(config, version, test_set.load(config).images)
    words = f"boxes differ by up to {told.pixels:.2f} px, confidences by {told.score:.4f}"
    options.say(f"{told.file}: {told.boxes} boxes on {told.images} images, {words}")
    return errors.DONE


def _card(config: Config, version: Version) -> None:
    from cvkit.documentation import version_card

    version_card.write(config, version)


def _keep(config: Config, options: argparse.Namespace) -> None:
    """Keep the model card as it was, and say what is to be done about it."""
    from cvkit.documentation import documents

    if kept := documents.keep(config):
        options.say(f"The model card as it was is kept in {kept}: `cvkit card fill` writes its facts for the new one.")


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


def _version_arguments(made: dict[str, argparse.ArgumentParser]) -> None:
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
    made["export"].add_argument("--mlflow", metavar="URI", help=words)


def _round_arguments(command: argparse.ArgumentParser) -> None:
    _data_arguments(command, "as decided")
    command.add_argument("--yes", action="store_true", help="promote what passes the gate without asking")
    command.add_argument("--by", default=user(), metavar="NAME", help="who does it (default: %(default)s)")


def _data_arguments(command: argparse.ArgumentParser, kind: str, *, inherits: bool = False) -> None:
    """Options that say what to train on; `kind`: its default in words; `inherits`: `cvkit retrain` has the defaults."""
    default = argparse.SUPPRESS if inherits else None
    when = command.add_mutually_exclusive_group()
    words = "labelled images of this window (default: all that have labels)"
    when.add_argument("--window", metavar="DAY", default=default, help=words)
    words = "labelled images from this day on"
    when.add_argument("--from", dest="start", metavar="DAY", default=default, help=words)
    words = "with --from: the first day not used any more"
    command.add_argument("--to", dest="end", metavar="DAY", default=default, help=words)
    _training_arguments(command, kind, inherits=inherits)


def _training_arguments(command: argparse.ArgumentParser, kind: str, *, inherits: bool = False) -> None:
    words = f"from the champion on new and some old images, or anew on all (default: {kind})"
    command.add_argument("--kind", choices=KINDS, default=argparse.SUPPRESS if inherits else "", help=words)
    words = "another seed, other old images and another training (default: 0)"
    command.add_argument("--seed", type=count, metavar="N", default=argparse.SUPPRESS if inherits else 0, help=words)


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
