"""Thresholds: what other rules would have raised in the past, before anybody lives with them."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Generator
from functools import partial
from typing import Any

import ipywidgets
import pandas as pd

from cvkit.documentation import plots
from cvkit.documentation.plots.alarm_lines import rows_of
from cvkit.errors import DataError
from cvkit.lab import places
from cvkit.lab.part import Part, later, rows
from cvkit.lab.widgets import Picture
from cvkit.monitoring import backtest, identity
from cvkit.monitoring.alarms import Key
from cvkit.monitoring.entries import State
from cvkit.monitoring.replay import Replay
from cvkit.tables import Window

BUDGETS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 12.0, 26.0, 52.0)  # false alarms a year
SIZES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)  # reference standard deviations
AT_ONCE_S = 0.15  # what takes longer is worked out bit by bit, so that the kernel stays at hand
MEANS = (
    "A larger budget finds changes sooner and raises more false alarms; a larger size leaves small changes alone. Of "
    "drift only: findings such as blurred images have rules of their own."
)

Pair = tuple[float, float]
Steps = Generator[float, None, None]  # shares that are done


class Thresholds(Part):
    """The past under other rules. `table`: settings tried so far, as `backtest` has them; `alarms`: of the last one."""

    title = "Thresholds"

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """Two sliders, the numbers, alarms over time, and what to write to keep the setting."""
        rules = self.desk.config.rules
        self.alarms = backtest.alarm_table(())
        self._past: pd.DataFrame | None = None  # the desk's, when the streams were read
        self._half_read: pd.DataFrame | None = None
        self._states: dict[Key, State] = {}
        self._unread: list[str] = []  # sources
        self._steps: Steps | None = None
        self._found: dict[Pair, tuple[tuple[float, ...], pd.DataFrame]] = {}  # settings tried, and their alarms
        self.budget = _slider("False alarms a year", BUDGETS, rules.false_alarms_per_year)
        self.size = _slider("Size that matters", SIZES, rules.drift_warning)
        self.back = ipywidgets.Button(description="Today's setting", icon="undo", layout={"width": "fit-content"})
        self.said, self.keep, self.tried = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.lines = Picture()
        self.on(self.budget, self._ask)
        self.on(self.size, self._ask)
        self.on(self.back, self._go_back)
        self.on(self.lines, self._chose, "chosen")
        more = ipywidgets.Accordion([self.tried], titles=["Settings tried so far"])
        return (
            ipywidgets.HTML(f"<p>{MEANS}</p>"),
            self.budget,
            self.size,
            self.back,
            self.said,
            self.lines,
            self.keep,
            more,
        )

    def renew(self) -> None:
        """Replay the past, read anew where the desk has read the history anew."""
        self._ask()

    @property
    def _now(self) -> Pair:
        return self.desk.config.rules.false_alarms_per_year, self.desk.config.rules.drift_warning

    def _go_back(self) -> None:
        self.budget.value, self.size.value = self._now

    def _ask(self) -> None:
        self._steps = self._worked_out((self.budget.value, self.size.value))
        self._go_on(self._steps)

    def _worked_out(self, pair: Pair) -> Steps:
        """Replay today's setting and the one that is asked for; shows them when both are there."""
        if self._past is not self.desk.past:
            yield from self._read()
        for one in dict.fromkeys((self._now, pair)):
            if one not in self._found:
                steps = self._replay.steps(backtest.changed(self.desk.config.rules, *one))
                found = backtest.stretches((yield from steps))
                a_month = len(found) / self._replay.months if self._replay.months else math.nan
                self._found[one] = (*one, len(found), a_month), backtest.alarm_table(found)
        self._show(pair)

    def _read(self) -> Steps:
        """Read the streams of one source after the other: of many over a year they take seconds."""
        desk = self.desk
        if self._half_read is not desk.past:
            self._half_read, self._states, self._unread = desk.past, {}, list(desk.sources)
        about = desk.config.model.name, desk.version, identity.reference_id(desk.config)
        while self._unread:
            self._states |= desk.history.streams(*about, source=self._unread[-1])
            self._unread.pop()
            yield 0.0
        if not self._states:
            raise DataError(
                "there is no past to replay", where=str(desk.config.path), found="no evidence over windows",
                expected="measured windows with this reference", remedy="run `cvkit run` first",
            )  # fmt: skip
        self._replay, self._found, self._past = Replay(self._states, desk.config.window_length), {}, desk.past

    def _go_on(self, steps: Steps) -> None:
        """Work for a moment; in a kernel the rest waits its turn. A newer setting takes an older one's place."""
        until = time.monotonic() + AT_ONCE_S
        if steps is not self._steps:
            return
        for share in steps:
            if time.monotonic() > until and later(self.note, partial(self._go_on, steps)):
                self.said.value = f"<p>Replaying the past: {share:.0%}. Each setting takes this time once.</p>"
                return

    def _show(self, pair: Pair) -> None:
        (tried, self.alarms), (today, now) = self._found[pair], self._found[self._now]
        self.table = pd.DataFrame([row for row, _ in self._found.values()], columns=list(backtest.COLUMNS[:4]))
        self.said.value = _numbers(tried, today, self._replay.months)
        first, last = self.desk.stretch or (self.desk.windows[0], self.desk.windows[-1])
        span = Window(first.start, last.end)
        self.figure = figure = plots.alarm_lines(self.alarms, now, span)
        words = "alarms over time by source, with the sliders' setting and with today's; choose one to look at it"
        drawn = rows_of(self.alarms, now)
        self._drawn = self.alarms[self.alarms["source"].isin(drawn)].reset_index(drop=True)
        named = [(drawn.index(row["source"]), row["start"], row["end"], _name(row)) for row in
                 self._drawn.to_dict("records")]  # fmt: skip
        self.lines.show(figure, words, lambda: places.of_spans(figure.axes[0], len(drawn), named, span))
        self.keep.value = _keep(self.desk.config.path, pair, self._now, self.desk.config.rules.drift_critical)
        shown = self.table.sort_values(["budget", "drift_warning"])
        heads = ["false alarms a year", "size that matters", "alarms", "alarms a month"]
        self.tried.value = rows(shown.set_axis(heads, axis=1))

    def _chose(self) -> None:
        if 0 <= self.lines.chosen < len(self._drawn):
            row = self._drawn.iloc[self.lines.chosen]
            window = next((one for one in self.desk.windows if one.start == row["start"]), self.desk.window)
            source = row["source"] if row["source"] in self.desk.sources else self.desk.source
            self.desk.set_trait("window", window)
            self.desk.set_trait("source", source)


