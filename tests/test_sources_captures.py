"""Captures: which images are found, whose they are, and when they were taken."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_workspace import picture, settings, words, write

from cvkit.data import sources
from cvkit.data.sources import patterns, times
from cvkit.errors import ConfigError, DataError
from cvkit.tables import BOXES, FINDINGS, IMAGES, Window

DAY = Window.day("2026-11-21")
PATTERN = "captures/{source}/{date}/{time}.jpg"


def ids(records) -> list[str]:
    return records.images["image_id"].tolist()


def test_images_of_a_window_with_source_time_and_file_facts(tmp_path: Path) -> None:
    for name in ("cam2/2026-11-21/060000.jpg", "cam1/20261121/23-59-59.jpg", "cam1/2026-11-22/000000.jpg"):
        picture(tmp_path / "captures" / name)
    records = sources.load_captures(settings(tmp_path, {"images": PATTERN}), DAY)
    assert ids(records) == ["captures/cam1/20261121/23-59-59.jpg", "captures/cam2/2026-11-21/060000.jpg"]
    assert records.images["source"].tolist() == ["cam1", "cam2"]
    assert records.images["time"].tolist() == [
        pd.Timestamp("2026-11-21 23:59:59", tz="UTC"), pd.Timestamp("2026-11-21 06:00", tz="UTC")
    ]  # fmt: skip
    file = Path(records.images["path"][0])
    assert records.images["bytes"][0] == file.stat().st_size
    assert records.images["modified_ns"][0] == file.stat().st_mtime_ns
    assert list(records.images) == list(IMAGES)
    assert list(records.predictions) == list(BOXES) == list(records.labels)
    assert list(records.findings) == list(FINDINGS)
    assert records.findings.empty
    assert records.classes == {0: "nut", 1: "bolt", 2: "pin"}


def test_windows_are_half_open_and_leave_nothing_out_or_double(tmp_path: Path) -> None:
    for hour in range(24):
        picture(tmp_path / f"captures/cam/2026-11-21/{hour:02d}0000.jpg")
    config = settings(tmp_path, {"images": PATTERN})
    seen = [
        name for hour in range(0, 24, 6)
        for name in ids(sources.load_captures(config, Window.between(f"2026-11-21T{hour:02d}:00", hours=6)))
    ]  # fmt: skip
    assert len(seen) == len(set(seen)) == 24


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("0607", "06:07:00"), ("060708", "06:07:08"), ("06-07-08", "06:07:08"), ("06_07", "06:07:00"),
        ("060708123", "06:07:08.123"), ("06-07-08.123456", "06:07:08.123456"), ("060708Z", "06:07:08"),
        ("060708+0200", "04:07:08"), ("06-07-08-05:00", "11:07:08"),
    ],
)  # fmt: skip
def test_times_of_day(clock: str, expected: str) -> None:
    moment, why = times.moment("2026-11-21", clock, UTC)
    assert (moment, why) == (datetime.fromisoformat(f"2026-11-21T{expected}+00:00"), "")
    assert patterns.re.fullmatch(patterns.FIELDS["time"], clock)


@pytest.mark.parametrize(
    ("day", "clock", "zone", "utc"),
    [
        ("2026-03-29", "000000", "Europe/Berlin", "2026-03-28T23:00"),
        ("2026-03-29", "023000", "Europe/Berlin", "2026-03-29T01:30"),  # skipped: the offset before the change
        ("2026-10-25", "023000", "Europe/Berlin", "2026-10-25T00:30"),  # twice: the first
        ("2026-10-25", "033000", "Europe/Berlin", "2026-10-25T02:30"),
        ("2018-11-04", "000000", "America/Sao_Paulo", "2018-11-04T03:00"),  # this day has no 00:00
        ("2026-11-21", "000000", "Pacific/Kiritimati", "2026-11-20T10:00"),
        ("2026-11-21", "", "Pacific/Kiritimati", "2026-11-21T12:00"),  # a day without a clock is a calendar day
    ],
)
def test_local_times_over_clock_changes(day: str, clock: str, zone: str, utc: str) -> None:
    assert times.moment(day, clock, ZoneInfo(zone))[0] == datetime.fromisoformat(f"{utc}+00:00")


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-21", 24)])
def test_local_days_have_23_to_25_hours(day: str, hours: int) -> None:
    start, end = times.day_bounds(day, ZoneInfo("Europe/Berlin"))
    assert (end - start).total_seconds() == hours * 3600


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_text_gives_a_time_or_words(day: str, clock: str) -> None:
    moment, why = times.moment(day, clock, UTC)
    assert moment is not None or why


def test_the_local_clock_decides_the_window(tmp_path: Path) -> None:
    for day in ("2026-11-20", "2026-11-21", "2026-11-22"):
        picture(tmp_path / f"captures/cam/{day}/010000.jpg")
    captures = {"images": "captures/{source}/{date}/{time}.jpg", "time_zone": "Asia/Tokyo"}
    records = sources.load_captures(settings(tmp_path, captures), DAY)
    assert ids(records) == ["captures/cam/2026-11-22/010000.jpg"]  # its 01:00 is 16:00 UTC of the day before


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Asia/Tokyo", "UTC", "America/New_York", "Etc/GMT+12"])
def test_days_without_a_clock_are_in_the_window_of_that_date_everywhere(tmp_path: Path, zone: str) -> None:
    for day in ("2026-11-20", "2026-11-21", "2026-11-22"):
        picture(tmp_path / f"captures/cam/{day}/x.jpg")
    config = settings(tmp_path, {"images": "captures/{source}/{date}/*.jpg", "time_zone": zone})
    assert ids(sources.load_captures(config, DAY)) == ["captures/cam/2026-11-21/x.jpg"]
    assert sources.capture_dates(config) == [date(2026, 11, day) for day in (20, 21, 22)]
    late = datetime(2026, 11, 22, tzinfo=ZoneInfo(zone))  # the camera's day has just ended
    assert sources.clock(config, late) == datetime(2026, 11, 22, tzinfo=UTC)


def test_impossible_dates_are_named_and_harm_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for day in ("0001-01-01", "2026-02-30", "2026-11-21", "9999-12-31"):
        picture(tmp_path / f"captures/cam/{day}/x.jpg")
    for kind in ("path", "exif", "file"):
        config = settings(tmp_path, {"images": "captures/{source}/{date}/*.jpg", "time_from": kind})
        assert date(2026, 11, 21) in sources.capture_dates(config)
        assert "0001-01-01, 2026-02-30, 9999-12-31" in caplog.text
        caplog.clear()
    records = sources.load_captures(settings(tmp_path, {"images": "captures/{source}/{date}/*.jpg"}), DAY)
    assert set(records.findings["finding"]) == {"no_time"}
    assert len(records.findings) == 3


def test_only_folders_that_can_matter_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(1, 29):
        picture(tmp_path / f"captures/cam/2026-11-{day:02d}/x.jpg")
    listed = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(str(folder)) or real(folder))
    config = settings(tmp_path, {"images": "captures/{source}/{date}/*.jpg"})
    assert len(sources.load_captures(config, DAY).images) == 1
    assert [Path(folder).name for folder in listed] == ["captures", "cam", "2026-11-21"]
    listed.clear()
    assert sources.capture_dates(config) == [date(2026, 11, day) for day in range(1, 29)]
    assert len(listed) == 2


def test_the_order_of_the_disk_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cam in "ba":
        for clock in ("01", "02", "03"):
            picture(tmp_path / f"captures/{cam}/2026-11-21/{clock}0000.jpg")
            write(tmp_path / f"said/{cam}/2026-11-21/{clock}0000.txt", "0 .5 .5 .2 .2 .9\n7 .5 .5 .2 .2 .9\n")
    config = settings(tmp_path, {"images": PATTERN, "predictions": "said/{source}/{date}/*.txt"})
    first = sources.load_captures(config, DAY)
    real = patterns._entries
    monkeypatch.setattr(patterns, "_entries", lambda *folder: list(reversed(real(*folder))))
    second = sources.load_captures(config, DAY)
    assert len(first.findings) == 6
    for name in ("images", "predictions", "labels", "findings"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))


def test_hidden_and_unfinished_files_are_not_captures(tmp_path: Path) -> None:
    for name in ("a.jpg", ".b.jpg", "c.jpg.part", ".hidden/d.jpg", "e.txt", "f.PNG"):
        picture(tmp_path / "in" / name) if name.endswith("jpg") else write(tmp_path / "in" / name, "x")
    config = settings(tmp_path, {"images": "in/**", "time_from": "file"})
    (day,) = sources.capture_dates(config)
    assert ids(sources.load_captures(config, Window.day(str(day)))) == ["in/a.jpg", "in/f.PNG"]


def test_links_in_a_loop_are_followed_once(tmp_path: Path) -> None:
    picture(tmp_path / "in/deep/a.jpg")
    (tmp_path / "in/deep/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/self").symlink_to(tmp_path / "in/self")
    (tmp_path / "in/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "in/pipe.jpg")
    config = settings(tmp_path, {"images": "in/**/*.jpg", "time_from": "file"})
    everything = Window.between("1970-01-01", "2200-01-01")
    records = sources.load_captures(config, everything)
    assert ids(records) == ["in/gone.jpg", "in/deep/a.jpg"]
    assert "no file but a device or a pipe" in records.findings["detail"].item()


@pytest.mark.parametrize("name", ["a#1", "a=b", "a b", "ä\u2013像", "two\nlines", "100%", "q'\"", "{x}", "[1]", "a*b"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    picture(tmp_path / f"ws {{1}}*/captures/{name}/2026-11-21/{name}.jpg")
    write(tmp_path / f"ws {{1}}*/labels/{name}/2026-11-21/{name}.txt", "1 .5 .5 1 1\n")
    captures = {"images": "captures/{source}/{date}/*.jpg", "labels": "labels/{source}/{date}/*.txt"}
    records = sources.load_captures(settings(tmp_path / "ws {1}*", captures), DAY)
    assert ids(records) == [f"captures/{name}/2026-11-21/{name}.jpg"]
    assert records.images["source"].tolist() == [name]
    assert records.labels["x2"].tolist() == [100]
    assert records.findings.empty


def test_a_name_that_is_not_utf8_is_a_finding(tmp_path: Path) -> None:
    folder = tmp_path / "captures/cam/2026-11-21"
    picture(folder / "a.jpg")
    (folder / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    records = sources.load_captures(settings(tmp_path, {"images": "captures/{source}/{date}/*.jpg"}), DAY)
    assert len(records.images) == 1
    assert words(records.findings) == ["bad_record"]
    assert "UTF-8" in records.findings["detail"][0]


def test_images_outside_the_workspace(tmp_path: Path) -> None:
    picture(tmp_path / "disk/cam/2026-11-21/a.jpg")
    config = settings(tmp_path / "ws", {"images": f"{tmp_path}/disk/{{source}}/{{date}}/*.{{jpg,png}}"})
    assert ids(sources.load_captures(config, DAY)) == ["cam/2026-11-21/a.jpg"]
    beside = settings(tmp_path / "ws", {"images": "../disk/{source}/{date}/*.jpg"})
    assert ids(sources.load_captures(beside, DAY)) == ["cam/2026-11-21/a.jpg"]


def test_a_field_that_comes_twice_says_the_same(tmp_path: Path) -> None:
    for name in ("cam1/2026-11-21/cam1_010000.jpg", "cam1/2026-11-21/cam2_010000.jpg"):
        picture(tmp_path / "captures" / name)
    config = settings(tmp_path, {"images": "captures/{source}/{date}/{source}_{time}.jpg"})
    assert ids(sources.load_captures(config, DAY)) == ["captures/cam1/2026-11-21/cam1_010000.jpg"]


def test_times_in_paths_that_are_none(tmp_path: Path) -> None:
    for name in ("2026-11-21/256199.jpg", "2026-13-45/010000.jpg", "2026-11-21/010000.jpg"):
        picture(tmp_path / "captures/cam" / name)
    records = sources.load_captures(settings(tmp_path, {"images": PATTERN}), DAY)
    assert ids(records) == ["captures/cam/2026-11-21/256199.jpg", "captures/cam/2026-11-21/010000.jpg"]
    assert records.images["time"][0] == pd.Timestamp("2026-11-21", tz="UTC")
    found = records.findings.set_index("image_id")["detail"]
    assert found["captures/cam/2026-11-21/256199.jpg"].endswith("00:00 is used")
    assert found["captures/cam/2026-13-45/010000.jpg"].endswith("in no window")


def test_exif_times(tmp_path: Path) -> None:
    folder = tmp_path / "captures/cam/2026-11-21"
    picture(folder / "own.jpg", exif={306: "2026:11:21 06:00:00"})
    picture(folder / "none.jpg")
    picture(folder / "far.jpg", exif={306: "1999:01:01 00:00:00"})
    captures = {"images": "captures/{source}/{date}/*.jpg", "time_from": "exif", "time_zone": "America/New_York"}
    records = sources.load_captures(settings(tmp_path, captures), DAY)
    moments = records.images.set_index("image_id")["time"].dt.strftime("%H:%M").to_dict()
    assert {Path(name).stem: text for name, text in moments.items()} == {
        "own": "11:00",
        "none": "12:00",
        "far": "12:00",
    }
    assert words(records.findings) == ["no_time", "no_time"]
    assert records.findings["time"].notna().all()
    assert records.findings["source"].tolist() == ["cam", "cam"]
    assert sources.load_captures(settings(tmp_path, captures), Window.day("2026-11-22")).findings.empty


def test_an_image_whose_time_nothing_tells_is_in_no_window_but_counted_in_each(tmp_path: Path) -> None:
    picture(tmp_path / "in/a.jpg", exif={306: "2026:11:21 06:00:00"})
    write(tmp_path / "in/empty.jpg", "")
    config = settings(tmp_path, {"images": "in/*.jpg", "time_from": "exif"})
    for day, count in (("2026-11-21", 1), ("2026-11-22", 0)):
        records = sources.load_captures(config, Window.day(day))
        assert len(records.images) == count
        assert records.findings[["image_id", "finding"]].to_numpy().tolist() == [["in/empty.jpg", "no_time"]]
    assert sources.capture_dates(config) == [date(2026, 11, 21)]


def test_file_times(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
    os.utime(picture(tmp_path / "in/a.jpg"), (moment, moment))
    config = settings(tmp_path, {"images": "{source}/*.jpg", "time_from": "file"})
    records = sources.load_captures(config, DAY)
    assert records.images["source"].tolist() == ["in"]
    assert records.images["time"][0] == pd.Timestamp("2026-11-21 12:00", tz="UTC")
    assert sources.load_captures(config, Window.day("2026-11-22")).images.empty


def test_due_days_reach_over_the_folders_where_images_do(tmp_path: Path) -> None:
    picture(tmp_path / "captures/cam/2026-11-21/a.jpg", exif={306: "2026:11:22 02:00:00"})
    captures = {"images": "captures/{source}/{date}/*.jpg", "time_from": "exif"}
    assert sources.capture_dates(settings(tmp_path, captures)) == [date(2026, 11, 21), date(2026, 11, 22)]


def test_nothing_yet(tmp_path: Path) -> None:
    config = settings(tmp_path, {"images": "captures/{source}/{date}/*.jpg"})
    assert sources.capture_dates(config) == []
    write(tmp_path / "captures/cam/2026-11-21/a.JPG", "x")
    with pytest.raises(DataError, match=r"no image matches the pattern") as error:
        sources.load_captures(config, DAY)
    assert "has 1 entries, such as 'cam'" in error.value.found
    picture(tmp_path / "captures/cam/2026-11-20/a.jpg")
    assert sources.load_captures(config, DAY).images.empty  # a window without images is no error


@pytest.mark.parametrize(
    ("captures", "message"),
    [
        ({"images": "captures/{camera}/*.jpg"}, r"unknown field \{camera\}"),
        ({"images": "captures/{source}/*.jpg"}, "times cannot be read from their paths"),
        ({"predictions": "captures/*.csv"}, "kind of the predictions files"),
        ({"labels": "captures/*.parquet"}, "kind of the labels files"),
    ],
)
def test_patterns_that_cannot_be(tmp_path: Path, captures: dict[str, str], message: str) -> None:
    picture(tmp_path / "captures/cam/2026-11-21/a.jpg")
    with pytest.raises(ConfigError, match=message):
        sources.load_captures(settings(tmp_path, captures), DAY)


def test_a_folder_that_cannot_be_listed_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "captures/cam1/2026-11-21/a.jpg")
    picture(tmp_path / "captures/cam2/2026-11-21/a.jpg")
    real = os.scandir

    def refusing(folder: str):  # permissions do not hold for root, whom tests may run as
        if "cam2/" in str(folder):
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    records = sources.load_captures(settings(tmp_path, {"images": "captures/{source}/{date}/*.jpg"}), DAY)
    assert len(records.images) == 1
    assert words(records.findings) == ["bad_record"]
