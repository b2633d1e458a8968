"""Messages: what an alert says, on every channel. `Message` is the schema: no channel may lose one of its fields."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from cvkit.config.alerts import SEVERITIES, Severity

# Letters that do something: control characters but for the end of a line, surrogates, and what turns text around.
ACTIVE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Event = Literal["fired", "worsened", "repeated", "resolved", "test"]


def clean(text: str) -> str:
    r"""`text` without letters that do something instead of being seen: they are spelled out.

    >>> print(clean("cam\x00-1\r\n\u202eabc"))
    cam\x00-1
    \u202eabc
    """
    return ACTIVE.sub(_spelled, text.replace("\r\n", "\n").replace("\t", " ").strip())


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def unicode(value: Any) -> Any:
    r"""Text that can be written anywhere: bytes that a file's name holds and are not Unicode are spelled out.

    >>> print(unicode("cam-\udcff"))
    cam-\udcff
    """
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


class Notice(BaseModel):
    """One alert in one message: what happened, what was expected, when, how sure it is, and what to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fingerprint: str = Field(description="The same for one model, source and rule, for ever; 16 hexadecimal digits.")
    event: Event = Field(description="Why it is told now.")
    model: str = Field(description="Name of the model.")
    version: str = Field(description="Its version.")
    source: str = Field(description="The camera, site or device; empty: the model as a whole.")
    rule: str = Field(description="Name of the rule.")
    severity: Severity
    title: str = Field(description="One line: which source, what is the matter.")
    what: str = Field(description="What happened, as a sentence.")
    metric: str = Field(description="What was looked at, e.g. brightness.mean; with the class, where it is of one.")
    value: float | None = Field(description="What was measured; null where there is no number.")
    low: float | None = Field(description="95 % interval of the value; null where there is none.")
    high: float | None
    unit: str = Field(description="Unit of the value; may be empty.")
    expected: str = Field(description="What was expected, in words with numbers.")
    window_start: AwareDatetime = Field(description="The newest window it was seen in, half-open, UTC.")
    window_end: AwareDatetime
    n: int = Field(description="Images the value is from.")
    since: AwareDatetime = Field(description="Start of the first window it was seen in.")
    until: AwareDatetime | None = Field(description="When it was over; null while it lasts.")
    returns: int = Field(description="How often it was over and came back within the time that `flap_windows` names.")
    cause: str = Field(description="The likely cause.")
    details: tuple[str, ...] = Field(description="Further evidence, a line each.")
    todo: str = Field(description="What to do first.")
    runbook: str = Field(description="Address or page that says more; may be empty.")
    report: str = Field(description="Address or file of the report.")
    acknowledge: str = Field(description="Command that acknowledges it.")
    owner: str = Field(description="Who has to act; may be empty.")

    @field_validator("*")
    @classmethod
    def _written(cls, value: Any) -> Any:
        return tuple(map(unicode, value)) if isinstance(value, tuple) else unicode(value)

    @field_validator("title", "what", "expected", "cause", "details", "todo", "owner")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """Words are for people, and hold names of any making; the names themselves stay what they are."""
        return tuple(map(clean, value)) if isinstance(value, tuple) else clean(value)


class Message(BaseModel):
    """What one channel is sent at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="Stays the same however often it is sent, so that a receiver can drop copies.")
    made: AwareDatetime
    notices: tuple[Notice, ...] = Field(min_length=1)

    @field_validator("id")
    @classmethod
    def _written(cls, value: Any) -> Any:
        return unicode(value)

    @property
    def severity(self) -> Severity:
        """The worst of the notices that are not over; of all where all are."""
        open_ones = [one.severity for one in self.notices if one.event != "resolved"]
        return max(open_ones or [one.severity for one in self.notices], key=SEVERITIES.index)

    @property
    def over(self) -> bool:
        """Whether it only tells what is over."""
        return all(one.event == "resolved" for one in self.notices)


def moment(time: datetime) -> str:
    """A time as messages show it.

    >>> moment(datetime.fromisoformat("2026-11-21T01:30:00+02:00"))
    '2026-11-20 23:30 UTC'
    """
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def again(returns: int) -> str:
    """How often an alert came back, in words.

    >>> again(0), again(1), again(3)
    ('never', 'once', '3 times')
    """
    return {0: "never", 1: "once"}.get(returns, f"{returns} times")


def test_message(channel: str, model: str, version: str, made: datetime | None = None) -> Message:  # noqa: PT028  # no test
    """A message that only says that `channel` works; made now if not told when."""
    made = made or datetime.now(UTC)
    name = sha256(f"test\0{channel}\0{model}\0{made.isoformat()}".encode()).hexdigest()
    notice = Notice(
        fingerprint=name[:16],
        event="test",
        model=model,
        version=version,
        source="",
        rule="test",
        severity="info",
        title=f"Test of the channel {channel}",
        what="Somebody asked cvkit to send a test message. Nothing is the matter with the model.",
        metric="none",
        value=None,
        low=None,
        high=None,
        unit="",
        expected="this message, once, with all of its lines",
        window_start=made,
        window_end=made,
        n=0,
        since=made,
        until=None,
        returns=0,
        cause="a test",
        details=(),
        todo="Nothing: alerts that are for this channel will arrive here.",
        runbook="",
        report="none: this is a test",
        acknowledge="none: this is a test",
        owner="",
    )
    return Message(id=f"test-{name[:24]}", made=made, notices=(notice,))


test_message.__test__ = False  # type: ignore[attr-defined]  # not one of pytest's
