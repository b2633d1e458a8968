"""Documents: what people wrote is never touched, facts are as the records are, and what is edited is not lost."""

from __future__ import annotations

import os
import random
import re
from datetime import UTC, datetime
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


@pytest.mark.parametrize(
    ("words", "answered"),
    [
        (one, False)
        for one in (
            "To do",
            " to do. \n",
            "",
            "TODO",
            "tbd",
            "N/A",
            "???",
            "-",
            "**TBD**",
            "<!-- ask -->",
            "Ann.\n\nTo do: the deputy",
            "| a |\n\n- **TODO**: more",
        )
    ]
    + [
        (one, True)
        for one in ("None.", "No to-do is left.", "ß", "0", "See to do.", "Todos: none", "<!--\nTo do: x\n-->a")
    ],
)
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
    assert front_matter.renewed(keys, front_matter.of_metrics("m", [], ""))["library_name"] == "old"
    with pytest.raises(DataError, match="front matter"):
        front_matter.split("---\n[1\n---\n", "card.md")


def test_a_fact_says_what_is_not_known_and_where_it_is_from() -> None:
    told = Fact((("a|b", "<i>1</i>"), ("c", "")), "the log", None).markdown()
    assert "not known" in told
    assert "<i>" not in told
    assert "a|b" not in told
    assert "*Source: the log, nothing recorded yet.*" in told
    day = datetime(2026, 11, 5, tzinfo=UTC)
    filed = Fact((), "cvkit.yml", None, filed=day)
    assert (filed.date, filed.markdown()) == (day, "*Source: cvkit.yml, 2026-11-05.*")


