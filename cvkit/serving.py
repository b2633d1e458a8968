"""Serving: a small HTTP server for pages that are read, which no client can hold up, fill or frame."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from http.client import LineTooLong
from io import BufferedIOBase
from socketserver import ThreadingMixIn
from typing import IO, Any, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from cvkit.addresses import is_loopback

log = logging.getLogger(__name__)

SLOWEST_S = 30.0  # all the time a client has to ask and to take the answer
MOST_CONNECTIONS = 32  # at once; who comes then is told to come again
LONGEST_LINE, LONGEST_HEAD = 8_192, 32_768  # bytes of the first line of a request, and of all its headers
HEADERS = {  # of every answer: nothing in it is a program, a frame or another type than it says
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
BUSY = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def server(application: Application, host: str, port: int) -> WSGIServer:
    """A server of a WSGI application that is only read; port 0 is any that is free. Raises OSError, OverflowError."""
    made = (_Server6 if ":" in host else Bounded)((host, port), Handler)
    made.set_app(read_only(application))
    return made


def read_only(application: Application) -> Application:
    """The application behind GET and HEAD, its answers with HEADERS."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            known = {name.lower() for name, _ in headers}
            return start_response(
                status, headers + [one for one in HEADERS.items() if one[0].lower() not in known], *more
            )

        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            body = b"only GET\n"
            start("405 Method Not Allowed", [("Content-Type", "text/plain"), ("Allow", "GET, HEAD"),
                                             ("Content-Length", str(len(body)))])  # fmt: skip
            return [body]
        head = environ["REQUEST_METHOD"] == "HEAD"
        pages = application({**environ, "REQUEST_METHOD": "GET"}, start)
        if not head:
            return pages
        if close := getattr(pages, "close", None):
            close()
        return []

    return answer


def _meant(host: str) -> bool:
    """Whether who asks names this machine as itself, by the `Host` it sends, or nothing at all."""
    try:
        return not host or is_loopback(f"http://{host}")
    except ValueError:
        return False


class _Head:
    """The lines a client sends, as far as they may be long; `readline` as `http.client` calls it."""

    def __init__(self, lines: BufferedIOBase) -> None:
        self._lines, self._left = lines, LONGEST_HEAD

    def readline(self, limit: int = -1) -> bytes:
        """The next line. Raises LineTooLong, which is answered with 431."""
        line = self._lines.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise LineTooLong("header")
        return line

    def close(self) -> None:
        """Close what is read from."""
        self._lines.close()


class _Answer(ServerHandler):
    server_software = "cvkit"  # no versions: who asks need not know them


class Handler(WSGIRequestHandler):
    """Answers a request within the limits above, whatever server it came to."""

    default_request_version = "HTTP/1.0"  # of a request that names none: answers have headers all the same
    timeout = SLOWEST_S  # of one read or write; `handle` sees to all of them together

    def handle(self) -> None:
        """Answer one request, as the library does, within SLOWEST_S, LONGEST_LINE and LONGEST_HEAD."""
        end = threading.Timer(SLOWEST_S, self._cut_off)
        end.daemon = True
        end.start()
        try:
            self._answer()
        except OSError as error:  # the client went away, or was cut off
            log.debug("%s", error)
        finally:
            end.cancel()

    def _answer(self) -> None:
        self.raw_requestline = self.rfile.readline(LONGEST_LINE + 1)
        if len(self.raw_requestline) > LONGEST_LINE:
            self.requestline, self.request_version, self.command = "", "", ""
            self.send_error(414)
            return
        body, out = self.rfile, cast("IO[bytes]", self.wfile)
        self.rfile = _Head(body)  # type: ignore[assignment]
        if not self.parse_request():
            return
        if is_loopback(cast("tuple[str, int]", self.server.server_address)[0]) and not _meant(
            self.headers.get("Host", "")
        ):
            self.send_error(421)  # a page elsewhere has made its own name point to this machine, to read what is here
        else:
            handler = _Answer(body, out, self.get_stderr(), self.get_environ(), multithread=True)
            handler.request_handler = self  # type: ignore[attr-defined]  # of which it logs
            handler.run(self.server.get_app())  # type: ignore[attr-defined]

    def _cut_off(self) -> None:
        with contextlib.suppress(OSError):  # it has gone by itself
            self.connection.shutdown(socket.SHUT_RDWR)

    def end_headers(self) -> None:
        """Of errors that the library answers itself."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """The name of this server, without versions."""
        return "cvkit"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  as the library calls it
        """Requests are of no interest but to who looks for a fault."""
        log.debug(format, *arguments)


class Bounded(ThreadingMixIn, WSGIServer):
    """A server with a thread for each of MOST_CONNECTIONS; servers of others take it as their first base."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, if there is a place left."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with contextlib.suppress(OSError):
            request.settimeout(0.2)
            request.sendall(BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Give the place back at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Into the log, not onto the terminal."""
        log.exception("a request could not be answered")


class _Server6(Bounded):
    address_family = socket.AF_INET6
