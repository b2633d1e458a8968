"""The outbox: nothing lost, nothing twice, over failures, restarts, kills and two senders."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alert_world import Receiver, config, day, drift, measured, verdict

from cvkit.config import Config
from cvkit.config.alerts import Channel
from cvkit.monitoring import alert_actions, alerts, outbox
from cvkit.monitoring.channels import DeliveryError
from cvkit.monitoring.history import History
from cvkit.monitoring.messages import Message
from cvkit.monitoring.schema import OUTBOX
from cvkit.storage import together

NOW = datetime.now(UTC).replace(microsecond=0)
KILLS = 50


def failing(times: int, *, retry_after_s: float | None = None) -> Receiver:
    error = DeliveryError("it is down", lasting=False, retry_after_s=retry_after_s)
    return Receiver([error] * times)


def round_of(settings: Config, history: History, receiver: Receiver, now: datetime) -> outbox.Delivered:
    return outbox.deliver(settings, history, receiver, clock=lambda: now, pause_s=0)


def test_a_channel_that_is_down_for_a_day_hears_everything_once_it_is_up(settings: Config, history: History) -> None:
    receiver, now = failing(10_000), NOW
    drift(history, "w")
    alerts.update(settings, history, now)
    tries = 0
    while now < NOW + timedelta(days=1):
        tries += round_of(settings, history, receiver, now).waiting
        now += timedelta(minutes=1)
    assert 24 <= tries <= 40  # grows to one an hour
    receiver.failures.clear()
    drift(history, "o", first=1)
    alerts.update(settings, history, now)
    round_of(settings, history, receiver, now + timedelta(hours=2))
    assert receiver.heard == [("cam-1", "drift", "fired"), ("cam-1", "drift", "resolved")]


def test_what_the_receiver_asks_for_is_kept(settings: Config, history: History) -> None:
    drift(history, "w")
    alerts.update(settings, history, NOW)
    receiver = failing(1, retry_after_s=600)
    round_of(settings, history, receiver, NOW)
    assert round_of(settings, history, receiver, NOW + timedelta(seconds=599)).sent == 0
    assert round_of(settings, history, receiver, NOW + timedelta(seconds=601)).sent == 1


def test_given_up_after_the_time_that_was_set_and_can_be_tried_again(settings: Config, history: History) -> None:
    drift(history, "w")
    alerts.update(settings, history, NOW)
    receiver = failing(3)
    round_of(settings, history, receiver, NOW)
    done = round_of(settings, history, receiver, NOW + timedelta(hours=73))
    assert (done.given_up, done.errors) == (1, ("it is down",))
    assert outbox.unsent(settings, history) == [("ops", "given up", 1, "it is down")]
    assert round_of(settings, history, receiver, NOW + timedelta(hours=80)).waiting == 0
    receiver.failures.clear()
    assert outbox.again(settings, history, NOW + timedelta(hours=80)) == 1
    assert round_of(settings, history, receiver, NOW + timedelta(hours=80)).sent == 1


def test_nobody_hears_of_the_end_before_the_beginning(settings: Config, history: History) -> None:
    measured(history, 0, [verdict("a", "noise", "warning"), verdict("b", "noise", "warning")])
    alerts.update(settings, history, NOW)
    receiver = failing(1)
    round_of(settings, history, receiver, NOW)  # the first fails and waits half a minute
    measured(history, 1, [verdict("a", "noise", "ok"), verdict("b", "noise", "ok")])
    alerts.update(settings, history, NOW)
    round_of(settings, history, receiver, NOW + timedelta(seconds=1))
    assert [event for source, _, event in receiver.heard if source == "a"] == []
    round_of(settings, history, receiver, NOW + timedelta(minutes=5))
    assert [event for source, _, event in receiver.heard if source == "a"] == ["fired", "resolved"]
    assert [event for source, _, event in receiver.heard if source == "b"] == ["fired", "resolved"]


def test_what_waits_and_what_was_sent_is_counted(settings: Config, history: History) -> None:
    measured(history, 0, [verdict("a", "noise", "warning"), verdict("b", "noise", "warning")])
    alerts.update(settings, history, NOW)
    round_of(settings, history, Receiver([DeliveryError("no", lasting=True)]), NOW)
    counts = outbox.counts(history, "m").set_index("status")
    assert counts.loc["waiting", ["channel", "n"]].tolist() == ["ops", 2]
    assert counts.loc["waiting", "oldest"] == NOW


def test_one_channel_that_is_down_does_not_hold_up_another(tmp_path: Path) -> None:
    two = ", ".join(f"{{name: {name}, kind: webhook, url: 'http://x'}}" for name in ("bad", "good"))
    settings = config(tmp_path, f"channels: [{two}]")
    heard: list[str] = []

    def send(channel, message: Message) -> None:
        if channel.name == "bad":
            raise DeliveryError("down", lasting=True)
        heard.append(channel.name)

    with History.open(settings.history_url) as history:
        drift(history, "w")
        alerts.update(settings, history, NOW)
        outbox.deliver(settings, history, send, clock=lambda: NOW, pause_s=0)
    assert heard == ["good"]


class Killed(BaseException):
    """In the place of a kill while a message is sent."""


def die(channel, message) -> None:
    raise Killed


def test_a_message_being_sent_is_left_alone_by_others_until_its_lease_is_over(settings, history) -> None:
    drift(history, "w")
    alerts.update(settings, history, NOW)
    with together(settings.workspace / "locks" / "outbox.lock"):  # somebody is at work
        with pytest.raises(Killed):
            outbox.deliver(settings, history, die, clock=lambda: NOW, pause_s=0)
        receiver = Receiver()
        assert round_of(settings, history, receiver, NOW + timedelta(seconds=30)).sent == 0
        assert round_of(settings, history, receiver, NOW + timedelta(minutes=5)).sent == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no locks that processes share")
def test_what_was_being_sent_at_a_kill_is_sent_by_the_next_command(settings, history) -> None:
    drift(history, "w")
    alerts.update(settings, history, NOW)
    with pytest.raises(Killed):
        outbox.deliver(settings, history, die, clock=lambda: NOW, pause_s=0)
    assert round_of(settings, history, receiver := Receiver(), NOW).sent == 1
    assert round_of(settings, history, receiver, NOW).sent == 0


def test_alerts_of_one_source_share_a_message_and_many_are_parted(settings: Config, history: History) -> None:
    measured(history, 0, [verdict("a", "noise", "warning"), verdict("a", "f1", "critical"),
                          verdict("b", "noise", "warning")])  # fmt: skip
    receiver = Receiver()
    alerts.update(settings, history, NOW)
    round_of(settings, history, receiver, NOW)
    assert [[one.rule for one in message.notices] for message in receiver.messages] == [
        ["model-worse", "drift"],
        ["drift"],
    ]


def test_a_fleet_can_share_one_message_a_rule(tmp_path: Path) -> None:
    settings = config(tmp_path, "group_by: rule\n  channels: [{name: ops, kind: webhook, url: 'http://x'}]")
    receiver = Receiver()
    with History.open(settings.history_url) as history:
        measured(history, 0, [verdict(f"cam-{n}", "noise", "warning") for n in range(25)])
        alerts.update(settings, history, NOW)
        round_of(settings, history, receiver, NOW)
    assert [len(message.notices) for message in receiver.messages] == [10, 10, 5]


def test_two_schedulers_raise_and_send_once(settings: Config, history: History) -> None:
    measured(history, 0, [verdict(f"cam-{n}", "noise", "warning") for n in range(20)])
    receiver, lock, errors = Receiver(), threading.Lock(), []

    def send(channel, message) -> None:
        with lock:
            receiver(channel, message)

    def scheduler() -> None:
        with History.open(settings.history_url) as own:
            try:
                alerts.update(settings, own, NOW)
                outbox.deliver(settings, own, send, clock=lambda: NOW, pause_s=0)
            except Exception as error:  # noqa: BLE001  raised again below
                errors.append(error)

    threads = [threading.Thread(target=scheduler) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not errors
    assert Counter(receiver.heard) == {(f"cam-{n}", "drift", "fired"): 1 for n in range(20)}


NIGHTS = """
import json, os, random, signal, sys, time
sys.path.insert(0, {tests!r})
from cvkit.config import load_config
from cvkit.config.alerts import Channel
from cvkit.monitoring import alert_actions, alerts, outbox
from cvkit.monitoring.history import History
from alert_world import measured, verdict

