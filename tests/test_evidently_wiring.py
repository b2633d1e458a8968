"""Evidently beside a job: its page beside 02-drift, its numbers in the history, a link on the site; or none of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pandas as pd
import pytest

from cvkit import job
from cvkit.config import Config, load_config
from cvkit.documentation import site
from cvkit.documentation.notebooks import interactive_page, report_path
from cvkit.monitoring.history import History
from cvkit.tables import Window
from cvkit.workspace import packaged

WINDOW = Window.day("2026-10-01")
FIRST_DAY, DAYS = date(2026, 9, 1), 6  # of the reference
PARAMETERS = 'config: str = "cvkit.yml"\nwindow_start: str = ""\nwindow_end: str = ""\nsource: str = ""'
SETTINGS = """
model: {{name: test, classes: [nut]}}
captures: {{images: "captures/{{source}}/{{date}}/{{time}}.png"}}
reference: {{start: 2026-09-01, end: 2026-09-07}}
evidently: {evidently}
"""
LINK = '<a href="evidently.html"'
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@dataclass(frozen=True)
class Done:
    """A workspace after a job of one window."""

    config: Config
    outcome: job.Outcome
    site: Path

    def page(self, notebook: str) -> Path:
        return interactive_page(report_path(self.config, notebook, WINDOW))

    def on_site(self, notebook: str) -> Path:
        return self.site / "reports" / WINDOW.label / notebook

    def measured(self) -> pd.DataFrame:
        with History.open(self.config.history_url) as history:
            return history.measurements(start=WINDOW.start, end=WINDOW.end, model="test")


def done(folder: Path, evidently: str) -> Done:
    """One camera, six reference days and one day as ever; two notebooks that take no time, one by the name 02-drift."""
    shutil.copytree(packaged("skeleton"), folder)
    rng = np.random.default_rng(0)
    for day in [*(FIRST_DAY + timedelta(days=i) for i in range(DAYS)), WINDOW.start.date()]:
        target = folder / "captures" / "cam-1" / day.isoformat()
        target.mkdir(parents=True)
        for hour in range(24):
            picture = rng.normal(110 + rng.normal(0, 3), 8, (48, 64, 3))
            assert cv2.imwrite(str(target / f"{hour:02d}0000.png"), np.clip(picture, 0, 255).astype(np.uint8))
    (folder / "notebooks").mkdir()
    for name in ("01-data-quality", "02-drift"):
        cell = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "notebooks" / f"{name}.ipynb")
    (folder / "cvkit.yml").write_text(SETTINGS.format(evidently=evidently))
    config = load_config(folder)
    outcome = job.run(config, [WINDOW], notebooks=["01-data-quality", "02-drift"])
    return Done(config, outcome, site.build(config, strict=True))


@pytest.fixture(scope="module")
def with_page(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return done(tmp_path_factory.mktemp("evidently") / "on", "true")


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return done(tmp_path_factory.mktemp("evidently") / "off", "false")


def test_evidentlys_page_lies_beside_the_drift_report_only(with_page: Done) -> None:
    assert not with_page.outcome.failures
    assert "<title>Evidently: 2026-10-01</title>" in with_page.page("02-drift").read_text(encoding="utf-8")
    assert not with_page.page("01-data-quality").exists()


def test_its_numbers_stand_in_the_history_beside_cvkits_own(with_page: Done) -> None:
    table = with_page.measured()
    own = table[(table["source"] == "cam-1") & (table["metric"] == "ks")].set_index("feature")["p_value"]
    theirs = table[table["metric"] == "evidently_ks"].set_index("feature")["value"]
    assert {"brightness", "contrast", "sharpness"} <= set(theirs.index)
    pd.testing.assert_series_equal(theirs, own[theirs.index], check_names=False, rtol=1e-12)
    (share,) = table.loc[table["metric"] == "evidently_drift_share", "value"]
    assert 0 <= share <= 1


def test_the_site_links_the_page_where_it_lies(with_page: Done) -> None:
    assert LINK in (with_page.on_site("02-drift") / "index.html").read_text(encoding="utf-8")
    copy = with_page.on_site("02-drift") / "evidently.html"
    assert "<title>Evidently: 2026-10-01</title>" in copy.read_text(encoding="utf-8")
    assert LINK not in (with_page.on_site("01-data-quality") / "index.html").read_text(encoding="utf-8")


def test_switched_off_there_is_none_of_it(without: Done) -> None:
    assert not without.outcome.failures
    assert not without.page("02-drift").exists()
    assert not without.measured()["metric"].str.startswith("evidently").any()
    assert LINK not in (without.on_site("02-drift") / "index.html").read_text(encoding="utf-8")
    assert not (without.on_site("02-drift") / "evidently.html").exists()
