"""Hostile words in every field that a page shows: they are read there as text, and nothing of them runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import decision_world
import nbformat
import pandas as pd
import pytest
from browsing import NO_BROWSER, chromium, search, served
from hostile_words import CALL, DRAWINGS, OPEN, STYLES, TAGS, WORDS
from made_up_messages import message, notice
from made_up_workspace import day, fresh, report
from nbformat import v4

from cvkit.config import Config, load_config
from cvkit.config.champion import Champions, Promotion
from cvkit.documentation import documents, facts, marked, site
from cvkit.documentation.site import cleaning, rendering, safe_words
from cvkit.maintenance import decisions
from cvkit.maintenance.decision import decide
from cvkit.monitoring import alert_actions, alerts, identity
from cvkit.monitoring.channels.page import html as mail
from cvkit.monitoring.history import History
from cvkit.tables import MEASUREMENTS, VERDICTS, conform

NOW = datetime(2026, 11, 10, tzinfo=UTC)
FORMS: tuple[Callable[[str], str], ...] = (  # of Markdown, that people's words may stand in
    lambda word: word, lambda word: f"### {flat(word)}", lambda word: f"- {flat(word)}",
    lambda word: f"| a |\n|---|\n| {flat(word)} |", lambda word: f"> {flat(word)}",
    lambda word: f"[{flat(word)}](https://x.example)", lambda word: f"`{flat(word)}`",
)  # fmt: skip
MARKDOWN = {
    "a": {"href", "title", "class", "id"},
    "img": {"alt", "src", "title"},
    "div": {"class", "id"},
    "ol": {"start"},
}
MARKDOWN |= {tag: {"class", "id", "style", "title"} for tag in safe_words.TAGS - set(MARKDOWN)}
FIELDS = ("source", "title", "what", "cause", "todo", "rule", "owner", "model", "report", "runbook")  # of a notice
OUTSIDE = (  # what a notebook's words could ask for elsewhere, or send the reader to
    "<base href=https://evil.example/>", "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<img src=https://evil.example/x.png>", "<img src='/\\evil.example/x.png'>", "<img src='\t//evil.example/x.png'>",
    "<img srcset='https://evil.example/x.png 2x' src=y.png>", "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css'; body { display: none }</style>",
    "<p style='background-image: url(https://evil.example/x.png)'>x</p>", "<body background=https://evil.example/x.png>",
    "<video poster=https://evil.example/x.png src=https://evil.example/x.mp4></video>",
    "<iframe src=https://evil.example/></iframe>", "<object data=https://evil.example/></object>",
    "<svg><image href=https://evil.example/x.png /></svg>", "<svg><use href='https://evil.example/x.svg#x' /></svg>",
    "<pre class=mermaid><code>graph LR; a --> b</code></pre>", "![x](https://evil.example/x.png)",
    "<div class='md-overlay' style='position: fixed; inset: 0; z-index: 99'>x</div>", "<div id=__md_scope>x</div>",
)  # fmt: skip
NOTEBOOK = {  # elements that notebooks may show, with their attributes beside title, id and style
    "a": {"href", "name"}, "img": {"src", "alt"}, "table": {"class", "border", "tabindex"}, "font": {"color"},
    "ol": {"start"}, "details": {"open"}, "td": {"colspan"}, "th": {"colspan"},
}  # fmt: skip
PLAIN = (
    "b", "i", "u", "s", "p", "q", "h2", "h3", "h4", "h5", "h6", "hr", "br", "em", "li", "ul", "pre", "code", "del",
    "span", "small", "center", "blockquote", "thead", "tbody", "tr", "strong", "summary", "div", "sub", "sup",
)  # fmt: skip
NOTEBOOK |= {tag: set() for tag in PLAIN}
KINDS = ("text/html", "text/markdown", "image/svg+xml", "text/latex", "text/plain", "image/png")
FIXED = ("help/", "procedures/", "runbook/", "when-a-light-changes/", "about-this-model/")  # pages without a field
PICTURE = re.compile(r"data:image/(png|svg\+xml);base64,")
RUNS = re.compile(r"(script|data|blob):", re.IGNORECASE)


def flat(word: str) -> str:
    return " ".join(word.split())


def words_of(text: str) -> str:
    """Without whatever may lie between letters that a reader sees."""
    return re.sub(r"[\s\u200b-\u200d\u2028-\u202e]|\\u\w{4}", "", text)


class Page(HTMLParser):
    """Every element with its attributes, what its scripts and styles are, and what a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.code: list[str] = []
        self.text: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.inside = tag if tag in ("script", "style", "title") else self.inside

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data: str) -> None:
        (self.code if self.inside in ("script", "style") else self.text).append(data)


