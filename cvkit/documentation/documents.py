"""Documents of a workspace: started from templates, their facts filled in, checked for what is missing or stale."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import yaml

from cvkit.config import Config
from cvkit.config import champion as champion_file
from cvkit.documentation import changed, front_matter, marked, wording
from cvkit.documentation.facts import Fact, Known
from cvkit.documentation.facts.table import listed
from cvkit.documentation.marked import Part
from cvkit.errors import ConfigError, DataError
from cvkit.storage import packaged, write_text

CARD = "model-card"
FRONT = "<!-- front matter -->\n"  # first line of a template whose document has front matter
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # of a document, and what it is about
LONGEST = 80  # letters of what it is about
VERSION = re.compile(r"\b[0-9a-f]{12}\b")  # names of versions, as people write them down


@dataclass(frozen=True, slots=True)
class Checked:
    """How complete a document is, and what is wrong with it."""

    done: int  # fields of facts that are known, and answers of people
    of: int
    missing: tuple[str, ...]
    stale: tuple[str, ...]  # facts that the records tell otherwise by now
    contradictory: tuple[str, ...]

    @property
    def complete(self) -> float:
        """Share that is there, 0 to 1."""
        return self.done / self.of if self.of else 1.0

    @property
    def percent(self) -> str:
        """The same in per cent; never 100 where something is missing."""
        return f"{100 * self.done // self.of if self.of else 100}%"

    @property
    def fine(self) -> bool:
        """Whether nothing is missing, stale or contradictory."""
        return not (self.missing or self.stale or self.contradictory)


@dataclass(frozen=True, slots=True)
class Renewed:
    """A document with its facts as they are now, and what there is to be said about it."""

    text: str
    notes: tuple[str, ...]  # parts that were put back, that nobody knows, and that keep what was changed by hand
    changed: tuple[str, ...]  # parts of facts that say otherwise now, each with what
    same: int  # parts of facts that were up to date
    words: int  # parts of people's words, which are as they were


def templates() -> list[str]:
    """Names of the templates, the card first."""
    names = sorted(file.stem for file in packaged("templates").glob("*.md"))
    return [CARD, *(name for name in names if name != CARD)]


def template_of(name: str) -> str:
    """The template of a document: the longest whose name the document's is, or begins with.

    Raises ConfigError where there is none.
    """
    found = [one for one in templates() if name == one or name.startswith(f"{one}-")]
    if not found or not NAME.fullmatch(name):
        raise _no_template(name)
    return max(found, key=len)


def _no_template(name: str) -> ConfigError:
    return ConfigError("there is no such template", found=name, expected=", ".join(templates()), remedy="choose one")


def named(template: str, label: str) -> str:
    """Name of the document of a template that is about `label`, such as a day; "" for the only one.

    Raises ConfigError where the label cannot stand in the name of a file.
    """
    if label and not (NAME.fullmatch(label) and len(label) <= LONGEST):
        raise ConfigError(
            "this cannot stand in the name of a file", found=label,
            expected=f"a to z, digits, . _ and -, at most {LONGEST}", remedy="take a date, or a short name",
        )  # fmt: skip
    if template not in templates():
        raise _no_template(template)
    return f"{template}-{label}" if label else template


def every(config: Config) -> list[str]:
    """Names of the documents that were started: in the order of their templates, then by name."""
    there = sorted(file.stem for file in (config.workspace / "docs" / "documents").glob("*.md"))
    known = [CARD] if path_of(config, CARD).is_file() else []
    return known + [name for template in templates() for name in there if name != CARD and _is_of(name, template)]


def path_of(config: Config, name: str) -> Path:
    """Where a document lies. Raises ConfigError where there is no template of it."""
    template_of(name)
    docs = config.workspace / "docs"
    return docs / f"{name}.md" if name == CARD else docs / "documents" / f"{name}.md"


def begin(name: str) -> str:
    """The command that starts a document."""
    template = template_of(name)
    label = name.removeprefix(template).removeprefix("-")
    return "cvkit card new" if name == CARD else f"cvkit template new {template} {label}".rstrip()


def again(name: str) -> str:
    """The command that writes the facts of a document anew."""
    return "cvkit card fill" + ("" if name == CARD else f" --document {name}")


def free(config: Config, name: str) -> Path:
    """Where a document will lie. Raises ConfigError where it is there already."""
    path = path_of(config, name)
    if path.exists():
        raise ConfigError(
            "this document is there already", where=str(path), found=f"{path.stat().st_size} bytes",
            remedy=f"`{again(name)}` writes its facts anew and leaves people's words; "
            f"`cvkit template new {template_of(name)} LABEL` starts another one, such as of a day",
        )  # fmt: skip
    return path


def template(name: str) -> str:
    """The text that a document begins with."""
    text = (packaged("templates") / f"{template_of(name)}.md").read_text(encoding="utf-8")
    label = name.removeprefix(template_of(name)).removeprefix("-")
    return re.sub(r"^(# .+)$", rf"\1 {wording.escape(label)}", text, count=1, flags=re.MULTILINE) if label else text


def example(name: str) -> str:
    """A filled example of a template. Raises ConfigError where there is no such template."""
    return (packaged("templates") / "examples" / f"{template_of(name)}.md").read_text(encoding="utf-8")


def start(config: Config, name: str, known: Known, facts: Mapping[str, Fact]) -> Path:
    """Write the document of a template, with its facts filled in. Raises ConfigError where it is there already."""
    path = free(config, name)
    write_text(path, renewed(template(name), known, facts, str(path), name).text)
    return path


def fill(config: Config, name: str, known: Known, facts: Mapping[str, Fact]) -> Renewed:
    """Write a document's facts anew; what people wrote stays. Raises DataError where it is not there or damaged."""
    path = path_of(config, name)
    before = read(path)
    after = renewed(before, known, facts, str(path), name)
    if after.text != before:
        write_text(path, after.text)
    return after


