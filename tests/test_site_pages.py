"""The site's own pages: what each says of a workspace whose names are hostile, and of one with nothing in it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from decision_world import evidence, settings, source
from made_up_workspace import HOSTILE, MadeUp, day, fresh, make, numbers
from versions_world import made_up

from cvkit.config import Config, champion
from cvkit.config.champion import Champions, Promotion
from cvkit.documentation.site import calendar_page, feed, status
from cvkit.documentation.site.pages import PAGES
from cvkit.documentation.site.situation import Document, Situation
from cvkit.documentation.site.survey import survey
from cvkit.maintenance import decisions, gate_results
from cvkit.maintenance.decision import decide
from cvkit.maintenance.gate_results import FLIPPED, PARTS, Result
from cvkit.monitoring import alert_actions, alerts
from cvkit.monitoring.history import History
from cvkit.monitoring.timeline import past
from cvkit.storage import write_text
from cvkit.tables import MEASUREMENTS, VERDICTS, conform, empty

NOW = datetime(2026, 11, 9, 6, tzinfo=UTC)
REPORTS = ((7, "01-data-quality", "", "done"), (7, "02-drift", HOSTILE, "done"), (6, "02-drift", "", "failed"))
RENDER: dict[str, Callable[[Situation, Callable[[str], str]], str]] = {page.address: page.render for page in PAGES}
RENDER["status"] = status.render


def link(address: str) -> str:
    return f"to/{address}"


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def judged(config: Config, name: str, outcome: str = "refused") -> str:
    """A version that the gate compared with the champion `external`."""
    version = made_up(config, name, parent=HOSTILE)
    rows = [
        {"part": part, "metric": metric, "champion": 0.7, "challenger": 0.8, "difference": 0.1, "low": 0.05,
         "high": 0.15, "images": 100, "verdict": "gained"}
        for part in ("old", "new") for metric in ("f1", "ap")
    ]  # fmt: skip
    result = Result(
        outcome, (f"because {HOSTILE}",), conform(pd.DataFrame(rows), PARTS), empty(FLIPPED), (20.0, 25.0), 1.25,
        (5_400_000, 6_000_000), (), "external", version.name, "t0", "k0", NOW,
    )  # fmt: skip
    gate_results.write(version.folder, result)
    return version.name


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Sources, people and reasons whose names are hostile; alerts, decisions, versions, another model."""
    made = make(tmp_path_factory.mktemp("pages") / "workspace", MadeUp(reports=REPORTS))
    with History.open(made.history_url) as history:
        alerts.update(made, history)
        alert_actions.acknowledge(made, history, "drift@cam-north", author=f"Ann {HOSTILE}", why=f"see {HOSTILE}")
        for drift in ("none", "look, bit by bit"):
            told = evidence(source(drift, "shown, bit by bit", "enough", name=HOSTILE))
            told = replace(told, model=made.model.name, version=HOSTILE)
            decisions.record(history, told, decide(told, settings()))
        measured, verdicts = numbers(MadeUp(sources=(HOSTILE,)), 7)
        for name in (f"other {HOSTILE}", "other (shadow)"):
            history.record(
                model=name, version="v9", window=day(7), reference_id="r", rules_id="r", measurements=measured,
                verdicts=verdicts, images=24, bad_images=0, started=day(7).end,
            )  # fmt: skip
        history.record_failure(made.model.name, made.version, day(8), day(8).end, "disk")
    name = judged(made, "second")
    log = (
        Promotion("external", "adopted", "cvkit.yml", "named", NOW - timedelta(days=5)),
        Promotion(name, "promoted", f"Bob {HOSTILE}", f"why {HOSTILE}", NOW - timedelta(days=3), forced=True),
        Promotion("external", "rolled back", "Eve", "worse", NOW - timedelta(days=2)),
    )
    state = Champions(made.written.model.weights, made.written.reference, log)
    write_text(made.workspace / champion.FOLDER / champion.FILE, champion.text(state))
    docs = made.workspace / "docs"
    (docs / "documents").mkdir()
    (docs / "documents" / "data-sheet.md").write_text(
        "# Sheet\n\n<!-- people: purpose -->\nwords\n<!-- /people -->\n\n<!-- people: use -->\n\n<!-- /people -->\n"
    )
    (docs / "documents" / "incident-report.md").write_text("<!-- people: a -->\nno end\n")
    (docs / "documents" / "incident-report-2026-11-07.md").write_text("# Of one night\n")
    (docs / "documents" / "notes.md").write_text("of no template\n")
    return made


