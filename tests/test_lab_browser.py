"""The panel in a real JupyterLab, in a real browser: every kind of control, and what it leaves behind."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import NO_BROWSER, chromium
from lab_server import PATIENCE, TOKEN, serving
from lab_world import DAYS, measured

from cvkit import cli, job
from cvkit.config import Config
from cvkit.monitoring.history import History
from cvkit.storage import packaged
from cvkit.workspace import copy_missing

pytestmark = NO_BROWSER


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = measured(tmp_path_factory.mktemp("lab") / "plant")
    with History.open(config.history_url) as history:
        job.tell(config, history)
    copy_missing(packaged("notebooks"), config.workspace / "notebooks")
    assert cli.main(["card", "new", "--config", str(config.path)]) == 0
    return config


class Lab:
    """One open notebook."""

    def __init__(self, browser: Any, address: str) -> None:
        self.address, self.complaints, self.outside = address, [], []
        self.page = browser.new_page(viewport={"width": 1280, "height": 1400})
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.address, self.address.replace("http", "ws"), "data:", "blob:")):
            self.outside.append(request.url)

    def run(self, notebook: str) -> None:
        """Open a notebook and run all of it, until no cell is busy or one has failed: those below it never run.

        The notebook's own indicator says idle before there is a kernel, and then nothing runs: the status bar knows.
        """
        self.page.goto(f"{self.address}/lab/tree/{notebook}?token={TOKEN}&reset")
        self.page.locator(".jp-Notebook .jp-Cell").first.click()
        self.page.wait_for_selector("#jp-main-statusbar >> text=/\\| Idle/")
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
        failed = ".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']"
        try:
            self.page.wait_for_function(
                """failed => { const p = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
                               return document.querySelector(failed) ||
                                   p.length && p.every(e => /\\[\\d+\\]/.test(e.textContent)); }""",
                arg=failed,
            )
        except Exception as error:
            raise AssertionError(f"{notebook}: {self.page.locator('body').inner_text()}") from error
        errors = self.page.locator(failed)
        assert errors.count() == 0, errors.all_inner_texts()


@pytest.fixture(scope="module")
def lab(workspace: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with serving(workspace, tmp_path_factory.mktemp("jupyter")) as address, chromium() as browser:
        yield Lab(browser, address)


def changes(lab: Lab, what: str, do: Any) -> None:
    """`do` something, and wait until the text or picture at a CSS selector is another."""
    read = """selector => { const e = [...document.querySelectorAll(selector)].find(one => one.offsetParent);
                            return e ? (e.currentSrc || e.innerText) : '' }"""
    before = lab.page.evaluate(read, what)
    do()
    lab.page.wait_for_function(f"before => ({read})({what!r}) !== before", arg=before)


def pictures_come(lab: Lab) -> None:
    """Look at the gallery that is seen until a picture of it is there, as its reader would.

    Figures above it may still change their height, and move it out of sight.
    """
    lab.page.wait_for_function(
        """() => { const seen = [...document.querySelectorAll('.cvkit-gallery figure')].filter(f => f.offsetParent);
                   seen[0]?.scrollIntoView({ block: 'center' });
                   return seen.some(f => f.querySelector('img')?.naturalWidth > 50); }""",
        polling=500,
    )


def tab(lab: Lab, title: str) -> None:
    lab.page.locator(".widget-tab .lm-TabBar-tab", has_text=title).first.click()


def slide(lab: Lab, number: int, times: int, key: str = "ArrowRight") -> None:
    """Move the slider that is the `number`th of those seen."""
    handle = lab.page.locator(".noUi-handle:visible").nth(number)
    handle.focus()
    for _ in range(times):
        lab.page.keyboard.press(key)


TREND, SOME = ".cvkit-picture img", ".widget-tab .cvkit-picture img"


def test_a_newcomer_s_tour_runs_to_its_end(lab: Lab) -> None:
    lab.run("notebooks/00-start-here.ipynb")
    lab.page.wait_for_function("() => document.querySelector('.cvkit-picture img')?.naturalWidth > 300")
    assert "light changed" in lab.page.locator(".jp-Notebook").inner_text()
    assert lab.page.locator(".Toastify__toast").count() == 0  # no question about news


@pytest.fixture(scope="module")
def panel(lab: Lab) -> Lab:
    lab.run("notebooks/explore.ipynb")
    lab.page.wait_for_function("() => document.querySelector('.cvkit-picture img')?.naturalWidth > 300")
    lab.page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 1e6)")
    return lab


def test_the_pickers_and_the_trend(panel: Lab) -> None:
    page, said = panel.page, panel.page.locator(".cvkit-said").first
    page.wait_for_selector(f"text={DAYS[-1]}: ")
    picture = page.locator(".cvkit-picture").first
    picture.focus()
    changes(panel, ".cvkit-said", lambda: page.keyboard.press("ArrowLeft"))
    assert DAYS[-2] in said.inner_text()
    changes(panel, ".cvkit-said", lambda: page.locator("button[title='the window before']").click())
    assert DAYS[-3] in said.inner_text()
    box = picture.bounding_box()
    across = [box["x"] + share * box["width"] for share in (0.3, 0.7)]
    page.mouse.move(across[0], box["y"] + 80)
    page.mouse.down()
    page.mouse.move(across[1], box["y"] + 80, steps=5)
    changes(panel, TREND, page.mouse.up)  # the stretch alone is drawn
    picture.focus()
    changes(panel, TREND, lambda: page.keyboard.press("Escape"))
    changes(panel, TREND, lambda: page.locator(".widget-dropdown select").nth(2).select_option(label="noise"))
    changes(panel, TREND, lambda: page.locator(".widget-dropdown select").nth(0).select_option(label="cam-1"))
    changes(panel, TREND, lambda: page.locator(".widget-dropdown select").nth(0).select_option(label="cam-2"))


def test_drift_is_chosen_from_lists(panel: Lab) -> None:
    tab(panel, "Drift")
    page = panel.page
    changes(panel, SOME, lambda: page.locator(".cvkit-bars [role=option]", has_text="brightness").first.click())
    page.locator(".cvkit-gallery figure:visible figcaption", has_text="brightness").first.wait_for()
    pictures_come(panel)
    page.locator(".widget-tab", has_text="Kolmogorov").first.wait_for()


def test_images_are_sorted_walked_and_picked(panel: Lab) -> None:
    tab(panel, "Images")
    page = panel.page
    pictures_come(panel)
    first = ".cvkit-gallery figure figcaption"
    changes(
        panel,
        first,
        lambda: page.locator("select:visible", has_text="brightness").last.select_option(label="brightness"),
    )
    page.locator(".cvkit-gallery figure:visible").first.focus()
    for key in ("ArrowRight", "Space", "ArrowRight", "Space", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(".cvkit-large:visible img")
    page.keyboard.press("Escape")
    assert page.locator(".cvkit-gallery figure[aria-selected=true]:visible").count() == 2
    page.get_by_role("button", name=re.compile("label batch")).click()
    page.wait_for_selector("text=/label-plans|labels-to-make|written to/")


def test_anomalies_follow_the_slider(panel: Lab) -> None:
    tab(panel, "Anomalies")
    panel.page.wait_for_selector(".widget-tab .cvkit-picture img:visible")
    changes(panel, SOME, lambda: slide(panel, 0, 3))


def test_performance_says_how_to_get_labels(panel: Lab) -> None:
    tab(panel, "Performance")
    panel.page.wait_for_selector("text=/cvkit labels plan/")


def test_thresholds_are_replayed(panel: Lab) -> None:
    tab(panel, "Thresholds")
    panel.page.wait_for_selector(".widget-tab .cvkit-picture img:visible")
    slide(panel, 0, 2)
    panel.page.wait_for_selector("text=/This setting: /")
    panel.page.wait_for_selector("text=/false_alarms_per_year: /")


def test_an_alert_is_acknowledged_for_the_command_line_too(
    panel: Lab, workspace: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    tab(panel, "Alerts")
    page = panel.page
    page.locator("input[placeholder^='a reason']:visible").fill("a lamp <b>is</b> being changed")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Acknowledge").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('option')].some(o => o.textContent.includes('acknowledged'))"
    )
    assert cli.main(["alerts", "log", "--config", str(workspace.path)]) == 0
    said = capsys.readouterr().out
    assert "acknowledged" in said
    assert "a lamp <b>is</b> being changed" in said


def test_a_field_of_the_card_is_in_the_file(panel: Lab, workspace: Config) -> None:
    tab(panel, "Model card")
    page = panel.page
    page.locator("textarea:visible").fill("Sorts parts on line 7. *Not* for <script>people</script>.")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Preview").click()
    page.wait_for_selector(".cvkit-preview:visible em")
    assert page.locator(".cvkit-preview script").count() == 0
    page.get_by_role("button", name="Save", exact=True).click()
    deadline = time.monotonic() + PATIENCE / 1000
    card = workspace.workspace / "docs" / "model-card.md"
    while "Sorts parts on line 7." not in card.read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "Sorts parts on line 7. *Not* for <script>people</script>." in card.read_text()


def test_nothing_is_complained_of_and_nobody_outside_is_asked(lab: Lab) -> None:
    assert [text for text in lab.complaints if "favicon" not in text] == []
    assert lab.outside == []
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", lab.address)


def test_what_was_typed_outlives_the_kernel(panel: Lab, workspace: Config) -> None:
    page = panel.page
    page.locator("textarea:visible").fill("half a sentence that nobody saved")
    page.keyboard.press("Tab")
    drafts = workspace.workspace / ".cache" / "cvkit" / "drafts"
    deadline = time.monotonic() + PATIENCE / 1000
    while not any("half a sentence" in file.read_text() for file in drafts.rglob("*.*")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.click('.lm-Menu-item[data-command="kernelmenu:restart"]')
    page.click(".jp-Dialog .jp-mod-accept")
    panel.run("notebooks/explore.ipynb")
    tab(panel, "Model card")
    page.wait_for_function(
        "() => [...document.querySelectorAll('textarea')].some(t => t.value.includes('half a sentence'))"
    )
