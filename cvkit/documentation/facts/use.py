"""Facts about versions: where each comes from, and which was in use when, put there by whom and why."""

from __future__ import annotations

from itertools import pairwise

from cvkit.config.champion import Promotion
from cvkit.documentation.facts.asked import settings_date
from cvkit.documentation.facts.known import Known
from cvkit.documentation.facts.table import Fact
from cvkit.documentation.wording import escape

MOST = 20  # rows of the table
HEAD = "| version | kind | from | made | gate | champion |\n|---|---|---|---|---|---|"


def versions(known: Known) -> Fact:
    """Every version, newest first: kind, parent, what the gate said, and when it was champion."""
    log = known.champions.log if known.champions else ()
    rows = _rows(known, log)
    fields = (
        ("versions", str(len(rows))),
        ("champions so far", str(len({one.version for one in log}) or 1)),
        ("champion", known.version),
    )
    more = [f"and {len(rows) - MOST} older"] if len(rows) > MOST else []
    lines = [f"- {one.when:%Y-%m-%d}: `{one.version}` {_how(one)}" for one in reversed(log)]
    tables = ["\n".join([HEAD, *rows[:MOST]]) if rows else "", *more, "\n".join(lines[:MOST])]
    when = log[-1].when if log else max((one.made for one in known.versions), default=None)
    return Fact(fields, "the versions and the log of champions", when, "\n\n".join(filter(None, tables)))


def deployment(known: Known) -> Fact:
    """Which version runs since when, put there by whom and why, and how it is run, as far as settings tell."""
    config = known.config
    log = known.champions.log if known.champions else ()
    last = log[-1] if log and log[-1].version == known.version else None
    weights = config.resolve(config.model.weights) if config.model.weights else None
    fields = (
        ("champion", known.version),
        *((("weights", f"{weights.name}, SHA-256 begins with {known.version}"),) if weights else ()),
        *((("in use since", f"{last.when:%Y-%m-%d %H:%M} UTC"), ("put in use by", last.by), ("because", last.why))
          if last else ()),
        ("image size", f"{config.model.image_size} px"),
        ("confidence", f"{config.model.confidence:g}"),
        ("device", config.model.device or "a GPU where there is one, else the CPU"),
        ("time an image takes", f"{known.latency_ms:.1f} ms where the gate was run" if known.latency_ms else ""),
        ("images from", config.captures.images),
        ("predictions from", config.captures.predictions or "made by cvkit"),
    )  # fmt: skip
    return Fact(fields, "cvkit.yml and the log of champions", last.when if last else None, filed=settings_date(known))


def _rows(known: Known, log: tuple[Promotion, ...]) -> list[str]:
    """Rows of the table, newest first; versions whose folders are gone, or that have none, stand last."""
    rows = [
        f"| `{one.name}` | {one.kind} | {f'`{one.parent}`' if one.parent else ''} | {one.made:%Y-%m-%d} |"
        f" {known.outcomes.get(one.name, 'not judged')} | {_reign(known, log, one.name)} |"
        for one in reversed(known.versions)
    ]
    named = {one.name for one in known.versions}
    others = dict.fromkeys(one for one in (known.version, *(one.version for one in reversed(log))) if one)
    return rows + [
        f"| {escape(name)} | not kept | | | | {_reign(known, log, name)} |" for name in others if name not in named
    ]


def _reign(known: Known, log: tuple[Promotion, ...], name: str) -> str:
    """When a version was champion: each time from when until when."""
    past = [f"{one.when:%Y-%m-%d} to {after.when:%Y-%m-%d}" for one, after in pairwise(log) if one.version == name]
    if name == known.version:
        since = f" since {log[-1].when:%Y-%m-%d}" if log and log[-1].version == name else ""
        past.append(f"**champion{since}**")
    return ", ".join(past)


def _how(one: Promotion) -> str:
    forced = ", although the gate had not passed it" if one.forced else ""
    return f"{one.how}{forced} by {escape(one.by)}: {escape(one.why)}"
