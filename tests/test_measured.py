"""Images of a store as partitioned Parquet: the same bytes, whoever made them and however often they were cut off."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import engine_work
import image_store
import numpy as np
import pandas as pd
import pytest
from engine_work import children
from image_store import PATTERN, files, fill, measure

from cvkit import cli
from cvkit.commands import images_text
from cvkit.data import images, measured, measuring, partition_files, stores, summed
from cvkit.data.headers import NOT_GIVEN
from cvkit.data.objects import Captures
from cvkit.data.stores import Item, Store
from cvkit.errors import BusyError, ConfigError, StorageError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Captures, and what one worker makes of them."""
    folder = fill(tmp_path_factory.mktemp("captures"), days=3)
    out = tmp_path_factory.mktemp("one")
    measure(folder, out, workers=1)
    return folder, files(out)


def rows(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "rows").sort_values("image_id", ignore_index=True)


def test_rows_say_what_measure_says(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    measure(tmp_path / "in", tmp_path / "out")
    table = rows(tmp_path / "out")
    assert len(table) == 20
    for row in table.to_dict("records"):
        own = images.measure(tmp_path / "in" / row["image_id"])
        assert {name: row[name] for name in ("content", "dhash", "brightness", "noise")} == {
            name: getattr(own, name) for name in ("content", "dhash", "brightness", "noise")
        }
        assert row["bytes"] == (tmp_path / "in" / row["image_id"]).stat().st_size
    assert set(table["source"].astype(str)) == {"cam-1", "cam-2"}
    assert set(table["time"].astype(str)) == {"2026-11-01 12:00:00+00:00", "2026-11-02 12:00:00+00:00"}


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_writes_the_same_bytes(
    made: tuple[Path, dict[str, bytes]], workers: int, tmp_path: Path
) -> None:
    measure(made[0], tmp_path, workers=workers)
    assert files(tmp_path) == made[1]


def test_what_is_there_and_whole_is_not_made_again(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    measure(tmp_path / "in", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    again = measure(tmp_path / "in", tmp_path / "out")
    assert (again.made, again.kept) == (0, 4)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}


@pytest.mark.parametrize("harm", ["cut", "empty", "gone", "late image"])
def test_what_is_damaged_or_has_changed_is_made_again(harm: str, tmp_path: Path) -> None:
    fill(tmp_path / "in")
    measure(tmp_path / "in", tmp_path / "out")
    whole = files(tmp_path / "out")
    target = tmp_path / "out" / "rows" / "source=cam-1" / "date=2026-11-01" / "images.parquet"
    if harm == "late image":
        image_store.write(tmp_path / "in" / "cam-1" / "2026-11-01" / "late.jpg", np.random.default_rng(9))
    elif harm == "gone":
        target.unlink()
    else:
        target.write_bytes(target.read_bytes()[:-500] if harm == "cut" else b"")
    again = measure(tmp_path / "in", tmp_path / "out")
    assert (again.made, again.kept) == (1, 3)
    assert (files(tmp_path / "out") == whole) == (harm != "late image")


@pytest.mark.parametrize("name", ["rows/{}/images.parquet", "summaries/{}/summary.arrow"])
def test_a_flipped_bit_is_told_and_made_again(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path / "in", ("cam-1",), 1)
    measure(tmp_path / "in", tmp_path / "out")
    whole, rng = files(tmp_path / "out"), np.random.default_rng(3)
    store, short = measured.open_out(str(tmp_path / "out")), name.format("source=cam-1/date=2026-11-01")
    target = tmp_path / "out" / short
    content = target.read_bytes()
    metadata, sums = partition_files.about(content, short), images_text.as_json(summed.groups(store), [])
    places = rng.integers(0, len(content), 200).tolist()
    for place in places:
        broken = bytearray(content)
        broken[place] ^= 1 << int(rng.integers(8))
        target.write_bytes(broken)
        caplog.clear()
        assert partition_files.kept(store, short, metadata) is None, place
        assert "is damaged" in caplog.text
        if short.endswith("arrow"):
            assert images_text.as_json(summed.groups(store), []) == sums
            assert "the summary cannot be read" in caplog.text
        if place in places[:5]:
            measure(tmp_path / "in", tmp_path / "out")
            assert files(tmp_path / "out") == whole


def test_an_image_called_as_a_sum_is_an_image(tmp_path: Path) -> None:
    image_store.fill(tmp_path / "in", ("cam-1",), 1, each=1)
    place = tmp_path / "in" / "cam-1" / "2026-11-01"
    for name in ("0" * 64, "0" * 128, "cvkit.sum"):
        image_store.write(place / f"{name}.jpg", np.random.default_rng(1))
    measure(tmp_path / "in", tmp_path / "out")
    assert measure(tmp_path / "in", tmp_path / "out").kept == 1
    assert f"cam-1/2026-11-01/{'0' * 128}.jpg" in set(rows(tmp_path / "out")["image_id"])


def test_killed_at_any_instant_and_repeated_it_writes_the_same_bytes(
    made: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    command = [sys.executable, "-m", "cvkit.cli", "images", "measure", "--images", f"{made[0]}/{PATTERN}",
               "--out", str(tmp_path), "--workers", "2"]  # fmt: skip
    kills = 0
    for _ in range(8):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.3, 2.0))
        kills += running.poll() is None
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert kills
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == made[1]


def test_an_image_that_crashes_the_decoder_is_a_damaged_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "in")
    image_store.write(tmp_path / "in" / "cam-1" / "2026-11-01" / "002-poison.jpg", np.random.default_rng(1))
    monkeypatch.setattr(measuring, "of_objects", engine_work.poisoned)
    outcomes = [measure(tmp_path / "in", tmp_path / f"out{workers}", workers=workers) for workers in (1, 3)]
    assert files(tmp_path / "out1") == files(tmp_path / "out3")
    assert outcomes[0].lost == ["cam-1/2026-11-01/002-poison.jpg"]
    table = rows(tmp_path / "out1")
    assert len(table) == 21
    assert table.loc[table["damage"] != "", ["damage", "damage_detail"]].to_numpy().tolist() == [
        ["unreadable", "a process that decodes it was ended by SIGSEGV"]
    ]