outbox.SPARE_S = outbox.PAUSE_S = 0.0  # leases end at once

def send(channel, message):
    line = json.dumps([message.id, [[n.source, n.event, n.window_start.isoformat()] for n in message.notices]])
    handle = os.open({heard!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (line + "\\n").encode())
    os.close(handle)

def work(night):
    with History.open(settings.history_url) as history:
        state = "warning" if night % 3 == 1 else "ok"
        measured(history, night, [verdict("cam-%d" % n, "noise", state) for n in range(3)])
        alerts.update(settings, history)
        outbox.deliver(settings, history, send, pause_s=0)

settings, rng, kills, night = load_config({folder!r}), random.Random(0), 0, 0
work(night)
started = time.monotonic()
work(night)
usual = 2 * (time.monotonic() - started)
while kills < {kills} or night < 3 or night % 3:
    child = os.fork()
    if not child:
        work(night)
        os._exit(0)
    if kills < {kills}:
        time.sleep(rng.uniform(0.0, usual))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    kills += os.WIFSIGNALED(status)
    night += status == 0
print(kills, night)
"""


def test_killed_at_any_moment_no_alert_is_lost_and_none_is_told_twice(tmp_path: Path) -> None:
    """A night's work is killed at random between judging and delivering, and simply called again."""
    channel = "{name: ops, kind: webhook, url: 'http://x', timeout_s: 0.01}"
    settings = config(tmp_path, f"flap_windows: 1\n  channels: [{channel}]")
    heard = tmp_path / "heard.jsonl"
    heard.touch()
    script = tmp_path / "nights.py"
    script.write_text(
        NIGHTS.format(tests=str(Path(__file__).parent), heard=str(heard), folder=str(tmp_path), kills=KILLS)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kills, night = map(int, done.stdout.split())
    assert kills >= KILLS
    assert night >= 3
    time.sleep(0.1)
    receiver = Receiver()
    with History.open(settings.history_url) as history:
        outbox.deliver(settings, history, receiver, pause_s=0)
        with history.reading() as connection:
            assert set(connection.scalars(sa.select(OUTBOX.c.status))) == {"sent"}
    messages = dict(json.loads(line) for line in heard.read_text().splitlines())  # copies have the same id
    for one in receiver.messages:
        messages[one.id] = [[notice.source, notice.event, notice.window_start.isoformat()] for notice in one.notices]
    told = Counter(tuple(notice) for notices in messages.values() for notice in notices)
    expected = {
        (f"cam-{n}", event, day(place).start.isoformat())
        for n in range(3) for place in range(1, night, 3) for event in ("fired", "resolved")
    }  # fmt: skip
    assert set(told) == expected
    assert max(told.values()) == 1


def test_after_days_without_a_channel_an_alert_is_told_once(settings: Config, history: History) -> None:
    receiver, now = failing(10_000), NOW
    drift(history, "w")
    while now < NOW + timedelta(hours=50):
        alerts.update(settings, history, now)
        round_of(settings, history, receiver, now)
        now += timedelta(hours=1)
    receiver.failures.clear()
    now += timedelta(hours=2)  # the longest pause between two tries is over
    round_of(settings, history, receiver, now)
    alerts.update(settings, history, now + timedelta(hours=23))
    round_of(settings, history, receiver, now + timedelta(hours=23))
    assert receiver.heard == [("cam-1", "drift", "fired")]
    told = alert_actions.log(settings, history)
    assert told[told["action"] == "told"]["why"].tolist() == ["fired"]
    alerts.update(settings, history, now + timedelta(hours=30))
    round_of(settings, history, receiver, now + timedelta(hours=30))
    assert receiver.heard[1:] == [("cam-1", "drift", "repeated")]


def test_what_is_being_sent_is_nobody_elses(settings: Config, history: History) -> None:
    drift(history, "w")
    alerts.update(settings, history, NOW)
    heard = Receiver()

    def slow(channel: Channel, message: Message) -> None:
        assert outbox.again(settings, history, NOW) == 0
        assert round_of(settings, history, heard, NOW).sent == 0

    assert outbox.deliver(settings, history, slow, clock=lambda: NOW, pause_s=0).sent == 1
    assert heard.messages == []
