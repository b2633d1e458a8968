"""Front matter of cards: the Hub's own library loads, checks and saves it unchanged, and so do we."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_up_workspace import MadeUp, make

from cvkit.documentation import documents, facts, front_matter

hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
CARDS = ("nullxes-cerber-cv", "pcb-prune-yolo", "yolos-tiny-hard-hat")
ODD = ('cam "1": x', "#1", "- a", "yes", "{a: b}", "<b>&", "é \U0001f600", "a\u2028b", "'", "1.0", "null", "a: b # c")


def loaded_and_saved(path: Path, again: Path) -> str:
    """What the Hub's library makes of a card."""
    card = hub.ModelCard.load(path, ignore_metadata_errors=False)
    card.save(again)
    return again.read_bytes().decode()


@pytest.mark.parametrize("name", CARDS)
def test_real_cards_are_read_and_written_unchanged(name: str, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "interop" / "model_cards" / f"{name}.README.md"
    text = path.read_text(encoding="utf-8")
    keys, body = front_matter.split(text, str(path))
    again = front_matter.joined(keys, body)
    assert front_matter.split(again, "again") == (keys, body)
    assert text.endswith(body)
    (tmp_path / "ours.md").write_text(again, encoding="utf-8")
    ours, theirs = (hub.ModelCard.load(one, ignore_metadata_errors=True) for one in (tmp_path / "ours.md", path))
    assert ours.data.to_dict() == theirs.data.to_dict()
    assert ours.text == theirs.text
    hub.ModelCard.load(path, ignore_metadata_errors=True).save(tmp_path / "saved.md")
    saved = hub.ModelCard.load(tmp_path / "saved.md", ignore_metadata_errors=True)
    assert (saved.data.to_dict(), saved.text.strip()) == (theirs.data.to_dict(), theirs.text.strip())


@pytest.mark.parametrize("name", ["parts <inspection>", *ODD])
def test_a_card_of_ours_is_the_hubs_own(name: str, tmp_path: Path) -> None:
    told = [
        ("reference", "reference", {"f1": 0.91, "ap": 0.5, "ap50": float("nan")}),
        (f"test set {name}", "old", {"f1": 1.0, "recall": 0.0}),
    ]
    keys = front_matter.renewed({}, front_matter.of_metrics(name, told))
    path = tmp_path / "card.md"
    path.write_bytes(front_matter.joined(keys, "\n# A card\n").encode())
    assert loaded_and_saved(path, tmp_path / "again.md") == path.read_bytes().decode()
    card = hub.ModelCard.load(path)
    assert (card.data.model_name, card.data.library_name, card.data.pipeline_tag) == (
        name, "ultralytics", "object-detection"
    )  # fmt: skip
    results = {(one.dataset_name, one.metric_type): one.metric_value for one in card.data.eval_results}
    old = f"test set {name}"
    assert results == {("reference", "f1"): 0.91, ("reference", "ap"): 0.5, (old, "f1"): 1.0, (old, "recall"): 0.0}
    assert {one.task_type for one in card.data.eval_results} == {"object-detection"}


def test_the_card_of_a_workspace_passes_and_keeps_peoples_keys(tmp_path: Path) -> None:
    config = make(tmp_path / "workspace", MadeUp())
    known = facts.know(config, datetime(2026, 11, 10, tzinfo=UTC))
    path = documents.start(config, documents.CARD, known, facts.told(known))
    text = path.read_bytes().decode()
    assert loaded_and_saved(path, tmp_path / "again.md") == text
    keys, body = front_matter.split(text, "card")
    mine = {**keys, "license": "agpl-3.0", "language": ["en"], "datasets": ["a/b"], "base_model": "hustvl/yolos-tiny"}
    path.write_text(front_matter.joined(mine, body), encoding="utf-8")
    documents.fill(config, documents.CARD, known, facts.told(known))
    told = hub.ModelCard.load(path).data.to_dict()
    assert {name: told[name] for name in ("license", "language", "datasets", "base_model")} == {
        "license": "agpl-3.0", "language": ["en"], "datasets": ["a/b"], "base_model": "hustvl/yolos-tiny"
    }  # fmt: skip
    assert loaded_and_saved(path, tmp_path / "again.md") == path.read_bytes().decode()
