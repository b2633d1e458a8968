"""The main job without torch: images and predictions in, history out; bad input is counted and loses nothing."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from cvkit import asked, cli, job
from cvkit.config import Config, load_config
from cvkit.errors import BusyError, DataError, StorageError
from cvkit.monitoring import identity, monitor, reference
from cvkit.monitoring.history import History
from cvkit.monitoring.rules import lights
from cvkit.storage import lock
from cvkit.tables import Window

CAMERAS = ("cam-1", "cam-2")
SETTINGS = """
model: {name: test, classes: [nut, bolt]}
captures:
  images: "captures/{source}/{date}/{time}.jpg"
  predictions: "predictions/{source}/{date}.jsonl"
reference: {start: 2026-09-01, end: 2026-09-07}
"""


def take(folder: Path, camera: str, day: str, n: int = 24, dark: float = 1.0) -> list[Path]:
    """A camera's day: `n` noisy pictures of a belt with one to three parts, and what a model said about them."""
    rng = np.random.default_rng([CAMERAS.index(camera), int(day.replace("-", ""))])
    lines, paths = [], []
    for i in range(n):
        picture = rng.normal(110, 6, (96, 128, 3)) + rng.normal(0, 3)
        boxes = []
        for _ in range(rng.integers(1, 4)):
            x, y, size = rng.uniform(10, 90), rng.uniform(10, 60), rng.uniform(12, 24)
            cv2.rectangle(picture, (int(x), int(y)), (int(x + size), int(y + size)), (190, 190, 200), -1)
            boxes.append(
                {
                    "class_id": int(rng.random() < 0.3),
                    "confidence": rng.uniform(0.6, 0.95),
                    "xyxy": [x, y, x + size, y + size],
                }
            )
        path = folder / "captures" / camera / day / f"{6 + i // 2:02d}{i % 2 * 30:02d}00.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.clip(picture * dark, 0, 255).astype(np.uint8))
        lines.append(json.dumps({"image": path.relative_to(folder).as_posix(), "boxes": boxes}))
        paths.append(path)
    file = folder / "predictions" / camera / f"{day}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines))
    return paths


@pytest.fixture
def workspace(tmp_path: Path) -> Config:
    """Two cameras, six reference days, one healthy day."""
    for camera in CAMERAS:
        for day in [f"2026-09-0{d}" for d in range(1, 7)] + ["2026-10-01"]:
            take(tmp_path, camera, day)
    (tmp_path / "cvkit.yml").write_text(SETTINGS)
    return load_config(tmp_path)


def judged(config: Config, day: str = "2026-10-01") -> pd.DataFrame:
    return monitor.observe(config, Window.day(day)).verdicts


def states(verdicts: pd.DataFrame, *states: str) -> set[tuple[str, str]]:
    rows = verdicts[verdicts["state"].isin(states)]
    return set(zip(rows["source"], rows["feature"], strict=True))


def test_a_healthy_day_is_ok(workspace: Config) -> None:
    assert lights(judged(workspace)) == {"cam-1": "ok", "cam-2": "ok"}


def test_a_darkened_camera_is_found_and_the_other_is_not_accused(workspace: Config) -> None:
    take(workspace.workspace, "cam-1", "2026-10-01", dark=0.5)
    found = judged(workspace)
    assert lights(found) == {"cam-1": "critical", "cam-2": "ok"}
    assert {("cam-1", "brightness"), ("cam-1", "too_dark")} <= states(found, "critical")


def test_broken_files_are_counted_and_the_run_goes_on(workspace: Config) -> None:
    images = take(workspace.workspace, "cam-1", "2026-10-01", n=26)
    images[0].write_bytes(b"")
    images[1].write_bytes(images[1].read_bytes()[:-20])
    images[2].write_bytes(b"no picture at all")
    cv2.imwrite(str(images[3].with_suffix(".png")), np.zeros((96, 128, 4), np.uint8))
    images[3].with_suffix(".png").replace(images[3])
    observation = monitor.observe(workspace, Window.day("2026-10-01"))
    found = set(observation.findings["finding"])
    assert {"empty_file", "truncated", "unreadable", "wrong_format", "wrong_mode"} <= found
    assert len(observation.features) == 50
    assert lights(observation.verdicts)["cam-2"] == "ok"


