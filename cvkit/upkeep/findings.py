"""What a check finds: how bad it is, where, what it means and what to do; as lines and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

Severity = Literal["error", "warning", "note"]
MEANING: dict[Severity, str] = {  # from the worst on
    "error": "something is lost, or cannot work",
    "warning": "something will go wrong, or did and needs a look",
    "note": "harmless; for order's sake",
}
SHOWN = 3  # examples in a line about several


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    severity: Severity
    check: str  # which one found it
    where: str
    problem: str  # what it means
    remedy: str  # what to do

    @property
    def line(self) -> str:
        """All of it in one line."""
        return " ".join(f"{self.where}: {self.problem}. {self.remedy}".split())


def examples(names: Iterable[str]) -> str:
    """Some names, and how many more there are.

    >>> examples(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def sound(findings: Iterable[Finding]) -> bool:
    """Whether nothing is wrong; notes are about nothing wrong."""
    return all(one.severity == "note" for one in findings)


def text(findings: Sequence[Finding], workspace: str) -> str:
    """The findings for a terminal, the worst first."""
    if not findings:
        return f"{workspace} is sound"
    lines: list[str] = []
    for severity, meaning in MEANING.items():
        if rows := [one for one in findings if one.severity == severity]:
            lines += [f"{severity} ({meaning}):", *(f"  {one.line}" for one in rows)]
    return "\n".join(lines)


def as_json(findings: Sequence[Finding], workspace: str, now: datetime) -> str:
    """The same for programs."""
    order = list(MEANING)
    rows = [asdict(one) for one in sorted(findings, key=lambda one: order.index(one.severity))]
    return json.dumps({"workspace": workspace, "time": now.isoformat(), "sound": sound(findings), "findings": rows},
                      indent=2)  # fmt: skip
