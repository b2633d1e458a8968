"""A year of a fleet out of what was kept of its days: without an image, without a row, and as the rows have it."""

from __future__ import annotations

import json
import os
import shutil
import struct
from datetime import date
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from image_store import files, fill, measure
from scipy import stats as oracle

from cvkit import cli
from cvkit.commands import images_text
from cvkit.data import measured, partition_files, stores, summed
from cvkit.data.stores import Store
from cvkit.errors import DataError


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """Summaries of two cameras and four days across a month's end, and their rows; images and rows are gone."""
    folder = tmp_path_factory.mktemp("fleet")
    images = fill(folder / "in", days=4, each=12)
    for source in ("cam-1", "cam-2"):
        (images / source / "2026-11-04").rename(images / source / "2026-12-01")
    (images / "cam-1" / "2026-11-01" / "000.jpg").write_bytes(b"")
    (images / "cam-1" / "2026-11-01" / "001.jpg").write_text("no image")
    measure(images, folder / "out")
    rows = pd.read_parquet(folder / "out" / "rows")
    shutil.rmtree(images)
    shutil.rmtree(folder / "out" / "rows")
    return folder / "out", rows.assign(source=rows["source"].astype(str), date=rows["date"].astype(str))


def store(out: Path) -> Store:
    return stores.open_store(str(out), "--out")


@pytest.mark.parametrize("by", ["", "source", "month", "day"])
def test_the_sums_are_those_of_the_rows(by: str, fleet: tuple[Path, pd.DataFrame]) -> None:
    out, rows = fleet
    keys = {"": rows["date"].str[:0], "source": rows["source"], "month": rows["date"].str[:7], "day": rows["date"]}[by]
    groups = summed.groups(store(out), by)
    assert [group.name for group in groups] == sorted(set(keys))
    for group in groups:
        own = rows[keys == group.name]
        assert group.images == len(own)
        for feature, kept in group.numbers.items():
            values = own[feature].dropna()
            assert (kept.count, kept.missing) == (len(values), own[feature].isna().sum())
            assert kept.mean == pytest.approx(values.mean(), rel=1e-12)
            assert kept.sd == pytest.approx(values.std(), rel=1e-9, abs=1e-9)
            assert (kept.least, kept.greatest) == (values.min(), values.max())
        for name, counts in group.names.items():
            assert dict(counts) == own[name].value_counts().to_dict()


def test_stretches_and_sources_are_chosen_by_name(fleet: tuple[Path, pd.DataFrame]) -> None:
    (one,) = summed.groups(store(fleet[0]), "", date(2026, 11, 2), date(2026, 12, 1), "cam-2")
    assert (one.images, one.partitions) == (24, 2)
    with pytest.raises(DataError, match="nothing was measured"):
        summed.groups(store(fleet[0]), "", date(2027, 1, 1))


def test_drift_against_other_days_is_that_of_the_rows(fleet: tuple[Path, pd.DataFrame]) -> None:
    out, rows = fleet
    now, then = (summed.groups(store(out), "source", *days) for days in
                 ((date(2026, 12, 1), None), (date(2026, 11, 1), date(2026, 12, 1))))  # fmt: skip
    for row in summed.rows(now, then):
        own = rows[rows["source"] == row.group]
        a, b = (part[row.feature].dropna() for part in (own[own["date"] >= "2026-12"], own[own["date"] < "2026-12"]))
        assert row.ks is not None
        assert row.ks.low - 1e-12 <= oracle.ks_2samp(a, b).statistic <= row.ks.high + 1e-12
        if b.std():
            assert row.change == pytest.approx((a.mean() - b.mean()) / b.std(), rel=1e-9)


def test_the_words_of_the_command(fleet: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]) -> None:
    line = ["images", "summary", "--out", str(fleet[0])]
    assert cli.main(line) == 0
    told = capsys.readouterr().out
    assert "all: 96 images of 8 sources and days" in told
    assert "damage: none 94, empty_file 1, unreadable 1" in told
    assert "quantiles are off by nothing" in told
    assert cli.main([*line, "--by", "month", "--against", "2026-11-01..2026-11-02"]) == 0
    told = capsys.readouterr().out
    assert "2026-11: 72 images" in told
    assert "KS and PSI lie between" in told
    assert cli.main([*line, "--json", "--source", "cam-1"]) == 0
    (group,) = json.loads(capsys.readouterr().out)
    assert group["features"]["brightness"]["count"] == 46
    assert group["counts"]["damage"] == {"": 46, "empty_file": 1, "unreadable": 1}


@pytest.mark.parametrize("words", ["2026-11-02..2026-11-01", "yesterday", "2026-11-01"])
def test_stretches_that_cannot_be_are_told(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["images", "summary", "--out", "x", "--against", words])
    assert "2026" in capsys.readouterr().err


def test_no_summaries_and_damaged_ones_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert cli.main(["images", "summary", "--out", str(tmp_path / "none")]) == 3
    assert "nothing was measured there" in capsys.readouterr().err
    fill(tmp_path / "in", ("cam-1",), 1)
    measure(tmp_path / "in", tmp_path / "out")
    whole = files(tmp_path / "out")
    target = tmp_path / "out" / "summaries" / "source=cam-1" / "date=2026-11-01" / "summary.arrow"
    for content in (target.read_bytes()[:-9], b"", (tmp_path / "out" / "rows" / "source=cam-1" / "date=2026-11-01" /
                                                    "images.parquet").read_bytes()):  # fmt: skip
        target.write_bytes(content)
        caplog.clear()
        assert cli.main(["images", "summary", "--out", str(tmp_path / "out")]) == 0
        assert "the summary cannot be read" in caplog.text
    with patch.object(summed, "ROWS_FILE", "none.parquet"):
        assert cli.main(["images", "summary", "--out", str(tmp_path / "out")]) == 3
    assert "a summary cannot be read" in capsys.readouterr().err
    target.unlink()
    shutil.move(tmp_path / "in", tmp_path / "aside")
    fill(tmp_path / "in", ("cam-1",), 1)
    for path in (tmp_path / "aside").rglob("*.jpg"):
        shutil.copy2(path, tmp_path / "in" / path.relative_to(tmp_path / "aside"))
    outcome = measure(tmp_path / "in", tmp_path / "out")
    assert outcome.kept == 1, "the rows were whole"
    assert files(tmp_path / "out") == whole


