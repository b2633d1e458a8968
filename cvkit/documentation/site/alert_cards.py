"""The status page's alerts: what is open, how it stands, and the command that does something about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from cvkit.config import Config
from cvkit.documentation.site.report_pages import Link, Report
from cvkit.documentation.site.trends import light
from cvkit.monitoring import alerts, notices, outbox, pages
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.history import History
from cvkit.monitoring.messages import again

MOST_SHOWN = 8  # the others are a click away
QUIET_ACTIONS = {"acknowledged": "enable", "disabled": "enable"}  # what can be done about them; else `ack`
ACTION_WORDS = {"ack": "acknowledge", "enable": "have it told again"}


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is open, its report's page below the site ("" where there is none), and a command."""

    alert: Alert
    report: str
    procedure: str  # address of the page that says what to do
    action: str  # a key of ACTION_WORDS
    command: str


@dataclass(frozen=True, slots=True)
class Alarms:
    """What the page says of alerts."""

    open: tuple[OpenAlert, ...] = ()  # the most urgent first
    unsent: tuple[tuple[str, str, int, str], ...] = ()  # as `outbox.unsent` gives them
    channels: int = 0  # that messages go to


def read(config: Config, history: History, reports: Sequence[Report]) -> Alarms:
    """What the history knows of alerts; nothing is raised, ended or sent by looking."""
    found = [_open(config, alert, reports) for alert in alerts.standing(history, config.model.name)]
    return Alarms(tuple(found), tuple(outbox.unsent(config, history)), len(config.alerts.channels))


def _open(config: Config, alert: Alert, reports: Sequence[Report]) -> OpenAlert:
    action = QUIET_ACTIONS.get(alert.state, "ack")
    rule = config.alerts.rule(alert.rule)
    notebook, page = notices.notebook_of(alert, rule), notices.procedure(alert, rule)
    found = {
        one.source: one.address
        for one in reports
        if one.notebook == notebook and (one.window.start, one.window.end) == (alert.seen_start, alert.seen_end)
    }
    report = found.get(alert.source) or found.get("", "")
    return OpenAlert(alert, report, page, action, notices.command(config, alert.fingerprint, action))


def render(alarms: Alarms, link: Link) -> str:
    """The section of the page."""
    cards = _together(alarms.open)
    rows = [_row(card, link) for card in cards]
    listed = f'<div class="cvkit-alerts">{"".join(rows[:MOST_SHOWN])}</div>' if rows else ""
    if others := sum(map(len, cards[MOST_SHOWN:])):
        many = f"{others} more alert{'s' * (others != 1)}"
        listed += f'<details class="cvkit-more"><summary>{many}</summary>{"".join(rows[MOST_SHOWN:])}</details>'
    return f'<h2 id="alerts">Alerts</h2><p class="cvkit-quiet">{_count(alarms)}</p>{_undelivered(alarms)}{listed}'


def _count(alarms: Alarms) -> str:
    many = len(alarms.open)
    how = Counter("held back" if _held_back(one.alert) else one.alert.state for one in alarms.open)
    words = f"{many} alert{'s are' if many > 1 else ' is'} open: {_joined(how)}." if many else "No alert is open."
    return words if alarms.channels else f"{words} No channel is set up, so nobody is sent a message."


def _joined(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _undelivered(alarms: Alarms) -> str:
    return "".join(map(_unsent, alarms.unsent))


def _unsent(row: tuple[str, str, int, str]) -> str:
    channel, status, n, error = row
    words = f"{n} message{'s' * (n != 1)} to {channel} {status}: {' '.join(error.split())}"
    return f'<p class="cvkit-unsent cvkit-warning">{light("warning")}<span>{escape(words)}</span></p>'


def _together(found: Sequence[OpenAlert]) -> list[list[OpenAlert]]:
    """Alerts by card, in their order: several rules' that say the same of a source, and stand alike, share one."""
    cards: dict[tuple[object, ...], list[OpenAlert]] = {}
    for one in found:
        alert = one.alert
        same = alert.source, _cause(alert), alert.severity, alert.since, _state(alert)
        cards.setdefault((*same, one.procedure, one.action), []).append(one)
    return list(cards.values())


def _rules(card: Sequence[OpenAlert]) -> str:
    back = {one.alert.rule: f" (came back {again(one.alert.returns)})" for one in card if one.alert.returns}
    names = [escape(one.alert.rule) + (back.get(one.alert.rule, "") if len(card) > 1 else "") for one in card]
    return f"rule{'s' * (len(card) > 1)} {' and '.join(names)}"


def _cause(alert: Alert) -> str:
    return escape(notices.matter(alert) or str(alert.facts.get("reason") or alert.rule))


def _row(card: Sequence[OpenAlert], link: Link) -> str:
    one, alert = card[0], card[0].alert
    told = [_rules(card), f"since {_moment(alert.since)}", _state(alert)]
    told += [f"came back {again(alert.returns)}"] if alert.returns and len(card) == 1 else []
    for report in dict.fromkeys(each.report for each in card if each.report):
        about = " and ".join(escape(each.alert.rule) for each in card if each.report == report)
        name = f"report ({about})" if len(card) > 1 else "report"
        told.append(f'<a href="{escape(link(report))}">{name}</a>')
    told.append(what_to_do(one, link))
    commands = "\n".join(escape(each.command) for each in card)
    badge = f'<span class="cvkit-badge cvkit-{alert.severity}">{light(alert.severity)}{alert.severity}</span>'
    command = (
        f'<details><summary>{ACTION_WORDS[one.action]}</summary><pre class="cvkit-command" tabindex="0"><code>'
        f"{commands}</code></pre></details>"
    )
    return (
        f'<article class="cvkit-alert cvkit-{alert.severity}">{badge}<div><p class="cvkit-cause">'
        f"<b>{escape(alert.source) or '(the model)'}</b>: {_cause(alert)}</p>"
        f'<p class="cvkit-quiet">{" · ".join(told)}</p>{command}</div></article>'
    )


def what_to_do(one: OpenAlert, link: Link) -> str:
    """The link to the page that says so."""
    name, anchor = pages.named(one.procedure)
    elsewhere = one.procedure.startswith(("http://", "https://"))
    return f'<a href="{escape(one.procedure if elsewhere else link(name) + anchor)}">what to do</a>'


def _state(alert: Alert) -> str:
    """How it stands, in words: who took it on, and why."""
    if _held_back(alert):
        return "held back: the outage of its source is told"
    words: str = alert.state
    if alert.state == "snoozed" and alert.snoozed_until is not None:
        words += f" until {_moment(alert.snoozed_until)}"
    words += f" by {escape(alert.author)}" if alert.author else ""
    return f"{words}: {escape(alert.why)}" if alert.why else words


def _held_back(alert: Alert) -> bool:
    return alert.inhibited and alert.state == "firing"


def _moment(time: datetime) -> str:
    clock = "" if (time.hour, time.minute) == (0, 0) else f" {time:%H:%M} UTC"
    return f"{time.day} {time:%b %Y}{clock}"