@pytest.fixture(scope="module")
def situation(config: Config) -> Situation:
    return survey(config, NOW)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Situation:
    return survey(fresh(tmp_path_factory.mktemp("nothing") / "workspace"), NOW)


@pytest.mark.parametrize("page", RENDER)
def test_nothing_hostile_becomes_markup(page: str, situation: Situation) -> None:
    html = RENDER[page](situation, link)
    assert "<script" not in html
    assert "<i>expected" not in html
    assert "parts <inspection>" not in html
    assert HOSTILE in words(html) or page == "documents"


@pytest.mark.parametrize("page", RENDER)
def test_pages_are_well_formed(page: str, situation: Situation) -> None:
    html = RENDER[page](situation, link)
    html = re.sub(r"<details( class=\"[^\"]*\")? open>", "<details>", html).replace("&middot;", "")
    ET.fromstring(f"<div>{html}</div>")
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for head in re.findall(r"<th [^>]*>", html):
        assert 'scope="' in head


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("status", "cvkit run measures every window that is due"), ("calendar", "cvkit run"),
        ("alerts", "cvkit rules check"), ("reports", "cvkit run"), ("decisions", "cvkit retrain decide"),
        ("versions", "cvkit retrain"), ("documents", "cvkit card new"),
    ],
)  # fmt: skip
def test_where_there_is_nothing_a_command_makes_it(page: str, said: str, nothing: Situation) -> None:
    assert said in words(RENDER[page](nothing, link))


def test_a_champion_that_has_not_seen_the_newest_windows_is_not_called_all_right(situation: Situation) -> None:
    fine = situation.verdicts.assign(state="ok")
    said = {
        words: status.render(replace(situation, verdicts=fine, behind=words), link) for words in ("", "not <b> with it")
    }
    heads = [words(html[: html.index('<div class="cvkit-banner')]) for html in said.values()]
    assert heads[0].startswith("Nothing stands out")
    assert not heads[1].startswith("Nothing stands out")
    assert "not &lt;b&gt; with it" in said["not <b> with it"]


def test_the_table_answers_in_one_look(situation: Situation) -> None:
    html = status.render(situation, link)
    headline = words(html[: html.index('<div class="cvkit-banner')])
    assert headline.startswith("Something needs attention now since 5 Nov 2026 3 sources: 1 critical, 2 ok")
    assert f"Ann {HOSTILE} on 1" in headline
    table = html[html.index("<table") : html.index("</table>")]
    rows = [words(row) for row in re.findall(r"<tr.*?</tr>", table)]
    assert rows[1].startswith("parts <inspection> champion external for 2 days · no card yet: cvkit card new")
    assert rows[2].startswith("cam-north critical 5 Nov 2026 no labels sharpness")
    assert "for 4 days" in rows[2]
    assert rows[3].startswith("cam-south ok 1 Nov 2026")
    assert rows[4].startswith(f"{HOSTILE} ok")
    assert rows[5].startswith(f"other {HOSTILE} champion v9 for 30 hours")
    assert rows[6].startswith(f"{HOSTILE} critical 8 Nov 2026 or before")
    assert "shadow" not in words(table)
    links = re.findall(r'href="(to/[^"]+)"', table)
    assert [one.rpartition("/")[2][:8] for one in links] == ["01-data-", "01-data-", "02-drift"]
    assert "to/" not in table[table.index("other tor") :], "other models' pages are elsewhere"


def test_numbers_of_labels_and_estimates_stand_with_their_intervals(situation: Situation) -> None:
    rows = [
        {"source": "cam-south", "feature": "performance", "metric": "f1", "value": 0.81, "low": 0.7, "high": 0.9},
        {"source": "cam-south", "feature": "estimate", "metric": "ap", "value": 0.52, "low": 0.4, "high": 0.6},
    ]
    more = conform(pd.DataFrame(rows), MEASUREMENTS)
    window = situation.measurements["window_start"].max()
    tables = [situation.measurements, more.assign(window_start=window, window_end=window)]
    html = status.render(replace(situation, measurements=pd.concat(tables)), link)
    row = next(words(row) for row in re.findall(r"<tr.*?</tr>", html) if "cam-south" in row)
    assert "0.81 (0.70 to 0.90)" in row
    assert "estimated AP 0.52 (0.40 to 0.60)" in row


