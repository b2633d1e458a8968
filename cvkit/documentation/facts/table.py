"""A fact: fields with values, what is not known said as such, where it comes from and of when it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cvkit.documentation.wording import escape

UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known about one matter."""

    fields: tuple[tuple[str, str], ...]  # name and value; "" where it is not known
    source: str  # the records it comes from, in words
    when: datetime | None  # of what it says, not of the writing
    more: str = ""  # Markdown below the fields
    filed: datetime | None = None  # where no record says when: the time of the file, which a copy may change

    @property
    def date(self) -> datetime | None:
        """Of when it is, as far as that is known."""
        return self.when or self.filed

    @property
    def known(self) -> int:
        """How many of its fields are known."""
        return sum(bool(value) for _, value in self.fields)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the fields that are not known."""
        return tuple(name for name, value in self.fields if not value)

    def markdown(self) -> str:
        """The fact as Markdown: its fields as a table, then what else there is, then source and date."""
        rows = [f"| {escape(name)} | {_cell(value)} |" for name, value in self.fields]
        table = "\n".join(["| | |", "|---|---|", *rows]) if rows else ""
        date = f", {self.date:%Y-%m-%d}" if self.date else ", nothing recorded yet"
        source = f"*Source: {escape(self.source)}{date}.*"
        return "\n\n".join(part for part in (table, self.more.strip(), source) if part)


def listed(names: Sequence[str], most: int = 30) -> str:
    """Names in a row, the last of many left out.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _cell(value: str) -> str:
    return escape(value) if value else UNKNOWN
