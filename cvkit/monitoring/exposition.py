"""Exposition: metrics over HTTP for scrapes, to a Pushgateway, into a file for node_exporter, and as history."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIServer

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from cvkit import serving
from cvkit.config import Config
from cvkit.errors import ConfigError, StorageError
from cvkit.monitoring import series
from cvkit.monitoring.prometheus import (
    MOST_SERIES,
    build_info,
    errors,
    gauges,
    header,
    inside,
    number,
    single,
)
from cvkit.storage import replacing

log = logging.getLogger(__name__)

OPENMETRICS_END = b"# EOF\n"
LOOK_S = 5.0  # a server looks this often whether there is something new
SLOWEST_S = 30.0  # how long a Pushgateway may take to answer
INDEX = b'<!doctype html><title>cvkit</title><h1>cvkit</h1><p><a href="/metrics">metrics</a></p>\n'

Encoder = Callable[[Any], bytes]


class Given(Collector):
    """Metric families that are there already."""

    def __init__(self, made: Iterable[Metric]) -> None:
        self._made = list(made)

    def collect(self) -> Iterator[Metric]:
        """The families."""
        yield from self._made


class Scraper:
    """What a scrape is given; what it costs to make is paid once for each change of the history.

    A history that cannot be read gives `cvkit_up` 0 and nothing about the model: what was known before is not repeated.
    """

    def __init__(self, url: str, model: str, most: int = MOST_SERIES) -> None:
        self.url, self.model, self.most = url, model, most
        self.errors = 0
        self._known: tuple[Any, ...] = ()
        self._text = b""
        self._one = threading.Lock()

    def metrics(self, encoder: Encoder) -> bytes:
        """The exposition; `encoder` writes what the formats write differently."""
        with self._one:
            try:
                self._refresh()
            except StorageError as error:
                self.errors += 1
                log.error("%s", error)
                return encoder(Given(self._about(up=False)))
            return self._text + encoder(Given(self._about(up=True)))

    def look(self) -> None:
        """Make a new window ready before it is asked for; what cannot be read the next scrape says."""
        with self._one:
            try:
                self._refresh()
            except StorageError as error:
                log.debug("%s", error)

    def _refresh(self) -> None:
        with series.opened(self.url) as engine:
            if (state := series.state_of(engine, self.model)) != self._known:
                self._text = gauges(series.newest(engine, self.model), self.most).encode()
                self._known = state

    def _about(self, up: bool) -> list[Metric]:
        return [build_info(), single("cvkit_up", self.model, float(up)), errors(self.model, self.errors)]


def once(config: Config, most: int = MOST_SERIES) -> bytes:
    """The metrics as they are now, in Prometheus's text. Raises StorageError where the history cannot be read."""
    model = config.model.name
    with series.opened(config.history_url) as engine:
        text = gauges(series.newest(engine, model), most)
    return text.encode() + exposition.generate_latest(Given([build_info(), single("cvkit_up", model, 1.0)]))


def application(scraper: Scraper) -> Callable[..., list[bytes]]:
    """A WSGI application: /metrics, and a page that leads there."""

    def answer(environ: Mapping[str, str], start_response: Callable[..., Any]) -> list[bytes]:
        status, kind, body = _page(scraper, environ)
        headers = [("Content-Type", kind)]
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "") and status.startswith("200"):
            body = gzip.compress(body, compresslevel=1)
            headers.append(("Content-Encoding", "gzip"))
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        return [body]

    return answer


def _page(scraper: Scraper, environ: Mapping[str, str]) -> tuple[str, str, bytes]:
    if environ.get("PATH_INFO") == "/metrics":
        encoder, kind = exposition.choose_encoder(environ.get("HTTP_ACCEPT", ""))
        return "200 OK", kind, scraper.metrics(encoder)
    if environ.get("PATH_INFO") in ("", "/"):
        return "200 OK", "text/html; charset=utf-8", INDEX
    return "404 Not Found", "text/plain", b"the metrics are at /metrics\n"


def server(scraper: Scraper, host: str, port: int) -> WSGIServer:
    """A server of the metrics; port 0 is any that is free. Raises StorageError where the address cannot be had."""
    try:
        return serving.server(application(scraper), host, port)
    except (OSError, OverflowError) as error:
        raise StorageError(
            "the metrics cannot be served there", where=f"{host}:{port}", expected="a free address of this machine",
            found=str(error), remedy="name another one with --address HOST:PORT",
        ) from error  # fmt: skip


def push(config: Config, gateway: str, job: str) -> None:
    """Put the metrics in place of those that the same job pushed about this model.

    Raises ConfigError for an address with a name and password in it, StorageError where the history cannot be read or
    the Pushgateway does not take them.
    """
    if "@" in gateway:  # before anything shows it
        raise ConfigError(
            "an address with a name and password would be shown in lists of processes", where="--gateway",
            expected="http://HOST:PORT", found="an address with @",
            remedy="push to a proxy on this machine that logs in, or let node_exporter take `cvkit metrics textfile`",
        )  # fmt: skip
    body = once(config)

    def send(url: str, method: str, timeout: float | None, headers: Any, data: bytes) -> Callable[[], None]:
        return exposition.default_handler(url, method, timeout, headers, body)

    try:
        group = {"model": config.model.name}
        exposition.push_to_gateway(gateway, job, CollectorRegistry(), group, SLOWEST_S, handler=send)
    except (OSError, ValueError) as error:
        raise StorageError(
            "the Pushgateway did not take the metrics", where=gateway, expected="a Pushgateway that answers there",
            found=str(error), remedy="check the address, then run the same command again",
        ) from error  # fmt: skip


def textfile(config: Config, file: Path) -> None:
    """Write the metrics to a file for node_exporter's textfile collector, whole or not at all."""
    content = once(config)
    with replacing(file) as part:
        part.write_bytes(content)


def backfill(
    config: Config,
    file: Path,
    start: datetime | None = None,
    end: datetime | None = None,
    labels: Mapping[str, str] | None = None,
) -> int:
    """Write past windows as OpenMetrics for `promtool tsdb create-blocks-from openmetrics`; how many numbers it holds.

    Each number stands at the end of its window. `labels` are given to every series, such as job and instance, so that
    it continues what is scraped. Memory does not grow with the history.
    """
    with series.opened(config.history_url) as engine, replacing(file) as part:
        return _write(part, engine, config.model.name, (start, end), labels or {})


def _write(
    file: Path, engine: sa.Engine, model: str, stretch: tuple[datetime | None, datetime | None], more: Mapping[str, str]
) -> int:
    written = 0
    with file.open("w", encoding="utf-8", newline="\n") as lines:
        for column in series.columns():
            lines.write(header(column.name))
            about, known = "", None
            for values, value, time in series.points(engine, column, model, *stretch):
                if values != known:
                    labels = {**dict(zip(column.labels, values, strict=True)), **more}
                    about, known = f"{column.name}{{{inside(labels)}}}", values
                lines.write(f"{about} {number(value)} {time:.3f}\n")
                written += 1
        lines.write(OPENMETRICS_END.decode())
    return written
