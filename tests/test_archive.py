"""Backup and restore: what is in an archive, beside writers and kills, and what is refused of a hostile one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from upkeep_world import CHANNEL, NOW, contents, with_settings

from cvkit import cli, errors
from cvkit.config import Config, load_config
from cvkit.errors import ConfigError, DataError, StorageError
from cvkit.monitoring.schema import SCHEMA
from cvkit.storage import write_text
from cvkit.upkeep import archive, restore

LEFT_OUT = ("features/", "captures/", "site/", "locks/", ".cache/other", ".env", "retraining/runs", "history.db-")


@pytest.fixture
def config(upkeep_line: Path, tmp_path: Path) -> Config:
    return load_config(shutil.copytree(upkeep_line, tmp_path / "line"))


def rows(database: Path) -> list[Any]:
    """All that a database holds."""
    with closing(sqlite3.connect(database)) as opened:
        return list(opened.iterdump())


def read(file: Path) -> dict[str, bytes]:
    """The members of an archive, by Python's own reader."""
    with tarfile.open(file) as opened:
        return {one.name: opened.extractfile(one).read() for one in opened.getmembers()}  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["of.tar.gz", "of.tar"])
def test_what_cannot_be_made_again_comes_back(
    config: Config, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, back, folder = tmp_path / name, tmp_path / "back", config.workspace
    assert cli.main(["backup", str(file), "--config", str(folder)]) == errors.DONE
    told = capsys.readouterr().out
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(
        words in told for words in ("features", "captures: they are backed up", "--with-recorded adds them", ".env")
    )
    assert cli.main(["restore", str(file), str(back)]) == errors.DONE
    before, after = contents(folder), contents(back)
    assert rows(back / "history.db") == rows(folder / "history.db")
    assert {path for path in before if path not in after and path != "history.db"} == {
        path for path in before if path.startswith((*LEFT_OUT, "recorded/"))
    }
    assert all(after[path] == before[path] for path in after if path != "history.db")
    assert all((back / path).stat().st_mtime_ns == (folder / path).stat().st_mtime_ns
               for path in after if path != "history.db")  # fmt: skip
    assert {"retraining/test.json", ".cache/cvkit/drafts/ann.json", "labels/cam-1/2026-09-08/060000.txt"} <= set(after)
    assert any(path.startswith("references/") for path in after)
    assert cli.main(["status", "--config", str(back)]) == errors.DONE
    assert "cam-1" in capsys.readouterr().out


def test_the_manifest_tells_every_file_with_its_digest(config: Config, tmp_path: Path) -> None:
    archive.write(config, tmp_path / "of.tar.gz", NOW)
    members = read(tmp_path / "of.tar.gz")
    manifest = json.loads(members.pop("manifest.json"))
    members.pop("cvkit-backup")
    told = {f"workspace/{one['path']}": (one["size"], one["sha256"]) for one in manifest["files"]}
    assert told == {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in members.items()}
    assert manifest["schema"] == 9
    assert manifest["made"] == "2026-09-20T12:00:00+00:00"
    assert {one["path"] for one in manifest["left_out"]} >= {"features", "site", "recorded", "captures", ".env"}


def test_recorded_frames_where_asked(config: Config, tmp_path: Path) -> None:
    archive.write(config, tmp_path / "of.tar", NOW, with_recorded=True)
    assert read(tmp_path / "of.tar")["workspace/recorded/frames/a.jpg"] == b"picture"


def test_names_that_are_no_unicode_and_links(config: Config, tmp_path: Path) -> None:
    docs = config.workspace / "docs"
    strange = Path(os.fsdecode(bytes(docs) + b"/\xff \n.md"))
    strange.write_text("odd")
    (docs / "linked.md").symlink_to(docs / "index.md")
    (docs / "elsewhere").symlink_to(tmp_path)
    (docs / "nowhere").symlink_to(tmp_path / "none")
    os.mkfifo(docs / "pipe")
    made = archive.write(config, tmp_path / "of.tar.gz", NOW)
    restore.unpack(tmp_path / "of.tar.gz", tmp_path / "back")
    after = contents(tmp_path / "back")
    assert after[f"docs/{strange.name}"] == b"odd"
    assert after["docs/linked.md"] == b"# Ours\n"
    assert not (tmp_path / "back" / "docs" / "linked.md").is_symlink()
    why = {one.path: one.why for one in made.left_out if one.path.startswith("docs/")}
    assert sorted(why) == ["docs/elsewhere", "docs/nowhere", "docs/pipe"]


def test_what_cannot_be_read_is_told_by_the_exit_code(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = Path.open

    def refused(path: Path, *arguments: Any, **others: Any) -> Any:
        if path.name == "index.md":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **others)

    monkeypatch.setattr(Path, "open", refused)
    words = ["backup", str(tmp_path / "of.tar"), "--config", str(config.workspace)]
    assert cli.main(words) == errors.StorageError.exit_code
    assert "docs/index.md (it could not be read: Permission denied)" in capsys.readouterr().out
    assert "workspace/docs/index.md" not in read(tmp_path / "of.tar")


def test_an_archive_in_the_workspace_is_not_in_the_next(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(config.workspace)
    assert cli.main(["backup"]) == errors.DONE
    assert cli.main(["backup", "second.tar.gz"]) == errors.DONE
    first = next(Path().glob("cvkit-backup-test-*.tar.gz"))
    assert f"left out: {first} (an archive" in capsys.readouterr().out
    assert len(read(Path("second.tar.gz"))) == len(read(first))
    assert cli.main(["backup", "history.db"]) == errors.ConfigError.exit_code
    Path("mine.tar").write_text("something else")
    assert cli.main(["backup", "mine.tar"]) == errors.ConfigError.exit_code
    assert Path("mine.tar").read_text() == "something else"


def test_no_secret_gets_in(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "https://hooks.example/very-secret"
    monkeypatch.setenv("CVKIT_TEST_HOOK", secret)
    config = with_settings(config.workspace, CHANNEL)
    (config.workspace / "docs" / "slip.md").write_text("x" * (archive.STEP - 9) + secret)  # over the edge of a step
    made = archive.write(config, tmp_path / "of.tar", NOW)
    assert secret.encode() not in (tmp_path / "of.tar").read_bytes()
    assert [one.why for one in made.left_out if one.path == "docs/slip.md"] == [
        "it holds the secret of env:CVKIT_TEST_HOOK"
    ]
    (config.workspace / "docs" / "slip.md").unlink()
    config = with_settings(config.workspace, f"{CHANNEL}# {secret}\n")
    with pytest.raises(DataError, match="a secret stands in") as told:
        archive.write(config, tmp_path / "second.tar", NOW)
    assert secret not in str(told.value)
    assert not [path for path in tmp_path.iterdir() if "second" in path.name]


def test_a_history_on_postgresql_is_left_to_pg_dump(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_settings(config.workspace, "history: postgresql+psycopg://ann:hush-hush@db.example/cv?password=psst-psst\n")
    assert cli.main(["backup", str(tmp_path / "of.tar"), "--config", str(config.workspace)]) == errors.DONE
    told = capsys.readouterr().out
    members = read(tmp_path / "of.tar")
    assert "NOT in it" in told
    assert "pg_dump" in told
    assert "holds the history's password" in told
    assert b"ann:***@db.example/cv" in members["manifest.json"]
    assert not [
        words for words in ("hush-hush", "psst-psst") if words in told or words.encode() in members["manifest.json"]
    ]
    assert "workspace/reports/2026-09-08/02-drift.ipynb" in members


def test_a_damaged_history_takes_no_good_archive_s_place(config: Config, tmp_path: Path) -> None:
    archive.write(config, tmp_path / "of.tar", NOW)
    good = (tmp_path / "of.tar").read_bytes()
    database = config.workspace / "history.db"
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    database.write_bytes(content)
    with pytest.raises(StorageError, match="cannot be archived"):
        archive.write(config, tmp_path / "of.tar", NOW)
    assert (tmp_path / "of.tar").read_bytes() == good


WRITER = """
import sqlite3, sys
to = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for number in range(100000):
    to.execute("BEGIN IMMEDIATE")
    for half in "ab":
        row = (f"{half}{number}", "2026-01-01", "done", 1, "x" * 2000)
        to.execute("INSERT INTO slots (job, slot, status, attempts, error) VALUES (?, ?, ?, ?, ?)", row)
    to.execute("COMMIT")
    print(number, flush=True)
"""


def test_others_write_the_history_meanwhile(config: Config, tmp_path: Path) -> None:
    database = config.workspace / "history.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(database)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for number in range(3):
            committed = int(writer.stdout.readline())
            time.sleep(0.2)
            archive.write(config, tmp_path / f"{number}.tar.gz", NOW)
            restore.unpack(tmp_path / f"{number}.tar.gz", tmp_path / f"back-{number}")
            with closing(sqlite3.connect(tmp_path / f"back-{number}" / "history.db")) as back:
                assert back.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                jobs = {job for (job,) in back.execute("SELECT job FROM slots")}
            pairs = len(jobs) // 2
            assert jobs == {f"{half}{one}" for one in range(pairs) for half in "ab"}, (
                "whole transactions, in their order"
            )
            assert pairs > committed
        assert writer.poll() is None, "it wrote all the time"
        writer.kill()


def test_files_change_and_vanish_meanwhile(config: Config, tmp_path: Path) -> None:
    pages = [config.workspace / "docs" / f"page-{number}.md" for number in range(40)]
    stop = threading.Event()

    def change() -> None:
        chance = random.Random(1)
        while not stop.is_set():
            page = chance.choice(pages)
            if chance.random() < 0.3:
                page.unlink(missing_ok=True)
            elif chance.random() < 0.5:
                write_text(page, "whole " * chance.randrange(1, 9000))
            else:  # as programs that do not know better
                with page.open("a") as file:
                    file.write("more " * chance.randrange(1, 9000))

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for number in range(8):
            made = archive.write(config, tmp_path / f"{number}.tar", NOW)
            restore.unpack(tmp_path / f"{number}.tar", tmp_path / f"back-{number}")
            assert len(contents(tmp_path / f"back-{number}")) == len(made.files)
            assert made.unread == []
    finally:
        stop.set()
        changing.join()


# -- hostile archives -------------------------------------------------------------------------------------------------

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return info, content


def hostile(
    file: Path,
    extra: list[Member],
    listed: dict[str, bytes],
    mark: bytes = b"1\n",
    *,
    mode: int = 0o644,
    schema: int = 7,
) -> Path:
    """An archive with the settings and `extra` in it, whose manifest tells of the settings and `listed`."""
    settings = {"cvkit.yml": b"reference: {data: d.yaml}\n"}
    files = [{"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "modified_ns": 0,
              "mode": mode} for path, content in {**settings, **listed}.items()]  # fmt: skip
    manifest = {"format": 1, "cvkit": "0", "schema": schema, "made": "2026-01-01T00:00:00+00:00", "model": "m",
                "history": "", "history_file": "", "files": files, "left_out": []}  # fmt: skip
    first = [member("cvkit-backup", mark), member("workspace/cvkit.yml", settings["cvkit.yml"])]
    with tarfile.open(file, "w:gz") as made:
        for info, content in [*first, *extra, member("manifest.json", json.dumps(manifest).encode())]:
            made.addfile(info, io.BytesIO(content))
    return file


HOSTILE: dict[str, tuple[list[Member], dict[str, bytes]]] = {
    "absolute": ([member("/tmp/evil", b"x")], {"/tmp/evil": b"x"}),
    "absolute below": ([member("workspace//evil", b"x")], {"/evil": b"x"}),
    "up": ([member("workspace/../../evil", b"x")], {"../../evil": b"x"}),
    "up within": ([member("workspace/docs/../../evil", b"x")], {"docs/../../evil": b"x"}),
    "beside": ([member("evil", b"x")], {"evil": b"x"}),
    "symlink": ([member("workspace/docs", kind=tarfile.SYMTYPE, link="/etc")], {}),
    "through a symlink": (
        [member("workspace/docs", kind=tarfile.SYMTYPE, link=".."), member("workspace/docs/evil", b"x")],
        {"docs/evil": b"x"},
    ),
    "hard link": ([member("workspace/evil", kind=tarfile.LNKTYPE, link="/etc/passwd")], {"evil": b""}),
    "device": ([member("workspace/evil", kind=tarfile.CHRTYPE)], {"evil": b""}),
    "pipe": ([member("workspace/evil", kind=tarfile.FIFOTYPE)], {"evil": b""}),
    "folder": ([member("workspace/evil", kind=tarfile.DIRTYPE)], {}),
    "more bytes": ([member("workspace/evil", b"x" * 9)], {"evil": b"x"}),
    "fewer bytes": ([member("workspace/evil", b"")], {"evil": b"x"}),
    "other bytes": ([member("workspace/evil", b"y")], {"evil": b"x"}),
    "unlisted": ([member("workspace/evil", b"x")], {}),
    "missing": ([], {"evil": b"x"}),
    "twice": ([member("workspace/evil", b"y"), member("workspace/evil", b"x")], {"evil": b"x"}),
    "nul": ([member("workspace/evil", b"x")], {"ev\0il": b"x"}),
    "long header": ([member("workspace/" + "a" * (5 << 20), b"x")], {"a" * (5 << 20): b"x"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused(kind: str, tmp_path: Path) -> None:
    file = hostile(tmp_path / "evil.tar.gz", *HOSTILE[kind])
    with pytest.raises(DataError):
        restore.unpack(file, tmp_path / "in" / "back")
    assert not (tmp_path / "in").exists() or not list((tmp_path / "in").iterdir()), "nothing is left"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "in") == ["evil.tar.gz"]


def test_the_hostile_ones_differ_from_a_good_one_in_one_thing(tmp_path: Path) -> None:
    file = hostile(tmp_path / "good.tar.gz", [member("workspace/docs/a.md", b"x")], {"docs/a.md": b"x"})
    restore.unpack(file, tmp_path / "back")
    assert contents(tmp_path / "back") == {"cvkit.yml": b"reference: {data: d.yaml}\n", "docs/a.md": b"x"}


@pytest.mark.parametrize(("mode", "expected"), [
    (0o4777, 0o755), (0o2777, 0o755), (0o666, 0o644), (0o640, 0o640), (0, 0o600), (0o1000644, 0o644),
])  # fmt: skip
def test_only_the_owner_can_write_what_comes_back(mode: int, expected: int, tmp_path: Path) -> None:
    restore.unpack(hostile(tmp_path / "of.tar.gz", [], {}, mode=mode), tmp_path / "back")
    assert (tmp_path / "back" / "cvkit.yml").stat().st_mode & 0o7777 == expected


def test_an_archive_of_a_newer_cvkit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="another version of cvkit") as told:
        restore.unpack(hostile(tmp_path / "new.tar.gz", [], {}, schema=SCHEMA + 1), tmp_path / "back")
    assert f"schema {SCHEMA + 1}" in told.value.found
    assert not (tmp_path / "back").exists()
    restore.unpack(hostile(tmp_path / "of.tar.gz", [], {}, schema=SCHEMA), tmp_path / "back")


SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda b: b[: len(b) // 2], "without its end": lambda b: b[:-20], "empty": lambda b: b"",
    "none": lambda b: b"no archive", "zeros": lambda b: b[:900] + bytes(99) + b[999:],
    "another sum": lambda b: b[:-8] + bytes(8),
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_a_damaged_archive_is_refused(spoil: Callable[[bytes], bytes], config: Config, tmp_path: Path) -> None:
    archive.write(config, tmp_path / "of.tar.gz", NOW)
    file = tmp_path / "bad.tar.gz"
    file.write_bytes(spoil((tmp_path / "of.tar.gz").read_bytes()))
    with pytest.raises(DataError):
        restore.unpack(file, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_another_format_and_a_place_that_is_taken(config: Config, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="another cvkit"):
        restore.unpack(hostile(tmp_path / "new.tar.gz", [], {}, mark=b"2\n"), tmp_path / "back")
    good = hostile(tmp_path / "good.tar.gz", [], {})
    before = contents(config.workspace)
    with pytest.raises(ConfigError, match="a workspace already"):
        restore.unpack(good, config.workspace)
    assert contents(config.workspace) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("kept")
    with pytest.raises(ConfigError, match="something already"):
        restore.unpack(good, tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    restore.unpack(good, tmp_path / "empty")
    assert (tmp_path / "empty" / "cvkit.yml").is_file()
    with pytest.raises(DataError, match="no such archive"):
        restore.unpack(tmp_path / "nowhere.tar.gz", tmp_path / "other")


# -- kills ----------------------------------------------------------------------------------------------------------

BACKUP = (
    "from cvkit.upkeep import archive; from cvkit.config import load_config; import sys, datetime\n"
    "config = load_config(sys.argv[1])\nprint('on', flush=True)\n"
    "archive.write(config, __import__('pathlib').Path(sys.argv[2]), datetime.datetime.now(datetime.UTC))"
)
RESTORE = (
    "from cvkit.upkeep import restore; import sys; from pathlib import Path\n"
    "print('on', flush=True)\nrestore.unpack(Path(sys.argv[1]), Path(sys.argv[2]))"
)


def killed(code: str, arguments: list[Path], after_s: float) -> int:
    with subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        return process.wait()


def took(code: str, arguments: list[Path]) -> float:
    with subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        started = time.monotonic()
        assert process.wait() == 0
        return time.monotonic() - started


def test_a_kill_leaves_a_whole_archive_and_a_whole_workspace_or_none(config: Config, tmp_path: Path) -> None:
    for number in range(300):  # so that there is time to be killed in
        (config.workspace / "docs" / f"page-{number}.md").write_bytes(random.Random(number).randbytes(20_000))
    chance, out = random.Random(5), tmp_path / "out"
    out.mkdir()
    whole = out / "whole.tar.gz"
    length = took(BACKUP, [config.workspace, whole])
    count, codes = len(read(whole)), []
    for number in range(6):
        file = out / f"{number}.tar.gz"
        codes.append(killed(BACKUP, [config.workspace, file], chance.uniform(0, length)))
        assert not file.exists() or len(read(file)) == count
    length = took(RESTORE, [whole, out / "whole"])
    expected = contents(out / "whole")
    for number in range(8):
        back = out / f"back-{number}"
        codes.append(killed(RESTORE, [whole, back], chance.uniform(0, length)))
        assert not back.exists() or contents(back) == expected
        restore.unpack(whole, out / f"again-{number}")
    assert codes.count(-signal.SIGKILL) >= 4, "many were killed at work"


def test_an_archive_that_is_not_there_is_told_as_that(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "nope", tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="there is no such archive"):
            restore.unpack(place, tmp_path / "new")
    assert not (tmp_path / "new").exists()
