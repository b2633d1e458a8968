"""A version's card: front matter that YAML reads, tables, and names that stay text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from versions_world import CLASSES, bare, judged, made_up

from cvkit import cli
from cvkit.config import Config
from cvkit.documentation import changed, marked, version_card
from cvkit.documentation.facts import Fact
from cvkit.maintenance import versions


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return bare(tmp_path)


def test_a_card_tells_what_is_known_and_each_step_writes_it(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    first = versions.champion(config)
    other = made_up(config, "other", kind="incremental", parent=first.name, data="d0", arguments={"epochs": 3})
    judged(other, first.name)
    assert cli.main(["retrain", "promote", other.name, "--why", "so <b>much</b> better", "--by", "ann", "--config",
                     str(config.path)]) == 0  # fmt: skip
    text = (other.folder / version_card.FILE).read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["library_name"] == "ultralytics"
    assert front["pipeline_tag"] == "object-detection"
    for words in ("| epochs | 3 |", "Data set `d0`, gone since.", "passed:", "promoted, by ann: so &#60;b&#62;much"):
        assert words in text
    assert cli.main(["retrain", "rollback", "--why", "worse", "--config", str(config.path)]) == 0
    capsys.readouterr()
    back = (first.folder / version_card.FILE).read_text(encoding="utf-8")
    assert "rolled back" in back
    assert "Nothing was in its place before." in back


def test_names_stay_text(config: Config) -> None:
    hostile = "a|b <script>alert(1)</script> `x` [y](javascript:z)"
    other = replace(made_up(config, "other"), classes={**CLASSES, 3: hostile}, arguments={hostile: hostile})
    text = version_card.card(config, other)
    assert "<script>" not in text
    assert "a|b" not in text
    assert "](javascript" not in text


def test_each_promotion_keeps_what_was_said_of_the_champion_before(config: Config) -> None:
    first, other = versions.champion(config), made_up(config, "other", kind="incremental")
    card = config.workspace / "docs" / "model-card.md"
    where = ["--config", str(config.path)]
    said = ("said of the first", "said of the other", "said of the first again")
    for number, words in enumerate(said):
        card.parent.mkdir(exist_ok=True)
        card.write_text(words, encoding="utf-8")
        judged(other, first.name)
        steps = [["promote", other.name, "--force"], ["rollback"], ["promote", other.name, "--force"]]
        assert cli.main(["retrain", *steps[number], "--why", "so", "--by", "ann", *where]) == 0
    kept = {
        one.read_text(encoding="utf-8"): one.parent.name for one in config.workspace.glob("versions/*/model-card-*.md")
    }
    assert kept == {said[0]: first.name, said[1]: other.name, said[2]: first.name}


def test_without_a_card_nothing_is_kept(config: Config) -> None:
    first, other = versions.champion(config), made_up(config, "other", kind="incremental", parent="")
    judged(other, first.name)
    assert cli.main(["retrain", "promote", other.name, "--why", "so", "--config", str(config.path)]) == 0
    assert not list(config.workspace.glob("versions/*/model-card-*.md"))


def test_the_model_card_tells_every_version_and_why_it_is_stale(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    first = versions.champion(config)
    where = ["--config", str(config.path)]
    assert cli.main(["card", "new", *where]) == 0
    assert cli.main(["template", "new", "deployment-record", *where]) == 0
    other = made_up(config, "other", kind="incremental", parent=first.name, made="2026-11-02T00:00:00+00:00")
    third = made_up(config, "third", kind="full", made="2026-11-03T00:00:00+00:00")
    judged(other, first.name)
    assert cli.main(["retrain", "promote", other.name, "--why", "a|b <b>better</b>", "--by", "ann", *where]) == 0
    capsys.readouterr()
    assert cli.main(["card", "check", *where]) == 9
    said = capsys.readouterr().out
    for part in ("overview", "deployment", "versions"):
        assert f"stale: {part}: the weights are others (was {first.name}, is {other.name})" in said
    assert "stale: monitoring" not in said
    assert cli.main(["card", "fill", *where]) == 0
    assert cli.main(["card", "fill", "--document", "deployment-record", *where]) == 0
    card = (config.workspace / "docs" / "model-card.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `*") for cell in line.strip("|").split("|")] for line in card.splitlines() if "| `" in line]
    assert [row[0] for row in rows] == [third.name, other.name, first.name]
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert rows[0][1:] == ["full", "", "2026-11-03", "not judged", ""]
    assert rows[1][1:] == ["incremental", first.name, "2026-11-02", "passed", f"champion since {today}"]
    assert rows[2][1:3] + rows[2][4:] == ["adopted", "", "not judged", f"{today} to {today}"]
    record = (config.workspace / "docs" / "documents" / "deployment-record.md").read_text(encoding="utf-8")
    for words in (f"| champion | {other.name} |", f"SHA-256 begins with {other.name} |", "| put in use by | ann |",
                  "| because | a&#124;b &#60;b&#62;better"):  # fmt: skip
        assert words in record


def test_words_say_what_changed() -> None:
    def fact(day: int, **fields: str) -> Fact:
        return Fact(tuple(fields.items()), "the log", datetime(2026, 11, day, tzinfo=UTC))

    def reason(name: str, before: Fact, now: Fact) -> str:
        (part,) = marked.filled(marked.parse(f"<!-- facts: {name} -->\n"), {name: before.markdown()}, "")
        return changed.reason(part, {"overview": Fact((), "", None), name: now}, [part])

    assert reason("evaluation", fact(1, f1="0.9"), fact(1, f1="0.9")) == ""
    assert (
        reason("evaluation", fact(1, f1="0.9"), fact(4, f1="0.9")) == "evaluated newly on 2026-11-04 (was 2026-11-01)"
    )
    assert reason("alerts", fact(1, a="1|", b="2"), fact(1, a="3", c="4")) == "a: was 1|, is 3; c is new; and 1 more"
    images = {"reference images": "240"}
    assert reason("data", fact(1, **images), fact(1, **{"reference images": "300"})) == (
        "the reference is another; reference images: was 240, is 300"
    )
    other = replace(fact(1, a="1"), more="- a line")
    assert reason("alerts", fact(1, a="1"), other) == "lines of its table or list: 1 new, first: a line"
    assert reason("alerts", other, replace(other, more="- b\n- c")) == (
        "lines of its table or list: 2 new and 1 gone, first: b"
    )