def test_empty_and_cut_and_forbidden_files_are_rows_with_their_damage(tmp_path: Path) -> None:
    place = fill(tmp_path / "in", ("cam-1",), 1) / "cam-1" / "2026-11-01"
    (place / "000.jpg").write_bytes(b"")
    (place / "001.jpg").write_bytes((place / "001.jpg").read_bytes()[:700])
    (place / "gone.jpg").symlink_to(place / "nowhere")
    os.mkfifo(place / "pipe.jpg")
    (place / "words.jpg").write_text("no image")
    outcome = measure(tmp_path / "in", tmp_path / "out")
    table = rows(tmp_path / "out").set_index("image_id")
    damage = {name.rpartition("/")[2]: row["damage"] for name, row in table.iterrows() if row["damage"]}
    assert damage == {"000.jpg": "empty_file", "001.jpg": "truncated", "gone.jpg": "unreadable",
                      "pipe.jpg": "unreadable", "words.jpg": "unreadable"}  # fmt: skip
    assert outcome.damaged == 5


def test_hostile_names_are_names(tmp_path: Path) -> None:
    names = ["'; drop table.jpg", "a\nb.jpg", "${HOME}.jpg", "%2e%2e%2f.jpg", "\x1b[31m.jpg", "ü€.jpg", "=x=.jpg"]
    random = np.random.default_rng(3)
    place = tmp_path / "in" / "cam=1&date=2000%2F.." / "2026-11-01"
    place.mkdir(parents=True)
    for name in names:
        image_store.write(place / name, random)
    image_store.write(Path(os.fsdecode(bytes(place) + b"/\xff.jpg")), random)
    measure(tmp_path / "in", tmp_path / "out")
    table = rows(tmp_path / "out")
    assert {name.rpartition("/")[2] for name in table["image_id"]} == {*names, r"\udcff.jpg"}
    assert set(table["source"].astype(str)) == {"cam=1&date=2000%2F.."}
    assert not (table["damage"] != "").any()
    assert {path.parts[0] for path in map(Path, files(tmp_path / "out"))} == {"rows", "summaries"}


