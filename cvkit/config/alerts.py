"""The section `alerts` of `cvkit.yml`: what raises an alert, and who is told on which channel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from cvkit.addresses import is_loopback
from cvkit.config.values import Names, Section, nearest
from cvkit.tables import COUNTED_FINDINGS, FINDING_WORDS, OWN, WATCHED

Severity = Literal["info", "warning", "critical"]  # in rising order
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
GROUPS = ("any", "data", "drift", "quality", "performance")  # of verdicts, for rules on a state
_DRIFT = ("mean", "ks", "psi", "wasserstein", "jensen_shannon")
STATISTICS: Mapping[
    str, tuple[str, ...]
] = {  # of each metric that cvkit measures; the first is meant where none is named
    **dict.fromkeys(WATCHED, _DRIFT),
    "class_mix": ("chi_square",),
    "embedding": ("embedding_shift",),
    **{name: ("count",) if name in COUNTED_FINDINGS else ("share",) for name in FINDING_WORDS},
    "images": ("count",),
    "performance": ("f1", "precision", "recall", "ap", "ap50", "coverage", "lag", "weighted", "returned", "selection"),
    "estimate": ("ap", "precision", "recall"),
    "class_boxes": ("mean",),
    "class_confidence": ("mean",),
}
OF_CLASSES = ("class_boxes", "class_confidence")  # metrics that are measured of each class
# Statistics that have a value in the reference, of which others differ; the rest are distances from it.
COMPARED = ("mean", "share", "count", "f1", "precision", "recall", "ap", "ap50")
OWN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")  # of a number of people's own
EVIDENTLY = ("evidently_ks", "evidently_psi", "evidently_jensen_shannon", "evidently_out_of_range")


def default_statistic(feature: str) -> str:
    """The statistic of a feature that a rule means which names none.

    >>> default_statistic("brightness"), default_statistic("blurred"), default_statistic("embedding")
    ('mean', 'share', 'embedding_shift')
    """
    return STATISTICS.get(feature, ("",))[0]  # groups of verdicts and runs have none


def _metric(name: str) -> str:
    feature, dot, statistic = name.partition(".")
    if not dot and feature in (*GROUPS, "runs"):
        return name
    if feature == OWN:
        return _own(statistic, name)
    if feature not in STATISTICS:
        known = (*GROUPS, "runs", OWN, *STATISTICS)
        raise ValueError(f"a feature, a finding or a group; there is no metric `{name}`{nearest(feature, known)}")
    known = (*STATISTICS[feature], *EVIDENTLY)
    if dot and statistic not in known:
        near = nearest(statistic, known)
        raise ValueError(f"a statistic of {feature}, {' or '.join(known)}; there is no `{statistic}`{near}")
    return name


def _own(statistic: str, name: str) -> str:
    if not OWN_NAME.fullmatch(statistic):
        raise ValueError(f"{OWN}.NAME, with lower case letters, digits and _ in the name of your number")
    return name


def _secret(text: str) -> str:
    kind, _, rest = text.partition(":")
    if text and not (kind == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest)) and not (kind == "file" and rest):
        raise ValueError("where the secret lies, never the secret itself: env:NAME_OF_A_VARIABLE or file:/PATH")
    if kind == "file" and not PurePath(rest).is_absolute() and not rest.startswith("~/"):
        raise ValueError("the whole path, such as file:/run/secrets/slack: cvkit is not always started in one folder")
    return text


def _address(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or " " in url):
        raise ValueError("an address that begins with http:// or https://")
    if parts.username or parts.password:
        raise ValueError("an address without name and password: these go into `secret`")
    return url


Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Metric = Annotated[str, AfterValidator(_metric)]
Secret = Annotated[str, AfterValidator(_secret)]
Address = Annotated[str, AfterValidator(_address)]


class AlertRule(Section):
    """A condition that raises an alert for every source that meets it."""

    model_config = ConfigDict(populate_by_name=True)

    name: Slug = Field(description="Lower case, words joined by dashes; one of a default rule takes its place.")
    metric: Metric = Field(
        description="any, data, drift, quality, performance, runs; a feature; FEATURE.STATISTIC; own.NAME."
    )
    state: Literal["", "unknown", "warning", "critical"] = Field(
        "", description="Fires where cvkit's verdict is this, or worse; warning and critical are never unknown."
    )
    above: float | None = Field(None, description="Fires above this value.")
    below: float | None = Field(None, description="Fires below this value.")
    change: float | None = Field(
        None, gt=0, description="Fires where the value differs by this share of what the reference had, 0.2 = 20 %."
    )
    missing: bool = Field(False, description="Fires where there is no value, such as a source that sent no image.")
    sure: bool = Field(True, description="Of a value with an interval all of it must lie beyond the limit.")
    sources: Names = Field((), description="Only sources that match one of these, e.g. cam-*; empty: all.")
    classes: Names = Field((), description="Only classes that match one of these, for metrics of classes; empty: all.")
    for_windows: int = Field(1, ge=1, le=60, alias="for", description="Windows in a row that must meet it.")
    severity: Literal["", "info", "warning", "critical"] = Field(
        "", description="Empty: that of the verdict, or warning where the rule looks at a number."
    )
    owner: str = Field("", max_length=200, description="Who has to act.")
    runbook: str = Field("", max_length=500, description="Page that says what to do: an address, or one of the site.")
    message: str = Field("", max_length=500, description="What to say first, in place of cvkit's own words.")
    inhibits: bool = Field(False, description="While it fires for a source, that source's other alerts are not sent.")
    enabled: bool = Field(True, description="Whether it is looked at.")

    @model_validator(mode="after")
    def _one_condition(self) -> AlertRule:
        given = [name for name in ("state", "above", "below", "change", "missing") if self.asks(name)]
        if given not in (["state"], ["missing"], ["change"], ["above"], ["below"], ["above", "below"]):
            raise ValueError("one condition: state, above, below, above and below, change, or missing")
        if given == ["above", "below"] and self.above < self.below:  # type: ignore[operator]
            raise ValueError("above not lower than below: it fires outside of the two")
        group = self.metric in GROUPS
        if group != (given == ["state"]) and not (given == ["state"] and "." not in self.metric):
            raise ValueError("`state` for any, data, drift, quality and performance; for numbers another condition")
        if self.metric == "runs" and (given != ["missing"] or self.sources):
            raise ValueError("only `missing: true` for runs, of no source: it fires where a window was not measured")
        if self.classes and self.feature not in OF_CLASSES:
            raise ValueError(f"`classes` only for metrics of classes, {' and '.join(OF_CLASSES)}")
        if self.change is not None and self.statistic not in COMPARED and self.feature != OWN:
            raise ValueError(f"`above` or `below` for {self.statistic}: it is how far the reference is, not a value")
        return self

    def asks(self, condition: str) -> bool:
        """Whether `condition` is given."""
        given = getattr(self, condition)
        return given is not None and given is not False and given != ""

    @property
    def feature(self) -> str:
        """The feature that is looked at."""
        return self.metric.partition(".")[0]

    @property
    def statistic(self) -> str:
        """The statistic of it."""
        return self.metric.partition(".")[2] or default_statistic(self.feature)

    def of_source(self, source: str) -> bool:
        """Whether the rule is about this source."""
        return matches(source, self.sources)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether `name` matches one of `patterns` (`*`, `?`, `[...]`), or there are none."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


NEEDED = {
    "slack": ("secret",),
    "email": ("host", "sender", "to"),
    "webhook": (),  # `url`, or `secret` where the address itself is one
    "alertmanager": ("url",),
    "apprise": ("secret",),
}


class Channel(Section):
    """A way to a person, and which alerts go there."""

    name: Slug = Field(description="Lower case, words joined by dashes.")
    kind: Literal["slack", "email", "webhook", "alertmanager", "apprise"] = Field(
        description="slack, email, webhook, alertmanager, or apprise for all others."
    )
    secret: Secret = Field(
        "",
        description="Where the secret lies, env:NAME or file:/PATH: Slack's webhook address, the mail server's"
        " password, a bearer token, Apprise's addresses; a webhook's address where `url` is empty.",
    )
    url: Address = Field("", description="Address of a webhook, or of Alertmanager; without secrets in it.")
    host: str = Field("", description="Mail server.")
    port: int = Field(0, ge=0, le=65535, description="Its port; 0: the usual one, 587, 465 with tls, 25 with none.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the way to it is protected; none: only without a log-in, or on this machine."
    )
    user: str = Field("", description="Name to log in with; empty: no log-in, or a bearer token for addresses.")
    sender: str = Field("", description="Address mail comes from.")
    to: Names = Field((), description="Addresses mail goes to.")
    at_least: Severity = Field("info", description="Only alerts of this severity or worse.")
    sources: Names = Field((), description="Only alerts of sources that match one of these; empty: all.")
    rules: Names = Field((), description="Only alerts of rules that match one of these; empty: all.")
    resolved: bool = Field(True, description="Whether it is told too that an alert is over.")
    timeout_s: float = Field(10.0, gt=0, le=120, description="Seconds one attempt may take.")
    lasts_hours: float = Field(
        72.0, gt=0, le=9000, description="Alertmanager: hours after which an alert ends there if cvkit is not heard."
    )

    @model_validator(mode="after")
    def _complete(self) -> Channel:
        lacking = [name for name in NEEDED[self.kind] if not getattr(self, name)]
        if lacking:
            raise ValueError(f"`{lacking[0]}` for a channel of kind {self.kind}")
        if self.kind == "webhook" and not (self.url or self.secret):
            raise ValueError("`url` for a channel of kind webhook, or `secret` where the address itself is secret")
        if self.user and not self.secret:
            raise ValueError("`secret` beside `user`: where the password lies")
        if self.kind == "email" and self.secret and not self.user:
            raise ValueError("`user` beside `secret`: the name to log in with")
        return self

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> Channel:
        mail = self.kind == "email" and self.security == "none" and self.user and not is_loopback(self.host)
        if mail or (self.secret and urlsplit(self.url).scheme == "http" and not is_loopback(self.url)):
            raise ValueError("a secret is not sent in the clear: https://, or `security: starttls` or `tls`")
        return self

    def wants(self, source: str, rule: str, severity: Severity) -> bool:
        """Whether an alert is for this channel."""
        loud = SEVERITIES.index(severity) >= SEVERITIES.index(self.at_least)
        return loud and matches(source, self.sources) and matches(rule, self.rules)


DEFAULT_RULES: tuple[AlertRule, ...] = (
    AlertRule(name="no-images", metric="images", missing=True, severity="critical", inhibits=True),
    AlertRule(name="not-measured", metric="runs", missing=True, severity="critical"),
    AlertRule(name="model-worse", metric="performance", state="warning"),
    AlertRule(name="drift", metric="drift", state="warning"),
    AlertRule(name="bad-images", metric="quality", state="warning"),
    AlertRule(name="not-judged", metric="data", state="unknown", severity="info", for_windows=3),
)  # fmt: skip


def _distinct(items: tuple[AlertRule | Channel, ...]) -> tuple[AlertRule | Channel, ...]:
    names = [item.name for item in items]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"each name once, but `{repeated[0]}` comes {names.count(repeated[0])} times")
    return items


class AlertSettings(Section):
    """Which alerts are raised, how often they are repeated, and where they go."""

    rules: Annotated[tuple[AlertRule, ...], Field(strict=False), AfterValidator(_distinct)] = Field(
        (), description="Rules of your own; see docs/how-to/alerts.md. Default ones stand behind them."
    )
    defaults: bool = Field(True, description="Whether cvkit's own rules hold too.")
    channels: Annotated[tuple[Channel, ...], Field(strict=False), AfterValidator(_distinct)] = Field(
        (), description="Where alerts are sent; see docs/how-to/channels.md."
    )
    repeat_hours: float = Field(24.0, ge=1, description="Hours after which an alert that still fires is sent again.")
    group_by: Literal["source", "rule", "all"] = Field("source", description="Alerts that share one message.")
    flap_windows: int = Field(
        7, ge=1, description="An alert that comes back within so many windows takes twice as long to be called over."
    )
    keep_trying_hours: float = Field(72.0, gt=0, description="Hours for which a message that fails is tried again.")
    site: Address = Field(
        "", description="Address of the published site, for links in messages; empty: paths of files."
    )

    @model_validator(mode="after")
    def _repeated_in_time(self) -> AlertSettings:
        short = [c.name for c in self.channels if c.kind == "alertmanager" and c.lasts_hours <= self.repeat_hours]
        if short:
            raise ValueError(f"`lasts_hours` of the channel {short[0]} above repeat_hours: else it ends by itself")
        return self

    @property
    def all_rules(self) -> tuple[AlertRule, ...]:
        """The rules that hold: the user's, and the default ones whose name none of them took."""
        own = {rule.name for rule in self.rules}
        default = tuple(rule for rule in DEFAULT_RULES if rule.name not in own) if self.defaults else ()
        return tuple(rule for rule in (*default, *self.rules) if rule.enabled)

    def rule(self, name: str) -> AlertRule | None:
        """The rule of this name, if it holds."""
        return next((rule for rule in self.all_rules if rule.name == name), None)