def _slider(words: str, values: tuple[float, ...], today: float) -> ipywidgets.SelectionSlider:
    options = [(f"{one:g} (today)" if one == today else f"{one:g}", one) for one in sorted({*values, today})]
    return ipywidgets.SelectionSlider(
        options=options, value=today, description=words, style={"description_width": "150px"}, layout={"width": "560px"}
    )


def _numbers(tried: tuple[float, ...], today: tuple[float, ...], months: float) -> str:
    def words(row: tuple[float, ...]) -> str:
        return f"<b>{row[3]:.2g}</b> alarm{'s' * (row[2] != 1)} a month ({row[2]:.0f} in {months:.1f} months)"

    if tried == today:
        return f"<p>Today's setting: {words(today)}.</p>"
    return f"<p>This setting: {words(tried)}. Today's, {today[0]:g} a year and {today[1]:g}: {words(today)}.</p>"


def _name(row: dict[Any, Any]) -> str:
    end = "and still" if pd.isna(row["end"]) else f"to {row['end']:%Y-%m-%d %H:%M}"
    return f"{row['source']}, {row['start']:%Y-%m-%d %H:%M} {end}: {row['features'].replace('_', ' ')}"


def _keep(path: object, tried: Pair, today: Pair, critical: float) -> str:
    """Which lines of cvkit.yml keep the setting: people write it, cvkit never does."""
    if tried == today:
        return "<p>Nothing to write: this is what cvkit.yml says.</p>"
    lines = ["rules:", f"  false_alarms_per_year: {tried[0]:g}", f"  drift_warning: {tried[1]:g}"]
    lines += [f"  drift_critical: {tried[1]:g}"] if tried[1] > critical else []  # it must not lie below
    return (
        f"<p>To keep this setting, change these lines of <code>{html.escape(str(path))}</code>. Windows that are "
        "measured from then on are judged by it, and <code>cvkit run --from DAY</code> judges earlier ones anew.</p>"
        f'<pre class="cvkit-copy">{html.escape(chr(10).join(lines))}</pre>'
    )
