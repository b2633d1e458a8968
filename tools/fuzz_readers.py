"""The readers of cvkit, each as a function of bytes that keeps its promise or raises.

The promise: whatever bytes come, the answer is a result or one of cvkit's own errors, and a result is what the reader
says that it is. Anything else that a function here raises is a promise that was broken.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fuzz_seeds
import pandas as pd
from alert_world import day, measured
from pandas.testing import assert_frame_equal

from cvkit import moments
from cvkit.commands import images_text
from cvkit.config import Config, champion, parse_config
from cvkit.data import file_sums, headers, images, label_plans, recorder_counters, stores, summed
from cvkit.data.sources import data_yaml, joins, patterns, recorded, returned, said, told
from cvkit.documentation import front_matter, marked
from cvkit.documentation.site import rendering
from cvkit.errors import ConfigError, DataError, StorageError
from cvkit.monitoring import conditions
from cvkit.monitoring.history import History
from cvkit.tables import FINDING_WORDS, Window

IMAGE_IDS = ("captures/cam-1/2026-10-01/a.jpg", "captures/cam-1/2026-10-01/b.jpg")
CLASSES = {0: "nut", 1: "bolt"}
NOW = moments.asked("2026-11-01")
RANGES = {"brightness": 255, "contrast": 127.6, "saturation": 1, "colourfulness": 400, "entropy": 8, "sharpness": 8,
          "noise": 255}  # fmt: skip
SETTINGS = 'model: {name: m, classes: [nut, bolt]}\ncaptures: {images: "captures/{source}/{date}/*.jpg"}\n' \
    "reference: {start: 2026-09-01, end: 2026-09-05}\n"  # fmt: skip


class BrokenError(AssertionError):
    """A promise that was not kept."""


def check(kept: bool, promise: str) -> None:
    """Raise BrokenError where a promise was not kept."""
    if not kept:
        raise BrokenError(promise)


@functools.cache
def folder() -> Path:
    """A folder of this process, in memory where the machine has that."""
    made = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108
    (made / "cvkit.yml").write_text(SETTINGS, encoding="utf-8")
    return made


@functools.cache
def settings() -> Config:
    """Settings of a workspace there."""
    return parse_config(SETTINGS, folder() / "cvkit.yml")


def put(name: str, data: bytes) -> Path:
    """A file of these bytes."""
    file = folder() / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


# -- images ---------------------------------------------------------------------------------------------------------


def read_images(data: bytes) -> None:
    """A picture has a size, and properties within their ranges; where it has none, the damage is named."""
    file = put("image", data)
    told, facts = headers.header(file), images.measure(file)
    for name, one in (("header", told), ("measure", facts)):
        check(one.damage in ("", "empty_file", "unreadable", "truncated"), f"{name}: damage {one.damage!r}")
        check(one.damage != "" or (one.width >= 1 and one.height >= 1), f"{name}: {one.width} x {one.height}")
        check(not one.damage or bool(one.damage_detail), f"{name}: damage without a reason")
    check(told.damage == "" or facts.damage != "", "the header cannot be read, the picture can")
    if not facts.damage:
        check((told.width, told.height) == (facts.width, facts.height), "two sizes of one picture")
        for name, most in RANGES.items():
            value = getattr(facts, name)
            small = name in ("sharpness", "noise") and min(facts.width, facts.height) < 3
            check(0 <= value <= most or (small and math.isnan(value)), f"{name} is {value}")


# -- what files say about images ------------------------------------------------------------------------------------


@functools.cache
def index() -> joins.Index:
    """The images that label files speak of."""
    rows = [(one, str(folder() / one), "cam-1", "2026-10-01") for one in IMAGE_IDS]
    return joins.index_images(pd.DataFrame(rows, columns=["image_id", "path", "source", "date"]))


def read_told(data: bytes, suffix: str, kind: str) -> said.Said:
    """What a file of these bytes says; its boxes lie in order within the numbers that there are, or are reported."""
    file = put(f"captures/cam-1/2026-10-01/a{suffix}", data)
    found = patterns.Found(str(file), len(data), 0, "cam-1", "2026-10-01", "", file.name)
    out = said.Said(relative=suffix == ".txt")
    told._read_file(out, found, f"a{suffix}", index(), set(IMAGE_IDS), kind)
    for row in out.problems:
        check(row["finding"] in FINDING_WORDS, f"finding {row['finding']!r}")
        check(bool(row["detail"]) and row["detail"].isascii() | bool(row["detail"].encode()), "a finding without words")
    if out.rows or out.frames:
        for classes in (None, {**{n: n for n in CLASSES}, **{name: n for n, name in CLASSES.items()}}):
            if classes is None or zlib.crc32(data) % 4 == 0:  # making tables takes a hundred times as long as reading
                _check_boxes(out, classes, kind == "predictions")
    return out


def _check_boxes(out: said.Said, classes: said.Classes, scored: bool) -> None:
    raw = said.raw_boxes(out)
    sizes = pd.DataFrame({"width": 64.0, "height": 48.0}, index=list(IMAGE_IDS))
    boxes, problems, lost = said.checked(out, raw, sizes, classes, scored)
    corners = boxes[said.CORNERS].to_numpy()
    check(bool(pd.notna(corners).all() and (abs(corners) < math.inf).all()), "a corner that is no number")
    check(bool((boxes["x1"] < boxes["x2"]).all() and (boxes["y1"] < boxes["y2"]).all()), "a box without an area")
    check(bool((boxes["class_id"] >= 0).all()), "a box without a class")
    check(not scored or bool(boxes["confidence"].between(0, 1).all()), "a confidence that is none")
    left_out = [row for row in problems if row["finding"] != "box_outside"]
    check(len(boxes) + len(left_out) == len(raw) and not lost, f"{len(raw)} boxes read, {len(boxes)} kept")


def _lines(data: bytes) -> list[str]:
    try:
        return [line for line in data.decode("utf-8-sig").splitlines() if line.split()]
    except UnicodeDecodeError:
        return ["all of it"]


def read_yolo(data: bytes) -> None:
    """Every line that is not empty is a box or a finding."""
    for kind in ("labels", "predictions"):
        out = read_told(data, ".txt", kind)
        check(len(out.rows) + len(out.problems) == len(_lines(data)), f"{kind}: lines that are neither")


def read_voc(data: bytes) -> None:
    """A file without objects that is no annotation is a finding; no entity is replaced."""
    out = read_told(data, ".xml", "labels")
    check(bool(out.covered or out.problems), "a file that nothing is said of")
    check(not out.rows or "<!DOCTYPE" not in data.decode("utf-16", "replace"), "a document type was read")


def read_coco(data: bytes) -> None:
    """A file that is COCO speaks of its images, or has findings."""
    read_told(data, ".json", "labels")


def read_jsonl(data: bytes) -> None:
    """Every line that is not empty speaks of an image or is a finding."""
    out = read_told(data, ".jsonl", "predictions")
    spoken = sum(bool(line.strip()) for line in data.split(b"\n"))
    check(len(out.covered) + len(out.problems) >= min(spoken, 1), "lines that nothing is said of")


def read_parquet(data: bytes) -> None:
    """A file that is no table of predictions is a finding."""
    read_told(data, ".parquet", "predictions")


# -- records and plans ----------------------------------------------------------------------------------------------


def read_recorded(data: bytes) -> None:
    """A file that is no record is a finding, and every row of one that is becomes a frame."""
    put("recorded/2026-10-01/source=cam-1/x.parquet", file_sums.seal(data, fuzz_seeds.UNSEALED))
    files = pd.DataFrame({"image_id": list(IMAGE_IDS), "path": [str(folder() / one) for one in IMAGE_IDS]})
    pattern = patterns.compile_pattern(settings().captures.images, folder(), "captures.images")
    window = Window.day("2026-10-01")
    found = recorded.read(settings(), window, files, list(IMAGE_IDS), pattern)
    check(found.images["image_id"].is_unique, "a frame that is there twice")
    check(bool(found.boxes["image_id"].isin(found.covered["image_id"]).all()), "a box of no frame")
    times = found.images["time"]
    check(bool(((times >= window.start) & (times < window.end)).all()), "a frame of another window")
    with contextlib.suppress(DataError):
        recorded.source_names(settings())


def read_counters(data: bytes) -> None:
    """What a dead process left behind is told, or is no such file; nothing else is deleted."""
    place = folder() / "counted"
    put("counted/kept.part", b"")
    put("counted/2026-10-01/source=cam-1/.kept-1.part", b"")
    put("counted/.counters/20261001T000000-1-abcdef.bin", data)
    for loss in recorder_counters.losses(place):
        check(bool(loss.words) and loss.lost | loss.dropped != 0, "a loss of nothing")
        check(min(loss.accepted, loss.written, loss.dropped, loss.lost) >= 0, "fewer than no records")
    list(recorder_counters.sweep(place))
    there = (place / "kept.part").is_file() and (place / "2026-10-01/source=cam-1/.kept-1.part").is_file()
    shutil.rmtree(place)
    check(there, "a file of another process is gone")


def read_plans(data: bytes) -> None:
    """Weights of a plan are at least 1, 0 or not known."""
    put("label-plans/2026-10-01-00000000.parquet", data)
    with contextlib.suppress(StorageError):
        weights = label_plans.sampling_weights(settings(), IMAGE_IDS)
        check(bool((weights.isna() | (weights == 0) | (weights >= 1)).all()), f"weights {weights.tolist()}")


def read_summaries(data: bytes) -> None:
    """A summary that is no other than cvkit writes is summed up, or is an error."""
    content = file_sums.seal(data, fuzz_seeds.UNSEALED)  # as from one who knows how: else its sum tells of everything
    put("measured/summaries/source=cam-1/date=2026-10-01/summary.arrow", content)
    with contextlib.suppress(DataError):
        found = summed.groups(stores.open_store(str(folder() / "measured"), "--out"))
        for one in found[0].numbers.values():
            check(one.count >= 0 <= one.missing and one.weights.sum() == one.count, f"{one.count} values")
            check(bool((one.points[:-1] <= one.points[1:]).all() and (one.weights > 0).all()), "values out of order")
        check(len(found[0].numbers) == len(summed.NUMBERS) and bool(images_text.text(found, [])), "a feature is lost")


def read_returned(data: bytes) -> None:
    """What came back is of images of the plan, in classes of the model and in shares of the image."""
    place = folder() / "returned"
    shutil.rmtree(place, ignore_errors=True)
    for name, part in zip(fuzz_seeds.RETURNED, data.split(fuzz_seeds.NEXT), strict=False):
        if part:
            put(f"returned/{name}", part)
    place.mkdir(exist_ok=True)
    with contextlib.suppress(DataError):
        back = returned.read_returned(place, CLASSES)
        for line in (line for lines in back.lines.values() for line in lines):
            kind, *shares = line.split()
            check(int(kind) in CLASSES and len(shares) >= 4, line)
            check(all(-0.1 <= float(share) <= 1.1 for share in shares), line)


# -- settings -------------------------------------------------------------------------------------------------------


def text_of(data: bytes) -> str:
    """Text of any bytes, as no reader gets bytes that are none."""
    return data.decode("utf-8", "replace")


def read_config(data: bytes) -> None:
    """Settings that can be used can be written and read back."""
    with contextlib.suppress(ConfigError):
        config = parse_config(text_of(data), folder() / "cvkit.yml")
        again = Config.model_validate_json(config.model_dump_json(by_alias=True))
        check(again.model_dump() == config.model_dump(), "settings read back")


@functools.cache
def past() -> conditions.Past:
    """Two windows with verdicts and numbers."""
    return fuzz_seeds.past(folder() / "history.db", History, measured, day, conditions)


def read_rules(data: bytes) -> None:
    """Rules have a sentence each, and judge every source and window at most once."""
    text = f"{SETTINGS}alerts:\n  rules:\n{text_of(data)}\n"
    with contextlib.suppress(ConfigError):
        rules = parse_config(text, folder() / "cvkit.yml").alerts.all_rules
        for rule in rules:
            check(conditions.explain(rule).startswith(f"{rule.name}: fires for "), "a rule without a sentence")
        found = conditions.looks(rules, past(), 10)
        check(not found.duplicated(["rule", "source", "window_start"]).any(), "a window judged twice")
        again = conditions.looks(rules, past(), 10)
        assert_frame_equal(found, again)


def read_champion(data: bytes) -> None:
    """A champion that can be used can be written and read back."""
    put("versions/champion.json", data)
    try:
        found = champion.read(folder())
        if found is not None:
            put("versions/champion.json", champion.text(found).encode("utf-8", "surrogatepass"))
            check(champion.read(folder()) == found, "a champion read back")
    except StorageError:
        pass
    finally:
        (folder() / "versions/champion.json").unlink()


def read_patterns(data: bytes) -> None:
    """A pattern matches what is made of it: each field one value, each star nothing."""
    pattern, _, name = text_of(data).partition("\n")
    try:
        made = patterns.matcher(pattern, "captures.images")
        patterns.compile_pattern(pattern, folder(), "captures.images")
    except ConfigError:
        return
    made.fullmatch(name[:255])
    values = {"{source}": "cam", "{date}": "2026-10-01", "{time}": "06-00"}
    path = re.sub(r"\{([^{},]*),[^{}]*\}", r"\1", re.sub(r"\{(source|date|time)\}", lambda m: values[m[0]], pattern))
    whole = not path.startswith(("/", "~")) and not re.search(
        r"\{[^{}]*/[^{}]*\}", pattern
    )  # a choice is of one folder
    if not set("*{") & set(path) and whole and patterns.PurePosixPath(path).parts:
        check(made.fullmatch(patterns.PurePosixPath(path).as_posix()) is not None, f"{pattern!r} is not {path!r}")


def read_data_yaml(data: bytes) -> None:
    """Splits and names are texts; ids are whole numbers."""
    with contextlib.suppress(DataError):
        found = data_yaml.read_data_yaml(put("set/data.yaml", data))
        check(all(type(key) is int and type(name) is str for key, name in found.names.items()), "names that are none")
        for split, entries in found.splits.items():
            if all((data_yaml._place(found, one)).is_relative_to(folder() / "set") for one in entries):
                with contextlib.suppress(DataError):
                    data_yaml.split_images(found, split, said.Said())


def read_moments(data: bytes) -> None:
    """A moment lies in the years that there are, a length is of hours at least."""
    for read in (moments.asked, lambda text: moments.end(text, NOW), lambda text: NOW + moments.length(text)):
        with contextlib.suppress(ConfigError):
            check(moments.plausible(read(text_of(data))), "a moment of no time")


# -- documents ------------------------------------------------------------------------------------------------------


def read_documents(data: bytes) -> None:
    """A document is written as it was read, but for blanks about its marks."""
    text = text_of(data)
    marked.to_do(text)
    with contextlib.suppress(DataError):
        parts = marked.parse(text)
        written = marked.written(parts)
        check("".join(written.split()) == "".join(text.split()), "words that are gone, or came")
        check(marked.written(marked.parse(written)) == written, "another document when read again")


def read_front_matter(data: bytes) -> None:
    """Keys that were read can be written and read back."""
    with contextlib.suppress(DataError):
        keys, rest = front_matter.split(text_of(data), "card")
        front_matter.digest_of(front_matter.own(keys, {}))
        if keys:
            again, same = front_matter.split(front_matter.joined(keys, rest), "card")
            check(repr(again) == repr(keys) and same == rest, "another card when read again")


class _Hostile(HTMLParser):
    """Says of HTML whether anything of it runs."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        check(tag not in ("script", "iframe", "object", "embed", "base", "meta", "link", "style", "form"), f"<{tag}>")
        for name, value in attrs:
            check(not name.startswith("on") and name != "srcdoc", f"{tag} {name}")
            check(not (value or "").strip().lower().startswith("javascript:"), f"{tag} {name}")


