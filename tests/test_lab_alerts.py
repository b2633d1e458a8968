"""The alerts of the panel: what is done there is found on the command line, and mistakes cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alert_world import config, day, measured, number, verdict

from cvkit import cli
from cvkit.config import Config
from cvkit.lab.alerts import Alerts
from cvkit.lab.desk import Desk
from cvkit.monitoring import alert_actions, alerts
from cvkit.monitoring.history import History

HOSTILE = "<b>cam</b>\n9"
RULES = "rules: [{name: dark, metric: brightness, below: 60, sources: [cam-*], runbook: 'javascript:alert(1)'}]"
Say = Callable[..., str]


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    """Two sources that drift since the second day, one with a name that is markup."""
    made = config(tmp_path, RULES)
    with History.open(made.history_url) as history:
        for place, state in enumerate(("ok", "critical", "warning")):
            rows = [verdict("cam-1", "brightness", state, reason="<i>words</i>"), verdict(HOSTILE, "sharpness", state)]
            measured(history, place, rows, [number("cam-1", "brightness", 100 - 30 * place)])
        alerts.update(made, history)
    return made


@pytest.fixture
def part(settings: Config) -> Alerts:
    made = Alerts(Desk(settings.workspace))
    made.refresh()
    made.by.value = "Ann"
    choose(made, "drift", "cam-1")
    return made


@pytest.fixture
def said(settings: Config, capsys: pytest.CaptureFixture[str]) -> Say:
    """What a command says on that workspace."""

    def called(*arguments: str) -> str:
        capsys.readouterr()
        assert cli.main([*arguments, "--config", str(settings.workspace)]) == 0
        return capsys.readouterr().out

    return called


def choose(part: Alerts, rule: str, source: str) -> None:
    row = part.table[(part.table["rule"] == rule) & (part.table["source"] == source)]
    part.list.value = row["fingerprint"].item()


def line(text: str, *words: str) -> str:
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_the_list_says_what_the_command_line_says(part: Alerts, said: Say) -> None:
    told = said("alerts", "list")
    assert len(part.table) == len(part.list.options) == len(told.splitlines()) - 1
    for name in part.table["fingerprint"]:
        assert name in told
    shown = [text.replace("\N{NO-BREAK SPACE}", " ") for text, _ in part.list.options]
    assert any(text.startswith("▲ warning") and "firing" in text and "cam-1" in text for text in shown)
    assert all("\n" not in text for text in shown)
    assert "&lt;i&gt;words&lt;/i&gt;" in part.known.value
    assert "<i>" not in part.known.value


def test_a_source_that_is_markup_and_an_address_that_runs_are_text(part: Alerts) -> None:
    choose(part, "drift", HOSTILE)
    assert "<b>cam" not in part.known.value
    assert "&lt;b&gt;cam" in part.known.value
    choose(part, "dark", "cam-1")
    assert "javascript:alert(1)" in part.known.value
    assert "href" not in part.known.value


def test_an_alert_is_acknowledged_with_a_reason(part: Alerts, said: Say) -> None:
    part.buttons["Acknowledge"].click()
    assert "say why" in part.note.value
    assert "firing" in line(said("alerts", "list"), "drift", "cam-1")
    part.why.value = "lens <is> cleaned"
    part.buttons["Acknowledge"].click()
    assert part.note.value == ""
    assert "drift@cam-1 is acknowledged by Ann" in part.said.value
    assert "acknowledged by Ann" in line(said("alerts", "list"), "drift", "cam-1")
    assert "lens <is> cleaned" in line(said("alerts", "log", "drift@cam-1"), "acknowledged")
    assert "lens &lt;is&gt; cleaned" in part.course.value
    row = part.table[part.table["fingerprint"] == part.list.value].iloc[0]
    assert (row["state"], row["author"], row["why"]) == ("acknowledged", "Ann", "lens <is> cleaned")


@pytest.mark.parametrize(
    ("typed", "words"),
    [("", "needs an end"), ("8", "8h, 8d or 8w"), ("0h", "a length such as 8h"), ("soon", "not a date"),
     ("2020-01-01", "has passed")],
)  # fmt: skip
def test_an_end_that_cannot_be_is_said_and_what_was_typed_stays(part: Alerts, typed: str, words: str) -> None:
    part.why.value, part.until.value = "meanwhile", typed
    part.buttons["Snooze"].click()
    assert words in part.note.value
    assert (part.why.value, part.until.value, part.by.value) == ("meanwhile", typed, "Ann")
    assert set(part.table["state"]) == {"firing"}


@pytest.mark.parametrize(("typed", "until"), [("8h", None), ("2199-01-01T06:00", datetime(2199, 1, 1, 6, tzinfo=UTC))])
def test_an_alert_is_snoozed_for_a_time_or_until_one(
    part: Alerts, said: Say, typed: str, until: datetime | None
) -> None:
    before = datetime.now(UTC)
    part.why.value, part.until.value = "later", typed
    part.buttons["Snooze"].click()
    end = part.table.loc[part.table["state"] == "snoozed", "snoozed_until"].item()
    if until:
        assert end == until
    else:
        assert before + timedelta(hours=8) <= end <= datetime.now(UTC) + timedelta(hours=8)
    assert f"snoozed until {end:%Y-%m-%d %H:%M}" in line(said("alerts", "list"), "drift", "cam-1")


def test_an_alert_is_disabled_and_enabled(part: Alerts, said: Say) -> None:
    part.buttons["Enable"].click()
    assert "not held back" in part.note.value
    part.why.value = "bench camera"
    part.buttons["Disable"].click()
    assert "disabled" in line(said("alerts", "list"), "drift", "cam-1")
    part.buttons["Enable"].click()
    assert "firing, and told again" in part.said.value
    assert "firing" in line(said("alerts", "list"), "drift", "cam-1")


def test_a_threshold_is_changed_for_a_while_and_back(part: Alerts, said: Say) -> None:
    choose(part, "dark", "cam-1")
    part.why.value, part.until.value = "new lamp", "2w"
    for typed, words in (("", "what shall be changed"), ("below", "NAME=VALUE"), ("below=abc", "a number"),
                         ("below=nan", "finite"),
                         ("colour=red", "above, below, change"), ("change=0.1", "one condition")):  # fmt: skip
        part.change.value = typed
        part.buttons["Change for a while"].click()
        assert words in part.note.value
        assert part.change.value == typed
    part.change.value = "below=30, for=2"
    part.buttons["Change for a while"].click()
    assert part.note.value == ""
    assert "below=30, for=2 until" in part.rule.value
    assert "overridden until" in line(said("rules", "check"), "dark: fires")
    part.buttons["End changes"].click()
    assert "1 change of dark ended" in part.said.value
    assert "Changed for a while" not in part.rule.value
    assert "overridden" not in line(said("rules", "check"), "dark: fires")


def test_what_another_person_did_meanwhile_is_said_and_nothing_is_done(
    part: Alerts, settings: Config, said: Say
) -> None:
    said("alerts", "ack", "drift@cam-1", "--why", "I have it", "--by", "Ben")
    part.why.value = "mine"
    part.buttons["Disable"].click()
    assert "not any more as it was shown" in part.note.value
    assert "acknowledged by Ben: I have it" in part.note.value
    assert part.why.value == "mine"
    assert "acknowledged by Ben" in line(said("alerts", "list"), "drift", "cam-1")
    assert "acknowledged" in set(part.table["state"])  # read anew
    part.buttons["Disable"].click()  # now that it was seen
    assert "disabled" in line(said("alerts", "list"), "drift", "cam-1")


def test_an_alert_that_ended_meanwhile(part: Alerts, settings: Config) -> None:
    with History.open(settings.history_url) as history:
        for place in range(3, 8):
            measured(history, place, [verdict("cam-1", "brightness", "ok")], [number("cam-1", "brightness", 100)])
        alerts.update(settings, history)
    part.why.value = "seen"
    part.buttons["Acknowledge"].click()
    assert "not any more as it was shown" in part.note.value
    assert "cam-1" not in set(part.table["source"])
    part.everything.value = True
    assert "cam-1" in set(part.table["source"])
    assert any("over" in text for text, _ in part.list.options)


def test_its_window_is_shown_by_the_other_parts(part: Alerts) -> None:
    part.desk.window, part.desk.source, part.desk.feature = day(0), HOSTILE, "noise"
    part.buttons["Show its window"].click()
    assert (part.desk.window, part.desk.source, part.desk.feature) == (day(2), "cam-1", "brightness")
    assert "cam-1" in part.said.value


def test_a_workspace_without_alerts_says_so(tmp_path: Path) -> None:
    made = config(tmp_path)
    with History.open(made.history_url) as history:
        measured(history, 0, [verdict("cam-1", "brightness", "ok")])
    part = Alerts(Desk(tmp_path))
    part.refresh()
    assert (part.note.value, len(part.table)) == ("", 0)
    assert "No alert is open" in part.heads.value
    part.everything.value = True
    assert "no alert yet" in part.heads.value
    part.buttons["Acknowledge"].click()
    assert "no alert is chosen" in part.note.value


def test_the_words_of_one_alert_do_not_need_the_whole_past(settings: Config) -> None:
    """What is told of an alert rests on the window it was last seen in."""
    with History.open(settings.history_url) as history:
        alert = alert_actions.find(settings, history, "drift@cam-1")
        notice = alerts.notice(settings, history, alert)
    assert (notice.window_start, notice.n) == (day(2).start, 50)
    assert notice.details == ()
    assert "brightness" in notice.what
