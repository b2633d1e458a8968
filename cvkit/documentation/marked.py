"""Documents with two kinds of marked parts: facts that cvkit writes anew, and words of people that it never touches.

    <!-- facts: NAME DIGEST -->            <!-- people: NAME -->
    ...                                    <!-- guide: what a good answer looks like -->
    <!-- /facts -->                        ...
                                           <!-- /people -->

In a template a facts part is its first line alone, without a digest and an end. Below front matter stands the digest of
what cvkit wrote there: <!-- front matter: DIGEST -->
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cvkit.errors import DataError

Kind = Literal["text", "facts", "people", "front matter"]
TODO = "To do"
BEGIN = re.compile(r"<!-- (facts|people): ([a-z0-9-]+)(?: ([0-9a-f]{8}))? -->\s*")
END = re.compile(r"<!-- /(facts|people) -->\s*")
FRONT = re.compile(r"<!-- front matter: ([0-9a-f]{8}) -->\s*")
NO_ANSWERS = {"", "todo", "tbd", "tba", "tbc", "na", "fixme", "xxx"}  # alone, whatever signs stand around them
LEFT = re.compile(
    r"^(?:[^\S\r\n]|[>*_+-])*(to do|todo)[*_]*(?:[^\S\n]*:.*|(?:[^\S\n]|[.*_])*)$", re.IGNORECASE | re.MULTILINE
)
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
        """Whether facts are not as cvkit wrote them; without a digest nobody knows, so words count as edited."""
        return self.kind == "facts" and digest_of(self.body) != (self.digest or digest_of(""))

    @property
    def answered(self) -> bool:
        """Whether people wrote something, and left nothing of it to do."""
        words = "".join(letter for letter in _shown(self.body).lower() if letter.isalnum())
        return self.kind == "people" and words not in NO_ANSWERS and not to_do(self.body)


def parse(text: str, where: str = "") -> tuple[Part, ...]:
    """The parts of a document, which `written` joins to the same text again.

    Raises DataError, naming the line, where a marked part has no end, one begins within another, or two have one name.
    """
    parts: list[Part] = []
    lines, free = text.splitlines(keepends=True), 0
    place = 0
    while place < len(lines):
        if front := FRONT.fullmatch(lines[place]):
            parts += [Part("text", body="".join(lines[free:place])), Part("front matter", digest=front[1])]
            place = free = place + 1
            continue
        begin = BEGIN.fullmatch(lines[place])
        if begin is None:
            place += 1
            continue
        kind, name, digest = begin[1], begin[2], begin[3] or ""
        _check_name(parts, kind, name, where, place)
        parts.append(Part("text", body="".join(lines[free:place])))
        end = _end(lines, place, kind, where, bare=kind == "facts" and not digest)
        body = "".join(lines[place + 1 : end])
        if end == place + 1 and not digest:
            body = "\n"  # or nothing would tell it from one without an end
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
    """A document with its facts written anew; what somebody wrote into a part of facts is kept beside it.

    A part whose name is none of `facts` stays as it is.
    """
    made: list[Part] = []
    for part in parts:
        if part.kind != "facts" or part.name not in facts:
            made.append(part)
            continue
        body = f"\n{facts[part.name].strip()}\n\n"
        made.append(replace(part, body=body, digest=digest_of(body)))
        if part.edited and part.body.strip() != body.strip():
            made += kept(part.name, part.body, today, (*parts, *made))
    return tuple(made)


def to_do(text: str) -> list[str]:
    r"""Lines that say that something is left to do, such as `To do: name and number`; not those in comments.

    >>> to_do("To do: the deputy\nSee what is to do.\n- **To do**")
    ['To do: the deputy', '- **To do**']
    """
    return [found[0].strip() for found in LEFT.finditer(_shown(text))]


def _shown(text: str) -> str:
    """`text` without its comments; one without an end is text."""
    kept, place = [], 0
    while (begin := text.find("<!--", place)) >= 0 and (end := text.find("-->", begin + 4)) >= 0:
        kept.append(text[place:begin])
        place = end + 3
    return "".join([*kept, text[place:]])


def absent(parts: Sequence[Part], template: Sequence[Part]) -> tuple[Part, ...]:
    """The marked parts of a template that a document has not."""
    there = {(part.kind, part.name) for part in parts}
    return tuple(part for part in template if part.kind in ("facts", "people") and (part.kind, part.name) not in there)


def restored(parts: Sequence[Part], template: Sequence[Part]) -> tuple[Part, ...]:
    """A document with every marked part of its template: what is absent comes after what is before it there.

    With it come the headings and the question above it, as far as they are not where it comes to.
    """
    made, gone = list(parts), absent(parts, template)
    before, above = None, ""
    for part in template:
        if part.kind == "text":
            above = part.body
        elif part.kind in ("facts", "people"):
            if part in gone:
                _put(made, part, above, before)
            before, above = part, ""
    return tuple(made)


def digest_of(body: str) -> str:
    """What tells facts as they were written from edited ones."""
    return hashlib.sha256(body.strip().encode()).hexdigest()[:8]


def quoted(text: str) -> str:
    """`text` of unknown origin without markers that would be taken for those of the document."""
    return text.replace("<!--", "&lt;!--")


def kept(about: str, body: str, today: str, parts: Sequence[Part]) -> list[Part]:
    """What was written over what cvkit tells, as words of people, under a name that none of `parts` has."""
    stem, taken = f"kept-{about}-{today}", {one.name for one in parts}
    name = next(one for one in (stem, *(f"{stem}-{n}" for n in range(2, 1000))) if one not in taken)
    guide = "<!-- guide: this was written into the facts by hand; move it to where it belongs, or delete it -->\n\n"
    return [Part("text", body="\n"), Part("people", name, body if body.endswith("\n") else f"{body}\n", guide=guide)]


def _put(made: list[Part], part: Part, above: str, before: Part | None) -> None:
    """Put a part, and of the text above it in the template what is not there yet, to its place in `made`."""
    names, lines = [(one.kind, one.name) for one in made], above.splitlines(keepends=True)
    place = names.index((before.kind, before.name)) + 1 if before else next(
        (number for number, one in enumerate(made) if one.kind == "text"), len(made)
    )  # fmt: skip
    here = made[place].body.splitlines(keepends=True) if place < len(made) and made[place].kind == "text" else []
    shared = [number for number, line in enumerate(lines) if line[:1] in ("#", "*") and line in here]
    if shared:
        cut = here.index(lines[shared[-1]]) + 1
        head, tail = "".join(here[:cut]), "".join(here[cut:])
        rest = "".join(lines[shared[-1] + 1 :])
        made[place : place + 1] = [Part("text", body=head + rest), part, Part("text", body=tail)]
        return
    own = "".join(lines)
    if before is None:  # nothing of the template is before it: at the end, without the template's title
        place, own = len(made), own[max(own.find("\n## "), 0) :]
    if place == len(made) and made and not _written(made[-1]).endswith("\n"):
        own = f"\n{own}"
    made[place:place] = [Part("text", body=own), part]


def _written(part: Part) -> str:
    if part.kind == "text":
        return part.body
    if part.kind == "front matter":
        return f"<!-- front matter: {part.digest} -->\n"
    if part.kind == "people":
        return f"<!-- people: {part.name} -->\n{part.guide}{part.body}<!-- /people -->\n"
    digest = f" {part.digest}" if part.digest else ""
    end = f"{part.body}<!-- /facts -->\n" if part.digest or part.body else ""
    return f"<!-- facts: {part.name}{digest} -->\n{end}"


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
