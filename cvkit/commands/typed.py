"""What is typed on a command line: types for argparse."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date
from typing import TypeVar

from cvkit.errors import ConfigError

Read = TypeVar("Read")


def count(text: str) -> int:
    """A whole number that is not negative, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def some(text: str) -> str:
    """Any words but none, as an unset variable of a shell gives, for argparse."""
    if not text.strip():
        raise argparse.ArgumentTypeError("nothing is named")
    return text


def source(text: str) -> str:
    r"""A source's name, for argparse: what is not UTF-8 in it quoted as in all tables (`cam\udcff`)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def port(text: str) -> int:
    """A port of this machine, for argparse."""
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: these are 1 to 65535")
    return int(text)


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def day(text: str) -> date:
    """A day, for argparse."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day, e.g. 2026-11-21") from None


def stretch(text: str) -> tuple[date, date]:
    """A stretch of days, the last of which does not belong to it, for argparse."""
    first, dots, last = text.partition("..")
    if not dots or day(first) >= day(last):
        raise argparse.ArgumentTypeError(f"{text!r} is no stretch of days, e.g. 2026-10-01..2026-11-01")
    return day(first), day(last)


def asked(read: Callable[[str], Read]) -> Callable[[str], Read]:
    """What `read` makes of a text, for argparse; `read` raises ConfigError where that cannot be."""

    def typed(text: str) -> Read:
        try:
            return read(text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not {error.expected}") from None

    return typed
