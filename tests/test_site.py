"""The site: what its pages say, what they must not say, and what building it leaves behind."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_workspace import HOSTILE, MadeUp, day, fresh, make, numbers

from cvkit.config import load_config
from cvkit.documentation import site
from cvkit.documentation.site import rendering, sources, status, trends, unchanged
from cvkit.documentation.site.situation import Situation
from cvkit.errors import ConfigError, CvkitError, DataError, ReportError
from cvkit.monitoring import pages
from cvkit.storage import lock

REPORTS = (
    (7, "01-data-quality", "", "done"),
    (7, "02-drift", "", "failed"),
    (7, "02-drift", HOSTILE, "done"),
    (6, "02-drift", "", "missing"),
    (5, "02-drift", "", "damaged"),
    (4, "02-drift", "", "running"),
    (3, "02-drift", "", "done"),
)


class Page(HTMLParser):
    """What a page loads, links to and says."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.said: list[str] = []
        self.classes: list[str] = []
        self.silent = 0
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.classes.append(values.get("class", ""))
        self.silent += tag in ("script", "style")
        if tag == "a":
            self.links.append(values.get("href", ""))
        elif tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.loads.append(values.get("href", ""))
        self.loads += [values[name] for name in ("src", "srcset", "data") if values.get(name)]

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with sources good and bad, and reports of every kind; nothing but the damaged one is warned of."""
    folder = tmp_path_factory.mktemp("site") / "workspace"
    stranger = "reports/2026-11-08/left over <i>.ipynb"
    config = make(folder, MadeUp(reports=REPORTS, extra={stranger: "{}"}))
    told: list[str] = []
    assert site.build(config, warn=told.append) == folder / "site"
    assert [words.split(" is no notebook")[0] for words in told] == [
        f"The site was built in spite of: {folder / 'reports' / '2026-11-06' / '02-drift.ipynb'}"
    ]
    return folder


def test_the_status_page_tells_state_and_reason_in_words(built: Path) -> None:
    page = Page(built / "site" / "index.html")
    assert "1 critical, 2 ok" in page.text
    assert "champion external for" in page.text
    assert "Last measured window 8 Nov 2026" in page.text
    assert "Bad images in it 5" in page.text
    assert "Something needs attention now since 5 Nov 2026" in page.text
    assert "<i>expected</i> 2.6" in page.text  # markup in a reason is shown, not followed
    assert "parts <inspection>" in page.text
    assert "days before this page was made" in page.text or "hours before" in page.text


def test_sources_that_need_attention_come_first(built: Path) -> None:
    text = Page(built / "site" / "index.html").text
    assert text.index("cam-north") < text.index("cam-south") < text.index("tor 3 #|")


def test_nothing_hostile_becomes_markup(built: Path) -> None:
    for file in (built / "site").rglob("*.html"):
        html = file.read_text(encoding="utf-8")
        assert "<script>alert" not in html, file
        assert "<b>no</b>" not in html, file
    assert "tor 3 #|\"<script>alert('x')</script>& ☃ 'y'" in Page(built / "site" / "index.html").text


def test_addresses_are_safe(built: Path) -> None:
    for file in (built / "site").rglob("*.html"):
        assert re.fullmatch(r"[A-Za-z0-9/_.-]+", file.relative_to(built / "site").as_posix())


def test_every_link_leads_somewhere(built: Path) -> None:
    from urllib.parse import unquote, urldefrag

    for file in (built / "site").rglob("index.html"):
        for href in Page(file).links:
            path, anchor = urldefrag(href)
            if "://" in path:
                continue
            target = (file.parent / unquote(path)).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{file}: {href}"
            assert not anchor or f'id="{anchor}"' in target.read_text(encoding="utf-8") or target != file


def test_pages_load_nothing_from_elsewhere(built: Path) -> None:
    for file in (built / "site").rglob("*.html"):
        outside = [address for address in Page(file).loads if re.match(r"(https?:)?//", address)]
        assert not outside, f"{file}: {outside}"
        html = file.read_text(encoding="utf-8")
        assert "Content-Security-Policy" in html
        assert "cdnjs" not in html
        most = 500_000 if file.parent.name == "python" else 200_000  # that is all of cvkit's docstrings
        assert len(html) < most, "mkdocs-jupyter's style sheets are back in every page"


def test_the_index_lists_every_report_with_its_state(built: Path) -> None:
    page = Page(built / "site" / "reports" / "index.html")
    assert "7 reports, 4 of them not as they should be" in page.text
    for word in ("failed", "file missing", "file damaged", "not finished"):
        assert word in page.text
    assert "ValueError: <b>no</b> images # at all" in page.text
    assert "left over <i>.ipynb" in page.text  # a file the history knows nothing of
    assert page.text.index("8 Nov 2026") < page.text.index("4 Nov 2026")


def test_a_failed_report_says_so_above_everything(built: Path) -> None:
    page = Page(built / "site" / "reports" / "2026-11-08" / "02-drift" / "index.html")
    assert "This report failed" in page.text
    assert page.text.index("This report failed") < page.text.rindex("Report about 02-drift")  # the table names it first
    assert "ValueError: <b>no</b> images # at all" in page.text


def test_a_report_says_what_it_is_about(built: Path) -> None:
    folder = next((built / "site" / "reports" / "2026-11-08").glob("02-drift--*"))
    page = Page(folder / "index.html")
    assert f"Source {HOSTILE} Notebook 02-drift Model version external Status done" in page.text
    assert "Executed 2026-11-09 00:00 UTC, took 9 s" in page.text
    assert page.text.replace(" ", "").count("draw()") == 1, "the copy button's text is left"
    assert list(folder.glob("*.ipynb")), "the executed notebook is offered"


def test_search_finds_a_report_by_its_day(built: Path) -> None:
    found = json.loads((built / "site" / "search" / "search_index.json").read_text())["docs"]
    titles = [entry["title"] for entry in found if "zebrafish 2026-11-04" in entry["text"].lower()]
    assert titles
    assert any("02-drift · 2026-11-04" in entry["title"] for entry in found)


def test_the_navigation_starts_with_status_and_reports(built: Path) -> None:
    links = [link for link in Page(built / "site" / "about-this-model" / "index.html").links if link.startswith("..")]
    navigation = list(dict.fromkeys(links))
    assert navigation[navigation.index("..") + 1 :][:3] == ["../calendar/", "../alerts/", "../reports/"]


def test_old_reports_are_not_rendered_again(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> str:
        raise AssertionError("rendered again")

    monkeypatch.setattr(rendering, "render", fail)
    before = (built / "site" / "reports" / "2026-11-04" / "02-drift" / "index.html").read_text()
    site.build(load_config(built))
    assert (built / "site" / "reports" / "2026-11-04" / "02-drift" / "index.html").read_text() == before
    assert not list(built.glob(".site.*"))


def test_a_failing_build_says_why_and_keeps_the_site(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    shutil.copytree(built, folder, ignore=shutil.ignore_patterns(".cache", "reports", "history.db*"))
    (folder / "docs" / "broken.md").write_text("[nowhere](nowhere.md)\n")
    with pytest.raises(ReportError, match=r"broken\.md.*nowhere\.md"):
        site.build(load_config(folder), strict=True)
    assert "1 critical" in Page(folder / "site" / "index.html").text
    site.build(load_config(folder))
    assert "Nothing has been measured yet" in Page(folder / "site" / "index.html").text


def test_a_fresh_workspace_says_what_to_do(tmp_path: Path) -> None:
    folder = site.build(fresh(tmp_path / "workspace"))
    assert "cvkit run measures every window that is due" in Page(folder / "index.html").text
    assert "No report has been written yet" in Page(folder / "reports" / "index.html").text


def test_the_users_own_front_page_stays(tmp_path: Path) -> None:
    config = fresh(tmp_path / "workspace")
    (config.workspace / "docs" / "index.md").write_text("# Our line\n")
    folder = site.build(config)
    assert "Our line" in Page(folder / "index.html").text
    assert "Nothing has been measured yet" in Page(folder / "status" / "index.html").text
    (config.workspace / "docs" / "reports.md").write_text("# Mine\n")
    with pytest.raises(ReportError, match=r"reports\.md"):
        site.build(config)


def test_bad_settings_are_explained(tmp_path: Path) -> None:
    config = fresh(tmp_path / "workspace")
    settings = config.workspace / "mkdocs.yml"
    settings.write_text(settings.read_text() + "docs_dir: elsewhere\n")
    with pytest.raises(ConfigError, match=r"elsewhere"):
        site.build(config)
    with pytest.raises(ConfigError):
        site.serve(config, "not an address")
    settings.unlink()
    with pytest.raises(ConfigError, match=r"mkdocs\.yml"):
        site.build(config)


def test_errors_of_the_workspace_keep_their_kind(tmp_path: Path) -> None:
    config = fresh(tmp_path / "workspace")
    (config.workspace / "cvkit.yml").write_text("model: {weights: gone.pt}\nreference: {data: data.yaml}\n")
    with pytest.raises(DataError, match="weights are missing"):
        site.build(load_config(config.workspace))


def test_without_its_weights_a_model_is_still_shown(tmp_path: Path) -> None:
    config = make(tmp_path / "workspace", MadeUp())
    text = (config.workspace / "cvkit.yml").read_text()
    (config.workspace / "cvkit.yml").write_text(text.replace("model: {", "model: {weights: gone.pt, ", 1))
    assert config.version in Page(site.build(load_config(config.workspace)) / "index.html").text


def test_a_cut_off_cache_of_pages_is_made_again(tmp_path: Path) -> None:
    config = make(tmp_path / "workspace", MadeUp(reports=REPORTS[:1]))
    site.build(config)
    page = config.workspace / "site" / "reports" / "2026-11-08" / "01-data-quality" / "index.html"
    whole = page.read_bytes()
    kept = config.workspace / ".cache" / "reports"
    (cache,) = (file for file in kept.iterdir() if file.name not in (unchanged.FILES, unchanged.PAGES))
    for length in (0, 100, -1):
        cache.write_bytes(cache.read_bytes()[:length])
        site.build(config)
        assert page.read_bytes() == whole


def test_two_builds_do_not_meet(tmp_path: Path) -> None:
    config = fresh(tmp_path / "workspace")
    with (
        lock(config.workspace / "locks" / "site.lock", "building"),
        pytest.raises(CvkitError, match="building this site"),
    ):
        site.build(config)


def test_without_a_workspace_the_page_says_so(tmp_path: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Project\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: x\ntheme: {name: material, font: false}\nplugins: [cvkit]\n")
    build(load_config(str(tmp_path / "mkdocs.yml"), strict=True))
    assert "There is no workspace here yet" in Page(tmp_path / "site" / "status" / "index.html").text
    assert "Content-Security-Policy" not in (tmp_path / "site" / "index.html").read_text()


@given(st.text(), st.text())
def test_safe_names_are_safe_and_keep_apart(one: str, other: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{1,69}", pages.page_name(one)) or one == ""
    assert (pages.page_name(one) == pages.page_name(other)) == (one == other)


def trend(values: list[float], low: float = 0.0, high: float = 1.0) -> trends.Trend:
    n = len(values)
    times = [datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=i) for i in range(n)]
    return trends.Trend("brightness", "grey", times, values, [0.5] * n, [low] * n, [high] * n, ["ok"] * n)


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=40))
def test_a_trend_line_is_valid_and_stays_in_its_box(values: list[float]) -> None:
    picture = ET.fromstring(trends.sparkline(trend(values), "brightness of <b>cam</b>"))
    numbers = [float(n) for node in picture for n in re.findall(r"-?\d+\.\d+", node.get("points", ""))]
    assert all(-8 <= number <= trends.WIDTH + 8 for number in numbers)
    assert picture.get("aria-label", "").startswith("brightness of <b>cam</b>: ")


def test_a_window_without_value_leaves_a_gap() -> None:
    picture = ET.fromstring(trends.sparkline(trend([0.1, 0.2, float("nan"), 0.4, 0.5]), "x"))
    assert len([node for node in picture if node.get("class") == "cvkit-line"]) == 2


def test_a_trend_in_words() -> None:
    words = trends.describe(trend([0.25, 0.75, 0.5]))
    assert words == "0.5 in the newest of 3 windows, expected 0 to 1; lowest 0.25, highest 0.75"


def frames(made_up: MadeUp, days: list[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables = [numbers(made_up, number) for number in days]
    windows = [{"window_start": pd.Timestamp(day(n).start), "window_end": pd.Timestamp(day(n).end)} for n in days]
    return tuple(  # type: ignore[return-value]
        pd.concat([pair[kind].assign(**window) for pair, window in zip(tables, windows, strict=True)])
        for kind in (0, 1)
    )


def test_a_source_that_vanished_is_unknown_not_ok() -> None:
    measured, judged = frames(MadeUp(sources=("a", "b"), blurred_from=99), [0, 1, 2])
    judged = judged[(judged["source"] == "a") | (judged["window_start"] < pd.Timestamp(day(2).start))]
    found = {source.name: source for source in sources.sources(judged, measured)}
    assert found["a"].state == "ok"
    assert found["b"].state == "unknown"
    assert found["b"].since == day(2).start
    assert found["b"].reasons == (("unknown", "images", "nothing was measured of it since the window of 2 Nov 2026"),)


def test_since_is_the_start_of_the_present_stretch() -> None:
    measured, judged = frames(MadeUp(sources=("a",), blurred_from=2), [0, 1, 2, 3])
    (found,) = sources.sources(judged, measured)
    assert (found.state, found.since) == ("critical", day(2).start)
    assert found.trends[0].name == "sharpness"
    assert [state for _, state in found.past] == ["ok", "ok", "critical", "critical"]
    measured, judged = frames(MadeUp(sources=("a",), blurred_from=9), [0, 1, 2, 3])
    (found,) = sources.sources(judged, measured)
    assert (found.state, found.since) == ("ok", day(0).start)


def test_a_feature_that_was_not_measured_shows_no_value() -> None:
    measured, judged = frames(MadeUp(sources=("a",), blurred_from=9), [0, 1, 2])
    newest = pd.Timestamp(day(2).start)
    measured = measured[measured["window_start"] < newest]
    judged.loc[(judged["window_start"] == newest) & (judged["rule"] == "data"), "state"] = "unknown"
    (found,) = sources.sources(judged[(judged["window_start"] < newest) | (judged["rule"] == "data")], measured)
    assert (found.state, found.since) == ("unknown", day(2).start)
    assert "no value in the newest of 3 windows, not measured" in trends.describe(found.trends[0])


def test_measurements_that_failed_or_are_old_are_told() -> None:
    measured, judged = frames(MadeUp(sources=("a",)), [0])
    run = {"window_start": pd.Timestamp(day(0).start), "window_end": pd.Timestamp(day(0).end), "images": 3}
    later = {"window_start": pd.Timestamp(day(1).start), "window_end": pd.Timestamp(day(1).end)}
    runs = pd.DataFrame(
        [{**run, "status": "done", "rules_id": "old", "bad_images": 1, "error": ""},
         {**later, "status": "failed", "error": "no <captures>"}]
    )  # fmt: skip
    situation = Situation(
        "m", "v", datetime(2026, 11, 30, tzinfo=UTC), timedelta(days=1), runs, judged, measured, (), {"rules_id": "new"}
    )
    html = status.render(situation, lambda address: address)
    assert "The window of 2 Nov 2026 could not be measured" in html
    assert "no &lt;captures&gt;" in html
    assert "The newest window ended 28 days before this page was made" in html
    assert "1 window, 2026-11-01, was judged by other rules" in html
