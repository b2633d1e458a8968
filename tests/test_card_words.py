"""What report `06-model-card` says of a card: not started, complete or not, and what filling it would change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_up_workspace import MadeUp, make

from cvkit.config import Config
from cvkit.documentation import card_words, documents, marked, plots
from cvkit.documentation.facts import Fact
from cvkit.documentation.facts.quality import QUALITY
from cvkit.tables import empty

NOW = datetime(2026, 11, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return make(tmp_path_factory.mktemp("card") / "workspace", MadeUp())


@pytest.fixture
def path(config: Config) -> Path:
    file = documents.path_of(config, documents.CARD)
    file.unlink(missing_ok=True)
    return file


def begun(config: Config) -> card_words.Card:
    known = card_words.look(config, NOW)
    documents.start(config, documents.CARD, known.known, known.facts)
    return card_words.look(config, NOW)


def test_a_card_that_was_not_started_is_unknown_and_shown_as_it_would_begin(config: Config, path: Path) -> None:
    card = card_words.look(config, NOW)
    assert not path.exists()
    assert card_words.verdict_line(card).startswith("**? unknown:** the card was not started: `cvkit card new` would")
    assert card.diff == ""
    documents.start(config, documents.CARD, card.known, card.facts)
    assert path.read_text(encoding="utf-8") == card.after


def test_what_is_missing_is_counted_and_listed(config: Config, path: Path) -> None:
    card = begun(config)
    line = card_words.verdict_line(card)
    assert line.startswith("**▲ warning:** the card is ")
    assert f"{len(card.checked.missing)} missing, 0 stale, 0 contradictory." in line
    table = card_words.trouble_table(card.checked)
    assert table.count("| missing |") == 40
    assert f"and {len(card.checked.missing) - 40} more" in table
    fine = replace(card.checked, missing=(), done=card.checked.of)
    assert card_words.verdict_line(replace(card, checked=fine)).startswith("**● ok:**")
    assert card_words.trouble_table(fine) == "Nothing."


def test_what_filling_would_change_is_shown_as_text(config: Config, path: Path) -> None:
    begun(config)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("| model |", "| <i>model</i> $x$ |", 1), encoding="utf-8")
    card = card_words.look(config, NOW)
    lines = card_words.diff_lines(card)
    assert "<i>" not in lines
    assert "$" not in lines
    assert "&#60;i&#62;model" in lines
    assert "1 contradictory" in card_words.verdict_line(card)
    kept = [part.name for part in marked.parse(card.after) if part.name.startswith("kept-")]
    assert kept == ["kept-overview-2026-11-10"]


def test_figures_say_what_there_is_and_that_there_is_nothing(config: Config, path: Path) -> None:
    card = begun(config)
    (axes,) = plots.known_facts(card.facts).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(card.facts)
    known = {name: bar.get_width() for name, bar in zip(card.facts, axes.containers[0], strict=True)}
    assert known == {name: fact.known for name, fact in card.facts.items()}
    old = {
        "old": Fact((), "x", datetime(2026, 11, 1, tzinfo=UTC)),
        "new": Fact((), "x", NOW),
        "ever": Fact((), "x", None),
    }
    (axes,) = plots.ages(old).axes
    assert [bar.get_width() for bar in axes.containers[0]] == [9, 0]
    for figure in (plots.known_facts({}), plots.ages({}), plots.reference_quality(empty(QUALITY))):
        assert any("no data" in text.get_text() for text in figure.texts)
