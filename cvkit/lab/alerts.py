"""Alerts: which are open, what each is about, and what people do about them."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import ipywidgets
import pandas as pd

from cvkit import moments
from cvkit.commands.alerts import user
from cvkit.documentation.plots.style import shorten
from cvkit.errors import ConfigError, DataError
from cvkit.lab.part import Part, rows
from cvkit.monitoring import alert_actions, alert_text, alerts, conditions, notices, pages
from cvkit.monitoring.alert_store import Alert
from cvkit.tables import FEATURE_UNITS, SIGNS

HEADS = ("severity", "state", "source", "rule", "since", "by", "why")
LONGEST = 28  # letters of a cell of the list
SHOWN = (
    "fingerprint",
    "severity",
    "state",
    "source",
    "rule",
    "since",
    "until",
    "author",
    "why",
    "snoozed_until",
    "what",
)
LEFT_OUT = {"acknowledge", "source", "state"}  # the panel has buttons, and the list says it
NOTHING = {("over", "no"), ("came back", "never"), ("owner", "nobody named")}  # goes without saying
MOST_ROWS = 10  # of the list that are seen at once
MOST_LOGGED = 100  # newest lines of the log


class Alerts(Part):
    """The alerts of the workspace, the one that is chosen, and what is to be done about it."""

    title = "Alerts"

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """The list, what is known of the chosen alert, and the things that can be done."""
        self.everything = ipywidgets.Checkbox(description="also those that are over", indent=False)
        self.reread = ipywidgets.Button(description="Refresh", icon="refresh")
        self.heads, self.said = ipywidgets.HTML(), ipywidgets.HTML()
        self.list = ipywidgets.Select(rows=8, layout={"width": "auto"})
        self.list.add_class("cvkit-columns")
        self.known, self.course, self.rule = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self._seen: dict[str, Alert] = {}
        self._reading = False  # while the list is filled, nobody chooses
        self.on(self.everything, self.renew)
        self.on(self.reread, self._reread)
        self.on(self.list, self._choose)
        top = ipywidgets.HBox([self.everything, self.reread])
        self.below = ipywidgets.VBox([self.known, *self._make_actions(), self.course])
        return top, self.heads, self.list, self.said, self.below

    def _make_actions(self) -> tuple[ipywidgets.Widget, ...]:
        self.why = _field("Why", "a reason that colleagues will understand", "420px")
        self.by = _field("By", "who does it", "200px", user())
        self.until = _field("Until", "8h, 3d, 2w or 2026-12-01T06:00 (UTC)", "360px")
        self.change = _field("Change", "below=40, for=2; with why and until from above", "420px")
        buttons: dict[str, Callable[[], str]] = {
            "Show its window": self._look, "Acknowledge": self._acknowledge, "Snooze": self._snooze,
            "Disable": self._disable, "Enable": self._enable, "Change for a while": self._override,
            "End changes": self._end,
        }  # fmt: skip
        self.buttons = {name: ipywidgets.Button(description=name, layout={"width": "auto"}) for name in buttons}
        for name, do in buttons.items():
            self.on(self.buttons[name], lambda do=do: self._act(do))  # type: ignore[misc]
        first, rest = list(self.buttons.values())[:5], list(self.buttons.values())[5:]
        wrap = {"flex_flow": "row wrap"}
        return (ipywidgets.HBox([self.why, self.by, self.until], layout=wrap), ipywidgets.HBox(first, layout=wrap),
                self.rule, ipywidgets.HBox([self.change, *rest], layout=wrap))  # fmt: skip

    def renew(self) -> None:
        """Read the alerts anew: others work on them too."""
        found = alerts.table(self.desk.history, self.desk.config.model.name)
        if not self.everything.value:
            found = found[found["until"].isna()]
        rank = found["severity"].map(alert_text.RANK)
        found = found.assign(over=found["until"].notna(), rank=rank).sort_values(["over", "rank", "since", "source"])
        self.table = found[list(SHOWN)].reset_index(drop=True)
        lines = [_cells(row) for row in found.to_dict("records")]
        texts = _aligned([HEADS, *lines])
        names = [*zip(texts[1:], found["fingerprint"], strict=True)]
        chosen = self.list.value if self.list.value in set(found["fingerprint"]) else names[0][1] if names else None
        self._reading = True
        self.list.options = names
        self.list.rows = min(max(len(names), 2), MOST_ROWS)
        self.list.value = chosen
        self._reading = False
        self.heads.value = f'<pre class="cvkit-columns">{html.escape(texts[0])}</pre>' if names else ""
        self.list.layout.display = None if names else "none"
        self._show()

    def _reread(self) -> None:
        self.said.value = ""
        self.renew()

    def _choose(self) -> None:
        if not self._reading:
            self.said.value = ""
            self._show()

    def _show(self) -> None:
        """What is known of the chosen alert, and its log."""
        name, desk = self.list.value, self.desk
        self.below.layout.display = None if name else "none"
        if not name:
            none = "There was no alert yet." if self.everything.value else "No alert is open."
            self.heads.value = f"<p>{none}</p>"
            return
        alert = alert_actions.find(desk.config, desk.history, name)
        self._seen[name] = alert
        notice = alerts.notice(desk.config, desk.history, alert)
        lines = [line for line in alert_text.known(alert, notice) if line[0] not in LEFT_OUT and line not in NOTHING]
        steps = notices.procedure(alert, desk.config.alerts.rule(alert.rule))
        lines.append(("step by step", pages.runbook(desk.config, steps)))
        self.known.value = f"<h4>{html.escape(notice.title)}</h4>{_pairs(lines)}"
        self.rule.value = _rule(self, alert)
        log = alert_actions.log(desk.config, desk.history, name).tail(MOST_LOGGED).iloc[::-1]
        columns = ["time", "severity", "action", "author", "why", "until"]
        told = log[columns].assign(time=log["time"].map("{:%Y-%m-%d %H:%M:%S}".format), until=log["until"].map(_moment))
        self.course.value = f"<h4>What happened, newest first</h4>{rows(told)}"

    def _act(self, do: Callable[[], str]) -> None:
        """Do something about the chosen alert as it was shown, then read all anew; what was typed stays."""
        name, self.said.value = self.list.value, ""
        try:
            if not name:
                raise ConfigError("no alert is chosen", expected="one of the list", found="none")
            self._unchanged(name)
            said = do()
        finally:
            self.renew()
        self.said.value = f"<p>{html.escape(said)}</p>"

    def _unchanged(self, name: str) -> None:
        """Raise DataError where somebody else did something about the alert since it was shown."""
        shown, now = self._seen[name], alert_actions.find(self.desk.config, self.desk.history, name)
        if (shown.state, shown.changed, shown.until) != (now.state, now.changed, now.until):
            by = f" by {now.author}: {now.why}" if now.author else ""
            raise DataError(
                "this alert is not any more as it was shown", where=_name(now), expected=shown.state,
                found=f"{now.state}{by}", remedy="look at it again: nothing was done, what you typed is kept",
            )  # fmt: skip

    def _look(self) -> str:
        """Let the other parts show what the alert is about."""
        alert, desk = self._seen[self.list.value], self.desk
        window = next((one for one in desk.windows if one.start == alert.seen_start), None)
        if window is None:
            raise DataError("this window is not among those that were measured", found=_moment(alert.seen_start))
        feature = str(alert.facts.get("feature"))
        if feature in FEATURE_UNITS:
            desk.feature = feature
        desk.source = alert.source if alert.source in desk.sources else ""
        desk.window = window
        return f"The other parts show {alert.source or 'all sources'} in {window}."

    def _acknowledge(self) -> str:
        found = alert_actions.acknowledge(*self._about, author=self.by.value, why=self.why.value)
        return f"{_name(found)} is acknowledged by {found.author}."

    def _snooze(self) -> str:
        until = moments.end(self.until.value, datetime.now(UTC))
        found = alert_actions.snooze(*self._about, author=self.by.value, why=self.why.value, until=until)
        return f"{_name(found)} is snoozed until {_moment(until)}, or until it gets worse."

    def _disable(self) -> str:
        found = alert_actions.disable(*self._about, author=self.by.value, why=self.why.value)
        return f"{_name(found)} is disabled until somebody enables it."

    def _enable(self) -> str:
        found = alert_actions.enable(*self._about, author=self.by.value, why=self.why.value)
        return f"{_name(found)} is {'firing, and told again' if found.open else 'enabled, and does not fire'}."

    def _override(self) -> str:
        texts = [text.strip() for text in self.change.value.split(",") if text.strip()]
        if not texts:
            raise ConfigError("what shall be changed?", expected="NAME=VALUE, such as below=40", found="nothing")
        changes = dict(map(alert_actions.setting, texts))
        config, history, _ = self._about
        rule, until = self._seen[self.list.value].rule, moments.end(self.until.value, datetime.now(UTC))
        made = alert_actions.override(
            config, history, rule, changes, author=self.by.value, why=self.why.value, until=until
        )
        words = f"{made.rule}: {alert_actions.written(changes)} until {_moment(until)}"
        return f"{words}, from the next run on."

    def _end(self) -> str:
        config, history, _ = self._about
        rule = self._seen[self.list.value].rule
        ended = alert_actions.end_overrides(config, history, rule, author=self.by.value)
        return f"{alert_text.count(ended, 'change')} of {rule} ended."

    @property
    def _about(self) -> tuple[Any, Any, str]:
        return self.desk.config, self.desk.history, self.list.value


def _field(words: str, example: str, width: str, value: str = "") -> ipywidgets.Text:
    style = {"description_width": "60px"}
    return ipywidgets.Text(value, description=words, placeholder=example, layout={"width": width}, style=style)


def _cells(row: dict[Any, Any]) -> tuple[str, ...]:
    """An alert as a line of the list: a sign and words."""
    sign = SIGNS["ok"] if not pd.isna(row["until"]) else SIGNS.get(str(row["severity"]), SIGNS["unknown"])
    state = "over" if not pd.isna(row["until"]) and row["state"] == "resolved" else str(row["state"])
    state += " (held back: outage)" if row["inhibited"] and state == "firing" else ""
    return (f"{sign} {row['severity']}", state, str(row["source"]) or "(model)", str(row["rule"]),
            f"{row['since']:%Y-%m-%d}", str(row["author"]), str(row["why"]))  # fmt: skip


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines whose cells stand below each other, with spaces that browsers keep."""
    cells = [[shorten(alert_text.shown(cell), LONGEST) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return [text.rstrip().replace(" ", "\N{NO-BREAK SPACE}") for text in texts]


def _rule(part: Alerts, alert: Alert) -> str:
    """The rule as a sentence, and the changes of it that hold now."""
    config, history = part.desk.config, part.desk.history
    rule = config.alerts.rule(alert.rule)
    words = conditions.explain(rule) if rule else f"{alert.rule}: this rule is gone from cvkit.yml"
    held = [f"{alert_actions.written(one.changes)} until {_moment(one.until)}, by {one.author}: {one.why}"
            for one in alert_actions.overrides(config, history, alert.rule)]  # fmt: skip
    listed = "".join(f"<li>{html.escape(one)}</li>" for one in held)
    return f"<h4>The rule</h4><p>{html.escape(words)}</p>" + (
        f"<p>Changed for a while:</p><ul>{listed}</ul>" if held else ""
    )


def _pairs(lines: Sequence[tuple[str, str]]) -> str:
    def table(rows: Sequence[tuple[str, str]]) -> str:
        cells = (f"<tr><th>{html.escape(name)}</th><td>{_linked(text)}</td></tr>" for name, text in rows)
        return f'<table class="cvkit-pairs">{"".join(cells)}</table>'

    also = [text for name, text in lines if name == "also"]
    items = "".join(f"<li>{html.escape(text)}</li>" for text in also)
    more = f"<details><summary>{len(also)} more of this source</summary><ul>{items}</ul></details>" if also else ""
    return table([line for line in lines if line[0] != "also"]) + more


def _linked(text: str) -> str:
    """Text as HTML; an address of the site, or another that a rule names, can be followed."""
    shown = html.escape(text)
    if text.startswith(("http://", "https://")) and " " not in text:
        return f'<a href="{shown}" target="_blank" rel="noopener noreferrer">{shown}</a>'
    return shown


def _moment(moment: Any) -> str:
    return "" if pd.isna(moment) else f"{moment:%Y-%m-%d %H:%M} UTC"


def _name(alert: Alert) -> str:
    return alert_text.named(alert.rule, alert.source)