def test_a_frozen_camera_is_one_observation_a_day(workspace: Config) -> None:
    images = take(workspace.workspace, "cam-2", "2026-10-01")
    for path in images[1:]:
        path.write_bytes(images[0].read_bytes())
    verdicts = judged(workspace)
    assert ("cam-2", "frozen") in states(verdicts, "critical")
    assert ("cam-2", "images") in states(verdicts, "unknown")
    assert not states(verdicts[verdicts["rule"] == "drift"], "warning", "critical")


@pytest.mark.parametrize("n", [0, 1, 19])
def test_too_few_images_are_unknown(workspace: Config, n: int) -> None:
    folder = workspace.workspace / "captures" / "cam-1" / "2026-10-01"
    for path in sorted(folder.iterdir())[n:]:
        path.unlink()
    assert ("cam-1", "images") in states(judged(workspace), "unknown")


def test_a_day_without_any_image_is_unknown_for_every_camera(workspace: Config) -> None:
    assert lights(judged(workspace, "2026-10-09")) == {"cam-1": "unknown", "cam-2": "unknown"}


def test_a_camera_the_reference_does_not_know_is_unknown(workspace: Config) -> None:
    unknown = workspace.workspace / "captures" / "cam-9"
    unknown.mkdir()
    (workspace.workspace / "captures" / "cam-2" / "2026-10-01").rename(unknown / "2026-10-01")
    verdicts = judged(workspace)
    assert ("cam-9", "images") in states(verdicts, "unknown")
    new = verdicts[verdicts["source"] == "cam-9"]
    assert not len(new[new["rule"] == "drift"])
    learnt = new[new["feature"].isin(["too_dark", "wrong_size", "near_duplicate", "frozen", "gap"])]
    assert len(learnt) == 5
    assert set(learnt["state"]) == {"unknown"}  # nothing is known of what is dark there


def test_a_camera_outside_the_reference_is_missed_when_it_falls_silent(workspace: Config) -> None:
    for day in ("2026-10-02", "2026-10-03", "2026-10-04"):
        for camera in CAMERAS:
            take(workspace.workspace, camera, day)
    captures = workspace.workspace / "captures"
    late = captures / "cam-9" / "2026-10-02"

    def silent(history: History) -> set[str]:
        told = history.verdicts(source="cam-9", feature="images").query("reason == 'no images in this window'")
        return {f"{start:%d}" for start in told["window_start"]}

    with History.open(workspace.history_url) as history:
        for day in ("2026-10-01", "2026-10-03"):
            monitor.run(workspace, Window.day(day), history)
        late.parent.mkdir()
        (captures / "cam-2" / "2026-10-02").rename(late)
        monitor.run(workspace, Window.day("2026-10-02"), history)  # comes late, and is the first with this camera
        assert silent(history) == {"03"}
        monitor.run(workspace, Window.day("2026-10-04"), history)
        assert silent(history) == {"03", "04"}


def test_few_images_cannot_tell_an_odd_one(workspace: Config) -> None:
    for path in sorted((workspace.workspace / "captures" / "cam-1" / "2026-10-01").iterdir())[9:]:
        path.unlink()
    assert {("cam-1", "strange")} <= states(judged(workspace), "unknown")


def test_a_window_without_predictions_has_no_class_mix(workspace: Config) -> None:
    (workspace.workspace / "predictions" / "cam-1" / "2026-10-01.jsonl").unlink()
    verdicts = judged(workspace).query("source == 'cam-1'").set_index("feature")
    assert verdicts.loc["class_mix", "state"] == "unknown"
    assert verdicts.loc["class_mix", "reason"].startswith("0 values")
    assert verdicts.loc["missing_prediction", "state"] == "critical"