def test_names_that_are_no_utf_8_are_quoted_and_stay_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in (b"cam\xff", b"cam\xfe", b"cam"):
        place = Path(os.fsdecode(bytes(tmp_path) + b"/in/" + name + b"/2026-11-01"))
        place.mkdir(parents=True)
        for image in (b"a\xff.jpg", b"a\xfe.jpg"):
            image_store.write(Path(os.fsdecode(bytes(place) + b"/" + image)), np.random.default_rng(0))
    outcome = measure(tmp_path / "in", tmp_path / "out")
    assert (outcome.images, outcome.damaged) == (6, 0)
    table = rows(tmp_path / "out")
    sources = ["cam", r"cam\udcfe", r"cam\udcff"]
    assert sorted(table["source"].astype(str).unique()) == sources
    assert sorted(table["image_id"]) == [rf"{one}/2026-11-01/a\udc{end}.jpg" for one in sources for end in ("fe", "ff")]
    assert [one.name for one in summed.groups(measured.open_out(str(tmp_path / "out")), "source")] == sources
    assert "paths of 2 of 2 images are not UTF-8" in caplog.text
    assert measure(tmp_path / "in", tmp_path / "out").kept == 3


def test_an_empty_folder_and_a_missing_one_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    how = ["--out", str(tmp_path / "out")]
    assert cli.main(["images", "measure", "--images", str(tmp_path / "empty"), *how]) == 3
    assert "no image matches" in capsys.readouterr().err
    assert cli.main(["images", "measure", "--images", str(tmp_path / "none"), *how]) == 3
    assert "no folder of images" in capsys.readouterr().err


def test_addresses_that_cannot_be_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no address of a store"):
        Captures("nosuch://bucket/{source}/*.jpg")
    with pytest.raises(ConfigError, match="is not installed") as missing:
        Captures("adl://x/*.jpg")
    assert "pip" in missing.value.remedy
    with pytest.raises(ConfigError, match="chained"):
        Captures("zip::s3://bucket/a.zip")
    with pytest.raises(ConfigError, match="unknown field"):
        Captures(f"{tmp_path}/{{camera}}/*.jpg")
    with pytest.raises(ConfigError, match="nothing can be written"):
        measured.open_out("data://x")
    with pytest.raises(ConfigError, match="does not answer"):
        Captures("ftp://127.0.0.1:9/{source}/*.jpg")