def test_the_calendar_leads_to_reports_and_tells_states_in_letters(situation: Situation) -> None:
    html = calendar_page.render(situation, link)
    north = next(row for row in re.findall(r"<tr.*?</tr>", html) if "cam-north" in row)
    letters = [words(cell) for cell in re.findall(r"<td.*?</td>", north)]
    assert letters[:10] == ["·"] * 4 + ["C"] * 4 + [calendar_page.LETTERS["failed"], ""]
    assert 'title="8 Nov 2026: critical, sharpness"' in north
    assert 'href="to/reports/2026-11-08/01-data-quality"' in north
    hostile = next(row for row in re.findall(r"<tr.*?</tr>", html) if "tor 3" in row)
    assert 'href="to/reports/2026-11-08/02-drift--tor-3' in hostile
    assert 'title="9 Nov 2026: could not be measured"' in hostile


def test_a_day_of_several_windows_shows_the_worst() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    rows = [
        {"window_start": pd.Timestamp(start + timedelta(hours=6 * n)), "version": "v", "source": "a", "state": state,
         "window_end": pd.Timestamp(start + timedelta(hours=6 * n + 6)), "rule": "drift", "feature": "noise"}
        for n, state in enumerate(("ok", "warning", "unknown", "failed"))
    ]  # fmt: skip
    rows[-1] |= {"source": "", "rule": "", "feature": ""}
    empty_frame = pd.DataFrame()
    situation = Situation(
        "m", "v", NOW, timedelta(hours=6), empty_frame, empty_frame, empty_frame, (), {}, past=pd.DataFrame(rows)
    )
    html = calendar_page.render(situation, link)
    assert 'title="1 Nov 2026 06:00 to 12:00: warning, noise, worst of 4 windows">W</span>' in html


def test_a_year_of_fifteen_sources_is_one_page_of_reasonable_size() -> None:
    days = pd.date_range("2025-12-01", periods=365, tz="UTC")
    table = pd.DataFrame(
        [
            (one, one + timedelta(days=1), f"camera-{n:02}", "v", "ok", "drift", "noise")
            for one in days
            for n in range(15)
        ],
        columns=["window_start", "window_end", "source", "version", "state", "rule", "feature"],
    )
    nothing = pd.DataFrame()
    known = Situation("m", "v", NOW, timedelta(days=1), nothing, nothing, nothing, (), {}, past=table)
    html = calendar_page.render(known, link)
    assert len(html) < 1_500_000
    assert html.count("<table") == 12
    assert html.count("<details") == 12 - calendar_page.OPEN_MONTHS


def test_a_window_measured_on_two_versions_counts_once_as_the_last(tmp_path: Path) -> None:
    with History.open(f"sqlite:///{tmp_path / 'h.db'}") as history:
        for version, state in (("old", "critical"), ("new", "ok")):
            verdicts = [{"source": "a", "rule": "drift", "feature": "noise", "state": state, "reason": ""}]
            history.record(
                model="m", version=version, window=day(0), reference_id="r", rules_id="r",
                measurements=empty(MEASUREMENTS), verdicts=conform(pd.DataFrame(verdicts), VERDICTS), images=1,
                bad_images=0, started=NOW,
            )  # fmt: skip
        found = past(history, "m")
    assert found[["source", "version", "state"]].to_numpy().tolist() == [["a", "new", "ok"]]


def test_alerts_tell_who_did_what(situation: Situation) -> None:
    told = words(RENDER["alerts"](situation, link))
    assert f"acknowledged by Ann {HOSTILE} see {HOSTILE}" in told
    assert "5 Nov 2026 open 4 days" in told
    assert told.index("Open") < told.index("Over None.")
    over = tuple(
        replace(one, state="resolved", until=one.since + timedelta(hours=30), returns=2) for one in situation.alerts
    )
    told = words(RENDER["alerts"](replace(situation, alerts=over), link))
    assert "5 Nov 2026 6 Nov 2026 06:00 30 hours resolved" in told
    assert "came back" in told.lower()


def test_decisions_tell_evidence_alternatives_and_what_would_change_them(situation: Situation) -> None:
    html = RENDER["decisions"](situation, link)
    newest, older = re.findall(r"<section.*?</section>", html)
    assert "<details open>" in newest
    assert "<details>" in older
    for said in ("Evidence", "F1 by labels 0.60 (0.55 to 0.65), reference 0.90", "brightness critical since 2026-11-09",
                 "Considered and rejected", "What would change it", "Rests on"):  # fmt: skip
        assert said in words(newest), said
    assert re.findall(r'<h2 id="(.*?)"', html) == ["decision-2", "decision-1"]