def test_a_feature_that_the_reference_lacks_is_unknown_and_not_left_out(workspace: Config) -> None:
    for day in (workspace.workspace / "predictions" / "cam-1").glob("2026-09-*.jsonl"):
        day.unlink()
    verdicts = judged(workspace)
    unknown = verdicts[(verdicts["source"] == "cam-1") & (verdicts["state"] == "unknown")]
    assert {"boxes", "confidence", "box_area"} <= set(unknown["feature"])
    assert not states(verdicts, "warning", "critical") & {("cam-1", "strange")}


def test_rerunning_replaces_and_never_doubles(workspace: Config) -> None:
    window = Window.day("2026-10-01")
    with History.open(workspace.history_url) as history:
        monitor.run(workspace, window, history)
        first = history.measurements()
        monitor.run(workspace, window, history)
        second = history.measurements()
        assert len(history.runs()) == 1
    order = ["source", "feature", "metric"]
    columns = [*order, "value", "p_value", "p_adjusted", "n"]
    pd.testing.assert_frame_equal(
        first[columns].sort_values(order, ignore_index=True), second[columns].sort_values(order, ignore_index=True)
    )


def test_due_windows_are_the_complete_ones_not_measured_yet(workspace: Config) -> None:
    now = datetime(2026, 10, 2, 12, tzinfo=UTC)
    with History.open(workspace.history_url) as history:
        due = monitor.due(workspace, history, now)
        assert due[-1] == Window.day("2026-10-01")
        monitor.run(workspace, due[-1], history)
        assert Window.day("2026-10-01") not in monitor.due(workspace, history, now)


def test_two_runs_at_once_are_refused(workspace: Config) -> None:
    with lock(workspace.workspace / "locks" / "run.lock", "testing"), pytest.raises(BusyError, match="another process"):
        job.run(workspace, [Window.day("2026-10-01")], notebooks=[])


def test_the_reference_is_frozen(workspace: Config) -> None:
    before = judged(workspace)
    for path in (workspace.workspace / "captures" / "cam-1" / "2026-09-01").iterdir():
        path.unlink()
    pd.testing.assert_frame_equal(before, judged(workspace))


def test_a_reference_without_a_readable_image_is_an_error(workspace: Config) -> None:
    for path in workspace.workspace.glob("captures/*/2026-09-*/*.jpg"):
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="no image of the reference can be read"):
        judged(workspace)


def test_misdated_captures_do_not_make_a_century_due(workspace: Config, caplog: pytest.LogCaptureFixture) -> None:
    take(workspace.workspace, "cam-1", "1926-10-01", n=1)
    take(workspace.workspace, "cam-1", "2099-10-01", n=1)
    take(workspace.workspace, "cam-1", "2026-12-24", n=1)  # after a pause longer than EMPTY_DAYS
    with History.open(workspace.history_url) as history:
        due = monitor.due(workspace, history, datetime(2026, 12, 25, tzinfo=UTC))
    labels = [window.label for window in due]
    assert labels[0] == "2026-09-01"
    assert labels[-2:] == ["2026-11-01", "2026-12-24"]
    assert "2099-10-01" in caplog.text


def test_what_came_after_a_window_that_is_caught_up_with_lies_in_nobodys_future(
    workspace: Config, caplog: pytest.LogCaptureFixture
) -> None:
    take(workspace.workspace, "cam-1", "2026-10-20", n=1)
    with History.open(workspace.history_url) as history:
        due = monitor.due(workspace, history, datetime(2026, 10, 3, tzinfo=UTC))
    assert due[-1].label <= "2026-10-02"
    assert "future" not in caplog.text


def test_a_changed_reference_is_told_and_the_past_kept(workspace: Config) -> None:
    first = job.run(workspace, [Window.day("2026-10-01")], notebooks=[])
    assert "judged against" not in first.summary
    (workspace.workspace / "cvkit.yml").write_text(SETTINGS.replace("end: 2026-09-07", "end: 2026-09-06"))
    take(workspace.workspace, "cam-1", "2026-10-02")
    again = job.run(load_config(workspace.workspace), [Window.day("2026-10-02")], notebooks=[])
    assert "1 window, 2026-10-01, was judged against another reference" in again.summary


