"""The status page's alerts: what it says of each, and that nothing in them becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

from alert_world import Receiver, config, day, drift, measured, verdict

from cvkit.config import Config
from cvkit.documentation.site import alert_cards
from cvkit.documentation.site.alert_cards import Alarms
from cvkit.documentation.site.report_pages import Report
from cvkit.monitoring import alert_actions, alerts, outbox
from cvkit.monitoring.channels import DeliveryError
from cvkit.monitoring.history import History

MARKUP = "<script>alert('x')</script>&"


def html(settings: Config, history: History, reports: tuple[Report, ...] = ()) -> str:
    return alert_cards.render(alert_cards.read(settings, history, reports), lambda address: f"to/{address}")


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def report(source: str, notebook: str = "02-drift") -> Report:
    address = f"page-of-{source or 'all'}"
    return Report(notebook, "external", source, day(1), "done", Path("x"), None, address, None, None, "")


def test_without_alerts_it_says_so_in_a_line(settings: Config, history: History) -> None:
    drift(history, "oo")
    alerts.update(settings, history)
    assert words(html(settings, history)) == "Alerts No alert is open."
    assert "cvkit-alert" not in html(settings, history)


def test_without_a_channel_it_says_that_nobody_is_told(tmp_path: Path) -> None:
    silent = config(tmp_path, "site: ''")
    with History.open(silent.history_url) as history:
        assert words(html(silent, history)).endswith("No channel is set up, so nobody is sent a message.")


def test_an_alert_says_all_that_one_needs(settings: Config, history: History) -> None:
    drift(history, "oc")
    (alert,) = alerts.update(settings, history).alerts
    page = html(settings, history, (report(""), report("cam-1"), report("cam-2"), report("cam-1", "04-performance")))
    assert "1 alert is open: 1 firing." in words(page)
    for told in ("critical", "cam-1 : light changed", "rule drift", "since 2 Nov 2026", "firing"):
        assert told in words(page)
    assert 'aria-hidden="true"><rect' in page  # the sign of critical
    assert re.findall(r'href="(.*?)"', page) == ["to/page-of-cam-1", "to/procedures/camera-fault"]
    command = f'cvkit alerts ack {alert.fingerprint} --why "..." --config {settings.workspace}'
    assert command in words(page)


def test_a_report_on_all_sources_stands_in_and_one_on_another_window_does_not(
    settings: Config, history: History
) -> None:
    drift(history, "oc")
    alerts.update(settings, history)
    assert 'href="to/page-of-all"' in html(settings, history, (report(""),))
    assert "to/page-of" not in html(settings, history, (replace(report(""), window=day(0)),))


def test_how_each_stands_and_what_can_be_done(settings: Config, history: History) -> None:
    for source in ("a", "b", "c", "d"):
        drift(history, "w", source, first=ord(source) - 97)
    measured(history, 4, [verdict(source, "brightness", "warning") for source in "abcd"])
    alerts.update(settings, history)
    me = {"author": "Ann", "why": "a lens is ordered"}
    until = day(9000).start + timedelta(hours=6)
    alert_actions.acknowledge(settings, history, "drift@a", **me)
    alert_actions.snooze(settings, history, "drift@b", **me, until=until)
    alert_actions.disable(settings, history, "drift@c", **me)
    page = html(settings, history)
    told = words(page)
    assert "4 alerts are open: 1 firing, 1 acknowledged, 1 snoozed, 1 disabled." in told
    assert "acknowledged by Ann: a lens is ordered" in told
    assert f"snoozed until {until.day} {until:%b %Y} 06:00 UTC by Ann: a lens is ordered" in told
    assert "disabled by Ann: a lens is ordered" in told
    assert told.index("d : light") < told.index("a : light")  # what nobody has taken on comes first
    assert re.findall(r"cvkit alerts (\w+)", page) == ["ack", "enable", "ack", "enable"]


def test_rules_that_tell_the_same_share_a_card_until_somebody_takes_one_on(settings: Config, history: History) -> None:
    bad = verdict("cam-1", "blurred", "critical", rule="quality")
    measured(history, 0, [bad, verdict("cam-1", "sharpness", "critical"), verdict("cam-2", "sharpness", "critical")])
    alerts.update(settings, history)
    quality = replace(report("cam-1", "01-data-quality"), window=day(0), address="quality")
    page = html(settings, history, (quality, replace(report("cam-1"), window=day(0))))
    first, second = page.split("<article")[1:]
    assert "3 alerts are open: 3 firing." in words(page)
    assert re.search(r"rules (bad-images and drift|drift and bad-images) ", words(first))
    assert ("report (bad-images)" in words(first), "report (drift)" in words(first)) == (True, True)
    assert (first.count("cvkit alerts ack"), second.count("cvkit alerts ack")) == (2, 1)
    assert " rule drift " in words(second)
    alert_actions.acknowledge(settings, history, "drift@cam-1", author="Ann", why="a lens is ordered")
    assert html(settings, history).count("<article") == 3


def test_on_a_shared_card_it_is_said_which_rule_came_back(settings: Config, history: History) -> None:
    for number, (blurred, sharpness) in enumerate([("critical", "ok"), *[("ok", "ok")] * 4, ("critical", "critical")]):
        told = [verdict("cam-1", "blurred", blurred, rule="quality"), verdict("cam-1", "sharpness", sharpness)]
        measured(history, number, told)
        alerts.update(settings, history)
    page = html(settings, history)
    assert page.count("<article") == 1
    assert re.search(r"rules .*bad-images \(came back once\).* · since 6 Nov 2026 · firing · what", words(page))
    assert "drift (came back" not in words(page)


def test_what_an_outage_holds_back_is_said(settings: Config, history: History) -> None:
    measured(history, 0, [verdict("cam-1", "noise", "critical")], images={"cam-1": 0})
    alerts.update(settings, history)
    told = words(html(settings, history))
    assert "2 alerts are open: 1 firing, 1 held back." in told
    assert "held back: the outage of its source is told" in told


def test_names_and_reasons_are_never_markup(settings: Config, history: History) -> None:
    drift(history, "w", MARKUP)
    alerts.update(settings, history)
    alert_actions.acknowledge(settings, history, f"drift@{MARKUP}", author=f"Ann {MARKUP}", why=f"because {MARKUP}")
    rows = (("ops", "given up", 2, f"it says {MARKUP}"),)
    page = html(settings, history) + alert_cards.render(Alarms(unsent=rows), str)
    assert "<script" not in page
    for text in (f"{MARKUP} :", f"by Ann {MARKUP}", f"because {MARKUP}", f"it says {MARKUP}"):
        assert text in words(page)


def test_messages_that_did_not_arrive_are_told_in_a_line(settings: Config, history: History) -> None:
    drift(history, "w")
    alerts.update(settings, history)
    assert "ops" not in words(html(settings, history))
    outbox.deliver(settings, history, Receiver([DeliveryError("the door\nis shut", lasting=False)]), pause_s=0)
    assert "1 message to ops waiting for another try: the door is shut" in words(html(settings, history))


def test_of_many_the_worst_are_seen_and_the_others_a_click_away(settings: Config, history: History) -> None:
    measured(history, 0, [verdict(f"cam-{n}", "noise", "critical" if n == 9 else "warning") for n in range(10)])
    alerts.update(settings, history)
    seen, _, folded = html(settings, history).partition("<summary>2 more alerts</summary>")
    assert (seen.count("<article"), folded.count("<article")) == (8, 2)
    assert words(seen).index("cam-9") < words(seen).index("cam-0")
