"""The page of all documents: the model card and every template, how complete each is and what is the matter with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from html import escape, unescape
from pathlib import Path
from typing import Any

from cvkit import __version__
from cvkit.config import Config
from cvkit.documentation import documents, facts
from cvkit.documentation.documents import Checked
from cvkit.documentation.site.report_pages import Link
from cvkit.documentation.site.situation import Document, Situation
from cvkit.documentation.site.trends import light
from cvkit.errors import CvkitError
from cvkit.storage import write_text

CACHE = Path(".cache") / "cvkit" / "documents.json"  # what was found, by what it was found on: facts take seconds
LISTED = 12  # of what is missing, stale or contradictory


def read(config: Config, records: str, now: datetime) -> tuple[Document, ...]:
    """Every document and template; `records` names the state of the records that facts are taken from."""
    texts: dict[str, str | CvkitError] = {}
    for name in documents.every(config):
        try:
            texts[name] = documents.read(documents.path_of(config, name))
        except CvkitError as error:
            texts[name] = error
    sound = {name: text for name, text in texts.items() if isinstance(text, str)}
    checked = _checked(config, sound, records, now) if sound else {}
    return tuple(
        _document(config, name, texts.get(name), checked.get(name))
        for template in documents.templates()
        for name in [one for one in texts if documents.template_of(one) == template] or [template]
    )


def _document(config: Config, name: str, text: str | CvkitError | None, found: Checked | str | None) -> Document:
    lines = documents.template(name).splitlines()
    title = next((unescape(line[2:].strip()) for line in lines if line.startswith("# ")), name)
    if text is None:
        return Document(name, title, "")
    address = documents.path_of(config, name).relative_to(config.workspace / "docs").as_posix().removesuffix(".md")
    if isinstance(text, CvkitError) or isinstance(found, str):
        return Document(name, title, address, flaw=str(found or text))
    return Document(name, title, address, found)


def _checked(config: Config, texts: Mapping[str, str], records: str, now: datetime) -> dict[str, Checked | str]:
    """What is wrong with each document, or words that say why that cannot be told."""
    state = [__version__, records, f"{now:%Y-%m-%d}", config.path.read_text(encoding="utf-8"), dict(texts)]
    key = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
    if (known := _cached(config.workspace / CACHE, key)) is not None:
        return known
    everything = facts.know(config, now)
    told = facts.told(everything)
    found: dict[str, Checked | str] = {}
    for name, text in texts.items():
        try:
            found[name] = documents.check(text, everything, told, str(documents.path_of(config, name)), name)
        except CvkitError as error:
            found[name] = str(error)
    kept = {name: one if isinstance(one, str) else asdict(one) for name, one in found.items()}
    write_text(config.workspace / CACHE, json.dumps({"key": key, "checked": kept}))
    return found


def _cached(file: Path, key: str) -> dict[str, Checked | str] | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["key"] != key:
            return None
        return {name: one if isinstance(one, str) else _thawed(one) for name, one in kept["checked"].items()}
    except (OSError, ValueError, LookupError, TypeError):  # none yet, or cut off
        return None


def _thawed(row: Mapping[str, Any]) -> Checked:
    lists = {name: tuple(row[name]) for name in ("missing", "stale", "contradictory")}
    return Checked(done=int(row["done"]), of=int(row["of"]), **lists)


def render(situation: Situation, link: Link) -> str:
    """The page below its title."""
    started = [one for one in situation.documents if one.address]
    waiting = [one for one in situation.documents if not one.address]
    words = f"{len(started)} of {len(situation.documents)} documents are started."
    if not started:
        words = "No document is started yet. <code>cvkit card new</code> begins with the model card."
    rows = "".join(_row(one, link) for one in started)
    todo = "".join(_todo(one) for one in waiting)
    listed = f'<h2 id="to-do">To do</h2><ul class="cvkit-todo">{todo}</ul>' if todo else ""
    return (
        f'<p class="cvkit-quiet">{words} Facts are filled in by cvkit, words are written by people; '
        f"<code>cvkit card check</code> says the same in a terminal.</p>{rows}{listed}"
    )


def bar(share: float) -> str:
    """How complete something is, as a bar; the words stand beside it."""
    return f'<span class="cvkit-bar" aria-hidden="true"><span style="width:{100 * share:.0f}%"></span></span>'


def share(checked: Checked) -> str:
    """How complete, in per cent; never 100 where something is missing."""
    return checked.percent


def _row(one: Document, link: Link) -> str:
    name = f'<h2 id="{one.name}"><a href="{escape(link(one.address))}">{escape(one.title)}</a></h2>'
    if one.checked is None:
        words = f'<p class="cvkit-quiet">It cannot be checked: {escape(one.flaw)}</p>'
        return f'<section class="cvkit-document cvkit-critical">{name}{words}</section>'
    found = one.checked
    kinds = (("contradictory", found.contradictory, "critical"), ("stale", found.stale, "warning"),
             ("missing", found.missing, "unknown"))  # fmt: skip
    counts = [
        f'<span class="cvkit-badge cvkit-{state}">{light(state)}{len(rows)} {kind}</span>'
        for kind, rows, state in kinds
        if rows
    ]
    counts = counts or [f'<span class="cvkit-badge cvkit-ok">{light("ok")}complete</span>']
    details = [f"<li>{kind}: {escape(row)}</li>" for kind, rows, _ in kinds for row in rows]
    more = f"<li>and {len(details) - LISTED} more</li>" if len(details) > LISTED else ""
    what = f"<details><summary>what</summary><ul>{''.join(details[:LISTED])}{more}</ul></details>" if details else ""
    renew = (
        f'<p class="cvkit-quiet"><code>{escape(documents.again(one.name))}</code> writes its facts anew.</p>'
        if found.stale
        else ""
    )
    return (
        f'<section class="cvkit-document">{name}<p class="cvkit-complete">{bar(found.complete)}'
        f'<b>{share(found)}</b> <span class="cvkit-quiet">{found.done} of {found.of}</span></p>'
        f'<p class="cvkit-chips">{"".join(counts)}</p>{renew}{what}</section>'
    )


def _todo(one: Document) -> str:
    return f"<li><span>{escape(one.title)}</span> <code>{escape(documents.begin(one.name))}</code></li>"
