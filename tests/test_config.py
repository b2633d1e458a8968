"""Settings: what is wrong is said with line, expectation and the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cvkit.config import Config, load_config, parse_config, schema
from cvkit.errors import ConfigError, DataError
from cvkit.workspace import commented, create

FILE = Path("/somewhere/cvkit.yml")
GOOD = "reference:\n  data: data.yaml\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "model:\n  confidnce: 0.2\n", ["cvkit.yml:4", "model.confidnce", "did you mean `confidence`"]),
        (GOOD + "modle:\n  name: x\n", ["cvkit.yml:3", "did you mean `model`"]),
        (GOOD + "model:\n  confidence: 3\n", ["cvkit.yml:4", "less than or equal to 1", "found: 3"]),
        (GOOD + "model:\n  confidence: 'high'\n", ["cvkit.yml:4", "number", "'high'"]),
        (GOOD + "rules:\n  minimum_images: true\n", ["cvkit.yml:4", "whole number", "True"]),
        (GOOD + "rules:\n  drift_warning: 2.0\n", ["cvkit.yml:3", "below its warning limit"]),
        (GOOD + "window_hours: 5\n", ["cvkit.yml:3", "1, 2, 3"]),
        (GOOD + "captures:\n  time_zone: Europe/Berln\n", ["cvkit.yml:4", "Europe/Berlin"]),
        (GOOD + "captures:\n  time_zone: localtime\n", ["cvkit.yml:4", "another zone on each machine"]),
        (
            GOOD + "schedule:\n  - notebook: a\n  - notebook: b\n    cron: 61 * * * *\n",
            ["cvkit.yml:6", "cron expression"],
        ),
        (GOOD + "model:\n  name: a\nmodel:\n  name: b\n", ["cvkit.yml:5", "twice"]),
        ("window_hours: 24\n", ["reference", "found: nothing"]),
        ("reference:\n  data: a\n  start: 2026-01-01\n  end: 2026-02-01\n", ["either `data`"]),
        ("reference: [1\n", ["as YAML"]),
        ("reference: {start: 2026-01-01,\n  end: 2026-13-01}\n", ["cvkit.yml:2", "month must be in"]),
        (GOOD + "model:\n  classes: cat\n", ["cvkit.yml:4", "a list", "'cat'"]),
        (GOOD + "model:\n  classes: [a, b, a]\n", ["cvkit.yml:4", "`a` comes 2 times"]),
        (GOOD + "rules:\n  drift_warning: .inf\n", ["cvkit.yml:4", "finite"]),
        (GOOD + "rules:\n  ignore: [brightnes]\n", ["cvkit.yml:4", "no `brightnes`", "did you mean `brightness`"]),
        ("reference:\n  start: 2026-01-01 10:00:00\n", ["cvkit.yml:2", "a day, e.g.", "found: 2026-01-01T10"]),
        ("a: " * 5000, ["as YAML"]),
        ("", ["empty"]),
        ("- a\n", ["not a mapping"]),
    ],
)
def test_a_mistake_is_explained(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, FILE)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("text", "expected", "found"), [
    ("captures:\n  time_zone: Europe/Berln\n", "an IANA time zone such as Europe/Berlin",
     "'Europe/Berln': no such zone is known; did you mean `Europe/Berlin`?"),
    ("captures:\n  time_zone: localtime\n", "an IANA time zone such as Europe/Berlin",
     "'localtime': it is another zone on each machine"),
    ("schedule:\n  - notebook: b\n    cron: 61 * * * *\n",
     "a cron expression, five fields such as '0 6 * * *' for 06:00 every day", "'61 * * * *': Bad minute"),
    ("schedule:\n  - notebook: b\n    cron: '*/90 * * * *'\n",
     "a cron expression, five fields such as '0 6 * * *' for 06:00 every day",
     "'*/90 * * * *': a step of 90, and no more than 60 minutes to go through"),
    ("schedule:\n  - notebook: b\n    cron: '" + "6 " * 200 + "'\n",
     "a cron expression, five fields such as '0 6 * * *' for 06:00 every day", ": not five fields"),
])  # fmt: skip
def test_what_is_expected_is_told_apart_from_what_was_found(text: str, expected: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(GOOD + text, FILE)
    assert caught.value.expected == expected
    assert caught.value.found.endswith(found)
    assert len(caught.value.found) < 260


def test_a_key_left_empty_keeps_its_default() -> None:
    text = GOOD + "rules:\nmodel:\n  weights:\nschedule:\n  - notebook: a\n    source:\n"
    config = parse_config(text, FILE)
    assert config.rules.minimum_images == 20
    assert (config.model.weights, config.schedule[0].source) == ("", "")


def test_paths_are_seen_from_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "cvkit.yml").write_text(GOOD)
    config = load_config(tmp_path)
    assert config.workspace == tmp_path
    assert config.resolve("a/b.pt") == tmp_path / "a" / "b.pt"
    assert config.history_url == f"sqlite:///{tmp_path / 'history.db'}"


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cvkit init"):
        load_config(tmp_path)


def test_the_version_is_the_hash_of_the_weights(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"abc")
    config = parse_config(GOOD + "model:\n  weights: a.pt\n", tmp_path / "cvkit.yml")
    assert config.version == "ba7816bf8f01"  # SHA-256 of "abc", FIPS 180-2
    assert parse_config(GOOD, tmp_path / "cvkit.yml").version == "external"
    with pytest.raises(DataError, match="weights are missing"):
        _ = parse_config(GOOD + "model:\n  weights: b.pt\n", tmp_path / "cvkit.yml").version


def test_the_commented_file_shows_every_setting_and_reads_back() -> None:
    settings = {"reference": {"data": "data.yaml"}, "model": {"name": 'a "quoted" #name', "confidence": 0.4}}
    text = commented(settings)
    config = parse_config(text, FILE)
    assert config.model.name == 'a "quoted" #name'
    assert config.model.confidence == 0.4
    assert config.rules == Config(reference=config.reference).rules
    for section in yaml.safe_load(schema_text())["$defs"].values():
        for name in section["properties"]:
            assert f"{name}:" in text


def schema_text() -> str:
    import json

    return json.dumps(schema())


def test_the_published_schema_is_the_one_in_use() -> None:
    import json

    published = Path(__file__).parents[1] / "docs" / "reference" / "cvkit.schema.json"
    assert json.loads(published.read_text()) == schema(), "run: cvkit schema > docs/reference/cvkit.schema.json"


def test_create_refuses_to_overwrite_and_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.yaml").write_text("names: [a]\n")
    config = create(tmp_path / "w", {"reference": {"data": "data.yaml"}})
    assert config.reference.data == str(tmp_path / "data.yaml")
    with pytest.raises(ConfigError, match="already"):
        create(tmp_path / "w", {"reference": {"data": "data.yaml"}})
    with pytest.raises(DataError, match="does not exist"):
        create(tmp_path / "v", {"reference": {"data": "nowhere.yaml"}})
    assert not (tmp_path / "v" / "cvkit.yml").exists()


@pytest.mark.parametrize("name", ['"\\ud83d"', '"nut\\nbolt"'])
def test_names_that_no_file_can_hold_on_a_line_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.classes"):
        parse_config(GOOD + f"model:\n  classes: [{name}]\n", FILE)


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("{name: a, kind: slack}", "`secret` for a channel of kind slack"),
        ("{name: a, kind: slack, secret: https://hooks.slack.com/services/s3cr3t}", "never the secret itself"),
        ("{name: a, kind: slack, secret: 'env:https://hooks.slack.com/s3cr3t'}", "never the secret itself"),
        ("{name: a, kind: slack, secret: 'file:s3cr3t'}", "the whole path"),
        ("{name: a, kind: webhook}", "`url` for a channel of kind webhook"),
        ("{name: a, kind: webhook, url: 'https://u:s3cr3t@a.example'}", "without name and password"),
        ("{name: a, kind: webhook, url: 'http://a.example/s3cr3t', secret: env:TOKEN}", "not sent in the clear"),
        ("{name: a, kind: webhook, url: 'HTTP://a.example/s3cr3t', secret: env:TOKEN}", "not sent in the clear"),
        ("{name: a, kind: webhook, url: 'https://a.example/s3cr3t', user: u}", "`secret` beside `user`"),
        ("{name: a, kind: email, host: h, sender: a@b, to: [c@d], secret: env:P}", "`user` beside `secret`"),
        (
            "{name: a, kind: email, host: h, sender: a@b, to: [c@d], user: u, secret: env:P, security: none}",
            "not sent in the clear",
        ),
    ],
)
def test_channels_are_checked_and_no_secret_is_shown(channel: str, words: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse_config(f"reference: {{data: data.yaml}}\nalerts: {{channels: [{channel}]}}\n", FILE)
    assert words in str(told.value)
    assert "s3cr3t" not in str(told.value)


def test_a_secret_may_go_in_the_clear_on_this_machine() -> None:
    channel = "{name: a, kind: webhook, url: 'http://127.0.0.1:9', secret: env:TOKEN}"
    config = parse_config(f"reference: {{data: data.yaml}}\nalerts: {{channels: [{channel}]}}\n", FILE)
    assert config.alerts.channels[0].secret == "env:TOKEN"
