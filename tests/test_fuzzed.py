"""Inputs that once broke a promise of a reader; found by `tools/fuzz.py`, made small."""

from __future__ import annotations

import base64
import io
import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

TOOLS = Path(__file__).parents[1] / "tools"
sys.path.insert(0, str(TOOLS))

import fuzz_readers  # noqa: E402
import fuzz_seeds  # noqa: E402

from cvkit import moments, yaml_files  # noqa: E402
from cvkit.data import recorder_counters  # noqa: E402
from cvkit.data.sources import parquet_files, patterns  # noqa: E402
from cvkit.documentation import front_matter, marked, pictures  # noqa: E402
from cvkit.errors import ConfigError  # noqa: E402

ENTITIES = '<!DOCTYPE a [<!ENTITY b "nut">]><annotation><object><name>&b;</name><bndbox><xmin>1</xmin><ymin>1</ymin>' \
    "<xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>"  # fmt: skip
PROCESS = b'{"source": "cam-1", "process": "20261001T000000-1-abcdef"}'
PLAN = b"file,image_id,width,height\na.jpg,one,64,48\n"
BOX = b'{"image": "a.jpg", "boxes": [{"xyxy": [1, 2, 3, 4], "confidence": 1, "class_id": %s}]}'


def counted(*state: int, about: bytes = PROCESS) -> bytes:
    return struct.pack("<7q", *state) + about


def table(**columns: list[object]) -> bytes:
    file = io.BytesIO()
    rest = {name: [1.0] for name in ("confidence", "x1", "y1", "x2", "y2")}
    pq.write_table(pa.table({"image": ["a.jpg"], "class": ["nut"], **rest, **columns}), file, compression="none")
    return file.getvalue()


def asking() -> bytes:
    """A summary whose first compressed column says that it is 2^50 bytes long."""
    content = fuzz_seeds.summaries()[0]
    at = content.index(b"\x28\xb5\x2f\xfd")  # zstd's mark; before it stands the length
    return content[: at - 8] + struct.pack("<q", 2**50) + content[at:]


