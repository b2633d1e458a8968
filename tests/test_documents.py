"""Documents: what people wrote is never touched, facts are as the records are, and what is edited is not lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from made_up_workspace import MadeUp, make

from cvkit import cli
from cvkit.documentation import documents, front_matter, marked
from cvkit.documentation.facts import FACTS, Fact
from cvkit.documentation.marked import Part
from cvkit.errors import DataError
from cvkit.storage import packaged

DOCUMENT = """# T

<!-- facts: overview -->

*What?*

<!-- people: what -->

<!-- guide: say it -->

To do

<!-- /people -->

End.
"""


def filled(text: str, facts: dict[str, str], today: str = "2026-11-26") -> str:
    return marked.written(marked.filled(marked.parse(text), facts, today))


def body(text: str, name: str) -> str:
    return next(part.body for part in marked.parse(text) if part.name == name).strip()


# -- marked parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", documents.templates())
def test_a_template_is_written_as_it_was_read(name: str) -> None:
    text = (packaged("templates") / f"{name}.md").read_text(encoding="utf-8")
    assert marked.written(marked.parse(text)) == text
    assert {part.name for part in marked.parse(text) if part.kind == "facts"} <= set(FACTS)


def test_facts_are_written_anew_and_words_stay() -> None:
    once = filled(DOCUMENT, {"overview": "first"})
    mine = once.replace("To do", "Mine, <b>and</b> -- mine.\n\n| a | b |")
    again = filled(mine, {"overview": "second"})
    assert body(again, "overview") == "second"
    assert "first" not in again
    assert body(again, "what") == "Mine, <b>and</b> -- mine.\n\n| a | b |"
    assert filled(again, {"overview": "second"}) == again


def test_what_is_written_into_facts_is_kept_aside_each_time() -> None:
    text = filled(DOCUMENT, {"overview": "measured"})
    for number in range(3):
        text = filled(text.replace("measured", f"edited {number}"), {"overview": "measured"})
    assert body(text, "overview") == "measured"
    kept = [part.body.strip() for part in marked.parse(text) if part.name.startswith("kept-overview-2026-11-26")]
    assert sorted(kept) == ["edited 0", "edited 1", "edited 2"]


@pytest.mark.parametrize("seed", range(20))
def test_any_words_of_people_survive(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [
        "<!-- guide: x -->",
        "---",
        "# H",
        "\n",
        "é😀",
        "<!-- people",
        "-->",
        "`",
        "  ",
        "To do",
        "<script>",
        "\t",
    ]
    words = "w" + "".join(chance.choice(pieces) for _ in range(30))
    text = DOCUMENT.replace("To do", words)
    told = filled(filled(text, {"overview": "a"}), {"overview": "b"})
    before, after = (next(part for part in marked.parse(one) if part.name == "what") for one in (text, told))
    assert (before.body, before.guide) == (after.body, after.guide)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- people: a -->\nno end\n", "has no end"),
        ("<!-- people: a -->\n<!-- people: b -->\n<!-- /people -->\n", "has no end"),
        ("<!-- facts: a 01234567 -->\nx\n", "has no end"),
        ("<!-- facts: a -->\n\n<!-- facts: a -->\n", "same name"),
    ],
)
def test_marks_that_do_not_fit_are_told_with_their_line(text: str, words: str) -> None:
    with pytest.raises(DataError, match=f"(?s){words}.*line"):
        marked.parse(text, "card.md")


@pytest.mark.parametrize(("words", "answered"), [("To do", False), (" to do. \n", False), ("", False), ("None.", True)])
def test_an_answer_is_told_from_none(words: str, answered: bool) -> None:
    assert Part("people", "a", words).answered == answered


def test_front_matter_keeps_the_keys_of_people() -> None:
    keys, text = front_matter.split("---\nlicense: mit\nlanguage: [de]\nlibrary_name: old\n---\nwords", "card.md")
    told = front_matter.joined(front_matter.renewed(keys, front_matter.of_metrics("m", [])), text)
    again, _ = front_matter.split(told, "card.md")
    assert again == {
        "license": "mit",
        "language": ["de"],
        "library_name": "ultralytics",
        "pipeline_tag": "object-detection",
    }
    with pytest.raises(DataError, match="front matter"):
        front_matter.split("---\n[1\n---\n", "card.md")


def test_a_fact_says_what_is_not_known_and_where_it_is_from() -> None:
    told = Fact((("a|b", "<i>1</i>"), ("c", "")), "the log", None).markdown()
    assert "not known" in told
    assert "<i>" not in told
    assert "a|b" not in told
    assert "Source: the log" in told


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("documents") / "made", MadeUp()).workspace


def test_a_card_is_started_filled_checked_and_compared(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--config", str(made)]
    assert cli.main(["card", "fill", *where]) == 3
    assert "cvkit card new" in capsys.readouterr().err
    assert cli.main(["card", "new", *where]) == 0
    card = made / "docs" / "model-card.md"
    text = card.read_text(encoding="utf-8")
    assert yaml.safe_load(text.split("---\n")[1])["library_name"] == "ultralytics"
    assert cli.main(["card", "new", *where]) == 2
    assert cli.main(["card", "check", *where]) == 9
    out = capsys.readouterr().out
    assert "contact: nobody has written it yet" in out
    assert "stale:" not in out
    edited = text.replace("| task | object detection |", "| task | all of it |").replace("To do", "Ann.")
    card.write_text(edited, encoding="utf-8")
    assert cli.main(["card", "check", *where]) == 9
    assert "overview: its facts were changed by hand" in capsys.readouterr().out
    assert cli.main(["card", "diff", *where]) == 0
    assert "+| task | object detection |" in capsys.readouterr().out
    assert cli.main(["card", "fill", *where]) == 0
    after = card.read_text(encoding="utf-8")
    assert "| task | object detection |" in after
    assert "all of it" in after
    assert after.count("Ann.") == text.count("To do")


def test_every_template_can_be_started(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--config", str(made)]
    assert cli.main(["template", "new", "incident-report", *where]) == 0
    assert cli.main(["template", "new", "nonsense", *where]) == 2
    assert "incident-report" in capsys.readouterr().err
    assert cli.main(["template", "list", *where]) == 0
    assert "docs/documents/incident-report.md" in capsys.readouterr().out
    assert (made / "docs" / "documents" / "incident-report.md").is_file()
