"""Values: what a setting may be, and the words for one that it may not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cvkit.tables import FEATURE_UNITS, FINDING_WORDS


class Section(BaseModel):
    """A part of `cvkit.yml`: its keys are known, its values of the right type, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def nearest(word: str, words: Sequence[str]) -> str:
    """The word of `words` that was probably meant, as an addition to an error; "" where none is near."""
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else ""


MACHINES_OWN = ("localtime", "posixrules")  # files that some systems have among the zones


class UnfitError(ValueError):
    """A value that may not be: what is expected, and why what was found is not that."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected)
        self.found = found


ZONE = "an IANA time zone such as Europe/Berlin"


def _time_zone(name: str) -> str:
    if name in MACHINES_OWN:
        raise UnfitError(ZONE, "it is another zone on each machine")
    if name not in available_timezones():
        raise UnfitError(ZONE, f"no such zone is known{nearest(name, sorted(available_timezones()))}")
    return name


# Values of each field: a longer step meets the first of them alone, so that `*/90` is each hour, not each 90 minutes.
CRON_FIELDS = {"minutes": 60, "hours": 24, "days": 31, "months": 12, "weekdays": 7}


def _cron(expression: str) -> str:
    from datetime import datetime

    from cronsim import CronSim, CronSimError

    try:
        if len(expression.split()) != 5:
            raise CronSimError("not five fields")
        CronSim(expression, datetime(2026, 1, 1))
        for field, (unit, there) in zip(expression.split(), CRON_FIELDS.items(), strict=True):
            if far := [step for step in re.findall(r"/(\d+)", field) if int(step) > there]:
                raise CronSimError(f"a step of {far[0]}, and no more than {there} {unit} to go through")
    except CronSimError as error:
        raise UnfitError("a cron expression, five fields such as '0 6 * * *' for 06:00 every day", str(error)) from None
    return expression


def _plain(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that can be written into any file: of Unicode, on one line."""
    for name in names:
        if any(letter in name for letter in "\r\n\0") or name.encode("utf-8", "replace").decode() != name:
            raise ValueError(f"names of one line in Unicode, but not {name!r}")
    return names


def once(names: tuple[Any, ...]) -> tuple[Any, ...]:
    """`names`, of which each may come once."""
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"each name once, but `{repeated[0]}` comes {names.count(repeated[0])} times")
    return names


def _measured(names: tuple[str, ...]) -> tuple[str, ...]:
    known = [*FEATURE_UNITS, *FINDING_WORDS, "images"]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"names of features or findings; there is no `{unknown[0]}`{nearest(unknown[0], known)}")
    return names


TimeZone = Annotated[str, AfterValidator(_time_zone)]
Cron = Annotated[str, AfterValidator(_cron)]
Names = Annotated[
    tuple[str, ...], Field(strict=False), AfterValidator(_plain), AfterValidator(once)
]  # YAML has lists only
Ignored = Annotated[Names, AfterValidator(_measured)]
Matched = Annotated[
    tuple[Literal["hour", "weekday", "mode", "file_format", "width", "height"], ...],
    Field(strict=False),
    AfterValidator(once),
]
Share = Annotated[float, Field(ge=0, le=1)]
