"""The demo: what was planted is found, on its camera and since its day, and nothing else; reports say the same."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from browsing import NO_BROWSER, Visit, chromium, search, served, visiting

from cvkit import demo, demo_world, job
from cvkit.config import Config
from cvkit.documentation import documents, facts, site
from cvkit.errors import ConfigError
from cvkit.monitoring import alerts, diagnosis, monitor
from cvkit.monitoring.history import History
from cvkit.tables import Window

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
REPORTED = Window.day("2026-10-16")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, job.Outcome]:
    """The demo's 21 days, measured, with the reports of one of them."""
    config = demo.prepare(tmp_path_factory.mktemp("demo") / "line")
    with History.open(config.history_url) as history:
        windows = monitor.due(config, history, demo_world.END)
    assert len(windows) == demo_world.DAYS
    job.run(config, [w for w in windows if w != REPORTED], notebooks=[])
    return config, job.run(config, [REPORTED])


def verdicts(config: Config) -> pd.DataFrame:
    with History.open(config.history_url) as history:
        return history.verdicts()


def test_the_planted_faults_are_found_and_nothing_else(measured: tuple[Config, job.Outcome]) -> None:
    everything = diagnosis.diagnose(verdicts(measured[0]))
    found = everything[everything["evidence"] != "f1"]
    told = [(row.source, f"{row.since:%Y-%m-%d}", str(row.what).split(":")[0]) for row in found.itertuples()]
    assert told == [
        (demo_world.DIRTY_CAMERA, demo_world.DIRTY_FROM.isoformat(), "picture less sharp"),
        (demo_world.SPRING_CAMERA, demo_world.SPRING_FROM.isoformat(), "new kind of object"),
        (demo_world.FROZEN_CAMERA, demo_world.FROZEN_DAYS[0].isoformat(), "frozen camera"),
    ]
    assert f"{found['until'].iloc[2]:%Y-%m-%d}" == demo_world.FROZEN_DAYS[1].isoformat()
    assert found["until"].isna().tolist() == [True, True, False]
    mistakes = everything[everything["evidence"] == "f1"].set_index("source")["since"].dt.date
    assert set(mistakes.index) == {demo_world.DIRTY_CAMERA, demo_world.SPRING_CAMERA}  # labels tell these too
    assert demo_world.DIRTY_FROM <= mistakes[demo_world.DIRTY_CAMERA] <= demo_world.DIRTY_FROM + timedelta(days=7)
    assert mistakes[demo_world.SPRING_CAMERA] >= demo_world.SPRING_FROM


def test_the_new_object_shows_in_the_predictions_too(measured: tuple[Config, job.Outcome]) -> None:
    table = verdicts(measured[0])
    springs = table[(table["source"] == demo_world.SPRING_CAMERA) & (table["rule"] == "drift")]
    late = springs[springs["window_start"] >= pd.Timestamp(demo_world.SPRING_FROM, tz="UTC")]
    assert (late.loc[late["feature"] == "confidence", "state"] == "critical").any()


def test_reports_and_history_give_the_same_numbers(measured: tuple[Config, job.Outcome]) -> None:
    config, outcome = measured
    assert outcome.failures == ()
    table = verdicts(config)
    told = table[(table["window_start"] == REPORTED.start) & table["state"].isin(["warning", "critical"])]
    text = "".join(_text(path) for path in sorted((config.workspace / "reports" / REPORTED.label).glob("*.ipynb")))
    shown = [reason for reason in told["reason"] if reason in text]
    assert len(told) >= 10
    assert len(shown) >= 8, "the reports list the first reasons of each source in the history's very words"


def test_the_demo_ends_with_its_alerts(measured: tuple[Config, job.Outcome]) -> None:
    config, outcome = measured
    open_ones = {(alert.source, alert.rule): alert for alert in outcome.told.alerts}
    assert {source for source, _ in open_ones} == {demo_world.DIRTY_CAMERA, demo_world.SPRING_CAMERA}
    assert {rule for _, rule in open_ones} == {"drift", "bad-images", "model-worse"}
    dirt = open_ones[demo_world.DIRTY_CAMERA, "drift"]
    assert dirt.facts["cause"].startswith("picture less sharp: dirty lens")
    with History.open(config.history_url) as history:
        notice = alerts.notice(config, history, dirt)
    assert "cvkit site serve" in notice.report  # the newest day has no report in this test
    assert notice.n >= 20
    assert notice.low < notice.value < notice.high  # type: ignore[operator]


def test_the_champions_card_is_nearly_complete_before_anybody_writes(measured: tuple[Config, job.Outcome]) -> None:
    known = facts.know(measured[0], demo_world.END)
    told = facts.told(known)
    text = documents.renewed(documents.template(documents.CARD), known, told, "card", documents.CARD).text
    assert documents.check(text, known, told, "card", documents.CARD).complete >= 0.85


