"""The card of the panel: what is typed there is found in the file, and nothing typed is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from alert_world import config, measured, verdict

from cvkit import cli
from cvkit.config import load_config
from cvkit.documentation import documents, sections
from cvkit.errors import ConfigError, DataError
from cvkit.lab.card import Card
from cvkit.lab.desk import Desk
from cvkit.monitoring.history import History


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = config(tmp_path)
    with History.open(made.history_url) as history:
        measured(history, 0, [verdict("cam-1", "brightness", "ok")])
    assert cli.main(["card", "new", "--config", str(tmp_path)]) == 0
    return tmp_path


def opened(folder: Path) -> Card:
    part = Card(Desk(folder))
    part.refresh()
    return part


def test_it_counts_as_the_command_line_does(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = opened(folder)
    assert part.note.value == ""
    cli.main(["card", "check", "--config", str(folder)])
    told = capsys.readouterr().out
    assert f"{part.checked.percent} complete, {part.checked.done} of {part.checked.of}" in told
    assert part.checked.percent in part.state.value
    assert [f"missing: {one}" in told for one in part.checked.missing].count(False) == 0
    assert set(part.table["written"]) == {False}


def test_words_are_saved_where_people_write_and_nowhere_else(folder: Path) -> None:
    part, path = opened(folder), folder / "docs" / "model-card.md"
    before, done = path.read_text(), part.checked.done
    part.section.value = "limitations"
    assert "Conditions that were seen" in part.guide.value
    part.words.value = "Misses scratches below **2 mm**.\n\nNot at night."
    part.buttons["save"].click()
    assert part.note.value == ""
    assert part.checked.done == done + 1
    at = before.index("To do", before.index("<!-- people: limitations -->"))
    assert path.read_text() == f"{before[:at]}Misses scratches below **2 mm**.\n\nNot at night.{before[at + 5 :]}"
    assert part.table.set_index("section").loc["limitations", "written"]
    part.words.value = ""
    part.buttons["save"].click()
    assert path.read_text() == before


def test_words_that_are_no_answer_yet_stay_in_the_field(folder: Path) -> None:
    part, words = opened(folder), "<!-- ask Bob: which licence? -->"
    part.section.value = "limitations"
    part.words.value = words
    part.buttons["save"].click()
    assert part.words.value == words
    assert not part.table.set_index("section").loc["limitations", "written"]
    part.words.value = f"{words}\n\nReal words."
    part.buttons["save"].click()
    assert f"{words}\n\nReal words." in (folder / "docs" / "model-card.md").read_text()


def test_what_is_typed_outlives_the_kernel_until_it_is_saved(folder: Path) -> None:
    part = opened(folder)
    part.section.value = "ethics"
    part.words.value = "No people in the picture, because"
    part.section.value = "contact"
    part.words.value = "Ann"
    del part
    again = opened(folder)
    assert again.table.loc[again.table["draft"], "section"].tolist() == ["ethics", "contact"]
    again.section.value = "ethics"
    assert again.words.value == "No people in the picture, because"
    assert "not saved yet" in again.guide.value
    assert "No people in the picture" not in (folder / "docs" / "model-card.md").read_text()
    again.buttons["save"].click()
    again.section.value = "contact"
    again.buttons["undo"].click()
    assert again.words.value == ""
    assert not list((folder / sections.DRAFTS).glob("*"))
    assert "No people in the picture, because" in (folder / "docs" / "model-card.md").read_text()


def test_words_of_somebody_else_are_not_written_over(folder: Path) -> None:
    part, path = opened(folder), folder / "docs" / "model-card.md"
    part.section.value = "ethics"
    part.words.value = "mine"
    theirs = path.read_text()
    at = theirs.index("To do", theirs.index("<!-- people: ethics -->"))
    path.write_text(theirs := f"{theirs[:at]}<b>theirs</b>{theirs[at + 5 :]}")
    part.buttons["save"].click()
    assert "somebody else changed this section" in part.note.value
    assert path.read_text() == theirs
    assert part.words.value == "mine"
    assert "&lt;b&gt;theirs&lt;/b&gt;" in part.guide.value
    assert opened(folder).table.set_index("section").loc["ethics", "draft"]
    part.buttons["mine"].click()
    part.words.value = "theirs and mine"
    part.buttons["save"].click()
    assert part.note.value == ""
    assert "theirs and mine" in path.read_text()
    assert "<b>theirs" not in path.read_text()


def test_a_change_of_another_section_is_kept(folder: Path) -> None:
    part, path = opened(folder), folder / "docs" / "model-card.md"
    part.section.value = "ethics"
    part.words.value = "mine"
    other = path.read_text()
    at = other.index("To do", other.index("<!-- people: contact -->"))
    path.write_text(f"{other[:at]}Ben{other[at + 5 :]}")
    part.buttons["save"].click()
    assert part.note.value == ""
    found = {one.name: one.words for one in sections.sections(path.read_text(), "card")}
    assert (found["ethics"], found["contact"]) == ("mine", "Ben")


def test_a_preview_shows_what_the_site_shows_and_runs_nothing(folder: Path) -> None:
    part = opened(folder)
    part.words.value = (
        "**bold** <script>alert(1)</script> [go](javascript:alert(2)) ![x](http://elsewhere.example/x.png)"
    )
    part.buttons["preview"].click()
    assert "<strong>bold</strong>" in part.seen.value
    assert "&lt;script&gt;" in part.seen.value
    for danger in ("<script", 'javascript:alert(2)"', 'elsewhere.example/x.png"'):
        assert danger not in part.seen.value


@pytest.mark.parametrize("words", ["a\n<!-- /people -->\nb", "<!-- people: ethics -->", "x\n<!-- facts: model -->\n"])
def test_words_that_are_marks_are_refused_and_kept(folder: Path, words: str) -> None:
    part, path = opened(folder), folder / "docs" / "model-card.md"
    before = path.read_text()
    part.words.value = words
    part.buttons["save"].click()
    assert "mark of the document" in part.note.value
    assert path.read_text() == before
    assert part.words.value == words


def test_half_a_character_is_refused_and_kept(folder: Path) -> None:
    part = opened(folder)
    before = (folder / "docs" / "model-card.md").read_bytes()
    part.words.value = "fine \ud83d"
    part.buttons["save"].click()
    assert "no character" in part.note.value
    assert part.words.value == "fine \ud83d"
    assert (folder / "docs" / "model-card.md").read_bytes() == before


def test_documents_are_started_and_facts_written_anew(folder: Path) -> None:
    (folder / "docs" / "model-card.md").unlink()
    part = opened(folder)
    assert part.document.value == "+model-card"
    part.buttons["begin"].click()
    assert (part.note.value, part.document.value) == ("", "model-card")
    assert (folder / "docs" / "model-card.md").is_file()
    part.document.value = "+incident-report"
    part.label.value = "a/b"
    part.buttons["begin"].click()
    assert "cannot stand in the name of a file" in part.note.value
    assert part.label.value == "a/b"
    part.label.value = "2026-11-02"
    part.buttons["begin"].click()
    assert part.document.value == "incident-report-2026-11-02"
    assert documents.every(load_config(folder)) == ["model-card", "incident-report-2026-11-02"]
    part.document.value = "model-card"
    text = (folder / "docs" / "model-card.md").read_text()
    begin = text.index("<!-- facts: alerts")
    (folder / "docs" / "model-card.md").write_text(
        text[:begin] + text[begin:].replace("-->\n\n", "-->\n\nby hand\n\n", 1)
    )
    part.refresh()
    assert any("changed by hand" in one for one in part.checked.contradictory)
    part.buttons["fill"].click()
    assert "kept" in part.said.value
    assert "kept-alerts" in (folder / "docs" / "model-card.md").read_text()


def test_a_document_that_vanished_or_is_damaged_is_said(folder: Path) -> None:
    part, path = opened(folder), folder / "docs" / "model-card.md"
    text = path.read_text()
    path.unlink()
    part.words.value = "typed"
    part.buttons["save"].click()
    assert "not started yet" in part.note.value
    assert part.words.value == "typed"
    path.write_text(text.replace("<!-- /people -->", "", 1))
    part.refresh()
    assert "has no end" in part.note.value
    path.write_text(text)
    part.refresh()
    assert (part.note.value, part.words.value) == ("", "typed")


def test_a_section_is_written_by_code_too(folder: Path) -> None:
    settings = load_config(folder)
    with pytest.raises(DataError, match="somebody else changed"):
        sections.write(settings, "model-card", "no-such", "x", body="")
    body = next(one.body for one in sections.sections((folder / "docs" / "model-card.md").read_text(), "card"))
    with pytest.raises(ConfigError, match="mark of the document"):
        sections.write(settings, "model-card", "description", "<!-- /people -->", body=body)
    sections.write(settings, "model-card", "description", "x", body=body)