def test_what_was_judged_otherwise_is_left_as_it_is(workspace: Config) -> None:
    """An old window measured again under other settings says nothing about windows judged by those of before."""
    for day in ("2026-10-02", "2026-10-03"):
        for camera in CAMERAS:
            take(workspace.workspace, camera, day, dark=0.5 if camera == "cam-1" else 1.0)
    job.run(workspace, [Window.day(f"2026-10-0{day}") for day in (1, 2, 3)], notebooks=[])

    def later() -> pd.DataFrame:
        with History.open(workspace.history_url) as history:
            table = history.verdicts(start=datetime(2026, 10, 2, tzinfo=UTC))
        return table.sort_values(["window_start", "source", "feature"], ignore_index=True)

    before = later()
    assert "critical" in set(before["state"])
    for changed in (
        SETTINGS.replace("end: 2026-09-07", "end: 2026-09-07, match: [weekday]"),
        SETTINGS + "rules: {drift_warning: 8, drift_critical: 9}\n",
    ):
        (workspace.workspace / "cvkit.yml").write_text(changed)
        job.run(load_config(workspace.workspace), [Window.day("2026-10-01")], notebooks=[])
        pd.testing.assert_frame_equal(later(), before)


def test_a_reference_made_anew_from_other_files_starts_its_evidence_anew(workspace: Config) -> None:
    job.run(workspace, [Window.day("2026-10-01")], notebooks=[])

    def rebuilt() -> str:
        assert cli.main(["reference", "--rebuild", "--config", str(workspace.workspace)]) == 0
        return identity.reference_id(workspace)

    same = identity.reference_id(workspace)
    assert rebuilt() == same  # from the same files
    for day in range(1, 7):
        take(workspace.workspace, "cam-1", f"2026-09-0{day}", dark=0.8)
    assert rebuilt() != same
    observation = monitor.observe(workspace, Window.day("2026-10-01"))
    assert observation.streams["cam-1", "brightness"]["windows"][0]["start"].startswith("2026-10-01")
    with History.open(workspace.history_url) as history:
        assert set(history.runs()["reference_id"]) == {same}
    outcome = job.run(workspace, [], notebooks=[])
    assert "1 window, 2026-10-01, was judged against another reference" in outcome.summary


def test_images_that_came_late_are_due_again(workspace: Config) -> None:
    now = datetime(2026, 10, 6, 12, tzinfo=UTC)
    folder = workspace.workspace / "captures" / "cam-2" / "2026-10-01"
    later = folder.rename(workspace.workspace / "late")
    with History.open(workspace.history_url) as history:

        def due() -> list[str]:
            return [window.label for window in monitor.due(workspace, history, now)]

        for window in monitor.due(workspace, history, now):
            monitor.run(workspace, window, history)
        assert due() == []
        later.rename(folder)
        assert due() == ["2026-10-01"]
        monitor.run(workspace, Window.day("2026-10-01"), history)
        assert due() == []
        take(workspace.workspace, "cam-1", "2026-10-03")  # a day that had been empty
        assert due() == ["2026-10-03"]
        for path in folder.iterdir():  # old captures are thrown away: what is known of them stays
            path.unlink()
        assert due() == ["2026-10-03"]


def test_a_report_that_a_kill_cut_off_is_due_again_by_its_name(workspace: Config) -> None:
    """Of a notebook that no schedule names, too: the window was measured, and the same command has to go on."""
    now, window = datetime(2026, 10, 2, 12, tzinfo=UTC), Window.day("2026-10-01")
    with History.open(workspace.history_url) as history:
        for due in monitor.due(workspace, history, now):
            monitor.run(workspace, due, history)
        history.record_report(
            model="test", version=workspace.version, notebook="03-anomalies", source="cam-1", window=window,
            status="running", path="p", started=now,
        )  # fmt: skip
    assert asked.windows(workspace, now, notebook="03-anomalies", source="cam-1") == [window]
    assert asked.windows(workspace, now, notebook="03-anomalies") == []


def test_cameras_that_all_fall_silent_are_told(workspace: Config) -> None:
    def due(now: datetime) -> list[str]:
        with History.open(workspace.history_url) as history:
            return [window.label for window in monitor.due(workspace, history, now)]

    assert due(datetime(2026, 10, 5, 12, tzinfo=UTC))[-1] == "2026-10-04"
    assert due(datetime(2027, 3, 5, 12, tzinfo=UTC))[-1] == "2026-10-01"  # captures of long ago are a thing of the past


