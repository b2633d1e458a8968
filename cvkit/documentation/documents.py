"""Documents of a workspace: started from templates, their facts filled in, checked for what is missing or stale."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from cvkit.config import Config
from cvkit.config import champion as champion_file
from cvkit.documentation import front_matter, marked
from cvkit.documentation.facts import Fact, Known
from cvkit.documentation.marked import Part
from cvkit.errors import ConfigError, DataError
from cvkit.storage import packaged, write_text

CARD = "model-card"
FRONT = "<!-- front matter -->\n"  # first line of a template whose document has front matter
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
    def fine(self) -> bool:
        """Whether nothing is missing, stale or contradictory."""
        return not (self.missing or self.stale or self.contradictory)


def templates() -> list[str]:
    """Names of the templates, the card first."""
    names = sorted(file.stem for file in packaged("templates").glob("*.md"))
    return [CARD, *(name for name in names if name != CARD)]


def path_of(config: Config, name: str) -> Path:
    """Where the document of a template lies. Raises ConfigError where there is no such template."""
    if name not in templates():
        raise ConfigError("there is no such template", found=name, expected=", ".join(templates()), remedy="choose one")
    docs = config.workspace / "docs"
    return docs / f"{name}.md" if name == CARD else docs / "documents" / f"{name}.md"


def free(config: Config, name: str) -> Path:
    """Where the document of a template will lie. Raises ConfigError where it is there already."""
    path = path_of(config, name)
    if path.exists():
        again = "cvkit card fill" + ("" if name == CARD else f" --document {name}")
        raise ConfigError(
            "this document is there already", where=str(path), found=f"{path.stat().st_size} bytes",
            remedy=f"`{again}` writes its facts anew and leaves people's words; or move it away",
        )  # fmt: skip
    return path


def start(config: Config, name: str, known: Known, facts: Mapping[str, Fact]) -> Path:
    """Write the document of a template, with its facts filled in. Raises ConfigError where it is there already."""
    path = free(config, name)
    text = (packaged("templates") / f"{name}.md").read_text(encoding="utf-8")
    write_text(path, renewed(text, known, facts, str(path)))
    return path


def fill(config: Config, name: str, known: Known, facts: Mapping[str, Fact]) -> Path:
    """Write a document's facts anew; what people wrote stays. Raises DataError where it is not there or damaged."""
    path = path_of(config, name)
    before = read(path)
    after = renewed(before, known, facts, str(path))
    if after != before:
        write_text(path, after)
    return path


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
        begin = "cvkit card new" if path.stem == CARD else f"cvkit template new {path.stem}"
        raise DataError("this document was not started yet", where=str(path), remedy=f"`{begin}` does") from None
    except UnicodeDecodeError as error:
        raise DataError("this document is no text", where=str(path), expected="UTF-8", found=str(error),
                        remedy="save it as UTF-8") from error  # fmt: skip


def renewed(text: str, known: Known, facts: Mapping[str, Fact], where: str) -> str:
    """A document with all facts as they are now."""
    has_front = text.startswith((FRONT, front_matter.EDGE))
    keys, body = front_matter.split(text.removeprefix(FRONT), where)
    parts = marked.filled(
        marked.parse(body, where), {name: fact.markdown() for name, fact in facts.items()}, f"{known.now:%Y-%m-%d}"
    )
    told = marked.written(parts)
    return front_matter.joined(front_matter.renewed(keys, ours(known)), told) if has_front else told


def diff(text: str, known: Known, facts: Mapping[str, Fact], where: str) -> str:
    """What `fill` would change, line by line; "" where nothing."""
    after = renewed(text, known, facts, where)
    lines = difflib.unified_diff(text.splitlines(), after.splitlines(), "now", "filled", lineterm="", n=1)
    return "\n".join(lines)


def check(text: str, known: Known, facts: Mapping[str, Fact], where: str) -> Checked:
    """How complete a document is: every field of its facts and every answer of people counts as one."""
    keys, body = front_matter.split(text.removeprefix(FRONT), where)
    parts = marked.parse(body, where)
    told = [facts[part.name] for part in parts if part.kind == "facts" and part.name in facts]
    people = [part for part in parts if part.kind == "people" and not part.name.startswith("kept-")]
    missing = [f"{part.name}: {name} is not known" for part in parts if part.kind == "facts" and part.name in facts
               for name in facts[part.name].missing]  # fmt: skip
    missing += [f"{part.name}: nobody has written it yet" for part in people if not part.answered]
    done = sum(fact.known for fact in told) + sum(part.answered for part in people)
    total = sum(len(fact.fields) for fact in told) + len(people)
    stale = [_stale(part, facts) for part in parts]
    return Checked(
        done, total, tuple(missing), tuple(one for one in stale if one), tuple(_contradictions(keys, parts, known))
    )


def ours(known: Known) -> dict[str, object]:
    """Front matter of the card: what the gate said of the champion, else how good it was on the reference."""
    name = f"{known.config.model.name} {known.version}".strip()
    if known.result is not None:
        return front_matter.of_result(name, known.result)
    whole = known.quality[known.quality["by"] == ""].to_dict("records")
    usual = {str(row["metric"]): float(row["value"]) for row in whole}
    return front_matter.of_metrics(name, [("reference", "reference", usual)])


def _stale(part: Part, facts: Mapping[str, Fact]) -> str:
    if part.kind != "facts":
        return ""
    if part.name not in facts:
        return f"{part.name}: cvkit knows no facts of this name"
    if not part.digest:
        return f"{part.name}: never filled in"
    now = facts[part.name].markdown()
    return f"{part.name}: the records tell otherwise by now" if marked.digest_of(now) != part.digest else ""


def _contradictions(keys: Mapping[str, object], parts: tuple[Part, ...], known: Known) -> list[str]:
    found = [f"{part.name}: its facts were changed by hand" for part in parts if part.edited]
    found += [f"{part.name}: facts that were changed by hand wait to be moved or deleted" for part in parts
              if part.kind == "people" and part.name.startswith("kept-")]  # fmt: skip
    mine = ours(known)
    found += [f"front matter: {name} is not what was measured" for name in front_matter.OWN
              if keys and keys.get(name) != mine.get(name)]  # fmt: skip
    versions = {one.name for one in known.versions} | {known.version}
    for part in parts:
        if part.kind == "people":
            found += [
                f"{part.name}: there is no version {name}"
                for name in VERSION.findall(part.body)
                if name not in versions
            ]
    return found
