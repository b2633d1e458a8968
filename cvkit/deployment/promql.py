"""PromQL: the alert rules of `cvkit.yml` as conditions on cvkit's metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from cvkit.config import AlertRule, Config
from cvkit.monitoring.prometheus import STATE_VALUES
from cvkit.slots import late_after, longest_pause, schedule_name
from cvkit.tables import LABEL_FEATURES, OWN

BY_SOURCE = "model, version, source"
BY_MODEL = "model"
SEVERITY_OF = {"unknown": "info", "critical": "critical"}  # of an alert, by its verdict's state
MISSED_WINDOWS = 2  # windows after the end of the newest that was measured: the next one had a window's time to be
LATE_SHARE = 24  # a condition has to last 1/24 of a window longer than windows in a row: a run may be a little late


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: `expression` has a value for every source all the time, and fires where it is beyond `limit`."""

    expression: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.expression} {self.sign} {self.limit:.12g}"


@dataclass(frozen=True, slots=True)
class Condition:
    """What makes one alert: any of its comparisons, for so long; `severity` is fixed."""

    rule: AlertRule
    severity: str
    comparisons: tuple[Comparison, ...]
    lasting: timedelta
    state: str = ""  # of a verdict, or worse

    @property
    def name(self) -> str:
        """Name of the alert: CamelCase."""
        return alert_name(self.rule.name)

    @property
    def query(self) -> str:
        """The condition as Prometheus alerts on it."""
        return (
            " or ".join(f"({one})" for one in self.comparisons)
            if len(self.comparisons) > 1
            else str(self.comparisons[0])
        )


def alert_name(rule: str) -> str:
    """Name of a rule's alert.

    >>> alert_name("no-images")
    'CvkitNoImages'
    """
    return "Cvkit" + "".join(word.capitalize() for word in rule.split("-"))


def conditions(config: Config) -> list[Condition]:
    """The conditions of all rules that hold: one a rule, or one a state where an alert is as severe as its verdict."""
    return [condition for rule in config.alerts.all_rules for condition in _of_rule(rule, config)]


def quoted(text: str) -> str:
    r"""A string of PromQL.

    >>> print(quoted('cam "1"'))
    "cam \"1\""
    """
    inside = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{inside}"'


def pattern(text: str) -> str:
    r"""A pattern of `cvkit.yml` (`*`, `?`, `[...]`) as a regular expression of RE2, to be matched as a whole.

    >>> print(pattern("cam-[0-9].*"))
    cam\-[0-9]\.(?s:.*)
    """
    out, at = "", 0
    while at < len(text):
        letter = text[at]
        end = _class_end(text, at) if letter == "[" else -1
        if end > 0:
            out += _class(text[at + 1 : end])
            at = end
        else:
            out += {"*": "(?s:.*)", "?": "(?s:.)"}.get(letter) or _literal(letter)
        at += 1
    return out


def matcher(label: str, patterns: tuple[str, ...]) -> str:
    """The part of a selector that keeps what matches one of `patterns`; "" where there are none."""
    if not patterns:
        return ""
    if not any(letter in one for one in patterns for letter in "*?[") and len(patterns) == 1:
        return f"{label}={quoted(patterns[0])}"
    return f"{label}=~{quoted('|'.join(pattern(one) for one in patterns))}"


def selector(metric: str, *matchers: str) -> str:
    """A metric with those of `matchers` that are not empty."""
    inside = ",".join(one for one in matchers if one)
    return f"{metric}{{{inside}}}" if inside else metric


def _of_rule(rule: AlertRule, config: Config) -> Iterator[Condition]:
    window, more = config.window_length, rule.for_windows - 1
    lasting = more * window + window / LATE_SHARE if more else timedelta()
    if rule.state == "warning" and not rule.severity:
        for state in ("warning", "critical"):
            yield Condition(rule, state, (_state(rule, config, state),), lasting, state)
    else:
        severity = rule.severity or SEVERITY_OF.get(rule.state, "warning")
        yield Condition(rule, severity, tuple(_comparisons(rule, config)), lasting, rule.state)


def _comparisons(rule: AlertRule, config: Config) -> Iterator[Comparison]:
    if rule.state:
        yield _state(rule, config, rule.state)
    elif rule.metric == "runs":
        yield _failed(config)
    elif rule.missing:
        yield _missing(rule, config)
    elif rule.change is not None:
        yield from _changed(rule, config)
    else:
        yield from _beyond(rule, config)


def _state(rule: AlertRule, config: Config, state: str) -> Comparison:
    """Verdicts of a group or a feature; what is judged by labels is of the group performance whatever its rule."""
    by_labels = "|".join(LABEL_FEATURES)
    group = {
        "any": (),
        "performance": (f'feature=~"{by_labels}"',),
        **{name: (f'rule="{name}"', f'feature!~"{by_labels}"') for name in ("data", "drift", "quality")},
    }.get(rule.metric, (f"feature={quoted(rule.feature)}",))
    verdicts = selector("cvkit_verdict_state", *_about(rule, config), *group)
    value = STATE_VALUES[state]
    if state == "unknown":  # one that is unknown is not less so for a worse one beside it
        return Comparison(f"max by ({BY_SOURCE}) ({verdicts} == bool {value})", ">=", 1)
    return Comparison(f"max by ({BY_SOURCE}) ({verdicts})", ">=", value)


