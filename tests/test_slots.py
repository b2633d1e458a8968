"""Slots against a clock on the wall: every minute of the days around each change of clocks, by zoneinfo alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cvkit import schedule, slots
from cvkit.config import Config, JobSettings, load_config
from cvkit.monitoring.history import History
from cvkit.tables import Window

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def field(text: str, low: int, high: int) -> set[int]:
    """What a field of a cron expression means: numbers, ranges, steps, stars."""
    found: set[int] = set()
    for part in text.split(","):
        body, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if body == "*" else body).partition("-")
        end = int(last or (high if step else first))
        found |= set(range(int(first), end + 1, int(step or 1)))
    return found


class Wall:
    """The oracle: whether a job is to run at a minute, as Debian's cron has it."""

    def __init__(self, cron: str, zone: str) -> None:
        self.zone, texts = ZoneInfo(zone), cron.split()
        self.minutes, self.hours, self.days, self.months, weekdays = (
            field(text, *bounds) for text, bounds in zip(texts, RANGES, strict=True)
        )
        self.weekdays = {day % 7 for day in weekdays}
        self.either = not texts[2].startswith("*") and not texts[4].startswith("*")
        self.fixed = not texts[0].startswith("*") and not texts[1].startswith("*")

    def shows(self, clock: datetime) -> bool:
        """Whether a wall that shows this names a time of the job."""
        by_day, by_week = clock.day in self.days, clock.isoweekday() % 7 in self.weekdays
        day = by_day or by_week if self.either else by_day and by_week
        return day and clock.minute in self.minutes and clock.hour in self.hours and clock.month in self.months

    def times(self, begin: datetime, end: datetime) -> list[datetime]:
        """Every time of the job in [begin, end), minute by minute.

        A job at fixed hours runs once where the hour comes twice, and at the end of a gap where it does not come.
        """
        found, before = [], (begin - MINUTE).astimezone(self.zone).replace(tzinfo=None)
        seen = set()
        time = begin
        while time < end:
            clock = time.astimezone(self.zone).replace(tzinfo=None, fold=0)
            skipped = [before + step * MINUTE for step in range(1, max(1, (clock - before) // MINUTE))]
            now = self.shows(clock) and not (self.fixed and clock in seen)
            if now or (self.fixed and any(self.shows(one) for one in skipped)):
                found.append(time)
            seen.add(clock)
            before, time = clock, time + MINUTE
        return found


def looked_at(job: JobSettings, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The times that a look a minute finds, each with what was found before as the last."""
    last, now = begin - MINUTE, begin
    while now < end:
        for time in reversed(list(slots.times_back(job, now, last))):
            yield time
            last = time
        now += MINUTE


CLOCKS = [  # zone, a day around which its clocks change
    ("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25"), ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"), ("America/Sao_Paulo", "2018-11-04"), ("America/Sao_Paulo", "2019-02-17"),
    ("Australia/Lord_Howe", "2026-04-05"), ("Australia/Lord_Howe", "2026-10-04"), ("America/St_Johns", "2006-10-29"),
    ("Africa/Casablanca", "2026-02-15"), ("Pacific/Apia", "2011-12-30"), ("Asia/Kathmandu", "2026-02-28"),
    ("Europe/Dublin", "2026-10-25"), ("America/Havana", "2026-03-08"), ("America/Havana", "2026-11-01"),
    ("UTC", "2028-02-29"), ("Asia/Kolkata", "2028-02-29"), ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
]  # fmt: skip
CRONS = [
    "30 2 * * *", "30 0 * * *", "15 1 * * *", "0 0 * * *", "*/15 * * * *", "0 * * * *", "0 */6 * * *", "30 */2 * * *",
    "15,45 2 * * *", "0,30 1-3 * * *", "45 1,2 * * *", "59 23 * * *", "0 3 29 2 *", "30 2 1,29 * 0", "*/20 2 * * *",
    "10 */3 * * 1-5", "0 12 * * 7",
]  # fmt: skip


@pytest.mark.parametrize("cron", CRONS)
@pytest.mark.parametrize(("zone", "day"), CLOCKS)
def test_every_time_is_that_of_the_wall(zone: str, day: str, cron: str) -> None:
    job = JobSettings(notebook="n", cron=cron, time_zone=zone)
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC) - DAY
    end = begin + 3 * DAY
    expected = Wall(cron, zone).times(begin, end)
    assert list(slots.times_back(job, end - MINUTE, begin - MINUTE))[::-1] == expected


LOOKS = [(zone, day, cron) for zone, day in CLOCKS[:10:3] for cron in ("30 2 * * *", "*/15 * * * *", "0,30 1-3 * * *")]


@pytest.mark.parametrize(("zone", "day", "cron"), LOOKS)
def test_a_look_a_minute_finds_each_time_at_its_minute(zone: str, day: str, cron: str) -> None:
    job = JobSettings(notebook="n", cron=cron, time_zone=zone)
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=12)
    end = begin + timedelta(hours=40)
    assert list(looked_at(job, begin, end)) == Wall(cron, zone).times(begin, end)


def test_leap_days_come_every_four_years() -> None:
    job = JobSettings(notebook="n", cron="0 3 29 2 *", time_zone="Europe/Berlin")
    found = list(slots.times_back(job, datetime(2033, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC)))
    assert [f"{time:%Y-%m-%dT%H:%M}" for time in found] == [f"{year}-02-29T02:00" for year in (2032, 2028, 2024, 2020)]
    newest = slots.times_back(job, datetime(2026, 11, 20, tzinfo=UTC), None)
    assert list(newest) == [datetime(2024, 2, 29, 2, tzinfo=UTC)]


# -- clocks that are set ----------------------------------------------------------------------------------------------

STEPS = [timedelta(hours=1), DAY, timedelta(days=365)]
SETTINGS = """
reference: {data: data.yaml}
schedule:
  - {notebook: night, cron: "30 2 * * *", time_zone: Europe/Berlin}
  - {notebook: hour, cron: "0 * * * *", time_zone: America/New_York}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "cvkit.yml").write_text(SETTINGS)
    return load_config(tmp_path)


Done = list[tuple[str, datetime]]


def look(config: Config, now: datetime, done: Done) -> None:
    """A round, whose slots that ran are noted."""
    ran: list[str] = []

    def execute(config: Config, job: JobSettings, window: Window) -> str:
        ran.append(job.notebook)
        return ""

    outcomes = schedule.run_due(config, now, execute)
    assert [one.status for one in outcomes] == ["done"] * len(outcomes)
    assert ran == [one.slot.job.notebook for one in outcomes]
    done += [(one.slot.job.notebook, one.slot.time) for one in outcomes]


def newest(now: datetime) -> dict[str, datetime]:
    """The newest time of each job by the oracle."""
    jobs = {"night": Wall("30 2 * * *", "Europe/Berlin"), "hour": Wall("0 * * * *", "America/New_York")}
    return {name: wall.times(now - 2 * DAY, now + MINUTE)[-1] for name, wall in jobs.items()}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_clock_that_is_wrong_for_a_while_doubles_and_loses_nothing(
    step: timedelta, sign: int, config: Config
) -> None:
    """Hours of right time, hours of wrong time, right time again: over the change of clocks in autumn."""
    done: Done = []
    right = datetime(2026, 10, 24, 12, tzinfo=UTC)
    for hour in range(48):
        now = right + timedelta(hours=hour, minutes=5)
        wrong = 10 <= hour < 20
        look(config, now + sign * step if wrong else now, done)
        held = newest(now + sign * step if wrong else now)
        assert {name: time in [slot for job, slot in done if job == name] for name, time in held.items()} == {
            "night": True, "hour": True,
        }  # fmt: skip
    assert len(done) == len(set(done)), "a slot was done twice"
    hours = {slot for job, slot in done if job == "hour"}
    expected = Wall("0 * * * *", "America/New_York").times(right + timedelta(hours=20), right + timedelta(hours=48))
    assert set(expected) <= hours, "a slot was lost after the clock was right again"


@pytest.mark.parametrize("seed", range(6))
def test_clocks_set_at_random_double_nothing_and_the_newest_is_always_done(seed: int, config: Config) -> None:
    chance, done = random.Random(seed), []
    now = datetime(2027, 12, 30, 3, tzinfo=UTC)
    for _ in range(40):
        now += chance.choice([MINUTE, timedelta(minutes=17), timedelta(hours=5), DAY])
        if chance.random() < 0.3:
            now += chance.choice([-1, 1]) * chance.choice(STEPS)
        look(config, now, done)
        assert all((name, time) in done for name, time in newest(now).items())
    assert len(done) == len(set(done))
    with History.open(config.history_url) as history:
        ledger = history.slots()
    assert not ledger.duplicated(["job", "slot"]).any()
    assert (ledger["attempts"] == 1).all()


def test_rows_that_lie_in_the_future_hold_nothing_up_and_run_when_they_come(config: Config) -> None:
    future, done = datetime(2026, 11, 20, 7, tzinfo=UTC), []
    hour = config.schedule[1]
    with History.open(config.history_url) as history:
        history.claim_slot(slots.job_key(config, hour), future, future, 3)  # begun by the wrong clock, and killed
    look(config, future - 2 * DAY, done)
    assert {name for name, _ in done} == {"night", "hour"}
    assert ("hour", future) not in done
    look(config, future, done)
    assert done.count(("hour", future)) == 1


def test_order_of_looks_changes_no_pause() -> None:
    """The pause that Prometheus is told is that between neighbouring times of the oracle."""
    for cron, zone in (("30 2 * * *", "Europe/Berlin"), ("0 */6 * * *", "Australia/Lord_Howe")):
        begin = datetime(2028, 11, 27, tzinfo=UTC)
        times = Wall(cron, zone).times(begin, slots.LOOKED_FROM)
        longest = max(later - time for time, later in pairwise(times))
        assert slots.longest_pause(JobSettings(notebook="n", cron=cron, time_zone=zone)) == longest


def test_the_benchmark_sees_what_is_done_twice() -> None:
    from benchmarks.schedule import Began, doubled

    slot, other = ("night", "2026-10-24T01"), ("night", "2026-10-24T02")
    first, again = Began(1, 10.0, slot), Began(2, 20.0, slot)
    assert doubled([first, again], {1: 15.0}) == []  # killed at it: begun again, as it should be
    assert doubled([first, again], {}) == [again]
    assert doubled([first, again], {1: 25.0}) == [again]  # killed later: both were at it
    assert doubled([first, Began(1, 12.0, other), again], {1: 15.0}) == [again]  # it was over that one
