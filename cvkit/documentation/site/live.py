"""The site while it is written: built anew by MkDocs at each change, served within the limits of `cvkit.serving`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mkdocs.livereload import LiveReloadServer

from cvkit.serving import SLOWEST_S, Bounded, Handler, read_only

# What a page may load stands in the page itself; only headers say who may frame it and where forms lead.
HEADERS = (
    ("Content-Security-Policy", "frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'"),
    ("X-Frame-Options", "SAMEORIGIN"),
)


class LiveServer(Bounded, LiveReloadServer):
    """MkDocs' server, which watches, builds and tells browsers, behind our limits on clients.

    MkDocs' own has none: its threads are as many as clients wish, each for as long as a client wishes.
    """

    poll_response_timeout = int(SLOWEST_S * 2 / 3)  # seconds that a page waits for a change, before it asks again

    def __init__(self, first: LiveReloadServer) -> None:
        """In place of `first`, which has not been bound; what it watches is watched."""
        host, port = first.server_address[:2]
        super().__init__(first.builder, host, port, first.root, first.mount_path)
        self.RequestHandlerClass = Handler
        self.error_handler = first.error_handler
        self.set_app(read_only(self._page))
        for path in first._watched_paths:
            self.watch(path)
        first.server_close()

    def _page(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, *HEADERS], *more)

        return self.serve_request(environ, start)
