"""What can go wrong, and the exit code each kind of failure ends a command with."""

from __future__ import annotations

import importlib.util

from cvkit.addresses import plain

DONE = 0
WINDOWS_FAILED = 4  # some windows or reports failed, all others are done
VERDICT_REACHED = 8  # `--fail-on` asked for a failure at this verdict
INCOMPLETE = 9  # a document misses something, or does not say what the records do
UNSOUND = 10  # `cvkit doctor` found something wrong
INTERRUPTED, TERMINATED = 130, 143  # by Ctrl-C, or an order to end: as shells count signals
OVERDUE = 12  # `cvkit status --overdue`: a job of the schedule did not run when it should have


class CvkitError(Exception):
    """Something the user can mend: what went wrong, what was expected, what was found, where, and what to do.

    The parts are kept apart so that a command line, a notebook and a web page can each lay them out. Addresses in them
    lose who asks and what follows `?`, wherever they come from.
    """

    exit_code = 1

    def __init__(self, problem: str, *, expected: str = "", found: str = "", where: str = "", remedy: str = "") -> None:
        told = (plain(str(text)) for text in (problem, expected, found, where, remedy))
        self.problem, self.expected, self.found, self.where, self.remedy = told
        parts = [("where", self.where), ("expected", self.expected), ("found", self.found), ("what to do", self.remedy)]
        super().__init__("\n".join([self.problem, *(f"  {name}: {text}" for name, text in parts if text)]))


class ConfigError(CvkitError):
    """`cvkit.yml` or the command line asks for something that cannot be."""

    exit_code = 2


def need(*packages: str, extra: str) -> None:
    """Raise ConfigError where packages are not installed that cvkit brings only with `cvkit[extra]`."""
    lacking = [name for name in packages if importlib.util.find_spec(name) is None]
    if lacking:
        raise ConfigError(
            f"not installed: {', '.join(lacking)}", expected=", ".join(packages), found="no such package",
            remedy=f"pip install 'cvkit[{extra}]'",
        )  # fmt: skip


class DataError(CvkitError):
    """Images, labels, predictions or weights are missing or of no use as a whole."""

    exit_code = 3


class ReportError(CvkitError):
    """A notebook did not run to its end."""

    exit_code = WINDOWS_FAILED


class BusyError(CvkitError):
    """Another run holds the workspace."""

    exit_code = 5


class StorageError(CvkitError):
    """The workspace cannot be written or its history cannot be read."""

    exit_code = 6


class EngineError(CvkitError):
    """The processes or machines that were to do the work do not start, or die again and again."""

    exit_code = 11


class DeliveryError(CvkitError):
    """A message did not reach its channel, or not all of it.

    `lasting`: a person must mend something first, such as a wrong token; what is not lasting may be over at the next
    try. `retry_after_s`: seconds the other side asks to be left alone for, or None where it names none. Its words hold
    no secret and no part of one.
    """

    exit_code = 7

    def __init__(
        self,
        problem: str,
        *,
        lasting: bool,
        retry_after_s: float | None = None,
        expected: str = "",
        found: str = "",
        where: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(problem, expected=expected, found=found, where=where, remedy=remedy)
        self.lasting, self.retry_after_s = lasting, retry_after_s
