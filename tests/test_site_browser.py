"""The site in a real browser: what a person sees, on a screen and on a phone, by day and by night."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from browsing import NO_BROWSER, Visit, chromium, search, served, visiting
from made_up_workspace import HOSTILE, MadeUp, make

from cvkit.documentation import documents, facts, site
from cvkit.monitoring import alerts
from cvkit.monitoring.history import History

pytestmark = NO_BROWSER

OWN = ("", "calendar/", "alerts/", "reports/", "decisions/", "versions/", "documents/")
PAGES = (
    *OWN,
    "reports/2026-11-08/02-drift/",
    "about-this-model/",
    "runbook/",
    "procedures/drift-alarm/",
    "model-card/",
    "help/glossary/",
    "help/community/",
    "help/python/",
    "404.html",
)
AXE = Path(os.environ.get("AXE_CORE") or Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js")
WIDE = "data:image/svg+xml,<svg xmlns=\\'http://www.w3.org/2000/svg\\' width=\\'600\\' height=\\'9\\'/>"  # a picture
READABLE = 4.5  # WCAG 2.1 AA, contrast of text
# The least contrast of text a person can see against what is painted behind it, and the text it was found on.
CONTRAST = """
() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const behind = node => {
    const layers = [];
    for (let n = node; n; n = n.parentElement) layers.push(rgba(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let worst = [99, ''];
  const walker = document.createTreeWalker(document.querySelector('.md-content'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    const style = getComputedStyle(node);
    if (!text || !node.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (['TITLE', 'SCRIPT', 'STYLE'].includes(node.tagName.toUpperCase())) continue;
    const ground = behind(node), ink = rgba(node.tagName === 'text' ? style.fill : style.color);
    const [a, b] = [light(over(ink, ground)), light(ground)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < worst[0]) worst = [contrast, text];
  }
  return worst;
}
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    reports = (
        (7, "01-data-quality", "", "done"), (7, "02-drift", "", "failed"), (7, "02-drift", HOSTILE, "done"),
        (6, "02-drift", "", "missing"),
    )  # fmt: skip
    made = make(tmp_path_factory.mktemp("browser") / "workspace", MadeUp(reports=reports))
    with History.open(made.history_url) as history:
        alerts.update(made, history)
    known = facts.know(made, datetime(2026, 11, 9, tzinfo=UTC))
    documents.start(made, documents.CARD, known, facts.told(known))
    with served(site.build(made)) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture
def visit(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A page in the colour scheme and width that the test asks for."""
    with visiting(browser, address, *getattr(request, "param", ())) as seen:
        yield seen


def test_lights_have_words(visit: Visit) -> None:
    visit.open("")
    cards = visit.page.locator(".cvkit-card")
    assert [card.locator(".cvkit-word").inner_text() for card in cards.all()] == ["critical", "ok", "ok"]
    assert cards.locator(".cvkit-title .cvkit-light").first.is_visible()
    assert cards.last.locator("h3").inner_text() == HOSTILE
    assert cards.first.locator("svg.cvkit-trend").first.is_visible()
    shapes = {card.locator(".cvkit-title .cvkit-light").inner_html() for card in cards.all()}
    assert len(shapes) == 2, "a state is told by its shape, not by colour alone"


def test_an_alert_shows_its_command_when_asked(visit: Visit) -> None:
    visit.open("")
    row = visit.page.locator(".cvkit-alert")
    assert row.locator(".cvkit-badge").inner_text() == "critical"
    assert row.locator(".cvkit-badge svg").is_visible()
    command = row.locator(".cvkit-command code")
    assert not command.is_visible()
    row.locator("summary").click()
    assert command.inner_text().startswith("cvkit alerts ack ")
    assert visit.page.evaluate(CONTRAST)[0] >= READABLE


def test_search_finds_a_report(visit: Visit) -> None:
    visit.open("")
    search(visit.page, "zebrafish 2026-11-08", "[href*='reports/2026-11-08']").click()
    visit.page.wait_for_url("**/reports/2026-11-08/**")
    assert "Zebrafish" in visit.page.locator(".md-content").inner_text()


def test_a_failed_report_is_plainly_marked(visit: Visit) -> None:
    visit.open("reports/")
    visit.page.locator("li", has_text="failed").locator("a").first.click()
    banner = visit.page.locator(".cvkit-banner")
    assert "This report failed" in banner.inner_text()
    assert banner.bounding_box()["y"] < visit.page.locator("h1").bounding_box()["y"]


def test_code_is_shown_when_asked_for(visit: Visit) -> None:
    visit.open("reports/2026-11-08/01-data-quality/")
    code = visit.page.locator(".jp-CodeCell .jp-Cell-inputWrapper").first
    assert not code.is_visible()
    visit.page.locator("label[for='cvkit-code']").click()
    assert code.is_visible()


@pytest.mark.parametrize("visit", [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)], indirect=True)
def test_every_text_can_be_read_and_nothing_is_wider_than_the_page(visit: Visit) -> None:
    for path in PAGES:
        visit.open(path)
        width = visit.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1], path
        contrast, text = visit.page.evaluate(CONTRAST)
        assert contrast >= READABLE, f"{path}: {contrast:.2f} on {text!r}"


@pytest.mark.parametrize(("visit", "width"), [(("light", 390), 528), (("dark", 390), 528), (("light", 1280), 600)],
                         indirect=["visit"])  # fmt: skip
def test_a_figure_is_not_shrunk_until_its_letters_cannot_be_read(visit: Visit, width: int) -> None:
    visit.open("reports/2026-11-08/02-drift/")
    figure = visit.page.locator(".jp-RenderedImage").first
    assert figure.count(), "the report has one"
    figure.locator("img").evaluate("node => node.src = '" + WIDE + "'")
    visit.page.wait_for_function("document.querySelector('.jp-RenderedImage img').naturalWidth === 600")
    box, shown, reached = figure.evaluate("node => [node.clientWidth, node.firstChild.clientWidth, node.scrollWidth]")
    assert shown == pytest.approx(width, abs=1)
    assert reached == pytest.approx(max(width, box), abs=1), "all of it can be scrolled to"
    page = visit.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert page[0] <= page[1]
    figure.focus()
    assert figure.evaluate("node => node === document.activeElement"), "the keyboard can scroll it"


def test_the_scheme_can_be_switched(visit: Visit) -> None:
    visit.open("")
    before = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    visit.page.locator("form[data-md-component='palette'] label:not([hidden])").first.click()
    visit.page.wait_for_function("document.body.dataset.mdColorScheme === 'slate'")
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") != before


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: npm install axe-core, or name axe.min.js in AXE_CORE")
@pytest.mark.parametrize("visit", [("light", 1280), ("dark", 1280), ("light", 390)], indirect=True)
def test_axe_finds_no_fault(visit: Visit) -> None:
    for path in PAGES:
        visit.open(path)
        visit.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        visit.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = visit.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        told = [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]
        assert not told, f"{path}: {told}"


@pytest.mark.parametrize("visit", [("dark", 1280)], indirect=True)
def test_a_report_on_paper_is_the_page_alone(visit: Visit) -> None:
    visit.open("reports/2026-11-08/02-drift/")
    visit.page.emulate_media(media="print")
    for hidden in (".md-header", ".md-sidebar--primary", ".cvkit-steps", ".jp-CodeCell .jp-Cell-inputWrapper"):
        assert not visit.page.locator(hidden).first.is_visible(), hidden
    assert visit.page.locator("h1").first.is_visible()
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    over = "document.getAnimations().filter(one => one instanceof CSSTransition).forEach(one => one.finish())"
    visit.page.evaluate(over)  # colours pass over into those of paper, which takes a moment
    assert visit.page.evaluate(CONTRAST)[0] >= READABLE


def test_the_keyboard_shows_where_it_is(visit: Visit) -> None:
    visit.open("")
    link = visit.page.locator(".cvkit-overview td a").first
    link.focus()
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Shift+Tab")
    assert link.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"


def test_a_row_leads_to_its_card_and_a_day_to_its_report(visit: Visit) -> None:
    visit.open("")
    visit.page.locator(".cvkit-overview th[scope='row'] a", has_text="cam-south").click()
    assert visit.page.locator("h3:target").inner_text() == "cam-south"
    visit.open("calendar/")
    visit.page.locator("tr", has_text="cam-south").locator("td[data-day='8'] a").click()
    visit.page.wait_for_url("**/reports/2026-11-08/01-data-quality/")
