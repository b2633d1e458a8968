"""People's sections of a document: what is asked for, what they wrote, and what they typed and did not save yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cvkit.config import Config
from cvkit.documentation import documents, front_matter, marked
from cvkit.documentation.marked import TODO, Part
from cvkit.errors import ConfigError, DataError
from cvkit.storage import lock, safe_name, storage_error, write_text

DRAFTS = Path(".cache") / "cvkit" / "drafts"
WAIT_S = 10.0  # for another who saves at this moment


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a document that people write."""

    name: str
    heading: str  # above it; "" where there is none
    question: str
    guide: str  # what a good answer looks like
    words: str  # "" where nobody wrote any yet
    written: bool  # whether these are an answer: a comment, or "tbd", is none
    body: str  # as it stands in the file


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody typed into a section and did not save yet."""

    words: str
    body: str  # the section as it was then


def sections(text: str, where: str) -> list[Section]:
    """The sections of a document that people write, in order. Raises DataError where its marks are damaged."""
    found, above = [], ""
    for part in marked.parse(front_matter.split(text.removeprefix(documents.FRONT), where)[1], where):
        if part.kind == "text":
            above = part.body
        elif part.kind == "people":
            found.append(_section(part, above.splitlines()))
            above = ""
    return found


def page(section: Section, words: str) -> str:
    """A section with other words, as a document of its own: for looking at it."""
    return marked.written([_with(Part("people", section.name, guide=section.guide), words)])


def write(config: Config, name: str, section: str, words: str, *, body: str) -> None:
    """Write people's words into a section that stood as `body` when it was read; all else stays as it is by now.

    Without words it is to do again. Raises DataError where somebody else changed the section since, or it is gone, and
    ConfigError where the words hold a mark of the document.
    """
    try:
        words.encode()
    except UnicodeEncodeError as error:  # half of a character, as browsers can send it
        found = ascii(words[error.start : error.end])
        raise ConfigError("these words hold what is no character", where=section, found=found) from None
    path = documents.path_of(config, name)
    with lock(config.workspace / "locks" / "documents.lock", "saving a document", WAIT_S):
        text = documents.read(path)
        parts = marked.parse(text, str(path))
        mine = next((part for part in parts if (part.kind, part.name) == ("people", section)), None)
        if mine is None or mine.body != body:
            raise DataError(
                "somebody else changed this section since you read it", where=f"{path}, {section}",
                expected="the section as you read it", found="none any more" if mine is None else mine.body.strip(),
                remedy="read it anew, and put the two together; what you typed is kept",
            )  # fmt: skip
        changed = tuple(_with(part, words) if part is mine else part for part in parts)
        after = marked.written(changed)
        if not _same(after, changed, str(path)):
            raise ConfigError(
                "these words would be taken for a mark of the document", where=section, found="a line <!-- ... -->",
                expected="no lines such as <!-- people: name -->, <!-- /people --> or <!-- facts: name -->",
            )  # fmt: skip
        if after != text:
            write_text(path, after)


def drafts(config: Config, name: str, author: str) -> dict[str, Draft]:
    """What `author` typed into a document's sections and did not save yet; what cannot be read is left out."""
    try:
        kept = json.loads(_draft_file(config, name, author).read_text(encoding="utf-8"))
        return {str(section): Draft(str(one["words"]), str(one["body"])) for section, one in kept.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # none yet, or cut off
        return {}


def keep_draft(config: Config, name: str, author: str, section: str, draft: Draft | None) -> None:
    """Keep what is typed until it is saved; None: there is nothing any more. Raises StorageError."""
    kept: dict[str, Draft | None] = {**drafts(config, name, author), section: draft}
    rows: Mapping[str, object] = {
        one: {"words": draft.words, "body": draft.body} for one, draft in kept.items() if draft is not None
    }
    path = _draft_file(config, name, author)
    try:
        if rows:
            write_text(path, json.dumps(rows))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error


def _draft_file(config: Config, name: str, author: str) -> Path:
    return config.workspace / DRAFTS / f"{name}--{safe_name(author)}.json"


def _section(part: Part, above: list[str]) -> Section:
    headings = [line.strip("# ").strip() for line in above if line.startswith("#")]
    questions = [line.strip("* ").strip() for line in above if line.startswith("*")]
    words = "" if part.body.strip() == TODO else part.body.strip()
    heading, question = (headings or [""])[-1], (questions or [""])[-1]
    return Section(part.name, heading, question, part.guide, words, part.answered, part.body)


def _with(part: Part, words: str) -> Part:
    return replace(part, body=f"{words.replace(chr(13), '').strip() or TODO}\n\n")


def _same(text: str, parts: tuple[Part, ...], where: str) -> bool:
    """Whether a document reads as the parts it was written from."""
    try:
        return marked.parse(text, where) == parts
    except DataError:
        return False