FOUND = {
    "a choice of names that no file has": ("patterns", "ä,}/{,}.".encode()),
    "utf-16 hides a document type": ("voc", ENTITIES.encode("utf-16")),
    "a class of 400 digits": ("jsonl", BOX % (b"1" + b"0" * 400)),
    "a name that is no utf-8": ("parquet", table(image=["a\u00e4.jpg"]).replace(b"\xc3\xa4", b"\xc3\x28")),
    "a column that is no utf-8": ("parquet", table(ä=[1]).replace(b"\xc3\xa4", b"\xc3\x28")),
    "counters of a list": ("counters", counted(1, 0, 1, 0, 0, 0, 10**15, about=b"[]")),
    "counters of nobody": ("counters", counted(1, 0, 1, 0, 0, 0, 10**15, about=b"{}")),
    "counters of all": ("counters", counted(5, 3, 1, 3, 0, 0, 10**15, about=b'{"source":"","process":"**"}')),
    "counters of the year 148108": ("counters", counted(1, 0, 1, 0, 0, 0, 2**62)),
    "more written than taken": ("counters", counted(1, 5, 1, 5, 1, 0, 1_790_000_000_000_000)),
    "fewer than no records": ("counters", counted(-5, 0, 1, 0, 1, 0, 1_790_000_000_000_000)),
    "class names in latin-1": ("returned", fuzz_seeds.NEXT.join([PLAN, b"n\xfct", b"0 .5 .5 .2 .2"])),
    "a plan that names an image twice": ("returned", fuzz_seeds.NEXT.join([
        b"file,image_id,width,height\na.jpg,one,64,48\nb.jpg,one,64,48\n", b"", b"", b"",
        json.dumps(fuzz_seeds.coco_json() | {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [
            {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}]}).encode()])),
    "an explicit timestamp that is none": ("config", b"a: !!timestamp x"),
    "an explicit number that is none": ("config", b"a: !!int ''"),
    "an explicit truth that is none": ("config", b"a: !!bool x"),
    "a letter that is none": ("config", b'a: "\\UFFFFFFFF"'),
    "an anchor within itself": ("config", b"a: &a [*a]"),
    "a list of lists of lists": ("config", b"a: " + b"[" * 2000),
    "a number of 10,000 digits": ("data-yaml", b"names: [0x" + b"f" * 10_000 + b"]"),
    "a class without end": ("data-yaml", b"names: {.inf: a}"),
    "a folder with a zero byte": ("data-yaml", b'val: "a\\0b"'),
    "a folder with half a letter": ("data-yaml", b'val: "\\ud800"'),
    "a folder with a long name": ("data-yaml", b"val: " + b"a" * 300),
    "classes without number": ("data-yaml", b"nc: 999999999999"),
    "a rule of no time": ("rules", b"    - {name: a, metric: drift, state: !!timestamp x}"),
    "a pattern without a name": ("patterns", b"/"),
    "an empty pattern": ("patterns", b"."),
    "the home of a stranger": ("patterns", b"~nobody-is-called-so/x"),
    "a home with a zero byte": ("patterns", b"~\0/x"),
    "a choice over folders": ("patterns", b"{a,***rzs/{source}/k\xfftime}g"),
    "a folder that may be none": ("patterns", b"\0/{,*a\0g}"),
    "a field within a choice": ("patterns", b"[]at{a,b}\xffat{a,{source}}\xf1"),
    "a summary that asks for a thousand terabytes": ("summaries", asking()),
    "stars in a long name": ("patterns", b"a*a*a*a*a*a*a*b\n" + b"a" * 200),
    "facts of nothing with an end": ("documents", b"<!-- facts: a -->\n<!-- /facts -->\n"),
    "keys of two kinds": ("front-matter", b"---\nmodel-index: {1: x, a: y}\n---\n"),
    "a day that is none": ("front-matter", b"---\na: 2026-02-31\n---\n"),
    "a champion of lists of lists": ("champion", b"[" * 100_000),
    "a notebook that is a number": ("notebooks", b"7"),
    "a notebook without cells": ("notebooks", b'{"cellO": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'),
    "a notebook of lists of lists": ("notebooks", b"[" * 100_000),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cleared():
    yield
    fuzz_readers.clear()
    fuzz_readers.folder.cache_clear()


@pytest.mark.parametrize("name", FOUND)
def test_what_broke_a_reader_once_is_a_result_or_an_error_of_cvkit(name: str) -> None:
    reader, data = FOUND[name]
    began = time.monotonic()
    fuzz_readers.READERS[reader][0](data)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("reader", fuzz_readers.READERS)
def test_every_reader_keeps_its_promise_on_whole_files(reader: str) -> None:
    read, seeds = fuzz_readers.READERS[reader]
    for data in seeds():
        read(data)


def test_the_tool_finds_a_promise_that_is_broken(tmp_path: Path) -> None:
    code = (
        "import sys, fuzz, fuzz_readers\n"
        "fuzz_readers.READERS['moments'] = (lambda data: 1 / (0 if b'T' in data else 1), lambda: [b'1T'])\n"
        f"sys.argv = ['fuzz', 'moments', '--runs', '50', '--saved', {str(tmp_path)!r}]\nfuzz.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TOOLS, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert (tmp_path / "moments-1").read_bytes() == b"1T"


def test_growing_anchors_are_refused_and_small_ones_read(monkeypatch: pytest.MonkeyPatch) -> None:
    grows = "a: &a [x, x, x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
    )
    with pytest.raises(yaml_files.yaml.YAMLError, match="anchors make more than"):
        yaml_files.read(grows)
    assert yaml_files.read("a: &a {x: 1}\nb: *a\n")[0] == {"a": {"x": 1}, "b": {"x": 1}}
    monkeypatch.setattr(yaml_files, "MOST_NODES", 0)
    assert len(yaml_files.read("- a\n" * 5_000)[0]) == 5_000  # without anchors each value counts once


def test_a_counter_deletes_nothing_outside(tmp_path: Path) -> None:
    other = tmp_path / "other-1.part"
    other.touch()
    folder = tmp_path / "recorded" / ".counters"
    folder.mkdir(parents=True)
    (tmp_path / "recorded" / "a" / "b" / ".x").mkdir(parents=True)
    about = json.dumps({"source": "", "process": "x/../../../../other"}).encode()
    (folder / "20261001T000000-1-abcdef.bin").write_bytes(counted(5, 3, 1, 3, 0, 0, 1_790_000_000_000_000, about=about))
    assert list(recorder_counters.sweep(tmp_path / "recorded")) == []
    assert other.is_file()


def test_text_that_is_slow_to_look_through_is_not() -> None:
    for text in ("\n" * 100_000, "<!--" * 25_000, "todo" + " " * 100_000 + "x", "- " * 50_000):
        began = time.process_time()
        marked.to_do(text)
        assert time.process_time() - began < 1
    assert marked.to_do("a <!-- To do: b -->\n  - To do: c <!-- d\n") == ["- To do: c <!-- d"]


def test_stars_match_what_they_did() -> None:
    made = patterns.matcher("*a*b*_{source}*.{jpg,png}", "k")
    assert made.fullmatch("xaab_b_cam.jpg")
    assert made.fullmatch("ab_cam1.png")["source"]
    assert made.fullmatch("ba_cam.jpg") is None


def test_a_small_file_that_says_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": ["a"] * 100_000}), file)
    assert file.stat().st_size < 5000
    assert len(parquet_files.read(file, ["image"])) == 100_000
    monkeypatch.setattr(parquet_files, "MOST_BYTES", 100_000)
    with pytest.raises(pa.ArrowInvalid, match="in memory"):
        parquet_files.read(file, ["image"])


def test_a_picture_that_unpacks_to_very_much_stays_as_it_is() -> None:
    file = io.BytesIO()
    Image.new("1", (6000, 6000)).save(file, "PNG", compress_level=0)
    data = {"image/png": base64.b64encode(file.getvalue()).decode()}
    before = dict(data)
    pictures.make_small(data)
    assert data == before


def test_digests_of_front_matter_are_those_of_before() -> None:
    keys = {"pipeline_tag": "object-detection", "model-index": [{"name": "m", "results": []}]}
    assert front_matter.digest_of(keys) == front_matter.digest_of(dict(reversed(keys.items())))


def test_lengths_of_time_of_many_digits() -> None:
    assert moments.length("0036h") == moments.length("36h")
    for text in ("9" * 5000 + "h", "10000d", "0h", "h", ""):
        with pytest.raises(ConfigError):
            moments.length(text)


@pytest.mark.parametrize(
    "text", ["{a,{source}}/x.jpg", "{{source}}.jpg", "{jpg,{png,gif}}", "*/{a,{date}*}", "{a/b,c/d}.jpg"]
)
def test_braces_within_braces_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="braces within braces"):
        patterns.matcher(text, "captures.images")
    assert patterns.matcher("{a,b}{source}{c,d}", "captures.images").fullmatch("axd")
    assert patterns.matcher("{0}{source".replace("{0}", "{source}"), "captures.images").fullmatch("cam{source")


@pytest.mark.parametrize("text", ["{,old}/x.jpg", "a/{old,}", "a/{x,,y}{z,}/b", "a/{,}./b", "{.,x}.jpg/{.,a}"])
def test_a_part_that_may_be_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="may be nothing"):
        patterns.matcher(text, "captures.images")
    made = patterns.matcher("{,old-}{source}/a{,b}/{,c}*", "captures.images")
    assert made.fullmatch("old-cam/ab/c.jpg")
    assert made.fullmatch("cam/a/x.jpg")