def test_a_reference_without_times_tells_nothing_of_how_days_vary(workspace: Config) -> None:
    """Unless it says that its images are independent: then a plain test is one."""
    accepted = workspace.workspace / "accepted" / "all"
    accepted.mkdir(parents=True)
    for number, path in enumerate(sorted((workspace.workspace / "captures" / "cam-1").glob("2026-09-*/*.jpg"))):
        (accepted / f"{number}.jpg").write_bytes(path.read_bytes())
    settings = SETTINGS.replace("{start: 2026-09-01, end: 2026-09-07}", "{data: accepted}")
    (workspace.workspace / "cvkit.yml").write_text(settings)
    drift = judged(load_config(workspace.workspace)).query("rule == 'drift'")
    assert set(drift["state"]) == {"unknown"}
    assert "does not tell how much healthy windows vary" in drift["reason"].iloc[0]
    (workspace.workspace / "cvkit.yml").write_text(settings.replace("accepted}", "accepted, independent: true}"))
    drift = judged(load_config(workspace.workspace)).query("rule == 'drift' and feature == 'brightness'")
    assert set(drift["state"]) == {"ok"}


def test_a_broken_line_is_told_on_its_own_day_only(workspace: Config) -> None:
    for day in ("2026-10-02", "2026-10-03"):
        take(workspace.workspace, "cam-1", day)
    file = workspace.workspace / "predictions" / "cam-1" / "2026-10-02.jsonl"
    file.write_text(file.read_text() + "\n{broken\n" + json.dumps({"image": "nowhere.jpg", "boxes": []}))
    found = {
        day: set(monitor.observe(workspace, Window.day(day)).findings["finding"]) & {"bad_record", "missing_image"}
        for day in ("2026-10-01", "2026-10-02", "2026-10-03")
    }
    assert found == {"2026-10-01": set(), "2026-10-02": {"bad_record", "missing_image"}, "2026-10-03": set()}


def test_changed_rules_are_told_at_once(workspace: Config, capsys: pytest.CaptureFixture[str]) -> None:
    job.run(workspace, [Window.day("2026-10-01")], notebooks=[])
    asked = ["status", "--config", str(workspace.workspace)]
    assert cli.main(asked) == 0
    assert "judged by" not in capsys.readouterr().out
    (workspace.workspace / "cvkit.yml").write_text(SETTINGS + "rules: {drift_warning: 0.2}\n")
    assert cli.main(asked) == 0
    out = capsys.readouterr().out
    assert (
        "1 window, 2026-10-01, was judged by other rules than now holds: `cvkit run --from 2026-10-01 --to 2026-10-02`"
        in out
    )
    (workspace.workspace / "cvkit.yml").write_text(SETTINGS.replace("end: 2026-09-07", "end: 2026-09-06"))
    assert cli.main(asked) == 0
    assert "judged against another reference" in capsys.readouterr().out


def test_a_changed_reference_starts_its_evidence_anew(workspace: Config) -> None:
    """What was gathered against one reference says nothing against another; the old evidence stays where it is."""
    job.run(workspace, [Window.day("2026-10-01")], notebooks=[])
    take(workspace.workspace, "cam-1", "2026-10-02")
    (workspace.workspace / "cvkit.yml").write_text(SETTINGS.replace("end: 2026-09-07", "end: 2026-09-06"))
    changed = load_config(workspace.workspace)

    def starts(config: Config) -> list[str]:
        with History.open(config.history_url) as history:
            streams = monitor.observe(config, Window.day("2026-10-02"), history=history).streams
        return [entry["start"][:10] for entry in streams["cam-1", "brightness"]["windows"]]

    assert starts(changed) == ["2026-10-02"]
    assert starts(workspace) == ["2026-10-01", "2026-10-02"]


