"""The command line: `cvkit COMMAND`. Each command is one function; `docs/reference/commands.md` describes them."""

from __future__ import annotations

import argparse
import gc
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cvkit import __version__, errors
from cvkit.commands import alerts, documents, images, labels, metrics, retrain, site, upkeep
from cvkit.commands.parser import Parser
from cvkit.commands.typed import count, day, port, positive, source
from cvkit.storage import memory_error, storage_error
from cvkit.tables import STATES

if TYPE_CHECKING:
    from cvkit import schedule

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# Everything heavier is imported by the command that needs it: `cvkit --help` must answer at once.

SELDOM = 100_000  # objects before cycles are searched for: at Python's 700 it is a seventh of a fleet's day


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `cvkit.errors`)."""
    options = _parser().parse_args(arguments)
    # Before numpy is loaded, here and in the notebooks' kernels: on matrices this small threads only wait for each
    # other, on a busy machine ten times as long as the work takes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(SELDOM)
    _heed_orders()
    try:
        code = int(options.command(options))
        sys.stdout.flush()
    except errors.CvkitError as error:
        _say(f"cvkit: {error}", sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # as in `cvkit status | head`: nobody reads on, and nobody shall be told so at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.DONE
    except OSError as error:
        told = storage_error(error)
        _say(f"cvkit: {told}", sys.stderr)
        return told.exit_code
    except Exception as error:
        if (short := memory_error(error)) is None:
            raise
        _say(f"cvkit: {short}", sys.stderr)
        return short.exit_code
    except KeyboardInterrupt as order:
        _say("cvkit: stopped; what was finished is kept, the same command goes on from there", sys.stderr)
        return errors.TERMINATED if isinstance(order, Terminated) else errors.INTERRUPTED
    return code


class Terminated(KeyboardInterrupt):
    """The order to stop that systemd, Kubernetes and `kill` give: what Ctrl-C does, but for the exit code."""


def _heed_orders() -> None:
    def terminated(number: int, frame: object) -> None:
        raise Terminated

    if threading.current_thread() is threading.main_thread():  # no other may say what becomes of signals
        signal.signal(signal.SIGTERM, terminated)


def demo(options: argparse.Namespace) -> int:
    """Make a workspace with a generated production line and do the whole job on it."""
    from cvkit import demo

    demo.run(options.folder, seed=options.seed, say=_say, anew=options.anew)
    return errors.DONE


def init(options: argparse.Namespace) -> int:
    """Make FOLDER a workspace for a model of yours."""
    from cvkit import workspace
    from cvkit.data import sources

    if (options.start is None) != (options.end is None):
        raise errors.ConfigError(
            "a stretch of captures has two ends", expected="--from DAY --to DAY", found="one of them",
            remedy="name both, or --data",
        )  # fmt: skip
    settings = {
        "model": {"weights": options.weights, "name": options.name or workspace.plain(options.folder).name},
        "captures": {"images": options.captures} if options.captures else {},
        "reference": {"data": options.data} if options.data else {"start": options.start, "end": options.end},
    }
    config = workspace.create(options.folder, settings)
    found = len(sources.capture_dates(config))
    days = f"of {found} day{'s' * (found != 1)}" if found else "none yet"
    _say(f"{config.path} is written: read it once.")
    _say(f"Captures: {days} in {config.resolve(config.captures.images)}")
    if config.reference.data and not config.reference.images:
        _say("Drift needs the reference's days: set reference.images, or reference.independent (see the file).")
    _say(f"Then: cvkit run --config {shlex.quote(str(config.path))}")
    return errors.DONE


def run(options: argparse.Namespace) -> int:
    """Measure windows and write their reports."""
    from cvkit import asked, job, schedule
    from cvkit.config import load_config
    from cvkit.data import sources
    from cvkit.monitoring.history import History

    config = load_config(options.config)
    now = datetime.now(UTC)
    if options.due:
        code = _show_slots(schedule.run_due(config, now))
        sources.check_any(config)  # after the slots, which have failed by it and stay in the ledger
        return code
    asked.check_names(config, options.notebook, options.source)
    about = {"notebook": options.notebook, "source": options.source}
    windows = asked.windows(config, now, window=options.window, start=options.start, end=options.end, **about)
    if not windows:
        with History.open(config.history_url) as history:
            _, undelivered = job.tell(config, history)
        _say_undelivered(undelivered)
        _say("nothing is due: every complete window with captures has been measured")
        return _reached(options.fail_on, asked.newest_state(config))
    outcome = job.run(
        config,
        windows,
        notebooks=[options.notebook] if options.notebook else None,
        reports=options.reports,
        source=options.source,
    )
    for failure in outcome.failures:
        _say(f"failed: {failure}", sys.stderr)
    _say_undelivered(outcome.undelivered)
    _say(outcome.summary)
    return outcome.exit_code(options.fail_on)


def serve_schedule(options: argparse.Namespace) -> int:
    """Stay and run what is due, when it is due, until stopped."""
    import logging
    import signal
    import threading

    from cvkit import schedule
    from cvkit.config import load_config

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("cvkit").setLevel(logging.INFO)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    schedule.serve(load_config(options.config), stop)
    return errors.DONE


def lab(options: argparse.Namespace) -> int:
    """Open JupyterLab on the workspace, to look into it: on this machine only, with a token."""
    from cvkit.config import load_config
    from cvkit.lab import server

    server.serve(load_config(options.config), options.port, browser=options.browser, root=options.root)
    return errors.DONE


def status(options: argparse.Namespace) -> int:
    """Tell what is not as it should be, where and since when."""
    from cvkit.config import load_config
    from cvkit.monitoring import diagnosis, identity
    from cvkit.monitoring.history import History
    from cvkit.slots import standings

    config = load_config(options.config)
    with History.open(config.history_url) as history:
        model, version = config.model.name, history.current_version(config)
        verdicts, runs = (read(model=model, version=version) for read in (history.verdicts, history.runs))
        behind = diagnosis.behind(history.runs(model=model), version)
        _say(diagnosis.text(verdicts, runs, identity.judged_by(config, version), behind))
        others = sorted(set(history.runs()["model"]) - {model}) if verdicts.empty else []
        late = [one for one in standings(config, history.slots().to_dict("records"), datetime.now(UTC)) if one.overdue]
    if others:
        _say(f"the history knows of {', '.join(others)}: was model.name changed? it is kept under the old name")
    for one in late:
        if one.ran or options.overdue:  # people who run cvkit by hand need not read of a schedule that never was
            _say(one.line)
    return errors.OVERDUE if late and options.overdue else errors.DONE


def backtest(options: argparse.Namespace) -> int:
    """Show what the past would have raised under other rules."""
    from cvkit import asked
    from cvkit.config import load_config
    from cvkit.monitoring import backtest, identity
    from cvkit.monitoring.history import History

    config = load_config(options.config)
    with History.open(config.history_url) as history:
        version = history.current_version(config)
        states = history.streams(config.model.name, version, identity.reference_id(config))
    if not states:
        raise errors.DataError(
            "there is no past to replay", where=str(config.path), expected="measured windows with this reference",
            found="none", remedy="run `cvkit run` first",
        )  # fmt: skip
    budgets = sorted(set(options.budget or [0.1, 1.0, 12.0, config.rules.false_alarms_per_year]))
    sizes = sorted(set(options.drift_warning or [config.rules.drift_warning]))
    events = asked.events(options.event, states)
    table = backtest.backtest(
        states, config.rules, config.window_length, budgets=budgets, sizes=sizes, events=events
    )  # fmt: skip
    _say(backtest.text(table))
    return errors.DONE


def reference(options: argparse.Namespace) -> int:
    """Show the frozen reference, measuring it first where that has not been done."""
    from cvkit.config import load_config
    from cvkit.monitoring import reference

    config = load_config(options.config)
    if options.rebuild:
        reference.discard(config)
    _say(reference.describe(reference.load(config)))
    return errors.DONE


def schema(options: argparse.Namespace) -> int:
    """Print the JSON schema of cvkit.yml."""
    import json

    from cvkit import config

    _say(json.dumps(config.schema(), indent=2))
    return errors.DONE


def _show_slots(outcomes: list[schedule.Outcome]) -> int:
    for outcome in outcomes:
        _say(
            f"{outcome.slot.time:%Y-%m-%d %H:%M} {outcome.slot.job.notebook} of {outcome.slot.window}: {outcome.status}"
        )
        if outcome.error:
            _say(outcome.error, sys.stderr)
    if not outcomes:
        _say("nothing is due")
    return errors.WINDOWS_FAILED if any(outcome.status == "failed" for outcome in outcomes) else errors.DONE


def _say_undelivered(errors: Sequence[str]) -> None:
    for error in errors:
        _say(f"not delivered, will be tried again: {error}", sys.stderr)


def _reached(fail_on: str | None, state: str) -> int:
    worse = fail_on is not None and STATES.index(state) >= STATES.index(fail_on)
    return errors.VERDICT_REACHED if worse else errors.DONE


def _say(text: str, stream: TextIO | None = None) -> None:
    """Print `text`. Names of files and cameras may hold anything: what would steer a terminal is shown as a code."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    print(shown, file=stream or sys.stdout)


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(
        prog="cvkit",
        description="Keeps computer-vision models healthy after deployment.",
        epilog="Exit codes: 0 done, 2 settings or command line, 3 data or weights, 4 some windows or reports failed, "
        "5 another run holds the workspace, 6 storage, 7 a message did not arrive, 8 --fail-on reached, 9 a document "
        "is incomplete, 10 the doctor found something wrong, 11 workers do not start or die again and again, "
        "12 --overdue and a job did not run, 130 stopped with Ctrl-C, 143 by an order to end.",
    )
    parser.add_argument("--version", action="version", version=f"cvkit {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _demo_arguments(_command(commands, "demo", demo))
    _init_arguments(_command(commands, "init", init))
    _run_arguments(_workspace_command(commands, "run", run))
    _workspace_command(commands, "schedule", serve_schedule)
    command = _workspace_command(commands, "status", status)
    words = "exit with 12 where a scheduled job did not run, for another machine to ask"
    command.add_argument("--overdue", action="store_true", help=words)
    command = _workspace_command(commands, "lab", lab)
    command.add_argument("--port", type=port, default=8888, metavar="N", help="the first one tried (default: 8888)")
    command.add_argument("--no-browser", dest="browser", action="store_false", help="print the address, open nothing")
    command.add_argument("--allow-root", dest="root", action="store_true", help="as Jupyter's: run though this is root")
    add = _workspace_command(commands, "backtest", backtest).add_argument
    words = "false alarms a year to try (default: 0.1, 1, 12 and that of cvkit.yml)"
    add("--budget", type=positive, nargs="+", metavar="N", help=words)
    words = "sizes of drift that matter to try, reference sds (default: that of cvkit.yml)"
    add("--drift-warning", type=positive, nargs="+", metavar="SIZE", help=words)
    words = "a change you know of, e.g. cam-1=2026-10-10..2026-10-14: was it found, and when? may be repeated"
    add("--event", action="append", default=[], metavar="SOURCE=DAY", help=words)
    labels.add(commands, _workspace_command, _say)
    command = _workspace_command(commands, "reference", reference)
    command.add_argument("--rebuild", action="store_true", help="measure it again from its files")
    site.add(commands, _workspace_command, _say)
    alerts.add(commands, _workspace_command, _say)
    retrain.add(commands, _workspace_command, _say)
    documents.add(commands, _workspace_command, _say)
    metrics.add(commands, _workspace_command, _say)
    images.add(commands, _command, _say)
    upkeep.add(commands, _command, _workspace_command, _say)
    _command(commands, "schema", schema)
    return parser


def _command(commands: Commands, name: str, function: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    words = (function.__doc__ or "").strip()
    command = commands.add_parser(name, help=words, description=words)
    command.set_defaults(command=function)
    return command


def _workspace_command(
    commands: Commands, name: str, function: Callable[[argparse.Namespace], int], *, inherits: bool = False
) -> argparse.ArgumentParser:
    """A command with --config; `inherits`: without a default, as the group that it is part of has one."""
    command = _command(commands, name, function)
    default, words = Path("cvkit.yml"), "the workspace's settings, or its folder (default: cvkit.yml)"
    default = argparse.SUPPRESS if inherits else default  # type: ignore[assignment]
    command.add_argument("--config", type=Path, default=default, metavar="FILE", help=words)
    return command


def _demo_arguments(command: argparse.ArgumentParser) -> None:
    words = "where to (default: %(default)s)"
    command.add_argument("folder", nargs="?", type=Path, default=Path("cvkit-demo"), metavar="FOLDER", help=words)
    command.add_argument("--seed", type=int, default=0, help="another seed, another production line (default: 0)")
    command.add_argument("--anew", action="store_true", help="make it anew where there is one: what is in it goes")


def _init_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("folder", type=Path, metavar="FOLDER", help="folder to make a workspace")
    add("--weights", default="", metavar="FILE", help="Ultralytics checkpoint of the deployed model")
    accepted = command.add_mutually_exclusive_group(required=True)
    words = "what the model was accepted on: data.yaml, COCO .json, VOC folder, folder per class"
    accepted.add_argument("--data", default="", metavar="PATH", help=words)
    words = "instead of --data: captures from this day on are what it was accepted on"
    accepted.add_argument("--from", dest="start", type=day, metavar="DAY", help=words)
    add("--to", dest="end", type=day, metavar="DAY", help="with --from: the first day that does not count to them")
    add("--captures", default="", metavar="PATTERN", help="production images, e.g. 'captures/{source}/{date}/*.jpg'")
    add("--name", default="", help="what people call the model (default: the folder's name)")


def _run_arguments(command: argparse.ArgumentParser) -> None:
    when = command.add_mutually_exclusive_group()
    when.add_argument("--window", metavar="DAY", help="this window only, e.g. 2026-11-21; replaces what is known of it")
    words = "this day's window and all complete ones after it, up to now without --to; replaces what is known of them"
    when.add_argument("--from", dest="start", metavar="DAY", help=words)
    when.add_argument("--due", action="store_true", help="the scheduled notebooks that are due, for cron and timers")
    add = command.add_argument
    add("--to", dest="end", metavar="DAY", help="with --from: the first day not measured any more; may be left out")
    add("--notebook", metavar="NAME", help="write only this report, e.g. 02-drift")
    add("--source", type=source, default="", help="reports about this source only")
    add("--reports", type=count, default=1, metavar="N", help="write reports for the newest N windows (default: 1)")
    add("--fail-on", choices=("warning", "critical"), help="exit with 8 when a verdict is this bad or worse")


if __name__ == "__main__":
    sys.exit(main())
