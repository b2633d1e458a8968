"""`cvkit alerts ...` and `cvkit rules check` from the command line to the history and back."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from alert_world import config, measured, number, verdict

from cvkit import cli, schedule
from cvkit.config import Config, load_config
from cvkit.monitoring import alerts, outbox
from cvkit.monitoring.history import History

HOSTILE = "cam\n9\x1b[2J<b>"
Call = Callable[..., tuple[int, str, str]]
RULES = "rules: [{name: dark, metric: brightness, below: 60, sources: [cam-*]}]"


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    """Two sources that drift, one with a name that would steer a terminal, and a rule on a number that never fired."""
    made = config(tmp_path, RULES)
    with History.open(made.history_url) as history:
        for place, state in enumerate(("ok", "critical")):
            rows = [verdict("cam-1", "brightness", state), verdict(HOSTILE, "sharpness", state)]
            measured(history, place, rows, [number("cam-1", "brightness", 100 - 30 * place)])
        alerts.update(made, history)
    return made


@pytest.fixture
def call(settings: Config, capsys: pytest.CaptureFixture[str]) -> Call:
    """A command on that workspace: exit code, output, errors."""

    def called(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = cli.main([*arguments, "--config", str(settings.workspace)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return called


def by_source(settings: Config) -> dict[str, str]:
    with History.open(settings.history_url) as history:
        return {one.source: one.state for one in alerts.standing(history, "m")}


def test_the_list_shows_what_is_open_and_names_stay_on_their_line(call: Call, settings: Config) -> None:
    code, out, _ = call("alerts", "list")
    assert code == 0
    heading, *lines = out.splitlines()
    assert heading.split() == ["alert", "severity", "state", "source", "rule", "since", "what"]
    assert len(lines) == 2
    assert re.match(r"[0-9a-f]{16}  critical  firing ", lines[0])
    assert "\x1b" not in out
    assert any("cam\\n9\\x1b[2J<b>" in line and "drift" in line for line in lines)
    with History.open(settings.history_url) as history:
        measured(history, 2, [verdict("cam-1", "brightness", "ok"), verdict(HOSTILE, "sharpness", "ok")])
        alerts.update(settings, history)
    assert call("alerts", "list") == (0, "no alert is open\n", "")
    assert call("alerts", "list", "--all")[1].count("resolved") == 2


def test_show_says_all_that_a_message_says(call: Call) -> None:
    code, out, _ = call("alerts", "show", "drift@cam-1")
    assert code == 0
    first, *lines = out.splitlines()
    assert first.startswith("critical: cam-1: light changed  [")
    labels = [line.split("  ")[0] for line in lines]
    wanted = "what,value,expected,window,source,since,state,likely cause,what to do,runbook,report,owner,acknowledge"
    assert not set(wanted.split(",")) - set(labels)
    assert "brightness.mean: 70" in out
    assert "\x1b" not in call("alerts", "show", f"drift@{HOSTILE}")[1]


def test_an_alert_is_named_by_fingerprint_its_first_digits_or_rule_and_source(call: Call) -> None:
    name = call("alerts", "show", "drift@cam-1")[1].partition("[")[2][:16]
    assert call("alerts", "show", name) == call("alerts", "show", name[:6]) == call("alerts", "show", "drift@cam-1")
    code, _, err = call("alerts", "show", name[:3])
    assert (code, "no alert has this name" in err) == (3, True)


def test_ack_snooze_disable_and_enable(call: Call, settings: Config) -> None:
    code, out, _ = call("alerts", "ack", "drift@cam-1", "--why", "a lens is ordered", "--by", "Ann")
    assert (code, out) == (0, "drift@cam-1 is acknowledged by Ann\n")
    assert "acknowledged by Ann: a lens is ordered" in call("alerts", "show", "drift@cam-1")[1]
    code, out, _ = call("alerts", "snooze", "drift@cam-1", "--why", "tonight", "--until", "2199-01-02T06:00")
    assert (code, out) == (0, "drift@cam-1 is snoozed until 2199-01-02 06:00 UTC, or until it gets worse\n")
    assert "snoozed until 2199-01-02 06:00" in call("alerts", "list")[1]
    assert by_source(settings) == {"cam-1": "snoozed", HOSTILE: "firing"}
    assert call("alerts", "enable", "drift@cam-1") == (0, "drift@cam-1 is firing, and told again\n", "")
    code, out, _ = call("alerts", "disable", f"drift@{HOSTILE}", "--why", "a bench camera")
    assert (code, out.count("\n"), "\x1b" in out) == (0, 1, False)
    assert call(*re.findall(r"`cvkit (.*)`", out)[0].split())[0] == 0  # the command it names undoes it
    assert by_source(settings) == {"cam-1": "firing", HOSTILE: "firing"}


def test_a_rule_that_never_fired_can_be_disabled_at_a_source(call: Call) -> None:
    assert call("alerts", "disable", "dark@cam-1", "--why", "known")[0] == 0
    assert call("alerts", "enable", "dark@cam-1") == (0, "dark@cam-1 is enabled, and does not fire\n", "")
    code, _, err = call("alerts", "disable", "drak@cam-1", "--why", "known")
    assert (code, "did you mean `dark`" in err) == (2, True)


def test_of_a_source_that_nobody_knows_nothing_is_disabled(call: Call, settings: Config) -> None:
    code, _, err = call("alerts", "disable", "dark@cam-11", "--why", "known")
    assert (code, "no source has this name" in err, "did you mean cam-1" in err) == (3, True, True)
    text = settings.path.read_text()
    settings.path.write_text(text.replace("sources: [cam-*]", "sources: [cam-*, cam-11]"))  # and no data of it yet
    assert call("alerts", "disable", "dark@cam-11", "--why", "known")[0] == 0
    image = settings.workspace / "captures" / "cam-21" / "2026-11-01" / "a.jpg"
    image.parent.mkdir(parents=True)
    image.touch()
    assert call("alerts", "disable", "dark@cam-21", "--why", "not measured yet")[0] == 0
    assert call("alerts", "disable", "not-measured@", "--why", "of no source")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("snooze drift@cam-1 --why x", 2, "one of the arguments --until --for is required"),
        ("snooze drift@cam-1 --why x --until 2199-01-01 --for 8h", 2, "not allowed with argument"),
        ("snooze drift@cam-1 --why x --for 8", 2, "is not a length such as 8h"),
        ("snooze drift@cam-1 --why x --for 0h", 2, "is not a length such as 8h"),
        ("snooze drift@cam-1 --why x --until 2020-01-01", 2, "this end has passed"),
        ("snooze drift@cam-1 --why x --until soon", 2, "not a date"),
        ("ack drift@cam-1", 2, "--why"),
        ("ack drift@cam-1 --why=", 2, "say why"),
        ("ack drift@cam1 --why x", 3, "did you mean drift@cam-1"),
        ("show nothing", 3, "no alert has this name"),
        ("log nothing", 3, "no alert has this name"),
        ("enable drift@cam-1", 3, "not held back"),
        ("override drak --set below=1 --for 1d --why x", 2, "did you mean `dark`"),
        ("override dark --set below --for 1d --why x", 2, "not NAME=VALUE"),
        ("override dark --set colour=red --for 1d --why x", 2, "not NAME=VALUE"),
        ("override dark --set sure=maybe --for 1d --why x", 2, "not true or false"),
        ("override dark --set below=nan --for 1d --why x", 2, "finite"),
        ("override dark --set change=0.1 --for 1d --why x", 2, "one condition"),
        ("override dark --set severity=loud --for 1d --why x", 2, "cannot be changed so"),
        ("override dark --set below=1 --why x", 2, "--until TIME or --for LENGTH"),
        ("override dark --set below=1 --for 1d", 2, "say why"),
        ("override dark", 2, "what shall be changed?"),
        ("override dark --end --set below=1", 2, "--end stands alone"),
        ("test", 2, "add one to `alerts.channels`"),
    ],
)
def test_a_mistake_is_answered_in_words(arguments: str, code: int, words: str, call: Call) -> None:
    found, out, err = call("alerts", *arguments.split())
    assert (found, out) == (code, "")
    assert words in err


def test_an_override_holds_for_a_while_and_can_be_ended(call: Call, settings: Config) -> None:
    code, out, _ = call("alerts", "override", "dark", "--set", "below=80", "--set", "for=1", "--for", "2d",
                        "--why", "new lamp", "--by", "Ann")  # fmt: skip
    assert code == 0
    until = datetime.strptime(out.partition("until ")[2].strip(), "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    assert abs(until - datetime.now(UTC) - timedelta(days=2)) < timedelta(minutes=2)
    assert out.startswith("dark: below=80, for=1 until ")
    assert "is below 80" in call("rules", "check")[1]
    assert call("alerts", "deliver")[0] == 0
    with History.open(settings.history_url) as history:
        assert ("dark", "cam-1") in {(one.rule, one.source) for one in alerts.standing(history, "m")}
    assert call("alerts", "override", "dark", "--end") == (0, "1 override of dark ended\n", "")
    assert "is below 60" in call("rules", "check")[1]
    assert "below=80, for=1: new lamp" in call("alerts", "log")[1]


def test_the_log_tells_who_did_what_when_and_why(call: Call) -> None:
    call("alerts", "ack", "drift@cam-1", "--why", "on\nmy way", "--by", "Ann\x1b[2J")
    code, out, _ = call("alerts", "log", "drift@cam-1")
    assert code == 0
    heading, fired, acknowledged = out.splitlines()
    assert heading.split() == ["time", "alert", "source", "rule", "action", "by", "why"]
    assert "critical fired" in fired
    assert "Ann\\x1b[2J" in acknowledged
    assert acknowledged.endswith("on\\nmy way")
    assert len(call("alerts", "log")[1].splitlines()) == 4  # the other source's too


def test_rules_are_explained_and_replayed(call: Call) -> None:
    code, out, _ = call("rules", "check")
    assert code == 0
    assert "dark: fires for sources like cam-* when brightness.mean is below 60 with all of its interval" in out
    assert "    cam-1: 2026-11-02 and still" in out
    assert "    cam\\n9\\x1b[2J<b>: 2026-11-02 and still" in out
    assert out.count("never so far") == len(out.splitlines()) - out.count(": fires for ") - 2


class Hook(BaseHTTPRequestHandler):
    """A receiver that answers with what its server holds."""

    def do_POST(self) -> None:
        self.server.got.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(self.server.answer)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        server.got, server.answer = [], 500  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def hooked(settings: Config, hook: HTTPServer, tmp_path: Path) -> Config:
    url = f"http://127.0.0.1:{hook.server_address[1]}/"
    return config(tmp_path, f"channels: [{{name: ops, kind: webhook, url: '{url}', sources: [cam-1]}}]")


def test_a_message_that_does_not_arrive_is_told_and_tried_again(hooked: Config, hook: HTTPServer, call: Call) -> None:
    code, out, _ = call("alerts", "deliver")
    assert code == 7
    assert out.startswith("0 messages sent, 1 waits for another try, 0 given up\n")
    assert "1 message to ops waiting for another try: " in call("alerts", "list")[1]
    hook.answer = 200  # type: ignore[attr-defined]
    assert call("alerts", "deliver")[:2] == (0, "0 messages sent, 0 wait for another try, 0 given up\n")  # not due yet
    assert call("alerts", "deliver", "--again")[:2] == (0, "1 message sent, 0 wait for another try, 0 given up\n")
    assert "for another try" not in call("alerts", "list")[1]
    assert len(hook.got) == 2  # type: ignore[attr-defined]


def test_a_test_message_is_sent(hooked: Config, hook: HTTPServer, call: Call) -> None:
    assert call("alerts", "test")[0] == 7
    hook.answer = 204  # type: ignore[attr-defined]
    assert call("alerts", "test", "--channel", "ops")[:2] == (0, "ops: accepted the test message\n")
    code, _, err = call("alerts", "test", "--channel", "opps")
    assert (code, "there is no channel `opps`" in err, "ops" in err) == (2, True, True)


def test_the_schedule_tries_again_where_no_slot_is_due(hooked: Config, hook: HTTPServer) -> None:
    hook.answer = 200  # type: ignore[attr-defined]
    with History.open(hooked.history_url) as history:
        alerts.update(hooked, history)
    assert schedule.run_due(hooked) == []
    assert len(hook.got) == 1  # type: ignore[attr-defined]
    with History.open(hooked.history_url) as history:
        assert outbox.unsent(hooked, history) == []


def test_a_workspace_without_a_history_has_no_alerts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = config(tmp_path)
    for arguments, words in (("alerts list", "no alert is open"), ("alerts log", "nothing has happened yet"),
                             ("rules check", "never so far"), ("alerts deliver", "0 messages sent")):  # fmt: skip
        assert cli.main([*arguments.split(), "--config", str(load_config(made.workspace).path)]) == 0
        assert words in capsys.readouterr().out
