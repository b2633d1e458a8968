"""A small production line on which every command is run, undisturbed and disturbed, and what is compared of it."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

from cvkit import demo, demo_world
from tests.channel_servers import Web, web
from tests.forked_commands import Commands, Ended, Order

SIZES = {"CAMERAS": ("cam-1", "cam-2"), "FRAMES_A_DAY": 8, "FIRST_DAY": date(2026, 10, 8), "DAYS": 5,
         "REFERENCE_DAYS": 4, "OLD_DAYS": 3}  # fmt: skip
NOW = datetime(2026, 10, 13, 7, tzinfo=UTC)  # an hour after the last day's reports are due
SETTINGS = """
model: {name: line, weights: models/demo.pt, image_size: 96, estimate_images: 0}
captures: {images: 'captures/{source}/{date}/{time}.jpg', labels: 'labels/{source}/{date}/{time}.txt'}
reference: {data: reference/data.yaml, images: '{source}/{date}/{time}.jpg'}
rules: {minimum_images: 5}
retraining: {minimum_labels: 4, slower: 1000, incremental: {epochs: 1, batch: 16, imgsz: 64, freeze: 22}}
alerts:
  rules: [{name: few, metric: boxes, above: 0.1}]
  channels: [{name: ops, kind: webhook, secret: 'env:CVKIT_FAULTS_HOOK'}]
schedule: [{notebook: 01-data-quality, cron: '30 5 * * *', time_zone: UTC}]
evidently: false
"""
# What is not compared, and why. Everything else is, byte by byte.
HALF_WRITTEN = ("*.part", "*.part/*", "*.part-*", "*.cvkit-old/*")  # left by a kill; nothing reads it
NOT_COMPARED = (
    *HALF_WRITTEN,
    "*history.db*",  # compared row by row
    "locks/*",  # files of no bytes that stay
    ".cache/*", "*/.cache/*",  # what was made of notebooks for the site, under the hash of their content
    ".ultralytics/*", "*/labels.cache", "retraining/runs/*",  # Ultralytics' own
)  # fmt: skip
COUNTED = {"id", "place"}  # columns of the history that are numbers given in turn, or drawn
TRIES = {"slots": "attempts"}  # a killed try was one
TIMED = ("gate.json", "card.md", "index.html", "search_index.json")
TOOK = re.compile(
    rb'"latency_ms": \[[^]]*\]|"slower": [0-9.e-]+|takes [0-9.]+ ms, the champion\'s [0-9.]+ ms'
    rb"|[0-9.]+ to (<b>)?[0-9.]+ ms(</b><[^>]*>)?[0-9.]+ times"  # on the page of versions, and in what is searched
)
MADE = re.compile(r"/(features|predictions)/gate-[^/]*/|/out/demo/(features|predictions|references)/")


def write(folder: Path) -> None:
    """Captures with labels, a reference and weights: what there is before the first command."""
    with patch.multiple(demo_world, **SIZES):
        demo_world.write_world(folder, seed=3)
    (folder / "models").mkdir()
    shutil.copyfile(demo.CHECKPOINT, folder / "models" / "demo.pt")


# -- commands -------------------------------------------------------------------------------------------------------


def nothing(folder: Path) -> None:
    """Nobody does anything before a command."""


@dataclass(frozen=True)
class Step:
    """A command of a sequence."""

    name: str
    words: str  # of the command line; "{challenger}" is the version that was trained first
    before: Callable[[Path], object] = nothing  # what people or cameras do before it, in the workspace
    again: tuple[int, ...] = ()  # other exit codes of the repeated command, which say that all is done already
    now: datetime = NOW
    code: int = 0
    kills: int = 2  # how many of 200
    patches: dict[str, Any] = field(default_factory=dict)
    repeat: str = ""  # what does the same and ends, of a command that stays

    def order(self, folder: Path, *, repeated: bool = False, **more: Any) -> Order:
        words = (repeated and self.repeat) or self.words
        given = words.replace("{challenger}", _challenger(folder)) if "{challenger}" in words else words
        return Order(given.split(), str(folder), self.now.timestamp(), patches=self.patches, **more)


def _challenger(folder: Path) -> str:
    facts = [json.loads(file.read_text()) for file in sorted(folder.glob("versions/[!.]*/version.json"))]
    return next(str(one["name"]) for one in facts if one["kind"] == "incremental")


def fresh(template: Path, folder: Path) -> Path:
    """Make `folder` what `template` is, times of files included."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, symlinks=True)
    return folder


@dataclass(frozen=True)
class Undisturbed:
    """A step as it goes where nothing happens."""

    step: Step
    before: Path  # a copy of the workspace before it
    ended: Ended
    result: dict[str, str]  # `Line.contents` after it