def make(folder: Path, words: Sequence[str]) -> Config:
    """A workspace whose every name, reason and answer is one of `words`; the name of the model is all of them."""
    config = fresh(folder)
    model = {"name": flat(" ".join(words)), "classes": list(dict.fromkeys(map(flat, words)))}
    (folder / "cvkit.yml").write_text(
        f"reference: {{start: 2026-01-01, end: 2026-02-01}}\nmodel: {json.dumps(model, ensure_ascii=False)}\n",
        encoding="utf-8",
    )
    config = load_config(folder)
    with History.open(config.history_url) as history:
        _measured(config, history, words)
        alerts.update(config, history)
        for place, alert in enumerate(alerts.standing(history, config.model.name)):
            word = words[-1 - place % len(words)]
            alert_actions.acknowledge(config, history, alert.fingerprint, author=word, why=word)
        for word in words:
            history.record_report(
                model=config.model.name, version=config.version, notebook=word, source=word, window=day(0),
                status="failed", path=f"reports/{words.index(word)}.ipynb", started=day(0).end, error=word,
            )  # fmt: skip
            evidence = decision_world.evidence(decision_world.source("none", "unknown", "no", name=word))
            evidence = replace(evidence, model=config.model.name)
            told = decide(evidence, decision_world.settings())
            decisions.record(history, evidence, replace(told, why=word, action=told.action, evidence=word))
        for word in words[::20]:
            report(config, history, 1, "02-drift", word, "done")
        nbformat.write(notebook(words), report(config, history, 1, "own", "", "done"))
    _documents(config, words)
    return config


def notebook(words: Sequence[str]) -> nbformat.NotebookNode:
    """A notebook whose cells of text, and whose outputs of each kind, are `words`, each alone and all together."""
    cells = [v4.new_markdown_cell("# Words"), *(v4.new_markdown_cell(word) for word in words)]
    for word in (*words, "\n".join(words)):
        outputs = [v4.new_output("display_data", {kind: word}) for kind in KINDS]
        outputs += [v4.new_output("stream", text=word), v4.new_output("error", ename=word, evalue=word, traceback=[])]
        cells.append(v4.new_code_cell(word, outputs=outputs))
    attached = v4.new_markdown_cell("![a](attachment:a.png) ![b](attachment:b)")
    attached["attachments"] = {"a.png": {f'image/x"onerror={CALL} x="': "AAAA"}, "b": {"image/svg+xml": words[0]}}
    made = v4.new_notebook(cells=[*cells, attached])
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell{number}"
    return made


def _measured(config: Config, history: History, words: Sequence[str]) -> None:
    for number in range(2):
        judged = [
            {"source": word, "rule": "drift", "feature": "brightness", "state": "critical", "reason": word}
            for word in words
        ]
        images = [{"source": word, "feature": "images", "metric": "count", "value": 20.0, "n": 20} for word in words]
        history.record(
            model=config.model.name, version=config.version, window=day(number), **identity.judged_by(config),
            measurements=conform(pd.DataFrame(images), MEASUREMENTS), verdicts=conform(pd.DataFrame(judged), VERDICTS),
            images=20, bad_images=0, started=day(number).end,
        )  # fmt: skip


def _documents(config: Config, words: Sequence[str]) -> None:
    """A card and a template, in whose parts people wrote `words` in each form of Markdown; facts of one are edited."""
    log = tuple(Promotion("0123456789ab", "promoted", word, word, NOW) for word in words)
    known = replace(facts.know(config, NOW), champions=Champions("", config.reference, log))
    for name in (documents.CARD, "incident-report"):
        path = documents.start(config, name, known, facts.told(known))
        parts = list(marked.parse(path.read_text(encoding="utf-8")))
        people = [place for place, part in enumerate(parts) if part.kind == "people"]
        for form, place in zip(FORMS, people, strict=False):
            parts[place] = replace(parts[place], body="\n\n".join(map(form, words)) + "\n")
        told = next(place for place, part in enumerate(parts) if part.kind == "facts")
        edited = replace(parts[told], body="\n\n".join(words) + "\n")
        text = marked.written(
            [*parts[:told], edited, *marked.filled([edited], {}, "2026-11-10")[1:], *parts[told + 1 :]]
        )
        front = "".join(
            f"{key}: {json.dumps(flat(' '.join(words)), ensure_ascii=False)}\n"
            for key in ("title", "description", "template", "icon")
        )
        path.write_text(
            text.replace("---\n", f"---\n{front}", 1) if text.startswith("---\n") else f"---\n{front}---\n{text}"
        )


