"""Documents with two kinds of marked parts: facts that cvkit writes anew, and words of people that it never touches.

    <!-- facts: NAME DIGEST -->            <!-- people: NAME -->
    ...                                    <!-- guide: what a good answer looks like -->
    <!-- /facts -->                        ...
                                           <!-- /people -->

In a template a facts part is its first line alone, without a digest and an end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cvkit.errors import DataError

Kind = Literal["text", "facts", "people"]
TODO = "To do"
BEGIN = re.compile(r"<!-- (facts|people): ([a-z0-9-]+)(?: ([0-9a-f]{8}))? -->\s*")
END = re.compile(r"<!-- /(facts|people) -->\s*")
GUIDE = re.compile(r"\s*<!-- guide: .*? -->\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a document; pieces of text are what lies between marked ones."""

    kind: Kind
    name: str = ""
    body: str = ""
    digest: str = ""  # of facts as cvkit wrote them; "" where it never did
    guide: str = ""  # of words of people: the comment that says what is asked for

    @property
    def edited(self) -> bool:
        """Whether facts are not as cvkit wrote them."""
        return self.kind == "facts" and bool(self.digest) and digest_of(self.body) != self.digest

    @property
    def answered(self) -> bool:
        """Whether people wrote something."""
        return self.kind == "people" and self.body.strip().rstrip(".").lower() not in ("", TODO.lower())


def parse(text: str, where: str = "") -> tuple[Part, ...]:
    """The parts of a document, which `written` joins to the same text again.

    Raises DataError, naming the line, where a marked part has no end, one begins within another, or two have one name.
    """
    parts: list[Part] = []
    lines, free = text.splitlines(keepends=True), 0
    place = 0
    while place < len(lines):
        begin = BEGIN.fullmatch(lines[place])
        if begin is None:
            place += 1
            continue
        kind, name, digest = begin[1], begin[2], begin[3] or ""
        _check_name(parts, kind, name, where, place)
        parts.append(Part("text", body="".join(lines[free:place])))
        end = _end(lines, place, kind, where, bare=kind == "facts" and not digest)
        body = "".join(lines[place + 1 : end])
        guide = GUIDE.match(body) if kind == "people" else None
        own = guide[0] if guide else ""
        parts.append(Part(kind, name, body[len(own) :], digest, own))  # type: ignore[arg-type]
        place = free = end + 1 if end > place else place + 1
    parts.append(Part("text", body="".join(lines[free:])))
    return tuple(part for part in parts if part.kind != "text" or part.body)


def written(parts: Sequence[Part]) -> str:
    """The text of a document."""
    return "".join(_written(part) for part in parts)


def filled(parts: Sequence[Part], facts: Mapping[str, str], today: str) -> tuple[Part, ...]:
    """A document with its facts written anew; what somebody wrote into a part of facts is kept beside it."""
    made: list[Part] = []
    for part in parts:
        if part.kind != "facts":
            made.append(part)
            continue
        body = facts.get(part.name, "").strip() + "\n"
        made.append(replace(part, body=body, digest=digest_of(body)))
        if part.edited:
            made += _kept(part, today, {one.name for one in (*parts, *made)})
    return tuple(made)


def digest_of(body: str) -> str:
    """What tells facts as they were written from edited ones."""
    return hashlib.sha256(body.strip().encode()).hexdigest()[:8]


def quoted(text: str) -> str:
    """`text` of unknown origin without markers that would be taken for those of the document."""
    return text.replace("<!--", "&lt;!--")


def _kept(part: Part, today: str, taken: set[str]) -> list[Part]:
    """What was written into facts by hand, as words of people."""
    stem = f"kept-{part.name}-{today}"
    name = next(one for one in (stem, *(f"{stem}-{n}" for n in range(2, 1000))) if one not in taken)
    guide = "<!-- guide: this was written into the facts by hand; move it to where it belongs, or delete it -->\n\n"
    return [Part("text", body="\n"), Part("people", name, part.body, guide=guide)]


def _written(part: Part) -> str:
    if part.kind == "text":
        return part.body
    if part.kind == "people":
        return f"<!-- people: {part.name} -->\n{part.guide}{part.body}<!-- /people -->\n"
    if not part.digest:
        return f"<!-- facts: {part.name} -->\n"
    return f"<!-- facts: {part.name} {part.digest} -->\n\n{part.body.strip()}\n\n<!-- /facts -->\n"


def _end(lines: Sequence[str], begin: int, kind: str, where: str, *, bare: bool) -> int:
    """Line of a part's end; `begin` of facts that were never written."""
    for place in range(begin + 1, len(lines)):
        if (end := END.fullmatch(lines[place])) and end[1] == kind:
            return place
        if BEGIN.fullmatch(lines[place]) or end:
            break
    if bare:
        return begin
    raise DataError(
        f"a part of {kind} has no end", where=f"{where}, line {begin + 1}", found=lines[begin].strip(),
        expected=f"<!-- /{kind} --> on a line of its own, before the next part",
        remedy="put it there: without it nobody knows what was written by whom",
    )  # fmt: skip


def _check_name(parts: Sequence[Part], kind: str, name: str, where: str, place: int) -> None:
    if any((part.kind, part.name) == (kind, name) for part in parts):
        raise DataError(
            "two parts of a document have the same name", where=f"{where}, line {place + 1}", found=f"{kind}: {name}",
            expected="each name once", remedy="give one of them another name",
        )  # fmt: skip
