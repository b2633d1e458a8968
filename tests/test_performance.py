"""Performance from labels: numbers with their intervals, labels that come late, and mistakes that raise an alarm."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_flow import CAMERAS, SETTINGS, take

from cvkit.config import Config, load_config
from cvkit.data.labelled import labelled
from cvkit.monitoring import exemplars, monitor, performance, slices
from cvkit.monitoring.diagnosis import diagnose
from cvkit.monitoring.history import History
from cvkit.tables import BOXES, IMAGES, MEASUREMENTS, Window, conform, empty

NOW = datetime(2026, 10, 12, 12, tzinfo=UTC)
WITH_LABELS = SETTINGS.replace("captures:\n", 'captures:\n  labels: "labels/{source}/{date}/*.txt"\n')


def label(folder: Path, camera: str, day: str, *, missed: float = 0.05) -> None:
    """Labels as the predictions say, and on a share `missed` of the images one more, which the model did not see."""
    rng = np.random.default_rng([CAMERAS.index(camera), int(day.replace("-", "")), 1])
    for line in (folder / "predictions" / camera / f"{day}.jsonl").read_text().splitlines():
        said = json.loads(line)
        rows = [(box["class_id"], *box["xyxy"]) for box in said["boxes"]]
        rows += [(0, 100, 70, 120, 90)] if rng.random() < missed else []
        text = [
            f"{kind} {(x1 + x2) / 256:.6f} {(y1 + y2) / 192:.6f} {(x2 - x1) / 128:.6f} {(y2 - y1) / 96:.6f}"
            for kind, x1, y1, x2, y2 in rows
        ]
        file = folder / "labels" / camera / day / f"{Path(said['image']).stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(text))


@pytest.fixture
def workspace(tmp_path: Path) -> Config:
    """Two cameras, six labelled reference days, and ten days of which the labels are still to come."""
    for camera in CAMERAS:
        for day in range(1, 7):
            take(tmp_path, camera, f"2026-09-0{day}")
            label(tmp_path, camera, f"2026-09-0{day}")
        for day in range(1, 11):
            take(tmp_path, camera, f"2026-10-{day:02d}")
    (tmp_path / "cvkit.yml").write_text(WITH_LABELS)
    return load_config(tmp_path)


def run_due(config: Config) -> list[str]:
    with History.open(config.history_url) as history:
        windows = monitor.due(config, history, NOW)
        for window in windows:
            monitor.run(config, window, history)
    return [window.label for window in windows]


def test_labels_that_come_late_are_looked_at_and_what_was_believed_is_kept(workspace: Config) -> None:
    assert "2026-10-03" in run_due(workspace)
    assert run_due(workspace) == []
    label(workspace.workspace, "cam-1", "2026-10-03")
    assert run_due(workspace) == ["2026-10-03"]
    assert run_due(workspace) == []
    label(workspace.workspace, "cam-1", "2026-10-03", missed=1.0)  # somebody corrects them
    assert run_due(workspace) == ["2026-10-03"]
    with History.open(workspace.history_url) as history:
        believed = history.evaluations(source="cam-1")
        told = history.measurements(feature="performance", start=datetime(2026, 10, 1, tzinfo=UTC))
    believed = believed[believed["window_start"] >= pd.Timestamp("2026-10-01", tz="UTC")]
    rows = told.set_index("metric")
    assert believed["labelled"].to_list() == [24, 24]
    first, second = (numbers["recall"][0] for numbers in believed["numbers"])
    assert first > 0.9 > second
    assert rows.loc["recall", "value"] == second
    assert rows.loc["recall", "expected"] == pytest.approx(first, abs=0.1)
    assert rows.loc["coverage", "value"] == 1.0
    assert np.isnan(rows.loc["recall", "low"])  # 24 images are too few for an interval
    assert set(told["source"]) == {"cam-1"}  # nobody labelled the other


def test_mistakes_that_labels_tell_raise_an_alarm_of_their_camera_alone(workspace: Config) -> None:
    for camera in CAMERAS:
        for day in range(1, 11):
            missed = 0.9 if camera == "cam-2" and day > 4 else 0.05
            label(workspace.workspace, camera, f"2026-10-{day:02d}", missed=missed)
    run_due(workspace)
    with History.open(workspace.history_url) as history:
        verdicts = history.verdicts()
    found = diagnose(verdicts)
    told = found[found["evidence"] == "f1"]
    assert told["source"].to_list() == ["cam-2"]
    assert f"{told['since'].item():%d}" in {"05", "06"}
    assert "makes more mistakes" in told["what"].item()
    assert set(verdicts.loc[(verdicts["source"] == "cam-1") & (verdicts["feature"] == "f1"), "state"]) == {"ok"}


def test_a_few_labels_do_not_make_a_window_unknown(workspace: Config) -> None:
    label(workspace.workspace, "cam-1", "2026-10-01")
    for file in sorted((workspace.workspace / "labels" / "cam-1" / "2026-10-01").iterdir())[3:]:
        file.unlink()
    verdicts = monitor.observe(workspace, Window.day("2026-10-01")).verdicts
    assert "f1" not in set(verdicts["feature"])
    assert set(verdicts["state"]) == {"ok"}
    told = performance.verdicts(verdicts, empty(MEASUREMENTS))  # but where performance is asked for, it is
    assert told["source"].to_list() == list(CAMERAS)
    assert set(told["state"]) == {"unknown"}


def test_every_labelled_image_has_its_quality_beside_what_is_known_of_it(workspace: Config) -> None:
    label(workspace.workspace, "cam-1", "2026-10-01", missed=0.5)
    observation = monitor.observe(workspace, Window.day("2026-10-01"))
    quality = slices.image_quality(observation)
    assert len(quality) == 24
    assert quality["f1"].is_monotonic_increasing
    assert (quality["found"] + quality["missed"] == quality["objects"]).all()
    assert quality[["brightness", "sharpness", "f1"]].notna().all().all()
    told = slices.boxes(observation, quality)
    assert (told["labelled"].sum(), told["predicted"].sum()) == (
        quality["objects"].sum(), (quality["found"] + quality["false"]).sum(),
    )  # fmt: skip
    by_class = slices.by(told, ["class"])
    assert by_class["boxes"].sum() == len(told)
    shown = exemplars.most_mistaken(observation, most=2)
    best = exemplars.most_mistaken(observation, most=1, best=True)
    assert [caption.split("\n")[1].split(":")[0] for caption in shown["caption"]] == ["said", "true"] * 2
    assert "F1 1.00" in best["caption"].iloc[0]
    nothing = monitor.observe(workspace, Window.day("2026-10-02"))
    assert slices.image_quality(nothing).empty
    assert slices.boxes(nothing, slices.image_quality(nothing)).empty


def boxes(images: int, seed: int, found: float) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Images with three objects each, of which a share is found and nothing else said."""
    rng = np.random.default_rng(seed)
    ids = [f"{number:04d}" for number in range(images)]
    table = conform(pd.DataFrame({"image_id": ids, "predicted": True, "labelled": True}), IMAGES)
    rows = [(one, k % 2, np.nan, 40.0 * k, 0.0, 40.0 * k + 20, 20.0, "") for one in ids for k in range(3)]
    true = conform(pd.DataFrame(rows, columns=list(BOXES)), BOXES)
    said = true[rng.random(len(true)) < found].assign(confidence=0.9)
    return table, conform(said, BOXES), true


