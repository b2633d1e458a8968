"""A model card in words: whether it is complete and true, as report `06-model-card` says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cvkit.config import Config
from cvkit.documentation import documents, facts
from cvkit.documentation.documents import CARD, Checked
from cvkit.documentation.facts import Fact, Known
from cvkit.documentation.wording import escape
from cvkit.tables import SIGNS

MOST = 40  # rows of a list


@dataclass(frozen=True, slots=True)
class Card:
    """A card, and what the records say beside it."""

    started: bool
    text: str  # as it is; of one that was not started, as it would be begun
    after: str  # what `cvkit card fill` would make of it
    checked: Checked
    diff: str  # "" where nothing would change
    known: Known
    facts: Mapping[str, Fact]


def look(config: Config, now: datetime) -> Card:
    """The card and its check against the records. Raises DataError where it is damaged."""
    known = facts.know(config, now)
    told, path = facts.told(known), documents.path_of(config, CARD)
    started = path.is_file()
    text = documents.read(path) if started else documents.template(CARD)
    after = documents.renewed(text, known, told, str(path), CARD).text
    text = text if started else after
    checked = documents.check(text, known, told, str(path), CARD)
    diff = documents.diff(text, known, told, str(path), CARD)
    return Card(started, text, after, checked, diff, known, told)


def verdict_line(card: Card) -> str:
    """Whether the card is complete and true, as one line of Markdown."""
    told = card.checked
    share = f"{told.percent} complete, {told.done} of {told.of} fields and answers"
    if not card.started:
        return f"**{SIGNS['unknown']} unknown:** the card was not started: `cvkit card new` would begin it {share}."
    if told.fine:
        return f"**{SIGNS['ok']} ok:** the card is complete, and says what the records say."
    counts = f"{len(told.missing)} missing, {len(told.stale)} stale, {len(told.contradictory)} contradictory"
    return f"**{SIGNS['warning']} warning:** the card is {share}; {counts}."


def trouble_table(checked: Checked) -> str:
    """What is missing, stale or contradictory, as a table."""
    kinds = (("contradictory", checked.contradictory), ("stale", checked.stale), ("missing", checked.missing))
    rows = [f"| {kind} | {escape(row)} |" for kind, found in kinds for row in found]
    more = [f"| | and {len(rows) - MOST} more |"] if len(rows) > MOST else []
    return "\n".join(["| kind | what |", "|---|---|", *rows[:MOST], *more]) if rows else "Nothing."


def facts_table(told: Mapping[str, Fact]) -> str:
    """Each matter, how much of it is known, and where that comes from, as a table."""
    rows = [
        f"| {name} | {fact.known} of {len(fact.fields)} | {escape(fact.source)} | "
        f"{f'{fact.date:%Y-%m-%d}' if fact.date else ''} |"
        for name, fact in told.items()
    ]
    return "\n".join(["| facts | known | source | of |", "|---|---|---|---|", *rows])


def diff_lines(card: Card) -> str:
    """What `cvkit card fill` would change, as Markdown."""
    lines = card.diff.splitlines()[2:]  # without the names of the two
    shown = "<br>".join(f"<code>{escape(line)}</code>" for line in lines[:MOST] if line)
    more = f"\n\nand {len(lines) - MOST} more lines" if len(lines) > MOST else ""
    return f"{shown}{more}" if lines else "Nothing: its facts are up to date."
