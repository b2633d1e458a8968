"""A version's card: front matter that YAML reads, tables, and names that stay text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from versions_world import CLASSES, bare, judged, made_up

from cvkit import cli
from cvkit.config import Config
from cvkit.documentation import version_card
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