def pages(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in sorted(folder.rglob("*.html"))
    }


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.build(make(tmp_path_factory.mktemp("hostile") / "workspace", (*WORDS, *OUTSIDE)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [f"plain {number}" for number in range(len(WORDS) + len(OUTSIDE))]
    return site.build(make(tmp_path_factory.mktemp("plain") / "workspace", words))


def forms(html: str) -> set[tuple[str, str]]:
    """Elements with each of their attributes."""
    return {(tag, name) for tag, attributes in Page(html).elements for name in ("", *attributes)}


def test_there_are_enough_of_them() -> None:
    assert len(set(WORDS)) == len(WORDS) >= 100


def test_pages_have_no_elements_and_attributes_that_plain_words_would_not_make(hostile: Path, plain: Path) -> None:
    usual = {form for html in pages(plain).values() for form in forms(html)}
    usual |= {(tag, name) for tag, names in MARKDOWN.items() for name in ("", *names)}
    shown = usual | {(tag, name) for tag, names in NOTEBOOK.items() for name in ("", "title", "id", "style", *names)}
    for name, html in pages(hostile).items():
        assert not forms(html) - (shown if name.startswith("reports/20") else usual), name


def test_no_address_runs_and_no_code_is_of_a_field(hostile: Path, plain: Path) -> None:
    usual = {code for html in pages(plain).values() for code in Page(html).code}
    for name, html in pages(hostile).items():
        page = Page(html)
        assert not [
            code for code in page.code if "cvkitXss" in code or (code not in usual and "__md_scope" not in code)
        ], name
        for tag, attributes in page.elements:
            for attribute in ("href", "src", "action", "data", "content", "style", "srcset", "xlink:href"):
                value = re.sub(r"[\x00-\x20]", "", attributes.get(attribute, ""))
                assert not RUNS.match(value) or (tag == "img" and PICTURE.match(value)), (
                    name,
                    tag,
                    value,
                )


@pytest.mark.parametrize(
    "name", ["index.html", "reports/index.html", "model-card/index.html", "documents/incident-report/index.html"]
)
def test_the_words_are_there_to_be_read(hostile: Path, name: str) -> None:
    page = Page((hostile / name).read_text(encoding="utf-8"))
    read = words_of("".join(page.text))
    missing = [word for word in WORDS if words_of(word) not in read]
    if "card" not in name and "incident" not in name:
        assert not missing
    else:  # where people write Markdown, raw HTML is text, and what is Markdown is what Markdown makes of it
        assert not [word for word in missing if word.startswith("<") and word in WORDS[:40]]


@pytest.mark.parametrize("word", [*TAGS, *DRAWINGS, *STYLES, *OPEN])
def test_raw_html_of_people_is_text_and_no_less_of_it(word: str) -> None:
    page = safe_words.rendered(f"# T\n\n<!-- people: what -->\n{flat(word)}\n<!-- /people -->\n", "t.md")
    assert words_of(word) in words_of("".join(Page(page).text))
    assert {tag for tag, _ in Page(page).elements} <= {"h3", "p"}


def test_messages_keep_them_as_text() -> None:
    usual = forms(mail(message(notice())))
    for word in WORDS:
        told = dict.fromkeys(FIELDS, word)
        page = mail(message(notice(**told, details=(word,))))
        assert forms(page) <= usual
        assert not [
            value for _, attributes in Page(page).elements for value in attributes.values() if RUNS.match(value)
        ]
        assert words_of(word.strip()) in words_of("".join(Page(page).text))


def test_without_the_cleaning_there_would_be_something_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "cleaned", lambda html: html)
    rendering._markdown.cache_clear()
    found = {tag for tag, _ in forms(rendering.render(notebook((*WORDS, *OUTSIDE))).html)}
    rendering._markdown.cache_clear()
    assert {"script", "iframe", "base", "meta", "link", "object", "embed", "video", "form", "svg"} <= found


# -- in a real browser ------------------------------------------------------------------------------------------------

HOOK = """
window.cvkitXss = () => console.error('cvkitXss ran');
for (const name of ['alert', 'confirm', 'prompt']) window[name] = () => console.error('cvkitXss ran');
"""


@pytest.fixture
def address(hostile: Path) -> Iterator[str]:
    with served(hostile) as address:
        yield address


@NO_BROWSER
def test_nothing_runs_in_a_browser(address: str, hostile: Path) -> None:
    told: list[str] = []
    with chromium() as browser:
        context = browser.new_context(bypass_csp=True)  # the pages themselves have to hold, not the policy
        context.add_init_script(HOOK)
        page = context.new_page()
        page.on("console", lambda line: told.append(line.text) if "cvkitXss" in line.text else None)
        page.on("dialog", lambda dialog: (told.append("a dialog"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: told.append(request.url) if not request.url.startswith((address, "data:")) else None,
        )
        for name in pages(hostile):
            if name.startswith(FIXED):
                continue
            page.goto(address + name)
            _touch_all(page)
            if page.url.partition("#")[0] != address + name:
                told.append(f"{name} became {page.url}")
        page.goto(address)
        search(page, "cvkitXss")
        page.wait_for_timeout(300)
    assert not told


def _touch_all(page: Any) -> None:
    """Do to every element in the text what the events of the list wait for."""
    page.evaluate(
        """() => document.querySelectorAll('.md-content *, .md-sidebar *').forEach(node => {
          for (const kind of ['mouseover', 'pointerenter', 'focus', 'blur', 'wheel', 'toggle', 'animationstart'])
            node.dispatchEvent(new Event(kind));
          if (node.tagName === 'A' && !/^https?:/.test(node.href)) node.click();
        })"""
    )
    page.wait_for_timeout(50)