def test_an_unknown_source_or_notebook_is_told_before_the_work(
    workspace: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, words in ((["--source", "cam-9"], "did you mean `cam-"), (["--notebook", "02-drft"], "`02-drift`")):
        assert cli.main(["run", "--config", str(workspace.path), *wrong]) == 2
        assert words in capsys.readouterr().err
    with History.open(workspace.history_url) as history:
        assert len(history.runs()) == 0


def test_an_empty_day_makes_no_new_source_and_names_the_known_ones(workspace: Config) -> None:
    text = SETTINGS.replace("{start: 2026-09-01, end: 2026-09-07}", "{data: set}")
    for path in (workspace.workspace / "captures" / "cam-1" / "2026-09-01").glob("*.jpg"):
        target = workspace.workspace / "set" / "nut" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (workspace.workspace / "set" / "bolt").mkdir()
    (workspace.workspace / "set" / "bolt" / "a.jpg").write_bytes(path.read_bytes())
    (workspace.workspace / "cvkit.yml").write_text(text)
    config = load_config(workspace.workspace)
    assert judged(config, "2020-01-01").empty
    job.run(config, [Window.day("2026-10-01")], notebooks=[])
    assert lights(judged(config, "2026-10-02")) == {"cam-1": "unknown", "cam-2": "unknown"}


def test_fail_on_judges_the_newest_window_where_nothing_is_due(workspace: Config) -> None:
    take(workspace.workspace, "cam-1", "2026-10-01", dark=0.5)
    command = ["run", "--config", str(workspace.path), "--reports", "0", "--fail-on", "critical"]
    assert cli.main(command) == 8
    assert cli.main(command) == 8


def test_images_without_a_usable_date_count_in_no_window(workspace: Config) -> None:
    take(workspace.workspace, "cam-1", "2026-10-01")
    odd = workspace.workspace / "captures" / "cam-1" / "2026-02-30" / "060000.jpg"
    odd.parent.mkdir()
    odd.write_bytes(next((workspace.workspace / "captures" / "cam-1" / "2026-10-01").glob("*.jpg")).read_bytes())
    job.run(workspace, [Window.day("2026-10-01")], notebooks=[])
    with History.open(workspace.history_url) as history:
        (run,) = history.runs().to_dict("records")
        assert (run["images"], run["bad_images"]) == (48, 0)
        assert set(history.verdicts()["state"]) == {"ok"}
    assert "no_time" in set(monitor.observe(workspace, Window.day("2026-10-01")).findings["finding"])


def test_a_notebook_that_cannot_run_does_not_stop_the_others(workspace: Config) -> None:
    text = SETTINGS + "schedule: [{notebook: gone}, {notebook: odd, timeout_s: 7}, {notebook: gone, timeout_s: 9}]\n"
    (workspace.workspace / "cvkit.yml").write_text(text)
    (workspace.workspace / "notebooks").mkdir()
    (workspace.workspace / "notebooks" / "odd.ipynb").write_text("{}")
    config = load_config(workspace.workspace)
    assert job.scheduled(config) == {"gone": 1800, "odd": 7}
    outcome = job.run(config, [Window.day("2026-10-01")])
    assert len(outcome.failures) == 2
    assert outcome.exit_code() == 4
    with History.open(config.history_url) as history:
        assert set(history.reports()["status"]) == {"failed"}


@pytest.mark.parametrize("content", ["{}", "null", "[]", '{"id": 1, "limits": {"a": 3}, "classes": {}}', "\x00"])
def test_a_damaged_reference_is_told(workspace: Config, content: str) -> None:
    judged(workspace)
    (file,) = (workspace.workspace / "references").rglob("reference.json")
    file.write_text(content)
    with pytest.raises(StorageError, match="reference --rebuild"):
        judged(workspace)


def test_a_reference_table_with_other_columns_is_told(workspace: Config) -> None:
    judged(workspace)
    (file,) = (workspace.workspace / "references").rglob("features.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(file)
    with pytest.raises(StorageError, match=r"features\.parquet has the columns"):
        judged(workspace)


def test_a_garbage_time_in_the_history_is_told(workspace: Config) -> None:
    monitor_window = Window.day("2026-10-01")
    job.run(workspace, [monitor_window], notebooks=[])
    with sqlite3.connect(workspace.workspace / "history.db") as connection:
        connection.execute("update runs set window_start = 'yesterday'")
    with pytest.raises(StorageError, match="yesterday"):
        job.run(workspace, [monitor_window], notebooks=[])


def test_a_window_of_mornings_is_compared_with_mornings(workspace: Config) -> None:
    """The light of the hour: without matching a window that has only mornings looks dark, with it as ever."""
    lamp = {hour: 0.6 + 0.4 * (hour >= 12) for hour in range(24)}
    for path in sorted((workspace.workspace / "captures").rglob("*.jpg")):
        cv2.imwrite(str(path), np.clip(cv2.imread(str(path)) * lamp[int(path.name[:2])], 0, 255).astype(np.uint8))
        if "2026-10-01" in str(path) and int(path.name[:2]) >= 12:
            path.unlink()

    def darker(config: Config) -> float:
        table = monitor.observe(config, Window.day("2026-10-01")).measurements
        row = table[(table["feature"] == "brightness") & (table["metric"] == "mean") & (table["source"] == "cam-1")]
        return float((row["expected"] - row["value"]).item())

    assert darker(workspace) > 15
    matched = SETTINGS.replace("end: 2026-09-07", "end: 2026-09-07, match: [hour]")
    (workspace.workspace / "cvkit.yml").write_text(matched)
    assert abs(darker(load_config(workspace.workspace))) < 4


def test_what_is_dark_is_told_by_the_hour(workspace: Config) -> None:
    """Afternoons as dark as mornings are: nothing is wrong with any of them, but for the hour."""
    for path in sorted((workspace.workspace / "captures").rglob("*.jpg")):
        afternoon, fault = int(path.name[:2]) >= 12, "cam-1/2026-10-01" in path.as_posix() and path.name >= "16"
        light = 1.0 if afternoon and not fault else 0.5
        cv2.imwrite(str(path), np.clip(cv2.imread(str(path)) * light, 0, 255).astype(np.uint8))

    def found(config: Config) -> dict[str, set[str]]:
        findings = monitor.observe(config, Window.day("2026-10-01")).findings
        return {name: {Path(one).name[:2] for one in part["image_id"]} for name, part in findings.groupby("finding")}

    assert not found(workspace).keys() & {"too_dark", "strange"}
    matched = SETTINGS.replace("end: 2026-09-07", "end: 2026-09-07, match: [hour]")
    (workspace.workspace / "cvkit.yml").write_text(matched)
    told = found(load_config(workspace.workspace))
    assert told["too_dark"] == {"16", "17"}
    assert told["strange"] >= {"16", "17"}


def test_a_few_odd_images_are_anomalies_and_no_drift(workspace: Config) -> None:
    paths = sorted((workspace.workspace / "captures" / "cam-1" / "2026-10-01").glob("*.jpg"))
    for path in paths[:2]:
        picture = cv2.imread(str(path))
        cv2.circle(picture, (60, 50), 40, (20, 30, 230), -1)
        cv2.imwrite(str(path), picture)
    observation = monitor.observe(workspace, Window.day("2026-10-01"))
    flagged = observation.anomalies[observation.anomalies["flagged"]]
    assert {Path(image_id).name for image_id in flagged["image_id"]} >= {path.name for path in paths[:2]}
    assert set(flagged["source"]) == {"cam-1"}
    assert "sd" in flagged["reason"].iloc[0]
    assert (flagged["score"] >= flagged["usual"]).all()
    drift = observation.verdicts[observation.verdicts["rule"] == "drift"]
    assert set(drift["state"]) == {"ok"}
    share = observation.measurements.query("feature == 'strange' and source == 'cam-1'")["value"].item()
    assert share == len(flagged) / 24


def test_a_workspace_that_was_moved_finds_the_images_of_its_reference(workspace: Config) -> None:
    frozen = reference.load(workspace)
    moved = workspace.workspace.rename(f"{workspace.workspace}-moved")
    again = reference.load(load_config(moved))
    assert again.id == frozen.id
    assert len(again.images) == len(frozen.images) > 0
    assert all(Path(path).is_file() and Path(path).is_relative_to(moved) for path in again.images["path"])