def _failed(config: Config) -> Comparison:
    model = f"model={quoted(config.model.name)}"
    end = f"max by ({BY_MODEL}) ({selector('cvkit_window_end_timestamp_seconds', model)})"
    failed = f"max by ({BY_MODEL}) ({selector('cvkit_failed_window_end_timestamp_seconds', model)})"
    return Comparison(f"({failed} or {end}) - ({end} or 0 * {failed})", ">", 0)


def missed(config: Config) -> Comparison:
    """A run that did not come: windows have passed since the newest that was measured."""
    end = selector("cvkit_window_end_timestamp_seconds", f"model={quoted(config.model.name)}")
    limit = MISSED_WINDOWS * config.window_length.total_seconds()
    return Comparison(f"time() - max by ({BY_MODEL}) ({end})", ">", limit)


def slots_missed(config: Config) -> Iterator[str]:
    """For each job of the schedule: its newest slot that was done is older than any pause, or there is none."""
    for job in config.schedule:
        if (pause := longest_pause(job)) is not None:
            about = f"model={quoted(config.model.name)}", f"schedule={quoted(schedule_name(job))}"
            done = selector("cvkit_slot_done_timestamp_seconds", *about)
            limit = (pause + late_after(job)).total_seconds()
            yield f"(time() - max by ({BY_MODEL}, schedule) ({done}) > {limit:.12g}) or absent({done})"


def _missing(rule: AlertRule, config: Config) -> Comparison:
    images = selector("cvkit_measurement", *_about(rule, config), 'feature="images"', 'metric="count"')
    if (rule.feature, rule.statistic) == ("images", "count"):
        return Comparison(f"max by ({BY_SOURCE}) ({images})", "<=", 0)
    there = f"count by ({BY_SOURCE}) ({_measured('cvkit_measurement', rule, config)})"
    return Comparison(f"({there} or 0 * max by ({BY_SOURCE}) ({images} > 0))", "<=", 0)


def _beyond(rule: AlertRule, config: Config) -> Iterator[Comparison]:
    if rule.above is not None:
        yield Comparison(f"max by ({BY_SOURCE}) ({_near_end('low', rule, config)})", ">", rule.above)
    if rule.below is not None:
        yield Comparison(f"min by ({BY_SOURCE}) ({_near_end('high', rule, config)})", "<", rule.below)


def _changed(rule: AlertRule, config: Config) -> Iterator[Comparison]:
    expected = _measured("cvkit_measurement_expected", rule, config)
    for end, highest, sign in (("low", "max", ">"), ("high", "min", "<")):
        change = f"(({_near_end(end, rule, config)}) - {expected}) / abs({expected})"
        limit = float(rule.change or 0.0)
        yield Comparison(f"{highest} by ({BY_SOURCE}) ({change})", sign, -limit if sign == "<" else limit)


def _near_end(end: str, rule: AlertRule, config: Config) -> str:
    """The end of the interval that has to be beyond the limit; the value where there is none.

    Nothing where a mean or a share is from too few images.
    """
    value = _measured("cvkit_measurement", rule, config)
    known = f"({_measured(f'cvkit_measurement_{end}', rule, config)} or {value})" if rule.sure else value
    if rule.statistic not in ("mean", "share") and rule.feature != OWN:
        return known
    return f"{known} and {_measured('cvkit_measurement_values', rule, config)} >= {config.rules.minimum_images}"


def _measured(metric: str, rule: AlertRule, config: Config) -> str:
    names = f"feature={quoted(rule.feature)}", f"metric={quoted(rule.statistic)}"
    return selector(metric, *_about(rule, config), *names, matcher("class", rule.classes))


def _about(rule: AlertRule, config: Config) -> tuple[str, str]:
    return f"model={quoted(config.model.name)}", matcher("source", rule.sources)


def _literal(letter: str) -> str:
    return letter if letter.isalnum() or letter in " _" or ord(letter) > 127 else re.escape(letter)


def _class_end(text: str, start: int) -> int:
    """Where the class that opens at `start` closes; -1 where it does not, and the bracket stands for itself."""
    first = start + 1 + (text[start + 1 : start + 2] == "!")
    return text.find("]", first + 1)


def _class(inside: str) -> str:
    """A class of letters; a range the wrong way round holds nothing."""
    turned, inside = inside.startswith("!"), inside.removeprefix("!")
    parts, at = "", 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            first, last = inside[at], inside[at + 2]
            parts += f"{_in_class(first)}-{_in_class(last)}" if first <= last else ""
            at += 3
        else:
            parts += _in_class(inside[at])
            at += 1
    if not parts:
        return "(?s:.)" if turned else r"[^\x00-\x{10FFFF}]"
    return f"[{'^' if turned else ''}{parts}]"


def _in_class(letter: str) -> str:
    return letter if letter.isalnum() else f"\\x{{{ord(letter):X}}}"
