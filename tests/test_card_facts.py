"""Facts of a card: training data of a model that cvkit did not train, the newest windows, and alerts by their rule."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from made_up_workspace import MadeUp, day, make
from scipy import stats

from cvkit.config import Config, load_config
from cvkit.documentation import facts
from cvkit.documentation.facts import Known, training_data
from cvkit.documentation.facts.known import _latency as latency
from cvkit.tables import MEASUREMENTS, conform

NOW = datetime(2026, 11, 10, tzinfo=UTC)
CLASSES = ("nut", "<b>bolt")


@pytest.mark.parametrize(("version", "expected"), [("old", 3.0), ("new", 4.0), ("newer", 2.0), ("other", None)])
def test_what_an_image_takes_is_of_the_newest_gate_on_either_side(version: str, expected: float | None) -> None:
    gates = [("old", "new", (9.0, 8.0), 1), ("new", "newer", (4.0, 2.0), 3), ("old", "newer", (3.0, 1.0), 2)]
    results: list[Any] = [
        SimpleNamespace(champion=one, challenger=other, latency_ms=took, made=NOW + timedelta(days=place))
        for one, other, took, place in gates
    ]
    assert latency(results, version) == expected


def data_set(folder: Path, boxes: list[list[int]]) -> Path:
    """A data set with a split `train` of an image for each list of class numbers, and one more without labels."""
    for number, classes in enumerate([*boxes, None]):
        for name in ("images", "labels"):
            (folder / "train" / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "train" / "images" / f"{number}.png"), np.zeros((8, 8, 3), np.uint8))
        if classes is not None:
            lines = [f"{one} .5 .5 .2 .2" for one in classes]
            (folder / "train" / "labels" / f"{number}.txt").write_text("\n".join(lines))
    (folder / "data.yaml").write_text(json.dumps({"train": "train/images", "names": list(CLASSES)}))
    return folder / "data.yaml"


def workspace(folder: Path, old: str = "", data: str = "") -> Config:
    folder.mkdir()
    (folder / "best.pt").write_bytes(b"weights")
    settings = {
        "model": {"name": "m", "weights": "best.pt"}, "retraining": {"old": old},
        "reference": {"data": data} if data else {"start": date(2026, 1, 1), "end": date(2026, 2, 1)},
    }  # fmt: skip
    (folder / "cvkit.yml").write_text(yaml.safe_dump(settings))
    return load_config(folder)


@pytest.mark.parametrize("named_by", ["retraining.old", "checkpoint", "reference"])
def test_training_data_is_counted_where_it_is_found(
    tmp_path: Path, named_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(data_set(tmp_path / "set", [[0, 0, 1], [], [1]]))
    asked = {"retraining.old": {"old": place}, "reference": {"data": place}}.get(named_by, {})
    config = workspace(tmp_path / "made", **asked)
    arguments = {"data": place if named_by == "checkpoint" else "gone/data.yaml"}
    monkeypatch.setattr(training_data.candidates, "class_names", lambda config: dict(enumerate(CLASSES)))
    found = training_data.count(config, arguments)
    assert found is not None
    assert (found.images, dict(found.boxes)) == (3, {0: 2, 1: 2})
    words = {
        "retraining.old": "as `retraining.old`",
        "checkpoint": "as the checkpoint says",
        "reference": "taken to be",
    }
    assert words[named_by] in found.why
    assert ("gone/data.yaml" in found.why) == (named_by == "reference")
    monkeypatch.delattr(training_data.candidates, "old_records")
    assert training_data.count(config, arguments) == found  # counted once


def test_training_data_that_nobody_knows_is_said_to_be_unknown(tmp_path: Path) -> None:
    config = workspace(tmp_path / "made")
    assert training_data.count(config, {"data": "<i>gone</i>.yaml"}) is None
    known = facts.know(config, NOW)
    told = facts.told(replace(known, network={"arguments": {"data": "<i>gone</i>.yaml"}, "classes": {}}))["data"]
    assert {"training images", "training boxes"} <= set(told.missing)
    assert "What the model was trained on is not known. The checkpoint names &#60;i&#62;gone" in told.markdown()
    assert "<i>" not in told.markdown()
    assert "No record names it" in facts.told(known)["data"].markdown()


def test_the_balance_of_classes_is_shown(tmp_path: Path) -> None:
    known = facts.know(workspace(tmp_path / "made"), NOW)
    counted = training_data.Counted(3, {0: 3, 1: 1}, "split train of x", "Because.")
    text = facts.told(replace(known, counted=counted, network={"classes": dict(enumerate(CLASSES))}))["data"].markdown()
    for words in ("| training images | 3, split train of x |", "| training boxes | 4 |", "| nut | 3 | 75% |",
                  "| &#60;b&#62;bolt | 1 | 25% |", "Because."):  # fmt: skip
        assert words in text


# -- production -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    return facts.know(make(tmp_path_factory.mktemp("facts") / "made", MadeUp(days=2)), NOW)


def measured(values: dict[str, list[float]]) -> pd.DataFrame:
    """Measurements of a source `<b>`, of a metric in each of some windows, on 24 images each."""
    rows = [
        {"source": "<b>", "feature": "performance", "metric": metric, "value": value, "expected": 0.9, "n": 24,
         "window_start": day(number).start, "window_end": day(number).end}
        for metric, told in {"coverage": [1.0] * len(next(iter(values.values()))), **values}.items()
        for number, value in enumerate(told)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    times = ["window_start", "window_end"]
    return conform(table.drop(columns=times), MEASUREMENTS).join(table[times])


def test_the_newest_windows_have_intervals(known: Known) -> None:
    f1 = [0.1, 0.5, 0.6, 0.7, 0.65, 0.55, 0.6, 0.62, 0.58]
    seen = measured({"f1": f1, "recall": [1.0] * 9})
    text = facts.told(replace(known, measurements=seen))["performance"].markdown()
    recent = f1[-known.config.retraining.recent_windows :]
    low, high = stats.t.interval(0.95, len(recent) - 1, np.mean(recent), stats.sem(recent))
    count = len(recent)
    sure = stats.binomtest(24 * count, 24 * count).proportion_ci(0.95, method="exact").low
    assert (f"| **&#60;b&#62;** | {count} | 1.00 ({sure:.2f} to 1.00) | not known | {np.mean(recent):.2f} "
            f"({low:.2f} to {high:.2f}) | not known | not known |") in text  # fmt: skip
    assert "<b>" not in text
    once = facts.told(replace(known, measurements=measured({"f1": [0.5]})))["performance"].markdown()
    assert "Means of the newest windows" not in once


def test_alerts_of_the_same_words_are_told_apart_by_their_rule(known: Known) -> None:
    row = {"severity": "critical", "source": "cam", "what": "less | sharp", "state": "firing",
           "since": NOW - timedelta(days=2), "until": None}  # fmt: skip
    table = pd.DataFrame([{**row, "rule": "drift"}, {**row, "rule": "bad-images"}])
    lines = facts.told(replace(known, alerts=table))["alerts"].markdown().splitlines()
    told = [line for line in lines if line.startswith("| critical |")]
    assert told == [f"| critical | cam | less &#124; sharp | {rule} | 2026-11-08 | firing |"
                    for rule in ("bad-images", "drift")]  # fmt: skip
