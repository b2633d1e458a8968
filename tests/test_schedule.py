"""The schedule: once, in order, caught up, retried within bounds, right over daylight saving."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from test_notebooks import write as write_notebook

from cvkit import schedule, slots
from cvkit.config import Config, JobSettings, load_config
from cvkit.documentation import notebooks
from cvkit.errors import BusyError, DataError, StorageError
from cvkit.monitoring.history import History
from cvkit.storage import lock
from cvkit.tables import Window

SETTINGS = """
reference: {data: data.yaml}
schedule:
  - {notebook: 02-drift, cron: "30 6 * * *", time_zone: Europe/Berlin, attempts: 2}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "cvkit.yml").write_text(SETTINGS)
    return load_config(tmp_path)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Runs:
    """Stands in for the work: notes what it was asked for, and answers as told."""

    def __init__(self, *errors: str) -> None:
        self.windows: list[str] = []
        self.errors = list(errors)

    def __call__(self, config: Config, job: JobSettings, window: Window) -> str:
        self.windows.append(window.label)
        return self.errors.pop(0) if self.errors else ""


def run(config: Config, moment: str, runs: Runs) -> list[str]:
    return [outcome.status for outcome in schedule.run_due(config, at(moment), runs)]


def test_the_first_run_has_one_slot_and_the_last_complete_window(config: Config) -> None:
    runs = Runs()
    assert run(config, "2026-10-05T04:29", runs) == ["done"]  # 06:29 in Berlin: yesterday's slot is the newest
    assert runs.windows == ["2026-10-03"]
    assert run(config, "2026-10-05T04:29", runs) == []


def test_a_slot_runs_once_and_the_next_when_it_is_due(config: Config) -> None:
    runs = Runs()
    run(config, "2026-10-05T05:00", runs)
    assert run(config, "2026-10-06T04:29", runs) == []
    assert run(config, "2026-10-06T04:30", runs) == ["done"]
    assert runs.windows == ["2026-10-04", "2026-10-05"]


def test_what_was_missed_is_caught_up_in_order(config: Config) -> None:
    runs = Runs()
    run(config, "2026-10-05T05:00", runs)
    assert run(config, "2026-10-09T05:00", runs) == ["done"] * 4
    assert runs.windows == ["2026-10-04", "2026-10-05", "2026-10-06", "2026-10-07", "2026-10-08"]


def test_a_long_sleep_is_caught_up_within_bounds(config: Config) -> None:
    runs = Runs()
    run(config, "2026-01-05T05:00", runs)
    assert len(run(config, "2026-10-09T05:00", runs)) == schedule.CATCH_UP


@pytest.mark.parametrize(
    ("day", "utc"), [("2026-10-24", "04:30"), ("2026-10-25", "05:30"), ("2026-03-28", "05:30"), ("2026-03-29", "04:30")]
)
def test_the_clock_of_the_zone_counts_over_daylight_saving(config: Config, day: str, utc: str) -> None:
    with History.open(config.history_url) as history:
        (slot,) = schedule.due(config, history, at(f"{day}T12:00"))
    assert f"{slot.time:%Y-%m-%dT%H:%M}" == f"{day}T{utc}"


def test_failures_are_tried_again_within_bounds_and_stay_failed(config: Config) -> None:
    runs = Runs("boom", "boom again")
    assert run(config, "2026-10-05T05:00", runs) == ["failed"]
    assert run(config, "2026-10-05T05:10", runs) == ["failed"]
    assert run(config, "2026-10-05T05:20", runs) == []
    with History.open(config.history_url) as history:
        assert history.slots()[["status", "attempts", "error"]].to_numpy().tolist() == [["failed", 2, "boom again"]]


def test_a_slot_that_failed_is_done_once_its_report_was_written_by_hand(config: Config) -> None:
    """A month's job must not be called failed for a month after it was mended."""
    runs, late = Runs("boom", "boom again"), at("2026-10-05T05:20")
    run(config, "2026-10-05T05:00", runs)
    run(config, "2026-10-05T05:10", runs)
    about = {"model": config.model.name, "version": "v", "path": "p", "started": late, "notebook": "02-drift"}
    with History.open(config.history_url) as history:

        def status() -> str:
            run(config, "2026-10-05T05:30", runs)
            return str(history.slots()["status"].item())

        window = Window(at("2026-10-04T00:00"), at("2026-10-05T00:00"))
        other = Window(at("2026-10-03T00:00"), at("2026-10-04T00:00"))
        now = datetime.now(UTC) + timedelta(seconds=1)
        for wrong in (
            {"window": other},
            {"window": window, "source": "cam-1"},
            {"window": window, "notebook": "n"},
            {"window": window, "status": "failed"},
            {"window": window, "finished": at("2026-10-05T05:05")},
        ):
            history.record_report(**{**about, "source": "", "status": "done", "finished": now, **wrong})  # type: ignore[arg-type]
            assert status() == "failed", wrong
        history.record_report(**{**about, "source": "", "status": "done", "finished": now, "window": window})  # type: ignore[arg-type]
        assert status() == "done"
    assert len(runs.windows) == 2