def test_versions_stand_beside_the_champion(situation: Situation) -> None:
    told = words(RENDER["versions"](situation, link))
    assert "refused because" in told
    assert f"promoted 2026-11-06 by Bob {HOSTILE}, until 2026-11-07" in told
    assert "0.700 to 0.800 +0.100 (+0.050 to +0.150)" in told
    assert "20.0 to 25.0 ms 1.25 times" in told
    assert "5.4 to 6.0 MB" in told
    assert "although the gate had not passed it" in told


def test_documents_show_what_is_there_and_what_is_to_do(situation: Situation) -> None:
    html = RENDER["documents"](situation, link)
    told = words(html)
    assert "3 of 13 documents are started" in told
    assert '<a href="to/documents/incident-report-2026-11-07">Incident report 2026-11-07</a>' in html
    assert "notes" not in html
    assert 'href="to/documents/data-sheet"' in html
    assert "missing: use: nobody has written it yet" in told
    assert "missing: privacy: this part of people is not there; `cvkit card fill --document data-sheet` puts it" in told
    assert "It cannot be checked:" in told
    assert "cvkit template new retraining-review" in told[told.index("To do") :]
    assert "cvkit card new" in told[told.index("To do") :]


def test_what_was_found_about_documents_is_kept(
    config: Config, situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cvkit.documentation import facts

    def fail(*arguments: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(facts, "know", fail)
    assert survey(config, NOW).documents == situation.documents
    with pytest.raises(AssertionError, match="read again"):
        survey(config, NOW + timedelta(days=1))


def test_the_card_is_told_of_in_the_table(situation: Situation) -> None:
    card = Document("model-card", "Model card", "model-card", flaw="damaged")
    html = status.render(replace(situation, documents=(card,)), link)
    assert '<a href="to/model-card">card</a> cannot be checked' in html


def test_the_feed_is_rss_whatever_names_hold(situation: Situation) -> None:
    bad = replace(situation, model=f"{HOSTILE} \x00\x0b ]]> \ufffe")
    root = ET.fromstring(feed.render(bad, lambda address: f"{address}/", "https://example.org/cv/").encode())
    channel = check_rss(root)
    assert channel.findtext("title", "").startswith(HOSTILE)
    items = channel.findall("item")
    titles = [one.findtext("title", "") for one in items]
    assert "critical alert raised: cam-north, drift" in titles
    assert f"report written: 02-drift, {HOSTILE}, 8 Nov 2026" in titles
    assert "report failed: 02-drift, 7 Nov 2026" in titles
    for one in items:
        assert one.findtext("link", "").startswith("https://example.org/cv/")
        assert datetime.strptime(one.findtext("pubDate", ""), "%a, %d %b %Y %H:%M:%S %Z")


def check_rss(root: ET.Element) -> ET.Element:
    """The channel of a feed that has what RSS 2.0 asks for (https://www.rssboard.org/rss-specification)."""
    assert (root.tag, root.get("version"), [one.tag for one in root]) == ("rss", "2.0", ["channel"])
    channel = root[0]
    assert all(len(channel.findall(name)) == 1 for name in ("title", "link", "description"))
    for item in (channel, *channel.findall("item")):
        assert item.findtext("title") or item.findtext("description")
        assert len(item.findall("link")) <= 1
        # "must begin with an IANA-registered URI scheme"
        assert all(re.match(r"(https?|about):", one.text or "") for one in item.findall("link"))
    for name in ("pubDate", "lastBuildDate"):
        assert all(parsedate_to_datetime(one.text or "").tzinfo for one in channel.iter(name))
    named = [one.text for one in channel.iter("guid") if one.get("isPermaLink") == "false"]
    assert len(set(named)) == len(named) == len(list(channel.iter("guid"))) == len(channel.findall("item"))
    return channel


def test_without_an_address_the_feed_has_no_links_that_lead_nowhere(situation: Situation) -> None:
    channel = check_rss(ET.fromstring(feed.render(situation, lambda address: f"{address}/", "").encode()))
    assert len(channel.findall("item")) > 3
    assert [one.text for one in channel.iter("link")] == ["about:blank"]