@dataclass
class Line:
    """A workspace, what runs commands on it, and who is told of its alerts."""

    folder: Path
    commands: Commands
    hook: Web

    def undisturbed(self, steps: Sequence[Step], kept: Path) -> Iterator[Undisturbed]:
        """Run the steps in turn; a copy of what each found is in `kept`, and those that are there are not run again."""
        last: Path | None = None
        for number, step in enumerate(steps):
            file = kept / f"{number:02d}.json"
            if file.exists():
                told = json.loads(file.read_text())
                last = kept / f"{number:02d}-after"
                yield Undisturbed(step, file.with_suffix(""), Ended(**told["ended"]), told["result"])
                continue
            if last is not None:
                fresh(last, self.folder)
            step.before(self.folder)
            found = self.one(step, fresh(self.folder, file.with_suffix("")))
            before, last = last, fresh(self.folder, kept / f"{number:02d}-after")
            file.write_text(json.dumps({"ended": asdict(found.ended), "result": found.result}))
            if before is not None:
                shutil.rmtree(before, ignore_errors=True)
            yield found

    def one(self, step: Step, before: Path) -> Undisturbed:
        self.hook.asked.clear()
        ended = self.commands.run(step.order(self.folder, repeated=True))
        if ended.code != step.code:
            raise AssertionError(f"{step.name} ended with {ended.code}: {ended.words}")
        return Undisturbed(step, before, ended, self.contents())

    def disturbed(self, as_ever: Undisturbed, disturb: Callable[[Step], Ended]) -> tuple[Ended, list[str]]:
        """The same step, disturbed and then repeated: how it ended the first time, and what is not the same after."""
        self.hook.asked.clear()
        fresh(as_ever.before, self.folder)
        ended = disturb(as_ever.step)
        again = self.commands.run(as_ever.step.order(self.folder, repeated=True))
        wrong = differences(as_ever.result, self.contents())
        if again.code not in (as_ever.step.code, *as_ever.step.again):
            wrong.append(f"the repeated command ended with {again.code}: {again.words[-2000:]}")
        return ended, wrong

    def contents(self) -> dict[str, str]:
        """All that is compared: files, rows of the history, and messages, of which one sent twice has one id."""
        heard = {one.json["id"]: one.json for one in self.hook.asked}
        told = Counter(f"told: {one['event']} {one['rule']} {one['source']}"
                       for message in heard.values() for one in message["notices"])  # fmt: skip
        return contents(self.folder) | {key: str(count) for key, count in told.items()}


@contextmanager
def line(root: Path, template: Path | None = None) -> Iterator[Line]:
    """The line in `root`, with settings; made from `template`, where that was written before."""
    with web(lambda asked: (200, {}, b"")) as hook, patch.dict(os.environ, CVKIT_FAULTS_HOOK=f"{hook.url}/hook"):
        folder = root / "line"
        write(folder) if template is None else fresh(template, folder)
        (root / "settings.yml").write_text(SETTINGS)
        with Commands(root, model=True) as commands:
            yield Line(folder, commands, hook)


# -- comparison -----------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, str]:
    """What a workspace holds: a digest of each file by its path, and how often each row of the history is there."""
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder).as_posix()
        if file.name == "history.db" and not _is_one(path, HALF_WRITTEN):
            found |= {f"{path}: {row}": str(count) for row, count in rows(file).items()}
        elif file.is_file() and not _is_one(path, NOT_COMPARED):
            found[path] = hashlib.sha256(_comparable(file)).hexdigest()[:16]
    return found


def _is_one(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, one) for one in patterns)


def _comparable(file: Path) -> bytes:
    """What a file holds, but how long things took, and when files that a command made itself were made."""
    if file.name.endswith(".tar.gz"):
        return "\n".join(_members(file)).encode()
    return _untimed(file.as_posix(), file.read_bytes())


def _untimed(path: str, content: bytes) -> bytes:
    if path.rpartition("/")[2] in TIMED:
        return TOOK.sub(b"", content)
    if path.endswith(".parquet") and MADE.search(path):
        table = pd.read_parquet(io.BytesIO(content)).drop(columns="modified_ns", errors="ignore")
        return table.to_json(double_precision=15).encode()
    return content


def _members(archive: Path) -> Iterator[str]:
    """Files of a backup, as they are compared in a workspace; the history's rows are compared where it is restored."""
    with tarfile.open(archive) as opened:
        for one in opened:
            content = opened.extractfile(one)
            if content and not _is_one(one.name, ("*history.db", "*manifest.json", *HALF_WRITTEN)):
                yield f"{one.name} {hashlib.sha256(_untimed(one.name, content.read())).hexdigest()}"


def rows(database: Path) -> Counter[str]:
    """Every row of every table, a run named by its model, version and window in place of its number."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        about = {row["id"]: f"{row['model']} {row['version']} {row['window_start']}"
                 for row in connection.execute("SELECT * FROM runs")}  # fmt: skip
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return Counter(
            f"{table} {json.dumps(_told(table, dict(row), about), sort_keys=True, default=str)}"
            for table in tables
            for row in connection.execute(f"SELECT * FROM {table}")
        )


def _told(table: str, row: dict[str, Any], runs: dict[int, str]) -> dict[str, Any]:
    told = {key: value for key, value in row.items() if key not in COUNTED and key != TRIES.get(table)}
    if "run" in told:
        told["run"] = runs[told["run"]]
    if table == "outbox":
        told["attempts"] = told["leased_until"] = ""  # of a message whose sending was cut off
        told["body"] = {**json.loads(told["body"]), "id": ""}
    return told


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """What is not the same, a line each; none where all is."""
    lines = [f"missing {key}" for key in wanted.keys() - found.keys()]
    lines += [f"not wanted {key}" for key in found.keys() - wanted.keys()]
    return sorted(lines + [f"other {key}" for key in wanted.keys() & found.keys() if wanted[key] != found[key]])
