"""Short HTML of verdicts and decisions, as notebooks show them. Whatever is in it is shown as text."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvkit.tables import SIGNS, STATES, worst, worst_by

if TYPE_CHECKING:
    import pandas as pd

MOST = 20  # rows of one table
ITEMS = 6  # of one list


def text(word: object) -> str:
    """A word as HTML shows it unchanged.

    >>> text("<b>")
    '&lt;b&gt;'
    """
    return html.escape(str(word))


def signed(state: str) -> str:
    """A state with its sign: neither rests on colour.

    >>> signed("ok")
    '● <b>ok</b>'
    """
    return f"{SIGNS.get(state, '')} <b>{text(state)}</b>".strip()


def items(words: Sequence[object]) -> str:
    """A list of the first `ITEMS` words, the others counted; "" where there are none."""
    lines = [text(word) for word in words[:ITEMS]]
    lines += [f"and {len(words) - ITEMS} more"] if len(words) > ITEMS else []
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if lines else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already, at most `MOST` rows; what is left out is counted."""
    top = "".join(f"<th style='text-align:left'>{text(word)}</th>" for word in head)
    lines = ["".join(f"<td style='text-align:left'>{cell}</td>" for cell in row) for row in rows[:MOST]]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    more = f"<p>and {len(rows) - MOST} more</p>" if len(rows) > MOST else ""
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{more}"


def window(name: str, verdicts: pd.DataFrame, features: pd.DataFrame, findings: pd.DataFrame) -> str:
    """What is known of a window by source, the worst first: tables VERDICTS, FEATURES and FINDINGS of it."""
    lights = worst_by(verdicts, "source")
    bad = features[features["image_id"].isin(findings["image_id"])].groupby("source").size()
    images = features.groupby("source").size()
    rows = []
    for source in sorted(lights, key=lambda one: (-STATES.index(lights[one]), one)):
        mine = verdicts[(verdicts["source"] == source) & (verdicts["state"] == lights[source])]
        first = f"{mine['feature'].iloc[0]}: {mine['reason'].iloc[0]}" if lights[source] != "ok" else ""
        more = f" and {len(mine) - 1} more" if first and len(mine) > 1 else ""
        counts = str(images.get(source, 0)), str(bad.get(source, 0))
        rows.append(
            (signed(lights[source]), text(source or "(no source)"), *counts, text(first.replace("_", " ")) + more)
        )
    state = worst(list(lights.values()))
    head = ("state", "source", "images", "of them with a finding", "why")
    return f"<p>Window {text(name)}: {signed(state)}</p>{table(head, rows)}"
