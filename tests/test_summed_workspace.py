"""A workspace summed up out of what is known of its images: no image is read, and the rows say the same."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_recorded_source import BOXES, NOON, belt, capture, recorder, settings

from cvkit import cli
from cvkit.config import Config
from cvkit.data import features, sources, summed_workspace
from cvkit.errors import DataError
from cvkit.stats import summaries
from cvkit.tables import PROPERTIES, Window

DAYS = ("2026-10-30", "2026-10-31", "2026-11-01")
SOURCES = ("cam-1", "cam-2", "gate 3/ü")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, pd.DataFrame]:
    """Three days of three recorded cameras, not all frames looked at, and their rows as the files have them."""
    folder = tmp_path_factory.mktemp("recorded")
    config = settings(folder)
    for number, source in enumerate(SOURCES):
        with recorder(folder, source) as made:
            for late, day in enumerate(DAYS):
                for i in range(10):
                    moment = datetime.fromisoformat(day).replace(hour=6 + i, tzinfo=UTC)
                    seen = belt(100 * number + 10 * late + i, level=80 + 10 * number) if i else None
                    made.record(BOXES, image=seen, size=(128, 96), time=moment)
    rows = pd.concat(map(pd.read_parquet, sorted(folder.glob("recorded/*/*/*.parquet"))))
    return config, rows.assign(day=rows["time"].dt.strftime("%Y-%m-%d"))


@pytest.mark.parametrize("by", ["", "source", "month", "day"])
def test_the_sums_are_those_of_the_rows(by: str, world: tuple[Config, pd.DataFrame]) -> None:
    config, rows = world
    keys = {"": rows["day"].str[:0], "source": rows["source"], "month": rows["day"].str[:7], "day": rows["day"]}[by]
    groups, wrong = summed_workspace.groups(config, by)
    assert not wrong
    assert [group.name for group in groups] == sorted(set(keys))
    for group in groups:
        own = rows[keys == group.name]
        assert group.images == len(own)
        assert group.partitions == len(own[["source", "day"]].drop_duplicates())
        for feature in PROPERTIES:
            kept, values = group.numbers[feature], own[feature].dropna()
            assert (kept.count, kept.missing) == (len(values), len(own) - len(values))
            assert kept.mean == pytest.approx(values.mean(), rel=1e-12)
            assert kept.sd == pytest.approx(values.std(), rel=1e-9)
            assert kept.points.tolist() == sorted(set(values))


def test_days_and_sources_are_chosen(world: tuple[Config, pd.DataFrame]) -> None:
    (one,), _ = summed_workspace.groups(world[0], "", date(2026, 10, 31), date(2026, 11, 1), SOURCES[2])
    assert (one.images, one.partitions) == (10, 1)
    with pytest.raises(DataError, match="nothing is known"):
        summed_workspace.groups(world[0], source="cam-9")


def test_the_stated_error_holds_where_values_are_left_out(
    world: tuple[Config, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, rows = world
    monkeypatch.setattr(summed_workspace, "HELD", 8)  # rows come by in many parts
    monkeypatch.setattr(summed_workspace, "POINTS", 8)
    monkeypatch.setattr(summed_workspace, "SHARED", 32)
    for by in ("", "source"):
        for group in summed_workspace.groups(config, by)[0]:
            own = rows if not by else rows[rows["source"] == group.name]
            for feature in PROPERTIES:
                kept, values = group.numbers[feature], np.sort(own[feature].dropna())
                assert kept.points.size <= (32 if not by else 8), "memory is bounded"
                at = np.concatenate([values, np.nextafter(values, -np.inf)])
                exact = np.searchsorted(values, at, side="right") / values.size
                told = np.array([kept.weights[kept.points <= x].sum() for x in at]) / kept.count
                assert kept.error > 0
                assert np.abs(told - exact).max() <= kept.error + 1e-12
                for share, found in zip((0.05, 0.5, 0.95), summaries.quantiles(kept, (0.05, 0.5, 0.95)), strict=True):
                    true = np.quantile(values, share, method="inverted_cdf")
                    assert found.low <= true <= found.high


def seen(config: Config, day: str) -> pd.DataFrame:
    """What a run makes of a day's images, and keeps."""
    records = sources.load_captures(config, Window.day(day))
    return features.extract(config, records, config.workspace / "features" / features.VERSION)


