"""Executed notebooks as HTML: a step of cvkit's own, so that the site tool could change; each is rendered once.

Of what a notebook brings as HTML or Markdown nothing runs, and nothing asks another host: `cleaning` sees to that. What
is made of a notebook is kept under the hash of the file and of this renderer, and taken again as long as both stay.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from html import escape, unescape
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from cvkit.documentation import notebook_format, pictures
from cvkit.documentation.notebooks import ESCAPES
from cvkit.documentation.site import cleaning
from cvkit.storage import write_text

PAGE_BYTES = 1_900_000  # of a report's HTML: with the theme around it, a page stays below 2 MB
FILE_BYTES = 50_000_000  # a notebook of this size or more is not read: its page offers the file
TEXT_LENGTH = 100_000  # characters of one output that is text
SEARCHED_LENGTH = 2_000  # characters of a report that the search knows
SHOWN = ("text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "image/gif", "text/latex",
         "text/plain")  # fmt: skip
LIBRARIES = ("mistune", "nh3", "pygments")
MISSING = re.compile(r' src="attachment:[^"]*"')
TABLE = re.compile(r"<table(?=[ >])")
HEADING = re.compile(r"<h([1-6])(?:\s[^>]*)?>(.*?)</h\1>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A notebook as a part of a page."""

    title: str  # of the notebook, as HTML without tags; "" where it has none
    headings: tuple[tuple[str, str], ...]  # anchor and words, as HTML without tags
    text: str  # for the search, as HTML without tags
    html: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a file is: its flaw ("" for none, "missing", "damaged"), and the hash of its content ("" with a flaw)."""

    flaw: str
    content: str


def look(file: Path, kept: Path) -> Look:
    """Whether a file is a notebook that can be shown; it is rendered into the folder `kept` if it is not there yet."""
    try:
        with file.open("rb") as binary:
            content = hashlib.file_digest(binary, "sha256").hexdigest()
        if read(kept, content) is None:
            size = file.stat().st_size
            fragment = _too_large(size) if size >= FILE_BYTES else render(_notebook(file))
            head = json.dumps({**asdict(fragment), "html": len(fragment.html)})
            write_text(place(kept, content), f"{head}\n{fragment.html}")
    except OSError:
        return Look("missing", "")
    except (ValueError, RecursionError):  # a file that was cut, is no notebook, or lists of lists without an end
        return Look("damaged", "")
    return Look("", content)


def head(kept: Path, content: str) -> Fragment | None:
    """What is kept of the notebook with this hash, without its HTML; None where there is nothing."""
    try:
        with place(kept, content).open(encoding="utf-8") as file:
            return _told(json.loads(file.readline()), "")
    except (OSError, ValueError):
        return None


def read(kept: Path, content: str) -> Fragment | None:
    """What is kept of the notebook with this hash; None where there is nothing, or not all of it."""
    try:
        first, html = place(kept, content).read_text(encoding="utf-8").split("\n", 1)
        told = json.loads(first)
    except (OSError, ValueError):
        return None
    return _told(told, html) if len(html) == told["html"] else None


def _told(told: dict[str, Any], html: str) -> Fragment:
    return Fragment(told["title"], tuple((anchor, words) for anchor, words in told["headings"]), told["text"], html)


def forget(kept: Path, wanted: set[str]) -> None:
    """Delete what is kept of other notebooks than those with these hashes, and of other renderers."""
    places = {place(kept, content) for content in wanted}
    for file in kept.glob("*.html"):
        if file not in places:
            file.unlink(missing_ok=True)


def place(kept: Path, content: str) -> Path:
    """Where what was rendered of the notebook with this hash is kept, under a name that the renderer is a part of."""
    return kept / f"{content[:40]}-{_renderer()}.html"


@cache
def _renderer() -> str:
    """Name of this renderer: whatever may change its HTML changes it."""
    files = (Path(__file__), Path(pictures.__file__), Path(cleaning.__file__))
    parts = [*(file.read_bytes() for file in files), *(version(name).encode() for name in LIBRARIES)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _notebook(file: Path) -> dict[str, Any]:
    nbformat = notebook_format.nbformat()

    notebook: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    try:
        nbformat.validate(notebook, version=4)
    # nbformat mends a notebook before it checks it, and stumbles over what is none.
    except (nbformat.ValidationError, AttributeError, LookupError, TypeError) as error:
        raise ValueError("no notebook of format 4") from error
    return notebook


def _too_large(size: int) -> Fragment:
    words = (
        f"This notebook is {size / 1e6:.0f} MB large, too large to be shown as a page. The notebook file has all of it."
    )
    return Fragment("", (), words, f'<p class="cvkit-cut">{words}</p>')


def render(notebook: dict[str, Any]) -> Fragment:
    """A valid notebook of format 4 as HTML; outputs that would make the page too large are left out, and it says so."""
    cells = [list(_cell(cell)) for cell in notebook["cells"]]
    _cut([part for parts in cells for part in parts])
    page = _Headings()
    shown = "".join(page.tidy("".join(part.html for part in parts)) for parts in cells)
    words = " ".join(unescape(TAG.sub(" ", part.html)) for parts in cells for part in parts if part.searched)
    text = escape(" ".join(words.split())[:SEARCHED_LENGTH], quote=False)
    return Fragment(page.title, tuple(page.found), text, f'<div class="jupyter-wrapper">{shown}</div>')


@dataclass(slots=True)
class _Part:
    """A piece of a cell's HTML."""

    html: str
    searched: bool = False
    what: str = "a cell"  # what is missed, in words, where the page would be too large with it