def test_intervals_hold_the_value_of_very_many_images() -> None:
    told = [performance.measure(labelled(*boxes(60, seed, found=0.8)), 0.5)["recall"] for seed in range(60)]
    known = [numbers for numbers in told if not np.isnan(numbers).any()]  # now and then neighbours look alike by chance
    assert len(known) >= 55
    assert all(low < value < high for value, low, high in known)
    assert sum(low <= 0.8 <= high for _, low, high in known) >= 0.87 * len(known)  # .95 expected, sd .03


def test_what_cannot_be_told_is_not_a_number() -> None:
    images, said, true = boxes(3, 0, found=1.0)
    told = performance.measure(labelled(images, said, true), 0.5)
    assert told["f1"][0] == told["ap"][0] == 1.0
    assert np.isnan(told["f1"][1:]).all()
    nothing = performance.measure(labelled(images, said[:0], true[:0]), 0.5)
    assert all(np.isnan(numbers).all() for numbers in nothing.values())


def test_what_is_set_aside_neither_counts_as_found_nor_as_missed() -> None:
    images, said, true = boxes(40, 0, found=0.5)
    plain = performance.measure(labelled(images, said, true), 0.5)

    def table(*rows: tuple[Any, ...]) -> pd.DataFrame:
        return conform(pd.DataFrame(rows, columns=list(BOXES)), BOXES)

    crowd = table(("0000", 0, np.nan, 200, 0, 300, 100, "crowd"), ("0001", 1, np.nan, 200, 0, 300, 100, "ignore"))
    inside = table(("0000", 0, 0.9, 210, 0, 230, 20, ""), ("0000", 0, 0.9, 250, 0, 270, 20, ""),
                   ("0001", 1, 0.9, 200, 0, 300, 100, ""))  # fmt: skip
    aside = performance.measure(labelled(images, pd.concat([said, inside]), pd.concat([true, crowd])), 0.5)
    assert {name: numbers[0] for name, numbers in aside.items()} == {
        name: numbers[0] for name, numbers in plain.items()
    }
    only_missed = performance.measure(labelled(images, said, pd.concat([true, crowd])), 0.5)
    assert only_missed["recall"] == plain["recall"]


def test_sampling_weights_undo_a_biased_sample() -> None:
    """Of 600 images a third is hard; hard ones are labelled four times as often, and say so by their weights."""
    estimates, naive, held = [], [], 0
    for seed in range(20):
        images, said, true = boxes(600, seed, found=0.9)
        rng = np.random.default_rng(seed)
        hard = rng.random(600) < 1 / 3
        lost = said["image_id"].isin(images.loc[hard, "image_id"]) & (rng.random(len(said)) < 0.5)
        chance = np.where(hard, 0.8, 0.2)
        drawn = images.assign(labelled=rng.random(600) < chance)
        known = labelled(drawn, said[~lost], true)
        weights = pd.Series(1 / chance, index=images["image_id"]).loc[known.image_ids]
        told = performance.measure(known, 0.5, weights)["recall"]
        estimates.append(told[0])
        naive.append(performance.measure(known, 0.5)["recall"][0])
        held += told[1] <= 0.9 * (2 / 3 + 1 / 3 * 0.5) <= told[2]
    assert np.mean(estimates) == pytest.approx(0.75, abs=0.01)
    assert np.mean(naive) < 0.66
    assert held >= 17  # 19 expected, sd 1
