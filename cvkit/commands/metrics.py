"""`cvkit metrics ...`: what Prometheus is told, and `cvkit deploy`: the files that set it up."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cvkit import errors

# Everything heavier is imported by the command that needs it: `cvkit --help` must answer at once.

Make = Callable[..., argparse.ArgumentParser]  # of `cvkit.cli`: a command of a workspace
Say = Callable[[str], None]
ADDRESS = "127.0.0.1:9108"


def add(commands: Any, workspace_command: Make, say: Say) -> None:
    """Add the commands of this group to those of `cvkit`."""
    words = "Tell Prometheus what is known of the newest window."
    parser = commands.add_parser("metrics", help=words, description=words)
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    made = {function: workspace_command(parts, function.__name__, function)
            for function in (serve, push, textfile, backfill)}  # fmt: skip
    words = "host:port (default: %(default)s, which only this machine reaches)"
    made[serve].add_argument("--address", type=_address, default=ADDRESS, metavar="HOST:PORT", help=words)
    made[push].add_argument("--gateway", required=True, metavar="URL", help="address of the Pushgateway")
    made[push].add_argument("--job", default="cvkit", help="the job it is pushed as (default: %(default)s)")
    words = "where to, e.g. /var/lib/prometheus/node-exporter/cvkit.prom"
    made[textfile].add_argument("file", type=Path, metavar="FILE", help=words)
    _backfill_arguments(made[backfill])
    command = workspace_command(commands, "deploy", deploy)
    command.add_argument("folder", type=Path, metavar="FOLDER", help="where to; files of these names are replaced")
    words = "address at which people reach Grafana, for links in alerts (default: %(default)s)"
    command.add_argument("--grafana", default="http://localhost:3000", metavar="URL", help=words)
    for part in (*made.values(), command):
        part.set_defaults(say=say)


def serve(options: argparse.Namespace) -> int:
    """Stay and serve the metrics over HTTP until stopped."""
    import logging
    import signal
    import threading

    from cvkit.config import load_config
    from cvkit.monitoring import exposition

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    config = load_config(options.config)
    host, port = options.address
    scraper = exposition.Scraper(config.history_url, config.model.name)
    server = exposition.server(scraper, host, port)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    shown = f"[{host}]" if ":" in host else host
    options.say(f"Metrics of {config.model.name}: http://{shown}:{server.server_port}/metrics")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    try:
        while not stop.wait(exposition.LOOK_S):
            scraper.look()
    finally:
        server.shutdown()
        server.server_close()
    return errors.DONE


def push(options: argparse.Namespace) -> int:
    """Send the metrics to a Pushgateway, in place of those sent before."""
    from cvkit.config import load_config
    from cvkit.monitoring import exposition

    exposition.push(load_config(options.config), options.gateway, options.job)
    options.say(f"The metrics are at {options.gateway}")
    return errors.DONE


def textfile(options: argparse.Namespace) -> int:
    """Write the metrics to a file for node_exporter's textfile collector."""
    from cvkit.config import load_config
    from cvkit.monitoring import exposition

    exposition.textfile(load_config(options.config), options.file)
    options.say(f"The metrics are in {options.file}")
    return errors.DONE


def backfill(options: argparse.Namespace) -> int:
    """Write the history as OpenMetrics, which promtool turns into blocks."""
    from cvkit import moments
    from cvkit.config import load_config
    from cvkit.monitoring import exposition

    config = load_config(options.config)
    start, end = (moments.asked(text) if text else None for text in (options.start, options.end))
    written = exposition.backfill(config, options.file, start, end, dict(options.label))
    if not written:
        options.say(f"no window that was measured lies there; {options.file} holds no number")
        return errors.DONE
    options.say(f"{written} numbers are in {options.file}. Then, in Prometheus's data folder:")
    options.say(f"promtool tsdb create-blocks-from openmetrics {options.file} . --max-block-duration=24h")
    return errors.DONE


def deploy(options: argparse.Namespace) -> int:
    """Write what sets up Prometheus, Alertmanager, Grafana, Compose, Kubernetes, systemd and Airflow."""
    from cvkit import deployment
    from cvkit.config import load_config

    written = deployment.write(load_config(options.config), options.folder, options.grafana)
    options.say(f"{len(written)} files are in {options.folder}; docs/how-to/prometheus.md says how to go on.")
    return errors.DONE


def _backfill_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("file", type=Path, metavar="FILE", help="where to")
    add("--from", dest="start", metavar="DAY", help="windows from this day on (default: the first)")
    add("--to", dest="end", metavar="DAY", help="the first day not written any more (default: none)")
    words = "a label for every series, e.g. job=cvkit: those of your scrapes, so that series go on; may be repeated"
    add("--label", type=_label, action="append", default=[], metavar="NAME=VALUE", help=words)


def _address(text: str) -> tuple[str, int]:
    """Host and port, for argparse; port 0 is any that is free."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port, e.g. {ADDRESS}")
    return host.strip("[]"), int(port)


def _label(text: str) -> tuple[str, str]:
    """Name and value of a label, for argparse."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier() or not name.isascii():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, e.g. job=cvkit")
    return name, value