@NO_BROWSER
def test_every_page_of_the_demos_site_loads_quietly(measured: tuple[Config, job.Outcome]) -> None:
    config, _ = measured
    folder = site.build(config, strict=True)
    pages = [page.relative_to(folder).as_posix() for page in sorted(folder.rglob("*.html"))]
    pages = [page for page in pages if not page.endswith("evidently.html")]  # a page of Evidently's own
    assert len(pages) >= 25
    with served(folder) as address, chromium() as browser:
        for page in pages:
            with visiting(browser, address) as seen:
                seen.open(page.removesuffix("index.html"))
                _follow(seen, folder)
        with visiting(browser, address) as seen:
            seen.open("")
            search(seen.page, "cam-3", "[href*='reports/20']")


def _follow(seen: Visit, folder: Path) -> None:
    """Every link of a page leads to a file of the site, and to a place in it where it names one."""
    hrefs = seen.page.evaluate(
        "[...document.querySelectorAll('a[href], link[href], img[src]')].map(n => n.href || n.src)"
    )
    for href in {href for href in hrefs if href.startswith(seen.address)}:
        path, _, anchor = href.removeprefix(seen.address).partition("#")
        file = folder / unquote(path)
        file = file / "index.html" if file.is_dir() else file
        assert file.is_file(), f"{seen.page.url} leads to {href}"
        if anchor and file.suffix == ".html":
            assert f'id="{unquote(anchor)}"' in _raw(file), f"{seen.page.url} leads to {href}"


@cache
def _raw(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _text(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return html.unescape(
        "".join("".join(data.get(kind, "")) for data in outputs for kind in ("text/html", "text/markdown"))
    )


def test_the_demo_leaves_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something else"):
        demo.prepare(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_demo_that_is_there_goes_only_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "line"
    folder.mkdir()
    for name in (demo.MARK, "model-card.md"):
        (folder / name).write_text("mine")
    with pytest.raises(ConfigError, match="--anew"):
        demo.prepare(folder)
    assert (folder / "model-card.md").read_text() == "mine"
    demo._check(folder, anew=True)
    (folder / demo.MARK).write_text(demo.UNFINISHED)  # as of one that was killed
    (folder / f".{demo.MARK}.0123.part").touch()
    demo._check(folder, anew=False)
    demo._clear(folder)
    assert not (folder / "model-card.md").exists()
    assert (folder / demo.MARK).exists()


def test_a_demo_is_seen_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its captures are its own, though there are others where it was started."""
    (tmp_path / "captures" / "cam-9" / "2026-10-01").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in ("DAYS", "REFERENCE_DAYS", "OLD_DAYS"):
        monkeypatch.setattr(demo_world, name, 1)
    config = demo.prepare(Path("line"))
    assert config.captures.images == "captures/{source}/{date}/{time}.jpg"
    assert config.workspace == tmp_path / "line"


# -- the generated world ----------------------------------------------------------------------------------------------

DAY = date(2026, 10, 20)


def test_the_same_seed_gives_the_same_frame_in_any_order() -> None:
    first = [demo_world.frame(0, "cam-1", DAY, number) for number in range(3)]
    again = [demo_world.frame(0, "cam-1", DAY, number) for number in (2, 1, 0)][::-1]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.picture, other.picture)
    assert not np.array_equal(first[0].picture, demo_world.frame(1, "cam-1", DAY, 0).picture)


def test_boxes_lie_in_the_picture_around_something_bright() -> None:
    for number in range(20):
        shown = demo_world.frame(3, "cam-2", DAY, number)
        for x1, y1, x2, y2 in shown.boxes:
            assert 0 <= x1 < x2 <= demo_world.WIDTH
            assert 0 <= y1 < y2 <= demo_world.HEIGHT
            inside = shown.picture[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1]
            assert inside.max() > 150


@pytest.mark.parametrize(
    ("camera", "day", "dirty", "springs"),
    [
        ("cam-1", date(2026, 10, 9), False, False),
        ("cam-1", date(2026, 10, 10), True, False),
        ("cam-2", date(2026, 10, 15), False, False),
        ("cam-2", date(2026, 10, 16), False, True),
        ("cam-3", date(2026, 10, 21), False, False),
    ],
)
def test_faults_are_planted_where_they_are_said_to_be(camera: str, day: date, dirty: bool, springs: bool) -> None:
    state = demo_world.condition(camera, day)
    assert (state.dirt > 0, state.springs) == (dirty, springs)
    kinds = {kind for number in range(24) for kind in demo_world.frame(0, camera, day, number, state).classes}
    assert (demo_world.SPRING in kinds) == springs


def test_dirt_takes_sharpness() -> None:
    def sharpness(dirt: float) -> float:
        state = replace(demo_world.condition("cam-1", date(2026, 10, 1)), dirt=dirt)
        return float(
            np.mean([np.diff(demo_world.frame(0, "cam-1", DAY, i, state).picture.astype(int)).var() for i in range(4)])
        )

    assert sharpness(0.0) > sharpness(0.4) > sharpness(1.0)
