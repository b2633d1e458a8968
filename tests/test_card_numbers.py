"""Numbers of a card: those of the whole reference, by hand, with intervals; and that it tells where they disagree."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_workspace import MadeUp, make

from cvkit.config import Config
from cvkit.documentation import documents, facts, front_matter
from cvkit.documentation.facts import Known, quality
from cvkit.monitoring.reference import Reference
from cvkit.tables import BOXES, FEATURES, FINDINGS, IMAGES, conform, empty

SEEN = 0.8  # share of the boxes that the model finds
NOW = datetime(2026, 11, 10, tzinfo=UTC)


def reference(images: int = 240, seed: int = 3) -> tuple[Reference, pd.DataFrame]:
    """A reference of two sources and two classes, a box an image; and which boxes were found, one row an image.

    The model misses a fifth of the boxes of source a, and says nothing false.
    """
    rng = np.random.default_rng(seed)
    names = [f"{number:04d}.jpg" for number in range(images)]
    sources = np.where(np.arange(images) % 2, "a", "b")
    told = pd.DataFrame({"image_id": names, "source": sources, "class_id": rng.integers(0, 2, images)})
    told["found"] = (rng.random(images) < SEEN) | (told["source"] == "b")
    boxes = told[["image_id", "class_id"]].assign(x1=1.0, y1=1.0, x2=21.0, y2=21.0, aside="")
    said = boxes[told["found"]].assign(confidence=0.9)
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number) for number in range(images)]
    rows = told[["image_id", "source"]].assign(time=pd.to_datetime(times), predicted=True, labelled=True)
    seen = rows[["image_id", "source", "time"]]
    return Reference(
        "r", conform(rows, IMAGES), conform(seen, FEATURES), conform(said, BOXES), conform(boxes, BOXES),
        empty(FINDINGS),
        pd.DataFrame({"image_id": [], "embedding": []}), {}, {0: "nut", 1: "<b>bolt</b>"},
    ), told  # fmt: skip


def f1(told: pd.DataFrame) -> float:
    found, every = int(told["found"].sum()), len(told)
    return 2 * found / (2 * found + every - found)


def known(config: Config) -> Known:
    return facts.know(config, NOW)


@pytest.fixture
def workspace(tmp_path: Path) -> Config:
    return make(tmp_path / "workspace", MadeUp())


def test_the_whole_and_its_parts_are_as_counted_by_hand() -> None:
    frozen, told = reference()
    table = quality.measure(frozen, 0.25)
    rows = {(row["by"], row["part"], row["metric"]): row for row in table.to_dict("records")}
    whole = rows["", "", "f1"]
    assert whole["value"] == pytest.approx(f1(told))
    precise = rows["", "", "precision"]
    assert (precise["value"], precise["high"]) == (1.0, 1.0)
    assert 0.5 < precise["low"] <= 1 - 3 / len(told)  # nothing false on so many images: the rule of three
    assert rows["", "", "recall"]["value"] == pytest.approx(told["found"].mean())
    assert whole["low"] < whole["value"] < whole["high"]
    assert whole["n"] == len(told)
    for by, part, chosen in (
        ("source", "source a", told["source"] == "a"),
        ("source", "source b", told["source"] == "b"),
        ("class", "class nut", told["class_id"] == 0),
        ("class", "class <b>bolt</b>", told["class_id"] == 1),
    ):
        row = rows[by, part, "f1"]
        assert row["value"] == pytest.approx(f1(told[chosen]))
        assert row["n"] == chosen.sum()
        assert row["low"] <= row["value"] <= row["high"]
    assert rows["source", "source a", "f1"]["high"] < rows["source", "source b", "f1"]["value"]


def test_intervals_hold_what_is_true_of_very_many_images() -> None:
    """Of 40 references of 240 images each, 95 % intervals miss F1 of very many in few."""
    truth = 2 * 0.9 / (2 * 0.9 + 0.1)  # half of the images are of source a
    tables = (quality.measure(reference(seed=seed)[0], 0.25).query("by == '' and metric == 'f1'") for seed in range(40))
    inside = sum(bool(row["low"].item() <= truth <= row["high"].item()) for row in tables)
    assert inside >= 34


def test_without_labels_there_is_no_number() -> None:
    frozen, _ = reference()
    frozen.images["labelled"] = False
    assert quality.measure(frozen, 0.25).empty
    few, told = reference(images=12)
    row = quality.measure(few, 0.25).iloc[4]
    assert row["value"] == pytest.approx(f1(told))
    assert np.isnan([row["low"], row["high"]]).all()


def test_it_is_worked_out_once_and_again_where_it_is_damaged(
    workspace: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, _ = reference()
    folder = quality.reference_folder(workspace)
    folder.mkdir(parents=True)
    first = quality.on_reference(workspace, frozen)
    with monkeypatch.context() as patch:
        patch.delattr(quality, "measure")
        pd.testing.assert_frame_equal(quality.on_reference(workspace, frozen), first)
    (kept,) = folder.glob("quality-*.parquet")
    kept.write_bytes(kept.read_bytes()[:50])
    pd.testing.assert_frame_equal(quality.on_reference(workspace, frozen), first)


def test_the_card_tells_them_and_where_its_front_matter_disagrees(
    workspace: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, told = reference()
    monkeypatch.setattr("cvkit.documentation.facts.known.reference_step.load", lambda config: frozen)
    now = known(workspace)
    path = documents.start(workspace, documents.CARD, now, facts.told(now))
    text = path.read_text(encoding="utf-8")
    assert f"| f1 on the reference | {f1(told):.3f} (" in text
    assert ", 240 images |" in text
    assert "| F1 of source a | " in text
    assert "&#60;b&#62;bolt" in text
    keys, body = front_matter.split(text, "card")
    (result,) = keys["model-index"][0]["results"]
    assert {one["type"]: one["value"] for one in result["metrics"]}["f1"] == pytest.approx(f1(told), abs=1e-6)
    assert not documents.check(text, now, facts.told(now), "card", documents.CARD).contradictory
    result["metrics"][0]["value"] += 0.01
    better = front_matter.joined(keys, body)
    found = documents.check(better, now, facts.told(now), "card", documents.CARD).contradictory
    assert found == ("front matter: model-index is not what was measured",)
    monkeypatch.setattr("cvkit.documentation.facts.known.reference_step.load", lambda config: reference(seed=9)[0])
    shutil.rmtree(quality.reference_folder(workspace), ignore_errors=True)
    later = known(workspace)
    told_now = documents.check(text, later, facts.told(later), "card", documents.CARD)
    assert "front matter: the records tell model-index otherwise by now" in told_now.stale
    assert any(one.startswith("evaluation: f1 on the reference: was ") for one in told_now.stale)
    assert not told_now.contradictory
    notes = documents.renewed(text, later, facts.told(later), "card", documents.CARD).notes
    assert not notes  # nobody changed anything by hand
