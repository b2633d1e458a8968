"""Why a part of a document is stale: what the records tell otherwise than when it was written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import unescape

from cvkit.documentation import marked
from cvkit.documentation.facts import Fact
from cvkit.documentation.marked import Part

ROW = re.compile(r"^\| (.+) \| (.*) \|$", re.MULTILINE)
SOURCE = re.compile(r"^\*Source: .*?(?:, (\d{4}-\d\d-\d\d))?\.\*$", re.MULTILINE)
OF_WEIGHTS = ("overview", "architecture", "training", "evaluation", "slices", "deployment", "versions")
SHOWN = 2  # fields whose change is told


def reason(part: Part, facts: Mapping[str, Fact], parts: Sequence[Part]) -> str:
    """Why a part is stale, in a few words: other weights, another reference, another day, else which fields; ""."""
    now, before = facts[part.name].markdown(), part.body
    if not (part.digest or part.body.strip()):
        return "never filled in"
    if part.digest in ("", marked.digest_of(now)):
        return ""
    if part.edited:
        return "the records tell otherwise than what was written before it was changed by hand"
    if facts[part.name].when is None and _undated(before) == _undated(now):
        return ""  # a copy of the workspace has files of another date: that is no news
    told = [*_weights(part, facts, parts), *_reference(part, before, now), *_day(part, before, now)]
    return "; ".join([*told, *_fields(before, now)]) or _lines(before, now)


def by_hand(part: Part, facts: Mapping[str, Fact]) -> str:
    """What was changed by hand in a part, where that is in its fields: what it says, and what the records."""
    said, told = _rows(part.body), _rows(facts[part.name].markdown()) if part.name in facts else {}
    other = _changed(part.body, facts[part.name].markdown()) if told else []
    words = [f"{name} says {_short(said.get(name, 'nothing'))}, the records {_short(told.get(name, 'nothing'))}"
             for name in other[:SHOWN]]  # fmt: skip
    return "; ".join([*words, *([f"and {len(other) - SHOWN} more"] if len(other) > SHOWN else [])])


def _undated(text: str) -> str:
    return SOURCE.sub("", text).strip()


def _lines(before: str, now: str) -> str:
    """How many lines below the fields are others, and the first of them."""
    old, new = (unescape(text).strip().splitlines() for text in (before, now))
    come, gone = [one for one in new if one not in old], [one for one in old if one not in new]
    first = (come or gone or [""])[0].strip("|- ")
    counts = [f"{len(lines)} {words}" for lines, words in ((come, "new"), (gone, "gone")) if lines]
    return f"lines of its table or list: {' and '.join(counts)}, first: {_short(first)}" if counts else "other lines"


def _weights(part: Part, facts: Mapping[str, Fact], parts: Sequence[Part]) -> list[str]:
    told = next((one.body for one in parts if (one.kind, one.name) == ("facts", "overview")), part.body)
    was = next((value for name in ("champion version", "champion") if (value := _rows(told).get(name))), "")
    now = dict(facts["overview"].fields).get("champion version", "")
    other = part.name in OF_WEIGHTS and was and now and was != now
    return [f"the weights are others (was {was}, is {now})"] if other else []


def _reference(part: Part, before: str, now: str) -> list[str]:
    other = any(name.startswith("reference ") for name in _changed(before, now))
    return ["the reference is another"] if part.name == "data" and other else []


def _day(part: Part, before: str, now: str) -> list[str]:
    was, day = (found[1] if (found := SOURCE.search(text)) else None for text in (before, now))
    newly = "evaluated" if part.name in ("evaluation", "slices") else "recorded"
    return [f"{newly} newly on {day}" + (f" (was {was})" if was else "")] if day and day != was else []


def _fields(before: str, now: str) -> list[str]:
    """The first fields that changed, and how many more."""
    old, new = _rows(before), _rows(now)
    changed = _changed(before, now)
    told = [_change(name, old.get(name), new.get(name)) for name in changed[:SHOWN]]
    return told + ([f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else [])


def _change(name: str, was: str | None, now: str | None) -> str:
    if was is None or now is None:
        return f"{name} is {'new' if was is None else 'gone'}"
    return f"{name}: was {_short(was)}, is {_short(now)}"


def _changed(before: str, now: str) -> list[str]:
    old, new = _rows(before), _rows(now)
    return [name for name in dict.fromkeys([*new, *old]) if old.get(name) != new.get(name)]


def _rows(text: str) -> dict[str, str]:
    """Fields of a fact by name, as they were before they were escaped; the table of fields is the first."""
    table = text.strip().split("\n\n")[0]
    return {unescape(name): unescape(value) for name, value in ROW.findall(table) if name}


def _short(value: str) -> str:
    return value if len(value) <= 40 else f"{value[:39]}…"
