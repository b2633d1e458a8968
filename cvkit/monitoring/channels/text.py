"""What all renderings share: the lines of a notice, in one order, and how numbers, times and doubtful letters look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from cvkit.config.alerts import SEVERITIES
from cvkit.monitoring.messages import Event, Message, Notice, again, clean, moment

EVENTS: Mapping[Event, str] = {
    "fired": "new",
    "worsened": "worse than before",
    "repeated": "still there",
    "resolved": "over",
    "test": "test",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One labelled line of a notice: every rendering shows all of them."""

    label: str
    text: str


def lines(notice: Notice) -> tuple[Line, ...]:
    """All that a notice says, but for its title: no rendering adds a field, so that none can lose one."""
    n = notice
    said = {
        "What happened": n.what,
        "Measured": measured(n),
        "Expected": n.expected,
        "Window": f"{moment(n.window_start)} to {moment(n.window_end)}",
        "Images it is from": f"{n.n:,}",
        "Source": n.source or "all: the model as a whole",
        "Since": moment(n.since),
        "Until": moment(n.until) if n.until else "not over",
        "Likely cause": n.cause,
        "Evidence": "\n".join(n.details),
        "What to do": n.todo,
        "Runbook": n.runbook,
        "Report": n.report,
        "Acknowledge": n.acknowledge,
        "Owner": n.owner,
        "State": f"{EVENTS[n.event]}, {n.severity}",
        "Looked at": n.metric,
        "Came back": again(n.returns),
        "Model": n.model,
        "Version": n.version,
        "Rule": n.rule,
        "Fingerprint": n.fingerprint,
    }
    return tuple(Line(label, clean(text) or "none") for label, text in said.items())


def measured(notice: Notice) -> str:
    """The value with its unit and interval."""
    if notice.value is None:
        return "no number"
    unit = f" {notice.unit}" if notice.unit else ""
    if notice.low is None or notice.high is None:
        return f"{number(notice.value)}{unit}, no interval"
    return f"{number(notice.value)}{unit} (95 % interval {number(notice.low)} to {number(notice.high)})"


def number(value: float) -> str:
    """A number as people read it: four digits.

    >>> number(0.0123456), number(123456.7), number(-3.0), number(1e-7)
    ('0.01235', '123,457', '-3', '1e-07')
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def headline(notice: Notice) -> str:
    """One line that says how bad it is, whether it is new, and what it is."""
    state = EVENTS[notice.event]
    word = state if notice.event in ("resolved", "test") else f"{notice.severity}, {state}"
    return f"[{word}] {one_line(notice.title)}"


def ordered(message: Message) -> tuple[Notice, ...]:
    """The notices, those that last before those that are over, the worst first."""
    return tuple(sorted(message.notices, key=lambda one: (one.event == "resolved", -SEVERITIES.index(one.severity))))


def subject(message: Message) -> str:
    """The worst notice's headline, and how many more there are."""
    more = len(message.notices) - 1
    return headline(ordered(message)[0]) + (f" (and {more} more)" if more else "")


def plain(message: Message) -> str:
    """The message as plain text."""
    return "\n\n".join([*(_paragraph(notice) for notice in ordered(message)), footer(message)]) + "\n"


def footer(message: Message) -> str:
    """The line below all notices: who sent this, when it was made, and its name."""
    return f"Sent by cvkit, made {moment(message.made)}, message {one_line(message.id)}"


def _paragraph(notice: Notice) -> str:
    return "\n".join([headline(notice), *(f"{line.label}: {_indented(line.text)}" for line in lines(notice))])


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def one_line(text: str) -> str:
    r"""`text`, clean, on one line.

    >>> one_line("two\nlines ")
    'two lines'
    """
    return " ".join(clean(text).split())


def shorten(text: str, limit: int, size: Callable[[str], int] = len) -> str:
    """`text`, or what `size` allows of it, saying how much is left out.

    >>> shorten("abcdefghijklmnopqrstuvwxyz and so on and on", 40)
    'abcdefghijk ... [32 characters left out]'
    """
    if size(text) <= limit:
        return text
    low, high = 0, len(text)  # the longest beginning that fits with its note: more letters are never shorter
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(_cut(text, middle)) <= limit else (low, middle - 1)
    return _cut(text, low)


def _cut(text: str, kept: int) -> str:
    return f"{text[:kept].rstrip()} ... [{len(text) - kept} characters left out]"


def is_address(text: str) -> bool:
    """Whether a report or runbook is an address that can be clicked.

    >>> is_address("https://a.example/x"), is_address("/srv/x.html"), is_address("javascript:alert(1)")
    (True, False, False)
    """
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0  # a port above 65535 is a ValueError
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and named and text.isprintable() and " " not in text
