"""The pages on alerts: what they show holds, and every link of a message leads to a place that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alert_world import config, measured, number, verdict
from made_up_workspace import HOSTILE, MadeUp, day, make

from cvkit.config import load_config, parse_config
from cvkit.config.alerts import DEFAULT_RULES, AlertRule
from cvkit.documentation import site
from cvkit.monitoring import alerts, causes, pages
from cvkit.monitoring.diagnosis import CAUSES
from cvkit.monitoring.history import History
from cvkit.storage import packaged

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "alerts.md").read_text(encoding="utf-8")
RUNBOOK = packaged("skeleton") / "docs" / "runbook.md"
PARTS = {
    causes.advice(cause)[1]
    for cause in (*causes.ADVICE, causes.NOT_MEASURED[0], causes.NOT_JUDGED[0], causes.OWN_LIMIT[0])
}


def snippets() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_settings_it_shows_can_be_used() -> None:
    parsed = [parse_config(f"reference: {{data: data.yaml}}\n{text}", ROOT / "cvkit.yml") for text in snippets()]
    assert [len(one.alerts.channels) for one in parsed] == [1, 0]
    names = [rule.name for rule in parsed[1].alerts.rules]
    assert len(names) == 8
    assert len(parsed[1].alerts.all_rules) == len(DEFAULT_RULES) + len(names) - 1  # one takes a default one's place


def fires_on(rule: AlertRule) -> str:
    return "missing" if rule.missing else rule.state


def test_the_table_of_default_rules_is_the_rules() -> None:
    lines = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?)\|$", PAGE, flags=re.MULTILINE)
    shown = [(name, metric, on, int(times), severity, bool(rest.strip())) for name, metric, on, times, severity, rest
             in lines]  # fmt: skip
    assert shown == [
        (rule.name, rule.metric, fires_on(rule), rule.for_windows, rule.severity or "that of the verdict",
         rule.inhibits)
        for rule in DEFAULT_RULES
    ]  # fmt: skip


def test_every_state_is_in_the_table() -> None:
    from typing import get_args

    from cvkit.monitoring.alert_store import State

    assert [line for line in get_args(State) if f"\n| {line} |" not in PAGE] == []


def test_every_likely_cause_has_advice() -> None:
    assert not {cause for cause, _ in CAUSES} - set(causes.ADVICE)


def test_the_site_leads_to_the_procedure_that_the_runbook_leads_to() -> None:
    parts = re.split(r"^## .*\{#(.*)\}$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    steps = [re.findall(r"\]\(procedures/(.*)\.md\)", text) for text in parts[1::2]]
    assert dict(zip(parts[::2], steps, strict=True)) == {part: [page] for part, page in causes.PROCEDURES.items()}


def test_the_runbook_has_a_section_for_each_cause_and_no_other() -> None:
    sections = re.split(r"^## .*\{#([a-z-]+)\}$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors, bodies = sections[1::2], sections[2::2]
    assert sorted(anchors) == sorted(PARTS)
    for anchor, body in zip(anchors, bodies, strict=True):
        labels = re.findall(r"^- \*\*(.+?):\*\*", body, flags=re.MULTILINE)
        assert labels == ["How it shows", "Make sure", "Do", "Over", "Step by step"], anchor


@pytest.mark.parametrize(
    ("page", "on_site", "file"),
    [
        ("runbook.md#light", "https://a.example/x/runbook/#light", "docs/runbook.md#light"),
        ("docs/lens.md#clean", "https://a.example/x/lens/#clean", "docs/lens.md#clean"),
        ("runbook/#light", "https://a.example/x/runbook/#light", "docs/runbook.md#light"),
        ("deep/lens.md", "https://a.example/x/deep/lens/", "docs/deep/lens.md"),
        ("https://wiki.example/p#q", "https://wiki.example/p#q", "https://wiki.example/p#q"),
    ],
)
def test_a_page_of_the_runbook_is_found_with_and_without_a_site(
    page: str, on_site: str, file: str, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "runbook.md").touch()
    assert pages.runbook(config(tmp_path, "site: https://a.example/x/"), page) == on_site
    wanted = file if "://" in file else f"{tmp_path}/{file}"
    assert pages.runbook(config(tmp_path), page) == wanted


@pytest.mark.parametrize("own_runbook", [True, False])
def test_messages_lead_to_pages_of_the_site_and_to_files(tmp_path: Path, own_runbook: bool) -> None:
    """Reports of a hostile source's name too, for every alert of a workspace whose site is built strictly."""
    reports = ((7, "02-drift", "", "done"), (7, "02-drift", HOSTILE, "done"))
    made = make(tmp_path / "workspace", MadeUp(sources=(HOSTILE, "cam-2"), reports=reports))
    if not own_runbook:  # as in workspaces that were made before there was one
        (made.workspace / "docs" / "runbook.md").unlink()
    with History.open(made.history_url) as history:
        (alert,) = alerts.update(made, history).alerts
        by_file = alerts.notice(made, history, alert)
        text = made.path.read_text() + "alerts: {site: 'https://a.example/line/'}\n"
        made.path.write_text(text)
        by_site = alerts.notice(load_config(made.path), history, alert)
    file, _, anchor = by_file.runbook.partition("#")
    assert f"{{#{anchor}}}" in Path(file).read_text()
    assert Path(by_file.report).is_file()
    built = site.build(load_config(made.path), strict=True)
    for address in (by_site.runbook, by_site.report):
        path, _, anchor = address.removeprefix("https://a.example/line/").partition("#")
        page = built / path / "index.html"
        assert page.is_file(), address
        assert not anchor or f'id="{anchor}"' in page.read_text()
    assert day(7).label in by_site.report
    status = (built / "index.html").read_text()
    assert f'href="{by_site.report.removeprefix("https://a.example/line/")}"' in status
    assert 'href="runbook/"' in status  # in the navigation


def test_a_rule_with_classes_waits_for_numbers_of_classes(tmp_path: Path) -> None:
    made = config(tmp_path, "rules: [{name: unsure, metric: class_confidence, classes: [scr*], below: 0.6}]")
    with History.open(made.history_url) as history:
        measured(history, 0, [verdict("a", "noise", "ok")])
        assert alerts.update(made, history).alerts == ()
        rows = [number("a", "class_confidence", value, class_name=name) for name, value in
                (("dent", 0.2), ("scratch", 0.5))]  # fmt: skip
        measured(history, 1, [verdict("a", "noise", "ok")], rows)
        (found,) = alerts.update(made, history).alerts
    assert found.facts["class_name"] == "scratch"
