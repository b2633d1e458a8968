"""What all figures share: size, colours, the marks of states, and words that are shown as they are."""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Iterable, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D

from cvkit.tables import FEATURE_UNITS
from cvkit.tables import SIGNS as SIGNS

WIDTH = 6.0  # inches: on a phone the site shows it 528 px wide, and `FONT` is 12 px high there
DPI = 130
FONT = 10.0  # points
TITLE_LETTERS = 60  # that fit on one line of a title
INK, QUIET, EDGE, PAPER = "#1b2733", "#56616c", "#d4dce1", "#ffffff"
# Okabe and Ito's colours, which people of every kind of colour vision tell apart.
BLUE, SKY, GREEN, ORANGE, VERMILLION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
REFERENCE, BAND = "#b4c0c8", "#dcecf5"
# A state's marker and colour; the site's lights have the same shapes. No state is told by colour alone.
MARKS = {"ok": ("o", GREEN), "unknown": ("o", PAPER), "warning": ("^", ORANGE), "critical": ("s", VERMILLION)}

Item = tuple[Artist, str]  # of a legend


def new_figure(title: str, height: float) -> Figure:
    """An empty figure with a title, `height` inches without it."""
    lines = textwrap.wrap(plain(title), TITLE_LETTERS)
    figure = Figure((WIDTH, height + 0.1 + 0.2 * len(lines)), dpi=DPI, layout="constrained", facecolor=PAPER)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, hspace=0.04, wspace=0.03)  # type: ignore[union-attr, call-arg]
    figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=FONT + 1, fontweight="bold", color=INK)
    return figure


def tidy(axes: Axes) -> Axes:
    """The frame and ticks of all figures."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(labelsize=FONT - 1, colors=INK, color=QUIET, length=3)
    axes.set_axisbelow(True)
    return axes


def panels(title: str, n: int, height: float = 1.75) -> tuple[Figure, list[Axes]]:
    """A figure with `n` axes: one below the other, or in two columns where there are more than three."""
    columns = 1 if n <= 3 else 2
    rows = -(-n // columns)
    figure = new_figure(title, height * rows + (1.2 if n == 1 else 0.75))
    grid = figure.subplots(rows, columns, squeeze=False)
    flat = [tidy(axes) for axes in grid.ravel()]
    for spare in flat[n:]:
        spare.remove()
    return figure, flat[:n]


def no_data(title: str, why: str) -> Figure:
    """A figure that says there is nothing to show, and why."""
    figure = new_figure(title, 1.1)
    figure.subplots().set_axis_off()  # Jupyter shows no figure without axes
    text = f"no data: {plain(why)}"
    figure.text(0.5, 0.4, wrap(text, 60), ha="center", va="center", fontsize=FONT, color=QUIET)
    return figure


def legend(figure: Figure, items: Sequence[Item]) -> None:
    """A legend below all axes."""
    handles, labels = [item[0] for item in items], [plain(item[1]) for item in items]
    columns = 3 if max(map(len, labels), default=0) < 26 else 2
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=FONT - 1, frameon=False,
                  labelcolor=INK, handlelength=1.6, columnspacing=1.4)  # fmt: skip


def state_marker(state: str) -> Line2D:
    """A state's mark, for a legend."""
    marker, colour = MARKS[state]
    return Line2D([], [], linewidth=0, marker=marker, color=colour, markeredgecolor=INK, markeredgewidth=0.6)


def plain(text: str) -> str:
    r"""`text` as matplotlib shows it unchanged: no formulas, and nothing the font has no sign for.

    >>> plain("$x$"), plain("cam-\u6444")
    ('\\$x\\$', 'cam-\\u6444')
    """
    known = "".join(
        letter if _has_sign(letter) else letter.encode("unicode_escape").decode("ascii") for letter in str(text)
    )
    return known.replace("$", r"\$")


@functools.cache
def _has_sign(letter: str) -> bool:
    return letter == "\n" or (
        letter.isprintable() and bool(get_font(findfont("DejaVu Sans")).get_char_index(ord(letter)))
    )


def wrap(text: str, letters: int) -> str:
    """`text` in lines of at most `letters`."""
    return "\n".join(textwrap.wrap(text, letters, break_on_hyphens=False))


def shorten(text: str, letters: int) -> str:
    """`text` without its middle where it is too long: camera names differ at their ends.

    >>> shorten("plant-7-line-3-camera-12", 13)
    'plant-…era-12'
    """
    half = (letters - 1) // 2
    return text if len(text) <= letters else f"{text[: letters - 1 - half]}…{text[-half:]}"


def source_name(source: str, letters: int = 40) -> str:
    """A source's name for a figure."""
    return plain(shorten(source or "(no source)", letters))


def in_order(sources: Iterable[str]) -> list[str]:
    """Each source once, numbers in their names by size.

    >>> in_order(["cam-10", "cam-2", "cam-2"])
    ['cam-2', 'cam-10']
    """
    return sorted(set(sources), key=lambda source: [(part.isdecimal(), int(part) if part.isdecimal() else 0, part)
                                                    for part in re.split(r"(\d+)", source)])  # fmt: skip


def name(word: str) -> str:
    """A feature or finding in words."""
    return plain(word.replace("_", " "))


def with_unit(feature: str) -> str:
    """A feature in words and the unit it is in."""
    unit = FEATURE_UNITS.get(feature, "")
    if unit.lower().startswith(name(feature).lower()):  # F1 against labels, 0-1
        return unit
    return f"{name(feature)} ({unit})" if unit else name(feature)
