"""The parser of the command line: a slip of the finger is answered with what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

CHOICE = re.compile(r"invalid choice: '(.+?)' \(choose from (.+)\)")


class Parser(argparse.ArgumentParser):
    """As argparse's, but each command says itself what it does not know, with its own usage."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse all there is; exits where something is not known."""
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            names = [name for action in self._actions for name in action.option_strings]
            self.error(f"unrecognized arguments: {' '.join(rest)}{_meant(rest[0].partition('=')[0], names)}")
        return known, rest

    def error(self, message: str) -> NoReturn:
        """Exit with the usage and the message."""
        if found := CHOICE.search(message):
            message += _meant(found[1], [name.strip("' ") for name in found[2].split(",")])
        super().error(message)


def _meant(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