def test_an_order_to_stop_uses_up_no_try(config: Config) -> None:
    def stopped(config: Config, job: JobSettings, window: Window) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        schedule.run_due(config, at("2026-10-05T05:00"), stopped)
    with History.open(config.history_url) as history:
        assert history.slots().empty
    assert run(config, "2026-10-05T05:05", Runs()) == ["done"]


def test_an_error_with_words_is_a_failed_slot(config: Config) -> None:
    def broken(config: Config, job: JobSettings, window: Window) -> str:
        raise DataError("no captures")

    (outcome,) = schedule.run_due(config, at("2026-10-05T05:00"), broken)
    assert (outcome.status, outcome.error) == ("failed", "no captures")


class Killed(BaseException):
    """Leaves the ledger as a kill would."""


def test_a_slot_left_running_by_a_dead_process_is_taken_over(config: Config) -> None:
    def killed(config: Config, job: JobSettings, window: Window) -> str:
        raise Killed

    with pytest.raises(Killed):
        schedule.run_due(config, at("2026-10-05T05:00"), killed)
    runs = Runs()
    assert run(config, "2026-10-05T05:10", runs) == ["done"]
    with pytest.raises(Killed):
        schedule.run_due(config, at("2026-10-06T05:00"), killed)
    with pytest.raises(Killed):
        schedule.run_due(config, at("2026-10-06T05:10"), killed)
    assert run(config, "2026-10-06T05:20", runs) == ["failed"]
    assert run(config, "2026-10-06T05:30", runs) == []


def test_a_job_that_is_running_is_left_alone(config: Config) -> None:
    def meanwhile(config: Config, job: JobSettings, window: Window) -> str:
        statuses.extend(run(config, "2026-10-05T05:00", Runs()))
        return ""

    statuses: list[str] = []
    schedule.run_due(config, at("2026-10-05T05:00"), meanwhile)
    assert statuses == ["busy"]
    with History.open(config.history_url) as history:
        assert list(history.slots()["attempts"]) == [1]