def keep(config: Config) -> Path | None:
    """Keep the card as it is now with the champion that the last promotion replaced; None where there is none to keep.

    Called after a promotion, before the card is filled for the new champion: so what was said of a version stays.
    """
    card, champions = path_of(config, CARD), champion_file.read(config.workspace)
    if champions is None or len(champions.log) < 2 or not card.is_file():
        return None
    before, last = champions.log[-2:]
    folder = config.workspace / champion_file.FOLDER / before.version
    kept = folder / f"{CARD}-{last.when.astimezone(UTC):%Y%m%dT%H%M%S_%fZ}.md"
    if not folder.is_dir() or kept.exists():
        return None
    write_text(kept, read(card))
    return kept


def read(path: Path) -> str:
    """The text of a document. Raises DataError where there is none, or it is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        how = begin(path.stem)
        raise DataError("this document was not started yet", where=str(path), remedy=f"`{how}` does") from None
    except UnicodeDecodeError as error:
        raise DataError("this document is no text", where=str(path), expected="UTF-8", found=str(error),
                        remedy="save it as UTF-8") from error  # fmt: skip


def renewed(text: str, known: Known, facts: Mapping[str, Fact], where: str, name: str) -> Renewed:
    """The document `name` with all facts as they are now, and what its template has and it has not."""
    keys, body = front_matter.split(text.removeprefix(FRONT), where)
    before, begun = marked.parse(body, where), template(name)
    pattern = marked.parse(begun.removeprefix(FRONT))
    told = {name: fact.markdown() for name, fact in facts.items()}
    parts = marked.filled(marked.restored(before, pattern), told, f"{known.now:%Y-%m-%d}")
    if keys or begun.startswith(FRONT):
        mine = ours(known)
        edited = keys if _by_hand(keys, parts, mine) else {}
        parts = _with_front(parts, edited, mine, f"{known.now:%Y-%m-%d}")
    notes = [f"{part.name}: this part of {part.kind} was not there; it is put back"
             for part in marked.absent(before, pattern)]  # fmt: skip
    notes += _unknown(before, facts)
    notes += [f"{part.name}: what was changed by hand is kept there; move it to where it belongs"
              for part in marked.absent((*before, *pattern), parts)]  # fmt: skip
    renewed_parts, same = _renewed(before, parts, facts)
    words = sum(part.kind == "people" and part in before for part in parts)
    text = marked.written(parts)
    if keys or begun.startswith(FRONT):
        notes += [] if keys else ["front matter: was not there; it is put back"]
        renewed_parts += [f"front matter: {one}" for one in _other(keys, mine)] if keys else []
        text = front_matter.joined(front_matter.renewed(keys, mine), text)
    return Renewed(text, tuple(notes), tuple(renewed_parts), same, words)


def diff(text: str, known: Known, facts: Mapping[str, Fact], where: str, name: str) -> str:
    """What `fill` would change, line by line; "" where nothing."""
    after = renewed(text, known, facts, where, name).text
    lines = difflib.unified_diff(text.splitlines(), after.splitlines(), "now", "filled", lineterm="", n=1)
    return "\n".join(lines)


def check(text: str, known: Known, facts: Mapping[str, Fact], where: str, name: str) -> Checked:
    """How complete the document `name` is: every field of its facts and every answer of people counts as one.

    What its template has and it has not counts as missing.
    """
    keys, body = front_matter.split(text.removeprefix(FRONT), where)
    parts, begun = marked.parse(body, where), template(name)
    gone = marked.absent(parts, marked.parse(begun.removeprefix(FRONT)))
    told = [facts[part.name] for part in parts if part.kind == "facts" and part.name in facts]
    people = [part for part in parts if part.kind == "people" and not part.name.startswith("kept-")]
    missing = [f"{part.name}: {field} is not known" for part in parts if part.kind == "facts" and part.name in facts
               for field in facts[part.name].missing]  # fmt: skip
    missing += [f"{part.name}: nobody has written it yet" for part in people if not part.answered]
    open_lines = [line for part in parts if part.kind == "text" for line in marked.to_do(part.body)]
    missing += [f"the text still says `{line}`" for line in open_lines]
    missing += [f"{part.name}: this part of {part.kind} is not there; `{again(name)}` puts it back" for part in gone]
    done = sum(fact.known for fact in told) + sum(part.answered for part in people)
    total = sum(len(fact.fields) for fact in told) + len(people) + len(open_lines)
    total += sum(len(facts[part.name].fields) if part.kind == "facts" else 1 for part in gone)
    if begun.startswith(FRONT):
        done, total = done + front_matter.licensed(keys), total + 1
        missing += _missing_front(keys, name)
        pages = _procedures(known.config)
        done, total = done + (bool(pages) and not any(pages.values())), total + 1
        missing += _missing_procedures(pages)
    mine, stale = ours(known), []
    by_hand = _by_hand(keys, parts, mine)
    if keys and not by_hand:
        stale = [f"front matter: the records tell {one} otherwise by now" for one in _other(keys, mine)]
    reasons = ((part, changed.reason(part, facts, parts)) for part in parts
               if part.kind == "facts" and part.name in facts)  # fmt: skip
    stale += [f"{part.name}: {reason}" for part, reason in reasons if reason]
    wrong = [*_unknown(parts, facts), *_contradictions(parts, known, facts)]
    wrong += [f"front matter: {one} is not what was measured" for one in _other(keys, mine) if by_hand]
    return Checked(done, total, tuple(missing), tuple(stale), tuple(wrong))


def ours(known: Known) -> dict[str, object]:
    """Front matter of the card: what the gate said of the champion, else how good it was on the reference."""
    name = f"{known.config.model.name} {known.version}".strip()
    if known.result is not None:
        return front_matter.of_result(name, known.result)
    whole = known.quality[known.quality["by"] == ""].to_dict("records")
    usual = {str(row["metric"]): float(row["value"]) for row in whole}
    library = "ultralytics" if known.config.model.weights else ""
    return front_matter.of_metrics(name, [("reference", "reference", usual)], library)


def _is_of(name: str, template: str) -> bool:
    return name.startswith(template) and NAME.fullmatch(name) is not None and template_of(name) == template


def _other(keys: Mapping[str, object], mine: Mapping[str, object]) -> list[str]:
    """Keys of ours that say otherwise than they would now."""
    return [name for name in {**front_matter.own(keys, mine), **mine} if keys.get(name) != mine.get(name)]


def _by_hand(keys: Mapping[str, object], parts: Sequence[Part], mine: Mapping[str, object]) -> bool:
    """Whether keys of ours are not as cvkit wrote them; without a digest nobody knows, so they count as edited."""
    digest = next((part.digest for part in parts if part.kind == "front matter"), "")
    return bool(keys) and digest != front_matter.digest_of(front_matter.own(keys, mine))


def _with_front(
    parts: Sequence[Part], keys: Mapping[str, object], mine: Mapping[str, object], today: str
) -> tuple[Part, ...]:
    """Parts below front matter `mine`: its digest, and those of `keys` that it takes the place of."""
    rest = [part for part in parts if part.kind != "front matter"]
    replaced = {name: value for name, value in front_matter.own(keys, mine).items() if value != mine.get(name)}
    if replaced:
        words = marked.quoted(yaml.safe_dump(replaced, sort_keys=False, allow_unicode=True))
        rest += marked.kept("front-matter", f"```yaml\n{words}```\n", today, rest)
    return Part("front matter", digest=front_matter.digest_of(mine)), *rest


def _renewed(before: Sequence[Part], parts: Sequence[Part], facts: Mapping[str, Fact]) -> tuple[list[str], int]:
    """Parts of facts that were there and say otherwise now, each with what; and how many say the same."""
    bodies = {part.name: part.body.strip() for part in parts if part.kind == "facts"}
    there = [part for part in before if part.kind == "facts" and part.name in facts]
    other = [part for part in there if part.body.strip() != bodies[part.name]]
    told = [f"{part.name}: {changed.reason(part, facts, before) or 'only the date of its file'}" for part in other]
    return told, len(there) - len(other)


def _missing_front(keys: Mapping[str, object], name: str) -> list[str]:
    if not keys:
        return [f"front matter: it is not there; `{again(name)}` puts it back"]
    if not front_matter.licensed(keys):
        return ["front matter: nobody has said the licence yet (`license`; of `other` also `license_name`)"]
    return []


def _procedures(config: Config) -> dict[str, list[str]]:
    """What each procedure of the workspace leaves to do, by its name."""
    files = sorted((config.workspace / "docs" / "procedures").glob("*.md"))
    return {file.stem: marked.to_do(file.read_text(encoding="utf-8", errors="replace")) for file in files}


def _missing_procedures(pages: Mapping[str, list[str]]) -> list[str]:
    still = [name for name, lines in pages.items() if lines]
    if not pages:
        return ["procedures: there are none in docs/procedures"]
    line = next((lines[0] for lines in pages.values() if lines), "")
    return [f"procedures: {len(still)} of {len(pages)} still say `{line}`: {listed(still, 3)}"] if still else []


def _unknown(parts: Sequence[Part], facts: Mapping[str, Fact]) -> list[str]:
    """Parts whose names are none of the facts': what is in them is left as it is."""
    found = []
    for part in parts:
        if part.kind == "facts" and part.name not in facts:
            alike = difflib.get_close_matches(part.name, facts, 1)
            meant = f"; is `{alike[0]}` meant?" if alike else ""
            found.append(f"{part.name}: cvkit knows no facts of this name, and leaves the part as it is{meant}")
    return found


def _contradictions(parts: Sequence[Part], known: Known, facts: Mapping[str, Fact]) -> list[str]:
    hand = {part.name: changed.by_hand(part, facts) for part in parts if part.edited}
    found = [f"{name}: its facts were changed by hand{words and f' ({words})'}" for name, words in hand.items()]
    found += [f"{part.name}: what was changed by hand waits to be moved or deleted" for part in parts
              if part.kind == "people" and part.name.startswith("kept-")]  # fmt: skip
    versions = {one.name for one in known.versions} | {known.version}
    return found + [
        f"{part.name}: there is no version {name}"
        for part in parts
        if part.kind == "people" and not part.name.startswith("kept-")
        for name in VERSION.findall(part.body)
        if name not in versions
    ]
