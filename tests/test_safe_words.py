"""Pages of documents: what the marks become, what Markdown keeps, and that titles are harmless."""

from __future__ import annotations

import re

import pytest
from made_up_workspace import fresh

from cvkit.documentation import marked, site
from cvkit.documentation.site import safe_words

DOCUMENT = """---
license: other
---

# T

<!-- facts: overview 0123abcd -->

measured

<!-- /facts -->

<!-- people: what -->
<!-- guide: say it -->

To do

<!-- /people -->

<!-- people: kept-overview-2026-11-26 -->
<!-- guide: move it -->

| a | b |
|---|---|
| 1 | mine |
<!-- /people -->
"""


def seen(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_what_is_to_do_edited_or_kept_aside_is_said() -> None:
    html = safe_words.rendered(DOCUMENT, "d.md")
    words = seen(html)
    assert "To do say it" in words
    assert "overview Changed by hand: cvkit card fill" in words
    assert "kept-overview-2026-11-26 These facts were changed by hand, and are kept aside" in words
    assert "<td>mine</td>" in html
    assert "license" not in words
    assert "<!--" not in html


def test_an_answer_and_facts_as_they_were_written_are_shown_as_they_are() -> None:
    text = DOCUMENT.replace("To do", "For *washers*.").replace("0123abcd", marked.digest_of("measured"))
    words = seen(safe_words.rendered(text, "d.md"))
    assert "For washers ." in words
    assert "Changed by hand:" not in words
    assert "say it" not in words


def test_a_document_whose_marks_are_damaged_is_shown_with_a_warning() -> None:
    words = seen(safe_words.rendered("# T\n\n<!-- people: what -->\nmine <b>x</b>\n", "d.md"))
    assert "The marks of this document are damaged" in words
    assert "mine &lt;b&gt;x&lt;/b&gt;" in words


def test_what_markdown_can_say_stays() -> None:
    table = "| e | f |\n|:--|--:|\n| **g** | `<h>` |"
    links = "[i](other.md) [j](https://x.example) [k](mailto:a@x.example) ![l](images/m.png)"
    text = "\n\n".join(["# T", "- a\n- b", "x", "1. c", "> d", table, "```python\nx = 1 < 2\n```", links])
    html = safe_words.rendered(text, "d.md")
    for part in ("<ul>", "<ol>", "<blockquote>", "<strong>g</strong>", "<code>&lt;h&gt;</code>", "x = 1 &lt; 2",
                 'href="other.md"', 'href="https://x.example"', 'href="mailto:a@x.example"', 'src="images/m.png"',
                 'style="text-align:right"'):  # fmt: skip
        assert part in html, part


@pytest.mark.parametrize("title", ["<b>x</b>", "&lt;script&gt;", "&amp;lt;b&amp;gt;", "a & b", "\"'"])
def test_a_title_is_harmless_even_without_its_escapes(title: str) -> None:
    from html import unescape

    told = safe_words.harmless(title)
    assert not re.search(r"[<>\"']", told)
    assert not re.search("[<>]", unescape(told))


def test_front_matter_is_not_for_the_theme(tmp_path: object) -> None:
    config = fresh(tmp_path / "workspace")  # type: ignore[operator]
    front = "title: Mine\ntemplate: gone.html\nhide: [navigation]\n"
    (config.workspace / "docs" / "model-card.md").write_text(f"---\n{front}---\n# The card\n\n<b>raw</b>\n")
    (config.workspace / "docs" / "about.md").write_text("# About\n\n<b>raw</b>\n")
    folder = site.build(config, strict=True)
    card = (folder / "model-card" / "index.html").read_text(encoding="utf-8")
    assert "<title>The card" in card
    assert "&lt;b&gt;raw&lt;/b&gt;" in card
    assert "<b>raw</b>" in (folder / "about" / "index.html").read_text(encoding="utf-8")  # pages of your own stay yours
