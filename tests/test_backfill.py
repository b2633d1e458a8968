"""Many windows at once: by several processes and in one piece, and the history is that of one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from test_flow import CAMERAS, SETTINGS, take

from cvkit import job
from cvkit.config import Config, load_config
from cvkit.data import engine
from cvkit.errors import ConfigError, DataError, StorageError
from cvkit.monitoring import backfill, monitor, recording, reference
from cvkit.monitoring.history import History
from cvkit.monitoring.recording import Past, Recording
from cvkit.tables import Window

DAYS = [f"2026-09-{day:02d}" for day in range(7, 13)]
WINDOWS = [Window.day(day) for day in DAYS]


@pytest.fixture
def workspace(tmp_path: Path) -> Config:
    """A reference of six days and six more, of which one camera sends in some and a third only from the middle on."""
    (tmp_path / "cvkit.yml").write_text(SETTINGS)
    for day in [f"2026-09-{day:02d}" for day in range(1, 7)] + DAYS:
        for camera in CAMERAS:
            if camera != CAMERAS[1] or day != DAYS[2]:
                take(tmp_path, camera, day, n=12, dark=0.5 if day >= DAYS[4] else 1.0)
    for day in (DAYS[2], DAYS[3], DAYS[5]):
        folder = tmp_path / "captures" / "late" / day
        for path in take(tmp_path, CAMERAS[0], day, n=12):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / path.name).write_bytes(path.read_bytes() + day.encode())
    return load_config(tmp_path)


def put_aside(config: Config) -> dict[str, Any]:
    """All that the history says of the windows, and an end of that history."""
    with History.open(config.history_url) as history:
        whose = {"model": config.model.name, "version": config.version}
        runs = history.runs(**whose).drop(columns=["id", "started", "finished"])
        streams = history.streams(**whose, reference_id=reference.load(config).id)
        found = {"runs": runs, "measurements": history.measurements(**whose), "verdicts": history.verdicts(**whose),
                 "streams": streams}  # fmt: skip
    for file in config.workspace.glob("history.db*"):
        file.unlink()
    return found


def test_a_window_of_captures_that_were_moved_away_is_not_one_without_captures(workspace: Config) -> None:
    measured = backfill._some(workspace, [(window, ()) for window in WINDOWS[:2]])
    first = backfill._found(next(measured))
    assert isinstance(first, recording.Told)
    assert first.images
    workspace.workspace.rename(workspace.workspace.with_name("moved"))
    second = backfill._found(next(measured))
    assert isinstance(second, StorageError)
    assert second.problem == "the workspace is gone"
    assert not workspace.workspace.exists()


def test_processes_make_the_same_history(workspace: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with History.open(workspace.history_url) as history:
        known = reference.load(workspace)
        for window in WINDOWS:
            monitor.run(workspace, window, history, known)
    alone = put_aside(workspace)
    asked: list[int] = []
    run = engine.run

    def seen(work: Any, chunks: Any, **more: Any) -> Any:
        asked.extend([1] if getattr(work, "func", None) is backfill._some else [])
        return run(work, chunks, **more)

    monkeypatch.setattr(engine, "run", seen)
    monkeypatch.setattr(backfill, "WORTH_S", 0.0)
    monkeypatch.setattr(recording, "TOGETHER", 4)
    outcome = job.run(workspace, WINDOWS, reports=0)
    assert (outcome.failures, asked) == ((), [1])
    together = put_aside(workspace)
    assert together["streams"] == alone["streams"]
    for name in ("runs", "measurements", "verdicts"):
        pd.testing.assert_frame_equal(together[name], alone[name])
    gone = together["measurements"][together["measurements"]["source"] == "late"]  # missed, once it was there
    gone = gone[(gone["metric"] == "count") & (gone["feature"] == "images")]
    assert dict(zip(gone["window_start"].dt.strftime("%Y-%m-%d"), gone["value"], strict=True)) == {
        DAYS[2]: 12.0, DAYS[3]: 12.0, DAYS[4]: 0.0, DAYS[5]: 12.0
    }  # fmt: skip


def test_errors_travel_too() -> None:
    error = DataError("no image", where="there", expected="some", found="none", remedy="take one")
    back = backfill._found(backfill._plain(error))
    assert type(back) is DataError
    assert str(back) == str(error)
    with pytest.raises(RuntimeError, match="no error of ours"):
        backfill._found(("SystemExit", "no error of ours", "", "", "", ""))


def test_a_process_that_dies_of_a_window_fails_that_window_alone(
    workspace: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = engine.run

    def dying(work: Any, chunks: Any, **more: Any) -> Any:
        whole = getattr(work, "func", None) is backfill._some  # windows, not images
        for number, found in run(work, chunks, **more):
            yield number, [engine.Lost("was ended by SIGKILL")] if whole and number == 1 else found

    monkeypatch.setattr(engine, "run", dying)
    monkeypatch.setattr(backfill, "WORTH_S", 0.0)
    outcome = job.run(workspace, WINDOWS, reports=0)
    (failure,) = outcome.failures
    lost = WINDOWS[backfill.FIRST + 1]
    assert failure.startswith(str(lost))
    assert "SIGKILL" in failure
    with History.open(workspace.history_url) as history:
        runs = history.runs().set_index("window_start")["status"]
    assert runs[pd.Timestamp(lost.start)] == "failed"
    assert (runs == "done").sum() == len(WINDOWS) - 1


def test_small_work_starts_no_process(workspace: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a process was started")

    known = reference.load(workspace)
    past = Past({}, {})
    monkeypatch.setattr(engine, "run", never)
    monkeypatch.setattr(backfill, "_one", lambda config, window, *_: DataError(str(window)))
    assert [window for window, _ in backfill.measured(workspace, WINDOWS, known, past)] == WINDOWS


def test_windows_are_written_together_or_not_at_all(workspace: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    known = reference.load(workspace)
    record, calls = History.record, []

    def failing(self: History, **row: Any) -> None:
        calls.append(row["window"])
        if len(calls) == 3:
            raise sa.exc.OperationalError("INSERT", {}, Exception("disk full"))
        record(self, **row)

    with History.open(workspace.history_url) as history:
        told = [backfill._one(workspace, one, known, ()) for one in WINDOWS[:3]]
        with Recording(workspace, known, history) as held:
            for one in told:
                held.put(one)  # type: ignore[arg-type]
            assert history.runs().empty  # nothing yet
            monkeypatch.setattr(History, "record", failing)
            with pytest.raises(Exception, match="disk full"):
                held.write()
            assert history.runs().empty  # the first two neither
            monkeypatch.setattr(History, "record", record)
            with pytest.raises(KeyboardInterrupt), held:
                raise KeyboardInterrupt
        assert history.measured_windows(workspace.model.name, workspace.version) == WINDOWS[:3]


def test_what_was_measured_before_an_error_is_kept(workspace: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    one = backfill._one

    def broken(config: Config, window: Window, *more: Any) -> Any:
        return (
            ConfigError("the settings were changed meanwhile") if window == WINDOWS[2] else one(config, window, *more)
        )

    monkeypatch.setattr(backfill, "_one", broken)
    with pytest.raises(ConfigError):
        job.run(workspace, WINDOWS, reports=0)
    with History.open(workspace.history_url) as history:
        assert history.measured_windows(workspace.model.name, workspace.version) == WINDOWS[:2]
        assert history.runs()["status"].tolist() == ["done", "done", "failed"]


def test_a_window_that_comes_late_finds_those_that_wait(workspace: Config) -> None:
    known = reference.load(workspace)
    with History.open(workspace.history_url) as history, Recording(workspace, known, history) as held:
        for place in (1, 2, 0):
            held.put(backfill._one(workspace, WINDOWS[place], known, held.past.known(WINDOWS[place])))  # type: ignore[arg-type]
    late = put_aside(workspace)
    with History.open(workspace.history_url) as history:
        for place in (1, 2, 0):
            monitor.run(workspace, WINDOWS[place], history, known)
    alone = put_aside(workspace)
    assert late["streams"] == alone["streams"]
    pd.testing.assert_frame_equal(late["verdicts"], alone["verdicts"])


@pytest.mark.parametrize("order", [(5, 4, 3, 2, 1, 0), (4, 5, 0, 1, 2, 3), (3, 0, 4, 2, 5, 1)])
def test_windows_in_any_order_make_the_same_history(workspace: Config, order: tuple[int, ...]) -> None:
    """One camera is silent in a window that is measured before any in which it sent something."""
    known = reference.load(workspace)
    found = []
    for places in (range(6), order):
        with History.open(workspace.history_url) as history:
            for place in places:
                monitor.run(workspace, WINDOWS[place], history, known)
        found.append(put_aside(workspace))
    assert found[0]["streams"] == found[1]["streams"]
    for name in ("measurements", "verdicts"):
        key = [
            one
            for one in ("window_start", "source", "feature", "metric", "class_name", "rule")
            if one in found[0][name]
        ]
        one, other = (each[name].sort_values(key, ignore_index=True) for each in found)
        pd.testing.assert_frame_equal(one, other)


def test_a_history_has_windows_of_one_length(workspace: Config) -> None:
    job.run(workspace, WINDOWS[:2], reports=0)
    half = workspace.model_copy(update={"window_hours": 12})
    with pytest.raises(ConfigError, match="windows of another length") as failure:
        job.run(half, [half.window(f"{WINDOWS[2].start:%Y-%m-%dT%H:%M}")], reports=0)
    assert (failure.value.expected, failure.value.found) == ("24, as the history has it", "12")
    assert put_aside(workspace)["runs"]["window_start"].tolist() == [one.start for one in WINDOWS[:2]]


def test_waiting_has_an_end(workspace: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    known = reference.load(workspace)
    with History.open(workspace.history_url) as history, Recording(workspace, known, history) as held:
        held.put(backfill._one(workspace, WINDOWS[0], known, ()))  # type: ignore[arg-type]
        assert history.runs().empty
        monkeypatch.setattr(recording, "PATIENCE_S", -1.0)
        held.put(backfill._one(workspace, WINDOWS[1], known, ()))  # type: ignore[arg-type]
        assert len(history.runs()) == 2