def test_the_date_of_a_file_alone_makes_nothing_stale(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(card.parents[1] / "cvkit.yml", (0, 0))
    _, out = command("check", card, capsys)
    assert "stale: " not in out
    _, out = command("fill", card, capsys)
    assert "  renewed: monitoring: only the date of its file" in out
    assert "*Source: cvkit.yml, 1970-01-01.*" in card.read_text(encoding="utf-8")


def test_every_source_has_a_date_or_says_that_nothing_is_recorded(card: Path) -> None:
    sources = re.findall(r"^\*Source: (.+)\.\*$", card.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(sources) == sum("<!-- facts: " in line for line in documents.template("model-card").splitlines())
    assert all(re.search(r", (\d{4}-\d\d-\d\d|nothing recorded yet)$", one) for one in sources), sources
    assert any("cvkit.yml, 2" in one for one in sources)


def test_fill_says_what_it_renewed_and_what_it_kept(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = len(re.findall("<!-- facts: ", card.read_text(encoding="utf-8")))
    answers = len(re.findall("<!-- people: ", card.read_text(encoding="utf-8")))
    _, out = command("fill", card, capsys)
    assert out == (f"{card}: none of its facts renewed, {whole} were up to date; people's words kept as they are: "
                   f"{answers}.\n")  # fmt: skip
    settings = card.parents[1] / "cvkit.yml"
    settings.write_text(settings.read_text() + "rules: {drift_warning: 0.4}\n", encoding="utf-8")
    card.write_text(card.read_text(encoding="utf-8").replace("| task | object", "| task | any"), encoding="utf-8")
    _, out = command("check", card, capsys)
    assert "overview: its facts were changed by hand (task says any detection, the records object detection)" in out
    _, out = command("fill", card, capsys)
    assert f": 2 of its facts renewed, {whole - 2} were up to date; people's words kept as they are: {answers}." in out
    assert "  renewed: monitoring: " in out
    assert "drift warns from: was 0.3 deviations" in out
    assert re.search(r"  note: kept-overview-\S+: what was changed by hand is kept there", out)


def test_what_is_left_to_do_counts(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def counted() -> tuple[int, int, str]:
        _, out = command("check", card, capsys)
        found = re.search(r"(\d+) of (\d+)$", out.splitlines()[0])
        assert found is not None
        return int(found[1]), int(found[2]), out

    done, total, out = counted()
    pages = sorted((card.parents[1] / "docs" / "procedures").glob("*.md"))
    left = [page for page in pages if page.read_text().rstrip().endswith("To do: name and number")]
    assert f"missing: procedures: {len(left)} of {len(pages)} still say `To do: name and number`: " in out
    for page in left:
        page.write_text(page.read_text().replace("To do: name and number", "Ann, 12 34"))
    card.write_text(card.read_text(encoding="utf-8") + "\nTo do: the number\n", encoding="utf-8")
    after, more, out = counted()
    assert (after, more) == (done + 1, total + 1)
    assert "missing: the text still says `To do: the number`" in out
    assert "procedures: " not in out


def test_facts_without_a_digest_that_hold_words_are_kept_aside() -> None:
    text = filled(DOCUMENT, {"overview": "measured"})
    bare = re.sub(r"<!-- facts: overview [0-9a-f]{8} -->", "<!-- facts: overview -->", text)
    assert marked.written(marked.parse(bare)) == bare
    told = filled(bare.replace("measured", "mine"), {"overview": "measured"})
    assert body(told, "overview") == "measured"
    assert body(told, "kept-overview-2026-11-26") == "mine"
    assert filled(bare, {"overview": "measured"}) == text  # nothing was changed


def test_a_part_that_nobody_knows_is_not_touched() -> None:
    for mark in ("<!-- facts: overvew -->", "<!-- facts: overvew 01234567 -->"):
        text = DOCUMENT.replace("<!-- facts: overview -->", f"{mark}\nmine\n\n\n  <!-- facts\n<!-- /facts -->")
        assert filled(text, {"overview": "measured"}) == text


@pytest.mark.parametrize("name", documents.templates())
@pytest.mark.parametrize("seed", range(3))
def test_what_was_deleted_of_a_template_is_put_back_to_its_place(name: str, seed: int) -> None:
    chance, text = random.Random(f"{name} {seed}"), documents.template(name).removeprefix(documents.FRONT)
    parts = marked.parse(text)
    gone = {part.name for part in parts if part.kind != "text" and chance.random() < 0.5}
    cut = marked.written([part for part in parts if part.name not in gone or not part.name])
    told = marked.restored(marked.parse(cut), parts)
    names = [(part.kind, part.name) for part in parts if part.kind != "text"]
    assert sorted((part.kind, part.name) for part in told if part.kind != "text") == sorted(names)
    lines = [line for line in marked.written(told).splitlines() if line]
    assert sorted(lines) == sorted(line for line in text.splitlines() if line)
    if parts[1].name not in gone:
        assert lines == [line for line in text.splitlines() if line]


@pytest.mark.parametrize("name", documents.templates())
def test_of_an_empty_document_all_is_put_back_and_no_word_is_lost(name: str) -> None:
    parts = marked.parse(documents.template(name).removeprefix(documents.FRONT))
    told = marked.restored(marked.parse("# hello\n\nwords without an end"), parts)
    text = marked.written(told)
    assert text.startswith("# hello\n\nwords without an end\n")
    assert [part.name for part in marked.parse(text) if part.name] == [part.name for part in parts if part.name]
    headings = [line for line in documents.template(name).splitlines() if line.startswith("##")]
    assert [line for line in text.splitlines() if line.startswith("##")] == headings


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
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["pipeline_tag"] == "object-detection"
    assert not {"library_name", "license"} & set(front)  # there are no weights, and nobody said the licence
    assert cli.main(["card", "new", *where]) == 2
    assert cli.main(["card", "check", *where]) == 9
    out = capsys.readouterr().out
    assert "contact: nobody has written it yet" in out
    assert "missing: front matter: nobody has said the licence yet" in out
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
    assert cli.main(["template", "example", "incident-report", *where]) == 0
    assert "example figures" in capsys.readouterr().out
    assert cli.main(["template", "example", "incident-report-x", *where]) == 2


def test_there_may_be_a_document_for_each_event(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--config", str(made)]
    for label in ("2026-11-07", "night_2"):
        assert cli.main(["template", "new", "retraining-review", label, *where]) == 0
    assert "cvkit template example retraining-review" in capsys.readouterr().out
    assert cli.main(["template", "new", "retraining-review", "night_2", *where]) == 2
    assert "LABEL" in capsys.readouterr().err
    for wrong in ("../x", "a b", "é", "x" * 81, ".x"):
        assert cli.main(["template", "new", "retraining-review", wrong, *where]) == 2
    path = made / "docs" / "documents" / "retraining-review-2026-11-07.md"
    assert path.read_text(encoding="utf-8").startswith("# Retraining review 2026-11-07\n")
    path.write_text("words\n", encoding="utf-8")
    asked = ["--document", "retraining-review-2026-11-07", *where]
    assert cli.main(["card", "check", *asked]) == 9
    assert cli.main(["card", "fill", *asked]) == 0
    assert "decisions so far" in path.read_text(encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["template", "list", *where]) == 0
    listed = re.findall(r"^(\S+) +(\S+)$", capsys.readouterr().out, flags=re.MULTILINE)
    assert ("retraining-review-2026-11-07", "docs/documents/retraining-review-2026-11-07.md") in listed
    assert ("retraining-review-night_2", "docs/documents/retraining-review-night_2.md") in listed
    assert "retraining-review" not in dict(listed)
    assert dict(listed)["model-retirement"] == "-"
    assert cli.main(["card", "check", "--document", "retraining-review-none", *where]) == 3
    assert "cvkit template new retraining-review none" in capsys.readouterr().err


@pytest.fixture
def card(tmp_path: Path) -> Path:
    made = make(tmp_path / "made", MadeUp()).workspace
    assert cli.main(["card", "new", "--config", str(made)]) == 0
    return made / "docs" / "model-card.md"


def command(name: str, card: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.main(["card", name, "--config", str(card.parents[1])])
    return code, capsys.readouterr().out


def test_an_empty_or_gutted_card_is_not_complete(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = card.read_text(encoding="utf-8")
    code, out = command("check", card, capsys)
    fields = re.search(r"(\d+)% complete, \d+ of (\d+)", out)
    assert fields is not None
    card.write_text("# hello\n", encoding="utf-8")
    code, out = command("check", card, capsys)
    assert code == 9
    assert f"0% complete, 0 of {fields[2]}" in out
    assert "missing: drift: this part of facts is not there" in out
    assert "missing: ethics: this part of people is not there; `cvkit card fill` puts it back" in out
    assert "missing: front matter: it is not there" in out
    code, out = command("fill", card, capsys)
    assert code == 0
    assert "ethics: this part of people was not there; it is put back" in out
    text = card.read_text(encoding="utf-8")
    assert text.startswith("---\n")
    assert "# hello" in text
    assert text[text.index("## Model Details") :] == whole[whole.index("## Model Details") :]
    assert command("diff", card, capsys)[1].startswith("nothing")


def test_a_part_with_a_wrong_name_is_named_and_left(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = card.read_text(encoding="utf-8")
    card.write_text(re.sub(r"<!-- facts: drift ([0-9a-f]+) -->", r"<!-- facts: drft \1 -->\nmine", text), "utf-8")
    for name in ("check", "fill", "check"):
        code, out = command(name, card, capsys)
        assert "drft: cvkit knows no facts of this name, and leaves the part as it is; is `drift` meant?" in out
    assert code == 9
    assert "\nmine\n" in card.read_text(encoding="utf-8")


def test_front_matter_that_was_changed_by_hand_is_kept_aside(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = card.read_text(encoding="utf-8")
    mine = text.replace(
        "pipeline_tag: object-detection", "pipeline_tag: mine <!-- /people -->\nmodel-index: [better]", 1
    )
    card.write_text(mine, encoding="utf-8")
    out = command("check", card, capsys)[1]
    assert "contradictory: front matter: pipeline_tag is not what was measured" in out
    assert "contradictory: front matter: model-index is not what was measured" in out
    assert "kept-front-matter-" in command("fill", card, capsys)[1]
    told = card.read_text(encoding="utf-8")
    keys = yaml.safe_load(told.split("---\n")[1])
    assert keys["pipeline_tag"] == "object-detection"
    assert "model-index" not in keys
    kept = next(part for part in marked.parse(told.split("---\n", 2)[2]) if part.name.startswith("kept-front"))
    assert yaml.safe_load(kept.body.strip().removeprefix("```yaml").removesuffix("```")) == {
        "pipeline_tag": "mine &lt;!-- /people -->", "model-index": ["better"]
    }  # fmt: skip
    assert "kept-front-matter" in command("check", card, capsys)[1]


def test_the_licence_counts_once_a_person_said_it(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, done = card.read_text(encoding="utf-8"), []
    for said in ("other", "mit", "other\nlicense_name: ours"):
        card.write_text(text.replace("---\n", f"---\nlicense: {said}\n", 1), encoding="utf-8")
        out = command("check", card, capsys)[1]
        found = re.search(r"(\d+) of \d+$", out.splitlines()[0])
        assert found is not None
        done.append(int(found[1]))
        assert ("the licence yet" in out) == (said == "other")
    assert done[1:] == [done[0] + 1] * 2


def test_damaged_weights_are_warned_of(
    card: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    workspace = card.parents[1]
    settings = workspace / "cvkit.yml"
    settings.write_text(settings.read_text().replace("<inspection>", "<inspection>, weights: broken.pt"))
    (workspace / "broken.pt").write_text("garbage")
    caplog.clear()
    assert command("fill", card, capsys)[0] == 0
    (said,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING" and "broken.pt" in one.message]
    assert "copy the file again" in said
