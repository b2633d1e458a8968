"""Small pictures for web pages: lights, trend lines and the strip of past windows, as inline SVG.

Colours come from the site's style sheet (classes `cvkit-ok`, ...), so that both colour schemes work. No state is told
by colour alone: every one has a shape of its own, and a word beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

WIDTH, HEIGHT = 280, 64  # of a trend line, in units of its own
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 8  # room for the labels and the last dot
SHAPES = {
    "ok": '<circle cx="12" cy="12" r="10"/><path class="cvkit-mark" d="M7.5 12.5l3 3 6-6.5"/>',
    "warning": '<path d="M12 2.2 23 21.5H1z"/><path class="cvkit-mark" d="M12 9.2v5.6M12 18v.2"/>',
    "critical": '<rect x="2" y="2" width="20" height="20" rx="3"/><path class="cvkit-mark" d="M8 8l8 8M16 8l-8 8"/>',
    "info": '<circle cx="12" cy="12" r="10"/><path class="cvkit-mark" d="M12 11v6M12 7v.2"/>',  # of alerts only
    "unknown": (
        '<circle class="cvkit-ring" cx="12" cy="12" r="9.5"/>'
        '<path class="cvkit-mark" d="M9.2 9.6a2.8 2.8 0 1 1 4.2 2.4c-1 .6-1.4 1.1-1.4 2.2M12 17.4v.2"/>'
    ),
}
BARS = {"ok": 10, "unknown": 10, "warning": 18, "critical": 26}  # heights in the strip, of 28


@dataclass(frozen=True, slots=True)
class Trend:
    """One number over windows, in order of time; `low` and `high` bound what is expected, NaN where nothing does."""

    name: str
    unit: str
    times: Sequence[datetime]
    values: Sequence[float]
    expected: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    states: Sequence[str]
    percent: bool = False

    def write(self, value: float) -> str:
        """`value` as people read it, with three digits."""
        return number(value, percent=self.percent)


def number(value: float, *, percent: bool = False) -> str:
    """A number as people read it.

    >>> number(0.01234), number(1234.5), number(0.256, percent=True), number(float("nan"))
    ('0.0123', '1,234', '25.6%', 'no value')
    """
    if not math.isfinite(value):
        return "no value"
    if percent:
        return f"{100 * value:.3g}%"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def light(state: str) -> str:
    """The sign of a state; decoration only, as the word stands beside it."""
    return (
        f'<svg class="cvkit-light cvkit-{escape(state)}" viewBox="0 0 24 24" aria-hidden="true">{SHAPES[state]}</svg>'
    )


def strip(windows: Sequence[tuple[str, str]]) -> str:
    """Past windows, given as (label, state), oldest first: one bar each, the higher the worse."""
    bars = []
    for position, (label, state) in enumerate(windows):
        height = BARS[state]
        shape = f'<rect x="{position * 10 + 1}" y="{28 - height}" width="8" height="{height}" rx="1.5"'
        bars.append(f'{shape} class="cvkit-{escape(state)}"><title>{escape(label)}: {escape(state)}</title></rect>')
    told = ", ".join(f"{label} {state}" for label, state in windows if state != "ok") or "all ok"
    words = f"The last {len(windows)} windows: {told}"
    box = f'viewBox="0 0 {max(len(windows), 15) * 10} 28" preserveAspectRatio="xMinYMid"'
    attributes = f'data-search-exclude="" class="cvkit-strip" role="img" aria-label="{escape(words)}"'
    return f"<svg {attributes} {box}>{''.join(bars)}</svg>"


def tiny(name: str, values: Sequence[float], state: str) -> str:
    """A line as small as a word, of a number over windows, with its newest value marked; "" of fewer than two."""
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2:
        return ""
    low, height = min(known), max(known) - min(known) or 1.0
    xs = [4 + 112 * place / (len(values) - 1) for place in range(len(values))]
    ys = [24 - 18 * (value - low) / height for value in values]
    last = max(place for place, value in enumerate(values) if math.isfinite(value))
    words = escape(
        f"{name} over {len(values)} windows: {number(low)} to {number(max(known))}, now {number(values[last])}"
    )
    dot = f'<circle class="cvkit-{escape(state)}" cx="{xs[last]:.1f}" cy="{ys[last]:.1f}" r="3.4"/>'
    attributes = f'data-search-exclude="" class="cvkit-trend cvkit-tiny" role="img" aria-label="{words}"'
    lines = "".join(_lines("cvkit-line", xs, ys))
    picture = f'<svg {attributes} viewBox="0 0 120 30"><title>{words}</title>{lines}{dot}</svg>'
    return f'{picture}<span class="cvkit-quiet">{escape(name)}</span>'


def sparkline(trend: Trend, about: str) -> str:
    """A trend line with the band of what is expected and the lowest and highest value written at its left.

    `about` names what the line is of, for people who cannot see it. Windows without a value leave a gap.
    """
    xs, (bottom, top) = _positions(trend.times), _span(trend)
    scale = (HEIGHT - TOP - BOTTOM) / (top - bottom)

    def height(value: float) -> float:
        return HEIGHT - BOTTOM - (value - bottom) * scale

    ys = [height(value) for value in trend.values]
    parts = [
        *_bands(xs, [height(value) for value in trend.low], [height(value) for value in trend.high]),
        *_lines("cvkit-expected", xs, [height(value) for value in trend.expected]),
        *_lines("cvkit-line", xs, ys),
        *_marks(xs, ys, trend.states),
        *_labels(trend, height),
    ]
    words = escape(f"{about}: {describe(trend)}")
    attributes = f'data-search-exclude="" class="cvkit-trend" role="img" aria-label="{words}"'
    return f'<svg {attributes} viewBox="0 0 {WIDTH} {HEIGHT}"><title>{words}</title>{"".join(parts)}</svg>'


def describe(trend: Trend) -> str:
    """A trend line in words."""
    known = [value for value in trend.values if math.isfinite(value)]
    if not known:
        return "no value yet"
    words = f"{trend.write(trend.values[-1])} in the newest of {len(trend.values)} windows"
    return f"{words}, {expectation(trend)}; lowest {trend.write(min(known))}, highest {trend.write(max(known))}"


def expectation(trend: Trend) -> str:
    """What is expected of the newest window, in words."""
    if not math.isfinite(trend.values[-1]):
        return "not measured"
    low, high, expected = trend.low[-1], trend.high[-1], trend.expected[-1]
    if math.isfinite(low) and math.isfinite(high):
        return f"expected {trend.write(low)} to {trend.write(high)}"
    return f"expected {trend.write(expected)}" if math.isfinite(expected) else "nothing to compare with"


def _positions(times: Sequence[datetime]) -> list[float]:
    first, last = times[0], times[-1]
    length = (last - first).total_seconds() or 1.0
    right = WIDTH - RIGHT
    if first == last:
        return [float(right)] * len(times)
    return [LEFT + (time - first).total_seconds() / length * (right - LEFT) for time in times]


def _span(trend: Trend) -> tuple[float, float]:
    """The lowest and highest number the picture has to show; never of no height."""
    shown = [v for part in (trend.values, trend.low, trend.high, trend.expected) for v in part if math.isfinite(v)]
    bottom, top = min(shown, default=0.0), max(shown, default=1.0)
    room = 0.5 * (abs(top) or 0.02) if top == bottom else 0.05 * (top - bottom)
    return bottom - room, top + room


def _stretches(*rows: Sequence[float]) -> Iterator[range]:
    """Stretches of positions where all `rows` have a number."""
    start = None
    for position in range(len(rows[0]) + 1):
        known = position < len(rows[0]) and all(math.isfinite(row[position]) for row in rows)
        if known and start is None:
            start = position
        elif not known and start is not None:
            yield range(start, position)
            start = None


def _bands(xs: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> Iterator[str]:
    for stretch in _stretches(lows, highs):
        if len(stretch) == 1:  # a single window still shows what was expected of it
            x = xs[stretch[0]]
            edge = [(x - 6, highs[stretch[0]]), (x + 6, highs[stretch[0]])]
            edge += [(x + 6, lows[stretch[0]]), (x - 6, lows[stretch[0]])]
        else:
            edge = [(xs[i], highs[i]) for i in stretch] + [(xs[i], lows[i]) for i in reversed(stretch)]
        yield f'<polygon class="cvkit-band" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in edge)}"/>'


def _lines(name: str, xs: Sequence[float], ys: Sequence[float]) -> Iterator[str]:
    for stretch in _stretches(ys):
        if len(stretch) > 1:
            yield f'<polyline class="{name}" points="{" ".join(f"{xs[i]:.1f},{ys[i]:.1f}" for i in stretch)}"/>'


def _marks(xs: Sequence[float], ys: Sequence[float], states: Sequence[str]) -> Iterator[str]:
    """A dot on the newest window and on each that was not ok, square where it was critical."""
    last = len(xs) - 1
    for position, (x, y, state) in enumerate(zip(xs, ys, states, strict=True)):
        if not math.isfinite(y) or (position < last and state not in ("warning", "critical")):
            continue
        size = 3.4 if position == last else 2.2
        if state == "critical":
            corner = f'x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}"'
            yield f'<rect class="cvkit-{state}" {corner}/>'
        elif state == "warning":
            points = (
                f"{x:.1f},{y - size * 1.2:.1f} {x - size * 1.2:.1f},{y + size:.1f} {x + size * 1.2:.1f},{y + size:.1f}"
            )
            yield f'<polygon class="cvkit-{state}" points="{points}"/>'
        else:
            yield f'<circle class="cvkit-{escape(state)}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'


def _labels(trend: Trend, height: Callable[[float], float]) -> Iterator[str]:
    known = [value for value in trend.values if math.isfinite(value)]
    ends = sorted({min(known), max(known)}) if known else []
    if len(ends) == 2 and abs(height(ends[0]) - height(ends[1])) < 12:  # they would lie on each other
        ends = ends[1:] if trend.values[-1] == ends[1] else ends[:1]
    for value in ends:
        y = min(max(height(value), 9), HEIGHT - 5)
        yield f'<text x="{LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{escape(trend.write(value))}</text>'
