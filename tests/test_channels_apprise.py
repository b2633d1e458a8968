"""Apprise: its json:// into a server on this machine, one address or several, and what cannot be."""

from __future__ import annotations

import logging

import pytest
from channel_servers import raw, silent, web
from made_up_messages import both, channel
from test_channels_http import TOKEN, _no_proxy, failed  # noqa: F401  # the fixture looks for threads left behind

from cvkit.config.alerts import Channel
from cvkit.monitoring.channels import apprise, send, text

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # imported by Apprise
pytest.importorskip("apprise", reason="Apprise is not installed: pip install 'cvkit[apprise]'")


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> object:
    def make(*urls: str, **settings: object) -> Channel:
        monkeypatch.setenv("APPRISE", "\n".join(urls))
        return channel("apprise", secret="env:APPRISE", **settings)

    return make


def _json(url: str) -> str:
    return url.replace("http://", "json://")


def test_the_whole_text_arrives_at_every_address(targets: object, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with web(lambda _asked: (200, {}, b"")) as server:
        send(targets(f"{_json(server.url)}/{TOKEN}", "# a note", f"{_json(server.url)}/b"), both())  # type: ignore[operator]
    assert [asked.path for asked in server.asked] == [f"/{TOKEN}", "/b"]
    assert server.asked[0].json["title"] == text.subject(both())
    sent = server.asked[0].json["message"]
    assert [line.strip() for line in sent.splitlines()] == [line.strip() for line in text.plain(both()).splitlines()]
    assert TOKEN not in caplog.text
    assert not [name for name in apprise.LOGGERS if logging.getLogger(name).filters], "loggers speak again"


def test_an_address_that_fails_is_counted(targets: object) -> None:
    with web(lambda asked: (500 if TOKEN in asked.path else 200, {}, b"")) as server:
        error = failed(targets(f"{_json(server.url)}/{TOKEN}", f"{_json(server.url)}/b"), TOKEN, "json://")  # type: ignore[operator]
    assert "1 of 2 addresses failed" in error.found
    assert len(server.asked) == 2


def test_redirects_are_not_followed(targets: object) -> None:
    with web(lambda _a: (200, {}, b"")) as other, web(lambda _a: (307, {"Location": other.url}, b"")) as server:
        failed(targets(f"{_json(server.url)}/{TOKEN}"), TOKEN)  # type: ignore[operator]
    assert other.asked == []


def test_time_is_kept(targets: object) -> None:
    with raw(silent) as port:
        error = failed(targets(f"json://127.0.0.1:{port}/{TOKEN}", timeout_s=0.5), TOKEN)  # type: ignore[operator]
    assert not error.lasting


@pytest.mark.parametrize("bad", [f"nothing://{TOKEN}", TOKEN, "# only a note", f"slack://{TOKEN}"])
def test_an_address_that_is_none(targets: object, bad: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = failed(targets(bad), TOKEN)  # type: ignore[operator]
    assert error.lasting
    assert TOKEN not in caplog.text


def test_without_apprise_it_says_what_to_install(targets: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise, "find_spec", lambda _name: None)
    error = failed(targets(f"json://{TOKEN}"), TOKEN)  # type: ignore[operator]
    assert error.lasting
    assert "cvkit[apprise]" in error.remedy