def test_what_is_kept_of_many_images_is_small_and_near() -> None:
    random = np.random.default_rng(0)
    count = 20_000
    table = measured.SCHEMA.empty_table().to_pandas().reindex(range(count)).assign(
        **{name: random.normal(100, 20, count) for name in summed.NUMBERS if name != "bytes"},
        bytes=random.integers(1000, 9000, count), damage="", mode="RGB", file_format="JPEG",
    )  # fmt: skip
    import pyarrow as pa

    kept = summed.of_rows(pa.Table.from_pandas(table))
    assert kept.nbytes < 40_000
    assert max(kept["slack"].to_pylist()) <= count / 256 + 1


def told(out: Path) -> str:
    return images_text.as_json(summed.groups(store(out), "source"), [])


@pytest.mark.parametrize("gone", ["source=cam-1", "source=cam-1/date=2026-11-02/summary.arrow", ""])
def test_partitions_without_a_summary_are_summed_up_by_their_rows(gone: str, tmp_path: Path) -> None:
    """Also where the images are no more."""
    fill(tmp_path / "in", days=2)
    measure(tmp_path / "in", tmp_path / "out")
    sums, place = told(tmp_path / "out"), tmp_path / "out/summaries" / gone
    place.unlink() if place.is_file() else shutil.rmtree(place)
    shutil.rmtree(tmp_path / "in")
    assert told(tmp_path / "out") == sums


@pytest.mark.parametrize("kind", ["summaries", "rows"])
def test_a_file_in_another_partitions_place_is_told_and_made_again(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path / "in", days=1)
    measure(tmp_path / "in", tmp_path / "out")
    whole, sums = files(tmp_path / "out"), told(tmp_path / "out")
    one, other = sorted((tmp_path / "out" / kind).rglob("*.arrow" if kind == "summaries" else "*.parquet"))[:2]
    shutil.copy2(one, other)
    if kind == "summaries":
        assert told(tmp_path / "out") == sums
        assert "written to another place" in caplog.text
    measure(tmp_path / "in", tmp_path / "out")
    assert files(tmp_path / "out") == whole


@pytest.mark.parametrize("harm", ["counts", "points", "weights", "features", "nulls", "squares", "memory"])
def test_a_summary_that_contradicts_itself_is_told_and_made_again(
    harm: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path / "in", days=1)
    measure(tmp_path / "in", tmp_path / "out")
    sums = told(tmp_path / "out")
    whole, place = files(tmp_path / "out"), tmp_path / "out/summaries/source=cam-1/date=2026-11-01/summary.arrow"
    table = pa.ipc.open_file(place).read_all()
    rows = table.to_pylist()
    match harm:
        case "counts":
            rows[1]["count"] += 1
        case "points":
            rows[0]["points"].reverse()
        case "weights":
            rows[0]["weights"][:2] = [3, -1]
        case "features":
            rows[0], rows[1] = rows[1], rows[0]
        case "squares":
            rows[0]["squares"] = -1.0
        case "nulls":
            rows[0]["mean"] = None
    partition_files.write(
        store(tmp_path / "out"), str(place.relative_to(tmp_path / "out")), pa.Table.from_pylist(rows, table.schema)
    )
    if harm == "memory":
        content = whole[str(place.relative_to(tmp_path / "out"))]
        at = content.index(b"\x28\xb5\x2f\xfd")  # zstd's mark; before it stands the length
        place.write_bytes(content[: at - 8] + struct.pack("<q", 2**50) + content[at:])
    assert told(tmp_path / "out") == sums, "of its rows"
    assert "the summary cannot be read" in caplog.text
    shutil.rmtree(tmp_path / "out/rows/source=cam-1")
    with pytest.raises(DataError, match="a summary cannot be read"):
        summed.groups(store(tmp_path / "out"))
    measure(tmp_path / "in", tmp_path / "out")
    assert files(tmp_path / "out") == whole
    assert told(tmp_path / "out") == sums


def test_a_source_that_is_no_utf8_is_named_as_it_is_or_as_it_is_quoted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"cam\xff")
    fill(tmp_path / "in", ("cam-1", name), days=1)
    measure(tmp_path / "in", tmp_path / "out")
    said = []
    for asked in (name, "cam\\udcff"):
        capsys.readouterr()
        assert cli.main(["images", "summary", "--out", str(tmp_path / "out"), "--by", "source", "--source", asked]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "cam\\udcff" in said[0]
    assert "cam-1" not in said[0]


def test_a_source_with_a_long_name_is_found_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "x" * 200
    fill(tmp_path / "in", ("cam-1", name), days=1)
    measure(tmp_path / "in", tmp_path / "out")
    assert cli.main(["images", "summary", "--out", str(tmp_path / "out"), "--source", name]) == 0
    assert ": 5 images of 1 source and day" in capsys.readouterr().out


def test_an_address_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["images", "summary", "--out", ""])
    assert ended.value.code == 2
    assert "nothing is named" in capsys.readouterr().err
