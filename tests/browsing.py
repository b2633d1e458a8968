"""A site in a real browser: a server for a folder, and pages that remember what they asked for and complained of."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
NO_BROWSER = pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium at /usr/bin/chromium")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass
class Visit:
    """An open page, and what it asked for and complained of."""

    page: Any
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on this machine, with "/" at its end."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser: Any, address: str, scheme: str = "light", width: int = 1280) -> Iterator[Visit]:
    """A page in a colour scheme and of a width; it must ask nobody else, nor complain."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    seen = Visit(context.new_page(), address)
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("console", lambda message: seen.complaints.append(message.text) if message.type == "error" else None)
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    yield seen
    context.close()
    outside = [url for url in seen.requests if not url.startswith((address, "data:", "blob:"))]
    assert not outside
    assert not seen.complaints


def search(page: Any, words: str, which: str = "") -> Any:
    """Type into the search; the first link that `which` selects, once it is there: until then links come and go."""
    page.locator("label[for='__search'].md-search__icon").first.click(force=True)
    page.locator("input.md-search__input").press_sequentially(words)
    found = page.locator(f".md-search-result__link{which}").first
    found.wait_for(state="attached")
    return found
