"""Servers on this machine for tests of channels: well-behaved ones, and such as hang, drip, lie and break off."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Web:
    """A web server: where it is, and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)


Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def web(answer: Callable[[Asked], Answer], context: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A web server that answers as told, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.path, dict(self.headers), body, time.monotonic())
            server.asked.append(asked)
            status, headers, reply = answer(asked)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(reply)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that gives up is what some tests are about."""

    listening = Quiet(("127.0.0.1", 0), Handler)
    if context:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    server = Web(f"http{'s' if context else ''}://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@contextmanager
def raw(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """A port where every connection is treated by `behave(connection, end)`; `end` is set when the block ends."""
    end = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.02)

    def serve() -> None:
        treated = []
        while not end.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            treated.append(threading.Thread(target=one, args=(connection,)))
            treated[-1].start()
        for thread in treated:
            thread.join()

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            behave(connection, end)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        end.set()
        thread.join()
        listening.close()


def silent(connection: socket.socket, end: threading.Event) -> None:
    """Takes the connection and says nothing."""
    end.wait(30)


def dripping(text: bytes, every_s: float = 0.05) -> Callable[[socket.socket, threading.Event], None]:
    """Sends `text` letter by letter, then x for ever."""

    def behave(connection: socket.socket, end: threading.Event) -> None:
        for number in range(10_000):
            connection.sendall(text[number : number + 1] or b"x")
            if end.wait(every_s):
                return

    return behave


def half_closed(connection: socket.socket, end: threading.Event) -> None:
    """Reads what comes and closes its side of it without an answer."""
    connection.settimeout(0.2)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        pass
    connection.shutdown(socket.SHUT_WR)
    end.wait(0.3)


def cut_short(connection: socket.socket, _end: threading.Event) -> None:
    """Promises more of an answer than it sends."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\no")


def says(text: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Reads once, says `text`, and closes."""

    def behave(connection: socket.socket, _end: threading.Event) -> None:
        connection.settimeout(1)
        connection.recv(65536)
        connection.sendall(text)

    return behave