def test_what_a_run_has_measured_counts_though_the_images_are_gone(tmp_path: Path) -> None:
    config = settings(tmp_path)
    for number, day in enumerate(DAYS):
        capture(tmp_path, [f"{6 + i:02}0000" for i in range(4 + number)], day)
    (tmp_path / "captures" / "cam-1" / DAYS[0] / "230000.jpg").write_text("no image")
    rows = pd.concat([seen(config, day) for day in DAYS])
    shutil.rmtree(tmp_path / "captures")
    (whole,), wrong = summed_workspace.groups(config)
    assert (whole.images, whole.partitions, wrong) == (16, 3, {})
    assert whole.names["damage"] == {"": 15, "unreadable": 1}
    assert whole.names["file_format"]["JPEG"] == 15
    for feature in PROPERTIES:
        assert whole.numbers[feature].mean == pytest.approx(rows[feature].mean(), rel=1e-12)
        assert whole.numbers[feature].missing == 1
    assert whole.numbers["bytes"].count == 16


@pytest.mark.parametrize("late", [timedelta(), timedelta(days=1)])
def test_an_image_that_is_file_and_record_counts_once(late: timedelta, tmp_path: Path) -> None:
    config = settings(tmp_path)
    first, _ = capture(tmp_path, ["060000", "070000"], "2026-10-01")
    with recorder(tmp_path, "cam-1") as made:
        made.record(BOXES, image=belt(5, level=30), image_id=first, time=NOON + late)
        made.record(image=belt(6), time=NOON + late)
    rows = pd.concat([seen(config, day) for day in ("2026-10-01", "2026-10-02")])
    (whole,), _ = summed_workspace.groups(config)
    assert whole.images == len(rows) == 3
    assert whole.numbers["brightness"].least == pytest.approx(rows["brightness"].min())


def test_images_without_a_time_count_where_no_days_are_asked_for(tmp_path: Path) -> None:
    config = settings(tmp_path)
    (path,) = capture(tmp_path, ["060000"])
    seen(config, "2026-10-01")
    kept = tmp_path / "features" / features.VERSION
    shutil.copytree(kept / "2026-10-01", kept / "undated")
    assert path.is_file()
    assert summed_workspace.groups(config)[0][0].images == 2
    assert summed_workspace.groups(config, start=date(2026, 1, 1))[0][0].images == 1


def test_the_words_of_the_command(world: tuple[Config, pd.DataFrame], capsys: pytest.CaptureFixture[str]) -> None:
    line = ["images", "summary", "--config", str(world[0].path)]
    assert cli.main([*line, "--by", "month", "--against", "2026-10-30..2026-10-31"]) == 0
    told = capsys.readouterr().out
    assert "2026-10: 60 images of 6 sources and days" in told
    assert "KS and PSI lie between" in told
    assert cli.main([*line, "--json", "--source", "cam-1", "--from", "2026-10-31"]) == 0
    (group,) = json.loads(capsys.readouterr().out)
    assert (group["features"]["brightness"]["count"], group["features"]["brightness"]["missing"]) == (18, 2)
    assert cli.main([*line, "--from", "2026-10-31", "--to", "2026-10-31"]) == 2
    assert "--to does not lie after --from" in capsys.readouterr().err
    assert cli.main([*line, "--source", "cam-9"]) == 3
    assert "nothing is known" in capsys.readouterr().err


def test_damaged_files_are_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = settings(tmp_path)
    capture(tmp_path, ["060000"])
    seen(config, "2026-10-01")
    with recorder(tmp_path, "cam-2") as made:
        made.record(BOXES, image=belt(1), time=NOON)
    assert cli.main(["images", "summary", "--config", str(tmp_path)]) == 0
    assert "all: 2 images of 2 sources and days" in capsys.readouterr().out
    (record,) = tmp_path.glob("recorded/*/*/*.parquet")
    record.write_bytes(record.read_bytes()[:-20])
    assert cli.main(["images", "summary", "--config", str(tmp_path)]) == 3
    told = capsys.readouterr()
    assert "all: 1 image of 1 source and day" in told.out
    assert "1 files could not be read and are left out: recorded/2026-10-01" in told.err
    (kept,) = tmp_path.glob(f"features/{features.VERSION}/*/*.parquet")
    kept.write_bytes(b"")
    assert cli.main(["images", "summary", "--config", str(tmp_path)]) == 3
    assert "2 files that cannot be read" in capsys.readouterr().err
