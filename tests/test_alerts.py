"""Alerts: raised and told once, worsened, quietened, over; and every transition in the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa
from alert_world import CHANNEL, Receiver, config, day, drift, measured, number, verdict

from cvkit.config import Config
from cvkit.errors import ConfigError, DataError, StorageError
from cvkit.monitoring import alert_actions, alerts, outbox
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.history import History
from cvkit.monitoring.schema import ALERT_LOG

NOW = datetime.now(UTC).replace(microsecond=0)
ME = {"author": "Ann", "why": "cleaning the lens"}


def hear(settings: Config, history: History, now: datetime = NOW) -> list[tuple[str, str, str]]:
    """Update, deliver, and what the receiver heard: source, rule, event."""
    receiver = Receiver()
    alerts.update(settings, history, now)
    outbox.deliver(settings, history, receiver, clock=lambda: now, pause_s=0)
    return receiver.heard


def only(settings: Config, history: History) -> Alert:
    (found,) = alerts.update(settings, history, NOW).alerts
    return found


def actions(settings: Config, history: History) -> list[str]:
    return list(alert_actions.log(settings, history)["action"])


def test_an_alert_is_told_once_then_repeated_then_told_to_be_over(settings: Config, history: History) -> None:
    drift(history, "ow")
    assert hear(settings, history) == [("cam-1", "drift", "fired")]
    assert hear(settings, history, NOW + timedelta(hours=23)) == []
    assert hear(settings, history, NOW + timedelta(hours=24)) == [("cam-1", "drift", "repeated")]
    drift(history, "wo", first=2)
    assert hear(settings, history, NOW + timedelta(hours=25)) == [("cam-1", "drift", "resolved")]
    assert hear(settings, history, NOW + timedelta(hours=99)) == []
    assert actions(settings, history) == ["fired", "told", "told", "resolved", "told"]


def test_a_new_champion_that_measured_old_windows_only_ends_nothing(
    settings: Config, history: History, tmp_path: Path
) -> None:
    """Else the first day that is measured with it, weeks old and healthy, would end every alert of now."""
    drift(history, "ooooc")
    before = only(settings, history)
    (tmp_path / "new.pt").write_bytes(b"weights")
    champion = settings.with_weights(str(tmp_path / "new.pt"))

    def measure(place: int) -> list[str]:
        measured(history, place, [verdict("cam-1", "brightness", "ok")], version=champion.version)
        return [entry.action for entry in alerts.update(champion, history, NOW).entries]

    assert measure(1) == measure(2) == []
    assert only(champion, history) == before
    assert only(settings, history) == before  # back to the champion before
    assert measure(4) == ["resolved"]


def test_a_fresh_install_on_old_data_tells_what_is_so_now_not_the_past(settings: Config, history: History) -> None:
    for place, (first, second) in enumerate(zip("wwoooooooooooow", "wwooooooooooooo", strict=True)):
        words = {"w": "warning", "o": "ok"}
        measured(history, place, [verdict("cam-1", "noise", words[first]), verdict("cam-2", "noise", words[second])])
    assert hear(settings, history) == [("cam-1", "drift", "fired")]
    assert only(settings, history).since == day(14).start


def test_worse_is_told_at_once_and_better_is_not(settings: Config, history: History) -> None:
    drift(history, "w")
    hear(settings, history)
    drift(history, "c", first=1)
    assert hear(settings, history) == [("cam-1", "drift", "worsened")]
    drift(history, "wc", first=2)
    assert hear(settings, history) == []  # what was told as critical is not told to be critical again
    assert only(settings, history).since == day(0).start


def test_acknowledged_is_not_repeated_but_told_when_worse_and_when_over(settings: Config, history: History) -> None:
    drift(history, "w")
    hear(settings, history)
    alert = alert_actions.acknowledge(settings, history, "drift@cam-1", **ME)
    assert (alert.state, alert.author, alert.why) == ("acknowledged", "Ann", "cleaning the lens")
    assert hear(settings, history, NOW + timedelta(days=9)) == []
    drift(history, "c", first=1)
    assert hear(settings, history, NOW + timedelta(days=9)) == [("cam-1", "drift", "worsened")]
    assert only(settings, history).state == "firing"
    alert_actions.acknowledge(settings, history, alert.fingerprint, **ME)
    drift(history, "o", first=2)
    assert hear(settings, history, NOW + timedelta(days=9)) == [("cam-1", "drift", "resolved")]


def test_a_snooze_ends_by_itself(settings: Config, history: History) -> None:
    drift(history, "w")
    hear(settings, history)
    until = NOW + timedelta(days=2)
    alert_actions.snooze(settings, history, "drift@cam-1", until=until, **ME)
    assert hear(settings, history, until - timedelta(seconds=1)) == []
    assert hear(settings, history, until) == [("cam-1", "drift", "repeated")]
    assert "snooze ended" in actions(settings, history)


def test_a_snooze_ends_at_once_when_it_gets_worse(settings: Config, history: History) -> None:
    drift(history, "w")
    hear(settings, history)
    alert_actions.snooze(settings, history, "drift@cam-1", until=NOW + timedelta(days=30), **ME)
    drift(history, "w", first=1)
    assert hear(settings, history) == []
    drift(history, "c", first=2)
    assert hear(settings, history) == [("cam-1", "drift", "worsened")]


def test_what_is_said_again_is_said_once(settings: Config, history: History) -> None:
    """As by whoever repeats a command that was killed after its work, and before its answer."""
    drift(history, "w")
    hear(settings, history)
    until = NOW + timedelta(days=2)
    says = (
        lambda **me: alert_actions.acknowledge(settings, history, "drift@cam-1", **me),
        lambda **me: alert_actions.snooze(settings, history, "drift@cam-1", until=until, **me),
        lambda **me: alert_actions.disable(settings, history, "drift@cam-1", **me),
        lambda **me: alert_actions.override(settings, history, "drift", {"for_windows": 2}, until=until, **me),
    )
    for say in says:
        before = len(actions(settings, history))
        assert say(**ME) == say(**ME)
        assert len(actions(settings, history)) == before + 1
        if say is not says[2]:  # what is disabled is told by enabling
            say(author="Bob", why="I too")
            assert len(actions(settings, history)) == before + 2
        if say is says[2]:
            alert_actions.enable(settings, history, "drift@cam-1", author="Ann")
    assert len(alert_actions.overrides(settings, history, "drift")) == 2


def test_a_snooze_needs_an_end_ahead_and_a_reason(settings: Config, history: History) -> None:
    drift(history, "w")
    hear(settings, history)
    with pytest.raises(TypeError, match="until"):
        alert_actions.snooze(settings, history, "drift@cam-1", **ME)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="this end has passed"):
        alert_actions.snooze(settings, history, "drift@cam-1", until=NOW - timedelta(hours=1), **ME)
    with pytest.raises(ConfigError, match="say why"):
        alert_actions.snooze(settings, history, "drift@cam-1", author="Ann", why=" ", until=NOW + timedelta(days=1))
    assert only(settings, history).state == "firing"


def test_disabled_says_nothing_until_enabled(settings: Config, history: History) -> None:
    measured(history, 0, [verdict("cam-1", "noise", "ok")])
    alert_actions.disable(settings, history, "drift@cam-1", author="Ann", why="rebuilding the line")  # never fired
    drift(history, "wc", first=1)
    assert hear(settings, history) == []
    assert alert_actions.find(settings, history, "drift@cam-1").state == "disabled"
    alert_actions.enable(settings, history, "drift@cam-1", author="Ann")
    assert hear(settings, history) == [("cam-1", "drift", "fired")]


def test_one_cameras_outage_says_it_all(settings: Config, history: History) -> None:
    measured(history, 0, [verdict("cam-1", "noise", "warning"), verdict("cam-2", "noise", "ok")])
    assert hear(settings, history) == [("cam-1", "drift", "fired")]
    measured(history, 1, [verdict("cam-2", "noise", "warning")], images={"cam-1": 0})
    assert sorted(hear(settings, history)) == [("cam-1", "no-images", "fired"), ("cam-2", "drift", "fired")]
    late = NOW + timedelta(hours=30)
    assert ("cam-1", "drift", "repeated") not in hear(settings, history, late)
    measured(history, 2, [verdict("cam-1", "noise", "warning"), verdict("cam-2", "noise", "warning")])
    heard = hear(settings, history, late + timedelta(hours=1))
    assert sorted(heard) == [("cam-1", "drift", "repeated"), ("cam-1", "no-images", "resolved")]


def test_what_comes_and_goes_is_told_little(settings: Config, history: History) -> None:
    heard = []
    for place in range(24):
        drift(history, "wo"[place % 2], first=place)
        heard += hear(settings, history, NOW + timedelta(minutes=place))
    assert [event for _, _, event in heard] == ["fired", "resolved", "fired"]
    assert only(settings, history).returns == 1


def test_measuring_again_changes_its_mind(settings: Config, history: History) -> None:
    drift(history, "ow")
    hear(settings, history)
    drift(history, "o", first=1)  # the same window, measured again with the late images
    assert hear(settings, history) == [("cam-1", "drift", "resolved")]
    drift(history, "w", first=1)
    assert hear(settings, history) == [("cam-1", "drift", "fired")]


def test_updating_again_and_again_changes_nothing(settings: Config, history: History) -> None:
    drift(history, "wwc")
    first = alerts.update(settings, history, NOW)
    again = alerts.update(settings, history, NOW)
    assert first.alerts == again.alerts
    assert (again.entries, again.queued) == ((), 0)


def test_a_clock_that_goes_backwards_sends_nothing_twice(settings: Config, history: History) -> None:
    drift(history, "w")
    assert len(hear(settings, history)) == 1
    assert hear(settings, history, NOW - timedelta(days=30)) == []
    assert hear(settings, history, NOW + timedelta(hours=1)) == []


def test_a_rule_that_is_gone_takes_its_alerts_with_it(settings: Config, history: History, tmp_path: Path) -> None:
    drift(history, "w")
    hear(settings, history)
    without = config(tmp_path, f"defaults: false\n  channels: [{CHANNEL}]")
    assert hear(without, history) == [("cam-1", "drift", "resolved")]
    assert alert_actions.log(settings, history)["why"].str.contains("the rule is gone").any()


def test_without_a_channel_nothing_is_told_until_there_is_one(tmp_path: Path, history: History) -> None:
    drift(history, "w")
    assert hear(config(tmp_path, "channels: []"), history) == []
    assert hear(config(tmp_path), history) == [("cam-1", "drift", "fired")]


def test_channels_hear_what_they_asked_for(tmp_path: Path, history: History) -> None:
    channels = ["{name: loud, kind: webhook, url: 'http://x', at_least: critical}",
                "{name: gate, kind: webhook, url: 'http://x', sources: [gate-*], resolved: false}"]  # fmt: skip
    settings = config(tmp_path, f"channels: [{', '.join(channels)}]")
    measured(history, 0, [verdict("gate-1", "noise", "warning"), verdict("cam", "noise", "critical")])
    heard: list[tuple[str, str, str]] = []

    def listen(channel, message) -> None:
        heard.extend((channel.name, one.source, one.event) for one in message.notices)

    for states in (("warning", "critical"), ("ok", "ok")):
        measured(history, 0, [verdict("gate-1", "noise", states[0]), verdict("cam", "noise", states[1])])
        alerts.update(settings, history, NOW)
        outbox.deliver(settings, history, listen, clock=lambda: NOW, pause_s=0)
    assert heard == [("loud", "cam", "fired"), ("gate", "gate-1", "fired"), ("loud", "cam", "resolved")]


def test_an_override_changes_a_threshold_for_a_while(tmp_path: Path, history: History) -> None:
    settings = config(tmp_path, f"rules: [{{name: dark, metric: brightness, below: 40}}]\n  channels: [{CHANNEL}]")
    measured(history, 0, numbers=[number("cam-1", "brightness", 35.0)])
    until = NOW + timedelta(days=3)
    alert_actions.override(settings, history, "dark", {"below": 30.0}, until=until, **ME)
    assert hear(settings, history) == []
    (dark,) = [one for one in alerts.replay(settings, history) if one.rule == "dark"]
    assert dark.sentence.endswith("UTC by Ann: cleaning the lens")
    assert not dark.stretches
    assert hear(settings, history, until) == [("cam-1", "dark", "fired")]
    with pytest.raises(ConfigError, match="did you mean `dark`"):
        alert_actions.override(settings, history, "dork", {"below": 30.0}, until=until, **ME)
    with pytest.raises(ConfigError, match="cannot be changed so"):
        alert_actions.override(settings, history, "dark", {"state": "warning"}, until=until, **ME)
    with pytest.raises(ConfigError, match="passed"):
        alert_actions.override(settings, history, "dark", {"below": 3.0}, until=NOW - timedelta(days=1), **ME)


def test_an_override_of_a_rule_that_became_another_stops_no_alert(
    tmp_path: Path, history: History, caplog: pytest.LogCaptureFixture
) -> None:
    before = config(tmp_path, f"rules: [{{name: dark, metric: brightness, below: 40}}]\n  channels: [{CHANNEL}]")
    alert_actions.override(before, history, "dark", {"below": 30.0}, until=NOW + timedelta(days=3), **ME)
    after = config(tmp_path, f"rules: [{{name: dark, metric: brightness, change: 0.2}}]\n  channels: [{CHANNEL}]")
    measured(history, 0, [verdict("cam-1", "noise", "warning")], [number("cam-1", "brightness", 5.0, expected=50.0)])
    assert sorted(hear(after, history)) == [("cam-1", "dark", "fired"), ("cam-1", "drift", "fired")]
    assert "cvkit alerts override dark --end" in caplog.text


def test_the_number_of_an_alert_is_one_that_makes_it_as_bad_as_it_is(settings: Config, history: History) -> None:
    measured(history, 0, [verdict("cam-1", "colourfulness", "warning")])
    both = [verdict("cam-1", "colourfulness", "warning"), verdict("cam-1", "confidence", "critical")]
    measured(history, 1, both)
    hear(settings, history)
    (one,) = alerts.standing(history, "m")
    assert (one.severity, one.facts["feature"]) == ("critical", "confidence")


def test_who_and_until_when_have_to_be_said(settings: Config, history: History) -> None:
    drift(history, "w")
    hear(settings, history)
    for nobody in ("", " "):
        with pytest.raises(ConfigError, match="who"):
            alert_actions.acknowledge(settings, history, "drift@cam-1", author=nobody, why="x")
    for until in (None, datetime(2999, 1, 1)):
        with pytest.raises(ConfigError, match="until when"):
            alert_actions.snooze(settings, history, "drift@cam-1", until=until, **ME)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "meant"), [
    ("cam-2", ["bad-images@cam-2", "drift@cam-2"]), ("drift", ["drift@cam-1", "drift@cam-2"]),
    ("drift@cam-9", ["drift@cam-1", "drift@cam-2"]), ("sharp@cam-2", ["drift@cam-2", "bad-images@cam-2"]),
    ("12345", ["1234abcd"]), ("zzzz", []),
])  # fmt: skip
def test_alerts_are_proposed_by_the_part_of_the_name_that_is_right(text: str, meant: list[str]) -> None:
    named = {"1234abcd": "drift@cam-1", "2234abcd": "drift@cam-2", "3234abcd": "bad-images@cam-2"}
    known = {mark: SimpleNamespace(rule=name.split("@")[0], source=name.split("@")[1]) for mark, name in named.items()}
    found = alert_actions._meant(known, text)  # type: ignore[arg-type]
    assert set(found) <= set(meant)
    assert bool(found) == bool(meant)


def test_unknown_alerts_are_refused_with_the_nearest_names(settings: Config, history: History) -> None:
    drift(history, "w")
    hear(settings, history)
    with pytest.raises(DataError, match=r"did you mean drift@cam-1"):
        alert_actions.acknowledge(settings, history, "drift@cam1", **ME)
    with pytest.raises(DataError, match="no alert has this name"):
        alert_actions.acknowledge(settings, history, "zzzz", **ME)
    with pytest.raises(DataError, match="not held back"):
        alert_actions.enable(settings, history, "drift@cam-1", author="Ann")


def test_an_alert_that_is_over_cannot_be_acknowledged(settings: Config, history: History) -> None:
    drift(history, "w")
    hear(settings, history)
    drift(history, "o", first=1)
    hear(settings, history)
    with pytest.raises(DataError, match="nothing to hold back"):
        alert_actions.acknowledge(settings, history, "drift@cam-1", **ME)


def test_the_log_can_only_grow(settings: Config, history: History) -> None:
    drift(history, "w")
    hear(settings, history)
    for change in (ALERT_LOG.delete(), ALERT_LOG.update().values(author="nobody")):
        with pytest.raises(StorageError, match="only grow"), history.writing() as connection:
            connection.execute(change)
    with history.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ALERT_LOG)).scalar() == 2


def test_the_words_say_everything(settings: Config, history: History) -> None:
    rows = [
        verdict("cam-1", "sharpness", "critical", reason="mean 1.9, expected 2.8"),
        verdict("cam-1", "noise", "warning"),
    ]
    numbers = [number("cam-1", "sharpness", 1.9, low=1.8, high=2.0, expected=2.8, expected_low=2.7, expected_high=2.9)]
    measured(history, 0, rows, numbers)
    notice = alerts.notice(settings, history, only(settings, history))
    assert notice.what == "sharpness: mean 1.9, expected 2.8"
    assert (notice.metric, notice.value, notice.low, notice.high) == ("sharpness.mean", 1.9, 1.8, 2.0)
    assert notice.expected == "2.8 (2.7 to 2.9 in healthy windows)"
    assert (notice.window_start, notice.window_end, notice.n) == (day(0).start, day(0).end, 50)
    assert notice.cause == "picture less sharp: dirty lens, lost focus or stronger compression"
    assert notice.details == ("warning, noise: words",)
    assert f"cvkit alerts ack {notice.fingerprint}" in notice.acknowledge
    assert notice.runbook.endswith("runbook.md#sharpness")


def test_of_mistakes_the_cause_is_what_else_stands_out(settings: Config, history: History) -> None:
    measured(history, 0, [verdict("cam-1", "f1", "critical"), verdict("cam-1", "sharpness", "warning")])
    by_rule = {one.rule: one for one in alerts.update(settings, history, NOW).alerts}
    notice = alerts.notice(settings, history, by_rule["model-worse"])
    assert notice.title == "cam-1: the model makes more mistakes: labels tell"
    assert notice.cause.startswith("picture less sharp")


def test_of_a_number_the_cause_is_its_own_verdict_or_only_the_limit(tmp_path: Path, history: History) -> None:
    settings = config(tmp_path, f"rules: [{{name: dark, metric: brightness, below: 40}}]\n  channels: [{CHANNEL}]")
    strange, low = verdict("cam-1", "unknown_class", "warning", "quality"), [number("cam-1", "brightness", 35.0)]
    measured(history, 0, [strange], low)
    dark = next(one for one in alerts.update(settings, history, NOW).alerts if one.rule == "dark")
    assert dark.facts["cause"].startswith("a limit of your own is crossed")
    notice = alerts.notice(settings, history, dark)
    assert (notice.title, notice.expected) == ("cam-1: dark (brightness)", "at least 40")
    assert notice.what == "brightness.mean is below 40 with all of its interval in a window (measured: 35)"
    measured(history, 0, [strange, verdict("cam-1", "brightness", "warning")], low)
    dark = next(one for one in alerts.update(settings, history, NOW).alerts if one.rule == "dark")
    assert dark.facts["cause"] == "light changed"


def test_since_when_is_known_of_a_long_past_too(settings: Config, history: History) -> None:
    drift(history, "o" + "w" * 40)
    assert only(settings, history).since == day(1).start
    drift(history, "w" * 5, first=41)
    assert only(settings, history).since == day(1).start


def test_two_models_in_one_history_do_not_meet(settings: Config, history: History, tmp_path: Path) -> None:
    drift(history, "w")
    other = config(tmp_path).model_copy(update={"model": settings.model.model_copy(update={"name": "other"})})
    assert hear(other, history) == []
    assert hear(settings, history) == [("cam-1", "drift", "fired")]


@pytest.mark.parametrize("seed", range(6))
def test_windows_measured_in_any_order_make_an_alert_begin_where_they_do_in_order(
    settings: Config, history: History, seed: int
) -> None:
    """As of one who goes back to days long past, and looks at the alerts after each."""
    rng = np.random.default_rng(seed)
    letters = ["".join(rng.choice(["o", "w", "c"], 6, p=[0.7, 0.2, 0.1])) + "w" * rng.integers(12, 26) for _ in "ab"]
    days = max(map(len, letters))
    for place in dict.fromkeys([*rng.permutation(days)[: days // 2].tolist(), *range(days)]):  # some, then the rest
        states = {"o": "ok", "w": "warning", "c": "critical"}
        rows = [verdict(source, "brightness", states[one.rjust(days, "o")[place]])
                for source, one in zip(("cam-1", "cam-2"), letters, strict=True)]  # fmt: skip
        measured(history, place, rows)
        alerts.update(settings, history, NOW)
    (drifted,) = (one for one in alerts.replay(settings, history) if one.rule == "drift")
    lasting = {source: parts[-1][0] for source, parts in drifted.stretches.items()}
    assert {one.source: one.since for one in alerts.standing(history, "m")} == lasting


@pytest.mark.parametrize("facts", [";}", "[]", "null"])
def test_a_damaged_alert_is_told_in_words(settings: Config, history: History, facts: str) -> None:
    drift(history, "w")
    alerts.update(settings, history, NOW)
    with history.writing() as connection:
        if facts == ";}" and connection.dialect.name == "postgresql":
            pytest.skip("PostgreSQL takes nothing that is no JSON")
        connection.execute(sa.text("UPDATE alerts SET facts = :facts"), {"facts": facts})
    for look in (lambda: alerts.standing(history, "m"), lambda: alerts.update(settings, history, NOW)):
        with pytest.raises(StorageError, match="the alerts in the history are damaged") as failure:
            look()
        assert ("pg_dump" in str(failure.value)) == (connection.dialect.name == "postgresql")


def test_the_cause_of_an_alert_stays_what_it_was_when_its_beginning_is_no_longer_read(
    settings: Config, history: History
) -> None:
    for place in range(40):
        features = [name for name, since in (("sharpness", 3), ("brightness", 5)) if since <= place < 36]
        told = [verdict("cam-1", name, "critical") for name in features]
        measured(history, place, [*told, verdict("cam-1", "noise", "ok")])
        alerts.update(settings, history, NOW)
    (row,) = alerts.table(history, "m").query("rule == 'drift'").to_dict("records")
    assert (row["state"], row["what"][:18]) == ("resolved", "picture less sharp")
    (said,) = {row["what"] for row in alerts.table(history, "m").to_dict("records")}
    assert said == row["what"]


def test_the_cause_of_an_alert_is_another_once_what_was_told_is_over(settings: Config, history: History) -> None:
    for place in range(40):
        features = [name for name, end in (("sharpness", 30), ("brightness", 99)) if 3 <= place < end]
        told = [verdict("cam-1", name, "critical") for name in features]
        measured(history, place, [*told, verdict("cam-1", "noise", "ok")])
        alerts.update(settings, history, NOW)
    assert set(alerts.table(history, "m")["what"]) == {"light changed"}