def _cell(cell: dict[str, Any]) -> Iterator[_Part]:
    source = _text(cell["source"])
    if cell["cell_type"] == "markdown":
        words = _attach(_markdown(source), cell.get("attachments", {}))
        yield _Part(f'<div class="jp-Cell jp-MarkdownCell">{words}</div>', searched=True)
    elif cell["cell_type"] == "code":
        yield _Part('<div class="jp-Cell jp-CodeCell">')
        yield _Part(f'<div data-search-exclude class="jp-Cell-inputWrapper">{_code(source)}</div>')
        for output in cell["outputs"]:
            yield from _output(output)
        yield _Part("</div>")


def _output(output: dict[str, Any]) -> Iterator[_Part]:
    kind = output["output_type"]
    if kind == "stream":
        name = "stderr" if output["name"] == "stderr" else "stdout"
        yield _framed(_plain(output["text"]), f"application/vnd.jupyter.{name}", "text")
    elif kind == "error":
        traceback = "\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}"
        yield _framed(_plain(traceback), "application/vnd.jupyter.error", "the error's traceback")
    else:
        data = dict(output["data"])
        pictures.keep_still(data)
        data.update({mime: _text(data[mime]) for mime in SHOWN if mime in data})
        pictures.make_small(data)
        mime = next((mime for mime in SHOWN if mime in data), None)
        if mime is not None:
            yield _shown(mime, data[mime])


def _shown(mime: str, value: str) -> _Part:
    if mime.startswith("image/") and mime != "image/svg+xml":
        encoded = "".join(value.split())
        return _framed(_picture(mime, encoded), mime, "a picture")
    if mime == "image/svg+xml":  # as a picture, in which no browser runs scripts or loads anything
        return _framed(_picture(mime, base64.b64encode(value.encode()).decode()), mime, "a picture")
    if mime == "text/markdown":
        return _framed(_markdown(value), mime, "text", searched=True)
    if mime == "text/html":
        return _framed(f'<div class="jp-RenderedHTML">{cleaning.cleaned(value)}</div>', mime, "a table")
    return _framed(_plain(value), mime, "text")


def _picture(mime: str, encoded: str) -> str:
    image = f'<img alt="" src="data:{mime};base64,{escape(encoded)}">'
    return f'<div class="jp-RenderedImage" tabindex="0">{image}</div>'  # it scrolls on a phone, as wide tables do


def _framed(html: str, mime: str, what: str, *, searched: bool = False) -> _Part:
    return _Part(f'<div class="jp-OutputArea-output" data-mime-type="{mime}">{html}</div>', searched, what)


def _plain(text: str | list[str]) -> str:
    words = ESCAPES.sub("", _text(text))
    cut = f"\n... cut: {len(words) - TEXT_LENGTH} more characters" if len(words) > TEXT_LENGTH else ""
    return f"<pre>{escape(words[:TEXT_LENGTH] + cut)}</pre>"


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


@lru_cache(maxsize=256)  # reports of one notebook share nearly all of it
def _markdown(text: str) -> str:
    import mistune

    html = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url"])(text)
    return f'<div class="jp-RenderedMarkdown">{cleaning.cleaned(str(html))}</div>'


@lru_cache(maxsize=256)
def _code(text: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return str(highlight(text, PythonLexer(), HtmlFormatter(cssclass="highlight")))


def _attach(html: str, attachments: dict[str, dict[str, Any]]) -> str:
    """Pictures that lie in the notebook itself, in their place."""
    for name, data in attachments.items():
        mime = next((mime for mime in data if mime.startswith("image/")), "")
        if mime:
            address = f"data:{escape(mime)};base64,{escape(''.join(_text(data[mime]).split()))}"
            html = html.replace(f'src="attachment:{escape(name)}"', f'src="{address}"')
    return MISSING.sub("", html)


def _cut(parts: list[_Part]) -> None:
    """Leave out the largest outputs of a page that is too large, so that it is not."""
    total = sum(len(part.html.encode()) for part in parts)
    for part in sorted(parts, key=lambda part: len(part.html), reverse=True):
        if total <= PAGE_BYTES:
            return
        size = len(part.html.encode())
        words = f"Cut: {part.what} of {size / 1e3:.0f} kB stood here. The notebook file has it."
        part.html = f'<p class="cvkit-cut">{words}</p>'
        total += len(part.html) - size


class _Headings:
    """Goes through a page's cells: there shall be one title, headings with anchors, pictures with words."""

    def __init__(self) -> None:
        self.title, self.newest = "", ""
        self.found: list[tuple[str, str]] = []
        self.taken: set[str] = set()

    def tidy(self, html: str) -> str:
        """The HTML of a cell; the first heading of the first level is taken out, to stand above the page."""
        html = HEADING.sub(self._heading, html) if "<h" in html else html
        html = TABLE.sub('<table tabindex="0"', html)  # wide ones scroll: the keyboard has to reach them
        html = html.replace("<th></th>", "<td></td>")  # above the names of rows: a head of nothing is none
        return html.replace('<img alt="" src="data:', f'<img alt="Figure: {self.newest or self.title}" src="data:')

    def _heading(self, match: re.Match[str]) -> str:
        level, inner = int(match[1]), match[2]
        words = escape(" ".join(unescape(TAG.sub("", inner)).split()))
        if level == 1 and not self.title:
            self.title = words
            return ""
        level, self.newest = max(level, 2), words
        name = re.sub(r"[^a-z0-9]+", "-", unescape(words).lower()).strip("-")[:60] or "part"
        anchor = next(one for n in count(1) if (one := name if n == 1 else f"{name}-{n}") not in self.taken)
        self.taken.add(anchor)
        if level == 2:
            self.found.append((anchor, words))
        link = f'<a class="headerlink" href="#{anchor}" title="Permanent link">¶</a>'
        return f'<h{level} id="{anchor}">{inner}{link}</h{level}>'