def test_two_processes_run_a_slot_once(config: Config) -> None:
    code = (
        "import time; from datetime import datetime, UTC; from cvkit import schedule\n"
        "from cvkit.config import load_config\n"
        "def work(config, job, window):\n"
        "    with open(config.workspace / 'ran', 'a') as file: file.write('x')\n"
        "    time.sleep(0.5)\n"
        "    return ''\n"
        f"schedule.run_due(load_config({str(config.workspace)!r}), datetime(2026, 10, 5, 5, tzinfo=UTC), work)"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert (config.workspace / "ran").read_text() == "x"


def test_serving_ends_when_told(config: Config) -> None:
    stop, runs = threading.Event(), Runs()

    def once(config: Config, job: JobSettings, window: Window) -> str:
        stop.set()
        return runs(config, job, window)

    schedule.serve(config, stop, clock=lambda: at("2026-10-05T05:00"), execute=once)
    assert runs.windows == ["2026-10-04"]


def test_a_lock_that_is_held_is_waited_for_and_then_explained(config: Config) -> None:
    path = config.workspace / "locks" / "run.lock"
    code = (
        "from pathlib import Path; from cvkit.storage import lock\n"
        f"with lock(Path({str(path)!r}), 'running this workspace', wait_s=0.1): pass"
    )
    with lock(path, "testing"):
        held = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another process is running this workspace" in held.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def scheduled(config: Config, *jobs: str) -> Config:
    config.path.write_text("reference: {data: data.yaml}\nschedule:\n" + "".join(f"  - {{{job}}}\n" for job in jobs))
    return load_config(config.path)


def test_of_missed_slots_about_one_window_only_the_newest_runs(config: Config) -> None:
    config, runs = scheduled(config, 'notebook: n, cron: "0 * * * *"'), Runs()
    run(config, "2026-10-05T20:05", runs)
    assert run(config, "2026-10-06T08:05", runs) == ["done", "done"]
    assert runs.windows == ["2026-10-04", "2026-10-04", "2026-10-05"]
    assert run(config, "2026-10-06T08:10", runs) == []
    assert run(config, "2026-10-06T09:00", runs) == ["done"]  # the next slot does run again
    with History.open(config.history_url) as history:
        assert [f"{slot:%d-%H}" for slot in history.slots()["slot"]] == ["05-20", "05-23", "06-08", "06-09"]


def test_a_long_sleep_of_a_frequent_job_is_caught_up_by_windows(config: Config) -> None:
    config, runs = scheduled(config, 'notebook: n, cron: "*/30 * * * *"'), Runs()
    run(config, "2026-10-01T12:00", runs)
    run(config, "2026-10-06T12:00", runs)
    assert runs.windows == [f"2026-{day}" for day in ("09-30", "09-30", "10-01", "10-02", "10-03", "10-04", "10-05")]


def test_a_clock_that_was_ahead_holds_nothing_up(config: Config) -> None:
    runs = Runs()
    run(config, "2027-10-05T05:00", runs)
    assert run(config, "2026-10-05T05:00", runs) == ["done"]
    assert run(config, "2026-10-05T03:00", runs) == ["done"]  # set back once more, to before the first slot
    assert run(config, "2026-10-05T05:00", runs) == []
    assert run(config, "2026-10-06T05:00", runs) == ["done"]


def test_no_slot_is_early_by_a_part_of_a_second(config: Config) -> None:
    runs = Runs()
    run(config, "2026-10-05T05:00", runs)
    assert run(config, "2026-10-06T04:29:59.900", runs) == []


@pytest.mark.parametrize("cron", ["30 2 * * *", "15 1 * * *", "*/15 * * * *", "0 * * * *", "30 6 * * 1"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("day", ["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31"])
def test_going_back_finds_the_times_that_going_on_finds(zone: str, cron: str, day: str) -> None:
    job = JobSettings(notebook="n", cron=cron, time_zone=zone)
    begin, end = at(day), at(day) + timedelta(hours=60)
    local = CronSim(cron, begin.astimezone(ZoneInfo(zone)))
    forward = [time.astimezone(UTC) for time in itertools.takewhile(lambda time: time <= end, local)]
    for hour in range(60):
        now = begin + timedelta(hours=hour, minutes=15 * (hour % 4))
        assert list(slots.times_back(job, now, begin))[::-1] == [time for time in forward if time <= now]


def test_a_busy_workspace_uses_up_no_try_and_holds_the_order(config: Config) -> None:
    def busy(config: Config, job: JobSettings, window: Window) -> str:
        raise BusyError("a backfill is running")

    runs = Runs()
    run(config, "2026-10-05T05:00", runs)
    for _ in range(5):
        assert [outcome.status for outcome in schedule.run_due(config, at("2026-10-08T05:00"), busy)] == ["busy"]
    assert run(config, "2026-10-08T05:10", runs) == ["done"] * 3
    assert runs.windows == ["2026-10-04", "2026-10-05", "2026-10-06", "2026-10-07"]


def test_workspaces_that_share_a_history_have_their_own_slots(config: Config, tmp_path: Path) -> None:
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        text = f"model: {{name: {name}}}\nhistory: {config.history_url}\n{SETTINGS}"
        (tmp_path / name / "cvkit.yml").write_text(text)
        assert run(load_config(tmp_path / name), "2026-10-05T05:00", Runs()) == ["done"]


def test_more_tries_reopen_only_what_is_recent(config: Config) -> None:
    for day in range(1, 29):
        run(config, f"2026-06-{day:02}T05:00", Runs("boom"))
    config = load_config(config.path)  # one try each is left
    assert len(run(config, "2026-10-05T05:00", Runs())) == schedule.CATCH_UP


def test_serving_outlasts_a_disk_that_is_full_for_a_while(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, looks = threading.Event(), []

    def clock() -> datetime:
        looks.append(1)
        if len(looks) == 1:
            raise StorageError("the disk is full")
        return at("2026-10-05T05:00")

    def once(config: Config, job: JobSettings, window: Window) -> str:
        stop.set()
        return ""

    monkeypatch.setattr(schedule, "LOOK_AGAIN", timedelta(0))
    schedule.serve(config, stop, clock, once)
    assert len(looks) == 2


def test_serving_outlasts_captures_that_are_not_there(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop, looks = threading.Event(), []

    def clock() -> datetime:
        looks.append(1)
        if len(looks) == 3:
            stop.set()
        return at("2026-10-05T05:00")

    monkeypatch.setattr(schedule, "LOOK_AGAIN", timedelta(0))
    schedule.serve(config, stop, clock, Runs())
    assert len(looks) == 3
    assert [one.message.partition("\n")[0] for one in caplog.records if one.levelname == "ERROR"] == [
        "no image matches the pattern"
    ], "once in five minutes, not each"


def test_a_report_that_finds_the_disk_full_uses_up_no_try(config: Config) -> None:
    (config.workspace / "notebooks").mkdir()
    write_notebook(config, "02-drift", "raise OSError(28, 'No space left on device')")

    def report(config: Config, job: JobSettings, window: Window) -> str:
        return notebooks.execute(config, job.notebook, window).error

    for _ in range(3):  # of two tries
        with pytest.raises(StorageError, match="the disk is full"):
            schedule.run_due(config, at("2026-10-05T05:00"), report)
    assert run(config, "2026-10-05T05:10", Runs()) == ["done"]
