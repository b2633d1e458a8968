"""What `cvkit images summary` says of groups of images, for people and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from cvkit.data.summed import SHARES, Group, Row, rows
from cvkit.stats.summaries import Between

HEAD = ("feature", "count", "missing", "mean", "sd", "least", *(f"{share:.0%}" for share in SHARES), "greatest")
AGAINST = ("change, sd", "KS", "PSI")


def counted(images: int, partitions: int) -> str:
    """How many images of how many sources and days.

    >>> counted(1, 1), counted(2000, 3)
    ('1 image of 1 source and day', '2,000 images of 3 sources and days')
    """
    days = "source and day" if partitions == 1 else "sources and days"
    return f"{images:,} image{'' if images == 1 else 's'} of {partitions:,} {days}"


def text(groups: Sequence[Group], against: Sequence[Group] = ()) -> str:
    """A table for each group, and how far its numbers may be off."""
    told = rows(groups, against)
    lines = []
    for group in groups:
        own = [row for row in told if row.group == group.name]
        cells = [[*HEAD, *(AGAINST if any(row.ks for row in own) else ())], *(_cells(row) for row in own)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines.append(f"{_on_one_line(group.name) or 'all'}: {counted(group.images, group.partitions)}")
        lines += ["  ".join(_placed(line, widths)).rstrip() for line in cells]
        lines += [f"{name}: {_names(counts)}" for name, counts in group.names.items()]
        lines.append("")
    error = max((row.summary.error for row in told), default=0.0)
    words = f"at most {max(error, 1e-4):.2%} of the images" if error else "nothing"
    lines.append(f"Counts, mean, sd, least and greatest are exact; quantiles are off by {words}.")
    if any(row.ks for row in told):
        lines.append("KS and PSI lie between the two numbers in brackets.")
    return "\n".join(lines)


def as_json(groups: Sequence[Group], against: Sequence[Group] = ()) -> str:
    """The same as a list of objects, one for each group."""
    told = rows(groups, against)
    return json.dumps(
        [
            {"group": group.name, "images": group.images, "partitions": group.partitions,
             "features": {row.feature: _object(row) for row in told if row.group == group.name},
             "counts": {name: dict(counts) for name, counts in group.names.items()}}
            for group in groups
        ], indent=2,
    )  # fmt: skip


def _on_one_line(name: str) -> str:
    r"""A name that begins no line of its own.

    >>> print(_on_one_line("cam\n2: 9 images"))
    cam\n2: 9 images
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _object(row: Row) -> dict[str, Any]:
    kept = row.summary
    found: dict[str, Any] = {
        "count": kept.count, "missing": kept.missing, "mean": _known(kept.mean), "sd": _known(kept.sd),
        "least": _known(kept.least), "greatest": _known(kept.greatest), "error": kept.error,
        "quantiles": {f"{share:g}": _bounds(one) for share, one in zip(SHARES, row.quantiles, strict=True)},
    }  # fmt: skip
    if row.ks and row.psi:
        found |= {"change": _known(row.change), "ks": _bounds(row.ks), "psi": _bounds(row.psi)}
    return found


def _bounds(one: Between) -> dict[str, float | None]:
    return {"value": _known(one.value), "low": _known(one.low), "high": _known(one.high)}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cells(row: Row) -> list[str]:
    kept = row.summary
    numbers = [kept.mean, kept.sd, kept.least, *(one.value for one in row.quantiles), kept.greatest]
    found = [row.feature, f"{kept.count:,}", f"{kept.missing:,}", *map(_number, numbers)]
    if row.ks and row.psi:
        found += [f"{row.change:+.2f}" if math.isfinite(row.change) else "-", _between(row.ks), _between(row.psi)]
    return found


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _between(one: Between) -> str:
    return "-" if math.isnan(one.value) else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _placed(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]


def _names(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name or 'none'} {count:,}" for name, count in ordered)