def read_notebooks(data: bytes) -> None:
    """A notebook is shown without anything that runs, or has its flaw named."""
    kept = folder() / "kept"
    found = rendering.look(put("report.ipynb", data), kept)
    check(found.flaw in ("", "missing", "damaged"), found.flaw)
    if not found.flaw:
        shown = rendering.read(kept, found.content)
        check(shown is not None, "a page that is not there")
        _Hostile().feed(shown.html)
        check(len(shown.html.encode()) < 2_500_000, "a page that is too large")
        rendering.place(kept, found.content).unlink()


READERS: dict[str, tuple[Callable[[bytes], Any], Callable[[], list[bytes]]]] = {
    "images": (read_images, fuzz_seeds.images),
    "yolo": (read_yolo, fuzz_seeds.yolo),
    "voc": (read_voc, fuzz_seeds.voc),
    "coco": (read_coco, fuzz_seeds.coco),
    "jsonl": (read_jsonl, fuzz_seeds.jsonl),
    "parquet": (read_parquet, fuzz_seeds.parquet),
    "recorded": (read_recorded, fuzz_seeds.recorded),
    "counters": (read_counters, fuzz_seeds.counters),
    "plans": (read_plans, fuzz_seeds.plans),
    "summaries": (read_summaries, fuzz_seeds.summaries),
    "returned": (read_returned, fuzz_seeds.returned),
    "config": (read_config, fuzz_seeds.config),
    "rules": (read_rules, fuzz_seeds.rules),
    "champion": (read_champion, fuzz_seeds.champion),
    "patterns": (read_patterns, fuzz_seeds.patterns),
    "data-yaml": (read_data_yaml, fuzz_seeds.data_yaml),
    "moments": (read_moments, fuzz_seeds.moments),
    "documents": (read_documents, fuzz_seeds.documents),
    "front-matter": (read_front_matter, fuzz_seeds.front_matter),
    "notebooks": (read_notebooks, fuzz_seeds.notebooks),
}


def clear() -> None:
    """Delete the folder of this process."""
    shutil.rmtree(folder(), ignore_errors=True)