def test_names_with_a_leading_dot_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fill(tmp_path / "in", ("cam-1",), 1, each=1)
    for name in ("cam-1/2026-11-01/.a.jpg", ".cam-2/2026-11-01/a.jpg", "cam-1/2026-11-01/.DS_Store"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image_store.write(folder / "a.jpg", np.random.default_rng(0))
        (folder / "a.jpg").rename(folder / name)
    assert cli.main(["images", "measure", "--images", f"{folder}/{PATTERN}", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "1 image of 1 source and day measured, 0 were there already" in told
    assert f"2 left out, as their names begin with a dot: {folder}/.cam-2, {folder}/cam-1/2026-11-01/.a.jpg" in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_told(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StorageError):
        measure(tmp_path / "in", tmp_path / "out")


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError):
        measure(tmp_path / "in", tmp_path / "out")


def test_two_at_once_are_kept_apart(tmp_path: Path) -> None:
    from cvkit.storage import lock

    fill(tmp_path / "in")
    with lock(tmp_path / "out" / ".lock", "testing"), pytest.raises(BusyError):
        measure(tmp_path / "in", tmp_path / "out")


def test_memory_and_folders_give_the_same_rows(made: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.put(f"{made[0]}/", "/captures/", recursive=True)
    captures = Captures("memory://captures/{source}/{date}/*.jpg")
    measured.measure(captures, measured.open_out("memory://out"), workers=2)
    memory.get("/out/", f"{tmp_path}/out/", recursive=True)
    measure(made[0], tmp_path / "disk")
    pd.testing.assert_frame_equal(rows(tmp_path / "out"), rows(tmp_path / "disk"))
    again = measured.measure(captures, measured.open_out("memory://out"), workers=2)
    assert (again.made, again.kept) == (0, 6)
    memory.store.clear()


class Faulty:
    """A store that lists an object of 1,000 bytes and does with it what it is told to, the first times."""

    def __init__(self, *answers: object) -> None:
        self.answers, self.asked = list(answers), 0

    def cat_file(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, bytes)
        return answer[start:end]

    def info(self, path: str) -> dict[str, int]:
        return {"size": 1000}

    def invalidate_cache(self) -> None: ...


WHOLE = bytes(1000)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([TimeoutError("no answer")], "no answer (4 attempts)"),
        ([ConnectionResetError(104, "reset by peer")], "reset by peer (4 attempts)"),
        ([WHOLE[:500]], "the store gave 500 bytes of an object that it lists with 1,000 (4 attempts)"),
        ([bytes(5000)], "the store gave 1,001 bytes of an object that it lists with 1,000 (4 attempts)"),
        ([b""], "the store gave 0 bytes of an object that it lists with 1,000 (4 attempts)"),
        ([FileNotFoundError(2, "No such file")], "No such file"),
        ([PermissionError(13, "Forbidden")], "Forbidden"),
    ],
)
def test_a_store_that_fails_for_good_makes_no_good_image(
    answers: list[object], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "PAUSE_S", 0.001)
    store = Store(Faulty(*answers), "s3", "bucket")
    (facts,) = measuring.of_objects(store, [Item("bucket/a.jpg", 1000)])
    told = images.ImageFacts(*facts)
    begun = "" if words == "No such file" else f"{NOT_GIVEN}: "  # what may be over at the next try
    assert (told.damage, told.damage_detail, told.content) == ("unreadable", begun + words, "")


def test_a_store_that_stays_away_is_asked_little_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PAUSE_S", 0.001)
    away = [TimeoutError("no answer")]
    fs = Faulty(*away * (3 * stores.TRIES + 7), WHOLE, *away * (2 * stores.TRIES))
    found = [
        images.ImageFacts(*facts) for facts in measuring.of_objects(Store(fs, "s3", "b"), [Item("b/a", 1000)] * 13)
    ]
    assert [one.damage_detail.startswith(NOT_GIVEN) for one in found] == [True] * 10 + [False, True, True]
    assert fs.asked == 3 * stores.TRIES + 7 + 1 + 2 * stores.TRIES


def test_a_store_that_fails_a_few_times_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PAUSE_S", 0.001)
    fs = Faulty(TimeoutError(), WHOLE[:10], OSError("reset"), WHOLE)
    assert stores.read(Store(fs, "s3", "bucket"), Item("bucket/a.jpg", 1000)) == WHOLE
    assert fs.asked == 4


def test_what_is_too_large_is_not_asked_for() -> None:
    fs = Faulty(WHOLE)
    with pytest.raises(stores.UnreadError, match="are more than"):
        stores.read(Store(fs, "s3", "bucket"), Item("bucket/a.jpg", 2**40))
    assert not fs.asked


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("{source}/{date}/*.jpg", {("cam-1", "2026-11-01"): 1, ("cam-2", "2026-11-01"): 2}),
        ("*/{date}/*.jpg", {("", "2026-11-01"): 3}),
        ("{source}/**/*.jpg", {("cam-1", "undated"): 1, ("cam-2", "undated"): 2}),
        ("{source}/{date}/{source}_*.jpg", {("cam-2", "2026-11-01"): 1}),
        ("", {("", "undated"): 3}),
        ("**/{date}/*", {("", "2026-11-01"): 3}),
        ("cam-2/2026-11-01/{source}_{date}T{time}.jpg", {("cam-2", "2026-11-01"): 1}),
    ],
)
def test_patterns_say_which_partition_an_image_is_of(
    pattern: str, found: dict[tuple[str, str], int], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for name in ("cam-1/20261101/a.jpg", "cam-2/2026-11-01/b.jpg", "cam-2/2026-11-01/cam-2_2026-11-01T0607.jpg",
                 "cam-2/2026-11-01/.hidden.jpg", "cam-2/2026-11-01/c.jpg.part", "cam-2/readme.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image_store.write(tmp_path / name, random) if name.endswith("jpg") else (tmp_path / name).touch()
    captures = Captures(f"{tmp_path}/{pattern}" if pattern else str(tmp_path))
    listed = {(p.source, p.date): captures.images(p) for p in captures.partitions()}
    assert {key: len(images) for key, images in listed.items() if images} == found
    if "{time}" in pattern:
        assert captures.moment("2026-11-01", listed["cam-2", "2026-11-01"][0].clock).hour == 6


def test_links_in_circles_are_followed_once(tmp_path: Path) -> None:
    fill(tmp_path / "in", ("cam-1",), 1)
    (tmp_path / "in" / "cam-1" / "again").symlink_to(tmp_path / "in")
    captures = Captures(f"{tmp_path}/in/**/*.jpg")
    paths = [one.path for one in captures.images(captures.partitions()[0])]
    assert len(paths) < 30


def test_what_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = Captures(f"{fill(tmp_path / 'in')}/{PATTERN}")
    ls = captures.store.fs.ls

    def refusing(path: str, **how: object) -> object:
        if "cam-2" in path:
            raise PermissionError(13, "Permission denied", path)
        return ls(path, **how)

    monkeypatch.setattr(captures.store.fs, "ls", refusing)
    outcome = measured.measure(captures, measured.open_out(str(tmp_path / "out")))
    assert (outcome.made, outcome.unlisted) == (2, {f"{tmp_path}/in/cam-2": "Permission denied"})


def test_the_words_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "in")
    line = ["images", "measure", "--images", f"{tmp_path}/in/{PATTERN}", "--out", str(tmp_path / "out")]
    assert cli.main(line) == 0
    assert capsys.readouterr().out == "20 images of 4 sources and days measured, 0 were there already\n"
    assert cli.main(line) == 0
    assert capsys.readouterr().out == "0 images of 0 sources and days measured, 4 were there already\n"
    assert cli.main([*line, "--time-zone", "Mars/Base"]) == 2
    assert "unknown time zone" in capsys.readouterr().err


@pytest.mark.parametrize(("order", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_order_to_end_ends_the_command_and_its_workers(tmp_path: Path, order: signal.Signals, code: int) -> None:
    fill(tmp_path / "in", each=400)
    command = [sys.executable, "-m", "cvkit.cli", "images", "measure", "--images", f"{tmp_path}/in/{PATTERN}",
               "--out", str(tmp_path / "out"), "--workers", "2"]  # fmt: skip
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (workers := children(running.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(order)
    _, told = running.communicate(timeout=60)
    assert running.returncode == code, told
    assert told == "cvkit: stopped; what was finished is kept, the same command goes on from there\n"
    assert workers
    assert not [pid for pid in workers if Path(f"/proc/{pid}/cmdline").exists()]


@pytest.mark.parametrize("which", ["--images", "--out"])
def test_an_address_of_nothing_is_refused(which: str, tmp_path: Path) -> None:
    told = {"--images": str(tmp_path), "--out": str(tmp_path / "out")} | {which: " "}
    with pytest.raises(SystemExit) as ended:
        cli.main(["images", "measure", *(word for pair in told.items() for word in pair)])
    assert ended.value.code == 2


def test_a_pipe_is_a_damaged_row_and_not_asked_for_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "captures", ("cam-1",), days=1, each=3)
    os.mkfifo(next((tmp_path / "captures").rglob("*.jpg")).with_name("pipe.jpg"))
    order = ["images", "measure", "--images", f"{tmp_path}/captures/{PATTERN}", "--out", str(tmp_path / "out")]
    assert [cli.main([*order, "--workers", "1"]) for _ in range(2)] == [0, 0]
    assert "1 is damaged" in capsys.readouterr().out


def of_an_hour(folder: Path, *clocks: str) -> Path:
    """A camera's images on 2026-11-01, named by day and time."""
    (folder / "cam-1").mkdir(parents=True)
    for clock in clocks:
        image_store.write(folder / "cam-1" / f"2026-11-01T{clock}.jpg", np.random.default_rng(0))
    return folder


def order(folder: Path, out: Path, pattern: str, zone: str = "UTC") -> list[str]:
    where = ["--images", f"{folder}/{pattern}", "--out", str(out)]
    return ["images", "measure", *where, "--time-zone", zone, "--workers", "1"]


def test_another_time_zone_measures_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, pattern = of_an_hour(tmp_path / "in", "0600", "0700"), "{source}/{date}T{time}.jpg"
    for out, zones in {"out": ("UTC", "Pacific/Auckland"), "fresh": ("Pacific/Auckland",)}.items():
        assert [cli.main(order(folder, tmp_path / out, pattern, zone)) for zone in zones] == [0] * len(zones)
    told = capsys.readouterr().out
    assert "1 of them made again: --time-zone gives their images other times" in told
    assert files(tmp_path / "out") == files(tmp_path / "fresh")
    assert rows(tmp_path / "out")["time"].astype(str).tolist() == [
        "2026-10-31 17:00:00+00:00", "2026-10-31 18:00:00+00:00",
    ]  # fmt: skip
    assert cli.main(order(folder, tmp_path / "out", pattern)) == 0, "and back"
    assert "made again" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("clocks", "pattern", "zone"),
    [
        (("0600", "0700"), "{source}/{date}T*.jpg", "Pacific/Auckland"),  # noon of the day, wherever it is
        (("0600Z", "0700Z"), "{source}/{date}T{time}.jpg", "Pacific/Auckland"),
        (("0600", "0700"), "{source}/{date}T{time}.jpg", "Africa/Accra"),
    ],
)
def test_a_time_zone_that_gives_the_same_times_makes_nothing_again(
    clocks: tuple[str, ...], pattern: str, zone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = of_an_hour(tmp_path / "in", *clocks)
    assert [cli.main(order(folder, tmp_path / "out", pattern, one)) for one in ("UTC", zone)] == [0, 0]
    assert capsys.readouterr().out.endswith("0 images of 0 sources and days measured, 1 was there already\n")


def test_partitions_of_other_images_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = fill(tmp_path / "in"), tmp_path / "out"
    assert cli.main(order(folder, out, PATTERN)) == 0
    assert not capsys.readouterr().err
    assert cli.main(order(folder, out, "*/{date}/*.jpg")) == 0
    told = capsys.readouterr().err
    assert told.startswith("4 of the partitions in --out have none of these images"), told
    assert "name another --out or delete them: source=cam-1/date=2026-11-01, source=cam-1/date=2026-11-02" in told
    assert len(rows(out)) == 40, "none is deleted"


def test_partitions_whose_images_were_deleted_are_counted_and_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = fill(tmp_path / "in"), tmp_path / "out"
    assert cli.main(order(folder, out, PATTERN)) == 0
    for image in (folder / "cam-1" / "2026-11-01").glob("*.jpg"):
        image.unlink()
    shutil.rmtree(folder / "cam-2")
    assert cli.main(order(folder, out, PATTERN)) == 0
    told = capsys.readouterr().err
    assert told.startswith("3 of the partitions in --out have none of these images"), told
    assert len(rows(out)) == 20


def test_what_cannot_be_listed_is_not_told_as_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, entries = fill(tmp_path / "in"), Captures._entries
    assert cli.main(order(folder, tmp_path / "out", PATTERN)) == 0

    def refusing(self: Captures, path: str) -> object:
        if not path.endswith("cam-2"):
            return entries(self, path)
        self.unlisted[path] = "Permission denied"
        return []

    monkeypatch.setattr(Captures, "_entries", refusing)
    assert cli.main(order(folder, tmp_path / "out", PATTERN)) == 3
    assert not capsys.readouterr().err


def test_it_is_said_why_partitions_are_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fill(tmp_path / "in")
    assert cli.main(order(folder, tmp_path / "out", PATTERN)) == 0
    image_store.write(folder / "cam-1" / "2026-11-01" / "late.jpg", np.random.default_rng(9))
    (tmp_path / "out" / "rows" / "source=cam-2" / "date=2026-11-01" / "images.parquet").unlink()
    capsys.readouterr()
    assert cli.main(order(folder, tmp_path / "out", PATTERN)) == 0
    assert capsys.readouterr().out == (
        "11 images of 2 sources and days measured, 2 were there already\n"
        "1 of them made again: their images have changed, or did not come from the store before\n"
    )
